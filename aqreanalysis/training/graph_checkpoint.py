"""The checkpoint of a graph recipe: the network of a row and of the first draw, calibrated and scored.

It is trained on the stations that the draw does not hide, which the card lists; the hidden ones are withheld from it
(`test_single`). At these its errors are calibrated in the weeks of validation, and it is scored in those of the test,
beside kriging from the same stations. Their estimates have a part in no choice but that of the factors of the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.holdout import SINGLE_STATIONS, Fold
from aqreanalysis.evaluation.statistics import week_number
from aqreanalysis.models import checkpoint
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.recipes import GraphRecipe
from aqreanalysis.training.calibration import (
    HeldOutDays,
    by_month,
    cross_validated,
    days_at_once,
    fit_calibration,
)
from aqreanalysis.training.graph_data import GraphData, draws_of, load_data
from aqreanalysis.training.graph_runs import GraphJob
from aqreanalysis.training.validation import error_memory, held_out_scores


def job_of_row(recipe: GraphRecipe, out: Path, row: str) -> GraphJob:
    """The job whose network becomes a checkpoint."""
    return GraphJob(recipe, out, row, draws_of(recipe)[0])


def make_checkpoint(job: GraphJob, name: str) -> Path:
    """Calibrate and score the network of a job that is done; returns the checkpoint's folder in the run folder."""
    folder = job.out / name
    if checkpoint.has_card(folder):
        return folder
    data = load_data(job.recipe, job.out, job.draw)
    model, card = checkpoint.load(job.folder)
    fields = data.fields_of(job.recipe.rows[job.row]) if model.fields else None
    validated = _hidden_days(model, data, "validate", fields)
    tested = [_hidden_days(one, data, "test", fields) for one in (model, Kriging())]
    facts = replace(card.analysis, error_memory_hours=round(error_memory(validated), 1))
    return checkpoint.save(folder, model.network, replace(
        card, name=name, analysis=facts, calibration=_calibrated(validated).asdict(),
        scores={"held_out_stations": held_out_scores(*tested)}))


def _hidden_days(model: Model, data: GraphData, part: str, fields: xr.Dataset | None) -> HeldOutDays:
    """What a model estimates at the hidden stations in the weeks of a part, a month at a time, and the truth."""
    hidden = tuple(str(name) for name in data.asked.station.values)
    fold = Fold(hidden, {SINGLE_STATIONS: hidden})
    return HeldOutDays.joined([
        days_at_once(model, _around(data.cube, days), fold, days, None if fields is None else _around(fields, days))
        for days in _stretches(data.days[data.numbers(part)])])


def _stretches(days: np.ndarray) -> Iterator[np.ndarray]:
    """The days of each week within a month: what is estimated at once has no gaps."""
    for of_month in by_month(days):
        week = week_number(of_month)
        for number in np.unique(week):
            yield of_month[week == number]


def _around(series: xr.Dataset, days: np.ndarray) -> xr.Dataset:
    """Two days more than asked on either side of what a model is given."""
    return series.sel(time=slice(days[0] - np.timedelta64(2, "D"), days[-1] + np.timedelta64(3, "D")))


def _calibrated(days: HeldOutDays) -> Calibration:
    """Factors of the errors, and in their facts how well they hold at other stations and in other weeks."""
    names, number = np.unique(days.station.astype(str), return_inverse=True)
    return replace(fit_calibration(days), facts={
        "stations": len(names), "days": len(np.unique(days.day)), "first": str(days.day.min()),
        "last": str(days.day.max()), "station_hours": int(np.isfinite(days.truth).sum()),
        "at_other_stations": cross_validated(days, number),
        "in_other_weeks": cross_validated(days, week_number(days.day))})
