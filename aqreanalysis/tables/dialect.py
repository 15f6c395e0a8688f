"""How a text table is written: its header line, separator, index column and decimal sign.

The header is the line that names the most columns that are looked for, the separator the one by which it does; so a
title, `sep=;` or comments above it do no harm. A header that is one name short of its rows is either that of R's
write.table, which leaves out the name of the row names, or that of rows which end in a separator: the cells decide.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aqreanalysis.errors import BadFile
from aqreanalysis.tables import columns, numbers
from aqreanalysis.tables.columns import Column, Matched
from aqreanalysis.tables.text import TextFile

SEPARATORS = (",", ";", "\t", "|", " ")
SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
COMMENT = re.compile(r"\s*#(?!(N/A|NULL!|VALUE!|REF!|DIV/0!|NAME\?|NUM!))", re.IGNORECASE)
HEAD_LINES, HEADER_LINES = 2000, 100   # lines that are looked at, and among which the header stands
LINE_LENGTH = 1 << 20          # characters; a longer line is none of a table
WORDS_SHOWN = 60
ROW_NAMES = "row_names"         # the name of a first column that has none


@dataclass(frozen=True)
class Dialect:
    """How the cells of a table stand in its lines."""

    separator: str
    decimal: str            # "." or ","
    header_line: int        # 1-based
    width: int              # cells in a row
    least: int              # cells that a row must have; others at its end are those of columns without a name
    matched: Matched        # columns by our names; numbers count from the first cell of a row


def sniff(file: TextFile, wanted: Sequence[Column], required: Sequence[str]) -> Dialect:
    """The dialect of a table that has the `required` columns, by our names, and may have those `wanted`.

    Raises
    ------
    BadFile : where a required column is missing, or two columns have one meaning.
    """
    with file.opened() as lines:
        head = [line[:LINE_LENGTH] for line in itertools.islice(lines, HEAD_LINES)]
    number, separator, names = _header(file.name, head, wanted, required)
    rows = [cells for cells in (split(line, separator) for line in head[number:] if not is_comment(line)) if any(cells)]
    names = _fitted(file.name, names, rows, wanted)
    matched = columns.match(names, wanted, file.name)
    kinds = {column.name: column.kind for column in wanted}
    cells = (row[place] for name, place in matched.position.items() if kinds[name] == "number"
             for row in rows if place < len(row))
    decimal = numbers.decimal_sign(cells)
    if decimal == "," == separator and not file.quotes:
        decimal = "."
    least = len(names) if names[0] == ROW_NAMES else max((n for n, name in enumerate(names, 1) if name), default=1)
    return Dialect(separator, decimal, number, len(names), least, matched)


def split(line: str, separator: str) -> list[str]:
    """The cells of a line, without blanks round them; a quote that is not closed ends with the line."""
    text = line.rstrip("\r\n")
    if separator == " ":
        text = text.strip()
    try:
        cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a cell of more than 128 KiB
        cells = text.split(separator)
    return [cell.strip() for cell in cells]


def is_comment(line: str) -> bool:
    """Whether a line of a table's body is a comment; what spreadsheets write for an error (#N/A) begins none."""
    return COMMENT.match(line) is not None


def _header(name: str, head: list[str], wanted: Sequence[Column],
            required: Sequence[str]) -> tuple[int, str, list[str]]:
    """Number of the header line (1-based), its separator and its cells."""
    best: tuple[int, int, str, list[str]] = (0, 0, ",", [])
    for number, line in enumerate(head[:HEADER_LINES], 1):
        text = line.lstrip("\ufeff")
        if not text.strip():
            continue
        for separator in SEPARATORS:
            cells = split(text.removeprefix("#") if is_comment(text) else text, separator)
            found = _recognised(cells, wanted)
            if found > best[0]:
                best = (found, number, separator, cells)
        if best[0] == len(wanted):
            break
    count, number, separator, cells = best
    have = columns.match(cells, wanted, name).position if cells else {}
    missing = [column for column in required if column not in have]
    if missing:
        shown = cells or next((split(line, _commonest(line)) for line in head if line.strip()), [])
        there = ", ".join(cell for cell in shown if cell)[:WORDS_SHOWN * 2] or "no words"
        raise BadFile(f"{name} has no column {', '.join(missing)}; it has {there}")
    return number, separator, cells


def _recognised(cells: list[str], wanted: Sequence[Column]) -> int:
    keys = {columns.plain(columns.without_unit(cell)[0]) for cell in cells}
    return sum(any(key in keys for key in (column.name, *column.synonyms, *column.weak)) for column in wanted)


def _commonest(line: str) -> str:
    return max(SEPARATORS, key=line.count)


def _fitted(name: str, names: list[str], rows: list[list[str]], wanted: Sequence[Column]) -> list[str]:
    """The header with as many names as most rows have cells: shifted by R's row names, or filled at its end."""
    width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    if width <= len(names) or 2 * count <= len(rows):
        return names
    filled = names + [""] * (width - len(names))
    full = [row for row in rows if len(row) == width]
    over = any(cell for row in full for cell in row[len(names):])
    if width == len(names) + 1:
        shifted = [ROW_NAMES, *names]
        gain = _plausible(shifted, full, wanted) - _plausible(filled, full, wanted)
        if gain > 0 or (gain == 0 and over and _are_row_names([row[0] for row in full])):
            return shifted
    if over:
        raise BadFile(f"{name} has {len(names)} names in its header and {width} cells in its rows, so that it is not "
                      f"known which is which ({','.join(full[0])[:WORDS_SHOWN]!r})")
    return filled


def _are_row_names(cells: list[str]) -> bool:
    """Whether cells are the numbers that R and pandas give rows."""
    return all(cell.isdigit() for cell in cells) and len(set(cells)) == len(cells)


def _plausible(names: list[str], rows: list[list[str]], wanted: Sequence[Column]) -> int:
    """How many cells are what their column should hold under a header."""
    position = columns.match(names, wanted).position
    good = 0
    for column in wanted:
        place = position.get(column.name)
        if place is None:
            continue
        for row in rows:
            cell = row[place]
            if column.kind == "number":
                good += bool(cell) and (_is_number(cell) or -1)
            elif column.kind == "time":
                good += 1 if sum(sign.isdigit() for sign in cell) >= 8 else -1
    return good


def _is_number(cell: str) -> bool:
    try:
        numbers.number(cell.replace(",", "."))
    except ValueError:
        return False
    return True
