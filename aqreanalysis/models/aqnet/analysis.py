"""AQ-Net for analysis: from a station cube to PM2.5 at any points (the network is in network.py).

An hour is estimated from what was observed round it: the network reads the day and 12 h on either
side; the running mean of how each station departs from its neighbours needs 15 days more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.models import gap_filling
from aqreanalysis.models.base import Prepared, Silent, Supporters
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.features import (
    LEVEL,
    LOG_VARIANCE_CENTRE,
    LOG_VARIANCE_SCALE,
    VARIANCE_FLOOR,
    Scaler,
    cyclic_time,
)
from aqreanalysis.models.gap_filling import FilledStations
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, find_neighbourhood
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, local_days

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.network import AQNet

MARGIN_HOURS = 12
CONTEXT_HOURS = MARGIN_HOURS + gap_filling.BIAS_HOURS
LAPLACE_TO_STANDARD = np.float32(np.sqrt(2.0))  # standard deviation of a Laplace distribution of scale 1
TARGETS_AT_ONCE = 2048
OF_PM25 = 7  # inputs of a station and hour that are made from PM2.5


@dataclass(frozen=True)
class StationInputs:
    """All that the network reads of the stations, for every hour of a cube; (time, station[, input])."""

    inputs: np.ndarray    # float32 (time, station, inputs)
    value: np.ndarray     # float32, filled PM2.5, NaN only where nothing is near in time or space
    smooth: np.ndarray    # float32, the same with its noise averaged over five hours
    observed: np.ndarray  # bool
    clock: np.ndarray     # float32 (time, 6)
    time: np.ndarray


def station_inputs(stations: xr.Dataset, scaler: Scaler, own: Neighbourhood, context: int = 0) -> StationInputs:
    """Fill the gaps and assemble the inputs; `own` are the stations' neighbours among themselves.

    The first and last `context` hours serve the filling alone, and are not in what is returned.
    """
    filled = gap_filling.fill(stations.pm25.values, own)
    inner = slice(context, len(filled.value) - context)
    smooth = gap_filling.smooth(filled.value)[inner].copy()
    filled = FilledStations(*(getattr(filled, of.name)[inner].copy() for of in dataclass_fields(filled)))
    stations = stations.isel({schema.TIME: inner})
    clock = cyclic_time(stations.time.values)
    width = OF_PM25 + 2 * (len(schema.POLLUTANTS) - 1)
    inputs = np.empty((*filled.value.shape, width + clock.shape[1]), np.float32)
    for number, column in enumerate(_columns(stations, filled, scaler, own)):
        inputs[..., number] = np.clip(np.nan_to_num(column), -8.0, 8.0)
    inputs[..., width:] = clock[:, None, :]
    return StationInputs(inputs, filled.value, smooth, filled.observed, clock, stations.time.values)


def _columns(stations: xr.Dataset, filled: FilledStations, scaler: Scaler, own: Neighbourhood) -> Iterator[np.ndarray]:
    """The inputs but the clock, (time, station) each: OF_PM25 of PM2.5, then value and mask of each other pollutant."""
    yield scaler.scale("pm25", filled.value)
    yield scaler.scale("pm25", filled.kriged)
    yield (filled.value - filled.kriged) / (filled.kriged + LEVEL)
    yield filled.bias / (filled.kriged + LEVEL)
    yield filled.observed.astype(np.float32)
    yield filled.age / gap_filling.REACH_HOURS
    yield np.broadcast_to(LOG_VARIANCE_SCALE * (np.log(own.variance + VARIANCE_FLOOR) - LOG_VARIANCE_CENTRE),
                          filled.value.shape)
    for name in schema.POLLUTANTS[1:]:
        scaled = scaler.scale(name, stations[name].values)
        yield scaled
        yield np.isfinite(scaled)


def to_tensors(neighbourhood: Neighbourhood):
    """A neighbourhood as the tensors that the network takes."""
    import torch

    from aqreanalysis.models.aqnet.knn import NeighbourTensors

    return NeighbourTensors(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (
        neighbourhood.index.astype(np.int32), neighbourhood.weight, neighbourhood.variance, neighbourhood.distance,
        neighbourhood.bearing)))


@dataclass
class AQNetAnalysis:
    """AQ-Net with its scaler and its kriging; `k` neighbours, settable when it runs.

    `network` is a network.AQNet in evaluation mode. Reads no file: models/checkpoint.py does.
    """

    network: AQNet
    scaler: Scaler
    correlation: Correlation = field(default_factory=Correlation)
    k: int = 20
    calibration: Calibration | None = None
    name: str = "aqnet"
    history: int = CONTEXT_HOURS
    future: int = CONTEXT_HOURS
    fields: tuple[str, ...] = ()
    co_pollutants: int | None = MARGIN_HOURS

    def fit(self, stations: xr.Dataset) -> Self:
        """Returns itself: training is `aqreanalysis train`, a checkpoint comes fitted."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 and its standard error, (time, point) in ug m-3, at the targets' hours; bounds if calibrated.

        `stations` should reach `history` hours before the first target hour and `future` after the
        last, counted from the first and to the last hour of their calendar days UTC+8, whose window the
        network reads; what lies outside counts as missing. NaN where no station reported within 12 h, and everywhere
        with fewer than two stations: each is read beside its neighbours.
        """
        schema.check_targets(targets)
        return self.prepare(stations, targets.time.values, fields).at(targets)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """Fill the stations' gaps and assemble what the network reads of them, for all of these hours."""
        schema.check_station_cube(stations)
        if stations.sizes[schema.STATION] < 2 or not len(hours):
            return Silent(calibrated=self.calibration is not None)
        stations = _with_margins(stations, hours)
        lat, lon = stations.lat.values, stations.lon.values
        own = find_neighbourhood(lat, lon, lat, lon, gap_filling.FILLING_NEIGHBOURS, self.correlation,
                                 leave_out_self=True)
        return PreparedStations(self, station_inputs(stations, self.scaler, own, gap_filling.BIAS_HOURS), lat, lon)


@dataclass
class PreparedStations:
    """A model and what it reads of the stations. What it made of the places that it was asked at last is kept: a grid
    is asked week by week."""

    model: AQNetAnalysis
    inputs: StationInputs
    lat: np.ndarray  # of the stations, degrees
    lon: np.ndarray
    _places: tuple[np.ndarray, np.ndarray, list] | None = None

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """The estimate at some of the hours that were prepared; see AQNetAnalysis.predict."""
        import torch

        hours = targets.time.values
        found = np.empty((2 if self.model.calibration is None else 4, len(hours), targets.sizes[schema.POINT]),
                         np.float32)
        days = local_days(hours)
        with torch.inference_mode():
            parts = self._parts(targets.lat.values, targets.lon.values)
            for day in np.unique(days):
                self._one_day(hours, np.flatnonzero(days == day), parts, found)
        return schema.make_estimate(targets, *found)

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """The `k` neighbours of each place, by octant search."""
        near = self._neighbourhood(lat, lon)
        return Supporters(near.index, near.distance, self.model.k)

    def _neighbourhood(self, lat: np.ndarray, lon: np.ndarray) -> Neighbourhood:
        return find_neighbourhood(self.lat, self.lon, lat, lon, self.model.k, self.model.correlation)

    def _parts(self, lat: np.ndarray, lon: np.ndarray) -> list:
        """Targets some thousand at a time, so that what the head computes fits into the cache.

        Returns (points, neighbours, their geometry, their bounds or None) of each part.
        """
        if self._places is None or not (np.array_equal(lat, self._places[0]) and np.array_equal(lon, self._places[1])):
            self._places = (lat, lon, list(self._computed_parts(self._neighbourhood(lat, lon))))
        return self._places[2]

    def _computed_parts(self, neighbourhood: Neighbourhood) -> Iterator[tuple]:
        calibration = self.model.calibration
        for start in range(0, len(neighbourhood.index), TARGETS_AT_ONCE):
            points = slice(start, start + TARGETS_AT_ONCE)
            near = to_tensors(Neighbourhood(*(getattr(neighbourhood, of.name)[points]
                                              for of in dataclass_fields(Neighbourhood))))
            bounds = None if calibration is None else calibration.hourly.at(near.distance[:, 0].numpy())
            yield points, near, self.model.network.knn.neighbour_geometry(near), bounds

    def _one_day(self, hours: np.ndarray, rows: np.ndarray, parts: list, found: np.ndarray) -> None:
        """Fill rows of estimate, standard error and bounds (2 or 4, time, point): hours of one calendar day UTC+8."""
        stations, clock = self._day(hours[rows])
        for points, near, geometry, bounds in parts:
            pm25, scale = self.model.network.at_targets(stations, clock, near, geometry)
            estimate, error = pm25.numpy().T, scale.numpy().T * LAPLACE_TO_STANDARD
            found[0, rows, points], found[1, rows, points] = estimate, error
            if bounds:
                found[1:, rows, points] = bounds(estimate, error, local_days(hours[rows])[:, None])
        silent = ~np.isfinite(self.inputs.value[np.searchsorted(self.inputs.time, hours[rows])]).any(axis=1)
        found[:, rows[silent]] = np.nan

    def _day(self, hours: np.ndarray):
        """What the network has read of the stations at some hours of one day, and their clock."""
        inputs, value, smooth, observed, clock, wanted = day_tensors(self.inputs, hours)
        return self.model.network.read(inputs, wanted, value, smooth, observed), clock


def day_tensors(read: StationInputs, hours: np.ndarray):
    """The network's inputs for some hours of one day: the window round that day, (station, hour, ...).

    The hours need not follow each other. The last of what is returned are their rows in the window.
    """
    import torch

    first = time_axis.first_hours(local_days(hours[:1]))[0]
    start = int((first - read.time[0].astype("datetime64[h]")) / HOUR)
    window = slice(start - MARGIN_HOURS, start + HOURS_PER_DAY + MARGIN_HOURS)
    offset = ((hours - first) / HOUR).astype(np.int64)
    rows = start + offset
    value, smooth = _without_gaps(read.value[rows]), _without_gaps(read.smooth[rows])

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))

    return (tensor(read.inputs[window].transpose(1, 0, 2)), tensor(value.T), tensor(smooth.T),
            tensor(read.observed[rows].T.astype(np.float32)), tensor(read.clock[rows]), tensor(offset + MARGIN_HOURS))


def _without_gaps(value: np.ndarray) -> np.ndarray:
    """(hours, station) with the hour's mean where a lonely station lies in a long outage; 0 in a dead hour."""
    some = np.isfinite(value).any(axis=1)
    mean = np.zeros(len(value), np.float32)
    mean[some] = np.nanmean(value[some], axis=1)
    return np.where(np.isfinite(value), value, mean[:, None])


def _with_margins(stations: xr.Dataset, hours: np.ndarray) -> xr.Dataset:
    """The cube on an axis that holds the whole windows of the targets' days."""
    days = local_days(hours)
    first = time_axis.first_hours(days.min()) - CONTEXT_HOURS * HOUR
    last = time_axis.last_hours(days.max()) + CONTEXT_HOURS * HOUR
    axis = time_axis.complete_hours(first, last)
    have = stations.time.values
    if have.size == axis.size and have[0] == axis[0]:
        return stations
    return stations.reindex(time=axis)
