"""The neural kNN of AQ-Net: learned weights of a target over its k nearest stations, and sums with them.

Kheder et al. 2025 (arXiv 2502.11941), section 3.2, Y = h(Z', p, k): the vectors Z' of the stations round a target,
places p, are interpolated with weights that gradients pass through. The paper leaves the weights open. Here they are an
attention of the target x over its neighbours i = 1 ... k,

    u(x, i) = phi(G g(x, i) + V z_i + S s(x))            hidden units of the score
    a(x, i) = softmax over i of (w . u(x, i) + p(x, i))   one w, p and a for each head

with g the features of geometry (distance, direction, ...), z_i the pooled vector of station i, s that of the whole
neighbourhood (for an analysis only) and p a prior that geometry alone gives. The score vector w starts at 0: an
untrained network interpolates by its prior, kriging's weights in an analysis and a kernel of distance in a forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from aqreanalysis.models.features import LOG_VARIANCE_CENTRE, LOG_VARIANCE_SCALE, VARIANCE_FLOOR

if TYPE_CHECKING:
    from aqreanalysis.models.forecast.window import PointNeighbours

DISTANCE_UNIT_KM = 10.0  # distances enter as log(1 + d / 10 km), about linear within a town
NEIGHBOUR_CENTRE, NEAREST_CENTRE, MEAN_CENTRE = 1.5, 1.0, 2.0  # usual values of it (35, 17, 64 km), taken off
WEIGHT_SCALE = 4.0       # brings kriging's weights, some 1/k, to the order of 1
DISTANCE_FLOOR_KM = 1.0  # added to the mean distance that distances are divided by
PRIOR_FLOOR = 0.01       # added to kriging's weights before the logarithm: a score can raise even a weight of 0

FORECAST_HIDDEN = 16     # hidden units of a forecast's scores
REACHES_KM = (3.0, 12.0, 40.0, 120.0)  # e-folding distances of a forecast's first four heads before training
OWN_STATION_BONUS = 4.0  # added before training to the score of a station at the point itself, in half of the heads
LEFT_OUT = -1e9          # score of a station that must not be used: its weight is 0 in float32


@dataclass(frozen=True)
class NeighbourTensors:
    """Neighbours of n targets as tensors: `index` int32 (n, k); `weight` (n, k) of kriging;
    `variance` (n,) of kriging for a sill of 1; `distance` (n, k) km; `bearing` (n, k) radians."""

    index: torch.Tensor
    weight: torch.Tensor
    variance: torch.Tensor
    distance: torch.Tensor
    bearing: torch.Tensor

    @property
    def features(self) -> torch.Tensor:
        """(n, k, 6): log distance, sine and cosine of the direction, kriging's weight, log kriging variance, and the
        distance over the mean distance; all of the order of 1."""
        nearness = _log_distance(self.distance)
        mean = self.distance.mean(dim=1, keepdim=True)
        variance = _log_variance(self.variance)[:, None].expand_as(nearness)
        return torch.stack([nearness - NEIGHBOUR_CENTRE, torch.sin(self.bearing), torch.cos(self.bearing),
                            WEIGHT_SCALE * self.weight, variance,
                            self.distance / (mean + DISTANCE_FLOOR_KM) - 1.0], dim=-1)

    @property
    def site(self) -> torch.Tensor:
        """(n, 4): log distance of the nearest, log kriging variance, log mean distance, and the sum of squares of
        kriging's weights; all of the order of 1."""
        return torch.stack([_log_distance(self.distance[:, 0]) - NEAREST_CENTRE, _log_variance(self.variance),
                            _log_distance(self.distance.mean(1)) - MEAN_CENTRE,
                            WEIGHT_SCALE * (self.weight**2).sum(1)], dim=1)


@dataclass(frozen=True)
class NeighbourGeometry:
    """What the geometry of n targets gives for any day: `units` (n, k, hidden), its part of the hidden units;
    `prior` (n, k) of the scores, and `prior_share` its softmax; `site` (n, 4) as NeighbourTensors.site."""

    units: torch.Tensor
    prior: torch.Tensor
    prior_share: torch.Tensor
    site: torch.Tensor


class NeuralKNN(nn.Module):
    """The hidden units u(x, i), which the kNN of an analysis and that of a forecast have in common."""

    geometry: nn.Linear  # G
    score: nn.Linear     # w, a row for each head
    activation: Callable[[torch.Tensor], torch.Tensor]  # phi

    def units(self, stations: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        """u (..., n, k, hidden): phi of the sum of V z_i (..., n, k, hidden), which is written over, and of `more`."""
        for part in more:
            stations.add_(part)
        return self.activation(stations)


class AnalysisKNN(NeuralKNN):
    """Weights (n, k) of targets over their neighbours for one day; each row sums to 1.

        weight = l + room (a(x, i) - prior(x, i))

    with kriging's weights l, the attention a and the softmax of its prior, log(max(l, 0) + 0.01): what the attention
    learns corrects kriging. phi is ReLU.
    """

    activation = staticmethod(F.relu_)

    def __init__(self, pooled: int, hidden: int):
        super().__init__()
        self.geometry = nn.Linear(6, hidden)
        self.neighbour = nn.Linear(pooled, hidden, bias=False)      # V
        self.surroundings = nn.Linear(pooled, hidden, bias=False)   # S
        self.score = zero_linear(hidden, 1, bias=False)

    def neighbour_geometry(self, near: NeighbourTensors) -> NeighbourGeometry:
        """What follows from the geometry of the neighbours, for any day."""
        prior = torch.log(near.weight.clamp_min(0.0) + PRIOR_FLOOR)
        return NeighbourGeometry(self.geometry(near.features), prior, torch.softmax(prior, dim=-1), near.site)

    def forward(self, pooled: torch.Tensor, keys: torch.Tensor, near: NeighbourTensors, geometry: NeighbourGeometry,
                room: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights (n, k), and the vector s (n, pooled) of each neighbourhood.

        `pooled` (stations, pooled) are the vectors z, `keys` (stations, hidden) are V z, `room` (n, 1) what share of
        the correction is taken. s is z interpolated with kriging's weights.
        """
        around = interpolate(pooled, near.index, near.weight)
        units = self.units(F.embedding(near.index, keys), geometry.units, self.surroundings(around)[:, None])
        scores = (units @ self.score.weight[0]).add_(geometry.prior)
        return near.weight + room * (torch.softmax(scores, dim=-1) - geometry.prior_share), around


class ForecastKNN(NeuralKNN):
    """Weights (batch, heads, points, k) of points over their nearest stations; each row sums to 1.

    The prior is -d / r + b o with the distance d, a learned reach r of each head (3, 12, 40 and 120 km at first, in
    turn), and o = 1 for a station at the point itself with a learned bonus b (4 at first in the first two of four
    heads, 0 in the others). phi is GELU.
    """

    activation = staticmethod(F.gelu)

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.geometry = nn.Linear(4, FORECAST_HIDDEN)
        self.vector = nn.Linear(width, FORECAST_HIDDEN, bias=False)  # V
        self.score = zero_linear(FORECAST_HIDDEN, heads)
        turns = [head % len(REACHES_KM) for head in range(heads)]
        self.reach = nn.Parameter(torch.log(torch.tensor([REACHES_KM[turn] for turn in turns])))
        self.own = nn.Parameter(torch.tensor([OWN_STATION_BONUS if turn < 2 else 0.0 for turn in turns]))

    def forward(self, vectors: torch.Tensor, near: PointNeighbours,
                left_out: torch.Tensor | None = None) -> torch.Tensor:
        """The weights, from vectors z (batch, stations, width); `left_out` bool (batch, points, k) are not used."""
        features = torch.stack([_log_distance(near.distance) - NEAREST_CENTRE, torch.sin(near.bearing),
                                torch.cos(near.bearing), near.own.float()], dim=-1)
        score = self.score(self.units(self.vector(vectors)[:, near.index], self.geometry(features)))
        score = score - near.distance[..., None] / torch.exp(self.reach) + self.own * near.own[..., None]
        if left_out is not None:
            score = score.masked_fill(left_out[..., None], LEFT_OUT)
        return torch.softmax(score, dim=2).permute(0, 3, 1, 2)


def zero_linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A linear layer whose weights and bias are 0 before training."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.zeros_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def interpolate(series: torch.Tensor, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted sums over neighbours: series (stations, width), index and weight (n, k) -> (n, width)."""
    return F.embedding_bag(index, series, per_sample_weights=weight, mode="sum")


def interpolate_planes(series: torch.Tensor, count: int, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted sums over neighbours of `count` series side by side (stations, count * hours): (count, n, hours)."""
    return interpolate(series, index, weight).unflatten(1, (count, -1)).permute(1, 0, 2).contiguous()


def over_all_stations(weight: torch.Tensor, index: torch.Tensor, stations: int) -> torch.Tensor:
    """Weights (batch, heads, points, k) over neighbours `index` (points, k) as weights over all stations
    (batch, heads, points, stations)."""
    dense = weight.new_zeros(*weight.shape[:3], stations)
    return dense.scatter(3, index.expand(*weight.shape[:2], -1, -1), weight)


def _log_distance(distance: torch.Tensor) -> torch.Tensor:
    """log(1 + d / 10 km) of distances in km."""
    return torch.log1p(distance / DISTANCE_UNIT_KM)


def _log_variance(variance: torch.Tensor) -> torch.Tensor:
    """Logarithm of kriging variances for a sill of 1, of the order of 1."""
    return LOG_VARIANCE_SCALE * (torch.log(variance + VARIANCE_FLOOR) - LOG_VARIANCE_CENTRE)
