"""What a build survives: kills at random moments, signals, full and read-only disks, damage, two at once.

    python benchmarks/survival.py [--times 100] [--only kills,signals,...] [--write docs/survival.md] [--keep DIR]

A small product (a tenth of the simulated network's stations, four months, 1 degree) is built once without disturbance,
serially, in NetCDF and in Zarr. It is then built repeatedly as real processes: serially, with two worker processes, and
on a real Dask scheduler with two workers. Each build is disturbed; the same command is run again, and every file is
compared with the reference byte for byte (run.json without its times of the clock). Before that, any file that already
has its final name must be identical to the reference: a partial file is never taken for a complete one.

A full and a read-only disk are small file systems in memory, which needs root; without it a limit on the size of files
and another user's folder stand for them. Exits with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PERIOD = ["--start", "2016-01-25", "--end", "2016-04-05", "--grid", "1deg"]
CLOCK = ("seconds", "versions")   # keys of run.json that tell of the run and not of the product
HOWS, FORMATS = ("serial", "workers", "dask"), ("netcdf", "zarr")
PATIENCE = 900
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}


@dataclass
class Row:
    """A line of the table: what was done, how often, how it ended and what was lost."""

    done: str
    times: int = 0
    codes: Counter = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """What all trials share."""

    root: Path
    observations: Path
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    cluster: Cluster | None = None
    number: int = 0

    def fresh(self) -> Path:
        self.number += 1
        return self.product(f"trial{self.number}")

    def reference(self, form: str) -> Path:
        return self.product(f"reference-{form}")

    def product(self, where: str) -> Path:
        """A folder for a product; all have the same name, which stands in their reports."""
        place = self.root / where
        place.mkdir(exist_ok=True)
        return place / "product"

    def command(self, how: str, form: str, out: Path) -> list[str]:
        more = {"serial": ["--workers", "1"], "workers": ["--workers", "2"],
                "dask": ["--scheduler", self.cluster.address if self.cluster else ""]}[how]
        return [sys.executable, "-m", "aqreanalysis", "build", *PERIOD, "--observations", str(self.observations),
                "--out", str(out), "--format", form, *more]

    def note(self, what: str, code, lost: list[str]) -> None:
        row = self.rows.setdefault(what, Row(what))
        row.times += 1
        row.codes[code] += 1
        row.lost += lost
        print(f"{what}: exit {code}{'; LOST ' + '; '.join(lost) if lost else ''}", flush=True)


class Cluster:
    """A Dask scheduler and two workers of one thread, each a process of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.start()

    def start(self) -> None:
        place = self.folder / "scheduler.json"
        place.unlink(missing_ok=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder,
                 "start_new_session": True}
        common = ["--scheduler-file", str(place), "--no-dashboard"]
        self.scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", "--host",
                                           "127.0.0.1", "--port", "0", *common], **quiet)
        wait_for(place.exists)
        self.address = json.loads(place.read_text())["address"]
        self.nannies = [subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1",
                                          "--death-timeout", "20", *common], **quiet) for _ in range(2)]

    def workers(self) -> list[int]:
        return [child for nanny in self.nannies for child in children(nanny.pid) if b"spawn_main" in words(child)]

    def stop(self) -> None:
        for process in (*self.nannies, self.scheduler):
            for member in (*children(process.pid), process.pid):
                kill(member)
            process.wait()

    def mended(self) -> None:
        if self.scheduler.poll() is not None or any(nanny.poll() is not None for nanny in self.nannies):
            self.stop()
            self.start()


def wait_for(condition, patience: float = 60) -> None:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]
    except OSError:
        return []


def words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pid: int, how=signal.SIGKILL) -> bool:
    try:
        os.kill(pid, how)
        return True
    except ProcessLookupError:
        return False


# --- comparing -------------------------------------------------------------------------------------

def files(folder: Path) -> dict[str, bytes]:
    """Every file with a final name, in stores too; of run.json what is of the product."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[str(name)] = path.read_bytes()
    if "run.json" in found:
        found["run.json"] = json.dumps(without_clock(json.loads(found["run.json"])), sort_keys=True).encode()
    return found


def without_clock(content):
    if isinstance(content, dict):
        return {key: without_clock(value) for key, value in content.items() if key not in CLOCK}
    return content


def partial(folder: Path, reference: Path) -> list[str]:
    """Files with a final name that are not the reference's, when a build has been stopped."""
    wanted = files(reference)
    return [f"{name} was partial" for name, content in files(folder).items()
            if name not in ("run.json", "report.html") and wanted.get(name) != content]


def differing(folder: Path, reference: Path) -> list[str]:
    """What is not the reference's in a finished product, hidden files included."""
    here, there = files(folder), files(reference)
    wrong = [f"{name} differs" for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    return wrong + [f"{path.name} was left" for path in folder.iterdir() if path.name.startswith(".")]


def finished_months(folder: Path) -> dict[Path, int]:
    """Files of months that run.json has as done, with the times at which they were written."""
    try:
        months = json.loads((folder / "run.json").read_text())["months"]
    except OSError:
        return {}
    return {folder / name: (folder / name).stat().st_mtime_ns for facts in months.values() for name in facts["files"]
            if name.endswith(".nc")}


# --- trials ----------------------------------------------------------------------------------------

def run(command: list[str], **more) -> subprocess.CompletedProcess:
    return subprocess.run(command, timeout=PATIENCE, **QUIET, **more)


def go_on(bench: Bench, how: str, form: str, out: Path) -> list[str]:
    """Give the same command again; what is wrong then."""
    kept = finished_months(out) if out.exists() else {}
    done = run(bench.command(how, form, out))
    again = [f"{path.name} was made again" for path, when in kept.items() if path.stat().st_mtime_ns != when]
    failed = [f"going on ended with {done.returncode}: {done.stderr[-300:]}"] if done.returncode else []
    wrong = failed + again + differing(out, bench.reference(form))
    shutil.rmtree(out)
    return wrong


def references(bench: Bench) -> None:
    """Products that nothing disturbed, and how long builds take."""
    for form in FORMATS:
        began = time.monotonic()
        done = run(bench.command("serial", form, bench.reference(form)))
        bench.seconds["serial"] = time.monotonic() - began
        if done.returncode:
            raise SystemExit(f"the reference could not be built: {done.stderr}")
    for how in HOWS[1:]:
        out, began = bench.fresh(), time.monotonic()
        done = run(bench.command(how, "netcdf", out))
        bench.seconds[how] = time.monotonic() - began
        bench.note(f"undisturbed, {how}", done.returncode, differing(out, bench.reference("netcdf")))
        shutil.rmtree(out)


def running(bench: Bench, how: str, form: str, rng: random.Random, **more) -> tuple[subprocess.Popen, Path]:
    """A build at a random moment of its life; one that has ended before that moment is not counted."""
    while True:
        out, began = bench.fresh(), time.monotonic()
        building = subprocess.Popen(bench.command(how, form, out), **QUIET, **more)
        try:
            building.wait(rng.uniform(0.2, bench.seconds[how]))
        except subprocess.TimeoutExpired:
            return building, out
        bench.seconds[how] = time.monotonic() - began  # the machine has become quicker
        shutil.rmtree(out)


def kills(bench: Bench, times: int, rng: random.Random) -> None:
    """kill -9 of the build, of a worker, of the server that starts workers, of the scheduler, at random moments."""
    victims = [("serial", "build"), ("workers", "build"), ("workers", "worker"), ("workers", "server"),
               ("dask", "build"), ("dask", "worker"), ("dask", "scheduler")]
    for number in range(times):
        how, victim = victims[number % len(victims)]
        form = FORMATS[number // len(victims) % 2]
        building, out = running(bench, how, form, rng)
        servers = [child for child in children(building.pid) if b"forkserver" in words(child)]
        at_work = bench.cluster.workers() if how == "dask" else [
            worker for server in servers for worker in children(server)]
        for pid in {"build": [building.pid], "scheduler": [bench.cluster.scheduler.pid], "server": servers,
                    "worker": rng.sample(at_work, min(1, len(at_work)))}[victim]:
            kill(pid)
        _, told = building.communicate(timeout=PATIENCE)
        wanted = {"build": (-9, 0), "worker": (0,), "server": (0,), "scheduler": (0, 2)}[victim]
        wrong = [] if building.returncode in wanted else [f"exit {building.returncode}: {told[-300:]}"]
        wrong += partial(out, bench.reference(form)) if out.exists() else []
        bench.cluster.mended()
        bench.note(f"kill -9 of the {victim}, {how}, {form}", building.returncode, wrong + go_on(bench, how, form, out))


def signals(bench: Bench, times: int, rng: random.Random) -> None:
    """Ctrl-C (to the whole group, as a terminal sends it) and SIGTERM (to the build alone)."""
    for number in range(times):
        how, form = HOWS[number % 3], FORMATS[number // 3 % 2]
        for what in (signal.SIGINT, signal.SIGTERM):
            building, out = running(bench, how, form, rng, start_new_session=True)
            wait_for(lambda: building.poll() is not None or (out / "run.json").exists())  # noqa: B023
            (os.killpg if what == signal.SIGINT else os.kill)(building.pid, what)
            _, told = building.communicate(timeout=PATIENCE)
            wrong = [] if building.returncode in (0, 130) else [f"exit {building.returncode}: {told[-300:]}"]
            wrong += partial(out, bench.reference(form)) if out.exists() else []
            wrong += [f"{path.name} was left" for path in out.glob(".*.part-*")] if how != "dask" else []
            bench.note(f"{what.name}, {how}, {form}", building.returncode, wrong + go_on(bench, how, form, out))


def disks(bench: Bench, times: int, rng: random.Random) -> None:
    """A disk that is full at some byte, then has room; and a folder that can't be written."""
    for number in range(times):
        how, form = HOWS[number % 2], FORMATS[number // 2 % 2]
        whole = sum(len(content) for content in files(bench.reference(form)).values())
        out = bench.fresh()
        out.mkdir()
        size = int(rng.uniform(0.05, 0.9) * whole)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", out], **QUIET).returncode == 0
        limit = f"ulimit -f {max(size // 4096, 4)}; " if not mounted else ""
        trial = Path(out, "product")
        try:
            done = run(["bash", "-c", f'{limit}exec "$@"', "-", *bench.command(how, form, trial)])
            wrong = [] if done.returncode == 2 and "Traceback" not in done.stderr else [done.stderr[-300:]]
            wrong += partial(trial, bench.reference(form)) if trial.exists() else []
            if mounted:
                subprocess.run(["mount", "-o", f"remount,size={4 * whole + (64 << 20)}", out], check=True)
            bench.note(f"disk full ({'tmpfs' if mounted else 'limit'}), {how}, {form}", done.returncode,
                       wrong + go_on(bench, how, form, trial))
            if mounted:
                subprocess.run(["mount", "-o", "remount,ro", out], check=True)
                done = run(bench.command(how, form, trial))
                clean = done.returncode == 2 and "Traceback" not in done.stderr
                bench.note(f"read-only folder, {how}, {form}", done.returncode, [] if clean else [done.stderr[-300:]])
        finally:
            if mounted:
                subprocess.run(["umount", out], check=True)


def damage(bench: Bench, times: int, rng: random.Random) -> None:
    """A finished file is changed, cut or deleted: `describe --verify` names it, the same command makes it anew."""
    for number in range(times):
        form, kind = FORMATS[number % 2], ("changed", "cut", "deleted")[number // 2 % 3]
        out = bench.fresh()
        shutil.copytree(bench.reference(form), out)
        name = rng.choice([name for name in files(out) if name not in ("run.json", "report.html")])
        path = out / name
        content = bytearray(path.read_bytes())
        place = rng.randrange(len(content))
        if kind == "changed":
            content[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(content[:place] if kind == "cut" else content))
        if kind == "deleted":
            path.unlink()
        told = run([sys.executable, "-m", "aqreanalysis", "describe", "--verify", str(out)])
        named = name.split("/")[0] if not name.startswith("maps") else name
        wrong = [] if told.returncode == 2 and named in told.stderr else [f"{name} was not told: {told.stderr[-300:]}"]
        done = run(bench.command("serial", form, out))
        wrong += ([f"exit {done.returncode}: {done.stderr[-300:]}"] if done.returncode else [])
        bench.note(f"file {kind}, {form}", told.returncode, wrong + differing(out, bench.reference(form)))
        shutil.rmtree(out)


def twice(bench: Bench, times: int, rng: random.Random) -> None:
    """Two builds into one folder: the second is refused, the first ends well."""
    for number in range(times):
        how, form, out = HOWS[number % 3], FORMATS[number // 3 % 2], bench.fresh()
        first = subprocess.Popen(bench.command(how, form, out), **QUIET)
        wait_for((out / "run.json").exists)
        time.sleep(rng.uniform(0, 0.3 * bench.seconds[how]))
        second = run(bench.command("serial", form, out))
        _, told = first.communicate(timeout=PATIENCE)
        late = second.returncode == 0 and first.returncode == 0  # it asked when the first had ended
        refused = second.returncode == 2 and "Another build is writing" in second.stderr
        wrong = [] if refused or late else [f"the second: exit {second.returncode}: {second.stderr[-300:]}"]
        wrong += [f"the first: exit {first.returncode}: {told[-300:]}"] if first.returncode else []
        bench.note(f"two at once, {how}, {form}", second.returncode, wrong + differing(out, bench.reference(form)))
        shutil.rmtree(out)


def table(bench: Bench) -> str:
    """What was done, how often, how the disturbed build ended, and what was lost."""
    lines = ["| what was done | times | exit codes | lost |", "|---|---|---|---|"]
    for row in bench.rows.values():
        codes = ", ".join(f"{code} ({n})" if len(row.codes) > 1 else str(code) for code, n in sorted(row.codes.items()))
        lines.append(f"| {row.done} | {row.times} | {codes} | {'; '.join(row.lost) or 'nothing'} |")
    return "\n".join(lines) + "\n"


def page(bench: Bench) -> str:
    """docs/survival.md: what is done to builds, and the table."""
    _, command, how, *_ = __doc__.split("\n\n")
    trials = sum(row.times for row in bench.rows.values())
    lost = sum(bool(row.lost) for row in bench.rows.values())
    return (f"# Survival\n\n{command}\n\n{how}\n\n{trials} trials; in {lost} of the rows below was anything lost. "
            f"Exit codes are those of the disturbed builds, or of `describe --verify`.\n\n{table(bench)}")


def observations(folder: Path) -> Path:
    """A tenth of the twin's stations around the period, as a station archive."""
    import numpy as np
    import pyarrow.parquet as pq

    from aqreanalysis import time_axis
    from aqreanalysis.workflows.simulate import write_observations

    paths = write_observations(time_axis.parse_period(None, "2016-01-01", "2016-04-30"), folder, 0)
    for path in paths:
        rows = pq.read_table(path).to_pandas()
        keep = np.sort(rows.station_id.unique())[::10]
        rows[rows.station_id.isin(keep)].to_parquet(path)
    archive = folder.with_suffix(".nc")
    subprocess.run([sys.executable, "-m", "aqreanalysis", "ingest", str(folder), "--to", str(archive)], check=True,
                   stdout=subprocess.DEVNULL)
    return archive


PARTS = {"kills": kills, "signals": signals, "disks": disks, "damage": damage, "twice": twice}


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs and their children ignore it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="kills; of the others a sixth")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="file for the page with the table")
    parser.add_argument("--keep", type=Path, help="folder for the products, which stays")
    options = parser.parse_args()
    os.environ["AQREANALYSIS_DATA"] = os.devnull
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        bench = Bench(root, observations(root / "observations"))
        bench.cluster = Cluster(root)
        try:
            references(bench)
            for name in options.only.split(","):
                share = options.times if name == "kills" else max(options.times // 6, 1)
                PARTS[name](bench, share, random.Random(options.seed))
        finally:
            bench.cluster.stop()
            print(table(bench))
            if options.write:
                options.write.write_text(page(bench), encoding="utf-8")
    sys.exit(any(row.lost for row in bench.rows.values()))


if __name__ == "__main__":
    main()
