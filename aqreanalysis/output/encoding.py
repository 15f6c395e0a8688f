"""How the numbers of a product are stored, in any format: rounding, chunks, tiles, coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import DISTANCE, INLET_HEIGHT_M, MANTISSA_BITS, OBSERVATIONS, OUTWARDS
from aqreanalysis.schema import LAT, LON, TIME

# A week of hours by at most so many cells: one map and one point's series are both read in little time.
TIME_CHUNK = 168
SPACE_CHUNKS = {"regular": (45, 60), "curvilinear": (45, 60), "points": (2700,)}
TILE_POINTS = 60_000  # in memory at once: some 40 MB for each float32 variable of a week of hours
CACHED_NUMBERS = 1 << 15  # rounded at a time, so that they stay in the cache of a core
FLOAT32_MANTISSA_BITS = 23  # explicit ones


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


def grid_rows(grid: Grid, points: slice) -> slice:
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
    if not 1 <= bits <= FLOAT32_MANTISSA_BITS:
        raise ValueError(f"bits is 1 to 23, the explicit mantissa of float32, and not {bits}")
    array = np.ascontiguousarray(array, np.float32)
    if bits == FLOAT32_MANTISSA_BITS:
        return array.copy()
    drop, one = np.uint32(FLOAT32_MANTISSA_BITS - bits), np.uint32(1)
    rest = (one << drop) - one
    carry = {"nearest": (one << (drop - one)) - one, "down": np.uint32(0), "up": rest}[way]
    pattern, kept = array.reshape(-1).view(np.uint32), np.empty(array.size, np.uint32)
    for first in range(0, pattern.size, CACHED_NUMBERS):
        part, into = pattern[first:first + CACHED_NUMBERS], kept[first:first + CACHED_NUMBERS]
        np.add(part, carry, out=into)
        if way == "nearest":  # just under half of the last kept bit, or half where that bit is odd, carries
            into += (part >> drop) & one
        into &= ~rest
    result = kept.view(np.float32).reshape(array.shape)
    np.copyto(result, array, where=~np.isfinite(array))
    return result


def stored_type(name: str) -> np.dtype:
    """How a data variable is stored: estimates as float32, classes and hours as int8; a network may have more
    stations than a byte counts."""
    if name in MANTISSA_BITS:
        return np.dtype(np.float32)
    return np.dtype(np.int16 if name == OBSERVATIONS else np.int8)


def rounded(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a data variable as they are stored: floats rounded, in a new array; flags and counts by `stored_type`.

    Rounding rounded values changes nothing.
    """
    if name not in MANTISSA_BITS:
        return np.asarray(values, stored_type(name))
    return round_mantissa(values, MANTISSA_BITS[name], OUTWARDS.get(name, "nearest"))


def coordinates(grid: Grid, stamps: np.ndarray, frequency: cf.Frequency,
                distance: np.ndarray | None) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Time, positions, height, distance to the nearest station and all bounds: name -> (dims, values, attributes).

    stamps : (steps,) datetime64, END of each step. distance : (points,) km, where the file has it.
    """
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


def _positions(grid: Grid) -> tuple[dict[str, tuple[tuple[str, ...], np.ndarray]], dict[str, np.ndarray]]:
    """Coordinates of a grid, name -> (dimensions, values), and bounds, name -> values."""
    values: dict[str, tuple[tuple[str, ...], np.ndarray]]
    if grid.kind == "regular":
        values = {LAT: ((LAT,), grid.axis_lat), LON: ((LON,), grid.axis_lon)}
    else:
        values = {LAT: (grid.dims, grid.lat.reshape(grid.shape)),
                  LON: (grid.dims, grid.lon.reshape(grid.shape))}
    if grid.kind == "points":
        values[cf.STATION_ID] = (grid.dims, np.array(grid.station_id, object))
    if grid.lat_bounds is None or grid.lon_bounds is None:
        return values, {}
    return values, {LAT: grid.lat_bounds, LON: grid.lon_bounds}
