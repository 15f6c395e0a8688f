"""Run one function on many jobs: in this process, in local processes, or on a Dask cluster.

Every job computes with one thread, wherever it runs: sums in another order give other last bits, and
a product is to have the same bytes however many workers made it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from aqreanalysis.errors import UserError

# Of worker processes. One thread each; and arrays of more than 2 MiB go back to the system when they are
# freed instead of being kept by glibc (with four workers the peak fell from 3.6 to 3.3 GiB).
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                      "MALLOC_MMAP_THRESHOLD_": str(2 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(function: Callable, jobs: Iterable, workers: int = 1, scheduler: str | None = None) -> Iterator:
    """Results of `function(job)` as they are done, in any order. The first error ends the run.

    `workers` local processes (1: this one), or `scheduler`, the address of a running Dask cluster
    whose workers have this package and see the same files.
    """
    jobs = list(jobs)
    if scheduler:
        yield from _on_dask(function, jobs, scheduler)
    elif workers <= 1 or len(jobs) <= 1:
        yield from (single_threaded(function, job) for job in jobs)
    else:
        yield from _in_processes(function, jobs, min(workers, len(jobs)))


def single_threaded(function: Callable, job):
    """`function(job)` with one thread of torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(job)
    finally:
        torch.set_num_threads(before)


def _in_processes(function: Callable, jobs: list, workers: int) -> Iterator:
    """Spawned processes: a fork of a process with torch's and HDF5's threads may hang."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker)
    try:
        futures = [pool.submit(single_threaded, function, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        _end(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _prepare_worker() -> None:
    """Ctrl-C reaches the whole group: the parent alone decides what follows. And a worker ends with its parent,
    also with one that was killed and could not say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _end(pool: ProcessPoolExecutor) -> None:
    """Ask the workers to stop; what they were writing is removed as they end (output.HourlyFile)."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


def _on_dask(function: Callable, jobs: list, address: str) -> Iterator:
    from dask.distributed import Client
    from dask.distributed import as_completed as dask_as_completed

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"No Dask scheduler answers at {address} ({error}).",
                        "--scheduler is the address of a running scheduler, tcp://HOST:PORT.",
                        "Start one with `dask scheduler`, or use --workers N.") from error
    with client:
        futures = [client.submit(single_threaded, function, job, pure=False) for job in jobs]
        for future in dask_as_completed(futures, loop=client.loop):
            yield future.result()
