"""Tests for stuck sensors: runs of one value, and days with hardly any change. Arrays (hours, stations).

In clean air integers repeat by chance: a run counts only where it is improbable at its level, and where neighbours do
not repeat too, as they do in quiet nights.
"""

from __future__ import annotations

import numpy as np

from aqreanalysis.observations.quality.settings import REPEAT_LEVEL, RESOLUTION, QualitySettings
from aqreanalysis.observations.quality.surroundings import (
    SUM_BLOCK_HOURS,
    NeighbourStations,
    around,
    block_sums,
    middle,
    shifted,
    sum_of_shifts,
)
from aqreanalysis.time_axis import HOURS_PER_DAY

BRIDGED_HOURS = 2   # missing hours that do not end a run
CALM_BLOCKS = 3     # of SUM_BLOCK_HOURS, before and after a calm, that still count as calm
STILL_COVERAGE = 0.75  # of 24 hours that need a value
LOG_ORIGIN = 4.0       # near the logarithms, so that their squares keep their digits
LONGEST_RUN = 48    # hours; a run that may come by chance at this length is never flagged


def stuck(values: np.ndarray, pollutant: str, neighbours: NeighbourStations, settings: QualitySettings) -> np.ndarray:
    """A value in a run of identical ones that is too long for chance (`stuck_chance`, `stuck_hours`).

    values : in units of schema.UNITS, NaN where there is none
    """
    level = REPEAT_LEVEL[pollutant]
    chance = np.fmax(level / (level + np.maximum(values, 0)), _calm(values, neighbours))
    needed = 1 + np.log(settings.stuck_chance) / np.log(np.clip(chance, 1e-6, 0.999))
    needed = np.maximum(needed, settings.stuck_hours)
    length = np.minimum(_since_change(values) + _since_change(values[::-1])[::-1] + 1, LONGEST_RUN)
    return np.isfinite(values) & (length >= needed)


def still(level: np.ndarray, values: np.ndarray, pollutant: str, neighbours: NeighbourStations,
          settings: QualitySettings) -> np.ndarray:
    """A value in 24 hours whose spread is far below that of the neighbours then, and below that of its other days.

    Its other days count since ozone on a mountain hardly has a daily cycle.

    level : logarithms; values : as reported, for what rounding alone adds to the spread
    """
    blocks = HOURS_PER_DAY // SUM_BLOCK_HOURS
    known = np.isfinite(level)
    shifted_level = np.where(known, level - LOG_ORIGIN, 0.0)
    count, total, squares = (sum_of_shifts(block_sums(array), 0, blocks - 1)
                             for array in (known.astype(float), shifted_level, shifted_level**2))
    mean = total / np.maximum(count, 1)
    variance = np.where(count >= STILL_COVERAGE * HOURS_PER_DAY,
                        np.maximum(squares / np.maximum(count, 1) - mean**2, 0), np.nan)
    rounding = (RESOLUTION[pollutant] / np.exp(mean + LOG_ORIGIN)) ** 2 / 12
    spread = np.sqrt(variance).astype(np.float32)
    of_neighbours = neighbours.median(spread)
    low = ((np.sqrt(variance + rounding) < settings.still_ratio * of_neighbours)
           & (of_neighbours >= settings.still_neighbours)
           & (spread < settings.still_itself * _on_other_days(spread, settings.window_days)))
    in_such_hours = sum_of_shifts(low.astype(float), 1 - blocks, 0) > 0
    return np.isfinite(values) & np.repeat(in_such_hours, SUM_BLOCK_HOURS, axis=0)


def _on_other_days(spread: np.ndarray, days: int) -> np.ndarray:
    """Median of the station's own spread at the same blocks of other days: (blocks, stations)."""
    per_day = HOURS_PER_DAY // SUM_BLOCK_HOURS
    others = np.stack([shifted(spread, per_day * day) for day in range(-days, days + 1) if day], axis=-1)
    others.sort(axis=-1)
    return middle(others, np.isfinite(others).sum(axis=-1))


def _calm(values: np.ndarray, neighbours: NeighbourStations) -> np.ndarray:
    """Share of the neighbours' hours that repeat the hour before, on the calmest day nearby; NaN without neighbours."""
    before = shifted(values, -1)
    pair = np.isfinite(values) & np.isfinite(before)
    repeats, pairs = (sum_of_shifts(block_sums(array.astype(np.float32)), -2, 2)
                      for array in (values == before, pair))
    share = neighbours.mean(np.where(pairs > 0, repeats / np.maximum(pairs, 1), np.nan).astype(np.float32))
    return np.repeat(around(share, CALM_BLOCKS, np.fmax), SUM_BLOCK_HOURS, axis=0)


def _since_change(values: np.ndarray) -> np.ndarray:
    """Hours since the first value of the run that each value belongs to, at most LONGEST_RUN."""
    known = np.isfinite(values)
    repeats, silent = np.zeros(values.shape, bool), np.ones(values.shape, bool)
    for hours in range(1, BRIDGED_HOURS + 2):  # the last value before, if it is not too long ago
        before = shifted(values, -hours)
        repeats |= silent & (values == before)
        silent &= np.isnan(before)
    hour = np.arange(len(values), dtype=np.int32)[:, None]
    began = np.maximum.accumulate(np.where(known & ~repeats, hour, 0), axis=0)
    return np.where(known, np.minimum(hour - began, LONGEST_RUN), 0).astype(np.int16)
