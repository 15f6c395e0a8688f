"""Inverse distance weighting (Shepard 1968) of the nearest stations that reported in the hour.

With k = 1 it is the nearest station. Distances in km on the sphere, not in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.models import geostatistics
from aqreanalysis.models.base import PointwiseModel, Supporters, observed_at
from aqreanalysis.models.geostatistics import Correlation

LEAST_DISTANCE_KM = 1e-3
IDW_NEIGHBOURS = 20


@dataclass
class InverseDistance(PointwiseModel):
    """Weights distance ** -power over the `k` nearest of the stations that reported."""

    k: int = IDW_NEIGHBOURS
    power: float = 1.75
    candidates: int = 60
    name: str = "IDW"

    def __post_init__(self) -> None:
        self.candidates = max(self.candidates, self.k)

    def supporters(self, stations: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """The nearest `candidates`, of which the `k` nearest that reported take part."""
        return Supporters(*geo.nearest(stations.lat.values, stations.lon.values, lat, lon, self.candidates), self.k)

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """Weighted mean, and the weighted standard deviation of the neighbours as standard error.

        Of one neighbour that is not known: then it is the error of taking its value for the target's, the root of
        2 (1 - C(distance)) times geostatistics.assumed_spread. NaN where none of the candidates reported in the hour.
        """
        observed = observed_at(stations, schema.check_targets(targets).time.values)
        index, distance = geo.nearest(stations.lat.values, stations.lon.values,
                                      targets.lat.values, targets.lon.values, self.candidates)
        weights = np.maximum(distance, LEAST_DISTANCE_KM) ** -self.power
        copied = np.sqrt(2.0 * (1.0 - Correlation().between(distance)))  # error of a copy, for a spread of 1
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        estimate, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        for point in range(shape[1] if stations.sizes[schema.STATION] else 0):
            estimate[:, point], error[:, point] = self._one_point(
                observed[:, index[point]], weights[point], copied[point])
        return schema.make_estimate(targets, estimate, error)

    def _one_point(self, values: np.ndarray, weights: np.ndarray, copied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Series at one target from its candidates' series (time, candidates), nearest first."""
        present = np.isfinite(values)
        use = present & (np.cumsum(present, axis=1) <= self.k)
        share = np.where(use, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = share / share.sum(axis=1, keepdims=True)
        filled = np.where(use, values, 0.0)
        mean = (share * filled).sum(axis=1)
        error = np.sqrt((share * (filled - mean[:, None]) ** 2).sum(axis=1))
        alone = geostatistics.assumed_spread(mean) * (use * copied).sum(axis=1)
        return mean, np.where(use.sum(axis=1) == 1, alone, error)


def nearest() -> InverseDistance:
    """The nearest station that reported in the hour."""
    return InverseDistance(k=1, name="nearest")
