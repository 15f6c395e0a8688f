"""Which days of a product are looked at, and which stations are hidden on them.

Days are spread evenly over the period, a step apart that is coprime to the week. Some that follow each other are a
part: the unit of work, with the same stations hidden on each of its days. Parts take the folds of each design in turn,
so that a year's parts hide most stations, and none of a month's is looked at twice where there are many.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.time_axis import Period

DAYS_A_YEAR = 24        # that are looked at
FEWEST_DAYS = 8         # of any period that has so many
MOST_DAYS = 108         # of any: time and memory do not grow with the period
PART_DAYS = 3           # at most, of a part
STATION_DAYS = 300      # wanted of each design: a small network is hidden in more folds on the same day
WEEK, YEAR_DAYS = 7, 365.25


@dataclass(frozen=True)
class Part:
    """Days that follow each other in the sample, and the folds that are hidden on each of them."""

    number: int
    days: tuple[dt.date, ...]
    folds: tuple[Fold, ...]

    @property
    def period(self) -> Period:
        """From its first day to its last."""
        return Period(self.days[0], self.days[-1])

    @property
    def removed(self) -> tuple[str, ...]:
        """All stations that any of its folds hides."""
        return tuple(sorted({station for fold in self.folds for station in fold.removed}))


def sampled_days(period: Period) -> list[dt.date]:
    """DAYS_A_YEAR days a year, at least FEWEST_DAYS and at most MOST_DAYS, from the middle of the first step on."""
    days = period.days()
    wanted = min(max(DAYS_A_YEAR * len(days) / YEAR_DAYS, FEWEST_DAYS), MOST_DAYS, len(days))
    step = max(int(len(days) / wanted), 1)
    while step % WEEK == 0:
        step += 1
    return days[(step - 1) // 2::step]


def parts_of(days: Sequence[dt.date], folds: Sequence[Fold]) -> list[Part]:
    """The days in parts of at most PART_DAYS, equally many as far as can be, each with folds of every design."""
    count = math.ceil(len(days) / PART_DAYS)
    of_design: dict[tuple[str, ...], list[Fold]] = {}
    for fold in folds:
        of_design.setdefault(tuple(fold.scored), []).append(fold)
    return [Part(number, tuple(day.item() for day in chosen),
                 tuple(fold for each in of_design.values() for fold in _turn(each, number, len(days))))
            for number, chosen in enumerate(np.array_split(np.array(days, "datetime64[D]"), count))]


def _turn(folds: Sequence[Fold], number: int, days: int) -> list[Fold]:
    """The folds of a design that a part hides: as many as give STATION_DAYS in all, at a stride through all of them."""
    each = sum(len(stations) for fold in folds for stations in [next(iter(fold.scored.values()))]) / len(folds)
    taken = min(max(math.ceil(STATION_DAYS / (days * each)), 1), len(folds))
    stride = next(step for step in range(max(round(0.618 * len(folds)), 1), 2 * len(folds) + 1)
                  if math.gcd(step, len(folds)) == 1)
    return [folds[(number * taken + place) * stride % len(folds)] for place in range(taken)]
