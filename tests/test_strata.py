"""Seasons and levels: each day lies in one season and each concentration in one level; limits by hand."""

import numpy as np
import pandas as pd
import pytest

from aqreanalysis.evaluation.strata import (
    LEVELS,
    SEASONS,
    in_level,
    in_season,
    is_background,
    kinds_of_place,
    membership,
)


@pytest.mark.parametrize("season, first, last", [
    ("winter", "2019-12-01", "2020-02-29"), ("spring", "2019-03-01", "2019-05-31"),
    ("summer", "2019-06-01", "2019-08-31"), ("autumn", "2019-09-01", "2019-11-30")])
def test_a_season_is_its_three_months(season, first, last):
    days = np.arange(first, np.datetime64(last) + 1, dtype="datetime64[D]")
    around = np.array([days[0] - 1, days[-1] + 1])
    assert in_season(days, season).all() and not in_season(around, season).any()
    assert in_season(days.astype("datetime64[ns]")[:, None], season).shape == (len(days), 1)


def test_a_day_has_one_season_and_a_concentration_one_level():
    days = np.arange("2019-01-01", "2021-01-01", dtype="datetime64[D]")
    assert (np.sum([in_season(days, season) for season in SEASONS], axis=0) == 1).all()
    pm25 = np.array([0.0, 34.9, 35.0, 35.1, 75.0, 150.0, 150.1, np.nan])
    assert [[name for name in LEVELS if in_level(pm25, name)[place]] for place in range(len(pm25))] == [
        ["0-35"], ["0-35"], ["0-35"], ["35-75"], ["35-75"], ["75-150"], ["over 150"], []]


def test_kinds_of_place():
    """Beijing's centre is urban; Mount Tai is elevated; a station for comparison is of the background wherever it
    stands; the steppe is sparse. Outside China nothing is known but the name."""
    table = pd.DataFrame({"station_id": list("abcde"), "lat": [39.93, 36.25, 39.93, 43.5, 39.0],
                          "lon": [116.42, 117.10, 116.42, 112.0, 30.0],
                          "name": ["东四", "", "气象站(对照点)", "", ""]})
    kinds = kinds_of_place(table)
    assert kinds["background"] == ("c",) and kinds["urban"] == ("a",) and "d" in kinds["sparse"]
    assert "b" in kinds["elevated"] and "a" not in kinds["sparse"] and all("e" not in of for of in kinds.values())
    np.testing.assert_array_equal(membership(kinds, ["c", "a"]), [[True, False], [False] * 2, [False] * 2,
                                                                  [False, True]])


@pytest.mark.parametrize("column, expected", [
    (["True", "False", None], [1, 0, 0]), (["urban", "Background", "regional"], [0, 1, 1]),
    (["1", "0", "是"], [1, 0, 1]),
    ([None, None, None], [0, 0, 1])])
def test_the_table_says_which_stations_are_of_the_background(column, expected):
    """Its column comes first; where it is empty or missing, the name."""
    table = pd.DataFrame({"station_id": list("abc"), "name": ["定陵", "Dongsi", "清洁对照点"], "background": column})
    assert list(is_background(table)) == [bool(value) for value in expected]
