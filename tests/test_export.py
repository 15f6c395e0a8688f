"""`aqreanalysis export`: GeoTIFFs under gdalinfo, gdallocationinfo, rioxarray, rio-cogeo; tables."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import product_samples as samples
import pyarrow.parquet
import pytest
import rasterio
import xarray as xr

from aqreanalysis import geo, summarise
from aqreanalysis.errors import UserError
from aqreanalysis.workflows.export import export

WEST, SOUTH, STEP = 115.0, 39.1, 0.1  # edges of the sample grid: 9 columns and 7 rows


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Hourly and daily files of three days, with a leap day, of each layout; and a simulated one."""
    made = {}
    for layout in samples.LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        grid = samples.grid(layout, folder)
        made[layout, "hour"] = samples.hourly_file(folder / "pm25_hourly_201602.nc", grid)
        made[layout, "day"] = samples.daily_file(folder / "pm25_daily_2016.nc", grid)
        if layout == "regular":
            made["simulated", "day"] = samples.daily_file(folder / "simulated_pm25_daily_2016.nc", grid, True)
    return made


def call(*command, given: str | None = None) -> str:
    """What a tool prints; the test is skipped where it is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: gdal-bin)")
    done = subprocess.run([str(word) for word in command], capture_output=True, encoding="utf-8", input=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def at_gdal(path, places) -> np.ndarray:
    """What gdallocationinfo says of all bands at places (lon, lat): (places, bands)."""
    text = "".join(f"{lon} {lat}\n" for lon, lat in places)
    found = call("gdallocationinfo", "-wgs84", "-valonly", path, given=text).split()
    return np.array(found, np.float32).reshape(len(places), -1)


@pytest.mark.parametrize("layout", ["cog", "geotiff"])
def test_every_pixel_is_its_cell_under_gdal_and_rioxarray(files, tmp_path, layout):
    """Upright, in the right place, the corner that of the north-west cell: each corner of the grid and its middle."""
    made = export(files["regular", "day"], tmp_path / "days.tif", variables=["pm25"], layout=layout)
    path, cube = made.written[0], xr.open_dataset(files["regular", "day"], engine="netcdf4")
    row, column = np.array([0, 0, 6, 6, 2]), np.array([0, 8, 0, 8, 5])
    for aside in (0.0, 0.049):  # the centre, and near the north-west corner of the same pixel
        lon, lat = WEST + (column + 0.5) * STEP - aside, SOUTH + (row + 0.5) * STEP + aside
        found = at_gdal(path, list(zip(lon, lat, strict=True)))
        np.testing.assert_array_equal(found, cube.pm25.values[:, row, column].T)
    rio = pytest.importorskip("rioxarray").open_rasterio(path, masked=True)
    same = rio.sel(x=cube.lon, y=cube.lat, method="nearest")
    assert np.allclose(same.x, cube.lon, atol=1e-9) and np.allclose(same.y, cube.lat, atol=1e-9)
    np.testing.assert_array_equal(same.values, cube.pm25.values)
    info = json.loads(call("gdalinfo", "-json", path))
    assert np.allclose(info["geoTransform"], [WEST, STEP, 0, SOUTH + 7 * STEP, 0, -STEP], atol=1e-12)
    assert 'ID["EPSG",4326]' in info["coordinateSystem"]["wkt"]
    assert [band["description"] for band in info["bands"]] == [f"PM2.5 {day}" for day in samples.DAYS]
    assert {(band["unit"], band["type"], str(band["noDataValue"])) for band in info["bands"]} == {
        ("ug m-3", "Float32", "NaN")}
    tags = info["metadata"][""]
    assert tags["simulated"] == "false" and tags["units"] == "ug m-3" and tags["AREA_OR_POINT"] == "Area"
    assert tags["title"] == cube.attrs["title"] and "export --every day" in tags["history"]
    assert info["bands"][1]["metadata"][""] == {"time_begin": "2016-02-28T16:00Z", "time_end": "2016-02-29T16:00Z"}


def test_a_cog_is_valid_and_a_large_one_has_overviews(files, tmp_path):
    validate = pytest.importorskip("rio_cogeo").cog_validate
    path = export(files["regular", "hour"], tmp_path / "h.tif", "hour", ["pm25", "quality_flag"]).written[0]
    assert validate(path, strict=True)[0]
    from aqreanalysis.output.raster import Band, BandStyle, Pixels, RasterWriter
    pixels, field = Pixels(100.0, 40.0, 0.01, 0.01, (300, 600)), np.arange(180_000, dtype=np.float32).reshape(300, 600)
    with RasterWriter(tmp_path / "large.tif", pixels, [Band("a")], BandStyle(np.dtype(np.float32), "1"), {}) as file:
        for first in (0, 100, 200):  # rows come from the south, in pieces
            file.write(0, slice(first, first + 100), field[None, first:first + 100])
    assert validate(tmp_path / "large.tif", strict=True)[0]
    with rasterio.open(tmp_path / "large.tif") as image:
        assert image.overviews(1) and np.array_equal(image.read(1)[::-1], field)


def test_whole_numbers_agree_within_half_a_step_and_refuse_what_does_not_fit(files, tmp_path):
    path = export(files["regular", "day"], tmp_path / "p.tif", scale=0.1).written[0]
    cube = xr.open_dataset(files["regular", "day"], engine="netcdf4").pm25.values
    rio = pytest.importorskip("rioxarray").open_rasterio(path, mask_and_scale=True)
    assert np.abs(rio.values[:, ::-1] - cube).max() <= 0.05 + 1e-4 and rio.encoding["dtype"] == "uint16"
    with pytest.raises(UserError, match="does not fit into uint16.*--scale"):
        export(files["regular", "day"], tmp_path / "q.tif", scale=0.001)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p.tif"]  # nothing is left of the other


def test_missing_values_classes_counts_and_a_box_of_hours(files, tmp_path):
    """Cells whose centre lies in the box; months apart; flags as bytes, a missing hour as nodata."""
    made = export(files["regular", "hour"], tmp_path / "h.tif", "hour",
                  ["pm25", "quality_flag", "number_of_observations"], box=(115.01, 39.3, 115.4, 39.76))
    assert [path.name for path in made.written] == [f"h_{name}_{month}.tif" for month in ("201602", "201603")
                                                    for name in ("pm25", "quality_flag", "number_of_observations")]
    hourly = samples.fields(63)
    with rasterio.open(made.written[0]) as image:  # rows of centres 39.35 ... 39.75, columns of 115.05 ... 115.35
        assert image.shape == (5, 4) and image.count == 48
        assert np.allclose(image.transform[:6], [STEP, 0, 115.0, 0, -STEP, 39.8])
        expected = xr.open_dataset(files["regular", "hour"], engine="netcdf4").pm25.values[:48, 2:7, 0:4]
        np.testing.assert_array_equal(image.read()[:, ::-1], expected)
        assert image.descriptions[0] == "PM2.5 hour to 2016-02-27T17:00Z"
    with rasterio.open(made.written[1]) as image:
        assert image.dtypes[0] == "uint8" and image.nodata == 255
        np.testing.assert_array_equal(image.read(3)[::-1].ravel(),
                                      hourly["quality_flag"][2].reshape(7, 9)[2:7, 0:4].ravel())
    whole = export(files["regular", "hour"], tmp_path / "w.tif", "hour").written[0]
    assert np.isnan(at_gdal(whole, [(115.15, 39.15)])[0, 5])  # hour 5 at point 1 is missing in the sample


def test_points_and_boxes_as_tables(files, tmp_path):
    """CSV and Parquet have the same rows; a point on an edge lies north-east of it; one outside is told."""
    points = tmp_path / "points.csv"
    points.write_text("station_id,lon,lat\nb,115.30,39.40\na,115.06,39.15\nfar,100,39.4\nlast,115.9,39.8\n")
    made = export(files["regular", "day"], tmp_path / "t.parquet", points=points)
    assert made.rows == 9 and any("far (100 E 39.4 N)" in note for note in made.notes)
    table = pd.read_parquet(made.written[0])
    text = pd.read_csv(export(files["regular", "day"], tmp_path / "t.csv", points=points).written[0],
                       parse_dates=["time"])
    pd.testing.assert_frame_equal(table.drop(columns="local_day"), text.drop(columns="local_day"), check_dtype=False)
    assert text.local_day.tolist() == [str(day) for day in samples.DAYS for _ in range(3)]
    assert table.place.tolist() == ["b", "a", "last"] * 3 and str(table.time[0]) == "2016-02-28 16:00:00+00:00"
    cells = list(zip(table.cell_lon[:3].round(6), table.cell_lat[:3].round(6), strict=True))
    assert cells == [(115.35, 39.45), (115.05, 39.15), (115.85, 39.75)]
    assert table.distance_km[1] == pytest.approx(geo.EARTH_RADIUS_KM * np.radians(0.01) * np.cos(np.radians(39.15)),
                                                 rel=1e-4)
    cube = xr.open_dataset(files["regular", "day"], engine="netcdf4")
    for name in ("pm25", "pm25_standard_error", "pm25_lower", "pm25_upper", "quality_flag", "number_of_hours"):
        np.testing.assert_array_equal(table[name][table.place == "b"], cube[name].values[:, 3, 3])
    schema = pyarrow.parquet.read_schema(made.written[0])
    assert schema.field("pm25_upper").metadata[b"units"] == b"ug m-3" and b"history" in schema.metadata
    described = json.loads((tmp_path / "t.csv-metadata.json").read_text())
    assert [c["name"] for c in described["tableSchema"]["columns"]] == list(text.columns)


def test_a_box_and_a_missing_hour_in_a_table(files, tmp_path):
    path = export(files["regular", "hour"], tmp_path / "b.csv", "hour", ["pm25"], box=(115.1, 39.1, 115.3, 39.2),
                  start="2016-02-28", end="2016-02-28").written[0]
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24 * 2 and list(rows[0]) == ["time", "local_day", "cell_lon", "cell_lat", "pm25"]
    assert [(row["time"], row["cell_lon"], row["pm25"]) for row in rows if not row["pm25"]] == [
        ("2016-02-27T22:00:00Z", "115.15", "")]
    assert {row["local_day"] for row in rows} == {"2016-02-28"}


@pytest.mark.parametrize("layout", ["curvilinear", "points"])
def test_other_grids_as_tables_alone(files, tmp_path, layout):
    """A point at a cell's centre, or place, is in it; a GeoTIFF of such a grid is refused."""
    cube = xr.open_dataset(files[layout, "day"], engine="netcdf4", decode_coords="all")
    lat, lon = cube.lat.values.ravel(), cube.lon.values.ravel()
    path = export(files[layout, "day"], tmp_path / "c.csv", at=(lon[3], lat[3])).written[0]
    np.testing.assert_array_equal(pd.read_csv(path).pm25.astype(np.float32), cube.pm25.values.reshape(3, -1)[:, 3])
    if layout == "points":
        assert set(pd.read_csv(path).station_id.astype(str)) == {"7"}
    with pytest.raises(UserError, match="GeoTIFF has rows.*csv or .parquet"):
        export(files[layout, "day"], tmp_path / "c.tif")


def test_what_is_there_is_kept_and_the_rest_made(files, tmp_path):
    """Of the months of hours, the one that is gone is written again, with the same bytes."""
    first = export(files["regular", "hour"], tmp_path / "h.tif", "hour")
    before = [path.read_bytes() for path in first.written]
    first.written[1].unlink()
    again = export(files["regular", "hour"], tmp_path / "h.tif", "hour")
    assert again.kept == first.written[:1] and again.written == first.written[1:]
    assert [path.read_bytes() for path in first.written] == before
    other = export(files["regular", "hour"], tmp_path / "h.tif", "hour", scale=0.1)
    assert other.written == first.written  # other numbers are another file


def test_means_of_months_are_of_their_days(files, tmp_path):
    """Two days of February and one of March 2016, by hand; periods that are not whole are told."""
    made = export(files["regular", "day"], tmp_path / "m.tif", "month", ["pm25", "number_of_days"])
    cube = xr.open_dataset(files["regular", "day"], engine="netcdf4").pm25.values.astype(float)
    with rasterio.open(made.written[0]) as image:
        assert image.descriptions == ("PM2.5 2016-02", "PM2.5 2016-03")
        np.testing.assert_allclose(image.read()[:, ::-1], [cube[:2].mean(axis=0), cube[2]], rtol=1e-6)
    with rasterio.open(made.written[1]) as image:
        assert (image.read(1) == 2).all() and (image.read(2) == 1).all()
    assert "2016-02 has 2 of its 29 days" in made.notes


def test_means_have_the_errors_of_summaries(files, tmp_path):
    """As bands after those of the means, seen by gdallocationinfo; and as columns of a table."""
    tif = export(files["regular", "day"], tmp_path / "m.tif", "month", with_error=True).written[0]
    months = summarise(files["regular", "day"], "month")
    places = [(115.05, 39.15), (115.75, 39.65)]
    cells = [(0, 0), (5, 7)]
    seen = at_gdal(tif, places)
    for row, (y, x) in zip(seen, cells, strict=True):
        expected = [months[name].values[step, y, x] for step in range(2) for name in ("pm25", "pm25_standard_error")]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    with rasterio.open(tif) as image:
        assert image.descriptions == ("PM2.5 2016-02", "standard error of PM2.5 2016-02", "PM2.5 2016-03",
                                      "standard error of PM2.5 2016-03")
        assert image.tags()["variable"] == "pm25 pm25_standard_error"
    table = pd.read_csv(export(files["regular", "day"], tmp_path / "m.csv", "month", at=(115.75, 39.65)).written[0])
    for name in ("pm25", "pm25_standard_error", "pm25_lower", "pm25_upper"):
        np.testing.assert_allclose(table[name], months[name].values[:, 5, 7], rtol=1e-6)


def test_a_dataset_is_exported_as_its_files_are(files, tmp_path):
    """From north to south and from east to west in memory, from south in the file: the same picture."""
    from aqreanalysis.output import open_product_file
    with open_product_file(files["regular", "day"]) as cube:
        turned = cube.isel(lat=slice(None, None, -1), lon=slice(None, None, -1))
        one = export(turned, tmp_path / "a.tif").written[0]
        month = export(turned, tmp_path / "m.tif", "month", ["pm25"]).written[0]
    same = export(files["regular", "day"], tmp_path / "b.tif").written[0]
    with rasterio.open(one) as image, rasterio.open(same) as b:
        np.testing.assert_array_equal(image.read(), b.read())
        assert image.transform == b.transform and "(of a Dataset)" in image.tags()["history"]
    with rasterio.open(month) as image:
        assert image.count == 2


def test_a_simulated_product_says_so_everywhere(files, tmp_path):
    tif = export(files["simulated", "day"], tmp_path / "x.tif").written[0]
    table = export(files["simulated", "day"], tmp_path / "simulated_x.csv", at=(115.3, 39.3)).written[0]
    assert (tif.name, table.name) == ("simulated_x.tif", "simulated_x.csv")
    with rasterio.open(tif) as image:
        assert image.tags()["simulated"] == "true" and image.tags()["title"].startswith("SIMULATED")
        assert all(text.startswith("SIMULATED") for text in image.descriptions)
    assert pd.read_csv(table).simulated.all()
    assert "SIMULATED" in (tmp_path / "simulated_x.csv-metadata.json").read_text()


WRONG = {
    "no such product": (dict(product="nowhere"), "There is no nowhere"),
    "a folder that is none": (dict(product="."), "has no run.json"),
    "an unknown ending": (dict(to="x.png"), r"ends in .png.*\.tif"),
    "no ending": (dict(to="x"), "has no ending"),
    "a folder": (dict(to="folder.tif"), "is a folder"),
    "a box reversed": (dict(box=(116, 39, 115, 40)), "reversed.*--box 115 39 116 40"),
    "a box elsewhere": (dict(box=(0, 0, 1, 1)), "holds no centre"),
    "a box of three": (dict(box=(1, 2, 3)), "not four numbers"),
    "beyond a pole": (dict(box=(1, 2, 3, 95)), "beyond a pole"),
    "points and a box": (dict(to="x.csv", box=(1, 2, 3, 4), at=(1, 2)), "--box and --at"),
    "points of a raster": (dict(at=(115, 39)), "--at has no use"),
    "a swapped point": (dict(to="x.csv", at=(39.4, 115.3)), "look swapped: --at 115.3 39.4"),
    "a point outside": (dict(to="x.csv", at=(100, 39)), "No point lies in the grid.*centres are 115.05"),
    "no file of points": (dict(to="x.csv", points="none.csv"), "There is no none.csv"),
    "a scale of a table": (dict(to="x.csv", scale=0.1), "--scale has no use"),
    "no scale": (dict(scale=0.0), "--scale 0 is no scale"),
    "errors of a table": (dict(to="x.csv", with_error=True), "--with-error has no use"),
    "errors of another variable": (dict(with_error=True, variables=["pm25_upper"]), "--with-error and --variable"),
    "an unknown layout": (dict(layout="jpeg"), "cog or geotiff"),
    "an unknown variable": (dict(variables=["pm10"]), "--variable pm10 is not in.*pm25_standard_error"),
    "an unknown period": (dict(every="week"), "--every week.*hour, day, month"),
    "days it has not": (dict(start="2017-01-01", end="2017-01-02"), "2016-02-28 to 2016-03-01"),
    "half a period": (dict(start="2016-02-28"), "both --start and --end"),
    "hours of days": (dict(every="hour"), "daily"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_told_with_what_to_do(files, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.tif").mkdir()
    options, message = WRONG[case]
    with pytest.raises(UserError, match=message) as caught:
        export(**({"product": files["regular", "day"], "to": "x.tif"} | options))
    assert caught.value.fix and caught.value.rule
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.tif"]
