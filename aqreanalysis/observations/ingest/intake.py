"""One month of a station archive, from its sources to screened arrays: the unit of work of an ingest.

The sources are merged in the order of their numbers: where an earlier one has a value, it is used. What is not read
again comes from the archive as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import files, schema
from aqreanalysis.observations import quality, stations
from aqreanalysis.observations.ingest import archive_writer
from aqreanalysis.observations.ingest.plan import RemarkRow
from aqreanalysis.observations.ingest.sources import Span, hours_inside
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.observations.readers.station_archive import (
    ANOMALY,
    COUNTS,
    FLAG,
    NOTE,
    PASSED_OVER,
    PRESET,
    SKIPPED,
    SOURCE,
    StationArchive,
)
from aqreanalysis.time_axis import HOUR

SAME_VALUE = 1e-3  # relative; values that were converted differ in the last digits


@dataclass(frozen=True)
class SourceToRead:
    """A source from which hours are read."""

    number: int
    archive: Archive
    identity: tuple            # equal where the same files are read in the same way
    held: tuple[Span, ...]     # hours of the files that are there
    kept: tuple[Span, ...]     # hours of files that are gone
    known: frozenset[str]      # sentences on files without hours, which are reported once and not for each month


@dataclass(frozen=True)
class IngestJob:
    """One month to make."""

    number: int
    first: np.datetime64       # END-of-hour stamps: the month's part of the archive's axis
    last: np.datetime64
    axis: Span                 # of the whole archive
    read: tuple[Span, ...]     # hours that are read from the given sources
    sources: int               # how many the archive has
    given: tuple[SourceToRead, ...]
    before: Path | None        # the archive as it was
    table: pd.DataFrame
    settings: quality.QualitySettings
    scratch: Path              # folder for the arrays

    @property
    def hours(self) -> np.ndarray:
        """The month and the hours around it that its flags depend on, within the archive."""
        first = max(self.first - quality.FLAG_REACH_HOURS * HOUR, self.axis[0])
        last = min(self.last + quality.FLAG_REACH_HOURS * HOUR, self.axis[1])
        return np.arange(first, last + HOUR, HOUR)

    @property
    def rows(self) -> slice:
        """The month in `hours`."""
        start = int((self.first - self.hours[0]) / HOUR)
        return slice(start, start + int((self.last - self.first) / HOUR) + 1)


@dataclass(frozen=True)
class MonthTaken:
    """A month that was made."""

    first: np.datetime64             # END-of-hour stamps of the month
    last: np.datetime64
    number: int
    arrays: Path                     # of the month, by variable, (hours, stations)
    counts: dict[int, np.ndarray]    # by source that was read: (hours of the month, len(COUNTS))
    remarks: list[RemarkRow]
    flagged: tuple[int, int]         # PM2.5 values that quality control marked, and all


def take_month(job: IngestJob) -> MonthTaken:
    """Read, merge and screen a month; its arrays are in the job's scratch folder."""
    merged = _Merged(job)
    before = StationArchive(job.before).layers(job.hours, job.table["station_id"]) if job.before else {}
    given = {source.number: source for source in job.given}
    for number in range(1, job.sources + 1):
        layer = _layer_before(before, number)
        if number in given:
            layer = _renewed(layer, given[number], job)
        merged.add(number, layer)
    screened = quality.screen(merged.cube(), job.settings)
    arrays = {str(name): screened[name].values[job.rows] for name in screened.data_vars}
    arrays |= {name + SOURCE: origin[job.rows] for name, origin in merged.origin.items()}
    path = job.scratch / f"{job.number}.npz"
    with files.writing(path, archive_writer.INGEST_FIX):
        np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stubs take an array for allow_pickle
    counts = {number: merged.counts[number][job.rows] for number in given}
    flags = arrays[schema.TARGET + FLAG][~np.isnan(arrays[schema.TARGET])]
    flagged = (int((flags > 0).sum()), flags.size)
    return MonthTaken(job.first, job.last, job.number, path, counts, _remarks(job), flagged)


Layer = dict[str, np.ndarray]  # values and preset flags of one source, (hours, stations)


def _layer_before(before: Layer, number: int) -> Layer:
    """What the archive has from one source."""
    layer = {}
    for name in [name for name in before if name + SOURCE in before]:
        own = before[name + SOURCE] == number
        layer[name] = np.where(own, before[name], np.float32(np.nan))
        if name + FLAG in before:
            layer[name + FLAG] = np.where(own, before[name + FLAG] & PRESET, 0).astype(schema.FLAG_DTYPE)
    return layer


def _renewed(layer: Layer, source: SourceToRead, job: IngestJob) -> Layer:
    """The layer, with the hours that are read replaced by what the source's files have.

    In the hours of a file that is gone, what was read from it is kept where no other file has a value.
    """
    hours, shape, archive = job.hours, (len(job.hours), len(job.table)), _cached_archive(source)
    read, held, kept = (hours_inside(hours, spans) for spans in (job.read, source.held, source.kept))
    for name, stored in layer.items():
        stored[read & ~held & ~kept] = _missing_value(name)  # hours that a changed file does not have any more
    place = pd.Index(job.table["station_id"]).get_indexer(archive.stations["station_id"])
    for rows in _true_runs(read & held):
        cube = archive.read(hours[rows][0], hours[rows][-1])
        stays = kept[rows, None]
        for name in dict.fromkeys([*map(str, cube.data_vars), *layer]):
            if name.endswith(FLAG):
                continue
            fresh = _on_all_stations(cube, name, place, shape[1])
            keeps = stays & np.isnan(fresh)
            for part, new in ((name, fresh), (name + FLAG, _on_all_stations(cube, name + FLAG, place, shape[1]))):
                if part in cube or part in layer:
                    stored = layer.setdefault(part, np.full(shape, _missing_value(part)))
                    stored[rows] = np.where(keeps, stored[rows], new)
    return layer


_latest: dict[int, SourceToRead] = {}  # by number, of this process


def _cached_archive(source: SourceToRead) -> Archive:
    """The archive of a source; if possible that of this process's previous job, which may have kept what it parsed."""
    before = _latest.get(source.number)
    if before is None or before.identity != source.identity:
        _latest[source.number] = source
    return _latest[source.number].archive


def _on_all_stations(cube: xr.Dataset, name: str, place: np.ndarray, count: int) -> np.ndarray:
    """A variable of a cube on all `count` stations; of the flags, only those that readers set."""
    spread = np.full((cube.sizes[schema.TIME], count), _missing_value(name))
    if name in cube:
        spread[:, place] = cube[name].values & PRESET if name.endswith(FLAG) else cube[name].values
    return spread


def _missing_value(name: str) -> np.generic:
    return schema.FLAG_DTYPE(0) if name.endswith(FLAG) else np.float32(np.nan)


class _Merged:
    """Layers merged: values, the flags that came with them, and the number of the source of each."""

    def __init__(self, job: IngestJob):
        self._job, self._shape = job, (len(job.hours), len(job.table))
        self.values: Layer = {}
        self.origin: dict[str, np.ndarray] = {}
        self.counts: dict[int, np.ndarray] = {}

    def add(self, number: int, layer: Layer) -> None:
        """Use what no layer before has."""
        counts = self.counts[number] = np.zeros((self._shape[0], len(COUNTS)), np.int32)
        for name in [name for name in layer if not name.endswith(FLAG)]:
            values = self.values.setdefault(name, np.full(self._shape, np.nan, np.float32))
            origin = self.origin.setdefault(name, np.zeros(self._shape, np.uint8))
            new = ~np.isnan(layer[name])
            both = new & ~np.isnan(values)
            if name in schema.POLLUTANTS:
                differ = both & ~np.isclose(layer[name], values, rtol=SAME_VALUE, atol=0)
                counts += np.stack([new.sum(axis=1), both.sum(axis=1), differ.sum(axis=1)], axis=1)
            take = new & ~both
            values[take], origin[take] = layer[name][take], number
            if name + FLAG in layer:
                flags = self.values.setdefault(name + FLAG, np.zeros(self._shape, schema.FLAG_DTYPE))
                flags[take] = layer[name + FLAG][take]

    def cube(self) -> xr.Dataset:
        """The raw station cube."""
        cube = stations.empty_cube(self._job.hours.astype("datetime64[ns]"), self._job.table)
        for name in schema.POLLUTANTS:
            self.origin.setdefault(name, np.zeros(self._shape, np.uint8))
        return cube.assign({name: ((schema.TIME, schema.STATION), array) for name, array in self.values.items()})


def _remarks(job: IngestJob) -> list[RemarkRow]:
    """What the readers remark on the files of the hours that are read."""
    hours = job.hours[job.rows]
    read = hours_inside(hours, job.read)
    rows: list[RemarkRow] = []
    for source in job.given:
        for span in source.held:
            if span[0] > job.last or span[1] < job.first:
                continue
            for run in _true_runs(read & hours_inside(hours, (span,))):
                first, last = hours[run][0], hours[run][-1]
                found = _cached_archive(source).inspect(first, last)
                for kind, sentences in ((SKIPPED, found.skipped), (ANOMALY, found.anomalies), (NOTE, found.notes),
                                        (PASSED_OVER, found.passed_over)):
                    rows += [(source.number, kind, first, last, text) for text in sentences
                             if text not in source.known]
    return rows


def _true_runs(chosen: np.ndarray) -> list[slice]:
    """Runs of True, as slices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return [slice(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
