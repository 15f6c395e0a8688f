"""Means of longer periods that `aqreanalysis export` writes, with the errors that `summarise` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aqreanalysis.grids import Grid
from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.output.cf import HOURS_USED
from aqreanalysis.product.reading import ProductBlock, row_slices
from aqreanalysis.schema import LOWER, STANDARD_ERROR, TARGET, UPPER
from aqreanalysis.summaries.datasets import in_hours
from aqreanalysis.summaries.statistics import mean_of_days

DAYS_USED = "number_of_days"
DAYS_ATTRIBUTES = {"units": "1", "long_name": "number of days with a value that the mean is made from"}
ERRORS = {STANDARD_ERROR: "standard error", LOWER: "lower 90 % bound", UPPER: "upper 90 % bound"}
VALUES = 5_000_000  # days by places, that are held at once: of each variable some 20 MB
Arrays = dict[str, np.ndarray]
ReadBlocks = Callable[[Sequence[str], Sequence[slice]], Iterator[ProductBlock]]


def attributes_of_means(attributes: Mapping[str, Mapping[str, Any]], every: str) -> dict[str, Mapping[str, Any]]:
    """What a mean over a longer period has: the mean, its error and bounds, days and hours that it is made from."""
    what = f"the {'period' if every == 'all' else every}, of its daily means"
    mean = f"mean mass concentration of PM2.5 of {what}"
    found: dict[str, Mapping[str, Any]] = {TARGET: {**attributes[TARGET], "long_name": mean}}
    found |= {name: {**attributes[name], "long_name": f"{words} of the {mean}"} for name, words in ERRORS.items()
              if name in attributes and STANDARD_ERROR in attributes}
    hours = {**attributes.get(HOURS_USED, {}), "long_name": "hours with observations of the days that count"}
    return found | {DAYS_USED: DAYS_ATTRIBUTES} | ({HOURS_USED: hours} if HOURS_USED in attributes else {})


def means_at(grid: Grid, begins: np.ndarray, ends: np.ndarray, correlation: ErrorCorrelation, variables: Sequence[str],
             points: Sequence[slice] | None, read: ReadBlocks) -> Iterator[tuple[slice, Arrays]]:
    """Slices of the grid's points, each with arrays (periods, points) of variables.

    `begins`, `ends` datetime64[h] (periods,) of the periods; `read` gives days, in the order of time, of variables at
    slices of points. Memory grows with the longest period by no more than its days at one row of chunks.
    """
    longest = int(((ends - begins) / np.timedelta64(24, "h")).max())
    rows = row_slices(grid, max(VALUES // longest, 1))
    wanted = [name for name in (TARGET, HOURS_USED, *(ERRORS if set(ERRORS) & set(variables) else ()))]
    for some in points or rows:
        first, stop, _ = some.indices(grid.size)
        for whole in rows:
            part = slice(max(whole.start, first), min(whole.stop, stop))
            if part.start < part.stop:
                yield part, _means(part.stop - part.start, ends, correlation, variables, read(wanted, [part]))


def _means(size: int, ends: np.ndarray, correlation: ErrorCorrelation, variables: Sequence[str],
           blocks: Iterator[ProductBlock]) -> Arrays:
    """Arrays (periods, points); a period is finished when the days of the next one come."""
    found = {name: np.full((len(ends), size), 0.0 if name in (DAYS_USED, HOURS_USED) else np.nan, np.float32)
             for name in variables}
    pending: list[ProductBlock] = []
    current = 0
    for block in blocks:
        of_period = np.searchsorted(ends, block.stamps)
        for number in np.unique(of_period):
            if number != current:
                _finish(found, current, pending, correlation)
                pending, current = [], int(number)
            some = of_period == number
            pending.append(ProductBlock(block.stamps[some], block.points,
                                        {name: array[some] for name, array in block.arrays.items()}))
    _finish(found, current, pending, correlation)
    return found


def _finish(found: Arrays, number: int, pending: list[ProductBlock], correlation: ErrorCorrelation) -> None:
    """Put a period's means into row `number` of arrays."""
    if not pending:
        return
    days = {name: np.concatenate([block.arrays[name] for block in pending]) for name in pending[0].arrays}
    there = np.isfinite(days[TARGET])
    count = there.sum(axis=0)
    total = days[TARGET].sum(axis=0, dtype=np.float64, where=there)
    made: Arrays = {DAYS_USED: count, TARGET: np.where(count > 0, total / np.maximum(count, 1), np.nan),
                    HOURS_USED: np.where(there, np.nan_to_num(days.get(HOURS_USED, np.zeros(1))), 0.0).sum(axis=0)}
    if STANDARD_ERROR in days:
        hours = in_hours(np.concatenate([block.stamps for block in pending]))
        made |= mean_of_days(days, hours, correlation)
    for name, array in found.items():
        array[number] = made[name]
