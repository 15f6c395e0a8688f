"""A model together with the fields that it reads, for callers that know of stations and targets alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.models.base import Model, Prepared
from aqreanalysis.models.calibration import Calibration


@dataclass(frozen=True)
class Supplied:
    """Any model; `supply` are its fields of all hours and places that it will be asked for."""

    model: Model
    supply: xr.Dataset

    @property
    def name(self) -> str:
        """As of the model; so are the other properties."""
        return self.model.name

    @property
    def history(self) -> int:
        """See Model."""
        return self.model.history

    @property
    def future(self) -> int:
        """See Model."""
        return self.model.future

    @property
    def fields(self) -> tuple[str, ...]:
        """See Model."""
        return self.model.fields

    @property
    def fields_optional(self) -> bool:
        """See Model."""
        return self.model.fields_optional

    @property
    def co_pollutants(self) -> int | None:
        """See Model."""
        return self.model.co_pollutants

    @property
    def calibration(self) -> Calibration | None:
        """See Model."""
        return self.model.calibration

    def fit(self, stations: xr.Dataset) -> Self:
        """See Model."""
        return type(self)(self.model.fit(stations), self.supply)

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """As Model.predict; fields that are given come first."""
        return self.model.predict(stations, targets, self.supply if fields is None else fields)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """As Model.prepare; fields that are given come first."""
        return self.model.prepare(stations, hours, self.supply if fields is None else fields)
