"""What `aqreanalysis export` writes: the steps of a product, hours, days or means of longer periods, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output, periods
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid
from aqreanalysis.models import error_correlation
from aqreanalysis.product.in_memory import DatasetProduct, blocks_of, dataset_product
from aqreanalysis.product.reading import (
    DAYS,
    HOURS,
    FinishedProduct,
    ProductBlock,
    open_finished,
)
from aqreanalysis.schema import STANDARD_ERROR
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period, local_days
from aqreanalysis.workflows.export.means import attributes_of_means, means_at


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps to be written, and of what; small, and fit to be sent to other processes.

    `begins`, `ends` : datetime64[h] (steps,), UTC. `labels` : an hour's END, 2019-01-01T01:00Z; a day's date, or the
    name of a longer period, UTC+8. `attributes` : of each variable.
    """

    product: FinishedProduct | DatasetProduct
    every: str
    period: Period
    ends: np.ndarray
    begins: np.ndarray
    labels: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        return self.product.grid

    @property
    def days(self) -> np.ndarray:
        """The calendar day UTC+8 of each step's END, datetime64[D] (steps,)."""
        return local_days(self.ends)

    def of(self, first: int, stop: int) -> Steps:
        """Some of the steps, by number."""
        days = local_days(np.array([self.begins[first] + HOUR, self.ends[stop - 1]]))
        return replace(self, period=Period(days[0].item(), days[1].item()), ends=self.ends[first:stop],
                       begins=self.begins[first:stop], labels=self.labels[first:stop])


@dataclass(frozen=True, eq=False)
class StepBlock:
    """Some steps, from number `first` on, at a slice of the grid's points: arrays (steps, points), NaN where missing.
    """

    first: int
    points: slice
    arrays: dict[str, np.ndarray]


def steps_of(path: Any, every: str, start: Period | None) -> Steps:
    """The steps of a product in a period (None: all that it has).

    Raises
    ------
    UserError : where there is no product, not these files, or no day of the period.
    """
    periods.check_every(every)
    frequency = HOURS if every == periods.HOURLY_PERIOD else DAYS
    product = dataset_product(path) if isinstance(path, xr.Dataset) else open_finished(path, (frequency,))
    stamps, days = product.stamps(frequency), product.days(frequency)
    period = start or Period(days[0].item(), days[-1].item())
    periods.check_has(product.path, period, days)
    inside = periods.span(period.first, period.last).has(local_days(stamps))
    notes = [*product.notes, *_holes(stamps[inside], period, frequency)]
    attributes = _attributes(product, frequency)
    if every in (periods.HOURLY_PERIOD, "day"):
        ends = stamps[inside]
        hours = 1 if frequency == HOURS else HOURS_PER_DAY
        labels = [f"{end}:00Z" for end in ends] if frequency == HOURS else [str(day) for day in local_days(ends)]
        return Steps(product, every, period, ends, ends - hours * HOUR, tuple(labels), attributes, tuple(notes))
    wanted = periods.periods_of(every, local_days(stamps[inside]))
    bounds = np.array([of.bounds for of in wanted])
    notes += periods.incomplete(wanted, local_days(stamps[inside]))
    if STANDARD_ERROR in attributes and (lacking := error_correlation.of_attributes(product.attributes, DAYS)[1]):
        notes.append(f"{lacking[0].lower()}{lacking[1:].rstrip('.')}")
    return Steps(product, every, period, bounds[:, 1], bounds[:, 0], tuple(of.label for of in wanted),
                 attributes_of_means(attributes, every), tuple(notes))


def _attributes(product: FinishedProduct | DatasetProduct, frequency: str) -> dict[str, dict[str, Any]]:
    if isinstance(product, DatasetProduct):
        return product.attributes_of()
    with output.open_product_file(product.files[frequency][0].path) as file:
        return {name: dict(file[name].attrs) for name in product.variables[frequency]}


def _holes(stamps: np.ndarray, period: Period, frequency: str) -> list[str]:
    """A sentence where a product lacks steps between the first and the last day that were asked for."""
    wanted = len(period.hours) if frequency == HOURS else period.n_days
    what = "hours" if frequency == HOURS else "days"
    return [f"{wanted - len(stamps):,} of the {wanted:,} {what} from {period.first} to {period.last} are not in the "
            "product"] if len(stamps) < wanted else []


def read_steps(steps: Steps, variables: Sequence[str], points: Sequence[slice] | None = None) -> Iterator[StepBlock]:
    """Blocks of steps; `points`: slices of the grid, of whole rows; all of it if they are not given."""
    if steps.every not in (periods.HOURLY_PERIOD, "day"):
        yield from _read_means(steps, variables, points)
        return
    for block in _blocks(steps, variables, points):
        yield StepBlock(int(np.searchsorted(steps.ends, block.stamps[0])), block.points, block.arrays)


def _blocks(steps: Steps, variables: Sequence[str], points: Sequence[slice] | None) -> Iterator[ProductBlock]:
    """Hours or days as they stand in the product."""
    frequency = HOURS if steps.every == periods.HOURLY_PERIOD else DAYS
    return blocks_of(steps.product, frequency, variables, steps.period, points)


def _read_means(steps: Steps, variables: Sequence[str], points: Sequence[slice] | None) -> Iterator[StepBlock]:
    """All periods of some points after the others: means of the days with a value."""
    def read(names: Sequence[str], some: Sequence[slice]) -> Iterator[ProductBlock]:
        return _blocks(steps, [name for name in names if name in steps.attributes], some)

    correlation, _ = error_correlation.of_attributes(steps.product.attributes, DAYS)
    for some, arrays in means_at(steps.grid, steps.begins, steps.ends, correlation, variables, points, read):
        yield StepBlock(0, some, arrays)


def in_words(steps: Steps) -> str:
    """The period of steps: its first and last day."""
    return f"{steps.period.first} to {steps.period.last} (UTC+8)"


def chosen_variables(steps: Steps, wanted: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Names of variables that were asked for, else `default`; UserError for one that there is not."""
    if unknown := [name for name in wanted if name not in steps.attributes]:
        raise UserError(f"--variable {unknown[0]} is not in {steps.product.path} by {steps.every}.",
                        f"It has {', '.join(steps.attributes)}.", "Name one of these, or leave it out.")
    return tuple(dict.fromkeys(wanted)) or tuple(name for name in default if name in steps.attributes)
