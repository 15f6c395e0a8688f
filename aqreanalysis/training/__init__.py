"""Training of AQ-Net for analysis by leaving stations out: views, the stack, the network's steps."""

from aqreanalysis.training.steps import Trainer, mean_shift, run
from aqreanalysis.training.views import Settings

__all__ = ["Settings", "Trainer", "mean_shift", "run"]
