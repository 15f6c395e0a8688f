"""AQ-Net for analysis: from a station cube to PM2.5 at any points (the network is in nets.py).

An hour is estimated from what was observed round it: the network reads the day and 12 h on either
side; the running mean of how each station departs from its neighbours needs 15 days more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.clock import HOURS_PER_DAY, local_days
from aqreanalysis.features import Scaler, cyclic_time
from aqreanalysis.models import filling
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, neighbourhood

MARGIN_HOURS = 12
CONTEXT_HOURS = MARGIN_HOURS + filling.BIAS_HOURS
LAPLACE_TO_STANDARD = np.float32(np.sqrt(2.0))  # standard deviation of a Laplace distribution of scale 1
LEVEL = 20.0
TARGETS_AT_ONCE = 2048


@dataclass(frozen=True)
class StationSide:
    """All that the network reads of the stations, for every hour of a cube; (time, station[, input])."""

    inputs: np.ndarray    # float32 (time, station, inputs)
    value: np.ndarray     # float32, filled PM2.5, NaN only where nothing is near in time or space
    smooth: np.ndarray    # float32, the same with its noise averaged over five hours
    observed: np.ndarray  # bool
    clock: np.ndarray     # float32 (time, 6)
    time: np.ndarray


def station_side(stations: xr.Dataset, scaler: Scaler, own: Neighbourhood) -> StationSide:
    """Fill the gaps and assemble the inputs; `own` are the stations' neighbours among themselves."""
    filled = filling.fill(stations.pm25.values, own)
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
    return StationSide(inputs, filled.value, filling.smooth(filled.value), filled.observed, clock, stations.time.values)


def to_tensors(hood: Neighbourhood):
    """A neighbourhood as the tensors that the network takes."""
    import torch

    from aqreanalysis.models.nets import Neighbours

    return Neighbours(*(torch.from_numpy(np.ascontiguousarray(a)) for a in
                        (hood.index, hood.weight, hood.variance, hood.distance, hood.bearing)))


@dataclass
class AQNetAnalysis:
    """AQ-Net with its scaler and its kriging; `k` neighbours, settable when it runs.

    `network` is a nets.AQNet in evaluation mode. Reads no file: models/checkpoint.py does.
    """

    network: object
    scaler: Scaler
    correlation: Correlation = field(default_factory=Correlation)
    k: int = 20
    calibration: Calibration | None = None
    name: str = "aqnet"
    history: int = CONTEXT_HOURS
    future: int = CONTEXT_HOURS
    others: int = MARGIN_HOURS  # hours round the targets' days in which pollutants other than PM2.5 are read

    def fit(self, stations: xr.Dataset) -> AQNetAnalysis:
        """Returns itself: training is `aqreanalysis train`, a checkpoint comes fitted."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """PM2.5 and its standard error, (time, point) in ug m-3, at the targets' hours; bounds if calibrated.

        `stations` should reach `history` hours before the first target hour and `future` after the
        last, counted from the first and to the last hour of their calendar days UTC+8, whose window the
        network reads; what lies outside counts as missing. NaN where no station reported within 12 h.
        """
        import torch

        schema.check_station_cube(stations), schema.check_targets(targets)
        if stations.sizes[schema.STATION] < 2:
            raise ValueError("AQ-Net needs at least two stations: each is read beside its neighbours")
        stations = _with_margins(stations, targets.time.values)
        lat, lon = stations.lat.values, stations.lon.values
        own = neighbourhood(lat, lon, lat, lon, filling.NEIGHBOURS, self.correlation, leave_out_self=True)
        side = station_side(stations, self.scaler, own)
        hood = neighbourhood(lat, lon, targets.lat.values, targets.lon.values, self.k, self.correlation)
        parts = list(split(hood))
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        found = np.empty((2 if self.calibration is None else 4, *shape), np.float32)
        days = local_days(targets.time.values)
        with torch.inference_mode():
            for day in np.unique(days):
                rows = np.flatnonzero(days == day)
                self._one_day(side, targets.time.values[rows], rows, parts, found)
        return schema.make_estimate(targets, *found)

    def _one_day(self, side: StationSide, hours: np.ndarray, rows: np.ndarray, parts, found) -> None:
        """Fill rows of estimate, standard error and bounds (2 or 4, time, point): hours of one calendar day UTC+8."""
        inputs, value, smooth, observed, clock, wanted = day_tensors(side, hours)
        pooled, learned = self.network.encoder(inputs, wanted)
        for points, near, features in parts:
            pm25, scale = self.network.at_targets(pooled, learned, value, smooth, observed, clock, near, features)
            estimate, error = pm25.numpy().T, scale.numpy().T * LAPLACE_TO_STANDARD
            found[0, rows, points], found[1, rows, points] = estimate, error
            if self.calibration is not None:
                found[1:, rows, points] = self.calibration.hourly.apply(
                    estimate, error, near.distance[:, 0].numpy(), local_days(hours)[:, None])
        dead = rows[~np.isfinite(side.value[np.searchsorted(side.time, hours)]).any(axis=1)]
        found[:, dead] = np.nan


def split(hood: Neighbourhood):
    """Targets a few thousand at a time, so that what the head computes fits into the cache.

    Yields (points, neighbours, their features).
    """
    for start in range(0, len(hood.index), TARGETS_AT_ONCE):
        points = slice(start, start + TARGETS_AT_ONCE)
        near = to_tensors(Neighbourhood(*(getattr(hood, name)[points] for name in Neighbourhood.__dataclass_fields__)))
        yield points, near, near.features


def day_tensors(side: StationSide, hours: np.ndarray):
    """The network's inputs for some hours of one day: the window round that day, (station, hour, ...).

    The hours need not follow each other. The last of what is returned are their rows in the window.
    """
    import torch

    first = (local_days(hours[:1]).astype("datetime64[h]") - np.timedelta64(7, "h"))[0]
    start = int((first - side.time[0].astype("datetime64[h]")) / np.timedelta64(1, "h"))
    window = slice(start - MARGIN_HOURS, start + HOURS_PER_DAY + MARGIN_HOURS)
    offset = ((hours - first) / np.timedelta64(1, "h")).astype(np.int64)
    rows = start + offset
    value, smooth = _without_gaps(side.value[rows]), _without_gaps(side.smooth[rows])
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a))  # noqa: E731
    return (tensor(side.inputs[window].transpose(1, 0, 2)), tensor(value.T), tensor(smooth.T),
            tensor(side.observed[rows].T.astype(np.float32)), tensor(side.clock[rows]), tensor(offset + MARGIN_HOURS))


def _without_gaps(value: np.ndarray) -> np.ndarray:
    """(hours, station) with the hour's mean where a lonely station lies in a long outage; 0 in a dead hour."""
    some = np.isfinite(value).any(axis=1)
    mean = np.zeros(len(value), np.float32)
    mean[some] = np.nanmean(value[some], axis=1)
    return np.where(np.isfinite(value), value, mean[:, None])


def _with_margins(stations: xr.Dataset, hours: np.ndarray) -> xr.Dataset:
    """The cube on an axis that holds the whole windows of the targets' days."""
    days = local_days(hours)
    first = days.min().astype("datetime64[h]") - np.timedelta64(7 + CONTEXT_HOURS, "h")
    last = days.max().astype("datetime64[h]") + np.timedelta64(16 + CONTEXT_HOURS, "h")
    axis = np.arange(first, last + np.timedelta64(1, "h"), np.timedelta64(1, "h")).astype("datetime64[ns]")
    have = stations.time.values
    if have.size == axis.size and have[0] == axis[0]:
        return stations
    return stations.reindex(time=axis)
