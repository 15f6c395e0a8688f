"""Diagrams of a validation: Taylor's, FAIRMODE's target, scatter density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.figure_sums import FigureSums, spread_points, target_points
from aqreanalysis.figures.diagrams import Names, density_figure, target_figure, taylor_figure
from aqreanalysis.figures.layout import UNITS_MATH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DENSITY_STEP, DENSITY_END = 2.0, 1000.0  # ug m-3
LEAST_DAYS = 5  # of a station, in diagrams of stations


def days_of_stations(found: FigureSums) -> tuple[xr.Dataset, str]:
    """Sums (model, station) of the days of stations that were hidden on LEAST_DAYS at least, of all where none was, and
    what they are in words."""
    sums = found.both(found.stations("daily"))
    enough = (sums.n >= LEAST_DAYS).all("model").values
    if enough.any():
        return sums.isel(station=enough), f"those with {LEAST_DAYS} days or more ({found.shown_group})"
    return sums, f"few days of each, at most {int(sums.n.max())} ({found.shown_group})"


def taylor(found: FigureSums) -> Figure:
    """Taylor's diagram of hours: a point for each model and design."""
    sums = found.both(found.station.sel(frequency="hourly", drop=True)).sum("station")
    points = spread_points(sums).stack(point=("group", "model"))
    labels = [f"{model}, {group}" for group, model in points.point.values]
    ours = [model == found.ours for _, model in points.point.values]
    flat = xr.Dataset({name: ("point", points[name].values) for name in ("ratio", "correlation")},
                      coords={"label": ("point", labels), "is_ours": ("point", ours)})
    return taylor_figure(flat, _names(found), "observed", "Hourly PM2.5 at hidden stations")


def target(found: FigureSums) -> Figure:
    """FAIRMODE's target diagram of days: a point a station, of the model and its reference."""
    sums, words = days_of_stations(found)
    points = target_points(sums).stack(point=("model", "station"))
    flat = xr.Dataset({name: ("point", points[name].values) for name in ("x", "y")},
                      coords={"is_ours": ("point", [model == found.ours for model, _ in points.point.values])})
    flat = flat.isel(point=np.isfinite(flat.x.values) & np.isfinite(flat.y.values))
    return target_figure(flat, _names(found), f"PM2.5 at hidden stations, {words}")


def density(found: FigureSums) -> Figure:
    """How often which hours were observed and estimated."""
    assert found.rows is not None
    observed, estimated = (found.rows[name].values.ravel() for name in ("observed", "pm25"))
    known = np.isfinite(observed) & np.isfinite(estimated)
    edges = np.arange(0.0, DENSITY_END + DENSITY_STEP, DENSITY_STEP)
    counts, _, _ = np.histogram2d(np.clip(observed[known], 0, DENSITY_END), np.clip(estimated[known], 0, DENSITY_END),
                                  bins=[edges, edges])
    pairs = xr.DataArray(counts, dims=("product", "other"), coords={"product": edges[:-1], "other": edges[:-1]})
    error = estimated[known] - observed[known]
    words = (f"{known.sum():,} hours at hidden stations, all designs; RMSE {np.sqrt(np.mean(error**2)):.1f}, "
             f"bias {error.mean():+.1f} {UNITS_MATH}, r {np.corrcoef(observed[known], estimated[known])[0, 1]:.2f}")
    return density_figure(pairs, Names("the stations", found.ours, found.simulated), words,
                          "Observed and estimated", "hours")


def _names(found: FigureSums) -> Names:
    return Names(found.ours, found.reference, found.simulated)


