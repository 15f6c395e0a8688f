"""`aqreanalysis evaluate` from files to figures, on a small network under the names that the checkpoint withheld."""

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

from aqreanalysis import schema, time_axis
from aqreanalysis.cli import console, score_tables
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import holdout
from aqreanalysis.evaluation.metrics import YARDSTICKS
from aqreanalysis.models import checkpoint
from aqreanalysis.workflows.evaluate_analysis import evaluate, write_result

PERIOD = time_axis.parse_period(None, "2019-01-05", "2019-01-07")


@pytest.fixture(scope="module")
def card():
    return checkpoint.read_card(checkpoint.locate(None))


@pytest.fixture(scope="module")
def archive(card, tmp_path_factory):
    """50 stations, eight of them withheld singly and six in cities; nine days, of which three are scored."""
    cube = schema.mock_station_cube(hours=24 * 9, stations=50, missing=0.05)
    names = [*card.withheld["test_single"][:8], *card.withheld["test_city"][:6], *(f"T{i:03d}" for i in range(36))]
    frame = cube.assign_coords(station=np.array(names, object)).to_dataframe().reset_index()
    path = tmp_path_factory.mktemp("archive") / "rows.parquet"
    frame.rename(columns={"station": "station_id"}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def result(archive):
    return evaluate(str(archive), PERIOD, boost=True)


def test_every_model_is_scored_in_every_design(result):
    hourly = result.table[(result.table.by == "all") & (result.table.frequency == "hourly")
                          & (result.table.hours == "all")]
    counts = hourly.pivot(index="group", columns="model", values="n")
    assert list(counts.columns) == sorted(["flat mean", "nearest", "IDW", "plain kriging", "kriging", "boosting",
                                           "AQ-Net"])
    assert set(counts.index) == {holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES, holdout.DISTANCE_MATCHED,
                                 holdout.REGIONS}
    assert (counts > 0).all().all() and (counts.nunique(axis=1) == 1).all()  # the same pairs for all
    assert "Wasserstein" in result.notes[0] and "half of a normal one" in result.notes[1]


def test_each_test_station_is_scored_once_in_a_design(result, card):
    of_station = result.sums.station.n.sel(frequency="hourly", model="kriging")
    assert set(of_station.station.values) == {*card.withheld["test_single"][:8], *card.withheld["test_city"][:6]}
    assert float(of_station.max()) <= 3 * 24
    for group in (holdout.DISTANCE_MATCHED, holdout.REGIONS):
        together = of_station.sel(group=[holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES]).sum("group")
        np.testing.assert_array_equal(of_station.sel(group=group), together)


def test_the_cuts_hold_the_same_pairs(result):
    totals = [cut.n.sum([dim for dim in cut.dims if dim not in ("group", "model")])
              for cut in (result.sums.station.sel(frequency="hourly"), result.sums.day.sel(frequency="hourly"),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(0, 24)),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(24, 28)),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(28, 32)))]
    for other in totals[1:]:
        np.testing.assert_array_equal(totals[0], other)


def test_a_folder_of_scores(result, tmp_path):
    files = write_result(result, str(tmp_path / "scores"))
    assert sorted(path.name for path in files) == sorted(path.name for path in (tmp_path / "scores").iterdir())
    assert {path.name for path in files} == {"scores.csv", "scores.nc", "error_by_distance.png", "skill.png",
                                             "coverage.png", "reliability.png"}
    for name in ("station", "slice", "day", "block", "scaled"):
        with xr.open_dataset(tmp_path / "scores" / "scores.nc", group=name) as sums:
            xr.testing.assert_equal(sums.load(), getattr(result.sums, name))
    with netCDF4.Dataset(tmp_path / "scores" / "scores.nc") as file:  # texts are characters, as in all our files
        assert not [name for group in file.groups.values() for name, of in group.variables.items() if of.dtype == str]
    with xr.open_dataset(tmp_path / "scores" / "scores.nc") as root:
        assert root.attrs["notes"].splitlines() == result.notes and len(result.notes) == 2
    table = pd.read_csv(tmp_path / "scores" / "scores.csv", dtype={"slice": str})
    assert len(table) == len(result.table) and not table.duplicated(["group", "hours", "by", "slice", "frequency",
                                                                     "model"]).any()


def test_the_table_alone(result, tmp_path):
    assert write_result(result, str(tmp_path / "table.csv")) == [tmp_path / "table.csv"]
    with pytest.raises(UserError, match="again.csv"):  # what should be a folder is a file
        write_result(result, str(tmp_path / "table.csv" / "again.csv"))


def test_the_screen_is_80_columns_wide(result, capsys, monkeypatch):
    monkeypatch.setattr(console, "OUT", Console(width=80, highlight=False))
    score_tables.show_scores(result.table)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    said = "\n".join(lines)
    for word in ("single stations, all hours", "daily intervals", "narrower", "distance-matched", "boosting", "CRPS",
                 "MQI", "observed level 35-75"):
        assert word in said


def test_a_verdict_states_what_it_rests_on(result, capsys, monkeypatch):
    """Thresholds of a paper that was not read shipped as verdicts under the paper's name alone."""
    assert set(YARDSTICKS) <= set(result.table) and not {"emery", "MQI"} & set(result.table)
    assert "emery_unconfirmed" in YARDSTICKS and "MQI_secondary_source" in YARDSTICKS
    monkeypatch.setattr(console, "OUT", Console(width=80, highlight=False))
    score_tables.show_scores(result.table)
    screen = capsys.readouterr().out
    for basis in YARDSTICKS.values():
        assert basis in screen
    for words in ("uncon-", "firmed", "NOT confirmed", "2nd", "hand", "secondary source, pyaerocom's code",
                  "from its abstract"):
        assert words in screen


def test_the_command_and_a_quick_look(archive, tmp_path, result):
    """With --quick nothing else is taken out; what was withheld scores as it does beside the other designs."""
    out = tmp_path / "scores.csv"
    done = CliRunner().invoke(app, ["evaluate", "--observations", str(archive), "--start", str(PERIOD.first), "--end",
                                    str(PERIOD.last), "--quick", "--workers", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    keys = ["group", "hours", "by", "slice", "frequency", "model"]
    quick = pd.read_csv(out, dtype={"slice": str})
    assert set(quick.group) - {"all designs"} == {holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES}
    both = quick[quick.group != "all designs"].merge(result.table, on=keys)
    assert len(both) > 100
    np.testing.assert_allclose(both.MAE_x, both.MAE_y, rtol=1e-4)


def test_a_period_without_observations(archive):
    with pytest.raises(UserError, match="no PM2.5"):
        evaluate(str(archive), time_axis.parse_period(None, "2020-03-01", "2020-03-02"), quick=True)
