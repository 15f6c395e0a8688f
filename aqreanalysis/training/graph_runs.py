"""The trainings of a graph recipe and their run folder: every row of its tables, every share of hidden stations, every
draw.

A run folder holds the recipe, `data/` (graph_data.py), and for each row and draw a folder with what was estimated at
the hidden stations in the test weeks (`estimate.npy`, hours by stations) and, of a network, its checkpoint. A job that
is done is not done again.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import ValidationError

from aqreanalysis import files, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.cross_fitting import NO_FOLD
from aqreanalysis.models.graph.kinds import KINDS, make_network
from aqreanalysis.recipes import GraphRecipe, GraphRow, GraphTraining, first_problem
from aqreanalysis.time_axis import HOUR
from aqreanalysis.training.graph import train_graph
from aqreanalysis.training.graph_data import READ_AGAIN, TWIN, Draw, GraphData, draws_of, load_data

ESTIMATE = "estimate.npy"
BOOSTING = "boosting"
BOOSTED_DAYS = 120  # days that boosting learns from


@dataclass(frozen=True)
class GraphJob:
    """A row of a recipe and a draw."""

    recipe: GraphRecipe
    out: Path
    row: str
    draw: Draw

    @property
    def folder(self) -> Path:
        """`hidden30-draw0/spin-no-advection`."""
        return self.out / self.draw.name / re.sub(r"[^a-z0-9]+", "-", self.row.lower()).strip("-")

    @property
    def done(self) -> bool:
        """What is estimated is written last."""
        return (self.folder / ESTIMATE).is_file()

    @property
    def settings(self) -> GraphTraining:
        """The recipe's, but for what the row changes."""
        changed = self.recipe.rows[self.row].training
        try:
            return GraphTraining.model_validate(self.recipe.training.model_dump() | changed)
        except ValidationError as error:
            raise UserError(f"The row {self.row}: {first_problem(error, GraphTraining)}",
                            "What it names of `training` must be as it is there.", "Correct the recipe.") from error


def graph_jobs(recipe: GraphRecipe, out: Path) -> list[GraphJob]:
    """All jobs, draw by draw."""
    return [GraphJob(recipe, out, row, draw) for draw in draws_of(recipe) for row in recipe.rows]


def check_graph_recipe(recipe: GraphRecipe) -> None:
    """UserError where a row's model, options or settings are unknown, or it needs what the recipe has not."""
    for name, row in recipe.rows.items():
        _ = GraphJob(recipe, Path(), name, Draw(recipe.hidden[0], 0)).settings
        if row.model in KINDS:
            make_network(row.model, row.options)
        elif row.model != BOOSTING:
            registry.describe_model(row.model)
        if row.aod != "none" and "aod" not in recipe.weather:
            raise UserError(f"The row {name} learns from optical depth, which the recipe does not read.",
                            "An optical depth is a variable of the fields.", "Add aod to `weather`.")
    if recipe.checkpoint and recipe.rows.get(recipe.checkpoint.row, GraphRow(model="")).model not in KINDS:
        raise UserError(f"The checkpoint is of the row {recipe.checkpoint.row}, which trains no graph network.",
                        f"The rows are {', '.join(recipe.rows)}; networks are {', '.join(KINDS)}.",
                        "Name another row in `checkpoint`.")


def run_graph_job(job: GraphJob) -> str:
    """Train where there is something to train, estimate, and store; returns a sentence."""
    began, data = time.monotonic(), load_data(job.recipe, job.out, job.draw)
    row = job.recipe.rows[job.row]
    job.folder.mkdir(parents=True, exist_ok=True)
    if row.model in KINDS:
        estimate, said = _by_network(job, row, data)
    else:
        estimate, said = _by_model(row, data), ""
    with files.whole(job.folder / ESTIMATE, READ_AGAIN) as part, part.open("wb") as stream:
        np.save(stream, estimate.astype(np.float32))
    error = np.nanmean(np.abs(estimate - data.asked[schema.TARGET].sel(time=data.hours("test")).values))
    return f"{job.draw.name}, {job.row}: MAE {error:.2f}{said}, {time.monotonic() - began:.0f} s"


def _by_network(job: GraphJob, row: GraphRow, data: GraphData) -> tuple[np.ndarray, str]:
    """Of a trained network; one that is stored is not trained again."""
    if checkpoint.has_card(job.folder):
        model, _ = checkpoint.load(job.folder)
        said = ""
    else:
        began = time.process_time()
        model, trained = train_graph(row.model, row.options, data.series(row), job.settings, job.draw.number,
                                     sigma_km=row.sigma_km)
        seconds = time.process_time() - began
        said = f", validation {min(one.error for one in trained.validations):.2f}, {seconds:.0f} s of processor"
        checkpoint.save(job.folder, model.network, _card(job, row, data, model, trained.steps, seconds))
    fields = data.fields_of(row) if model.fields else None
    return _asked(model, data, fields), said


def _card(job: GraphJob, row: GraphRow, data: GraphData, model, steps: int, seconds: float) -> checkpoint.Card:
    """The description of a network that has just been trained."""
    stations = [[str(name), round(float(lat), 5), round(float(lon), 5), NO_FOLD] for name, lat, lon in zip(
        data.seen.station.values, data.seen.lat.values, data.seen.lon.values, strict=True)]
    graph = {"settings": asdict(model.settings), "weather": model.weather.asdict(),
             "fields_optional": model.fields_optional}
    return checkpoint.Card(
        name=job.row, kind=f"{row.model}-{checkpoint.ANALYSIS_TASK}",
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=model.network.sizes.asdict(), scaler={}, k=0, variables=[schema.TARGET],
        analysis=checkpoint.AnalysisFacts(
            window={"hours_before": model.history, "hours_after": model.future}, stations=stations, graph=graph,
            error_memory_hours=registry.BASELINES["kriging"].error_memory_hours),  # until it is measured
        training={"source": data.source, "fields": data.fields_source, "fingerprint": data.fingerprint,
                  "start": job.recipe.start, "end": job.recipe.end, "every_nth_week_withheld":
                  job.recipe.test_every_nth_week, "stations": len(stations), "settings": job.settings.model_dump(),
                  "wind": row.wind, "seed": job.draw.number, "steps": steps, "seconds": round(seconds),
                  "simulated": job.recipe.observations == TWIN},
        withheld={"test_single": [str(name) for name in data.asked.station.values], "test_city": [],
                  "validation_single": [], "validation_city": []},
        versions=files.package_versions("aqreanalysis", "torch"))


def _by_model(row: GraphRow, data: GraphData) -> np.ndarray:
    """Of a baseline, boosting or a checkpoint; of one with folds each station by the network that never saw it."""
    if row.model == BOOSTING:
        days = data.days[data.numbers("train")][1:-1]
        chosen = days[::max(len(days) // BOOSTED_DAYS, 1)]
        cube = _with_all_pollutants(data.seen)
        trees = boosting.train(boosting.left_out_rows(cube, chosen, seed=0))
        return _asked(trees, GraphData(data.recipe, _with_all_pollutants(data.cube), data.weather, data.hidden), None)
    table = data.asked[["lat", "lon"]].to_dataframe().reset_index().rename(columns={"station": "station_id"})
    folds, _ = registry.hiding_networks(row.model, table)
    if folds is None:
        return _asked(registry.load_model(row.model), data, None)
    found = np.full((len(data.hours("test")), len(table)), np.nan, np.float32)
    for fold in np.unique(folds):
        model = registry.load_model(row.model, fold=int(fold) if fold >= 0 else None)
        found[:, folds == fold] = _asked(model, data, None)[:, folds == fold]
    return found


def _with_all_pollutants(cube: xr.Dataset) -> xr.Dataset:
    nothing = np.full(cube[schema.TARGET].shape, np.nan, np.float32)
    return cube.assign({name: (cube[schema.TARGET].dims, nothing) for name in schema.POLLUTANTS if name not in cube})


def _asked(model: Model, data: GraphData, fields: xr.Dataset | None) -> np.ndarray:
    """Estimates (hours, hidden stations) in the test weeks, a week at a time."""
    hours, asked = data.hours("test"), data.asked
    parts = []
    week = time_axis.local_days(hours).astype(int) // 7
    for number in np.unique(week):
        mine = hours[week == number]
        window = slice(mine[0] - (model.history + 24) * HOUR, mine[-1] + (model.future + 24) * HOUR)
        targets = schema.make_targets(mine, asked.lat.values, asked.lon.values)
        here = None if fields is None else fields.sel(time=window)
        parts.append(model.predict(data.seen.sel(time=window), targets, here)[schema.TARGET].values)
    return np.concatenate(parts)
