"""Ways to run jobs in two local processes, measured: our own pool, concurrent.futures, loky and Dask's LocalCluster.

    python benchmarks/processes.py [--times 3] [--only own,futures,loky,dask]

Each trial is a fresh process that runs jobs which import what a month of a product needs. Then something happens to
it: a worker is killed with -9 while it works or while it waits, the parent is killed, or Ctrl-C goes to the whole
group.
Prints a table with medians. Linux only: memory and process trees are read from /proc. Needs `loky`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aqreanalysis import workers

WORKERS = 2
LONG = 60.0  # seconds of a job that is not meant to end
PATIENCE_S = 90.0


# --- what is measured: run(function, jobs) gives results as they are done --------------------------

def own(function: Callable, jobs: list) -> Iterator:
    return workers.run_jobs(function, jobs, WORKERS)


def futures(function: Callable, jobs: list) -> Iterator:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(workers.IMPORTED))
    with ProcessPoolExecutor(WORKERS, context) as pool:
        for future in as_completed([pool.submit(function, job) for job in jobs]):
            yield future.result()


def loky(function: Callable, jobs: list) -> Iterator:
    from concurrent.futures import as_completed

    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS, env=workers.WORKER_ENVIRONMENT) as pool:
        for future in as_completed([pool.submit(function, job) for job in jobs]):
            yield future.result()


def dask(function: Callable, jobs: list) -> Iterator:
    from dask.distributed import Client, LocalCluster, as_completed

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, \
            Client(cluster) as client:
        for future in as_completed(client.map(function, jobs, pure=False)):
            yield future.result()


WAYS = {"own": own, "futures": futures, "loky": loky, "dask": dask}


def job(given: tuple[str, int, float]) -> int:
    """Import what a month needs, leave word of the process, and wait for some seconds."""
    folder, number, seconds = given
    for name in workers.IMPORTED:
        importlib.import_module(name)
    Path(folder, f"{number}.{os.getpid()}").touch()
    time.sleep(seconds)
    return number


def child(way: str, folder: str, seconds: list[float]) -> None:
    """One trial: prints the number and the moment of each result."""
    jobs = [(folder, number, of_job) for number, of_job in enumerate(seconds)]
    print("begin", time.monotonic(), flush=True)
    for number in WAYS[way](job, jobs):
        print(number, time.monotonic(), flush=True)


# --- trials ----------------------------------------------------------------------------------------

@dataclass
class Trial:
    """A process with its children, all in one session."""

    way: str
    folder: Path
    seconds: list[float]

    def __post_init__(self):
        command = [sys.executable, __file__, "--child", self.way, str(self.folder), *map(str, self.seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def begun(self) -> list[tuple[int, int]]:
        """(job, process) of each start of a job."""
        return [(int(job), int(pid)) for job, pid in (path.name.split(".") for path in self.folder.iterdir())]

    def wait_for_starts(self, count: int) -> list[tuple[int, int]]:
        until(lambda: len(self.begun()) >= count)
        return self.begun()

    def finish(self) -> tuple[int, list[list[str]], str]:
        """Exit code, lines and errors."""
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, [line.split() for line in out.splitlines()], errors

    def members(self) -> list[int]:
        """All living processes of the session."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(path.parent.name))
        return found

    def seconds_until_gone(self) -> float:
        """Until no process of the session is left; those that stay are killed."""
        began = time.monotonic()
        try:
            until(lambda: not self.members(), LONG / 2)
        except TimeoutError:
            for pid in self.members():
                os.kill(pid, signal.SIGKILL)
            return float("inf")
        return time.monotonic() - began


def until(condition: Callable[[], object], patience: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def pss_mib(pid: int) -> float:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("Pss:"))


def start(trial: Trial) -> dict[str, float]:
    _, lines, _ = trial.finish()
    begin, first, second = (float(moment) for _, moment in lines)
    return {"first result, s": first - begin, "both workers, s": second - begin}


def memory(trial: Trial) -> dict[str, float]:
    trial.wait_for_starts(WORKERS)
    time.sleep(0.5)
    sizes = [pss_mib(pid) for pid in trial.members()]
    trial.finish()
    return {"PSS, MiB": sum(sizes), "processes": len(sizes)}


def killed_at_work(trial: Trial) -> dict[str, float]:
    began = trial.wait_for_starts(WORKERS)
    time.sleep(1)
    os.kill(began[0][1], signal.SIGKILL)
    return _ended(trial)


def killed_while_idle(trial: Trial) -> dict[str, float]:
    began = dict(trial.wait_for_starts(WORKERS))
    time.sleep(1)
    os.kill(began[0], signal.SIGKILL)
    return _ended(trial)


def _ended(trial: Trial) -> dict[str, float]:
    code, lines, _ = trial.finish()
    return {"exit": code, "results": len(lines) - 1, "jobs started": len(trial.begun()),
            "seconds": float(lines[-1][1]) - float(lines[0][1])}


def parent_killed(trial: Trial) -> dict[str, float]:
    trial.wait_for_starts(WORKERS)
    trial.process.kill()
    trial.process.wait()
    return {"workers gone after, s": trial.seconds_until_gone()}


def interrupted(trial: Trial) -> dict[str, float]:
    trial.wait_for_starts(WORKERS)
    began = time.monotonic()
    os.killpg(trial.process.pid, signal.SIGINT)
    gone = trial.seconds_until_gone()
    code, _, errors = trial.finish()
    return {"exit": code, "all gone after, s": min(time.monotonic() - began, gone),
            "lines on stderr": len(errors.splitlines())}


TRIALS: dict[str, tuple[Callable[[Trial], dict[str, float]], list[float]]] = {
    "start": (start, [0.0, 0.0]), "memory": (memory, [2.0, 2.0]), "killed at work": (killed_at_work, [3.0] * 4),
    "killed while idle": (killed_while_idle, [0.0, 4.0]), "parent killed": (parent_killed, [LONG, LONG]),
    "Ctrl-C": (interrupted, [LONG, LONG])}


def measure(way: str, name: str, times: int) -> dict[str, float]:
    """Medians of one kind of trial."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(way, Path(folder), TRIALS[name][1])
            found.append(TRIALS[name][0](trial))
            trial.seconds_until_gone()
    return {key: statistics.median(of[key] for of in found) for key in found[0]}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], [float(text) for text in sys.argv[4:]])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", default=",".join(WAYS))
    options = parser.parse_args()
    ways = options.only.split(",")
    print(f"| trial | {' | '.join(ways)} |\n|{'---|' * (len(ways) + 1)}")
    for name in TRIALS:
        found = [measure(way, name, options.times) for way in ways]
        for key in found[0]:
            print(f"| {name}: {key} | {' | '.join(f'{of[key]:.4g}' for of in found)} |", flush=True)


if __name__ == "__main__":
    main()
