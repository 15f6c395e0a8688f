"""Models behind one interface (base.py): a dict of those that need no training."""

from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines.idw import InverseDistance, nearest
from aqreanalysis.models.baselines.kriging import Kriging, plain
from aqreanalysis.models.baselines.mean import FlatMean

# The defaults of Kriging and InverseDistance are what benchmarks/tune_baselines.py found best at training stations left
# out singly and in whole cities (its table is in docs/method.md; 56 neighbours are as good as 40 and cost twice as
# much). "plain kriging" is the usual choice, the 20 nearest stations without octants.
BASELINES = {"flat mean": FlatMean, "nearest": nearest, "IDW": InverseDistance, "plain kriging": plain,
             "kriging": Kriging}

__all__ = ["BASELINES", "Model"]
