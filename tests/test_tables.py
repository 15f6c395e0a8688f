"""Text tables of any dialect: the cells read are the cells written, or the error names what is wrong."""

import csv
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aqreanalysis.errors import BadFile
from aqreanalysis.tables import columns, numbers, stamps
from aqreanalysis.tables.rows import BadRows, open_table
from aqreanalysis.tables.stamps import StampRule

WANTED = (columns.STATION_ID, columns.TIME, columns.LON, columns.LAT, *columns.POLLUTANTS)
REQUIRED = ("station_id", "time", "pm25")
CHINESE = ("定陵", "奥体中心", "北京天坛", "保定")
HEADERS = {"station_id": ("station_id", "Station ID", " STATION_ID", "监测点编码", "site_id", "StationID", "station"),
           "time": ("time", "TIME", "datetime", "Date Time", "时间"), "lon": ("lon", "Longitude", "LNG", "经度"),
           "lat": ("lat", "Latitude", "纬度"), "pm25": ("pm25", "PM2.5", "pm2_5", "PM₂.₅", "PM2.5 (µg/m³)")}


@st.composite
def written_tables(draw):
    """A table of four to seven rows as somebody's program writes it: its bytes, and the rows that are in it."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030", "ascii"]))
    chinese = encoding != "ascii"
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = "," if separator != "," and draw(st.booleans()) else "."
    heads = {name: draw(st.sampled_from([text for text in texts if chinese or text.isascii()]))
             for name, texts in HEADERS.items()}
    order = draw(st.permutations(list(heads)))
    rows = []
    for number in range(draw(st.integers(4, 7))):
        station = draw(st.sampled_from(CHINESE)) if chinese and draw(st.booleans()) else f"{number:04d}"
        value = draw(st.one_of(st.none(), st.integers(0, 900), st.floats(0, 900).map(lambda x: round(x, 2))))
        rows.append({"station_id": station, "time": f"2019-01-09 {number:02d}:00", "lon": 116.25 + number,
                     "lat": 39.5, "pm25": value})
    text = io.StringIO(newline="")
    out = csv.writer(text, delimiter=separator, lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
                     quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])))
    index = draw(st.sampled_from(["none", "pandas", "R"]))
    trailing = draw(st.integers(0, 3)) if index == "none" else 0
    if draw(st.booleans()):
        out.writerow(["# made by a program"])
    if draw(st.booleans()) and separator != ",":
        text.write(f"sep={separator}\n")
    out.writerow([""] * (index == "pandas") + [heads[name] for name in order] + [""] * trailing)
    for number, row in enumerate(rows):
        if draw(st.integers(0, 5)) == 0:
            out.writerow([""] * len(order) if draw(st.booleans()) else [])
        pad = " " * draw(st.integers(0, 2))
        cells = [_cell(row[name], decimal, pad, draw) for name in order]
        out.writerow([str(number + 1)] * (index != "none") + cells + [""] * trailing)
    content = text.getvalue().encode(encoding)
    return (gzip.compress(content, mtime=0) if draw(st.booleans()) else content), pd.DataFrame(rows), order


def _cell(value, decimal, pad, draw):
    if value is None:
        return draw(st.sampled_from(["", "NA", "null", "NaN", "-", "#N/A"])) if decimal == "." else ""
    return pad + (str(value).replace(".", decimal) if isinstance(value, float) else str(value)) + pad


@settings(max_examples=80, deadline=None)
@given(written_tables())
def test_what_is_read_is_what_was_written(case):
    content, rows, _ = case
    table, bad = open_table("t.csv", content, WANTED, REQUIRED), BadRows()
    frame = pd.concat(list(table.batches(bad)))
    assert bad.count == 0, bad.text
    assert [text.strip() for text in frame["station_id"].astype(str)] == rows["station_id"].tolist()
    assert [text.strip() for text in frame["time"].astype(str)] == rows["time"].tolist()
    for name in ("lon", "lat", "pm25"):
        values, stray = numbers.numbers(frame[name], table.dialect.decimal)
        assert not stray.any()
        np.testing.assert_allclose(values, rows[name].to_numpy(float))


@settings(max_examples=60, deadline=None)
@given(written_tables(), st.data())
def test_both_ways_give_the_same_rows_at_their_lines(case, data):
    """pyarrow and line by line; a row that is cut loses itself only, and its line is told."""
    content, rows, _ = case
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    table = open_table("t.csv", text, WANTED, REQUIRED)
    if table.is_even:
        fast, slow = pd.concat(list(table.batches())), table.frame()
        lines = [table.line_of(row) for row in fast.index]
        assert lines == slow.index.tolist()
        for name in slow:
            assert [str(cell).strip() for cell in fast[name]] == slow[name].tolist()
    try:
        lines = text.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return
    cut = data.draw(st.integers(table.dialect.header_line, len(lines) - 1))
    assume(lines[cut].count(table.dialect.separator) >= 4 and not set(lines[cut]) <= set(",;\t|\" "))
    lines[cut] = lines[cut][:3].replace(table.dialect.separator, "x").replace('"', "x")
    bad = BadRows()
    left = open_table("t.csv", "\n".join(lines).encode(), WANTED, REQUIRED).frame(bad)
    assert len(left) == len(rows) - 1 and (bad.count, bad.line) == (1, cut + 1)


@pytest.mark.parametrize("content, told", [
    (b"", "t.csv is empty"), (b" \n\n", "t.csv is empty"), (b"\0" * 50, "nothing but blanks or zeros"),
    (b"PK\x03\x04....", "a zip file or an Excel workbook"), (b"\xd0\xcf\x11\xe0....", "an Excel workbook"),
    (b"<!DOCTYPE html>", "HTML"), (b'{"results": []}', "JSON"), (b"\x1f\x8b\x08\x00broken", "truncated gzip"),
    (b"station_id,time\nA,2019\n", "no column pm25; it has station_id, time"),
    (b"station_id,time,pm25,PM2.5\n", "two columns for pm25: 'pm25' and 'PM2.5'"),
    ("站号,station_id,time,pm25\n".encode(), "two columns for station_id: '站号' and 'station_id'"),
    (b"station_id,time,pm25\nA,2019-01-01,5,7,9\nB,2019-01-01,5,7,9\n", "3 names in its header and 5 cells"),
])
def test_what_is_no_table_is_named_for_what_it_is(content, told):
    with pytest.raises(BadFile, match=told):
        open_table("t.csv", content, WANTED, REQUIRED)


def test_rows_that_end_in_a_separator_are_told_from_row_names():
    ends = open_table("t", b"station_id,lon,lat\n7,116,40,\n8,117,41,\n", WANTED, ("station_id",)).frame()
    names = open_table("t", b"station_id,lon,lat\n1,7,116,40\n2,8,117,41\n", WANTED, ("station_id",)).frame()
    assert ends.to_numpy().tolist() == names.to_numpy().tolist() == [["7", "116", "40"], ["8", "117", "41"]]


def test_rows_may_end_in_more_or_fewer_separators():
    table = open_table("t", b"station_id,time,pm25,,\nA,1,2\nB,3,4,\nC,5,6,,,\nD,7,8,,,9\nE,9\n", WANTED, REQUIRED)
    bad = BadRows()
    assert table.frame(bad).to_numpy().tolist() == [["A", "1", "2"], ["B", "3", "4"], ["C", "5", "6"]]
    assert bad.count == 2


def test_an_open_quote_loses_its_row_and_no_other():
    bad = BadRows()
    table = open_table("t", b'station_id,time,pm25\nA,1,2\nB,"1,2\nC,3,4\nD,5,6\n', WANTED, REQUIRED)
    assert table.frame(bad)["station_id"].tolist() == ["A", "C", "D"]
    assert bad.sentence("t", 3) == "t: 1 row without the 3 cells of the header not read (line 3: 'B,\"1,2')"


def test_a_quoted_cell_may_run_over_lines():
    table = open_table("t", b'station_id,time,pm25\n"A\nB",1,2\nC,3,4\n', WANTED, REQUIRED)
    assert table.frame().to_numpy().tolist() == [["A B", "1", "2"], ["C", "3", "4"]]


def test_latin_1_and_gbk_are_told_apart():
    for text, encoding in (("Zürich Süd", "latin-1"), ("Orléans", "cp1252"), ("保定胶片厂", "gbk")):
        content = f"station_id,time,pm25\n{text},2019-01-01,5\n".encode(encoding)
        assert open_table("t", content, WANTED, REQUIRED).frame()["station_id"].tolist() == [text]


# --- numbers ---------------------------------------------------------------------------------------

@given(st.floats(-1e6, 1e6), st.sampled_from([".", ","]), st.sampled_from(["", " ", "\u3000", "\xa0"]))
def test_a_number_is_read_as_written(value, decimal, pad):
    assert numbers.number(pad + repr(value).replace(".", decimal) + pad, decimal) == value


@pytest.mark.parametrize("text", ["1.234,5", "1,234.5", "35*", "1_000", "inf", "3 5", "0x10", "１２x"])
def test_what_is_no_number_is_none(text):
    with pytest.raises(ValueError):
        numbers.number(text)


def test_thousands_are_never_taken_for_decimals():
    assert numbers.decimal_sign(["1,200", "2,100"]) == "." and numbers.decimal_sign(["1,2", "35"]) == ","
    values, stray = numbers.numbers(pd.Series(["1,200", "35", None, "NA"]))
    assert np.isnan(values[[0, 2, 3]]).all() and values[1] == 35 and stray.tolist() == [True, False, False, False]


def test_a_column_of_numbers_alone_is_read_at_once_and_a_cell_of_two_lines_is_none():
    values, stray = numbers.numbers(pd.Series(["35", "-0.5", None, "012.250", "", "2.5e-1", "nan"]))
    np.testing.assert_array_equal(values, [35.0, -0.5, np.nan, 12.25, np.nan, 0.25, np.nan])
    assert not stray.any()
    values, stray = numbers.numbers(pd.Series(["35", "12\n13"]))
    assert values[0] == 35.0 and np.isnan(values[1]) and stray.tolist() == [False, True]


# --- stamps ----------------------------------------------------------------------------------------

HOUR = "2019-01-09T08"


@pytest.mark.parametrize("text, offset", [
    ("2019-01-09T16:00:00+08:00", None), ("2019-01-09 16:00+0800", None), ("2019-01-09 16:00:00.000 UTC+8", None),
    ("2019-01-09T08:00:00Z", None), ("2019-01-09 08:00 UTC", None), ("1547020800", None), ("1547020800000", None),
    ("2019-01-09 16:00", 8.0), ("2019010916", 8.0), ("20190109 16", 8.0), ("201901091600", 8.0),
    ("2019/1/9 16:00", 8.0), ("9.1.2019 16:00", 8.0), ("2019年1月9日16时", 8.0), ("43474.6666667", 8.0),
    ("2019-01-09 4:00 PM", 8.0), ("2019-01-09 13:30", 5.5), ("2019-01-08 24:00", -8.0), ("2019-01-09T08", None),
    ("09-Jan-2019 16:00:00", 8.0), ("09JAN2019:16:00:00", 8.0), ("9 January 2019 4:00 PM", 8.0),
    ("2019-01-09T16:00+08:00[Asia/Shanghai]", None), ("1547020800000000", None), ("1547020800000000000", None),
])
def test_one_hour_in_many_forms(text, offset):
    rule = StampRule.of([text], offset)
    hours, off = stamps.on_the_hour(rule.read([text]))
    assert str(hours[0])[:13] == HOUR and not off[0]


@given(st.datetimes(pd.Timestamp("2013-01-01"), pd.Timestamp("2030-01-01")), st.integers(-12, 14))
def test_a_stamp_with_its_offset_is_read_whatever_the_user_says_of_others(time, hours):
    text = f"{time:%Y-%m-%dT%H:%M:%S}{hours:+03d}:00"
    expected = np.datetime64(time.replace(microsecond=0), "ns") - np.timedelta64(hours, "h")
    for said in (None, 8.0):
        assert StampRule.of([text], said).read([text])[0] == expected


@pytest.mark.parametrize("text", ["", "NA", "2019-13-01", "2019-02-29 00:00", "2019-01-09 25:00", "2019-01-09 24:30",
                                  "19-01-09 16:00", "2019-01-09 16:00 CST", "yesterday", "2019-01-09 16:00+99:00",
                                  "09-Foo-2019 16:00", "2019-01-09 16:00[Asia/Shanghai]", "15470208000"])
def test_what_is_no_stamp_is_none(text):
    assert np.isnat(StampRule.of([text]).read([text])[0])


def test_days_and_months_are_told_apart_by_the_file_or_not_read():
    def read(*texts):
        return [str(stamp)[:10] for stamp in StampRule.of(texts).read(texts)]
    assert read("01/02/2019 00:00", "13/02/2019 00:00") == ["2019-02-01", "2019-02-13"]
    assert read("01/02/2019 00:00", "01/13/2019 00:00") == ["2019-01-02", "2019-01-13"]
    assert read("01/02/2019 00:00", "03/02/2019 00:00") == ["NaT", "NaT"]
    assert read("13/02/2019 00:00", "01/13/2019 00:00", "03/04/2019 00:00")[2] == "NaT"


def test_one_file_is_read_by_one_rule():
    texts = ["2019-01-09T08:00Z", "2019-01-09 16:00"]
    assert np.isnat(StampRule.of(texts).read(texts)).tolist() == [False, True] and StampRule.of(texts).skips_naive
    assert len(set(StampRule.of(texts, 8.0).read(texts))) == 1
    assert "read as UTC (--utc-offset 8" in StampRule.of(texts[1:]).note("t")
    assert StampRule.of(texts[:1]).note("t") == ""
