"""Statistics of periods: closed forms, numpy and brute force say what they must be; hand-made days say the counts."""

import datetime as dt
import math

import numpy as np
import pytest
from scipy.stats import norm

from aqreanalysis import periods
from aqreanalysis.errors import UserError
from aqreanalysis.models.error_correlation import ErrorCorrelation, ErrorTerm, variance_of_mean
from aqreanalysis.summaries import error_draws, limits, quantiles, statistics
from aqreanalysis.summaries.statistics import SummaryOptions, summary_of_days

ALONE = ErrorCorrelation((ErrorTerm(1.0, 50.0, 1e-3),))          # each day by itself
LASTING = ErrorCorrelation((ErrorTerm(1.0, 50.0, math.inf),))    # a bias
BOTH = ErrorCorrelation((ErrorTerm(0.3, 50.0, math.inf), ErrorTerm(0.5, 50.0, 48.0), ErrorTerm(0.2, 0.0, 12.0)))
HALF = 1.6449


def days_of(pm25, error, lower=None, upper=None, hours=24, flag=0):
    """Days (days, places) as a product has them."""
    pm25 = np.atleast_2d(np.asarray(pm25, np.float32))
    error = np.broadcast_to(np.asarray(error, np.float32), pm25.shape)
    return {"pm25": pm25, "pm25_standard_error": error,
            "pm25_lower": pm25 - HALF * error if lower is None else lower,
            "pm25_upper": pm25 + HALF * error if upper is None else upper,
            "number_of_hours": np.full(pm25.shape, hours, np.int8), "quality_flag": np.full(pm25.shape, flag, np.int8)}


def summary(days, correlation, required=1, **options):
    hours = 24.0 * np.arange(len(days["pm25"]))
    return summary_of_days(days, hours, correlation, SummaryOptions(**options), required)


# --- means -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("correlation, error", [(ALONE, 10 / math.sqrt(25)), (LASTING, 10.0)])
def test_the_error_of_a_mean_of_equal_days(correlation, error):
    found = summary(days_of(np.full((25, 3), 80.0), 10.0), correlation)
    np.testing.assert_allclose(found["pm25"], 80.0, rtol=1e-6)
    np.testing.assert_allclose(found["pm25_standard_error"], error, rtol=1e-6)
    np.testing.assert_allclose(found["pm25_lower"], 80 - HALF * error, rtol=1e-5)
    np.testing.assert_allclose(found["pm25_upper"], 80 + HALF * error, rtol=1e-5)


def test_the_error_of_a_mean_is_the_sum_over_pairs():
    """Against the double sum, with a missing day, of errors that differ."""
    error = np.array([4.0, 8.0, np.nan, 2.0, 16.0])
    pm25 = np.where(np.isfinite(error), 50.0, np.nan)[:, None]
    found = summary(days_of(pm25, error[:, None]), BOTH)
    there = [0, 1, 3, 4]
    total = sum(error[i] * error[j] * (0.3 + 0.5 * math.exp(-abs(i - j) / 2) + 0.2 * math.exp(-abs(i - j) * 2))
                for i in there for j in there)
    assert found["pm25_standard_error"][0] == pytest.approx(math.sqrt(total) / 4, rel=1e-6)
    assert found["number_of_days"][0] == 4 and found["number_of_hours"][0] == 96


def test_bounds_are_those_of_one_day_the_mean_of_lasting_ones_and_symmetric_where_errors_average_out():
    lower, upper = np.full((400, 1), 70.0), np.full((400, 1), 120.0)
    many = days_of(np.full((400, 1), 80.0), 15.0, lower, upper)
    one = {name: array[:1] for name, array in many.items()}
    for days, correlation in ((one, ALONE), (one, BOTH), (many, LASTING)):
        found = summary(days, correlation)
        assert (found["pm25_lower"][0], found["pm25_upper"][0]) == pytest.approx((70.0, 120.0), rel=1e-6)
    found = summary(many, ALONE)
    half = HALF * 15 / 20
    assert (found["pm25_lower"][0], found["pm25_upper"][0]) == pytest.approx((80 - half, 80 + half), rel=1e-3)
    low = summary(days_of([[3.0]], 10.0, np.array([[0.0]]), np.array([[20.0]])), LASTING)
    assert low["pm25_lower"][0] == 0.0


# --- draws -------------------------------------------------------------------------------------------

def test_draws_have_the_correlation_and_come_in_pairs():
    hours = np.array([0.0, 24.0, 48.0, 120.0])  # a gap
    drawn = error_draws.error_draws(BOTH.by_memory(), hours, draws=20_000)
    np.testing.assert_array_equal(drawn, -drawn[:, ::-1])
    expected = BOTH.of_lag(hours[:, None] - hours[None])
    np.testing.assert_allclose(drawn @ drawn.T / drawn.shape[1], expected, atol=0.03)
    np.testing.assert_array_equal(drawn, error_draws.error_draws(BOTH.by_memory(), hours, draws=20_000))


def test_few_draws_have_the_variance_of_a_mean_that_is_known():
    """200 draws, as they are used: within 5 % of the closed form, for a month and for a year."""
    for days in (30, 365):
        hours = 24.0 * np.arange(days)
        drawn = error_draws.error_draws(BOTH.by_memory(), hours)
        error = math.sqrt(variance_of_mean(BOTH, hours, np.ones((days, 1)))[0])
        assert drawn.mean(axis=0).std() == pytest.approx(error, rel=0.05)


def test_exceedances_are_counted():
    rng = np.random.default_rng(0)
    drawn, threshold = rng.normal(size=(300, 8)).astype(np.float32), rng.normal(size=(300, 5)).astype(np.float32)
    threshold[7] = np.inf
    expected = (drawn.T[:, :, None] > threshold[None]).sum(axis=1)
    np.testing.assert_array_equal(error_draws.count_above(drawn, threshold), expected)


# --- counts ------------------------------------------------------------------------------------------

def test_days_above_a_limit_of_errors_that_are_independent_or_last():
    """Closed forms: the number is Poisson-binomial, or all days or none."""
    pm25 = np.full((50, 1), 80.0)
    chance = norm.cdf(0.5)
    alone, lasting = (summary(days_of(pm25, 10.0), of, days_above=(75.0,), draws=2000) for of in (ALONE, LASTING))
    for found in (alone, lasting):
        assert found["days_above_75"][0] == 50
        assert found["days_above_75_expected"][0] == pytest.approx(50 * chance, rel=1e-5)
    assert alone["days_above_75_standard_error"][0] == pytest.approx(math.sqrt(50 * chance * (1 - chance)), rel=0.05)
    assert lasting["days_above_75_standard_error"][0] == pytest.approx(50 * math.sqrt(chance * (1 - chance)), rel=0.01)
    assert (lasting["days_above_75_lower"][0], lasting["days_above_75_upper"][0]) == (0, 50)


def test_the_bounds_of_a_count_agree_with_brute_force():
    """100 000 draws by the Cholesky factor of the whole correlation, of days that differ."""
    rng = np.random.default_rng(1)
    pm25 = rng.gamma(2.0, 30.0, (60, 4)).astype(np.float32)
    error = 5 + 0.2 * pm25
    found = summary(days_of(pm25, error), BOTH, days_above=(75.0,))
    hours = 24.0 * np.arange(60)
    factor = np.linalg.cholesky(BOTH.of_lag(hours[:, None] - hours[None]))
    z = factor @ rng.normal(size=(60, 100_000))
    for place in range(4):
        number = (pm25[:, place, None] + error[:, place, None] * z > 75).sum(axis=0)
        assert found["days_above_75_expected"][place] == pytest.approx(number.mean(), rel=0.01)
        assert found["days_above_75_standard_error"][place] == pytest.approx(number.std(), rel=0.08)
        for name, share in (("lower", 0.05), ("upper", 0.95)):
            assert found[f"days_above_75_{name}"][place] == pytest.approx(np.quantile(number, share), abs=1.01)


def test_days_of_each_class_and_what_is_on_a_limit():
    pm25 = [[35.0], [35.1], [75.0], [115.0], [150.0], [150.5], [250.0], [251.0], [np.nan]]
    found = summary(days_of(pm25, 1e-3), ALONE, required=9, days_above=(15.0, 75.0))
    assert found["aqi_class_days"][:, 0].tolist() == [1, 2, 1, 1, 2, 1]
    np.testing.assert_allclose(found["aqi_class_days_expected"].sum(axis=0), 8.0, rtol=1e-6)
    assert (found["days_above_15"][0], found["days_above_75"][0], found["number_of_days"][0]) == (8, 5, 8)
    assert found["sufficient_days"][0] == 0 and limits.AQI_CLASSES[0] == "excellent"


def test_hours_above_a_limit_are_counted_block_by_block():
    rng = np.random.default_rng(2)
    pm25 = rng.gamma(2.0, 30.0, (400, 3)).astype(np.float32)
    pm25[5, 1] = np.nan
    error, hours = 0.1 * pm25 + 2, np.arange(400.0)
    options = SummaryOptions(hours_above=(75.0,))
    parts = []
    for step in (168, 400):
        counted = statistics.HoursAbove(3, hours, BOTH, options)
        for first in range(0, 400, step):
            counted.add({"pm25": pm25[first:first + step], "pm25_standard_error": error[first:first + step]})
        parts.append(counted.result(bounded=True))
    for name in parts[0]:
        np.testing.assert_allclose(parts[0][name], parts[1][name], rtol=1e-6)
    np.testing.assert_array_equal(parts[0]["hours_above_75"], np.nansum(pm25 > 75, axis=0))
    chance = np.nansum(norm.sf((75 - pm25.astype(float)) / error), axis=0)
    np.testing.assert_allclose(parts[0]["hours_above_75_expected"], chance, rtol=1e-5)


# --- percentiles -------------------------------------------------------------------------------------

def test_percentiles_are_numpys():
    rng = np.random.default_rng(3)
    values = rng.gamma(2.0, 30.0, (37, 300)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 7] = np.nan
    shares = (0.5, 50.0, 98.0, 99.9)
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanpercentile(values.astype(float), shares, axis=0)
    np.testing.assert_allclose(quantiles.percentiles(values, shares), expected, rtol=2e-6)


def test_drawn_percentiles_are_those_of_what_is_drawn():
    rng = np.random.default_rng(4)
    estimate, scale = (rng.gamma(2.0, size, (20, 300)).astype(np.float32) for size in (20.0, 5.0))
    estimate[3, 5] = np.nan
    z = rng.normal(size=(20, 6)).astype(np.float32)
    found = quantiles.drawn_percentiles(estimate, scale, z, (98.0, 10.0))
    truth = np.maximum(estimate + scale * z.T[:, :, None], 0)
    np.testing.assert_allclose(found, np.nanpercentile(truth, (98.0, 10.0), axis=1), rtol=1e-5, atol=1e-5)


def test_the_error_of_a_percentile_of_errors_that_last_is_theirs():
    found = summary(days_of(np.linspace(50, 150, 100)[:, None], 10.0), LASTING, draws=2000)
    assert found["pm25_percentile_98"][0] == pytest.approx(np.percentile(np.linspace(50, 150, 100), 98), rel=1e-6)
    assert found["pm25_percentile_98_standard_error"][0] == pytest.approx(10.0, rel=0.01)
    assert found["pm25_percentile_98_upper"][0] == pytest.approx(found["pm25_percentile_98"][0] + 16.449, rel=0.01)


# --- what is missing, what is asked for ------------------------------------------------------------------

def test_a_place_without_a_day_has_nothing():
    found = summary(days_of([[np.nan, 50.0]], 5.0), BOTH)
    for name in ("pm25", "pm25_standard_error", "pm25_lower", "pm25_percentile_98", "pm25_percentile_98_upper"):
        assert np.isnan(found[name][0]) and np.isfinite(found[name][1]), name
    assert found["number_of_days"].tolist() == [0, 1] and found["days_above_75_expected"][0] == 0


def test_no_calibration_no_bounds():
    days = {name: array for name, array in days_of([[50.0]], 5.0).items() if name[-5:] not in ("lower", "upper")}
    assert not [name for name in summary(days, BOTH, hours_above=(75.0,)) if name.endswith(("lower", "upper"))]


def test_days_that_the_standard_asks_for():
    """GB 3095-2012, table 4: 324 of a year, 27 of a month, 25 of a February."""
    day = np.array(["2019-02-10"], "datetime64[D]")
    required = {every: limits.days_required(periods.periods_of(every, day)[0]) for every in ("month", "season", "year")}
    assert required == {"month": 25, "season": 27 + 27 + 25, "year": 324}
    assert limits.days_required(periods.span(dt.date(2019, 1, 1), dt.date(2019, 1, 31))) == 27
    assert limits.days_required(periods.span(dt.date(2019, 1, 31), dt.date(2019, 1, 31))) == 1


@pytest.mark.parametrize("text", ["35;75", "a", "-1", "35,5000", "", ",".join(map(str, range(1, 40)))])
def test_what_is_no_list_of_limits_is_refused(text):
    with pytest.raises(UserError, match="--days-above"):
        limits.parse_numbers(text, "--days-above", ())


def test_limits_have_names():
    assert limits.parse_numbers("75, 37.5,75", "--days-above", ()) == (37.5, 75.0)
    assert [limits.name_of(number) for number in (75.0, 37.5)] == ["75", "37p5"]
