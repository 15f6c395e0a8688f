"""What is given to an ingest, and what of it an archive does not have yet.

IngestSource files are told by name, size and time of modification; where only the time differs, by their hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import files, geo
from aqreanalysis.errors import UserError
from aqreanalysis.observations import datums
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import Archive, ArchivePart
from aqreanalysis.observations.readers.station_archive import TABLES, Provenance

ARCHIVE = "the archive"  # by which remarks call it
SAME_STATION_KM = 1.0  # coordinates of one station in two tables may differ by their rounding
Span = tuple[np.datetime64, np.datetime64]  # first and last END-of-hour stamp, both included


@dataclass(frozen=True)
class IngestSource:
    """A folder or file that is given, opened."""

    name: str
    path: Path
    archive: Archive
    parts: tuple[ArchivePart, ...]
    station_table: str    # sha256 of the table that it was opened with, "" where there is none; and the datum given

    @cached_property
    def refused(self) -> tuple[str, ...]:
        """Sentences about files that hold no hour at all: those that stand in a look at an hour without files."""
        nowhere = self.archive.period()[1] + np.timedelta64(366, "D")
        return tuple(self.archive.inspect(nowhere, nowhere).skipped)

    def file(self, part: ArchivePart) -> Path:
        """Where a part lies."""
        return self.path / part.name if self.path.is_dir() else self.path


@dataclass(frozen=True)
class Changes:
    """What of a source an archive does not have yet."""

    files: pd.DataFrame       # the source's rows of the table `file`, as they will be, without `values`
    read: tuple[Span, ...]    # hours that are to be read
    kept: tuple[Span, ...]    # hours of files that are gone: what was read from them stays
    moved: bool               # a file has vanished since the last time, or is there again
    counts: dict[str, int]    # files: new, changed, unchanged, vanished


def open_sources(paths: list[str], station_table: str | None, datum: str | None = None) -> list[IngestSource]:
    """The archives at some paths; a UserError where one is given twice, or simulated beside real ones."""
    found = []
    resolved = [Path(path).expanduser().resolve() for path in paths]
    for given, path in zip(paths, resolved, strict=True):
        if resolved.count(path) > 1:
            raise UserError(f"{given} was given twice.", "Each source is given once.", "Leave one out.")
        archive = open_archive(given, station_table)
        archive.stations = datums.table_in_wgs84(archive.stations, datum)
        name = path.name if [other.name for other in resolved].count(path.name) == 1 else path.as_posix()
        found.append(IngestSource(name, path, archive, tuple(archive.parts()),
                            _table_hash(path, station_table) + (f" {datum}" if datum else "")))
    if len({source.archive.simulated for source in found}) > 1:
        raise UserError("Some of the sources are simulated and some are not.",
                        "An archive holds real observations or simulated ones.", "Write two archives.")
    return found


def _table_hash(path: Path, station_table: str | None) -> str:
    """Which stations are read from a file depends on the table that places them."""
    beside = (path if path.is_dir() else path.parent) / "stations.csv"
    table = Path(station_table).expanduser() if station_table else beside
    return files.sha256_of(table) if table.is_file() else ""


def number_sources(sources: list[IngestSource], record: Provenance) -> dict[int, IngestSource]:
    """The sources by number: those that an archive knows keep theirs, new ones follow in the order given."""
    names = list(record.tables["source"]["name"])
    names += [source.name for source in sources if source.name not in names]
    return {names.index(source.name) + 1: source for source in sources}


def has_new_table(number: int, source: IngestSource, record: Provenance) -> bool:
    """Whether an archive knows a source, but with another station table."""
    known = record.tables["source"]["station_table"]
    return number <= len(known) and known.iloc[number - 1] != source.station_table


def compare(number: int, source: IngestSource, record: Provenance, axis: Span) -> Changes:
    """What of a source is to be read into an archive that will have the hours of `axis`."""
    known = record.tables["file"]
    before = known[known["source"] == number].set_index("name")
    whole = has_new_table(number, source, record)  # it may name stations that were passed over
    rows, read, counts = [], [], dict.fromkeys(("new", "changed", "unchanged", "vanished"), 0)
    for part in source.parts:
        first, last = max(part.first, axis[0]), min(part.last, axis[1])
        if last < first:
            continue
        old = before.loc[part.name] if part.name in before.index else None
        state, sha256 = _state(source, part, old)
        counts[state] += 1
        if old is not None:  # hours that were read from an earlier version are looked at again
            first, last = min(first, np.datetime64(old["first"], "h")), max(last, np.datetime64(old["last"], "h"))
        grown = old is not None and (first < old["first"] or last > old["last"])
        if state != "unchanged" or grown or whole:
            read.append((first, last))
        rows.append((number, part.name, sha256, part.size, part.modified, first, last, 0, 0))
    gone = before[~before.index.isin([part.name for part in source.parts])]
    counts["vanished"] = len(gone)
    table = pd.DataFrame(rows, columns=list(TABLES["file"]))
    table = pd.concat([table, gone.reset_index().assign(vanished=1)[list(TABLES["file"])]], ignore_index=True)
    kept = [(np.datetime64(row.first, "h"), np.datetime64(row.last, "h")) for row in gone.itertuples()]
    moved = bool((gone["vanished"] == 0).any()) or bool((before.drop(gone.index)["vanished"] == 1).any())
    return Changes(table.sort_values("name", ignore_index=True), tuple(stretches(read)), tuple(kept), moved, counts)


def _state(source: IngestSource, part: ArchivePart, old) -> tuple[str, str]:
    """Whether a part is new, changed or unchanged, and its hash."""
    if old is not None and (old["bytes"], old["modified"], old["vanished"]) == (part.size, part.modified, 0):
        return "unchanged", old["sha256"]
    sha256 = files.sha256_of(source.file(part))
    if old is None:
        return "new", sha256
    return ("unchanged" if old["sha256"] == sha256 else "changed"), sha256


def stretches(spans) -> Iterator[Span]:
    """Spans in order; those that share hours become one."""
    current = None
    for first, last in sorted(spans):
        if current and first <= current[1]:
            current = (current[0], max(current[1], last))
            continue
        if current:
            yield current
        current = (first, last)
    if current:
        yield current


def hours_inside(hours: np.ndarray, spans) -> np.ndarray:
    """Which of some hours lie in one of some spans, bool (hours,)."""
    first, last = np.array(list(spans), "datetime64[h]").reshape(-1, 2).T
    return np.searchsorted(np.sort(first), hours, "right") > np.searchsorted(np.sort(last), hours, "left")


def near(chosen: np.ndarray, reach: int) -> np.ndarray:
    """Which of consecutive hours lie at most `reach` hours from a chosen one, bool (hours,)."""
    return np.convolve(chosen, np.ones(2 * reach + 1))[reach:reach + len(chosen)] > 0.5


def join_stations(sources: list[tuple[IngestSource, bool]], before: pd.DataFrame | None) -> tuple[pd.DataFrame, list]:
    """One table of stations sorted by id, and (source name, sentence) for each that has two places.

    The first place counts: that of the archive, if it knows the station, else of the first source. A source with
    another station table than the last time (True) comes before the archive.
    """
    tables = [(source.name, source.archive.stations) for source, renewed in sources if renewed]
    tables += [(ARCHIVE, before)] * (before is not None)
    tables += [(source.name, source.archive.stations) for source, renewed in sources if not renewed]
    columns = ["station_id", "lat", "lon", "name", "city", "province"]
    joined, remarks = tables[0][1].reindex(columns=columns), []
    for name, table in tables[1:]:
        both = table.merge(joined, on="station_id", suffixes=("", "_first"))
        away = geo.distance_km(both["lat"], both["lon"], both["lat_first"], both["lon_first"])
        told = tables[0][0] if name == ARCHIVE else name  # a remark is about a source
        remarks += [(told, f"station {row.station_id} lies {km:.1f} km from {tables[0][0]}'s place in {name}; that of "
                           f"{tables[0][0]} counts") for row, km in zip(both.itertuples(), away, strict=True)
                    if km > SAME_STATION_KM]
        new = table[~table["station_id"].isin(joined["station_id"])].reindex(columns=columns)
        joined = pd.concat([joined, new], ignore_index=True)
    joined = joined.sort_values("station_id", ignore_index=True)
    lost = {station for _, table in tables for station in table.attrs.get("without_coordinates", [])}
    joined.attrs["without_coordinates"] = sorted(lost - set(joined["station_id"]))
    return joined, remarks
