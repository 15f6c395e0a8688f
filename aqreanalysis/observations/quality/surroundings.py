"""What the tests compare a value with: the neighbouring stations, and the days around it.

Arrays are (hours, stations); where they are split into days, they begin at 00 UTC and hold whole days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis import geo
from aqreanalysis.time_axis import HOURS_PER_DAY

EVERY_HOURS = 3  # medians and spreads of windows use every third hour: as good, and faster
CLOSE_KM = 30.0  # stations of one town
CACHED_HOURS = 64  # rows that are processed at once, so that they stay in the processor's cache
SUM_BLOCK_HOURS = 6  # steps of sums over about a day
TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


@dataclass(frozen=True)
class NeighbourStations:
    """The neighbours of each station: `index` (stations, k), nearest first; the number `stations` means none."""

    index: np.ndarray
    close: np.ndarray  # (stations,), the nearest one if it is within CLOSE_KM, else none
    least: int         # how many must have a value in an hour

    @classmethod
    def within(cls, lat, lon, k: int, km: float, least: int, silent: np.ndarray | None = None) -> NeighbourStations:
        """The `k` nearest other stations of each, no further than `km`, none of those that are `silent`.

        lat, lon : degrees, (stations,); silent : bool, (stations,)
        """
        stations = len(lat)
        heard = np.arange(stations) if silent is None else np.flatnonzero(~silent)
        if not heard.size:
            return cls(np.full((stations, 1), stations), np.full(stations, stations), least)
        index, distance = geo.nearest(np.asarray(lat)[heard], np.asarray(lon)[heard], lat, lon, k + 1)
        index = heard[index]
        strange = (index == np.arange(stations)[:, None]) | (distance > km)
        order = np.argsort(strange, axis=1, kind="stable")  # none last; a station may share its place with others
        index, distance = (np.take_along_axis(array, order, axis=1)[:, :k]
                           for array in (np.where(strange, stations, index), distance))
        return cls(index, np.where(distance[:, 0] <= CLOSE_KM, index[:, 0], stations), least)

    def median(self, values: np.ndarray) -> np.ndarray:
        """Their median in each hour; NaN where fewer than `least` have a value."""
        ordered = _with_none(values)[:, self.index]
        ordered.sort(axis=-1)
        count = np.isfinite(ordered).sum(axis=-1)
        return np.where(count >= self.least, middle(ordered, count), np.nan)

    def agreed(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The range that two neighbours confirm, or the nearest alone if it is close.

        Its lower and upper end, NaN where none has a value, and whether at least `least` neighbours have one. Of two
        values the larger is the lower end: both have risen at least to the smaller one.
        """
        padded = _with_none(values)
        blocks = [_second_extremes(padded[rows:rows + CACHED_HOURS], self.index)
                  for rows in range(0, len(padded), CACHED_HOURS)]
        low, high, count = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        two, close = count >= 2, padded[:, self.close]
        return (np.fmin(np.where(two, low, np.nan), close), np.fmax(np.where(two, high, np.nan), close),
                count >= self.least)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of those that have a value; NaN where none has."""
        padded = _with_none(values)
        total, count = np.zeros(values.shape, np.float32), np.zeros(values.shape, np.int8)
        for column in self.index.T:
            value = padded[:, column]
            known = np.isfinite(value)
            total += np.where(known, value, 0)
            count += known
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _with_none(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.full((len(values), 1), np.nan, values.dtype)], axis=1)


def _second_extremes(padded: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second smallest and second largest of the columns `index` of some rows, and how many are not NaN."""
    shape = len(padded), len(index)
    lowest, low = np.full(shape, np.inf, np.float32), np.full(shape, np.inf, np.float32)
    highest, high = -lowest, -low
    count = np.zeros(shape, np.int8)
    for column in index.T:
        value = np.take(padded, column, axis=1)
        count += np.isfinite(value)
        np.fmin(low, np.maximum(value, lowest), out=low)  # fmin and fmax ignore NaN, maximum and minimum keep it
        np.fmin(lowest, value, out=lowest)
        np.fmax(high, np.minimum(value, highest), out=high)
        np.fmax(highest, value, out=highest)
    return low, high, count


def middle(ordered: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The median along the last axis of ascending values of which the first `count` are not NaN."""
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[..., None], axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1)[..., None], axis=-1)
    return np.where(count > 0, (low + high)[..., 0] / 2, np.nan)


def usual(values: np.ndarray, days: int, least_hours: int) -> np.ndarray:
    """Median of the days around each day, (days, stations); NaN with fewer than `least_hours` values.

    values : of every third hour, ``array[::EVERY_HOURS]``
    """
    ordered = _windows(values, days)
    ordered.sort(axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    return np.where(count >= least_hours / EVERY_HOURS, middle(ordered, count), np.nan)


def spread(values: np.ndarray, days: int, least_hours: int) -> np.ndarray:
    """Robust standard deviation about the median of the days around each day; arguments and shape as in `usual`."""
    windows = _windows(values, days)
    windows.sort(axis=-1)
    count = np.isfinite(windows).sum(axis=-1)
    windows -= middle(windows, count)[..., None]
    np.abs(windows, out=windows)
    windows.sort(axis=-1)
    return np.where(count >= least_hours / EVERY_HOURS, TO_DEVIATION * middle(windows, count), np.nan)


def _windows(values: np.ndarray, days: int) -> np.ndarray:
    """A copy of the values of each day and of `days` days before and after: (days, stations, values)."""
    per_day = HOURS_PER_DAY // EVERY_HOURS
    margin = np.full((days * per_day, values.shape[1]), np.nan, np.float32)
    padded = np.concatenate([margin, values.astype(np.float32), margin])
    view = np.lib.stride_tricks.sliding_window_view(padded, (2 * days + 1) * per_day, axis=0)
    return np.array(view[::per_day], order="C")


def by_hour(of_days: np.ndarray) -> np.ndarray:
    """Values of days, (days, stations), repeated for their hours: (hours, stations)."""
    return np.repeat(of_days, HOURS_PER_DAY, axis=0)


def shifted(values: np.ndarray, hours: int) -> np.ndarray:
    """The values `hours` later (earlier if negative), NaN beyond the ends."""
    result = np.full_like(values, np.nan)
    hours, keep = int(np.clip(hours, -len(values), len(values))), max(len(values) - abs(hours), 0)
    result[max(-hours, 0):max(-hours, 0) + keep] = values[max(hours, 0):max(hours, 0) + keep]
    return result


def around(values: np.ndarray, hours: int, extreme: np.ufunc) -> np.ndarray:
    """The extreme (np.fmin or np.fmax) of the values up to `hours` before and after."""
    return extreme.reduce([shifted(values, lag) for lag in range(-hours, hours + 1)])


def block_sums(values: np.ndarray) -> np.ndarray:
    """Sums of blocks of SUM_BLOCK_HOURS hours: (blocks, stations)."""
    # not running sums: these would depend on where the series begins
    return values.reshape(len(values) // SUM_BLOCK_HOURS, SUM_BLOCK_HOURS, -1).sum(axis=1)


def sum_of_shifts(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Sum of the values `first` to `last` rows later, 0 beyond the ends."""
    return sum(np.nan_to_num(shifted(values, rows)) for rows in range(first, last + 1))
