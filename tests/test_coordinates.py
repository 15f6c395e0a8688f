"""Datums of Chinese tables: published pairs, and there and back. Station tables in each, in both encodings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.observations import checks, datums, station_table
from aqreanalysis.observations.station_table import read_station_table
from aqreanalysis.tables import coordinates

# gcoord's table of Chinese cities (test/fixtures/china-cities.json, MIT): lon, lat in WGS-84, GCJ-02 and BD-09
CITIES = {
    "Xingtai": ((114.498916, 37.0700925), (114.5048503, 37.0705911), (114.5113116, 37.0766797)),
    "Zhengzhou": ((113.6192856, 34.7478004), (113.6253334, 34.7466173), (113.6317519, 34.7528605)),
    "Xilin Gol": ((116.0414035, 43.9312805), (116.0482308, 43.9334573), (116.0546232, 43.9397782)),
    "Nagqu": ((92.0499619, 31.4784436), (92.0512438, 31.4762063), (92.0576832, 31.4824421)),
}
# Tiananmen and the example of coordtransform's README (MIT) round it
TIANANMEN = (116.404, 39.915)


def metres(places, others):
    return 1000 * geo.distance_km(places[1], places[0], others[1], others[0])


@pytest.mark.parametrize("city", CITIES)
def test_published_places(city):
    wgs84, gcj02, bd09 = CITIES[city]
    assert metres(datums.wgs84_to_gcj02(*wgs84), gcj02) < 1.0
    assert metres(datums.gcj02_to_bd09(*gcj02), bd09) < 0.05
    assert metres(datums.to_wgs84(*gcj02, "GCJ-02"), wgs84) < 1.0
    assert metres(datums.to_wgs84(*bd09, "bd09"), wgs84) < 1.0
    assert metres(wgs84, gcj02) > 100 and metres(gcj02, bd09) > 500   # it matters


def test_the_example_of_tiananmen_to_its_last_digit():
    np.testing.assert_allclose(datums.wgs84_to_gcj02(*TIANANMEN), (116.41024449916938, 39.91640428150164),
                               rtol=0, atol=1e-12)
    np.testing.assert_allclose(datums.gcj02_to_bd09(*TIANANMEN), (116.41036949371029, 39.92133699351021),
                               rtol=0, atol=1e-12)


@given(st.floats(74, 134), st.floats(18, 53))
def test_there_and_back(lon, lat):
    gcj02 = datums.wgs84_to_gcj02(lon, lat)
    assert metres(datums.gcj02_to_wgs84(*gcj02), (lon, lat)) < 0.001
    assert metres(datums.bd09_to_gcj02(*datums.gcj02_to_bd09(lon, lat)), (lon, lat)) < 0.001
    assert metres(datums.to_wgs84(*datums.gcj02_to_bd09(*gcj02), "bd09"), (lon, lat)) < 0.002


def test_arrays_are_their_elements_and_the_rest_of_the_world_stays():
    lon, lat = np.array([[116.4, 2.35], [np.nan, 113.6]]), np.array([[39.9, 48.86], [40.0, 34.7]])
    there = datums.wgs84_to_gcj02(lon, lat)
    assert (there[0][0, 1], there[1][0, 1]) == (2.35, 48.86) and np.isnan(there[0][1, 0])
    assert there[0][0, 0] == datums.wgs84_to_gcj02(116.4, 39.9)[0]
    back = datums.to_wgs84(*there, "gcj02")
    np.testing.assert_allclose(back[0], lon, atol=1e-9)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_each_row_says_its_datum(tmp_path, encoding):
    rows = "".join(f"{name}-{datum},天安门,{place[0]},{place[1]},{datum}\n" for name, places in CITIES.items()
                   for datum, place in zip(("WGS-84", "gcj02", "BD09"), places, strict=True))
    table = read_station_table(write(tmp_path / "s.csv", "station_id,name,lon,lat,datum\n" + rows, encoding))
    assert set(table["name"]) == {"天安门"} and "datum" not in table
    for row in table.itertuples():
        city, datum = row.station_id.split("-")[0], row.station_id.split("-")[-1]
        assert metres((row.lon, row.lat), CITIES[city][0]) < 1.0
        assert row.converted_from == {"84": "", "gcj02": "gcj02", "BD09": "bd09"}[datum]


def test_a_datum_for_a_whole_table(tmp_path):
    lon, lat = CITIES["Xingtai"][1]
    table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\nA,{lon},{lat}\n"))
    assert (table.lon[0], table.lat[0]) == (lon, lat)
    moved = datums.table_in_wgs84(table, "gcj02")
    assert metres((moved.lon[0], moved.lat[0]), CITIES["Xingtai"][0]) < 1.0
    with pytest.raises(UserError, match="converted once"):
        datums.table_in_wgs84(moved, "gcj02")


def test_rows_without_a_datum_have_the_one_that_is_asked_for(tmp_path):
    lon, lat = CITIES["Xingtai"][0]
    table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat,datum\nA,{lon},{lat},\nB,117,40,\n"))
    assert (table.lon[0], table.lat[0]) == (lon, lat) and set(table.converted_from) == {""}


def test_an_unknown_datum_is_told(tmp_path):
    with pytest.raises(UserError, match="'beijing54' is not a known datum.* wgs84, gcj02, bd09"):
        read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat,datum\nA,116,40,beijing54\n"))


def test_a_station_that_moved_is_at_its_latest_place_and_told(tmp_path):
    table = read_station_table(write(tmp_path / "s.csv", (
        "station_id,lon,lat,start\nA,116.0,40.0,2013-01-01\nB,117,40,\nA,116.5,40.0,2016-05-01\nA,116.2,40.0,\n")))
    assert table.station_id.tolist() == ["A", "B"] and table.lon.tolist() == [116.5, 117.0]
    told, = checks.place_remarks(table)
    # the place without a day is the first; 0.3 degree of longitude at 40 N: 0.3 * 111.195 km * cos(40 deg) = 25.6 km
    assert told.startswith("station A moved 25.6 km") and "2016-05-01" in told
    assert "116.2000, 40.0000 to 116.5000, 40.0000" in told


@pytest.mark.parametrize("rows", ["A,116,40,\nA,117,40,\n", "A,116,40,2015-01-01\nA,117,40,2015-01-01\n"])
def test_a_move_without_days_is_an_error(tmp_path, rows):
    with pytest.raises(UserError, match="Station A of .* several places: 2 rows up to 85.2 km apart.*start"):
        read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat,start\n" + rows))


def test_rounded_places_are_one_place(tmp_path):
    table = read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat\nA,116.417,39.929\nA,116.4174,39.9289\n"))
    assert len(table) == 1 and checks.place_remarks(table) == []


def test_stations_that_share_a_place_are_told(tmp_path):
    table = read_station_table(write(tmp_path / "s.csv", (
        "station_id,lon,lat\nA,116,40\nB,116.00005,40\nC,117,40\nD,117.01,40\nE,,\n")))
    told = checks.place_remarks(table)
    assert told == ["stations A and B share one place (116.0000, 40.0000)", "1 station has no coordinates: E"]


# --- places ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, degrees", [
    ("116.397", 116.397), ("116°23'49.2\"E", 116.397), ("116°23′49.2″", 116.397), ("E116°23'49.2''", 116.397),
    ("116-23-49.2", 116.397), ("116 23 49.2 E", 116.397), ("116:23:49.2", 116.397), ("116°23.82'", 116.397),
    ("116d23m49.2s", 116.397), ("116 deg 23 min 49.2 sec E", 116.397), ("东经116度23分49.2秒", 116.397),
    ("116º23’49,2”", 116.397), ("１１６.３９７", 116.397), ("116.397 E", 116.397), ("116.397°", 116.397),
    ("116.397 degrees", 116.397), ("33 30 00 S", -33.5), ("S33°30'", -33.5), ("-33:30", -33.5), ("0°30'W", -0.5),
    ("NA", np.nan), ("", np.nan)])
def test_ways_to_write_a_coordinate(text, degrees):
    """116 + 23/60 + 49.2/3600 = 116.397."""
    assert coordinates.angle(text)[0] == pytest.approx(degrees, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("text", ["116 23", "116-23", "116°60'", "116-23-60", "-33.5 S", "E", "east", "116.23.49",
                                  "2019-01-09", "116.4E 39.9N", "Beijing", "inf", "116°23'49\"49"])
def test_what_could_mean_two_things_is_no_coordinate(text):
    """And is told with its line by whoever reads a table."""
    with pytest.raises(ValueError):
        coordinates.angle(text)


@given(st.floats(0, 179.99), st.sampled_from(["{d}°{m}'{s}\"{h}", "{h}{d}°{m}′{s}″", "{d}-{m}-{s}{h}",
                                              "{d}:{m}:{s} {h}", "{d} {m} {s} {h}",
                                              "{d}度{m}分{s}秒{h}", "{d}d{m}m{s}sec {h}"]),
       st.sampled_from(["E", "W", ""]))
@settings(max_examples=60, deadline=None)
def test_degrees_minutes_and_seconds_come_back(value, form, letter):
    """To a ten thousandth of a second, in every form."""
    units = round(value * 36_000_000)  # of 0.0001 seconds
    seconds = f"{units % 600_000 / 10_000:.4f}"
    text = form.format(d=units // 36_000_000, m=units // 600_000 % 60, s=seconds, h=letter)
    found, sexagesimal, told = coordinates.angle(text)
    assert sexagesimal and told == letter
    assert found == pytest.approx((-1 if letter == "W" else 1) * units / 36_000_000, abs=1e-8)


AROUND = "".join(f"S{n},{116 + 0.1 * n:.1f},40\n" for n in range(20))


@pytest.mark.parametrize("row, why", [
    ("0,0", "0 in place of missing"), ("0.0001,-0.0001", "0 in place of missing"), ("-999,-999", "a code for missing"),
    ("9999,40", "a code for missing"), ("40,116.4", "exchanged"), ("116.4,95", "outside"),
    ("448000,4420000", "outside"), ("116.4,0.5", "far from the network"),
    ("11.64,40", "far from the network"), ("116.4,4.0", "far from the network"),
    ("-116.4,40", "far from the network"), ("116.4,-40", "far from the network"),
    ("43.8,70.0", "far from the network")])
def test_a_bad_place_loses_itself_and_is_told(tmp_path, row, why):
    """Twenty good stations stay; the bad one is named with what is wrong."""
    table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\n{AROUND}bad,{row}\n"))
    assert len(table) == 20 and "bad" not in set(table.station_id)
    told, = checks.place_remarks(table)
    assert told.startswith("station bad is left out") and why in told


def test_a_second_row_with_a_sound_place_is_used(tmp_path):
    """A station at (0, 0) and at its place has its place."""
    table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\n{AROUND}A,0,0\nA,116.5,40.5\n"))
    assert table.set_index("station_id").lat["A"] == 40.5 and not table.attrs["left_out"]
    assert any("a place of station A is not used (0 in place" in text for text in checks.place_remarks(table))


@pytest.mark.parametrize("rows, told", [
    ("A,39.9,116.4\nB,40,116.5\nC,116.4,39.9\n", "2 of 3 places .* exchanged.*Exchange the names"),
    ("A,43.8,87.6\nB,43.9,87.5\n", "2 of 2 places .* exchanged"),   # Urumqi: 87.6 could be a latitude
    ("A,0,0\nB,0,0\n", "None of the 2 places .*0 in place of missing"),
    ("A,448000,4420000\n", "None of the 1 places .*outside")])
def test_a_table_without_a_sound_place_is_an_error(tmp_path, rows, told):
    """With what is wrong in it, and the fix."""
    with pytest.raises(UserError, match=told):
        read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\n{rows}"))


def test_two_regions_of_one_archive_are_kept(tmp_path):
    """A fifth of the stations 3,000 km away are a region; a tenth, two of twenty, are lost digits."""
    for count, kept in ((5, 25), (2, 20)):
        other = "".join(f"T{n},{77 + 0.1 * n:.1f},28.6\n" for n in range(count))
        table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\n{AROUND}{other}"))
        assert len(table) == kept and len(table.attrs["left_out"]) == 20 + count - kept


def test_letters_tell_which_column_is_which(tmp_path):
    """N by the longitude: the row is read as its letters say, and that is told."""
    table = read_station_table(write(tmp_path / "s.csv", (
        "station_id,lon,lat\nA,39°54'00\"N,116°24'00\"E\nB,116°30'00\"E,40°00'00\"N\n")))
    assert table.lon.tolist() == pytest.approx([116.4, 116.5]) and table.lat.tolist() == pytest.approx([39.9, 40.0])
    assert any("each other's column in 1 of 2 rows" in note for note in table.attrs["notes"])
    assert any("2 places were read from degrees, minutes and seconds" in note for note in table.attrs["notes"])


def test_a_station_at_two_places_loses_itself(tmp_path):
    """Where it is not known which of them holds; the others are used."""
    table = read_station_table(write(tmp_path / "s.csv", f"station_id,lon,lat\n{AROUND}A,116,40\nA,117,40\n"))
    assert len(table) == 20 and "85.2 km apart" in table.attrs["left_out"]["A"]


@pytest.mark.parametrize("datum, told", [("wgs84", False), ("gcj02", True), ("bd09", True)])
def test_another_datum_is_noticed(tmp_path, datum, told):
    """Places of known stations in GCJ-02 or BD-09, in a table without a column for it; noise of 300 m hides nothing."""
    known = station_table.shipped_places().iloc[::30]
    rng = np.random.default_rng(5)
    lon, lat = known.lon + rng.normal(0, 0.0007, len(known)), known.lat + rng.normal(0, 0.0006, len(known))
    if told:
        lon, lat = datums.wgs84_to_gcj02(lon, lat)
    if datum == "bd09":
        lon, lat = datums.gcj02_to_bd09(lon, lat)
    rows = "".join(f"{station},{x},{y}\n" for station, x, y in zip(known.index, lon, lat, strict=True))
    remarks = checks.place_remarks(read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat\n" + rows)))
    assert any(f"if they are {datum}: add a column datum" in text for text in remarks) == told


@pytest.mark.parametrize(("first", "second"), [("01.01.2015", "15.06.2018"), ("2015", "2018"),
                                               ("1/1/2015", "6/15/2018"), ("2015年1月1日", "2018年6月15日")])
def test_the_first_day_at_a_place_in_any_form(tmp_path, first, second):
    """The latest by the calendar, where a parser of one form would have kept the place of 2015."""
    (tmp_path / "t.csv").write_text(f"station_id,lon,lat,start\nA,116.0,40.0,{first}\nA,116.3,40.0,{second}\n"
                                    "B,117.0,40.0,\n")
    table = read_station_table(tmp_path / "t.csv")
    assert table.lon.tolist() == [116.3, 117.0] and "2018" in table.attrs["moved"][0]


def test_a_first_day_that_is_none_loses_its_station_only(tmp_path):
    (tmp_path / "t.csv").write_text("station_id,lon,lat,start\nA,116.0,40.0,2015-01-01\nA,116.3,40.0,summer 2018\n"
                                    "B,117.0,40.0,\n")
    table = read_station_table(tmp_path / "t.csv")
    assert table.station_id.tolist() == ["B"] and table.attrs["left_out"]["A"].endswith(
        "a start that is no day (write YYYY-MM-DD): summer 2018")
