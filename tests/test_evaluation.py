"""Scores: sums that add up, formulas by hand, and models that never see what they are scored on."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis import evaluation, schema, time_axis
from aqreanalysis.models import registry
from aqreanalysis.models.baselines.mean import FlatMean

FOUR_DAYS = time_axis.hours_of_days(dt.date(2019, 1, 2), dt.date(2019, 1, 5))
WITHHELD = ["S001", "S004", "S007"]


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=140, stations=14, missing=0.1)


class Told:
    """A model that answers with given arrays (hours, points), and keeps what it was shown."""

    name, history, future = "told", 3, 2

    def __init__(self, estimate, error=1.0):
        self.estimate, self.error, self.seen = estimate, error, []

    def fit(self, stations):
        return self

    def predict(self, stations, targets):
        self.seen.append((stations, targets))
        shape = (targets.sizes["time"], targets.sizes["point"])
        return schema.make_estimate(targets, np.broadcast_to(self.estimate, shape), np.broadcast_to(self.error, shape))


def network(*series):
    """A cube of one day (UTC+8) in which station s reads series[s] (24 values)."""
    hours = time_axis.hours_of_days(dt.date(2019, 1, 2), dt.date(2019, 1, 2))
    values = np.stack([np.broadcast_to(s, 24) for s in series], axis=1)
    return hours, schema.make_station_cube(hours, [f"S{i}" for i in range(len(series))], 36.0 + np.arange(len(series)),
                                           [115.0] * len(series), {"pm25": values})


def scores(models, cube, withheld, hours, groups=None, reference="kriging", **options):
    sums = evaluation.month_statistics(models, cube, withheld, hours, **options)
    table = evaluation.group_scores(sums, groups or {"all": withheld}, reference)
    return table.set_index(["group", "frequency", "model"])


# --- sums


def test_parts_add_up_to_the_whole(cube):
    models = registry.baselines()
    whole = evaluation.month_statistics(models, cube, WITHHELD, FOUR_DAYS)
    days = [evaluation.month_statistics(models, cube, WITHHELD, FOUR_DAYS[24 * d:24 * d + 24]) for d in range(4)]
    for split in (days, [evaluation.add(days[:3]), days[3]]):
        added = evaluation.add(split)
        for name in evaluation.SUMS:
            np.testing.assert_allclose(added[name], whole[name], rtol=1e-9, atol=1e-9)
    groups = {"one": ["S001"], "all": WITHHELD}
    pd.testing.assert_frame_equal(evaluation.group_scores(evaluation.add(days), groups),
                                  evaluation.group_scores(whole, groups), rtol=1e-9)
    assert whole.n.sel(frequency="hourly").sum() > 0


def test_a_station_that_is_not_in_every_part(cube):
    models = {"flat mean": FlatMean()}
    first = evaluation.month_statistics(models, cube, WITHHELD, FOUR_DAYS[:24])
    second = evaluation.month_statistics(models, cube.drop_sel(station="S004"), WITHHELD, FOUR_DAYS[24:48])
    added = evaluation.add([second, first])
    assert set(added.station.values) == set(WITHHELD)
    np.testing.assert_array_equal(added.n.sel(station="S004"), first.n.sel(station="S004"))
    both = first.n.sel(station="S001") + second.n.sel(station="S001")
    np.testing.assert_array_equal(added.n.sel(station="S001"), both)


def test_a_month_in_which_no_withheld_station_reports(cube):
    models = registry.baselines()
    some = evaluation.month_statistics(models, cube, WITHHELD, FOUR_DAYS[:24])
    none = evaluation.month_statistics(models, cube.drop_sel(station=WITHHELD), WITHHELD, FOUR_DAYS[24:48])
    assert none.sizes["station"] == 0
    xr.testing.assert_equal(evaluation.add([some, none]), some)


# --- who sees what


def test_no_model_sees_a_withheld_station_or_more_than_its_hours(cube):
    spies = {"first": Told(50.0), "second": Told(50.0)}
    evaluation.month_statistics(spies, cube, [*WITHHELD, "not there"], FOUR_DAYS)
    for spy in spies.values():
        (stations, targets), = spy.seen
        assert not set(WITHHELD) & set(stations.station.values) and stations.sizes["station"] == 11
        assert stations.time.values[0] == FOUR_DAYS[0] - 3 * time_axis.HOUR
        assert stations.time.values[-1] == FOUR_DAYS[-1] + 2 * time_axis.HOUR
        np.testing.assert_array_equal(targets.lat, cube.lat.sel(station=WITHHELD))
        np.testing.assert_array_equal(targets.time, FOUR_DAYS)


def test_other_values_at_withheld_stations_change_no_estimate(cube):
    """The sums of errors change by what the truth changed, the estimates do not."""
    models = {"kriging": registry.load_model("kriging")}
    other = cube.copy(deep=True)
    other["pm25"].loc[{"station": WITHHELD}] += 1000.0
    before, after = (evaluation.month_statistics(models, c, WITHHELD, FOUR_DAYS) for c in (cube, other))
    np.testing.assert_array_equal(before.n, after.n)
    np.testing.assert_allclose(before.error - after.error, 1000.0 * before.n, rtol=1e-6)


# --- metrics by hand


def test_scores_by_hand():
    """Truth 10 and 30 by turns; estimates 14 and 24 with a standard error of 3."""
    truth, estimate = np.tile([10.0, 30.0], 12), np.tile([14.0, 24.0], 12)
    hours, cube = network(truth, 0.0, 0.0)
    models = {"told": Told(estimate[:, None], 3.0), "kriging": Told(truth[:, None] + 10.0)}
    row = scores(models, cube, ["S0"], hours).loc[("all", "hourly", "told")]
    assert row.n == 24
    assert row.MAE == pytest.approx(5.0)                            # (4 + 6) / 2
    assert row.RMSE == pytest.approx(np.sqrt(26.0))                 # (16 + 36) / 2
    assert row.R2 == pytest.approx(1 - 26.0 / 100.0)                # the truth's variance is 10^2
    assert row.NMB_percent == pytest.approx(100 * -1.0 / 20.0)      # (4 - 6) / 2 over a mean of 20
    assert row.NME_percent == pytest.approx(100 * 5.0 / 20.0)
    assert row.coverage_90 == pytest.approx(0.5)                    # 4 < 1.645 * 3 < 6
    assert row.z_rms == pytest.approx(np.sqrt(26.0) / 3)
    assert row.skill_percent == pytest.approx(100 * (1 - 5.0 / 10.0))


def test_daily_scores_are_of_means_of_days():
    """The day's truth is 20, the estimate 19: the errors of the hours cancel but for 1."""
    truth, estimate = np.tile([10.0, 30.0], 12), np.tile([14.0, 24.0], 12)
    hours, cube = network(truth, 0.0, 0.0)
    models = {"told": Told(estimate[:, None]), "kriging": Told(truth[:, None] + 10.0)}
    row = scores(models, cube, ["S0"], hours).loc[("all", "daily", "told")]
    assert (row.n, row.MAE, row.RMSE) == (1, pytest.approx(1.0), pytest.approx(1.0))
    assert row.NMB_percent == pytest.approx(-5.0) and row.skill_percent == pytest.approx(90.0)
    assert np.isnan(row.R2) and np.isnan(row.coverage_90) and np.isnan(row.z_rms)  # one day; no error of days is kept


@pytest.mark.parametrize("hours_seen, minimum, days", [(20, 20, 1), (19, 20, 0), (19, 19, 1)])
def test_a_day_needs_enough_hours(hours_seen, minimum, days):
    hours, cube = network(np.where(np.arange(24) < hours_seen, 10.0, np.nan), 0.0, 0.0)
    table = scores({"kriging": Told(12.0)}, cube, ["S0"], hours, minimum_hours=minimum)
    assert table.loc[("all", "daily", "kriging"), "n"] == days
    assert table.loc[("all", "hourly", "kriging"), "n"] == hours_seen


def test_the_days_estimate_is_of_the_hours_with_truth():
    """Where the truth is missing, the estimate of the hour does not count: both means are of the same hours."""
    seen = np.arange(24) < 20
    hours, cube = network(np.where(seen, 10.0, np.nan), 0.0, 0.0)
    table = scores({"kriging": Told(np.where(seen, 12.0, 500.0)[:, None])}, cube, ["S0"], hours)
    assert table.loc[("all", "daily", "kriging"), "MAE"] == pytest.approx(2.0)


def test_every_model_is_scored_on_the_pairs_of_all():
    """One model has no estimate in six hours: these count for neither."""
    hours, cube = network(10.0, 0.0, 0.0)
    gap = np.where(np.arange(24) < 6, np.nan, 11.0)[:, None]
    full = np.where(np.arange(24) < 6, 99.0, 12.0)[:, None]
    table = scores({"kriging": Told(full), "gappy": Told(gap)}, cube, ["S0"], hours, minimum_hours=18)
    assert (table.loc["all"].loc["hourly"].n == 18).all() and (table.loc["all"].loc["daily"].n == 1).all()
    assert table.loc[("all", "hourly", "kriging"), "MAE"] == pytest.approx(2.0)
    assert table.loc[("all", "hourly", "gappy"), "MAE"] == pytest.approx(1.0)


def test_groups_pool_their_pairs():
    """Station S0 has 24 pairs with error 1, S1 12 pairs with error 4: pooled (24 + 48) / 36."""
    hours, cube = network(10.0, np.where(np.arange(24) < 12, 10.0, np.nan), 0.0, 0.0)
    models = {"kriging": Told(np.array([[11.0, 14.0]]))}
    table = scores(models, cube, ["S0", "S1"], hours, {"both": ["S0", "S1"], "second": ["S1"]})
    assert table.loc[("both", "hourly", "kriging"), "MAE"] == pytest.approx(2.0)
    assert table.loc[("second", "hourly", "kriging"), "MAE"] == pytest.approx(4.0)
    assert table.loc[("second", "daily", "kriging"), "n"] == 0


def test_a_group_without_pairs_has_no_scores():
    hours, cube = network(np.nan, 5.0, 0.0)
    row = scores({"kriging": Told(12.0)}, cube, ["S0"], hours, {"none": ["S0"]}).loc[("none", "hourly", "kriging")]
    assert row.n == 0 and row.drop("n").isna().all()


@pytest.mark.parametrize("error", [np.nan, 0.0])
def test_an_unknown_standard_error_has_no_coverage(error):
    hours, cube = network(10.0, 5.0, 0.0)
    row = scores({"kriging": Told(10.5, error)}, cube, ["S0"], hours).loc[("all", "hourly", "kriging")]
    assert np.isnan(row.coverage_90) and np.isnan(row.z_rms) and row.MAE == pytest.approx(0.5)


def test_coverage_of_an_honest_error_is_ninety_per_cent():
    rng = np.random.default_rng(0)
    hours = time_axis.hours_of_days(dt.date(2019, 1, 1), dt.date(2019, 6, 30))
    cube = schema.make_station_cube(hours, ["S0", "S1", "S2"], [36.0, 37.0, 38.0], [115.0] * 3,
                                    {"pm25": 100 + 7 * rng.standard_normal((len(hours), 3))})
    row = scores({"kriging": Told(100.0, 7.0)}, cube, ["S0"], hours).loc[("all", "hourly", "kriging")]
    assert row.coverage_90 == pytest.approx(0.90, abs=4 * np.sqrt(0.09 / len(hours)))
    assert row.z_rms == pytest.approx(1.0, abs=0.05)
    assert row.R2 == pytest.approx(0.0, abs=1e-3) and row.RMSE == pytest.approx(7.0, rel=0.05)


def test_a_perfect_model():
    truth = np.tile([10.0, 30.0], 12)
    hours, cube = network(truth, 0.0, 0.0)
    models = {"told": Told(truth[:, None], 1.0), "kriging": Told(5.0)}
    row = scores(models, cube, ["S0"], hours).loc[("all", "hourly", "told")]
    assert (row.MAE, row.RMSE, row.R2, row.coverage_90, row.skill_percent) == (0, 0, 1, 1, 100)
