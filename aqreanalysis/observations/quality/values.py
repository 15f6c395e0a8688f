"""Tests of single values, which need no other hours or stations. True where bad; any shape."""

from __future__ import annotations

import numpy as np

from aqreanalysis import schema

MISSING_CODES = (-99.0, -999.0, -9999.0, 9999.0, 99999.0)


def missing(values: np.ndarray) -> np.ndarray:
    """Nothing was reported."""
    return np.isnan(values)


def missing_code(values: np.ndarray) -> np.ndarray:
    """A number that archives use for `missing`, or a negative concentration."""
    return np.isin(values, MISSING_CODES) | (values < 0)


def out_of_range(values: np.ndarray, pollutant: str) -> np.ndarray:
    """Above schema.VALID_MAX."""
    return (values > schema.VALID_MAX[pollutant]) & ~missing_code(values)


def pm25_above_pm10(pm25: np.ndarray, pm10: np.ndarray) -> np.ndarray:
    """Fine particles are a part of PM10: one of the pair is wrong (a kind of outlier of Wu et al. 2018)."""
    return pm25 > pm10
