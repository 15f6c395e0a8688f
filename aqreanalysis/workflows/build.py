"""The main job, from observations to cubes and maps: `build` is the whole of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from aqreanalysis import output
from aqreanalysis.output import cf
from aqreanalysis.product import report
from aqreanalysis.product.folder import Record, open_record
from aqreanalysis.product.month import analyse_month
from aqreanalysis.product.plan import BuildRequest, Plan, prepare
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import run_jobs


class Unwatched:
    """Whoever watches a build: told what is done and what happens. This one does not care."""

    def __init__(self, plan: Plan, left: list[Period]):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def done(self, label: str) -> None:
        """A month ("2019-01") is done."""

    def tell(self, text: str) -> None:
        """A worker was lost, or the like."""


def build(request: BuildRequest, watch: Callable = Unwatched) -> Path:
    """Make a product, or go on with one; returns its folder.

    Everything that can be wrong with the input is found before the first hour is computed.
    """
    plan = prepare(request)
    began = time.monotonic()
    with open_record(plan.folder, plan.identity, plan.facts) as record:
        output.remove_abandoned(plan.folder.path)
        left = record.left()
        create_stores(plan, record, left)
        with watch(plan, left) as watcher:
            running = run_jobs(analyse_month, left, request.workers, request.scheduler, plan.job, watcher.tell)
            with contextlib.closing(running) as results:  # an error here ends the workers too
                for label, facts in results:
                    record.note_month(label, facts)
                    watcher.done(label)
        finish_stores(plan, record)
        write_daily_files(plan, record)
        record.remove_damaged_maps()
        maps = report.draw_maps(plan, request.workers)
        for path in maps:
            record.note_file(path)
        record.content["seconds"] = round(time.monotonic() - began, 1)
        record.save()
        report.write_report(plan, record.content, maps)
        output.remove_abandoned(plan.folder.path)  # of workers that were lost
    return plan.folder.path


def create_stores(plan: Plan, record: Record, left: list[Period]) -> None:
    """Have the stores that months are written into, if there are any; hidden while something is missing in them."""
    for path, frequency in zip(plan.folder.stores, (cf.HOURLY, cf.TRUTH), strict=False):
        if record.store_done(path) and not left:
            continue
        if path.exists():
            plan.folder.file_format.reopen(path)
        layers = len(plan.period.months()) if frequency == cf.HOURLY else 0
        plan.folder.file_format.create(path, plan.grid, plan.period.hours, plan.about, frequency, layers)


def finish_stores(plan: Plan, record: Record) -> None:
    """Give the stores their names; every month is there."""
    for path in plan.folder.stores:
        if not record.store_done(path):
            plan.folder.file_format.finish(path)
            record.note_file(path)
            record.save()


def write_daily_files(plan: Plan, record: Record) -> None:
    """All days from the months' days, which are removed once they are in their file."""
    fields = cf.fields_of(cf.DAILY, plan.about)
    for of in plan.folder.daily():
        if not record.days_done(of):
            parts = (output.read_month_days(plan.folder.days_of(month), fields) for month in of.months)
            dates = [day for month in of.months for day in month.days()]
            output.write_daily(of.path, plan.grid, dates, parts, plan.about)
            record.note_days(of)
        for month in of.months:
            plan.folder.days_of(month).unlink(missing_ok=True)
