"""From a recipe to a run folder: what is withheld reaches nothing that is fitted, and a run can be read back."""

import dataclasses
import datetime as dt
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import small_sizes
from typer.testing import CliRunner

from aqreanalysis import time_axis
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.checkpoint import WEIGHTS
from aqreanalysis.models.cross_fitting import NEVER_SEEN, NO_FOLD, training_folds
from aqreanalysis.recipes import AnalysisTraining, TrainingRecipe
from aqreanalysis.time_axis import Period
from aqreanalysis.training import cross_fit
from aqreanalysis.training.analysis_data import draw_folds, load_analysis_data, training_days
from aqreanalysis.workflows.train_analysis import recalibrate, train

pytestmark = pytest.mark.usefixtures("one_thread", "few_folds")

TINY = AnalysisTraining(steps=2, samples_per_step=3, targets_per_sample=4, learning_rate=1e-2, k=4, views=2,
                        renew_every=20, hidden_radius_km=30.0, report_every=1)
IDS = np.array([f"S{i:02}" for i in range(30)])


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


# --- folds


def test_cities_go_whole_to_the_smallest_fold():
    """The larger first: cities of 5, 3, 2 and 2 stations make folds of 5 + 2 and 3 + 2, or of 5 and 3 and 4."""
    cities = {f"{town}{number}": town for town, size in enumerate((2, 5, 2, 3)) for number in range(size)}
    two, three = ({fold: sorted({cities[s] for s in cities if made[s] == fold}) for fold in set(made.values())}
                  for made in (draw_folds(cities, folds, 0) for folds in (2, 3)))
    assert [1] in [towns[:1] for towns in two.values()] or [0, 1] in two.values()
    assert sorted(sum(cities[s] in towns for s in cities) for towns in two.values()) == [5, 7]
    assert sorted(three.values()) == [[0, 2], [1], [3]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=6, max_size=60), st.integers(2, 5), st.integers(0, 2**31))
def test_folds_are_of_whole_cities_about_equal_and_drawn_by_the_seed(cities, folds, seed):
    of = {f"S{number}": city for number, city in enumerate(cities)}
    made = draw_folds(of, folds, seed)
    assert list(made) == list(of) and draw_folds(of, folds, seed) == made
    assert len({(of[station], fold) for station, fold in made.items()}) == len(set(cities))
    sizes, largest = np.bincount(list(made.values()), minlength=folds), max(np.bincount(cities))
    assert sizes.sum() == len(of) and len(sizes) == folds and sizes.max() - sizes.min() <= largest
    assert all(fold >= 0 for fold in made.values())


def test_another_seed_makes_other_folds():
    cities = {f"S{number}": number for number in range(20)}
    assert draw_folds(cities, 4, 1) != draw_folds(cities, 4, 2)


@pytest.mark.parametrize("folds", [0, 1])
def test_one_fold_is_none(folds):
    assert draw_folds({"a": 3, "b": 4}, folds, 0) == {"a": NO_FOLD, "b": NO_FOLD}


# --- what training looks at


def rows(values=None):
    """A tidy table of 14 days at ten towns of three stations; `values` (hours, stations) of PM2.5."""
    rng = np.random.default_rng(0)
    hours = time_axis.hours_of_days(dt.date(2019, 1, 5), dt.date(2019, 1, 18))
    lat = np.repeat(np.linspace(31, 41, 10), 3) + np.tile([0, 0.05, 0.1], 10)
    lon = np.repeat(rng.uniform(110, 120, 10), 3)
    pm25 = rng.gamma(4.0, 15.0, (len(hours), 30))
    pm25 = pm25 if values is None else values(hours, pm25)
    n = len(hours)
    return pd.DataFrame({"station_id": np.tile(IDS, n), "time": np.repeat(hours, 30), "lat": np.tile(lat, n),
                         "lon": np.tile(lon, n), "pm25": pm25.ravel(), "no2": (0.5 * pm25).ravel()})


def recipe(folder, **changed):
    facts = {"name": "small", "observations": str(folder), "start": "2019-01-05", "end": "2019-01-18",
             "network": {name: size for name, size in small_sizes().asdict().items() if name != "covariates"},
             "withheld": {"share_single": 0.1, "share_city": 0.1, "every_nth_week": 2}, "folds": 2,
             "training": TINY.model_dump()}
    return TrainingRecipe(**facts | changed)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder of observations; nobody changes it."""
    folder = tmp_path_factory.mktemp("trained") / "archive"
    folder.mkdir()
    rows().to_parquet(folder / "rows.parquet")
    return folder


@pytest.fixture(scope="module")
def data(archive):
    """What the recipe as it is trains on."""
    return load_analysis_data(recipe(archive))


def with_other_values(folder, stations):
    """An archive in a folder with other PM2.5 at some stations."""
    taken = np.isin(IDS, list(stations))
    rows(lambda hours, pm25: np.where(taken, 900.0 - pm25, pm25)).to_parquet(folder / "rows.parquet")
    return folder


def test_parts_of_the_stations(data):
    """The main network is trained on all that are not withheld, that of a fold on those of the other folds."""
    split = data.split
    assert split.test_single and split.test_city and split.validation_single and split.validation_city
    assert set(data.stations_of(None)) == set(split.train) == set(data.folds) and set(data.folds.values()) == {0, 1}
    assert set(data.held_out(None)) == set(split.test + split.validation)
    for fold in (0, 1):
        own = {station for station in split.train if data.folds[station] == fold}
        assert own and set(data.stations_of(fold)) == set(split.train) - own
        assert set(data.held_out(fold)) == set(IDS) - set(data.stations_of(fold))
        cube = data.cube(data.held_out(fold))
        assert set(cube.station.values) == set(data.stations_of(fold)) and list(cube.data_vars) == ["pm25"]
    towns = data.city(IDS)
    np.testing.assert_array_equal(towns, np.repeat(towns[::3], 3))
    assert len({(town, data.folds[s]) for s, town in zip(IDS, towns, strict=True) if s in data.folds}) == len(
        {town for s, town in zip(IDS, towns, strict=True) if s in data.folds})
    assert data.cube(()).time.values[0] == data.period.hours[0] - 372 * time_axis.HOUR


def test_a_station_that_is_held_out_can_be_asked_for_all_the_same(data):
    """Its values are screened beside the others, whose flags it has no part in."""
    out, keep = data.held_out(0), data.split.validation
    kept, without = data.cube(out, keep), data.cube(out)
    assert set(kept.station.values) == set(without.station.values) | set(keep)
    xr.testing.assert_identical(kept.sel(station=without.station), without)
    pm25 = rows().pivot(index="time", columns="station_id", values="pm25")[list(keep)].astype(np.float32)
    found = kept.pm25.sel(time=pm25.index.values, station=list(keep)).values
    assert np.isfinite(found).mean() > 0.9
    np.testing.assert_array_equal(found[np.isfinite(found)], pm25.values[np.isfinite(found)])


@pytest.mark.parametrize("fold", [None, 0, 1])
def test_what_is_held_out_changes_nothing_that_a_network_is_trained_on(data, tmp_path, fold):
    """Test and validation stations, and those of its fold: neither values of others, nor their flags, nor the draw."""
    other = load_analysis_data(recipe(with_other_values(tmp_path, data.held_out(fold))))
    assert other.fingerprint != data.fingerprint and other.split == data.split and other.folds == data.folds
    xr.testing.assert_identical(other.cube(other.held_out(fold)), data.cube(data.held_out(fold)))


def test_a_station_of_the_other_fold_does_reach_it(data, tmp_path):
    """So the test above could fail."""
    other = dataclasses.replace(data, recipe=recipe(with_other_values(tmp_path, data.stations_of(1)[:1])))
    assert not other.cube(data.held_out(1)).identical(data.cube(data.held_out(1)))


# --- a run


@pytest.fixture(scope="module")
def ran(archive):
    """The recipe and run folder of a training with two folds, what it reported, and all of its days asked."""
    place, made, reports = archive.parent, recipe(archive), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_fit, "EVERY_DAYS", 2)
        train(made, place / "run", reports.append)
    return made, place / "run", reports


@pytest.fixture(autouse=True)
def more_days(monkeypatch):
    monkeypatch.setattr(cross_fit, "EVERY_DAYS", 2)


def test_a_run_is_a_folder_with_a_checkpoint_and_networks_of_folds(ran):
    made, run, reports = ran
    assert sorted(path.name for path in run.iterdir()) == ["recipe.yaml", "small", "small-uncalibrated"]
    assert sorted(path.name for path in (run / "small").iterdir()) == ["checkpoint.json", "fold-0", "fold-1", WEIGHTS]
    assert [text.split(":")[0] for text in reports[:3]] == ["main network", "fold 0", "fold 1"]
    assert any("single stations, hourly" in text and "skill" in text for text in reports[3:])
    log = pd.read_csv(run / "small" / "fold-1" / "training.csv")
    assert list(log.step) == [1, 2] and np.isfinite(log.loss).all()
    assert TrainingRecipe.model_validate(yaml.safe_load((run / "recipe.yaml").read_text())) == made


def test_the_card_says_what_was_trained_on_and_what_was_not(ran, data):
    _, run, _ = ran
    model, card = checkpoint.load(run / "small")
    assert (card.k, model.k, card.network) == (4, 4, small_sizes().asdict()) and card.training["steps"] == 2
    assert card.withheld == {name: list(getattr(data.split, name)) for name in card.withheld}
    assert {station: fold for station, _, _, fold in card.analysis.stations} == data.folds
    assert card.training["stations"] == len(data.split.train)
    assert (model.correlation.range_km, model.correlation.nugget) == (250.0, 0.04)
    table = data.table.set_index("station_id").loc[IDS]
    expected = [data.folds.get(station, NEVER_SEEN) for station in IDS]
    assert training_folds(card, table.lat, table.lon, [f"new {station}" for station in IDS]).tolist() == expected
    for fold in (0, 1):
        of_fold, described = checkpoint.load(run / "small", fold=fold)
        assert [station for station, *_ in described.analysis.stations] == list(data.stations_of(fold))
        assert card.analysis.folds[fold] == described.identity and described.withheld == card.withheld
        assert of_fold.calibration is None and described.weights_sha256 != card.weights_sha256
        assert described.training["stations"] == len(data.stations_of(fold))


def test_the_card_has_a_calibration_and_scores_of_stations_that_no_network_saw(ran, data):
    _, run, _ = ran
    model, card = checkpoint.load(run / "small")
    trained = len(data.split.train)
    assert model.calibration is not None
    assert set(card.calibration) == {"hourly", "daily", "correlation", "facts", "errors"}
    facts = card.calibration["facts"]
    assert facts["stations"] == trained and (facts["first"], facts["last"]) == ("2019-01-05", "2019-01-18")
    assert facts["at_other_towns"]["hourly"]["all"]["n"] > 0 and facts["in_other_weeks"]["daily"]["all"]["n"] > 0
    rows_of = {(row["design"], row["frequency"]): row for row in card.scores["held_out_stations"]}
    assert {("single stations", "hourly"), ("whole cities", "daily")} <= set(rows_of)
    assert rows_of["single stations", "daily"]["n"] <= trained * 4  # of 7 days every second is asked
    assert all(np.isfinite(row["MAE"]) and np.isfinite(row["MAE_kriging"]) for row in rows_of.values())
    assert card.analysis.error_memory_hours > 0


def without_times(card):
    return dataclasses.replace(card, training=card.training | {"seconds": 0}, created="")


def test_a_run_that_was_stopped_goes_on(ran, tmp_path):
    """What is there stays as it is, what is missing is the same as in a run that was not stopped."""
    made, run, _ = ran
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "small" / "fold-1")
    for name in ("checkpoint.json", WEIGHTS):
        (tmp_path / "run" / "small" / name).unlink()
    (tmp_path / "run" / "small" / "fold-1").mkdir()  # stopped within its training
    (tmp_path / "run" / "small" / "fold-1" / "training.csv").write_text("step,loss,minutes\n")
    reports = []
    folder = train(made, tmp_path / "run", reports.append)
    assert [text.partition(": ")[2][:13] for text in reports[:3]] == ["there already", "there already", "trained in 0."]
    for part in ("", "fold-0", "fold-1"):
        assert (folder / part / WEIGHTS).read_bytes() == (run / "small" / part / WEIGHTS).read_bytes()
        found, expected = (checkpoint.read_card(one / part) for one in (folder, run / "small"))
        assert without_times(found) == without_times(expected)
    unharmed = tmp_path / "run" / "small-uncalibrated" / "checkpoint.json"
    assert unharmed.read_bytes() == (run / "small-uncalibrated" / "checkpoint.json").read_bytes()


def test_a_run_folder_takes_one_recipe(ran, tmp_path):
    made, run, _ = ran
    before = (run / "small" / "checkpoint.json").read_bytes()
    other = made.model_copy(update={"folds": 3})
    with pytest.raises(UserError, match="another recipe") as caught:
        train(other, run)
    assert caught.value.rule and "--out" in caught.value.fix
    assert (run / "small" / "checkpoint.json").read_bytes() == before
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        train(made, tmp_path)


def test_a_checkpoint_is_calibrated_again(ran, data, tmp_path):
    """The networks keep their weights; test stations have no part in the factors."""
    _, run, _ = ran
    (tmp_path / "archive").mkdir()
    made, before = recipe(with_other_values(tmp_path / "archive", data.split.test)), run / "small"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
    command = ["train", str(tmp_path / "small.yaml"), "--calibrate", str(before), "--out", str(tmp_path / "again")]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0 and "again/small" in "".join(result.output.split())
    for part in ("", "fold-0", "fold-1"):
        assert (tmp_path / "again" / "small" / part / WEIGHTS).read_bytes() == (before / part / WEIGHTS).read_bytes()
        assert checkpoint.read_card(tmp_path / "again" / "small" / part) == checkpoint.read_card(before / part)
    with pytest.raises(UserError, match="not empty"):
        recalibrate(made, before, tmp_path / "again")


def test_a_station_of_a_fold_has_a_part_in_the_calibration(ran, data, tmp_path):
    """So the test above could fail."""
    (tmp_path / "archive").mkdir()
    made = recipe(with_other_values(tmp_path / "archive", data.split.train[:1]))
    folder = recalibrate(made, ran[1] / "small", tmp_path / "again")
    assert checkpoint.read_card(folder).calibration != checkpoint.read_card(ran[1] / "small").calibration


@pytest.mark.parametrize("changed", [
    {"withheld": {"seed": 1, "share_single": 0.1, "share_city": 0.1, "every_nth_week": 2}}, {"folds": 0}])
def test_a_checkpoint_is_calibrated_by_its_own_recipe_alone(ran, tmp_path, changed):
    made, run, _ = ran
    other = recipe(made.observations, **changed)
    with pytest.raises(UserError, match="withholds other stations.*or has other folds") as caught:
        recalibrate(other, run / "small", tmp_path / "other")
    assert caught.value.rule and caught.value.fix and not (tmp_path / "other").exists()


def test_without_folds_a_network_is_calibrated_at_the_validation_stations(archive, data, tmp_path):
    folder = train(recipe(archive, folds=0), tmp_path / "run")
    card = checkpoint.read_card(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.json", WEIGHTS]
    assert card.analysis.folds == [] and {fold for *_, fold in card.analysis.stations} == {NO_FOLD}
    assert card.calibration["facts"]["stations"] == len(data.split.validation)


@pytest.mark.parametrize("changed, message", [
    ({"network": {"breadth": 3}}, "breadth"),
    ({"network": {"covariates": 3}}, "covariates"),
    ({"withheld": {"share_single": 0.39, "share_city": 0.1}}, "stations are left"),
    ({"training": TINY.model_dump() | {"k": 5}}, "stations are left"),  # 9 of 18, without those of a fold, are not 10
    ({"start": "2018-01-05", "end": "2018-01-18"}, "no PM2.5"),
    ({"folds": 0, "withheld": {"share_single": 0.0, "share_city": 0.0}}, "calibrate"),
])
def test_recipes_that_cannot_be_trained(archive, tmp_path, changed, message):
    with pytest.raises(UserError, match=message) as caught:
        train(recipe(archive, **changed), tmp_path / "run", print)
    assert caught.value.rule and caught.value.fix and not (tmp_path / "run").exists()
