"""Fields of a regular grid as GeoTIFF, cloud-optimised or plain, a band a step.

Rows run from north to south, the corner is the north-west corner of the north-west cell and pixels are areas, as GDAL
has it; blocks are given as the cube has them, from south to north. Bands are first written unpacked into a hidden file
beside the target, whose size is that of the numbers; GDAL then packs it tile by tile. Memory does not grow with bands.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid
from aqreanalysis.output.cf import UNIFORM_STEP_DEG

WGS84 = "EPSG:4326"
TILE = 128          # pixels of a tile's side: a COG of GDAL 3.10 keeps all bands of a tile together
OVERVIEW_SIDE = 512  # pixels of the longer side, up to which an image needs no smaller ones
CACHE_MIB = 64      # of GDAL
LAYOUTS = ("cog", "geotiff")
_ELSEWHERE = "choose another folder with --to."
PACKED, CLASSES = np.dtype(np.uint16), np.dtype(np.uint8)
FILL = {PACKED: 65535, CLASSES: 255}  # of integers; a float's is NaN


@dataclass(frozen=True)
class Pixels:
    """Where the pixels lie: degrees of WGS 84."""

    west: float
    north: float
    width: float    # of a pixel
    height: float
    shape: tuple[int, int]  # rows, columns

    @property
    def transform(self) -> Any:
        """affine.Affine: column, row -> longitude, latitude of a pixel's north-west corner."""
        from rasterio.transform import from_origin

        return from_origin(self.west, self.north, self.width, self.height)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class BandStyle:
    """How the numbers of all bands are stored: value = scale * stored, in `units`."""

    dtype: np.dtype
    units: str
    scale: float = 1.0

    @property
    def fill(self) -> float:
        """What is stored where there is no value."""
        return float(FILL.get(self.dtype, np.nan))

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Values (...) as stored, missing ones as `fill`; UserError where one does not fit."""
        if self.dtype.kind == "f":
            return np.asarray(values, self.dtype)
        values = np.asarray(values, np.float64)
        there = np.isfinite(values)
        numbers = np.rint(values / self.scale, out=np.full(values.shape, self.fill), where=there)
        outside = there & ((numbers < 0) | (numbers >= self.fill))
        if outside.any():
            raise UserError(f"{values[outside][0]:g} {self.units} does not fit into {self.dtype} with the scale "
                            f"{self.scale:g}.", f"It holds 0 to {self.scale * (self.fill - 1):g} {self.units}.",
                            "Choose a larger --scale, or leave it out: then numbers are float32.")
        return np.where(there, numbers, self.fill).astype(self.dtype)


@dataclass(frozen=True)
class Band:
    """What a band is: words that readers show beside it, and tags."""

    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


def pixels_of(grid: Grid, source: str) -> Pixels:
    """The pixels of a regular grid; UserError where cells are not all of one size, or there are none."""
    fix = "Write .csv or .parquet instead, or remap it: `cdo remapcon,GRID IN.nc OUT.nc`."
    if grid.kind != "regular" or grid.lat_bounds is None or grid.lon_bounds is None:
        raise UserError(f"{source} lies on {'a list of points' if grid.kind == 'points' else 'a curvilinear grid'}.",
                        "A GeoTIFF has rows of latitude and columns of longitude.", fix)
    sides = []
    for word, bounds in (("latitude", grid.lat_bounds), ("longitude", grid.lon_bounds)):
        steps = np.diff(bounds, axis=1)[:, 0]
        even = np.ptp(steps) <= UNIFORM_STEP_DEG and np.allclose(bounds[1:, 0], bounds[:-1, 1], 0, UNIFORM_STEP_DEG)
        if not even:
            raise UserError(f"{source}: cells are {steps.min():g} to {steps.max():g} degrees of {word}.",
                            "Pixels of a GeoTIFF are all of one size, side by side.", fix)
        sides.append(round(float(bounds[-1, 1] - bounds[0, 0]) / len(bounds), 12))
    return Pixels(float(grid.lon_bounds[0, 0]), float(grid.lat_bounds[-1, 1]), sides[1], sides[0],
                  (len(grid.lat_bounds), len(grid.lon_bounds)))


class RasterWriter:
    """Writes a GeoTIFF as a context manager; nothing is there until the ``with`` block ends well.

    Parameters
    ----------
    path : final name.
    pixels : where.
    bands : what each is, in the order in which they are numbered from 0.
    style : how numbers are stored.
    tags : of the whole file, words.
    layout : "cog": cloud-optimised, tiled, with overviews; "geotiff": tiled, bands apart.
    """

    def __init__(self, path: Path | str, pixels: Pixels, bands: Sequence[Band], style: BandStyle,
                 tags: Mapping[str, str], layout: str = "cog"):
        self.path, self._pixels, self._style, self._layout = Path(path), pixels, style, layout
        self._bands, self._tags = list(bands), dict(tags)
        self._raw = files.part_name(self.path.with_name(f"{self.path.name}.bands"))

    def __enter__(self) -> Self:
        import rasterio

        rows, columns = self._pixels.shape
        with files.writing(self.path, _ELSEWHERE):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._env = rasterio.Env(GDAL_CACHEMAX=CACHE_MIB).__enter__()
            self._image = rasterio.open(
                self._raw, "w", driver="GTiff", height=rows, width=columns, count=len(self._bands),
                dtype=self._style.dtype.name, nodata=self._style.fill, crs=WGS84, transform=self._pixels.transform,
                interleave="band", bigtiff="IF_SAFER")
        self._describe()
        return self

    def _describe(self) -> None:
        self._image.update_tags(**self._tags)
        self._image.descriptions = [band.description for band in self._bands]
        self._image.units = [self._style.units] * len(self._bands)
        self._image.scales = [self._style.scale] * len(self._bands)
        for number, band in enumerate(self._bands, start=1):
            self._image.update_tags(number, **band.tags)

    def write(self, first: int, rows: slice, values: np.ndarray) -> None:
        """Write values (bands, rows, columns) from band number `first` on; `rows` count from the south, as values do.
        """
        from rasterio.windows import Window

        height = self._pixels.shape[0]
        start, stop, _ = rows.indices(height)
        stored = self._style.stored(values)[:, ::-1]
        with files.writing(self.path, _ELSEWHERE):
            for number, band in enumerate(stored, start=first + 1):
                self._image.write(band, number, window=Window(0, height - stop, band.shape[1], stop - start))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            with files.writing(self.path, _ELSEWHERE):
                self._image.close()
                if kind is None:
                    self._pack()
        finally:
            self._raw.unlink(missing_ok=True)
            self._env.__exit__(None, None, None)

    def _pack(self) -> None:
        from rasterio.shutil import copy

        options: dict[str, Any] = {"compress": "DEFLATE", "bigtiff": "IF_SAFER"}
        classes = self._style.dtype == CLASSES
        if self._layout == "cog":
            options |= {"driver": "COG", "predictor": "YES", "blocksize": TILE,
                        "overview_resampling": "MODE" if classes else "AVERAGE",
                        "overviews": "AUTO" if max(self._pixels.shape) > OVERVIEW_SIDE else "NONE"}
        else:
            options |= {"driver": "GTiff", "tiled": True, "blockxsize": TILE, "blockysize": TILE, "interleave": "BAND",
                        "predictor": 3 if self._style.dtype.kind == "f" else 2}
        with files.whole(self.path, _ELSEWHERE) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy(self._raw, part, **options)


def says_the_same(path: Path, pixels: Pixels, bands: Sequence[Band], style: BandStyle, tags: Mapping[str, str],
                  layout: str) -> bool:
    """Whether a GeoTIFF is there that was written with these very words, pixels and numbers' style."""
    import rasterio

    if not path.is_file():
        return False
    try:
        with rasterio.open(path) as image:
            is_cog = image.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
            return (image.shape == pixels.shape and image.transform.almost_equals(pixels.transform, 1e-12)
                    and image.descriptions == tuple(band.description for band in bands)
                    and set(image.dtypes) == {style.dtype.name} and set(image.scales) == {style.scale}
                    and dict(tags).items() <= image.tags().items() and is_cog == (layout == "cog"))
    except rasterio.errors.RasterioError:
        return False
