"""Conservative averaging between grids of rows and columns: the exact area that two cells share on the sphere.

Cells between parallels and meridians share a cell of the same kind, whose area is the product of the overlap in
longitude and of that in the sine of latitude; so the weights of a grid are the product of those of its two axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_SHARE = 0.5  # of a cell's area that has to have values, so that its mean is one
SLACK = 1e-9       # degrees: edges of two files that differ by less are one


@dataclass(frozen=True, eq=False)
class Axes:
    """Edges of rows and columns, degrees, ascending: `lat` (rows, 2), `lon` (columns, 2)."""

    lat: np.ndarray
    lon: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.lat), len(self.lon)

    @property
    def cell_size(self) -> float:
        """The median area of a cell in square degrees, by which the finer of two grids is known."""
        return float(np.median(np.diff(self.lat)) * np.median(np.diff(self.lon)))

    def part(self, rows: slice, columns: slice) -> Axes:
        """Some rows and columns."""
        return Axes(self.lat[rows], self.lon[columns])

    def areas(self) -> np.ndarray:
        """Areas (rows, columns) of the cells on a sphere of radius 1."""
        return _sines(self.lat)[:, None] * np.radians(np.diff(self.lon)[:, 0])[None]

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude (rows,) and longitude (columns,) of the middle of the cells."""
        return self.lat.mean(axis=1), self.lon.mean(axis=1)


def _sines(lat: np.ndarray) -> np.ndarray:
    return np.diff(np.sin(np.radians(lat)), axis=1)[:, 0]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Averages fields of a source grid to the cells of a target grid.

    `rows` (target rows, source rows) and `columns` (target columns, source columns): sparse lengths that are shared, in
    the sine of latitude and in radians.
    """

    rows: Any
    columns: Any
    areas: np.ndarray  # of the target's cells

    @classmethod
    def between(cls, source: Axes, target: Axes) -> Overlap:
        """The overlap of two grids."""
        rows = _shared(np.sin(np.radians(target.lat)), np.sin(np.radians(source.lat)))
        return cls(rows, _shared(np.radians(target.lon), np.radians(source.lon)), target.areas())

    def mean(self, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean (target's shape) of a field (source's shape) over what has values, NaN where that is less than
        LEAST_SHARE of a cell; and that share."""
        there = np.isfinite(field)
        total = self._applied(np.where(there, field, 0.0))
        area = self._applied(there.astype(float))
        share = area / self.areas
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(share >= LEAST_SHARE - SLACK, total / area, np.nan), share

    def _applied(self, field: np.ndarray) -> np.ndarray:
        return (self.columns @ (self.rows @ field).T).T


def _shared(target: np.ndarray, source: np.ndarray) -> Any:
    """Lengths (target, source) that intervals (n, 2) and (m, 2), ascending, share: a sparse matrix."""
    from scipy.sparse import csr_matrix

    first = np.searchsorted(source[:, 1], target[:, 0], side="right")
    stop = np.searchsorted(source[:, 0], target[:, 1], side="left")
    count = np.maximum(stop - first, 0)
    row = np.repeat(np.arange(len(target)), count)
    column = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    length = (np.minimum(target[row, 1], source[column, 1]) - np.maximum(target[row, 0], source[column, 0])).clip(0)
    return csr_matrix((length, (row, column)), shape=(len(target), len(source)))
