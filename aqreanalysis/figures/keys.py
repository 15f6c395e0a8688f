"""What explains a map: the colour bar, and the key of everything else that is on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aqreanalysis.figures import basemap
from aqreanalysis.figures.field import HATCH_INK, OVERLAYS, RIM_INK, MapField, MapStations
from aqreanalysis.figures.layout import Page, Sheet
from aqreanalysis.figures.scales import Scale

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MOST_TICKS = 11                     # of a colour bar; of more, every second one is drawn
LINE_OF_KEY, COLUMN = 1.55, 2.3      # height of a line in sizes of its text; width of a column in inches
LIMIT_COLOURS = ("#1b7837", "#2166ac", "#5e3c99")
Limit = tuple[str, float, str]      # words, value, colour


def limits_shown(limits: Mapping[str, float] | None, scale: Scale) -> list[Limit]:
    """The limits that the colour bar reaches, with their colours."""
    pairs = zip((limits or {}).items(), LIMIT_COLOURS, strict=False)
    return [(words, value, colour) for (words, value), colour in pairs if value <= scale.levels[-1]]


def draw_colour_bar(figure: Figure, ax: Axes, scale: Scale, label: str, orientation: str, limits: Sequence[Limit],
                    sheet: Sheet) -> None:
    """The bar of a scale in its own axes, with its limits marked."""
    from matplotlib.cm import ScalarMappable

    every = 1 if len(scale.levels) <= MOST_TICKS else 2
    middle = len(scale.levels) // 2 if scale.levels[0] < 0 else 0  # zero has a tick
    ticks = slice(middle % every, None, every)
    bar = figure.colorbar(ScalarMappable(scale.norm, scale.cmap), cax=ax, orientation=orientation, extendfrac=0.03,
                          ticks=scale.norm.boundaries[ticks])
    bar.set_ticklabels([f"{level:g}".replace("-", "\N{MINUS SIGN}") for level in scale.levels[ticks]])
    bar.set_label(label, fontsize=sheet.text)
    bar.ax.tick_params(labelsize=sheet.small)
    bar.outline.set_linewidth(0.6)
    for _, value, colour in limits:
        bar.ax.axhline(value, color="white", linewidth=3.5)
        bar.ax.axhline(value, color=colour, linewidth=2)


def handles_of(base: basemap.Base, fields: Sequence[MapField], stations: MapStations | None, scale: Scale,
               limits: Sequence[Limit], units: str) -> list[Artist]:
    """Handles for what is on the map and only for that."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cells = fields[0].has_cells
    edge: dict[str, Any] = {"edgecolor": RIM_INK, "linewidth": 0.5}
    handles: list[Artist] = [Patch(facecolor=colour, label=words, **edge) for words, colour in scale.classes]
    if base.shows_sea:
        handles.append(Patch(facecolor=basemap.SEA_COLOUR, label="Sea, not shown" if cells else "Sea", **edge))
    within = base.shows(fields[0].grid.lat, fields[0].grid.lon).reshape(fields[0].grid.shape)
    if any((field.missing & within).any() for field in fields):
        handles.append(Patch(facecolor=basemap.NO_ESTIMATE, label="No estimate", **edge) if cells else
                       _marker("o", 4.5, "No estimate", RIM_INK))
    for kind, overlay in OVERLAYS.items():
        if any(((field.flag == kind) & within).any() for field in fields):
            handles.append(Patch(facecolor="white", edgecolor=HATCH_INK, hatch=overlay.hatch, linewidth=0.5,
                                 label=overlay.words) if cells else _marker(overlay.marker, 5, overlay.words))
    if stations is not None:
        handles += _of_stations(stations.at(base.shows(stations.lat, stations.lon)))
    handles += [Line2D([], [], color=colour, linewidth=2, label=f"{words} ({value:g} {units})")
                for words, value, colour in limits]
    return handles


def _of_stations(stations: MapStations) -> list[Artist]:
    observed = ", as observed" if (stations.values == stations.values).any() else ""
    found: list[Artist] = []
    if (~stations.hidden).any():
        found.append(_marker("o", 3.5, f"Stations{' used' if stations.hidden.any() else ''}{observed}"))
    if stations.hidden.any():
        found.append(_marker("^", 5, f"Stations withheld{observed}"))
    return found


def _marker(marker: str, size: float, words: str, colour: str = "black") -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", marker=marker, markersize=size, markerfacecolor="white",
                  markeredgecolor=colour, markeredgewidth=0.6, label=words)


def columns_of(sheet: Sheet) -> int:
    """Columns of a key."""
    return max(int(sheet.width / COLUMN), 1)


def key_height(key: Sequence[Artist], sheet: Sheet) -> float:
    """Inches."""
    return LINE_OF_KEY * sheet.small / 72 * -(-len(key) // columns_of(sheet)) + 0.06


def draw_key(figure: Figure, page: Page, key: list[Artist], left: float, top: float, sheet: Sheet) -> None:
    """The key with its top left corner there, inches."""
    figure.legend(handles=key, loc="upper left", bbox_to_anchor=page.rectangle(left, top, 0, 0)[:2],
                  ncols=columns_of(sheet), frameon=False, fontsize=sheet.small, borderaxespad=0, borderpad=0,
                  labelspacing=0.4, columnspacing=1.6, handlelength=2.2, handleheight=1.1)
