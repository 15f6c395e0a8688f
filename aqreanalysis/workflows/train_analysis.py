"""`aqreanalysis train`: from a recipe to a run folder with a checkpoint.

A run folder holds the recipe as read, validation.csv and the checkpoint, which is written again at each validation
that is the best so far. Withheld stations and weeks are taken out before anything is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.observations.inventory import Inventory
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.training.analysis_data import load_analysis_data
from aqreanalysis.training.analysis_run import AnalysisRun, make_trainer, network_sizes
from aqreanalysis.training.calibration import calibrate
from aqreanalysis.training.loop import Validation
from aqreanalysis.training.run_folder import refuse_occupied
from aqreanalysis.training.shrinkage import shrink_analysis


def train(recipe: TrainingRecipe, out: Path, report: Callable[[Validation, pd.DataFrame], None],
          warn: Callable[[list[str]], None] = lambda texts: None,
          tell: Callable[[Inventory], None] = lambda found: None) -> Path:
    """Train by a recipe into the folder `out`; returns the checkpoint's folder.

    Training keeps the step with the lowest validation error; of what was learned until then, the share that serves
    best at the validation stations is kept; then the errors are calibrated.

    Parameters
    ----------
    report : gets each validation and its table of scores.
    warn : gets sentences on what is withheld besides what the recipe names.
    tell : gets what of the observations is used, what is not and what is strange in them, before anything is computed.
    """
    refuse_occupied(out, "training")
    _refuse_covariates(recipe)
    sizes = network_sizes(recipe)
    data = load_analysis_data(recipe, warn, tell=tell)
    trainer = make_trainer(recipe, sizes, data)
    run = AnalysisRun(recipe, data, trainer, out, report)
    best = trainer.run(run.validate, run.record)
    shrunk = shrink_analysis(trainer, best.network, data)
    calibration = calibrate(trainer.model_of(shrunk.network), data.validation, data.split, data.validation_days,
                            duplicates=data.duplicates)
    return run.save(shrunk.network, shrunk.scores, shrunk.facts, calibration)


def recalibrate(recipe: TrainingRecipe, name: str | Path, out: Path,
                report: Callable[[str], None] = lambda text: None,
                warn: Callable[[list[str]], None] = lambda texts: None,
                tell: Callable[[Inventory], None] = lambda found: None) -> Path:
    """A checkpoint (name or folder) calibrated again at the validation stations of its recipe; same network.

    Writes a checkpoint of the same name into the folder `out` and returns its folder.
    """
    refuse_occupied(out, "calibration")
    _refuse_covariates(recipe)
    model, card = checkpoint.load(checkpoint.locate(name))
    data = load_analysis_data(recipe, warn, card, tell)
    calibration = calibrate(model, data.validation, data.split, data.validation_days, report, data.duplicates)
    return checkpoint.save(out / card.name, model.network, replace(card, calibration=calibration.asdict()))


def _refuse_covariates(recipe: TrainingRecipe) -> None:
    """A UserError for covariates, which no network reads yet: a recipe's key that is passed over would be believed."""
    if recipe.covariates.names:
        raise UserError(f"The recipe {recipe.name} has covariates ({', '.join(recipe.covariates.names)}).",
                        "The networks of this version read none.", "Take the key `covariates` out of it.")
