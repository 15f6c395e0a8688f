"""The true error of a map: AQ-Net and kriging on the twin, whose air is known in every cell.

    python benchmarks/twin_map.py --out FOLDER [--checkpoint NAME] [--year 2016] [--days 7] [--grid 0.1deg] [--folds N]

Some days of January, April, July and October on a grid, from the twin's whole network, against the air of every land
cell and hour; kriging, which is slow, at one land cell in nine, beside AQ-Net there. Then what stations that are left
out would have said: all of them, in the folds of `aqreanalysis evaluate` (evaluation.designs), or in some of these with
--folds, scored by what they observed, as in reality, and by the air itself at their places.
Writes map.csv, designs.csv and error_by_distance.png; prints the tables as Markdown.

The network of the shipped checkpoint was trained on real observations: nothing of the twin was seen. The twin is
smoother than real air, so its errors are smaller; what carries over is how they compare.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, workers
from aqreanalysis.evaluation import holdout
from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.distributions import LAPLACE, NORMAL
from aqreanalysis.evaluation.metrics import DISTANCES
from aqreanalysis.evaluation.predictions import IntervalPrediction, predict_hours
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.models import checkpoint, uncertainty
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.observations import screening
from aqreanalysis.observations.screening import RawObservations
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.simulation.land import city_table
from aqreanalysis.time_axis import Period

MONTHS = (1, 4, 7, 10)
CITY_KM = 10.0   # a cell this near to the centre of a city is one of the city
EVERY = 3        # rows and columns of the grid at which kriging is estimated
OURS, KRIGING = "AQ-Net", "kriging"
EVERYWHERE, FEW = "every cell", "one in nine"
SEEN, INSIDE = "hours with observations", "inside the network"
SUMS = ("n", "distance", "truth", "error", "absolute", "squared", "bounded", "covered", "width")
OBSERVED, AIR = "observed", "air"  # what withheld stations are compared with


@dataclass(frozen=True)
class Job:
    """Some days of the twin; with `folds` of stations that are left out, else the map."""

    seed: int
    checkpoint: Path
    period: Period
    grid: Grid
    folds: tuple[holdout.Fold, ...] = ()


def part_sums(prediction: IntervalPrediction, truth: np.ndarray, km: np.ndarray, chosen: np.ndarray,
              weight: np.ndarray | float = 1.0) -> np.ndarray:
    """SUMS over the `chosen` pairs; arrays (time, point) but for `km` (point,); `chosen` (point,) or (time, point).

    `weight` (point,) says how much each point counts.
    """
    chosen = chosen & np.isfinite(truth) & np.isfinite(prediction.pm25)
    km, weight = (np.broadcast_to(of_points, truth.shape)[chosen] for of_points in (km, weight))
    truth, estimate, lower, upper = (a[chosen].astype(np.float64) for a in
                                     (truth, prediction.pm25, prediction.lower, prediction.upper))
    miss, bounded = estimate - truth, np.isfinite(lower) & np.isfinite(upper)
    return np.stack([np.ones(len(truth)), km, truth, miss, np.abs(miss), miss**2, bounded,
                     (lower <= truth) & (truth <= upper), np.where(bounded, upper - lower, 0.0)]) @ weight


def by_distance(km: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Masks (points,) of the classes of distance."""
    edges = zip(DISTANCES[:-1], DISTANCES[1:], strict=True)
    return {("distance", f"{low:g}-{high:g} km" if np.isfinite(high) else f"over {low:g} km"): (km >= low) & (km < high)
            for low, high in edges}


def estimated(model, cube: xr.Dataset, hours: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> IntervalPrediction:
    """A model's prediction at places in the hours of whole days."""
    return predict_hours(model, cube, schema.make_targets(hours, lat, lon),
                         NORMAL if isinstance(model, Kriging) else LAPLACE)


def at_points(prediction: IntervalPrediction, which: np.ndarray) -> IntervalPrediction:
    """A prediction at some of its points, a mask (point,)."""
    arrays = {name: getattr(prediction, name)[:, which] for name in ("pm25", "error", "lower", "upper")}
    return replace(prediction, **arrays)


def map_parts(job: Job, model, cube: xr.Dataset, lat: np.ndarray, lon: np.ndarray, km: np.ndarray) -> dict:
    """What the land cells are cut in: (cut, part) -> mask (hours, cells).

    Hours without any observation near a cell, in which kriging has nothing to say and no station can be withheld, are
    in the first part and in a class of their own only.
    """
    cities = city_table()
    city = holdout.nearest_remaining(cities.lat.to_numpy(), cities.lon.to_numpy(), lat, lon) <= CITY_KM
    supporters = model.prepare(cube, job.period.hours).supporters(lat, lon)
    support = uncertainty.Support(supporters, cube.lat.values, cube.lon.values, lat, lon, np.ones(len(lat), bool))
    _, flag = support.of_hours(np.isfinite(cube.pm25.sel(time=job.period.hours).values))
    told = flag != schema.NO_OBSERVATIONS
    inside = uncertainty.inside_hull(cube.lat.values, cube.lon.values, lat, lon)
    parts = {("land", SEEN): told, ("land", INSIDE): told & inside,
             ("land", f"city: {CITY_KM:g} km round a centre"): told & city, ("land", "countryside"): told & ~city,
             **{("quality class", name): flag == number for number, name in enumerate(schema.QUALITY)
                if number != schema.SEA},
             **{part: told & mask for part, mask in by_distance(km).items()}}
    return {("land", "every hour"): np.ones(flag.shape, bool)} | parts


def score_map(job: Job) -> dict[tuple, np.ndarray]:
    """SUMS by (model, places, cut, part) of one stretch."""
    archive = TwinArchive(job.seed)
    model, _ = checkpoint.load(job.checkpoint)
    cube = screening.observations_around(archive, model, job.period)
    cells, hours = np.flatnonzero(job.grid.land), job.period.hours
    lat, lon = job.grid.lat[cells], job.grid.lon[cells]
    row, column = np.divmod(cells, job.grid.shape[1])
    few = (row % EVERY == 1) & (column % EVERY == 1)
    km = holdout.nearest_remaining(cube.lat.values, cube.lon.values, lat, lon)
    truth = archive.twin.truth(hours, lat, lon)
    ours = estimated(model, cube, hours, lat, lon)
    kriged = estimated(Kriging(), cube, hours, lat[few], lon[few])
    both = np.isfinite(kriged.pm25)
    found = {}
    for part, mask in map_parts(job, model, cube, lat, lon, km).items():
        found[OURS, EVERYWHERE, *part] = part_sums(ours, truth, km, mask)
        for name, prediction in ((OURS, at_points(ours, few)), (KRIGING, kriged)):
            found[name, FEW, *part] = part_sums(prediction, truth[:, few], km[few], mask[:, few] & both)
    return found


def score_folds(job: Job) -> dict[tuple, np.ndarray]:
    """SUMS by (model, truth, cut, part) of one stretch at stations that are left out; a part is a design.

    The classes of distance are of all stations in all designs, each counting once in each.
    """
    archive = TwinArchive(job.seed)
    model, _ = checkpoint.load(job.checkpoint)
    raw, hours = RawObservations.around(archive, model, job.period), job.period.hours
    whole = raw.screened()
    found = defaultdict(lambda: np.zeros(len(SUMS)))
    for fold in job.folds:
        seen, known = raw.screened(fold.removed), set(whole.station.values)
        seen = seen.drop_sel(station=[s for s in fold.removed if s in known])
        scored = [s for s in fold.asked if s in known]
        asked = whole.sel(station=scored)
        lat, lon = asked.lat.values, asked.lon.values
        km = holdout.nearest_remaining(seen.lat.values, seen.lon.values, lat, lon)
        observed = asked.pm25.sel(time=hours).values
        air = np.where(np.isfinite(observed), archive.twin.truth(hours, lat, lon), np.nan)
        parts = {("design", design): fold.weights_of(design, scored) for design in fold.scored}
        parts |= {part: mask.astype(float) for part, mask in by_distance(km).items()}
        for name, of in ((OURS, model), (KRIGING, Kriging())):
            prediction = estimated(of, seen, hours, lat, lon)
            for kind, truth in ((OBSERVED, observed), (AIR, air)):
                for part, weight in parts.items():
                    found[name, kind, *part] += part_sums(prediction, truth, km, weight > 0, weight)
    return dict(found)


def folds(seed: int, grid: Grid, at_most: int | None) -> tuple[holdout.Fold, ...]:
    """The designs of `aqreanalysis evaluate`, of each at most so many folds; training saw no station of the twin."""
    of_design: dict[tuple[str, ...], list[holdout.Fold]] = {}
    for fold in archive_designs(TwinArchive(seed).stations, grid).folds:
        of_design.setdefault(tuple(fold.scored), []).append(fold)
    return tuple(fold for each in of_design.values() for fold in each[:at_most])


def added(parts: Iterable[dict[tuple, np.ndarray]], names: list[str]) -> pd.DataFrame:
    """Scores of the sums of all parts, a row for each key, in the order in which they come."""
    total = defaultdict(lambda: np.zeros(len(SUMS)))
    for part in parts:
        for key, sums in part.items():
            total[key] += sums
    rows = pd.DataFrame(list(total.values()), columns=SUMS, index=pd.MultiIndex.from_tuples(total, names=names))
    rows = rows[rows.n > 0]
    return pd.DataFrame({"n": rows.n.astype(int), "distance_km": rows.distance / rows.n, "MAE": rows.absolute / rows.n,
                         "RMSE": np.sqrt(rows.squared / rows.n), "NMB_percent": 100 * rows.error / rows.truth,
                         "coverage_90": rows.covered / rows.bounded, "width_90": rows.width / rows.bounded})


def map_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each part of the map: AQ-Net in every cell, kriging and skill at the same few."""
    ours, few, kriged = (scores.xs(key, level=("model", "cells")) for key in
                         ((OURS, EVERYWHERE), (OURS, FEW), (KRIGING, FEW)))
    return pd.DataFrame({
        "share of cell-hours, %": 100 * ours.n / ours.n[("land", "every hour")], "km": ours.distance_km,
        "MAE": ours.MAE, "RMSE": ours.RMSE, "NMB, %": ours.NMB_percent, "in 90 %": ours.coverage_90,
        "width": ours.width_90, "kriging MAE": kriged.MAE, "kriging RMSE": kriged.RMSE,
        "kriging in 90 %": kriged.coverage_90, "skill, %": 100 * (1 - few.MAE / kriged.MAE)}).reindex(ours.index)


def design_table(designs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What each design says of a map's error, over the true error inside the network."""
    rows = designs.xs("design", level="cut")
    observed, air = (rows.xs(kind, level="truth") for kind in (OBSERVED, AIR))
    true = {OURS: scores.MAE[(OURS, EVERYWHERE, "land", INSIDE)], KRIGING: scores.MAE[(KRIGING, FEW, "land", INSIDE)]}
    known = set(rows.index.get_level_values("part"))
    shown = [name for name in (holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES, holdout.DISTANCE_MATCHED,
                               holdout.MAP_MATCHED) if name in known]
    order = pd.MultiIndex.from_product([shown, true], names=["design", "model"])
    at = [(model, design) for design, model in order]
    table = pd.DataFrame({"km": observed.distance_km[at].to_numpy(), "in 90 %": observed.coverage_90[at].to_numpy(),
                          "true MAE of the map": [true[model] for model, _ in at],
                          "MAE, as observed": observed.MAE[at].to_numpy(), "of the air": air.MAE[at].to_numpy()}, order)
    for kind in ("MAE, as observed", "of the air"):
        table[f"{kind}, over the true"] = table[kind] / table["true MAE of the map"]
    return table


def figure_of(scores: pd.DataFrame, designs: pd.DataFrame):
    """MAE against distance: the map's true error as lines, what withheld stations say as dots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for model, cells, ink in ((OURS, EVERYWHERE, "#b2182b"), (KRIGING, FEW, "#2166ac")):
        curve = scores.xs((model, cells, "distance"), level=("model", "cells", "cut"))
        ax.plot(curve.distance_km, curve.MAE, color=ink, label=f"{model}: the map's true error")
        for kind, marker, words in ((AIR, "o", "the air at withheld stations"), (OBSERVED, "x", "what they observe")):
            dots = designs.xs((model, kind, "distance"), level=("model", "truth", "cut"))
            ax.plot(dots.distance_km, dots.MAE, marker, color=ink, ms=4, mfc="white", label=f"{model}: {words}")
    ax.set(xlabel="distance to the nearest given station (km)", ylabel="MAE (µg m$^{-3}$)", xlim=(0, None),
           ylim=(0, None), title="The twin: error of hourly PM2.5 on the map, and as withheld stations tell it")
    ax.grid(color="#eeeeee")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers with at most three figures that matter."""
    table = table.reset_index()
    say = lambda value: value if isinstance(value, str) else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: E731
    lines = [[str(name) for name in table], ["---"] * table.shape[1],
             *([say(value) for value in row] for row in table.itertuples(index=False))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--checkpoint")
    parser.add_argument("--year", type=int, default=2016)
    parser.add_argument("--days", type=int, default=7, help="of each of the four months, from the tenth on")
    parser.add_argument("--grid", default="0.1deg")
    parser.add_argument("--folds", type=int, help="of each design at most; all if it is not given")
    parser.add_argument("--seed", type=int, default=0, help="of the twin")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    folder, grid = checkpoint.locate(given.checkpoint), parse_grid(given.grid)
    periods = [Period(first := dt.date(given.year, month, 10), first + dt.timedelta(days=given.days - 1))
               for month in MONTHS]
    maps = [Job(given.seed, folder, period, grid) for period in periods]
    left_out = [replace(job, folds=folds(given.seed, grid, given.folds)) for job in maps]
    scores = added(workers.run_jobs(score_map, maps, given.workers), ["model", "cells", "cut", "part"])
    designs = added(workers.run_jobs(score_folds, left_out, given.workers), ["model", "truth", "cut", "part"])
    given.out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(given.out / "map.csv", float_format="%.6g")
    designs.to_csv(given.out / "designs.csv", float_format="%.6g")
    save_figure(figure_of(scores.sort_values("distance_km"), designs.sort_values("distance_km")),
                given.out / "error_by_distance.png")
    print(markdown(map_table(scores)), markdown(design_table(designs, scores)), sep="\n\n")


if __name__ == "__main__":
    main()
