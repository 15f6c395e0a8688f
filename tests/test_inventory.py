"""What a command says of its observations before it computes: counted by hand on small tidy files."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.observations.coverage import measure_coverage
from aqreanalysis.observations.inventory import check_usable, take_inventory
from aqreanalysis.observations.quality import DEFAULT_SETTINGS
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import changed_parts
from aqreanalysis.product import plan
from aqreanalysis.time_axis import parse_period
from aqreanalysis.workflows.build import NoProgress, build

PERIOD = parse_period(None, "2019-01-11", "2019-01-12")
PLACES = {"A": (116.0, 40.0), "B": (116.5, 40.0), "C": (117.0, 40.0)}


def write(folder, values):
    """A tidy file of station -> values of the hours of PERIOD, NaN left out; 24 h before and after are like them."""
    folder.mkdir(exist_ok=True)
    rows = []
    for station, series in values.items():
        lon, lat = PLACES[station]
        rows += [f"{station},{hour}Z,{lon},{lat},{value}"
                 for hour, value in zip(PERIOD.hours.astype("datetime64[m]"), series, strict=True) if value == value]
    (folder / "rows.csv").write_text("station_id,time,lon,lat,pm25\n" + "\n".join(rows) + "\n")
    return str(folder)


def air(seed=0):
    return np.round(np.random.default_rng(seed).uniform(20, 60, 48), 1)


def inventory(path, minimum_hours=20):
    archive = open_archive(path)
    first, last = PERIOD.hours[[0, -1]]
    return archive, take_inventory(archive, first, last, archive.inspect(first, last), minimum_hours)


def test_hours_stations_and_days_are_counted(tmp_path):
    """A in 48 hours, B in 12 of them, C nothing but codes; codes and absurd values count nowhere."""
    b, c = np.full(48, np.nan), np.full(48, -999.0)
    b[:12], c[40] = 35.0, 99999.0
    cover = measure_coverage(open_archive(write(tmp_path / "in", {"A": air(), "B": b, "C": c})), *PERIOD.hours[[0, -1]])
    assert dict(zip(cover.stations, cover.station_hours, strict=True)) == {"A": 48, "B": 12, "C": 0}
    assert (cover.hours_observed, cover.hours, cover.used, cover.silent().tolist()) == (48, 48, 2, ["C"])
    assert cover.share == 60 / 96 and cover.day_hours.tolist() == [24, 24] and cover.day_values.tolist() == [36, 24]


def test_sparse_input_is_told_in_every_place(tmp_path, no_maps):
    """Two observations a day: a warning before the run; title, summary and attributes of the files; no valid day."""
    hours = np.full(48, np.nan)
    hours[[3, 15, 27, 39]] = 40.0
    path = write(tmp_path / "in", {"A": hours, "B": hours + 1})
    found = inventory(path)[1]
    assert dict(found.rows())["hours"] == ("4 of 48 hours observed; 44 have no observation; 8.3% of the hours of 2 "
                                           "stations")
    assert dict(found.rows())["days"] == "0 of 2 have 20 observed hours or more"
    assert any("sparse: 44 of 48 hours" in text for text in found.warnings)
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nX,116.2,40.0\n")
    result = CliRunner().invoke(app, ["build", "--start", "2019-01-11", "--end", "2019-01-12", "--observations", path,
                                      "--grid", str(tmp_path / "points.csv"), "--checkpoint", "kriging", "--workers",
                                      "1", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines.index("stations:     2 used") < next(n for n, line in enumerate(lines) if line.startswith("folder:"))
    assert "note: rows.csv" not in result.output   # every stamp has its offset
    facts = json.loads((tmp_path / "out" / "run.json").read_text())["facts"]
    assert (facts["hours"], facts["hours_without_observations"], facts["stations_used"]) == (48, 44, 2)
    assert facts["days_with_enough_hours"] == 0 and facts["stations_left_out"] == {}
    assert facts["files_passed_over"] == [] and "sparse" in facts["warnings"][-1]
    for name in ("pm25_hourly_201901.nc", "pm25_daily_2019.nc"):
        with xr.open_dataset(tmp_path / "out" / name) as file:
            assert file.attrs["title"].endswith(", from 4 of 48 hours") and "gap-free" not in file.attrs["summary"]
            assert (file.attrs["hours_observed"], file.attrs["hours_of_period"]) == (4, 48)
            assert "4 of the period's 48 hours (8.3%)" in file.attrs["comment"]
    assert np.isnan(file.pm25.values).all() and file.number_of_hours.values.tolist() == [[2], [2]]
    report = (tmp_path / "out" / "report.html").read_text()
    assert "4 of 48 hours observed" in report and "<h3>Warnings</h3>" in report


@pytest.mark.parametrize("values, told", [
    ({"A": air()}, "has PM2.5 of 1 station from 2019-01-11 to 2019-01-12"),
    ({"A": air(), "B": np.full(48, -999.0)}, "has PM2.5 of 1 station .*; 1 left out, no PM2.5 value in the period"),
    ({"A": np.full(48, 99999.0), "B": np.full(48, -999.0)}, "has PM2.5 of 0 stations"),
    ({"A": air(), "B": np.full(48, 37.0)}, "Of the 2 stations .* 1 has a value that passes quality control")])
def test_fewer_than_two_usable_stations_are_an_error_before_anything_is_written(tmp_path, values, told):
    """Whatever the reason; a value that stays the same for two days is a stuck sensor's."""
    path = write(tmp_path / "in", values)
    with pytest.raises(UserError, match=told):
        plan.prepare(plan.BuildRequest(start="2019-01-11", end="2019-01-12", observations=path, grid="1deg",
                                       checkpoint="kriging", out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_values_that_never_change_are_told(tmp_path):
    """Two stations that agree are not flagged: the air may be still. A whole day of one value is told."""
    warnings = inventory(write(tmp_path / "in", {"A": np.zeros(48), "B": np.full(48, 37.0), "C": air()}))[1].warnings
    assert any(text.startswith("constant: 2 stations have one and the same value in every hour, as A has 0 ug m-3")
               for text in warnings)


def test_usable_stations_may_be_far_apart_in_time(tmp_path):
    """A reports on the first day and B on the second: two stations, found although no stretch has both."""
    a, b = air(1), air(2)
    a[24:], b[:24] = np.nan, np.nan
    archive, found = inventory(write(tmp_path / "in", {"A": a, "B": b}))
    check_usable(archive, found, "here", DEFAULT_SETTINGS)
    assert dict(found.rows())["stations"] == "2 used" and found.coverage.share == 0.5


def test_stations_left_out_are_told_with_the_reason(tmp_path):
    """By kind with count and names on the screen, each with its reason in run.json."""
    rows = pd.read_csv(write(tmp_path / "in", {"A": air(1), "B": air(2), "C": np.full(48, -999.0)}) + "/rows.csv")
    null = rows[rows.station_id == "A"].assign(station_id="N", lon=0.0, lat=0.0)
    blank = rows[rows.station_id == "A"].assign(station_id="M", lon=np.nan, lat=np.nan)
    pd.concat([rows, null, blank]).to_csv(tmp_path / "in" / "rows.csv", index=False)
    found = inventory(str(tmp_path / "in"))[1]
    assert dict(found.rows())["stations"] == (
        "2 of 5 used; left out: M (no coordinates); N (0 in place of missing coordinates); C (no PM2.5 value in the "
        "period)")
    assert list(found.facts()["stations_left_out"]) == ["M", "N", "C"]


def test_what_a_margin_repeats_of_a_file_is_told_once(tmp_path):
    """Codes for missing in the period and in the days around it: one sentence, with the count of the period."""
    path = write(tmp_path / "in", {"A": air(1), "B": air(2), "C": np.full(48, -999.0)})
    first, last = PERIOD.hours[[0, -1]]
    archive = open_archive(path)
    found = archive.inspect(first, first + np.timedelta64(23, "h"))
    found.take_in(archive.inspect(first + np.timedelta64(24, "h"), last))
    assert found.anomalies == ["rows.csv: 24 PM2.5 values below 0, the lowest -999 at C, 2019-01-10T17Z"]


def test_rows_that_disagree_are_named_where_nothing_is_left(tmp_path):
    path = write(tmp_path / "in", {"A": air(1), "B": air(2)})
    rows = pd.read_csv(path + "/rows.csv")
    rows.assign(pm25=rows.pm25 + 9).to_csv(tmp_path / "in" / "more.csv", index=False)
    archive, found = inventory(path)
    with pytest.raises(UserError, match="0 have a value that passes quality control; in: 96 PM2.5 values given more"):
        check_usable(archive, found, "here", DEFAULT_SETTINGS)


@pytest.mark.parametrize("how", ["cut", "removed"])
def test_a_file_that_changes_while_a_product_is_made_ends_the_build(tmp_path, how, no_maps):
    """No month is made from other contents than the record has a hash of; the fix that is given works."""
    file = tmp_path / "in" / "rows.csv"
    path = write(tmp_path / "in", {"A": air(1), "B": air(2), "C": air(3)})
    text = file.read_text()
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nP,116.2,40.0\n")
    request = plan.BuildRequest(start="2019-01-11", end="2019-01-12", observations=path, checkpoint="idw",
                                grid=str(tmp_path / "points.csv"), out=str(tmp_path / "out"))

    def change(planned, months):
        file.write_text(text[:3000]) if how == "cut" else file.unlink()
        return NoProgress(planned, months)

    with pytest.raises(UserError, match=r"1 file of .*in changed while the product was made: rows.csv.*remove .*out"):
        build(request, change)
    assert not list((tmp_path / "out").glob("pm25*.nc"))
    shutil.rmtree(tmp_path / "out")
    file.write_text(text)
    assert (build(request) / "report.html").is_file()


def test_a_file_outside_a_month_may_change(tmp_path):
    path = write(tmp_path / "in", {"A": air(1), "B": air(2)})
    parts, hours = open_archive(path).parts(), PERIOD.hours
    (tmp_path / "in" / "rows.csv").write_text("")
    day = np.timedelta64(24, "h")
    assert changed_parts(parts, tmp_path / "in", hours[-1] + day, hours[-1] + 2 * day) == []
    assert changed_parts(parts, tmp_path / "in", hours[-1], hours[-1] + day) == ["rows.csv"]
