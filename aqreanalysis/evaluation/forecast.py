"""Sums of forecast errors by week and lead, and scores made of them. Sums add: parts of a test score as the whole.

R2 is 1 - (sum of squared errors) / (sum of squares about the mean of the observations), all stations pooled, as in
equation (2) of Kheder et al. 2025. "at" a lead counts the errors at that lead alone, "up to" a lead those of all
leads from the first to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis.evaluation.strata import in_season

FIELDS = ("n", "error", "absolute", "square", "observed", "observed_square")
WEEK = np.timedelta64(7, "D")


@dataclass(frozen=True)
class Sums:
    """`values` float64 (weeks, leads, fields); `weeks` datetime64[D], their first days, sorted."""

    weeks: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, found: np.ndarray, truth: np.ndarray, issued: np.ndarray) -> Sums:
        """From forecasts and observations (origins, points, leads) in ug m-3, NaN where missing, and hours of issue."""
        seen = np.isfinite(truth) & np.isfinite(found)
        truth = np.where(seen, truth, 0.0).astype(np.float64)
        error = np.where(seen, found, 0.0).astype(np.float64) - truth
        terms = np.stack([array.sum(axis=1) for array in (seen, error, np.abs(error), error**2, truth, truth**2)], -1)
        week = issued.astype("datetime64[D]").astype(int) // 7
        weeks, place = np.unique(week, return_inverse=True)
        values = np.zeros((len(weeks), *terms.shape[1:]))
        np.add.at(values, place, terms)
        return cls(weeks * WEEK + np.datetime64(0, "D"), values)

    def __add__(self, other: Sums) -> Sums:
        weeks = np.union1d(self.weeks, other.weeks)
        values = np.zeros((len(weeks), *self.values.shape[1:]))
        for part in (self, other):
            values[np.searchsorted(weeks, part.weeks)] += part.values
        return Sums(weeks, values)

    def season(self, name: str) -> Sums:
        """The weeks whose fourth day lies in a season, local months."""
        inside = in_season(self.weeks + np.timedelta64(3, "D"), name)
        return Sums(self.weeks[inside], self.values[inside])


def scores(sums: Sums, leads: tuple[int, ...]) -> pd.DataFrame:
    """R2, MAE, RMSE, mean error (bias) and n for each lead, `at` it and `up to` it; leads count from 1."""
    total = sums.values.sum(axis=0)
    rows = []
    for how, values in (("at", total), ("up to", total.cumsum(axis=0))):
        for lead in leads:
            rows.append({"how": how, "lead": lead} | _metrics(values[lead - 1]))
    return pd.DataFrame(rows)


def _metrics(terms: np.ndarray) -> dict[str, float]:
    n, error, absolute, square, observed, observed_square = terms
    if not n:
        return {"n": 0, "R2": np.nan, "MAE": np.nan, "RMSE": np.nan, "bias": np.nan}
    about_mean = observed_square - observed**2 / n
    return {"n": int(n), "R2": 1.0 - square / about_mean if about_mean > 0 else np.nan, "MAE": absolute / n,
            "RMSE": float(np.sqrt(square / n)), "bias": error / n}


def skill_interval(ours: Sums, theirs: Sums, lead: int, how: str = "at", draws: int = 2000, seed: int = 0):
    """Skill 1 - MAE / MAE(theirs) in percent at a lead and its 95 % interval, weeks drawn again (block bootstrap)."""
    field = FIELDS.index("absolute")
    rows = slice(lead - 1, lead) if how == "at" else slice(0, lead)
    mine, other = (part.values[:, rows, field].sum(axis=1) for part in (ours, theirs))
    picked = np.random.default_rng(seed).integers(len(mine), size=(draws, len(mine)))
    drawn = 100.0 * (1.0 - mine[picked].sum(axis=1) / other[picked].sum(axis=1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return 100.0 * (1.0 - mine.sum() / other.sum()), float(low), float(high)
