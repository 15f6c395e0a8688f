"""Ordinary kriging's weights and variance against closed forms and the definition of the optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.models import geostatistics
from aqreanalysis.models.geostatistics import Correlation

steps = st.integers(0, 16).map(lambda step: step / 4)  # so that some places are shared ...
off_steps = steps.map(lambda degrees: degrees + 0.1)    # ... but none with the target
places = st.lists(st.tuples(steps, steps), min_size=2, max_size=8)


def system(places, target, correlation):
    """`among` (1, k, k) and `to_target` (1, k) of places and a target, as (lat, lon) near 36 N 113 E."""
    lat, lon = (36.0 + np.array([p[0] for p in places]), 113.0 + np.array([p[1] for p in places]))
    return geostatistics.neighbour_correlation(correlation, lat, lon, [36.0 + target[0]], [113.0 + target[1]],
                                               np.arange(len(places))[None])


def test_correlation_by_hand():
    correlation = Correlation(range_km=200.0, nugget=0.06)
    expected = [1.0, 0.94 * np.exp(-0.5), 0.94 / np.e, 0.94 * np.exp(-10)]
    np.testing.assert_allclose(correlation.between(np.array([0.0, 100.0, 200.0, 2000.0])), expected, rtol=1e-12)


def test_two_stations_at_one_place_differ_by_the_nugget():
    among = Correlation(nugget=0.06).among_stations(np.zeros((1, 2, 2)))
    np.testing.assert_allclose(among, [[[1.0, 0.94], [0.94, 1.0]]])


def test_one_neighbour():
    weights, variance = geostatistics.solve(np.ones((1, 1, 1)), np.array([[0.7]]))
    np.testing.assert_allclose(weights, [[1.0]])
    np.testing.assert_allclose(variance, [2 * (1 - 0.7)])  # E(Z0 - Z1)^2 for a sill of 1


def test_two_neighbours():
    c12, c10, c20 = 0.5, 0.7, 0.4
    weights, variance = geostatistics.solve(np.array([[[1, c12], [c12, 1]]]), np.array([[c10, c20]]))
    w = 0.5 + (c10 - c20) / (2 * (1 - c12))  # from the two normal equations, the multiplier eliminated
    np.testing.assert_allclose(weights, [[w, 1 - w]], rtol=1e-12)
    mean_square = 1 - 2 * (w * c10 + (1 - w) * c20) + w**2 + (1 - w) ** 2 + 2 * w * (1 - w) * c12
    np.testing.assert_allclose(variance, [mean_square], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(places, st.tuples(off_steps, off_steps), st.integers(0, 2**31))
def test_weights_sum_to_one_and_no_others_do_better(places, target, seed):
    among, to_target = system(places, target, Correlation(nugget=0.1))
    weights, variance = geostatistics.solve(among, to_target)
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-9)
    other = np.random.default_rng(seed).normal(size=len(places))
    other = weights[0] + other - other.mean()  # any others that sum to 1
    mean_square = 1 - 2 * other @ to_target[0] + other @ among[0] @ other
    assert variance[0] <= mean_square + 1e-9


@settings(max_examples=40, deadline=None)
@given(places, st.tuples(off_steps, off_steps), st.data())
def test_a_neighbour_that_takes_no_part(places, target, data):
    out = data.draw(st.integers(0, len(places) - 1))
    among, to_target = system(places, target, Correlation(nugget=0.1))
    stay = np.delete(np.arange(len(places)), out)
    expected = geostatistics.solve(among[:, stay][:, :, stay], to_target[:, stay])
    among, to_target = among.copy(), to_target.copy()
    among[:, out], among[:, :, out], among[:, out, out] = 0.0, 0.0, 1.0
    to_target[:, out] = np.nan
    weights, variance = geostatistics.solve(among, to_target)
    assert weights[0, out] == 0.0
    np.testing.assert_allclose(weights[:, stay], expected[0], atol=1e-9)
    np.testing.assert_allclose(variance, expected[1], atol=1e-9)


def test_nobody_takes_part():
    weights, _ = geostatistics.solve(np.eye(3)[None], np.full((1, 3), np.nan))
    assert np.isnan(weights).all()


def test_at_a_station_it_takes_all_the_weight():
    lat, lon = np.array([36.0, 37.0, 38.5]), np.array([113.0, 114.0, 113.5])
    weights, variance = geostatistics.weights(Correlation(), lat, lon, lat, lon, np.tile(np.arange(3), (3, 1)))
    np.testing.assert_allclose(weights, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(variance, 0.0, atol=1e-12)


def test_batches_join(monkeypatch):
    rng = np.random.default_rng(0)
    lat, lon, to_lat, to_lon = (rng.uniform(30, 40, n) for n in (9, 9, 11, 11))
    index, _ = geo.nearest(lat, lon, to_lat, to_lon, 4)
    geometry = Correlation(), lat, lon, to_lat, to_lon, index
    whole = geostatistics.weights(*geometry)
    monkeypatch.setattr(geostatistics, "BATCH", 4)  # 4 + 4 + 3
    for joined, expected in zip(geostatistics.weights(*geometry), whole, strict=True):
        np.testing.assert_allclose(joined, expected, rtol=1e-12)


def test_no_targets():
    weights, variance = geostatistics.weights(Correlation(), [36.0, 37.0], [113.0, 114.0], [], [],
                                              np.empty((0, 2), np.int64))
    assert weights.shape == (0, 2) and variance.shape == (0,)


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_missing_neighbour_filled_with_its_kriging_changes_nothing(missing):
    """The projection property: kriging with a neighbour replaced by its own kriging from the others."""
    rng = np.random.default_rng(missing)
    places, target = rng.uniform(0, 4, (5, 2)), rng.uniform(0, 4, 2)
    values = rng.normal(60, 30, 5)
    correlation, stay = Correlation(), np.delete(np.arange(5), missing)
    among, to_target = system(places, target, correlation)
    without, _ = geostatistics.solve(among[:, stay][:, :, stay], to_target[:, stay])
    of_missing, _ = geostatistics.solve(among[:, stay][:, :, stay], among[:, missing][:, stay])
    values[missing] = of_missing[0] @ values[stay]
    with_filled, _ = geostatistics.solve(among, to_target)
    assert with_filled[0] @ values == pytest.approx(without[0] @ values[stay], rel=1e-10)
