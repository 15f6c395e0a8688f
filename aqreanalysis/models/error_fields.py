"""Draws of the errors of all cells at once, correlated in space: what the truth of a whole map may have been.

A draw is a sum of waves with random amplitudes. The waves of a correlation exp(-d / r) have wave vectors from its
spectrum: exp(-|x| / r) is the characteristic function of a Cauchy distribution of scale 1 / r, in any number of
dimensions. Places are points of the sphere in three dimensions, km: chords, which are within 1 % of the way along the
ground up to 3000 km. Each range of the correlation has as many waves, spread evenly over the spectrum by a scrambled
Sobol sequence, weighted by its share; what all places have in common is one number a draw, stratified. With few waves
the correlation is met to 0.02 (tests/test_error_correlation.py). Draws are antithetic, in pairs of opposite sign. A
place's draws depend on the place alone, so parts of a grid can be drawn one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from aqreanalysis import geo

DRAWS = 200
SEED = 20190101
WAVES_LOG2 = 10  # 1024 of each range
TOGETHER = 2048  # places, whose waves are in memory at once
LEAST = 1e-9     # of a probability or a normal number, whose inverse is taken


class ErrorFields:
    """Standard normal errors that are correlated in space, of some draws."""

    def __init__(self, draws: int = DRAWS, seed: int = SEED):
        self.draws, self._seed = draws, seed

    def at(self, lat: np.ndarray, lon: np.ndarray, by_range: Sequence[tuple[float, float]]) -> np.ndarray:
        """Errors (draws, places), float32, at degrees (places,).

        by_range : (range in km, share) as ErrorCorrelation.of_mean gives them; inf: of all places alike. Their variance
            is the sum of the shares.
        """
        places, half = geo.EARTH_RADIUS_KM * geo.unit_vectors(lat, lon), self.draws // 2
        total = np.zeros((half, len(places)), np.float32)
        for number, (reach, share) in enumerate(by_range):
            random = np.random.Generator(np.random.PCG64((self._seed, number)))
            if math.isinf(reach):
                common = ndtri((np.arange(half) + 0.5) / self.draws)
                total += np.float32(math.sqrt(share)) * random.permutation(common).astype(np.float32)[:, None]
                continue
            vectors = _wave_vectors(reach, random)
            amplitude = random.standard_normal((2, half, len(vectors)), np.float32)
            amplitude *= np.float32(math.sqrt(share / len(vectors)))
            for first in range(0, len(places), TOGETHER):
                some = slice(first, first + TOGETHER)
                phase = np.remainder(places[some] @ vectors.T, 2.0 * math.pi).astype(np.float32).T
                total[:, some] += amplitude[0] @ np.cos(phase) + amplitude[1] @ np.sin(phase)
        return np.concatenate([total, -total])


def _wave_vectors(reach: float, random: np.random.Generator) -> np.ndarray:
    """Wave vectors (waves, 3), per km, of exp(-d / reach)."""
    from scipy.stats import qmc

    even = qmc.Sobol(4, rng=random).random_base2(WAVES_LOG2)
    normal = ndtri(np.clip(even, LEAST, 1.0 - LEAST))
    return normal[:, :3] / (reach * np.maximum(np.abs(normal[:, 3:]), LEAST))
