"""Each flag on values made by hand; flagged values are hidden from models and kept in the cube."""

import numpy as np
import pytest

from aqreanalysis import recipes, schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations import quality
from aqreanalysis.recipes import ProductRecipe, TrainingRecipe

MISSING, CODE, RANGE, PAIR = 1, 2, 4, 8


def screened(**values):
    """A screened cube of one station from lists of hours."""
    hours = np.datetime64("2019-01-01T00", "h") + np.arange(len(next(iter(values.values()))))
    arrays = {name: np.array(given)[:, None] for name, given in values.items()}
    return quality.screen(schema.make_station_cube(hours, ["A"], [40], [116], arrays))


def flag(cube, name):
    return cube[f"{name}_flag"].values[:, 0].tolist()


@pytest.mark.parametrize("name, value, bit", [
    ("pm25", np.nan, MISSING),
    ("pm25", -0.5, CODE), ("pm25", -99, CODE), ("pm25", -999, CODE), ("pm25", -9999, CODE), ("pm25", -np.inf, CODE),
    ("pm25", 9999, CODE), ("pm10", 9999, CODE), ("o3", 99999, CODE),
    ("pm25", 0, 0), ("pm25", 1523, 0), ("pm25", 2000, 0), ("pm25", 2000.5, RANGE), ("pm25", 400_000, RANGE),
    ("pm25", np.inf, RANGE),
    ("pm10", 4985, 0), ("pm10", 10_000, 0), ("pm10", 10_001, RANGE),
    ("so2", 3000, 0), ("so2", 3001, RANGE), ("no2", 1500, 0), ("no2", 1501, RANGE),
    ("co", 100, 0), ("co", 100.5, RANGE), ("o3", 1500, 0), ("o3", 1501, RANGE),
])
def test_flags_of_single_values(name, value, bit):
    cube = screened(**{name: [value]})
    assert flag(cube, name) == [bit]
    assert all(flag(cube, other) == [MISSING] for other in schema.POLLUTANTS if other != name)


@pytest.mark.parametrize("pm25, pm10, flags", [
    (50, 40, (PAIR, PAIR)),
    (40.1, 40, (PAIR, PAIR)),
    (40, 40, (0, 0)),
    (40, 50, (0, 0)),
    (50, np.nan, (0, MISSING)),
    (np.nan, 50, (MISSING, 0)),
    (50, -1, (0, CODE)),
    (2500, 40, (RANGE, 0)),
    (50, 9999, (0, CODE)),
])
def test_a_pair_is_flagged_only_where_both_could_be_true(pm25, pm10, flags):
    cube = screened(pm25=[pm25], pm10=[pm10])
    assert (flag(cube, "pm25"), flag(cube, "pm10")) == ([flags[0]], [flags[1]])


def test_flags_stand_at_their_own_hour_and_station():
    cube = schema.mock_station_cube(hours=6, stations=4, missing=0.0)
    cube.pm25.values[4, 2] = -3
    flags = quality.screen(cube).pm25_flag
    assert flags.dtype == schema.FLAG_DTYPE and flags.dims == ("time", "station")
    expected = np.zeros((6, 4))
    expected[4, 2] = CODE
    np.testing.assert_array_equal(flags, expected)


def test_usable_hides_flagged_values_and_only_those():
    cube = screened(pm25=[10, -1, 60, np.nan, 70], pm10=[20, 30, 50, 40, 99_999], no2=[1, 2, 3, 4, 5])
    seen = quality.usable(cube)
    np.testing.assert_array_equal(seen.pm25.values[:, 0], [10, np.nan, np.nan, np.nan, 70])
    np.testing.assert_array_equal(seen.pm10.values[:, 0], [20, 30, np.nan, 40, np.nan])
    np.testing.assert_array_equal(seen.no2.values[:, 0], [1, 2, 3, 4, 5])
    assert all(seen[name].dtype == np.float32 for name in schema.POLLUTANTS)


def test_originals_are_unchanged():
    cube = schema.mock_station_cube(hours=6, stations=4)
    cube.pm25.values[4, 2] = -3
    before = cube.copy(deep=True)
    marked = quality.screen(cube)
    quality.usable(marked)
    assert cube.identical(before)
    assert marked[list(schema.POLLUTANTS)].identical(before)


def test_count_flags():
    cube = screened(pm25=[10, -1, 60, np.nan, 3000], pm10=[20, 30, 50, 40, np.nan])
    counts = quality.count_flags(cube)
    nothing = dict.fromkeys(schema.OBSERVATION_FLAGS, 0)
    assert counts["pm25"] == nothing | {"missing": 1, "missing_code": 1, "out_of_range": 1, "pm25_above_pm10": 1}
    assert counts["pm10"] == nothing | {"missing": 1, "pm25_above_pm10": 1}
    assert counts["o3"]["missing"] == 5


def test_bits_that_a_reader_has_set_stay_and_hide_their_value():
    hours = np.datetime64("2019-01-01T00", "h") + np.arange(3)
    cube = schema.make_station_cube(hours, ["A"], [40], [116], {"pm25": np.array([[10], [-1], [60]])})
    preset = np.array([[16], [16], [0]], np.uint8)
    marked = quality.screen(cube.assign(pm25_flag=(("time", "station"), preset)))
    assert flag(marked, "pm25") == [16, 16 | CODE, 0]
    np.testing.assert_array_equal(quality.usable(marked).pm25.values[:, 0], [np.nan, np.nan, 60])


def test_a_pair_of_which_a_reader_doubts_one_is_not_judged():
    hours = np.datetime64("2019-01-01T00", "h") + np.arange(1)
    cube = schema.make_station_cube(hours, ["A"], [40], [116], {"pm25": np.array([[50]]), "pm10": np.array([[40]])})
    marked = quality.screen(cube.assign(pm10_flag=(("time", "station"), np.array([[16]], np.uint8))))
    assert (flag(marked, "pm25"), flag(marked, "pm10")) == ([0], [16])


# Settings, as a section of recipes.

@pytest.mark.parametrize("kind", [ProductRecipe, TrainingRecipe])
def test_thresholds_are_a_section_of_recipes(tmp_path, kind):
    path = tmp_path / "mine.yaml"
    days = 'observations: data\nstart: "2019-01-01"\nend: "2019-01-31"\n' if kind is TrainingRecipe else ""
    path.write_text(f"name: x\n{days}quality:\n  spike_least: 0.9\n  exclude: [periodic]\n", encoding="utf-8")
    loaded = recipes.load_recipe(path, kind).quality
    assert loaded == quality.QualitySettings(spike_least=0.9, exclude=("periodic",))
    assert loaded.changes == "spike_least 0.9, exclude ('periodic',)" and quality.DEFAULT_SETTINGS.changes == "defaults"
    for wrong, words in (("spikes: 3", ["quality.spikes", "Known keys", "spike_least"]),
                         ("stuck_hours: 0", ["quality.stuck_hours", "0"]),
                         ("exclude: [spikes]", ["spikes", "temporally_inconsistent"]),
                         ("window_days: 6", ["quality.window_days", "6"])):
        path.write_text(f"name: x\n{days}quality:\n  {wrong}\n", encoding="utf-8")
        with pytest.raises(UserError) as error:
            recipes.load_recipe(path, kind)
        assert all(word in str(error.value) for word in words), str(error.value)


def test_every_threshold_says_what_it_is():
    assert all(field.description for field in quality.QualitySettings.model_fields.values())
    assert set(quality.TESTS) <= set(schema.OBSERVATION_FLAGS)
