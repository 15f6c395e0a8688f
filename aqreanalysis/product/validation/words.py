"""What is said of a product's own validation: on the screen, in its files, in run.json and the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from aqreanalysis.evaluation.holdout import MAP_MATCHED, SINGLE_STATIONS, WHOLE_CITIES
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.output.cf import About
from aqreanalysis.product.validation.fit import FEWEST_DAYS, FEWEST_STATIONS
from aqreanalysis.product.validation.scores import ALL, DAILY, HOURLY

SHOWN_DESIGNS = {MAP_MATCHED: "like the map's land", WHOLE_CITIES: "whole cities", SINGLE_STATIONS: "single stations"}


def is_fitted(facts: dict[str, Any]) -> bool:
    """Whether the product has factors of its own."""
    return bool(facts["fitted"])


def calibrated_on(facts: dict[str, Any]) -> str:
    """Which stations and days a product's factors are of, a sentence or two."""
    where = "simulated stations" if facts["simulated"] else "stations"
    if not is_fitted(facts):
        return f"{facts['prior']} {why_not(facts)}" if facts["prior"] else ""
    found = (f"This product's own {where}: {facts['stations']} of them, hidden on {facts['days']} days from "
             f"{facts['first']} to {facts['last']} ({', '.join(facts['designs'])}); {facts['station_days']:,} "
             f"station-days, worth {facts['independent']:.0f} independent ones.")
    if facts["prior"]:
        found += (f" The factors that the checkpoint came with count as {facts['prior_worth']:.0f} more "
                  f"({facts['prior'].rstrip('.')}).")
    return found


def why_not(facts: dict[str, Any]) -> str:
    """Why a product has no factors of its own, and what it has instead, in sentences."""
    what = ("They are as the checkpoint came with them, neither wider nor narrower" if facts["prior"]
            else "There are no bounds, and the standard error is the model's own")
    return (f"This product's own stations are too few to calibrate with ({facts['stations']} with whole days that "
            f"could be hidden, on {facts['days']} days; it takes {FEWEST_STATIONS} on {FEWEST_DAYS}). {what}.")


def told(about: About, made: Calibration | None, facts: dict[str, Any]) -> About:
    """What files say of themselves, with what their errors were calibrated on."""
    source = calibrated_on(facts)
    if made is None:
        more = f" {why_not(facts)}"
        return replace(about, calibrated_on=source, standard_error=about.standard_error + more,
                       bounds=about.bounds + more if about.bounds else "")
    error = ("Root mean square of the error to be expected at a place without a station: what the model expects, times "
             f"factors by {made.hourly.follow}. Calibrated on: {source} For a daily mean, "
             "errors of hours are combined with their measured correlation, and calibrated in the same way.")
    bounds = ("Conformal bounds: 90 % of what stations observe lies between pm25_lower and pm25_upper. Factors by "
              f"{made.hourly.follow} of the error that the model expects. Calibrated on: "
              f"{source} They are of what a station at the place would observe, its own error included, and hold over "
              "many hours and places, not for each place by itself.")
    return replace(about, calibrated_on=source, standard_error=error, bounds=bounds,
                   errors=made.errors or about.errors)


def headline(table: pd.DataFrame, facts: dict[str, Any]) -> str:
    """The validation of a product in a line."""
    if table.empty:
        return f"not validated. {why_not(facts)}"
    mark = "SIMULATED: " if facts["simulated"] else ""
    hours = table[(table.frequency == HOURLY) & (table.by == "all")].set_index("design")
    shown = [f"{hours.skill_percent[design]:+.1f} % {words}" for design, words in SHOWN_DESIGNS.items()
             if design in hours.index]
    found = (f"{mark}{facts['stations']} stations hidden on {facts['days']} days: better than kriging by "
             f"{', '.join(shown)}; bias {hours['NMB_percent'][_headline_design(hours)]:+.1f} %")
    return f"{found}; {coverage_in_words(table)}. " + (
        f"Bounds and standard errors fitted to them ({facts['independent']:.0f} independent station-days"
        + (f", the checkpoint's count as {facts['prior_worth']:.0f})." if facts["prior"] else ").")
        if is_fitted(facts) else why_not(facts))


def _headline_design(table: pd.DataFrame) -> str:
    return next(design for design in (*SHOWN_DESIGNS, ALL) if design in table.index)


def coverage_in_words(table: pd.DataFrame) -> str:
    """What the bounds hold at stations of cities that they were not fitted to."""
    whole = table[(table.by == "all") & (table.design == ALL)].set_index("frequency")
    shares = [f"{100 * whole.coverage_90[name]:.0f} % of {what}" for name, what in ((HOURLY, "hours"), (DAILY, "days"))
              if name in whole.index and whole.coverage_90[name] == whole.coverage_90[name]]
    return f"90 % bounds hold {' and '.join(shares)}" if shares else "no bounds could be judged"
