"""What every model keeps to, whoever wrote it (models/base.py). A new model is added to MODELS."""

import numpy as np
import pytest
import xarray as xr
from models_fixtures import lively_calibration, lively_graph_model, lively_model

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.fields.static import static_covariates
from aqreanalysis.models import registry
from aqreanalysis.models.base import Model, Prepared
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.calibrated import with_calibration
from aqreanalysis.models.graph.kinds import KINDS
from aqreanalysis.models.sites import Sites

HOURS = 240


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=HOURS, stations=24, missing=0.15)


def calibrated(cube):
    model = lively_model(cube)
    model.calibration = lively_calibration()
    return model


MODELS = {name: lambda cube, entry=entry: entry.make(None) for name, entry in registry.BASELINES.items()}
MODELS |= {"boosting": lambda cube: boosting.train(boosting.left_out_rows(
               cube, np.unique(cube.time.values.astype("datetime64[D]"))[2:5], seed=0)),
           "AQ-Net": lively_model, "AQ-Net, calibrated": calibrated}
MODELS |= {kind: lambda cube, kind=kind: lively_graph_model(kind) for kind in KINDS}


@pytest.fixture(scope="module", params=MODELS)
def model(request, cube):
    return MODELS[request.param](cube)


def hours_of(cube, *rows):
    return cube.time.values[list(rows)]


def targets(hours, points=7, seed=1):
    rng = np.random.default_rng(seed)
    return schema.make_targets(hours, rng.uniform(35, 41, points), rng.uniform(112, 120, points))


def checked(model, estimate, asked):
    """The shape of the targets; the variables that the model has; an error and bounds exactly where it says a value."""
    bounds = {schema.LOWER, schema.UPPER} if model.calibration else set()
    assert set(estimate.data_vars) == {schema.TARGET, schema.STANDARD_ERROR} | bounds
    known = np.isfinite(estimate.pm25.values)
    for name, array in estimate.data_vars.items():
        assert array.dims == ("time", "point") and array.dtype == np.float32
        assert array.shape == (asked.sizes["time"], asked.sizes["point"])
        np.testing.assert_array_equal(np.isfinite(array.values), known, name)
        assert (array.values[known] >= 0).all()
    assert estimate.lat.equals(asked.lat) and (estimate.time == asked.time).all()
    return known


def test_factors_are_those_of_its_places_and_days(model, cube):
    """Given some, its errors are its raw ones times what they are for level, distance, season and people round it."""
    asked, made = targets(hours_of(cube, 30, 31, 60)), lively_calibration()
    raw, found = (with_calibration(model, of).predict(cube, asked) for of in (None, made))
    distance = geo.nearest(cube.lat.values, cube.lon.values, asked.lat.values, asked.lon.values, 1)[1][:, 0]
    people = np.log1p(static_covariates(asked.lat.values, asked.lon.values).population_5km.values)
    assert np.ptp(people) > 2
    expected = made.hourly.apply(raw.pm25.values, raw.pm25_standard_error.values, Sites(distance, people),
                                 time_axis.local_days(asked.time.values)[:, None])
    np.testing.assert_array_equal(found.pm25, raw.pm25)
    for name, array in zip((schema.STANDARD_ERROR, schema.LOWER, schema.UPPER), expected, strict=True):
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4, err_msg=name)


def test_it_has_every_member_that_callers_use(model, cube):
    assert isinstance(model, Model) and isinstance(model.prepare(cube, cube.time.values), Prepared)
    assert model.name and model.history >= 0 and model.future >= 0 and isinstance(model.fields, tuple)
    assert model.co_pollutants is None or model.co_pollutants >= 0
    assert model.fit(cube) is model or type(model.fit(cube)) is type(model)


def test_what_is_prepared_once_is_what_is_predicted(model, cube):
    asked = targets(hours_of(cube, *range(100, 148)))
    whole = model.predict(cube, asked)
    assert checked(model, whole, asked).all()
    xr.testing.assert_identical(model.prepare(cube, asked.time.values).at(asked), whole)


def test_an_estimate_does_not_depend_on_what_else_is_asked(model, cube):
    """In tiles and blocks, in another order: the same but for how a matrix product of another shape is rounded.

    A lower bound is the difference of two numbers as large as the upper one, so that its rounding is relative to that.
    """
    asked = targets(hours_of(cube, *range(100, 148)), points=9)
    prepared = model.prepare(cube, asked.time.values)
    whole = prepared.at(asked)
    for points, rows in ((slice(0, 4), slice(0, 24)), (slice(4, 9), slice(24, 48)), ([8], [47, 3]), ([5, 2, 0], [1])):
        part = asked.isel(point=points, time=rows)
        alone, among = prepared.at(part), whole.isel(point=points, time=rows)
        for name in among.data_vars:
            size = among[schema.UPPER if name == schema.LOWER else name]
            assert (abs(alone[name] - among[name]) <= 1e-4 + 1e-5 * size).all(), name
        assert alone.drop_vars(alone.data_vars).identical(among.drop_vars(among.data_vars))


def test_the_order_of_stations_means_nothing(model, cube):
    asked = targets(hours_of(cube, *range(100, 124)))
    whole = model.predict(cube, asked)
    turned = model.predict(cube.isel(station=np.random.default_rng(0).permutation(cube.sizes["station"])), asked)
    for name in whole.data_vars:
        np.testing.assert_allclose(turned[name], whole[name], rtol=2e-4, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("stations", [0, 1, 2])
def test_hardly_any_station(model, cube, stations):
    asked = targets(hours_of(cube, *range(100, 148)))
    few = cube.isel(station=slice(stations))
    known = checked(model, model.predict(few, asked), asked)
    assert stations or not known.any()
    supporters = model.prepare(few, asked.time.values).supporters(asked.lat.values, asked.lon.values)
    assert supporters.index.shape == supporters.distance.shape and len(supporters.index) == asked.sizes["point"]


def test_targets_later_than_the_stations(model, cube):
    """An estimate where the model reaches so far, else none; never an error, and never from what comes later."""
    asked = targets(hours_of(cube, *range(100, 140)))
    early = cube.isel(time=slice(0, 110))
    known = checked(model, model.predict(early, asked), asked)
    assert known[:10].all() and not known[-1].any()


def test_an_hour_and_a_network_without_data(model, cube):
    silent = cube.copy(deep=True)
    silent["pm25"][110:140] = np.nan
    asked = targets(hours_of(cube, *range(100, 150)))
    known = checked(model, model.predict(silent, asked), asked)
    assert known[:10].all() and known[40:].all() and not known[25].any()
    silent["pm25"][:] = np.nan
    assert not checked(model, model.predict(silent, asked), asked).any()


def test_a_silent_neighbourhood(model, cube):
    """None of the near stations reports: what is said, if anything, comes with an error."""
    asked = schema.make_targets(hours_of(cube, *range(100, 124)), [36.2], [113.2])
    far = np.hypot(cube.lat.values - 36.2, cube.lon.values - 113.2) > 3.0
    checked(model, model.predict(cube.assign(pm25=cube.pm25.where(xr.DataArray(far, dims="station"))), asked), asked)


def test_no_target_at_all(model, cube):
    for asked in (schema.make_targets(hours_of(cube, 100), [], []), schema.make_targets([], [38.0], [115.0])):
        checked(model, model.predict(cube, asked), asked)


def test_supporters_are_stations_nearest_first(model, cube):
    asked = targets(hours_of(cube, *range(100, 124)))
    found = model.prepare(cube, asked.time.values).supporters(asked.lat.values, asked.lon.values)
    assert found.index.max() < cube.sizes["station"] and (np.diff(found.distance, axis=1) >= 0).all()
    assert found.at_most is None or 1 <= found.at_most


def test_a_station_that_is_no_supporter_has_no_part(model, cube):
    """Only what `supporters` lists can move an estimate, unless every station takes part; where nothing is missing, for
    gaps may be filled from any others."""
    cube = cube.assign(pm25=cube.pm25.fillna(60.0))
    asked = schema.make_targets(hours_of(cube, *range(100, 124)), [38.0], [115.0])
    found = model.prepare(cube, asked.time.values).supporters(asked.lat.values, asked.lon.values)
    others = np.setdiff1d(np.arange(cube.sizes["station"]), found.index)
    if found.at_most is None or not others.size:
        pytest.skip("every station may take part")
    changed = cube.copy(deep=True)
    changed["pm25"][:, others] = 999.0
    xr.testing.assert_identical(model.predict(changed, asked), model.predict(cube, asked))
