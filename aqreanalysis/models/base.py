"""The one interface of every model.

`stations` is all that may be known, `targets` a template of where and when, `fields` what a model reads besides
pollutants. Gridding, withheld stations, gap filling and forecasts are one method; what is not passed in can not leak
into an estimate. A model without anything to prepare inherits :class:`PointwiseModel` and writes `predict`:

>>> import numpy as np
>>> from aqreanalysis import schema
>>> class Seven(PointwiseModel):
...     '''The smallest model: 7 ug m-3 everywhere, give or take 1.'''
...     name = "seven"
...     def predict(self, stations, targets, fields=None):
...         shape = (targets.sizes["time"], targets.sizes["point"])
...         return schema.make_estimate(targets, np.full(shape, 7.0), np.ones(shape))
>>> cube = schema.mock_station_cube(hours=24)
>>> targets = schema.make_targets(cube.time, lat=[38.0], lon=[115.0])
>>> isinstance(Seven(), Model)
True
>>> Seven().fit(cube).predict(cube, targets).pm25.shape
(24, 1)
>>> Seven().prepare(cube, cube.time.values).at(targets).equals(Seven().predict(cube, targets))
True
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.models.calibration import Calibration


@dataclass(frozen=True)
class Supporters:
    """The stations that an estimate may be made from, for each of n targets; which of them take part depends on the
    hour.

    In an hour, the first `at_most` of those that reported take part, nearest first; with `at_most` None every station
    of the network that reported does, also those that are not listed.
    """

    index: np.ndarray     # int64 (n, m), into the stations, nearest first
    distance: np.ndarray  # (n, m), km
    at_most: int | None


@runtime_checkable
class Prepared(Protocol):
    """A model and what it has read of the stations, for some hours; it can be asked at any places."""

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """The estimate at targets, whose hours are among those that were prepared: as `Model.predict`.

        An estimate does not depend on which other targets are asked with it.
        """

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """The stations that estimates at places (points,), in degrees, may be made from."""


class ReadsFields(Protocol):
    """What of a model, or of its description, says which observations and fields it reads."""

    @property
    def name(self) -> str:
        """In tables, files and messages."""

    @property
    def history(self) -> int:
        """Hours of `stations` and `fields` needed before the first target hour."""

    @property
    def future(self) -> int:
        """And after the last."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the variables of `fields` that it reads; empty where it reads pollutants alone."""

    @property
    def fields_optional(self) -> bool:
        """Whether it was trained to go on where `fields` are None or NaN; else these are an error of the caller."""


@runtime_checkable
class Model(ReadsFields, Protocol):
    """What every model has; callers use these members and no others."""

    @property
    def co_pollutants(self) -> int | None:
        """Hours round the targets in which pollutants other than PM2.5 are read; None where they never are."""

    @property
    def calibration(self) -> Calibration | None:
        """Of its standard errors; with one, estimates have bounds."""

    def fit(self, stations: xr.Dataset) -> Self:
        """The model, ready to predict; most have nothing to fit."""

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """`pm25` and `pm25_standard_error` (time, point) in ug m-3, and bounds where there is a calibration.

        Parameters
        ----------
        stations : station cube; any number of stations, none included, in any order.
        targets : lat, lon on `point` and `time`; hours that `stations` does not have are without observations.
        fields : the variables named in `Model.fields`, where there are any: as `FieldSource.read` gives them, on a grid
            or at sites round all stations and targets, for the hours of the targets with `history` and `future`
            (schema.check_fields); `fields.sampling.sample_fields` gives their values at places. NaN where unknown.

        Where nothing is known the estimate and all that belongs to it are NaN; where there is an estimate there is a
        standard error.
        """

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """Do once what does not depend on the places: for all of these hours, UTC stamps (hours,)."""


class PointwiseModel:
    """What models have in common that read the hour of the target alone and have nothing to prepare.

    They write `predict` and, where not every station takes part in every estimate, `supporters`.
    """

    name: str = ""
    history: int = 0
    future: int = 0
    fields: tuple[str, ...] = ()
    fields_optional: bool = False
    co_pollutants: int | None = None
    calibration: Calibration | None = None

    def fit(self, stations: xr.Dataset) -> Self:
        """The model itself: there is nothing to fit."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """As :meth:`Model.predict`."""
        raise NotImplementedError

    def prepare(self, stations: xr.Dataset, hours: np.ndarray, fields: xr.Dataset | None = None) -> Prepared:
        """Nothing is done before the places are known."""
        return Unprepared(self, stations, fields)

    def supporters(self, stations: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """As :meth:`Prepared.supporters`; here every station takes part."""
        index, distance = geo.nearest(stations.lat.values, stations.lon.values, lat, lon, LISTED)
        return Supporters(index, distance, None)


LISTED = 60  # of the nearest stations, where all take part: the class of a target is that of the nearest that reported


@dataclass(frozen=True)
class Unprepared:
    """A :class:`PointwiseModel` with the stations that it was given: `at` is its `predict`."""

    model: PointwiseModel
    stations: xr.Dataset
    fields: xr.Dataset | None = None

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """As :meth:`Prepared.at`."""
        return self.model.predict(self.stations, targets, self.fields)

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """As :meth:`Prepared.supporters`."""
        return self.model.supporters(self.stations, lat, lon)


@dataclass(frozen=True)
class Silent:
    """What is prepared where nothing is known: no value anywhere."""

    calibrated: bool = False  # whether there are bounds, NaN too

    def at(self, targets: xr.Dataset) -> xr.Dataset:
        """As :meth:`Prepared.at`."""
        nothing = np.full((targets.sizes[schema.TIME], targets.sizes[schema.POINT]), np.nan, np.float32)
        return schema.make_estimate(targets, nothing, nothing, *([nothing, nothing] if self.calibrated else []))

    def supporters(self, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """Nobody."""
        return Supporters(np.empty((len(lat), 0), np.int64), np.empty((len(lat), 0)), 0)


def observed_at(stations: xr.Dataset, hours: np.ndarray, name: str = schema.TARGET) -> np.ndarray:
    """A pollutant (hours, station) of a cube at any hours; NaN in those that it does not have.

    Raises ValueError where `stations` is no station cube.
    """
    schema.check_station_cube(stations)
    return stations[name].reindex({schema.TIME: hours}).values


@dataclass(frozen=True)
class WrappedModel:
    """What a model that only adds something to another one says of itself: the same as that one."""

    model: Model

    @property
    def name(self) -> str:
        """As of the model; so are the other properties."""
        return self.model.name

    @property
    def history(self) -> int:
        """See Model."""
        return self.model.history

    @property
    def future(self) -> int:
        """See Model."""
        return self.model.future

    @property
    def fields(self) -> tuple[str, ...]:
        """See Model."""
        return self.model.fields

    @property
    def fields_optional(self) -> bool:
        """See Model."""
        return self.model.fields_optional

    @property
    def co_pollutants(self) -> int | None:
        """See Model."""
        return self.model.co_pollutants

    def fit(self, stations: xr.Dataset) -> Self:
        """With the model fitted."""
        return replace(self, model=self.model.fit(stations))
