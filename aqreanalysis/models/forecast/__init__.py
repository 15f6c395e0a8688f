"""Forecasts of PM2.5 at stations and between them: a network for each model, `Forecaster` is their interface."""

from aqreanalysis.models.forecast.forecaster import Forecaster
from aqreanalysis.models.forecast.kinds import FORECAST_KINDS, make

__all__ = ["FORECAST_KINDS", "Forecaster", "make"]
