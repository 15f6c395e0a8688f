"""`aqreanalysis train`: from a recipe to a run folder with a checkpoint.

A run folder holds the recipe as read, validation.csv and the checkpoint, which is written anew at
each validation that is the best so far. Withheld stations and weeks are out before anything is fitted.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

from aqreanalysis import __version__, clock, evaluation, quality, schema
from aqreanalysis.clock import HOUR, Period
from aqreanalysis.errors import UserError
from aqreanalysis.features import Scaler
from aqreanalysis.models import checkpoint
from aqreanalysis.models.aqnet import CONTEXT_HOURS, MARGIN_HOURS
from aqreanalysis.models.kriging import Kriging
from aqreanalysis.readers import open_archive
from aqreanalysis.readers.archive import none_good
from aqreanalysis.recipe import TrainingRecipe
from aqreanalysis.stations import Split, reporting, split_stations
from aqreanalysis.training import Settings, Trainer, run

TUNE_FIRST_DAY = 4
TUNE_EVERY_DAYS = 17  # validation looks at one day in so many: coprime to the week


@dataclass(frozen=True)
class Data:
    """The training slice and what tuning may look at; test stations are in neither."""

    train: xr.Dataset
    tune: xr.Dataset          # train and tuning stations
    split: Split
    days: np.ndarray          # that may be asked for in training and tuning
    fingerprint: str
    source: str
    simulated: bool


def train(recipe: TrainingRecipe, out: Path, report: Callable[[dict], None]) -> Path:
    """Train by a recipe into the folder `out`; returns the checkpoint's folder."""
    from aqreanalysis.models.nets import AQNet, Sizes

    if out.exists() and any(out.iterdir()):
        raise UserError(f"The run folder {out} is not empty.", "A training gets a folder of its own.",
                        "Give another one with --out.")
    data = load(recipe)
    settings = Settings(**recipe.training.model_dump())
    scaler = Scaler.fit(data.train.sel(time=_hours_of(data.train, data.days)))
    try:
        sizes = Sizes(**recipe.network)
    except TypeError as error:
        raise UserError(f"The recipe's key network is wrong: {error}.",
                        f"Known keys: {', '.join(Sizes.__dataclass_fields__)}.", "Mend the recipe.") from error
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    began = time.monotonic()
    import torch

    torch.manual_seed(settings.seed)
    trainer = Trainer(data.train, data.days, scaler, settings, AQNet(sizes))
    validator = Validator(data)
    log = _Log(out / "validation.csv", report)

    def validate(model) -> float:
        table, score, memory = validator.score(model)
        if score < log.best:
            log.best = score
            card = describe(recipe, data, trainer, memory, table, time.monotonic() - began)
            checkpoint.save(out / recipe.name, model.network, card)
        log.table = table
        return score

    run(trainer, validate, log.add)
    return out / recipe.name


def load(recipe: TrainingRecipe) -> Data:
    """Observations of the recipe's period, screened, without the test stations."""
    archive = open_archive(recipe.observations, recipe.stations)
    period = clock.parse_period(None, recipe.start, recipe.end)
    start, end = period.hours[0] - CONTEXT_HOURS * HOUR, period.hours[-1] + CONTEXT_HOURS * HOUR
    inspection = archive.inspect(period.hours[0], period.hours[-1])
    if not inspection.values:
        raise none_good(inspection, recipe.observations, f"{period.first} to {period.last}")
    cube = reporting(quality.usable(quality.screen(archive.read(start, end))))
    table = archive.stations[archive.stations["station_id"].isin(cube.station.values)]
    withheld = recipe.withheld
    split = split_stations(table, withheld.seed, withheld.share_single, withheld.share_city)
    if len(split.train) < 2 * recipe.training.k:
        raise UserError(f"{len(split.train)} stations are left for training.",
                        f"Training needs at least {2 * recipe.training.k}.", "Withhold fewer, or use a larger network.")
    days = training_days(period, withheld.every_nth_week)
    if not split.tune or len(days) <= TUNE_FIRST_DAY:
        raise UserError(f"{len(split.tune)} stations and {len(days)} days are left for tuning.",
                        f"Tuning needs withheld stations and over {TUNE_FIRST_DAY} days outside withheld weeks.",
                        "Withhold more stations (share_single, share_city) or choose a longer period.")
    return Data(cube.sel(station=list(split.train)), cube.sel(station=list(split.train + split.tune)), split,
                days, inspection.fingerprint, archive.source,
                archive.simulated)


def training_days(period: Period, every_nth_week: int) -> np.ndarray:
    """The days, datetime64[D], outside the withheld weeks; weeks are counted from 1970-01-01."""
    days = np.array(period.days(), "datetime64[D]")
    return days[~clock.withheld_weeks(days, every_nth_week)]


def _hours_of(cube: xr.Dataset, days: np.ndarray) -> np.ndarray:
    time_axis = cube.time.values
    return time_axis[np.isin(clock.local_days(time_axis), days)]


class Validator:
    """Scores at the tuning stations on some days, beside kriging's, from the same visible stations."""

    def __init__(self, data: Data):
        self.cube = data.tune
        self.groups = {"single stations": list(data.split.tune_single), "whole cities": list(data.split.tune_city)}
        self.stations = list(data.split.tune)
        self.days = data.days[TUNE_FIRST_DAY::TUNE_EVERY_DAYS]
        self.kriging = Kriging()

    def score(self, model):
        """Table of scores, the number to minimise, and the memory of the error in hours."""
        parts = []
        for day in self.days:
            hours = clock.hours_of_days(day.item(), day.item())
            parts.append(evaluation.month_statistics({"kriging": self.kriging, "AQ-Net": model}, self.cube,
                                                     self.stations, hours))
        sums = evaluation.add(parts)
        table = evaluation.metrics(sums, self.groups)
        errors = table.pivot(index=["group", "frequency"], columns="model", values=["MAE", "RMSE"])
        ratios = errors.xs("AQ-Net", axis=1, level=1) / errors.xs("kriging", axis=1, level=1)
        return table, float(ratios.to_numpy().sum()), error_memory(sums)


def error_memory(sums: xr.Dataset) -> float:
    """e-folding time in hours with which the ratio of daily to hourly squared error is explained."""
    from scipy.optimize import brentq

    total = sums.sel(model="AQ-Net").sum("station")
    mean = total.error_squared / np.maximum(total.n, 1)
    ratio = float(mean.sel(frequency="daily") / mean.sel(frequency="hourly"))
    lag = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    share = lambda memory: np.exp(-lag / memory).mean() - ratio  # noqa: E731
    return float(brentq(share, 0.05, 500.0)) if share(0.05) < 0 < share(500.0) else 24.0


class _Log:
    """validation.csv, a row for each validation, group and model."""

    def __init__(self, path: Path, report: Callable[[dict], None]):
        self.path, self.report, self.best, self.table = path, report, np.inf, None

    def add(self, facts: dict) -> None:
        rows = [facts | row for row in self.table[self.table.frequency == "hourly"].to_dict("records")]
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            if new:
                writer.writeheader()
            writer.writerows(rows)
        self.report(facts | {"table": self.table})


def describe(recipe: TrainingRecipe, data: Data, trainer: Trainer, memory: float, table, seconds: float):
    """The card of the checkpoint as it is now."""
    import datetime as dt
    from dataclasses import asdict
    from importlib.metadata import version

    ours = table[(table.model == "AQ-Net")].drop(columns="model")
    return checkpoint.Card(
        name=recipe.name, kind=checkpoint.KINDS[0], created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=trainer.network.sizes.asdict(), scaler=asdict(trainer.scaler),
        correlation=asdict(trainer.correlation), k=trainer.settings.k, variables=list(schema.POLLUTANTS),
        window={"margin_hours": MARGIN_HOURS, "context_hours": CONTEXT_HOURS},
        training={"source": data.source, "simulated": data.simulated, "fingerprint": data.fingerprint,
                  "start": recipe.start, "end": recipe.end, "stations": len(data.split.train),
                  "every_nth_week_withheld": recipe.withheld.every_nth_week, "settings": asdict(trainer.settings),
                  "steps": trainer.steps_done, "seconds": round(seconds)},
        withheld={"test_single": list(data.split.test_single), "test_city": list(data.split.test_city),
                  "tune_single": list(data.split.tune_single), "tune_city": list(data.split.tune_city)},
        error_memory_hours=round(memory, 1), versions={"aqreanalysis": __version__, "torch": version("torch")},
        scores={"tuning_stations": ours.round(4).to_dict("records")})
