"""The test in space: a station that departs from its neighbours. Arrays (hours, stations) of whole days UTC."""

from __future__ import annotations

import numpy as np

from aqreanalysis.observations.quality.settings import LAG_HOURS, QualitySettings
from aqreanalysis.observations.quality.surroundings import (
    EVERY_HOURS,
    SUM_BLOCK_HOURS,
    NeighbourStations,
    around,
    block_sums,
    by_hour,
    shifted,
    spread,
    sum_of_shifts,
    usual,
)
from aqreanalysis.time_axis import HOURS_PER_DAY

BLOCKS_PER_DAY = HOURS_PER_DAY // SUM_BLOCK_HOURS
LASTING_COVERAGE = 0.6  # of 24 hours that need a value


def spatially_inconsistent(level: np.ndarray, neighbours: NeighbourStations, settings: QualitySettings) -> np.ndarray:
    """A value far outside the range of two neighbours and of the station's usual difference; or a day of such values.

    Each station is taken relative to its own median of the window, so that one that is always cleaner or dirtier is
    not flagged; a fault that lasts for most of the window looks like such a station and is not found. A front or a
    dust storm that two neighbours show an hour or two earlier or later is real. Smaller departures count where they
    last: a sensor that is biased or drifts.

    Parameters
    ----------
    level : logarithms, NaN where there is no value
    """
    span = settings.window_days, settings.least_hours
    anomaly = level - by_hour(usual(level[::EVERY_HOURS], *span))
    some = level[::EVERY_HOURS]
    usual_spread = by_hour(np.fmax(spread(some - neighbours.median(some), *span), settings.least_spread))
    low, high, enough = neighbours.agreed(anomaly)
    anomaly = np.where(enough, anomaly, np.nan)
    lasting = _mean_of_a_day(anomaly - np.clip(anomaly, low, high),
                             np.fmax(settings.lasting_deviations * usual_spread, settings.lasting_least))
    outside = anomaly - np.clip(anomaly, around(low, LAG_HOURS, np.fmin), around(high, LAG_HOURS, np.fmax))
    return lasting | (np.abs(outside) > np.fmax(settings.spatial_deviations * usual_spread, settings.spatial_least))


def _mean_of_a_day(outside: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Values in 24 hours over which the mean of `outside` exceeds its limit, upwards or downwards."""
    known = np.isfinite(outside)
    count, total = (sum_of_shifts(block_sums(array.astype(np.float32)), 0, BLOCKS_PER_DAY - 1)
                    for array in (known, np.where(known, outside, 0)))
    mean = np.where(count >= LASTING_COVERAGE * HOURS_PER_DAY, total / np.maximum(count, 1), 0)
    furthest = np.max([np.nan_to_num(shifted(np.abs(mean), lag)) for lag in range(1 - BLOCKS_PER_DAY, 1)], axis=0)
    return known & (np.repeat(furthest, SUM_BLOCK_HOURS, axis=0) > limit)
