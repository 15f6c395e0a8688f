"""Products of the errors of two hidden stations, by distance and lag: what the correlation of errors is fitted to.

Pairs are of stations that the same fold hides, so that both estimates are made from the same other stations and neither
sees what the other observed. That is how two cells of a map are: of no cell the truth is known to the estimate of
another. A station that stood among the givers of the other's estimate would have pulled it towards itself, and their
errors would seem less alike than those of two cells. Folds that take whole cities and whole surroundings out are used:
stations left out singly, with the next one a few km away, are as cells of a map rarely are.

Within a day each lag counts by itself; of two days, the mean over all pairs of their hours, as 24 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from aqreanalysis import geo
from aqreanalysis.evaluation.holdout import SINGLE_STATIONS
from aqreanalysis.evaluation.map_bias import MapBias
from aqreanalysis.models import error_correlation
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.error_correlation import CorrelatedErrors, PairMoments
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.calibration import HeldOutDays, apply_bounds, daily_means

EDGES_KM = (1.0, 3.0, 6.0, 10.0, 15.0, 25.0, 40.0, 60.0, 90.0, 130.0, 200.0, 300.0, 450.0, 700.0, 1100.0, 2e4)
MIDDLES_KM = np.array((0.0, *(np.sqrt(np.array(EDGES_KM[:-2]) * EDGES_KM[1:-1])), 1300.0))  # where there are no pairs
HOUR_LAGS = (0, 1, 2, 3, 4, 6, 9, 13, 18, 24)      # first lags of classes, within a day
DAY_LAGS = (1, 2, 3, 5, 8, 12, 19, 46, 91, 181, 100_000)  # between days
PRIOR_ROWS = 40.0    # independent rows that a prior counts as
LARGEST_Z = 5.0      # larger ones count as this
DISTANCES = len(EDGES_KM)  # classes: a station with itself, and between the edges


def errors_of(days: HeldOutDays, made: Calibration, prior: CorrelatedErrors | None, independent: float, worth: float,
              measured: str, weight: np.ndarray | None = None, bias: MapBias | None = None) -> CorrelatedErrors:
    """The correlation of the errors of hidden stations, with a prior that is worth so many independent rows.

    `bias` of all cells, of the rows that `weight` (n,) is over 0 of, by which they stand for the map's land; without
    one, what all cells have in common is the prior's.
    """
    error, _, _ = apply_bounds(made.hourly, days)
    mean, raw, truth, sites, day = daily_means(days, error, made.correlation)
    of_days, _, _ = made.daily.apply(mean, raw, sites, day)
    spread = _spread(bias, prior, independent, worth)
    found = []
    for frequency, z, level, of_level in (("hourly", (days.truth - days.estimate) / error, days.estimate, error),
                                          ("daily", (truth - mean) / of_days, mean, of_days)):
        before = getattr(prior, frequency) if prior else None
        moments = pair_moments(days, z if z.ndim == 2 else z[:, None])
        fitted = error_correlation.fit(moments, frequency, before.with_common(0.0) if before else None, independent,
                                       worth)
        if bias is None or weight is None or spread is None:
            share = before.common_share if before else 0.0
        else:
            share = min((spread * _ratio(level, of_level, weight)) ** 2, error_correlation.MOST_COMMON)
        found.append(error_correlation.rounded(fitted.with_common(share)))
    return CorrelatedErrors(found[0], found[1], measured, None if spread is None else round(
        spread, error_correlation.DIGITS))


def _spread(bias: MapBias | None, prior: CorrelatedErrors | None, independent: float, worth: float) -> float | None:
    """The standard deviation of a relative bias of all cells: of its variance the mean of rows and prior."""
    before = prior.bias if prior else None
    if bias is None or before is None:
        return before if bias is None else bias.spread
    share = independent / (independent + worth)
    return math.sqrt(share * bias.spread**2 + (1.0 - share) * before**2)


def _ratio(level: np.ndarray, error: np.ndarray, weight: np.ndarray) -> float:
    """Weighted sum of estimates (n, ...) over that of their standard errors."""
    weight = weight if level.ndim == 1 else weight[:, None]
    known = np.isfinite(level) & np.isfinite(error)
    return float(np.sum(weight * np.where(known, level, 0.0), dtype=np.float64)
                 / np.sum(weight * np.where(known, error, 0.0), dtype=np.float64))


def pair_moments(days: HeldOutDays, z: np.ndarray) -> PairMoments:
    """Mean products of z, (n, 24) of hours or (n, 1) of days, of all pairs of rows of a fold; NaN has no part."""
    steps = z.shape[1]
    sums = _Sums(HOUR_LAGS if steps > 1 else (0, 1), steps)
    for number in np.unique(days.fold):
        mine = (days.fold == number) & (days.design != SINGLE_STATIONS)
        if mine.any():
            sums.add(days[mine], np.clip(z[mine], -LARGEST_Z, LARGEST_Z))
    return sums.moments()


class _Sums:
    """Sums of products, counts, distances and days apart (4, lag class, distance class)."""

    def __init__(self, hour_lags: tuple[int, ...], steps: int):
        self.hour_lags, self.steps = hour_lags, steps
        self.within = len(hour_lags) - 1
        self.sums = np.zeros((4, self.within + len(DAY_LAGS) - 1, DISTANCES))

    def add(self, rows: HeldOutDays, z: np.ndarray) -> None:
        """All pairs of the rows of one fold."""
        names, first, station = np.unique(rows.station.astype(str), return_index=True, return_inverse=True)
        dates, date = np.unique(rows.day, return_inverse=True)
        cube = np.full((len(dates), len(names), self.steps), np.nan)
        cube[date, station] = z
        lat, lon = rows.lat[first], rows.lon[first]
        km = geo.pairwise_distance_km(lat, lon, lat, lon)
        np.fill_diagonal(km, 0.0)
        place = np.digitize(km, EDGES_KM)
        place[(place == 0) & ~np.eye(len(names), dtype=bool)] = -1  # too near to tell apart
        for lag, apart, products, count in _products(cube, dates, self.hour_lags):
            self._enter(lag, apart, products, count, km, place)

    def _enter(self, lag: int, apart: float, products: np.ndarray, count: np.ndarray, km: np.ndarray,
               place: np.ndarray) -> None:
        known = (count > 0) & (place >= 0)
        at, number = place[known], count[known]
        for row, values in zip(self.sums[:, lag], (products[known], number, number * km[known], number * apart),
                               strict=True):
            row += np.bincount(at, values, DISTANCES)

    def moments(self) -> PairMoments:
        """Of what was added, all classes in a row."""
        products, count, km, apart = self.sums
        safe = np.maximum(count, 1.0)
        power = products[0, 0] / safe[0, 0]
        lags, shares = self._lags(np.where(count > 0, apart / safe, _middles(self.within)[:, None]))
        return PairMoments((products / safe / (power if power > 0 else 1.0)).ravel(),
                           np.where(count > 0, km / safe, MIDDLES_KM).ravel(), lags, shares, count.ravel())

    def _lags(self, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lags and their shares (classes, n): of a class within a day its hours; of days apart all pairs of hours."""
        steps = np.arange(-self.steps + 1, self.steps)
        lags, shares = np.zeros((2, *apart.shape, len(steps)))
        for number in range(self.within):
            hours = np.arange(self.hour_lags[number], self.hour_lags[number + 1])
            lags[number, :, :len(hours)], shares[number, :, :len(hours)] = hours, (self.steps - hours) / (
                self.steps - hours).sum()
        lags[self.within:] = np.abs(HOURS_PER_DAY * apart[self.within:, :, None] + steps)
        shares[self.within:] = (self.steps - np.abs(steps)) / self.steps**2
        return lags.reshape(-1, len(steps)), shares.reshape(-1, len(steps))


def _middles(within: int) -> np.ndarray:
    """Days apart (classes,) where there are no pairs."""
    middles = [0.5 * (first + last - 1) for first, last in zip(DAY_LAGS[:-2], DAY_LAGS[1:-1], strict=True)]
    return np.array([*[0.0] * within, *middles, 250.0])


def _products(cube: np.ndarray, dates: np.ndarray,
              hour_lags: tuple[int, ...]) -> Iterator[tuple[int, float, np.ndarray, np.ndarray]]:
    """Class of lag, mean of days apart, sums of products and counts (stations, stations), of a cube (days, stations,
    steps)."""
    known = np.isfinite(cube)
    z, known = np.where(known, cube, 0.0), known.astype(float)
    for number, (first, last) in enumerate(zip(hour_lags[:-1], hour_lags[1:], strict=True)):
        for lag in range(first, last):
            early, late = slice(0, z.shape[2] - lag), slice(lag, None)
            yield number, 0, *(np.einsum("dih,djh->ij", a[:, :, early], a[:, :, late], optimize=True)
                               for a in (z, known))
    z, known = z.sum(axis=2), known.sum(axis=2)
    apart = (dates[None, :] - dates[:, None]).astype(int)
    for number, (first, last) in enumerate(zip(DAY_LAGS[:-1], DAY_LAGS[1:], strict=True), len(hour_lags) - 1):
        chosen = ((apart >= first) & (apart < last)).astype(float)
        if chosen.any():
            yield number, float(apart[chosen > 0].mean()), *(a.T @ chosen @ a / cube.shape[2] for a in (z, known))
