"""Fetching from a local server: whole files or none, resumed, polite; what is missing or failed is told."""

import base64
import datetime as dt
import gzip
import hashlib
import io
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from fetch_server import PAGE, serving

from aqreanalysis import __version__, files, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations.download import FETCH_LOCK, fetch_files
from aqreanalysis.observations.download.transfer import LONGEST_WAIT, RetryPolicy
from aqreanalysis.observations.download.wanted import TEMPLATES, FetchRequest, folder_of, in_few_words, wanted_files
from aqreanalysis.observations.readers import open_archive

QUICK = RetryPolicy(pause=0, attempts=3, backoff=0, timeout=5)
STATIONS = ("0901A", "1001A", "1002A", *(f"{number}A" for number in range(2001, 2100)))
TABLE = b"station_id,lon,lat\n1001A,116,40\n1002A,117,39\n"


@pytest.fixture(scope="module")
def text(national):
    """A day's file of 100 kB, so that a break leaves something to go on with."""
    def of(day, change=0):
        return national.text(day, stations=STATIONS, value=lambda d, kind, station, hour: 1000 + hour + change).encode()
    return of


@pytest.fixture
def mirror(text):
    with serving() as mirror:
        for day in ("20190104", "20190105", "20190106", "20190107"):
            mirror.files[f"/data/china_sites_{day}.csv"] = text(day)
        yield mirror


@pytest.fixture
def sleeps(monkeypatch):
    """Seconds that would have been waited."""
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def request(mirror, folder, first="2019-01-05", last="2019-01-06", path="/data/china_sites_{date}.csv", **more):
    period = time_axis.parse_period(None, first, last)
    return FetchRequest("cnemc", period, template=mirror.url + path, to=str(folder), **more)


FIRST = "/data/china_sites_20190105.csv"


def whole(mirror, folder, *days):
    """The folder holds these days as they lie at the server, and nothing else."""
    names = {f"china_sites_{day}.csv" for day in days}
    assert {file.name for file in folder.iterdir()} - {FETCH_LOCK} == names
    assert all((folder / name).read_bytes() == mirror.files[f"/data/{name}"] for name in names)


def test_days_of_a_period_and_the_day_after_whose_midnight_ends_it(mirror, tmp_path):
    (tmp_path / "stations.csv").write_bytes(TABLE)
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert (summary.fetched, summary.present, summary.missing, summary.failed, summary.advice) == (3, 0, [], [], [])
    (tmp_path / "stations.csv").rename(tmp_path.parent / "stations.csv")
    whole(mirror, tmp_path, "20190105", "20190106", "20190107")
    hours = time_axis.parse_period(None, "2019-01-05", "2019-01-06").hours
    cube = open_archive(tmp_path, tmp_path.parent / "stations.csv").read(hours[0], hours[-1])
    assert np.isfinite(cube.pm25).all()


def test_a_second_run_asks_for_nothing(mirror, tmp_path):
    fetch_files(request(mirror, tmp_path), QUICK)
    mirror.log.clear()
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert (summary.fetched, summary.present, mirror.log) == (0, 3, [])


def test_one_connection_with_a_name_and_a_pause_between_files(mirror, tmp_path, sleeps):
    fetch_files(request(mirror, tmp_path), RetryPolicy(pause=1.5))
    assert (mirror.connections, mirror.most_active, len(mirror.log)) == (1, 1, 3)
    assert all(f"aqreanalysis/{__version__}" in headers["User-Agent"] for _, headers in mirror.log)
    assert sleeps == [1.5, 1.5]


def ranges(mirror, path=FIRST):
    return [headers.get("Range") for asked, headers in mirror.log if asked == path]


@pytest.mark.parametrize("tag", ["etag", "modified"])
@pytest.mark.parametrize("break_off", ["cut", "stall"])
def test_what_broke_off_goes_on_where_it_was(mirror, tmp_path, tag, break_off):
    mirror.tag = tag
    mirror.plans[FIRST] = [(break_off, 50_000)]
    summary = fetch_files(request(mirror, tmp_path, last="2019-01-05"), RetryPolicy(0, 3, 0, timeout=0.3))
    assert summary.fetched == 2
    whole(mirror, tmp_path, "20190105", "20190106")
    first, second = ranges(mirror)
    assert first is None and 40_000 < int(second[6:-1]) <= 50_000


def test_a_server_without_ranges_sends_it_whole_again(mirror, tmp_path):
    mirror.ranges = False
    mirror.plans[FIRST] = [("cut", 50_000)]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 3
    whole(mirror, tmp_path, "20190105", "20190106", "20190107")


def test_without_a_tag_nothing_is_glued(mirror, tmp_path):
    mirror.tag = None
    mirror.plans[FIRST] = [("cut", 50_000)]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 3
    assert ranges(mirror) == [None, None]
    whole(mirror, tmp_path, "20190105", "20190106", "20190107")


def interrupted(mirror, folder, **more):
    """A run whose every attempt at the first day breaks off, so that a piece of it is left."""
    mirror.plans[FIRST] = [("cut", 50_000)]
    summary = fetch_files(request(mirror, folder, last="2019-01-05", **more), RetryPolicy(0, 1, 0, 5))
    assert "broke off" in summary.failed[0] and not (folder / "china_sites_20190105.csv").exists()
    assert (folder / ".china_sites_20190105.csv.part").stat().st_size > 40_000
    mirror.log.clear()


def test_a_later_run_goes_on_too(mirror, tmp_path):
    interrupted(mirror, tmp_path)
    assert fetch_files(request(mirror, tmp_path, last="2019-01-05"), QUICK).fetched == 1
    assert int(ranges(mirror)[0][6:-1]) > 40_000
    whole(mirror, tmp_path, "20190105", "20190106")


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("tag", ["etag", "modified"])
def test_a_file_that_changed_between_two_attempts_comes_whole(mirror, text, tmp_path, tag, if_range):
    mirror.tag, mirror.if_range = tag, if_range
    interrupted(mirror, tmp_path)
    mirror.files[FIRST] = text("20190105", change=1)
    assert fetch_files(request(mirror, tmp_path, last="2019-01-05"), QUICK).fetched == 1
    whole(mirror, tmp_path, "20190105", "20190106")
    assert ranges(mirror)[1:] == ([] if if_range else [None])


def test_a_file_that_changed_unseen_is_not_kept_glued(mirror, text, tmp_path):
    """The server tells no version of what it sends the second time; the reader finds the seam."""
    interrupted(mirror, tmp_path)
    mirror.files[FIRST] = b"date,hour,type,1001A\n" + text("20190105")[30:]
    mirror.tag, mirror.if_range = None, False
    summary = fetch_files(request(mirror, tmp_path, last="2019-01-05"), QUICK)
    assert "4 names in its header and 105 cells" in summary.failed[0]  # nor is the new one good
    assert ranges(mirror)[0] and ranges(mirror)[1] is None
    assert not list(tmp_path.glob("*0105*"))


def test_a_piece_as_long_as_the_file_or_of_another_address(mirror, tmp_path):
    interrupted(mirror, tmp_path)
    part = tmp_path / ".china_sites_20190105.csv.part"
    part.write_bytes(b"x" * (len(mirror.files[FIRST]) + 5))  # 416
    assert fetch_files(request(mirror, tmp_path, last="2019-01-05"), QUICK).fetched == 1
    assert ranges(mirror)[1] is None
    (tmp_path / "china_sites_20190105.csv").unlink()
    mirror.files["/other/china_sites_20190105.csv"] = mirror.files[FIRST]
    interrupted(mirror, tmp_path)
    asked = request(mirror, tmp_path, path="/other/china_sites_{date}.csv", last="2019-01-05")
    assert fetch_files(asked, QUICK).fetched == 1
    assert ranges(mirror, "/other/china_sites_20190105.csv") == [None]
    whole(mirror, tmp_path, "20190105", "20190106")


def test_missing_days_are_told_and_asked_for_by_the_next_run(mirror, text, tmp_path):
    period = {"first": "2019-01-05", "last": "2019-01-09"}
    summary = fetch_files(request(mirror, tmp_path, **period), QUICK)
    assert (summary.fetched, [item.label for item in summary.missing]) == (3, ["20190108", "20190109", "20190110"])
    assert any(line == "  missing: 20190108-20190110" for line in summary.lines())
    summary.check("again")  # not fatal
    mirror.log.clear()
    mirror.files["/data/china_sites_20190109.csv"] = text("20190109")
    assert fetch_files(request(mirror, tmp_path, **period), QUICK).fetched == 1
    assert mirror.asked() == [f"/data/china_sites_{day}.csv" for day in ("20190108", "20190109", "20190110")]


def test_when_nothing_is_there(mirror, tmp_path):
    summary = fetch_files(request(mirror, tmp_path, path="/elsewhere/{date}.csv"), QUICK)
    with pytest.raises(UserError, match=r"None of the 3 files .*/elsewhere/20190105\.csv.*--from"):
        summary.check("again")


def test_retry_after_is_waited_for(mirror, tmp_path, sleeps):
    mirror.plans[FIRST] = [("status", 429, {"Retry-After": "7"}), ("status", 503, {"Retry-After": "9"})]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 3
    assert [seconds for seconds in sleeps if seconds] == [7, 9]


def test_who_asks_for_hours_is_left_alone(mirror, tmp_path, sleeps):
    mirror.plans[FIRST] = [("status", 429, {"Retry-After": str(int(LONGEST_WAIT) + 1)})]
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert (len(mirror.log), summary.fetched, summary.not_requested, sleeps) == (1, 0, 2, [])
    assert "come back in 601 s" in summary.failed[0]
    with pytest.raises(UserError, match="3 files could not be fetched.*To continue, run: again"):
        summary.check("again")


def test_a_retry_after_that_is_none_and_one_that_is_a_date(mirror, tmp_path, sleeps):
    mirror.plans[FIRST] = [("status", 429, {"Retry-After": "soon"}),
                           ("status", 503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 3


def test_back_off_doubles(mirror, tmp_path, sleeps):
    mirror.plans[FIRST] = [("status", 500), ("status", 502), ("status", 504), ("cut", 100), ("cut", 100)]
    assert fetch_files(request(mirror, tmp_path), RetryPolicy(pause=0, attempts=4, backoff=2)).fetched == 3
    assert [seconds for seconds in sleeps if seconds] == [2, 4, 8, 2, 4]


def test_a_server_in_lasting_trouble_is_asked_for_three_files_only(mirror, tmp_path, sleeps):
    mirror.plans |= {path: [("status", 503)] * 9 for path in mirror.files}
    summary = fetch_files(request(mirror, tmp_path, first="2019-01-04"), QUICK)
    assert len(mirror.log) == 3 * QUICK.attempts
    assert (len(summary.failed), summary.not_requested) == (3, 1)
    assert "503" in summary.failed[0] and "20190104" in summary.failed[0]


def test_so_is_one_that_always_breaks_off(mirror, tmp_path, sleeps):
    mirror.plans |= {path: [("cut", 50)] * 9 for path in mirror.files}
    summary = fetch_files(request(mirror, tmp_path, first="2019-01-04"), QUICK)
    assert len(mirror.log) == 3 * QUICK.attempts and (len(summary.failed), summary.not_requested) == (3, 1)
    assert "broke off" in summary.failed[0] and "3 times" in summary.failed[0]


def test_other_refusals_are_of_the_file(mirror, tmp_path):
    mirror.plans |= {path: [("status", 403)] for path in mirror.files}
    summary = fetch_files(request(mirror, tmp_path, first="2019-01-04"), QUICK)
    assert (len(mirror.log), len(summary.failed), summary.not_requested) == (4, 4, 0)


def test_nobody_answers(tmp_path):
    nobody = SimpleNamespace(url="http://127.0.0.1:9")  # the discard port: nothing listens
    summary = fetch_files(request(nobody, tmp_path), QUICK)
    with pytest.raises(UserError, match="127.0.0.1:9 does not answer .*refused"):
        summary.check("again")


BAD = {"empty": b"", "HTML": PAGE, "truncated gzip": gzip.compress(b"date", mtime=0)[:-3],
       "no column date, hour, type": b"time;value\n1;2\n",
       "another day than 2019-01-05": b"date,hour,type,1001A\n20190106,0,PM2.5,5\n",
       "no rows": b"date,hour,type,1001A\n",
       "line 3: ": b"date,hour,type,1001A\n20190105,0,PM2.5,5\n20190105,1,PM2.5\n",
       "'20190106' in line 3": b"date,hour,type,1001A\n20190105,0,PM2.5,5\n20190106,1,PM2.5,5\n"}


@pytest.mark.parametrize("what", BAD)
def test_content_that_is_not_a_days_file_is_refused(mirror, tmp_path, what):
    mirror.files[FIRST] = BAD[what]
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert summary.fetched == 2 and mirror.asked().count(FIRST) == 1
    assert summary.failed[0].startswith("20190105: china_sites_20190105.csv") and what in summary.failed[0]
    whole(mirror, tmp_path, "20190106", "20190107")


def test_an_html_page_with_status_200_is_refused_and_asked_for_again(mirror, tmp_path):
    mirror.plans[FIRST] = [("html",)]
    assert "HTML" in fetch_files(request(mirror, tmp_path), QUICK).failed[0]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 1
    whole(mirror, tmp_path, "20190105", "20190106", "20190107")


def test_a_body_that_is_compressed_unasked_is_unpacked(mirror, tmp_path):
    mirror.plans[FIRST] = [("encoded", gzip.compress(mirror.files[FIRST], mtime=0))]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 3
    whole(mirror, tmp_path, "20190105", "20190106", "20190107")


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("kind", ["Content-MD5", "S3"])
def test_an_md5_sum_is_compared(mirror, tmp_path, sleeps, kind, good):
    digest = hashlib.md5(mirror.files[FIRST] if good else b"something else")
    if kind == "S3":
        mirror.name, mirror.headers = "AmazonS3", {"ETag": f'"{digest.hexdigest()}"'}
    else:
        mirror.headers = {"Content-MD5": base64.b64encode(digest.digest()).decode()}
    mirror.files = {FIRST: mirror.files[FIRST]}
    summary = fetch_files(request(mirror, tmp_path, last="2019-01-05"), QUICK)
    assert summary.fetched == good and len(ranges(mirror)) == (1 if good else QUICK.attempts)
    assert good or "MD5" in summary.failed[0]


def as_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        for name, content in members.items():
            container.writestr(f"inside/china_sites_{name[1:]}.csv", content)
    return buffer.getvalue()


def test_a_zip_of_several_days_is_fetched_once(mirror, text, tmp_path):
    mirror.files = {"/z/201901.zip": as_zip(d20190105=text("20190105"), d20190106=PAGE),
                    "/z/201902.zip": as_zip(d20190201=text("20190201"))}
    summary = fetch_files(request(mirror, tmp_path, last="2019-01-31", path="/z/{year}{month}.zip"), QUICK)
    assert summary.fetched == 2 and mirror.asked() == ["/z/201901.zip", "/z/201902.zip"]
    assert (tmp_path / "201901.zip").read_bytes() == mirror.files["/z/201901.zip"]
    assert fetch_files(request(mirror, tmp_path, last="2019-01-31", path="/z/{year}{month}.zip"), QUICK).present == 2


def test_zips_that_are_refused(mirror, text, tmp_path):
    good = as_zip(d20190105=text("20190105"))
    damaged = bytearray(good)
    damaged[len(damaged) // 2] ^= 1
    for content, words in ((good[:-40], "not a whole zip"), (bytes(damaged), "is damaged"),
                           (PAGE, "not a whole zip"),
                           (as_zip(d20180105=text("20180105")), "no file of 20190105-20190106"),
                           (as_zip(d20190105=PAGE), "HTML")):
        mirror.files = {"/week.zip": content}
        summary = fetch_files(request(mirror, tmp_path, last="2019-01-05", path="/week.zip"), QUICK)
        assert len(summary.failed) == 1 and words in summary.failed[0]
        assert not list(tmp_path.glob("*.zip*"))


def test_other_forms_of_the_address(mirror, tmp_path):
    mirror.files["/2019/2019-01-05/w01/d05"] = mirror.files[FIRST]
    path = "/{year}/{date:%Y-%m-%d}/w{date:%V}/d{day}"
    assert fetch_files(request(mirror, tmp_path, last="2019-01-05", path=path), QUICK).fetched == 1
    assert (tmp_path / "china_sites_20190105.csv").read_bytes() == mirror.files[FIRST]


def openaq_day(location, day):
    row = f'{location},9,"There-{location}","{day}T03:00:00+08:00","39.9","116.4","pm25","µg/m³","42.0"\n'
    header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n"
    return gzip.compress((header + row).encode(), mtime=0)


def test_openaq_has_a_file_for_each_location_and_day(mirror, tmp_path):
    path = TEMPLATES["openaq"].removeprefix("https://openaq-data-archive.s3.amazonaws.com")
    for location, day in ((3, "2019-01-05"), (3, "2019-01-06"), (12, "2019-01-05")):
        below = path.format(location=location, year="2019", month="01", date=day.replace("-", ""))
        mirror.files[below] = openaq_day(location, day)
    period = time_axis.parse_period(None, "2019-01-05", "2019-01-06")
    asked = FetchRequest("openaq", period, "3, 12,3", mirror.url + path, to=str(tmp_path))
    summary = fetch_files(asked, QUICK)
    assert (summary.fetched, [item.label for item in summary.missing]) == (3, ["location 12 20190106"])
    assert any(line == "  missing: location 12 20190106" for line in summary.lines())
    archive = open_archive(tmp_path)
    assert archive.stations.station_id.tolist() == ["12", "3"]
    assert archive.read("2019-01-04T19", "2019-01-04T19").pm25.values.tolist() == [[42.0, 42.0]]


def test_the_default_folder_is_one_where_build_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path / "data"))
    for source in TEMPLATES:
        folder = folder_of(FetchRequest(source, time_axis.parse_period("2016", None, None)))
        assert folder.parent == files.data_folder() == tmp_path / "data"


def test_the_default_address(tmp_path):
    files = wanted_files(FetchRequest("cnemc", time_axis.parse_period("2016", None, None)), tmp_path)
    assert len(files) == 367  # a leap year, and 1 January 2017
    assert files[59].url == "https://quotsoft.net/air/data/china_sites_20160229.csv"
    files = wanted_files(FetchRequest("openaq", time_axis.parse_period("2019", None, None), "7421"), tmp_path)
    assert files[-1].url == ("https://openaq-data-archive.s3.amazonaws.com/records/csv.gz/locationid=7421/year=2019/"
                             "month=12/location-7421-20191231.csv.gz")


def test_days_that_are_not_over_are_not_asked_for(tmp_path):
    today = dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date()
    span = time_axis.Period(today - dt.timedelta(days=3), today + dt.timedelta(days=40))
    days = [day for item in wanted_files(FetchRequest("cnemc", span), tmp_path) for day in item.days]
    assert 2 <= len(days) <= 3 and max(days) < today + dt.timedelta(days=1)
    with pytest.raises(UserError, match="not over yet"):
        wanted_files(FetchRequest("cnemc", time_axis.Period(today + dt.timedelta(days=1), span.last)), tmp_path)


@pytest.mark.parametrize(("source", "more", "words"), [
    ("aqicn", {}, "'aqicn' is not a source.*cnemc and openaq"),
    ("cnemc", {"locations": "1"}, "Leave --locations out"),
    ("openaq", {}, "No locations were given"),
    ("openaq", {"locations": "1,two"}, "'1,two' names no OpenAQ location"),
    ("openaq", {"locations": "1,2", "template": "https://x.org/{date}.csv.gz"}, r"Put \{location\} and \{date\}"),
    ("cnemc", {"template": "https://x.org/{dat}.csv"}, r"can't be filled in.*\{date\}, \{year\}"),
    ("cnemc", {"template": "https://x.org/{date.csv"}, "can't be filled in"),
    ("cnemc", {"template": "https://x.org/day.csv"}, r"Put \{date\} into the address"),
    ("cnemc", {"template": "https://x.org/{date}/day.zip"}, "two files of one name"),
    ("cnemc", {"template": "ftp://x.org/{date}.csv"}, "not an address.*https"),
    ("cnemc", {"station_table": "stations.csv"}, "'stations.csv' is not an address"),
])
def test_requests_that_make_no_sense(tmp_path, source, more, words):
    with pytest.raises(UserError, match=words):
        wanted_files(FetchRequest(source, time_axis.parse_period(None, "2019-01-05", "2019-01-06"), **more), tmp_path)


def test_the_station_table_comes_too(mirror, tmp_path):
    mirror.files["/table"] = TABLE
    summary = fetch_files(request(mirror, tmp_path, station_table=f"{mirror.url}/table"), QUICK)
    assert (summary.fetched, summary.advice) == (3, [])
    assert len(open_archive(tmp_path).stations) == 2


@pytest.mark.parametrize(("table", "words"), [
    (PAGE, "is an HTML or XML page"), (b"station_id,lon,lat\n1,,\n", "coordinates")])
def test_a_station_table_that_is_none(mirror, tmp_path, table, words):
    mirror.files["/table"] = table
    summary = fetch_files(request(mirror, tmp_path, station_table=f"{mirror.url}/table"), QUICK)
    assert summary.failed[0].startswith("station table") and words in summary.failed[0]
    assert summary.fetched == 3 and "--station-table" in summary.advice[0] and not (tmp_path / "stations.csv").exists()


def test_two_fetches_do_not_write_into_one_folder(mirror, tmp_path):
    def while_it_runs(files):
        with pytest.raises(UserError, match="Another fetch"):
            fetch_files(request(mirror, tmp_path), QUICK)
        return files

    assert fetch_files(request(mirror, tmp_path), QUICK, while_it_runs).fetched == 3
    assert fetch_files(request(mirror, tmp_path), QUICK).present == 3


def test_a_folder_that_is_a_file(mirror, tmp_path):
    (tmp_path / "there").write_text("")
    with pytest.raises(UserError, match="is a file.*--to"):
        fetch_files(request(mirror, tmp_path / "there"), QUICK)


def test_days_in_few_words():
    days = [dt.date(2019, 1, day) for day in (7, 5, 6, 10)] + [dt.date(2018, 12, 31), dt.date(2019, 1, 1)]
    assert in_few_words(days) == "20181231-20190101, 20190105-20190107, 20190110"


@pytest.mark.archive
def test_real_files_pass_the_check_loose_and_zipped(archive_path, tmp_path):
    source = archive_path / "cnemc-2019" / "china_sites_201901.zip"
    with serving() as mirror, zipfile.ZipFile(source) as container:
        mirror.files["/201901.zip"] = source.read_bytes()
        days = {"20190101", "20190115", "20190116"}  # the first of a month has 15 types
        mirror.files |= {f"/{name}": container.read(name) for name in container.namelist() if name[12:20] in days}
        loose, zipped = tmp_path / "loose", tmp_path / "zipped"
        for day, count in (("2019-01-15", 2), ("2019-01-01", 1)):
            assert fetch_files(request(mirror, loose, day, day, "/china_sites_{date}.csv"), QUICK).fetched == count
        summary = fetch_files(request(mirror, zipped, "2019-01-15", "2019-01-15", "/{year}{month}.zip"), QUICK)
    assert (summary.fetched, summary.failed) == (1, [])
    assert (zipped / "201901.zip").read_bytes() == source.read_bytes()
    hours, table = time_axis.parse_period(None, "2019-01-15", "2019-01-15").hours, source.parent / "stations.csv"
    cubes = [open_archive(folder, table).read(hours[0], hours[-1]) for folder in (loose, zipped)]
    assert cubes[0].identical(cubes[1]) and np.isfinite(cubes[0].pm25).mean() > 0.8
