"""A field on a map: its cells or places, the veils over uncertain cells, and the stations on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis.figures import basemap
from aqreanalysis.figures.scales import Scale
from aqreanalysis.grids import Grid
from aqreanalysis.schema import EXTRAPOLATED, NO_OBSERVATIONS, SEA, SUPPORTED, WEAK_SUPPORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import PathPatch

HATCH_INK, RIM_INK = "#444444", "#888888"


@dataclass(frozen=True)
class MapStations:
    """Stations on a map: degrees, what they observed (NaN: nothing), whether no estimate was made from them; (n,)."""

    lat: np.ndarray
    lon: np.ndarray
    values: np.ndarray
    hidden: np.ndarray

    @classmethod
    def of(cls, lat: np.ndarray, lon: np.ndarray, values: np.ndarray | None = None,
           hidden: np.ndarray | None = None) -> MapStations:
        """`values` default nothing observed, `hidden` none."""
        lat, lon = np.asarray(lat, float), np.asarray(lon, float)
        values = np.full(lat.shape, np.nan) if values is None else np.asarray(values, float)
        return cls(lat, lon, values, np.zeros(lat.shape, bool) if hidden is None else np.asarray(hidden, bool))

    def at(self, which: np.ndarray) -> MapStations:
        """Some of them."""
        return MapStations(self.lat[which], self.lon[which], self.values[which], self.hidden[which])


@dataclass(frozen=True)
class Overlay:
    """What shows a quality class: a veil (RGBA) and a hatch over cells, a marker for places, words."""

    veil: tuple[float, float, float, float]
    hatch: str
    marker: str
    words: str


OVERLAYS = {
    WEAK_SUPPORT: Overlay((1, 1, 1, 0.0), "....", "s", "Few stations nearby"),
    EXTRAPOLATED: Overlay((1, 1, 1, 0.45), "////", "^", "Extrapolated, far from stations"),
    NO_OBSERVATIONS: Overlay((1, 1, 1, 0.75), "xxxx", "X", "No observations"),
}


@dataclass(frozen=True)
class MapField:
    """Values to show (NaN: none) and quality classes, both of the grid's shape."""

    grid: Grid
    values: np.ndarray
    flag: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, grid: Grid, flag: np.ndarray | None = None) -> MapField:
        """Cells on the sea lose their value. Places keep it: they are piers and islands too small for us."""
        values = np.array(values, float).reshape(grid.shape)
        flag = np.full(grid.shape, SUPPORTED) if flag is None else np.array(flag, int).reshape(grid.shape)
        if grid.kind != "points":
            flag = np.where(grid.land.reshape(grid.shape), flag, SEA)
        return cls(grid, np.where((flag != SEA) & np.isfinite(values), values, np.nan), flag)

    @property
    def missing(self) -> np.ndarray:
        """Where there should be a value and is none."""
        return np.isnan(self.values) & (self.flag != SEA)

    @property
    def has_cells(self) -> bool:
        """Whether the grid has cells, or only places."""
        return self.grid.corners() is not None


def draw_field(ax: Any, base: basemap.Base, field: MapField, scale: Scale) -> None:
    """Cells with their veils, or places; above the ground and below the lines."""
    draw = _draw_cells if field.has_cells else _draw_places
    draw(ax, base, field, scale)


def draw_stations(ax: Axes, base: basemap.Base, stations: MapStations, scale: Scale, size: float = 12.0) -> None:
    """Circles for stations that are used, triangles for withheld ones, in the colour of what they observed; those that
    observed nothing are white and small. `size` in square points."""
    x, y = base.project(stations.lat, stations.lon)
    known = np.isfinite(stations.values)
    for hidden, marker, larger in ((False, "o", 1.0), (True, "^", 2.4)):
        mine = stations.hidden == hidden
        silent = mine & ~known
        ax.scatter(x[silent], y[silent], s=0.6 * size * larger, marker=marker, facecolors="white", edgecolors="black",
                   linewidths=0.5, zorder=5 + 0.1 * hidden)
        mine &= known
        if mine.any():
            ax.scatter(x[mine], y[mine], c=stations.values[mine], s=size * larger, marker=marker, edgecolors="black",
                       linewidths=0.4 * larger**0.5, zorder=5 + 0.1 * hidden, **scale.style)


def _draw_cells(ax: Any, base: basemap.Base, field: MapField, scale: Scale) -> None:
    corners = field.grid.corners()
    assert corners is not None  # has_cells
    x, y = base.project(*corners)
    # add_artist, as add_patch would ask each cell for its limits, which takes seconds.
    for cells, colour in ((field.flag == SEA, basemap.SEA_COLOUR), (field.missing, basemap.NO_ESTIMATE)):
        ax.add_artist(_cells(x, y, cells, facecolor=colour, edgecolor="none", zorder=1))
    ax.pcolormesh(x, y, np.ma.masked_invalid(field.values), zorder=2, rasterized=True,
                  transform=ax.projection, **scale.style)
    for kind, overlay in OVERLAYS.items():
        cells = (field.flag == kind) & ~field.missing
        if cells.any():
            ax.add_artist(_cells(x, y, cells, facecolor=overlay.veil, edgecolor=HATCH_INK, linewidth=0,
                                 hatch=overlay.hatch, zorder=3))
    base.frame(ax)  # pcolormesh moves it


def _cells(x: np.ndarray, y: np.ndarray, chosen: np.ndarray, **style: Any) -> PathPatch:
    """The chosen cells as one patch, so that hatches and veils run on from cell to cell."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    j, i = np.nonzero(chosen)
    ring = [(j, i), (j, i + 1), (j + 1, i + 1), (j + 1, i), (j, i)]
    vertices = np.stack([np.stack([x[at], y[at]], axis=-1) for at in ring], axis=1).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(j))
    return PathPatch(Path(vertices, codes.astype(Path.code_type)), **style)


def _draw_places(ax: Axes, base: basemap.Base, field: MapField, scale: Scale) -> None:
    x, y = base.project(field.grid.lat, field.grid.lon)
    markers = {SUPPORTED: "o"} | {kind: overlay.marker for kind, overlay in OVERLAYS.items()}
    values, flag = field.values.ravel(), field.flag.ravel()
    for kind, marker in markers.items():
        at = (flag == kind) & np.isfinite(values)
        ax.scatter(x[at], y[at], c=values[at], marker=marker, s=34, edgecolors=basemap.LINE_INK, linewidths=0.5,
                   zorder=5, **scale.style)
    at = field.missing.ravel()
    ax.scatter(x[at], y[at], s=20, facecolors=basemap.NO_ESTIMATE, edgecolors=RIM_INK, linewidths=0.5,
               zorder=4.8)
