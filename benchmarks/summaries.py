"""Months, seasons and years of a product against the truth: the twin's in every cell, real stations' that were hidden.

    python benchmarks/summaries.py PRODUCT --out FOLDER [--limits 35,75,115]

PRODUCT is one of the twin (`aqreanalysis build` without observations), whose truth lies beside it: how often the bounds
of means, of the 98th percentile and of the number of days above limits hold, in every cell of land and in those that
stations support, beside those without what all cells have in common, and those that follow if errors are taken as
independent from day to day, and as all lasting; and
how far the number of days counted with best estimates and the expected number are from the true one.

Of any product that validated itself: the share of hours above limits at stations that were hidden, as they observed it,
as best estimates and as expected, by a normal distribution and by two half normals. Hours, since the validation keeps
those. Prints tables as Markdown; writes means.csv, counts.csv and hidden.csv.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

import aqreanalysis
from aqreanalysis import output, schema
from aqreanalysis.models.calibration import NORMAL_QUANTILE
from aqreanalysis.models.error_correlation import ATTRIBUTE, BIAS_ATTRIBUTE, of_attributes
from aqreanalysis.product.reading import DAYS, TRUTH, FinishedProduct, open_finished, open_product, read_blocks
from aqreanalysis.summaries.limits import name_of
from aqreanalysis.time_axis import HOURS_PER_DAY

EVERY = ("month", "season", "year")
CORRELATIONS = {"measured": None, "without common bias": [], "independent": [[1.0, 0.0, 1e-3]],
                "lasting": [[1.0, 1000.0, None]]}
QUANTITIES = ("pm25", "pm25_percentile_98")


def true_days(product: FinishedProduct) -> np.ndarray:
    """Daily means of the truth (days, points)."""
    found = []
    for points in output.tiles(product.grid):
        blocks = read_blocks(product, TRUTH, [schema.TARGET], points=[points])
        found.append(np.concatenate([block.arrays[schema.TARGET] for block in blocks]))
    hours = np.concatenate(found, axis=1)
    return hours.reshape(-1, HOURS_PER_DAY, product.grid.size).mean(axis=1)


def summaries(days: xr.Dataset, every: str, limits: tuple[float, ...]) -> Iterator[tuple[str, xr.Dataset]]:
    """Summaries by each correlation of CORRELATIONS."""
    for name, terms in CORRELATIONS.items():
        plain = terms if terms or terms is None else of_attributes(days.attrs, "daily")[0].with_common(0.0).plain()
        taken = days if plain is None else days.assign_attrs({ATTRIBUTE: json.dumps(plain), BIAS_ATTRIBUTE: 0.0})
        yield name, aqreanalysis.summarise(taken, every, percentiles=(98.0,), days_above=limits)


def true_summary(days: xr.Dataset, truth: np.ndarray, every: str, limits: tuple[float, ...]) -> xr.Dataset:
    """The same of the truth, on the days that the product has."""
    values = np.where(np.isfinite(days.pm25), truth.reshape(days.pm25.shape), np.nan).astype(np.float32)
    known = days.assign({schema.TARGET: (days.pm25.dims, values)})
    return aqreanalysis.summarise(known.drop_vars([schema.LOWER, schema.UPPER]), every, percentiles=(98.0,),
                                  days_above=limits)


def coverage(found: xr.Dataset, true: xr.Dataset, name: str, center: str, where: np.ndarray) -> dict[str, float]:
    """How the bounds of a variable hold in some cells; `center` is what errors are counted from."""
    lower, upper, middle = (found[of].values[..., where].astype(float) for of in
                            (f"{name}_lower", f"{name}_upper", center))
    truth = true[name].values[..., where].astype(float)
    inside, error = (truth >= lower) & (truth <= upper), truth - middle
    expected = np.sqrt((found[f"{name}_standard_error"].values[..., where].astype(float) ** 2).mean())
    return {"inside": inside.mean(), "below": (truth < lower).mean(), "above": (truth > upper).mean(),
            "width": (upper - lower).mean(), "rms error": np.sqrt((error**2).mean()), "standard error": expected,
            "bias": -error.mean()}


def against_truth(path: str, limits: tuple[float, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of means and percentiles, and of counts."""
    product = open_finished(path, (DAYS, TRUTH), verify=False)
    days, truth = open_product(path, "daily").load(), true_days(product)
    land = product.grid.land.reshape(product.grid.shape)
    means, counts = [], []
    for every in EVERY:
        true = true_summary(days, truth, every, limits)
        for name, found in summaries(days, every, limits):
            supported = land & (found.quality_flag.values == schema.SUPPORTED).all(axis=0)
            for cells, where in (("land", land), ("supported", supported)):
                key = {"period": every, "errors": name, "cells": cells}
                means += [key | {"of": of} | coverage(found, true, of, of, where) for of in QUANTITIES]
                counts += [key | {"above": limit} | of_count(found, true, f"days_above_{name_of(limit)}", where)
                           for limit in limits]
    return pd.DataFrame(means), pd.DataFrame(counts)


def of_count(found: xr.Dataset, true: xr.Dataset, name: str, where: np.ndarray) -> dict[str, float]:
    """How the bounds of a count hold, in cells and periods with any such day, and how far counts are from the truth."""
    plain, expected, truth = (of.values[..., where].astype(float) for of in
                              (found[name], found[f"{name}_expected"], true[name]))
    lower, upper = (found[f"{name}_{side}"].values[..., where] for side in ("lower", "upper"))
    live = (truth > 0) | (expected > 0.05)
    inside = (truth >= lower) & (truth <= upper)
    return {"inside": inside[live].mean(), "below": (truth < lower)[live].mean(),
            "above bound": (truth > upper)[live].mean(), "width": (upper - lower)[live].mean(),
            "true": truth.mean(), "best estimates": plain.mean(), "expected": expected.mean(),
            "mean difference, best": np.abs(plain - truth).mean(),
            "mean difference, expected": np.abs(expected - truth).mean()}


def at_hidden_stations(path: str, limits: tuple[float, ...]) -> pd.DataFrame:
    """Shares of hours above limits at hidden stations, by design of the hiding."""
    (file,) = Path(path).glob("*validation.nc")
    with xr.open_dataset(file, engine="netcdf4") as hidden:
        hidden.load()
    rows = []
    for design in np.unique(hidden.design):
        some = hidden.isel(row=np.flatnonzero(hidden.design.values == design))
        known = np.isfinite(some.observed.values)
        weight = np.broadcast_to(some.weight.values[:, None], known.shape)[known]
        observed, estimate, error, lower, upper = (some[name].values[known] for name in (
            "observed", schema.TARGET, schema.STANDARD_ERROR, schema.LOWER, schema.UPPER))
        below, above = (np.maximum(width / NORMAL_QUANTILE, 1e-3) for width in (estimate - lower, upper - estimate))
        for limit in limits:
            over = limit - estimate
            chances = {"observed": observed > limit, "best estimates": estimate > limit, "normal": ndtr(-over / error),
                       "two half normals": ndtr(-over / np.where(over > 0, above, below))}
            rows.append({"hidden": str(design), "hours above": limit, "hours": len(observed)}
                        | {name: np.average(chance, weights=weight) for name, chance in chances.items()})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table, three digits each."""
    def shown(value) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns),
             *([shown(value) for value in row] for row in table.itertuples(index=False))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limits", default="35,75,115")
    given = parser.parse_args()
    limits = tuple(float(text) for text in given.limits.split(","))
    given.out.mkdir(parents=True, exist_ok=True)
    tables = {}
    if list(Path(given.product).glob("*validation.nc")):
        tables["hidden"] = at_hidden_stations(given.product, limits)
    if list(Path(given.product).glob("*truth_hourly*")):
        tables["means"], tables["counts"] = against_truth(given.product, limits)
    for name, table in tables.items():
        table.to_csv(given.out / f"{name}.csv", index=False)
        print(f"\n{name}\n\n{markdown(table)}", flush=True)


if __name__ == "__main__":
    main()
