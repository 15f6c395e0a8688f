"""Product files: NetCDF-4, written block by block under a temporary name and moved when whole.

A file that exists under its final name is complete. One file is written by one process: HDF5 is not
thread-safe. The same content gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from aqreanalysis import cf, disk
from aqreanalysis.cf import QUALITY_FLAG, About
from aqreanalysis.clock import HOUR, HOURS_PER_DAY, UTC_OFFSET_HOURS, Period, local_days
from aqreanalysis.encoding import BYTE_FILL, TIME_CHUNK, check_block, create_field, encode, layers, write_coordinates
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.grids import Grid
from aqreanalysis.schema import LAT, LON, QUALITY, TARGET, TIME

MARK = ".part"  # in the name of a file that is being written


class _ProductFile:
    """A file of one frequency that is being written; leaves nothing behind unless it ends whole."""

    def __init__(self, path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
                 distance: np.ndarray | None):
        self.path, self.grid, self.stamps, self.frequency = Path(path), grid, np.asarray(stamps), frequency
        self._about, self._distance = about, distance
        self._part = self.path.with_name(f".{self.path.name}{MARK}{os.getpid()}")
        self._written = np.zeros(len(self.stamps), bool)
        self._netcdf = None

    def __enter__(self):
        try:
            with disk.writing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._netcdf = netCDF4.Dataset(self._part, "w", format="NETCDF4")
                self._define()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, first_index: int, block: Mapping[str, np.ndarray]) -> None:
        """Write the steps from ``first_index`` on.

        Parameters
        ----------
        first_index : position of the block's first step on the file's time axis.
        block : arrays (steps, points), one for each variable of the frequency; NaN is missing.
            Blocks that begin at multiples of 168 are written fastest and smallest.

        Raises
        ------
        ValueError : for a block that does not fit the file.
        UserError : where the disk is full.
        """
        steps = check_block(block, self.frequency.fields, self.grid.size)
        rows = slice(first_index, first_index + steps)
        if not 0 <= first_index <= rows.stop <= len(self.stamps):
            raise ValueError(f"steps {rows.start} to {rows.stop} are not all among the {len(self.stamps)}")
        with disk.writing(self.path):
            for name in self.frequency.fields:
                self._netcdf[name][rows] = encode(name, block[name]).reshape(steps, *self.grid.shape)
            if rows.stop % TIME_CHUNK == 0:  # whole chunks go to the disk, so that a full one is noticed now
                self._netcdf.sync()
        self._written[rows] = True

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _finish(self) -> None:
        if not self._written.all():
            missing = np.flatnonzero(~self._written)
            raise ValueError(f"{missing.size} steps of {self.path}, the first {missing[0]}, were not written")
        with disk.writing(self.path):
            self._netcdf.close()
            disk.fsync(self._part)
        check_file(self._part, self.stamps)
        with disk.writing(self.path):
            os.replace(self._part, self.path)
            disk.fsync(self.path.parent)

    def _discard(self) -> None:
        if self._netcdf is not None and self._netcdf.isopen():
            with suppress(RuntimeError):  # on a full disk closing fails too
                self._netcdf.close()
        with suppress(OSError):  # the error that led here is the one to tell
            self._part.unlink(missing_ok=True)

    def _define(self) -> None:
        """Dimensions, coordinates, attributes and empty variables."""
        file, grid, about = self._netcdf, self.grid, self._about
        file.setncatts(cf.global_attributes(about, grid, self.stamps, self.frequency))
        file.createDimension(TIME, None)  # unlimited, so that ncrcat and others can join months
        for name, size in zip(grid.dims, grid.shape, strict=True):
            file.createDimension(name, size)
        write_coordinates(file, grid, self.stamps, self.frequency, self._distance)
        for name in self.frequency.fields:
            attributes = cf.field_attributes(name, about, grid, self.frequency, self._distance is not None)
            create_field(file, name, grid, len(self.stamps)).setncatts(attributes)


class HourlyFile(_ProductFile):
    """An hourly product file as a context manager.

    Parameters
    ----------
    path : final name; nothing is there until the ``with`` block ends well and every hour is written.
    grid : where.
    hours : (hours,) datetime64, UTC, END of each hour.
    about : what the file says of itself.
    distance : (points,) km to the nearest station.

    Raises
    ------
    UserError : where the file can't be written, for want of space above all.
    """

    def __init__(self, path, grid: Grid, hours: np.ndarray, about: About, distance: np.ndarray):
        super().__init__(path, grid, hours, about, cf.HOURLY, distance)


class TruthFile(_ProductFile):
    """The twin's truth at the hours and places of a product; as :class:`HourlyFile`, with `pm25` alone."""

    def __init__(self, path, grid: Grid, hours: np.ndarray, about: About):
        super().__init__(path, grid, hours, about, cf.TRUTH, None)


def write_daily(path, grid: Grid, days, parts: Iterable[Mapping[str, np.ndarray]], about: About,
                distance: np.ndarray | None = None) -> None:
    """Write the daily product file.

    Parameters
    ----------
    path : final name; nothing is there until the file is whole.
    days : (days,) calendar days UTC+8, as datetime64[D] or dates.
    parts : in the order of the days, arrays (days_in_part, points) of pm25, pm25_standard_error,
        quality_flag and number_of_hours.
    distance : (points,) km to the nearest station, if it is wanted here too.
    """
    with _ProductFile(path, grid, end_of_days(days), about, cf.DAILY, distance) as file:
        first = 0
        for part in parts:
            file.write(first, part)
            first += len(part[TARGET])


def end_of_days(days) -> np.ndarray:
    """UTC stamps, datetime64[h] (days,), of the END of calendar days UTC+8.

    END as in the hourly file, one rule for all; and as 16:00 UTC has the date of the day it ends,
    picking by date and grouping by month need no shift. (The beginning would have the day before.)
    """
    midnight = np.asarray(days, "datetime64[D]").astype("datetime64[h]")
    return midnight + (HOURS_PER_DAY - UTC_OFFSET_HOURS) * HOUR


def check_file(path, stamps: np.ndarray | None = None) -> None:
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
            times, holes = file[TIME][:], _read_through(file)
    except (OSError, RuntimeError, IndexError) as error:
        raise BadFile(f"{path} can't be read: {error}.", "A product file is a whole NetCDF-4 file.",
                      again) from error
    if stamps is not None and not np.array_equal(times, cf.hours_since_epoch(stamps)):
        raise BadFile(f"{path} has {len(times)} times that are not the {len(stamps)} it should have.",
                      "A product file has every step of its period and no other.", again)
    if holes:
        raise BadFile(f"{path} has steps that were never written.", "A product file is complete.", again)


def _read_through(file: netCDF4.Dataset) -> bool:
    """Read every value, which finds damage as zlib holds checksums; whether a step was never written."""
    holes = False
    for name in (n for n in cf.HOURLY.fields + cf.DAILY.fields[-1:] if n in file.variables):
        for values in layers(file[name]):
            # A flag has a value everywhere, so the filling of a new file shows where none was written.
            holes |= name == QUALITY_FLAG and bool((values == BYTE_FILL).any())
    return holes


def remove_leftovers(folder) -> int:
    """Remove what killed processes left in a folder that nobody else is writing to; how many files."""
    leftovers = list(Path(folder).glob(f".*.nc{MARK}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def read_mean(paths, variable: str = TARGET, period: Period | None = None) -> xr.Dataset:
    """The mean over time of a variable, read in layers of at most 168 steps.

    Parameters
    ----------
    paths : one product file or several of one grid, hourly or daily.
    period : calendar days UTC+8 that count; all where it is not given.

    Returns
    -------
    Dataset on the grid's dimensions with its coordinates and the first file's attributes:
    ``variable``, float32, NaN where every value is missing, and ``count``, how many values each
    mean has.

    Raises
    ------
    UserError : if a file can't be read, lies on another grid, or no file has a step in the period.
    """
    place, total, count = None, 0.0, 0
    for file, values in _values(paths, variable, period):
        if place is None:
            place, about = file[variable][0].drop_vars(TIME).load(), file.attrs
        present = np.isfinite(values)
        total = total + np.where(present, values, 0).sum(axis=0, dtype=np.float64)
        count = count + present.sum(axis=0, dtype=np.int32)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return xr.Dataset({variable: place.copy(data=mean), "count": place.copy(data=count)}, attrs=about)


def read_most_frequent(paths, variable: str = QUALITY_FLAG, period: Period | None = None) -> np.ndarray:
    """The class of most steps, int8 of the grid's shape; of equally many the lowest. As :func:`read_mean`."""
    counts = 0
    for _, values in _values(paths, variable, period):
        counts = counts + np.stack([(values == number).sum(axis=0) for number in range(len(QUALITY))])
    return counts.argmax(axis=0).astype(np.int8)


def _values(paths, variable: str, period: Period | None) -> Iterator[tuple[xr.Dataset, np.ndarray]]:
    """Each file with its values (steps, *grid) in layers of at most 168 steps; a layer at least."""
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    first, found = None, False
    for path in paths:
        with _opened(path, variable) as file:
            axes = [file[LAT].values, file[LON].values]
            first = axes if first is None else first
            if not all(map(np.array_equal, axes, first)):
                raise UserError(f"{path} lies on another grid than {paths[0]}.",
                                "Files that are read together have one grid.",
                                "Name the files of one product.")
            for values in _selected(file[variable], period):
                found = True
                yield file, values
    if not found:
        named = f" in the period {period.label}" if period else ""
        raise UserError(f"None of {len(paths)} files has a step{named}.", "A map needs at least one step.",
                        "Choose days that the product has.")


@contextmanager
def _opened(path, variable: str) -> Iterator[xr.Dataset]:
    """A product file that has ``variable`` over time, through xarray."""
    try:
        file = xr.open_dataset(path, engine="netcdf4")
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} can't be read: {error}.", "A product file is a whole NetCDF-4 file.",
                      "Give the path of a file that was made by aqreanalysis build.") from error
    with file:
        over_time = [name for name in file.data_vars if file[name].dims[:1] == (TIME,)]
        if variable not in over_time:
            raise UserError(f"{path} has no variable {variable} over time.",
                            f"It has {', '.join(over_time)}.", "Name one of these.")
        yield file


def _selected(field: xr.DataArray, period: Period | None) -> Iterator[np.ndarray]:
    """Values (steps, *grid) of at most 168 steps at a time, of the days of ``period``."""
    days = local_days(field[TIME].values)
    for first in range(0, len(days), TIME_CHUNK):
        part = days[first:first + TIME_CHUNK]
        wanted = slice(None)
        if period is not None:
            wanted = (part >= np.datetime64(period.first)) & (part <= np.datetime64(period.last))
            if not wanted.any():
                continue
        yield field[first:first + TIME_CHUNK].values[wanted]
