"""OpenAQ's archive and API: stamps, units, averages and odd things, on small files with answers worked out by hand."""

import gzip
import json

import numpy as np
import pytest

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import open_archive, openaq

HEADER = '"location_id","sensors_id","location","datetime","lat","lon","parameter","units","value"'
DAY = ("2019-01-04T17", "2019-01-05T16")  # the calendar day 2019-01-05 in UTC+8
MICRO = "µg/m³"


def row(time, value, parameter="pm25", units=MICRO, sensor=11, location=7, lat=39.9, lon=116.4):
    cells = (f"Somewhere, Beijing-{location}", time, lat, lon, parameter, units, value)
    return f"{location},{sensor}," + ",".join(f'"{cell}"' for cell in cells)


def day_of_hours(day="2019-01-05", after="2019-01-06", **more):
    """24 rows of a local day, stamps 01:00 ... 24:00 in UTC+8; the value is the stamp's hour."""
    return [row(f"{day if hour < 24 else after}T{hour % 24:02d}:00:00+08:00", float(hour), **more)
            for hour in range(1, 25)]


def write(folder, rows, day="20190105", location=7, flat=False, text=None):
    """One day's file where the archive has it, or beside the others."""
    if not flat:
        folder = folder / f"records/csv.gz/locationid={location}/year={day[:4]}/month={day[4:6]}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"location-{location}-{day}.csv.gz"
    path.write_bytes(gzip.compress((text or "\n".join([HEADER, *rows]) + "\n").encode(), mtime=0))
    return path


def series(cube, name="pm25", station="7"):
    return cube[name].sel(station=station).values.tolist()


def test_a_local_day_stands_at_its_hours_and_marks_the_end(tmp_path):
    write(tmp_path, day_of_hours())
    archive = open_archive(tmp_path)
    assert isinstance(archive, openaq.OpenaqArchive) and not archive.simulated
    assert archive.period() == tuple(map(np.datetime64, DAY))
    cube = schema.check_station_cube(archive.read(*DAY))
    assert series(cube) == [float(hour) for hour in range(1, 25)]
    assert (cube.lat.item(), cube.lon.item()) == (39.9, 116.4)
    assert archive.stations.name.tolist() == ["Somewhere, Beijing-7"]
    assert not [name for name in cube if name.endswith("_flag")]
    wider = archive.read("2019-01-04T16", "2019-01-05T17").pm25.squeeze("station")
    assert np.isnan(wider.values[[0, -1]]).all() and np.isfinite(wider.values[1:-1]).all()


def test_days_and_locations_in_one_cube_and_any_piece_reads_the_same(tmp_path):
    write(tmp_path, day_of_hours())
    write(tmp_path, day_of_hours("2019-01-06", "2019-01-07"), "20190106", flat=True)
    write(tmp_path, day_of_hours(location=12, sensor=90, lat=39.0, parameter="co", units="mg/m3"), location=12)
    archive = open_archive(tmp_path)
    assert archive.stations.station_id.tolist() == ["12", "7"]  # text, as everywhere
    whole = archive.read("2019-01-04T00", "2019-01-07T12")
    assert np.isfinite(whole.pm25.sel(station="7")).sum() == 48 and np.isnan(whole.pm25.sel(station="12")).all()
    assert np.isfinite(whole.co.sel(station="12")).sum() == 24
    piece = archive.read("2019-01-05T16", "2019-01-05T17")  # 24:00 of one file, 01:00 of the next
    assert series(piece) == [24.0, 1.0]
    assert whole.sel(time=piece.time).identical(piece)
    found = archive.inspect(*DAY)
    assert (found.good, found.values, found.skipped, found.anomalies) == (3, 24, [], [])


@pytest.mark.parametrize(("time", "hour"), [
    ("2019-01-05T03:00:00+08:00", "2019-01-04T19"), ("2019-01-05 03:00:00+08", "2019-01-04T19"),
    ("2019-01-04T19:00:00Z", "2019-01-04T19"), ("2019-01-05T00:30:00+05:30", "2019-01-04T19"),
    ("2019-01-04T12:00:00-07:00", "2019-01-04T19"), ("2019-01-04T18:00:01Z", "2019-01-04T19")])
def test_the_offset_of_a_stamp_counts(tmp_path, time, hour):
    """A stamp of 19:00 is 18:00 to 18:59; what is stamped inside the hour belongs to it too."""
    write(tmp_path, [row(time, 5.0)])
    cube = open_archive(tmp_path).read("2019-01-04T17", "2019-01-04T21")
    assert cube.time.values[np.isfinite(cube.pm25.values[:, 0])].tolist() == [np.datetime64(hour, "ns").astype(int)]


# EPA's factors at 25 degC and 1 atm, as commonly printed: ug m-3 for 1 ppb, and mg m-3 for 1 ppm of CO
@pytest.mark.parametrize(("parameter", "units", "value", "ours", "tolerance"), [
    ("o3", "ppb", 1.0, 1.96, 0.005), ("o3", "ppm", 0.07, 137.4, 0.2), ("no2", "ppb", 100.0, 188.1, 0.2),
    ("so2", "ppb", 100.0, 261.9, 0.2), ("co", "ppm", 1.0, 1.145, 0.001), ("co", "ppb", 1000.0, 1.145, 0.001),
    ("co", "µg/m³", 900.0, 0.9, 1e-6), ("co", "mg/m³", 0.9, 0.9, 1e-6), ("pm25", "mg/m³", 0.05, 50.0, 1e-4),
    ("pm10", "μg/m3", 30.0, 30.0, 1e-6), ("no2", "ug m-3", 30.0, 30.0, 1e-6), ("o3", "µg/m^3", 8.0, 8.0, 1e-6)])
def test_units_become_ours(tmp_path, parameter, units, value, ours, tolerance):
    write(tmp_path, [row("2019-01-05T03:00:00+08:00", value, parameter, units)])
    archive = open_archive(tmp_path)
    assert archive.read(*DAY)[parameter].values[2, 0] == pytest.approx(ours, abs=tolerance)
    converted = [text for text in archive.inspect(*DAY).anomalies if "converted at 298.15 K and 1013.25 hPa" in text]
    assert bool(converted) == units.startswith("pp")


@pytest.mark.parametrize(("parameter", "units"), [("pm25", "ppm"), ("pm25", "particles/cm³"), ("o3", "AQI"),
                                                  ("co", "")])
def test_a_unit_that_is_not_known_is_told_and_its_values_are_not_used(tmp_path, parameter, units):
    write(tmp_path, [*day_of_hours(parameter=parameter, units=units, sensor=12), *day_of_hours(parameter="no2")])
    archive = open_archive(tmp_path)
    cube = archive.read(*DAY)
    assert cube[parameter].isnull().all() and series(cube, "no2")[:2] == [1.0, 2.0]
    assert archive.inspect(*DAY).anomalies == [
        f"location 7: {parameter} in {units!r} has no known conversion; its 24 values are not used"]


def test_parameters_that_are_not_ours_are_left_out(tmp_path):
    write(tmp_path, [*day_of_hours(), *day_of_hours(parameter="relativehumidity", units="%", sensor=13)])
    assert open_archive(tmp_path).inspect(*DAY).anomalies == []


def quarters(values, hour="02", sensor=11):
    """Values at 02:15, 02:30, 02:45, 03:00; None is not reported."""
    times = [f"{hour}:15", f"{hour}:30", f"{hour}:45", f"{int(hour) + 1:02d}:00"]
    return [row(f"2019-01-05T{time}:00+08:00", value, sensor=sensor)
            for time, value in zip(times, values, strict=True) if value is not None]


def test_what_comes_more_often_than_hourly_is_averaged_to_the_end_of_the_hour(tmp_path):
    write(tmp_path, [*quarters([10, 20, 30, 60]), *quarters([1, None, None, 3], "03"),
                     *quarters([None, 9, None, None], "04"), *quarters([5, 5, 5, -999], "05")])
    archive = open_archive(tmp_path)
    third, fourth, fifth, sixth = series(archive.read("2019-01-04T19", "2019-01-04T22"))
    assert (third, fourth, sixth) == (30.0, 2.0, 5.0)  # 4 of 4; 2 of 4 are enough; a code does not enter a mean
    assert np.isnan(fifth)  # 1 of 4 is not
    assert archive.inspect(*DAY).anomalies == [
        "location 7: 1 hours of pm25 have less than half of their usual values and are missing"]
    assert archive.inspect(*DAY).values == 3


def test_an_hour_that_two_local_days_share_is_one_mean(tmp_path):
    """UTC+5:30: midnight lies at 18:30 UTC, so the hour to 19:00 UTC has half of its values in either file."""
    write(tmp_path, [row(f"2019-01-0{5 + (m == '00:00')}T{m}:00+05:30", v) for m, v in
                     (("23:15", 8), ("23:30", 8), ("23:45", 10), ("00:00", 20))])
    write(tmp_path, [row(f"2019-01-06T{m}:00+05:30", v) for m, v in
                     (("00:15", 30), ("00:30", 40), ("00:45", 7))], "20190106")
    archive = open_archive(tmp_path)
    cube = archive.read("2019-01-05T18", "2019-01-05T20")
    assert series(cube)[1] == (10 + 20 + 30 + 40) / 4
    assert series(archive.read("2019-01-05T19", "2019-01-05T19")) == [25.0]


def test_missing_codes_stay_what_they_are(tmp_path):
    third, fourth, fifth = (f"2019-01-05T0{hour}:00:00+08:00" for hour in (3, 4, 5))
    write(tmp_path, [row(third, -999.0, "o3", "ppm"), row(fourth, 9999, "co", MICRO), row(fifth, "", "o3", "ppm"),
                     row(fifth, "nan", "co", "ppm")])
    cube = open_archive(tmp_path).read("2019-01-04T19", "2019-01-04T21")
    np.testing.assert_array_equal(series(cube, "o3"), [-999.0, np.nan, np.nan])
    np.testing.assert_array_equal(series(cube, "co"), [np.nan, 9999.0, np.nan])


def test_of_several_sensors_the_lowest_number_that_reported_counts(tmp_path):
    two = [row(f"2019-01-05T{hour:02d}:00:00+08:00", 100 + hour, sensor=9) for hour in (1, 2, 5)]
    code = [row("2019-01-05T03:00:00+08:00", -999, sensor=9)]
    write(tmp_path, [*day_of_hours(sensor=11), *two, *code])
    archive = open_archive(tmp_path)
    assert series(archive.read(*DAY))[:6] == [101.0, 102.0, 3.0, 4.0, 105.0, 6.0]
    assert archive.inspect(*DAY).anomalies == [
        "location 7: pm25 has several sensors (9, 11) in 1 files; each hour has the value of the first of them"]


def test_rows_that_repeat_a_time_keep_the_first_value_and_a_flag_where_they_disagree(tmp_path):
    write(tmp_path, [*day_of_hours(), row("2019-01-05T02:00:00+08:00", 2.0), row("2019-01-05T03:00:00+08:00", 77.0)])
    archive = open_archive(tmp_path)
    cube = archive.read(*DAY)
    assert series(cube) == [float(hour) for hour in range(1, 25)]
    flags = cube.pm25_flag.values[:, 0]
    assert flags[2] == schema.OBSERVATION_FLAGS["conflicting"] and flags.sum() == flags[2]
    assert archive.inspect(*DAY).anomalies == [
        "location 7: 1 values of pm25 repeat a time with another value; the first is kept and flagged"]


def test_a_location_that_moved_is_told(tmp_path):
    write(tmp_path, day_of_hours())
    write(tmp_path, day_of_hours("2019-01-06", "2019-01-07", lat=40.0), "20190106")  # 0.1 degree is 11.1 km
    archive = open_archive(tmp_path)
    assert archive.stations.lat.tolist() == [39.9]
    assert archive.inspect("2019-01-04T17", "2019-01-06T16").anomalies == [
        "location 7: stands at 40.0000, 116.4000 (11.1 km away) in 1 files; the place in its first file is used"]


def test_a_station_table_gives_the_places(tmp_path):
    write(tmp_path, day_of_hours(lat="", lon=""))
    with pytest.raises(UserError, match="coordinates"):
        open_archive(tmp_path)
    (tmp_path / "places.csv").write_text("station_id,lon,lat\n7,116.5,39.5\n")
    archive = open_archive(tmp_path, tmp_path / "places.csv")
    assert archive.read(*DAY).lat.values.tolist() == [39.5]


def test_half_hour_zones_are_told(tmp_path):
    write(tmp_path, [row(f"2019-01-05T{hour:02d}:00:00+05:30", hour) for hour in (1, 2, 3)])
    assert open_archive(tmp_path).inspect("2019-01-04T00", "2019-01-05T16").anomalies == [
        "location 7: 3 hourly values of pm25 do not end on a full UTC hour; each belongs to the next one"]


GOOD = "\n".join([HEADER, *day_of_hours("2019-01-06", "2019-01-07")]) + "\n"
BAD = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html><html></html>",
    "truncated gzip": gzip.compress(GOOD.encode(), mtime=0)[:-30],
    "no column location_id, datetime": gzip.compress(b"time,place,value\n1,2,3\n", mtime=0),
    "no rows": gzip.compress(f"{HEADER}\n".encode(), mtime=0),
    "24 rows without a time and its offset": gzip.compress(GOOD.replace("+08:00", "").encode(), mtime=0),
    "24 rows whose stamp is not of the file's day (line 2)": gzip.compress(
        GOOD.replace("2019-01", "2019-02").encode(), mtime=0),
    "24 rows of location '8'": gzip.compress(GOOD.replace("\n7,", "\n8,").encode(), mtime=0),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_and_skipped(tmp_path, what):
    write(tmp_path, day_of_hours())
    bad = write(tmp_path, [], "20190106")
    bad.write_bytes(BAD[what])
    archive = open_archive(tmp_path)
    span = "2019-01-04T17", "2019-01-06T16"
    found = archive.inspect(*span)
    assert found.good == 1 and len(found.skipped) == 1
    assert bad.name in found.skipped[0] and what in found.skipped[0]
    assert np.isfinite(archive.read(*span).pm25).sum() == 24


def test_only_bad_files_are_an_error_that_names_one(tmp_path):
    write(tmp_path, []).write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"location-7-20190105\.csv\.gz is an HTML"):
        open_archive(tmp_path)


@pytest.mark.parametrize("name", ["location-7-20190106.csv", "location-7-20190106.csv.gz", "LOCATION-7-20190106.CSV",
                                  "location-7-20190106 (1).csv", "location-7-2019-01-06.csv.gz"])
@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress])
def test_gzip_is_known_by_its_content_and_copies_by_their_names(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(GOOD.encode()))
    assert np.isfinite(open_archive(tmp_path).read("2019-01-05T17", "2019-01-06T16").pm25).sum() == 24


def test_the_same_day_twice_is_told(tmp_path):
    write(tmp_path, day_of_hours())
    write(tmp_path, day_of_hours(), flat=True)
    assert "repeats the day of" in open_archive(tmp_path).inspect(*DAY).skipped[0]


def test_parts_are_the_files_with_hours_that_hold_all_they_may_have(tmp_path):
    paths = [write(tmp_path, day_of_hours()),
             write(tmp_path, day_of_hours("2019-01-06", "2019-01-07"), "20190106"), write(tmp_path, [], "20190203")]
    paths[-1].write_bytes(b"<html>")
    first, second, bad = open_archive(tmp_path).parts()
    assert [tmp_path / part.name for part in (first, second, bad)] == paths
    assert [(part.size, part.modified) for part in (first, second, bad)] == [
        (path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    assert first.first == np.datetime64(DAY[0]) and first.last >= np.datetime64(DAY[1])
    assert second.first <= np.datetime64("2019-01-05T17") and second.last == np.datetime64("2019-01-06T16")
    assert bad.first > second.last  # so that whoever goes by the hours comes to it and is told


def test_the_fingerprint_is_that_of_the_contents(tmp_path):
    write(tmp_path, day_of_hours())
    before = open_archive(tmp_path).inspect(*DAY).fingerprint
    assert open_archive(tmp_path).inspect(*DAY).fingerprint == before
    write(tmp_path, [*day_of_hours()[:-1], row("2019-01-06T00:00:00+08:00", 25.0)])
    assert open_archive(tmp_path).inspect(*DAY).fingerprint != before


# The API: the shape of docs.openaq.org/resources/measurements and of GET /v3/locations/{id}.

def result(end, value, minutes=60, parameter="pm25", units=MICRO, percent=100.0, **more):
    start = np.datetime64(end) - np.timedelta64(minutes, "m")
    period = {"label": "raw", "interval": f"{minutes // 60:02d}:{minutes % 60:02d}:00",
              "datetimeFrom": {"utc": f"{start}Z", "local": "?"}, "datetimeTo": {"utc": f"{end}Z", "local": "?"}}
    return {"value": value, "flagInfo": {"hasFlags": False}, "period": period, "coordinates": None, "summary": None,
            "parameter": {"id": 2, "name": parameter, "units": units, "displayName": None},
            "coverage": {"expectedCount": 1, "observedCount": 1, "percentComplete": percent}} | more


def save(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"name": "openaq-api", "page": 1, "limit": 1000, "found": 1}
    path.write_text(json.dumps({"meta": meta, "results": results}))


@pytest.fixture
def api(tmp_path):
    """A folder with the answer of /v3/locations: sensors 11 and 12 at location 7."""
    save(tmp_path / "locations.json", [{
        "id": 7, "name": "Somewhere", "timezone": "Asia/Shanghai",
        "coordinates": {"latitude": 39.9, "longitude": 116.4},
        "sensors": [{"id": number, "name": "?", "parameter": {"name": "?", "units": MICRO}} for number in (11, 12)]}])
    return tmp_path


@pytest.mark.parametrize("name", ["sensor-11-2019.json", "sensors/11/hours.json", "sensors_11_page1.json"])
def test_measurements_of_the_api(api, name):
    save(api / name, [result("2019-01-04T17:00:00", 1.5), result("2019-01-04T18:00:00", 2.5)])
    archive = open_archive(api)
    assert archive.period() == (np.datetime64("2019-01-04T17"), np.datetime64("2019-01-04T18"))
    cube = archive.read("2019-01-04T16", "2019-01-04T19")
    np.testing.assert_array_equal(series(cube), [np.nan, 1.5, 2.5, np.nan])
    assert (cube.lat.item(), cube.station_name.item()) == (39.9, "Somewhere")
    assert archive.inspect(*DAY).values == 2


def test_shorter_measurements_are_averaged_by_their_length(api):
    save(api / "sensor-11.json", [result(f"2019-01-04T17:{m}:00", v, 15) for m, v in (("15", 10), ("30", 30))]
         + [result("2019-01-04T18:15:00", 50, 15)])
    cube = open_archive(api).read("2019-01-04T18", "2019-01-04T19")
    np.testing.assert_array_equal(series(cube), [20.0, np.nan])  # 2 of 4, 1 of 4


def test_pages_that_overlap_and_sensors_in_two_files(api):
    save(api / "sensor-11-page1.json", [result(f"2019-01-04T{h}:00:00", v) for h, v in ((17, 1), (18, 2))])
    save(api / "sensor-11-page2.json", [result(f"2019-01-04T{h}:00:00", v) for h, v in ((18, 2), (19, 3))])
    save(api / "sensor-12.json", [result(f"2019-01-04T{h}:00:00", 40, parameter="no2") for h in (17, 18)])
    cube = open_archive(api).read("2019-01-04T17", "2019-01-04T19")
    assert series(cube) == [1.0, 2.0, 3.0] and series(cube, "no2")[:2] == [40.0, 40.0]
    assert "pm25_flag" not in cube
    save(api / "sensor-11-page2.json", [result("2019-01-04T18:00:00", 9)])
    cube = open_archive(api).read("2019-01-04T17", "2019-01-04T18")
    assert series(cube) == [1.0, 2.0]  # the first file's
    assert cube.pm25_flag.values[:, 0].tolist() == [0, schema.OBSERVATION_FLAGS["conflicting"]]


def test_hours_that_openaq_calls_incomplete_or_flags_and_nulls(api):
    save(api / "sensor-11.json", [
        result("2019-01-04T17:00:00", 1, percent=49.0), result("2019-01-04T18:00:00", 2, percent=50.0),
        result("2019-01-04T19:00:00", None), result("2019-01-04T20:00:00", 4, flagInfo={"hasFlags": True})])
    archive = open_archive(api)
    np.testing.assert_array_equal(series(archive.read("2019-01-04T17", "2019-01-04T20")), [np.nan, 2.0, np.nan, 4.0])
    assert archive.inspect(*DAY).anomalies == [
        "location 7: OpenAQ itself flags 1 values of pm25; they are kept",
        "location 7: 1 hours of pm25 have less than half of their usual values and are missing"]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("sensor-12.json", [result("2019-01-06T00:00:00", 5, 24 * 60)], "means over 24 h"),
    ("sensor-12.json", [], "has no results: its list is empty"),
    ("hours.json", [result("2019-01-04T17:00:00", 5)], "named after no sensor"),
    ("sensor-99.json", [result("2019-01-04T17:00:00", 5)], "no file of locations names"),
    ("sensor-12.json", [result("2019-01-04T17:00:00", 5) | {"period": {}}], "not a list of OpenAQ measurements"),
])
def test_responses_that_can_not_be_used(api, name, content, words):
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    save(api / name, content)
    bad = open_archive(api).inspect(*DAY).skipped
    assert len(bad) == 1 and name in bad[0] and words in bad[0]


def test_a_truncated_response(api):
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    text = (api / "sensor-11.json").read_text()
    (api / "sensor-12.json").write_text(text[:-20])
    assert "not a whole response" in open_archive(api).inspect(*DAY).skipped[0]


def test_one_response_alone_finds_its_locations_beside_it(api):
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    assert series(open_archive(api / "sensor-11.json").read(DAY[0], DAY[0])) == [1.5]


def test_both_layouts_give_the_same_cube(api, tmp_path_factory):
    save(api / "sensor-11.json", [result(f"{np.datetime64(DAY[0], 's') + np.timedelta64(h, 'h')}", h + 1.0)
                                  for h in range(24)])
    other = tmp_path_factory.mktemp("csv")
    write(other, day_of_hours())
    assert open_archive(api).read(*DAY).pm25.drop_vars("station_name").identical(
        open_archive(other).read(*DAY).pm25.drop_vars("station_name"))


# What is bad loses itself only.

@pytest.mark.parametrize(("spoil", "told", "lost"), [
    (lambda row: row.replace('"3.0"', '"null"'), None, 3),
    (lambda row: row.replace('"3.0"', '"—"'), None, 3),
    (lambda row: row.replace('"3.0"', '"<5"'), "1 value of pm25 not understood and taken as missing ('<5')", 3),
    (lambda row: row.replace('"3.0"', '"3.0*"'), "1 value of pm25 not understood and taken as missing ('3.0*')", 3),
    (lambda row: row.replace("T03:00:00+08:00", " 3 h"), "1 row without a time and its offset, such as", 3),
    (lambda row: row.replace("+08:00", ""), "1 row without a time and its offset, such as", 3),
    (lambda row: row.replace("2019-01-05", "2019-02-05"), "1 row whose stamp is not of the file's day not read", 3),
    (lambda row: row.replace("7,11", "8,11"), "1 row of location '8' not read", 3),
    (lambda row: row.replace("7,11", "7,x"), "1 row without the number of a sensor not read", 3),
    (lambda row: row.rsplit(",", 2)[0], "1 row with too few or too many cells not read", 3),
    (lambda row: row + ",,", None, 0),
    (lambda row: "\n" + row + "\n", None, 0),
    (lambda row: row.replace("7,11", "7.0,11.0"), None, 0),
    (lambda row: row.replace('"3.0"', '" 3 "'), None, 0),
    (lambda row: row.replace("2019-01-05T03:00:00+08:00", "2019-01-04T19:00:00 UTC"), None, 0),
])
def test_a_bad_row_or_value_of_a_day_loses_itself_and_is_told_with_its_line(tmp_path, spoil, told, lost):
    rows = day_of_hours()
    write(tmp_path, [*rows[:2], spoil(rows[2]), *rows[3:]])
    archive = open_archive(tmp_path)
    expected = [np.nan if hour == lost else float(hour) for hour in range(1, 25)]
    np.testing.assert_array_equal(series(archive.read(*DAY)), expected)
    found = archive.inspect(*DAY)
    assert (found.good, found.skipped, found.values) == (1, [], 24 - (lost > 0))
    assert len(found.anomalies) == (told is not None)
    if told:
        assert found.anomalies[0].startswith(f"location 7: {told}") and "csv.gz, line 4" in found.anomalies[0]


@pytest.mark.parametrize("ends", ["", "\n"])
def test_a_value_at_the_very_end_that_may_be_cut_off_is_missing(tmp_path, ends):
    text = "\n".join([HEADER, *day_of_hours()]).replace("Somewhere, ", "").replace('"', "")
    write(tmp_path, [], text=text + ends)
    archive = open_archive(tmp_path)
    assert np.isnan(series(archive.read(*DAY))[-1]) == (not ends)
    assert len([text for text in archive.inspect(*DAY).anomalies if "may be cut off" in text]) == (not ends)


@pytest.mark.parametrize("written", [
    lambda text: text.replace(",", ";").replace(".0", ",0").replace("39.9", "39,9").replace("116.4", "116,4"),
    lambda text: "\t".join(text.split(",")), lambda text: text.upper().replace(MICRO.upper(), MICRO),
    lambda text: "".join(f'"{n or ""}",{line}\n' for n, line in enumerate(text.splitlines())),
    lambda text: "\n".join(",".join(line.split(",")[::-1]) for line in text.splitlines()) + "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_day_that_other_programs_have_saved_again(tmp_path, written, encoding):
    write(tmp_path, day_of_hours())
    right = open_archive(tmp_path).read(*DAY)
    text = "\n".join([HEADER, *day_of_hours()]).replace("Somewhere, Beijing", "Somewhere Beijing") + "\n"
    (path := write(tmp_path, [])).write_bytes(written(text.replace('"', "")).encode(encoding))
    archive = open_archive(tmp_path)
    assert archive.inspect(*DAY).skipped == [] and path.exists()
    assert archive.read(*DAY).pm25.drop_vars("station_name").identical(right.pm25.drop_vars("station_name"))


@pytest.mark.parametrize(("entry", "told"), [
    ({"period": None}, "1 entry without a measurement and its period not read"),
    ("text", "1 entry without a measurement and its period not read"),
    ({"value": "n/a"}, None), ({"value": "5,x"}, "1 value of pm25 not understood and taken as missing ('5,x')"),
    ({"coverage": "whole"}, ""), ({"flagInfo": [1]}, ""), ({"value": True}, "1 value of pm25 not understood"),
    ({"parameter": {"units": "x"}}, "1 entry without 'name' not read"),
    ({"parameter": {"name": "pm25"}}, "pm25 in '' has no known conversion; its 1 values are not used"),
])
def test_an_entry_that_is_none_loses_itself(api, entry, told):
    second = result("2019-01-04T18:00:00", 2)
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5),
                                  second | entry if isinstance(entry, dict) else entry])
    archive = open_archive(api)
    second = 2.0 if told == "" else np.nan   # a field of no use to us may be anything
    np.testing.assert_array_equal(series(archive.read("2019-01-04T17", "2019-01-04T18")), [1.5, second])
    found = archive.inspect(*DAY)
    assert found.skipped == [] and found.values == 1 + (told == "") and len(found.anomalies) == bool(told)
    assert not told or found.anomalies[0].startswith(f"location 7: {told}")


@pytest.mark.parametrize("at", [None, {}, {"latitude": None, "longitude": 116.0}, {"latitude": "x", "longitude": 1}])
def test_a_location_without_coordinates_loses_itself_and_is_told(api, at, tmp_path):
    entries = json.loads((api / "locations.json").read_text())["results"]
    other = entries[0] | {"id": 99, "coordinates": at, "sensors": [{"id": 990}]}
    other["sensors"].append({"id": "x"})
    save(api / "locations.json", [*entries, other, {"id": 5}, "text", {"id": None, "sensors": [{"id": 5}]}])
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    save(api / "sensor-990.json", [result("2019-01-04T17:00:00", 2.5)])
    archive = open_archive(api)
    assert archive.stations.station_id.tolist() == ["7"] and series(archive.read(DAY[0], DAY[0])) == [1.5]
    found = archive.inspect(*DAY)
    assert found.values == 1 and found.anomalies == [
        "location 99: no coordinates in the files or the station table; values not used: 1"]
    assert found.skipped == ["locations.json: 1 entry not used: entry 2 has a sensor without a number",
                             "locations.json: 3 entries not used: entry 3 is no location with an id and its sensors"]
    table = tmp_path / "table.csv"
    table.write_text("station_id,lon,lat\n99,116,40\n7,117,40\n")
    assert series(open_archive(api, table).read(DAY[0], DAY[0]), station="99") == [2.5]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_copy_of_a_response_counts_once_in_any_encoding(api, encoding):
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    (api / "SENSOR-11 (1).JSON").write_bytes((api / "sensor-11.json").read_text().encode(encoding))
    found = open_archive(api).inspect(*DAY)
    assert (found.good, found.values, found.skipped, found.anomalies) == (2, 1, [], [])


def test_errors_of_the_api_empty_answers_and_missing_pages_are_told(api):
    save(api / "sensor-11.json", [result("2019-01-04T17:00:00", 1.5)])
    (api / "sensor-12.json").write_text('{"detail": "Rate limit exceeded"}')
    (api / "package.json").write_text('{"name": "something else"}')
    for page in (1, 3):
        entries = [result(f"2019-01-04T{17 + page}:00:00", page), result(f"2019-01-04T{18 + page}:00:00", page)]
        (api / f"sensor-11-page-{page}.json").write_text(
            json.dumps({"meta": {"page": page, "limit": 2, "found": ">2"}, "results": entries}))
    found = open_archive(api).inspect(*DAY)
    assert sorted(found.skipped) == [
        "sensor 11: page 2 of its measurements is missing (the one before is full)",
        "sensor 11: page 4 of its measurements is missing (the one before is full)",
        'sensor-12.json is not a response of the OpenAQ API with results; it says {"detail": "Rate limit exceeded"}']


def test_a_first_day_without_values_does_not_hide_the_days_between(tmp_path):
    """The period is that of the first and the last day with values."""
    for day, after in (("05", "06"), ("06", "07"), ("07", "08")):
        rows = day_of_hours(f"2019-01-{day}", f"2019-01-{after}")
        write(tmp_path, [row.rsplit(",", 1)[0] + ',""' for row in rows] if day == "05" else rows, f"201901{day}")
    archive = open_archive(tmp_path)
    assert archive.period() == (np.datetime64("2019-01-05T17"), np.datetime64("2019-01-07T16"))
    assert archive.inspect(*archive.period()).values == 48
