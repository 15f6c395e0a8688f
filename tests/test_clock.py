"""END stamps in UTC of calendar days in UTC+8, periods and their months, and what is no period."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.time_axis import Period

DAY = dt.date(2019, 3, 1)


def test_the_stamps_of_a_day_run_from_17_to_16_utc():
    hours = time_axis.hours_of_days(DAY, DAY)
    assert hours.dtype == "datetime64[ns]" and hours.shape == (24,)
    assert hours[0] == np.datetime64("2019-02-28T17") and hours[-1] == np.datetime64("2019-03-01T16")
    assert (np.diff(hours) == np.timedelta64(1, "h")).all()


def test_every_hour_of_a_day_ends_after_its_local_midnight():
    china = ZoneInfo("Asia/Shanghai")
    for stamp in time_axis.hours_of_days(DAY, DAY):
        begin = pd.Timestamp(stamp, tz="UTC") - pd.Timedelta(hours=1)
        assert begin.astimezone(china).date() == DAY


def test_local_days_undo_hours_of_days():
    hours = time_axis.hours_of_days(dt.date(2015, 12, 30), dt.date(2016, 3, 2))
    days = np.arange("2015-12-30", "2016-03-03", dtype="datetime64[D]")
    np.testing.assert_array_equal(time_axis.local_days(hours), days.repeat(24))


def test_local_midnight_belongs_to_the_day_that_ends():
    stamps = np.array(["2019-01-01T16", "2019-01-01T17"], "datetime64[ns]")
    assert time_axis.local_days(stamps).astype(str).tolist() == ["2019-01-01", "2019-01-02"]


@pytest.mark.parametrize("start", [
    "2019-01-31T22", np.datetime64("2019-01-31T22", "ns"), pd.Timestamp("2019-01-31 22")])
def test_complete_hours_include_both_ends(start):
    hours = time_axis.complete_hours(start, "2019-02-01T01")
    assert hours.astype("datetime64[h]").astype(str).tolist() == [
        "2019-01-31T22", "2019-01-31T23", "2019-02-01T00", "2019-02-01T01"]
    assert time_axis.complete_hours("2019-01-01T05", "2019-01-01T05").size == 1


@pytest.mark.parametrize("year, days", [(2016, 366), (2019, 365)])
def test_a_year(year, days):
    period = time_axis.parse_period(year, None, None)
    assert (period.n_days, len(period.hours), period.label) == (days, 24 * days, str(year))
    assert period.hours[0] == np.datetime64(f"{year - 1}-12-31T17")
    assert period.hours[-1] == np.datetime64(f"{year}-12-31T16")
    assert period == time_axis.parse_period(str(year), "", None)
    assert [month.n_days for month in period.months()] == [31, days - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def test_months_cut_a_period_without_gap_or_overlap():
    period = time_axis.parse_period(None, "2015-11-28", "2016-03-01")
    months = period.months()
    assert [(str(m.first), str(m.last)) for m in months] == [
        ("2015-11-28", "2015-11-30"), ("2015-12-01", "2015-12-31"), ("2016-01-01", "2016-01-31"),
        ("2016-02-01", "2016-02-29"), ("2016-03-01", "2016-03-01")]
    np.testing.assert_array_equal(np.concatenate([m.hours for m in months]), period.hours)
    assert [day for month in months for day in month.days()] == period.days()


def test_a_period_within_one_month_is_one_part():
    period = Period(dt.date(2019, 2, 10), dt.date(2019, 2, 12))
    assert period.months() == [period]
    assert period.label == "20190210-20190212"
    assert [day.day for day in period.days()] == [10, 11, 12]


def test_two_whole_years_are_not_labelled_as_one():
    assert Period(dt.date(2018, 1, 1), dt.date(2019, 12, 31)).label == "20180101-20191231"


@pytest.mark.parametrize("given, told", [
    (("20x6", None, None), "'20x6' is not a year"),
    (("16", None, None), "'16' is not a year"),
    (("", None, None), "'' is not a year"),
    (("2016", "2016-01-01", None), "--year 2016 was given together"),
    (("2016", None, "2016-01-31"), "--year 2016 was given together"),
    ((None, "2019-01-01", None), "No complete period"),
    ((None, None, None), "No complete period"),
    ((None, "2019-02-30", "2019-03-01"), "'2019-02-30' is not a day"),
    ((None, "2019-01-01", "31.1.2019"), "'31.1.2019' is not a day"),
    ((None, "2019-01-02", "2019-01-01"), "--end 2019-01-01 lies before --start 2019-01-02"),
    (("2012", None, None), "2012-01-01 to 2012-12-31 is outside"),
    (("0000", None, None), "is outside"),
    (("2100", None, None), "is outside"),
    ((None, "2012-12-31", "2013-01-05"), "is outside"),
])
def test_what_is_no_period_is_told_with_its_value(given, told):
    with pytest.raises(UserError) as error:
        time_axis.parse_period(*given)
    assert told in error.value.problem
    assert error.value.rule and error.value.fix


def test_the_first_day_of_the_network_is_allowed():
    assert time_axis.parse_period(None, " 2013-01-01 ", "2013-01-01").n_days == 1
