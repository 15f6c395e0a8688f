"""Datums of Chinese tables: published pairs, and there and back. Station tables in each, in both encodings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.observations import checks, datums
from aqreanalysis.observations.station_table import read_station_table

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
    with pytest.raises(UserError, match="Station A stands 2 times .* 85.2 km apart.*start"):
        read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat,start\n" + rows))


def test_rounded_places_are_one_place(tmp_path):
    table = read_station_table(write(tmp_path / "s.csv", "station_id,lon,lat\nA,116.417,39.929\nA,116.4174,39.9289\n"))
    assert len(table) == 1 and checks.place_remarks(table) == []


def test_stations_that_share_a_place_are_told(tmp_path):
    table = read_station_table(write(tmp_path / "s.csv", (
        "station_id,lon,lat\nA,116,40\nB,116.00005,40\nC,117,40\nD,117.01,40\nE,,\n")))
    told = checks.place_remarks(table)
    assert told == ["stations A and B share one place (116.0000, 40.0000)", "1 station has no coordinates: E"]
