"""The twin: random access, physics that can be checked by hand, levels, and exact book-keeping of faults."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.grids import boundaries
from aqreanalysis.simulation import FAULTS, Twin, TwinArchive, air, land, network

YEAR = time_axis.complete_hours("2015-12-31T17", "2016-12-31T16")
MONTH = time_axis.complete_hours("2016-01-20T00", "2016-02-19T23")  # across the seam of two months
PLACES = np.array([39.9, 34.3, 29.05, 42.95]), np.array([116.4, 108.9, 124.95, 106.05])
GAPS = [FAULTS[name] for name in ("gap_hour", "gap_run", "outage")]  # what must be missing, nothing else


@pytest.fixture(scope="module")
def twin():
    return Twin(seed=0)


@pytest.fixture(scope="module")
def month(twin):
    """Observations, truth and faults of MONTH."""
    return twin.observe(MONTH), twin.truth_at_stations(MONTH), twin.faults(MONTH)


@pytest.fixture(scope="module")
def sample(twin):
    """Two days in every ten of a year at all stations: local stamps and PM2.5 (hours, stations)."""
    whole_blocks = (air.hour_index(YEAR) // air.AIR_BLOCK_HOURS) % 5 == 0
    time = YEAR[whole_blocks]
    local = pd.DatetimeIndex(time) + pd.Timedelta(hours=time_axis.UTC_OFFSET_HOURS - 0.5)
    return local, twin.truth(time, twin.stations["lat"], twin.stations["lon"])


# Random access: a window is what a longer request has there.

@settings(max_examples=5, deadline=None)
@given(st.integers(0, 149), st.integers(1, 60))
def test_truth_of_a_window_is_exactly_that_of_a_longer_request(twin, first, length):
    longer = twin.truth(MONTH[:150], *PLACES)
    part = slice(first, min(first + length, 150))
    assert np.array_equal(twin.truth(MONTH[part], *PLACES), longer[part])


@pytest.mark.parametrize("window", [slice(0, 1), slice(47, 49), slice(250, 301), slice(700, None)])
def test_observations_of_a_window_are_exactly_those_of_a_longer_request(twin, month, window):
    observed, _, faults = month
    part = twin.observe(MONTH[window])
    for name in schema.POLLUTANTS:
        np.testing.assert_array_equal(part[name].values, observed[name].values[window], err_msg=name)
    np.testing.assert_array_equal(twin.faults(MONTH[window]), faults[window])


def test_a_window_that_begins_inside_a_stuck_run_repeats_the_value_from_before_it(twin, month):
    observed, _, faults = month
    stuck = faults == FAULTS["stuck"]
    inside = np.argwhere(stuck[1:] & stuck[:-1])[::40] + [1, 0]
    assert len(inside) > 10
    for row, station in inside[:5]:
        assert twin.observe(MONTH[row:row + 1]).pm25.values[0, station] == observed.pm25.values[row, station]


def test_hours_may_come_in_any_order_and_places_in_any_company(twin):
    hours = MONTH[[90, 3, 500]]
    together = twin.truth(hours, *PLACES)
    assert np.array_equal(together[::-1], twin.truth(hours[::-1], *PLACES))
    for i in range(len(PLACES[0])):
        alone = twin.truth(hours, PLACES[0][i:i + 1], PLACES[1][i:i + 1])
        np.testing.assert_array_max_ulp(alone[:, 0], together[:, i], maxulp=1)


def test_more_places_than_one_chunk(twin):
    rng = np.random.default_rng(1)
    lat, lon = rng.uniform(29, 43, air.CHUNK_POINTS + 3), rng.uniform(106, 125, air.CHUNK_POINTS + 3)
    whole = twin.truth(MONTH[:2], lat, lon)
    np.testing.assert_array_max_ulp(whole[:, -5:], twin.truth(MONTH[:2], lat[-5:], lon[-5:]), maxulp=1)


def test_the_same_seed_is_the_same_twin_and_another_seed_is_not(twin):
    again, copy, other = Twin(0), pickle.loads(pickle.dumps(twin)), Twin(1)
    expected = twin.observe(MONTH[:30])
    for same in (again, copy):
        assert expected.identical(same.observe(MONTH[:30]))
    assert not np.array_equal(twin.truth(MONTH[:30], *PLACES), other.truth(MONTH[:30], *PLACES))
    assert not twin.stations["lat"].equals(other.stations["lat"])
    assert not np.array_equal(twin.faults(MONTH), other.faults(MONTH))


def test_memory_does_not_grow_with_the_period(twin):
    def beyond_the_result(hours):
        tracemalloc.start()
        result = twin.truth(hours, *PLACES)
        peak = tracemalloc.get_traced_memory()[1] - result.nbytes
        tracemalloc.stop()
        return peak

    beyond_the_result(MONTH[:1])
    assert beyond_the_result(MONTH[:384]) < 1.2 * beyond_the_result(MONTH[:96])


# Parts with known answers.

@given(st.lists(st.floats(-20, 40), min_size=1, max_size=20))
def test_splines_sum_to_one_and_keep_straight_lines(positions):
    positions = np.sort(positions)
    matrix = air.spline_matrix(positions, -22, 66)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix @ np.arange(-22, 44), positions, atol=1e-9)
    assert matrix.min() >= 0


def test_bilinear_keeps_a_plane_and_holds_its_edge():
    x = land.MAP_WEST + land.MAP_KM * np.arange(land.MAP_SHAPE[1])
    y = land.MAP_SOUTH + land.MAP_KM * np.arange(land.MAP_SHAPE[0])
    field = (y[:, None] * 0.5 + x[None, :] * 0.25 + 2000).astype(np.float32)
    at_x, at_y = np.array([-33.3, 1210.0, 0.1], np.float32), np.array([77.7, -900.0, 512.5], np.float32)
    np.testing.assert_allclose(air.bilinear(field, at_x, at_y), 0.5 * at_y + 0.25 * at_x + 2000, rtol=1e-5)
    beyond = air.bilinear(field, np.float32([1e5]), np.float32([1e5]))
    np.testing.assert_allclose(beyond, field[-1, -1], rtol=1e-3)


def test_a_random_field_has_its_standard_deviation_and_drifts_with_the_wind():
    field = air.RandomField(0, air.Band("for this test", 100, 400, 0.5, 10_000, 200))
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-2000, 2000, (2, 4000))
    hours = np.arange(400_000.0, 400_004.0)
    now = field.features(x, y) @ field.rows(hours)
    assert now.std() == pytest.approx(0.5, rel=0.15)
    # amplitudes hardly change in 3 h of 10,000, so the pattern is the one that was upwind
    came_from = field.features(x - 3 * air.DRIFT[0], y - 3 * air.DRIFT[1]) @ field.rows(hours)
    np.testing.assert_allclose(now[:, 3], came_from[:, 0], atol=0.01)
    assert np.abs(now[:, 3] - now[:, 0]).max() > 0.3


def test_the_wind_has_no_divergence():
    wind, h, hour = air.Wind(0), 5.0, np.array([400_000.0])
    x, y = np.random.default_rng(0).uniform(-1000, 1000, (2, 1, 50))
    east = (wind.at(x + h, y, hour)[0] - wind.at(x - h, y, hour)[0]) / (2 * h)
    north = (wind.at(x, y + h, hour)[1] - wind.at(x, y - h, hour)[1]) / (2 * h)
    assert np.abs(east).max() > 1e-3
    np.testing.assert_allclose(east, -north, atol=1e-5)  # float32


def test_emissions_of_one_city_peak_there_and_fall_as_a_gaussian():
    nothing = land.city_table().iloc[:0]
    city = pd.DataFrame({"lat": [36.0], "lon": [115.5], "size": [2.0]})  # the origin of the plane
    added = land.emissions(city) - land.emissions(nothing)
    row, column = np.unravel_index(added.argmax(), added.shape)
    assert (land.MAP_SOUTH + row * land.MAP_KM, land.MAP_WEST + column * land.MAP_KM) == (0, 0)
    assert added[row, column] == pytest.approx(2.0**0.6)
    share = np.exp(-0.5 * (2 * land.MAP_KM / land.CITY_EMISSION_KM) ** 2)
    assert added[row, column + 2] / added[row, column] == pytest.approx(share)


def test_a_ridge_is_cleaner_than_the_plain_beside_it():
    lon1, lat1, lon2, lat2, _, share = land.RIDGES[5]
    on, far = land.mountain_air(np.array([(lat1 + lat2) / 2, 36.5]), np.array([(lon1 + lon2) / 2, 116.0]))
    assert on < 1 - 0.9 * share and far > 0.98


def test_what_a_city_emits_arrives_downwind():
    city = pd.DataFrame({"lat": [36.0], "lon": [115.5], "size": [50.0]})
    with_city, without = air.Air(0, city), air.Air(0, city.iloc[:0])
    angle = np.arange(0, 2 * np.pi, np.pi / 12)
    km = np.radians(1) * geo.EARTH_RADIUS_KM
    lat, lon = 36 + 150 * np.sin(angle) / km, 115.5 + 150 * np.cos(angle) / km / np.cos(np.radians(36))
    hours = air.hour_index(MONTH)[:480:12]
    response = with_city.pm25(hours, lat, lon) - without.pm25(hours, lat, lon)
    centre = response @ np.stack([np.cos(angle), np.sin(angle)], axis=1)
    nowhere = np.zeros((len(hours), 1), np.float32)
    u, v = (c[:, 0] for c in with_city.wind.at(nowhere, nowhere, hours - 3.0))
    cosine = (centre[:, 0] * u + centre[:, 1] * v) / np.hypot(*centre.T) / np.hypot(u, v)
    assert response.min() > -1e-3
    assert np.median(cosine) > 0.9 and (cosine[np.hypot(u, v) > 15] > 0.5).all()


# Levels that resemble the region.

def test_truth_is_positive_and_finite_and_has_the_levels_of_the_region(twin, sample):
    _, pm25 = sample
    assert np.isfinite(pm25).all() and pm25.min() > 0 and pm25.max() < 1000
    means = pd.Series(pm25.mean(axis=0)).groupby(twin.stations["city"]).mean()
    assert 45 < means[["Shijiazhuang", "Handan", "Zhengzhou", "Jinan", "Dezhou"]].mean() < 85
    assert 15 < means[["Ordos", "Yinchuan", "Chengde", "Yanan"]].mean() < 35
    assert 150 < np.quantile(pm25, 0.99) < 350
    assert np.median(pm25) < 0.8 * pm25.mean()  # skew to the right


def test_winter_is_about_twice_as_bad_as_summer_and_the_afternoon_best(sample):
    local, pm25 = sample
    hourly = pd.Series(pm25.mean(axis=1), local)
    monthly = hourly.groupby(local.month).mean()
    assert 1.7 < monthly[[12, 1, 2]].mean() / monthly[[6, 7, 8]].mean() < 3
    by_hour = hourly.groupby(local.hour).mean()
    assert 13 <= by_hour.idxmin() <= 17
    assert 1.15 < by_hour.max() / by_hour.min() < 1.8


def test_correlation_falls_with_distance(twin, sample):
    local, pm25 = sample
    log = pd.DataFrame(np.log(pm25[:, ::2]))
    anomaly = log - log.groupby(local.month).transform("mean").to_numpy()
    places = twin.stations[["lat", "lon"]].to_numpy()[::2].T
    distance = geo.pairwise_distance_km(*places, *places)
    correlation = np.corrcoef(anomaly.to_numpy().T)
    edges = [(1, 15), (40, 80), (150, 250), (400, 600), (900, 1500)]
    curve = [correlation[(distance > a) & (distance < b)].mean() for a, b in edges]
    assert (np.diff(curve) < -0.1).all()
    assert curve[0] > 0.9 and 0.35 < curve[2] < 0.7 and abs(curve[-1]) < 0.2


def test_no_seam_between_blocks_or_months(twin):
    rng = np.random.default_rng(2)
    log = np.log(twin.truth(MONTH, rng.uniform(29, 43, 60), rng.uniform(106, 125, 60)))
    jump = np.abs(np.diff(log, n=2, axis=0)).mean(axis=1)  # at MONTH[1:-1]
    seam = air.hour_index(MONTH[1:-1]) % air.AIR_BLOCK_HOURS == 0
    assert 0.7 < jump[seam].mean() / jump[~seam].mean() < 1.4
    assert jump.max() < 3 * np.median(jump)


def test_no_seam_at_the_nodes_of_the_transport_grid(twin):
    step = 0.01  # degrees; along a parallel in the north-west, far from any city's own pattern
    lon = np.arange(107.0, 112.0 + step / 2, step)
    log = np.log(twin.truth(MONTH[::60], np.full(len(lon), 42.6), lon).astype(float))
    bend = np.abs(np.diff(log[:, ::5], n=2, axis=1)).mean(axis=0)
    node = np.isclose(np.round(lon[5:-5:5] / air.NODE_DEGREES) * air.NODE_DEGREES, lon[5:-5:5])
    assert node.sum() == 9
    assert bend[node].mean() < 1.5 * bend[~node].mean()


# The network and its faults.

def test_stations_stand_on_land_in_clusters_and_counties(twin):
    table, cities = twin.stations, land.city_table()
    assert list(table.columns) == ["station_id", "name", "city", "lon", "lat"]
    assert len(table) == 640 and table["station_id"].is_unique and table["name"].is_unique
    assert table["station_id"].iloc[[0, -1]].tolist() == ["T0001", "T0640"]
    assert boundaries.is_land(table["lat"], table["lon"]).all()
    assert table["lon"].between(106, 125).all() and table["lat"].between(29, 43).all()
    county = table["name"].str.contains("county")
    assert table[~county].groupby("city").size().between(1, 12).all() and 50 < county.sum() < 200
    nearest = geo.nearest(cities["lat"], cities["lon"], table["lat"], table["lon"], 1)[1][:, 0]
    assert nearest[~county].max() < 12.1 and nearest[county].min() > 18


def test_observations_are_a_station_cube_in_the_networks_resolution(month):
    observed, _, _ = month
    schema.check_station_cube(observed)
    assert {"station_name", "city"} <= set(observed.coords)
    for name in schema.POLLUTANTS:
        value = observed[name].values[np.isfinite(observed[name].values)]
        scale = 10 if name == "co" else 1
        np.testing.assert_allclose(value * scale, np.round(value * scale), atol=1e-3)


def test_where_no_fault_is_planted_noise_explains_the_difference(month):
    observed, truth, faults = month
    for name in ("pm25", "no2", "o3"):
        constant, share = network.NOISE[name]
        clean = (faults == FAULTS["none"]) & (truth[name] > 6 * constant)
        sigma = np.hypot(constant, share * truth[name][clean])
        z = (observed[name].values[clean] - truth[name][clean]) / sigma
        assert abs(z.mean()) < 0.01 and z.std() == pytest.approx(1, abs=0.03) and np.abs(z).max() < 7


def test_gaps_are_where_values_are_missing_and_nowhere_else(month):
    observed, _, faults = month
    for name in schema.POLLUTANTS:
        np.testing.assert_array_equal(np.isnan(observed[name].values), np.isin(faults, GAPS))


def test_codes_and_pairs_out_of_order_are_where_they_were_planted(month):
    observed, _, faults = month
    pm25, pm10 = observed["pm25"].values, observed["pm10"].values
    np.testing.assert_array_equal(np.isin(pm25, network.CODES), faults == FAULTS["missing_code"])
    planted = faults == FAULTS["pm25_above_pm10"]
    assert planted.any() and (pm10[planted] < pm25[planted]).all()
    by_another_fault = [FAULTS[name] for name in (
        "stuck", "spike", "missing_code", "noisy", "biased", "drifting", "periodic")]
    assert not (pm10 < pm25)[~planted & ~np.isin(faults, by_another_fault)].any()


def test_spikes_stand_out_and_stuck_sensors_repeat_one_value(month):
    observed, truth, faults = month
    pm25 = observed["pm25"].values
    spike = faults == FAULTS["spike"]
    excess = pm25[spike] - truth["pm25"][spike]
    assert spike.any() and excess.min() > 100 and excess.max() < 1100
    hours = air.hour_index(MONTH)
    fault_map = network.map_faults(0, hours, network.STATIONS)
    stuck = pd.DataFrame({"station": np.nonzero(faults == FAULTS["stuck"])[1],
                          "begin": fault_map.begin[faults == FAULTS["stuck"]],
                          "value": pm25[faults == FAULTS["stuck"]]})
    runs = stuck.groupby(["station", "begin"])["value"]
    assert len(runs) > 20 and (runs.nunique() == 1).all()
    assert runs.size().max() > 24 and runs.size().max() <= 72


@pytest.mark.parametrize("seed", [0, 5])
def test_a_year_has_every_fault_the_right_share_of_gaps_and_whole_outages(seed):
    codes = network.map_faults(seed, air.hour_index(YEAR), network.STATIONS).code
    assert codes.dtype == np.uint8 and set(np.unique(codes)) == set(FAULTS.values())
    assert 0.05 < np.isin(codes, GAPS).mean() < 0.12
    out = codes == FAULTS["outage"]
    np.testing.assert_array_equal(out.any(axis=1), out.all(axis=1))
    begins = np.diff(out.all(axis=1).astype(int), prepend=0) == 1
    assert 3 <= begins.sum() <= 8


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(network.FAULT_KINDS), st.integers(380_000, 480_000))
def test_events_keep_to_their_durations_and_reach_across_slots(kind, first):
    begin, length, station, size = network.events(3, kind, first, first + 100, 40)
    assert (length >= kind.shortest).all() and (length <= kind.longest).all()
    assert station.max(initial=0) < 40 and (size >= 0).all() and (size < 1).all()
    earlier = network.events(3, kind, first - 3 * kind.slot_hours, first + 100, 40)
    reaching = [(b, n, s) for b, n, s in zip(*earlier[:3], strict=True) if b + n > first]
    assert set(reaching) <= set(zip(begin, length, station, strict=True))


# The archive, and what is refused.

def test_the_archive_reads_like_a_readers():
    archive = TwinArchive(seed=3)
    assert archive.simulated and "seed 3" in archive.source
    cube = archive.read("2016-02-28T20", "2016-02-29T03")
    np.testing.assert_array_equal(cube["time"].values, time_axis.complete_hours("2016-02-28T20", "2016-02-29T03"))
    assert cube["station"].values.tolist() == archive.stations["station_id"].tolist()
    inspection = archive.inspect("2016-02-28T20", "2016-02-29T03")
    assert inspection.values == np.isfinite(cube["pm25"].values).sum() and not inspection.skipped
    first, last = archive.period()
    assert first <= np.datetime64("2013-01-01") and last >= np.datetime64("2099-01-01")
    assert inspection.fingerprint == TwinArchive(3).inspect(first, first).fingerprint  # of the seed, not of the period
    assert inspection.fingerprint != TwinArchive(4).inspect(first, first).fingerprint


def test_the_other_pollutants_are_present_and_of_their_usual_size(month):
    _, truth, _ = month
    usual = {"pm10": (30, 250), "so2": (3, 40), "no2": (10, 80), "co": (0.4, 3), "o3": (10, 120)}
    for name, (low, high) in usual.items():
        assert truth[name].dtype == np.float32 and truth[name].min() > 0
        assert low < truth[name].mean() < high, name
    assert (truth["pm10"] > truth["pm25"]).all()


@pytest.mark.parametrize("seed", [-1, 1.5, "0", 2**63])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(UserError, match="is not a seed"):
        Twin(seed)


def test_places_outside_the_region_are_named(twin):
    with pytest.raises(UserError, match="50 N, 116 E"):
        twin.truth(MONTH[:1], [40.0, 50.0], [116.0, 116.0])
    with pytest.raises(UserError, match="nan"):
        twin.truth(MONTH[:1], [np.nan], [116.0])


@pytest.mark.parametrize("hours", [MONTH[:0], MONTH[[0, 2]], MONTH[1::-1]])
def test_the_network_is_asked_for_consecutive_hours(twin, hours):
    with pytest.raises(ValueError, match="consecutive"):
        twin.observe(hours)

