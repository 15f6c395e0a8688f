"""The offset of stamps without one: how it is written, and that it goes wherever observations are opened."""

import pytest
from typer.testing import CliRunner

from aqreanalysis import time_axis
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.product import plan
from aqreanalysis.recipes import TrainingRecipe


@pytest.mark.parametrize("text, hours", [
    (None, None), ("8", 8.0), ("+8", 8.0), ("8:00", 8.0), ("+08:00", 8.0), ("UTC+8", 8.0), ("utc", 0.0), ("5.5", 5.5),
    ("+0530", 5.5), ("-3:30", -3.5), ("−3.5", -3.5), (" 8 ", 8.0), (9.0, 9.0), ("-12", -12.0), ("14", 14.0)])
def test_ways_to_write_an_offset(text, hours):
    """Those that people use; U+2212 is the minus of typesetters."""
    assert time_axis.parse_utc_offset(text) == hours


@pytest.mark.parametrize("text", ["", "eight", "Asia/Shanghai", "15", "-12.5", "8:75", "800", "+8h", "28800", "nan"])
def test_what_is_no_offset_is_told(text):
    """Never a guess."""
    with pytest.raises(UserError, match="--utc-offset"):
        time_axis.parse_utc_offset(text)


def test_every_command_that_opens_observations_has_the_option():
    """And refuses what is none before it does anything."""
    for words in (["build", "--start", "2019-01-11", "--end", "2019-01-12"], ["describe", "nowhere"],
                  ["ingest", "nowhere", "--to", "a.nc"],
                  ["evaluate", "--observations", "nowhere", "--start", "2019-01-11", "--end", "2019-01-12"]):
        result = CliRunner().invoke(app, [*words, "--utc-offset", "noon"])
        assert isinstance(result.exception, UserError) and "'noon'" in str(result.exception), words


def test_a_layout_whose_stamps_have_one_rule_refuses_it(tmp_path):
    """The offset of the request reaches the reader."""
    (tmp_path / "china_sites_20190111.csv").write_text("date,hour,type,1001A\n20190111,0,PM2.5,5\n")
    (tmp_path / "stations.csv").write_text("station_id,lon,lat\n1001A,116.4,39.9\n")
    with pytest.raises(UserError, match="--utc-offset"):
        plan.prepare(plan.BuildRequest(start="2019-01-11", end="2019-01-11", observations=str(tmp_path),
                                       utc_offset="8:00"))


def test_recipes_have_the_key():
    """An offset of 8:00 is 480 to YAML: out of range, not a guess."""
    recipe = {"name": "a", "observations": "here", "start": "2019-01-01", "end": "2019-01-31"}
    assert TrainingRecipe(**recipe, utc_offset=8).files.utc_offset == 8.0
    with pytest.raises(ValueError, match="14"):
        TrainingRecipe(**recipe, utc_offset=480)


@pytest.mark.parametrize("words, told", [
    (["evaluate", "nowhere", "--utc-offset", "8", "--quick"], "--utc-offset, --quick have no use with a run folder"),
    (["describe", "nowhere", "--verify", "--stations", "x.csv"], "--stations has no use with --verify"),
    (["describe", "aqnet-north-china-2019", "--stations", "x.csv"], "station table x.csv was given with a checkpoint"),
    (["train", "forecast-beijing-24h", "--calibrate", "x"], "--calibrate has no use with a forecast recipe")])
def test_an_option_without_use_is_refused(words, told):
    """And none is left aside without a word."""
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError) and told in str(result.exception)


def test_the_twin_refuses_options_of_files(tmp_path, monkeypatch):
    """A build that finds no observations would ignore them."""
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path))
    for option in ({"stations": "x.csv"}, {"utc_offset": "8"}):
        with pytest.raises(UserError, match="the built-in twin"):
            plan.prepare(plan.BuildRequest(start="2019-01-11", end="2019-01-11", **option))
