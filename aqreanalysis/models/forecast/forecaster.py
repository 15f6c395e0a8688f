"""Any forecasting network behind the interface of every model (models/base.py).

A forecast is targets that lie after the last given hour, the hour of issue; what is not passed in can't leak.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.series import LARGEST, LEVEL, Series, places, series
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.time_axis import HOUR

AT_ONCE = 64  # windows in one call of a network


@dataclass
class Forecaster:
    """A network of `nets/` with its scaler; `k` stations round each point, settable when it runs.

    `error` (horizon,) is the root mean square error in ug m-3 at each lead on the validation slice: the standard
    error that a forecast is given.
    """

    network: object
    scaler: Scaler
    history: int
    horizon: int
    k: int = 20
    name: str = "forecast"
    error: np.ndarray | None = None
    trend: Trend = LEVEL
    future: int = field(default=0, init=False)

    def fit(self, stations: xr.Dataset) -> Forecaster:
        """Nothing to fit: `aqreanalysis train` does."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """PM2.5 and its standard error at targets whose time lies 1 ... horizon hours after the last of `stations`."""
        schema.check_station_cube(stations), schema.check_targets(targets)
        rows = self._leads(stations, targets) - 1
        data = series(stations.isel({schema.TIME: slice(-self.history, None)}), self.scaler, self.trend, self.horizon)
        near = places(data.lat, data.lon, targets.lat.values, targets.lon.values, self.k)
        found = self.at_origins(data, np.array([self.history - 1]), near)[0]
        error = np.full(self.horizon, np.nan) if self.error is None else np.asarray(self.error)
        known = np.isfinite(stations[schema.TARGET].values[-self.history:]).any()
        found = found if known else np.full_like(found, np.nan)
        return schema.make_estimate(targets, found.T[rows],
                                    np.where(np.isfinite(found.T), error[:, None], np.nan)[rows])

    def at_origins(self, data: Series, origins: np.ndarray, near) -> np.ndarray:
        """Forecasts (origins, points, horizon) in ug m-3, float32, many at a time."""
        import torch

        self.network.eval()
        parts = []
        with torch.no_grad():
            for batch in torch.split(torch.as_tensor(origins), AT_ONCE):
                window = data.window(batch, self.history, self.horizon, near)
                parts.append(concentration(self.network(window), window, self.scaler))
        return torch.cat(parts).numpy()

    def _leads(self, stations: xr.Dataset, targets: xr.Dataset) -> np.ndarray:
        """Hours from the hour of issue to each target; a UserError where it can't be forecast."""
        time = stations.time.values
        if len(time) < self.history:
            raise UserError(f"{len(time)} hours of observations were given.",
                            f"A forecast of {self.name} reads the last {self.history} hours.", "Give a longer period.")
        leads = ((targets.time.values - time[-1]) / HOUR).astype(int)
        if len(leads) and not (leads.min() >= 1 and leads.max() <= self.horizon):
            raise UserError(f"Targets lie {leads.min()} to {leads.max()} hours after the last observation.",
                            f"{self.name} forecasts 1 to {self.horizon} hours ahead.",
                            "Choose other hours, or end the observations before them.")
        return leads


def concentration(scaled, window, scaler: Scaler):
    """PM2.5 in ug m-3 of a network's answer (batch, points, horizon) to a window; not negative, bounded."""
    import torch

    logs = (scaled + window.trend[:, None, None]) * scaler.std[schema.TARGET] + scaler.mean[schema.TARGET]
    return torch.expm1(logs.clamp(0.0, LARGEST))
