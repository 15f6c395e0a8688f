"""Whether the intervals of areas' means hold the truth, which the twin knows: by size of area and length of period.

    python benchmarks/areas.py PRODUCT [--fine-days 8] [--seed 0]

PRODUCT is of the twin (`aqreanalysis build` without observations), with its truth. Areas are squares among the network
of the sizes of a county (2,000 km2), a city (15,000 km2) and, with the provinces that ship, a province (150,000 km2).
For each size and period: the share of true means inside the 90 % bounds, the root mean square of error over standard
error, the mean width, and that of two naive intervals, of errors that are independent and of errors that are all the
same, with the shares that these hold. The truth of an area is the mean of the truth at the middles of its cells; with
--fine-days it is that of 25 places in each cell, on so many days, for squares of a county's size (--seed: of the twin
that the product is of).
"""

from __future__ import annotations

import argparse

import geopandas
import numpy as np
import pandas as pd
import shapely

from aqreanalysis import open_product
from aqreanalysis.grids.areas import areas_of_frame, read_areas
from aqreanalysis.grids.coverage import cover
from aqreanalysis.models.uncertainty import inside_hull
from aqreanalysis.product.area_means import NORMAL
from aqreanalysis.product.reading import DAYS, HOURS, open_finished
from aqreanalysis.simulation import Twin
from aqreanalysis.workflows.areas import AreaRequest, area_means, area_plan

KM2 = {"county": 2_000.0, "city": 15_000.0, "province": 150_000.0}
DEGREE_KM = 111.2
APART = {"county": 0.9, "city": 2.0, "province": 3.0}  # degrees from one to the next
FINE = 5  # places along each side of a cell
EVERY = ("hour", "day", "month", "all")


def squares(size: str, lat: np.ndarray, lon: np.ndarray) -> geopandas.GeoDataFrame:
    """Squares of a size whose corners lie in the hull of the stations."""
    side, found = np.sqrt(KM2[size]), []
    for south in np.arange(29.1, 43.0, APART[size]):
        for west in np.arange(106.1, 125.0, APART[size]):
            box = shapely.box(west, south, west + side / (DEGREE_KM * np.cos(np.radians(south + 1))),
                              south + side / DEGREE_KM)
            x, y = shapely.get_coordinates(box).T
            if inside_hull(lat, lon, y, x).all() and y.max() < 43.0 and x.max() < 125.0:
                found.append(box)
    return geopandas.GeoDataFrame({"name": [f"{size} {n}" for n in range(len(found))]}, geometry=found, crs=4326)


def truth_and_naive(data, product, matrix, every: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True means (areas, periods), and standard errors of independent errors and of errors that are all the same."""
    frequency = HOURS if every == "hour" else DAYS
    truth = open_product(product, "truth").pm25
    cube = open_product(product, frequency)
    error = cube.pm25_standard_error.values.reshape(cube.sizes["time"], -1)
    values = truth.values.reshape(truth.sizes["time"], -1)
    if every != "hour":
        values = values.reshape(-1, 24, values.shape[1]).mean(axis=1)
    of_areas, alone, same = values @ matrix.T, error**2 @ (matrix.T.multiply(matrix.T)), error @ matrix.T
    if every in ("hour", "day"):
        return of_areas.T, np.sqrt(alone).T, same.T
    bounds = data["time_bnds"].values
    rows = [(cube.time.values > start) & (cube.time.values <= end) for start, end in bounds]
    return (np.stack([of_areas[some].mean(axis=0) for some in rows], axis=1),
            np.stack([np.sqrt(alone[some].sum(axis=0)) / some.sum() for some in rows], axis=1),
            np.stack([same[some].mean(axis=0) for some in rows], axis=1))


def row_of(size: str, every: str, mean, error, truth, alone, same) -> dict:
    """What a size and a period have."""
    areas = len(mean)
    known = np.isfinite(mean) & np.isfinite(truth)  # days of too few hours have no value
    mean, error, truth, alone, same = (of[known] for of in (mean, error, truth, alone, same))
    miss = truth - mean
    held = [100 * (np.abs(miss) <= NORMAL * e).mean() for e in (error, alone, same)]
    return {"size": size, "every": every, "areas": areas, "means": mean.size, "inside": held[0],
            "z_rms": np.sqrt(((miss / error) ** 2).mean()), "bias": -miss.mean(), "rmse": np.sqrt((miss**2).mean()),
            "width": 2 * NORMAL * error.mean(), "width_independent": 2 * NORMAL * alone.mean(),
            "inside_independent": held[1], "width_same": 2 * NORMAL * same.mean(), "inside_same": held[2]}


def fine_truth(product: str, frame, days: int, seed: int) -> list[dict]:
    """A county's hours and days with the truth at FINE x FINE places of each cell."""
    found = open_finished(product, (HOURS,))
    grid = found.grid
    areas = areas_of_frame(frame)
    share = cover(areas, grid)
    cells = np.unique(share.share.indices)
    offsets = (np.arange(FINE) - FINE // 2) / FINE * np.diff(grid.axis_lat).mean()
    y, x = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing="ij"))
    stamps = found.stamps(HOURS)
    chosen = np.linspace(0, len(stamps) // 24 - 1, days).astype(int)
    hours = np.concatenate([stamps[24 * day:24 * day + 24] for day in chosen])
    twin, total = Twin(seed), np.zeros((len(hours), len(cells)))
    for dy, dx in zip(y, x, strict=True):
        total += twin.truth(hours, grid.lat[cells] + dy, grid.lon[cells] + dx) / len(y)
    weights = share.weights[:, cells]
    truth = (weights @ total.T) / np.asarray(weights.sum(axis=1))[:, None]
    of_days = truth.reshape(len(truth), -1, 24).mean(axis=2)
    rows = []
    for every, means, times in (("hour", truth, hours), ("day", of_days, hours[23::24])):
        made = area_means(product, frame, every=every).sel(time=times.astype("datetime64[ns]"))
        nothing = np.ones_like(means)
        rows.append(row_of("county, fine truth", every, made.pm25.values, made.pm25_standard_error.values, means,
                           nothing, nothing))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("--fine-days", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    network, rows = Twin(0).stations, []
    lat, lon = network.lat.to_numpy(), network.lon.to_numpy()
    for size in (*KM2, "provinces that ship"):
        frame = squares(size, lat, lon) if size in KM2 else read_areas().frame().rename(columns={"area": "name"})
        for every in EVERY:
            plan = area_plan(AreaRequest(asked.product, every), areas_of_frame(frame))
            matrix = plan.coverage.weights
            matrix = matrix.multiply(1.0 / np.asarray(matrix.sum(axis=1)).ravel()[:, None]).tocsr()
            data = area_means(asked.product, frame, every=every)
            rows.append(row_of(size, every, data.pm25.values, data.pm25_standard_error.values,
                               *truth_and_naive(data, asked.product, matrix, every)))
            print(pd.DataFrame(rows[-1:]).round(2).to_string(index=False, header=len(rows) == 1), flush=True)
        if size == "county" and asked.fine_days:
            print(pd.DataFrame(fine_truth(asked.product, frame, asked.fine_days, asked.seed)).round(2).to_string(
                index=False))


if __name__ == "__main__":
    main()
