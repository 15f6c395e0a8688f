"""The flat mean, the nearest station and inverse distance, by hand."""

import numpy as np
import pytest

from aqreanalysis import geo, schema
from aqreanalysis.models import geostatistics, registry
from aqreanalysis.models.baselines.idw import InverseDistance, nearest
from aqreanalysis.models.baselines.mean import FlatMean

NAN = np.nan


def on_the_equator(lon, pm25):
    """Stations on the equator, where distances are as degrees of longitude."""
    pm25 = np.atleast_2d(np.asarray(pm25, float))
    time = np.datetime64("2019-01-01T00", "ns") + np.arange(len(pm25)) * np.timedelta64(1, "h")
    return schema.make_station_cube(time, [f"S{i}" for i in range(len(lon))], np.zeros(len(lon)), lon, {"pm25": pm25})


def at(model, cube, *lon):
    result = model.predict(cube, schema.make_targets(cube.time, np.zeros(len(lon)), lon))
    return result.pm25.values, result.pm25_standard_error.values


ANYWHERE = {name: entry for name, entry in registry.BASELINES.items() if not entry.fitted}  # also on the equator


@pytest.mark.parametrize("name", ANYWHERE)
def test_an_hour_in_which_one_station_or_none_reported(name):
    model = registry.load_model(name)
    cube = on_the_equator([100.0, 103.0], [[10, 20], [NAN, NAN], [NAN, 7]])
    estimate, error = at(model, cube, 101.0, 102.0)
    assert estimate.shape == error.shape == (3, 2)
    assert np.isnan(estimate[1]).all() and np.isnan(error[1]).all()  # nobody reported
    np.testing.assert_allclose(estimate[2], 7.0)                     # one station reported
    assert (error[2] > 0).all()


@pytest.mark.parametrize("name", ["nearest", "idw", "plain-kriging", "kriging"])
def test_the_error_of_a_single_observation(name):
    """By hand: of a copy at distance d of a field with standard deviation s, s * sqrt(2 (1 - C(d)))."""
    cube = on_the_equator([100.0, 103.0], [[NAN, 30.0]])
    _, error = at(registry.load_model(name), cube, 101.0, 103.0)
    far = geo.EARTH_RADIUS_KM * np.radians(2.0)
    spread = geostatistics.ASSUMED_SPREAD * (30.0 + 20.0)
    np.testing.assert_allclose(error[0], [spread * np.sqrt(2 * (1 - 0.94 * np.exp(-far / 200.0))), 0.0], rtol=1e-5)


@pytest.mark.parametrize("make", [entry.make for entry in ANYWHERE.values()], ids=ANYWHERE)
def test_hours_in_any_order_and_no_place_at_all(make):
    cube = on_the_equator([100.0, 103.0], [[10, 20], [30, 20], [40, 50]])
    ordered, _ = at(make(None), cube, 101.0)
    chosen = make(None).predict(cube, schema.make_targets(cube.time.values[[2, 0]], [0.0], [101.0]))
    np.testing.assert_array_equal(chosen.pm25.values, ordered[[2, 0]])
    assert make(None).predict(cube, schema.make_targets(cube.time, [], [])).pm25.shape == (3, 0)


def test_flat_mean():
    estimate, error = at(FlatMean(), on_the_equator([100.0, 103.0, 109.0], [[10, 20, 60], [10, NAN, 30]]), 101.0, 150.0)
    np.testing.assert_allclose(estimate, [[30, 30], [20, 20]])
    np.testing.assert_allclose(error, np.sqrt([[1400 / 3] * 2, [100] * 2]))


def test_inverse_distance():
    """Distances 1 and 2: weights 4/5 and 1/5 at power 2, 2/3 and 1/3 at power 1."""
    cube = on_the_equator([100.0, 103.0], [[10, 20]])
    estimate, error = at(InverseDistance(power=2.0), cube, 101.0)
    assert estimate[0, 0] == pytest.approx(12.0, rel=1e-5)
    assert error[0, 0] == pytest.approx(np.sqrt(0.8 * 2**2 + 0.2 * 8**2), rel=1e-5)
    assert at(InverseDistance(power=1.0), cube, 101.0)[0][0, 0] == pytest.approx(40 / 3, rel=1e-5)


def test_inverse_distance_takes_the_k_nearest_that_reported():
    cube = on_the_equator([100.0, 103.0, 105.0], [[10, 20, 90], [NAN, 20, 90]])
    estimate, _ = at(InverseDistance(k=2, power=2.0), cube, 101.0)
    np.testing.assert_allclose(estimate[:, 0], [12.0, (20 / 4 + 90 / 16) / (1 / 4 + 1 / 16)], rtol=1e-5)


def test_inverse_distance_at_a_station_is_its_observation():
    estimate, error = at(InverseDistance(), on_the_equator([100.0, 103.0], [[10, 20]]), 100.0, 103.0)
    np.testing.assert_allclose(estimate, [[10, 20]], rtol=1e-6)
    np.testing.assert_allclose(error, 0.0, atol=0.01)


def test_nearest_that_reported():
    cube = on_the_equator([100.0, 103.0, 105.0], [[10, 20, 90], [NAN, 20, 90], [NAN, NAN, 90]])
    estimate, error = at(nearest(), cube, 101.0, 104.5)
    np.testing.assert_allclose(estimate, [[10, 90], [20, 90], [90, 90]])
    degrees = np.array([[1.0, 0.5], [2.0, 0.5], [4.0, 0.5]])
    away = geo.EARTH_RADIUS_KM * np.radians(degrees)
    spread = geostatistics.ASSUMED_SPREAD * (estimate + 20.0)
    np.testing.assert_allclose(error, spread * np.sqrt(2 * (1 - 0.94 * np.exp(-away / 200.0))), rtol=1e-5)


@pytest.mark.parametrize("make", [InverseDistance, nearest])
def test_candidates_bound_how_far_it_looks(make):
    cube = on_the_equator([100.0, 101.0, 105.0], [[NAN, NAN, 90]])
    model = make()
    model.candidates = 2
    assert np.isnan(at(model, cube, 100.0)[0]).all()
