"""National daily files whose values name their day, type, station and hour; and every kind of bad file."""

import gzip
import re
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations import station_table
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import ReadingOptions, none_good
from aqreanalysis.observations.readers.cnemc import CNEMC

OURS = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3"}
SIX = tuple(OURS)
DAYS = ("20190131", "20190201", "20190202")
DAY = ("2019-01-31T17", "2019-02-01T16")  # the calendar day 2019-02-01 in UTC+8


def expected(national, stamp, kind, station):
    """What a cube holds at a UTC stamp: the value of the local stamp in that local day's file."""
    local = pd.Timestamp(stamp, tz="UTC").tz_convert("Asia/Shanghai")
    return national.value(f"{local:%Y%m%d}", kind, station, local.hour)


def as_folder(national, path):
    return national.write(path / "archive", *DAYS)


def as_zips(national, path):
    folder = national.write(path / "zips")
    for month, days in {"201901": DAYS[:1], "201902": DAYS[1:]}.items():
        with zipfile.ZipFile(folder / f"china_sites_{month}.zip", "w", zipfile.ZIP_DEFLATED) as container:
            for day in days:
                container.writestr(f"inside/china_sites_{day}.csv", national.text(day))
    return folder


def as_one_zip(national, path):
    folder = national.write(path / "one")
    with zipfile.ZipFile(folder / "all.zip", "w") as container:
        for day in DAYS:
            container.writestr(f"china_sites_{day}.csv", national.text(day))
    return folder / "all.zip"


def as_years(national, path):
    folder = national.write(path / "years")
    for day in DAYS:
        (folder / day[:6]).mkdir(exist_ok=True)
        (folder / day[:6] / f"china_sites_{day}.csv").write_text(national.text(day))
    return folder


@pytest.mark.parametrize("layout", [as_folder, as_zips, as_one_zip, as_years])
def test_every_value_stands_at_its_own_hour_station_and_pollutant(national, tmp_path, layout):
    archive = open_archive(layout(national, tmp_path))
    assert not archive.simulated
    cube = schema.check_station_cube(archive.read(*DAY))
    assert cube.sizes == {"time": 24, "station": 3}
    for kind, name in OURS.items():
        for station in national.stations:
            found = cube[name].sel(station=station)
            assert found.values.tolist() == [expected(national, stamp, kind, station) for stamp in cube.time.values]
    assert (cube.lon.sel(station="1002A"), cube.lat.sel(station="1002A")) == (110.25, 34.5)


def test_the_edges_of_a_day_by_hand(national, tmp_path):
    cube = open_archive(as_folder(national, tmp_path)).read("2019-01-31T14", "2019-02-01T17")
    pm25 = cube.pm25.sel(station="1001A").to_series()
    assert pm25["2019-01-31T15"] == 3_100_000 + 100 + 23  # 23:00 of 31 January
    assert pm25["2019-01-31T16"] == 100_000 + 100 + 0     # 00:00 of 1 February, END of the last hour of January
    assert pm25["2019-02-01T15"] == 100_000 + 100 + 23
    assert pm25["2019-02-01T16"] == 200_000 + 100 + 0


def test_one_file_alone_holds_its_24_stamps_and_nothing_else(national, tmp_path):
    path = as_folder(national, tmp_path) / "china_sites_20190201.csv"
    archive = open_archive(path)
    assert archive.period() == (np.datetime64("2019-01-31T16"), np.datetime64("2019-02-01T15"))
    cube = archive.read("2019-01-31T15", "2019-02-01T16")
    seen = np.isfinite(cube.pm25.values).all(axis=1)
    assert seen.tolist() == [False] + [True] * 24 + [False]


def test_the_period_is_that_of_the_files(national, tmp_path):
    archive = open_archive(as_zips(national, tmp_path))
    assert archive.period() == (np.datetime64("2019-01-30T16"), np.datetime64("2019-02-02T15"))


def test_any_piece_of_the_archive_reads_the_same(national, tmp_path):
    archive = open_archive(as_folder(national, tmp_path))
    whole = archive.read("2019-01-30T10", "2019-02-03T20")
    piece = archive.read("2019-01-31T16", "2019-02-01T20")
    assert whole.sel(time=piece.time).identical(piece)


def test_a_missing_day_is_24_hours_of_nan_and_no_hour_is_dropped(national, tmp_path):
    archive = open_archive(national.write(tmp_path / "a", DAYS[0], DAYS[2]))
    cube = archive.read("2019-01-30T16", "2019-02-02T15")
    assert cube.sizes["time"] == 72
    missing = [cube[name].isnull().all("station").values for name in schema.POLLUTANTS]
    np.testing.assert_array_equal(missing, np.tile([False] * 24 + [True] * 24 + [False] * 24, (6, 1)))
    assert cube.pm25.isnull().sum() == 24 * 3


def test_only_the_six_types_of_the_fifteen_are_read(national, tmp_path):
    others = ("AQI", "PM2.5_24h", "PM10_24h", "SO2_24h", "NO2_24h", "O3_24h", "O3_8h", "O3_8h_24h", "CO_24h")
    folder = national.write(tmp_path / "a", DAYS[1])
    six = open_archive(folder).read(*DAY)
    mixed = sorted((*SIX, *others))

    def value(day, kind, station, hour):
        return national.value(day, kind, station, hour) if kind in SIX else "-"

    (folder / f"china_sites_{DAYS[1]}.csv").write_text(national.text(DAYS[1], mixed, value=value))
    assert open_archive(folder).read(*DAY).identical(six)


def test_carbon_monoxide_stays_in_milligrams_and_blanks_are_missing(national, tmp_path):
    folder = national.write(tmp_path / "a")
    cells = {"CO": "0.8", "PM10": "", "O3": "NA"}
    text = national.text(DAYS[1], value=lambda day, kind, station, hour: cells.get(kind, 7))
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(text)
    archive = open_archive(folder)
    cube = archive.read("2019-02-01T00", "2019-02-01T03")
    assert cube.co.values == pytest.approx(0.8) and (cube.pm25 == 7).all()
    assert cube.pm10.isnull().all() and cube.o3.isnull().all()
    assert archive.inspect(*DAY).skipped == []


def test_stations_are_matched_by_name_not_by_column(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).read(*DAY)
    for day in DAYS:  # another order, a station that the table does not know, Windows line ends, a byte order mark
        text = national.text(day, stations=("1002A", "elsewhere", "1001A", "0901A")).replace("\n", "\r\n")
        (folder / f"china_sites_{day}.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert open_archive(folder).read(*DAY).identical(before)


def test_a_station_that_a_file_lacks_is_nan(national, tmp_path):
    folder = national.write(tmp_path / "a")
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(national.text(DAYS[1], stations=("1002A",)))
    cube = open_archive(folder).read("2019-02-01T00", "2019-02-01T05")
    assert np.isfinite(cube.pm25).all("time").values.tolist() == [False, False, True]


def test_inspection_counts_the_values_of_the_period_at_known_stations(national, tmp_path):
    folder = national.write(tmp_path / "a")
    text = national.text(DAYS[1], stations=("1002A", "elsewhere", "1001A"),
                         value=lambda day, kind, station, hour: 5 if (hour, station) != (3, "1001A") else "")
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(text)
    archive = open_archive(folder)
    assert archive.inspect("2019-01-31T16", "2019-02-01T15").values == 24 * 2 - 1
    assert archive.inspect("2019-01-31T18", "2019-01-31T20").values == 3 * 2 - 1  # 02, 03 and 04 h
    assert archive.inspect("2019-02-01T15", "2019-02-09T15").values == 2
    assert archive.inspect("2019-03-01T00", "2019-03-09T15").values == 0


BAD = {
    "empty": (lambda text: b"", "is empty"),
    "blank": (lambda text: b" \n\n", "is empty"),
    "HTML": (lambda text: b"\n<!DOCTYPE html><html>404</html>", "is an HTML or XML page"),
    "gzip": (lambda text: gzip.compress(text, mtime=0)[:-30], "is a damaged or truncated gzip file"),
    "workbook": (lambda text: b"PK\x03\x04" + text, "is a zip file or an Excel workbook, not a text table"),
    "other columns": (lambda text: b"time,station,pm25\n2019,1,2\n", "has no column date, hour, type; it has time,"),
    "header only": (lambda text: text.split(b"\n")[0] + b"\n", "has a header and no rows"),
    "no known station": (lambda text: text.replace(b"A,", b"X,").replace(b"1002A\n", b"1002X\n"), "names no station"),
    "no numbers": (lambda text: re.sub(rb"(,[A-Z0-9.]+),\d+,\d+,\d+", rb"\1,a,b,c", text),
                   "holds no number; 432 cells not understood and taken as missing ('a' at 0901A in line 2)"),
    "another day": (lambda text: text.replace(b"20190201,", b"20190205,"),
                    "holds no row that can be read; 144 rows of another day than 2019-02-01 not read ('20190205' in"),
    "no hours": (lambda text: re.sub(rb"20190201,\d+,", b"20190201,noon,", text), "'noon' in line 2"),
    "two hours": (lambda text: text.replace(b"0901A", b"Hour"), "two columns for hour: 'hour' and 'Hour'"),
}


@pytest.fixture(params=BAD)
def bad(request, national, tmp_path):
    """A folder in which the file of the middle day is bad, and what must be said of it."""
    folder = as_folder(national, tmp_path)
    spoil, told = BAD[request.param]
    path = folder / f"china_sites_{DAYS[1]}.csv"
    path.write_bytes(spoil(path.read_bytes()))
    return folder, told


def test_a_bad_file_is_named_skipped_and_counted(national, bad):
    folder, told = bad
    archive = open_archive(folder)
    found = archive.inspect("2019-01-30T16", "2019-02-02T15")
    assert (found.good, found.values, len(found.skipped)) == (2, 2 * 24 * 3, 1)
    assert found.skipped[0].startswith(f"china_sites_{DAYS[1]}.csv ") and told in found.skipped[0]
    cube = archive.read("2019-01-30T16", "2019-02-02T15")
    assert np.isfinite(cube.pm25).all("station").values.tolist() == [True] * 24 + [False] * 24 + [True] * 24
    assert cube.isel(time=slice(24, 48)).pm25.isnull().all()


def told_of(found, words):
    return [text for text in found.anomalies if words in text]


@pytest.mark.parametrize("written", ["1001o5", "35.0*", "inf", "12;5", "<5", "1_0", "²"])
def test_a_cell_that_is_no_number_is_missing_and_told(national, tmp_path, written):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).read(*DAY)
    path = folder / f"china_sites_{DAYS[1]}.csv"
    path.write_text(path.read_text().replace(",100105,", f",{written},"))
    archive = open_archive(folder)
    found = archive.inspect("2019-01-30T16", "2019-02-02T15")
    assert (found.good, found.skipped, found.values) == (3, [], 3 * 24 * 3 - 1)
    assert told_of(found, "not understood") == [
        f"china_sites_{DAYS[1]}.csv: 1 cell not understood and taken as missing ({written!r} at 1001A in line 32)"]
    cube = archive.read(*DAY)
    assert np.isnan(cube.pm25.sel(station="1001A", time="2019-01-31T21"))
    cube.pm25.loc["2019-01-31T21", "1001A"] = 100105
    assert cube.identical(before)


@pytest.mark.parametrize("lines, missing, told", [(31, True, 1), (144, False, 0)])
def test_the_last_cell_of_a_file_that_may_be_cut_off_in_it_is_missing(national, tmp_path, lines, missing, told):
    """Line 32 is 05:00 and so cut off; line 145 is the last of the day, and some writers end no last line."""
    folder = as_folder(national, tmp_path)
    path = folder / f"china_sites_{DAYS[1]}.csv"
    whole = path.read_text().splitlines()
    path.write_text("\n".join(whole[:lines + 1])[:-1])
    archive = open_archive(folder)
    cube = archive.read("2019-01-31T16", "2019-02-01T15")
    hour, kind = whole[lines].split(",")[1:3]
    last = cube[OURS[kind]].sel(station="1002A", time=np.datetime64("2019-01-31T16") + int(hour))
    assert np.isnan(last) == missing
    found = archive.inspect("2019-01-31T16", "2019-02-01T15")
    assert found.skipped == [] and len(told_of(found, "may be cut off; '10020' is taken as missing")) == told
    path.write_text("\n".join(whole[:lines + 1]) + "\n")
    assert not told_of(open_archive(folder).inspect(*DAY), "cut off")


def test_rows_may_stand_in_any_order(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).read(*DAY)
    path = folder / f"china_sites_{DAYS[1]}.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *np.random.default_rng(1).permutation(lines)]) + "\n")
    archive = open_archive(folder)
    assert archive.read(*DAY).identical(before) and archive.inspect(*DAY).skipped == []


def test_rows_that_agree_count_once(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before, count = open_archive(folder).read(*DAY), open_archive(folder).inspect(*DAY).values
    path = folder / f"china_sites_{DAYS[1]}.csv"
    path.write_text(path.read_text() + "\n".join(path.read_text().splitlines()[1:]))
    archive = open_archive(folder)
    assert archive.read(*DAY).identical(before)
    found = archive.inspect(*DAY)
    assert found.values == count and not told_of(found, "more than once")


def test_rows_that_disagree_keep_the_first_value_and_are_flagged_and_told(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).read(*DAY)
    path = folder / f"china_sites_{DAYS[1]}.csv"
    lines = path.read_text().splitlines()
    assert lines[31] == "20190201,5,PM2.5,100005,100105,100205"
    lines[31] = "20190201,5,PM2.5,100005,100105,"
    path.write_text("\n".join([*lines, "20190201,5,PM2.5,100005,7,100205", "20190201,5,PM2.5,8,,9",
                               "20190201,23,O3,1,150123,1"]))
    archive = open_archive(folder)
    cube, bit = archive.read(*DAY), schema.OBSERVATION_FLAGS["conflicting"]
    assert {str(v) for v in cube} - set(schema.POLLUTANTS) == {"pm25_flag", "o3_flag"}
    assert cube[list(schema.POLLUTANTS)].identical(before)  # the gap of 1002A is filled from the second row
    hour = cube.pm25_flag.sel(time="2019-01-31T21")
    assert hour.values.tolist() == [bit, bit, bit] and cube.pm25_flag.sum() == 3 * bit
    assert cube.o3_flag.sel(time="2019-02-01T15").values.tolist() == [bit, 0, bit] and cube.o3_flag.sum() == 2 * bit
    found = archive.inspect(*DAY)
    told = "given more than once, conflicting; the first is kept (at 0901A, 2019-02-01"
    assert found.skipped == [] and told_of(found, "more than once") == [
        f"china_sites_{DAYS[1]}.csv: 3 PM2.5 values {told} 05:00 (UTC+8))",
        f"china_sites_{DAYS[1]}.csv: 2 O3 values {told} 23:00 (UTC+8))"]


def test_absurd_values_are_told_and_kept(national, tmp_path):
    folder = national.write(tmp_path / "a")
    cells = {("PM2.5", 3, "1001A"): 2001, ("PM2.5", 4, "1001A"): 474781, ("CO", 0, "1002A"): -999.5}
    text = national.text(DAYS[1], value=lambda day, kind, station, hour: cells.get((kind, hour, station), 5))
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(text)
    archive = open_archive(folder)
    name = f"china_sites_{DAYS[1]}.csv"
    assert archive.inspect(*DAY).anomalies == [
        f"{name}: 2 PM2.5 values above 2000, the largest 474781 at 1001A, 2019-02-01 04:00 (UTC+8)",
        f"{name}: 1 CO value below 0, the lowest -999.5 at 1002A, 2019-02-01 00:00 (UTC+8)"]
    assert archive.read("2019-01-31T20", "2019-01-31T20").pm25.values[0].tolist() == [5, 474781, 5]


def test_stations_that_the_table_lacks_and_columns_that_stand_twice_are_told(national, tmp_path):
    folder = national.write(tmp_path / "a")
    text = national.text(DAYS[1], stations=("1002A", "elsewhere", "1002A"),
                         value=lambda day, kind, station, hour: 5)
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(text.replace(",5\n", ",6\n"))
    archive = open_archive(folder)
    assert archive.inspect(*DAY).anomalies == [
        f"china_sites_{DAYS[1]}.csv: 1002A stands in more than one column; the first is used",
        "a: 1 of the files' stations left out, for the station table has no place for elsewhere"]
    assert set(archive.read("2019-01-31T16", "2019-01-31T20").pm25.values[:, 2]) == {5}


def test_parts_are_the_files_with_the_hours_they_promise(national, tmp_path):
    folder = as_zips(national, tmp_path)
    january, february = open_archive(folder).parts()
    assert (january.name, january.first, january.last) == (
        "china_sites_201901.zip", np.datetime64("2019-01-30T16"), np.datetime64("2019-01-31T15"))
    assert (february.first, february.last) == (np.datetime64("2019-01-31T16"), np.datetime64("2019-02-02T15"))
    assert february.size == (folder / "china_sites_201902.zip").stat().st_size


def test_a_period_of_bad_files_only_is_an_error_that_names_them(bad):
    folder, told = bad
    archive = open_archive(folder)
    found = archive.inspect("2019-01-31T20", "2019-02-01T10")
    assert (found.good, found.values) == (0, 0)
    error = none_good(found, str(folder), "2019-02-01 to 2019-02-01")
    assert isinstance(error, UserError)
    assert "None of the 1 files of 2019-02-01 to 2019-02-01" in error.problem and told in error.problem


def test_good_files_without_pm25_of_the_period_are_an_error_too(national, tmp_path):
    folder = national.write(tmp_path / "a")
    (folder / f"china_sites_{DAYS[1]}.csv").write_text(national.text(DAYS[1], types=SIX[1:]))
    found = open_archive(folder).inspect(*DAY)
    assert (found.good, found.values, found.skipped) == (1, 0, [])
    assert "holds no PM2.5 observations of 2019" in none_good(found, "here", "2019").problem


def test_a_damaged_zip_is_named_and_the_others_are_read(national, tmp_path):
    folder = as_zips(national, tmp_path)
    whole = (folder / "china_sites_201901.zip").read_bytes()
    (folder / "china_sites_201901.zip").write_bytes(whole[:-30])
    archive = open_archive(folder)
    found = archive.inspect("2019-01-30T16", "2019-02-02T15")
    assert (found.good, found.values) == (2, 2 * 24 * 3)
    assert len(found.skipped) == 1 and "china_sites_201901.zip is not a whole zip file" in found.skipped[0]
    assert archive.read("2019-01-30T16", "2019-01-31T15").pm25.isnull().all()


def test_a_zip_with_a_damaged_member_loses_that_day_only(national, tmp_path):
    folder = as_zips(national, tmp_path)
    path = folder / "china_sites_201902.zip"
    whole = bytearray(path.read_bytes())
    middle = whole.index(DAYS[1].encode()) + 200
    whole[middle:middle + 20] = bytes(20)
    path.write_bytes(whole)
    found = open_archive(folder).inspect("2019-01-30T16", "2019-02-02T15")
    assert (found.good, len(found.skipped)) == (2, 1)
    assert found.skipped[0].startswith(f"china_sites_201902.zip:inside/china_sites_{DAYS[1]}.csv")


def test_a_damaged_zip_alone_is_named_in_the_error(national, tmp_path):
    (tmp_path / "china_sites_201901.zip").write_bytes(b"PK\x03\x04 half a download")
    with pytest.raises(UserError, match="china_sites_201901.zip is not a whole zip file"):
        open_archive(tmp_path)


def test_a_day_that_stands_twice_is_read_once_and_told(national, tmp_path):
    folder = as_zips(national, tmp_path)
    once = open_archive(folder)
    cube, fingerprint = once.read(*DAY), once.inspect(*DAY).fingerprint
    other = national.text(DAYS[1], value=lambda *_: 1)
    (folder / "later").mkdir()
    (folder / "later" / f"china_sites_{DAYS[1]}.csv").write_text(other)
    twice = open_archive(folder)
    found = twice.inspect(*DAY)
    assert found.good == 2 and found.fingerprint == fingerprint
    assert found.skipped == [f"china_sites_{DAYS[1]}.csv repeats the day of china_sites_201902.zip:inside/"
                             f"china_sites_{DAYS[1]}.csv, which is read; it has ANOTHER content"]
    assert twice.read(*DAY).identical(cube)


def test_shadow_files_of_other_systems_are_not_days(national, tmp_path):
    folder = as_folder(national, tmp_path)
    (folder / f"._china_sites_{DAYS[1]}.csv").write_bytes(b"\x00\x05\x16\x07")
    (folder / "china_sites_20190231.csv").write_text("no day of the calendar")
    with zipfile.ZipFile(folder / "more.zip", "w") as container:
        container.writestr(f"__MACOSX/._china_sites_{DAYS[1]}.csv", b"\x00\x05\x16\x07")
        container.writestr("readme.txt", "china_sites")
    found = open_archive(folder).inspect("2019-01-30T16", "2019-02-02T15")
    assert (found.good, found.skipped) == (3, [])
    assert found.passed_over == ["china_sites_20190231.csv: no day of the calendar in the name; not read",
                                 "more.zip: a zip without a file named china_sites_YYYYMMDD.csv"]


def test_the_fingerprint_is_of_contents_not_of_places(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).inspect(*DAY).fingerprint
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    assert open_archive(moved).inspect(*DAY).fingerprint == before
    assert open_archive(as_zips(national, tmp_path)).inspect(*DAY).fingerprint == before


@pytest.mark.parametrize("name, old, new", [
    (f"china_sites_{DAYS[1]}.csv", "100105", "100106"),
    (f"china_sites_{DAYS[2]}.csv", ",200000,", ",200001,"),
    ("stations.csv", "110.25", "110.26"),
])
def test_one_changed_byte_changes_the_fingerprint(national, tmp_path, name, old, new):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).inspect(*DAY).fingerprint
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))
    assert open_archive(folder).inspect(*DAY).fingerprint != before


def test_a_byte_outside_the_period_does_not_change_the_fingerprint(national, tmp_path):
    folder = as_folder(national, tmp_path)
    before = open_archive(folder).inspect(*DAY).fingerprint
    (folder / f"china_sites_{DAYS[0]}.csv").write_text("")
    assert open_archive(folder).inspect(*DAY).fingerprint == before


def table(path, text, encoding="utf-8"):
    (path / "stations.csv").write_text(text, encoding=encoding)
    return station_table.read_station_table(path / "stations.csv")


def test_a_station_table_is_sorted_and_keeps_its_ids_as_text(tmp_path):
    found = table(tmp_path, "Name, STATION_ID ,Lon,LAT\nb,1001,117.5,39\nc,0007,116,40\n")
    assert found["station_id"].tolist() == ["0007", "1001"]
    assert found["lon"].tolist() == [116, 117.5] and found["lat"].tolist() == [40, 39]
    assert found["name"].tolist() == ["c", "b"]
    assert found.attrs["without_coordinates"] == []


def test_stations_without_coordinates_are_left_out_and_listed(tmp_path):
    found = table(tmp_path, "station_id,lon,lat\nA,116,40\nB,,40\nC,117,\nD,east,40\n")
    assert found["station_id"].tolist() == ["A"]
    assert found.attrs["without_coordinates"] == ["B", "C", "D"]


def test_a_table_given_by_name_comes_before_the_one_beside_the_files(national, tmp_path):
    folder = as_folder(national, tmp_path)
    (tmp_path / "mine.csv").write_text("station_id,lon,lat\n1001A,100,20\n")
    archive = open_archive(folder, tmp_path / "mine.csv")
    assert archive.stations["lon"].tolist() == [100]
    assert archive.read(*DAY).pm25.values[0, 0] == expected(national, DAY[0], "PM2.5", "1001A")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_chinese_names_in_any_encoding(tmp_path, encoding):
    found = table(tmp_path, "station_id,name,city,lon,lat\nA,定陵,北京,116,40\n", encoding)
    assert found["name"].tolist() == ["定陵"] and found["city"].tolist() == ["北京"]


@pytest.mark.parametrize("text, told", [
    ("number,lon,lat\nA,116,40\n", "has no column station_id; it has number, lon, lat"),
    ("station_id,east,north\nA,116,40\n", "has no column lon, lat"),
    ("station_id,监测点编码,lon,lat\nA,A,116,40\n", "two columns for station_id: 'station_id' and '监测点编码'"),
    ("station_id,lon,lat,LON\nA,116,40,116\n", "two columns for lon: 'lon' and 'LON'"),
    ("station_id,lon,lat\nA,40,116\n", "1 of 1 places of .* exchanged, as station A with lon 40, lat 116"),
    ("station_id,lon,lat\nA,116,40\nA,118,40\n", "Station A of .* several places: 2 rows"),
    ("station_id,lon,lat\nA,,\n", "No station of .* has coordinates"),
    ("station_id,lon,lat\n", "No station of .* has coordinates"),
    ("station_id,lon,lat\nA,116\n", "No station of .* has coordinates"), ("", "is empty"),
])
def test_a_bad_station_table_is_told(tmp_path, text, told):
    with pytest.raises(UserError, match=told) as error:
        table(tmp_path, text)
    assert error.value.rule and error.value.fix


def test_files_without_a_station_table_have_the_shipped_one(national, tmp_path):
    """Said, with its accuracy; a table that is given and does not exist is an error all the same."""
    folder = as_folder(national, tmp_path)
    (folder / "stations.csv").unlink()
    stations = open_archive(folder).stations
    assert len(stations) == 931 and stations.set_index("station_id").lon["1003A"] == 116.4174
    assert "ships with the package" in stations.attrs["notes"][0] and "1 km" in stations.attrs["notes"][0]
    with pytest.raises(UserError, match="mine.csv does not exist"):
        open_archive(folder, tmp_path / "mine.csv")


def test_a_path_that_is_not_there_or_holds_something_else(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_archive(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no data")
    with pytest.raises(UserError, match="no file of a known layout") as error:
        open_archive(tmp_path)
    assert CNEMC.layout in error.value.rule
    with pytest.raises(UserError, match="no file of the national layout"):
        CNEMC.open(tmp_path, ReadingOptions())


def test_a_station_table_with_chinese_heads(national, tmp_path):
    folder = national.write(tmp_path / "raw", "20190105")
    heads = "监测点编码,监测点名称,城市,经度,纬度\n"
    (folder / "stations.csv").write_text(f"{heads}0901A,东四,北京,116.0,40.0\n", encoding="gbk")
    table = open_archive(folder).stations
    assert table.iloc[0][["station_id", "name", "city", "lon", "lat"]].tolist() == ["0901A", "东四", "北京", 116, 40]
