"""`aqreanalysis exposure`: how the people of areas are distributed over concentration, as tables and a figure.

Means over people with their errors are those of `areas`, from the same plan and the same months.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis import periods
from aqreanalysis.errors import UserError
from aqreanalysis.figures.exposure import MOST_PANELS, MOST_PERIODS, exposure_figure
from aqreanalysis.figures.identity import Identity
from aqreanalysis.figures.layout import check_picture_name, save_figure
from aqreanalysis.grids.areas import areas_of_frame
from aqreanalysis.output import area_files
from aqreanalysis.output.long_table import CSV, PARQUET, LongTable
from aqreanalysis.product.area_means import month_of_areas
from aqreanalysis.product.derived import OnJob, kept_jobs, unobserved
from aqreanalysis.product.exposure import ExposureSetting, ShareBounds, cell_means, means_of_tile
from aqreanalysis.product.exposure_tables import ExposureNumbers, class_columns, class_rows, curves_of, with_exposure
from aqreanalysis.product.in_memory import dataset_product
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import single_threaded
from aqreanalysis.workflows.areas import (
    AreaPlan,
    AreaRequest,
    area_identity,
    area_plan,
    cell_setting,
    dataset_plan,
    datasets,
    datasets_of,
    joined,
    month_or_tile,
    named,
)

if TYPE_CHECKING:
    import geopandas

# ug m-3: WHO's guideline of a year (2021) and its interim targets, and China's of a year and a day (GB 3095-2012)
LIMITS = (5.0, 10.0, 15.0, 25.0, 35.0, 75.0)
PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
CLASSES = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 100.0, 150.0, 250.0)
NOBODY = np.array([], int)
CLASSES_FILE = "_classes"  # after the name of the table
MEANING = ("People are those of the file of a population, in the cell that they live in; they breathe the mean of that "
           "cell. Expected shares add up the probability of each cell that the truth is above a limit, from the mean's "
           "standard error by the normal distribution, without what only a single station feels. Their 90 % bounds are "
           "those of 200 draws of the errors of all cells, correlated in space.")


@dataclass(frozen=True)
class ExposureRequest:
    """What the user asked for: areas, people and days as of `areas`, whose limits are those of shares here."""

    areas: AreaRequest
    percentiles: tuple[float, ...] = PERCENTILES   # in percent, over people
    classes: tuple[float, ...] = CLASSES           # edges in ug m-3, ascending

    @property
    def numbers(self) -> ExposureNumbers:
        """What is computed of each period."""
        return ExposureNumbers(tuple(self.areas.above), self.percentiles, self.classes)


def exposure(product: str | Path | xr.Dataset, population: str | Path,
             areas: str | Path | geopandas.GeoDataFrame | None = None, every: str = "year",
             above: Sequence[float] = LIMITS, percentiles: Sequence[float] = PERCENTILES,
             classes: Sequence[float] = CLASSES, start: str | None = None, end: str | None = None,
             **options: Any) -> xr.Dataset:
    """How the people of areas are distributed over concentration, as a Dataset (area, time[, class]) in memory.

    Parameters
    ----------
    product : its folder or its daily file; or a Dataset of days as `open_product(path, "daily")` gives it.
    population : a raster or NetCDF file.
    areas : a vector file or a GeoDataFrame; None for the provinces that ship.
    every : "day", "month", "season", "year" or "all".
    above : limits in ug m-3. percentiles : over people, in percent. classes : edges in ug m-3, ascending.
    start, end, options : as of `area_means`.

    Raises
    ------
    UserError : for bad input.
    """
    of_file = isinstance(areas, str | Path)
    wanted = AreaRequest("" if isinstance(product, xr.Dataset) else str(product), every,
                         str(areas) if of_file else None, population=str(population), above=tuple(above), start=start,
                         end=end, **options)
    request = ExposureRequest(wanted, tuple(percentiles), tuple(classes))
    _check(request)
    given = None if areas is None or of_file else areas_of_frame(areas, names=wanted.names)
    if isinstance(product, xr.Dataset):
        data, plan = dataset_plan(product, wanted, given)
        setting = cell_setting(plan, dataset_product(data))
        parts = datasets_of(data, plan, every)
    else:
        plan = area_plan(wanted, given)
        setting = cell_setting(plan, plan.setting.product)
        months = {name: single_threaded(month_of_areas, plan.setting, month) for name, month in plan.jobs.items()}
        parts = datasets(plan, months.__getitem__, f"exposure --every {every}")
    tiles = {name: single_threaded(means_of_tile, setting, tile) for name, tile in setting.tiles().items()}
    return joined(_parts(plan, setting, request, parts, lambda tile, key: tiles[tile][key]))


def write_exposure(request: ExposureRequest, to: str | Path, figure: str | Path | None = None, workers: int = 1,
                   scheduler: str | None = None, progress: OnJob = unobserved,
                   say: Callable[[str], None] = lambda text: None) -> list[Path]:
    """Make the table of a request, that of its classes beside it, and the figure; returns their paths.

    A run that was killed goes on with the months and tiles that are missing.

    Raises
    ------
    UserError : for bad input.
    """
    path = area_files.check_name(to)
    _check(request)
    if figure is not None:
        check_picture_name(Path(figure).expanduser())
    plan = area_plan(request.areas)
    setting = cell_setting(plan, plan.setting.product)
    path = named(path, plan)
    picture = named(Path(figure).expanduser() if figure else path.with_suffix(".png"), plan)
    area_files.check_rows(path, len(plan.facts.areas.names), plan.steps)
    drawn = _drawn(plan, len(setting.periods))
    for note in (*plan.notes, *_of_figure(plan, len(setting.periods))):
        say(note)
    table = path.with_name(f"{path.stem}{CLASSES_FILE}{PARQUET if path.suffix.lower() == PARQUET else CSV}")
    jobs: dict[str, Period | slice] = {**plan.jobs, **setting.tiles()}
    identity = area_identity(plan) | {"exposure": [f"{setting.days.first} {setting.days.last}"]}
    curves: list[xr.Dataset] = []
    with kept_jobs(path, identity) as kept:
        kept.run(month_or_tile, jobs, (plan.setting, setting), workers, scheduler, progress, say)
        parts = datasets(plan, kept.load, f"exposure --every {request.areas.every}")
        found = _parts(plan, setting, request, parts, kept.load_one, drawn, curves)
        first = next(found)
        about = {str(name): str(text) for name, text in first.attrs.items()}
        with LongTable(table, class_columns(first), about) as rows:
            whole = _noted(itertools.chain([first], found), rows)
            area_files.write_area_file(path, whole, plan.facts.areas, plan.steps)
        if curves:
            _draw(curves, picture, about, request)
    return [path, table, *([picture] if curves else [])]


def _check(request: ExposureRequest) -> None:
    periods.check_every(request.areas.every, but_not=(periods.HOURLY_PERIOD,))
    if not request.areas.population:
        raise UserError("Exposure needs to know where people live: no population was given.",
                        "A population is a raster (GeoTIFF ...) or NetCDF file with people per cell or per km2.",
                        "Give it with --population FILE; GPW and WorldPop are free (docs/areas.md).")


def _parts(plan: AreaPlan, setting: ExposureSetting, request: ExposureRequest, parts: Iterator[xr.Dataset],
           load_one: Callable[[str, str], np.ndarray], drawn: np.ndarray = NOBODY,
           curves: list[xr.Dataset] | None = None) -> Iterator[xr.Dataset]:
    """Parts of `areas` with what is known of exposure; curves of the areas that are `drawn` are put into `curves`."""
    people = plan.setting.people
    assert people is not None  # _check
    cells, bounds = cell_means(setting, load_one), ShareBounds(setting, people)
    for part in parts:
        mine = list(itertools.islice(cells, part.sizes["time"]))
        yield with_exposure(part, people, mine, request.numbers, bounds, MEANING)
        if curves is not None and len(drawn):
            curves += [curves_of(people[drawn], one).assign_coords(area=part["area"].values[drawn],
                                                                  people=("area", part["people"].values[drawn]))
                       for one in mine]


def _noted(parts: Iterator[xr.Dataset], rows: LongTable) -> Iterator[xr.Dataset]:
    """The parts without their classes, which become rows."""
    for part in parts:
        rows.write(class_rows(part))
        yield part.drop_dims("class")


def _drawn(plan: AreaPlan, count: int) -> np.ndarray:
    """Numbers of the areas that the figure shows, those with most people first; none where periods are too many."""
    living = plan.facts.people
    assert living is not None  # _check
    order = np.argsort(-living, kind="stable")[:MOST_PANELS]
    return order[living[order] > 0] if count <= MOST_PERIODS else order[:0]


def _of_figure(plan: AreaPlan, count: int) -> list[str]:
    if count > MOST_PERIODS:
        return [f"No figure: {count} periods, and it shows at most {MOST_PERIODS}."]
    shown, areas = len(_drawn(plan, count)), len(plan.facts.areas.names)
    return [f"The figure shows the {shown} of {areas} areas with most people."] if shown < areas else []


def _draw(curves: list[xr.Dataset], picture: Path, about: dict[str, str], request: ExposureRequest) -> None:
    whole = xr.concat(curves, "period", join="outer", fill_value=0.0)
    simulated = about.get("simulated") == "true"
    words = f"People: {about['population']}"
    figure = exposure_figure(whole, request.numbers.limits, simulated, words)
    save_figure(figure, picture, Identity.of(about["title"], about))
