"""Scores of inference at hidden stations: sums by stratum, week and station, which add over draws; then the scores.

Rows are compared on the same pairs. Several draws of hidden stations are scored together: a station counts as often as
it was hidden. Intervals of the skill are those of weeks and stations drawn again (bootstrap.py); that other draws would
hide other stations is in the latter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.evaluation.bootstrap import skill_intervals
from aqreanalysis.evaluation.statistics import DAYS_PER_WEEK, week_number

PAPER_SEASONS = {"November to March": (11, 12, 1, 2, 3), "May to September": (5, 6, 7, 8, 9)}  # as in SPIN's source
INFERENCE_SUMS = ("n", "truth", "truth_squared", "error", "error_absolute", "error_squared")
REFERENCE_ROW = "kriging"


def strata_of(hours: np.ndarray, loneliest: np.ndarray, wind_speed: np.ndarray | None,
              windy: float) -> dict[str, np.ndarray]:
    """Masks (hours, stations) of the strata: all, seasons, the loneliest stations (stations,), hours with wind.

    `wind_speed` (hours, stations) m s-1, NaN where it is not known; None where there is none.
    """
    shape = (len(hours), len(loneliest))
    month = time_axis.local_days(hours).astype("datetime64[M]").astype(int) % 12 + 1
    found = {"all": np.ones(shape, bool)}
    found |= {season: np.broadcast_to(np.isin(month, months)[:, None], shape) for season, months in
              PAPER_SEASONS.items()}
    found["loneliest"] = np.broadcast_to(loneliest, shape)
    if wind_speed is not None:
        found[f"wind over {windy:g} m/s"] = wind_speed > windy
    return found


def inference_sums(truth: np.ndarray, estimates: Mapping[str, np.ndarray], hours: np.ndarray, station: np.ndarray,
                   strata: Mapping[str, np.ndarray]) -> xr.Dataset:
    """INFERENCE_SUMS (group, frequency, model, block, station) of arrays (hours, stations): groups are strata, blocks
    are weeks."""
    together = np.isfinite(truth) & np.all([np.isfinite(one) for one in estimates.values()], axis=0)
    truth = np.where(together, truth, 0.0).astype(np.float64)
    week = week_number(time_axis.local_days(hours))
    weeks, of_hour = np.unique(week, return_inverse=True)
    member = np.eye(len(weeks))[of_hour].T  # (weeks, hours)
    found = np.zeros((len(INFERENCE_SUMS), len(strata), 1, len(estimates), len(weeks), len(station)))
    for row, estimate in enumerate(estimates.values()):
        miss = np.where(together, estimate - truth, 0.0)
        values = (together, truth, truth**2, miss, np.abs(miss), miss**2)
        for group, mask in enumerate(strata.values()):
            for number, value in enumerate(values):
                found[number, group, 0, row] = member @ (value * mask)
    dims = ("group", "frequency", "model", "block", "station")
    names = (DAYS_PER_WEEK * weeks).astype("datetime64[D]").astype("datetime64[ns]")
    return xr.Dataset({name: (dims, found[number]) for number, name in enumerate(INFERENCE_SUMS)},
                      coords={"group": list(strata), "frequency": ["hourly"], "model": list(estimates), "block": names,
                              "station": np.asarray(station, str)})


def inference_scores(sums: xr.Dataset) -> xr.Dataset:
    """Scores (group, model): n, MAE, RMSE, bias, R2, skill over kriging in per cent and its central 95 %.

    R2 is 1 - squared errors over squared deviations of the truth from its mean over all weeks and stations.
    """
    total = sums.isel(frequency=0).sum(("block", "station"))
    n = total.n.where(total.n > 0)
    scores = xr.Dataset({"n": total.n, "MAE": total.error_absolute / n, "RMSE": np.sqrt(total.error_squared / n),
                         "bias": total.error / n,
                         "R2": 1.0 - total.error_squared / (total.truth_squared - total.truth**2 / n)})
    if REFERENCE_ROW not in sums.model.values:
        return scores
    scores["skill"] = 100.0 * (1.0 - scores.MAE / scores.MAE.sel(model=REFERENCE_ROW))
    ends = skill_intervals(sums[["error_absolute", "error_squared"]], REFERENCE_ROW).isel(frequency=0)
    return scores.assign({name: ends[name] for name in ("skill_low", "skill_high")}).drop_vars("frequency")


def as_markdown(scores: xr.Dataset) -> str:
    """A table for each stratum with pairs."""
    parts = []
    for group in scores.group.values:
        of = scores.sel(group=group)
        if not (of.n > 0).any():
            continue
        lines = [f"**{group}** ({int(of.n.max()):,} pairs)", "",
                 "| | MAE | RMSE | R2 | bias | skill over kriging, % |", "|---|---|---|---|---|---|"]
        for model in of.model.values:
            one = of.sel(model=model)
            skill = "" if "skill" not in one or model == REFERENCE_ROW else f"{float(one.skill):+.1f}"
            if skill and np.isfinite(one.skill_low):  # else there are too few weeks or stations to draw again
                skill += f" ({float(one.skill_low):+.1f} to {float(one.skill_high):+.1f})"
            lines.append(f"| {model} | {float(one.MAE):.2f} | {float(one.RMSE):.2f} | {float(one.R2):.3f} | "
                         f"{float(one.bias):+.2f} | {skill} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
