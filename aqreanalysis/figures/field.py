"""A field on a map: its colours, its cells or places, the veils over uncertain cells.

The colours are matplotlib's `magma`, reversed and without its black end: even steps to the eye, in
grey and for the colour blind too, light where the air is clean, and lines stay visible everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aqreanalysis.figures import basemap
from aqreanalysis.grids import Grid
from aqreanalysis.schema import EXTRAPOLATED, NO_OBSERVATIONS, SEA, SUPPORTED, WEAK_SUPPORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import PathPatch

StationDots = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # lat, lon, values or None

HATCH_INK, RIM_INK = "#444444", "#888888"
TOP_SHARE, MOST_LEVELS = 0.995, 16  # of a colour scale: the share of values below its end, and its steps
DARKEST = 0.72  # of magma, where lines are still visible


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


@dataclass(frozen=True)
class Scale:
    """Steps of colour from 0 to a round number."""

    levels: np.ndarray
    norm: Any
    cmap: Any

    @classmethod
    def of(cls, fields: Sequence[MapField], vmax: float | None = None) -> Scale:
        """One scale for all fields; its end is `vmax` or their 99.5th percentile, rounded up to a step."""
        from matplotlib import colormaps
        from matplotlib.colors import BoundaryNorm, ListedColormap
        from matplotlib.ticker import MaxNLocator

        shown = np.concatenate([field.values[np.isfinite(field.values)] for field in fields])
        highest = shown.max(initial=0.0)
        if vmax is None:
            vmax = float(np.quantile(shown, TOP_SHARE)) if highest > 0 else 1.0
        levels = np.asarray(MaxNLocator(MOST_LEVELS, steps=[1, 2, 2.5, 5, 10]).tick_values(0, vmax))
        cmap = ListedColormap(colormaps["magma_r"](np.linspace(0.0, DARKEST, 256)))
        extend: Literal["max", "neither"] = "max" if highest > levels[-1] else "neither"
        return cls(levels, BoundaryNorm(levels.tolist(), cmap.N, extend=extend), cmap)

    @property
    def style(self) -> dict[str, Any]:
        """Keywords of matplotlib's functions that colour by value."""
        return {"cmap": self.cmap, "norm": self.norm}


def draw_field(ax: Any, base: basemap.Base, field: MapField, scale: Scale) -> None:
    """Cells with their veils, or places; above the ground and below the lines."""
    draw = _draw_cells if field.has_cells else _draw_places
    draw(ax, base, field, scale)


def draw_stations(ax: Axes, base: basemap.Base, stations: StationDots, scale: Scale) -> None:
    """`stations` : (lat, lon, values or None)."""
    lat, lon, values = stations
    x, y = base.project(lat, lon)
    if values is None:
        ax.scatter(x, y, s=7, facecolors="white", edgecolors="black", linewidths=0.5, zorder=5)
    else:
        ax.scatter(x, y, c=values, s=12, edgecolors="black", linewidths=0.4, zorder=5, **scale.style)


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
