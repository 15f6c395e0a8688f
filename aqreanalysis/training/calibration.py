"""Calibration of a network's errors at the validation stations: which rows, which factors, and how well they hold.

Rows come from stations that the network was neither trained on nor given, on days outside the withheld weeks: as they
were withheld, and with their surroundings taken out too, so that the distances to the nearest station are those of the
map's cells. Whether the factors hold elsewhere is told by cross-validation: they are fitted again without the
stations of some towns, or without some weeks, and the shares of the truth inside the bounds are counted there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import holdout
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.strata import LEVELS, SEASONS, THIRDS, in_level, in_season
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import calibration, uncertainty
from aqreanalysis.models.calibration import Bounds, Calibration
from aqreanalysis.observations.stations import Split, city_numbers
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, MINIMUM_HOURS

EVERY_DAYS = 4       # of the days that may be asked for: coprime to the week
GRID = "0.1deg"      # whose land cells the distances are those of
PARTS = 5            # of the towns, or weeks, that the factors are fitted without in turn
SLICES = ("all", *SEASONS, *THIRDS, *LEVELS, holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES, holdout.DISTANCE_MATCHED)


@dataclass(frozen=True)
class Rows:
    """Days of stations that were left out; a row is a station, a day and a fold.

    `estimate`, its raw `scale` and `truth` (n, 24), ug m-3; `distance` (n,) km to the nearest station that the model
    was given; `day` (n,) datetime64[D]; `station` (n,) names; `design` (n,) of the fold.
    """

    estimate: np.ndarray
    scale: np.ndarray
    truth: np.ndarray
    distance: np.ndarray
    day: np.ndarray
    station: np.ndarray
    design: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """Which rows (n,) have the hours that make a valid day."""
        return (np.isfinite(self.estimate) & np.isfinite(self.truth)).sum(axis=1) >= MINIMUM_HOURS

    def __getitem__(self, which) -> Rows:
        return Rows(*(getattr(self, field.name)[which] for field in fields(self)))

    @staticmethod
    def joined(parts: list[Rows]) -> Rows:
        """All rows of some parts, in their order."""
        return Rows(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)))


def calibrate(model, cube: xr.Dataset, split: Split, days: np.ndarray,
              tell: Callable[[str], None] = lambda text: None) -> Calibration:
    """The calibration of an AQNetAnalysis, and in its facts how well it holds at stations that it was not fitted to.

    Parameters
    ----------
    cube : station cube (time, station) of training and validation stations, no others.
    split : whose validation stations are asked for.
    days : datetime64[D], days that may be asked for.
    """
    days = days[::EVERY_DAYS]
    table = pd.DataFrame({"station_id": cube.station.values, "lat": cube.lat.values, "lon": cube.lon.values})
    folds = designs(table, split)
    parts = []
    for number, fold in enumerate(folds, start=1):
        parts.append(rows_of(model, cube, fold, days))
        tell(f"calibration: estimates of fold {number} of {len(folds)}")
    rows = Rows.joined(parts)
    if not rows.whole.any():
        raise UserError(f"The {len(split.validation)} validation stations have no whole day among {len(days)} days.",
                        f"A calibration needs days of at least {MINIMUM_HOURS} hours with an observation.",
                        "Choose a longer period, or withhold other stations (withheld: seed).")
    towns = table.assign(town=city_numbers(table)).set_index("station_id").town
    facts = {"stations": len(np.unique(rows.station)), "days": len(days), "first": str(days[0]), "last": str(days[-1]),
             "station_hours": int(np.isfinite(rows.truth).sum()),
             "at_other_towns": cross_validated(rows, towns.loc[rows.station].to_numpy()),
             "in_other_weeks": cross_validated(rows, rows.day.astype(int) // 7)}
    return replace(fit(rows), facts=facts)


def designs(table: pd.DataFrame, split: Split) -> list[Fold]:
    """The validation stations as they were withheld, and with their surroundings taken out, as far apart as land cells.

    `table` has station_id, lat, lon of training and validation stations. Where too few stations or no land cells lie
    around, only as withheld.
    """
    lat, lon = table.lat.to_numpy(), table.lon.to_numpy()
    folds = [holdout.withheld(split.validation_single, split.validation_city)]
    cells = parse_grid(GRID)
    inside = cells.land & uncertainty.inside_hull(lat, lon, cells.lat, cells.lon)
    if inside.any():
        wanted = holdout.nearest_remaining(lat, lon, cells.lat[inside], cells.lon[inside])
        folds += holdout.distance_matched(table, split.validation, wanted).folds
    return folds[:1] + [fold for fold in folds[1:] if len(fold.removed) <= len(table) / 2]


def rows_of(model, cube: xr.Dataset, fold: Fold, days: np.ndarray) -> Rows:
    """What a model without a calibration says at the scored stations of a fold on some days, and the truth."""
    model = replace(model, calibration=None)
    scored = [station for stations in fold.scored.values() for station in stations]
    design = np.repeat(list(fold.scored), [len(stations) for stations in fold.scored.values()]).astype(object)
    given, asked = cube.drop_sel(station=list(fold.removed)), cube.sel(station=scored)
    distance = holdout.nearest_remaining(given.lat.values, given.lon.values, asked.lat.values, asked.lon.values)
    parts = []
    for of in _months(days):
        hours = np.concatenate([time_axis.hours_of_days(day.item(), day.item()) for day in of])
        window = slice(hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR)
        found = model.predict(given.sel(time=window), schema.make_targets(hours, asked.lat.values, asked.lon.values))
        arrays = (found[schema.TARGET].values, found[schema.STANDARD_ERROR].values,
                  asked[schema.TARGET].reindex(time=hours).values)
        parts.append(Rows(*(_by_day(array) for array in arrays), np.tile(distance, len(of)),
                          np.repeat(of, len(scored)), np.tile(np.array(scored, object), len(of)),
                          np.tile(design, len(of))))
    return Rows.joined(parts)


def _months(days: np.ndarray) -> Iterator[np.ndarray]:
    """The days, a calendar month at a time: no more of the stations' series is filled at once."""
    month = days.astype("datetime64[M]")
    for each in np.unique(month):
        yield days[month == each]


def _by_day(array: np.ndarray) -> np.ndarray:
    """(24 * days, stations) as (days * stations, 24), the stations of a day together."""
    return array.reshape(-1, HOURS_PER_DAY, array.shape[1]).transpose(0, 2, 1).reshape(-1, HOURS_PER_DAY)


def fit(rows: Rows) -> Calibration:
    """Factors of hours, by their standard errors the correlation of errors in a day, by both the factors of days."""
    hourly = calibration.fit(*_hours(rows))
    error, _, _ = applied(hourly, rows)
    correlation = np.round(calibration.correlation_by_lag((rows.truth - rows.estimate) / error), calibration.DIGITS)
    return Calibration(hourly, calibration.fit(*days_of(rows, error, correlation)), tuple(correlation))


def _hours(rows: Rows) -> tuple[np.ndarray, ...]:
    each = lambda a: np.repeat(a, HOURS_PER_DAY)  # noqa: E731
    return rows.estimate.ravel(), rows.scale.ravel(), rows.truth.ravel(), each(rows.distance), each(rows.day)


def applied(bounds: Bounds, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard error, lower and upper bound (n, 24) of rows, as a product would have them."""
    return bounds.apply(rows.estimate, rows.scale, rows.distance[:, None], rows.day[:, None])


def days_of(rows: Rows, error: np.ndarray, correlation: np.ndarray) -> tuple[np.ndarray, ...]:
    """Means of days (n,) from the hours with a truth: estimate, raw standard error, truth; distance and day."""
    known = np.isfinite(rows.truth) & np.isfinite(rows.estimate)
    of_known = lambda a: np.where(known, a, np.nan).T  # noqa: E731
    flag = np.zeros(known.T.shape, np.int8)
    mean = uncertainty.daily(of_known(rows.estimate), of_known(error), flag, MINIMUM_HOURS, correlation)
    truth = uncertainty.daily(of_known(rows.truth), of_known(error), flag, MINIMUM_HOURS, correlation)[schema.TARGET]
    return mean[schema.TARGET][0], mean[schema.STANDARD_ERROR][0], truth[0], rows.distance, rows.day


def cross_validated(rows: Rows, group: np.ndarray) -> dict:
    """Coverage by frequency and slice, where factors were fitted without the row's own group.

    `group` (n,) numbers what belongs together: a town, a week. The answer is empty where nothing can be said: of fewer
    than two groups with whole days.
    """
    groups, number = np.unique(group, return_inverse=True)
    if len(groups) < 2:
        return {}
    order = np.argsort(np.argsort(-np.bincount(number), kind="stable"), kind="stable")
    part = order[number] % min(PARTS, len(groups))  # large groups go to different parts
    found = {"hourly": [], "daily": []}
    for one in np.unique(part):
        others, left = rows[part != one], rows[part == one]
        if not (others.whole.any() and left.whole.any()):
            continue
        made = fit(others)
        error, lower, upper = applied(made.hourly, left)
        estimate, _, truth, distance, day = _hours(left)
        found["hourly"].append((estimate, error.ravel(), lower.ravel(), upper.ravel(), truth, distance, day,
                                np.repeat(left.design, HOURS_PER_DAY)))
        mean, raw, truth, distance, day = days_of(left, error, made.correlation)
        found["daily"].append((mean, *made.daily.apply(mean, raw, distance, day), truth, distance, day, left.design))
    return {name: coverage(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
            for name, parts in found.items() if parts}


def coverage(estimate, error, lower, upper, truth, distance, day, design) -> dict:
    """What bounds and standard errors (n,) are worth, by slice and by design (n,).

    For each slice with a pair: `n`; `inside`, `below` and `above`, shares of the truth; `z_rms`, the root mean square
    of (truth - estimate) / error; `width` of the interval, ug m-3. Thirds of distance are of the rows with a pair.
    """
    known = np.isfinite(truth) & np.isfinite(estimate)
    thirds = np.digitize(distance, np.quantile(distance[known], (1 / 3, 2 / 3)))
    slices = {"all": known} | {name: known & in_season(day, name) for name in SEASONS}
    slices |= {name: known & (thirds == number) for number, name in enumerate(THIRDS)}
    slices |= {name: known & in_level(estimate, name) for name in LEVELS}
    slices |= {name: known & (design == name) for name in np.unique(design)}
    found = {}
    for name, which in slices.items():
        if which.any():
            e, s, lo, up, t = (a[which].astype(np.float64) for a in (estimate, error, lower, upper, truth))
            found[name] = {"n": int(which.sum()), "inside": float(((lo <= t) & (t <= up)).mean()),
                           "below": float((t < lo).mean()), "above": float((t > up).mean()),
                           "z_rms": float(np.sqrt((((t - e) / s) ** 2).mean())), "width": float((up - lo).mean())}
            found[name] = {key: value if key == "n" else round(value, 4) for key, value in found[name].items()}
    return found
