"""ERA5 single levels and CAMS, as the data stores of ECMWF give them, NetCDF or GRIB.

The old store has `time`, packed shorts and, near the present, a dimension `expver`; the new one `valid_time`, `number`
and `expver` as strings along time, and puts instants and accumulations into files of their own, in one zip. What is
accumulated (tp, ssrd) is of the hour that ends at the stamp, whatever the step; ERA5-Land's, since 00 UTC, is refused.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.hours import HOUR_S
from aqreanalysis.fields.readers.grid_layout import Found, GridLayout, by_name, over_time
from aqreanalysis.fields.variables import FIELDS, INSTANT

_LAND_HOURS = 48  # that are looked at


def _is_ecmwf(dataset: xr.Dataset) -> bool:
    said = " ".join(str(dataset.attrs.get(key, "")) for key in ("history", "institution", "GRIB_centre"))
    return (any("GRIB_paramId" in of.attrs for of in dataset.data_vars.values())
            or "grib_to_netcdf" in said or "ecmwf" in said.lower() or "valid_time" in dataset.dims
            or any(name in dataset for name in ("aod550",)) and "latitude" in dataset.dims)


def _find(dataset: xr.Dataset, where: str) -> tuple[dict[str, Found], list[str]]:
    found = {}
    for name, variable in by_name(dataset).items():
        of = dataset[variable]
        kind = over_time(of, FIELDS[name].over_time)
        found[name] = Found(variable, kind, of.attrs.get("units"), None if kind == INSTANT else HOUR_S)
        if kind != INSTANT:
            _refuse_land(of, where)
    return found, _preliminary(dataset, where)


def _preliminary(dataset: xr.Dataset, where: str) -> list[str]:
    """A sentence where hours are ERA5T's, which may change."""
    if "expver" not in dataset.variables or dataset["expver"].ndim != 1:
        return []
    numbers = np.array([str(value).strip().lstrip("0") for value in np.ravel(dataset["expver"].values)])
    if "expver" in dataset.dims:
        return [f"{where} has final and preliminary hours (expver 1 and 5); each hour's final value is taken where it "
                "has one"] if numbers.size > 1 else []
    count = int((numbers == "5").sum())
    return [f"{where}: {count:,} of {numbers.size:,} hours are preliminary (expver 5)"] if count else []


def _refuse_land(of: xr.DataArray, where: str) -> None:
    """UserError where accumulations never fall from 01 to 24 UTC, as those of ERA5-Land, and rise at last."""
    time = next((str(name) for name in of.dims if of[name].dtype.kind == "M"), None)
    if time is None or of.sizes[time] < _LAND_HOURS:
        return
    some = of.isel({time: slice(0, _LAND_HOURS)})
    stamps = some[time].values.astype("datetime64[s]").astype(np.int64)
    others = [dim for dim in some.dims if dim != time]
    values = some.mean(others, skipna=True).values.astype(float)
    hour = (stamps % 86400) // HOUR_S
    within = (np.diff(stamps) == HOUR_S) & (hour[1:] != 1)
    steps = np.diff(values)
    tiny = 1e-4 * np.nanmax(np.abs(values), initial=0.0)
    rises = (steps[within] > 10 * tiny).sum()
    if (within.sum() >= _LAND_HOURS - 4 and rises >= 8 and np.nanmin(steps[within]) >= -tiny
            and np.nanmax(steps[~within], initial=-1.0) < 0):
        raise UserError(f"{of.name} of {where} adds up from 00 UTC on.",
                        "Accumulations are those of single hours, as of ERA5 single levels; ERA5-Land's add up over a "
                        "day.", "Get `reanalysis-era5-single-levels`, or leave this variable out.")


ECMWF = GridLayout("ECMWF", "ERA5 single levels and CAMS, NetCDF or GRIB of the old or the new data store", _is_ecmwf,
                   _find)
