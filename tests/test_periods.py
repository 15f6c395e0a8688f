"""Calendar periods in UTC+8: which days belong to them, how they are called, what a product lacks of them."""

import numpy as np
import pytest

from aqreanalysis import periods, time_axis
from aqreanalysis.errors import UserError

DAYS = np.arange("2019-11-29", "2020-03-02", dtype="datetime64[D]")  # over a new year and a leap day


@pytest.mark.parametrize("every, expected", [
    ("month", ["2019-11 2019-11-01 2019-11-30", "2019-12 2019-12-01 2019-12-31", "2020-01 2020-01-01 2020-01-31",
               "2020-02 2020-02-01 2020-02-29", "2020-03 2020-03-01 2020-03-31"]),
    ("season", ["2019-SON 2019-09-01 2019-11-30", "2020-DJF 2019-12-01 2020-02-29", "2020-MAM 2020-03-01 2020-05-31"]),
    ("year", ["2019 2019-01-01 2019-12-31", "2020 2020-01-01 2020-12-31"]),
    ("all", ["20191129-20200301 2019-11-29 2020-03-01"]),
])
def test_periods_are_whole_and_a_winter_has_the_year_of_its_january(every, expected):
    found = periods.periods_of(every, DAYS[::-1])
    assert [f"{period.label} {period.first} {period.last}" for period in found] == expected
    for day in DAYS:  # each day belongs to exactly one, which begins with the first day that is told
        owner = [period for period in found if period.has(np.array([day]))[0]]
        assert len(owner) == 1
        assert every == "all" or np.datetime64(owner[0].first) == periods.first_days(every, np.array([day]))[0]


def test_every_season_has_its_name():
    days = np.array([f"2019-{month:02d}-15" for month in range(1, 13)], "datetime64[D]")
    names = [periods.periods_of("season", day)[0].label for day in days[:, None]]
    assert names == (["2019-DJF"] * 2 + ["2019-MAM"] * 3 + ["2019-JJA"] * 3 + ["2019-SON"] * 3 + ["2020-DJF"])


def test_each_day_is_a_period_and_what_is_lacking_is_told():
    assert [period.label for period in periods.periods_of("day", DAYS[:2])] == ["2019-11-29", "2019-11-30"]
    assert periods.incomplete(periods.periods_of("season", DAYS), DAYS) == [
        "2019-SON has 2 of its 91 days", "2020-MAM has 1 of its 92 days"]
    assert periods.incomplete(periods.periods_of("month", DAYS[2:-1]), DAYS) == []


@pytest.mark.parametrize("every", periods.EVERY)
def test_stamps_mark_the_end_of_the_hour_in_utc(every):
    """The first hour of 1 January 2020 in UTC+8 ends at 17:00 UTC of 31 December; the hour before is last year's."""
    stamps = np.array(["2019-12-31T16", "2019-12-31T17"], "datetime64[h]")
    begins = {"hour": ["2019-12-31T15", "2019-12-31T16"], "day": ["2019-12-30T16", "2019-12-31T16"],
              "month": ["2019-11-30T16", "2019-12-31T16"], "season": ["2019-11-30T16"] * 2,
              "year": ["2018-12-31T16", "2019-12-31T16"], "all": ["2019-12-30T16"] * 2}
    np.testing.assert_array_equal(periods.begins_of(every, stamps), np.array(begins[every], "datetime64[h]"))


def test_bounds_are_those_of_the_hours():
    period = periods.periods_of("month", DAYS[:1])[0]
    hours = time_axis.hours_of_days(period.first, period.last)
    np.testing.assert_array_equal(period.bounds, np.array([hours[0] - time_axis.HOUR, hours[-1]], "datetime64[h]"))
    assert len(hours) == 720


def test_what_is_no_period_is_refused():
    for every in ("week", "", "Month"):
        with pytest.raises(UserError, match="day, month, season, year, all"):
            periods.periods_of(every, DAYS)
    with pytest.raises(UserError, match="has no day from 2018-01-01 to 2018-01-31.*2019-11-29 to 2020-03-01"):
        periods.check_has("p", time_axis.parse_period(None, "2018-01-01", "2018-01-31"), DAYS)
