"""Who a target's neighbours are, how they lie, and that they are computed once."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.models import neighbours
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

CORRELATION = Correlation(range_km=200.0, nugget=0.06)
steps = st.integers(0, 4)  # a coarse lattice, on which many stations share a place
networks = st.lists(st.tuples(steps, steps), min_size=2, max_size=14)


def geometry(stations=15, points=6, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(low, low + 4, n) for n in (stations, points) for low in (36.0, 113.0))


def neighbourhood(lat, lon, to_lat, to_lon, k=5, **options):
    return find_neighbourhood(lat, lon, to_lat, to_lon, k, CORRELATION, **options)


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch):
    monkeypatch.setattr(neighbours, "_KEPT", type(neighbours._KEPT)())


def test_octant_search_by_hand():
    """Five to the north-east, one south, three west; k = 4 takes one of each octant, then the nearest of the rest."""
    bearing = np.radians([[10.0, 20.0, 30.0, 190.0, 5.0, 40.0, 260.0, 250.0, 265.0]])
    np.testing.assert_array_equal(neighbours.octant_search(bearing, 4), [[0, 1, 3, 6]])
    np.testing.assert_array_equal(neighbours.octant_search(bearing, 9), [np.arange(9)])
    np.testing.assert_array_equal(neighbours.octant_search(-bearing, 3), [[0, 3, 6]])  # bearings may be negative


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20))
def test_octant_search_takes_the_nearest_of_each_octant(seed, k):
    bearing = np.random.default_rng(seed).uniform(-np.pi, np.pi, (6, 30))
    chosen = neighbours.octant_search(bearing, k)
    octant = np.floor(np.degrees(bearing) % 360 / 45).astype(int)
    for row, taken in enumerate(chosen):
        assert len(set(taken)) == k and (np.diff(taken) > 0).all()
        left = np.setdiff1d(np.arange(30), taken)
        for number in range(8):
            mine = np.flatnonzero(octant[row] == number)
            first = mine[:-(-k // 8)]
            if k % 8 == 0:  # else not every octant may have its full share
                assert set(first) <= set(taken)
            spare = np.setdiff1d(np.intersect1d(taken, mine), first)
            assert not len(spare) or set(first) <= set(taken)
            assert not len(spare) or spare.max() < min([s for s in left if s in mine], default=99)


def test_all_stations_in_order_of_distance():
    lat, lon, to_lat, to_lon = geometry(stations=5)
    found = neighbourhood(lat, lon, to_lat, to_lon)
    every = geo.pairwise_distance_km(to_lat, to_lon, lat, lon)
    np.testing.assert_array_equal(found.index, np.argsort(every, axis=1))
    np.testing.assert_allclose(found.distance, np.sort(every, axis=1), rtol=1e-6)


def test_the_nearest_is_always_there_and_first():
    lat, lon, to_lat, to_lon = geometry()
    found = neighbourhood(lat, lon, to_lat, to_lon)
    every = geo.pairwise_distance_km(to_lat, to_lon, lat, lon)
    np.testing.assert_array_equal(found.index[:, 0], every.argmin(axis=1))
    assert (np.diff(found.distance, axis=1) >= 0).all()
    assert (found.index != np.argsort(every, axis=1)[:, :5]).any()  # and the others are not merely the nearest


def test_bearings_by_hand():
    # north 1, south 2, east 3 degrees
    found = neighbourhood([1.0, 0.0, -2.0], [100.0, 103.0, 100.0], [0.0], [100.0], k=3)
    np.testing.assert_array_equal(found.index, [[0, 2, 1]])
    np.testing.assert_allclose(found.bearing, [[0.0, np.pi, np.pi / 2]], atol=1e-6)


def test_weights_are_of_one_neighbour_or_of_two_by_symmetry():
    """One neighbour: weight 1, variance 2 (1 - C). Two like ones: 1/2 each."""
    correlated = 0.94 * np.exp(-geo.distance_km(0, 100, 0, 101) / 200.0)
    held_out = 0.94 * np.exp(-geo.distance_km(0, 100, 0, 102) / 200.0)
    one = neighbourhood([0.0, 0.0], [100.0, 102.0], [0.0], [99.0], k=1)
    two = neighbourhood([0.0, 0.0], [100.0, 102.0], [0.0], [101.0], k=2)
    np.testing.assert_allclose(one.weight, [[1.0]])
    np.testing.assert_allclose(one.variance, [2 * (1 - correlated)], rtol=1e-5)
    np.testing.assert_allclose(two.weight, [[0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(two.variance, [1 - 2 * correlated + (1 + held_out) / 2], rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(networks, st.integers(1, 6))
def test_leaving_oneself_out(places, k):
    lat, lon = 36.0 + np.array([p[0] for p in places]), 113.0 + np.array([p[1] for p in places])
    found = neighbourhood(lat, lon, lat, lon, k, leave_out_self=True)
    n = len(places)
    every = geo.pairwise_distance_km(lat, lon, lat, lon)
    for own in range(n):
        assert own not in found.index[own]
        assert len(set(found.index[own])) == min(k, n - 1)
        others = np.sort(np.delete(every[own], own))
        np.testing.assert_allclose(found.distance[own, 0], others[0], atol=1e-3)
        np.testing.assert_allclose(found.distance[own], every[own, found.index[own]], atol=1e-3)
    assert (found.variance >= np.float32(0.06)).all()  # a station's own place is not free of error here
    np.testing.assert_allclose(found.weight.sum(axis=1), 1.0, atol=1e-5)


def test_at_a_station_the_variance_is_zero_only_if_it_is_not_left_out():
    lat, lon, *_ = geometry()
    np.testing.assert_allclose(neighbourhood(lat, lon, lat, lon).variance, 0.0, atol=1e-12)
    assert (neighbourhood(lat, lon, lat, lon, leave_out_self=True).variance > 0.06).all()


def test_fewer_stations_than_neighbours():
    lat, lon, to_lat, to_lon = geometry(stations=3)
    assert neighbourhood(lat, lon, to_lat, to_lon, k=5).index.shape == (6, 3)
    assert neighbourhood(lat, lon, lat, lon, k=5, leave_out_self=True).index.shape == (3, 2)


def test_types():
    found = neighbourhood(*geometry())
    for field in dataclasses.fields(found):
        assert getattr(found, field.name).dtype == (np.int64 if field.name == "index" else np.float32)


def test_memory_returns_the_same_object_for_the_same_geometry():
    places = geometry()
    assert neighbourhood(*places) is neighbourhood(*(a.copy() for a in places))


@pytest.mark.parametrize("changed", range(4))
def test_another_geometry_is_computed_anew(changed):
    places = geometry()
    first = neighbourhood(*places)
    places[changed][2] += 1e-9  # in place: the memory goes by numbers, not by arrays
    assert neighbourhood(*places) is not first


@pytest.mark.parametrize("other", [{"k": 4}, {"leave_out_self": True}, {"correlation": Correlation(100.0)}])
def test_other_settings_are_computed_anew(other):
    lat, lon, *_ = geometry()
    plain = {"k": 5, "correlation": CORRELATION}
    one, two = (find_neighbourhood(lat, lon, lat, lon, **options) for options in (plain, plain | other))
    assert one is not two


def test_stations_and_targets_are_not_mixed_up():
    """The same six numbers in the same order: two stations and a target, or a station and two targets."""
    assert neighbourhood([36.0, 37.0], [38.0, 39.0], [40.0], [41.0], k=1).index.shape == (1, 1)
    assert neighbourhood([36.0], [37.0], [38.0, 39.0], [40.0, 41.0], k=1).index.shape == (2, 1)


def test_memory_is_bounded_and_keeps_what_was_used_last():
    places = geometry()
    first, second = neighbourhood(*places, k=1), neighbourhood(*places, k=2)
    for k in range(3, 3 + neighbours._KEEP - 1):
        neighbourhood(*places, k=k)
        assert neighbourhood(*places, k=1) is first  # used again each time
    assert len(neighbours._KEPT) == neighbours._KEEP
    assert neighbourhood(*places, k=2) is not second
