"""One inductive wrapper: SPIN, IGNNK and STGCN behind the interface of every model.

A place without a station is a further masked node: stations exchange messages with each other, and it receives what
they sent and sends nothing (links.py). So no estimate depends on which others are asked, and what the stations say to
each other is computed once for all places. The unit of work is a local day.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.models import geostatistics
from aqreanalysis.models.base import LISTED, Prepared, Silent, Supporters
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.graph.graph import edges_between
from aqreanalysis.models.graph.kinds import KINDS, GraphSettings, Kind, PlaceInputs
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.graph.links import Among, Links

TARGETS_AT_ONCE = 2048
DAYS_KEPT = 8        # of what stations sent: a block is a week
LEAST_ERROR = 1.0    # ug m-3


@dataclass
class GraphModel:
    """A graph network in evaluation mode; `kind` is one of kinds.KINDS. Reads no file: models/checkpoint.py does.

    `fields_optional` says whether it was trained to go on in hours, or altogether, without them.
    """

    network: torch.nn.Module
    kind: str
    settings: GraphSettings = GraphSettings()
    weather: WeatherInputs = WeatherInputs()
    calibration: Calibration | None = None
    fields_optional: bool = True
    name: str = ""
    co_pollutants: int | None = None

    def __post_init__(self) -> None:
        self.name = self.name or self.kind

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what it reads besides pollutants."""
        return self.weather.names

    @property
    def history(self) -> int:
        """Hours before the first target hour."""
        return KINDS[self.kind].history

    @property
    def future(self) -> int:
        """And after the last."""
        return KINDS[self.kind].future

    def fit(self, stations: xr.Dataset) -> Self:
        """Returns itself: training is `aqreanalysis train`, a checkpoint comes fitted."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 and its standard error, (time, point) in ug m-3, at the targets' hours; bounds if calibrated.

        NaN in hours in which no station reported. Where no station is in reach, the estimate is what the weather and
        the network's constants say. The standard error is raw: that of a copy of the nearest station.
        """
        schema.check_targets(targets)
        return self.prepare(stations, targets.time.values, fields).at(targets)

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """What stations send is computed day by day, as places are asked.

        ValueError where the network reads fields, was not trained to do without, and gets none.
        """
        schema.check_station_cube(stations)
        if fields is None and self.fields and not self.fields_optional:
            raise ValueError(f"{self.name} reads the fields {', '.join(self.fields)}")
        if not stations.sizes[schema.STATION] or not len(hours):
            return Silent(calibrated=self.calibration is not None)
        return PreparedGraph(self, stations, fields)


@dataclass(frozen=True)
class StationDay:
    """What stations sent on a local day, and in which of its hours (24,) any reported."""

    among: Among
    reported: np.ndarray


@dataclass
class PreparedGraph:
    """A model, the stations and the fields. What stations sent on the last days, and the last places' edges, are
    kept: a grid is asked week by week."""

    model: GraphModel
    stations: xr.Dataset
    weather: xr.Dataset | None
    _days: OrderedDict[np.datetime64, StationDay] = field(default_factory=OrderedDict)
    _places: tuple[np.ndarray, np.ndarray, list] | None = None
    _links: Links | None = None

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """The estimate at some of the hours that were prepared; see GraphModel.predict."""
        import torch

        hours, calibration = targets.time.values, self.model.calibration
        found = np.full((2 if calibration is None else 4, len(hours), targets.sizes[schema.POINT]), np.nan, np.float32)
        days = time_axis.local_days(hours)
        with torch.inference_mode():
            for day in np.unique(days):
                rows = np.flatnonzero(days == day)
                of_day = ((hours[rows] - _first(day)) / HOUR).astype(int)
                sent = self._day(day)
                for points, lat, lon, links, sites in self._parts(targets.lat.values, targets.lon.values):
                    estimate = self._estimates(day, sent, links, lat, lon)[of_day]
                    error = raw_error(estimate, sites.distance)
                    made = (error,) if calibration is None else calibration.hourly.apply(
                        estimate, error, sites, days[rows][:, None])
                    found[:, rows, points] = np.stack([estimate, *made])
                found[:, rows[~sent.reported[of_day]]] = np.nan
        return schema.make_estimate(targets, *found)

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """Messages travel from station to station: every one may take part."""
        return Supporters(*geo.nearest(self.stations.lat.values, self.stations.lon.values, lat, lon, LISTED), None)

    @property
    def _kind(self) -> Kind:
        return KINDS[self.model.kind]

    def _day(self, day: np.datetime64) -> StationDay:
        """What stations send on a day; computed once."""
        import torch

        if day not in self._days:
            kind, settings = self._kind, self.model.settings
            lat, lon = self.stations.lat.values, self.stations.lon.values
            if self._links is None:
                edges = edges_between(lat, lon, lat, lon, kind.reach_km(settings), among=True)
                self._links = kind.links(edges, settings)
            observed = self.stations[schema.TARGET].reindex(time=_hours(day, kind.before, kind.after)).values.T[None]
            inputs, wind = self._inputs(day, lat, lon)
            among = kind.exchange(self._links, torch.from_numpy(np.isfinite(observed)), wind)
            kind.run(self.model.network, inputs, torch.from_numpy(kind.value(observed, settings)), among)
            inner = observed[0, :, kind.before:kind.before + HOURS_PER_DAY]
            self._days[day] = StationDay(among, np.isfinite(inner).any(axis=0))
            while len(self._days) > DAYS_KEPT:
                self._days.popitem(last=False)
        return self._days[day]

    def _inputs(self, day: np.datetime64, lat: np.ndarray, lon: np.ndarray):
        """What is read of the fields at places, and the wind (1, 24, places, 2) or None; without weather the clock is
        everybody's."""
        import torch

        weather, hours, places = self.model.weather, _hours(day, self._kind.fields_before), len(lat)
        if not weather.names:
            lat, lon = lat[:1], lon[:1]
        values = weather.at(self.weather, hours, lat, lon)
        inputs = PlaceInputs.of(weather.as_inputs(values, hours).swapaxes(0, 1)[None], places)
        wind = weather.wind_of(values[self._kind.fields_before:])
        return inputs, None if wind is None else torch.from_numpy(wind)[None]

    def _parts(self, lat: np.ndarray, lon: np.ndarray) -> list:
        """Targets some thousand at a time: which, where, their edges, and their sites."""
        if self._places is None or not (np.array_equal(lat, self._places[0]) and np.array_equal(lon, self._places[1])):
            kind, settings = self._kind, self.model.settings
            own = self.stations.lat.values, self.stations.lon.values
            parts = []
            for start in range(0, len(lat), TARGETS_AT_ONCE):
                points = slice(start, start + TARGETS_AT_ONCE)
                edges = edges_between(*own, lat[points], lon[points], kind.reach_km(settings))
                distance = geo.nearest(*own, lat[points], lon[points], 1)[1][:, 0]
                parts.append((points, lat[points], lon[points], kind.links(edges, settings),
                              Sites.of(lat[points], lon[points], distance)))
            self._places = (lat, lon, parts)
        return self._places[2]

    def _estimates(self, day: np.datetime64, sent: StationDay, links: Links, lat: np.ndarray,
                   lon: np.ndarray) -> np.ndarray:
        """Estimates (24, points) of a day."""
        import torch

        from aqreanalysis.models.graph.links import Towards

        kind, settings = self._kind, self.model.settings
        nothing = np.full((1, len(lat), kind.before + HOURS_PER_DAY + kind.after), np.nan)
        inputs, _ = self._inputs(day, lat, lon)
        output = kind.run(self.model.network, inputs, torch.from_numpy(kind.value(nothing, settings)),
                          Towards(links, sent.among))
        return kind.concentration(output, settings)[0].T.clamp(min=0.0).numpy()


def _first(day: np.datetime64) -> np.datetime64:
    return time_axis.first_hours(np.array([day]))[0]


def _hours(day: np.datetime64, before: int, after: int = 0) -> np.ndarray:
    """The hours of a local day, with some before and after."""
    return (_first(day) + np.arange(-before, HOURS_PER_DAY + after) * HOUR).astype("datetime64[ns]")


def raw_error(estimate: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Standard error (time, points) of a copy of a station so far away, distance (points,) in km."""
    copied = np.sqrt(2.0 * (1.0 - Correlation().between(distance)))
    return np.maximum(geostatistics.assumed_spread(estimate) * copied, LEAST_ERROR).astype(np.float32)
