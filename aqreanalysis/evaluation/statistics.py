"""Sums of models' errors at withheld stations: by station, day, hour of the day, level, kind of place, week, factor.

A statistic is a number for each pair of observation and estimate; only its sums are kept, and sums of
months add up to those of a year.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation.distributions import NORMAL, Distribution
from aqreanalysis.evaluation.holdout import Fold, nearest_remaining
from aqreanalysis.evaluation.predictions import BOUNDED_SHARE, IntervalPrediction, predict_days, predict_hours
from aqreanalysis.evaluation.strata import LEVELS, PLACES, SEASONS, in_level, in_season, membership
from aqreanalysis.models.base import Model
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOURS_PER_DAY, MINIMUM_HOURS

CENTRAL_PERCENT = (50, 80, 90, 95)  # of the probability, in the central intervals
PENALTY = 2 / (1 - BOUNDED_SHARE)   # of a miss by 1 ug m-3 in the interval score: 2 / alpha
TINY = 1e-6                         # ug m-3: of the mean of observation and estimate, in fractional errors
PIT_BINS = 10
DAYS_PER_WEEK = 7
SUMS = ("n", "truth", "truth_squared", "estimate_squared", "error", "error_absolute", "error_squared",
        "fractional_error", "fractional_error_absolute", "uncertainty_squared", "distance",
        "same_class", "hits", "misses", "false_alarms",
        "n_error", "z_squared",
        "n_interval", "crps", "covered_50", "covered_80", "covered_95", "covered_90",
        "below_90", "above_90", "width_90", "interval_score",
        *(f"pit_{number}" for number in range(PIT_BINS)))
RESAMPLED = ("error_absolute", "error_squared", "error", "truth")  # by the bootstrap
# Factors on a standard error, 2.5 % apart, with which the share of errors in an interval and its width are known
FACTORS = 0.1 * 1.025 ** np.arange(240)
# China's classes of a day's PM2.5, ug m-3 (HJ 633-2012; confirmed by table 1 of 10.1371/journal.pone.0063486, which
# quotes the standard); 75 is also the daily limit, grade II (GB 3095-2012)
DAY_CLASSES = (35.0, 75.0, 115.0, 150.0, 250.0)
DAILY_LIMIT = 75.0
HOURS_AND_LEVELS = tuple([("hour", f"{hour:02d}") for hour in range(HOURS_PER_DAY)]
                         + [(by, name) for by in ("observed level", "predicted level") for name in LEVELS])
# Measurement uncertainty of PM2.5 days, FAIRMODE: U(O) = U_RV sqrt((1 - alpha^2) O^2 + alpha^2 RV^2), expanded with a
# coverage factor of 2 (Janssen and Thunis 2022, 10.2760/41988). Equation and numbers (0.36, 25, 0.5, days) are taken
# from a secondary source, pyaerocom's implementation; the table of the guidance itself was not read. Its version 2.1 of
# 2017 had alpha = 0.3 (as in the R package dartle). Np and Nnp are of yearly means, which are not scored.
FAIRMODE_UNCERTAINTY, FAIRMODE_LEVEL, FAIRMODE_ALPHA = 0.36, 25.0, 0.5


@dataclass(frozen=True)
class Sums:
    """Sums of the same pairs over several kinds of strata.

    All have the dimensions (group, frequency, model). `station`, `slice` (hours of the day and levels) and `day` have
    the statistics SUMS along the dimension of their name, `place` has them by season and kind of place
    (strata.SEASONS, PLACES). `block` has RESAMPLED by (block, station): a block is the part of a week that lies in one
    month, named by its first day; its coordinates `city` (station,) and `is_place` (place, station) may be added.
    `scaled` has `n`, `covered` and `width` by `factor`: of intervals of factor * standard error round the estimate, cut
    at 0. What is scored counts as often as its weight in the fold (holdout.Fold).
    """

    station: xr.Dataset
    slice: xr.Dataset
    day: xr.Dataset
    place: xr.Dataset
    block: xr.Dataset
    scaled: xr.Dataset

    @classmethod
    def total(cls, parts: Iterable[Sums]) -> Sums:
        """The sums of all parts, groups in the order in which they come."""
        parts = list(parts)
        groups = list(dict.fromkeys(group for part in parts for group in part.station.group.values))
        return cls(*(add([getattr(part, name) for part in parts]).sel(group=groups) for name in STRATA))

    def with_cities(self, cities: Mapping[str, int], kinds: Mapping[str, Sequence[str]] | None = None) -> Sums:
        """With the city of each station, a number, which the bootstrap resamples; and of which kinds of place it is
        (strata.kinds_of_place), where scores are split by these."""
        stations = self.block.station.values
        named: dict[str, Any] = {"city": ("station", [cities[station] for station in stations])}
        if kinds is not None:
            named |= {"place": list(PLACES), "is_place": (("place", "station"), membership(kinds, stations))}
        return replace(self, block=self.block.assign_coords(named))


STRATA = tuple(field.name for field in fields(Sums))


def add(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """The sums of all parts, in their order; a label that a part lacks adds nothing there."""
    total, *more = (part.to_dataarray("sum") for part in parts)  # one array: dozens of small ones take longer
    for part in more:  # not all at once: each of many folds would be as large as their union
        total, aligned = xr.align(total, part, join="outer", fill_value=0.0, exclude=["sum"])
        total = total + aligned
    return total.to_dataset("sum")


def month_statistics(models: Mapping[str, Model], cube: xr.Dataset, withheld: list[str],
                     hours: np.ndarray, minimum_hours: int = MINIMUM_HOURS) -> xr.Dataset:
    """Sums (frequency, model, station) of some whole days at withheld stations of a cube.

    No model sees a withheld station: they are taken out of the cube before it is handed on.
    """
    found = fold_statistics(models, cube, Fold(tuple(withheld), {"all": tuple(withheld)}), hours, minimum_hours)
    return found.station.isel(group=0, drop=True)


def fold_statistics(models: Mapping[str, Model], cube: xr.Dataset, fold: Fold, hours: np.ndarray,
                    minimum_hours: int = MINIMUM_HOURS,
                    distributions: Mapping[str, Distribution] | None = None,
                    errors_of_days: Callable | None = None, truth: xr.Dataset | None = None,
                    kinds: Mapping[str, Sequence[str]] | None = None) -> Sums:
    """Sums of whole days at the scored stations of a fold, which no model sees, nor what else is taken out.

    `truth` is the cube of what they observed, if not `cube`; `kinds` the stations of kinds of place
    (strata.kinds_of_place). `hours` are those of calendar days UTC+8; `distributions` by model, where an hour's
    standard error is not of a normal one. `errors_of_days(model's name, arrays, days, sites)` gives what is known of
    the errors of days: `days` datetime64[D] (days,), `sites` (station,) by the stations that are seen, the rest as in
    predictions.predict_days. Without it no error of a day is known.
    """
    truth = cube if truth is None else truth
    scored = [station for station in fold.asked if station in set(truth.station.values)]
    asked, seen = truth.sel(station=scored), cube.isel(station=~np.isin(cube.station.values, list(fold.removed)))
    targets = schema.make_targets(hours, asked.lat.values, asked.lon.values)
    distance = nearest_remaining(seen.lat.values, seen.lon.values, asked.lat.values, asked.lon.values)
    sites = Sites.of(asked.lat.values, asked.lon.values, distance)
    shapes = {name: (distributions or {}).get(name, NORMAL) for name in models}
    predictions = {name: predict_hours(model, seen, targets, shapes[name]) for name, model in models.items()}
    observed = asked.pm25.reindex(time=hours).values
    together = np.isfinite(observed) & np.all([np.isfinite(one.pm25) for one in predictions.values()], axis=0)
    observed = np.where(together, observed, np.nan)
    daily_truth = mean_of_days(observed, minimum_hours)
    cut = _Cut.of(fold, scored, np.unique(time_axis.local_days(hours)), kinds or {})
    found: dict[str, list[np.ndarray]] = {name: [] for name in STRATA}  # (statistic, group, frequency, stratum)
    for name, hourly in predictions.items():
        hourly = hourly.where(together)
        asking = errors_of_days and partial(errors_of_days, name, days=cut.days, sites=sites)
        daily = predict_days(hourly, mean_of_days(hourly.pm25, minimum_hours), asking)
        pairs = [(observed, hourly, shapes[name], HOURS_PER_DAY), (daily_truth, daily, NORMAL, 1)]
        sums = [_by_stratum(t, prediction, _statistics(t, prediction, distance, shape), per_day, cut)
                for t, prediction, shape, per_day in pairs]
        for strata in STRATA:
            found[strata].append(np.stack([one[strata] for one in sums], axis=2))
    labels: dict[str, tuple] = {
        "station": (scored,), "slice": ([f"{by}: {name}" for by, name in HOURS_AND_LEVELS],),
        "day": (cut.days.astype("datetime64[ns]"),), "place": (list(SEASONS), list(PLACES)),
        "block": (cut.blocks.astype("datetime64[ns]"), scored), "scaled": (FACTORS,)}
    return Sums(**{strata: _dataset(np.stack(arrays, axis=3), strata, list(fold.scored), list(models), labels[strata])
                   for strata, arrays in found.items()})


@dataclass(frozen=True)
class _Cut:
    """How the pairs of a fold are cut: by station, day and week."""

    weights: np.ndarray       # (station, group): how much a station counts
    places: np.ndarray        # (place, station) bool
    days: np.ndarray          # datetime64[D] (days,)
    blocks: np.ndarray        # datetime64[D]: names of the parts of weeks
    block_of_day: np.ndarray  # (days,)

    @classmethod
    def of(cls, fold: Fold, scored: list[str], days: np.ndarray, kinds: Mapping[str, Sequence[str]]) -> _Cut:
        weights = np.stack([fold.weights_of(group, scored) for group in fold.scored], axis=1)
        return cls(weights, membership(kinds, scored), days, *_week_parts(days))


def mean_of_days(hourly: np.ndarray, minimum_hours: int) -> np.ndarray:
    """Means (days, stations) of days with enough hours, from (24 * days, stations); NaN for the others."""
    days = hourly.reshape(len(hourly) // HOURS_PER_DAY, HOURS_PER_DAY, hourly.shape[1])
    count = np.isfinite(days).sum(axis=1)
    mean = np.nansum(days, axis=1) / np.maximum(count, 1)
    return np.where(count >= minimum_hours, mean, np.nan)


def week_number(days: np.ndarray) -> np.ndarray:
    """Weeks since 1970-01-01 of days (datetime64), as time_axis.withheld_weeks counts them."""
    return days.astype("datetime64[D]").astype(int) // DAYS_PER_WEEK


def _week_parts(days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names of the blocks of some days, and the number of each day's block (days,)."""
    week = (DAYS_PER_WEEK * week_number(days)).astype("datetime64[D]")
    month = days.astype("datetime64[M]").astype("datetime64[D]")
    return np.unique(np.maximum(week, month), return_inverse=True)


DIMENSIONS = {"block": ("block", "station"), "scaled": ("factor",), "place": ("season", "place")}
VARIABLES = {"block": RESAMPLED, "scaled": ("n", "covered", "width")}


def _dataset(sums: np.ndarray, strata: str, groups: list[str], models: list[str], labels: tuple) -> xr.Dataset:
    """Sums (statistic, group, frequency, model, *stratum) as a Dataset."""
    own = DIMENSIONS.get(strata, (strata,))
    coords = {"group": groups, "frequency": ["hourly", "daily"], "model": models} | dict(zip(own, labels, strict=True))
    dims = ("group", "frequency", "model", *own)
    return xr.Dataset({name: (dims, sums[place]) for place, name in enumerate(VARIABLES.get(strata, SUMS))},
                      coords=coords)


def _statistics(truth: np.ndarray, prediction: IntervalPrediction, distance: np.ndarray,
                distribution: Distribution) -> np.ndarray:
    """The statistics (SUMS, time, station) of arrays (time, station), in float64; 0 where there is no pair."""
    known = np.isfinite(truth)
    truth, estimate = (np.where(known, a, 0.0).astype(np.float64) for a in (truth, prediction.pm25))
    miss = estimate - truth
    uncertainty = FAIRMODE_UNCERTAINTY**2 * ((1 - FAIRMODE_ALPHA**2) * truth**2 + (FAIRMODE_ALPHA * FAIRMODE_LEVEL)**2)
    fraction = miss / np.maximum((truth + estimate) / 2, TINY)
    classes = [np.digitize(a, DAY_CLASSES, right=True) for a in (truth, estimate)]
    over, alarmed = truth > DAILY_LIMIT, estimate > DAILY_LIMIT
    sure = known & (prediction.error > 0)  # an error of 0 is one that is not known
    error = np.where(sure, prediction.error, 1.0).astype(np.float64)
    z = np.where(sure, -miss / error, 0.0)
    rows = (known, truth, truth**2, estimate**2, miss, np.abs(miss), miss**2, fraction, np.abs(fraction),
            known * uncertainty, known * distance, known & (classes[0] == classes[1]), known & over & alarmed,
            known & over & ~alarmed, known & ~over & alarmed, sure, z**2,
            *_interval_statistics(truth, prediction, known, distribution))
    return np.stack([np.asarray(row, np.float64) for row in rows])


def _interval_statistics(truth: np.ndarray, prediction: IntervalPrediction, known: np.ndarray,
                         distribution: Distribution) -> tuple[np.ndarray, ...]:
    """The statistics of SUMS from `n_interval` on (the score: Gneiting and Raftery 2007, equation 43).

    Where the model gave bounds, CRPS, PIT and the shares in the other central intervals are of the distribution of two
    pieces whose quantiles they are (distributions.py); else of its standard error's.
    """
    known = known & np.isfinite(prediction.lower) & np.isfinite(prediction.upper)
    estimate, lower, upper = (np.where(known, a, 0.0).astype(np.float64)
                              for a in (prediction.pm25, prediction.lower, prediction.upper))
    distribution, *sides = prediction.pieces(distribution)
    side_below, side_above = (np.where(known, side, 1.0).astype(np.float64) for side in sides)
    probability, crps = distribution.two_piece(known * (truth - estimate), side_below, side_above)
    place = np.where(known, np.minimum((probability * PIT_BINS).astype(int), PIT_BINS - 1), -1)
    below, above = known * np.maximum(lower - truth, 0), known * np.maximum(truth - upper, 0)
    width = upper - lower
    return (known, known * crps, *(known & (np.abs(2 * probability - 1) <= share) for share in (0.5, 0.8, 0.95)),
            known & (below == 0) & (above == 0), below > 0, above > 0, width, width + PENALTY * (below + above),
            *(place == number for number in range(PIT_BINS)))


def _by_stratum(truth: np.ndarray, prediction: IntervalPrediction, statistics: np.ndarray, per_day: int,
                cut: _Cut) -> dict[str, np.ndarray]:
    """Statistics (SUMS, time, station) summed into (variable, group, *stratum) for each of STRATA.

    `per_day` is the number of times in a day.
    """
    weights = cut.weights
    days = statistics.reshape(len(SUMS), statistics.shape[1] // per_day, per_day, statistics.shape[2])
    of_days = days.sum(axis=2)
    of_hours = days.sum(axis=1) @ weights if per_day == HOURS_PER_DAY else np.zeros(
        (len(SUMS), HOURS_PER_DAY, weights.shape[1]))
    of_levels = [np.einsum("stn,tn->sn", statistics, in_level(pm25, level)) @ weights
                 for pm25 in (truth, prediction.pm25) for level in LEVELS]
    slices = np.concatenate([of_hours, np.stack(of_levels, axis=1)], axis=1)
    of_seasons = np.stack([of_days[:, in_season(cut.days, season)].sum(axis=1) for season in SEASONS], axis=1)
    drawn = of_days[[SUMS.index(name) for name in RESAMPLED]]
    of_blocks = np.stack([drawn[:, cut.block_of_day == number].sum(axis=1) for number in range(len(cut.blocks))], 1)
    return {"station": statistics.sum(axis=1)[:, None] * weights.T, "slice": slices.swapaxes(1, 2),
            "day": (of_days @ weights).swapaxes(1, 2),
            "place": np.einsum("stn,ng,pn->sgtp", of_seasons, weights, cut.places),
            "block": of_blocks[:, None] * weights.T[None, :, None, :],
            "scaled": np.stack([_scaled(truth, prediction, mine) for mine in weights.T], axis=1)}


def _scaled(truth: np.ndarray, prediction: IntervalPrediction, weights: np.ndarray) -> np.ndarray:
    """`n`, `covered` and `width` (3, factor) of intervals of each of FACTORS times the standard error, cut at 0.

    `weights` (station,) say how much each station counts.
    """
    sure = np.isfinite(truth) & (prediction.error > 0) & (weights > 0)
    counts = np.broadcast_to(weights, truth.shape)[sure]
    truth, estimate, error = (a[sure].astype(np.float64) for a in (truth, prediction.pm25, prediction.error))
    reaches_zero = estimate / error  # from this factor on the lower end is 0
    half_above = FACTORS * (counts * error).sum()
    half_below = (FACTORS * ((counts * error).sum() - _up_to_factor(reaches_zero, counts * error))
                  + _up_to_factor(reaches_zero, counts * estimate))
    return np.stack([np.full(len(FACTORS), counts.sum()), _up_to_factor(np.abs(truth - estimate) / error, counts),
                     half_above + half_below])


def _up_to_factor(ratio: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum of weights of ratios (pair,) that are no larger than each of FACTORS (factor,)."""
    return np.cumsum(np.bincount(np.searchsorted(FACTORS, ratio), weights, len(FACTORS) + 1))[:-1]
