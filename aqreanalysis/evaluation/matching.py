"""Weights that make scored stations stand for the land of a map: in distance and in what the land is like.

Stations are in towns and in valleys; most land is not. Stations whose surroundings are taken out lie as far from the
next one as the cells of a map do, but are still in towns. Here each is given a weight, so that the weighted stations
have the means and mean squares of the map's land cells: of the distance to the nearest (remaining) station, the
population potential, elevation and relief. Among all such weights those are taken that differ least from equal ones
(entropy balancing, Hainmueller 2012, 10.1093/pan/mpr025), none above MOST_WEIGHT times the mean. Where no weights can
do it, because no station is like some of the land, a ridge on the multipliers keeps them finite, and what remains
is told. Kish's effective number, (sum of weights)^2 / sum of squares, says how many equal stations they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from aqreanalysis.fields.static import STATIC_COVARIATES, static_covariates

MATCHED_COVARIATES = ("population_5km", "population_15km", "population_40km", "elevation", "relief_30km", "relief_75km",
                      "above_lowest_75km")
DISTANCE = "distance"
MOST_WEIGHT = 8.0       # times the mean weight, which leaves at least an eighth of the stations in effect ...
LEAST_EFFECTIVE = 10.0  # ... and less where that would be fewer than these, of small networks
RIDGE = 0.2    # on the multipliers: what remains of a moment is this times its multiplier
UNMATCHED = 0.1      # standard deviations of the land cells by which a mean may differ without being told
LEAST_SPREAD = 1e-6  # of a feature among the land cells; one that is the same everywhere tells nothing
LEAST_SHARE = 1e-300 # of all weights, whose logarithm is taken
MOST_CELLS = 20_000  # land cells whose moments are taken, spread evenly over them


@dataclass(frozen=True)
class Land:
    """Land cells that stations are to stand for, or stations: degrees and distance to the nearest station, (n,)."""

    lat: np.ndarray
    lon: np.ndarray
    distance_km: np.ndarray

    def thinned(self) -> Land:
        """At most MOST_CELLS of them."""
        every = slice(None, None, max(-(-len(self.lat) // MOST_CELLS), 1))
        return Land(self.lat[every], self.lon[every], self.distance_km[every])

    def features(self) -> dict[str, np.ndarray]:
        """What is matched, (n,) each, transformed as pollution follows it; a covariate outside China is NaN."""
        covariates = static_covariates(self.lat, self.lon)
        found = {DISTANCE: np.sqrt(self.distance_km)}
        for name in MATCHED_COVARIATES:
            values = covariates[name].values.astype(float)
            is_log = STATIC_COVARIATES[name].transform == "log"
            found[name] = np.log1p(values) if is_log else np.sign(values) * np.sqrt(np.abs(values))
        return found


@dataclass(frozen=True)
class Weights:
    """Weights of stations, and how well they do."""

    values: np.ndarray             # (stations,), their mean is 1
    effective: float               # Kish's number of stations
    unmatched: dict[str, float]    # by feature: mean of the stations less that of the land, in its standard deviations
    unknown: tuple[str, ...]       # features that could not be matched: no value, or the same everywhere
    w_km: float                    # Wasserstein distance of the weighted distances from the land's
    land: int                      # cells

    def sentences(self) -> list[str]:
        """What the weights are worth, and what remains."""
        found = [f"weighted to the land in distance, population, elevation and relief, {len(self.values)} stations "
                 f"are worth {self.effective:.0f} equal ones (Kish); Wasserstein distance of their distances "
                 f"{self.w_km:.1f} km"]
        if self.unmatched:
            told = ", ".join(f"{name} by {value:+.2f}" for name, value in self.unmatched.items())
            found.append(f"not matched, for want of stations like it: {told} standard deviations of the land cells; "
                         "the map's error there is not measured")
        if self.unknown:
            found.append(f"could not be matched, not known or the same everywhere: {', '.join(self.unknown)}")
        return found


def match_to_land(stations: Land, land: Land) -> Weights:
    """Weights (stations,) with which the stations' features have the land cells' means and mean squares."""
    from scipy.stats import wasserstein_distance

    land = land.thinned()
    columns, unknown = standardised(stations, land)
    standard = np.stack(list(columns.values()), axis=1) if columns else np.zeros((len(stations.lat), 0))
    most = min(MOST_WEIGHT, max(len(standard) / LEAST_EFFECTIVE, 1.0))
    weights = balance(np.concatenate([standard, standard**2 - 1], axis=1), most)
    left = dict(zip(columns, weights @ standard / len(weights), strict=True))
    return Weights(weights, effective_number(weights),
                   {name: float(value) for name, value in left.items() if abs(value) > UNMATCHED}, tuple(unknown),
                   float(wasserstein_distance(stations.distance_km, land.distance_km, weights)), len(land.lat))


def standardised(stations: Land, land: Land) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of stations, (stations,) each, less the land's mean and over its standard deviation; and the names of
    those that are not known, or the same everywhere."""
    of_land, of_stations = land.features(), stations.features()
    columns: dict[str, np.ndarray] = {}
    unknown = []
    for name, values in of_land.items():
        known = values[np.isfinite(values)]
        if len(known) < len(values) / 2 or not np.isfinite(of_stations[name]).all() or known.std() <= LEAST_SPREAD:
            unknown.append(name)
        else:
            columns[name] = (of_stations[name] - known.mean()) / known.std()
    return columns, unknown


def effective_number(weights: np.ndarray) -> float:
    """Kish's effective number of weights (n,)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def balance(moments: np.ndarray, most: float = MOST_WEIGHT, ridge: float = RIDGE) -> np.ndarray:
    """Weights (n,), of mean 1 and at most `most`, nearest to equal ones with which each of `moments` (n, m) has a mean
    of 0, but for the ridge.

    Nearest in relative entropy: minimises sum of w log w, w = weights / n, plus the squared means over 2 ridge. By the
    dual, whose unknowns are the m multipliers: w = min(most / n, exp(moments @ multipliers + normaliser)).
    """
    stations = len(moments)
    if not stations or not moments.shape[1]:
        return np.ones(stations)

    def dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        shares = _capped_shares(moments @ multipliers, most / stations)
        means = shares @ moments
        entropy = -(shares * np.log(np.maximum(shares, np.finfo(float).tiny))).sum()
        return multipliers @ means + entropy + ridge / 2 * multipliers @ multipliers, means + ridge * multipliers

    found = minimize(dual, np.zeros(moments.shape[1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": 2000, "maxfun": 5000, "ftol": 1e-13, "gtol": 1e-8})
    return stations * _capped_shares(moments @ found.x, most / stations)


def _capped_shares(logs: np.ndarray, cap: float) -> np.ndarray:
    """min(cap, t exp(logs)) with t such that the sum is 1; `cap` is at least 1 over their number."""
    ordered = -np.sort(-logs)
    rest = np.logaddexp.accumulate(ordered[::-1])[::-1]  # log of the sum of those from k on, in the order of their size
    left = 1 - cap * np.arange(len(logs))                # of the sum, where the k largest are at the cap
    factor = np.log(np.maximum(left, LEAST_SHARE)) - rest
    first = int(np.argmax((factor + ordered <= np.log(cap)) | (left <= cap)))  # the fewest: the next is below
    return np.minimum(cap, np.exp(np.minimum(factor[first] + logs, 0.0)))
