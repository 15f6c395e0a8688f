"""Forecasts from a recipe to tables and figures on a small network: resumed, guarded, blind to what is withheld."""

import dataclasses
import io
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from forecast_fixtures import RECIPE, write_archive
from rich.console import Console

from aqreanalysis import recipes
from aqreanalysis.cli import tables as cli_tables
from aqreanalysis.cli.app import main
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.checkpoint import WEIGHTS
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.training import forecast_data
from aqreanalysis.training.forecast_runs import ForecastJob, chosen_configuration
from aqreanalysis.workflows.describe import describe
from aqreanalysis.workflows.evaluate_forecast import evaluate_run
from aqreanalysis.workflows.plot_forecast import draw_figures
from aqreanalysis.workflows.train_forecast import train_forecasts


def load(folder, text=RECIPE, archive=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(text.format(observations=archive or folder.parent / "archive"), encoding="utf-8")
    return recipes.load_recipe(path, recipes.ForecastRecipe)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("forecasts")


@pytest.fixture(scope="module")
def recipe(base):
    write_archive(base / "archive")
    return load(base / "recipes")


@pytest.fixture(scope="module")
def run(base, recipe):
    return train_forecasts(recipe, base / "run")


@pytest.fixture(scope="module")
def table(run):
    return evaluate_run(run)


def cards(run):
    return {path.parent.name: checkpoint.read_card(path.parent, "forecast")
            for path in sorted(run.glob("*/checkpoint.json"))}


def test_every_configuration_and_seed_is_trained(run, recipe):
    found = cards(run)
    assert sorted(found) == sorted([
        "persistence-c0-s0", "ridge-c0-s0", "ridge-c1-s0", "aq-net-c0-s0", "aq-net-c0-s1",
        "aq-net-without-cyclic-encoding-c0-s0", "aq-net-without-cyclic-encoding-c0-s1",
        "aq-net-where-nothing-is-measured-c0-s0", "aq-net-where-nothing-is-measured-c0-s1"])
    assert found["aq-net-without-cyclic-encoding-c0-s1"].network["cyclic"] is False
    best = min((0, 1), key=lambda number: found[f"ridge-c{number}-s0"].forecast.validation)
    assert chosen_configuration(recipe, run, "ridge") == best
    runs = pd.read_csv(run / "runs.csv")
    assert len(runs) == len(found) and runs[runs.row == "ridge"].chosen.tolist() == [best == 0, best == 1]


def test_withheld_stations_are_named_and_not_read(base, run, recipe, tmp_path):
    withheld = forecast_data.of_recipe(recipe).withheld
    name = "aq-net-where-nothing-is-measured-c0-s0"
    assert len(withheld) == 2
    assert cards(run)[name].withheld == {"test_single": list(withheld)}
    assert cards(run)["aq-net-c0-s0"].withheld == {"test_single": []}
    assert cards(run)[name].training["stations"] == 8

    def spoil(of):
        of.pm25.loc[{"station": list(withheld)}] += 100.0
        return of

    archive = write_archive(tmp_path / "archive", change=spoil)
    other = load(tmp_path / "recipes", archive=archive)
    again = train_forecasts(other.model_copy(update={"models": {name: other.models[name] for name in (
        "AQ-Net", "AQ-Net where nothing is measured")}}), tmp_path / "run")
    assert cards(again)[name].weights_sha256 == cards(run)[name].weights_sha256
    assert cards(again)["aq-net-c0-s0"].weights_sha256 != cards(run)["aq-net-c0-s0"].weights_sha256


def test_the_same_command_does_nothing_twice_and_goes_on_where_it_was_stopped(base, recipe, run):
    times = {path: path.stat().st_mtime_ns for path in run.glob("*/*")}
    said = []
    train_forecasts(recipe, run, report=said.append)
    assert not said and times == {path: path.stat().st_mtime_ns for path in run.glob("*/*")}
    folder = run / "aq-net-c0-s1"
    before = (folder / WEIGHTS).read_bytes()
    (folder / "checkpoint.json").unlink()  # killed between the two files
    train_forecasts(recipe, run, report=said.append)
    assert len(said) == 1 and (folder / WEIGHTS).read_bytes() == before


def test_another_recipe_is_refused_and_more_seeds_are_not(base, recipe, run, tmp_path):
    with pytest.raises(UserError, match="differs: horizon, training"):
        train_forecasts(recipe.model_copy(update={"horizon": 24, "training": recipes.ForecastTraining(steps=7)}), run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is not empty"):
        train_forecasts(recipe, tmp_path / "mine")


def test_scores_have_every_row_seed_and_lead(table, recipe):
    seen = table[(table.stations == "seen") & (table.season == "all")]
    assert set(seen.row) == {"persistence", "ridge", "AQ-Net", "AQ-Net without cyclic encoding"}
    assert set(table[table.stations == "withheld"].row) == {"AQ-Net where nothing is measured"}
    ours = seen[seen.row == "AQ-Net"]
    assert set(ours.seed) == {"0", "1", "mean"} and set(ours.lead) == {6, 12} and set(ours.how) == {"at", "up to"}
    assert len(ours) == 3 * 2 * 2
    assert ours.groupby(["how", "lead"]).n.nunique().eq(1).all()  # the same hours for every seed


def test_persistence_scores_are_those_of_a_direct_count(table, recipe):
    """At lead 6: the observation itself against the last filled value; here against complete pairs by hand."""
    data = forecast_data.of_recipe(recipe)
    pm25 = data.cube.pm25.values
    origins = data.slices.origins("test", 24, 12, 7)
    pairs = pm25[origins + 6] - pm25[origins]
    complete = np.abs(pairs[np.isfinite(pairs)])
    table = table[(table.row == "persistence") & (table.season == "all") & (table.how == "at")]
    row = table[table.lead == 6].iloc[0]
    assert row.n == np.isfinite(pm25[origins + 6]).sum()
    assert row.MAE == pytest.approx(complete.mean(), rel=0.1)  # a tenth of the last values is filled


def test_skill_is_over_the_best_baseline(table):
    ours = table[(table.row == "AQ-Net") & (table.seed == "mean") & (table.season == "all")]
    for line in ours.itertuples():
        same = table[(table.season == "all") & (table.how == line.how) & (table.lead == line.lead)
                     & table.row.isin(["persistence", "ridge"])]
        best = same.loc[same.MAE.idxmin()]
        assert line.best == best.row
        assert line.skill_percent == pytest.approx(100 * (1 - line.MAE / best.MAE), rel=1e-9)
        assert line.skill_low <= line.skill_percent <= line.skill_high


def test_tables_are_written_to_be_read(run, table):
    text = (run / "tables.md").read_text(encoding="utf-8")
    assert "Errors at the lead, seen stations" in text and "Errors averaged over the leads up to it" in text
    assert "withheld stations" in text and "±" in text and "paper:" not in text  # another protocol than the paper's
    assert len(pd.read_csv(run / "scores.csv")) == len(table)


def test_a_missing_seed_is_named_where_its_row_is_scored(run, tmp_path, recipe):
    """Rows were printed as a mean of all seeds of the recipe, whether each was trained or not."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("aq-net-c0-s1", "aq-net-where-nothing-is-measured-*"))
    reports = []
    table = evaluate_run(copy, report=reports.append)
    text = (copy / "tables.md").read_text(encoding="utf-8")
    assert "AQ-Net, 1 of 2 seeds; missing: 1" in reports and "persistence, 1 seed" in reports
    assert "- AQ-Net: 1 of 2 seeds; missing: 1\n" in text and "- persistence" not in text
    assert "- AQ-Net where nothing is measured: not scored" in text
    assert f"aqreanalysis train {copy / 'recipe.yaml'} --out {copy}" in text
    lines = {line.split(" | ")[0]: line.split(" | ")[1] for line in text.splitlines() if line.startswith("| AQ-Net")}
    assert lines == {"| AQ-Net": "1 of 2", "| AQ-Net without cyclic encoding": "2",
                     "| AQ-Net without cyclic encoding, together": "2"}
    ours = table[table.row == "AQ-Net"]
    assert set(ours.seed) == {"0"} and set(ours.seeds_scored) == {1} and set(ours.seeds_missing) == {"1"}
    skill = text.split("## Skill in MAE, seen stations")[1].split("##")[0]
    assert "| AQ-Net | 1 of 2 | " in skill and "| AQ-Net without cyclic encoding | 2 | " in skill


def test_a_run_without_gaps_names_none(run, table):
    text = (run / "tables.md").read_text(encoding="utf-8")
    assert "missing" not in text and not table.seeds_missing.any()
    assert "| ridge | 1 |" in text and "| AQ-Net | 2 |" in text


def test_figures_are_of_an_aqnet(run, tmp_path):
    with pytest.raises(UserError, match="no trained AQ-Net 'ridge'"):
        draw_figures(run, "ridge", tmp_path)


def test_a_damaged_forecaster_is_told(run, tmp_path):
    folder = run / "ridge-c0-s0"
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    model, card = checkpoint.load_forecaster(copy)
    assert model.name == "ridge" and card.network == {"penalty": 0.001}
    (copy / WEIGHTS).write_bytes(b"x" + (folder / WEIGHTS).read_bytes())
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load_forecaster(copy)
    content = json.loads((copy / "checkpoint.json").read_text())
    (copy / "checkpoint.json").write_text(json.dumps(content | {"k": 19}))
    with pytest.raises(UserError, match="changed after it was written"):
        checkpoint.load_forecaster(copy)
    (copy / "checkpoint.json").write_text(json.dumps(content | {"format": "other"}))
    with pytest.raises(UserError, match="does not describe a checkpoint"):
        checkpoint.load_forecaster(copy)


def test_a_forecaster_is_described(run):
    out = Console(file=io.StringIO(), width=200)
    cli_tables.show_facts(describe(str(run / "ridge-c0-s0")), out)
    text = out.file.getvalue()
    assert "ridge-forecast" in text and "24 h" in text and "penalty 0.001" in text and "mean absolute error" in text


def test_other_files_than_it_was_trained_on_are_told(run, recipe, monkeypatch):
    data = dataclasses.replace(forecast_data.of_recipe(recipe), fingerprint="other")
    monkeypatch.setattr(forecast_data, "of_recipe", lambda recipe: data)
    with pytest.raises(UserError, match="was trained on other files"):
        evaluate_run(run)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(UserError, match="no run folder of forecasts"):
        evaluate_run(tmp_path)


@pytest.mark.parametrize("change, told", [
    ("{{model: lstm, configurations: [{{depth: 2}}]}}", "no option depth"),
    ("{{model: prophet}}", "'prophet'"),
    ("{{model: aqnet, configurations: [{{blocks: 5}}]}}", "12 h into 5 blocks"),
    ("{{model: lstm, configurations: [{{learning_rate: fast}}]}}", "learning_rate is 'fast'"),
    ("{{model: lstm, configurations: [{{patience: 0}}]}}", "Configuration 0 of the row persistence: the key patience"),
])
def test_models_and_options_are_checked_before_anything_is_read(tmp_path, change, told):
    text = RECIPE.replace("persistence: {{model: persistence}}", f"persistence: {change}")
    with pytest.raises(UserError, match=told):
        train_forecasts(load(tmp_path / "recipes", text, archive="nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_station_archive_is_refused(tmp_path, monkeypatch):
    from aqreanalysis.observations.readers.station_archive import StationArchive

    monkeypatch.setattr(ObservationFiles, "open", lambda self: object.__new__(StationArchive))
    with pytest.raises(UserError, match="station archive") as error:
        forecast_data.load_forecast_data(ObservationFiles("archive.nc"), 0.7, 0.1, 0.0, 0)
    assert "must not know" in error.value.rule


def test_folder_names_tell_row_configuration_and_seed(recipe, tmp_path):
    assert ForecastJob(recipe, tmp_path, "AQ-Net without cyclic encoding", 2, 7).folder.name == (
        "aq-net-without-cyclic-encoding-c2-s7")


def command(monkeypatch, *arguments):
    """The command line within this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["aqreanalysis", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_the_command_line_trains_scores_and_draws(base, run, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "train", base / "recipes" / "small.yaml", "--out", run) == 0
    assert f"next: aqreanalysis evaluate {run}" in capsys.readouterr().out
    monkeypatch.setattr("aqreanalysis.workflows.evaluate_forecast.evaluate_run", lambda *arguments: None)  # done above
    (run / "tables.md").write_text("# small\n", encoding="utf-8")
    assert command(monkeypatch, "evaluate", run, "--workers", 1) == 0
    assert "# small" in capsys.readouterr().out
    assert command(monkeypatch, "figures", run, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure_3_week.png", "figure_4_heads.png", "figure_5_blocks.png"]
    assert "the week of median error" in said and "figure_5_blocks.png: the last 3 h get" in said


@pytest.mark.parametrize("arguments, told", [
    (["evaluate"], "Neither observations nor a run folder"),
    (["evaluate", "nowhere"], "no run folder of forecasts"),
    (["figures", "nowhere"], "no run folder of forecasts"),
])
def test_what_is_missing_is_told_in_a_paragraph(arguments, told, monkeypatch, capsys):
    assert command(monkeypatch, *arguments) == 2
    assert told in capsys.readouterr().err

