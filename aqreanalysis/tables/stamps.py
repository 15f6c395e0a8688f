"""From text to times: what people write for an hour, and the one rule by which a file's stamps are read.

Stamps with an offset say themselves what they mean. Stamps without one are UTC, or as many hours ahead of UTC as the
user says; a file in which some have an offset and others have none is not read by two rules: without the user's word
those without an offset are not read. Days and months of `01/02/2019` are told apart by the other stamps of the file.

>>> rule = StampRule.of(["2019-01-09 24:00", "9.1.2019 16:00"], utc_offset=8.0)
>>> [str(stamp)[:13] for stamp in rule.read(["2019-01-09 24:00", "9.1.2019 16:00"])]
['2019-01-09T16', '2019-01-09T08']
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aqreanalysis.tables.numbers import is_missing

EXAMPLES = "2019-01-09T16:00:00Z, 2019-01-09 16:00 or 2019010916"
NOT_A_TIME = np.datetime64("NaT", "ns")
NEARLY = dt.timedelta(seconds=1)   # spreadsheets' days with fractions miss the hour by so much
_ZONE = (r"\s*(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?[+\-\u2212]\d{1,2}(?::?\d{2})?)?"
         r"(?(zone)(?:\[[A-Za-z_]+(?:/[A-Za-z_]+)*\])?)")   # its name behind it, as polars has it
_CLOCK = (r"(?:[T\s_]+(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d+))?)?"
          r"|[时点](?:(?P<minute2>\d{1,2})分?)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?")
_FORMS = tuple(re.compile(form + _ZONE, re.IGNORECASE) for form in (
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})" + _CLOCK,
    r"(?P<year>\d{4})[/.](?P<month>\d{1,2})[/.](?P<day>\d{1,2})" + _CLOCK,
    r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?P<day>\d{1,2})日" + _CLOCK.replace(r"[T\s_]+", r"[T\s_]*", 1),
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})" + _CLOCK,
    r"(?P<day>\d{1,2})(?P<between>[-\s]?)(?P<month_name>[A-Za-z]{3})[a-z]*(?P=between)(?P<year>\d{4})"
    + _CLOCK.replace(r"[T\s_]+", r"[T\s_:]+", 1),
    r"(?P<first>\d{1,2})/(?P<second_>\d{1,2})/(?P<year>\d{4})" + _CLOCK,
    r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})(?:[T\s_]?(?P<hour>\d{2})(?::?(?P<minute>\d{2})"
    r"(?::?(?P<second>\d{2})(?:\.(?P<fraction>\d+))?)?)?)?"))
_SLASHED = next(form for form in _FORMS if "first" in form.groupindex)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")   # MATLAB, SAS, R
CHINA_HOURS = 8.0
_OF_CHINA = re.compile(r"北京时间|(?<![A-Za-z])(?:CST|BJT|Beijing|Asia/Shanghai)(?![A-Za-z])", re.IGNORECASE)
_IN_HEADER = re.compile(r"(?<![A-Za-z])(?P<zone>(?:UTC|GMT)(?:\s*[+-]\s*\d{1,2}(?::?\d{2})?)?)(?![A-Za-z\d])",
                        re.IGNORECASE)
_EPOCH = re.compile(r"\d{9,10}(\.\d+)?|\d{12,13}|\d{15,16}|\d{18,19}")
_SERIAL = re.compile(r"[2-7]\d{4}(\.\d+)?")   # days since 1899-12-30, as spreadsheets count: 1954 to 2119


@dataclass(frozen=True)
class _Stamp:
    local: dt.datetime       # without its offset
    offset: float | None     # hours; 0 where the form is UTC by its nature


@dataclass(frozen=True)
class StampRule:
    """By which rule the stamps of one file are read."""

    utc_offset: float         # hours ahead of UTC of stamps without an offset
    given: bool               # the user said so
    month_first: bool | None  # of 01/02/2019; None where the stamps leave it open, and such a stamp is not read
    naive: int                # different stamps without an offset
    aware: int                # and with one

    @classmethod
    def of(cls, texts: Iterable[str], utc_offset: float | None = None) -> StampRule:
        """The rule for a file by all different stamps in it."""
        naive = aware = 0
        first_above = second_above = False
        for text in texts:
            numbers_ = _slashed(text)
            if numbers_:
                first_above |= numbers_[0] > 12
                second_above |= numbers_[1] > 12
            stamp = _parsed(text, month_first=bool(numbers_ and numbers_[1] > 12))
            if stamp is not None:
                naive, aware = naive + (stamp.offset is None), aware + (stamp.offset is not None)
        month_first = None if first_above == second_above else second_above
        return cls(utc_offset or 0.0, utc_offset is not None, month_first, naive, aware)

    @property
    def skips_naive(self) -> bool:
        """Whether stamps without an offset are not read, for others have one and the user said nothing."""
        return bool(self.naive and self.aware and not self.given)

    def read(self, texts: Iterable[str]) -> np.ndarray:
        """UTC, datetime64[ns] (texts,); NaT for what is no stamp by this rule, or is missing."""
        return np.array([self._utc(text) for text in texts], "datetime64[ns]")

    def note(self, name: str) -> str:
        """A sentence on the rule; "" where every stamp has its offset and none was given."""
        if not self.naive or self.skips_naive:
            return ""
        if self.given:
            return f"{name}: stamps have no offset: read as UTC{self.utc_offset:+g} h, as --utc-offset says"
        return (f"{name}: stamps have no offset: read as UTC "
                "(--utc-offset 8 where they are China Standard Time)")

    def is_open(self, text: str) -> bool:
        """Whether it is not known which number of a stamp like 01/02/2019 is the month."""
        numbers_ = _slashed(text)
        return numbers_ is not None and self.month_first is None and numbers_[0] != numbers_[1]

    def _utc(self, text: str) -> np.datetime64:
        if self.is_open(text):
            return NOT_A_TIME
        stamp = _parsed(text, bool(self.month_first))
        if stamp is None or (stamp.offset is None and self.skips_naive):
            return NOT_A_TIME
        offset = self.utc_offset if stamp.offset is None else stamp.offset
        return np.datetime64(stamp.local - dt.timedelta(hours=offset), "ns")


def _slashed(text: str) -> tuple[int, int] | None:
    """The first two numbers of 01/02/2019."""
    found = _SLASHED.fullmatch(text.strip())
    return (int(found["first"]), int(found["second_"])) if found else None


def _parsed(text: str, month_first: bool) -> _Stamp | None:
    """A stamp; None for what is none, or no time of the calendar."""
    stripped = text.strip()
    if is_missing(stripped):
        return None
    for form in _FORMS:
        found = form.fullmatch(stripped)
        if found:
            try:
                return _of_parts(found.groupdict(), month_first)
            except (ValueError, OverflowError):
                return None
    return _counted(stripped)


def _of_parts(parts: dict[str, str | None], month_first: bool) -> _Stamp:
    """ValueError where the parts are no time."""
    if parts.get("first"):
        parts["month"], parts["day"] = ((parts["first"], parts["second_"]) if month_first
                                        else (parts["second_"], parts["first"]))
    if name := parts.get("month_name"):
        parts["month"] = str(_MONTHS.index(name.lower()) + 1)
    hour, minute = int(parts.get("hour") or 0), int(parts.get("minute") or parts.get("minute2") or 0)
    second = int(parts.get("second") or 0)
    if half := (parts.get("half") or "").lower().replace(".", ""):
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + 12 * (half == "pm")
    next_day = hour == 24 and not minute and not second
    day = dt.datetime(int(parts["year"] or 0), int(parts["month"] or 0), int(parts["day"] or 0),
                      0 if next_day else hour, minute, second)
    fraction = float(f"0.{parts.get('fraction') or 0}")
    return _Stamp(day + dt.timedelta(days=next_day, seconds=fraction), _offset(parts["zone"]))


def _offset(zone: str | None) -> float | None:
    if zone is None:
        return None
    digits = re.sub(r"^(UTC|GMT|Z)", "", zone.upper().replace("\u2212", "-")).replace(":", "")
    if not digits:
        return 0.0
    sign, number = (-1.0 if digits[0] == "-" else 1.0), digits[1:]
    hours, minutes = (number, "0") if len(number) <= 2 else (number[:-2], number[-2:])
    if int(hours) > 15 or int(minutes) > 59:
        raise ValueError(zone)
    return sign * (int(hours) + int(minutes) / 60)


def _counted(text: str) -> _Stamp | None:
    """Seconds, milli-, micro- or nanoseconds since 1970, UTC; or a spreadsheet's days since 1899-12-30."""
    if _EPOCH.fullmatch(text):
        whole = text.partition(".")[0]
        seconds = float(text) / 1000.0 ** max(0, (len(whole) - 9) // 3)  # 9 or 10 digits, and 3 more for each unit
        return _Stamp(dt.datetime(1970, 1, 1) + dt.timedelta(seconds=round(seconds, 3)), 0.0)
    if _SERIAL.fullmatch(text):
        return _Stamp(dt.datetime(1899, 12, 30) + dt.timedelta(seconds=round(float(text) * 86400)), None)
    return None


def offset_in_header(name: str) -> float | None:
    """Hours ahead of UTC that the header of a column of stamps says; None where it says nothing.

    >>> offset_in_header("time_utc"), offset_in_header("Time (UTC+8)"), offset_in_header("时间（北京时间）")
    (0.0, 8.0, 8.0)
    >>> offset_in_header("time (CST)"), offset_in_header("datetime")
    (8.0, None)
    """
    if _OF_CHINA.search(name):
        return CHINA_HOURS
    found = _IN_HEADER.search(name.replace("\u2212", "-"))
    if not found:
        return None
    try:
        return _offset(found["zone"].replace(" ", ""))
    except ValueError:
        return None


def on_the_hour(stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (n,) datetime64[ns] at full hours, and which are none (NaT counts as none); a second off is rounded."""
    half = np.timedelta64(30, "m")
    nearest = (stamps + half).astype("datetime64[h]").astype("datetime64[ns]")
    off = np.isnat(stamps) | (np.abs(stamps - nearest) > np.timedelta64(NEARLY))
    return nearest, off
