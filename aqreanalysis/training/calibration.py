"""Calibration of a network's errors at stations left out: on which days, with which factors, how well they hold.

The days are of stations that the network was neither trained on nor given, outside the withheld weeks: as the stations
were withheld, and with their surroundings taken out too, so that the distances to the nearest station are those of the
map's cells. Whether the factors hold elsewhere is found by cross-validation: they are fitted again without the stations
of some towns, or without some weeks, and the shares of the observations inside the bounds are counted there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation import holdout
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.strata import LEVELS, SEASONS, THIRDS, in_level, in_season
from aqreanalysis.models import calibration, uncertainty
from aqreanalysis.models.base import Model
from aqreanalysis.models.calibrated import with_calibration
from aqreanalysis.models.calibration import Bounds, Calibration
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, MINIMUM_HOURS

LEFT_OUT_PARTS = 5          # of the towns, or weeks: the factors are fitted without each in turn
COVERAGE_SLICES = ("all", *SEASONS, *THIRDS, *LEVELS, holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES,
                   holdout.DISTANCE_MATCHED, holdout.MAP_MATCHED)


@dataclass(frozen=True)
class HeldOutDays:
    """Days of stations that were left out; an entry is a station, a day and a fold.

    `estimate`, its raw `scale` and `truth` (n, 24), ug m-3; `distance` (n,) km to the nearest station that the model
    was given; `day` (n,) datetime64[D]; `station` (n,) names; `design` (n,) of the fold; `fold` (n,), the number of
    what is hidden together; `lat`, `lon` (n,) of the station; `weight` (n,) says how much each counts in its design: of
    those that are map-matched as much as the land that the station stands for.
    """

    estimate: np.ndarray
    scale: np.ndarray
    truth: np.ndarray
    distance: np.ndarray
    day: np.ndarray
    station: np.ndarray
    design: np.ndarray
    fold: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    weight: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """Which of them (n,) have the hours that make a valid day."""
        return (np.isfinite(self.estimate) & np.isfinite(self.truth)).sum(axis=1) >= MINIMUM_HOURS

    @cached_property
    def sites(self) -> Sites:
        """Where they are (n,)."""
        places, which = np.unique(np.stack([self.lat, self.lon]), axis=1, return_inverse=True)
        return Sites(self.distance, Sites.of(places[0], places[1], np.zeros(places.shape[1])).population[which])

    @property
    def designs(self) -> dict[str, np.ndarray]:
        """How much each row (n,) counts in each design, 0 where it is of another; the rows that are as far from
        stations as the map's land are weighted like that land in the design MAP_MATCHED."""
        found = {str(name): (self.design == name).astype(float) for name in dict.fromkeys(self.design)}
        matched = found.get(holdout.DISTANCE_MATCHED)
        if matched is not None and (self.weight[matched > 0] != 1).any():
            found[holdout.MAP_MATCHED] = matched * self.weight
        return found

    def __getitem__(self, which: np.ndarray) -> Self:
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The days of all parts, in their order."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def held_out_days(model: Model, cube: xr.Dataset, fold: Fold, days: np.ndarray) -> HeldOutDays:
    """What a model estimates at the scored stations of a fold on some days, without its calibration, and the truth; a
    calendar month is estimated at once."""
    return HeldOutDays.joined([days_at_once(model, cube, fold, of_month) for of_month in by_month(days)])


def days_at_once(model: Model, cube: xr.Dataset, fold: Fold, days: np.ndarray,
                 fields: xr.Dataset | None = None) -> HeldOutDays:
    """The same from one reading of the hours round all days; the stations of a day stand together.

    `fields` are given to a model that reads some.
    """
    model = with_calibration(model, None)
    scored = [station for stations in fold.scored.values() for station in stations]
    design = np.repeat(list(fold.scored), [len(stations) for stations in fold.scored.values()]).astype(object)
    weight = np.concatenate([fold.weights_of(group, stations) for group, stations in fold.scored.items()])
    given, asked = cube.drop_sel(station=list(fold.removed)), cube.sel(station=scored)
    distance = holdout.nearest_remaining(given.lat.values, given.lon.values, asked.lat.values, asked.lon.values)
    hours = np.concatenate([time_axis.hours_of_days(day.item(), day.item()) for day in days])
    window = slice(hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR)
    found = model.predict(given.sel(time=window), schema.make_targets(hours, asked.lat.values, asked.lon.values),
                          fields if model.fields else None)
    estimate, scale, truth = (by_day(array) for array in (
        found[schema.TARGET].values, found[schema.STANDARD_ERROR].values,
        asked[schema.TARGET].reindex(time=hours).values))
    distances, stations, designs, lat, lon = (np.tile(of_station, len(days)) for of_station in (
        distance, np.array(scored, object), design, asked.lat.values, asked.lon.values))
    return HeldOutDays(estimate, scale, truth, distances, np.repeat(days, len(scored)), stations, designs,
                       np.full(len(stations), fold.number), lat, lon, np.tile(weight, len(days)))


def by_month(days: np.ndarray) -> Iterator[np.ndarray]:
    """The days, a calendar month at a time: no more of the stations' series is filled at once."""
    month = days.astype("datetime64[M]")
    for each in np.unique(month):
        yield days[month == each]


def by_day(array: np.ndarray) -> np.ndarray:
    """(24 * days, stations) as (days * stations, 24), the stations of a day together."""
    return array.reshape(-1, HOURS_PER_DAY, array.shape[1]).transpose(0, 2, 1).reshape(-1, HOURS_PER_DAY)


def fit_calibration(days: HeldOutDays) -> Calibration:
    """Factors of hours; from the standard errors that they give, the correlation of errors within a day; from both, the
    factors of daily means."""
    hourly = calibration.fit(*_hours(days), np.repeat(days.weight, HOURS_PER_DAY))
    error, _, _ = apply_bounds(hourly, days)
    correlation = np.round(calibration.correlation_by_lag((days.truth - days.estimate) / error), calibration.DIGITS)
    daily = calibration.fit(*daily_means(days, error, tuple(correlation)), days.weight)
    return Calibration(hourly, daily, tuple(correlation))


def _hours(days: HeldOutDays) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sites, np.ndarray]:
    """Estimate, scale, truth, site and day of each hour (24 n,)."""
    hour = np.repeat(np.arange(len(days.day)), HOURS_PER_DAY)
    return days.estimate.ravel(), days.scale.ravel(), days.truth.ravel(), days.sites[hour], days.day[hour]


def apply_bounds(bounds: Bounds, days: HeldOutDays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard error, lower and upper bound (n, 24) of hours, as a product would have them."""
    return bounds.apply(days.estimate, days.scale, days.sites[:, None], days.day[:, None])


def daily_means(days: HeldOutDays, error: np.ndarray, correlation: Sequence[float]
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sites, np.ndarray]:
    """Daily means (n,) over the hours with a truth: estimate, raw standard error, truth; site and day.

    `error` (n, 24) standard errors of hours, `correlation` (24,) of their errors by lag.
    """
    known = np.isfinite(days.truth) & np.isfinite(days.estimate)
    estimate, truth, error = (np.where(known, a, np.nan).T for a in (days.estimate, days.truth, error))
    flag = np.zeros(known.T.shape, np.int8)
    mean = uncertainty.daily(estimate, error, flag, MINIMUM_HOURS, correlation)
    of_truth = uncertainty.daily(truth, error, flag, MINIMUM_HOURS, correlation)[schema.TARGET]
    return mean[schema.TARGET][0], mean[schema.STANDARD_ERROR][0], of_truth[0], days.sites, days.day


def cross_validated(days: HeldOutDays, group: np.ndarray) -> dict:
    """Coverage by frequency and stratum, with factors that were fitted without the days' own group.

    `group` (n,) numbers what belongs together: a town, a week. The answer is empty where nothing can be found out: of
    fewer than two groups with whole days.
    """
    if len(np.unique(group)) < 2:
        return {}
    part = dealt(group)
    found: dict[str, list[tuple[np.ndarray, ...]]] = {"hourly": [], "daily": []}
    for one in np.unique(part):
        others, left = days[part != one], days[part == one]
        if not (others.whole.any() and left.whole.any()):
            continue
        fitted = fit_calibration(others)
        error, lower, upper = apply_bounds(fitted.hourly, left)
        estimate, _, truth, sites, day = _hours(left)
        number = np.flatnonzero(part == one)
        found["hourly"].append((estimate, error.ravel(), lower.ravel(), upper.ravel(), truth, sites.distance, day,
                                np.repeat(number, HOURS_PER_DAY)))
        mean, raw, truth, sites, day = daily_means(left, error, fitted.correlation)
        found["daily"].append((mean, *fitted.daily.apply(mean, raw, sites, day), truth, sites.distance, day, number))
    return {name: _coverage_by_design(days.designs, [np.concatenate(arrays) for arrays in zip(*parts, strict=True)])
            for name, parts in found.items() if parts}


def _coverage_by_design(designs: dict[str, np.ndarray], arrays: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """As coverage; the last of the arrays is the number of the row that each pair is of."""
    estimate, error, lower, upper, truth, distance, day, number = arrays
    return coverage(estimate, error, lower, upper, truth, distance, day,
                    {name: weight[number] for name, weight in designs.items()})


def dealt(group: np.ndarray) -> np.ndarray:
    """The part (n,), one of at most LEFT_OUT_PARTS, of groups numbered (n,): large ones are in different parts."""
    _, number = np.unique(group, return_inverse=True)
    sizes = np.bincount(number)
    order = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    return order[number] % min(LEFT_OUT_PARTS, len(sizes))


def coverage(estimate: np.ndarray, error: np.ndarray, lower: np.ndarray, upper: np.ndarray, truth: np.ndarray,
             distance: np.ndarray, day: np.ndarray, designs: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How well bounds and standard errors (n,) hold, by stratum and by design, of which weights (n,) are given.

    For each stratum with a pair: `n`; `inside`, `below` and `above`, shares of the truth; `z_rms`, the root mean square
    of (truth - estimate) / error; `width` of the interval, ug m-3. Thirds of distance are of the pairs.
    """
    known = np.isfinite(truth) & np.isfinite(estimate)
    thirds = np.digitize(distance, np.quantile(distance[known], (1 / 3, 2 / 3)))
    strata = {"all": known} | {name: known & in_season(day, name) for name in SEASONS}
    strata |= {name: known & (thirds == number) for number, name in enumerate(THIRDS)}
    strata |= {name: known & in_level(estimate, name) for name in LEVELS}
    weights = {name: which.astype(float) for name, which in strata.items()}
    weights |= {name: known * designs[name] for name in sorted(designs)}
    arrays = estimate, error, lower, upper, truth
    return {name: _coverage_of(*(a[weight > 0].astype(np.float64) for a in (*arrays, weight)))
            for name, weight in weights.items() if weight.any()}


def _coverage_of(estimate: np.ndarray, error: np.ndarray, lower: np.ndarray, upper: np.ndarray,
                 truth: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """The numbers of one stratum; see coverage."""
    means = {"inside": (lower <= truth) & (truth <= upper), "below": truth < lower, "above": truth > upper,
             "z_rms": ((truth - estimate) / error) ** 2, "width": upper - lower}
    found = {name: np.average(values, weights=weight) for name, values in means.items()}
    found["z_rms"] = np.sqrt(found["z_rms"])
    return {"n": len(truth)} | {name: round(float(value), 4) for name, value in found.items()}
