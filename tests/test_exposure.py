"""People over concentration: hand calculations, a product as files and as a Dataset, tables and figure that agree."""

import math
from types import SimpleNamespace

import geopandas
import numpy as np
import pandas as pd
import product_samples as samples
import pytest
import shapely
import xarray as xr
from PIL import Image
from scipy import sparse
from scipy.special import ndtri
from typer.testing import CliRunner

from aqreanalysis import area_means, exposure, open_product, summarise
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.models.error_correlation import DEFAULT, ErrorCorrelation
from aqreanalysis.periods import span
from aqreanalysis.product.exposure import (
    CellMeans,
    ExposureSetting,
    ShareBounds,
    percentiles_of_people,
    shares_above,
)
from aqreanalysis.time_axis import Period
from aqreanalysis.workflows.areas import AreaRequest, write_areas
from aqreanalysis.workflows.exposure import ExposureRequest, write_exposure

BOXES = geopandas.GeoDataFrame(
    {"name": ["west", "east"]}, crs="EPSG:4326",
    geometry=[shapely.box(115.0, 39.1, 115.5, 39.8), shapely.box(115.5, 39.1, 115.9, 39.8)])


def test_shares_and_percentiles_by_hand():
    """1, 2, 1 and 5 people at 10, 20, 30 and no value; errors 5, 5, 10; nobody lives in the second area."""
    people = sparse.csr_array(np.array([[1.0, 2.0, 1.0, 5.0], [0.0, 0.0, 0.0, 0.0]]))
    cells = CellMeans(span(*2 * [samples.FIRST]), np.array([10.0, 20.0, 30.0, np.nan]),
                      np.array([5.0, 5.0, 10.0, np.nan]))
    plain, expected = shares_above(people, cells, [20.0, 9.0])
    assert plain[:, 0].tolist() == [0.25, 1.0] and np.isnan(plain[:, 1]).all()

    def beyond(z):
        return 0.5 * math.erfc(z / math.sqrt(2))

    assert expected[0, 0] == pytest.approx((beyond(2.0) + 2 * 0.5 + beyond(-1.0)) / 4)
    assert expected[1, 0] == pytest.approx((beyond(-0.2) + 2 * beyond(-2.2) + beyond(-2.1)) / 4)
    found = percentiles_of_people(people, cells, [20.0, 25.0, 26.0, 75.0, 76.0])
    assert found[:, 0].tolist() == [10.0, 10.0, 20.0, 20.0, 30.0] and np.isnan(found[:, 1]).all()


@pytest.fixture(scope="module")
def made(peopled, tmp_path_factory):
    """A folder of areas, the product, its people, and their file."""
    folder = tmp_path_factory.mktemp("exposure")
    BOXES.to_file(folder / "boxes.geojson")
    return folder, peopled.product, peopled.people, peopled.population


def asked(made, every="month", **options):
    folder, product, _, population = made
    return AreaRequest(str(product), every, str(folder / "boxes.geojson"), population=str(population),
                       above=(60.0, 93.0), **options)


def test_a_product_by_cells_of_its_summary(made):
    """Means of cells are those of `summarise`, errors without a station's own; of files and of a Dataset alike; classes
    add up."""
    folder, product, people, population = made
    found = exposure(product, population, BOXES, "month", (60.0, 93.0), classes=(50.0, 93.0))
    months, days = summarise(product, "month"), open_product(product, "daily").pm25_standard_error.values
    assert found.period.values.tolist() == ["2016-02", "2016-03"]
    west = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0]) * people
    for step in range(2):
        mean, (first, last) = months.pm25.values[step], ((0, 2), (2, 3))[step]
        apart = 24.0 * np.abs(np.subtract.outer(np.arange(first, last), np.arange(first, last)))
        error = np.sqrt(np.einsum("syx,st,tyx->yx", days[first:last], DEFAULT.daily.of_lag(apart, own=False),
                                  days[first:last])) / (last - first)
        above = 100 * (west * (mean > 93)).sum() / west.sum()
        chance = 0.5 * np.vectorize(math.erfc)((93 - mean.astype(float)) / error / math.sqrt(2))
        assert found["people_above_93"].values[0, step] == pytest.approx(above, rel=1e-5)
        assert found["people_above_93_expected"].values[0, step] == pytest.approx(
            100 * (west * chance).sum() / west.sum(), rel=1e-5)
        assert found["pm25_population_weighted"].values[0, step] == pytest.approx(
            (west * mean).sum() / west.sum(), rel=1e-4)
        half = np.repeat(mean[:, :5].ravel(), people[:, :5].astype(int).ravel())  # each person a value
        middle = np.sort(half)[math.ceil(len(half) / 2) - 1]
        assert found["pm25_people_percentile_50"].values[0, step] == middle
    assert 0 < found["people_above_93"].values[0, 0] < 100
    np.testing.assert_allclose(found.share_in_class.sum("class"), 100.0, rtol=1e-5)
    np.testing.assert_allclose(found.share_in_class_expected.sum("class"), 100.0, rtol=1e-5)
    np.testing.assert_allclose(found.people_in_class.sum("class").values[:, 0], found.people.values, rtol=1e-9)
    np.testing.assert_allclose(found.share_above.sel({"class": 2}), found.people_above_93, rtol=1e-5)
    again = exposure(open_product(product, "daily"), population, BOXES, "month", (60.0, 93.0),
                     classes=(50.0, 93.0))
    xr.testing.assert_allclose(found.drop_attrs(), again.drop_attrs(), rtol=1e-4)


def test_days_are_the_cells_as_they_are(made):
    """Three days in two months: errors are those of the days without a station's own."""
    folder, product, people, population = made
    found = exposure(product, population, BOXES, "day", (60.0,))
    days = open_product(product, "daily")
    east = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]) * people
    error = days.pm25_standard_error.values * math.sqrt(1.0 - DEFAULT.daily.own_share)
    chance = 0.5 * np.vectorize(math.erfc)((60 - days.pm25.values.astype(float)) / error / math.sqrt(2))
    np.testing.assert_allclose(found.people_above_60_expected.values[1],
                               100 * (east * chance).sum(axis=(1, 2)) / east.sum(), rtol=1e-4)
    lower, expected, upper = (found[f"people_above_60_{end}"].values[0, 0] for end in ("lower", "expected", "upper"))
    assert 90.0 < lower < expected < upper <= 100.0  # almost everybody in every draw


@pytest.mark.parametrize("every", ["month", "day"])
def test_areas_have_the_bounds_of_shares_that_exposure_has(made, every, tmp_path):
    """From files, a Dataset and in a table, each beside its share; a share is within them where both have some."""
    folder, product, _, population = made
    asked_for = exposure(product, population, BOXES, every, (60.0, 93.0))
    found = area_means(product, BOXES, population, every, (60.0, 93.0))
    again = area_means(open_product(product, "daily"), BOXES, population, every, (60.0, 93.0))
    names = [f"people_above_{limit}{end}" for limit in (60, 93) for end in ("", "_lower", "_upper")]
    assert [name for name in found.data_vars if name.startswith("people")] == names
    for name in names:
        np.testing.assert_allclose(found[name], asked_for[name], rtol=1e-5)
        np.testing.assert_allclose(again[name], found[name], rtol=1e-4)
    assert (found.people_above_93_upper - found.people_above_93_lower).max() > 10 and "200 draws" in found.comment
    path = write_areas(asked(made, every), tmp_path / "a.csv")
    table = pd.read_csv(path)[names].to_numpy().reshape(found.sizes["time"], 2, len(names))
    np.testing.assert_allclose(table, np.stack([found[name].values.T for name in names], axis=2), rtol=1e-5)


def test_areas_of_a_stopped_run_and_of_hours(made, tmp_path):
    """Months and tiles are kept as they are done; hours have shares without bounds, which is told."""
    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    whole, seen, told = write_areas(asked(made), tmp_path / "whole.nc"), [], []
    with pytest.raises(KeyboardInterrupt):
        write_areas(asked(made), tmp_path / "a.nc", progress=stop)
    path = write_areas(asked(made), tmp_path / "a.nc", progress=lambda done, of: seen.append((done, of)))
    assert seen[0] == (2, 3) and path.read_bytes() == whole.read_bytes()  # two months, and one tile
    hours = pd.read_csv(write_areas(asked(made, "hour"), tmp_path / "h.csv", say=told.append))
    assert "people_above_60" in hours and "people_above_60_lower" not in hours
    assert any("not for hours" in text for text in told)


@pytest.mark.parametrize("plain, middle, half", [
    ([[1.0, None, None]], 50.0, 45.0),       # all cells err alike: the share above is that of a normal quantile
    ([[1.0, 1e-3, None]], 50.0, 1.6449 * 50.0 / 10.0)])  # each by itself: a binomial of 100 cells
def test_bounds_of_shares_in_closed_form(plain, middle, half):
    """One person in each of 100 cells whose means are the middles of 100 equal parts of a normal distribution about the
    limit, with standard errors that are the same; of the second case means are all at the limit."""
    alike = plain[0][1] is None
    y, x = (axis.ravel() for axis in np.mgrid[0:10, 0:10])
    grid = SimpleNamespace(lat=36.0 + 0.5 * y, lon=110.0 + 0.5 * x)
    days = Period(samples.FIRST, samples.LAST)
    setting = ExposureSetting(SimpleNamespace(grid=grid), days, (), ErrorCorrelation.of_plain(plain), np.arange(100))
    mean = 50.0 + (10.0 * ndtri((np.arange(100) + 0.5) / 100.0) if alike else 0.0 * x)
    cells = CellMeans(span(samples.FIRST, samples.LAST), mean, np.full(100, 10.0))
    lower, upper = 100.0 * ShareBounds(setting, sparse.csr_array(np.ones((1, 100)))).of(cells, [50.0])[:, 0, 0]
    assert lower == pytest.approx(middle - half, abs=2.0) and upper == pytest.approx(middle + half, abs=2.0)


def test_tables_and_figure(made, tmp_path):
    folder, product, _, population = made
    request = ExposureRequest(asked(made), classes=(50.0, 93.0))
    paths = write_exposure(request, tmp_path / "e.csv", tmp_path / "e.svg")
    assert [path.name for path in paths] == ["e.csv", "e_classes.csv", "e.svg"]
    expected = exposure(product, population, folder / "boxes.geojson", "month", (60.0, 93.0),
                        classes=(50.0, 93.0))
    table, classes = pd.read_csv(paths[0]), pd.read_csv(paths[1])
    np.testing.assert_allclose(table["people_above_93_expected"].to_numpy().reshape(2, 2),
                               expected.people_above_93_expected.values.T, rtol=1e-5)
    assert len(classes) == 2 * 2 * 3 and classes["class_to"].isna().sum() == 4
    mine = classes[(classes.area == "east") & (classes.period == "2016-03")]
    np.testing.assert_allclose(mine["share_in_class"], expected.share_in_class.values[1, 1], rtol=1e-5)
    text = paths[2].read_text(encoding="utf-8")
    assert "source_product_sha256" in text and "2016-02" in text and "west" in text
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_exposure(request, tmp_path / "e.csv", tmp_path / "e.svg")] == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.is_dir()]


def test_a_run_that_was_stopped_goes_on_on_a_cluster_with_the_same_bytes(made, tmp_path, cluster):
    request, seen = ExposureRequest(asked(made), classes=(50.0, 93.0)), []

    def stop(done, of):
        if done == 1:
            raise KeyboardInterrupt

    whole = write_exposure(request, tmp_path / "whole.csv")
    with pytest.raises(KeyboardInterrupt):
        write_exposure(request, tmp_path / "e.csv", progress=stop)
    paths = write_exposure(request, tmp_path / "e.csv", scheduler=cluster, progress=lambda done, of: seen.append(done))
    assert seen[0] == 1 and [path.read_bytes() for path in paths[:2]] == [path.read_bytes() for path in whole[:2]]


def test_the_command_and_what_it_refuses(made, tmp_path):
    folder, product, _, population = made
    arguments = ["exposure", str(product), "--areas", str(folder / "boxes.geojson"), "--workers", "1",
                 "--to", str(tmp_path / "e.parquet")]
    living = ["--population", str(population)]
    run = CliRunner().invoke(app, [*arguments, *living, "--every", "all", "--classes", "20,80"])
    assert run.exit_code == 0, run.output
    assert pd.read_parquet(tmp_path / "e_classes.parquet").class_from.tolist()[:3] == [0.0, 20.0, 80.0]
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.info["Title"].startswith("Exposure of people") and picture.info["source_product_sha256"]
    for options, words in (([], "no population"), ([*living, "--every", "hour"], "not a period"),
                           ([*living, "--figure", "e.txt"], "ends in .txt"),
                           ([*living, "--classes", "a"], "not a list")):
        raised = CliRunner().invoke(app, [*arguments, *options]).exception
        assert isinstance(raised, UserError) and words in str(raised), (options, raised)
