"""The coordinate reference system of the products, WGS 84, in CF's words and in WKT."""

from __future__ import annotations

# Written out rather than asked of PROJ, whose text for EPSG:4326 grows with each realisation of
# WGS 84: the same product has the same bytes under any PROJ.
WGS84_WKT = (
    'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,'
    'LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]],'
    'CS[ellipsoidal,2],AXIS["geodetic latitude (Lat)",north,ORDER[1],ANGLEUNIT["degree",'
    '0.0174532925199433]],AXIS["geodetic longitude (Lon)",east,ORDER[2],ANGLEUNIT["degree",'
    '0.0174532925199433]],ID["EPSG",4326]]')


def crs_attributes() -> dict:
    """The grid mapping: latitude and longitude on WGS 84."""
    return {"grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 0.0,
            "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
            "long_name": "WGS 84 (EPSG:4326)", "crs_wkt": WGS84_WKT,
            "coverage_content_type": "referenceInformation"}
