"""Figures of scores: the table of metrics.score_table in, matplotlib Figures out. Nothing is read or saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aqreanalysis.evaluation.strata import LEVELS, PLACES, SEASONS, THIRDS
from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUR_INK, UNKNOWN_INK = "#b2182b", "#666666"  # of the model whose figures they are; of one without an ink of its own
MODEL_INK = {"kriging": "#2166ac", "regression kriging": "#762a83", "boosting": "#1b7837",
             "plain kriging": "#67a9cf", "IDW": "#666666", "nearest": "#999999", "flat mean": "#cccccc"}
GROUP_INK = {"single stations": "#1b9e77", "whole cities": "#d95f02", "distance-matched": "#7570b3",
             "map-matched": "#000000", "regions": "#a6761d"}
NOT_SURE = ("nearest", "flat mean", "plain kriging")  # drawn in no figure of uncertainty
ORDER: Mapping[str, Iterable[str]] = {"season": SEASONS, "distance third": THIRDS, "observed level": LEVELS,
                                      "predicted level": LEVELS, "place": PLACES}
STRATA_TITLES = {"season": "season", "place": "kind of place", "hour": "hour of the day (UTC+8)",
                 "distance third": "distance to the nearest given station, thirds",
                 "observed level": f"observed level ({UNITS_MATH})",
                 "predicted level": f"predicted level ({UNITS_MATH})"}
NOMINAL = (50, 80, 90, 95)  # per cent
NOMINAL_COVERAGE, AIMED_AT = 0.9, (0.85, 0.95)  # of 90 % intervals in each stratum


def score_figures(table: pd.DataFrame, ours: str, reference: str = "kriging") -> dict[str, Figure]:
    """File names without ending -> figures: error against distance, skill and coverage by stratum, PIT and
    reliability.

    `table` as evaluation.metrics.score_table returns it; `ours` is the model whose skill over `reference` is drawn.
    """
    with figure_style(**CHART):
        return {"error_by_distance": _distance_figure(table, ours), "skill": _skill_figure(table, ours, reference),
                "coverage": _coverage_figure(table, ours), "reliability": _reliability_figure(table, ours)}


def ink_of(model: str, ours: str) -> str:
    """The colour of a model in every figure."""
    return OUR_INK if model == ours else MODEL_INK.get(model, UNKNOWN_INK)


def _distance_figure(table: pd.DataFrame, ours: str) -> Figure:
    """MAE of hours and days against the distance to the nearest remaining station."""
    figure, axes = charts(8.0, 3.6, 1, 2)
    part = table[table.by == "distance"]
    for ax, frequency in zip(axes[0], ("hourly", "daily"), strict=True):
        for model, curve in part[part.frequency == frequency].groupby("model", sort=False):
            curve = curve.sort_values("distance_km")
            ax.plot(curve.distance_km, curve.MAE, marker="o", ms=3, color=ink_of(str(model), ours), label=model,
                    lw=1.8 if model == ours else 1.1, zorder=3 if model == ours else 2)
        ax.set(xlabel="distance to the nearest remaining station (km)", ylabel=f"MAE ({UNITS_MATH})", ylim=(0, None),
               xlim=(0, None), title=f"{frequency} values")
        ax.grid(color="#eeeeee")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
    return figure


def _skill_figure(table: pd.DataFrame, ours: str, reference: str) -> Figure:
    """Skill by season and kind of place, with 95 % intervals, hour of the day and observed level; a line a design."""
    figure, axes = _by_stratum_axes(table, ours, "skill_percent",
                                    ("season", "place", "hour", "observed level"),
                                    ("skill_low", "skill_high"))
    for ax in axes.flat:
        ax.axhline(0, color="black", lw=0.8, zorder=1.9)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{ours}'s skill over {reference} (%)")
    axes[0][0].set_title("bars: 95 %, weeks and cities resampled", loc="left", fontsize=7)
    figure.suptitle(f"Skill of hourly values: 1 - MAE / MAE({reference})", fontsize=10)
    return figure


def _coverage_figure(table: pd.DataFrame, ours: str) -> Figure:
    """The share in the 90 % interval by season, kind of place, distance and predicted level; the aim is shaded."""
    figure, axes = _by_stratum_axes(table, ours, "coverage_90", ("season", "place", "distance third",
                                                                 "predicted level"))
    for ax in axes.flat:
        ax.axhspan(*AIMED_AT, color="#eeeeee", zorder=0)
        ax.axhline(NOMINAL_COVERAGE, color="black", lw=0.8, zorder=1.9)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, 0.78), max(high, 1.0))
    for ax in axes[:, 0]:
        ax.set_ylabel("share in the 90 % interval")
    figure.suptitle(f"{ours}: coverage of hourly 90 % intervals; shaded: {AIMED_AT[0]:g} to {AIMED_AT[1]:g}",
                    fontsize=10)
    return figure


def _by_stratum_axes(table: pd.DataFrame, ours: str, score: str, kinds: tuple[str, ...],
                     ends: tuple[str, str] | None = None) -> tuple[Figure, np.ndarray]:
    """A score of hours in four kinds of strata, a line a design; where `ends` are known, bars between them."""
    figure, axes = charts(8.0, 5.6, 2, 2, sharey=True)
    hourly = table[(table.model == ours) & (table.frequency == "hourly") & (table.hours == "all")]
    groups = list(hourly[hourly.by == "all"].group.unique())
    for ax, by in zip(axes.flat, kinds, strict=True):
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
        ax.set_xlabel(STRATA_TITLES[by])
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(groups), fontsize=8)
    return figure, axes


def _reliability_figure(table: pd.DataFrame, ours: str) -> Figure:
    """PIT histograms above, the shares in central intervals below; a column for each design."""
    sure = table[(table.by == "all") & (table.hours == "all") & (table.frequency == "hourly")
                 & ~table.model.isin(NOT_SURE)]
    groups = list(sure.group.unique())
    figure, axes = charts(2.4 * max(len(groups), 2), 4.8, 2, max(len(groups), 1), sharey="row")
    bins = [str(name) for name in table.columns if str(name).startswith("PIT_")]
    edges = np.linspace(0, 1, len(bins) + 1)
    for (above, below), group in zip(axes.T, groups, strict=True):
        for row in sure[sure.group == group].to_dict("records"):
            shares = np.array([row[name] for name in bins]) * len(bins)
            ink, name = ink_of(row["model"], ours), row["model"]
            above.stairs(shares, edges, color=ink, label=name, lw=1.4, baseline=None)
            held = [row[f"coverage_{share}"] for share in NOMINAL]
            below.plot(np.array(NOMINAL) / 100, held, marker="o", ms=3, color=ink, label=name)
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
