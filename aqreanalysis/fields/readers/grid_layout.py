"""What a layout of gridded files tells of a file: which variable is which field, and what its steps mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.hours import HOUR_S
from aqreanalysis.fields.variables import FIELDS, INSTANT, MEAN, SUM
from aqreanalysis.grids.netcdf import LATITUDE, LONGITUDE, CoordinateSigns

TIMES = ("valid_time", "time")
EXPVER = "expver"  # of ERA5: 1 is final, 5 preliminary; where it is a dimension, each hour has one of them
_STEP_TYPES = {"instant": INSTANT, "avg": MEAN, "accum": SUM}
_CELL_METHODS = {"point": INSTANT, "mean": MEAN, "sum": SUM}


@dataclass(frozen=True)
class Found:
    """A variable of a file that is a field."""

    variable: str                 # its name in the file
    over_time: str                # INSTANT, MEAN or SUM
    units: str | None
    interval: int | None = None   # s that a mean or sum is of, where it is not the step
    choose: tuple[tuple[str, int], ...] = ()  # dimension -> position: of a height


def _at_the_stamp(dataset: xr.Dataset, time: str) -> int:
    return 0


@dataclass(frozen=True)
class GridLayout:
    """A layout of gridded files.

    `recognises` a file, as xarray opens it; `find` gives its fields by name and sentences to tell; `end_after` is how
    long (s) after its stamp the interval of a mean ends.
    """

    name: str
    layout: str
    recognises: Callable[[xr.Dataset], bool]
    find: Callable[[xr.Dataset, str], tuple[dict[str, Found], list[str]]]
    end_after: Callable[[xr.Dataset, str], int] = _at_the_stamp


@dataclass(frozen=True)
class Axes:
    """The axes of a file: names of its dimensions, stamps in s since 1970, and degrees."""

    time: str
    lat: str
    lon: str
    stamps: np.ndarray
    lats: np.ndarray
    lons: np.ndarray


def axes_of(dataset: xr.Dataset, where: str) -> Axes:
    """The axes of a file of a regular grid.

    Raises UserError where it has none, or a calendar of its own.
    """
    lat, lon = (_axis(dataset, signs, where) for signs in (LATITUDE, LONGITUDE))
    times = [str(name) for name, of in dataset.coords.items() if of.dtype.kind == "M" and of.ndim <= 1
             and "forecast_reference_time" not in str(of.attrs.get("standard_name", ""))]
    preferred = [name for name in TIMES if name in times] or times
    if not preferred:
        raise UserError(f"{where} has no time.", "It is a coordinate in hours, minutes or seconds since a date, in the "
                        "standard calendar.", "`ncdump -h FILE` shows what it has.")
    time = dataset[preferred[0]]
    stamps = np.atleast_1d(time.values).astype("datetime64[s]").astype(np.int64)
    along = str(time.dims[0]) if time.ndim else preferred[0]
    return Axes(along, lat, lon, stamps, dataset[lat].values.astype(float), dataset[lon].values.astype(float))


def _axis(dataset: xr.Dataset, signs: CoordinateSigns, where: str) -> str:
    found = [str(name) for name, of in dataset.variables.items()
             if of.attrs.get("standard_name") == signs.standard_name or str(name).lower() in signs.names]
    if not found or dataset[found[0]].dims != (found[0],):
        raise UserError(f"{where} has no {signs.standard_name} along a dimension.",
                        "Fields lie on a grid of latitudes and longitudes.",
                        "Bring others onto one: `cdo remapbil,r720x360 IN.nc OUT.nc`, or fewer cells of your region.")
    return found[0]


def by_name(dataset: xr.Dataset) -> dict[str, str]:
    """Field -> variable, by the names that gridded files have for it."""
    lower = {str(name).lower(): str(name) for name in dataset.data_vars}
    return {name: lower[known] for name, of in FIELDS.items() for known in (name, *of.names)[::-1] if known in lower}


def over_time(of: xr.DataArray, otherwise: str) -> str:
    """Whether values are of instants, means or sums, by `GRIB_stepType` or `cell_methods`, else as a layout has it."""
    if (kind := _STEP_TYPES.get(str(of.attrs.get("GRIB_stepType")))) is not None:
        return kind
    words = str(of.attrs.get("cell_methods", "")).replace(":", " ").split()
    if "time" in words and (place := words.index("time") + 1) < len(words):
        return _CELL_METHODS.get(words[place], otherwise)
    return otherwise


def to_the_end(dataset: xr.Dataset, time: str) -> int:
    """From a stamp to the end of its interval, s: by the bounds of time; half an hour where all stamps are half hours;
    else nothing."""
    of = dataset[time]
    bounds = of.attrs.get("bounds", of.encoding.get("bounds"))
    if bounds in dataset.variables and dataset[bounds].dtype.kind == "M":
        ends = dataset[bounds].values.reshape(-1, 2).max(axis=1).astype("datetime64[s]").astype(np.int64)
        after = np.unique(ends - np.atleast_1d(of.values).astype("datetime64[s]").astype(np.int64))
        if after.size == 1:
            return int(after[0])
    stamps = np.atleast_1d(dataset[time].values).astype("datetime64[s]").astype(np.int64)
    return HOUR_S // 2 if stamps.size and (stamps % HOUR_S == HOUR_S // 2).all() else 0
