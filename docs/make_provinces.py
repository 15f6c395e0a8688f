r"""Made `aqreanalysis/data/provinces.geojson.gz`; run by hand where Debian's qgis-common is installed.

    python docs/make_provinces.py /usr/share/qgis/resources/data/world_map.gpkg \
        aqreanalysis/data/provinces.geojson.gz

The source is Natural Earth 1:10m, admin 1, version 4.1.0 (public domain, naturalearthdata.com), as packed for QGIS.
Whole provinces of which at least LEAST_INSIDE lies in the region, simplified as one coverage, so that neighbours keep
their common line, and rounded to 0.001 degree. Chinese names are added here.
"""

import gzip
import json
import sys
from pathlib import Path

import geopandas
import numpy as np
import shapely

from aqreanalysis.schema import REGION_EDGES

TOLERANCE, DECIMALS = 0.01, 3  # degrees; about 1 km and 0.1 km
LEAST_INSIDE = 0.2             # of its area in degrees
CHINESE = {"Beijing": "北京市", "Tianjin": "天津市", "Hebei": "河北省", "Shanxi": "山西省", "Inner Mongol": "内蒙古自治区",
           "Liaoning": "辽宁省", "Jilin": "吉林省", "Shanghai": "上海市", "Jiangsu": "江苏省", "Zhejiang": "浙江省",
           "Anhui": "安徽省", "Jiangxi": "江西省", "Shandong": "山东省", "Henan": "河南省", "Hubei": "湖北省",
           "Hunan": "湖南省", "Chongqing": "重庆市", "Sichuan": "四川省", "Shaanxi": "陕西省", "Gansu": "甘肃省",
           "Ningxia": "宁夏回族自治区", "Guizhou": "贵州省"}
ENGLISH = {"Inner Mongol": "Inner Mongolia"}  # where the source is short


def main(source: Path, target: Path) -> None:
    west, east, south, north = REGION_EDGES
    frame = geopandas.read_file(source, layer="states_provinces", bbox=(west, south, east, north))
    frame = frame[frame["adm0_a3"] == "CHN"].sort_values("name").reset_index(drop=True)
    simple = shapely.coverage_simplify(frame.geometry.values, TOLERANCE)
    shapes = shapely.make_valid(shapely.transform(simple, lambda xy: np.round(xy, DECIMALS)))
    region = shapely.box(west, south, east, north)
    inside = shapely.area(shapely.intersection(shapes, region)) / shapely.area(shapes)
    features = []
    for name, shape, share in zip(frame["name"], shapes, inside, strict=True):
        print(f"{name}: {share:.2f} inside{'' if share >= LEAST_INSIDE else ', left out'}")
        if share < LEAST_INSIDE:
            continue
        parts = shapely.MultiPolygon([part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"])
        features.append({"type": "Feature", "geometry": json.loads(shapely.to_geojson(parts)),
                         "properties": {"name": ENGLISH.get(name, name), "name_zh": CHINESE[name]}})
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"),
                      ensure_ascii=False) + "\n"
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
