"""Inverse distance weighting (Shepard 1968) of the nearest stations that reported in the hour.

With k = 1 it is the nearest station. Distances in km on the sphere, not in degrees.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema

SAME_PLACE_KM = 1e-3


class InverseDistance:
    """Weights distance ** -power over the `k` nearest of the stations that reported."""

    history = future = 0

    def __init__(self, k: int = 20, power: float = 1.75, candidates: int = 60, name: str = "IDW"):
        self.k, self.power, self.candidates, self.name = k, power, max(candidates, k), name

    def fit(self, stations: xr.Dataset) -> InverseDistance:
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """Weighted mean, and the weighted standard deviation of the neighbours as standard error."""
        schema.check_station_cube(stations), schema.check_targets(targets)
        observed = stations[schema.TARGET].sel(time=targets.time).values
        index, distance = geo.nearest(stations.lat.values, stations.lon.values,
                                      targets.lat.values, targets.lon.values, self.candidates)
        weights = np.maximum(distance, SAME_PLACE_KM) ** -self.power
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        estimate, error = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for point in range(shape[1]):
            estimate[:, point], error[:, point] = self._one_point(observed[:, index[point]], weights[point])
        return schema.make_estimate(targets, estimate, error)

    def _one_point(self, values: np.ndarray, weights: np.ndarray):
        """Series at one target from its candidates' series (time, candidates), nearest first."""
        present = np.isfinite(values)
        use = present & (np.cumsum(present, axis=1) <= self.k)
        share = np.where(use, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = share / share.sum(axis=1, keepdims=True)
        filled = np.where(use, values, 0.0)
        mean = (share * filled).sum(axis=1)
        return mean, np.sqrt((share * (filled - mean[:, None]) ** 2).sum(axis=1))


def nearest() -> InverseDistance:
    """The nearest station that reported in the hour; its standard error is not known and 0."""
    return InverseDistance(k=1, name="nearest")
