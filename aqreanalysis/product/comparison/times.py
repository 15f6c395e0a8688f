"""When the steps of another product are: bounds, stamps at the start, middle or end of a step, dates in names of files.

A step is an interval of UTC. Days of a time axis are days of UTC unless bounds or the user say otherwise; days in names
of files are calendar days of UTC+8, as China's products have them. Months and years are those of UTC+8.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.time_axis import HOURS_PER_DAY, UTC_OFFSET_HOURS

MINUTE, DAY = np.timedelta64(1, "m"), np.timedelta64(1440, "m")
DAY_MINUTES = 1440
OFFSET = np.timedelta64(60 * UTC_OFFSET_HOURS, "m")
STAMPS, DAYS = ("start", "middle", "end"), ("utc", "utc+8")
UTC_DAYS, LOCAL_DAYS = DAYS
STEPS = ("hour", "day", "month", "year")
NAMES = ("time", "valid_time", "datetime", "date", "t", "times")
MONTH_DAYS, YEAR_DAYS = (27, 32), (364, 367)
_DATE = r"(?P<y{0}>(?:19|20)\d\d)(?:[-_.]?(?P<m{0}>0[1-9]|1[0-2])(?:[-_.]?(?P<d{0}>0[1-9]|[12]\d|3[01]))?)?"
_RANGE = re.compile(rf"(?<!\d){_DATE.format(1)}[-_]{_DATE.format(2)}(?!\d)")
_SINGLE = re.compile(rf"(?<!\d){_DATE.format(1)}(?!\d)")
_DAY_OF_YEAR = re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)[-_.]?(?P<n>[0-3]\d\d)(?!\d)")
STAMP_FIX = "Say it with --stamp start, middle or end."


@dataclass(frozen=True)
class TimeOptions:
    """What the user says of the steps, whatever the files do; None: nothing."""

    stamp: str | None = None   # of STAMPS
    days: str | None = None    # of DAYS
    step: str | None = None    # of STEPS

    def __post_init__(self) -> None:
        for name, known in (("stamp", STAMPS), ("days", DAYS), ("step", STEPS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise UserError(f"--{name} {value} is unknown.", f"It is {', '.join(known)}.",
                                "Leave it out if unsure.")


@dataclass(frozen=True)
class Stamped:
    """A step as a file tells it: by a stamp, an interval, or the period of its file's name (UTC; days of UTC+8)."""

    stamp: np.datetime64 | None = None
    interval: tuple[np.datetime64, np.datetime64] | None = None
    named: tuple[dt.date, dt.date] | None = None   # first and last day


@dataclass(frozen=True)
class Timeline:
    """Intervals (steps, 2) of UTC, datetime64[m], in the order of the steps; their kind; and how they were read."""

    intervals: np.ndarray
    kind: str             # of STEPS
    words: str


def stamps_of(dataset: xr.Dataset, dims: Sequence[str], name: str) -> tuple[str | None, list[Stamped]]:
    """The dimension of time of a variable with some dimensions, None where it has none, and its steps as told.

    `name` is that of the file. Raises UserError for times that can't be read, or where nothing says when.
    """
    named = period_in_name(name)
    variable = _time_variable(dataset, dims)
    if variable is None:
        if left := [dim for dim in dims if dim.lower() in NAMES]:
            raise UserError(f"{name}: {left[0]} has no values with a unit of time.",
                            "A time axis has units, as `hours since 1900-01-01`.", "Mend it with ncatted or cdo.")
        covered = named or _covered(dataset)
        if covered is None:
            raise UserError(f"{name} has no time axis, and no date in its name.",
                            "A field says when it is: by a time axis, or as CHAP_PM2.5_D1K_20190101_V4.nc does.",
                            "Rename it with the day (20190101), month (201901) or year (2019).")
        return None, [Stamped(named=covered)]
    times = _decoded(dataset, variable, name)
    bounds_name = str(dataset[variable].attrs.get("bounds", f"{variable}_bnds"))
    intervals: list[Any] = [None] * times.size
    if bounds_name in dataset.variables and dataset[bounds_name].shape == (*dataset[variable].shape, 2):
        edges = _decoded(dataset, bounds_name, name, dataset[variable].attrs).reshape(-1, 2)
        if (edges[:, 1] > edges[:, 0]).all():
            intervals = [tuple(pair) for pair in edges]
    long = [str(dim) for dim in dataset[variable].dims if dataset.sizes[dim] > 1]
    dim = long[0] if long else str(dataset[variable].dims[-1]) if dataset[variable].ndim else None
    only = named if times.size == 1 else None
    return dim, [Stamped(stamp, interval, only) for stamp, interval in zip(times.ravel(), intervals, strict=True)]


def timeline(found: Sequence[Stamped], options: TimeOptions, name: str) -> Timeline:
    """The intervals of all steps of all files together; UserError where they can't be known."""
    if all(one.interval is not None for one in found):
        intervals = np.array([one.interval for one in found], "datetime64[m]")
        kind = _kind_of_length(np.median(np.diff(intervals, axis=1).astype(int)) / DAY_MINUTES, name)
        return _snapped(intervals, kind, "from their bounds")
    if all(one.stamp is None for one in found):
        dates = [one.named for one in found if one.named is not None]
        length = float(np.median([(last - first).days + 1 for first, last in dates]))
        words = "from names of files"
        local = options.days != UTC_DAYS
        intervals = np.array([_days(first, last, local) for first, last in dates])
        kind = _kind_of_length(length, name)
        return _snapped(intervals, kind, f"{words}, {'UTC+8' if local else 'UTC'} days" if kind == "day" else words)
    stamps = np.array([one.stamp for one in found if one.stamp is not None], "datetime64[m]")
    if len(stamps) != len(found):
        raise UserError(f"{name}: some files have a time axis and others have none.", "Files of one product are alike.",
                        "Give only those that belong together.")
    kind, hours = _kind_of_stamps(stamps, found, options, name)
    if kind == "hour":
        position = options.stamp or ("end" if hours == 1 else "middle")
        half = {"start": 0.0, "middle": 0.5, "end": 1.0}[position]
        begin = stamps - np.timedelta64(int(round(60 * hours * half)), "m")
        intervals = np.stack([begin, begin + np.timedelta64(int(round(60 * hours)), "m")], axis=1)
        return Timeline(intervals, kind, f"every {hours:g} h, stamps taken as the {position} of a step")
    if kind == "day":
        return _stamped_days(stamps, found, options, name)
    return _stamped_months(stamps, found, options, kind)


def _stamped_days(stamps: np.ndarray, found: Sequence[Stamped], options: TimeOptions, name: str) -> Timeline:
    """Days from one stamp each: at midnight, noon or 16:00Z, whatever of the day the stamp is."""
    hour = np.unique(stamps.astype(int) % DAY_MINUTES) / 60.0
    position, local = options.stamp, options.days == LOCAL_DAYS
    if position is None:
        by_name = {_position(one) for one in found} - {""}
        position = by_name.pop() if len(by_name) == 1 else None
    if position is None:
        usual = {0.0: "start", 12.0: "middle", 4.0: "middle"}
        if len(hour) != 1 or hour[0] not in usual:
            raise UserError(f"{name}: daily stamps are at {', '.join(f'{one:g}' for one in hour[:4])} h UTC; of what "
                            "part of a day is not said.",
                            "Days are stamped at their start, middle or end, or have bounds.", STAMP_FIX)
        position = usual[float(hour[0])]
    begin = stamps - {"start": 0, "middle": 1, "end": 2}[position] * (DAY // 2)
    words = f"one a day, stamps taken as its {position}"
    if local and len(hour) == 1 and hour[0] in (0.0, 12.0):
        begin = begin - OFFSET
        words += ", its days as those of UTC+8"
    return _snapped(np.stack([begin, begin + DAY], axis=1), "day", words)


def _position(one: Stamped) -> str:
    """Start or end, where a file's name has the day that its stamp begins or ends; else nothing."""
    if one.named is None or one.stamp is None or one.named[0] != one.named[1]:
        return ""
    day = np.datetime64(one.named[0], "D").astype("datetime64[m]")
    return {day: "start", day + DAY: "end"}.get(one.stamp.astype("datetime64[m]"), "")


def _stamped_months(stamps: np.ndarray, found: Sequence[Stamped], options: TimeOptions, kind: str) -> Timeline:
    """The calendar month, or year, that each stamp lies in, or ends."""
    unit = "M" if kind == "month" else "Y"
    inside = stamps - (MINUTE if options.stamp == "end" else np.timedelta64(0, "m"))
    first = inside.astype(f"datetime64[{unit}]")
    for number, one in enumerate(found):
        if one.named is not None and options.stamp is None:
            first[number] = np.datetime64(one.named[0]).astype(f"datetime64[{unit}]")
    last = (first + 1).astype("datetime64[D]") - 1
    intervals = np.array([_days(a.item(), b.item(), True) for a, b in zip(first.astype("datetime64[D]"), last,
                                                                         strict=True)])
    return Timeline(intervals, kind, f"the calendar {kind} of each stamp, in UTC+8")


def _snapped(intervals: np.ndarray, kind: str, words: str) -> Timeline:
    """Months and years as those of UTC+8: their edges are moved by up to half a day to its midnight."""
    if kind in ("month", "year"):
        local = ((intervals + OFFSET).astype(int) + DAY_MINUTES // 2 - 1) // DAY_MINUTES * DAY_MINUTES
        moved = local.astype("datetime64[m]") - OFFSET
        if (moved != intervals).any():
            words += f"; {kind}s are taken in UTC+8, up to half a day beside theirs"
        return Timeline(moved, kind, words)
    return Timeline(intervals, kind, words)


def _days(first: dt.date, last: dt.date, local: bool) -> tuple[np.datetime64, np.datetime64]:
    begin, end = (np.datetime64(day, "D").astype("datetime64[m]") for day in (first, last + dt.timedelta(days=1)))
    return (begin - OFFSET, end - OFFSET) if local else (begin, end)


def _kind_of_length(days: float, name: str) -> str:
    if days < 1:
        return "hour"
    if round(days, 3) == 1:
        return "day"
    if MONTH_DAYS[0] < days < MONTH_DAYS[1]:
        return "month"
    if YEAR_DAYS[0] < days < YEAR_DAYS[1]:
        return "year"
    raise UserError(f"{name}: a step is {days:g} days long.", "Steps are hours, days, calendar months or years.",
                    "Average them to one of these: `cdo daymean`, `monmean`, `yearmean`.")


def _kind_of_stamps(stamps: np.ndarray, found: Sequence[Stamped], options: TimeOptions,
                    name: str) -> tuple[str, float]:
    """The kind of steps by their distance, and how many hours they are."""
    gaps = np.diff(np.unique(stamps)).astype(int) / 60.0
    if options.step:
        return options.step, float(gaps.min()) if options.step == "hour" and len(gaps) else 1.0
    if len(gaps):
        hours = float(gaps.min())
        return _kind_of_length(hours / HOURS_PER_DAY, name), hours
    named = found[0].named
    if named is None:
        raise UserError(f"{name} has one step and no bounds.", "It has to be known how long a step is.",
                        "Say it: --step hour, day, month or year.")
    return _kind_of_length((named[1] - named[0]).days + 1.0, name), HOURS_PER_DAY


def period_in_name(name: str) -> tuple[dt.date, dt.date] | None:
    """First and last day of the date, or the two dates, in the name of a file; None where there is none.

    >>> [str(day) for day in period_in_name("CHAP_PM2.5_D1K_20190101_V4.nc")]
    ['2019-01-01', '2019-01-01']
    >>> [str(day) for day in period_in_name("V5GL04.HybridPM25.Asia.201901-201912.nc")]
    ['2019-01-01', '2019-12-31']
    """
    if both := _RANGE.search(name):
        first, last = _of_match(both, 1), _of_match(both, 2)
        if first and last and first[0] <= last[1] and both["m1"] and both["m2"]:
            return first[0], last[1]
    found = [days for match in _SINGLE.finditer(name) if (days := _of_match(match, 1))]
    if found and (shortest := min(found, key=lambda days: days[1] - days[0])):
        if shortest[0] == shortest[1] or not (numbered := _DAY_OF_YEAR.search(name)):
            return shortest
    elif not (numbered := _DAY_OF_YEAR.search(name)):
        return None
    number = int(numbered["n"])
    if not 1 <= number <= 366:
        return found[0] if found else None
    day = dt.date(int(numbered["y"]), 1, 1) + dt.timedelta(days=number - 1)
    return day, day


def _of_match(match: re.Match, number: int) -> tuple[dt.date, dt.date] | None:
    year, month, day = (int(text) if (text := match[f"{part}{number}"]) else None for part in "ymd")
    assert year is not None
    try:
        first = dt.date(year, month or 1, day or 1)
    except ValueError:
        return None
    if day:
        return first, first
    following = dt.date(year + 1, 1, 1) if not month or month == 12 else dt.date(year, month + 1, 1)
    return first, following - dt.timedelta(days=1)


def _covered(dataset: xr.Dataset) -> tuple[dt.date, dt.date] | None:
    """The days of the attributes time_coverage_start and _end, where a file has them."""
    try:
        first, last = (dt.date.fromisoformat(str(dataset.attrs[f"time_coverage_{end}"])[:10])
                       for end in ("start", "end"))
    except (KeyError, ValueError):
        return None
    return first, last


def _time_variable(dataset: xr.Dataset, dims: Sequence[str]) -> str | None:
    """The variable of time along one of some dimensions, or the single time of a field without one."""
    fitting = {str(name): v for name, v in dataset.variables.items()
               if sum(size > 1 for size in v.shape) <= 1 and set(v.dims) <= set(dims)
               and not str(name).endswith(("_bnds", "_bounds"))}
    timed = [name for name, v in fitting.items() if " since " in str(v.attrs.get("units", ""))
             or "%Y%m%d" in str(v.attrs.get("units", "")) or v.dtype.kind == "M"]
    timed.sort(key=lambda name: (fitting[name].ndim == 0, "reference" in name,
                                 fitting[name].attrs.get("standard_name") != "time", name.lower() not in NAMES))
    return timed[0] if timed else None


def _decoded(dataset: xr.Dataset, variable: str, name: str, attributes: Any = None) -> np.ndarray:
    """Times as datetime64[m]; UserError for a calendar that is not ours, or what can't be read."""
    stored = dataset[variable].variable
    attributes = dict(stored.attrs if attributes is None else attributes)
    units, values = str(attributes.get("units", "")), np.asarray(stored.values)
    if values.dtype.kind == "M":
        return values.astype("datetime64[m]")
    if "%Y%m%d" in units:
        whole = np.floor(values).astype(int)
        days = np.array([f"{one // 10000:04d}-{one // 100 % 100:02d}-{one % 100:02d}" for one in whole.ravel()],
                        "datetime64[D]").reshape(whole.shape)
        return days.astype("datetime64[m]") + np.rint((values - whole) * DAY_MINUTES).astype("timedelta64[m]")
    if match := re.match(r"months since (\d{4}-\d{2})", units):
        return (np.datetime64(match[1], "M") + np.floor(values).astype(int)).astype("datetime64[m]")
    kept = {key: attributes[key] for key in ("units", "calendar") if key in attributes}
    try:
        decoded = xr.coding.times.CFDatetimeCoder(use_cftime=False).decode(xr.Variable(stored.dims, values, kept))
        return np.asarray(decoded.values).astype("datetime64[s]").astype("datetime64[m]")
    except (ValueError, OverflowError, KeyError) as error:
        calendar = attributes.get("calendar", "standard")
        raise UserError(f"{name}: its times ({units!r}, calendar {calendar}) can't be read: {error}.",
                        "Times are of the standard calendar, as `hours since 1900-01-01`.",
                        "Mend the axis: `cdo settaxis` or `cdo setcalendar,standard`.") from error
