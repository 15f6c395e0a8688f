"""The sources of an ingest, and what of them an archive does not have yet.

Source files are identified by name, size and time of modification; where only the time differs, by their hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import files, geo
from aqreanalysis.errors import UserError
from aqreanalysis.observations import datums
from aqreanalysis.observations.inventory import Inventory, take_inventory
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import Archive, ArchivePart, Inspection
from aqreanalysis.observations.readers.station_archive import TABLES, Provenance
from aqreanalysis.observations.station_table import SHIPPED_NOTE, table_of_files

ARCHIVE_NAME = "the archive"  # in remarks
SAME_STATION_KM = 1.0  # coordinates of one station in two tables may differ by their rounding
SKIPPED_DAYS = 366     # after the last hour of a source: a day without any file
STATES = ("new", "changed", "unchanged", "vanished")  # of files
STATION_COLUMNS = ["station_id", "lat", "lon", "name", "city", "province"]
Span = tuple[np.datetime64, np.datetime64]  # first and last END-of-hour stamp, both included


@dataclass(frozen=True)
class IngestSource:
    """A folder or file that is ingested, opened."""

    name: str
    path: Path
    archive: Archive
    parts: tuple[ArchivePart, ...]
    station_table: str    # sha256 of the table that it was opened with, "" where there is none; datum and offset given

    @cached_property
    def _without_hours(self) -> Inspection:
        """What is found whatever the hours: an inspection of an hour without any file has it."""
        nowhere = self.archive.period()[1] + np.timedelta64(SKIPPED_DAYS, "D")
        return self.archive.inspect(nowhere, nowhere)

    @property
    def refused(self) -> tuple[str, ...]:
        """Sentences on files that hold no hour at all."""
        return tuple(self._without_hours.skipped)

    @property
    def inventory(self) -> Inventory:
        """What is used of it and what is not, as far as it is known before its values are read."""
        first = self.parts[0].first
        found = replace(self.archive.inspect(first, first), good=len(self.parts))  # of one file: how it is read
        found.take_in(self._without_hours)
        return take_inventory(self.archive, first, first, found, measured=False)

    def file(self, part: ArchivePart) -> Path:
        """The path of a part."""
        return self.path / part.name if self.path.is_dir() else self.path


@dataclass(frozen=True)
class KnownFile:
    """A file of a source as an archive knows it: a row of the table `file`."""

    sha256: str
    bytes: int
    modified: int           # nanoseconds since 1970
    first: np.datetime64    # hours that were read from it
    last: np.datetime64
    vanished: bool          # gone at the last ingest


@dataclass(frozen=True)
class Changes:
    """What of a source an archive does not have yet."""

    files: pd.DataFrame       # the source's rows of the table `file`, as they will be, without `values`
    read: tuple[Span, ...]    # hours that are to be read
    kept: tuple[Span, ...]    # hours of files that are gone: what was read from them is kept
    moved: bool               # a file has vanished since the last time, or has come back
    counts: dict[str, int]    # files by state


def open_sources(paths: list[str], station_table: str | None, datum: str | None = None,
                 utc_offset: float | None = None) -> list[IngestSource]:
    """The archives at some paths; a UserError where one is given twice, or simulated beside real ones."""
    found = []
    resolved = [Path(path).expanduser().resolve() for path in paths]
    told = (f" {datum}" if datum else "") + (f" UTC{utc_offset:+g}" if utc_offset is not None else "")
    for given, path in zip(paths, resolved, strict=True):
        if resolved.count(path) > 1:
            raise UserError(f"{given} was given twice.", "Each source is given once.", "Leave one out.")
        try:
            archive = open_archive(given, station_table, utc_offset)
        except UserError as error:
            if len(paths) == 1 or (station_table is None and utc_offset is None):
                raise
            raise UserError(error.problem, error.rule, f"{error.fix} Or ingest the sources one after the other into "
                            "one archive, each with its own options.") from None
        archive.stations = datums.table_in_wgs84(archive.stations, datum)
        name = path.name if [other.name for other in resolved].count(path.name) == 1 else path.as_posix()
        found.append(IngestSource(name, path, archive, tuple(archive.parts()),
                                  _table_hash(path, station_table, archive.stations) + told))
    if len({source.archive.simulated for source in found}) > 1:
        raise UserError("Some of the sources are simulated and some are not.",
                        "An archive holds real observations or simulated ones.", "Write two archives.")
    return found


def _table_hash(path: Path, station_table: str | None, stations: pd.DataFrame) -> str:
    """Hash of the table that places the stations: which stations are read depends on it."""
    ships = SHIPPED_NOTE in stations.attrs.get("notes", ())
    folder = path if path.is_dir() else path.parent
    table = table_of_files(Path(station_table).expanduser() if station_table else None, folder, ships)
    return files.sha256_of(table) if table.is_file() else ""


def number_sources(sources: list[IngestSource], provenance: Provenance) -> dict[int, IngestSource]:
    """The sources by number: those that an archive knows keep theirs, new ones follow in the order given."""
    names = list(provenance.tables["source"]["name"])
    names += [source.name for source in sources if source.name not in names]
    return {names.index(source.name) + 1: source for source in sources}


def has_new_table(number: int, source: IngestSource, provenance: Provenance) -> bool:
    """Whether an archive knows a source, but with another station table."""
    known = provenance.tables["source"]["station_table"]
    return number <= len(known) and known.iloc[number - 1] != source.station_table


def compare(number: int, source: IngestSource, provenance: Provenance, axis: Span) -> Changes:
    """What of a source is to be read into an archive that will have the hours of `axis`."""
    table = provenance.tables["file"]
    table = table[table["source"] == number]
    before = _known_files(table)
    whole = has_new_table(number, source, provenance)  # it may have stations that were left out before
    rows, read, counts = [], [], dict.fromkeys(STATES, 0)
    for part in source.parts:
        first, last = max(part.first, axis[0]), min(part.last, axis[1])
        if last < first:
            continue
        old = before.get(part.name)
        state, sha256 = _state(source, part, old)
        counts[state] += 1
        if old:  # hours that were read from an earlier version are read again
            first, last = min(first, old.first), max(last, old.last)
        grown = old is not None and (first < old.first or last > old.last)
        if state != "unchanged" or grown or whole:
            read.append((first, last))
        rows.append((number, part.name, sha256, part.size, part.modified, first, last, 0, 0))
    gone = set(before) - {part.name for part in source.parts}
    counts["vanished"] = len(gone)
    columns = list(TABLES["file"])
    kept_rows = table[table["name"].isin(gone)].assign(vanished=1)[columns]
    joined = pd.concat([pd.DataFrame(rows, columns=columns), kept_rows], ignore_index=True)
    moved = any(file.vanished != (name in gone) for name, file in before.items())
    return Changes(joined.sort_values("name", ignore_index=True), tuple(stretches(read)),
                   tuple((before[name].first, before[name].last) for name in before if name in gone), moved, counts)


def _known_files(table: pd.DataFrame) -> dict[str, KnownFile]:
    """Rows of the table `file` by name."""
    first, last = (table[name].to_numpy("datetime64[h]") for name in ("first", "last"))
    rows = zip(table["name"], table["sha256"], table["bytes"], table["modified"], first, last, table["vanished"] == 1,
               strict=True)
    return {name: KnownFile(*row) for name, *row in rows}


def _state(source: IngestSource, part: ArchivePart, old: KnownFile | None) -> tuple[str, str]:
    """Whether a part is new, changed or unchanged, and its hash."""
    if old and (old.bytes, old.modified, old.vanished) == (part.size, part.modified, False):
        return "unchanged", old.sha256
    sha256 = files.sha256_of(source.file(part))
    if old is None:
        return "new", sha256
    return ("unchanged" if old.sha256 == sha256 else "changed"), sha256


def stretches(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order; those that share hours become one."""
    current: Span | None = None
    for first, last in sorted(spans):
        if current and first <= current[1]:
            current = (current[0], max(current[1], last))
            continue
        if current:
            yield current
        current = (first, last)
    if current:
        yield current


def hours_inside(hours: np.ndarray, spans: Iterable[Span]) -> np.ndarray:
    """Which of some hours lie in one of some spans, bool (hours,)."""
    first, last = np.array(list(spans), "datetime64[h]").reshape(-1, 2).T
    return np.searchsorted(np.sort(first), hours, "right") > np.searchsorted(np.sort(last), hours, "left")


def near(chosen: np.ndarray, reach: int) -> np.ndarray:
    """Which of consecutive hours lie at most `reach` hours from a chosen one, bool (hours,)."""
    return np.convolve(chosen, np.ones(2 * reach + 1))[reach:reach + len(chosen)] > 0.5


def join_stations(sources: list[tuple[IngestSource, bool]],
                  before: pd.DataFrame | None) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """One table of stations sorted by id, and (source name, sentence) for each that has two places.

    The first place is used: that of the archive, if it knows the station, else of the first source. A source with
    another station table than the last time (True) comes before the archive.
    """
    tables = [(source.name, source.archive.stations) for source, renewed in sources if renewed]
    if before is not None:
        tables.append((ARCHIVE_NAME, before))
    tables += [(source.name, source.archive.stations) for source, renewed in sources if not renewed]
    first_name, joined = tables[0][0], tables[0][1].reindex(columns=STATION_COLUMNS)
    remarks = []
    for name, table in tables[1:]:
        both = table.merge(joined, on="station_id", suffixes=("", "_first"))
        away = geo.distance_km(both["lat"], both["lon"], both["lat_first"], both["lon_first"])
        subject = first_name if name == ARCHIVE_NAME else name  # a remark is about a source
        remarks += [(subject, f"station {station} lies {km:.1f} km from {first_name}'s place in {name}; that of "
                              f"{first_name} is used") for station, km in zip(both["station_id"], away, strict=True)
                    if km > SAME_STATION_KM]
        new = table[~table["station_id"].isin(joined["station_id"])].reindex(columns=STATION_COLUMNS)
        joined = pd.concat([joined, new], ignore_index=True)
    joined = joined.sort_values("station_id", ignore_index=True)
    lost = {station for _, table in tables for station in table.attrs.get("without_coordinates", [])}
    joined.attrs["without_coordinates"] = sorted(lost - set(joined["station_id"]))
    return joined, remarks
