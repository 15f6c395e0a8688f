"""Forecasts of PM2.5 at stations and between them: `nets/` hold the models, `Forecaster` is their interface."""

from aqreanalysis.models.forecast.forecaster import Forecaster
from aqreanalysis.models.forecast.kinds import KINDS, make

__all__ = ["KINDS", "Forecaster", "make"]
