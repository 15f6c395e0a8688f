"""One month of a station archive, from its sources to screened arrays: the unit of an ingest's work.

The sources are laid over each other in the order of their numbers: where an earlier one has a value, it stands.
What is not read again comes from the archive as it was.
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
from aqreanalysis.observations.ingest.sources import Span, hours_inside
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.observations.readers.station_archive import (
    ANOMALY,
    COUNTS,
    FLAG,
    PRESET,
    SKIPPED,
    SOURCE,
    StationArchive,
)
from aqreanalysis.time_axis import HOUR

SAME_VALUE = 1e-3  # relative; units that were converted differ in the last digits


@dataclass(frozen=True)
class Given:
    """A source of which hours are read."""

    number: int
    archive: Archive
    identity: tuple            # equal for what reads the same files the same way
    held: tuple[Span, ...]     # hours of the files that are there
    kept: tuple[Span, ...]     # hours of files that are gone
    known: frozenset[str]      # sentences about files of no hours, which are told once for all months


@dataclass(frozen=True)
class IngestJob:
    """One month to make."""

    number: int
    first: np.datetime64       # END-of-hour stamps: the month's part of the archive's axis
    last: np.datetime64
    axis: Span                 # of the whole archive
    read: tuple[Span, ...]     # hours that are read from the given sources
    sources: int               # how many the archive has
    given: tuple[Given, ...]
    before: Path | None        # the archive as it was
    table: pd.DataFrame
    settings: quality.QualitySettings
    scratch: Path              # folder for the arrays

    @property
    def hours(self) -> np.ndarray:
        """The month and what lies round it as far as a flag's reasons may, within the archive."""
        first = max(self.first - quality.FLAG_REACH_HOURS * HOUR, self.axis[0])
        last = min(self.last + quality.FLAG_REACH_HOURS * HOUR, self.axis[1])
        return np.arange(first, last + HOUR, HOUR)

    @property
    def rows(self) -> slice:
        """The month in `hours`."""
        start = int((self.first - self.hours[0]) / HOUR)
        return slice(start, start + int((self.last - self.first) / HOUR) + 1)


@dataclass(frozen=True)
class Taken:
    """What came of a month."""

    first: np.datetime64             # END-of-hour stamps of the month
    last: np.datetime64
    number: int
    arrays: Path                     # of the month, by variable, (hours, stations)
    counts: dict[int, np.ndarray]    # by source that was read: (hours of the month, len(COUNTS))
    remarks: list[tuple]             # rows of the table `remark`
    flagged: tuple[int, int]         # PM2.5 values that quality control marked, and all


def take_month(job: IngestJob) -> Taken:
    """Read, merge and screen a month; the arrays lie in the job's scratch folder."""
    merged = _Merged(job)
    before = StationArchive(job.before).layers(job.hours, job.table["station_id"]) if job.before else {}
    given = {source.number: source for source in job.given}
    for number in range(1, job.sources + 1):
        layer = _stored(before, number)
        if number in given:
            layer = _renewed(layer, given[number], job)
        merged.add(number, layer)
    screened = quality.screen(merged.cube(), job.settings)
    arrays = {name: screened[name].values[job.rows] for name in screened.data_vars}
    arrays |= {name + SOURCE: origin[job.rows] for name, origin in merged.origin.items()}
    path = job.scratch / f"{job.number}.npz"
    with files.writing(path, archive_writer.INGEST_FIX):
        np.savez(path, **arrays)
    counts = {number: merged.counts[number][job.rows] for number in given}
    flags = arrays[schema.TARGET + FLAG][~np.isnan(arrays[schema.TARGET])]
    return Taken(job.first, job.last, job.number, path, counts, _remarks(job), (int((flags > 0).sum()), flags.size))


Layer = dict[str, np.ndarray]  # values and preset flags of one source, (hours, stations)


def _stored(before: Layer, number: int) -> Layer:
    """What the archive has from one source."""
    layer = {}
    for name in [name for name in before if name + SOURCE in before]:
        own = before[name + SOURCE] == number
        layer[name] = np.where(own, before[name], np.float32(np.nan))
        if name + FLAG in before:
            layer[name + FLAG] = np.where(own, before[name + FLAG] & PRESET, 0).astype(schema.FLAG_DTYPE)
    return layer


def _renewed(layer: Layer, source: Given, job: IngestJob) -> Layer:
    """The layer with the hours that are read taken from the source's files.

    In hours of a file that is gone, what was read from it stays where no other file has a value.
    """
    hours, shape, archive = job.hours, (len(job.hours), len(job.table)), _cached_archive(source)
    read, held, kept = (hours_inside(hours, spans) for spans in (job.read, source.held, source.kept))
    for name, stored in layer.items():
        stored[read & ~held & ~kept] = _missing_value(name)  # hours that a changed file has no longer
    place = pd.Index(job.table["station_id"]).get_indexer(archive.stations["station_id"])
    for rows in _runs(read & held):
        cube = archive.read(hours[rows][0], hours[rows][-1])
        stays = kept[rows, None]
        for name in {**cube.data_vars, **layer}:
            if name.endswith(FLAG):
                continue
            fresh = _on_all_stations(cube, name, place, shape[1])
            keeps = stays & np.isnan(fresh)
            for part, new in ((name, fresh), (name + FLAG, _on_all_stations(cube, name + FLAG, place, shape[1]))):
                if part in cube or part in layer:
                    stored = layer.setdefault(part, np.full(shape, _missing_value(part)))
                    stored[rows] = np.where(keeps, stored[rows], new)
    return layer


_latest: dict[int, Given] = {}  # of this process


def _cached_archive(source: Given) -> Archive:
    """The archive of a source; that of this process's job before, which may have kept what it parsed."""
    before = _latest.get(source.number)
    if before is None or before.identity != source.identity:
        _latest[source.number] = source
    return _latest[source.number].archive


def _on_all_stations(cube: xr.Dataset, name: str, place: np.ndarray, count: int) -> np.ndarray:
    """A variable of a cube on all `count` stations, of flags those that readers set."""
    spread = np.full((cube.sizes[schema.TIME], count), _missing_value(name))
    if name in cube:
        spread[:, place] = cube[name].values & PRESET if name.endswith(FLAG) else cube[name].values
    return spread


def _missing_value(name: str):
    return schema.FLAG_DTYPE(0) if name.endswith(FLAG) else np.float32(np.nan)


class _Merged:
    """Layers over each other: values, the flags that came with them, and where each is from."""

    def __init__(self, job: IngestJob):
        self._job, self._shape = job, (len(job.hours), len(job.table))
        self.values: Layer = {}
        self.origin: dict[str, np.ndarray] = {}
        self.counts: dict[int, np.ndarray] = {}

    def add(self, number: int, layer: Layer) -> None:
        """Take from a layer what no layer before it has."""
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


def _remarks(job: IngestJob) -> list[tuple]:
    """What the readers say of the files of the hours that are read, as rows of the table `remark`."""
    hours = job.hours[job.rows]
    read, rows = hours_inside(hours, job.read), []
    for source in job.given:
        for span in source.held:
            if span[0] > job.last or span[1] < job.first:
                continue
            for run in _runs(read & hours_inside(hours, (span,))):
                first, last = hours[run][0], hours[run][-1]
                found = _cached_archive(source).inspect(first, last)
                for kind, sentences in ((SKIPPED, found.skipped), (ANOMALY, found.anomalies)):
                    rows += [(source.number, kind, first, last, text) for text in sentences
                             if text not in source.known]
    return rows


def _runs(chosen: np.ndarray) -> list[slice]:
    """Runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return [slice(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
