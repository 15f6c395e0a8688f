"""Long tables in pieces: CSV, with its columns described beside it (CSV on the Web), or Parquet, with units in its
schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from aqreanalysis import files

CSV, PARQUET = ".csv", ".parquet"
OTHERWISE = "choose another folder with --to."
METADATA = "-metadata.json"  # of a CSV file NAME it is in NAME-metadata.json (W3C, Model for Tabular Data, section 5.2)
# Of a column: its type of Arrow, and of XML Schema.
TEXT, TIME, DATE, FLOAT32, FLOAT64, INT16, BOOL = ("string", "timestamp[s, tz=UTC]", "date32", "float", "double",
                                                    "int16", "bool")
_XML = {TEXT: "string", TIME: "dateTime", DATE: "date", FLOAT32: "float", FLOAT64: "double", INT16: "short",
        BOOL: "boolean"}


@dataclass(frozen=True)
class TableColumn:
    """A column: its name, its type (one of those above), its unit ("" for none) and what it is, in words."""

    name: str
    type: str
    units: str = ""
    words: str = ""


@dataclass(frozen=True, eq=False)
class Coded:
    """Values of a column as numbers (rows,) of a few `names`."""

    names: np.ndarray
    number: np.ndarray


class LongTable:
    """Writes a table as a context manager; nothing is there until the ``with`` block ends well.

    Parameters
    ----------
    path : final name, which ends in .csv or .parquet.
    columns : in their order.
    about : words on the whole table: title, source and the like.
    """

    def __init__(self, path: Path, columns: Sequence[TableColumn], about: Mapping[str, str]):
        self.path, self._columns, self._about = path, list(columns), dict(about)
        self.rows = 0

    def __enter__(self) -> Self:
        import pyarrow.csv
        import pyarrow.parquet

        with ExitStack() as stack:
            part = stack.enter_context(files.whole(self.path, OTHERWISE))
            if self.path.suffix == PARQUET:
                self._writer = pyarrow.parquet.ParquetWriter(part, self._schema(), compression="zstd")
            else:
                options = pyarrow.csv.WriteOptions(quoting_style="needed")
                self._writer = pyarrow.csv.CSVWriter(part, self._schema(), write_options=options)
            stack.callback(self._writer.close)
            self._stack = stack.pop_all()
        return self

    def _schema(self) -> Any:
        import pyarrow

        stored = [(TEXT if self.path.suffix != PARQUET and column.type == TIME else column.type)
                  for column in self._columns]
        fields = [pyarrow.field(column.name, _arrow(kind), metadata={
            key: text for key, text in (("units", column.units), ("long_name", column.words)) if text})
            for column, kind in zip(self._columns, stored, strict=True)]
        return pyarrow.schema(fields, metadata=self._about)

    def write(self, values: Mapping[str, np.ndarray | Coded]) -> None:
        """Add rows: an array (rows,) for each column; what is NaN is missing."""
        import pyarrow

        schema = self._schema()
        arrays = [_as_arrow(values[field.name], field.type) for field in schema]
        batch = pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
        with files.writing(self.path, OTHERWISE):
            self._writer.write_batch(batch) if self.path.suffix == PARQUET else self._writer.write(batch)
        self.rows += batch.num_rows

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> bool | None:
        suppressed = self._stack.__exit__(kind, error, traceback)
        if kind is None and self.path.suffix != PARQUET:
            files.replace_text(self.path.with_name(self.path.name + METADATA), self._described(), OTHERWISE)
        return suppressed

    def _described(self) -> str:
        """What a CSV file's columns are, as CSV on the Web has it."""
        columns = [{"name": column.name, "titles": column.name, "datatype": _XML[column.type],
                    **({"dc:description": column.words} if column.words else {}),
                    **({"schema:unitText": column.units} if column.units else {})} for column in self._columns]
        described = {"@context": "http://www.w3.org/ns/csvw", "url": self.path.name,
                     **{f"dc:{key}" if key in ("title", "source", "license") else f"schema:{key}": text
                        for key, text in self._about.items()},
                     "dialect": {"encoding": "utf-8", "header": True}, "tableSchema": {"columns": columns}}
        return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _arrow(kind: str) -> Any:
    import pyarrow

    return {TEXT: pyarrow.string(), TIME: pyarrow.timestamp("s", "UTC"), DATE: pyarrow.date32(),
            FLOAT32: pyarrow.float32(), FLOAT64: pyarrow.float64(), INT16: pyarrow.int16(), BOOL: pyarrow.bool_()}[kind]


def _as_arrow(values: np.ndarray | Coded, kind: Any) -> Any:
    """An array of Arrow's type; times as text end in Z."""
    import pyarrow

    if isinstance(values, Coded):
        names = _as_arrow(np.asarray(values.names), kind)
        return names.take(pyarrow.array(values.number))
    if values.dtype.kind == "M":
        values = values.astype("datetime64[D]" if pyarrow.types.is_date(kind) else "datetime64[s]")
        if pyarrow.types.is_string(kind):
            return pyarrow.array([f"{value}Z" for value in values], kind)
        if pyarrow.types.is_timestamp(kind):
            return pyarrow.array(values).cast(pyarrow.timestamp("s")).cast(kind)
    if values.dtype.kind == "f" and pyarrow.types.is_integer(kind):
        missing = ~np.isfinite(values)
        return pyarrow.array(np.where(missing, 0, values).astype(np.int64), mask=missing).cast(kind)
    return pyarrow.array(values, kind, from_pandas=True)
