"""Run one function on many jobs: in this process, in local processes, or on a Dask cluster.

Every job computes with one thread, wherever it runs: sums in another order give other last bits, and
a product is to have the same bytes however many workers made it. A worker that is lost costs the jobs that it
had begun, which others take over.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from threadpoolctl import threadpool_limits

from aqreanalysis.errors import UserError

# Of worker processes: one thread each.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Of glibc (mallopt(3)): arrays over 16 MiB go back to the system when they are freed, so that a process does not stay
# at its peak; smaller ones are kept. To ask the system for what a network needs thousands of times costs a third of
# all time, and glibc's own way and Dask's (MALLOC_TRIM_THRESHOLD_=65536) do.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_MIB, TRIMMED_MIB = 16, 64
# What workers import, once for all of them: while the parent still checks the input, a server imports it that they
# are then forked from (Python's own way on Linux from 3.14 on). It computes nothing, so it has no threads.
IMPORTED = ("torch", "aqreanalysis.product.month", "aqreanalysis.models.aqnet.network", "aqreanalysis.product.report",
            "cartopy.mpl.geoaxes", "matplotlib.backends.backend_agg", "dask.array")
GRACE_S = 10.0  # seconds that a worker has to end
LOSSES = 3  # of workers without a job done between them; then there is a reason that lasts

Tell = Callable[[str], None]
_one_job = threading.Lock()  # of this process: neither HDF5 nor torch's number of threads can be shared by two
_stopping = threading.Event()
_shared = None               # of this worker process: what all jobs have in common


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(function: Callable, jobs: Iterable, workers: int = 1, scheduler: str | None = None, shared=None,
             tell: Tell = lambda text: None) -> Iterator:
    """Results of `function(job)` as they are done, in any order. The first error ends the run.

    Parameters
    ----------
    workers : local processes; 1 is this one.
    scheduler : instead, the address of a running Dask cluster whose workers have this package and see the same files.
    shared : what all jobs have in common, sent to each worker once; then it is `function(shared, job)`.
    tell : is told in a sentence of each worker that is lost.

    Raises
    ------
    UserError : for a scheduler that does not answer or goes away, and for workers that are lost again and again.
    """
    jobs = list(jobs)
    if scheduler:
        results = _on_dask(function, jobs, scheduler, shared, tell)
    elif workers <= 1 or len(jobs) <= 1:
        results = (single_threaded(_with(function, shared), job) for job in jobs)
    else:
        results = _in_processes(function, jobs, min(workers, len(jobs)), shared, tell)
    with contextlib.closing(results):
        for result in results:
            yield result
            if _stopping.is_set():
                raise KeyboardInterrupt


def stop_running() -> None:
    """Have `run_jobs` end after the result in hand. A KeyboardInterrupt alone can be lost: Python ignores what is
    raised in a destructor or in a callback from C."""
    _stopping.set()


def single_threaded(function: Callable, *arguments):
    """`function(*arguments)` with one thread of torch and of numpy's BLAS, and alone in this process."""
    import torch

    _keep_memory()
    with _one_job, threadpool_limits(limits=1, user_api="blas"):
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*arguments)
        finally:
            torch.set_num_threads(before)


@functools.cache
def _keep_memory() -> None:
    """Have freed arrays of middling size kept by this process; where the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_MIB << 20), mallopt(M_TRIM_THRESHOLD, TRIMMED_MIB << 20)


def _with(function: Callable, shared) -> Callable:
    return function if shared is None else partial(function, shared)


def warm_up(workers: int) -> None:
    """Begin to import what so many workers will need, and return at once; `run_jobs` does it where this was not."""
    if workers > 1:
        _context()


@functools.cache
def _context():
    """How worker processes start. Not by a fork of this one: with torch's and HDF5's threads that may hang."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        # It listens at a file in TMPDIR, whose path may be too long for a socket.
        with _environment_of_workers(), contextlib.suppress(OSError):
            forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


@contextlib.contextmanager
def _environment_of_workers() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _in_processes(function: Callable, jobs: list, workers: int, shared, tell: Tell) -> Iterator:
    left, losses = dict(enumerate(jobs)), 0
    with _environment_of_workers():
        while left:
            for number, result in _one_pool(function, left, min(workers, len(left)), shared):
                del left[number]
                losses = 0
                yield result
            if left:
                losses, workers = losses + 1, max(workers - 1, 1)
                if losses == LOSSES:
                    raise UserError(f"Worker processes were killed {LOSSES} times with no job done between.",
                                    "Most often the system's memory did not last.",
                                    "Give fewer --workers or a coarser grid; the same command goes on.")
                tell(f"a worker process was killed, perhaps for want of memory; {len(left)} jobs are left and go on "
                     f"with {workers}")
                time.sleep(0.2)  # until a server that was killed is seen to be gone


def _one_pool(function: Callable, jobs: dict, workers: int, shared) -> Iterator:
    """(number, result) of each job that is done before a worker is lost; all are, if none is."""
    pool = ProcessPoolExecutor(workers, _context(), initializer=_prepare_worker, initargs=(shared,))
    try:
        futures = {}
        with contextlib.suppress(BrokenProcessPool, ConnectionError, EOFError):  # they or their server were killed
            for number, job in jobs.items():
                futures[pool.submit(_in_worker, function, job)] = number
        for future in as_completed(futures):
            if not isinstance(future.exception(), BrokenProcessPool):
                yield futures[future], future.result()
    except BaseException:
        _end(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_worker(function: Callable, job):
    """A job in a worker. One that is told to stop leaves nothing half written and ends at once: the pool would take
    its leaving for a result, and it would then wait for the next job, for ever if one that died held the lock."""
    try:
        return single_threaded(_with(function, _shared), job)
    except SystemExit:
        os._exit(1)


def _prepare_worker(shared) -> None:
    """Ctrl-C reaches the whole group: the parent alone decides what follows, and says it by SIGTERM. And a worker
    ends with its parent, also with one that was killed and could not say so."""
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _leave(*_) -> None:
    last = threading.Timer(GRACE_S, os._exit, [1])  # should the exception be lost
    last.daemon = True
    last.start()
    raise SystemExit(1)  # through the `with` blocks, which remove what is half written


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _end(pool: ProcessPoolExecutor) -> None:
    """Ask the workers to stop; what they were writing is removed as they end (output.steps.Steps)."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


def _on_dask(function: Callable, jobs: list, address: str, shared, tell: Tell) -> Iterator:
    from dask.distributed import KilledWorker
    from dask.distributed import as_completed as dask_as_completed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    client = _client(address)
    with client, _told_by_us():
        client.subscribe_topic("all", partial(_on_event, tell))
        # A task and not scattered data, which is gone for good with the workers that held it: a task is done again.
        common = client.submit(_itself, shared, pure=False)
        futures = [client.submit(_in_task, function, common, job, pure=False) for job in jobs]
        try:
            for future in dask_as_completed(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise UserError(f"Workers of {address} died at one job again and again ({error}).",
                            "Most often their memory did not last; the logs of the workers tell.",
                            "Give workers more memory or a coarser grid; the same command goes on.") from error
        except (FutureCancelledError, CommClosedError, CancelledError) as error:
            raise UserError(f"The Dask scheduler at {address} has gone away ({error}).",
                            "It has to run until all jobs are done.",
                            "Start it and its workers again; the same command goes on.") from error


def _client(address: str):
    """A client of the scheduler at an address; a UserError where none answers."""
    from dask.distributed import Client

    try:
        return Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        told = str(error)
    # What is left of the client closes itself when it is collected; while the next client is made, that waits for ever.
    gc.collect()
    raise UserError(f"No Dask scheduler answers at {address} ({told}).",
                    "--scheduler is the address of a running scheduler, tcp://HOST:PORT.",
                    "Start one with `dask scheduler`, or use --workers N.")


@contextlib.contextmanager
def _told_by_us() -> Iterator[None]:
    """Without tracebacks that Dask logs when a scheduler or worker goes away: `tell` and UserError say it."""
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


def _itself(shared):
    return shared


def _in_task(function: Callable, shared, job):
    return single_threaded(_with(function, shared), job)


def _on_event(tell: Tell, event) -> None:
    """Tell of a worker that is gone; its jobs go on elsewhere by themselves."""
    _, content = event
    if isinstance(content, dict) and content.get("action") == "remove-worker" and content.get("processing-tasks"):
        tell(f"worker {content.get('worker') or content.get('address')} is gone; what it had begun goes on elsewhere")
