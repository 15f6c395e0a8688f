"""WGS-84, GCJ-02 and BD-09: the datums that Chinese tables of places come in.

GCJ-02 (web maps in China) displaces WGS-84 by a smooth field of up to some 700 m; BD-09 (Baidu) displaces
GCJ-02 again, by about 1 km. Neither formula was published by its owner; these are the public ones, as in PRCoords
(https://github.com/Artoria2e5/PRCoords, CC0) and gcoord (https://github.com/hujiulong/gcoord, MIT), which agree
with the owners' own services to about a metre. The ellipsoid is Krasovsky's, on purpose: that is how the
displacement is defined, whatever the ellipsoid of the coordinates. The inverses are iterated until they
return to within a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from aqreanalysis.errors import UserError

DATUMS = ("wgs84", "gcj02", "bd09")
KRASOVSKY_M, KRASOVSKY_E2 = 6378245.0, 0.00669342162296594323
CHINA = (72.004, 137.8347, 0.8293, 55.8271)   # west, east, south, north; places outside are not displaced
BAIDU = np.pi * 3000.0 / 180.0
CONVERGED_DEG, MAX_ITERATIONS = 1e-9, 30   # 0.1 mm
CONVERTED = "converted_from"   # column of a table: the datum that a place was given in, where not WGS-84

LonLat = tuple[np.ndarray, np.ndarray]


def wgs84_to_gcj02(lon, lat) -> LonLat:
    """Longitudes and latitudes in degrees, of any shape, from WGS-84 to GCJ-02."""
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    east, north = _displacement_m(lon - 105.0, lat - 35.0)
    phi = np.radians(lat)
    w = 1.0 - KRASOVSKY_E2 * np.sin(phi) ** 2
    dlon = np.degrees(east / (KRASOVSKY_M / np.sqrt(w) * np.cos(phi)))
    dlat = np.degrees(north / (KRASOVSKY_M * (1.0 - KRASOVSKY_E2) / w**1.5))
    inside = _in_china(lon, lat)
    return np.where(inside, lon + dlon, lon), np.where(inside, lat + dlat, lat)


def gcj02_to_bd09(lon, lat) -> LonLat:
    """From GCJ-02 to BD-09 (the geographic kind, bd09ll), in degrees."""
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    radius = np.hypot(lon, lat) + 2e-5 * np.sin(lat * BAIDU)
    angle = np.arctan2(lat, lon) + 3e-6 * np.cos(lon * BAIDU)
    inside = _in_china(lon, lat)
    return (np.where(inside, radius * np.cos(angle) + 0.0065, lon),
            np.where(inside, radius * np.sin(angle) + 0.006, lat))


def gcj02_to_wgs84(lon, lat) -> LonLat:
    """The inverse of :func:`wgs84_to_gcj02`."""
    return _inverse(wgs84_to_gcj02, lon, lat)


def bd09_to_gcj02(lon, lat) -> LonLat:
    """The inverse of :func:`gcj02_to_bd09`."""
    return _inverse(gcj02_to_bd09, lon, lat)


def to_wgs84(lon, lat, datum: str) -> LonLat:
    """LonLat in degrees of a datum by name (DATUMS; case, blanks and hyphens do not matter), in WGS-84."""
    if (name := datum_name(datum)) == "bd09":
        lon, lat = bd09_to_gcj02(lon, lat)
    return (np.asarray(lon, float), np.asarray(lat, float)) if name == "wgs84" else gcj02_to_wgs84(lon, lat)


def datum_name(text: str) -> str:
    """`GCJ-02` -> `gcj02`; empty text is WGS-84; a UserError for other text."""
    name = str(text).strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    if name in ("", "nan", "none"):
        return "wgs84"
    if name not in DATUMS:
        raise UserError(f"{str(text)!r} is not a known datum.", f"Known datums: {', '.join(DATUMS)}.",
                        "Correct the column datum of the station table, or --datum.")
    return name


def table_in_wgs84(table: pd.DataFrame, datum: str | None = None) -> pd.DataFrame:
    """A table of places (lon, lat in degrees) in WGS-84.

    The datum of each row is that of its column `datum`; the argument is for rows that have none. The result has the
    column `converted_from` instead, which keeps places from being converted twice.
    """
    if CONVERTED in table and datum is not None and datum_name(datum) != "wgs84":
        raise UserError(f"The datum {datum} was asked for, but the station table has a column for it.",
                        "A place is converted once.", "Leave out --datum, or the column datum.")
    if "datum" not in table and datum is None:
        return table
    given = table["datum"].astype(object) if "datum" in table else pd.Series(None, table.index, dtype=object)
    names = given.where(given.notna() & (given.astype(str).str.strip() != ""), datum or "").map(datum_name)
    result = table.drop(columns="datum", errors="ignore").assign(
        **{CONVERTED: names.where(names != "wgs84", "").astype(str)})
    for name in DATUMS[1:]:
        rows = (names == name).to_numpy()
        lon, lat = to_wgs84(table.loc[rows, "lon"], table.loc[rows, "lat"], name)
        result.loc[rows, "lon"], result.loc[rows, "lat"] = lon, lat
    return result


def _displacement_m(x: np.ndarray, y: np.ndarray) -> LonLat:
    """Metres to the east and north that GCJ-02 lies from WGS-84; x, y in degrees from 105 E, 35 N."""
    def wave(amplitude: float, angle: np.ndarray) -> np.ndarray:
        return 2.0 / 3.0 * amplitude * np.sin(angle * np.pi)
    both = wave(20.0, 6.0 * x) + wave(20.0, 2.0 * x)
    root = np.sqrt(np.abs(x))
    east = (300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + both
            + wave(20.0, x) + wave(40.0, x / 3.0) + wave(150.0, x / 12.0) + wave(300.0, x / 30.0))
    north = (-100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + both
             + wave(20.0, y) + wave(40.0, y / 3.0) + wave(160.0, y / 12.0) + wave(320.0, y / 30.0))
    return east, north


def _in_china(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    west, east, south, north = CHINA
    return (west <= lon) & (lon <= east) & (south <= lat) & (lat <= north)


def _inverse(forward: Callable[..., LonLat], lon, lat) -> LonLat:
    """The places that `forward` maps to these, by iteration: the displacement changes slowly in space."""
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    there_lon, there_lat = lon, lat
    for _ in range(MAX_ITERATIONS):
        found_lon, found_lat = forward(there_lon, there_lat)
        off_lon, off_lat = lon - found_lon, lat - found_lat
        there_lon, there_lat = there_lon + off_lon, there_lat + off_lat
        if not (np.maximum(np.abs(off_lon), np.abs(off_lat)) > CONVERGED_DEG).any():
            break
    return there_lon, there_lat
