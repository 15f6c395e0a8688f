"""AQ-Net behind the model interface: what it reads, what it must not read, and when it has no answer."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import MIDDLE, days, lively_model, long_cube, targets_over

from aqreanalysis import schema, time_axis
from aqreanalysis.models import features, neighbours
from aqreanalysis.models.aqnet import analysis
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS, MARGIN_HOURS, AQNetAnalysis
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.gap_filling import REACH_HOURS

pytestmark = pytest.mark.usefixtures("one_thread")

HOUR = np.timedelta64(1, "h")
DAY = days(MIDDLE)
THREE_DAYS = days(MIDDLE, MIDDLE + dt.timedelta(days=2))
BOTH = ("pm25", "pm25_standard_error")


@pytest.fixture(scope="module")
def cube():
    return long_cube()


@pytest.fixture(scope="module")
def model(cube):
    return lively_model()


def assert_same(first, second, **tolerance):
    for name in BOTH:
        np.testing.assert_allclose(first[name].values, second[name].values, **tolerance or {"rtol": 0})


class Spy:
    """A network that keeps what it is given and answers with the nearest station's value."""

    def __init__(self):
        self.windows, self.wanted, self.covariates, self.neighbours = [], [], [], 0
        self.knn = SimpleNamespace(neighbour_geometry=lambda near: None)

    def read(self, inputs, wanted, series):
        self.windows.append(inputs.numpy()), self.wanted.append(wanted.numpy())
        return series[..., 0]

    def at_targets(self, value, clock, near, covariates, geometry):
        self.neighbours = near.index.shape[1]
        self.covariates.append(covariates)
        nearest = value[near.index[:, 0].long()]
        return nearest, torch.ones_like(nearest)


def spying(**options):
    return AQNetAnalysis(Spy(), **options)


def numbered_cube():
    """Station s reads 1000 s + t in hour t."""
    cube = long_cube(stations=9, missing=0.0)
    cube["pm25"][:] = np.arange(960)[:, None] + 1000.0 * np.arange(9)[None]
    return cube


# --- the contract


def test_it_is_a_model_of_the_interface(cube, model):
    assert isinstance(model, Model) and model.fit(cube) is model
    result = model.predict(cube, targets_over(DAY, points=3))
    assert result.pm25.dims == ("time", "point") and result.pm25.shape == (24, 3)
    assert result.pm25.dtype == result.pm25_standard_error.dtype == np.float32
    np.testing.assert_array_equal(result.time, DAY)
    assert (result.pm25_standard_error > 0).all() and np.isfinite(result.pm25).all()


def test_it_is_not_only_kriging(cube, model):
    """Else the tests below could not fail for the network's part."""
    kriging = Kriging(k=model.k).predict(cube, targets_over(DAY))
    assert np.abs(model.predict(cube, targets_over(DAY)).pm25 - kriging.pm25).mean() > 3


def test_the_standard_error_is_a_laplace_distributions(cube):
    result = spying().predict(cube, targets_over(DAY))
    np.testing.assert_allclose(result.pm25_standard_error, np.sqrt(2.0), rtol=1e-6)


def test_at_a_station_its_observation(cube, model):
    result = model.predict(cube, schema.make_targets(THREE_DAYS, cube.lat, cube.lon)).pm25.values
    observed = cube.pm25.sel(time=THREE_DAYS).values
    seen = np.isfinite(observed)
    assert 0.8 < seen.mean() < 1.0
    np.testing.assert_allclose(result[seen], observed[seen], rtol=1e-5, atol=1e-3)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("k", [4, 12])
def test_the_number_of_neighbours_is_settable(cube, k):
    spy = spying(k=k)
    spy.predict(cube, targets_over(DAY))
    assert spy.network.neighbours == k


def test_no_place_at_all(cube, model):
    assert model.predict(cube, schema.make_targets(DAY, [], [])).pm25.shape == (24, 0)


def test_one_station_is_too_few(cube, model):
    """Gaps are filled from neighbours: of one station alone nothing is said, and nothing fails."""
    assert np.isnan(model.predict(cube.isel(station=[0]), targets_over(DAY)).to_array()).all()


def test_two_stations_and_one_pollutant_are_enough(cube, model):
    pair = cube.isel(station=[0, 1])
    alone = schema.make_station_cube(pair.time, pair.station, pair.lat, pair.lon, {"pm25": pair.pm25.values})
    assert np.isfinite(model.predict(alone, targets_over(DAY)).pm25).all()


# --- hours: each estimate is of its own hour and of its own day's window


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 71), min_size=1, max_size=30))
def test_every_hour_is_its_own_in_any_order(rows):
    """1000 s + t is found for hour t at station s, whichever hours are asked for."""
    cube = numbered_cube()
    hours = THREE_DAYS[rows]
    result = spying().predict(cube, schema.make_targets(hours, cube.lat, cube.lon))
    t = (hours - cube.time.values[0]) / HOUR
    np.testing.assert_array_equal(result.pm25, t[:, None] + 1000.0 * np.arange(9))


def test_the_days_window_is_the_calendar_day_with_margins():
    """16:00Z ends a day of UTC+8 and 17:00Z begins the next; 24 hours and 12 on either side."""
    cube = numbered_cube()
    model = spying()
    midnight = np.datetime64("2019-01-20T16:00", "ns")
    model.predict(cube, schema.make_targets([midnight, midnight + HOUR], [38.0], [115.0]))
    windows = model.network.windows
    np.testing.assert_array_equal([*model.network.wanted[0], *model.network.wanted[1]],
                                  [MARGIN_HOURS + 23, MARGIN_HOURS])
    for window, last in zip(windows, (midnight, midnight + 24 * HOUR), strict=True):
        stamps = last + np.arange(-23 - MARGIN_HOURS, 1 + MARGIN_HOURS) * HOUR
        np.testing.assert_array_equal(window[0, :, -6:], features.cyclic_time(stamps))
        assert len(set(time_axis.local_days(stamps[MARGIN_HOURS:-MARGIN_HOURS]))) == 1
        t = (stamps - cube.time.values[0]) / HOUR
        logarithm = np.log(t[None] + 1000.0 * np.arange(9)[:, None] + 5.0) - 3.5
        np.testing.assert_allclose(window[:, :, 0], logarithm, rtol=1e-5)


def test_a_window_has_as_many_inputs_as_the_network():
    from aqreanalysis.models.aqnet.network import INPUTS

    cube = long_cube(stations=4)
    model = spying()
    model.predict(cube, targets_over(DAY))
    assert model.network.windows[0].shape == (4, 48, INPUTS + features.CLOCK_FEATURES)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_days_one_at_a_time_or_together(missing):
    """The same to the bit without gaps. A gap is filled with the station's bias, whose window of 15 days needs the
    filled values of days farther off: these differ in what they know, by a hundredth of what an instrument tells apart
    (1 ug m-3) at most."""
    cube = long_cube(missing=missing)
    cube["pm25"] = cube.pm25 + np.float32(10) * (np.arange(25, dtype=np.float32) % 3)  # stations with a bias
    model = lively_model()
    together = model.predict(cube, targets_over(THREE_DAYS))
    for number in range(3):
        rows = slice(24 * number, 24 * number + 24)
        alone = model.predict(cube, targets_over(THREE_DAYS[rows]))
        assert_same(alone, together.isel(time=rows), rtol=0, atol=1e-2 if missing else 0)


def test_hours_of_a_day_apart_or_together(cube, model):
    whole = model.predict(cube, targets_over(DAY))
    some = [2, 3, 17]
    assert_same(model.predict(cube, targets_over(DAY[some])), whole.isel(time=some), rtol=1e-5)


# --- places


def test_points_in_parts_or_together(cube, model, monkeypatch):
    whole = model.predict(cube, targets_over(DAY))
    monkeypatch.setattr(analysis, "TARGETS_AT_ONCE", 7)  # 30 points: 7 + 7 + 7 + 7 + 2
    assert_same(model.predict(cube, targets_over(DAY)), whole, rtol=1e-4)
    one = targets_over(DAY).isel(point=[11])
    assert_same(model.predict(cube, one), whole.isel(point=[11]), rtol=1e-4)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_stations_does_not_matter(seed):
    cube = long_cube()
    model = lively_model()
    order = np.random.default_rng(seed).permutation(cube.sizes["station"])
    first, second = (model.predict(c, targets_over(DAY)) for c in (cube, cube.isel(station=order)))
    assert_same(first, second, rtol=1e-4, atol=1e-3)


def test_the_same_bits_every_time(cube, model, monkeypatch):
    first = model.predict(cube, targets_over(DAY))
    monkeypatch.setattr(neighbours, "_KEPT", type(neighbours._KEPT)())
    assert_same(model.predict(cube, targets_over(DAY)), first, rtol=0)


# --- leakage


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["before", "after"]))
def test_values_outside_history_and_future_change_nothing(seed, side):
    cube = long_cube()
    model = lively_model()
    outside = (cube.time.values < DAY[0] - model.history * HOUR if side == "before"
               else cube.time.values > DAY[-1] + model.future * HOUR)
    assert outside.any()
    rng = np.random.default_rng(seed)
    changed = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        changed[name][outside] = rng.gamma(2.0, 200.0, (outside.sum(), cube.sizes["station"]))
    assert_same(model.predict(changed, targets_over(DAY)), model.predict(cube, targets_over(DAY)), rtol=0)


@pytest.mark.parametrize("hour", [DAY[0] - (MARGIN_HOURS + 1) * HOUR, DAY[-1] + CONTEXT_HOURS * HOUR - 12 * HOUR])
def test_values_inside_do_change_the_estimate(hour):
    """So the test above could fail: the window of the bias reaches far beyond the day's window."""
    cube = long_cube()
    model = lively_model()
    changed = cube.copy(deep=True)
    changed["pm25"].loc[{"time": hour}] = 900.0 * (np.arange(cube.sizes["station"]) % 2)
    difference = model.predict(changed, targets_over(DAY)).pm25 - model.predict(cube, targets_over(DAY)).pm25
    assert np.abs(difference).max() > 1e-4


def test_a_cube_cut_to_history_and_future_is_enough(cube, model):
    cut = cube.sel(time=slice(DAY[0] - model.history * HOUR, DAY[-1] + model.future * HOUR))
    assert cut.sizes["time"] == 24 + 2 * CONTEXT_HOURS < cube.sizes["time"]
    assert_same(model.predict(cut, targets_over(DAY)), model.predict(cube, targets_over(DAY)), rtol=0)


def test_a_station_that_is_silent_for_the_whole_context_adds_nothing_of_other_times(cube, model):
    outside = (cube.time < DAY[0] - CONTEXT_HOURS * HOUR) | (cube.time > DAY[-1] + CONTEXT_HOURS * HOUR)
    silent = [cube.assign({name: cube[name].where((cube.station != "S003") | outside & keep)
                           for name in schema.POLLUTANTS}) for keep in (False, True)]
    assert_same(*(model.predict(c, targets_over(DAY)) for c in silent), rtol=0)


def test_predict_changes_neither_cube_nor_targets(cube, model):
    before, wanted = cube.copy(deep=True), targets_over(DAY)
    asked = wanted.copy(deep=True)
    model.predict(cube, wanted)
    assert cube.identical(before) and wanted.identical(asked)


# --- outages


def test_a_long_outage_is_open_in_the_middle_and_bridged_near_data(cube, model):
    """40 hours without any PM2.5: twelve at either end have a value, the sixteen between have none."""
    first, length = DAY[3], 40
    silent = (cube.time >= first) & (cube.time < first + length * HOUR)
    gap = cube.assign(pm25=cube.pm25.where(~silent))
    result = model.predict(gap, targets_over(THREE_DAYS))
    since = (THREE_DAYS - first) / HOUR
    known = (since < REACH_HOURS) | (since >= length - REACH_HOURS)
    for name in BOTH:
        np.testing.assert_array_equal(np.isfinite(result[name].values).all(axis=1), known)
        np.testing.assert_array_equal(np.isfinite(result[name].values).any(axis=1), known)


def test_beyond_the_record_there_is_nothing(cube, model):
    end = cube.time.values[-1]
    hours = end + np.arange(1, 40) * HOUR
    result = model.predict(cube, targets_over(hours))
    np.testing.assert_array_equal(np.isfinite(result.pm25.values).all(axis=1), np.arange(1, 40) <= REACH_HOURS)


def test_a_silent_corner_of_the_network_still_has_an_estimate(cube, model):
    """All stations west of 115 E silent for days: kriging from the others, not NaN."""
    silent = (cube.lon < 115) & (cube.time >= DAY[0] - 50 * HOUR) & (cube.time <= DAY[-1] + 50 * HOUR)
    assert 3 < (cube.lon < 115).sum() < 15
    result = model.predict(cube.assign(pm25=cube.pm25.where(~silent)), targets_over(DAY))
    assert np.isfinite(result.pm25).all()
