"""Calendar periods in UTC+8 that products are summed over: hour, day, month, season, year, all.

A season has three months; winter (DJF) is named by the year of its January. As everywhere, stamps are UTC and mark the
END of an hour.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aqreanalysis.errors import UserError, first_few
from aqreanalysis.time_axis import HOUR, Period, first_hours, last_hours, local_days

HOURLY_PERIOD, WHOLE = "hour", "all"
EVERY = (HOURLY_PERIOD, "day", "month", "season", "year", WHOLE)  # what `--every` takes
SEASONS = ("DJF", "MAM", "JJA", "SON")
DAY = np.timedelta64(1, "D")
MOST_RUNS = 3  # of days that follow each other, in a sentence


@dataclass(frozen=True)
class CalendarPeriod(Period):
    """A whole calendar period, whatever a product has of it.

    `every` is its kind, of EVERY but an hour; of "all" it is just a first and a last day.
    """

    every: str = WHOLE

    @property
    def label(self) -> str:
        """2019-01-31, 2019-01, 2019-DJF, 2019 or 20190101-20190131."""
        if self.every == "season":
            return f"{self.last.year}-{SEASONS[self.last.month // 3 % 4]}"
        return {"day": f"{self.first}", "month": f"{self.first:%Y-%m}", "year": f"{self.first.year}"}.get(
            self.every, Period(self.first, self.last).label)

    @property
    def bounds(self) -> np.ndarray:
        """Its begin and end, UTC, datetime64[h] (2,)."""
        first, last = np.array([self.first]), np.array([self.last])
        return np.concatenate([first_hours(first.astype("datetime64[D]")) - HOUR,
                               last_hours(last.astype("datetime64[D]"))])

    def has(self, days: np.ndarray) -> np.ndarray:
        """Whether calendar days, datetime64[D] (days,), belong to it."""
        return (days >= np.datetime64(self.first)) & (days <= np.datetime64(self.last))

    def days_among(self, days: np.ndarray) -> int:
        """How many of its days are among `days`, datetime64[D]."""
        return int(self.has(np.unique(days)).sum())


def periods_of(every: str, days: np.ndarray) -> list[CalendarPeriod]:
    """The calendar periods that days (datetime64[D], any order) belong to, ascending, each as a whole.

    Of "all": one period from the first day to the last. UserError for a kind that is none, or is an hour.
    """
    check_every(every, but_not=(HOURLY_PERIOD,))
    days = np.unique(np.asarray(days, "datetime64[D]"))
    firsts = np.unique(first_days(every, days))
    return [CalendarPeriod(first.astype(object), _last_day(every, first, days[-1]), every) for first in firsts]


def span(first: dt.date, last: dt.date) -> CalendarPeriod:
    """Any period from a first to a last day, both included."""
    return CalendarPeriod(first, last, WHOLE)


def first_days(every: str, days: np.ndarray) -> np.ndarray:
    """The first day, datetime64[D] (days,), of the calendar period that each day belongs to."""
    days = np.asarray(days, "datetime64[D]")
    months = days.astype("datetime64[M]")
    if every == "season":
        return ((months.astype(int) + 1) // 3 * 3 - 1).astype("datetime64[M]").astype("datetime64[D]")
    if every == WHOLE:
        return np.full(days.shape, days.min() if days.size else np.datetime64("NaT"), "datetime64[D]")
    return {"day": days, "month": months, "year": days.astype("datetime64[Y]")}[every].astype("datetime64[D]")


def begins_of(every: str, stamps: np.ndarray) -> np.ndarray:
    """The begin, UTC, datetime64[h] (stamps,), of the period that each hour or day, by its END, lies in."""
    stamps = np.asarray(stamps).astype("datetime64[h]")
    if every == HOURLY_PERIOD:
        return stamps - HOUR
    return first_hours(first_days(every, local_days(stamps))) - HOUR


def _last_day(every: str, first: np.datetime64, end: np.datetime64) -> dt.date:
    months = {"month": 1, "season": 3, "year": 12}.get(every)
    if months:
        return ((first.astype("datetime64[M]") + months).astype("datetime64[D]") - DAY).astype(object)
    return (first if every == "day" else end).astype(object)


def check_every(every: str, but_not: Sequence[str] = ()) -> str:
    """`every` itself if it is one of EVERY and not of `but_not`; else a UserError."""
    known = [name for name in EVERY if name not in but_not]
    if every not in known:
        raise UserError(f"--every {every} is not a period here.", f"Periods are {', '.join(known)}.",
                        "Example: --every month.")
    return every


def incomplete(periods: Sequence[CalendarPeriod], days: np.ndarray) -> list[str]:
    """A sentence for each period of which not all days are among `days`, datetime64[D]: how many are."""
    return [f"{period.label} has {found} of its {period.n_days} days" for period in periods
            if (found := period.days_among(days)) < period.n_days]


def runs_in_words(days: np.ndarray) -> str:
    """Ascending days in words, those that follow each other as first and last: 2019-01-11 to 2019-01-12, 2019-01-20."""
    runs = np.split(days, np.flatnonzero(np.diff(days.astype(int)) > 1) + 1)
    words = [f"{run[0]} to {run[-1]}" if run.size > 1 else str(run[0]) for run in runs if run.size]
    return first_few(words, MOST_RUNS)


def check_has(name: object, period: Period, days: np.ndarray) -> None:
    """UserError where a product, called `name`, has none of a period's days; `days` (datetime64[D]) are what it has."""
    if not span(period.first, period.last).days_among(days):
        raise UserError(f"{name} has no day from {period.first} to {period.last}.",
                        f"It has {runs_in_words(np.unique(days))}.", "Choose days that it has.")
