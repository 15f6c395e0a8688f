"""Scores at withheld stations: statistics are sums over hours, metrics are functions of sums.

So a year scored month by month gives what a year in memory gives. Every model is scored on the same
pairs: station-hours with an observation and an estimate from every model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.clock import HOURS_PER_DAY

SUMS = ("n", "truth", "truth_squared", "error", "error_absolute", "error_squared", "covered_90", "z_squared")
NORMAL_90 = 1.6449  # half width of the central 90 % of a normal distribution, in standard deviations


def month_statistics(models: Mapping[str, object], cube: xr.Dataset, withheld: list[str],
                     hours: np.ndarray, minimum_hours: int = 20) -> xr.Dataset:
    """Sums (frequency, model, station) of one month at withheld stations of its cube.

    No model sees a withheld station: they are taken out of the cube before it is handed on.
    """
    there = [station for station in withheld if station in set(cube.station.values)]
    asked = cube.sel(station=there)
    seen = cube.drop_sel(station=there)
    targets = schema.make_targets(hours, asked.lat.values, asked.lon.values)
    truth = asked.pm25.reindex(time=hours).values
    estimates = {}
    for name, model in models.items():
        result = model.predict(_window(seen, model, hours), targets)
        estimates[name] = (result.pm25.values, result[schema.STANDARD_ERROR].values)
    together = np.isfinite(truth) & np.all([np.isfinite(e) for e, _ in estimates.values()], axis=0)
    truth = np.where(together, truth, np.nan)
    daily_truth = _daily(truth, minimum_hours)
    sums = np.zeros((2, len(models), len(SUMS), len(there)))
    for number, (estimate, error) in enumerate(estimates.values()):
        sums[0, number] = _sums(truth, estimate, error)
        daily = _daily(np.where(together, estimate, np.nan), minimum_hours)
        sums[1, number] = _sums(daily_truth, daily, np.full_like(daily, np.nan))
    return xr.Dataset(
        {name: (("frequency", "model", "station"), sums[:, :, place]) for place, name in enumerate(SUMS)},
        coords={"frequency": ["hourly", "daily"], "model": list(models), "station": there})


def _window(cube: xr.Dataset, model, hours: np.ndarray) -> xr.Dataset:
    hour = np.timedelta64(1, "h")
    return cube.sel(time=slice(hours[0] - model.history * hour, hours[-1] + model.future * hour))


def _daily(hourly: np.ndarray, minimum_hours: int) -> np.ndarray:
    """Means of days with enough hours, from (24 * days, stations)."""
    days = hourly.reshape(len(hourly) // HOURS_PER_DAY, HOURS_PER_DAY, hourly.shape[1])
    count = np.isfinite(days).sum(axis=1)
    mean = np.nansum(days, axis=1) / np.maximum(count, 1)
    return np.where(count >= minimum_hours, mean, np.nan)


def _sums(truth: np.ndarray, estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The statistics (SUMS, station) of arrays (time, station), in float64."""
    known = np.isfinite(truth)
    truth = np.where(known, truth, 0.0).astype(np.float64)
    miss = np.where(known, estimate - truth, 0.0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(known & (error > 0), miss / error, 0.0)
    covered = known & (np.abs(miss) <= NORMAL_90 * error)
    rows = (known, truth, truth**2, miss, np.abs(miss), miss**2, covered, z**2)
    return np.stack([row.sum(axis=0, dtype=np.float64) for row in rows])


def add(parts: list[xr.Dataset]) -> xr.Dataset:
    """The sums of all parts; a station that is not in a part adds nothing there."""
    first, *others = xr.align(*parts, join="outer", fill_value=0.0)
    return sum(others, first)


def metrics(sums: xr.Dataset, groups: Mapping[str, list[str]], reference: str = "kriging") -> pd.DataFrame:
    """One row for each group, frequency and model: n, MAE, RMSE, R2, NMB, NME and the skill over kriging.

    skill = 1 - MAE / MAE(reference); R2 = 1 - sum of squared errors / sum of squares about the mean
    (Kheder et al. 2025, equation 2), over all pairs of the group; NMB and NME in per cent. Coverage
    of the central 90 % of a normal distribution with the standard error, and the root mean square of
    error over standard error: hourly only, since no standard error of a day stands in the sums. A
    group without any pair has scores of NaN.
    """
    rows = []
    for group, stations in groups.items():
        total = sums.sel(station=[s for s in stations if s in sums.station.values]).sum("station")
        for frequency in total.frequency.values:
            of = total.sel(frequency=frequency)
            for model in of.model.values:
                scores = _scores(of.sel(model=model))
                if frequency == "daily":
                    scores |= {"coverage_90": np.nan, "z_rms": np.nan}
                best = float(of.error_absolute.sel(model=reference)) / max(scores["n"], 1)
                rows.append({"group": group, "frequency": str(frequency), "model": str(model), **scores,
                             "skill_percent": 100 * (1 - scores["MAE"] / max(best, 1e-9))})
    return pd.DataFrame(rows)


def _scores(s: xr.Dataset) -> dict[str, float]:
    s = {name: float(s[name]) for name in SUMS}
    n = s["n"] or np.nan
    variation = s["truth_squared"] - s["truth"] ** 2 / n
    truth = s["truth"] or np.nan
    return {"n": int(s["n"]), "MAE": s["error_absolute"] / n, "RMSE": np.sqrt(s["error_squared"] / n),
            "R2": 1.0 - s["error_squared"] / variation if variation > 0 else np.nan,
            "NMB_percent": 100 * s["error"] / truth, "NME_percent": 100 * s["error_absolute"] / truth,
            "coverage_90": s["covered_90"] / n, "z_rms": np.sqrt(s["z_squared"] / n)}
