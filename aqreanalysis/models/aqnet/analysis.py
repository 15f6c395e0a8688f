"""AQ-Net for analysis: from a station cube to PM2.5 at any points (the network is in network.py).

An hour is estimated from what was observed round it: the network reads the day and 12 h on either side; the means of
each station's own past and future need 15 days more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.fields.covariates import CovariateSources, Standardisation
from aqreanalysis.models import gap_filling
from aqreanalysis.models.aqnet import station_inputs as reading
from aqreanalysis.models.aqnet.station_inputs import StationInputs, station_inputs, without_gaps
from aqreanalysis.models.base import Prepared, Silent, Supporters
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, find_neighbourhood
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, local_days

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.network import AQNet, TargetCovariates

MARGIN_HOURS = 12
CONTEXT_HOURS = MARGIN_HOURS + reading.CONTEXT_HOURS
LAPLACE_TO_STANDARD = np.float32(np.sqrt(2.0))  # standard deviation of a Laplace distribution of scale 1
TARGETS_AT_ONCE = 2048
LARGEST_COVARIATE = 4.0  # standard deviations


def to_tensors(neighbourhood: Neighbourhood):
    """A neighbourhood as the tensors that the network takes."""
    import torch

    from aqreanalysis.models.aqnet.knn import NeighbourTensors

    return NeighbourTensors(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (
        neighbourhood.index.astype(np.int32), neighbourhood.weight, neighbourhood.variance, neighbourhood.distance,
        neighbourhood.bearing)))


@dataclass(frozen=True)
class StaticCovariates:
    """Static covariates as the network reads them, at any places."""

    sources: CovariateSources
    standardisation: Standardisation

    def at(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Standardised values, float32 (points, covariates); NaN where one has no value."""
        values = self.standardisation.apply(self.sources.at(lat, lon))
        return np.clip(values, -LARGEST_COVARIATE, LARGEST_COVARIATE)

    def at_stations(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """The same without gaps: a station without a value has that of the nearest one with, or 0, the mean."""
        values = self.at(lat, lon)
        for column in values.T:
            known = np.isfinite(column)
            if known.any() and not known.all():
                index, _ = geo.nearest(lat[known], lon[known], lat[~known], lon[~known], 1)
                column[~known] = column[known][index[:, 0]]
        return np.nan_to_num(values)


@dataclass
class AQNetAnalysis:
    """AQ-Net with its kriging and its covariates; `k` neighbours, settable when it runs.

    `network` is a network.AQNet in evaluation mode. Reads no file: models/checkpoint.py does.
    """

    network: AQNet
    correlation: Correlation = field(default_factory=Correlation)
    k: int = 24
    calibration: Calibration | None = None
    covariates: StaticCovariates | None = None
    name: str = "aqnet"
    history: int = CONTEXT_HOURS
    future: int = CONTEXT_HOURS
    fields: tuple[str, ...] = ()
    fields_optional: bool = False
    co_pollutants: int | None = None

    def fit(self, stations: xr.Dataset) -> Self:
        """Returns itself: training is `aqreanalysis train`, a checkpoint comes fitted."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 and its standard error, (time, point) in ug m-3, at the targets' hours; bounds if calibrated.

        `stations` should reach `history` hours before the first target hour and `future` after the
        last, counted from the first and to the last hour of their calendar days UTC+8, whose window the
        network reads; what lies outside counts as missing. NaN where no station reported within 12 h, and everywhere
        with fewer than two stations: gaps of each are filled from its neighbours.
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
        filled = gap_filling.fill(stations[schema.TARGET].values, own)
        inputs = station_inputs(filled.value, filled.observed, filled.age, stations.time.values, reading.CONTEXT_HOURS)
        return PreparedStations(self, inputs, lat, lon)


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

        Returns (points, neighbours, their geometry, covariates, bounds or None) of each part.
        """
        if self._places is None or not (np.array_equal(lat, self._places[0]) and np.array_equal(lon, self._places[1])):
            self._places = (lat, lon, list(self._computed_parts(lat, lon)))
        return self._places[2]

    def _computed_parts(self, lat: np.ndarray, lon: np.ndarray) -> Iterator[tuple]:
        neighbourhood, calibration = self._neighbourhood(lat, lon), self.model.calibration
        covariates = self._covariates(lat, lon)
        for start in range(0, len(neighbourhood.index), TARGETS_AT_ONCE):
            points = slice(start, start + TARGETS_AT_ONCE)
            near = to_tensors(Neighbourhood(*(getattr(neighbourhood, of.name)[points]
                                              for of in dataclass_fields(Neighbourhood))))
            bounds = None if calibration is None else calibration.hourly.at(
                Sites.of(lat[points], lon[points], near.distance[:, 0].numpy()))
            yield points, near, self.model.network.knn.neighbour_geometry(near), covariates(points), bounds

    def _covariates(self, lat: np.ndarray, lon: np.ndarray) -> Callable[[slice], TargetCovariates | None]:
        """From a slice of the points to the covariates that the network takes, or to None without any."""
        import torch

        from aqreanalysis.models.aqnet.network import TargetCovariates

        if self.model.covariates is None:
            return lambda points: None
        of_stations = self.model.covariates.at_stations(self.lat, self.lon)
        of_targets = self.model.covariates.at(lat, lon)
        return lambda points: TargetCovariates(torch.from_numpy(of_stations), torch.from_numpy(of_targets[points]))

    def _one_day(self, hours: np.ndarray, rows: np.ndarray, parts: list, found: np.ndarray) -> None:
        """Fill rows of estimate, standard error and bounds (2 or 4, time, point): hours of one calendar day UTC+8."""
        stations, clock = self._day(hours[rows])
        for points, near, geometry, covariates, bounds in parts:
            pm25, scale = self.model.network.at_targets(stations, clock, near, covariates, geometry)
            estimate, error = pm25.numpy().T, scale.numpy().T * LAPLACE_TO_STANDARD
            found[0, rows, points], found[1, rows, points] = estimate, error
            if bounds:
                found[1:, rows, points] = bounds(estimate, error, local_days(hours[rows])[:, None])
        silent = ~np.isfinite(self.inputs.value[np.searchsorted(self.inputs.time, hours[rows])]).any(axis=1)
        found[:, rows[silent]] = np.nan

    def _day(self, hours: np.ndarray):
        """What the network has read of the stations at some hours of one day, and their clock."""
        inputs, inner, series, clock = day_tensors(self.inputs, hours)
        return self.model.network.read(inputs, inner, series), clock


def day_tensors(read: StationInputs, hours: np.ndarray):
    """The network's inputs for some hours of one day: the window round that day (station, hour, ...), the rows of the
    hours in it, the series (station, hours, SERIES) and the clock (hours, 6).

    The hours need not follow each other.
    """
    import torch

    first = time_axis.first_hours(local_days(hours[:1]))[0]
    start = int((first - read.time[0].astype("datetime64[h]")) / HOUR)
    window = slice(start - MARGIN_HOURS, start + HOURS_PER_DAY + MARGIN_HOURS)
    offset = ((hours - first) / HOUR).astype(np.int64)
    rows = start + offset

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))

    return (tensor(read.inputs[window].transpose(1, 0, 2)), tensor(offset + MARGIN_HOURS),
            tensor(without_gaps(read.series[rows]).transpose(1, 0, 2)), tensor(read.clock[rows]))


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
