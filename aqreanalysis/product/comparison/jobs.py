"""A comparison in jobs, each of some periods that follow each other: sums of pairs, and both products at stations.

Sums of jobs are added in the order of time, whoever did them; so workers and resumed runs change no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from aqreanalysis.product.comparison.other import OtherProduct
from aqreanalysis.product.comparison.pairs import CommonGrid, CommonTimes, PairSums, compared, seasons_of
from aqreanalysis.product.derived import Arrays
from aqreanalysis.product.in_memory import DatasetProduct
from aqreanalysis.product.reading import FinishedProduct

JOB_PERIODS = 32
SUMS = ("count", "ours", "other", "squares", "density")  # of PairSums


@dataclass(frozen=True, eq=False)
class PairSetting:
    """What all jobs have in common; `watched`: numbers of stations' cells in both grids, -1 for none."""

    product: FinishedProduct | DatasetProduct
    other: OtherProduct
    grid: CommonGrid
    common: CommonTimes
    watched: tuple[np.ndarray, np.ndarray]

    @property
    def jobs(self) -> dict[str, slice]:
        """Numbers of periods, by the names of jobs in the order of time."""
        size = len(self.common.intervals)
        return {f"{first}": slice(first, min(first + JOB_PERIODS, size)) for first in range(0, size, JOB_PERIODS)}


def pairs_of_job(setting: PairSetting, some: slice) -> Arrays:
    """Sums of some periods; `at.ours`, `at.other` (periods, stations); `rows.X` (periods,); `odd` values left out."""
    common = replace(setting.common, intervals=setting.common.intervals[some], members=setting.common.members[some])
    sums = PairSums(setting.grid.axes, seasons_of(common))
    before = setting.other.odd
    both = list(compared(setting.product, setting.other, setting.grid, common, setting.watched, sums))
    setting.other.close()
    found: Arrays = {name: getattr(sums, name) for name in SUMS}
    found |= {f"at.{name}": np.stack([one[number] for one in both]).astype(np.float32)
              for number, name in enumerate(("ours", "other"))}
    found |= {f"rows.{name}": np.array([row[name] for row in sums.rows]) for name in sums.rows[0]}
    return found | {"odd": np.array(setting.other.odd - before)}


@dataclass(frozen=True, eq=False)
class AllPairs:
    """Sums of all periods, both products at stations (periods, stations), and how many values were left out."""

    sums: PairSums
    ours: np.ndarray
    other: np.ndarray
    odd: int


def put_together(setting: PairSetting, names: Iterable[str], load: Callable[[str], Arrays]) -> AllPairs:
    """All jobs, by their names in the order of time."""
    sums = PairSums(setting.grid.axes, seasons_of(setting.common))
    at: dict[str, list[np.ndarray]] = {"ours": [], "other": []}
    odd = 0
    for arrays in map(load, names):
        for name in SUMS:
            getattr(sums, name)[...] += arrays[name]
        rows: Any = pd.DataFrame({name.removeprefix("rows."): array for name, array in arrays.items()
                                  if name.startswith("rows.")})
        sums.rows += rows.to_dict("records")
        for name, pieces in at.items():
            pieces.append(arrays[f"at.{name}"])
        odd += int(arrays["odd"])
    return AllPairs(sums, np.concatenate(at["ours"]), np.concatenate(at["other"]), odd)
