"""The cells of a GeoTIFF in degrees of WGS 84, whatever coordinate system its pixels are in; values are not read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis.errors import UserError

WGS84 = "EPSG:4326"
EXACT = 1e-9   # degrees, 0.1 mm: what differs by less is one number
DECIMALS = 10  # of a degree: removes the rounding of origin + n * step
_RULE = "A GeoTIFF is a grid if it says where its pixels lie: a coordinate system and their size and origin."


@dataclass(frozen=True)
class Raster:
    """Where the pixels of an image lie."""

    shape: tuple[int, int]  # rows, columns
    transform: Any          # affine.Affine: column, row -> x, y of the coordinate system
    crs: Any                # pyproj.CRS


def read_raster(path: Path) -> Raster:
    """Shape, transform and coordinate system of a GeoTIFF.

    Raises
    ------
    UserError : where it can't be read, or has no georeference.
    """
    import pyproj
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                shape, transform, crs = image.shape, image.transform, image.crs
                control_points = len(image.gcps[0])
    except rasterio.errors.RasterioError as error:
        raise UserError(f"{path} can't be read as a TIFF: {error}.", "It is a whole file.",
                        "`gdalinfo FILE` tells more; copy or download it again.") from error
    if control_points and transform.is_identity:
        raise UserError(f"{path} has {control_points} ground control points and no regular pixels.", _RULE,
                        "`gdalwarp -t_srs EPSG:4326 IN.tif OUT.tif` makes regular pixels of it.")
    if transform.is_identity:
        raise UserError(f"{path} is a TIFF without georeference.", _RULE,
                        "`gdal_translate -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH IN.tif OUT.tif` adds it.")
    if crs is None:
        raise UserError(f"{path} has pixels of {transform.a:g} x {transform.e:g} and no coordinate system.", _RULE,
                        "`gdal_translate -a_srs EPSG:4326 IN.tif OUT.tif` adds it, where the pixels are in degrees.")
    if transform.is_degenerate:
        raise UserError(f"{path} has pixels without area.", _RULE)
    return Raster(shape, transform, pyproj.CRS.from_wkt(crs.to_wkt()))


def places(raster: Raster, source: str) -> dict[str, np.ndarray]:
    """Degrees: `lat`, `lon` (ny, nx) of the pixels' centres, `lat_corners`, `lon_corners` (ny + 1, nx + 1).

    Raises UserError where pixels lie outside what the coordinate system can show.
    """
    (ny, nx), found = raster.shape, dict[str, np.ndarray]()
    for names, shift, size in ((("lon", "lat"), 0.5, (ny, nx)),
                               (("lon_corners", "lat_corners"), 0.0, (ny + 1, nx + 1))):
        row, column = np.meshgrid(np.arange(size[0]) + shift, np.arange(size[1]) + shift, indexing="ij")
        of = raster.transform
        x, y = of.a * column + of.b * row + of.c, of.d * column + of.e * row + of.f
        found |= dict(zip(names, _on_wgs84(raster.crs, x, y, source), strict=True))
    if outside := int(sum(np.sum(~np.isfinite(values)) for values in found.values())):
        raise UserError(f"{source}: {outside:,} centres and corners of its {ny * nx:,} pixels lie outside what its "
                        f"coordinate system ({raster.crs.name}) can show.", "Every cell has a place on the earth.",
                        "Cut the image: `gdalwarp -te WEST SOUTH EAST NORTH -te_srs EPSG:4326 IN.tif OUT.tif`.")
    return found


def as_axes(found: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Centres (n,) and edges (n + 1,) of latitude and longitude, where rows are parallels and columns meridians."""
    axes = []
    for name, across in (("lat", 1), ("lon", 0)):
        centres, edges = found[name], found[f"{name}_corners"]
        first = [np.take(values, [0], axis=across) for values in (centres, edges)]
        if max(np.abs(centres - first[0]).max(), np.abs(edges - first[1]).max()) > EXACT:
            return None
        axes.append((first[0].ravel(), first[1].ravel()))
    return axes


def _on_wgs84(crs: Any, x: np.ndarray, y: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude; those of a system that WGS 84 has been measured equal to stay as they are."""
    import pyproj

    try:
        transformer = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
        if crs.is_geographic and _changes_nothing(transformer):
            lon, lat = x, np.clip(y, -90, 90)  # cells centred on a pole reach beyond it
        else:
            lon, lat = transformer.transform(x, y)
    except pyproj.exceptions.ProjError as error:
        raise UserError(f"{source}: its coordinate system {crs.name} has no relation to latitude and longitude "
                        f"({error}).", "Cells lie on the earth.",
                        "`gdal_translate -a_srs EPSG:NUMBER IN.tif OUT.tif` gives it the right one.") from error
    return np.round(lon, DECIMALS), np.round(lat, DECIMALS)


def _changes_nothing(transformer: Any) -> bool:
    """Whether places in China keep their coordinates."""
    lon, lat = np.meshgrid([75.0, 105.0, 135.0], [18.0, 36.0, 53.0])
    return bool(np.allclose(transformer.transform(lon, lat), (lon, lat), rtol=0, atol=EXACT))
