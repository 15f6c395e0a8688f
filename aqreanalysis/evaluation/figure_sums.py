"""What figures of a validation are made from: the same sums, whether of `evaluate` or of a product's hidden stations.

`station`, `hour` and `day` are Datasets (group, frequency, model, and the dimension of their name) with SHOWN_SUMS of
statistics.SUMS. Groups are hold-out designs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.evaluation.holdout import SINGLE_STATIONS, WHOLE_CITIES
from aqreanalysis.evaluation.statistics import (
    DAILY_LIMIT,
    FAIRMODE_ALPHA,
    FAIRMODE_LEVEL,
    FAIRMODE_UNCERTAINTY,
    TINY,
    Sums,
    mean_of_days,
)
from aqreanalysis.time_axis import HOURS_PER_DAY, MINIMUM_HOURS, local_days

SHOWN_SUMS = ("n", "truth", "truth_squared", "estimate_squared", "error", "error_absolute", "error_squared",
              "fractional_error", "fractional_error_absolute", "uncertainty_squared", "hits", "misses", "false_alarms")
FREQUENCIES = ("hourly", "daily")
PREFERRED = (WHOLE_CITIES, SINGLE_STATIONS)  # of which stations are shown one by one


@dataclass(frozen=True)
class FigureSums:
    """`station` has the coordinates `lat`, `lon` and `city` (station); `rows` are the hours themselves, where they are
    known: a product's validation.nc. `ours` is the model whose figures they are, `reference` what it is compared with.
    """

    station: xr.Dataset
    hour: xr.Dataset
    day: xr.Dataset
    ours: str
    reference: str
    about: str
    simulated: bool = False
    rows: xr.Dataset | None = None

    @property
    def shown_group(self) -> str:
        """The design whose stations are shown one by one: one that scored any."""
        scored = (self.station.n > 0).any(["frequency", "model", "station"])
        groups = [str(name) for name in self.station.group.values[scored.values]]
        return next((name for name in PREFERRED if name in groups), groups[0])

    def stations(self, frequency: str = "hourly") -> xr.Dataset:
        """Sums (model, station) of the stations that the shown design has values of."""
        found = self.station.sel(group=self.shown_group, frequency=frequency, drop=True)
        return found.isel(station=(found.n > 0).all("model").values)

    def both(self, sums: xr.Dataset) -> xr.Dataset:
        """Of the model and its reference alone."""
        return sums.sel(model=[name for name in (self.ours, self.reference) if name in sums.model.values])


def of_evaluation(sums: Sums, places: pd.DataFrame, ours: str, reference: str, about: str,
                  simulated: bool = False) -> FigureSums:
    """Of what `evaluate` sums up; `places` has station_id, lat and lon of its stations."""
    names = [str(name) for name in sums.station.station.values]
    at = places.assign(station_id=places["station_id"].astype(str)).set_index("station_id").loc[names]
    city = dict(zip((str(name) for name in sums.block.station.values), sums.block.city.values, strict=True)
                ) if "city" in sums.block.coords else {}
    station = sums.station[list(SHOWN_SUMS)].assign_coords(
        lat=("station", at["lat"].to_numpy(float)), lon=("station", at["lon"].to_numpy(float)),
        city=("station", [city.get(name, number) for number, name in enumerate(names)]))
    hours = [f"hour: {hour:02d}" for hour in range(HOURS_PER_DAY)]
    hour = sums.slice[list(SHOWN_SUMS)].sel(slice=hours).rename(slice="hour").assign_coords(hour=range(HOURS_PER_DAY))
    return FigureSums(station, hour, sums.day[list(SHOWN_SUMS)], ours, reference, about, simulated)


def of_hidden_rows(rows: xr.Dataset, city: dict[str, int], ours: str, reference: str = "kriging") -> FigureSums:
    """Of a product's validation.nc (row, hour); `city` is a number for each station."""
    station = rows["station_id"].values.astype(str)
    names, first = np.unique(station, return_index=True)
    days = local_days(rows["time"].values)
    groups = list(dict.fromkeys(rows["design"].values.astype(str)))
    keys = {"group": (groups, rows["design"].values.astype(str)), "station": (names.tolist(), station),
            "day": (np.unique(days).astype("datetime64[ns]"), days)}
    hourly = [_statistics(rows["observed"].values, rows[of].values) for of in ("pm25", "kriging")]
    means = [_statistics(*(_days(rows[name].where(np.isfinite(rows["observed"])).values)
                           for name in ("observed", of))) for of in ("pm25", "kriging")]
    weight = rows["weight"].values.astype(float)
    of_rows = np.stack([np.stack([array.sum(axis=2) for array in hourly]), np.stack([a[:, :, 0] for a in means])])
    of_rows = of_rows * weight  # (frequency, model, statistic, row)
    of_hours = np.stack(hourly) * weight[:, None]
    models = [ours, reference]
    parts = {name: _summed(of_rows, keys, name, models) for name in ("station", "day")}
    places: dict[str, Any] = {name: ("station", rows[name].values[first].astype(float)) for name in ("lat", "lon")}
    found = parts["station"].assign_coords(**places, city=("station", [city[name] for name in names]))
    hour = np.zeros((len(groups), 2, 2, HOURS_PER_DAY, len(SHOWN_SUMS)))
    for number, group in enumerate(groups):
        mine = keys["group"][1] == group
        hour[number, 0] = np.moveaxis(of_hours[:, :, mine].sum(axis=2), 1, 2)
    return FigureSums(found, _dataset(hour, groups, models, "hour", range(HOURS_PER_DAY)), parts["day"], ours,
                      reference, str(rows.attrs.get("title", "")), rows.attrs.get("simulated") == "true", rows)


def _days(hourly: np.ndarray) -> np.ndarray:
    """Means (row, 1) of rows (row, hour) with enough hours."""
    return mean_of_days(hourly.T, MINIMUM_HOURS).T


def _statistics(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """SHOWN_SUMS of pairs (statistic, row, step); 0 where there is none."""
    known = np.isfinite(truth) & np.isfinite(estimate)
    truth, estimate = (np.where(known, array, 0.0).astype(np.float64) for array in (truth, estimate))
    miss = estimate - truth
    uncertainty = FAIRMODE_UNCERTAINTY**2 * ((1 - FAIRMODE_ALPHA**2) * truth**2 + (FAIRMODE_ALPHA * FAIRMODE_LEVEL)**2)
    fraction = miss / np.maximum((truth + estimate) / 2, TINY)
    over, alarmed = truth > DAILY_LIMIT, estimate > DAILY_LIMIT
    return np.stack([np.asarray(of, float) for of in (
        known, truth, truth**2, estimate**2, miss, np.abs(miss), miss**2, fraction, np.abs(fraction),
        known * uncertainty, over & alarmed, over & ~alarmed, ~over & alarmed)])


def _summed(of_rows: np.ndarray, keys: dict, name: str, models: list[str]) -> xr.Dataset:
    """Sums (group, frequency, model, `name`) of rows (frequency, model, statistic, row)."""
    (groups, group), (labels, label) = keys["group"], keys[name]
    number = {value: place for place, value in enumerate(np.asarray(labels).astype(label.dtype).tolist())}
    place = np.array([number[value] for value in label.tolist()])
    total = np.zeros((len(groups), 2, 2, len(labels), len(SHOWN_SUMS)))
    for at, one in enumerate(groups):
        mine = np.flatnonzero(group == one)
        by_label = total[at].transpose(2, 0, 1, 3)  # a view
        np.add.at(by_label, place[mine], of_rows[..., mine].transpose(3, 0, 1, 2))
    return _dataset(total, groups, models, name, labels)


def _dataset(total: np.ndarray, groups: list[str], models: list[str], name: str, labels: Sequence) -> xr.Dataset:
    dims = ("group", "frequency", "model", name)
    return xr.Dataset({key: (dims, total[..., place]) for place, key in enumerate(SHOWN_SUMS)},
                      coords={"group": groups, "frequency": list(FREQUENCIES), "model": models, name: list(labels)})


def by_city(sums: xr.Dataset) -> xr.Dataset:
    """Sums (model, city) of sums (model, station); `lat` and `lon` are the means of the stations' places."""
    city = sums["city"]
    found = sums.drop_vars(["lat", "lon"]).groupby(city).sum()
    return found.assign_coords(lat=sums["lat"].groupby(city).mean(), lon=sums["lon"].groupby(city).mean(),
                               stations=xr.ones_like(sums["lat"]).groupby(city).sum())


def spread_points(sums: xr.Dataset) -> xr.Dataset:
    """`ratio` of standard deviations, estimated over observed, and `correlation`, of sums of any dimensions."""
    n = sums.n.where(sums.n > 1)
    truth, estimate = sums.truth / n, (sums.truth + sums.error) / n
    of_truth = (sums.truth_squared / n - truth**2).clip(min=0)
    of_estimate = (sums.estimate_squared / n - estimate**2).clip(min=0)
    together = (sums.truth_squared + sums.estimate_squared - sums.error_squared) / 2 / n - truth * estimate
    product = np.sqrt(of_truth * of_estimate)
    return xr.Dataset({"ratio": np.sqrt(of_estimate / of_truth.where(of_truth > 0)),
                       "correlation": together / product.where(product > 0)})


def target_points(sums: xr.Dataset) -> xr.Dataset:
    """FAIRMODE's target diagram (Janssen and Thunis 2022) of sums of days: `x` and `y` in units of twice the root mean
    square uncertainty of the observations. x is the centred error, negative where the lack of correlation makes more of
    it than the wrong spread; y the bias."""
    n = sums.n.where(sums.n > 1)
    bias = sums.error / n
    centred = np.sqrt((sums.error_squared / n - bias**2).clip(min=0))
    unit = 2 * np.sqrt(sums.uncertainty_squared / n)
    points = spread_points(sums)
    of_truth = np.sqrt((sums.truth_squared / n - (sums.truth / n) ** 2).clip(min=0))
    of_spread = (of_truth * (points.ratio - 1)) ** 2
    sign = xr.where(of_spread > centred**2 - of_spread, 1.0, -1.0)
    return xr.Dataset({"x": sign * centred / unit, "y": bias / unit})


