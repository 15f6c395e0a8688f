"""Scores of every cut from closed forms and by hand, what a standard error says, how sure a skill is, figures."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, optimize, stats

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation import Sums, add
from aqreanalysis.evaluation.bootstrap import bias_intervals, skill_intervals
from aqreanalysis.evaluation.distributions import LAPLACE, NORMAL
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.metrics import all_scores, score_table
from aqreanalysis.evaluation.statistics import FACTORS, PIT_BINS, SUMS, fold_statistics
from aqreanalysis.fields.static import population_potential
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


@pytest.mark.parametrize("ours, theirs", SCIPY.values(), ids=SCIPY)
@pytest.mark.parametrize("below, above", [(4.0, 25.0), (30.0, 2.0), (7.0, 7.0), (0.0, 9.0)])
def test_two_pieces_meet_the_bounds_and_their_crps_is_the_integral(ours, theirs, below, above):
    """Standard errors of the pieces as `IntervalPrediction.pieces` makes them of bounds: 5 % lie below, 5 % above."""
    def cdf(x):  # a piece of no width is a step
        side = below if x < 0 else above
        return theirs.cdf(x / side) if side else 0.0

    half = theirs.interval(0.9)[1]
    found = ours.two_piece(np.array([-half * below, 0.0, half * above]), below, above)[0]
    np.testing.assert_allclose(found, [0.05 if below else 0.5, 0.5, 0.95], atol=1e-9)
    for error in (-60.0, -3.0, 0.0, 2.0, 70.0):
        ends = (-40 * below - 90, *sorted((0.0, error)), 40 * above + 90)
        parts = [integrate.quad(lambda x: (cdf(x) - (x >= error)) ** 2, *pair, limit=200)[0]  # noqa: B023
                 for pair in zip(ends[:-1], ends[1:], strict=True)]
        probability, crps = ours.two_piece(np.array(error), below, above)
        assert crps == pytest.approx(sum(parts), rel=1e-4, abs=1e-3)
        assert probability == pytest.approx(cdf(error) if error else 0.5, abs=1e-9)


@pytest.mark.parametrize("ours, theirs", SCIPY.values(), ids=SCIPY)
def test_two_equal_pieces_are_the_distribution(ours, theirs):
    error = np.linspace(-50, 50, 21)
    probability, crps = ours.two_piece(error, np.full(21, 8.0), np.full(21, 8.0))
    np.testing.assert_allclose(probability, theirs.cdf(error / 8), atol=1e-12)
    np.testing.assert_allclose(crps, 8 * ours.crps(error / 8), rtol=1e-12)


# --- sums and their cuts


class Told:
    """A model that answers with given arrays (hours, points)."""

    history = future = 0

    def __init__(self, estimate, error=1.0, bounds=None):
        self.estimate, self.error, self.bounds = estimate, error, bounds

    def predict(self, stations, targets):
        self.seen = stations
        shape = (targets.sizes["time"], targets.sizes["point"])
        found = schema.make_estimate(targets, np.broadcast_to(self.estimate, shape), np.broadcast_to(self.error, shape))
        if self.bounds is None:
            return found
        ends = zip((schema.LOWER, schema.UPPER), self.bounds, strict=True)
        return found.assign({name: (("time", "point"), np.broadcast_to(end, shape)) for name, end in ends})


def days(number, first=dt.date(2019, 1, 1)):
    return time_axis.hours_of_days(first, first + dt.timedelta(days=number - 1))


def cube(hours, *series):
    """Station s stands 1 degree of latitude north of the one before; one more is far from all."""
    values = np.stack([np.broadcast_to(s, len(hours)) for s in (*series, 1.0)], axis=1)
    return schema.make_station_cube(hours, [*(f"S{i}" for i in range(len(series))), "far"],
                                    [*(36.0 + np.arange(len(series))), 80.0], [115.0] * values.shape[1],
                                    {"pm25": values})


def scored(models, hours, *series, test=("S0",), **options):
    fold = Fold(test, {"some": test})
    return fold_statistics(models, cube(hours, *series), fold, hours, **options)


def rows_of(sums, every_nth_week=10**6):
    table = score_table(sums, every_nth_week, "AQ-Net")
    return table.set_index(["group", "by", "slice", "frequency", "model"]).sort_index()


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
    found = score_table(sums, 2, "AQ-Net")
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
    found = score_table(sums, 10**6, "AQ-Net")
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
    for name in ("station", "slice", "day", "block", "scaled"):
        xr.testing.assert_allclose(getattr(total, name), getattr(whole, name))
    pd.testing.assert_frame_equal(score_table(total, 3, "AQ-Net"), score_table(whole, 3, "AQ-Net"))


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
    assert of_days.NMB_percent == pytest.approx(-25) and of_days.emery_unconfirmed == "criterion"


def test_mqi_of_fairmode(of_days):
    """U(O) = 0.36 sqrt(0.75 O^2 + 0.25 25^2); MQI = RMSE / (2 RMS U)."""
    uncertainty = [0.36 * np.sqrt(0.75 * o**2 + 0.25 * 25**2) for o in (100, 60)]
    assert of_days.MQI_secondary_source == pytest.approx(20 / (2 * np.sqrt(np.mean(np.square(uncertainty)))))


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


def test_an_honest_skewed_error_is_calibrated_by_its_bounds():
    """Half normal of 5 below and of 30 above: bounds at 1.645 of them, mean CRPS (a + b) / 2 sqrt(pi), which is the
    integral of F (1 - F). Neither the standard error of 99 nor the distribution it is of have a part in it."""
    rng = np.random.default_rng(0)
    hours = days(300)
    truth = 500 + np.abs(rng.standard_normal(len(hours))) * rng.choice([-5.0, 30.0], len(hours))
    model = Told(500.0, 99.0, (500 - 5 * 1.644854, 500 + 30 * 1.644854))
    sums = scored({"kriging": model}, hours, truth, 0.0, distributions={"kriging": LAPLACE})
    row = rows_of(sums).loc[("some", "all", "all", "hourly", "kriging")]
    for share in (50, 80, 90, 95):
        assert row[f"coverage_{share}"] == pytest.approx(share / 100, abs=0.02)
    np.testing.assert_allclose(row[[f"PIT_{n}" for n in range(PIT_BINS)]].astype(float), 0.1, atol=0.015)
    assert row.CRPS == pytest.approx(35 / (2 * np.sqrt(np.pi)), rel=0.03)
    assert row.z_rms == pytest.approx(np.sqrt(np.mean((truth - 500) ** 2)) / 99, rel=1e-5)


def test_pit_tells_a_low_estimate():
    row = rows_of(scored({"kriging": Told(10.0, 1.0)}, days(1), 20.0, 0.0)).loc[
        ("some", "all", "all", "hourly", "kriging")]
    assert row[f"PIT_{PIT_BINS - 1}"] == 1.0 and row.PIT_0 == 0.0


# --- the 90 % interval


def test_bounds_of_a_model_by_hand():
    """Truth 10, 40, 70, 20 by turns in an interval of 15 to 60: one is below by 5, one above by 10."""
    truth = np.tile([10.0, 40.0, 70.0, 20.0], 6)
    found = rows_of(scored({"kriging": Told(40.0, 1.0, (15.0, 60.0))}, days(1), truth, 0.0))
    row = found.loc[("some", "all", "all", "hourly", "kriging")]
    assert [row.coverage_90, row.below_90, row.above_90, row.width_90] == [0.5, 0.25, 0.25, 45.0]
    assert row.interval_score == pytest.approx(45 + 20 * (5 + 10) / 4)  # 2 / 0.1 for each ug m-3 of a miss
    # 25 / 1.645 = 15.2 below and 12.2 above: 50 % lie in 29.7 to 48.2, 80 % in 20.5 to 55.6, 95 % in 10.2 to 63.8
    assert [row.coverage_50, row.coverage_80, row.coverage_95] == [0.25, 0.25, 0.5] and row.z_rms > 20


def test_bounds_that_are_not_everywhere_are_scored_where_they_are():
    lower = np.where(np.arange(24) < 6, np.nan, 0.0)[:, None]
    row = rows_of(scored({"kriging": Told(10.0, 1.0, (lower, 20.0))}, days(1), np.where(np.arange(24) < 9, 99.0, 10.0),
                         0.0)).loc[("some", "all", "all", "hourly", "kriging")]
    assert row.n == 24 and row.coverage_90 == pytest.approx(15 / 18) and row.width_90 == 20


def test_without_bounds_the_interval_ends_at_zero():
    """A normal error of 20 round 10: 1.645 * 20 above, and no more than 10 below."""
    row = rows_of(scored({"kriging": Told(10.0, 20.0)}, days(1), 5.0, 0.0)).loc[
        ("some", "all", "all", "hourly", "kriging")]
    assert row.width_90 == pytest.approx(10 + 20 * stats.norm.ppf(0.95)) and row.coverage_90 == 1


def test_coverage_is_cut_like_the_errors():
    """The interval holds the truth in the hours before noon, when the estimate is 20, not after it, when it is 80."""
    estimate = np.where(np.arange(24) < 12, 20.0, 80.0)[:, None]
    model = Told(estimate, 1.0, (estimate - 5, estimate + 5))
    found = rows_of(scored({"kriging": model}, days(1), np.where(np.arange(24) < 12, 21.0, 100.0), 0.0))
    held = found.coverage_90.loc["some"].xs(("hourly", "kriging"), level=("frequency", "model"))
    assert held["hour", "11"] == 1 and held["hour", "12"] == 0
    assert held["predicted level", "0-35"] == 1 and held["predicted level", "75-150"] == 0
    assert held["season", "winter"] == 0.5 and held["distance third", "near"] == 0.5


def test_daily_bounds_come_from_a_function():
    """It is handed the hours that have a truth; a day that has too few of them is not scored."""
    hours, handed = days(2), {}

    def errors_of_days(model, hourly, **where):
        handed.update(hourly, model=model, **where)
        return {"pm25_lower": np.array([[15.0], [15.0]]), "pm25_upper": np.array([[18.0], [18.0]])}

    truth = np.where(np.arange(48) < 27, 20.0, np.nan)
    sums = scored({"kriging": Told(22.0, 3.0, (1.0, 50.0))}, hours, truth, 0.0, errors_of_days=errors_of_days)
    row = rows_of(sums).loc[("some", "all", "all", "daily", "kriging")]
    assert [row.n, row.coverage_90, row.above_90, row.width_90] == [1, 0, 1, 3]
    assert row.interval_score == pytest.approx(3 + 20 * 2) and np.isnan(row.z_rms)
    assert set(handed) == {"pm25", "pm25_standard_error", "pm25_lower", "pm25_upper", "model", "days", "sites"}
    assert handed["model"] == "kriging" and handed["sites"].distance == pytest.approx([111.195], rel=1e-4)
    assert handed["sites"].population == pytest.approx(np.log1p(population_potential([36.0], [115.0], 5.0)))
    np.testing.assert_array_equal(handed["days"], np.array(["2019-01-01", "2019-01-02"], "datetime64[D]"))
    assert (np.isfinite(handed["pm25_upper"][:, 0]) == (np.arange(48) < 27)).all()


def test_daily_standard_errors_are_taken_as_normal():
    sums = scored({"kriging": Told(22.0, 3.0)}, days(1), 20.0, 0.0, distributions={"kriging": LAPLACE},
                  errors_of_days=lambda model, hourly, **where: {"pm25_standard_error": np.array([[2.0]])})
    row = rows_of(sums).loc[("some", "all", "all", "daily", "kriging")]
    assert row.width_90 == pytest.approx(2 * 2 * stats.norm.ppf(0.95)) and row.coverage_90 == 1 and row.z_rms == 1


@pytest.fixture(scope="module")
def two_errors():
    """Two models of the same normal errors of 20 and 40 by turns: one knows which, one says 10 for all."""
    hours = days(400)
    spread = np.where(np.arange(len(hours)) % 2, 20.0, 40.0)
    truth = 500 + spread * np.random.default_rng(2).standard_normal(len(hours))
    return scored({"kriging": Told(500.0, 10.0), "AQ-Net": Told(500.0, spread[:, None])}, hours, truth, 0.0)


def test_the_width_at_the_same_coverage(two_errors):
    """An interval of one width holds 90 % of both where its half h has P(|e| < h; 20) + P(|e| < h; 40) = 1.8."""
    half = optimize.brentq(lambda h: sum(2 * stats.norm.cdf(h / s) - 1 for s in (20, 40)) - 1.8, 20, 90)
    found = rows_of(two_errors).loc["some"].loc[("all", "all", "hourly")]
    assert found.coverage_90["AQ-Net"] == pytest.approx(0.9, abs=0.01)
    assert found.scaled_width["kriging"] == pytest.approx(2 * half, rel=0.03)
    known = 2 * 30 * stats.norm.ppf(0.95)
    assert found.narrower_percent["kriging"] == pytest.approx(100 * (1 - known / (2 * half)), abs=2)
    assert found.scaled_width["AQ-Net"] == pytest.approx(known, rel=5e-3)  # its own, at its own coverage
    assert found.narrower_percent["AQ-Net"] == pytest.approx(0, abs=0.5)


def test_scaled_intervals_by_hand(two_errors):
    """Kriging's error is 10 everywhere: 500 - 10 f to 500 + 10 f. Nearer to 0 the lower end is cut there."""
    kriging = two_errors.scaled.sel(model="kriging", frequency="hourly", group="some")
    np.testing.assert_allclose(kriging.width / kriging.n, 20 * FACTORS)
    near = scored({"kriging": Told(10.0, 20.0)}, days(1), 15.0, 0.0).scaled
    near = near.isel(model=0, group=0).sel(frequency="hourly")
    np.testing.assert_allclose(near.width / 24, 20 * FACTORS + np.minimum(20 * FACTORS, 10))
    np.testing.assert_array_equal(near.covered, np.where(FACTORS >= 0.25, 24, 0))


def test_a_model_that_does_not_know_its_error_has_no_scaled_width():
    sums = scored({"kriging": Told(500.0, 0.0), "AQ-Net": Told(500.0, 20.0)}, days(2), 510.0, 0.0)
    found = rows_of(sums).loc["some"].loc[("all", "all", "hourly")]
    assert np.isnan(found.scaled_width["kriging"]) and np.isnan(found.narrower_percent["kriging"])
    assert np.isfinite(found.scaled_width["AQ-Net"])


# --- how sure a skill is


def blocks(kriging, ours):
    """Sums of errors (week, station) of a network whose stations stand in cities of their own.

    A week's block is named by its Thursday, the first day of a week that is counted from 1970-01-01.
    """
    errors = np.array([kriging, ours], float)[None, None]
    day = np.datetime64("2019-01-03", "ns") + np.arange(errors.shape[3]) * np.timedelta64(7, "D")
    dims = ("group", "frequency", "model", "block", "station")
    return xr.Dataset({"error_absolute": (dims, errors), "error_squared": (dims, errors**2)},
                      coords={"group": ["some"], "frequency": ["hourly"], "model": ["kriging", "ours"], "block": day,
                              "station": [f"S{i}" for i in range(errors.shape[4])]})


def drawn(*errors, city=None):
    cut = blocks(*errors)
    found = skill_intervals(cut if city is None else cut.assign_coords(city=("station", city)))
    return found.sel(model="ours").isel(group=0, frequency=0)


def test_the_same_skill_everywhere_is_sure():
    errors = np.random.default_rng(0).gamma(2, 10, (52, 8))
    found = drawn(errors, 0.9 * errors)
    for name in ("skill_low", "skill_high", "skill_low_weeks", "skill_high_weeks"):
        assert float(found[name]) == pytest.approx(10)
    assert float(found.RMSE_ratio_low) == pytest.approx(0.9) and float(found.RMSE_ratio_high) == pytest.approx(0.9)


def half_widths(found):
    return [float(found[f"skill_high{of}"] - found[f"skill_low{of}"]) / 2 for of in ("", "_weeks")]


def test_gains_of_weeks_and_of_cities_add_up():
    """With kriging's error the same everywhere the skill is a mean of week and city effects: its variance is that of
    the weeks' mean and that of the cities' mean together (crossed factors without interaction)."""
    rng = np.random.default_rng(1)
    weeks, cities = rng.normal(5, 10, 60), rng.normal(0, 8, 40)
    found = drawn(np.full((60, 40), 100.0), 100 - weeks[:, None] - cities[None])
    expected = [1.96 * np.sqrt(weeks.var() / 60 + cities.var() / 40), 1.96 * weeks.std() / np.sqrt(60)]
    assert half_widths(found) == pytest.approx(expected, rel=0.08)
    assert float(found.skill_low + found.skill_high) / 2 == pytest.approx(weeks.mean() + cities.mean(), abs=0.3)


def test_stations_of_one_city_are_drawn_together():
    """Four stations with one effect in each of 10 cities say no more than one: the interval is that of 10."""
    effect = np.random.default_rng(3).normal(0, 10, 10)
    city = np.repeat(np.arange(10), 4)
    found = drawn(np.full((20, 40), 100.0), np.broadcast_to(100 - effect[city], (20, 40)), city=city)
    assert half_widths(found)[0] == pytest.approx(1.96 * effect.std() / np.sqrt(10), rel=0.12)
    assert half_widths(found)[1] == pytest.approx(0, abs=1e-9)


def test_parts_of_a_week_in_two_months_are_one_week():
    """Cut at months or not, the draws are of whole weeks."""
    errors = np.random.default_rng(5).gamma(2, 10, (2, 8, 6))
    whole = blocks(*errors)
    parts = xr.concat([0.3 * whole, (0.7 * whole).assign_coords(block=whole.block + np.timedelta64(3, "D"))], "block")
    for name in ("error_absolute", "error_squared"):
        parts[name] = parts[name].transpose(*whole[name].dims)
    xr.testing.assert_allclose(skill_intervals(parts), skill_intervals(whole))


@pytest.mark.parametrize("shape, of_cities, of_weeks", [((3, 8), False, False), ((8, 3), False, True),
                                                        ((4, 4), True, True)])
def test_few_weeks_or_cities_have_no_interval(shape, of_cities, of_weeks):
    found = drawn(np.ones(shape), np.full(shape, 0.5))
    assert [bool(np.isfinite(found.skill_low)), bool(np.isfinite(found.skill_low_weeks))] == [of_cities, of_weeks]


def test_weeks_and_cities_without_pairs_are_not_drawn():
    errors = np.random.default_rng(6).gamma(2, 10, (2, 10, 6))
    wider = np.pad(errors, ((0, 0), (0, 5), (0, 3)))
    xr.testing.assert_allclose(drawn(*wider), drawn(*errors))


def biased(kriging, ours, truth):
    """As `blocks`, of signed errors (week, station) and of what was observed."""
    cut = blocks(kriging, ours)
    dims = cut.error_absolute.dims
    return cut.assign(error=(dims, np.array([kriging, ours], float)[None, None]),
                      truth=(dims, np.broadcast_to(np.asarray(truth, float), cut.error_absolute.shape)))


def test_the_interval_of_a_bias_is_that_of_a_ratio_of_sums():
    """With the same level everywhere, NMB is a mean of week and city effects; half of kriging's bias is half."""
    rng = np.random.default_rng(2)
    weeks, cities = rng.normal(5, 10, 60), rng.normal(0, 8, 40)
    error = weeks[:, None] + cities[None]
    found = bias_intervals(biased(error + 40, (error + 40) / 2, 100.0)).isel(group=0, frequency=0)
    half = 1.96 * np.sqrt(weeks.var() / 60 + cities.var() / 40)
    low, high = (float(found.sel(model="kriging")[f"NMB_{end}"]) for end in ("low", "high"))
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert (high + low) / 2 == pytest.approx(40 + error.mean(), abs=0.3)
    ours = found.sel(model="ours")
    assert [float(ours[f"NMB_{end}"]) for end in ("low", "high")] == pytest.approx([low / 2, high / 2])
    assert [float(ours[f"NMB_ratio_{end}"]) for end in ("low", "high")] == pytest.approx([0.5, 0.5])


def test_a_ratio_to_a_bias_that_may_be_none_has_no_interval():
    rng = np.random.default_rng(4)
    around_nothing, high = rng.normal(0, 20, (20, 20)), rng.normal(10, 5, (20, 20))
    found = bias_intervals(biased(around_nothing, high, 50.0)).sel(model="ours").isel(group=0, frequency=0)
    assert float(found.NMB_low) > 15 and np.isnan(found.NMB_ratio_low) and np.isnan(found.NMB_ratio_high)
    few = bias_intervals(biased(high[:3], high[:3], 50.0))
    assert all(np.isnan(few[name]).all() for name in few)


def test_sums_without_pairs_have_no_scores():
    nothing = xr.Dataset({name: ("model", np.zeros(1)) for name in SUMS}, coords={"model": ["kriging"]})
    found = all_scores(add([nothing, nothing]))
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
    drawn = figures.score_figures(score_table(sums, 6, "AQ-Net"), "AQ-Net")
    assert set(drawn) == {"error_by_distance", "skill", "coverage", "reliability"}
    labels = {name: {text for ax in figure.axes for text in ax.get_legend_handles_labels()[1]}
              for name, figure in drawn.items()}
    assert labels["error_by_distance"] == labels["reliability"] == {"kriging", "AQ-Net"}
    assert labels["skill"] == {"single stations", "whole cities", "regions"}
    titles = [ax.get_title() for ax in drawn["reliability"].axes[:3]]
    assert titles == ["single stations", "whole cities", "regions"]
