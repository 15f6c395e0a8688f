"""Which share of an area's people lives above each concentration: Dataset in, Figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.figures.diagrams import GREY, Names, add_head
from aqreanalysis.figures.fonts import families, legible
from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style, wrap
from aqreanalysis.figures.maps import SIMULATED_MARK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS, MOST_PERIODS = 12, 12
COLUMNS = 4
LIMIT_LINE: dict[str, Any] = {"color": GREY, "lw": 0.8, "ls": ":"}
SHOWN_SHARE = 0.5  # percent of people, above which a concentration is on the axis


def exposure_figure(curves: xr.Dataset, limits: Sequence[float], simulated: bool, words: str = "") -> Figure:
    """A panel for each area, a curve for each period: percent of people in cells whose mean is above a concentration.

    curves : `above`, `above_expected` (period, area, concentration in ug m-3), coordinate `people` (area). limits : are
    marked, where they lie on the axis. words : below the title.
    """
    names = Names("", "", simulated)
    areas, steps = curves.sizes["area"], curves.sizes["period"]
    columns = min(areas, COLUMNS)
    rows = -(-areas // columns)
    width = max(2.1 * columns + 0.6, 4.6)
    with figure_style(**CHART):
        figure, axes = charts(width, 1.9 * rows + 1.5, rows, columns, sharex=True, sharey=True)
        inks = _inks(steps)
        right = _right_end(curves)
        shown = [limit for limit in limits if limit < right]
        for number, ax in enumerate(axes.ravel()):
            if number >= areas:
                ax.set_axis_off()
                continue
            _panel(ax, curves.isel(area=number), inks, shown)
            if number + columns >= areas:
                ax.tick_params(labelbottom=True)
                ax.set_xlabel(f"mean PM2.5 ({UNITS_MATH})")
        axes[0][0].set(xlim=(0, right), ylim=(0, 102), yticks=(0, 25, 50, 75, 100))
        for ax in axes[:, 0]:
            ax.set_ylabel("people above (%)")
        figure.legend(*_legend(axes[0][0], steps, shown), loc="outside lower center", ncols=min(steps + 2, 7),
                      fontsize=7)
        period = str(curves.period.values[0]) if steps == 1 else (
            f"{curves.period.values[0]} to {curves.period.values[-1]}")
        if simulated:
            mark = figure.text(0.5, 0.5, SIMULATED_MARK, ha="center", va="center", rotation=30, fontsize=4 * width,
                               weight="bold", alpha=0.25, zorder=6)
            mark.set_in_layout(False)
        add_head(figure, names.titled(f"People above each concentration of PM2.5, {period}"), legible(words))
    return figure


def _panel(ax: Any, curve: xr.Dataset, inks: Sequence[Any], limits: Sequence[float]) -> None:
    """Curves of one area."""
    for limit in limits:
        ax.axvline(limit, **LIMIT_LINE)
    for ink, period in zip(inks, curve.period.values, strict=True):
        one = curve.sel(period=period)
        ax.step(one.concentration.values, one.above.values, where="post", color=ink, lw=1.2, label=str(period))
        if len(inks) == 1:
            ax.plot(one.concentration.values, one.above_expected.values, color="black", lw=0.9, ls="--",
                    label="expected, given the errors of the means")
    name = legible(str(curve.area.values))
    ax.set_title("\n".join(wrap(f"{name}, {_people(float(curve.people))}", 2.0, 7)), fontsize=7,
                 fontfamily=families(name))
    ax.grid(color="#eeeeee")


def _people(number: float) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,.0f} people"


def _inks(count: int) -> Sequence[Any]:
    """Of twelve months round a circle of colours; of fewer, along a palette."""
    import matplotlib as mpl

    if count == 1:
        return ["#0072b2"]
    palette = mpl.colormaps["twilight_shifted" if count == MOST_PERIODS else "viridis"]
    return [palette(place) for place in np.linspace(0.05, 0.9, count)]


def _right_end(curves: xr.Dataset) -> float:
    """The end of the axis: few people live above it, in any area and period."""
    highest = curves[["above", "above_expected"]].to_array().max(("variable", "area", "period"))
    some = curves.concentration.values[highest.values > SHOWN_SHARE]
    return float(np.ceil((some.max() + 1.0) / 5.0) * 5.0) if some.size else 10.0


def _legend(ax: Any, steps: int, limits: Sequence[float]) -> tuple[list, list]:
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    labels = ["best estimates" if steps == 1 and number == 0 else label for number, label in enumerate(labels)]
    if limits:
        handles.append(Line2D([], [], **LIMIT_LINE))
        labels.append(", ".join(f"{limit:g}" for limit in limits) + f" {UNITS_MATH}")
    return handles, labels
