"""`aqreanalysis evaluate RUN`: scores of every trained forecast of a run folder on the test slice.

Each row of the recipe is scored for each of its seeds, and for the mean of its seeds' forecasts. The test slice is
read here for the first time. Written into the run folder: scores.csv, all of it, and tables.md, to be read. Seeds
whose training is not finished are named in both and on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import files, recipes, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.forecast import MEAN_OF_SEEDS, Seeds, lead_sums, row_scores, skill_columns
from aqreanalysis.evaluation.statistics import add
from aqreanalysis.evaluation.tables import markdown
from aqreanalysis.models import checkpoint
from aqreanalysis.models.forecast.series import point_neighbours
from aqreanalysis.training import forecast_data
from aqreanalysis.training.forecast_runs import seed_jobs
from aqreanalysis.training.losses import block_means
from aqreanalysis.workers import run_jobs

ORIGINS_AT_ONCE = 256
LEADING = ("row", "seed", "stations", "season", "how", "lead")  # the first columns of scores.csv


@dataclass(frozen=True)
class TrainedRow:
    """One row of a run folder: its trained forecasters, and its seeds with and without one."""

    recipe: recipes.ForecastRecipe
    name: str
    folders: tuple[Path, ...]
    seeds: Seeds


def evaluate_run(run: Path, workers: int = 1, report: Callable[[str], None] = lambda text: None) -> pd.DataFrame:
    """Score the run folder `run`; returns the table of scores.csv.

    Columns: row, seed (a number or "mean"), stations (seen, withheld), season (all or one), how (at, up to), lead,
    n, R2, MAE, RMSE, bias, and for the mean of seeds skill_percent over the best other row with skill_low and
    skill_high (95 %), best (its name), skill_persistence; seeds_scored and seeds_missing of the row (their numbers).
    """
    run = Path(run)
    recipe = recipe_of_run(run)
    rows = trained_rows(recipe, run)
    sums: dict[str, dict[str, xr.Dataset]] = {}
    for name, of_row in run_jobs(score_row, list(rows.values()), workers):
        sums[name] = of_row
        report(f"{name}, {rows[name].seeds.sentence}")
    table = score_table_of_run(recipe, rows, sums)
    write_scores(recipe, table, {name: row.seeds for name, row in rows.items()}, run)
    return table


def recipe_of_run(run: Path) -> recipes.ForecastRecipe:
    """The recipe of a run folder; a UserError where it is none."""
    path = run / "recipe.yaml"
    if not path.is_file() or recipes.training_kind(path) is not recipes.ForecastRecipe:
        raise UserError(f"{run} is no run folder of forecasts.",
                        "It holds recipe.yaml of the kind forecast and a folder for each training.",
                        "Make one with `aqreanalysis train forecast-beijing-24h`.")
    return recipes.load_recipe(path, recipes.ForecastRecipe)


def trained_rows(recipe: recipes.ForecastRecipe, run: Path) -> dict[str, TrainedRow]:
    """The chosen configuration of each row by seed; rows without any finished training are left out."""
    rows = {}
    for name in recipe.models:
        jobs = seed_jobs(recipe, run, name)
        folders = {job.seed: job.folder for job in jobs}
        scored = tuple(job.seed for job in jobs if job.done)
        missing = tuple(seed for seed in folders if seed not in scored)
        if scored:
            rows[name] = TrainedRow(recipe, name, tuple(folders[seed] for seed in scored), Seeds(scored, missing))
    if not rows:
        raise UserError(f"{run} holds no finished training.", "Scores are of trained forecasts.",
                        f"Give `{training_command(run)}` again.")
    return rows


def training_command(run: Path) -> str:
    """The command that trains what is missing in a run folder."""
    return f"aqreanalysis train {run / 'recipe.yaml'} --out {run}"


def score_row(row: TrainedRow) -> tuple[str, dict[str, xr.Dataset]]:
    """Lead sums of one row on the test slice, by seed and for the mean of seeds."""
    recipe = row.recipe
    data = forecast_data.of_recipe(recipe)
    withheld = recipe.models[row.name].withheld
    loaded = [_matching_forecaster(folder, recipe, data.fingerprint) for folder in row.folders]
    first = loaded[0][0]
    given = data.series(withheld, first.scaler, first.trend, first.weather)
    asked = data.cube.sel(station=list(data.withheld)) if withheld else data.cube
    near = point_neighbours(given.lat, given.lon, asked.lat.values, asked.lon.values, recipe.k)
    truth = data.truth(asked)
    origins = data.slices.origins("test", recipe.history, recipe.horizon, recipe.test_every)
    total: dict[str, xr.Dataset] = {}
    for some in np.array_split(origins, -(-len(origins) // ORIGINS_AT_ONCE)):
        observed = truth(some, recipe.horizon)
        issued = given.time[some] + time_axis.UTC_OFFSET_HOURS * time_axis.HOUR
        forecasts = {str(card.forecast.seed): model.at_origins(given, some, near) for model, card in loaded}
        if len(forecasts) > 1:
            forecasts[MEAN_OF_SEEDS] = np.mean(list(forecasts.values()), axis=0)
        for seed, forecast in forecasts.items():
            part = lead_sums(*averaged(forecast, observed, recipe), issued)
            total[seed] = add([total[seed], part]) if seed in total else part
    return row.name, total


def _matching_forecaster(folder: Path, recipe: recipes.ForecastRecipe, fingerprint: str):
    """A stored forecaster and its card; a UserError where it was trained on other files."""
    model, card = checkpoint.load_forecaster(folder)
    if card.training["fingerprint"] != fingerprint:
        raise UserError(f"{folder} was trained on other files than {recipe.observations} holds now.",
                        "A forecast is scored on the archive whose first part it was trained on.",
                        "Give back the files, or train again into another folder.")
    return model, card


def averaged(forecast: np.ndarray, truth: np.ndarray,
             recipe: recipes.ForecastRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Forecast and truth (origins, points, horizon) as the recipe scores them: means over `mean_hours`."""
    import torch

    if recipe.mean_hours == 1:
        return forecast, truth
    found, seen = block_means(torch.from_numpy(forecast), torch.from_numpy(truth), forecast_data.task_of(recipe))
    return found.numpy(), seen.numpy()


def score_table_of_run(recipe: recipes.ForecastRecipe, rows: Mapping[str, TrainedRow],
                       sums: Mapping[str, Mapping[str, xr.Dataset]]) -> pd.DataFrame:
    """The table of scores.csv from lead sums by row and seed."""
    parts = []
    for name in sorted(sums, key=list(recipe.models).index):
        parts.append(row_scores(sums[name], recipe.leads).assign(
            row=name, stations="withheld" if recipe.models[name].withheld else "seen"))
    table = pd.concat(parts, ignore_index=True)
    table = table[[*LEADING, *(column for column in table if column not in LEADING)]]
    kinds = {name: kind_of(recipe, name) for name in recipe.models}
    skill = skill_columns(table, sums, baselines=[name for name, kind in kinds.items() if kind != "aqnet"],
                          persistence=[name for name, kind in kinds.items() if kind == "persistence"])
    seeds = [rows[name].seeds for name in table["row"]]
    return pd.concat([table, skill], axis=1).assign(
        seeds_scored=[len(of.scored) for of in seeds],
        seeds_missing=[" ".join(map(str, of.missing)) for of in seeds])


def kind_of(recipe: recipes.ForecastRecipe, row: str) -> str | None:
    """The kind of model of a row, or of the row that it is like."""
    return recipe.models[recipe.models[row].like or row].model


def write_scores(recipe: recipes.ForecastRecipe, table: pd.DataFrame, seeds: dict[str, Seeds], run: Path) -> None:
    """scores.csv and tables.md in the run folder, each complete or not there."""
    texts = {"scores.csv": table.to_csv(index=False, float_format="%.6g"),
             "tables.md": markdown(recipe, table, seeds, training_command(run))}
    for name, text in texts.items():
        files.replace_text(run / name, text, "copy the run folder to another disk.")
