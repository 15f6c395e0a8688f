"""The text of a daily file: header `date,hour,type,<station>,...`, a row for each hour and type, blank is missing.

The file of day D holds the stamps D 00:00 ... D 23:00 in UTC+8. They mark the END of the hour, so that the first
belongs to the calendar day before. A cell that is no number counts as missing and is told; a file whose form is
wrong is a BadFile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aqreanalysis import time_axis
from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import check_text

TYPES = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
BLANK = (b"", b"NA", b"NaN", b"nan", b"NULL", b"null")


@dataclass(frozen=True)
class Rows:
    """One day's rows of the six pollutants, at the stations of the station table only."""

    column: list[int]      # the stations' places in the table
    time: np.ndarray       # datetime64[h] (rows,), UTC
    pollutant: np.ndarray  # str (rows,)
    values: np.ndarray     # float32 (rows, stations)
    odd: list[str]         # what is wrong in a file that can be used
    unknown: list[str]     # stations that the table does not name


class _Numbers(dict):
    """Text of a cell -> number, each text converted once: a day has 100 000 cells and few different ones."""

    def __init__(self):
        super().__init__({text: math.nan for text in BLANK})
        self.strays = set()

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


def parse(name: str, day: np.datetime64, content: bytes, place: dict[str, int]) -> Rows:
    """The rows of a daily file; BadFile that says what is wrong with it.

    Parameters
    ----------
    name : of the file, for what is told of it.
    day : datetime64[D] that every row must have.
    content : the bytes of the file.
    place : a station's name in the header -> its row in the station table.
    """
    header, lines = _lines(name, content, place)
    heads, own_day = header[3:], day.astype(str).replace("-", "").encode()
    numbers, hour, pollutant, values = _Numbers(), [], [], []
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
    first = {place[head]: column for column, head in reversed(list(enumerate(heads))) if head in place}
    known = sorted(first.values())
    table = np.array(values, np.float32).reshape(len(values), len(heads))[:, known]
    odd = _strays(name, lines, heads, known, numbers.strays)
    if odd and not np.isfinite(table).any():
        raise BadFile(f"{name} holds no number; {odd[0].removeprefix(f'{name}: ')}")
    odd += cut
    repeated = [head for column, head in enumerate(heads) if head in place and first[place[head]] != column]
    if repeated:
        odd.append(f"{name}: {repeated[0]} stands in more than one column; the first is used")
    return Rows([place[heads[column]] for column in known],
                utc(day, 0) + np.array(hour, "timedelta64[h]"), np.array(pollutant, str), table, odd,
                [head for head in heads if head not in place])


def utc(day: np.datetime64, hour: int) -> np.datetime64:
    """The UTC stamp, datetime64[h], of an hour of a day in UTC+8."""
    return day.astype("datetime64[h]") + np.timedelta64(hour - time_axis.UTC_OFFSET_HOURS, "h")


def _lines(name: str, content: bytes, known) -> tuple[list[str], list[bytes]]:
    """Header and rows of a daily file; BadFile that says what is wrong with its form."""
    check_text(name, content)
    lines = content.rstrip().splitlines()
    header = _text(lines[0]).strip().split(",")
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


def _text(line: bytes) -> str:
    """A header, UTF-8 or the GBK of files that a spreadsheet has saved again."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("gb18030", "replace")


def _strays(name: str, lines: list[bytes], heads: list[str], known: list[int], texts: set[bytes]) -> list[str]:
    """A sentence if cells of the six pollutants at known stations hold one of the texts, which are no numbers."""
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
    return [anomalies.strays(name, len(found), text.decode("utf-8", "replace"), f"at {head} in line {number}")]


def _cut_cell(name: str, content: bytes, line: bytes) -> list[str]:
    """A sentence if the last cell of a file may be the first figures of a number: no end of the line, nor of the day.

    Some copies have no end of the last line, but theirs is that of 23:00.
    """
    _, hour, kind, *cells = line.split(b",")
    whole = content.endswith((b"\n", b"\r")) or int(hour) == 23 or kind.decode("utf-8", "replace") not in TYPES
    if whole or cells[-1] in BLANK:
        return []
    return [f"{name}: the last line ends in its last cell and may be cut off; {_shown(cells[-1])} is taken as missing"]


def _shown(cell: bytes) -> str:
    return repr(cell.decode("utf-8", "replace")[:20])


def enter(rows: Rows, hours: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Write one day's values into arrays (time, station) whose empty places are NaN; what stands there stays.

    Returns a mask (time, station) for each pollutant of which a second value disagrees with the one that stands.
    """
    row = ((rows.time - hours[0].astype("datetime64[h]")) / time_axis.HOUR).astype(int)
    conflicts = {}
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
