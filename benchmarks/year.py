"""Wall time, peak memory and file sizes of whole builds, as a user runs them.

    python benchmarks/year.py --observations PATH [--workers N] [--grid 0.1deg] [--only month] [--keep DIR]

Builds a month (January) and the year 2019 in fresh processes, each with its own validation. Memory is the sum over the
build's processes of their proportional set size (what is shared is counted once), sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids, found = [pid], []
    while pids:
        current = pids.pop()
        found.append(current)
        try:
            for task in Path(f"/proc/{current}/task").iterdir():
                pids.extend(int(child) for child in (task / "children").read_text().split())
        except OSError:
            continue
    return found


def memory_of(pid: int) -> float:
    """Proportional set size of one process in MiB; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def watched(command: list[str]) -> tuple[int, float, float]:
    """Exit code, wall time in s and peak memory in MiB of a command and its descendants."""
    began, peak = time.monotonic(), 0.0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        peak = max(peak, sum(memory_of(member) for member in tree(running.pid)))
        time.sleep(0.1)
    return running.returncode, time.monotonic() - began, peak


PERIODS = {"month": ["--start", "2019-01-01", "--end", "2019-01-31"], "year": ["--year", "2019"]}


def measure(name: str, options: argparse.Namespace, out: Path) -> None:
    """Run one build and print a row."""
    command = [sys.executable, "-m", "aqreanalysis", "build", *PERIODS[name], "--grid", options.grid,
               "--observations", options.observations, "--out", str(out), "--workers", options.workers]
    code, wall, peak = watched(command)
    hourly = sum(f.stat().st_size for f in out.glob("*hourly*.nc")) / 1e6
    daily = sum(f.stat().st_size for f in out.glob("*daily*.nc")) / 1e6
    seconds = json.loads((out / "run.json").read_text())["validation"]["seconds"] if code == 0 else float("nan")
    print(f"{name:6} exit {code}  wall {wall:6.1f} s, own validation {seconds:6.1f} s  peak {peak:6.0f} MiB  "
          f"hourly {hourly:6.1f} MB  daily {daily:5.1f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--workers", default="4")
    parser.add_argument("--grid", default="0.1deg")
    parser.add_argument("--only", choices=PERIODS)
    parser.add_argument("--keep", help="folder that keeps the products")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(options.keep or scratch)
        for name in [options.only] if options.only else PERIODS:
            measure(name, options, root / name)


if __name__ == "__main__":
    main()
