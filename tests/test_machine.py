"""Commands on machines in trouble: a working product or one clear paragraph and exit code 2."""

import io
import os
import shutil
import subprocess
import sys

import pytest

from aqreanalysis.cli import console, machine, streams

SAY = ("import sys; from aqreanalysis.cli import app, console\n"
       "@app.app.command('say')\ndef say(text: str):\n    console.say(text)\n"
       "    open('written', 'w', encoding='utf-8').write(text)\n"
       "    console.say('more')\n"
       "sys.argv = ['aqreanalysis', 'say', sys.argv[1]]; app.main()\n")


def run(text, folder, before="", code=SAY, **environment):
    """A command that says a text and writes it, in a shell; `before` comes before it, `{}` stands for it."""
    command = before or "{}"
    return subprocess.run(["bash", "-c", command.replace("{}", '"$0" -c "$1" "$2"'), sys.executable, code, text],
                          cwd=folder, env=os.environ | {"PYTHONUTF8": "0"} | environment, capture_output=True,
                          timeout=60)


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "ascii", "utf-8"])
def test_output_never_fails_on_its_encoding(encoding, tmp_path):
    """Letters of our own units in plain ones, others by their number; nothing is lost, and all is written."""
    found = run("µg m⁻³ 北京 ê", tmp_path, PYTHONIOENCODING=encoding)
    assert found.returncode == 0, found.stderr
    shown = {"gbk": "ug m-3 北京 ê", "latin-1": "µg m-³ \\u5317\\u4eac ê", "ascii": "ug m-3 \\u5317\\u4eac \\xea",
             "utf-8": "µg m⁻³ 北京 ê"}[encoding]
    assert found.stdout.decode(encoding) == f"{shown}\nmore\n"
    assert (tmp_path / "written").read_text(encoding="utf-8") == "µg m⁻³ 北京 ê"


@pytest.mark.parametrize("command, code, told", [
    ("{} | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", 0, ""), ("{} > /dev/full", 2, "Standard output could not be"),
    ("{} >&-", 0, ""), ("{} >&- 2>&- <&-", 0, ""), ("{} > /dev/full 2>&1", 2, ""), ("{} 2> /dev/full", 0, ""),
    ("mkdir x && cd x && rmdir ../x && {}", 2, "The working folder is gone"),
    ("ulimit -v 2500000; {}", 2, "2.4 GiB of addresses")])
def test_where_output_leads_stops_no_work(command, code, told, tmp_path):
    if "/dev/full" in command and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    found = run("text", tmp_path, command)
    assert (found.returncode, b"Traceback" in found.stderr) == (code, False), found.stderr
    assert told in found.stderr.decode()
    assert (tmp_path / "written").exists() == ("ulimit" not in command and "rmdir" not in command)


@pytest.mark.parametrize("error, known", [
    (MemoryError(), True), (OSError(12, "Cannot allocate memory"), True), (ImportError("std::bad_alloc"), True),
    (ImportError("x.so: failed to map segment from shared object"), True),
    (RuntimeError("can't start new thread"), True),
    (OSError(2, "No such file"), False),
    (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), True),
    (UnicodeEncodeError("gbk", "a\udca1", 1, 2, "illegal"), True), (UnicodeEncodeError("gbk", "ê", 0, 1, "x"), False),
    (RuntimeError("shapes differ"), False), (ImportError("No module x"), False)])
def test_troubles_of_the_machine_are_told_and_nothing_else(error, known):
    assert (machine.machine_error(error) is not None) == known


@pytest.mark.parametrize("text, shown", [
    ("[red]a[/red] [/x] :smile:", "[red]a[/red] [/x] :smile:"), ("\x1b[2J\x1b]0;t\x07", "\\x1b[2J\\x1b]0;t\\x07"),
    ("a\u202eb\u2066c", "a\\u202eb\\u2066c"), ("\x9b31m\x00\r\x7f", "\\x9b31m\\x00\\r\\x7f"), ("北京\tµ", "北京\tµ")])
def test_names_in_files_change_nothing_on_a_terminal(text, shown, monkeypatch):
    """Markup, escape sequences, letters that turn the line round: in a line, an error and a cell of a table."""
    from rich.table import Table

    told = io.StringIO()
    for stream in (console.OUT, console.ERR):
        monkeypatch.setattr(stream, "_file", told)
    console.say(text)
    console.error(text)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.OUT.print(table)
    lines = told.getvalue().expandtabs().split("\n")
    assert lines[:2] == [shown.expandtabs(), f"Error: {shown}".expandtabs()] or "\t" in shown
    assert sum(shown in line for line in lines) == 5 or "\t" in shown


def test_a_sentence_of_a_list_is_one_line(capsys):
    console.some("skipped", ["a\nError: forged"])
    assert capsys.readouterr().out == "  skipped: a Error: forged\n"


def test_a_handler_of_what_is_no_encoding_passes_the_error_on():
    with pytest.raises(UnicodeDecodeError):
        streams.in_plain_letters(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler")
def test_netcdf_is_written_and_read_where_the_file_system_has_no_locks(tmp_path):
    """HDF5's own locks are off: it takes ENOLCK for a missing permission."""
    (tmp_path / "no.c").write_text("#include <errno.h>\nint flock(int f, int o) { errno = ENOLCK; return -1; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "no.so", "no.c"], cwd=tmp_path, check=True)
    code = ("import aqreanalysis, netCDF4\nwith netCDF4.Dataset('a.nc', 'w') as file:\n    file.title = 'there'\n"
            "print(netCDF4.Dataset('a.nc').title)")
    environment = {key: value for key, value in os.environ.items() if key != "HDF5_USE_FILE_LOCKING"}
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                           env=environment | {"LD_PRELOAD": str(tmp_path / "no.so")})
    assert found.stdout == "there\n", found.stderr
