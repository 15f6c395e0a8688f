"""Areas that means are taken over: polygons of any file that geopandas reads, checked, in degrees; provinces ship.

What is wrong in a file is either refused or put right and told: no coordinate system, names in GBK, invalid outlines,
names that occur twice, areas that overlap.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from aqreanalysis.errors import UserError, first_few

if TYPE_CHECKING:
    import geopandas

PROVINCES = Path(__file__).parents[1] / "data" / "provinces.geojson.gz"
PROVINCES_SOURCE = "provinces of China, Natural Earth 1:10m (public domain)"
NAME_COLUMNS = ("name", "name_en", "name_zh", "名称", "area", "city", "county", "province", "district", "adm3_en",
                "adm2_en", "adm1_en", "name_3", "name_2", "name_1", "nl_name_3", "nl_name_2", "nl_name_1")
OTHER_NAMES = ("name_zh",)   # kept beside the name
POLYGONS = ("Polygon", "MultiPolygon")
EDGE_M = 2000.0              # straight lines of another coordinate system are cut so short before they bend
LEAST_OVERLAP = 1e-3         # of the smaller area, that is told
RULE = "Areas are polygons of a vector file (GeoPackage, Shapefile, GeoJSON) with a coordinate reference system."
EXAMPLE = "Leave --areas out for the provinces that ship."


@dataclass(frozen=True, eq=False)
class Areas:
    """Polygons under names that are unique."""

    names: tuple[str, ...]
    shapes: np.ndarray          # (areas,) polygons or multipolygons, degrees (lon, lat) of WGS 84
    other_names: tuple[str, ...] | None  # in Chinese, where the file has them
    source: str                 # a file's name, or what ships
    digest: str                 # sha256 of names and outlines
    notes: tuple[str, ...]      # sentences: what was put right

    def frame(self) -> geopandas.GeoDataFrame:
        """As a table with `area` (and `area_zh`) and outlines."""
        import geopandas

        columns: dict[str, Any] = {"area": list(self.names)}
        if self.other_names:
            columns["area_zh"] = list(self.other_names)
        return geopandas.GeoDataFrame(columns, geometry=list(self.shapes), crs="EPSG:4326")

    def __getitem__(self, which: np.ndarray) -> Areas:
        chosen = np.flatnonzero(which) if np.asarray(which).dtype == bool else np.asarray(which)
        return replace(self, names=tuple(self.names[i] for i in chosen), shapes=self.shapes[chosen],
                       other_names=tuple(self.other_names[i] for i in chosen) if self.other_names else None)


def read_areas(path: str | Path | None = None, layer: str | None = None, names: str | None = None,
               crs: str | None = None) -> Areas:
    """The areas of a file; the provinces that ship where there is none.

    Parameters
    ----------
    path : any vector file that geopandas reads.
    layer : of a file with several.
    names : the column with the areas' names; a usual one is found without.
    crs : the coordinate reference system of a file that does not say it (EPSG:4326 ...).

    Raises
    ------
    UserError : where it is no such file, or a choice is needed.
    """
    if path is None:
        content = json.loads(gzip.decompress(PROVINCES.read_bytes()))["features"]
        shapes = np.array([shapely.geometry.shape(of["geometry"]) for of in content], object)
        labels = [[str(of["properties"][name]) for of in content] for name in ("name", "name_zh")]
        return _areas(labels[0], shapes, labels[1], PROVINCES_SOURCE, [])
    file = Path(path).expanduser()
    if not file.exists():
        raise UserError(f"There is no {path}.", RULE, EXAMPLE)
    frame, notes = _read(file, layer)
    return areas_of_frame(frame, file.name, names, crs, notes)


def areas_of_frame(frame: geopandas.GeoDataFrame, source: str = "areas", names: str | None = None,
                   crs: str | None = None, notes: Sequence[str] = ()) -> Areas:
    """The areas of a GeoDataFrame; parameters and errors as of `read_areas`."""
    said = list(notes)
    frame = frame.reset_index(drop=True)
    frame, told = _polygons_only(frame, source)
    labels, which = _names(frame, source, names)
    said += told
    frame, told = _in_degrees(frame, source, crs)
    shapes, made = _valid(frame.geometry.values, labels)
    labels, doubled = _unique(labels)
    said += told + made + doubled + _overlaps(shapes, labels)
    chinese = next((frame[name].astype(str).tolist() for name in frame.columns
                    if name != which and str(name).lower() in OTHER_NAMES), None)
    return _areas(labels, shapes, chinese, source, said)


def _areas(names: Sequence[str], shapes: np.ndarray, chinese: Sequence[str] | None, source: str,
           notes: Sequence[str]) -> Areas:
    digest = hashlib.sha256("\n".join(names).encode())
    for outline in shapely.to_wkb(shapes, byte_order=1):
        digest.update(outline)
    return Areas(tuple(names), shapes, tuple(chinese) if chinese else None, source, digest.hexdigest(), tuple(notes))


def _read(file: Path, layer: str | None) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The table of a file; and a sentence on the encoding that was found, where the file does not say it."""
    import geopandas
    import pyogrio

    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
        if layer is None and len(layers) > 1:
            raise UserError(f"{file} has {len(layers)} layers: {', '.join(layers)}.", "Areas are of one layer.",
                            f"Example: --layer {layers[0]}.")
        if layer is not None and layer not in layers:
            raise UserError(f"{file} has no layer {layer!r}.", f"It has {', '.join(layers)}.",
                            "Choose one with --layer.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unsaid = file.suffix.lower() == ".shp" and not _says_encoding(file)
            frame = geopandas.read_file(file, layer=layer, **({"encoding": "ISO-8859-1"} if unsaid else {}))
    except UserError:
        raise
    except Exception as error:  # whatever GDAL, pyogrio and shapely raise of a file that is none
        raise UserError(f"{file} can't be read as areas ({' '.join(str(error).split())[:200]}).", RULE,
                        EXAMPLE) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UserError(f"{file} is a table without outlines.", RULE, EXAMPLE)
    return _decoded(frame, file) if unsaid else (frame, [])


def _says_encoding(file: Path) -> bool:
    """Whether a shapefile says how its texts are encoded: in a .cpg, or in its .dbf's language driver."""
    if any(file.with_suffix(suffix).exists() for suffix in (".cpg", ".CPG")):
        return True
    table = next((file.with_suffix(suffix) for suffix in (".dbf", ".DBF") if file.with_suffix(suffix).exists()), None)
    return table is None or table.read_bytes()[29:30] not in (b"\x00", b"W")  # W: "whatever Windows has"


def _decoded(frame: geopandas.GeoDataFrame, file: Path) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """Texts that were read as bytes, decoded by the first of UTF-8 and GB18030 that fits them all; and a sentence."""
    texts = [name for name in frame.columns if name != frame.geometry.name
             and frame[name].map(lambda value: isinstance(value, str)).any()]
    words = [*map(str, frame.columns), *(value for name in texts for value in frame[name].dropna())]
    whole = b"\n".join(str(word).encode("latin-1", "replace") for word in words)
    if whole.isascii():
        return frame, []
    for encoding in ("utf-8", "gb18030"):
        try:
            whole.decode(encoding)
        except UnicodeDecodeError:
            continue
        for name in texts:
            frame[name] = [value.encode("latin-1").decode(encoding) if isinstance(value, str) else value
                           for value in frame[name]]
        frame = frame.rename(columns={name: str(name).encode("latin-1").decode(encoding) for name in frame.columns})
        return frame, [f"{file.name} does not say how its texts are encoded (no .cpg): they were read as "
                       f"{encoding.upper()}, which fits all of them."]
    raise UserError(f"The texts of {file} are neither UTF-8 nor GB18030.", "A shapefile says its encoding in a .cpg.",
                    f"Write the encoding's name into {file.with_suffix('.cpg').name}.")


def _polygons_only(frame: geopandas.GeoDataFrame, source: str) -> tuple[geopandas.GeoDataFrame, list[str]]:
    if not len(frame):
        raise UserError(f"{source} is empty.", RULE, EXAMPLE)
    missing = np.asarray(frame.geometry.isna() | frame.geometry.is_empty)
    kinds = frame.geometry.geom_type
    other = ~missing & ~np.asarray(kinds.isin(POLYGONS))
    if not (~missing & ~other).any():
        found = ", ".join(sorted(set(kinds[~missing]))) or "nothing"
        raise UserError(f"{source} has no polygon: it has {found}.", RULE,
                        "Of points, `export` gives values at places.")
    notes = [f"{int(which.sum())} of {len(frame)} areas of {source} are left out: {what}."
             for which, what in ((missing, "they have no outline"), (other, "they are no polygons")) if which.any()]
    return frame[~missing & ~other].reset_index(drop=True), notes


def _names(frame: geopandas.GeoDataFrame, source: str, asked: str | None) -> tuple[list[str], str | None]:
    """Names of the areas and their column, None where they are numbered."""
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    if asked is not None:
        if asked not in columns:
            raise UserError(f"{source} has no column {asked!r}.", f"It has {', '.join(columns) or 'none'}.",
                            "Choose one with --names.")
        chosen: str | None = asked
    else:
        lower = {name.lower(): name for name in reversed(columns)}
        chosen = next((lower[name] for name in NAME_COLUMNS if name in lower), None)
        if chosen is None:
            texts = [name for name in columns if frame[name].map(lambda v: isinstance(v, str)).all()]
            chosen = next((name for name in texts if frame[name].is_unique), texts[0] if texts else None)
    if chosen is None:
        return [f"area {number}" for number in range(1, len(frame) + 1)], None
    values = frame[chosen]
    return [f"area {number}" if value != value or value is None or not str(value).strip() else str(value).strip()
            for number, value in enumerate(values, start=1)], chosen


def _in_degrees(frame: geopandas.GeoDataFrame, source: str,
                crs: str | None) -> tuple[geopandas.GeoDataFrame, list[str]]:
    import pyproj

    notes = []
    if crs is not None:
        try:
            asked = pyproj.CRS.from_user_input(crs)
        except pyproj.exceptions.CRSError as error:
            raise UserError(f"--crs {crs} is no coordinate reference system.", "It is a code of EPSG, or WKT.",
                            "Example: --crs EPSG:4326 for longitude and latitude.") from error
        if frame.crs is not None and frame.crs != asked:
            raise UserError(f"{source} says that it is in {frame.crs.to_string()[:60]}; --crs {crs} was given.",
                            "What a file says of itself is used.", "Leave --crs out.")
        frame = frame.set_crs(asked, allow_override=True)
    if frame.crs is None:
        raise UserError(f"{source} does not say its coordinate reference system (a shapefile's is in its .prj).", RULE,
                        "Say which it is: --crs EPSG:4326 for longitude and latitude, EPSG:4490 for CGCS2000.")
    if not frame.crs.is_geographic:
        step = EDGE_M / (frame.crs.axis_info[0].unit_conversion_factor if frame.crs.axis_info else 1.0)
        notes.append(f"{source} was reprojected from {frame.crs.name} to longitude and latitude.")
        frame = frame.set_geometry(frame.geometry.segmentize(step)).to_crs(4326)
    elif not frame.crs.equals(pyproj.CRS.from_epsg(4326), ignore_axis_order=True):
        frame = frame.to_crs(4326)
    west, south, east, north = frame.total_bounds
    if not (np.isfinite((west, south, east, north)).all() and -90.0 <= south <= north <= 90.0 and west >= -360.0
            and east <= 360.0):
        raise UserError(f"{source} reaches from {west:g} to {east:g} E and from {south:g} to {north:g} N.",
                        "Longitudes and latitudes are degrees.",
                        "Its coordinate reference system is another one: say which with --crs.")
    return frame, notes


def _valid(shapes: Any, labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Polygons of valid outlines; and which were not."""
    shapes = np.array(shapely.force_2d(np.asarray(shapes, object)), object)
    wrong = ~shapely.is_valid(shapes)
    if not wrong.any():
        return shapes, []
    reason = shapely.is_valid_reason(shapes[np.flatnonzero(wrong)[0]])
    for number in np.flatnonzero(wrong):
        parts = shapely.get_parts(shapely.make_valid(shapes[number]))
        parts = shapely.get_parts(parts)  # of collections
        shapes[number] = shapely.union_all([part for part in parts if part.geom_type == "Polygon"])
    named = first_few([labels[int(number)] for number in np.flatnonzero(wrong)])
    return shapes, [f"{int(wrong.sum())} invalid outlines were made valid: {named} ({reason})."]


def _unique(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of which each occurs once; and which did not."""
    taken, found, doubled = set(labels), [], []
    seen: dict[str, int] = {}
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        name, number = label, seen[label]
        if number > 1:
            doubled.append(label)
            while name in taken:
                name, number = f"{label} ({number})", number + 1
            taken.add(name)
        found.append(name)
    several = list(dict.fromkeys(doubled))
    return found, [f"{len(several)} name{'s' * (len(several) > 1)} occur{'s' * (len(several) == 1)} several times and "
                   f"got numbers: {first_few(several)}."] if several else []


def _overlaps(shapes: np.ndarray, labels: Sequence[str]) -> list[str]:
    """A sentence if areas overlap by more than a line of drawing."""
    tree = shapely.STRtree(shapes)
    one, other = tree.query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    least = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    pairs = np.flatnonzero(shared > LEAST_OVERLAP * least)
    if not len(pairs):
        return []
    named = first_few([f"{labels[one[pair]]} and {labels[other[pair]]}" for pair in pairs])
    return [f"{len(pairs)} pairs of areas overlap, each is computed by itself: {named}."]
