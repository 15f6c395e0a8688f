"""Product files in NetCDF-4, written block by block under a temporary name and moved when whole.

A file that exists under its final name is complete. One file is written by one process: HDF5 is not
thread-safe. The same content gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from aqreanalysis import files
from aqreanalysis.errors import BadFile
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import MANTISSA_BITS, QUALITY_FLAG, About, crs_attributes
from aqreanalysis.output.encoding import (
    TILE_POINTS,
    TIME_CHUNK,
    coordinates,
    grid_rows,
    rounded,
    space_chunks,
    stored_type,
    tiles,
)
from aqreanalysis.output.writer import PartWriter, ProductPart
from aqreanalysis.schema import TIME

FLOAT_FILL = np.float32(netCDF4.default_fillvals["f4"])
TEXTS_AT_ONCE = 1000
BYTE_FILL = np.int8(netCDF4.default_fillvals["i1"])


class NetCDFFormat:
    """A file for each month of hours and each year of days (the protocol is :class:`formats.Format`)."""

    suffix = ".nc"
    plural = "NetCDF files"
    shares_stores = False

    def create(self, path: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
               months: int = 0, fresh: bool = False) -> None:
        """Nothing is to be done: the writer of its only part creates the file."""

    def open_part(self, part: ProductPart, grid: Grid, about: About, frequency: cf.Frequency,
                  distance: np.ndarray | None = None) -> PartWriter:
        """The writer of a file."""
        return NetCDFWriter(part.path, grid, part.stamps, about, frequency, distance)

    def reopen(self, path: Path) -> None:
        """Nothing is to be done: a file is replaced as a whole."""

    def finish(self, path: Path) -> None:
        """Nothing is to be done: the writer has moved the file to its name."""

    def fingerprint(self, path: Path, part: ProductPart | None = None) -> dict[str, int | str]:
        """`bytes` and `sha256` of the file."""
        return {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}

    def open_dataset(self, path: Path, **options: Any) -> xr.Dataset:
        """The file through xarray, read as it is asked for."""
        return xr.open_dataset(path, engine="netcdf4", **({"chunks": None} | options))

    def abandoned(self, folder: Path) -> list[Path]:
        """None: no process continues the file of another."""
        return []


class NetCDFWriter(PartWriter):
    """Writes a product file, as a context manager; the file appears when the block ends well and all is written.

    Parameters
    ----------
    path : final name.
    grid : where.
    stamps : (steps,) datetime64, UTC, END of each step.
    about : what the file states about itself.
    frequency : cf.HOURLY, cf.DAILY or cf.TRUTH: which variables it has.
    distance : (points,) km to the nearest station, if the file is to have it.

    Raises
    ------
    UserError : where the file can't be written, for want of space above all.
    """

    def __init__(self, path: Path | str, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
                 distance: np.ndarray | None = None):
        super().__init__(path, grid, len(stamps), cf.fields_of(frequency, about))
        self._stamps, self._about, self._distance = np.asarray(stamps), about, distance
        self._frequency = frequency
        self._part = files.part_name(self.path)
        self._netcdf: netCDF4.Dataset | None = None

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._netcdf = netCDF4.Dataset(self._part, "w", format="NETCDF4")
        self._define(self._netcdf)

    def _put(self, name: str, steps: slice, rows: slice, values: np.ndarray) -> None:
        assert self._netcdf is not None  # opened by `_begin`
        self._netcdf[name][steps, rows] = encode(name, values)
        if name == self.fields[-1] and steps.stop % TIME_CHUNK == 0:
            self._netcdf.sync()  # whole chunks go to the disk, so that a full one is noticed now

    def _finish(self) -> None:
        assert self._netcdf is not None
        with files.writing(self.path):
            self._netcdf.close()
            files.fsync(self._part)
        check_file(self._part, self._stamps)
        with files.writing(self.path):
            os.replace(self._part, self.path)
            files.fsync(self.path.parent)

    def _discard(self) -> None:
        files.discard_netcdf(self._netcdf, self._part)

    def _define(self, file: netCDF4.Dataset) -> None:
        """Dimensions, coordinates, attributes and empty variables."""
        grid, about = self.grid, self._about
        set_attributes(file, cf.global_attributes(about, grid, self._stamps, self._frequency))
        file.createDimension(TIME, None)  # unlimited, so that ncrcat and others can join months
        for name, size in zip(grid.dims, grid.shape, strict=True):
            file.createDimension(name, size)
        write_coordinates(file, grid, self._stamps, self._frequency, self._distance)
        for name in self.fields:
            attributes = cf.field_attributes(name, about, grid, self._frequency, self._distance is not None)
            set_attributes(create_field(file, name, grid, len(self._stamps)), attributes)


def create_field(file: netCDF4.Dataset, name: str, grid: Grid, steps: int) -> netCDF4.Variable:
    """An empty data variable (time, *grid) that will have ``steps`` steps.

    Only floats have `_FillValue`: flags and counts are never missing, and readers that find the
    attribute turn whole numbers into floats to have NaN.
    """
    dtype, fill = stored_type(name), FLOAT_FILL if name in MANTISSA_BITS else None
    # Of the chunks that cover a tile: days come a month at a time, and each chunk is to be compressed once.
    tile, chunk = grid_rows(grid, tiles(grid)[0]), space_chunks(grid)
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
    """Values of a data variable as a NetCDF file stores them: rounded, missing ones as the fill value."""
    values = rounded(name, values)
    if values.dtype == np.float32:
        np.copyto(values, FLOAT_FILL, where=np.isnan(values))
    return values


def write_coordinates(file: netCDF4.Dataset, grid: Grid, stamps: np.ndarray, frequency: cf.Frequency,
                      distance: np.ndarray | None) -> None:
    """Coordinates, bounds and grid mapping of a NetCDF file."""
    for name, (dims, array, attributes) in coordinates(grid, stamps, frequency, distance).items():
        write_coordinate(file, name, dims, array, attributes)
    mapping = file.createVariable(cf.CRS, "i4")
    set_attributes(mapping, crs_attributes())
    mapping[...] = 0


def write_coordinate(file: netCDF4.Dataset, name: str, dims: tuple[str, ...], array: np.ndarray,
                     attributes: Mapping[str, Any]) -> None:
    """A coordinate or its bounds, with the dimensions that are not there yet; what has time in one piece.

    netCDF would by itself give each step of the bounds a chunk.
    """
    for dimension, size in zip(dims, array.shape, strict=True):
        if dimension not in file.dimensions:
            file.createDimension(dimension, size)
    if array.dtype == object:
        write_text(file, name, dims, array, attributes)
        return
    variable = file.createVariable(name, array.dtype, dims, chunksizes=array.shape if TIME in dims else None)
    set_attributes(variable, attributes)
    variable[...] = array


def set_attributes(of: netCDF4.Dataset | netCDF4.Variable, attributes: Mapping[str, Any]) -> None:
    """Set attributes, texts as characters in UTF-8: netCDF4 would make strings, as below, of those beyond ASCII."""
    of.setncatts({name: value.encode() if isinstance(value, str) else value for name, value in attributes.items()})


def write_text(group: netCDF4.Dataset | netCDF4.Group, name: str, dims: tuple[str, ...], texts: Iterable[str],
               attributes: Mapping[str, Any]) -> None:
    """A variable of texts on one dimension as characters in UTF-8 (dims, <name>_strlen), padded with NUL.

    Not as strings of variable length, which CF allows too: Octave, Fortran and many builds of NCO and CDO cannot read
    those. `_Encoding` tells netCDF4-python and xarray to make strings of it.
    """
    rows = [text.encode() for text in texts]
    width = max(map(len, rows), default=0) or 1
    group.createDimension(f"{name}_strlen", width)
    variable = group.createVariable(name, "S1", (*dims, f"{name}_strlen"), compression="zlib", complevel=1)
    set_attributes(variable, {**attributes, "_Encoding": "utf-8"})
    variable.set_auto_chartostring(False)
    for first in range(0, len(rows), TEXTS_AT_ONCE):  # one long text makes all as long
        part = np.array(rows[first:first + TEXTS_AT_ONCE], f"S{width}")
        variable[first:first + len(part)] = part.view("S1").reshape(len(part), width)


def read_text(variable: netCDF4.Variable) -> np.ndarray:
    """Texts, objects (n,), of a variable of characters, or of strings as versions before 0.2.0 wrote them."""
    parts = [np.asarray(variable[first:first + TEXTS_AT_ONCE], object)
             for first in range(0, variable.shape[0], TEXTS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.array([], object)


def check_file(path: Path | str, stamps: np.ndarray | None = None) -> None:
    """Read a product file through.

    Parameters
    ----------
    stamps : (times,) datetime64, END of each step: the times that it should have, where known.

    Raises
    ------
    BadFile : if it can't be read to its end, has other times, or steps that were never written.
    """
    again = "Delete it and give the same command again."
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            # A flag has a value everywhere, so the filling of a new file shows where none was written.
            holes = [name == QUALITY_FLAG and bool((values == BYTE_FILL).any()) for name, values in read_through(file)]
            times = file[TIME][:]
    except (OSError, RuntimeError, IndexError) as error:
        raise BadFile(f"{path} can't be read: {error}.", "A product file is a whole NetCDF-4 file.",
                      again) from error
    if stamps is not None and not np.array_equal(times, cf.hours_since_epoch(stamps)):
        raise BadFile(f"{path} has {len(times)} times that are not the {len(stamps)} it should have.",
                      "A product file has every step of its period and no other.", again)
    if any(holes):
        raise BadFile(f"{path} has steps that were never written.", "A product file is complete.", again)


def read_through(file: netCDF4.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Every value of the variables over time and space, in pieces: names and arrays (steps, rows, ...).

    Reading them all finds damage, as zlib holds checksums. A piece is no larger than a tile of a week of hours.
    """
    for name, variable in file.variables.items():
        if variable.dimensions[:1] == (TIME,) and variable.ndim > 1:
            width = int(np.prod(variable.shape[2:]))
            chunks = variable.chunking()
            rows = int(chunks[1]) if isinstance(chunks, list) else 1
            rows *= max(TILE_POINTS // (rows * width), 1)
            for first in range(0, variable.shape[0], TIME_CHUNK):
                for start in range(0, variable.shape[1], rows):
                    yield name, variable[first:first + TIME_CHUNK, start:start + rows]
