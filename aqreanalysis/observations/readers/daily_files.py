"""Archives of daily files, loose or in zips: what the national and the municipal layout share.

A layout says how its files are called and how they name stations; `daily_rows` reads their text. Files are opened one
at a time, so that memory does not grow with the archive.
"""

from __future__ import annotations

import contextlib
import itertools
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
from aqreanalysis.observations.readers.daily_rows import TYPES, Rows, enter, parse, utc
from aqreanalysis.observations.station_table import read_station_table


@dataclass(frozen=True)
class Layout:
    """How the files of a network are called and how they name its stations."""

    name: str               # in a word, for errors
    text: str               # in full
    source: str             # a phrase for the files' `source` attribute
    file_name: re.Pattern   # with the group `day`, YYYYMMDD; a day may have a file for each value of the other groups
    heads: tuple[str, ...]  # columns of the station table; the files call a station by what stands in any of them

    def recognises(self, path: Path) -> bool:
        """Whether a folder, zip or file holds files of this layout; looks no further than the first."""
        return any(isinstance(found, DayFile) for found in self._walk(path))

    def refused(self, path: Path) -> list[str]:
        """A sentence for each file at a path that may hold this layout and can't be opened."""
        return self.find(path)[1]

    def find(self, path: Path) -> tuple[list[DayFile], list[str]]:
        """Files under a path, one for each day and kind in order, and a sentence for each that is left out."""
        found: dict[tuple, DayFile] = {}
        broken: list[str] = []
        for file in self._walk(path):
            if isinstance(file, str):
                broken.append(file)
            elif found.setdefault((file.day, file.kind), file) is not file:
                broken.append(f"{file.name} repeats the day of {found[file.day, file.kind].name}")
        return [found[key] for key in sorted(found)], broken

    def _walk(self, path: Path) -> Iterator[DayFile | str]:
        """Files under a path in order of their paths; a sentence for a zip that can't be opened."""
        for candidate in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if candidate.suffix.lower() != ".zip":
                file = self._file(candidate, None)
                if file and candidate.is_file():
                    yield file
            elif candidate.is_file():
                try:
                    with zipfile.ZipFile(candidate) as container:
                        members = sorted(container.namelist())
                except (zipfile.BadZipFile, OSError) as error:
                    yield f"{candidate.name} is not a whole zip file ({error})"
                    continue
                yield from filter(None, (self._file(candidate, member) for member in members))

    def _file(self, path: Path, member: str | None) -> DayFile | None:
        match = self.file_name.fullmatch(PurePosixPath(member or path.name).name)
        if match is None:
            return None
        digits = match["day"]
        try:
            day = np.datetime64(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}", "D")
        except ValueError:
            return None  # no day of the calendar
        kind = tuple(text for group, text in match.groupdict().items() if group != "day")
        return DayFile(day, kind, path, member)


@dataclass(frozen=True)
class DayFile:
    """A file of one day: `member` of the zip at `path`, or the file at `path` itself."""

    day: np.datetime64
    kind: tuple[str, ...]
    path: Path
    member: str | None

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.member}" if self.member else self.path.name

    def content(self, container: zipfile.ZipFile | None = None) -> bytes:
        """The bytes of the file, from its open zip where that is given; BadFile where they can't be had."""
        try:
            if self.member is None:
                return self.path.read_bytes()
            with contextlib.nullcontext(container) if container else zipfile.ZipFile(self.path) as opened:
                return opened.read(self.member)
        except (OSError, zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
            raise BadFile(f"{self.name} can't be read ({error})") from error
        except Exception as error:  # zlib.error has no public home in zipfile's interface
            raise BadFile(f"{self.name} is damaged ({error})") from error


def contents(files: list[DayFile]) -> Iterator[tuple[DayFile, bytes | BadFile]]:
    """Each file with its bytes, or with what is wrong.

    A zip is opened once for its run of files: the directory of a year takes longer to read than a day.
    """
    for path, run in itertools.groupby(files, key=lambda file: file.path if file.member else None):
        with contextlib.ExitStack() as stack:
            container = None
            if path:
                with contextlib.suppress(OSError, zipfile.BadZipFile):  # each of its files will say what is wrong
                    container = stack.enter_context(zipfile.ZipFile(path))
            for file in run:
                try:
                    yield file, file.content(container)
                except BadFile as error:
                    yield file, error


class DailyArchive:
    """Daily files of one layout under one path, with a station table beside them."""

    simulated = False

    def __init__(self, layout: Layout, path: Path, station_table: Path | None = None):
        self.path = Path(path)
        self.files, self.broken = layout.find(self.path)
        if not self.files:
            raise UserError(f"{path} holds no file of the {layout.name} layout.", f"Expected {layout.text}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        table_path = station_table or folder / "stations.csv"
        self.stations = read_station_table(table_path)
        self.source = layout.source
        self._place = _places(self.stations, layout.heads, str(table_path))

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        days = [file.day for file in self.files]
        return utc(min(days), 0), utc(max(days), 23)

    def parts(self) -> list[Part]:
        """The loose files and zips, each with the hours that its files' names promise."""
        days = {}
        for file in self.files:
            days.setdefault(file.path, []).append(file.day)
        return [Part.of(path, self.path, utc(min(held), 0), utc(max(held), 23)) for path, held in sorted(days.items())]

    def inspect(self, start, end) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        hours, unknown = time_axis.complete_hours(start, end), {}
        found = Inspection(bad=list(self.broken))
        for file, content, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                found.bad.append(str(rows))
                continue
            found.good += 1
            values, odd = self._look(file, rows)
            own = time_axis.complete_hours(utc(file.day, 0), utc(file.day, 23))
            found.values += int(np.isfinite(values["pm25"][(own >= hours[0]) & (own <= hours[-1])]).sum())
            found.odd += odd
            unknown |= dict.fromkeys(rows.unknown)
            found.digest.update(file.day.astype(str).encode() + "".join(file.kind).encode() + content)
        if unknown:
            shown = ", ".join(list(unknown)[:5]) + " ..." * (len(unknown) > 5)
            found.odd.append(f"{self.path.name}: {len(unknown)} of the files' stations left out, for the station table "
                             f"has no row for {shown}")
        found.digest.update(self.stations[["station_id", "lat", "lon"]].to_csv(index=False).encode())
        return found

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; hours without a good file are NaN."""
        hours = time_axis.complete_hours(start, end)
        cube = stations.empty_cube(hours, self.stations)
        arrays, flags = {name: cube[name].values for name in TYPES.values()}, {}
        for _, _, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                continue  # `inspect` names it
            for name, mask in enter(rows, hours, arrays).items():
                flags[name] = flags.get(name, False) | mask
        return stations.mark_conflicts(cube, flags)

    def _parsed(self, start, end) -> Iterator[tuple[DayFile, bytes, Rows | BadFile]]:
        """The files that may hold hours from `start` to `end`, each with its rows or what is wrong."""
        first, last = _local(start), _local(end)
        for file, content in contents([file for file in self.files if first <= file.day <= last]):
            if isinstance(content, BadFile):
                yield file, b"", content
                continue
            try:
                rows = parse(file.name, file.day, content, self._place)
            except BadFile as error:
                rows = error
            yield file, content, rows

    def _look(self, file: DayFile, rows: Rows) -> tuple[dict[str, np.ndarray], list[str]]:
        """A day's values (24, station) by pollutant, and what is odd in them."""
        hours = time_axis.complete_hours(utc(file.day, 0), utc(file.day, 23))
        values = {name: np.full((len(hours), len(self.stations)), np.nan, np.float32) for name in TYPES.values()}
        conflicts = enter(rows, hours, values)

        def place(row: int, column: int) -> str:
            return f"{self.stations['station_id'].iloc[column]}, {file.day} {row:02d}:00 (UTC+8)"

        return values, [*rows.odd, *anomalies.conflicts(file.name, conflicts, place),
                        *anomalies.absurd(file.name, values, place)]


def _local(stamp) -> np.datetime64:
    return (np.datetime64(stamp, "h") + np.timedelta64(time_axis.UTC_OFFSET_HOURS, "h")).astype("datetime64[D]")


def _places(table: pd.DataFrame, heads: tuple[str, ...], where: str) -> dict[str, int]:
    """What a file may call a station -> its row in the table; a UserError where one name means two stations."""
    place: dict[str, int] = {}
    for column in heads:
        if column not in table:
            raise UserError(f"The station table {where} has no column {column}.",
                            f"Files of this layout name stations by it; the table needs {', '.join(heads)}.",
                            "Add the column, or give another table with --stations FILE.")
        for row, name in enumerate(table[column].fillna("").astype(str).str.strip()):
            if name and place.setdefault(name, row) != row:
                raise UserError(f"{name!r} of the station table {where} means two stations: "
                                f"{table['station_id'].iloc[place[name]]} and {table['station_id'].iloc[row]}.",
                                "Files of this layout name stations by it, so it must be one station's.",
                                "Give a table of this network's stations only with --stations FILE.")
    return place
