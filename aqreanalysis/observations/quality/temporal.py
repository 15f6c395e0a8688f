"""Tests in time: spikes, and spikes that return every day. Arrays (hours, stations) of whole days UTC.

A residual is what lies outside the medians of three hours on either side, so that a step, as a cold front makes it,
leaves none; what neighbours share is taken off it.
"""

from __future__ import annotations

import numpy as np

from aqreanalysis.observations.quality.settings import LAG_HOURS, SIDE_HOURS, QualitySettings
from aqreanalysis.observations.quality.surroundings import (
    EVERY_HOURS,
    NeighbourStations,
    around,
    by_hour,
    shifted,
    spread,
)
from aqreanalysis.time_axis import HOURS_PER_DAY


def temporally_inconsistent(residual: np.ndarray, usual_spread: np.ndarray, settings: QualitySettings) -> np.ndarray:
    """A value far outside the hours before and after it, which no neighbour shares: a spike."""
    return np.abs(residual) > np.fmax(settings.spike_deviations * by_hour(usual_spread), settings.spike_least)


def periodic(residual: np.ndarray, usual_spread: np.ndarray, settings: QualitySettings) -> np.ndarray:
    """A value that deviates in the same direction at the same hour of several days: automatic calibration."""
    days = len(residual) // HOURS_PER_DAY
    by_day = residual.reshape(days, HOURS_PER_DAY, -1)
    limit = np.fmax(settings.periodic_deviations * usual_spread, settings.periodic_least)[:, None]
    bad = np.zeros(by_day.shape, bool)
    for sign in (1, -1):
        out = sign * by_day
        count = np.zeros(by_day.shape, np.int8)
        for lag in range(-settings.window_days, settings.window_days + 1):
            count += shifted(out, lag) > limit
        bad |= (out > limit) & (count >= settings.periodic_days)
    return bad.reshape(residual.shape)


def residuals(level: np.ndarray, neighbours: NeighbourStations,
              settings: QualitySettings) -> tuple[np.ndarray, np.ndarray]:
    """How far each value deviates from the hours around it, less what neighbours share; and the usual spread.

    Parameters
    ----------
    level : logarithms, NaN where there is no value

    Returns
    -------
    residual : (hours, stations), positive above, 0 between the medians of the hours before and after,
        NaN where one of these sides has no value
    usual_spread : (days, stations), robust standard deviation of values about the hours around them
    """
    before, after = (_median_of([shifted(level, side * lag) for lag in range(1, SIDE_HOURS + 1)]) for side in (-1, 1))
    usual_spread = spread((level - (before + after) / 2)[::EVERY_HOURS], settings.window_days, settings.least_hours)
    residual = level - np.clip(level, np.minimum(before, after), np.maximum(before, after))
    shared_down, shared_up, _ = neighbours.agreed(residual)
    nothing = np.zeros_like(residual)
    shared_down = np.fmin(around(shared_down, LAG_HOURS, np.fmin), nothing)
    shared_up = np.fmax(around(shared_up, LAG_HOURS, np.fmax), nothing)
    return (np.maximum(residual - shared_up, 0) + np.minimum(residual - shared_down, 0),
            np.fmax(usual_spread, settings.least_spread))


def _median_of(arrays: list[np.ndarray]) -> np.ndarray:
    """The median of three arrays; of two the mean, of one itself, of none NaN."""
    known = sum(np.isfinite(array).astype(np.int8) for array in arrays)
    low, high = np.fmin.reduce(arrays), np.fmax.reduce(arrays)
    total = sum(np.nan_to_num(array) for array in arrays)
    return np.where(known == 3, total - low - high, (low + high) / 2)
