"""Scores of pairs of two products, and of both beside observations, from sums.

Of two products: over all cells and periods, each weighted by its area; `bias` is the other less the product. Beside
observations: over all stations and periods; `bias` is the product less what was observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.evaluation.metrics import MQI_SHARE
from aqreanalysis.evaluation.statistics import FAIRMODE_ALPHA, FAIRMODE_LEVEL, FAIRMODE_UNCERTAINTY
from aqreanalysis.evaluation.strata import SEASONS, in_season
from aqreanalysis.product.comparison.pairs import EVERY, PairSums
from aqreanalysis.schema import UNITS

OURS, OTHER = "product", "other"
LEAST_PERIODS = 5   # of a station, so that it has scores of its own
LEAST_CORRELATED = 10  # periods of a cell, so that it has a correlation
SUMS = ("n", "weight", "ours", "other", "ours_squared", "other_squared", "product", "absolute", "held", "bounded")
WORDS = {"bias": "the other less the product", "NMB_percent": "bias over the product's mean",
         "r": "Pearson's correlation of all cells and periods", "MAE": "mean absolute difference",
         "held_percent": "share of the product's cells and days whose 90 % bounds hold the other's value there"}


def pair_table(sums: PairSums, kind: str) -> pd.DataFrame:
    """Scores of all periods, of seasons, months and years, a row each: columns by, slice, periods, pairs and scores."""
    rows = pd.DataFrame(sums.rows)
    days = rows["day"].to_numpy().astype("datetime64[D]")
    found = [_scores(EVERY, EVERY, rows)]
    if kind != "year":
        found += [_scores("season", name, rows[chosen]) for name in SEASONS if (chosen := in_season(days, name)).any()]
        months = days.astype("datetime64[M]")
        found += [_scores("month", str(month), rows[months == month]) for month in np.unique(months)]
    years = days.astype("datetime64[Y]")
    if len(np.unique(years)) > 1:
        found += [_scores("year", str(year), rows[years == year]) for year in np.unique(years)]
    return pd.DataFrame(found)


def _scores(by: str, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    total = rows[list(SUMS)].sum()
    weight = total.weight if total.weight > 0 else np.nan
    ours, other = total.ours / weight, total.other / weight
    spread = [max(total[f"{one}_squared"] / weight - mean**2, 0.0) for one, mean in (("ours", ours), ("other", other))]
    covariance = total["product"] / weight - ours * other
    square = (total.ours_squared + total.other_squared - 2 * total["product"]) / weight
    both = np.sqrt(spread[0] * spread[1])
    return {"by": by, "slice": name, "periods": int((rows.n > 0).sum()), "pairs": int(total.n), "mean_product": ours,
            "mean_other": other, "bias": other - ours, "NMB_percent": 100 * (other - ours) / ours,
            "MAE": total.absolute / weight, "RMSE": np.sqrt(max(square, 0.0)),
            "r": covariance / both if both > 0 else np.nan, "sd_product": np.sqrt(spread[0]),
            "sd_other": np.sqrt(spread[1]),
            "held_percent": 100 * total.held / total.bounded if total.bounded else np.nan}


def pair_maps(sums: PairSums) -> xr.Dataset:
    """Means of both and their difference, ug m-3, by season and of all (season, lat, lon); pairs; and correlation."""
    names = list(sums.seasons) + ([] if sums.seasons == (EVERY,) else [EVERY])
    several = len(names) > 1

    def with_all(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array, array.sum(axis=0, keepdims=True)]) if several else array

    count, ours, other = (with_all(array) for array in (sums.count, sums.ours, sums.other))
    n = np.where(count > 0, count, np.nan)
    total = n[-1]
    mean, theirs = ours[-1] / total, other[-1] / total
    spread = [square / total - value**2 for square, value in zip(sums.squares, (mean, theirs, 0.0), strict=True)]
    tiny = 1e-9 * np.maximum(mean * theirs, 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (spread[2] - mean * theirs) / np.sqrt(spread[0] * spread[1])
        r = np.where((total >= LEAST_CORRELATED) & (spread[0] > tiny) & (spread[1] > tiny), r, np.nan)
    lat, lon = sums.axes.centres()
    dims, units = ("season", "lat", "lon"), {"units": UNITS["pm25"]}
    return xr.Dataset(
        {"pm25_product": (dims, ours / n, units | {"long_name": "mean PM2.5 of the product"}),
         "pm25_other": (dims, other / n, units | {"long_name": "mean PM2.5 of the other product"}),
         "difference": (dims, (other - ours) / n, units | {"long_name": "mean PM2.5, the other less the product"}),
         "pairs": (dims, count.astype(np.int32), {"units": "1", "long_name": "periods that both have"}),
         "correlation": (dims[1:], r, {"units": "1", "long_name": "Pearson's correlation over periods"})},
        coords={"season": np.array(names, object),
                "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude", "bounds": "lat_bnds"}),
                "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude", "bounds": "lon_bnds"}),
                "lat_bnds": (("lat", "nv"), sums.axes.lat), "lon_bnds": (("lon", "nv"), sums.axes.lon)})


@dataclass(frozen=True, eq=False)
class StationSet:
    """Some stations of which observations are known: all arrays (periods, stations), ug m-3, NaN where missing.

    `product` is the product's estimate there: its map's, or, of hidden stations, its model's that was not given them.
    """

    name: str
    stations: np.ndarray
    observed: np.ndarray
    product: np.ndarray
    other: np.ndarray
    independent: bool   # of the product: it was not given these stations

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All three where all are known, NaN elsewhere."""
        known = np.isfinite(self.observed) & np.isfinite(self.product) & np.isfinite(self.other)
        one, two, three = (np.where(known, array, np.nan) for array in (self.observed, self.product, self.other))
        return one, two, three


def station_table(sets: Sequence[StationSet], kind: str) -> pd.DataFrame:
    """Scores of both products beside observations, a row for each set of stations and product."""
    return pd.DataFrame([row for one in sets for row in _station_rows(one, kind)])


def _station_rows(of: StationSet, kind: str) -> Iterator[dict[str, Any]]:
    observed, *estimates = of.pairs()
    known = np.isfinite(observed)
    if not known.any():
        return
    truth = observed[known]
    for name, values in zip((OURS, OTHER), estimates, strict=True):
        estimate = values[known]
        error = estimate - truth
        varied = truth.std() > 0 and estimate.std() > 0
        yield {"stations_are": of.name, "estimate": name,
               "independent": of.independent if name == OURS else None, "stations": int(known.any(axis=0).sum()),
               "pairs": len(truth), "mean_observed": truth.mean(), "bias": error.mean(),
               "NMB_percent": 100 * error.sum() / truth.sum(), "MAE": np.abs(error).mean(),
               "RMSE": np.sqrt((error**2).mean()), "r": np.corrcoef(truth, estimate)[0, 1] if varied else np.nan,
               "sd_observed": truth.std(), "sd_estimate": estimate.std(),
               "MQI": _quality_indicator(observed, values) if kind == "day" else np.nan}


def _quality_indicator(observed: np.ndarray, values: np.ndarray) -> float:
    """FAIRMODE's indicator of days: the 90th percentile of the stations' RMSE over twice their RMS uncertainty."""
    targets = target_of(observed, values)
    return float(np.quantile(np.hypot(targets["x"], targets["y"]), MQI_SHARE)) if len(targets["x"]) else np.nan


def target_of(observed: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Where stations stand in FAIRMODE's target diagram, (stations,): `y` bias and `x` centred RMSE over twice the RMS
    measurement uncertainty, x negative where the error is one of correlation more than one of spread.

    As in Janssen and Thunis (2022, 10.2760/41988); parameters from a secondary source (evaluation/statistics.py).
    """
    enough = np.isfinite(observed).sum(axis=0) >= LEAST_PERIODS
    o, m = observed[:, enough], values[:, enough]
    if not o.shape[1]:
        return {"x": np.array([]), "y": np.array([])}
    proportional, constant = (1 - FAIRMODE_ALPHA**2) * o**2, (FAIRMODE_ALPHA * FAIRMODE_LEVEL) ** 2
    uncertainty = FAIRMODE_UNCERTAINTY * np.sqrt(proportional + constant)
    scale = 2 * np.sqrt(np.nanmean(uncertainty**2, axis=0))
    bias = np.nanmean(m - o, axis=0)
    centred = np.sqrt(np.maximum(np.nanmean((m - o) ** 2, axis=0) - bias**2, 0.0))
    spread_o, spread_m = np.nanstd(o, axis=0), np.nanstd(m, axis=0)
    covariance = np.nanmean((m - np.nanmean(m, axis=0)) * (o - np.nanmean(o, axis=0)), axis=0)
    of_correlation = 2 * (spread_o * spread_m - covariance)
    side = np.where((spread_m - spread_o) ** 2 <= of_correlation, -1.0, 1.0)
    return {"x": side * centred / scale, "y": bias / scale}
