"""Limits of PM2.5 that days are counted against, and the classes of China's index.

GB 3095-2012: 24 h limits of 35 (grade I) and 75 ug m-3 (grade II); an annual mean needs 324 daily means, a monthly one
27, of a February 25 (its table 4). WHO Global Air Quality Guidelines 2021: 24 h level of 15, interim targets 4 to 1 of
25, 37.5, 50 and 75 ug m-3. HJ 633-2012: classes of the 24 h mean of PM2.5, each with its upper end. HJ 663-2013: annual
evaluation by the mean of daily means and their 98th percentile, linear between two days.
"""

from __future__ import annotations

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.periods import CalendarPeriod

DAYS_ABOVE = (15.0, 25.0, 35.0, 37.5, 50.0, 75.0)
PERCENTILES = (98.0,)
AQI_CLASSES = ("excellent", "good", "lightly_polluted", "moderately_polluted", "heavily_polluted", "severely_polluted")
AQI_LIMITS = (35.0, 75.0, 115.0, 150.0, 250.0)  # ug m-3: between a class and the next, and of the class before
DAYS_OF_YEAR, DAYS_OF_MONTH, DAYS_OF_FEBRUARY = 324, 27, 25
HIGHEST = 2000.0   # ug m-3; above it nothing is believed to be measured
MOST_LIMITS = 20


def days_required(period: CalendarPeriod) -> int:
    """How many daily means make a period's mean valid by GB 3095-2012; of other periods than a year, month by month."""
    if period.whole_year:
        return DAYS_OF_YEAR
    required = 0
    for month in period.months():
        whole = DAYS_OF_FEBRUARY if month.first.month == 2 else DAYS_OF_MONTH
        required += -(-whole * month.n_days // _length(month.first))
    return required


def _length(day) -> int:
    month = np.datetime64(day, "M")
    return int(((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int))


def name_of(number: float) -> str:
    """A number as a part of a name: 75, 37p5."""
    return f"{number:g}".replace(".", "p")


def parse_numbers(text: str | None, option: str, default: tuple[float, ...], low: float = 0.0,
                  high: float = HIGHEST) -> tuple[float, ...]:
    """Numbers between `low` and `high` of an option, "35,75,15", ascending; UserError for what is none."""
    if text is None:
        return default
    rule = f"{option} takes at most {MOST_LIMITS} numbers between {low:g} and {high:g} with commas between them."
    try:
        numbers = sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise UserError(f"{option} {text} is not a list of numbers.", rule, f"Example: {option} 35,75.") from None
    if len(numbers) > MOST_LIMITS or not all(low < number < high for number in numbers):
        raise UserError(f"{option} {text} is out of range.", rule, f"Example: {option} 35,75.")
    return tuple(numbers)
