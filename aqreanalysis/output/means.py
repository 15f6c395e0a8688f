"""Means over time of product files, read in pieces: memory does not grow with the period."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.output.cf import QUALITY_FLAG
from aqreanalysis.output.encoding import TILE_POINTS, TIME_CHUNK
from aqreanalysis.output.formats import open_product_file
from aqreanalysis.schema import LAT, LON, QUALITY, TARGET, TIME
from aqreanalysis.time_axis import Period, local_days

DAY_LENGTH = np.timedelta64(1, "D")

Paths = str | Path | Sequence[str | Path]  # a product file, or several of one grid, hourly or daily


def read_mean(paths: Paths, variable: str = TARGET, period: Period | None = None) -> xr.Dataset:
    """The mean over time of a variable, read in pieces of at most 168 steps.

    Parameters
    ----------
    paths : one product file or several of one grid, hourly or daily.
    period : calendar days UTC+8 that count; all where it is not given.

    Returns
    -------
    Dataset on the grid's dimensions with its coordinates and the first file's attributes:
    ``variable``, float32, NaN where every value is missing, and ``count``, how many values each
    mean has.

    Raises
    ------
    UserError : if a file can't be read, lies on another grid, or no file has a step in the period.
    """
    place: xr.DataArray | None = None
    for file, rows, values in _each_piece(paths, variable, period):
        if place is None:
            step = file[variable].isel({TIME: 0}, drop=True)
            place, attributes = step.copy(data=np.zeros(step.shape, np.float32)).load(), file.attrs
            total, count = np.zeros(place.shape), np.zeros(place.shape, np.int32)
        present = np.isfinite(values)
        total[rows] += np.where(present, values, 0).sum(axis=0, dtype=np.float64)
        count[rows] += present.sum(axis=0, dtype=np.int32)
    assert place is not None  # there is at least one piece
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return xr.Dataset({variable: place.copy(data=mean), "count": place.copy(data=count)}, attrs=attributes)


def days_of(paths: Paths, variable: str = TARGET) -> np.ndarray:
    """The calendar days UTC+8, datetime64[D] (days,), that files have steps of; UserError where one can't be read."""
    found = []
    for path in _listed(paths):
        with _opened_with(path, variable) as file:
            found.append(local_days(file[TIME].values))
    return np.unique(np.concatenate(found))


def read_most_frequent(paths: Paths, variable: str = QUALITY_FLAG, period: Period | None = None) -> np.ndarray:
    """The class of most steps, int8 of the grid's shape; of equally many the lowest. As :func:`read_mean`."""
    counts: np.ndarray | None = None
    for file, rows, values in _each_piece(paths, variable, period):
        if counts is None:
            counts = np.zeros((len(QUALITY), *file[variable].shape[1:]), np.int32)
        for number in range(len(QUALITY)):
            counts[number, rows] += (values == number).sum(axis=0, dtype=np.int32)
    assert counts is not None  # there is at least one piece
    return counts.argmax(axis=0).astype(np.int8)


def _each_piece(paths: Paths, variable: str, period: Period | None) -> Iterator[tuple[xr.Dataset, slice, np.ndarray]]:
    """Each file with rows of the grid and their values (steps, rows, ...) of at most 168 steps; one at least."""
    listed = _listed(paths)
    first, found = None, False
    for path in listed:
        with _opened_with(path, variable) as file:
            axes = [file[LAT].values, file[LON].values]
            first = axes if first is None else first
            if not all(map(np.array_equal, axes, first)):
                raise UserError(f"{path} lies on another grid than {listed[0]}.",
                                "Files that are read together have one grid.",
                                "Name the files of one product.")
            for rows, values in _of_period(file[variable], period):
                found = True
                yield file, rows, values
    if not found:
        named = f" in the period {period.label}" if period else ""
        raise UserError(f"None of {len(listed)} files has a step{named}.", "A map needs at least one step.",
                        "Choose days that the product has.")


def _listed(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


@contextmanager
def _opened_with(path: str | Path, variable: str) -> Iterator[xr.Dataset]:
    """A product file that has ``variable`` over time, through xarray."""
    try:
        file = open_product_file(path)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} can't be read: {error}.", "A product file is a whole NetCDF-4 file or Zarr store.",
                      "Give the path of a file that was made by aqreanalysis build.") from error
    with file:
        over_time = [str(name) for name in file.data_vars if file[name].dims[:1] == (TIME,)]
        if variable not in over_time:
            raise UserError(f"{path} has no variable {variable} over time.",
                            f"It has {', '.join(over_time)}.", "Name one of these.")
        yield file


def _of_period(field: xr.DataArray, period: Period | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and values (steps, rows, ...) of the days of ``period``, of as many points as are held at once."""
    days = local_days(field[TIME].values)
    for steps, rows in pieces(field.variable):
        if period is not None:  # the axis ascends
            first, last = np.searchsorted(days[steps], [np.datetime64(period.first),
                                                        np.datetime64(period.last) + DAY_LENGTH])
            steps = slice(steps.start + first, steps.start + last)
            if first == last:
                continue
        yield rows, field[steps, rows].values


def pieces(field: xr.Variable) -> Iterator[tuple[slice, slice]]:
    """Slices of steps and of rows of a variable (time, row, ...) that was opened: whole chunks, a tile at once."""
    chunk = field.encoding.get("chunksizes") or field.encoding.get("chunks") or (1, 1)  # a file without chunks
    width = int(np.prod(field.shape[2:]))
    height = chunk[1] * max(TILE_POINTS // (chunk[1] * width), 1)
    for first in range(0, field.shape[0], TIME_CHUNK):
        for start in range(0, field.shape[1], height):
            yield (slice(first, min(first + TIME_CHUNK, field.shape[0])),
                   slice(start, min(start + height, field.shape[1])))
