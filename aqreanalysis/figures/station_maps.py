"""Stations on a map with what was found at them: bias and skill, and bubbles of errors (figure 8 of Kheder et al.
2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.figure_sums import FigureSums, by_city
from aqreanalysis.evaluation.metrics import error_scores
from aqreanalysis.figures import basemap
from aqreanalysis.figures.layout import CHART, SCREEN, UNITS_TEXT, Page, Sheet, figure_style
from aqreanalysis.figures.maps import SIMULATED_MARK, draw_simulated_mark
from aqreanalysis.figures.scales import Scale
from aqreanalysis.grids import Grid, grid_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP, BAR, TITLE_SPACE, BAR_LABELS = 0.35, 0.13, 0.26, 0.55  # inches
SMALLEST, LARGEST = 6.0, 150.0  # of bubbles, square points
MOST_SKILL, MOST_BIAS = 60.0, 60.0  # per cent, ends of scales
EDGE = {"edgecolors": "black", "linewidths": 0.4}


def bias_skill_map(found: FigureSums, sheet: Sheet = SCREEN) -> Figure:
    """Where estimates are too high or too low, and where they are better than the reference: hourly, by station."""
    sums = found.stations()
    ours, reference = sums.sel(model=found.ours), sums.sel(model=found.reference)
    truth = ours.truth.where(ours.truth > 0)
    bias = (100 * ours.error / truth).values
    skill = (100 * (1 - ours.error_absolute / reference.error_absolute.where(reference.error_absolute > 0))).values
    panels = [(bias, f"Mean bias of {found.ours} (%)", MOST_BIAS),
              (skill, f"Skill over {found.reference}: 1 \N{MINUS SIGN} MAE / MAE({found.reference}) (%)", MOST_SKILL)]
    title = f"Hourly PM2.5 at {sums.sizes['station']} hidden stations ({found.shown_group})"
    with figure_style(**CHART):
        sheet_map = _Panels(_place_grid(ours), sheet, title, found)
        for number, (values, label, end) in enumerate(panels):
            scale = Scale.of_differences([values], min(float(np.nanmax(np.abs(values), initial=1.0)), end))
            ax, x, y = sheet_map.panel(number, label)
            order = np.argsort(np.abs(np.nan_to_num(values)))
            ax.scatter(x[order], y[order], c=values[order], s=16, zorder=5, **EDGE, **scale.style)
            sheet_map.bar(number, scale)
        return sheet_map.figure


def error_bubbles(found: FigureSums, sheet: Sheet = SCREEN, cities: bool = True) -> Figure:
    """RMSE and MAE of hours at hidden stations, or the cities they are in: the larger and darker, the more."""
    sums = found.stations().sel(model=found.ours)
    count = f"{sums.sizes['station']} hidden stations"
    if cities:
        sums = by_city(sums)
        count = f"{count} in {sums.sizes['city']} cities"
    scores = error_scores(sums)
    with figure_style(**CHART):
        sheet_map = _Panels(_place_grid(sums), sheet, f"Errors of hourly PM2.5 at {count} ({found.shown_group})", found)
        for number, name in enumerate(("RMSE", "MAE")):
            values = scores[name].values
            scale = Scale.of([values], palette="viridis")
            ax, x, y = sheet_map.panel(number, f"{name} ({UNITS_TEXT})")
            order = np.argsort(-np.nan_to_num(values))  # small ones over large ones
            end = scale.levels[-1]
            ax.scatter(x[order], y[order], c=values[order], s=bubble_size(values[order], end), zorder=5, alpha=0.85,
                       **EDGE, **scale.style)
            sheet_map.bar(number, scale)
        return sheet_map.figure


def bubble_size(values: np.ndarray, end: float) -> np.ndarray:
    """Square points: the area grows as the error does."""
    return SMALLEST + (LARGEST - SMALLEST) * np.clip(np.nan_to_num(values) / end, 0, 1)


def _place_grid(sums: xr.Dataset) -> Grid:
    """A grid of the places of some sums (station or city)."""
    dimension = sums["lat"].dims[0]
    names = [str(name) for name in sums[dimension].values]
    return grid_of(xr.Dataset(coords={
        "station_id": ("station", np.array(names, object), {"cf_role": "timeseries_id"}),
        "lat": ("station", sums["lat"].values, {"units": "degrees_north"}),
        "lon": ("station", sums["lon"].values, {"units": "degrees_east"})}), "stations")


class _Panels:
    """A page with two maps beside each other, each with a bar below."""

    def __init__(self, grid: Grid, sheet: Sheet, title: str, found: FigureSums) -> None:
        self.grid, self.sheet, self.simulated = grid, sheet, found.simulated
        self.base = basemap.base_of(grid)
        self.page = Page(sheet.width)
        self.page.add_text(f"{SIMULATED_MARK}: {title}" if found.simulated else title, sheet.title, "bold")
        self.page.add_text(found.about, sheet.text, colour="#444444")
        self.left = 0.35
        self.width = (sheet.width - 2 * self.left - GAP) / 2
        self.height = self.width * self.base.ratio
        self.top = self.page.add_space(TITLE_SPACE + self.height) + TITLE_SPACE
        self.bar_top = self.page.add_space(0.25 + BAR + BAR_LABELS) + 0.3
        self.figure = self.page.figure()

    def panel(self, number: int, label: str) -> tuple[Any, np.ndarray, np.ndarray]:
        """A map with its title, and where the places are on it."""
        left = self.left + number * (self.width + GAP)
        ax: Any = self.figure.add_axes(self.page.rectangle(left, self.top, self.width, self.height),
                                       projection=self.base.crs)
        basemap.draw_ground(ax, self.base)
        basemap.draw_lines(ax, self.base, outline=False)
        basemap.draw_graticule(ax, self.base, self.sheet.small - 1)
        ax.set_title(label, fontsize=self.sheet.text, loc="left", pad=3)
        if self.simulated:
            draw_simulated_mark(ax)
        return ax, *self.base.project(self.grid.lat, self.grid.lon)

    def bar(self, number: int, scale: Scale) -> None:
        """The bar of a panel."""
        from aqreanalysis.figures.keys import draw_colour_bar

        left = self.left + number * (self.width + GAP)
        ax = self.figure.add_axes(self.page.rectangle(left, self.bar_top, self.width, BAR))
        draw_colour_bar(self.figure, ax, scale, "", "horizontal", [], self.sheet)
