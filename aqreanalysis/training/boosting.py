"""Gradient boosting for `evaluate --boosting`: trained at a checkpoint's training stations, month by month."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aqreanalysis import time_axis
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.checkpoint import Card
from aqreanalysis.observations import screening
from aqreanalysis.observations.near_duplicates import NearDuplicates
from aqreanalysis.observations.readers.archive import Source
from aqreanalysis.time_axis import Period

BOOSTING_DAYS = 150  # at most so many days are learned from, spread over the period


@dataclass(frozen=True)
class BoostingMonth:
    """One month of stations and days that boosting may learn from."""

    files: Source
    month: Period
    held_out: tuple[str, ...]
    days: np.ndarray  # datetime64[D], UTC+8
    duplicates: NearDuplicates


def train_boosting(files: Source, period: Period, card: Card, duplicates: NearDuplicates,
                   run: Callable[[Callable, list[BoostingMonth]], Iterable[Any]]) -> boosting.Boosting:
    """Trees trained at the checkpoint's training stations on days outside its withheld weeks.

    No duplicate of a withheld station is among them, and duplicates are left out together.

    `run(function, jobs)` gives the results of a function of a job, in any order (workers.run_jobs).
    """
    held_out = tuple(station for stations in card.withheld.values() for station in stations)
    held_out += duplicates.of(held_out)
    days = np.array(period.days(), "datetime64[D]")
    days = days[~time_axis.withheld_weeks(days, card.training["every_nth_week_withheld"])]
    days = days[::-(-len(days) // BOOSTING_DAYS) or 1]
    jobs = [BoostingMonth(files, month, held_out, of, duplicates) for month in period.months()
            if len(of := days[np.isin(days, np.array(month.days(), "datetime64[D]"))])]
    parts = sorted(run(boosting_rows, jobs), key=lambda pair: pair[0])
    return boosting.train(boosting.Rows.joined([rows for _, rows in parts]))


def boosting_rows(job: BoostingMonth) -> tuple[str, boosting.Rows]:
    """The month's name and its features and residuals."""
    archive = job.files.open()
    cube = screening.observations_around(archive, boosting.Boosting(text=""), job.month, held_out=job.held_out)
    cube = cube.isel(station=~cube.indexes["station"].isin(job.held_out))
    return f"{job.month.first:%Y-%m}", boosting.left_out_rows(
        cube, job.days, seed=0, together=job.duplicates.matrix(cube.station.values))
