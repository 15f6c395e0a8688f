"""The main job, from observations to cubes and maps: `build` is the whole of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from aqreanalysis import execution, output, product, report
from aqreanalysis.month import analyse_month
from aqreanalysis.plan import Plan, Request, prepare


def build(request: Request, watch: Callable = lambda plan: _Unwatched()) -> Path:
    """Make a product, or go on with one; returns its folder.

    Everything that can be wrong with the input is found before the first hour is computed.
    """
    plan = prepare(request)
    began = time.monotonic()
    with product.opened(plan.folder, plan.identity, plan.facts) as record:
        output.remove_leftovers(plan.folder.path)
        with watch(plan):
            months = [month for month in plan.period.months()
                      if not (record.has(month) and plan.folder.month_done(month))]
            jobs = [plan.job(month) for month in months]
            for label, facts in execution.run(analyse_month, jobs, request.workers, request.scheduler):
                record.note_month(label, facts)
        write_daily_files(plan)
        maps = report.draw_maps(plan)
        record.content["seconds"] = round(time.monotonic() - began, 1)
        record.save()
        report.write_report(plan, record.content, maps)
    return plan.folder.path


def write_daily_files(plan: Plan) -> None:
    """One file a year from the months' days, which are removed once it is there."""
    months = plan.period.months()
    for year in sorted({month.first.year for month in months}):
        of_year = [month for month in months if month.first.year == year]
        path = plan.folder.daily(year)
        if not path.exists():
            days = [day for month in of_year for day in month.days()]
            parts = (product.load_days(plan.folder.days_of(month)) for month in of_year)
            output.write_daily(path, plan.grid, days, parts, plan.about)
        for month in of_year:
            plan.folder.days_of(month).unlink(missing_ok=True)


class _Unwatched:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
