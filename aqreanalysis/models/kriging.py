"""Ordinary kriging of each hour from the nearest stations that reported in it.

The baseline that a map has to beat. Local neighbourhood of `k` stations chosen anew for every
hour among those that reported; distances on the sphere; variance from the kriging system with a
sill estimated from the same neighbours. Exact: nothing is filled, nothing is renormalised.

Reference: Cressie (1993), section 3.2. Checked against PyKrige in tests/test_kriging.py.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.models import geostatistics
from aqreanalysis.models.geostatistics import Correlation


class Kriging:
    """Ordinary kriging; `k` neighbours of those that reported, among the `candidates` nearest."""

    name = "kriging"
    history = future = 0

    def __init__(self, k: int = 20, range_km: float = 200.0, nugget: float = 0.06, candidates: int = 40):
        self.k, self.candidates = k, max(candidates, k)
        self.correlation = Correlation(range_km, nugget)

    def fit(self, stations: xr.Dataset) -> Kriging:
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """PM2.5 and its standard error (time, point); NaN in an hour without any observation."""
        schema.check_station_cube(stations), schema.check_targets(targets)
        observed = stations.pm25.sel(time=targets.time).values
        lat, lon = stations.lat.values, stations.lon.values
        to_lat, to_lon = targets.lat.values, targets.lon.values
        index, _ = geo.nearest(lat, lon, to_lat, to_lon, self.candidates)
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        estimate, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        for point in range(shape[1]):
            among, to_target = geostatistics.neighbour_correlation(
                self.correlation, lat, lon, to_lat[[point]], to_lon[[point]], index[[point]])
            estimate[:, point], error[:, point] = self._one_point(
                observed[:, index[point]], among[0], to_target[0])
        return schema.make_estimate(targets, estimate, error)

    def _one_point(self, values, among, to_target):
        """Series at one target from its candidates' series (time, candidates), nearest first."""
        present = np.isfinite(values)
        use = present & (np.cumsum(present, axis=1) <= self.k)
        patterns, which = np.unique(use, axis=0, return_inverse=True)
        which = which.ravel()  # numpy 2.0 alone returns a column
        weights, variance, structure = self._solve_patterns(patterns, among, to_target)
        filled = np.where(use, values, 0.0)
        estimate = (weights[which] * filled).sum(axis=1)
        count = use.sum(axis=1)
        mean = filled.sum(axis=1) / np.maximum(count, 1)
        spread = (np.where(use, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        spread = spread / np.maximum(count - 1, 1)
        sill = np.where(count > 1, spread / structure[which], np.nan)
        nothing = count == 0
        return (np.where(nothing, np.nan, np.maximum(estimate, 0.0)),
                np.where(nothing, np.nan, np.sqrt(sill * variance[which])))

    def _solve_patterns(self, patterns, among, to_target):
        """Weights, variance and expected sample variance (both for a sill of 1) per pattern."""
        weights, variance, structure = [], [], []
        eye = np.eye(len(to_target))
        for start in range(0, len(patterns), 1024):
            use = patterns[start:start + 1024]
            pair = use[:, :, None] & use[:, None, :]
            system = np.where(pair, among[None], eye[None])
            w, v = geostatistics.solve(system, np.where(use, to_target[None], np.nan))
            weights.append(np.where(use, w, 0.0)), variance.append(v)
            structure.append(expected_sample_variance(np.where(pair, among[None], 0.0), use.sum(axis=1)))
        return np.concatenate(weights), np.concatenate(variance), np.concatenate(structure)


def expected_sample_variance(among: np.ndarray, count: np.ndarray) -> np.ndarray:
    """E[S2] / sill of the sample variance of `count` correlated values: 1 - mean correlation of pairs.

    `among` (n, k, k) holds 0 where a neighbour is absent and 1 on the diagonal of those present.
    """
    pairs = np.maximum(count * (count - 1), 1)
    off_diagonal = among.sum(axis=(1, 2)) - count
    return np.maximum(1.0 - off_diagonal / pairs, 1e-3)
