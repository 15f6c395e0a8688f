"""Sums of what models missed at withheld stations, by station, by day, by hour of the day and by level.

A statistic is a number for each pair of observation and estimate; only its sums are kept, and sums of
months add up to those of a year.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import clock, schema
from aqreanalysis.clock import HOURS_PER_DAY
from aqreanalysis.evaluation.distributions import NORMAL, Distribution
from aqreanalysis.evaluation.holdout import Fold, nearest_remaining

SHARES = (50, 80, 90, 95)  # per cent, of the central intervals
PIT_BINS = 10
SUMS = ("n", "truth", "truth_squared", "estimate_squared", "error", "error_absolute", "error_squared",
        "fractional_error", "fractional_error_absolute", "uncertainty_squared", "distance",
        "same_class", "hits", "misses", "false_alarms",
        "n_error", "z_squared", "crps", "width_90", *(f"covered_{share}" for share in SHARES),
        *(f"pit_{number}" for number in range(PIT_BINS)))
LEVELS = {"0-35": (-np.inf, 35.0), "35-75": (35.0, 75.0), "75-150": (75.0, 150.0), "over 150": (150.0, np.inf)}
# China's classes of a day's PM2.5, ug m-3 (HJ 633-2012); 75 is also the daily limit, grade II (GB 3095-2012)
CLASSES = (35.0, 75.0, 115.0, 150.0, 250.0)
EXCEEDED = 75.0
SLICES = tuple([("hour", f"{hour:02d}") for hour in range(HOURS_PER_DAY)]
               + [(by, name) for by in ("observed level", "predicted level") for name in LEVELS])
# Measurement uncertainty of PM2.5 days, FAIRMODE (Janssen and Thunis 2022, 10.2760/41988):
# U(O) = U_RV sqrt((1 - alpha^2) O^2 + alpha^2 RV^2), expanded with a coverage factor of 2
FAIRMODE_UNCERTAINTY, FAIRMODE_LEVEL, FAIRMODE_ALPHA = 0.36, 25.0, 0.5


@dataclass(frozen=True)
class Sums:
    """Sums of the same pairs, cut in three ways; each has the statistics as variables.

    Dimensions (group, frequency, model) and `station`; `slice`, which is hours of the day and levels; `day`.
    """

    station: xr.Dataset
    slice: xr.Dataset
    day: xr.Dataset

    @classmethod
    def total(cls, parts: Iterable[Sums]) -> Sums:
        """The sums of all parts, groups in the order in which they come."""
        parts = list(parts)
        groups = list(dict.fromkeys(group for part in parts for group in part.station.group.values))
        return cls(*(add([getattr(part, name) for part in parts]).sel(group=groups)
                     for name in cls.__dataclass_fields__))


def add(parts: list[xr.Dataset]) -> xr.Dataset:
    """The sums of all parts; what is not in a part adds nothing there."""
    first, *others = xr.align(*parts, join="outer", fill_value=0.0)
    return sum(others, first)


def month_statistics(models: Mapping[str, object], cube: xr.Dataset, withheld: list[str],
                     hours: np.ndarray, minimum_hours: int = 20) -> xr.Dataset:
    """Sums (frequency, model, station) of some whole days at withheld stations of a cube.

    No model sees a withheld station: they are taken out of the cube before it is handed on.
    """
    found = fold_statistics(models, cube, Fold(tuple(withheld), {"all": tuple(withheld)}), hours, minimum_hours)
    return found.station.isel(group=0, drop=True)


def fold_statistics(models: Mapping[str, object], cube: xr.Dataset, fold: Fold, hours: np.ndarray,
                    minimum_hours: int = 20, distributions: Mapping[str, Distribution] | None = None) -> Sums:
    """Sums of whole days at the scored stations of a fold, which no model sees, nor what else is taken out.

    `hours` are those of calendar days UTC+8; `distributions` by model, where a standard error is not of a normal one.
    """
    known = set(cube.station.values)
    scored = list(dict.fromkeys(s for stations in fold.scored.values() for s in stations if s in known))
    asked, seen = cube.sel(station=scored), cube.drop_sel(station=[s for s in fold.removed if s in known])
    targets = schema.make_targets(hours, asked.lat.values, asked.lon.values)
    distance = nearest_remaining(seen.lat.values, seen.lon.values, asked.lat.values, asked.lon.values)
    truth = asked.pm25.reindex(time=hours).values
    estimates = {}
    for name, model in models.items():
        estimates[name] = _estimate(model, seen, targets, hours)
    together = np.isfinite(truth) & np.all([np.isfinite(e) for e, _ in estimates.values()], axis=0)
    truth = np.where(together, truth, np.nan)
    daily_truth = _daily(truth, minimum_hours)
    cuts = {name: [] for name in Sums.__dataclass_fields__}
    members = np.stack([np.isin(scored, stations) for stations in fold.scored.values()], axis=1).astype(float)
    for name, (estimate, error) in estimates.items():
        of = (distributions or {}).get(name, NORMAL)
        daily = _daily(np.where(together, estimate, np.nan), minimum_hours)
        pairs = [(truth, estimate, error, HOURS_PER_DAY), (daily_truth, daily, np.full_like(daily, np.nan), 1)]
        found = [_cut(t, e, _statistics(t, e, s, distance, of), members, length) for t, e, s, length in pairs]
        for cut in cuts:  # (statistic, group, frequency, cut)
            cuts[cut].append(np.stack([one[cut] for one in found], axis=2))
    names = {"station": scored, "day": np.unique(clock.local_days(hours)).astype("datetime64[ns]")}
    return Sums(**{cut: _dataset(np.stack(arrays, axis=3), cut, list(fold.scored), list(models), names)
                   for cut, arrays in cuts.items()})


def _dataset(sums: np.ndarray, cut: str, groups: list[str], models: list[str], names: dict) -> xr.Dataset:
    """Sums (statistic, group, frequency, model, cut) as a Dataset."""
    coords = {"group": groups, "frequency": ["hourly", "daily"], "model": models}
    coords[cut] = [f"{by}: {name}" for by, name in SLICES] if cut == "slice" else names[cut]
    dims = ("group", "frequency", "model", cut)
    return xr.Dataset({name: (dims, sums[place]) for place, name in enumerate(SUMS)}, coords=coords)


def _estimate(model, seen: xr.Dataset, targets: xr.Dataset, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PM2.5 and its standard error (time, point), from no more hours than the model asks for."""
    if seen.sizes[schema.STATION] < 2:  # a month in which the network is silent has no values
        nothing = np.full((len(hours), targets.sizes[schema.POINT]), np.nan, np.float32)
        return nothing, nothing
    window = slice(hours[0] - model.history * clock.HOUR, hours[-1] + model.future * clock.HOUR)
    result = model.predict(seen.sel(time=window), targets)
    return result[schema.TARGET].values, result[schema.STANDARD_ERROR].values


def _daily(hourly: np.ndarray, minimum_hours: int) -> np.ndarray:
    """Means of days with enough hours, from (24 * days, stations)."""
    days = hourly.reshape(len(hourly) // HOURS_PER_DAY, HOURS_PER_DAY, hourly.shape[1])
    count = np.isfinite(days).sum(axis=1)
    mean = np.nansum(days, axis=1) / np.maximum(count, 1)
    return np.where(count >= minimum_hours, mean, np.nan)


def _statistics(truth, estimate, error, distance, distribution: Distribution) -> np.ndarray:
    """The statistics (SUMS, time, station) of arrays (time, station), in float64; 0 where there is no pair."""
    known = np.isfinite(truth)
    truth, estimate = (np.where(known, a, 0.0).astype(np.float64) for a in (truth, estimate))
    miss = estimate - truth
    uncertainty = FAIRMODE_UNCERTAINTY**2 * ((1 - FAIRMODE_ALPHA**2) * truth**2 + (FAIRMODE_ALPHA * FAIRMODE_LEVEL)**2)
    fraction = miss / np.maximum((truth + estimate) / 2, 1e-6)
    classes = [np.digitize(a, CLASSES, right=True) for a in (truth, estimate)]
    over, said = truth > EXCEEDED, estimate > EXCEEDED
    sure = known & (error > 0)  # an error of 0 is one that is not known
    error = np.where(sure, error, 1.0).astype(np.float64)
    z = np.where(sure, -miss / error, 0.0)
    place = np.where(sure, np.minimum((distribution.cdf(z) * PIT_BINS).astype(int), PIT_BINS - 1), -1)
    rows = (known, truth, truth**2, estimate**2, miss, np.abs(miss), miss**2, fraction, np.abs(fraction),
            known * uncertainty, known * distance, known & (classes[0] == classes[1]), known & over & said,
            known & over & ~said, known & ~over & said, sure, z**2, sure * distribution.crps(z) * error,
            sure * 2 * distribution.half_width(0.9) * error,
            *(sure & (np.abs(z) <= distribution.half_width(share / 100)) for share in SHARES),
            *(place == number for number in range(PIT_BINS)))
    return np.stack([np.asarray(row, np.float64) for row in rows])


def _cut(truth, estimate, statistics: np.ndarray, members: np.ndarray, per_day: int) -> dict[str, np.ndarray]:
    """Statistics (SUMS, time, station) summed into (SUMS, group, cut) for each cut; `members` (station, group)."""
    days = statistics.reshape(len(SUMS), statistics.shape[1] // per_day, per_day, statistics.shape[2])
    of_hours = days.sum(axis=1) @ members if per_day == HOURS_PER_DAY else np.zeros(
        (len(SUMS), HOURS_PER_DAY, members.shape[1]))
    of_levels = [np.einsum("stn,tn->sn", statistics, (low < level) & (level <= high)) @ members
                 for level in (truth, estimate) for low, high in LEVELS.values()]
    slices = np.concatenate([of_hours, np.stack(of_levels, axis=1)], axis=1)
    return {"station": statistics.sum(axis=1)[:, None] * members.T, "slice": slices.swapaxes(1, 2),
            "day": (days.sum(axis=2) @ members).swapaxes(1, 2)}
