"""Quality classes by hand geometry; the error of a daily mean against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.models import uncertainty
from aqreanalysis.models.base import Supporters
from aqreanalysis.models.uncertainty import FAR_KM, NEAR_KM, Support, daily, exponential_correlation, inside_hull
from aqreanalysis.schema import EXTRAPOLATED, NO_OBSERVATIONS, SEA, SUPPORTED, WEAK_SUPPORT

DEGREE_KM = geo.EARTH_RADIUS_KM * np.pi / 180.0

# --- support

@pytest.mark.filterwarnings("error")
def test_there_is_no_hull_without_stations():
    assert inside_hull([], [], [40.0, 41.0], [116.0, 117.0]).tolist() == [False, False]



def east_of(km, reference=100.0):
    """Longitudes on the equator at distances from a place."""
    return reference + np.asarray(km, float) / DEGREE_KM


def support(to_lat, to_lon, lat=(0.0, 3.0, 3.0), lon=(100.0, 100.0, 103.0), land=True, k=3):
    """Support by a triangle of stations: (0 N 100 E), (3 N 100 E), (3 N 103 E)."""
    n = np.size(to_lon)
    lat, lon, to_lat, to_lon = np.array(lat), np.array(lon), np.broadcast_to(to_lat, n), np.atleast_1d(to_lon)
    return Support(Supporters(*geo.nearest(lat, lon, to_lat, to_lon, k), k), lat, lon, to_lat, to_lon,
                   np.full(n, land))


def flags(found, *reported):
    return found.of_hours(np.array(reported, bool))[1]


def test_classes_by_distance_inside_the_hull():
    """North of the first station along a side of the triangle, just inside of it."""
    north = np.array([NEAR_KM - 1, NEAR_KM + 1, FAR_KM - 1, FAR_KM + 1]) / DEGREE_KM
    found = support(north, np.full(4, 100.001))
    np.testing.assert_array_equal(flags(found, [True, True, True]),
                                  [[SUPPORTED, WEAK_SUPPORT, WEAK_SUPPORT, EXTRAPOLATED]])


def test_outside_the_hull_only_what_is_near_is_supported():
    found = support(0.0, east_of([-(NEAR_KM - 1), -(NEAR_KM + 1), -(FAR_KM + 1)]))
    np.testing.assert_array_equal(flags(found, [True, True, True]), [[SUPPORTED, EXTRAPOLATED, EXTRAPOLATED]])


def test_the_nearest_that_reported_counts():
    """Near the first station; the others are some 330 km away."""
    found = support(0.01, [100.001])
    reported = [[True, True, True], [True, False, False], [False, True, True], [False, False, False]]
    counts, classes = found.of_hours(np.array(reported))
    np.testing.assert_array_equal(counts[:, 0], [3, 1, 2, 0])
    np.testing.assert_array_equal(classes[:, 0], [SUPPORTED, SUPPORTED, EXTRAPOLATED, NO_OBSERVATIONS])
    assert counts.dtype == np.int16 and classes.dtype == np.int8


def test_only_the_k_nearest_are_counted():
    found = support(0.01, [100.001], k=2)
    counts, classes = found.of_hours(np.array([[True, True, True], [False, False, True]]))
    np.testing.assert_array_equal(counts[:, 0], [2, 0])
    np.testing.assert_array_equal(classes[:, 0], [SUPPORTED, NO_OBSERVATIONS])


def test_at_most_so_many_of_the_listed_take_part():
    """Kriging lists candidates and takes the nearest k of those that reported."""
    listed = Supporters(np.array([[2, 0, 1]]), np.array([[5.0, 60.0, 200.0]]), 2)
    found = Support(listed, [0.0] * 3, [100.0, 101.0, 102.0], [0.0], [100.0], np.array([True]))
    counts, classes = found.of_hours(np.array([[True, True, True], [True, True, False], [False, True, False]]))
    np.testing.assert_array_equal(counts[:, 0], [2, 2, 1])
    np.testing.assert_array_equal(classes[:, 0], [SUPPORTED, EXTRAPOLATED, EXTRAPOLATED])


def test_where_all_stations_take_part_all_are_counted():
    """The mean of the network: those that are not listed are far, but there is a value."""
    listed = Supporters(np.array([[0]]), np.array([[5.0]]), None)
    found = Support(listed, [0.0] * 3, [100.0, 101.0, 102.0], [0.0], [100.0], np.array([True]))
    counts, classes = found.of_hours(np.array([[True, True, True], [False, True, True], [False, False, False]]))
    np.testing.assert_array_equal(counts[:, 0], [3, 2, 0])
    np.testing.assert_array_equal(classes[:, 0], [SUPPORTED, EXTRAPOLATED, NO_OBSERVATIONS])


def test_sea_is_sea_whatever_the_support():
    found = support(0.01, [100.001], land=False)
    np.testing.assert_array_equal(flags(found, [True] * 3, [False, True, True], [False] * 3), [[SEA]] * 3)


def test_hull_of_a_triangle():
    lat, lon = [30.0, 30.0, 34.0], [110.0, 114.0, 110.0]
    inside = inside_hull(lat, lon, [31.0, 33.0, 31.9, 29.9, 31.0], [111.0, 113.0, 111.9, 111.0, 109.9])
    np.testing.assert_array_equal(inside, [True, False, True, False, False])


@pytest.mark.parametrize("lat, lon", [([30.0], [110.0]), ([30.0, 31.0], [110.0, 111.0]),
                                      ([30.0, 31.0, 32.0], [110.0, 110.0, 110.0])])
def test_no_hull_no_inside(lat, lon):
    np.testing.assert_array_equal(inside_hull(lat, lon, [30.0, 30.5], [110.0, 110.0]), [False, False])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_means_of_stations_lie_inside_and_far_places_outside(seed):
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(30, 40, 9), rng.uniform(108, 122, 9)
    shares = rng.dirichlet(np.ones(9) * 3, 5)
    assert inside_hull(lat, lon, shares @ lat, shares @ lon).all()
    assert not inside_hull(lat, lon, [lat.max() + 0.01, 35.0], [115.0, lon.min() - 0.01]).any()


# --- daily means


def a_day(pm25=50.0, error=4.0, flag=SUPPORTED, points=1):
    """Arrays (24, points) of one day."""
    full = lambda a, dtype: np.array(np.broadcast_to(np.reshape(a, (-1, 1)), (24, points)), dtype)  # noqa: E731
    return full(pm25, np.float32), full(error, np.float32), full(flag, np.int8)


def test_errors_that_last_do_not_average_out():
    error = np.linspace(1, 9, 24)
    found = daily(*a_day(error=error), minimum_hours=20, correlation=exponential_correlation(1e9))
    assert found["pm25_standard_error"].item() == pytest.approx(error.mean(), rel=1e-5)


@pytest.mark.parametrize("memory_hours", [1e-3, 0.0])
def test_errors_that_forget_average_out(memory_hours):
    found = daily(*a_day(error=4.0), minimum_hours=20, correlation=exponential_correlation(memory_hours))
    assert found["pm25_standard_error"].item() == pytest.approx(4.0 / np.sqrt(24), rel=1e-5)
    error = np.linspace(1, 9, 24)
    found = daily(*a_day(error=error), minimum_hours=20, correlation=exponential_correlation(1e-3))
    assert found["pm25_standard_error"].item() == pytest.approx(np.sqrt((error**2).sum()) / 24, rel=1e-5)


@pytest.mark.parametrize("memory", [2.0, 8.0, 30.0])
def test_errors_in_between(memory):
    """(24 + 2 sum (24 - lag) r^lag) / 24^2 of the hourly variance, r = exp(-1 / memory)."""
    r = np.exp(-1 / memory)
    share = (24 + 2 * sum((24 - lag) * r**lag for lag in range(1, 24))) / 24**2
    found = daily(*a_day(error=4.0), minimum_hours=20, correlation=exponential_correlation(memory))
    assert found["pm25_standard_error"].item() == pytest.approx(4.0 * np.sqrt(share), rel=1e-5)


def test_means_are_of_the_hours_there_are():
    pm25 = np.arange(24.0)
    pm25[[0, 23]] = np.nan
    hours = a_day(pm25=pm25, error=np.where(np.isnan(pm25), np.nan, 4.0))
    found = daily(*hours, minimum_hours=20, correlation=exponential_correlation(1e-3))
    assert found["pm25"].item() == pytest.approx(np.arange(1, 23).mean())
    assert found["number_of_hours"].item() == 22
    assert found["pm25_standard_error"].item() == pytest.approx(4.0 / np.sqrt(22), rel=1e-5)


@pytest.mark.parametrize("hours, minimum, valid", [(20, 20, True), (19, 20, False), (1, 1, True), (0, 1, False)])
def test_a_day_needs_enough_hours(hours, minimum, valid):
    pm25 = np.where(np.arange(24) < hours, 50.0, np.nan)
    found = daily(*a_day(pm25=pm25, flag=WEAK_SUPPORT), minimum_hours=minimum, correlation=exponential_correlation(8.0))
    assert np.isfinite(found["pm25"].item()) == np.isfinite(found["pm25_standard_error"].item()) == valid
    assert found["quality_flag"].item() == (WEAK_SUPPORT if valid else NO_OBSERVATIONS)
    assert found["number_of_hours"].item() == hours


@pytest.mark.parametrize("votes, winner", [
    ({SUPPORTED: 13, EXTRAPOLATED: 11}, SUPPORTED),
    ({SUPPORTED: 12, EXTRAPOLATED: 12}, EXTRAPOLATED),  # the more severe of equals
    ({SUPPORTED: 9, WEAK_SUPPORT: 8, NO_OBSERVATIONS: 7}, SUPPORTED),
    ({SUPPORTED: 8, WEAK_SUPPORT: 8, NO_OBSERVATIONS: 8}, NO_OBSERVATIONS),
    ({SEA: 24}, SEA),
])
def test_the_flag_is_that_of_most_hours(votes, winner):
    flag = np.repeat(list(votes), list(votes.values()))
    found = daily(*a_day(flag=flag), minimum_hours=20, correlation=exponential_correlation(8.0))
    assert found["quality_flag"].item() == winner


def test_sea_without_values_stays_sea():
    found = daily(*a_day(pm25=np.nan, flag=SEA), minimum_hours=20, correlation=exponential_correlation(8.0))
    assert found["quality_flag"].item() == SEA and np.isnan(found["pm25"].item())


def test_days_and_points_do_not_mix():
    rng = np.random.default_rng(0)
    pm25, error = rng.uniform(10, 90, (2, 72, 5)).astype(np.float32)
    flag = rng.integers(0, 3, (72, 5)).astype(np.int8)
    whole = daily(pm25, error, flag, 20, exponential_correlation(8.0))
    np.testing.assert_allclose(whole["pm25"], [pm25[24 * d:24 * d + 24].mean(axis=0) for d in range(3)], rtol=1e-5)
    for day in range(3):
        for point in range(5):
            alone = daily(*(a[24 * day:24 * day + 24, point:point + 1] for a in (pm25, error, flag)), 20,
                          exponential_correlation(8.0))
            for name, array in alone.items():
                np.testing.assert_allclose(array[0, 0], whole[name][day, point], rtol=1e-5)


def test_the_legend_names_the_numbers_in_use():
    assert f"{NEAR_KM:g} km" in uncertainty.CLASSES and f"{FAR_KM:g} km" in uncertainty.CLASSES
