"""The error of an area's mean, from the errors of its cells and how they are correlated in space and time.

With the weights a_i of the cells (sum 1), their standard errors s_it and the terms of an ErrorCorrelation, the sum of
the means of some hours or days t has the variance

    sum_tt' sum_ij a_i a_j s_it s_jt' rho(d_ij, |t - t'|)

Two things make it cheap. In space, cells are taken together in blocks: s is even in a block as far as is needed, and
the correlation of two blocks is the mean over all pairs of their cells. Where s is even the sum is exact. In time, each
term fades exponentially, so that a faded sum is carried along (models/error_correlation.py, VarianceOfSum). What is a
single station's own is no error of a mean over cells and has no part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from aqreanalysis import geo
from aqreanalysis.models.error_correlation import ErrorCorrelation

MOST_BLOCKS = 144        # of an area
MOST_PLACES = 1600       # whose pairs are all taken; of more, some cells are a place together
WITHIN = 0.5214          # mean distance of two points of a square, over its side
ROWS = 256               # of pairs that are computed at once


@dataclass(frozen=True, eq=False)
class AreaBlocks:
    """The cells of one area in blocks.

    `cells` (n,) numbers of them, `weight` (n,) of their share in the mean, 1 in sum; `block` (n,) of each. `matrices`
    by memory in hours: (blocks, blocks) mean correlation between their cells, without time.
    """

    cells: np.ndarray
    weight: np.ndarray
    block: np.ndarray
    matrices: tuple[tuple[float, np.ndarray], ...]

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return self.matrices[0][1].shape[0] if self.matrices else 0

    @property
    def sums(self) -> sparse.csr_array:
        """The matrix (blocks, n) that makes weighted sums of its cells' errors."""
        return sparse.csr_array((self.weight, (self.block, np.arange(len(self.cells)))),
                                shape=(self.blocks, len(self.cells)))


def area_blocks(correlation: ErrorCorrelation, cells: np.ndarray, weight: np.ndarray, lat: np.ndarray, lon: np.ndarray,
                km2: np.ndarray, most: int = MOST_BLOCKS) -> AreaBlocks:
    """Blocks of an area.

    Parameters
    ----------
    cells : (n,) numbers; `weight` (n,) of any sum over 0; `lat`, `lon` (n,) degrees, and `km2` (n,) of their parts in
        the area, by which two places in one cell are apart.
    most : blocks; with as many as cells the sum over pairs is exact.
    """
    weight = np.asarray(weight, np.float64) / np.sum(weight)
    place = _boxes(lat, lon, MOST_PLACES)
    places = _merged(place, weight, lat, lon, km2)
    of_place = _boxes(places[1], places[2], most)
    shares = _shares(of_place, places[0])
    found = [(memory, np.zeros((shares.shape[0],) * 2)) for memory, _ in correlation.by_memory(own=False)]
    for first in range(0, len(places[0]), ROWS):
        rows = slice(first, first + ROWS)
        km = geo.pairwise_distance_km(places[1][rows], places[2][rows], places[1], places[2])
        km[np.arange(len(km)), np.arange(first, first + len(km))] = WITHIN * np.sqrt(places[3][rows])
        for memory, matrix in found:
            pairs = sum(share * np.exp(-km / reach) for reach, share in correlation.by_range(memory))
            matrix += shares[:, rows] @ (pairs @ shares.T)
    return AreaBlocks(np.asarray(cells), weight, of_place[place], tuple(found))


def _shares(block: np.ndarray, weight: np.ndarray) -> sparse.csr_array:
    """(blocks, places): the share of each place in its block's weight."""
    total = np.bincount(block, weight)
    even = np.bincount(block)
    share = np.where(total[block] > 0, weight / np.where(total[block] > 0, total[block], 1.0), 1.0 / even[block])
    return sparse.csr_array((share, (block, np.arange(len(block)))), shape=(len(total), len(block)))


def _boxes(lat: np.ndarray, lon: np.ndarray, most: int) -> np.ndarray:
    """A number (n,) of the box that each place lies in: squares, as small as gives at most so many of them."""
    if len(lat) <= most:
        return np.arange(len(lat))
    across = math.cos(math.radians(float(np.mean(lat))))
    y, x = lat - lat.min(), (lon - lon.min()) * across
    side = math.sqrt(max(np.ptp(y), 1e-6) * max(np.ptp(x), 1e-6) / (4.0 * most))
    while True:
        keys = np.floor(y / side).astype(np.int64) * 100_003 + np.floor(x / side).astype(np.int64)
        names, number = np.unique(keys, return_inverse=True)
        if len(names) <= most:
            return number
        side *= 1.05


def _merged(place: np.ndarray, weight: np.ndarray, lat: np.ndarray, lon: np.ndarray,
            km2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weight, weighted middle (lat, lon) and size of places made of cells."""
    total, count = np.bincount(place, weight), np.bincount(place)
    by = np.where(total[place] > 0, weight, 1.0)
    base = np.bincount(place, by)
    return (total, np.bincount(place, by * lat) / base, np.bincount(place, by * lon) / base,
            np.bincount(place, km2) * np.where(count > 0, 1.0, 0.0))


class VarianceOfAreaSums:
    """The variance of sums over time of areas' means, given step by step; as error_correlation.VarianceOfSum.

    `areas` are the blocks of each. Errors are (blocks of all areas,) of a step: sums over the cells of a block of
    weight times standard error.
    """

    def __init__(self, areas: list[AreaBlocks]):
        self._areas = areas
        self._ends = np.cumsum([0, *(area.blocks for area in areas)])
        self._memories = [memory for memory, _ in areas[0].matrices] if areas else []
        self.restart()

    def restart(self) -> None:
        """Begin other sums."""
        self._faded = np.zeros((len(self._memories), int(self._ends[-1])))
        self._last: float | None = None
        self.variance = np.zeros(len(self._areas))

    def add(self, hours: np.ndarray, errors: np.ndarray) -> None:
        """Standard errors (steps, blocks) of steps at `hours` (steps,), ascending; 0 where an area has no value."""
        errors = np.asarray(errors, np.float64)
        twice = np.empty((len(self._memories), *errors.shape))
        for step, (hour, error) in enumerate(zip(hours, errors, strict=True)):
            apart = 0.0 if self._last is None else float(hour) - self._last
            self._last = float(hour)
            for number, memory in enumerate(self._memories):
                self._faded[number] *= math.exp(-apart / memory)
                self._faded[number] += error
                twice[number, step] = 2.0 * self._faded[number] - error
        for place, area in enumerate(self._areas):
            mine = slice(self._ends[place], self._ends[place + 1])
            for number, (_, matrix) in enumerate(area.matrices):
                self.variance[place] += float(np.einsum("sb,sb->", errors[:, mine] @ matrix, twice[number][:, mine]))


def variance_of_steps(areas: list[AreaBlocks], errors: np.ndarray) -> np.ndarray:
    """The variance (steps, areas) of each step by itself, from errors (steps, blocks) as of VarianceOfAreaSums."""
    ends = np.cumsum([0, *(area.blocks for area in areas)])
    found = np.zeros((len(errors), len(areas)))
    for place, area in enumerate(areas):
        mine = errors[:, ends[place]:ends[place + 1]].astype(np.float64)
        together = sum(matrix for _, matrix in area.matrices)
        found[:, place] = np.einsum("sb,sb->s", mine @ together, mine)
    return found
