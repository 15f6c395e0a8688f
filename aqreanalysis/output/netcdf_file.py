"""Product files in NetCDF-4, written block by block under a temporary name and moved when whole.

A file that exists under its final name is complete. One file is written by one process: HDF5 is not
thread-safe. The same content gives the same bytes.
"""

from __future__ import annotations

import os

import netCDF4
import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import BadFile
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import QUALITY_FLAG, About
from aqreanalysis.output.encoding import BYTE_FILL, TIME_CHUNK, create_field, encode, layers, write_coordinates
from aqreanalysis.output.writer import Steps
from aqreanalysis.schema import TIME


class NetCDFFile(Steps):
    """A product file as a context manager; nothing is there until the ``with`` block ends well and all is written.

    Parameters
    ----------
    path : final name.
    grid : where.
    stamps : (steps,) datetime64, UTC, END of each step.
    about : what the file says of itself.
    frequency : cf.HOURLY, cf.DAILY or cf.TRUTH: which variables it has.
    distance : (points,) km to the nearest station, if the file is to have it.

    Raises
    ------
    UserError : where the file can't be written, for want of space above all.
    """

    def __init__(self, path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
                 distance: np.ndarray | None = None):
        super().__init__(path, grid, len(stamps), cf.fields_of(frequency, about))
        self.stamps, self._about, self._distance = np.asarray(stamps), about, distance
        self._frequency = frequency
        self._part = files.part_name(self.path)
        self._netcdf = None

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._netcdf = netCDF4.Dataset(self._part, "w", format="NETCDF4")
        self._define()

    def _put(self, name: str, rows: slice, places: slice, values: np.ndarray) -> None:
        self._netcdf[name][rows, places] = encode(name, values)
        if name == self.fields[-1] and rows.stop % TIME_CHUNK == 0:
            self._netcdf.sync()  # whole chunks go to the disk, so that a full one is noticed now

    def _finish(self) -> None:
        with files.writing(self.path):
            self._netcdf.close()
            files.fsync(self._part)
        check_file(self._part, self.stamps)
        with files.writing(self.path):
            os.replace(self._part, self.path)
            files.fsync(self.path.parent)

    def _discard(self) -> None:
        files.discard_netcdf(self._netcdf, self._part)

    def _define(self) -> None:
        """Dimensions, coordinates, attributes and empty variables."""
        file, grid, about = self._netcdf, self.grid, self._about
        file.setncatts(cf.global_attributes(about, grid, self.stamps, self._frequency))
        file.createDimension(TIME, None)  # unlimited, so that ncrcat and others can join months
        for name, size in zip(grid.dims, grid.shape, strict=True):
            file.createDimension(name, size)
        write_coordinates(file, grid, self.stamps, self._frequency, self._distance)
        for name in self.fields:
            attributes = cf.field_attributes(name, about, grid, self._frequency, self._distance is not None)
            create_field(file, name, grid, len(self.stamps)).setncatts(attributes)


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
    for name in dict.fromkeys(cf.HOURLY.fields + cf.DAILY.fields):
        for values in layers(file[name]) if name in file.variables else ():
            # A flag has a value everywhere, so the filling of a new file shows where none was written.
            holes |= name == QUALITY_FLAG and bool((values == BYTE_FILL).any())
    return holes
