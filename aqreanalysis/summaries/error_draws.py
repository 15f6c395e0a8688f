"""Draws of errors that are correlated in time: what the truth of a whole period may have been at a place.

A day's error is z times a scale, with z standard normal. The z of a place are correlated as
models/error_correlation.py says: a sum of parts, each of which fades with its own memory. So a draw is a sum of
autoregressive series of first order, and a number that lasts. All places have the same draws, since nothing here joins
two places; so tiles and workers change no bit. Draws are antithetic, in pairs of opposite sign, and what lasts is
stratified: its quantiles are those of the normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

DRAWS = 200
SEED = 20190101
COUNTED = 120  # days or hours whose exceedances are added up as bytes


def error_draws(by_memory: Sequence[tuple[float, float]], hours: np.ndarray, draws: int = DRAWS,
                seed: int = SEED) -> np.ndarray:
    """Standard normal errors (steps, draws), float32, correlated in time.

    Parameters
    ----------
    by_memory : (memory in hours, weight) of parts whose weights are 1 in sum, as ErrorCorrelation.by_memory gives.
    hours : (steps,) of the steps, in hours since any moment, ascending.
    draws : an even number.
    """
    random, half = np.random.Generator(np.random.PCG64(seed)), draws // 2
    hours = np.asarray(hours, float)
    total = np.zeros((len(hours), half))
    for memory, weight in by_memory:
        if math.isinf(memory):
            total += math.sqrt(weight) * ndtri((np.arange(half) + 0.5) / draws)
            continue
        news = random.standard_normal((len(hours), half))
        kept = np.exp(-np.diff(hours, prepend=-math.inf) / memory)
        fresh = np.sqrt(1.0 - kept**2)
        series = np.zeros(half)
        for step in range(len(hours)):
            series = kept[step] * series + fresh[step] * news[step]
            total[step] += math.sqrt(weight) * series
    return np.concatenate([total, -total[:, ::-1]], axis=1).astype(np.float32)


def count_above(draws: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """How many of the steps each draw lies above the thresholds in, int32 (draws, places).

    `draws` (steps, draws) of standardised errors; `threshold` (steps, places) in the same units, inf where never.
    """
    found = np.zeros((draws.shape[1], threshold.shape[1]), np.int32)
    threshold = np.asarray(threshold, np.float32)
    above = np.empty((min(COUNTED, len(draws)), threshold.shape[1]), bool)
    for first in range(0, len(draws), COUNTED):
        steps = slice(first, first + COUNTED)
        part = above[:len(draws[steps])]
        for number, z in enumerate(draws[steps].T):
            np.greater(z[:, None], threshold[steps], out=part)
            found[number] += np.add.reduce(part.view(np.int8), axis=0, dtype=np.int8)
    return found
