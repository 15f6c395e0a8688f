"""`aqreanalysis ingest`: archives of any layout to one station archive, screened, with its provenance.

The archive is written month by month under a temporary name and moved when it is whole. A second ingest reads the
files that are new or changed; everything else is copied from the archive as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import __version__, files, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations import checks, quality
from aqreanalysis.observations.ingest import archive_writer
from aqreanalysis.observations.ingest.archive_attributes import ArchiveAbout
from aqreanalysis.observations.ingest.intake import IngestJob, MonthTaken, SourceToRead, take_month
from aqreanalysis.observations.ingest.plan import IngestPlan, check_target, plan_ingest
from aqreanalysis.observations.ingest.sources import STATES, Span, hours_inside, open_sources, stretches
from aqreanalysis.observations.inventory import Inventory
from aqreanalysis.observations.readers.station_archive import (
    ANOMALY,
    COUNTS,
    NOTE,
    PASSED_OVER,
    REFUSED,
    SKIPPED,
    TABLES,
    Provenance,
    StationArchive,
)
from aqreanalysis.output.cf import Contact
from aqreanalysis.time_axis import HOUR, Period
from aqreanalysis.workers import run_jobs


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest did, and what the archive is now."""

    path: Path
    written: bool             # False where nothing was new
    archive: StationArchive
    files: dict[str, int]     # of the given sources: new, changed, unchanged, vanished
    vanished: list[str]       # names
    skipped: list[str]        # a sentence for each file that could not be used
    anomalies: list[str]      # and for each anomaly in those that were
    passed_over: list[str]    # and for each file that nearly fits and was not read
    notes: list[str]          # and on how files were read
    counts: dict[str, int]    # readers.station_archive.COUNTS, over all sources and hours
    flagged: tuple[int, int]  # PM2.5 values of the months that were made: flagged by quality control, and all
    warnings: list[str]       # on the sources as a whole (checks.of_archive)


def ingest_archives(sources: list[str], target: str | Path, station_table: str | None = None,
                    period: Period | None = None, settings: quality.QualitySettings = quality.DEFAULT_SETTINGS,
                    workers: int = 1, datum: str | None = None,
                    on_month: Callable[[int, int], None] = lambda done, of: None,
                    contact: Contact | None = None, utc_offset: float | None = None,
                    tell: Callable[[Inventory], None] = lambda found: None) -> IngestSummary:
    """Write or extend the station archive at `target`.

    Parameters
    ----------
    sources : folders or files of observations. Where several have the same value, that of the first is used, and
        what the archive has comes before what is new to it.
    station_table : places of the stations, where the table does not lie beside the files.
    period : days to ingest; all that the sources hold where it is not given. An archive has one period without
        gaps: from the first to the last hour that was ever requested.
    settings : of quality control; an archive has one set of them.
    datum : of the stations' places, where their table has no column for it: wgs84, gcj02 or bd09.
    on_month : is called with the number of months that are done, and of all.
    contact : who answers for the archive, written into it; left out where it is not given.
    utc_offset : hours ahead of UTC of stamps without an offset of their own; UTC where it is not given.
    tell : gets what is known of each source before its values are read: what is used and what is not.

    Raises
    ------
    UserError : for sources that can't be read, for a target that is something else or has other settings, where
        another ingest is writing, and for a full disk. The archive stays as it was then.
    """
    target = Path(target).expanduser().absolute()
    check_target(target)
    opened = open_sources(sources, station_table, datum, utc_offset)
    busy = UserError(f"Another ingest is writing {target}.", "One at a time writes a file.",
                     "Wait for it, or give another name with --to.")
    with files.held(target.with_name(f".{target.name}.lock"), busy, archive_writer.INGEST_FIX):
        files.remove_leftovers(target.parent, target.name)
        plan = plan_ingest(opened, target, period, settings)
        for source in plan.sources.values():
            tell(source.inventory)
        if not plan.stale().any() and not any(changes.moved for changes in plan.changes.values()):
            return _summary(plan, target, [], [], written=False)
        warnings = [f"{source.name}: {text}" for source in plan.sources.values()
                    for text in checks.of_archive(source.archive, *plan.axis)]
        taken = _write(plan, target, workers, contact or Contact(), on_month)
        return _summary(plan, target, taken, warnings, written=True)


def _write(plan: IngestPlan, target: Path, workers: int, contact: Contact,
           on_month: Callable[[int, int], None]) -> list[MonthTaken]:
    """Make the months that are stale, copy the others, and move the file to its name when it is whole."""
    months, stale = plan.months(), plan.stale()
    with files.writing(target, archive_writer.INGEST_FIX):
        scratch = tempfile.TemporaryDirectory(prefix=f"{files.part_name(target).name}-", dir=target.parent)
    with scratch as folder:
        jobs = {number: _job(plan, number, span, Path(folder)) for number, span in enumerate(months)
                if stale[hours_inside(plan.hours, [span])].any()}
        results = run_jobs(take_month, jobs.values(), workers)
        taken: dict[int, MonthTaken] = {}
        with archive_writer.new_archive_file(target, plan.table, plan.hours, _about(plan, contact)) as file:
            for number, span in enumerate(months):
                row = int((span[0] - plan.axis[0]) / HOUR)
                if number in jobs:
                    while number not in taken:
                        result = next(results)
                        taken[result.number] = result
                    with np.load(taken[number].arrays) as arrays:
                        file.write(row, arrays)
                    taken[number].arrays.unlink()
                elif plan.before:
                    hours = np.arange(span[0], span[1] + HOUR, HOUR)
                    file.write(row, plan.before.layers(hours, plan.table["station_id"]))
                on_month(number + 1, len(months))
            results.close()
            file.finish(_provenance(plan, list(taken.values())))
    return list(taken.values())


def _job(plan: IngestPlan, number: int, span: Span, scratch: Path) -> IngestJob:
    given = tuple(SourceToRead(of, source.archive, (source.path, source.station_table, source.parts),
                        tuple(stretches((part.first, part.last) for part in source.parts)),
                        plan.changes[of].kept, frozenset(source.refused)) for of, source in plan.sources.items())
    return IngestJob(number, *span, plan.axis, plan.read(), _count_sources(plan), given,
               plan.before.path if plan.before else None, plan.table, plan.settings, scratch)


def _count_sources(plan: IngestPlan) -> int:
    return max(*plan.sources, len(plan.provenance.tables["source"]))


def _provenance(plan: IngestPlan, taken: list[MonthTaken]) -> Provenance:
    """The provenance of the archive as it will be."""
    counts = np.zeros((_count_sources(plan), len(COUNTS), len(plan.hours)), np.int32)
    if plan.before:
        before = plan.provenance.counts
        counts[:len(before), :, hours_inside(plan.hours, [plan.before.period()])] = before
    read = hours_inside(plan.hours, plan.read())
    for month in taken:
        rows = np.flatnonzero(hours_inside(plan.hours, [(month.first, month.last)]))
        for number, of_source in month.counts.items():
            new = read[rows]
            counts[number - 1][:, rows[new]] = of_source[new].T
    return Provenance({"source": _source_table(plan), "file": _file_table(plan, counts[:, COUNTS.index("values")]),
                   "remark": _remark_table(plan, taken)}, counts)


def _source_table(plan: IngestPlan) -> pd.DataFrame:
    known = plan.provenance.tables["source"].itertuples(index=False)
    rows = {number: tuple(row) for number, row in enumerate(known, 1)}
    rows |= {number: (source.name, source.archive.source, source.station_table)
             for number, source in plan.sources.items()}
    return pd.DataFrame([rows[number] for number in sorted(rows)], columns=list(TABLES["source"]))


def _file_table(plan: IngestPlan, values: np.ndarray) -> pd.DataFrame:
    """Files of all sources; `values` (sources, hours) are counted in the hours of each."""
    kept = plan.provenance.tables["file"]
    tables = [kept[~kept["source"].isin(list(plan.sources))], *(changes.files for changes in plan.changes.values())]
    table = pd.concat([rows for rows in tables if len(rows)], ignore_index=True).sort_values(["source", "name"])
    so_far = np.concatenate([np.zeros((len(values), 1), np.int64), values.cumsum(axis=1, dtype=np.int64)], axis=1)
    first, last = ((table[name].to_numpy("datetime64[h]") - plan.axis[0]).astype(int) for name in ("first", "last"))
    of = table["source"].to_numpy(int) - 1
    return table.assign(values=so_far[of, last + 1] - so_far[of, first]).reset_index(drop=True)


def _remark_table(plan: IngestPlan, taken: list[MonthTaken]) -> pd.DataFrame:
    """Remarks that still apply and new ones; the same sentence of several months is one row."""
    old = plan.provenance.tables["remark"]
    again = hours_inside(old["first"].to_numpy("datetime64[h]"), plan.read())
    again &= hours_inside(old["last"].to_numpy("datetime64[h]"), plan.read())
    old = old[~(old["source"].isin(list(plan.sources)) & (again | (old["kind"] == REFUSED)))]
    rows = [*old.itertuples(index=False, name=None), *plan.remarks, *(row for month in taken for row in month.remarks)]
    table = pd.DataFrame(rows, columns=list(TABLES["remark"]))
    table[["first", "last"]] = table[["first", "last"]].astype("datetime64[s]")
    joined = table.groupby(["source", "kind", "text"], sort=True, as_index=False).agg({"first": "min", "last": "max"})
    return joined[list(TABLES["remark"])]


def _about(plan: IngestPlan, contact: Contact) -> ArchiveAbout:
    table = _source_table(plan)
    simulated = plan.sources[min(plan.sources)].archive.simulated
    newest = max([*(changes.files["modified"].max() for changes in plan.changes.values()),
                  *plan.provenance.tables["file"]["modified"]])
    days = time_axis.local_days(plan.hours[[0, -1]])
    return ArchiveAbout(
        observations="; ".join(dict.fromkeys(table["phrase"])), sources=tuple(table["name"]), simulated=simulated,
        settings=plan.settings.model_dump(mode="json"),
        reference_state=schema.NO_REFERENCE_STATE if simulated else schema.reference_state(*days),
        created=str(np.datetime64(int(newest), "ns").astype("datetime64[D]")), software_version=__version__,
        contact=contact)


def _summary(plan: IngestPlan, target: Path, taken: list[MonthTaken], warnings: list[str],
             written: bool) -> IngestSummary:
    archive = StationArchive(target)
    provenance = archive.provenance()
    remarks, known = provenance.tables["remark"], provenance.tables["file"]
    totals = provenance.counts.sum(axis=(0, 2), dtype=np.int64)
    return IngestSummary(
        path=target, written=written, archive=archive,
        files={state: sum(changes.counts[state] for changes in plan.changes.values())
               for state in STATES},
        vanished=list(known["name"][(known["vanished"] == 1) & known["source"].isin(list(plan.sources))]),
        skipped=list(remarks["text"][remarks["kind"].isin((SKIPPED, REFUSED))]),
        anomalies=list(remarks["text"][remarks["kind"] == ANOMALY]),
        passed_over=list(remarks["text"][remarks["kind"] == PASSED_OVER]),
        notes=list(remarks["text"][remarks["kind"] == NOTE]),
        counts=dict(zip(COUNTS, map(int, totals), strict=True)),
        flagged=(sum(month.flagged[0] for month in taken), sum(month.flagged[1] for month in taken)),
        warnings=warnings)
