"""One function on many jobs: the same results here, in processes and on a Dask cluster; errors arrive whole.

Workers import this module, so it imports little at its top.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from aqreanalysis import workers
from aqreanalysis.errors import BadFile, UserError

JOBS = list(range(5))
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TORCH = """def get_num_threads(): return 1
def set_num_threads(number): pass
"""


def started(folder, code, **environment):
    """A process with a server of workers of its own, which is killed or can't be made; `code` sees this module.

    What it computes needs no torch, whose start takes seconds: there is one of two functions.
    """
    (folder / "torch.py").write_text(TORCH)
    (folder / "script.py").write_text("from pathlib import Path\nfrom test_workers import *\n"
                                      "workers.IMPORTED = ('torch', 'test_workers')\n"
                                      f"if __name__ == '__main__':\n    print({code})\n")
    places = os.pathsep.join([str(folder), os.path.dirname(__file__), *sys.path])
    return subprocess.Popen([sys.executable, str(folder / "script.py")], stdout=subprocess.PIPE, text=True,
                            env=os.environ | {"PYTHONPATH": places} | environment)


def told(running):
    """What such a process printed; it has to end by itself."""
    try:
        out, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0
    return out


def work(job):
    """A result whose last bits depend on the number of threads, and that number."""
    import torch

    generator = torch.Generator().manual_seed(job)
    matrix = torch.randn((64, 64), generator=generator)
    return job, (matrix @ matrix).sum().item(), torch.get_num_threads()


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__':\n    "])
def test_a_script_whose_work_would_begin_again_in_each_worker_is_told(guard, tmp_path):
    """Python's own way for such a script is that workers die at once, each with a traceback of their start."""
    (tmp_path / "mine.py").write_text("import aqreanalysis.workers as of\nprint('begins')\n" + guard
                                      + "print(sorted(of.run_jobs(abs, [-1, -2], workers=2)))\n")
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    if guard:
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[1, 2]", done.stderr
        return
    assert done.returncode == 1 and done.stdout == "begins\n" and done.stderr.count("Traceback") == 1
    said = done.stderr.strip().splitlines()[-1]
    for words in ("mine.py asks for 2 workers", "begin its work once more", 'if __name__ == "__main__":', "workers=1"):
        assert words in said


def test_an_interrupt_that_is_lost_ends_the_run_after_the_result_in_hand():
    """As one that is raised in a destructor, which Python ignores."""
    done = []
    with pytest.raises(KeyboardInterrupt):
        for result in workers.run_jobs(lambda job: workers.stop_running() if job == 1 else job, JOBS):
            done.append(result)
    assert done == [0, None]
    assert list(workers.run_jobs(len, ["a", "bc"])) == [1, 2], "the next run of this process is another one"


def test_an_interrupt_that_is_lost_ends_processes_too(tmp_path):
    import threading
    import time

    began = time.monotonic()
    threading.Timer(0, _stop_when_both_work, [tmp_path]).start()
    with pytest.raises(KeyboardInterrupt):
        list(workers.run_jobs(sleep_and_tell, [str(tmp_path)] * 2, workers=2))
    assert time.monotonic() - began < 100 and not any(_alive(int(path.name)) for path in tmp_path.iterdir())


def _stop_when_both_work(folder):
    import time

    while len(list(folder.iterdir())) < 2:
        time.sleep(0.1)
    workers.stop_running()


def threads_of_blas(job):
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_sums_of_numpy_have_one_thread_too():
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=3, user_api="blas"):
        found, = workers.run_jobs(threads_of_blas, [0])
        assert found and set(found) == {1}
        assert set(threads_of_blas(0)) == {3}, "restored"


def fail(job):
    if job == 2:
        raise BadFile("job 2 has no bottom.", "Jobs have one.", "Give it one.")
    return job


def crash(job):
    raise ZeroDivisionError(f"a fault of ours in job {job}")


def work_and_tell(shared, job):
    return work(job), shared["what"], os.getpid(), tuple(os.environ.get(name) for name in THREAD_VARIABLES)


@pytest.fixture(scope="module")
def expected():
    """What one process gives."""
    return sorted(workers.run_jobs(work, JOBS))


def test_serial(expected):
    assert [job for job, *_ in expected] == JOBS and all(threads == 1 for *_, threads in expected)
    assert len({value for _, value, _ in expected}) == len(JOBS)


def test_serial_results_come_as_they_are_asked_for():
    done = []
    results = workers.run_jobs(lambda job: done.append(job) or job, JOBS)
    assert done == [] and next(results) == 0 and done == [0]


def test_processes_give_the_same_with_one_thread_and_leave_no_trace(expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    results = sorted(workers.run_jobs(work_and_tell, JOBS, workers=2, shared={"what": "all"}))
    assert [result for result, *_ in results] == expected
    assert {common for _, common, *_ in results} == {"all"}, "what jobs have in common reaches each"
    assert os.getpid() not in {pid for *_, pid, _ in results}
    assert all(variables == ("1", "1", "1") for *_, variables in results)
    assert os.environ["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in os.environ


def test_the_environment_is_the_callers_while_results_are_used(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = [os.environ["OMP_NUM_THREADS"] for _ in workers.run_jobs(len, ["a", "b", "c"], workers=2)]
    assert found == ["3"] * 3


def test_dask_gives_the_same(expected, cluster):
    assert sorted(workers.run_jobs(work, JOBS, scheduler=cluster)) == expected


def test_no_jobs(cluster):
    for options in ({}, {"workers": 3}, {"scheduler": cluster}):
        assert list(workers.run_jobs(work, [], **options)) == []


def test_one_job_needs_no_process():
    assert list(workers.run_jobs(work_and_tell, [0], workers=4, shared={"what": "all"}))[0][2] == os.getpid()


@pytest.mark.parametrize("where", ["serial", "processes", "dask"])
def test_a_users_error_arrives_whole(where, cluster):
    options = {"serial": {}, "processes": {"workers": 2}, "dask": {"scheduler": cluster}}[where]
    with pytest.raises(UserError) as caught:
        list(workers.run_jobs(fail, JOBS, **options))
    error = caught.value
    assert type(error) is BadFile
    assert (error.problem, error.rule, error.fix) == ("job 2 has no bottom.", "Jobs have one.", "Give it one.")
    assert str(error) == "job 2 has no bottom. Jobs have one. Give it one."


@pytest.mark.parametrize("where", ["serial", "processes", "dask"])
def test_a_fault_of_ours_is_not_told_as_the_users(where, cluster):
    options = {"serial": {}, "processes": {"workers": 2}, "dask": {"scheduler": cluster}}[where]
    with pytest.raises(ZeroDivisionError, match="fault of ours") as caught:
        list(workers.run_jobs(crash, JOBS, **options))
    if where == "processes":
        assert "test_workers.py" in caught.value.__notes__[0], "the traceback of the worker"


class Odd(Exception):
    """It can't be unpickled: its class wants two arguments."""

    def __init__(self, first, second):
        super().__init__(first)


def crash_oddly(job):
    raise Odd("a fault", "of ours")


def give_a_function(job):
    return lambda: job


class Unreadable:
    """Common to all jobs; it can't be unpickled in a worker."""

    def __reduce__(self):
        return int, ("nonsense",)


def test_what_can_not_be_sent_is_a_fault_of_ours_and_no_loss_of_a_worker():
    with pytest.raises(RuntimeError, match="Odd: a fault"):
        list(workers.run_jobs(crash_oddly, JOBS, workers=2))
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="give_a_function"):
        list(workers.run_jobs(give_a_function, JOBS, workers=2))
    with pytest.raises(ValueError, match="nonsense"):
        list(workers.run_jobs(with_shared, JOBS, workers=2, shared=Unreadable()))


def test_dask_is_quiet_on_one_client_only(cluster):
    """Others log as before, while a run is open too."""
    import logging

    log, heard = logging.getLogger("distributed.client"), []
    handler = logging.Handler()
    handler.emit = heard.append
    level = log.level
    log.addHandler(handler)
    try:
        for number in workers.run_jobs(len, ["a"], scheduler=cluster):
            assert log.level == level
            log.error("another client lost its scheduler, number %s", number)
    finally:
        log.removeHandler(handler)
    assert [record.getMessage() for record in heard] == ["another client lost its scheduler, number 1"]
    assert not log.filters


def test_the_cluster_lives_on_after_an_error(cluster, expected):
    with pytest.raises(BadFile):
        list(workers.run_jobs(fail, JOBS, scheduler=cluster))
    assert sorted(workers.run_jobs(work, JOBS, scheduler=cluster)) == expected


@pytest.mark.parametrize("function", [work, crash])
def test_torchs_threads_are_restored(function):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        try:
            workers.single_threaded(function, 0)
        except ZeroDivisionError:
            pass
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1"])
def test_no_scheduler_there(address, monkeypatch):
    import dask.distributed

    patient = dask.distributed.Client
    monkeypatch.setattr(dask.distributed, "Client", lambda *a, **k: patient(*a, **k | {"timeout": "0.5s"}))
    with pytest.raises(UserError) as caught:
        list(workers.run_jobs(work, JOBS, scheduler=address))
    assert address in caught.value.problem and "tcp://HOST:PORT" in caught.value.rule and caught.value.fix


def test_available_cores():
    assert 1 <= workers.available_cores() <= (os.cpu_count() or 1)


def with_shared(shared, job):
    return job, shared["what"]


@pytest.mark.parametrize("where", ["serial", "dask"])
def test_what_jobs_have_in_common_reaches_each(where, cluster):
    options = {"serial": {}, "dask": {"scheduler": cluster}}[where]
    found = workers.run_jobs(with_shared, JOBS, shared={"what": "all"}, **options)
    assert sorted(found) == [(job, "all") for job in JOBS]


def die_once(folder, job):
    """Job 2 kills its process, unless it did so before."""
    import signal

    mark = folder / "died"
    if job == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def kill_the_server_once(folder, job):
    """Job 2 kills the process that workers are forked from, unless it did so before."""
    import signal

    mark = folder / "killed"
    if job == 2 and not mark.exists():
        mark.touch()
        assert b"forkserver" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
        os.kill(os.getppid(), signal.SIGKILL)
    return job


def die(folder, job):
    os._exit(9)


@pytest.mark.parametrize("where", ["processes", "dask"])
def test_the_jobs_of_a_killed_worker_are_done_by_others(where, cluster, tmp_path):
    told = []
    options = {"processes": {"workers": 2}, "dask": {"scheduler": cluster}}[where]
    assert sorted(workers.run_jobs(die_once, JOBS, shared=tmp_path, message=told.append, **options)) == JOBS
    assert (tmp_path / "died").exists()
    assert len(told) == 1 and "worker" in told[0], told


def test_processes_need_no_semaphores(monkeypatch):
    """As where /dev/shm can't be written."""
    import multiprocessing.synchronize

    def refuse(*_, **__):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    assert sorted(workers.run_jobs(len, ["a", "bc"], workers=2)) == [1, 2]


def die_while_another_works(folder, job):
    """Job 0 takes its time; job 1 kills its process meanwhile, unless it did so before."""
    import signal
    import time

    mark = folder / f"{job}.{os.getpid()}"
    mark.touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    if job == 1 and len(list(folder.glob("1.*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    return job


def test_a_killed_worker_costs_its_own_job_only(tmp_path):
    assert sorted(workers.run_jobs(die_while_another_works, [0, 1], workers=2, shared=tmp_path)) == [0, 1]
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["0", "1", "1"], "job 0 was begun once"


def two_runs(folder):
    """The results of one whose server is killed and of the next, which has another server."""
    return [sorted(workers.run_jobs(kill_the_server_once, JOBS, workers=2, shared=folder)),
            sorted(workers.run_jobs(with_shared, JOBS, workers=2, shared={"what": 7}))]


def test_the_server_of_workers_may_be_killed_too(tmp_path):
    (tmp_path / "marks").mkdir()
    running = started(tmp_path, f"two_runs(Path({str(tmp_path / 'marks')!r}))")
    assert told(running) == f"{[JOBS, [(job, 7) for job in JOBS]]}\n"
    assert (tmp_path / "marks" / "killed").exists()


def kill_the_idle_one(folder, job):
    """Job 1 kills the worker of job 0, which has nothing left to do, and continues."""
    import signal
    import time

    mine, other = Path(folder, str(job)), Path(folder, str(1 - job))
    first = not mine.exists()
    mine.write_text(str(os.getpid()))
    while not other.exists():  # both are at work at once
        time.sleep(0.01)
    if job == 1 and first:
        time.sleep(1)  # until the other waits for a job
        os.kill(int(other.read_text()), signal.SIGKILL)
        time.sleep(2)
    return job


def test_a_worker_killed_while_it_waits_does_not_hold_up_the_others(tmp_path):
    (tmp_path / "marks").mkdir()
    running = started(tmp_path, f"sorted(workers.run_jobs(kill_the_idle_one, [0, 1], workers=2, "
                                f"shared={str(tmp_path / 'marks')!r}))")
    assert told(running) == "[0, 1]\n"


def test_where_no_server_can_listen_workers_are_spawned(tmp_path):
    """The name of a socket has at most 107 bytes."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    running = started(tmp_path, "sorted(workers.run_jobs(os.path.basename, ['a/b', 'c/d'], workers=2)), "
                                "workers._context()", TMPDIR=str(long))
    assert (out := told(running)).startswith("['b', 'd'] ") and "SpawnContext" in out


@pytest.mark.parametrize("where", ["processes", "dask"])
def test_a_job_that_kills_every_worker_is_the_users_to_mend(where, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LOSSES", 2)
    jobs, options = {"processes": ([0, 1], {"workers": 2}), "dask": ([0], {"scheduler": cluster})}[where]
    with pytest.raises(UserError, match="memory did not last.*same command goes on"):
        list(workers.run_jobs(die, jobs, shared=tmp_path, **options))


def sleep_and_tell(folder):
    import time

    Path(folder, str(os.getpid())).touch()
    time.sleep(300)


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    """kill -9 lets the parent say nothing; whoever it started must see for itself."""
    import signal
    import time

    (tmp_path / "marks").mkdir()
    parent = started(tmp_path, f"list(workers.run_jobs(sleep_and_tell, [{str(tmp_path / 'marks')!r}] * 2, workers=2))")
    deadline = time.monotonic() + 90
    while len(workers := list((tmp_path / "marks").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(workers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while time.monotonic() < deadline and any(_alive(int(worker.name)) for worker in workers):
        time.sleep(0.1)
    assert not any(_alive(int(worker.name)) for worker in workers)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
