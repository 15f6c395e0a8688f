"""Areas: what is read, what is refused or put right, exact partial cells, and people that are conserved."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields import people as people_module
from aqreanalysis.fields.people import people_on_grid
from aqreanalysis.geo import EARTH_RADIUS_KM
from aqreanalysis.grids import coverage, parse_grid
from aqreanalysis.grids.areas import areas_of_frame, read_areas
from aqreanalysis.grids.coverage import cell_km2, cover, sphere_km2

GRID = parse_grid("1deg")  # 19 x 14 cells from 106 E, 29 N


def frame(*boxes, names=None, crs="EPSG:4326"):
    names = names or [f"box {number}" for number in range(len(boxes))]
    shapes = [box if isinstance(box, shapely.Geometry) else shapely.box(*box) for box in boxes]
    return geopandas.GeoDataFrame({"name": names}, geometry=shapes, crs=crs)


# --- sizes and partial cells


def test_sizes_on_the_sphere():
    """A box by its closed form; all cells are the whole region."""
    box = shapely.box(110.0, 30.0, 112.0, 33.0)
    expected = EARTH_RADIUS_KM**2 * np.radians(2.0) * (np.sin(np.radians(33.0)) - np.sin(np.radians(30.0)))
    assert sphere_km2(np.array([box]))[0] == pytest.approx(expected, rel=1e-12)
    region = shapely.box(106.0, 29.0, 125.0, 43.0)
    assert cell_km2(GRID).sum() == pytest.approx(sphere_km2(np.array([region]))[0], rel=1e-9)


def test_shares_of_cells_by_hand():
    """A whole cell, half of two cells, and a box smaller than a cell."""
    areas = areas_of_frame(frame((110, 30, 111, 31), (110.5, 30, 111.5, 31), (110.2, 30.2, 110.4, 30.3)))
    found = cover(areas, GRID)
    share = found.share.toarray()
    first = 19 * 1 + 4
    assert np.flatnonzero(share[0]).tolist() == [first] and share[0, first] == pytest.approx(1.0)
    np.testing.assert_allclose(share[1, [first, first + 1]], 0.5, rtol=1e-6)
    assert share[2, first] == pytest.approx(0.02, rel=1e-6)
    np.testing.assert_allclose(found.inside, 1.0, rtol=5e-3)  # the size of a part is that share of its cell's size
    assert any("Smaller than a cell" in note and "box 2" in note for note in found.notes(areas))


def test_provinces_share_edges_and_the_two_ways_agree():
    """Provinces of a coverage sum to their union; exactextract and plain polygons give the same shares."""
    provinces = read_areas()
    assert {"Beijing", "Hebei", "Inner Mongolia"} <= set(provinces.names) and not provinces.notes
    assert provinces.other_names[provinces.names.index("Shandong")] == "山东省"
    found = cover(provinces, GRID)
    whole = cover(areas_of_frame(frame(shapely.union_all(provinces.shapes))), GRID)
    np.testing.assert_allclose(found.share.sum(axis=0), whole.share.toarray()[0], atol=1e-6)
    polygons = coverage._of_polygons(provinces, coverage.cell_polygons(GRID))
    np.testing.assert_allclose(polygons.toarray(), found.share.toarray(), atol=1e-6)
    assert any("Inner Mongolia (30%)" in note for note in found.notes(provinces))


def test_curvilinear_cells_cover_what_they_are(tmp_path):
    y, x = np.mgrid[0:7, 0:9]
    path = tmp_path / "grid.nc"
    xr.Dataset({"lat": (("y", "x"), 35.0 + 0.5 * y - 0.05 * x, {"units": "degrees_north"}),
                "lon": (("y", "x"), 112.0 + 0.5 * x + 0.1 * y, {"units": "degrees_east"})}).to_netcdf(path)
    grid = parse_grid(path)
    inner = coverage.cell_polygons(grid).reshape(7, 9)[2, 3]
    found = cover(areas_of_frame(frame(inner)), grid)
    assert found.weights.sum() == pytest.approx(cell_km2(grid).reshape(7, 9)[2, 3], rel=1e-9)
    assert found.share.toarray().argmax() == 2 * 9 + 3


def test_areas_outside_and_points_are_refused_or_told(tmp_path):
    areas = areas_of_frame(frame((110, 30, 111, 31), (10, 50, 11, 51)))
    assert any("1 of 2 areas, box 1" in note for note in cover(areas, GRID).notes(areas))
    with pytest.raises(UserError, match="No area"):
        cover(areas_of_frame(frame((10, 50, 11, 51))), GRID)
    points = tmp_path / "points.csv"
    points.write_text("station_id,lon,lat\nA,116.4,39.9\nB,117.0,39.0\n")
    with pytest.raises(UserError, match="of points"):
        cover(areas, parse_grid(points))


# --- files


def test_any_coordinate_system_gives_the_same_shares(tmp_path):
    box = frame(shapely.segmentize(shapely.box(112.3, 33.2, 115.1, 36.4), 0.05))
    paths = {"geojson": tmp_path / "a.geojson", "gpkg": tmp_path / "a.gpkg", "shp": tmp_path / "a.shp"}
    box.to_file(paths["geojson"])
    box.to_crs(32650).to_file(paths["gpkg"])
    box.to_crs(4490).to_file(paths["shp"])
    found = {name: cover(read_areas(path), GRID).share.toarray() for name, path in paths.items()}
    for name in ("gpkg", "shp"):
        np.testing.assert_allclose(found[name], found["geojson"], atol=1e-4)
    assert any("reprojected" in note for note in read_areas(paths["gpkg"]).notes)


def test_names_in_gbk_without_a_word_on_it(tmp_path):
    path = tmp_path / "counties.shp"
    box = frame((110, 30, 111, 31), (112, 30, 113, 31), names=["朝阳区", "海淀区"])
    box.to_file(path, encoding="GB18030")
    for suffix in (".cpg",):
        path.with_suffix(suffix).unlink(missing_ok=True)
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:29] + b"\0" + table.read_bytes()[30:])  # nor in its language driver
    areas = read_areas(path)
    assert areas.names == ("朝阳区", "海淀区") and "GB18030" in areas.notes[0]


BOW_TIE = shapely.Polygon([(110, 30), (112, 32), (112, 30), (110, 32), (110, 30)])


def test_what_is_put_right_is_told():
    areas = areas_of_frame(frame(BOW_TIE, (110, 30, 112, 31), shapely.Point(1, 2), names=["one", "one", "dot"]))
    assert areas.names == ("one", "one (2)") and shapely.is_valid(areas.shapes).all()
    assert areas.shapes[0].area == pytest.approx(2.0)
    words = " ".join(areas.notes)
    for part in ("1 of 3 areas", "no polygons", "invalid outlines", "Self-intersection", "several times", "overlap"):
        assert part in words
    assert areas_of_frame(frame((0, 0, 1, 1), (1, 0, 2, 1))).notes == ()


def two_layers(folder):
    frame((110, 30, 111, 31)).to_file(folder / "two.gpkg", layer="a")
    frame((110, 30, 111, 31)).to_file(folder / "two.gpkg", layer="b")
    return folder / "two.gpkg"


def without_crs(folder):
    frame((110, 30, 111, 31), crs=None).to_file(folder / "plain.shp")
    return folder / "plain.shp"


def metres(folder):
    frame((500_000, 3_300_000, 600_000, 3_400_000), crs=None).to_file(folder / "metres.shp")
    return folder / "metres.shp"


def text(folder):
    (folder / "text.geojson").write_text("not json")
    return folder / "text.geojson"


def empty(folder):
    (folder / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return folder / "empty.geojson"


@pytest.mark.parametrize("make, options, words", [
    (lambda f: f / "nothing.shp", {}, "There is no"), (text, {}, "can't be read"), (empty, {}, "is empty"),
    (two_layers, {}, "2 layers: a, b"), (two_layers, {"layer": "c"}, "no layer"),
    (without_crs, {}, "coordinate reference system"), (without_crs, {"crs": "EPSG:1"}, "no coordinate reference"),
    (metres, {"crs": "EPSG:4326"}, "reaches from"), (without_crs, {"crs": "EPSG:4326", "names": "x"}, "no column"),
])
def test_what_is_refused(tmp_path, make, options, words):
    with pytest.raises(UserError, match=words) as raised:
        read_areas(make(tmp_path), **options)
    assert raised.value.rule and raised.value.fix


def test_a_chosen_layer_and_a_said_crs_are_used(tmp_path):
    assert read_areas(two_layers(tmp_path), layer="b").names == ("box 0",)
    assert read_areas(without_crs(tmp_path), crs="EPSG:4326").names == ("box 0",)


# --- people


def written(path, values, west, north, step, crs="EPSG:4326", units=None):
    with rasterio.open(path, "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
                       dtype="float64", crs=crs, nodata=-999.0,
                       transform=rasterio.transform.from_origin(west, north, step, step)) as file:
        file.write(np.where(np.isnan(values), -999.0, values), 1)
        if units:
            file.units = (units,)
    return path


def test_people_are_conserved_from_finer_and_coarser_cells(tmp_path, monkeypatch):
    """Read in parts of few rows, of which only the grid's part is kept."""
    monkeypatch.setattr(people_module, "MOST_VALUES", 300)
    rng = np.random.default_rng(0)
    for step in (0.15, 0.7, 2.5):
        values = rng.uniform(0, 1000, (int(16 / step), int(22 / step)))
        lat, lon = (44.0 - step * (np.arange(values.shape[0]) + 0.5), 105.0 + step * (np.arange(values.shape[1]) + 0.5))
        inside = (abs(lat - 36.0) < 7.0 - step / 2)[:, None] & (abs(lon - 115.5) < 9.5 - step / 2)
        values[~inside] = 0.0
        values[0, 0] = np.nan
        people = people_on_grid(written(tmp_path / f"{step}.tif", values, 105.0, 44.0, step), GRID, "count")
        assert people.total == pytest.approx(np.nansum(values))
        assert people.cells.sum() == pytest.approx(people.total, rel=1e-9) and "people per cell" in people.words


def test_density_by_hand_and_upside_down(tmp_path):
    """100 people per km2 everywhere; latitudes that ascend; longitudes to 360."""
    lat, lon = np.arange(20.25, 50.0, 0.5), np.arange(100.25, 130.0, 0.5)
    path = tmp_path / "density.nc"
    xr.Dataset({"pop": (("time", "lat", "lon"), np.full((1, 60, 60), 100.0), {"units": "people km-2"})},
               coords={"lat": lat, "lon": lon}).to_netcdf(path)
    people = people_on_grid(path, GRID)
    assert people.kind == "density"
    np.testing.assert_allclose(people.cells, 100.0 * cell_km2(GRID), rtol=1e-9)


@pytest.mark.parametrize("kind", ["count", "density"])
def test_a_netcdf_of_the_whole_earth_is_what_its_raster_is(tmp_path, monkeypatch, kind):
    """Read in parts; from south to north, longitudes of 0 to 360, chunks that do not fit the parts."""
    monkeypatch.setattr(people_module, "MOST_VALUES", 3000)
    values = np.random.default_rng(1).uniform(0, 1000, (180, 360))
    raster = people_on_grid(written(tmp_path / "p.tif", values, -180.0, 90.0, 1.0), GRID, kind)
    turned = np.roll(values[::-1], 180, axis=1)
    xr.Dataset({"pop": (("lat", "lon"), turned)}, {"lat": np.arange(-89.5, 90.0), "lon": np.arange(0.5, 360.0)}
               ).to_netcdf(tmp_path / "p.nc", encoding={"pop": {"chunksizes": (50, 70)}})
    people = people_on_grid(tmp_path / "p.nc", GRID, kind)
    assert people.total == pytest.approx(raster.total, rel=1e-12)
    np.testing.assert_allclose(people.cells, raster.cells, rtol=1e-9)


def test_a_projected_raster_is_conserved(tmp_path):
    values = np.zeros((60, 60))
    values[20:40, 20:40] = 50.0
    path = written(tmp_path / "utm.tif", values, 300_000.0, 4_200_000.0, 10_000.0, "EPSG:32650", "people")
    people = people_on_grid(path, GRID)
    assert people.kind == "count" and people.cells.sum() == pytest.approx(400 * 50.0, rel=1e-5)


@pytest.mark.parametrize("values, kind, words", [
    (np.full((30, 30), 5.0), None, "does not say"), (np.full((30, 30), -5.0), "count", "fewer than 0"),
    (np.diag([np.inf, *29 * [5.0]]), "count", "without an end"),
    (np.full((30, 30), 5.0), "heads", "unknown"), (np.zeros((30, 30)), "count", "no people"),
])
def test_populations_that_are_refused(tmp_path, values, kind, words):
    path = written(tmp_path / "p.tif", values, 105.0, 44.0, 1.0)
    with pytest.raises(UserError, match=words):
        people_on_grid(path, GRID, kind)


def test_a_population_elsewhere_or_of_several_variables(tmp_path):
    with pytest.raises(UserError, match="no people on the grid"):
        people_on_grid(written(tmp_path / "p.tif", np.ones((5, 5)), 10.0, 50.0, 1.0), GRID, "count")
    path = tmp_path / "two.nc"
    axes = {"lat": np.arange(30.0, 40.0), "lon": np.arange(106.0, 116.0)}
    xr.Dataset({name: (("lat", "lon"), np.ones((10, 10))) for name in ("men", "women")}, coords=axes).to_netcdf(path)
    with pytest.raises(UserError, match="men, women"):
        people_on_grid(path, GRID)
    assert people_on_grid(path, GRID, "count", "men").total == 100.0
    with pytest.raises(UserError, match="no variable"):
        people_on_grid(path, GRID, "count", "children")
