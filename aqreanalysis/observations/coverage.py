"""How much of a period a network observed: stations, hours and days, counted before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aqreanalysis import schema, time_axis
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.quality import values
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period

STRETCH_HOURS = 92 * HOURS_PER_DAY   # are read at once: a tidy file is gone through for each
SCREENED_DAYS = 8                    # are screened at once in the search for usable stations
SPARSE_SHARE = 0.5                   # of the hours; where no more are observed, everything says so
THIN_SHARE = 0.25                    # of the hours of the stations; where fewer are observed, a warning says so
CONSTANT_HOURS = 24                  # with one and the same value, and no other in the period


@dataclass(frozen=True)
class Coverage:
    """Hours with a plausible PM2.5 value, neither a code for missing nor out of range; before quality control."""

    stations: np.ndarray        # str (stations,)
    station_hours: np.ndarray   # int (stations,): hours of each
    days: np.ndarray            # datetime64[D] (days,), UTC+8
    day_hours: np.ndarray       # int (days,): hours in which any station has a value
    day_values: np.ndarray      # int (days,): values of all stations
    hours: int                  # of the period
    low: np.ndarray             # ug m-3 (stations,): range of the values of each; inf and -inf without any
    high: np.ndarray

    @property
    def hours_observed(self) -> int:
        """Hours of the period in which any station has a value."""
        return int(self.day_hours.sum())

    @property
    def used(self) -> int:
        """Stations with any value."""
        return int((self.station_hours > 0).sum())

    @property
    def share(self) -> float:
        """Of the hours of these stations, the share with a value."""
        return float(self.station_hours.sum()) / max(self.used * self.hours, 1)

    @property
    def is_sparse(self) -> bool:
        """Whether no station has a value in most hours."""
        return self.hours_observed <= SPARSE_SHARE * self.hours

    @property
    def is_thin(self) -> bool:
        """Whether most stations are silent most of the time."""
        return self.share < THIN_SHARE

    def constant(self) -> np.ndarray:
        """Stations that have one and the same value in all of many hours."""
        return self.stations[(self.station_hours >= CONSTANT_HOURS) & (self.low == self.high)]

    def silent(self) -> np.ndarray:
        """Stations without any value."""
        return self.stations[self.station_hours == 0]

    def whole_days(self, minimum_hours: int) -> int:
        """Days with at least so many observed hours."""
        return int((self.day_hours >= minimum_hours).sum())

    def silent_months(self) -> list[str]:
        """Months, as 2019-01, of which no hour is observed."""
        months = self.days.astype("datetime64[M]")
        return [str(month) for month in np.unique(months) if not self.day_hours[months == month].any()]


def measure_coverage(archive: Archive, start: np.datetime64, end: np.datetime64) -> Coverage:
    """Read PM2.5 of every hour from `start` to `end`, both included; memory does not grow with the period."""
    hours = time_axis.complete_hours(start, end).astype("datetime64[h]")
    days = time_axis.local_days(hours)
    every, first = np.unique(days, return_index=True)
    day_hours, day_values = np.zeros((2, len(every)), np.int64)
    station_hours = np.zeros(len(archive.stations), np.int64)
    low, high = np.full(len(station_hours), np.inf), np.full(len(station_hours), -np.inf)
    for begin in range(0, len(hours), STRETCH_HOURS):
        piece = hours[begin:begin + STRETCH_HOURS]
        cube = archive.read(piece[0], piece[-1])
        pm25 = cube[schema.TARGET].values
        there = plausible(pm25)
        low = np.minimum(low, np.where(there, pm25, np.inf).min(axis=0))
        high = np.maximum(high, np.where(there, pm25, -np.inf).max(axis=0))
        station_hours += there.sum(axis=0)
        of = np.searchsorted(first, np.arange(begin, begin + len(piece)), "right") - 1
        day_hours += np.bincount(of, there.any(axis=1), len(every)).astype(np.int64)
        day_values += np.bincount(of, there.sum(axis=1), len(every)).astype(np.int64)
    ids = archive.stations["station_id"].to_numpy(str)
    return Coverage(ids, station_hours, every, day_hours, day_values, len(hours), low, high)


def plausible(pm25: np.ndarray) -> np.ndarray:
    """Where PM2.5 values can be meant, bool."""
    return np.isfinite(pm25) & ~values.missing_code(pm25) & ~values.out_of_range(pm25, schema.TARGET)


def usable_stations(archive: Archive, coverage: Coverage, settings: quality.QualitySettings, enough: int) -> int:
    """How many stations have a value that passes quality control, counted up to `enough`.

    The days with most values are screened first, so that the answer is there after some of them.
    """
    found: set[str] = set()
    for period in _by_values(coverage):
        first, last = period.hours[[0, -1]].astype("datetime64[h]")
        cube = screening.screened(archive, first, last, settings, co_pollutants=(first, first - HOUR))
        found |= set(cube[schema.STATION].values[np.isfinite(cube[schema.TARGET].values).any(axis=0)])
        if len(found) >= enough:
            break
    return len(found)


def _by_values(coverage: Coverage) -> Iterator[Period]:
    """Stretches of SCREENED_DAYS that have values, those with most first."""
    starts = np.arange(0, len(coverage.days), SCREENED_DAYS)
    counts = np.add.reduceat(coverage.day_values, starts)
    for place in np.argsort(-counts, kind="stable"):
        if counts[place]:
            days = coverage.days[starts[place]:starts[place] + SCREENED_DAYS]
            yield Period(days[0].item(), days[-1].item())
