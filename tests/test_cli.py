"""The command line as a user meets it: exit codes, one paragraph for each mistake, nothing left behind."""

import contextlib
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys

import forked
import numpy as np
import pytest

from aqreanalysis.cli.app import app, main
from aqreanalysis.models import checkpoint

pytestmark = pytest.mark.usefixtures("no_maps")  # in this process

HOURS = range(24)
TYPES = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3")


def process(*arguments, cwd):
    """The command in a process of its own, as a user starts it."""
    return subprocess.run([sys.executable, "-m", "aqreanalysis", *map(str, arguments)], cwd=cwd, text=True,
                          capture_output=True, timeout=300,
                          env={**os.environ, "AQREANALYSIS_DATA": str(cwd / "none"), "COLUMNS": "200"})


def run(*arguments, cwd):
    """The same entry point within this process, which spares the start of Python and torch for each case."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("AQREANALYSIS_DATA", str(cwd / "none"))
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["aqreanalysis", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def day_file(day="20190105", stations=("1001A", "1002A", "1003A", "1004A", "1005A")):
    """One national daily file, as text."""
    lines = ["date,hour,type," + ",".join(stations)]
    lines += [f"{day},{hour},{kind}," + ",".join(str(30 + hour + number) for number, _ in enumerate(stations))
              for hour in HOURS for kind in TYPES]
    return "\n".join(lines) + "\n"


@pytest.fixture
def archive(tmp_path):
    """A folder with three days of five stations round Beijing."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "stations.csv").write_text("station_id,lon,lat\n" + "".join(
        f"100{n}A,{116 + 0.3 * n},{39.5 + 0.2 * n}\n" for n in range(1, 6)))
    for day in ("20190104", "20190105", "20190106"):
        (folder / f"china_sites_{day}.csv").write_text(day_file(day))
    return folder


def build(archive, tmp_path, *more, start="2019-01-05", end="2019-01-05"):
    return run("build", "--start", start, "--end", end, "--grid", tmp_path / "points.csv",
               "--observations", archive, "--out", tmp_path / "out", "--workers", 1,
               "--calibration", "checkpoint", *more, cwd=tmp_path)


def command_within(limit, *arguments):
    """The command line where no file may have more than so many bytes; in a process of its own."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    forked.command({}, *arguments)


def forked_build(limit, archive, tmp_path, grid):
    return forked.Forked(command_within, limit, "build", "--start", "2019-01-05", "--end", "2019-01-05", "--grid", grid,
                         "--observations", archive, "--out", tmp_path / "out", "--workers", 1)


@pytest.fixture(autouse=True)
def points(tmp_path):
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nA,116.6,39.9\n")


def refused(result, tmp_path, *words):
    """Exit code 2, one paragraph with these words, no traceback, nothing written."""
    assert result.returncode == 2, result.stdout + result.stderr
    paragraph = result.stderr.strip()
    assert "Traceback" not in paragraph and "\n\n" not in paragraph
    for word in words:
        assert word in paragraph, paragraph
    assert not (tmp_path / "out").exists()


def test_help_names_the_verbs(tmp_path):
    result = process("--help", cwd=tmp_path)
    assert result.returncode == 0 and "Usage: python -m aqreanalysis" in result.stdout
    for verb in ("build", "train", "evaluate", "map", "simulate"):
        assert verb in result.stdout


def test_help_does_not_import_torch(tmp_path):
    code = "import sys, aqreanalysis.cli.app; print({'torch', 'cartopy', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_small_archive_becomes_a_product_and_a_map(archive, tmp_path):
    """With the maps and figures of the product, which other builds here spare."""
    code, told = forked_build(10**9, archive, tmp_path, tmp_path / "points.csv").ended(120)
    assert code == 0, told
    assert "SIMULATED" not in told and (tmp_path / "out" / "pm25_hourly_201901.nc").is_file()
    drawn = run("map", tmp_path / "out", "--start", "2019-01-05", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "out" / "maps" / "pm25_mean_2019-01-05.png").is_file()


@pytest.mark.parametrize(("options", "words"), [
    (["--year", "20x6"], ["20x6", "four digits"]),
    (["--start", "2019-02-30", "--end", "2019-03-01"], ["2019-02-30", "YYYY-MM-DD"]),
    (["--start", "2019-03-01", "--end", "2019-02-01"], ["before"]),
    (["--year", "2019", "--start", "2019-01-01"], ["--year"]),
    ([], ["period"]),
])
def test_periods_that_can_not_be_parsed(archive, tmp_path, options, words):
    result = run("build", *options, "--observations", archive, "--out", tmp_path / "out", cwd=tmp_path)
    refused(result, tmp_path, *words)


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    refused(process("build", "--year", "20x6", "--workers", 1, "--out", tmp_path / "out", cwd=tmp_path), tmp_path,
            "20x6")


@pytest.mark.parametrize(("grid", "words"), [
    ("0.1degrees", ["0.1degrees"]),
    ("0.3deg", ["0.3"]),
    ("nowhere.nc", ["nowhere.nc"]),
])
def test_grids_that_can_not_be_parsed(archive, tmp_path, grid, words):
    refused(run("build", "--year", 2019, "--grid", grid, "--observations", archive, "--out", tmp_path / "out",
                cwd=tmp_path), tmp_path, *words)


def test_a_grid_outside_the_network(archive, tmp_path):
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nParis,2.35,48.86\n")
    refused(build(archive, tmp_path), tmp_path, "km")


def test_no_observations_in_the_period(archive, tmp_path):
    refused(build(archive, tmp_path, start="2019-06-01", end="2019-06-02"), tmp_path, "2019-06-01", "observations")


def test_files_without_a_single_pm25_value_in_the_period(archive, tmp_path):
    for day in ("20190104", "20190105", "20190106"):
        blank = [line if not line.split(",")[2:3] == ["PM2.5"] else ",".join(line.split(",")[:3]) + "," * 5
                 for line in day_file(day).splitlines()]
        (archive / f"china_sites_{day}.csv").write_text("\n".join(blank) + "\n")
    refused(build(archive, tmp_path), tmp_path, "PM2.5")


def test_a_path_that_does_not_exist(tmp_path):
    refused(build(tmp_path / "nothing", tmp_path), tmp_path, "nothing", "does not exist")


def test_a_folder_without_known_files(tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear all")
    refused(build(folder, tmp_path), tmp_path, "china_sites_YYYYMMDD.csv", "tidy")


BAD = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "damaged or truncated gzip": gzip.compress(day_file().encode(), mtime=0)[:-20],
    "no column date, hour, type": b"time;place;value\n1;2;3\n",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_among_good_ones_is_named_and_skipped(archive, tmp_path, kind):
    (archive / "china_sites_20190106.csv").write_bytes(BAD[kind])
    result = build(archive, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "skipped: china_sites_20190106.csv" in result.stdout and kind in " ".join(result.stdout.split())
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "china_sites_20190106.csv" in record["facts"]["files_skipped"][0]


@pytest.mark.parametrize("content, told", [
    (gzip.compress(day_file("20190106").encode(), mtime=0), ""), (day_file("20190106").encode()[:1500], "line")])
def test_a_file_that_is_gzip_or_cut_is_read_and_told(archive, tmp_path, content, told):
    (archive / "china_sites_20190106.csv").write_bytes(content)
    result = build(archive, tmp_path)
    assert result.returncode == 0 and "skipped" not in result.stdout, result.stdout + result.stderr
    found = json.loads((tmp_path / "out" / "run.json").read_text())["facts"]["oddities"]
    assert [told in text for text in found] == [True] * bool(told)


@pytest.mark.parametrize("kind", BAD)
def test_only_bad_files_are_an_error(archive, tmp_path, kind):
    for path in archive.glob("china_sites_*.csv"):
        path.write_bytes(BAD[kind])
    refused(build(archive, tmp_path), tmp_path, "china_sites_", kind)


def test_stations_without_coordinates(archive, tmp_path):
    (archive / "stations.csv").write_text("station_id,lon,lat\n1001A,,\n1002A,,\n")
    refused(build(archive, tmp_path), tmp_path, "coordinates")


def test_a_station_table_that_is_not_there(archive, tmp_path):
    refused(build(archive, tmp_path, "--stations", tmp_path / "nowhere.csv"), tmp_path, "nowhere.csv does not exist")


def test_a_checkpoint_that_is_none(archive, tmp_path):
    refused(build(archive, tmp_path, "--checkpoint", "imaginary"), tmp_path, "imaginary", checkpoint.DEFAULT)


def test_a_checkpoint_of_another_kind(archive, tmp_path):
    card = json.loads((checkpoint.SHIPPED / checkpoint.DEFAULT / "checkpoint.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoint.json").write_text(json.dumps(checkpoint.with_checksum(card | {"kind": "aqnet-forecast"})))
    refused(build(archive, tmp_path, "--checkpoint", other), tmp_path, "aqnet-forecast", "aqnet-analysis")


def test_a_damaged_checkpoint(archive, tmp_path):
    source, other = checkpoint.SHIPPED / checkpoint.DEFAULT, tmp_path / "other"
    other.mkdir()
    (other / "checkpoint.json").write_bytes((source / "checkpoint.json").read_bytes())
    content = bytearray((source / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (other / "model.safetensors").write_bytes(bytes(content))
    refused(build(archive, tmp_path, "--checkpoint", other), tmp_path, "damaged", "model.safetensors")


def test_a_recipe_with_an_unknown_key(archive, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\ngird: 1deg\n")
    refused(build(archive, tmp_path, "--recipe", recipe), tmp_path, "gird", "grid")


def test_a_read_only_folder(archive, tmp_path):
    (tmp_path / "out").write_text("a file, not a folder")
    result = build(archive, tmp_path)
    assert result.returncode == 2 and "is a file" in result.stderr
    assert (tmp_path / "out").read_text() == "a file, not a folder"


def test_a_full_disk_is_told_and_leaves_only_whole_files(archive, tmp_path):
    """A real limit on file size stands in for the disk's end: writes fail as they do when it is full."""
    code, told = forked_build(20_000, archive, tmp_path, "1deg").ended(120)
    assert code == 2, told
    assert "Traceback" not in told and "free" in told.lower()
    assert not list((tmp_path / "out").glob("*.nc")) and not list((tmp_path / "out").glob("*.part*"))


@pytest.fixture(scope="module")
def one_day(tmp_path_factory):
    """A folder with the product of a day at five stations and one point, and what its build printed with --json."""
    folder = tmp_path_factory.mktemp("one_day")
    (folder / "archive").mkdir()
    (folder / "points.csv").write_text("station_id,lon,lat\nA,116.6,39.9\n")
    (folder / "archive" / "stations.csv").write_text("station_id,lon,lat\n" + "".join(
        f"S{n},{116 + 0.3 * n},{39.5 + 0.2 * n}\n" for n in range(1, 6)))
    for day in ("20190104", "20190105", "20190106"):
        (folder / "archive" / f"china_sites_{day}.csv").write_text(day_file(day, [f"S{n}" for n in range(1, 6)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aqreanalysis.product.report.draw_maps", lambda plan, workers: [])
        return folder, build(folder / "archive", folder, "--json")


def test_json_has_every_file_with_its_size_and_prose_goes_to_the_error_stream(one_day):
    folder, result = one_day
    said = json.loads(result.stdout)
    there = {str(path): path.stat().st_size for path in (folder / "out").rglob("*")
             if path.is_file() and path.name != ".lock"}
    assert {of["path"]: of["bytes"] for of in said["files"]} == there
    assert said["verb"] == "build" and said["bytes"] == sum(there.values()) and said["seconds"] > 0
    assert said["warnings"] == [], result.stdout
    assert "stations:     5 used" in result.stderr
    assert abs(int(re.search(r"done in (\d+) s", result.stderr)[1]) - said["seconds"]) <= 0.55  # both are rounded


def test_what_a_build_warns_of_is_told_once_more_at_its_end_and_in_json(archive, tmp_path, monkeypatch):
    (archive / "china_sites_20190106.csv").write_bytes(b"")
    told = "skipped: china_sites_20190106.csv"
    short = build(archive, tmp_path).stdout
    assert short.count(told) == 1 and "warnings:     2, told above" in short
    monkeypatch.setattr("aqreanalysis.cli.console.LONG_S", 0.0)
    result = build(archive, tmp_path)
    assert result.stdout.count(told) == 2 and result.stdout.rindex(told) > result.stdout.index("scores:")
    quiet = build(archive, tmp_path, "--quiet", "--json")
    warnings = json.loads(quiet.stdout)["warnings"]
    assert quiet.returncode == 0 and [text.startswith(told) for text in warnings] == [True, False]
    assert [line.strip().removeprefix("warning: ") for line in quiet.stderr.splitlines()] == warnings


def test_quiet_says_nothing_where_all_is_well_and_errors_come_with_their_code(one_day, tmp_path):
    folder, _ = one_day
    result = run("export", folder / "out", "--to", "a.csv", "--quiet", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "") and (tmp_path / "a.csv").is_file()
    for option in ("--quiet", "--json"):
        result = run("export", folder / "nowhere", "--to", "a.csv", option, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "") and "nowhere" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_reader_that_has_had_enough_is_no_error(one_day, tmp_path):
    folder, _ = one_day
    line = f"{sys.executable} -m aqreanalysis export {folder / 'out'} --to a.csv --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.strip() == "0" and "Traceback" not in done.stderr and "done in" in done.stderr


@pytest.mark.parametrize("typed, offered", [("aqreanalysis summ", "summarise"), ("aqreanalysis export --js", "--json")])
def test_the_shell_completes_commands_and_options(typed, offered, tmp_path):
    """As bash asks, by the function of --install-completion."""
    code = "import sys; from aqreanalysis.cli.app import main; sys.argv = ['aqreanalysis']; main()"
    asked = {"_AQREANALYSIS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, **asked, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.split() == [offered], done.stderr


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_completion_is_of_the_command_however_it_was_called(option, tmp_path):
    """`python -m aqreanalysis` gave a function for `python -m aqreanalysis`, which no shell completes."""
    done = subprocess.run([sys.executable, "-m", "aqreanalysis", option, "bash"], capture_output=True, text=True,
                          env={**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path),
                               "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert done.returncode == 0, done.stderr
    written = "".join(path.read_text() for path in tmp_path.rglob("*.sh"))
    text = written if option == "--install-completion" else done.stdout
    assert text.strip().endswith("complete -o default -F _aqreanalysis_completion aqreanalysis")
    assert "_AQREANALYSIS_COMPLETE=complete_bash" in text and "python" not in text


def test_describe_gives_its_facts_to_scripts_and_says_nothing_else(one_day, tmp_path):
    folder, _ = one_day
    for options, what in (((), "product"), (("--verify",), "verification")):
        result = run("describe", folder / "out", "--json", *options, cwd=tmp_path)
        assert (result.returncode, result.stderr, json.loads(result.stdout)["what"]) == (0, "", what)
    assert json.loads(result.stdout)["files_as_written"] == 3  # hours, days, and what stations observed
    result = run("describe", folder / "nowhere", "--json", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "") and "nowhere" in result.stderr


def test_every_verb_has_json_and_those_that_write_files_both_options():
    import typer

    verbs = {verb: {name for parameter in command.params for name in parameter.opts}
             for verb, command in typer.main.get_command(app).commands.items()}
    assert [verb for verb, options in verbs.items() if "--json" not in options] == []
    assert [verb for verb, options in verbs.items() if "--quiet" not in options] == ["describe"]


def test_simulate_writes_rows_that_stay_simulated(tmp_path):
    written = run("simulate", "--start", "2016-01-05", "--end", "2016-01-05", "--out", tmp_path / "twin", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    result = build(tmp_path / "twin", tmp_path, start="2016-01-05", end="2016-01-05")
    assert result.returncode == 0, result.stderr
    assert "SIMULATED" in result.stdout
    assert (tmp_path / "out" / "simulated_pm25_hourly_201601.nc").is_file()


def test_the_analysis_at_a_station_is_what_it_measured(archive, tmp_path):
    import xarray as xr

    (tmp_path / "points.csv").write_text("station_id,lon,lat\nsame,116.3,39.7\n")
    assert build(archive, tmp_path).returncode == 0
    with xr.open_dataset(tmp_path / "out" / "pm25_hourly_201901.nc") as file:
        # station 1001A measured 30 + hour of the stamp (UTC+8); the first stamp of the day is 01:00
        expected = np.array([30 + (hour % 24) for hour in range(1, 25)], float)
        np.testing.assert_allclose(file.pm25.values[:, 0], expected, rtol=2**-10)


@pytest.mark.parametrize("stop", ["raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_an_interrupt_ends_with_130_whatever_libraries_do_at_the_end(stop):
    """As a thread or an exit hook of a library that a second Ctrl-C meets while Python ends."""
    code = ("import atexit, os, signal, sys\n"
            "import aqreanalysis\nfrom aqreanalysis.cli import app\n"
            "def again():\n    signal.signal(signal.SIGINT, signal.SIG_DFL)\n    os.kill(os.getpid(), signal.SIGINT)\n"
            "atexit.register(again)\n"
            f"def stop(*_):\n    {stop}\n"
            "aqreanalysis.build, aqreanalysis.BuildRequest = stop, print\n"  # whose modules are slow to import
            "sys.argv = ['aqreanalysis', 'build', '--year', '2016', '--workers', '1']\napp.main()\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 130 and done.stderr.strip() == "Interrupted. Run the same command again to go on."


@pytest.mark.parametrize(("options", "words"), [
    (("--neighbours", 0), "--neighbours 0 is out of range"), (("--stations", ""), "--stations is empty"),
    (("--recipe= ",), "--recipe is empty")])
def test_values_that_can_not_be_meant(archive, tmp_path, options, words):
    """An empty --observations would have given the twin."""
    refused(build(archive, tmp_path, *options), tmp_path, words)


def test_evaluate_refuses_a_grid_that_it_would_not_use(archive, tmp_path):
    refused(run("evaluate", "--start", "2019-01-05", "--end", "2019-01-05", "--observations", archive, "--quick",
                "--grid", "1deg", cwd=tmp_path), tmp_path, "--grid has no use with --quick")


def test_local_workers_beside_a_cluster_are_refused_by_every_verb_that_has_both(archive, tmp_path):
    """Nothing listens there: it is said before anybody is asked."""
    import typer

    given = {"build": ("--start", "2019-01-05", "--end", "2019-01-05", "--observations", archive, "--out"),
             "summarise": (archive, "--to"), "areas": (archive, "--to"), "compare": (archive, archive, "--to"),
             "exposure": (archive, "--population", archive, "--to")}
    given["evaluate"] = given["build"]
    verbs = {verb: {name for parameter in command.params for name in parameter.opts}
             for verb, command in typer.main.get_command(app).commands.items()}
    both = [verb for verb, options in verbs.items() if {"--workers", "--scheduler"} <= options]
    assert {"build", "evaluate", "summarise"} <= set(both)
    for verb in both:
        result = run(verb, *given[verb], tmp_path / "out", "--workers", 2, "--scheduler", "tcp://127.0.0.1:9",
                     cwd=tmp_path)
        refused(result, tmp_path, "--workers 2", "--scheduler tcp://127.0.0.1:9", "Leave one of them out")
