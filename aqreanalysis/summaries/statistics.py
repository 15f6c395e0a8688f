"""What is known of a period at each place, from its days: mean, percentiles, days above limits, classes, with errors.

The standard error of a mean follows in closed form from those of its days and their correlation
(models/error_correlation.py). Its bounds: a day's are not symmetric, since its error is skewed; of a mean, the errors
that do not last average out, and their skewness with them. With r = error of the mean / mean error of the days, which
is 1 where all errors last, the skewness is r^3 of a day's, as of a sum of a part that lasts and one that does not. So

    half width below = q error (1 + r^3 (w_below / (q w) - 1))

with w the mean standard error of the days, w_below the mean distance of their lower bounds, and q that of the normal
distribution; above likewise. One day has its own bounds, and errors that all last have the mean of the days' bounds.

A day's truth is thought to be the estimate + z * scale, z normal. The expected number of days above a limit is the sum
of their probabilities, exactly. How far the number may be from that depends on the correlation: it is counted in draws
(error_draws.py), and so are percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from aqreanalysis import schema
from aqreanalysis.models.calibration import MISSED, NORMAL_QUANTILE
from aqreanalysis.models.error_correlation import ErrorCorrelation, variance_of_mean
from aqreanalysis.output.cf import HOURS_USED, QUALITY_FLAG
from aqreanalysis.schema import LOWER, STANDARD_ERROR, TARGET, UPPER
from aqreanalysis.summaries import limits
from aqreanalysis.summaries.error_draws import DRAWS, SEED, count_above, error_draws
from aqreanalysis.summaries.limits import name_of
from aqreanalysis.summaries.quantiles import drawn_percentiles, percentiles

LEAST_SCALE = 1e-3  # ug m-3: of an error
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class SummaryOptions:
    """What is counted: percentiles in percent, limits of days and hours in ug m-3; how many draws, from which seed."""

    percentiles: tuple[float, ...] = limits.PERCENTILES
    days_above: tuple[float, ...] = limits.DAYS_ABOVE
    hours_above: tuple[float, ...] = ()
    draws: int = DRAWS
    seed: int = SEED


def summary_of_days(days: Mapping[str, np.ndarray], hours: np.ndarray, correlation: ErrorCorrelation,
                    options: SummaryOptions, required: int) -> Arrays:
    """All of a period but its hours above limits: arrays (places,), or (classes, places), by the names of variables.

    Parameters
    ----------
    days : arrays (days, places): pm25 and its standard error; bounds, number_of_hours and quality_flag where
        they are there.
    hours : (days,) END of each, in hours since any moment.
    required : days that make the period valid.
    """
    pm25 = days[TARGET]
    count = np.isfinite(pm25).sum(axis=0)
    found: Arrays = {"number_of_days": count.astype(np.int16), "sufficient_days": (count >= required).astype(np.int8)}
    if HOURS_USED in days:
        found[HOURS_USED] = days[HOURS_USED].sum(axis=0, dtype=np.int32, where=np.isfinite(pm25))
    if QUALITY_FLAG in days:
        found[QUALITY_FLAG] = most_frequent(days[QUALITY_FLAG])
    found |= mean_of_days(days, hours, correlation)
    draws = error_draws(correlation.by_memory(), hours, options.draws, options.seed)
    scale = np.maximum(days[STANDARD_ERROR], LEAST_SCALE)
    for limit in options.days_above:
        found |= exceedances(f"days_above_{name_of(limit)}", pm25, scale, draws, limit)
    found |= class_days(pm25, scale)
    found |= percentiles_of_days(pm25, scale, draws, options.percentiles)
    bounded = LOWER in days
    return {name: array for name, array in found.items() if bounded or not name.endswith(("_lower", "_upper"))}


def mean_of_days(days: Mapping[str, np.ndarray], hours: np.ndarray, correlation: ErrorCorrelation,
                 of_station: bool = True) -> Arrays:
    """The mean of the days that have a value, its standard error and, where days have bounds, its bounds.

    `of_station`: as a station at the place would observe it, or without what is a single station's own.
    """
    pm25, error = days[TARGET], days[STANDARD_ERROR]
    mean, full = _mean(pm25), _mean(error)
    own = np.sqrt(variance_of_mean(correlation, hours, np.where(np.isfinite(pm25), error, np.nan), of_station))
    found = {TARGET: mean, STANDARD_ERROR: own}
    if LOWER in days:
        lasting = np.divide(own, full, out=np.ones_like(own), where=full > 0) ** 3
        widths = (_mean(pm25 - days[LOWER]), _mean(days[UPPER] - pm25))
        below, above = (NORMAL_QUANTILE * own + lasting * (width * own / np.maximum(full, LEAST_SCALE)
                                                           - NORMAL_QUANTILE * own) for width in widths)
        found |= {LOWER: np.maximum(mean - below, 0.0), UPPER: mean + above}
    return {name: array.astype(np.float32) for name, array in found.items()}


def exceedances(name: str, values: np.ndarray, scale: np.ndarray, draws: np.ndarray, limit: float) -> Arrays:
    """How many steps (steps, places) lie above a limit: the best estimates that do, the expected number, its error."""
    threshold = _thresholds(values, scale, limit)
    return counted(name, (values > limit).sum(axis=0), ndtr(-threshold).sum(axis=0, dtype=np.float64),
                   count_above(draws, threshold))


def counted(name: str, plain: np.ndarray, expected: np.ndarray, drawn: np.ndarray) -> Arrays:
    """The variables of a count: `plain` and `expected` (places,), and what draws counted (draws, places)."""
    lower, upper = bounds_of_draws(drawn)
    return {name: plain.astype(np.int32), f"{name}_expected": expected.astype(np.float32),
            f"{name}_standard_error": drawn.std(axis=0, dtype=np.float64).astype(np.float32),
            f"{name}_lower": lower.astype(np.float32), f"{name}_upper": upper.astype(np.float32)}


def class_days(pm25: np.ndarray, scale: np.ndarray) -> Arrays:
    """Days of each class of HJ 633-2012, (classes, places): of the best estimate, and expected."""
    plain = [(pm25 > limit).sum(axis=0) for limit in limits.AQI_LIMITS]
    expected = [ndtr(-_thresholds(pm25, scale, limit)).sum(axis=0, dtype=np.float64) for limit in limits.AQI_LIMITS]
    count = np.isfinite(pm25).sum(axis=0)
    return {"aqi_class_days": _between(count, plain).astype(np.int16),
            "aqi_class_days_expected": _between(count, expected).astype(np.float32)}


def percentiles_of_days(pm25: np.ndarray, scale: np.ndarray, draws: np.ndarray, shares: tuple[float, ...]) -> Arrays:
    """Percentiles of the days: of the best estimates, expected, with standard error and bounds."""
    if not shares:
        return {}
    plain = percentiles(pm25, shares)
    drawn = drawn_percentiles(pm25, scale, draws, shares)
    found: Arrays = {}
    for number, share in enumerate(shares):
        name = f"pm25_percentile_{name_of(share)}"
        lower, upper = bounds_of_draws(drawn[number])
        found |= {name: plain[number], f"{name}_expected": drawn[number].mean(axis=0, dtype=np.float64),
                  f"{name}_standard_error": drawn[number].std(axis=0, dtype=np.float64), f"{name}_lower": lower,
                  f"{name}_upper": upper}
    return {name: array.astype(np.float32) for name, array in found.items()}


class HoursAbove:
    """Hours of a period above limits, block by block in the order of time; memory does not grow with the period."""

    def __init__(self, places: int, hours: np.ndarray, correlation: ErrorCorrelation, options: SummaryOptions):
        self._draws = error_draws(correlation.by_memory(), hours, options.draws, options.seed)
        self._limits, self._done = options.hours_above, 0
        self._plain = np.zeros((len(self._limits), places), np.int64)
        self._expected = np.zeros((len(self._limits), places))
        self._drawn = np.zeros((len(self._limits), options.draws, places), np.int32)

    def add(self, block: Mapping[str, np.ndarray]) -> None:
        """The next hours (hours, places): pm25 and its standard error."""
        pm25, scale = block[TARGET], np.maximum(block[STANDARD_ERROR], LEAST_SCALE)
        draws = self._draws[self._done:self._done + len(pm25)]
        self._done += len(pm25)
        for number, limit in enumerate(self._limits):
            threshold = _thresholds(pm25, scale, limit)
            self._plain[number] += (pm25 > limit).sum(axis=0)
            self._expected[number] += ndtr(-threshold).sum(axis=0, dtype=np.float64)
            self._drawn[number] += count_above(draws, threshold)

    def result(self, bounded: bool) -> Arrays:
        """The variables of each limit."""
        found: Arrays = {}
        for number, limit in enumerate(self._limits):
            found |= counted(f"hours_above_{name_of(limit)}", self._plain[number], self._expected[number],
                             self._drawn[number])
        return {name: array for name, array in found.items() if bounded or not name.endswith(("_lower", "_upper"))}


def most_frequent(flags: np.ndarray) -> np.ndarray:
    """The quality class (places,) of most days (days, places), of equally many the lowest, int8."""
    return np.stack([(flags == number).sum(axis=0) for number in range(len(schema.QUALITY))]).argmax(axis=0).astype(
        np.int8)


def _mean(values: np.ndarray) -> np.ndarray:
    """Means over steps of what is there, float64; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = values.sum(axis=0, dtype=np.float64, where=known)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _thresholds(values: np.ndarray, scale: np.ndarray, limit: float) -> np.ndarray:
    """How many standard errors a limit lies above estimates; inf where there is none, which is never above."""
    return np.nan_to_num((np.float32(limit) - values) / scale, nan=np.inf)


def bounds_of_draws(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What 5 % of the draws (draws, ...) lie below and 5 % above, (...) each."""
    rank = int(np.floor(MISSED * len(drawn)))
    ordered = np.partition(drawn, (rank, len(drawn) - 1 - rank), axis=0)
    return ordered[rank], ordered[len(drawn) - 1 - rank]


def _between(count: np.ndarray, above: list[np.ndarray]) -> np.ndarray:
    """Numbers of each class (classes, places), from the number of all and those above each limit."""
    edges = [count, *above, np.zeros_like(count)]
    return np.stack([more - fewer for more, fewer in zip(edges[:-1], edges[1:], strict=True)])
