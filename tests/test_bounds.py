"""Bounds in the cubes: there with a calibrated checkpoint, absent with another, in order, and days from hours."""

import datetime as dt
from dataclasses import replace

import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import lively_calibration, lively_model, long_cube

from aqreanalysis import output
from aqreanalysis.fields.static import static_covariates
from aqreanalysis.models import checkpoint
from aqreanalysis.models.sites import Sites
from aqreanalysis.output import cf, daily, encoding
from aqreanalysis.product.month import analyse_month, blocks
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.time_axis import Period
from aqreanalysis.workflows.describe import describe

DAYS = np.array(["2016-01-30", "2016-01-31"], "datetime64[D]")
NAMES = {"pm25_lower", "pm25_upper"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two days of the twin at four points, by the shipped network with factors of our own: plan, facts of the month."""
    folder = tmp_path_factory.mktemp("calibrated")
    model, card = checkpoint.load(checkpoint.locate(None))
    own = checkpoint.save(folder / "network", model.network, replace(card, calibration=lively_calibration().asdict()))
    (folder / "points.csv").write_text("station_id,lon,lat\na,116.4,39.9\nb,114.5,38.0\nc,110.0,33.0\nd,122.0,35.0\n")
    request = BuildRequest(start="2016-01-30", end="2016-01-31", grid=str(folder / "points.csv"), checkpoint=str(own),
                           out=str(folder / "product"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQREANALYSIS_DATA", str(folder / "nothing"))
        plan = prepare(request)
        _, facts = analyse_month(plan.job, plan.period)
    kept = daily.read_month_days(plan.folder.days_of(plan.period), cf.fields_of(cf.DAILY, plan.about))
    output.write_daily(plan.folder.path / "simulated_pm25_daily_2016.nc", plan.grid, DAYS, [kept], plan.about)
    return request, plan, facts


def opened(made, name):
    with xr.open_dataset(made[1].folder.path / f"simulated_{name}.nc") as file:
        return file.load()


@pytest.mark.parametrize("name", ["pm25_hourly_201601", "pm25_daily_2016"])
def test_bounds_stand_on_either_side_and_say_what_they_are(made, name):
    cube = opened(made, name)
    assert (cube.pm25_lower <= cube.pm25).all() and (cube.pm25 <= cube.pm25_upper).all()
    assert (cube.pm25_lower >= 0).all() and float((cube.pm25_upper - cube.pm25_lower).min()) > 0
    assert set(cube.pm25.attrs["ancillary_variables"].split()) > NAMES
    for bound, side in (("pm25_lower", "below"), ("pm25_upper", "above")):
        assert f"5 % of what stations observe lies {side}" in cube[bound].attrs["long_name"]
        assert "5 stations from 2019-01-01 to 2019-12-31" in cube[bound].attrs["comment"]
        assert cube[bound].attrs["units"] == "ug m-3" and cube[bound].dtype == np.float32


def test_days_from_hours_by_hand(made):
    """The error of a mean of 24: sum over pairs of hours of s_i s_j r(|i - j|), over 24^2; then the factors of days."""
    hourly, daily, own = opened(made, "pm25_hourly_201601"), opened(made, "pm25_daily_2016"), lively_calibration()
    error, distance = hourly.pm25_standard_error.values.astype(float), hourly.distance_to_nearest_station.values
    people = np.log1p(static_covariates(hourly.lat.values, hourly.lon.values).population_5km.values)
    for day in range(2):
        hours = slice(24 * day, 24 * day + 24)
        for point in range(4):
            s = error[hours, point]
            raw = np.sqrt(sum(s[i] * s[j] * own.correlation[abs(i - j)] for i in range(24) for j in range(24))) / 24
            mean = hourly.pm25.values[hours, point].mean()
            found = own.daily.apply(np.float32([mean]), np.float32([raw]),
                                    Sites(distance[[point]], people[[point]]), DAYS[[day]])
            got = [daily[name].values[day, point] for name in ("pm25_standard_error", "pm25_lower", "pm25_upper")]
            np.testing.assert_allclose(got, np.ravel(found), rtol=0.01)


def test_another_calibration_is_another_product(made, tmp_path, monkeypatch):
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path))
    request, plan, _ = made
    assert " calibrated " in plan.identity["checkpoint"]
    model, card = checkpoint.load(checkpoint.locate(request.checkpoint))
    card = replace(card, calibration=lively_calibration(1).asdict())
    other = checkpoint.save(tmp_path / "other", model.network, card)
    elsewhere = prepare(replace(request, checkpoint=str(other), out=str(tmp_path / "product")))
    assert {key for key in plan.identity if plan.identity[key] != elsewhere.identity[key]} == {"checkpoint"}


def test_the_twins_truth_is_counted_inside_the_bounds(made):
    hourly, truth = opened(made, "pm25_hourly_201601"), opened(made, "truth_hourly_201601")
    inside = (hourly.pm25_lower.values <= truth.pm25.values) & (truth.pm25.values <= hourly.pm25_upper.values)
    classes = made[2]["true_error"].values()
    assert sum(of["cell_hours"] for of in classes) == 48 * 4
    assert sum(of["covered_90"] for of in classes) == int(inside.sum())


def test_described_with_their_ranges(made):
    facts = describe(str(made[1].folder.path))
    for kind in ("hourly", "daily"):
        assert set(facts.kinds[kind].fields) == {"pm25", "pm25_standard_error", *NAMES}


# --- without a calibration


@pytest.mark.parametrize("kind", ["hourly", "daily"])
def test_a_file_without_bounds(tmp_path, kind):
    """What an old checkpoint gives: neither the variables nor their names."""
    grid = samples.grid("regular", tmp_path)
    values = samples.fields(grid.size) if kind == "hourly" else samples.daily_fields(samples.fields(grid.size))
    values = {name: array for name, array in values.items() if name not in NAMES}
    about = replace(samples.about(), bounds="")
    if kind == "hourly":
        with samples.hourly_writer(tmp_path / "f.nc", grid, words=about) as file:
            file.write(0, values)
    else:
        output.write_daily(tmp_path / "f.nc", grid, samples.DAYS, [values], about)
    with xr.open_dataset(tmp_path / "f.nc") as cube:
        assert not NAMES & set(cube.variables) and "lower" not in cube.pm25.attrs["ancillary_variables"]


def test_a_block_has_what_the_file_has(tmp_path):
    grid = samples.grid("regular", tmp_path)
    values = {name: array for name, array in samples.fields(grid.size).items() if name not in NAMES}
    with (pytest.raises(ValueError, match="pm25_lower"),
          samples.hourly_writer(tmp_path / "f.nc", grid) as file):
        file.write(0, values)
    assert not (tmp_path / "f.nc").exists()


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_silent_month_has_the_same_variables(calibrated):
    cube, month = long_cube(), Period(dt.date(2019, 1, 20), dt.date(2019, 1, 21))
    model = replace(lively_model(cube), calibration=lively_calibration() if calibrated else None)
    grid = type("Grid", (), dict(lat=np.array([38.0]), lon=np.array([115.0]), land=np.array([True]), size=1,
                                 kind="points"))()
    found = [next(blocks(model, of, grid, month)).arrays for of in (cube, cube.isel(station=[]))]
    assert set(found[0]) == set(found[1]) and (NAMES <= set(found[0])) == calibrated


# --- rounding


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 5000, width=32), st.floats(0, 1), st.floats(0, 3))
def test_rounding_keeps_bounds_on_their_sides(pm25, down, up):
    values = {"pm25": pm25, "pm25_lower": pm25 * down, "pm25_upper": pm25 * (1 + up)}
    values = {name: np.float32([value]) for name, value in values.items()}
    lower, middle, upper = (encoding.rounded(name, values[name]) for name in ("pm25_lower", "pm25", "pm25_upper"))
    assert lower <= middle <= upper
    assert lower <= values["pm25_lower"] <= lower * (1 + 2.0**-8) + 1e-30
    assert values["pm25_upper"] <= upper <= values["pm25_upper"] * (1 + 2.0**-8) + 1e-30
    for name, array in (("pm25_lower", lower), ("pm25_upper", upper)):
        np.testing.assert_array_equal(encoding.rounded(name, array), array)


@pytest.mark.parametrize("way, expected", [
    ("down", [1.0, 1.25, 1.75, 0.0, -1.25]), ("up", [1.25, 1.5, 2.0, 0.0, -1.5])])
def test_rounding_one_way(way, expected):
    """With two bits the numbers from 1 to 2 are 1, 1.25, 1.5, 1.75, 2; the sign does not matter."""
    values = np.float32([1.01, 1.26, 1.99, 0.0, -1.49])
    np.testing.assert_array_equal(encoding.round_mantissa(values, 2, way), np.float32(expected))
    exact = np.float32([1.25, 2.0])
    np.testing.assert_array_equal(encoding.round_mantissa(exact, 2, way), exact)
    special = np.float32([np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(encoding.round_mantissa(special, 2, way), special)


def test_the_rounding_is_told():
    points = type("Grid", (), {"kind": "points"})()
    attributes = cf.field_attributes("pm25_upper", samples.about(), points, cf.HOURLY, False)
    assert "Rounded up to 8 explicit bits of mantissa, a relative error of at most 0.39 %." in attributes["comment"]
