"""Maps and series of two products side by side: Datasets in, matplotlib Figures out (diagrams: diagrams.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.figures import maps
from aqreanalysis.figures.diagrams import OTHER_INK, OURS_INK, Names, add_head, mark_simulated, wrapped
from aqreanalysis.figures.layout import CHART, UNITS_MATH, charts, figure_style
from aqreanalysis.grids import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison_maps(found: xr.Dataset, grid: Grid, names: Names, period: str, note: str = "") -> dict[str, Figure]:
    """Means of both on one scale, their difference, that of the seasons, and the correlation.

    found : `pm25_product`, `pm25_other`, `difference` (season, lat, lon), `correlation` (lat, lon), as
    comparison.scores.pair_maps makes them; the last season is all. Cells without pairs are empty.
    """
    whole = found.isel(season=-1)
    grid = replace(grid, land=grid.land | np.isfinite(whole.difference.values.ravel()))
    common: dict[str, Any] = {"simulated": names.simulated, "note": note}
    both = [whole.pm25_product.values, whole.pm25_other.values]
    labels = [names.ours, names.other]
    figures = {
        "means": maps.panel_map(both, grid, labels=labels, columns=2, title=f"PM2.5, mean of {period}", **common),
        "difference": maps.mean_map(whole.difference.values, grid, title=f"{names.other} less {names.ours}, {period}",
                                    label="difference of mean PM$_{2.5}$", difference=True, **common)}
    if found.sizes["season"] > 1:
        seasons = [name for name in found.season.values[:-1] if found.pairs.sel(season=name).values.any()]
        if len(seasons) > 1:
            figures["seasons"] = maps.panel_map(
                [found.difference.sel(season=name).values for name in seasons], grid, labels=[*seasons],
                columns=min(len(seasons), 4), title=f"{names.other} less {names.ours}, by season",
                label="difference of mean PM$_{2.5}$", difference=True, **common)
    if np.isfinite(found.correlation.values).any():
        figures["correlation"] = maps.mean_map(found.correlation.values, grid, units="1", label="correlation",
                                               title=f"Correlation of {names.other} with {names.ours}, {period}",
                                               difference=True, **common)
    return figures


def series_figure(series: xr.Dataset, names: Names, words: str = "") -> Figure:
    """Means of both over all common cells, period by period: `product`, `other` (time), ug m-3."""
    with figure_style(**CHART):
        figure, axes = charts(8.0, 3.0, 1, 1)
        ax = axes[0][0]
        marker = "." if series.sizes["time"] < 60 else None
        for name, ink, label in (("product", OURS_INK, names.ours), ("other", OTHER_INK, names.other)):
            ax.plot(series.time.values, series[name].values, color=ink, lw=1.0, marker=marker,
                    label=wrapped(label, 7.0))
        ax.set(ylabel=f"PM2.5 ({UNITS_MATH})", ylim=(0, None))
        ax.tick_params(axis="x", labelrotation=30)
        ax.grid(color="#eeeeee")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=1, fontsize=7)
        add_head(figure, names.titled("Mean of the common cells"), words)
        mark_simulated(ax, names)
    return figure

