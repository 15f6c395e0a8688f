"""Which stations a target leans on, and how they lie: computed once per station set.

A `Neighbourhood` holds, for every target, `k` stations round it, their distance and direction,
and ordinary kriging's weights and variance as if all of them reported. It depends on geometry alone
and is kept under a hash of it.

The stations are chosen by octant search (Deutsch and Journel 1998, GSLIB, section II.4): the network
clusters in cities, and the 20 nearest are often of one city on one side of the target, each saying
what the others say.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from aqreanalysis import geo
from aqreanalysis.models import geostatistics
from aqreanalysis.models.geostatistics import Correlation

_KEPT: OrderedDict[str, Neighbourhood] = OrderedDict()
_KEEP = 4  # station sets: a run alternates between the stations' own and the targets'


@dataclass(frozen=True)
class Neighbourhood:
    """`k` stations round each of n targets, nearest first; arrays (n, k) but for `variance` (n,)."""

    index: np.ndarray     # int64, into the stations
    distance: np.ndarray  # float32, km
    bearing: np.ndarray   # float32, radians clockwise from north, target to station
    weight: np.ndarray    # float32, ordinary kriging, rows sum to 1
    variance: np.ndarray  # float32, kriging variance for a sill of 1; 0 at a station


def find_neighbourhood(lat, lon, to_lat, to_lon, k: int, correlation: Correlation,
                       leave_out_self: bool = False) -> Neighbourhood:
    """Neighbours of targets among stations, from memory where this geometry was seen before.

    `leave_out_self` is for targets that are the stations themselves, in the same order: each is
    estimated from the others only.
    """
    arrays = [np.ascontiguousarray(a, np.float64) for a in (lat, lon, to_lat, to_lon)]
    geometry = b"".join(a.tobytes() for a in arrays)
    options = repr((k, correlation, leave_out_self, [a.size for a in arrays])).encode()
    key = hashlib.sha256(geometry + options).hexdigest()
    if key not in _KEPT:
        _KEPT[key] = _computed(*arrays, k=k, correlation=correlation, leave_out_self=leave_out_self)
        while len(_KEPT) > _KEEP:
            _KEPT.popitem(last=False)
    _KEPT.move_to_end(key)
    return _KEPT[key]


def _computed(lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray, *, k: int,
              correlation: Correlation, leave_out_self: bool) -> Neighbourhood:
    candidates = geostatistics.CANDIDATES * k
    index, distance = geo.nearest(lat, lon, to_lat, to_lon, candidates + 1 if leave_out_self else candidates)
    if leave_out_self:
        index, distance = _without_self(index, distance)
    bearing = geo.bearing(to_lat[:, None], to_lon[:, None], lat[index], lon[index])
    chosen = octant_search(bearing, k)
    index, distance, bearing = (np.take_along_axis(a, chosen, axis=1) for a in (index, distance, bearing))
    weight, variance = geostatistics.weights(correlation, lat, lon, to_lat, to_lon, index)
    if leave_out_self:  # a station at the same place is a neighbour, not the target itself
        variance = np.maximum(variance, correlation.nugget)
    return Neighbourhood(index, distance.astype(np.float32), bearing.astype(np.float32),
                         weight.astype(np.float32), variance.astype(np.float32))


def octant_search(bearing: np.ndarray, k: int) -> np.ndarray:
    """Which of the candidates to take: int64 (n, k), in their order.

    `bearing` (n, candidates) in radians, nearest first. At most k / 8, rounded up, of each octant; where
    the octants hold fewer than `k`, the nearest of the rest fill up.
    """
    spare = geostatistics.octant_ranks(bearing) >= geostatistics.share_of_octant(k)
    return np.sort(np.argsort(spare, axis=1, kind="stable")[:, :k], axis=1)


def _without_self(index, distance):
    """Drop each row's own number; where stations share a place it need not stand first."""
    own = index == np.arange(len(index))[:, None]
    own[~own.any(axis=1), -1] = True
    k = index.shape[1] - 1
    return index[~own].reshape(-1, k), distance[~own].reshape(-1, k)
