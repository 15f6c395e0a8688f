r"""Made `aqreanalysis/data/boundaries.geojson.gz`; run by hand where Debian's qgis-common is installed.

    python docs/make_boundaries.py /usr/share/qgis/resources/data/world_map.gpkg \
        aqreanalysis/data/boundaries.geojson.gz

The source is Natural Earth 1:10m, admin 1, version 4.1.0 (public domain, naturalearthdata.com), as packed
for QGIS. Provinces are simplified as one coverage, so neighbours keep their common line, then clipped to
the region with its margin and rounded to 0.001 degree. Each segment is then sorted by who shares it: two
countries, two provinces of China, or nobody (the coast). Province lines of other countries are left out.
"""

import gzip
import json
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import geopandas
import numpy as np
import shapely

from aqreanalysis.grids.boundaries import AREA

TOLERANCE, DECIMALS = 0.01, 3  # degrees; about 1 km and 0.1 km


def provinces(source: Path) -> geopandas.GeoDataFrame:
    west, east, south, north = AREA
    frame = geopandas.read_file(source, layer="states_provinces", bbox=(west, south, east, north))
    clip = shapely.box(west, south, east, north)
    simple = shapely.intersection(shapely.coverage_simplify(frame.geometry.values, TOLERANCE), clip)
    rounded = shapely.transform(simple, lambda xy: np.round(xy, DECIMALS))
    polygons = [shapely.MultiPolygon([part for part in shapely.get_parts(shapely.make_valid(shape))
                                      if part.geom_type == "Polygon"]) for shape in rounded]
    return geopandas.GeoDataFrame({"country": frame["adm0_a3"].values}, geometry=polygons)


def segments_by_owner(frame: geopandas.GeoDataFrame) -> dict[tuple, list[str]]:
    """Undirected segments -> the countries of the provinces that have them in their outline."""
    owners = defaultdict(list)
    for country, shape in zip(frame["country"], frame.geometry, strict=True):
        for polygon in shape.geoms:
            for ring in (polygon.exterior, *polygon.interiors):
                for ends in pairwise(ring.coords):
                    owners[tuple(sorted(ends))].append(country)
    return owners


def on_edge_of_area(a, b) -> bool:
    west, east, south, north = AREA
    return (a[0] == b[0] and a[0] in (west, east)) or (a[1] == b[1] and a[1] in (south, north))


def kind_of(ends, countries) -> str | None:
    if len(countries) == 1:
        return None if on_edge_of_area(*ends) else "coast"
    if len(set(countries)) > 1:
        return "borders"
    return "provinces" if countries[0] == "CHN" else None


def main(source: Path, target: Path) -> None:
    frame = provinces(source)
    groups = defaultdict(list)
    for ends, countries in segments_by_owner(frame).items():
        groups[kind_of(ends, countries)].append(ends)
    features = {name: shapely.line_merge(shapely.MultiLineString(groups[name]))
                for name in ("coast", "borders", "provinces")}
    features["land"] = shapely.union_all(frame.geometry.values)
    collection = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"name": name}, "geometry": json.loads(shapely.to_geojson(shape))}
        for name, shape in features.items()]}
    text = json.dumps(collection, separators=(",", ":")) + "\n"
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
