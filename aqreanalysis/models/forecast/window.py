"""What every forecasting network reads: windows that end at the hour of issue, and when it is asked for.

A missing value is filled from its own window only: the mean of the stations that reported in the hour, plus the
station's mean departure from it in the window; an hour without any report repeats the last hour that had one. The mask
says which values were observed. Nothing after the hour of issue is in a window, so nothing after it can reach a
forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

WEATHER_BEFORE = 24       # hours before the hour of issue and in it whose weather is known besides
NEARNESS_FLOOR_KM = 1e-3  # added to distances before they are inverted


@dataclass(frozen=True)
class PointNeighbours:
    """Where forecasts are asked for: n points and the k stations nearest to each.

    `index` int64 (n, k); `distance` (n, k) km; `bearing` (n, k) radians, from the point to the station; `own` bool
    (n, k), True for the station that stands at the point itself.
    """

    index: torch.Tensor
    distance: torch.Tensor
    bearing: torch.Tensor
    own: torch.Tensor


@dataclass(frozen=True)
class Window:
    """A batch of windows without gaps.

    `values` (batch, stations, hours, pollutants) scaled log1p, PM2.5 first; `mask` the same shape, 1 where observed;
    `mean` (batch, hours, pollutants) over the network; `past` (batch, hours, 6) and `coming` (batch, horizon, 6)
    cyclic time; `trend` (batch,) what was taken off PM2.5, to be added to the forecast; `neighbours` of the points;
    `weather` (batch, hours, variables) of the hours to come and WEATHER_BEFORE hours before them, of no variables where
    none is known.
    """

    values: torch.Tensor
    mask: torch.Tensor
    mean: torch.Tensor
    past: torch.Tensor
    coming: torch.Tensor
    trend: torch.Tensor
    neighbours: PointNeighbours
    weather: torch.Tensor

    @property
    def horizon(self) -> int:
        return self.coming.shape[1]


def network_mean(values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From values and mask (hours, stations, pollutants) the mean (hours, pollutants) of the stations that reported, 0
    where none did, and whether any did."""
    count = mask.sum(dim=1)
    return (values * mask).sum(dim=1) / count.clamp_min(1.0), count > 0


def carried(mean: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """Means (batch, hours, pollutants) with the last one where nothing was `heard`, 0 before the first."""
    hours = torch.arange(1, mean.shape[1] + 1, device=mean.device)[None, :, None]
    last = torch.cummax(torch.where(heard, hours, torch.zeros_like(hours)), dim=1).values
    return torch.gather(torch.cat([torch.zeros_like(mean[:, :1]), mean], dim=1), 1, last)


def fill_gaps(values: torch.Tensor, mask: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Values (batch, stations, hours, pollutants) without gaps, from the network's mean (batch, hours, pollutants).

    A gap is the mean of its hour plus sum(value - mean) / (n + 1) over the n hours in which the station reported: its
    mean departure, shrunk as if one more hour had none.
    """
    departure = ((values - mean[:, None]) * mask).sum(dim=2, keepdim=True) / (mask.sum(dim=2, keepdim=True) + 1.0)
    return torch.where(mask > 0, values, mean[:, None] + departure)


def thin(series: torch.Tensor, recent: int, every: int) -> torch.Tensor:
    """A series (..., hours, width) with the hours before the last `recent` averaged in groups of `every`."""
    early = series.shape[-2] - recent
    if every == 1 or early <= 0:
        return series
    groups = series[..., :early, :].unflatten(-2, (early // every, every)).mean(dim=-2)
    return torch.cat([groups, series[..., early:, :]], dim=-2)


def at_points(series: torch.Tensor, near: PointNeighbours) -> torch.Tensor:
    """Forecasts of stations (batch, stations, horizon) at points: a station's own, else inverse square distance."""
    weight = (near.distance + NEARNESS_FLOOR_KM) ** -2 * (~near.own.any(dim=1, keepdim=True) | near.own)
    weight = weight / weight.sum(dim=1, keepdim=True)
    return torch.einsum("nk,bnkh->bnh", weight, series[:, near.index])
