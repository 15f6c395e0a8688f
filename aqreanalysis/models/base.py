"""The one interface of every model.

>>> import numpy as np
>>> from aqreanalysis import schema
>>> class Seven:
...     '''The smallest model: 7 ug m-3 everywhere.'''
...     name, history, future = "seven", 0, 0
...     def fit(self, stations):
...         return self
...     def predict(self, stations, targets):
...         shape = (targets.sizes["time"], targets.sizes["point"])
...         return schema.make_estimate(targets, np.full(shape, 7.0), np.zeros(shape))
>>> cube = schema.mock_station_cube(hours=24)
>>> targets = schema.make_targets(cube.time, lat=[38.0], lon=[115.0])
>>> isinstance(Seven(), Model)
True
>>> Seven().fit(cube).predict(cube, targets).pm25.shape
(24, 1)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr

from aqreanalysis import schema


@runtime_checkable
class Model(Protocol):
    """`stations` is all that may be known; `targets` says where (lat, lon on point) and when (time).

    Gridding, withheld stations, gap filling and forecasts are one method; what is not in `stations`
    can not leak into an estimate.
    """

    name: str
    history: int  # hours of `stations` needed before the first target hour
    future: int   # and after the last

    def fit(self, stations: xr.Dataset) -> Model:
        """The model, ready to predict; most have nothing to fit."""

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """`pm25` and `pm25_standard_error` (time, point) in ug m-3, NaN where nothing is known."""


def read(model: Model, stations: xr.Dataset, hours: np.ndarray) -> Callable:
    """A function of points (lat, lon in degrees) that gives a function from some of the hours to the estimate.

    A model that has `read(stations, hours)` does what does not depend on the points once.
    """
    if hasattr(model, "read"):
        return model.read(stations, hours).over
    return lambda lat, lon: lambda some: model.predict(stations, schema.make_targets(some, lat, lon))
