"""What a file given as a grid is, by its content: how it is read; or, where it is not, its name and what to do."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from pathlib import Path

from aqreanalysis.errors import UserError

NETCDF, GEOTIFF, DESCRIPTION, POINTS = "NetCDF", "GeoTIFF", "grid description", "table of points"
STORE = ".zarr"  # how the name of a Zarr store ends
HEAD_BYTES = 65536
RULE = ("A grid is a resolution (0.1deg, 0.25deg), the name of a grid that ships, a grid description of CDO, a NetCDF "
        "file or Zarr store with latitude and longitude, a GeoTIFF, or a table of points (station_id,lon,lat).")

_STORE_FILES = ("zarr.json", ".zgroup", ".zmetadata")
_READ_BY_MAGIC = {b"CDF\x01": NETCDF, b"CDF\x02": NETCDF, b"CDF\x05": NETCDF, b"\x89HDF": NETCDF,
                  b"II*\x00": GEOTIFF, b"MM\x00*": GEOTIFF, b"II+\x00": GEOTIFF, b"MM\x00+": GEOTIFF}
_SHAPES_FIX = ("Of points: `ogr2ogr -f CSV -t_srs EPSG:4326 -lco GEOMETRY=AS_XY points.csv FILE`, then name the "
               "columns station_id, lon, lat. Of an area: choose a resolution, as --grid 0.1deg.")
_TABLE_FIX = "Save the sheet as CSV in UTF-8 with the columns station_id, lon, lat."
_IMAGE_FIX = "`gdal_translate FILE grid.tif` makes a GeoTIFF of it."
_PICTURE_FIX = ("Give the data that it was drawn from; or, where its corners are known, "
                "`gdal_translate -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH FILE grid.tif`.")
_FRAME_FIX = "Write its table as CSV with the columns station_id, lon, lat; of an array, write NetCDF with lat and lon."
_UNPACK_FIX = "Unpack it and give the file inside."

_NAMED_BY_MAGIC = {  # what cannot be read: first bytes -> what it is, what to do
    b"GRIB": ("GRIB", "`cdo -f nc4 copy FILE grid.nc` makes NetCDF of it."),
    b"\x0e\x03\x13\x01": ("HDF4", "`gdalinfo FILE` lists its layers; `gdal_translate LAYER grid.tif` makes a GeoTIFF."),
    b"\x00\x00\x27\x0a": ("a part of a shapefile", _SHAPES_FIX),
    b"SQLite format 3": ("a SQLite database, as a GeoPackage is", _SHAPES_FIX),
    b"PAR1": ("Parquet", "`python -c \"import pandas; pandas.read_parquet('FILE').to_csv('points.csv', index=False)\"` "
                         "makes a table of points of one with station_id, lon and lat."),
    b"ARROW1": ("Feather", "`python -c \"import pandas; pandas.read_feather('FILE').to_csv('points.csv', "
                           "index=False)\"` makes a table of points of one with station_id, lon and lat."),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (.xls)", _TABLE_FIX),
    b"\x89PNG": ("a PNG picture", _PICTURE_FIX), b"\xff\xd8\xff": ("a JPEG picture", _PICTURE_FIX),
    b"GIF8": ("a GIF picture", _PICTURE_FIX), b"%PDF": ("a PDF", _PICTURE_FIX),
    b"\x00\x00\x00\x0cjP": ("JPEG 2000", _IMAGE_FIX), b"EHFA_HEADER_TAG": ("an ERDAS image", _IMAGE_FIX),
    b"DSBB": ("a Surfer grid", _IMAGE_FIX), b"DSRB": ("a Surfer grid", _IMAGE_FIX),
    b"\x93NUMPY": ("an array of NumPy", _FRAME_FIX), b"MATLAB": ("a file of MATLAB", _FRAME_FIX),
    b"RDX": ("data of R", "`write.csv(table, 'points.csv', row.names = FALSE)`, with station_id, lon and lat."),
    b"\x80\x04": ("a pickle of Python", _FRAME_FIX), b"\x80\x05": ("a pickle of Python", _FRAME_FIX),
    b"BZh": ("packed by bzip2", _UNPACK_FIX), b"\xfd7zXZ": ("packed by xz", _UNPACK_FIX),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", _UNPACK_FIX), b"7z\xbc\xaf": ("a 7z archive", _UNPACK_FIX),
    b"Rar!": ("a RAR archive", _UNPACK_FIX),
}
_NAMED_BY_MEMBER = {  # of a zip: what a member's name ends or begins with
    "xl/": ("an Excel workbook (.xlsx)", _TABLE_FIX), "content.xml": ("an OpenDocument sheet", _TABLE_FIX),
    ".shp": ("a zipped shapefile", _SHAPES_FIX), ".kml": ("KMZ", _SHAPES_FIX),
    "word/": ("a Word document", _TABLE_FIX), ".npy": ("arrays of NumPy (.npz)", _FRAME_FIX),
}
_GRIDDESC_FIX = ("Give the GRIDCRO2D file of the same run (MCIP writes it beside GRIDDESC): NetCDF with LAT and LON of "
                 "the cells.")
_NAMED_BY_TEXT = {  # pattern at the beginning -> what it is, what to do
    r"(?:'[^'\n]*'[^\n]*\n\s*)+\d+(?:[\s,]+[-+.\deEdD]+){5}": ("a GRIDDESC of IOAPI", _GRIDDESC_FIX),
    r"version https://git-lfs": ("a pointer of Git LFS", "`git lfs pull` fetches the file itself."),
    r"<(?:!doctype )?html": ("a web page", "The download went wrong: fetch the file again."),
    r"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<kml": ("KML", _SHAPES_FIX),
    r"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<gpx": ("GPX", _SHAPES_FIX),
    r"(?:<\?xml[^>]*>\s*)?<VRTDataset": ("a virtual image of GDAL (VRT)", _IMAGE_FIX),
    r"<": ("XML", _SHAPES_FIX),
    r"\{.*\"type\"\s*:\s*\"(?:Feature|Topology|Point|Multi|Polygon|Line|Geometry)": ("GeoJSON", _SHAPES_FIX),
    r"\{|\[\s*[{\[\d\"]": ("JSON", "Write its places as CSV with the columns station_id, lon, lat."),
    r"ncols\s": ("an ASCII grid of ArcGIS", "`gdal_translate -a_srs EPSG:4326 FILE grid.tif` makes a GeoTIFF of it."),
    r"DSAA": ("a Surfer grid", "`gdal_translate -a_srs EPSG:4326 FILE grid.tif` makes a GeoTIFF of it."),
    r"ENVI\s": ("the header of an ENVI image", "`gdal_translate IMAGE grid.tif`, with the file that it belongs to."),
    r"(?:PROJCS|GEOGCS|PROJCRS|GEOGCRS|COMPD_CS|COMPOUNDCRS|LOCAL_CS)\s*\[|\+proj=":
        ("a coordinate system without cells", "Give the file that it belongs to."),
    r"&[A-Za-z]\w*\s*\n": ("a namelist, as WPS and WRF read", "Give geo_em.d01.nc, wrfinput_d01 or a wrfout file: "
                                                               "NetCDF with latitude and longitude."),
    r"dset\s": ("a control file of GrADS", "`cdo -f nc import_binary FILE grid.nc` makes NetCDF of it."),
}
_LAT_WORDS, _LON_WORDS = r"\b(?:lat|latitude|y)\b|纬度|緯度", r"\b(?:lon|lng|long|longitude|x)\b|经度|經度"


def kind_of(path: Path) -> str:
    """NETCDF, GEOTIFF, DESCRIPTION or POINTS.

    Raises
    ------
    UserError : for what cannot be read as a grid; it says what the file is and what to do.
    OSError : where there is no such file.
    """
    if path.is_dir() or path.suffix == STORE:
        return _kind_of_folder(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise UserError(f"{path} is empty.", RULE, "The copy or the download went wrong: fetch the file again.")
    for magic, kind in _READ_BY_MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"\x1f\x8b"):
        return _kind_of_gzip(path)
    if zipfile.is_zipfile(path):
        raise _refused_zip(path)
    return _kind_of_bytes(path, head)


def _refused(path: Path, what: str, fix: str) -> UserError:
    return UserError(f"{path} is {what}, which is not read as a grid.",
                     "Descriptions of CDO, NetCDF, Zarr, GeoTIFF and tables of points are.",
                     fix.replace("FILE", path.name))


def _kind_of_folder(path: Path) -> str:
    if not path.is_dir() or any((path / name).exists() for name in _STORE_FILES):
        return NETCDF  # one that is not there is told by who opens it
    inside = sorted(file.name for file in path.iterdir())
    if any(name.lower().endswith((".shp", ".gdbtable")) for name in inside):
        raise _refused(path, "a folder of shapes", _SHAPES_FIX)
    found = [name for name in inside if name.endswith((".nc", STORE, ".tif", ".csv"))]
    raise UserError(f"{path} is a folder.", RULE,
                    f"Give one of its files, as {path / found[0]}." if found else "Give a file.")


def _kind_of_gzip(path: Path) -> str:
    try:
        with gzip.open(path) as packed:
            head = packed.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} can't be unpacked: {error}.", "It is a whole file.",
                        "Copy or download it again.") from error
    if not head.startswith(tuple(_READ_BY_MAGIC)) and _kind_of_bytes(path, head) == POINTS:
        return POINTS
    raise UserError(f"{path} is packed by gzip.", "Only tables of points are read packed.",
                    f"Unpack it: `gunzip -k {path}`.")


def _refused_zip(path: Path) -> UserError:
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
    for sign, (what, fix) in _NAMED_BY_MEMBER.items():
        if any(name.startswith(sign) or name.lower().endswith(sign) for name in names):
            return _refused(path, what, fix)
    return _refused(path, f"a zip of {', '.join(names[:3]) or 'nothing'}", _UNPACK_FIX)


def _kind_of_bytes(path: Path, head: bytes) -> str:
    """Of what is neither packed nor read by its first bytes."""
    for magic, (what, fix) in _NAMED_BY_MAGIC.items():
        if head.startswith(magic):
            raise _refused(path, what, fix)
    if path.suffix.lower() == ".dbf":
        raise _refused(path, "a part of a shapefile", _SHAPES_FIX)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _kind_of_text(path, head[:len(head) // 2 * 2].decode("utf-16", "replace"))
    if b"\x00" in head:
        raise _refused(path, "neither text nor of a format that is known here", "Make NetCDF or a GeoTIFF of it.")
    return _kind_of_text(path, head.decode("utf-8-sig", "replace"))


def _kind_of_text(path: Path, text: str) -> str:
    if re.search(r"^\s*gridtype\s*=", text, re.IGNORECASE | re.MULTILINE):
        return DESCRIPTION
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "//", "!"))]
    body = "\n".join(lines)
    for pattern, (what, fix) in _NAMED_BY_TEXT.items():
        if re.match(r"\s*" + pattern, body, re.IGNORECASE | re.DOTALL):
            raise _refused(path, what, fix)
    if path.name.upper().startswith("GRIDDESC"):
        raise _refused(path, "by its name a GRIDDESC of IOAPI", _GRIDDESC_FIX)
    if re.search(r"\.(csv|tsv|tab)(\.gz)?$", path.name, re.IGNORECASE) or _looks_like_points(lines):
        return POINTS
    raise UserError(f"{path} is not a grid description of CDO and no table of points; it begins with "
                    f"{(lines or [''])[0].strip()[:60]!r}.", RULE,
                    "`cdo griddes FILE.nc > FILE.txt` writes a description, with a line `gridtype = lonlat`; a table "
                    "has the columns station_id, lon, lat.")


def _looks_like_points(lines: list[str]) -> bool:
    """Whether a header of the first lines names a latitude and a longitude, or all lines have equally many cells."""
    heads = [line.lower().replace("_", " ") for line in lines[:3]]
    if any(re.search(_LAT_WORDS, head) and re.search(_LON_WORDS, head) for head in heads):
        return True
    return any({line.count(separator) for line in lines[:20]} - {0} == {lines[0].count(separator)}
               for separator in ",;\t" if len(lines) > 1)
