"""A graph recipe from its data to a checkpoint that ships (training/graph_runs, graph_checkpoint, workflows)."""

import io
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.text import Text
from rich.console import Console

from aqreanalysis import schema
from aqreanalysis.cli import score_tables, tables
from aqreanalysis.cli.made import of_evaluation
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.product.report import evaluation_page
from aqreanalysis.recipes import GraphRecipe
from aqreanalysis.time_axis import parse_period
from aqreanalysis.training.graph_data import Draw, load_data
from aqreanalysis.training.graph_runs import check_graph_recipe
from aqreanalysis.workflows import evaluation_files
from aqreanalysis.workflows.evaluate_analysis import Evaluation, evaluate_cube
from aqreanalysis.workflows.train_graphs import train_graphs

DAYS, STATIONS, HIDDEN = 24, 16, [2, 5, 11, 14]
ROWS = {"kriging": {"model": "kriging"}, "SPIN": {"model": "spin", "options": {"width": 8}}}


def recipe_of(**changed):
    return GraphRecipe(**{
        "kind": "graph", "name": "small", "observations": "nowhere", "start": "2019-01-02", "end": "2019-01-25",
        "weather": ["u10", "v10"], "hidden": [0.25], "draws": 1, "test_every_nth_week": 3, "rows": ROWS,
        "training": {"steps": 2, "days_per_step": 2, "validate_every": 2, "validation_days": 2},
        "checkpoint": {"name": "spin-small", "row": "SPIN"}} | changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose data are the mock cube's, with wind; the network has hardly been trained."""
    out = tmp_path_factory.mktemp("graphs") / "run"
    cube = schema.mock_station_cube(hours=24 * DAYS, stations=STATIONS)[["pm25"]]
    cube = cube.assign_coords(time=cube.time.values + np.timedelta64(17, "h"),
                              hidden=("station", np.isin(np.arange(STATIONS), HIDDEN)),
                              distance=("station", np.zeros(STATIONS)))
    wind = np.random.default_rng(0).normal(0, 3, (2, *cube.pm25.shape)).astype(np.float32)
    cube = cube.assign({f"field_{name}": (cube.pm25.dims, of) for name, of in zip(("u10", "v10"), wind, strict=True)})
    cube.attrs = {"source": "the mock cube", "fields_source": "made-up wind"}
    (out / "data").mkdir(parents=True)
    # the recipe as a first run left it, and what it had read: nothing is read again
    from aqreanalysis.training.run_folder import write_recipe

    write_recipe(recipe_of(), out)
    cube.drop_vars([name for name in cube.coords if name not in ("time", "station", "lat", "lon", "hidden",
                                                                 "distance")]).to_netcdf(
        out / "data" / "hidden25-draw0.nc")
    said = []
    train_graphs(recipe_of(), out, report=said.append)
    return out, cube, said


def test_the_checkpoint_is_scored_at_the_stations_that_it_never_saw(run):
    """Its scores are those of the row's own estimates in the test week, and of kriging's, by hand."""
    out, cube, said = run
    assert said[-1] == f"checkpoint {out / 'spin-small'}"
    card = checkpoint.checked_card(out / "spin-small")
    assert card.withheld["test_single"] == [f"S{number:03d}" for number in HIDDEN]
    day = (cube.time.values - np.timedelta64(1, "h") + np.timedelta64(8, "h")).astype("datetime64[D]")
    test = (day.astype(int) // 7) % 3 == 0
    truth = cube.pm25.values[test][:, HIDDEN]
    found = {row: np.load(out / "hidden25-draw0" / row / "estimate.npy") for row in ("spin", "kriging")}
    hourly = next(row for row in card.scores["held_out_stations"] if row["frequency"] == "hourly")
    for name, row in (("MAE", "spin"), ("MAE_kriging", "kriging")):
        assert hourly[name] == pytest.approx(np.nanmean(np.abs(found[row] - truth)), abs=2e-3)
    assert hourly["n"] == np.isfinite(truth).sum() and hourly["skill_percent"] < 0
    facts = card.calibration["facts"]
    validated = np.unique(day[(day.astype(int) // 7) % 3 == 2]).astype(str)
    assert (facts["stations"], facts["days"]) == (4, len(validated))
    assert (facts["first"], facts["last"]) == (validated[0], validated[-1])


def test_stations_of_training_are_not_taken_for_unseen_ones(run):
    """A station that the network was trained on may not be scored; a hidden one may."""
    out, cube, _ = run
    table = pd.DataFrame({"station_id": cube.station.values, "lat": cube.lat.values, "lon": cube.lon.values})
    _, seen = registry.hiding_networks(out / "spin-small", table)
    assert seen == set(table.station_id.drop(HIDDEN))


def test_scores_of_a_graph_network_have_its_name_everywhere(run, tmp_path, monkeypatch, capsys):
    """Of SPIN, every row, legend, sum and sentence said AQ-Net, and the page cited AQ-Net's paper."""
    cube, drawn = run[1].pm25.to_dataset(), {}
    for name in schema.POLLUTANTS[1:]:
        cube[name] = cube.pm25 * np.nan
    result = evaluate_cube(cube.drop_vars(["hidden", "distance"]), parse_period(None, "2019-01-10", "2019-01-10"),
                           Evaluation(str(run[0] / "spin-small"), withheld=True, quick=True))
    monkeypatch.setattr(evaluation_files, "save_figure", lambda figure, path, of: drawn.update({path: figure}) or path)
    monkeypatch.setattr(evaluation_page, "charts_of", lambda *_: [])
    evaluation_files.write_result(result, str(tmp_path))
    labels = {text for figure in drawn.values() for ax in figure.axes for text in ax.get_legend_handles_labels()[1]}
    titles = {text.get_text() for figure in drawn.values() for text in figure.findobj(Text)}
    score_tables.show_scores(result.table, result.model.label)
    page, table = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "scores.csv"))
    with xr.open_dataset(tmp_path / "scores.nc", group="day") as sums:
        assert "SPIN" in sums.model.values
    assert "SPIN" in labels and any(text.startswith("SPIN's skill") for text in titles)
    said = "\n".join([*labels, *titles, page, table, capsys.readouterr().out, *result.notes])
    assert "SPIN at stations left out, beside kriging" in said and "AQ-Net" not in said
    assert "arXiv:2511.16013" in page and "Kheder" not in page
    assert of_evaluation(result.table, [], "SPIN").scores[0]["MAE"] > 0


def test_labels_are_of_the_model_and_not_of_its_checkpoint(run):
    """Whatever a checkpoint is called; of baselines as tables have them."""
    assert checkpoint.checked_card(checkpoint.locate(None)).label == "AQ-Net"
    assert registry.describe_model(run[0] / "spin-small").label == "SPIN"
    assert registry.describe_model("idw").label == "IDW"


def test_a_graph_checkpoint_says_what_it_reads_and_that_kriging_is_better(run):
    out, *_ = run
    described = registry.describe_model(out / "spin-small")
    assert (described.fields, described.fields_optional) == (("u10", "v10"), True)
    assert "90 %" in described.bounds and described.history == 15
    of_row = registry.describe_model(out / "hidden25-draw0" / "spin")  # neither calibrated nor scored
    assert of_row.error_memory_hours == registry.BASELINES["kriging"].error_memory_hours and not of_row.bounds
    stream = io.StringIO()
    tables.show_facts(checkpoint.checked_card(out / "spin-small"), Console(file=stream, width=100))
    text = re.sub(r"[\s│]+", " ", stream.getvalue())
    assert "Kriging is better: at the same hidden stations" in text and checkpoint.DEFAULT in text
    assert "fields u10, v10, and goes on without them" in text and "from 15 h before the hour to 0 h after" in text
    assert "fitted at other stations" in text and "the mock cube; 2019-01-02 to 2019-01-25, 12 stations" in text


def test_a_checkpoint_of_a_row_without_a_network_is_refused():
    for row in ("kriging", "spam"):
        with pytest.raises(UserError, match="trains no graph network"):
            check_graph_recipe(recipe_of(checkpoint={"name": "x", "row": row}))


def test_data_without_weather_can_be_read(run, tmp_path):
    """What a recipe without fields has read holds PM2.5 alone; the network reads the clock."""
    out, cube, _ = run
    (tmp_path / "data").mkdir()
    with xr.open_dataset(out / "data" / "hidden25-draw0.nc") as stored:
        stored.drop_vars(["field_u10", "field_v10"]).to_netcdf(tmp_path / "data" / "hidden25-draw0.nc")
    recipe = recipe_of(weather=[])
    data = load_data(recipe, tmp_path, Draw(0.25, 0))
    assert not data.weather.data_vars and data.weather.distance.shape == (STATIONS,)
    series = data.series(recipe.rows["SPIN"])
    assert series.names == () and series.weather.shape == (24 * DAYS, STATIONS - len(HIDDEN), 0)
    np.testing.assert_array_equal(series.pm25, np.delete(cube.pm25.values, HIDDEN, axis=1))
