"""Regression kriging's coefficients, fitted where they are used: at an archive's own stations, left out in turn.

Each station of some hours is estimated from others: in half of the hours from those outside its city, in the other half
from all but itself; its near duplicates are out in both. What is left of log(PM2.5 + 5) after that is regressed on the
differences in static covariates between the station and its weighted neighbours, times harmonics of hour and year
(models/drift.py). Sums of rows add over months, so that an archive is read a month at a time.

Scores need coefficients that do not know the scored stations: each group of withheld stations has a fit of its own, in
which these are neither estimated, nor neighbours, nor in the flags of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.fields.covariates import Standardisation
from aqreanalysis.models import geostatistics
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.baselines.regression_kriging import (
    DRIFT_PENALTY,
    DRIFT_SHARE,
    LOG_OFFSET,
    RegressionKriging,
    mixed,
    shipped_drift,
)
from aqreanalysis.models.drift import Drift, NormalEquations, standardised
from aqreanalysis.observations import screening
from aqreanalysis.observations.near_duplicates import NearDuplicates
from aqreanalysis.observations.readers.archive import Source
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.time_axis import Period

FITTED_DAYS = 36      # as many of each month, one at least, and in a row: quality control reads the weeks round them
FITTED_EVERY = 5      # hours of these days, coprime to 24; all of them where less than half were observed
FITTED_STATIONS = 40  # of fewer, the coefficients that ship are used ...
FITTED_HOURS = 48     # ... as of fewer hours a station: ten days that are complete


@dataclass(frozen=True)
class RegressionMonth:
    """Some days in a row that coefficients are fitted to, once without each group of stations."""

    files: Source
    days: Period
    withheld: tuple[tuple[str, ...], ...]  # groups, with their near duplicates
    duplicates: NearDuplicates
    kriging: Kriging
    covariates: Standardisation


def fit_regression_kriging(files: Source, period: Period, withheld: Sequence[Sequence[str]],
                           duplicates: NearDuplicates, run: Callable[[Callable, list], Iterable[Any]],
                           every_nth_week_withheld: int = 0,
                           covariates: Standardisation | None = None,
                           days: int = FITTED_DAYS) -> list[RegressionKriging]:
    """Regression kriging for each group of `withheld` stations, which has no part in it, nor have its near duplicates.

    The first model is for the first group, and so on; with `[()]` there is one that all stations have a part in. Where
    a group leaves fewer than FITTED_STATIONS stations, or these have fewer than FITTED_HOURS hours each, the
    coefficients that ship are used, fitted at all stations of northern China in 2019 (`drift.origin` says so).

    `run(function, jobs)` gives the results of a function of a job, in any order (workers.run_jobs). Every nth week of
    the period is left aside, none with 0. `covariates` are those of the drift, standardised; None for the shipped ones.
    `days` are learned from, some in a row of each month. A fit to a national year takes 15 s of one core.
    """
    groups = tuple(tuple(sorted({*group, *duplicates.of(group)})) for group in withheld)
    stations, scale = set(files.open().stations["station_id"]), covariates or shipped_drift().covariates
    left = [len(stations.difference(group)) for group in groups]
    enough = [number for number, many in enumerate(left) if many >= FITTED_STATIONS]
    jobs = [RegressionMonth(files, some, tuple(groups[number] for number in enough), duplicates, Kriging(), scale)
            for some in _sampled(period, days, every_nth_week_withheld) if enough]
    parts = [sums for _, sums in sorted(run(month_equations, jobs), key=lambda pair: pair[0])]
    fitted = {}
    for number, sums in zip(enough, zip(*parts, strict=True), strict=False):
        total = sum(sums[1:], start=sums[0])
        if total.rows >= FITTED_HOURS * left[number]:
            origin = f"{left[number]} stations, {period.first} to {period.last}"
            fitted[number] = Drift(scale, total.solve(DRIFT_PENALTY), DRIFT_SHARE, origin)
    return [RegressionKriging(fitted[number] if number in fitted else shipped_drift()) for number in range(len(groups))]


def _sampled(period: Period, wanted: int, every_nth_week_withheld: int) -> Iterator[Period]:
    """Days in a row of each month, in the middle of the longest run that is outside withheld weeks."""
    months = period.months()
    for month in months:
        days = np.array(month.days(), "datetime64[D]")
        if every_nth_week_withheld:
            days = days[~time_axis.withheld_weeks(days, every_nth_week_withheld)]
        if not len(days):
            continue
        runs = np.split(days, np.flatnonzero(np.diff(days).astype(int) > 1) + 1)
        longest = max(runs, key=len)
        many = min(len(longest), max(1, wanted // len(months)))
        first = (len(longest) - many) // 2
        yield Period(longest[first].item(), longest[first + many - 1].item())


def month_equations(job: RegressionMonth) -> tuple[str, list[NormalEquations]]:
    """The first day and the sums for each group."""
    archive = job.files.open()
    table = archive.stations
    cities = dict(zip(table["station_id"], city_numbers(table), strict=True))
    found = []
    for group in job.withheld:
        cube = screening.observations_around(archive, job.kriging, job.days, held_out=group)
        cube = cube.isel(station=~cube.indexes["station"].isin(group))
        observed = np.flatnonzero(cube[schema.TARGET].notnull().any(schema.STATION))
        cube = cube.isel(time=observed[::FITTED_EVERY if 2 * len(observed) > cube.sizes[schema.TIME] else 1])
        city = np.array([cities[station] for station in cube.station.values], int)
        together = job.duplicates.matrix(cube.station.values)
        found.append(equations_of(cube, city, together, job.kriging, job.covariates))
    return f"{job.days.first}", found


def equations_of(cube: xr.Dataset, city: np.ndarray, together: np.ndarray, kriging: Kriging,
                 covariates: Standardisation) -> NormalEquations:
    """Sums over the stations of a cube, any hours, each estimated from others.

    `city` (stations,) numbers; `together` (stations, stations) bool, near duplicates and each itself. In every other
    hour, from the first, cities are left out, and single stations in between.
    """
    lat, lon = cube.lat.values, cube.lon.values
    scaled = standardised(covariates, lat, lon)
    whole = ((city[:, None] == city).astype(np.float32) @ together.astype(np.float32)) > 0
    designs = [LeftOut.among(lat, lon, hidden, kriging) for hidden in (whole, together)]
    total = NormalEquations.of(cube.time.values[:0], np.empty((0, scaled.shape[1])), np.empty(0))
    for number, (hour, values) in enumerate(zip(cube.time.values, cube[schema.TARGET].values, strict=True)):
        asked, kriged, logs, differences = designs[number % 2].estimates(values, scaled)
        residual = np.log(np.maximum(values[asked], 0.0) + LOG_OFFSET) - np.log(mixed(kriged, logs) + LOG_OFFSET)
        total += NormalEquations.of(np.repeat(hour, len(asked)), differences, residual)
    return total


@dataclass(frozen=True)
class LeftOut:
    """A network each of whose stations is estimated without some of the others: what does not change with the hour."""

    kriging: Kriging
    order: np.ndarray      # int (stations, candidates), nearest first
    allowed: np.ndarray    # bool, of its shape
    bearing: np.ndarray    # radians, of its shape
    to_target: np.ndarray  # correlation with the station, of its shape
    between: np.ndarray    # correlation (stations, stations), 1 on the diagonal

    @classmethod
    def among(cls, lat: np.ndarray, lon: np.ndarray, hidden: np.ndarray, kriging: Kriging) -> LeftOut:
        """`hidden` (stations, stations) bool: without whom each is estimated, itself among them."""
        distance = geo.pairwise_distance_km(lat, lon, lat, lon)
        far = np.where(hidden, np.inf, distance)
        order = np.argsort(far, axis=1, kind="stable")[:, :kriging.candidates]
        return cls(kriging, order, np.isfinite(np.take_along_axis(far, order, axis=1)),
                   geo.bearing(lat[:, None], lon[:, None], lat[order], lon[order]),
                   kriging.correlation.between(np.take_along_axis(distance, order, axis=1)),
                   kriging.correlation.among_stations(distance))

    def estimates(self, values: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of an hour with these values (stations,): the stations that have one and can be estimated (n,), kriging of
        values (n,) and of the logarithm of values plus LOG_OFFSET (n,), and differences (n, covariates) between the
        stations and their weighted neighbours in `scaled` covariates (stations, covariates).
        """
        asked, index, weights = self.weights(np.isfinite(values))
        near = np.where(weights == 0.0, 0.0, values[index])
        kriged = np.maximum((weights * near).sum(axis=1), 0.0)
        logs = (weights * np.log(np.maximum(near, 0.0) + LOG_OFFSET)).sum(axis=1)
        return asked, kriged, logs, scaled[asked] - np.matmul(weights[:, None, :], scaled[index])[:, 0]

    def weights(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of an hour in which stations are `present` (stations,): those that have an estimate (n,), their neighbours
        and the weights of these (n, k); a weight is 0 where there are fewer."""
        there = present[self.order] & self.allowed
        asked = np.flatnonzero(present & there.any(axis=1))
        taken = self.kriging.taken(there[asked], self.bearing[asked])
        chosen = np.argsort(~taken, axis=1, kind="stable")[:, :self.kriging.k]
        use, index, to_target = (np.take_along_axis(of, chosen, axis=1)
                                 for of in (taken, self.order[asked], self.to_target[asked]))
        pair = use[:, :, None] & use[:, None, :]
        among = np.where(pair, self.between[index[:, :, None], index[:, None, :]], np.eye(index.shape[1]))
        weights, _ = geostatistics.solve(among, np.where(use, to_target, np.nan))
        return asked, index, np.where(use, weights, 0.0)
