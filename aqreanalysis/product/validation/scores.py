"""The table of a product's own validation: error and bounds at its hidden stations, by design and stratum.

A row is a design, a frequency (hourly, daily) and a stratum. Coverage is of bounds whose factors were fitted without
the stations of the own city; `coverage_90_other_weeks` of factors that were fitted without the own week. The
map-matched design is weighted to be like the map's land; the distance-matched one has the same stations unweighted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.evaluation.bootstrap import skill_intervals
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED
from aqreanalysis.evaluation.metrics import DISTANCES, normalised, paired_scores
from aqreanalysis.evaluation.statistics import mean_of_days, week_number
from aqreanalysis.evaluation.strata import LEVELS, SEASONS, in_level, in_season
from aqreanalysis.product.validation.fit import CITIES, WEEKS, Fitted
from aqreanalysis.product.validation.hidden import HiddenDays
from aqreanalysis.time_axis import HOURS_PER_DAY, MINIMUM_HOURS

HOURLY, DAILY = "hourly", "daily"
ALL = "all designs"
KEYS = ("design", "frequency", "by", "slice")


@dataclass(frozen=True)
class Pairs:
    """Pairs (n,) of truth and estimate, all in ug m-3, with what splits them: hours, or days.

    `bounds` by kind (CITIES, WEEKS): standard error, lower and upper bound (3, n); NaN where there are none.
    """

    frequency: str
    truth: np.ndarray
    estimate: np.ndarray
    kriging: np.ndarray
    bounds: dict[str, np.ndarray]
    weight: np.ndarray
    distance: np.ndarray
    day: np.ndarray
    hour: np.ndarray    # of the day UTC+8, from 0; -1 of a day
    station: np.ndarray
    city: np.ndarray
    design: np.ndarray
    kinds: Mapping[str, Collection[str]]  # kinds of place: the names of their stations

    def __getitem__(self, which: np.ndarray) -> Pairs:
        bounds = {name: array[:, which] for name, array in self.bounds.items()}
        others = {name: getattr(self, name)[which] for name in vars(self)
                  if name not in ("frequency", "bounds", "kinds")}
        return Pairs(self.frequency, bounds=bounds, kinds=self.kinds, **others)


def pairs_of(days: HiddenDays, crossed: dict[str, Fitted], kinds: Mapping[str, Collection[str]]) -> list[Pairs]:
    """Pairs of hours and of whole days. `crossed` by kind: bounds of factors that were fitted without the own group;
    `kinds` of place with their stations."""
    row, hour = np.nonzero(np.isfinite(days.truth))
    hourly = Pairs(HOURLY, days.truth[row, hour], days.estimate[row, hour], days.kriging[row, hour],
                   {name: of.hours[:, row, hour] for name, of in crossed.items()}, days.weight[row], days.distance[row],
                   days.day[row], hour, days.station[row], days.city[row], days.design[row], kinds)
    means = [_mean(array, days) for array in (days.truth, days.estimate, days.kriging)]
    whole = np.flatnonzero(np.isfinite(means[0]))
    daily = Pairs(DAILY, means[0][whole], means[1][whole], means[2][whole],
                  {name: of.days[:, whole] for name, of in crossed.items()},
                  days.weight[whole], days.distance[whole], days.day[whole], np.full(len(whole), -1),
                  days.station[whole], days.city[whole], days.design[whole], kinds)
    return [hourly, daily]


def _mean(array: np.ndarray, days: HiddenDays) -> np.ndarray:
    """Means (n,) of days of enough hours with a truth."""
    known = np.where(np.isfinite(days.truth), array, np.nan).astype(np.float64)
    return mean_of_days(known.T, MINIMUM_HOURS)[0].astype(np.float32)


def score_table(pairs: list[Pairs]) -> pd.DataFrame:
    """Every score of every design and stratum that has a pair, a row each."""
    rows = []
    for of in pairs:
        for design, mine in _designs(of):
            rows += [dict(zip(KEYS, (design, of.frequency, by, name), strict=True)) | scores(mine[which])
                     for by, name, which in strata(mine) if which.any()]
            first = next(row for row in rows if (row["design"], row["frequency"]) == (design, of.frequency))
            first |= skill_interval(mine)
    return pd.DataFrame(rows)


def _designs(pairs: Pairs) -> Iterator[tuple[str, Pairs]]:
    """The pairs of each design: of all together, each design having the same weight, of each, and unweighted."""
    names = list(dict.fromkeys(pairs.design.tolist()))
    weight = np.zeros(len(pairs.truth))
    for name in names:
        mine = pairs.design == name
        weight[mine] = pairs.weight[mine] / pairs.weight[mine].mean() / mine.sum()
    yield ALL, _weighted(pairs, weight)
    for name in names:
        mine = pairs[pairs.design == name]
        yield name, mine
        if name == MAP_MATCHED:
            yield DISTANCE_MATCHED, _weighted(mine, np.ones(len(mine.truth)))


def _weighted(pairs: Pairs, weight: np.ndarray) -> Pairs:
    others = {name: value for name, value in vars(pairs).items() if name != "weight"}
    return Pairs(weight=weight, **others)


def strata(pairs: Pairs) -> Iterator[tuple[str, str, np.ndarray]]:
    """By what, its slice, and which pairs (n,) are in it."""
    yield "all", "all", np.ones(len(pairs.truth), bool)
    for season in SEASONS:
        yield "season", season, in_season(pairs.day, season)
    for level in LEVELS:
        yield "estimated level", level, in_level(pairs.estimate, level)
    for low, high in zip(DISTANCES[:-1], DISTANCES[1:], strict=True):
        name = f"{low:g}-{high:g} km" if np.isfinite(high) else f"over {low:g} km"
        yield "distance", name, (pairs.distance >= low) & (pairs.distance < high)
    for kind, stations in pairs.kinds.items():
        yield "place", kind, np.isin(pairs.station.astype(str), [str(station) for station in stations])
    if pairs.frequency == HOURLY:
        for hour in range(HOURS_PER_DAY):
            yield "hour", f"{hour:02d}", pairs.hour == hour


def scores(pairs: Pairs) -> dict[str, float]:
    """The scores of some pairs, weighted; `n`, `stations` and `days` are counts without weights."""
    found: dict[str, float] = {"n": len(pairs.truth), "stations": len(np.unique(pairs.station.astype(str))),
                               "days": len(np.unique(pairs.day))}
    return found | paired_scores(pairs.truth, pairs.estimate, pairs.kriging, pairs.weight) | _of_bounds(pairs)


def _of_bounds(pairs: Pairs) -> dict[str, float]:
    """What the 90 % bounds hold, how wide they are, and the root mean square of error over standard error."""
    truth, estimate = pairs.truth.astype(np.float64), pairs.estimate.astype(np.float64)
    weight = normalised(pairs.weight)
    found = dict.fromkeys(("coverage_90", "below_90", "above_90", "width_90", "z_rms", "coverage_90_other_weeks"),
                          np.nan)
    for kind, names in ((CITIES, ("coverage_90", "below_90", "above_90", "width_90", "z_rms")),
                        (WEEKS, ("coverage_90_other_weeks",))):
        error, lower, upper = pairs.bounds.get(kind, np.full((3, len(truth)), np.nan)).astype(np.float64)
        known = np.isfinite(lower) & (weight > 0)
        if known.any():
            share = np.where(known, weight, 0.0) / weight[known].sum()
            below, above = share @ (truth < lower), share @ (truth > upper)
            values = (1.0 - below - above, below, above, share @ np.where(known, upper - lower, 0.0),
                      np.sqrt(share @ np.where(known, (truth - estimate) / np.where(known, error, 1.0), 0.0) ** 2))
            found |= dict(zip(names, values, strict=False))
    return found


def skill_interval(pairs: Pairs) -> dict[str, float]:
    """The central 95 % of the skill, cities and weeks resampled: `skill_low`, `skill_high`; NaN with too few."""
    weeks, week = np.unique(week_number(pairs.day), return_inverse=True)
    cities, city = np.unique(pairs.city, return_inverse=True)
    sums = {}
    for name, power in (("error_absolute", 1), ("error_squared", 2)):
        cells = np.zeros((2, len(weeks), len(cities)))
        for place, values in enumerate((pairs.kriging, pairs.estimate)):
            miss = np.abs(values - pairs.truth).astype(np.float64)
            np.add.at(cells[place], (week, city), pairs.weight * miss**power)
        sums[name] = (("group", "frequency", "model", "block", "station"), cells[None, None])
    coords = {"group": ["all"], "frequency": [pairs.frequency], "model": ["kriging", "ours"],
              "block": (7 * weeks).astype("datetime64[D]").astype("datetime64[ns]"), "station": cities}
    ends = skill_intervals(xr.Dataset(sums, coords=coords)).sel(model="ours").isel(group=0, frequency=0)
    return {name: float(ends[name]) for name in ("skill_low", "skill_high")}
