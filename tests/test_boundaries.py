"""The shipped coast and lines against places and areas that anyone can look up."""

import numpy as np
import pytest
import shapely
from pyproj import Geod

from aqreanalysis.grids import boundaries

WGS84 = Geod(ellps="WGS84")


@pytest.mark.parametrize("name, lat, lon, expected", [
    ("Beijing", 39.90, 116.40, True), ("Jinan", 36.65, 117.12, True), ("Xi'an", 34.34, 108.94, True),
    ("Pyongyang", 39.02, 125.75, True), ("Bohai", 38.5, 119.5, False), ("Yellow Sea", 35.0, 122.0, False),
    ("Liaodong Bay", 40.2, 121.0, False), ("Yantai", 37.45, 121.3, True),
])
def test_known_places(name, lat, lon, expected):
    assert bool(boundaries.is_land(lat, lon)) is expected, name


def test_is_land_broadcasts_and_agrees_with_the_polygon():
    lat, lon = np.array([[38.5], [39.9]]), np.array([116.4, 119.5, 120.0])
    found = boundaries.is_land(lat, lon)
    by_point = [[boundaries.land().contains(shapely.Point(x, y)) for x in lon] for y in lat[:, 0]]
    assert found.shape == (2, 3) and found.dtype == bool
    assert found.tolist() == by_point


def test_beyond_the_known_area_nothing_is_sea():
    assert boundaries.is_land(30.0, 140.0) and boundaries.is_land(20.0, 115.0)  # Pacific, South China Sea
    assert boundaries.is_land(30.0, 127.0) and not boundaries.is_land(30.0, 126.9)  # on the edge; inside it


@pytest.mark.parametrize("province, lat, lon, official_km2", [
    ("Beijing", 39.9, 116.4, 16_410), ("Shanxi", 37.9, 112.5, 156_700), ("Henan", 34.7, 113.6, 167_000),
    ("Anhui", 31.8, 117.2, 140_100), ("Shaanxi", 34.3, 108.9, 205_600), ("Shandong", 36.65, 117.1, 157_900),
])
def test_lines_close_round_provinces_of_the_official_area(province, lat, lon, official_km2):
    network = shapely.union_all(list(boundaries.lines().values()))
    polygons = shapely.get_parts(shapely.polygonize([network]))
    around, = [shape for shape in polygons if shape.contains(shapely.Point(lon, lat))]
    area = abs(WGS84.geometry_area_perimeter(around)[0]) / 1e6
    assert area == pytest.approx(official_km2, rel=0.015), province


def test_coast_is_the_rim_of_the_land_but_for_the_edge_of_the_area():
    west, east, south, north = boundaries.AREA
    inner = shapely.box(west + 1e-6, south + 1e-6, east - 1e-6, north - 1e-6)
    rim = shapely.intersection(boundaries.land().boundary, inner)
    coast = boundaries.lines()["coast"]
    assert boundaries.land().is_valid
    assert coast.length == pytest.approx(rim.length, rel=1e-4)
    assert shapely.hausdorff_distance(coast, rim) < 1e-3
