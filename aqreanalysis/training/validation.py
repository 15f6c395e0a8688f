"""Scores of an analysis at stations that its networks never saw, beside kriging's, and how its errors persist."""

from __future__ import annotations

import numpy as np

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
    for design in dict.fromkeys(ours.design):
        mine = ours.design == design
        truth = ours.truth[mine]
        errors = [days.estimate[mine].astype(np.float64) - truth for days in (ours, kriging)]
        both = np.isfinite(errors[0]) & np.isfinite(errors[1])
        for frequency in ("hourly", "daily"):
            if frequency == "hourly":
                seen, (own, reference) = truth[both], (error[both] for error in errors)
            else:
                seen, own, reference = (_means(array, both) for array in (truth, *errors))
            if not len(seen):
                continue
            facts = {"MAE": np.abs(own).mean(), "RMSE": np.sqrt((own**2).mean()),
                     "NMB_percent": 100 * own.sum() / seen.sum(), "MAE_kriging": np.abs(reference).mean(),
                     "RMSE_kriging": np.sqrt((reference**2).mean()),
                     "NMB_percent_kriging": 100 * reference.sum() / seen.sum(),
                     "skill_percent": 100 * (1 - np.abs(own).sum() / np.abs(reference).sum())}
            rows.append({"design": design, "frequency": frequency, "n": len(seen)}
                        | {name: round(float(value), SCORE_DIGITS) for name, value in facts.items()})
    return rows


def _means(array: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Means (n,) of days (days, 24) over the known hours, of the days that have enough of them."""
    count = known.sum(axis=1)
    mean = np.where(known, array, 0.0).sum(axis=1) / np.maximum(count, 1)
    return mean[count >= MINIMUM_HOURS]


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
