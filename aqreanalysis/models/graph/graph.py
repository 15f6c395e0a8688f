"""Graphs of places: who is near whom, and with which weight. Geometry and formulas; numbers in, numbers out.

Two kernels carry what a place knows to another one (SPIN: Wang et al. 2025, arXiv 2511.16013, after the first author's
thesis; no code is released). With d the great-circle distance in km of places i and j, under `REACH_KM`:

- distance:  A_ij = exp(-d^2 / (2 sigma^2)), sigma = 50 km; diffusion D^-1/2 A D^-1/2, D the sums of A's rows;
- advection from j to i:  r_ij = max(|u_j| cos(alpha) / d, 0) exp(-d / 100 km), alpha between the wind at j and the edge
  from j to i; rows are divided by their sums (the in-degree).

|u| cos(alpha) / d is a rate: with r in 1/h as the share that leaves j for i in an hour, on a chain of places and
without the exponential, a puff's centre moves by wind times time, however far apart the places are. An earlier
transcription of the formula lacked the division by d, and the puff's speed depended on the spacing; it is here as
`per_distance=False`.

What the source leaves open, and what is chosen: no place has an edge to itself (the update h + m keeps what it knows);
places nearer than LEAST_KM count as so far apart; the wind is of the sending place; a place without any wind towards it
gets nothing by advection (the row stays 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from aqreanalysis import geo

REACH_KM, SIGMA_KM, DECAY_KM = 200.0, 50.0, 100.0
LEAST_KM = 0.5  # between two places, in |u| / d


@dataclass(frozen=True)
class Edges:
    """Edges from `sources` places to `targets` places, sorted by target; arrays (edges,).

    `target` and `source` are their numbers, `distance` is in km, `east` and `north` are the components at the source of
    the unit vector towards the target.
    """

    target: np.ndarray
    source: np.ndarray
    distance: np.ndarray
    east: np.ndarray
    north: np.ndarray
    targets: int
    sources: int

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Values (edges,) as a matrix (targets, sources), 0 where there is no edge."""
        full = np.zeros((self.targets, self.sources), np.float32)
        full[self.target, self.source] = values
        return full


def edges_between(lat, lon, to_lat, to_lon, reach_km: float = REACH_KM, among: bool = False) -> Edges:
    """Edges of less than `reach_km` from places `lat`, `lon` (sources,) to `to_lat`, `to_lon` (targets,), degrees.

    With `among` both are the same places, and none has an edge to itself.
    """
    lat, lon, to_lat, to_lon = (np.atleast_1d(np.asarray(a, float)) for a in (lat, lon, to_lat, to_lon))
    if not lat.size or not to_lat.size:
        nothing = np.empty(0)
        return Edges(nothing.astype(int), nothing.astype(int), nothing, nothing, nothing, to_lat.size, lat.size)
    chord = 2.0 * np.sin(min(reach_km / (2.0 * geo.EARTH_RADIUS_KM), np.pi / 2))
    near = cKDTree(geo.unit_vectors(to_lat, to_lon)).query_ball_tree(cKDTree(geo.unit_vectors(lat, lon)), chord)
    target = np.repeat(np.arange(to_lat.size), [len(each) for each in near])
    source = np.array([number for each in near for number in sorted(each)], int)
    distance = geo.distance_km(to_lat[target], to_lon[target], lat[source], lon[source])
    kept = (distance < reach_km) & ~(among & (target == source))
    target, source, distance = target[kept], source[kept], distance[kept]
    towards = geo.bearing(lat[source], lon[source], to_lat[target], to_lon[target])
    return Edges(target, source, distance, np.sin(towards), np.cos(towards), to_lat.size, lat.size)


def closeness(distance: np.ndarray, sigma_km: float = SIGMA_KM) -> np.ndarray:
    """A_ij of the distance kernel, exp(-d^2 / (2 sigma^2)), of distances in km."""
    return np.exp(-distance**2 / (2.0 * sigma_km**2))


def advection_factor(distance: np.ndarray, decay_km: float = DECAY_KM, per_distance: bool = True) -> np.ndarray:
    """What |u| cos(alpha) is multiplied by: exp(-d / decay) / d in 1/km; the earlier transcription had no 1/d."""
    faded = np.exp(-distance / decay_km)
    return faded / np.maximum(distance, LEAST_KM) if per_distance else faded
