"""Distances and bearings against pyproj on a sphere of the same radius; nearest stations and their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from aqreanalysis import geo

SPHERE = Geod(a=6371008.8, b=6371008.8)
lats, lons = st.floats(-89, 89), st.floats(-180, 180)
places = st.tuples(lats, lons)
EVERYWHERE = np.random.default_rng(1).uniform((-89, -180, -89, -180), (89, 180, 89, 180), (300, 4)).T
REGION = np.random.default_rng(2).uniform((29, 106, 29, 106), (43, 125, 43, 125), (300, 4)).T


@pytest.mark.parametrize("places", [EVERYWHERE, REGION], ids=["earth", "region"])
def test_distance_and_bearing_agree_with_pyproj(places):
    lat1, lon1, lat2, lon2 = places
    azimuth, _, metres = SPHERE.inv(lon1, lat1, lon2, lat2)
    np.testing.assert_allclose(geo.distance_km(lat1, lon1, lat2, lon2), metres / 1000, rtol=1e-9, atol=1e-5)
    turn = np.degrees(geo.bearing(lat1, lon1, lat2, lon2)) - azimuth
    np.testing.assert_allclose((turn + 180) % 360 - 180, 0, atol=1e-6)


@pytest.mark.parametrize("metres", [0.0, 0.5, 30.0, 4000.0])
def test_short_distances_keep_their_precision(metres):
    lon, lat, _ = SPHERE.fwd(116.4, 39.9, 77.0, metres)
    assert geo.distance_km(39.9, 116.4, lat, lon) == pytest.approx(metres / 1000, abs=1e-8)


def test_known_arcs_and_directions():
    quarter = np.pi / 2 * 6371.0088
    assert geo.distance_km(0, 0, 0, 90) == pytest.approx(quarter)
    assert geo.distance_km(-90, 10, 90, 50) == pytest.approx(2 * quarter)
    assert geo.distance_km(10, 179.5, 10, -179.5) == pytest.approx(geo.distance_km(10, 0, 10, 1))
    assert geo.bearing(10, 100, [11, 9], 100) == pytest.approx([0, np.pi])
    assert geo.bearing(0, 100, 0, [101, 99]) == pytest.approx([np.pi / 2, -np.pi / 2])


@settings(max_examples=200, deadline=None)
@given(places, places, places)
def test_distance_is_a_metric(a, b, c):
    assert geo.distance_km(*a, *b) == geo.distance_km(*b, *a)
    assert geo.distance_km(*a, *a) == 0
    assert geo.distance_km(*a, *c) <= geo.distance_km(*a, *b) + geo.distance_km(*b, *c) + 1e-3


def test_pairwise_has_rows_of_the_first_and_columns_of_the_second():
    lat1, lon1, lat2, lon2 = REGION[:, :4]
    table = geo.pairwise_distance_km(lat1, lon1, lat2[:3], lon2[:3])
    assert table.shape == (4, 3)
    assert table[3, 1] == pytest.approx(SPHERE.inv(lon1[3], lat1[3], lon2[1], lat2[1])[2] / 1000)


def test_nearest_agrees_with_sorting_all_distances():
    lat, lon, to_lat, to_lon = REGION
    index, distance = geo.nearest(lat, lon, to_lat[:50], to_lon[:50], 7)
    for point in range(50):
        metres = SPHERE.inv(np.full(300, to_lon[point]), np.full(300, to_lat[point]), lon, lat)[2]
        np.testing.assert_array_equal(index[point], np.argsort(metres)[:7])
        np.testing.assert_allclose(distance[point], np.sort(metres)[:7] / 1000, atol=1e-7)


def test_nearest_crosses_the_date_line():
    index, _ = geo.nearest([0, 0], [-179, 170], [0], [179.5], 1)
    assert index.tolist() == [[0]]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_stations_at_one_place_come_in_their_order_however_many_are_asked_for(k):
    lat, lon = REGION[0].repeat(4), REGION[1].repeat(4)  # numbers 4 n ... 4 n + 3 share a place
    index, distance = geo.nearest(lat, lon, REGION[0], REGION[1], k)
    first = np.arange(300)[:, None] * 4
    np.testing.assert_array_equal(index[:, :4], (first + np.arange(4))[:, :k])
    np.testing.assert_array_equal(distance[:, :4], 0)
    assert (distance[:, 4:] > 0).all()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_ties_on_a_ring_come_in_the_order_of_the_stations(k):
    # two east-west and two north-south neighbours of a point on the equator, at one degree
    index, distance = geo.nearest([0, 1, 0, -1, 5], [101, 100, 99, 100, 100], [0], [100], k)
    assert index.tolist() == [[0, 1, 2, 3][:k]]
    assert distance[0] == pytest.approx(np.full(k, np.radians(1) * 6371.0088))


def test_a_small_network_gives_fewer_neighbours():
    index, distance = geo.nearest([30, 31], [110, 110], [30.1, 30.9, 30.2], [110, 110, 110], 20)
    assert index.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert distance.shape == (3, 2)
