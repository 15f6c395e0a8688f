"""Gradient boosting on kriging's residual: what a table of features and LightGBM add to kriging.

A baseline that many would try first. It is trained at stations that are left out, with their surroundings as far as
80 km, so that it learns gaps as wide as a map's; features of a place are made from the other stations only, in
training as in use. LightGBM is an optional dependency (`pip install aqreanalysis[baselines]`).

Reference: Ke et al. (2017), LightGBM, Advances in Neural Information Processing Systems 30.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.base import PointwiseModel, Supporters
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.features import LEVEL, cyclic_time
from aqreanalysis.time_axis import HOUR

FEATURE_NEIGHBOURS = 12      # whose departures from kriging, over it plus LEVEL, are features, nearest first
NEAREST = 5          # whose other pollutants, changes in time and directions are features
LAGS = (-3, -1, 1, 3)  # hours, of the nearest neighbours' mean change
HIDDEN_SHARE, HIDDEN_PLACES, HIDDEN_RADIUS_KM = 0.06, 8, (5.0, 80.0)
PARAMETERS = {"objective": "regression_l1", "learning_rate": 0.05, "num_leaves": 63, "min_data_in_leaf": 300,
              "feature_fraction": 0.5, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 10.0,
              "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 0, "verbose": -1}
TREES = 300


@dataclass(frozen=True)
class Rows:
    """What is learned from: features (n, features) float32 and the residual over kriging plus LEVEL (n,)."""

    features: np.ndarray
    residual: np.ndarray

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("features", "residual")))


@dataclass(frozen=True)
class Boosting(PointwiseModel):
    """Kriging plus what the trees of `text` (LightGBM's own format) say of its residual."""

    text: str
    name: str = "boosting"
    history: int = max(LAGS)
    future: int = max(LAGS)
    co_pollutants: int | None = 0

    @cached_property
    def trees(self):
        return lightgbm().Booster(model_str=self.text)

    def fit(self, stations: xr.Dataset) -> Boosting:
        """Other trees, from stations of this cube that are left out (left_out_rows, on every day)."""
        days = np.unique(time_axis.local_days(stations.time.values))[1:-1]
        return train(left_out_rows(stations, days, seed=0))

    def supporters(self, stations: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """Kriging's."""
        return Kriging().supporters(stations, lat, lon)

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 (time, point); its standard error is kriging's. NaN in an hour without any observation."""
        kriged = Kriging().predict(stations, targets)
        shape = kriged[schema.TARGET].shape
        if 0 in shape:
            return kriged
        rows = features(stations, targets, kriged)
        base = kriged[schema.TARGET].values
        residual = self.trees.predict(rows, num_threads=1).reshape(shape) * (base + LEVEL)
        return schema.make_estimate(targets, np.maximum(base + residual, 0.0),
                                    kriged[schema.STANDARD_ERROR].values)


def features(stations: xr.Dataset, targets: xr.Dataset, kriged: xr.Dataset) -> np.ndarray:
    """Features (time * point, features), float32, from the stations and kriging from them; NaN is missing."""
    hours = targets.time.values
    index, distance = geo.nearest(stations.lat.values, stations.lon.values, targets.lat.values, targets.lon.values,
                                  FEATURE_NEIGHBOURS)
    bearing = geo.bearing(targets.lat.values[:, None], targets.lon.values[:, None],
                          stations.lat.values[index], stations.lon.values[index])
    base = kriged[schema.TARGET].values
    scale = base + np.float32(LEVEL)
    pm25 = stations[schema.TARGET]
    near = pm25.reindex(time=hours).values[:, index]  # (time, point, neighbour)
    missing = FEATURE_NEIGHBOURS - index.shape[1]  # of a network smaller than that
    near = np.pad(near, ((0, 0), (0, 0), (0, missing)), constant_values=np.nan)
    distance, bearing = (np.pad(a, ((0, 0), (0, missing)), constant_values=np.nan) for a in (distance, bearing))
    columns = [base, kriged[schema.STANDARD_ERROR].values / scale]
    columns += list(np.moveaxis((near - base[..., None]) / scale[..., None], -1, 0))
    few = index[:, :NEAREST]
    for lag in LAGS:
        change = pm25.reindex(time=hours + lag * HOUR).values[:, few] - pm25.reindex(time=hours).values[:, few]
        columns.append(_mean(change) / scale)
    for name in schema.POLLUTANTS[1:]:
        if name in stations:
            columns.append(_mean(stations[name].reindex(time=hours).values[:, few]))
    fixed = [*distance.T, *np.sin(bearing[:, :NEAREST]).T, *np.cos(bearing[:, :NEAREST]).T]
    columns += [np.broadcast_to(one, base.shape) for one in fixed]
    columns += [np.broadcast_to(one[:, None], base.shape) for one in cyclic_time(hours).T]
    return np.stack(columns, axis=-1).reshape(base.size, -1).astype(np.float32)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the values there are; NaN where there is none."""
    count = np.isfinite(values).sum(axis=-1)
    return np.where(count > 0, np.nansum(values, axis=-1) / np.maximum(count, 1), np.nan)


def left_out_rows(stations: xr.Dataset, days: np.ndarray, seed: int, every_hours: int = 3,
                  together: np.ndarray | None = None) -> Rows:
    """Rows at stations that are left out, others on each day: some singly, and all near some places.

    `days` datetime64[D], UTC+8; every so many hours of them, from another hour each day. `together` (stations,
    stations) bool: which ones are left out with which.
    """
    parts = []
    for day in days:
        rng = np.random.default_rng([seed, int(day.astype(int))])
        hidden = _hidden(stations.lat.values, stations.lon.values, rng)
        hidden = hidden if together is None else together[hidden].any(axis=0)
        hours = time_axis.hours_of_days(day.item(), day.item())[int(day.astype(int)) % every_hours::every_hours]
        seen = stations.isel(station=~hidden).sel(time=slice(hours[0] + min(LAGS) * HOUR, hours[-1] + max(LAGS) * HOUR))
        asked = stations.isel(station=hidden)
        truth = asked[schema.TARGET].reindex(time=hours).values.ravel()
        targets = schema.make_targets(hours, asked.lat.values, asked.lon.values)
        if not set(hours) <= set(seen.time.values):
            continue  # a day at the cube's edge
        kriged = Kriging().predict(seen, targets)
        base = kriged[schema.TARGET].values.ravel()
        pairs = np.isfinite(truth) & np.isfinite(base)
        parts.append(Rows(features(seen, targets, kriged)[pairs],
                          ((truth - base) / (base + LEVEL))[pairs].astype(np.float32)))
    if not parts:
        raise UserError("There is no day to train boosting on.", "It learns from days outside the withheld weeks.",
                        "Choose a longer period, or leave --boosting out.")
    return Rows.joined(parts)


def _hidden(lat, lon, rng: np.random.Generator) -> np.ndarray:
    """Which stations to leave out (stations,) bool."""
    hidden = rng.random(len(lat)) < HIDDEN_SHARE
    for place in rng.choice(len(lat), min(HIDDEN_PLACES, len(lat) // 10), replace=False):
        hidden |= geo.distance_km(lat, lon, lat[place], lon[place]) < rng.uniform(*HIDDEN_RADIUS_KM)
    hidden[rng.integers(len(lat))] = True  # one at least
    return hidden if (~hidden).sum() >= FEATURE_NEIGHBOURS else np.arange(len(lat)) == 0


def train(rows: Rows) -> Boosting:
    """Trees for kriging's relative residual; absolute errors, each weighted by what it is relative to."""
    library = lightgbm()
    weight = rows.features[:, 0] + LEVEL  # so that what is minimised is the error in ug m-3
    data = library.Dataset(rows.features, rows.residual, weight=weight, params={"verbose": -1})
    return Boosting(library.train(PARAMETERS, data, TREES).model_to_string())


def lightgbm():
    """The package, or how to get it."""
    try:
        import lightgbm as library
    except ImportError as error:
        raise UserError("LightGBM is not installed.", "The boosting baseline needs it.",
                        "`pip install aqreanalysis[baselines]`, or leave --boosting out.") from error
    return library


