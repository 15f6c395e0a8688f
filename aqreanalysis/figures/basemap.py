"""What lies under and over a field on a map: projection, land and sea, lines, cities.

Everything is projected here, once, and drawn in the map's own units: twelve panels share the work, and cartopy has
nothing to download. Two projections: Lambert's conformal conic, and plate carrée, whose units are degrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from aqreanalysis.errors import UserError
from aqreanalysis.figures.fonts import FONT
from aqreanalysis.figures.layout import add_with_halo
from aqreanalysis.grids import Grid, boundaries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import PathPatch
    from matplotlib.transforms import Bbox

SEA_COLOUR, NO_ESTIMATE, LINE_INK = "#dfe6ea", "#ffffff", "#333333"
PAD, PAD_OF_PLACES = 0.015, 0.06  # of the map's larger side
LEAST_WIDTH = 60e3             # m; for a grid of one place
LAMBERT, PLATE_CARREE = PROJECTIONS = ("lambert", "platecarree")
FLATTEST, TALLEST = 0.5, 1.25  # height to width of a map
BEYOND = 5.0                   # degrees round the known area after which cells are not drawn
LINE_STYLES = {"provinces": (0.5, LINE_INK), "borders": (0.9, LINE_INK), "coast": (0.6, LINE_INK)}
GRATICULE_STEPS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # degrees between lines of the graticule
MOST_LINES, METRES_PER_DEGREE = 7, 111e3
SEGMENT = 0.25  # degrees: longer straight edges are arcs on the map

# In the order in which they get a label where there is no room for all; degrees north, east.
LABELLED_CITIES = {
    "Beijing": (39.904, 116.407), "Tianjin": (39.125, 117.190), "Shijiazhuang": (38.042, 114.514),
    "Taiyuan": (37.871, 112.549), "Jinan": (36.651, 117.120), "Zhengzhou": (34.747, 113.625),
    "Xi'an": (34.341, 108.940), "Hohhot": (40.842, 111.749), "Shenyang": (41.805, 123.431),
    "Nanjing": (32.060, 118.797), "Wuhan": (30.593, 114.305), "Shanghai": (31.230, 121.474),
    "Qingdao": (36.067, 120.383), "Dalian": (38.914, 121.615), "Yinchuan": (38.487, 106.231),
    "Hefei": (31.821, 117.227), "Tangshan": (39.631, 118.180), "Baoding": (38.874, 115.465),
    "Zhangjiakou": (40.768, 114.886), "Chengde": (40.952, 117.963), "Handan": (36.626, 114.539),
}


@dataclass(frozen=True)
class Base:
    """A map without a field: the projection, what it shows (x0, x1, y0, y1), and its shapes, in the map's units, each
    of so many metres."""

    crs: Any
    unit: float
    extent: tuple[float, float, float, float]
    outline: shapely.Geometry          # of the grid
    sea: shapely.Geometry
    lines: Mapping[str, shapely.Geometry]

    @property
    def ratio(self) -> float:
        """Height to width."""
        x0, x1, y0, y1 = self.extent
        return (y1 - y0) / (x1 - x0)

    def project(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map coordinates of places in degrees; far from the known area they end at its rim."""
        return _project(self.crs, lat, lon)

    def shows(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Whether places lie in the frame."""
        x, y = self.project(lat, lon)
        x0, x1, y0, y1 = self.extent
        return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)

    @property
    def shows_sea(self) -> bool:
        """Whether any sea lies in the frame."""
        x0, x1, y0, y1 = self.extent
        return self.sea.intersects(shapely.box(x0, y0, x1, y1))

    def frame(self, ax: Axes) -> None:
        """Set the limits of the axes to what the map shows."""
        ax.set_xlim(*self.extent[:2])
        ax.set_ylim(*self.extent[2:])


def base_of(grid: Grid, projection: str = LAMBERT, box: Sequence[float] | None = None) -> Base:
    """The map of a grid, or of what lies in a box (west, south, east, north; degrees), in one of PROJECTIONS."""
    rim = _grid_rim(grid)
    shown = shapely.box(*box) if box is not None else rim
    crs, unit = _projection(projection, shown)

    def projected(shape: shapely.Geometry) -> shapely.Geometry:
        return shapely.transform(shapely.segmentize(shape, SEGMENT),
                                 lambda xy: np.column_stack(_project(crs, xy[:, 1], xy[:, 0])))

    pad = 0.0 if box is not None else PAD_OF_PLACES if grid.corners() is None else PAD
    extent = _map_extent(projected(shown).bounds, pad, LEAST_WIDTH / unit)
    west, east, south, north = boundaries.AREA
    sea = shapely.difference(shapely.box(west, south, east, north), boundaries.land())
    return Base(crs, unit, extent, projected(rim), projected(sea),
                {name: projected(shape) for name, shape in boundaries.lines().items()})


def _projection(name: str, shown: shapely.Geometry) -> tuple[Any, float]:
    """The projection and the metres of its unit. Lambert's cone is true at a sixth and five sixths of the height, as is
    usual."""
    import cartopy.crs as ccrs

    if name == PLATE_CARREE:
        return ccrs.PlateCarree(), METRES_PER_DEGREE
    west, south, east, north = shown.bounds
    height = north - south
    return ccrs.LambertConformal((west + east) / 2, (south + north) / 2,
                                 standard_parallels=(south + height / 6, north - height / 6)), 1.0


def check_projection(name: str) -> str:
    """The name itself; UserError where there is no such projection."""
    if name not in PROJECTIONS:
        raise UserError(f"--projection {name} is unknown.", f"Projections are {' and '.join(PROJECTIONS)}.",
                        "Leave it out for Lambert's conformal conic.")
    return name


def _project(crs: Any, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import cartopy.crs as ccrs

    west, east, south, north = boundaries.AREA
    lat, lon = (np.clip(values, low - BEYOND, high + BEYOND)
                for values, low, high in ((lat, south, north), (lon, west, east)))
    xyz = crs.transform_points(ccrs.PlateCarree(), lon, lat)
    return xyz[..., 0], xyz[..., 1]


def _grid_rim(grid: Grid) -> shapely.Geometry:
    """The grid's rim, degrees (lon, lat), as far as the coast is known."""
    corners = grid.corners()
    if corners is None:
        rim = shapely.box(grid.lon.min(), grid.lat.min(), grid.lon.max(), grid.lat.max())
    else:
        lat, lon = (np.concatenate([c[0, :-1], c[:-1, -1], c[-1, :0:-1], c[:0:-1, 0]]) for c in corners)
        rim = shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))
    west, east, south, north = boundaries.AREA
    shown = shapely.intersection(rim, shapely.box(west, south, east, north))
    shown = rim if shown.is_empty else shown
    return shown if shown.area > 0 else shown.buffer(0.1)


def _map_extent(bounds: tuple[float, ...], margin: float, least_width: float) -> tuple[float, float, float, float]:
    """A frame with a margin, neither flat nor thin."""
    x0, y0, x1, y1 = bounds
    pad = margin * max(x1 - x0, y1 - y0)
    width, height = max(x1 - x0 + 2 * pad, least_width), y1 - y0 + 2 * pad
    width = max(width, height / TALLEST)
    height = max(height, width * FLATTEST)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - width / 2, x + width / 2, y - height / 2, y + height / 2


def draw_ground(ax: Axes, base: Base) -> None:
    """Sea, and white where nothing is known, below the field; the frame of the map."""
    ax.set_facecolor(NO_ESTIMATE)
    ax.add_artist(_patch(base.sea, facecolor=SEA_COLOUR, edgecolor="none", zorder=0.5))
    base.frame(ax)
    ax.spines["geo"].set(linewidth=0.8, edgecolor=LINE_INK)


def draw_lines(ax: Axes, base: Base, outline: bool) -> None:
    """Provinces, borders and coast above the field, and on request the rim of the grid."""
    from matplotlib.collections import LineCollection

    for name, (width, colour) in LINE_STYLES.items():
        parts = [shapely.get_coordinates(part) for part in shapely.get_parts(base.lines[name])]
        ax.add_collection(LineCollection(parts, linewidths=width, colors=colour, zorder=4), autolim=False)
    if outline:
        ax.add_artist(_patch(base.outline, facecolor="none", edgecolor=LINE_INK, linewidth=0.6, zorder=4))


def draw_box(ax: Any, base: Base, box: Sequence[float]) -> list[Bbox]:
    """The rim of a box (west, south, east, north; degrees); returns its sides in pixels, for labels to keep off."""
    from matplotlib.transforms import Bbox

    rim = shapely.get_coordinates(shapely.segmentize(shapely.box(*box), SEGMENT))
    x, y = base.project(rim[:, 1], rim[:, 0])
    ax.plot(x, y, color="white", linewidth=2.2, zorder=5.3)
    ax.plot(x, y, color="black", linewidth=1.0, zorder=5.4)
    ax.apply_aspect()
    dots = ax.transData.transform(np.column_stack([x, y]))
    return [Bbox([np.minimum(one, two), np.maximum(one, two)]) for one, two in zip(dots[:-1], dots[1:], strict=True)]


def draw_graticule(ax: Any, base: Base, fontsize: float) -> None:
    """Meridians and parallels with upright labels below and on the left."""
    import cartopy.crs as ccrs
    from matplotlib.ticker import MultipleLocator

    x0, x1, y0, y1 = base.extent
    degrees = max(x1 - x0, y1 - y0) * base.unit / METRES_PER_DEGREE
    step = next((s for s in GRATICULE_STEPS if degrees / s <= MOST_LINES), GRATICULE_STEPS[-1])
    lines = ax.gridlines(crs=ccrs.PlateCarree(), draw_labels={"bottom": "x", "left": "y"}, x_inline=False,
                         y_inline=False, rotate_labels=False, linewidth=0.3, color="#888888", alpha=0.6,
                         zorder=3.5)
    lines.xlocator = lines.ylocator = MultipleLocator(step)
    lines.xlabel_style = lines.ylabel_style = {"size": fontsize, "color": LINE_INK, "family": FONT}
    lines.xpadding = lines.ypadding = 4


def draw_cities(ax: Any, base: Base, fontsize: float, taken: Sequence[Bbox] = ()) -> None:
    """Cities inside the grid with their names: none over another nor over what is `taken` (pixels), none cut."""
    renderer = ax.figure.canvas.get_renderer()
    ax.apply_aspect()
    frame, full = ax.get_window_extent(renderer).padded(-2), list(taken)
    places = np.column_stack(base.project(*np.array(list(LABELLED_CITIES.values())).T))
    for name, (x, y) in zip(LABELLED_CITIES, places, strict=True):
        dot = _square(ax.transData.transform((x, y)), 4)
        if not base.outline.contains(shapely.Point(x, y)) or not _within(dot, frame) or _on_any(dot, full):
            continue
        for dx, dy, ha, va in ((4, 0, "left", "center"), (-4, 0, "right", "center"),
                               (0, 4, "center", "bottom"), (0, -4, "center", "top")):
            label = ax.annotate(name, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=fontsize)
            box = label.get_window_extent(renderer).padded(2)
            label.remove()
            if _within(box, frame) and not _on_any(box, full):
                add_with_halo(ax.annotate, 2, name, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va,
                              zorder=6, fontsize=fontsize, color="black", annotation_clip=False)
                ax.plot(x, y, "o", markersize=2.8, color="black", markeredgecolor="white",
                        markeredgewidth=0.5, zorder=5.8)
                full += [box, dot]
                break


def _on_any(box: Bbox, others: Sequence[Bbox]) -> bool:
    return any(box.overlaps(other) for other in others)


def _within(box: Bbox, frame: Bbox) -> bool:
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def _square(centre: np.ndarray, half: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox([[centre[0] - half, centre[1] - half], [centre[0] + half, centre[1] + half]])


def _patch(shape: shapely.Geometry, **style: Any) -> PathPatch:
    """One patch for all polygons of a shape."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    rings = [ring for polygon in shapely.get_parts(shape) if polygon.geom_type == "Polygon"
             for ring in (polygon.exterior, *polygon.interiors)]
    return PathPatch(Path.make_compound_path(*(Path(ring.coords, closed=True) for ring in rings)), **style)
