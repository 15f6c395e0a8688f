"""Gradient boosting on kriging's residual: features by hand, no leak, and a fault of kriging that it learns."""

import sys

import numpy as np
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.baselines.kriging import Kriging


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=24 * 6, stations=40, missing=0.1)


@pytest.fixture(scope="module")
def model(cube):
    return boosting.train(boosting.left_out_rows(cube, days_of(cube), seed=0))


def days_of(cube):
    return np.unique(time_axis.local_days(cube.time.values))[1:-1]


def targets(cube, points=5, seed=1):
    rng = np.random.default_rng(seed)
    return schema.make_targets(cube.time.values[24:48], rng.uniform(37, 39, points), rng.uniform(114, 118, points))


def test_it_is_a_model_of_the_interface(cube, model):
    assert isinstance(model, Model)
    wanted = targets(cube)
    result = model.predict(cube, wanted)
    assert result.pm25.shape == (24, 5) and (result.pm25 >= 0).all()
    np.testing.assert_array_equal(result.pm25_standard_error, Kriging().predict(cube, wanted).pm25_standard_error)
    assert model.predict(cube, schema.make_targets(cube.time.values[24:48], [], [])).pm25.shape == (24, 0)


def test_features_by_hand():
    """Three stations on a meridian, the target on the second's south: departures are over kriging plus 20."""
    hours = time_axis.complete_hours("2019-01-02T00", "2019-01-02T10")
    pm25 = np.stack([np.arange(11.0), np.full(11, 50.0), np.full(11, 80.0)], axis=1)
    cube = schema.make_station_cube(hours, ["A", "B", "C"], [36.0, 37.0, 38.0], [115.0] * 3,
                                    {"pm25": pm25, "so2": np.full((11, 3), 7.0)})
    wanted = schema.make_targets(hours[5:6], [36.1], [115.0])
    kriged = schema.make_estimate(wanted, [[30.0]], [[10.0]])
    (row,) = boosting.features(cube, wanted, kriged)
    assert row[:2].tolist() == pytest.approx([30.0, 10 / 50])
    assert row[2:5].tolist() == pytest.approx([(5 - 30) / 50, 20 / 50, 50 / 50])  # A, B, C: nearest first
    assert np.isnan(row[5:2 + boosting.FEATURE_NEIGHBOURS]).all()                          # there are no more
    lags = row[2 + boosting.FEATURE_NEIGHBOURS:][:len(boosting.LAGS)]
    assert lags.tolist() == pytest.approx([lag / 3 / 50 for lag in boosting.LAGS])  # only A changes, 1 an hour
    others = row[2 + boosting.FEATURE_NEIGHBOURS + len(boosting.LAGS):][:5]
    assert others[1] == 7.0 and np.isnan(np.delete(others, 1)).all()


def test_what_a_left_out_station_reads_is_in_no_feature(cube):
    """Another value at stations that are hidden on a day changes residuals, never features."""
    day = days_of(cube)[2:3]
    hidden = boosting._hidden(cube.lat.values, cube.lon.values, np.random.default_rng([0, int(day[0].astype(int))]))
    other = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        other[name].values[:, hidden] += 500.0
    before, after = (boosting.left_out_rows(c, day, seed=0) for c in (cube, other))
    assert 0 < hidden.sum() < 40 and len(before.residual)
    np.testing.assert_array_equal(before.features, after.features)
    assert (after.residual > before.residual).all()


def test_an_hour_without_observations_is_missing(cube, model):
    wanted = targets(cube)
    silent = cube.assign(pm25=cube.pm25.where(cube.time != wanted.time[3]))
    result = model.predict(silent, wanted).pm25.values
    assert np.isnan(result[3]).all() and np.isfinite(np.delete(result, 3, axis=0)).all()


def test_it_learns_what_kriging_can_not_know():
    """PM2.5 steps from 60 to 90 at 38 N. Kriging smooths it; the neighbours' SO2 says on which side they lie."""
    rng = np.random.default_rng(0)
    hours = time_axis.complete_hours("2019-01-01T00", "2019-01-12T23")
    lat, lon = rng.uniform(36, 40, 60), rng.uniform(113, 119, 60)
    north = np.where(lat > 38, 1.0, 0.0)
    pm25 = 60 + 30 * north[None] + rng.normal(0, 1, (len(hours), 60))
    cube = schema.make_station_cube(hours, [f"S{i}" for i in range(60)], lat, lon,
                                    {"pm25": pm25, "so2": np.broadcast_to(100 * north, pm25.shape)})
    model = boosting.train(boosting.left_out_rows(cube, days_of(cube), seed=0))
    inside = np.flatnonzero(np.abs(lat - 38) < 0.4)[:6]
    given = cube.isel(station=np.setdiff1d(np.arange(60), inside)).isel(time=slice(24, 72))
    wanted = schema.make_targets(given.time.values[6:30], lat[inside], lon[inside])
    truth = cube.pm25.sel(time=wanted.time).values[:, inside]
    errors = [np.abs(m.predict(given, wanted).pm25.values - truth).mean() for m in (Kriging(), model)]
    assert errors[1] < errors[0]


def test_the_same_days_give_the_same_trees(cube, model):
    assert boosting.train(boosting.left_out_rows(cube, days_of(cube), seed=0)).text == model.text


def test_lightgbm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UserError, match="not installed.*--boosting"):
        boosting.lightgbm()


def test_no_day_to_learn_from(cube):
    with pytest.raises(UserError, match="no day"):
        boosting.left_out_rows(cube, np.array([], "datetime64[D]"), seed=0)
