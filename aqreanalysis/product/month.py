"""One month of a product, from observations to its hours and its days: the unit of work.

A `Job` and a month are all that a process needs, here or on another machine that sees the same files.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import __version__, files, geo, output, schema
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid
from aqreanalysis.models import registry, uncertainty
from aqreanalysis.models.base import Model
from aqreanalysis.models.calibrated import with_calibration
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.registry import ModelDescription
from aqreanalysis.models.sites import Sites
from aqreanalysis.models.uncertainty import Support
from aqreanalysis.observations import quality, screening, stations
from aqreanalysis.observations.quality import DEFAULT_SETTINGS, FLAG_REACH_HOURS, QualitySettings
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import ArchivePart, changed_parts
from aqreanalysis.output import cf, encoding
from aqreanalysis.output.cf import About
from aqreanalysis.output.daily import MonthDays
from aqreanalysis.product.folder import ProductFolder, fingerprints
from aqreanalysis.product.model_fields import ModelFields, unknown_fields
from aqreanalysis.product.observed import write_observed
from aqreanalysis.product.versions import check_worker_versions, installed_versions
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period, local_days

BLOCK_HOURS = 168


@dataclass(frozen=True)
class Source:
    """Where observations come from: files, or the twin under a seed."""

    files: ObservationFiles | None
    twin_seed: int = 0

    @property
    def name(self) -> str:
        """The path of the files, or which twin it is."""
        return self.files.path if self.files else f"twin, seed {self.twin_seed}"

    def open(self):
        """The archive."""
        return self.files.open() if self.files else TwinArchive(self.twin_seed)


@dataclass(frozen=True)
class Job:
    """What all months of a product have in common; sent to each worker once."""

    source: Source
    model: str               # registry.portable_name of it
    description: ModelDescription
    grid: Grid
    folder: ProductFolder
    about: About
    neighbours: int | None   # that were asked for; None: the model's own choice
    minimum_hours: int
    minimum_station_hours: int
    versions: dict[str, str]  # of the packages that all months are made with
    quality: QualitySettings = DEFAULT_SETTINGS
    calibration: Calibration | None = None  # the product's own; None: as the model comes
    parts: tuple[ArchivePart, ...] = ()   # of the observations, as they were when they were inspected; () for the twin
    fields: ModelFields | None = None     # that the model reads besides


def analyse_month(job: Job, month: Period) -> tuple[str, dict]:
    """Write a month's analysis and keep its days; returns the month's label and facts for run.json."""
    began = time.monotonic()
    check_worker_versions(job.versions)
    model = loaded_model(job)
    model = with_calibration(model, job.calibration) if job.calibration else model
    check_unchanged(job, model, month)
    archive = job.source.open()
    cube, flagged = _observations(job, model, month, archive)
    check_unchanged(job, model, month)
    distance = nearest_distance(cube, job.grid)
    sites = Sites.of(job.grid.lat, job.grid.lon, distance)
    fields = fields_around(job, model, month, cube)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(output.open_part(job.folder.hourly(month), job.grid, job.about, cf.HOURLY, distance))
        days = stack.enter_context(MonthDays(job.folder.days_of(month), cf.fields_of(cf.DAILY, job.about),
                                             month.n_days, job.grid.size))
        truth = stack.enter_context(_Truth(job, month, archive)) if isinstance(archive, TwinArchive) else None
        widths = _Widths()
        for block in _blocks(job, month, model, cube, fields):
            arrays = block.arrays
            _round(arrays)
            widths.add(arrays)
            file.write(block.first, arrays, block.points)
            means = _days(job, month.hours[block.first:block.first + len(arrays["pm25"])], arrays,
                          sites[block.points], model.calibration)
            days.write(block.first // HOURS_PER_DAY, block.points, means)
            if truth:
                truth.compare(block, arrays)
    write_observed(job.folder.observed(month), cube, month, job.minimum_hours, job.about)
    job.folder.progress(month).unlink(missing_ok=True)
    facts = {"files": _written(job.folder, month), "flagged": flagged, "hours": len(month.hours),
             "stations": int(cube.sizes[schema.STATION]), "seconds": round(time.monotonic() - began, 1),
             "versions": installed_versions(), "hours_without_observations": _silent_hours(cube, month)}
    return f"{month.first:%Y-%m}", facts | widths.facts() | (truth.facts() if truth else {})


def fields_around(job: Job, model: Model, period: Period, cube: xr.Dataset) -> xr.Dataset | None:
    """The fields that a model reads for a period, round the grid and the stations; None where it reads none."""
    return job.fields.of_grid(model, period.hours, job.grid, cube) if job.fields else None


def _observations(job: Job, model: Model, month: Period, archive) -> tuple[xr.Dataset, dict[str, int]]:
    """What the model may see, and what quality control found in the month's own hours."""
    marked = screening.screened_around(archive, model, month, job.quality)
    return (stations.reporting(marked, job.minimum_station_hours),
            quality.count_values(marked.sel({schema.TIME: month.hours})))


def _silent_hours(cube: xr.Dataset, month: Period) -> int:
    return int((~np.isfinite(cube[schema.TARGET].sel({schema.TIME: month.hours}).values).any(axis=1)).sum())


def _written(folder: ProductFolder, month: Period) -> dict[str, dict]:
    observed = folder.observed(month)
    return fingerprints(folder.parts(month)) | {observed.relative_to(folder.path).as_posix():
                                                output.fingerprint(observed)}


def check_unchanged(job: Job, model: Model | ModelDescription, month: Period) -> None:
    """UserError where a file that the month was read from is not the one that the product's record describes."""
    if not job.source.files:
        return
    before, after = ((reach + FLAG_REACH_HOURS) * HOUR for reach in (model.history, model.future))
    changed = changed_parts(job.parts, Path(job.source.files.path), month.hours[0] - before, month.hours[-1] + after)
    if changed:
        shown = ", ".join(changed[:3]) + " ..." * (len(changed) > 3)
        raise UserError(f"{len(changed)} file{'s' * (len(changed) > 1)} of {job.source.files.path} changed while the "
                        f"product was made: {shown}.", "A product is made from one state of its observations.",
                        f"Let nothing write there, remove {job.folder.path} and run again.")


def _blocks(job: Job, month: Period, model, cube, fields: xr.Dataset | None) -> Iterator[Block]:
    """Every block of a month, tile by tile of the grid; leaves word of how far it is."""
    done = 0
    for block in blocks(model, cube, job.grid, month, list(output.tiles(job.grid)), fields):
        if fields is not None and job.about.fields_flag:
            hours = month.hours[block.first:block.first + len(block.arrays["pm25"])]
            block.arrays[cf.FIELDS_FLAG] = unknown_fields(fields, hours, job.grid.lat[block.points],
                                                          job.grid.lon[block.points]).astype(np.int8)
        yield block
        done += block.arrays["pm25"].size
        _tell(job, month, done // job.grid.size)


def loaded_model(job: Job) -> Model:
    """The model of a job, with its own calibration; UserError where it is not the product's."""
    return _loaded(job.model, job.neighbours, job.description.identity, job.about.software_version)


@functools.lru_cache(maxsize=1)
def _loaded(name: str, neighbours: int | None, identity: str, version: str) -> Model:
    """The model, kept for the next month of this process."""
    found = registry.describe_model(name, neighbours)
    for what, have, want in (("aqreanalysis", __version__, version),
                             (f"the model {name} as", found.identity, identity)):
        if have != want:
            raise UserError(f"A worker has {what} {have}; the product is made with {want}.",
                            "All workers of a product have the same package and the same checkpoint.",
                            "Install the same version everywhere, or give --checkpoint as a folder that all see.")
    return registry.load_model(name, neighbours)


def _round(arrays: dict[str, np.ndarray]) -> None:
    """In their place, as they will stand in the file, so that days are the means of what users read there."""
    for name in cf.MANTISSA_BITS:
        if name in arrays:
            arrays[name][...] = encoding.rounded(name, arrays[name])


def _days(job: Job, hours: np.ndarray, arrays: dict[str, np.ndarray], sites: Sites,
          calibration: Calibration | None) -> dict[str, np.ndarray]:
    """Means of the days of a block of whole days of `hours`, with what is known of their errors."""
    memory_hours = job.description.error_memory_hours
    correlation = calibration.correlation if calibration else uncertainty.exponential_correlation(memory_hours)
    days = uncertainty.daily(arrays["pm25"], arrays["pm25_standard_error"], arrays["quality_flag"], job.minimum_hours,
                             correlation, observed=arrays["number_of_observations"] > 0)
    dates = local_days(hours[::HOURS_PER_DAY])
    return uncertainty.calibrated(days, calibration.daily, sites, dates) if calibration else days


def _tell(job: Job, month: Period, hours: int) -> None:
    """Leave word of how far this month is, for whoever watches the folder."""
    with files.writing(job.folder.progress(month)):
        files.without_link(job.folder.progress(month)).write_text(str(hours), encoding="utf-8")


class _Widths:
    """How wide the bounds of a month are, on land."""

    def __init__(self) -> None:
        self._cell_hours, self._total = 0, 0.0

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Those of a block; nothing where it has no bounds."""
        if schema.UPPER in arrays:
            width = (arrays[schema.UPPER] - arrays[schema.LOWER])[arrays["quality_flag"] != schema.SEA]
            width = width[np.isfinite(width)]
            self._cell_hours += width.size
            self._total += float(width.sum(dtype=np.float64))

    def facts(self) -> dict:
        """For run.json."""
        return {"bounds": {"cell_hours": self._cell_hours, "sum_width": round(self._total, 1)}} if self._total else {}


class _Truth:
    """The twin's truth beside the analysis, a context manager: its file, and the error by quality class."""

    def __init__(self, job: Job, month: Period, archive):
        self._job, self._twin, self._hours = job, archive.twin, month.hours
        self._sums = np.zeros((len(schema.QUALITY), 3))
        self._file = output.open_part(job.folder.truth(month), job.grid, job.about, cf.TRUTH)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._file.__exit__(*error)

    def compare(self, block: Block, arrays: dict[str, np.ndarray]) -> None:
        """Write the truth of a block and add up the errors of its estimate."""
        hours = self._hours[block.first:block.first + len(arrays["pm25"])]
        grid = self._job.grid
        truth = self._twin.truth(hours, grid.lat[block.points], grid.lon[block.points])
        truth = encoding.rounded("pm25", truth.astype(np.float32))
        self._file.write(block.first, {"pm25": truth}, block.points)
        error = np.abs(arrays["pm25"] - truth)
        half = 1.6449 * arrays["pm25_standard_error"]  # without a calibration, as if errors were normal
        inside = ((truth >= arrays.get("pm25_lower", arrays["pm25"] - half))
                  & (truth <= arrays.get("pm25_upper", arrays["pm25"] + half)))
        for number in range(len(schema.QUALITY)):
            of_class = (arrays["quality_flag"] == number) & np.isfinite(error)
            covered = of_class & inside
            self._sums[number] += of_class.sum(), error[of_class].sum(dtype=np.float64), covered.sum()

    def facts(self) -> dict:
        """Mean absolute error and coverage of the 90 % interval in every cell, by quality class."""
        return {"true_error": {name: {"cell_hours": int(n), "sum_absolute_error": float(total),
                                      "covered_90": int(covered)}
                               for name, (n, total, covered) in zip(schema.QUALITY, self._sums, strict=True)}}


@dataclass(frozen=True)
class Block:
    """Estimates of some hours of a month at some points of a grid; arrays (hours, points)."""

    first: int            # number of the block's first hour in the month
    points: slice         # of the grid
    arrays: dict[str, np.ndarray]


def blocks(model: Model, cube: xr.Dataset, grid: Grid, period: Period,
           tiles: Sequence[slice] = (slice(None),), fields: xr.Dataset | None = None) -> Iterator[Block]:
    """The estimates of a period on a grid, tile by tile, a week of hours at a time, with their support; `fields` are
    those that the model reads (`fields_around`)."""
    hours, land = period.hours, _land(grid)
    prepared = model.prepare(cube, hours, fields)
    observed = np.isfinite(cube.pm25.reindex(time=hours).values)
    for points in tiles:
        lat, lon = grid.lat[points], grid.lon[points]
        support = Support(prepared.supporters(lat, lon), cube.lat.values, cube.lon.values, lat, lon, land[points])
        for first in range(0, len(hours), BLOCK_HOURS):
            rows = slice(first, first + BLOCK_HOURS)
            estimate = prepared.at(schema.make_targets(hours[rows], lat, lon))
            count, flag = support.of_hours(observed[rows])
            flag = np.where(np.isfinite(estimate[schema.TARGET].values), flag, _nothing(land[points]))
            yield Block(first, points, {str(name): array.values for name, array in estimate.data_vars.items()} | {
                "quality_flag": flag.astype(np.int8), "number_of_observations": count})


def _land(grid: Grid) -> np.ndarray:
    """Which targets are not sea: a point on a pier or a small island is none."""
    return grid.land | (grid.kind == "points")


def _nothing(land: np.ndarray) -> np.ndarray:
    """Quality classes (points,) of an hour without an estimate: sea stays sea."""
    return np.where(land, schema.NO_OBSERVATIONS, schema.SEA)


def nearest_distance(cube: xr.Dataset, grid) -> np.ndarray:
    """Distance in km, float32 (points,), from each target to the nearest station of the cube."""
    if not cube.sizes[schema.STATION]:
        return np.full(grid.size, np.nan, np.float32)
    _, distance = geo.nearest(cube.lat.values, cube.lon.values, grid.lat, grid.lon, 1)
    return distance[:, 0].astype(np.float32)
