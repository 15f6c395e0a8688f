"""Models behind one interface (interface.py): a dict of those that need no training."""

from aqreanalysis.models.flat import FlatMean
from aqreanalysis.models.idw import InverseDistance, nearest
from aqreanalysis.models.interface import Model
from aqreanalysis.models.kriging import Kriging

BASELINES = {"flat mean": FlatMean, "nearest": nearest, "IDW": InverseDistance, "kriging": Kriging}

__all__ = ["BASELINES", "Model"]
