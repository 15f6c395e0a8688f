"""`aqreanalysis train` with a forecast recipe: every row of its tables, every configuration, every seed.

A run folder holds the recipe, a folder for each training and runs.csv, a line for each. The first seed chooses among
a row's configurations by the validation slice; the others train the chosen one; rows that are like another take its
choice. A training that is there is not done again: give the same command to go on.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.checkpoint import FORECAST_TASK
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast.series import NO_TREND
from aqreanalysis.recipes import ForecastRecipe
from aqreanalysis.training import forecast_data as observations
from aqreanalysis.training.forecast import Settings, fit
from aqreanalysis.workers import run_jobs

COLUMNS = ("row", "model", "configuration", "seed", "chosen", "validation", "steps", "seconds", "options", "settings")
FIX = ("choose another folder with --out; then give the same command again: it continues with the first training "
       "that is missing.")


@dataclass(frozen=True)
class Job:
    """One training."""

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
    def source(self):
        """The row whose model and configurations this one has."""
        row = self.recipe.models[self.row]
        return self.recipe.models[row.like] if row.like else row

    @property
    def parts(self) -> tuple[str, dict, Settings]:
        """Kind, options of the model, settings of the training."""
        given = self.source.configurations[self.configuration] | self.recipe.models[self.row].change
        known = {field.name for field in fields(Settings)}
        settings = self.recipe.training.model_dump() | {key: value for key, value in given.items() if key in known}
        return (self.source.model, {key: value for key, value in given.items() if key not in known},
                Settings(**settings))

    @property
    def withheld(self) -> bool:
        return self.recipe.models[self.row].withheld


def train(recipe: ForecastRecipe, out: Path, workers: int = 1, report: Callable[[str], None] = lambda text: None,
          warn: Callable[[list[str]], None] = lambda texts: None) -> Path:
    """Do all that is not done yet of a recipe's trainings into the folder `out`; returns it."""
    check(recipe)
    _claim(recipe, out)
    warn(list(observations.of(recipe).warnings))
    first = [job for name, row in recipe.models.items() if not row.like for job in _tuning(recipe, out, name)]
    _run(first, recipe, out, workers, report)
    rest = [Job(recipe, out, name, chosen(recipe, out, name), seed) for name in recipe.models
            for seed in seeds_of(recipe, name)]
    _run([job for job in rest if job not in first], recipe, out, workers, report)
    return out


def check(recipe: ForecastRecipe) -> None:
    """Every model and option of a recipe, before anything long: a UserError names what is wrong."""
    for name, row in recipe.models.items():
        source = recipe.models[row.like] if row.like else row
        if source.model not in kinds.FORECAST_KINDS:
            raise UserError(f"The row {name} has the model {source.model!r}.",
                            f"Models are {', '.join(kinds.FORECAST_KINDS)}.", "Mend the recipe.")
        if row.withheld and not recipe.withheld_share:
            raise UserError(f"The row {name} is of withheld stations, and withheld_share is 0.",
                            "Withheld stations are a share of all.", "Give withheld_share, as 0.15.")
        for number in range(len(source.configurations)):
            kind, options, _ = Job(recipe, Path(), name, number, 0).parts
            network = kinds.make(kind, recipe.history, recipe.horizon, (0.0, 1.0), options)
            blocks = network.sizes.blocks if kind == "aqnet" else 1
            if recipe.horizon % (blocks * recipe.mean_hours):
                raise UserError(f"The row {name} cuts {recipe.horizon} h into {blocks} blocks.",
                                f"A block of leads is a whole number of means over {recipe.mean_hours} h.",
                                "Give another number of blocks.")


def _claim(recipe: ForecastRecipe, out: Path) -> None:
    """Write the recipe into its folder; a UserError where another one lies there."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    path = out / "recipe.yaml"
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        now = yaml.safe_load(text)
        # rows may be added; what is there must have been trained by the same rules
        differing = [key for key in now if key not in ("models", "seeds", "leads", "test_every")
                     and before.get(key) != now[key]]
        differing += [f"models.{name}" for name, row in before.get("models", {}).items()
                      if name in now["models"] and now["models"][name] != row]
        if differing:
            raise UserError(f"{out} was begun with another recipe; what differs: {', '.join(differing)}.",
                            "A run folder is of one recipe.", "Give another folder with --out, or remove this one.")
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"The run folder {out} is not empty.", "A training gets a folder of its own.",
                        "Give another one with --out.")
    files.replace_text(path, text, FIX)


def _tuning(recipe: ForecastRecipe, out: Path, row: str) -> list[Job]:
    return [Job(recipe, out, row, number, recipe.seeds[0])
            for number in range(len(recipe.models[row].configurations))]


def seeds_of(recipe: ForecastRecipe, row: str) -> tuple[int, ...]:
    """All seeds, or the first alone for what nothing random is in."""
    source = recipe.models[recipe.models[row].like or row]
    return recipe.seeds if kinds.fitted_by(source.model) == "steps" else recipe.seeds[:1]


def chosen(recipe: ForecastRecipe, out: Path, row: str) -> int:
    """The configuration of a row, or of the row that it is like, with the lowest validation error."""
    source = recipe.models[row].like or row
    cards = [checkpoint.read_card(job.folder, FORECAST_TASK).forecast for job in _tuning(recipe, out, source)]
    return min(cards, key=lambda card: card.validation).configuration


def _run(jobs: Iterable[Job], recipe: ForecastRecipe, out: Path, workers: int, report: Callable[[str], None]) -> None:
    todo = [job for job in jobs if not checkpoint.has_card(job.folder)]
    for number, text in enumerate(run_jobs(run_job, todo, workers), start=1):
        report(f"{number} of {len(todo)}: {text}")
        write_runs(recipe, out)


def run_job(job: Job) -> str:
    """Train and store one model; a sentence of how it went."""
    data = observations.of(job.recipe)
    kind, options, settings = job.parts
    scaler = data.scaler(job.withheld)
    trend = data.trend(job.withheld) if job.recipe.trend else NO_TREND
    began = time.monotonic()
    fitted = fit(kind, options, data.series(job.withheld, scaler, trend), scaler, trend, data.slices,
                 observations.task_of(job.recipe), settings, job.seed, job.recipe.k)
    seconds = time.monotonic() - began
    hours = data.cube.time.values.astype("datetime64[h]").astype(str)
    facts = checkpoint.ForecastFacts(
        history=job.recipe.history, horizon=job.recipe.horizon, trend=asdict(trend),
        error=[round(float(value), 4) for value in fitted.forecaster.error], configuration=job.configuration,
        seed=job.seed, validation=round(fitted.validation, 5))
    training = {"source": data.source, "fingerprint": data.fingerprint,
                "stations": data.visible(job.withheld).sizes["station"],
                "train": [hours[0], hours[data.slices.train - 1]],
                "validate": [hours[data.slices.train], hours[data.slices.validate - 1]],
                "settings": asdict(settings), "steps": fitted.steps, "seconds": round(seconds, 1),
                "log": [[step, round(error, 4)] for step, error in fitted.log]}
    checkpoint.save(job.folder, fitted.forecaster.network, checkpoint.Card(
        name=job.row, kind=f"{kind}-{FORECAST_TASK}", created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=options, scaler=asdict(scaler), k=job.recipe.k, training=training,
        withheld={"test_single": list(data.withheld) if job.withheld else []},
        versions=files.package_versions("aqreanalysis", "torch"), forecast=facts))
    return (f"{job.row}, configuration {job.configuration}, seed {job.seed}: "
            f"validation MAE {fitted.validation:.2f}, {fitted.steps} steps, {seconds:.0f} s")


def write_runs(recipe: ForecastRecipe, out: Path) -> None:
    """runs.csv, a line for each training that is done; whole or not there."""
    lines = []
    for row in recipe.models:
        source = recipe.models[row].like or row
        numbers = range(len(recipe.models[source].configurations))
        ready = all(checkpoint.has_card(job.folder) for job in _tuning(recipe, out, source))
        best = chosen(recipe, out, row) if ready else None
        for job in (Job(recipe, out, row, number, seed) for number in numbers for seed in recipe.seeds):
            if checkpoint.has_card(job.folder):
                card = checkpoint.read_card(job.folder, FORECAST_TASK)
                facts, training = card.forecast, card.training
                lines.append([card.name, card.model, facts.configuration, facts.seed, job.configuration == best,
                              facts.validation, training["steps"], training["seconds"], card.network,
                              training["settings"]])
    with files.whole(out / "runs.csv", FIX) as part, part.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *lines])
