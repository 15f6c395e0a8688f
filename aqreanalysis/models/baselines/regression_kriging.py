"""Regression kriging: what kriging says, moved by what static covariates say of target and neighbours.

Half kriging of values, half kriging of logarithms, times the drift of models/drift.py:

    estimate = (m + 5) exp(g) - 5,   m = k / 2 + (exp(sum over i of w_i log(y_i + 5)) - 5) / 2

with k ordinary kriging (models/baselines/kriging.py), w its weights and g the drift. It differs from textbook
regression kriging in that the drift multiplies (concentrations above a town's are a share of its level, not an
amount) and changes with hour and season. The coefficients that ship were fitted in 2019; training/regression.py fits
others.

Reference: Hengl, Heuvelink and Stein (2004), Geoderma 120, 75-93, 10.1016/j.geoderma.2003.08.018.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.fields.static import DATA, check_covered
from aqreanalysis.models.base import PointwiseModel, Supporters, observed_at
from aqreanalysis.models.baselines.kriging import KRIGING_NEIGHBOURS, Kriging
from aqreanalysis.models.drift import Drift

LOG_OFFSET = 5.0  # ug m-3, added before logarithms are taken
LOG_SHARE = 0.5   # of kriging of logarithms in what the drift multiplies
COEFFICIENTS = DATA / "regression_kriging.json"
# Chosen by benchmarks/tune_baselines.py: what is asked of a place, the penalty of the ridge and the share of its answer
# that is kept.
DRIFT_COVARIATES = ("elevation", "above_lowest_75km", "below_highest_75km", "population_5km", "population_100km")
DRIFT_PENALTY, DRIFT_SHARE = 0.03, 0.85


@dataclass(frozen=True)
class RegressionKriging(PointwiseModel):
    """Kriging with an external drift of the logarithm."""

    drift: Drift
    kriging: Kriging = field(default_factory=Kriging)
    name: str = "regression kriging"

    def supporters(self, stations: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """Kriging's."""
        return self.kriging.supporters(stations, lat, lon)

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 (time, point); its standard error is kriging's. NaN where none of a target's candidates reported.

        UserError where stations or targets lie outside fields.static.COVERED: there is no drift to be had.
        """
        check_covered(stations.lat, stations.lon, "the stations")
        check_covered(targets.lat, targets.lon, "the targets")
        hours = targets.time.values
        observed = observed_at(stations, schema.check_targets(targets).time.values)
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        estimate, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        if not observed.size or not shape[1]:
            return schema.make_estimate(targets, estimate, error)
        at_stations, slopes = self.drift.at(stations.lat.values, stations.lon.values), self.drift.slopes(hours)
        at_targets = self.drift.at(targets.lat.values, targets.lon.values)
        for point, (index, solved) in enumerate(self.kriging.solved(stations, targets, observed)):
            values = observed[:, index]
            kriged, error[:, point] = solved.estimate(values)
            logs = solved.weighted(np.log(np.maximum(values, 0.0) + LOG_OFFSET))
            differences = at_targets[point] - solved.weights @ at_stations[index]
            correction = (differences[solved.which] * slopes).sum(axis=1)
            estimate[:, point] = np.maximum(corrected(mixed(kriged, logs), correction), 0.0)
        return schema.make_estimate(targets, estimate, error)


def mixed(kriged: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Part kriging, ug m-3, part kriging of log(PM2.5 + LOG_OFFSET)."""
    return (1.0 - LOG_SHARE) * kriged + LOG_SHARE * (np.exp(logs) - LOG_OFFSET)


def corrected(estimate: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """An estimate whose logarithm, of it plus LOG_OFFSET, is moved."""
    return (estimate + LOG_OFFSET) * np.exp(correction) - LOG_OFFSET


@cache
def shipped_drift() -> Drift:
    """The coefficients that ship."""
    return Drift.from_dict(json.loads(COEFFICIENTS.read_text(encoding="utf-8")))


def shipped(k: int | None = None) -> RegressionKriging:
    """With the coefficients that ship, from `k` neighbours; kriging's 40 where it is None."""
    return RegressionKriging(shipped_drift(), Kriging(k or KRIGING_NEIGHBOURS))
