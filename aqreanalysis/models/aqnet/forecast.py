"""AQ-Net as a forecaster: LSTM, multi-head attention with residual, temporal pooling, neural kNN.

Kheder et al. 2025, "Deep Spatio-Temporal Neural Network for Air Quality Reanalysis", SCIA 2025 (arXiv 2502.11941),
section 3. What the paper leaves open is chosen so: the pooling has a query for each block of target hours, so that
Z' becomes (blocks, dim, stations) as in the paper and the blocks' attention over the past can be looked at; the
neural kNN is a softmax over the k nearest stations of a learned score of distance, direction and feature vector; the
network corrects a ridge regression (frozen) in the logarithm, from which it starts.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.forecast.linear import Ridge
from aqreanalysis.models.forecast.window import Places, Window, at_points, thin

OWN, NEAR_KM = 4.0, (3.0, 12.0, 40.0, 120.0)  # how the neural kNN's heads start: own station first, and how far


@dataclass(frozen=True)
class Sizes:
    """Widths and parts of the network; kept with the checkpoint."""

    width: int = 48
    heads: int = 4
    blocks: int = 4          # of the target hours, each with a query of its own
    recent: int = 48         # hours read one by one; those before in means of `every`
    every: int = 6
    recency: float = 0.5       # by which a step starts to be worth less than the next to the first block ...
    recency_last: float = 0.5  # ... and to the last one
    hidden: int = 48
    dropout: float = 0.1
    penalty: float = 1e-2    # of the ridge regression from which it starts
    network: int = 6         # pollutants that it reads as the mean of all stations
    base_recent: int = 48    # hours that it reads one by one; those before in means of `base_every`
    base_every: int = 6
    cyclic: bool = True      # parts that can be left out, to measure what they bring
    attention: bool = True
    knn: bool = True
    pollutants: int = 6      # 1: PM2.5 alone

    def asdict(self) -> dict:
        return asdict(self)


class TemporalPooling(nn.Module):
    """Pooled vectors (n, blocks, width) of series (n, steps, width): for each block of target hours a softmax."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.block = nn.Parameter(torch.randn(sizes.blocks, sizes.width) / math.sqrt(sizes.width))
        self.clock = nn.Linear(6, sizes.width, bias=False)
        self.key = nn.Linear(sizes.width, sizes.width)
        first, last = math.log(sizes.recency), math.log(sizes.recency_last)
        self.recency = nn.Parameter(torch.linspace(first, last, sizes.blocks)[:, None])

    def weights(self, z: torch.Tensor, clock: torch.Tensor) -> torch.Tensor:
        """(n, blocks, steps), each row sums to 1; `clock` (n, blocks, 6) is the blocks' cyclic time."""
        query = self.block + self.clock(clock)
        age = torch.arange(z.shape[1] - 1, -1, -1, device=z.device)
        score = query @ self.key(z).transpose(1, 2) / math.sqrt(z.shape[-1])
        return torch.softmax(score - torch.exp(self.recency) * age, dim=-1)

    def forward(self, z: torch.Tensor, clock: torch.Tensor) -> torch.Tensor:
        return self.weights(z, clock) @ z


class NeuralKNN(nn.Module):
    """Weights (batch, heads, points, k), each row sums to 1, of a point over its nearest stations.

    The score sees how a station lies from the point and what its feature vector says; it starts as a kernel of
    distance, of another reach in each head, half of the heads with a preference for a station at the point itself.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.geometry = nn.Linear(4, 16)
        self.vector = nn.Linear(sizes.width, 16, bias=False)
        self.score = nn.Linear(16, sizes.heads)
        self.reach = nn.Parameter(torch.log(torch.tensor([NEAR_KM[n % 4] for n in range(sizes.heads)])))
        self.own = nn.Parameter(torch.tensor([OWN if n % 4 < 2 else 0.0 for n in range(sizes.heads)]))
        nn.init.zeros_(self.score.weight), nn.init.zeros_(self.score.bias)

    def forward(self, vectors: torch.Tensor, places: Places, hidden: torch.Tensor | None = None) -> torch.Tensor:
        lies = torch.stack([torch.log1p(places.distance / 10.0) - 1.0, torch.sin(places.bearing),
                            torch.cos(places.bearing), places.own.float()], dim=-1)
        says = self.vector(vectors)[:, places.index]
        score = self.score(F.gelu(self.geometry(lies) + says))
        score = score - places.distance[..., None] / torch.exp(self.reach) + self.own * places.own[..., None]
        if hidden is not None:
            score = score.masked_fill(hidden[..., None], -1e9)
        return torch.softmax(score, dim=2).permute(0, 3, 1, 2)


class AQNetForecast(nn.Module):
    """AQ-Net for the hours after the hour of issue; `hours` and `horizon` are lengths of window and forecast."""

    def __init__(self, hours: int, horizon: int, level: tuple[float, float], sizes: Sizes | None = None):
        super().__init__()
        self.sizes = sizes = sizes or Sizes()
        self.hours, self.horizon = hours, horizon
        width = sizes.width
        self.embed = nn.Sequential(nn.Linear(sizes.pollutants * (3 if sizes.knn else 2) + 6 * sizes.cyclic, width),
                                   nn.GELU())
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.attention = nn.MultiheadAttention(width, sizes.heads, batch_first=True) if sizes.attention else None
        self.pool = TemporalPooling(sizes)
        self.knn = NeuralKNN(sizes) if sizes.knn else None
        self.values = nn.Linear(width, width)
        self.context = nn.Linear(width, sizes.hidden)
        self.clock = nn.Linear(6, sizes.hidden, bias=False)
        self.lead = nn.Parameter(0.1 * torch.randn(horizon, sizes.hidden))
        self.inner = nn.Linear(sizes.hidden, sizes.hidden)
        self.out = nn.Linear(sizes.hidden, 1)
        self.dropout = nn.Dropout(sizes.dropout)
        self.base = Ridge(hours, horizon, level, penalty=sizes.penalty,
                          network=min(sizes.network, sizes.pollutants) * sizes.knn,
                          recent=sizes.base_recent, every=sizes.base_every)
        self.register_buffer("share", torch.ones(horizon))
        nn.init.zeros_(self.out.weight), nn.init.zeros_(self.out.bias)

    def sequence(self, window: Window) -> torch.Tensor:
        """The inputs of the LSTM (batch * stations, steps, features)."""
        sizes = self.sizes
        stations = window.values.shape[1]
        parts = [window.values[..., :sizes.pollutants], window.mask[..., :sizes.pollutants]]
        if sizes.knn:
            parts.append(window.values[..., :sizes.pollutants] - window.mean[:, None, :, :sizes.pollutants])
        if sizes.cyclic:
            parts.append(window.past[:, None].expand(-1, stations, -1, -1))
        return thin(torch.cat(parts, dim=-1), sizes.recent, sizes.every).flatten(0, 1)

    def encode(self, window: Window) -> torch.Tensor:
        """Z' of equation (1): (batch * stations, steps, width)."""
        z, _ = self.lstm(self.embed(self.sequence(window)))
        if self.attention is None:
            return z
        return self.dropout(self.attention(z, z, z, need_weights=False)[0]) + z

    def looks(self, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """What is looked at: attention of the last step (batch * stations, heads, steps), and the pooling's weights
        (batch * stations, blocks, steps); rows sum to 1. `step_ages` says which hours the steps are."""
        z, _ = self.lstm(self.embed(self.sequence(window)))
        _, weights = self.attention(z[:, -1:], z, z, average_attn_weights=False)
        return weights[:, :, 0], self.pool.weights(self.encode(window), self.block_clock(window))

    def step_ages(self) -> torch.Tensor:
        """Hours (steps,) between the middle of each step and the hour of issue."""
        ages = torch.arange(self.hours - 1, -1, -1, dtype=torch.float32)
        return thin(ages[:, None], self.sizes.recent, self.sizes.every)[:, 0]

    def block_clock(self, window: Window) -> torch.Tensor:
        """Cyclic time of the blocks of target hours (batch * stations, blocks, 6)."""
        clock = window.coming.unflatten(1, (self.sizes.blocks, -1)).mean(dim=2)
        clock = clock if self.sizes.cyclic else torch.zeros_like(clock)
        return clock[:, None].expand(-1, window.values.shape[1], -1, -1).flatten(0, 1)

    def forward(self, window: Window, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Scaled log1p(PM2.5) (batch, points, horizon); `hidden` (batch, points, k) are stations not to be used."""
        sizes, shape = self.sizes, window.values.shape[:2]
        base = self.base.at_stations(window)
        pooled = self.pool(self.encode(window), self.block_clock(window)).unflatten(0, shape)
        values = self.values(pooled)
        if self.knn is None:
            pooled = values
        else:
            weight = self.knn(pooled.mean(dim=2), window.places, hidden)
            dense = self._dense(weight, window.places, shape[1])
            parts = values.unflatten(-1, (sizes.heads, -1))
            pooled = torch.einsum("bhps,bschd->bpchd", dense, parts).flatten(3)
            base = dense[:, 0] @ base
        each = self.horizon // sizes.blocks
        clock = window.coming if sizes.cyclic else torch.zeros_like(window.coming)
        at = (self.clock(clock) + self.lead)[:, None]
        context = self.context(self.dropout(pooled)).repeat_interleave(each, dim=2)
        found = base + self.share * self.out(F.gelu(self.inner(F.gelu(context + at)))).squeeze(-1)
        return found if self.knn is not None else at_points(found, window.places)

    @staticmethod
    def _dense(weight: torch.Tensor, places: Places, stations: int) -> torch.Tensor:
        """Weights over k neighbours as weights over all stations (batch, heads, points, stations)."""
        dense = weight.new_zeros(*weight.shape[:3], stations)
        return dense.scatter(3, places.index.expand(*weight.shape[:2], -1, -1), weight)
