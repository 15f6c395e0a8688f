"""How the numbers of a product lie in a NetCDF-4 file: rounding, fill values, chunks, coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import netCDF4
import numpy as np

from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import DISTANCE, INLET_HEIGHT_M, MANTISSA_BITS, OUTWARDS, QUALITY_FLAG, crs_attributes
from aqreanalysis.schema import LAT, LON, QUALITY, TARGET, TIME

# A week of hours by at most so many cells: one map and one point's series are both read in little time.
TIME_CHUNK = 168
SPACE_CHUNKS = {"regular": (45, 60), "curvilinear": (45, 60), "points": (2700,)}
TILE_POINTS = 60_000  # in memory at once: some 40 MB for each float32 variable of a week of hours
FLOAT_FILL = np.float32(netCDF4.default_fillvals["f4"])
BYTE_FILL = np.int8(netCDF4.default_fillvals["i1"])
_PIECE = 1 << 15  # numbers that are rounded at a time, so that they stay in the cache of a core


def space_chunks(grid: Grid) -> tuple[int, ...]:
    """Lengths of a chunk along the grid's dimensions: equal parts, so that chunks at the edges are nearly full."""
    return tuple(-(-size // -(-size // most)) for size, most in zip(grid.shape, SPACE_CHUNKS[grid.kind], strict=True))


def tiles(grid: Grid) -> list[slice]:
    """The grid's points in slices of whole rows of chunks: what is computed and written at once.

    A tile has at most TILE_POINTS points, or one row of chunks; memory does not grow with the grid's height.
    """
    row = space_chunks(grid)[0] * (grid.size // grid.shape[0])  # points of a row of chunks
    step = row * max(1, TILE_POINTS // row)
    return [slice(first, min(first + step, grid.size)) for first in range(0, grid.size, step)]


def rows_of(grid: Grid, points: slice) -> slice:
    """The rows of the grid's first dimension that hold a slice of points; ValueError where it cuts a row."""
    width = grid.size // grid.shape[0]
    first, last, step = points.indices(grid.size)
    if step != 1 or first % width or last % width or first >= last:
        raise ValueError(f"points {points} are not whole rows of {width} of a grid of {grid.size}")
    return slice(first // width, last // width)


def round_mantissa(array: np.ndarray, bits: int, way: str = "nearest") -> np.ndarray:
    """Float32 numbers that have ``bits`` explicit bits of mantissa: the nearest ones, ties to even.

    Parameters
    ----------
    array : float32, any shape; NaN, infinities and signs are kept.
    bits : 1 to 23; the relative error of a normal number is at most 2^-(bits + 1).
    way : or "down" or "up", in magnitude; the relative error is then below 2^-bits.
    """
    if not 1 <= bits <= 23:
        raise ValueError(f"bits is 1 to 23, the explicit mantissa of float32, and not {bits}")
    array = np.ascontiguousarray(array, np.float32)
    if bits == 23:
        return array.copy()
    drop, one = np.uint32(23 - bits), np.uint32(1)
    rest = (one << drop) - one
    carry = {"nearest": (one << (drop - one)) - one, "down": np.uint32(0), "up": rest}[way]
    pattern, rounded = array.reshape(-1).view(np.uint32), np.empty(array.size, np.uint32)
    for first in range(0, pattern.size, _PIECE):
        part, into = pattern[first:first + _PIECE], rounded[first:first + _PIECE]
        np.add(part, carry, out=into)
        if way == "nearest":  # just under half of the last kept bit, or half where that bit is odd, carries
            into += (part >> drop) & one
        into &= ~rest
    rounded = rounded.view(np.float32).reshape(array.shape)
    np.copyto(rounded, array, where=~np.isfinite(array))
    return rounded


def check_block(block: Mapping[str, np.ndarray], fields: tuple[str, ...], points: int) -> int:
    """The number of steps of a block of the right variables, shapes and counts."""
    if set(block) != set(fields):
        raise ValueError(f"a block has {', '.join(fields)}, and not {', '.join(block)}")
    shapes = {name: np.shape(block[name]) for name in fields}
    steps = len(block[TARGET])
    if set(shapes.values()) != {(steps, points)}:
        raise ValueError(f"every array of a block is (steps, {points}), and not {shapes}")
    for name in (n for n in fields if n not in MANTISSA_BITS):
        top = len(QUALITY) - 1 if name == QUALITY_FLAG else np.iinfo(np.int8).max
        if steps and not (0 <= np.min(block[name]) and np.max(block[name]) <= top):
            raise ValueError(f"{name} is 0 to {top}, and not {np.min(block[name])} to {np.max(block[name])}")
    return steps


def create_field(file: netCDF4.Dataset, name: str, grid: Grid, steps: int) -> netCDF4.Variable:
    """An empty data variable (time, *grid) that will have ``steps`` steps.

    Only floats have `_FillValue`: flags and counts are never missing, and readers that find the
    attribute turn whole numbers into floats to have NaN.
    """
    dtype, fill = (np.float32, FLOAT_FILL) if name in MANTISSA_BITS else (np.int8, None)
    # Of the chunks that cover a tile: days come a month at a time, and each chunk is to be compressed once.
    tile, chunk = rows_of(grid, tiles(grid)[0]), space_chunks(grid)
    many = [-(-size // length) for size, length in zip((tile.stop, *grid.shape[1:]), chunk, strict=True)]
    cache = int(np.prod(many) * np.prod(chunk)) * min(TIME_CHUNK, steps) * np.dtype(dtype).itemsize
    return create_compressed(file, name, dtype, fill, grid, steps, cache)


def create_compressed(file: netCDF4.Dataset, name: str, dtype, fill, grid: Grid, steps: int,
                      cache_bytes: int) -> netCDF4.Variable:
    """An empty variable (time, *grid) in chunks; `cache_bytes` of memory hold those that are being filled."""
    variable = file.createVariable(
        name, dtype, (TIME, *grid.dims), compression="zlib", complevel=1, shuffle=True, fill_value=fill,
        chunk_cache=cache_bytes, chunksizes=(min(TIME_CHUNK, steps), *space_chunks(grid)))
    variable.set_auto_maskandscale(False)
    return variable


def encode(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a data variable as they lie in a NetCDF file: rounded, missing ones as the fill value."""
    values = rounded(name, values)
    if values.dtype == np.float32:
        np.copyto(values, FLOAT_FILL, where=np.isnan(values))
    return values


def rounded(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a data variable, rounded to the bits that are kept of it; a new array where they are floats.

    Rounding them once more changes nothing.
    """
    if name not in MANTISSA_BITS:
        return np.asarray(values, np.int8)
    return round_mantissa(values, MANTISSA_BITS[name], OUTWARDS.get(name, "nearest"))


def coordinates(grid: Grid, stamps: np.ndarray, frequency: cf.Frequency,
                distance: np.ndarray | None) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict]]:
    """Time, positions, height, distance to the nearest station and all bounds: name -> (dims, values, attributes)."""
    ends = cf.hours_since_epoch(stamps)
    values, bounds = _positions(grid)
    values |= {TIME: ((TIME,), ends), cf.HEIGHT: ((), np.array(INLET_HEIGHT_M))}
    bounds[TIME] = np.stack([ends - frequency.hours, ends], axis=1)
    if distance is not None:
        values[DISTANCE] = (grid.dims, np.asarray(distance, np.float32).reshape(grid.shape))
    found = {name: (*values[name], attributes)
             for name, attributes in cf.axis_attributes(grid, frequency, distance is not None).items()}
    for name, edges in bounds.items():
        corners = "nv" if edges.shape[-1] == 2 else "vertices"
        found[f"{name}_bnds"] = ((*values[name][0], corners), edges, {})
    return found


def write_coordinates(file: netCDF4.Dataset, grid: Grid, stamps: np.ndarray, frequency: cf.Frequency,
                      distance: np.ndarray | None) -> None:
    """Coordinates, bounds and grid mapping of a NetCDF file."""
    for name, (dims, array, attributes) in coordinates(grid, stamps, frequency, distance).items():
        for dimension, size in zip(dims, array.shape, strict=True):
            if dimension not in file.dimensions:
                file.createDimension(dimension, size)
        # In one piece; netCDF would by itself give each step of the bounds a chunk.
        variable = file.createVariable(name, str if array.dtype == object else array.dtype, dims,
                                       chunksizes=array.shape if TIME in dims else None)
        variable.setncatts(attributes)
        variable[...] = array
    mapping = file.createVariable(cf.CRS, "i4")
    mapping.setncatts(crs_attributes())
    mapping[...] = 0


def _positions(grid: Grid) -> tuple[dict, dict]:
    """Coordinates of a grid, name -> (dimensions, values), and bounds, name -> values."""
    if grid.kind == "regular":
        values = {LAT: ((LAT,), grid.axis_lat), LON: ((LON,), grid.axis_lon)}
    else:
        values = {LAT: (grid.dims, grid.lat.reshape(grid.shape)),
                  LON: (grid.dims, grid.lon.reshape(grid.shape))}
    if grid.kind == "points":
        values[cf.STATION_ID] = (grid.dims, np.array(grid.station_id, object))
    bounds = {} if grid.lat_bounds is None else {LAT: grid.lat_bounds, LON: grid.lon_bounds}
    return values, bounds


def layers(variable: netCDF4.Variable) -> Iterator[np.ndarray]:
    """The values of a variable (time, ...), some steps and rows at a time: as much as a tile of a chunk's steps."""
    row = int(np.prod(variable.shape[2:]))
    rows = max(TILE_POINTS // row, 1) if variable.chunking() == "contiguous" else variable.chunking()[1]
    rows *= max(TILE_POINTS // (rows * row), 1)
    for first in range(0, variable.shape[0], TIME_CHUNK):
        for start in range(0, variable.shape[1], rows):
            yield variable[first:first + TIME_CHUNK, start:start + rows]
