"""The command line in a process that is forked from the server of workers, which has imported what it needs: a test
that kills it spares the seconds in which Python, torch and cartopy start."""

import importlib
import multiprocessing
import os
import signal
import sys

from aqreanalysis import workers

# What a server that such a process starts for itself imports: no maps are drawn before it is killed.
FEW = ("torch", "aqreanalysis.product.month", "aqreanalysis.models.aqnet.network", "safetensors.torch", "distributed")


def _command(arguments, told, environment, session, changes):
    os.environ.clear()
    os.environ.update(environment)
    if session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, os.devnull), (2, told)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    from aqreanalysis.cli import app

    workers.IMPORTED = FEW
    for name, value in changes.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    sys.argv = ["aqreanalysis", *map(str, arguments)]
    app.main()


class Command:
    """`aqreanalysis ARGUMENTS` at work.

    Parameters
    ----------
    folder : where what it says on stderr is kept.
    session : whether it leads a group of processes of its own.
    changes : values that constants of modules have there, by their full names.
    """

    def __init__(self, folder, *arguments, session=False, changes=None):
        self._told = folder / "stderr.txt"
        context = multiprocessing.get_context("forkserver")
        workers.warm_up(2)
        self._process = context.Process(target=_command, args=(
            arguments, str(self._told), dict(os.environ), session, changes or {}))
        self._process.start()
        self.pid = self._process.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def runs(self):
        return self._process.is_alive()

    def ended(self, seconds=60):
        """Its exit code, that of a signal negative, and what it said."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"{self.pid} did not end"
        return self._process.exitcode, self._told.read_text()
