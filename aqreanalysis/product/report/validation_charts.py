"""The figures of a validation inside a page: of a product's own hidden stations, or of `evaluate`.

Each has a title, a sentence on how to read it, and words in its place for who can't see it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.evaluation.figure_sums import FigureSums, of_hidden_rows
from aqreanalysis.models import registry
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.product.folder import ProductFolder
from aqreanalysis.product.report.pictures import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL_IN_SOURCE = re.compile(r".* Model: (?P<name>.+?) \((?P<kind>[\w-]+).*", re.DOTALL)  # as output.cf writes it


class ChartWords(NamedTuple):
    """Of a figure: its title, how to read it, and what it shows in words."""

    title: str
    reading: str
    shows: str


# In the order of the page: first how wrong and where, then in which way, then when.
CHARTS: Mapping[str, ChartWords] = {
    "scatter_density": ChartWords(
        "Observed and estimated hours", "On the line an estimate is right; the dotted ones are half and twice.",
        "Scatter density: how often which hours were observed (across) and estimated (up) at hidden stations"),
    "station_bias_skill": ChartWords(
        "Bias and skill by station", "Look for regions where it is wrong in one way. Blue: too low, or worse than "
        "kriging.", "Two maps of hidden stations: mean bias of hours in per cent, and skill over kriging in per cent"),
    "error_bubbles": ChartWords(
        "Errors by city", "The larger and darker, the larger the error.",
        "Two maps of cities whose stations were hidden: bubbles of the root mean square error and of the mean absolute "
        "error of hours"),
    "error_by_distance": ChartWords(
        "Error against distance", "How far from stations to trust it.",
        "Lines: mean absolute error of each model against the distance to the nearest station that was given"),
    "skill": ChartWords(
        "Skill by season, place, hour and level", "Above 0 it is better than kriging.",
        "Four panels: skill over kriging by season, kind of place, hour of the day and observed level, a line for each "
        "design"),
    "reliability": ChartWords(
        "Reliability of the intervals", "A flat histogram, and points on the diagonal, are calibrated.",
        "Histograms of the probability integral transform, and the share of observations in central intervals against "
        "the share that they should hold"),
    "coverage": ChartWords(
        "What the 90 % intervals hold", "Within the shaded band they hold nearly what they say.",
        "Four panels: the share of hours in the 90 % interval by season, kind of place, distance and estimated level, "
        "a line for each design"),
    "taylor": ChartWords(
        "Taylor diagram of hours", "The nearer to the mark of the observations, the better.",
        "Taylor diagram: spread over that of the observations by radius, correlation by angle; a point for each model "
        "and design"),
    "target": ChartWords(
        "FAIRMODE's target diagram of days", "Inside the circle the error is within twice the uncertainty of the "
        "measurement, whose parameters are from a secondary source.",
        "Target diagram: a point for each hidden station, centred error across and bias up, in units of twice the "
        "measurement uncertainty"),
    "soccer": ChartWords(
        "Soccer plot of days", "Inside the inner goal is what Boylan and Russell (2006) hope for, inside the outer one "
        "what they accept.",
        "Soccer plot: mean fractional bias across and mean fractional error up, a point for each hidden station, with "
        "the goal and the criterion as frames"),
    "cycles": ChartWords(
        "Cycles of the day and the week", "Where lines part, the estimate errs at that hour or day of the week.",
        "Observed and estimated means and the errors by hour of the day (UTC+8) and by day of the week"),
    "calendar": ChartWords(
        "Error of each day", "Blue: too low. Grey days have no hidden station.",
        "Calendar: the mean error of the hidden stations on each day, a row for each day of the week"),
    "days_above_75": ChartWords(
        "Days above 75 µg m⁻³", "POD: share of such days that were found; FAR: share of those said that were none; "
        "CSI: found, over all said or missed.",
        "Tables of days above and not above 75 µg m⁻³, observed and estimated, for the model and for kriging")}


def charts_of(figures: Mapping[str, Figure | Path], simulated: bool = False,
              words_of: Mapping[str, ChartWords] = CHARTS) -> list[dict[str, Any]]:
    """Figures, or their files, by their names -> pictures with their words, in the order of these."""
    mark = "SIMULATED. " if simulated else ""
    return [{**drawn(figures[name], f"{mark}{words.shows}."), "name": name, "title": words.title,
             "reading": words.reading} for name, words in words_of.items() if name in figures]


def hidden_charts(folder: ProductFolder, model: str) -> list[dict[str, Any]]:
    """Those of a product's own validation; none where no station was hidden."""
    from aqreanalysis.figures.validation import validation_figures

    found = hidden_sums(folder, model)
    return charts_of(validation_figures(found), found.simulated) if found is not None else []


def _label_of(attributes: Mapping[str, Any], model: str) -> str:
    """What figures call the model that a file's `source` names, with its kind; else by its `model` in run.json."""
    found = MODEL_IN_SOURCE.fullmatch(str(attributes.get("source", "")))
    label = registry.label_of(found["name"], found["kind"]) if found else ""
    return label or model.split(" ")[0] or "the model"


def hidden_sums(folder: ProductFolder, model: str) -> FigureSums | None:
    """What the figures are made from, of a product's validation.nc; None where there is none, or no row in it.

    `model` is the product's `checkpoint`, as run.json names it.
    """
    path = folder.validation("nc")
    if not path.exists():
        return None
    with xr.open_dataset(path, engine="netcdf4") as file:
        rows = file.load()
    if not rows.sizes["row"]:
        return None
    names, first = np.unique(rows["station_id"].values.astype(str), return_index=True)
    table = pd.DataFrame({"station_id": names, "lat": rows["lat"].values[first], "lon": rows["lon"].values[first]})
    city = dict(zip(names.tolist(), city_numbers(table).tolist(), strict=True))
    ours = _label_of(rows.attrs, model)
    return of_hidden_rows(rows, city, f"{ours} (product)" if ours == "kriging" else ours)
