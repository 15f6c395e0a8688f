"""Grids from files of other programs: models, xESMF, GIS; and files that are no grid, told by what they are."""

import gzip
import io
import warnings
import zipfile

import netCDF4
import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from pyproj import Geod
from rasterio.transform import Affine

from aqreanalysis.errors import UserError
from aqreanalysis.grids import parse_grid

CHINA_ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84 +units=m"
ANTICLOCKWISE = [(-1, -1), (-1, 1), (1, 1), (1, -1)]  # south, west first


def refused(path) -> str:
    with pytest.raises(UserError) as caught:
        parse_grid(path)
    return str(caught.value)


def save(path, **variables):
    xr.Dataset({name: (dims, np.asarray(values), *rest) for name, (dims, values, *rest) in variables.items()}
               ).to_netcdf(path)
    return path


def lattice(ny=3, nx=4):
    """Centres and shared corners of a turned lattice: both are the same linear function of row and column."""
    def place(j, i):
        return 35 + 0.3 * j + 0.1 * i, 112 - 0.1 * j + 0.3 * i
    return (place(*np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")),
            place(*np.meshgrid(np.arange(ny + 1) - 0.5, np.arange(nx + 1) - 0.5, indexing="ij")))


# --- dimensions ------------------------------------------------------------------------------------

@pytest.mark.parametrize("dims, sizes", [
    (("TSTEP", "LAY", "ROW", "COL"), {"TSTEP": 1, "LAY": 1}),   # MCIP, CMAQ
    (("TSTEP", "LAY", "ROW", "COL"), {"TSTEP": 25, "LAY": 2}),  # repeated for every step
    (("Time", "ROW", "COL"), {"Time": 3}),                      # WRF
    (("ROW", "COL", "time"), {"time": 4}),                      # as R and MATLAB turn dimensions round
    (("ROW", "LAY", "COL"), {"LAY": 1}),
])
def test_dimensions_along_which_nothing_changes_are_dropped(tmp_path, dims, sizes):
    (lat, lon), (corner_lat, corner_lon) = lattice()
    fields = {"LAT": lat, "LON": lon}
    of = {name: xr.DataArray(values, dims=("ROW", "COL")).expand_dims(sizes).transpose(*dims)
          for name, values in fields.items()}
    path = tmp_path / "GRIDCRO2D_190111"
    xr.Dataset({name: array.assign_attrs(units="DEGREES         ") for name, array in of.items()}).to_netcdf(path)
    grid = parse_grid(path)
    assert (grid.kind, grid.shape) == ("curvilinear", (3, 4))
    np.testing.assert_array_equal([grid.lat.reshape(3, 4), grid.lon.reshape(3, 4)], [lat, lon])
    np.testing.assert_allclose(grid.corners(), [corner_lat, corner_lon], rtol=1e-12)


def test_axes_that_are_repeated_in_time_are_axes(tmp_path):
    lat, lon = [35.0, 36, 37], [110.0, 111]
    path = save(tmp_path / "a.nc", lat=(("t", "y"), [lat] * 5), lon=(("t", "x"), [lon] * 5))
    grid = parse_grid(path)
    assert (grid.kind, grid.axis_lat.tolist(), grid.axis_lon.tolist()) == ("regular", lat, lon)
    grid = parse_grid(save(tmp_path / "b.nc", lat=(("t", "y"), [lat]), lon=("x", lon)))
    assert (grid.kind, grid.shape) == ("regular", (3, 2))


def test_what_changes_is_refused_and_named(tmp_path):
    assert "single number" in refused(save(tmp_path / "s.nc", lat=((), 35.0), lon=((), 110.0)))
    (lat, lon), _ = lattice()
    dims = ("TSTEP", "LAY", "ROW", "COL")
    moving = {"LAT": (dims, np.stack([lat, lat + 1])[:, None]), "LON": (dims, np.stack([lon, lon])[:, None])}
    assert "changes along TSTEP" in refused(save(tmp_path / "m.nc", **moving))


def test_a_coordinate_stored_transposed_is_turned(tmp_path):
    (lat, lon), _ = lattice(3, 3)  # square, so that shapes say nothing
    grid = parse_grid(save(tmp_path / "t.nc", lat=(("y", "x"), lat), lon=(("x", "y"), lon.T)))
    np.testing.assert_array_equal(grid.lon.reshape(3, 3), lon)


# --- corners ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("names, declared, lead", [
    (("lat_b", "lon_b"), True, ()), (("lat_b", "lon_b"), False, ()), (("bounds_lat", "bounds_lon"), False, ()),
    (("lat_corners", "lon_corners"), True, ("time",)),
])
@pytest.mark.parametrize("down", [False, True])
def test_shared_corners_are_bounds(tmp_path, names, declared, lead, down):
    (lat, lon), (corner_lat, corner_lon) = lattice()
    shift = 0.02 * np.arange(4)[:, None]  # so that the corners are not the means of the centres
    corner_lat = corner_lat + shift
    rows = slice(None, None, -1 if down else 1)
    attrs = [{"bounds": name} if declared else {} for name in names]
    extra = (np.newaxis,) * len(lead)
    path = save(tmp_path / "g.nc", lat=((*lead, "y", "x"), lat[rows][extra], attrs[0]),
                lon=((*lead, "y", "x"), lon[rows][extra], attrs[1]),
                **{names[0]: ((*lead, "y_b", "x_b"), corner_lat[rows][extra]),
                   names[1]: ((*lead, "y_b", "x_b"), corner_lon[rows][extra])})
    grid = parse_grid(path)
    found = np.stack([grid.lat_bounds[rows][1, 2], grid.lon_bounds[rows][1, 2]], axis=1)
    right = np.array([(corner_lat[j, i], corner_lon[j, i]) for j, i in ((1, 2), (1, 3), (2, 3), (2, 2))])
    start = int(np.argmin(np.abs(found - right[0]).sum(axis=1)))  # anticlockwise, from any corner
    np.testing.assert_allclose(np.roll(found, -start, axis=0), right, rtol=1e-12)


def test_edges_of_axes_are_bounds(tmp_path):
    path = save(tmp_path / "e.nc", lat=("lat", [36.0, 35.0], {"bounds": "lat_b"}), lat_b=("edge", [36.7, 35.5, 34.9]),
                lon=("lon", [350.0, 352.0]), lon_b=("lon_edge", [349.0, 351.5, 353.0]))
    grid = parse_grid(path)
    assert grid.lat_bounds.tolist() == [[34.9, 35.5], [35.5, 36.7]]
    assert grid.lon_bounds.tolist() == [[-11, -8.5], [-8.5, -7]]


def test_vertices_before_the_cells_are_turned(tmp_path):
    (lat, lon), _ = lattice(2, 2)
    of = {"lat": lat, "lon": lon}
    bounds = {f"{name}_v": (("nv", "y", "x"), np.stack([values + 0.1 * signs[number] for signs in ANTICLOCKWISE]))
              for number, (name, values) in enumerate(of.items())}
    fields = {name: (("y", "x"), values, {"bounds": f"{name}_v"}) for name, values in of.items()}
    grid = parse_grid(save(tmp_path / "v.nc", **fields, **bounds))
    np.testing.assert_allclose(grid.lat_bounds[1, 0], lat[1, 0] + np.array([-0.1, -0.1, 0.1, 0.1]))


@pytest.mark.parametrize("change, word", [
    ({"lat_b": (("a", "b"), np.zeros((3, 4)))}, "have the shape (3, 4)"),
    ({"lon_b": None}, "bounds of latitude alone"),
    ({"lat_b": (("y_b", "x_b"), np.full((4, 5), np.nan))}, "20 of 20"),
    ({"lat_b": (("y_b", "x_b"), np.deg2rad(lattice()[1][0]))}, "lie outside their bounds"),
])
def test_bounds_that_do_not_fit_are_refused(tmp_path, change, word):
    (lat, lon), (corner_lat, corner_lon) = lattice()
    variables = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon), "lat_b": (("y_b", "x_b"), corner_lat),
                 "lon_b": (("y_b", "x_b"), corner_lon)} | change
    assert word in refused(save(tmp_path / "g.nc", **{name: of for name, of in variables.items() if of}))


@pytest.mark.parametrize("lead", [(), ("time",)])
def test_names_of_places_are_read_however_they_are_stored(tmp_path, lead):
    """Characters without an encoding, padded with blanks, as Fortran and NCO write them; places at one time."""
    with netCDF4.Dataset(tmp_path / "p.nc", "w") as file:
        for name, size in (("time", 1), ("site", 2), ("strlen", 7)):
            file.createDimension(name, size)
        for name, values in (("lat", [39.9, 40.0]), ("lon", [116.4, 116.5])):
            file.createVariable(name, "f8", (*lead, "site"))[:] = values
        names = np.frombuffer(b"1001A  " + "东四 ".encode(), "S1").reshape(2, 7)
        file.createVariable("station_id", "S1", ("site", "strlen"))[:] = names
    grid = parse_grid(tmp_path / "p.nc")
    assert (grid.kind, grid.station_id, grid.lat.tolist()) == ("points", ("1001A", "东四"), [39.9, 40.0])


# --- GeoTIFF ---------------------------------------------------------------------------------------

def tiff(path, transform, crs, shape=(4, 5), **more):
    with rasterio.open(path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="float32",
                       nodata=-9999, transform=transform, crs=crs, **more) as image:
        image.write(np.full((1, *shape), -9999, "float32"))  # no value counts
    return path


@pytest.mark.parametrize("transform", [Affine(0.1, 0, 106, 0, -0.1, 43), Affine(0.1, 0, 106, 0, 0.1, 29),
                                       Affine(-0.1, 0, 125, 0, -0.1, 43)])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4490"])  # China's own datum is WGS 84 to a few centimetres
def test_degrees_are_the_regular_grid_of_these_cells(tmp_path, transform, crs):
    grid, region = parse_grid(tiff(tmp_path / "g.TIF", transform, crs, (140, 190))), parse_grid("0.1deg")
    assert grid.fingerprint == region.fingerprint
    np.testing.assert_array_equal(grid.lat_bounds, region.lat_bounds)
    np.testing.assert_array_equal(grid.lon_bounds, region.lon_bounds)


def test_web_mercator_is_a_regular_grid_of_uneven_rows(tmp_path):
    """y = R ln tan(45 deg + lat / 2) on the sphere of 6378137 m, x = R lon."""
    radius, step, top = 6378137.0, 10_000.0, 5_000_000.0
    grid = parse_grid(tiff(tmp_path / "m.tif", Affine(step, 0, 12_000_000, 0, -step, top), "EPSG:3857"))
    edges = np.degrees(2 * np.arctan(np.exp((top - step * np.arange(5)) / radius)) - np.pi / 2)[::-1]
    np.testing.assert_allclose(grid.lat_bounds, np.stack([edges[:-1], edges[1:]], axis=1), atol=1e-9)
    assert (grid.kind, grid.shape) == ("regular", (4, 5))
    centres = np.degrees((12_000_000 + step * (np.arange(5) + 0.5)) / radius)
    np.testing.assert_allclose(grid.axis_lon, centres, atol=1e-9)


def turned_pixels(turn, dx, dy):
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return Affine(cos * dx, -sin * dy, 700_000, sin * dx, cos * dy, 4_200_000)


@pytest.mark.parametrize("turn", [0, 30, 90, 180])
@pytest.mark.parametrize("up", [1, -1])
def test_cells_of_an_equal_area_projection_have_the_area_of_its_pixels(tmp_path, turn, up):
    transform = turned_pixels(turn, 10_000, -10_000 * up)
    grid = parse_grid(tiff(tmp_path / "a.tif", transform, CHINA_ALBERS))
    assert (grid.kind, grid.shape) == ("curvilinear", (4, 5))
    cell = Geod(ellps="WGS84")
    for lat, lon in zip(grid.lat_bounds.reshape(-1, 4), grid.lon_bounds.reshape(-1, 4), strict=True):
        area, _ = cell.polygon_area_perimeter(lon, lat)  # positive: anticlockwise
        assert area == pytest.approx(1e8, rel=1e-4)
    x, y = transform.a * 2.5 + transform.b * 1.5 + transform.c, transform.d * 2.5 + transform.e * 1.5 + transform.f
    lon, lat = rasterio.warp.transform(CHINA_ALBERS, "EPSG:4326", [x], [y])  # GDAL's own
    np.testing.assert_allclose([grid.lat[7], grid.lon[7]], [lat[0], lon[0]], atol=1e-8)  # row 1, column 2


def test_a_world_of_cells_centred_on_the_poles(tmp_path):
    grid = parse_grid(tiff(tmp_path / "w.tif", Affine(2, 0, -1, 0, -2, 91), "EPSG:4326", (91, 180)))
    assert grid.axis_lat[[0, -1]].tolist() == [-90, 90]
    assert grid.lat_bounds[-1].tolist() == [89, 90]


def test_images_that_do_not_say_where_they_lie(tmp_path):
    scale = Affine(0.1, 0, 106, 0, -0.1, 43)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        plain = tiff(tmp_path / "a.tif", Affine.identity(), None)
    assert "without georeference" in refused(plain)
    assert "no coordinate system" in refused(tiff(tmp_path / "b.tif", scale, None))
    local = 'LOCAL_CS["plant",UNIT["metre",1]]'
    assert "no relation to latitude" in refused(tiff(tmp_path / "c.tif", scale, local))
    far = Affine(1e6, 0, -2e7, 0, -1e6, 2e7)
    assert "outside what its coordinate system" in refused(tiff(tmp_path / "d.tif", far, "ESRI:102025", (40, 40)))
    whole = tiff(tmp_path / "e.tif", scale, "EPSG:4326").read_bytes()
    (tmp_path / "f.tif").write_bytes(whole[:60])
    assert "can't be read as a TIFF" in refused(tmp_path / "f.tif")
    points = [rasterio.control.GroundControlPoint(j, i, 110 + i, 40 - j) for j, i in ((0, 0), (0, 4), (3, 0))]
    assert "3 ground control points" in refused(tiff(tmp_path / "g.tif", Affine.identity(), "EPSG:4326", gcps=points))


# --- what a file is --------------------------------------------------------------------------------

TABLE = "station_id,lon,lat\nA,116,40\n"


def zipped(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return stream.getvalue()


@pytest.mark.parametrize("name, content, word, fix", [
    ("GRIDDESC", "'LAM_34N_110E'\n 2 25.0 40.0 110.0 110.0 34.0\n'CN27'\n'LAM' -2457000 -1539000 27000 27000 182\n",
     "GRIDDESC of IOAPI", "GRIDCRO2D"),
    ("desc.txt", "' '\n'LCC'\n 2, 25.0D0, 40.D0, 110.D0, 110.D0, 34.D0\n' '\n'CN27'\n", "GRIDDESC", "GRIDCRO2D"),
    ("GRIDDESC_d01", "27 27 182\n", "by its name a GRIDDESC", "GRIDCRO2D"),
    ("area.geojson", '{"type": "FeatureCollection", "features": []}', "GeoJSON", "ogr2ogr"),
    ("area.json", '\ufeff{\n "name": "x",\n "type": "FeatureCollection"}', "GeoJSON", "ogr2ogr"),
    ("run.json", '{"identity": 1}', "is JSON", "station_id"),
    ("area.kml", '<?xml version="1.0"?>\n<kml xmlns="x">', "is KML", "ogr2ogr"),
    ("area.shp", b"\x00\x00\x27\x0a" + bytes(96), "shapefile", "ogr2ogr"),
    ("area.zip", zipped("a/area.shp", "a/area.dbf"), "zipped shapefile", "ogr2ogr"),
    ("area.gpkg", b"SQLite format 3\x00" + bytes(80), "GeoPackage", "ogr2ogr"),
    ("map.png", b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG picture", "gdal_translate"),
    ("era5.grb2", b"GRIB\x00\x00\x00\x02", "is GRIB", "cdo -f nc4 copy era5.grb2"),
    ("MOD04.hdf", b"\x0e\x03\x13\x01" + bytes(30), "is HDF4", "gdalinfo MOD04.hdf"),
    ("points.xlsx", zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel workbook", "CSV"),
    ("points.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel workbook", "CSV"),
    ("points.parquet", b"PAR1" + bytes(20), "is Parquet", "to_csv"),
    ("dem.asc", "ncols 3\nnrows 2\nxllcorner 110\n", "ASCII grid of ArcGIS", "gdal_translate -a_srs"),
    ("namelist.wps", "&share\n wrf_core = 'ARW',\n/\n", "a namelist", "geo_em"),
    ("area.prj", 'GEOGCS["GCS_WGS_1984",DATUM["D"]]', "coordinate system without cells", ""),
    ("grid.nc", "<!DOCTYPE html><html><body>404", "a web page", "fetch"),
    ("grid.nc", "version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS", "git lfs pull"),
    ("grid.nc", b"", "is empty", "fetch"),
    ("grid.nc.gz", gzip.compress(b"CDF\x01" + bytes(40), mtime=0), "gzip", "gunzip -k"),
    ("cut.nc", b"\x89HDF\r\n\x1a\n" + bytes(60), "can't be read as NetCDF", "download it again"),
    ("grid.bin", bytes(range(256)), "neither text nor", ""),
    ("notes.txt", "the grid of the model\n", "not a grid description of CDO", "cdo griddes"),
])
def test_what_is_no_grid_is_named_with_what_to_do(tmp_path, name, content, word, fix):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    error = refused(path)
    assert name in error and word in error and fix in error, error


@pytest.mark.parametrize("name, content", [
    ("points.txt", TABLE), ("points", TABLE), ("POINTS.CSV", TABLE),
    ("points.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
    ("points.txt.gz", gzip.compress(TABLE.encode(), mtime=0)),
])
def test_tables_of_points_are_known_by_their_content(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    grid = parse_grid(path)
    assert (grid.kind, grid.station_id, grid.lon.tolist()) == ("points", ("A",), [116])


def test_folders(tmp_path, monkeypatch):
    """A store is known by what is in it, whatever its name; a named grid goes before a folder of its name."""
    (lat, lon), _ = lattice()
    store = xr.Dataset({"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)})
    store.to_zarr(tmp_path / "store", zarr_format=2, consolidated=True)
    assert parse_grid(tmp_path / "store").shape == (3, 4)
    (tmp_path / "product").mkdir()
    (tmp_path / "product" / "pm25_daily_2019.nc").touch()
    assert "pm25_daily_2019.nc" in refused(tmp_path / "product")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "northern-china-0.25deg").mkdir()
    assert parse_grid("northern-china-0.25deg").shape == (56, 76)
