"""UCI 501, "Beijing Multi-Site Air Quality": PRSA_Data_<station>_<day>-<day>.csv, loose or in the zips of the download.

Chen, S. (2017), UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0. A file is one station's whole record;
NA is missing; stamps are UTC+8 and mark the END of the hour (they agree with the municipal files hour by hour); CO is
in ug m-3 and given out in mg m-3; the weather is that of the nearest weather station. The files have no coordinates:
a station table has them. A file is parsed once and kept, 2 MB each.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import Inspection, Part
from aqreanalysis.observations.readers.uci_rows import NUMBERS, Record, parse
from aqreanalysis.observations.station_table import read_station_table

FILE_NAME = re.compile(r"PRSA_Data_(?P<station>\w+)_(?P<first>\d{8})-(?P<last>\d{8})\.csv")
LAYOUT = "PRSA_Data_<station>_YYYYMMDD-YYYYMMDD.csv, loose or in zip files"


@dataclass(frozen=True)
class SiteFile:
    """One station's file: at `path`, or inside the zip there, or inside a zip in that zip."""

    station: str
    first: np.datetime64    # END-of-hour stamps, UTC, that its name promises
    last: np.datetime64
    path: Path
    members: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return ":".join((self.path.name, *self.members))

    def content(self) -> bytes:
        """The bytes of the file; BadFile where they can't be had."""
        try:
            content = b"" if self.members else self.path.read_bytes()
            for depth, member in enumerate(self.members):
                with zipfile.ZipFile(io.BytesIO(content) if depth else self.path) as container:
                    content = container.read(member)
            return content
        except Exception as error:  # OSError, BadZipFile, zlib.error and more: all mean a damaged file
            raise BadFile(f"{self.name} can't be read ({error})") from error


def recognises(path: Path) -> bool:
    """Whether a folder, zip or file holds files of this layout."""
    return any(isinstance(found, SiteFile) for found in _walk(path))


def refused(path: Path) -> list[str]:
    """A sentence for each zip at a path that can't be opened."""
    return [found for found in _walk(path) if isinstance(found, str)]


def _walk(path: Path) -> Iterator[SiteFile | str]:
    for candidate in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if candidate.suffix.lower() == ".zip" and candidate.is_file():
            yield from _in_zip(candidate, candidate, ())
        elif (file := _site_file(candidate, ())) and candidate.is_file():
            yield file


def _in_zip(path: Path, source: Path | io.BytesIO, members: tuple[str, ...]) -> Iterator[SiteFile | str]:
    """Files of a zip, and of the zip that the repository's download has inside."""
    try:
        with zipfile.ZipFile(source) as container:
            for member in sorted(container.namelist()):
                if file := _site_file(path, (*members, member)):
                    yield file
                elif re.fullmatch(r"PRSA.*\.zip", PurePosixPath(member).name) and not members:
                    yield from _in_zip(path, io.BytesIO(container.read(member)), (member,))
    except Exception as error:  # zipfile raises many kinds for what is damaged
        yield f"{':'.join((path.name, *members))} is not a whole zip file ({error})"


def _site_file(path: Path, members: tuple[str, ...]) -> SiteFile | None:
    match = FILE_NAME.fullmatch(PurePosixPath(members[-1]).name if members else path.name)
    try:
        first, last = (np.datetime64(pd.to_datetime(match[name], format="%Y%m%d"), "h") for name in ("first", "last"))
    except (TypeError, ValueError):
        return None  # another name, or no days of the calendar
    to_utc = np.timedelta64(-time_axis.UTC_OFFSET_HOURS, "h")
    return SiteFile(match["station"], first + to_utc, last + np.timedelta64(23, "h") + to_utc, path, members)


class UciArchive:
    """The files under one path, with the places of their stations from a station table."""

    simulated = False
    source = ("hourly surface observations and weather of the Beijing Multi-Site Air Quality data "
              "(Chen 2017, UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0)")

    def __init__(self, path: Path, station_table: Path | None = None):
        self.path = Path(path)
        found = list(_walk(self.path))
        self.broken = [file for file in found if isinstance(file, str)]
        files = [file for file in found if isinstance(file, SiteFile)]
        if not files:
            raise UserError(f"{path} holds no file of the UCI layout.", f"Expected {LAYOUT}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        self.stations, ids = _placed(sorted({file.station for file in files}), station_table or folder / "stations.csv")
        self.broken += [f"{file.name} is of station {file.station}, which the station table does not have"
                        for file in files if file.station not in ids]
        self.files = [file for file in files if file.station in ids]
        self._ids, self._records = ids, {}

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        return min(file.first for file in self.files), max(file.last for file in self.files)

    def parts(self) -> list[Part]:
        """The loose files and zips, each with the hours that its files' names promise."""
        spans = {}
        for file in self.files:
            spans.setdefault(file.path, []).append((file.first, file.last))
        return [Part.of(path, self.path, min(first for first, _ in span), max(last for _, last in span))
                for path, span in sorted(spans.items())]

    def inspect(self, start, end) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        found, rows = Inspection(bad=list(self.broken)), []
        for file in self._between(start, end):
            record = self._record(file)
            if isinstance(record, BadFile):
                found.bad.append(str(record))
                continue
            found.good += 1
            found.odd += record.odd
            found.digest.update(f"{file.station} {record.digest}".encode())
            rows.append(_inside(record.rows, start, end))
        if rows:
            every = pd.concat(rows)
            found.values = len(every.loc[every["pm25"].notna(), ["station_id", "time"]].drop_duplicates())
            repeated = every[every.duplicated(["station_id", "time"], keep=False)]
            if len(repeated):
                cube = stations.cube_from_rows(repeated, self.stations, repeated["time"].min(), repeated["time"].max())
                found.odd += anomalies.conflicts_of(self.path.name, [cube])
        found.digest.update(self.stations[["station_id", "lat", "lon"]].to_csv(index=False).encode())
        return found

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`, with schema.WEATHER; CO in mg m-3."""
        records = map(self._record, self._between(start, end))
        rows = [_inside(record.rows, start, end) for record in records if not isinstance(record, BadFile)]
        empty = pd.DataFrame(columns=["station_id", "time", *NUMBERS.values(), "wind_direction"])
        return stations.cube_from_rows(pd.concat(rows) if rows else empty, self.stations, start, end)

    def _between(self, start, end) -> list[SiteFile]:
        first, last = np.datetime64(start, "h"), np.datetime64(end, "h")
        return [file for file in self.files if file.first <= last and file.last >= first]

    def _record(self, file: SiteFile) -> Record | BadFile:
        """What a file holds, parsed once, or what is wrong with it."""
        if file not in self._records:
            try:
                self._records[file] = parse(file.name, file.content(), file.station, self._ids[file.station])
            except BadFile as error:
                self._records[file] = error
        return self._records[file]


def open_archive(path: Path, station_table: Path | None = None) -> UciArchive:
    """The archive at `path`; a UserError where there is none."""
    return UciArchive(path, station_table)


def _inside(rows: pd.DataFrame, start, end) -> pd.DataFrame:
    return rows[rows["time"].between(pd.Timestamp(start), pd.Timestamp(end))]


def _placed(names: list[str], path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of a station table that belong to the files' stations, and the files' names -> station_id."""
    if not path.is_file():
        raise UserError(f"There is no station table at {path}.",
                        "The UCI files have no coordinates; a table gives the places of their stations.",
                        f"Put stations.csv (station_id,lon,lat) beside them, with ids such as {names[0]} or "
                        f"bj_{names[0].lower()}, or give --stations FILE.")
    table = read_station_table(path)
    called = {}
    for column in ("station_id", "name"):
        for row, name in enumerate(table[column].astype(str) if column in table else ()):
            for key in {name.casefold(), name.casefold().partition("_")[2]} - {""}:
                called.setdefault(key, set()).add(row)
    rows = {name: called.get(name.casefold(), set()) for name in names}
    ambiguous = next((name for name, found in rows.items() if len(found) > 1), None)
    if ambiguous:
        raise UserError(f"{ambiguous} may be any of {', '.join(table['station_id'].iloc[sorted(rows[ambiguous])])} "
                        f"of {path}.", "A file's station is one row of the station table.",
                        "Give a table of these stations only with --stations FILE.")
    ids = {name: table["station_id"].iloc[found.pop()] for name, found in rows.items() if found}
    if not ids:
        raise UserError(f"The station table {path} has none of the stations {', '.join(names)}.",
                        "Its station_id or name is the name in the files, with any prefix that ends in _.",
                        f"Example: bj_{names[0].lower()}. Or give another table with --stations FILE.")
    return table[table["station_id"].isin(ids.values())].reset_index(drop=True), ids
