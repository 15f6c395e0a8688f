"""`aqreanalysis simulate`: the twin's observations, or its weather, as files, for work and tests without an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import __version__, files, schema
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.simulation.weather import TwinFields
from aqreanalysis.time_axis import HOUR, Period, complete_hours, parse_period

ELSEWHERE = "choose another folder with --out."
FIELDS_MARGIN_HOURS = 72  # before and after the period: what a model reads besides


def simulate(out: str | Path, start: str, end: str, seed: int = 0) -> list[Path]:
    """Write the twin's observations as tidy Parquet, one file a month, into the folder `out`; returns their paths.

    start, end : first and last day YYYY-MM-DD, UTC+8. Every row says that it is simulated.

    Raises
    ------
    UserError : for days that are none, and a seed that is none.
    """
    return list(write_observations(parse_period(None, start, end), files.folder_named(str(out), "out"), seed))


def write_observations(period: Period, folder: Path, seed: int) -> Iterator[Path]:
    """Write one tidy Parquet file a month; yields each path once its file is whole."""
    archive = TwinArchive(seed)
    for month in period.months():
        cube = archive.read(month.hours[0], month.hours[-1])
        rows = cube[list(schema.POLLUTANTS)].to_dataframe().reset_index()
        rows = rows.rename(columns={"station": "station_id"})[["station_id", "time", "lon", "lat", *schema.POLLUTANTS]]
        rows["time"] = pd.DatetimeIndex(rows["time"]).tz_localize("UTC")
        rows["simulated"] = True  # the reader passes it on to every product made of these rows
        path = folder / f"simulated_observations_{month.first:%Y%m}.parquet"
        with files.whole(path, ELSEWHERE) as part:
            rows.to_parquet(part, index=False)
        yield path


def write_fields(period: Period, folder: Path, seed: int, lies: bool = False) -> Iterator[Path]:
    """Write the twin's weather and optical depth, one CF file a month with hours before and after the period, which
    models read; yields each path once its file is whole."""
    source, months = TwinFields(seed, lies), period.months()
    area = source.area
    for month in months:
        first = month.hours[0] - FIELDS_MARGIN_HOURS * HOUR * (month == months[0])
        last = month.hours[-1] + FIELDS_MARGIN_HOURS * HOUR * (month == months[-1])
        fields = source.read(complete_hours(first, last), source.stored, [area.south, area.north],
                             [area.west, area.east])
        path = folder / f"simulated_fields_{month.first:%Y%m}.nc"
        with files.whole(path, ELSEWHERE) as part:
            _as_cf(fields).to_netcdf(part, engine="netcdf4", encoding={
                str(name): {"zlib": True, "complevel": 1, "dtype": "float32", "_FillValue": np.float32(np.nan)}
                for name in fields.data_vars} | {name: {"_FillValue": None} for name in (schema.LAT, schema.LON)})
        yield path


def _as_cf(fields: xr.Dataset) -> xr.Dataset:
    """With the bounds of hours, and what says that it is simulated."""
    time = fields[schema.TIME].values
    found = fields.assign(time_bnds=((schema.TIME, "bnds"), np.stack([time - HOUR, time], axis=1)))
    found[schema.TIME].attrs = {"standard_name": "time", "bounds": "time_bnds", "comment": "END of the hour, UTC"}
    found[schema.LAT].attrs = {"standard_name": "latitude", "units": "degrees_north"}
    found[schema.LON].attrs = {"standard_name": "longitude", "units": "degrees_east"}
    found[schema.TIME].encoding = {"units": "hours since 1970-01-01", "dtype": "int32"}
    return found.assign_attrs({"Conventions": "CF-1.11", "title": "SIMULATED weather of the twin", "simulated": "true",
                               "history": f"aqreanalysis {__version__} simulate"})
