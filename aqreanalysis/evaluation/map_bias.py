"""How far a map may be too high or too low everywhere at once: from hidden stations, for the land that it shows.

The network stands in towns. What its hidden stations say of the map's land has to be carried on to places with fewer
people than any station has, and stations of one city, or days of one week, err together. So relative errors of days,
estimate less truth over the estimate, are thought to be

    e / m = b + x . beta + city + week + station + noise sqrt(mean m / m)

with features x of the place, less the land's mean and over its standard deviation (matching.py): b is the bias at the
land's mean. All but b are random: coefficients, cities, weeks, stations and noise are normal, each with a variance of
its own, found by restricted maximum likelihood (Patterson and Thompson 1971, Biometrika 58, 545-554); so the slopes are
held back as far as the stations bear no witness to them, which is a ridge whose strength is measured. How far is hardly
known from so few: b and its variance are averaged over STEPS of the standard deviation of the slopes, each as probable
beforehand (uniform in the standard deviation: Gelman 2006, Bayesian Analysis 1, 515-534).

Whether it can be carried on so far is known from stations: those of a product of 2019 (real) that are the land's in one
feature more than 85 % of others, and their cities, were left out and predicted from the rest, feature by feature.
They missed by CARRIED_ON standard errors (benchmarks/common_bias.py), by which standard errors are multiplied.

The estimate and its error are both left in the map: nothing is corrected, and the standard deviation of the bias of
all cells is the root of (estimate^2 + standard error^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from aqreanalysis.evaluation.bootstrap import MIN_CITIES, MIN_WEEKS
from aqreanalysis.evaluation.statistics import week_number

LEAST_LEVEL = 1.0  # ug m-3 of an estimate that a relative bias is taken of
STEPS = np.linspace(0.0, 0.15, 16)  # standard deviations of slopes, for a standard deviation of the land each
CARRIED_ON = 1.3
FIRST_RATIOS = (0.05, 0.2, 0.05, 0.2)  # variance of slopes, cities, weeks and stations over that of the noise
LOWEST, HIGHEST = -12.0, 5.0           # of the logarithm of such a ratio
LEAST_NOISE = 1e-9                     # variance of the noise, where nothing is left to explain


@dataclass(frozen=True)
class MapBias:
    """A relative bias of the map over all its land: the estimate, positive where it is too high; the plain mean of
    stations that are weighted to stand for the land; and the standard error of the estimate."""

    estimate: float
    plain: float
    error: float

    @property
    def spread(self) -> float:
        """The standard deviation of what the bias may be, nothing being corrected."""
        return math.hypot(self.estimate, self.error)


def map_bias(error: np.ndarray, level: np.ndarray, weight: np.ndarray, features: np.ndarray, day: np.ndarray,
             city: np.ndarray, station: np.ndarray) -> MapBias | None:
    """The bias from days (n,) of hidden stations; None of too few weeks or cities.

    Parameters
    ----------
    error : estimate less truth, ug m-3; NaN has no part.
    level : the estimates.
    weight : how much of the land each stands for, of the plain mean.
    features : (n, m) of the stations, less the land's mean and over its standard deviation.
    day, city, station : datetime64[D]; numbers or names.
    """
    known = np.isfinite(error) & (level >= LEAST_LEVEL) & (weight > 0)
    error, level, weight, features = (np.asarray(a, np.float64)[known] for a in (error, level, weight, features))
    groups = [np.unique(of[known], return_inverse=True)[1] for of in (city, week_number(day), station)]
    if not len(error) or groups[0].max() + 1 < MIN_CITIES or groups[1].max() + 1 < MIN_WEEKS:
        return None
    estimate, its_error = _mixed(error / level, level, features, groups)
    return MapBias(estimate, float((weight * error).sum() / (weight * level).sum()), CARRIED_ON * its_error)


def _mixed(relative: np.ndarray, level: np.ndarray, features: np.ndarray,
           groups: list[np.ndarray]) -> tuple[float, float]:
    """b and its standard error, averaged over the standard deviation of the slopes."""
    model = _Model(relative, level, features, groups)
    best = minimize(lambda logs: model.at(_ratios(logs)).loss, np.log(FIRST_RATIOS), method="Nelder-Mead",
                    options={"xatol": 0.1, "fatol": 0.01, "maxiter": 400})
    ratios = _ratios(best.x)
    noise = max(model.at(ratios).noise, LEAST_NOISE)
    fits = [model.at(np.append(step**2 / noise, ratios[1:])) for step in STEPS]
    losses, found, error = (np.array([getattr(fit, name) for fit in fits]) for name in ("loss", "estimate", "error"))
    share = np.exp(losses.min() - losses)
    share /= share.sum()
    mean = float(share @ found)
    return mean, math.sqrt(float(share @ (error**2 + (found - mean) ** 2)))


def _ratios(logs: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(logs, LOWEST, HIGHEST))


@dataclass(frozen=True)
class _Fit:
    """b and its standard error at given ratios of variances, the variance of the noise, and minus the logarithm of the
    restricted likelihood."""

    estimate: float
    error: float
    noise: float
    loss: float


class _Model:
    """Sums of products of the mixed model, of which the likelihood at any ratios of variances follows.

    With random effects u of covariance diag(d) beside noise of variance 1, y = b + U u + noise: after eliminating u of
    1 + d^1/2 U'U d^1/2, what is left of (1, y) gives b and its error. Effects of stations go first: no row has two, so
    that their block is diagonal. The others are eliminated by a Cholesky factor.
    """

    def __init__(self, relative: np.ndarray, level: np.ndarray, features: np.ndarray, groups: list[np.ndarray]):
        rows, root = len(relative), np.sqrt(level / level.mean())
        kinds = [sparse.csr_array((np.ones(rows), (np.arange(rows), of)), shape=(rows, of.max() + 1)) for of in groups]
        dense = np.column_stack([features, np.ones(rows), relative])
        count = features.shape[1]
        columns = sparse.diags_array(root) @ sparse.hstack(
            [kinds[-1], dense[:, :count], *kinds[:-1], dense[:, count:]], format="csr")
        self._products = (columns.T @ columns).toarray()
        self._rows, self._stations = rows, kinds[-1].shape[1]
        self._sizes = [count, *(kind.shape[1] for kind in kinds[:-1])]

    def at(self, ratios: np.ndarray) -> _Fit:
        """The fit at variances of slopes, cities, weeks and stations over that of the noise."""
        first, count = self._stations, sum(self._sizes)
        scale = np.concatenate([np.full(first, math.sqrt(ratios[-1])), np.sqrt(np.repeat(ratios[:-1], self._sizes)),
                                np.ones(2)])
        scaled = scale[:, None] * self._products * scale
        scaled[np.arange(first + count), np.arange(first + count)] += 1
        of_stations, across = np.diag(scaled)[:first], scaled[:first, first:]
        others = scaled[first:, first:] - across.T @ (across / of_stations[:, None])
        factor = np.linalg.cholesky(others[:count, :count])
        half = solve_triangular(factor, others[:count, count:], lower=True)
        left = others[count:, count:] - half.T @ half
        estimate = left[0, 1] / left[0, 0]
        noise = max((left[1, 1] - left[0, 1] * estimate) / (self._rows - 1), LEAST_NOISE)
        loss = (0.5 * ((self._rows - 1) * math.log(noise) + math.log(left[0, 0]) + np.log(of_stations).sum())
                + np.log(np.diag(factor)).sum())
        return _Fit(float(estimate), math.sqrt(noise / left[0, 0]), noise, float(loss))
