"""`aqreanalysis areas`: means of a product over areas and over their people, with the errors of these means."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import sparse

from aqreanalysis import periods, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.fields.people import People, people_on_grid
from aqreanalysis.grids import Grid, grid_of
from aqreanalysis.grids.areas import Areas, areas_of_frame, read_areas
from aqreanalysis.grids.coverage import Coverage, cover
from aqreanalysis.models import error_correlation
from aqreanalysis.models.area_errors import area_blocks
from aqreanalysis.models.error_correlation import ErrorCorrelation
from aqreanalysis.output import area_files
from aqreanalysis.output.encoding import TIME_CHUNK
from aqreanalysis.periods import HOURLY_PERIOD, CalendarPeriod
from aqreanalysis.product.area_means import (
    MEAN,
    PEOPLE,
    AreaMeans,
    AreaSetting,
    Arrays,
    Weighting,
    means_of_blocks,
    month_of_areas,
    put_together,
)
from aqreanalysis.product.area_tables import AreaFacts, dataset_of
from aqreanalysis.product.derived import OnJob, identity_of, kept_jobs, unobserved
from aqreanalysis.product.exposure import ExposureSetting, ShareBounds, cell_means, means_of_tile
from aqreanalysis.product.exposure_tables import with_share_bounds
from aqreanalysis.product.in_memory import DatasetProduct, dataset_product
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct, ProductBlock, open_finished
from aqreanalysis.schema import LAT, LON, STANDARD_ERROR, STATION, TARGET, TIME
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import single_threaded

if TYPE_CHECKING:
    import geopandas

LoadOne = Callable[[str, str], np.ndarray]  # of a job's name and an array's name in it
LIMITS = (15.0, 35.0, 75.0)  # ug m-3: WHO's and China's of a day
CARRIED = ("title", "source", "simulated", "reference_state", "license", "references", "acknowledgement",
           "calibrated_on", "institution", "error_correlation", "error_correlation_comment")
ERRORS = ("Standard errors of means over an area follow from those of its cells and from how errors are correlated in "
          "space and time (error_correlation). What only a single station feels is no part of them. Bounds of 90 %: "
          "1.645 standard errors on either side. On simulated air, whose truth is known, they held 83 to 92 % of means "
          "of days, months and longer, the fewest in summer and for areas that reach out of the network.")
SHARES = ("Bounds of shares of people are those of 200 draws of the errors of all cells, correlated in space, without "
          "what only a single station feels.")


@dataclass(frozen=True)
class AreaRequest:
    """What the user asked for."""

    product: str
    every: str = "month"
    areas: str | None = None           # a file; None for the provinces that ship
    layer: str | None = None
    names: str | None = None           # the column with the names
    crs: str | None = None
    population: str | None = None
    population_is: str | None = None   # "count" or "density"
    population_variable: str | None = None
    above: tuple[float, ...] = LIMITS
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, eq=False)
class AreaPlan:
    """A checked request."""

    setting: AreaSetting
    facts: AreaFacts
    coverage: Coverage
    months: tuple[Period, ...]
    periods: tuple[CalendarPeriod, ...]  # () where each step is one
    steps: int                           # periods in all
    days: np.ndarray                     # that are used, datetime64[D]
    correlation: ErrorCorrelation
    people: People | None
    notes: tuple[str, ...]

    @property
    def has_share_bounds(self) -> bool:
        """Whether there are shares of people that bounds are known of: not of hours, whose cells have no period."""
        return self.people is not None and self.setting.every != HOURLY_PERIOD

    @property
    def jobs(self) -> dict[str, Period]:
        """The months by their names."""
        return {f"{month.first:%Y-%m}": month for month in self.months}


def area_means(product: str | Path | xr.Dataset, areas: str | Path | geopandas.GeoDataFrame | None = None,
               population: str | Path | None = None, every: str = "month", above: Sequence[float] = LIMITS,
               start: str | None = None, end: str | None = None, **options: Any) -> xr.Dataset:
    """Means over areas, with their errors, as a Dataset (area, time) in memory.

    Parameters
    ----------
    product : its folder or one of its files; or a Dataset of days (hours with every="hour") as `open_product` gives it.
    areas : a vector file or a GeoDataFrame; None for the provinces that ship.
    population : a raster or NetCDF file; with it there are means over people too.
    every : "hour", "day", "month", "season", "year" or "all".
    above : limits in ug m-3, that days and people are counted above.
    start, end : first and last day YYYY-MM-DD (UTC+8).
    options : layer, names, crs, population_is, population_variable, as of AreaRequest.

    Raises
    ------
    UserError : for bad input.
    """
    request = AreaRequest("" if isinstance(product, xr.Dataset) else str(product), every,
                          None if areas is None or not isinstance(areas, str | Path) else str(areas),
                          population=str(population) if population else None, above=tuple(above), start=start, end=end,
                          **options)
    given = None if areas is None or isinstance(areas, str | Path) else areas_of_frame(areas, names=request.names)
    if isinstance(product, xr.Dataset):
        return _of_dataset(product, request, given)
    plan = area_plan(request, given)
    made = {name: single_threaded(month_of_areas, plan.setting, month) for name, month in plan.jobs.items()}
    parts = datasets(plan, made.__getitem__, f"area_means --every {every}")
    return joined(_with_bounds_here(plan, plan.setting.product, parts))


def _of_dataset(data: xr.Dataset, request: AreaRequest, given: Areas | None) -> xr.Dataset:
    """As `area_means`, of a Dataset of days, or of hours."""
    data, plan = dataset_plan(data, request, given)
    return joined(_with_bounds_here(plan, dataset_product(data), datasets_of(data, plan, request.every)))


def datasets_of(data: xr.Dataset, plan: AreaPlan, every: str) -> Iterator[xr.Dataset]:
    """The parts of the result, of a Dataset and its plan, as of `dataset_plan`."""
    made = {name: means_of_blocks(plan.setting, _blocks(data, month)) for name, month in plan.jobs.items()}
    attributes = area_attributes(plan, "", data.attrs)
    for part in means_of(plan, made.__getitem__):
        yield dataset_of(part, plan.facts, plan.setting.limits, every, attributes)


def dataset_plan(data: xr.Dataset, request: AreaRequest, given: Areas | None) -> tuple[xr.Dataset, AreaPlan]:
    """The steps of a Dataset that are used, ascending, and their plan; UserError where it is no product's."""
    frequency = HOURS if request.every == "hour" else DAYS
    if lacking := [name for name in (TARGET, STANDARD_ERROR) if name not in data or data[name].dims[:1] != (TIME,)]:
        raise UserError(f"The Dataset has no {lacking[0]} over time.", "Areas need means and their standard errors.",
                        f'aqreanalysis.open_product(path, "{frequency}") gives such a Dataset.')
    if LAT not in data.coords or STATION in data.dims:
        raise UserError("The Dataset has no cells of lat and lon.", "Areas are means over cells.",
                        f'aqreanalysis.open_product(path, "{frequency}") gives such a Dataset.')
    data = data.sortby([TIME, LAT, LON] if data[LAT].ndim == 1 else TIME)
    grid = grid_of(data)
    stamps = data[TIME].values.astype("datetime64[h]")
    there = time_axis.local_days(stamps)
    if request.start or request.end:
        span = time_axis.parse_period(None, request.start, request.end)
        periods.check_has("the Dataset", span, there)
        data = data.isel({TIME: np.flatnonzero(periods.span(span.first, span.last).has(there))})
        there = time_axis.local_days(data[TIME].values.astype("datetime64[h]"))
    if frequency == DAYS and len(np.unique(there)) != len(there):
        raise UserError("The Dataset has more than one step a day.", "Periods of days and longer are made of days.",
                        'Give open_product(path, "daily"), or every="hour".')
    return data, plan_of(request, grid, None, data.attrs, np.unique(there), [], given)


def _blocks(data: xr.Dataset, month: Period) -> Iterator[ProductBlock]:
    """A week of hours, or of days, at a time."""
    stamps = data[TIME].values.astype("datetime64[h]")
    mine = np.flatnonzero(periods.span(month.first, month.last).has(time_axis.local_days(stamps)))
    for first in range(0, len(mine), TIME_CHUNK):
        steps = mine[first:first + TIME_CHUNK]
        arrays = {name: data[name].isel({TIME: steps}).values.reshape(len(steps), -1)
                  for name in (TARGET, STANDARD_ERROR)}
        yield ProductBlock(stamps[steps], slice(0, arrays[TARGET].shape[1]), arrays)


def write_areas(request: AreaRequest, to: str | Path, workers: int = 1, scheduler: str | None = None,
                progress: OnJob = unobserved, say: Callable[[str], None] = lambda text: None) -> Path:
    """Make the file of a request; returns its path. A run that was killed goes on with the months that are missing.

    say : is told what was put right and what is left out, before anything is computed.

    Raises
    ------
    UserError : for bad input.
    """
    path = area_files.check_name(to)
    plan = area_plan(request)
    path = named(path, plan)
    area_files.check_rows(path, len(plan.facts.areas.names), plan.steps)
    for note in plan.notes:
        say(note)
    shares = cell_setting(plan, plan.setting.product) if plan.has_share_bounds else None
    jobs: dict[str, Period | slice] = {**plan.jobs, **(shares.tiles() if shares else {})}
    with kept_jobs(path, area_identity(plan)) as kept:
        kept.run(month_or_tile, jobs, (plan.setting, shares), workers, scheduler, progress, say)
        parts = datasets(plan, kept.load, f"areas --every {request.every}")
        parts = _with_bounds(plan, shares, parts, kept.load_one) if shares else parts
        area_files.write_area_file(path, parts, plan.facts.areas, plan.steps)
    return path


def cell_setting(plan: AreaPlan, product: FinishedProduct | DatasetProduct | None) -> ExposureSetting:
    """What the tiles have in common, whose means of cells shares of people are made of; not of hours."""
    assert product is not None  # a plan of a Dataset comes with one
    days = Period(plan.months[0].first, plan.months[-1].last)
    of_days = tuple(periods.periods_of("day", plan.days)) if plan.setting.of_steps else plan.periods
    return ExposureSetting(product, days, of_days, plan.correlation, plan.setting.cells)


def month_or_tile(shared: tuple[AreaSetting, ExposureSetting | None], job: Period | slice) -> Arrays:
    """A job: a month of areas, or a tile of cells."""
    if isinstance(job, Period):
        return month_of_areas(shared[0], job)
    assert shared[1] is not None  # else there are no tiles
    return means_of_tile(shared[1], job)


def _with_bounds(plan: AreaPlan, setting: ExposureSetting, parts: Iterator[xr.Dataset],
                 load_one: LoadOne) -> Iterator[xr.Dataset]:
    """Parts with the bounds of shares of people, from the tiles' arrays, a period at a time."""
    assert plan.setting.people is not None  # has_share_bounds
    cells, bounds = cell_means(setting, load_one), ShareBounds(setting, plan.setting.people)
    for part in parts:
        mine = list(itertools.islice(cells, part.sizes[TIME]))
        told = part.assign_attrs(comment=f"{part.attrs['comment']} {SHARES}")
        yield with_share_bounds(told, mine, plan.setting.limits, bounds)


def _with_bounds_here(plan: AreaPlan, product: FinishedProduct | DatasetProduct | None,
                      parts: Iterator[xr.Dataset]) -> Iterator[xr.Dataset]:
    """The same, with tiles that are computed in this process and kept in memory."""
    if not plan.has_share_bounds:
        return parts
    setting = cell_setting(plan, product)
    tiles = {name: single_threaded(means_of_tile, setting, tile) for name, tile in setting.tiles().items()}
    return _with_bounds(plan, setting, parts, lambda tile, key: tiles[tile][key])


def named(path: Path, plan: AreaPlan) -> Path:
    """With `simulated_` before its name where the product is simulated."""
    prefix = plan.setting.product.prefix if plan.setting.product else ""
    return path if path.name.startswith(prefix) else path.with_name(prefix + path.name)


def area_identity(plan: AreaPlan) -> dict[str, Any]:
    """What results depend on."""
    assert plan.setting.product is not None
    return identity_of(plan.setting.product, every=plan.setting.every, areas=plan.facts.areas.digest,
                       people=[plan.people.digest, plan.people.kind] if plan.people else [],
                       above=plan.setting.limits, months=[f"{m.first} {m.last}" for m in plan.months],
                       correlation=plan.correlation.plain())


def area_plan(request: AreaRequest, given: Areas | None = None) -> AreaPlan:
    """Check everything that can be wrong; `given` areas instead of the request's."""
    periods.check_every(request.every)
    frequency = HOURS if request.every == "hour" else DAYS
    product = open_finished(request.product, (frequency,))
    days = product.days(frequency)
    span = time_axis.parse_period(None, request.start, request.end) if request.start or request.end else None
    if span is not None:
        periods.check_has(request.product, span, days)
        days = days[periods.span(span.first, span.last).has(days)]
    return plan_of(request, product.grid, product, product.attributes, days, list(product.notes), given)


def plan_of(request: AreaRequest, grid: Grid, product: FinishedProduct | None, attributes: Any, days: np.ndarray,
            notes: list[str], given: Areas | None = None) -> AreaPlan:
    """The plan for days (datetime64[D]) of a product or a Dataset on a grid."""
    frequency = HOURS if request.every == "hour" else DAYS
    areas = given or read_areas(request.areas, request.layer, request.names, request.crs)
    coverage = cover(areas, grid)
    people = people_on_grid(request.population, grid, request.population_is, request.population_variable
                            ) if request.population else None
    correlation, lacking = error_correlation.of_attributes(attributes, frequency)
    notes = [*notes, *areas.notes, *coverage.notes(areas), *([people.words] if people else [])]
    notes += [lacking] if lacking else []
    there = np.diff(coverage.share.indptr) > 0
    areas, coverage = areas[there], Coverage(coverage.share[np.flatnonzero(there)], coverage.cell_km2,
                                             coverage.area_km2[there])
    setting, living = _setting(request, grid, product, frequency, coverage, people, correlation)
    if living is not None and (living <= 0).any():
        empty = [name for name, number in zip(areas.names, living, strict=True) if number <= 0]
        notes.append(f"{len(empty)} areas have no people, and no mean over them: {', '.join(empty[:3])}.")
    chosen = () if setting.of_steps else tuple(periods.periods_of(request.every, days))
    if people is not None and request.every == HOURLY_PERIOD:
        notes.append("Shares of people above limits have bounds for days and longer, not for hours.")
    notes += periods.incomplete(chosen, days)
    count = len(days) * (24 if frequency == HOURS else 1) if setting.of_steps else len(chosen)
    if product is not None and setting.of_steps:
        stamps = product.stamps(frequency)
        count = int(np.isin(time_axis.local_days(stamps), days).sum())
    return AreaPlan(setting, AreaFacts(areas, coverage.area_km2, coverage.inside, living), coverage, _months(days),
                    chosen, count, days, correlation, people, tuple(notes))


def _months(days: np.ndarray) -> tuple[Period, ...]:
    """Calendar months of days, from the first to the last day that each has."""
    month = days.astype("datetime64[M]")
    return tuple(Period(mine.min().astype(object), mine.max().astype(object))
                 for mine in (days[month == each] for each in np.unique(month)))


def _setting(request: AreaRequest, grid: Grid, product: FinishedProduct | None, frequency: str, coverage: Coverage,
             people: People | None, correlation: ErrorCorrelation) -> tuple[AreaSetting, np.ndarray | None]:
    """What all months have in common; and people in each area."""
    cells = np.unique(coverage.share.indices)
    share = sparse.csr_array(coverage.share[:, cells])
    km2 = sparse.csr_array(share.multiply(coverage.cell_km2[cells][None, :]))
    weightings = {MEAN: _weighting(km2, km2, grid, cells, correlation)}
    living = living_in = None
    if people is not None:
        living_in = sparse.csr_array(share.multiply(people.cells[cells][None, :]))
        living = np.asarray(living_in.sum(axis=1)).ravel()
        weightings[PEOPLE] = _weighting(living_in, km2, grid, cells, correlation)
    return AreaSetting(grid, product, frequency, cells, weightings, living_in,
                       tuple(float(limit) for limit in request.above), request.every), living


def _weighting(weights: sparse.csr_array, km2: sparse.csr_array, grid: Grid, cells: np.ndarray,
               correlation: ErrorCorrelation) -> Weighting:
    """Means by weights (areas, cells); an area without any weight gets none."""
    total = np.asarray(weights.sum(axis=1)).ravel()
    matrix = sparse.csr_array(weights.multiply(1.0 / np.where(total > 0, total, 1.0)[:, None]))
    blocks = []
    for number in range(weights.shape[0]):
        row = slice(weights.indptr[number], weights.indptr[number + 1])
        mine, weight = weights.indices[row], weights.data[row]
        kept = weight > 0 if (weight > 0).any() else np.ones(len(weight), bool)
        mine, weight = mine[kept], weight[kept] if total[number] > 0 else np.ones(int(kept.sum()))
        size = np.asarray(km2[[number]][:, mine].todense()).ravel()
        blocks.append(area_blocks(correlation, mine, weight, grid.lat[cells[mine]], grid.lon[cells[mine]], size))
    return Weighting(matrix, tuple(blocks))


def datasets(plan: AreaPlan, load: Callable[[str], Arrays], command: str) -> Iterator[xr.Dataset]:
    """The parts of the result, from the months' arrays."""
    attributes = area_attributes(plan, command)
    for part in means_of(plan, load):
        yield dataset_of(part, plan.facts, plan.setting.limits, plan.setting.every, attributes)


def means_of(plan: AreaPlan, load: Callable[[str], Arrays]) -> Iterator[AreaMeans]:
    """The periods, from the months' arrays."""
    return put_together(plan.setting, list(plan.jobs), load, plan.periods)


def joined(parts: Iterator[xr.Dataset]) -> xr.Dataset:
    """All parts as one Dataset."""
    found = list(parts)
    return found[0] if len(found) == 1 else xr.concat(found, "time", data_vars="minimal", coords="minimal",
                                                      compat="override", combine_attrs="override")


def area_attributes(plan: AreaPlan, command: str, of: Any = None) -> dict[str, str]:
    """Attributes of a file: what the product says of itself, and what was made of it."""
    product = plan.setting.product
    attributes = product.attributes if product else of
    found = {name: str(attributes[name]) for name in CARRIED if name in attributes}
    mark = "SIMULATED " if attributes.get("simulated") == "true" else ""
    found["title"] = f"{mark}PM2.5 of areas, every {plan.setting.every}, from: {attributes.get('title', 'a Dataset')}"
    if "error_correlation" in found:
        found["error_correlation"] = json.dumps(plan.correlation.plain())
    else:
        found["error_correlation_comment"] = f"Measured {error_correlation.DEFAULT.measured}."
    found |= product.provenance(command) if product else {}
    found |= {"areas": plan.facts.areas.source, "areas_sha256": plan.facts.areas.digest}
    if plan.people:
        found |= {"population": plan.people.words, "population_sha256": plan.people.digest}
    notes = [f"{note[0].upper()}{note[1:].rstrip('.')}." for note in plan.notes]
    return found | {"comment": " ".join([ERRORS, *notes])}
