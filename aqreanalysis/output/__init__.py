"""Product files: NetCDF-4, written block by block under a temporary name and moved when whole.

A file that exists under its final name is complete. One file is written by one process: HDF5 is not
thread-safe. The same content gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import netCDF4
import numpy as np

from aqreanalysis.clock import HOUR, HOURS_PER_DAY, UTC_OFFSET_HOURS
from aqreanalysis.errors import BadFile
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf, disk
from aqreanalysis.output.cf import QUALITY_FLAG, About
from aqreanalysis.output.encoding import (
    BYTE_FILL,
    TIME_CHUNK,
    check_block,
    create_field,
    encode,
    layers,
    write_coordinates,
)
from aqreanalysis.output.means import read_mean, read_most_frequent
from aqreanalysis.schema import TARGET, TIME

__all__ = ["About", "HourlyFile", "TruthFile", "check_file", "end_of_days", "read_mean", "read_most_frequent",
           "remove_leftovers", "write_daily"]

MARK = ".part"  # in the name of a file that is being written


class _ProductFile:
    """A file of one frequency that is being written; leaves nothing behind unless it ends whole."""

    def __init__(self, path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
                 distance: np.ndarray | None):
        self.path, self.grid, self.stamps, self.frequency = Path(path), grid, np.asarray(stamps), frequency
        self.fields = cf.fields_of(frequency, about)
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
            disk.discard(self._netcdf, self._part)
            raise
        return self

    def write(self, first_index: int, block: Mapping[str, np.ndarray]) -> None:
        """Write the steps from ``first_index`` on.

        Parameters
        ----------
        first_index : position of the block's first step on the file's time axis.
        block : arrays (steps, points), one for each of `fields`; NaN is missing.
            Blocks that begin at multiples of 168 are written fastest and smallest.

        Raises
        ------
        ValueError : for a block that does not fit the file.
        UserError : where the disk is full.
        """
        steps = check_block(block, self.fields, self.grid.size)
        rows = slice(first_index, first_index + steps)
        if not 0 <= first_index <= rows.stop <= len(self.stamps):
            raise ValueError(f"steps {rows.start} to {rows.stop} are not all among the {len(self.stamps)}")
        with disk.writing(self.path):
            for name in self.fields:
                self._netcdf[name][rows] = encode(name, block[name]).reshape(steps, *self.grid.shape)
            if rows.stop % TIME_CHUNK == 0:  # whole chunks go to the disk, so that a full one is noticed now
                self._netcdf.sync()
        self._written[rows] = True

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            disk.discard(self._netcdf, self._part)

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

    def _define(self) -> None:
        """Dimensions, coordinates, attributes and empty variables."""
        file, grid, about = self._netcdf, self.grid, self._about
        file.setncatts(cf.global_attributes(about, grid, self.stamps, self.frequency))
        file.createDimension(TIME, None)  # unlimited, so that ncrcat and others can join months
        for name, size in zip(grid.dims, grid.shape, strict=True):
            file.createDimension(name, size)
        write_coordinates(file, grid, self.stamps, self.frequency, self._distance)
        for name in self.fields:
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
        quality_flag and number_of_hours; the bounds too where `about` says what they hold.
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
