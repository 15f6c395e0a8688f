"""Any forecasting network behind the interface of every model (models/base.py).

A forecast is targets that lie after the last given hour, the hour of issue; what is not passed in cannot leak.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.series import LARGEST_LOG1P, NO_TREND, Series, point_neighbours, station_series
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.time_axis import HOUR

if TYPE_CHECKING:
    import torch
    from torch import nn

    from aqreanalysis.models.forecast.window import PointNeighbours, Window

WINDOWS_AT_ONCE = 64  # in one call of a network


@dataclass
class Forecaster:
    """A forecasting network with its scaler; `k` stations round each point, settable when it runs.

    `error` (horizon,) is the root mean square error in ug m-3 at each lead on the validation slice: the standard
    error of a forecast.
    """

    network: nn.Module
    scaler: Scaler
    history: int
    horizon: int
    k: int = 20
    name: str = "forecast"
    error: np.ndarray | None = None
    trend: Trend = NO_TREND
    future: int = field(default=0, init=False)

    def fit(self, stations: xr.Dataset) -> Forecaster:
        """Nothing to fit: `aqreanalysis train` does."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """PM2.5 and its standard error at targets whose time lies 1 ... horizon hours after the last of `stations`."""
        schema.check_station_cube(stations)
        schema.check_targets(targets)
        rows = self._leads(stations, targets) - 1
        data = station_series(stations.isel({schema.TIME: slice(-self.history, None)}), self.scaler, self.trend,
                              self.horizon)
        near = point_neighbours(data.lat, data.lon, targets.lat.values, targets.lon.values, self.k)
        found = self.at_origins(data, np.array([self.history - 1]), near)[0]
        error = np.full(self.horizon, np.nan) if self.error is None else np.asarray(self.error)
        known = np.isfinite(stations[schema.TARGET].values[-self.history:]).any()
        found = found if known else np.full_like(found, np.nan)
        return schema.make_estimate(targets, found.T[rows],
                                    np.where(np.isfinite(found.T), error[:, None], np.nan)[rows])

    def at_origins(self, data: Series, origins: np.ndarray, near: PointNeighbours) -> np.ndarray:
        """Forecasts (origins, points, horizon) in ug m-3, float32, many at a time."""
        import torch

        self.network.eval()
        parts = []
        with torch.no_grad():
            for batch in torch.split(torch.as_tensor(origins), WINDOWS_AT_ONCE):
                window = data.window(batch, self.history, self.horizon, near)
                parts.append(concentration(self.network(window), window, self.scaler))
        return torch.cat(parts).numpy()

    def _leads(self, stations: xr.Dataset, targets: xr.Dataset) -> np.ndarray:
        """Hours from the hour of issue to each target; a UserError where it cannot be forecast."""
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


def concentration(scaled: torch.Tensor, window: Window, scaler: Scaler) -> torch.Tensor:
    """PM2.5 in ug m-3 from a network's output (batch, points, horizon) for a window; not negative, bounded."""
    import torch

    logs = (scaled + window.trend[:, None, None]) * scaler.std[schema.TARGET] + scaler.mean[schema.TARGET]
    return torch.expm1(logs.clamp(0.0, LARGEST_LOG1P))
