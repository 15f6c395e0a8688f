"""How the numbers of a product lie in a NetCDF-4 file: rounding, fill values, chunks, coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import netCDF4
import numpy as np

from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import DISTANCE, MANTISSA_BITS, OUTWARDS, QUALITY_FLAG
from aqreanalysis.output.crs import crs_attributes
from aqreanalysis.output.extent import INLET_HEIGHT_M
from aqreanalysis.schema import LAT, LON, QUALITY, TARGET, TIME

# A week of hours by some 5 degrees: one map and one point's series are both read in little time.
TIME_CHUNK = 168
SPACE_CHUNKS = {"regular": (45, 60), "curvilinear": (45, 60), "points": (2700,)}
CACHE_BYTES = 2**26  # of one variable: holds a layer of chunks that is being filled
FLOAT_FILL = np.float32(netCDF4.default_fillvals["f4"])
BYTE_FILL = np.int8(netCDF4.default_fillvals["i1"])


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
    array = np.asarray(array, np.float32)
    drop = np.uint32(23 - bits)
    if drop == 0:
        return array.copy()
    one = np.uint32(1)
    pattern = array.view(np.uint32)
    rest = (one << drop) - one
    # Adding just under half of the last kept bit, or half where that bit is odd, carries as rounding does.
    nearest = {"nearest": lambda: ((one << (drop - one)) - one) + ((pattern >> drop) & one)}
    carry = (nearest | {"down": lambda: np.uint32(0), "up": lambda: rest})[way]()
    rounded = ((pattern + carry) & ~rest).view(np.float32)
    return np.where(np.isfinite(array), rounded, array)


def rounded(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a float variable as they will be read again; rounding them once more changes nothing."""
    return round_mantissa(values, MANTISSA_BITS[name], OUTWARDS.get(name, "nearest"))


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
    dtype, fill = ("f4", FLOAT_FILL) if name in MANTISSA_BITS else ("i1", None)
    return create_compressed(file, name, dtype, fill, grid, steps, CACHE_BYTES)


def create_compressed(file: netCDF4.Dataset, name: str, dtype, fill, grid: Grid, steps: int,
                      cache_bytes: int) -> netCDF4.Variable:
    """An empty variable (time, *grid) in chunks; `cache_bytes` of memory hold those that are being filled."""
    variable = file.createVariable(
        name, dtype, (TIME, *grid.dims), compression="zlib", complevel=1, shuffle=True, fill_value=fill,
        chunk_cache=cache_bytes,
        chunksizes=[min(pair) for pair in zip((TIME_CHUNK, *SPACE_CHUNKS[grid.kind]), (steps, *grid.shape),
                                              strict=True)])
    variable.set_auto_maskandscale(False)
    return variable


def encode(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a data variable as they lie in the file: rounded, missing ones as the fill value."""
    if name not in MANTISSA_BITS:
        return np.asarray(values, np.int8)
    values = rounded(name, values)
    return np.where(np.isnan(values), FLOAT_FILL, values)


def write_coordinates(file: netCDF4.Dataset, grid: Grid, stamps: np.ndarray, frequency: cf.Frequency,
                      distance: np.ndarray | None) -> None:
    """Time, positions, their bounds, height, distance to the nearest station, grid mapping."""
    ends = cf.hours_since_epoch(stamps)
    values, bounds = _positions(grid)
    values |= {TIME: ((TIME,), ends), cf.HEIGHT: ((), np.float64(INLET_HEIGHT_M))}
    bounds[TIME] = np.stack([ends - frequency.hours, ends], axis=1)
    if distance is not None:
        values[DISTANCE] = (grid.dims, np.asarray(distance, np.float32).reshape(grid.shape))
    for name, attributes in cf.axis_attributes(grid, frequency, distance is not None).items():
        dims, array = values[name]
        _write_whole(file, name, dims, array, attributes)
    for name, edges in bounds.items():
        corners = "nv" if edges.shape[-1] == 2 else "vertices"
        if corners not in file.dimensions:
            file.createDimension(corners, edges.shape[-1])
        _write_whole(file, f"{name}_bnds", (*values[name][0], corners), edges, {})
    file.createVariable(cf.CRS, "i4").setncatts(crs_attributes())


def _write_whole(file: netCDF4.Dataset, name: str, dims: tuple[str, ...], array: np.ndarray, attributes: dict) -> None:
    """A variable in one piece; netCDF would by itself give each step of the bounds a chunk."""
    dtype = str if array.dtype == object else array.dtype
    chunks = array.shape if TIME in dims else None
    variable = file.createVariable(name, dtype, dims, chunksizes=chunks)
    variable.setncatts(attributes)
    variable[...] = array


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
    """The values of a variable (time, ...), as many steps at a time as a chunk has."""
    for first in range(0, len(variable), TIME_CHUNK):
        yield variable[first:first + TIME_CHUNK]
