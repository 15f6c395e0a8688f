"""Calibration against distributions whose quantiles are known, and what its factors keep whatever they are."""

import dataclasses
import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import MIDDLE, lively_calibration, lively_model, long_cube, targets_over

from aqreanalysis import geo, time_axis
from aqreanalysis.fields.static import static_covariates
from aqreanalysis.models import calibration
from aqreanalysis.models.calibration import (
    DISTANCE_KNOTS,
    LEVEL_KNOTS,
    POPULATION_KNOTS,
    SEASON_KNOTS,
    Bounds,
    Calibration,
)
from aqreanalysis.models.sites import Sites

DAYS = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
KNOTS = sum(calibration.KNOTS)


def rows(n=120_000, seed=0):
    """Estimate, distance and day (n,): each spread over more than its knots."""
    rng = np.random.default_rng(seed)
    return rng, rng.uniform(0.0, 260.0, n), rng.uniform(0.0, 120.0, n), rng.choice(DAYS, n)


def lively(seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    return Bounds(LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS, *rng.normal(0.0, spread, (3, KNOTS)), POPULATION_KNOTS)


def fit(estimate, scale, truth, distance, days):
    """Of rows that count as one each, at places of which nobody knows how many people live there."""
    return calibration.fit(estimate, scale, truth, Sites.at_km(distance), days, np.ones(len(estimate)))


def width(estimate, distance, days):
    """A spread that is no function of the scale: over level, distance and season, in logarithms."""
    number = (days - np.datetime64("2019-01-15")).astype(int)
    return (0.4 * np.log1p(estimate / 20.0) + 0.3 * np.log1p(distance / 10.0)
            + 0.25 * np.cos(2 * np.pi * number / 365.25))


# --- fitted factors


@pytest.fixture(scope="module")
def laplace():
    """Rows with errors of a Laplace distribution whose scale the raw scale of 2 knows nothing of; their factors."""
    rng, estimate, distance, days = rows()
    scale = np.full(len(estimate), 2.0)
    truth = estimate + rng.laplace(0.0, scale * np.exp(width(estimate, distance, days)))
    return fit(estimate, scale, truth, distance, days)


def factors(bounds, estimate, distance, days):
    """Lower, upper and error over the scale; far above 0, where no bound is cut."""
    estimate = np.asarray(estimate, np.float32)
    error, lower, upper = bounds.apply(estimate, np.full(estimate.shape, 1e-3, np.float32), Sites.at_km(distance),
                                       np.asarray(days, "datetime64[D]"))
    return (estimate - lower) / 1e-3, (upper - estimate) / 1e-3, error / 1e-3


@pytest.mark.parametrize("estimate, distance, day", [
    (20.0, 8.0, "2019-07-16"), (55.0, 30.0, "2019-07-16"), (115.0, 16.0, "2019-04-15"), (160.0, 55.0, "2019-10-15")])
def test_quantiles_of_a_laplace_distribution(laplace, estimate, distance, day):
    """5 % lie more than b ln 10 on either side; the standard deviation is b sqrt 2."""
    days = np.array([day], "datetime64[D]")
    expected = np.exp(width(np.array([estimate]), np.array([distance]), days))[0]
    lower, upper, error = (float(f[0]) for f in factors(laplace, [estimate], [distance], days))
    assert [lower, upper] == pytest.approx([np.log(10) * expected] * 2, rel=0.12)
    assert error == pytest.approx(np.sqrt(2) * expected, rel=0.12)


def test_a_skewed_error_has_skewed_bounds():
    """Log-normal truth: the bounds are where exp(-1.645 s) and exp(1.645 s) times the estimate are."""
    rng, estimate, distance, days = rows()
    truth = estimate * np.exp(rng.normal(0.0, 0.4, len(estimate)))
    bounds = fit(estimate, estimate, truth, distance, days)
    estimate = np.array([30.0, 60.0, 150.0], np.float32)
    _, lower, upper = bounds.apply(estimate, estimate, Sites.at_km(np.full(3, 20.0)), np.full(3, DAYS[100]))
    np.testing.assert_allclose(lower / estimate, np.exp(-1.6449 * 0.4), rtol=0.03)
    np.testing.assert_allclose(upper / estimate, np.exp(1.6449 * 0.4), rtol=0.03)


@pytest.mark.parametrize("which", ["all", "winter", "summer", "near", "far", "low", "high"])
def test_coverage_of_new_rows_in_every_slice(laplace, which):
    """Nominal within a point on either side, though widths differ eightfold."""
    rng, estimate, distance, days = rows(60_000, seed=1)
    truth = estimate + rng.laplace(0.0, 2.0 * np.exp(width(estimate, distance, days)))
    month = days.astype("datetime64[M]").astype(int) % 12 + 1
    of = {"all": estimate >= 0, "winter": (month < 3) | (month == 12), "summer": (month > 5) & (month < 9),
          "near": distance < 15, "far": distance > 70, "low": estimate < 35, "high": estimate > 150}[which]
    arrays = (*(a.astype(np.float32) for a in (estimate, np.full_like(estimate, 2.0))), Sites.at_km(distance), days)
    error, _, upper = laplace.apply(*arrays)
    _, _, mirrored = dataclasses.replace(laplace, upper=laplace.lower).apply(*arrays)  # the lower bound is cut at 0
    assert (truth > upper)[of].mean() == pytest.approx(0.05, abs=0.01)
    assert (truth < 2 * estimate - mirrored)[of].mean() == pytest.approx(0.05, abs=0.01)
    assert np.sqrt((((truth - estimate) / error)[of] ** 2).mean()) == pytest.approx(1.0, abs=0.05)


def test_the_share_inside_is_that_of_n_plus_one():
    """Of 999 rows 950 lie inside a bound: (999 + 1) * 0.95, up to the digits that are kept."""
    rng, estimate, distance, days = rows(999, seed=2)
    truth = estimate + 500.0 + rng.exponential(30.0, 999)
    bounds = fit(estimate, np.full(999, 10.0), truth, distance, days)
    _, _, upper = bounds.apply(estimate.astype(np.float32), np.full(999, 10.0, np.float32), Sites.at_km(distance),
                               days)
    assert abs(int((truth <= upper).sum()) - 950) <= 1


def test_rows_with_a_gap_take_no_part():
    rng, estimate, distance, days = rows(3000, seed=3)
    truth = estimate + rng.laplace(0.0, 5.0, 3000)
    scale = np.full(3000, 5.0)
    whole = fit(estimate, scale, truth, distance, days)
    gaps = [np.append(estimate, [50.0, np.nan, 50.0]), np.append(scale, [5.0, 5.0, 0.0]),
            np.append(truth, [np.nan, 900.0, 900.0]), np.append(distance, [9.0] * 3), np.append(days, days[:3])]
    assert fit(*gaps) == whole


def test_knots_without_rows_follow_their_neighbours():
    """Ten summer days, low levels, near: elsewhere the factors are theirs, and no number is wild."""
    rng = np.random.default_rng(4)
    n = 20_000
    estimate, distance = rng.uniform(8.0, 40.0, n), rng.uniform(3.0, 9.0, n)
    days = rng.choice(DAYS[190:200], n)
    truth = estimate + rng.laplace(0.0, 3.0, n)
    bounds = fit(estimate, np.full(n, 3.0), truth, distance, days)
    here = factors(bounds, [35.0], [8.0], DAYS[195:196])
    there = factors(bounds, [230.0], [110.0], DAYS[10:11])
    np.testing.assert_allclose(np.ravel(there), np.ravel(here), rtol=0.1)
    np.testing.assert_allclose(np.ravel(here)[:2], np.log(10), rtol=0.05)


def test_nothing_to_fit():
    nothing = np.full(3, np.nan)
    with pytest.raises(ValueError, match="no row"):
        fit(nothing, np.ones(3), np.ones(3), np.ones(3), DAYS[:3])


@pytest.mark.parametrize("people, name", [(10.0, "few"), (11.5, "some"), (13.0, "many"), (8.0, "few"), (15.0, "many")])
def test_quantiles_depend_on_how_many_people_live_there(people, name):
    """Laplace errors of twice the scale where few live: b ln 10 there, and half of it among many; flat beyond."""
    rng, estimate, distance, days = rows()
    population = rng.uniform(8.0, 15.0, len(estimate))
    wide = np.exp(np.log(2.0) * np.interp(population, POPULATION_KNOTS, (1.0, 0.5, 0.0)))
    truth = estimate + rng.laplace(0.0, 2.0 * wide)
    made = calibration.fit(estimate, np.full(len(estimate), 2.0), truth, Sites(distance, population), days,
                           np.ones(len(estimate)))
    error, _, upper = made.apply(np.float32([100.0]), np.float32([1.0]), Sites(np.array([30.0]), np.array([people])),
                                 DAYS[100:101])
    expected = {"few": 2.0, "some": np.sqrt(2.0), "many": 1.0}[name]
    assert [upper[0] - 100.0, error[0]] == pytest.approx([np.log(10) * expected, np.sqrt(2) * expected], rel=0.06)


def test_a_weight_is_a_number_of_rows():
    rng, estimate, distance, days = rows(3000, seed=7)
    truth, times = estimate + rng.laplace(0.0, 5.0, 3000), rng.integers(0, 4, 3000)
    arrays = (estimate, np.full(3000, 5.0), truth, Sites(distance, rng.uniform(8, 15, 3000)), days)
    weighted = calibration.fit(*arrays, times)
    repeated = calibration.fit(*(array[np.repeat(np.arange(3000), times)] for array in arrays), np.ones(times.sum()))
    for name in ("lower", "upper", "error"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=2e-4)


# --- factors applied


def test_factors_by_hand():
    """At knots: the product of the three factors; half way between two of level, their geometric mean."""
    log = np.log
    level, distance, season = [log(2.0), log(8.0)], [log(1.0), log(3.0)], [log(1.0), log(5.0)]
    curve = (*level, *distance, *season)
    bounds = Bounds((10.0, 20.0), (5.0, 15.0), (15.0, 196.0), curve, [2 * c for c in curve], [-c for c in curve])
    day = np.datetime64("2019-07-15")                   # its noon is day 195.5, half a day before the knot
    in_season = np.exp(log(5.0) * (1 - 0.5 / (196 - 15)))
    estimate = np.array([10.0, 20.0, 15.0], np.float32)
    error, lower, upper = bounds.apply(estimate, np.float32([1e-3] * 3), Sites.at_km(np.full(3, 15.0)), np.full(3, day))
    expected = np.array([2.0, 8.0, 4.0]) * 3.0 * in_season
    np.testing.assert_allclose((estimate - lower) / 1e-3, expected, rtol=5e-3)
    np.testing.assert_allclose(error / 1e-3, 1 / expected, rtol=1e-5)


def test_where_people_are_not_counted_it_is_the_mean_of_the_knots():
    """And factors of a time when they were not counted anywhere do not depend on them."""
    curve = (*(0.0,) * 5, 0.3, 0.6, 1.8)
    bounds = Bounds((10.0, 20.0), (5.0,), (15.0, 196.0), curve, curve, curve, (10.0, 11.0, 13.0))
    before = Bounds((10.0, 20.0), (5.0,), (15.0, 196.0), *[curve[:5]] * 3)
    sites = Sites(np.full(4, 5.0), np.array([np.nan, 10.0, 12.0, 99.0]))
    one = np.ones(4, np.float32)
    np.testing.assert_allclose(bounds.apply(one, one, sites, DAYS[:1])[0], np.exp([0.9, 0.3, 1.2, 1.8]), rtol=1e-6)
    np.testing.assert_array_equal(before.apply(one, one, sites, DAYS[:1])[0], 1.0)


def test_flat_beyond_the_end_knots():
    bounds = lively()
    day = DAYS[50:51]
    ends = [np.ravel(factors(bounds, [LEVEL_KNOTS[-1]], [DISTANCE_KNOTS[-1]], day)),
            np.ravel(factors(bounds, [LEVEL_KNOTS[0]], [DISTANCE_KNOTS[0]], day))]
    np.testing.assert_allclose(np.ravel(factors(bounds, [1800.0], [900.0], day)), ends[0], rtol=0.2)
    error = [bounds.apply(np.float32([e]), np.float32([1.0]), Sites.at_km([d]), day)[0].item()
             for e, d in ((1800.0, 900.0), (LEVEL_KNOTS[-1], DISTANCE_KNOTS[-1]), (0.0, 0.0),
                          (LEVEL_KNOTS[0], DISTANCE_KNOTS[0]))]
    assert error[0] == error[1] and error[2] == error[3]


def test_the_year_has_no_seam():
    bounds = lively(spread=1.0)
    place, one = Sites.at_km([20.0]), np.float32([1.0])
    errors = [bounds.apply(50.0 * one, one, place, np.array([day], "datetime64[D]"))[0]
              for day in ("2019-12-30", "2019-12-31", "2020-01-01", "2020-01-02")]
    steps = np.abs(np.diff(np.log(np.ravel(errors))))
    assert steps.max() < 0.03 and steps.min() > 0  # 1.5 of a logarithm over 92 days at most


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_order_and_gaps(seed):
    """0 <= lower <= estimate <= upper, finite wherever the estimate is, and nowhere else."""
    rng = np.random.default_rng(seed)
    estimate = rng.gamma(0.7, 60.0, (24, 50)).astype(np.float32)
    estimate[rng.random(estimate.shape) < 0.1] = np.nan
    scale = rng.gamma(1.0, 20.0, estimate.shape).astype(np.float32)
    population = np.where(rng.random(50) < 0.2, np.nan, rng.uniform(0.0, 20.0, 50))
    sites = Sites(rng.uniform(0, 500, 50), population)
    error, lower, upper = lively(seed, 1.0).apply(estimate, scale, sites, np.full((24, 1), DAYS[7]))
    seen = np.isfinite(estimate)
    for array in (error, lower, upper):
        assert array.dtype == np.float32 and (np.isfinite(array) == seen).all()
    assert (lower[seen] >= 0).all() and (error[seen] > 0).all()
    assert (lower[seen] <= estimate[seen]).all() and (estimate[seen] <= upper[seen]).all()


@pytest.mark.parametrize("cut", [1, 7, 64, 300])
@pytest.mark.parametrize("order", ["C", "F"])
def test_how_arrays_are_cut_changes_no_bit(cut, order):
    rng = np.random.default_rng(5)
    estimate = np.asarray(rng.gamma(2.0, 30.0, (48, 333)), np.float32, order=order)
    scale = (0.2 * estimate + 1).astype(np.float32)
    sites = Sites(rng.uniform(0, 150, 333).astype(np.float32), rng.uniform(8, 15, 333).astype(np.float32))
    days = np.repeat(DAYS[100:102], 24)[:, None]
    whole = np.stack(lively().apply(estimate, scale, sites, days))
    places = [np.stack(lively().apply(estimate[:, i:i + cut], scale[:, i:i + cut], sites[i:i + cut], days))
              for i in range(0, 333, cut)]
    assert np.concatenate(places, axis=2).tobytes() == whole.tobytes()
    hours = [np.stack(lively().apply(estimate[i:i + cut], scale[i:i + cut], sites, days[i:i + cut]))
             for i in range(0, 48, cut)]
    assert np.concatenate(hours, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("changed, told", [
    ({"lower": (1.0, 2.0)}, "lower has 2 numbers"),
    ({"upper": (np.nan,) * KNOTS}, "finite"),
    ({"level": (10.0, 10.0, *LEVEL_KNOTS[2:])}, "level do not ascend"),
    ({"distance": ()}, "numbers for"),
    ({"population": (13.0, 10.0, 11.0)}, "population do not ascend"),
])
def test_factors_that_can_not_be(changed, told):
    content = {name: getattr(lively(), name) for name in Bounds.__dataclass_fields__} | changed
    with pytest.raises(ValueError, match=told):
        Bounds(**content)


# --- the correlation of errors


def test_correlation_of_a_lasting_part_and_noise():
    """z = u + e, u the same all day: var u / (var u + var e) at every lag."""
    rng = np.random.default_rng(6)
    z = 1.5 * rng.normal(size=(4000, 1)) + rng.normal(size=(4000, 24))
    found = calibration.correlation_by_lag(z)
    np.testing.assert_allclose(found[1:], 2.25 / 3.25, atol=0.02)
    assert found[0] == 1.0


def test_correlation_by_hand_with_gaps():
    """Alternating signs: -1 at odd lags and 1 at even ones, whichever hours are missing."""
    z = np.tile([2.0, -2.0], 12)[None].repeat(3, axis=0)
    z[0, 3] = z[1, 10:15] = np.nan
    np.testing.assert_allclose(calibration.correlation_by_lag(z), np.tile([1.0, -1.0], 12))


def test_correlation_where_hours_never_meet():
    z = np.full((5, 24), np.nan)
    z[:, :12] = 1.0
    z[:, 11] = 0.0
    found = calibration.correlation_by_lag(z)
    assert (np.abs(found) <= 1).all() and (found[12:] == found[11]).all()


@pytest.mark.parametrize("correlation", [(1.0,) * 23, (0.9,) * 24, (1.0, 1.2, *(0.0,) * 22)])
def test_a_correlation_that_is_none(correlation):
    with pytest.raises(ValueError, match="correlation"):
        Calibration(lively(), lively(1), correlation)


# --- in a checkpoint's description


def test_round_trip_through_json():
    made = Calibration(lively(), lively(1), np.linspace(1.0, 0.2, 24), {"stations": 3})
    again = calibration.of_card(json.loads(json.dumps(made.asdict())))
    assert again == made and again.facts == {"stations": 3}
    assert calibration.of_card({}) is None


def test_factors_of_a_time_before_people_were_counted_keep_their_identity():
    """A product that was begun with them goes on: the same numbers have the same name."""
    flat = Bounds(LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS, *np.zeros((3, sum(calibration.KNOTS[:3]))))
    assert set(Calibration(flat, flat, np.ones(24)).asdict()["hourly"]) == {
        "level", "distance", "season", "lower", "upper", "error"}
    assert flat.follow.endswith("station and season") and lively().follow.endswith("how many people live round a place")


# --- in the model


@pytest.mark.usefixtures("one_thread")
def test_the_network_with_a_calibration_gives_bounds():
    """The estimate stays as it is to the last bit; the rest is what the factors make of it, point by point."""
    cube = long_cube()
    model, hours = lively_model(cube), time_axis.hours_of_days(MIDDLE, MIDDLE + dt.timedelta(days=2))
    raw, made = model.predict(cube, targets_over(hours)), lively_calibration()
    found = dataclasses.replace(model, calibration=made).predict(cube, targets_over(hours))
    assert set(raw.data_vars) == {"pm25", "pm25_standard_error"}
    assert set(found.data_vars) == {*raw.data_vars, "pm25_lower", "pm25_upper"}
    np.testing.assert_array_equal(found.pm25, raw.pm25)
    _, distance = geo.nearest(cube.lat.values, cube.lon.values, raw.lat.values, raw.lon.values, 1)
    people = np.log1p(static_covariates(raw.lat.values, raw.lon.values).population_5km.values)
    assert np.ptp(people) > 3
    expected = made.hourly.apply(raw.pm25.values, raw.pm25_standard_error.values, Sites(distance[:, 0], people),
                                 time_axis.local_days(hours)[:, None])
    for name, array in zip(("pm25_standard_error", "pm25_lower", "pm25_upper"), expected, strict=True):
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
    silent = cube.assign(pm25=cube.pm25.where(~cube.time.isin(hours)))
    gone = dataclasses.replace(model, calibration=made).predict(silent, targets_over(hours))
    assert np.isnan(gone.pm25).any()
    for name in found.data_vars:
        np.testing.assert_array_equal(np.isnan(gone[name]), np.isnan(gone.pm25))
