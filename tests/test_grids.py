"""Grids from every kind of source, against closed forms and against CDO."""

import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from aqreanalysis.errors import UserError
from aqreanalysis.grids import boundaries, check_inside, named_grids, parse_grid

needs_cdo = pytest.mark.skipif(shutil.which("cdo") is None, reason="cdo is not installed")
LONLAT = "gridtype = lonlat\nxsize = 3\nysize = 2\nxfirst = 110\nxinc = 0.5\nyfirst = 35\nyinc = 0.25\n"


def cdo(*arguments):
    command = ["cdo", "-s", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write(path, text):
    path.write_text(text)
    return path


def refused(source) -> str:
    with pytest.raises(UserError) as caught:
        parse_grid(source)
    return str(caught.value)


def test_tenth_of_a_degree():
    grid = parse_grid("0.1deg")
    assert (grid.name, grid.kind, grid.shape, grid.dims, grid.size) == (
        "0.1deg", "regular", (140, 190), ("lat", "lon"), 26_600)
    # The same decimal numbers, to the last bit, as a person writes.
    assert grid.axis_lon.tolist() == [float(f"{106 + i // 10}.{i % 10}5") for i in range(190)]
    assert grid.axis_lat.tolist() == [float(f"{29 + i // 10}.{i % 10}5") for i in range(140)]
    assert grid.lon_bounds[[0, -1]].tolist() == [[106.0, 106.1], [124.9, 125.0]]
    assert grid.lat_bounds[[0, -1]].tolist() == [[29.0, 29.1], [42.9, 43.0]]
    assert grid.lat[:190].tolist() == [29.05] * 190  # C order, the southern row first
    assert not grid.land.all() and grid.land.dtype == bool


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 4, 5, 8, 10, 16, 20, 25]))
def test_every_fitting_resolution_fills_the_region(n):
    grid = parse_grid(f"{float(Fraction(1, n)):g}deg")
    assert grid.shape == (14 * n, 19 * n)
    for axis, bounds, first, last in ((grid.axis_lat, grid.lat_bounds, 29, 43),
                                      (grid.axis_lon, grid.lon_bounds, 106, 125)):
        assert (bounds[0, 0], bounds[-1, 1]) == (first, last)
        assert np.array_equal(bounds[1:, 0], bounds[:-1, 1])
        np.testing.assert_allclose(bounds.mean(axis=1), axis, atol=1e-12)
        np.testing.assert_allclose(np.diff(bounds, axis=1), 1 / n, atol=1e-9)


def test_land_cells_have_the_area_of_the_land():
    grid = parse_grid("0.1deg")
    shape = shapely.intersection(boundaries.land(), shapely.box(106, 29, 125, 43))
    ellipsoid = abs(Geod(ellps="WGS84").geometry_area_perimeter(
        shapely.segmentize(shape, 0.1))[0]) / 1e6
    bands = np.diff(np.sin(np.radians(grid.lat_bounds)), axis=1) * np.radians(0.1) * 6371.0072**2
    assert (grid.land.reshape(grid.shape) * bands).sum() == pytest.approx(ellipsoid, rel=2e-3)


@pytest.mark.parametrize("text", ["northern-china-0.1deg", "grids/northern-china-0.1deg"])
def test_named_grid_is_the_region_bit_for_bit(text):
    named, region = parse_grid(text), parse_grid("0.1deg")
    assert named.name == "northern-china-0.1deg"
    assert named.fingerprint == region.fingerprint
    assert np.array_equal(named.lon_bounds, region.lon_bounds)


def test_every_named_grid_opens_and_lies_in_the_region():
    promised = {"northern-china-0.1deg", "northern-china-0.25deg", "beijing-tianjin-hebei-0.05deg"}
    assert promised <= set(named_grids())
    for name in named_grids():
        grid = parse_grid(name)
        assert grid.lat_bounds.min() >= 29 and grid.lon_bounds.max() <= 125
        assert boundaries.is_land(grid.lat, grid.lon).tolist() == grid.land.tolist()


def test_fingerprint_is_of_places_and_not_of_names(tmp_path):
    one, two = write(tmp_path / "one.txt", LONLAT), write(tmp_path / "two.txt", LONLAT)
    moved = write(tmp_path / "moved.txt", LONLAT.replace("110", "110.001"))
    assert parse_grid(one).fingerprint == parse_grid(two).fingerprint != parse_grid(moved).fingerprint


# --- CDO -------------------------------------------------------------------------------------------

@needs_cdo
@pytest.mark.parametrize("name", sorted(named_grids()))
def test_cdo_reads_the_named_grids_and_we_read_cdo(name, tmp_path):
    grid, again = parse_grid(name), tmp_path / "again.txt"
    again.write_text(cdo("griddes", f"-const,1,{named_grids()[name]}"))
    assert parse_grid(again).fingerprint == grid.fingerprint
    cdo("-f", "nc", f"-const,1,{named_grids()[name]}", tmp_path / "field.nc")
    from_file = parse_grid(tmp_path / "field.nc")
    assert from_file.shape == grid.shape
    np.testing.assert_allclose(from_file.lon_bounds, grid.lon_bounds, atol=1e-9)


@needs_cdo
def test_cdo_has_the_same_curvilinear_vertices(tmp_path):
    source = named_grids()["northern-china-0.25deg"]
    cdo("-f", "nc", "-setgridtype,curvilinear", f"-const,1,{source}", tmp_path / "c.nc")
    (tmp_path / "c.txt").write_text(cdo("griddes", tmp_path / "c.nc"))
    regular = parse_grid(source)
    for grid in (parse_grid(tmp_path / "c.nc"), parse_grid(tmp_path / "c.txt")):
        assert (grid.kind, grid.shape, grid.dims) == ("curvilinear", (56, 76), ("y", "x"))
        np.testing.assert_allclose(grid.lat, regular.lat, atol=1e-6)
        np.testing.assert_allclose(grid.lat_bounds[3, 5].min(), regular.lat_bounds[3, 0], atol=1e-6)
        np.testing.assert_allclose(grid.lon_bounds[3, 5].max(), regular.lon_bounds[5, 1], atol=1e-6)


def test_description_with_a_negative_increment_runs_south_to_north(tmp_path):
    down = LONLAT.replace("yfirst = 35\nyinc = 0.25", "yfirst = 35.25\nyinc = -0.25")
    grid = parse_grid(write(tmp_path / "down.txt", down))
    assert grid.axis_lat.tolist() == [35.0, 35.25]
    assert grid.lat_bounds.tolist() == [[34.875, 35.125], [35.125, 35.375]]


def test_description_with_values_over_several_lines(tmp_path):
    text = ("gridtype = lonlat\nxsize = 4\nysize = 1\nxvals = 110 111\n  113 # a remark\n 116\n"
            "yfirst = 35\nyinc = 1\n")
    grid = parse_grid(write(tmp_path / "values.txt", text))
    assert grid.axis_lon.tolist() == [110, 111, 113, 116]
    assert grid.lon_bounds.tolist() == [[109.5, 110.5], [110.5, 112], [112, 114.5], [114.5, 117.5]]
    assert grid.lat_bounds.tolist() == [[34.5, 35.5]]


def test_curvilinear_description_keeps_its_bounds(tmp_path):
    text = ("gridtype = curvilinear\nxsize = 2\nysize = 1\nxvals = 110 111\nyvals = 35 35.1\n"
            "xbounds = 109 111 111 109\n 111 112 112 111\nybounds = 34 34 36 36 34 34 36 36\n")
    grid = parse_grid(write(tmp_path / "c.txt", text))
    assert grid.shape == (1, 2)
    assert grid.lon_bounds[0, 1].tolist() == [111, 112, 112, 111]
    assert grid.lat_bounds[0, 0].tolist() == [34, 34, 36, 36]


# --- NetCDF ----------------------------------------------------------------------------------------

def save(path, **variables):
    xr.Dataset({name: (dims, np.asarray(values), attrs) for name, (dims, values, attrs) in variables.items()}
               ).to_netcdf(path)
    return path


@pytest.mark.parametrize("names, attrs", [
    (("y", "x"), ({"standard_name": "latitude"}, {"standard_name": "longitude"})),
    (("Latitude", "LON"), ({}, {})),
    (("a", "b"), ({"units": "degrees_north"}, {"units": "degree_east"})),
])
def test_netcdf_axes_are_found_and_sorted(tmp_path, names, attrs):
    path = save(tmp_path / "g.nc", **{names[0]: ("j", [36.0, 35.0, 34.0], attrs[0]),
                                      names[1]: ("i", [110.0, 110.5], attrs[1])})
    grid = parse_grid(path)
    assert (grid.name, grid.kind, grid.shape) == ("g", "regular", (3, 2))
    assert grid.axis_lat.tolist() == [34, 35, 36]
    assert grid.lon_bounds.tolist() == [[109.75, 110.25], [110.25, 110.75]]


def test_netcdf_bounds_are_taken_and_sorted_with_their_axis(tmp_path):
    path = save(tmp_path / "g.nc", lat=("lat", [36.0, 35.0], {"bounds": "lat_b", "units": "degrees_north"}),
                lat_b=(("lat", "v"), [[36.4, 35.6], [35.6, 34.0]], {"units": "degrees_north"}),
                lon=("lon", [350.0, 352.0], {"bounds": "lon_b"}),
                lon_b=(("lon", "v"), [[349, 351], [351, 353]], {}))
    grid = parse_grid(path)
    assert grid.lat_bounds.tolist() == [[34.0, 35.6], [35.6, 36.4]]
    assert grid.axis_lon.tolist() == [-10, -8]
    assert grid.lon_bounds.tolist() == [[-11, -9], [-9, -7]]


def wrf_coordinates(ny=4, nx=5):
    """A turned square lattice: the centre of cell (j, i) is a linear function, so corners are exact."""
    j, i = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    return 35 + 0.3 * j + 0.1 * i, 112 - 0.1 * j + 0.3 * i


@pytest.mark.parametrize("flip", [False, True])
def test_wrf_coordinates_lose_their_time_and_get_corners(tmp_path, flip):
    lat, lon = (c[::-1] if flip else c for c in wrf_coordinates())
    dims = ("Time", "south_north", "west_east")
    twice = {"XLAT": (dims, np.stack([lat, lat]), {"units": "degree_north"}),
             "XLONG": (dims, np.stack([lon, lon]), {"units": "degree_east"}),
             "XLAT_U": (dims, np.stack([lat, lat]), {"units": "degree_north"})}
    grid = parse_grid(save(tmp_path / "wrfout_d01", **twice))
    assert (grid.kind, grid.shape) == ("curvilinear", (4, 5))
    np.testing.assert_array_equal(grid.lat.reshape(4, 5), lat)
    corner_lat, corner_lon = grid.corners()
    assert corner_lat.shape == (5, 6)
    np.testing.assert_allclose(sorted(grid.lat_bounds[1, 1]), lat[1, 1] + np.array([-0.2, -0.1, 0.1, 0.2]))
    x, y = grid.lon_bounds, grid.lat_bounds  # the shoelace formula: positive is anticlockwise
    area = 0.5 * sum(x[..., k] * y[..., (k + 1) % 4] - x[..., (k + 1) % 4] * y[..., k] for k in range(4))
    np.testing.assert_allclose(area, 0.1, rtol=1e-9)  # 0.3 * 0.3 + 0.1 * 0.1


def test_netcdf_vertices_are_taken(tmp_path):
    lat, lon = wrf_coordinates(2, 2)
    around = np.array([-0.5, -0.5, 0.5, 0.5])
    yx, yxv = ("y", "x"), ("y", "x", "v")
    path = save(tmp_path / "v.nc", lat=(yx, lat, {"bounds": "lat_v"}), lon=(yx, lon, {"bounds": "lon_v"}),
                lat_v=(yxv, lat[..., None] + around, {}), lon_v=(yxv, lon[..., None] + around, {}))
    np.testing.assert_allclose(parse_grid(path).lat_bounds[1, 0], lat[1, 0] + around)


def test_netcdf_that_is_no_grid(tmp_path):
    lat, lon = wrf_coordinates()
    yx, north = ("y", "x"), {"units": "degrees_north"}
    assert "no longitude" in refused(save(tmp_path / "a.nc", lat=(yx, lat, {})))
    tyx = ("t", *yx)
    moving = {"lat": (tyx, np.stack([lat, lat + 1]), {}), "lon": (tyx, np.stack([lon, lon]), {})}
    assert "changes along t" in refused(save(tmp_path / "b.nc", **moving))
    assert "several variables" in refused(save(tmp_path / "c.nc", a=(yx, lat, north), b=(yx, lat, north)))
    assert "radian" in refused(save(tmp_path / "d.nc", lat=(yx, lat, {"units": "radian"}), lon=(yx, lon, {})))
    assert ".csv" in refused(save(tmp_path / "e.nc", lat=("s", [35.0, 36], {}), lon=("s", [110.0, 111], {})))
    x = ("x", [110.0, 111], {})
    assert "missing" in refused(save(tmp_path / "f.nc", lat=("y", [35.0, np.nan], {}), lon=x))
    assert "twice" in refused(save(tmp_path / "g.nc", lat=("y", [35.0, 35.0], {}), lon=x))
    assert "no width" in refused(save(tmp_path / "h.nc", lat=("y", [35.0], {}), lon=x))


# --- points ----------------------------------------------------------------------------------------

def test_points_keep_their_order_and_names(tmp_path):
    text = "\ufeffName,LAT,Station_ID,lon\nx,39.9,007,116.4\ny,38.5,1001A,119.5\n"
    grid = parse_grid(write(tmp_path / "my sites.csv", text))
    assert (grid.name, grid.kind, grid.shape, grid.dims) == ("my-sites", "points", (2,), ("station",))
    assert grid.station_id == ("007", "1001A")
    assert grid.lat.tolist() == [39.9, 38.5] and grid.land.tolist() == [True, False]
    assert grid.lat_bounds is None and grid.corners() is None


@pytest.mark.parametrize("text, word", [
    ("station_id,lon\na,116\n", "no column lat"), ("", "is empty"),
    ("station_id,lon,lat\n", "0 cells"),
    ("station_id,lon,lat\na,116,39\na,117,39\n", "'a' is empty or repeated"),
    ("station_id,lon,lat\na,116,\n", "station a"), ("station_id,lon,lat\na,116,nan\n", "station a"),
    ("station_id,lon,lat\na,39.9,116.4\n", "116.4 is not a latitude"),
    ("station_id,lon,lat\na,4416000,39\n", "not a longitude"), ("station_id,lon,lat\na,1,2,3,4\nb,1\n", ""),
])
def test_points_that_are_refused(tmp_path, text, word):
    assert word in refused(write(tmp_path / "p.csv", text))


# --- refusals --------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, word", [
    ("0.3deg", "does not divide"), ("0deg", "does not divide"), ("0.001deg", "266,000,000 cells"),
    ("fine", "beijing-tianjin-hebei-0.05deg"), ("", "is not a grid"), ("nowhere/model.nc", "no grid file"),
    ("grids/nothing", "northern-china-0.1deg"),
])
def test_words_that_are_no_grid(text, word):
    assert word in refused(text)


@pytest.mark.parametrize("change, word", [
    (("xsize = 3", "xsize = 3.5"), "not a number of cells"), (("xfirst = 110\n", ""), "no `xfirst`"),
    (("lonlat", "gaussian"), "gaussian"), (("0.25", "0"), "`yinc` is 0"), (("110", "west"), "not a number"),
    (("xsize = 3", "xsize = 30000000"), "cells"), (("gridtype = lonlat", "hello"), "not a grid description"),
    (("yinc = 0.25", "yvals = 35 36 37"), "3 numbers instead of 2"),
    (("yfirst = 35", "yfirst = 95"), "not a latitude"),
    (("yinc", "gridtype = lonlat\nyinc"), "more than one grid"),
    (("xinc", 'xunits = "m"\nxinc'), "xunits is m"),
])
def test_descriptions_that_are_refused(tmp_path, change, word):
    assert word in refused(write(tmp_path / "g.txt", LONLAT.replace(*change)))


def test_a_grid_lies_where_stations_are(tmp_path):
    grid = parse_grid(write(tmp_path / "near.txt", LONLAT))
    assert check_inside(grid, [35.0], [110.0]) == 0.0
    with pytest.raises(UserError, match="300 km"):
        check_inside(grid, [45.0, 46.0], [110.0, 111.0])
    # One degree of latitude is 111.195 km on the sphere: rows at 0, 2 and 4 degrees, reach 300 km.
    rows = write(tmp_path / "rows.txt",
                 "gridtype=lonlat\nxsize=1\nxfirst=110\nxinc=1\nysize=3\nyfirst=35\nyinc=2\n")
    assert check_inside(parse_grid(rows), [35.0], [110.0]) == pytest.approx(1 / 3)
