"""Latitude and longitude of a NetCDF file or a Zarr store, as CF, WRF and others name them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError, first_few
from aqreanalysis.grids.kinds import STORE

MOST_NAMES = 20  # of variables, in an error


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
# Where no attribute names the bounds: xESMF has lat_b, NEMO bounds_lat, CMIP vertices_latitude, WPS XLAT_C of XLAT_M.
BOUNDS_NAMES = ("{}_b", "{}_bnds", "{}_bounds", "{}_vertices", "{}_corners", "bounds_{}", "vertices_{}", "{}_c")
STATION_NAMES = ("station_id", "station", "station_name", "station_code", "site_id", "site")


@dataclass(frozen=True)
class Coordinate:
    """Values of one coordinate, 1-D or 2-D, and its dimensions.

    `bounds` are edges of each cell, (n, 2) or (ny, nx, 4), or shared ones, (n + 1,) or (ny + 1, nx + 1), or None.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    bounds: np.ndarray | None


def read_coordinates(path: Path) -> tuple[Coordinate, Coordinate]:
    """Latitude and longitude of a file. Dimensions along which neither changes, as time and layer, are dropped.

    Raises
    ------
    UserError : where one of them is missing, occurs more than once, or changes along a third dimension.
    """
    with _open_grid_file(path, decode_coords=False) as dataset:
        return coordinates_of(dataset, path)


def coordinates_of(dataset: xr.Dataset, path: Path) -> tuple[Coordinate, Coordinate]:
    """As of :func:`read_coordinates`, of a Dataset; `path` is what errors name."""
    names = [_find_variable(dataset, signs, path) for signs in (LATITUDE, LONGITUDE)]
    fixed = _fixed_dimensions(dataset[names[0]].variable, dataset[names[1]].variable, path)
    lat, lon = (_coordinate(dataset, name, fixed, path) for name in names)
    if lat.dims != lon.dims and sorted(lat.dims) == sorted(lon.dims):  # one of them is stored transposed
        lon = Coordinate(lon.values.T, lat.dims, lon.bounds if lon.bounds is None else np.swapaxes(lon.bounds, 0, 1))
    return lat, lon


def read_station_ids(path: Path, dimension: str) -> tuple[str, ...] | None:
    """Names of the stations along a dimension, by CF's cf_role or a usual name; None where the file has none.

    Raises UserError where a name is empty or repeated.
    """
    with _open_grid_file(path) as dataset:
        return station_ids_of(dataset, dimension, path)


def station_ids_of(dataset: xr.Dataset, dimension: str, path: Path) -> tuple[str, ...] | None:
    """As of :func:`read_station_ids`, of a Dataset; `path` is what errors name."""
    along = {str(name): v for name, v in dataset.variables.items()
             if v.dims == (dimension,) and v.dtype.kind in "OSTUiu"}
    chosen = [name for name, v in along.items() if v.attrs.get("cf_role") == "timeseries_id"]
    chosen += [name for usual in STATION_NAMES for name in along if name.lower() == usual]
    if not chosen:
        return None
    found = tuple(_text(value) for value in along[chosen[0]].values)
    if wrong := [name for name, count in Counter(found).items() if count > 1 or not name]:
        raise UserError(f"{path}: {chosen[0]} {wrong[0]!r} is empty or repeated.", "Every point has a name of its own.")
    return found


def _text(value: object) -> str:
    """A name, which another program may have stored as bytes, padded."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "").strip()


def _open_grid_file(path: Path, decode_coords: bool = True) -> xr.Dataset:
    engine = "zarr" if path.is_dir() or path.suffix == STORE else "netcdf4"
    return xr.open_dataset(path, engine=engine, chunks=None, decode_times=False, decode_coords=decode_coords)


def _bounds_name(dataset: xr.Dataset, name: str) -> str | None:
    """The variable with the bounds of another, by the attribute, else by its name."""
    if (declared := dataset.variables[name].attrs.get("bounds")) in dataset.variables:
        return str(declared)
    stem = name.lower().removesuffix("_m")
    lower = {str(other).lower(): str(other) for other in dataset.variables}
    return next((lower[found] for form in BOUNDS_NAMES if (found := form.format(stem)) in lower), None)


def _find_variable(dataset: xr.Dataset, signs: CoordinateSigns, path: Path) -> str:
    bounds = {_bounds_name(dataset, str(name)) for name in dataset.variables}
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
    of_cmaq = "Of a CMAQ run, give its GRIDCRO2D file, which has LAT and LON." if "XORIG" in dataset.attrs else ""
    scalars = [str(name) for name, v in dataset.variables.items() if not v.ndim]
    if single := [name for name in scalars if name.lower() in signs.names]:
        raise UserError(f"{path}: {single[0]} is a single number.", "A grid has cells.",
                        "A place goes into a .csv with the header station_id,lon,lat.")
    raise UserError(f"{path} has no {signs.standard_name}; it has {_listed(dataset)}.",
                    f"It is found by its standard_name, its name ({', '.join(signs.names)}) or its units "
                    f"({signs.units[0]}).", of_cmaq)


def _listed(dataset: xr.Dataset) -> str:
    names = [str(name) for name in dataset.variables]
    return first_few(names, MOST_NAMES) or "no variable outside groups"


def _fixed_dimensions(lat: xr.Variable, lon: xr.Variable, path: Path) -> list[str]:
    """Dimensions to be dropped: of length 1, or along which neither coordinate changes.

    They are sought from the left. A last row or column of a grid, of length 1, is kept.
    """
    left = {"latitude": list(map(str, lat.dims)), "longitude": list(map(str, lon.dims))}
    fixed: list[str] = []
    for dim in dict.fromkeys(left["latitude"] + left["longitude"]):
        one, other = left.values()
        if len(one) == len(other) == 1:
            break
        is_row = sorted(one) == sorted(other) and len(one) == 2 and lat.sizes[dim] == 1
        along = [of for of in (lat, lon) if dim in of.dims]
        if not is_row and all(_ends_alike(of, dim) for of in along) and all(_is_constant(of, dim) for of in along):
            fixed.append(dim)
            left = {name: [d for d in dims if d != dim] for name, dims in left.items()}
    for name, dims in left.items():
        if len(dims) > 2:
            raise UserError(f"{path}: {name} changes along {dims[0]}.", "A grid has fixed coordinates.",
                            f"Choose the file of a nest that does not move, or `ncks -d {dims[0]},0 IN.nc OUT.nc`.")
    return fixed


def _ends_alike(variable: xr.Variable, dim: str) -> bool:
    """Whether the first step is the last one: what nearly all dimensions of a grid are found out by."""
    return np.array_equal(variable.isel({dim: 0}).values, variable.isel({dim: -1}).values, equal_nan=True)


def _is_constant(variable: xr.Variable, dim: str) -> bool:
    """Whether nothing changes along a dimension; a step at a time, since a run may have thousands."""
    first = variable.isel({dim: 0}).values
    return all(np.array_equal(first, variable.isel({dim: step}).values, equal_nan=True)
               for step in range(1, variable.sizes[dim]))


def _coordinate(dataset: xr.Dataset, name: str, fixed: list[str], path: Path) -> Coordinate:
    variable = dataset[name].variable
    if not str(variable.attrs.get("units", "degrees")).lower().startswith("degree"):
        raise UserError(f"{path}: {name} is in {variable.attrs['units']}.", "Coordinates are degrees.")
    variable = variable.isel(dict.fromkeys(set(fixed) & set(variable.dims), 0))
    bounds_name = _bounds_name(dataset, name)
    bounds = None
    if bounds_name is not None:
        bounds = _bounds_of(variable, dataset[bounds_name].variable, fixed)
        forms = (*variable.shape, 2 ** variable.ndim), tuple(size + 1 for size in variable.shape)
        if bounds.shape not in forms:
            raise UserError(f"{path}: {bounds_name}, the bounds of {name}, have the shape {bounds.shape}.",
                            f"Of {variable.shape} cells they have {forms[0]}, or {forms[1]} corners.",
                            f"Without them, cells end halfway between centres: `ncks -C -x -v {bounds_name} IN.nc "
                            f"OUT.nc` and `ncatted -a bounds,{name},d,, OUT.nc`.")
    return Coordinate(variable.values, tuple(map(str, variable.dims)), bounds)


def _bounds_of(variable: xr.Variable, stored: xr.Variable, fixed: list[str]) -> np.ndarray:
    """Bounds without the dimensions that their coordinate lost, its own first, and no others of length 1."""
    lost = [dim for dim in stored.dims
            if dim in fixed or (dim not in variable.dims and stored.sizes[dim] == 1)]
    stored = stored.isel(dict.fromkeys(lost, 0))
    if set(variable.dims) <= set(stored.dims):
        stored = stored.transpose(*variable.dims, ...)
    return stored.values
