"""The maps of a product."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis import output, schema
from aqreanalysis.figures import maps
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import Grid
from aqreanalysis.models.registry import BASELINES
from aqreanalysis.output.cf import QUALITY_FLAG
from aqreanalysis.product.plan import Plan
from aqreanalysis.time_axis import HOURS_PER_DAY, Period
from aqreanalysis.workers import run_jobs

ANNUAL_LIMITS = {"WHO 2021 annual": 5.0, "GB 3095 grade II annual": 35.0}  # ug m-3
FEW_MAPS = 3      # are drawn sooner than other processes have started
PANEL_COLUMNS = 4


@dataclass(frozen=True)
class MapSheet:
    """What all maps of a product have in common; sent to each worker once."""

    daily: list[Path]
    grid: Grid
    subtitle: str
    note: str
    simulated: bool


@dataclass(frozen=True)
class MapRequest:
    """One map to be drawn: the mean of a period or its error, or with `panels` the means of some months."""

    path: Path
    period: Period
    variable: str = schema.TARGET
    panels: tuple[Period, ...] = ()
    limits: dict[str, float] | None = None


def draw_maps(plan: Plan, workers: int = 1) -> list[Path]:
    """The mean of the period, its error, and each month, by as many processes; maps that exist are kept."""
    sheet = MapSheet([days.path for days in plan.folder.daily()], plan.grid, _map_subtitle(plan), _map_note(plan),
                     plan.folder.simulated)
    wanted = requested_maps(plan)
    missing = [request for request in wanted if not request.path.exists()]
    missing.sort(key=lambda request: -len(request.panels))  # what takes longest is begun first
    for _ in run_jobs(draw_map, missing, workers if len(missing) > FEW_MAPS else 1, shared=sheet):
        pass
    return [request.path for request in wanted]


def requested_maps(plan: Plan) -> list[MapRequest]:
    """All maps of a product."""
    months, whole = plan.period.months(), plan.period
    limits = ANNUAL_LIMITS if whole.whole_year else None
    found = [MapRequest(plan.folder.map(f"mean_{whole.label}"), whole, limits=limits),
             MapRequest(plan.folder.map(f"standard_error_{whole.label}"), whole, schema.STANDARD_ERROR)]
    if len(months) > 1:
        found += [MapRequest(plan.folder.map(f"mean_{month.first:%Y%m}"), month) for month in months]
        for year in sorted({month.first.year for month in months}):
            of_year = tuple(month for month in months if month.first.year == year)
            found.append(MapRequest(plan.folder.map(f"months_{year}"), whole, panels=of_year))
    return found


def draw_map(sheet: MapSheet, request: MapRequest) -> None:
    """Draw one map into its file."""
    common: dict[str, Any] = {"subtitle": sheet.subtitle, "simulated": sheet.simulated, "note": sheet.note}
    period, panels = request.period, request.panels
    if panels:
        means = [mean_of(sheet.daily, month, sheet.grid) for month in panels]
        figure = maps.panel_map([mean.values for mean in means], sheet.grid, labels=[mean.in_words for mean in means],
                                columns=min(PANEL_COLUMNS, len(panels)),
                                title=f"PM2.5, monthly means of {panels[0].first.year}",
                                flags=[_usual_flag(sheet.daily, month) for month in panels], **common)
        save_figure(figure, request.path)
        return
    mean, flag = mean_of(sheet.daily, period, sheet.grid, request.variable), _usual_flag(sheet.daily, period)
    if request.variable == schema.STANDARD_ERROR:
        figure = maps.mean_map(mean.values, sheet.grid, label="standard error", flag=flag,
                               title=f"Standard error of daily PM2.5, mean of {mean.in_words}", **common)
    else:
        figure = maps.mean_map(mean.values, sheet.grid, title=f"PM2.5, mean of {mean.in_words}", flag=flag,
                               limits=request.limits, **common)
    save_figure(figure, request.path)


@dataclass(frozen=True)
class Mean:
    """The mean of a period, and how many of its days, or hours, it is made from."""

    values: np.ndarray  # of the grid's shape
    period: Period
    fewest: int         # values in the mean of a cell that has any
    most: int           # 0 where no cell has a value
    steps: int          # values that there could be
    unit: str           # "days" or "hours"

    @property
    def used(self) -> str:
        """How many of the steps were used, as `3 of 5 days`; empty where all were."""
        if self.fewest == self.steps:
            return ""
        number = f"{self.most}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"{number} of {self.steps} {self.unit}"

    @property
    def in_words(self) -> str:
        """The period and, where not all of it was used, how much was."""
        return in_words(self.period) + (f" ({self.used})" if self.used else "")


def mean_of(paths: Sequence[Path], period: Period, grid: Grid, variable: str = schema.TARGET) -> Mean:
    """The mean of a variable over a period; counts are of the cells that a map shows."""
    read = output.read_mean(paths, variable, period)
    count = read["count"].values.ravel()
    shown = count[grid.land] if grid.kind != "points" and grid.land.any() else count
    used = shown[shown > 0]
    hourly = read.attrs.get("time_coverage_resolution") == "PT1H"
    steps = period.n_days * (HOURS_PER_DAY if hourly else 1)
    return Mean(read[variable].values, period, int(used.min(initial=steps)) if used.size else 0,
                int(used.max(initial=0)), steps, "hours" if hourly else "days")


def in_words(period: Period) -> str:
    """A period in words: 2016, January 2016, or its first and last day."""
    first, last = period.first, period.last
    if first.month == last.month and first.year == last.year:
        if (first.day, last.day) == (1, calendar.monthrange(first.year, first.month)[1]):
            return f"{calendar.month_name[first.month]} {first.year}"
    return period.label if period.whole_year else f"{first} to {last}"


def _usual_flag(daily: Sequence[Path], period: Period) -> np.ndarray:
    """The quality class of most days."""
    return output.read_most_frequent(daily, QUALITY_FLAG, period)


def _map_subtitle(plan: Plan) -> str:
    model = plan.job.description
    maker = model.kind if model.name in BASELINES else f"{model.label} {model.name}"
    return f"{plan.about.product}, {plan.grid.name}, {maker}"


def _map_note(plan: Plan) -> str:
    return f"Observations: {plan.about.observations} Boundaries: Natural Earth."
