"""Cyclic time at instants worked out by hand, no jump anywhere in a leap year, and a scaler that peeps at nothing."""

import numpy as np
import pytest

from aqreanalysis import schema
from aqreanalysis.models import features

TURN = 2 * np.pi


@pytest.mark.parametrize("stamp, hour, weekday, month", [
    # END stamp 04:00Z: the hour 11:00-12:00 in UTC+8, its middle 11:30, of Tuesday 1 January
    ("2019-01-01T04:00", 11.5, 1 + 11.5 / 24, (11.5 / 24) / 31),
    # 16:00Z: the last hour, 23:30, of Wednesday 31 July
    ("2019-07-31T16:00", 23.5, 2 + 23.5 / 24, 6 + (30 + 23.5 / 24) / 31),
    # 17:00Z: the first hour, 00:30, of Monday 29 February
    ("2016-02-28T17:00", 0.5, 0.5 / 24, 1 + (28 + 0.5 / 24) / 29),
    # the last hour of Sunday 31 December
    ("2017-12-31T16:00", 23.5, 6 + 23.5 / 24, 11 + (30 + 23.5 / 24) / 31),
])
def test_cyclic_time_by_hand(stamp, hour, weekday, month):
    angles = TURN * np.array([hour / 24, weekday / 7, month / 12])
    expected = np.stack([np.sin(angles), np.cos(angles)], axis=-1).ravel()
    found = features.cyclic_time(np.array([stamp], "datetime64[ns]"))
    assert found.shape == (1, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_cyclic_time_moves_on_evenly_over_midnights_and_month_ends():
    hours = np.arange("2015-12-01", "2017-01-02", dtype="datetime64[h]").astype("datetime64[ns]")
    encoded = features.cyclic_time(hours).astype(float).reshape(-1, 3, 2)
    np.testing.assert_allclose((encoded**2).sum(axis=-1), 1, atol=1e-6)
    step = np.diff(np.unwrap(np.arctan2(encoded[..., 0], encoded[..., 1]), axis=0), axis=0)
    np.testing.assert_allclose(step[:, 0], TURN / 24, atol=1e-5)
    np.testing.assert_allclose(step[:, 1], TURN / (7 * 24), atol=1e-5)
    longest, shortest = TURN / 12 / (28 * 24), TURN / 12 / (31 * 24)
    assert shortest - 1e-6 < step[:, 2].min() and step[:, 2].max() < longest + 1e-6


def test_cyclic_has_the_shape_of_its_values():
    quarter = features.cyclic(np.array([[0.0, 6.0, 12.0]]), 24)
    np.testing.assert_allclose(quarter, [[[0, 1], [1, 0], [0, -1]]], atol=1e-6)


@pytest.fixture
def cube():
    return schema.mock_station_cube(hours=48, stations=6, seed=5)


def test_scaler_by_hand(cube):
    pm25 = np.full(cube.pm25.shape, np.nan, np.float32)
    pm25[0, :2] = np.expm1([1.0, 3.0])  # logs 1 and 3: mean 2, standard deviation 1
    scaler = features.Scaler.fit(cube.assign(pm25=(cube.pm25.dims, pm25)))
    assert (scaler.mean["pm25"], scaler.std["pm25"]) == pytest.approx((2, 1), abs=1e-6)
    scaled = scaler.scale("pm25", np.array([np.expm1(2.0), np.expm1(4.5), 0.0, -7.0, np.nan], np.float32))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [0, 2.5, -2, -2, np.nan], atol=1e-6)


def test_scaled_training_slice_has_mean_0_and_deviation_1(cube):
    scaler = features.Scaler.fit(cube)
    for name in schema.POLLUTANTS:
        scaled = scaler.scale(name, cube[name].values)
        np.testing.assert_array_equal(np.isnan(scaled), np.isnan(cube[name].values))
        assert np.nanmean(scaled) == pytest.approx(0, abs=1e-5)
        assert np.nanstd(scaled) == pytest.approx(1, abs=1e-5)


def test_the_scaler_sees_only_what_it_is_given(cube):
    fitted = features.Scaler.fit(cube.isel(time=slice(0, 24), station=[0, 2]))
    outside = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        outside[name].values[24:] = 1e6
        outside[name].values[:, [1, 3, 4, 5]] = 1e6
    assert features.Scaler.fit(outside.isel(time=slice(0, 24), station=[0, 2])) == fitted
    inside = cube.copy(deep=True)
    inside["pm25"].values[23, 2] = 1e6
    assert features.Scaler.fit(inside.isel(time=slice(0, 24), station=[0, 2])).mean["pm25"] > fitted.mean["pm25"]


@pytest.mark.parametrize("constant", [0.0, 0.1, 37.3, 500.0])
def test_a_constant_or_absent_pollutant_does_not_blow_up(cube, constant):
    cube["so2"].values[:] = constant
    cube["o3"].values[:] = np.nan
    scaler = features.Scaler.fit(cube)
    assert scaler.std["so2"] == 1
    assert scaler.scale("so2", np.float32([constant])) == pytest.approx(0, abs=1e-6)
    assert (scaler.mean["o3"], scaler.std["o3"]) == (0, 1)


def test_the_scaler_is_frozen(cube):
    with pytest.raises(AttributeError):
        features.Scaler.fit(cube).mean = {}
