"""Scores from sums: over all pairs, by season, hour of the day, level, distance and kind of place.

skill = 1 - MAE / MAE(kriging) is the headline, RMSE_ratio = RMSE / RMSE(kriging) stands beside it, as does NMB_ratio =
NMB / NMB(kriging), with its sign. R2 = 1 - sum of
squared errors / sum of squares about the mean (Kheder et al. 2025, equation 2), r Pearson's correlation; NMB, NME,
MFB, MFE in per cent (Boylan and Russell 2006, 10.1016/j.atmosenv.2005.09.087); MQI after FAIRMODE (statistics.py);
POD, FAR and CSI of a day over 75 ug m-3, and the share of days in the same class of HJ 633. Of the 90 % interval:
coverage, the shares below and above it, its mean width and score (Gneiting and Raftery 2007,
10.1198/016214506000001437, equation 43). CRPS, PIT and the coverage of the other intervals are of the distribution that
the model's bounds give, else its standard error (distributions.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.evaluation.bootstrap import bias_intervals, skill_intervals
from aqreanalysis.evaluation.holdout import MAP_MATCHED
from aqreanalysis.evaluation.matching import effective_number
from aqreanalysis.evaluation.statistics import CENTRAL_PERCENT, HOURS_AND_LEVELS, PIT_BINS, Sums
from aqreanalysis.evaluation.strata import PLACES, SEASONS, THIRDS, in_season

LEAST_ERROR = 1e-9  # ug m-3, of a reference model: a perfect one divides nothing by 0
SHORT = ("n", "MAE", "RMSE", "R2", "NMB_percent", "NME_percent", "coverage_90", "z_rms", "skill_percent")
DISTANCES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, np.inf)  # km, of the curve of error against distance
EVERY = "all designs"
MQI_SHARE = 0.9  # of the stations, whose indicator is no larger than the network's
OUTER, INNER = ["hours", "by", "slice"], ["group", "frequency", "model"]
KEYS = ["group", *OUTER, "frequency", "model"]
Strata = dict[tuple[str, ...], xr.Dataset]  # sums by hours, by and slice
# Thresholds for days of PM2.5, in per cent but for r. |MFB|, MFE of Boylan and Russell (2006): as in its abstract.
# |NMB|, NME, r of Emery et al. (2017, 10.1080/10962247.2016.1265027) for 24-h PM2.5: neither its table nor a source
# that quotes these numbers could be read, so that the column is named `emery_unconfirmed`.
BOYLAN = {"goal": (30.0, 50.0), "criterion": (60.0, 75.0)}
EMERY_UNCONFIRMED = {"goal": (10.0, 35.0, 0.7), "criterion": (30.0, 50.0, 0.4)}
# What the verdicts of a score table rest on; shown with them on the screen
YARDSTICKS = {
    "boylan_russell": "Boylan and Russell (2006): thresholds of MFB, MFE from its abstract",
    "emery_unconfirmed": "Emery et al. (2017): thresholds NOT confirmed, its table was not read",
    "MQI_secondary_source": "MQI (FAIRMODE): parameters from a secondary source, pyaerocom's code",
    "class_agreement": "class right: HJ 633-2012, as quoted in 10.1371/journal.pone.0063486"}


def error_scores(sums: xr.Dataset) -> xr.Dataset:
    """MAE, RMSE, R2 and mean error (`bias`) of sums of any dimensions; NaN where there is no pair.

    `sums` has n, truth, truth_squared, error, error_absolute and error_squared, as in statistics.SUMS.
    """
    return xr.Dataset(_errors(sums.variables), sums.coords)


def _errors(sums: Mapping[Any, xr.Variable]) -> dict[str, xr.Variable]:
    n = sums["n"].where(sums["n"] > 0)
    return {"MAE": sums["error_absolute"] / n, "RMSE": np.sqrt(sums["error_squared"] / n),
            "R2": 1 - sums["error_squared"] / _about_mean(sums["truth_squared"], sums["truth"], n),
            "bias": sums["error"] / n}


def _about_mean(squared: xr.Variable, total: xr.Variable, n: xr.Variable) -> xr.Variable:
    """Sum of squares about the mean, from the sums of squares and of values; NaN where nothing varies."""
    about_mean = squared - total**2 / n
    return about_mean.where(about_mean > 0)


def paired_scores(truth: np.ndarray, estimate: np.ndarray, kriging: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """MAE, RMSE and NMB_percent of pairs (n,) in ug m-3, those of kriging under names in `_kriging`, and skill_percent.

    `weight` (n,) says how much each counts; equally much where none counts at all.
    """
    weight, truth = normalised(weight), truth.astype(np.float64)
    found: dict[str, float] = {}
    level = float(weight @ truth)
    for end, values in (("", estimate), ("_kriging", kriging)):
        miss = values.astype(np.float64) - truth
        found |= {f"MAE{end}": float(weight @ np.abs(miss)), f"RMSE{end}": float(np.sqrt(weight @ miss**2)),
                  f"NMB_percent{end}": 100.0 * float(weight @ miss) / level if level > 0 else np.nan}
    return found | {"skill_percent": 100.0 * (1.0 - found["MAE"] / max(found["MAE_kriging"], LEAST_ERROR))}


def normalised(weight: np.ndarray) -> np.ndarray:
    """Weights (n,) that sum to one, float64; equal ones where all are 0."""
    weight = weight.astype(np.float64)
    return weight / weight.sum() if weight.sum() > 0 else np.full(len(weight), 1.0 / len(weight))


def all_scores(sums: xr.Dataset, reference: str = "kriging") -> xr.Dataset:
    """Scores of sums of any dimensions with `model`; NaN where there is no pair."""
    of = sums.variables  # without labels: to compare those of dozens of small arrays takes longer than all sums
    at = list(sums.model.values).index(reference)
    n, sure, bounded = (of[name].where(of[name] > 0) for name in ("n", "n_error", "n_interval"))
    estimate = of["truth"] + of["error"]
    product = (of["estimate_squared"] + of["truth_squared"] - of["error_squared"]) / 2 - estimate * of["truth"] / n
    varied = _about_mean(of["truth_squared"], of["truth"], n) * _about_mean(of["estimate_squared"], estimate, n)
    over, alarmed = of["hits"] + of["misses"], of["hits"] + of["false_alarms"]
    errors = _errors(of)
    truth = of["truth"].where(of["truth"] != 0)
    bias = of["error"] / truth
    found = {
        "n": np.rint(of["n"]).astype(np.int64),
        "MAE": errors["MAE"], "RMSE": errors["RMSE"], "R2": errors["R2"],
        "r": product / np.sqrt(varied),
        "NMB_percent": 100 * of["error"] / truth, "NME_percent": 100 * of["error_absolute"] / truth,
        "MFB_percent": 100 * of["fractional_error"] / n, "MFE_percent": 100 * of["fractional_error_absolute"] / n,
        "class_agreement": of["same_class"] / n, "POD": of["hits"] / over.where(over > 0),
        "FAR": of["false_alarms"] / alarmed.where(alarmed > 0),
        "CSI": of["hits"] / (over + of["false_alarms"]).where(over + of["false_alarms"] > 0),
        "CRPS": of["crps"] / bounded, "z_rms": np.sqrt(of["z_squared"] / sure),
        **{f"coverage_{share}": of[f"covered_{share}"] / bounded for share in CENTRAL_PERCENT},
        **{name: of[name] / bounded for name in ("below_90", "above_90", "width_90", "interval_score")},
        **{f"PIT_{number}": of[f"pit_{number}"] / bounded for number in range(PIT_BINS)},
        "distance_km": of["distance"] / n,
        "skill_percent": 100 * (1 - errors["MAE"] / _of(errors["MAE"], at)),
        "RMSE_ratio": errors["RMSE"] / _of(errors["RMSE"], at),
        "NMB_ratio": bias / (other := bias.isel(model=at)).where(other != 0)}
    return xr.Dataset(found, sums.coords)


def _of(values: xr.Variable, at: int) -> xr.Variable:
    return values.isel(model=at).clip(min=LEAST_ERROR)


def group_scores(sums: xr.Dataset, groups: Mapping[str, list[str]], reference: str = "kriging") -> pd.DataFrame:
    """The scores SHORT of sums (frequency, model, station), a row for each group, frequency and model.

    Coverage of the central 90 %, and the root mean square of error over standard error: hourly only, since no standard
    error of a day stands in the sums. A group without any pair has scores of NaN.
    """
    rows = []
    for group, stations in groups.items():
        total = sums.sel(station=[s for s in stations if s in sums.station.values]).sum("station")
        rows.append(_frame(all_scores(total, reference)[list(SHORT)], ["frequency", "model"]).assign(group=group))
    table = pd.concat(rows, ignore_index=True)
    return table[["group", "frequency", "model", *SHORT]]


def _frame(found: xr.Dataset, order: list[str]) -> pd.DataFrame:
    return found.to_dataframe(dim_order=order).reset_index()


def score_table(sums: Sums, every_nth_week: int, ours: str, reference: str = "kriging") -> pd.DataFrame:
    """Every score of every stratum, a row for each of KEYS; `hours` is "all" or "withheld weeks".

    Beside the scores, in strata of days and of kinds of place: the ends of 95 % intervals of skill, RMSE_ratio, NMB and
    NMB_ratio (bootstrap.skill_intervals, bias_intervals).
    Of all pairs of a design: `stations`, how many equal ones those that are scored are worth; `scaled_width`, the mean
    width of the interval that the model's standard error gives when it is scaled to hold as many as the intervals of
    `ours` do; and `narrower_percent`, by which those of `ours` are narrower.
    """
    days: Strata = {key: sums.day.isel(day=chosen).sum("day")
                    for key, chosen in _periods(sums.day.day, every_nth_week).items()}
    blocks = {key: sums.block.isel(block=chosen) for key, chosen in _periods(sums.block.block, every_nth_week).items()}
    blocks |= _blocks_of_places(sums.block)
    thirds: Strata = {("all", "distance third", name): part for name, part in _thirds(sums.station).items()}
    curve: Strata = {("all", "distance", name): part for name, part in _curve(sums.station).items()}
    slices = sums.slice.drop_vars("slice").rename(slice="stratum")
    parts = [_rows(days | thirds | _places(sums.place), reference),
             _stratum_rows([("all", *key) for key in HOURS_AND_LEVELS], slices, reference)]
    if curve:
        parts.append(_rows(curve, reference))
    found = pd.concat(parts)
    certain = pd.concat([_frame(xr.merge([skill_intervals(part, reference), bias_intervals(part, reference)]), INNER)
                         .assign(**dict(zip(OUTER, key, strict=True))) for key, part in blocks.items()])
    whole = _mqi(sums.station).merge(_frame(_same_coverage(sums, ours), INNER), "outer", INNER)
    whole = whole.merge(_frame(_stations_in_effect(sums.station), INNER), "outer", INNER)
    whole = whole.assign(hours="all", by="all", slice="all")
    found = found[found.n > 0].merge(certain, "left").merge(whole, "left")
    return _yardsticks(found[KEYS + [name for name in found if name not in KEYS]])


def _rows(sums: Strata, reference: str) -> pd.DataFrame:
    """Scores of sums (group, frequency, model) of strata, a row each; the keys are their hours, by and slice."""
    return _stratum_rows(list(sums), xr.concat(sums.values(), "stratum"), reference)


def _stratum_rows(keys: list[tuple[str, ...]], sums: xr.Dataset, reference: str) -> pd.DataFrame:
    """The same of sums (stratum, group, frequency, model)."""
    found = _frame(all_scores(sums, reference), ["stratum", *INNER])
    names = pd.DataFrame(keys, columns=OUTER)
    labels = {name: names[name].to_numpy()[found["stratum"]] for name in OUTER}
    return found.drop(columns="stratum").assign(**labels)


def _periods(day: xr.DataArray, every_nth_week: int) -> dict[tuple[str, ...], np.ndarray]:
    """Which days or blocks (day,) make all of them, the withheld weeks and the seasons; those that have any."""
    days = day.values.astype("datetime64[D]")
    chosen: dict[tuple[str, ...], np.ndarray] = {
        ("all", "all", "all"): np.ones(len(days), bool),
        ("withheld weeks", "all", "all"): time_axis.withheld_weeks(days, every_nth_week)}
    chosen |= {("all", "season", season): in_season(days, season) for season in SEASONS}
    return {key: mask for key, mask in chosen.items() if mask.any()}


def _places(place: xr.Dataset) -> Strata:
    """Sums of each kind of place, and of each in each season."""
    of_year = place.sum("season")
    found: Strata = {("all", "place", name): of_year.sel(place=name, drop=True) for name in PLACES}
    return found | {("all", "place and season", f"{name}, {season}"): place.sel(place=name, season=season, drop=True)
                    for name in PLACES for season in SEASONS}


def _blocks_of_places(block: xr.Dataset) -> Strata:
    """The blocks of the stations of each kind of place, and in each season; none where kinds are not known."""
    if "is_place" not in block.coords:
        return {}
    days, found = block.block.values.astype("datetime64[D]"), {}
    for name in PLACES:
        mine = block.isel(station=block.is_place.sel(place=name).values)
        found[("all", "place", name)] = mine
        found |= {("all", "place and season", f"{name}, {season}"): mine.isel(block=in_season(days, season))
                  for season in SEASONS}
    return {key: part for key, part in found.items() if part.sizes["station"] and part.sizes["block"]}


def _stations_in_effect(station: xr.Dataset) -> xr.Dataset:
    """`stations` (group, frequency, model): Kish's number, of the pairs of each station with their weights."""
    found = xr.apply_ufunc(lambda n: effective_number(n) if n.any() else 0.0, station.n, vectorize=True,
                           input_core_dims=[["station"]])
    return xr.Dataset({"stations": found})


def _mqi(station: xr.Dataset) -> pd.DataFrame:
    """FAIRMODE's indicator of days: the 90th percentile of the stations' RMSE over twice their RMS uncertainty."""
    days = station.sel(frequency="daily", drop=True)
    ratio = np.sqrt(days.error_squared / (4 * days.uncertainty_squared.where(days.n > 0)))
    of_groups = ratio.to_series().dropna().groupby(["group", "model"])
    return of_groups.quantile(MQI_SHARE).rename("MQI_secondary_source").reset_index().assign(frequency="daily")


def _same_coverage(sums: Sums, ours: str) -> xr.Dataset:
    """`scaled_width` and `narrower_percent` (group, frequency, model); NaN without a model `ours` or its intervals."""
    blank = xr.full_like(sums.scaled.n.isel(factor=0, drop=True), np.nan)
    if ours not in blank.model.values:
        return xr.Dataset({"scaled_width": blank, "narrower_percent": blank})
    own = sums.station.sel(model=ours, drop=True).sum("station")
    held, width = own.covered_90 / own.n_interval, own.width_90 / own.n_interval
    scaled = sums.scaled / sums.scaled.n.where(sums.scaled.n > 0)
    found = xr.apply_ufunc(_interpolated, held, scaled.covered, scaled.width, vectorize=True,
                           input_core_dims=[[], ["factor"], ["factor"]]).transpose(*blank.dims)
    return xr.Dataset({"scaled_width": found, "narrower_percent": 100 * (1 - width / found)})


def _interpolated(wanted: float, shares: np.ndarray, widths: np.ndarray) -> float:
    """The width at which a share `wanted` is held; NaN where none of the factors reaches it."""
    enough = np.flatnonzero(shares >= wanted)
    if not enough.size or enough[0] == 0:
        return np.nan
    ends = slice(enough[0] - 1, enough[0] + 1)
    return float(np.interp(wanted, shares[ends], widths[ends]))


def station_distances(station: xr.Dataset) -> xr.DataArray:
    """Mean distance in km to the nearest remaining station, (group, station); NaN where none is scored."""
    hourly = station.isel(model=0, drop=True).sel(frequency="hourly", drop=True)
    return hourly.distance / hourly.n.where(hourly.n > 0)


def _thirds(station: xr.Dataset) -> dict[str, xr.Dataset]:
    """Sums of the stations of each group in three equal parts by their distance."""
    km = station_distances(station)
    place = km.copy(data=np.argsort(np.argsort(km.values, axis=1, kind="stable"), axis=1))
    third = np.floor(place * len(THIRDS) / km.notnull().sum("station"))  # stations that are not scored stand last
    return {name: station.where(third == number, 0.0).sum("station") for number, name in enumerate(THIRDS)}


def _curve(station: xr.Dataset) -> dict[str, xr.Dataset]:
    """Sums of all designs together, by the distance of each station in each; of those that are scored with weights and
    without, without."""
    station = station.sel(group=[group for group in station.group.values if group != MAP_MATCHED])
    km, parts = station_distances(station), {}
    for low, high in zip(DISTANCES[:-1], DISTANCES[1:], strict=True):
        inside = (km >= low) & (km < high)
        if inside.any():
            name = f"{low:g}-{high:g} km" if np.isfinite(high) else f"over {low:g} km"
            parts[name] = station.where(inside, 0.0).sum(["group", "station"]).expand_dims(group=[EVERY])
    return parts


def _yardsticks(found: pd.DataFrame) -> pd.DataFrame:
    """`emery_unconfirmed` and `boylan_russell` of days: goal, criterion or neither."""
    emery = {name: (found.NMB_percent.abs() <= nmb) & (found.NME_percent <= nme) & (found.r >= r)
             for name, (nmb, nme, r) in EMERY_UNCONFIRMED.items()}
    boylan = {name: (found.MFB_percent.abs() <= mfb) & (found.MFE_percent <= mfe)
              for name, (mfb, mfe) in BOYLAN.items()}
    daily = found.frequency == "daily"
    return found.assign(emery_unconfirmed=_grade(daily, emery), boylan_russell=_grade(daily, boylan))


def _grade(daily: pd.Series, met: dict[str, pd.Series]) -> np.ndarray:
    return np.select([~daily, met["goal"], met["criterion"]], ["", "goal", "criterion"], "neither")
