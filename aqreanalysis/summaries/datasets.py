"""Summaries of Datasets in memory, for notebooks: days in, months, seasons and years out, without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import periods, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models import error_correlation
from aqreanalysis.output.cf import HOURS_USED, QUALITY_FLAG
from aqreanalysis.periods import WHOLE, CalendarPeriod
from aqreanalysis.schema import LOWER, STANDARD_ERROR, TARGET, TIME, UPPER
from aqreanalysis.summaries import limits
from aqreanalysis.summaries.statistics import HoursAbove, SummaryOptions, summary_of_days
from aqreanalysis.summaries.variables import (
    AQI_CLASS,
    PERIOD_NAME,
    class_attributes,
    global_attributes,
    summary_variables,
    time_attributes,
)
from aqreanalysis.time_axis import HOUR, Period

OF_DAYS = (TARGET, STANDARD_ERROR, LOWER, UPPER, HOURS_USED, QUALITY_FLAG)
Arrays = dict[str, np.ndarray]


def in_hours(stamps: np.ndarray) -> np.ndarray:
    """Stamps (steps,) in hours since the first of them."""
    return ((stamps - stamps[:1]) / HOUR).astype(float)


def summary_of_dataset(daily: xr.Dataset, every: str, span: Period | None, options: SummaryOptions,
                       hourly: xr.Dataset | None = None) -> xr.Dataset:
    """A summary of a Dataset (time, ...) of days, as `open_product(path, "daily")` gives it, perhaps changed.

    Parameters
    ----------
    every : "day", "month", "season", "year" or "all".
    span : days that are used; all where it is None.
    hourly : hours of the same places; where hours above limits are counted.

    Raises
    ------
    UserError : where it has no pm25 and standard error over time, or no day of the span.
    """
    periods.check_every(every, but_not=(periods.HOURLY_PERIOD,))
    days, stamps = _steps_of(daily, "daily", span)
    there = time_axis.local_days(stamps)
    if len(np.unique(there)) != len(there):
        raise UserError("The Dataset has more than one step a day.", "A summary is made from daily means.",
                        'Give open_product(path, "daily"), and hours as hourly=.')
    whole = span or Period(there[0].astype(object), there[-1].astype(object))
    of_kind = periods_in(every, whole, there)
    found = []
    for period in of_kind:
        some = period.has(there)
        correlation, _ = error_correlation.of_attributes(daily.attrs, "daily")
        made = summary_of_days({name: array[some] for name, array in days.items()}, in_hours(stamps[some]),
                               correlation, options, limits.days_required(period))
        found.append(made | (_hours(hourly, period, options, LOWER in days) if options.hours_above else {}))
    joined = {name: np.stack([made[name] for made in found]) for name in found[0]}
    return assembled(daily, of_kind, joined, every, options)


def periods_in(every: str, span: Period, days: np.ndarray) -> tuple[CalendarPeriod, ...]:
    """Calendar periods of days; of "all" the span itself."""
    if every == WHOLE:
        return (CalendarPeriod(span.first, span.last),)
    return tuple(periods.periods_of(every, days))


def assembled(places: xr.Dataset, of_kind: Sequence[CalendarPeriod], arrays: Mapping[str, np.ndarray], every: str,
              options: SummaryOptions) -> xr.Dataset:
    """A Dataset of arrays (periods, [classes,] places), with the coordinates of `places`, a Dataset of days."""
    dims = tuple(map(str, places[TARGET].dims[1:]))
    shape = tuple(places.sizes[name] for name in dims)
    edges = np.stack([period.bounds for period in of_kind])
    attributes = {name: text for name, text in time_attributes().items() if name not in ("units", "calendar")}
    coords: dict[str, Any] = {str(name): array for name, array in places.coords.items() if TIME not in array.dims}
    coords |= {TIME: (TIME, edges[:, 1].astype("datetime64[ns]"), attributes),
               f"{TIME}_bnds": ((TIME, "nv"), edges.astype("datetime64[ns]")),
               PERIOD_NAME: (TIME, [period.label for period in of_kind]),
               AQI_CLASS: (AQI_CLASS, np.arange(1, len(limits.AQI_CLASSES) + 1, dtype=np.int8), class_attributes())}
    simulated = places.attrs.get("simulated") == "true"
    known = {of.name: of for of in summary_variables(options, LOWER in arrays, simulated)}
    made = {name: (known[name].dims(dims), np.reshape(array, (*array.shape[:-1], *shape)), dict(known[name].attributes))
            for name, array in arrays.items()}
    correlation, lacking = error_correlation.of_attributes(places.attrs, "daily")
    said = global_attributes(places.attrs, {}, every, of_kind, {"daily": correlation},
                             lacking, options, [])
    return xr.Dataset(made, coords, said)


def _steps_of(data: xr.Dataset, frequency: str, span: Period | None) -> tuple[Arrays, np.ndarray]:
    """Arrays (steps, places) of the steps of a span, and their stamps, ascending."""
    lacking = [name for name in (TARGET, STANDARD_ERROR) if name not in data or data[name].dims[:1] != (TIME,)]
    if lacking:
        raise UserError(f"The {frequency} Dataset has no {lacking[0]} over time.",
                        "A summary is made from means and their standard errors.",
                        f'aqreanalysis.open_product(path, "{frequency}") gives such a Dataset.')
    data = data.sortby(TIME)
    stamps = data[TIME].values.astype("datetime64[h]")
    if span is not None:
        some = periods.span(span.first, span.last).has(time_axis.local_days(stamps))
        data, stamps = data.isel({TIME: np.flatnonzero(some)}), stamps[some]
    if not stamps.size:
        raise UserError("The Dataset has no step" + (f" from {span.first} to {span.last}." if span else "."),
                        "A summary needs a day at least.", "Choose days that it has.")
    return {name: data[name].values.reshape(len(stamps), -1) for name in OF_DAYS if name in data}, stamps


def _hours(hourly: xr.Dataset | None, period: Period, options: SummaryOptions, bounded: bool) -> Arrays:
    if hourly is None:
        raise UserError("Hours above a limit were asked for without hours.", "They are counted in hourly means.",
                        'Give hourly=open_product(path, "hourly").')
    hours, stamps = _steps_of(hourly, "hourly", period)
    correlation, _ = error_correlation.of_attributes(hourly.attrs, "hourly")
    counted = HoursAbove(hours[TARGET].shape[1], in_hours(stamps), correlation, options)
    counted.add(hours)
    return counted.result(bounded)
