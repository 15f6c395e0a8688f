"""Windows, as far as a POSIX system can stand in for it: the modules that it lacks are blocked."""

import subprocess
import sys

BLOCK = """
import importlib, multiprocessing, os, pkgutil, sys
from pathlib import Path

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
del os.sched_getaffinity
multiprocessing.get_all_start_methods = lambda: ["spawn"]
"""
IMPORT_ALL = BLOCK + """
import aqreanalysis

names = [module.name for module in pkgutil.walk_packages(aqreanalysis.__path__, "aqreanalysis.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
LOCK = BLOCK + """
from aqreanalysis import files, workers
from aqreanalysis.errors import UserError

lock, refused = Path(sys.argv[1], "folder", ".lock"), 0
with files.held(lock, UserError("Busy.")):
    try:
        with files.held(lock, UserError("Busy.")):
            pass
    except UserError:
        refused = 1
print(refused, list(lock.parent.iterdir()), workers.available_cores() > 0, type(workers._context()).__name__)
"""


def run(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_every_module_is_imported_without_what_windows_lacks():
    done = run(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_locks_cores_and_workers_without_what_windows_lacks(tmp_path):
    done = run(LOCK, tmp_path)
    assert done.stdout == "1 [] True SpawnContext\n", done.stderr
