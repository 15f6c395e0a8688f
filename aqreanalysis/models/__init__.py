"""Models behind one interface (interface.py): a dict of those that need no training."""

from aqreanalysis.models.flat import FlatMean
from aqreanalysis.models.idw import InverseDistance, nearest
from aqreanalysis.models.interface import Model
from aqreanalysis.models.kriging import Kriging, plain

# The defaults of Kriging and InverseDistance are what benchmarks/tune_baselines.py found best at training stations left
# out singly and in whole cities (its table is in docs/method.md; 56 neighbours are as good as 40 and cost twice as
# much). "plain kriging" is the usual choice, the 20 nearest stations without octants.
BASELINES = {"flat mean": FlatMean, "nearest": nearest, "IDW": InverseDistance, "plain kriging": plain,
             "kriging": Kriging}

__all__ = ["BASELINES", "Model"]
