"""Whether a checkpoint's bounds hold better, on the map's land too, if the rows that they are fitted to are weighted
like it, and if factors depend on how many people live round a place.

    python benchmarks/row_weights.py RECIPE [--checkpoint NAME|FOLDER] [--rows FILE]

Rows are those that `train RECIPE --calibrate` fits to: stations left out on every eighth day, estimated by the network
that never saw them. Factors of hours and of days are fitted in three ways: with equal weights and without people, as
they were until 29 November 2026; with weights by which the distance-matched rows stand for the map's land
(evaluation/matching.py); and with people too, as they ship. Each time without a fifth of the towns, or of the weeks,
and judged there: the share of hours and of days inside the bounds, of days with its 95 % interval over weeks and towns,
and the mean interval score of days, in each design and on the land, by season, estimated level and kind of place. It
also prints the bias of each stratum. Rows are kept in FILE, and are those of FILE if it exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import recipes
from aqreanalysis.evaluation.statistics import week_number
from aqreanalysis.evaluation.strata import LEVELS, PLACES, SEASONS, in_level, in_season, kinds_of_place
from aqreanalysis.models import calibration, checkpoint
from aqreanalysis.models.sites import Sites
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.analysis_data import load_analysis_data
from aqreanalysis.training.calibration import HeldOutDays, apply_bounds, daily_means, dealt, held_out_days
from aqreanalysis.training.cross_fit import EVERY_DAYS, asked_networks

HOURS_THINNED = 7   # of the hours one in so many is fitted to
PENALTY = 20.0      # of a miss by 1 ug m-3 in the interval score of 90 % bounds: 2 / 0.1
DRAWS, SEED = 500, 0
EQUAL, LAND, SHIPPED = "equal", "land", "land and people"
SCHEMES = (EQUAL, LAND, SHIPPED)


def collect(recipe: str, name: str | None) -> dict[str, np.ndarray]:
    """Rows of all networks by name, with `town` (n,) and kinds of place."""
    folder = checkpoint.locate(name)
    data = load_analysis_data(recipes.load_recipe(recipe, recipes.TrainingRecipe), card=checkpoint.checked_card(folder))
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


class WithoutPeople(HeldOutDays):
    """Rows of places of which nobody knows how many people live there."""

    @property
    def sites(self) -> Sites:  # type: ignore[override]
        return Sites.at_km(self.distance)


def as_of(scheme: str, days: HeldOutDays) -> HeldOutDays:
    """The rows as a scheme has them."""
    if scheme == SHIPPED:
        return days
    plain = WithoutPeople(*(getattr(days, field.name) for field in fields(days)))
    return plain if scheme == LAND else replace(plain, weight=np.ones(len(days.day)))


def thinned(days: HeldOutDays) -> HeldOutDays:
    """With one of so many hours alone, the others unknown."""
    kept = np.zeros(days.truth.shape, bool)
    kept.flat[::HOURS_THINNED] = True
    return replace(days, truth=np.where(kept, days.truth, np.nan))


def judged(days: HeldOutDays, group: np.ndarray) -> dict:
    """Of each scheme daily bounds (2, n) and how many hours lie `inside` theirs (n,), fitted without the rows' own
    fifth of the groups (n,), under (scheme, name)."""
    part, found = dealt(group), {}
    for scheme in SCHEMES:
        rows = as_of(scheme, days)
        bounds, inside, mean, truth = np.full((2, len(part)), np.nan), *np.full((3, len(part)), np.nan)
        for number in np.unique(part):
            others, left = rows[part != number], rows[part == number]
            few = thinned(others)
            hourly = calibration.fit(few.estimate.ravel(), few.scale.ravel(), few.truth.ravel(),
                                     few.sites[np.repeat(np.arange(len(few.day)), HOURS_PER_DAY)],
                                     np.repeat(few.day, HOURS_PER_DAY), np.repeat(few.weight, HOURS_PER_DAY))
            error, (of_left, lower, upper) = apply_bounds(hourly, others)[0], apply_bounds(hourly, left)
            inside[part == number] = ((lower <= left.truth) & (left.truth <= upper)).sum(axis=1)
            correlation = tuple(calibration.correlation_by_lag((others.truth - others.estimate) / error))
            daily = calibration.fit(*daily_means(others, error, correlation), others.weight)
            asked = daily_means(left, of_left, correlation)
            mean[part == number], truth[part == number] = asked[0], asked[2]
            bounds[:, part == number] = daily.apply(asked[0], asked[1], asked[3], asked[4])[1:]
        found |= {(scheme, "bounds"): bounds, (scheme, "inside"): inside}
    hours = (np.isfinite(days.estimate) & np.isfinite(days.truth)).sum(axis=1)
    return found | {"mean": mean, "truth": truth, "hours": hours}


def strata(days: HeldOutDays, places: dict[str, np.ndarray], mean: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Design, stratum and weights (n,) of what is in both."""
    slices = {"all": np.ones(len(mean), bool)} | {name: in_season(days.day, name) for name in SEASONS}
    slices |= {name: in_level(mean, name) for name in LEVELS} | places
    for design, weight in days.designs.items():
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


def table(days: HeldOutDays, rows: dict[str, np.ndarray], bounds: dict) -> pd.DataFrame:
    """A line for each design and stratum: shares inside and scores of each scheme, the interval of what ships, NMB."""
    mean, truth = bounds["mean"], bounds["truth"]
    known = np.isfinite(mean) & np.isfinite(truth)
    week, town = (np.unique(a, return_inverse=True)[1] for a in (week_number(days.day), rows["town"]))
    mean, truth, lines = np.where(known, mean, 0.0), np.where(known, truth, 0.0), []
    for design, name, weight in strata(days, {place: rows[place] for place in PLACES}, bounds["mean"]):
        line: dict = {"design": design, "stratum": name, "days": int((weight * known > 0).sum())}
        if not line["days"]:
            continue
        line |= {f"{scheme}: hours": (weight @ bounds[scheme, "inside"]) / (weight @ bounds["hours"])
                 for scheme in SCHEMES}
        weight = weight * known
        for scheme in SCHEMES:
            lower, upper = np.where(known, bounds[scheme, "bounds"], 0.0)
            inside = (lower <= truth) & (truth <= upper)
            missed = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
            line |= {f"{scheme}: days": np.average(inside, weights=weight),
                     f"{scheme}: below": np.average(truth < lower, weights=weight),
                     f"{scheme}: score": np.average(upper - lower + PENALTY * missed, weights=weight)}
        line["low"], line["high"] = drawn(inside, weight, week, town)
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
        print(table(days, rows, judged(days, group)).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
