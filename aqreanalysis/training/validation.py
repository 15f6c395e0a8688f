"""Scores of an analysis at stations that its networks never saw, beside kriging's, and how its errors persist."""

from __future__ import annotations

import numpy as np

from aqreanalysis.evaluation.metrics import paired_scores
from aqreanalysis.evaluation.statistics import mean_of_days
from aqreanalysis.time_axis import HOURS_PER_DAY, MINIMUM_HOURS
from aqreanalysis.training.calibration import HeldOutDays

MEMORY_RANGE_HOURS = (0.05, 500.0)  # in which the memory of errors is sought ...
DEFAULT_MEMORY_HOURS = 24.0         # ... and what is assumed where none in it explains them
SCORE_DIGITS = 4


def held_out_scores(ours: HeldOutDays, kriging: HeldOutDays) -> list[dict]:
    """Rows by design and frequency: n, MAE, RMSE and NMB_percent, those of kriging, and skill_percent over it.

    Both are of the same stations and days; hours count for which both have an estimate.
    """
    rows = []
    for design, weight in ours.designs.items():
        mine = weight > 0
        arrays = [array[mine].astype(np.float64) for array in (ours.truth, ours.estimate, kriging.estimate)]
        arrays = [np.where(np.isfinite(arrays).all(axis=0), array, np.nan) for array in arrays]
        days = [mean_of_days(array.T, MINIMUM_HOURS)[0] for array in arrays]
        for frequency, pairs in (("hourly", arrays), ("daily", days)):
            known = np.isfinite(pairs[0])
            if known.any():
                truth, own, reference = (array[known] for array in pairs)
                counts = np.broadcast_to(weight[mine], known.T.shape).T[known]
                found = paired_scores(truth, own, reference, counts)
                rows.append({"design": design, "frequency": frequency, "n": int(known.sum())}
                            | {name: round(value, SCORE_DIGITS) for name, value in found.items()})
    return rows


def error_memory(days: HeldOutDays) -> float:
    """The e-folding time in hours of errors at one station, from the errors of hours and of daily means.

    Errors whose correlation is exp(-lag / memory) have a daily mean whose squared error is the hourly one times the
    mean of that correlation over all pairs of hours of a day; the memory is the one that explains the ratio found.
    """
    from scipy.optimize import brentq

    error = days.estimate.astype(np.float64) - days.truth
    whole = np.isfinite(error).all(axis=1)
    if not whole.any():
        return DEFAULT_MEMORY_HOURS
    ratio = (error[whole].mean(axis=1) ** 2).mean() / (error[whole] ** 2).mean()
    hours = np.arange(HOURS_PER_DAY)
    lag = np.abs(np.subtract.outer(hours, hours))

    def excess(memory: float) -> float:
        return np.exp(-lag / memory).mean() - ratio

    low, high = MEMORY_RANGE_HOURS
    return float(brentq(excess, low, high)) if excess(low) < 0 < excess(high) else DEFAULT_MEMORY_HOURS
