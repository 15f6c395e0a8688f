"""Maps of a field: arrays in, matplotlib Figure out. Nothing is read, saved or downloaded.

Sea is never coloured; cells far from stations are hatched and veiled; a field of simulated observations
is marked as such across the map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis.figures import basemap
from aqreanalysis.figures.field import (
    HATCH_INK,
    OVERLAYS,
    RIM_INK,
    MapField,
    Scale,
    StationDots,
    draw_field,
    draw_stations,
)
from aqreanalysis.figures.fonts import families, legible
from aqreanalysis.figures.layout import PAGE_MARGIN, UNITS_TEXT, Page, figure_style, text_width
from aqreanalysis.grids import Grid

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SIMULATED_MARK = "SIMULATED – not observations"
LABEL = "PM$_{2.5}$"
MAP_WIDTH, PANEL_WIDTH = 8.0, 11.0  # of a page; inches, as all lengths below
LEFT, RIGHT = 0.62, 1.0             # round the map: labels of the parallels, colour bar
BAR_GAP, BAR_WIDTH = 0.12, 0.17     # of a colour bar beside a map
BAR_SPACE, BAR_HEIGHT = 0.75, 0.15  # of one below panels
MOST_TICKS = 11                     # of a colour bar; of more, every second one is drawn
GRATICULE_LABELS, KEY_LINE, PANEL_TITLE, PANEL_GAP = 0.3, 0.2, 0.24, 0.1
LIMIT_COLOURS = ("#1b7837", "#2166ac", "#5e3c99")


def mean_map(values: np.ndarray, grid: Grid, *, title: str, subtitle: str = "", units: str = UNITS_TEXT,
             label: str = LABEL, vmax: float | None = None, stations: StationDots | None = None,
             flag: np.ndarray | None = None, simulated: bool = False, limits: Mapping[str, float] | None = None,
             note: str = "") -> Figure:
    """One field on a map.

    Parameters
    ----------
    values : the field, `grid.shape` or flat; NaN where there is none. Values on the sea are not shown.
    grid : where the values are; any kind.
    title, subtitle, note : wrapped to the width of the page.
    units, label : of the colour bar.
    vmax : upper end of the colours; by default the 99.5th percentile, rounded up to a step.
    stations : (lat, lon, values or None); with values they are coloured like the field.
    flag : quality classes of `aqreanalysis.schema`, shaped like `values`.
    simulated : whether the observations are simulated; marks the map and its title.
    limits : words -> value, at most three, marked on the colour bar and named in the key.

    Returns
    -------
    matplotlib.figure.Figure with a fixed resolution.
    """
    with _map_style():
        field = MapField.of(values, grid, flag)
        scale = Scale.of([field], vmax)
        base = basemap.base_of(grid)
        shown = _limits_shown(limits, scale)
        key = _key(base, [field], stations, shown, units)
        width = MAP_WIDTH - LEFT - RIGHT
        height = width * base.ratio
        page = _page(MAP_WIDTH, title, subtitle, simulated)
        top = page.add_space(height + GRATICULE_LABELS)
        key_top = page.add_space(_key_height(key, columns=3))
        page.add_text(note, 7.5, colour=HATCH_INK)
        figure = page.figure()
        ax = figure.add_axes(page.rectangle(LEFT, top, width, height), projection=base.crs)
        _draw_map(ax, base, field, scale, stations, simulated)
        basemap.draw_cities(ax, base, 7.5)
        basemap.draw_graticule(ax, base, 8)
        bar = figure.add_axes(page.rectangle(LEFT + width + BAR_GAP, top, BAR_WIDTH, height))
        _colour_bar(figure, bar, scale, f"{label} ({units})", "vertical", shown)
        _draw_key(figure, page, key, LEFT, key_top, columns=3)
    return figure


def panel_map(fields: Sequence, grid: Grid, *, labels: Sequence[str], title: str, subtitle: str = "",
              units: str = UNITS_TEXT, label: str = LABEL, vmax: float | None = None,
              flags: Sequence | None = None, simulated: bool = False, columns: int = 4, note: str = "") -> Figure:
    """Several fields, as the twelve months, in rows of `columns` maps with one colour bar.

    `fields`, `flags` : one array for each panel, as `values` and `flag` of :func:`mean_map`.
    `labels` : one for each panel. The other parameters are those of :func:`mean_map`.
    """
    with _map_style():
        flags = [None] * len(fields) if flags is None else flags
        shown = [MapField.of(values, grid, flag) for values, flag in zip(fields, flags, strict=True)]
        scale = Scale.of(shown, vmax)
        base = basemap.base_of(grid)
        key = _key(base, shown, None, [], units)
        width = (PANEL_WIDTH - 2 * PAGE_MARGIN - (columns - 1) * PANEL_GAP) / columns
        height = width * base.ratio
        page = _page(PANEL_WIDTH, title, subtitle, simulated)
        tops = [page.add_space(PANEL_TITLE + height) + PANEL_TITLE for _ in range(0, len(shown), columns)]
        bar_top = page.add_space(BAR_SPACE) + BAR_HEIGHT
        key_top = page.add_space(_key_height(key, columns=4))
        page.add_text(note, 7.5, colour=HATCH_INK)
        figure = page.figure()
        for i, (field, name) in enumerate(zip(shown, labels, strict=True)):
            left = PAGE_MARGIN + (i % columns) * (width + PANEL_GAP)
            ax = figure.add_axes(page.rectangle(left, tops[i // columns], width, height), projection=base.crs)
            _draw_map(ax, base, field, scale, None, simulated)
            ax.set_title(legible(name), fontfamily=families(name), fontsize=9, loc="left", pad=3, parse_math=False)
        bar = figure.add_axes(page.rectangle(PANEL_WIDTH / 4, bar_top, PANEL_WIDTH / 2, BAR_HEIGHT))
        _colour_bar(figure, bar, scale, f"{label} ({units})", "horizontal", [])
        _draw_key(figure, page, key, PAGE_MARGIN, key_top, columns=4)
    return figure


def _map_style() -> AbstractContextManager[None]:
    return figure_style(**{"hatch.linewidth": 0.35})


def _page(width: float, title: str, subtitle: str, simulated: bool) -> Page:
    page = Page(width)
    page.add_text(f"{SIMULATED_MARK}: {title}" if simulated else title, 12, "bold")
    page.add_text(subtitle, 9, colour=HATCH_INK)
    page.add_space(0.08)
    return page


def _draw_map(ax: Any, base: basemap.Base, field: MapField, scale: Scale, stations: StationDots | None,
              simulated: bool) -> None:
    basemap.draw_ground(ax, base)
    draw_field(ax, base, field, scale)
    basemap.draw_lines(ax, base, outline=field.has_cells)
    if stations is not None:
        draw_stations(ax, base, stations, scale)
    if simulated:
        _draw_simulated_mark(ax)


def _draw_simulated_mark(ax: Any) -> None:
    """Across the map from corner to corner, as large as the map allows."""
    from matplotlib.patheffects import withStroke

    box = ax.get_window_extent()
    angle = 0.8 * np.arctan2(box.height, box.width)
    inches = 0.84 * min(box.width / np.cos(angle), box.height / np.sin(angle)) / ax.figure.dpi
    size = 10 * inches / text_width(SIMULATED_MARK, 10, "bold")
    ax.text(0.5, 0.5, SIMULATED_MARK, transform=ax.transAxes, ha="center", va="center", weight="bold",
            rotation=np.degrees(angle), rotation_mode="anchor", fontsize=size, color="black", alpha=0.6,
            zorder=5.5, path_effects=[withStroke(linewidth=0.12 * size, foreground="white")])


def _limits_shown(limits: Mapping[str, float] | None, scale: Scale) -> list[tuple[str, float, str]]:
    """(words, value, colour) of the limits that the colour bar reaches."""
    pairs = zip((limits or {}).items(), LIMIT_COLOURS, strict=False)
    return [(words, value, colour) for (words, value), colour in pairs if value <= scale.levels[-1]]


def _colour_bar(figure: Figure, ax: Axes, scale: Scale, label: str, orientation: str,
                limits: Sequence[tuple[str, float, str]]) -> None:
    from matplotlib.cm import ScalarMappable

    ticks = scale.levels if len(scale.levels) <= MOST_TICKS else scale.levels[::2]
    bar = figure.colorbar(ScalarMappable(scale.norm, scale.cmap), cax=ax, orientation=orientation,
                          ticks=ticks.tolist(), extendfrac=0.03)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    for _, value, colour in limits:
        bar.ax.axhline(value, color="white", linewidth=3.5)
        bar.ax.axhline(value, color=colour, linewidth=2)


def _key(base: basemap.Base, fields: Sequence[MapField], stations: StationDots | None,
         limits: Sequence[tuple[str, float, str]], units: str) -> list[Artist]:
    """Handles for what is on the map and only for that."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cells = fields[0].has_cells
    edge: dict[str, Any] = {"edgecolor": RIM_INK, "linewidth": 0.5}
    handles: list[Artist] = []
    if base.shows_sea:
        handles.append(Patch(facecolor=basemap.SEA_COLOUR, label="Sea, not shown" if cells else "Sea", **edge))
    if any(field.missing.any() for field in fields):
        handles.append(Patch(facecolor=basemap.NO_ESTIMATE, label="No estimate", **edge) if cells else
                       _dot("o", 4.5, "No estimate", RIM_INK))
    for kind, overlay in OVERLAYS.items():
        if any((field.flag == kind).any() for field in fields):
            handles.append(Patch(facecolor="white", edgecolor=HATCH_INK, hatch=overlay.hatch, linewidth=0.5,
                                 label=overlay.words) if cells else _dot(overlay.marker, 5, overlay.words))
    if stations is not None:
        handles.append(_dot("o", 3.5, "Stations" if stations[2] is None else "Stations, as observed"))
    handles += [Line2D([], [], color=colour, linewidth=2, label=f"{words} ({value:g} {units})")
                for words, value, colour in limits]
    return handles


def _dot(marker: str, size: float, words: str, colour: str = "black") -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", marker=marker, markersize=size, markerfacecolor="white",
                  markeredgecolor=colour, markeredgewidth=0.6, label=words)


def _key_height(key: Sequence[Artist], columns: int) -> float:
    return KEY_LINE * -(-len(key) // columns) + 0.06


def _draw_key(figure: Figure, page: Page, key: list[Artist], left: float, top: float, columns: int) -> None:
    figure.legend(handles=key, loc="upper left", bbox_to_anchor=page.rectangle(left, top, 0, 0)[:2],
                  ncols=columns, frameon=False, fontsize=7.5, borderaxespad=0, borderpad=0, labelspacing=0.4,
                  columnspacing=1.6, handlelength=2.2, handleheight=1.1)
