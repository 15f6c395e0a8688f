"""Work in a process that is forked from the server of workers, which has imported what it needs: a test that kills it,
or sets its limits, spares the seconds in which Python, torch and cartopy start."""

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from aqreanalysis import workers

# What a server that such a process starts for itself imports: no maps are drawn before it is killed.
FEW = ("torch", "aqreanalysis.product.month", "aqreanalysis.models.aqnet.network", "safetensors.torch", "distributed")


def _run(told, environment, session, function, arguments):
    os.environ.clear()
    os.environ.update(environment)
    if session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (1, 2):
        os.dup2(os.open(told, os.O_WRONLY | os.O_APPEND), number)
    workers.IMPORTED = FEW
    function(*arguments)


class Forked:
    """`function(*arguments)` at work, a function of a module.

    Parameters
    ----------
    session : whether it leads a group of processes of its own.
    """

    def __init__(self, function, *arguments, session=False):
        self._told = tempfile.NamedTemporaryFile()
        workers.warm_up(2)
        self._process = multiprocessing.get_context("forkserver").Process(
            target=_run, args=(self._told.name, dict(os.environ), session, function, arguments))
        self._process.start()
        self.pid = self._process.pid

    def told(self):
        """What it has printed so far, on stdout and stderr."""
        return Path(self._told.name).read_text()

    def wait_for(self, condition, seconds=120):
        """Until `condition()`; false where it ended before, or too much time has passed."""
        deadline = time.monotonic() + seconds
        while not (met := condition()) and self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return bool(met or condition())

    def signal(self, number):
        os.kill(self.pid, number)

    def ended(self, seconds=60):
        """Its exit code, that of a signal negative, and what it printed."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"{self.pid} did not end"
        return self._process.exitcode, self.told()


def command(changes, *arguments):
    """The command line. `changes` are values of constants, by their full names."""
    from aqreanalysis.cli import app

    for name, value in changes.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    sys.argv = ["aqreanalysis", *map(str, arguments)]
    app.main()
