"""Maps of a field: arrays in, matplotlib Figure out. Nothing is read, saved or downloaded.

Sea is never coloured; cells far from stations are hatched and veiled; a field of simulated observations
is marked as such across the map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.figures import basemap, keys
from aqreanalysis.figures.field import HATCH_INK, MapField, MapStations, draw_field, draw_stations
from aqreanalysis.figures.fonts import families, legible
from aqreanalysis.figures.layout import (
    PAGE_MARGIN,
    SCREEN,
    UNITS_TEXT,
    Page,
    Sheet,
    add_with_halo,
    figure_style,
    text_width,
    wrap,
)
from aqreanalysis.figures.scales import Scale
from aqreanalysis.grids import Grid

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.figure import Figure

SIMULATED_MARK = "SIMULATED – not observations"
LABEL = "PM$_{2.5}$"
PANEL_WIDTH = 11.0                  # of a page of panels on the screen; inches, as all lengths below
LEFT, RIGHT = 0.083, 0.133          # round the map, for each point of its small print: parallels, colour bar
BAR_GAP, BAR_WIDTH = 0.12, 0.17     # of a colour bar beside a map
BAR_SPACE, BAR_HEIGHT = 0.75, 0.15  # of one below panels
MERIDIANS, PANEL_TITLE, PANEL_GAP = 0.04, 0.2, 0.1  # the first for each point of small print
INSET_SHARE, LEAST_BESIDE = 0.27, 5.0  # of the page's width; a page so wide has its inset beside the map, else below
INSETS = {"beijing": (115.3, 39.3, 117.6, 41.15)}  # west, south, east, north
NARROW = 5.0                        # a page below this has panels in two columns


@dataclass(frozen=True)
class Look:
    """How a map is drawn.

    sheet : width and sizes of text. projection : "lambert" or "platecarree".
    box : west, south, east, north in degrees, if not the whole grid. inset : a name of INSETS, or such a box.
    """

    sheet: Sheet = SCREEN
    projection: str = basemap.LAMBERT
    box: tuple[float, float, float, float] | None = None
    inset: str | tuple[float, float, float, float] | None = None

    @property
    def inset_box(self) -> tuple[float, float, float, float] | None:
        """The box of the inset; UserError for an unknown name."""
        if not isinstance(self.inset, str):
            return self.inset
        if self.inset.lower() not in INSETS:
            raise UserError(f"--inset {self.inset} is unknown.", f"It is {', '.join(INSETS)}, or W,S,E,N in degrees.",
                            "Example: --inset beijing.")
        return INSETS[self.inset.lower()]


PLAIN = Look()


@dataclass(frozen=True)
class _Content:
    """What is drawn on a map, and on its inset."""

    field: MapField
    scale: Scale
    stations: MapStations | None
    simulated: bool


def mean_map(values: np.ndarray, grid: Grid, *, title: str, subtitle: str = "", units: str = UNITS_TEXT,
             label: str = LABEL, vmax: float | None = None, scale: Scale | None = None,
             stations: MapStations | None = None, flag: np.ndarray | None = None, simulated: bool = False,
             limits: Mapping[str, float] | None = None, note: str = "", difference: bool = False,
             look: Look = PLAIN) -> Figure:
    """One field on a map.

    Parameters
    ----------
    values : the field, `grid.shape` or flat; NaN where there is none. Values on the sea are not shown.
    grid : where the values are; any kind.
    title, subtitle, note : wrapped to the width of the page.
    units, label : of the colour bar.
    vmax : upper end of the colours; by default the 99.5th percentile, rounded up to a step.
    scale : of the colours, instead; of named classes there is a key and no bar.
    difference : whether values lie on both sides of 0; the colours do then too.
    stations : circles and triangles, coloured like the field by what they observed.
    flag : quality classes of `aqreanalysis.schema`, shaped like `values`.
    simulated : whether the observations are simulated; marks the map and its title.
    limits : words -> value, at most three, marked on the colour bar and named in the key.
    look : width, projection, box and inset.

    Returns
    -------
    matplotlib.figure.Figure.
    """
    with _map_style():
        field = MapField.of(values, grid, flag)
        shown = _Content(field, scale or _scale([field], vmax, difference), stations, simulated)
        base = basemap.base_of(grid, look.projection, look.box)
        marked = keys.limits_shown(limits, shown.scale)
        key = keys.handles_of(base, [field], stations, shown.scale, marked, units)
        inset = look.inset_box and basemap.base_of(grid, look.projection, look.inset_box)
        page = _page(look.sheet, title, subtitle, simulated)
        places = _places(page, look.sheet, base, inset, not shown.scale.is_named)
        key_top = page.add_space(keys.key_height(key, look.sheet))
        page.add_text(note, look.sheet.small, colour=HATCH_INK)
        figure = page.figure()
        _draw_whole(figure, page, places["map"], base, shown, look)
        if inset:
            _draw_inset(figure, page, places["inset"], inset, shown, look)
        if "bar" in places:
            bar = figure.add_axes(page.rectangle(*places["bar"]))
            text = f"{label} ({units})" if units else label
            keys.draw_colour_bar(figure, bar, shown.scale, text, "vertical", marked, look.sheet)
        keys.draw_key(figure, page, key, places["map"][0], key_top, look.sheet)
    return figure


def panel_map(fields: Sequence, grid: Grid, *, labels: Sequence[str], title: str, subtitle: str = "",
              units: str = UNITS_TEXT, label: str = LABEL, vmax: float | None = None, scale: Scale | None = None,
              flags: Sequence | None = None, simulated: bool = False, columns: int = 4, note: str = "",
              difference: bool = False, look: Look = PLAIN) -> Figure:
    """Several fields, as the twelve months, in rows of `columns` maps with one colour bar.

    `fields`, `flags` : one array for each panel, as `values` and `flag` of :func:`mean_map`.
    `labels` : one for each panel. The other parameters are those of :func:`mean_map`.
    """
    with _map_style():
        flags = [None] * len(fields) if flags is None else flags
        shown = [MapField.of(values, grid, flag) for values, flag in zip(fields, flags, strict=True)]
        scale = scale or _scale(shown, vmax, difference)
        base = basemap.base_of(grid, look.projection, look.box)
        sheet = replace(look.sheet, width=PANEL_WIDTH) if look.sheet == SCREEN else look.sheet
        columns = min(columns, 2) if sheet.width < NARROW else columns
        key = keys.handles_of(base, shown, None, scale, [], units)
        width = (sheet.width - 2 * PAGE_MARGIN - (columns - 1) * PANEL_GAP) / columns
        height = width * base.ratio
        page = _page(sheet, title, subtitle, simulated)
        names = [wrap(legible(name), width, sheet.text) for name in labels]
        above = [PANEL_TITLE * max(len(lines) for lines in names[first:first + columns])
                 for first in range(0, len(shown), columns)]
        tops = [page.add_space(room + height) + room for room in above]
        bar_top = page.add_space(0.1 if scale.is_named else BAR_SPACE) + BAR_HEIGHT
        key_top = page.add_space(keys.key_height(key, sheet))
        page.add_text(note, sheet.small, colour=HATCH_INK)
        figure = page.figure()
        for i, (field, lines) in enumerate(zip(shown, names, strict=True)):
            left = PAGE_MARGIN + (i % columns) * (width + PANEL_GAP)
            ax = figure.add_axes(page.rectangle(left, tops[i // columns], width, height), projection=base.crs)
            _draw_map(ax, base, _Content(field, scale, None, simulated), sheet)
            name = "\n".join(lines)
            ax.set_title(name, fontfamily=families(name), fontsize=sheet.text, loc="left", pad=3, parse_math=False)
        if not scale.is_named:
            bar = figure.add_axes(page.rectangle(sheet.width / 4, bar_top, sheet.width / 2, BAR_HEIGHT))
            text = f"{label} ({units})" if units else label
            keys.draw_colour_bar(figure, bar, scale, text, "horizontal", [], sheet)
        keys.draw_key(figure, page, key, PAGE_MARGIN, key_top, sheet)
    return figure


def _scale(fields: Sequence[MapField], vmax: float | None, difference: bool) -> Scale:
    values = [field.values for field in fields]
    return Scale.of_differences(values, vmax) if difference else Scale.of(values, vmax)


def _map_style() -> AbstractContextManager[None]:
    return figure_style(**{"hatch.linewidth": 0.35})


def _page(sheet: Sheet, title: str, subtitle: str, simulated: bool) -> Page:
    page = Page(sheet.width)
    page.add_text(f"{SIMULATED_MARK}: {title}" if simulated else title, sheet.title, "bold")
    page.add_text(subtitle, sheet.text, colour=HATCH_INK)
    page.add_space(0.08)
    return page


Place = tuple[float, float, float, float]  # left, top, width, height on a page, inches


def _places(page: Page, sheet: Sheet, base: basemap.Base, inset: basemap.Base | None,
            has_bar: bool) -> dict[str, Place]:
    """Where on the page the map, its bar and its inset are; the page grows by them."""
    left, right = LEFT * sheet.small, RIGHT * sheet.small if has_bar else PAGE_MARGIN
    beside = inset is not None and sheet.width >= LEAST_BESIDE
    room = INSET_SHARE * sheet.width + PAGE_MARGIN if beside else 0.0
    width = sheet.width - left - right - room
    height = width * base.ratio
    top = page.add_space(height + MERIDIANS * sheet.small)
    found = {"map": (left, top, width, height)}
    if has_bar:
        found["bar"] = (left + width + BAR_GAP, top, BAR_WIDTH * (0.6 if sheet.width < NARROW else 1.0), height)
    if inset and beside:
        side = room - PAGE_MARGIN
        found["inset"] = (sheet.width - side - PAGE_MARGIN, top + PANEL_TITLE, side, side * inset.ratio)
    elif inset:
        side = 0.8 * width
        found["inset"] = (left, page.add_space(PANEL_TITLE + side * inset.ratio + PANEL_GAP) + PANEL_TITLE, side,
                          side * inset.ratio)
    return found


def _draw_whole(figure: Figure, page: Page, place: Place, base: basemap.Base, shown: _Content, look: Look) -> None:
    sheet, box = look.sheet, look.inset_box
    ax = figure.add_axes(page.rectangle(*place), projection=base.crs)
    _draw_map(ax, base, shown, sheet)
    rim = basemap.draw_box(ax, base, box) if box is not None else []
    basemap.draw_cities(ax, base, sheet.small, rim)
    basemap.draw_graticule(ax, base, sheet.small)


def _draw_inset(figure: Figure, page: Page, place: Place, inset: basemap.Base, shown: _Content, look: Look) -> None:
    """A part of the map, larger."""
    part = figure.add_axes(page.rectangle(*place), projection=inset.crs)
    _draw_map(part, inset, shown, look.sheet, larger=1.8)
    basemap.draw_cities(part, inset, look.sheet.small)
    name = look.inset.title() if isinstance(look.inset, str) else "Detail"
    part.set_title(name, fontsize=look.sheet.text, loc="left", pad=3)


def _draw_map(ax: Any, base: basemap.Base, shown: _Content, sheet: Sheet, larger: float = 1.0) -> None:
    basemap.draw_ground(ax, base)
    draw_field(ax, base, shown.field, shown.scale)
    basemap.draw_lines(ax, base, outline=shown.field.has_cells)
    if shown.stations is not None:
        draw_stations(ax, base, shown.stations, shown.scale, larger * (6.0 if sheet.width < NARROW else 12.0))
    if shown.simulated:
        draw_simulated_mark(ax)


def draw_simulated_mark(ax: Any) -> None:
    """Across the map from corner to corner, as large as the map allows."""
    box = ax.get_window_extent()
    angle = 0.8 * np.arctan2(box.height, box.width)
    inches = 0.84 * min(box.width / np.cos(angle), box.height / np.sin(angle)) / ax.figure.dpi
    size = 10 * inches / text_width(SIMULATED_MARK, 10, "bold")
    add_with_halo(ax.text, 0.12 * size, 0.5, 0.5, SIMULATED_MARK, transform=ax.transAxes, ha="center", va="center",
                  weight="bold", rotation=np.degrees(angle), rotation_mode="anchor", fontsize=size, color="black",
                  alpha=0.6, zorder=5.5)
