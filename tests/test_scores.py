"""Scores of every cut from closed forms and by hand, what a standard error says, how sure a skill is, figures."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

from aqreanalysis import clock, schema
from aqreanalysis.evaluation import Sums, add
from aqreanalysis.evaluation.bootstrap import skill_interval
from aqreanalysis.evaluation.distributions import LAPLACE, NORMAL
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.metrics import scores, table
from aqreanalysis.evaluation.statistics import PIT_BINS, SUMS, fold_statistics
from aqreanalysis.figures import scores as figures

SCIPY = {"normal": (NORMAL, stats.norm()), "laplace": (LAPLACE, stats.laplace(scale=np.sqrt(0.5)))}


# --- distributions, against scipy


@pytest.mark.parametrize("ours, theirs", SCIPY.values(), ids=SCIPY)
def test_distributions_are_scipys(ours, theirs):
    z = np.linspace(-4, 4, 17)
    assert theirs.std() == pytest.approx(1.0)
    np.testing.assert_allclose(ours.cdf(z), theirs.cdf(z), atol=1e-12)
    for share in (0.5, 0.8, 0.9, 0.95):
        assert ours.half_width(share) == pytest.approx(theirs.interval(share)[1])


@pytest.mark.parametrize("ours, theirs", SCIPY.values(), ids=SCIPY)
@pytest.mark.parametrize("z", [-3.0, -0.4, 0.0, 1.7])
def test_crps_is_the_integral(ours, theirs, z):
    """CRPS = integral of (F(x) - 1[x >= y])^2."""
    below = integrate.quad(lambda x: theirs.cdf(x)**2, -40, z)[0]
    above = integrate.quad(lambda x: theirs.sf(x)**2, z, 40)[0]
    assert ours.crps(np.array(z)) == pytest.approx(below + above, rel=1e-6)


# --- sums and their cuts


class Told:
    """A model that answers with given arrays (hours, points)."""

    history = future = 0

    def __init__(self, estimate, error=1.0):
        self.estimate, self.error = estimate, error

    def predict(self, stations, targets):
        self.seen = stations
        shape = (targets.sizes["time"], targets.sizes["point"])
        return schema.make_estimate(targets, np.broadcast_to(self.estimate, shape), np.broadcast_to(self.error, shape))


def days(number, first=dt.date(2019, 1, 1)):
    return clock.hours_of_days(first, first + dt.timedelta(days=number - 1))


def cube(hours, *series):
    """Station s stands 1 degree of latitude north of the one before; one more is far from all."""
    values = np.stack([np.broadcast_to(s, len(hours)) for s in (*series, 1.0)], axis=1)
    return schema.make_station_cube(hours, [*(f"S{i}" for i in range(len(series))), "far"],
                                    [*(36.0 + np.arange(len(series))), 80.0], [115.0] * values.shape[1],
                                    {"pm25": values})


def scored(models, hours, *series, test=("S0",), distributions=None):
    fold = Fold(test, {"some": test})
    return fold_statistics(models, cube(hours, *series), fold, hours, distributions=distributions)


def rows_of(sums, every_nth_week=10**6):
    return table(sums, every_nth_week).set_index(["group", "by", "slice", "frequency", "model"]).sort_index()


def test_hours_of_the_day_are_local():
    """The error is the hour, 0 the one from 00:00 to 01:00 in UTC+8."""
    hours = days(2)
    sums = scored({"kriging": Told(100.0 + np.tile(np.arange(24.0), 2)[:, None])}, hours, 100.0, 0.0)
    found = rows_of(sums)
    for hour in range(24):
        row = found.loc[("some", "hour", f"{hour:02d}", "hourly", "kriging")]
        assert (row.n, row.MAE) == (2, hour)


def test_levels_are_observed_and_predicted_with_their_upper_end():
    observed, predicted = np.tile([35.0, 75.0, 150.0, 151.0], 6), np.tile([36.0, 75.0, 10.0, 160.0], 6)
    found = rows_of(scored({"kriging": Told(predicted[:, None])}, days(1), observed, 0.0))
    mae = {(by, name): found.loc[("some", by, name, "hourly", "kriging"), "MAE"]
           for by in ("observed level", "predicted level") for name in ("0-35", "35-75", "75-150", "over 150")
           if ("some", by, name, "hourly", "kriging") in found.index}
    assert mae == {("observed level", "0-35"): 1, ("observed level", "35-75"): 0, ("observed level", "75-150"): 140,
                   ("observed level", "over 150"): 9, ("predicted level", "0-35"): 140,
                   ("predicted level", "35-75"): 0.5, ("predicted level", "over 150"): 9}


def test_seasons_and_withheld_weeks_are_of_days():
    """Two days of winter with an error of 1, two of spring with 3. 27 February is day 17,954 since 1970, the last of
    week 2,564, which is withheld where every second one is."""
    hours = np.concatenate([days(2, dt.date(2019, 2, 27)), days(2, dt.date(2019, 3, 1))])
    sums = scored({"kriging": Told(np.repeat([11.0, 13.0], 48)[:, None])}, hours, 10.0, 0.0)
    found = table(sums, every_nth_week=2)
    hourly = found[(found.frequency == "hourly")].set_index(["hours", "by", "slice"])
    assert hourly.loc[("all", "season", "winter"), "MAE"] == 1 and hourly.loc[("all", "season", "spring"), "MAE"] == 3
    assert hourly.loc[("withheld weeks", "all", "all"), ["n", "MAE"]].tolist() == [24, 1]
    assert hourly.loc[("all", "all", "all"), ["n", "MAE"]].tolist() == [96, 2]


def test_distances_are_to_the_nearest_that_is_left():
    """S1 is out as well, so that the nearest of S0 is S2, two degrees of latitude away."""
    hours = days(1)
    model = Told(12.0)
    fold = Fold(("S0", "S1"), {"some": ("S0",)})
    sums = fold_statistics({"kriging": model}, cube(hours, 10.0, 5.0, 7.0), fold, hours)
    found = table(sums, 10**6)
    curve = found[(found.by == "distance") & (found.frequency == "hourly")]
    assert list(model.seen.station.values) == ["S2", "far"]
    assert curve.distance_km.item() == pytest.approx(2 * 111.195, rel=1e-4)
    assert curve.slice.item() == "over 90 km" and curve.group.item() == "all designs"


def test_thirds_of_distance():
    """Errors 1, 2, 3 at stations 1, 3 and 6 degrees from the nearest that is left."""
    hours = days(1)
    at = schema.make_station_cube(hours, ["far", "L", "A", "B", "C"], [0.0, 30.0, 31.0, 33.0, 36.0], [115.0] * 5,
                                  {"pm25": np.full((24, 5), 10.0)})
    fold = Fold(("A", "B", "C"), {"some": ("A", "B", "C")})
    sums = fold_statistics({"kriging": Told(np.array([[11.0, 12.0, 13.0]]))}, at, fold, hours)
    found = rows_of(sums)
    assert [found.loc[("some", "distance third", name, "hourly", "kriging"), "MAE"]
            for name in ("near", "middle", "far")] == [1, 2, 3]


def test_a_silent_network_has_no_pairs():
    """Models need stations: with none but the withheld one there is nothing to score, and that is no error."""
    hours = days(1)
    alone = schema.make_station_cube(hours, ["S0"], [36.0], [115.0], {"pm25": np.full((24, 1), 10.0)})
    sums = fold_statistics({"kriging": Told(10.0)}, alone, Fold(("S0",), {"some": ("S0",)}), hours)
    assert float(sums.station.n.sum()) == 0 and list(sums.station.station.values) == ["S0"]


def test_months_add_up():
    hours = days(4)
    truth = np.random.default_rng(0).gamma(3, 30, 96)
    models = {"kriging": Told(50.0, 20.0), "other": Told(60.0, 30.0)}
    whole = scored(models, hours, truth, 0.0)
    parts = [scored(models, hours[start:start + 48], truth[start:start + 48], 0.0) for start in (0, 48)]
    total = Sums.total(parts)
    for name in ("station", "slice", "day"):
        xr.testing.assert_allclose(getattr(total, name), getattr(whole, name))
    pd.testing.assert_frame_equal(table(total, 3), table(whole, 3))


# --- scores by hand


@pytest.fixture(scope="module")
def of_days():
    """Two days of 100 and 60, said to be 80 and 40: one over 75 is found, none is missed."""
    hours = days(2)
    return rows_of(scored({"kriging": Told(np.repeat([80.0, 40.0], 24)[:, None])}, hours, np.repeat([100.0, 60.0], 24),
                          0.0)).loc[("some", "all", "all", "daily", "kriging")]


def test_fractional_bias(of_days):
    assert of_days.MFB_percent == pytest.approx(-100 * (20 / 90 + 20 / 50) / 2)
    assert of_days.MFE_percent == pytest.approx(-of_days.MFB_percent)
    assert of_days.boylan_russell == "criterion" and of_days.r == pytest.approx(1.0)
    assert of_days.NMB_percent == pytest.approx(-25) and of_days.emery == "criterion"


def test_mqi_of_fairmode(of_days):
    """U(O) = 0.36 sqrt(0.75 O^2 + 0.25 25^2); MQI = RMSE / (2 RMS U)."""
    uncertainty = [0.36 * np.sqrt(0.75 * o**2 + 0.25 * 25**2) for o in (100, 60)]
    assert of_days.MQI == pytest.approx(20 / (2 * np.sqrt(np.mean(np.square(uncertainty)))))


@pytest.mark.parametrize("truth, estimate, pod, far, csi, same", [
    ([100, 60], [80, 40], 1, 0, 1, 1),           # 75-115 and 35-75 both times
    ([100, 60], [70, 80], 0, 1, 0, 0),
    ([100, 160, 60, 30], [80, 70, 90, 35], 0.5, 0.5, 1 / 3, 0.5),
    ([75, 20], [75, 20], np.nan, np.nan, np.nan, 1),  # 75 is not over 75
])
def test_exceedances_and_classes(truth, estimate, pod, far, csi, same):
    hours = days(len(truth))
    sums = scored({"kriging": Told(np.repeat(np.array(estimate, float), 24)[:, None])}, hours,
                  np.repeat(np.array(truth, float), 24), 0.0)
    row = rows_of(sums).loc[("some", "all", "all", "daily", "kriging")]
    np.testing.assert_allclose([row.POD, row.FAR, row.CSI, row.class_agreement], [pod, far, csi, same])


def test_an_honest_laplace_error_is_calibrated():
    rng = np.random.default_rng(0)
    hours = days(300)
    truth = 500 + rng.laplace(scale=20 * np.sqrt(0.5), size=len(hours))
    sums = scored({"kriging": Told(500.0, 20.0)}, hours, truth, 0.0, distributions={"kriging": LAPLACE})
    row = rows_of(sums).loc[("some", "all", "all", "hourly", "kriging")]
    for share in (50, 80, 90, 95):
        assert row[f"coverage_{share}"] == pytest.approx(share / 100, abs=0.02)
    np.testing.assert_allclose(row[[f"PIT_{n}" for n in range(PIT_BINS)]].astype(float), 0.1, atol=0.015)
    assert row.CRPS == pytest.approx(0.75 * 20 * np.sqrt(0.5), rel=0.03)  # E|X - X'| / 2 = 3 b / 4
    assert row.width_90 == pytest.approx(2 * 20 * np.sqrt(0.5) * np.log(10), rel=1e-6)


def test_pit_tells_a_low_estimate():
    row = rows_of(scored({"kriging": Told(10.0, 1.0)}, days(1), 20.0, 0.0)).loc[
        ("some", "all", "all", "hourly", "kriging")]
    assert row[f"PIT_{PIT_BINS - 1}"] == 1.0 and row.PIT_0 == 0.0


# --- intervals


def of_weeks(kriging, ours):
    """A week's sum of absolute errors on each Thursday, the first day of a week that is counted from 1970-01-01."""
    day = np.datetime64("2019-01-03", "ns") + np.arange(len(kriging)) * np.timedelta64(7, "D")
    return xr.Dataset({"error_absolute": (("model", "day"), np.array([kriging, ours], float))},
                      coords={"model": ["kriging", "ours"], "day": day})


def test_the_same_skill_each_week_is_sure():
    errors = np.random.default_rng(0).gamma(2, 10, 52)
    found = skill_interval(of_weeks(errors, 0.9 * errors)).sel(model="ours")
    assert float(found.skill_low) == pytest.approx(10) and float(found.skill_high) == pytest.approx(10)


def test_the_interval_is_that_of_a_mean():
    """With kriging's error the same each week the skill is a mean: its 95 % are 1.96 standard errors."""
    gain = np.random.default_rng(1).normal(5, 10, 100)
    found = skill_interval(of_weeks(np.full(100, 100.0), 100 - gain)).sel(model="ours")
    half = 1.96 * gain.std() / 10
    assert float(found.skill_low) == pytest.approx(gain.mean() - half, abs=0.15 * half)
    assert float(found.skill_high) == pytest.approx(gain.mean() + half, abs=0.15 * half)


def test_three_weeks_have_no_interval():
    assert np.isnan(skill_interval(of_weeks([1, 2, 3], [1, 1, 1])).skill_low).all()


def test_sums_without_pairs_have_no_scores():
    nothing = xr.Dataset({name: ("model", np.zeros(1)) for name in SUMS}, coords={"model": ["kriging"]})
    found = scores(add([nothing, nothing]))
    assert int(found.n.item()) == 0 and all(np.isnan(found[name]).all() for name in found if name != "n")


# --- figures


def test_figures_show_every_model_and_group():
    rng = np.random.default_rng(0)
    hours = days(60)
    at = cube(hours, *(60 + 20 * rng.standard_normal(len(hours)) for _ in range(6)))
    models = {"kriging": Told(55.0, 20.0), "AQ-Net": Told(60.0, 20.0)}
    folds = [Fold(("S0", "S1"), {"single stations": ("S0",), "whole cities": ("S1",)}),
             Fold(("S0", "S1", "S2"), {"regions": ("S0", "S1")})]
    sums = Sums.total(fold_statistics(models, at, fold, hours) for fold in folds)
    drawn = figures.draw(table(sums, 6), "AQ-Net")
    assert set(drawn) == {"error_by_distance", "skill", "reliability"}
    labels = {name: {text for ax in figure.axes for text in ax.get_legend_handles_labels()[1]}
              for name, figure in drawn.items()}
    assert labels["error_by_distance"] == labels["reliability"] == {"kriging", "AQ-Net"}
    assert labels["skill"] == {"single stations", "whole cities", "regions"}
    titles = [ax.get_title() for ax in drawn["reliability"].axes[:3]]
    assert titles == ["single stations", "whole cities", "regions"]
