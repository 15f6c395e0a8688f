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
