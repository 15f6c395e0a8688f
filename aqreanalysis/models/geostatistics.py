"""Ordinary kriging on the sphere: correlation, weights, variance. Numbers in, numbers out.

Reference: Cressie (1993), Statistics for Spatial Data, section 3.2; Chiles & Delfiner (2012),
Geostatistics, section 3.4. Weights do not depend on the sill, so variances are given for a sill
of 1 and are scaled by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aqreanalysis import geo
from aqreanalysis.models.features import LEVEL

# Standard deviation in space of PM2.5 over its mean + LEVEL, where a single station reports and it can not be
# estimated: the root mean square of that of 40 neighbours in 2019 (benchmarks/baseline_errors.py).
ASSUMED_SPREAD = 0.38
OCTANTS = 8
CANDIDATES = 3  # nearest stations among which an octant search chooses, for each that it takes
BATCH = 4096  # systems solved at once: distances among 4096 x 20 neighbours are 13 MB


@dataclass(frozen=True)
class Correlation:
    """Exponential correlation, C(h) = (1 - nugget) exp(-h / range_km) for h > 0, C(0) = 1.

    The nugget is variability below the stations' spacing, and noise; a target at a station's
    place is the station itself, so that kriging there returns the observation.
    """

    range_km: float = 200.0
    nugget: float = 0.06

    def between(self, distance: np.ndarray) -> np.ndarray:
        """Correlation of two places `distance` km apart; 1 only where they are one place."""
        value = (1.0 - self.nugget) * np.exp(-distance / self.range_km)
        return np.where(distance < 1e-6, 1.0, value)

    def among_stations(self, distance: np.ndarray) -> np.ndarray:
        """Correlation matrices (..., k, k): two stations at one place still differ by the nugget."""
        value = (1.0 - self.nugget) * np.exp(-distance / self.range_km)
        diagonal = np.arange(distance.shape[-1])
        value[..., diagonal, diagonal] = 1.0
        return value


def solve(among: np.ndarray, to_target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and variance of ordinary kriging for a sill of 1.

    Parameters
    ----------
    among : (n, k, k) correlation among the neighbours.
    to_target : (n, k) correlation of neighbours and target. A neighbour whose row and column of
        `among` are zero but for a one on the diagonal and whose `to_target` is NaN takes no part.

    Returns
    -------
    weights : (n, k), summing to 1 (0 where a neighbour takes no part; NaN where none does).
    variance : (n,), at least 0.
    """
    takes_part = np.isfinite(to_target)
    right = np.where(takes_part, to_target, 0.0)
    n, k = right.shape
    system = np.zeros((n, k + 1, k + 1))
    system[:, :k, :k] = among
    system[:, :k, k] = system[:, k, :k] = takes_part
    system[:, k, k] = np.where(takes_part.any(axis=1), 0.0, 1.0)
    rhs = np.concatenate([right, np.ones((n, 1))], axis=1)
    solution = np.linalg.solve(system, rhs[..., None])[..., 0]
    weights, multiplier = solution[:, :k], solution[:, k]
    weights = np.where(takes_part.any(axis=1)[:, None], weights, np.nan)
    variance = 1.0 - (weights * right).sum(axis=1) - multiplier
    return weights, np.maximum(variance, 0.0)


def neighbour_correlation(correlation: Correlation, lat, lon, to_lat, to_lon, index: np.ndarray):
    """`among` (n, k, k) and `to_target` (n, k) for the neighbours `index` (n, k) of n targets."""
    among = among_neighbours(correlation, lat, lon, index)
    return among(slice(None)), correlation.between(distance_to_target(lat, lon, to_lat, to_lon, index))


def among_neighbours(correlation: Correlation, lat, lon, index: np.ndarray) -> Callable[[slice], np.ndarray]:
    """From some rows to the correlation among their neighbours, (rows, k, k); `index` (n, k).

    Where that is less work it is computed once, for all pairs of stations.
    """
    stations = geo.unit_vectors(lat, lon)
    if index.size * index.shape[1] <= len(stations) ** 2:
        return lambda rows: correlation.among_stations(_kilometres(stations[index[rows]]))
    table = correlation.among_stations(_kilometres(stations))
    return lambda rows: table[index[rows][:, :, None], index[rows][:, None, :]]


def _kilometres(vectors: np.ndarray) -> np.ndarray:
    """Distances (..., m, m) among unit vectors (..., m, 3)."""
    return geo.chord_to_km(np.linalg.norm(vectors[..., :, None, :] - vectors[..., None, :, :], axis=-1))


def distance_to_target(lat, lon, to_lat, to_lon, index: np.ndarray) -> np.ndarray:
    """km (n, k) from n targets to their neighbours."""
    targets = geo.unit_vectors(to_lat, to_lon)
    return geo.chord_to_km(np.linalg.norm(geo.unit_vectors(lat, lon)[index] - targets[:, None], axis=-1))


def weights(correlation: Correlation, lat, lon, to_lat, to_lon, index: np.ndarray):
    """Kriging weights (n, k) and variance (n,) for a sill of 1, every neighbour present."""
    to_target = correlation.between(distance_to_target(lat, lon, to_lat, to_lon, index))
    among = among_neighbours(correlation, lat, lon, index)
    starts = range(0, max(len(index), 1), BATCH)  # once for no targets: arrays of length 0
    parts = [solve(among(rows), to_target[rows]) for start in starts for rows in [slice(start, start + BATCH)]]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def assumed_spread(pm25: np.ndarray) -> np.ndarray:
    """Standard deviation in space, ug m-3, that is assumed where only the value `pm25` of one station is known."""
    return ASSUMED_SPREAD * (pm25 + LEVEL)


def octant_ranks(bearing: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """How many nearer neighbours lie in the same octant, int64 of the shape of `present`, else of `bearing`.

    Parameters
    ----------
    bearing : radians from the target to its neighbours, (k,) or (n, k), nearest first.
    present : bool (n, k); neighbours that are not do not count. 0 for those themselves.
    """
    octant = np.floor(np.mod(bearing, 2 * np.pi) / (2 * np.pi / OCTANTS)).astype(np.int64)
    shape = octant.shape if present is None else present.shape
    rank = np.zeros(shape, np.int64)
    for number in range(OCTANTS):
        within = np.broadcast_to(octant == number, shape)
        within = within if present is None else within & present
        rank = np.where(within, np.cumsum(within, axis=-1) - 1, rank)
    return rank


def share_of_octant(k: int) -> int:
    """How many of `k` neighbours an octant gives: k / 8, rounded up; the nearest of the rest fill up."""
    return -(-k // OCTANTS)
