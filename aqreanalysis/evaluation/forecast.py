"""Sums of forecast errors by week and lead, and scores made of them. Sums add: parts of a test score as the whole.

They are Datasets with the dimensions (week, lead): the statistics LEAD_SUMS, which have the same meaning as those of
statistics.SUMS; `week` is the first day of a week as statistics.week_number counts them, `lead` counts from 1. "at" a
lead counts the errors at that lead alone, "up to" a lead those of all leads from the first to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.evaluation.bootstrap import weekly_skill_interval
from aqreanalysis.evaluation.metrics import error_scores
from aqreanalysis.evaluation.statistics import DAYS_PER_WEEK, week_number
from aqreanalysis.evaluation.strata import SEASONS, in_season

LEAD_SUMS = ("n", "error", "error_absolute", "error_squared", "truth", "truth_squared")
LEAD_SCORES = ("R2", "MAE", "RMSE", "bias")
MEAN_OF_SEEDS = "mean"  # in place of a seed: the mean of all seeds' forecasts
ALL_YEAR = "all"        # in place of a season
SKILL_COLUMNS = ("best", "skill_percent", "skill_low", "skill_high", "skill_persistence")
MIDDLE_DAY = 3  # after the first: a week is in the season of its fourth day


@dataclass(frozen=True)
class Seeds:
    """Which seeds of a row are trained and scored, and which are missing."""

    scored: tuple[int, ...]
    missing: tuple[int, ...] = ()

    def __str__(self) -> str:
        """`3`, or `2 of 3`."""
        return f"{len(self.scored)} of {len(self.scored + self.missing)}" if self.missing else str(len(self.scored))

    @property
    def sentence(self) -> str:
        """`3 seeds`, or `2 of 3 seeds; missing: 1`."""
        count = f"{self} seed{'s' * (len(self.scored + self.missing) > 1)}"
        return f"{count}; missing: {', '.join(map(str, self.missing))}" if self.missing else count


def lead_sums(forecast: np.ndarray, truth: np.ndarray, issued: np.ndarray) -> xr.Dataset:
    """From forecasts and observations (origins, points, leads) in ug m-3, NaN where missing, and hours of issue."""
    seen = np.isfinite(truth) & np.isfinite(forecast)
    truth = np.where(seen, truth, 0.0).astype(np.float64)
    error = np.where(seen, forecast, 0.0).astype(np.float64) - truth
    terms = np.stack([array.sum(axis=1) for array in (seen, error, np.abs(error), error**2, truth, truth**2)], -1)
    weeks, place = np.unique(week_number(issued), return_inverse=True)
    sums = np.zeros((len(weeks), *terms.shape[1:]))
    np.add.at(sums, place, terms)
    return xr.Dataset({name: (("week", "lead"), sums[..., number]) for number, name in enumerate(LEAD_SUMS)},
                      coords={"week": (DAYS_PER_WEEK * weeks).astype("datetime64[D]").astype("datetime64[ns]"),
                              "lead": 1 + np.arange(terms.shape[1])})


def weeks_in_season(sums: xr.Dataset, season: str) -> xr.Dataset:
    """The weeks whose fourth day lies in a season, local months."""
    middle = sums.week.values.astype("datetime64[D]") + np.timedelta64(MIDDLE_DAY, "D")
    return sums.isel(week=in_season(middle, season))


def lead_scores(sums: xr.Dataset, leads: tuple[int, ...]) -> pd.DataFrame:
    """R2, MAE, RMSE, mean error (bias) and n for each lead, `at` it and `up to` it."""
    total = sums.sum("week")
    parts = []
    for how, of in (("at", total), ("up to", total.cumsum("lead").assign_coords(lead=total.lead))):
        chosen = of.sel(lead=list(leads))
        found = error_scores(chosen)[list(LEAD_SCORES)].to_dataframe().reset_index()
        found.insert(1, "n", chosen.n.values.astype(int))
        found.insert(0, "how", how)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def row_scores(sums: Mapping[str, xr.Dataset], leads: tuple[int, ...]) -> pd.DataFrame:
    """Scores of lead sums by seed: a line for each seed, season, `how` and lead."""
    parts = []
    for seed, of in sums.items():
        for season in (ALL_YEAR, *SEASONS):
            chosen = of if season == ALL_YEAR else weeks_in_season(of, season)
            parts.append(lead_scores(chosen, leads).assign(seed=seed, season=season))
    return pd.concat(parts, ignore_index=True)


def final_seed(sums: Mapping[str, xr.Dataset]) -> str:
    """The key of the sums that stand for a row: the mean of its seeds, or its only one."""
    return MEAN_OF_SEEDS if MEAN_OF_SEEDS in sums else next(iter(sums))


def skill_columns(table: pd.DataFrame, sums: Mapping[str, Mapping[str, xr.Dataset]], baselines: Sequence[str],
                  persistence: Sequence[str]) -> pd.DataFrame:
    """SKILL_COLUMNS of each row's final forecast over all the year, empty in the other lines of a table.

    `table` has the lines of `row_scores` of all rows with `row` and `stations`; `sums` the lead sums by row and seed.
    Skill is over the `best` of the other rows among `baselines` at the same stations, and over `persistence`.
    """
    final = table[(table["seed"] == table["row"].map(lambda row: final_seed(sums[row])))
                  & (table["season"] == ALL_YEAR)]
    found: dict[object, dict[str, object]] = {}
    for place, of in final.to_dict("index").items():
        same = final[(final["stations"] == of["stations"]) & (final["how"] == of["how"]) & (final["lead"] == of["lead"])
                     & final["row"].isin(baselines) & (final["row"] != of["row"])].set_index("row")["MAE"].dropna()
        if same.empty:
            continue
        best = str(same.idxmin())
        skill, low, high = skill_interval(sums[of["row"]][of["seed"]], sums[best][final_seed(sums[best])], of["lead"],
                                          of["how"])
        still = same[same.index.isin(persistence)]
        over_still = 100 * (1 - of["MAE"] / still.min()) if len(still) else np.nan
        found[place] = dict(zip(SKILL_COLUMNS, (best, skill, low, high, over_still), strict=True))
    return pd.DataFrame.from_dict(found, orient="index", columns=list(SKILL_COLUMNS)).reindex(table.index)


def skill_interval(ours: xr.Dataset, theirs: xr.Dataset, lead: int, how: str = "at") -> tuple[float, float, float]:
    """Skill 1 - MAE / MAE(theirs) in per cent at a lead, and the central 95 % over weeks resampled."""
    first = lead if how == "at" else 1
    both = xr.align(ours.error_absolute, theirs.error_absolute, join="outer", fill_value=0.0)
    mine, other = (sums.sel(lead=slice(first, lead)).sum("lead").values for sums in both)
    return weekly_skill_interval(mine, other)
