"""Forecasters behind the interface of every model: nothing after the hour of issue is known; errors say what to do."""

import numpy as np
import pytest
import xarray as xr
from forecast_fixtures import LEVEL, cube, lively
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.models.base import Model, Prepared
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import Forecaster, kinds
from aqreanalysis.models.forecast.series import point_neighbours, station_series
from aqreanalysis.time_axis import HOUR

HISTORY, HORIZON = 24, 12
OPTIONS = {"aqnet": {"width": 8, "heads": 2, "hidden": 8}, "lstm": {"width": 8}, "ridge": {"network": 6},
           "patchtst": {"patch": 8, "stride": 4, "width": 8, "heads": 2}}


def forecaster(kind, of, **more):
    network = lively(kinds.make(kind, HISTORY, HORIZON, LEVEL, OPTIONS.get(kind, {})))
    return Forecaster(network, Scaler.fit(of), HISTORY, HORIZON, k=6, name=kind, **more)


def targets_after(of, leads=range(1, HORIZON + 1), points=None):
    lat, lon = (of.lat.values, of.lon.values) if points is None else points
    return schema.make_targets(of.time.values[-1] + np.asarray(leads) * HOUR, lat, lon)


@pytest.mark.parametrize("kind", sorted(kinds.FORECAST_KINDS))
def test_a_forecaster_is_a_model_and_its_fast_path_agrees(kind):
    of = cube()
    model = forecaster(kind, of, error=np.arange(HORIZON, dtype=np.float32))
    assert isinstance(model, Model) and model.fit(of) is model
    last = 100
    known = of.isel(time=slice(0, last + 1))
    found = model.predict(known, targets_after(known))
    data = station_series(of, model.scaler)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, 6)
    fast = model.at_origins(data, np.array([40, last, 300]), near)[1]
    np.testing.assert_allclose(found.pm25.values, fast.T, rtol=1e-4, atol=1e-3)
    assert (found.pm25_standard_error.values == np.arange(HORIZON)[:, None]).all()


@settings(max_examples=20, deadline=None)
@given(hour=st.integers(1, 60), station=st.integers(0, 5), name=st.sampled_from(schema.POLLUTANTS),
       value=st.one_of(st.just(np.nan), st.floats(0, 900)))
@pytest.mark.parametrize("kind", ["aqnet", "ridge", "lstm"])
def test_no_value_after_the_hour_of_issue_changes_a_forecast(kind, hour, station, name, value):
    of, last = cube(hours=24 * 8), 120
    model = forecaster(kind, of)
    changed = of.copy(deep=True)
    changed[name].values[last + hour, station] = value
    near = point_neighbours(of.lat.values, of.lon.values, of.lat.values, of.lon.values, 6)
    before, after = (model.at_origins(station_series(c, model.scaler), np.array([last]), near) for c in (of, changed))
    np.testing.assert_array_equal(before, after)


@settings(max_examples=10, deadline=None)
@given(hour=st.integers(HISTORY, 60))
def test_no_value_before_the_window_does_either(hour):
    of, last = cube(hours=24 * 8), 120
    model = forecaster("aqnet", of)
    changed = of.copy(deep=True)
    changed.pm25.values[last - hour] = 500.0
    known = slice(0, last + 1)
    first, second = (model.predict(c.isel(time=known), targets_after(c.isel(time=known))) for c in (of, changed))
    np.testing.assert_array_equal(first.pm25.values, second.pm25.values)


def test_a_value_inside_the_window_does_change_it():
    of = cube(hours=24 * 8, missing=0.0)
    for kind in ("aqnet", "ridge", "lstm", "dlinear", "patchtst", "persistence"):
        changed = of.copy(deep=True)
        changed.pm25.values[-1, 2] += 60.0
        model = forecaster(kind, of)
        first, second = (model.predict(c, targets_after(c)).pm25.values[:, 2] for c in (of, changed))
        assert not np.allclose(first, second), kind


def test_what_is_prepared_once_is_what_is_predicted():
    of = cube()
    model = forecaster("aqnet", of, error=np.ones(HORIZON))
    prepared = model.prepare(of, targets_after(of).time.values)
    xr.testing.assert_identical(prepared.at(targets_after(of)), model.predict(of, targets_after(of)))
    supporters = prepared.supporters(of.lat.values, of.lon.values)
    assert isinstance(prepared, Prepared) and supporters.at_most == 6
    assert supporters.index[:, 0].tolist() == list(range(of.sizes["station"]))


def test_members_that_callers_use():
    model = forecaster("ridge", cube())
    assert (model.history, model.future, model.fields, model.calibration) == (HISTORY, 0, (), None)
    assert model.co_pollutants == HISTORY + HORIZON


def test_some_leads_are_the_rows_of_all():
    of = cube()
    model = forecaster("aqnet", of)
    whole, some = (model.predict(of, targets_after(of, leads)).pm25.values for leads in (range(1, 13), (3, 12)))
    np.testing.assert_array_equal(some, whole[[2, 11]])


def test_a_point_without_a_station_is_forecast_from_its_neighbours():
    of = cube(missing=0.0)
    away = (np.array([38.0]), np.array([116.0]))
    for kind, options in (("aqnet", {}), ("aqnet", {"knn": False}), ("ridge", {}), ("persistence", {})):
        model = forecaster(kind, of)
        model.network = lively(kinds.make(kind, HISTORY, HORIZON, LEVEL, OPTIONS.get(kind, {}) | options))
        found = model.predict(of, targets_after(of, points=away)).pm25.values
        assert found.shape == (HORIZON, 1) and np.isfinite(found).all(), kind
    spread = of.pm25.values[-1]
    still = forecaster("persistence", of).predict(of, targets_after(of, points=away)).pm25.values
    assert spread.min() <= still.min() and still.max() <= spread.max()


def test_forecasts_are_concentrations():
    of = cube()
    of.pm25.values[:] *= 1e-3
    assert (forecaster("aqnet", of).predict(of, targets_after(of)).pm25.values >= 0).all()


def test_a_window_without_any_report_gives_nothing():
    of = cube()
    of.pm25.values[-HISTORY:] = np.nan
    found = forecaster("ridge", of, error=np.ones(HORIZON)).predict(of, targets_after(of))
    assert np.isnan(found.pm25.values).all() and np.isnan(found.pm25_standard_error.values).all()
    nobody = forecaster("ridge", of, error=np.ones(HORIZON)).predict(of.isel(station=slice(0)), targets_after(of))
    assert np.isnan(nobody.pm25.values).all() and nobody.pm25.shape == (HORIZON, of.sizes["station"])


@pytest.mark.parametrize("leads, message", [([0], "0 to 0 hours"), ([1, 13], "1 to 13 hours")])
def test_hours_that_are_no_forecast_are_refused(leads, message):
    of = cube()
    with pytest.raises(UserError, match=message) as error:
        forecaster("ridge", of).predict(of, targets_after(of, leads))
    assert "1 to 12 hours ahead" in error.value.rule


def test_too_short_a_history_is_refused():
    of = cube(hours=23)
    with pytest.raises(UserError, match="23 hours"):
        forecaster("ridge", of).predict(of, targets_after(of))
