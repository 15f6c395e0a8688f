"""Whether the lasting bias of all cells, and its standard error, are what they should be.

    python benchmarks/common_bias.py PRODUCT ARCHIVE        # of real observations
    python benchmarks/common_bias.py PRODUCT --seed 0       # of the twin, whose map's bias is known

From the map-matched rows of the product's validation.nc. Feature by feature those 15 % of the rows that are most like
the land in it, of what the network has least of, are left out with their cities, and their mean bias is predicted from
the others: what was observed of it, with a standard error over cities, the prediction, and their difference over the
standard error of both. Of the twin also the bias that the map has on all land among the stations, in the mean of the
period, beside the estimate.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import open_product
from aqreanalysis.evaluation.designs import land_among
from aqreanalysis.evaluation.holdout import MAP_MATCHED
from aqreanalysis.evaluation.map_bias import CARRIED_ON, map_bias
from aqreanalysis.evaluation.matching import Land, standardised
from aqreanalysis.models.uncertainty import inside_hull
from aqreanalysis.observations import readers
from aqreanalysis.observations.near_duplicates import find_duplicates
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.product.reading import DAYS, open_finished
from aqreanalysis.simulation import Twin

TAIL, LEAST_HOURS, LEAST_CITIES = 0.15, 20, 4


def rows_of(product, table: pd.DataFrame) -> pd.DataFrame:
    """Map-matched station-days of the validation: means, place, city."""
    [path] = product.path.glob("*validation.nc")
    with xr.open_dataset(path) as hidden:
        hidden = hidden.isel(row=np.flatnonzero(hidden.design.values.astype(str) == MAP_MATCHED)).load()
    truth = hidden.observed.where(hidden.pm25.notnull())
    of_pair = find_duplicates(table, []).one_label(
        dict(zip(table.station_id, city_numbers(table).tolist(), strict=True)))
    rows = pd.DataFrame({
        "station": hidden.station_id.values.astype(str), "lat": hidden.lat.values, "lon": hidden.lon.values,
        "km": hidden.distance_to_nearest_station.values, "weight": hidden.weight.values,
        "day": hidden.time.values.astype("datetime64[D]"), "level": hidden.pm25.where(truth.notnull()).mean("hour"),
        "truth": truth.mean("hour")})
    rows["city"] = [of_pair[station] for station in rows.station]
    return rows[(truth.notnull().sum("hour") >= LEAST_HOURS).values].reset_index(drop=True)


def fitted(rows: pd.DataFrame, features: np.ndarray):
    """The bias at features of 0."""
    return map_bias((rows.level - rows.truth).to_numpy(), rows.level.to_numpy(), rows.weight.to_numpy(), features,
                    rows.day.to_numpy().astype("datetime64[D]"), rows.city.to_numpy(), rows.station.to_numpy())


def observed(rows: pd.DataFrame) -> tuple[float, float]:
    """The mean relative bias of rows and its standard error, by leaving cities out."""
    of_city = rows.assign(error=rows.level - rows.truth).groupby("city")[["error", "level"]].sum()
    bias = of_city.error.sum() / of_city.level.sum()
    left = (of_city.error - bias * of_city.level) / of_city.level.sum()
    return float(bias), float(np.sqrt((left**2).sum() * len(left) / (len(left) - 1)))


def tails(rows: pd.DataFrame, features: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row for each feature: its tail as observed and as predicted."""
    columns, found = np.stack(list(features.values()), axis=1), []
    for name, values in features.items():
        like_land = -np.sign(values.mean()) * values
        tail = like_land >= np.quantile(like_land, 1.0 - TAIL)
        others = ~rows.city.isin(set(rows.city[tail])).to_numpy()
        middle = np.average(columns[tail], axis=0, weights=rows.level[tail])
        made = fitted(rows[others], columns[others] - middle)
        if made is None or rows.city[tail].nunique() < LEAST_CITIES:
            continue
        bias, error = observed(rows[tail])
        of_fit = made.error / CARRIED_ON
        found.append({"feature": name, "days": int(tail.sum()), "cities": rows.city[tail].nunique(), "observed": bias,
                      "its_error": error, "predicted": made.estimate, "error": of_fit,
                      "z": (bias - made.estimate) / np.hypot(error, of_fit)})
    return pd.DataFrame(found)


def bias_of_land(product, table: pd.DataFrame) -> float:
    """Of the twin: error over estimate, summed over land cells among the stations and all days."""
    inside = product.grid.land & inside_hull(table.lat.to_numpy(), table.lon.to_numpy(), product.grid.lat,
                                             product.grid.lon)
    hours = open_product(product.path, "truth").pm25
    truth = hours.values.reshape(hours.sizes["time"] // 24, 24, -1).mean(axis=1)[:, inside]
    mean = open_product(product.path, "daily").pm25.values.reshape(len(truth), -1)[:, inside]
    known = np.isfinite(mean)
    return float((mean - truth)[known].sum() / mean[known].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("archive", nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    product = open_finished(asked.product, (DAYS,))
    table = (readers.open_archive(asked.archive) if asked.archive else Twin(asked.seed)).stations.reset_index(drop=True)
    rows = rows_of(product, table)
    land = land_among(table.lat.to_numpy(float), table.lon.to_numpy(float), product.grid)
    features, _ = standardised(Land(rows.lat.to_numpy(), rows.lon.to_numpy(), rows.km.to_numpy()), land)
    made = fitted(rows, np.stack(list(features.values()), axis=1))
    print(f"estimate {made.estimate:+.3f}, standard error {made.error:.3f}, both {made.spread:.3f}; plain "
          f"{made.plain:+.3f}" + ("" if asked.archive else f"; the map's {bias_of_land(product, table):+.3f}"))
    found = tails(rows, features)
    print(found.round(3).to_string(index=False))
    print(f"root mean square of z: {np.sqrt((found.z**2).mean()):.2f}")


if __name__ == "__main__":
    main()
