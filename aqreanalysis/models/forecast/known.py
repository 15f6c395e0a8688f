"""Weather of the target hours as a known input, in means over some hours.

With it what is estimated is a reanalysis of hours in which PM2.5 was not measured: of a forecast the weather would have
to be forecast too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from aqreanalysis.models.forecast.window import Window


def weather_steps(hours: int, every: int) -> int:
    """Means over `every` hours that are read of a forecast of so many hours: those of its hours and the one before.

    Raises
    ------
    ValueError : where the hours can't be cut so.
    """
    if hours % every:
        raise ValueError(f"{hours} h of weather are no whole number of means over {every} h")
    return hours // every + 1


def weather_means(window: Window, every: int) -> torch.Tensor:
    """The weather of a window as means (batch, steps, variables) over `every` hours, the first before its issue."""
    return window.weather[:, -(window.horizon + every):].unflatten(1, (-1, every)).mean(dim=2)


class WeatherHead(nn.Module):
    """What known weather adds to a forecast: (batch, stations, horizon), scaled log1p, nothing before training.

        y = W_2 GELU(W_1 [w, s] + c_1),  or with `hidden` 0  y = W w

    with w the means of all steps side by side and s the state of the station, where the network has one.
    """

    def __init__(self, variables: int, horizon: int, every: int = 24, hidden: int = 0, state: int = 0):
        super().__init__()
        self.every = every
        inputs = weather_steps(horizon, every) * variables
        self.inner = nn.Linear(inputs + state, hidden) if hidden else None
        self.out = nn.Linear(hidden or inputs, horizon, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, window: Window, state: torch.Tensor | None = None) -> torch.Tensor:
        """Of a window and states (batch, stations, width) of its stations."""
        known = weather_means(window, self.every).flatten(1)[:, None]
        if self.inner is None:
            return self.out(known)
        if state is not None:
            known = torch.cat([known.expand(-1, state.shape[1], -1), state], dim=-1)
        return self.out(F.gelu(self.inner(known)))


def weather_head(variables: int, horizon: int, every: int, hidden: int, state: int = 0) -> WeatherHead | None:
    """The head, or None where no weather is known."""
    return WeatherHead(variables, horizon, every, hidden, state) if variables else None
