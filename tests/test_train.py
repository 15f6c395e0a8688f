"""From a recipe to a run folder: what is withheld reaches nothing that is fitted, and a run can be read back."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import lively_network, small_sizes
from typer.testing import CliRunner

from aqreanalysis import time_axis
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.checkpoint import WEIGHTS, AnalysisFacts, Card
from aqreanalysis.observations import quality
from aqreanalysis.recipes import AnalysisTraining, TrainingRecipe
from aqreanalysis.time_axis import Period
from aqreanalysis.training.analysis_data import hours_of, load_analysis_data, training_days
from aqreanalysis.training.validation import error_memory
from aqreanalysis.workflows.train_analysis import recalibrate, train

pytestmark = pytest.mark.usefixtures("one_thread")

WITHHELD = ("test_single", "test_city", "validation_single", "validation_city")
TINY = AnalysisTraining(steps=2, samples_per_step=3, targets_per_sample=4, learning_rate=1e-2, k=4, views=2,
                        renew_every=20, hidden_places=1, hidden_radius_km=(30.0, 60.0), validate_every=1)


# --- what is withheld


def test_withheld_weeks_by_hand():
    """Weeks begin on Thursdays, as 1970-01-01 did; 2019-01-10 is day 17906 = 7 * 2558."""
    assert (dt.date(2019, 1, 10) - dt.date(1970, 1, 1)).days == 7 * 2558
    days = training_days(Period(dt.date(2019, 1, 5), dt.date(2019, 1, 18)), 2)
    expected = [f"2019-01-{day:02}" for day in (5, 6, 7, 8, 9, 17, 18)]
    np.testing.assert_array_equal(days, np.array(expected, "datetime64[D]"))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 20000))
def test_one_week_in_so_many_is_withheld(nth, first):
    days = (np.datetime64("1970-01-01") + first) + np.arange(7 * nth)
    assert time_axis.withheld_weeks(days, nth).sum() == 7


def rows(values=None):
    """A tidy table of 14 days at ten towns of three stations; `values` (hours, stations) of PM2.5."""
    rng = np.random.default_rng(0)
    hours = time_axis.hours_of_days(dt.date(2019, 1, 5), dt.date(2019, 1, 18))
    lat = np.repeat(np.linspace(31, 41, 10), 3) + np.tile([0, 0.05, 0.1], 10)
    lon = np.repeat(rng.uniform(110, 120, 10), 3)
    pm25 = rng.gamma(4.0, 15.0, (len(hours), 30))
    pm25 = pm25 if values is None else values(hours, pm25)
    n = len(hours)
    return pd.DataFrame({"station_id": np.tile([f"S{i:02}" for i in range(30)], n), "time": np.repeat(hours, 30),
                         "lat": np.tile(lat, n), "lon": np.tile(lon, n), "pm25": pm25.ravel(),
                         "no2": (0.5 * pm25).ravel()})


def recipe(folder, **changed):
    facts = {"name": "small", "observations": str(folder), "start": "2019-01-05", "end": "2019-01-18",
             "network": small_sizes().asdict(),
             "withheld": {"share_single": 0.1, "share_city": 0.1, "every_nth_week": 2},
             "training": TINY.model_dump()}
    return TrainingRecipe(**facts | changed)


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    rows().to_parquet(folder / "rows.parquet")
    return folder


def test_test_stations_and_withheld_weeks_reach_neither_scaler_nor_validation(archive):
    """Without the tests of series, which look a week around: the next test is of those."""
    first = {"exclude": quality.TESTS}
    data = load_analysis_data(recipe(archive, quality=first))
    split = data.split
    assert split.test_single and split.test_city and split.validation_single and split.validation_city
    assert not set(split.test) & set(data.validation.station.values)
    assert set(data.train.station.values) == set(split.train)
    assert set(data.validation.station.values) == set(split.train + split.validation)

    def changed(hours, pm25):
        withheld = np.isin(time_axis.local_days(hours), np.arange("2019-01-10", "2019-01-17", dtype="datetime64[D]"))
        taken = np.isin([f"S{i:02}" for i in range(30)], split.test)
        return np.where(withheld[:, None] | taken[None], 900.0, pm25)

    rows(changed).to_parquet(archive / "rows.parquet")
    other = load_analysis_data(recipe(archive, quality=first))
    assert other.split == split and other.fingerprint != data.fingerprint
    assert other.scaler() == data.scaler()
    hours = hours_of(data.validation, data.days)
    xr.testing.assert_identical(other.validation.sel(time=hours), data.validation.sel(time=hours))


def test_withheld_stations_have_no_part_in_the_flags_of_others(archive):
    data = load_analysis_data(recipe(archive))
    taken = np.isin([f"S{i:02}" for i in range(30)], data.split.test + data.split.validation)
    rows(lambda hours, pm25: np.where(taken[None], 900.0 - pm25, pm25)).to_parquet(archive / "rows.parquet")
    other = load_analysis_data(recipe(archive))
    assert other.split == data.split
    xr.testing.assert_identical(other.train, data.train)


def test_a_training_station_in_a_training_week_does_reach_the_scaler(archive):
    """So the test above could fail."""
    data = load_analysis_data(recipe(archive))
    number = int(data.split.train[0][1:])

    def changed(hours, pm25):
        pm25[time_axis.local_days(hours) == np.datetime64("2019-01-07"), number] = 900.0
        return pm25

    rows(changed).to_parquet(archive / "rows.parquet")
    assert load_analysis_data(recipe(archive)).scaler() != data.scaler()


def test_a_run_is_a_folder_with_a_checkpoint(archive, tmp_path):
    reports = []
    folder = train(recipe(archive), tmp_path / "run", lambda validation, table: reports.append(validation))
    model, card = checkpoint.load(folder)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["recipe.yaml", "small", "validation.csv"]
    assert [report.step for report in reports] == [1, 2] and card.training["steps"] in (1, 2)
    split = load_analysis_data(recipe(archive)).split
    assert card.withheld == {name: list(getattr(split, name)) for name in card.withheld}
    assert card.scaler == dataclasses.asdict(load_analysis_data(recipe(archive)).scaler())
    assert (card.k, model.k, card.network) == (4, 4, small_sizes().asdict())
    table = pd.read_csv(tmp_path / "run" / "validation.csv")
    assert set(table.model) == {"kriging", "AQ-Net"} and set(table.group) == {"single stations", "whole cities"}
    assert (table.n > 0).all() and np.isfinite(table.MAE).all()
    assert model.calibration is not None and set(card.calibration) == {"hourly", "daily", "correlation", "facts"}
    facts = card.calibration["facts"]
    assert facts["stations"] == len(split.validation) and facts["at_other_towns"]["hourly"]["all"]["n"] > 0
    assert TrainingRecipe.model_validate(yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text()))


def test_a_checkpoint_is_calibrated_again(archive, tmp_path):
    """The network keeps its weights; test stations have no part in the factors."""
    made = recipe(archive)
    data = load_analysis_data(made)
    network, sizes = lively_network(), small_sizes().asdict()
    card = Card(name="small", kind="aqnet-analysis", created="2026-01-31", network=sizes,
                scaler=dataclasses.asdict(data.scaler()), k=4, variables=["pm25"],
                analysis=AnalysisFacts({}, {}, 5.0), training={}, versions={},
                withheld={name: list(getattr(data.split, name)) for name in WITHHELD})
    before = checkpoint.save(tmp_path / "before", network, card)
    folder = recalibrate(made, before, tmp_path / "after")
    found = checkpoint.read_card(folder)
    assert folder == tmp_path / "after" / "small" and found.calibration and not checkpoint.read_card(before).calibration
    assert dataclasses.replace(found, calibration={}) == checkpoint.read_card(before)
    assert (folder / WEIGHTS).read_bytes() == (before / WEIGHTS).read_bytes()

    taken = np.isin([f"S{i:02}" for i in range(30)], data.split.test)
    rows(lambda hours, pm25: np.where(taken[None], 900.0 - pm25, pm25)).to_parquet(archive / "rows.parquet")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
    command = ["train", str(tmp_path / "small.yaml"), "--calibrate", str(before), "--out", str(tmp_path / "again")]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0 and "again/small" in "".join(result.output.split())
    assert checkpoint.read_card(tmp_path / "again" / "small").calibration == found.calibration
    with pytest.raises(UserError, match="not empty"):
        recalibrate(made, before, tmp_path / "again")
    other = recipe(archive, withheld={"seed": 1, "share_single": 0.1, "share_city": 0.1, "every_nth_week": 2})
    with pytest.raises(UserError, match="withholds other stations") as caught:
        recalibrate(other, before, tmp_path / "other")
    assert caught.value.rule and caught.value.fix and not (tmp_path / "other").exists()


@pytest.mark.parametrize("changed, message", [
    ({"network": {"breadth": 3}}, "breadth"),
    ({"withheld": {"share_single": 0.39, "share_city": 0.1}}, "stations are left"),
    ({"start": "2018-01-05", "end": "2018-01-18"}, "no PM2.5"),
])
def test_recipes_that_cannot_be_trained(archive, tmp_path, changed, message):
    with pytest.raises(UserError, match=message) as caught:
        train(recipe(archive, **changed), tmp_path / "run", print)
    assert caught.value.rule and caught.value.fix and not (tmp_path / "run").exists()


def test_a_run_folder_is_not_written_into_twice(archive, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        train(recipe(archive), tmp_path / "run", print)


# --- the memory of the error


def sums_of(daily: float, hourly: float, n: int = 240):
    """Sums of squared errors whose means are `daily` and `hourly`."""
    return xr.Dataset({"n": (("frequency", "model", "station"), [[[n]], [[n // 24]]]),
                       "error_squared": (("frequency", "model", "station"), [[[hourly * n]], [[daily * (n // 24)]]])},
                      coords={"frequency": ["hourly", "daily"], "model": ["AQ-Net"], "station": ["S0"]})


@pytest.mark.parametrize("memory", [0.5, 3.0, 8.0, 60.0, 400.0])
def test_error_memory_is_found_again(memory):
    """The variance of the mean of 24 errors correlated as r^lag is (24 + 2 sum (24 - lag) r^lag) / 24^2."""
    r = np.exp(-1 / memory)
    ratio = (24 + 2 * sum((24 - lag) * r**lag for lag in range(1, 24))) / 24**2
    assert error_memory(sums_of(daily=50.0 * ratio, hourly=50.0)) == pytest.approx(memory, rel=1e-6)


@pytest.mark.parametrize("ratio", [0.01, 1.2])
def test_a_ratio_that_no_memory_explains(ratio):
    assert error_memory(sums_of(daily=ratio, hourly=1.0)) == 24.0
