"""Archives of daily files, loose or in zips: what the national and the municipal layout share.

A `DailyLayout` says how its files are named and how they name stations; `daily_rows` reads their text. The file of day
D holds the stamps D 00:00 ... D 23:00 in UTC+8, or those to 24:00. They mark the END of the hour, so that the first
belongs to the calendar day before. Files are opened one at a time, so that memory does not grow with the archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers import anomalies, found_files
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp, as_hour
from aqreanalysis.observations.readers.daily_rows import (
    DayRows,
    may_reach_midnight,
    parse_daily_file,
    rows_by_head,
    utc,
)
from aqreanalysis.observations.readers.found_files import FoundFile, Names, Told
from aqreanalysis.observations.station_table import read_station_table, table_of_files
from aqreanalysis.schema import POLLUTANTS

ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class DailyLayout:
    """How the files of a network are named and how they name its stations."""

    name: str               # in a word
    text: str               # how the files are named, for messages
    source: str             # a phrase for the files' `source` attribute
    names: Names            # with the group `day`, YYYYMMDD; a day may have a file for each value of the other groups
    heads: tuple[str, ...]  # columns of the station table; the files use the text of any of them
    table_ships: bool = False  # whether the table that ships with the package has its stations

    def reader(self, name: str) -> Reader:
        """The reader of this layout."""
        return Reader(name, self.text, lambda path: found_files.holds(path, self.names, day_file), self.refused,
                      lambda path, options: DailyArchive(self, path, options))

    def refused(self, path: Path) -> list[str]:
        """A sentence for each file at a path that may hold this layout and is not read."""
        found = found_files.collect(path, self.names, day_file)
        return [*found.broken, *found.passed_over]

    def day_of(self, name: str) -> np.datetime64 | None:
        """The day, datetime64[D], that a file holds by its name; None where it is none of this layout."""
        match, _ = self.names.match(name)
        return _day(match["day"]) if match else None


@dataclass(frozen=True)
class DayFile:
    """A file of one day."""

    file: FoundFile
    day: np.datetime64
    kind: tuple[str, ...]

    @property
    def key(self) -> tuple:
        """Its day and kind: an archive has one file for them."""
        return self.day, self.kind


def day_file(file: FoundFile, match: re.Match) -> DayFile | str:
    """The file of a day by its name; in words why it is none."""
    day = _day(match["day"])
    if day is None:
        return found_files.NO_DAY
    return DayFile(file, day, tuple(text.lower() for group, text in match.groupdict().items() if group != "day"))


def _day(text: str) -> np.datetime64 | None:
    digits = re.sub(r"\D", "", text)
    try:
        return np.datetime64(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}", "D")
    except ValueError:
        return None  # no day of the calendar


def enter_day(rows: DayRows, hours: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Write one day's values into arrays (time, station) where these are NaN; other values stay.

    Returns a mask (time, station) for each pollutant of which a second value disagrees with the one that is kept.
    """
    row = ((rows.time - hours[0].astype("datetime64[h]")) / time_axis.HOUR).astype(int)
    conflicts: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        take = np.flatnonzero((rows.pollutant == name) & (row >= 0) & (row < len(hours)))
        while len(take):  # once, or as often as an hour stands in the file
            _, first = np.unique(row[take], return_index=True)
            where = np.ix_(row[take[first]], rows.column)
            kept, new = array[where], rows.values[take[first]]
            differ = (kept != new) & np.isfinite(kept) & np.isfinite(new)
            array[where] = np.where(np.isfinite(kept), kept, new)
            if differ.any():
                conflicts.setdefault(name, np.zeros(array.shape, bool))[where] |= differ
            take = np.delete(take, first)
    return conflicts


class DailyArchive:
    """Daily files of one layout under one path, with a station table beside them."""

    simulated = False

    def __init__(self, layout: DailyLayout, path: Path, options: ReadingOptions):
        options.refuse(f"files of the {layout.name} layout", utc_offset="Their stamps are China Standard Time, UTC+8.")
        self.path = Path(path)
        self._found = found_files.collect(self.path, layout.names, day_file)
        self.files: list[DayFile] = self._found.files
        if not self.files:
            raise UserError(f"{path} holds no file of the {layout.name} layout.", f"Expected {layout.text}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        table_path = table_of_files(options.station_table, folder, layout.table_ships)
        self.stations = read_station_table(table_path)
        self.source = layout.source
        self._row_of = rows_by_head(_rows_by_name(self.stations, layout.heads, str(table_path)))

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        first, last = self.files[0].day, self.files[-1].day
        return utc(first, 0), max(self._last_stamp(file) for file in self.files if file.day == last)

    def parts(self) -> list[ArchivePart]:
        """The loose files and zips, each with the hours that its files' names promise."""
        held: dict[Path, list[DayFile]] = {}
        for file in self.files:  # in order of their days
            held.setdefault(file.file.path, []).append(file)
        return [ArchivePart.of(path, self.path, utc(files[0].day, 0), self._last_stamp(files[-1]))
                for path, files in sorted(held.items())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        hours = time_axis.complete_hours(start, end)
        unknown: dict[str, None] = {}  # in the order in which they are met
        notes, counted = Told(), _Counted(hours)
        found = Inspection(skipped=list(self._found.broken), passed_over=list(self._found.passed_over))
        first, last = _local_day(start), _local_day(end)
        repeated, copies = self._found.repeats(lambda file: bool(first <= file.day <= last), "day")
        found.skipped += repeated
        found.passed_over += copies
        for file, content, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                found.skipped.append(str(rows))
                continue
            found.good += 1
            values, sentences = self._values_of_day(file, rows)
            found.values += counted.of(file.day, values["pm25"])
            found.anomalies += sentences + counted.conflicts(file)
            unknown |= dict.fromkeys(rows.unknown)
            found.digest.update(str(file.day).encode() + "".join(file.kind).encode() + content)
            for note in rows.notes:
                notes.add(note.removeprefix(f"{file.file.name} "), file.file.name)
        if unknown:
            shown = ", ".join(list(unknown)[:5]) + " ..." * (len(unknown) > 5)
            found.anomalies.append(f"{self.path.name}: {len(unknown)} of the files' stations left out, for the station "
                                   f"table has no place for {shown}")
        found.notes += self._found.notes + notes.sentences()
        found.add_stations(self.stations)
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; hours without a good file are NaN."""
        hours = time_axis.complete_hours(start, end)
        cube = stations.empty_cube(hours, self.stations)
        arrays = {name: cube[name].values for name in POLLUTANTS}
        conflicts: dict[str, np.ndarray] = {}
        for _, _, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                continue  # `inspect` names it
            for name, mask in enter_day(rows, hours, arrays).items():
                conflicts[name] = conflicts.get(name, False) | mask
        return stations.mark_conflicts(cube, conflicts)

    def _parsed(self, start: Stamp, end: Stamp) -> Iterator[tuple[DayFile, bytes, DayRows | BadFile]]:
        """The files that may hold hours from `start` to `end`, each with its rows or what is wrong.

        Where these begin at 00:00, the file of the day before is asked for its hour 24.
        """
        first, last = _local_day(start), _local_day(end)
        begins = first - ONE_DAY if as_hour(start) == utc(first, 0) else first
        for file, content in found_files.contents([file for file in self.files if begins <= file.day <= last]):
            if file.day < first and (isinstance(content, BadFile) or not may_reach_midnight(content)):
                continue
            if isinstance(content, BadFile):
                yield file, b"", content
                continue
            try:
                rows = parse_daily_file(file.file.name, file.day, content, self._row_of)
                if file.day >= first or as_hour(start) in rows.time:
                    yield file, content, rows
            except BadFile as error:
                if file.day >= first:
                    yield file, content, error

    def _last_stamp(self, file: DayFile) -> np.datetime64:
        try:
            return utc(file.day, 24 if may_reach_midnight(file.file.content()) else 23)
        except BadFile:
            return utc(file.day, 23)

    def _values_of_day(self, file: DayFile, rows: DayRows) -> tuple[dict[str, np.ndarray], list[str]]:
        """A day's values (24 or 25, station) by pollutant, and a sentence for each anomaly."""
        midnight = utc(file.day, 24)
        hours = time_axis.complete_hours(utc(file.day, 0), midnight if midnight in rows.time else utc(file.day, 23))
        values = {name: np.full((len(hours), len(self.stations)), np.nan, np.float32) for name in POLLUTANTS}
        conflicts = enter_day(rows, hours, values)

        def cell_name(row: int, column: int) -> str:
            return f"{self.stations['station_id'].iloc[column]}, {file.day} {row:02d}:00 (UTC+8)"

        return values, [*rows.anomalies, *anomalies.conflicts(file.file.name, conflicts, cell_name),
                        *anomalies.impossible_values(file.file.name, values, cell_name)]


class _Counted:
    """Values of a period, each hour of a station once where the hour 24 of one file is the hour 0 of the next."""

    def __init__(self, hours: np.ndarray):
        self._first, self._last = hours[0], hours[-1]
        self._midnight: dict[np.datetime64, np.ndarray] = {}   # values at 00:00 of days, from the hour 24 of a file
        self._differ = 0

    def of(self, day: np.datetime64, values: np.ndarray) -> int:
        """How many of a file's values (hours, station) from 00:00 on are of the period and were not counted."""
        own = time_axis.complete_hours(utc(day, 0), utc(day, len(values) - 1))
        there = np.isfinite(values) & ((own >= self._first) & (own <= self._last))[:, None]
        before, self._differ = self._midnight.get(day), 0
        if before is not None:
            both = there[0] & np.isfinite(before)
            self._differ = int((values[0][both] != before[both]).sum())
            there[0] &= ~both
        if len(there) > 24:
            self._midnight[day + ONE_DAY] = values[24]
        return int(there.sum())

    def conflicts(self, file: DayFile) -> list[str]:
        """A sentence if the last file's values of 00:00 are not those of hour 24 in the file of the day before."""
        if not self._differ:
            return []
        return [f"{file.file.name}: {self._differ} PM2.5 value{'s' * (self._differ > 1)} of 00:00 differ from those of "
                f"hour 24 in the file of the day before, which are kept"]


def _local_day(stamp: Stamp) -> np.datetime64:
    return (as_hour(stamp) + np.timedelta64(time_axis.UTC_OFFSET_HOURS, "h")).astype("datetime64[D]")


def _rows_by_name(table: pd.DataFrame, heads: tuple[str, ...], where: str) -> dict[str, int]:
    """Names of the stations in the files -> rows of the table; a UserError where one name means two stations."""
    row_of: dict[str, int] = {}
    for column in heads:
        if column not in table:
            raise UserError(f"The station table {where} has no column {column}.",
                            f"Files of this layout name stations by it; the table needs {', '.join(heads)}.",
                            "Add the column, or give another table with --stations FILE.")
        for row, name in enumerate(table[column].fillna("").astype(str).str.strip()):
            if name and row_of.setdefault(name, row) != row:
                raise UserError(f"{name!r} of the station table {where} means two stations: "
                                f"{table['station_id'].iloc[row_of[name]]} and {table['station_id'].iloc[row]}.",
                                "Files of this layout name stations by it, so it must be one station's.",
                                "Give a table of this network's stations only with --stations FILE.")
    return row_of
