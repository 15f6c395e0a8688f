"""The national network's daily files: china_sites_YYYYMMDD.csv, loose or in zip files.

Layout: header `date,hour,type,<station>,...`; a row is one hour of one type (pollutant); blank is
missing. Stamps are UTC+8 and mark the END of the hour, so that the file of day D holds the stamps
D 00:00 ... D 23:00, of which the first belongs to the calendar day before.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import xarray as xr

from aqreanalysis import clock, stations
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.readers.archive import Inspection
from aqreanalysis.readers.station_table import read_station_table

FILE_NAME = re.compile(r"china_sites_(\d{8})\.csv")
TYPES = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
BLANK = (b"", b"NA", b"NaN", b"nan", b"NULL", b"null")
LAYOUT = "china_sites_YYYYMMDD.csv, loose or in zip files"


@dataclass(frozen=True)
class DayFile:
    """One day's file: `member` of the zip at `path`, or the file at `path` itself."""

    day: np.datetime64
    path: Path
    member: str | None

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.member}" if self.member else self.path.name

    def content(self) -> bytes:
        """The bytes of the file; BadFile where they can't be had."""
        try:
            if self.member is None:
                return self.path.read_bytes()
            with zipfile.ZipFile(self.path) as container:
                return container.read(self.member)
        except (OSError, zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
            raise BadFile(f"{self.name} can't be read ({error})") from error
        except Exception as error:  # zlib.error has no public home in zipfile's interface
            raise BadFile(f"{self.name} is damaged ({error})") from error


def recognises(path: Path) -> bool:
    """Whether a folder, zip or file holds daily files of this layout."""
    return bool(_find(path)[0])


def refused(path: Path) -> list[str]:
    """A sentence for each file at a path that looks like this layout and can't be opened."""
    return _find(path)[1]


class CnemcArchive:
    """National daily files under one path, with a station table beside them."""

    simulated = False

    def __init__(self, path: Path, station_table: Path | None = None):
        self.path = Path(path)
        self.files, self.broken = _find(self.path)
        folder = self.path if self.path.is_dir() else self.path.parent
        self.stations = read_station_table(station_table or folder / "stations.csv")
        self.source = "hourly surface observations of the China National Environmental Monitoring Centre network"

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        days = [file.day for file in self.files]
        return _utc(min(days), 0), _utc(max(days), 23)

    def inspect(self, start, end) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        hours, place = clock.complete_hours(start, end), self._place()
        found = Inspection(bad=list(self.broken))
        for file in self._files(start, end):
            try:
                content = file.content()
                rows = _parse(file, content, place)
            except BadFile as error:
                found.bad.append(str(error))
                continue
            found.good += 1
            asked = (rows.pollutant == "pm25") & (rows.time >= hours[0]) & (rows.time <= hours[-1])
            found.values += int(np.isfinite(rows.values[asked]).sum())
            found.digest.update(file.day.astype(str).encode() + content)
        found.digest.update(self.stations[["station_id", "lat", "lon"]].to_csv(index=False).encode())
        return found

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; hours without a good file are NaN."""
        hours, place = clock.complete_hours(start, end), self._place()
        cube = stations.empty_cube(hours, self.stations)
        arrays = {name: cube[name].values for name in TYPES.values()}
        for file in self._files(start, end):
            try:
                _enter(_parse(file, file.content(), place), hours, arrays)
            except BadFile:
                continue  # `inspect` has named it
        return cube

    def _place(self) -> dict[str, int]:
        return {station: number for number, station in enumerate(self.stations["station_id"])}

    def _files(self, start, end) -> list[DayFile]:
        first, last = _local(start), _local(end)
        return [file for file in self.files if first <= file.day <= last]


def _utc(day: np.datetime64, hour: int) -> np.datetime64:
    return day.astype("datetime64[h]") + np.timedelta64(hour - clock.UTC_OFFSET_HOURS, "h")


def _local(stamp) -> np.datetime64:
    return (np.datetime64(stamp, "h") + np.timedelta64(clock.UTC_OFFSET_HOURS, "h")).astype("datetime64[D]")


def _find(path: Path) -> tuple[list[DayFile], list[str]]:
    """Daily files under a path, one for each day in order, and zips that can't be opened."""
    candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
    found: dict[np.datetime64, DayFile] = {}
    broken: list[str] = []
    for candidate in candidates:
        if candidate.suffix.lower() == ".zip" and candidate.is_file():
            try:
                with zipfile.ZipFile(candidate) as container:
                    members = sorted(container.namelist())
            except (zipfile.BadZipFile, OSError) as error:
                broken.append(f"{candidate.name} is not a whole zip file ({error})")
                continue
            places = [(candidate, member) for member in members]
        else:
            places = [(candidate, None)]
        for container, member in places:
            match = FILE_NAME.fullmatch(PurePosixPath(member or container.name).name)
            day = _day(match.group(1)) if match else None
            if day is not None and (member or container.is_file()):
                file = DayFile(day, container, member)
                if found.setdefault(day, file) is not file:
                    broken.append(f"{file.name} repeats the day of {found[day].name}")
    return [found[day] for day in sorted(found)], broken


def _day(digits: str) -> np.datetime64 | None:
    try:
        return np.datetime64(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}", "D")
    except ValueError:
        return None


def _lines(file: DayFile, content: bytes, known) -> tuple[list[str], list[bytes]]:
    """Header and rows of a daily file; BadFile that says what is wrong with its form."""
    if not content.strip():
        raise BadFile(f"{file.name} is empty")
    if content[:2] == b"\x1f\x8b":
        raise BadFile(f"{file.name} is gzip, not CSV (gunzip it)")
    if content.lstrip()[:1] == b"<":
        raise BadFile(f"{file.name} is an HTML page, not CSV")
    lines = content.rstrip().splitlines()
    header = lines[0].decode("utf-8-sig", "replace").strip().split(",")
    if header[:3] != ["date", "hour", "type"]:
        raise BadFile(f"{file.name} has other columns ({','.join(header[:4])[:60]} ...)")
    if not any(name in known for name in header[3:]):
        raise BadFile(f"{file.name} names no station of the station table")
    commas = len(header) - 1
    uneven = next((n for n, line in enumerate(lines, 1) if line.count(b",") != commas), None)
    if uneven is not None:
        raise BadFile(f"{file.name} is truncated or damaged in line {uneven}")
    if len(lines) < 2:
        raise BadFile(f"{file.name} has a header and no rows")
    return header, lines[1:]


@dataclass(frozen=True)
class _Rows:
    """One day's rows of the six pollutants, at the stations of the station table only."""

    column: list[int]      # the stations' places in the table
    time: np.ndarray       # datetime64[h] (rows,), UTC
    pollutant: np.ndarray  # str (rows,)
    values: np.ndarray     # float32 (rows, stations)


class _Numbers(dict):
    """Text of a cell -> number, each text converted once: a day has 100 000 cells and few different ones."""

    def __init__(self):
        super().__init__({text: np.nan for text in BLANK})

    def __missing__(self, text: bytes) -> float:
        self[text] = number = float(text)
        return number


def _parse(file: DayFile, content: bytes, place: dict[str, int]) -> _Rows:
    """The rows of a daily file; BadFile that says what is wrong with it."""
    header, lines = _lines(file, content, place)
    own_day = file.day.astype(str).replace("-", "").encode()
    numbers, hour, pollutant, values = _Numbers(), [], [], []
    for number, line in enumerate(lines, 2):
        day, stamp, kind, *cells = line.split(b",")
        if day != own_day or not stamp.isdigit() or int(stamp) > 23:
            raise BadFile(f"{file.name} has the date and hour {_shown(day)} {_shown(stamp)} in line {number}")
        name = TYPES.get(kind.decode("utf-8", "replace"))
        if name is None:
            continue
        try:
            values.append([numbers[cell] for cell in cells])
        except ValueError as error:
            raise BadFile(f"{file.name} holds what is not a number in line {number} ({error})") from error
        hour.append(int(stamp))
        pollutant.append(name)
    known = [number for number, name in enumerate(header[3:]) if name in place]
    table = np.array(values, np.float32).reshape(len(values), len(header) - 3)
    return _Rows([place[header[3 + number]] for number in known],
                 _utc(file.day, 0) + np.array(hour, "timedelta64[h]"), np.array(pollutant, str), table[:, known])


def _shown(cell: bytes) -> str:
    return repr(cell.decode("utf-8", "replace")[:20])


def _enter(rows: _Rows, hours: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
    """Write one day's values into the cube's arrays (time, station)."""
    row = ((rows.time - hours[0].astype("datetime64[h]")) / clock.HOUR).astype(int)
    for name, array in arrays.items():
        take = (rows.pollutant == name) & (row >= 0) & (row < len(hours))
        array[np.ix_(row[take], rows.column)] = rows.values[take]


def open_archive(path: Path, station_table: Path | None = None) -> CnemcArchive:
    """The archive at `path`; a UserError where there is none."""
    if not recognises(path):
        raise UserError(f"{path} holds no file of the national layout.", f"Expected {LAYOUT}.", "")
    return CnemcArchive(path, station_table)
