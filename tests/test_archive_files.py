"""The real archive, read by the package and, for some cells, by hand; the figures are its publisher's notes'."""

import csv
import io
import zipfile

import numpy as np
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.observations import quality
from aqreanalysis.observations.readers import open_archive

pytestmark = pytest.mark.archive
JANUARY = time_axis.parse_period(None, "2019-01-01", "2019-01-31")
JULY = time_axis.parse_period(None, "2019-07-01", "2019-07-31")


@pytest.fixture(scope="module")
def archive(archive_path):
    return open_archive(archive_path / "cnemc-2019")


@pytest.fixture(scope="module")
def january(archive):
    return archive.read(JANUARY.hours[0], JANUARY.hours[-1])


@pytest.fixture(scope="module")
def july(archive):
    return quality.screen(archive.read(JULY.hours[0], JULY.hours[-1]))


def rows_of(archive_path, day):
    """The rows of a day's file as dicts, read with the csv module only."""
    with zipfile.ZipFile(archive_path / "cnemc-2019" / f"china_sites_{day[:6]}.zip") as container:
        text = container.read(f"china_sites_{day}.csv").decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_shapes_and_places(archive, january):
    schema.check_station_cube(january)
    assert january.sizes == {"time": 31 * 24, "station": 832}
    west, east, south, north = schema.REGION_EDGES
    assert january.lon.min() >= west - 1 and january.lon.max() <= east + 1
    assert january.lat.min() >= south - 1 and january.lat.max() <= north + 1
    assert archive.period() == (np.datetime64("2018-12-31T16"), np.datetime64("2019-12-31T15"))
    assert not archive.simulated


def test_january_has_no_bad_file_and_most_of_its_hours(archive, january):
    found = archive.inspect(JANUARY.hours[0], JANUARY.hours[-1])
    assert (found.skipped, found.good) == ([], 32)  # the last stamp of January lies in the file of 1 February
    assert found.values == int(np.isfinite(january.pm25).sum())
    assert 0.85 < np.isfinite(january.pm25).mean() < 0.99  # 91 % in the year


@pytest.mark.parametrize("day, hour, stamp", [
    ("20190115", "13", "2019-01-15T05"), ("20190101", "0", "2018-12-31T16"), ("20190131", "23", "2019-01-31T15"),
    ("20190201", "0", "2019-01-31T16")])
def test_whole_rows_against_the_csv_module(archive_path, archive, day, hour, stamp):
    cube = archive.read(stamp, stamp)
    wanted = {row["type"]: row for row in rows_of(archive_path, day) if row["hour"] == hour}
    for kind, name in {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}.items():
        expected = [np.float32(wanted[kind].get(station) or "nan") for station in cube.station.values]
        np.testing.assert_array_equal(cube[name].values[0], expected)
        assert np.isfinite(expected).sum() > 400


def test_the_calendar_day_is_that_of_the_official_means(archive_path, january):
    """The files give PM2.5_24h: at 00:00 of 1 February the official mean of 31 January."""
    row = next(row for row in rows_of(archive_path, "20190201") if row["type"] == "PM2.5_24h" and row["hour"] == "0")
    official = np.array([float(row.get(station) or "nan") for station in january.station.values])

    def difference(hours):
        day = january.pm25.sel(time=hours)
        ours = day.mean("time").where(np.isfinite(day).all("time"))
        return np.abs(ours.values - official)

    hours = JANUARY.hours[-24:]
    right = difference(hours)
    assert np.isfinite(right).sum() > 300
    assert np.nanmedian(right) <= 0.5 and np.nanquantile(right, 0.9) < 1  # the publisher rounds
    for shift in (-1, -2, -8):
        assert np.nanmedian(difference(hours + shift * time_axis.HOUR)) > 2 * np.nanmedian(right)


def test_the_day_of_which_no_file_exists_is_all_missing(archive):
    cube = archive.read("2019-04-07T15", "2019-04-08T16")  # 23:00 of the 7th to 00:00 of the 9th
    seen = np.isfinite(cube.to_array()).any(["variable", "station"]).values
    assert seen.tolist() == [True] + [False] * 24 + [True]


def test_concentrations_are_in_their_units_and_below_the_known_maxima(january):
    for name, highest in {"pm25": 1523, "pm10": 4985, "co": 90, "so2": 941}.items():
        assert highest / 10 < january[name].max() <= highest
    assert 0.5 < january.co.median() < 3  # mg m-3
    assert 30 < january.pm25.median() < 120  # winter


def test_ozone_follows_the_sun_of_the_local_clock(july):
    end_hour = (july.time.dt.hour + time_axis.UTC_OFFSET_HOURS) % 24
    mean = quality.usable(july).o3.mean("station").groupby(end_hour).mean()
    assert int(end_hour[0]) == 1  # the first stamp of a calendar day
    assert int(mean.idxmin()) in (6, 7)
    assert int(mean.idxmax()) in (15, 16)


def test_pairs_that_can_not_be_are_few_and_are_what_is_flagged(july):
    wrong = (july.pm25 > july.pm10).values
    assert 0.01 < wrong.sum() / np.isfinite(july.pm25 + july.pm10).values.sum() < 0.1  # 2.7 % in the year
    bits = schema.OBSERVATION_FLAGS
    for name in ("pm25", "pm10"):
        expected = bits["missing"] * np.isnan(july[name].values) + bits["pm25_above_pm10"] * wrong
        first_tests = july[f"{name}_flag"].values & (bits["missing"] | bits["missing_code"] | bits["pm25_above_pm10"])
        np.testing.assert_array_equal(first_tests, expected)
