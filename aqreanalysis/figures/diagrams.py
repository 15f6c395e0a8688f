"""Diagrams of one set of values beside another: scatter density, Taylor's, FAIRMODE's target. Datasets in, Figures out.

They serve a validation at hidden stations and a comparison of two products alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.figures.layout import CHART, UNITS_MATH, UNITS_TEXT, charts, figure_style, wrap
from aqreanalysis.figures.maps import SIMULATED_MARK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS_INK, OTHER_INK = "#0072b2", "#d55e00"   # of Okabe and Ito, apart for the colour blind
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DENSITY_SHARE = 0.9995   # of the pairs that a scatter density shows
CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
GREY = "#999999"
LABEL_WIDTH = 1.9    # inches, of a legend beside a figure


@dataclass(frozen=True)
class Names:
    """What both are called in figures, and whether one of them is simulated."""

    ours: str
    other: str
    simulated: bool = False

    def titled(self, text: str) -> str:
        """A title, which says of simulated values that they are."""
        return f"{SIMULATED_MARK}: {text}" if self.simulated else text


def density_figure(density: xr.DataArray, names: Names, words: str, title: str = "PM2.5 of both products",
                   counted: str = "cells and periods") -> Figure:
    """How often pairs have which two concentrations.

    density : counts (product, other), with the bins' lower edges, ug m-3, as coordinates. words : below the title.
    counted : what the pairs are.
    """
    counts, edges = density.values, np.append(density["product"].values, np.inf)
    step = float(edges[1] - edges[0])
    marginal = np.maximum(counts.sum(axis=0), counts.sum(axis=1)).cumsum()
    last = min(int(np.searchsorted(marginal, DENSITY_SHARE * marginal[-1])) + 1, len(counts)) if marginal[-1] else 10
    grouped = max(1, last // 60)
    last = -(-last // grouped) * grouped
    part = np.zeros((last, last))
    part[:min(last, len(counts)), :min(last, len(counts))] = counts[:last, :last]
    part = part.reshape(last // grouped, grouped, last // grouped, grouped).sum(axis=(1, 3))
    with figure_style(**CHART):
        from matplotlib.colors import LogNorm

        figure, axes = charts(5.2, 4.7, 1, 1)
        ax, limit = axes[0][0], last * step
        places = np.arange(len(part) + 1) * step * grouped
        image = ax.pcolormesh(places, places, np.ma.masked_equal(part.T, 0), cmap="cividis_r", rasterized=True,
                              norm=LogNorm(1, max(part.max(), 2)))
        for slope, style in ((1, "-"), (2, ":"), (0.5, ":")):
            ax.plot([0, limit], [0, slope * limit], color="black", lw=0.7, ls=style)
        ax.set(xlim=(0, limit), ylim=(0, limit), aspect="equal", xlabel=_axis(names.ours), ylabel=_axis(names.other))
        figure.colorbar(image, ax=ax, label=counted, shrink=0.9)
        beyond = counts.sum() - counts[:last, :last].sum()
        more = f"; {int(beyond):,} pairs lie beyond the axes" if beyond else ""
        add_head(figure, names.titled(title), f"{words}{more}")
        mark_simulated(ax, names)
    return figure


def _axis(name: str) -> str:
    units = UNITS_MATH if name.isascii() else UNITS_TEXT  # mathematics has one font, without Chinese
    return "\n".join(wrap(f"PM2.5 of {name} (", 3.4, 8)) + units + ")"


def wrapped(text: str, width: float = LABEL_WIDTH) -> str:
    """A label in lines of so many inches."""
    return "\n".join(wrap(text, width, 7))


def add_head(figure: Figure, title: str, below: str = "") -> None:
    """A title, and words below it."""
    width = figure.get_figwidth() - 0.4
    lines = wrap(title, width, 10) + wrap(below, width, 10)
    figure.suptitle("\n".join(lines), fontsize=10)


def mark_simulated(ax: Any, names: Names) -> None:
    """The mark of simulated values across the axes."""
    if names.simulated:
        ax.text(0.5, 0.5, SIMULATED_MARK, transform=ax.transAxes, ha="center", va="center", rotation=30, fontsize=15,
                weight="bold", color="black", alpha=0.25, zorder=6)


def taylor_figure(points: xr.Dataset, names: Names, reference: str, words: str = "") -> Figure:
    """Taylor's diagram (2001, 10.1029/2000JD900719): spread over the reference's by radius, correlation by angle.

    points : `ratio` of standard deviations and `correlation` (point), with coordinates `label` and `is_ours` (point).
    """
    with figure_style(**CHART):
        figure, axes = charts(7.4, 4.9, 1, 1)
        ax = axes[0][0]
        ratio, r = points.ratio.values, points.correlation.values
        limit = max(1.5, float(np.ceil(4.4 * np.nanmax(ratio, initial=1.0)) / 4))
        _taylor_frame(ax, limit, bool((r < 0).any()))
        for number, (one, two, label, ours) in enumerate(zip(ratio, r, points.label.values, points.is_ours.values,
                                                             strict=True)):
            angle = np.arccos(np.clip(two, -1, 1))
            marker = MARKERS[(number // 2 if points.is_ours.values.any() else number) % len(MARKERS)]
            ax.plot(one * np.cos(angle), one * np.sin(angle), marker, ms=7, zorder=5, ls="none", mec="black", mew=0.5,
                    color=OURS_INK if ours else OTHER_INK, clip_on=False, label=wrapped(label))
        ax.plot(1, 0, "*", ms=12, color="black", clip_on=False, zorder=5, label=wrapped(reference), ls="none")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        add_head(figure, names.titled("Taylor diagram"), words)
        mark_simulated(ax, names)
    return figure


def _taylor_frame(ax: Any, limit: float, negative: bool) -> None:
    """Rays of correlation, arcs of spread, and arcs of centred RMSE about the reference."""
    full = np.linspace(0, np.pi if negative else np.pi / 2, 200)
    for radius in np.arange(0.5, limit + 0.01, 0.5):
        ax.plot(radius * np.cos(full), radius * np.sin(full), color="black" if radius == 1 else GREY, lw=0.7,
                ls="--" if radius == 1 else "-")
    for r in (*CORRELATIONS, *(-value for value in CORRELATIONS if negative)):
        angle = np.arccos(r)
        ax.plot([0, limit * np.cos(angle)], [0, limit * np.sin(angle)], color="#cccccc", lw=0.5, zorder=0)
        ax.text(1.02 * limit * np.cos(angle), 1.02 * limit * np.sin(angle), f"{r:g}", fontsize=7,
                ha="left" if r >= 0 else "right", va="center")
    for radius in np.arange(0.5, limit, 0.5):
        x, y = 1 + radius * np.cos(np.linspace(0, np.pi, 200)), radius * np.sin(np.linspace(0, np.pi, 200))
        inside = (np.hypot(x, y) <= limit) & ((x >= 0) | negative)
        ax.plot(np.where(inside, x, np.nan), np.where(inside, y, np.nan), color="#009e73", lw=0.6, ls=":")
    ax.text(0.76 * limit, 0.80 * limit, "correlation", rotation=-45, fontsize=8, ha="center", va="center")
    ax.plot([-limit * negative, limit], [0, 0], color="black", lw=0.8)
    ax.set(xlim=(-limit * negative, 1.08 * limit), ylim=(0, 1.08 * limit), aspect="equal", yticks=[],
           xlabel="standard deviation over that of the reference; dotted: centred RMSE over it")
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def target_figure(points: xr.Dataset, names: Names, words: str = "") -> Figure:
    """FAIRMODE's target diagram: a point a station, inside the circle where its error is within twice the uncertainty.

    points : `x`, `y` (point) as comparison.scores.target_of gives them, `is_ours` (point).
    """
    with figure_style(**CHART):
        figure, axes = charts(5.2, 4.9, 1, 1)
        ax = axes[0][0]
        far = float(np.nanquantile(np.abs(np.concatenate([points.x.values, points.y.values])), 0.99)) if (
            points.sizes["point"]) else 1.0
        limit = max(1.2, np.ceil(far * 5.5) / 5)
        around = np.linspace(0, 2 * np.pi, 200)
        ax.fill(np.cos(around), np.sin(around), color="#e8f2e8", zorder=0)
        for radius in (0.5, 1.0):
            ax.plot(radius * np.cos(around), radius * np.sin(around), color="black", lw=0.7,
                    ls="-" if radius == 1 else ":")
        for ours, ink, name, marker in ((False, OTHER_INK, names.other, "^"), (True, OURS_INK, names.ours, "o")):
            some = points.is_ours.values == ours
            x, y = points.x.values[some], points.y.values[some]
            inside = np.hypot(x, y) <= 1
            ax.scatter(np.clip(x, -limit, limit), np.clip(y, -limit, limit), s=9, color=ink, alpha=0.6, lw=0, zorder=3,
                       marker=marker, label=wrapped(f"{name}: {int(inside.sum())} of {len(x)} inside", 4.4))
        ax.axhline(0, color=GREY, lw=0.5)
        ax.axvline(0, color=GREY, lw=0.5)
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", ylabel="bias / (2 RMS uncertainty)",
               xlabel="centred RMSE / (2 RMS uncertainty); left: correlation, right: spread")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", fontsize=7)
        add_head(figure, names.titled("Target diagram of stations"), words)
        mark_simulated(ax, names)
    return figure
