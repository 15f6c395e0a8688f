"""Where places lie, as far as errors depend on it: how far from the next station, and among how many people.

Stations stand in towns. Where few people live an estimate is made from towns, and is wrong in other ways than beside a
station in the same distance; the population potential within 5 km tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aqreanalysis.fields.static import population_potential

PEOPLE_KM = 5.0  # at this distance a person counts 1/e


@dataclass(frozen=True)
class Sites:
    """Places: `distance` km to the nearest station that the model was given; `population`, the logarithm of 1 + the
    population potential within PEOPLE_KM, NaN where it is not known. Of one shape, whatever it is."""

    distance: np.ndarray
    population: np.ndarray

    @classmethod
    def of(cls, lat, lon, distance) -> Sites:
        """Of places (n,), degrees, at these distances (n,), km."""
        return cls(np.asarray(distance, np.float32), np.log1p(population_potential(lat, lon, PEOPLE_KM)))

    @classmethod
    def at_km(cls, distance) -> Sites:
        """At distances of any shape, km, where nobody knows how many people live."""
        distance = np.asarray(distance)
        return cls(distance, np.full(distance.shape, np.nan))

    def __getitem__(self, which: Any) -> Sites:
        return Sites(self.distance[which], self.population[which])

    def broadcast_to(self, shape: tuple[int, ...]) -> Sites:
        """The same for arrays of this shape."""
        return Sites(np.broadcast_to(self.distance, shape), np.broadcast_to(self.population, shape))
