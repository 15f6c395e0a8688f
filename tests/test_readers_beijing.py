"""Beijing's municipal files: two a day, Chinese heads, values that name their day, type, station and hour."""

import gzip
import zipfile

import numpy as np
import pytest

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import ReadingOptions
from aqreanalysis.observations.readers.beijing import BEIJING

NAMES = ("东四", "门头沟", "定陵")
IDS = ("bj_dongsi", "bj_mentougou", "bj_dingling")
TYPES = {"all": ("PM2.5", "PM2.5_24h", "PM10", "PM10_24h", "AQI"),
         "extra": ("SO2", "SO2_24h", "NO2", "NO2_24h", "O3", "O3_24h", "CO", "CO_24h")}
OURS = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
DAYS = ("20140115", "20140116", "20140117")
DAY = ("2014-01-15T17", "2014-01-16T16")  # the calendar day 2014-01-16 in UTC+8
WHOLE = ("2014-01-14T16", "2014-01-17T15")
TABLE = "station_id,name,lon,lat\n" + "".join(
    f"{one},{name},{116 + number / 10},40\n" for number, (one, name) in enumerate(zip(IDS, NAMES, strict=True)))


def value(day, kind, name, hour):
    """Its day, its type in the hundreds, its station in thirties and the hour; CO a thousandth of that."""
    number = 100 * list(OURS).index(kind) + 30 * NAMES.index(name) + hour + (700 if day == DAYS[1] else 0)
    return number / 1000 if kind == "CO" else number


def text(day, part, given=value, names=NAMES):
    lines = [",".join(("date", "hour", "type", *names))]
    for hour in range(24):
        lines += [",".join((day, str(hour), kind, *(str(given(day, kind, name, hour) if kind in OURS else 77777)
                                                    for name in names))) for kind in TYPES[part]]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "beijing"
    path.mkdir()
    (path / "stations.csv").write_text(TABLE, encoding="utf-8")
    for day in DAYS:
        for part in TYPES:
            (path / f"beijing_{part}_{day}.csv").write_text(text(day, part), encoding="utf-8")
    return path


def as_zips(folder):
    with zipfile.ZipFile(folder / "beijing_2014.zip", "w") as container:
        for file in sorted(folder.glob("beijing_*.csv")):
            container.write(file, f"2014/{file.name}")
            file.unlink()
    return folder


def as_gbk(folder):
    for file in folder.glob("*.csv"):
        file.write_bytes(file.read_text(encoding="utf-8").encode("gb18030"))
    return folder


@pytest.mark.parametrize("layout", [lambda folder: folder, as_zips, as_gbk])
def test_every_value_stands_at_its_own_hour_station_and_pollutant(folder, layout):
    archive = open_archive(layout(folder))
    assert archive.period() == (np.datetime64(WHOLE[0]), np.datetime64(WHOLE[1])) and not archive.simulated
    cube = schema.check_station_cube(archive.read(*DAY))
    assert cube.sizes == {"time": 24, "station": 3}
    for kind, ours in OURS.items():
        for name, station in zip(NAMES, IDS, strict=True):
            expected = [value(DAYS[1], kind, name, hour) for hour in range(1, 24)] + [value(DAYS[2], kind, name, 0)]
            assert cube[ours].sel(station=station).values.tolist() == np.float32(expected).tolist()
    assert cube.lon.sel(station="bj_mentougou") == pytest.approx(116.1)
    assert cube.station_name.sel(station="bj_dingling") == "定陵"
    found = archive.inspect(*WHOLE)
    assert (found.good, found.values, found.skipped, found.anomalies) == (6, 3 * 24 * 3, [], [])


def test_carbon_monoxide_is_in_milligrams_as_written(folder):
    (folder / f"beijing_extra_{DAYS[1]}.csv").write_text(text(DAYS[1], "extra", lambda *_: 0.8), encoding="utf-8")
    assert open_archive(folder).read("2014-01-16T00", "2014-01-16T01").co.values == pytest.approx(0.8)


BAD = {"empty": (b"", "is empty"), "HTML": (b"<html>404</html>", "is an HTML or XML page"),
       "gzip": (gzip.compress(text(DAYS[1], "all").encode(), mtime=0)[:-9], "is a damaged or truncated gzip file"),
       "of others": (b"date,hour,type,1001A\n20140116,0,PM2.5,1\n", "names no station of the station table")}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("part, lost, kept", [("all", ("pm25", "pm10"), ("so2", "no2", "co", "o3")),
                                              ("extra", ("so2", "no2", "co", "o3"), ("pm25", "pm10"))])
def test_a_bad_file_is_named_and_does_not_lose_the_days_other_file(folder, fault, part, lost, kept):
    before = open_archive(folder).read(*WHOLE)
    content, told = BAD[fault]
    (folder / f"beijing_{part}_{DAYS[1]}.csv").write_bytes(content)
    archive = open_archive(folder)
    found, cube = archive.inspect(*WHOLE), archive.read(*WHOLE)
    assert (found.good, len(found.skipped)) == (5, 1)
    assert found.skipped[0].startswith(f"beijing_{part}_{DAYS[1]}.csv ") and told in found.skipped[0]
    for name in kept:
        assert cube[name].identical(before[name])
    for name in lost:
        assert cube[name].isnull().all("station").values.tolist() == [False] * 24 + [True] * 24 + [False] * 24


def test_absurd_values_are_told_with_their_station_and_hour(folder):
    given = {1: 544823, 2: 553405, 3: 519961, 4: 483074, 5: 474781, 6: 481881}

    def spoilt(day, kind, name, hour):
        return given.get(hour, 275) if (kind, name) == ("PM2.5", "门头沟") else 9

    (folder / f"beijing_all_{DAYS[1]}.csv").write_text(text(DAYS[1], "all", spoilt), encoding="utf-8")
    archive = open_archive(folder)
    assert archive.inspect(*WHOLE).anomalies == [
        f"beijing_all_{DAYS[1]}.csv: 6 PM2.5 values above 2000, the largest 553405 at bj_mentougou, "
        "2014-01-16 02:00 (UTC+8)"]
    cube = archive.read("2014-01-15T16", "2014-01-15T23")
    assert cube.pm25.sel(station="bj_mentougou").values.tolist() == [275, *given.values(), 275]


def test_a_pollutant_in_both_files_of_a_day_is_a_conflict_where_they_disagree(folder):
    row = "20140116,5,PM2.5," + ",".join(str(value(DAYS[1], "PM2.5", name, 5) + (name == "定陵")) for name in NAMES)
    with (folder / f"beijing_extra_{DAYS[1]}.csv").open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    cube = open_archive(folder).read(*DAY)
    assert np.argwhere(cube.pm25_flag.values).tolist() == [[4, sorted(IDS).index("bj_dingling")]]
    assert cube.pm25.sel(station="bj_dingling", time="2014-01-15T21") == value(DAYS[1], "PM2.5", "定陵", 5)


@pytest.mark.parametrize("table, told", [
    ("station_id,lon,lat\nbj_dongsi,116,40\n", "has no column name"),
    ("station_id,name,lon,lat\nA,东四,116,40\nB,东四,117,39\n", "'东四' of .* means two stations: A and B"),
])
def test_a_table_that_does_not_tell_the_stations_is_an_error(folder, table, told):
    (folder / "stations.csv").write_text(table, encoding="utf-8")
    with pytest.raises(UserError, match=told) as error:
        open_archive(folder)
    assert "--stations" in error.value.fix


def test_a_folder_of_two_layouts_is_an_error_that_names_both(folder):
    (folder / "china_sites_20140116.csv").write_text("date,hour,type,1001A\n")
    with pytest.raises(UserError, match="more than one layout: cnemc, beijing"):
        open_archive(folder)


def test_a_folder_without_such_files_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no file of the municipal layout") as error:
        BEIJING.open(tmp_path, ReadingOptions())
    assert BEIJING.layout in error.value.rule
