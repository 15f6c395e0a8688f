"""A user's own static covariate, sampled at places: a variable of a NetCDF file or Zarr store, a band of a GeoTIFF."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

from aqreanalysis.errors import UserError, first_few
from aqreanalysis.fields.static import Transform
from aqreanalysis.grids import geotiff, netcdf
from aqreanalysis.schema import LAT, LON

WINDOW = 1024      # pixels on each side that are read at a time: memory does not grow with the file
LEAST_WEIGHT = 0.5  # of the pixels round a place, that those with a value hold between them
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PACKED = {b"\x1f\x8b": "gzip", b"PK": "zip"}
# What programs write where nothing is known; of no covariate of a place a value.
_FILLS = (-9999.0, -99999.0, -32768.0, -2147483648.0)
_HUGE = 1e20       # beyond it: the fill values of NetCDF, CMIP and GDAL
_NAMED = 20        # of bands or variables, in an error


class CovariateFile(BaseModel):
    """A covariate of a user's own, as a recipe names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name of the covariate.", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    file: str = Field(description="NetCDF file, Zarr store or GeoTIFF.", min_length=1)
    variable: str | None = Field(None, description="Variable of a NetCDF file; not needed where it has one.")
    band: int | None = Field(None, ge=1, description="Band of a GeoTIFF, from 1; not needed where it has one.")
    interpolation: Literal["bilinear", "nearest"] = Field(
        "bilinear", description="Between the centres of four pixels, or the value of the nearest one.")
    transform: Transform = Field(
        "none", description="Taken before standardising: sqrt (of either sign), or log of 1 + x.")


class Layer(Protocol):
    """Values on pixels."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def attributes(self) -> dict[str, str]:
        """`long_name` and `units`, as the file has them."""

    def position(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fractional rows and columns of places in degrees, from the centre of the first pixel."""

    def opened(self) -> Any:
        """A context that gives a function of two slices, of rows and columns: float64, NaN where nothing is known."""


def open_layer(of: CovariateFile) -> Layer:
    """The layer of a file; nothing but what describes it is read.

    Raises
    ------
    UserError : where there is no such file, it can't be read, does not say where its pixels lie, changes with time, or
        has several variables or bands of which none is named.
    """
    path = Path(of.file).expanduser()
    if not path.exists():
        raise UserError(f"There is no file {of.file} (covariate {of.name}).",
                        "It is a NetCDF file, a Zarr store or a GeoTIFF.", "")
    try:
        head = path.open("rb").read(4) if path.is_file() else b""
        if packed := _PACKED.get(head[:2]):
            raise UserError(f"{of.file} (covariate {of.name}) is a {packed} file.",
                            "It is a NetCDF file, a Zarr store or a GeoTIFF.", "Unpack it, and name what was in it.")
        is_tiff = head in _TIFF
        unused = "variable" if is_tiff else "band"
        if getattr(of, unused) is not None:
            raise UserError(f"{of.file} is a {'GeoTIFF' if is_tiff else 'NetCDF file'} and has no {unused}.",
                            "A GeoTIFF has bands, a NetCDF file has variables.", f"Take `{unused}` out of the recipe.")
        return _open_tiff(path, of) if is_tiff else _open_netcdf(path, of)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{of.file} (covariate {of.name}) can't be read: {' '.join(str(error).split()):.200}.",
                        "It is a whole NetCDF file, Zarr store or GeoTIFF.",
                        "`ncdump -h FILE` or `gdalinfo FILE` tells more; copy or download it again.") from error


def sample(layer: Layer, lat: np.ndarray, lon: np.ndarray, interpolation: str) -> np.ndarray:
    """Values (points,), float32, at places in degrees; a value does not depend on the other places.

    NaN outside the outermost pixels, where nothing is known, and where coordinates are not finite. Bilinear values are
    of those of the four pixels that have one; NaN where these hold less than half of the weight.

    Raises
    ------
    UserError : where the file can't be read to the end, or has a fill value that it does not declare as one.
    """
    found = np.full(lat.size, np.nan, np.float32)
    known = np.isfinite(lat) & np.isfinite(lon)
    row, column = np.full(lat.size, np.nan), np.full(lat.size, np.nan)
    row[known], column[known] = layer.position(lat[known], lon[known])
    (ny, nx), slack = layer.shape, 1e-6  # of a pixel: the rounding of coordinates
    inside = np.flatnonzero((row >= -0.5 - slack) & (row <= ny - 0.5 + slack)
                            & (column >= -0.5 - slack) & (column <= nx - 0.5 + slack))
    if not inside.size:
        return found
    row, column = np.clip(row[inside], 0, ny - 1), np.clip(column[inside], 0, nx - 1)
    if interpolation == "nearest":
        row, column = np.floor(row + 0.5), np.floor(column + 0.5)
    window = row.astype(np.int64) // WINDOW * (nx // WINDOW + 1) + column.astype(np.int64) // WINDOW
    order = np.argsort(window, kind="stable")
    try:
        with layer.opened() as read:
            for part in np.split(order, np.flatnonzero(np.diff(window[order])) + 1):
                found[inside[part]] = _weighted(read, row[part], column[part])
    except _UndeclaredFill as fill:
        raise UserError(f"{layer.path} has pixels of {fill} and does not say that these are no values.",
                        "What is missing is declared: nodata of a GeoTIFF, _FillValue of NetCDF.",
                        f"`gdal_edit.py -a_nodata {fill} FILE.tif` or `ncatted -a _FillValue,NAME,o,f,{fill} FILE.nc`."
                        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # rasterio's are an OSError
        raise UserError(f"{layer.path} can't be read to its end: {' '.join(str(error).split()):.200}.",
                        "It is a whole file.", "Copy or download it again.") from error
    return found


class _UndeclaredFill(Exception):
    """A value that stands for none."""


def _weighted(read: Any, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values at fractional rows and columns of one window, of the four pixels round each."""
    i, j = row.astype(np.int64), column.astype(np.int64)
    y, x = row - i, column - j
    values = read(slice(i.min(), i.max() + 2), slice(j.min(), j.max() + 2))
    i, j = i - i.min(), j - j.min()
    total, weight = np.zeros(row.size), np.zeros(row.size)
    for di, share_y in ((0, 1 - y), (1, y)):
        for dj, share_x in ((0, 1 - x), (1, x)):
            pixel = values[np.minimum(i + di, values.shape[0] - 1), np.minimum(j + dj, values.shape[1] - 1)]
            fill = np.isin(pixel, _FILLS) | (np.isfinite(pixel) & (np.abs(pixel) >= _HUGE))
            if fill.any():
                raise _UndeclaredFill(f"{pixel[fill][0]:g}")
            share = np.where(np.isfinite(pixel), share_y * share_x, 0.0)
            total += share * np.where(np.isfinite(pixel), pixel, 0.0)
            weight += share
    known = weight >= LEAST_WEIGHT - 1e-9
    return np.divide(total, weight, out=np.full(row.size, np.nan), where=known)


# --- GeoTIFF ---------------------------------------------------------------------------------------

@dataclass(frozen=True)
class _TiffLayer:
    path: Path
    band: int
    raster: geotiff.Raster
    attributes: dict[str, str]

    @property
    def shape(self) -> tuple[int, int]:
        return self.raster.shape

    def position(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import pyproj

        x, y = pyproj.Transformer.from_crs(geotiff.WGS84, self.raster.crs, always_xy=True).transform(lon, lat)
        to_pixel = ~self.raster.transform
        if self.raster.crs.is_geographic:  # any turn of longitude
            (ny, nx), at = self.shape, self.raster.transform
            x = _turned(x, min(at.a * column + at.b * row + at.c for column in (0, nx) for row in (0, ny)))
        return to_pixel.d * x + to_pixel.e * y + to_pixel.f - 0.5, to_pixel.a * x + to_pixel.b * y + to_pixel.c - 0.5

    @contextmanager
    def opened(self) -> Iterator[Any]:
        import rasterio

        with rasterio.open(self.path) as image:
            scale, offset = image.scales[self.band - 1], image.offsets[self.band - 1]

            def read(rows: slice, columns: slice) -> np.ndarray:
                (ny, nx) = self.shape
                window = ((rows.start, min(rows.stop, ny)), (columns.start, min(columns.stop, nx)))
                values = image.read(self.band, window=window, masked=True)
                return np.ma.filled(values.astype(float), np.nan) * scale + offset

            yield read


def _open_tiff(path: Path, of: CovariateFile) -> Layer:
    import rasterio

    raster = geotiff.read_raster(path)
    with rasterio.open(path) as image:
        if (image.count > 1 and of.band is None) or (of.band or 1) > image.count:
            names = [f"{i} {text or ''}".strip() for i, text in enumerate(image.descriptions, start=1)]
            raise UserError(f"{of.file} has {image.count} band{'s' * (image.count > 1)} ({_listed(names)}), and "
                            f"covariate {of.name} names {of.band or 'none'}.", "A covariate is one of them.",
                            "Give `band: 1` in the recipe.")
        band = of.band or 1
        if image.dtypes[band - 1].startswith("c"):
            raise UserError(f"{of.file} has complex values (covariate {of.name}).", "A covariate is one number.")
        attributes = {"long_name": image.descriptions[band - 1] or of.name, "units": image.units[band - 1] or ""}
    return _TiffLayer(path, band, raster, attributes)


# --- NetCDF ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class _NetcdfLayer:
    path: Path
    variable: str
    dims: tuple[str, str]  # of latitude and longitude
    lat: np.ndarray
    lon: np.ndarray
    attributes: dict[str, str]

    @property
    def shape(self) -> tuple[int, int]:
        return self.lat.size, self.lon.size

    def position(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ascending = np.sort(self.lon)
        west = ascending[0] - (ascending[1] - ascending[0]) / 2
        return _along(self.lat, lat), _along(self.lon, _turned(lon, west))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        with _open_dataset(self.path) as dataset:
            stored = dataset[self.variable]
            stored = stored.isel({dim: 0 for dim in stored.dims if dim not in self.dims}).transpose(*self.dims)
            low, high = _valid_range(stored)

            def read(rows: slice, columns: slice) -> np.ndarray:
                values = stored[rows, columns].values.astype(float)
                return np.where((values >= low) & (values <= high), values, np.nan)

            yield read


def _valid_range(stored: xr.DataArray) -> tuple[float, float]:
    """CF's valid_range, or valid_min and valid_max, which are of packed values, unpacked."""
    low, high = np.ravel(stored.attrs.get("valid_range", (
        stored.attrs.get("valid_min", -np.inf), stored.attrs.get("valid_max", np.inf))))
    scale, offset = float(stored.encoding.get("scale_factor", 1)), float(stored.encoding.get("add_offset", 0))
    ends = sorted((float(low) * scale + offset, float(high) * scale + offset))
    return ends[0], ends[1]


def _open_dataset(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, engine="zarr" if path.is_dir() else "netcdf4", chunks=None, decode_times=False)


def _open_netcdf(path: Path, of: CovariateFile) -> Layer:
    lat, lon = netcdf.read_coordinates(path)
    if lat.values.ndim != 1 or lon.values.ndim != 1 or lat.dims == lon.dims:
        raise UserError(f"{of.file} (covariate {of.name}) has latitudes of the shape {lat.values.shape}.",
                        "A covariate is on rows of latitude and columns of longitude.",
                        "`cdo remapbil,r3600x1800 IN.nc OUT.nc` puts it there, or make it a GeoTIFF.")
    dims = (*lat.dims, *lon.dims)
    for name, axis in ((LAT, lat.values), (LON, lon.values)):
        steps = np.diff(axis)
        if axis.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
            raise UserError(f"{of.file} (covariate {of.name}): {name} has {axis.size} values that do not run one way.",
                            "Rows and columns are in order, at least two of each.",
                            "`cdo sellonlatbox,-180,180,-90,90 IN.nc OUT.nc` puts them so.")
    with _open_dataset(path) as dataset:
        fits = [str(name) for name, variable in dataset.data_vars.items()
                if set(dims) <= set(variable.dims) and variable.dtype.kind in "bfiu"]
        variable = of.variable or (fits[0] if len(fits) == 1 else None)
        if variable not in fits:
            raise UserError(f"{of.file} has {len(fits)} variables on latitude and longitude ({_listed(fits)}), and "
                            f"covariate {of.name} names {of.variable or 'none'}.", "A covariate is one of them.",
                            "Give `variable: NAME` in the recipe.")
        stored = dataset[variable]
        for dim in stored.dims:
            if dim not in dims and stored.sizes[dim] > 1:
                raise UserError(f"{of.file}: {variable} has {stored.sizes[dim]} steps of {dim}.",
                                "A static covariate has one value at a place.",
                                f"Take a mean of it, `ncwa -a {dim} IN.nc OUT.nc`, or one step, `ncks -d {dim},0`.")
        attributes = {key: str(stored.attrs.get(key, default))
                      for key, default in (("long_name", variable), ("units", ""))}
    return _NetcdfLayer(path, variable, (str(dims[0]), str(dims[1])), lat.values.astype(float),
                        lon.values.astype(float), attributes)


def _turned(lon: np.ndarray, west: float) -> np.ndarray:
    """Longitudes within the turn that begins in the west of a layer; those on its very edge are not turned round."""
    east_of = (lon - west) % 360
    return west + np.where(east_of > 360 - 1e-9, 0.0, east_of)


def _along(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fractional positions on an axis (n,) that runs one way; beyond its ends by the step there, at most one."""
    longer = np.concatenate([[2 * axis[0] - axis[1]], axis, [2 * axis[-1] - axis[-2]]])
    position = np.arange(longer.size) - 1.0
    if axis[0] > axis[-1]:
        longer, position = longer[::-1], position[::-1]
    return np.interp(values, longer, position)


def _listed(names: list[str]) -> str:
    return first_few(names, _NAMED) or "none"
