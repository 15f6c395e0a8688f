"""AQ-Net for analysis in pure torch: tensors in, tensors out; no files, no xarray, concentrations in ug m-3.

Kheder et al. 2025, "Deep Spatio-Temporal Neural Network for Air Quality Reanalysis", SCIA 2025 (arXiv 2502.11941),
section 3.2: cyclic encoding -> LSTM -> multi-head attention with residual (equation 1) -> temporal pooling -> neural
kNN. The paper leaves the weights of the neural kNN open. Here they are an attention of the target over its neighbours
(knn.py) that starts as ordinary kriging, and a head corrects kriging by an amount that vanishes where kriging's
variance does, at a station. In the notation of `AQNet`:

    estimate = max(b + (b + 20) s, 0)
    s        = sqrt(v) o_shift + tanh(4 sqrt(v)) sum over d of o_d (e_d - b) / (b + 20)
    scale    = 0.35 sqrt(v) (b + 20) exp(o_scale) + 0.3

with ordinary kriging b of the hour's values, its variance v for a sill of 1, other interpolations e_d of the same hour,
and the outputs o of the head. Before training the estimate stands between kriging of the values, of their logarithms
(robust against haze next door) and of the values with their hourly noise averaged out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.aqnet.knn import (
    AnalysisKNN,
    NeighbourGeometry,
    NeighbourTensors,
    interpolate,
    interpolate_planes,
    zero_linear,
)
from aqreanalysis.models.features import CLOCK_FEATURES, LEVEL

LOGS, SMOOTHED = 0.6, 0.6  # shares of the departures to kriging of logarithms and of smoothed values, untrained
LOG_SILL = 0.2        # variance of the logarithms where kriging's is 1: half of it leads from the median to the mean
LOG_SHIFT = 5.0       # ug m-3, added before a logarithm: below it, differences are the instruments' noise
LARGEST_LOG = 8.0     # of a value plus LOG_SHIFT: no geometric mean is above 2,976 ug m-3
DEPARTURE_RATE = 4.0  # of tanh(4 sqrt(v)): departures count nearly in full where kriging's variance is over 0.25
SCALE_SHARE = 0.35    # of sqrt(v) (b + 20): the scale of the error before training
SCALE_FLOOR = 0.3     # ug m-3: the scale at a station itself
LOG_SCALE_LIMIT = 4.0  # the head changes the scale by a factor of e^4 at most
SPREAD_FLOOR = 1.0    # ug2 m-6, added to the variance among the neighbours before the root
LOG_BASE_CENTRE = 3.5  # log1p of 32 ug m-3, taken off what the head reads of the level
SHIFT, LOG_SCALE, FIRST_SHARE = 0, 1, 2  # rows of the head's output; from the last on a share for each departure


@dataclass(frozen=True)
class AnalysisSizes:
    """Widths of the network; kept with the checkpoint. What is computed for each cell and hour is kept narrow."""

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
    """Encodes the window of each station by itself: LSTM, attention with residual, temporal pooling.

        Z  = LSTM(GELU(E x + c))
        Z' = dropout(W_o [softmax(Q_z K_z^T / sqrt(d_k)) V_z] + c_o) + Z    equation (1), heads side by side
        z  = W_d (sum over t of softmax over t of (q . Z'_t) Z'_t) + c_d

    Input x (stations, hours, inputs); E has (width, inputs), q (width,), d_k is width / heads. Returns the pooled
    vector z (stations, pooled) and learned series W_s Z' + c_s of the window's inner hours
    (stations, inner, knn_heads * channels).
    """

    def __init__(self, sizes: AnalysisSizes):
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
        """Multi-head attention of a window to itself; calling nn.MultiheadAttention takes a third longer."""
        heads = self.attention
        assert heads.in_proj_weight is not None  # one matrix: query, key and value have the same width
        joined = F.linear(z, heads.in_proj_weight, heads.in_proj_bias)
        query, key, value = joined.unflatten(-1, (3, heads.num_heads, heads.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return heads.out_proj(mixed.transpose(1, 2).flatten(2))


class Head(nn.Module):
    """From interpolated series to the correction of kriging, its scale, and the shares of departures.

        o = W_2 dropout(ReLU(W_1 [hourly, clock] + W_0 daily + c_1)) + c_2

    Input planes (hourly, n, hours), clock (hours, 6) or (n, hours, 6), daily (n, daily). Output planes
    (2 + departures, n, hours): shift, log scale, and a share for each other interpolation. Planes, so that a layer
    is one product of matrices over all places and hours.
    """

    def __init__(self, sizes: AnalysisSizes, hourly: int, daily: int):
        super().__init__()
        self.hourly = nn.Linear(hourly + CLOCK_FEATURES, sizes.hidden)
        self.daily = nn.Linear(daily, sizes.hidden, bias=False)
        self.out = zero_linear(sizes.hidden, FIRST_SHARE + _departures(sizes))
        self.dropout = nn.Dropout(sizes.dropout)
        with torch.no_grad():
            self.out.bias.copy_(self.untrained_bias())

    def untrained_bias(self) -> torch.Tensor:
        """Outputs (2 + departures,) of an untrained head: shares of logarithms and of smoothed values alone."""
        bias = torch.zeros_like(self.out.bias)
        bias[FIRST_SHARE], bias[FIRST_SHARE + 1] = LOGS, SMOOTHED
        return bias

    def forward(self, hourly: torch.Tensor, clock: torch.Tensor, daily: torch.Tensor) -> torch.Tensor:
        of_planes, of_clock = self.hourly.weight.split([len(hourly), CLOCK_FEATURES], dim=1)
        when = (clock if clock.ndim == 3 else clock[None]) @ of_clock.T
        whole_day = (self.daily(daily) + self.hourly.bias).T.contiguous()
        hidden = whole_day[:, :, None] + when.permute(2, 0, 1).contiguous()
        hidden = hidden.flatten(1).addmm_(of_planes, hourly.flatten(1))
        hidden = self.dropout(F.relu(hidden, inplace=True))
        return torch.addmm(self.out.bias[:, None], self.out.weight, hidden).unflatten(1, hourly.shape[1:])


def _departures(sizes: AnalysisSizes) -> int:
    """Interpolations beside kriging: of logarithms, of smoothed values, and each head's mean and geometric mean."""
    return 2 + 2 * sizes.knn_heads


def recentre(head: Head, shift: float) -> None:
    """Add a constant to the shift of a trained head, in units of sqrt(v) (b + 20)."""
    with torch.no_grad():
        head.out.bias[SHIFT] += shift


def shrink(head: Head, share: float) -> None:
    """Keep only a share of what a head has learned beyond its untrained state; its scale stays as it is."""
    with torch.no_grad():
        untrained = head.untrained_bias()
        for parameter, start in ((head.out.weight, torch.zeros_like(head.out.weight)), (head.out.bias, untrained)):
            for rows in (slice(SHIFT, LOG_SCALE), slice(FIRST_SHARE, None)):
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

    With kriging's weights l_i and variance v, weights a_hi of the kNN's heads h (rows sum to 1), values y_i, smoothed
    values m_i and learned series c_i of the neighbours i, in each hour:

        b     = max(sum l_i y_i, 0)                                          ordinary kriging
        e_1   = geo(sum l_i log(y_i + 5) + 0.1 v)    log-normal kriging; geo(u) = max(exp(min(u, 8)) - 5, 0)
        e_2   = max(sum l_i m_i, 0)
        e_h   = sum a_hi y_i and geo(sum a_hi log(y_i + 5))                    two for each head
        spread = sqrt(max(sum a_1i y_i^2 - (sum a_1i y_i)^2, 0) + 1)

    The head reads the share of kriging's positive weights on observed values, log1p(b) - 3.5, sum a_hi c_i,
    (e_d - b) / (b + 20), spread / (b + 20), the clock, and for the whole day the neighbourhood's vector and
    `NeighbourTensors.site`.
    """

    def __init__(self, sizes: AnalysisSizes | None = None):
        super().__init__()
        self.sizes = sizes = sizes or AnalysisSizes()
        self.encoder = StationEncoder(sizes)
        self.knn = AnalysisKNN(sizes.pooled, sizes.knn_hidden, sizes.knn_heads)
        hourly = 2 + sizes.knn_heads * sizes.channels + _departures(sizes) + 1
        self.head = Head(sizes, hourly, daily=sizes.pooled + 3)

    def forward(self, window: torch.Tensor, inner: slice | torch.Tensor, value: torch.Tensor, smooth: torch.Tensor,
                observed: torch.Tensor, clock: torch.Tensor,
                near: NeighbourTensors) -> tuple[torch.Tensor, torch.Tensor]:
        return self.at_targets(self.read(window, inner, value, smooth, observed), clock, near)

    def read(self, window: torch.Tensor, inner: slice | torch.Tensor, value: torch.Tensor, smooth: torch.Tensor,
             observed: torch.Tensor) -> StationSeries:
        """The first half: what is computed from the stations, whatever the targets."""
        pooled, learned = self.encoder(window, inner)
        logs = torch.log(value + LOG_SHIFT)
        learned = learned.unflatten(-1, (self.sizes.knn_heads, self.sizes.channels)).permute(2, 3, 0, 1)
        heads = [[value, logs, *channels] for channels in learned]
        heads[0].append(value**2)
        return StationSeries(pooled, self.knn.neighbour(pooled), torch.cat([value, logs, smooth], dim=1), observed,
                             [torch.cat(series, dim=1) for series in heads])

    def at_targets(self, stations: StationSeries, clock: torch.Tensor, near: NeighbourTensors,
                   geometry: NeighbourGeometry | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The second half; `geometry` is AnalysisKNN.neighbour_geometry of `near`, where it is known already."""
        geometry = geometry or self.knn.neighbour_geometry(near)
        weights, around = self.knn(stations.pooled, stations.keys, near, geometry)
        base, logs, smooth = interpolate_planes(stations.kriged, 3, near.index, near.weight)
        base = base.clamp_min(0.0)
        observed = interpolate(stations.observed, near.index, geometry.positive)
        to_mean = 0.5 * LOG_SILL * near.variance[:, None]
        others, learned, channels = [_unlog(logs + to_mean), smooth.clamp_min(0.0)], [], self.sizes.channels
        for number, (weight, series) in enumerate(zip(weights, stations.heads, strict=True)):
            mean, log, *mixed = interpolate_planes(series, 2 + channels + (number == 0), near.index, weight)
            others += [mean, _unlog(log)]
            learned += mixed
        square = learned.pop(channels)
        unit = base + LEVEL
        departures = (torch.stack(others) - base) / unit
        spread = torch.sqrt((square - others[2] ** 2).clamp_min(0.0) + SPREAD_FLOOR) / unit
        hourly = torch.cat([torch.stack([observed, torch.log1p(base) - LOG_BASE_CENTRE, *learned]), departures,
                            spread[None]])
        out = self.head(hourly, clock, torch.cat([around, geometry.site], dim=1))
        return self._correct(out, base, unit, departures, near.variance)

    @staticmethod
    def _correct(out: torch.Tensor, base: torch.Tensor, unit: torch.Tensor, departures: torch.Tensor,
                 variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate and scale (n, hours): the equations of the module's docstring; `unit` is b + 20."""
        room = torch.sqrt(variance)[:, None]  # nothing to correct at a station itself
        shift = room * out[SHIFT] + torch.tanh(DEPARTURE_RATE * room) * (out[FIRST_SHARE:] * departures).sum(0)
        factor = torch.exp(out[LOG_SCALE].clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT))
        return (base + unit * shift).clamp_min(0.0), (SCALE_SHARE * room) * unit * factor + SCALE_FLOOR


@dataclass(frozen=True)
class StationSeries:
    """What is computed from the stations for some hours of a day; series side by side, (stations, series * hours)."""

    pooled: torch.Tensor        # (stations, pooled)
    keys: torch.Tensor          # (stations, knn_hidden), of the scores
    kriged: torch.Tensor        # values, their logarithms, smoothed values: what kriging's weights interpolate
    observed: torch.Tensor      # (stations, hours), 1 where a value was observed
    heads: list[torch.Tensor]   # of each set of weights: values, logarithms, learned series; of the first squares too


def kriged(value: torch.Tensor, near: NeighbourTensors) -> torch.Tensor:
    """Ordinary kriging (n, hours) of values (stations, hours) without gaps; not negative."""
    return interpolate(value, near.index, near.weight).clamp_min(0.0)


def _unlog(logs: torch.Tensor) -> torch.Tensor:
    """Back from log(value + LOG_SHIFT); bounded, since negative kriging weights extrapolate."""
    return (torch.exp(logs.clamp_max(LARGEST_LOG)) - LOG_SHIFT).clamp_min(0.0)
