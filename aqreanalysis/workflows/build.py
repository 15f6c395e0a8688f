"""The main job, from observations to cubes and maps: `build` is the whole of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

from aqreanalysis import output
from aqreanalysis.output import cf
from aqreanalysis.product import report
from aqreanalysis.product.folder import Record, open_record
from aqreanalysis.product.month import analyse_month
from aqreanalysis.product.plan import BuildRequest, Plan, prepare
from aqreanalysis.product.validation import self_calibrated
from aqreanalysis.recipes import PRODUCT_CALIBRATION
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import run_jobs


class Progress(Protocol):
    """Shows how far a build is; a context manager, made from the plan and the months that are to be made."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *error: object) -> None: ...

    def validating(self, parts: int) -> None:
        """Stations are hidden in so many parts of the period's days, before the months are made."""

    def part_validated(self) -> None:
        """One of them is done."""

    def validated(self, line: str) -> None:
        """All are; `line` says what was found."""

    def month_done(self, label: str) -> None:
        """A month ("2019-01") is done."""

    def message(self, text: str) -> None:
        """A worker was lost, or the like."""


class NoProgress:
    """Shows nothing."""

    def __init__(self, plan: Plan, months: list[Period]):
        pass

    def __enter__(self) -> NoProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def validating(self, parts: int) -> None:
        """See Progress."""

    def part_validated(self) -> None:
        """See Progress."""

    def validated(self, line: str) -> None:
        """See Progress."""

    def month_done(self, label: str) -> None:
        """See Progress."""

    def message(self, text: str) -> None:
        """See Progress."""


def build(request: BuildRequest, progress: Callable[[Plan, list[Period]], Progress] = NoProgress) -> Path:
    """Make a product, or continue one; returns its folder.

    Everything that can be wrong with the input is found before the first hour is computed.
    """
    began, plan = time.monotonic(), prepare(request)
    with open_record(plan.folder, plan.identity) as record:
        months = record.begin(plan.facts)
        plan.folder.remove_unfinished()
        with progress(plan, months) as shown:
            plan = calibrate(plan, record, request, shown)
            months = record.left()
            create_stores(plan, record, months)
            analyse_months(plan, record, months, request, shown)
        finish_stores(plan, record)
        write_daily_files(plan, record)
        draw_and_report(plan, record, request.workers, began)
        plan.folder.remove_unfinished()
    return plan.folder.path


def calibrate(plan: Plan, record: Record, request: BuildRequest, shown: Progress) -> Plan:
    """The plan with factors of errors that were fitted to the product's own stations, where these are wanted."""
    if plan.calibration != PRODUCT_CALIBRATION:
        return plan

    def run(function: Callable, jobs: list, shared: Any) -> Generator:
        return run_jobs(function, jobs, request.workers, request.scheduler, shared, shown.message)

    return self_calibrated(plan, record, run, shown)


def analyse_months(plan: Plan, record: Record, months: list[Period], request: BuildRequest, shown: Progress) -> None:
    """Make months, each by one process, here or elsewhere, and note each that is done."""
    results = run_jobs(analyse_month, months, request.workers, request.scheduler, plan.job, shown.message)
    with contextlib.closing(results):  # an error here ends the workers too
        for label, facts in results:
            record.note_month(label, facts)
            shown.month_done(label)
            silent = cover.silent_months() if (cover := plan.inventory.coverage) else []  # these were told before
            if facts["hours_without_observations"] == facts["hours"] and label not in silent:
                shown.message(f"{label}: no station has a usable PM2.5 value in any of its {facts['hours']} hours; its "
                              "values are missing, or estimated from hours before and after")


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


def draw_and_report(plan: Plan, record: Record, workers: int, began: float) -> None:
    """Maps, by as many processes, and the page that shows them; `began` is the moment at which the build did."""
    record.remove_damaged_maps()
    maps = report.draw_maps(plan, workers)
    for path in maps:
        record.note_file(path)
    record.note_bounds()
    record.content["seconds"] = round(time.monotonic() - began, 1)
    record.save()
    report.write_report(plan, record.content, maps)
