"""Any model with other factors of its errors than its own: those of a product, or none."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.models.base import Model, Prepared, Silent, Supporters, WrappedModel
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.sites import Sites


def with_calibration(model: Model, calibration: Calibration | None) -> Model:
    """The model with these factors of its raw standard errors; with None it gives the raw ones, and no bounds.

    A model that is a dataclass with a field `calibration` takes part in its own way, any other is wrapped.
    """
    if isinstance(model, Calibrated):
        model = model.model
    if is_dataclass(model) and "calibration" in {field.name for field in fields(model)}:
        return replace(model, calibration=calibration)
    return model if calibration is None else Calibrated(model, calibration)


@dataclass(frozen=True)
class Calibrated(WrappedModel):
    """A model that gives raw standard errors, and factors that make bounds of them."""

    calibration: Calibration

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """As :meth:`Model.predict`, with bounds."""
        return self.prepare(stations, targets.time.values, fields).at(targets)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """As :meth:`Model.prepare`."""
        if not stations.sizes[schema.STATION]:
            return Silent(calibrated=True)
        return CalibratedStations(self.model.prepare(stations, hours, fields), self.calibration, stations.lat.values,
                                  stations.lon.values)


@dataclass(frozen=True)
class CalibratedStations:
    """What a model has prepared, and factors; `lat`, `lon` (stations,) of the stations, degrees."""

    prepared: Prepared
    calibration: Calibration
    lat: np.ndarray
    lon: np.ndarray

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """As :meth:`Prepared.at`, with bounds."""
        raw = self.prepared.at(targets)
        estimate, scale = (raw[name].values for name in (schema.TARGET, schema.STANDARD_ERROR))
        _, distance = geo.nearest(self.lat, self.lon, targets.lat.values, targets.lon.values, 1)
        days = time_axis.local_days(targets.time.values)[:, None]
        sites = Sites.of(targets.lat.values, targets.lon.values, distance[:, 0])
        made = self.calibration.hourly.apply(estimate, scale, sites, days)
        return schema.make_estimate(targets, estimate, *made)

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """As :meth:`Prepared.supporters`."""
        return self.prepared.supporters(lat, lon)
