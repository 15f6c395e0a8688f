"""`aqreanalysis evaluate`: AQ-Net beside the baselines at stations that it has never seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from aqreanalysis import files, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import Sums, holdout
from aqreanalysis.evaluation.distributions import LAPLACE
from aqreanalysis.evaluation.metrics import score_table
from aqreanalysis.evaluation.statistics import fold_statistics
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.figures.scores import score_figures
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import checkpoint, registry, uncertainty
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.uncertainty import inside_hull
from aqreanalysis.observations import checks, screening
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import run_jobs

OURS = "AQ-Net"
DISTRIBUTIONS = {OURS: LAPLACE}  # of hours where there are no bounds; all else is normal
TOLD = (f"CRPS, PIT and coverage of {OURS} are of the distribution that its bounds give: half of a normal one on "
        "either side of the estimate, whose 5 % and 95 % quantiles they are; those of the others are of their standard "
        "error")
MIN_LEFT = 20  # stations that a fold leaves to the models; those of a single city's network are all in one region
FIX = "choose another place with --out."
BOOSTING_DAYS = 150  # at most so many days are learned from, spread over the period


class Result(NamedTuple):
    """What an evaluation gives."""

    table: pd.DataFrame  # of evaluation.metrics.table
    sums: Sums
    notes: list[str]     # sentences about the designs and the distributions


@dataclass(frozen=True)
class MonthJob:
    """One month to score."""

    observations: str
    stations: str | None
    checkpoint: Path
    month: Period
    held_out: tuple[str, ...]
    folds: tuple[holdout.Fold, ...]
    boosting: boosting.Boosting | None


@dataclass(frozen=True)
class BoostingJob:
    """One month of stations and days that boosting may learn from."""

    observations: str
    stations: str | None
    month: Period
    held_out: tuple[str, ...]
    days: np.ndarray


def evaluate(observations: str, period: Period, checkpoint_name: str | None = None, stations: str | None = None,
             workers: int = 1, scheduler: str | None = None, on_month: Callable = lambda label: None,
             warn: Callable = lambda texts: None, quick: bool = False, boost: bool = False,
             grid: str = "0.1deg") -> Result:
    """Scores at the checkpoint's test stations: a table and the sums that it is made of.

    Only stations that the checkpoint's training never saw are scored: as they were withheld (single stations, whole
    cities); and, unless `quick`, with their surroundings taken out too, so that distances to the nearest remaining
    station are those of the land cells of `grid`, and with all stations of a region. `boost` trains and scores
    gradient boosting as well.
    """
    if checkpoint_name in registry.BASELINES:
        raise UserError(f"--checkpoint {checkpoint_name} is a baseline.",
                        "Baselines are scored beside every checkpoint.",
                        "Leave --checkpoint out, or name a trained checkpoint.")
    folder = checkpoint.locate(checkpoint_name)
    card = checkpoint.checked_card(folder)
    archive = open_archive(observations, stations)
    known = set(archive.stations["station_id"])
    single, cities = ([s for s in card.withheld[name] if s in known] for name in ("test_single", "test_city"))
    if not single + cities:
        raise UserError(f"{observations} holds none of the stations that {card.name} withheld.",
                        "Scores are of stations that the training never saw.",
                        "Evaluate on the network it was trained on, or train a checkpoint on this one.")
    if boost:
        boosting.lightgbm()
    warn(checks.of_archive(archive, period.hours[0], period.hours[-1]))
    folds, notes = _folds(archive.stations, single, cities, None if quick else grid)
    where = (str(Path(observations).resolve()), stations)
    every_nth_week = card.training["every_nth_week_withheld"]
    run = lambda function, jobs: run_jobs(function, jobs, workers, scheduler)  # noqa: E731
    trees = _train_boosting(where, period, card, run) if boost else None
    jobs = [MonthJob(*where, folder, month, tuple(single + cities), tuple(folds), trees) for month in period.months()]
    parts = []
    for label, sums in run(score_month, jobs):
        parts.append((label, sums))
        on_month(label)
    sums = _with_cities(Sums.total(part for _, part in sorted(parts, key=lambda pair: pair[0])), archive.stations)
    if not float(sums.station.n.sum()):
        raise UserError(f"{observations} holds no PM2.5 of withheld stations from {period.first} to {period.last}.",
                        "Scores need observations to compare with.", "Choose another period.")
    return Result(score_table(sums, every_nth_week, ours=OURS), sums, notes + [TOLD] * bool(card.calibration))


def _with_cities(sums: Sums, table: pd.DataFrame) -> Sums:
    """The sums with the city of each station, which the bootstrap draws."""
    cities = dict(zip(table["station_id"], city_numbers(table), strict=True))
    city = [cities[station] for station in sums.block.station.values]
    return replace(sums, block=sums.block.assign_coords(city=("station", city)))


def _folds(table: pd.DataFrame, single: list[str], cities: list[str], grid: str | None):
    """The folds of all designs, and a sentence on how well distances are matched."""
    folds = [holdout.withheld(single, cities)]
    if grid is None:
        return folds, []
    cells = parse_grid(grid)
    lat, lon = table["lat"].to_numpy(), table["lon"].to_numpy()
    inside = cells.land & inside_hull(lat, lon, cells.lat, cells.lon)
    if not inside.any() or len(table) < len(single + cities) + MIN_LEFT:
        return folds, ["too few stations, or no land cell among them: scored as they were withheld only"]
    wanted = holdout.nearest_remaining(lat, lon, cells.lat[inside], cells.lon[inside])
    matched = holdout.distance_matched(table, single + cities, wanted)
    note = (f"land cells of {cells.name} inside the network lie a median {matched.median_km:.0f} km from a station; "
            f"Wasserstein distance of the test stations' distances from theirs: {matched.w_before_km:.1f} km as "
            f"withheld, {matched.w_km:.1f} km distance-matched")
    more = matched.folds + holdout.regions(table, single + cities)
    return folds + [fold for fold in more if len(table) - len(fold.removed) >= MIN_LEFT], [note]


def score_month(job: MonthJob) -> tuple[str, Sums]:
    """Sums of one month over all folds."""
    model, described = registry.load_model(job.checkpoint), registry.describe_model(job.checkpoint)
    archive = open_archive(job.observations, job.stations)
    models = registry.baselines() | ({"boosting": job.boosting} if job.boosting else {}) | {OURS: model}
    cube = screening.observations_around(archive, model, job.month, held_out=job.held_out)
    errors_of_days = partial(_errors_of_days, calibration=model.calibration, memory_hours=described.error_memory_hours)
    parts = [fold_statistics(models, cube, fold, job.month.hours, distributions=DISTRIBUTIONS,
                             errors_of_days=errors_of_days) for fold in job.folds]
    return f"{job.month.first:%Y-%m}", Sums.total(parts)


def _errors_of_days(model: str, hourly: dict[str, np.ndarray], days: np.ndarray, distance: np.ndarray,
                    calibration: Calibration | None, memory_hours: float) -> dict[str, np.ndarray]:
    """What a product knows of the errors of days; days with any hour have one. Only ours is calibrated."""
    nobody = np.zeros(hourly[schema.TARGET].shape, np.int8)  # quality classes have no part in it
    correlation = calibration.correlation if calibration else uncertainty.exponential_correlation(memory_hours)
    found = uncertainty.daily(hourly[schema.TARGET], hourly[schema.STANDARD_ERROR], nobody, 1, correlation)
    if model != OURS or calibration is None:
        return found
    return uncertainty.calibrated(found, calibration.daily, distance, days)


def _train_boosting(where: tuple, period: Period, card: checkpoint.Card, run: Callable) -> boosting.Boosting:
    """Trees trained at the checkpoint's training stations on days outside its withheld weeks."""
    held_out = tuple(station for stations in card.withheld.values() for station in stations)
    days = np.array(period.days(), "datetime64[D]")
    days = days[~time_axis.withheld_weeks(days, card.training["every_nth_week_withheld"])]
    days = days[::-(-len(days) // BOOSTING_DAYS) or 1]
    jobs = [BoostingJob(*where, month, held_out, of) for month in period.months()
            if len(of := days[np.isin(days, np.array(month.days(), "datetime64[D]"))])]
    parts = sorted(run(boosting_rows, jobs), key=lambda pair: pair[0])
    return boosting.train(boosting.Rows.joined([rows for _, rows in parts]))


def boosting_rows(job: BoostingJob) -> tuple[str, boosting.Rows]:
    """What boosting learns from in one month."""
    archive = open_archive(job.observations, job.stations)
    cube = screening.observations_around(archive, boosting.Boosting, job.month, held_out=job.held_out)
    cube = cube.isel(station=~cube.indexes["station"].isin(job.held_out))
    return f"{job.month.first:%Y-%m}", boosting.left_out_rows(cube, job.days, seed=0)


def write(result: Result, out: str) -> list[Path]:
    """The table as a .csv file; or a folder with scores.csv, scores.nc (the sums) and figures."""
    path = Path(out)
    if path.suffix == ".csv":
        return [_write_table(result.table, path)]
    with files.whole(path / "scores.nc", FIX) as part:
        for mode, (name, sums) in zip("waaaa", vars(result.sums).items(), strict=True):
            sums.to_netcdf(part, mode=mode, group=name, engine="netcdf4")
    written = [_write_table(result.table, path / "scores.csv"), path / "scores.nc"]
    written += [save_figure(figure, path / f"{name}.png") for name, figure in score_figures(result.table, OURS).items()]
    return written


def _write_table(table: pd.DataFrame, path: Path) -> Path:
    with files.whole(path, FIX) as part:
        table.to_csv(part, index=False, float_format="%.6g")
    return path
