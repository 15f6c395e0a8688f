"""Figures of scores: the table of evaluation.metrics.table in, matplotlib Figures out. Nothing is read or saved."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aqreanalysis.evaluation.strata import LEVELS, SEASONS, THIRDS
from aqreanalysis.figures.layout import FONT

DPI = 150
UNITS = "µg m$^{-3}$"
INK = {"AQ-Net": "#b2182b", "kriging": "#2166ac", "boosting": "#1b7837", "plain kriging": "#67a9cf", "IDW": "#666666",
       "nearest": "#999999", "flat mean": "#cccccc"}
GROUP_INK = {"single stations": "#1b9e77", "whole cities": "#d95f02", "distance-matched": "#7570b3",
             "regions": "#a6761d"}
NOT_SURE = ("nearest", "flat mean", "plain kriging")  # drawn in no figure of uncertainty
ORDER = {"season": SEASONS, "distance third": THIRDS, "observed level": LEVELS, "predicted level": LEVELS}
PARTS = {"season": "season", "hour": "hour of the day (UTC+8)",
         "distance third": "distance to the nearest given station, thirds",
         "observed level": f"observed level ({UNITS})", "predicted level": f"predicted level ({UNITS})"}
NOMINAL = (50, 80, 90, 95)
AIMED_AT = (0.85, 0.95)  # coverage of 90 % intervals in each part


def draw(table: pd.DataFrame, ours: str, reference: str = "kriging") -> dict[str, object]:
    """File names without ending -> figures: error against distance, skill and coverage in parts, PIT and reliability.

    `table` as evaluation.metrics.table gives it; `ours` is the model whose skill over `reference` is drawn.
    """
    import matplotlib as mpl

    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    style = {"font.family": FONT, "font.size": 8, "axes.spines.top": False, "axes.spines.right": False,
             "legend.frameon": False}
    with mpl.rc_context(defaults | style):
        return {"error_by_distance": _distance(table), "skill": _skill(table, ours, reference),
                "coverage": _coverage(table, ours), "reliability": _reliability(table)}


def _figure(width: float, height: float, rows: int, columns: int, **options):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _distance(table: pd.DataFrame):
    """MAE of hours and days against the distance to the nearest remaining station."""
    figure, axes = _figure(8.0, 3.6, 1, 2)
    part = table[table.by == "distance"]
    for ax, frequency in zip(axes[0], ("hourly", "daily"), strict=True):
        for model, curve in part[part.frequency == frequency].groupby("model", sort=False):
            curve = curve.sort_values("distance_km")
            ax.plot(curve.distance_km, curve.MAE, marker="o", ms=3, color=INK.get(model), label=model,
                    lw=1.8 if model == "AQ-Net" else 1.1, zorder=3 if model == "AQ-Net" else 2)
        ax.set(xlabel="distance to the nearest remaining station (km)", ylabel=f"MAE ({UNITS})", ylim=(0, None),
               xlim=(0, None), title=f"{frequency} values")
        ax.grid(color="#eeeeee")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
    return figure


def _skill(table: pd.DataFrame, ours: str, reference: str):
    """Skill by season, with 95 % intervals, hour of the day, observed and predicted level; a line a design."""
    figure, axes = _parts(table, ours, "skill_percent", ("season", "hour", "observed level", "predicted level"),
                          ("skill_low", "skill_high"))
    for ax in axes.flat:
        ax.axhline(0, color="black", lw=0.8, zorder=1.9)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{ours}'s skill over {reference} (%)")
    axes[0][0].set_title("bars: 95 %, weeks and cities drawn again", loc="left", fontsize=7)
    figure.suptitle(f"Skill of hourly values: 1 - MAE / MAE({reference})", fontsize=10)
    return figure


def _coverage(table: pd.DataFrame, ours: str):
    """What the 90 % interval holds by season, hour, distance and predicted level; shaded is what was aimed at."""
    figure, axes = _parts(table, ours, "coverage_90", ("season", "hour", "distance third", "predicted level"))
    for ax in axes.flat:
        ax.axhspan(*AIMED_AT, color="#eeeeee", zorder=0)
        ax.axhline(0.9, color="black", lw=0.8, zorder=1.9)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, 0.78), max(high, 1.0))
    for ax in axes[:, 0]:
        ax.set_ylabel("share in the 90 % interval")
    figure.suptitle(f"{ours}: coverage of hourly 90 % intervals; shaded: {AIMED_AT[0]:g} to {AIMED_AT[1]:g}",
                    fontsize=10)
    return figure


def _parts(table: pd.DataFrame, ours: str, score: str, parts: tuple[str, ...], ends: tuple[str, str] | None = None):
    """A score of hours in four kinds of parts, a line a design; where `ends` are known, bars between them."""
    figure, axes = _figure(8.0, 5.6, 2, 2, sharey=True)
    hourly = table[(table.model == ours) & (table.frequency == "hourly") & (table.hours == "all")]
    groups = list(hourly[hourly.by == "all"].group.unique())
    for ax, by in zip(axes.flat, parts, strict=True):
        of = hourly[(hourly.by == by) & hourly.group.isin(groups)]
        names = [name for name in ORDER.get(by, sorted(of.slice.unique())) if name in set(of.slice)]
        for number, group in enumerate(groups):
            curve = of[of.group == group].set_index("slice").reindex(names)
            aside = 0.1 * (number - (len(groups) - 1) / 2) if by != "hour" else 0.0
            x, ink = np.arange(len(names)) + aside, GROUP_INK.get(group)
            ax.plot(x, curve[score], marker="o", ms=3, lw=1.0, color=ink, label=group)
            if ends and curve[list(ends)].notna().to_numpy().any():
                ax.vlines(x, curve[ends[0]], curve[ends[1]], color=ink, lw=1.0)
        every = 3 if by == "hour" else 1
        ax.set_xticks(range(0, len(names), every), names[::every])
        ax.set_xlim(-0.5, max(len(names), 1) - 0.5)
        ax.set_xlabel(PARTS[by])
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(groups), fontsize=8)
    return figure, axes


def _reliability(table: pd.DataFrame):
    """PIT histograms above, how many lie in central intervals below; a column for each design."""
    sure = table[(table.by == "all") & (table.hours == "all") & (table.frequency == "hourly")
                 & ~table.model.isin(NOT_SURE)]
    groups = list(sure.group.unique())
    figure, axes = _figure(2.4 * max(len(groups), 2), 4.8, 2, max(len(groups), 1), sharey="row")
    bins = [name for name in table if name.startswith("PIT_")]
    edges = np.linspace(0, 1, len(bins) + 1)
    for (above, below), group in zip(axes.T, groups, strict=True):
        for row in sure[sure.group == group].itertuples():
            shares = np.array([getattr(row, name) for name in bins]) * len(bins)
            above.stairs(shares, edges, color=INK.get(row.model), label=row.model, lw=1.4, baseline=None)
            held = [getattr(row, f"coverage_{share}") for share in NOMINAL]
            below.plot(np.array(NOMINAL) / 100, held, marker="o", ms=3, color=INK.get(row.model), label=row.model)
        above.axhline(1, color="black", lw=0.6)
        below.plot([0.4, 1], [0.4, 1], color="black", lw=0.6)
        above.set(title=group, xlim=(0, 1), xlabel="PIT")
        below.set(xlabel="nominal share", xlim=(0.45, 1), ylim=(0.3, 1))
        above.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        below.set_xticks([0.5, 0.7, 0.9], ["0.5", "0.7", "0.9"])
    axes[0][0].set_ylim(0, 1.05 * max(sure[bins].to_numpy().max(initial=0.1) * len(bins), 1.0))
    axes[0][0].set_ylabel("density (1 is calibrated)")
    axes[1][0].set_ylabel("share in the interval")
    figure.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    figure.suptitle("Hourly values: probability integral transform, and what central intervals hold", fontsize=10)
    return figure
