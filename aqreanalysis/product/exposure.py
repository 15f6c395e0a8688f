"""How people are distributed over concentration: means of cells over periods, and the people who live in them.

A tile of the grid is a job: the mean of each period at each of its cells with its standard error, as `summarise` has
them. A period is then put together from the tiles, one at a time, so that memory grows with the grid's size alone.

People of a cell breathe the mean of their cell: that is the best estimate, of which shares and percentiles are exact.
The mean of a cell is known with an error, though. The probability that the truth at a place in it is above a limit is
that of a normal distribution with the standard error of the mean; the expected share of people above adds these
probabilities up. No correlation is needed for that, since an expected value of a sum is the sum of expected values.
How far the true share may be from it depends on how errors are correlated, and is not said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.product.derived import Arrays
from aqreanalysis.product.in_memory import DatasetProduct, blocks_of
from aqreanalysis.product.reading import DAYS, FinishedProduct, row_slices
from aqreanalysis.schema import STANDARD_ERROR, TARGET
from aqreanalysis.summaries.datasets import OF_DAYS, in_hours
from aqreanalysis.summaries.statistics import LEAST_SCALE, mean_of_days
from aqreanalysis.time_axis import Period, local_days

RUN_DAYS = 366           # of short periods, that are read and kept together
TILE_VALUES = 2_500_000  # days by cells of a tile
MEANS, ERRORS = "mean", "error"


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
    return mean_of_days({name: array[some] for name, array in days.items()}, in_hours(stamps[some]), correlation)


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
