"""Tests in time and space on a small town: each fault is found by its own test, and what is real is left alone."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aqreanalysis import schema
from aqreanalysis.observations import quality
from aqreanalysis.observations.quality.settings import REPEAT_LEVEL
from aqreanalysis.observations.quality.surroundings import NeighbourStations, spread, usual
from aqreanalysis.simulation import FAULTS, TwinArchive

BITS = schema.OBSERVATION_FLAGS
SPIKE, AWAY, STUCK, DAILY = (BITS[name] for name in quality.TESTS)
DAYS, STATIONS, DEGREE_KM = 20, 8, 111.195  # 6371.0088 km * pi / 180
HOURS = np.datetime64("2019-03-01T05") + np.arange(24 * DAYS)  # not at the beginning of a day
LAT = 36.0 + 0.28 * np.arange(STATIONS)  # 31 km apart: none is so close that it alone vouches for another


def town(level=60.0, noise=0.08, seed=0, lat=LAT):
    """A smooth common course with some noise at each station, in tenths so that nothing repeats by chance."""
    rng = np.random.default_rng(seed)
    course = 0.5 * np.sin(np.arange(len(HOURS)) / 17.0) + 0.2 * np.sin(np.arange(len(HOURS)) / 5.0)
    own = rng.normal(0, noise, (len(HOURS), len(lat)))
    return np.round(level * np.exp(course[:, None] + own), 3)


def flags(values, name="pm25", lat=LAT, **changed):
    cube = schema.make_station_cube(HOURS, [f"S{i}" for i in range(len(lat))], lat, np.full(len(lat), 115.0),
                                    {name: values})
    return quality.screen(cube, quality.QualitySettings(**changed))[f"{name}_flag"].values


def test_good_air_has_no_flags():
    for name in schema.POLLUTANTS:
        assert not flags(town(2.0 if name == "co" else 60.0), name).any()


# Spikes.

@pytest.mark.parametrize("hours, factor", [(1, 4), (1, 0.1), (2, 4)])
def test_a_spike_is_flagged_at_its_hours_and_nowhere_else(hours, factor):
    values = town()
    values[200:200 + hours, 3] *= factor
    found = flags(values) & SPIKE > 0
    expected = np.zeros_like(found)
    expected[200:200 + hours, 3] = True
    np.testing.assert_array_equal(found, expected)


def test_a_step_is_no_spike():
    values = town()
    values[200:] *= 0.1  # a cold front
    assert not (flags(values) & SPIKE).any()


def test_a_spike_that_two_neighbours_share_is_real_even_some_hours_apart():
    values = town()
    for station, hour in ((2, 200), (3, 200), (4, 202), (5, 202)):
        values[hour, station] *= 4
    assert not flags(values).any()
    values[200, 3] /= 4  # now one hour has a single spike
    assert (flags(values)[202, 4:6] & SPIKE > 0).all()


def test_one_neighbour_vouches_only_from_the_same_town():
    for near, flagged in ((31.1, True), (5.0, False)):
        lat = LAT.copy()
        lat[4] = lat[3] + near / DEGREE_KM
        values = town(lat=lat)
        values[200, 3:5] *= 4
        assert ((flags(values, lat=lat)[200, 3] & SPIKE) > 0) == flagged


def test_a_dust_storm_that_travels_is_real_and_a_lone_one_is_not():
    storm = np.interp(np.arange(40), [0, 1, 4, 12, 39], [0, 3.6, 3.6, 2.5, 0])  # up to 36-fold within an hour
    values = town(80.0)
    for station in range(STATIONS):
        values[200 + station // 2:240 + station // 2, station] *= np.exp(storm)
    assert values.max() > 2000 and not flags(values, "pm10").any()
    alone = town(80.0)
    alone[200:240, 3] *= np.exp(storm)
    assert (flags(alone, "pm10")[200:212, 3] & AWAY > 0).all()


# Away from the neighbours.

@pytest.mark.parametrize("factor", [3.0, 0.3])
def test_a_biased_day_is_flagged_and_a_station_that_always_differs_is_not(factor):
    values = town()
    values[200:230, 2] *= factor
    found = flags(values) & AWAY > 0
    assert found[200:230, 2].all() and not found[:, [0, 1, 3, 4, 5, 6, 7]].any()
    always = town()
    always[:, 2] *= factor
    assert not flags(always).any()


def test_a_small_bias_counts_only_if_it_lasts():
    lasting, short = town(noise=0.03), town(noise=0.03)
    lasting[200:236, 2] *= 1.9  # 0.55 to 0.6 in log(value + 10)
    short[200:206, 2] *= 1.9
    assert (flags(lasting)[206:230, 2] & AWAY > 0).all() and not (flags(short) & AWAY).any()


def test_too_few_neighbours_say_nothing():
    for stations, flagged in ((3, False), (4, True)):
        values = town(lat=LAT[:stations])
        values[200:230, 1] *= 3
        assert (flags(values, lat=LAT[:stations]) & AWAY).any() == flagged


# Standing still.

@pytest.mark.parametrize("length, level, flagged", [
    (12, 80.0, True), (11, 80.0, False),
    (28, REPEAT_LEVEL["pm25"], True),  # the next hour repeats in one of two: 1 + 8 ln 10 / ln 2 = 27.6 hours
    (27, REPEAT_LEVEL["pm25"], False)])
def test_a_run_is_flagged_where_it_is_no_accident(length, level, flagged):
    values = town(level)
    values[200:200 + length, 3] = level
    found = flags(values, still_ratio=0) & STUCK > 0
    expected = np.zeros_like(found)
    expected[200:200 + length, 3] = flagged
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("missing, flagged", [(2, True), (3, False)])
def test_a_run_goes_on_over_two_missing_hours(missing, flagged):
    values = town(80.0)
    values[200:212, 3] = 80.0
    values[206:206 + missing, 3] = np.nan
    found = flags(values)[200:212, 3]
    assert (found[[0, -1]] & STUCK > 0).tolist() == [flagged] * 2
    assert (found[6:6 + missing] == BITS["missing"]).all()  # what is missing is nothing else


def test_runs_are_no_fault_on_a_quiet_night_when_neighbours_repeat_too():
    values = town(80.0)
    values[190:230] = np.round(values[190])
    assert not (flags(values, still_ratio=0) & STUCK).any()


def test_a_sensor_that_hardly_moves_is_flagged_and_a_mountain_is_not():
    values = town(noise=0.02)
    values[200:236, 3] = 60.0 + 0.05 * np.arange(36)
    found = flags(values) & STUCK > 0
    assert found[206:230, 3].all() and not found[:, :3].any() and not found[:180].any()
    mountain = town(noise=0.02)
    mountain[:, 3] = 60.0 + 0.5 * np.sin(np.arange(len(HOURS)) / 7)
    assert not (flags(mountain) & STUCK).any()


# Every day.

@pytest.mark.parametrize("days, step, flagged", [(4, 24, True), (7, 24, True), (3, 24, False), (7, 25, False)])
def test_the_same_hour_of_four_days_is_a_calibration(days, step, flagged):
    values = town()
    hours = 120 + step * np.arange(days)
    values[hours, 3] *= 1.9
    found = flags(values) & DAILY > 0
    expected = np.zeros_like(found)
    expected[hours, 3] = flagged
    np.testing.assert_array_equal(found, expected)


def test_a_daily_rush_hour_that_neighbours_share_is_real():
    values = town()
    values[120:360:24] *= 1.9
    assert not flags(values).any()


# Neighbours and windows, by hand.

def test_neighbours_are_near_others_that_speak():
    lat = np.array([30.0, 30.1, 30.3, 30.3, 33.0])  # 11.1, 33.4, 33.4 and 333.6 km from the first
    found = NeighbourStations.within(lat, np.full(5, 110.0), 2, 50.0, 2)
    assert found.index.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1], [5, 5]] and found.close.tolist() == [1, 0, 3, 2, 5]
    quiet = NeighbourStations.within(lat, np.full(5, 110.0), 2, 50.0, 2, np.array([False, True, False, False, False]))
    assert quiet.index.tolist() == [[2, 3], [0, 2], [3, 0], [2, 0], [5, 5]] and quiet.close.tolist() == [5, 0, 3, 2, 5]


def test_what_neighbours_say_by_hand():
    index = np.array([[1, 2, 3, 4]])
    values = np.array([[9, 1, 4, 2, 8], [9, np.nan, 4, 2, 8], [9, np.nan, np.nan, 2, 8]], np.float32)
    hears = NeighbourStations(np.vstack([index] * 5), np.full(5, 5), 3)
    np.testing.assert_array_equal(hears.median(values)[:, 0], [3, 4, np.nan])
    np.testing.assert_array_equal(hears.mean(values)[:, 0], np.array([15 / 4, 14 / 3, 5], np.float32))
    low, high, enough = (array[:, 0] for array in hears.agreed(values))
    np.testing.assert_array_equal(low, [2, 4, 8])
    np.testing.assert_array_equal(high, [4, 4, 2])  # of two neighbours both are above 2 and both below 8
    assert enough.tolist() == [True, True, False]
    low, high, _ = (array[:, 0] for array in NeighbourStations(hears.index, np.full(5, 4), 3).agreed(values))
    assert (low.tolist(), high.tolist()) == ([2, 4, 8], [8, 8, 8])  # the close one, of 8, vouches alone


def test_windows_against_numpy():
    rng = np.random.default_rng(2)
    values = rng.gamma(2, 30, (8 * 30, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    middle, deviation = usual(values, 2, 0), spread(values, 2, 0)
    for day in (0, 1, 14, 29):
        rows = values[8 * max(day - 2, 0):8 * (day + 3)]
        median = np.nanmedian(rows, axis=0)
        np.testing.assert_allclose(middle[day], median, rtol=1e-6)
        np.testing.assert_allclose(deviation[day], 1.4826 * np.nanmedian(np.abs(rows - median), axis=0), rtol=1e-5)
    few = values.copy()
    few[:100] = np.nan
    assert np.isnan(usual(few, 2, 72)[0]).all() and np.isfinite(usual(few, 2, 72)[-8]).all()


# Local in time, and the same whatever else is asked.

def spoilt(seed, days=50):
    """A cube with every kind of fault and with gaps."""
    cube = schema.mock_station_cube(hours=24 * days, stations=12, seed=seed)
    lat = 36 + 0.2 * np.arange(12) + 0.005 * np.arange(12) ** 2  # no two of the same distance
    cube = cube.assign_coords(lat=("station", lat), lon=("station", np.full(12, 115.0)))
    rng = np.random.default_rng(seed)
    for name in schema.POLLUTANTS:
        values = cube[name].values
        for _ in range(60):
            hour, station, length = rng.integers(24 * days), rng.integers(12), rng.integers(1, 60)
            kind = rng.integers(4)
            if kind == 0:
                values[hour, station] *= rng.choice([0.1, 4])
            elif kind == 1:
                values[hour:hour + length, station] *= rng.choice([0.3, 3])
            elif kind == 2:
                values[hour:hour + length, station] = values[hour, station]
            else:
                values[hour:hour + 24 * 6:24, station] *= 2
    return cube


def all_flags(cube):
    return np.stack([cube[f"{name}_flag"].values for name in schema.POLLUTANTS])


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 10**6), st.integers(168, 500), st.integers(1, 300))
def test_a_period_with_its_margin_has_the_flags_of_the_whole(seed, first, length):
    cube = spoilt(seed)
    whole = all_flags(quality.screen(cube))
    reach = quality.FLAG_REACH_HOURS
    part = quality.screen(cube.isel(time=slice(first - reach, first + length + reach)))
    np.testing.assert_array_equal(all_flags(part)[:, reach:reach + length], whole[:, first:first + length])


def test_the_cube_of_these_tests_has_every_flag():
    found = all_flags(quality.screen(spoilt(5)))
    assert all((found & BITS[test]).any() for test in quality.TESTS)


def test_nothing_beyond_the_reach_matters_and_something_within_does():
    cube = spoilt(1)
    before = all_flags(quality.screen(cube))[:, 600]
    far, near = cube.copy(deep=True), cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        hours = np.abs(np.arange(cube.sizes["time"]) - 600)
        far[name].values[hours > quality.FLAG_REACH_HOURS] = np.nan
        near[name].values[hours > 12] = np.nan
    np.testing.assert_array_equal(all_flags(quality.screen(far))[:, 600], before)
    assert (all_flags(quality.screen(near))[:, 600] != before).any()


def test_a_long_series_in_chunks_has_the_flags_of_the_whole(monkeypatch):
    cube = spoilt(5)
    whole = all_flags(quality.screen(cube))
    monkeypatch.setattr(quality, "CHUNK_DAYS", 21)
    np.testing.assert_array_equal(all_flags(quality.screen(cube)), whole)


def test_the_order_of_stations_does_not_matter():
    cube = spoilt(6, days=20)
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(all_flags(quality.screen(cube.isel(station=order))),
                                  all_flags(quality.screen(cube))[:, :, order])


def test_stations_that_stand_apart_judge_nobody_and_are_judged():
    cube = spoilt(7, days=20)
    held_out = list(cube.station.values[:3])
    other = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        other[name].values[:, :3] = 7.0
    before, after = (all_flags(quality.screen(given, held_out=held_out)) for given in (cube, other))
    np.testing.assert_array_equal(before[:, :, 3:], after[:, :, 3:])
    assert (before[:, :, :3] & AWAY).any()


def test_a_test_that_is_excluded_sets_no_flag():
    cube = spoilt(8, days=20)
    every = all_flags(quality.screen(cube))
    for test in quality.TESTS:
        np.testing.assert_array_equal(all_flags(quality.screen(cube, quality.QualitySettings(exclude=(test,)))),
                                      every & ~schema.FLAG_DTYPE(BITS[test]))


# The twin, where every fault is known.

def test_the_twins_faults_are_found_and_its_good_values_are_left():
    archive = TwinArchive(seed=11)
    hours = np.arange("2016-04-01", "2016-05-06", dtype="datetime64[h]")
    part = slice(0, 320)
    cube = quality.screen(archive.read(hours[0], hours[-1]).isel(station=part)).isel(time=slice(168, -168))
    planted, found = archive.twin.faults(hours)[168:-168, part], cube.pm25_flag.values
    for kind, bit, least in (("spike", SPIKE, 0.8), ("periodic", DAILY, 0.8), ("stuck", STUCK, 0.9)):
        of_kind = found[planted == FAULTS[kind]]
        assert of_kind.size > 50 and (of_kind & bit > 0).mean() > least, kind
    good = found[planted == FAULTS["none"]]
    assert all((good & BITS[test] > 0).mean() < 0.005 for test in quality.TESTS)


# The real network: the greatest dust storm of 2019 (12 May) and the haze of 13 January stay.

@pytest.mark.archive
@pytest.mark.parametrize("day, name, high, values", [
    ("2019-05-12", "pm10", 600, 900), ("2019-01-13", "pm25", 250, 2100)])
def test_real_dust_and_haze_are_not_flagged_away(archive_path, day, name, high, values):
    from aqreanalysis.observations.readers import open_archive

    end = np.datetime64(day, "h") + 16 * np.timedelta64(1, "h")
    reach = quality.FLAG_REACH_HOURS * np.timedelta64(1, "h")
    cube = open_archive(archive_path / "cnemc-2019").read(end - np.timedelta64(23, "h") - reach, end + reach)
    cube = quality.screen(cube).isel(time=slice(quality.FLAG_REACH_HOURS, -quality.FLAG_REACH_HOURS))
    of_storm = cube[f"{name}_flag"].values[cube[name].values > high]
    assert of_storm.size >= values
    assert (of_storm & sum(BITS[test] for test in quality.TESTS) > 0).mean() < 0.01
