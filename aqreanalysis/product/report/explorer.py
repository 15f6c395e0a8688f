"""The map of the report: which cells it shows, and their days as the product's files have them, packed for the page.

No mean is made and nothing is interpolated: a cell that is shown has the numbers of the cube, rounded as the page says.
Where there are more cells and days than a page can hold, every second, third ... row and column is shown. Days are read
from the product's daily files in pieces, so that memory does not grow with the period.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output, schema
from aqreanalysis.figures.scales import TOP_SHARE, Scale
from aqreanalysis.grids import Grid
from aqreanalysis.output.cf import QUALITY_FLAG
from aqreanalysis.output.encoding import TIME_CHUNK, grid_rows
from aqreanalysis.product.folder import Days
from aqreanalysis.product.observed import ObservedDays
from aqreanalysis.product.report.outlines import outlines
from aqreanalysis.product.report.packing import Deflated, Neighbours, codes_of, packed_bytes, values_of

MOST_CELL_DAYS = 8_000_000    # a year of the land of the region at 0.1 degree; some 11 MB of text
FEW_CELL_DAYS = 1_500_000     # are kept in finer steps
MOST_CELLS = {"regular": 110_000, "curvilinear": 40_000, "points": 20_000}
FINE, COARSE = 1000, 100      # steps for each e-fold of v + 10 ug m-3: errors of 0.05 and of 0.5 %; bounds have half
MOST_STATION_DAYS = 700_000   # of observations beside the estimates
DECIMALS = 4                  # of degrees: 10 m


@dataclass(frozen=True)
class Sample:
    """The cells that are shown: every `step`th row and column of the grid, where there is land."""

    step: int
    rows: np.ndarray    # of the grid, along its first dimension
    columns: np.ndarray  # (1,) of points
    mask: np.ndarray    # (rows, columns): on land; of points, everywhere
    cells: np.ndarray   # (cells,) flat numbers in the grid, in rows

    @classmethod
    def of(cls, grid: Grid, days: int) -> Sample:
        """As many as a page of so many days can hold."""
        most, step = min(MOST_CELLS[grid.kind], MOST_CELL_DAYS // max(days, 1)), 1
        while True:
            found = cls._every(grid, step)
            if len(found.cells) <= max(most, 1):
                return found
            step += 1

    @classmethod
    def _every(cls, grid: Grid, step: int) -> Sample:
        height, width = (grid.size, 1) if grid.kind == "points" else grid.shape
        rows = np.arange(step // 2, height, step) if height > step // 2 else np.array([height // 2])
        columns = np.arange(step // 2, width, step) if width > step // 2 else np.array([width // 2])
        number = rows[:, None] * width + columns
        whole = grid.kind == "points" or not grid.land.any()
        mask = np.ones(number.shape, bool) if whole else grid.land[number]
        return cls(step, rows, columns, mask, number[mask])


@dataclass(frozen=True)
class Explorer:
    """What the page's script is given: `about` as JSON, and packed arrays by name."""

    about: dict[str, Any]
    packed: dict[str, str]
    sample: Sample
    steps: int
    mean: float           # of all cells and days shown, ug m-3; NaN where there is none
    classes: np.ndarray   # (5,): cell-days by quality class

    def share(self, quality: int) -> float:
        """The share of the cell-days shown that are of a class."""
        return float(self.classes[quality]) / max(int(self.classes.sum()), 1)


def explorer_of(grid: Grid, daily: Sequence[Days], observed: ObservedDays | None) -> Explorer:
    """The map of a product with these daily files, that are there; `observed` of the same days."""
    dates = [day for of in daily for month in of.months for day in month.days()]
    sample = Sample.of(grid, len(dates))
    steps = FINE if len(sample.cells) * len(dates) <= FEW_CELL_DAYS else COARSE
    packer = _Packer(sample, steps)
    for block in _blocks([of.path for of in daily], grid, sample):
        packer.add(block)
    about: dict[str, Any] = {
        "days": [str(dates[0]), len(dates)], "steps": steps, "step": sample.step, "bounds": packer.bounds,
        "grid": _geometry(grid, sample), "scale": _colours(packer.top()), "lines": outlines(grid),
        "classes": list(schema.QUALITY), "stations": _stations(observed)}
    packed = packer.packed()
    if observed is not None and observed.pm25.size <= MOST_STATION_DAYS:
        packed["observed"] = _observations(observed)
    return Explorer(about, packed, sample, steps, packer.mean, packer.classes)


class _Packer:
    """Takes blocks of days and packs each variable; keeps counts of codes for the scale of colours."""

    def __init__(self, sample: Sample, steps: int):
        self._steps, self._neighbours = steps, Neighbours.of(sample.mask)
        self._files: dict[str, Deflated] = {}
        self._counts = np.zeros(1, np.int64)
        self._before = np.zeros((1, len(sample.cells)), np.uint8)
        self.classes = np.zeros(len(schema.QUALITY), np.int64)
        self.bounds = False

    def add(self, block: dict[str, np.ndarray]) -> None:
        """Arrays (days, cells) by variable."""
        code = codes_of(block[schema.TARGET], self._steps)
        counts = np.bincount(code.ravel(), minlength=len(self._counts))
        counts[:len(self._counts)] += self._counts
        self._counts = counts
        self._file("pm25").add_signed(self._neighbours.departures(code))
        self.bounds = schema.LOWER in block
        for name, sign in ((schema.LOWER, -1), (schema.UPPER, 1)):
            if self.bounds:
                bound = codes_of(block[name], self._steps // 2)
                self._file(name).add_signed(self._neighbours.departures(sign * (bound - code // 2)))
        flag = block[QUALITY_FLAG].astype(np.uint8)
        self.classes += np.bincount(flag.ravel(), minlength=len(self.classes))
        self._file("flag").add_bytes(flag ^ np.concatenate([self._before, flag[:-1]]))
        self._before = flag[-1:]

    def _file(self, name: str) -> Deflated:
        return self._files.setdefault(name, Deflated())

    @property
    def _values(self) -> np.ndarray:
        return values_of(np.arange(1, len(self._counts)), self._steps)

    @property
    def mean(self) -> float:
        """Of all values."""
        counts = self._counts[1:]
        return float(counts @ self._values / counts.sum()) if counts.sum() else float("nan")

    def top(self) -> float:
        """The value that few are above: the end of the scale of colours."""
        counts = self._counts[1:]
        if not counts.sum():
            return 1.0
        return float(self._values[np.searchsorted(np.cumsum(counts), TOP_SHARE * counts.sum())])

    def packed(self) -> dict[str, str]:
        """Everything, as text."""
        return {name: of.text() for name, of in self._files.items()}


def _blocks(paths: Sequence[Path], grid: Grid, sample: Sample) -> Iterator[dict[str, np.ndarray]]:
    """The days of the sample's cells, some at a time."""
    for path in paths:
        with output.open_product_file(path) as file:
            names = [name for name in (schema.TARGET, schema.LOWER, schema.UPPER, QUALITY_FLAG) if name in file]
            for first in range(0, file.sizes[schema.TIME], TIME_CHUNK):
                days = slice(first, min(first + TIME_CHUNK, file.sizes[schema.TIME]))
                yield {name: _read(file[name], days, grid, sample) for name in names}


def _read(field: xr.DataArray, days: slice, grid: Grid, sample: Sample) -> np.ndarray:
    """A variable (days, cells), read tile by tile of the grid."""
    found = np.empty((days.stop - days.start, len(sample.cells)), np.float32)
    for points in output.tiles(grid):
        first, last = np.searchsorted(sample.cells, [points.start, points.stop])
        if first < last:
            tile = field[days, grid_rows(grid, points)].values.reshape(len(found), -1)
            found[:, first:last] = tile[:, sample.cells[first:last] - points.start]
    return found


def _geometry(grid: Grid, sample: Sample) -> dict[str, Any]:
    """Where the cells are: centres that have the values, and edges or corners of what is coloured."""
    lat, lon = grid.lat[sample.cells], grid.lon[sample.cells]
    found: dict[str, Any] = {"kind": grid.kind, "shape": list(sample.mask.shape),
                             "mask": packed_bytes(np.packbits(sample.mask))}
    corners = grid.corners()
    if grid.kind == "points" or corners is None:
        ids = [grid.station_id[cell] for cell in sample.cells] if grid.station_id else []
        return found | {"kind": "points", "lat": _short(lat), "lon": _short(lon), "ids": ids}
    edges = [np.append(np.arange(0, size, sample.step), size) for size in grid.shape]
    corner_lat, corner_lon = (array[np.ix_(*edges)] for array in corners)
    if grid.kind == "regular":
        return found | {"lat": _short(grid.axis_lat[sample.rows]), "lon": _short(grid.axis_lon[sample.columns]),
                        "latEdges": _short(corner_lat[:, 0]), "lonEdges": _short(corner_lon[0])}
    return found | {"lat": _short(lat), "lon": _short(lon), "latEdges": _short(corner_lat.ravel()),
                    "lonEdges": _short(corner_lon.ravel())}


def _short(values: np.ndarray) -> list[float]:
    return np.round(values, DECIMALS).tolist()


def _colours(top: float) -> dict[str, Any]:
    """Steps of the scale from 0, ug m-3, and the colour of each and of what is above the last."""
    from matplotlib.colors import to_hex

    scale = Scale.of([np.array([top])], vmax=top)
    return {"levels": [round(float(level), 6) for level in scale.levels],
            "colours": [to_hex(colour) for colour in scale.cmap(np.linspace(0.0, 1.0, len(scale.levels)))]}


def _stations(observed: ObservedDays | None) -> dict[str, Any]:
    """Places and names of the stations, and whether their days are on the page."""
    if observed is None:
        return {"id": [], "name": [], "city": [], "lat": [], "lon": [], "days": False, "steps": FINE}
    names = {"id": observed.station.tolist(), "name": observed.name.tolist(), "city": observed.city.tolist(),
             "lat": _short(observed.lat), "lon": _short(observed.lon)}
    return names | {"days": observed.pm25.size <= MOST_STATION_DAYS, "steps": _observed_steps(observed)}


def _observed_steps(observed: ObservedDays) -> int:
    return FINE if observed.pm25.size <= FEW_CELL_DAYS // 10 else 2 * COARSE


def _observations(observed: ObservedDays) -> str:
    """Days of stations, each less the day before."""
    codes, deflated = codes_of(observed.pm25, _observed_steps(observed)), Deflated()
    deflated.add_signed(np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), codes.dtype)))
    return deflated.text()
