"""Latitude and longitude of a NetCDF file or a Zarr store, as CF, WRF and others name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError

STORE = ".zarr"  # how the name of a Zarr store ends


@dataclass(frozen=True)
class CoordinateSigns:
    """By what a latitude, or a longitude, is recognised in files; the most reliable sign first."""

    standard_name: str
    names: tuple[str, ...]
    units: tuple[str, ...]


LATITUDE = CoordinateSigns("latitude", ("lat", "latitude", "xlat", "xlat_m", "nav_lat"),
                           ("degrees_north", "degree_north", "degrees_n", "degree_n"))
LONGITUDE = CoordinateSigns("longitude", ("lon", "longitude", "xlong", "xlong_m", "nav_lon"),
                            ("degrees_east", "degree_east", "degrees_e", "degree_e"))


@dataclass(frozen=True)
class Coordinate:
    """Values of one coordinate, 1-D or 2-D, its dimensions, and its bounds, (..., vertices), or None."""

    values: np.ndarray
    dims: tuple[str, ...]
    bounds: np.ndarray | None


def read_coordinates(path: Path) -> tuple[Coordinate, Coordinate]:
    """Latitude and longitude of a file.

    Raises
    ------
    UserError : where one of them is missing, occurs more than once, or changes with time.
    """
    with _open_grid_file(path, decode_coords=False) as dataset:
        return _coordinate(dataset, LATITUDE, path), _coordinate(dataset, LONGITUDE, path)


def read_station_ids(path: Path, dimension: str) -> tuple[str, ...] | None:
    """Names of the stations along a dimension (CF: cf_role timeseries_id); None where the file has none."""
    with _open_grid_file(path) as dataset:
        for variable in dataset.variables.values():
            if variable.attrs.get("cf_role") == "timeseries_id" and variable.dims == (dimension,):
                return tuple(str(name) for name in variable.values.astype(object))
    return None


def _open_grid_file(path: Path, decode_coords: bool = True) -> xr.Dataset:
    engine = "zarr" if path.suffix == STORE else "netcdf4"
    return xr.open_dataset(path, engine=engine, chunks=None, decode_times=False, decode_coords=decode_coords)


def _find_variable(dataset: xr.Dataset, signs: CoordinateSigns, path: Path) -> str:
    bounds = {variable.attrs.get("bounds") for variable in dataset.variables.values()}
    variables = {str(name): v for name, v in dataset.variables.items() if v.ndim and name not in bounds}
    by_sign = ([name for name, v in variables.items() if v.attrs.get("standard_name") == signs.standard_name],
               [name for name in variables if name.lower() in signs.names],
               [name for name, v in variables.items() if str(v.attrs.get("units", "")).lower() in signs.units])
    for found in by_sign:
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{path} has several variables of {signs.standard_name}: {', '.join(found)}.",
                            "A grid file has one.",
                            f"`ncks -C -x -v {found[-1]} IN.nc OUT.nc` takes one out.")
    raise UserError(f"{path} has no {signs.standard_name}; it has {', '.join(map(str, dataset.variables))}.",
                    f"It is found by its standard_name, its name ({', '.join(signs.names)}) or its units "
                    f"({signs.units[0]}).")


def _coordinate(dataset: xr.Dataset, signs: CoordinateSigns, path: Path) -> Coordinate:
    name = _find_variable(dataset, signs, path)
    variable = dataset[name].variable
    if not str(variable.attrs.get("units", "degrees")).lower().startswith("degree"):
        raise UserError(f"{path}: {name} is in {variable.attrs['units']}.", "Coordinates are degrees.")
    values, dims = _without_time(variable.values, name, path), tuple(map(str, variable.dims[-2:]))
    stored, bounds = dataset.variables.get(variable.attrs.get("bounds")), None
    if stored is not None:
        bounds = stored.values[0] if stored.ndim == variable.ndim + 1 == 4 else stored.values
        if bounds.shape != (*values.shape, 2 ** values.ndim):
            raise UserError(f"{path}: the bounds of {name} have the shape {bounds.shape}.",
                            f"They have {2 ** values.ndim} for each of {values.shape} cells.")
    return Coordinate(values, dims, bounds)


def _without_time(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """WRF repeats its coordinates for every time: (time, y, x) becomes (y, x) where they are constant."""
    if values.ndim == 3 and len(values):
        if not np.array_equal(values, np.broadcast_to(values[:1], values.shape), equal_nan=True):
            raise UserError(f"{path}: {name} changes with time.", "A grid has fixed coordinates.",
                            "Choose the file of a nest that does not move.")
        return values[0]
    if values.ndim > 2:
        raise UserError(f"{path}: {name} has the shape {values.shape}.", "It has one or two dimensions.")
    return values
