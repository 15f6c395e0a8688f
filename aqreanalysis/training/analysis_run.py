"""The networks of one training recipe for analysis, each a job: the main one and those of the folds."""

from __future__ import annotations

import csv
import datetime as dt
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import CovariateSources, Standardisation, missing_values
from aqreanalysis.models import checkpoint
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS, MARGIN_HOURS, StaticCovariates
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.training.analysis import AnalysisTrainer
from aqreanalysis.training.analysis_data import AnalysisData

if TYPE_CHECKING:
    import xarray as xr

    from aqreanalysis.models.aqnet.network import AnalysisSizes

ANALYSIS_KIND = "aqnet-analysis"
LOG = "training.csv"


def network_sizes(recipe: TrainingRecipe) -> AnalysisSizes:
    """The sizes of a recipe's network; a UserError names a key that the network does not have."""
    from aqreanalysis.models.aqnet.network import AnalysisSizes

    known = [field.name for field in fields(AnalysisSizes) if field.name != "covariates"]
    unknown = sorted(set(recipe.network) - set(known))
    if unknown:
        raise UserError(f"The recipe {recipe.name} has unknown keys in network: {', '.join(unknown)}.",
                        f"Known keys: {', '.join(known)}.", "Correct the recipe.")
    given: dict[str, Any] = dict(recipe.network)
    return AnalysisSizes(**given, covariates=len(recipe.covariates.names))


@dataclass(frozen=True)
class Part:
    """A network to be trained, the main one (None) or a fold's, into a folder; its checkpoint is not calibrated."""

    fold: int | None
    folder: Path

    @property
    def name(self) -> str:
        return "main network" if self.fold is None else f"fold {self.fold}"


def parts_of(data: AnalysisData, folder: Path) -> list[Part]:
    """All networks of a recipe, whose checkpoint is to be `folder`, main one first."""
    folds = sorted({fold for fold in data.folds.values() if fold >= 0})
    return [Part(None, folder.with_name(f"{folder.name}-uncalibrated")),
            *(Part(fold, checkpoint.fold_folder(folder, fold)) for fold in folds)]


def fitted_covariates(recipe: TrainingRecipe, cube: xr.Dataset) -> StaticCovariates | None:
    """The recipe's covariates, standardised on the stations of a cube; None where it has none."""
    if not recipe.covariates.names:
        return None
    sources = CovariateSources(recipe.covariates)
    values = sources.at(cube.lat.values, cube.lon.values)
    return StaticCovariates(sources, Standardisation.fit(values, recipe.covariates.transforms))


def missing_covariates(recipe: TrainingRecipe, data: AnalysisData) -> list[str]:
    """Sentences on training stations for which a covariate has no value."""
    table = data.table[data.table.station_id.isin(data.split.train)]
    if not recipe.covariates.names:
        return []
    values = CovariateSources(recipe.covariates).at(table.lat.to_numpy(), table.lon.to_numpy())
    return missing_values(values, list(table.station_id))


def train_part(data: AnalysisData, part: Part) -> tuple[str, float]:
    """Train a network and write its checkpoint; its name, and the seconds that it took.

    One that is there already stays as it is: a training that was stopped goes on with the networks that are missing.
    """
    from aqreanalysis.models.aqnet.network import AQNet

    if checkpoint.has_card(part.folder):
        return part.name, 0.0
    began, recipe = time.monotonic(), data.recipe
    cube = data.cube(data.held_out(part.fold))
    covariates = fitted_covariates(recipe, cube)
    trainer = AnalysisTrainer(cube, data.days, recipe.training, AQNet, network_sizes(recipe), covariates,
                              data.duplicates, data.city(cube.station.values))
    part.folder.mkdir(parents=True, exist_ok=True)
    with (part.folder / LOG).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("step", "loss", "minutes"))
        network = trainer.run(lambda step, loss: writer.writerow((step, f"{loss:.5f}", _minutes_since(began))))
    seconds = time.monotonic() - began
    checkpoint.save(part.folder, network, card_of(data, part.fold, trainer, seconds))
    return part.name, seconds


def _minutes_since(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.1f}"


def card_of(data: AnalysisData, fold: int | None, trainer: AnalysisTrainer, seconds: float) -> checkpoint.Card:
    """The description of a network that has just been trained."""
    recipe, split = data.recipe, data.split
    places = data.table.set_index("station_id")
    stations = [[station, round(float(places.lat[station]), 5), round(float(places.lon[station]), 5),
                 data.folds[station]] for station in data.stations_of(fold)]
    covariates = {} if trainer.covariates is None else trainer.covariates.standardisation.asdict() | {
        "sources": recipe.covariates.model_dump(mode="json")}
    facts = checkpoint.AnalysisFacts(asdict(trainer.correlation),
                                     {"margin_hours": MARGIN_HOURS, "context_hours": CONTEXT_HOURS}, 0.0, stations, [],
                                     covariates)
    return checkpoint.Card(
        name=recipe.name, kind=ANALYSIS_KIND, created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=trainer.network.sizes.asdict(), scaler={}, k=recipe.training.k, analysis=facts, variables=["pm25"],
        training={"source": data.source, "simulated": data.simulated, "fingerprint": data.fingerprint,
                  "start": recipe.start, "end": recipe.end, "stations": len(stations),
                  "every_nth_week_withheld": recipe.withheld.every_nth_week,
                  "settings": recipe.training.model_dump(), "steps": trainer.descent.steps_done,
                  "seconds": round(seconds)},
        withheld={name: list(getattr(split, name)) for name in
                  ("test_single", "test_city", "validation_single", "validation_city")},
        versions=files.package_versions("aqreanalysis", "torch"))
