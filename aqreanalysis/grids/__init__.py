"""Where a product has estimates: regular grids, curvilinear model grids, lists of points.

>>> grid = parse_grid("0.1deg")
>>> grid.shape, float(grid.axis_lon[0]), float(grid.axis_lat[-1])
((140, 190), 106.05, 42.95)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import files, geo
from aqreanalysis.errors import UserError
from aqreanalysis.grids import cdo, geotiff, kinds, netcdf
from aqreanalysis.grids.boundaries import is_land
from aqreanalysis.grids.overlap import Axes
from aqreanalysis.grids.points import read_points
from aqreanalysis.schema import LAT, LON, REGION_EDGES, REGION_NAME, STATION

MAX_CELLS = 40_000_000  # all of China at 0.01 degree is 22 million
TOO_FAR_KM = 300.0  # from every station: no estimate is possible

_RESOLUTION = re.compile(r"([0-9]*\.?[0-9]+) ?deg")


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells or points, flat in C order; a regular grid runs from south to north and west to east."""

    name: str                     # for file and folder names
    kind: str                     # "regular" | "curvilinear" | "points"
    shape: tuple[int, ...]        # (ny, nx), or (n,) for points
    lat: np.ndarray               # (points,) float64, degrees north
    lon: np.ndarray               # (points,) float64, degrees east, -180 to 180
    lat_bounds: np.ndarray | None  # regular (ny, 2); curvilinear (ny, nx, 4) or None; points None
    lon_bounds: np.ndarray | None  # regular (nx, 2); curvilinear (ny, nx, 4) or None; points None
    land: np.ndarray              # (points,) bool, the centre lies on land
    station_id: tuple[str, ...] | None = None  # points only

    @property
    def dims(self) -> tuple[str, ...]:
        return {"regular": (LAT, LON), "curvilinear": ("y", "x"), "points": (STATION,)}[self.kind]

    @property
    def size(self) -> int:
        return self.lat.size

    @property
    def axis_lat(self) -> np.ndarray:
        """(ny,) latitudes of a regular grid, ascending."""
        return self.lat.reshape(self.shape)[:, 0]

    @property
    def axis_lon(self) -> np.ndarray:
        """(nx,) longitudes of a regular grid, ascending."""
        return self.lon.reshape(self.shape)[0]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that identify kind, shape, coordinates and station ids, whatever the name."""
        digest = hashlib.sha256(f"{self.kind} {self.shape} {self.station_id}".encode())
        for coordinate in (self.lat, self.lon):
            digest.update(np.ascontiguousarray(coordinate, "<f8").tobytes())
        return digest.hexdigest()[:16]

    def corners(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Latitude and longitude (ny + 1, nx + 1) of the cells' corners; None where cells have none."""
        if self.kind == "regular" and self.lat_bounds is not None and self.lon_bounds is not None:
            edges = [np.append(b[:, 0], b[-1, 1]) for b in (self.lat_bounds, self.lon_bounds)]
            lat, lon = np.meshgrid(*edges, indexing="ij")
            return lat, lon
        if self.kind == "points" or min(self.shape) < 2:
            return None
        return _corners(self.lat.reshape(self.shape)), _corners(self.lon.reshape(self.shape))


def parse_grid(text: str | Path) -> Grid:
    """The grid that a text or a file describes.

    Parameters
    ----------
    text : ``0.1deg`` (cells of the whole region), the name of a grid that ships, or a file: a grid
        description of CDO, a NetCDF file or Zarr store with latitude and longitude, a GeoTIFF, a table
        of points (station_id, lon, lat).

    Raises
    ------
    UserError : for anything else, and for grids without cells, with too many or with impossible coordinates.
    """
    text = str(text).strip()
    if match := _RESOLUTION.fullmatch(text.lower()):
        return _region(match[1])
    path = Path(text).expanduser()
    if path.is_file() or path.suffix == kinds.STORE:
        return _from_file(path)
    if named := named_grids().get(text.removeprefix("grids/").removesuffix(".txt")):
        return _from_file(named)
    if text and path.is_dir():
        return _from_file(path)
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"There is no grid file {text}.", *_accepted())
    raise UserError(f"{text!r} is not a grid.", *_accepted())


def named_grids() -> dict[str, Path]:
    """Names of the grids that ship -> their files."""
    return {path.stem: path for path in sorted(files.shipped_folder("grids").glob("*.txt"))}


def check_inside(grid: Grid, lat, lon) -> float:
    """The share, 0 to 1, of cells farther than 300 km from every station; all of them is a UserError.

    `lat`, `lon` : stations, degrees, (stations,).
    """
    _, distance = geo.nearest(lat, lon, grid.lat, grid.lon, k=1)
    far = float(np.mean(distance[:, 0] > TOO_FAR_KM))
    if far == 1.0:
        raise UserError(
            f"All of the grid {grid.name} ({_extent_text(grid.lat, grid.lon)}) lies more than {TOO_FAR_KM:g} km "
            f"from every station ({_extent_text(lat, lon)}).", "A grid lies where stations are.",
            "Check that latitude and longitude are not swapped, or choose --grid 0.1deg.")
    return far


def _extent_text(lat, lon) -> str:
    return f"{np.min(lon):g} to {np.max(lon):g} E, {np.min(lat):g} to {np.max(lat):g} N"


def _accepted() -> tuple[str, str]:
    return kinds.RULE, f"Named grids: {', '.join(sorted(named_grids()))}."


# --- cells and points ------------------------------------------------------------------------------

def _region(resolution: str) -> Grid:
    """The whole region in square cells of an exact number of degrees."""
    step = Fraction(resolution)
    west, east, south, north = (Fraction(edge) for edge in REGION_EDGES)
    if step == 0 or (east - west) % step or (north - south) % step:
        raise UserError(f"{resolution} degree does not divide the region.",
                        f"{REGION_NAME} has {east - west} x {north - south} degrees, filled by whole cells.",
                        "Choose 1deg, 0.5deg, 0.25deg, 0.2deg, 0.1deg, 0.05deg ...")
    nx, ny = int((east - west) / step), int((north - south) / step)
    _check_size(nx * ny, f"{resolution}deg")
    lat, lon = ([float(first + (i + Fraction(1, 2)) * step) for i in range(n)]
                for first, n in ((south, ny), (west, nx)))
    return _regular(f"{float(step):g}deg", lat, lon)


def _regular(source: str, lat, lon, lat_bounds=None, lon_bounds=None) -> Grid:
    lat, lon = _checked(lat, lon, source)
    _check_size(lat.size * lon.size, source)
    lat, lat_bounds = _ascending(lat, lat_bounds, f"{source}: latitude")
    lon, lon_bounds = _ascending(lon, lon_bounds, f"{source}: longitude")
    mesh_lat, mesh_lon = np.meshgrid(lat, lon, indexing="ij")
    return _new_grid(source, "regular", mesh_lat, mesh_lon, np.clip(lat_bounds, -90, 90), lon_bounds)


def _curvilinear(source: str, lat, lon, lat_bounds=None, lon_bounds=None) -> Grid:
    """`lat`, `lon` (ny, nx); bounds (ny, nx, 4) or corners (ny + 1, nx + 1), else from the means of neighbours."""
    lat, lon = _checked(lat, lon, source)
    if (lat_bounds is None) != (lon_bounds is None):
        raise UserError(f"{source} has bounds of {'longitude' if lat_bounds is None else 'latitude'} alone.",
                        "Cells have corners with both, or are made from the centres.",
                        "Give both, or take them out: `ncks -C -x -v NAME IN.nc OUT.nc`.")
    if lat_bounds is not None and lon_bounds is not None:
        lat_bounds, lon_bounds = _finite(lat_bounds, source), _finite(lon_bounds, source)
        if lat_bounds.shape != lon_bounds.shape:
            raise UserError(f"{source}: bounds of latitude have the shape {lat_bounds.shape}, of longitude "
                            f"{lon_bounds.shape}.", "Both are of the same corners.")
        if lat_bounds.ndim == 2:
            lat_bounds, lon_bounds = _vertices(lat_bounds, _connected(lon_bounds))
        lon_bounds = _near(lon_bounds, lon)
        _check_inside(lat, lat_bounds, f"{source}: latitude")
        _check_inside(lon, lon_bounds, f"{source}: longitude")
    elif min(lat.shape) > 1:
        lat_bounds, lon_bounds = _vertices(_corners(lat), _corners(lon))
    return _new_grid(source, "curvilinear", lat, lon, lat_bounds, lon_bounds)


def _new_grid(source: str, kind: str, lat, lon, lat_bounds=None, lon_bounds=None, station_id=None) -> Grid:
    name = re.sub(r"[^\w.-]+", "-", source if source.endswith("deg") else Path(source).stem)
    lat_flat, lon_flat = lat.ravel(), lon.ravel()
    return Grid(name, kind, lat.shape, lat_flat, lon_flat, lat_bounds, lon_bounds,
                is_land(lat_flat, lon_flat), station_id)


def _check_size(cells: int, source: str) -> None:
    if not 0 < cells <= MAX_CELLS:
        raise UserError(f"The grid {source} has {cells:,} cells.", f"At least 1 and at most {MAX_CELLS:,}.",
                        "Choose larger cells or a smaller area.")


def _checked(lat, lon, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates as float64 with longitudes of -180 to 180; a UserError for impossible ones."""
    lat, lon = np.array(lat, float), np.array(lon, float)
    _check_size(min(lat.size, lon.size), source)
    for word, values, low, high in (("latitude", lat, -90, 90), ("longitude", lon, -180, 360)):
        if np.isnan(values).any():
            raise UserError(f"{source}: {np.isnan(values).sum()} of {values.size} values of {word} are "
                            "missing.", "Every cell has coordinates.")
        if (values < low).any() or (values > high).any():
            bad = values[(values < low) | (values > high)][0]
            raise UserError(f"{source}: {bad:g} is not a {word}.", f"It is {low} to {high} degrees.",
                            "Check that latitude and longitude are not swapped and not in metres.")
    lon[lon > 180] -= 360
    return lat, lon


def _ascending(values, bounds, source: str) -> tuple[np.ndarray, np.ndarray]:
    """An axis (n,) in ascending order and its bounds (n, 2), computed where there are none."""
    order = np.argsort(values, kind="stable")
    axis = values[order]
    if (np.diff(axis) <= 0).any():
        twice = axis[1:][np.diff(axis) <= 0][0]
        raise UserError(f"{source} has {twice:g} twice.", "Each row and each column occurs once.")
    if bounds is not None:
        bounds = _finite(bounds, source)
        if bounds.ndim == 1:
            bounds = np.stack([bounds[:-1], bounds[1:]], axis=1)
        bounds = np.sort(_near(bounds[order], axis), axis=1)
        _check_inside(axis, bounds, source)
        return axis, bounds
    if axis.size < 2:
        raise UserError(f"{source} has one value and no width.", "A cell has edges.",
                        "Give xinc and yinc, or bounds, or a .csv with station_id,lon,lat for single places.")
    middle = np.round((axis[1:] + axis[:-1]) / 2, 10)  # 0.01 mm: removes the rounding of the sum
    first, last = np.round((2 * axis[0] - middle[0], 2 * axis[-1] - middle[-1]), 10)
    edges = np.concatenate([[first], middle, [last]])
    return axis, np.stack([edges[:-1], edges[1:]], axis=1)


def _near(bounds, centres) -> np.ndarray:
    """Longitudes of edges within 180 degrees of their centre; latitudes stay as they are."""
    bounds = np.asarray(bounds, float)
    return bounds - 360 * np.round((bounds - centres[..., None]) / 360)


def _connected(lon: np.ndarray) -> np.ndarray:
    """Longitudes of corners without a jump of 360 degrees between neighbours."""
    return np.unwrap(np.unwrap(lon, period=360, axis=0), period=360, axis=1)


def _finite(bounds, source: str) -> np.ndarray:
    bounds = np.asarray(bounds, float)
    if missing := int(np.sum(~np.isfinite(bounds))):
        raise UserError(f"{source}: {missing} of {bounds.size} values of its bounds are missing.",
                        "Every cell has edges.", "Without any bounds, cells end halfway between centres.")
    return bounds


def _check_inside(centres: np.ndarray, bounds: np.ndarray, source: str) -> None:
    """A UserError unless centres (...,) lie within their bounds (..., vertices)."""
    slack = 1e-3 * np.ptp(bounds, axis=-1) + 1e-6  # of float32
    outside = (centres < bounds.min(axis=-1) - slack) | (centres > bounds.max(axis=-1) + slack)
    if outside.any():
        first = np.unravel_index(np.argmax(outside), centres.shape)
        raise UserError(f"{source}: {outside.sum():,} of {centres.size:,} centres lie outside their bounds, the first "
                        f"at {centres[first]:g} with {', '.join(f'{edge:g}' for edge in bounds[first])}.",
                        "A cell's centre lies between its edges, both in degrees.",
                        "Check that the bounds belong to these cells; without any, cells end halfway between centres.")


def _corners(centres: np.ndarray) -> np.ndarray:
    """(ny + 1, nx + 1) corners: means of the four cells around them, extrapolated linearly at the rim."""
    for axis in (0, 1):
        c = np.moveaxis(centres, axis, 0)
        edges = np.concatenate([[1.5 * c[0] - 0.5 * c[1]], (c[1:] + c[:-1]) / 2, [1.5 * c[-1] - 0.5 * c[-2]]])
        centres = np.moveaxis(edges, 0, axis)
    return centres


def _vertices(lat: np.ndarray, lon: np.ndarray) -> list[np.ndarray]:
    """(ny, nx, 4) corners of each cell, anticlockwise as CF requires, of shared ones (ny + 1, nx + 1)."""
    lat, lon = (np.stack([c[:-1, :-1], c[:-1, 1:], c[1:, 1:], c[1:, :-1]], axis=-1) for c in (lat, lon))
    # The diagonals' cross product is twice the signed area; rows may run from north to south.
    area = ((lon[..., 2] - lon[..., 0]) * (lat[..., 3] - lat[..., 1])
            - (lat[..., 2] - lat[..., 0]) * (lon[..., 3] - lon[..., 1]))
    clockwise = area[..., None] < 0
    return [np.where(clockwise, c[..., ::-1], c) for c in (lat, lon)]


# --- files -----------------------------------------------------------------------------------------

def _from_file(path: Path) -> Grid:
    read = {kinds.NETCDF: _from_netcdf, kinds.GEOTIFF: _from_geotiff, kinds.DESCRIPTION: _from_description,
            kinds.POINTS: _from_table}
    kind = None
    try:
        kind = kinds.kind_of(path)
        return read[kind](path)
    except OSError as error:
        rest = ("It is a whole file.", "Copy or download it again.") if kind and path.exists() else _accepted()
        problem = f"The grid file {path} can't be read{f' as {kind}' if kind else ''}: {error}."
        raise UserError(problem, *rest) from error


def _from_geotiff(path: Path) -> Grid:
    source, raster = str(path), geotiff.read_raster(path)
    _check_size(raster.shape[0] * raster.shape[1], source)
    found = geotiff.places(raster, source)
    if axes := geotiff.as_axes(found):
        (lat, lat_edges), (lon, lon_edges) = axes
        return _regular(source, lat, lon, lat_edges, lon_edges)
    return _curvilinear(source, found["lat"], found["lon"], found["lat_corners"], found["lon_corners"])


def _from_description(path: Path) -> Grid:
    source = str(path)
    values = cdo.parse_description(path.read_text("utf-8", errors="replace"), source)
    kind = values["gridtype"].lower()
    for key in ("xunits", "yunits"):
        if not values.get(key, "degrees").lower().startswith("degree"):
            raise UserError(f"{source}: {key} is {values[key]}.", "Coordinates are degrees.")
    if kind not in ("lonlat", "curvilinear"):
        raise UserError(f"{source}: gridtype {kind} can't be read.", "It is lonlat or curvilinear.",
                        "`cdo griddes -setgridtype,curvilinear FILE.nc` turns many grids into one.")
    ny, nx = (cdo.count(values, key, source) for key in ("ysize", "xsize"))
    _check_size(ny * nx, source)
    if kind == "lonlat":
        (lat, lat_bounds), (lon, lon_bounds) = (cdo.axis(values, letter, source) for letter in "yx")
        return _regular(source, lat, lon, lat_bounds, lon_bounds)

    def field(key, *more):
        return np.reshape(cdo.sized(values, key, int(np.prod((ny, nx, *more))), source), (ny, nx, *more))
    bounds = [field(key, 4) if key in values else None for key in ("ybounds", "xbounds")]
    return _curvilinear(source, field("yvals"), field("xvals"), *bounds)


def _from_table(path: Path) -> Grid:
    station_id, lat, lon = read_points(path)
    return _new_grid(str(path), "points", *_checked(lat, lon, str(path)), station_id=station_id)


def _from_netcdf(path: Path) -> Grid:
    lat, lon = netcdf.read_coordinates(path)
    return _of_coordinates(lat, lon, str(path), lambda along: netcdf.read_station_ids(path, along))


def grid_of(dataset: xr.Dataset, name: str = "dataset") -> Grid:
    """The grid of a Dataset with latitude and longitude, as of a file; `name` is what errors call it."""
    lat, lon = netcdf.coordinates_of(dataset, Path(name))
    return _of_coordinates(lat, lon, name, lambda along: netcdf.station_ids_of(dataset, along, Path(name)))


def grid_of_axes(axes: Axes, name: str) -> Grid:
    """The regular grid of rows and columns with some edges."""
    lat, lon = axes.centres()
    return _regular(name, lat, lon, axes.lat, axes.lon)


def _of_coordinates(lat: netcdf.Coordinate, lon: netcdf.Coordinate, source: str,
                    station_ids: Callable[[str], tuple[str, ...] | None]) -> Grid:
    if lat.dims == lon.dims and (lat.values.ndim == 1 or 1 in lat.values.shape):
        along = lat.dims[int(np.argmax(lat.values.shape))]
        if station_id := station_ids(along):
            at = _checked(lat.values.ravel(), lon.values.ravel(), source)
            return _new_grid(source, "points", *at, station_id=station_id)
    if lat.values.ndim == lon.values.ndim == 1 and lat.dims != lon.dims:
        return _regular(source, lat.values, lon.values, lat.bounds, lon.bounds)
    if lat.values.ndim == 2 and lat.dims == lon.dims:
        return _curvilinear(source, lat.values, lon.values, lat.bounds, lon.bounds)
    raise UserError(f"{source}: latitude is on {lat.dims} and longitude on {lon.dims}.",
                    "Either each has a dimension of its own, or both have the same two.",
                    "A list of places goes into a .csv with the header station_id,lon,lat.")
