"""Product files under independent eyes: the CF and ACDD checker, PROJ, CDO, NCO, GDAL, ncdump, xarray."""

import re
import shutil
import subprocess

import netCDF4
import numpy as np
import product_samples as samples
import pyproj
import pytest
import xarray as xr

from aqreanalysis import recipes
from aqreanalysis.errors import UserError
from aqreanalysis.grids import parse_grid
from aqreanalysis.output import cf
from aqreanalysis.output.netcdf_file import set_attributes
from aqreanalysis.product.folder import open_record
from aqreanalysis.product.plan import BuildRequest, prepare

KINDS = ("hourly", "daily", "truth")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every kind of file in every layout, real and simulated: (kind, layout, simulated) -> path."""
    made = {}
    for layout in samples.LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        grid = samples.grid(layout, folder)
        for simulated in (False, True):
            made["hourly", layout, simulated] = samples.hourly_file(folder / f"h{simulated}.nc", grid,
                                                                    simulated=simulated)
            made["daily", layout, simulated] = samples.daily_file(folder / f"d{simulated}.nc", grid, simulated)
        made["truth", layout, True] = samples.truth_file(folder / "t.nc", grid)
    return made


def call(*command) -> str:
    """What a tool prints; the test is skipped where the tool is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: cdo, gdal-bin, nco, netcdf-bin)")
    done = subprocess.run([str(word) for word in command], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def complaints(path, convention: str) -> dict[str, list[str]]:
    """What the checker finds wrong with a file, by group. Strict: messages of every priority count."""
    checker = pytest.importorskip("compliance_checker.suite")
    checker.CheckSuite.load_all_available_checkers()
    suite = checker.CheckSuite()
    dataset = suite.load_dataset(str(path))
    results, errors = suite.run_all(dataset, [convention])[convention]
    dataset.close()
    assert results and not errors
    found: dict[str, list[str]] = {}
    for result in results:
        # A result is (points, of how many); a whole score may have notes such as "found in same group".
        points, whole = result.value if isinstance(result.value, tuple) else (int(result.value), 1)
        if points < whole:
            found.setdefault(result.name, []).extend(result.msgs)
    return found


@pytest.mark.parametrize("convention", ["cf:1.11", "acdd:1.3"])
def test_the_checker_has_nothing_to_say(files, convention):
    said = {key: found for key, path in files.items() if (found := complaints(path, convention))}
    assert said == {}


# What a user sets: the section `contact` of a recipe.
OF_THE_CONTACT = {"institution", "metadata_link"} | {
    f"{role}_{what}" for role in ("creator", "publisher") for what in ("name", "type", "email", "url", "institution")}


def test_without_a_contact_the_checker_asks_for_what_a_user_sets_and_for_nothing_else(tmp_path):
    grid = samples.grid("regular", tmp_path)
    path = samples.hourly_file(tmp_path / "h.nc", grid, contact=cf.Contact())
    assert complaints(path, "cf:1.11") == {}
    assert {name: set(said) for name, said in complaints(path, "acdd:1.3").items()} == {
        "Global Attributes": {f"{name} not present" for name in OF_THE_CONTACT}}


def test_nobody_is_invented(tmp_path):
    grid = samples.grid("regular", tmp_path)
    with xr.open_dataset(samples.hourly_file(tmp_path / "h.nc", grid, contact=cf.Contact(email="a@b.c"))) as file:
        assert OF_THE_CONTACT & set(file.attrs) == {"creator_email", "publisher_email"}
        assert not any("example.org" in str(text) or "developers" in str(text) for text in file.attrs.values())


def test_the_contact_of_a_recipe_is_the_files_and_a_product_keeps_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path / "none"))
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ncontact:\n  name: Zhang San\n  email: a@b.c\n")
    request = BuildRequest(start="2016-01-30", end="2016-01-30", grid="1deg", recipe=str(path),
                           out=str(tmp_path / "out"))
    plan = prepare(request)
    assert plan.about.contact == cf.Contact(name="Zhang San", email="a@b.c")
    with open_record(plan.folder, plan.identity) as record:
        record.begin(plan.facts)
        assert prepare(request).identity == plan.identity
    path.write_text("name: mine\n")
    with pytest.raises(UserError, match="holds a product with contact = .*Zhang San.*; now contact = None"):
        prepare(request)


@pytest.mark.parametrize("line, told", [("mail: a@b.c", "contact.mail is unknown. Known keys: name, type, email, url"),
                                        ("email: a", "contact.email is 'a'"), ("url: b.c", "contact.url is 'b.c'"),
                                        ("type: firm", "contact.type is 'firm'"), ("name: ''", "contact.name is ''")])
def test_a_contact_that_is_none_is_refused(tmp_path, line, told):
    (tmp_path / "mine.yaml").write_text(f"name: mine\ncontact:\n  {line}\n")
    with pytest.raises(UserError, match=re.escape(told)):
        recipes.load_recipe(tmp_path / "mine.yaml", recipes.ProductRecipe)


def test_the_coordinate_system_is_wgs84_for_proj():
    parsed = pyproj.CRS.from_wkt(cf.WGS84_WKT)
    assert parsed.to_epsg(min_confidence=100) == 4326
    ours, theirs = cf.crs_attributes(), parsed.to_cf()
    assert theirs | ours | {"crs_wkt": ""} == ours | theirs | {"crs_wkt": ""}


@pytest.mark.parametrize("layout", samples.LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_xarray_decodes_coordinates_and_bounds(files, kind, layout):
    with xr.open_dataset(files[kind, layout, True], decode_coords="all") as file:
        expected = {"time", "lat", "lon", "time_bnds", "height", "crs"}
        expected |= {"lat_bnds", "lon_bnds"} if layout == "regular" else set()
        assert expected <= set(file.coords)
        assert file["time_bnds"].dtype.kind == "M"
        assert file["pm25"].encoding["grid_mapping"] == "crs"
        if kind != "truth":
            assert file["quality_flag"].dtype == np.int8
    if layout == "points":
        assert file["station_id"].values.tolist() == ["1001A", "A b", "北京", "7"]


@pytest.mark.parametrize("layout", samples.LAYOUTS[:2])
def test_a_product_is_a_grid_for_the_next_product(files, layout):
    """--grid FILE.nc takes our own file and finds the same cells."""
    path = files["hourly", layout, False]
    assert parse_grid(path).fingerprint == samples.grid(layout, path.parent).fingerprint


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_ncdump_and_gdal_read_every_file(files, layout):
    for kind in ("hourly", "daily"):
        path = files[kind, layout, False]
        assert 'featureType = "timeSeries"' in call("ncdump", "-h", path) or layout != "points"
        assert "Band 1" in call("gdalinfo", f"NETCDF:{path}:pm25")


def test_gdal_places_the_cells(files):
    told = call("gdalinfo", f"NETCDF:{files['hourly', 'regular', False]}:pm25")
    origin = next(line for line in told.splitlines() if line.startswith("Origin"))
    corner = [float(word) for word in origin.split("(")[1].rstrip(")").split(",")]
    np.testing.assert_allclose(corner, [115.0, 39.8], atol=1e-9)  # 39.15 + 6.5 cells, the upper left corner
    assert 'ID["EPSG",4326]' in told and "NoData Value=9.96921e+36" in told


def test_gdal_needs_a_regular_grid_as_the_docs_say(files, tmp_path):
    """A curvilinear product has no geotransform, so that terra and rioxarray know no places; `-geoloc` gives it one."""
    path = files["daily", "curvilinear", False]
    assert "Origin" not in call("gdalinfo", f"NETCDF:{path}:pm25")
    call("gdalwarp", "-q", "-geoloc", "-t_srs", "EPSG:4326", f"NETCDF:{path}:pm25", tmp_path / "out.tif")
    with xr.open_dataset(path) as file:
        lon, lat, value = (float(of[3, 4]) for of in (file.lon, file.lat, file.pm25[0]))
    told = call("gdallocationinfo", "-valonly", "-wgs84", tmp_path / "out.tif", lon, lat)
    assert float(told.split()[0]) == pytest.approx(value)


def test_cdo_has_the_same_grid(files):
    told = call("cdo", "-s", "griddes", files["hourly", "regular", False])
    values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line and "bounds" not in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    assert values["gridtype"] == "lonlat"
    assert (int(values["xsize"]), int(values["ysize"])) == (9, 7)
    numbers = [float(values[name]) for name in ("xfirst", "xinc", "yfirst", "yinc")]
    np.testing.assert_allclose(numbers, [115.05, 0.1, 39.15, 0.1], atol=1e-12)


@pytest.mark.parametrize("layout, gridtype", [("curvilinear", "curvilinear"), ("points", "unstructured")])
def test_cdo_knows_the_other_layouts(files, layout, gridtype):
    told = call("cdo", "-s", "griddes", files["hourly", layout, False])
    assert f"gridtype  = {gridtype}" in told


def test_cdo_lists_every_file(files):
    for (kind, _, _), path in files.items():
        times = call("cdo", "-s", "ntime", path)
        assert int(times.split()[0]) == (3 if kind == "daily" else 72)
        assert "Bounds = true" in call("cdo", "-s", "sinfo", path)


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_cdo_makes_our_days_from_our_hours(files, tmp_path, layout):
    """Shifted by 7 hours, the 24 END stamps of a day in UTC+8 have that day's date, and CDO means them."""
    call("cdo", "-s", "daymean", "-shifttime,7hour", "-selname,pm25", files["hourly", layout, False],
         tmp_path / "cdo.nc")
    with xr.open_dataset(tmp_path / "cdo.nc") as theirs, xr.open_dataset(files["daily", layout, False]) as ours:
        # Both sides are rounded to 10 bits: the hours before the mean, the days after it.
        np.testing.assert_allclose(ours["pm25"].values, theirs["pm25"].values.reshape(ours["pm25"].shape),
                                   rtol=2 * 2.0**-11)
        np.testing.assert_array_equal(ours["time"].values.astype("datetime64[D]"),
                                      theirs["time"].values.astype("datetime64[D]"))


def test_nco_joins_files_along_time(files, tmp_path):
    path = files["hourly", "regular", False]
    call("ncrcat", "-O", path, path, tmp_path / "joined.nc")
    with xr.open_dataset(tmp_path / "joined.nc") as joined:
        assert joined.sizes["time"] == 144


def test_names_of_points_are_characters_that_every_reader_knows(files):
    """No string of variable length, in a variable or an attribute: Octave and Fortran have no such type."""
    for kind in ("hourly", "daily"):
        path = files[kind, "points", False]
        with netCDF4.Dataset(path) as file:
            assert all(variable.dtype != str for variable in file.variables.values())
            assert file["station_id"].dimensions == ("station", "station_id_strlen")
            assert file["station_id"][:].tolist() == ["1001A", "A b", "北京", "7"]
        told = call("ncdump", "-h", path)
        assert "char station_id(station, station_id_strlen)" in told and "string" not in told
    assert "北京" in call("ncks", "-H", "-v", "station_id", path)
    assert call("octave", "--no-gui", "-q", "--eval",
                f"pkg load netcdf; x = ncread('{path}', 'station_id')'; disp(x(1, 1:5));").startswith("1001A")


def test_texts_beyond_ascii_are_characters_in_attributes_too(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        set_attributes(file, {"source": "观测", "comment": "", "n": np.int32(3)})
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert (file.source, file.comment, file.n) == ("观测", "", 3)
    with xr.open_dataset(tmp_path / "a.nc") as dataset:
        assert dataset.attrs == {"source": "观测", "comment": "", "n": 3}
    assert "string" not in call("ncdump", "-h", tmp_path / "a.nc")


def test_cdo_counts_the_hours(files):
    """CDO skips missing values as we do: 71 of 72 hours in one cell."""
    told = call("cdo", "-s", "outputf,%.0f,1", "-timsum", "-gec,-1", "-selname,pm25",
                files["hourly", "regular", False])
    assert [int(word) for word in told.split()] == [72, 71] + 61 * [72]
