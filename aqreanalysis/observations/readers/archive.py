"""What every reader gives: an archive that tells its stations and period and reads any hours of it.

A new layout is one file with LAYOUT, `recognises`, `refused` and `open_archive` and a class like
`DailyArchive`, and one line in READERS. A file that can't be read is a `BadFile`: it is named,
skipped and counted; it is an error only when no file of the period is good.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.errors import BadFile, UserError


@dataclass
class Inspection:
    """What a look into every file of a period found."""

    good: int = 0
    values: int = 0   # PM2.5 values of the period in the good files, whatever their quality
    bad: list[str] = field(default_factory=list)   # one sentence for each file that was skipped
    odd: list[str] = field(default_factory=list)   # one sentence for what is strange in files that are used
    digest: object = field(default_factory=hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        """A hash of the contents of the good files, in order."""
        return self.digest.hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """A file that an archive is made of; a zip is one part. Size and time tell that it is still the same."""

    name: str               # path below the archive's own, with "/"; the file's name where the archive is one file
    first: np.datetime64    # first and last END-of-hour stamp, UTC [h], that it may hold
    last: np.datetime64
    size: int               # bytes
    modified: int           # nanoseconds since 1970, as the file system has it

    @classmethod
    def of(cls, path: Path, root: Path, first, last) -> Part:
        """The part at `path` of the archive at `root`, which is a folder or the file itself."""
        state = path.stat()
        name = path.relative_to(root).as_posix() if path != root else path.name
        return cls(name, np.datetime64(first, "h"), np.datetime64(last, "h"), state.st_size, state.st_mtime_ns)


class Archive(Protocol):
    """Observations of a network. Times are UTC and mark the END of the hour."""

    source: str               # a phrase for the files' `source` attribute
    simulated: bool
    stations: pd.DataFrame    # station_id, lat, lon and, where known, name, city, province

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour that the archive may hold."""

    def parts(self) -> list[Part]:
        """The files that it is made of, in order of their names."""

    def inspect(self, start, end) -> Inspection:
        """Look into every file that holds hours from `start` to `end`."""

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube, (time, station), of every hour from `start` to `end`; bad files are NaN."""


def check_text(name: str, content: bytes) -> None:
    """BadFile where a file that should be CSV is empty, gzip or an HTML page: what downloads leave behind."""
    if not content.strip():
        raise BadFile(f"{name} is empty")
    if content[:2] == b"\x1f\x8b":
        raise BadFile(f"{name} is gzip, not CSV (gunzip it)")
    if content.lstrip()[:1] == b"<":
        raise BadFile(f"{name} is an HTML page, not CSV")


def none_good(inspection: Inspection, where: str, wanted: str) -> UserError:
    """The error for a period of which no file can be used."""
    if inspection.good or not inspection.bad:
        return UserError(f"{where} holds no PM2.5 observations of {wanted}.",
                         "A product needs observations in its period.",
                         "Choose another period, or see what is there with `aqreanalysis describe`.")
    shown = "; ".join(inspection.bad[:3])
    return UserError(f"None of the {len(inspection.bad)} files of {wanted} in {where} can be used: {shown}.",
                     "At least one file of the period must be good.", "Replace the files and run again.")
