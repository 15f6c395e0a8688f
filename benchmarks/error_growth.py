"""How the error grows with the distance to the nearest station: what the classes of quality_flag are defined by.

    python benchmarks/error_growth.py RECIPE [--checkpoint NAME|FOLDER] [--every-days 5] [--radius KM ...]
                                      [--networks N] [--out FILE]

Stations of the recipe that the network which is asked was never trained on (those of its fold; without folds the
validation stations) are left out a few at a time, all others are given; then again with everything within a radius of
them taken out. A station's error at a radius is compared with the same station's error
where nothing else was taken out and a station lies within BESIDE_KM ("beside"), over the same days: growth is the
ratio of mean absolute errors over those stations. NMAE is the mean absolute error over the mean level. Prints both by
the distance that was reached and by kriging's variance; and the distances at which a curve through the growth,
non-decreasing and weighted by station-hours (isotonic regression), passes 1.5 and 2, with the 5th and 95th percentile
over DRAWS draws of the stations. Hardly a station lies outside the hull of the others, so nothing is said of it.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from aqreanalysis import geo, recipes, time_axis
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.models import checkpoint
from aqreanalysis.models.neighbours import find_neighbourhood
from aqreanalysis.training import calibration
from aqreanalysis.training.analysis_data import load_analysis_data
from aqreanalysis.training.cross_fit import Asked, asked_networks

RADII = (0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 110)
FOLDS = 5          # of the stations at a radius
MONTHS = (1, 3, 5, 7, 9, 11)
BESIDE_KM = 10.0
EDGES = {"distance": (0, 5, 10, 15, 20, 25, 30, 40, 50, 65, 85, 105, 140, 200),
         "variance": (0, 0.12, 0.15, 0.18, 0.22, 0.27, 0.33, 0.4, 0.5, 0.7)}
RATIOS = (1.5, 2.0)
DRAWS = 300


def far_apart(lat, lon, folds: int) -> np.ndarray:
    """The fold (n,) of each station: one after the other goes where the nearest of the fold is farthest from it."""
    distance = geo.pairwise_distance_km(lat, lon, lat, lon)
    fold = np.full(len(lat), -1)
    for station in range(len(lat)):
        nearest = [distance[station, fold == number].min(initial=1e5) for number in range(folds)]
        fold[station] = int(np.argmax(nearest))
    return fold


def folds_at(cube, stations, radius: float) -> list[Fold]:
    """Folds of some stations with all others nearer than `radius` taken out too."""
    asked = cube.sel(station=list(stations))
    fold = far_apart(asked.lat.values, asked.lon.values, FOLDS)
    found = []
    for number in np.unique(fold):
        scored = np.array(stations, object)[fold == number]
        of = asked.sel(station=list(scored))
        near = geo.pairwise_distance_km(of.lat, of.lon, cube.lat, cube.lon).min(axis=0) <= radius
        removed = set(scored) | set(cube.station.values[near])
        found.append(Fold(tuple(sorted(removed)), {f"{radius:g} km": tuple(scored)}))
    return found


def errors(model, cube, fold: Fold, days) -> pd.DataFrame:
    """A row for each scored station: its place among what is left, and sums of hours and days."""
    rows = calibration.held_out_days(model, cube, fold, days)
    known = np.isfinite(rows.truth) & np.isfinite(rows.estimate)
    miss, truth = (np.where(known, a, 0.0).astype(np.float64) for a in (rows.estimate - rows.truth, rows.truth))
    whole = known.sum(axis=1) >= time_axis.MINIMUM_HOURS
    hours = np.maximum(known.sum(axis=1), 1)
    table = pd.DataFrame({"station": rows.station, "hours": known.sum(axis=1), "miss": np.abs(miss).sum(axis=1),
                          "level": truth.sum(axis=1), "day_miss": whole * np.abs(miss.sum(axis=1)) / hours,
                          "day_level": whole * truth.sum(axis=1) / hours})
    left, asked = cube.drop_sel(station=list(fold.removed)), cube.sel(station=list(*fold.scored.values()))
    places = (left.lat.values, left.lon.values, asked.lat.values, asked.lon.values)
    neighbourhood = find_neighbourhood(*places, model.k, model.correlation)
    where = pd.DataFrame({"station": asked.station.values, "design": next(iter(fold.scored)),
                          "distance": neighbourhood.distance[:, 0], "variance": neighbourhood.variance})
    return where.merge(table.groupby("station", as_index=False).sum(), on="station")


def network_errors(data, asked: Asked, radii, days) -> list[pd.DataFrame]:
    """The errors of one network at its stations, at all radii."""
    model, _ = checkpoint.load(asked.folder)
    cube = data.cube(asked.stations + data.split.test, keep=asked.stations)
    found = []
    for radius in radii:
        found += [errors(model, cube, fold, days) for fold in folds_at(cube, asked.stations, radius)]
        print(f"network {asked.network}, {radius:g} km done", flush=True)
    return found


def growth_table(found: pd.DataFrame, beside: pd.DataFrame, by: pd.Series) -> pd.DataFrame:
    """NMAE and growth of groups of `found` (station, hours, miss, level ...) over the same stations' `beside`."""
    columns = []
    for name, group in found.groupby(by, observed=True):
        base = beside.loc[group.station]
        columns.append({
            by.name: name, "pairs": len(group), "km": group.distance.median(), "variance": group.variance.median(),
            "NMAE %": 100 * group.miss.sum() / group.level.sum(),
            "growth": (group.miss.sum() / group.hours.sum()) / (base.miss.sum() / base.hours.sum()),
            "daily NMAE %": 100 * group.day_miss.sum() / group.day_level.sum(),
            "daily growth": group.day_miss.sum() / base.day_miss.sum(), "hours": group.hours.sum()})
    return pd.DataFrame(columns)


def passes(table: pd.DataFrame, ratio: float, column: str) -> float:
    """The km at which the non-decreasing curve through a growth passes a ratio; linear between bins, inf beyond all."""
    curve = isotonic_regression(table[column].to_numpy(), weights=table.hours.to_numpy(float)).x
    after = int(np.searchsorted(curve, ratio))
    if after == len(curve):
        return np.inf
    low, high = curve[after - 1], curve[after]
    km = table.km.to_numpy()
    return float(km[after - 1] + (ratio - low) / (high - low) * (km[after] - km[after - 1]))


def limits(found: pd.DataFrame, alone: pd.DataFrame) -> None:
    """Print where the growth passes each ratio, and how sure that is: stations are drawn again with replacement."""
    rng, names = np.random.default_rng(0), alone.index.to_numpy()
    by_station = dict(list(found.groupby("station")))
    draws = [pd.concat([by_station[name] for name in rng.choice(names, len(names))]) for _ in range(DRAWS)]
    cut = lambda rows: pd.cut(rows.distance, EDGES["distance"]).rename("bin")  # noqa: E731
    tables = [growth_table(rows, alone, cut(rows)) for rows in (found, *draws)]
    for ratio in RATIOS:
        for column in ("growth", "daily growth"):
            first, *others = (passes(table, ratio, column) for table in tables)
            low, high = np.quantile(others, (0.05, 0.95), method="nearest")
            print(f"{column} {ratio:g} at {first:.0f} km ({low:.0f} to {high:.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="recipe that the checkpoint was trained by, a name or a YAML file")
    parser.add_argument("--checkpoint")
    parser.add_argument("--every-days", type=int, default=5)
    parser.add_argument("--radius", type=float, nargs="+", default=RADII)
    parser.add_argument("--networks", type=int, help="of a checkpoint with folds, so many of them only")
    parser.add_argument("--out", help="CSV file for the sums of each station and radius")
    given = parser.parse_args()
    folder = checkpoint.locate(given.checkpoint)
    data = load_analysis_data(recipes.load_recipe(given.recipe, recipes.TrainingRecipe),
                              card=checkpoint.checked_card(folder))
    days = data.days[::given.every_days]
    days = days[np.isin(days.astype("datetime64[M]").astype(int) % 12 + 1, MONTHS)]
    radii = sorted({0.0, *given.radius})
    parts = [table for asked in asked_networks(data, folder, folder)[:given.networks]
             for table in network_errors(data, asked, radii, days)]
    found = pd.concat(parts, ignore_index=True)
    if given.out:
        found.to_csv(given.out, index=False)
    alone = found[(found.design == "0 km") & (found.distance <= BESIDE_KM)].set_index("station")
    found = found[found.station.isin(alone.index)]
    print(f"\n{len(alone)} stations, {len(days)} days; beside: a median {alone.distance.median():.1f} km, "
          f"NMAE {100 * alone.miss.sum() / alone.level.sum():.1f} %\n")
    for name, edges in EDGES.items():
        table = growth_table(found, alone, pd.cut(found[name], edges).rename(f"by {name}"))
        print(table.round(3).to_string(index=False), "\n")
    limits(found, alone)


if __name__ == "__main__":
    main()
