"""Any forecasting network behind the interface of every model (models/base.py).

A forecast is asked for with targets after the last given hour, the hour of issue. What is not passed in cannot leak.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.errors import UserError
from aqreanalysis.models.base import Prepared, Silent, Supporters
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.series import LARGEST_LOG1P, NO_TREND, Series, point_neighbours, station_series
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.time_axis import HOUR

if TYPE_CHECKING:
    import torch
    from torch import nn

    from aqreanalysis.models.forecast.window import PointNeighbours, Window

NO_WEATHER = WeatherInputs()
WINDOWS_AT_ONCE = 64  # in one call of a network


@dataclass
class Forecaster:
    """A forecasting network with its scaler; `k` stations round each point, settable when it runs.

    `error` (horizon,) is the root mean square error in ug m-3 at each lead on the validation slice: the standard
    error of a forecast; None before the validation. `weather` is what it reads of the fields: means over the places of
    the stations, of the target hours and of a day before.
    """

    network: nn.Module
    scaler: Scaler
    history: int
    horizon: int
    k: int = 20
    name: str = "forecast"
    error: np.ndarray | None = None
    trend: Trend = NO_TREND
    weather: WeatherInputs = NO_WEATHER
    future: int = field(default=0, init=False)
    fields_optional: bool = field(default=False, init=False)
    calibration: Calibration | None = field(default=None, init=False)

    @property
    def fields(self) -> tuple[str, ...]:
        """What it reads of the fields."""
        return self.weather.names

    @property
    def co_pollutants(self) -> int:
        """Hours before the targets in which pollutants other than PM2.5 are read."""
        return self.history + self.horizon

    def fit(self, stations: xr.Dataset) -> Self:
        """The forecaster itself: training is `aqreanalysis train`."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 and its standard error at targets whose time lies 1 ... horizon hours after the last of `stations`.

        NaN where no station reported within the hours that are read. UserError for other targets, and where
        `stations` has fewer hours than are read.
        """
        schema.check_targets(targets)
        return self.prepare(stations, targets.time.values, fields).at(targets)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """Make the window that ends with the last hour of `stations`, the hour of issue; errors as of `predict`."""
        schema.check_station_cube(stations)
        self._check_leads(stations, hours)
        window = stations.isel({schema.TIME: slice(-self.history, None)})
        if not np.isfinite(window[schema.TARGET].values).any():
            return Silent()
        known = self._known_weather(window, fields)
        return PreparedForecast(self, station_series(window, self.scaler, self.trend, self.horizon, known))

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

    def _known_weather(self, window: xr.Dataset, fields: xr.Dataset | None) -> np.ndarray | None:
        """The weather (history and horizon, variables) of the city, standardised; None where none is read."""
        if not self.weather.names:
            return None
        if fields is None:
            raise UserError(f"{self.name} reads the weather of the hours that are asked for.",
                            f"It takes {', '.join(self.weather.names)} as known.", "Give fields.")
        last = window.time.values[-1]
        hours = last + HOUR * np.arange(1 - self.history, self.horizon + 1)
        at_stations = self.weather.at(fields, hours, window.lat.values, window.lon.values)
        return self.weather.standardised(city_mean(at_stations))

    def _check_leads(self, stations: xr.Dataset, hours: np.ndarray) -> None:
        """A UserError where hours cannot be forecast from `stations`."""
        time = stations.time.values
        if len(time) < self.history:
            raise UserError(f"{len(time)} hours of observations were given.",
                            f"A forecast of {self.name} reads the last {self.history} hours.", "Give a longer period.")
        leads = leads_of(time[-1], hours)
        if len(leads) and not (leads.min() >= 1 and leads.max() <= self.horizon):
            raise UserError(f"Targets lie {leads.min()} to {leads.max()} hours after the last observation.",
                            f"{self.name} forecasts 1 to {self.horizon} hours ahead.",
                            "Choose other hours, or end the observations before them.")


@dataclass(frozen=True)
class PreparedForecast:
    """A forecaster and the window that it reads."""

    model: Forecaster
    data: Series  # of the window alone

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """The forecast at targets whose hours were prepared; see Forecaster.predict."""
        model = self.model
        near = point_neighbours(self.data.lat, self.data.lon, targets.lat.values, targets.lon.values, model.k)
        found = model.at_origins(self.data, np.array([model.history - 1]), near)[0]
        error = np.full(model.horizon, np.nan) if model.error is None else np.asarray(model.error)
        rows = leads_of(self.data.time[-1], targets.time.values) - 1
        return schema.make_estimate(targets, found.T[rows],
                                    np.where(np.isfinite(found.T), error[:, None], np.nan)[rows])

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """The `k` stations nearest to each place, which its forecast is interpolated from."""
        index, distance = geo.nearest(self.data.lat, self.data.lon, lat, lon, self.model.k)
        return Supporters(index, distance, self.model.k)


def city_mean(values: np.ndarray) -> np.ndarray:
    """Mean (hours, variables), float32, of values (hours, places, variables) that are known; NaN where none is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def leads_of(issue: np.datetime64, hours: np.ndarray) -> np.ndarray:
    """Hours from the hour of issue to each target hour."""
    return ((hours - issue) / HOUR).astype(int)


def concentration(scaled: torch.Tensor, window: Window, scaler: Scaler) -> torch.Tensor:
    """PM2.5 in ug m-3 from a network's output (batch, points, horizon) for a window; not negative, bounded."""
    import torch

    logs = (scaled + window.trend[:, None, None]) * scaler.std[schema.TARGET] + scaler.mean[schema.TARGET]
    return torch.expm1(logs.clamp(0.0, LARGEST_LOG1P))
