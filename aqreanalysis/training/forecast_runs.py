"""The trainings of a forecast recipe and their run folder: every row of its tables, every configuration, every seed.

A run folder holds the recipe, a folder for each training and runs.csv, a line for each. The first seed chooses among a
row's configurations by the validation slice; the others train the chosen one; rows that are like another take its
choice.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.checkpoint import FORECAST_TASK
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast.forecaster import NO_WEATHER
from aqreanalysis.models.forecast.series import NO_TREND
from aqreanalysis.recipes import ForecastModel, ForecastRecipe, ForecastTraining, first_problem
from aqreanalysis.training import forecast_data
from aqreanalysis.training.forecast import fit_forecaster
from aqreanalysis.training.run_folder import RECIPE_FILE, recipe_text, refuse_occupied, write_recipe

RUN_COLUMNS = ("row", "model", "configuration", "seed", "chosen", "validation", "steps", "seconds", "options",
               "settings")
MAY_DIFFER = ("models", "seeds", "leads", "test_every")  # keys of a recipe that do not change what is trained already
TRAIN_AGAIN = ("choose another folder with --out; then give the same command again: it continues with the first "
               "training that is missing.")
ERROR_DIGITS, VALIDATION_DIGITS, LOG_DIGITS = 4, 5, 4  # in a forecaster's description


@dataclass(frozen=True)
class ForecastJob:
    """One training: a row of a recipe's tables, one of its configurations, a seed."""

    recipe: ForecastRecipe
    out: Path
    row: str
    configuration: int
    seed: int

    @property
    def folder(self) -> Path:
        """`lstm-c0-s1`: row, configuration, seed."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.row.lower()).strip("-")
        return self.out / f"{slug}-c{self.configuration}-s{self.seed}"

    @property
    def done(self) -> bool:
        """Whether the training has ended: a checkpoint's card is written last."""
        return checkpoint.has_card(self.folder)

    @property
    def withheld(self) -> bool:
        """Whether the withheld stations are not read."""
        return self.recipe.models[self.row].withheld

    @property
    def reads_weather(self) -> bool:
        """Whether the row reads the weather of the recipe."""
        return self.recipe.models[self.row].weather and kinds.reads_weather(self.kind)

    @property
    def kind(self) -> str:
        """The kind of the model, of models.forecast.kinds."""
        return kind_of_row(self.recipe, self.row)

    @property
    def options(self) -> dict:
        """Options of the model."""
        return {key: value for key, value in self._given.items() if key not in ForecastTraining.model_fields}

    @property
    def settings(self) -> ForecastTraining:
        """Settings of the training: the recipe's, but for those that the configuration names."""
        named = {key: value for key, value in self._given.items() if key in ForecastTraining.model_fields}
        try:
            return ForecastTraining.model_validate(self.recipe.training.model_dump() | named)
        except ValidationError as error:
            raise UserError(f"Configuration {self.configuration} of the row {self.row}: "
                            f"{first_problem(error, ForecastTraining)}",
                            "What it names of `training` must be as it is there.", "Correct the recipe.") from error

    @property
    def _given(self) -> dict:
        row = self.recipe.models[self.row]
        return source_of_row(self.recipe, self.row).configurations[self.configuration] | row.change


def source_of_row(recipe: ForecastRecipe, row: str) -> ForecastModel:
    """The row itself, or the one that it is like: whose model and configurations it has."""
    return recipe.models[recipe.models[row].like or row]


def kind_of_row(recipe: ForecastRecipe, row: str) -> str:
    """The kind of a row's model, of models.forecast.kinds."""
    kind = source_of_row(recipe, row).model
    assert kind is not None  # a row that is like no other has a model
    return kind


def configuration_jobs(recipe: ForecastRecipe, out: Path, row: str) -> list[ForecastJob]:
    """The trainings that choose a row's configuration: all of them with the first seed, of the row that it is like."""
    source = recipe.models[row].like or row
    return [ForecastJob(recipe, out, source, number, recipe.seeds[0])
            for number in range(len(recipe.models[source].configurations))]


def seed_jobs(recipe: ForecastRecipe, out: Path, row: str) -> list[ForecastJob]:
    """A row's chosen configuration with all seeds, or with the first alone where nothing random is in the model.

    Empty while a training that chooses is missing.
    """
    if not all(job.done for job in configuration_jobs(recipe, out, row)):
        return []
    number = chosen_configuration(recipe, out, row)
    seeds = recipe.seeds if kinds.fitted_by(kind_of_row(recipe, row)) == "steps" else recipe.seeds[:1]
    return [ForecastJob(recipe, out, row, number, seed) for seed in seeds]


def chosen_configuration(recipe: ForecastRecipe, out: Path, row: str) -> int:
    """The configuration of a row, or of the row that it is like, with the lowest validation error."""
    cards = [checkpoint.read_card(job.folder, FORECAST_TASK) for job in configuration_jobs(recipe, out, row)]
    return min((card.forecast for card in cards), key=lambda facts: facts.validation).configuration


def check_forecast_recipe(recipe: ForecastRecipe) -> None:
    """Check every model, option and setting of a recipe before anything long; a UserError names what is wrong."""
    for name, row in recipe.models.items():
        kind = kind_of_row(recipe, name)
        if kind not in kinds.FORECAST_KINDS:
            raise UserError(f"The row {name} has the model {kind!r}.",
                            f"Models are {', '.join(kinds.FORECAST_KINDS)}.", "Correct the recipe.")
        if row.withheld and not recipe.withheld_share:
            raise UserError(f"The row {name} is of withheld stations, and withheld_share is 0.",
                            "Withheld stations are a share of all.", "Give withheld_share, as 0.15.")
        for number in range(len(source_of_row(recipe, name).configurations)):
            _check_job(ForecastJob(recipe, Path(), name, number, 0))


def _check_job(job: ForecastJob) -> None:
    """A UserError where the settings, an option or the number of blocks of one configuration is wrong."""
    from aqreanalysis.models.aqnet.forecast import AQNetForecast

    recipe = job.recipe
    _ = job.settings
    try:
        network = kinds.make(job.kind, recipe.history, recipe.horizon, (0.0, 1.0), job.options,
                             len(recipe.weather) * job.reads_weather)
    except ValueError as error:
        raise UserError(f"Configuration {job.configuration} of the row {job.row}: {error}.",
                        "Known weather is read in means of a whole part of the horizon.",
                        "Correct `weather_every`.") from error
    blocks = network.sizes.blocks if isinstance(network, AQNetForecast) else 1
    if recipe.horizon % (blocks * recipe.mean_hours):
        raise UserError(f"The row {job.row} cuts {recipe.horizon} h into {blocks} blocks.",
                        f"A block of leads is a whole number of means over {recipe.mean_hours} h.",
                        "Give another number of blocks.")


def claim_run_folder(recipe: ForecastRecipe, out: Path) -> None:
    """Write the recipe into its run folder; a UserError where another one, or something else, is there."""
    path = out / RECIPE_FILE
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        now = yaml.safe_load(recipe_text(recipe))
        # rows may be added; those that are there must have been trained with the same settings
        differing = [key for key in now if key not in MAY_DIFFER and before.get(key) != now[key]]
        differing += [f"models.{name}" for name, row in before.get("models", {}).items()
                      if name in now["models"] and now["models"][name] != row]
        if differing:
            raise UserError(f"{out} was begun with another recipe; what differs: {', '.join(differing)}.",
                            "A run folder is of one recipe.", "Give another folder with --out, or remove this one.")
    else:
        refuse_occupied(out, "training")
    write_recipe(recipe, out, TRAIN_AGAIN)


def train_forecaster(job: ForecastJob) -> str:
    """Train and store one model; returns a sentence on the result."""
    recipe, settings = job.recipe, job.settings
    data = forecast_data.of_recipe(recipe)
    scaler = data.scaler(job.withheld)
    trend = data.trend(job.withheld) if recipe.trend else NO_TREND
    weather = data.weather_inputs() if job.reads_weather else NO_WEATHER
    began = time.monotonic()
    fitted = fit_forecaster(job.kind, job.options, data.series(job.withheld, scaler, trend, weather), scaler, trend,
                            data.slices, forecast_data.task_of(recipe), settings, job.seed, recipe.k, weather)
    seconds = time.monotonic() - began
    hours = data.cube.time.values.astype("datetime64[h]").astype(str)
    facts = checkpoint.ForecastFacts(
        history=recipe.history, horizon=recipe.horizon, trend=asdict(trend),
        error=[round(float(error), ERROR_DIGITS) for error in np.asarray(fitted.forecaster.error)],
        configuration=job.configuration, seed=job.seed, validation=round(fitted.validation, VALIDATION_DIGITS),
        weather=weather.asdict())
    training = {"source": data.source, "fingerprint": data.fingerprint,
                "stations": data.visible(job.withheld).sizes["station"],
                "train": [hours[0], hours[data.slices.train - 1]],
                "validate": [hours[data.slices.train], hours[data.slices.validate - 1]],
                "settings": settings.model_dump(), "steps": fitted.steps, "seconds": round(seconds, 1),
                "log": [[step, round(error, LOG_DIGITS)] for step, error in fitted.log]}
    checkpoint.save(job.folder, fitted.forecaster.network, checkpoint.Card(
        name=job.row, kind=f"{job.kind}-{FORECAST_TASK}", created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=job.options, scaler=asdict(scaler), k=recipe.k, training=training,
        withheld={"test_single": list(data.withheld) if job.withheld else []},
        versions=files.package_versions("aqreanalysis", "torch"), forecast=facts))
    return (f"{job.row}, configuration {job.configuration}, seed {job.seed}: "
            f"validation MAE {fitted.validation:.2f}, {fitted.steps} steps, {seconds:.0f} s")


def write_runs(recipe: ForecastRecipe, out: Path) -> None:
    """runs.csv, a line for each training that is done; whole or not there."""
    lines = []
    for row in recipe.models:
        chosen = seed_jobs(recipe, out, row)
        numbers = range(len(source_of_row(recipe, row).configurations))
        for job in (ForecastJob(recipe, out, row, number, seed) for number in numbers for seed in recipe.seeds):
            if job.done:
                card = checkpoint.read_card(job.folder, FORECAST_TASK)
                facts, training = card.forecast, card.training
                lines.append([card.name, card.model, facts.configuration, facts.seed, job in chosen, facts.validation,
                              training["steps"], training["seconds"], card.network, training["settings"]])
    with files.whole(out / "runs.csv", TRAIN_AGAIN) as part, part.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([RUN_COLUMNS, *lines])
