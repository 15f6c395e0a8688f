"""The words against the CF standard name table, and the checks at each hand-over."""

from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from aqreanalysis import schema

HOURS = np.arange("2019-01-01T00", "2019-01-01T05", dtype="datetime64[h]")


@pytest.fixture
def cube():
    return schema.mock_station_cube(hours=5, stations=3)


def test_standard_names_are_in_the_cf_table():
    spec = find_spec("compliance_checker")
    if spec is None:
        pytest.skip("compliance-checker, which brings the CF standard name table, is not installed")
    table = ElementTree.parse(Path(spec.origin).parent / "data" / "cf-standard-name-table.xml").getroot()
    units = {entry.get("id"): entry.findtext("canonical_units") for entry in table.iter("entry")}
    assert set(schema.STANDARD_NAMES) == {*schema.POLLUTANTS, *schema.WEATHER}
    canonical = {name: units[schema.STANDARD_NAMES[name]] for name in schema.STANDARD_NAMES}
    assert {canonical[name] for name in schema.POLLUTANTS} == {"kg m-3"}
    assert {name: canonical[name] for name in schema.WEATHER} == {
        "temperature": "K", "pressure": "Pa", "dew_point": "K", "rain": "m", "wind_speed": "m s-1",
        "wind_direction": "degree"}


def test_units_can_be_converted_to_those_of_the_cf_table():
    cf_units = pytest.importorskip("cf_units", reason="cf-units is not installed")
    canonical = {"temperature": "K", "pressure": "Pa", "dew_point": "K", "rain": "m", "wind_speed": "m s-1",
                 "wind_direction": "degree"} | dict.fromkeys(schema.POLLUTANTS, "kg m-3")
    for name, unit in schema.UNITS.items():
        assert cf_units.Unit(unit).is_convertible(canonical[name])


def test_every_pollutant_has_every_word():
    assert set(schema.VALID_MAX) == set(schema.POLLUTANTS)
    for words in (schema.UNITS, schema.LONG_NAMES):
        assert set(words) == {*schema.POLLUTANTS, *schema.WEATHER}
    assert schema.UNITS["co"] == "mg m-3" and schema.UNITS["pm25"] == "ug m-3"


def test_observation_flags_are_distinct_bits_that_the_type_holds():
    bits = list(schema.OBSERVATION_FLAGS.values())
    assert sum(bits) == np.bitwise_or.reduce(bits) <= np.iinfo(schema.FLAG_DTYPE).max
    assert all(bit and bit & (bit - 1) == 0 for bit in bits)


def test_a_cube_is_made_of_what_is_given():
    pm25 = np.arange(10).reshape(5, 2)
    cube = schema.make_station_cube(HOURS, ["007", "B"], [30, 31], [110, 111], {"pm25": pm25}, station_city=["x", "y"])
    assert cube.pm25.dtype == np.float32 and cube.pm25.dims == ("time", "station")
    assert cube.pm25.sel(station="B").values.tolist() == [1, 3, 5, 7, 9]
    assert cube.o3.isnull().all() and cube.o3.dtype == np.float32
    assert cube.station.values.tolist() == ["007", "B"] and cube.station_city.values.tolist() == ["x", "y"]
    assert cube.lat.values.tolist() == [30, 31] and cube.lon.values.tolist() == [110, 111]


def test_a_good_cube_passes_unchanged(cube):
    assert schema.check_station_cube(cube) is cube


@pytest.mark.parametrize("spoil, told", [
    (lambda cube: cube.drop_vars("lat"), "lat"),
    (lambda cube: cube.assign_coords(lon=("time", np.zeros(5))), "lon"),
    (lambda cube: cube.drop_vars("pm25"), "pm25"),
    (lambda cube: cube.transpose("station", "time"), "pm25"),
    (lambda cube: cube.assign(pm25=cube.pm25.astype(float)), "float32"),
    (lambda cube: cube.isel(time=[0, 1, 3, 4]), "hourly"),
    (lambda cube: cube.isel(time=[0, 2, 1]), "hourly"),
    (lambda cube: cube.isel(time=[0, 1, 1]), "hourly"),
], ids=["no lat", "lon on time", "no pm25", "turned", "float64", "gap", "disorder", "repeated"])
def test_a_bad_cube_is_named(cube, spoil, told):
    with pytest.raises(ValueError, match=told):
        schema.check_station_cube(spoil(cube))


def test_targets_say_when_and_where():
    targets = schema.make_targets(HOURS, [30, 31, 32], [110, 111, 112])
    assert schema.check_targets(targets) is targets
    assert targets.sizes == {"time": 5, "point": 3}
    with pytest.raises(ValueError, match="time"):
        schema.check_targets(targets.drop_vars("time"))
    with pytest.raises(ValueError, match="lat"):
        schema.check_targets(targets.drop_vars("lat"))


def test_an_estimate_has_the_shape_of_its_targets():
    targets = schema.make_targets(HOURS, [30, 31], [110, 111])
    estimate = schema.make_estimate(targets, np.full((5, 2), 7.0), np.ones((5, 2)))
    assert estimate.pm25.dtype == estimate.pm25_standard_error.dtype == np.float32
    assert estimate.pm25.dims == ("time", "point") and (estimate.pm25 == 7).all()
    with pytest.raises(ValueError):
        schema.make_estimate(targets, np.zeros((2, 5)), np.zeros((2, 5)))


def test_an_estimate_has_bounds_where_they_are_given():
    targets = schema.make_targets(HOURS, [30, 31], [110, 111])
    assert set(schema.make_estimate(targets, np.ones((5, 2)), np.ones((5, 2))).data_vars) == {
        "pm25", "pm25_standard_error"}
    with_bounds = schema.make_estimate(targets, *(np.full((5, 2), value) for value in (7.0, 1.0, 5.0, 9.0)))
    assert (with_bounds.pm25_lower == 5).all() and (with_bounds.pm25_upper == 9).all()
    assert with_bounds.pm25_lower.dtype == with_bounds.pm25_upper.dtype == np.float32


def test_the_mock_is_deterministic_and_its_pollutants_agree():
    cube, again, other = (schema.mock_station_cube(seed=seed) for seed in (3, 3, 4))
    assert cube.identical(again) and not cube.pm25.equals(other.pm25)
    both = np.isfinite(cube.pm25 + cube.pm10)
    np.testing.assert_allclose((cube.pm10 / cube.pm25).values[both], 1.5, rtol=1e-6)
    assert 0.05 < cube.pm25.isnull().mean() < 0.15
    assert not schema.mock_station_cube(missing=0.0).pm25.isnull().any()
