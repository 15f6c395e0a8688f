"""What gives a withheld station away is found, is in no fold beside it, and is withheld with it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import small_checkpoint

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.evaluation import holdout
from aqreanalysis.models.baselines import boosting
from aqreanalysis.observations import likeness, stations
from aqreanalysis.observations.near_duplicates import (
    NEAR_KM,
    NO_DUPLICATES,
    DuplicatePair,
    NearDuplicates,
    find_duplicates,
)
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.training import analysis_data, forecast_data, masking
from aqreanalysis.workflows.evaluate_analysis import evaluate

HOURS, STATIONS = 192, 12


def air(seed=0, hours=HOURS, n=STATIONS):
    """PM2.5 of neighbours (hours, n) in whole ug m-3: one air that all share, and 6 % of their own; r up to 0.98."""
    rng = np.random.default_rng(seed)
    shared, own = (np.zeros((hours, width)) for width in (1, n))
    for hour in range(1, hours):
        shared[hour] = 0.97 * shared[hour - 1] + 0.13 * rng.standard_normal(1)
        own[hour] = 0.8 * own[hour - 1] + 0.035 * rng.standard_normal(n)
    return np.round(60.0 * np.exp(shared + own))


def late(series, hours):
    return np.concatenate([np.full(hours, np.nan), series[:-hours]])


def some_missing(series, share, seed=1):
    return np.where(np.random.default_rng(seed).random(len(series)) < share, np.nan, series)


def three_figures(series):
    return np.array([float(f"{value:.3g}") for value in series])


SAME = {
    "the same": lambda x: x,
    "not rounded": lambda x: x + np.random.default_rng(2).uniform(-0.5, 0.5, len(x)),
    "cut instead of rounded": lambda x: np.floor(x + np.random.default_rng(2).uniform(-0.5, 0.5, len(x))),
    "mg m-3": lambda x: np.round(x / 1000, 3),
    "of another reference state": lambda x: np.round(1.0916 * x),
    "three figures": lambda x: three_figures(1.0004 * x),
    "stamps of the beginning": lambda x: late(x, 1),
    "local time as UTC": lambda x: late(x, 8),
    "local time as UTC, mg m-3": lambda x: late(x, 8) / 1000,
    "a day late": lambda x: late(x, 24),
    "half missing": lambda x: some_missing(x, 0.5),
    "three-hourly": lambda x: np.where(np.arange(len(x)) % 3 == 1, x, np.nan),
    "revised in part": lambda x: np.where(np.arange(len(x)) % 10 == 3, 1.3 * x, x),
    "a long pause": lambda x: np.where(np.arange(len(x)) < 120, np.nan, x),
}


LAG = {"stamps of the beginning": 1, "local time as UTC": 8, "local time as UTC, mg m-3": 8, "a day late": 24}


@pytest.mark.parametrize("guise", SAME)
def test_one_instrument_is_found_in_any_guise_and_nobody_else(guise):
    for seed in range(3):
        values = air(seed)
        (found,) = likeness.alike(np.column_stack([values, SAME[guise](values[:, 4])]))
        assert (found.one, found.other, found.lag) == (4, STATIONS, LAG.get(guise, 0))


def stuck(x):
    return np.where(np.arange(len(x)) < 180, 35.0, x)


DIFFERENT = {
    "constant": lambda x: np.full(len(x), 35.0),
    "few common hours": lambda x: np.where(np.arange(len(x)) < 15, x, np.nan),
    "no common hour": lambda x: np.full(len(x), np.nan),
    "negative codes": lambda x: np.full(len(x), -999.0),
    "of its own": lambda x: np.round(x * np.exp(0.06 * np.random.default_rng(3).standard_normal(len(x)))),
    "daily means": lambda x: np.repeat(x.reshape(-1, 24).mean(axis=1), 24),
}


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT)
def test_neighbours_and_stuck_and_short_series_are_nobodys_duplicate(other):
    for seed in range(3):
        values = air(seed)
        assert np.corrcoef(values.T)[4, 5:].max() > 0.95  # correlation is no evidence
        assert likeness.alike(np.column_stack([values, other(values[:, 4])])) == []


def test_two_sensors_that_are_stuck_at_one_value():
    """Equal in 94 % of the hours, in none of those with a change."""
    values = air()
    assert likeness.alike(np.column_stack([stuck(values[:, 0]), stuck(values[::-1, 1])])) == []


def test_the_share_by_hand():
    """Margin 1: changes over 2 in the hours 1, 3, 4 and 5, of which 4 is not equal; hour 2 is not common."""
    one = np.array([[10.0, 20, 30, 40, 50, 60]]).T
    other = np.array([[10.0, 21, np.nan, 40, 44, 60]]).T
    hours, share = likeness.equal_share(one, other, np.ones(1), np.ones(1))
    assert hours.tolist() == [4] and share.tolist() == [0.75]


@pytest.mark.parametrize("values, expected", [([3.0, 12, 150], 1.0), ([3.1, 12, 150], 0.1), ([0.035, 0.012], 0.001),
                                              (np.pi * np.arange(1, 50), 1e-4), ([np.nan], 1.0)])
def test_the_step_of_the_last_decimal(values, expected):
    assert likeness.step(np.array(values, np.float32).astype(float)) == pytest.approx(expected)


# --- pairs and groups


def on_a_meridian(km):
    return pd.DataFrame({"station_id": [f"S{n}" for n in range(len(km))],
                         "lat": 36.0 + np.degrees(np.asarray(km) / geo.EARTH_RADIUS_KM), "lon": 115.0})


def test_who_stands_nearer_than_half_a_kilometre():
    found = find_duplicates(on_a_meridian([0.0, 0.499, 5.0, 5.501, 9.0, 9.0]))
    assert [(pair.one, pair.other) for pair in found.pairs] == [("S0", "S1"), ("S4", "S5")]
    assert found.pairs[0].reason == "499 m apart" and NEAR_KM == 0.5


def test_one_series_far_apart_and_in_the_second_cube_only():
    table = on_a_meridian(100.0 * np.arange(STATIONS + 1))
    first, second = np.column_stack([air(0), air(5)[:, 0]]), np.column_stack([air(1), late(air(1)[:, 3], 8)])
    cubes = [schema.make_station_cube(np.datetime64("2019-01-01T00", "ns") + np.arange(HOURS) * np.timedelta64(1, "h"),
                                      table.station_id, table.lat, table.lon, {"pm25": values.astype(np.float32)})
             for values in (first, second)]
    (pair,) = find_duplicates(table, iter(cubes)).pairs
    assert (pair.one, pair.other, pair.lag) == ("S3", "S12", 8) and pair.hours > 100
    assert "900 km apart, equal in 100%" in pair.reason and pair.reason.endswith("8 h later")


WITHHELD = {"test_single": ["W1", "W2"], "test_city": [], "validation_single": [], "validation_city": []}
CHAIN = NearDuplicates((DuplicatePair("A", "B", 0.4), DuplicatePair("B", "C", 0.4), DuplicatePair("X", "Y", 0.1)))


def test_groups_are_tied_by_chains():
    assert CHAIN.groups() == [("A", "B", "C"), ("X", "Y")]
    assert CHAIN.of(["A", "Q"]) == ("B", "C") and CHAIN.of(["A", "B", "C"]) == () == NearDuplicates().of("AB")
    assert CHAIN.among("ACXQ").groups() == [("A", "C")]  # though what ties them is not there
    assert CHAIN.one_label({"A": 7, "C": 2, "Q": 3}) == {"A": 7, "C": 7, "Q": 3}
    np.testing.assert_array_equal(CHAIN.matrix(["Q", "C", "A"]), [[1, 0, 0], [0, 1, 1], [0, 1, 1]])


def test_what_is_said():
    assert CHAIN.sentences(["Q"]) == []
    assert CHAIN.sentences(["X"]) == [
        "1 station that would give withheld ones away is withheld too: Y for X (100 m apart)"]
    many = NearDuplicates(tuple(DuplicatePair(f"a{n}", f"b{n}", 0.03) for n in range(9)))
    (text,) = many.sentences([f"a{n}" for n in range(9)])
    assert text.startswith("9 stations") and "b3 for a3 (30 m apart); 5 more pairs" in text and "b4" not in text


# --- what is withheld together


@st.composite
def networks(draw):
    """A table of stations, some of them tied in pairs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n = draw(st.integers(30, 120))
    table = pd.DataFrame({"station_id": [f"S{i:03d}" for i in range(n)], "lat": rng.uniform(30, 42, n),
                          "lon": rng.uniform(107, 124, n)})
    pairs = rng.integers(0, n, (draw(st.integers(0, 15)), 2))
    ids = table.station_id.to_numpy()
    return table, NearDuplicates(tuple(DuplicatePair(ids[a], ids[b], 1.0) for a, b in pairs if a != b))


@settings(max_examples=25, deadline=None)
@given(networks(), st.integers(0, 99))
def test_no_group_is_in_two_parts_of_a_split(network, seed):
    table, duplicates = network
    drawn = stations.split_stations(table, seed)
    split = drawn.keeping_together(duplicates.groups())
    part = {station: name for name in stations.PARTS for station in getattr(split, name)}
    assert sorted(part) == sorted(table.station_id)
    assert all(len({part[station] for station in group}) == 1 for group in duplicates.groups())
    tied = {station for group in duplicates.groups() for station in group}
    for name in stations.PARTS:  # nobody else moves, and nothing that was withheld is given
        assert set(getattr(drawn, name)) - tied == set(getattr(split, name)) - tied
    assert set(split.train) <= set(drawn.train) and set(drawn.test) <= set(split.test)
    assert drawn.keeping_together(NearDuplicates().groups()) == drawn


@settings(max_examples=25, deadline=None)
@given(networks())
def test_no_fold_gives_a_duplicate_of_what_it_takes_out(network):
    table, duplicates = network
    test = list(table.station_id[::6])
    wanted = np.array([20.0, 60.0, 150.0])
    matched = holdout.distance_matched(table, test, wanted, duplicates=duplicates)
    folds = [holdout.withheld(test[:2], test[2:], duplicates), *matched.folds,
             *holdout.regions(table, test, duplicates=duplicates)]
    for fold in folds:
        assert not duplicates.of(fold.removed) and len(set(fold.removed)) == len(fold.removed)
        assert {s for scored in fold.scored.values() for s in scored} <= set(test) <= set(fold.removed)
    plain = [holdout.withheld(test[:2], test[2:]), *holdout.distance_matched(table, test, wanted).folds,
             *holdout.regions(table, test)]
    nothing = NearDuplicates()
    assert plain == [holdout.withheld(test[:2], test[2:], nothing),
                     *holdout.distance_matched(table, test, wanted, duplicates=nothing).folds,
                     *holdout.regions(table, test, duplicates=nothing)]


def test_distances_are_to_what_is_left():
    """On a meridian: the test station's duplicate at 10 km is out, so the next one stands at 30 km."""
    table = on_a_meridian([0.0, 10.0, 30.0, 80.0])
    tied = NearDuplicates((DuplicatePair("S0", "S1", 10.0),))
    matched = holdout.distance_matched(table, ["S0"], np.array([30.0]), duplicates=tied)
    assert set(matched.folds[0].removed) == {"S0", "S1"}
    assert matched.w_before_km == pytest.approx(0.0, abs=1e-6) == matched.w_km
    tied = NearDuplicates((DuplicatePair("S1", "S2", 20.0),))  # what is taken out takes its own with it
    matched = holdout.distance_matched(table, ["S0"], np.array([30.0]), duplicates=tied)
    assert set(matched.folds[0].removed) == {"S0", "S1", "S2"} and matched.w_km == pytest.approx(50.0)


@settings(max_examples=25, deadline=None)
@given(networks(), st.integers(0, 2**31))
def test_a_target_of_training_is_shown_no_duplicate_of_its_own(network, seed):
    """In the same draw nothing else is hidden for it."""
    table, duplicates = network
    n, ids = len(table), table.station_id.to_numpy()
    shown = []
    for known in (duplicates, NO_DUPLICATES):
        places = masking.Places(table.lat.to_numpy(), table.lon.to_numpy(), np.arange(n), known.matrix(ids))
        visible = masking.draw_visible(places, np.arange(n), AnalysisTraining(), np.random.default_rng(seed))
        shown.append([set(ids[places.order[target][visible[target]]]) for target in range(n)])
    for target, name in enumerate(ids):
        assert shown[0][target] == shown[1][target] - {name, *duplicates.of([name])}


@settings(max_examples=25, deadline=None)
@given(networks(), st.integers(2, 5), st.integers(0, 99))
def test_no_group_is_in_two_folds_of_a_training(network, folds, seed):
    table, duplicates = network
    cities = duplicates.one_label(dict(zip(table.station_id, stations.city_numbers(table), strict=True)))
    fold = analysis_data.draw_folds(cities, folds, seed)
    assert all(len({fold[station] for station in group}) == 1 for group in duplicates.groups())


def test_boosting_learns_at_stations_whose_duplicates_are_left_out_too():
    """A duplicate 50 m away would be the nearest neighbour of what is left out."""
    cube = schema.mock_station_cube(hours=72, stations=40)
    twice = xr.concat([cube, cube.assign_coords(station=("station", [f"{s}b" for s in cube.station.values]),
                                                lat=cube.lat + 0.0005)], "station")
    pairs = NearDuplicates(tuple(DuplicatePair(s, f"{s}b", 0.05) for s in cube.station.values))
    days = np.array(["2019-01-02"], "datetime64[D]")
    nearest = 2 + boosting.FEATURE_NEIGHBOURS + len(boosting.LAGS) + len(schema.POLLUTANTS) - 1
    given_away, kept = (boosting.left_out_rows(twice, days, 0, together=matrix).features[:, nearest]
                        for matrix in (None, pairs.matrix(twice.station.values)))
    assert given_away.min() < 0.06 and kept.min() > 1.0


# --- in the commands


def test_forecasts_withhold_duplicates_of_the_stations_that_are_drawn(tmp_path):
    """Ten stations a degree apart, each again 30 m away: of any two both are withheld, or none."""
    values = air(hours=400, n=10)
    hours = np.datetime64("2019-01-01T00", "ns") + np.arange(400) * np.timedelta64(1, "h")
    parts = [pd.DataFrame({"station_id": f"S{n}{copy}", "time": hours, "lon": 110.0 + n, "lat": lat,
                           "pm25": values[:, n]})
             for n in range(10) for copy, lat in (("", 36.0), ("copy", 36.0003))]
    pd.concat(parts).to_parquet(tmp_path / "rows.parquet")
    data = forecast_data.load_forecast_data(ObservationFiles.of(str(tmp_path)), 0.6, 0.2, 0.2, 0)
    assert {name.removesuffix("copy") + "copy" for name in data.withheld} <= set(data.withheld)
    assert len(data.withheld) in (6, 8) and any("would give withheld ones away" in text for text in data.warnings)
    assert not set(data.visible(True).station.values) & set(data.withheld)


def listed_twice(path, change=lambda name, values: values):
    """30 stations of which two are test stations of a checkpoint and two have a copy; `change` of values."""
    names = [*WITHHELD["test_single"], *(f"T{n:02d}" for n in range(26)), "near", "wrong place"]
    rng = np.random.default_rng(4)
    values, lat, lon = air(hours=240, n=30), rng.uniform(36, 40, 30), rng.uniform(113, 119, 30)
    lat[28], lon[28], values[8:, 29] = lat[0] + 0.001, lon[0], values[:-8, 1]
    hours = np.datetime64("2019-01-01T00", "ns") + np.arange(240) * np.timedelta64(1, "h")
    pd.concat([pd.DataFrame({"station_id": name, "time": hours, "lon": lon[n], "lat": lat[n],
                             "pm25": change(name, values[:, n])}) for n, name in enumerate(names)]).to_parquet(path)
    return str(path)


def test_nothing_of_a_withheld_station_or_its_duplicate_reaches_an_estimate(tmp_path):
    """The near one and the one 8 h late at another place are taken out of all designs, and it is said."""
    period = time_axis.parse_period(None, "2019-01-05", "2019-01-05")
    network = str(small_checkpoint(tmp_path / "network", withheld=WITHHELD))
    path = listed_twice(tmp_path / "rows.parquet")
    before = evaluate(path, period, network, withheld=True)
    other = listed_twice(tmp_path / "other.parquet",
                         lambda name, values: values if name.startswith("T") else 1.1 * values)
    after = evaluate(other, period, network, withheld=True)
    for name in ("estimate_squared", "n"):
        np.testing.assert_array_equal(before.sums.station[name], after.sums.station[name])
    assert not np.array_equal(before.sums.station.truth, after.sums.station.truth)
    assert "2 stations that would give withheld ones away" in before.notes[0]
    assert "near for W1 (111 m apart)" in before.notes[0] and "8 h later" in before.notes[0]
    assert before.notes[1].startswith("2 of them were not withheld from small")
