"""A model together with the fields that it reads, for callers that know of stations and targets alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.models.base import Prepared, WrappedModel
from aqreanalysis.models.calibration import Calibration


@dataclass(frozen=True)
class Supplied(WrappedModel):
    """Any model; `supply` are its fields of all hours and places that it will be asked for."""

    supply: xr.Dataset

    @property
    def calibration(self) -> Calibration | None:
        """See Model."""
        return self.model.calibration

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """As Model.predict; fields that are given come first."""
        return self.model.predict(stations, targets, self.supply if fields is None else fields)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """As Model.prepare; fields that are given come first."""
        return self.model.prepare(stations, hours, self.supply if fields is None else fields)
