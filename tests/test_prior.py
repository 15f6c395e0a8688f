"""Factors of errors with a prior: what they are with no row, with many, and in between; when they may be narrower."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.models import calibration
from aqreanalysis.models.calibration import (
    DISTANCE_KNOTS,
    KNOTS,
    LEVEL_KNOTS,
    POPULATION_KNOTS,
    SEASON_KNOTS,
    Bounds,
    Prior,
)
from aqreanalysis.models.sites import Sites

DAYS = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")


def flat(lower, upper, error):
    """Factors that change with nothing."""
    of_level = np.arange(sum(KNOTS)) < KNOTS[0]
    curves = [tuple(np.where(of_level, np.log(factor), 0.0)) for factor in (lower, upper, error)]
    return Bounds(LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS, *curves, POPULATION_KNOTS)


def rows(n, seed=0, spread=5.0):
    """Estimate, scale, truth, site and day: normal errors of `spread` times the scale of 1."""
    rng = np.random.default_rng(seed)
    estimate = rng.uniform(60.0, 200.0, n)
    truth, sites = estimate + spread * rng.normal(size=n), Sites(rng.uniform(0.0, 100.0, n), rng.uniform(8.0, 15.0, n))
    return estimate, np.ones(n), truth, sites, rng.choice(DAYS, n)


def factors(bounds, estimate=120.0):
    """Lower, upper, error at a place, in July."""
    at = np.float32([estimate])
    error, lower, upper = bounds.apply(at, np.float32([1e-3]), Sites.at_km([30.0]), np.array([DAYS[196]]))
    return np.array([(at - lower)[0], (upper - at)[0], error[0]]) / 1e-3


OWN = np.array([1.6449 * 5.0, 1.6449 * 5.0, 5.0])
BEFORE = flat(2.0, 3.0, 1.5)


def test_without_a_row_they_are_the_priors():
    assert calibration.fit_to_prior(Prior(BEFORE, 40.0), *rows(10), np.zeros(10)) == BEFORE
    nothing = (*rows(10)[:2], np.full(10, np.nan), *rows(10)[3:])
    assert calibration.fit_to_prior(Prior(BEFORE, 40.0), *nothing, np.ones(10)) == BEFORE
    with pytest.raises(ValueError, match="no prior"):
        calibration.fit_to_prior(Prior(), *nothing, np.ones(10))


def test_of_very_many_rows_they_are_their_own_quantiles():
    made = calibration.fit_to_prior(Prior(BEFORE, 40.0), *rows(40_000), np.ones(40_000))
    np.testing.assert_allclose(factors(made), OWN, rtol=0.08)
    estimate, scale, truth, sites, day = rows(40_000, seed=1)
    _, lower, upper = made.apply(estimate, scale, sites, day)
    assert [(truth < lower).mean(), (truth > upper).mean()] == pytest.approx([0.05, 0.05], abs=0.005)


@pytest.mark.parametrize("worth", [100.0, 300.0, 900.0])
def test_in_between_they_are_the_weighted_mean_of_the_logarithms(worth):
    """300 independent rows: the prior's and the own, as worth to 300."""
    made = calibration.fit_to_prior(Prior(BEFORE, worth), *rows(30_000), np.full(30_000, 0.01))
    share = 300.0 / (300.0 + worth)
    expected = np.exp((1 - share) * np.log([2.0, 3.0, 1.5]) + share * np.log(OWN))
    np.testing.assert_allclose(factors(made), expected, rtol=0.08)


def test_the_conformal_shift_is_that_of_n_plus_one():
    """Of 39 rows (39 + 1) 0.95 = 38 lie inside the upper bound, whatever their weights are divided into."""
    estimate, scale, _, sites, day = rows(39)
    truth = estimate + np.arange(1.0, 40.0)
    for copies in (1, 5):
        many = [a[np.repeat(np.arange(39), copies)] for a in (estimate, scale, truth, sites, day)]
        made = calibration.fit_to_prior(Prior(), *many, np.full(39 * copies, 1 / copies))
        _, _, upper = made.apply(estimate, scale, sites, day)
        assert (truth > upper + 1e-2).sum() == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 18), st.floats(0.01, 3.0), st.integers(0, 1000))
def test_few_rows_never_narrow_the_bounds(n, spread, seed):
    """Fewer than 19 cannot show that 5 % lie above."""
    made = calibration.fit_to_prior(Prior(BEFORE, 40.0), *rows(n, seed, spread), np.ones(n))
    mean = np.arange(sum(KNOTS)) < KNOTS[0]
    estimate, scale, _, sites, day = rows(n, seed, spread)
    basis = calibration._rows(estimate, scale, estimate, sites, day)[0]
    for name in ("lower", "upper"):
        difference = basis @ (np.array(getattr(made, name)) - getattr(BEFORE, name))
        assert difference.mean() >= -1e-4, name
    assert mean.sum() == KNOTS[0]


def test_few_rows_widen_them():
    made = calibration.fit_to_prior(Prior(BEFORE, 40.0), *rows(15, spread=50.0), np.ones(15))
    assert (factors(made)[:2] > 1.2 * np.array([2.0, 3.0])).all()


def test_a_prior_with_other_knots_is_read_at_ours():
    coarse = Bounds((10.0, 230.0), (3.0, 90.0), SEASON_KNOTS, *[(0.1, 2.3, 0.0, 0.87, *(0.0,) * 4)] * 3)
    lower, _, _ = Prior(coarse).curves()
    np.testing.assert_allclose(lower[:KNOTS[0]], np.array(LEVEL_KNOTS) / 100.0)
    np.testing.assert_allclose(lower[KNOTS[0]:KNOTS[0] + KNOTS[1]], (np.array(DISTANCE_KNOTS) - 3.0) / 100.0)
    np.testing.assert_array_equal(lower[-KNOTS[3]:], 0.0)  # it was made before people were counted


def test_where_rows_are_missing_the_curve_follows_its_neighbours():
    """Rows of winter alone move summer as much."""
    estimate, scale, truth, sites, _ = rows(20_000)
    made = calibration.fit_to_prior(Prior(BEFORE, 40.0), estimate, scale, truth, sites, np.full(20_000, DAYS[14]),
                                    np.ones(20_000))
    np.testing.assert_allclose(factors(made), OWN, rtol=0.08)
