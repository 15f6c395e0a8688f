"""Scores of an analysis at the validation stations, beside kriging's: which step is kept, and how errors persist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import evaluation, time_axis
from aqreanalysis.models.aqnet.analysis import AQNetAnalysis
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.analysis_data import AnalysisData

TRAINED, REFERENCE = "AQ-Net", "kriging"  # names of the models in tables of scores
VALIDATION_EVERY_DAYS = 17  # during training: one day in so many; coprime to the week
RMSE_WEIGHT = 0.3           # of RMSE beside MAE in what the kept step minimises
MEMORY_RANGE_HOURS = (0.05, 500.0)  # in which the memory of errors is sought ...
DEFAULT_MEMORY_HOURS = 24.0         # ... and what is assumed where none in it explains them


@dataclass(frozen=True)
class ValidationScores:
    """Sums of errors (evaluation.statistics) by frequency, model and station, and the table of scores made of them."""

    sums: xr.Dataset
    table: pd.DataFrame

    def only(self, model: str) -> ValidationScores:
        """Those of one model, which is then called TRAINED, and of kriging."""
        sums = self.sums.sel(model=[REFERENCE, model]).assign_coords(model=[REFERENCE, TRAINED])
        table = self.table[self.table.model.isin((REFERENCE, model))].replace({"model": {model: TRAINED}})
        return ValidationScores(sums, table)


class Validator:
    """Scores models at the validation stations on some days, from the same visible stations as kriging."""

    def __init__(self, data: AnalysisData, every_days: int = VALIDATION_EVERY_DAYS):
        self._cube, self._stations = data.validation, list(data.split.validation)
        self._groups = {"single stations": list(data.split.validation_single),
                        "whole cities": list(data.split.validation_city)}
        self._days = data.validation_days[::every_days]

    def score(self, models: Mapping[str, AQNetAnalysis]) -> ValidationScores:
        """Scores of models by name, and of kriging."""
        parts = []
        for day in self._days:
            hours = time_axis.hours_of_days(day.item(), day.item())
            parts.append(evaluation.month_statistics({REFERENCE: Kriging()} | dict(models), self._cube, self._stations,
                                                     hours))
        sums = evaluation.add(parts)
        return ValidationScores(sums, evaluation.group_scores(sums, self._groups))


def ratios_to_kriging(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """MAE and RMSE of a model over kriging's, a row for each frequency and group of stations."""
    errors = table.set_index(["frequency", "group"])
    ours, kriging = (errors[errors.model == name][["MAE", "RMSE"]] for name in (model, REFERENCE))
    return ours / kriging


def step_error(table: pd.DataFrame) -> float:
    """What the kept step minimises.

        sum over single stations and whole cities of  MAE / MAE(kriging) + RMSE_WEIGHT RMSE / RMSE(kriging)

    of hourly values.
    """
    ratios = ratios_to_kriging(table, TRAINED).loc["hourly"]
    return float((ratios["MAE"] + RMSE_WEIGHT * ratios["RMSE"]).sum())


def error_memory(sums: xr.Dataset) -> float:
    """The e-folding time in hours of errors at one station, from the errors of hours and of daily means.

    Errors whose correlation is exp(-lag / memory) have a daily mean whose squared error is the hourly one times the
    mean of that correlation over all pairs of hours of a day; the memory is the one that explains the ratio found.
    """
    from scipy.optimize import brentq

    total = sums.sel(model=TRAINED).sum("station")
    mean = total.error_squared / np.maximum(total.n, 1)
    ratio = float(mean.sel(frequency="daily") / mean.sel(frequency="hourly"))
    hours = np.arange(HOURS_PER_DAY)
    lag = np.abs(np.subtract.outer(hours, hours))

    def excess(memory: float) -> float:
        return np.exp(-lag / memory).mean() - ratio

    low, high = MEMORY_RANGE_HOURS
    return float(brentq(excess, low, high)) if excess(low) < 0 < excess(high) else DEFAULT_MEMORY_HOURS
