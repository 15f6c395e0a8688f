"""A station cube as the arrays that forecasts are made from, and windows cut out of them.

    values, mask   (hours, stations, pollutants) scaled log1p, 0 where missing, and 1 where observed
    mean, heard    (hours, pollutants) of the stations that reported, and whether any did
    truth          (hours, stations) PM2.5 in ug m-3, NaN where missing
    clock          (hours, 6) cyclic time
    trend          (hours,) of PM2.5, scaled as `values`, which are departures from it
    weather        (hours, variables) of the city, standardised, 0 where missing; of no variables where none is known

All float32, made once; a batch of windows is selected from them by index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.models.features import Scaler, cyclic_time
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.time_axis import HOUR

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.forecast.window import PointNeighbours, Window

OWN_STATION_KM = 0.01  # a station this near to a point stands at the point itself
NO_TREND = Trend()
LARGEST_LOG1P = 9.0    # log1p of 8,100 ug m-3: no forecast is above


@dataclass(frozen=True)
class Series:
    """Tensors of a cube; `time` (hours,) and `station`, `lat`, `lon` (stations,) are numpy arrays."""

    values: torch.Tensor
    mask: torch.Tensor
    mean: torch.Tensor
    heard: torch.Tensor
    truth: torch.Tensor
    clock: torch.Tensor
    trend: torch.Tensor
    weather: torch.Tensor
    time: np.ndarray
    station: np.ndarray
    lat: np.ndarray
    lon: np.ndarray

    def window(self, origins: np.ndarray | torch.Tensor, hours: int, horizon: int, neighbours: PointNeighbours,
               stations: np.ndarray | None = None) -> Window:
        """Windows whose last hours are the rows `origins` (batch,), of all stations or of those numbered.

        Gaps are filled from all stations in any case, and nothing outside a window is read.
        """
        import torch

        from aqreanalysis.models.forecast.window import WEATHER_BEFORE, Window, carried, fill_gaps

        origins = torch.as_tensor(origins)
        before = origins[:, None] + torch.arange(1 - hours, 1)
        after = origins[:, None] + torch.arange(1, horizon + 1)
        known = origins[:, None] + torch.arange(1 - min(WEATHER_BEFORE, hours), horizon + 1)
        place = before if stations is None else (before[..., None], torch.as_tensor(stations))
        values, mask = (array[place].transpose(1, 2) for array in (self.values, self.mask))
        mean = carried(self.mean[before], self.heard[before])
        return Window(fill_gaps(values, mask, mean), mask, mean, self.clock[before], self.clock[after],
                      self.trend[origins], neighbours, self.weather[known])

    def truth_after(self, origins: np.ndarray | torch.Tensor, horizon: int) -> torch.Tensor:
        """PM2.5 (batch, stations, horizon) of the hours after the origins, NaN where missing."""
        import torch

        after = torch.as_tensor(origins)[:, None] + torch.arange(1, horizon + 1)
        return self.truth[after].transpose(1, 2)


def station_series(cube: xr.Dataset, scaler: Scaler, trend: Trend = NO_TREND, more_hours: int = 0,
                   weather: np.ndarray | None = None) -> Series:
    """The arrays of a station cube; the clock continues for `more_hours` after its end.

    `weather` (hours and more_hours, variables) is that of the city, standardised, NaN where missing.
    """
    import torch

    from aqreanalysis.models.forecast.window import network_mean

    schema.check_station_cube(cube)
    time = cube.time.values
    line = (trend.at(time) / scaler.std[schema.TARGET]).astype(np.float32)
    values = np.stack([scaler.scale(name, cube[name].values) for name in schema.POLLUTANTS], axis=-1)
    values[..., 0] -= line[:, None]
    mask = np.isfinite(values).astype(np.float32)
    clock = cyclic_time(np.concatenate([time, time[-1] + HOUR * np.arange(1, more_hours + 1)]))
    tensor = torch.from_numpy
    known = np.zeros((len(clock), 0), np.float32) if weather is None else np.nan_to_num(weather).astype(np.float32)
    filled, seen = tensor(np.nan_to_num(values)), tensor(mask)
    return Series(filled, seen, *network_mean(filled, seen), tensor(cube[schema.TARGET].values.copy()), tensor(clock),
                  tensor(line), tensor(known), time, cube.station.values, cube.lat.values, cube.lon.values)


def point_neighbours(lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray,
                     k: int) -> PointNeighbours:
    """The k stations nearest to each point, as tensors."""
    import torch

    from aqreanalysis.models.forecast.window import PointNeighbours

    lat, lon, to_lat, to_lon = (np.asarray(a, float) for a in (lat, lon, to_lat, to_lon))
    index, distance = geo.nearest(lat, lon, to_lat, to_lon, k)
    angle = geo.bearing(to_lat[:, None], to_lon[:, None], lat[index], lon[index])
    own = distance < OWN_STATION_KM
    own[:, 1:] = False  # the nearest of two at one place
    return PointNeighbours(torch.from_numpy(index), torch.from_numpy(distance.astype(np.float32)),
                           torch.from_numpy(angle.astype(np.float32)), torch.from_numpy(own))
