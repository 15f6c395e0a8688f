"""Kriging against PyKrige, which shares no code with ours, and against what kriging must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykrige.ok import OrdinaryKriging

from aqreanalysis import geo, schema
from aqreanalysis.models import geostatistics
from aqreanalysis.models.baselines.kriging import Kriging, different_rows, expected_sample_variance

RANGE_KM, NUGGET = 150.0, 0.1
KM_PER_DEGREE = geo.EARTH_RADIUS_KM * np.pi / 180.0


def network(stations=18, hours=4, seed=0):
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(36, 40, stations), rng.uniform(113, 119, stations)
    return make(lat, lon, rng.gamma(4.0, 20.0, (hours, stations)))


def make(lat, lon, pm25):
    time = np.datetime64("2019-01-01T00", "ns") + np.arange(len(pm25)) * np.timedelta64(1, "h")
    return schema.make_station_cube(time, [f"S{i}" for i in range(len(lat))], lat, lon, {"pm25": pm25})


def targets(cube, points=7, seed=1):
    rng = np.random.default_rng(seed)
    return schema.make_targets(cube.time, rng.uniform(36, 40, points), rng.uniform(113, 119, points))


def of_all(cube):
    """Kriging from every station of a cube."""
    return Kriging(k=cube.sizes["station"], range_km=RANGE_KM, nugget=NUGGET)


def pykrige(lat, lon, values, to_lat, to_lon):
    """Estimates and variances for a sill of 1; PyKrige's range is where 95 % of the sill is reached."""
    model = OrdinaryKriging(lon, lat, values, variogram_model="exponential", coordinates_type="geographic",
                            variogram_parameters={"psill": 1 - NUGGET, "nugget": NUGGET,
                                                  "range": 3 * RANGE_KM / KM_PER_DEGREE})
    estimate, variance = model.execute("points", np.asarray(to_lon), np.asarray(to_lat))
    return np.asarray(estimate), np.asarray(variance)


def sill(values, lat, lon):
    """Sample variance over its expectation for a sill of 1: 1 minus the mean correlation of pairs."""
    n = len(values)
    pairs = [(1 - NUGGET) * np.exp(-geo.distance_km(lat[i], lon[i], lat[j], lon[j]) / RANGE_KM)
             for i in range(n) for j in range(i)]
    return np.var(values, ddof=1) / (1 - np.mean(pairs))


def test_estimates_and_errors_are_pykriges():
    cube = network()
    wanted = targets(cube)
    result = of_all(cube).predict(cube, wanted)
    for hour in range(cube.sizes["time"]):
        values = cube.pm25.values[hour].astype(float)
        estimate, variance = pykrige(cube.lat.values, cube.lon.values, values, wanted.lat, wanted.lon)
        np.testing.assert_allclose(result.pm25.values[hour], estimate, rtol=1e-5)
        error = np.sqrt(variance * sill(values, cube.lat.values, cube.lon.values))
        np.testing.assert_allclose(result.pm25_standard_error.values[hour], error, rtol=1e-5)


def test_the_nearest_that_reported_are_pykriges():
    cube = network(stations=25)
    gaps = np.random.default_rng(3).random(cube.pm25.shape) < 0.4
    cube["pm25"] = cube.pm25.where(~gaps)
    wanted = targets(cube)
    result = Kriging(k=5, range_km=RANGE_KM, nugget=NUGGET, candidates=25, octants=False).predict(
        cube, wanted)
    for hour in range(cube.sizes["time"]):
        there = np.flatnonzero(~gaps[hour])
        for point in range(wanted.sizes["point"]):
            to_lat, to_lon = wanted.lat.values[point], wanted.lon.values[point]
            far = geo.distance_km(cube.lat.values[there], cube.lon.values[there], to_lat, to_lon)
            five = there[np.argsort(far)[:5]]
            estimate, _ = pykrige(cube.lat.values[five], cube.lon.values[five],
                                  cube.pm25.values[hour, five].astype(float), [to_lat], [to_lon])
            assert result.pm25.values[hour, point] == pytest.approx(max(estimate[0], 0.0), rel=1e-5)


@pytest.mark.parametrize("missing, taken", [([], [0, 3, 4, 5, 6, 7, 8, 9]), ([0], [1, 3, 4, 5, 6, 7, 8, 9]),
                                            ([0, 5, 7], [1, 2, 3, 4, 6, 8, 9])])
def test_an_octant_gives_no_more_than_its_share(missing, taken):
    """Stations 0 to 2 lie in one octant, 3 to 9 in the seven others: eight are wanted, one of each octant. Where an
    octant is silent the nearest of the rest fills up; here no more than seven report in the last case."""
    angle = np.radians([20, 24, 28, 70, 110, 160, 200, 250, 290, 340])  # clockwise from north
    far = np.array([0.3, 0.4, 0.5, 1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.0])
    lat, lon = 38 + far * np.cos(angle), 115 + far * np.sin(angle) / np.cos(np.radians(38))
    pm25 = np.random.default_rng(0).gamma(4.0, 20.0, (1, 10))
    pm25[0, missing] = np.nan
    cube = make(lat, lon, pm25)
    model = Kriging(k=8, range_km=RANGE_KM, nugget=NUGGET, octants=True)
    result = model.predict(cube, schema.make_targets(cube.time, [38.0], [115.0]))
    estimate, _ = pykrige(lat[taken], lon[taken], pm25[0, taken], [38.0], [115.0])
    assert result.pm25.item() == pytest.approx(max(estimate[0], 0.0), rel=1e-5)


def test_a_gap_is_a_smaller_network():
    cube = network()
    gaps = np.zeros(cube.pm25.shape, bool)
    gaps[1, 3] = gaps[2, [0, 5, 11]] = True
    cube["pm25"] = cube.pm25.where(~gaps)
    wanted = targets(cube)
    result = of_all(cube).predict(cube, wanted)
    for hour in range(cube.sizes["time"]):
        smaller = cube.isel(station=~gaps[hour])
        expected = of_all(smaller).predict(smaller, wanted)
        for name in ("pm25", "pm25_standard_error"):
            np.testing.assert_allclose(result[name].values[hour], expected[name].values[hour], rtol=1e-5)


def test_at_a_station_its_observation_without_error():
    cube = network()
    result = of_all(cube).predict(cube, schema.make_targets(cube.time, cube.lat, cube.lon))
    np.testing.assert_allclose(result.pm25, cube.pm25, rtol=1e-6)
    np.testing.assert_allclose(result.pm25_standard_error, 0.0, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(-50, 50), st.integers(0, 1000))
def test_weights_sum_to_one(constant, seed):
    """A field of one value is that value everywhere, whatever is missing."""
    cube = network(stations=12, seed=seed)
    cube["pm25"] = (cube.pm25 * 0 + 60 + constant).where(np.random.default_rng(seed).random(cube.pm25.shape) < 0.6)
    result = of_all(cube).predict(cube, targets(cube)).pm25.values
    there = np.isfinite(cube.pm25.values).any(axis=1)
    np.testing.assert_allclose(result[there], 60 + constant, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_stations_does_not_matter(seed):
    cube = network()
    cube["pm25"] = cube.pm25.where(np.random.default_rng(seed).random(cube.pm25.shape) < 0.7)
    order = np.random.default_rng(seed).permutation(cube.sizes["station"])
    model = Kriging(k=6)
    first, second = (model.predict(c, targets(cube)) for c in (cube, cube.isel(station=order)))
    for name in ("pm25", "pm25_standard_error"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)


def test_shift_and_scale():
    """Kriging is linear and unbiased, and its error scales with the values."""
    cube = network()
    wanted = targets(cube)
    before = of_all(cube).predict(cube, wanted)
    after = of_all(cube).predict(cube.assign(pm25=2.5 * cube.pm25 + 400.0), wanted)
    np.testing.assert_allclose(after.pm25, 2.5 * before.pm25 + 400.0, rtol=1e-5)
    np.testing.assert_allclose(after.pm25_standard_error, 2.5 * before.pm25_standard_error, rtol=1e-4)


def test_an_hour_without_observations():
    cube = network()
    cube["pm25"] = cube.pm25.where(cube.time != cube.time[2])
    result = of_all(cube).predict(cube, targets(cube))
    for name in ("pm25", "pm25_standard_error"):
        assert np.isnan(result[name].values[2]).all()
        assert np.isfinite(result[name].values[[0, 1, 3]]).all()


def test_one_observation_is_the_estimate_with_the_error_of_a_copy():
    """Ordinary kriging of one value at distance d: weight 1, variance 2 (1 - C(d)) times an assumed sill."""
    cube = network()
    cube["pm25"] = cube.pm25.where(cube.station == "S4")
    result = of_all(cube).predict(cube, targets(cube))
    np.testing.assert_allclose(result.pm25, np.broadcast_to(cube.pm25.values[:, [4]], result.pm25.shape), rtol=1e-6)
    far = geo.distance_km(cube.lat.values[4], cube.lon.values[4], result.lat.values, result.lon.values)
    unit = np.sqrt(2 * (1 - (1 - NUGGET) * np.exp(-far / RANGE_KM)))
    spread = geostatistics.ASSUMED_SPREAD * (cube.pm25.values[:, [4]] + 20.0)
    np.testing.assert_allclose(result.pm25_standard_error, spread * unit, rtol=1e-5)


def test_two_stations_at_one_place():
    cube = network(stations=10)
    lat, lon = (np.append(cube[name].values, cube[name].values[0]) for name in ("lat", "lon"))
    pm25 = np.concatenate([cube.pm25.values, cube.pm25.values[:, :1] + 30.0], axis=1)
    twice = make(lat, lon, pm25)
    wanted = targets(cube)
    to_lat, to_lon = np.append(wanted.lat, lat[0]), np.append(wanted.lon, lon[0])  # and where the two stand
    result = of_all(twice).predict(twice, schema.make_targets(cube.time, to_lat, to_lon))
    for hour in range(cube.sizes["time"]):
        estimate, _ = pykrige(lat, lon, pm25[hour].astype(float), to_lat, to_lon)
        np.testing.assert_allclose(result.pm25.values[hour], estimate, rtol=1e-5)


def test_two_stations_alone_at_one_place_give_their_mean():
    cube = make([38.0, 38.0], [115.0, 115.0], [[10.0, 30.0], [40.0, np.nan]])
    result = of_all(cube).predict(cube, schema.make_targets(cube.time, [38.0, 39.0], [115.0, 115.0]))
    np.testing.assert_allclose(result.pm25, [[20.0, 20.0], [40.0, 40.0]], rtol=1e-6)


def test_expected_sample_variance_by_hand():
    among = np.array([[[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]], [[1.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 0]]])
    np.testing.assert_allclose(expected_sample_variance(among, np.array([3, 2])), [1 - 1.0 / 3, 0.5])


@pytest.mark.parametrize("shape", [(1, 1), (200, 3), (300, 121)])
def test_different_rows(shape):
    """Each row is found under its number, and no row stands twice."""
    mask = np.asfortranarray(np.random.default_rng(0).random(shape) < 0.98)
    rows, number = different_rows(mask)
    np.testing.assert_array_equal(rows[number], mask)
    assert len(rows) == len({tuple(row) for row in mask})
