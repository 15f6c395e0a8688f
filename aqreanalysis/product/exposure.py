"""How people are distributed over concentration: means of cells over periods, and the people who live in them.

A tile of the grid is a job: the mean of each period at each of its cells with its standard error, as `summarise` has
them, but without what only a single station feels. A period is then put together from the tiles, one at a time, so that
memory grows with the grid's size alone.

People of a cell breathe the mean of their cell: that is the best estimate, of which shares and percentiles are exact.
The mean of a cell is known with an error, though. The probability that the truth is above a limit is that of a normal
distribution with the standard error of the mean; the expected share of people above adds these probabilities up, for
which it does not matter how errors of cells are correlated. How far the true share may be from it does depend on that:
it is counted in draws of the errors of all cells (models/error_fields.py). Their correlation is that of means over the
days of the period, which is exact where a cell's errors are even in time; their size is the cell's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.models.error_fields import ErrorFields
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.product.derived import Arrays
from aqreanalysis.product.in_memory import DatasetProduct, blocks_of
from aqreanalysis.product.reading import DAYS, FinishedProduct, row_slices
from aqreanalysis.schema import STANDARD_ERROR, TARGET
from aqreanalysis.summaries.datasets import OF_DAYS, in_hours
from aqreanalysis.summaries.statistics import LEAST_SCALE, bounds_of_draws, mean_of_days
from aqreanalysis.time_axis import HOURS_PER_DAY, Period, local_days

RUN_DAYS = 366           # of short periods, that are read and kept together
TILE_VALUES = 2_500_000  # days by cells of a tile
MEANS, ERRORS = "mean", "error"
SURE = 5.0               # standard errors from a limit, beyond which a cell lies on one side of it in every draw
DRAWN_CELLS = 50_000     # whose draws are made at once, 40 MB ...
KEPT_DRAWS = 3           # ... and kept, of periods of different lengths: months have three


@dataclass(frozen=True, eq=False)
class ExposureSetting:
    """What all tiles have in common.

    `days` is the first and the last day that is used; periods may reach beyond them. `cells` (n,), ascending, are those
    of the grid that are needed.
    """

    product: FinishedProduct | DatasetProduct
    days: Period
    periods: tuple[CalendarPeriod, ...]
    correlation: ErrorCorrelation
    cells: np.ndarray

    def runs(self) -> list[tuple[CalendarPeriod, ...]]:
        """Periods that follow each other and are read together: RUN_DAYS, or one that is longer."""
        found: list[list[CalendarPeriod]] = []
        for period in self.periods:
            if found and (period.last - found[-1][0].first).days < RUN_DAYS:
                found[-1].append(period)
            else:
                found.append([period])
        return [tuple(run) for run in found]

    def tiles(self) -> dict[str, slice]:
        """Slices of the grid with a cell that is needed, by their names."""
        longest = max((run[-1].last - run[0].first).days + 1 for run in self.runs())
        return {f"{tile.start}-{tile.stop}": tile
                for tile in row_slices(self.product.grid, max(TILE_VALUES // longest, 1))
                if np.searchsorted(self.cells, tile.stop) > np.searchsorted(self.cells, tile.start)}


@dataclass(frozen=True, eq=False)
class CellMeans:
    """A period's mean of cells (n,) and its standard error, ug m-3; NaN where there is none."""

    period: CalendarPeriod
    mean: np.ndarray
    error: np.ndarray


def means_of_tile(setting: ExposureSetting, tile: slice) -> Arrays:
    """Means of all periods at the cells of a tile that are needed: `mean.K` and `error.K` (periods, cells) of run K."""
    first, last = np.searchsorted(setting.cells, (tile.start, tile.stop))
    columns = setting.cells[first:last] - tile.start
    found: Arrays = {}
    for number, run in enumerate(setting.runs()):
        used = Period(max(run[0].first, setting.days.first), min(run[-1].last, setting.days.last))
        blocks = list(blocks_of(setting.product, DAYS, (TARGET, STANDARD_ERROR), used, [tile]))
        stamps = np.concatenate([block.stamps for block in blocks]) if blocks else np.array([], "datetime64[h]")
        days = {name: np.concatenate([block.arrays[name][:, columns] for block in blocks])
                for name in OF_DAYS[:2]} if blocks else {}
        made = [_of_period(days, stamps, period, setting.correlation, len(columns)) for period in run]
        found[f"{MEANS}.{number}"] = np.stack([one[TARGET] for one in made])
        found[f"{ERRORS}.{number}"] = np.stack([one[STANDARD_ERROR] for one in made])
    return found


def _of_period(days: Arrays, stamps: np.ndarray, period: CalendarPeriod, correlation: ErrorCorrelation,
               cells: int) -> Arrays:
    some = period.has(local_days(stamps)) if len(stamps) else np.zeros(0, bool)
    if not some.any():
        return {name: np.full(cells, np.nan, np.float32) for name in (TARGET, STANDARD_ERROR)}
    return mean_of_days({name: array[some] for name, array in days.items()}, in_hours(stamps[some]), correlation, False)


def cell_means(setting: ExposureSetting, load_one) -> Iterator[CellMeans]:
    """Each period's means of all cells that are needed; `load_one(tile's name, array's name)` gives a job's array."""
    tiles = list(setting.tiles())
    for number, run in enumerate(setting.runs()):
        means, errors = (np.concatenate([load_one(tile, f"{what}.{number}") for tile in tiles], axis=1)
                         for what in (MEANS, ERRORS))
        for row, period in enumerate(run):
            yield CellMeans(period, means[row], errors[row])


def living_with_values(people: sparse.csr_array, cells: CellMeans) -> np.ndarray:
    """People (areas,) in cells that have a mean; `people` (areas, n) of the cells' parts in areas."""
    return people @ np.isfinite(cells.mean).astype(np.float64)


def shares_above(people: sparse.csr_array, cells: CellMeans, limits: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Shares (limits, areas), 0 to 1, of people in cells with a mean above each limit: of the best estimate, expected.
    """
    known = np.isfinite(cells.mean)
    living = living_with_values(people, cells)
    safe = np.where(living > 0, living, np.nan)
    mean = np.where(known, cells.mean, 0.0).astype(np.float64)
    error = np.maximum(np.nan_to_num(cells.error, nan=0.0), LEAST_SCALE).astype(np.float64)
    shape = (len(limits), people.shape[0])
    plain, expected = np.empty(shape), np.empty(shape)
    for number, limit in enumerate(limits):
        plain[number] = people @ (known & (mean > limit)).astype(np.float64) / safe
        expected[number] = people @ np.where(known, ndtr((mean - limit) / error), 0.0) / safe
    return plain, expected


class ShareBounds:
    """90 % bounds of the shares of people above limits, from draws of the errors of all cells of a setting.

    people : (areas, n) of the cells' parts in areas, of all cells that the setting needs.
    """

    def __init__(self, setting: ExposureSetting, people: sparse.csr_array):
        self._days, self._correlation, self._draws = setting.days, setting.correlation, ErrorFields()
        self._lat, self._lon = (axis[setting.cells] for axis in (setting.product.grid.lat, setting.product.grid.lon))
        self._people = people
        self._kept: dict[tuple, np.ndarray] = {}  # the draws that were made last

    def of(self, cells: CellMeans, limits: Sequence[float]) -> np.ndarray:
        """Shares (2, limits, areas), 0 to 1, that 5 % of the draws lie below, and above."""
        days = min(cells.period.last, self._days.last) - max(cells.period.first, self._days.first)
        by_range = tuple(self._correlation.of_mean(HOURS_PER_DAY * np.arange(days.days + 1.0)))
        living = living_with_values(self._people, cells)
        drawn = np.zeros((self._draws.draws, len(limits), self._people.shape[0]))
        for first in range(0, len(cells.mean), DRAWN_CELLS):
            some = slice(first, first + DRAWN_CELLS)
            self._count(drawn, self._people[:, some].tocsc(), cells.mean[some], cells.error[some],
                        self._errors(some, by_range), limits)
        return np.stack(bounds_of_draws(drawn)) / np.where(living > 0, living, np.nan)

    def _errors(self, some: slice, by_range: tuple) -> np.ndarray:
        key = (some.start, by_range)
        if key not in self._kept:
            if len(self._kept) == KEPT_DRAWS:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._draws.at(self._lat[some], self._lon[some], by_range)
        return self._kept[key]

    @staticmethod
    def _count(drawn: np.ndarray, people: sparse.csc_array, mean: np.ndarray, error: np.ndarray, z: np.ndarray,
               limits: Sequence[float]) -> None:
        """Add the people above limits in each draw (draws, limits, areas)."""
        known = np.isfinite(mean)
        error = np.maximum(np.nan_to_num(error, nan=0.0), LEAST_SCALE)
        for number, limit in enumerate(limits):
            threshold = np.where(known, (limit - mean) / error, np.inf).astype(np.float32)
            open_ = np.flatnonzero(np.abs(threshold) <= SURE)
            above = (z[:, open_] > threshold[open_]).T.astype(np.float32)
            drawn[:, number] += people @ (threshold < -SURE).astype(np.float64) + (people[:, open_] @ above).T


def percentiles_of_people(people: sparse.csr_array, cells: CellMeans, shares: Sequence[float]) -> np.ndarray:
    """Percentiles (shares, areas) of the cells' means over people, `shares` in percent: the lowest mean that so many
    of an area's people do not exceed. NaN where nobody lives."""
    found = np.full((len(shares), people.shape[0]), np.nan)
    for area in range(people.shape[0]):
        row = slice(people.indptr[area], people.indptr[area + 1])
        mean, living = cells.mean[people.indices[row]].astype(np.float64), people.data[row]
        some = np.isfinite(mean) & (living > 0)
        if some.any():
            order = np.argsort(mean[some], kind="stable")
            below = np.cumsum(living[some][order])
            at = np.searchsorted(below, np.asarray(shares) / 100.0 * below[-1] * (1.0 - 1e-12))
            found[:, area] = mean[some][order][np.minimum(at, len(below) - 1)]
    return found
