"""`aqreanalysis fetch` as a process: exit codes, a kill, Ctrl-C, a full disk."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from fetch_server import serving
from typer.testing import CliRunner

from aqreanalysis import time_axis
from aqreanalysis.cli.app import app, main
from aqreanalysis.observations.download import fetch_files
from aqreanalysis.observations.download.transfer import RetryPolicy
from aqreanalysis.observations.download.wanted import FetchRequest

FIRST, SECOND, THIRD = (f"/china_sites_2019010{day}.csv" for day in (5, 6, 7))
STATIONS = ("0901A", "1001A", "1002A", *(f"{number}A" for number in range(2001, 2100)))


@pytest.fixture
def mirror(national):
    with serving() as mirror:
        for path in (FIRST, SECOND, THIRD):
            day = path[13:21]
            mirror.files[path] = national.text(day, stations=STATIONS, value=lambda *_: 1234).encode()
        yield mirror


def command(mirror, folder):
    return ["fetch", "cnemc", "--start", "2019-01-05", "--end", "2019-01-06", "--from",
            f"{mirror.url}/china_sites_{{date}}.csv", "--pause", "0", "--attempts", "1", "--to", str(folder)]


def start(mirror, folder, before=""):
    """The command line in a process of its own; `before` is run in it first."""
    code = f"import sys; {before}\nfrom aqreanalysis.cli.app import main; sys.argv[0] = 'aqreanalysis'; main()"
    return subprocess.Popen([sys.executable, "-c", code, *command(mirror, folder)], text=True, cwd=folder.parent,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "200"})


def finish(process):
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def stalled_half_way(mirror, folder):
    """A process that has the first day and waits for the second half of the second."""
    mirror.plans[SECOND] = [("stall", 50_000)]
    process, part = start(mirror, folder), folder / f".{SECOND[1:]}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 40_000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    return process


def again(mirror, folder):
    """The same in this process."""
    asked = FetchRequest("cnemc", time_axis.parse_period(None, "2019-01-05", "2019-01-06"), to=str(folder),
                         template=f"{mirror.url}/china_sites_{{date}}.csv")
    summary = fetch_files(asked, RetryPolicy(pause=0, attempts=1))
    assert (summary.fetched, summary.present, summary.missing, summary.failed) == (2, 1, [], [])


def goes_on(mirror, folder):
    """A second run asks for the rest only and ends well."""
    mirror.released.set()
    mirror.log.clear()
    again(mirror, folder)
    assert mirror.asked() == [SECOND, THIRD]
    assert int(mirror.log[0][1]["Range"].removeprefix("bytes=").rstrip("-")) > 40_000
    for path in (FIRST, SECOND, THIRD):
        assert (folder / path[1:]).read_bytes() == mirror.files[path]
    assert not list(folder.glob("*.part*"))


def test_after_a_kill_the_same_command_goes_on(mirror, tmp_path):
    process = stalled_half_way(mirror, tmp_path / "to")
    process.kill()  # SIGKILL
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    goes_on(mirror, tmp_path / "to")


def test_ctrl_c_is_130_and_the_same_command_goes_on(mirror, tmp_path, ctrl_c):
    process = stalled_half_way(mirror, tmp_path / "to")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130 and "Run the same command again" in err
    goes_on(mirror, tmp_path / "to")


@pytest.fixture
def here(mirror, tmp_path, monkeypatch, capsys):
    """Runs the command line in this process: exit code, screen, errors."""
    def run():
        monkeypatch.setattr(sys, "argv", ["aqreanalysis", *command(mirror, tmp_path / "to")])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()
    return run


def test_missing_is_0_failed_is_2_with_the_command_to_run_again(mirror, here):
    del mirror.files[THIRD]
    code, out, _ = here()
    assert code == 0 and "2 files fetched, 0 were there, 1 missing at the server, 0 failed" in out
    assert "missing: 20190107" in out and "stations.csv" in out
    mirror.files[THIRD] = b"<html>"
    code, out, err = here()
    assert code == 2 and "20190107" in err and "HTML" in err
    assert "To continue, run: aqreanalysis fetch cnemc --start 2019-01-05" in err and "\n\n" not in err.strip()


def test_nothing_to_be_had_is_2_with_one_paragraph(mirror, here):
    mirror.files.clear()
    code, _, err = here()
    assert code == 2 and err.startswith("Error: None of the 3 files") and "--from" in err
    assert "\n\n" not in err.strip()


def test_a_full_disk_is_told_and_nothing_is_lost(mirror, national, tmp_path):
    """A real limit on the size of files stands in for the disk's end: writes fail as they do when it is full."""
    mirror.files[FIRST] = national.text("20190105").encode()  # small enough
    limit = ("import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
             "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))")
    code, _, err = finish(start(mirror, tmp_path / "to", limit))
    assert code == 2 and SECOND[1:] in err and "bytes are free" in err and "--to" in err, err
    left = [file.name for file in (tmp_path / "to").iterdir() if not file.name.startswith(".")]
    assert left == [FIRST[1:]] and (tmp_path / "to" / FIRST[1:]).read_bytes() == mirror.files[FIRST]
    again(mirror, tmp_path / "to")


def test_fetch_then_build_need_nothing_else(mirror, national, tmp_path, monkeypatch, no_maps):
    """On a fresh machine: the archive goes into the data folder, build finds it, and the places ship with the package.

    Two stations of the three are in the shipped table; the other one is named.
    """
    units = {"CO": 1.0}
    for path in (FIRST, SECOND, THIRD):
        mirror.files[path] = national.text(path[13:21], value=lambda day, kind, station, hour: units.get(
            kind, 30 + (7 * hour + 3 * int(station[3]) + int(day)) % 17 + 40 * (kind == "PM10"))).encode()
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nX,116.4,39.9\n")
    for words in (command(mirror, tmp_path)[:-2],
                  ["build", "--start", "2019-01-05", "--end", "2019-01-06", "--grid", "points.csv", "--checkpoint",
                   "kriging", "--workers", "1", "--out", "product"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    told = result.output
    assert "table of northern China that ships with the package" in told and "errors up to about 1 km" in told
    facts = json.loads((tmp_path / "product" / "run.json").read_text())["facts"]
    assert facts["stations_used"] == 2 and not facts["files_skipped"]
    assert any("0901A" in text and "left out" in text for text in facts["oddities"] + facts["reading"])
