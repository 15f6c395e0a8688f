"""What each interpolation of the stack brings, at the tuning stations of a recipe.

    python benchmarks/stack.py [--recipe recipes/aqnet-north-china-2019.yaml] [--every-days 8] [--draws 24]

The stack (models/stacking.py) is fitted at hidden training stations as `aqreanalysis train` does, with all of its
departures and with each left out in turn, and without what is known of each station's noise. Every line: hourly MAE and
RMSE, daily MAE and RMSE over kriging's (models/kriging.py, its defaults) and the bias in % of the truth, at single
stations and in whole cities that were withheld for tuning. Test stations have no part in it.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import torch

from aqreanalysis import clock, recipe, schema, train
from aqreanalysis.evaluation.statistics import mean_of_days
from aqreanalysis.features import Scaler
from aqreanalysis.models import stacking, station_side
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.kriging import Kriging, plain
from aqreanalysis.training import Settings, stack, views

MINIMUM_HOURS = 20


class Tuning:
    """The tuning stations on some days: truth, what the stack is made of, kriging."""

    def __init__(self, data: train.Data, scaler: Scaler, settings: Settings, every_days: int):
        cube, names = data.tune, list(data.split.tune)
        self.days = data.days[train.TUNE_FIRST_DAY::every_days]
        asked = np.isin(cube.station.values, names)
        hidden = views.hide(cube, asked, scaler, Correlation(), settings.k)
        self.variance = hidden.surroundings.sites.variance
        rows = [slice(hidden.side.row_of_day(day), hidden.side.row_of_day(day) + 24) for day in self.days]
        self.truth = np.concatenate([hidden.truth[of] for of in rows])
        self.found = [hidden.departures(day) for day in self.days]
        hours = np.concatenate([clock.hours_of_days(day.item(), day.item()) for day in self.days])
        targets = schema.make_targets(hours, hidden.lat, hidden.lon)
        seen = cube.isel(station=~asked)[["pm25"]]
        self.kriging = Kriging().predict(seen, targets).pm25.values
        self.plain = plain().predict(seen, targets).pm25.values
        single = np.isin(cube.station.values[asked], data.split.tune_single)
        self.groups = {"single": single, "cities": ~single}

    def stacked(self, coefficients, used: list[int]) -> np.ndarray:
        """(time, station) of a stack of some of the departures."""
        full = torch.zeros(len(stacking.VARIANCE_KNOTS), 2, len(stacking.DEPARTURES) + 1)
        full[:, :, [*used, -1]] = coefficients
        return np.concatenate([stacking.combined(full, self.variance, *one).stack.numpy().T for one in self.found])

    def line(self, name: str, estimate: np.ndarray) -> str:
        """Ratios to kriging at the hours that both have."""
        parts = []
        for group in self.groups.values():
            truth = np.where(np.isfinite(self.kriging) & np.isfinite(estimate), self.truth, np.nan)[:, group]
            ours, theirs = (_errors(one[:, group] - truth) for one in (estimate, self.kriging))
            bias = 100 * np.nansum(estimate[:, group] - truth) / np.nansum(truth)
            parts.append(" ".join(f"{a / b:.3f}" for a, b in zip(ours, theirs, strict=True)) + f" {bias:+5.1f}")
        return f"{name:32s} | " + " | ".join(parts)


def _errors(error: np.ndarray) -> list[float]:
    days = mean_of_days(error, MINIMUM_HOURS)
    return [f(one) for one in (error, days) for f in (lambda e: np.nanmean(np.abs(e)),
                                                      lambda e: np.sqrt(np.nanmean(e**2)))]


def fitted(rows: stack.Rows, used: list[int]):
    """Coefficients of a stack of some departures, (knots, 2, used + 1)."""
    without = rows.departures.copy()
    without[:, [n for n in range(len(stacking.DEPARTURES)) if n not in used]] = 0.0
    return stack.solve(dataclasses.replace(rows, departures=without))[:, :, [*used, -1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="recipes/aqnet-north-china-2019.yaml")
    parser.add_argument("--every-days", type=int, default=8, help="of the days that are scored")
    parser.add_argument("--draws", type=int, default=24, help="of hidden training stations")
    arguments = parser.parse_args()
    plan = recipe.load(arguments.recipe, recipe.TrainingRecipe)
    data = train.load(plan)
    settings = Settings(**plan.training.model_dump() | {"stack_draws": arguments.draws})
    scaler = Scaler.fit(data.train)
    everything = list(range(len(stacking.DEPARTURES)))

    def rows():
        return stack.collect(data.train, data.days, scaler, Correlation(), settings, np.random.default_rng(0))

    tuning, learned = Tuning(data, scaler, settings, arguments.every_days), rows()
    print(f"{len(tuning.days)} days, {len(learned.base)} rows; MAE RMSE daily MAE RMSE over kriging's, bias %")
    print(tuning.line("plain kriging", tuning.plain), flush=True)
    print(tuning.line("base: half smooth, half logs", np.concatenate([one[0].numpy().T for one in tuning.found])))
    print(tuning.line("stack", tuning.stacked(fitted(learned, everything), everything)), flush=True)
    for number, name in enumerate(stacking.DEPARTURES):
        used = [n for n in everything if n != number]
        print(tuning.line(f"  without {name}", tuning.stacked(fitted(learned, used), used)), flush=True)
    station_side.NUGGET_RANGE = (1.0, 1.0)
    tuning, learned = Tuning(data, scaler, settings, arguments.every_days), rows()
    print(tuning.line("  stations alike in noise", tuning.stacked(fitted(learned, everything), everything)))


if __name__ == "__main__":
    main()
