"""Days of stations left out, their means, and how well factors hold where they were not fitted."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.models.calibration import DISTANCE_KNOTS, LEVEL_KNOTS, SEASON_KNOTS, Bounds, Calibration
from aqreanalysis.product.validation.hidden import hidden_days
from aqreanalysis.training import calibration
from aqreanalysis.training.calibration import HeldOutDays

HOURS = time_axis.hours_of_days(dt.date(2019, 1, 1), dt.date(2019, 3, 31))
DAYS = np.arange("2019-01-01", "2019-04-01", dtype="datetime64[D]")


@dataclasses.dataclass(frozen=True)
class HourAndPlace:
    """Estimates the hour of the year + 1000 * latitude; its error is the number of stations that it was given."""

    calibration: object = None
    history: int = 24
    future: int = 24
    fields: tuple = ()

    def predict(self, stations, targets, fields=None):
        hour = (targets.time.values - np.datetime64("2019-01-01")) / np.timedelta64(1, "h")
        pm25 = hour[:, None] + 1000 * targets.lat.values[None]
        return schema.make_estimate(targets, pm25, np.full(pm25.shape, stations.sizes["station"]))


def cube():
    """Ten stations 0.1 degree apart on a meridian; each observes 7 more than HourAndPlace; one hour is missing."""
    lat = 35.0 + 0.1 * np.arange(10)
    hour = (HOURS - np.datetime64("2019-01-01")) / np.timedelta64(1, "h")
    pm25 = (hour[:, None] + 1000 * lat[None] + 7.0).astype(np.float32)
    pm25[30, 4] = np.nan
    return schema.make_station_cube(HOURS, [f"S{i}" for i in range(10)], lat, np.full(10, 115.0), {"pm25": pm25})


# --- rows


def test_a_row_is_a_day_of_a_station_that_was_not_given():
    fold = Fold(("S3", "S4", "S8"), {"one": ("S4",), "two": ("S8",)})
    asked = np.array(["2019-01-02", "2019-01-20", "2019-03-05"], "datetime64[D]")
    rows = calibration.held_out_days(HourAndPlace(), cube(), fold, asked)
    assert rows.station.tolist() == ["S4", "S8"] * 3 and rows.design.tolist() == ["one", "two"] * 3
    np.testing.assert_array_equal(rows.day, np.repeat(asked, 2))
    miss = rows.truth - rows.estimate
    assert np.isnan(miss).sum() == 1 and np.isnan(miss[0, 30 - 24])  # the 7th hour of 2 January at S4
    np.testing.assert_allclose(miss[np.isfinite(miss)], 7.0, atol=0.01)
    assert (rows.scale == 7).all()
    degree = np.pi / 180 * 6371.0088
    np.testing.assert_allclose(rows.distance, np.tile([0.1 * degree, 0.1 * degree], 3), rtol=1e-6)
    np.testing.assert_allclose(rows.estimate[2:4, 0] - rows.estimate[:2, 0], 18 * 24, atol=0.01)


def test_a_row_has_the_weight_of_its_station_in_its_design():
    """In a checkpoint's rows, and in a product's own, which are those of the fold's first design."""
    fold = Fold(("S3", "S4", "S8"), {"one": ("S4", "S8"), "two": ("S8",)}, weights={"one": {"S4": 0.5, "S8": 1.5}})
    rows = calibration.held_out_days(HourAndPlace(), cube(), fold, DAYS[5:7])
    assert list(zip(rows.station, rows.design, rows.weight, strict=True)) == [
        ("S4", "one", 0.5), ("S8", "one", 1.5), ("S8", "two", 1.0)] * 2
    own = hidden_days(HourAndPlace(), cube(), fold, DAYS[5:7], {"S4": 1, "S8": 2})
    assert list(zip(own.station, own.design, own.weight, own.city, strict=True)) == [
        ("S4", "one", 0.5, 1), ("S8", "one", 1.5, 2)] * 2


def test_rows_are_of_the_raw_scale():
    """A model that is calibrated already is asked without its calibration."""
    class Calibrated(HourAndPlace):
        def predict(self, stations, targets, fields=None):
            assert self.calibration is None
            return super().predict(stations, targets)

    rows = calibration.held_out_days(Calibrated(calibration="some"), cube(), Fold(("S4",), {"one": ("S4",)}), DAYS[5:6])
    assert (rows.scale == 9).all()


# --- days


def rows_like(estimate, scale, truth, distance=20.0):
    n = len(estimate)
    return HeldOutDays(*(np.asarray(a, np.float32) for a in (estimate, scale, truth)), np.full(n, distance),
                np.repeat(DAYS, -(-n // len(DAYS)))[:n], np.full(n, "S"), np.full(n, "all"),
                np.zeros(n, int), np.full(n, 35.0), np.full(n, 115.0), np.ones(n))


def test_days_are_means_of_the_hours_with_a_truth():
    estimate = np.tile(np.arange(24.0), (3, 1))
    truth = estimate + 2.0
    truth[1, 20:], truth[2, 19:] = np.nan, np.nan
    rows = rows_like(estimate, np.full((3, 24), 3.0), truth)
    mean, error, of_truth, _, _ = calibration.daily_means(rows, rows.scale, np.ones(24))
    np.testing.assert_allclose(mean[:2], [11.5, 9.5])
    np.testing.assert_allclose(of_truth[:2] - mean[:2], 2.0)
    np.testing.assert_allclose(error[:2], 3.0)  # errors that last all day
    assert np.isnan(mean[2]) and np.isnan(of_truth[2])  # 19 hours are no day


def simulated(days=2500, lasting=0.6, seed=0):
    """Station-days whose error is in part the same all day: z = sqrt(lasting) u + sqrt(1 - lasting) e, normal."""
    rng = np.random.default_rng(seed)
    estimate = np.repeat(rng.uniform(40.0, 200.0, (days, 1)), 24, axis=1)
    z = np.sqrt(lasting) * rng.normal(size=(days, 1)) + np.sqrt(1 - lasting) * rng.normal(size=(days, 24))
    return rows_like(estimate, np.full((days, 24), 2.0), estimate + 6.0 * z)


def test_fit_finds_factor_correlation_and_the_error_of_a_day():
    """The scale of 2 stands for an error of 6; the day's is 6 sqrt(lasting + (1 - lasting) / 24)."""
    rows = simulated()
    made = calibration.fit_calibration(rows)
    error, lower, upper = calibration.apply_bounds(made.hourly, rows)
    np.testing.assert_allclose(np.median(error), 6.0, rtol=0.02)
    np.testing.assert_allclose(np.median(upper - rows.estimate), 1.6449 * 6.0, rtol=0.03)
    np.testing.assert_allclose(made.correlation[1:], 0.6, atol=0.02)
    mean, raw, _, sites, day = calibration.daily_means(rows, error, made.correlation)
    error, lower, upper = made.daily.apply(mean, raw, sites, day)
    expected = 6.0 * np.sqrt(0.6 + 0.4 / 24)
    np.testing.assert_allclose(np.median(error), expected, rtol=0.03)
    np.testing.assert_allclose([np.median(mean - lower), np.median(upper - mean)], 1.6449 * expected, rtol=0.05)


def test_rows_count_as_much_as_the_land_they_stand_for():
    """Of two kinds of places the one with three times the error has all of the weight; the other has none."""
    quiet, loud = simulated(1500, seed=2), simulated(1500, seed=3)
    loud = dataclasses.replace(loud, truth=loud.estimate + 3 * (loud.truth - loud.estimate), weight=np.full(1500, 2.0))
    both = HeldOutDays.joined([dataclasses.replace(quiet, weight=np.zeros(1500)), loud])
    made = calibration.fit_calibration(both)
    error, _, upper = calibration.apply_bounds(made.hourly, both)
    np.testing.assert_allclose([np.median(error), np.median(upper - both.estimate)], [18.0, 1.6449 * 18.0], rtol=0.03)


def test_distance_matched_rows_stand_for_the_land_by_their_weights():
    names = np.array(["distance-matched", "whole cities", "distance-matched"], object)
    rows = dataclasses.replace(simulated(3), design=names, weight=np.array([0.5, 1.0, 1.5]))
    assert {name: weight.tolist() for name, weight in rows.designs.items()} == {
        "distance-matched": [1, 0, 1], "whole cities": [0, 1, 0], "map-matched": [0.5, 0, 1.5]}
    assert "map-matched" not in dataclasses.replace(rows, weight=np.ones(3)).designs


# --- how well it holds


def test_coverage_by_hand():
    """Four rows: one below, one above, one inside, one at the upper bound; a fifth has no truth."""
    day = np.array(["2019-01-05", "2019-04-05", "2019-07-05", "2019-10-05", "2019-01-06"], "datetime64[D]")
    estimate = np.array([20.0, 50.0, 100.0, 200.0, 10.0])
    truth = np.array([5.0, 80.0, 101.0, 210.0, np.nan])
    found = calibration.coverage(estimate, np.full(5, 10.0), estimate - 10, estimate + 10, truth,
                                 np.array([1.0, 20.0, 50.0, 100.0, 5.0]), day,
                                 {"a": np.array([1.0, 1, 0, 0, 0]), "b": np.array([0.0, 0, 1, 1, 1]),
                                  "land": np.array([3.0, 0, 1, 0, 5])})
    assert found["all"] == {"n": 4, "inside": 0.5, "below": 0.25, "above": 0.25, "width": 20.0,
                            "z_rms": pytest.approx(np.sqrt((1.5**2 + 3**2 + 0.1**2 + 1) / 4), abs=1e-4)}
    assert {name: (of["n"], of["inside"]) for name, of in found.items() if name != "all"} == {
        "winter": (1, 0.0), "spring": (1, 0.0), "summer": (1, 1.0), "autumn": (1, 1.0),
        "near": (1, 0.0), "middle": (1, 0.0), "far": (2, 1.0),
        "0-35": (1, 0.0), "35-75": (1, 0.0), "75-150": (1, 1.0), "over 150": (1, 1.0), "a": (2, 0.0), "b": (2, 1.0),
        "land": (2, 0.25)}
    land = found["land"]
    assert [land["below"], land["z_rms"]] == pytest.approx([0.75, np.sqrt((3 * 1.5**2 + 0.1**2) / 4)], abs=1e-4)


def test_cross_validation_judges_groups_by_factors_of_the_others(monkeypatch):
    seen = []

    def spy(rows):
        seen.append(set(rows.distance))
        return Calibration(flat, flat, np.ones(24))

    levels, km, season = LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS
    flat = Bounds(levels, km, season, *np.zeros((3, len(levels) + len(km) + len(season))))
    monkeypatch.setattr(calibration, "fit_calibration", spy)
    rows = dataclasses.replace(simulated(70), distance=np.repeat(np.arange(7.0), 10))
    found = calibration.cross_validated(rows, np.repeat(np.arange(7), 10))
    assert len(seen) == calibration.LEFT_OUT_PARTS and found["hourly"]["all"]["n"] == 70 * 24
    left = [set(range(7)) - group for group in seen]
    assert set.union(*left) == set(range(7)) and sum(map(len, left)) == 7
    assert calibration.cross_validated(rows, np.zeros(70)) == {}


def test_cross_validated_coverage_is_nominal():
    rows = simulated(1500, seed=1)
    found = calibration.cross_validated(rows, np.arange(1500) % 30)
    for frequency in ("hourly", "daily"):
        assert found[frequency]["all"]["inside"] == pytest.approx(0.9, abs=0.02)
        assert found[frequency]["all"]["z_rms"] == pytest.approx(1.0, abs=0.05)


def test_cross_validation_leaves_out_what_cannot_be_judged():
    """Only one group has whole days: without it there is nothing to fit, and of the others nothing to judge."""
    rows = simulated(60)
    rows.truth[:40, 10:] = np.nan
    assert calibration.cross_validated(rows, np.repeat([0, 1, 2], 20)) == {}
