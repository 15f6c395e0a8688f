"""Our own station archive: the NetCDF file that `aqreanalysis ingest` writes (ingest.archive_writer).

Layout: `pm25(time, station)` and its five companions as they were reported, `<pollutant>_flag` with every bit of
quality control, weather where a source gave it, and, where several sources were merged, `<variable>_source`, the
number of the source of each value. The group `provenance` holds tables of sources, of their files and of
remarks, and counts by source and hour. This module has the names that reader and
writer share.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import __version__, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations import quality, stations
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp
from aqreanalysis.output.netcdf_file import read_text
from aqreanalysis.time_axis import HOUR

FORMAT_ATTRIBUTE, FORMAT = "aqreanalysis_format", "station archive 1"
SETTINGS_ATTRIBUTE = "quality_settings"  # JSON
PROVENANCE, FLAG, SOURCE = "provenance", "_flag", "_source"
PRESET = schema.OBSERVATION_FLAGS["conflicting"]  # bits that readers set; all others are quality.screen's
COUNTS = ("values", "repeated", "differing")
# Kinds of remarks: on a file that is skipped, on one that holds no hour at all, on an anomaly in one that is used
SKIPPED, REFUSED, ANOMALY, PASSED_OVER, NOTE = "skipped", "refused", "odd", "passed over", "note"  # of remarks
TABLES = {  # columns of the provenance's tables; the columns named `first` and `last` are END-of-hour stamps
    "source": ("name", "phrase", "station_table"),
    "file": ("source", "name", "sha256", "bytes", "modified", "first", "last", "values", "vanished"),
    "remark": ("source", "kind", "first", "last", "text"),
}
_STREAM_HOURS = 31 * 24  # read at a time where a whole archive is looked at


@dataclass
class Provenance:
    """What an archive was made of. Sources are numbered from 1, in the order of precedence."""

    tables: dict[str, pd.DataFrame]  # source, file, remark with the columns of TABLES
    counts: np.ndarray               # int32 (sources, len(COUNTS), hours of the archive)

    @classmethod
    def empty(cls) -> Provenance:
        """That of an archive without sources."""
        return cls({name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()},
                   np.zeros((0, len(COUNTS), 0), np.int32))


def _is_station_archive(path: Path) -> bool:
    """Whether a path is such a file."""
    return _looks_like_netcdf(path) and _why_no_station_archive(path) is None


def _station_archive_refusals(path: Path) -> list[str]:
    """Why a NetCDF file is no station archive."""
    text = _why_no_station_archive(path) if _looks_like_netcdf(path) else None
    return [text] if text else []


def check_folder(path: Path) -> None:
    """UserError for a folder that holds station archives: each is a file by itself."""
    found = [file for file in sorted(path.iterdir()) if _is_station_archive(file)] if path.is_dir() else []
    if not found:
        return
    shown = f"{', '.join(file.name for file in found[:3])}{' ...' * (len(found) > 3)}"
    what = "a station archive" if len(found) == 1 else f"{len(found)} station archives"
    all_of_them = " ".join(str(file) for file in found[:3]) + " ..." * (len(found) > 3)
    others = f", or merge them: aqreanalysis ingest {all_of_them} --to archive.nc" * (len(found) > 1)
    raise UserError(f"{path} is a folder that holds {what} ({shown}).", "A station archive is a file.",
                    f"Name the file, {found[0]}{others}.")


def _looks_like_netcdf(path: Path) -> bool:
    return path.suffix.lower() in (".nc", ".nc4") and path.is_file()


def _why_no_station_archive(path: Path) -> str | None:
    try:
        with netCDF4.Dataset(path) as file:
            form = getattr(file, FORMAT_ATTRIBUTE, None)
    except (OSError, RuntimeError) as error:
        return f"{path.name} can't be read as NetCDF ({error})"
    if form is None:
        return f"{path.name} is NetCDF, but no station archive"
    return None if form == FORMAT else f"{path.name} is a {form!r}; this version reads {FORMAT!r}"


class StationArchive:
    """A station archive at a path.

    Attributes
    ----------
    hours : datetime64[ns] (hours,), the complete hourly axis, UTC, END of each hour.
    version : of the package that wrote it.
    settings : the quality control's settings that the stored flags follow from.
    variables : pollutants, and weather where there is some.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        with self._opened() as file:
            self.source, self.simulated = file.source, file.simulated == "true"
            self.version = file.product_version
            self.settings = json.loads(getattr(file, SETTINGS_ATTRIBUTE))
            self.hours = _stamps(file[schema.TIME]).astype("datetime64[ns]")
            self.variables = [name for name in (*schema.POLLUTANTS, *schema.WEATHER) if name in file.variables]
            self.stations = _station_table(file)
            self.stations.attrs["without_coordinates"] = json.loads(file[PROVENANCE].stations_without_coordinates)

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour of the axis."""
        return self.hours[0], self.hours[-1]

    def parts(self) -> list[ArchivePart]:
        """The file itself."""
        return [ArchivePart.of(self.path, self.path, *self.period())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """How many values there are, what readers remarked, and a hash of values and places."""
        found = Inspection(good=1)
        rows = self._rows(time_axis.complete_hours(start, end))[1]
        with self._opened() as file:
            for first in range(rows.start, rows.stop, _STREAM_HOURS):
                part = slice(first, min(first + _STREAM_HOURS, rows.stop))
                for name in self.variables:
                    values = _float_values(file[name], part)
                    found.values += int(np.isfinite(values).sum()) if name == schema.TARGET else 0
                    found.digest.update(name.encode() + values.tobytes())
                for name in schema.POLLUTANTS:
                    found.digest.update((file[name + FLAG][part] & PRESET).tobytes())
        found.digest.update(self.hours[rows].tobytes())
        found.add_stations(self.stations)
        remarks = self.provenance().tables["remark"]
        remarks = remarks[(remarks["first"] <= pd.Timestamp(end)) & (remarks["last"] >= pd.Timestamp(start))]
        found.skipped.extend(remarks["text"][remarks["kind"].isin((SKIPPED, REFUSED))])
        for into, kind in ((found.anomalies, ANOMALY), (found.passed_over, PASSED_OVER), (found.notes, NOTE)):
            into.extend(remarks["text"][remarks["kind"] == kind])
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`, with the flags that the sources' readers set."""
        return self._cube(start, end, PRESET)

    def screened_with(self, settings: quality.QualitySettings) -> bool:
        """Whether the stored flags are those that this version's quality control gives under some settings."""
        return self.version == __version__ and self.settings == settings.model_dump(mode="json")

    def read_screened(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """As `read`, with all flags, as quality control under `settings` set them when the archive was written."""
        return self._cube(start, end, np.iinfo(schema.FLAG_DTYPE).max)

    def _cube(self, start: Stamp, end: Stamp, bits: int) -> xr.Dataset:
        hours = time_axis.complete_hours(start, end)
        layers = self.layers(hours, self.stations["station_id"])
        fields = {name: layers[name] for name in self.variables}
        fields |= {name + FLAG: layers[name + FLAG] & schema.FLAG_DTYPE(bits) for name in schema.POLLUTANTS}
        cube = stations.empty_cube(hours, self.stations)
        return cube.assign({name: ((schema.TIME, schema.STATION), array) for name, array in fields.items()})

    def layers(self, hours: np.ndarray, station_id) -> dict[str, np.ndarray]:
        """What is stored, arrays (hours, stations), for any consecutive hours and any stations.

        By name of the variable: float32 values, NaN where there is none; flags (`missing` where the archive has no
        such hour or station); and `<variable>_source`, the number of the source of each value, 0 for none.
        """
        to, rows = self._rows(hours)
        place = pd.Index(station_id).get_indexer(self.stations["station_id"])
        known = np.flatnonzero(place >= 0)
        shape, found = (len(hours), len(station_id)), {}

        def put(name: str, stored: np.ndarray, nothing) -> None:
            found[name] = np.full(shape, nothing, stored.dtype)
            found[name][to, place[known]] = stored[:, known]

        with self._opened() as file:
            for name in self.variables:
                values = _float_values(file[name], rows)
                put(name, values, np.nan)
                put(name + SOURCE, file[name + SOURCE][rows] if name + SOURCE in file.variables
                    else (~np.isnan(values)).astype(np.uint8), 0)
            for name in schema.POLLUTANTS:
                put(name + FLAG, file[name + FLAG][rows], schema.OBSERVATION_FLAGS["missing"])
        return found

    def provenance(self) -> Provenance:
        """What the archive was made of."""
        with self._opened() as file:
            group = file[PROVENANCE]
            tables = {name: pd.DataFrame({column: _column(group[f"{name}_{column}"]) for column in columns})
                      for name, columns in TABLES.items()}
            counts = np.stack([group[name][:] for name in COUNTS], axis=1)
        return Provenance(tables, counts)

    def _rows(self, hours: np.ndarray) -> tuple[slice, slice]:
        """Which of some consecutive hours the archive has, and where they lie in it."""
        offset = int((hours[0] - self.hours[0]) / HOUR)
        first, last = max(offset, 0), min(offset + len(hours), len(self.hours))
        last = max(first, last)
        return slice(first - offset, last - offset), slice(first, last)

    @contextmanager
    def _opened(self):
        try:
            with netCDF4.Dataset(self.path) as file:
                file.set_auto_maskandscale(False)
                yield file
        except (OSError, RuntimeError, IndexError, AttributeError) as error:
            raise UserError(f"The station archive {self.path} can't be read ({error}).",
                            "It is a whole NetCDF-4 file, as `aqreanalysis ingest` wrote it.",
                            "Delete it and ingest again.") from error


def _float_values(variable: netCDF4.Variable, rows: slice) -> np.ndarray:
    """float32 with NaN for what is missing."""
    stored = variable[rows]
    return np.where(stored == variable._FillValue, np.float32(np.nan), stored)


def _stamps(variable: netCDF4.Variable) -> np.ndarray:
    """datetime64[h] of a variable in `hours since ...`."""
    epoch = np.datetime64(variable.units.removeprefix("hours since ").replace(" ", "T"), "h")
    return epoch + variable[:].astype("timedelta64[h]")


def _column(variable: netCDF4.Variable) -> np.ndarray:
    if "hours since" in getattr(variable, "units", ""):
        return _stamps(variable)
    return variable[:] if variable.dtype != str and variable.dtype.kind in "iuf" else read_text(variable)


def _station_table(file: netCDF4.Dataset) -> pd.DataFrame:
    table = pd.DataFrame({"station_id": read_text(file["station_id"]).astype(str), "lon": file[schema.LON][:],
                          "lat": file[schema.LAT][:]})
    for name in ("name", "city", "province"):
        if f"station_{name}" in file.variables:
            text = pd.Series(read_text(file[f"station_{name}"]), dtype=object)
            table[name] = text.where(text != "", np.nan)
    return table


def _opened_with_own_stations(path: Path, options: ReadingOptions) -> StationArchive:
    """The archive at `path`. It has its own stations and its stamps are UTC, so that options are errors."""
    options.refuse(f"the station archive {path}", station_table="A station archive holds its stations.",
                   utc_offset="The stamps of a station archive are UTC.")
    return StationArchive(path)


STATION_ARCHIVE = Reader("station_archive", "a station archive .nc written by `aqreanalysis ingest`",
                         _is_station_archive, _station_archive_refusals, _opened_with_own_stations)
