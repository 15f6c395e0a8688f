"""AQ-Net for analysis in pure torch: tensors in, tensors out; no files, no xarray, concentrations in ug m-3.

Kheder et al. 2025, "Deep Spatio-Temporal Neural Network for Air Quality Reanalysis", SCIA 2025 (arXiv 2502.11941),
section 3.2: cyclic encoding -> LSTM -> multi-head attention with residual (equation 1) -> temporal pooling -> neural
kNN. Each station is read by itself, so what is read of it does not depend on which others are given. The paper leaves
the weights of the neural kNN open. Here they are ordinary kriging's, corrected by an attention of the target over its
neighbours (knn.py). A head combines what they interpolate, and differences of static covariates between the target and
its neighbours tell how far places like the target are from places like the stations. In the notation of `AQNet`:

    estimate = ((1 - m) b_g + m geo(l_g + 0.25 |tanh o_3| e)) exp(0.6 tanh(e o_0 + sum_k (A D)_k (B q)_k))
    scale    = 0.35 sqrt(v) (estimate + 20) exp(o_4) + 0.3,     geo(u) = max(exp(u) - 5, 0)

with b_g and l_g the interpolated values and logarithms of the hour, of which a share g is of smoothed ones, m and g
made of the head's outputs o, D the standardised covariates of the target less the interpolated ones of its neighbours,
q what is read of the hour, v the kriging variance for a sill of 1, and e = min(v / 0.02, 1): nothing is corrected at a
station.
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
from aqreanalysis.models.features import CLOCK_FEATURES, LEVEL, LOG_CENTRE, LOG_SHIFT

LARGEST_LOG = 8.0       # of a value plus LOG_SHIFT: no geometric mean is above 2,976 ug m-3
LARGEST_CORRECTION = 0.6  # of the logarithm
LARGEST_TO_MEAN = 0.25  # of the logarithm: from a geometric mean to a mean
ROOM_VARIANCE = 0.02    # kriging variance from which on an estimate is corrected in full
SCALE_SHARE = 0.35      # of sqrt(v) (estimate + 20): the scale of the error before training
SCALE_FLOOR = 0.3       # ug m-3: the scale at a station itself
LOG_SCALE_LIMIT = 4.0   # the head changes the scale by a factor of e^4 at most
STEP_HOURS = 3          # of a step of the LSTM
LAGS = (-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)  # hours from which on a station's level changes to the hour's
PLANES = 8              # series that are interpolated besides the learned ones, in the order of station_inputs.assemble
SHIFT, SMOOTH_SHARE, LOG_SHARE, TO_MEAN, LOG_SCALE = range(5)  # outputs of the head
VALUE, LOG, SMOOTH, LOG_SMOOTH, SQUARE, THREE_DAYS, MONTH, SAME_HOUR = range(PLANES)
INPUTS = 7              # of a station and hour, in the order of station_inputs.assemble, besides the clock
CHANGE_SCALE = 1.5
INPUT_SCALE = (1.0, 1.5, 1.5, 1.5, 4.0, 1.0, 1.0)


@dataclass(frozen=True)
class AnalysisSizes:
    """Widths of the network; kept with the checkpoint. What is computed for each cell and hour is kept narrow."""

    width: int = 24          # of Z, the LSTM's output (both directions together)
    attention_heads: int = 2
    pooled: int = 12         # of the pooled vector of a station and day
    knn_hidden: int = 16     # of the scores of neighbours
    channels: int = 24       # learned series of a station that are interpolated
    hidden: int = 48         # of the head, first layer
    hidden_out: int = 24     # and second
    covariates: int = 0      # static ones
    modes: int = 8           # patterns in time of their effect
    dropout: float = 0.2

    def asdict(self) -> dict:
        return asdict(self)


class StationEncoder(nn.Module):
    """Encodes the window of each station by itself: LSTM, attention with residual, temporal pooling.

        Z  = LSTM(GELU(E X + c))
        Z' = dropout(W_o [softmax(Q_z K_z^T / sqrt(d_k)) V_z] + c_o) + Z    equation (1), heads side by side
        z  = W_d (sum over t of softmax over t of (q . Z'_t) Z'_t) + c_d
        s  = LayerNorm(SiLU(W_s Z' + W_x [x, changes of its level over LAGS] + c_s))

    Input x (stations, hours, INPUTS + clock); a step X of the LSTM is STEP_HOURS of it side by side, and an hour has
    the Z' of its step. Returns the pooled vector z (stations, pooled) and learned series s of the window's inner hours
    (stations, inner, channels).
    """

    def __init__(self, sizes: AnalysisSizes):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(STEP_HOURS * INPUTS + CLOCK_FEATURES, sizes.width), nn.GELU())
        self.lstm = nn.LSTM(sizes.width, sizes.width // 2, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(sizes.width, sizes.attention_heads, batch_first=True)
        self.pool = nn.Linear(sizes.width, 1)
        self.day = nn.Linear(sizes.width, sizes.pooled)
        self.series = nn.Linear(sizes.width, sizes.channels)
        self.direct = nn.Linear(INPUTS + len(LAGS), sizes.channels, bias=False)
        self.norm = nn.LayerNorm(sizes.channels)
        self.dropout = nn.Dropout(sizes.dropout)
        self.register_buffer("input_scale", torch.tensor(INPUT_SCALE), persistent=False)

    def forward(self, window: torch.Tensor, inner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hourly, clock = window[..., :INPUTS] * self.input_scale, window[:, STEP_HOURS // 2::STEP_HOURS, INPUTS:]
        steps = torch.cat([hourly.unflatten(1, (-1, STEP_HOURS)).flatten(2), clock], dim=-1)
        z, _ = self.lstm(self.embed(steps))
        z = self.dropout(self._attended(z)) + z  # equation (1)
        pooled = (torch.softmax(self.pool(z), dim=1) * z).sum(dim=1)
        now, level = hourly[:, inner], hourly[..., 0]
        changes = CHANGE_SCALE * torch.stack([level[:, inner + lag] - now[..., 0] for lag in LAGS], dim=-1)
        learned = self.series(z)[:, inner // STEP_HOURS] + self.direct(torch.cat([now, changes], dim=-1))
        return self.day(pooled), self.dropout(self.norm(F.silu(learned)))

    def _attended(self, z: torch.Tensor) -> torch.Tensor:
        """Multi-head attention of a window to itself; calling nn.MultiheadAttention takes a third longer."""
        heads = self.attention
        assert heads.in_proj_weight is not None  # one matrix: query, key and value have the same width
        joined = F.linear(z, heads.in_proj_weight, heads.in_proj_bias)
        query, key, value = joined.unflatten(-1, (3, heads.num_heads, heads.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return heads.out_proj(mixed.transpose(1, 2).flatten(2))


class Head(nn.Module):
    """From what is interpolated to the correction, its scale and shares.

        o = W_2 ReLU(W_1 dropout(ReLU(W_0 [hourly, clock] + W_d daily + c_0)) + c_1) + c_2

    Input planes (hourly, n, hours), clock (hours, 6) or (n, hours, 6), daily (n, daily). Output planes (5, n, hours).
    Planes, so that a layer is one product of matrices over all places and hours.
    """

    def __init__(self, sizes: AnalysisSizes, hourly: int, daily: int):
        super().__init__()
        self.hourly = nn.Linear(hourly + CLOCK_FEATURES, sizes.hidden)
        self.daily = nn.Linear(daily, sizes.hidden, bias=False)
        self.middle = nn.Linear(sizes.hidden, sizes.hidden_out)
        self.out = zero_linear(sizes.hidden_out, 5)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, hourly: torch.Tensor, clock: torch.Tensor, daily: torch.Tensor) -> torch.Tensor:
        of_planes, of_clock = self.hourly.weight.split([len(hourly), CLOCK_FEATURES], dim=1)
        when = (clock if clock.ndim == 3 else clock[None]) @ of_clock.T
        whole_day = (self.daily(daily) + self.hourly.bias).T.contiguous()
        hidden = whole_day[:, :, None] + when.permute(2, 0, 1).contiguous()
        hidden = hidden.flatten(1).addmm_(of_planes, hourly.flatten(1))
        hidden = self.dropout(F.relu(hidden, inplace=True))
        hidden = F.relu(torch.addmm(self.middle.bias[:, None], self.middle.weight, hidden), inplace=True)
        return torch.addmm(self.out.bias[:, None], self.out.weight, hidden).unflatten(1, hourly.shape[1:])


class CovariateEffect(nn.Module):
    """The effect of static covariates on the logarithm, (n, hours): sum over k of (A D)_k (B q)_k.

    D (n, covariates) are differences between targets and their neighbours, q planes (states, n, hours) and the clock.
    Linear in D, so that places beyond those of training are not met with surprises.
    """

    def __init__(self, sizes: AnalysisSizes, states: int):
        super().__init__()
        self.places = zero_linear(sizes.covariates, sizes.modes, bias=False)
        self.times = nn.Linear(states + CLOCK_FEATURES, sizes.modes)

    def forward(self, differences: torch.Tensor, states: torch.Tensor, clock: torch.Tensor) -> torch.Tensor:
        of_states, of_clock = self.times.weight.split([len(states), CLOCK_FEATURES], dim=1)
        places = self.places(differences)                                           # (n, modes)
        when = (clock if clock.ndim == 3 else clock[None]) @ of_clock.T + self.times.bias  # (n or 1, hours, modes)
        effect = (places[:, None] * when).sum(-1)
        weights = places @ of_states                                                # (n, states)
        return effect + (weights.T[:, :, None] * states).sum(0)


class AQNet(nn.Module):
    """AQ-Net for the hours of one day at any points.

    forward(window, inner, series, clock, near, covariates) with

    window : (stations, hours, inputs), the day and its margins; `inner` (hours of the day,) their rows in the window.
    series : (stations, inner, PLANES) what is interpolated (station_inputs.assemble).
    clock : (inner, 6) cyclic time, or (n, inner, 6) where each target has a day of its own.
    near : neighbours of the n targets.
    covariates : of stations and targets; None without any, or where none are known.

    returns PM2.5 and its scale, both (n, inner) in ug m-3. The scale is a Laplace distribution's.
    """

    def __init__(self, sizes: AnalysisSizes | None = None):
        super().__init__()
        self.sizes = sizes = sizes or AnalysisSizes()
        self.encoder = StationEncoder(sizes)
        self.knn = AnalysisKNN(sizes.pooled, sizes.knn_hidden)
        states = 7
        self.head = Head(sizes, states + sizes.channels, daily=sizes.pooled + 4)
        self.effect = CovariateEffect(sizes, states) if sizes.covariates else None

    def forward(self, window, inner, series, clock, near, covariates=None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.at_targets(self.read(window, inner, series), clock, near, covariates)

    def read(self, window: torch.Tensor, inner: torch.Tensor, series: torch.Tensor) -> StationSeries:
        """The first half: what is computed from the stations, whatever the targets."""
        pooled, learned = self.encoder(window, inner)
        joined = torch.cat([series, learned], dim=-1).transpose(1, 2)
        return StationSeries(pooled, self.knn.neighbour(pooled), joined.flatten(1))

    def at_targets(self, stations: StationSeries, clock: torch.Tensor, near: NeighbourTensors,
                   covariates: TargetCovariates | None = None,
                   geometry: NeighbourGeometry | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The second half; `geometry` is AnalysisKNN.neighbour_geometry of `near`, where it is known already."""
        geometry = geometry or self.knn.neighbour_geometry(near)
        room = (near.variance / ROOM_VARIANCE).clamp_max(1.0)[:, None]
        weight, around = self.knn(stations.pooled, stations.keys, near, geometry, room)
        planes = interpolate_planes(stations.series, PLANES + self.sizes.channels, near.index, weight)
        states = self._states(planes)
        daily = torch.cat([around, geometry.site], dim=1)
        out = self.head(torch.cat([states, planes[PLANES:]]), clock, daily)
        correction = room * out[SHIFT]
        if self.effect is not None and covariates is not None:
            correction = correction + self.effect(covariates.differences(near.index, weight), states, clock)
        estimate = self._combined(out, planes, room) * torch.exp(LARGEST_CORRECTION * torch.tanh(correction))
        factor = torch.exp(out[LOG_SCALE].clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT))
        unit = SCALE_SHARE * torch.sqrt(near.variance)[:, None] * (estimate.detach() + LEVEL)
        return estimate, unit * factor + SCALE_FLOOR

    @staticmethod
    def _states(planes: torch.Tensor) -> torch.Tensor:
        """What head and covariates read of the hour (7, n, hours), of the order of 1."""
        log = planes[LOG]
        spread = torch.sqrt((planes[SQUARE] - log**2).clamp_min(1e-4))
        to_log = torch.log(planes[VALUE].clamp_min(0.0) + LOG_SHIFT) - log
        return torch.stack([log - LOG_CENTRE, 5.0 * to_log, 3.0 * spread, 4.0 * (planes[LOG_SMOOTH] - log),
                            *(1.5 * (planes[of] - log) for of in (THREE_DAYS, MONTH, SAME_HOUR))])

    @staticmethod
    def _combined(out: torch.Tensor, planes: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        smooth = room * torch.sigmoid(out[SMOOTH_SHARE])
        value = planes[VALUE] + smooth * (planes[SMOOTH] - planes[VALUE])
        log = planes[LOG] + smooth * (planes[LOG_SMOOTH] - planes[LOG])
        log = log + LARGEST_TO_MEAN * room * torch.tanh(out[TO_MEAN]).abs()
        share = torch.sigmoid(out[LOG_SHARE])
        return (1.0 - share) * value.clamp_min(0.0) + share * geometric(log)


@dataclass(frozen=True)
class StationSeries:
    """What is computed from the stations for some hours of a day."""

    pooled: torch.Tensor        # (stations, pooled)
    keys: torch.Tensor          # (stations, knn_hidden), of the scores
    series: torch.Tensor        # (stations, (PLANES + channels) * hours), side by side


@dataclass(frozen=True)
class TargetCovariates:
    """Standardised covariates of stations (stations, c), without gaps, and of targets (n, c), NaN where unknown."""

    stations: torch.Tensor
    targets: torch.Tensor

    def differences(self, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Of each target from its neighbours (n, c); 0 where the target has none."""
        return torch.nan_to_num(self.targets - interpolate(self.stations, index, weight))


def geometric(logs: torch.Tensor) -> torch.Tensor:
    """Back from log(value + LOG_SHIFT); bounded, since negative kriging weights extrapolate."""
    return (torch.exp(logs.clamp_max(LARGEST_LOG)) - LOG_SHIFT).clamp_min(0.0)
