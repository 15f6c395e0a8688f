"""A month's daily means, kept in a hidden file until the file of all days is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aqreanalysis import files


class MonthDays:
    """The days of a month, a context manager; nothing is there until the ``with`` block ends well.

    They lie as float32 (variable, day, point): small whole numbers are exact in it.

    Parameters
    ----------
    path : final name.
    fields : the variables of a day.
    days, points : how many there are.
    """

    def __init__(self, path: Path, fields: tuple[str, ...], days: int, points: int):
        self.path, self._fields, self._shape = Path(path), fields, (len(fields), days, points)
        self._part, self._stream = files.part_name(self.path), None

    def __enter__(self):
        with files.writing(self.path):
            self._stream = self._part.open("wb")
            np.lib.format.write_array_header_1_0(self._stream, {"descr": "<f4", "fortran_order": False,
                                                                "shape": self._shape})
        self._head = self._stream.tell()
        return self

    def write(self, first: int, points: slice, means: Mapping[str, np.ndarray]) -> None:
        """Write the means (days, points) of some days from number `first` on, at a slice of the points."""
        _, days, size = self._shape
        start, _, _ = points.indices(size)
        with files.writing(self.path):
            for number, name in enumerate(self._fields):
                for day, values in enumerate(np.asarray(means[name], "<f4"), start=first):
                    self._stream.seek(self._head + 4 * ((number * days + day) * size + start))
                    self._stream.write(values.tobytes())

    def __exit__(self, kind, error, traceback) -> None:
        try:
            with files.writing(self.path):
                if kind is None:
                    self._stream.flush()
                    os.fsync(self._stream.fileno())
                    os.replace(self._part, self.path)
                self._stream.close()
        finally:
            self._part.unlink(missing_ok=True)


def load(path: Path, fields: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The means (days, points) of a month by variable, read as they are asked for."""
    return dict(zip(fields, np.load(path, mmap_mode="r"), strict=True))
