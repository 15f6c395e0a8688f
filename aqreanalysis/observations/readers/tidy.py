"""Tidy tables: one row a station and hour, CSV or Parquet, as `aqreanalysis simulate` writes it and people make it.

Columns station_id, time and pm25, any of the other pollutants, and lon, lat: without them a station table has the
places (--stations, or stations.csv beside the files). Names, separators, encodings and stamps are read in the forms
that `aqreanalysis.tables` knows; `tidy_rows` reads one file. Stamps are the END of the hour; those without an offset
are UTC, or what --utc-offset says. What can't be read loses itself only: a cell, a row, a file; each is counted and
told.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.places import possible
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp, as_hour
from aqreanalysis.observations.readers.found_files import PACKED, UNFINISHED, WORKBOOK, FoundFile, Told, is_zip, walk
from aqreanalysis.observations.readers.tidy_rows import OFF_HOUR, OFF_HOUR_SHARE, Faults, TidyFile, row_name
from aqreanalysis.observations.station_table import (
    TABLE_ROUNDING_KM,
    checked,
    is_station_table,
    read_station_table,
    table_beside,
)

TIDY_SUFFIXES = (".parquet", ".pq", ".csv", ".tsv", ".txt")
OTHER_TABLES = re.compile(r".+\.(feather|arrow|orc|json|jsonl|rds|rdata|dta|sav|sas7bdat|mat|nc|h5|db|sqlite|dbf|pkl)",
                          re.IGNORECASE)
PACKAGE = "packed in a way that is not read (unpack it, or pack it as a zip)"
ANY_TEXT = (".txt",)          # of these only tables count, and others are not told
PLACE = ["station_id", "lon", "lat", "simulated"]
ROW, PM25 = 1, 2              # bits of _RowsSeen
REPEATED_SPAN_HOURS = 31 * 24


def _is_tidy(path: Path) -> bool:
    """Whether one of the files at a path has the columns of a tidy table."""
    return any(_tidy_refusal(file) is None for file in _tidy_files(path))


def _tidy_refusals(path: Path) -> list[str]:
    """A sentence for each file at a path that has the suffix of this layout and is not of it."""
    packages = (text for text in _passed_over(path) if PACKAGE in text)
    return [*filter(None, map(_tidy_refusal, _tidy_files(path))), *packages]


def _tidy_refusal(file: FoundFile) -> str | None:
    try:
        TidyFile(file)
    except BadFile as error:
        return str(error)
    return None


def _tidy_files(path: Path) -> list[FoundFile]:
    """Files that may be tidy tables: by their suffix in any case, gzipped or not, in zips too; or the one given."""
    if path.is_file() and not is_zip(path.name):
        return [FoundFile(path)]
    return [file for file in walk(path) if isinstance(file, FoundFile) and _may_be_tidy(file.base)
            and (file.members or file.path.is_file())]


def _may_be_tidy(name: str) -> bool:
    return _suffix(name) in TIDY_SUFFIXES and not is_station_table(name)


def _suffix(name: str) -> str:
    return Path(name.lower().removesuffix(".gz")).suffix


def _passed_over(path: Path) -> list[str]:
    """A sentence for each file of a folder that may hold a table and is none of `_tidy_files`; many alike in one."""
    told = Told()
    faults: list[str] = []
    for file in walk(path) if path.is_dir() or is_zip(path.name) else ():
        if isinstance(file, str):
            faults.append(file)
            continue
        if _may_be_tidy(file.base) and not file.members and not file.path.is_file():
            told.add("no file that can be read (a link to nothing, a pipe or a device)", file.name)
        unfinished = UNFINISHED.fullmatch(file.base)
        if unfinished and _suffix(unfinished[1] or unfinished[2]) in (*TIDY_SUFFIXES, ".zip"):
            told.add("an unfinished download or a backup by the name; not read", file.name)
        elif PACKED.fullmatch(file.base):
            told.add(PACKAGE, file.name)
        elif WORKBOOK.fullmatch(file.base) or OTHER_TABLES.fullmatch(file.base):
            told.add("a table in a format that is not read (save it as CSV or Parquet)", file.name)
        elif file.members and is_station_table(file.base):
            told.add("a station table in a zip, which is not used (put it beside the zip)", file.name)
    return faults + told.sentences()


class TidyArchive:
    """Tidy files under one path. The station table is gathered from the rows when it is opened, or given."""

    def __init__(self, path: Path, options: ReadingOptions):
        self.path, self.options = Path(path), options
        self.files: list[_ScannedFile] = []
        self.broken: list[str] = []
        for file in _tidy_files(self.path):
            try:
                self.files.append(_scanned(file, options.utc_offset))
            except BadFile as error:
                if self.path == file.path or _suffix(file.base) not in ANY_TEXT or _tidy_refusal(file) is None:
                    self.broken.append(str(error))
        if not self.files:
            raise UserError(f"No file of {path} can be used: {'; '.join(self.broken[:3])}.",
                            f"Expected {TIDY.layout}.", "Correct the files and run again.")
        if not any(file.rows.rule.naive for file in self.files):
            options.refuse(f"{path}", utc_offset="Every stamp there has its offset, in itself or in the header.")
        rows = pd.concat([file.places for file in self.files], ignore_index=True)
        self.stations, self.notes = _placed(rows, self.path, options)
        self.passed_over = _passed_over(self.path)
        # a column `simulated` (any True) marks what `aqreanalysis simulate` wrote
        self.simulated = bool(rows["simulated"].any())
        kind = "SIMULATED hourly observations" if self.simulated else "hourly surface observations"
        self.source = f"{kind} from {self.path.name}"

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour in the files, UTC."""
        return min(file.first for file in self.files), max(file.last for file in self.files)

    def parts(self) -> list[ArchivePart]:
        """The files with the hours they have rows of."""
        spans: dict[Path, list[_ScannedFile]] = {}
        for file in self.files:
            spans.setdefault(file.rows.file.path, []).append(file)
        return [ArchivePart.of(path, self.path, min(file.first for file in held), max(file.last for file in held))
                for path, held in sorted(spans.items())]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Files with rows between `start` and `end`, and a hash of their contents."""
        found = Inspection(skipped=list(self.broken), passed_over=list(self.passed_over), notes=list(self.notes))
        hours = time_axis.complete_hours(start, end)
        seen, notes = _RowsSeen(hours, self.stations), Told()
        for file in self._between(start, end):
            found.digest.update(_digest(file.rows.file))
            found.good += 1
            for text in file.rows.notes():
                notes.add(text.removeprefix(file.rows.name).removeprefix(":").strip(), file.rows.name)
            impossible = anomalies.ImpossibleValues()
            for batch in file.rows.batches():
                row, column, inside = stations.cells_of_rows(batch, self.stations, hours)
                batch = batch[inside]
                seen.add(row, column, np.isfinite(batch["pm25"].to_numpy(float)))
                values = {name: batch[name].to_numpy(float)[:, None] for name in schema.POLLUTANTS if name in batch}
                impossible.add(values, row_name(batch))
            found.anomalies += [*file.anomalies, *impossible.sentences(file.rows.name)]
        found.values = seen.values
        found.notes += notes.sentences()
        found.digest.update(f"{self.options.utc_offset}".encode())
        found.add_stations(self.stations)
        found.anomalies += anomalies.conflicts_in_cubes(self.path.name,
                                                        (self.read(*span) for span in seen.repeated_spans()))
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`."""
        low, high = as_hour(start), as_hour(end)
        parts = []
        for file in self._between(start, end):
            for batch in file.rows.batches():
                inside = batch[(batch["time"] >= low) & (batch["time"] <= high)]
                if len(inside):
                    parts.append(inside)
        rows = pd.concat(parts) if parts else pd.DataFrame(columns=["station_id", "time"])
        return stations.cube_from_rows(rows, self.stations, start, end)

    def _between(self, start: Stamp, end: Stamp) -> list[_ScannedFile]:
        low, high = as_hour(start), as_hour(end)
        return [file for file in self.files if file.first <= high and file.last >= low]


class _RowsSeen:
    """Which hours of which stations have had a row, a byte for each: rows may be repeated anywhere in any file."""

    def __init__(self, hours: np.ndarray, table: pd.DataFrame):
        self._hours, self._bits = hours, np.zeros((len(hours), len(table)), np.uint8)
        self._repeated: dict[int, tuple[int, int]] = {}  # span -> its first and last hour with a repeated row

    @property
    def values(self) -> int:
        return int(np.count_nonzero(self._bits & PM25))

    def add(self, row: np.ndarray, column: np.ndarray, has_pm25: np.ndarray) -> None:
        """Rows (n,) by their cells in the array, and which of them have a PM2.5 value."""
        bits, cell = self._bits.reshape(-1), row * self._bits.shape[1] + column
        cells, count = np.unique(cell, return_counts=True)
        again = cells[(count > 1) | (bits[cells] > 0)] // self._bits.shape[1]
        for span in np.unique(again // REPEATED_SPAN_HOURS):
            inside = again[again // REPEATED_SPAN_HOURS == span]
            first, last = self._repeated.get(span, (inside[0], inside[0]))
            self._repeated[span] = min(first, inside.min()), max(last, inside.max())
        bits[cells] |= ROW
        bits[cell[has_pm25]] |= PM25

    def repeated_spans(self) -> list[tuple[np.datetime64, np.datetime64]]:
        """Spans of at most a month, in order, that hold every repeated row."""
        return [(self._hours[first], self._hours[last]) for _, (first, last) in sorted(self._repeated.items())]


@dataclass(frozen=True)
class _ScannedFile:
    """What reading every row of a file has shown."""

    rows: TidyFile
    first: np.datetime64    # hours with rows, UTC
    last: np.datetime64
    places: pd.DataFrame    # station_id, lon, lat, simulated, last (hour of it), count
    anomalies: list[str]


def _digest(file: FoundFile) -> bytes:
    if file.members:
        return hashlib.sha256(file.content()).digest()
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _scanned(file: FoundFile, utc_offset: float | None) -> _ScannedFile:
    """Every row is read, so that `read` meets no error; BadFile where none can be."""
    rows = TidyFile(file, utc_offset)
    rows.settle()
    faults, places, numbers, count = Faults(), pd.DataFrame(), 0, 0
    for batch in rows.batches(faults):
        if batch.empty:
            continue
        count += len(batch)
        stamps = batch["time"]
        places = _merged(pd.concat([places, batch[PLACE].assign(min=stamps, max=stamps, size=1)]), PLACE)
        numbers += int(batch[[name for name in schema.POLLUTANTS if name in batch]].count().sum())
    told = faults.sentences(file.name)
    if not count:
        raise BadFile(told[0] if told else f"{file.name} has a header and no rows")
    if faults.rows[OFF_HOUR] > OFF_HOUR_SHARE * count:
        raise BadFile(f"{told[list(faults.rows).index(OFF_HOUR)]}: {faults.rows[OFF_HOUR]} of "
                      f"{faults.rows[OFF_HOUR] + count}, so that its values are none of whole hours")
    if not numbers and faults.cells:
        raise BadFile(f"{file.name} holds no number; {told[-1].removeprefix(f'{file.name}: ')}")
    first, last = places["min"].min(), places["max"].max()
    return _ScannedFile(rows, first.to_datetime64(), last.to_datetime64(), places, told)


def _merged(places: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows with the same `keys` as one: the first and last hour of them, and how many they were."""
    groups = places.groupby(keys, dropna=False, sort=False)
    return groups.agg({"min": "min", "max": "max", "size": "sum"}).reset_index()


def _placed(rows: pd.DataFrame, path: Path, options: ReadingOptions) -> tuple[pd.DataFrame, list[str]]:
    """The station table of an archive, and a sentence on where the places are from."""
    folder = path if path.is_dir() else path.parent
    beside = table_beside(folder)
    has_places = rows[["lon", "lat"]].notna().all(axis=1).any()
    if options.station_table is None and (has_places or not beside.is_file()):
        unused = [f"{beside.name} is not used, for the files have lon and lat (--stations {beside.name} uses it)"]
        return _own_places(rows, str(path)), unused if beside.is_file() else []
    given = options.station_table or beside
    table, ids = read_station_table(given), sorted(set(rows["station_id"]))
    missing = [station for station in ids if station not in set(table["station_id"])]
    if len(missing) == len(ids):
        raise UserError(f"The station table {given} has none of the stations of {path}: {', '.join(ids[:5])} ... It "
                        f"has {', '.join(table['station_id'][:5])} ...",
                        "Files and table name a station by the same station_id, to the letter.",
                        "Give the table of this network with --stations FILE.")
    notes = [f"places are those of {given.name}" + (", not those of the files" if has_places else "")]
    if missing:
        shown = ", ".join(missing[:5]) + " ..." * (len(missing) > 5)
        notes.append(f"{len(missing)} of the files' {len(ids)} stations left out, for {given.name} has no place for "
                     f"{shown}")
    kept = table[table["station_id"].isin(ids)].reset_index(drop=True)
    kept.attrs.update(table.attrs)
    return kept, notes


def _own_places(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """One row a station, from the places in the files: of several the latest, which is told."""
    placed = rows.dropna(subset=["lon", "lat"])
    merged = _merged(placed, ["station_id", "lon", "lat"])
    sound, impossible, told = possible(merged, where) if len(merged) else (merged, {}, [])
    latest = sound.sort_values(["max", "size"], kind="stable").drop_duplicates("station_id", keep="last")
    without = sorted(set(rows["station_id"]) - set(placed["station_id"]))
    blank = pd.DataFrame({"station_id": without, "lon": np.nan, "lat": np.nan})
    if not len(latest):
        raise UserError(f"The files of {where} have no places.", "Each station needs a longitude and a latitude.",
                        "Add the columns lon and lat, put stations.csv (station_id,lon,lat) beside the files, or give "
                        "--stations FILE.")
    table = checked(pd.concat([latest[["station_id", "lon", "lat"]], blank], ignore_index=True), where)
    table.attrs["left_out"] = dict(sorted((table.attrs["left_out"] | impossible).items()))
    table.attrs["moved"] = [*told, *table.attrs["moved"], *_moves(sound, latest)]
    return table


def _moves(merged: pd.DataFrame, latest: pd.DataFrame) -> list[str]:
    """A sentence for each station whose places are farther apart than tables round."""
    found = []
    last = latest.set_index("station_id")
    for station, at in merged[merged["station_id"].duplicated(keep=False)].groupby("station_id"):
        now = last.loc[str(station)]
        way = float(geo.distance_km(at.lat, at.lon, now.lat, now.lon).max())
        if way > TABLE_ROUNDING_KM:
            found.append(f"station {station} stands at {len(at)} places up to {way:.1f} km apart; the latest, "
                         f"{now.lon:.4f}, {now.lat:.4f}, is used throughout")
    return found


TIDY = Reader("tidy", "tidy tables (.parquet, .csv, .csv.gz, .tsv, .txt) with the columns station_id, time, lon, lat, "
              "pm25, without lon and lat beside a station table", _is_tidy, _tidy_refusals, TidyArchive)
