"""One month of a product, from observations to its hourly file and its days: the unit of work.

A `Job` holds all that a process needs, here or on another machine that sees the same files.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aqreanalysis import analysis, output, product, schema, uncertainty
from aqreanalysis.clock import HOURS_PER_DAY, Period, local_days
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid
from aqreanalysis.models import checkpoint
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.output import cf, encoding
from aqreanalysis.output.cf import About
from aqreanalysis.quality import DEFAULT, Settings
from aqreanalysis.readers import open_archive
from aqreanalysis.simulation import TwinArchive


@dataclass(frozen=True)
class Source:
    """Where observations come from: a path, or the twin under a seed."""

    path: str | None
    station_table: str | None
    twin_seed: int

    def open(self):
        """The archive."""
        if self.path is None:
            return TwinArchive(self.twin_seed)
        return open_archive(self.path, self.station_table)


@dataclass(frozen=True)
class Job:
    """One month to analyse."""

    source: Source
    checkpoint: Path
    grid: Grid
    month: Period
    folder: product.ProductFolder
    about: About
    neighbours: int
    minimum_hours: int
    minimum_station_hours: int
    quality: Settings = DEFAULT


def analyse_month(job: Job) -> tuple[str, dict]:
    """Write a month's hourly file and keep its days; returns the month's label and facts for run.json."""
    began = time.monotonic()
    archive = job.source.open()
    model, card = checkpoint.load(job.checkpoint, job.neighbours)
    cube = analysis.observations_around(archive, model, job.month, job.minimum_station_hours, job.quality)
    distance = analysis.nearest_distance(cube, job.grid)
    truth = _Truth(job, archive) if isinstance(archive, TwinArchive) else None
    days = []
    with output.HourlyFile(job.folder.hourly(job.month), job.grid, job.month.hours, job.about, distance) as file:
        for block in analysis.blocks(model, cube, job.grid, job.month, job.neighbours):
            arrays = _rounded(block.arrays)
            file.write(block.first, arrays)
            days.append(_days(job, block.first, arrays, distance, model.calibration, card.error_memory_hours))
            if truth:
                truth.compare(block, arrays)
            _tell(job, block.first + len(arrays["pm25"]))
        whole = {name: np.concatenate([part[name] for part in days]) for name in days[0]}
        product.save_days(job.folder.days_of(job.month), whole)
        if truth:
            truth.write()
    job.folder.progress(job.month).unlink(missing_ok=True)
    facts = {"file": job.folder.hourly(job.month).name, "hours": len(job.month.hours),
             "sha256": product.sha256_of(job.folder.hourly(job.month)),
             "stations": int(cube.sizes[schema.STATION]), "seconds": round(time.monotonic() - began, 1),
             "hours_without_observations": int((~np.isfinite(cube.pm25.sel(time=job.month.hours).values)
                                                .any(axis=1)).sum())}
    return f"{job.month.first:%Y-%m}", facts | (truth.facts() if truth else {})


def _rounded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As they will stand in the file, so that days are the means of what users read there."""
    return arrays | {name: encoding.rounded(name, arrays[name]) for name in cf.MANTISSA_BITS if name in arrays}


def _days(job: Job, first: int, arrays: dict[str, np.ndarray], distance: np.ndarray, calibration: Calibration | None,
          memory_hours: float) -> dict[str, np.ndarray]:
    """Means of the days of a block that begins with the month's hour `first`, with what is known of their errors."""
    correlation = calibration.correlation if calibration else uncertainty.fading(memory_hours)
    days = uncertainty.daily(arrays["pm25"], arrays["pm25_standard_error"], arrays["quality_flag"], job.minimum_hours,
                             correlation)
    dates = local_days(job.month.hours[first:first + len(arrays["pm25"]):HOURS_PER_DAY])
    return uncertainty.calibrated(days, calibration.daily, distance, dates) if calibration else days


def _tell(job: Job, hours: int) -> None:
    """Leave word of how far this month is, for whoever watches the folder."""
    try:
        job.folder.progress(job.month).write_text(str(hours))
    except OSError as error:
        raise UserError(f"{job.folder.path} can't be written ({error.strerror}).", "A product needs space.",
                        "Free some and run the same command: it goes on.") from error


class _Truth:
    """The twin's truth beside the analysis: its file, and the error by quality class."""

    def __init__(self, job: Job, archive):
        self.job, self.twin = job, archive.twin
        self.hours = job.month.hours
        self.sums = np.zeros((len(schema.QUALITY), 3))
        self.blocks: list[tuple[int, np.ndarray]] = []

    def compare(self, block: analysis.Block, arrays: dict[str, np.ndarray]) -> None:
        """Compute the truth of a block and add up the errors of its estimate."""
        hours = self.hours[block.first:block.first + len(arrays["pm25"])]
        truth = self.twin.truth(hours, self.job.grid.lat, self.job.grid.lon)
        truth = encoding.round_mantissa(truth.astype(np.float32), cf.MANTISSA_BITS["pm25"])
        self.blocks.append((block.first, truth))
        error = np.abs(arrays["pm25"] - truth)
        half = 1.6449 * arrays["pm25_standard_error"]  # without a calibration, as if errors were normal
        inside = ((truth >= arrays.get("pm25_lower", arrays["pm25"] - half))
                  & (truth <= arrays.get("pm25_upper", arrays["pm25"] + half)))
        for number in range(len(schema.QUALITY)):
            of_class = (arrays["quality_flag"] == number) & np.isfinite(error)
            covered = of_class & inside
            self.sums[number] += of_class.sum(), error[of_class].sum(dtype=np.float64), covered.sum()

    def write(self) -> None:
        """Write the month's truth."""
        with output.TruthFile(self.job.folder.truth(self.job.month), self.job.grid, self.hours,
                              self.job.about) as file:
            for first, truth in self.blocks:
                file.write(first, {"pm25": truth})

    def facts(self) -> dict:
        """Mean absolute error and coverage of the 90 % interval in every cell, by quality class."""
        return {"true_error": {name: {"cell_hours": int(n), "sum_absolute_error": float(total),
                                      "covered_90": int(covered)}
                               for name, (n, total, covered) in zip(schema.QUALITY, self.sums, strict=True)}}
