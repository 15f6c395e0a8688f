"""One tidy file, CSV or Parquet, as rows of (station_id, time, places, pollutants), and what is wrong with it.

A CSV is a text table of any dialect (`aqreanalysis.tables`); of a Parquet file the columns are read as they are,
whatever index pandas has noted beside them. A row that can't be read loses itself and is counted, with the line of the
first.
"""

from __future__ import annotations

import functools
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aqreanalysis import schema
from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.found_files import FoundFile
from aqreanalysis.observations.readers.openaq_values import to_our_units
from aqreanalysis.tables import columns, coordinates, numbers, rows, stamps
from aqreanalysis.tables.stamps import StampRule

WANTED = (columns.STATION_ID, columns.TIME, columns.YEAR, columns.MONTH, columns.DAY, columns.HOUR, columns.LON,
          columns.LAT, *columns.POLLUTANTS, columns.SIMULATED)
REQUIRED = ("station_id", "pm25")
OF_TIME, OF_DAYS = ("time", "year", "month", "day", "hour"), ("year", "month", "day", "hour")
PARQUET_SUFFIXES = (".parquet", ".pq")
TRUE_TEXTS = ("true", "1", "1.0", "t", "yes")
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:[AaPp]\.?[Mm]\.?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?"
LOCAL = re.compile(r"local|当地|本地|(?<![A-Za-z])LST(?![A-Za-z])", re.IGNORECASE)   # in a header: of which zone?
OFF_HOUR_SHARE = 0.1       # of a file's rows off the full hour: more of them, and its values are none of hours


@dataclass
class Faults:
    """Rows and cells of a file that could not be read, counted by kind, with the first of each."""

    rows: Counter[str] = field(default_factory=Counter)    # by what is wrong with them
    cells: Counter[str] = field(default_factory=Counter)   # by the name of their column
    first: dict[str, tuple[str, str]] = field(default_factory=dict)   # text and place

    def add_rows(self, kind: str, count: int, text: str, place: str) -> None:
        """Count rows that are not read."""
        self.rows[kind] += count
        self.first.setdefault(kind, (text, place))

    def add_cells(self, column: str, count: int, text: str, place: str) -> None:
        """Count cells with text in place of a number."""
        self.cells[column] += count
        self.first.setdefault(column, (text, place))

    def sentences(self, name: str) -> list[str]:
        """One for each kind."""
        return [*(f"{name}: {count} {'row' if count == 1 else 'rows'} {kind} not read "
                  f"({self.first[kind][0]!r} {self.first[kind][1]})" for kind, count in self.rows.items()),
                *(anomalies.stray_text(name, count, *self.first[column], column)
                  for column, count in self.cells.items())]


NO_STAMP = f"whose time is not understood, as {stamps.EXAMPLES} would be,"
NO_OFFSET = "whose time has no offset, where others of the file have one (--utc-offset says what they are),"
OFF_HOUR, NO_ID = "off the full hour", "without a station_id"
SEXAGESIMAL = "places were read from degrees, minutes and seconds"
COLUMNS_EXCHANGED = "lon and lat stand in each other's column, as their letters (E, N) say, and were read so"
NO_ORDER = "whose day and month can't be told apart by any stamp of the file (write 2019-01-31)"


class TidyFile:
    """A tidy file that was recognised: its columns, and the rule of its stamps. BadFile where it is none."""

    def __init__(self, file: FoundFile, utc_offset: float | None = None):
        self.file = file
        self._stamps: dict[str, np.datetime64] = {}   # a year has 8784 texts, and a file millions of rows
        is_parquet = Path(file.base).suffix.lower() in PARQUET_SUFFIXES
        state = file.path.stat()
        self.table = None if is_parquet else _opened(file, state.st_size, state.st_mtime_ns)
        self.matched = self.table.dialect.matched if self.table else _parquet_columns(file)
        _check_time(file.name, self.matched)
        self.factors = _factors(file.name, self.matched)
        self.header = self.matched.names[self.matched.position.get("time", 0)].strip()
        # of stamps without an offset of their own
        self.said = stamps.offset_in_header(self.header) if "time" in self.matched.position else None
        self.utc_offset = utc_offset if self.said is None else self.said
        self.rule, self._naive = StampRule.of((), self.utc_offset), 0
        self._forms = dict.fromkeys((SEXAGESIMAL, COLUMNS_EXCHANGED), False)   # of its places, met so far

    @property
    def name(self) -> str:
        """For messages."""
        return self.file.name

    def notes(self) -> list[str]:
        """How it is read, and what of it is not used."""
        found = self.table.notes() if self.table else (
            [rows.unused_columns(self.name, self.matched.unused)] if self.matched.unused else [])
        found += [f"{self.name}: {schema.LONG_NAMES[name]} is in {self.matched.units[name]}; "
                  + (f"multiplied by {factor:g}" if factor else "no known unit, so that it is not used")
                  for name, factor in self.factors.items() if factor != 1.0]
        found += [f"{self.name}: {text}" for text, met in self._forms.items() if met]
        if self._naive:
            found.append(f"{self.name}: stamps are UTC{f'{self.said:+g} h' if self.said else ''}, as the header "
                         f"{self.header!r} says")
        told = self.rule.note(self.name)
        if told and not self.rule.given and LOCAL.search(self.header):
            told += f"; the header {self.header!r} says that they are local"
        return found + [told] * bool(told)

    def settle(self) -> None:
        """Read every stamp, and settle the rule by which they are read."""
        self.rule, self._stamps = self._settled(), {}
        if self.said is not None:  # as if each had its offset: the user's word is of others
            self._naive = self.rule.naive
            self.rule = replace(self.rule, naive=0, aware=self.rule.naive + self.rule.aware)

    def _settled(self) -> StampRule:
        seen: set[str] = set()
        for frame in self._raw(None, [name for name in OF_TIME if name in self.matched.position]):
            if isinstance(frame["time"].dtype, pd.DatetimeTZDtype):
                return StampRule(self.utc_offset or 0.0, self.utc_offset is not None, None, 0, 1)
            if pd.api.types.is_datetime64_any_dtype(frame["time"]):
                return StampRule(self.utc_offset or 0.0, self.utc_offset is not None, None, 1, 0)
            seen.update(numbers.distinct(frame["time"])[1])
        return StampRule.of(seen, self.utc_offset)

    def batches(self, faults: Faults | None = None) -> Iterator[pd.DataFrame]:
        """Rows that can be read, a bounded number at a time, in the order of the file.

        Columns: station_id (text), time (datetime64[ns], UTC, full hours), lon, lat (degrees, NaN where not given),
        pollutants (float64, schema.UNITS), simulated (bool). What can't be read is counted in `faults`.
        """
        faults = Faults() if faults is None else faults
        bad = rows.BadRows()
        for frame in self._raw(bad):
            yield self._typed(frame, faults)
        if bad.count and self.table:
            faults.add_rows(f"without the {self.table.dialect.width} cells of the header", bad.count, bad.text,
                            f"in line {bad.line}")

    def _raw(self, bad: rows.BadRows | None, only: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
        """Columns by our names, as text or of their own type, with a `time` that has the hour in it."""
        for frame in self.table.batches(bad, only) if self.table else _parquet_batches(self.file, self.matched, only):
            if "time" not in frame:
                frame = _of_numbers(frame)
            elif "day" in frame:
                frame = _with_days(frame)
            if "hour" in frame:
                frame = _with_hours(frame)
            yield frame

    def _typed(self, frame: pd.DataFrame, faults: Faults) -> pd.DataFrame:
        ids = columns.identifiers(frame["station_id"])
        time, understood = self._times(frame["time"])
        hours, off = stamps.on_the_hour(time)
        good = understood & ~off & (ids != "").to_numpy()
        if not good.all():
            self._count(frame, ids, understood, off, faults)
        kept = frame[good]
        table = pd.DataFrame({"station_id": ids[good], "time": hours[good]}, index=kept.index)
        placed = {"lon", "lat"} <= set(kept)
        table["lon"], table["lat"] = self._places(kept, table, faults) if placed else (np.nan, np.nan)
        for name, factor in self.factors.items():
            if factor and name in kept:
                table[name] = self._numbers(kept[name], name, table, faults) * factor
        table["simulated"] = _truths(kept["simulated"]) if "simulated" in kept else False
        return table

    def _times(self, cells: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """UTC times, datetime64[ns] (rows,), and which are understood."""
        if pd.api.types.is_datetime64_any_dtype(cells):
            aware = isinstance(cells.dtype, pd.DatetimeTZDtype)
            time = (cells.dt.tz_convert("UTC").dt.tz_localize(None) if aware else cells).to_numpy("datetime64[ns]")
            time = time if aware else time - np.timedelta64(round(self.rule.utc_offset * 60), "m")
        else:
            codes, words = numbers.distinct(cells)
            new = [word for word in words if word not in self._stamps]
            self._stamps.update(zip(new, self.rule.read(new), strict=True))
            time = np.array([*(self._stamps[word] for word in words), stamps.NOT_A_TIME], "datetime64[ns]")[codes]
        return time, ~np.isnat(time)

    def _count(self, frame: pd.DataFrame, ids: pd.Series, understood: np.ndarray, off: np.ndarray,
               faults: Faults) -> None:
        """Count the rows that can't be read, each once."""
        nameless = (ids == "").to_numpy()
        unread = ~understood & ~nameless
        without = np.zeros(len(frame), bool)
        if self.rule.skips_naive and unread.any():
            alone = StampRule(0.0, True, self.rule.month_first, 0, 0)
            codes, words = numbers.distinct(frame["time"][unread])
            without[np.flatnonzero(unread)] = ~np.isnat(np.append(alone.read(words), stamps.NOT_A_TIME))[codes]
        open_ = np.zeros(len(frame), bool)
        open_[unread & ~without] = [self.rule.is_open(str(text)) for text in frame["time"][unread & ~without]]
        for kind, mask in ((NO_ID, nameless), (NO_OFFSET, without), (NO_ORDER, open_),
                           (NO_STAMP, unread & ~without & ~open_), (OFF_HOUR, understood & off & ~nameless)):
            if mask.any():
                row = int(np.flatnonzero(mask)[0])
                place = f"in {self.line(frame.index[row])}"
                faults.add_rows(kind, int(mask.sum()), str(frame["time"].iloc[row]), place)

    def _numbers(self, cells: pd.Series, name: str, table: pd.DataFrame, faults: Faults) -> np.ndarray:
        if pd.api.types.is_numeric_dtype(cells):
            values = cells.to_numpy(float, na_value=np.nan)
            return np.where(np.isfinite(values), values, np.nan)
        values, stray = numbers.numbers(cells, self._decimal)
        self._count_cells(cells, stray, name, table, faults)
        return values

    @property
    def _decimal(self) -> str:
        return self.table.dialect.decimal if self.table else "."

    def _places(self, kept: pd.DataFrame, table: pd.DataFrame, faults: Faults) -> tuple[np.ndarray, np.ndarray]:
        """Longitudes and latitudes (rows,), also of degrees, minutes and seconds, each in its column or in the other's
        where letters say so."""
        if pd.api.types.is_numeric_dtype(kept["lon"]) or pd.api.types.is_numeric_dtype(kept["lat"]):
            return (self._numbers(kept["lon"], "lon", table, faults), self._numbers(kept["lat"], "lat", table, faults))
        lon, lat = (coordinates.angles(kept[name], self._decimal) for name in ("lon", "lat"))
        self._count_cells(kept["lon"], lon.stray, "lon", table, faults)
        self._count_cells(kept["lat"], lat.stray, "lat", table, faults)
        other = coordinates.exchanged(lon, lat)
        self._forms[COLUMNS_EXCHANGED] |= bool(other.any())
        self._forms[SEXAGESIMAL] |= bool((lon.sexagesimal | lat.sexagesimal).any())
        return np.where(other, lat.degrees, lon.degrees), np.where(other, lon.degrees, lat.degrees)

    def _count_cells(self, cells: pd.Series, stray: np.ndarray, name: str, table: pd.DataFrame, faults: Faults) -> None:
        if stray.any():
            row = int(np.flatnonzero(stray)[0])
            station, time = table["station_id"].iloc[row], table["time"].iloc[row]
            faults.add_cells(schema.LONG_NAMES.get(name, name), int(stray.sum()), str(cells.iloc[row]),
                             f"at {station}, {time:%Y-%m-%dT%H}Z, {self.line(table.index[row])}")

    def line(self, row: Any) -> str:
        """Where a row of the index of `batches` stands, in words."""
        return f"line {self.table.line_of(int(row))}" if self.table else f"row {int(row) + 1}"


@functools.lru_cache(maxsize=64)
def _opened(file: FoundFile, size: int, modified: int) -> rows.TextTable:
    """A text table, kept for whoever asks next, as long as the file or its zip has this size and time."""
    return rows.open_table(file.name, file.content if file.members else file.path, WANTED, REQUIRED)


def _check_time(name: str, matched: columns.Matched) -> None:
    """BadFile where there is neither a time nor a year, month, day and hour."""
    if "time" not in matched.position and not set(OF_DAYS) <= set(matched.position):
        there = ", ".join(filter(None, map(str.strip, matched.names)))
        raise BadFile(f"{name} has no column time; it has {there[:120]}")


def row_name(table: pd.DataFrame) -> anomalies.CellName:
    """Names a row of `batches` by its station and hour."""
    return lambda row, _: f"{table['station_id'].iloc[row]}, {table['time'].iloc[row]:%Y-%m-%dT%H}Z"


def _factors(name: str, matched: columns.Matched) -> dict[str, float | None]:
    """What the values of each pollutant are multiplied by; None for units that are not known."""
    found = {pollutant: to_our_units(pollutant, matched.units[pollutant]) if pollutant in matched.units else 1.0
             for pollutant in schema.POLLUTANTS if pollutant in matched.position}
    if found["pm25"] is None:
        raise BadFile(f"{name} has PM2.5 in {matched.units['pm25']!r}, which has no known conversion to ug m-3")
    return found


def _truths(cells: pd.Series) -> np.ndarray:
    codes, words = numbers.distinct(cells)
    return np.array([*(word.strip().casefold() in TRUE_TEXTS for word in words), False])[codes]


def _of_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of years, months, days and hours as one of days; `_with_hours` adds the hours."""
    year, month, day = (frame[name].astype(str).str.strip().str.replace(r"\.0+$", "", regex=True)
                        for name in ("year", "month", "day"))
    blank = (year == "") & (month == "") & (day == "")
    return frame.assign(time=(year + "-" + month + "-" + day).where(~blank, ""))


def _with_days(frame: pd.DataFrame) -> pd.DataFrame:
    """A column of days and one of a clock's times, as one of stamps; a time that has its day stays."""
    clock = frame["time"].astype(str).str.strip()
    if not clock[clock != ""].str.fullmatch(CLOCK).all():
        return frame
    dated = pd.api.types.is_datetime64_any_dtype(frame["day"])
    days = frame["day"].dt.strftime("%Y-%m-%d") if dated else frame["day"].astype(str).str.strip()
    return frame.assign(time=days + " " + clock)


def _with_hours(frame: pd.DataFrame) -> pd.DataFrame:
    """A column of days and one of hours, as one of stamps; a time that has its hour stays."""
    days = frame["time"].astype(str).str.strip()
    bare = ~days.str.contains(r"[:时点]|\dT\d|\d\s+\d", regex=True) & (days != "")
    if pd.api.types.is_datetime64_any_dtype(frame["time"]):
        days, bare = frame["time"].dt.strftime("%Y-%m-%d"), frame["time"].dt.hour == 0
    hours = frame["hour"].astype(str).str.strip().str.replace(r"[:时].*$|\.0$", "", regex=True).str.zfill(2)
    stamped = days.where(~bare, days + " " + hours + ":00")
    return frame.assign(time=stamped if bare.any() else frame["time"])


# --- Parquet ---------------------------------------------------------------------------------------

def _parquet(file: FoundFile) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(io.BytesIO(file.content()) if file.members else file.path)


def _parquet_columns(file: FoundFile) -> columns.Matched:
    if not file.members and file.path.stat().st_size == 0:
        raise BadFile(f"{file.name} is empty")
    try:
        names = _parquet(file).schema_arrow.names
    except BadFile:
        raise
    except Exception as error:  # pyarrow raises many kinds for what is not Parquet
        raise BadFile(f"{file.name} is not Parquet, or damaged ({' '.join(str(error).split())})") from error
    matched = columns.match(names, WANTED, file.name)
    missing = [name for name in REQUIRED if name not in matched.position]
    if missing:
        raise BadFile(f"{file.name} has no column {', '.join(missing)}; it has {', '.join(names[:12])}")
    return matched


def _parquet_batches(file: FoundFile, matched: columns.Matched, only: Sequence[str]) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    of = {name: matched.names[place] for name, place in matched.position.items() if name in only or not only}
    first = 0
    try:
        for batch in _parquet(file).iter_batches(rows.ROWS_AT_A_TIME, columns=list(of.values()), use_threads=False):
            frame = pd.DataFrame({name: _plain(pa.array(batch.column(theirs))) for name, theirs in of.items()})
            frame.index = pd.RangeIndex(first, first + batch.num_rows)
            first += batch.num_rows
            yield frame
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise BadFile(f"{file.name} is damaged, or holds a type that is not read "
                      f"({' '.join(str(error).split())[:200]})") from error


def _plain(column: Any) -> Any:
    """An array of arrow as numbers, times or text, whatever its type."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        column = column.cast(pa.string())
    return column.to_pandas()
