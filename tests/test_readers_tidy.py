"""Tidy tables, CSV and Parquet: every value at its own hour, columns in any spelling, faults that are named."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import none_good
from aqreanalysis.observations.readers.tidy import TIDY

PLACES = {"0007": (116.0, 40.0), "1001": (117.0, 39.0)}
SPAN = ("2019-01-01T00", "2019-01-01T05")


def rows(hours=6, start="2019-01-01T00", stations=PLACES):
    """pm25 = hour + 100 * station, o3 = 1000 + that; six hours from midnight UTC."""
    table = pd.DataFrame([
        {"station_id": station, "time": time, "lon": lon, "lat": lat, "pm25": float(time.hour + 100 * number),
         "o3": 1000.0 + time.hour + 100 * number}
        for time in pd.date_range(start, periods=hours, freq="h")
        for number, (station, (lon, lat)) in enumerate(stations.items())])
    return table


def save(table, path):
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return path


@pytest.fixture(params=[".csv", ".parquet"])
def file(request, tmp_path):
    return tmp_path / f"rows{request.param}"


def check(cube):
    """The cube of `rows()` from midnight, whatever the way it was stored."""
    assert schema.check_station_cube(cube).sizes == {"time": 6, "station": 2}
    assert cube.station.values.tolist() == ["0007", "1001"]
    assert cube.time.values[0] == np.datetime64("2019-01-01T00") and cube.time.values[-1] == np.datetime64(SPAN[1])
    assert cube.pm25.values.tolist() == [[hour, 100 + hour] for hour in range(6)]
    assert cube.o3.values.tolist() == [[1000 + hour, 1100 + hour] for hour in range(6)]
    assert cube.so2.isnull().all()
    assert cube.lon.values.tolist() == [116, 117] and cube.lat.values.tolist() == [40, 39]


def test_every_value_stands_at_its_own_hour_and_station(file):
    archive = open_archive(save(rows().sample(frac=1, random_state=1), file))
    assert archive.period() == (np.datetime64(SPAN[0]), np.datetime64(SPAN[1]))
    assert not archive.simulated and archive.source == f"hourly surface observations from {file.name}"
    check(archive.read(*SPAN))
    assert archive.inspect(*SPAN).values == 12


def test_a_folder_of_files_is_one_archive(tmp_path):
    table = rows()
    save(table[:4], tmp_path / "data" / "a.csv")
    save(table[4:6], tmp_path / "data" / "deeper" / "b.parquet")
    save(table[6:], tmp_path / "data" / "c.CSV".lower())
    (tmp_path / "data" / "stations.csv").write_text("station_id,lon,lat\n")
    (tmp_path / "data" / "README.txt").write_text("hello")
    archive = open_archive(tmp_path / "data")
    check(archive.read(*SPAN))
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, found.skipped) == (3, 12, [])


@pytest.mark.parametrize("written", ["2019-01-01T08:00:00+08:00", "2019-01-01 08:00+0800", "2018-12-31T19:00:00-05:00",
                                     "2019-01-01T00:00:00Z", "2019-01-01T00:00", "2019-01-01 00:00:00"])
def test_a_csv_time_is_utc_unless_it_tells_its_offset(tmp_path, written):
    zone = pd.Timestamp(written).tz
    table = rows()
    stamp = pd.Timestamp(written) + pd.to_timedelta(np.arange(6), "h").repeat(2)
    mask = "%Y-%m-%dT%H:%M:%S%z" if zone else "%Y-%m-%d %H:%M"
    table["time"] = [time.strftime(mask) for time in stamp]
    table.loc[0, "time"] = written
    check(open_archive(save(table, tmp_path / "rows.csv")).read(*SPAN))


def test_offsets_may_differ_from_row_to_row(tmp_path):
    table = rows()
    table["time"] = [time.tz_localize("UTC").tz_convert(zone).isoformat()
                     for time, zone in zip(table["time"], ["Asia/Shanghai", "UTC"] * 6, strict=True)]
    check(open_archive(save(table, tmp_path / "rows.csv")).read(*SPAN))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_a_parquet_time_of_any_unit_and_zone(tmp_path, unit, zone):
    table = rows()
    if zone:
        table["time"] = table["time"].dt.tz_localize("UTC").dt.tz_convert(zone)
    table["time"] = table["time"].dt.as_unit(unit)
    check(open_archive(save(table, tmp_path / "rows.parquet")).read(*SPAN))


@pytest.mark.parametrize("pm25", ["PM25", "PM2.5", "pm2_5", "Pm25 "])
def test_columns_in_any_case_and_order(file, pm25):
    table = rows().rename(columns={"station_id": "Station_ID", "time": "TIME", "lon": "Lon", "pm25": pm25, "o3": "O3"})
    check(open_archive(save(table[table.columns[::-1]].assign(remark="x"), file)).read(*SPAN))


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    check(open_archive(save(rows(), tmp_path / "rows.csv")).read(*SPAN))  # 0007 and 1001
    table = rows(stations={7: (116.0, 40.0), 1001: (117.0, 39.0)})
    archive = open_archive(save(table, tmp_path / "rows.parquet"))
    assert archive.stations["station_id"].tolist() == ["1001", "7"]
    assert archive.read(*SPAN).pm25.sel(station="7").values.tolist() == [0, 1, 2, 3, 4, 5]


def test_hours_outside_the_period_are_left_and_hours_not_in_the_rows_are_nan(file):
    table = rows()
    archive = open_archive(save(table[table["time"] != "2019-01-01T03"], file))
    cube = archive.read("2019-01-01T02", "2019-01-01T08")
    assert cube.sizes["time"] == 7
    np.testing.assert_array_equal(cube.pm25.sel(station="0007"), [2, np.nan, 4, 5, np.nan, np.nan, np.nan])
    assert archive.inspect("2019-01-01T02", "2019-01-01T08").values == 6
    nothing = archive.read("2020-01-01T00", "2020-01-01T01")
    assert nothing.sizes["time"] == 2 and nothing.pm25.isnull().all()
    found = archive.inspect("2020-01-01T00", "2020-01-01T01")
    assert (found.good, found.values) == (0, 0)
    assert isinstance(none_good(found, "here", "2020"), UserError)


def test_a_blank_is_missing(file):
    table = rows()
    table.loc[table["time"] == "2019-01-01T03", "pm25"] = np.nan
    archive = open_archive(save(table, file))
    seen = np.isfinite(archive.read(*SPAN).pm25.sel(station="1001"))
    assert seen.values.tolist() == [True] * 3 + [False] + [True] * 2
    assert archive.inspect(*SPAN).values == 10


def test_types_are_not_guessed_from_the_first_rows(tmp_path):
    """Over a megabyte of whole numbers and blanks before the first fraction: a guess would refuse the file."""
    table = rows(hours=14_000)
    text = table.assign(pm25=table["pm25"].astype(int).astype(str), o3="")
    text.loc[text.index[-1], ["pm25", "o3"]] = ["12.5", "0.25"]
    path = save(text, tmp_path / "long.csv")
    assert path.stat().st_size > 1.1e6
    last = table["time"].iloc[-1]
    archive = open_archive(path)
    assert archive.inspect(*archive.period()).values == 28_000
    cube = archive.read(last, last)
    assert (cube.pm25.sel(station="1001").item(), cube.o3.sel(station="1001").item()) == (12.5, 0.25)


def test_a_simulated_column_marks_the_archive(file):
    table = rows()
    assert not open_archive(save(table.assign(simulated=False), file)).simulated
    archive = open_archive(save(table.assign(simulated=True), file))
    assert archive.simulated and archive.source.startswith("SIMULATED hourly observations")
    check(archive.read(*SPAN))
    one = open_archive(save(table.assign(simulated=table.index == 11), file))
    assert one.simulated
    check(one.read(*SPAN))


def one_cell(name, value):
    """Spoils the sixth row only."""
    return lambda table: table.assign(**{name: table[name].astype(str).where(table.index != 5, value)})


BAD = {
    "empty": (lambda table: "", "is empty"),
    "header": (lambda table: table[:0], "has a header and no rows"),
    "no pm25": (lambda table: table.drop(columns="pm25"), "has no column pm25"),
    "half hours": (lambda table: table.assign(time=table["time"] + pd.Timedelta("30min")), "12 rows off the full hour"),
    "ten minutes": (lambda table: table.assign(time=table["time"] + pd.to_timedelta(table.index % 6 * 10, "min")),
                    "10 of 12, so that its values are none of whole hours"),
    "no time": (lambda table: table.assign(time="yesterday noon"), "12 rows whose time is not understood"),
    "day or month": (lambda table: table.assign(time="01/02/2019 06:00"), "12 rows whose day and month can't be told"),
    "no numbers": (lambda table: table.drop(columns="o3").assign(pm25="high"),
                   "holds no number; 12 PM2.5 cells not understood"),
    "two of one": (lambda table: table.assign(**{"PM2.5": table["pm25"]}),
                   "has two columns for pm25: 'pm25' and 'PM2.5'"),
    "HTML": (lambda table: "<html>\n<p>404</p>\n", "is an HTML or XML page"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_named_skipped_and_counted(file, fault):
    spoil, told = BAD[fault]
    spoilt = spoil(rows(start="2019-01-01T06"))
    bad = file.with_name(f"bad{file.suffix}")
    save(rows(), file)
    if isinstance(spoilt, str):
        bad.write_text(spoilt)
        told = "is not Parquet, or damaged" if bad.suffix == ".parquet" and spoilt else told
    else:
        save(spoilt, bad)
    archive = open_archive(file.parent)
    found = archive.inspect("2019-01-01T00", "2019-01-01T11")
    assert (found.good, found.values) == (1, 12)
    assert len(found.skipped) == 1 and found.skipped[0].startswith(bad.name) and told in found.skipped[0]
    check(archive.read(*SPAN))
    with pytest.raises(UserError) as error:
        open_archive(bad)
    assert bad.name in error.value.problem and told in error.value.problem


@pytest.mark.parametrize("written", ["high", "?", "1,5"])
def test_a_cell_that_is_no_number_is_missing_and_told(file, written):
    table = rows()
    table["o3"] = table["o3"].astype(str).where(table.index != 5, written).where(table.index != 2, "")
    archive = open_archive(save(table, file))
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, found.skipped) == (1, 12, [])
    where = "line 7" if file.suffix == ".csv" else "row 6"
    assert found.anomalies == [f"{file.name}: 1 O3 cell not understood and taken as missing "
                               f"({written!r} at 1001, 2019-01-01T02Z, {where})"]
    cube = archive.read(*SPAN)
    assert np.isnan([cube.o3.values[2, 1], cube.o3.values[1, 0]]).all()
    cube.o3[2, 1], cube.o3[1, 0] = 1102, 1001
    check(cube)


def test_rows_that_agree_count_once_and_rows_may_stand_in_any_order(tmp_path):
    table = rows()
    save(pd.concat([table, table]).sample(frac=1, random_state=2), tmp_path / "data" / "a.parquet")
    save(table.assign(o3=np.nan), tmp_path / "data" / "b.csv")
    archive = open_archive(tmp_path / "data")
    check(archive.read(*SPAN))
    found = archive.inspect(*SPAN)
    assert (found.values, found.anomalies) == (12, [])


def test_rows_that_disagree_keep_the_first_value_and_are_flagged_and_told(file):
    table = rows(hours=24 * 70)  # three blocks of a month
    other = table.iloc[[0, 5, -2]].assign(pm25=[0.0, 7.0, 8.0], o3=[1000.0, np.nan, 9.0])
    archive = open_archive(save(pd.concat([table, other]), file))
    start, end = archive.period()
    cube, bit = archive.read(start, end), schema.OBSERVATION_FLAGS["conflicting"]
    assert {str(v) for v in cube} - set(schema.POLLUTANTS) == {"pm25_flag", "o3_flag"}
    assert np.argwhere(cube.pm25_flag.values == bit).tolist() == [[2, 1], [24 * 70 - 1, 0]]
    assert np.argwhere(cube.o3_flag.values == bit).tolist() == [[24 * 70 - 1, 0]]
    assert cube.pm25_flag.sum() == 2 * bit and cube.pm25.values[2, 1] == 102
    found = archive.inspect(start, end)
    assert found.values == 2 * 24 * 70
    assert found.anomalies == [
        f"{file.name}: 2 PM2.5 values given more than once, conflicting; the first is kept (at 1001, 2019-01-01T02Z)",
        f"{file.name}: 1 O3 value given more than once, conflicting; the first is kept (at 0007, 2019-03-11T23Z)"]
    assert archive.inspect("2019-01-01T00", "2019-01-01T01").anomalies == []


def test_absurd_values_are_told_by_file(file):
    table = rows()
    table.loc[[3, 7, 8], "pm25"] = [2001, 474781, -1]
    archive = open_archive(save(table, file))
    assert archive.inspect(*SPAN).anomalies == [
        f"{file.name}: 2 PM2.5 values above 2000, the largest 474781 at 1001, 2019-01-01T03Z",
        f"{file.name}: 1 PM2.5 value below 0, the lowest -1 at 0007, 2019-01-01T04Z"]
    assert archive.inspect(SPAN[0], SPAN[0]).anomalies == []


def test_of_a_station_that_moved_the_latest_place_is_used_and_told(tmp_path):
    """Half a degree of latitude is 55.6 km; the rows of the later place come first."""
    save(rows(start="2019-01-02T00", stations={"1001": (117.0, 39.5)}), tmp_path / "a.parquet")
    save(rows(), tmp_path / "b.csv")
    table = open_archive(tmp_path).stations
    assert table.set_index("station_id").lat.to_dict() == {"0007": 40.0, "1001": 39.5}
    assert table.attrs["moved"] == ["station 1001 stands at 2 places up to 55.6 km apart; the latest, 117.0000, "
                                    "39.5000, is used throughout"]


def test_rows_that_differ_by_what_tables_round_are_one_place(file):
    table = rows()
    table.loc[11, "lon"] = 117.0005
    assert open_archive(save(table, file)).stations.attrs["moved"] == []


def test_rows_without_a_stamp_or_an_id_lose_themselves_only(file):
    table = rows()
    extra = table.iloc[[0, 0, 0]].assign(time=[pd.NaT, table["time"][0], table["time"][0] + pd.Timedelta("20min")],
                                         station_id=["0007", None, "0007"], pm25=999.0)
    archive = open_archive(save(pd.concat([table, extra], ignore_index=True), file))
    check(archive.read(*SPAN))
    where = "line 15" if file.suffix == ".csv" else "row 14"
    told = archive.inspect(*SPAN).anomalies
    assert [text.split(" (")[0] for text in told] == [
        f"{file.name}: 1 row without a station_id not read",
        f"{file.name}: 1 row whose time is not understood, as 2019-01-09T16:00:00Z, 2019-01-09 16:00 or 2019010916 "
        "would be, not read", f"{file.name}: 1 row off the full hour not read"]
    assert where in told[0]


def test_a_place_that_is_left_blank_in_some_rows_is_known_from_the_others(file):
    table = rows()
    table.loc[[0, 3, 11], ["lon", "lat"]] = np.nan
    check(open_archive(save(table, file)).read(*SPAN))


def test_swapped_columns_are_told(file):
    with pytest.raises(UserError, match="2 of 2 places of .* exchanged, as station 0007 with lon 40, lat 116"):
        open_archive(save(rows().rename(columns={"lon": "lat", "lat": "lon"}), file))


def test_the_fingerprint_is_of_contents_not_of_places(tmp_path):
    save(rows(), tmp_path / "a" / "rows.csv")
    before = open_archive(tmp_path / "a").inspect(*SPAN).fingerprint
    copy = shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    assert open_archive(copy).inspect(*SPAN).fingerprint == before
    text = (copy / "rows.csv").read_text()
    assert text.count(",1103.0") == 1
    (copy / "rows.csv").write_text(text.replace(",1103.0", ",1104.0"))
    assert open_archive(copy).inspect(*SPAN).fingerprint != before


@pytest.mark.parametrize("inner", ["a.csv", "deep/folder/A.CSV", "a.parquet"])
def test_tables_in_zips_are_read(tmp_path, inner):
    """With a loose one beside them; the zip is one part, and the fingerprint is of what is in it."""
    table, loose = rows(), tmp_path / "data" / "rest.csv"
    save(table[table["time"] >= "2019-01-01T04"], loose)
    early = save(table[table["time"] < "2019-01-01T04"], tmp_path / Path(inner).name.lower())
    with zipfile.ZipFile(tmp_path / "data" / "early.zip", "w") as container:
        container.write(early, inner)
        container.writestr("stations.csv", "station_id,lon,lat\n")
    archive = open_archive(tmp_path / "data")
    check(archive.read(*SPAN))
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, found.skipped) == (2, 12, [])
    assert found.passed_over == ["early.zip:stations.csv: a station table in a zip, which is not used (put it beside "
                                 "the zip)"]
    assert [part.name for part in archive.parts()] == ["early.zip", "rest.csv"]
    alone = open_archive(tmp_path / "data" / "early.zip")
    assert alone.inspect(*SPAN).values == 8 and alone.inspect(*SPAN).fingerprint != found.fingerprint


def test_years_months_days_and_hours_are_a_time(file):
    """As openair and many spreadsheets have them; hour 24 is the first of the next day."""
    table = rows()
    local = table["time"] + pd.Timedelta("8h") - pd.Timedelta("1h")
    table = table.drop(columns="time").assign(Year=local.dt.year, Month=local.dt.month, Day=local.dt.day,
                                              Hour=local.dt.hour + 1)
    check(open_archive(save(table, file), utc_offset=8.0).read(*SPAN))
    with pytest.raises(UserError, match="has no column time; it has"):
        open_archive(save(table.drop(columns="Month"), file))


def test_what_may_be_a_table_and_is_not_read_is_named(tmp_path):
    save(rows(), tmp_path / "a.csv")
    for name in ("b.zip", "c.xlsx", "d.csv.part", "e.feather", "f.nc", "notes.txt", "README.md", "a.png", ".b.zip"):
        (tmp_path / name).write_bytes(b"x")
    assert open_archive(tmp_path).inspect(*SPAN).passed_over == [
        "b.zip is not a whole zip file (File is not a zip file)",
        "c.xlsx: a table in a format that is not read (save it as CSV or Parquet)",
        "e.feather: a table in a format that is not read (save it as CSV or Parquet)",
        "f.nc: a table in a format that is not read (save it as CSV or Parquet)",
        "d.csv.part: an unfinished download or a backup by the name; not read"]


def test_the_layout_names_its_columns():
    assert all(name in TIDY.layout for name in ("station_id", "time", "lon", "lat", "pm25"))


@pytest.mark.parametrize("day", ["2019-10-09", "09-OCT-2019", "09Oct2019", "2019年10月9日"])
def test_days_in_any_form_take_the_hour_of_its_column(tmp_path, day):
    """The T of OCT does not stand before an hour."""
    table = rows().assign(time=day, hour=np.repeat(range(6), 2))
    save(table, tmp_path / "rows.csv")
    cube = open_archive(tmp_path).read("2019-10-09T00", "2019-10-09T05")
    assert cube.pm25.sel(station="1001").values.tolist() == [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]


@pytest.mark.parametrize("head", ["PM2.5浓度(μg/m3)", "pm25_conc", "PM2.5_1h", "PM2.5 concentration"])
def test_words_behind_a_pollutant(tmp_path, head):
    save(rows().rename(columns={"pm25": head}), tmp_path / "rows.csv")
    check(open_archive(tmp_path).read(*SPAN))


def test_a_mean_of_24_hours_is_no_hourly_value(tmp_path):
    save(rows().rename(columns={"pm25": "PM2.5_24h"}), tmp_path / "rows.csv")
    with pytest.raises(UserError, match="no column pm25"):
        open_archive(tmp_path)


def test_a_table_with_other_ids_is_shown_beside_those_of_the_files(tmp_path):
    save(rows().drop(columns=["lon", "lat"]), tmp_path / "in" / "rows.csv")
    (tmp_path / "table.csv").write_text("station_id,lon,lat\nx7,116,40\n")
    with pytest.raises(UserError, match=r"none of the stations .* 0007, 1001 .* It has x7"):
        open_archive(tmp_path / "in", tmp_path / "table.csv")
    with pytest.raises(UserError, match="is a folder"):
        open_archive(tmp_path / "in", tmp_path)


def test_links_are_followed_once_and_what_is_no_file_is_told(tmp_path):
    """A folder elsewhere is read through a link, once, though two name it; loops end; a pipe is not waited for."""
    save(rows(), tmp_path / "elsewhere" / "rows.csv")
    folder = tmp_path / "in"
    folder.mkdir()
    for name, target in (("a", "../elsewhere"), ("b", "../elsewhere"), ("up", ".."), ("self.csv", "nothing")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.csv")
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    check(archive.read(*SPAN))
    assert (found.good, found.anomalies) == (1, []) and [part.name for part in archive.parts()] == ["a/rows.csv"]
    assert found.passed_over == [f"{name}: no file that can be read (a link to nothing, a pipe or a device)"
                                 for name in ("pipe.csv", "self.csv")]


@pytest.mark.parametrize(("head", "hours"), [
    ("time_utc", 0), ("DateTime_GMT", 0), ("Time (UTC+8)", 8), ("时间（北京时间）", 8), ("datetime (CST)", 8)])
def test_an_offset_in_the_header_is_that_of_its_stamps(tmp_path, head, hours):
    """--utc-offset would shift what the header has settled, and is refused."""
    table = rows()
    table["time"] = (table["time"] + pd.Timedelta(hours=hours)).dt.strftime("%Y-%m-%d %H:%M")
    save(table.rename(columns={"time": head}), tmp_path / "rows.csv")
    archive = open_archive(tmp_path)
    check(archive.read(*SPAN))
    assert archive.inspect(*SPAN).notes == [f"rows.csv: stamps are UTC{'+8 h' if hours else ''}, as the header "
                                            f"{head!r} says"]
    with pytest.raises(UserError, match="in itself or in the header"):
        open_archive(tmp_path, utc_offset=8.0)


def test_a_header_that_says_local_is_repeated(tmp_path):
    save(rows().rename(columns={"time": "time (local)"}), tmp_path / "rows.csv")
    told, = open_archive(tmp_path).inspect(*SPAN).notes
    assert told.endswith("; the header 'time (local)' says that they are local")


def test_a_day_and_a_clock_in_two_columns(tmp_path):
    table = rows()
    stamps = table.pop("time")
    save(table.assign(Date=stamps.dt.strftime("%d.%m.%Y"), Time=stamps.dt.strftime("%I:%M %p")), tmp_path / "rows.csv")
    check(open_archive(tmp_path).read(*SPAN))


def test_many_files_are_noted_together(tmp_path):
    for number, (_, table) in enumerate(rows(hours=6, stations={f"{n}": (116.0 + n / 10, 40.0) for n in range(5)})
                                        .groupby("station_id")):
        save(table.assign(remark="x"), tmp_path / f"{number}.csv")
    assert open_archive(tmp_path).inspect(*SPAN).notes == [
        "5 files, for example 0.csv: column not used: remark",
        "5 files, for example 0.csv: stamps have no offset: read as UTC (--utc-offset 8 where they are China Standard "
        "Time)"]
