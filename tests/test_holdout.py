"""Which stations are taken out: nothing that training saw is scored, distances match, regions are whole."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.evaluation import holdout

KM_PER_DEGREE = geo.EARTH_RADIUS_KM * np.pi / 180.0


def network(stations=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"station_id": [f"S{i:03d}" for i in range(stations)],
                         "lat": rng.uniform(30, 42, stations), "lon": rng.uniform(107, 124, stations)})


def on_a_meridian(degrees):
    """Stations at latitudes 36 + degrees: the first is the test station, 111.2 km a degree."""
    return pd.DataFrame({"station_id": [f"S{i}" for i in range(len(degrees))], "lat": 36.0 + np.asarray(degrees),
                         "lon": 115.0})


def achieved(table, folds):
    """Distance from each scored station to the nearest that is not removed, by plain search."""
    place = table.set_index("station_id")
    found = {}
    for fold in folds:
        left = place.drop(list(fold.removed))
        for stations in fold.scored.values():
            for name in stations:
                one = place.loc[name]
                found[name] = geo.distance_km(one.lat, one.lon, left.lat.to_numpy(), left.lon.to_numpy()).min()
    return found


def test_the_nearest_stations_go_until_the_next_is_as_far_as_wanted():
    table = on_a_meridian([0.0, 0.1, 0.2, 0.5, 1.0])
    matched = holdout.distance_matched(table, ["S0"], np.array([60.0]))
    (fold,) = matched.folds
    assert set(fold.removed) == {"S0", "S1", "S2"} and fold.scored == {holdout.DISTANCE_MATCHED: ("S0",)}
    assert matched.w_before_km == pytest.approx(60.0 - 0.1 * KM_PER_DEGREE)
    assert matched.w_km == pytest.approx(60.0 - 0.5 * KM_PER_DEGREE)
    assert matched.median_km == 60.0


def test_nothing_is_taken_out_where_stations_are_as_far_as_wanted_already():
    matched = holdout.distance_matched(on_a_meridian([0.0, 0.5, 1.0]), ["S0"], np.array([20.0]))
    assert set(matched.folds[0].removed) == {"S0"}


def test_distances_come_to_match():
    table = network()
    test = list(table.station_id[::5])
    wanted = np.random.default_rng(1).gamma(4.0, 20.0, 5000)
    matched = holdout.distance_matched(table, test, wanted)
    found = achieved(table, matched.folds)
    assert set(found) == set(test)  # each is scored once
    quantiles = np.quantile(wanted, (np.arange(len(test)) + 0.5) / len(test))
    w = np.abs(np.sort(list(found.values())) - quantiles).mean()  # W of two samples of one size
    assert matched.w_km == pytest.approx(w, abs=0.5) and matched.w_km < 0.25 * matched.w_before_km


@pytest.mark.parametrize("make", [lambda t, test: holdout.distance_matched(t, test, np.array([10.0, 50.0, 90.0])).folds,
                                  holdout.regions])
def test_test_stations_are_given_to_nobody_and_only_they_are_scored(make):
    table = network()
    test = set(table.station_id[::7])
    folds = make(table, sorted(test))
    scored = [s for fold in folds for stations in fold.scored.values() for s in stations]
    assert sorted(scored) == sorted(test)
    assert all(test <= set(fold.removed) for fold in folds)
    assert all(len(set(fold.removed)) == len(fold.removed) for fold in folds)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_region_is_taken_out_whole(seed):
    """Blocks of 3 degrees from 106 E, 29 N: all of a scored station's block are out, and no others."""
    table = network(seed=seed)
    test = list(table.station_id[::20])
    block = {row.station_id: ((row.lon - 106) // 3, (row.lat - 29) // 3) for row in table.itertuples()}
    for fold in holdout.regions(table, test):
        (scored,) = fold.scored.values()
        blocks = {block[name] for name in scored}
        expected = {name for name, where in block.items() if where in blocks} | set(test)
        assert set(fold.removed) == expected


def test_withheld_stations_are_out_together():
    fold = holdout.withheld(["A"], ["B", "C"])
    assert set(fold.removed) == {"A", "B", "C"}
    assert fold.scored == {"single stations": ("A",), "whole cities": ("B", "C")}


def test_no_station_is_left():
    assert np.isnan(holdout.nearest_remaining([], [], [36.0], [115.0])).all()
