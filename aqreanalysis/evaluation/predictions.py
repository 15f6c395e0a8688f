"""A model's prediction of hours and days: an estimate, its standard error, and the ends of a 90 % interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation.distributions import NORMAL, Distribution
from aqreanalysis.models import uncertainty
from aqreanalysis.models.base import Model
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.sites import Sites

BOUNDED_SHARE = 0.9  # of the probability, in the interval: its ends are the 5 % and 95 % bounds
# What lies between calibrated bounds. Measured at stations that were withheld (single stations, whole cities), hours of
# October 2019: normal pieces hold 52 and 47 % of the truth in their central half, Laplace pieces 40 and 36 %; of
# January 1 to 21: 56 and 46, 44 and 34 %. Their CRPS is lower, except at single stations in January (0.4 % higher).
BETWEEN_BOUNDS = NORMAL


@dataclass(frozen=True)
class IntervalPrediction:
    """Arrays (time, station), ug m-3; NaN where nothing is known."""

    pm25: np.ndarray
    error: np.ndarray  # standard error; one of 0 is not known
    lower: np.ndarray  # 5 % bound
    upper: np.ndarray  # 95 % bound
    own_bounds: bool   # whether the model gave the bounds, or they follow from its standard error

    def where(self, mask: np.ndarray) -> IntervalPrediction:
        """The prediction where `mask` (time, station) is true, NaN elsewhere."""
        return self._each(lambda array: np.where(mask, array, np.nan))

    def pieces(self, distribution: Distribution) -> tuple[Distribution, np.ndarray, np.ndarray]:
        """The distribution of the truth (Distribution.two_piece): a distribution, and its standard errors
        (time, station) below and above the estimate.

        Where the model gave bounds, a lower one that is cut at 0 too, they are the 5 % and 95 % quantiles of
        BETWEEN_BOUNDS. Else it is `distribution` with the standard error on both sides.
        """
        if not self.own_bounds:
            return distribution, self.error, self.error
        half = BETWEEN_BOUNDS.half_width(BOUNDED_SHARE)
        return BETWEEN_BOUNDS, (self.pm25 - self.lower) / half, (self.upper - self.pm25) / half

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> IntervalPrediction:
        return replace(self, pm25=change(self.pm25), error=change(self.error), lower=change(self.lower),
                       upper=change(self.upper))


def interval_prediction(pm25: np.ndarray, error: np.ndarray, distribution: Distribution,
                        lower: np.ndarray | None = None, upper: np.ndarray | None = None) -> IntervalPrediction:
    """A prediction with the model's bounds; without any, the central interval of its distribution, cut at 0."""
    if lower is not None and upper is not None:
        return IntervalPrediction(pm25, error, lower, upper, own_bounds=True)
    half = distribution.half_width(BOUNDED_SHARE) * np.where(error > 0, error, np.nan).astype(np.float64)
    return IntervalPrediction(pm25, error, np.maximum(pm25 - half, 0.0), pm25 + half, own_bounds=False)


def predict_hours(model: Model, seen: xr.Dataset, targets: xr.Dataset,
                  distribution: Distribution) -> IntervalPrediction:
    """A model's prediction of consecutive hours of targets, from no more hours than it asks for."""
    hours = targets.time.values
    if seen.sizes[schema.STATION] < 2:  # a month in which the network is silent has no values
        nothing = np.full((len(hours), targets.sizes[schema.POINT]), np.nan, np.float32)
        return IntervalPrediction(nothing, nothing, nothing, nothing, own_bounds=False)
    window = slice(hours[0] - model.history * time_axis.HOUR, hours[-1] + model.future * time_axis.HOUR)
    found = model.predict(seen.sel(time=window), targets)
    lower, upper = (found[name].values if name in found else None for name in (schema.LOWER, schema.UPPER))
    return interval_prediction(found[schema.TARGET].values, found[schema.STANDARD_ERROR].values, distribution, lower,
                               upper)


def predict_days(hourly: IntervalPrediction, mean: np.ndarray, of_days: Callable | None) -> IntervalPrediction:
    """The prediction of days (days, station) whose estimate is `mean`.

    `of_days` takes arrays (24 * days, station) under the names of schema: `pm25`, `pm25_standard_error` and,
    where the model gave them, `pm25_lower`, `pm25_upper`. Of what it returns, `pm25_standard_error`, `pm25_lower` and
    `pm25_upper` (days, station) are used. The error of a mean of a day's correlated errors is taken as normal.
    """
    found: Mapping[str, np.ndarray] = {}
    if of_days is not None:
        arrays = {schema.TARGET: hourly.pm25, schema.STANDARD_ERROR: hourly.error}
        bounds = {schema.LOWER: hourly.lower, schema.UPPER: hourly.upper} if hourly.own_bounds else {}
        found = of_days(arrays | bounds)
    error = found.get(schema.STANDARD_ERROR, np.full(mean.shape, np.nan))
    return interval_prediction(mean, np.where(np.isfinite(mean), error, np.nan), NORMAL, found.get(schema.LOWER),
                               found.get(schema.UPPER))


def errors_of_days(model: str, hourly: Mapping[str, np.ndarray], days: np.ndarray, sites: Sites,
                   calibrated: str, calibration: Calibration | None,
                   memory_hours: float) -> Mapping[str, np.ndarray]:
    """The errors of days as a product gives them; days with any hour have one. For statistics.fold_statistics.

    The errors of hours are correlated as `calibration` measured, else exponentially with `memory_hours`; only those of
    the model of the name `calibrated` are calibrated.
    """
    no_class = np.zeros(hourly[schema.TARGET].shape, np.int8)  # quality classes have no part in it
    correlation = calibration.correlation if calibration else uncertainty.exponential_correlation(memory_hours)
    found = uncertainty.daily(hourly[schema.TARGET], hourly[schema.STANDARD_ERROR], no_class, 1, correlation)
    if model != calibrated or calibration is None:
        return found
    return uncertainty.calibrated(found, calibration.daily, sites, days)
