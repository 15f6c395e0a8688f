"""`aqreanalysis evaluate RUN`: scores of every trained forecast of a run folder on the test slice.

Each row of the recipe is scored for each of its seeds, and for the mean of its seeds' forecasts. The test slice is
read here for the first time. Written into the run folder: scores.csv, all of it, and tables.md, to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import files, recipes, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import tables
from aqreanalysis.evaluation.forecast import Sums, scores, skill_interval
from aqreanalysis.evaluation.strata import SEASONS
from aqreanalysis.models.forecast import stored
from aqreanalysis.models.forecast.series import point_neighbours
from aqreanalysis.training import forecast_data as observations
from aqreanalysis.training.losses import means
from aqreanalysis.workers import run_jobs
from aqreanalysis.workflows.train_forecast import Job, chosen

ORIGINS_AT_ONCE = 256
MEAN = "mean"  # in place of a seed: the mean of all seeds' forecasts


@dataclass(frozen=True)
class RowJob:
    """One row to score: its trained forecasters."""

    recipe: recipes.ForecastRecipe
    row: str
    folders: tuple[Path, ...]


def evaluate(run: Path, workers: int = 1, report: Callable[[str], None] = lambda text: None) -> pd.DataFrame:
    """Score the run folder `run`; returns the table of scores.csv.

    Columns: row, seed (a number or "mean"), stations (seen, withheld), season (all or one), how (at, up to), lead,
    n, R2, MAE, RMSE, bias, and for the mean of seeds skill_percent over the best other row with skill_low and
    skill_high (95 %), best (its name), skill_persistence.
    """
    recipe = opened(run)
    jobs = [RowJob(recipe, row, folders) for row, folders in done(recipe, run).items()]
    found: dict[str, dict[str, Sums]] = {}
    for row, sums in run_jobs(score_row, jobs, workers):
        found[row] = sums
        report(row)
    table = pd.concat([_row_scores(recipe, row, found[row]) for row in recipe.models if row in found],
                      ignore_index=True)
    table = _with_skill(recipe, table, found)
    write(recipe, table, run)
    return table


def opened(run: Path) -> recipes.ForecastRecipe:
    """The recipe of a run folder; a UserError where it is none."""
    path = Path(run) / "recipe.yaml"
    if not path.is_file() or recipes.training_kind(path) is not recipes.ForecastRecipe:
        raise UserError(f"{run} is no run folder of forecasts.",
                        "It holds recipe.yaml of the kind forecast and a folder for each training.",
                        "Make one with `aqreanalysis train forecast-beijing-24h`.")
    return recipes.load(path, recipes.ForecastRecipe)


def done(recipe: recipes.ForecastRecipe, run: Path) -> dict[str, tuple[Path, ...]]:
    """The folders of each row's chosen configuration, by seed; rows that are not trained yet are left out."""
    rows = {}
    for row, model in recipe.models.items():
        source = model.like or row
        numbers = range(len(recipe.models[source].configurations))
        if all(stored.exists(Job(recipe, run, source, n, recipe.seeds[0]).folder) for n in numbers):
            best = chosen(recipe, run, row)
            folders = [Job(recipe, run, row, best, seed).folder for seed in recipe.seeds]
            rows[row] = tuple(folder for folder in folders if stored.exists(folder))
    rows = {row: folders for row, folders in rows.items() if folders}
    if not rows:
        raise UserError(f"{run} holds no finished training.", "Scores are of trained forecasts.",
                        "Give `aqreanalysis train` with its recipe again.")
    return rows


def score_row(job: RowJob) -> tuple[str, dict[str, Sums]]:
    """Sums of one row on the test slice, by seed and for the mean of seeds."""
    data = observations.of(job.recipe)
    withheld = job.recipe.models[job.row].withheld
    loaded = [stored.load(folder) for folder in job.folders]
    for folder, (_, card) in zip(job.folders, loaded, strict=True):
        if card.training["fingerprint"] != data.fingerprint:
            raise UserError(f"{folder} was trained on other files than {job.recipe.observations} holds now.",
                            "A forecast is scored on the archive whose first part it was trained on.",
                            "Give back the files, or train again into another folder.")
    given = data.series(withheld, loaded[0][0].scaler, loaded[0][0].trend)
    asked = data.cube.sel(station=list(data.withheld)) if withheld else data.cube
    near = point_neighbours(given.lat, given.lon, asked.lat.values, asked.lon.values, job.recipe.k)
    truth = data.truth(asked)
    origins = data.slices.origins("test", job.recipe.history, job.recipe.horizon, job.recipe.test_every)
    total: dict[str, Sums] = {}
    for some in np.array_split(origins, -(-len(origins) // ORIGINS_AT_ONCE)):
        seen = truth(some, job.recipe.horizon)
        issued = given.time[some] + time_axis.UTC_OFFSET_HOURS * time_axis.HOUR
        forecasts = {str(card.seed): model.at_origins(given, some, near) for model, card in loaded}
        if len(forecasts) > 1:
            forecasts[MEAN] = np.mean(list(forecasts.values()), axis=0)
        for seed, forecast in forecasts.items():
            part = Sums.of(*averaged(forecast, seen, job.recipe), issued)
            total[seed] = total[seed] + part if seed in total else part
    return job.row, total


def averaged(forecast: np.ndarray, truth: np.ndarray, recipe: recipes.ForecastRecipe):
    """Forecast and truth (origins, points, horizon) as the recipe scores them: means over `mean_hours`."""
    import torch

    if recipe.mean_hours == 1:
        return forecast, truth
    found, seen = means(torch.from_numpy(forecast), torch.from_numpy(truth), observations.task_of(recipe))
    return found.numpy(), seen.numpy()


def _row_scores(recipe: recipes.ForecastRecipe, row: str, sums: dict[str, Sums]) -> pd.DataFrame:
    parts = []
    for seed, of in sums.items():
        for season in ("all", *SEASONS):
            part = scores(of if season == "all" else of.season(season), recipe.leads)
            parts.append(part.assign(row=row, seed=seed, season=season,
                                     stations="withheld" if recipe.models[row].withheld else "seen"))
    table = pd.concat(parts, ignore_index=True)
    first = ["row", "seed", "stations", "season", "how", "lead"]
    return table[first + [name for name in table if name not in first]]


def final(sums: dict[str, Sums]) -> str:
    """The key of what stands for a row: the mean of its seeds, or its only one."""
    return MEAN if MEAN in sums else next(iter(sums))


def _with_skill(recipe: recipes.ForecastRecipe, table: pd.DataFrame, found: dict[str, dict[str, Sums]]):
    """Columns of skill for each row's final forecast: over the best baseline of its stations, and over persistence."""
    rows = []
    for line in table.itertuples():
        sums = found[line.row]
        if line.seed != final(sums) or line.season != "all":
            rows.append({})
            continue
        same = table[(table.stations == line.stations) & (table.season == "all") & (table.how == line.how)
                     & (table.lead == line.lead)]
        rivals = {other: float(same[(same.row == other) & (same.seed == final(found[other]))].MAE.iloc[0])
                  for other in same.row.unique() if other != line.row and _is_baseline(recipe, other)}
        told = {}
        if rivals:
            best = min(rivals, key=rivals.get)
            skill, low, high = skill_interval(sums[line.seed], found[best][final(found[best])], line.lead, line.how)
            told = {"best": best, "skill_percent": skill, "skill_low": low, "skill_high": high}
            still = [other for other in rivals if _kind(recipe, other) == "persistence"]
            told |= {"skill_persistence": 100 * (1 - line.MAE / min(rivals[name] for name in still))} if still else {}
        rows.append(told)
    return pd.concat([table, pd.DataFrame(rows, index=table.index)], axis=1)


def _kind(recipe: recipes.ForecastRecipe, row: str) -> str:
    return recipe.models[recipe.models[row].like or row].model


def _is_baseline(recipe: recipes.ForecastRecipe, row: str) -> bool:
    return _kind(recipe, row) != "aqnet"


def write(recipe: recipes.ForecastRecipe, table: pd.DataFrame, run: Path) -> list[Path]:
    """scores.csv and tables.md in the run folder, each whole or not there."""
    texts = {"scores.csv": table.to_csv(index=False, float_format="%.6g"), "tables.md": tables.markdown(recipe, table)}
    for name, text in texts.items():
        files.replace_text(run / name, text, "Free space and give the command again.")
    return [run / name for name in texts]
