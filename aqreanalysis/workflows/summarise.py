"""`aqreanalysis summarise`: months, seasons, years or any days of a product, with the errors of what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import files, output, periods, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models import error_correlation
from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.output.cf import HOURS_USED, QUALITY_FLAG
from aqreanalysis.periods import HOURLY_PERIOD, WHOLE, CalendarPeriod
from aqreanalysis.product.derived import OTHERWISE, KeptJobs, OnJob, identity_of, kept_jobs, unobserved
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct, open_finished, read_blocks, row_slices
from aqreanalysis.schema import LOWER, STANDARD_ERROR, TARGET
from aqreanalysis.summaries import limits
from aqreanalysis.summaries.datasets import OF_DAYS, assembled, in_hours, periods_in, summary_of_dataset
from aqreanalysis.summaries.statistics import HoursAbove, SummaryOptions, summary_of_days
from aqreanalysis.summaries.variables import global_attributes, summary_variables
from aqreanalysis.summaries.writing import SummaryFile, write_netcdf, write_zarr
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import single_threaded

DEFAULT_EVERY = ("month", "season", "year")
FORMATS = ("netcdf", "zarr")
NUMBERS = ("percentiles", "days_above", "hours_above")  # of SummaryOptions and of the command line
TILE_VALUES = 2_500_000   # days by places of a tile: some 50 MB, and as much again for each intermediate array
RESULT_VALUES = 20_000_000  # of all variables and periods of a tile, some 80 MB
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class SummaryRequest:
    """What the user asked for."""

    product: str
    to: str
    every: tuple[str, ...] = ()   # kinds of periods; () for the default, or for the days from `start` to `end`
    start: str | None = None
    end: str | None = None
    options: SummaryOptions = SummaryOptions()
    format: str = "netcdf"
    workers: int = 1
    scheduler: str | None = None


@dataclass(frozen=True)
class SummaryPlan:
    """A checked request: what all tiles have in common, sent to each worker once."""

    product: FinishedProduct
    span: Period                                       # the days that are used
    periods: tuple[tuple[str, tuple[CalendarPeriod, ...]], ...]  # by kind
    correlations: Mapping[str, ErrorCorrelation]       # of DAYS and, where hours are counted, of HOURS
    measured: str                                      # of what they are, a sentence
    options: SummaryOptions

    @property
    def bounded(self) -> bool:
        """Whether the product's errors are calibrated, so that it has bounds."""
        return LOWER in self.product.variables[DAYS]

    def notes(self, every: str) -> list[str]:
        """Sentences on what is missing."""
        lacking = periods.incomplete(dict(self.periods)[every], self.days)
        return [f"{note[0].upper()}{note[1:]}." for note in (*self.product.notes, *lacking)]

    @property
    def days(self) -> np.ndarray:
        """The days that the product has of the span, datetime64[D]."""
        days = self.product.days()
        return days[periods.span(self.span.first, self.span.last).has(days)]

    def tiles(self) -> list[slice]:
        """Slices of the grid, each a job."""
        longest = max(period.n_days for _, of in self.periods for period in of)
        kept = sum(len(of) for _, of in self.periods) * len(summary_variables(self.options, self.bounded))
        return row_slices(self.product.grid, min(TILE_VALUES // min(longest, len(self.days)), RESULT_VALUES // kept))


def summarise(product: str | Path | xr.Dataset, every: str = "month", start: str | None = None, end: str | None = None,
              percentiles: Sequence[float] = limits.PERCENTILES, days_above: Sequence[float] = limits.DAYS_ABOVE,
              hours_above: Sequence[float] = (), hourly: xr.Dataset | None = None) -> xr.Dataset:
    """Months, seasons or years of a product, with the errors of what is said of them, as a Dataset in memory.

    Parameters
    ----------
    product : its folder, or one of its files, read in tiles; or a Dataset of days, as `open_product(path, "daily")`.
    every : "day", "month", "season", "year", or "all" for one period from `start` to `end`.
    start, end : first and last day YYYY-MM-DD (UTC+8) that are used; all where they are not given.
    percentiles : in percent, of the days. days_above, hours_above : limits in ug m-3.
    hourly : for a Dataset of days, its hours, where hours above limits are counted.

    Returns
    -------
    Dataset (time, lat, lon) with the variables and attributes of the files of `aqreanalysis summarise`.

    Raises
    ------
    UserError : for bad input.
    """
    options = SummaryOptions(tuple(percentiles), tuple(days_above), tuple(hours_above))
    if isinstance(product, xr.Dataset):
        span = time_axis.parse_period(None, start, end) if start or end else None
        return summary_of_dataset(product, every, span, options, hourly)
    plan = summary_plan(product, (every,), start, end, options)
    made = [single_threaded(summarise_tile, plan, points) for points in plan.tiles()]
    arrays = {name.removeprefix(f"{every}."): np.concatenate([of[name] for of in made], axis=-1) for name in made[0]}
    with output.open_product_file(plan.product.files[DAYS][0].path, decode_coords="all") as places:
        return assembled(places, dict(plan.periods)[every], arrays, every, options).load()


def write_summaries(request: SummaryRequest, progress: OnJob = unobserved,
                    say: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Make the files of a request; returns their paths. A run that was killed goes on with the tiles that are missing.

    say : is told what the product lacks.

    Raises
    ------
    UserError : for bad input, before anything is computed.
    """
    if request.format not in FORMATS:
        raise UserError(f"--format {request.format} is unknown.", f"Formats are {' and '.join(FORMATS)}.",
                        "Leave it out for NetCDF.")
    folder = files.folder_named(request.to, "--to")
    plan = summary_plan(request.product, request.every, request.start, request.end, request.options)
    for note in dict.fromkeys(note for every, _ in plan.periods for note in plan.notes(every)):
        say(note)
    identity = identity_of(plan.product, every=[every for every, _ in plan.periods], span=plan.span.label,
                           options=repr(plan.options), errors=repr(plan.correlations))
    command = f"summarise {plan.product.path.name} {_in_words(request)}"
    tiles = {f"{points.start}-{points.stop}": points for points in plan.tiles()}
    with kept_jobs(folder / "summaries", identity) as kept:
        kept.run(summarise_tile, tiles, plan, request.workers, request.scheduler, progress, say)
        return _write(plan, kept, tiles, folder, request.format, command)


def summary_plan(product: str | Path, every: Sequence[str], start: str | None, end: str | None,
                 options: SummaryOptions) -> SummaryPlan:
    """Check everything that can be wrong."""
    chosen = tuple(dict.fromkeys(every)) or ((WHOLE,) if start or end else DEFAULT_EVERY)
    for kind in chosen:
        periods.check_every(kind, but_not=(HOURLY_PERIOD,))
    asked = time_axis.parse_period(None, start, end) if start or end else None
    opened = open_finished(product, (DAYS, HOURS) if options.hours_above else (DAYS,))
    _check_variables(opened)
    days = opened.days()
    span = asked or Period(days[0].astype(object), days[-1].astype(object))
    periods.check_has(product, span, days)
    there = days[periods.span(span.first, span.last).has(days)]
    of_kinds = tuple((kind, periods_in(kind, span, there)) for kind in chosen)
    correlations, measured = {}, ""
    for frequency in opened.files:
        correlations[frequency], lacking = error_correlation.of_attributes(
            opened.attributes_by_frequency[frequency], frequency)
        measured = measured or lacking
    return SummaryPlan(opened, span, of_kinds, correlations, measured, options)


def _check_variables(product: FinishedProduct) -> None:
    for name in (STANDARD_ERROR, HOURS_USED, QUALITY_FLAG):
        if name not in product.variables[DAYS]:
            raise UserError(f"{product.path} has no {name} in its daily files.",
                            "A summary has the errors and the hours of its days.",
                            "Give the folder of a product that `aqreanalysis build` made.")


def summarise_tile(plan: SummaryPlan, points: slice) -> Arrays:
    """All of all periods at some points: arrays (periods, [classes,] points) called KIND.VARIABLE. The unit of work."""
    found: Arrays = {}
    for every, of_kind in plan.periods:
        made = [_summary_at(plan, period, points) for period in of_kind]
        found |= {f"{every}.{name}": np.stack([each[name] for each in made]) for name in made[0]}
    return found


def _summary_at(plan: SummaryPlan, period: CalendarPeriod, points: slice) -> Arrays:
    used = Period(max(period.first, plan.span.first), min(period.last, plan.span.last))
    names = [name for name in OF_DAYS if name in plan.product.variables[DAYS]]
    blocks = list(read_blocks(plan.product, DAYS, names, used, [points]))
    days = {name: np.concatenate([block.arrays[name] for block in blocks]) for name in names}
    stamps = np.concatenate([block.stamps for block in blocks])
    found = summary_of_days(days, in_hours(stamps), plan.correlations[DAYS], plan.options, limits.days_required(period))
    return found | (_hours_at(plan, used, points) if plan.options.hours_above else {})


def _hours_at(plan: SummaryPlan, used: Period, points: slice) -> Arrays:
    stamps = plan.product.stamps(HOURS)
    stamps = stamps[periods.span(used.first, used.last).has(time_axis.local_days(stamps))]
    hours = HoursAbove(points.stop - points.start, in_hours(stamps), plan.correlations[HOURS], plan.options)
    for block in read_blocks(plan.product, HOURS, (TARGET, STANDARD_ERROR), used, [points]):
        hours.add(block.arrays)
    return hours.result(plan.bounded)


def _write(plan: SummaryPlan, kept: KeptJobs, tiles: Mapping[str, slice], folder: Path, form: str,
           command: str) -> list[Path]:
    contents = list(_contents(plan, kept, tiles, command))
    prefix = f"{plan.product.prefix}pm25_summary"
    if form == "zarr":
        path = folder / f"{prefix}_{plan.span.label}.zarr"
        write_zarr(path, contents, OTHERWISE)
        return [path]
    paths = []
    for content, of in contents:
        path = folder / f"{prefix}_{content.every}_{plan.span.label}.nc"
        write_netcdf(path, content, of, OTHERWISE)
        paths.append(path)
    return paths


def _contents(plan: SummaryPlan, kept: KeptJobs, tiles: Mapping[str, slice], command: str
              ) -> Iterator[tuple[SummaryFile, list]]:
    """Each kind of period with its tiles."""
    for every, of_kind in plan.periods:
        variables = summary_variables(plan.options, plan.bounded, plan.product.simulated)
        content = SummaryFile(every, of_kind, plan.product.grid, variables, _attributes(plan, every, command))
        yield content, [(points, partial(_loaded, kept, name, every)) for name, points in tiles.items()]


def _attributes(plan: SummaryPlan, every: str, command: str) -> dict[str, Any]:
    return global_attributes(plan.product.attributes, plan.product.provenance(command), every,
                             dict(plan.periods)[every], plan.correlations, plan.measured, plan.options,
                             plan.notes(every))


def _loaded(kept: KeptJobs, tile: str, every: str, variable: str) -> np.ndarray:
    return kept.load_one(tile, f"{every}.{variable}")


def _in_words(request: SummaryRequest) -> str:
    """The command's options."""
    days = [f"--start {request.start} --end {request.end}"] if request.start else []
    given, default = request.options, SummaryOptions()
    numbers = [f"--{name.replace('_', '-')} {','.join(f'{number:g}' for number in getattr(given, name))}"
               for name in NUMBERS if getattr(given, name) != getattr(default, name)]
    return " ".join([*([f"--every {','.join(request.every)}"] if request.every else []), *days, *numbers])
