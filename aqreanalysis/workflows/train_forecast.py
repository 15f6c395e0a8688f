"""`aqreanalysis train` with a forecast recipe: every row of its tables, every configuration, every seed.

A training that is done is not done again: give the same command again to continue. What a run folder holds, and how a
configuration is chosen, is in training/forecast_runs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from aqreanalysis.observations.inventory import Inventory
from aqreanalysis.recipes import ForecastRecipe
from aqreanalysis.training import forecast_data
from aqreanalysis.training.forecast_runs import (
    ForecastJob,
    check_forecast_recipe,
    claim_run_folder,
    configuration_jobs,
    seed_jobs,
    train_forecaster,
    write_runs,
)
from aqreanalysis.workers import run_jobs


def train_forecasts(recipe: ForecastRecipe, out: Path, workers: int = 1,
                    report: Callable[[str], None] = lambda text: None,
                    warn: Callable[[list[str]], None] = lambda texts: None,
                    tell: Callable[[Inventory], None] = lambda found: None) -> Path:
    """Do those of a recipe's trainings that are not done yet, into the folder `out`; returns it.

    Parameters
    ----------
    report : gets a sentence on each training.
    warn : gets sentences on what is withheld besides what the recipe names.
    tell : gets what of the observations is used, what is not and what is strange in them, before anything is computed.
    """
    check_forecast_recipe(recipe)
    claim_run_folder(recipe, out)
    warnings = list(forecast_data.of_recipe(recipe).warnings)
    tell(forecast_data.inventory_of_recipe(recipe))
    warn(warnings)
    first = [job for row, model in recipe.models.items() if not model.like
             for job in configuration_jobs(recipe, out, row)]
    _train_all(first, recipe, out, workers, report)
    rest = [job for row in recipe.models for job in seed_jobs(recipe, out, row) if job not in first]
    _train_all(rest, recipe, out, workers, report)
    return out


def _train_all(jobs: Iterable[ForecastJob], recipe: ForecastRecipe, out: Path, workers: int,
               report: Callable[[str], None]) -> None:
    """Do the jobs that are not done, and write runs.csv after each."""
    todo = [job for job in jobs if not job.done]
    for number, text in enumerate(run_jobs(train_forecaster, todo, workers), start=1):
        report(f"{number} of {len(todo)}: {text}")
        write_runs(recipe, out)
