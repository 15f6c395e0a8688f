"""What a graph network draws where stations are few: a day's map, with all stations and with half of them taken away.

    python benchmarks/lonely_places.py --out FOLDER [--observations PATH] [--day 2016-01-12] [--grid 0.25deg]
        [--models spin-north-china-2019 kriging aqnet-north-china-2019]

Without observations the twin, whose air is known in every cell. A map invents nothing if no cell is above all that the
stations in reach reported on that day: `above` is the share of land cells whose mean of the day is higher than that of
every station within 200 km, `below` the share of those that are lower than all of them, `rough` the mean difference of
neighbouring cells. With the twin also the mean absolute error of the day in cells by distance to the nearest station
that was left. The other half of the stations is drawn with a seed. Writes maps.png and cells.csv, prints Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.evaluation import holdout
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.models import registry
from aqreanalysis.observations import screening
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.time_axis import parse_period

REACH_KM, DISTANCES = 200.0, (0, 25, 50, 100, np.inf)
MODELS = ("spin-north-china-2019", "kriging", "aqnet-north-china-2019")


def day_means(name: str, cube, hours: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """A model's mean of the day at places (points,), ug m-3."""
    found = registry.load_model(name).predict(cube, schema.make_targets(hours, lat, lon))
    return np.nanmean(found[schema.TARGET].values, axis=0)


def invented(mean: np.ndarray, observed: np.ndarray, near: np.ndarray, pairs: np.ndarray) -> dict[str, float]:
    """`above`, `below` in per cent of the cells with a station in reach, `near` (cells, stations), and `rough`."""
    known = near & np.isfinite(observed)
    some = known.any(axis=1)
    highest = np.where(known, observed, -np.inf).max(axis=1)[some]
    lowest = np.where(known, observed, np.inf).min(axis=1)[some]
    return {"above": 100 * (mean[some] > highest).mean(), "below": 100 * (mean[some] < lowest).mean(),
            "rough": np.abs(mean[pairs[0]] - mean[pairs[1]]).mean()}


def neighbouring(number: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pairs (2, n) of neighbouring cells, as positions among the cells of these numbers."""
    at = np.full(shape, -1)
    at.flat[number] = np.arange(number.size)
    pairs = np.concatenate([np.stack([at[:, :-1].ravel(), at[:, 1:].ravel()]),
                            np.stack([at[:-1].ravel(), at[1:].ravel()])], axis=1)
    return pairs[:, (pairs >= 0).all(axis=0)]


def draw(maps: dict[str, np.ndarray], cubes: dict[str, xr.Dataset], grid: Grid, cells: np.ndarray, title: str,
         path: Path) -> None:
    """A row of panels for each set of stations; `maps` by `MODEL, STATIONS`."""
    names = list(dict.fromkeys(key.split(", ")[0] for key in maps))
    figure, axes = plt.subplots(len(cubes), len(names), figsize=(3.6 * len(names), 3.0 * len(cubes)),
                                layout="constrained", squeeze=False)
    highest = np.nanpercentile(np.concatenate(list(maps.values())), 99.5)
    lat, lon = (of.reshape(grid.shape) for of in (grid.lat, grid.lon))
    for row, (which, cube) in zip(axes, cubes.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            if (mean := maps.get(f"{name}, {which}")) is None:
                ax.set_axis_off()
                continue
            full = np.full(grid.shape, np.nan)
            full.flat[cells] = mean
            shown = ax.pcolormesh(lon, lat, full, vmin=0, vmax=highest, cmap="viridis", shading="nearest")
            ax.plot(cube.lon, cube.lat, ".", color="white", ms=1.2)
            ax.set_title(f"{name}, {which}", fontsize=9)
            ax.set(aspect=1.25, xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="PM2.5, mean of the day, µg m⁻³", shrink=0.7)
    figure.suptitle(title)
    save_figure(figure, path)


def compared(cubes: dict[str, xr.Dataset], models: list[str], hours: np.ndarray, lat: np.ndarray, lon: np.ndarray,
             truth: np.ndarray | None, pairs: np.ndarray) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The maps by `MODEL, STATIONS`, and a row of the table for each; `truth` (cells,) ug m-3."""
    maps = {} if truth is None else {"the twin's air, all stations": truth}
    rows = []
    for which, seen in cubes.items():
        observed = seen[schema.TARGET].sel(time=hours).mean("time").values
        near = geo.pairwise_distance_km(lat, lon, seen.lat.values, seen.lon.values) < REACH_KM
        km = holdout.nearest_remaining(seen.lat.values, seen.lon.values, lat, lon)
        for name in models:
            mean = maps[f"{name}, {which}"] = day_means(name, seen, hours, lat, lon)
            row = {"stations": which, "model": name, **invented(mean, observed, near, pairs)}
            if truth is not None:
                miss = np.abs(mean - truth)
                row |= {"MAE": np.nanmean(miss)} | {
                    f"{low:g} to {high:g} km": np.nanmean(miss[(km >= low) & (km < high)])
                    for low, high in zip(DISTANCES[:-1], DISTANCES[1:], strict=True)}
            rows.append(row)
    return maps, pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--observations")
    parser.add_argument("--day", default="2016-01-12")
    parser.add_argument("--grid", default="0.25deg")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    archive = ObservationFiles(given.observations, None, None).open() if given.observations else TwinArchive()
    period, grid = parse_period(None, given.day, given.day), parse_grid(given.grid)
    cube = screening.observations_around(archive, registry.load_model(None), period)
    cells = np.flatnonzero(grid.land)
    lat, lon = grid.lat[cells], grid.lon[cells]
    kept = np.random.default_rng(given.seed).random(cube.sizes["station"]) < 0.5
    cubes = {"all stations": cube, "half of them": cube.isel(station=kept)}
    truth = None if given.observations else archive.twin.truth(period.hours, lat, lon).mean(axis=0)
    maps, table = compared(cubes, given.models, period.hours, lat, lon, truth, neighbouring(cells, grid.shape))
    table.to_csv(given.out / "cells.csv", index=False)
    print("\n".join(["| " + " | ".join(table.columns) + " |", "|" + "---|" * table.shape[1]] + [
        "| " + " | ".join(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row) + " |"
        for row in table.itertuples(index=False)]))
    draw(maps, cubes, grid, cells, f"{'SIMULATED: the twin, ' if truth is not None else ''}{given.day}",
         given.out / "maps.png")


if __name__ == "__main__":
    main()
