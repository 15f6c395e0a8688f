"""Writing a station archive: NetCDF-4, month by month under a hidden name, moved when whole.

The layout is described in observations.readers.station_archive; the attributes are in archive_attributes.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.observations.ingest.archive_attributes import (
    COUNT_TEXTS,
    STATION_TEXTS,
    ArchiveAbout,
    archive_global_attributes,
    column_attributes,
    variable_attributes,
)
from aqreanalysis.observations.readers.station_archive import (
    ANOMALY,
    COUNTS,
    FLAG,
    PROVENANCE,
    REFUSED,
    SKIPPED,
    SOURCE,
    TABLES,
    Provenance,
)
from aqreanalysis.output import cf
from aqreanalysis.output.encoding import TIME_CHUNK
from aqreanalysis.output.netcdf_file import (
    FLOAT_FILL,
    create_compressed,
    read_through,
    set_attributes,
    write_coordinates,
    write_text,
)
from aqreanalysis.schema import FLAG_DTYPE, OBSERVATION_FLAGS, POLLUTANTS, STATION, TIME

CACHE_BYTES = 8 << 20  # of one variable: months come in order, so that one chunk at a time is being filled
COUNTS_CHUNK = 8760    # hours
INGEST_FIX = "choose another place with --to; then give the same command again. Nothing was lost."


class ArchiveFile:
    """A station archive that is being written under a temporary name; see :func:`new_archive_file`."""

    def __init__(self, path: Path, part: Path, netcdf: netCDF4.Dataset, table: pd.DataFrame, hours: np.ndarray,
                 about: ArchiveAbout):
        self.path, self.table, self.hours, self.about = path, table, hours, about
        self._part, self._netcdf = part, netcdf
        self._grid = _points(table)
        self._several = len(about.sources) > 1
        self._define()

    def write(self, first: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write hours from number `first` on; months must come in order.

        arrays : (steps, stations) by name: float32 values, `<pollutant>_flag`, `<variable>_source`. A variable
            that is not given is missing in these hours.
        """
        stored = self._netcdf.variables
        wanted = [name for name in arrays if self._several or not name.endswith(SOURCE)]
        steps = len(arrays[POLLUTANTS[0]])
        with files.writing(self.path, INGEST_FIX):
            for name in wanted:
                if name not in stored:
                    self._create(name)
                    self._leave_empty(name, 0, first)
            for name in stored:
                if name in arrays:
                    values = arrays[name]
                    stored[name][first:first + steps] = (
                        np.where(np.isnan(values), FLOAT_FILL, values) if values.dtype.kind == "f" else values)
                elif stored[name].dimensions == (TIME, STATION):
                    self._leave_empty(name, first, first + steps)

    def finish(self, provenance: Provenance) -> None:
        """Write the provenance, check the file and move it to its name."""
        with files.writing(self.path, INGEST_FIX):
            self._write_provenance(provenance)
            self._netcdf.close()
            files.fsync(self._part)
            with netCDF4.Dataset(self._part) as written:  # damage is found before the old file is given up
                written.set_auto_maskandscale(False)
                deque(read_through(written), maxlen=0)
            os.replace(self._part, self.path)
            files.fsync(self.path.absolute().parent)

    def _define(self) -> None:
        file = self._netcdf
        set_attributes(file, archive_global_attributes(self.about, self._grid, self.hours))
        file.createDimension(TIME, None)
        file.createDimension(STATION, self._grid.size)
        write_coordinates(file, self._grid, self.hours, cf.HOURLY, None)
        for name, attributes in STATION_TEXTS.items():
            if name in self.table and self.table[name].notna().any():
                write_text(file, f"station_{name}", (STATION,), self.table[name].fillna(""),
                           attributes | {"coverage_content_type": "referenceInformation"})
        for name in POLLUTANTS:
            self._create(name)
            self._create(name + FLAG)
            if self._several:
                self._create(name + SOURCE)

    def _create(self, name: str) -> None:
        """A new variable. Only values have a fill value: flags and numbers of sources are never missing."""
        kind = next((kind for ending, kind in {FLAG: FLAG_DTYPE, SOURCE: np.uint8}.items() if name.endswith(ending)),
                    None)
        variable = create_compressed(self._netcdf, name, kind or "f4", None if kind else FLOAT_FILL, self._grid,
                                     len(self.hours), CACHE_BYTES)
        set_attributes(variable, variable_attributes(name, self.about))

    def _leave_empty(self, name: str, first: int, last: int) -> None:
        empty = {FLAG: OBSERVATION_FLAGS["missing"], SOURCE: 0}
        value = next((value for ending, value in empty.items() if name.endswith(ending)), FLOAT_FILL)
        for row in range(first, last, TIME_CHUNK):
            self._netcdf[name][row:min(row + TIME_CHUNK, last)] = value

    def _write_provenance(self, provenance: Provenance) -> None:
        group = self._netcdf.createGroup(PROVENANCE)
        kinds = list(provenance.tables["remark"]["kind"])
        versions = files.package_versions("aqreanalysis", "netCDF4", "numpy", "pandas", "xarray")
        set_attributes(group, {
            "software": json.dumps(versions, sort_keys=True),
            "stations_without_coordinates": json.dumps(self.table.attrs.get("without_coordinates", []),
                                                       ensure_ascii=False),
            "files_skipped": np.int32(kinds.count(SKIPPED) + kinds.count(REFUSED)),
            "oddities": np.int32(kinds.count(ANOMALY))})  # named as in version 0.1.0: the format is the same
        for table, columns in TABLES.items():
            rows = provenance.tables[table]
            group.createDimension(table, len(rows))
            for column in columns:
                name, array = f"{table}_{column}", _encoded(rows[column])
                if array.dtype == object:
                    write_text(group, name, (table,), array, column_attributes(table, column))
                    continue
                variable = group.createVariable(name, array.dtype, (table,))
                set_attributes(variable, column_attributes(table, column))
                if len(array):
                    variable[:] = array
        for number, name in enumerate(COUNTS):
            variable = group.createVariable(name, "i4", ("source", TIME), compression="zlib", complevel=1,
                                            shuffle=True, chunksizes=(1, min(len(self.hours), COUNTS_CHUNK)))
            variable.setncatts({"long_name": COUNT_TEXTS[name], "units": "1"})
            variable[:] = provenance.counts[:, number]


@contextmanager
def new_archive_file(path: Path, table: pd.DataFrame, hours: np.ndarray, about: ArchiveAbout) -> Iterator[ArchiveFile]:
    """A station archive to be written; the file that was there before stays until the new one is whole.

    Parameters
    ----------
    path : final name.
    table : stations, sorted by station_id: station_id, lat, lon and, where known, name, city, province.
    hours : (hours,) datetime64, complete, UTC, END of each hour.
    about : what only its maker knows. With several sources, each variable has its `<variable>_source`.
    """
    part, netcdf = files.part_name(path), None
    try:
        with files.writing(path, INGEST_FIX):
            netcdf = netCDF4.Dataset(part, "w", format="NETCDF4")
            file = ArchiveFile(path, part, netcdf, table, hours, about)
        yield file
    finally:
        files.discard_netcdf(netcdf, part)


def _points(table: pd.DataFrame) -> Grid:
    """The stations as a grid of points: their coordinates are written like those of a product."""
    lat, lon = table["lat"].to_numpy(np.float64), table["lon"].to_numpy(np.float64)
    return Grid("stations", "points", lat.shape, lat, lon, None, None, np.ones(lat.shape, bool),
                tuple(table["station_id"].astype(str)))


def _encoded(column: pd.Series) -> np.ndarray:
    """A column as it is stored: text, hours since the epoch, or whole numbers."""
    if column.name in ("first", "last"):
        return cf.hours_since_epoch(column.to_numpy("datetime64[h]"))
    if column.name in ("source", "vanished"):
        return column.to_numpy(np.int32)
    return column.to_numpy(np.int64 if column.name in ("bytes", "modified", "values") else object)
