"""What a network reads of the fields: weather of the places, standardised, and the clock; and the wind by itself.

The source of SPIN reads 2 m temperature and humidity, surface pressure, rain, boundary layer height, radiation, wind
and emissions. Which of them are read here is what the fields have; emissions are not to be had, and the clock (hour,
day of the week and month, features.cyclic_time) stands for them. How they are normalised is not given: here by mean and
standard deviation of the training slice. A missing value is 0, the mean; a missing wind blows nowhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.fields.sampling import sample_fields
from aqreanalysis.models.features import CLOCK_FEATURES, cyclic_time

WIND = ("u10", "v10")  # m s-1 towards east and north


@dataclass(frozen=True)
class WeatherInputs:
    """Names of the variables that are read, and what standardises them; none for a network of the clock alone."""

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def inputs(self) -> int:
        """How many numbers describe a place in an hour."""
        return len(self.names) + CLOCK_FEATURES

    @classmethod
    def fit(cls, names: tuple[str, ...], values: np.ndarray) -> Self:
        """From values (..., names); NaN are left out."""
        flat = values.reshape(-1, len(names)).astype(np.float64)
        mean, deviation = np.nanmean(flat, axis=0), np.nanstd(flat, axis=0)
        return cls(tuple(names), tuple(mean.tolist()), tuple(np.where(deviation > 0, deviation, 1.0).tolist()))

    def asdict(self) -> dict:
        """For a card."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def of(cls, stored: dict) -> Self:
        """From a card."""
        return cls(**{name: tuple(values) for name, values in stored.items()})

    def at(self, fields: xr.Dataset | None, hours: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Values (hours, places, names) at places in degrees; NaN where nothing is known, everywhere without fields."""
        if fields is None or not self.names:
            return np.full((len(hours), len(lat), len(self.names)), np.nan, np.float32)
        found = sample_fields(fields, hours, lat, lon, self.names)
        return np.stack([found[name].values for name in self.names], axis=-1)

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Values (..., names) less their mean, over their standard deviation, float32; NaN where they are."""
        mean, deviation = np.asarray(self.mean, np.float32), np.asarray(self.deviation, np.float32)
        return ((values - mean) / deviation).astype(np.float32)

    def as_inputs(self, values: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Values (hours, places, names) as a network reads them, float32 (hours, places, inputs), clock last."""
        scaled = self.standardised(values)
        clock = np.broadcast_to(cyclic_time(hours)[:, None], (*values.shape[:2], CLOCK_FEATURES))
        return np.concatenate([np.nan_to_num(scaled), clock], axis=-1).astype(np.float32)

    def wind_of(self, values: np.ndarray) -> np.ndarray | None:
        """The wind (..., 2) in m s-1 among values (..., names), 0 where it is missing; None where it is not read."""
        if not set(WIND) <= set(self.names):
            return None
        wind = values[..., [self.names.index(name) for name in WIND]]
        return np.where(np.isfinite(wind).all(axis=-1, keepdims=True), wind, 0.0).astype(np.float32)
