"""What AQ-Net reads of the stations: filled series, the inputs of its windows, how noisy each station is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.clock import HOURS_PER_DAY, local_days
from aqreanalysis.features import Scaler, cyclic_time
from aqreanalysis.models import filling
from aqreanalysis.models.neighbours import Neighbourhood

MARGIN_HOURS = 12  # of the network's window, on either side of its day
CONTEXT_HOURS = MARGIN_HOURS + filling.BIAS_HOURS
LEVEL = 20.0       # ug m-3, added to a concentration that others are divided by
NUGGET = 0.02      # of an ordinary station, for a sill of 1
NUGGET_RANGE = (0.2, 8.0)  # times that, of the best and the worst
LEAST_HOURS = 24   # of residuals that say how noisy a station is


@dataclass(frozen=True)
class StationSide:
    """All that is read of the stations, for every hour of a cube; (time, station[, input])."""

    inputs: np.ndarray    # float32 (time, station, inputs)
    value: np.ndarray     # float32, filled PM2.5, NaN only where nothing is near in time or space
    smooth: np.ndarray    # float32, the same with its noise averaged over five hours
    moving: np.ndarray    # float32, little averaged, without any gap: what is carried by the air
    seen: np.ndarray      # float32, what was observed, NaN elsewhere
    clock: np.ndarray     # float32 (time, 6)
    time: np.ndarray
    nugget: np.ndarray    # float32 (station,), how noisy each is

    @property
    def observed(self) -> np.ndarray:
        """Whether a value was observed, bool."""
        return np.isfinite(self.seen)

    def row_of_day(self, day: np.datetime64) -> int:
        """Row of the first hour of a calendar day UTC+8."""
        first = day.astype("datetime64[h]") - np.timedelta64(7, "h")
        return int((first - self.time[0].astype("datetime64[h]")) / np.timedelta64(1, "h"))


def station_side(stations: xr.Dataset, scaler: Scaler, own: Neighbourhood) -> StationSide:
    """Fill the gaps and assemble the inputs; `own` are the stations' neighbours among themselves."""
    observed = stations.pm25.values
    filled = filling.fill(observed, own)
    clock = cyclic_time(stations.time.values)
    shape = filled.value.shape
    site = np.log(own.variance + 0.02) * 0.5 + 0.75
    columns = [
        scaler.scale("pm25", filled.value),
        scaler.scale("pm25", filled.kriged),
        (filled.value - filled.kriged) / (filled.kriged + LEVEL),
        filled.bias / (filled.kriged + LEVEL),
        filled.observed.astype(np.float32),
        filled.age / filling.REACH_HOURS,
        np.broadcast_to(site[None, :], shape),
    ]
    for name in schema.POLLUTANTS[1:]:
        scaled = scaler.scale(name, stations[name].values)
        columns += [np.nan_to_num(scaled), np.isfinite(scaled).astype(np.float32)]
    inputs = np.empty((*shape, len(columns) + clock.shape[1]), np.float32)
    for number, column in enumerate(columns):
        inputs[..., number] = np.clip(np.nan_to_num(column), -8.0, 8.0)
    inputs[..., len(columns):] = clock[:, None, :]
    moving = filling.carried_over(filling.smooth(filled.value, filling.LITTLE))
    return StationSide(inputs, filled.value, filling.smooth(filled.value), moving, observed, clock,
                       stations.time.values, station_nugget(observed, filled.kriged, own.variance))


def station_nugget(observed: np.ndarray, left_out: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """How noisy each station is beside the others: its nugget for a sill of 1, float32 (stations,).

    From observed and leave-one-out kriged values (time, station) in ug m-3 and that kriging's variance (stations,):
    the variance of its relative residuals over what kriging lets expect, over the median of all stations.
    """
    with np.errstate(invalid="ignore"):
        residual = (observed - left_out) / (left_out + LEVEL)
    known = np.isfinite(residual)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.nansum(residual, axis=0, dtype=np.float64) / count
    spread = np.where(known, residual - centre, 0.0)
    spread = (spread**2).sum(axis=0) / count / variance
    enough = known.sum(axis=0) >= LEAST_HOURS
    middle = max(np.median(spread[enough]), 1e-12) if enough.any() else 1.0
    relative = np.where(enough, spread / middle, 1.0)
    return (NUGGET * np.clip(relative, *NUGGET_RANGE)).astype(np.float32)


def day_tensors(side: StationSide, day: np.datetime64, offset: np.ndarray):
    """The network's inputs for some hours of one calendar day UTC+8: the window round that day, (station, hour, ...).

    `offset` are the hours' numbers in the day; they need not follow each other. The last of what is returned are
    their rows in the window.
    """
    import torch

    start = side.row_of_day(day)
    window = slice(start - MARGIN_HOURS, start + HOURS_PER_DAY + MARGIN_HOURS)
    rows = start + offset
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a))  # noqa: E731
    return (tensor(side.inputs[window].transpose(1, 0, 2)), tensor(without_gaps(side.value[rows]).T),
            tensor(without_gaps(side.smooth[rows]).T), tensor(side.observed[rows].T.astype(np.float32)),
            tensor(side.clock[rows]), tensor(offset + MARGIN_HOURS))


def without_gaps(value: np.ndarray) -> np.ndarray:
    """(hours, station) with the hour's mean where a lonely station lies in a long outage; 0 in a dead hour."""
    some = np.isfinite(value).any(axis=1)
    mean = np.zeros(len(value), np.float32)
    mean[some] = np.nanmean(value[some], axis=1)
    return np.where(np.isfinite(value), value, mean[:, None])


def with_margins(stations: xr.Dataset, hours: np.ndarray) -> xr.Dataset:
    """The cube on an axis that holds the whole windows and contexts of the hours' days; NaN beyond it."""
    days = local_days(hours)
    first = days.min().astype("datetime64[h]") - np.timedelta64(7 + CONTEXT_HOURS, "h")
    last = days.max().astype("datetime64[h]") + np.timedelta64(16 + CONTEXT_HOURS, "h")
    axis = np.arange(first, last + np.timedelta64(1, "h"), np.timedelta64(1, "h")).astype("datetime64[ns]")
    have = stations.time.values
    if have.size == axis.size and have[0] == axis[0]:
        return stations
    return stations.reindex(time=axis)
