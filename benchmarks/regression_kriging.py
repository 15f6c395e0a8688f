"""Regression kriging tuned and scored at training stations of one year, in folds of cities.

    python benchmarks/regression_kriging.py --observations PATH [--background stations.csv] [--skip-tuning]

Two hold-outs, as in benchmarks/tune_baselines.py: each station left out alone, and each city left out whole. The test
and validation stations of the checkpoint are in nothing here.

- Tuning: shares, penalty and covariates are moved one at a time as long as the score falls, the mean of the hourly and
  daily MAE of both hold-outs over kriging's. Coefficients are of the stations of the nine other folds (whose neighbours
  include the scored ones).
- Scores: coefficients of `fit_regression_kriging` without the fold; ratios to tuned kriging of MAE and RMSE of hours
  and days, the skill by MAE in % with its central 95 % (weeks and cities drawn again), and the normalised mean bias, of
  all stations and of those that `--background` marks, that are sparsely peopled, and that lie above their surroundings.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from tune_baselines import sample

from aqreanalysis import schema, time_axis, workers
from aqreanalysis.evaluation.bootstrap import skill_intervals
from aqreanalysis.fields.static import STATIC_COVARIATES, static_covariates
from aqreanalysis.models import checkpoint
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.baselines.regression_kriging import (
    DRIFT_COVARIATES,
    LOG_OFFSET,
    LOG_SHARE,
    corrected,
)
from aqreanalysis.models.drift import HARMONICS, harmonics, standardisation
from aqreanalysis.observations.near_duplicates import near_duplicates
from aqreanalysis.observations.readers import ObservationFiles, open_archive
from aqreanalysis.time_axis import Period, parse_day
from aqreanalysis.training.regression import LeftOut, fit_regression_kriging

FOLDS, SEED = 10, 5
SPARSE_LOG_PEOPLE, ELEVATED_M = 11.3, 20.0  # log(1 + population_5km) below, relief_75km above
NUMBERS = {"log_share": (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0), "share": (0.5, 0.6, 0.7, 0.85, 1.0),
           "penalty": (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)}
FIRST = {"log_share": 0.5, "share": 0.7, "penalty": 0.0, "covariates": tuple(STATIC_COVARIATES)}


@dataclass(frozen=True)
class Rows:
    """What kriging without a station or its city says at it: arrays (time, station), differences of all covariates."""

    time: np.ndarray
    truth: np.ndarray
    fold: np.ndarray         # (station,)
    kriged: np.ndarray
    logs: np.ndarray
    differences: np.ndarray  # (time, station, covariates)

    def mixed(self, log_share: float) -> np.ndarray:
        return (1.0 - log_share) * self.kriged + log_share * (np.exp(self.logs) - LOG_OFFSET)


def rows_of(cube: xr.Dataset, hidden: np.ndarray, scaled: np.ndarray, fold: np.ndarray) -> Rows:
    truth, left_out = cube[schema.TARGET].values, LeftOut.among(cube.lat.values, cube.lon.values, hidden, Kriging())
    kriged, logs = np.full(truth.shape, np.nan), np.full(truth.shape, np.nan)
    differences = np.full((*truth.shape, scaled.shape[1]), np.nan, np.float32)
    for hour, values in enumerate(truth):
        asked, *found = left_out.estimates(values, scaled)
        kriged[hour, asked], logs[hour, asked], differences[hour, asked] = found
    return Rows(cube.time.values, truth, fold, kriged, logs, differences)


def measures(rows: Rows, estimate: np.ndarray, stations: np.ndarray | None = None) -> np.ndarray:
    """MAE and RMSE of hours, MAE and RMSE of days, normalised mean bias in %."""
    stations = np.ones(len(rows.fold), bool) if stations is None else stations
    error, truth = (estimate - rows.truth)[:, stations], rows.truth[:, stations]
    _, day = np.unique(time_axis.local_days(rows.time), return_inverse=True)
    least = 0.75 * np.bincount(day).max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a day without any value
        of_day = [np.where(np.isfinite(one).sum(axis=0) >= least, np.nanmean(one, axis=0), np.nan)
                  for one in (error[day == number] for number in range(day.max() + 1))]
    days = np.array(of_day)
    return np.array([np.nanmean(abs(error)), np.sqrt(np.nanmean(error**2)), np.nanmean(abs(days)),
                     np.sqrt(np.nanmean(days**2)), 100 * np.nansum(error) / np.nansum(truth[np.isfinite(error)])])


def skills(rows: Rows, estimate: np.ndarray, stations: np.ndarray, city: np.ndarray) -> list[str]:
    """Skill over kriging in % with its central 95 %, of hours and days."""
    days, day = np.unique(time_axis.local_days(rows.time), return_inverse=True)
    sums = np.zeros((2, 2, 2, len(days), stations.sum()))  # absolute and squared; hours and days; kriging and estimate
    for model, of in enumerate((rows.kriged, estimate)):
        error = (of - rows.truth)[:, stations]
        count = np.array([np.isfinite(error[day == number]).sum(axis=0) for number in range(len(days))])
        total = np.array([np.nansum(error[day == number], axis=0) for number in range(len(days))])
        daily = np.where(count >= 0.75 * np.bincount(day).max(), total / np.maximum(count, 1), 0.0)
        for power, magnitude in enumerate((np.abs, np.square)):
            sums[power, 0, model] = [np.nansum(magnitude(error[day == number]), axis=0) for number in range(len(days))]
            sums[power, 1, model] = magnitude(daily)
    dims = ("group", "frequency", "model", "block", "station")
    block = xr.Dataset({"error_absolute": (dims, sums[0][None]), "error_squared": (dims, sums[1][None])},
                       {"group": ["all"], "frequency": ["hourly", "daily"], "model": ["kriging", "ours"],
                        "block": days, "station": np.arange(stations.sum()), "city": ("station", city[stations])})
    ends = skill_intervals(block).isel(group=0).sel(model="ours")
    skill = 100 * (1 - sums[0, :, 1].sum(axis=(1, 2)) / sums[0, :, 0].sum(axis=(1, 2)))
    return [f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
            for value, low, high in zip(skill, ends.skill_low.values, ends.skill_high.values, strict=True)]


class Tuning:
    """Both hold-outs, and the score of a setting; each is computed once and printed."""

    def __init__(self, designs: dict[str, Rows]):
        self.designs, self.tried = designs, {}
        self.kriging = {name: measures(rows, rows.kriged) for name, rows in designs.items()}

    def score(self, setting: dict) -> float:
        key = tuple(setting.items())
        if key not in self.tried:
            use = [list(STATIC_COVARIATES).index(name) for name in setting["covariates"]]
            coefficients = self._coefficients(use, setting["log_share"], setting["penalty"])
            ratios = {}
            for name, rows in self.designs.items():
                moved = np.zeros(rows.truth.shape)
                for fold, of in enumerate(coefficients):
                    here = rows.fold == fold
                    slopes = setting["share"] * harmonics(rows.time) @ of.T
                    moved[:, here] = np.matmul(rows.differences[:, here][:, :, use], slopes[:, :, None])[..., 0]
                estimate = np.maximum(corrected(rows.mixed(setting["log_share"]), moved), 0.0)
                ratios[name] = (measures(rows, estimate) / self.kriging[name])[[0, 2]]
            self.tried[key] = float(np.mean(list(ratios.values())))
            words = ", ".join(f"{word} {value:g}" for word, value in setting.items() if word != "covariates")
            print(f"| {words}, {' '.join(setting['covariates'])} | "
                  f"{' | '.join(f'{value:.4f}' for of in ratios.values() for value in of)} | {self.tried[key]:.4f} |",
                  flush=True)
        return self.tried[key]

    def _coefficients(self, use: list[int], log_share: float, penalty: float) -> list[np.ndarray]:
        """Of each fold (covariates, harmonics), from the rows of the others in both hold-outs."""
        terms = len(use) * HARMONICS
        sums = [[np.zeros((terms, terms)), np.zeros(terms), 0] for _ in range(FOLDS)]
        for rows, fold in itertools.product(self.designs.values(), range(FOLDS)):
            here = rows.fold == fold
            residual = np.log(np.maximum(rows.truth, 0.0) + LOG_OFFSET) - np.log(rows.mixed(log_share) + LOG_OFFSET)
            hour, station = np.nonzero(np.isfinite(residual) & here)
            columns = (rows.differences[hour, station][:, use, None].astype(float)
                       * harmonics(rows.time)[hour][:, None, :]).reshape(len(hour), terms)
            sums[fold][0] += columns.T @ columns
            sums[fold][1] += columns.T @ residual[hour, station]
            sums[fold][2] += len(hour)
        found = []
        for out in range(FOLDS):
            products, moments, count = (sum(of[part] for fold, of in enumerate(sums) if fold != out)
                                        for part in range(3))
            found.append(np.linalg.solve(products / count + penalty * np.eye(terms),
                                         moments / count).reshape(-1, HARMONICS))
        return found

    def descend(self) -> dict:
        best, before = dict(FIRST), None
        while before != best:
            before = dict(best)
            for word, values in NUMBERS.items():
                place = values.index(best[word])
                for step in (1, -1):
                    while (0 <= place + step < len(values)
                           and self.score(best | {word: values[place + step]}) < self.score(best)):
                        place += step
                        best[word] = values[place]
            fewer = [best | {"covariates": tuple(name for name in best["covariates"] if name != out)}
                     for out in best["covariates"] if len(best["covariates"]) > 1]
            best = min([best, *fewer], key=self.score)
        return best


def scores(files: ObservationFiles, period: Period, cube: xr.Dataset, designs: dict[str, Rows], city: np.ndarray,
           held_out, duplicates, every_nth_week: int, processes: int, groups: dict[str, np.ndarray]) -> None:
    """Print the table of what `fit_regression_kriging` without each fold makes of it."""
    fold = next(iter(designs.values())).fold
    withheld = [(*held_out, *cube.station.values[fold == number]) for number in range(FOLDS)]
    models = fit_regression_kriging(files, period, withheld, duplicates,
                                    lambda function, jobs: workers.run_jobs(function, jobs, processes), every_nth_week)
    use = [list(STATIC_COVARIATES).index(name) for name in DRIFT_COVARIATES]
    everywhere = standardisation(tuple(STATIC_COVARIATES), static_covariates(cube.lat, cube.lon))
    print("\n| stations | hold-out | MAE | RMSE | daily MAE | RMSE | skill by the hour | by the day | NMB | of kriging "
          "| without drift: MAE, daily MAE, NMB |\n|" + "---|" * 11)
    for name, rows in designs.items():
        moved = np.zeros(rows.truth.shape)
        for number, model in enumerate(models):
            here = fold == number
            rescaled = np.array(everywhere.deviations)[use] / np.array(model.drift.covariates.deviations)
            moved[:, here] = model.drift.log_correction(rows.time, rows.differences[:, here][:, :, use] * rescaled)
        without = np.maximum(rows.mixed(LOG_SHARE), 0.0)
        estimate = np.maximum(corrected(rows.mixed(LOG_SHARE), moved), 0.0)
        for group, stations in groups.items():
            kriging, ours, half = (measures(rows, of, stations) for of in (rows.kriged, estimate, without))
            print(f"| {group}, {stations.sum()} | {name} | "
                  + " | ".join(f"{value:.3f}" for value in ours[:4] / kriging[:4])
                  + f" | {' | '.join(skills(rows, estimate, stations, city))} | {ours[4]:+.1f} | {kriging[4]:+.1f} | "
                  f"{half[0] / kriging[0]:.3f} {half[2] / kriging[2]:.3f} {half[4]:+.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--background", help="A station table with a column `background`.")
    parser.add_argument("--checkpoint")
    parser.add_argument("--start", default="2019-01-01")
    parser.add_argument("--end", default="2019-12-31")
    parser.add_argument("--every-days", type=int, default=6)
    parser.add_argument("--every-hours", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--skip-tuning", action="store_true")
    options = parser.parse_args()
    card = checkpoint.read_card(checkpoint.locate(options.checkpoint))
    period = Period(parse_day(options.start), parse_day(options.end))
    archive = open_archive(options.observations)
    duplicates = near_duplicates(archive, period.hours[0], period.hours[-1])
    cube = sample(options.observations, period, card, duplicates, options.every_days, options.every_hours)
    table = archive.stations.set_index("station_id").loc[cube.station.values]
    _, city = np.unique(table["city"].to_numpy(str), return_inverse=True)
    fold = (np.random.default_rng(SEED).permutation(city.max() + 1) % FOLDS)[city]
    covariates = static_covariates(cube.lat, cube.lon)
    scaled = standardisation(tuple(STATIC_COVARIATES), covariates).apply(covariates)
    together = duplicates.matrix(cube.station.values)
    whole = ((city[:, None] == city).astype(int) @ together.astype(int)) > 0
    designs = {"single": rows_of(cube, together, scaled, fold), "city": rows_of(cube, whole, scaled, fold)}
    print(f"{cube.sizes['station']} stations, {city.max() + 1} cities, {cube.sizes['time']} hours; kriging's MAE "
          + ", ".join(f"{name} {measures(rows, rows.kriged)[0]:.3f}" for name, rows in designs.items()))
    if not options.skip_tuning:
        print("\n| setting | single, MAE | daily | city, MAE | daily | score |\n|" + "---|" * 6)
        print(f"\nbest: {Tuning(designs).descend()}", flush=True)
    groups = {"all": np.ones(len(fold), bool),
              "sparsely peopled": np.log1p(covariates.population_5km.values) < SPARSE_LOG_PEOPLE,
              "above their surroundings": covariates.relief_75km.values > ELEVATED_M}
    if options.background:
        marked = pd.read_csv(options.background).set_index("station_id")["background"]
        groups["background"] = marked.reindex(cube.station.values).fillna(0).astype(bool).to_numpy()
    held_out = tuple(itertools.chain.from_iterable(card.withheld.values()))
    scores(ObservationFiles.of(options.observations), period, cube, designs, city, held_out, duplicates,
           card.training["every_nth_week_withheld"], options.workers, groups)


if __name__ == "__main__":
    main()
