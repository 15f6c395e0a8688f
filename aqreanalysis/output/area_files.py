"""Files of means over areas: CSV, Parquet, GeoPackage, and CF NetCDF (timeSeries of areas with their outlines).

Parts come one after the other, each a Dataset (area, time) of some periods; a file has its name when it is whole.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import xarray as xr

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.grids.areas import Areas
from aqreanalysis.output import cf
from aqreanalysis.output.long_table import (
    BOOL,
    CSV,
    FLOAT32,
    FLOAT64,
    INT16,
    OTHERWISE,
    PARQUET,
    TEXT,
    LongTable,
    TableColumn,
)
from aqreanalysis.output.long_table import TIME as TIME_TYPE
from aqreanalysis.schema import TIME

SUFFIXES = (CSV, PARQUET, ".gpkg", ".nc")
FIXED = ("area_km2", "share_on_grid", "people")  # of an area, whatever the period
MOST_OUTLINES = 50_000  # rows of a GeoPackage, each with its outline
GEOMETRY, NODES = "area_geometry", "node"


def check_name(to: str | Path) -> Path:
    """The path of a file to be written; UserError where its ending is none that is known."""
    path = Path(to).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--to {to} has no ending that is known.", f"Endings are {', '.join(SUFFIXES)}.",
                        "Example: --to provinces.csv.")
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "Means over areas are one file.", "Give another name with --to.")
    return path


def check_rows(path: Path, areas: int, periods: int) -> None:
    """UserError for a GeoPackage of very many rows: each holds an outline."""
    if path.suffix.lower() == ".gpkg" and areas * periods > MOST_OUTLINES:
        raise UserError(f"{path.name} would have {areas * periods:,} rows, each with its outline.",
                        f"A GeoPackage of areas has at most {MOST_OUTLINES:,}.",
                        "Give --every month or year, or a .csv, .parquet or .nc file.")


def write_area_file(path: Path, parts: Iterator[xr.Dataset], areas: Areas, periods: int) -> None:
    """Write all parts, whose periods are so many in all."""
    kind = path.suffix.lower()
    if kind in (CSV, PARQUET):
        return _table(path, parts)
    with files.whole(path, OTHERWISE) as part:
        (_geopackage if kind == ".gpkg" else _netcdf)(part, parts, areas, periods)


def columns_of(data: xr.Dataset) -> list[TableColumn]:
    """The columns of a table of a Dataset (area, time)."""
    types = {"f": FLOAT32, "i": INT16}
    found = [TableColumn("area", TEXT, "", "name of the area")]
    found += [TableColumn("area_zh", TEXT, "", "name in Chinese")] if "area_zh" in data.coords else []
    found += [TableColumn("period", TEXT, "", str(data["period"].attrs["long_name"])),
              TableColumn("begin", TIME_TYPE, "", "begin of the period, UTC"),
              TableColumn("end", TIME_TYPE, "", "end of the period, UTC")]
    found += [TableColumn(str(name), types[of.dtype.kind], of.attrs["units"], of.attrs["long_name"])
              for name, of in data.data_vars.items() if of.dims == ("area", TIME)]
    found += [TableColumn(name, FLOAT64, data[name].attrs["units"], data[name].attrs["long_name"])
              for name in FIXED if name in data.coords]
    return [*found, TableColumn("simulated", BOOL, "", "whether the observations were simulated")]


def values_of(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The values of its columns (rows,): a row for each area of each period, periods after each other."""
    areas, steps = data.sizes["area"], data.sizes[TIME]
    bounds = data[f"{TIME}_bnds"].values
    found = {name: np.tile(data[name].values, steps) for name in ("area", "area_zh", *FIXED) if name in data.coords}
    found |= {"period": np.repeat(data["period"].values, areas), "begin": np.repeat(bounds[:, 0], areas),
              "end": np.repeat(bounds[:, 1], areas),
              "simulated": np.full(areas * steps, data.attrs.get("simulated") == "true")}
    found |= {str(name): of.values.T.ravel() for name, of in data.data_vars.items() if of.dims == ("area", TIME)}
    return {name: array.astype(float) if name in FIXED else array for name, array in found.items()}


def _table(path: Path, parts: Iterator[xr.Dataset]) -> None:
    first = next(parts)
    with LongTable(path, columns_of(first), {str(name): str(text) for name, text in first.attrs.items()}) as table:
        for data in itertools.chain([first], parts):
            table.write(values_of(data))


def _geopackage(path: Path, parts: Iterator[xr.Dataset], areas: Areas, periods: int) -> None:
    import geopandas
    import pandas as pd

    found = list(parts)
    names = [column.name for column in columns_of(found[0])]
    rows = pd.concat([pd.DataFrame(values_of(data))[names] for data in found], ignore_index=True)
    outlines = dict(zip(areas.names, areas.shapes, strict=True))
    several = [shapely.multipolygons([*shapely.get_parts(outlines[name])]) for name in rows["area"]]
    frame = geopandas.GeoDataFrame(rows, geometry=several, crs="EPSG:4326")
    with _fixed_time(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The filename extension")  # of a name until it is whole
        frame.to_file(path, layer="areas", driver="GPKG", engine="pyogrio",
                      layer_options={"DESCRIPTION": json.dumps({str(k): str(v) for k, v in found[0].attrs.items()},
                                                               ensure_ascii=False)})


@contextlib.contextmanager
def _fixed_time() -> Iterator[None]:
    """A GeoPackage notes when it was changed: one moment, so that the same content has the same bytes."""
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2013-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _netcdf(path: Path, parts: Iterator[xr.Dataset], areas: Areas, periods: int) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        first = 0
        for data in parts:
            if not first:
                _define(file, data, areas, periods)
            steps = slice(first, first + data.sizes[TIME])
            file[TIME][steps] = cf.hours_since_epoch(data[TIME].values)
            file[f"{TIME}_bnds"][steps] = np.stack([cf.hours_since_epoch(edge)
                                                    for edge in data[f"{TIME}_bnds"].values.T], axis=1)
            file["period"][steps] = data["period"].values
            for variable, of in data.data_vars.items():
                file[str(variable)][:, steps] = of.values
            first = steps.stop


def _define(file: Any, data: xr.Dataset, areas: Areas, periods: int) -> None:
    """Dimensions, attributes, coordinates and outlines."""
    file.setncatts({"Conventions": "CF-1.11", "featureType": "timeSeries"} | dict(data.attrs))
    for name, size in (("area", len(areas.names)), (TIME, periods), ("nv", 2)):
        file.createDimension(name, size)
    variable = file.createVariable(TIME, "i4", (TIME,))
    variable.setncatts({"standard_name": "time", "long_name": "end of the period, in UTC", "axis": "T",
                        "units": cf.EPOCH_UNITS, "calendar": "standard", "units_metadata": "leap_seconds: none",
                        "bounds": f"{TIME}_bnds"})
    file.createVariable(f"{TIME}_bnds", "i4", (TIME, "nv"))
    file.createVariable("period", str, (TIME,)).setncatts(data["period"].attrs)
    for name in ("area", "area_zh", "lat", "lon", *FIXED):
        if name in data.coords:
            values = data[name].values
            of = file.createVariable(_NAMES.get(name, name), str if values.dtype == object else values.dtype, ("area",))
            of.setncatts(data[name].attrs | ({"nodes": f"node_{name}"} if name in ("lat", "lon") else {}))
            of[:] = values
    _outlines(file, areas)
    file.createVariable(cf.CRS, "i4", ()).setncatts({name: text for name, text in cf.crs_attributes().items()
                                                     if name != "coverage_content_type"})
    for variable_name, of in data.data_vars.items():
        kind = of.dtype
        variable = file.createVariable(str(variable_name), kind, ("area", TIME), zlib=True, complevel=4, shuffle=True,
                                       fill_value=np.float32(np.nan) if kind.kind == "f" else None)
        variable.setncatts(of.attrs | {"coordinates": "area_name lat lon period", "geometry": GEOMETRY,
                                       "grid_mapping": cf.CRS})


_NAMES = {"area": "area_name"}


def _outlines(file: Any, areas: Areas) -> None:
    """A geometry container (CF 1.11, section 7.5): polygons with several parts and holes, outer rings anticlockwise."""
    rings, of_area, inner = [], [], []
    for number, shape in enumerate(areas.shapes):
        for polygon in shapely.get_parts(shapely.orient_polygons(shape)):
            for place, ring in enumerate(shapely.get_rings(polygon)):
                rings.append(shapely.get_coordinates(ring))
                of_area.append(number)
                inner.append(int(place > 0))
    sizes = np.array([len(ring) for ring in rings], np.int32)
    nodes = np.concatenate(rings)
    file.createDimension(NODES, len(nodes))
    file.createDimension("part", len(rings))
    container = file.createVariable(GEOMETRY, "i4", ())
    container.setncatts({"geometry_type": "polygon", "node_count": "node_count",
                         "node_coordinates": "node_lon node_lat", "part_node_count": "part_node_count",
                         "interior_ring": "interior_ring",
                         "coordinates": "lat lon", "grid_mapping": cf.CRS})
    for name, dimension, values in (
            ("node_count", "area", np.bincount(of_area, sizes, len(areas.names)).astype(np.int32)),
            ("part_node_count", "part", sizes), ("interior_ring", "part", np.array(inner, np.int32))):
        file.createVariable(name, "i4", (dimension,)).long_name = name.replace("_", " ")
        file[name][:] = values
    for column, (name, axis, words) in enumerate((("node_lon", "X", "longitude"), ("node_lat", "Y", "latitude"))):
        variable = file.createVariable(name, "f8", (NODES,), zlib=True, complevel=4, shuffle=True)
        variable.setncatts({"standard_name": words, "axis": axis,
                            "units": "degrees_east" if axis == "X" else "degrees_north"})
        variable[:] = nodes[:, column]
