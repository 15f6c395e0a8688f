"""What a standard error says: distributions of an error with mean 0 and standard deviation 1.

`z` is (observed - estimated) / standard error. CRPS closed forms: normal, Gneiting and Raftery (2007,
10.1198/016214506000001437); Laplace, Jordan et al. (2019, 10.18637/jss.v090.i12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

LAPLACE_SCALE = np.sqrt(0.5)  # of a Laplace distribution with standard deviation 1


@dataclass(frozen=True)
class Distribution:
    """Functions of z in units of the standard error."""

    cdf: Callable[[np.ndarray], np.ndarray]
    crps: Callable[[np.ndarray], np.ndarray]
    half_width: Callable[[float], float]  # of the central interval that holds a share of the probability


def _normal_crps(z):
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)


def _laplace_cdf(z):
    tail = 0.5 * np.exp(-np.abs(z) / LAPLACE_SCALE)
    return np.where(z < 0, tail, 1 - tail)


def _laplace_crps(z):
    scaled = np.abs(z) / LAPLACE_SCALE
    return LAPLACE_SCALE * (scaled + np.exp(-scaled) - 0.75)


NORMAL = Distribution(ndtr, _normal_crps, lambda share: float(ndtri((1 + share) / 2)))
LAPLACE = Distribution(_laplace_cdf, _laplace_crps, lambda share: float(-LAPLACE_SCALE * np.log(1 - share)))
