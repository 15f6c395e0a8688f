"""Fetching from mirrors that mean harm, and through proxies that are dead: refused in words, and nothing is left."""

import gzip

import pytest
import requests
from fetch_server import serving

from aqreanalysis import time_axis
from aqreanalysis.observations.download import fetch_files, transfer
from aqreanalysis.observations.download.transfer import Failed, RetryPolicy, opened_session
from aqreanalysis.observations.download.wanted import FetchRequest

QUICK = RetryPolicy(pause=0, attempts=3, backoff=0, timeout=5)
FIRST = "/data/china_sites_20190105.csv"
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.7"


@pytest.fixture
def mirror(national):
    stations = [f"{number}A" for number in range(2001, 2100)]  # a day of 100 kB
    with serving() as mirror:
        for day in ("20190105", "20190106"):
            text = national.text(day, stations=stations, value=lambda *_: 1000)
            mirror.files[f"/data/china_sites_{day}.csv"] = text.encode()
        yield mirror


def request(mirror, folder):
    """The file of 5 January and that of the day after, which has its last hour."""
    period = time_axis.parse_period(None, "2019-01-05", "2019-01-05")
    return FetchRequest("cnemc", period, template=mirror.url + "/data/china_sites_{date}.csv", to=str(folder))


@pytest.mark.parametrize("target, words", [
    ("file:///etc/passwd", "only http and https"), ("ftp://mirror.example/a.csv", "only http and https"),
    ("gopher://x/", "only http and https"), ("data:text/csv,1", "only http and https"), ("FILE:///etc/x", "only http")])
def test_a_redirect_to_another_scheme_is_refused(mirror, tmp_path, target, words):
    mirror.plans[FIRST] = [("status", 302, {"Location": target})]
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert words in summary.failed[0] and "redirects to" in summary.failed[0]
    assert not list(tmp_path.glob("*.csv")) and summary.not_requested == 1


@pytest.mark.parametrize("asked, target, words", [
    (f"https://{PUBLIC}/a", f"http://{PUBLIC}/a", "from https to http"),
    (f"http://{PUBLIC}/a", f"http://{PRIVATE}/a", "private network"),
    (f"http://{PUBLIC}/a", "http://169.254.169.254/latest/meta-data", "private network"),
    (f"http://{PUBLIC}/a", "http://[::1]/a", "private network"),
    (f"http://{PUBLIC}/a", "http://0x7f.1/a", "private network"),
    (f"http://{PUBLIC}/a", "//127.0.0.1/a", "private network"), (f"http://{PUBLIC}/a", "http://localhost/a", "private"),
    (f"http://{PUBLIC}/a", f"https://{PUBLIC}/b", None), (f"http://{PUBLIC}/a", "/b", None),
    (f"http://{PRIVATE}/a", "http://10.0.0.8/a", None)])
def test_a_redirect_is_followed_where_the_user_could_have_meant_it(asked, target, words):
    response = requests.Response()
    response.status_code, response.url, response.headers["Location"] = 302, asked, target
    session = opened_session(QUICK)
    if words is None:
        assert session.get_redirect_target(response) == target
    else:
        with pytest.raises(Failed, match=words):
            session.get_redirect_target(response)


def test_a_redirect_within_the_mirror_is_followed(mirror, tmp_path):
    mirror.plans[FIRST] = [("status", 302, {"Location": "/elsewhere"})]
    mirror.files["/elsewhere"] = mirror.files[FIRST]
    assert fetch_files(request(mirror, tmp_path), QUICK).fetched == 2


@pytest.mark.parametrize("promised", [True, False])
def test_a_body_without_end_is_cut_off_and_removed(mirror, tmp_path, monkeypatch, promised):
    """By its promised length, unread; or, with no length, when it has become too long."""
    monkeypatch.setattr(transfer, "MOST_BYTES", 50_000)
    if not promised:
        mirror.plans[FIRST] = [("encoded", gzip.compress(b"," * 1_000_000, mtime=0))]
    summary = fetch_files(request(mirror, tmp_path), QUICK)
    assert "no such file has" in summary.failed[0]
    assert [path.name for path in tmp_path.iterdir() if "20190105" in path.name] == []


def test_a_dead_proxy_is_blamed_and_not_the_server(mirror, tmp_path, monkeypatch):
    """Neither the user's password nor the classes of libraries are told; nothing else is requested."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:9")
    for address, server in (("http://mirror.example", "mirror.example"), ("https://mirror.example", "mirror.example")):
        mirror.url = address
        summary = fetch_files(request(mirror, tmp_path), QUICK)
        told = summary.failed[0]
        assert f"the proxy 127.0.0.1:9 does not lead to {server} (Connection refused); it is set by" in told
        assert "secret" not in told and ")))" not in told and "NO_PROXY=mirror.example" in told
        assert len(summary.failed) == 1 and summary.not_requested == 1
