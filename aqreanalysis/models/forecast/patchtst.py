"""PatchTST: a transformer over patches of one series, normalised by its own window.

Nie et al. 2023, "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers", ICLR (arXiv 2211.14730),
section 3.1: instance normalisation (Kim et al. 2022, RevIN, without affine), patches of `patch` hours every `stride`,
the last value repeated at the end so that one patch more fits, learned positions, encoder layers with
batch normalisation, a linear head over all patches. Channels are independent, so only the channel that is asked for,
PM2.5, is computed. Known weather, if any, adds to it after the head.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.forecast.known import weather_head
from aqreanalysis.models.forecast.window import Window, at_points

POSITION_RANGE = 0.02            # learned positions are drawn from -0.02 ... 0.02 before training
VARIANCE_FLOOR_OF_WINDOW = 1e-5  # added to a window's variance: a constant window is not divided by 0


class EncoderLayer(nn.Module):
    """Attention and two linear layers, each with residual and batch normalisation; (n, patches, width)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width))
        self.first, self.second = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        z = z + self.dropout(self.attention(z, z, z, need_weights=False)[0])
        z = self.first(z.transpose(1, 2)).transpose(1, 2)
        z = z + self.dropout(self.feed(z))
        return self.second(z.transpose(1, 2)).transpose(1, 2)


class PatchTST(nn.Module):
    """(batch, stations, hours) -> (batch, points, horizon).

    The window x of PM2.5, normalised to (x - mean) / sqrt(variance + 1e-5), is cut into N patches of P hours,
    each P_n -> W P_n + position_n; encoder layers; a linear map of all N patches to the horizon; scaled back.
    """

    def __init__(self, hours: int, horizon: int, patch: int = 16, stride: int = 8, width: int = 16, heads: int = 4,
                 layers: int = 3, dropout: float = 0.2, weather: int = 0, weather_every: int = 24,
                 weather_hidden: int = 32):
        super().__init__()
        self.patch, self.stride = min(patch, hours), stride
        patches = (hours + stride - self.patch) // stride + 1
        self.embed = nn.Linear(self.patch, width)
        self.position = nn.Parameter(torch.empty(patches, width).uniform_(-POSITION_RANGE, POSITION_RANGE))
        self.layers = nn.Sequential(*(EncoderLayer(width, heads, 2 * width, dropout) for _ in range(layers)))
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(patches * width, horizon)
        self.weather = weather_head(weather, horizon, weather_every, weather_hidden)

    def patches(self, series: torch.Tensor) -> torch.Tensor:
        """(n, patches, patch) of series (n, hours)."""
        return F.pad(series, (0, self.stride), mode="replicate").unfold(-1, self.patch, self.stride)

    def forward(self, window: Window) -> torch.Tensor:
        series = window.values[..., 0]
        mean = series.mean(dim=-1, keepdim=True)
        spread = torch.sqrt(series.var(dim=-1, keepdim=True, unbiased=False) + VARIANCE_FLOOR_OF_WINDOW)
        z = self.patches(((series - mean) / spread).flatten(0, 1))
        z = self.layers(self.dropout(self.embed(z) + self.position))
        found = self.head(z.flatten(1)).unflatten(0, series.shape[:2])
        found = found * spread + mean
        if self.weather is not None:
            found = found + self.weather(window)
        return at_points(found, window.neighbours)
