"""Regression kriging: two stations by hand, a trend that is found again, withheld stations that change nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import Standardisation
from aqreanalysis.fields.static import static_covariates
from aqreanalysis.models import registry
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.baselines.regression_kriging import (
    DRIFT_COVARIATES,
    RegressionKriging,
    shipped,
    shipped_drift,
)
from aqreanalysis.models.drift import Drift, NormalEquations, harmonics, standardised
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, DuplicatePair, NearDuplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.training import regression
from aqreanalysis.training.regression import equations_of, fit_regression_kriging

KILOMETRES = Standardisation(("elevation",), ("none",), (0.0,), (1000.0,))  # of elevation
PERIOD = time_axis.parse_period(None, "2019-01-03", "2019-01-14")


def serial(function, jobs):
    return map(function, jobs)


def two_stations(hours=24):
    """One at 38 N 114 E and one as far from 38 N 115 E on the other side."""
    pm25 = np.stack([20.0 + np.arange(hours), 100.0 - np.arange(hours)], axis=1)
    return schema.make_station_cube(time_axis.complete_hours("2019-01-02T00", "2019-01-02T23"), ["A", "B"],
                                    [38.0, 38.0], [114.0, 116.0], {"pm25": pm25})


def test_two_stations_by_hand():
    """Halfway between two stations both weigh 1/2; the hour that ends at 12:00 UTC has its middle at 19:30 UTC+8."""
    cube, row = two_stations(), 12
    drift = Drift(KILOMETRES, ((0.3, -0.2, 0.1, 0.0, 0.05),), share=0.5)
    model = RegressionKriging(drift, Kriging(k=2))
    targets = schema.make_targets(cube.time, [38.0], [115.0])
    at_a, at_b, here = static_covariates([38.0, 38.0, 38.0], [114.0, 116.0, 115.0]).elevation.values / 1000.0
    angle, year = 2 * np.pi * 19.5 / 24, 2 * np.pi * (1 + 19.5 / 24) / 365.25
    slope = 0.3 - 0.2 * np.sin(angle) + 0.1 * np.cos(angle) + 0.05 * np.cos(year)
    a, b = 20.0 + row, 100.0 - row
    middle = (a + b) / 4 + (np.sqrt((a + 5) * (b + 5)) - 5) / 2
    expected = (middle + 5) * np.exp(0.5 * slope * (here - (at_a + at_b) / 2)) - 5
    result = model.predict(cube, targets)
    assert abs(expected - middle) > 0.5
    assert result.pm25.values[row, 0] == pytest.approx(expected, rel=1e-5)
    kriged = Kriging(k=2).predict(cube, targets)
    np.testing.assert_array_equal(result.pm25_standard_error, kriged.pm25_standard_error)


def test_at_a_station_it_is_the_observation():
    cube = schema.mock_station_cube(hours=24, stations=30, missing=0.0)
    targets = schema.make_targets(cube.time, cube.lat.values[:5], cube.lon.values[:5])
    np.testing.assert_allclose(shipped().predict(cube, targets).pm25, cube.pm25[:, :5], rtol=1e-4)


def test_where_a_neighbour_is_silent_the_next_one_takes_its_part():
    cube = schema.mock_station_cube(hours=24, stations=30, missing=0.2)
    targets = schema.make_targets(cube.time, [38.0], [115.5])
    model = RegressionKriging(shipped_drift(), Kriging(k=8, candidates=30))
    whole = model.predict(cube, targets).pm25.values
    for hour in range(0, 24, 5):
        there = cube.isel(station=np.isfinite(cube.pm25.values[hour]))
        np.testing.assert_allclose(model.predict(there, targets).pm25.values[hour], whole[hour], rtol=1e-5)


def test_a_correction_of_one_set_of_neighbours_or_of_one_each_hour():
    drift, hours = shipped_drift(), two_stations().time.values
    differences = np.random.default_rng(0).normal(size=(3, len(DRIFT_COVARIATES)))
    one = drift.log_correction(hours, differences)
    assert one.shape == (24, 3)
    np.testing.assert_allclose(drift.log_correction(hours, np.broadcast_to(differences, (24, *differences.shape))), one)
    by_hand = sum(differences[1, k] * coefficient * harmonics(hours)[7, m] for k, row in enumerate(drift.coefficients)
                  for m, coefficient in enumerate(row))
    assert one[7, 1] == pytest.approx(drift.share * by_hand)


def test_outside_the_covariates_is_an_error():
    cube = two_stations()
    with pytest.raises(UserError, match="targets.*--checkpoint kriging"):
        shipped().predict(cube, schema.make_targets(cube.time, [10.0], [115.0]))
    with pytest.raises(UserError, match="stations"):
        there = schema.make_targets(cube.time, [38.0], [115.0])
        shipped().predict(cube.assign_coords(lat=("station", [38.0, 60.0])), there)


def test_what_ships_is_plain_numbers():
    drift = shipped_drift()
    assert Drift.from_dict(json.loads(json.dumps(drift.asdict()))) == drift
    assert drift.covariates.names == DRIFT_COVARIATES and "2019" in drift.origin
    other = replace(drift, coefficients=((0.0,) * 5,) * len(DRIFT_COVARIATES))
    assert repr(RegressionKriging(other)) != repr(shipped())  # the identity of a product
    assert registry.describe_model("regression-kriging").identity == repr(shipped())
    assert shipped().name not in registry.baselines()  # it knows the stations that are scored
    with pytest.raises(ValueError, match="coefficients"):
        replace(drift, coefficients=((1.0,),))


def test_normal_equations_of_parts_add_and_find_the_coefficients():
    rng = np.random.default_rng(0)
    hours = np.datetime64("2019-01-01T00", "ns") + rng.integers(0, 8760, 400) * time_axis.HOUR
    differences, truth = rng.normal(size=(400, 3)), rng.normal(size=(3, 5))
    residual = (differences * (harmonics(hours) @ truth.T)).sum(axis=1)
    whole = NormalEquations.of(hours, differences, residual)
    halves = [NormalEquations.of(hours[part], differences[part], residual[part])
              for part in (slice(150), slice(150, None))]
    for name in ("products", "moments", "rows"):
        np.testing.assert_allclose(getattr(halves[0] + halves[1], name), getattr(whole, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole.solve(0.0), truth, rtol=1e-6, atol=1e-9)
    alone = NormalEquations(np.eye(5) * 8.0, np.arange(5.0), 4)  # (8 / 4 + 3) b = moments / 4
    np.testing.assert_allclose(alone.solve(3.0), [np.arange(5.0) / 20])
    with pytest.raises(ValueError, match="no rows"):
        NormalEquations.of(hours[:0], differences[:0], residual[:0]).solve(1.0)


SLOPES = np.array([-0.012, 0.004, 0.01, 0.006, 0.008])  # of the logarithm, by covariate


def hilly_cube(stations=120, hours=48, noise=0.0002):
    """Stations in hills and plains whose PM2.5 follows their covariates."""
    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(35, 41, stations), rng.uniform(112, 119, stations)
    level = np.log(60.0) + standardised(shipped_drift().covariates, lat, lon) @ SLOPES
    pm25 = np.exp(level + rng.normal(0.0, noise, (hours, stations))) - 5.0
    return schema.make_station_cube(time_axis.complete_hours("2019-01-04T17", "2019-01-06T16")[:hours],
                                    [f"S{i:03d}" for i in range(stations)], lat, lon, {"pm25": pm25})


def test_a_trend_is_found_again_whatever_the_order_of_stations():
    cube = hilly_cube()
    city, together = np.arange(120) // 3, np.eye(120, dtype=bool)
    equations = equations_of(cube, city, together, Kriging(), shipped_drift().covariates)
    found = harmonics(cube.time.values) @ np.array(equations.solve(1e-5)).T
    np.testing.assert_allclose(found.mean(axis=0), SLOPES, atol=0.0005)
    turn = np.random.default_rng(0).permutation(120)
    turned = equations_of(cube.isel(station=turn), city[turn], together, Kriging(), shipped_drift().covariates)
    np.testing.assert_allclose(turned.products, equations.products, rtol=1e-6, atol=1e-3)
    assert turned.rows == equations.rows == 48 * 120


def test_a_station_is_estimated_without_its_city_and_its_duplicates():
    """In a network of pairs at one place each, a pair's own trend is lost unless both are left out."""
    rng = np.random.default_rng(0)
    lat, lon = np.repeat(rng.uniform(35, 41, 20), 2), np.repeat(rng.uniform(112, 119, 20), 2)
    pair = np.repeat(np.arange(20), 2)
    own = regression.LeftOut.among(lat, lon, pair[:, None] == pair, Kriging(k=8))
    asked, index, weights = own.weights(rng.random(40) < 0.8)
    assert len(asked) and not (pair[index] == pair[asked][:, None])[weights != 0].any()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_a_station_that_is_left_out_is_kriged_as_any_place():
    cube = schema.mock_station_cube(hours=3, stations=40, missing=0.2)
    scaled = standardised(KILOMETRES, cube.lat.values, cube.lon.values)
    alone, values = np.eye(40, dtype=bool), cube.pm25.values[1]
    asked, kriged, _, differences = regression.LeftOut.among(
        cube.lat.values, cube.lon.values, alone, Kriging(k=8)).estimates(values, scaled)
    station = int(asked[11])
    given = cube.isel(station=np.arange(40) != station)
    target = schema.make_targets(cube.time[1:2], cube.lat[[station]], cube.lon[[station]])
    assert kriged[11] == pytest.approx(float(Kriging(k=8).predict(given, target).pm25[0, 0]), rel=1e-5)
    elevation = given.assign(pm25=(("time", "station"), np.where(
        np.isfinite(given.pm25), 9.0 + np.delete(scaled, station, axis=0).T, np.nan)))
    of_neighbours = float(Kriging(k=8).predict(elevation, target).pm25[0, 0]) - 9.0  # elevation, kriged as PM2.5 is
    assert differences[11, 0] == pytest.approx(float(scaled[station, 0]) - of_neighbours, abs=1e-5)


def written(cube, path):
    frame = cube.pm25.to_dataframe().reset_index().rename(columns={"station": "station_id"})
    frame.to_parquet(path)
    return ObservationFiles.of(str(path))


@pytest.fixture(scope="module")
def mock():
    return schema.mock_station_cube(hours=24 * 14, stations=50, missing=0.05)


def test_withheld_stations_have_no_part(mock, tmp_path):
    """Other values at withheld stations, or at their duplicates, change their group's fit by no bit."""
    duplicates = NearDuplicates((DuplicatePair("S001", "S005", 0.1),))
    files = written(mock, tmp_path / "one.parquet")
    changed = mock.copy(deep=True)
    changed["pm25"][:, [0, 1, 5]] = 7.0 + 3.0 * np.random.default_rng(0).random((24 * 14, 3))
    groups = [("S000", "S001"), ("S040",)]
    before, after = (fit_regression_kriging(of, PERIOD, groups, duplicates, serial)
                     for of in (files, written(changed, tmp_path / "other.parquet")))
    assert before[0] == after[0] and before[1] != after[1] and before[0] != before[1]
    assert before[0].drift.origin == "47 stations, 2019-01-03 to 2019-01-14"


def test_months_in_any_order_and_groups_together_or_alone(mock, tmp_path):
    files = written(mock.assign_coords(time=mock.time + np.timedelta64(27, "D")), tmp_path / "rows.parquet")
    period = time_axis.parse_period(None, "2019-01-29", "2019-02-09")
    one, other = fit_regression_kriging(files, period, [(), ("S003",)], NO_DUPLICATES, serial)
    turned = fit_regression_kriging(files, period, [("S003",)], NO_DUPLICATES,
                                    lambda function, jobs: reversed([function(job) for job in jobs]))
    assert turned == [other] and other != one != shipped()


def test_few_stations_or_hours_have_the_coefficients_that_ship(mock, tmp_path):
    files = written(mock.isel(station=slice(40)), tmp_path / "few.parquet")
    few, enough = fit_regression_kriging(files, PERIOD, [("S001",), ()], NO_DUPLICATES, serial)
    assert few == shipped() and enough != shipped()
    short = time_axis.parse_period(None, "2019-01-03", "2019-01-10")  # eight days: 38 hours, every fifth
    assert fit_regression_kriging(files, short, [()], NO_DUPLICATES, serial) == [shipped()]


def test_withheld_weeks_are_left_aside():
    period = time_axis.parse_period("2019", None, None)
    days = [part.days() for part in regression._sampled(period, 36, 6)]
    assert len(days) == 12 and {len(of) for of in days} == {3}
    chosen = np.concatenate([np.array(of, "datetime64[D]") for of in days])
    assert not time_axis.withheld_weeks(chosen, 6).any()
    assert time_axis.withheld_weeks(np.array(period.days(), "datetime64[D]"), 6).any()


def test_a_grid_outside_the_covariates_is_told_or_refused():
    lat, lon = np.array([38.0, 38.0]), np.array([115.0, 140.0])  # Hebei; east of Japan
    assert registry.check_covariates("kriging", "g", lat[:1], lon[:1]) == []
    assert registry.check_covariates("kriging", "g", lat, lon)[0].endswith("cover; bounds there do without them")
    assert registry.check_covariates(None, "g", lat[:1], lon[:1]) == []
    assert registry.check_covariates(None, "g", lat, lon)[0].startswith("1 of 2 places of the grid lie outside")
    with pytest.raises(UserError, match="1 of 2 places of the grid g"):
        registry.check_covariates("regression-kriging", "g", lat, lon)
