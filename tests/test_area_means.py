"""Means over areas and their errors: closed forms, a product as files and as a Dataset, files that come back."""

import json

import geopandas
import numpy as np
import pandas as pd
import product_samples as samples
import pytest
import shapely
import xarray as xr
from typer.testing import CliRunner

from aqreanalysis import geo, open_product
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.models.area_errors import WITHIN, VarianceOfAreaSums, area_blocks, variance_of_steps
from aqreanalysis.models.error_correlation import DEFAULT, ErrorCorrelation
from aqreanalysis.workflows.areas import AreaRequest, area_means, write_areas

MIXED = ErrorCorrelation.of_plain([[0.2, 0.0, 2.0], [0.5, 50.0, 10.0], [0.3, 20.0, None]])


def blocks_of(correlation, lat, lon, weight, km2, most=1000):
    return area_blocks(correlation, np.arange(len(lat)), np.asarray(weight, float), np.asarray(lat, float),
                       np.asarray(lon, float), np.asarray(km2, float), most)


# --- closed forms


def test_one_cell_has_its_error_without_the_stations_own():
    """Its points are apart by the mean distance in a square of its size."""
    one = blocks_of(MIXED, [36.0], [115.0], [3.0], [100.0])
    apart = WITHIN * 10.0
    expected = 25.0 * (0.5 * np.exp(-apart / 50.0) + 0.3 * np.exp(-apart / 20.0))
    assert variance_of_steps([one], np.array([[5.0]]))[0, 0] == pytest.approx(expected)


def test_two_cells_by_hand():
    km = geo.distance_km(36.0, 115.0, 36.0, 115.5)
    two = blocks_of(MIXED, [36.0, 36.0], [115.0, 115.5], [1.0, 3.0], [0.0, 0.0])
    errors = two.sums @ np.array([4.0, 8.0])
    expected = (0.8 * (0.25 * 4) ** 2 + 0.8 * (0.75 * 8) ** 2
                + 2 * 0.25 * 4 * 0.75 * 8 * (0.5 * np.exp(-km / 50) + 0.3 * np.exp(-km / 20)))
    assert variance_of_steps([two], errors[None])[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("reach, expected", [(1e9, 6.0), (1e-3, 0.6)])
def test_errors_that_are_all_the_same_and_that_are_independent(reach, expected):
    """100 equal cells, each 6: 6 together, or 6 over the root of 100."""
    y, x = np.mgrid[0:10, 0:10]
    many = blocks_of(ErrorCorrelation.of_plain([[1.0, reach, 5.0]]), 36 + 0.1 * y.ravel(), 115 + 0.1 * x.ravel(),
                     np.ones(100), np.zeros(100))
    errors = many.sums @ np.full(100, 6.0)
    assert variance_of_steps([many], errors[None])[0, 0] == pytest.approx(expected**2)


def test_sums_over_time_and_cells_are_the_full_double_sum():
    """In space exact with a block for each cell, within 2 % with few blocks; days apart as they are."""
    rng = np.random.default_rng(1)
    lat, lon, weight = 36 + 2 * rng.random(60), 115 + 2 * rng.random(60), rng.uniform(1, 2, 60)
    hours = np.array([0.0, 24.0, 48.0, 120.0])
    spread = 5.0 + np.sin(lat * 2) + rng.uniform(0, 1, (4, 60))
    km = geo.pairwise_distance_km(lat, lon, lat, lon)
    np.fill_diagonal(km, WITHIN * 10.0)
    each = weight / weight.sum() * spread
    expected = sum(each[s] @ DEFAULT.daily.of_pairs(km, hours[s] - hours[t]) @ each[t]
                   for s in range(4) for t in range(4))
    for most, tolerance in ((60, 1e-9), (12, 0.02)):
        blocks = blocks_of(DEFAULT.daily, lat, lon, weight, np.full(60, 100.0), most)
        sums = VarianceOfAreaSums([blocks])
        errors = spread @ blocks.sums.T
        sums.add(hours[:1], errors[:1])
        sums.add(hours[1:], errors[1:])
        assert blocks.blocks <= most and sums.variance[0] == pytest.approx(expected, rel=tolerance)


# --- a product

BOXES = geopandas.GeoDataFrame(
    {"name": ["west", "east", "both"]}, crs="EPSG:4326",
    geometry=[shapely.box(115.0, 39.1, 115.5, 39.8), shapely.box(115.5, 39.1, 115.9, 39.8),
              shapely.box(115.0, 39.1, 115.9, 39.8)])


@pytest.fixture(scope="module")
def made(peopled, tmp_path_factory):
    """Its product, grid and people, with a folder of areas and of the file of people."""
    folder = tmp_path_factory.mktemp("areas")
    BOXES.to_file(folder / "boxes.geojson")
    return folder, peopled.product, peopled.grid, peopled.people


@pytest.mark.parametrize("every, steps", [("hour", 72), ("day", 3), ("month", 2), ("all", 1)])
def test_means_are_those_of_cells_by_their_sizes(made, peopled, every, steps):
    """Half cells are halves; of files and of the Dataset alike; two parts sum to the whole."""
    folder, product, grid, people = made
    found = area_means(product, folder / "boxes.geojson", peopled.population, every)
    assert found.sizes == {"area": 3, "time": steps, "nv": 2} and found.area.values.tolist() == ["west", "east", "both"]
    hours = samples.fields(63)["pm25"] if every == "hour" else None
    daily = open_product(product, "daily").pm25.values.reshape(3, 7, 9)
    size = np.cos(np.radians(grid.axis_lat))[:, None] * np.ones(9)
    west = size * np.array([1, 1, 1, 1, 1, 0, 0, 0, 0])  # 115.0 to 115.5 E: edges of cells lie at 115.0, 115.1 ...
    if every == "day":
        np.testing.assert_allclose(found.pm25.values[0], [np.average(day, weights=west) for day in daily], rtol=1e-5)
        counted = west * people
        np.testing.assert_allclose(found.pm25_population_weighted.values[0],
                                   [np.average(day, weights=people * (west > 0)) for day in daily], rtol=1e-5)
        above = 100 * (people * (west > 0) * (daily[1] > 75)).sum() / (people * (west > 0)).sum()
        assert found.people_above_75.values[0, 1] == pytest.approx(above, rel=1e-5) and counted.sum() > 0
    if every == "all":
        assert found.pm25.values[0, 0] == pytest.approx(np.average(daily.mean(axis=0), weights=west), rel=1e-5)
        means = found.pm25.values[:, 0]
        assert found.days_above_75.values[0, 0] == sum(np.average(day, weights=west) > 75 for day in daily)
        assert means[2] == pytest.approx(np.average(means[:2], weights=found.area_km2.values[:2]), rel=1e-5)
    if every == "hour":
        assert hours is not None and np.isnan(hours[5, 1])
        assert found.share_with_values.values[0, 5] == pytest.approx(34 / 35, rel=1e-3)
    frequency = "hourly" if every == "hour" else "daily"
    again = area_means(open_product(product, frequency), BOXES, peopled.population, every)
    for name in found.data_vars:
        np.testing.assert_allclose(again[name].values, found[name].values, rtol=1e-4, err_msg=str(name))


def test_the_order_of_areas_changes_nothing_but_the_order(made):
    folder, product, _, _ = made
    found, turned = (area_means(product, boxes, every="all") for boxes in (BOXES, BOXES.iloc[::-1]))
    xr.testing.assert_equal(found.drop_attrs(), turned.isel(area=[2, 1, 0]).drop_attrs())


def test_a_month_of_days_has_the_error_of_the_double_sum(made):
    folder, product, grid, _ = made
    found = area_means(product, BOXES.iloc[:1], every="all")
    errors = open_product(product, "daily").pm25_standard_error.values.reshape(3, 7, 9)[:, :, :5].reshape(3, -1)
    lat, lon = (a.reshape(7, 9)[:, :5].ravel() for a in (grid.lat, grid.lon))
    km = geo.pairwise_distance_km(lat, lon, lat, lon)
    size = np.cos(np.radians(lat))
    np.fill_diagonal(km, WITHIN * np.sqrt(size) * np.radians(0.1) * geo.EARTH_RADIUS_KM)
    each = size / size.sum() * errors / 3.0
    hours = 24.0 * np.arange(3)
    variance = sum(each[s] @ DEFAULT.daily.of_pairs(km, hours[s] - hours[t]) @ each[t]
                   for s in range(3) for t in range(3))
    assert found.pm25_standard_error.values[0, 0] == pytest.approx(np.sqrt(variance), rel=1e-3)
    upper = found.pm25.values[0, 0] + 1.6449 * np.sqrt(variance)
    assert found.pm25_upper.values[0, 0] == pytest.approx(upper, rel=1e-3)
    assert "does not say how its errors" in found.attrs["comment"]


def test_files_hold_the_same_numbers(made, peopled, tmp_path):
    folder, product, _, _ = made
    request = AreaRequest(str(product), "day", str(folder / "boxes.geojson"), population=str(peopled.population))
    expected = area_means(product, folder / "boxes.geojson", peopled.population, "day")
    said = []
    paths = {end: write_areas(request, tmp_path / f"means{end}", say=said.append)
             for end in (".csv", ".parquet", ".gpkg", ".nc")}
    assert any("people on the grid" in text for text in said) and any("overlap" in text for text in said)
    tables = {".csv": pd.read_csv(paths[".csv"]), ".parquet": pd.read_parquet(paths[".parquet"]),
              ".gpkg": geopandas.read_file(paths[".gpkg"])}
    for end, table in tables.items():
        assert table["area"].tolist() == 3 * ["west", "east", "both"], end
        np.testing.assert_allclose(table["pm25_standard_error"].to_numpy().reshape(3, 3),
                                   expected.pm25_standard_error.values.T, rtol=1e-5)
    assert tables[".gpkg"].geometry.area.round(6).tolist()[:3] == [0.35, 0.28, 0.63]
    with xr.open_dataset(paths[".nc"]) as data:
        assert data.attrs["featureType"] == "timeSeries" and data.attrs["Conventions"].startswith("CF")
        np.testing.assert_array_equal(data.pm25.values, expected.pm25.values)
        np.testing.assert_array_equal(data.time.values, expected.time.values)
        assert data.node_count.values.tolist() == [5, 5, 5] and data.pm25.attrs["geometry"] == "area_geometry"
        assert "source_product_sha256" in data.attrs and "areas --every day" in data.attrs["history"]
    assert json.loads((tmp_path / "means.csv-metadata.json").read_text())["tableSchema"]["columns"]
    before = {end: path.read_bytes() for end, path in paths.items()}
    for end, content in before.items():
        assert write_areas(request, tmp_path / f"means{end}").read_bytes() == content
    assert not [path.name for path in tmp_path.iterdir() if path.suffix == ".npz"]


def test_the_command_and_what_it_refuses(made, tmp_path):
    folder, product, _, _ = made
    run = CliRunner().invoke(app, ["areas", str(product), "--areas", str(folder / "boxes.geojson"), "--to",
                                   str(tmp_path / "m.csv"), "--above", "40,20", "--workers", "1"])
    assert run.exit_code == 0, run.output
    assert {"days_above_20", "days_above_40"} <= set(pd.read_csv(tmp_path / "m.csv").columns)
    for options, words in ((["--every", "week"], "week"), (["--above", "x"], "a list"), (["--to", "a.txt"], "ending"),
                           (["--start", "2018-01-01", "--end", "2018-01-02"], "has no day")):
        arguments = ["areas", str(product), "--to", str(tmp_path / "x.csv"), "--workers", "1", *options]
        raised = CliRunner().invoke(app, arguments).exception
        assert isinstance(raised, UserError) and words in str(raised), (options, raised)


def test_a_simulated_product_says_so_in_the_name_and_every_row(made, tmp_path):
    folder, _, grid, _ = made
    product = samples.product(tmp_path / "twin", grid, samples.fields(grid.size), simulated=True)
    path = write_areas(AreaRequest(str(product), "all", str(folder / "boxes.geojson")), tmp_path / "m.csv")
    assert path.name == "simulated_m.csv" and pd.read_csv(path).simulated.all()
