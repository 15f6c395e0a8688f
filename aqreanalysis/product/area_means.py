"""Means over areas from a product, month by month: what is kept of each month, and the periods that are made of it.

A month is a job. All that is kept of it is linear in the cells, so it is summed tile by tile: memory grows neither with
the period nor with the grid. Errors are kept as weighted sums over blocks of cells (models/area_errors.py), and are
carried from day to day when the months are put together in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from aqreanalysis import output, periods
from aqreanalysis.grids import Grid
from aqreanalysis.models.area_errors import AreaBlocks, VarianceOfAreaSums, variance_of_steps
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.product.reading import HOURS, FinishedProduct, ProductBlock, read_blocks
from aqreanalysis.schema import STANDARD_ERROR, TARGET
from aqreanalysis.time_axis import Period, local_days

NORMAL = 1.6449       # half of the width of 90 %, in standard errors
MEAN, PEOPLE = "area", "people"  # how cells are weighted: by their size, by the people in them
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Weighting:
    """How the cells make the means of all areas: `matrix` (areas, cells), 1 in sum of each, and the errors' blocks."""

    matrix: sparse.csr_array
    blocks: tuple[AreaBlocks, ...]

    @property
    def of_errors(self) -> sparse.csr_array:
        """The matrix (blocks of all areas, cells) of weighted sums of errors."""
        parts = []
        for area in self.blocks:
            sums = area.sums.tocoo()
            parts.append(sparse.csr_array((sums.data, (sums.row, area.cells[sums.col])),
                                          shape=(area.blocks, self.matrix.shape[1])))
        return sparse.csr_array(sparse.vstack(parts))


@dataclass(frozen=True, eq=False)
class AreaSetting:
    """What all months have in common.

    `cells` (n,), ascending, are those of the grid that an area has; weightings are of these. `people` (areas, n) in the
    part of a cell that lies in an area, None where nothing is known of people.
    """

    grid: Grid
    product: FinishedProduct | None   # None where blocks come from a Dataset
    frequency: str
    cells: np.ndarray
    weightings: Mapping[str, Weighting]
    people: sparse.csr_array | None
    limits: tuple[float, ...]
    every: str

    @property
    def of_steps(self) -> bool:
        """Whether each step of the product is a period."""
        return self.every in ("hour", "day")

    def tiles(self) -> list[slice]:
        """Those of the grid with a cell that is needed."""
        return [tile for tile in output.tiles(self.grid)
                if np.searchsorted(self.cells, tile.stop) > np.searchsorted(self.cells, tile.start)]


def month_of_areas(setting: AreaSetting, month: Period) -> Arrays:
    """All that is kept of a month of a product."""
    assert setting.product is not None  # jobs are of files
    blocks = read_blocks(setting.product, setting.frequency, (TARGET, STANDARD_ERROR), month, setting.tiles())
    return means_of_blocks(setting, blocks)


def means_of_blocks(setting: AreaSetting, blocks: Iterator[ProductBlock]) -> Arrays:
    """Arrays of the steps of blocks: `hour` (steps,), END of each, since 1970; for each weighting `X.mean` (steps,
    areas),
    `X.share` of the area or people with a value, and `X.variance` (steps, areas) or, where steps are put together
    later, `X.errors` (steps, blocks); `above` (limits, steps, areas), the share of people in cells above; `cells`
    (2, n), sums of values and their number."""
    pieces: dict[int, _Piece] = {}
    order: list[int] = []
    matrices = {name: (weighting.matrix, weighting.of_errors) for name, weighting in setting.weightings.items()}
    in_cells = np.zeros((2, len(setting.cells)))
    done: list[Arrays] = []
    for block in blocks:
        key = int(block.stamps[0].astype("datetime64[h]").astype(int))
        if key not in pieces:
            done += [pieces.pop(other).arrays(setting) for other in order if other in pieces]
            pieces[key] = _Piece(setting, block.stamps, matrices)
            order.append(key)
        pieces[key].add(block, in_cells)
    done += [piece.arrays(setting) for piece in pieces.values()]
    found = {name: np.concatenate([part[name] for part in done], axis=1 if name == "above" else 0)
             for name in (done[0] if done else {})}
    return found | ({} if setting.of_steps else {"cells": in_cells})


class _Piece:
    """Sums over the cells of some steps, as tiles come."""

    def __init__(self, setting: AreaSetting, stamps: np.ndarray, matrices: Mapping[str, tuple]):
        self._setting, self._stamps, self._matrices = setting, stamps, matrices
        areas, steps = next(iter(matrices.values()))[0].shape[0], len(stamps)
        self._sums = {name: (np.zeros((steps, areas)), np.zeros((steps, areas)), np.zeros((steps, of_errors.shape[0])))
                      for name, (_, of_errors) in matrices.items()}
        self._above = np.zeros((len(setting.limits), steps, areas))

    def add(self, block: ProductBlock, in_cells: np.ndarray) -> None:
        """A tile; sums of values and their number are added to `in_cells` (2, n)."""
        first, last = np.searchsorted(self._setting.cells, (block.points.start, block.points.stop))
        columns = self._setting.cells[first:last] - block.points.start
        values, errors = (block.arrays[name][:, columns].astype(np.float64) for name in (TARGET, STANDARD_ERROR))
        known = np.isfinite(values)
        values, errors = np.where(known, values, 0.0), np.where(known & np.isfinite(errors), errors, 0.0)
        in_cells[0, first:last] += values.sum(axis=0)
        in_cells[1, first:last] += known.sum(axis=0)
        for name, (matrix, of_errors) in self._matrices.items():
            for total, weights, what in zip(self._sums[name], (matrix, matrix, of_errors), (values, known, errors),
                                            strict=True):
                total += (weights[:, first:last] @ what.T.astype(np.float64)).T
        if self._setting.people is not None and self._setting.of_steps:
            people = self._setting.people[:, first:last]
            for number, limit in enumerate(self._setting.limits):
                self._above[number] += (people @ (known & (values > limit)).T.astype(np.float64)).T

    def arrays(self, setting: AreaSetting) -> Arrays:
        """What is kept."""
        found: Arrays = {"hour": self._stamps.astype("datetime64[h]").astype(np.int64)}
        for name, (total, share, errors) in self._sums.items():
            safe = np.where(share > 0, share, np.nan)
            found |= {f"{name}.mean": total / safe, f"{name}.share": share}
            per_block = np.repeat(share, [area.blocks for area in setting.weightings[name].blocks], axis=1)
            errors = errors / np.where(per_block > 0, per_block, 1.0)
            if setting.of_steps:
                variance = variance_of_steps(list(setting.weightings[name].blocks), errors)
                found[f"{name}.variance"] = np.where(share > 0, variance, np.nan)
            else:
                found[f"{name}.errors"] = errors.astype(np.float32)
        if setting.people is not None and setting.of_steps:
            everybody = np.asarray(setting.people.sum(axis=1)).ravel()
            living = self._sums[PEOPLE][1] * everybody
            found["above"] = self._above / np.where(living > 0, living, np.nan)
        return found


@dataclass(frozen=True, eq=False)
class AreaMeans:
    """Means of areas over periods; arrays (periods, areas) by name, those of limits (limits, periods, areas)."""

    bounds: np.ndarray        # (periods, 2) begin and END of each, UTC, datetime64[h]
    labels: tuple[str, ...]   # of the periods; stamps of hours
    arrays: Mapping[str, np.ndarray]
    cells: Mapping[str, np.ndarray]  # means of cells (n,) by the label of the period; not of hours and days


def put_together(setting: AreaSetting, months: Sequence[str], load: Callable[[str], Arrays],
                 chosen: Sequence[CalendarPeriod]) -> Iterator[AreaMeans]:
    """The periods of all months, given by names in the order of time and loaded one at a time: in one part, or where
    each step is a period, in a part for each month.

    `chosen` periods, of which each month lies in one; none where each step is a period.
    """
    if setting.of_steps:
        for arrays in map(load, months):
            if len(arrays.get("hour", ())):
                yield _steps(setting, arrays)
    else:
        yield _periods(setting, months, load, chosen)


def _periods(setting: AreaSetting, months: Sequence[str], load: Callable[[str], Arrays],
             chosen: Sequence[CalendarPeriod]) -> AreaMeans:
    totals = {name: _Totals(setting, weighting) for name, weighting in setting.weightings.items()}
    rows: list[dict[str, np.ndarray]] = []
    in_cells: dict[str, np.ndarray] = {}
    current, cells = 0, np.zeros((2, len(setting.cells)))
    for arrays in map(load, months):
        if not len(arrays.get("hour", ())):
            continue
        day = local_days(arrays["hour"][:1].astype("datetime64[h]"))
        while not chosen[current].has(day)[0]:
            rows.append(_period(setting, totals, cells))
            in_cells[chosen[current].label] = _means(cells)
            cells, current = np.zeros_like(cells), current + 1
        cells += arrays["cells"]
        for total in totals.values():
            total.add(arrays)
    rows.append(_period(setting, totals, cells))
    in_cells[chosen[current].label] = _means(cells)
    arrays = {name: np.stack([row[name] for row in rows], axis=1 if rows[0][name].ndim == 2 else 0)
              for name in rows[0]}
    used = chosen[:current + 1]
    return AreaMeans(np.stack([period.bounds for period in used]), tuple(period.label for period in used), arrays,
                     in_cells)


def _means(cells: np.ndarray) -> np.ndarray:
    return np.where(cells[1] > 0, cells[0] / np.maximum(cells[1], 1), np.nan)


class _Totals:
    """Sums over the days of a period of the means under one weighting."""

    def __init__(self, setting: AreaSetting, weighting: Weighting):
        self._name = next(name for name, of in setting.weightings.items() if of is weighting)
        self._limits = setting.limits
        self._variance = VarianceOfAreaSums(list(weighting.blocks))
        self._areas = weighting.matrix.shape[0]
        self._restart()

    def _restart(self) -> None:
        self._variance.restart()
        self._sum, self._count, self._share = np.zeros((3, self._areas))
        self._above = np.zeros((len(self._limits), self._areas))

    def add(self, arrays: Arrays) -> None:
        """The days of a month."""
        mean = arrays[f"{self._name}.mean"]
        known = np.isfinite(mean)
        self._sum += np.where(known, mean, 0.0).sum(axis=0)
        self._count += known.sum(axis=0)
        self._share += arrays[f"{self._name}.share"].sum(axis=0)
        for number, limit in enumerate(self._limits):
            self._above[number] += (known & (mean > limit)).sum(axis=0)
        self._variance.add(arrays["hour"], arrays[f"{self._name}.errors"])

    def finished(self) -> dict[str, np.ndarray]:
        """The period's arrays; begin another."""
        safe = np.where(self._count > 0, self._count, np.nan)
        found = {"mean": self._sum / safe, "variance": self._variance.variance / safe**2, "days": self._count.copy(),
                 "share": self._share / safe, "days_above": self._above / np.where(np.isnan(safe), np.nan, 1.0)}
        self._restart()
        return {f"{self._name}.{name}": array for name, array in found.items()}


def _period(setting: AreaSetting, totals: Mapping[str, _Totals], cells: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for total in totals.values():
        found |= total.finished()
    if setting.people is not None:
        means = _means(cells)
        living = setting.people @ np.isfinite(means).astype(np.float64)
        found["above"] = np.stack([setting.people @ (means > limit).astype(np.float64) for limit in setting.limits]
                                  ) / np.where(living > 0, living, np.nan)
    return found


def _steps(setting: AreaSetting, arrays: Arrays) -> AreaMeans:
    """Each step a period."""
    stamps = arrays["hour"].astype("datetime64[h]")
    begins = periods.begins_of(setting.every, stamps)
    labels = (np.datetime_as_string(stamps, "m") if setting.frequency == HOURS
              else local_days(stamps).astype(str)).tolist()
    return AreaMeans(np.stack([begins, stamps], axis=1), tuple(labels),
                     {name: array for name, array in arrays.items() if name != "hour"}, {})
