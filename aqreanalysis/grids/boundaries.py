"""Coast, borders, province lines and land of the region with two degrees of margin; always offline.

The lines ship in `data/boundaries.geojson.gz`: Natural Earth 1:10m admin 0 and admin 1 (version 4.1.0,
public domain, https://www.naturalearthdata.com), simplified to 0.01 degree (about 1 km) by
`docs/make_boundaries.py`. Lakes count as land. The lines are for orientation and say nothing about
sovereignty.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import shapely
import shapely.geometry

from aqreanalysis.schema import REGION_EDGES

BOUNDARY_MARGIN = 2.0  # degrees; a Lambert map of the region shows somewhat more than the region
# West, east, south, north.
AREA = tuple(edge + sign * BOUNDARY_MARGIN for edge, sign in zip(REGION_EDGES, (-1, 1, -1, 1), strict=True))
DATA = Path(__file__).parents[1] / "data" / "boundaries.geojson.gz"


@cache
def _shapes() -> dict[str, shapely.Geometry]:
    collection = json.loads(gzip.decompress(DATA.read_bytes()))
    return {feature["properties"]["name"]: shapely.geometry.shape(feature["geometry"])
            for feature in collection["features"]}


@cache
def land() -> shapely.MultiPolygon:
    """The land inside `AREA`, degrees (lon, lat), prepared for fast queries."""
    shape = _shapes()["land"]
    shapely.prepare(shape)
    return shape


def lines() -> dict[str, shapely.MultiLineString]:
    """``coast``, ``borders`` (of countries) and ``provinces`` (of China), degrees (lon, lat)."""
    return {name: _shapes()[name] for name in ("coast", "borders", "provinces")}


def is_land(lat, lon) -> np.ndarray:
    """Whether places lie on land, bool, of the broadcast shape of `lat` and `lon` in degrees.

    Outside `AREA` and on its edge the coast is not known and every place counts as land: the class of an estimate there
    depends on its distance to the stations, and it is not hidden as sea.
    """
    lat, lon = np.broadcast_arrays(np.asarray(lat, float), np.asarray(lon, float))
    west, east, south, north = AREA
    outside = (lon <= west) | (lon >= east) | (lat <= south) | (lat >= north)
    return shapely.contains_xy(land(), lon, lat) | outside
