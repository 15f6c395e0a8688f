"""Strata of scores: seasons, levels of PM2.5, thirds by distance, kinds of place; the same in every table and figure.

Networks stand in towns, maps are of land: kriging of towns' stations is too high at background stations, where few
people live and above the surroundings (docs/accuracy.md). A station can be of several of these kinds; it is `urban`
where it is of none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aqreanalysis.fields.static import static_covariates

SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}  # months
# ug m-3, above the first and up to the second: limits of China's classes of a day's PM2.5 (HJ 633-2012)
LEVELS = {"0-35": (-np.inf, 35.0), "35-75": (35.0, 75.0), "75-150": (75.0, 150.0), "over 150": (150.0, np.inf)}
THIRDS = ("near", "middle", "far")  # by the distance to the nearest station that a model was given


def in_season(days: np.ndarray, season: str) -> np.ndarray:
    """Whether days, datetime64 of any shape (local or UTC, as the caller counts them), lie in one of SEASONS."""
    return np.isin(days.astype("datetime64[M]").astype(int) % 12 + 1, SEASONS[season])


def in_level(pm25: np.ndarray, level: str) -> np.ndarray:
    """Whether concentrations in ug m-3, of any shape, are in one of LEVELS; NaN is in none."""
    low, high = LEVELS[level]
    return (low < pm25) & (pm25 <= high)


BACKGROUND, SPARSE, ELEVATED, URBAN = PLACES = ("background", "sparse", "elevated", "urban")
SPARSE_LOG_POTENTIAL = 11.3  # log(1 + population potential of 5 km), below which a place is sparsely peopled
ELEVATED_M = 20.0            # above the mean within 75 km
# What a station of the background has in its name or in the column `background` of its table (which may also say yes
# or no); the first two are what China's network calls them, "for comparison"
_BACKGROUND_WORDS = "对照|背景|清洁|区域点|background|regional|rural"
_YES = ("true", "1", "1.0", "yes", "y", "是")


def kinds_of_place(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The stations of each of PLACES, of a table with station_id, lat, lon and, where known, name and background.

    Outside China nothing is known but what the table says, and no station is `urban`.
    """
    found = static_covariates(table["lat"].to_numpy(float), table["lon"].to_numpy(float))
    known = np.isfinite(found.population_5km.values)
    of = {BACKGROUND: is_background(table), SPARSE: np.log1p(found.population_5km.values) < SPARSE_LOG_POTENTIAL,
          ELEVATED: found.relief_75km.values > ELEVATED_M}
    of[URBAN] = known & ~np.any(list(of.values()), axis=0)
    ids = table["station_id"].to_numpy()
    return {place: tuple(ids[of[place]]) for place in PLACES}


def is_background(table: pd.DataFrame) -> np.ndarray:
    """Whether stations (n,) are of the background: by the column `background` where there is one, else by name."""
    if "background" in table and table["background"].notna().any():
        text = table["background"].fillna("").astype(str).str.strip().str.casefold()
        return (text.isin(_YES) | text.str.contains(_BACKGROUND_WORDS)).to_numpy()
    if "name" in table:
        return table["name"].fillna("").astype(str).str.contains(_BACKGROUND_WORDS, case=False).to_numpy()
    return np.zeros(len(table), bool)


def membership(kinds: Mapping[str, Sequence[str]], stations: Sequence[str]) -> np.ndarray:
    """Whether stations are of each of PLACES, (place, station) bool."""
    return np.array([np.isin(np.asarray(stations, object).astype(str), list(kinds.get(place, ()))) for place in PLACES])
