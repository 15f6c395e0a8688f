"""Scores of forecasts against their formulas, sums that add, and the paper's tables as printed."""

import numpy as np
import pytest

from aqreanalysis.evaluation import published
from aqreanalysis.evaluation.forecast import LEAD_SUMS, lead_scores, lead_sums, skill_interval, weeks_in_season
from aqreanalysis.evaluation.statistics import SUMS, add
from aqreanalysis.evaluation.strata import SEASONS

HOURS = np.datetime64("2016-01-01T00", "h") + np.arange(0, 24 * 366, 5) * np.timedelta64(1, "h")


@pytest.fixture
def sample():
    """Forecasts and truth (origins, points, leads) with gaps, and hours of issue of a year."""
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 30.0, (len(HOURS), 3, 4)).astype(np.float32)
    found = truth + rng.normal(3.0, 10.0, truth.shape).astype(np.float32)
    truth[rng.random(truth.shape) < 0.2] = np.nan
    return found, truth, HOURS


@pytest.mark.parametrize("how", ["at", "up to"])
def test_scores_are_the_formulas_over_observed_hours(sample, how):
    found, truth, hours = sample
    table = lead_scores(lead_sums(found, truth, hours), (2, 4)).set_index(["how", "lead"])
    for lead in (2, 4):
        leads = slice(lead - 1, lead) if how == "at" else slice(0, lead)
        good = np.isfinite(truth[..., leads])
        y, p = truth[..., leads][good].astype(float), found[..., leads][good].astype(float)
        row = table.loc[(how, lead)]
        assert row.n == good.sum()
        assert row.MAE == pytest.approx(np.abs(p - y).mean(), rel=1e-6)
        assert row.RMSE == pytest.approx(np.sqrt(((p - y) ** 2).mean()), rel=1e-6)
        assert row.bias == pytest.approx((p - y).mean(), rel=1e-5)
        assert row.R2 == pytest.approx(1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-6)


def test_parts_add_to_the_whole(sample):
    found, truth, hours = sample
    whole = lead_sums(found, truth, hours)
    cut = [slice(0, 333), slice(333, 1000), slice(1000, None)]
    parts = [lead_sums(found[part], truth[part], hours[part]) for part in cut]
    added = add([parts[2], parts[0], parts[1]])
    assert (added.week == whole.week).all()
    for name in LEAD_SUMS:
        np.testing.assert_allclose(added[name], whole[name], rtol=1e-12)


def test_seasons_part_the_year(sample):
    whole = lead_sums(*sample)
    parts = {name: weeks_in_season(whole, name) for name in SEASONS}
    assert sum(part.n.sum() for part in parts.values()) == whole.n.sum()
    assert set(parts["summer"].week.values.astype("datetime64[M]").astype(int) % 12 + 1) <= {5, 6, 7, 8}


def test_nothing_observed_has_no_score():
    empty = lead_sums(np.ones((1, 1, 2)), np.full((1, 1, 2), np.nan), HOURS[:1])
    row = lead_scores(empty, (2,)).iloc[0]
    assert row.n == 0 and np.isnan([row.R2, row.MAE, row.RMSE]).all()


def test_skill_of_half_the_error_is_fifty_percent(sample):
    found, truth, hours = sample
    ours, theirs = lead_sums(truth + 1.0, truth, hours), lead_sums(truth - 2.0, truth, hours)
    for how in ("at", "up to"):
        np.testing.assert_allclose(skill_interval(ours, theirs, 3, how), 50.0, rtol=1e-4)
    same = lead_sums(found, truth, hours)
    assert skill_interval(same, same, 1) == (0.0, 0.0, 0.0)
    skill, low, high = skill_interval(same, theirs, 1)
    assert low < skill < high


def test_the_interval_is_that_of_weeks_picked_with_replacement(sample):
    """The shared bootstrap of weights gives the numbers that picking weeks gives: the published intervals."""
    found, truth, hours = sample
    ours, theirs = lead_sums(found, truth, hours), lead_sums(truth - 2.0, truth, hours)
    mine, other = (of.error_absolute.sel(lead=2).values for of in (ours, theirs))
    picked = np.random.default_rng(0).integers(len(mine), size=(2000, len(mine)))
    drawn = 100 * (1 - mine[picked].sum(axis=1) / other[picked].sum(axis=1))
    expected = [100 * (1 - mine.sum() / other.sum()), *np.quantile(drawn, [0.025, 0.975])]
    np.testing.assert_allclose(skill_interval(ours, theirs, 2), expected, rtol=1e-12)


def test_sums_of_forecasts_are_named_as_those_of_analyses():
    assert set(LEAD_SUMS) <= set(SUMS)


def test_the_papers_tables_hold_the_ratios_that_it_claims():
    """Section 4.2: cyclic encoding improves R2 by 0.06 to 0.17 in 6 to 24 h."""
    table = published.paper_scores(24, 24, (6, 12, 24))
    assert table["AQ-Net", 6] == {"R2": 0.5103, "MAE": 18.71, "RMSE": 22.87}
    gains = [table["AQ-Net", lead]["R2"] - table["AQ-Net without cyclic encoding", lead]["R2"] for lead in (6, 12, 24)]
    assert min(gains) == pytest.approx(0.06, abs=0.01) and max(gains) == pytest.approx(0.18, abs=0.01)
    assert published.paper_scores(336, 168, (2, 4, 7))["PatchTST", 2]["RMSE"] == 55.64
    assert published.paper_scores(24, 24, (6, 12)) == {}
