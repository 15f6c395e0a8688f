"""`aqreanalysis evaluate`: AQ-Net beside the baselines at stations that it has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import analysis, checks, clock, evaluation, execution
from aqreanalysis.clock import Period
from aqreanalysis.errors import UserError
from aqreanalysis.models import BASELINES, checkpoint
from aqreanalysis.readers import open_archive


@dataclass(frozen=True)
class MonthJob:
    """One month to score."""

    observations: str
    stations: str | None
    checkpoint: Path
    month: Period
    withheld: tuple[str, ...]
    every_nth_week: int


def evaluate(observations: str, period: Period, checkpoint_name: str | None = None, stations: str | None = None,
             workers: int = 1, scheduler: str | None = None, on_month=lambda label: None, warn=lambda texts: None):
    """Scores at the checkpoint's test stations: a table and the sums that it is made of.

    The withheld stations are those that the checkpoint's training never saw; single stations and
    whole cities are scored apart, over all hours and over the withheld weeks alone.
    """
    folder = checkpoint.locate(checkpoint_name)
    _, card = checkpoint.load(folder)
    archive = open_archive(observations, stations)
    known = set(archive.stations["station_id"])
    groups = {"single stations": [s for s in card.withheld["test_single"] if s in known],
              "whole cities": [s for s in card.withheld["test_city"] if s in known]}
    if not any(groups.values()):
        raise UserError(f"{observations} holds none of the stations that {card.name} withheld.",
                        "Scores are of stations that the training never saw.",
                        "Evaluate on the network it was trained on, or train a checkpoint on this one.")
    warn(checks.of_archive(archive, period.hours[0], period.hours[-1]))
    withheld = tuple(groups["single stations"] + groups["whole cities"])
    jobs = [MonthJob(str(Path(observations).resolve()), stations, folder, month, withheld,
                     card.training["every_nth_week_withheld"]) for month in period.months()]
    parts, parts_withheld = [], []
    for label, sums, of_weeks in execution.run(score_month, jobs, workers, scheduler):
        parts.append((label, sums)), parts_withheld.append((label, of_weeks))
        on_month(label)
    tables, totals = [], {}
    for hours, found in (("all", parts), ("withheld weeks", parts_withheld)):
        found = [sums for _, sums in sorted(found, key=lambda pair: pair[0]) if sums is not None]
        if found:
            totals[hours] = evaluation.add(found)
            tables.append(evaluation.metrics(totals[hours], {k: v for k, v in groups.items() if v}).assign(hours=hours))
    return pd.concat(tables, ignore_index=True), totals


def score_month(job: MonthJob):
    """Sums of one month: over all its days, and over those in withheld weeks (None without any)."""
    model, _ = checkpoint.load(job.checkpoint)
    archive = open_archive(job.observations, job.stations)
    models = {name: make() for name, make in BASELINES.items()} | {"AQ-Net": model}
    cube = analysis.observations_around(archive, model, job.month, apart=job.withheld)
    days = np.array(job.month.days(), "datetime64[D]")
    weeks = clock.withheld_weeks(days, job.every_nth_week)
    parts = {flag: [evaluation.month_statistics(models, cube, list(job.withheld), hours)
                    for hours in _runs(days[weeks == flag])] for flag in (True, False)}
    every = evaluation.add(parts[True] + parts[False])
    return f"{job.month.first:%Y-%m}", every, evaluation.add(parts[True]) if parts[True] else None


def _runs(days: np.ndarray) -> list[np.ndarray]:
    """Hours of each run of days that follow each other."""
    if not len(days):
        return []
    runs = np.split(days, np.flatnonzero(np.diff(days.astype(int)) > 1) + 1)
    return [clock.hours_of_days(run[0].item(), run[-1].item()) for run in runs]
