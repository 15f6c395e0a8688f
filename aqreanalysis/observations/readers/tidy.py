"""Tidy tables for everyone else: Parquet or CSV with one row for each station and hour.

Columns: station_id, time, lon, lat, pm25 and, where available, pm10, so2, no2, co, o3 (ug m-3; co
in mg m-3). `time` is ISO 8601 and marks the END of the hour; without an offset it is UTC. A path is one file or a
folder of files; rows are read in batches, so that memory does not grow with the archive. Rows may come in any order
and more than once; a cell that holds text instead of a number counts as missing and is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, Stamp, as_hour
from aqreanalysis.observations.station_table import checked

TIDY_COLUMNS = ("station_id", "time", "lon", "lat", "pm25")
MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")  # what is written for a missing value
TIDY_SUFFIXES = (".parquet", ".csv")
ROW, PM25 = 1, 2              # bits of _RowsSeen
REPEATED_SPAN_HOURS = 31 * 24


def _is_tidy(path: Path) -> bool:
    """Whether one of the files at a path has the columns of a tidy table."""
    return any(_tidy_refusal(file) is None for file in _tidy_files(path))


def _tidy_refusals(path: Path) -> list[str]:
    """A sentence for each file at a path that has the suffix of this layout and is not of it."""
    return [text for text in map(_tidy_refusal, _tidy_files(path)) if text]


def _tidy_refusal(file: Path) -> str | None:
    try:
        _check_columns(file)
    except BadFile as error:
        return str(error)
    return None


def _tidy_files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [f for f in files if f.suffix.lower() in TIDY_SUFFIXES and f.is_file() and f.name != "stations.csv"]


class TidyArchive:
    """Tidy files under one path. The station table is gathered from the rows when it is opened."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.files: list[_TidyFile] = []
        self.broken: list[str] = []
        for file in _tidy_files(self.path):
            try:
                self.files.append(_scanned(file))
            except BadFile as error:
                self.broken.append(str(error))
        if not self.files:
            raise UserError(f"No file of {path} can be used: {'; '.join(self.broken[:3])}.",
                            f"Expected {TIDY.layout}.", "Correct the files and run again.")
        rows = [file.places for file in self.files]
        self.stations = _one_place_each(pd.concat(rows, ignore_index=True), str(path))
        # a column `simulated` (any True) marks what `aqreanalysis simulate` wrote
        self.simulated = any(places["simulated"].any() for places in rows)
        kind = "SIMULATED hourly observations" if self.simulated else "hourly surface observations"
        self.source = f"{kind} from {self.path.name}"

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour in the files, UTC."""
        return min(file.first for file in self.files), max(file.last for file in self.files)

    def parts(self) -> list[ArchivePart]:
        """The files with the hours they have rows of."""
        return [ArchivePart.of(file.path, self.path, file.first, file.last) for file in self.files]

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Files with rows between `start` and `end`, and a hash of their contents."""
        found, hours = Inspection(skipped=list(self.broken)), time_axis.complete_hours(start, end)
        seen = _RowsSeen(hours, self.stations)
        for file in self._between(start, end):
            with file.path.open("rb") as stream:
                found.digest.update(hashlib.file_digest(stream, "sha256").digest())
            found.good += 1
            impossible = anomalies.ImpossibleValues()
            for batch in _batches(file.path, file.as_text):
                row, column, inside = stations.cells_of_rows(batch, self.stations, hours)
                batch = batch[inside]
                seen.add(row, column, np.isfinite(batch["pm25"].to_numpy(float)))
                values = {name: batch[name].to_numpy(float)[:, None] for name in schema.POLLUTANTS if name in batch}
                impossible.add(values, _row_name(batch))
            found.anomalies += [*file.anomalies, *impossible.sentences(file.path.name)]
        found.values = seen.values
        found.anomalies += anomalies.conflicts_in_cubes(self.path.name,
                                                        (self.read(*span) for span in seen.repeated_spans()))
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`."""
        low, high = as_hour(start), as_hour(end)
        parts = []
        for file in self._between(start, end):
            for batch in _batches(file.path, file.as_text):
                inside = batch[(batch["time"] >= low) & (batch["time"] <= high)]
                if len(inside):
                    parts.append(inside)
        rows = pd.concat(parts) if parts else pd.DataFrame(columns=["station_id", "time"])
        return stations.cube_from_rows(rows, self.stations, start, end)

    def _between(self, start: Stamp, end: Stamp) -> list[_TidyFile]:
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


def _tidy_columns(file: Path) -> dict[str, str]:
    """Our name -> the file's name of the columns that it has."""
    import pyarrow.dataset as ds

    try:
        names = ds.dataset(file, format=file.suffix.lower()[1:]).schema.names
    except Exception as error:  # pyarrow raises many kinds for what is not a table
        raise BadFile(f"{file.name} can't be read as {file.suffix[1:]} ({str(error).splitlines()[0][:100]})") from error
    ours = {name.strip().lower().replace("pm2.5", "pm25").replace("pm2_5", "pm25"): name for name in names}
    return {name: ours[name] for name in (*TIDY_COLUMNS[:4], *schema.POLLUTANTS, "simulated") if name in ours}


def _check_columns(file: Path) -> dict[str, str]:
    if file.stat().st_size == 0:
        raise BadFile(f"{file.name} is empty")
    columns = _tidy_columns(file)
    missing = [name for name in TIDY_COLUMNS if name not in columns]
    if missing:
        raise BadFile(f"{file.name} has no column {', '.join(missing)}")
    return columns


def _batches(file: Path, as_text: bool) -> Iterator[pd.DataFrame]:
    """Tables of rows with our column names and UTC times, a bounded number at a time.

    `as_text` reads pollutants as text, for a file that holds text among them: what is not a number is NaN then, and
    the table's attribute `stray_text` lists it.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.csv import ConvertOptions

    columns = _check_columns(file)
    # given, not inferred from the first rows: ids may look like numbers, values may begin blank or whole
    text = {"station_id", *(schema.POLLUTANTS if as_text else ())}
    types = {columns[name]: pa.string() if name in text else pa.float64()
             for name in columns if name not in ("time", "simulated")}
    csv = ds.CsvFileFormat(convert_options=ConvertOptions(column_types=types))
    try:
        dataset = ds.dataset(file, format=csv if file.suffix.lower() == ".csv" else "parquet")
        for batch in dataset.to_batches(columns=list(columns.values())):
            table = batch.to_pandas()
            table.columns = pd.Index(list(columns))
            table["station_id"] = table["station_id"].astype(str)
            table["time"] = _utc(table["time"])
            for name in set(table) & {*schema.POLLUTANTS, "lon", "lat"}:
                table[name] = _numbers(table, name, as_text)
            yield table
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, TypeError, OSError) as error:
        raise BadFile(f"{file.name} can't be read ({str(error).splitlines()[0][:120]})") from error


def _numbers(table: pd.DataFrame, name: str, as_text: bool) -> pd.Series:
    """A column as numbers; text among pollutants is NaN where it is allowed, and listed in the table's attrs."""
    if not as_text or name not in schema.POLLUTANTS:
        return pd.to_numeric(table[name], errors="raise")
    numbers = pd.to_numeric(table[name], errors="coerce")
    written = table[name].astype(object).where(table[name].notna(), "").astype(str).str.strip()
    stray = np.flatnonzero(numbers.isna() & ~written.isin(MISSING_TEXTS))
    if len(stray):
        where = _row_name(table)(int(stray[0]), 0)
        table.attrs.setdefault("stray_text", {})[name] = (len(stray), written.iloc[stray[0]], where)
    return numbers


def _row_name(table: pd.DataFrame) -> anomalies.CellName:
    """Names a row by its station and hour."""
    return lambda row, _: f"{table['station_id'].iloc[row]}, {table['time'].iloc[row]:%Y-%m-%dT%H}Z"


def _utc(time: pd.Series) -> pd.Series:
    if not pd.api.types.is_datetime64_any_dtype(time):
        time = pd.to_datetime(time.astype(str), utc=True, format="ISO8601")  # strict: 01/02/2019 is ambiguous
    return pd.to_datetime(time, utc=True).dt.tz_localize(None).astype("datetime64[ns]")


@dataclass(frozen=True)
class _TidyFile:
    """What reading every row of a file has shown."""

    path: Path
    first: np.datetime64    # hours with rows, UTC
    last: np.datetime64
    places: pd.DataFrame    # station_id, lon, lat, simulated
    as_text: bool           # there is text among its pollutants
    anomalies: list[str]


def _scanned(file: Path) -> _TidyFile:
    """Every value is read, so that `read` meets no error; BadFile where more is wrong than text among pollutants."""
    try:
        return _scan(file, as_text=False)
    except BadFile as error:
        try:
            return _scan(file, as_text=True)
        except BadFile:
            raise error from None


def _scan(file: Path, as_text: bool) -> _TidyFile:
    places: list[pd.DataFrame] = []
    stamps: list[np.datetime64] = []
    strays: dict[str, tuple[int, str, str]] = {}
    numbers = 0
    for batch in _batches(file, as_text):
        if batch.empty:
            continue
        uneven = batch["time"].dt.floor("h") != batch["time"]
        if uneven.any():
            raise BadFile(f"{file.name} has the stamp {batch['time'][uneven].iloc[0]}, which is not a full hour")
        batch["simulated"] = batch["simulated"].astype(bool) if "simulated" in batch else False
        places = [pd.concat([*places, batch[["station_id", "lon", "lat", "simulated"]]]).drop_duplicates()]
        stamps += [batch["time"].min().to_datetime64(), batch["time"].max().to_datetime64()]
        for name, (count, text, where) in batch.attrs.get("stray_text", {}).items():
            before = strays.get(name, (0, text, where))
            strays[name] = (before[0] + count, *before[1:])
        numbers += int(batch[[name for name in schema.POLLUTANTS if name in batch]].count().sum())
    if not stamps:
        raise BadFile(f"{file.name} has a header and no rows")
    if as_text and not numbers:
        raise BadFile(f"{file.name} holds no number")
    found = [anomalies.stray_text(file.name, count, text, f"at {where}", schema.LONG_NAMES[name])
             for name, (count, text, where) in strays.items()]
    return _TidyFile(file, min(stamps), max(stamps), places[0], as_text, found)


def _one_place_each(places: pd.DataFrame, where: str) -> pd.DataFrame:
    """One row a station; the same id at two places is an error."""
    places = places.drop(columns="simulated").sort_values("lon", na_position="last").drop_duplicates()
    return checked(places[~(places["lon"].isna() & places["station_id"].duplicated())], where)


TIDY = Reader("tidy", f"tidy .parquet or .csv with the columns {', '.join(TIDY_COLUMNS)}", _is_tidy, _tidy_refusals,
              lambda path, options: TidyArchive(path))
