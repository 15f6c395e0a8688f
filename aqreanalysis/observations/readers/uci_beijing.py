"""UCI 501, "Beijing Multi-Site Air Quality": PRSA_Data_<station>_<day>-<day>.csv, loose or in the zips of the download.

Chen, S. (2017), UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0. A file is one station's whole record
with the columns No, year, month, day, hour, PM2.5 ... WSPM, station; NA is missing; stamps are UTC+8 and mark the END
of the hour (they agree with the municipal files hour by hour); CO is in ug m-3 and is converted to mg m-3; the weather
is that of the nearest weather station. A cell that is not a number counts as missing and is reported. The files have
no coordinates: a station table has them. A file is parsed once and kept, 2 MB each.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.fields.variables import COMPASS
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers import anomalies, found_files
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp, as_hour
from aqreanalysis.observations.readers.daily_rows import hour_of
from aqreanalysis.observations.readers.found_files import FoundFile, Names
from aqreanalysis.observations.station_table import STATION_TABLE, read_station_table
from aqreanalysis.tables import columns, numbers, rows
from aqreanalysis.tables.columns import Column
from aqreanalysis.tables.rows import BadRows, TextTable

UCI_FILES = Names("PRSA_Data_<station>_YYYYMMDD-YYYYMMDD.csv",
                  r"PRSA_Data_(?P<station>\w+)_(?P<first>\d{8})-(?P<last>\d{8})\.csv", ("prsadata",))
LOCAL_TIME = tuple(Column(name, kind="number") for name in ("year", "month", "day")) + (columns.HOUR,)
WEATHER = (Column("temperature", ("temp",), kind="number"), Column("pressure", ("pres",), kind="number"),
           Column("dew_point", ("dewp",), kind="number"), Column("rain", kind="number"),
           Column("wind_speed", ("wspm",), kind="number"))
NUMBER_COLUMNS = tuple(column.name for column in (*columns.POLLUTANTS, *WEATHER))
UCI_COLUMNS = (*LOCAL_TIME, *columns.POLLUTANTS, *WEATHER, Column("wind_direction", ("wd",)), Column("station"))
NEEDED = (*(column.name for column in LOCAL_TIME), schema.TARGET)
CO_TO_MG = 0.001


@dataclass(frozen=True)
class SiteFile:
    """One station's file."""

    file: FoundFile
    station: str
    first: np.datetime64    # END-of-hour stamps, UTC, that its name promises
    last: np.datetime64

    @property
    def key(self) -> tuple:
        """Its station and hours: an archive has one file for them."""
        return self.station, self.first, self.last


@dataclass(frozen=True)
class SiteSeries:
    """What one file holds."""

    rows: pd.DataFrame       # station_id, time (UTC, END of hour) and float32 in schema.UNITS, in order of time
    anomalies: list[str]
    notes: list[str]
    digest: str              # of the bytes


# --- the text of a file ----------------------------------------------------------------------------

def parse_site_file(name: str, content: bytes, station: str, station_id: str) -> SiteSeries:
    """The rows of a file of one station; a bad row or cell loses itself only.

    Parameters
    ----------
    name : of the file, for messages.
    content : its bytes.
    station : what its column `station` must say, where it has one.
    station_id : its station_id in the station table.

    Raises
    ------
    BadFile : where it is no such table, or no row of it can be read.
    """
    table = rows.open_table(name, content, UCI_COLUMNS, NEEDED)
    bad = BadRows()
    parts = list(table.batches(bad))
    cells = pd.concat(parts) if parts else pd.DataFrame(columns=list(table.columns), dtype=object)
    stamps, lost = _utc_stamps(table, cells, station, content)
    found = [*filter(None, [bad.sentence(name, table.dialect.width)]), *lost]
    good = ~np.isnat(stamps)
    if not good.any():
        raise BadFile(f"{name} holds no row that can be read; {found[0].removeprefix(f'{name}: ')}" if found else
                      f"{name} has a header and no rows")
    cells, time = cells[good], stamps[good]
    values = {ours: _numbers(table, cells, ours, found) for ours in NUMBER_COLUMNS}
    values["wind_direction"] = _directions(table, cells, found)
    local = time + np.timedelta64(time_axis.UTC_OFFSET_HOURS, "h")

    def cell_name(row: int, _: int) -> str:
        return f"{station}, {pd.Timestamp(local[row]):%Y-%m-%d %H:%M} (UTC+8)"

    found += anomalies.impossible_values(name, {ours: values[ours][:, None] for ours in schema.POLLUTANTS}, cell_name)
    found += [f"{name} has no column for {ours}, which is missing" for ours in values if ours not in table.columns]
    series = pd.DataFrame({"station_id": station_id, "time": time, **values})
    ordered = series.sort_values("time", kind="stable", ignore_index=True)
    return SiteSeries(ordered, found, table.how_read(table.dialect.decimal), hashlib.sha256(content).hexdigest())


def _utc_stamps(table: TextTable, cells: pd.DataFrame, station: str, content: bytes) -> tuple[np.ndarray, list[str]]:
    """UTC stamps (rows,), datetime64[ns], NaT for rows that are not read; and sentences on these."""
    decimal = table.dialect.decimal
    date = {part: numbers.numbers(cells[part], decimal)[0] for part in ("year", "month", "day")}
    local = pd.to_datetime(pd.DataFrame(date), errors="coerce").to_numpy().astype("datetime64[ns]")
    hour = _by_text(cells["hour"], lambda text: math.nan if (found := hour_of(text)) is None else found)
    wrong = {"whose date and hour are none": np.isnat(local) | np.isnan(hour)}
    if "station" in cells:
        wrong["of another station"] = _by_text(cells["station"],
                                               lambda text: text.strip().casefold() != station.casefold()) > 0
    elif len(cells) and not content.endswith((b"\n", b"\r", b'"', b"\n\0")):
        wrong["that may be cut off"] = np.arange(len(cells)) == len(cells) - 1
    stamps = local + np.where(np.isnan(hour), 0, hour - time_axis.UTC_OFFSET_HOURS).astype("timedelta64[h]")
    lost, told = np.zeros(len(cells), bool), []
    for what, mask in wrong.items():
        new = np.flatnonzero(mask & ~lost)
        if len(new):
            row = cells.iloc[new[0]]
            shown = " ".join(str(row[part]) for part in (*(one.name for one in LOCAL_TIME), "station") if part in row)
            told.append(f"{table.name}: {len(new)} row{'s' if len(new) > 1 else ''} {what} not read ({shown[:60]!r} in "
                        f"line {table.line_of(int(cells.index[new[0]]))}; 2013,3,1,0 is 1 March 2013, 00:00)")
        lost |= mask
    stamps[lost] = np.datetime64("NaT")
    return stamps, told


def _by_text(cells: pd.Series, convert: Callable[[str], float]) -> np.ndarray:
    """float64 (rows,) of a column of text, each different text converted once."""
    codes, texts = pd.factorize(cells.astype(object).fillna(""))
    return np.array([convert(str(text)) for text in texts] or [math.nan], float)[codes]


def _numbers(table: TextTable, cells: pd.DataFrame, name: str, found: list[str]) -> np.ndarray:
    """A column in our units, float32 (rows,); `found` takes a sentence where cells hold text."""
    if name not in cells:
        return np.full(len(cells), np.nan, np.float32)
    values, stray = numbers.numbers(cells[name], table.dialect.decimal)
    _tell_strays(table, cells, name, stray, found)
    return (values * (CO_TO_MG if name == "co" else 1)).astype(np.float32)


def _directions(table: TextTable, cells: pd.DataFrame, found: list[str]) -> np.ndarray:
    """Directions of the wind, degrees, float32 (rows,)."""
    if "wind_direction" not in cells:
        return np.full(len(cells), np.nan, np.float32)
    values = _by_text(cells["wind_direction"], lambda text: COMPASS.get(text.strip().upper(), math.nan))
    missing = _by_text(cells["wind_direction"], numbers.is_missing) > 0
    _tell_strays(table, cells, "wind_direction", np.isnan(values) & ~missing, found)
    return values.astype(np.float32)


def _tell_strays(table: TextTable, cells: pd.DataFrame, name: str, stray: np.ndarray, found: list[str]) -> None:
    where = np.flatnonzero(stray)
    if len(where):
        line = table.line_of(int(cells.index[where[0]]))
        found.append(anomalies.stray_text(table.name, len(where), str(cells[name].iloc[where[0]]), f"in line {line}",
                                          table.dialect.matched.names[table.columns[name]].strip()))


# --- the files of an archive -----------------------------------------------------------------------

def _site_file(file: FoundFile, match: re.Match) -> SiteFile | str:
    """The file of a station by its name; in words why it is none."""
    try:
        first, last = (np.datetime64(dt.datetime.strptime(match[name], "%Y%m%d"), "h") for name in ("first", "last"))
    except ValueError:
        return found_files.NO_DAY
    to_utc = np.timedelta64(-time_axis.UTC_OFFSET_HOURS, "h")
    return SiteFile(file, match["station"], first + to_utc, last + np.timedelta64(23, "h") + to_utc)


def _is_uci(path: Path) -> bool:
    """Whether a folder, zip or file holds files of this layout."""
    return found_files.holds(path, UCI_FILES, _site_file)


def _uci_refusals(path: Path) -> list[str]:
    """A sentence for each file at a path that may be of this layout and is not read."""
    found = found_files.collect(path, UCI_FILES, _site_file)
    return [*found.broken, *found.passed_over]


class UciArchive:
    """The files under one path, with the places of their stations from a station table."""

    simulated = False
    source = ("hourly surface observations and weather of the Beijing Multi-Site Air Quality data "
              "(Chen 2017, UCI Machine Learning Repository, doi:10.24432/C5RK5G, CC BY 4.0)")

    def __init__(self, path: Path, options: ReadingOptions):
        options.refuse("files of the UCI layout", utc_offset="Their stamps are China Standard Time, UTC+8.")
        self.path = Path(path)
        self._found = found_files.collect(self.path, UCI_FILES, _site_file)
        self.broken, files = self._found.broken, self._found.files
        if not files:
            raise UserError(f"{path} holds no file of the UCI layout.", f"Expected {UCI_BEIJING.layout}.",
                            "Check the path, or see the README for other layouts.")
        folder = self.path if self.path.is_dir() else self.path.parent
        table = options.station_table or folder / STATION_TABLE
        self.stations, ids = _placed(sorted({file.station for file in files}), table)
        self.broken += [f"{file.file.name} is of station {file.station}, which the station table does not have"
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
            spans.setdefault(file.file.path, []).append((file.first, file.last))
        return [ArchivePart.of(path, self.path, min(first for first, _ in span), max(last for _, last in span))
                for path, span in sorted(spans.items())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`."""
        found, rows = Inspection(skipped=list(self.broken), passed_over=list(self._found.passed_over)), []
        notes = found_files.Told()
        doubles, copies = self._found.repeats(lambda file: _overlaps(file, start, end), "station and period")
        found.skipped, found.passed_over = found.skipped + doubles, found.passed_over + copies
        for file in self._between(start, end):
            series = self._parsed(file)
            if isinstance(series, BadFile):
                found.skipped.append(str(series))
                continue
            found.good += 1
            found.anomalies += series.anomalies
            for note in series.notes:
                notes.add(note.removeprefix(f"{file.file.name} "), file.file.name)
            found.digest.update(f"{file.station} {series.digest}".encode())
            rows.append(_rows_between(series.rows, start, end))
        if rows:
            every = pd.concat(rows)
            found.values = len(every.loc[every["pm25"].notna(), ["station_id", "time"]].drop_duplicates())
            repeated = every[every.duplicated(["station_id", "time"], keep=False)]
            if len(repeated):
                cube = stations.cube_from_rows(repeated, self.stations, repeated["time"].min(), repeated["time"].max())
                found.anomalies += anomalies.conflicts_in_cubes(self.path.name, [cube])
        found.notes += self._found.notes + notes.sentences()
        found.add_stations(self.stations)
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`, with schema.WEATHER; CO in mg m-3."""
        every = map(self._parsed, self._between(start, end))
        rows = [_rows_between(series.rows, start, end) for series in every if not isinstance(series, BadFile)]
        empty = pd.DataFrame(columns=["station_id", "time", *NUMBER_COLUMNS, "wind_direction"])
        return stations.cube_from_rows(pd.concat(rows) if rows else empty, self.stations, start, end)

    def _between(self, start: Stamp, end: Stamp) -> list[SiteFile]:
        return [file for file in self.files if _overlaps(file, start, end)]

    def _parsed(self, file: SiteFile) -> SiteSeries | BadFile:
        """What a file holds, parsed once, or what is wrong with it."""
        if file not in self._series:
            try:
                self._series[file] = parse_site_file(file.file.name, file.file.content(), file.station,
                                                     self._ids[file.station])
            except BadFile as error:
                self._series[file] = error
        return self._series[file]


def _overlaps(file: SiteFile, start: Stamp, end: Stamp) -> bool:
    return bool(file.first <= as_hour(end) and file.last >= as_hour(start))


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
