"""`aqreanalysis evaluate` from files to figures: all stations of a small network, each left out once in each design;
and those of them alone that the checkpoint withheld."""

import re
from dataclasses import replace
from functools import partial

import browsing
import markupsafe
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from models_fixtures import lively_calibration, small_checkpoint
from rich.console import Console
from typer.testing import CliRunner

from aqreanalysis import schema, time_axis
from aqreanalysis.cli import console, score_tables
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import holdout, strata
from aqreanalysis.evaluation.metrics import YARDSTICKS
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.cross_fitting import NEVER_SEEN, NO_FOLD
from aqreanalysis.observations.readers.cube import CubeArchive
from aqreanalysis.workflows import evaluate_analysis, score_months
from aqreanalysis.workflows.evaluate_analysis import Evaluation, evaluate, evaluate_cube
from aqreanalysis.workflows.evaluation_files import write_result
from aqreanalysis.workflows.score_months import Scoring, score_month

pytestmark = pytest.mark.usefixtures("few_folds")

PERIOD = time_axis.parse_period(None, "2019-01-05", "2019-01-07")
DESIGNS = {holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES, holdout.DISTANCE_MATCHED, holdout.MAP_MATCHED}
MODELS = ["flat mean", "nearest", "IDW", "plain kriging", "kriging", "regression kriging", "AQ-Net"]


SINGLE, CITIES = tuple(f"W{number}" for number in range(8)), tuple(f"C{number}" for number in range(6))


@pytest.fixture(scope="module", autouse=True)
def card(tmp_path_factory):
    """Of a small checkpoint in the place of the shipped one: eight of the cube's stations withheld singly, six in
    cities, and trained on the others, without folds."""
    places = schema.mock_station_cube(hours=1, stations=50)
    trained = [[f"T{number:03d}", float(places.lat[14 + number]), float(places.lon[14 + number]), NO_FOLD]
               for number in range(36)]
    facts = checkpoint.AnalysisFacts({}, {"margin_hours": 12, "context_hours": 372}, 5.5, trained, [])
    withheld = {"test_single": list(SINGLE), "test_city": list(CITIES), "validation_single": [], "validation_city": []}
    folder = small_checkpoint(tmp_path_factory.mktemp("network") / "small", analysis=facts, withheld=withheld,
                              calibration=lively_calibration().asdict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "DEFAULT", str(folder))
        yield checkpoint.read_card(folder)


@pytest.fixture(scope="module")
def cube(card):
    """50 stations, two to each of most cities; eight withheld singly by the checkpoint and six in cities; nine days."""
    cube = schema.mock_station_cube(hours=24 * 9, stations=50, missing=0.05)
    names = [*SINGLE, *CITIES, *(f"T{i:03d}" for i in range(36))]
    cities = np.array([f"city {number // 2}" for number in range(50)], object)
    return cube.assign_coords(station=np.array(names, object), station_city=("station", cities))


@pytest.fixture(scope="module")
def archive(cube, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "rows.parquet"
    frame = cube.to_dataframe().reset_index().rename(columns={"station": "station_id", "station_city": "city"})
    frame.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def result(archive):
    return evaluate(str(archive), PERIOD)


@pytest.fixture(scope="module")
def held(archive):
    return evaluate(str(archive), PERIOD, boost=True, withheld=True)


def whole(result):
    table = result.table
    return table[(table.by == "all") & (table.frequency == "hourly") & (table.hours == "all")]


def test_every_model_is_scored_in_every_design(result, held):
    for found, models, designs in ((result, MODELS, DESIGNS), (held, [*MODELS, "boosting"],
                                                               DESIGNS | {holdout.REGIONS})):
        counts = whole(found).pivot(index="group", columns="model", values="n")
        assert list(counts.columns) == sorted(models) and set(counts.index) == designs
        assert (counts > 0).all().all() and (counts.nunique(axis=1) == 1).all()  # the same pairs for all


def test_each_station_is_scored_once_in_a_design(result, held, card, cube):
    for found, stations in ((result, set(cube.station.values)),
                            (held, {*SINGLE, *CITIES})):
        n = found.sums.station.n.sel(frequency="hourly", model="kriging")
        assert set(n.station.values) == stations
        assert 0 < float(n.drop_sel(group=holdout.MAP_MATCHED).max()) <= 3 * 24
        once = n.sel(group=holdout.DISTANCE_MATCHED)
        as_withheld = n.sel(group=[holdout.SINGLE_STATIONS, holdout.WHOLE_CITIES])
        np.testing.assert_array_equal(once, as_withheld.max("group"))
        weights = n.sel(group=holdout.MAP_MATCHED) / once
        assert float(weights.mean()) == pytest.approx(1.0) and float(weights.std()) > 0
    n = result.sums.station.n.sel(frequency="hourly", model="kriging")
    np.testing.assert_array_equal(n.sel(group=holdout.SINGLE_STATIONS), n.sel(group=holdout.WHOLE_CITIES))


def test_the_cuts_hold_the_same_pairs(result):
    totals = [cut.n.sum([dim for dim in cut.dims if dim not in ("group", "model")])
              for cut in (result.sums.station.sel(frequency="hourly"), result.sums.day.sel(frequency="hourly"),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(0, 24)),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(24, 28)),
                          result.sums.slice.sel(frequency="hourly").isel(slice=slice(28, 32)))]
    for other in totals[1:]:
        np.testing.assert_allclose(totals[0], other, rtol=1e-12)


def test_kinds_of_place_are_sums_of_their_stations(result, cube):
    """All days are of winter; a kind's scores are those of its stations, with their weights."""
    kinds = strata.kinds_of_place(CubeArchive(cube).stations)
    for name, stations in kinds.items():
        of = result.sums.place.sel(place=name)
        expected = result.sums.station.sel(station=[s for s in stations]).sum("station")
        xr.testing.assert_allclose(of.sel(season="winter", drop=True).drop_vars("place"), expected)
        assert not of.n.sel(season=["spring", "summer", "autumn"]).any()
        rows = result.table[(result.table.by == "place") & (result.table.slice == name)]
        assert len(rows) == (2 * len(DESIGNS) * len(MODELS) if stations else 0)


def test_what_training_saw_is_told(result, held, card):
    assert f"the training of {card.name} saw 36 of the 50 stations" in result.notes[0]
    assert "--withheld" in result.notes[0] and "--withheld" not in held.notes[0]
    seen = evaluate_analysis.seen_notes
    assert "saw none of the 3 stations" in seen(np.full(3, NEVER_SEEN), card)[0]
    assert "saw 2 of the 3 stations" in (note := seen(np.array([NEVER_SEEN, 0, 4]), card)[0])
    assert note.endswith("each of them is estimated by the network of a fold that never saw it")
    assert "1 of them is estimated by" in (note := seen(np.array([NO_FOLD, 0, NEVER_SEEN]), card)[0])
    assert "the other 1: scores of AQ-Net are too good there" in note


def test_stations_are_estimated_by_the_network_of_their_fold(cube, card, monkeypatch):
    """A checkpoint that was trained on the stations T..., those with an even number in its fold 3; on one of them by
    its place alone: it has another id here and stands 100 m away."""
    trained = [[str(name), float(at.lat) + 0.0009, float(at.lon), 3 if int(name[1:]) % 2 == 0 else NO_FOLD]
               for name in cube.station.values if name.startswith("T") for at in [cube.sel(station=name)]]
    trained[0][0] = "another id"
    loaded, scorings = [], []
    cross_fitted = replace(card, analysis=replace(card.analysis, stations=trained))
    monkeypatch.setattr(checkpoint, "checked_card", lambda folder: cross_fitted)
    network = registry.load_model()
    monkeypatch.setattr(registry, "load_model", lambda folder, fold=None: loaded.append(fold) or network)
    monkeypatch.setattr(evaluate_analysis, "score_month",
                        lambda scoring, month: scorings.append(scoring) or score_month(scoring, month))
    found = evaluate_cube(cube, PERIOD, Evaluation(quick=True, every_days=3))
    assert "saw 36 of the 50 stations" in found.notes[0] and "; 18 of them" in found.notes[0]
    assert loaded == [None, 3]
    for fold in scorings[0].folds:
        assert {name[:1] == "T" and int(name[1:]) % 2 == 0 for name in fold.asked} == {fold.network == 3}


def test_no_value_of_a_withheld_station_reaches_an_estimate_of_its_fold(cube):
    """Values of what a fold takes out are changed, before quality control: no model's estimates change."""
    stations = list(cube.station.values)
    fold = holdout.Fold(tuple(stations[:9]), {"fold": tuple(stations[:5])})
    changed = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        changed[name][:, :9] *= np.float32(1.2)
    found = []
    for seen in (cube, changed):
        days = np.array(PERIOD.days(), "datetime64[D]")
        scoring = Scoring(CubeArchive(seen), checkpoint.locate(None), (fold,), days, {})
        _, sums = score_month(scoring, PERIOD.months()[0])
        found.append(sums.station)
    known = (found[0].n == found[1].n) & (found[0].n > 0)
    assert float(known.mean()) > 0.5
    for at_one, at_other in zip(*(one.estimate_squared.values[known.values] for one in found), strict=True):
        assert at_one == at_other
    assert not np.array_equal(found[0].truth, found[1].truth)


def test_workers_and_files_give_the_same_numbers(cube, tmp_path):
    """Two months, two of four days: from memory in this process, from a file in two."""
    few = cube.isel(station=slice(30, 38)).drop_vars("station_city")
    few = few.assign_coords(time=cube.time + np.timedelta64(25, "D"))
    few.to_dataframe().reset_index().rename(columns={"station": "station_id"}).to_parquet(tmp_path / "rows.parquet")
    period = time_axis.parse_period(None, "2019-01-30", "2019-02-02")
    one = evaluate_cube(few, period, Evaluation(quick=True, every_days=2))
    other = evaluate(str(tmp_path / "rows.parquet"), period, quick=True, every_days=2, workers=2)
    pd.testing.assert_frame_equal(one.table, other.table)
    for name, sums in vars(one.sums).items():
        xr.testing.assert_equal(sums, getattr(other.sums, name))
    assert sum("scored on 2 of 4 days" in note for note in one.notes) == 1


def test_days_are_drawn_one_of_every_so_many():
    days = evaluate_analysis.sampled_days(time_axis.parse_period("2019", None, None), 7)
    first = np.datetime64("2019-01-01")
    assert list((days - first).astype(int) // 7) == list(range(53))      # one of each
    assert len(set((days - first).astype(int) % 7)) == 7                 # and not always the same day of the week
    assert len(evaluate_analysis.sampled_days(PERIOD, 1)) == 3


def test_a_fit_without_several_folds_serves_them():
    fold = partial(holdout.Fold, scored={"a": ()})
    other = holdout.Fold(("6",), {"b": ()})
    found = evaluate_analysis.fitted_without([fold(("1", "2")), fold(("2", "3")), fold(("4", "5")), other], 3)
    assert found == {("1", "2"): ("1", "2", "3"), ("2", "3"): ("1", "2", "3"), ("4", "5"): ("4", "5"), ("6",): ("6",)}


HOSTILE = '--out "<script>alert(1)</script>"'


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    """The folder of an evaluation, and its files as they were told."""
    folder = tmp_path_factory.mktemp("evaluated") / "scores"
    return folder, write_result(result, str(folder), HOSTILE)


def test_a_folder_of_scores(result, written):
    folder, files = written
    assert sorted(path.name for path in files) == sorted(path.name for path in (folder).iterdir())
    assert {path.name for path in files} == {"scores.csv", "scores.nc", "error_by_distance.png", "skill.png",
                                             "coverage.png", "reliability.png", "station_bias_skill.png",
                                             "error_bubbles.png", "soccer.png", "cycles.png", "calendar.png",
                                             "days_above_75.png", "taylor.png", "target.png", "report.html"}
    for name in ("station", "slice", "day", "place", "block", "scaled"):
        with xr.open_dataset(folder / "scores.nc", group=name) as sums:
            places = sums.load()[["lat", "lon"]].to_dataframe() if name == "station" else None
            xr.testing.assert_equal(sums.drop_vars(["lat", "lon"], errors="ignore"), getattr(result.sums, name))
            if places is not None:
                told = result.stations.set_index("station_id").loc[places.index]
                assert np.array_equal(places[["lat", "lon"]], told[["lat", "lon"]])
    with netCDF4.Dataset(folder / "scores.nc") as file:  # texts are characters, as in all our files
        assert not [name for group in file.groups.values() for name, of in group.variables.items() if of.dtype == str]
    with xr.open_dataset(folder / "scores.nc") as root:
        assert root.attrs["notes"].splitlines() == result.notes
    table = pd.read_csv(folder / "scores.csv", dtype={"slice": str})
    assert len(table) == len(result.table) and not table.duplicated(["group", "hours", "by", "slice", "frequency",
                                                                     "model"]).any()


def test_the_report_says_first_what_the_table_says(result, written):
    """Key figures by hand from the table, in the design that stands for the map; what was not used; the command."""
    folder, _ = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    whole = result.table[(result.table.hours == "all") & (result.table.by == "all")]
    rows = whole[(whole.frequency == "hourly") & (whole.group == "map-matched")].set_index("model")
    ours, other = rows.loc["AQ-Net"], rows.loc["kriging"]
    values = re.findall('class="value">([^<]*)<', text)
    assert values[:3] == [f"{abs(100 * (1 - ours.MAE / other.MAE)):.1f} %", f"{ours.NMB_percent:+.1f} %",
                          f"{ours.MAE:.1f} µg m⁻³"]
    assert ("better than kriging" if ours.MAE <= other.MAE else "WORSE than kriging") in text
    assert f"kriging {other.NMB_percent:+.1f} %" in text and values[3].startswith(f"{100 * ours.coverage_90:.0f} %")
    for note in (*result.notes, result.inventory.source, "simulated" if result.simulated else "Made from"):
        assert str(markupsafe.escape(note)) in text
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert text.count('class="chart-box" id="figure-') == 12 and len(text) < 2e6


def test_the_report_in_a_browser(written, tmp_path):
    folder, _ = written
    with browsing.browser(tmp_path) as driver:
        driver.get((folder / "report.html").as_uri())
        assert browsing.errors_and_requests(driver) == ([], {(folder / "report.html").as_uri()})
        driver.find_element("id", "unfold-charts").send_keys("\ue007")  # Enter
        assert browsing.violations(driver) == []
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True})
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360


def test_the_table_alone(result, tmp_path):
    assert write_result(result, str(tmp_path / "table.csv")) == [tmp_path / "table.csv"]
    with pytest.raises(UserError, match="again.csv"):  # what should be a folder is a file
        write_result(result, str(tmp_path / "table.csv" / "again.csv"))


def test_the_screen_is_80_columns_wide(result, capsys, monkeypatch):
    monkeypatch.setattr(console, "OUT", Console(width=80, highlight=False))
    score_tables.show_scores(result.table, "AQ-Net")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    said = "\n".join(lines)
    assert said.index("map-matched") < said.index("whole cities") < said.index("single stations")
    for word in ("beside kriging", "daily intervals", "narrower", "distance-matched", "regression kriging", "CRPS",
                 "MQI", "observed level 35-75", "equal ones they are worth"):
        assert word in said
    assert len(lines) < 110


def test_a_verdict_states_what_it_rests_on(result, capsys, monkeypatch):
    """Thresholds of a paper that was not read shipped as verdicts under the paper's name alone."""
    assert set(YARDSTICKS) <= set(result.table) and not {"emery", "MQI"} & set(result.table)
    assert "emery_unconfirmed" in YARDSTICKS and "MQI_secondary_source" in YARDSTICKS
    monkeypatch.setattr(console, "OUT", Console(width=80, highlight=False))
    score_tables.show_scores(result.table, "AQ-Net")
    screen = capsys.readouterr().out
    for basis in YARDSTICKS.values():
        assert basis in screen
    for words in ("uncon-", "firmed", "NOT confirmed", "2nd", "hand", "secondary source, pyaerocom's code",
                  "from its abstract"):
        assert words in screen


def test_the_command_and_a_quick_look(archive, tmp_path, result):
    """With --quick no surroundings are taken out; what is scored scores as it does beside the other designs."""
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


def test_what_can_not_be_scored(archive, cube):
    with pytest.raises(UserError, match="no PM2.5"):
        evaluate(str(archive), time_axis.parse_period(None, "2020-03-01", "2020-03-02"), quick=True)
    with pytest.raises(UserError, match="5 stations to score"):
        evaluate_cube(cube.isel(station=slice(5)), PERIOD)
    with pytest.raises(UserError, match="without --withheld"):
        evaluate(str(archive), PERIOD, boost=True)
    with pytest.raises(UserError, match="holds none of the stations that small withheld"):
        evaluate_cube(cube.isel(station=slice(14, None)), PERIOD, Evaluation(withheld=True))
    with pytest.raises(UserError, match="is a baseline"):
        evaluate(str(archive), PERIOD, "kriging")


def test_a_town_is_scored_too(cube):
    """Twelve stations of one town: no whole cities, and that is said."""
    town = cube.isel(station=slice(12)).drop_vars("station_city")
    town = town.assign_coords(lat=("station", 39.9 + 0.05 * (np.arange(12) % 4)),
                              lon=("station", 116.3 + 0.06 * (np.arange(12) // 4)))
    found = evaluate_cube(town, PERIOD, Evaluation(every_days=3))
    assert set(whole(found).group) == DESIGNS - {holdout.WHOLE_CITIES}
    assert any("all stations are of one city" in note for note in found.notes)
    score_tables.show_scores(found.table, "AQ-Net")


def test_scores_months_without_a_day_or_a_value(cube):
    scoring = Scoring(CubeArchive(cube), checkpoint.locate(None), (), np.array([], "datetime64[D]"), {})
    assert score_months.score_month(scoring, PERIOD.months()[0]) == ("2019-01", None)
