"""The rows of a daily file: `date,hour,type,<station>,...`, a row for each hour and type, blank is missing.

Nearly all files are written plainly and are split at their commas, which is five times as fast as a parser of CSV; what
differs in any way goes through `tables`, cell by cell. Both give the same. A row that does not fit, and a cell that is
no number, lose themselves only and are told; a file of which nothing is left is a BadFile.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from aqreanalysis import time_axis
from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.tables import columns, numbers, rows, text

DATE = columns.Column("date", ("日期", "day_date"), kind="time")
HOUR = columns.HOUR
TYPE = columns.Column("type", ("pollutant", "parameter", "species", "类型", "监测项", "监测项目", "污染物", "指标"))
KEYS = (DATE, HOUR, TYPE)
KEY_NAMES = tuple(column.name for column in KEYS)
KEY_WORDS = {word for column in KEYS for word in (column.name, *column.synonyms)}
POLLUTANT_OF = {key: column.name for column in columns.POLLUTANTS for key in (column.name, *column.synonyms)}
OTHER_TYPES = re.compile(r"aqi|iaqi.*|.*_(?:8|24)h(?:_.*)?|primary_pollutant|首要污染物")   # of the layouts, not read
EXAMPLE = "20190112,5,PM2.5,35,..."
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0*)?|(\d{1,4})[-/.年](\d{1,2})[-/.月](\d{1,4})日?")
_HOUR = re.compile(r"(\d{1,2})(?:\.0*|:00(?::00(?:\.0*)?)?|[时点](?:00分)?)?")
_HOUR_24 = re.compile(rb'(?:[^,;\t\r\n]{0,30}[,;\t]){1,2}[ "]*24(?:\.0*|:00(?::00)?)?[ "]*[,;\t]')


@dataclass(frozen=True)
class DayRows:
    """One day's rows of the six pollutants, at the stations of the station table only."""

    column: list[int]      # the stations' places in the table
    time: np.ndarray       # datetime64[h] (rows,), UTC
    pollutant: np.ndarray  # str (rows,)
    values: np.ndarray     # float32 (rows, stations)
    anomalies: list[str]   # a sentence for each
    unknown: list[str]     # stations that the table does not name
    lost: list[str] = field(default_factory=list)    # a sentence for each kind of rows that are not read
    notes: list[str] = field(default_factory=list)   # how it was read, where that is out of the ordinary


class _CellNumbers(dict[bytes | str, float]):
    """Text of a cell -> number, each text converted once: a day has 100 000 cells and few different ones."""

    def __init__(self, decimal: str = "."):
        super().__init__()
        self.strays: set[bytes | str] = set()
        self._decimal = decimal

    def __missing__(self, cell: bytes | str) -> float:
        if self._decimal == "." and cell.isascii() and cell.isdigit():
            number = float(cell)
        else:
            try:
                number = numbers.number(_text(cell), self._decimal)
            except ValueError:
                number = math.nan
                self.strays.add(cell)
        self[cell] = number
        return number


def _text(cell: bytes | str) -> str:
    """A cell, UTF-8 or the GBK of files that a spreadsheet has saved again."""
    if isinstance(cell, str):
        return cell
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell.decode("gb18030", "replace")


def parse_daily_file(name: str, day: np.datetime64, content: bytes, row_of: dict[str, int] | None) -> DayRows:
    """The rows of a daily file.

    Parameters
    ----------
    name : of the file, for messages.
    day : datetime64[D] that every row must have.
    content : the bytes of the file.
    row_of : a station's name in the header -> its row in the station table (`rows_by_head`); None takes every station.

    Raises
    ------
    BadFile : where it is no such table, names no station that is known, or holds no row or number that can be read.
    """
    text.check_kind(name, content[:text.SAMPLE_BYTES])
    found = _plain(day, content) or _tolerant(name, day, content)
    if not found.hour and not found.others:
        raise BadFile(f"{name} holds no row that can be read; {found.lost[0].removeprefix(f'{name}: ')}" if found.lost
                      else f"{name} has a header and no rows")
    heads = found.heads
    if row_of is None:
        row_of = {head: number for number, head in enumerate(heads) if head}
    place = [row_of[head] if head in row_of else row_of.get(head.casefold()) for head in heads]
    first = {row: column for column, row in reversed(list(enumerate(place))) if row is not None}
    if not first:
        raise BadFile(f"{name} names no station of the station table; it names {', '.join(heads[:4]) or 'none'} ...")
    known = sorted(first.values())
    sentences = _cut_end(name, content, found)
    table = found.values[:, known]
    strays = _strays(name, found, known)
    if strays and not np.isfinite(table).any():
        raise BadFile(f"{name} holds no number; {strays[0].removeprefix(f'{name}: ')}")
    repeated = [heads[column] for column, row in enumerate(place) if row is not None and first[row] != column]
    if repeated:
        sentences.append(f"{name}: {repeated[0]} stands in more than one column; the first is used")
    return DayRows([row for column in known if (row := place[column]) is not None],
                   utc(day, 0) + np.array(found.hour, "timedelta64[h]"), np.array(found.pollutant, str), table,
                   [*found.lost, *strays, *sentences],
                   [head for head, row in zip(heads, place, strict=True) if row is None and head], found.lost,
                   found.notes)


def utc(day: np.datetime64, hour: int) -> np.datetime64:
    """The UTC stamp, datetime64[h], of an hour of a day in UTC+8."""
    return day.astype("datetime64[h]") + np.timedelta64(hour - time_axis.UTC_OFFSET_HOURS, "h")


def may_reach_midnight(content: bytes) -> bool:
    """Whether a file may have rows of the hour 24, which belong to the next day's file by its name."""
    lines = content.replace(b"\0", b"") if b"\0" in content[:100] else content
    return any(_HOUR_24.match(line) for line in lines.splitlines())


@dataclass
class _Rows:
    """What of a file is rows of the six pollutants, at all its stations."""

    heads: list[str]
    last_column: str                    # what it is: "value", "key" (date, hour or type) or "" where it has no name
    hour: list[int] = field(default_factory=list)
    pollutant: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)      # 1-based
    rows: list = field(default_factory=list)            # as they are: cells, or lines that are split where it is asked
    others: int = 0                     # rows of types that are not read
    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))   # (rows, heads)
    strays: set = field(default_factory=set)            # texts among the cells that are no numbers
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, hour: int, pollutant: str, line: int, row: list[str] | bytes) -> None:
        """Take in a row."""
        self.hour.append(hour)
        self.pollutant.append(pollutant)
        self.lines.append(line)
        self.rows.append(row)

    def cells(self, row: int) -> list:
        """The cells of a row, one for each head."""
        cells = self.rows[row]
        return cells.split(b",")[len(KEYS):] if isinstance(cells, bytes) else cells

    def take(self, values: list[np.ndarray], strays: set) -> _Rows:
        """Itself, with its cells as numbers and the texts among them that are none."""
        self.values = np.array(values, np.float32).reshape(len(values), len(self.heads))
        self.strays = strays
        return self


# --- files that are written plainly ----------------------------------------------------------------

def _plain(day: np.datetime64, content: bytes) -> _Rows | None:
    """The rows of a file that is split at its commas; None where anything about it is out of the ordinary."""
    if content[:2] in UTF16_MARKS or b'"' in content:
        return None
    lines = content.rstrip().splitlines()
    header = [head.strip() for head in _text(lines[0].removeprefix(b"\xef\xbb\xbf")).split(",")]
    own_day, commas = str(day).replace("-", "").encode(), len(header) - 1
    heads = header[len(KEYS):]
    if (tuple(header[:len(KEYS)]) != KEY_NAMES or not heads or any(line.count(b",") != commas for line in lines)
            or not KEY_WORDS.isdisjoint(map(str.casefold, heads))):
        return None
    found = _Rows(heads, last_column="value" if heads[-1] else "")
    ours: dict[bytes, str] = {}
    values, convert = [], _CellNumbers()
    for number, line in enumerate(itertools.islice(lines, 1, None), 2):
        date, hour, kind, *cells = line.split(b",")
        if date != own_day or not hour.isdigit() or int(hour) > 23:
            return None
        if kind not in ours:
            key = columns.plain(_text(kind))
            ours[kind] = POLLUTANT_OF.get(key, "")
            if not ours[kind] and not OTHER_TYPES.fullmatch(key):
                return None
        if ours[kind]:
            found.add(int(hour), ours[kind], number, line)
            values.append(np.fromiter(map(convert.__getitem__, cells), np.float32, len(heads)))
        else:
            found.others += 1
    return found.take(values, convert.strays)


# --- all other files -------------------------------------------------------------------------------

class _LostRows:
    """Rows that are not read, by what is wrong with them."""

    def __init__(self):
        self._found: dict[str, tuple[int, int, str]] = {}   # count, first line, its text

    def add(self, what: str, line: int, shown: str) -> None:
        count, first, example = self._found.get(what, (0, line, shown))
        self._found[what] = (count + 1, first, example)

    def sentences(self, name: str) -> list[str]:
        return [f"{name}: {count} row{'s' if count > 1 else ''} {what} not read ({shown!r:.60} in line {line}; a row "
                f"is {EXAMPLE})" for what, (count, line, shown) in self._found.items()]


def _tolerant(name: str, day: np.datetime64, content: bytes) -> _Rows:
    """The rows of a file in any dialect."""
    table = rows.open_table(name, content, KEYS, KEY_NAMES)
    names = table.dialect.matched.names
    keys = [table.columns[key] for key in KEY_NAMES]
    places = [place for place, head in enumerate(names)
              if place not in keys and not columns.INDEX_NAMES.fullmatch(columns.plain(head))]
    last = len(names) - 1
    found = _Rows([names[place].strip() for place in places],
                  last_column="value" if last in places else "key" if last in keys else "")
    bad, lost = rows.BadRows(), _LostRows()
    for line, cells in table.cells(bad):
        if not any(cells):
            continue  # what a spreadsheet leaves
        date, hour, kind = (cells[place] for place in keys)
        key = columns.plain(columns.without_unit(kind)[0])
        if not is_of_day(date, day):
            lost.add(f"of another day than {day}", line, date)
        elif (number := hour_of(hour)) is None:
            lost.add("whose hour is not 0 to 24", line, hour)
        elif key in POLLUTANT_OF:
            found.add(number, POLLUTANT_OF[key], line, [cells[place] for place in places])
        elif OTHER_TYPES.fullmatch(key):
            found.others += 1
        else:
            lost.add("whose type is not known", line, kind)
    decimal = numbers.decimal_sign(set(itertools.chain.from_iterable(found.rows)))
    convert = _CellNumbers(decimal)
    found.lost = [*filter(None, [bad.sentence(name, table.dialect.width)]), *lost.sentences(name)]
    found.notes = table.how_read(decimal)
    return found.take([np.fromiter(map(convert.__getitem__, cells), np.float32, len(places)) for cells in found.rows],
                      convert.strays)


def is_of_day(cell: str, day: np.datetime64) -> bool:
    """Whether a cell is a spelling of a day: 20190112, 2019-01-12, 12.1.2019, with or without a time behind it.

    >>> is_of_day("2019/1/12 0:00", np.datetime64("2019-01-12")), is_of_day("20190113", np.datetime64("2019-01-12"))
    (True, False)
    """
    parts = _DAY.fullmatch(re.split(r"[T\s]", cell.strip(), maxsplit=1)[0])
    if not parts:
        return False
    one, two, three = (int(part) for part in parts.groups() if part is not None)
    own = tuple(map(int, str(day).split("-")))
    return own in ((one, two, three), (three, two, one), (three, one, two))


def hour_of(cell: str) -> int | None:
    """The hour of a cell, 0 to 24; None where it is none.

    >>> hour_of("5"), hour_of("05:00"), hour_of("24"), hour_of("25"), hour_of("5:30")
    (5, 5, 24, None, None)
    """
    match = _HOUR.fullmatch(cell.strip())
    return int(match[1]) if match and int(match[1]) <= 24 else None


# --- what both have in common ----------------------------------------------------------------------

def rows_by_head(row_of: dict[str, int]) -> dict[str, int]:
    """Names of stations -> their rows, in small letters too, and with the X that R puts before a digit."""
    found = dict(row_of)
    for head, row in row_of.items():
        for other in (head.casefold(), f"x{head.casefold()}" if head[:1].isdigit() else ""):
            if other:
                found.setdefault(other, row)
    return found


def _strays(name: str, found: _Rows, known: Iterable[int]) -> list[str]:
    """A sentence if cells of the six pollutants at known stations hold text that is no number."""
    if not found.strays:
        return []
    cells = [(cells[column], found.heads[column], line) for row, line in enumerate(found.lines)
             for cells in [found.cells(row)] for column in known if cells[column] in found.strays]
    if not cells:
        return []
    cell, head, line = cells[0]
    return [anomalies.stray_text(name, len(cells), _text(cell), f"at {head} in line {line}")]


def _cut_end(name: str, content: bytes, found: _Rows) -> list[str]:
    """A sentence if the last cell of a file may be cut off: its line has no end and is not one of 23:00.

    Some copies leave out the end of the last line, but theirs is that of 23:00. What may be cut is taken as missing.
    """
    last = content.rstrip(b"\0")[-4000:]
    ends = content.rstrip(b"\0 \t").count(b"\n") or content.count(b"\r")
    whole = last.endswith((b"\n", b"\r")) or not found.hour or found.lines[-1] != 1 + ends
    if whole or not found.last_column or (found.hour[-1] >= 23 and re.split(rb"[\r\n]", last)[-1].count(b'"') % 2 == 0):
        return []
    if found.last_column == "key":
        found.values[-1] = math.nan
        return [f"{name}: the last line may be cut off and is taken as missing"]
    cell = _text(found.cells(-1)[-1])
    found.values[-1, -1] = math.nan
    return [f"{name}: the last line ends in its last cell and may be cut off; {cell[:20]!r} is taken as missing"]
