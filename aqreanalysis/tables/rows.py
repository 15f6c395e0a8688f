"""The cells of a text table, some thousand rows at a time.

Two ways that give the same rows: pyarrow, for UTF-8 tables all of whose rows have as many cells as the header, and line
by line, for everything else. A row with too few or too many cells loses itself only and is counted; rows without any
text are none. Memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from aqreanalysis.errors import BadFile
from aqreanalysis.tables import dialect, text
from aqreanalysis.tables.columns import Column
from aqreanalysis.tables.dialect import Dialect, is_comment, sniff, split
from aqreanalysis.tables.text import ENCODING_NAMES, Source, TextFile

ROWS_AT_A_TIME, BLOCK_BYTES = 50_000, 1 << 22
JOINED_LINES = 20   # that a quoted cell with line ends may run over
SHOWN = 60          # characters of a bad row


@dataclass
class BadRows:
    """Rows that could not be read: how many, and the first of them."""

    count: int = 0
    line: int = 0
    text: str = ""

    def add(self, line: int, row: str) -> None:
        """Count one at a line (1-based)."""
        if not self.count:
            self.line, self.text = line, row.strip()[:SHOWN]
        self.count += 1

    def sentence(self, name: str, width: int) -> str:
        """What is told of them, "" where there are none."""
        if not self.count:
            return ""
        rows = f"{self.count} row{'s' if self.count > 1 else ''}"
        return (f"{name}: {rows} without the {width} cells of the header not read "
                f"(line {self.line}: {self.text!r})")


@dataclass(frozen=True)
class TextTable:
    """A table that was recognised: its columns by our names, and a way to its rows."""

    file: TextFile
    dialect: Dialect

    @cached_property
    def is_even(self) -> bool:
        """Whether pyarrow reads it: every row is read once to find out."""
        return (self.file.is_utf8 and self.file.quotes % 2 == 0 and self.dialect.separator != " "
                and _all_even(self))

    @property
    def name(self) -> str:
        """Of the file, for messages."""
        return self.file.name

    @property
    def columns(self) -> dict[str, int]:
        """Our names -> numbers of the columns that it has."""
        return self.dialect.matched.position

    def notes(self) -> list[str]:
        """What is out of the ordinary in how it is read, and what is not used of it: a sentence for each."""
        unused = self.dialect.matched.unused
        return self.how_read(self.dialect.decimal) + [unused_columns(self.name, unused)] * bool(unused)

    def how_read(self, decimal: str) -> list[str]:
        """What is out of the ordinary in how it is read, for a decimal sign: a sentence for each."""
        found = []
        if not self.file.is_utf8:
            found.append(f"{self.name} was read as {ENCODING_NAMES[self.file.encoding]}")
        if self.dialect.separator != ",":
            separator = dialect.SEPARATOR_NAMES[self.dialect.separator]
            found.append(f"{self.name} was read with {separator} between its cells")
        if decimal != ".":
            found.append(f"{self.name} was read with decimal commas")
        if self.dialect.matched.names[0] == dialect.ROW_NAMES:
            found.append(f"{self.name}: the header has no name for the first column, which is taken for row names")
        return found

    def batches(self, bad: BadRows | None = None, only: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
        """The columns that it has, or `only` some, by our names, as text; `line` (1-based) is the index.

        With pyarrow the lines are counted as if no row were blank: `line_of` finds the true one.
        """
        if self.is_even:
            yield from _even_batches(self, only or list(self.columns))
        else:
            yield from _line_batches(self, BadRows() if bad is None else bad, only or list(self.columns))

    def cells(self, bad: BadRows) -> Iterator[tuple[int, list[str]]]:
        """Line (1-based) and all cells of each row that has as many as the header, for tables of many columns."""
        return _rows(self, bad)

    def line_of(self, row: int) -> int:
        """The line (1-based) of a row of the index of `batches`."""
        if not self.is_even:
            return row
        count = self.dialect.header_line
        with self.file.opened() as lines:
            for number, line in enumerate(lines, 1):
                count += number > self.dialect.header_line and line != "\n"
                if count == row:
                    return number
        return row

    def frame(self, bad: BadRows | None = None) -> pd.DataFrame:
        """All rows at once, for small tables: text, with the lines (1-based) as index."""
        parts = list(_line_batches(self, BadRows() if bad is None else bad, list(self.columns)))
        return pd.concat(parts) if parts else pd.DataFrame(columns=list(self.columns), dtype=object)


def open_table(name: str, source: Source, wanted: Sequence[Column], required: Sequence[str]) -> TextTable:
    """A text table by its name (for messages) and its path or bytes.

    Parameters
    ----------
    wanted : the columns that are looked for.
    required : our names of those that must be there.

    Raises
    ------
    BadFile : where it is no text table, lacks a required column, or has two columns for one.
    """
    file = text.recognised(name, source)
    return TextTable(file, sniff(file, wanted, required))


def unused_columns(name: str, unused: Sequence[str]) -> str:
    """The sentence on columns that are not read."""
    shown = ", ".join(unused[:8]) + (f" and {len(unused) - 8} more" if len(unused) > 8 else "")
    return f"{name}: column{'s' if len(unused) > 1 else ''} not used: {shown}"


# --- pyarrow ---------------------------------------------------------------------------------------

def _reader(table: TextTable, stream, only: list[str]):
    import pyarrow as pa
    from pyarrow import csv

    names = [f"c{number}" for number in range(table.dialect.width)]
    # a dictionary of texts: each different one is converted once
    types = dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))
    return csv.open_csv(
        stream,
        read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names,
                                     skip_rows=table.dialect.header_line),
        parse_options=csv.ParseOptions(delimiter=table.dialect.separator),
        convert_options=csv.ConvertOptions(column_types=types, include_columns=only, strings_can_be_null=False))


def _all_even(table: TextTable) -> bool:
    """Whether pyarrow reads every row, and none of them is a comment."""
    import pyarrow as pa

    try:
        with text.binary(table.name, table.file.source) as stream:
            for batch in _reader(table, stream, ["c0"]):
                if any(is_comment(str(value)) for value in batch.column(0).dictionary.to_pylist()):
                    return False
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _even_batches(table: TextTable, only: Sequence[str]) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    places = {name: table.columns[name] for name in only}
    row = table.dialect.header_line + 1
    try:
        with text.binary(table.name, table.file.source) as stream:
            for batch in _reader(table, stream, [f"c{place}" for place in places.values()]):
                frame = pd.DataFrame({name: batch.column(f"c{place}").to_pandas() for name, place in places.items()})
                frame.index = pd.RangeIndex(row, row + batch.num_rows, name="line")
                row += batch.num_rows
                yield _with_text(frame)
    except pa.ArrowInvalid as error:  # it changed since it was opened
        raise BadFile(f"{table.name} changed while it was read") from error


def _with_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in which some cell that is read holds text."""
    empty = np.ones(len(frame), bool)
    for name in frame:
        codes, words = frame[name].cat.codes.to_numpy(), frame[name].cat.categories.tolist()
        blank = [not word.strip() for word in words]
        if not any(blank):
            return frame
        empty &= np.array(blank)[codes]
    return frame[~empty] if empty.any() else frame


# --- line by line ----------------------------------------------------------------------------------

@dataclass
class _Collected:
    """Cells of rows by column, until they are enough for a batch."""

    names: list[str]
    cells: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        columns = zip(*self.cells, strict=True) if self.cells else [[] for _ in self.names]
        return pd.DataFrame({name: pd.Series(list(column), dtype=object)
                             for name, column in zip(self.names, columns, strict=True)}).set_axis(
                                 pd.Index(self.lines, name="line", dtype=int), axis=0)


def _line_batches(table: TextTable, bad: BadRows, only: Sequence[str]) -> Iterator[pd.DataFrame]:
    names, places = list(only), [table.columns[name] for name in only]
    kept = _Collected(names)
    for line, cells in _rows(table, bad):
        chosen = [cells[place] for place in places]
        if any(chosen):
            kept.cells.append(chosen)
            kept.lines.append(line)
        if len(kept.lines) == ROWS_AT_A_TIME:
            yield kept.frame()
            kept = _Collected(names)
    if kept.lines:
        yield kept.frame()


def _rows(table: TextTable, bad: BadRows) -> Iterator[tuple[int, list[str]]]:
    """Line (1-based) and cells of each row that has as many as the header; others are counted."""
    width, least, separator = table.dialect.width, table.dialect.least, table.dialect.separator
    with table.file.opened() as stream:
        lines = enumerate(stream, 1)
        waiting: list[tuple[int, str]] = []
        while True:
            number, line = waiting.pop(0) if waiting else next(lines, (0, ""))
            if not number:
                return
            if number <= table.dialect.header_line or not line.strip() or is_comment(line):
                continue
            cells = split(line, separator)
            if len(cells) < least and line.count('"') % 2:
                cells, line = _joined(line, width, separator, waiting, lines)
            if len(cells) >= least and not any(cells[width:]):
                yield number, (cells + [""] * (width - least))[:width]
            elif any(cells):
                bad.add(number, line)


def _joined(line: str, width: int, separator: str, waiting: list, lines) -> tuple[list[str], str]:
    """The cells of a row whose quoted cell runs over several lines; of its first line where they are no row."""
    text_, taken = line, 0
    while text_.count('"') % 2 and taken < JOINED_LINES:
        if taken == len(waiting):
            following = next(lines, None)
            if following is None:
                break
            waiting.append(following)
        text_ = text_.rstrip("\r\n") + " " + waiting[taken][1]
        taken += 1
    cells = split(text_, separator)
    if len(cells) == width and text_.count('"') % 2 == 0:
        del waiting[:taken]
        return cells, text_
    return split(line, separator), line
