"""`describe`: counts of small files by hand, and tables that fit 80 columns."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from models_fixtures import lively_calibration, small_checkpoint
from rich.console import Console

from aqreanalysis import schema
from aqreanalysis.cli import facts as as_json
from aqreanalysis.cli import tables
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.observations.ingest import ingest_archives
from aqreanalysis.workflows.describe import describe
from aqreanalysis.workflows.describe.archive import ArchiveFacts, MonthCounts, VariableCounts
from aqreanalysis.workflows.simulate import simulate


def shown(facts, width=80):
    """What is printed when the output is piped."""
    out = Console(file=io.StringIO(), width=width)
    tables.show_facts(facts, out)
    text = out.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and "…" not in text   # no colours, and nothing is cut
    return text


def words(text):
    """The text with every run of blanks as one."""
    return re.sub(r"\s+", " ", text)


def cell(day, kind, station, hour):
    """Clean air that changes by the hour; the station 1002A is silent in the first 16 hours of each day."""
    if station == "1002A" and hour < 16:
        return ""
    level = {"PM2.5": 30, "PM10": 60, "SO2": 10, "NO2": 40, "CO": 1, "O3": 80}[kind]
    return level + (7 * hour) % 12


@pytest.fixture(scope="module")
def archive(tmp_path_factory, national):
    """Files of 30 January and 2 February; between them a page of HTML and no file: 48 silent hours over a seam."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "stations.csv").write_text(national.table() + "2000A,115.0,38.0\n2001A,115.0,38.0\n2002A,,\n")
    for day in ("20190130", "20190202"):
        text = national.text(day, value=cell)
        if day == "20190202":
            text = text.replace("20190202,3,PM2.5,", "20190202,3,PM2.5,-999,5000,1\n#", 1)
            text = "\n".join(line for line in text.splitlines() if not line.startswith("#")) + "\n"
        (folder / f"china_sites_{day}.csv").write_text(text)
    (folder / "china_sites_20190131.csv").write_text("<html>404</html>")
    return describe(str(folder))


def test_an_archive_by_hand(archive):
    assert (archive.stations, archive.files, archive.hours) == (5, 3, 96)
    assert str(archive.first) == "2019-01-29T16" and str(archive.last) == "2019-02-02T15"
    assert archive.gaps == [(np.datetime64("2019-01-30T16"), 48)]
    # two days of 24 + 24 + 8 values; at 3:00 of the last one the third station has a value more
    assert archive.values["pm25"].reported == 2 * 56 + 1 and archive.values["o3"].reported == 2 * 56
    assert archive.values["pm25"].flags["missing_code"] == archive.values["pm25"].flags["out_of_range"] == 1
    assert (archive.values["pm25"].low, archive.values["pm25"].high) == (-999, 5000)
    assert archive.values["pm25"].good_high == 41 and archive.values["pm25"].good <= 111
    assert archive.values["no2"].mean == pytest.approx(40 + (48 * 5.5 + 8 * 6) / 56)   # 0 ... 11; 8 of them
    months = [(month.label, month.hours, month.reported["pm10"]) for month in archive.months]
    assert months == [("2019-01", 49, 56), ("2019-02", 47, 56)]
    assert archive.stations_by_share == [2, 1, 2, 0, 0, 0]   # 0, 0; 17; 48, 48 of 96 hours: a half is not over a half
    assert any("20190131" in text and "HTML" in text for text in archive.skipped) and len(archive.skipped) == 1
    assert "from 2018-09-01" in archive.reference_state
    *warnings, places = archive.warnings   # 1002A is the id of a station in Beijing
    assert warnings == ["stations 2000A and 2001A share one place (115.0000, 38.0000)",
                        "1 station has no coordinates: 2002A"]
    assert places.startswith("places: 4 of 4 stations lie far from the places that are known of their ids (1002A")


def said(facts):
    """What --json prints, read again; NaN and Infinity are not JSON."""
    return json.loads(as_json.facts_as_text(facts), parse_constant=lambda name: pytest.fail(name))


def test_an_archive_in_json(archive):
    """The counts of the test above."""
    found = said(archive)
    assert (found["verb"], found["what"], found["stations"], found["hours"]) == ("describe", "archive", 5, 96)
    assert (found["first"], found["last"]) == ("2019-01-29T16:00:00Z", "2019-02-02T15:00:00Z")
    assert found["gaps"] == [{"first": "2019-01-30T16:00:00Z", "hours": 48}]
    pm25, no2 = found["values"]["pm25"], found["values"]["no2"]
    assert (pm25["unit"], pm25["reported"], pm25["low"], pm25["high"]) == ("ug m-3", 113, -999, 5000)
    assert pm25["flags"]["missing_code"] == 1 and no2["mean"] == pytest.approx(40 + (48 * 5.5 + 8 * 6) / 56)
    assert [(of["label"], of["hours"], of["reported"]["pm10"]) for of in found["months"]] == [
        ("2019-01", 49, 56), ("2019-02", 47, 56)]
    assert [(of["over"], of["up_to"], of["stations"]) for of in found["stations_by_share"][:3]] == [
        (None, 0, 2), (0, 0.25, 1), (0.25, 0.5, 2)]
    assert found["warnings"] == archive.warnings and found["skipped"] == archive.skipped
    empty = replace(archive, values={"pm25": VariableCounts()})
    assert said(empty)["values"]["pm25"]["low"] is said(empty)["values"]["pm25"]["mean"] is None


def test_an_archive_in_80_columns(archive):
    text = words(shown(archive))
    assert "48 hours (50.0%), in 1 gap, have no PM2.5" in text and "2019-01-31 00:00 2019-02-01 23:00 48" in text
    assert "2019-01 49 22.9 22.9 22.9" in text   # 56 of 49 hours at 5 stations
    assert "PM2.5 ug m-3 113 76.5" in text       # of 480
    assert "5: 2 over 25%, 1 under 25% of the hours with PM2.5; 2 never" in text
    assert "Skipped files - china_sites_20190131.csv is an HTML or XML page" in text
    assert all(flag in text for flag in schema.OBSERVATION_FLAGS)


def test_a_long_archive_with_weather_is_told_by_year_in_80_columns():
    values = {name: VariableCounts(6_606_260, 6_400_123, 5e8, -999.5, 474_781.0, 1419.4) for name in schema.POLLUTANTS}
    values |= {name: VariableCounts(20_420_370, 20_420_370, 2e9, -19.9, 1043.2, 1043.2) for name in schema.WEATHER}
    reported = dict.fromkeys(values, 700_000)
    months = [MonthCounts(f"{year}-{month:02d}", 720, reported) for year in range(2013, 2018) for month in range(1, 13)]
    facts = ArchiveFacts(Path("/data/" + 20 * "long/"), "a network", False, "as reported",
                         np.datetime64("2013-03-01T00", "h"), np.datetime64("2017-02-28T23", "h"), 1000, 12,
                         3_000_000_000, values, months, [(np.datetime64("2016-09-06T10", "h"), 15)] * 12,
                         [0, 0, 0, 0, 0, 1000], skipped=["a bad file"] * 41, warnings=["a sentence " * 20])
    text = words(shown(facts))
    assert "2016 8,640 97.2 97.2" in text and "2016-01 " not in text   # 12 months of 720 hours, 700 of 720 thousand
    assert "... 41 in all" in text and "3.0 GB; 41 skipped" in text


def test_a_station_archive_is_described_as_its_files_are(archive, tmp_path):
    ingest_archives([str(archive.path)], tmp_path / "archive.nc")
    facts = describe(str(tmp_path / "archive.nc"))
    for name in schema.POLLUTANTS:
        assert vars(facts.values[name]) == vars(archive.values[name])
    assert (facts.months, facts.gaps) == (archive.months, archive.gaps)
    assert facts.stations_by_share == archive.stations_by_share
    assert facts.skipped == archive.skipped and facts.anomalies == archive.anomalies
    shown(facts)


def test_a_simulated_archive_says_so(tmp_path):
    written, = simulate(tmp_path / "twin", "2016-01-05", "2016-01-06")
    assert written.name == "simulated_observations_201601.parquet"
    facts = describe(str(tmp_path / "twin"))
    assert facts.simulated and facts.hours == 48
    assert shown(facts).lstrip("╭─╮\n│ ").startswith("SIMULATED") and "no reference state" in words(shown(facts))


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    folder = tmp_path_factory.mktemp("product")
    grid = samples.grid("regular", tmp_path_factory.mktemp("grid"))
    samples.hourly_file(folder / "pm25_hourly_201602.nc", grid)
    samples.daily_file(folder / "pm25_daily_2016.nc", grid)
    (folder / "run.json").write_text(json.dumps({
        "identity": {"checkpoint": "aqnet-1 0123", "neighbours": 20, "minimum_hours": 18, "minimum_station_hours": 1},
        "facts": {"stations": 7, "files": 3, "files_skipped": ["x"], "warnings": ["time zone: odd"]},
        "months": {"2016-02": {"hours_without_observations": 5}}}))
    return folder


def test_a_product_by_hand(product):
    facts, expected = describe(str(product)), samples.fields(63)
    hourly = facts.kinds["hourly"]
    np.testing.assert_array_equal(hourly.classes, np.bincount(expected["quality_flag"].ravel(), minlength=5))
    of = hourly.fields["pm25"]
    assert (of.steps, of.values, of.missing) == (72, 72 * 63, 1)
    assert of.low == pytest.approx(np.nanmin(expected["pm25"]), rel=2**-11)
    assert of.total / (of.values - 1) == pytest.approx(np.nanmean(expected["pm25"]), rel=2**-11)
    assert (hourly.first, hourly.last) == (facts.kinds["daily"].first, facts.kinds["daily"].last) == (
        "2016-02-28", "2016-03-01")
    text = words(shown(facts))
    for told in ("9 x 7 cells, 115.05 to 115.85 E, 39.15 to 39.75 N", "Concentrations at ambient conditions.",
                 "a day needs 18 of 24 hours", "7 stations, 3 files, 1 skipped", "5 hours without any observation",
                 "warning time zone: odd", "0 supported 24.99 20.00", "4 sea - 19.97"):
        assert told in text, told


def test_a_product_in_json(product):
    found, expected = said(describe(str(product))), samples.fields(63)
    assert (found["what"], found["simulated"], found["damaged"]) == ("product", False, [])
    assert found["run"] == json.loads((product / "run.json").read_text())
    hourly = found["kinds"]["hourly"]
    assert list(hourly["classes"]) == list(schema.QUALITY) and hourly["with_fields"] is None
    assert list(hourly["classes"].values()) == np.bincount(expected["quality_flag"].ravel(), minlength=5).tolist()
    of = hourly["fields"]["pm25"]
    assert (of["steps"], of["values"], of["missing"]) == (72, 72 * 63, 1)
    assert of["mean"] == pytest.approx(np.nanmean(expected["pm25"]), rel=2**-11)
    assert (hourly["first"], hourly["last"]) == ("2016-02-28", "2016-03-01")
    alone = said(describe(str(product / "pm25_daily_2016.nc")))
    assert list(alone["kinds"]) == ["daily"] and alone["run"] is None


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_one_cube_and_a_simulated_one(tmp_path, layout):
    grid = samples.grid(layout, tmp_path)
    facts = describe(str(samples.daily_file(tmp_path / "pm25_daily_2016.nc", grid)))
    assert list(facts.kinds) == ["daily"] and "SIMULATED" not in shown(facts)
    assert "SIMULATED" in shown(describe(str(samples.truth_file(tmp_path / "simulated_truth_hourly_201602.nc", grid))))


def test_a_cut_file_of_a_product_is_told_and_the_others_described(product, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(product, folder)
    daily = folder / "pm25_daily_2016.nc"
    daily.write_bytes(daily.read_bytes()[:3000])
    facts = describe(str(folder))
    assert list(facts.kinds) == ["hourly"] and facts.damaged[0].startswith("pm25_daily_2016.nc can't be read")
    assert "Files that can't be read" in shown(facts)
    (folder / "pm25_hourly_201602.nc").write_bytes(b"")
    with pytest.raises(UserError, match="No product file"):
        describe(str(folder))


def test_a_checkpoint_by_name_and_by_folder():
    by_name, folder = describe(checkpoint.DEFAULT), checkpoint.SHIPPED / checkpoint.DEFAULT
    assert by_name == describe(str(folder)) == describe(str(folder / "model.safetensors"))
    text = words(shown(by_name))
    assert f"checkpoint {checkpoint.DEFAULT} (aqnet-analysis), made" in text
    assert "2019-01-01 to 2019-12-31" in text and "every 6th week left out" in text


def test_a_checkpoint_in_json_is_its_card():
    card = json.loads((checkpoint.SHIPPED / "spin-beijing" / "checkpoint.json").read_text(encoding="utf-8"))
    found = said(describe("spin-beijing"))
    del card[checkpoint.CHECKSUM]
    assert {name: found[name] for name in card} == card
    assert found["what"] == "checkpoint" and found["identity"].startswith("spin-beijing ")
    worse, = found["warnings"]
    assert worse.startswith("Kriging is better") and said(describe(checkpoint.DEFAULT))["warnings"] == []


def test_what_a_checkpoint_was_trained_on_and_its_scores(tmp_path):
    text = words(shown(describe(str(small_checkpoint(tmp_path / "c")))))
    assert "the mock cube; 2019-01-01 to 2019-02-09, 1 stations, every 6th week left out" in text
    assert "1,500 steps, 2 minutes" in text and "not calibrated" in text and "e-folding time of 5.5 h" in text
    assert "to test 2 single stations and 0 in whole cities" in text and "networks besides" not in text
    assert "whole cities daily 1,234 9.88 12.50 +8.2 -1.5" in text


def test_a_checkpoint_with_folds_and_without_withheld_stations(tmp_path):
    facts = checkpoint.AnalysisFacts({}, {}, 5.5, [["S000", 36.5, 113.5, 0]], ["one", "other"])
    none = {part: [] for part in ("test_single", "test_city", "validation_single", "validation_city")}
    text = words(shown(describe(str(small_checkpoint(tmp_path / "c", analysis=facts, withheld=none)))))
    assert "no station; 2 networks besides, each trained without the cities of a fold" in text


def test_a_calibrated_checkpoint(tmp_path):
    """How sure its errors are, by hours and days; a slice without days has dashes, one of another name is shown too."""
    of = {"n": 1200, "inside": 0.8971, "below": 0.05, "above": 0.05, "z_rms": 1.02, "width": 44.51}
    facts = {"stations": 138, "days": 76, "first": "2019-01-07", "last": "2019-12-29",
             "at_other_towns": {"hourly": {"all": of, "Dec-Feb": of | {"n": 7}, "far": of | {"inside": 0.9}},
                                "daily": {"all": of | {"n": 50}}}}
    calibration = lively_calibration().asdict() | {"facts": facts}
    text = words(shown(describe(str(small_checkpoint(tmp_path / "c", calibration=calibration)))))
    assert "138 stations left out, 76 days from 2019-01-07 to 2019-12-29" in text and "0.97 after an hour" in text
    assert "all 1,200 89.7 1.02 44.5 50 89.7 1.02 44.5" in text and "far 1,200 90.0 1.02 44.5 - - - -" in text
    assert "Dec-Feb 7 89.7" in text  # an older name of a season


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    folder = small_checkpoint(tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        describe(str(folder))


def test_fields_are_told(tmp_path):
    """Weather at two sites, and the twin's on a grid; files of two grids are refused as what they are."""
    (tmp_path / "rows.csv").write_text("time,station_id,lon,lat,t2m,dew_point\n" + "".join(
        f"2016-01-01T0{hour}:00Z,{site},11{site}.5,38,280,1\n" for hour in (1, 2, 4) for site in (3, 5)))
    facts = describe(str(tmp_path))
    assert (str(facts.first)[:13], str(facts.last)[:13]) == ("2016-01-01T01", "2016-01-01T04")
    text = words(shown(facts))
    for told in ("2 sites, 113.50 to 115.50 E, 38.00 to 38.00 N; each holds within 120 km",
                 "2016-01-01 01:00 to 2016-01-01 04:00 (UTC, END of the hour), 4 hours",
                 "t2m air temperature at 2 m (K) d2m dew point at 2 m (K) rh relative humidity at 2 m (%), from others",
                 f"hash {facts.fingerprint} of all files"):
        assert told in text, told
    found = said(facts)
    assert (found["what"], found["first"], found["hours"]) == ("fields", "2016-01-01T01:00:00Z", 4)
    assert found["derived"] == ["rh"] and found["variables"]["t2m"] == "air temperature at 2 m (K)"
    with pytest.raises(UserError, match="rows.csv has no column pm25"):  # options are of observations
        describe(str(tmp_path), utc_offset=8)
    (tmp_path / "rows.csv").unlink()
    for number in (2, 3):
        axis = {name: np.arange(38.0, 38 + number) for name in ("lat", "lon")}
        xr.Dataset({"t2m": (("time", "lat", "lon"), np.full((2, number, number), 280.0), {"units": "K"})}, attrs={
            "simulated": "true"}, coords=axis | {"time": np.array(["2016-01-01T00", "2016-01-01T01"], "M8[ns]")}
                   ).to_netcdf(tmp_path / f"{number}.nc")
    text = shown(describe(str(tmp_path / "[2].nc")))
    assert text.lstrip("╭─╮\n│ ").startswith("SIMULATED") and "38 to 39 E, 38 to 39 N" in words(text)
    with pytest.raises(UserError, match="no file of a known layout.*Nor can it be read as fields: .*different grids"):
        describe(str(tmp_path))


def test_what_is_none_of_them_is_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        describe(str(tmp_path / "nothing"))
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as file:
        file.title = "something else"
    with pytest.raises(UserError, match="known layout"):
        describe(str(tmp_path / "other.nc"))


@pytest.mark.archive
def test_a_month_of_the_real_network(archive_path, tmp_path):
    """Figures of the publisher's notes for 2019, here of April: the whole of the 8th is absent."""
    shutil.copy(archive_path / "cnemc-2019" / "china_sites_201904.zip", tmp_path)
    table = (archive_path / "cnemc-2019" / "stations.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "stations.csv").write_text("\n".join([table[0], *table[1::10]]) + "\n", encoding="utf-8")
    facts = describe(str(tmp_path))
    assert facts.gaps[0] == (np.datetime64("2019-04-07T16"), 24) and facts.stations == 84
    assert 0.85 < facts.values["pm25"].reported / (84 * facts.hours) < 0.95
    assert facts.skipped == [] and not [text for text in facts.warnings if text.startswith(("time", "units"))]
    shown(facts)
