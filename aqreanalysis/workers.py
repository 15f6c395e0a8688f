"""Run one function on many jobs: in this process, in local processes, or on a Dask cluster.

Every job computes with one thread, wherever it runs: sums in another order have other last bits, and a product has the
same bytes however many workers made it. A worker that is lost costs the job that it had begun, which another one does.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from aqreanalysis.errors import UserError
from aqreanalysis.main_script import check_guard

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

    from distributed import Client

# Of worker processes: one thread each.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Of glibc (mallopt(3)): arrays over 16 MiB go back to the system when they are freed, so that a process does not stay
# at its peak; smaller ones are kept. To ask the system for what a network needs thousands of times costs a third of
# all time, and glibc's own way and Dask's (MALLOC_TRIM_THRESHOLD_=65536) do.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_MIB, TRIMMED_MIB = 16, 64
# What workers import, once for all of them: while the parent still checks the input, a server imports it that they
# are then forked from (Python's own way on Linux from 3.14 on). It computes nothing, so it has no threads.
IMPORTED = ("torch", "aqreanalysis.product.month", "aqreanalysis.product.validation",
            "aqreanalysis.models.aqnet.network", "aqreanalysis.product.report", "safetensors.torch",
            "cartopy.mpl.geoaxes", "matplotlib.backends.backend_agg", "dask.array", "distributed")
GRACE_S = 10.0   # seconds that a worker has to end
LOOK_S = 1.0     # seconds between two looks whether the run is to stop
START_ATTEMPTS, START_PAUSE_S = 25, 0.2  # until a server of workers that was killed is seen to be gone
# Where Dask logs what happens to a client.
DASK_LOGGERS = ("distributed.client", "distributed.core", "distributed.batched", "distributed.comm.tcp",
                "distributed.utils")
LOSSES = 3       # of workers without a job done between them; then there is a reason that lasts

Message = Callable[[str], None]
_one_job = threading.Lock()  # of this process: neither HDF5 nor torch's number of threads can be shared by two
_runs: list[threading.Event] = []  # of every run_jobs that is open in this process; set: it is to end


def ignore(text: str) -> None:
    """Show a message to nobody."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(function: Callable[..., Any], jobs: Iterable[Any], workers: int = 1, scheduler: str | None = None,
             shared: Any = None, message: Message = ignore) -> Generator[Any, None, None]:
    """Results of `function(job)` as they are done, in any order. The first error ends the run.

    Parameters
    ----------
    workers : local processes; 1 is this one.
    scheduler : instead, the address of a running Dask cluster whose workers have this package and see the same files.
    shared : what all jobs have in common, sent to each worker once; then it is `function(shared, job)`.
    message : is given a sentence on each worker that is lost.

    Raises
    ------
    UserError : for a scheduler that does not answer or goes away, for workers that are lost again and again, and in a
        script that would begin anew in each worker (`main_script`).
    """
    jobs, stop = list(jobs), threading.Event()
    results: Generator[Any, None, None]
    if scheduler:
        results = _on_dask(function, jobs, scheduler, shared, message)
    elif workers <= 1 or len(jobs) <= 1:
        results = (single_threaded(_with(function, shared), job) for job in jobs)
    else:
        check_guard(min(workers, len(jobs)))
        results = _in_processes(pickle.dumps((function, shared)), jobs, min(workers, len(jobs)), message, stop)
    _runs.append(stop)
    try:
        with contextlib.closing(results):
            for result in results:
                yield result
                if stop.is_set():
                    raise KeyboardInterrupt
    finally:
        _runs.remove(stop)


def stop_running() -> None:
    """Have every open `run_jobs` end after the result in hand. A KeyboardInterrupt alone can be lost: Python ignores
    what is raised in a destructor or in a callback from C."""
    for stop in _runs:
        stop.set()


def single_threaded(function: Callable[..., Any], *arguments: Any) -> Any:
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
        mallopt(M_MMAP_THRESHOLD, KEPT_MIB << 20)
        mallopt(M_TRIM_THRESHOLD, TRIMMED_MIB << 20)


def _with(function: Callable[..., Any], shared: Any) -> Callable[..., Any]:
    return function if shared is None else partial(function, shared)


# --- local processes -------------------------------------------------------------------------------

def warm_up(workers: int) -> None:
    """Begin to import what so many workers will need, and return at once; `run_jobs` does it where this was not."""
    if workers > 1:
        _context()


@functools.cache
def _context() -> ForkServerContext | SpawnContext:
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
    """The environment that processes inherit which are started in the block; a few milliseconds."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


class _Worker:
    """A process and the pipe on which it is given one job after the other.

    A pipe that has ended shows that the process is gone, also where the server that started it was killed before.
    """

    def __init__(self, common: bytes):
        self.in_hand: list[Any] = []  # no job or one
        self._stopped = False
        self.pipe, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = _started(theirs, common)

    def give(self, job: Any) -> None:
        """Have a job done."""
        self.in_hand = [job]
        with contextlib.suppress(OSError):  # the process is gone: the end of the pipe is what is received then
            self.pipe.send_bytes(pickle.dumps(job))

    def answer(self) -> tuple[bool, Any] | None:
        """Whether the job was done, and its result or error; None where the process is gone."""
        try:
            answer = self.pipe.recv_bytes()
        except (EOFError, OSError):
            return None
        self.in_hand = []
        return pickle.loads(answer)

    def stop(self) -> None:
        """Ask the process to end now; what it was writing is removed as it ends (output.writer.Steps)."""
        self._stopped = True
        self._process.terminate()

    def end(self) -> None:
        """Wait until the process has ended, after some seconds by force; one that waits for a job ends at once."""
        if self._stopped:  # `join` returns at once where the server is gone, as after a signal to the whole group
            with contextlib.suppress(EOFError, OSError):
                while self.pipe.poll(GRACE_S + LOOK_S):
                    self.pipe.recv_bytes()
        self.pipe.close()
        self._process.join(GRACE_S + LOOK_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _started(pipe: Connection, common: bytes) -> BaseProcess:
    for _ in range(START_ATTEMPTS):
        process = _context().Process(target=_serve, args=(pipe, common), daemon=True)
        try:
            with _environment_of_workers():
                process.start()
            return process
        except (ConnectionError, EOFError):  # the server of workers was killed; the next attempt starts another one
            time.sleep(START_PAUSE_S)
    raise UserError("Worker processes could not be started.", "They are forked from a process that was killed.",
                    "Give the same command again, or --workers 1.")


def _in_processes(common: bytes, jobs: list, workers: int, message: Message,
                  stop: threading.Event) -> Generator[Any, None, None]:
    """Results of jobs; `common` is what `_serve` takes."""
    team: list[_Worker] = []
    try:
        team.extend(_Worker(common) for _ in range(workers))
        yield from _results(team, deque(jobs), common, message, stop)
    except BaseException:
        for worker in team:
            worker.stop()
        raise
    finally:
        for worker in team:
            worker.end()


def _results(team: list[_Worker], left: deque, common: bytes, message: Message,
             stop: threading.Event) -> Iterator[Any]:
    """Give jobs to the workers of a team, which changes, until all are done."""
    losses = 0
    while left or any(worker.in_hand for worker in team):
        for worker in team:
            if left and not worker.in_hand:
                worker.give(left.popleft())
        for worker in _answering(team, stop):
            answer = worker.answer()
            if answer is None:
                losses += 1
                _replace(worker, team, left, common, losses)
                message(f"a worker process was killed, perhaps because memory ran out; {len(team)} are left, "
                        f"{len(left)} jobs wait")
                continue
            losses, (done, content) = 0, answer
            if not done:
                raise content
            if left:
                worker.give(left.popleft())  # before the result is used, which may take long
            yield content


def _answering(team: list[_Worker], stop: threading.Event) -> list[_Worker]:
    """Workers that have answered or are gone, as soon as there is one."""
    while not (ready := wait([worker.pipe for worker in team], LOOK_S)):
        if stop.is_set():
            raise KeyboardInterrupt
    return [worker for worker in team if worker.pipe in ready]


def _replace(lost: _Worker, team: list[_Worker], left: deque, common: bytes, losses: int) -> None:
    """Go on without a worker; its job comes last. The last worker has a successor."""
    team.remove(lost)
    lost.end()
    left.extend(lost.in_hand)
    if losses == LOSSES:
        raise UserError(f"Worker processes were killed {LOSSES} times with no job done between.",
                        "Most often the system's memory did not last.",
                        "Give fewer --workers or a coarser grid; the same command goes on.")
    if not team:
        team.append(_Worker(common))


def _serve(pipe: Connection, common: bytes) -> None:
    """Of a worker process: do jobs until the pipe ends. `common` is pickled: the function and what jobs share.

    Ctrl-C reaches the whole group: the parent alone decides what follows, and says it by SIGTERM. And a worker ends
    with its parent, also with one that was killed and could not say so.
    """
    gc.freeze()  # what the server imported is never garbage; to look through it would copy its pages, too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work = None
    with contextlib.suppress(EOFError, ConnectionError), pipe:
        while True:
            job = pipe.recv_bytes()
            try:
                work = work or _with(*pickle.loads(common))
                answer = pickle.dumps((True, single_threaded(work, pickle.loads(job))))
            except Exception as error:
                answer = _portable(error)
            pipe.send_bytes(answer)


def _portable(error: Exception) -> bytes:
    """An answer with an error and its traceback, in words where the error itself can't be sent."""
    story = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{story}")
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)
        return answer
    except Exception:
        return pickle.dumps((False, RuntimeError(story)))


def _leave(*_: object) -> None:
    last = threading.Timer(GRACE_S, os._exit, [1])  # should the exception be lost
    last.daemon = True
    last.start()
    raise SystemExit(1)  # through the `with` blocks, which remove what is half written


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
    os._exit(1)


# --- a Dask cluster --------------------------------------------------------------------------------

def _on_dask(function: Callable[..., Any], jobs: list, address: str, shared: Any,
             message: Message) -> Generator[Any, None, None]:
    from distributed import KilledWorker
    from distributed import as_completed as dask_as_completed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    client = _client(address)
    with _quiet(client), client:
        client.subscribe_topic("all", partial(_on_event, message))
        # A task and not scattered data, which is gone for good with the workers that held it: a task is done again.
        common = client.submit(_itself, shared, pure=False)
        futures = [client.submit(_in_task, function, common, job, pure=False) for job in jobs]
        try:
            for future in dask_as_completed(futures, loop=client.loop):
                yield future.result()
            client.unsubscribe_topic("all")  # else the scheduler tells this client that it leaves, and fails
        except KilledWorker as error:
            raise UserError(f"Workers of {address} died at one job again and again ({error}).",
                            "Most often their memory did not last; the logs of the workers tell.",
                            "Give workers more memory or a coarser grid; the same command goes on.") from error
        except (FutureCancelledError, CommClosedError, CancelledError) as error:
            raise UserError(f"The Dask scheduler at {address} has gone away ({error}).",
                            "It has to run until all jobs are done.",
                            "Start it and its workers again; the same command goes on.") from error


def _client(address: str) -> Client:
    """A client of the scheduler at an address; a UserError where none answers."""
    from distributed import Client

    _check_encryption(address)
    try:
        return Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error)
    # What is left of the client closes itself when it is collected; while the next client is made, that waits for ever.
    gc.collect()
    raise UserError(f"No Dask scheduler answers at {address} ({reason}).",
                    "--scheduler is the address of a running scheduler, tcp://HOST:PORT or tls://HOST:PORT.",
                    "Start one with `dask scheduler`, or use --workers N.")


def _check_encryption(address: str) -> None:
    """UserError where Dask's configuration does not fit an address; the client itself would fail without words."""
    from distributed.security import Security

    rule = ("A tls:// address needs distributed.comm.tls.ca-file, client.cert and client.key in Dask's configuration; "
            "with distributed.comm.require-encryption no other is used.")
    fix = "Set them as docs/security.md shows, or give the address that the scheduler printed."
    try:
        security = Security()
        certified = security.get_connection_args("client").get("ssl_context") is not None
    except (OSError, ValueError, TypeError) as error:  # a file that is missing, or is no certificate
        raise UserError(f"The certificates for {address} can't be used ({error}).", rule, fix) from error
    encrypted = address.startswith("tls:")
    if encrypted and not certified or security.require_encryption and not encrypted:
        raise UserError(f"{address} can't be connected to: " + (
            "there is no certificate for it." if encrypted else "Dask's configuration requires encryption."), rule, fix)


@contextlib.contextmanager
def _quiet(client: Client) -> Iterator[None]:
    """Without tracebacks that Dask logs for one client when a scheduler or worker goes away: UserError says it."""
    thread = client.sync(_this_thread)

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logs = [logging.getLogger(name) for name in DASK_LOGGERS]
    for log in logs:
        log.addFilter(of_others)
    try:
        yield
    finally:
        for log in logs:
            log.removeFilter(of_others)


async def _this_thread() -> int:
    return threading.get_ident()


def _itself(shared: Any) -> Any:
    return shared


def _in_task(function: Callable[..., Any], shared: Any, job: Any) -> Any:
    return single_threaded(_with(function, shared), job)


def _on_event(message: Message, event: tuple) -> None:
    """Report a worker that is gone; its jobs are done elsewhere by themselves."""
    _, content = event
    if isinstance(content, dict) and content.get("action") == "remove-worker" and content.get("processing-tasks"):
        name = content.get("worker") or content.get("address")
        message(f"worker {name} is gone; what it had begun is done elsewhere")
