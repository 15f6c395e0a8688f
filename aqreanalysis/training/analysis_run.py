"""One training of a network for analysis and its run folder: recipe.yaml, validation.csv and the checkpoint."""

from __future__ import annotations

import csv
import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS, MARGIN_HOURS
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.training.analysis import AnalysisTrainer
from aqreanalysis.training.analysis_data import AnalysisData
from aqreanalysis.training.loop import Validation
from aqreanalysis.training.run_folder import write_recipe
from aqreanalysis.training.validation import TRAINED, ValidationScores, Validator, error_memory, step_error

if TYPE_CHECKING:
    from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet

ANALYSIS_KIND = "aqnet-analysis"
CARD_SCORE_DIGITS = 4  # of the scores in a checkpoint's description


def network_sizes(recipe: TrainingRecipe) -> AnalysisSizes:
    """The sizes of a recipe's network; a UserError names a key that the network does not have."""
    from aqreanalysis.models.aqnet.network import AnalysisSizes

    known = [field.name for field in fields(AnalysisSizes)]
    unknown = sorted(set(recipe.network) - set(known))
    if unknown:
        raise UserError(f"The recipe {recipe.name} has unknown keys in network: {', '.join(unknown)}.",
                        f"Known keys: {', '.join(known)}.", "Correct the recipe.")
    given: dict[str, Any] = dict(recipe.network)
    return AnalysisSizes(**given)


def make_trainer(recipe: TrainingRecipe, sizes: AnalysisSizes, data: AnalysisData) -> AnalysisTrainer:
    """An untrained network of these sizes, its weights drawn by the recipe's seed, and what trains it."""
    import torch

    from aqreanalysis.models.aqnet.network import AQNet

    torch.manual_seed(recipe.training.seed)
    return AnalysisTrainer(data.train, data.days, data.scaler(), recipe.training, AQNet(sizes),
                           duplicates=data.duplicates)


class AnalysisRun:
    """The run folder of one training: its recipe, its log of validations and the best checkpoint so far.

    `report` gets each validation and the table of scores at the validation stations.
    """

    def __init__(self, recipe: TrainingRecipe, data: AnalysisData, trainer: AnalysisTrainer, folder: Path,
                 report: Callable[[Validation, pd.DataFrame], None]):
        self._recipe, self._data, self._trainer, self._report = recipe, data, trainer, report
        self._folder, self._log = folder, folder / "validation.csv"
        self._validator = Validator(data)
        self._scores: ValidationScores | None = None
        self._began = time.monotonic()
        write_recipe(recipe, folder)

    def validate(self, network: AQNet) -> float:
        """The error by which the kept step is chosen, of the averaged network."""
        self._scores = self._validator.score({TRAINED: self._trainer.model_of(network)})
        return step_error(self._scores.table)

    def record(self, validation: Validation) -> None:
        """Write the checkpoint of a network that is the best so far, add the validation to the log, and report it."""
        assert self._scores is not None  # `validate` is called first
        if validation.improved:
            self.save(self._trainer.descent.average, self._scores)
        self._add_to_log(validation, self._scores.table)
        self._report(validation, self._scores.table)

    def _add_to_log(self, validation: Validation, table: pd.DataFrame) -> None:
        """Add a row for each model and group of stations, of hourly values, to validation.csv."""
        facts = {"step": validation.step, "loss": validation.loss, "validation": validation.error,
                 "best": validation.lowest, "seconds": validation.seconds}
        rows = [facts | row for row in table[table.frequency == "hourly"].to_dict("records")]
        new = not self._log.exists()
        with self._log.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            if new:
                writer.writeheader()
            writer.writerows(rows)

    def save(self, network: AQNet, scores: ValidationScores, finishing: Mapping[str, Any] | None = None,
             calibration: Calibration | None = None) -> Path:
        """Write the checkpoint as it is now; returns its folder."""
        recipe, data, trainer = self._recipe, self._data, self._trainer
        ours, split = scores.table[scores.table.model == TRAINED].drop(columns="model"), data.split
        facts = checkpoint.AnalysisFacts(asdict(trainer.correlation),
                                         {"margin_hours": MARGIN_HOURS, "context_hours": CONTEXT_HOURS},
                                         round(error_memory(scores.sums), 1))
        card = checkpoint.Card(
            name=recipe.name, kind=ANALYSIS_KIND, created=dt.datetime.now(dt.UTC).date().isoformat(),
            network=network.sizes.asdict(), scaler=asdict(trainer.scaler), k=recipe.training.k, analysis=facts,
            training={"source": data.source, "simulated": data.simulated, "fingerprint": data.fingerprint,
                      "start": recipe.start, "end": recipe.end, "stations": len(split.train),
                      "every_nth_week_withheld": recipe.withheld.every_nth_week,
                      "settings": recipe.training.model_dump(), "steps": trainer.descent.steps_done,
                      "seconds": round(time.monotonic() - self._began), "finishing": dict(finishing or {})},
            withheld={name: list(getattr(split, name)) for name in
                      ("test_single", "test_city", "validation_single", "validation_city")},
            versions=files.package_versions("aqreanalysis", "torch"),
            scores={"validation_stations": ours.round(CARD_SCORE_DIGITS).to_dict("records")},
            calibration=calibration.asdict() if calibration else {})
        return checkpoint.save(self._folder / recipe.name, network, card)
