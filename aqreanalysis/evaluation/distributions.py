"""Distributions of an error, given by a standard error or by two bounds, and their scores in closed form.

`z` is (observed - estimated) / standard error. CRPS: normal, Gneiting and Raftery (2007,
10.1198/016214506000001437); Laplace, Jordan et al. (2019, 10.18637/jss.v090.i12).

Bounds need not be symmetric about the estimate. Then the distribution has two pieces: below the estimate one half of a
distribution of scale a, above it the other half of one of scale b, half the probability on each side, so that the
estimate is the median and any two quantiles on either side of it can be met. With I the integral of F(t)^2 over t < 0,
which is half the CRPS of the unit distribution at 0, its CRPS for an observation above the estimate is

    a I + integral_0^y F(t/b)^2 dt + integral_y^inf (1 - F(t/b))^2 dt = b CRPS(y/b) + (a - b) I

and the same with a and b exchanged below it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

LEAST_SCALE = 1e-3  # ug m-3: of a piece whose bound is the estimate, all of whose probability lies there
LAPLACE_SCALE = np.sqrt(0.5)  # of a Laplace distribution with standard deviation 1


@dataclass(frozen=True)
class Distribution:
    """Functions of z in units of the standard error; symmetric."""

    cdf: Callable[[np.ndarray], np.ndarray]
    crps: Callable[[np.ndarray], np.ndarray]
    half_width: Callable[[float], float]  # of the central interval that holds a share of the probability

    def two_piece(self, error: np.ndarray, below: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability below the observation, and CRPS, of a distribution of two pieces; arrays of one shape.

        `error` is observed minus estimated; `below` and `above` are the standard errors of the pieces on either side
        of the estimate, ug m-3, taken as at least LEAST_SCALE. Where both are the same it is the distribution itself.
        """
        below, above = np.maximum(below, LEAST_SCALE), np.maximum(above, LEAST_SCALE)
        own, other = np.where(error < 0, below, above), np.where(error < 0, above, below)
        at_zero = self.crps(np.zeros(())) / 2
        return self.cdf(error / own), own * self.crps(error / own) + (other - own) * at_zero


def _normal_crps(z: np.ndarray) -> np.ndarray:
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)


def _laplace_cdf(z: np.ndarray) -> np.ndarray:
    tail = 0.5 * np.exp(-np.abs(z) / LAPLACE_SCALE)
    return np.where(z < 0, tail, 1 - tail)


def _laplace_crps(z: np.ndarray) -> np.ndarray:
    scaled = np.abs(z) / LAPLACE_SCALE
    return LAPLACE_SCALE * (scaled + np.exp(-scaled) - 0.75)


NORMAL = Distribution(ndtr, _normal_crps, lambda share: float(ndtri((1 + share) / 2)))
LAPLACE = Distribution(_laplace_cdf, _laplace_crps, lambda share: float(-LAPLACE_SCALE * np.log(1 - share)))
