"""A product's own validation: which days and stations, what is hidden, how it is scored, what is written."""

import dataclasses
import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from models_fixtures import lively_calibration

from aqreanalysis.evaluation.holdout import MAP_MATCHED, SINGLE_STATIONS, WHOLE_CITIES, Fold
from aqreanalysis.product.validation import fit, sample, scores, words
from aqreanalysis.product.validation.fit import CITIES, WEEKS
from aqreanalysis.product.validation.hidden import HiddenDays
from aqreanalysis.time_axis import Period

DAY = np.array("2019-01-01", "datetime64[D]")


# --- which days and stations


@pytest.mark.parametrize("days, wanted", [(1, 1), (7, 7), (8, 8), (31, 10), (365, 25), (3650, 110)])
def test_days_are_spread_over_the_period_a_step_apart_that_is_coprime_to_the_week(days, wanted):
    period = Period(dt.date(2013, 1, 1), dt.date(2013, 1, 1) + dt.timedelta(days=days - 1))
    found = np.array(sample.sampled_days(period), "datetime64[D]")
    assert len(found) == pytest.approx(wanted, abs=2) and found[0] >= np.datetime64(period.first)
    steps = np.diff(found).astype(int)
    if len(steps):
        assert len(set(steps)) == 1 and math.gcd(int(steps[0]), 7) == 1
        assert np.datetime64(period.last) - found[-1] < 2 * steps[0], "to the end of the period"


def folds(design, count, size):
    return [Fold(tuple(f"{design}{number}-{i}" for i in range(size)), {design: tuple(
        f"{design}{number}-{i}" for i in range(size))}) for number in range(count)]


def test_a_small_network_is_hidden_whole_and_a_large_one_in_turn():
    days = sample.sampled_days(Period(dt.date(2019, 1, 1), dt.date(2019, 12, 31)))
    large = sample.parts_of(days, folds(SINGLE_STATIONS, 13, 64) + folds(WHOLE_CITIES, 10, 80))
    assert [day for part in large for day in part.days] == days
    assert all([len(fold.scored) for fold in part.folds] == [1, 1] for part in large)
    assert len({part.folds[0].removed for part in large}) == min(13, len(large)), "no fold twice before all were"
    small = sample.parts_of(days[:7], folds(SINGLE_STATIONS, 5, 2))
    assert all(len(set(fold.removed for fold in part.folds)) == 5 for part in small)


# --- rows


def hidden(stations=30, days=10, seed=0, lasting=0.5, scale=2.0, error=6.0, designs=(SINGLE_STATIONS,)):
    """Station-days whose error is normal, of `error`, in part the same all day; the raw scale says `scale`."""
    rng = np.random.default_rng(seed)
    names = [(f"S{s:03}", s, DAY + d, design) for design in designs for d in range(days) for s in range(stations)]
    station, city, day, design = (np.array(column, object) for column in zip(*names, strict=True))
    n = len(names)
    estimate = np.repeat(rng.uniform(60.0, 200.0, (n, 1)), 24, axis=1).astype(np.float32)
    z = math.sqrt(lasting) * rng.normal(size=(n, 1)) + math.sqrt(1 - lasting) * rng.normal(size=(n, 24))
    truth = (estimate + error * z).astype(np.float32)
    return HiddenDays(estimate, np.full((n, 24), scale, np.float32), truth, np.full(n, 20.0, np.float32),
                      day.astype("datetime64[D]"), station, design, city.astype(int) * 0,
                      35.0 + 0.01 * city.astype(float), np.full(n, 115.0),
                      np.ones(n, np.float32), (estimate - 0.2 * error * z).astype(np.float32), (city // 3).astype(int))


@pytest.mark.parametrize("stations, days", [(1, 1), (1, 40), (30, 1), (30, 10)])
def test_independent_station_days_by_the_formula(stations, days):
    """Three stations a city; two designs with the same station-days count once."""
    rows = hidden(stations, days, designs=(SINGLE_STATIONS, WHOLE_CITIES))
    in_city = min(stations, 3)
    expected = stations * days / (1 + (days - 1) * fit.OF_STATION + (in_city - 1) * fit.OF_CITY_DAY)
    assert fit.independent_number(rows) == pytest.approx(expected)
    weight = fit.row_weights(rows)
    assert weight.sum() == pytest.approx(expected)
    assert weight[rows.design == WHOLE_CITIES].sum() == pytest.approx(expected / 2)


def test_each_row_is_left_out_once_with_its_city_and_once_with_its_week():
    rows = hidden(30, 30)
    masks = fit.cross_fits(rows)
    for kind, group in ((CITIES, rows.city), (WEEKS, (rows.day.astype(int)) // 7)):
        mine = np.stack([mask for (name, _), mask in masks.items() if name == kind])
        assert (mine.sum(axis=0) == 1).all() and len(mine) == 5
        for one in mine:
            assert not set(group[one]) & set(group[~one])


def test_factors_of_many_are_their_own_and_of_few_the_priors():
    prior = lively_calibration()
    many, few = hidden(300, 20), hidden(9, 3)
    made = fit.fitted(many, fit.fit_product(many, prior, 8.0))
    np.testing.assert_allclose(np.median(made.hours[0]), 6.0, rtol=0.06)
    np.testing.assert_allclose(np.median(made.hours[2] - many.estimate), 1.6449 * 6.0, rtol=0.07)
    day = 6.0 * math.sqrt(0.5 + 0.5 / 24)
    np.testing.assert_allclose(np.median(made.days[0]), day, rtol=0.08)
    share = fit.independent_number(few) / (fit.independent_number(few) + fit.PRIOR_WORTH)
    assert share < 0.35
    own, before = (np.log(np.median(fit.fitted(few, one).hours[0])) for one in (
        fit.fit_product(few, prior, 8.0), prior))
    assert own == pytest.approx((1 - share) * before + share * np.log(6.0), abs=0.1)


def test_without_a_prior_they_are_a_factor_of_the_rows():
    rows = hidden(60, 10)
    made = fit.fitted(rows, fit.fit_product(rows, None, 8.0))
    np.testing.assert_allclose(np.median(made.hours[0]), 6.0, rtol=0.1)
    inside = (rows.truth >= made.hours[1]) & (rows.truth <= made.hours[2])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("stations, days, enough", [(8, 3, True), (7, 30, False), (50, 2, False)])
def test_too_few(stations, days, enough):
    assert fit.is_enough(hidden(stations, days)) == enough


# --- scores


def test_scores_by_hand():
    """Four hours at two stations, weighted 1 and 3."""
    nothing = np.zeros(4)
    bounds = np.array([[2.0] * 4, [8.0, 18.0, 28.0, 41.0], [12.0, 22.0, 29.0, 44.0]])
    pairs = scores.Pairs("hourly", np.array([10.0, 20.0, 30.0, 40.0]), np.array([11.0, 19.0, 33.0, 42.0]),
                         np.array([12.0, 22.0, 34.0, 36.0]), {CITIES: bounds}, np.array([1.0, 1.0, 3.0, 3.0]), nothing,
                         np.repeat(DAY, 4), np.arange(4), np.array(list("aabb"), object), np.array([0, 0, 1, 1]),
                         np.full(4, SINGLE_STATIONS, object), {})
    found = scores.scores(pairs)
    assert (found["n"], found["stations"], found["days"]) == (4, 2, 1)
    assert found["MAE"] == pytest.approx((1 + 1 + 9 + 6) / 8)
    assert found["MAE_kriging"] == pytest.approx((2 + 2 + 12 + 12) / 8)
    assert found["RMSE"] == pytest.approx(math.sqrt((1 + 1 + 27 + 12) / 8))
    assert found["NMB_percent"] == pytest.approx(100 * (1 - 1 + 9 + 6) / (10 + 20 + 90 + 120))
    assert found["skill_percent"] == pytest.approx(100 * (1 - 17 / 28))
    assert [found[name] for name in ("coverage_90", "below_90", "above_90")] == pytest.approx([2 / 8, 3 / 8, 3 / 8])
    assert found["width_90"] == pytest.approx((4 + 4 + 3 + 9) / 8)
    assert found["z_rms"] == pytest.approx(math.sqrt((1 + 1 + 27 + 12) / 4 / 8))
    assert math.isnan(found["coverage_90_other_weeks"])


def table_of(rows):
    masks, crossed = fit.cross_fits(rows), {}
    for (kind, _), mask in masks.items():
        made = fit.fit_product(rows[~mask], None, 8.0)
        crossed.setdefault(kind, fit.Fitted.unknown(len(rows.day))).fill(mask, fit.fitted(rows[mask], made))
    names = np.unique(rows.station.astype(str))
    kinds = {"sparse": names[:15], "urban": names[15:]}
    return scores.score_table(scores.pairs_of(rows, crossed, kinds))


def test_the_table_has_every_stratum_and_coverage_where_factors_were_not_fitted():
    rows = hidden(60, 40, designs=(SINGLE_STATIONS, MAP_MATCHED))
    table = table_of(rows).set_index(list(scores.KEYS))
    for frequency in ("hourly", "daily"):
        whole = table.loc[(scores.ALL, frequency, "all", "all")]
        assert whole.coverage_90 == pytest.approx(0.9, abs=0.015) and whole.z_rms == pytest.approx(1.0, abs=0.06)
        assert whole.coverage_90_other_weeks == pytest.approx(0.9, abs=0.015)
        assert whole.skill_percent == pytest.approx(100 * (1 - 1 / 1.2), abs=1e-3)
        assert whole.skill_low == pytest.approx(whole.skill_high, abs=0.01)
    assert set(table.index.get_level_values("by")) == {
        "all", "season", "estimated level", "distance", "place", "hour"}
    assert set(table.index.get_level_values("design")) == {
        scores.ALL, SINGLE_STATIONS, MAP_MATCHED, "distance-matched"}
    hours = table.xs(("hourly", "hour"), level=("frequency", "by")).loc[scores.ALL]
    assert len(hours) == 24 and hours.n.sum() == rows.truth.size


def test_weights_of_the_map_matched_design_count_there_alone():
    rows = hidden(30, 10, designs=(SINGLE_STATIONS, MAP_MATCHED))
    weight = np.where(rows.design == MAP_MATCHED, np.where(rows.city == 0, 5.0, 0.5), 1.0).astype(np.float32)
    table = table_of(dataclasses.replace(rows, weight=weight))
    whole = table[(table.by == "all") & (table.frequency == "hourly")].set_index("design")
    mine = rows[rows.design == MAP_MATCHED]
    miss = np.abs(mine.estimate - mine.truth).mean(axis=1)
    at = weight[rows.design == MAP_MATCHED]
    assert whole.MAE[MAP_MATCHED] == pytest.approx((miss * at).sum() / at.sum(), rel=1e-4)
    assert whole.MAE["distance-matched"] == pytest.approx(miss.mean(), rel=1e-4)


# --- words


FACTS = {"fitted": True, "simulated": False, "stations": 30, "days": 10, "first": "2019-01-01", "last": "2019-01-10",
         "designs": [SINGLE_STATIONS], "station_days": 300, "independent": 120.4, "prior_worth": 60.0, "prior": "Old.",
         "notes": []}


def test_what_is_said_of_fitted_factors_and_of_too_few():
    line = words.headline(table_of(hidden(30, 10)), FACTS)
    assert line.startswith("30 stations hidden on 10 days") and "hours and" in line and "120 independent" in line
    assert "300 station-days, worth 120" in words.calibrated_on(FACTS) and "(Old)" in words.calibrated_on(FACTS)
    few = FACTS | {"fitted": False, "stations": 5}
    assert "too few" in words.calibrated_on(few) and "neither wider nor narrower" in words.calibrated_on(few)
    nothing = words.headline(pd.DataFrame(columns=list(scores.KEYS)), few | {"prior": ""})
    assert nothing.startswith("not validated") and "no bounds" in nothing
