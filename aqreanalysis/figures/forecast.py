"""Figures of forecasts and of their attention: arrays in, matplotlib Figures out. Nothing is read or saved.

They correspond to figures 3 to 5 of Kheder et al. 2025: a week of forecasts in two time slots, two heads of the
attention, and the attention of blocks of target hours over the hours that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OBSERVED_INK, FORECAST_INK, CLUSTER_INK = "#333333", "#b2182b", ("#2166ac", "#d95f02")
DARK = 0.6  # of the largest attention: from here on numbers are white


@dataclass(frozen=True)
class TimeSlot:
    """Means of some hours of each day (days,) in ug m-3: as observed and as forecast."""

    name: str
    observed: np.ndarray
    forecast: np.ndarray


@dataclass(frozen=True)
class HeadProfiles:
    """Attention of all heads: `profile` and `spread` (heads, steps), mean and standard deviation over windows;
    `place` (heads, 2) principal components; `cluster` (heads,) 0 or 1; `chosen` two heads; `ages` (steps,) hours."""

    profile: np.ndarray
    spread: np.ndarray
    place: np.ndarray
    cluster: np.ndarray
    chosen: tuple[int, int]
    ages: np.ndarray


def week_figure(slots: Sequence[TimeSlot], title: str) -> Figure:
    """Observed and forecast means of each slot over the days of a week (figure 3)."""
    with _chart_style():
        figure, axes = charts(8.0, 3.2, 1, len(slots))
        for ax, slot in zip(axes[0], slots, strict=True):
            days = np.arange(1, len(slot.observed) + 1)
            ax.plot(days, slot.observed, marker="o", ms=4, color=OBSERVED_INK, label="observed")
            ax.plot(days, slot.forecast, marker="s", ms=4, color=FORECAST_INK, label="forecast")
            ax.set(title=slot.name, xlabel="day", xticks=days)
            ax.grid(color="#eeeeee")
        top = 1.05 * max(np.nanmax([slot.observed, slot.forecast]) for slot in slots)
        for ax in axes[0]:
            ax.set_ylim(0, top)
        axes[0][0].set_ylabel(f"PM2.5 ({UNITS_MATH})")
        axes[0][0].legend()
        figure.suptitle(title, fontsize=10)
        return figure


def heads_figure(found: HeadProfiles, title: str) -> Figure:
    """Two heads' attention over the hours that are read, and where all heads lie (figure 4)."""
    with _chart_style():
        figure, ((left, right),) = charts(8.0, 3.2, 1, 2, gridspec_kw={"width_ratios": [2, 1]})
        for number, (head, ink) in enumerate(zip(found.chosen, CLUSTER_INK, strict=True), start=1):
            mean, spread = found.profile[head], found.spread[head]
            left.plot(-found.ages, mean, color=ink, label=f"head {number} (cluster {found.cluster[head] + 1})")
            left.fill_between(-found.ages, np.maximum(mean - spread, 0), mean + spread, color=ink, alpha=0.2, lw=0)
        left.axhline(1 / found.profile.shape[1], color="black", lw=0.6, ls=":", label="all steps alike")
        left.set(xlabel="hours before the hour of issue", ylim=(0, None),
                    ylabel="attention of the last step\n(mean and standard deviation of windows)")
        left.legend()
        right.scatter(*found.place.T, c=[CLUSTER_INK[number] for number in found.cluster], s=25)
        for number, head in enumerate(found.chosen, start=1):
            right.annotate(f"{number}", found.place[head], xytext=(4, 4), textcoords="offset points")
        right.locator_params(nbins=4)
        right.set(xlabel="first principal component", ylabel="second", title="all heads of all seeds")
        figure.suptitle(title, fontsize=10)
        return figure


def blocks_figure(weight: np.ndarray, past: list[str], coming: list[str], title: str) -> Figure:
    """Attention (target blocks, input blocks), rows summing to 1, as shades with the numbers in % (figure 5)."""
    with _chart_style():
        figure, ((ax,),) = charts(1.8 + 0.42 * len(past), 1.6 + 0.34 * len(coming), 1, 1)
        image = ax.imshow(100 * weight, cmap="Blues", aspect="auto", vmin=0)
        for row, column in np.ndindex(weight.shape):
            dark = weight[row, column] > DARK * weight.max()
            ax.text(column, row, f"{100 * weight[row, column]:.0f}", ha="center", va="center", fontsize=6,
                    color="white" if dark else "black")
        ax.set_xticks(range(len(past)), past)
        ax.set_yticks(range(len(coming)), coming)
        ax.set(xlabel="read, oldest to most recent", ylabel="forecast")
        figure.colorbar(image, ax=ax, label="attention (%)")
        figure.suptitle(title, fontsize=10)
        return figure


def _chart_style() -> AbstractContextManager[None]:
    return figure_style(**CHART, **{"axes.titlesize": 8})
