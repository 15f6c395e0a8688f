"""Figures of forecasts and of what their attention looks at: arrays in, matplotlib Figures out.

They answer figures 3 to 5 of Kheder et al. 2025: a week of forecasts in two time slots, two heads of the attention, and
the attention of blocks of target hours over the hours that are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis.figures.layout import FONT

DPI = 150
UNITS = "µg m$^{-3}$"
OBSERVED, FORECAST, HEADS = "#333333", "#b2182b", ("#2166ac", "#d95f02")


@dataclass(frozen=True)
class Slot:
    """Means of some hours of each day (days,) in ug m-3: as observed and as forecast."""

    name: str
    observed: np.ndarray
    forecast: np.ndarray


@dataclass(frozen=True)
class Heads:
    """Attention of all heads: `profile` and `spread` (heads, steps), mean and standard deviation over windows;
    `place` (heads, 2) principal components; `cluster` (heads,) 0 or 1; `chosen` two heads; `ages` (steps,) hours."""

    profile: np.ndarray
    spread: np.ndarray
    place: np.ndarray
    cluster: np.ndarray
    chosen: tuple[int, int]
    ages: np.ndarray


def week(slots: list[Slot], title: str):
    """Observed and forecast means of each slot over the days of a week (figure 3)."""
    with _style():
        figure, axes = _figure(8.0, 3.2, len(slots))
        for ax, slot in zip(axes, slots, strict=True):
            days = np.arange(1, len(slot.observed) + 1)
            ax.plot(days, slot.observed, marker="o", ms=4, color=OBSERVED, label="observed")
            ax.plot(days, slot.forecast, marker="s", ms=4, color=FORECAST, label="forecast")
            ax.set(title=slot.name, xlabel="day", xticks=days)
            ax.grid(color="#eeeeee")
        top = 1.05 * max(np.nanmax([slot.observed, slot.forecast]) for slot in slots)
        for ax in axes:
            ax.set_ylim(0, top)
        axes[0].set_ylabel(f"PM2.5 ({UNITS})")
        axes[0].legend()
        figure.suptitle(title, fontsize=10)
        return figure


def heads(found: Heads, title: str):
    """Two heads' attention over the hours that are read, and where all heads lie (figure 4)."""
    with _style():
        figure, axes = _figure(8.0, 3.2, 2, width_ratios=[2, 1])
        for number, (head, ink) in enumerate(zip(found.chosen, HEADS, strict=True), start=1):
            mean, spread = found.profile[head], found.spread[head]
            axes[0].plot(-found.ages, mean, color=ink, label=f"head {number} (cluster {found.cluster[head] + 1})")
            axes[0].fill_between(-found.ages, np.maximum(mean - spread, 0), mean + spread, color=ink, alpha=0.2, lw=0)
        axes[0].axhline(1 / found.profile.shape[1], color="black", lw=0.6, ls=":", label="all steps alike")
        axes[0].set(xlabel="hours before the hour of issue", ylim=(0, None),
                    ylabel="attention of the last step\n(mean and standard deviation of windows)")
        axes[0].legend()
        axes[1].scatter(*found.place.T, c=[HEADS[number] for number in found.cluster], s=25)
        for number, head in enumerate(found.chosen, start=1):
            axes[1].annotate(f"{number}", found.place[head], xytext=(4, 4), textcoords="offset points")
        axes[1].locator_params(nbins=4)
        axes[1].set(xlabel="first principal component", ylabel="second", title="all heads of all seeds")
        figure.suptitle(title, fontsize=10)
        return figure


def blocks(weight: np.ndarray, past: list[str], coming: list[str], title: str):
    """Attention (target blocks, input blocks), rows summing to 1, as shades with the numbers in % (figure 5)."""
    with _style():
        figure, (ax,) = _figure(1.8 + 0.42 * len(past), 1.6 + 0.34 * len(coming), 1)
        image = ax.imshow(100 * weight, cmap="Blues", aspect="auto", vmin=0)
        for row, column in np.ndindex(weight.shape):
            dark = weight[row, column] > 0.6 * weight.max()
            ax.text(column, row, f"{100 * weight[row, column]:.0f}", ha="center", va="center", fontsize=6,
                    color="white" if dark else "black")
        ax.set_xticks(range(len(past)), past)
        ax.set_yticks(range(len(coming)), coming)
        ax.set(xlabel="read, oldest to most recent", ylabel="forecast")
        figure.colorbar(image, ax=ax, label="attention (%)")
        figure.suptitle(title, fontsize=10)
        return figure


def _figure(width: float, height: float, columns: int, **grid):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False, gridspec_kw=grid)[0]


def _style():
    """The defaults of matplotlib with our letters and frames, whatever the user's own settings are."""
    import matplotlib as mpl

    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    return mpl.rc_context(defaults | {"font.family": FONT, "font.size": 8, "axes.titlesize": 8,
                                      "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
