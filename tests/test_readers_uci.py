"""UCI's Beijing files: stamps, units, weather and every kind of bad file; values name their hour and column."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import ReadingOptions
from aqreanalysis.observations.readers.uci_beijing import UCI_BEIJING

HEADER = "No,year,month,day,hour,PM2.5,PM10,SO2,NO2,CO,O3,TEMP,PRES,DEWP,RAIN,wd,WSPM,station"
POINTS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
SITES = ("Dongsi", "Tiantan")
SPAN = ("2013-02-28T16", "2013-03-02T15")  # two days in UTC+8
TABLE = "station_id,name,lon,lat\nbj_tiantan,天坛,116.407,39.886\nbj_dongsi,东四,116.417,39.929\nbj_x,x,116,40\n"


def name(site):
    return f"PRSA_Data_{site}_20130301-20130302.csv"


def lines(site):
    """48 hours: PM2.5 is 10 + the hour's number (+ 100 at Tiantan), CO 1000 times the number."""
    found = []
    for number in range(48):
        time = pd.Timestamp("2013-03-01") + pd.Timedelta(hours=number)
        pm25 = 10 + number + 100 * SITES.index(site)
        found.append(f'{number + 1},{time.year},{time.month},{time.day},{time.hour},{pm25},'
                     f'{200 + number},{number / 4},{20 + number},{1000 * number},{60 + number},{number - 20.5},'
                     f'{1000 + number},{-number},{number / 10},"{POINTS[number % 16]}",{number / 5},"{site}"')
    return found


def text(site, rows=None):
    return "\r\n".join([HEADER, *(rows or lines(site))]) + "\r\n"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "uci"
    path.mkdir()
    (path / "stations.csv").write_text(TABLE, encoding="utf-8")
    for site in SITES:
        (path / name(site)).write_text(text(site), newline="")
    return path


def as_zip(folder, inside=""):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as container:
        for site in SITES:
            container.write(folder / name(site), f"{inside}{name(site)}")
            (folder / name(site)).unlink()
    (folder / "PRSA2017_Data_20130301-20170228.zip").write_bytes(content.getvalue())
    return folder


def as_download(folder):
    """What the repository gives: a zip with a zip with a folder."""
    as_zip(folder, "PRSA_Data_20130301-20170228/")
    inner = folder / "PRSA2017_Data_20130301-20170228.zip"
    with zipfile.ZipFile(folder / "beijing+multi+site+air+quality+data.zip", "w") as container:
        container.write(inner, inner.name)
        container.writestr("data.csv", "a,b\n1,2\n")
    inner.unlink()
    return folder


def as_folders(folder):
    (folder / "PRSA_Data_20130301-20170228").mkdir()
    for site in SITES:
        (folder / name(site)).rename(folder / "PRSA_Data_20130301-20170228" / name(site))
    return folder


def as_the_zip_itself(folder):
    return next(as_zip(folder).glob("*.zip"))


@pytest.mark.parametrize("layout", [lambda folder: folder, as_zip, as_download, as_folders, as_the_zip_itself])
def test_every_value_stands_at_its_own_hour_and_station_in_our_units(folder, layout):
    archive = open_archive(layout(folder))
    assert archive.period() == tuple(map(np.datetime64, SPAN)) and not archive.simulated
    cube = schema.check_station_cube(archive.read(*SPAN))
    assert cube.station.values.tolist() == ["bj_dongsi", "bj_tiantan"]  # not bj_x, of which there is no file
    hour = np.arange(48)
    for station, offset in (("bj_dongsi", 0), ("bj_tiantan", 100)):
        of = cube.sel(station=station)
        expected = {"pm25": 10 + hour + offset, "pm10": 200 + hour, "so2": hour / 4, "no2": 20 + hour, "co": hour,
                    "o3": 60 + hour, "temperature": hour - 20.5, "pressure": 1000 + hour, "dew_point": -hour,
                    "rain": hour / 10, "wind_speed": hour / 5, "wind_direction": 22.5 * (hour % 16)}
        assert set(map(str, cube)) == set(expected)
        for variable, values in expected.items():
            assert of[variable].dtype == np.float32
            np.testing.assert_allclose(of[variable], values, rtol=1e-6)
    assert cube.lon.sel(station="bj_tiantan") == 116.407 and cube.station_name.values.tolist() == ["东四", "天坛"]
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, found.skipped, found.anomalies) == (2, 96, [], [])


def test_the_first_row_is_midnight_of_beijing_and_any_piece_reads_the_same(folder):
    archive = open_archive(folder)
    whole = archive.read("2013-02-27T00", "2013-03-05T00")
    assert np.isfinite(whole.pm25).all("station").values.nonzero()[0].tolist() == list(range(40, 88))
    piece = archive.read("2013-02-28T20", "2013-03-01T20")
    assert whole.sel(time=piece.time).identical(piece) and piece.pm25.values[0, 0] == 14
    nothing = archive.read("2014-01-01T00", "2014-01-01T05")
    assert nothing.sizes["time"] == 6 and nothing.pm25.isnull().all() and "rain" in nothing
    assert archive.inspect("2013-02-28T20", "2013-03-01T20").values == 50
    assert archive.inspect("2014-01-01T00", "2014-01-01T05").values == 0


def test_na_is_missing_and_a_stray_cell_is_missing_and_told(folder):
    rows = lines("Dongsi")
    cells = rows[2].split(",")
    rows[2] = ",".join([*cells[:5], "NA", "NA", "<2", *cells[8:15], "NA", *cells[16:]])
    rows[30] = rows[30].replace('"NW"', '"up"')
    (folder / name("Dongsi")).write_text(text("Dongsi", rows))
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert (found.values, found.skipped) == (95, [])
    assert found.anomalies == [f"{name('Dongsi')}: 1 SO2 cell not understood and taken as missing ('<2' in line 4)",
                               f"{name('Dongsi')}: 1 wd cell not understood and taken as missing ('up' in line 32)"]
    of = archive.read(*SPAN).sel(station="bj_dongsi")
    for variable, gaps in {"pm25": [2], "pm10": [2], "so2": [2], "wind_direction": [2, 30], "co": []}.items():
        assert np.flatnonzero(of[variable].isnull()).tolist() == gaps


def test_rows_in_any_order_and_rows_that_agree_count_once(folder):
    before = open_archive(folder).read(*SPAN)
    shuffled = np.random.default_rng(1).permutation(lines("Dongsi") * 2).tolist()
    (folder / name("Dongsi")).write_text(text("Dongsi", shuffled))
    (folder / "copy").mkdir()
    (folder / "copy" / name("Tiantan")).write_text(text("Tiantan"))
    archive = open_archive(folder)
    assert archive.read(*SPAN).identical(before)
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, found.anomalies) == (2, 96, [])
    assert found.skipped == [f"{name('Tiantan')} repeats the station and period of {name('Tiantan')}, which is read; "
                             "it has the same content"]


def test_rows_that_disagree_keep_the_first_value_and_are_flagged_and_told(folder):
    other = lines("Dongsi")[3].replace(",13,", ",14,").replace(",3000,", ",3000.5,").replace(",0.3,", ",0.4,")
    (folder / name("Dongsi")).write_text(text("Dongsi", [*lines("Dongsi"), other]))
    archive = open_archive(folder)
    cube, bit = archive.read(*SPAN), schema.OBSERVATION_FLAGS["conflicting"]
    assert {v for v in map(str, cube) if v.endswith("_flag")} == {"pm25_flag", "co_flag"}
    for variable, value in {"pm25": 13, "co": 3}.items():
        assert np.argwhere(cube[f"{variable}_flag"].values == bit).tolist() == [[3, 0]]
        assert cube[variable].values[3, 0] == value
    assert archive.inspect(*SPAN).anomalies == [
        "uci: 1 PM2.5 value given more than once, conflicting; the first is kept (at bj_dongsi, 2013-02-28T19Z)",
        "uci: 1 CO value given more than once, conflicting; the first is kept (at bj_dongsi, 2013-02-28T19Z)"]


def test_absurd_values_are_told(folder):
    rows = lines("Dongsi")
    rows[5] = rows[5].replace(",15,", ",474781,")
    (folder / name("Dongsi")).write_text(text("Dongsi", rows))
    assert open_archive(folder).inspect(*SPAN).anomalies == [
        f"{name('Dongsi')}: 1 PM2.5 value above 2000, the largest 474781 at Dongsi, 2013-03-01 05:00 (UTC+8)"]


def changed(number, old, new):
    def spoil(rows):
        assert old in rows[number]
        return text("Dongsi", [*rows[:number], rows[number].replace(old, new), *rows[number + 1:]])
    return spoil


BAD = {
    "empty": (lambda rows: "", "is empty"),
    "HTML": (lambda rows: "<html>", "is an HTML or XML page"),
    "another table": (lambda rows: "a;b\n1;2\n", "has no column year"),
    "header": (lambda rows: HEADER + "\n", "has a header and no rows"),
    "two": (lambda rows: text("Dongsi", rows).replace(",RAIN,", ",Hour,"), "two columns for hour: 'hour' and 'Hour'"),
    "columns": (lambda rows: "a,b\n1,2\n", "has no column year, month"),
    "days": (lambda rows: text("Dongsi", rows).replace(",2013,", ",20x3,"),
             "holds no row that can be read; 48 rows whose date and hour are none not read"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_named_and_the_others_are_read(folder, fault):
    spoil, told = BAD[fault]
    (folder / name("Dongsi")).write_text(spoil(lines("Dongsi")))
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert (found.good, found.values, len(found.skipped)) == (1, 48, 1)
    assert found.skipped[0].startswith(name("Dongsi")) and told in found.skipped[0]
    cube = archive.read(*SPAN)
    assert cube.pm25.isnull().all("time").values.tolist() == [True, False]


@pytest.mark.parametrize("spoil, told", [
    (lambda rows: text("Dongsi", rows)[:-60], "1 row without the 18 cells of the header not read (line 49"),
    (lambda rows: text("Dongsi", rows)[:-5], "1 row of another station not read ('2013 3 2 23 Don"),
    (changed(4, '"Dongsi"', '"Dongsi",1'), "1 row without the 18 cells of the header not read (line 6"),
    (changed(4, '"Dongsi"', '"Wanliu"'), "1 row of another station not read ('2013 3 1 4 Wanliu' in line 6"),
    (changed(4, ",3,1,4,", ",2,30,4,"), "1 row whose date and hour are none not read ('2013 2 30 4 Dongsi' in line 6"),
    (changed(4, ",3,1,4,", ",3,1,25,"), "1 row whose date and hour are none not read ('2013 3 1 25 Dongsi' in line 6"),
    (changed(4, ",3,1,4,", ",3,1,,"), "1 row whose date and hour are none not read ('2013 3 1  Dongsi' in line 6"),
])
def test_a_bad_row_loses_itself_and_is_told_with_its_line(folder, spoil, told):
    before = open_archive(folder).read(*SPAN)
    (folder / name("Dongsi")).write_text(spoil(lines("Dongsi")))
    archive = open_archive(folder)
    found, cube = archive.inspect(*SPAN), archive.read(*SPAN)
    assert (found.good, found.values, found.skipped, len(found.anomalies)) == (2, 95, [], 1)
    assert found.anomalies[0].startswith(f"{name('Dongsi')}: {told}")
    lost = np.flatnonzero(np.isnan(cube.pm25.values[:, 0]))
    assert len(lost) == 1
    assert cube.isel(time=np.arange(48) != lost[0]).equals(before.isel(time=np.arange(48) != lost[0]))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("written", [
    lambda content: content.replace(",", ";").replace(".", ",").replace("PM2,5", "PM2.5"),
    lambda content: "\n".join(f'"{n or ""}",{line}' for n, line in enumerate(content.splitlines())) + "\n",
    lambda content: "\n".join(",".join(f'" {cell.strip(chr(34))} "' for cell in line.split(",")) + ",,"
                              for line in content.splitlines()),
    lambda content: "# saved again\n\n" + content.replace("PM2.5", "pm25").replace("year", " YEAR ") + ",,,,\n" * 3,
    lambda content: content.replace(",2,0,", ",1,24,"),
])
def test_files_that_other_programs_have_saved_again(folder, written, encoding):
    before = open_archive(folder).read(*SPAN)
    (folder / name("Dongsi")).unlink()
    (folder / name("Dongsi").replace(".csv", " (2).CSV")).write_bytes(written(text("Dongsi")).encode(encoding))
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert (found.good, found.skipped, found.anomalies) == (2, [], []) and archive.read(*SPAN).identical(before)
    copy = name("Dongsi").replace(".csv", " (2).CSV")
    assert f"{copy}: read as a PRSA_Data_<station>_YYYYMMDD-YYYYMMDD.csv" in found.notes


def test_a_damaged_zip_is_named(folder):
    path = next(as_zip(folder).glob("*.zip"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(UserError, match="PRSA2017_Data_20130301-20170228.zip is not a whole zip file"):
        open_archive(folder)


def test_a_station_that_the_table_lacks_is_told_and_the_others_are_read(folder):
    (folder / "stations.csv").write_text("station_id,lon,lat\nTiantan,116.4,39.9\n")
    archive = open_archive(folder)
    assert archive.read(*SPAN).station.values.tolist() == ["Tiantan"]
    assert archive.inspect(*SPAN).skipped == [
        f"{name('Dongsi')} is of station Dongsi, which the station table does not have"]


@pytest.mark.parametrize("table, told, fix", [
    (None, "There is no station table at .*stations.csv", "--stations FILE"),
    ("station_id,lon,lat\n1003A,116,40\n", "has none of the stations Dongsi, Tiantan", "bj_dongsi"),
    ("station_id,lon,lat\nbj_dongsi,116,40\nDongsi,116,40\n", "Dongsi may be any of", "--stations FILE"),
])
def test_files_that_can_not_be_placed_are_an_error_with_its_cure(folder, table, told, fix):
    (folder / "stations.csv").unlink()
    if table:
        (folder / "stations.csv").write_text(table)
    with pytest.raises(UserError, match=told) as error:
        open_archive(folder)
    assert fix in error.value.fix and error.value.rule


def test_a_table_given_by_name_serves(folder, tmp_path):
    (folder / "stations.csv").rename(tmp_path / "mine.csv")
    assert open_archive(folder, tmp_path / "mine.csv").read(*SPAN).pm25.values[0].tolist() == [10, 110]


def test_the_fingerprint_is_of_contents_and_places(folder):
    before = open_archive(folder).inspect(*SPAN).fingerprint
    path = folder / name("Tiantan")
    path.write_text(path.read_text().replace(",157,", ",158,"))
    assert open_archive(folder).inspect(*SPAN).fingerprint != before
    path.write_text(text("Tiantan"), newline="")
    assert open_archive(as_zip(folder)).inspect(*SPAN).fingerprint == before


def test_parts_are_the_files_with_the_hours_they_promise(folder):
    parts = open_archive(folder).parts()
    assert [part.name for part in parts] == [name("Dongsi"), name("Tiantan")]
    assert {(part.first, part.last) for part in parts} == {tuple(map(np.datetime64, SPAN))}
    assert parts[0].size == (folder / name("Dongsi")).stat().st_size


def test_shadow_files_are_no_stations(folder):
    (folder / f"._{name('Dongsi')}").write_bytes(b"\x00\x05")
    (folder / "PRSA_Data_Wanliu_20130231-20130302.csv").write_text("no day of the calendar")
    found = open_archive(folder).inspect(*SPAN)
    assert found.skipped == [] and found.passed_over == [
        "PRSA_Data_Wanliu_20130231-20130302.csv: no day of the calendar in the name; not read"]


def test_a_folder_without_such_files_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no file of the UCI layout") as error:
        UCI_BEIJING.open(tmp_path, ReadingOptions())
    assert UCI_BEIJING.layout in error.value.rule
