"""How many hours make a valid day: from the command line, through the plan, into the files."""

import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from typer.testing import CliRunner

from aqreanalysis import schema
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.models import uncertainty
from aqreanalysis.product import plan
from aqreanalysis.workflows import build

REQUEST = {"start": "2016-01-30", "end": "2016-01-31", "grid": "1deg"}


@pytest.fixture(autouse=True)
def no_archive(monkeypatch, tmp_path):
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path / "none"))


def test_the_command_line_hands_it_on(monkeypatch):
    asked = []

    def stop(request, watch):
        asked.append(request)
        raise UserError("far enough")

    monkeypatch.setattr(build, "build", stop)
    for words in (["--minimum-hours", "18"], []):
        CliRunner().invoke(app, ["build", "--year", "2016", *words])
    assert [request.minimum_hours for request in asked] == [18, None]


@pytest.mark.parametrize(("given", "expected"), [(None, 20), (18, 18), (24, 24)])
def test_the_plan_takes_it_or_the_recipes(tmp_path, given, expected):
    made = plan.prepare(plan.BuildRequest(**REQUEST, minimum_hours=given, out=str(tmp_path / "out")))
    assert made.about.minimum_hours == made.job.minimum_hours == made.identity["minimum_hours"] == expected


@pytest.mark.parametrize("given", [0, 25, -1])
def test_what_no_day_has_is_refused(given):
    with pytest.raises(UserError, match=f"--minimum-hours {given} .*1 to 24"):
        plan.prepare(plan.BuildRequest(**REQUEST, minimum_hours=given))


def test_the_daily_file_says_it_three_times(tmp_path):
    grid = samples.grid("regular", tmp_path)
    with xr.open_dataset(samples.daily_file(tmp_path / "d.nc", grid)) as file:
        assert file.attrs["minimum_hours_per_day"] == samples.about().minimum_hours == 18
        assert file.pm25.attrs["cell_methods"] == (
            "time: mean (interval: 1 hour comment: at least 18 of them observed) area: point")
        assert "fewer than 18 observed hours is missing" in file.pm25.attrs["comment"]
        assert "18 of its 24 hours" in file.number_of_hours.attrs["comment"]
        assert "a station that the estimate is made from reported" in file.number_of_hours.attrs["long_name"]
    with xr.open_dataset(samples.hourly_file(tmp_path / "h.nc", grid)) as file:
        assert "minimum_hours_per_day" not in file.attrs


def test_a_day_is_valid_from_that_many_hours_on():
    """Three places with 17, 18 and 24 hours of 1, 2, 3 ... ug m-3: the mean of 1 ... n is (n + 1) / 2."""
    hours = np.arange(1.0, 25.0)[:, None] * np.ones(3)
    for place, n in enumerate((17, 18, 24)):
        hours[n:, place] = np.nan
    found = uncertainty.daily(hours, np.ones_like(hours), np.zeros(hours.shape, np.int8), 18,
                              uncertainty.exponential_correlation(6.5))
    assert found["number_of_hours"][0].tolist() == [17, 18, 24]
    np.testing.assert_array_equal(found["pm25"][0], np.float32([np.nan, 9.5, 12.5]))


def test_hours_that_nobody_observed_are_in_the_mean_and_do_not_count():
    """24 estimates of 1 ... 24 ug m-3 at four places, of which 24, 18, 17 and 1 hours were observed; 18 are needed."""
    hours = np.arange(1.0, 25.0)[:, None] * np.ones(4)
    observed = np.arange(24)[:, None] < [24, 18, 17, 1]
    found = uncertainty.daily(hours, np.ones_like(hours), np.zeros(hours.shape, np.int8), 18,
                              uncertainty.exponential_correlation(6.5), observed)
    assert found["number_of_hours"][0].tolist() == [24, 18, 17, 1]
    np.testing.assert_array_equal(found["pm25"][0], np.float32([12.5, 12.5, np.nan, np.nan]))
    assert found["quality_flag"][0].tolist() == [0, 0, schema.NO_OBSERVATIONS, schema.NO_OBSERVATIONS]
