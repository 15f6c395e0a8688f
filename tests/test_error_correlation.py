"""How errors are correlated: the function, variances of means, and that a fit finds what errors were drawn with."""

import dataclasses
import json
import math

import numpy as np
import pytest

from aqreanalysis import geo
from aqreanalysis.evaluation.map_bias import CARRIED_ON, MapBias, _Model, map_bias
from aqreanalysis.models import error_correlation
from aqreanalysis.models.area_errors import area_blocks, variance_of_steps
from aqreanalysis.models.calibration import Calibration, of_card
from aqreanalysis.models.error_correlation import (
    BIAS_ATTRIBUTE,
    DEFAULT,
    CorrelatedErrors,
    ErrorCorrelation,
    of_attributes,
    of_dict,
    to_attributes,
    variance_of_mean,
)
from aqreanalysis.models.error_fields import ErrorFields
from aqreanalysis.training.calibration import HeldOutDays, apply_bounds
from aqreanalysis.training.error_pairs import errors_of, pair_moments
from tests.test_calibration import lively_calibration

MIXED = ErrorCorrelation.of_plain([[0.2, 0.0, 2.0], [0.5, 50.0, 10.0], [0.3, 20.0, None]])


def test_values_by_hand():
    assert MIXED.of_lag(0.0) == 1.0 and MIXED.own_share == pytest.approx(0.2) and MIXED.lasting_share == 0.3
    assert MIXED.of_lag(5.0) == pytest.approx(0.2 * math.exp(-2.5) + 0.5 * math.exp(-0.5) + 0.3)
    assert MIXED.of_lag([-5.0, 5.0], own=False) == pytest.approx([0.5 * math.exp(-0.5) + 0.3] * 2)
    assert MIXED.of_distance([0.0, 40.0]) == pytest.approx([0.8, 0.5 * math.exp(-0.8) + 0.3 * math.exp(-2.0)])
    assert MIXED.of_pairs(40.0, 5.0) == pytest.approx(0.5 * math.exp(-0.8 - 0.5) + 0.3 * math.exp(-2.0))


@pytest.mark.parametrize("own", [True, False])
def test_variance_of_a_mean_is_the_double_sum(own):
    """Over pairs of hours, with gaps in time and values that are missing; one place is NaN throughout."""
    rng = np.random.default_rng(0)
    hours = np.array([0, 1, 2, 5, 6, 30, 31, 100.0])
    error = rng.uniform(1.0, 5.0, (8, 3))
    error[3, 1], error[:, 2] = np.nan, np.nan
    found = variance_of_mean(MIXED, hours, error, own)
    known = np.where(np.isfinite(error), error, 0.0)
    of_pairs = MIXED.of_lag(hours[:, None] - hours, own)
    for place, count in ((0, 8), (1, 7)):
        assert found[place] == pytest.approx(known[:, place] @ of_pairs @ known[:, place] / count**2)
    assert np.isnan(found[2])


def test_errors_of_means_by_range():
    """Of one step the weights as they are; of many days what lasts alone is left: 20 km, with (0.2, 0.5) gone."""
    assert MIXED.of_mean(np.zeros(1)) == [(20.0, pytest.approx(0.375)), (50.0, pytest.approx(0.625))]
    days = 24.0 * np.arange(4)
    left = 0.5 * np.exp(-np.abs(days[:, None] - days) / 10.0).mean()
    total = 0.3 + left
    assert MIXED.of_mean(days) == [(20.0, pytest.approx(0.3 / total)), (50.0, pytest.approx(left / total))]


def test_drawn_fields_are_correlated_as_they_should_be():
    """Mean products of 40,000 draws at places 0 to 240 km apart; half of the variance is common."""
    lat, lon = np.full(5, 36.0), 115.0 + np.array([0.0, 0.2, 0.5, 1.2, 2.65])
    z = ErrorFields(draws=40_000, seed=1).at(lat, lon, [(40.0, 0.3), (200.0, 0.2), (math.inf, 0.5)]).astype(float)
    km = geo.pairwise_distance_km(lat, lon, lat, lon)
    expected = 0.3 * np.exp(-km / 40.0) + 0.2 * np.exp(-km / 200.0) + 0.5
    np.testing.assert_allclose(z.T @ z / len(z), expected, atol=0.03)
    assert np.abs(z.mean(axis=0)).max() < 1e-6


def test_means_of_errors_that_last_and_of_errors_that_do_not():
    hours = np.arange(400.0)
    lasting = ErrorCorrelation.of_plain([[1.0, 30.0, None]])
    brief = ErrorCorrelation.of_plain([[1.0, 30.0, 1e-3]])
    error = np.full((400, 1), 6.0)
    assert variance_of_mean(lasting, hours, error) == pytest.approx(36.0)
    assert variance_of_mean(brief, hours, error) == pytest.approx(36.0 / 400)


def test_what_all_cells_have_in_common_is_left_of_a_long_mean():
    """One hour is as uncertain as before; of T hours at n places ever further apart the variance goes to share s^2."""
    brief = ErrorCorrelation.of_plain([[0.4, 0.0, 1e-3], [0.6, 30.0, 1e-3]])
    common = brief.with_common(0.25)
    error = np.full((4000, 1), 6.0)
    assert variance_of_mean(common, np.arange(1.0), error[:1]) == pytest.approx(36.0)
    assert variance_of_mean(common, np.arange(4000.0), error) == pytest.approx(36.0 * (0.25 + 0.75 / 4000))
    assert common.of_pairs(20_000.0, 1e9) == pytest.approx(0.25) and common.of_lag(0.0) == pytest.approx(1.0)
    assert brief.with_common(0.0) == brief and common.with_common(0.0).of_lag(0.0) == pytest.approx(1.0)
    assert common.with_common(0.1).common_share == 0.1
    for share in (1.0, -0.1):
        with pytest.raises(ValueError):
            brief.with_common(share)


def test_an_area_of_many_cells_has_what_they_have_in_common():
    """100 cells 1000 km apart, their other errors brief and their own: (share + (1 - share) 0.6 / cells) s^2."""
    common = ErrorCorrelation.of_plain([[0.4, 0.0, 1e-3], [0.6, 1.0, 1e-3]]).with_common(0.25)
    lat, lon = (a.ravel() for a in np.meshgrid(np.arange(-45.0, 46.0, 10.0), np.arange(0.0, 100.0, 10.0)))
    blocks = area_blocks(common, np.arange(100), np.ones(100), lat, lon, np.full(100, 1e-9))
    found = variance_of_steps([blocks], np.full((1, 100), 6.0 / 100))
    assert found[0, 0] == pytest.approx(36.0 * (0.25 + 0.75 * 0.6 / 100))


def bias_rows(cities=40, weeks=10):
    """A day of each week in each city, levels around 50 ug m-3, of the same weight, and a feature of mean 1."""
    rng = np.random.default_rng(1)
    city, week = (a.ravel() for a in np.meshgrid(np.arange(cities), np.arange(weeks)))
    feature = 1.0 + rng.normal(size=cities)
    return rng, city, np.datetime64("2019-01-03") + 7 * week, rng.uniform(30.0, 70.0, len(city)), feature[city, None]


def test_the_bias_of_the_map_is_refused_of_too_few_and_plain_without_features():
    rng, city, day, level, feature = bias_rows()
    error, weight = 0.1 * level + rng.normal(0.0, 2.0, len(level)), rng.uniform(0.5, 2.0, len(level))
    found = map_bias(error, level, weight, feature[:, :0], day, city, city)
    assert found.plain == pytest.approx((weight * error).sum() / (weight * level).sum())
    assert found.estimate == pytest.approx(error.sum() / level.sum(), abs=1e-3), "no city or week has a bias of its own"
    assert 0.0 < found.error < 0.005 and found.spread == pytest.approx(math.hypot(found.estimate, found.error))
    assert map_bias(error, level, weight, feature, day, city % 3, city) is None, "three cities"
    assert map_bias(error, level, weight, feature, day[:1].repeat(len(day)), city, city) is None, "one week"


def test_the_mixed_model_is_generalised_least_squares():
    """With the covariance of all rows written out: estimate, standard error, and the likelihood but for a constant."""
    rng, city, day, level, feature = bias_rows(cities=6, weeks=5)
    relative = rng.normal(0.05, 0.2, len(city))
    week = np.unique(day, return_inverse=True)[1]
    model = _Model(relative, level, feature, [city, week, city // 2])
    losses = []
    for ratios in (np.array([0.3, 0.5, 0.2, 0.1]), np.array([0.0, 2.0, 0.01, 0.4])):
        covariance = np.diag(level.mean() / level) + ratios[0] * feature @ feature.T
        for ratio, of in zip(ratios[1:], (city, week, city // 2), strict=True):
            covariance += ratio * (of[:, None] == of)
        inverse = np.linalg.inv(covariance)
        weight = inverse.sum()
        estimate = (inverse @ relative).sum() / weight
        left = relative - estimate
        noise = left @ inverse @ left / (len(city) - 1)
        found = model.at(ratios)
        assert [found.estimate, found.error, found.noise] == pytest.approx([estimate, math.sqrt(noise / weight), noise])
        losses.append(0.5 * ((len(city) - 1) * math.log(noise) + np.linalg.slogdet(covariance)[1] + math.log(weight)))
    others = [model.at(r).loss for r in (np.array([0.3, 0.5, 0.2, 0.1]), np.array([0.0, 2.0, 0.01, 0.4]))]
    assert others[0] - others[1] == pytest.approx(losses[0] - losses[1])


def test_the_bias_of_the_map_is_carried_on_to_the_land_with_an_honest_error():
    """Networks whose stations have two features one standard deviation from the land's mean, with slopes that
    differ by 0.04, cities by 0.1 and weeks by 0.03: the truth lies as far from the estimate as its error says."""
    rng, city, day, level, _ = bias_rows(cities=30, weeks=6)
    week, z = np.unique(day, return_inverse=True)[1], []
    for _ in range(40):
        feature = 1.0 + rng.normal(size=(30, 2))
        relative = (0.05 + feature[city] @ rng.normal(0.0, 0.04, 2) + rng.normal(0.0, 0.1, 30)[city]
                    + rng.normal(0.0, 0.03, 6)[week] + rng.normal(0.0, 0.15, len(city)))
        found = map_bias(relative * level, level, np.ones(len(level)), feature[city], day, city, city)
        z.append((found.estimate - 0.05) / (found.error / CARRIED_ON))
    assert 0.75 < np.sqrt(np.mean(np.square(z))) < 1.25 and abs(np.mean(z)) < 0.5


def test_the_common_share_is_of_the_bias_over_the_standard_errors():
    """(0.06 level / error)^2, and of its variance the mean with a prior's."""
    calibration, n = lively_calibration(), 60
    rng = np.random.default_rng(2)
    hours = np.full((n, 24), 50.0, np.float32)
    days = HeldOutDays(hours, 0.2 * hours, hours + rng.normal(0.0, 10.0, (n, 24)).astype(np.float32), np.full(n, 20.0),
                       np.datetime64("2019-01-01") + np.arange(n) % 20, np.array(["A", "B", "C"] * (n // 3), object),
                       np.full(n, "whole cities", object), np.zeros(n, int), 36.0 + np.arange(n) % 3 / 4.0,
                       np.full(n, 115.0), np.ones(n))
    error = apply_bounds(calibration.hourly, days)[0]
    found = errors_of(days, calibration, None, 10.0, 0.0, "", np.ones(n), MapBias(0.036, 0.0, 0.048))
    assert found.bias == pytest.approx(0.06)
    assert found.hourly.common_share == pytest.approx((0.06 * 50.0 / error.mean(dtype=float)) ** 2, abs=2e-5)
    mixed = errors_of(days, calibration, DEFAULT, 30.0, 10.0, "", np.ones(n), MapBias(0.036, 0.0, 0.048))
    assert mixed.bias == pytest.approx(math.sqrt(0.75 * 0.06**2 + 0.25 * DEFAULT.bias**2), abs=1e-5)
    kept = errors_of(days, calibration, DEFAULT, 30.0, 10.0, "")
    assert kept.daily.common_share == pytest.approx(DEFAULT.daily.common_share, abs=2e-5) and kept.bias == DEFAULT.bias


def test_plain_numbers_and_attributes_come_back():
    errors = CorrelatedErrors(MIXED, DEFAULT.daily, "where it was measured")
    assert of_dict(json.loads(json.dumps(errors.asdict()))) == errors
    attributes = to_attributes(errors, "hourly")
    assert of_attributes(attributes | {BIAS_ATTRIBUTE: 0.0}, "hourly") == (MIXED, "")
    assert "where it was measured" in attributes["error_correlation_comment"]
    found, lacking = of_attributes({}, "daily")
    assert found == DEFAULT.daily and "how its errors are correlated" in lacking
    older, lacking = of_attributes(attributes, "hourly")
    assert older.common_share == pytest.approx(DEFAULT.hourly.common_share) and "lasting bias" in lacking
    with_bias = CorrelatedErrors(MIXED.with_common(0.2), DEFAULT.daily, "there", 0.07)
    assert of_dict(json.loads(json.dumps(with_bias.asdict()))) == with_bias
    told = to_attributes(with_bias, "hourly")
    assert told[BIAS_ATTRIBUTE] == 0.07 and json.loads(told["error_correlation"])[-1] == [0.2, None, None]
    assert of_attributes(told, "hourly") == (with_bias.hourly, "")
    for wrong in ("[[0.5, 10, 3]]", "no JSON", "[[2, 10, 3], [-1, 10, 3]]", "[[1, 10, 0]]"):
        with pytest.raises(ValueError):
            of_attributes({"error_correlation": wrong}, "hourly")


def test_a_calibration_holds_it_or_not():
    """Without it the plain numbers, and so their hash, are those of versions before it was measured."""
    old = lively_calibration()
    new = dataclasses.replace(old, errors=CorrelatedErrors(MIXED, MIXED, "m"))
    assert "errors" not in old.asdict() and of_card(old.asdict()).errors is None
    back = of_card(json.loads(json.dumps(new.asdict())))
    assert isinstance(back, Calibration) and back.errors == new.errors and back.identity == new.identity
    assert new.identity != old.identity
    with pytest.raises((ValueError, TypeError, KeyError)):
        of_card(new.asdict() | {"errors": {"hourly": [[1.0, 2.0]]}})


# --- the fit


def drawn(correlation: ErrorCorrelation, stations=24, days=120, folds=3, seed=0):
    """z (n, 24) of stations within some 100 km, drawn from a correlation, with a first-order process for each term."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    for fold in range(folds):
        lat, lon = 36.0 + rng.uniform(-0.5, 0.5, stations), 115.0 + rng.uniform(-0.6, 0.6, stations)
        km = geo.pairwise_distance_km(lat, lon, lat, lon)
        z = np.zeros((24 * days, stations))
        for term in correlation.terms:
            in_space = np.exp(-km / term.range_km) if term.range_km else np.eye(stations)
            root, fade = np.linalg.cholesky(in_space), math.exp(-1.0 / term.memory_hours)
            state = rng.normal(size=stations)
            for hour in range(len(z)):
                z[hour] += math.sqrt(term.weight) * (root @ state)
                state = fade * state + math.sqrt(max(1.0 - fade**2, 0.0)) * rng.normal(size=stations)
        values.append(z.reshape(days, 24, stations).transpose(0, 2, 1).reshape(-1, 24))
        names = np.array([f"F{fold}S{number:02}" for number in range(stations)], object)
        rows.append((np.repeat(np.arange(days), stations), np.tile(names, days), np.full(stations * days, fold),
                     np.tile(lat, days), np.tile(lon, days)))
    day, station, fold, lat, lon = (np.concatenate(column) for column in zip(*rows, strict=True))
    z, nothing = np.concatenate(values), np.zeros((len(day), 24))
    return HeldOutDays(nothing, nothing, nothing, nothing[:, 0], day.astype("datetime64[D]"), station,
                       np.full(len(day), "whole cities", object), fold, lat, lon, np.ones(len(day))), z


def test_a_fit_finds_what_errors_were_drawn_with():
    true = ErrorCorrelation.of_plain([[0.2, 0.0, 1.5], [0.6, 35.0, 4.0], [0.2, 80.0, 240.0]])
    days, z = drawn(true)
    found = error_correlation.fit(pair_moments(days, z), "hourly", None, 0.0, 0.0)
    assert found.own_share == pytest.approx(0.2, abs=0.04)
    km, hours = np.array([5.0, 20.0, 50.0, 80.0])[:, None], np.array([0.0, 3.0, 12.0, 72.0])
    np.testing.assert_allclose(found.of_pairs(km, hours), true.of_pairs(km, hours), atol=0.06)
    np.testing.assert_allclose(found.of_lag(hours), true.of_lag(hours), atol=0.06)


def test_pairs_of_different_folds_and_single_stations_have_no_part():
    days, z = drawn(MIXED, stations=4, days=2, folds=2)
    together = pair_moments(days, z)
    assert together.count[0] == 2 * 2 * 4 * 24
    apart = pair_moments(dataclasses.replace(days, fold=np.arange(len(z))), z)
    assert apart.count[(apart.km > 0)].sum() == 0
    alone = dataclasses.replace(days, design=np.full(len(z), "single stations", object))
    assert pair_moments(alone, z).count.sum() == 0


def test_the_prior_gives_way_as_rows_grow():
    days, z = drawn(ErrorCorrelation.of_plain([[1.0, 35.0, 4.0]]), days=30)
    moments = pair_moments(days, z)
    none = dataclasses.replace(moments, count=np.zeros_like(moments.count))
    assert error_correlation.fit(none, "hourly", MIXED, 0.0, 40.0) is MIXED
    with pytest.raises(ValueError):
        error_correlation.fit(none, "hourly", None, 0.0, 40.0)
    few, many = (error_correlation.fit(moments, "hourly", MIXED, rows, 40.0) for rows in (1.0, 4000.0))
    own = [one.own_share for one in (few, many)]
    assert abs(own[0] - MIXED.own_share) < 0.05 and own[1] < 0.05
