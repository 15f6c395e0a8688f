"""UCI 501, "Beijing Multi-Site Air Quality": PRSA_Data_<station>_<day>-<day>.csv, loose or in the zips of the download.

Chen, S. (2017), UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0. A file is one station's whole record
with the columns No, year, month, day, hour, PM2.5 ... WSPM, station; NA is missing; stamps are UTC+8 and mark the END
of the hour (they agree with the municipal files hour by hour); CO is in ug m-3 and is converted to mg m-3; the weather
is that of the nearest weather station. A cell that is not a number counts as missing and is reported. The files have
no coordinates: a station table has them. A file is parsed once and kept, 2 MB each.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import containers, schema, time_axis
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
from aqreanalysis.observations.station_table import read_station_table

UCI_FILE_NAME = re.compile(r"PRSA_Data_(?P<station>\w+)_(?P<first>\d{8})-(?P<last>\d{8})\.csv")
LOCAL_TIME_COLUMNS = ("year", "month", "day", "hour")
NUMBER_COLUMNS = {
    "PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3", "TEMP": "temperature",
    "PRES": "pressure", "DEWP": "dew_point", "RAIN": "rain", "WSPM": "wind_speed"}
UCI_COLUMNS = (*LOCAL_TIME_COLUMNS, *NUMBER_COLUMNS, "wd", "station")
COMPASS = {point: 22.5 * number for number, point in enumerate(
    "N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW".split())}  # degrees from which the wind comes
CO_TO_MG = 0.001


@dataclass(frozen=True)
class SiteFile:
    """One station's file: at `path`, or inside the zip there, or inside a zip in that zip."""

    station: str
    first: np.datetime64    # END-of-hour stamps, UTC, that its name promises
    last: np.datetime64
    path: Path
    members: tuple[containers.Member, ...] = ()

    @property
    def name(self) -> str:
        """Its path inside the zips, for messages."""
        return ":".join((self.path.name, *(member.name for member in self.members)))

    def content(self) -> bytes:
        """The bytes of the file; BadFile where it can't be read."""
        try:
            if not self.members:
                return self.path.read_bytes()
            content = b""
            for depth, member in enumerate(self.members):
                with zipfile.ZipFile(io.BytesIO(content) if depth else self.path) as container:
                    content = containers.read_member(container, member, self.name)
            return content
        except containers.DAMAGE as error:
            raise BadFile(f"{self.name} can't be read ({error})") from error


@dataclass(frozen=True)
class SiteSeries:
    """What one file holds."""

    rows: pd.DataFrame       # station_id, time (UTC, END of hour) and float32 in schema.UNITS, in order of time
    anomalies: list[str]
    digest: str              # of the bytes


# --- the text of a file ----------------------------------------------------------------------------

def parse_site_file(name: str, content: bytes, station: str, station_id: str) -> SiteSeries:
    """The rows of a file of one station; BadFile that says what is wrong with it.

    Parameters
    ----------
    name : of the file, for messages.
    content : its bytes.
    station : what its last column must say.
    station_id : its station_id in the station table.
    """
    table = _site_table(name, content, station)
    time = _utc_stamps(name, table)
    columns: dict[str, np.ndarray] = {}
    found: list[str] = []
    for column, ours in NUMBER_COLUMNS.items():
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float, na_value=np.nan)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        found += _stray_cells(name, table, column, np.isnan(numbers))
        columns[ours] = (numbers * (CO_TO_MG if ours == "co" else 1)).astype(np.float32)
    direction = table["wd"].astype(object).map(COMPASS).to_numpy(float, na_value=np.nan)
    found += _stray_cells(name, table, "wd", np.isnan(direction))
    columns["wind_direction"] = direction.astype(np.float32)
    local = time + np.timedelta64(time_axis.UTC_OFFSET_HOURS, "h")

    def cell_name(row: int, _: int) -> str:
        return f"{station}, {pd.Timestamp(local[row]):%Y-%m-%d %H:%M} (UTC+8)"

    found += anomalies.impossible_values(name, {ours: columns[ours][:, None] for ours in schema.POLLUTANTS}, cell_name)
    rows = pd.DataFrame({"station_id": station_id, "time": time, **columns})
    ordered = rows.sort_values("time", kind="stable", ignore_index=True)
    return SiteSeries(ordered, found, hashlib.sha256(content).hexdigest())


def _site_table(name: str, content: bytes, station: str) -> pd.DataFrame:
    """The columns of a file as they are; BadFile that says what is wrong with its form."""
    check_text(name, content)
    try:
        table = pd.read_csv(io.BytesIO(content), encoding="utf-8-sig", na_values=["NA", ""], keep_default_na=False,
                            low_memory=False, skip_blank_lines=False)
    except (pd.errors.ParserError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{name} can't be read as CSV ({str(error).strip()[:120]})") from error
    missing = [column for column in UCI_COLUMNS if column not in table]
    if missing:
        raise BadFile(f"{name} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns[:6]))} ...")
    if table.empty:
        raise BadFile(f"{name} has a header and no rows")
    wrong = np.flatnonzero((table["station"] != station).to_numpy())
    if len(wrong):  # the last column: a line that is cut off has none
        found = table["station"].iloc[wrong[0]]
        raise BadFile(f"{name} is truncated or damaged in line {wrong[0] + 2}" if pd.isna(found) else
                      f"{name} has the station {str(found)[:20]!r} in line {wrong[0] + 2}")
    return table


def _utc_stamps(name: str, table: pd.DataFrame) -> np.ndarray:
    """UTC stamps, datetime64[ns]; BadFile for what is not an hour."""
    numbers = table[list(LOCAL_TIME_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    local = pd.to_datetime(numbers[["year", "month", "day"]], errors="coerce")
    wrong = np.flatnonzero((local.isna() | ~numbers["hour"].isin(range(24))).to_numpy())
    if len(wrong):
        cells = " ".join(str(cell) for cell in table[list(LOCAL_TIME_COLUMNS)].iloc[wrong[0]])
        raise BadFile(f"{name} has the date and hour {cells[:40]!r} in line {wrong[0] + 2}")
    hours = pd.to_timedelta(numbers["hour"] - time_axis.UTC_OFFSET_HOURS, unit="h")
    return (local + hours).to_numpy().astype("datetime64[ns]")


def _stray_cells(name: str, table: pd.DataFrame, column: str, missing: np.ndarray) -> list[str]:
    """A sentence if cells of a column that are not missing by their text gave no number."""
    found = np.flatnonzero(missing & table[column].notna().to_numpy())
    if not len(found):
        return []
    return [anomalies.stray_text(name, len(found), str(table[column].iloc[found[0]]), f"in line {found[0] + 2}",
                                 column)]


# --- the files of an archive -----------------------------------------------------------------------

def _is_uci(path: Path) -> bool:
    """Whether a folder, zip or file holds files of this layout."""
    return any(isinstance(found, SiteFile) for found in _site_files(path))


def _uci_refusals(path: Path) -> list[str]:
    """A sentence for each zip at a path that can't be opened."""
    return [found for found in _site_files(path) if isinstance(found, str)]


def _site_files(path: Path) -> Iterator[SiteFile | str]:
    """Files of this layout under a path, in order; a sentence for a zip that can't be opened."""
    for candidate in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if candidate.suffix.lower() == ".zip" and candidate.is_file():
            yield from _in_zip(candidate, candidate, ())
        elif (file := _site_file(candidate, ())) and candidate.is_file():
            yield file


def _in_zip(path: Path, source: Path | io.BytesIO, within: tuple[containers.Member, ...]) -> Iterator[SiteFile | str]:
    """Files of a zip, and of the zip that the repository's download has inside."""
    name = ":".join((path.name, *(member.name for member in within)))
    try:
        with zipfile.ZipFile(source) as container:
            members, refused = containers.zip_members(container)
            yield from (f"{name}:{reason}" for reason in refused)
            for member in members:
                if file := _site_file(path, (*within, member)):
                    yield file
                elif re.fullmatch(r"PRSA.*\.zip", PurePosixPath(member.name).name) and not within:
                    inside = containers.read_member(container, member, f"{name}:{member.name}")
                    yield from _in_zip(path, io.BytesIO(inside), (member,))
    except BadFile as error:
        yield str(error)
    except containers.DAMAGE as error:
        yield f"{name} is not a whole zip file ({error})"


def _site_file(path: Path, members: tuple[containers.Member, ...]) -> SiteFile | None:
    match = UCI_FILE_NAME.fullmatch(PurePosixPath(members[-1].name).name if members else path.name)
    if match is None:
        return None
    try:
        first, last = (np.datetime64(dt.datetime.strptime(match[name], "%Y%m%d"), "h") for name in ("first", "last"))
    except ValueError:
        return None  # not days of the calendar
    to_utc = np.timedelta64(-time_axis.UTC_OFFSET_HOURS, "h")
    return SiteFile(match["station"], first + to_utc, last + np.timedelta64(23, "h") + to_utc, path, members)


class UciArchive:
    """The files under one path, with the places of their stations from a station table."""

    simulated = False
    source = ("hourly surface observations and weather of the Beijing Multi-Site Air Quality data "
              "(Chen 2017, UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0)")

    def __init__(self, path: Path, options: ReadingOptions):
        options.refuse("files of the UCI layout", utc_offset="Their stamps are China Standard Time, UTC+8.")
        self.path = Path(path)
        found = list(_site_files(self.path))
        self.broken = [file for file in found if isinstance(file, str)]
        files = [file for file in found if isinstance(file, SiteFile)]
        if not files:
            raise UserError(f"{path} holds no file of the UCI layout.", f"Expected {UCI_BEIJING.layout}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        table = options.station_table or folder / "stations.csv"
        self.stations, ids = _placed(sorted({file.station for file in files}), table)
        self.broken += [f"{file.name} is of station {file.station}, which the station table does not have"
                        for file in files if file.station not in ids]
        self.files = [file for file in files if file.station in ids]
        self._ids = ids
        self._series: dict[SiteFile, SiteSeries | BadFile] = {}

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last stamp that the files' names promise, UTC."""
        return min(file.first for file in self.files), max(file.last for file in self.files)

    def parts(self) -> list[ArchivePart]:
        """The loose files and zips, each with the hours that its files' names promise."""
        spans: dict[Path, list[tuple[np.datetime64, np.datetime64]]] = {}
        for file in self.files:
            spans.setdefault(file.path, []).append((file.first, file.last))
        return [ArchivePart.of(path, self.path, min(first for first, _ in span), max(last for _, last in span))
                for path, span in sorted(spans.items())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        found, rows = Inspection(skipped=list(self.broken)), []
        for file in self._between(start, end):
            series = self._parsed(file)
            if isinstance(series, BadFile):
                found.skipped.append(str(series))
                continue
            found.good += 1
            found.anomalies += series.anomalies
            found.digest.update(f"{file.station} {series.digest}".encode())
            rows.append(_rows_between(series.rows, start, end))
        if rows:
            every = pd.concat(rows)
            found.values = len(every.loc[every["pm25"].notna(), ["station_id", "time"]].drop_duplicates())
            repeated = every[every.duplicated(["station_id", "time"], keep=False)]
            if len(repeated):
                cube = stations.cube_from_rows(repeated, self.stations, repeated["time"].min(), repeated["time"].max())
                found.anomalies += anomalies.conflicts_in_cubes(self.path.name, [cube])
        found.add_stations(self.stations)
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`, with schema.WEATHER; CO in mg m-3."""
        every = map(self._parsed, self._between(start, end))
        rows = [_rows_between(series.rows, start, end) for series in every if not isinstance(series, BadFile)]
        empty = pd.DataFrame(columns=["station_id", "time", *NUMBER_COLUMNS.values(), "wind_direction"])
        return stations.cube_from_rows(pd.concat(rows) if rows else empty, self.stations, start, end)

    def _between(self, start: Stamp, end: Stamp) -> list[SiteFile]:
        first, last = as_hour(start), as_hour(end)
        return [file for file in self.files if file.first <= last and file.last >= first]

    def _parsed(self, file: SiteFile) -> SiteSeries | BadFile:
        """What a file holds, parsed once, or what is wrong with it."""
        if file not in self._series:
            try:
                self._series[file] = parse_site_file(file.name, file.content(), file.station, self._ids[file.station])
            except BadFile as error:
                self._series[file] = error
        return self._series[file]


def _rows_between(rows: pd.DataFrame, start: Stamp, end: Stamp) -> pd.DataFrame:
    return rows[rows["time"].between(pd.Timestamp(start), pd.Timestamp(end))]


def _placed(names: list[str], path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of a station table that belong to the files' stations, and the files' names -> station_id."""
    if not path.is_file():
        raise UserError(f"There is no station table at {path}.",
                        "The UCI files have no coordinates; a table gives the places of their stations.",
                        f"Put stations.csv (station_id,lon,lat) beside them, with ids such as {names[0]} or "
                        f"bj_{names[0].lower()}, or give --stations FILE.")
    table = read_station_table(path)
    called: dict[str, set[int]] = {}
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


UCI_BEIJING = Reader("uci_beijing", "PRSA_Data_<station>_YYYYMMDD-YYYYMMDD.csv, loose or in zip files", _is_uci,
                     _uci_refusals, UciArchive)
