"""The variables of a summary, with their CF attributes, and what its files say of themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aqreanalysis.grids import Grid
from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.output import cf
from aqreanalysis.output.cf import HOURS_USED, QUALITY_FLAG
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.schema import LAT, LON, LOWER, QUALITY, STANDARD_ERROR, STANDARD_NAMES, TARGET, TIME, UNITS, UPPER
from aqreanalysis.summaries import limits
from aqreanalysis.summaries.limits import name_of
from aqreanalysis.summaries.statistics import SummaryOptions
from aqreanalysis.time_axis import UTC_OFFSET_HOURS

AQI_CLASS, PERIOD_NAME = "aqi_class", "period_name"
FLOAT = "f4"
RESOLUTION = {"day": "P1D", "month": "P1M", "season": "P3M", "year": "P1Y"}
COUNTS = {"number_of_days": "i2", HOURS_USED: "i4", "sufficient_days": "i1", QUALITY_FLAG: "i1"}
PLAIN = ("Counted with the best estimates, which are smoother than the truth, most where stations are far: too few "
         "days above a high limit, and too many above a low one.")
EXPECTED = ("The sum of the probabilities that follow from each {step}'s estimate and standard error, thought to be "
            "normal: what a station at the place would be expected to count.")
DRAWN = "From draws of the truth, with errors correlated in time as the attribute error_correlation says."


@dataclass(frozen=True)
class SummaryVariable:
    """A variable (period, places), or (period, class, places)."""

    name: str
    dtype: str  # "f4" where a value may be missing
    attributes: Mapping[str, Any]
    by_class: bool = False

    def dims(self, grid_dims: tuple[str, ...]) -> tuple[str, ...]:
        """Its dimensions."""
        return (TIME, *((AQI_CLASS,) if self.by_class else ()), *grid_dims)


def summary_variables(options: SummaryOptions, bounded: bool, simulated: bool = False) -> list[SummaryVariable]:
    """What a summary has; `bounded`: the product's errors are calibrated, so that there are bounds."""
    mark = "simulated " if simulated else ""
    found = [_float(TARGET, {"long_name": f"{mark}mean mass concentration of PM2.5", "cell_methods": _method("mean"),
                             "coverage_content_type": "modelResult",
                             "comment": "The mean of the daily means of valid days (HJ 663-2013)."}, TARGET, bounded)]
    found += _errors(TARGET, STANDARD_ERROR, (LOWER, UPPER), "mean mass concentration of PM2.5", bounded,
                     "From the standard errors of the days and their correlation, in closed form.",
                     "The skewness of the days' errors is kept in the measure in which errors last.")
    for share in options.percentiles:
        found += _percentile(share, bounded)
    for limit in options.days_above:
        found += _count("days", limit, bounded)
    for limit in options.hours_above:
        found += _count("hours", limit, bounded)
    return [*found, *_classes(), *_counts()]


def _float(name: str, attributes: dict[str, Any], of: str, bounded: bool, units: str = UNITS[TARGET],
           expected: bool = False) -> SummaryVariable:
    ancillary = [f"{of}_expected"] * expected + [f"{of}_standard_error"] + [f"{of}_lower", f"{of}_upper"] * bounded
    names = {"standard_name": STANDARD_NAMES[TARGET]} if units != "1" else {}
    return SummaryVariable(name, FLOAT, names | {"units": units} | attributes | {
        "ancillary_variables": " ".join([*ancillary, *COUNTS])})


def _errors(of: str, error: str, bounds: tuple[str, str], what: str, bounded: bool, how: str, how_bounds: str,
            units: str = UNITS[TARGET]) -> list[SummaryVariable]:
    """Standard error and bounds of a variable."""
    def made(name: str, words: str, comment: str) -> SummaryVariable:
        modifier = " standard_error" if name == error else ""
        standard = {"standard_name": f"{STANDARD_NAMES[TARGET]}{modifier}"} if units != "1" else {}
        return SummaryVariable(name, FLOAT, standard | {
            "units": units, "long_name": words, "coverage_content_type": "qualityInformation", "comment": comment})

    found = [made(error, f"standard error of the {what}", how)]
    if bounded:
        found += [made(name, f"{side} bound of the {what}: 5 % of the truth is thought to lie {where}",
                       f"Bounds of 90 %. {how_bounds}")
                  for name, side, where in zip(bounds, ("lower", "upper"), ("below", "above"), strict=True)]
    return found


def _percentile(share: float, bounded: bool) -> list[SummaryVariable]:
    name, what = f"pm25_percentile_{name_of(share)}", f"{share:g}th percentile of daily mean PM2.5"
    rule = "Linear between two days (HJ 663-2013)."
    model = {"coverage_content_type": "modelResult", "percentile": share}
    return [_float(name, model | {"long_name": what, "comment": f"{rule} Of the best estimates."}, name, bounded,
                   expected=True),
            SummaryVariable(f"{name}_expected", FLOAT, {
                "standard_name": STANDARD_NAMES[TARGET], "units": UNITS[TARGET], "long_name": f"expected {what}",
                "comment": f"{rule} The mean of draws. {DRAWN}"} | model),
            *_errors(name, f"{name}_standard_error", (f"{name}_lower", f"{name}_upper"), what, bounded, DRAWN, DRAWN)]


def _count(step: str, limit: float, bounded: bool) -> list[SummaryVariable]:
    name = f"{step}_above_{name_of(limit)}"
    mean = "daily" if step == "days" else "hourly"
    what = f"number of {step} with a {mean} mean of PM2.5 above {limit:g} ug m-3"
    model = {"coverage_content_type": "modelResult", "limit": limit, "limit_units": UNITS[TARGET],
             "cell_methods": _method("sum", "1 day" if step == "days" else "1 hour")}
    plain = _float(name, model | {"long_name": what, "comment": PLAIN}, name, bounded, "1", expected=True)
    return [SummaryVariable(name, "i4", plain.attributes),
            SummaryVariable(f"{name}_expected", FLOAT, {
                "units": "1", "long_name": f"expected {what}", "comment": EXPECTED.format(step=step[:-1])} | model),
            *_errors(name, f"{name}_standard_error", (f"{name}_lower", f"{name}_upper"), f"expected {what}", bounded,
                     DRAWN, DRAWN, "1")]


def _classes() -> list[SummaryVariable]:
    what = "number of days of each class of the air quality index for PM2.5 (HJ 633-2012)"
    edges = " to ".join(f"{limit:g}" for limit in limits.AQI_LIMITS)
    common = {"units": "1", "coverage_content_type": "modelResult", "cell_methods": _method("sum")}
    classes = f" Classes end at {edges} ug m-3, which still belong to the lower one; daily means are not rounded."
    return [SummaryVariable("aqi_class_days", "i2", common | {
                "long_name": what, "comment": PLAIN + classes, "ancillary_variables": "aqi_class_days_expected"}, True),
            SummaryVariable("aqi_class_days_expected", FLOAT, common | {
                "long_name": f"expected {what}", "comment": EXPECTED.format(step="day") + classes}, True)]


def _counts() -> list[SummaryVariable]:
    words: dict[str, dict[str, Any]] = {
        "number_of_days": {"standard_name": "number_of_observations", "units": "1",
                           "long_name": "number of valid days that all is made from"},
        HOURS_USED: {"standard_name": "number_of_observations", "units": "1",
                     "long_name": "number of hours of these days in which a station that the estimate is made from "
                                  "reported"},
        "sufficient_days": {"standard_name": "status_flag", "long_name":
                            "whether there are enough daily means", "flag_values": np.array([0, 1], np.int8),
                            "flag_meanings": "insufficient sufficient", "comment":
                            f"GB 3095-2012 asks for {limits.DAYS_OF_YEAR} daily means of a year and "
                            f"{limits.DAYS_OF_MONTH} of a month, {limits.DAYS_OF_FEBRUARY} of a February; of other "
                            "periods, for those of their months."},
        QUALITY_FLAG: {"standard_name": "quality_flag", "units": "1", "long_name":
                       "support of the estimate by observations on most days",
                       "flag_values": np.arange(len(QUALITY), dtype=np.int8), "flag_meanings": " ".join(QUALITY)}}
    return [SummaryVariable(name, dtype, words[name] | {"coverage_content_type": (
        "auxiliaryInformation" if name.startswith("number") else "qualityInformation")})
        for name, dtype in COUNTS.items()]


def _method(method: str, interval: str = "1 day") -> str:
    return f"{TIME}: {method} (interval: {interval})"


def placed(variable: SummaryVariable, grid: Grid) -> dict[str, Any]:
    """Attributes of a variable, with where it lies on a grid.

    The name of the period is a coordinate of the mean alone: that makes it one for xarray, and CDO warns of each
    variable that has a coordinate of characters.
    """
    attributes = variable.attributes
    positions = {"regular": [], "curvilinear": [LAT, LON], "points": [LAT, LON, cf.STATION_ID]}[grid.kind]
    where = "" if grid.kind == "points" or "cell_methods" not in attributes else " area: point"
    methods = {"cell_methods": attributes["cell_methods"] + where} if where else {}
    names = [PERIOD_NAME] if variable.name == TARGET else []
    return {**attributes, **methods, "coordinates": " ".join([*positions, cf.HEIGHT, *names]),
            "grid_mapping": cf.CRS}


def class_attributes() -> dict[str, Any]:
    """Attributes of the coordinate of classes."""
    return {"long_name": "class of the air quality index for PM2.5", "units": "1",
            "flag_values": np.arange(1, len(limits.AQI_CLASSES) + 1, dtype=np.int8),
            "flag_meanings": " ".join(limits.AQI_CLASSES), "coverage_content_type": "coordinate",
            "comment": "HJ 633-2012: 1 excellent, 2 good; 3 lightly, 4 moderately, 5 heavily, 6 severely polluted."}


def time_attributes() -> dict[str, Any]:
    """Attributes of the time of a summary."""
    return {"standard_name": "time", "long_name": "end of the period, in UTC", "axis": "T", "units": cf.EPOCH_UNITS,
            "calendar": "standard", "units_metadata": "leap_seconds: none", "bounds": f"{TIME}_bnds",
            "coverage_content_type": "coordinate",
            "comment": (f"Periods are of calendar days in UTC+{UTC_OFFSET_HOURS}. Times are UTC and mark the END of "
                        "the period, so the date of a time stamp is its last day; time_bnds holds both ends, "
                        "period_name its name. A winter (DJF) is named by the year of its January.")}


def global_attributes(product: Mapping[str, Any], provenance: Mapping[str, Any], every: str,
                      periods: Sequence[CalendarPeriod], correlations: Mapping[str, ErrorCorrelation],
                      measured: str, options: SummaryOptions, notes: Sequence[str]) -> dict[str, Any]:
    """What a file of summaries says of itself: what its product did, and what is different.

    `product` : global attributes of the product. `notes` : sentences on what is missing, incomplete periods above all.
    """
    mark = "SIMULATED " if product.get("simulated") == "true" else ""
    by = "of the whole period" if every == "all" else f"by {every}"
    days = (periods[-1].last - periods[0].first).days + 1
    ends = [f"{np.datetime64(period.bounds[1], 's')}Z" for period in (periods[0], periods[-1])]
    found = dict(product) | {
        "title": re.sub(r"analysis, (daily|hourly)", f"summary {by}",
                        str(product.get("title", f"{mark}PM2.5 summary"))),
        "summary": (f"{mark}means, percentiles, days above limits and classes of PM2.5 {by}, with standard errors and "
                    f"bounds from errors that are correlated in time. Made from: {product.get('summary', '')}"),
        "comment": " ".join(["Of daily means of valid days, as the product has them.", *notes]),
        "id": re.sub(r"^pm25\.(daily|hourly)", f"pm25.{every}", str(product.get("id", f"pm25.{every}"))),
        "time_coverage_start": ends[0], "time_coverage_end": ends[1], "time_coverage_duration": f"P{days}D",
        "time_coverage_resolution": RESOLUTION.get(every, f"P{days}D"),
        "error_correlation_comment": (
            "[weight, range in km, memory in hours] of terms of the correlation of errors over their standard errors, "
            "weight exp(-distance/range) exp(-lag/memory); null: of all "
            f"places, and lasting. {measured}").strip(),
        "draws": np.int32(options.draws), "draws_seed": np.int32(options.seed)}
    found |= {"error_correlation" if frequency == "daily" else f"error_correlation_{frequency}":
              json.dumps(correlation.plain()) for frequency, correlation in correlations.items()}
    return found | dict(provenance)
