"""What AQ-Net reads of a station: its own series and their means, by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import MIDDLE, days, lively_model, long_cube

from aqreanalysis.models.aqnet.station_inputs import (
    CONTEXT_HOURS,
    StationMeans,
    assemble,
    running_means,
    station_inputs,
    station_means,
    without_gaps,
)
from aqreanalysis.models.features import cyclic_time


def test_means_of_a_short_series_by_hand():
    """Of 10, 20, 30, 40 the first and third are observed: the month's mean leans on the mean of all, as on 24 values;
    the others on the month's, as on 6 and on 2."""
    value = np.array([10.0, 20.0, 30.0, 40.0], np.float32)[:, None]
    three_days, month, same_hour = running_means(value, np.array([True, False, True, False])[:, None])
    of_month = (10 + 30 + 24 * 25) / 26
    np.testing.assert_allclose(month[:, 0], of_month, rtol=1e-6)
    np.testing.assert_allclose(three_days[:, 0], (10 + 30 + 6 * of_month) / 8, rtol=1e-6)
    np.testing.assert_allclose(same_hour[:, 0], [(10 + 2 * of_month) / 3, of_month, (30 + 2 * of_month) / 3, of_month],
                               rtol=1e-6)


def test_means_reach_as_far_as_they_say():
    """One hour of 1,000 among zeros, all observed: 36 h, 360 h, and 15 days at the same hour, on either side."""
    hour = np.arange(1601) - 800
    value = np.where(hour == 0, 1000.0, 0.0).astype(np.float32)[:, None]
    found = np.array(running_means(value, np.ones((1601, 1), bool)))[:, 360:-360, 0]  # whose windows are whole
    far = np.abs(hour[360:-360])
    month = ((far <= 360) + 24 * (far <= 36) / 73) / (721 + 24)
    expected = [((far <= 36) + 6 * month) / (73 + 6), month, ((far % 24 == 0) & (far <= 360)) / 33 + 2 / 33 * month]
    np.testing.assert_allclose(found, 1000 * np.array(expected), rtol=1e-5, atol=1e-9)
    assert CONTEXT_HOURS == 360


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([-1, 1]))
def test_what_lies_farther_than_the_context_changes_nothing(seed, side):
    rng = np.random.default_rng(seed)
    value = rng.gamma(3.0, 20.0, (900, 3)).astype(np.float32)
    observed = rng.random((900, 3)) < 0.8
    observed[450 + side * CONTEXT_HOURS] = True
    age = np.zeros((900, 3), np.float32)
    far = side * (np.arange(900) - 450) > CONTEXT_HOURS
    changed = np.where(far[:, None], 900.0 - value, value), observed ^ far[:, None], age
    before, after = (station_means(*arrays)[450] for arrays in ((value, observed, age), changed))
    for field in dataclasses.fields(StationMeans):
        np.testing.assert_allclose(getattr(after, field.name), getattr(before, field.name), rtol=1e-6)
    nearer = np.where(np.roll(far, -side)[:, None], 900.0 - value, value), observed, age
    assert (station_means(*nearer)[450].month != before.month).all()  # an hour less far: so the test could fail


def test_what_is_assembled_by_hand():
    """ln(value + 5) and the like; where there is no value the three days' mean stands in the inputs."""
    of = StationMeans(*(np.float32(one) for one in ([15.0, np.nan], [10.0, np.nan], [20.0, 30.0], [25.0, 35.0],
                                                    [18.0, 28.0])), np.array([True, False]), np.float32([0.0, 6.0]))
    inputs, series = assemble(of)
    log = np.log
    np.testing.assert_allclose(inputs, [
        [log(20) - 3.5, log(25 / 20), log(30 / 20), log(23 / 20), log(15 / 20), 1, 0],
        [log(35) - 3.5, 0, log(40 / 35), log(33 / 35), 0, 0, 0.5]], atol=1e-6)
    np.testing.assert_allclose(series[0], [15, log(20), 10, log(15), log(20)**2, log(25), log(30), log(23)], rtol=1e-6)
    assert np.isnan(series[1, :5]).all() and series[1, 5] == pytest.approx(log(35))
    assert inputs.dtype == series.dtype == np.float32


def random_means(seed):
    rng = np.random.default_rng(seed)
    arrays = rng.gamma(3.0, 20.0, (5, 4, 6)).astype(np.float32)
    return StationMeans(*arrays, rng.random((4, 6)) < 0.5, rng.integers(0, 12, (4, 6)).astype(np.float32))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.2, 5.0))
def test_a_factor_scales_every_concentration(seed, factor):
    """And nothing else: whether it was observed, and how long ago."""
    plain = random_means(seed)
    times = plain.times(np.float32(factor))
    for field in dataclasses.fields(StationMeans):
        scale = 1.0 if field.name in ("observed", "age") else factor
        np.testing.assert_allclose(getattr(times, field.name), scale * getattr(plain, field.name), rtol=1e-5)
    (inputs, series), (_, before) = assemble(times), assemble(plain)
    shifted = np.exp(series[..., [1, 3, 5, 6, 7]]) - 5  # back from the logarithms
    np.testing.assert_allclose(shifted, factor * (np.exp(before[..., [1, 3, 5, 6, 7]]) - 5), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(series[..., [0, 2]], factor * before[..., [0, 2]], rtol=1e-5)
    assert (inputs[..., 5:] == assemble(plain)[0][..., 5:]).all()


def test_the_context_serves_the_means_alone():
    rng = np.random.default_rng(0)
    value = rng.gamma(3.0, 20.0, (120, 3)).astype(np.float32)
    observed, age = rng.random((120, 3)) < 0.9, np.zeros((120, 3), np.float32)
    time = np.datetime64("2019-03-01T00", "ns") + np.arange(120) * np.timedelta64(1, "h")
    whole, inner = (station_inputs(value, observed, age, time, context) for context in (0, 20))
    for field in dataclasses.fields(inner):
        np.testing.assert_array_equal(getattr(inner, field.name), getattr(whole, field.name)[20:-20])
    np.testing.assert_array_equal(inner.inputs[:, 1, 7:], cyclic_time(time[20:-20]))
    np.testing.assert_array_equal(inner.value, value[20:-20])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_a_station_is_read_by_itself(seed):
    """Whichever others are given, where nothing is missing."""
    cube, hours = long_cube(stations=9, missing=0.0), days(MIDDLE)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(9)[:4])
    fewer = cube.isel(station=some).copy(deep=True)
    other = rng.integers(4)
    fewer["pm25"][:, other] = rng.gamma(3.0, 40.0, cube.sizes["time"])
    model = lively_model()
    whole, part = (model.prepare(one, hours).inputs for one in (cube, fewer))
    same = np.arange(4) != other
    for name in ("inputs", "series"):
        found, expected = getattr(part, name), getattr(whole, name)[:, some]
        np.testing.assert_array_equal(found[:, same], expected[:, same], name)
        assert (found[:, ~same] != expected[:, ~same]).any()


def test_a_gap_is_filled_from_the_others():
    """So a station is not read by itself where its values are missing."""
    cube, hours = long_cube(stations=9, missing=0.0), days(MIDDLE)
    gap = cube.copy(deep=True)
    gap["pm25"].loc[{"time": hours[5], "station": "S003"}] = np.nan
    changed = gap.copy(deep=True)
    changed["pm25"].loc[{"time": hours[5]}] = 2.0 * gap.pm25.sel(time=hours[5])
    model = lively_model()
    row = 12 + 5
    first, second = (model.prepare(one, hours).inputs for one in (gap, changed))
    assert np.isfinite(first.value[row, 3]) and first.value[row, 3] != second.value[row, 3]
    assert first.inputs[row, 3, 5] == 0 and first.inputs[row, 3, 6] == pytest.approx(1 / 12)


def test_in_a_long_outage_stands_the_mean_of_three_days():
    """Where a station is silent for long its own level stands in, not that of others; a station that never reported has
    the hour's mean of the others."""
    hours = 200
    value = np.column_stack([np.full(hours, 20.0), np.full(hours, 90.0), np.full(hours, np.nan)]).astype(np.float32)
    value[80:120, 0] = np.nan
    observed = np.isfinite(value)
    means = station_means(value, observed, np.where(observed, 0, 12).astype(np.float32))
    _, series = assemble(means)
    filled = without_gaps(series)
    log = np.log(25.0)
    np.testing.assert_allclose(filled[100, 0, :5], [20.0, log, 20.0, log, log**2], rtol=1e-4)
    np.testing.assert_allclose(filled[100, 2, 0], (20.0 + 90.0) / 2, rtol=1e-4)
    np.testing.assert_array_equal(filled[50, :2], series[50, :2])
