"""What stations observed on the days of a month, beside the product: its report draws it against the estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import files, schema
from aqreanalysis.output import cf
from aqreanalysis.output.cf import About
from aqreanalysis.time_axis import HOURS_PER_DAY, Period, last_hours

NAMES = {"station_name": "name of the station", "station_city": "city of the station"}
COMPRESSED = {"zlib": True, "complevel": 4, "shuffle": True}


@dataclass(frozen=True)
class ObservedDays:
    """Daily means of stations; what a station has no row of is NaN, and 0 hours."""

    station: np.ndarray   # str (stations,)
    name: np.ndarray      # str (stations,), "" where it is not known
    city: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    pm25: np.ndarray      # float32 (days, stations), ug m-3
    hours: np.ndarray     # int8 (days, stations): hours of 24 with a value that passed quality control


def write_observed(path: Path, cube: xr.Dataset, month: Period, minimum_hours: int, about: About) -> None:
    """The days of a month from its screened station cube.

    A day with fewer than `minimum_hours` usable hours has no mean.
    """
    values = cube[schema.TARGET].sel({schema.TIME: month.hours}).values
    values = values.reshape(month.n_days, HOURS_PER_DAY, -1)
    there = np.isfinite(values)
    hours = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1, dtype=np.float64)
    means = np.where(hours >= minimum_hours, total / np.maximum(hours, 1), np.nan).astype(np.float32)
    data = _dataset(cube, month, means, hours.astype(np.int8)).assign_attrs(_attributes(about))
    encoding = {str(name): {"dtype": "S1"} if array.dtype.kind in "UO" else
                COMPRESSED | {"_FillValue": np.float32(np.nan) if name == schema.TARGET else None}
                if array.ndim == 2 else {"_FillValue": None} for name, array in data.variables.items()}
    path.parent.mkdir(exist_ok=True)
    with files.whole(path) as part:
        data.to_netcdf(part, engine="netcdf4", encoding=encoding)


def _dataset(cube: xr.Dataset, month: Period, means: np.ndarray, hours: np.ndarray) -> xr.Dataset:
    days = np.array(month.days(), "datetime64[D]")
    coords: dict[str, Any] = {
        "station_id": (schema.STATION, _text(cube[schema.STATION].values),
                       {"cf_role": "timeseries_id", "long_name": "station"}),
        schema.LAT: (schema.STATION, cube.lat.values, {"standard_name": "latitude", "units": "degrees_north"}),
        schema.LON: (schema.STATION, cube.lon.values, {"standard_name": "longitude", "units": "degrees_east"}),
        schema.TIME: (schema.TIME, cf.hours_since_epoch(last_hours(days)), {
            "standard_name": "time", "units": cf.EPOCH_UNITS, "calendar": "standard",
            "long_name": "end of the calendar day UTC+8, in UTC"})}
    coords |= {name: (schema.STATION, _text(cube[name].values), {"long_name": words})
               for name, words in NAMES.items() if name in cube.coords}
    dims, at = (schema.TIME, schema.STATION), {"coordinates": f"station_id lat lon {' '.join(NAMES)}"}
    return xr.Dataset({
        schema.TARGET: (dims, means, {
            "standard_name": schema.STANDARD_NAMES[schema.TARGET], "units": schema.UNITS[schema.TARGET],
            "long_name": "observed daily mean mass concentration of PM2.5", "cell_methods": "time: mean"} | at),
        cf.HOURS_USED: (dims, hours, {
            "units": "1", "long_name": "hours of the day with a value that passed quality control"} | at)}, coords)


def _text(values: np.ndarray) -> np.ndarray:
    return np.array(["" if value is None or value != value else str(value) for value in values], str)


def _attributes(about: About) -> dict[str, Any]:
    mark = "SIMULATED " if about.simulated else ""
    return {"Conventions": "CF-1.11", "featureType": "timeSeries",
            "title": f"{mark}PM2.5 as observed on days of {about.product}, {about.grid_name}",
            "source": f"{mark}Observations: {about.observations}",
            "simulated": "true" if about.simulated else "false", "reference_state": about.reference_state,
            "comment": "What the product was made from, after its quality control. The observations keep the terms of "
                       "their publisher.", "history": about.history}


def read_observed(paths: Sequence[tuple[Path, Period]]) -> ObservedDays | None:
    """All days of months in their order, of every station of any of them.

    paths : file and period of each month; None where one is not there, or no station.
    """
    if not all(path.exists() for path, _ in paths):
        return None
    months = [(_read(path), month.n_days) for path, month in paths]
    found: dict[str, tuple[str, str, float, float]] = {}
    for data, _ in months:
        found |= dict(zip(data.station.tolist(), zip(data.name, data.city, data.lat, data.lon, strict=True),
                          strict=True))
    if not found:
        return None
    ids = sorted(found)
    shape = (sum(days for _, days in months), len(ids))
    pm25, hours, first = np.full(shape, np.nan, np.float32), np.zeros(shape, np.int8), 0
    place = {station: number for number, station in enumerate(ids)}
    for data, days in months:
        columns = [place[station] for station in data.station.tolist()]
        pm25[first:first + days, columns], hours[first:first + days, columns] = data.pm25, data.hours
        first += days
    name, city, lat, lon = zip(*(found[station] for station in ids), strict=True)
    return ObservedDays(np.array(ids), np.array(name), np.array(city), np.array(lat), np.array(lon), pm25, hours)


def _read(path: Path) -> ObservedDays:
    with xr.open_dataset(path, engine="netcdf4", decode_times=False) as file:
        empty = np.zeros(file.sizes[schema.STATION], "U1")
        station, name, city = (_decoded(file[name].values) if name in file else empty
                               for name in ("station_id", "station_name", "station_city"))
        return ObservedDays(station, name, city, file.lat.values, file.lon.values, file[schema.TARGET].values,
                            file[cf.HOURS_USED].values.astype(np.int8))


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.array([value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values], str)
