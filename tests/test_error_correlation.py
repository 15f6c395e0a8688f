"""How errors are correlated: the function, variances of means, and that a fit finds what errors were drawn with."""

import dataclasses
import json
import math

import numpy as np
import pytest

from aqreanalysis import geo
from aqreanalysis.models import error_correlation
from aqreanalysis.models.calibration import Calibration, of_card
from aqreanalysis.models.error_correlation import (
    DEFAULT,
    CorrelatedErrors,
    ErrorCorrelation,
    of_attributes,
    of_dict,
    to_attributes,
    variance_of_mean,
)
from aqreanalysis.training.calibration import HeldOutDays
from aqreanalysis.training.error_pairs import pair_moments
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


def test_means_of_errors_that_last_and_of_errors_that_do_not():
    hours = np.arange(400.0)
    lasting = ErrorCorrelation.of_plain([[1.0, 30.0, None]])
    brief = ErrorCorrelation.of_plain([[1.0, 30.0, 1e-3]])
    error = np.full((400, 1), 6.0)
    assert variance_of_mean(lasting, hours, error) == pytest.approx(36.0)
    assert variance_of_mean(brief, hours, error) == pytest.approx(36.0 / 400)


def test_plain_numbers_and_attributes_come_back():
    errors = CorrelatedErrors(MIXED, DEFAULT.daily, "where it was measured")
    assert of_dict(json.loads(json.dumps(errors.asdict()))) == errors
    attributes = to_attributes(errors, "hourly")
    assert of_attributes(attributes, "hourly") == (MIXED, True)
    assert "where it was measured" in attributes["error_correlation_comment"]
    assert of_attributes({}, "daily") == (DEFAULT.daily, False)
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
                       np.full(len(day), "whole cities", object), fold, lat, lon), z


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
