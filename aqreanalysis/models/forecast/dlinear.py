"""DLinear: a window split into trend and remainder, a linear layer for each.

Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", AAAI 37, 11121-11128
(10.1609/aaai.v37i9.26317): the trend is a moving mean of `kernel` hours, its ends repeated; both layers start as the
mean of the window. Reads PM2.5 of the station alone, and known weather, if any, through a layer of its own.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.forecast.known import weather_head
from aqreanalysis.models.forecast.window import Window, at_points


class DLinear(nn.Module):
    """(batch, stations, hours) -> (batch, points, horizon): W_t m + c_t + W_r (x - m) + c_r.

    x is the window of PM2.5 and m its moving mean; `normalise` takes the last value off x and adds it to the forecast.
    """

    def __init__(self, hours: int, horizon: int, kernel: int = 25, normalise: bool = False,
                 weather: int = 0, weather_every: int = 24, weather_hidden: int = 0):
        super().__init__()
        self.kernel, self.normalise = kernel, normalise
        self.trend, self.remainder = nn.Linear(hours, horizon), nn.Linear(hours, horizon)
        for layer in (self.trend, self.remainder):
            nn.init.constant_(layer.weight, 1.0 / hours)
        self.weather = weather_head(weather, horizon, weather_every, weather_hidden)

    def moving_mean(self, series: torch.Tensor) -> torch.Tensor:
        """Mean of `kernel` hours round each hour; the ends are repeated."""
        before, after = (self.kernel - 1) // 2, self.kernel // 2
        return F.avg_pool1d(F.pad(series, (before, after), mode="replicate"), self.kernel, stride=1)

    def forward(self, window: Window) -> torch.Tensor:
        series = window.values[..., 0]
        last = series[..., -1:] if self.normalise else 0.0
        series = series - last
        trend = self.moving_mean(series)
        found = self.trend(trend) + self.remainder(series - trend) + last
        if self.weather is not None:
            found = found + self.weather(window)
        return at_points(found, window.neighbours)
