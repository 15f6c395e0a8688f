"""What an ingest will do, settled before anything is written: sources, hours, stations, and the months to make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations import quality
from aqreanalysis.observations.ingest.sources import (
    Changes,
    IngestSource,
    Span,
    compare,
    has_new_table,
    hours_inside,
    join_stations,
    near,
    number_sources,
    stretches,
)
from aqreanalysis.observations.readers.archive import as_hour
from aqreanalysis.observations.readers.station_archive import (
    ANOMALY,
    REFUSED,
    STATION_ARCHIVE,
    Provenance,
    StationArchive,
)
from aqreanalysis.time_axis import HOUR, Period

RemarkRow = tuple[int, str, np.datetime64, np.datetime64, str]  # source, kind, first, last, text: of the table `remark`
EARLIEST, LATEST = np.datetime64("1990-01-01T00", "h"), np.datetime64("2100-01-01T00", "h")


@dataclass(frozen=True)
class IngestPlan:
    """A checked ingest."""

    sources: dict[int, IngestSource]   # those that are given, by number
    changes: dict[int, Changes]
    before: StationArchive | None      # the archive as it was
    provenance: Provenance             # of it
    axis: Span                         # of the archive as it will be
    table: pd.DataFrame                # its stations
    remarks: list[RemarkRow]           # those that are known before a file is read
    settings: quality.QualitySettings

    @property
    def hours(self) -> np.ndarray:
        """datetime64[h] (hours,)."""
        return np.arange(self.axis[0], self.axis[1] + HOUR, HOUR)

    def read(self) -> tuple[Span, ...]:
        """Hours that are read, from every source that has them: what is used of one depends on the others."""
        return tuple(stretches(span for changes in self.changes.values() for span in changes.read))

    def stale(self) -> np.ndarray:
        """Which hours are not in the archive as it was with the flags that they will have, bool (hours,)."""
        if self.before is None or not (self.before.screened_with(self.settings)
                                       and _same_places(self.before.stations, self.table)):
            return np.ones(len(self.hours), bool)
        had = hours_inside(self.hours, [self.before.period()])
        return near(hours_inside(self.hours, self.read()), quality.FLAG_REACH_HOURS) | ~had

    def months(self) -> list[Span]:
        """The axis cut at calendar months, UTC+8: the jobs of an ingest."""
        first, last = time_axis.local_days(np.array(self.axis)).astype(object)
        spans = [month.hours[[0, -1]].astype("datetime64[h]") for month in Period(first, last).months()]
        return [(max(start, self.axis[0]), min(end, self.axis[1])) for start, end in spans]


def check_target(target: Path) -> None:
    """UserError for a target that is not a .nc file, or a file that is not a station archive."""
    rule, fix = "An archive is a .nc file of its own.", "Give another name with --to."
    if target.suffix.lower() != ".nc" or target.is_dir():
        raise UserError(f"{target} is {'a folder' if target.is_dir() else 'not the name of a .nc file'}.", rule, fix)
    if target.exists() and not STATION_ARCHIVE.recognises(target):
        why = "; ".join(STATION_ARCHIVE.refused(target)) or "it is not a file"
        raise UserError(f"{target} exists and is not a station archive: {why}.", rule, fix)


def plan_ingest(opened: list[IngestSource], target: Path, period: Period | None,
                settings: quality.QualitySettings) -> IngestPlan:
    """The plan; a UserError for everything that can be wrong with sources, target, period and settings."""
    if any(source.path == target.resolve() for source in opened):
        raise UserError(f"{target} is a source and the target.", "An archive is not made from itself.",
                        "Give another name with --to.")
    before = StationArchive(target) if target.exists() else None
    simulated = opened[0].archive.simulated
    if before is not None:
        _check_settings(before, settings, target)
        if before.simulated != simulated:
            raise UserError(f"{target} is {'simulated' if before.simulated else 'real'} and the sources are not.",
                            "An archive holds real observations or simulated ones.", "Write two archives.")
    provenance = before.provenance() if before else Provenance.empty()
    sources = number_sources(opened, provenance)
    axis = _axis(opened, before, period)
    changes = {number: compare(number, source, provenance, axis) for number, source in sources.items()}
    renewed = [(source, has_new_table(number, source, provenance)) for number, source in sources.items()]
    table, moved = join_stations(renewed, before.stations if before else None)
    number_of = {source.name: number for number, source in sources.items()}
    remarks = [(number_of[name], ANOMALY, *axis, text) for name, text in moved]
    for number, source in sources.items():
        remarks += [(number, REFUSED, *axis, text) for text in source.refused]
    return IngestPlan(sources, changes, before, provenance, axis, table, remarks, settings)


def _check_settings(before: StationArchive, settings: quality.QualitySettings, target: Path) -> None:
    now = settings.model_dump(mode="json")
    for key in sorted(now.keys() | before.settings.keys()):
        if now.get(key) != before.settings.get(key):
            raise UserError(f"{target} was screened with {key} = {before.settings.get(key)!r}; now {key} = "
                            f"{now.get(key)!r} is requested.", "An archive has one quality control.",
                            "Give another name with --to, or the same recipe.")


def _axis(opened: list[IngestSource], before: StationArchive | None, period: Period | None) -> Span:
    """First and last hour: all that is requested now or was before, without gaps."""
    parts = [part for source in opened for part in source.parts]
    if period is not None:
        first, last = period.hours[0], period.hours[-1]
        if not any(part.first <= last and part.last >= first for part in parts):
            raise UserError(f"No file holds hours of {period.first} to {period.last}.",
                            "An archive needs files of its period.", "Choose days that the sources have.")
    else:
        first, last = min(part.first for part in parts), max(part.last for part in parts)
    for part in parts if period is None else ():
        if not EARLIEST <= part.first <= part.last < LATEST:
            raise UserError(f"{part.name} holds hours from {part.first} to {part.last}.",
                            f"Observations are from {EARLIEST} on.",
                            "Correct the file, or choose days with --start and --end.")
    if before is not None:
        first, last = min(first, before.hours[0]), max(last, before.hours[-1])
    return as_hour(first), as_hour(last)


def _same_places(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables have the same stations at the same places: the spatial test depends on them."""
    columns = ["station_id", "lat", "lon"]
    return len(one) == len(other) and bool((one[columns].to_numpy() == other[columns].to_numpy()).all())
