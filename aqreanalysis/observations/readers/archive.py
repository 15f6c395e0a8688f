"""What every reader gives: an archive that knows its stations and its period, and reads any hours of it.

A new layout is one file that ends in a `Reader`, with a class like `DailyArchive`, and one line in `readers.READERS`.
A file that can't be read is a `BadFile`: it is named, skipped and counted. It is an error only where no file of the
period can be used.

    >>> import tempfile
    >>> from aqreanalysis import schema, time_axis
    >>> class Constant:
    ...     source, simulated = "a file with one number", False
    ...     def __init__(self, path):
    ...         self.value = float(path.read_text())
    ...         self.stations = pd.DataFrame({"station_id": ["A"], "lat": [40.0], "lon": [116.0]})
    ...     def read(self, start, end):
    ...         hours = time_axis.complete_hours(start, end)
    ...         values = {"pm25": np.full((len(hours), 1), self.value)}
    ...         return schema.make_station_cube(hours, ["A"], [40.0], [116.0], values)
    >>> CONSTANT = Reader("constant", "a .number file", lambda path: path.suffix == ".number", lambda path: [],
    ...                   lambda path, options: Constant(path))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "station.number"
    ...     written = file.write_text("35")
    ...     CONSTANT.open(file, ReadingOptions()).read("2019-01-01T00", "2019-01-01T02").pm25.values.tolist()
    [[35.0], [35.0], [35.0]]
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.errors import UserError

NANOSECONDS = 10**9
Stamp = np.datetime64 | str  # the END of an hour, UTC


def as_hour(stamp: Stamp) -> np.datetime64:
    """The stamp as datetime64[h]."""
    return np.datetime64(stamp, "h")  # type: ignore[call-overload]  # numpy's stubs have no union of the two


@dataclass
class Inspection:
    """What was found when every file of a period was opened."""

    good: int = 0
    values: int = 0   # PM2.5 values of the period in the good files, whatever their quality
    skipped: list[str] = field(default_factory=list)     # one sentence for each file that can't be used
    anomalies: list[str] = field(default_factory=list)   # one sentence for each anomaly in files that are used
    passed_over: list[str] = field(default_factory=list)  # one for each file that nearly fits and is not read
    notes: list[str] = field(default_factory=list)       # how files were read: the rule for stamps, columns not used
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        """A hash of the contents of the good files, in order."""
        return self.digest.hexdigest()[:16]

    def take_in(self, other: Inspection) -> None:
        """What was found in a margin of the period, each sentence once."""
        self.digest.update(other.fingerprint.encode())
        for mine, theirs in ((self.skipped, other.skipped), (self.passed_over, other.passed_over),
                             (self.notes, other.notes)):
            mine.extend(text for text in theirs if text not in mine)
        told = set(map(_without_counts, self.anomalies))  # of one file and fault, the count in the period is enough
        self.anomalies.extend(text for text in other.anomalies if _without_counts(text) not in told)

    def add_stations(self, table: pd.DataFrame) -> None:
        """Let the fingerprint depend on the places of the stations too, and pass on what is told of their table."""
        self.notes.extend(table.attrs.get("notes", ()))
        self.digest.update(table[["station_id", "lat", "lon"]].to_csv(index=False).encode())


def _without_counts(sentence: str) -> str:
    """An anomaly as its file and kind: without the number of values, and without an example."""
    file, _, what = sentence.partition(": ")
    kind = re.split(r", the (?:lowest|largest)| [(]", re.sub(r"^[0-9,]+ ", "", what))[0]
    singular = re.sub(r"(value|cell|row)s?\b", r"\1", kind)
    return f"{file}: {singular}"


@dataclass(frozen=True)
class ArchivePart:
    """A file that an archive is made of; a zip is one part. Equal size and time mean that it has not changed."""

    name: str               # path below the archive's own, with "/"; the file's name where the archive is one file
    first: np.datetime64    # first and last END-of-hour stamp, UTC [h], that it may hold
    last: np.datetime64
    size: int               # bytes
    modified: int           # nanoseconds since 1970, as the file system has it

    @classmethod
    def of(cls, path: Path, root: Path, first: np.datetime64, last: np.datetime64) -> ArchivePart:
        """The part at `path` of the archive at `root`, which is a folder or the file itself."""
        state = path.stat()
        name = path.relative_to(root).as_posix() if path != root else path.name
        return cls(name, first.astype("datetime64[h]"), last.astype("datetime64[h]"), state.st_size, state.st_mtime_ns)


def changed_parts(before: Iterable[ArchivePart], folder: Path, start: Stamp, end: Stamp) -> list[str]:
    """Names of files with hours from `start` to `end` that are no longer what they were: another size or time, or gone.

    folder : the archive's path. Times are compared by seconds, for file systems that another machine sees keep no more.
    """
    def state(part: ArchivePart) -> tuple[int, int]:
        try:
            found = (folder / part.name if folder.is_dir() else folder).stat()
        except OSError:
            return -1, -1
        return found.st_size, found.st_mtime_ns // NANOSECONDS

    return [part.name for part in before if part.first <= as_hour(end) and part.last >= as_hour(start)
            and state(part) != (part.size, part.modified // NANOSECONDS)]


class Archive(Protocol):
    """Observations of a network. Times are UTC and mark the END of the hour."""

    source: str               # a phrase for the files' `source` attribute
    simulated: bool
    stations: pd.DataFrame    # station_id, lat, lon and, where known, name, city, province

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour that the archive may hold."""

    def parts(self) -> list[ArchivePart]:
        """The files that it is made of, in order of their names."""

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Open every file that holds hours from `start` to `end`."""

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube, (time, station), of every hour from `start` to `end`; hours of bad files are NaN."""


class Source(Protocol):
    """Where observations come from, files or a cube in memory; sent to workers, and opened by each."""

    def open(self) -> Archive:
        """The archive."""


@dataclass(frozen=True)
class ReadingOptions:
    """What a user says of files besides their path. A reader honours each option or refuses it (`refuse`)."""

    station_table: Path | None = None   # where it does not lie beside the files
    utc_offset: float | None = None     # hours ahead of UTC of stamps that have no offset of their own

    def refuse(self, layout: str, *, station_table: str = "", utc_offset: str = "") -> None:
        """UserError where an option was given that has no use in a layout; the keywords say why it has none."""
        if station_table and self.station_table is not None:
            raise UserError(f"The station table {self.station_table} was given with {layout}.", station_table,
                            "Leave --stations out.")
        if utc_offset and self.utc_offset is not None:
            raise UserError(f"The offset {self.utc_offset:+g} h was given with {layout}.", utc_offset,
                            "Leave --utc-offset out.")


@dataclass(frozen=True)
class Reader:
    """A layout of files: how it is recognised and opened."""

    name: str                                      # in a word
    layout: str                                    # how the files are named, for messages
    recognises: Callable[[Path], bool]             # whether a folder or file is of this layout
    refused: Callable[[Path], list[str]]           # why files that look like it are not: a sentence for each
    open: Callable[[Path, ReadingOptions], Archive]


def none_good(inspection: Inspection, where: str, wanted: str) -> UserError:
    """The error for a period of which no file can be used."""
    if inspection.good or not inspection.skipped:
        return UserError(f"{where} holds no PM2.5 observations of {wanted}.",
                         "A product needs observations in its period.",
                         "Choose another period, or see what is there with `aqreanalysis describe`.")
    shown = "; ".join(inspection.skipped[:3])
    return UserError(f"None of the {len(inspection.skipped)} files of {wanted} in {where} can be used: {shown}.",
                     "At least one file of the period must be good.", "Replace the files and run again.")
