"""Filling of gaps: what was observed stays, and each step against its closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import schema
from aqreanalysis.models import gap_filling, geostatistics
from aqreanalysis.models.gap_filling import BIAS_HOURS, LASTING, REACH_HOURS, RESIDUAL_HOURS, fill
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

NAN = np.nan
CORRELATION = Correlation()


def own_neighbours(lat, lon, k):
    return find_neighbourhood(lat, lon, lat, lon, k, CORRELATION, leave_out_self=True)


def mock(hours=120, stations=12, missing=0.2, seed=0):
    """A cube's values (time, station) and the stations' neighbours among themselves."""
    cube = schema.mock_station_cube(hours=hours, stations=stations, missing=missing, seed=seed)
    return cube.pm25.values, own_neighbours(cube.lat.values, cube.lon.values, 6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 0.9))
def test_observed_values_stay_and_filled_ones_are_not_negative(seed, missing):
    values, neighbourhood = mock(seed=seed, missing=missing)
    values = values - np.nanmin(values)  # down to 0
    filled = fill(values, neighbourhood)
    seen = np.isfinite(values)
    np.testing.assert_array_equal(filled.observed, seen)
    np.testing.assert_array_equal(filled.value[seen], values[seen])
    for array in (filled.value, filled.kriged):
        assert (array[np.isfinite(array)] >= 0).all()


def test_kriged_is_kriging_from_the_others():
    values, neighbourhood = mock(missing=0.0)
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(36, 40, 12), rng.uniform(113, 119, 12)  # the mock cube's places
    neighbourhood = own_neighbours(lat, lon, 11)
    filled = fill(values, neighbourhood)
    for station in range(12):
        others = np.delete(np.arange(12), station)
        weights, _ = geostatistics.weights(CORRELATION, lat, lon, lat[[station]], lon[[station]], others[None])
        np.testing.assert_allclose(filled.kriged[:, station], values[:, others] @ weights[0], rtol=1e-4)


def test_a_station_that_never_reports_gets_kriging():
    values, _ = mock(missing=0.0)
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(36, 40, 12), rng.uniform(113, 119, 12)
    values[:, 5] = NAN
    others = np.delete(np.arange(12), 5)
    weights, _ = geostatistics.weights(CORRELATION, lat, lon, lat[[5]], lon[[5]], others[None])
    filled = fill(values, own_neighbours(lat, lon, 11))
    np.testing.assert_allclose(filled.value[:, 5], values[:, others] @ weights[0], rtol=1e-4)
    np.testing.assert_array_equal(filled.bias[:, 5], 0.0)
    np.testing.assert_array_equal(filled.age[:, 5], REACH_HOURS)


def test_a_station_that_always_reads_more_is_filled_with_more():
    """Bias b seen n times of n hours is n b / (n + 24); the rest of the residual is carried into the gap."""
    values = np.full((240, 6), 50.0, np.float32)
    values[:, 2] = 70.0
    values[100:180, 2] = NAN
    rng = np.random.default_rng(1)
    neighbourhood = own_neighbours(rng.uniform(36, 40, 6), rng.uniform(113, 119, 6), 5)
    filled = fill(values, neighbourhood)
    bias = 20.0 * 160 / (160 + 24)
    np.testing.assert_allclose(filled.bias[:, 2], bias, rtol=1e-5)
    a, b = np.arange(1, 81) / RESIDUAL_HOURS, np.arange(80, 0, -1) / RESIDUAL_HOURS
    carried = LASTING * (20.0 - bias) * (np.sinh(a) + np.sinh(b)) / np.sinh(a + b)
    np.testing.assert_allclose(filled.value[100:180, 2], 50.0 + bias + carried, rtol=1e-5)


@pytest.mark.parametrize("length", [2, 7, 30, 100])
def test_carry_is_the_bridge_of_an_ornstein_uhlenbeck_process(length):
    residual = np.full((length + 40, 1), 3.0, np.float32)
    left, right = 4.0, -9.0
    residual[19], residual[19 + length] = left, right
    residual[20:19 + length] = NAN
    a = np.arange(1, length) / RESIDUAL_HOURS
    span = length / RESIDUAL_HOURS
    expected = LASTING * (left * np.sinh(span - a) + right * np.sinh(a)) / np.sinh(span)
    carried = gap_filling._carry(residual)
    np.testing.assert_allclose(carried[20:19 + length, 0], expected, rtol=1e-5, atol=1e-6)
    known = np.isfinite(residual)
    np.testing.assert_array_equal(carried[known], residual[known])


def test_carry_at_the_ends_decays_and_without_data_is_zero():
    residual = np.full((30, 2), NAN, np.float32)
    residual[10, 0] = 5.0
    away = np.abs(np.arange(30) - 10)
    expected = np.where(away == 0, 5.0, 5.0 * LASTING * np.exp(-away / RESIDUAL_HOURS))
    np.testing.assert_allclose(gap_filling._carry(residual)[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(gap_filling._carry(residual)[:, 1], 0.0)


@pytest.mark.parametrize("half_width", [0, 3, BIAS_HOURS])
def test_running_mean_is_the_mean_of_a_window_with_24_zeros(half_width):
    rng = np.random.default_rng(half_width)
    series = rng.normal(5, 2, (60, 3))
    series[rng.random(series.shape) < 0.4] = NAN
    series[:, 2] = NAN
    expected = np.zeros(series.shape)
    for hour in range(60):
        window = series[max(hour - half_width, 0):hour + half_width + 1]
        expected[hour] = np.nansum(window, axis=0) / (np.isfinite(window).sum(axis=0) + 24)
    np.testing.assert_allclose(gap_filling.running_mean(series, half_width), expected, rtol=1e-5, atol=1e-7)


def test_running_mean_looks_no_farther_than_its_window():
    series = np.zeros((100, 1))
    before = gap_filling.running_mean(series, 10)
    series[50] = 1e6
    changed = np.flatnonzero(gap_filling.running_mean(series, 10)[:, 0] != before[:, 0])
    np.testing.assert_array_equal(changed, np.arange(40, 61))


def test_age_is_the_distance_to_the_nearest_observed_hour():
    values, neighbourhood = mock(hours=60, missing=0.0)
    values[5:, 0] = NAN
    values[:57, 1] = NAN
    values[10:20, 2] = NAN
    hour = np.arange(60)
    age = fill(values, neighbourhood).age
    np.testing.assert_array_equal(age[:, 0], np.clip(hour - 4, 0, REACH_HOURS))
    np.testing.assert_array_equal(age[:, 1], np.clip(57 - hour, 0, REACH_HOURS))
    np.testing.assert_array_equal(age[:, 2], np.where((hour < 10) | (hour > 19), 0, np.minimum(hour - 9, 20 - hour)))


def outage(length, hours=90, start=30, stations=8):
    """All stations silent for some hours; a linear series 2 t + s before and after it."""
    values = (2.0 * np.arange(hours)[:, None] + np.arange(stations)[None]).astype(np.float32)
    values[start:start + length] = NAN
    rng = np.random.default_rng(0)
    return values, own_neighbours(rng.uniform(36, 40, stations), rng.uniform(113, 119, stations), 5)


def test_a_short_outage_is_bridged_linearly():
    values, neighbourhood = outage(length=REACH_HOURS)
    filled = fill(values, neighbourhood)
    expected = 2.0 * np.arange(90)[:, None] + np.arange(8)[None]
    np.testing.assert_allclose(filled.value, expected, rtol=1e-5, atol=1e-4)
    assert not filled.observed[30:42].any()


@pytest.mark.parametrize("length", [25, 40])
def test_a_long_outage_stays_open_beyond_reach_of_both_ends(length):
    values, neighbourhood = outage(length)
    filled = fill(values, neighbourhood)
    hour = np.arange(90)
    known = (hour < 30 + REACH_HOURS) | (hour >= 30 + length - REACH_HOURS)
    np.testing.assert_array_equal(np.isfinite(filled.value).all(axis=1), known)
    np.testing.assert_array_equal(np.isfinite(filled.value).any(axis=1), known)
    near = filled.value[30:30 + REACH_HOURS]  # only one end is in reach: its value holds
    np.testing.assert_allclose(near, np.broadcast_to(values[29], near.shape))


def test_an_outage_at_the_end_of_the_record():
    values, neighbourhood = outage(length=60)
    whole = np.isfinite(fill(values, neighbourhood).value).all(axis=1)
    np.testing.assert_array_equal(whole, np.arange(90) < 30 + REACH_HOURS)


def test_one_silent_station_is_not_bridged_but_kriged():
    """Its neighbours go on: a step that they all make shows in the filled value."""
    values = np.full((60, 6), 50.0, np.float32)
    values[30:] = 90.0
    values[25:36, 0] = NAN
    rng = np.random.default_rng(2)
    filled = fill(values, own_neighbours(rng.uniform(36, 40, 6), rng.uniform(113, 119, 6), 5))
    np.testing.assert_allclose(filled.value[:, 0], np.where(np.arange(60) < 30, 50.0, 90.0), rtol=1e-4)


def test_the_order_of_the_stations_does_not_matter():
    cube = schema.mock_station_cube(hours=100, stations=14, missing=0.3)
    order = np.random.default_rng(5).permutation(14)
    cubes = cube, cube.isel(station=order)
    results = [fill(c.pm25.values, own_neighbours(c.lat.values, c.lon.values, 6)) for c in cubes]
    for name in ("value", "kriged", "bias", "age"):
        first, second = (getattr(result, name) for result in results)
        np.testing.assert_allclose(second, first[:, order], rtol=1e-4, atol=1e-3)


def test_matrix_times_series_is_a_sum_over_neighbours():
    _, neighbourhood = mock()
    series = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    product = gap_filling.matrix(neighbourhood, neighbourhood.weight, 12) @ series.T
    expected = np.zeros((12, 3))
    for station in range(12):
        for place in range(6):
            expected[station] += neighbourhood.weight[station, place] * series[:, neighbourhood.index[station, place]]
    np.testing.assert_allclose(product, expected, rtol=1e-4, atol=1e-5)


def test_smooth_by_hand():
    """Weights 1, 2, 4, 2, 1 over what there is; a gap stays a gap."""
    series = np.array([[1.0, 10.0, 4.0, NAN, 6.0, 0.0]]).T
    expected = [(4 * 1 + 2 * 10 + 4) / 7, (2 * 1 + 4 * 10 + 2 * 4) / 8, (1 + 20 + 16 + 6) / 8, NAN,
                (4 + 24 + 0) / 7, (24 * 0 + 12 + 0) / 6]
    np.testing.assert_allclose(gap_filling.smooth(series)[:, 0], expected, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_smooth_keeps_a_straight_line_and_lowers_noise(seed):
    line = np.linspace(20, 80, 50)[:, None] + np.arange(3)
    np.testing.assert_allclose(gap_filling.smooth(line)[2:-2], line[2:-2], rtol=1e-5)
    noise = np.random.default_rng(seed).normal(size=(2000, 1))
    share = np.var(gap_filling.smooth(noise)) / np.var(noise)
    assert abs(share - (0.4**2 + 2 * 0.2**2 + 2 * 0.1**2)) < 0.05
