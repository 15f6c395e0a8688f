"""What verbs that use a product have in common: their jobs are kept as they are done, and what they make says of what.

A verb cuts its work into named jobs (a month, a tile). Each gives arrays, which are kept in a hidden folder beside what
is being made; a run that was killed goes on with the jobs that are missing. When all are there, the verb writes its
files from them, each whole under its own name, and the hidden folder is removed. The arrays depend on the job alone,
so a resumed run, and one with many workers, makes the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis import __version__, files
from aqreanalysis.errors import UserError
from aqreanalysis.product.reading import FinishedProduct
from aqreanalysis.workers import run_jobs

IDENTITY, LOCK = "identity.json", ".lock"
OTHERWISE = "choose another place with --to; then give the same command again: it goes on."

Arrays = dict[str, np.ndarray]
OnJob = Callable[[int, int], None]  # is told how many jobs are done, and of how many


def unobserved(done: int, of: int) -> None:
    """Show nobody how far the jobs are."""


def identity_of(product: FinishedProduct, **options: Any) -> dict[str, Any]:
    """What results depend on: the product's hash, this package's version, and the options of the verb."""
    return {"product": product.sha256, "aqreanalysis": __version__} | options


@dataclass(frozen=True)
class KeptJobs:
    """The folder of jobs that are done, held by this process alone."""

    folder: Path

    def run(self, function: Callable[..., Arrays], jobs: Mapping[str, Any], shared: Any, workers: int = 1,
            scheduler: str | None = None, progress: OnJob = unobserved,
            message: Callable[[str], None] = lambda text: None) -> None:
        """Have `function(shared, job)`, which gives arrays by name, done for each job that is not kept yet.

        Jobs are called by their names in `jobs`. They run as of workers.run_jobs.
        """
        left = [(name, job) for name, job in jobs.items() if not self._path(name).exists()]
        progress(len(jobs) - len(left), len(jobs))
        results = run_jobs(_keep, left, workers, scheduler, (function, shared, self.folder), message)
        with contextlib.closing(results):
            for number, _ in enumerate(results, start=len(jobs) - len(left) + 1):
                progress(number, len(jobs))

    def load(self, name: str) -> Arrays:
        """The arrays of a job that is done."""
        with np.load(self._path(name), allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files}

    def load_one(self, name: str, key: str) -> np.ndarray:
        """One of the arrays of a job that is done; the others are not read."""
        with np.load(self._path(name), allow_pickle=False) as kept:
            return kept[key]

    def _path(self, name: str) -> Path:
        return _kept_file(self.folder, name)


@contextlib.contextmanager
def kept_jobs(to: Path, identity: Mapping[str, Any]) -> Iterator[KeptJobs]:
    """Where the jobs of what is being made at `to` (a file or folder) are kept; removed when the block ends well.

    Jobs of another identity (`identity_of`), as of a command with other options, are not used but removed. Each
    identity has a folder of its own: a job that a cluster still does for a run that was killed is then never taken for
    one of the next run.

    Raises
    ------
    UserError : where another process is at it, or the system can't write there.
    """
    folder = files.shared_part_name(to.absolute())
    busy = UserError(f"Another process is making {to}.", "One at a time makes a file or folder.",
                     "Wait for it, or give another name with --to.")
    with files.writing(to, OTHERWISE):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with files.held(folder.with_name(f"{folder.name}{LOCK}"), busy, OTHERWISE):
        text = json.dumps(identity, sort_keys=True, default=str)
        mine = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        place = mine / IDENTITY
        if not (place.is_file() and place.read_text(encoding="utf-8") == text):
            shutil.rmtree(folder, ignore_errors=True)
            files.replace_text(place, text, OTHERWISE)
        yield KeptJobs(mine)
        shutil.rmtree(folder, ignore_errors=True)


def _keep(shared: tuple[Callable[..., Arrays], Any, Path], job: tuple[str, Any]) -> str:
    """Do a job and keep its arrays; of a worker process, so that they are not sent."""
    function, common, folder = shared
    name, content = job
    arrays = function(common, content)
    path = _kept_file(folder, name)
    with files.whole(path, OTHERWISE) as part, zipfile.ZipFile(part, "w") as archive:
        for key, array in arrays.items():  # numpy.savez would add .npz to the hidden name, and the clock's time
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
    return name


def _kept_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"
