"""Archives of daily files, loose or in zips: what the national and the municipal layout share.

A `DailyLayout` says how its files are named and how they name stations. The text of a file: header
`date,hour,type,<station>,...`, a row for each hour and type, blank is missing. The file of day D holds the stamps
D 00:00 ... D 23:00 in UTC+8. They mark the END of the hour, so that the first belongs to the calendar day before. A
cell that is not a number counts as missing and is reported; a file whose form is wrong is a BadFile. Files are opened
one at a time, so that memory does not grow with the archive.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import containers, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import (
    ArchivePart,
    Inspection,
    Reader,
    ReadingOptions,
    Stamp,
    as_hour,
    check_text,
)
from aqreanalysis.observations.station_table import read_station_table, table_of_files

TYPES = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
BLANK = (b"", b"NA", b"NaN", b"nan", b"NULL", b"null")


# --- the text of a file ----------------------------------------------------------------------------

@dataclass(frozen=True)
class DayRows:
    """One day's rows of the six pollutants, at the stations of the station table only."""

    column: list[int]      # the stations' places in the table
    time: np.ndarray       # datetime64[h] (rows,), UTC
    pollutant: np.ndarray  # str (rows,)
    values: np.ndarray     # float32 (rows, stations)
    anomalies: list[str]   # a sentence for each
    unknown: list[str]     # stations that the table does not name


class _CellNumbers(dict[bytes, float]):
    """Text of a cell -> number, each text converted once: a day has 100 000 cells and few different ones."""

    def __init__(self):
        super().__init__({text: math.nan for text in BLANK})
        self.strays: set[bytes] = set()

    def __missing__(self, text: bytes) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.inf
        if not math.isfinite(number):
            self.strays.add(text)
            number = math.nan
        self[text] = number
        return number


def parse_daily_file(name: str, day: np.datetime64, content: bytes, row_of: dict[str, int]) -> DayRows:
    """The rows of a daily file; BadFile that says what is wrong with it.

    Parameters
    ----------
    name : of the file, for messages.
    day : datetime64[D] that every row must have.
    content : the bytes of the file.
    row_of : a station's name in the header -> its row in the station table.
    """
    header, lines = _lines(name, content, row_of)
    heads, own_day = header[3:], day.astype(str).replace("-", "").encode()
    numbers, hour, pollutant, values = _CellNumbers(), [], [], []
    for number, line in enumerate(lines, 2):
        date, stamp, kind, *cells = line.split(b",")
        if date != own_day or not stamp.isdigit() or int(stamp) > 23:
            raise BadFile(f"{name} has the date and hour {_shown(date)} {_shown(stamp)} in line {number}")
        ours = TYPES.get(kind.decode("utf-8", "replace"))
        if ours is None:
            continue
        values.append(np.fromiter(map(numbers.__getitem__, cells), np.float32, len(heads)))
        hour.append(int(stamp))
        pollutant.append(ours)
    cut = _cut_cell(name, content, lines[-1])
    if cut:
        values[-1][-1] = math.nan
    first = {row_of[head]: column for column, head in reversed(list(enumerate(heads))) if head in row_of}
    known = sorted(first.values())
    table = np.array(values, np.float32).reshape(len(values), len(heads))[:, known]
    found = _stray_texts(name, lines, heads, known, numbers.strays)
    if found and not np.isfinite(table).any():
        raise BadFile(f"{name} holds no number; {found[0].removeprefix(f'{name}: ')}")
    found += cut
    repeated = [head for column, head in enumerate(heads) if head in row_of and first[row_of[head]] != column]
    if repeated:
        found.append(f"{name}: {repeated[0]} stands in more than one column; the first is used")
    return DayRows([row_of[heads[column]] for column in known],
                   utc(day, 0) + np.array(hour, "timedelta64[h]"), np.array(pollutant, str), table, found,
                   [head for head in heads if head not in row_of])


def utc(day: np.datetime64, hour: int) -> np.datetime64:
    """The UTC stamp, datetime64[h], of an hour of a day in UTC+8."""
    return day.astype("datetime64[h]") + np.timedelta64(hour - time_axis.UTC_OFFSET_HOURS, "h")


def _lines(name: str, content: bytes, known: Collection[str]) -> tuple[list[str], list[bytes]]:
    """Header and rows of a daily file; BadFile that says what is wrong with its form."""
    check_text(name, content)
    lines = content.rstrip().splitlines()
    header = _header_text(lines[0]).strip().split(",")
    if header[:3] != ["date", "hour", "type"]:
        raise BadFile(f"{name} has other columns ({','.join(header[:4])[:60]} ...)")
    if not any(head in known for head in header[3:]):
        raise BadFile(f"{name} names no station of the station table")
    commas = len(header) - 1
    uneven = next((n for n, line in enumerate(lines, 1) if line.count(b",") != commas), None)
    if uneven is not None:
        raise BadFile(f"{name} is truncated or damaged in line {uneven}")
    if len(lines) < 2:
        raise BadFile(f"{name} has a header and no rows")
    return header, lines[1:]


def _header_text(line: bytes) -> str:
    """A header, UTF-8 or the GBK of files that a spreadsheet has saved again."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("gb18030", "replace")


def _stray_texts(name: str, lines: list[bytes], heads: list[str], known: list[int], texts: set[bytes]) -> list[str]:
    """A sentence if cells of the six pollutants at known stations hold one of `texts`, which are not numbers."""
    if not texts:
        return []
    found = []
    for number, line in enumerate(lines, 2):
        _, _, kind, *cells = line.split(b",")
        if kind.decode("utf-8", "replace") in TYPES:
            found += [(cells[column], heads[column], number) for column in known if cells[column] in texts]
    if not found:
        return []
    text, head, number = found[0]
    return [anomalies.stray_text(name, len(found), text.decode("utf-8", "replace"), f"at {head} in line {number}")]


def _cut_cell(name: str, content: bytes, line: bytes) -> list[str]:
    """A sentence if the last cell of a file may be cut off: its line has no end and is not one of 23:00.

    Some copies leave out the end of the last line, but theirs is that of 23:00.
    """
    _, hour, kind, *cells = line.split(b",")
    whole = content.endswith((b"\n", b"\r")) or int(hour) == 23 or kind.decode("utf-8", "replace") not in TYPES
    if whole or cells[-1] in BLANK:
        return []
    return [f"{name}: the last line ends in its last cell and may be cut off; {_shown(cells[-1])} is taken as missing"]


def _shown(cell: bytes) -> str:
    return repr(cell.decode("utf-8", "replace")[:20])


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


# --- the files of an archive -----------------------------------------------------------------------

@dataclass(frozen=True)
class DailyLayout:
    """How the files of a network are named and how they name its stations."""

    name: str               # in a word
    text: str               # how the files are named, for messages
    source: str             # a phrase for the files' `source` attribute
    file_name: re.Pattern   # with the group `day`, YYYYMMDD; a day may have a file for each value of the other groups
    heads: tuple[str, ...]  # columns of the station table; the files use the text of any of them
    table_ships: bool = False  # whether the table that ships with the package has its stations

    def reader(self, name: str) -> Reader:
        """The reader of this layout."""
        return Reader(name, self.text, self.recognises, self.refused,
                      lambda path, options: DailyArchive(self, path, options))

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
                        members, refused = containers.zip_members(container)
                except BadFile as error:
                    yield str(error)
                    continue
                except containers.DAMAGE as error:
                    yield f"{candidate.name} is not a whole zip file ({error})"
                    continue
                yield from (f"{candidate.name}:{reason}" for reason in refused)
                yield from filter(None, (self._file(candidate, member) for member in members))

    def _file(self, path: Path, member: containers.Member | None) -> DayFile | None:
        match = self.file_name.fullmatch(PurePosixPath(member.name if member else path.name).name)
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
    member: containers.Member | None

    @property
    def name(self) -> str:
        """Its path inside the zip, for messages."""
        return f"{self.path.name}:{self.member.name}" if self.member else self.path.name

    def content(self, container: zipfile.ZipFile | None = None) -> bytes:
        """The bytes of the file, from its open zip where that is given; BadFile where it can't be read."""
        try:
            if self.member is None:
                return self.path.read_bytes()
            with contextlib.nullcontext(container) if container else zipfile.ZipFile(self.path) as opened:
                return containers.read_member(opened, self.member, self.name)
        except (OSError, zipfile.BadZipFile) as error:
            raise BadFile(f"{self.name} can't be read ({error})") from error


def contents(files: list[DayFile]) -> Iterator[tuple[DayFile, bytes | BadFile]]:
    """Each file with its bytes, or with what is wrong.

    A zip is opened once for its run of files: the directory of a year takes longer to read than a day.
    """
    for path, run in itertools.groupby(files, key=lambda file: file.path if file.member else None):
        with contextlib.ExitStack() as stack:
            container = None
            if path:
                with contextlib.suppress(OSError, zipfile.BadZipFile):  # each of its files will raise its own error
                    container = stack.enter_context(zipfile.ZipFile(path))
            for file in run:
                try:
                    yield file, file.content(container)
                except BadFile as error:
                    yield file, error


class DailyArchive:
    """Daily files of one layout under one path, with a station table beside them."""

    simulated = False

    def __init__(self, layout: DailyLayout, path: Path, options: ReadingOptions):
        options.refuse(f"files of the {layout.name} layout", utc_offset="Their stamps are China Standard Time, UTC+8.")
        self.path = Path(path)
        self.files, self.broken = layout.find(self.path)
        if not self.files:
            raise UserError(f"{path} holds no file of the {layout.name} layout.", f"Expected {layout.text}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        table_path = table_of_files(options.station_table, folder, layout.table_ships)
        self.stations = read_station_table(table_path)
        self.source = layout.source
        self._row_of = _rows_by_name(self.stations, layout.heads, str(table_path))

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        days = [file.day for file in self.files]
        return utc(min(days), 0), utc(max(days), 23)

    def parts(self) -> list[ArchivePart]:
        """The loose files and zips, each with the hours that its files' names promise."""
        days: dict[Path, list[np.datetime64]] = {}
        for file in self.files:
            days.setdefault(file.path, []).append(file.day)
        return [ArchivePart.of(path, self.path, utc(min(held), 0), utc(max(held), 23))
                for path, held in sorted(days.items())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        hours = time_axis.complete_hours(start, end)
        unknown: dict[str, None] = {}  # in the order in which they are met
        found = Inspection(skipped=list(self.broken))
        for file, content, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                found.skipped.append(str(rows))
                continue
            found.good += 1
            values, sentences = self._values_of_day(file, rows)
            own = time_axis.complete_hours(utc(file.day, 0), utc(file.day, 23))
            found.values += int(np.isfinite(values["pm25"][(own >= hours[0]) & (own <= hours[-1])]).sum())
            found.anomalies += sentences
            unknown |= dict.fromkeys(rows.unknown)
            found.digest.update(file.day.astype(str).encode() + "".join(file.kind).encode() + content)
        if unknown:
            shown = ", ".join(list(unknown)[:5]) + " ..." * (len(unknown) > 5)
            found.anomalies.append(f"{self.path.name}: {len(unknown)} of the files' stations left out, for the station "
                                   f"table has no row for {shown}")
        found.add_stations(self.stations)
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; hours without a good file are NaN."""
        hours = time_axis.complete_hours(start, end)
        cube = stations.empty_cube(hours, self.stations)
        arrays = {name: cube[name].values for name in TYPES.values()}
        conflicts: dict[str, np.ndarray] = {}
        for _, _, rows in self._parsed(start, end):
            if isinstance(rows, BadFile):
                continue  # `inspect` names it
            for name, mask in enter_day(rows, hours, arrays).items():
                conflicts[name] = conflicts.get(name, False) | mask
        return stations.mark_conflicts(cube, conflicts)

    def _parsed(self, start: Stamp, end: Stamp) -> Iterator[tuple[DayFile, bytes, DayRows | BadFile]]:
        """The files that may hold hours from `start` to `end`, each with its rows or what is wrong."""
        first, last = _local_day(start), _local_day(end)
        for file, content in contents([file for file in self.files if first <= file.day <= last]):
            if isinstance(content, BadFile):
                yield file, b"", content
                continue
            try:
                yield file, content, parse_daily_file(file.name, file.day, content, self._row_of)
            except BadFile as error:
                yield file, content, error

    def _values_of_day(self, file: DayFile, rows: DayRows) -> tuple[dict[str, np.ndarray], list[str]]:
        """A day's values (24, station) by pollutant, and a sentence for each anomaly."""
        hours = time_axis.complete_hours(utc(file.day, 0), utc(file.day, 23))
        values = {name: np.full((len(hours), len(self.stations)), np.nan, np.float32) for name in TYPES.values()}
        conflicts = enter_day(rows, hours, values)

        def cell_name(row: int, column: int) -> str:
            return f"{self.stations['station_id'].iloc[column]}, {file.day} {row:02d}:00 (UTC+8)"

        return values, [*rows.anomalies, *anomalies.conflicts(file.name, conflicts, cell_name),
                        *anomalies.impossible_values(file.name, values, cell_name)]


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
