"""How certain a skill or a bias is: the bootstrap over weeks, and over cities, of a ratio of sums.

Errors of consecutive hours are alike, so whole weeks are resampled (Kunsch 1989, 10.1214/aos/1176347265); errors of
stations in one city are alike too, and another network would have other cities, so whole cities are resampled,
independently of the weeks. A week and city counts as often as the product of how often both were drawn. This
product of weights is, for two crossed factors, mildly conservative: intervals come out too wide rather than too
narrow (Owen and Eckles 2012, 10.1214/12-AOAS547). Both models have the same draws (paired).

A draw is a row of weights, how often each week or city was drawn; everything else (weighted sums, their ratio, its
quantiles) is written once, for analyses (`skill_intervals`, `bias_intervals`) and forecasts (`weekly_skill_interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.statistics import week_number

DRAWS, BOOTSTRAP_SEED = 2000, 0
MIN_WEEKS = MIN_CITIES = 4  # with fewer there is no interval
CENTRAL_95 = (2.5, 97.5)  # per cent
ENDS = ("low", "high")


def skill_intervals(block: xr.Dataset, reference: str = "kriging") -> xr.Dataset:
    """The central 95 % of the skill in per cent and of the RMSE over the reference's, (group, frequency, model).

    `block` as in statistics.Sums: `error_absolute` and `error_squared` (group, frequency, model, block, station), and
    the station's `city` as a coordinate, else each station is a city.

    Returns `skill_low`, `skill_high`, `RMSE_ratio_low`, `RMSE_ratio_high`: weeks and cities resampled, and
    `skill_low_weeks`, `skill_high_weeks`: the stations as they are, which says what another year would give at these
    stations. NaN where there are fewer than MIN_WEEKS weeks or MIN_CITIES cities.
    """
    names = [f"{score}_{end}{of}" for score, of in (("skill", ""), ("RMSE_ratio", ""), ("skill", "_weeks"))
             for end in ENDS]
    return _of_groups(block, ("error_absolute", "error_squared"), names, reference, _interval_ends)


def bias_intervals(block: xr.Dataset, reference: str = "kriging") -> xr.Dataset:
    """The central 95 % of the normalised mean bias in per cent and of its ratio to the reference's, which is signed.

    `block` as for `skill_intervals`, with `error` and `truth`. Returns `NMB_low`, `NMB_high`, `NMB_ratio_low` and
    `NMB_ratio_high` (group, frequency, model): weeks and cities resampled, NaN where these are too few. A ratio to a
    bias that may be none has no interval: it is NaN where the reference's own interval holds 0.
    """
    names = [f"{score}_{end}" for score in ("NMB", "NMB_ratio") for end in ENDS]
    return _of_groups(block, ("error", "truth"), names, reference, _bias_ends)


def _of_groups(block: xr.Dataset, sums: Sequence[str], names: Sequence[str], reference: str,
               ends: Callable[[np.ndarray, int], np.ndarray]) -> xr.Dataset:
    """What `ends` (names, model) makes of the sums (sum, model, week, city) of each group and frequency."""
    weeks = week_number(block.block.values)
    city = block.city.values if "city" in block.coords else block.station.values
    place = list(block.model.values).index(reference)
    cells = np.stack([block[name].transpose("group", "frequency", "model", "block", "station").values
                      for name in sums])  # (sum, group, frequency, model, block, station)
    found = np.full((len(names), *cells.shape[1:4]), np.nan)
    for group in range(cells.shape[1]):
        for frequency in range(cells.shape[2]):
            found[:, group, frequency] = ends(_by_week_and_city(cells[:, group, frequency], weeks, city), place)
    dims = ("group", "frequency", "model")
    return xr.Dataset({name: (dims, values) for name, values in zip(names, found, strict=True)},
                      coords={dim: block[dim] for dim in dims})


def weekly_skill_interval(ours: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """Skill in per cent of absolute errors summed by week (week,) over a reference's, and its central 95 %."""
    sums = np.stack([reference, ours])[..., None]  # one city: only weeks are resampled
    of_weeks = _picked(len(ours), np.random.default_rng(BOOTSTRAP_SEED))
    low, high = _central(_skill_percent(sums, of_weeks, np.ones((DRAWS, 1)), 0))[:, 1]
    return _skill_percent(sums, np.ones((1, len(ours))), np.ones((1, 1)), 0)[1].item(), float(low), float(high)


def _by_week_and_city(cells: np.ndarray, weeks: np.ndarray, city: np.ndarray) -> np.ndarray:
    """Sums (sum, model, week, city) of (sum, model, block, station); empty weeks and cities are left out."""
    for axis, names in ((2, weeks), (3, city)):
        _, place = np.unique(names, return_inverse=True)
        member = np.eye(place.max() + 1 if place.size else 0)[place]
        cells = np.moveaxis(np.moveaxis(cells, axis, -1) @ member, -1, axis)
        cells = np.compress(cells.any(axis=tuple({0, 1, 2, 3} - {axis})), cells, axis=axis)
    return cells


def _interval_ends(sums: np.ndarray, reference: int) -> np.ndarray:
    """Ends (6, model) of the intervals of skill, from absolute and squared errors."""
    absolute, squared = sums
    models, weeks, cities = absolute.shape
    ends = np.full((6, models), np.nan)
    if weeks < MIN_WEEKS:
        return ends
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    of_weeks = _drawn(weeks, rng)
    ends[4:] = _central(_skill_percent(absolute, of_weeks, np.ones((DRAWS, cities)), reference))
    if cities >= MIN_CITIES:
        of_cities = _drawn(cities, rng)
        ends[:2] = _central(_skill_percent(absolute, of_weeks, of_cities, reference))
        ends[2:4] = _central(np.sqrt(_ratio(squared, of_weeks, of_cities, reference)))
    return ends


def _bias_ends(sums: np.ndarray, reference: int) -> np.ndarray:
    """Ends (4, model) of the intervals of bias, from errors and truth."""
    _, models, weeks, cities = sums.shape
    ends = np.full((4, models), np.nan)
    if weeks < MIN_WEEKS or cities < MIN_CITIES:
        return ends
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    of_weeks, of_cities = _drawn(weeks, rng), _drawn(cities, rng)
    error, truth = (_weighted_sums(of, of_weeks, of_cities) for of in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        ends[:2] = _central(100 * error / truth)
        if np.prod(ends[:2, reference]) > 0:
            ends[2:] = _central(error / truth / (error / truth)[reference])
    return ends


def _drawn(units: int, rng: np.random.Generator) -> np.ndarray:
    """How often each unit is drawn (DRAWS, units), as many as there are, with replacement."""
    return rng.multinomial(units, np.full(units, 1 / units), DRAWS).astype(float)


def _picked(units: int, rng: np.random.Generator) -> np.ndarray:
    """The same by other random numbers: those with which the intervals of forecasts were published."""
    times = np.zeros((DRAWS, units))
    np.add.at(times, (np.arange(DRAWS)[:, None], rng.integers(units, size=(DRAWS, units))), 1)
    return times


def _skill_percent(absolute: np.ndarray, of_weeks: np.ndarray, of_cities: np.ndarray, reference: int) -> np.ndarray:
    return 100 * (1 - _ratio(absolute, of_weeks, of_cities, reference))


def _ratio(sums: np.ndarray, of_weeks: np.ndarray, of_cities: np.ndarray, reference: int) -> np.ndarray:
    """Weighted sums (model, draw) of (model, week, city) over the reference's."""
    drawn = _weighted_sums(sums, of_weeks, of_cities)
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn / drawn[reference]


def _weighted_sums(sums: np.ndarray, of_weeks: np.ndarray, of_cities: np.ndarray) -> np.ndarray:
    """(model, draw) of (model, week, city)."""
    return np.stack([((of_weeks @ one) * of_cities).sum(axis=1) for one in sums])


def _central(values: np.ndarray) -> np.ndarray:
    """Ends (2, model) of the central 95 % of (model, draw)."""
    return np.percentile(values, CENTRAL_95, axis=1)
