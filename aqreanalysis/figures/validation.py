"""The figures by which a validation is judged: sums in, matplotlib Figures out. Nothing is read or saved.

They are the same for `evaluate` and for a product's own hidden stations (evaluation/figure_sums.py); what needs the
hours themselves is made where they are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis.evaluation.figure_sums import FigureSums
from aqreanalysis.evaluation.metrics import BOYLAN, DISTANCES
from aqreanalysis.evaluation.predictions import BETWEEN_BOUNDS, BOUNDED_SHARE
from aqreanalysis.evaluation.statistics import CENTRAL_PERCENT, DAILY_LIMIT, PIT_BINS
from aqreanalysis.figures.cycles import calendar_figure, cycle_figure, titled
from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style
from aqreanalysis.figures.scores import GROUP_INK, ink_of
from aqreanalysis.figures.station_maps import bias_skill_map, error_bubbles
from aqreanalysis.figures.validation_diagrams import days_of_stations, density, target, taylor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOCCER_END = 100.0  # per cent


def validation_figures(found: FigureSums) -> dict[str, Figure]:
    """File names without ending -> figures: all that the data allow. A model that gave no bounds has no reliability."""
    of_rows = dict(OF_ROWS) if found.rows is not None else {}
    if found.rows is not None and "pm25_lower" not in found.rows:
        del of_rows["reliability"]
    return {name: draw(found) for name, draw in (FIGURES | of_rows).items()}


def soccer(found: FigureSums) -> Figure:
    """Mean fractional bias and error of days by station, with the goals of Boylan and Russell (2006)."""
    sums, words = days_of_stations(found)
    n = sums.n.where(sums.n > 0)
    bias, error = 100 * sums.fractional_error / n, 100 * sums.fractional_error_absolute / n
    with figure_style(**CHART):
        figure, ((ax,),) = charts(5.2, 4.4, 1, 1)
        for name, (mfb, mfe) in BOYLAN.items():
            ax.plot([-mfb, -mfb, mfb, mfb], [0, mfe, mfe, 0], color="black", lw=0.9, ls="-" if name == "goal" else "--")
            ax.annotate(name, (-mfb, mfe), (3, 3), textcoords="offset points", fontsize=7)
        for model in sums.model.values[::-1]:
            x, y = bias.sel(model=model).values, error.sel(model=model).values
            known = np.isfinite(x)
            inside = (np.abs(x[known]) <= BOYLAN["goal"][0]) & (y[known] <= BOYLAN["goal"][1])
            ax.scatter(np.clip(x, -SOCCER_END, SOCCER_END), np.clip(y, 0, SOCCER_END), s=9, alpha=0.6, lw=0,
                       color=ink_of(str(model), found.ours), zorder=3,
                       label=f"{model}: {int(inside.sum())} of {int(known.sum())} stations reach the goal")
        ax.axvline(0, color="#999999", lw=0.5)
        ax.set(xlim=(-SOCCER_END, SOCCER_END), ylim=(0, SOCCER_END), xlabel="mean fractional bias of days (%)",
               ylabel="mean fractional error of days (%)")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", fontsize=7)
        title = titled("Soccer plot of hidden stations", found.simulated)
        figure.suptitle(f"{title}\n{words}", fontsize=9)
    return figure


def contingency(found: FigureSums) -> Figure:
    """Days above 75 ug m-3 at hidden stations: observed and estimated, with POD, FAR and CSI."""
    sums = found.both(found.stations("daily")).sum("station")
    with figure_style(**CHART):
        figure, axes = charts(3.0 * sums.sizes["model"] + 0.6, 3.3, 1, sums.sizes["model"])
        for ax, model in zip(axes[0], sums.model.values, strict=True):
            of = sums.sel(model=model)
            hits, misses, false = (float(of[name]) for name in ("hits", "misses", "false_alarms"))
            table = np.array([[hits, misses], [false, float(of.n) - hits - misses - false]])
            ax.imshow(table / max(float(of.n), 1.0), cmap="Blues", vmin=0, vmax=1.2)
            words = np.array([["hits", "misses"], ["false alarms", "neither"]])
            for row, column in np.ndindex(2, 2):
                dark = table[row, column] > 0.7 * float(of.n)
                ax.text(column, row, f"{words[row, column]}\n{table[row, column]:,.0f}", ha="center", va="center",
                        color="white" if dark else "black", fontsize=9)
            ax.set_xticks([0, 1], ["above", "not above"])
            ax.set_yticks([0, 1], ["above", "not above"], rotation=90, va="center")
            ax.set(xlabel="estimated", ylabel="observed")
            ax.set_title(f"{model}: {_ratios(hits, misses, false)}", fontsize=8)
        title = f"Days above {DAILY_LIMIT:g} {UNITS_MATH} at hidden stations ({found.shown_group})"
        figure.suptitle(titled(title, found.simulated), fontsize=10)
    return figure


def _ratios(hits: float, misses: float, false: float) -> str:
    """POD, FAR and CSI, as far as they are known."""
    found = {"POD": (hits, hits + misses), "FAR": (false, hits + false), "CSI": (hits, hits + misses + false)}
    return ", ".join(f"{name} {part / of:.2f}" for name, (part, of) in found.items() if of > 0) or "no such day"


def error_by_distance(found: FigureSums) -> Figure:
    """MAE of hours against the distance to the nearest station that was given, all designs together."""
    assert found.rows is not None
    distance = found.rows["distance_to_nearest_station"].values
    observed = found.rows["observed"].values
    with figure_style(**CHART):
        figure, ((ax,),) = charts(5.2, 3.4, 1, 1)
        for name, model in (("pm25", found.ours), ("kriging", found.reference)):
            miss = np.abs(found.rows[name].values - observed)
            points = []
            for low, high in zip(DISTANCES[:-1], DISTANCES[1:], strict=True):
                mine = (distance >= low) & (distance < high)
                if np.isfinite(miss[mine]).any():
                    points.append((float(distance[mine].mean()), float(np.nanmean(miss[mine]))))
            ax.plot(*zip(*points, strict=True), marker="o", ms=3, label=model, lw=1.6 if model == found.ours else 1.0,
                    color=ink_of(model, found.ours))
        ax.set(xlabel="distance to the nearest given station (km)", ylabel=f"MAE of hours ({UNITS_MATH})",
               xlim=(0, None), ylim=(0, None))
        ax.grid(color="#eeeeee")
        ax.legend()
        figure.suptitle(titled("Error against distance", found.simulated), fontsize=10)
    return figure


def reliability(found: FigureSums) -> Figure:
    """Whether intervals hold what they say: the PIT of hours, and the shares in central intervals, by design."""
    assert found.rows is not None
    rows, half = found.rows, BETWEEN_BOUNDS.half_width(BOUNDED_SHARE)
    truth, estimate, lower, upper = (rows[name].values.astype(float)
                                     for name in ("observed", "pm25", "pm25_lower", "pm25_upper"))
    pit, _ = BETWEEN_BOUNDS.two_piece(truth - estimate, (estimate - lower) / half, (upper - estimate) / half)
    weight = np.broadcast_to(rows["weight"].values[:, None], pit.shape)
    shares = np.linspace(0.05, 0.95, 19)
    with figure_style(**CHART):
        figure, ((left, right),) = charts(8.0, 3.5, 1, 2)
        for design in dict.fromkeys(rows["design"].values.astype(str)):
            mine = (rows["design"].values.astype(str) == design)[:, None] & np.isfinite(pit)
            if not mine.any():
                continue
            counts, edges = np.histogram(pit[mine], np.linspace(0, 1, PIT_BINS + 1), weights=weight[mine])
            left.stairs(counts * PIT_BINS / counts.sum(), edges, baseline=None, lw=1.4, label=design,
                        color=GROUP_INK.get(design))
            held = [np.average(np.abs(2 * pit[mine] - 1) <= share, weights=weight[mine]) for share in shares]
            right.plot(shares, held, lw=1.4, label=design, color=GROUP_INK.get(design))
        left.axhline(1, color="black", lw=0.6)
        left.set(xlabel="probability integral transform", ylabel="density (1 is calibrated)", xlim=(0, 1),
                 ylim=(0, None))
        right.plot([0, 1], [0, 1], color="black", lw=0.6)
        right.set(xlabel="nominal share of a central interval", ylabel="share of observations in it", xlim=(0, 1),
                  ylim=(0, 1), xticks=[0, 0.25, *(percent / 100 for percent in CENTRAL_PERCENT if percent < 95), 1])
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        figure.suptitle(titled(f"Reliability of the intervals of {found.ours}, hours", found.simulated), fontsize=10)
    return figure


FIGURES: dict[str, Callable[[FigureSums], Any]] = {
    "station_bias_skill": bias_skill_map, "error_bubbles": error_bubbles, "taylor": taylor, "target": target,
    "soccer": soccer, "cycles": cycle_figure,
    "calendar": calendar_figure, "days_above_75": contingency}
OF_ROWS: dict[str, Callable[[FigureSums], Any]] = {
    "scatter_density": density, "error_by_distance": error_by_distance, "reliability": reliability}
