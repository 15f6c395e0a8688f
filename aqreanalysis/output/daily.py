"""The days of a product: a month's means in a hidden file, until the file or store of all days is written."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import About
from aqreanalysis.output.encoding import TIME_CHUNK, tiles
from aqreanalysis.output.formats import format_of
from aqreanalysis.output.writer import ProductPart
from aqreanalysis.schema import TARGET
from aqreanalysis.time_axis import HOURS_PER_DAY, last_hours

MONTH_DTYPE = np.dtype("<f4")  # small whole numbers are exact in it


class MonthDays:
    """The days of a month, a context manager; nothing is there until the ``with`` block ends well.

    They are stored as float32 (variable, day, point).

    Parameters
    ----------
    path : final name.
    fields : the variables of a day.
    days, points : how many there are.
    """

    _stream: BinaryIO
    _head: int  # bytes before the first number

    def __init__(self, path: Path | str, fields: tuple[str, ...], days: int, points: int):
        self.path, self._fields, self._shape = Path(path), fields, (len(fields), days, points)
        self._part = files.part_name(self.path)

    def __enter__(self) -> Self:
        with files.writing(self.path):
            self._stream = self._part.open("wb")
            np.lib.format.write_array_header_1_0(self._stream, {"descr": MONTH_DTYPE.str, "fortran_order": False,
                                                                "shape": self._shape})
        self._head = self._stream.tell()
        return self

    def write(self, first: int, points: slice, means: Mapping[str, np.ndarray]) -> None:
        """Write the means (days, points) of some days from number `first` on, at a slice of the points."""
        _, days, size = self._shape
        start, _, _ = points.indices(size)
        with files.writing(self.path):
            for number, name in enumerate(self._fields):
                for day, values in enumerate(np.asarray(means[name], MONTH_DTYPE), start=first):
                    place = (number * days + day) * size + start
                    self._stream.seek(self._head + MONTH_DTYPE.itemsize * place)
                    self._stream.write(values.tobytes())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            with files.writing(self.path):
                if kind is None:
                    self._stream.flush()
                    os.fsync(self._stream.fileno())
                    os.replace(self._part, self.path)
                self._stream.close()
        finally:
            self._part.unlink(missing_ok=True)


def read_month_days(path: Path, fields: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The means (days, points) of a month by variable, memory-mapped: read as they are asked for."""
    return dict(zip(fields, np.load(path, mmap_mode="r"), strict=True))


def write_daily(path: Path | str, grid: Grid, days: np.ndarray | Sequence[dt.date],
                parts: Iterable[Mapping[str, np.ndarray]], about: About,
                distance: np.ndarray | None = None) -> None:
    """Write all days: a file or, by the name, a store.

    Parameters
    ----------
    path : final name; nothing is there until it is whole.
    days : (days,) calendar days UTC+8, as datetime64[D] or dates.
    parts : in the order of the days, arrays (days_in_part, points) of cf.DAILY's variables; bounds only where
        `about` defines them. They may be memory-mapped: some places of some days are read at a time.
    distance : (points,) km to the nearest station, if it is wanted in a file too.
    """
    path, stamps = Path(path), end_of_days(days)
    daily_format = format_of(path)
    daily_format.create(path, grid, stamps, about, cf.DAILY, fresh=True)
    with daily_format.open_part(ProductPart(path, stamps, hours=HOURS_PER_DAY), grid, about, cf.DAILY,
                                distance) as file:
        parts = list(parts)
        for points in tiles(grid):
            for first in range(0, len(stamps), TIME_CHUNK):
                block = _days_of_parts(parts, first, min(first + TIME_CHUNK, len(stamps)), points)
                file.write(first, block, points)
    daily_format.finish(path)


def _days_of_parts(parts: Sequence[Mapping[str, np.ndarray]], first: int, last: int,
                   points: slice) -> dict[str, np.ndarray]:
    """Days `first` to `last`, without the last, of parts that follow each other."""
    found, start = [], 0
    for part in parts:
        rows = slice(max(first - start, 0), max(last - start, 0))
        found.append({name: array[rows, points] for name, array in part.items()})
        start += len(part[TARGET])
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def end_of_days(days: np.ndarray | Sequence[dt.date]) -> np.ndarray:
    """UTC stamps, datetime64[h] (days,), of the END of calendar days UTC+8.

    END as in the hourly file, one rule for all; and as 16:00 UTC has the date of the day it ends,
    picking by date and grouping by month need no shift. (The beginning would have the day before.)
    """
    return last_hours(np.asarray(days, "datetime64[D]"))
