"""What a training sample hides, so that a network learns to do without it: stations round a target, hours, a level.

For each target some stations are hidden: itself and its near duplicates alone; its city and all within 15 km; or all
within a random distance, so that the network learns to bridge gaps as wide as the map's. Of the others a share is
dropped at random, now and then nearly all: a network of few stations. Hours are removed: outages of all stations and
scattered values, and in some samples all but a few hours a day, as archives of snapshots have them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis import geo
from aqreanalysis.models import gap_filling, geostatistics
from aqreanalysis.models.aqnet.station_inputs import StationMeans, station_means
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.time_axis import HOURS_PER_DAY

LONGEST_OUTAGE = 19      # hours; an outage lasts 1 to so many
MEAN_OUTAGE = 10         # hours: their mean, by which the number of outages follows from the hours to be removed
CITY_KM = 15.0           # a city is hidden with all stations so near
SPARSE_DROPPED = (0.5, 0.95)  # of the stations, in samples that are of a network of few
DROPPED = (0.0, 0.15, 0.3)    # in others
MOST_SNAPSHOTS = 8       # hours a day in samples of snapshots
LEAST_OBSERVED = 0.75    # of a day's hours in which anyone reported: a station with fewer is not read on that day


class Places:
    """How stations lie to each other: for each the others, nearest first; arrays (stations, stations - 1).

    `hidden_together` (stations, stations) bool are those that tell what the other observed, themselves among them.
    """

    def __init__(self, lat: np.ndarray, lon: np.ndarray, city: np.ndarray, hidden_together: np.ndarray):
        self.lat, self.lon = lat, lon
        self.between = geo.pairwise_distance_km(lat, lon, lat, lon).astype(np.float32)
        apart = np.where(np.eye(len(lat), dtype=bool), np.inf, self.between)
        self.order = np.argsort(apart, axis=1, kind="stable")[:, :-1]
        self.distance = np.take_along_axis(self.between, self.order, axis=1)
        self.bearing = geo.bearing(lat[:, None], lon[:, None], lat[self.order], lon[self.order]).astype(np.float32)
        self.same_city = city[self.order] == city[:, None]
        self.never = np.take_along_axis(hidden_together, self.order, axis=1)


def draw_visible(places: Places, targets: np.ndarray, settings: AnalysisTraining,
                 rng: np.random.Generator) -> np.ndarray:
    """Which of the others (targets, stations - 1), in the order of `places`, a sample shows to each target."""
    count = len(targets)
    distance, mode = places.distance[targets], rng.random(count)[:, None]
    own_city = mode < settings.hidden_city
    radius = np.where(mode < settings.hidden_city + settings.hidden_round,
                      rng.uniform(0.0, settings.hidden_radius_km, (count, 1)), 0.0)
    hidden = np.where(own_city, places.same_city[targets] | (distance < CITY_KM), distance < radius)
    dropped = np.where(rng.random(count) < settings.sparse, rng.uniform(*SPARSE_DROPPED, count),
                       rng.choice(DROPPED, count))
    return ~hidden & ~places.never[targets] & (rng.random(distance.shape) >= dropped[:, None])


def neighbourhood_of(places: Places, targets: np.ndarray, visible: np.ndarray, k: int,
                     correlation: Correlation) -> tuple[Neighbourhood, np.ndarray]:
    """The neighbourhoods of targets among what is `visible` to each, chosen as neighbours.find_neighbourhood does.

    The second are the rows of `targets` that have k neighbours; others are left out of both.
    """
    enough = np.flatnonzero(visible.sum(axis=1) >= k)
    targets, visible = targets[enough], visible[enough]
    seen = np.cumsum(visible, axis=1) <= geostatistics.CANDIDATES * k
    visible = visible & seen
    spare = geostatistics.octant_ranks(places.bearing[targets], visible) >= geostatistics.share_of_octant(k)
    first = np.argsort(np.where(visible, spare, 2), axis=1, kind="stable")[:, :k]
    first = np.sort(first, axis=1)
    index, distance, bearing = (np.take_along_axis(a[targets], first, axis=1)
                                for a in (places.order, places.distance, places.bearing))
    among = correlation.among_stations(places.between[index[:, :, None], index[:, None, :]])
    weight, variance = geostatistics.solve(among, correlation.between(distance))
    variance = np.maximum(variance, correlation.nugget)  # a station at the same place is not the target itself
    return Neighbourhood(index, distance, bearing, weight.astype(np.float32), variance.astype(np.float32)), enough


@dataclass(frozen=True)
class MaskedSeries:
    """All stations' series with some hours removed, gaps bridged in each series alone."""

    means: StationMeans      # (time, station)
    readable: np.ndarray     # bool (days, station): observed in most of the day's hours


def draw_masked_series(observed_values: np.ndarray, settings: AnalysisTraining, rng: np.random.Generator,
                       snapshots: bool) -> MaskedSeries:
    """Remove hours of PM2.5 (time, station) in ug m-3, whole days in UTC+8 from the first row on, at random."""
    kept = draw_kept_hours(observed_values.shape, settings, rng)
    if snapshots:
        hours = rng.choice(HOURS_PER_DAY, rng.integers(1, MOST_SNAPSHOTS + 1), replace=False)
        kept &= np.isin(np.arange(len(kept)) % HOURS_PER_DAY, hours)[:, None]
    values = np.where(kept, observed_values, np.nan)
    observed = np.isfinite(values)
    age = np.minimum(gap_filling.hours_to_nearest(observed), gap_filling.REACH_HOURS).astype(np.float32)
    by_day = observed.reshape(-1, HOURS_PER_DAY, observed.shape[1])
    reported = by_day.any(axis=2).sum(axis=1)[:, None]
    readable = (by_day.sum(axis=1) >= np.maximum(LEAST_OBSERVED * reported, 1))
    return MaskedSeries(station_means(gap_filling.bridge(values, ~observed), observed, age), readable)


def draw_kept_hours(shape: tuple[int, int], settings: AnalysisTraining, rng: np.random.Generator) -> np.ndarray:
    """Which values (time, station) bool a sample keeps.

    Removed are single values, a share of them between 0 and `gap`, and runs of 1 to LONGEST_OUTAGE hours at all
    stations at once, as many as make up the share `outage` of the hours.
    """
    kept = rng.random(shape) >= settings.gap * rng.random()
    for _ in range(round(settings.outage * shape[0] / MEAN_OUTAGE)):
        start = rng.integers(shape[0])
        kept[start:start + rng.integers(1, LONGEST_OUTAGE + 1)] = False
    return kept
