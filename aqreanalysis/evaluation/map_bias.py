"""How far a map may be too high or too low everywhere at once: from hidden stations that stand for its land.

The network stands in towns. Hidden stations that are weighted to be like the map's land (matching.py) have a mean
relative bias; where no weights make them like it, a regression on what the land is like carries the bias on to the
land's mean. What it says and how uncertain it is are both left in the map: nothing is corrected, and the standard
deviation of the bias of all cells is the root of (estimate^2 + its standard error^2).

With errors e (estimate less truth), levels m (estimates), weights w and features x, less the land's mean and over its
standard deviation,

    minimise sum w m (e / m - b - x . beta)^2 / sum w m + RIDGE |beta|^2

over b, the bias at the land's mean, and beta; without features b = sum w e / sum w m. The ridge is that of the weights:
where these could not match, the regression is held back as they were. The standard error of b is from weeks and cities
that are resampled (bootstrap.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aqreanalysis.evaluation.bootstrap import BOOTSTRAP_SEED, MIN_CITIES, MIN_WEEKS
from aqreanalysis.evaluation.matching import RIDGE
from aqreanalysis.evaluation.statistics import week_number

DRAWS = 500
LEAST_LEVEL = 1.0  # ug m-3 of an estimate that a relative bias is taken of


@dataclass(frozen=True)
class MapBias:
    """A relative bias of the map over all its land: the estimate, positive where it is too high, the same without the
    regression, and the standard error."""

    estimate: float
    plain: float
    error: float

    @property
    def spread(self) -> float:
        """The standard deviation of what the bias may be, nothing being corrected."""
        return math.hypot(self.estimate, self.error)


def map_bias(error: np.ndarray, level: np.ndarray, weight: np.ndarray, features: np.ndarray, day: np.ndarray,
             city: np.ndarray) -> MapBias | None:
    """The bias from days (n,) of hidden stations; None of too few weeks or cities to resample.

    Parameters
    ----------
    error : estimate less truth, ug m-3; NaN has no part.
    level : the estimates.
    weight : how much of the land each stands for.
    features : (n, m) of the stations, less the land's mean and over its standard deviation.
    day, city : datetime64[D]; numbers.
    """
    known = np.isfinite(error) & (level >= LEAST_LEVEL) & (weight > 0)
    error, level, weight, features = (np.asarray(a, np.float64)[known] for a in (error, level, weight, features))
    weeks, week = np.unique(week_number(day[known]), return_inverse=True)
    cities, place = np.unique(city[known], return_inverse=True)
    if len(weeks) < MIN_WEEKS or len(cities) < MIN_CITIES:
        return None
    basis = np.concatenate([np.ones((len(error), 1)), features, (error / level)[:, None]], axis=1)
    products = (weight * level)[:, None, None] * basis[:, :, None] * basis[:, None, :]
    cells = np.zeros((len(weeks), len(cities), *products.shape[1:]))
    np.add.at(cells, (week, place), products)
    random = np.random.default_rng(BOOTSTRAP_SEED)
    draws = [_bias(np.einsum("w,c,wcij->ij", *(random.multinomial(n, np.full(n, 1 / n)).astype(float)
                                               for n in cells.shape[:2]), cells, optimize=True)) for _ in range(DRAWS)]
    total = cells.sum(axis=(0, 1))
    return MapBias(_bias(total), float(total[0, -1] / total[0, 0]), float(np.nanstd(draws)))


def _bias(products: np.ndarray) -> float:
    """b from the sums of products of (1, features, relative error); NaN where nothing was drawn."""
    if not products[0, 0] > 0:
        return math.nan
    products = products / products[0, 0]
    count = len(products) - 1
    held = RIDGE * np.diag(np.arange(count) > 0).astype(float)
    return float(np.linalg.solve(products[:count, :count] + held, products[:count, -1])[0])
