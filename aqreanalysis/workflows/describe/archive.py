"""What is in an archive of observations, found month by month: memory does not grow with its length."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.observations import checks, quality
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.observations.readers.station_archive import StationArchive
from aqreanalysis.observations.station_table import far_remark
from aqreanalysis.product.derived import OnJob, unobserved
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period

STATION_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)   # classes of stations by their share of PM2.5 hours


@dataclass
class VariableCounts:
    """Of one variable: counts and range, as reported and of what no flag marks."""

    reported: int = 0
    good: int = 0
    total: float = 0.0            # of good values
    low: float = np.inf           # of all that were reported
    high: float = -np.inf
    good_high: float = -np.inf
    flags: Counter[str] = field(default_factory=Counter)

    @property
    def mean(self) -> float:
        """Of good values; NaN without any."""
        return self.total / self.good if self.good else np.nan


@dataclass
class MonthCounts:
    """One calendar month in UTC+8."""

    label: str
    hours: int
    reported: dict[str, int]


@dataclass
class ArchiveFacts:
    """What `describe` states about an archive."""

    path: Path
    source: str
    simulated: bool
    reference_state: str
    first: np.datetime64          # stamps, UTC, END of the hour
    last: np.datetime64
    stations: int
    files: int
    bytes: int
    values: dict[str, VariableCounts] = field(default_factory=dict)
    months: list[MonthCounts] = field(default_factory=list)
    gaps: list[tuple[np.datetime64, int]] = field(default_factory=list)   # first stamp and hours, no PM2.5 anywhere
    stations_by_share: list[int] = field(default_factory=list)            # none, then up to each of STATION_SHARES[1:]
    skipped: list[str] = field(default_factory=list)     # a sentence for each file that can't be used
    anomalies: list[str] = field(default_factory=list)   # and for what is odd in files that are used
    passed_over: list[str] = field(default_factory=list)   # for each file that nearly fits and is not read
    notes: list[str] = field(default_factory=list)       # how the files are read
    warnings: list[str] = field(default_factory=list)

    @property
    def hours(self) -> int:
        """Length of the period."""
        return int((self.last - self.first) / HOUR) + 1


def archive_facts(archive: Archive, path: Path, progress: OnJob = unobserved) -> ArchiveFacts:
    """Read an archive once through: values, flags, gaps, anomalies.

    path : where it lies, for the table. progress : called with months done and months in all.
    """
    first, last = (stamp.astype("datetime64[h]") for stamp in archive.period())
    days = time_axis.local_days(np.array([first, last]))
    state = schema.NO_REFERENCE_STATE if archive.simulated else schema.reference_state(*days)
    parts = archive.parts()
    facts = ArchiveFacts(path, archive.source, archive.simulated, state, first, last, len(archive.stations), len(parts),
                  sum(part.size for part in parts))
    months = Period(days[0].item(), days[1].item()).months()
    silent, station_hours = SilentRuns(), np.zeros(facts.stations, np.int64)
    for number, month in enumerate(months):
        progress(number, len(months))
        start, end = max(month.hours[0], first), min(month.hours[-1], last)
        cube = _screened_hours(archive, start - quality.FLAG_REACH_HOURS * HOUR, end + quality.FLAG_REACH_HOURS * HOUR)
        if not archive.simulated:   # days of files are local 00:00 to 23:00
            facts.warnings += checks.cut([cube.sel(time=slice(start - HOUR, end - HOUR))])
        cube = cube.sel(time=slice(start, end))
        _add_inspection(facts, archive, start, end)
        _add_month(facts, f"{month.first:%Y-%m}", cube)
        present = np.isfinite(cube[schema.TARGET].values)
        station_hours += present.sum(axis=0)
        silent.add(cube[schema.TIME].values.astype("datetime64[h]"), present.any(axis=1))
    progress(len(months), len(months))
    facts.gaps = silent.runs()
    facts.stations_by_share = _stations_by_share(station_hours, facts.hours)
    facts.warnings = _warnings_of_the_whole(archive, first, last) + facts.warnings
    return facts


def _screened_hours(archive: Archive, start: np.datetime64, end: np.datetime64) -> xr.Dataset:
    """A station cube with the flags that a station archive holds, or those of quality control by its defaults."""
    if isinstance(archive, StationArchive):
        return archive.read_screened(start, end)
    return quality.screen(archive.read(start, end))


def _add_inspection(facts: ArchiveFacts, archive: Archive, start: np.datetime64, end: np.datetime64) -> None:
    """Add what is wrong or odd with the files of some hours; files at a month's end are inspected twice."""
    found = archive.inspect(start, end)
    for into, texts in ((facts.skipped, found.skipped), (facts.anomalies, found.anomalies),
                        (facts.passed_over, found.passed_over), (facts.notes, found.notes)):
        into.extend(text for text in dict.fromkeys(texts) if text not in into)


def _add_month(facts: ArchiveFacts, label: str, cube: xr.Dataset) -> None:
    """Add a month's values and flags."""
    flags = quality.count_flags(cube)
    reported = {}
    for name in (*schema.POLLUTANTS, *(name for name in schema.WEATHER if name in cube)):
        values = cube[name].values
        there = np.isfinite(values)
        good = there & (cube[f"{name}_flag"].values == 0) if f"{name}_flag" in cube else there
        reported[name], into = int(there.sum()), facts.values.setdefault(name, VariableCounts())
        into.reported += reported[name]
        into.good += int(good.sum())
        into.total += float(values[good].sum(dtype=np.float64))
        into.flags.update(flags.get(name, {}))
        if there.any():
            into.low, into.high = min(into.low, float(values[there].min())), max(into.high, float(values[there].max()))
        if good.any():
            into.good_high = max(into.good_high, float(values[good].max()))
    if cube.sizes[schema.TIME] >= HOURS_PER_DAY:   # the stamp 00:00 of the first day belongs to the month before
        facts.months.append(MonthCounts(label, cube.sizes[schema.TIME], reported))


def _stations_by_share(station_hours: np.ndarray, hours: int) -> list[int]:
    """How many stations never reported, and how many did up to each share of the hours."""
    share = station_hours / max(hours, 1)
    edges = [int((share <= edge).sum()) for edge in STATION_SHARES]
    return [edges[0], *np.diff(edges).tolist()]


def _warnings_of_the_whole(archive: Archive, first: np.datetime64, last: np.datetime64) -> list[str]:
    """What is strange in the places of the stations, the time zone and the units."""
    if archive.simulated:
        return []
    cubes = checks.sample(archive, first, last)
    error = checks.wrong_unit(cubes)
    return (checks.place_remarks(archive.stations) + ([f"units: {error}"] if error else checks.other_units(cubes))
            + checks.time_zone(cubes) + checks.zeros(cubes) + list(filter(None, [far_remark(archive.stations)])))


class SilentRuns:
    """Runs of hours in which no station reports, gathered from pieces of a time axis in order."""

    def __init__(self) -> None:
        self.found: list[tuple[np.datetime64, int]] = []

    def add(self, stamps: np.ndarray, heard: np.ndarray) -> None:
        """Hours, datetime64[h], and whether any station reported."""
        rows = np.flatnonzero(~heard)
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if not len(run):
                continue
            start, hours = stamps[run[0]], len(run)
            if self.found and self.found[-1][0] + self.found[-1][1] * HOUR == start:   # continues over a seam
                start, hours = self.found[-1][0], self.found.pop()[1] + hours
            self.found.append((start, hours))

    def runs(self) -> list[tuple[np.datetime64, int]]:
        """First stamp and length of each run, the longest first."""
        return sorted(self.found, key=lambda run: (-run[1], run[0]))
