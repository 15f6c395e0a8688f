"""Blocks of a month: what they hold, that they fit together, and what a silent network gives."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from models_fixtures import lively_model

from aqreanalysis import schema, time_axis
from aqreanalysis.grids import Grid
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.observations import screening, stations
from aqreanalysis.product.month import blocks, nearest_distance
from aqreanalysis.schema import EXTRAPOLATED, NO_OBSERVATIONS, SEA, SUPPORTED
from aqreanalysis.time_axis import HOUR, Period

MONTH = Period(dt.date(2019, 1, 17), dt.date(2019, 1, 25))  # nine days: a block of seven and one of two


def grid_at(lat, lon, land=True, kind="regular"):
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    return Grid("test", kind, (lat.size,), lat, lon, None, None, np.broadcast_to(land, lat.shape).copy())


GRID = grid_at(np.repeat(np.linspace(36, 40, 4), 4), np.tile(np.linspace(113, 119, 4), 4))


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=24 * 45, stations=20)


def joined(blocks):
    blocks = list(blocks)
    assert [block.first for block in blocks] == [0, 168]
    return {name: np.concatenate([block.arrays[name] for block in blocks]) for name in blocks[0].arrays}


def test_blocks_are_one_prediction_of_the_month(cube):
    """A model without memory gives a stream of blocks what it gives the whole month at once."""
    arrays = joined(blocks(Kriging(k=6), cube, GRID, MONTH))
    whole = Kriging(k=6).predict(cube, schema.make_targets(MONTH.hours, GRID.lat, GRID.lon))
    for name in ("pm25", "pm25_standard_error"):
        np.testing.assert_array_equal(arrays[name], whole[name].values)
    assert {name: array.dtype for name, array in arrays.items()} == {
        "pm25": np.float32, "pm25_standard_error": np.float32, "quality_flag": np.int8,
        "number_of_observations": np.int16}


def test_a_later_block_does_not_need_the_earlier(cube):
    """Two readings of the same month, of which one is asked for the second block alone: the same bytes."""
    model = lively_model(cube)
    second = list(blocks(model, cube, GRID, MONTH))[1]
    targets = schema.make_targets(MONTH.hours[second.first:], GRID.lat, GRID.lon)
    alone = lively_model(cube).prepare(cube, MONTH.hours).at(targets)
    np.testing.assert_array_equal(second.arrays["pm25"], alone.pm25.values)
    np.testing.assert_array_equal(second.arrays["pm25_standard_error"], alone.pm25_standard_error.values)


def test_counts_are_of_the_neighbours_that_reported(cube):
    arrays = joined(blocks(Kriging(), cube, GRID, MONTH))
    observed = np.isfinite(cube.pm25.sel(time=MONTH.hours).values).sum(axis=1)  # all 20 stations are neighbours
    np.testing.assert_array_equal(arrays["number_of_observations"], np.broadcast_to(observed[:, None], (216, 16)))


def test_counts_and_classes_are_of_the_neighbours_that_an_octant_search_takes():
    """Twelve stations in a town east of the target, eight round it: AQ-Net reads one of each octant, of the town too.

    While the town alone reports, one neighbour did; while the ring alone does, seven, and the nearest is 111 km away.
    """
    angle = np.radians(np.arange(0, 360, 45) + 10.0)
    lat = np.concatenate([38.0 + 0.001 * np.arange(12), 38.0 + np.cos(angle)])
    lon = np.concatenate([np.full(12, 115.3), 115.0 + 1.27 * np.sin(angle)])
    hours = time_axis.complete_hours(MONTH.hours[0] - 400 * HOUR, MONTH.hours[-1] + 400 * HOUR)
    values = np.random.default_rng(0).gamma(4.0, 20.0, (len(hours), 20))
    town = np.arange(20) < 12
    values[np.isin(hours, MONTH.hours[100:110])[:, None] & ~town] = np.nan
    values[np.isin(hours, MONTH.hours[110:120])[:, None] & town] = np.nan
    network = schema.make_station_cube(hours, [f"S{n}" for n in range(20)], lat, lon, {"pm25": values})
    arrays = joined(blocks(lively_model(network, k=8), network, grid_at([38.0], [115.0]), MONTH))
    count, flag = arrays["number_of_observations"][:, 0], arrays["quality_flag"][:, 0]
    assert (count[:100] == 8).all() and (count[100:110] == 1).all() and (count[110:120] == 7).all()
    assert (flag[:110] == SUPPORTED).all() and (flag[110:120] == EXTRAPOLATED).all()


def test_classes_at_a_station_and_far_away(cube):
    grid = grid_at([cube.lat.values[0], 30.0], [cube.lon.values[0], 107.0])
    arrays = joined(blocks(Kriging(), cube, grid, MONTH))
    seen = np.isfinite(cube.pm25.sel(time=MONTH.hours).values[:, 0])
    assert (arrays["quality_flag"][seen, 0] == SUPPORTED).all() and (arrays["quality_flag"][:, 1] == EXTRAPOLATED).all()


def test_an_hour_without_observations(cube):
    """Kriging has no value there, and the class says so; sea stays sea, and a listed point is never sea."""
    silent = cube.assign(pm25=cube.pm25.where(cube.time != MONTH.hours[30]))
    for kind, there in (("regular", [NO_OBSERVATIONS, SEA]), ("points", [NO_OBSERVATIONS] * 2)):
        grid = grid_at([37.0, 38.0], [115.0, 116.0], [True, False], kind)
        arrays = joined(blocks(Kriging(), silent, grid, MONTH))
        assert np.isnan(arrays["pm25"][30]).all() and np.isfinite(np.delete(arrays["pm25"], 30, axis=0)).all()
        np.testing.assert_array_equal(arrays["quality_flag"][30], there)
        assert (arrays["number_of_observations"][30] == 0).all()
        assert (arrays["quality_flag"][31, 1] == SEA) == (kind == "regular")


@pytest.mark.parametrize("left", [0, 1])
def test_a_silent_network_has_no_values(cube, left):
    grid = grid_at([37.0, 38.0], [115.0, 116.0], [True, False])
    arrays = joined(blocks(lively_model(cube), cube.isel(station=slice(left)), grid, MONTH))
    assert arrays["pm25"].shape == (216, 2)
    assert np.isnan(arrays["pm25"]).all() and np.isnan(arrays["pm25_standard_error"]).all()
    np.testing.assert_array_equal(arrays["quality_flag"], np.broadcast_to([NO_OBSERVATIONS, SEA], (216, 2)))
    assert (arrays["number_of_observations"] == 0).all() and arrays["quality_flag"].dtype == np.int8


class OneStationEach:
    """An archive that knows three stations: S0 is good, S1 negative but for two hours of MONTH, S2 silent."""

    def __init__(self):
        self.asked = None

    def read(self, start, end):
        self.asked = start, end
        table = pd.DataFrame({"station_id": ["S0", "S1", "S2"], "lat": [36.0, 37.0, 38.0], "lon": [115.0] * 3})
        hours = time_axis.complete_hours(start, end)
        cube = stations.empty_cube(hours, table)
        cube["pm25"][:, 0] = 50.0 + 10.0 * np.sin(np.arange(len(hours)) / 3)
        cube["pm25"][:, 1] = np.where(np.isin(hours, MONTH.hours[:2]), 60.0, -999.0)
        return cube


class Wide(Kriging):
    history, future = 5, 3


def test_observations_reach_as_far_as_the_model_asks_and_are_screened():
    archive = OneStationEach()
    cube = screening.observations_around(archive, Wide(), MONTH)
    assert archive.asked == (MONTH.hours[0] - (5 + 168) * HOUR, MONTH.hours[-1] + (3 + 168) * HOUR)
    assert cube.sizes["time"] == 9 * 24 + 8
    assert list(cube.station.values) == ["S0", "S1"]  # the silent one is left out
    assert np.isfinite(cube.pm25.values[:, 1]).sum() == 2
    strict = screening.observations_around(OneStationEach(), Wide(), MONTH, minimum_station_hours=3)
    assert list(strict.station.values) == ["S0"]


def test_distance_to_the_nearest_station():
    """A degree of latitude is 6371.0088 km * pi / 180."""
    cube = OneStationEach().read(MONTH.hours[0], MONTH.hours[-1])
    distance = nearest_distance(cube, grid_at([36.0, 39.0, 35.5], [115.0] * 3))
    np.testing.assert_allclose(distance, np.array([0.0, 1.0, 0.5]) * 6371.0088 * np.pi / 180, rtol=1e-6, atol=1e-3)
    nobody = nearest_distance(cube.isel(station=[]), GRID)
    assert nobody.shape == (16,) and np.isnan(nobody).all() and distance.dtype == nobody.dtype == np.float32


class Asked:
    """An archive that tells what was read, and hands out a mock cube."""

    def __init__(self, cube):
        self.cube = cube

    def read(self, start, end):
        return self.cube.sel(time=slice(start, end))


def test_other_pollutants_are_screened_and_seen_only_where_a_model_reads_them():
    """The same PM2.5, and in the hours that the model reads the same values of all, as with everything screened."""
    cube = schema.mock_station_cube(hours=24 * 60, stations=30, missing=0.02)
    cube.no2.values[24 * 30 + 5, 4] = 900.0
    cube.no2.values[24 * 12, 4] = cube.pm25.values[24 * 25, 7] = 900.0
    hours = cube.time.values
    model = type("Model", (), {"history": 24 * 15, "future": 24 * 15, "co_pollutants": 24 * 15})()
    period = time_axis.Period(*(day.astype("datetime64[D]").item() for day in (hours[24 * 29], hours[24 * 31])))
    whole = screening.observations_around(Asked(cube), model, period)
    model.co_pollutants = 12
    seen = screening.observations_around(Asked(cube), model, period)
    assert np.isnan(seen.no2.sel(time=hours[24 * 30 + 5])[4]) and np.isnan(seen.pm25.sel(time=hours[24 * 25])[7])
    np.testing.assert_array_equal(seen.pm25.values, whole.pm25.values)
    inside = slice(period.hours[0] - 12 * time_axis.HOUR, period.hours[-1] + 12 * time_axis.HOUR)
    for name in schema.POLLUTANTS[1:]:
        np.testing.assert_array_equal(seen[name].sel(time=inside).values, whole[name].sel(time=inside).values)
        assert np.isfinite(seen[name].values).any(axis=1).sum() == len(period.hours) + 24
    model.co_pollutants = None
    alone = screening.observations_around(Asked(cube), model, period)
    np.testing.assert_array_equal(alone.pm25.values, whole.pm25.values)
    assert not any(np.isfinite(alone[name]).any() for name in schema.POLLUTANTS[1:])
