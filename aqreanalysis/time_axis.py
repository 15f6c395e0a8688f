"""Hours and days. Everything inside is UTC; stamps mark the END of the averaging hour.

The publisher of the network stamps the end of the hour (16:00 is the mean of 15:00-16:00), so the
24 stamps of the calendar day D in UTC+8 run from D 01:00+08 to (D+1) 00:00+08, that is from
(D-1) 17:00Z to D 16:00Z.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis.errors import UserError

HOUR = np.timedelta64(1, "h")
UTC_OFFSET_HOURS = 8  # China Standard Time
HOURS_PER_DAY = 24
MINIMUM_HOURS = 20    # of them that make a valid day (GB 3095-2012), where a recipe says nothing else
LOWEST_OFFSET, HIGHEST_OFFSET = -12.0, 14.0  # of local times, hours ahead of UTC
FIRST_DAY, LAST_DAY = dt.date(2013, 1, 1), dt.date(2100, 1, 1)


def hours_of_days(first: dt.date, last: dt.date) -> np.ndarray:
    """UTC end-of-hour stamps, datetime64[ns] (24 * days,), of calendar days UTC+8, both included."""
    start = first_hours(np.array(first, "datetime64[D]"))
    days = (last - first).days + 1
    return (start + np.arange(days * HOURS_PER_DAY) * HOUR).astype("datetime64[ns]")


def complete_hours(start, end) -> np.ndarray:
    """Every hour from ``start`` to ``end``, both included, datetime64[ns] (hours,)."""
    start, end = np.datetime64(start, "h"), np.datetime64(end, "h")
    return np.arange(start, end + HOUR, HOUR).astype("datetime64[ns]")


def local_days(stamps: np.ndarray) -> np.ndarray:
    """The calendar day UTC+8, datetime64[D] (hours,), that each end-of-hour stamp belongs to."""
    shifted = stamps.astype("datetime64[h]") + (UTC_OFFSET_HOURS - 1) * HOUR
    return shifted.astype("datetime64[D]")


def first_hours(days: np.ndarray) -> np.ndarray:
    """UTC stamp, datetime64[h] (days,), of the END of the first hour of calendar days UTC+8, datetime64[D]."""
    return days.astype("datetime64[h]") + (1 - UTC_OFFSET_HOURS) * HOUR


def last_hours(days: np.ndarray) -> np.ndarray:
    """UTC stamp, datetime64[h] (days,), of the END of calendar days UTC+8, datetime64[D]."""
    return days.astype("datetime64[h]") + (HOURS_PER_DAY - UTC_OFFSET_HOURS) * HOUR


def withheld_weeks(days: np.ndarray, every_nth_week: int) -> np.ndarray:
    """Whether days (datetime64[D]) lie in every nth week, counted from 1970-01-01: what training never asks for."""
    return (days.astype("datetime64[D]").astype(int) // 7) % every_nth_week == 0


@dataclass(frozen=True)
class Period:
    """Calendar days in UTC+8, both included."""

    first: dt.date
    last: dt.date

    @property
    def hours(self) -> np.ndarray:
        return hours_of_days(self.first, self.last)

    @property
    def n_days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def label(self) -> str:
        """``2016`` for a whole year, else ``20190101-20190131``."""
        return str(self.first.year) if self.whole_year else f"{self.first:%Y%m%d}-{self.last:%Y%m%d}"

    @property
    def whole_year(self) -> bool:
        """Whether it is one calendar year."""
        return (self.first, self.last) == (dt.date(self.first.year, 1, 1), dt.date(self.first.year, 12, 31))

    def days(self) -> list[dt.date]:
        """Every calendar day of the period."""
        return [self.first + dt.timedelta(days=number) for number in range(self.n_days)]

    def months(self) -> list[Period]:
        """The period cut at calendar months: one part for each hourly file."""
        starts = pd.date_range(self.first.replace(day=1), self.last, freq="MS")
        parts = []
        for start in starts:
            end = (start + pd.offsets.MonthEnd(0)).date()
            parts.append(Period(max(start.date(), self.first), min(end, self.last)))
        return parts


def period_of(label: str) -> Period:
    """The period of a `Period.label`."""
    first, _, last = label.partition("-") if "-" in label else (f"{label}0101", "", f"{label}1231")
    return Period(*(dt.datetime.strptime(day, "%Y%m%d").date() for day in (first, last)))


def parse_utc_offset(text: str | float | None) -> float | None:
    """Hours ahead of UTC: 8, +8, 8:00, +0530, UTC+8 and -3.5 are understood; None stays None."""
    if text is None:
        return None
    rule = f"An offset is a number of hours ahead of UTC from {LOWEST_OFFSET:g} to {HIGHEST_OFFSET:+g}."
    fix = "Example: --utc-offset 8 for China Standard Time, 0 for UTC."
    plain = re.sub(r"^(UTC|GMT)(?=[+-])", "", str(text).strip().upper().replace("\N{MINUS SIGN}", "-"))
    if clock := re.fullmatch(r"([+-]?)(\d{1,2}(?=:)|\d{2}):?([0-5]\d)", plain):
        hours = (int(clock[2]) + int(clock[3]) / 60.0) * (-1.0 if clock[1] == "-" else 1.0)
    elif re.fullmatch(r"[+-]?\d{1,2}(\.\d+)?", plain):
        hours = float(plain)
    elif plain in ("UTC", "GMT", "Z"):
        hours = 0.0
    else:
        raise UserError(f"--utc-offset {text!r} is not an offset.", rule, fix)
    if not LOWEST_OFFSET <= hours <= HIGHEST_OFFSET:
        raise UserError(f"--utc-offset {text} is out of range.", rule, fix)
    return hours


def parse_day(text: str) -> dt.date:
    """A day as YYYY-MM-DD."""
    try:
        return dt.datetime.strptime(str(text).strip(), "%Y-%m-%d").date()
    except ValueError as error:
        raise UserError(
            f"{text!r} is not a day.", "Days are written YYYY-MM-DD and exist in the calendar.",
            "Example: --start 2019-01-01 --end 2019-01-31.") from error


def parse_period(year: str | int | None, start: str | None, end: str | None) -> Period:
    """The period of a product from ``--year`` or from ``--start`` and ``--end``."""
    if year is not None and (start or end):
        raise UserError(f"--year {year} was given together with --start or --end.",
                        "A period is either a year or a first and a last day.", "Leave one out.")
    if year is not None:
        if not re.fullmatch(r"\d{4}", str(year).strip()):
            raise UserError(f"--year {year!r} is not a year.", "A year has four digits.",
                            "Example: --year 2016. For part of a year use --start and --end.")
        period = Period(dt.date(max(int(year), 1), 1, 1), dt.date(max(int(year), 1), 12, 31))
    elif start and end:
        period = Period(parse_day(start), parse_day(end))
    else:
        raise UserError("No complete period was given.", "Give --year, or both --start and --end.",
                        "Example: aqreanalysis build --year 2016 --grid 0.1deg.")
    if period.last < period.first:
        raise UserError(f"--end {period.last} lies before --start {period.first}.",
                        "The last day is not before the first.", "Swap the two.")
    if period.first < FIRST_DAY or period.last >= LAST_DAY:
        raise UserError(f"The period {period.first} to {period.last} is outside what can be analysed.",
                        "The network began in 2013.", "Choose days from 2013-01-01 on.")
    return period
