"""AQ-Net as a forecaster: LSTM, multi-head attention with residual, temporal pooling, neural kNN.

Kheder et al. 2025, "Deep Spatio-Temporal Neural Network for Air Quality Reanalysis", SCIA 2025 (arXiv 2502.11941),
section 3.2. What the paper leaves open is chosen so: the pooling has a query for each block of target hours, so that
Z' becomes (blocks, width, stations) as in the paper and the attention of each block over the past can be shown; the
neural kNN is a softmax of learned scores over the k nearest stations (knn.py); the network corrects a ridge regression,
fitted before it and then fixed, in the logarithm. For a point x, a lead t in block c, and kNN weights a_hi of head h:

    q_ci  = sum over steps of p_cs Z'_is                         pooled vector of station i (TemporalPooling)
    m_c   = [sum over i of a_hi (V q_ci + c_v)_h], h side by side  interpolated vector; each head has its part of V q
    y_t   = sum over i of a_1i r_ti + W_2 GELU(W_1 GELU(W_0 m_c + K clock_t + lead_t + c_0) + c_1) + c_2

with r_ti the ridge regression at station i. y is PM2.5 as log1p, scaled, as a departure from the trend. Where weather
is known of the target hours, the regression reads it, and K clock_t becomes K clock_t + U w_t, w_t its means over the
step of lead t, the step before and the step before that.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.aqnet.knn import ForecastKNN, over_all_stations, zero_linear
from aqreanalysis.models.features import CLOCK_FEATURES
from aqreanalysis.models.forecast.known import weather_means
from aqreanalysis.models.forecast.linear import Ridge
from aqreanalysis.models.forecast.window import Window, at_points, thin

WEATHER_STEPS = 3  # means of known weather that a lead reads: its own and those before
LEAD_STD = 0.1  # standard deviation of the leads' vectors before training: different, and small


@dataclass(frozen=True)
class ForecastSizes:
    """Widths and parts of the network; kept with the checkpoint."""

    width: int = 48
    heads: int = 4
    blocks: int = 4          # of the target hours, each with a query of its own
    recent: int = 48         # hours read one by one; those before in means of `every`
    every: int = 6
    recency: float = 0.5       # rate at which older steps count less for the first block, before training ...
    recency_last: float = 0.5  # ... and for the last one
    hidden: int = 48
    dropout: float = 0.1
    penalty: float = 1e-2    # of the ridge regression from which it starts
    network: int = 6         # pollutants that the regression also reads as the mean of all stations
    base_recent: int = 48    # hours that the regression reads one by one; those before in means of `base_every`
    base_every: int = 6
    cyclic: bool = True      # parts that can be left out, to measure what they bring
    attention: bool = True
    knn: bool = True
    pollutants: int = 6      # 1: PM2.5 alone
    weather_every: int = 24  # hours over which known weather is averaged

    def asdict(self) -> dict:
        return asdict(self)


class TemporalPooling(nn.Module):
    """Pooled vectors (n, blocks, width) of series (n, steps, width): for each block c of target hours a softmax.

        p_cs = softmax over steps s of ((b_c + C clock_c) . (K z_s + k) / sqrt(width) - exp(rho_c) age_s)

    with the query b_c of the block, its cyclic time clock_c, and age_s in steps before the last. rho_c is learned; the
    rates exp(rho_c) run from `recency` to `recency_last` before training, in equal ratios.
    """

    def __init__(self, sizes: ForecastSizes):
        super().__init__()
        self.block = nn.Parameter(torch.randn(sizes.blocks, sizes.width) / math.sqrt(sizes.width))
        self.clock = nn.Linear(CLOCK_FEATURES, sizes.width, bias=False)
        self.key = nn.Linear(sizes.width, sizes.width)
        first, last = math.log(sizes.recency), math.log(sizes.recency_last)
        self.recency = nn.Parameter(torch.linspace(first, last, sizes.blocks)[:, None])

    def weights(self, z: torch.Tensor, clock: torch.Tensor) -> torch.Tensor:
        """p (n, blocks, steps), each row sums to 1; `clock` (n, blocks, 6) is the blocks' cyclic time."""
        query = self.block + self.clock(clock)
        age = torch.arange(z.shape[1] - 1, -1, -1, device=z.device)
        score = query @ self.key(z).transpose(1, 2) / math.sqrt(z.shape[-1])
        return torch.softmax(score - torch.exp(self.recency) * age, dim=-1)

    def forward(self, z: torch.Tensor, clock: torch.Tensor) -> torch.Tensor:
        return self.weights(z, clock) @ z


class AQNetForecast(nn.Module):
    """AQ-Net for the hours after the hour of issue; `hours` and `horizon` are lengths of window and forecast."""

    share: torch.Tensor  # (horizon,) of what was learned beyond the regression that is kept at each lead

    def __init__(self, hours: int, horizon: int, level: tuple[float, float], sizes: ForecastSizes | None = None,
                 weather: int = 0):
        super().__init__()
        self.sizes = sizes = sizes or ForecastSizes()
        self.hours, self.horizon = hours, horizon
        width = sizes.width
        inputs = sizes.pollutants * (3 if sizes.knn else 2) + CLOCK_FEATURES * sizes.cyclic
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.GELU())
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.attention = nn.MultiheadAttention(width, sizes.heads, batch_first=True) if sizes.attention else None
        self.pool = TemporalPooling(sizes)
        self.knn = ForecastKNN(width, sizes.heads) if sizes.knn else None
        self.values = nn.Linear(width, width)
        self.context = nn.Linear(width, sizes.hidden)
        self.clock = nn.Linear(CLOCK_FEATURES, sizes.hidden, bias=False)
        self.lead = nn.Parameter(LEAD_STD * torch.randn(horizon, sizes.hidden))
        self.weather = nn.Linear(WEATHER_STEPS * weather, sizes.hidden, bias=False) if weather else None
        self.inner = nn.Linear(sizes.hidden, sizes.hidden)
        self.out = zero_linear(sizes.hidden, 1)
        self.dropout = nn.Dropout(sizes.dropout)
        self.base = Ridge(hours, horizon, level, penalty=sizes.penalty,
                          network=min(sizes.network, sizes.pollutants) * sizes.knn,
                          recent=sizes.base_recent, every=sizes.base_every, weather=weather,
                          weather_every=sizes.weather_every)
        self.register_buffer("share", torch.ones(horizon))

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

    def attention_weights(self, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of the last step, softmax(Q_z K_z^T / sqrt(d_k)) of equation (1), (batch * stations, heads, steps),
        and the pooling's weights (batch * stations, blocks, steps).

        Rows sum to 1; `step_ages` says which hours the steps are. A ValueError where attention was left out.
        """
        if self.attention is None:
            raise ValueError("this network was made without attention")
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

    def weather_at_leads(self, window: Window) -> torch.Tensor:
        """Known weather (batch, horizon, steps * variables): of each lead's step and the two before, latest first."""
        every = self.sizes.weather_every
        means = weather_means(window, every)
        earlier = [torch.cat([means[:, :1]] * back + [means[:, :-back or None]], dim=1)[:, 1:]
                   for back in range(WEATHER_STEPS)]
        return torch.cat(earlier, dim=-1).repeat_interleave(every, dim=1)

    def forward(self, window: Window, left_out: torch.Tensor | None = None) -> torch.Tensor:
        """Scaled log1p(PM2.5) (batch, points, horizon), less the trend.

        `left_out` bool (batch, points, k) are neighbours that must not be used.
        """
        sizes, shape = self.sizes, window.values.shape[:2]
        base = self.base.at_stations(window)
        pooled = self.pool(self.encode(window), self.block_clock(window)).unflatten(0, shape)
        values = self.values(pooled)
        if self.knn is None:
            pooled = values
        else:
            weight = self.knn(pooled.mean(dim=2), window.neighbours, left_out)
            dense = over_all_stations(weight, window.neighbours.index, shape[1])
            parts = values.unflatten(-1, (sizes.heads, -1))
            pooled = torch.einsum("bhps,bschd->bpchd", dense, parts).flatten(3)
            base = dense[:, 0] @ base
        hours_per_block = self.horizon // sizes.blocks
        clock = window.coming if sizes.cyclic else torch.zeros_like(window.coming)
        at = (self.clock(clock) + self.lead)[:, None]
        if self.weather is not None:
            at = at + self.weather(self.weather_at_leads(window))[:, None]
        context = self.context(self.dropout(pooled)).repeat_interleave(hours_per_block, dim=2)
        found = base + self.share * self.out(F.gelu(self.inner(F.gelu(context + at)))).squeeze(-1)
        return found if self.knn is not None else at_points(found, window.neighbours)
