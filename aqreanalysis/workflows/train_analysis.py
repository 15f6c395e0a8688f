"""`aqreanalysis train`: from a recipe to a run folder with a checkpoint.

A run folder holds the recipe as read, validation.csv and the checkpoint, which is written anew at
each validation that is the best so far. Withheld stations and weeks are out before anything is fitted.
"""

from __future__ import annotations

import copy
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

from aqreanalysis import __version__, evaluation, files, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS, MARGIN_HOURS
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.features import Scaler
from aqreanalysis.observations import checks, quality, screening
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import none_good
from aqreanalysis.observations.stations import Split, reporting, split_stations
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.time_axis import HOUR, Period
from aqreanalysis.training.analysis import Settings, Trainer, mean_shift, run
from aqreanalysis.training.calibration import calibrate

VALIDATION_FIRST_DAY = 4
FINISH_EVERY_DAYS = 8
SHARES = (0.0, 0.5, 1.0)
VALIDATION_EVERY_DAYS = 17  # validation looks at one day in so many: coprime to the week


@dataclass(frozen=True)
class Data:
    """The training slice and what validation may look at; test stations are in neither."""

    train: xr.Dataset
    validation: xr.Dataset    # train and validation stations
    split: Split
    days: np.ndarray          # that may be asked for in training and validation
    fingerprint: str
    source: str
    simulated: bool


def train(recipe: TrainingRecipe, out: Path, report: Callable[[dict], None],
          warn: Callable[[list[str]], None] = lambda texts: None) -> Path:
    """Train by a recipe into the folder `out`; returns the checkpoint's folder."""
    from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet

    if out.exists() and any(out.iterdir()):
        raise UserError(f"The run folder {out} is not empty.", "A training gets a folder of its own.",
                        "Give another one with --out.")
    data = load(recipe, warn)
    settings = Settings(**recipe.training.model_dump())
    scaler = Scaler.fit(data.train.sel(time=_hours_of(data.train, data.days)))
    try:
        sizes = AnalysisSizes(**recipe.network)
    except TypeError as error:
        raise UserError(f"The recipe's key network is wrong: {error}.",
                        f"Known keys: {', '.join(AnalysisSizes.__dataclass_fields__)}.", "Mend the recipe.") from error
    out.mkdir(parents=True, exist_ok=True)
    files.replace_text(out / "recipe.yaml", yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    began = time.monotonic()
    import torch

    torch.manual_seed(settings.seed)
    trainer = Trainer(data.train, data.days, scaler, settings, AQNet(sizes))
    validator = Validator(data)
    log = _Log(out / "validation.csv", report)

    def validate(model) -> float:
        sums, log.table = validator.score({"AQ-Net": model})
        score = step_score(log.table)
        if score < log.best:
            log.best = score
            card = describe(recipe, data, trainer, sums, log.table, time.monotonic() - began, {})
            checkpoint.save(out / recipe.name, model.network, card)
        return score

    state = run(trainer, validate, log.add)
    network, finishing, sums, table = finish(trainer, state, data)
    calibration = calibrate(trainer.model_of(network), data.validation, data.split, data.days[VALIDATION_FIRST_DAY:])
    card = describe(recipe, data, trainer, sums, table, time.monotonic() - began, finishing)
    return checkpoint.save(out / recipe.name, network, replace(card, calibration=calibration.asdict()))


def recalibrate(recipe: TrainingRecipe, name: str | Path, out: Path, tell: Callable[[str], None] = lambda text: None,
                warn: Callable[[list[str]], None] = lambda texts: None) -> Path:
    """A checkpoint (name or folder) calibrated again at the validation stations of its recipe; same network.

    Writes a checkpoint of the same name into the folder `out` and returns its folder.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"The folder {out} is not empty.", "A calibration gets a folder of its own.",
                        "Give another one with --out.")
    model, card = checkpoint.load(checkpoint.locate(name))
    data = load(recipe, warn)
    for group, stations in card.withheld.items():
        if set(stations) != set(getattr(data.split, group)):
            raise UserError(f"The recipe {recipe.name} withholds other stations than {card.name} did ({group}).",
                            "A checkpoint is calibrated at stations that its training never saw, and that are not kept "
                            "for its test.", "Give the recipe and the observations that it was trained with.")
    calibration = calibrate(model, data.validation, data.split, data.days[VALIDATION_FIRST_DAY:], tell)
    return checkpoint.save(out / card.name, model.network, replace(card, calibration=calibration.asdict()))


def finish(trainer: Trainer, state: dict, data: Data):
    """Keep the share of what the best network learned that serves best, with its mean level at kriging's.

    A correction learned at some stations is partly of those stations alone; the share is chosen at the validation
    stations, over hours and days, as the one with the smallest mean ratio of MAE and RMSE to kriging's.
    Returns the network, what was done to it, and its sums and table of scores.
    """
    from aqreanalysis.models.aqnet.network import AQNet, recentre, shrink

    network = AQNet(trainer.network.sizes)
    network.load_state_dict(state)
    models, shifts = {}, {}
    for share in SHARES:
        model = models[f"{share}"] = trainer.model_of(copy.deepcopy(network))
        shrink(model.network.head, share)
        shifts[f"{share}"] = mean_shift(trainer, model.network)
        recentre(model.network.head, shifts[f"{share}"])
    sums, table = Validator(data, FINISH_EVERY_DAYS).score(models)
    ratios = {name: _ratios(table, name).to_numpy().mean() for name in models}
    best = min(ratios, key=ratios.get)
    sums = sums.sel(model=["kriging", best]).assign_coords(model=["kriging", "AQ-Net"])
    table = table[table.model.isin(("kriging", best))].replace({"model": {best: "AQ-Net"}})
    facts = {"shift": shifts[best], "share": float(best),
             "mean_ratio_to_kriging_by_share": {name: round(float(ratio), 5) for name, ratio in ratios.items()}}
    return models[best].network, facts, sums, table


def step_score(table) -> float:
    """What the kept step minimises: hourly MAE over kriging's, and 0.3 of that ratio for RMSE, both groups."""
    ratios = _ratios(table, "AQ-Net").loc["hourly"]
    return float((ratios["MAE"] + 0.3 * ratios["RMSE"]).sum())


def _ratios(table, model: str):
    """MAE and RMSE of a model over kriging's, a row for each frequency and group."""
    errors = table.set_index(["frequency", "group"])
    ours, kriging = (errors[errors.model == name][["MAE", "RMSE"]] for name in (model, "kriging"))
    return ours / kriging


def load(recipe: TrainingRecipe, warn: Callable[[list[str]], None] = lambda texts: None) -> Data:
    """Observations of the recipe's period, screened, without the test stations."""
    archive = open_archive(recipe.observations, recipe.stations)
    period = time_axis.parse_period(None, recipe.start, recipe.end)
    start, end = period.hours[0] - CONTEXT_HOURS * HOUR, period.hours[-1] + CONTEXT_HOURS * HOUR
    inspection = archive.inspect(period.hours[0], period.hours[-1])
    if not inspection.values:
        raise none_good(inspection, recipe.observations, f"{period.first} to {period.last}")
    warn(checks.of_archive(archive, period.hours[0], period.hours[-1]))
    cube = reporting(screening.screened(archive, start, end, quality.SINGLE_VALUE_SETTINGS))
    table = archive.stations[archive.stations["station_id"].isin(cube.station.values)]
    withheld = recipe.withheld
    split = split_stations(table, withheld.seed, withheld.share_single, withheld.share_city)
    if len(split.train) < 2 * recipe.training.k:
        raise UserError(f"{len(split.train)} stations are left for training.",
                        f"Training needs at least {2 * recipe.training.k}.", "Withhold fewer, or use a larger network.")
    days = training_days(period, withheld.every_nth_week)
    if not split.validation or len(days) <= VALIDATION_FIRST_DAY:
        raise UserError(f"{len(split.validation)} stations and {len(days)} days are left for validation.",
                        f"Validation needs stations and over {VALIDATION_FIRST_DAY} days outside withheld weeks.",
                        "Withhold more stations (share_single, share_city) or choose a longer period.")
    # withheld stations judge nobody, so nothing of them reaches what is fitted
    cube = screening.screened(archive, start, end, recipe.quality, held_out=split.test + split.validation)
    return Data(cube.sel(station=list(split.train)), cube.sel(station=list(split.train + split.validation)), split,
                days, inspection.fingerprint, archive.source,
                archive.simulated)


def training_days(period: Period, every_nth_week: int) -> np.ndarray:
    """The days, datetime64[D], outside the withheld weeks; weeks are counted from 1970-01-01."""
    days = np.array(period.days(), "datetime64[D]")
    return days[~time_axis.withheld_weeks(days, every_nth_week)]


def _hours_of(cube: xr.Dataset, days: np.ndarray) -> np.ndarray:
    stamps = cube.time.values
    return stamps[np.isin(time_axis.local_days(stamps), days)]


class Validator:
    """Scores at the validation stations on some days, beside kriging's, from the same visible stations."""

    def __init__(self, data: Data, every_days: int = VALIDATION_EVERY_DAYS):
        self.cube = data.validation
        self.groups = {"single stations": list(data.split.validation_single),
                       "whole cities": list(data.split.validation_city)}
        self.stations = list(data.split.validation)
        self.days = data.days[VALIDATION_FIRST_DAY::every_days]
        self.kriging = Kriging()

    def score(self, models: dict):
        """Sums (evaluation.month_statistics) and table of scores of models and of kriging."""
        parts = []
        for day in self.days:
            hours = time_axis.hours_of_days(day.item(), day.item())
            parts.append(evaluation.month_statistics({"kriging": self.kriging} | models, self.cube,
                                                     self.stations, hours))
        sums = evaluation.add(parts)
        return sums, evaluation.group_scores(sums, self.groups)


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


def describe(recipe: TrainingRecipe, data: Data, trainer: Trainer, sums, table, seconds: float, finishing: dict):
    """The card of the checkpoint as it is now."""
    import datetime as dt
    from dataclasses import asdict
    from importlib.metadata import version

    ours = table[(table.model == "AQ-Net")].drop(columns="model")
    return checkpoint.Card(
        name=recipe.name, kind="aqnet-analysis", created=dt.datetime.now(dt.UTC).date().isoformat(),
        network=trainer.network.sizes.asdict(), scaler=asdict(trainer.scaler),
        k=trainer.settings.k,
        analysis=checkpoint.AnalysisFacts(asdict(trainer.correlation),
                                          {"margin_hours": MARGIN_HOURS, "context_hours": CONTEXT_HOURS},
                                          round(error_memory(sums), 1)),
        training={"source": data.source, "simulated": data.simulated, "fingerprint": data.fingerprint,
                  "start": recipe.start, "end": recipe.end, "stations": len(data.split.train),
                  "every_nth_week_withheld": recipe.withheld.every_nth_week, "settings": asdict(trainer.settings),
                  "steps": trainer.steps_done, "seconds": round(seconds), "finishing": finishing},
        withheld={"test_single": list(data.split.test_single), "test_city": list(data.split.test_city),
                  "validation_single": list(data.split.validation_single),
                  "validation_city": list(data.split.validation_city)},
        versions={"aqreanalysis": __version__, "torch": version("torch")},
        scores={"validation_stations": ours.round(4).to_dict("records")})
