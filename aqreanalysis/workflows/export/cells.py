"""Which cells of a grid are exported: all, those of a box, or those that points lie in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid, read_points
from aqreanalysis.schema import REGION_EDGES

PLACE_KM = 5.0     # how far the nearest place of a product of points may be
ROUNDING = 1e-9    # degrees: a point on an edge lies in the cell to the north-east
NAMES_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Places:
    """Points that were asked for, in their order, and the cell of each: (points,)."""

    name: tuple[str, ...]
    lon: np.ndarray
    lat: np.ndarray
    cell: np.ndarray         # its number in the grid
    distance_km: np.ndarray  # from the point to the cell's centre

    def sentences(self, grid: Grid) -> list[str]:
        """Which cell was taken for each."""
        return [f"{name}: cell {grid.lon[cell]:g} E {grid.lat[cell]:g} N, its centre {distance:.1f} km away"
                for name, cell, distance in zip(self.name, self.cell, self.distance_km, strict=True)]


def _all() -> slice:
    return slice(None)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Cells of a grid: their numbers (cells,), ascending or in the order of `places`; and sentences on them."""

    cells: np.ndarray
    places: Places | None = None
    rows: slice = field(default_factory=_all)     # of a grid of cells: the block that they fill, where they do
    columns: slice = field(default_factory=_all)
    notes: tuple[str, ...] = ()


def every_cell(grid: Grid) -> Chosen:
    """All of a grid."""
    return Chosen(np.arange(grid.size))


def in_box(grid: Grid, box: geo.Box) -> Chosen:
    """The cells whose centres lie in a box, edges included; UserError where there are none."""
    west, south, east, north = box
    inside = ((grid.lon >= west - ROUNDING) & (grid.lon <= east + ROUNDING)
              & (grid.lat >= south - ROUNDING) & (grid.lat <= north + ROUNDING))
    if not inside.any():
        what = "place" if grid.kind == "points" else "centre of a cell"
        raise UserError(f"--box {west:g} {south:g} {east:g} {north:g} holds no {what}.", _extent(grid),
                        "A box is west, south, east, north; choose one that holds some of it.")
    if grid.kind == "points":
        return Chosen(np.flatnonzero(inside))
    mesh = inside.reshape(grid.shape)
    rows, columns = (np.flatnonzero(mesh.any(axis=axis)) for axis in (1, 0))
    return Chosen(np.flatnonzero(inside), rows=slice(int(rows[0]), int(rows[-1]) + 1),
                  columns=slice(int(columns[0]), int(columns[-1]) + 1),
                  notes=(f"{inside.sum():,} of {grid.size:,} cells have their centre in the box",))


def at_points(grid: Grid, names: tuple[str, ...], lat: np.ndarray, lon: np.ndarray) -> Chosen:
    """The cells that points lie in; those outside the grid are told and left out; UserError where all are."""
    cell, distance = (_nearest_place if grid.kind == "points" else _regular_cell if grid.kind == "regular"
                      else _curvilinear_cell)(grid, lat, lon)
    known = cell >= 0
    outside = [f"{name} ({x:g} E {y:g} N)" for name, x, y in zip(names, lon, lat, strict=True)]
    outside = [text for text, inside in zip(outside, known, strict=True) if not inside]
    shown = ", ".join(outside[:NAMES_SHOWN]) + (f" and {len(outside) - NAMES_SHOWN} more"
                                                if len(outside) > NAMES_SHOWN else "")
    if not known.any():
        swapped = (lat > REGION_EDGES[0]).all() and (lon < REGION_EDGES[1]).all() and (lat > lon).all()
        raise UserError(f"No point lies in the grid: {shown}.", _extent(grid),
                        "Latitude and longitude look swapped: --at takes LON LAT." if swapped else
                        "Choose points inside, or a product of a larger grid.")
    places = Places(tuple(np.array(names, object)[known]), lon[known], lat[known], cell[known], distance[known])
    notes = [f"{len(outside)} of {len(names)} points lie outside the grid and are left out: {shown}"] if outside else []
    told = places.sentences(grid)
    notes += told if len(told) <= NAMES_SHOWN else [
        f"{len(told)} points, {len(np.unique(places.cell))} cells; from a point to its cell's centre "
        f"{places.distance_km.min():.1f} to {places.distance_km.max():.1f} km (columns cell_lon, cell_lat, "
        "distance_km)"]
    return Chosen(places.cell, places, notes=tuple(notes))


def points_in(path: str | Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, latitudes and longitudes of a table of points; UserError where there is none."""
    place = Path(path).expanduser()
    rule, fix = "A list of points is a text table with the header station_id,lon,lat.", "Example: Beijing,116.4,39.9."
    if place.is_dir():
        raise UserError(f"--points {path} is a folder.", rule, fix)
    if not place.exists():
        raise UserError(f"There is no {path}.", rule, fix)
    names, lat, lon = read_points(place)
    if not names:
        raise UserError(f"--points {path} has no row.", rule, fix)
    return names, lat, lon


def check_at(at: Any) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The point of `--at LON LAT`, as of :func:`points_in`; UserError for what is none."""
    rule, fix = "A point is its longitude and its latitude in degrees.", "Example: --at 116.4 39.9."
    try:
        lon, lat = (float(number) for number in at)
    except (TypeError, ValueError) as error:
        raise UserError(f"--at {at} is not two numbers.", rule, fix) from error
    if not (-180 <= lon <= 360 and -90 <= lat <= 90):
        raise UserError(f"--at {lon:g} {lat:g} is not on the earth.", rule,
                        f"Latitude and longitude look swapped: --at {lat:g} {lon:g}." if -90 <= lon <= 90 else fix)
    return (f"{lon:g} {lat:g}",), np.array([lat]), np.array([lon - 360 if lon > 180 else lon])


def _extent(grid: Grid) -> str:
    west, east, south, north = grid.lon.min(), grid.lon.max(), grid.lat.min(), grid.lat.max()
    return f"The grid's centres are {west:g} to {east:g} E, {south:g} to {north:g} N."


def _regular_cell(grid: Grid, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells that points lie in by the cells' edges; -1 outside. A point on an edge is in the cell north-east of it."""
    assert grid.lat_bounds is not None and grid.lon_bounds is not None  # it is regular
    row, column = (_interval(bounds, values) for bounds, values in ((grid.lat_bounds, lat), (grid.lon_bounds, lon)))
    cell = np.where((row >= 0) & (column >= 0), row * grid.shape[1] + column, -1)
    return cell, geo.distance_km(lat, lon, grid.lat[cell], grid.lon[cell])


def _interval(bounds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The number of the interval (n, 2), ascending, of each value; -1 for none. The last edge belongs to the last."""
    number = np.searchsorted(bounds[:, 0], values + ROUNDING, side="right") - 1
    inside = (number >= 0) & (values <= bounds[np.maximum(number, 0), 1] + ROUNDING)
    return np.where(inside, number, -1)


def _curvilinear_cell(grid: Grid, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells with the nearest centre; -1 where that is farther than the farthest corner of the cell."""
    index, distance = (array[:, 0] for array in geo.nearest(grid.lat, grid.lon, lat, lon, k=1))
    if grid.lat_bounds is None or grid.lon_bounds is None:
        return index, distance
    corner_lat, corner_lon = (bounds.reshape(grid.size, -1)[index] for bounds in (grid.lat_bounds, grid.lon_bounds))
    reach = geo.distance_km(corner_lat, corner_lon, grid.lat[index][:, None], grid.lon[index][:, None]).max(axis=1)
    return np.where(distance <= reach, index, -1), distance


def _nearest_place(grid: Grid, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index, distance = (array[:, 0] for array in geo.nearest(grid.lat, grid.lon, lat, lon, k=1))
    return np.where(distance <= PLACE_KM, index, -1), distance
