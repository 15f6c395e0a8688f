"""A product and another one on common cells and times, and the sums of their pairs.

What has the finer cells is averaged to those of the other, by area, exactly; what has the finer steps, to those of the
other. Hours are compared as days of UTC+8. Cells count where at least half of their area has values in both, periods
where at least three quarters of the product's steps are there. The product's cells on the sea do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.strata import SEASONS
from aqreanalysis.grids import Grid
from aqreanalysis.grids.overlap import Axes, Overlap
from aqreanalysis.product.comparison.other import OtherProduct
from aqreanalysis.product.comparison.times import DAY, OFFSET, Timeline
from aqreanalysis.product.in_memory import DatasetProduct, blocks_of
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct
from aqreanalysis.schema import LOWER, TARGET, UPPER
from aqreanalysis.time_axis import HOUR, Period, local_days

LEAST_STEPS = 0.75      # of a period that have to be there
HELD_CELLS = 20_000_000  # numbers of a variable that are held at once
FINER = 1e-3            # by which cell sizes have to differ
DENSITY_EDGES = np.arange(0.0, 502.0, 2.0)  # ug m-3, of the scatter density; what is beyond counts in the last
EVERY = "all"


@dataclass(frozen=True, eq=False)
class CommonGrid:
    """The cells that both are averaged to: `ours`, `other` do it, None where they stand on them already."""

    axes: Axes
    ours: Overlap | None
    other: Overlap | None
    words: str


def our_axes(grid: Grid, source: str) -> Axes:
    """The edges of a product's cells; UserError where it has no rows and columns of cells."""
    if grid.kind != "regular" or grid.lat_bounds is None or grid.lon_bounds is None:
        raise UserError(f"{source} lies on {'a list of points' if grid.kind == 'points' else 'a curvilinear grid'}.",
                        "Products are compared on rows of latitude and columns of longitude.",
                        "Build it on a regular grid, as --grid 0.1deg.")
    return Axes(grid.lat_bounds, grid.lon_bounds)


def common_grid(ours: Axes, other: Axes) -> CommonGrid:
    """The coarser of two grids, where they meet."""
    one, two = (f"{_step(axes.lat):g} x {_step(axes.lon):g} degrees" for axes in (ours, other))
    if other.cell_size > ours.cell_size * (1 + FINER):
        return CommonGrid(other, Overlap.between(ours, other), None,
                          f"the product ({one}) is averaged to the cells of the other ({two})")
    if ours.shape == other.shape and np.allclose(ours.lat, other.lat, 0, 1e-6) and np.allclose(
            ours.lon, other.lon, 0, 1e-6):
        return CommonGrid(ours, None, None, f"both have the same cells ({one})")
    return CommonGrid(ours, None, Overlap.between(other, ours),
                      f"the other ({two}) is averaged to the product's cells ({one})")


def _step(edges: np.ndarray) -> float:
    return float(f"{np.median(np.diff(edges)):.4g}")


@dataclass(frozen=True, eq=False)
class CommonTimes:
    """Periods that are compared, (periods, 2) datetime64[m] UTC; of each, the numbers of the other's steps in it."""

    intervals: np.ndarray
    members: tuple[np.ndarray, ...]
    kind: str        # day, month or year
    frequency: str   # which files of the product are read
    notes: tuple[str, ...]

    @property
    def days(self) -> np.ndarray:
        """The calendar day UTC+8 in the middle of each, datetime64[D]."""
        half = (self.intervals[:, 1] - self.intervals[:, 0]) // 2
        return (self.intervals[:, 0] + half + OFFSET).astype("datetime64[D]")

    @property
    def is_daily(self) -> bool:
        """Whether they are days of UTC+8, of which the product has means and bounds."""
        return self.kind == "day" and self.frequency == DAYS


def common_times(line: Timeline, product_days: np.ndarray, period: Period | None,
                 names: tuple[str, str]) -> CommonTimes:
    """The periods that both have.

    Parameters
    ----------
    product_days : calendar days UTC+8 of the product, datetime64[D].
    period : days that are asked for; None for all.
    names : of the product and of the other, for messages.

    Raises
    ------
    UserError : where they have no time in common.
    """
    intervals, members, notes = line.intervals, [np.array([n]) for n in range(len(line.intervals))], []
    kind = line.kind
    if kind == "hour":
        intervals, members, left = _as_days(line)
        kind = "day"
        notes.append("hours of the other are averaged to days of UTC+8")
        if left:
            notes.append(f"{left} of the other's days have less than three quarters of their steps and are left out")
    local = bool(((intervals + OFFSET).astype(int) % DAY.astype(int) == 0).all())
    if not local:
        notes.append("days of the other are not those of UTC+8: the product's means of its days are made from hours")
    first_days = (intervals[:, 0] + OFFSET).astype("datetime64[D]")
    last_days = (intervals[:, 1] + OFFSET - np.timedelta64(1, "m")).astype("datetime64[D]")
    there = np.searchsorted(product_days, last_days, "right") - np.searchsorted(product_days, first_days)
    share = there / ((last_days - first_days).astype(int) + 1)
    wanted = np.ones(len(intervals), bool)
    if period is not None:
        wanted = (first_days >= np.datetime64(period.first)) & (last_days <= np.datetime64(period.last))
    fit = wanted & (share >= LEAST_STEPS)
    if not fit.any():
        asked = f" from {period.first} to {period.last}" if period else ""
        raise UserError(f"{names[0]} and {names[1]} have no {kind} in common{asked}: the other has "
                        f"{first_days[0]} to {last_days[-1]} ({len(intervals)} {kind}{'s' * (len(intervals) > 1)}).",
                        f"The product has {product_days[0]} to {product_days[-1]}; a {kind} counts where it has three "
                        "quarters of it.", "Give files of this time, or say how theirs is meant (--stamp, --days).")
    if partly := int((wanted & (share > 0) & ~fit).sum()):
        notes.append(f"{partly} of its {kind}s are left out: the product has less than three quarters of them")
    return CommonTimes(intervals[fit], tuple(members[n] for n in np.flatnonzero(fit)), kind,
                       DAYS if local else HOURS, tuple(notes))


def _as_days(line: Timeline) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Days of UTC+8 of which at least three quarters of the steps are there, with their steps; how many are not."""
    length = np.median(np.diff(line.intervals, axis=1).astype(int))
    middle = line.intervals[:, 0] + (line.intervals[:, 1] - line.intervals[:, 0]) // 2
    day = (middle + OFFSET - np.timedelta64(1, "m")).astype("datetime64[D]")
    days, first, count = np.unique(day, return_index=True, return_counts=True)
    whole = count * length >= LEAST_STEPS * DAY.astype(int)
    begin = days[whole].astype("datetime64[m]") - OFFSET
    return (np.stack([begin, begin + DAY], axis=1),
            [np.arange(a, a + n) for a, n in zip(first[whole], count[whole], strict=True)], int((~whole).sum()))


def our_means(product: FinishedProduct | DatasetProduct, common: CommonTimes) -> Iterator[dict[str, np.ndarray]]:
    """The product's means (points,) of each period in turn, by variable; of days UTC+8 its bounds too.

    A place has a mean where three quarters of the steps have values.
    """
    names = [TARGET]
    if common.is_daily:
        names += [name for name in (LOWER, UPPER) if name in product.variables[DAYS]]
    at_once = int(np.clip(HELD_CELLS // product.grid.size, 1, 64))
    step = DAY if common.frequency == DAYS else np.timedelta64(60, "m")
    for start in range(0, len(common.intervals), at_once):
        intervals = common.intervals[start:start + at_once]
        total = {name: np.zeros((len(intervals), product.grid.size)) for name in names}
        count = {name: np.zeros((len(intervals), product.grid.size), np.int32) for name in names}
        stamps = np.array([intervals[0, 0], intervals[-1, 1]]).astype("datetime64[h]")
        first, last = local_days(stamps + np.array([HOUR, 0 * HOUR]))
        for block in blocks_of(product, common.frequency, names, Period(first.item(), last.item())):
            ends = block.stamps.astype("datetime64[m]")
            number = np.searchsorted(intervals[:, 1], ends)
            inside = (number < len(intervals)) & (intervals[np.minimum(number, len(intervals) - 1), 0] < ends)
            for one in np.unique(number[inside]):
                rows = inside & (number == one)
                for name in names:
                    values = block.arrays[name][rows]
                    there = np.isfinite(values)
                    total[name][one, block.points] += np.where(there, values, 0.0).sum(axis=0, dtype=np.float64)
                    count[name][one, block.points] += there.sum(axis=0, dtype=np.int32)
        steps = (intervals[:, 1] - intervals[:, 0]) // step
        for one, wanted in enumerate(steps):
            yield {name: np.where(count[name][one] >= LEAST_STEPS * wanted,
                                  total[name][one] / np.maximum(count[name][one], 1), np.nan) for name in names}


def other_mean(other: OtherProduct, members: np.ndarray) -> np.ndarray:
    """The mean (rows, columns) of some steps of another product, where three quarters of them have values."""
    if len(members) == 1:
        return other.read(int(members[0]))
    total, count = np.zeros(other.axes.shape), np.zeros(other.axes.shape, int)
    for number in members:
        values = other.read(int(number))
        there = np.isfinite(values)
        total += np.where(there, values, 0.0)
        count += there
    return np.where(count >= LEAST_STEPS * len(members), total / np.maximum(count, 1), np.nan)


def seasons_of(common: CommonTimes) -> tuple[str, ...]:
    """The seasons that periods are told apart by; of years none."""
    return (EVERY,) if common.kind == "year" else tuple(SEASONS)


@dataclass(eq=False)
class PairSums:
    """Sums of pairs of both products on common cells: of each cell by season, and of each period over all cells."""

    axes: Axes
    seasons: tuple[str, ...]
    count: np.ndarray = field(init=False)     # (seasons, rows, columns)
    ours: np.ndarray = field(init=False)
    other: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)   # ours, other squared, and their product: (3, rows, columns)
    density: np.ndarray = field(init=False)   # cells and periods by both concentrations
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (len(self.seasons), *self.axes.shape)
        self.count, self.ours, self.other = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
        self.squares = np.zeros((3, *self.axes.shape))
        self.density = np.zeros((len(DENSITY_EDGES) - 1,) * 2, np.int64)
        self._areas = self.axes.areas()

    def add(self, interval: np.ndarray, day: np.datetime64, ours: np.ndarray, other: np.ndarray,
            held: tuple[int, int]) -> None:
        """A period with both fields (rows, columns); `held`: cells whose bounds hold the other, and of how many."""
        both = np.isfinite(ours) & np.isfinite(other)
        season = 0 if self.seasons == (EVERY,) else next(
            number for number, name in enumerate(self.seasons) if int(day.astype("datetime64[M]").astype(int)) % 12 + 1
            in SEASONS[name])
        a, b = np.where(both, ours, 0.0), np.where(both, other, 0.0)
        self.count[season] += both
        self.ours[season] += a
        self.other[season] += b
        self.squares += np.stack([a * a, b * b, a * b])
        bins = [np.minimum((values[both] / DENSITY_EDGES[1]).astype(int), len(self.density) - 1) for values in (a, b)]
        np.add.at(self.density, tuple(bins), 1)
        weight = np.where(both, self._areas, 0.0)
        self.rows.append({
            "begin": interval[0], "end": interval[1], "day": day, "n": int(both.sum()), "weight": weight.sum(),
            "ours": (weight * a).sum(), "other": (weight * b).sum(), "ours_squared": (weight * a * a).sum(),
            "other_squared": (weight * b * b).sum(), "product": (weight * a * b).sum(),
            "absolute": (weight * np.abs(a - b)).sum(), "held": held[0], "bounded": held[1]})


def held_by_bounds(ours: dict[str, np.ndarray], grid: Grid, other: np.ndarray, cells: np.ndarray) -> tuple[int, int]:
    """Of the product's land cells with bounds, how many hold the other's value of the cell their centre lies in, and
    how many there are. `cells` : numbers of these cells of the other, -1 for none."""
    if LOWER not in ours:
        return 0, 0
    values = np.where(cells >= 0, other.ravel()[cells], np.nan)
    there = np.isfinite(values) & np.isfinite(ours[LOWER]) & np.isfinite(ours[UPPER]) & grid.land
    held = there & (ours[LOWER] <= values) & (values <= ours[UPPER])
    return int(held.sum()), int(there.sum())


def cells_at(axes: Axes, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """The number of the cell that each place lies in; -1 for none."""
    found = []
    for edges, values in ((axes.lat, lat), (axes.lon, lon)):
        number = np.clip(np.searchsorted(edges[:, 0], values, side="right") - 1, 0, None)
        found.append(np.where((values >= edges[number, 0]) & (values < edges[number, 1]), number, -1))
    return np.where((found[0] >= 0) & (found[1] >= 0), found[0] * axes.shape[1] + found[1], -1)


def compared(product: FinishedProduct | DatasetProduct, other: OtherProduct, grid: CommonGrid, common: CommonTimes,
             watched: Sequence[np.ndarray], sums: PairSums) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through all periods and add their pairs to sums; of each, both products at watched places (places,).

    watched : numbers of places' cells in the product's grid, and in the other's; -1 for none.
    """
    land, shape = product.grid.land, product.grid.shape
    at_centres = cells_at(other.axes, product.grid.lat, product.grid.lon)
    for number, ours in enumerate(our_means(product, common)):
        theirs = other_mean(other, common.members[number])
        field_ = np.where(land, ours[TARGET], np.nan).reshape(shape)
        one = grid.ours.mean(field_)[0] if grid.ours else field_
        two = grid.other.mean(theirs)[0] if grid.other else theirs
        sums.add(common.intervals[number], common.days[number], one, two,
                 held_by_bounds(ours, product.grid, theirs, at_centres))
        mine, his = watched
        yield np.where(mine >= 0, ours[TARGET][mine], np.nan), np.where(his >= 0, theirs.ravel()[his], np.nan)
