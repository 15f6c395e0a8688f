"""A product folder: which files, what they were made from (run.json), what is done already.

A file that exists is complete: every file is written under another name and moved. A folder belongs
to one recipe; going on with another one is an error that names the first key that differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aqreanalysis.clock import Period
from aqreanalysis.errors import UserError

RECORD, LOCK = "run.json", ".lock"


@dataclass(frozen=True)
class ProductFolder:
    """Names of the files of a product; a simulated one says so in each name."""

    path: Path
    simulated: bool
    with_truth: bool = False  # made from the twin, whose truth is kept beside it

    @property
    def prefix(self) -> str:
        return "simulated_" if self.simulated else ""

    def hourly(self, month: Period) -> Path:
        return self.path / f"{self.prefix}pm25_hourly_{month.first:%Y%m}.nc"

    def truth(self, month: Period) -> Path:
        return self.path / f"{self.prefix}truth_hourly_{month.first:%Y%m}.nc"

    def daily(self, year: int) -> Path:
        return self.path / f"{self.prefix}pm25_daily_{year}.nc"

    def days_of(self, month: Period) -> Path:
        """Daily means of a month until the year's file is written."""
        return self.path / f".{self.prefix}pm25_daily_{month.first:%Y%m}.npz"

    def progress(self, month: Period) -> Path:
        return self.path / f".{month.first:%Y%m}.progress"

    def map(self, name: str) -> Path:
        return self.path / "maps" / f"{self.prefix}pm25_{name}.png"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def month_done(self, month: Period) -> bool:
        """Whether nothing is left to compute for a month."""
        days = self.days_of(month).exists() or self.daily(month.first.year).exists()
        return self.hourly(month).exists() and days and (not self.with_truth or self.truth(month).exists())


class Record:
    """run.json: the identity of the product and what is done."""

    def __init__(self, path: Path, content: dict):
        self.path, self.content = path, content

    def has(self, month: Period) -> bool:
        """Whether a month's facts are noted; a kill may fall between a file and its note."""
        return f"{month.first:%Y-%m}" in self.content["months"]

    def note_month(self, label: str, facts: dict) -> None:
        """Add a finished month and save."""
        self.content["months"][label] = facts
        self.save()

    def save(self) -> None:
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(json.dumps(self.content, indent=1, ensure_ascii=False, sort_keys=True) + "\n",
                        encoding="utf-8")
        os.replace(part, self.path)


@contextlib.contextmanager
def opened(folder: ProductFolder, identity: dict, facts: dict) -> Iterator[Record]:
    """The record of a product folder, held by this process alone until the block ends."""
    check_identity(folder.path, identity)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = (folder.path / LOCK).open("w")
    except OSError as error:
        raise UserError(f"The folder {folder.path} can't be written ({error.strerror}).",
                        "A product needs a folder of its own.", "Give another one with --out.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"Another build is writing into {folder.path}.",
                            "One build at a time writes into a folder.",
                            "Wait for it, or give another folder with --out.") from error
        existing = _read(folder.path)
        record = Record(folder.path / RECORD, existing or {"identity": identity, "months": {}})
        record.content["facts"] = facts
        record.save()
        yield record
        (folder.path / LOCK).unlink(missing_ok=True)


def check_identity(path: Path, identity: dict) -> None:
    """UserError if a folder holds a product of another recipe, or files of no product."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file.", "A product is a folder.", "Give another name with --out.")
    content = _read(path)
    if content is None:
        if any(path.glob("*.nc")):
            raise UserError(f"{path} holds NetCDF files but no {RECORD}.",
                            "A product is written into a new folder, or into its own to go on with it.",
                            "Give another folder with --out.")
        return
    before = content["identity"]
    for key in sorted(identity.keys() | before.keys()):
        if identity.get(key) != before.get(key):
            raise UserError(f"{path} holds a product with {key} = {before.get(key)!r}; now {key} = "
                            f"{identity.get(key)!r} was asked for.", "A folder holds one product.",
                            "Give another folder with --out, or ask for the same product to go on with it.")


def _read(path: Path) -> dict | None:
    """The content of run.json; None where there is none."""
    file = path / RECORD
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["identity"], content["months"]
        return content
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} can't be read ({error}).", "It tells what the folder's files were made from.",
                        "Give another folder with --out, or delete this one.") from error


def save_days(path: Path, days: dict[str, np.ndarray]) -> None:
    """Keep a month's daily means, whole or not at all."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as stream:
            np.savez(stream, **days)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path.parent} can't take {path.name} ({error.strerror}).",
                        "A month needs space for its files.",
                        "Free some and run the same command: it goes on.") from error
    finally:
        part.unlink(missing_ok=True)


def load_days(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return dict(content)


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
