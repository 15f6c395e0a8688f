"""Whether a checkpoint's bounds hold better on the map's land if the rows that they are fitted to are weighted like it.

    python benchmarks/row_weights.py RECIPE [--checkpoint NAME|FOLDER] [--rows FILE]

Rows are those that `train RECIPE --calibrate` fits to: stations left out on every eighth day, estimated by the network
that never saw them. Factors of days are fitted with equal weights, as a checkpoint's are, and with weights by which the
distance-matched rows stand for the map's land (evaluation/matching.py): in their place, half in their place, or beside
them as rows of their own. Each time without a fifth of the towns, or of the weeks, and judged there: the share of the
days inside the bounds with its 95 % interval over weeks and towns, and the mean interval score, in each design and on
the land, by season, estimated level and kind of place. Factors of hours are of equal weights throughout; the share of
the hours inside is of days of the level. It also prints the bias of each stratum. Rows are kept in
FILE, and are those of FILE if it exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import recipes
from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED
from aqreanalysis.evaluation.statistics import week_number
from aqreanalysis.evaluation.strata import LEVELS, PLACES, SEASONS, in_level, in_season, kinds_of_place
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import calibration, checkpoint
from aqreanalysis.models.calibration import Prior
from aqreanalysis.training.analysis_data import load_analysis_data
from aqreanalysis.training.calibration import HeldOutDays, apply_bounds, daily_means, dealt, held_out_days
from aqreanalysis.training.cross_fit import DISTANCE_GRID, EVERY_DAYS, asked_networks

HOURS_THINNED = 7   # of the hours one in so many is fitted to
PENALTY = 20.0      # of a miss by 1 ug m-3 in the interval score of 90 % bounds: 2 / 0.1
DRAWS, SEED = 500, 0
SCHEMES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # of which rows are matched, and their weights
    "equal": lambda matched, land: np.ones(len(land)),
    "half land": lambda matched, land: np.where(matched, 0.5 + 0.5 * land, 1.0),
    "land": lambda matched, land: np.where(matched, land, 1.0),
    "land beside": lambda matched, land: np.where(matched, 1.0 + land, 1.0)}


def collect(recipe: str, name: str | None) -> dict[str, np.ndarray]:
    """Rows of all networks by name, with `land` (n,), the weight of a matched row, `town` (n,) and kinds of place."""
    folder = checkpoint.locate(name)
    data = load_analysis_data(recipes.load_recipe(recipe, recipes.TrainingRecipe), card=checkpoint.checked_card(folder))
    table = data.table[data.table.station_id.isin(data.split.train)].reset_index(drop=True)
    networks = np.array([data.folds[station] for station in table.station_id])
    designs = archive_designs(table, parse_grid(DISTANCE_GRID), networks, data.duplicates)
    land = {station: weight for fold in designs.folds for station, weight in fold.weights.get(MAP_MATCHED, {}).items()}
    parts = []
    for asked in asked_networks(data, folder, folder):
        model, _ = checkpoint.load(asked.folder)
        cube = data.cube(asked.stations + data.split.test, keep=asked.stations)
        parts += [held_out_days(model, cube, fold, data.days[::EVERY_DAYS]) for fold in asked.folds]
        print(f"network {asked.network} asked", flush=True)
    rows = HeldOutDays.joined(parts)
    town = dict(zip(data.table.station_id, data.table.city_number, strict=True))
    kinds = kinds_of_place(data.table)
    return {field.name: getattr(rows, field.name) for field in fields(HeldOutDays)} | {
        "land": np.array([land.get(station, 0.0) for station in rows.station]),
        "town": np.array([town[station] for station in rows.station])} | {
        place: np.isin(rows.station.astype(str), list(kinds[place])) for place in PLACES}


def kept(path: Path | None, recipe: str, name: str | None) -> dict[str, np.ndarray]:
    """The rows of a file, or of a checkpoint and then in the file."""
    if path and path.exists():
        with np.load(path) as stored:
            return dict(stored)
    found = collect(recipe, name)
    if path:
        np.savez_compressed(path, **{key: values.astype(str) if values.dtype == object else values
                                     for key, values in found.items()})
    return found


def judged(days: HeldOutDays, land: np.ndarray, group: np.ndarray) -> dict[str, np.ndarray]:
    """Daily bounds (2, n) of each scheme, fitted without the rows' own fifth of the groups (n,); `mean`, `truth` (n,)
    ug m-3; and how many `hours` (n,) are known, and `hours_inside` their bounds."""
    part, matched = dealt(group), days.design == DISTANCE_MATCHED
    found = {name: np.full((2, len(land)), np.nan) for name in SCHEMES}
    mean, truth, inside = np.full((3, len(land)), np.nan)
    for number in np.unique(part):
        others, left = days[part != number], days[part == number]
        hours = np.zeros(others.truth.shape, bool)
        hours.flat[::HOURS_THINNED] = True
        distance, day = (np.broadcast_to(a[:, None], hours.shape) for a in (others.distance, others.day))
        hourly = calibration.fit_to_prior(Prior(), *(a[hours] for a in (
            others.estimate, others.scale, others.truth, distance, day)), np.ones(hours.sum()))
        error, (of_left, lower, upper) = apply_bounds(hourly, others)[0], apply_bounds(hourly, left)
        inside[part == number] = ((lower <= left.truth) & (left.truth <= upper)).sum(axis=1)
        correlation = tuple(calibration.correlation_by_lag((others.truth - others.estimate) / error))
        asked = daily_means(left, of_left, correlation)
        mean[part == number], truth[part == number] = asked[0], asked[2]
        for name, scheme in SCHEMES.items():
            weight = scheme(matched[part != number], land[part != number])
            daily = calibration.fit_to_prior(Prior(), *daily_means(others, error, correlation), weight)
            found[name][:, part == number] = daily.apply(asked[0], asked[1], asked[3], asked[4])[1:]
    hours = (np.isfinite(days.estimate) & np.isfinite(days.truth)).sum(axis=1)
    return found | {"mean": mean, "truth": truth, "hours": hours, "hours_inside": inside}


def strata(rows: dict[str, np.ndarray], mean: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Design, stratum and weights (n,) of what is in both."""
    designs = {name: (rows["design"] == name).astype(float) for name in np.unique(rows["design"])}
    designs[MAP_MATCHED] = designs[DISTANCE_MATCHED] * rows["land"]
    slices = {"all": np.ones(len(mean), bool)} | {name: in_season(rows["day"], name) for name in SEASONS}
    slices |= {name: in_level(mean, name) for name in LEVELS} | {place: rows[place] for place in PLACES}
    for design, weight in designs.items():
        for name, which in slices.items():
            yield design, name, weight * which


def drawn(share: np.ndarray, weight: np.ndarray, week: np.ndarray, town: np.ndarray) -> tuple[float, float]:
    """Central 95 % of the weighted mean of `share` (n,), weeks and towns drawn again, each independently."""
    sums = np.zeros((2, week.max() + 1, town.max() + 1))
    for total, values in zip(sums, (weight * share, weight), strict=True):
        np.add.at(total, (week, town), values)
    rng = np.random.default_rng(SEED)
    weeks, towns = (rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float) for n in sums.shape[1:])
    above, below = (np.einsum("dw,wt,dt->d", weeks, of, towns, optimize=True) for of in sums)
    low, high = np.quantile(above[below > 0] / below[below > 0], (0.025, 0.975))
    return float(low), float(high)


def table(rows: dict[str, np.ndarray], bounds: dict[str, np.ndarray]) -> pd.DataFrame:
    """A line for each design and stratum: shares inside, scores, the interval of the first scheme's share, and NMB."""
    mean, truth = bounds["mean"], bounds["truth"]
    known = np.isfinite(mean) & np.isfinite(truth)
    week, town = (np.unique(a, return_inverse=True)[1] for a in (week_number(rows["day"]), rows["town"]))
    mean, truth, lines = np.where(known, mean, 0.0), np.where(known, truth, 0.0), []
    for design, name, weight in strata(rows, bounds["mean"]):
        weight = weight * known
        if not weight.sum():
            continue
        line = {"design": design, "stratum": name, "days": int((weight > 0).sum())}
        for scheme in SCHEMES:
            lower, upper = np.where(known, bounds[scheme], 0.0)
            inside = (lower <= truth) & (truth <= upper)
            missed = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
            line |= {f"{scheme}: inside": np.average(inside, weights=weight),
                     f"{scheme}: score": np.average(upper - lower + PENALTY * missed, weights=weight)}
            if scheme == "equal":
                line["low"], line["high"] = drawn(inside, weight, week, town)
        line["hours inside"] = (weight @ bounds["hours_inside"]) / (weight @ bounds["hours"])
        level = weight @ truth
        low, high = drawn(np.divide(mean - truth, truth, where=truth > 0, out=np.zeros(len(truth))), weight * truth,
                          week, town)
        lines.append(line | {"NMB %": 100 * (weight @ (mean - truth)) / level, "NMB low": 100 * low,
                             "NMB high": 100 * high})
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="recipe that the checkpoint was trained by, a name or a YAML file")
    parser.add_argument("--checkpoint")
    parser.add_argument("--rows", type=Path, help="file (.npz) in which the rows are kept")
    given = parser.parse_args()
    rows = kept(given.rows, given.recipe, given.checkpoint)
    days = HeldOutDays(*(rows[field.name] for field in fields(HeldOutDays)))
    print(f"{len(days.day)} station-days of {len(np.unique(days.station))} stations, {len(np.unique(days.day))} days")
    for name, group in (("other towns", rows["town"]), ("other weeks", week_number(days.day))):
        print(f"\nfitted in {name}\n")
        print(table(rows, judged(days, rows["land"], group)).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
