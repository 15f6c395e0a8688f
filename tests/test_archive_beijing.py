"""The two real Beijing archives: their known oddities, some rows by hand, and whether they agree."""

import csv
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import time_axis
from aqreanalysis.observations.readers import open_archive

pytestmark = pytest.mark.archive
WINTER = ("2015-11-30T17", "2016-02-29T16")  # three months in UTC+8


@pytest.fixture(scope="module")
def municipal(archive_path):
    return open_archive(archive_path / "beijing-2013-2018")


@pytest.fixture(scope="module")
def uci(archive_path):
    return open_archive(archive_path / "uci-beijing")


def test_periods_and_stations(municipal, uci):
    assert municipal.period() == (np.datetime64("2013-12-04T16"), np.datetime64("2018-06-02T15"))
    assert uci.period() == (np.datetime64("2013-02-28T16"), np.datetime64("2017-02-28T15"))
    assert len(municipal.stations) == 35 and len(uci.stations) == 12
    assert set(uci.stations["station_id"]) < set(municipal.stations["station_id"])


def test_the_38_unusable_files_are_named_with_their_cause_and_the_gzip_is_read(municipal):
    found = {}
    for start, end in (("2014-12-30T16", "2015-01-01T15"), ("2016-12-29T16", "2016-12-31T15"),
                       ("2017-05-18T16", "2017-07-08T15")):
        for text in municipal.inspect(start, end).skipped:
            file, cause = text.split(" ", 1)
            found.setdefault(cause, []).append(file.rpartition(":")[2])
    assert {cause: len(files) for cause, files in found.items()} == {
        "is empty": 4, "is an HTML or XML page, not a text table": 34}
    assert np.isfinite(municipal.read("2014-12-30T16", "2014-12-31T15").pm25).sum() > 700


def test_two_more_files_are_cut_off_and_lose_their_last_line(municipal):
    found = municipal.inspect("2016-07-23T16", "2016-07-25T15")
    assert found.skipped == [] and [text.partition(": ")[2].partition(":")[0] for text in found.anomalies] == [
        f"1 row without the 38 cells of the header not read (line {line}" for line in (92, 68)]


def test_the_absurd_values_of_mentougou_are_told_and_kept(municipal):
    found = municipal.inspect("2014-01-15T16", "2014-01-16T15")
    assert len(found.anomalies) == 1 and found.anomalies[0].endswith(
        "beijing_all_20140116.csv: 6 PM2.5 values above 2000, the largest 553405 at bj_mentougou, "
        "2014-01-16 02:00 (UTC+8)")
    values = municipal.read("2014-01-15T16", "2014-01-16T15").pm25.sel(station="bj_mentougou").values
    assert (values > 400_000).sum() == 6 and 474_781 in values


@pytest.mark.parametrize("part, kind, name", [("all", "PM2.5", "pm25"), ("all", "PM10", "pm10"), ("extra", "CO", "co"),
                                              ("extra", "O3", "o3")])
def test_a_whole_row_against_the_csv_module(archive_path, municipal, part, kind, name):
    with zipfile.ZipFile(archive_path / "beijing-2013-2018" / "beijing_20150101-20151231.zip") as container:
        text = container.read(f"beijing_{part}_20150601.csv").decode("utf-8-sig")
    row = next(row for row in csv.DictReader(io.StringIO(text)) if (row["hour"], row["type"]) == ("13", kind))
    cube = municipal.read("2015-06-01T05", "2015-06-01T05")
    expected = [np.float32(row[str(station)] or "nan") for station in cube.station_name.values]
    np.testing.assert_array_equal(cube[name].values[0], expected)
    assert np.isfinite(expected).sum() > 20


@pytest.fixture(scope="module")
def year(municipal):
    hours = time_axis.parse_period("2017", None, None).hours
    return municipal.read(hours[0], hours[-1]).pm25


def test_the_mean_of_2017(year):
    assert float(year.mean()) == pytest.approx(60.8, abs=0.05)  # the figure of the notes that came with the files


def test_uci_has_the_hours_that_pandas_counts(archive_path, uci):
    found = uci.inspect(*uci.period())
    assert (found.skipped, found.good, found.anomalies) == ([], 12, [])  # its one blank cell is a missing value
    with zipfile.ZipFile(next((archive_path / "uci-beijing").glob("*.zip"))) as container:
        values = [pd.read_csv(container.open(member), usecols=["PM2.5"]) for member in container.namelist()]
    assert found.values == sum(int(table["PM2.5"].count()) for table in values)


def test_the_archives_agree_at_the_same_stamp_and_at_no_other(municipal, uci):
    """benchmarks/beijing_archives.py gives the figure for all years: r = 0.9993."""
    start, end = (np.datetime64(stamp, "ns") for stamp in WINTER)
    ours = municipal.read(start, end).pm25

    def r(lag):
        theirs = uci.read(start + lag * time_axis.HOUR, end + lag * time_axis.HOUR).pm25
        a, b = ours.sel(station=theirs.station).values.ravel(), theirs.values.ravel()
        both = np.isfinite(a) & np.isfinite(b)
        assert both.sum() > 20_000
        return np.corrcoef(a[both], b[both])[0, 1]

    assert r(0) > 0.999
    assert max(r(-1), r(1)) < 0.99


def test_weather_of_beijing(uci):
    winter = uci.read(*WINTER)
    assert -5 < winter.temperature.mean() < 5 and 1000 < winter.pressure.mean() < 1040
    assert (winter.dew_point <= winter.temperature + 1).mean() > 0.9 and 0.1 < winter.co.median() < 3
    assert set(np.unique(winter.wind_direction.values[np.isfinite(winter.wind_direction.values)])) == set(
        np.arange(16) * 22.5)
