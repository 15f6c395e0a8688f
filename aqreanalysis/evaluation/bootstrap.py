"""How sure a skill is: weeks drawn again with replacement, the same for both models (a paired block bootstrap).

Errors of hours that follow each other are alike, so whole weeks are drawn (Kunsch 1989,
10.1214/aos/1176347265). The stations stay as they are: the interval is of other weeks, not of other stations.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

DRAWS, SEED = 2000, 0
MIN_WEEKS = 4  # with fewer there is no interval
SHARE = (2.5, 97.5)  # per cent


def skill_interval(day: xr.Dataset, reference: str = "kriging") -> xr.Dataset:
    """The central 95 % of the skill in per cent: `skill_low`, `skill_high`.

    `day` has sums of absolute errors, `error_absolute` (..., model, day); NaN where there are fewer than MIN_WEEKS
    weeks.
    """
    weeks = (day.day.values.astype("datetime64[D]").astype(int) // 7) if day.sizes["day"] else np.zeros(0, int)
    names, place = np.unique(weeks, return_inverse=True)
    errors = day.error_absolute.transpose(..., "day")
    of_weeks = errors.values @ np.eye(len(names))[place.ravel()].reshape(len(weeks), len(names))
    share = np.full(len(names), 1 / max(len(names), 1))
    drawn = np.random.default_rng(SEED).multinomial(len(names), share, size=DRAWS) if len(names) else np.zeros((1, 0))
    totals = errors.isel(day=0, drop=True).expand_dims(draw=len(drawn), axis=-1).copy(data=of_weeks @ drawn.T) \
        if len(weeks) else xr.full_like(errors.rename(day="draw"), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = 100 * (1 - totals / totals.sel(model=reference, drop=True))
    skill = skill.where(len(names) >= MIN_WEEKS)
    low, high = (skill.quantile(p / 100, "draw", skipna=False).drop_vars("quantile") for p in SHARE)
    return xr.Dataset({"skill_low": low, "skill_high": high})
