"""Numbers a network can read: cyclic time, scaled pollutants. The scaler is frozen once fitted.

Cyclic encoding: Kheder et al. 2025 (AQ-Net), section 3.2: sin and cos of 2 pi t / cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.time_axis import UTC_OFFSET_HOURS

CLOCK_FEATURES = 6  # of cyclic time: sine and cosine of three cycles
LEVEL = 20.0  # ug m-3, added to a concentration that others are divided by
LOG_SHIFT = 5.0   # ug m-3, added before AQ-Net's logarithms: below it, differences are the instruments' noise
LOG_CENTRE = 3.5  # log(33 ug m-3), taken off logarithms that it reads
# The logarithm of a kriging variance for a sill of 1 as networks read it: 0.5 (log(variance + 0.02) - log 0.22)
VARIANCE_FLOOR, LOG_VARIANCE_CENTRE, LOG_VARIANCE_SCALE = 0.02, -1.5, 0.5


def cyclic(value: np.ndarray, cycle: float) -> np.ndarray:
    """sin and cos of 2 pi value / cycle, float32 (..., 2)."""
    angle = 2.0 * np.pi * np.asarray(value, float) / cycle
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)


def middle_of_hours(stamps: np.ndarray) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """The middle of each hour, of UTC stamps of its end, in UTC+8; and the hours of the day that have passed by then.

    The cycles of people and sun are local.
    """
    local = pd.DatetimeIndex(stamps) + pd.Timedelta(hours=UTC_OFFSET_HOURS - 0.5)
    return local, np.asarray(local.hour) + np.asarray(local.minute) / 60.0


def cyclic_time(stamps: np.ndarray) -> np.ndarray:
    """Cyclic hour (24), day of week (7) and month (12), float32 (time, 6), of UTC stamps.

    Of the middle of the hour, UTC+8. Day of week and month advance through the day and the month, so that no jump
    stands at midnight.
    """
    local, hour = middle_of_hours(stamps)
    weekday = np.asarray(local.day_of_week) + hour / 24.0
    month = np.asarray(local.month) - 1 + (np.asarray(local.day) - 1 + hour / 24.0) / np.asarray(local.days_in_month)
    return np.concatenate([cyclic(hour, 24), cyclic(weekday, 7), cyclic(month, 12)], axis=-1)


@dataclass(frozen=True)
class Scaler:
    """log1p, then minus the mean and over the standard deviation of the training slice."""

    mean: dict[str, float]
    std: dict[str, float]

    @classmethod
    def fit(cls, stations: xr.Dataset) -> Scaler:
        """Fitted on exactly the stations and hours that are handed in."""
        mean, std = {}, {}
        for name in schema.POLLUTANTS:
            # float64: in float32 the deviation of a constant is not zero, and would blow up the scale
            logs = np.log1p(np.maximum(stations[name].values.astype(np.float64), 0.0))
            seen = np.isfinite(logs).any()
            mean[name] = float(np.nanmean(logs)) if seen else 0.0
            std[name] = float(np.nanstd(logs)) if seen else 1.0
            std[name] = std[name] if std[name] > 1e-9 else 1.0
        return cls(mean, std)

    def scale(self, name: str, values: np.ndarray) -> np.ndarray:
        """Scaled values, float32, of the shape of `values`; NaN stays NaN."""
        logs = np.log1p(np.maximum(values, 0.0))
        return ((logs - self.mean[name]) / self.std[name]).astype(np.float32)
