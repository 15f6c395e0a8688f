"""Our resuming download against pooch, on files of a local server (tests/fetch_server.py).

    python benchmarks/download.py [--megabytes 40] [--files 200]

Rows: a connection that is cut half way; a process that is killed half way, and run again; a page of HTML that comes
with status 200 instead of the file; a file that the server does not have at first (404); many small files. For each
tool the bytes that the server sent, the requests, the connections and the time. pooch is asked as its documentation
says: a registry without hashes (the network publishes none) and four retries.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pooch
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from fetch_server import serving

from aqreanalysis.errors import BadFile
from aqreanalysis.observations.download.transfer import (
    Failed,
    Missing,
    RetryPolicy,
    download_file,
    opened_session,
)

PAUSE = 0.0005   # seconds after each 64 kB of a large file
POLICY = RetryPolicy(pause=0.0, attempts=5, backoff=1.0, timeout=10.0)
TOOLS = ("ours", "pooch")
SMALL_BYTES = 20_000


def check_text(part: Path) -> None:
    """What our fetch asks of the reader of the layout: here, that the file is not a page of HTML."""
    with part.open("rb") as stream:
        if stream.read(100).lstrip()[:1] == b"<":
            raise BadFile("an HTML page")


def get(tool: str, base: str, names: list[str], folder: Path) -> str:
    """Fetch files of a server into a folder; what it says of the last one that failed."""
    error = ""
    if tool == "ours":
        with opened_session(POLICY) as session:
            for name in names:
                try:
                    download_file(session, POLICY, f"{base}/{name}", folder / name, check_text)
                except (Missing, Failed) as problem:
                    error = f"{type(problem).__name__} {problem}".strip()
        return error
    pooch.get_logger().setLevel("ERROR")
    store = pooch.create(path=folder, base_url=f"{base}/", registry=dict.fromkeys(names), retry_if_failed=4)
    for name in names:
        try:
            store.fetch(name)
        except (requests.RequestException, ValueError) as problem:
            error = f"{type(problem).__name__} {problem}"[:40]
    return error


def cut(tool: str, mirror, folder: Path) -> str:
    """The server closes the connection when half is sent."""
    mirror.plans["/file"] = [("cut", len(mirror.files["/file"]) // 2)]
    return get(tool, mirror.url, ["file"], folder)


def killed(tool: str, mirror, folder: Path) -> str:
    """A download in a process of its own is killed when half is sent, and run again."""
    command = [sys.executable, __file__, "--child", tool, mirror.url, "file", str(folder)]
    child = subprocess.Popen(command)
    while mirror.sent < len(mirror.files["/file"]) // 2:
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    subprocess.run(command, check=True)
    return ""


def page(tool: str, mirror, folder: Path) -> str:
    """The server answers with a page of HTML and status 200."""
    mirror.plans["/file"] = [("html",)]
    return get(tool, mirror.url, ["file"], folder)


def appears_later(tool: str, mirror, folder: Path) -> str:
    """The file is not at the server, and is there when it is requested again."""
    content, began = mirror.files.pop("/file"), time.monotonic()
    error = get(tool, mirror.url, ["file"], folder)
    told = f"{error} after {time.monotonic() - began:.1f} s and {len(mirror.log)} requests; then"
    mirror.files["/file"] = content
    return told + get(tool, mirror.url, ["file"], folder)


def small_files(tool: str, mirror, folder: Path) -> str:
    """As many files as the server has besides the large one."""
    return get(tool, mirror.url, [path[1:] for path in mirror.files if path != "/file"], folder)


CASES = {"cut half way": cut, "killed half way": killed, "HTML with status 200": page,
         "404, later there": appears_later, "small files": small_files}


def measure(megabytes: int, count: int) -> None:
    """Every case with both tools."""
    print("| case | tool | MB sent | requests | connections | s | outcome | files left |")
    print("|---|---|---|---|---|---|---|---|")
    large = {"/file": b"," + os.urandom(megabytes * 1_000_000 - 1)}
    small = {f"/{number}.csv": b"," + os.urandom(SMALL_BYTES - 1) for number in range(count)}
    for case, run in CASES.items():
        for tool in TOOLS:
            with serving() as mirror, tempfile.TemporaryDirectory() as place:
                folder, began = Path(place), time.monotonic()
                mirror.files, mirror.pause = large | small, PAUSE if run is not small_files else 0.0
                outcome = run(tool, mirror, folder)
                seconds = time.monotonic() - began
                there = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                wrong = [name for name, content in there.items() if mirror.files.get(f"/{name}") != content]
                outcome += f" {len(there) - len(wrong)} whole" + (f", {len(wrong)} wrong or partial" if wrong else "")
                print(f"| {case} | {tool} | {mirror.sent / 1e6:.1f} | {len(mirror.log)} | {mirror.connections} | "
                      f"{seconds:.1f} | {outcome} | {len(there)} |", flush=True)


def main() -> None:
    """Parse the command line."""
    if sys.argv[1:2] == ["--child"]:
        tool, base, name, folder = sys.argv[2:]
        get(tool, base, [name], Path(folder))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--files", type=int, default=200)
    given = parser.parse_args()
    measure(given.megabytes, given.files)


if __name__ == "__main__":
    main()
