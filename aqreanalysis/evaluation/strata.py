"""Strata of scores: seasons, levels of PM2.5, thirds by distance; the same in every table and figure."""

from __future__ import annotations

import numpy as np

SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}  # months
# ug m-3, above the first and up to the second: limits of China's classes of a day's PM2.5 (HJ 633-2012)
LEVELS = {"0-35": (-np.inf, 35.0), "35-75": (35.0, 75.0), "75-150": (75.0, 150.0), "over 150": (150.0, np.inf)}
THIRDS = ("near", "middle", "far")  # by the distance to the nearest station that a model was given


def in_season(days: np.ndarray, season: str) -> np.ndarray:
    """Whether days, datetime64 of any shape (local or UTC, as the caller counts them), lie in one of SEASONS."""
    return np.isin(days.astype("datetime64[M]").astype(int) % 12 + 1, SEASONS[season])


def in_level(pm25: np.ndarray, level: str) -> np.ndarray:
    """Whether concentrations in ug m-3, of any shape, are in one of LEVELS; NaN is in none."""
    low, high = LEVELS[level]
    return (low < pm25) & (pm25 <= high)
