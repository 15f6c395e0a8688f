"""Cycles of a day and a week, and a calendar: what was observed, estimated, and by how much that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.figure_sums import FigureSums
from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style
from aqreanalysis.figures.maps import SIMULATED_MARK
from aqreanalysis.figures.scales import Scale
from aqreanalysis.figures.scores import ink_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OBSERVED_LINE = {"color": "black", "lw": 1.6, "marker": "o", "ms": 3, "label": "observed"}
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
CALENDAR_ROW, CALENDAR_MARGIN = 1.35, 1.2  # inches


def titled(text: str, simulated: bool) -> str:
    """A title, which says of simulated values that they are."""
    return f"{SIMULATED_MARK}: {text}" if simulated else text


def cycle_figure(found: FigureSums) -> Figure:
    """Means and mean absolute errors of hours of the day and of days of the week (UTC+8), all designs together."""
    hour = found.both(found.hour.sel(frequency="hourly", drop=True).sum("group"))
    day = found.both(found.day.sel(frequency="hourly", drop=True).sum("group"))
    weekday = (day.day.values.astype("datetime64[D]").astype(int) + EPOCH_WEEKDAY) % 7
    week = day.assign_coords(weekday=("day", weekday)).groupby("weekday").sum().reindex(weekday=range(7))
    with figure_style(**CHART):
        figure, axes = charts(8.0, 5.0, 2, 2, sharey="row", sharex="col")
        for column, (sums, dimension) in enumerate(((hour, "hour"), (week, "weekday"))):
            _draw_cycle(axes[:, column], sums, dimension, found.ours)
        for ax in axes[:, 0]:
            ax.set_ylim(0, ax.get_ylim()[1])  # of both columns, which share it
        axes[1][0].set(xlabel="hour of the day (UTC+8), its beginning", xticks=range(0, 24, 3))
        axes[1][1].set(xlabel="day of the week")
        axes[1][1].set_xticks(range(7), WEEKDAYS)
        axes[0][0].set_ylabel(f"mean PM2.5 ({UNITS_MATH})")
        axes[1][0].set_ylabel(f"MAE of hours ({UNITS_MATH})")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        figure.suptitle(titled("Cycles at hidden stations", found.simulated), fontsize=10)
    return figure


def _draw_cycle(axes: Any, sums: xr.Dataset, dimension: str, ours: str) -> None:
    """Means above, errors below."""
    x = sums[dimension].values
    n = sums.n.where(sums.n > 0)
    first = sums.model.values[0]
    axes[0].plot(x, (sums.truth / n).sel(model=first).values, **OBSERVED_LINE)
    for model in sums.model.values:
        style: dict[str, Any] = {"color": ink_of(str(model), ours), "label": str(model), "marker": "o",
                                 "ms": 3, "lw": 1.6 if model == ours else 1.0}
        axes[0].plot(x, ((sums.truth + sums.error) / n).sel(model=model).values, **style)
        axes[1].plot(x, (sums.error_absolute / n).sel(model=model).values, **style)
    for ax in axes:
        ax.grid(color="#eeeeee")


def calendar_figure(found: FigureSums, frequency: str = "daily") -> Figure:
    """A cell a day, weeks from left to right: the mean error, estimated minus observed, over the hidden stations; a row
    of weeks for each year. Days without hidden stations are grey."""
    from matplotlib.cm import ScalarMappable

    sums = found.day.sel(frequency=frequency, model=found.ours, drop=True).sum("group")
    error = (sums.error / sums.n.where(sums.n > 0)).to_series()
    error.index = error.index.astype("datetime64[s]")
    years = sorted(set(error.index.year))
    scale = Scale.of_differences([error.to_numpy()])
    with figure_style(**CHART):
        figure, axes = charts(8.0, CALENDAR_ROW * len(years) + CALENDAR_MARGIN, len(years), 1)
        for ax, year in zip(axes[:, 0], years, strict=True):
            _draw_year(ax, year, error, scale)
        bar = figure.colorbar(ScalarMappable(scale.norm, scale.cmap), ax=axes, location="bottom", shrink=0.5, aspect=40)
        bar.set_label(f"{found.ours} minus observed, mean of the day's hidden stations ({UNITS_MATH})")
        figure.suptitle(titled("Error by day (UTC+8)", found.simulated), fontsize=10)
    return figure


def _draw_year(ax: Any, year: int, error: Any, scale: Scale) -> None:
    days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
    weekday = (days.astype(int) + EPOCH_WEEKDAY) % 7
    week = (np.arange(len(days)) + weekday[0]) // 7
    values = error.reindex(days.astype("datetime64[s]")).to_numpy()
    cells = np.full((7, week.max() + 1), np.nan)
    cells[weekday, week] = values
    there = np.full(cells.shape, np.nan)
    there[weekday, week] = 0.0
    edges = np.arange(cells.shape[1] + 1) - 0.5, np.arange(8) - 0.5
    ax.pcolormesh(*edges, there, cmap="Greys", vmin=-0.1, vmax=1, edgecolors="white", linewidth=0.5)
    ax.pcolormesh(*edges, np.ma.masked_invalid(cells), edgecolors="white", linewidth=0.5, **scale.style)
    firsts = np.flatnonzero(days.astype("datetime64[M]").astype("datetime64[D]") == days)
    ax.set_xticks(week[firsts], [f"{day.item():%b}" for day in days[firsts]])
    ax.set_yticks(range(7), WEEKDAYS, fontsize=6)
    ax.set_ylabel(str(year), fontsize=9, weight="bold")
    ax.set(aspect="equal", ylim=(6.5, -0.5))
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
