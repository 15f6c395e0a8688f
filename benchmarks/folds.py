"""How far interpolation and learning come: training and validation stations left out in tenths, singly and by cities.

    python benchmarks/folds.py --observations PATH [--recipe recipes/aqnet-north-china-2019.yaml] [--every-days 7]
                               [--trees] [--workers N]

Prints MAE and RMSE of hours, then of days, over those of tuned kriging, and the normalised mean bias, for each way to
interpolate the stations' filled series and, with --trees, for gradient boosting on top of the best of them, trained
at other stations of other cities. The test stations of the recipe and its withheld weeks are in nothing here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import recipes, schema, time_axis, workers
from aqreanalysis.models import gap_filling, geostatistics
from aqreanalysis.models.aqnet.network import LOG_SHIFT, ROOM_VARIANCE
from aqreanalysis.models.baselines.boosting import PARAMETERS, lightgbm
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.features import LEVEL, cyclic_time
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, find_neighbourhood
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.training.analysis_data import load_analysis_data

FOLDS, SEED, K = 10, 5, 20
DESIGNS = ("single stations", "whole cities")
SHARES = (0.5, 1.0)  # of what the trees say
TREES = PARAMETERS | {"objective": "huber", "alpha": 0.15, "num_leaves": 31, "min_data_in_leaf": 2000,
                      "bagging_fraction": 0.5, "lambda_l2": 50.0}
ROUNDS, LEARNED_FROM = 150, 0.4  # trees, and the share of the rows that each fold's are grown from


@dataclass(frozen=True)
class Place:
    """What the other stations say at the stations of a fold, at some hours: functions give (hours, points)."""

    value: np.ndarray     # filled series of the other stations (time, station), ug m-3
    rows: np.ndarray      # of the hours that are asked for
    lat: np.ndarray
    lon: np.ndarray
    to_lat: np.ndarray
    to_lon: np.ndarray
    neighbourhood: Neighbourhood

    def kriged(self, series: np.ndarray, correlation: Correlation | None = None) -> np.ndarray:
        """Of a series (time, station), by the neighbourhood's weights or by those of another correlation."""
        weight = self.neighbourhood.weight
        if correlation:
            weight, _ = geostatistics.weights(correlation, self.lat, self.lon, self.to_lat, self.to_lon,
                                              self.neighbourhood.index)
        return self.weighted(series, weight)

    def weighted(self, series: np.ndarray, weight: np.ndarray) -> np.ndarray:
        matrix = gap_filling.matrix(self.neighbourhood, weight.astype(np.float32), series.shape[1])
        return (matrix @ series[self.rows].T).T

    def logs(self, series: np.ndarray, shift: float, correlation: Correlation | None = None) -> np.ndarray:
        return np.exp(self.kriged(np.log(series + np.float32(shift)), correlation)) - shift


def start(place: Place) -> np.ndarray:
    """The network before training: half kriging of values, half of logarithms, and half of both of averages."""
    smooth = gap_filling.smooth(place.value)
    share = 0.5 * np.minimum(place.neighbourhood.variance / ROOM_VARIANCE, 1.0)[None]
    values, logs = ((1 - share) * place.kriged(series) + share * place.kriged(averaged) for series, averaged in (
        (place.value, smooth), (np.log(place.value + LOG_SHIFT), np.log(smooth + LOG_SHIFT))))
    return 0.5 * np.maximum(values, 0.0) + 0.5 * np.maximum(np.exp(logs) - LOG_SHIFT, 0.0)


def half(correlation: Correlation | None = None) -> Callable[[Place], np.ndarray]:
    """Half kriging of averages, half of logarithms (+15)."""
    return lambda place: 0.5 * (place.kriged(gap_filling.smooth(place.value), correlation)
                                + place.logs(place.value, 15.0, correlation))


WAYS: dict[str, Callable[[Place], np.ndarray]] = {
    "kriging of filled values": lambda place: place.kriged(place.value),
    "the network's start": start,
    "half averages, half logarithms (+15)": half(),
    "the same, nugget .02": half(Correlation(200.0, 0.02)),
    "the same, range 400 km": half(Correlation(400.0, 0.06)),
    "logarithms of averages (+15)": lambda place: place.logs(gap_filling.smooth(place.value), 15.0),
}


def features(place: Place, base: np.ndarray, time: np.ndarray) -> np.ndarray:
    """What trees are given (hours, points, features): departures of other ways from `base`, tendencies, geometry."""
    neighbourhood, value = place.neighbourhood, place.value
    near = value[place.rows][:, neighbourhood.index]
    positive = np.maximum(neighbourhood.weight, 0.0)
    positive = positive / positive.sum(axis=1, keepdims=True)
    others = [place.kriged(value), place.kriged(gap_filling.smooth(value)), place.logs(value, 15.0),
              place.kriged(value, Correlation(60.0, 0.06)), place.kriged(value, Correlation(800.0, 0.3)),
              place.weighted(value, positive), near[..., 0], near[..., 1], np.median(near, axis=-1), near.min(axis=-1),
              near.max(axis=-1), *(place.kriged(np.roll(value, lag, axis=0)) for lag in (-3, -1, 1, 3))]
    columns = [np.log(base + 5.0), near.std(axis=-1) / (base + LEVEL), *((o - base) / (base + LEVEL) for o in others)]
    fixed = (neighbourhood.variance, neighbourhood.distance[:, 0], neighbourhood.distance[:, 2],
             neighbourhood.distance.mean(axis=1),
             np.minimum(neighbourhood.weight, 0.0).sum(axis=1))
    columns += [np.broadcast_to(one[None], base.shape) for one in fixed]
    columns += [np.broadcast_to(one[:, None], base.shape) for one in cyclic_time(time[place.rows]).T]
    return np.stack(columns, axis=-1).astype(np.float32)


def one_fold(shared, job: tuple[str, int]) -> dict[str, np.ndarray]:
    """Everything at the stations of one fold, (hours, points) by name."""
    cube, rows, with_features = shared
    design, fold = job
    parts = parts_of(cube, design)
    out, seen = np.flatnonzero(parts == fold), cube.isel(station=np.flatnonzero(parts != fold))[[schema.TARGET]]
    lat, lon, to_lat, to_lon = seen.lat.values, seen.lon.values, cube.lat.values[out], cube.lon.values[out]
    own = find_neighbourhood(lat, lon, lat, lon, gap_filling.FILLING_NEIGHBOURS, Correlation(), leave_out_self=True)
    value = gap_filling.fill(seen[schema.TARGET].values, own).value
    there = np.isfinite(value)
    level = np.where(there, value, 0.0).sum(axis=1, keepdims=True) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    value = np.where(there, value, level).astype(np.float32)
    place = Place(value, rows, lat, lon, to_lat, to_lon, find_neighbourhood(lat, lon, to_lat, to_lon, K, Correlation()))
    time = cube.time.values
    found = {"tuned kriging": Kriging().predict(seen, schema.make_targets(time[rows], to_lat, to_lon)).pm25.values,
             "truth": cube[schema.TARGET].values[np.ix_(rows, out)],
             "station": np.broadcast_to(out, (len(rows), len(out))), "fold": np.full((len(rows), len(out)), fold)}
    found |= {name: np.maximum(way(place), 0.0) for name, way in WAYS.items()}
    if with_features:
        found["features"] = features(place, found["half averages, half logarithms (+15)"], time)
    return found


def parts_of(cube, design: str) -> np.ndarray:
    """The fold of each station (stations,)."""
    rng, stations = np.random.default_rng(SEED), cube.sizes[schema.STATION]
    if design == DESIGNS[0]:
        return rng.permutation(stations) % FOLDS
    city = city_numbers(pd.DataFrame({"lat": cube.lat.values, "lon": cube.lon.values,
                                      "city": cube.station_city.values}))
    return (rng.permutation(city.max() + 1) % FOLDS)[city]


def with_trees(designs: dict[str, dict[str, np.ndarray]]) -> None:
    """Add what trees grown at the stations of the other folds, of both designs, make of the base."""
    library, base = lightgbm(), "half averages, half logarithms (+15)"
    for rows in designs.values():
        rows["said"] = np.zeros_like(rows[base])
    for fold in range(FOLDS):
        for rows in designs.values():
            asked = rows["fold"] == fold
            hidden, parts = np.unique(rows["station"][asked]), []
            for other in designs.values():
                use = ~np.isin(other["station"], hidden) & np.isfinite(other["truth"])
                use &= np.random.default_rng(fold).random(use.shape) < LEARNED_FROM
                scale = other[base][use] + LEVEL
                parts.append((other["features"][use], (other["truth"][use] - other[base][use]) / scale, scale))
            learned, residual, weight = (np.concatenate(of) for of in zip(*parts, strict=True))
            trees = library.train(TREES, library.Dataset(learned, residual, weight=weight), ROUNDS)
            rows["said"][asked] = trees.predict(rows["features"][asked], num_threads=1)
    for rows in designs.values():
        for share in SHARES:
            rows[f"trees on it, share {share:g}"] = np.maximum(
                rows[base] + share * rows["said"] * (rows[base] + LEVEL), 0.0)


def errors(rows: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, float]:
    """MAE and RMSE of hours and of whole days, and the normalised mean bias in %."""
    error = (rows[name] - rows["truth"]).astype(np.float64)
    error[~np.isfinite(rows["tuned kriging"])] = np.nan
    days = error.reshape(-1, time_axis.HOURS_PER_DAY, error.shape[1])
    count = np.isfinite(days).sum(axis=1)
    daily = (np.nansum(days, axis=1) / np.maximum(count, 1))[count >= time_axis.MINIMUM_HOURS]
    bias = 100.0 * np.nansum(error) / np.nansum(np.where(np.isfinite(error), rows["truth"], np.nan))
    return np.array([np.nanmean(abs(error)), np.sqrt(np.nanmean(error**2)), abs(daily).mean(),
                     np.sqrt((daily**2).mean())]), bias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--recipe", default=str(Path(__file__).parents[1] / "recipes" / "aqnet-north-china-2019.yaml"))
    parser.add_argument("--every-days", type=int, default=7)
    parser.add_argument("--trees", action="store_true", help="Also gradient boosting (LightGBM).")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    data = load_analysis_data(recipes.load_recipe(options.recipe, recipes.TrainingRecipe).model_copy(
        update={"observations": options.observations}))
    cube = data.cube(data.split.test)
    first = [time_axis.hours_of_days(day.item(), day.item())[0] for day in data.days[3::options.every_days]]
    rows = (np.searchsorted(cube.time.values, first)[:, None] + np.arange(time_axis.HOURS_PER_DAY)).ravel()
    designs = {}
    for design in DESIGNS:
        folds = list(workers.run_jobs(one_fold, [(design, number) for number in range(FOLDS)], options.workers,
                                      shared=(cube, rows, options.trees)))
        folds.sort(key=lambda found: found["fold"][0, 0])
        designs[design] = {name: np.concatenate([found[name] for found in folds], axis=1) for name in folds[0]}
    if options.trees:
        with_trees(designs)
    for design, found in designs.items():
        of_kriging, bias = errors(found, "tuned kriging")
        print(f"\n{design}: {np.isfinite(found['truth']).sum():,} hours at {cube.sizes[schema.STATION]} stations; "
              f"kriging {' '.join(f'{value:.2f}' for value in of_kriging)} ug m-3, {bias:+.1f} %")
        for name in (*WAYS, *(f"trees on it, share {share:g}" for share in SHARES if options.trees)):
            ours, bias = errors(found, name)
            print(f"  {name:40s} {' '.join(f'{ratio:.3f}' for ratio in ours / of_kriging)} {bias:+5.1f} %")


if __name__ == "__main__":
    main()
