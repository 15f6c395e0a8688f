"""`aqreanalysis train`: from a recipe to a run folder with a checkpoint.

A run folder holds the recipe as read and the checkpoint, which holds the networks of folds. What is withheld, and a
fold's stations for its network, is taken out before anything is fitted. A run that was stopped goes on with the
networks that are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aqreanalysis.models import checkpoint
from aqreanalysis.observations.inventory import Inventory
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.training.analysis_data import AnalysisData, load_analysis_data
from aqreanalysis.training.analysis_run import missing_covariates, network_sizes, parts_of, train_part
from aqreanalysis.training.cross_fit import asked_networks, calibration_of, cross_fit, facts_of
from aqreanalysis.training.run_folder import refuse_occupied, refuse_other_recipe, write_recipe
from aqreanalysis.workers import run_jobs


def train(recipe: TrainingRecipe, out: Path, report: Callable[[str], None] = lambda text: None,
          warn: Callable[[list[str]], None] = lambda texts: None,
          tell: Callable[[Inventory], None] = lambda found: None, workers: int = 1) -> Path:
    """Train by a recipe into the folder `out`; returns the checkpoint's folder.

    The main network is trained on all stations that are not withheld, and one network a fold without the fold's
    cities. From the estimates of these at their stations come the calibration and the scores.

    Parameters
    ----------
    report : gets a sentence after each network, and at the end.
    warn : gets sentences on what is withheld besides what the recipe names, and on covariates without a value.
    tell : gets what of the observations is used, what is not and what is strange in them, before anything is computed.
    workers : processes, each of which trains a network.
    """
    refuse_other_recipe(recipe, out)
    network_sizes(recipe)
    data = load_analysis_data(recipe, warn, tell=tell)
    warn(missing_covariates(recipe, data))
    write_recipe(recipe, out)
    folder = out / recipe.name
    parts = parts_of(data, folder)
    for name, seconds in run_jobs(train_part, parts, workers, shared=data):
        report(f"{name}: {'there already' if not seconds else f'trained in {seconds / 60:.1f} min'}")
    return _finish(data, parts[0].folder, folder, report, workers)


def recalibrate(recipe: TrainingRecipe, name: str | Path, out: Path,
                report: Callable[[str], None] = lambda text: None,
                warn: Callable[[list[str]], None] = lambda texts: None,
                tell: Callable[[Inventory], None] = lambda found: None, workers: int = 1) -> Path:
    """A checkpoint (name or folder) calibrated again at the stations of its recipe; same networks.

    Writes a checkpoint of the same name into the folder `out` and returns its folder.
    """
    refuse_occupied(out, "calibration")
    main = checkpoint.locate(name)
    model, card = checkpoint.load(main)
    data = load_analysis_data(recipe, warn, card, tell)
    folder = out / card.name
    for fold in range(len(card.analysis.folds)):
        of_fold, described = checkpoint.load(main, fold=fold)
        checkpoint.save(checkpoint.fold_folder(folder, fold), of_fold.network, described)
    return _finish(data, main, folder, report, workers)


def _finish(data: AnalysisData, main: Path, folder: Path, report: Callable[[str], None], workers: int) -> Path:
    """Calibrate, and write the main network's checkpoint beside those of the folds."""
    model, card = checkpoint.load(main)
    found = cross_fit(data, asked_networks(data, main, folder), lambda function, jobs, shared: run_jobs(
        function, jobs, workers, shared=shared))
    scores, memory_hours = facts_of(found)
    for row in scores:
        report(f"{row['design']}, {row['frequency']}: MAE {row['MAE']:.2f}, skill over kriging "
               f"{row['skill_percent']:+.1f} %, bias {row['NMB_percent']:+.1f} %")
    identities = [checkpoint.read_card(checkpoint.fold_folder(folder, fold)).identity
                  for fold in sorted({fold for fold in data.folds.values() if fold >= 0})]
    facts = replace(card.analysis, error_memory_hours=memory_hours, folds=identities)
    return checkpoint.save(folder, model.network, replace(
        card, analysis=facts, scores={"held_out_stations": scores}, calibration=calibration_of(data, found).asdict()))
