"""`aqreanalysis export`: a product as GeoTIFFs, or as a table at points or in a box, with what it is in each file.

    means.py     means of longer periods, with their errors
    cells.py     which cells: all, those of a box, those that points lie in
    steps.py     which steps: hours, days, means of longer periods
    rasters.py   GeoTIFFs, a band a step
    rows.py      long tables: CSV and Parquet
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from aqreanalysis import files, geo, periods, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.output.long_table import CSV, PARQUET
from aqreanalysis.output.raster import LAYOUTS
from aqreanalysis.schema import STANDARD_ERROR, TARGET
from aqreanalysis.workers import run_jobs
from aqreanalysis.workflows.export import cells, rasters, rows
from aqreanalysis.workflows.export.cells import Chosen
from aqreanalysis.workflows.export.steps import Steps, chosen_variables, in_words, steps_of

RASTERS, TABLES = (".tif", ".tiff"), (CSV, PARQUET)
ROW_BYTES = {CSV: 90, PARQUET: 20}  # some, of a row with all variables
PIXEL_BYTES = 6                     # unpacked, and packed beside it
DESCRIBING = ("title", "source", "simulated", "reference_state", "license", "references", "acknowledgement",
              "calibrated_on", "minimum_hours_per_day", "institution")
OnPart = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """What an export made: files that were written, files that were there already, and sentences."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    notes: tuple[str, ...]
    rows: int | None = None


def export(product: str | Path | xr.Dataset, to: str | Path, every: str = "day", variables: Sequence[str] = (),
           box: Sequence[float] | None = None, points: str | Path | None = None, at: Sequence[float] | None = None,
           start: str | None = None, end: str | None = None, scale: float | None = None, layout: str | None = None,
           workers: int = 1, with_error: bool = False, say: Callable[[str], None] = lambda text: None,
           progress: OnPart = lambda done, of: None) -> Exported:
    """Write a product, or some of it, for other programs.

    Parameters
    ----------
    product : folder of a product, or one of its files; or a Dataset as open_product gives it, perhaps changed.
    to : a name that ends in .tif (GeoTIFF), .csv or .parquet. What is simulated gets `simulated_` before its name.
    every : "hour", "day", or means of each "month", "season", "year" or of "all".
    variables : of the product; default pm25 of a GeoTIFF, all of a table.
    box : west, south, east, north in degrees: cells whose centre lies in it.
    points : a table with station_id, lon, lat; `at` : one longitude and latitude. Of a table only.
    start, end : days UTC+8, both included; default the product's.
    scale : of a GeoTIFF: whole numbers of this many ug m-3, instead of float32.
    layout : of a GeoTIFF: "cog" (cloud-optimised, the default) or "geotiff".
    workers : processes, each at one of several GeoTIFFs.
    with_error : of a GeoTIFF: after the band of each mean the one of its standard error.
    say : is told what will be done, before it is; `progress` : parts done, and of how many.

    Raises
    ------
    UserError : for what is no product, a period, box or points that it has nothing of, an unknown ending.
    """
    target, is_raster = _target(to), Path(to).suffix.lower() in RASTERS
    _check_options(is_raster, to, box, points, at, scale, layout)
    _check_error(with_error, is_raster, variables, to)
    period = time_axis.parse_period(None, start, end) if start or end else None
    steps = steps_of(product, every, period)
    if steps.product.simulated and not target.name.startswith(steps.product.prefix):
        target = target.with_name(steps.product.prefix + target.name)
    names = chosen_variables(steps, (TARGET, STANDARD_ERROR) if with_error else variables,
                             (TARGET,) if is_raster else tuple(steps.attributes))
    chosen = _chosen(steps, box, points, at)
    notes = (*steps.notes, *chosen.notes)
    for text in notes:
        say(text)
    about = describing(steps, _command(every, names, box, points, at, scale))
    _check_space(target, len(steps.ends), len(chosen.cells), len(names), is_raster)
    if not is_raster:
        count = rows.write_rows(target, steps, chosen, names, about,
                                lambda done: progress(done, len(steps.ends) * len(chosen.cells)))
        return Exported((target,), (), notes, count)
    wanted = rasters.raster_files(steps, [names] if with_error else [(name,) for name in names], target)
    job = rasters.RasterJob(chosen, about, scale, layout or LAYOUTS[0])
    done: list[tuple[Path, bool]] = []
    for number, made in enumerate(_each(job, wanted, workers), start=1):
        done += made
        progress(number, len(wanted))
    order = [path for of in wanted for path in of.paths.values()]
    written = {path for path, new in done if new}
    return Exported(tuple(path for path in order if path in written),
                    tuple(path for path in order if path not in written), notes)


def _each(job: rasters.RasterJob, wanted: list[rasters.RasterFile],
          workers: int) -> Iterable[list[tuple[Path, bool]]]:
    """Have files written, in any order; one process needs none of what workers import."""
    if workers <= 1 or len(wanted) <= 1:
        return (rasters.write_rasters(job, one) for one in wanted)
    return run_jobs(rasters.write_rasters, wanted, workers, shared=job)


def describing(steps: Steps, command: str) -> dict[str, str]:
    """What a file says of the product that it is from, in words."""
    product = steps.product
    found = {key: str(product.attributes[key]) for key in DESCRIBING if key in product.attributes}
    if steps.every not in (periods.HOURLY_PERIOD, "day"):
        found["title"] += ": mean of all" if steps.every == periods.WHOLE else f": means of each {steps.every}"
    return found | {"period": in_words(steps), "every": steps.every, **product.provenance(command)}


def _target(to: str | Path) -> Path:
    target = Path(to).expanduser()
    known = ", ".join((*RASTERS, *TABLES))
    if target.suffix.lower() not in (*RASTERS, *TABLES):
        ending = f"ends in {target.suffix}" if target.suffix else "has no ending"
        raise UserError(f"--to {to} {ending}.", f"The ending is the format: {known}.",
                        f"Example: --to {target.stem or 'pm25'}.tif.")
    if target.is_dir():
        raise UserError(f"--to {to} is a folder.", f"An export is a file that ends in one of {known}.",
                        f"Name one in it, as {target / 'pm25.tif'}.")
    return target.with_suffix(target.suffix.lower())


def _check_options(is_raster: bool, to: str | Path, box: Any, points: Any, at: Any, scale: float | None,
                   layout: str | None) -> None:
    places = [name for name, value in (("--box", box), ("--points", points), ("--at", at)) if value is not None]
    if len(places) > 1:
        raise UserError(f"{' and '.join(places)} were given.", "Cells are those of a box or those at points.",
                        "Leave one out.")
    if is_raster and (points is not None or at is not None):
        raise UserError(f"{places[0]} has no use with --to {to}.", "A GeoTIFF has rows and columns of cells.",
                        "Write a table: --to FILE.csv or FILE.parquet.")
    if not is_raster and (scale is not None or layout is not None):
        raise UserError(f"{'--scale' if scale is not None else '--layout'} has no use with --to {to}.",
                        "It is of the numbers of a GeoTIFF.", "Leave it out, or write FILE.tif.")
    if scale is not None and not 0 < scale < float("inf"):
        raise UserError(f"--scale {scale:g} is no scale.", "It is the step between two numbers, ug m-3, above 0.",
                        "Example: --scale 0.1.")
    if layout not in (None, *LAYOUTS):
        raise UserError(f"--layout {layout} is unknown.", f"A GeoTIFF is {' or '.join(LAYOUTS)}.",
                        "Leave it out for a cloud-optimised one.")


def _check_error(with_error: bool, is_raster: bool, variables: Sequence[str], to: str | Path) -> None:
    if with_error and not is_raster:
        raise UserError(f"--with-error has no use with --to {to}.", "Errors are columns of a table anyway.",
                        "Leave it out.")
    if with_error and set(variables) - {TARGET}:
        raise UserError(f"--with-error and --variable {variables[0]} were given.",
                        f"Its bands are those of {TARGET} and {STANDARD_ERROR}.", "Leave one of them out.")


def _chosen(steps: Steps, box: Sequence[float] | None, points: str | Path | None,
            at: Sequence[float] | None) -> Chosen:
    if box is not None:
        return cells.in_box(steps.grid, geo.check_box(box))
    if points is None and at is None:
        return cells.every_cell(steps.grid)
    return cells.at_points(steps.grid, *(cells.points_in(points) if points is not None else cells.check_at(at)))


def _command(every: str, names: Sequence[str], box: Any, points: Any, at: Any, scale: float | None) -> str:
    """The command, without the names of files: the same content has the same words."""
    parts = [f"export --every {every}", *(f"--variable {name}" for name in names)]
    for name, values in (("box", box), ("at", at)):
        parts += [f"--{name} {' '.join(f'{float(value):g}' for value in values)}"] if values is not None else []
    parts += [f"--points {Path(points).name}"] if points is not None else []
    return " ".join(parts + ([f"--scale {scale:g}"] if scale is not None else []))


def _check_space(target: Path, steps: int, cells_: int, variables: int, is_raster: bool) -> None:
    """UserError where the files would not fit on the disk: an export is not begun that can't be finished."""
    need = steps * cells_ * (PIXEL_BYTES * variables if is_raster else ROW_BYTES[target.suffix])
    folder = next(parent for parent in target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if need > free:
        files.check_takes_files(target, "choose another place with --to.")
        raise UserError(f"{folder} has {free / 1e9:.2f} GB free; {target.name} takes up to {need / 1e9:.2f} GB.",
                        "The folder has to have room for the whole file.",
                        "Choose fewer days, cells or variables, or another folder.")

