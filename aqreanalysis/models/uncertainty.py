"""How far an estimate is to be trusted: support by stations, and the error of a daily mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull, Delaunay, QhullError

from aqreanalysis import schema
from aqreanalysis.models.base import Supporters
from aqreanalysis.models.calibration import Bounds
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOURS_PER_DAY

# Where the mean absolute error of an hour has grown to so many times that beside a station (benchmarks/error_growth.py;
# the table is in docs/accuracy.md): 1.9 for hours and 2.1 for days at the far limit.
NEAR_KM, FAR_KM = 40.0, 100.0
NEAR_GROWTH, FAR_GROWTH = 1.5, 2.0
CACHED_POINTS = 512  # whose hours of a week are worked on at once, in the processor's cache
CLASSES = (
    f"supported: land, a station within {NEAR_KM:g} km reported in the hour; "
    f"weak_support: the nearest that reported is {NEAR_KM:g} to {FAR_KM:g} km away; "
    f"extrapolated: it is farther, or it is farther than {NEAR_KM:g} km and the place lies outside the "
    "convex hull of the network; no_observations: none of the stations that an estimate there is made from reported "
    "in the hour; a value, if there is one, comes from hours before and after; sea: the centre is not on land, "
    "whatever the support. "
    f"The limits are where the mean absolute error is {NEAR_GROWTH:g} times and about {FAR_GROWTH:g} times that beside "
    "a station, measured at stations left out with their surroundings; outside the hull it was not measured"
)
DAILY_CLASSES = ("In a day: the class of most hours, the more severe of equals; on land no_observations where "
                 "too few hours were observed.")


def inside_hull(lat, lon, to_lat, to_lon) -> np.ndarray:
    """Whether places (points,) lie in the convex hull of the stations, on a plane round their middle."""
    if len(lat) == 0:  # a month of which nobody has observations
        return np.zeros(len(to_lat), bool)
    middle = np.cos(np.radians(np.mean(lat)))
    stations = np.stack([np.asarray(lon) * middle, np.asarray(lat)], axis=1)
    places = np.stack([np.asarray(to_lon) * middle, np.asarray(to_lat)], axis=1)
    try:
        corners = stations[ConvexHull(stations).vertices]
    except (QhullError, ValueError):  # fewer than three stations, or all on a line: no hull
        return np.zeros(len(places), bool)
    return Delaunay(corners).find_simplex(places) >= 0


class Support:
    """Counts and quality classes of targets, from which of the stations that an estimate may be made from reported.

    Parameters
    ----------
    supporters : of the targets, from the model that makes the estimates.
    lat, lon : (stations,) of the network, degrees; `to_lat`, `to_lon` : (points,) of the targets.
    land : bool (points,); what is not is sea whatever its support.
    """

    def __init__(self, supporters: Supporters, lat, lon, to_lat, to_lon, land: np.ndarray):
        self.land, self._at_most = land, supporters.at_most
        self.index, distance = supporters.index.astype(np.int32), supporters.distance
        inside = inside_hull(lat, lon, to_lat, to_lon)[:, None]
        far = (distance > FAR_KM) | ((distance > NEAR_KM) & ~inside)
        self.classes = np.where(distance <= NEAR_KM, schema.SUPPORTED, schema.WEAK_SUPPORT).astype(np.int8)
        self.classes[far] = schema.EXTRAPOLATED  # (point, neighbour): the class if it is the nearest that reported

    def of_hours(self, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From observed (time, station) bool: number_of_observations int16 and quality_flag int8, (time, point)."""
        by_station = np.ascontiguousarray(observed.T).view(np.int8)  # so that a neighbour's hours lie side by side
        shape = (len(observed), len(self.index))
        count, flag = np.empty(shape, np.int16), np.empty(shape, np.int8)
        for first in range(0, len(self.index), CACHED_POINTS):
            points = slice(first, first + CACHED_POINTS)
            number, kind = self._of_points(by_station, self.index[points], self.classes[points])
            count[:, points], flag[:, points] = number.T, kind.T
        if self._at_most is None:  # all that reported take part; those that are not listed are far
            count[:] = observed.sum(axis=1, dtype=np.int16)[:, None]
            flag[(count > 0) & (flag == schema.NO_OBSERVATIONS)] = schema.EXTRAPOLATED
        else:
            np.minimum(count, self._at_most, out=count)
        flag[:, ~self.land] = schema.SEA
        return count, flag

    @staticmethod
    def _of_points(by_station: np.ndarray, index: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many supporters reported, int16, and classes on land, int8, (point, time), of some points."""
        count = np.zeros((len(index), by_station.shape[1]), np.int16)
        flag = np.full(count.shape, schema.NO_OBSERVATIONS, np.int8)
        for number in reversed(range(index.shape[1])):  # the nearest has the last word
            reported = np.take(by_station, index[:, number], axis=0)
            count += reported
            flag += reported * (classes[:, number, None] - flag)
        return count, flag


def exponential_correlation(memory_hours: float) -> np.ndarray:
    """Correlation (24,) of errors by lag where only an e-folding time is known: exp(-lag / memory_hours)."""
    return np.exp(-np.arange(HOURS_PER_DAY) / max(memory_hours, 1e-6))


def daily(pm25: np.ndarray, error: np.ndarray, flag: np.ndarray, minimum_hours: int,
          correlation: Sequence[float] | np.ndarray, observed: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Means of whole days from hours (24 * days, points).

    A day is the mean of all its hours that have a value. It counts those of them that were `observed`, bool like the
    hours (all where it is None): hours in which a station that the estimate is made from reported. An estimate from
    hours before and after is no observation of the day. Fewer than `minimum_hours` of them make no valid day: the mean
    is NaN and, on land, the flag `no_observations`; else the flag is the class of most hours, the more severe of
    equals. The error of a mean of n hours whose errors are correlated as `correlation` (24,) says by lag:
    var = sum_ij s_i s_j r_|i-j| / n^2.
    """
    days = len(pm25) // HOURS_PER_DAY
    pm25, error, flag = (a.reshape(days, HOURS_PER_DAY, -1) for a in (pm25, error, flag))
    valid = np.isfinite(pm25)
    count = valid.sum(axis=1)
    counted = count if observed is None else (valid & observed.reshape(valid.shape)).sum(axis=1)
    enough = counted >= minimum_hours
    lag = np.abs(np.subtract.outer(np.arange(HOURS_PER_DAY), np.arange(HOURS_PER_DAY)))
    of_pairs = np.asarray(correlation, np.float32)[lag]
    spread = np.where(valid, error, 0.0)
    variance = np.einsum("dip,ij,djp->dp", spread, of_pairs, spread, optimize=True)
    safe = np.maximum(count, 1)
    total = np.where(valid, pm25, 0.0).sum(axis=1, dtype=np.float64)
    votes = np.stack([(flag == number).sum(axis=1) for number in range(len(schema.QUALITY))])
    severe_last = len(schema.QUALITY) - 1 - votes[::-1].argmax(axis=0)
    return {
        "pm25": np.where(enough, total / safe, np.nan).astype(np.float32),
        "pm25_standard_error": np.where(enough, np.sqrt(np.maximum(variance, 0)) / safe, np.nan).astype(np.float32),
        "number_of_hours": counted.astype(np.int8),
        "quality_flag": np.where(enough | (severe_last == schema.SEA), severe_last,
                                 schema.NO_OBSERVATIONS).astype(np.int8),
    }


def calibrated(days: dict[str, np.ndarray], bounds: Bounds, sites: Sites, dates: np.ndarray) -> dict:
    """Days (as of `daily`) with the standard error and the bounds that a calibration makes of their raw error.

    `sites` (points,); `dates` (days,) datetime64[D].
    """
    made = bounds.apply(days[schema.TARGET], days[schema.STANDARD_ERROR], sites, dates[:, None])
    return days | dict(zip((schema.STANDARD_ERROR, schema.LOWER, schema.UPPER), made, strict=True))
