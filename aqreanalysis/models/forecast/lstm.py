"""LSTM on the station's own window: all pollutants, masks and, by an option, cyclic time.

Hochreiter & Schmidhuber 1997, Neural Computation 9, 1735-1780; the paper's baseline of that name. A linear layer maps
the last state to all leads, y = W h_T + c. Hours before the last `recent` are averaged in groups of `every`, as for
AQ-Net. Known weather, if any, adds to it, with the state.
"""

from __future__ import annotations

import torch
from torch import nn

from aqreanalysis import schema
from aqreanalysis.models.features import CLOCK_FEATURES
from aqreanalysis.models.forecast.known import weather_head
from aqreanalysis.models.forecast.window import Window, at_points, thin


class LSTM(nn.Module):
    """(batch, stations, hours, pollutants) -> (batch, points, horizon)."""

    def __init__(self, hours: int, horizon: int, width: int = 64, layers: int = 1, dropout: float = 0.1,
                 cyclic: bool = True, recent: int = 48, every: int = 6, weather: int = 0, weather_every: int = 24,
                 weather_hidden: int = 32):
        super().__init__()
        self.cyclic, self.recent, self.every = cyclic, recent, every
        inputs = 2 * len(schema.POLLUTANTS) + CLOCK_FEATURES * cyclic  # values and masks
        self.lstm = nn.LSTM(inputs, width, num_layers=layers, batch_first=True)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(width, horizon)
        self.weather = weather_head(weather, horizon, weather_every, weather_hidden, width)

    def forward(self, window: Window) -> torch.Tensor:
        parts = [window.values, window.mask]
        if self.cyclic:
            parts.append(window.past[:, None].expand(-1, window.values.shape[1], -1, -1))
        steps = thin(torch.cat(parts, dim=-1), self.recent, self.every)
        _, (last, _) = self.lstm(steps.flatten(0, 1))
        state = self.dropout(last[-1])
        found = self.out(state).unflatten(0, steps.shape[:2])
        if self.weather is not None:
            found = found + self.weather(window, state.unflatten(0, steps.shape[:2]))
        return at_points(found, window.neighbours)
