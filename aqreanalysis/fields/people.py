"""How many people live in each cell of a grid, from any raster or NetCDF file of counts or of density.

People are conserved: those of a cell of the file are divided among the cells of the grid by the shares of it that lie
in them. What lies outside the grid is left out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.geo import EARTH_RADIUS_KM
from aqreanalysis.grids import Grid
from aqreanalysis.grids.coverage import cell_polygons

COUNT, DENSITY = "count", "density"  # people in a cell, people per km2
KINDS = (COUNT, DENSITY)
PER_AREA = re.compile(r"(km|kilomet\w+)\s*(\^|\*\*)?\s*-?\s*2|per (sq|km)|/\s*(sq|km)|km²|density", re.IGNORECASE)
COUNTED = re.compile(r"\b(count|counts|people|persons?|inhabitants?|population|number|1)\b", re.IGNORECASE)
LONGITUDES, LATITUDES = ("lon", "longitude", "x"), ("lat", "latitude", "y")
RULE = "A population is a raster (GeoTIFF ...) or NetCDF file with people per cell (count) or per km2 (density)."
ASK = "Say which it is: --population-is count or --population-is density."
STEP = 1e-3        # of a step, by which axes may miss equal steps
MOST_VALUES = 4_000_000  # of a file that are read at once, some 32 MB
LARGE_CHUNKS = 8         # times that, of a file's rows of chunks that are read at once
CACHE_MB = 64            # of GDAL's blocks


@dataclass(frozen=True, eq=False)
class People:
    """People in the cells of a grid (cells,), and in words where they are from."""

    cells: np.ndarray
    total: float      # people in the file
    source: str
    kind: str
    digest: str

    @property
    def words(self) -> str:
        """What was read and what of it lies on the grid, a sentence."""
        here = float(self.cells.sum())
        return (f"{self.source}, read as {'people per km2' if self.kind == DENSITY else 'people per cell'}: "
                f"{here:,.0f} people on the grid of {self.total:,.0f} in the file.")


def people_on_grid(path: str | Path, grid: Grid, kind: str | None = None, variable: str | None = None) -> People:
    """People in each cell of a grid.

    Parameters
    ----------
    path : a raster that rasterio reads, or a NetCDF file with latitude and longitude.
    kind : COUNT or DENSITY; None where the file says it (units, names).
    variable : of a NetCDF file with several.

    Raises
    ------
    UserError : where it can't be read, or does not say which of the two it has.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"There is no {path}.", RULE, "Give the file of a population with --population.")
    if kind is not None and kind not in KINDS:
        raise UserError(f"--population-is {kind} is unknown.", f"It is {' or '.join(KINDS)}.", "Choose one of them.")
    try:
        raster = _of_netcdf(file, variable, grid) if file.suffix.lower() in (".nc", ".nc4") else _of_raster(file, grid)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadFile(f"{file} can't be read ({' '.join(str(error).split())[:200]}).", RULE,
                      "Give another file with --population.") from error
    found = kind or _said(raster.says)
    if found is None:
        raise UserError(f"{file} does not say whether it has people per cell or per km2 (it says {raster.says!r}).",
                        RULE, ASK)
    total = raster.totals[found]
    if not total > 0:
        raise UserError(f"{file} has no people.", RULE, "Give another file with --population.")
    cells = raster.onto(grid, raster.values * (raster.km2() if found == DENSITY else 1.0))
    if not cells.sum() > 0:
        raise UserError(f"{file} has no people on the grid {grid.name}.", RULE,
                        "Give a population of this part of the world.")
    return People(cells, total, file.name, found, files.sha256_of(file))


def _said(text: str) -> str | None:
    return DENSITY if PER_AREA.search(text) else COUNT if COUNTED.search(text) else None


def _checked(values: np.ndarray, file: Path) -> np.ndarray:
    """Values with 0 for what is missing; UserError where some are no numbers of people."""
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        raise UserError(f"{file} has {int(wrong.sum()):,} cells or more with fewer than 0 people or without an end, "
                        f"such as {values[wrong][0]:g}.", "A missing value is the file's nodata value, or NaN.",
                        "Set it: gdal_translate -a_nodata VALUE IN.tif OUT.tif.")
    return np.nan_to_num(values, nan=0.0)


@dataclass(frozen=True, eq=False)
class _Raster:
    """Values (rows, columns), NaN as 0, in the cells between edges in degrees; or, of another coordinate system, those
    of a transform. `says` are its units and names. Of a large file only the part that the grid needs; `totals` are the
    people of the whole file if values are counts, and if they are densities."""

    values: np.ndarray
    y: np.ndarray       # (rows + 1,) edges, from north to south
    x: np.ndarray       # (columns + 1,)
    crs: Any            # None for degrees
    says: str
    totals: dict[str, float]

    def km2(self) -> np.ndarray:
        """The size of each cell on the sphere."""
        return _km2(self.y, self.x, self.crs)

    def onto(self, grid: Grid, people: np.ndarray) -> np.ndarray:
        """People in the cells of a grid (cells,)."""
        corners = grid.corners()
        if self.crs is None and grid.kind == "regular" and corners is not None:
            down = _shares(np.sin(np.radians(self.y)), np.sin(np.radians(corners[0][:, 0])))
            across = _shares(self.x, corners[1][0])
            return (down @ people @ across.T).ravel()
        return self._by_polygons(grid, people)

    def _by_polygons(self, grid: Grid, people: np.ndarray) -> np.ndarray:
        """By exactextract, of the cells in the raster's coordinate system."""
        import exactextract
        import geopandas
        from exactextract.raster import NumPyRasterSource

        if max(np.ptp(np.diff(edges)) / abs(np.diff(edges).mean()) for edges in (self.y, self.x)) > STEP:
            raise UserError("The population's cells are of unequal sizes.", RULE,
                            "Regrid it to equal steps of degrees.")
        cells = geopandas.GeoDataFrame(geometry=_cells_in(grid, self.crs))
        raster = NumPyRasterSource(people.astype(np.float64), float(self.x[0]), float(self.y[-1]), float(self.x[-1]),
                                   float(self.y[0]))
        found = exactextract.exact_extract(raster, cells, ["sum"], output="pandas")["sum"].to_numpy(float)
        return np.where(np.isfinite(found), found, 0.0)


def _shares(edges: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The share of each interval of `edges` that lies in each of `to` (to, edges); both monotonic."""
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    from_, until = np.minimum(to[:-1], to[1:])[:, None], np.maximum(to[:-1], to[1:])[:, None]
    return np.maximum(np.minimum(high, until) - np.maximum(low, from_), 0.0) / (high - low)


def _km2(y: np.ndarray, x: np.ndarray, crs: Any) -> np.ndarray:
    """Sizes (rows, columns) of cells between edges."""
    if crs is not None:
        factor = (crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0) / 1000.0
        return np.abs(np.diff(y))[:, None] * np.abs(np.diff(x))[None, :] * factor**2
    height = np.abs(np.diff(np.sin(np.radians(y))))
    return EARTH_RADIUS_KM**2 * height[:, None] * np.radians(np.abs(np.diff(x)))[None, :]


def _cells_in(grid: Grid, crs: Any) -> Any:
    """The grid's cells, a GeoSeries in a coordinate reference system; None for degrees."""
    import geopandas

    cells = geopandas.GeoSeries(list(cell_polygons(grid)), crs="EPSG:4326")
    return cells if crs is None else cells.to_crs(crs)


def _needed(edges: np.ndarray, low: float, high: float) -> slice:
    """Numbers of the intervals between monotonic edges that meet low to high; one at least."""
    least, most = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    some = np.flatnonzero((most > low) & (least < high))
    return slice(int(some[0]), int(some[-1]) + 1) if some.size else slice(0, 1)


def _windows(shape: tuple[int, int], block: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of all parts of a raster, of whole blocks where these are not too large."""
    high = min(block[0], shape[0], MOST_VALUES)
    high = high * max(MOST_VALUES // (high * shape[1]), 1)
    wide = max(MOST_VALUES // high // block[1] * block[1], block[1]) if high * shape[1] > MOST_VALUES else shape[1]
    for row in range(0, shape[0], high):
        for column in range(0, shape[1], wide):
            yield slice(row, min(row + high, shape[0])), slice(column, min(column + wide, shape[1]))


def _put(kept: np.ndarray, values: np.ndarray, kept_at: tuple[slice, slice], values_at: tuple[slice, slice]) -> None:
    """Put of values, which lie at some rows and columns, what lies in those of `kept`."""
    both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(kept_at, values_at, strict=True)]
    if all(one.start < one.stop for one in both):
        to, of = (tuple(slice(one.start - at.start, one.stop - at.start) for one, at in zip(both, place, strict=True))
                  for place in (kept_at, values_at))
        kept[to] = values[of]


def _of_raster(file: Path, grid: Grid) -> _Raster:
    """A band in parts: of a file of the whole earth only the grid's part is kept."""
    import pyproj
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), rasterio.open(file) as source:
        if source.crs is None:
            raise UserError(f"{file} does not say its coordinate reference system.", RULE,
                            "Set it: gdal_edit.py -a_srs EPSG:4326 FILE.tif.")
        transform = source.transform
        if transform.b or transform.d or transform.e >= 0:
            raise UserError(f"{file} is rotated or upside down.", RULE, "Turn it: gdalwarp IN.tif OUT.tif.")
        says = " ".join(str(text) for text in (source.units[0], source.descriptions[0], *source.tags().values(),
                                               *source.tags(1).values(), file.stem.replace("_", " ")) if text)
        y = transform.f + transform.e * np.arange(source.height + 1)
        x = transform.c + transform.a * np.arange(source.width + 1)
        known = pyproj.CRS.from_user_input(source.crs.to_wkt())
        crs = None if known.is_geographic else known
        west, south, east, north = _cells_in(grid, crs).total_bounds
        rows, columns = _needed(y, south, north), _needed(x, west, east)
        kept, sums = np.zeros((rows.stop - rows.start, columns.stop - columns.start)), np.zeros(source.height)
        for down, across in _windows(source.shape, source.block_shapes[0]):
            read = source.read(1, masked=True, window=((down.start, down.stop), (across.start, across.stop)))
            values = _checked(read.astype(np.float64).filled(np.nan), file)
            sums[down] += values.sum(axis=1)
            _put(kept, values, (rows, columns), (down, across))
    return _Raster(kept, y[rows.start:rows.stop + 1], x[columns.start:columns.stop + 1], crs, says,
                   {COUNT: float(sums.sum()), DENSITY: float(sums @ _km2(y, x[:2], crs)[:, 0])})


def _of_netcdf(file: Path, variable: str | None, grid: Grid) -> _Raster:
    """A variable in parts of whole rows, as of a raster; rows and columns in any order, longitudes of 0 to 360 too."""
    import xarray as xr

    with xr.open_dataset(file, decode_times=False, cache=False) as data:
        lines = [str(name) for name in data.variables if data[name].ndim == 1]
        axes = [next((name for name in lines if name.lower() in known), None) for known in (LATITUDES, LONGITUDES)]
        if axes[0] is None or axes[1] is None:
            raise UserError(f"{file} has no axes of latitude and longitude.", RULE, "Give a file with lat and lon.")
        dims = [data[name].dims[0] for name in axes]
        several = [str(name) for name, of in data.data_vars.items() if set(dims) <= set(of.dims)
                   and of.dtype.kind in "fiu" and all(of.sizes[dim] == 1 for dim in of.dims if dim not in dims)]
        chosen = _chosen(file, several, variable)
        field = data[chosen].squeeze([dim for dim in data[chosen].dims if dim not in dims]).transpose(*dims)
        says = " ".join(str(text) for text in (field.attrs.get("units"), field.attrs.get("long_name"), chosen)
                        if text).replace("_", " ")
        lat, lon = (field[name].values.astype(float) for name in axes)
        lon = (lon + 180.0) % 360.0 - 180.0 if lon.max() > 180.0 else lon
        down, across = np.argsort(-lat, kind="stable"), np.argsort(lon, kind="stable")
        y, x = np.clip(_edges(lat[down]), -90.0, 90.0), _edges(lon[across])
        west, south, east, north = _cells_in(grid, None).total_bounds
        rows, columns = _needed(y, south, north), _needed(x, west, east)
        kept, sums = np.zeros((rows.stop - rows.start, columns.stop - columns.start)), np.zeros((2, len(lat)))
        place = np.argsort(down)  # of each of the file's rows, from north to south
        high = _rows_at_once(data[chosen], dims[0], len(lon))
        for some in (slice(first, first + high) for first in range(0, len(lat), high)):
            values = _checked(field[some].values.astype(np.float64), file)[:, across]
            sums[:, place[some]] = values.sum(axis=1), values @ _km2(np.array([90.0, 0.0]), x, None)[0]
            inside = (place[some] >= rows.start) & (place[some] < rows.stop)
            kept[place[some][inside] - rows.start] = values[inside, columns]
    height = np.abs(np.diff(np.sin(np.radians(y))))
    return _Raster(kept, y[rows.start:rows.stop + 1], x[columns.start:columns.stop + 1], None, says,
                   {COUNT: float(sums[0].sum()), DENSITY: float(sums[1] @ height)})


def _rows_at_once(variable: Any, dim: Any, columns: int) -> int:
    """How many rows are read at once: MOST_VALUES, in whole chunks of the file where these are no more than eight times
    as large."""
    chunks = variable.encoding.get("chunksizes")
    chunk = int(chunks[variable.dims.index(dim)]) if chunks else 1
    if chunk * columns > LARGE_CHUNKS * MOST_VALUES:
        chunk = 1
    return max(MOST_VALUES // columns // chunk, 1) * chunk


def _chosen(file: Path, several: Sequence[str], variable: str | None) -> str:
    if variable is not None and variable not in several:
        raise UserError(f"{file} has no variable {variable!r} of latitude and longitude.",
                        f"It has {', '.join(several) or 'none'}.", "Choose one with --population-variable.")
    if variable is None and len(several) != 1:
        raise UserError(f"{file} has {len(several)} variables of latitude and longitude: {', '.join(several)}.",
                        "A population is one of them.", "Choose it with --population-variable.")
    return variable or several[0]


def _edges(middles: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) half-way between middles (n,)."""
    if len(middles) < 2:
        raise ValueError("an axis of one cell has no edges")
    between = (middles[:-1] + middles[1:]) / 2
    return np.concatenate([[2 * middles[0] - between[0]], between, [2 * middles[-1] - between[-1]]])
