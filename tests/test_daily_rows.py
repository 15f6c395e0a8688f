"""Daily files as spreadsheets, R, pandas and editors save them: values are read as written, or the line is told."""

import csv
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers import daily_rows, open_archive
from aqreanalysis.observations.readers.daily_rows import parse_daily_file

DAY = np.datetime64("2019-02-01")
SPAN = ("2019-01-31T16", "2019-02-01T15")
SPAN_OF_BOTH = ("2019-01-31T16", "2019-02-02T15")
STATIONS = ["1001A", "1002A", "1003A"]
TYPES = {"PM2.5": "pm25", "PM10": "pm10", "CO": "co"}


def number(hour, kind, place):
    """Names its hour, type and place; CO has a decimal."""
    return hour * 10 + place + (0.5 if kind == "CO" else 100 * list(TYPES).index(kind))


def lines(hours=range(24)):
    rows = [["20190201", str(hour), kind, *(f"{number(hour, kind, place):g}" for place in range(3))]
            for hour in hours for kind in TYPES]
    return [["date", "hour", "type", *STATIONS], *rows]


def written(rows, separator=",", quote=csv.QUOTE_MINIMAL, end="\n"):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quote, lineterminator=end).writerows(rows)
    return text.getvalue()


def with_index(rows, title):
    return [[title, *rows[0]], *([str(n), *row] for n, row in enumerate(rows[1:], 1))]


def commas(rows):
    return [[cell.replace(".", ",") if column > 2 else cell for column, cell in enumerate(row)] for row in rows]


def changed(rows, change):
    return [rows[0], *map(change, rows[1:])]


SAVED = {
    "R write.csv": lambda rows: written(with_index(rows, ""), quote=csv.QUOTE_ALL),
    "R write.csv after read.csv": lambda rows: written(
        with_index([[*rows[0][:3], *(f"X{s}" for s in STATIONS)], *rows[1:]], ""), quote=csv.QUOTE_NONNUMERIC),
    "R write.table": lambda rows: written([rows[0], *with_index(rows, "")[1:]], " ", csv.QUOTE_ALL),
    "R write.csv2": lambda rows: written(commas(rows), ";", csv.QUOTE_ALL),
    "pandas": lambda rows: written(with_index(rows, "")),
    "pandas, index named": lambda rows: written(with_index(rows, "Unnamed: 0")),
    "pandas, floats": lambda rows: written(changed(rows, lambda row: [row[0] + ".0", row[1] + ".0", *row[2:]])),
    "Excel, German": lambda rows: written(commas(rows), ";", end="\r\n"),
    "Excel, Unicode text": lambda rows: written(rows, "\t", end="\r\n").encode("utf-16"),
    "Excel, CSV UTF-8": lambda rows: written(rows, end="\r\n").encode("utf-8-sig"),
    "Excel, Chinese": lambda rows: written([["日期", "小时", "类型", *STATIONS], *rows[1:]]).encode("gb18030"),
    "Excel, blank rows": lambda rows: written(rows) + ",,,,,\n" * 5,
    "rows end in commas": lambda rows: "".join(line + ",,\n" for line in written(rows).splitlines()),
    "header without the last commas": lambda rows: written([rows[0], *([*row, ""] for row in rows[1:])]),
    "blank lines": lambda rows: "\n" + "\n\n".join(written(rows).splitlines()) + "\n\n\n",
    "comments": lambda rows: "# saved 2019\n# by hand\n" + written(rows),
    "sep=": lambda rows: "sep=;\r\n" + written(rows, ";", end="\r\n"),
    "old Mac": lambda rows: written(rows, end="\r"),
    "blanks round text": lambda rows: written([[f" {cell} " for cell in row] for row in rows]),
    "capitals": lambda rows: written([[cell.upper() for cell in row] for row in rows]),
    "small letters": lambda rows: written([[cell.lower() for cell in row] for row in rows]),
    "columns in another order": lambda rows: written([[*row[3:], row[2], row[0], row[1]] for row in rows]),
    "dates with dashes": lambda rows: written(changed(rows, lambda row: ["2019-02-01", *row[1:]])),
    "dates with slashes and times": lambda rows: written(changed(rows, lambda row: ["1/2/2019 0:00", *row[1:]])),
    "hours with minutes": lambda rows: written(changed(rows, lambda row: [row[0], f"{row[1]}:00", *row[2:]])),
    "types without a point": lambda rows: written(
        changed(rows, lambda row: [*row[:2], row[2].replace(".", ""), *row[3:]])),
    "types with units": lambda rows: written(changed(rows, lambda row: [*row[:2], row[2] + " (ug/m3)", *row[3:]])),
    "bars": lambda rows: written(rows, "|"),
}


def cube(rows):
    """Values by (UTC stamp, pollutant, column in the file)."""
    return {(str(time), pollutant, column): value
            for time, pollutant, values in zip(rows.time, rows.pollutant, rows.values, strict=True)
            for column, value in zip(rows.column, values.tolist(), strict=True)}


def expected(hours=range(24)):
    return {(str(daily_rows.utc(DAY, hour)), ours, place): number(hour, kind, place)
            for hour in hours for kind, ours in TYPES.items() for place in range(3)}


def parsed(text):
    table = daily_rows.rows_by_head({station: place for place, station in enumerate(STATIONS)})
    return parse_daily_file("a.csv", DAY, text.encode() if isinstance(text, str) else text, table)


@pytest.mark.parametrize("how", SAVED)
def test_the_values_read_are_the_values_written(how):
    rows = parsed(SAVED[how](lines()))
    assert cube(rows) == expected() and rows.anomalies == [] and rows.lost == []


@pytest.mark.parametrize("how", SAVED)
@pytest.mark.parametrize("change, told", [
    (lambda row: ["20190202", *row[1:]], "1 row of another day than 2019-02-01 not read ('20190202'"),
    (lambda row: ["soon", *row[1:]], "1 row of another day than 2019-02-01 not read ('soon'"),
    (lambda row: [row[0], "25", *row[2:]], "1 row whose hour is not 0 to 24 not read ('25'"),
    (lambda row: [row[0], "-", *row[2:]], "1 row whose hour is not 0 to 24 not read ('-'"),
    (lambda row: [*row[:2], "PM2,5", *row[3:]], "1 row whose type is not known not read ('PM2,5'"),
])
def test_a_bad_row_loses_itself_in_every_dialect(how, change, told):
    if how in ("dates with dashes", "dates with slashes and times", "hours with minutes", "pandas, floats",
               "types without a point", "types with units", "capitals", "small letters"):
        pytest.skip("the dialect writes over it")
    rows = lines()
    rows[5] = change(rows[5])
    found = parsed(SAVED[how](rows))
    right = {key: value for key, value in expected().items() if key[:2] != (str(daily_rows.utc(DAY, 1)), "pm10")}
    assert cube(found) == right and [text.startswith(f"a.csv: {told}") for text in found.lost] == [True]
    assert "in line " in found.lost[0]


MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "-", "—", " ", "--", "缺测")
STRAY = ("35*", "<3", "x", "1_000", "inf", "12;5.3", "3 5", "—5", "35 ug/m3")


@pytest.mark.parametrize("how", ["plain", "R write.csv", "Excel, German", "Excel, Unicode text", "pandas"])
@pytest.mark.parametrize("text", MISSING + STRAY)
def test_text_in_place_of_a_number_is_missing_and_told_unless_it_says_so(how, text):
    rows = lines()
    rows[4][4] = text   # 01:00, PM2.5, the second station
    found = parsed(SAVED.get(how, written)(rows))
    right = expected()
    key = (str(daily_rows.utc(DAY, 1)), "pm25", 1)
    assert np.isnan(cube(found)[key]) and {**cube(found), key: right[key]} == right
    assert found.lost == [] and len(found.anomalies) == (text in STRAY)
    if text in STRAY:
        assert "1 cell not understood and taken as missing" in found.anomalies[0]
        assert "at 1002A in line" in found.anomalies[0]


@pytest.mark.parametrize("told", ["24", "24:00", "24.0"])
def test_hour_24_is_the_first_hour_of_the_next_days_file(national, tmp_path, told):
    """A file of the hours 1 to 24: any piece reads the same, hours are counted once, and the period has the last."""
    folder = national.write(tmp_path / "in", "20190131", "20190203")
    text = national.text("20190201").replace("20190201,0,", f"20190201,{told},")
    (folder / "china_sites_20190201.csv").write_text(text)
    archive = open_archive(folder)
    whole = archive.read("2019-01-31T10", "2019-02-01T20")
    assert np.isnan(whole.pm25.sel(time="2019-01-31T16")).all()  # 00:00 of 1 February
    assert whole.pm25.sel(time="2019-02-01T16", station="1001A") == national.value("20190201", "PM2.5", "1001A", 0)
    assert archive.read("2019-02-01T16", "2019-02-01T20").identical(whole.sel(time=slice("2019-02-01T16", None)))
    assert archive.inspect("2019-01-31T16", "2019-02-01T16").values == 24 * 3
    assert archive.inspect("2019-02-01T16", "2019-02-01T20").values == 3
    assert archive.inspect("2019-02-01T17", "2019-02-01T20").good == 0
    assert {part.name: str(part.last) for part in archive.parts()}["china_sites_20190201.csv"] == "2019-02-01T16"
    (folder / "china_sites_20190202.csv").write_text(national.text("20190202", value=lambda *_: 5))
    both = open_archive(folder)
    assert both.inspect("2019-01-31T16", "2019-02-02T15").values == 47 * 3
    assert "3 PM2.5 values of 00:00 differ from those of hour 24" in "".join(both.inspect(*SPAN_OF_BOTH).anomalies)
    assert (both.read("2019-02-01T16", "2019-02-01T16").pm25_flag > 0).all()  # the two files disagree
    assert open_archive(folder / "china_sites_20190201.csv").period()[1] == np.datetime64("2019-02-01T16")


def test_a_file_cut_anywhere_gives_right_values_or_none_and_says_so():
    """No byte of the end may go without a word, but the line's end of 23:00."""
    for how in ("plain", "R write.csv", "Excel, German", "columns in another order", "pandas"):
        text = SAVED.get(how, written)(lines(range(4)))
        right = {key: value for key, value in expected(range(4)).items()}
        for length in range(len(text) // 2, len(text) - 1):
            try:
                found = parsed(text[:length])
            except BadFile:
                continue
            there = {key: value for key, value in cube(found).items() if not np.isnan(value)}
            assert there.items() <= right.items(), (how, text[:length][-40:])
            if text[length - 1] not in "\r\n\"" and len(there) < len(right):
                whole = text[:length].splitlines()[-1] == text.splitlines()[len(text[:length].splitlines()) - 1]
                assert found.anomalies or whole, (how, text[:length][-40:])


CELLS = st.one_of(st.floats(0, 2000).map(lambda value: f"{value:.1f}"), st.integers(0, 999).map(str), st.just(""),
                  st.sampled_from(["NA", "—", "x", "<5"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8), st.sampled_from(",;\t|"),
       st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
       st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
       st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans(), st.permutations(range(6)))
def test_any_table_gives_what_was_written(cells, separator, quote, encoding, end, index, decimal_commas, order):
    """Both ways of reading, and every dialect, agree with the cells that were written."""
    kinds = list(TYPES)
    rows = [["date", "hour", "type", *STATIONS]]
    rows += [["20190201", str(hour // 3), kinds[hour % 3], *row] for hour, row in enumerate(cells)]
    right, strays = {}, 0
    for row in rows[1:]:
        for place, cell in enumerate(row[3:]):
            value = float(cell) if cell.replace(".", "", 1).isdigit() else np.nan
            right[str(daily_rows.utc(DAY, int(row[1]))), TYPES[row[2]], place] = value
            strays += cell in ("x", "<5")
    if decimal_commas and separator != ",":
        rows = commas(rows)
    rows = [[row[column] for column in order] for row in rows]
    content = written(with_index(rows, "") if index else rows, separator, quote, end).encode(encoding)
    try:
        found = parsed(content)
    except BadFile as error:
        assert not np.isfinite(list(right.values())).any() and "holds no number" in str(error)
        return
    got = cube(found)
    assert got.keys() == right.keys()
    np.testing.assert_array_equal(list(got.values()), np.float32([right[key] for key in got]))
    assert found.lost == [] and [text for text in found.anomalies if "not understood" in text][:1] == [
        text for text in found.anomalies if f" {strays} cell" in text][:1]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 700))
def test_damage_loses_no_more_than_it_says(noise, place):
    """Noise in the middle of a file: a BadFile or values, never another exception."""
    text = written(lines()).encode()
    try:
        parsed(text[:place] + noise + text[place:])
    except BadFile as error:
        assert str(error).startswith("a.csv ")
