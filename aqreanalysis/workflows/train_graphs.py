"""`aqreanalysis train` with a graph recipe: every row of its table, every share of hidden stations and draw, scored.

A job that is done is not done again: give the same command again to continue. What a run folder holds is in
training/graph_runs.py; a recipe's `checkpoint` is made last (training/graph_checkpoint.py). `scores-hiddenNN.csv` and
`.md` are of the draws in which kriging is done and of the rows that are done in all of these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import files, schema
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import inference, statistics
from aqreanalysis.evaluation.inference import REFERENCE_ROW
from aqreanalysis.models.graph.weather import WIND
from aqreanalysis.recipes import GraphRecipe
from aqreanalysis.training.graph_checkpoint import job_of_row, make_checkpoint
from aqreanalysis.training.graph_data import Draw, draws_of, load_data, loneliest, prepare_data
from aqreanalysis.training.graph_runs import ESTIMATE, GraphJob, check_graph_recipe, graph_jobs, run_graph_job
from aqreanalysis.training.run_folder import NEW_FOLDER, refuse_other_recipe, write_recipe
from aqreanalysis.workers import run_jobs


def train_graphs(recipe: GraphRecipe, out: Path, workers: int = 1,
                 report: Callable[[str], None] = lambda text: None) -> Path:
    """Do those of a recipe's jobs that are not done yet, into the folder `out`, and score; returns it.

    `report` gets a sentence on each job.
    """
    check_graph_recipe(recipe)
    refuse_other_recipe(recipe, out)
    write_recipe(recipe, out)
    (out / "data").mkdir(exist_ok=True)
    prepare_data(recipe, out)
    todo = [job for job in graph_jobs(recipe, out) if not job.done]
    for number, text in enumerate(run_jobs(run_graph_job, todo, workers), start=1):
        report(f"{number} of {len(todo)}: {text}")
    score_graphs(recipe, out)
    if ships := recipe.checkpoint:
        report(f"checkpoint {make_checkpoint(job_of_row(recipe, out, ships.row), ships.name)}")
    return out


def score_graphs(recipe: GraphRecipe, out: Path) -> None:
    """Write the scores of each share, of the draws that are done."""
    for share in recipe.hidden:
        draws = _draws_done(recipe, out, share, [REFERENCE_ROW])
        rows = [row for row in recipe.rows if all(_is_done(recipe, out, row, draw) for draw in draws)]
        if not draws:
            continue
        total = statistics.add([_sums(recipe, out, draw, rows) for draw in draws])
        scores = inference.inference_scores(total)
        name = f"scores-hidden{round(100 * share):02d}"
        table = scores.to_dataframe().reset_index()
        files.replace_text(out / f"{name}.csv", table.to_csv(index=False, float_format="%.4f"), NEW_FOLDER)
        lacking = [row for row in recipe.rows if row not in rows]
        said = f"{recipe.name}: {100 * share:.0f} % of the stations hidden, {len(draws)} of {recipe.draws} draws" + (
            f"; not done in all of them: {', '.join(lacking)}" if lacking else "") + "\n\n"
        files.replace_text(out / f"{name}.md", said + inference.as_markdown(scores), NEW_FOLDER)


def sums_of(recipe: GraphRecipe, out: Path, share: float, rows: list[str]) -> tuple[xr.Dataset, int]:
    """Sums of some rows over the draws in which all of them are done, and the number of these.

    Raises
    ------
    UserError : where there is no such draw.
    """
    if not (draws := _draws_done(recipe, out, share, rows)):
        raise UserError(f"No draw of {100 * share:.0f} % has all of {'; '.join(rows)}.",
                        f"The rows are {'; '.join(recipe.rows)}; those that are done lie in {out}.",
                        f"Run `aqreanalysis train` with the recipe {recipe.name} first.")
    return statistics.add([_sums(recipe, out, draw, rows) for draw in draws]), len(draws)


def _draws_done(recipe: GraphRecipe, out: Path, share: float, rows: list[str]) -> list[Draw]:
    """The draws of a share in which some rows are done."""
    return [draw for draw in draws_of(recipe)
            if draw.share == share and all(_is_done(recipe, out, row, draw) for row in rows)]


def _is_done(recipe: GraphRecipe, out: Path, row: str, draw: Draw) -> bool:
    return row in recipe.rows and GraphJob(recipe, out, row, draw).done


def _sums(recipe: GraphRecipe, out: Path, draw: Draw, rows: list[str]) -> xr.Dataset:
    """Sums of some rows of a draw."""
    data = load_data(recipe, out, draw)
    hours, asked = data.hours("test"), data.asked
    estimates = {row: np.load(GraphJob(recipe, out, row, draw).folder / ESTIMATE) for row in rows}
    speed = None
    if set(WIND) <= set(recipe.weather):
        here = data.weather.isel(station=data.hidden).sel(time=hours)
        speed = np.hypot(*(here[name].values for name in WIND))
    strata = inference.strata_of(hours, loneliest(data), speed, recipe.windy)
    truth = asked[schema.TARGET].sel(time=hours).values
    return inference.inference_sums(truth, estimates, hours, asked.station.values, strata)
