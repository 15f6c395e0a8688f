"""AQ-Net in pure torch: tensors in, tensors out; no files, no xarray, no units but ug m-3.

Kheder et al. 2025, "Deep Spatio-Temporal Neural Network for Air Quality Reanalysis", SCIA 2025
(arXiv 2502.11941): cyclic encoding -> LSTM -> multi-head attention with residual (equation 1) ->
temporal pooling -> neural kNN. The paper leaves the weights of the neural kNN open; here they are
an attention of the target over its neighbours, with ordinary kriging as its starting point: the
network corrects kriging, by an amount that vanishes where kriging's variance does, at a station.
Before training it stands between kriging of the values, of their logarithms (robust against haze
next door) and of the values with their hourly noise averaged out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.features import LEVEL

LOGS, SMOOTHED = 0.6, 0.6  # shares of the departures to kriging of logarithms and of smoothed values, untrained
CLOCK = 6  # of cyclic time
LOG_SILL = 0.2  # of the logarithms that is unknown where kriging's variance is 1: log-normal kriging's way to the mean
LOG_SHIFT = 5.0  # ug m-3, added before a logarithm: below it, differences are the instruments' noise


@dataclass(frozen=True)
class Sizes:
    """Widths of the network; kept with the checkpoint. What is asked for each cell and hour is kept narrow."""

    inputs: int = 23         # features of a station and hour
    width: int = 32          # of Z, the LSTM's output (both directions together)
    attention_heads: int = 2
    pooled: int = 16         # of the pooled vector of a station and day
    knn_heads: int = 2       # sets of neighbour weights
    knn_hidden: int = 16     # of the scores of neighbours
    channels: int = 4        # learned series of a station that each set interpolates
    hidden: int = 16         # of the head
    dropout: float = 0.1

    def asdict(self) -> dict:
        return asdict(self)


class StationEncoder(nn.Module):
    """LSTM, attention with residual, pooling: what each station's window says.

    Input (stations, hours, inputs). Returns the pooled vector (stations, pooled) and the learned
    series of the window's inner hours (stations, inner, knn_heads * channels).
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(sizes.inputs, sizes.width), nn.GELU())
        self.lstm = nn.LSTM(sizes.width, sizes.width // 2, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(sizes.width, sizes.attention_heads, batch_first=True)
        self.pool = nn.Linear(sizes.width, 1)
        self.day = nn.Linear(sizes.width, sizes.pooled)
        self.series = nn.Linear(sizes.width, sizes.knn_heads * sizes.channels)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, window: torch.Tensor, inner: slice | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z, _ = self.lstm(self.embed(window))
        z = self.dropout(self._attended(z)) + z  # equation (1)
        pooled = (torch.softmax(self.pool(z), dim=1) * z).sum(dim=1)
        return self.day(pooled), self.series(z[:, inner])

    def _attended(self, z: torch.Tensor) -> torch.Tensor:
        """Multi-head attention of a window to itself; nn.MultiheadAttention's own way takes a third longer."""
        heads = self.attention
        joined = F.linear(z, heads.in_proj_weight, heads.in_proj_bias)
        query, key, value = joined.unflatten(-1, (3, heads.num_heads, heads.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return heads.out_proj(mixed.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of n targets as tensors: `index` int32 (n, k); `weight` (n, k) of kriging;
    `variance` (n,) of kriging for a sill of 1; `distance` (n, k) km; `bearing` (n, k) radians."""

    index: torch.Tensor
    weight: torch.Tensor
    variance: torch.Tensor
    distance: torch.Tensor
    bearing: torch.Tensor

    @property
    def features(self) -> torch.Tensor:
        """(n, k, 6): log distance, direction, kriging's weight, log kriging variance, share of distance."""
        nearness = torch.log1p(self.distance / 10.0)
        mean = self.distance.mean(dim=1, keepdim=True)
        spread = torch.log(self.variance + 0.02)[:, None].expand_as(nearness)
        return torch.stack([nearness - 1.5, torch.sin(self.bearing), torch.cos(self.bearing),
                            4.0 * self.weight, 0.5 * (spread + 1.5), self.distance / (mean + 1.0) - 1.0], dim=-1)

    @property
    def site(self) -> torch.Tensor:
        """(n, 3): how near the nearest is, kriging's variance, the mean distance; of the order of 1."""
        log = lambda a: torch.log1p(a / 10.0)  # noqa: E731
        return torch.stack([log(self.distance[:, 0]) - 1.0, torch.log(self.variance + 0.02) * 0.5 + 0.75,
                            log(self.distance.mean(1)) - 2.0], dim=1)


class NeuralKNN(nn.Module):
    """Weights (heads, n, k), each row summing to 1, of a target over its neighbours for one day.

    The scores see how each neighbour lies, what its pooled vector says and what the neighbourhood's
    says; they start from kriging's weights, to which untrained weights are equal up to clipping.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.geometry = nn.Linear(6, sizes.knn_hidden)
        self.neighbour = nn.Linear(sizes.pooled, sizes.knn_hidden, bias=False)
        self.surroundings = nn.Linear(sizes.pooled, sizes.knn_hidden, bias=False)
        self.score = nn.Linear(sizes.knn_hidden, sizes.knn_heads, bias=False)
        nn.init.zeros_(self.score.weight)

    def lie(self, near: Neighbours) -> Lie:
        """What geometry says of the neighbours, for any day."""
        positive = near.weight.clamp_min(0.0)
        return Lie(self.geometry(near.features), torch.log(positive + 0.01),
                   positive / positive.sum(1, keepdim=True), near.site)

    def forward(self, pooled: torch.Tensor, keys: torch.Tensor, near: Neighbours, lie: Lie):
        """The weights, and the pooled vector (n, pooled) of the neighbourhood; keys are `neighbour` of the pooled."""
        around = interpolate(pooled, near.index, near.weight)
        hidden = F.embedding(near.index, keys)
        hidden = F.relu(hidden.add_(lie.geometry).add_(self.surroundings(around)[:, None]), inplace=True)
        scores = (self.score.weight @ hidden.flatten(0, 1).T).unflatten(1, lie.prior.shape)
        return torch.softmax(scores.add_(lie.prior), dim=-1), around


@dataclass(frozen=True)
class Lie:
    """How the neighbours of n targets lie: `geometry` (n, k, hidden) of the scores, their `prior` (n, k), and
    kriging's `positive` weights (n, k), brought to a sum of 1; `site` (n, 3) is Neighbours.site."""

    geometry: torch.Tensor
    prior: torch.Tensor
    positive: torch.Tensor
    site: torch.Tensor


def interpolate(series: torch.Tensor, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted sums over neighbours: series (stations, width), index and weight (n, k) -> (n, width)."""
    return F.embedding_bag(index, series, per_sample_weights=weight, mode="sum")


def planes(series: torch.Tensor, count: int, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted sums over neighbours of `count` series side by side (stations, count * hours): (count, n, hours)."""
    return interpolate(series, index, weight).unflatten(1, (count, -1)).permute(1, 0, 2).contiguous()


class Head(nn.Module):
    """From interpolated series to the correction of kriging, its scale, and the shares of departures.

    Input planes (hourly, n, hours), clock (hours, 6) or (n, hours, 6), daily (n, daily). Output planes
    (2 + departures, n, hours): shift, log scale, and a share for each other interpolation. Planes, so that a layer
    is one product of matrices over all places and hours.
    """

    def __init__(self, sizes: Sizes, hourly: int, daily: int):
        super().__init__()
        self.hourly = nn.Linear(hourly + CLOCK, sizes.hidden)
        self.daily = nn.Linear(daily, sizes.hidden, bias=False)
        self.out = nn.Linear(sizes.hidden, 2 + 2 + 2 * sizes.knn_heads)
        self.dropout = nn.Dropout(sizes.dropout)
        nn.init.zeros_(self.out.weight), nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.bias[2], self.out.bias[3] = LOGS, SMOOTHED

    def forward(self, hourly: torch.Tensor, clock: torch.Tensor, daily: torch.Tensor) -> torch.Tensor:
        of_planes, of_clock = self.hourly.weight.split([len(hourly), CLOCK], dim=1)
        when = (clock if clock.ndim == 3 else clock[None]) @ of_clock.T
        whole_day = (self.daily(daily) + self.hourly.bias).T.contiguous()
        hidden = whole_day[:, :, None] + when.permute(2, 0, 1).contiguous()
        hidden = hidden.flatten(1).addmm_(of_planes, hourly.flatten(1))
        hidden = self.dropout(F.relu(hidden, inplace=True))
        return torch.addmm(self.out.bias[:, None], self.out.weight, hidden).unflatten(1, hourly.shape[1:])


def recentre(head: Head, shift: float) -> None:
    """Add a constant to the shift of a trained head, in units of sqrt(variance) (base + LEVEL)."""
    with torch.no_grad():
        head.out.bias[0] += shift


def shrink(head: Head, share: float) -> None:
    """Keep only a share of what a head has learned beyond its untrained state; its scale stays as it is."""
    with torch.no_grad():
        untrained = torch.zeros_like(head.out.bias)
        untrained[2], untrained[3] = LOGS, SMOOTHED
        for parameter, start in ((head.out.weight, torch.zeros_like(head.out.weight)), (head.out.bias, untrained)):
            for rows in (slice(0, 1), slice(2, None)):
                parameter[rows] = start[rows] + share * (parameter[rows] - start[rows])


class AQNet(nn.Module):
    """AQ-Net for the hours of one day at any points.

    forward(window, inner, value, smooth, observed, clock, near) with

    window : (stations, hours, inputs), the day and its margins; `inner` the slice of the day's hours.
    value, smooth : (stations, inner) filled PM2.5 in ug m-3, and its mean over some hours.
    observed : (stations, inner) 1 where it was observed, else 0.
    clock : (inner, 6) cyclic time, or (n, inner, 6) where each target has a day of its own.
    near : neighbours of the n targets.

    returns PM2.5 and its scale, both (n, inner) in ug m-3. The scale is a Laplace distribution's.
    """

    def __init__(self, sizes: Sizes | None = None):
        super().__init__()
        self.sizes = sizes = sizes or Sizes()
        self.encoder = StationEncoder(sizes)
        self.knn = NeuralKNN(sizes)
        departures = 2 + 2 * sizes.knn_heads
        self.head = Head(sizes, hourly=2 + sizes.knn_heads * sizes.channels + departures + 1, daily=sizes.pooled + 3)

    def forward(self, window, inner: slice, value, smooth, observed, clock, near: Neighbours):
        return self.at_targets(self.read(window, inner, value, smooth, observed), clock, near)

    def read(self, window, inner: slice, value, smooth, observed) -> Stations:
        """The first half: what the stations say, whatever the targets."""
        pooled, learned = self.encoder(window, inner)
        logs = torch.log(value + LOG_SHIFT)
        learned = learned.unflatten(-1, (self.sizes.knn_heads, self.sizes.channels)).permute(2, 3, 0, 1)
        heads = [[value, logs, *channels] for channels in learned]
        heads[0].append(value**2)
        return Stations(pooled, self.knn.neighbour(pooled), torch.cat([value, logs, smooth], dim=1), observed,
                        [torch.cat(series, dim=1) for series in heads])

    def at_targets(self, stations: Stations, clock, near: Neighbours, lie: Lie | None = None):
        """The second half; `lie` is NeuralKNN.lie's, if it was asked before."""
        lie = lie or self.knn.lie(near)
        weights, around = self.knn(stations.pooled, stations.keys, near, lie)
        base, logs, smooth = planes(stations.kriged, 3, near.index, near.weight)
        base = base.clamp_min(0.0)
        share = interpolate(stations.observed, near.index, lie.positive)
        to_mean = 0.5 * LOG_SILL * near.variance[:, None]
        others, learned, channels = [_unlog(logs + to_mean), smooth.clamp_min(0.0)], [], self.sizes.channels
        for number, (weight, series) in enumerate(zip(weights, stations.heads, strict=True)):
            mean, log, *mixed = planes(series, 2 + channels + (number == 0), near.index, weight)
            others += [mean, _unlog(log)]
            learned += mixed
        square = learned.pop(channels)
        unit = base + LEVEL
        departures = (torch.stack(others) - base) / unit
        spread = torch.sqrt((square - others[2] ** 2).clamp_min(0.0) + 1.0) / unit
        hourly = torch.cat([torch.stack([share, torch.log1p(base) - 3.5, *learned]), departures, spread[None]])
        out = self.head(hourly, clock, torch.cat([around, lie.site], dim=1))
        return self._correct(out, base, unit, departures, near.variance)

    @staticmethod
    def _correct(out, base, unit, departures, variance):
        room = torch.sqrt(variance)[:, None]  # nothing to correct at a station itself
        shift = room * out[0] + torch.tanh(4.0 * room) * (out[2:] * departures).sum(0)
        scale = (0.35 * room) * unit * torch.exp(out[1].clamp(-4.0, 4.0)) + 0.3
        return (base + unit * shift).clamp_min(0.0), scale


@dataclass(frozen=True)
class Stations:
    """What the stations say in some hours of a day; series lie side by side, (stations, series * hours)."""

    pooled: torch.Tensor        # (stations, pooled)
    keys: torch.Tensor          # (stations, knn_hidden), of the scores
    kriged: torch.Tensor        # values, their logarithms, smoothed values: what kriging's weights interpolate
    observed: torch.Tensor      # (stations, hours), 1 where a value was observed
    heads: list[torch.Tensor]   # of each set of weights: values, logarithms, learned series; of the first squares too


def kriged(value, near: Neighbours):
    """Ordinary kriging (n, hours) of values (stations, hours) without gaps; not negative."""
    return interpolate(value, near.index, near.weight).clamp_min(0.0)


def _unlog(logs):
    """Back from log(value + LOG_SHIFT); bounded, since negative kriging weights extrapolate."""
    return (torch.exp(logs.clamp_max(8.0)) - LOG_SHIFT).clamp_min(0.0)
