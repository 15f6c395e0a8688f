"""`aqreanalysis evaluate`: AQ-Net beside the baselines at stations that it has never seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import xarray as xr

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import Sums, holdout
from aqreanalysis.evaluation.distributions import LAPLACE
from aqreanalysis.evaluation.metrics import score_table
from aqreanalysis.evaluation.predictions import errors_of_days
from aqreanalysis.evaluation.statistics import fold_statistics
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.figures.scores import score_figures
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.baselines import boosting
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.near_duplicates import NearDuplicates, near_duplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Archive, none_good
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.time_axis import Period
from aqreanalysis.training.boosting import train_boosting
from aqreanalysis.workers import run_jobs

OURS = "AQ-Net"
DISTRIBUTIONS = {OURS: LAPLACE}  # of hours where there are no bounds; all else is normal
INTERVAL_NOTE = (f"CRPS, PIT and coverage of {OURS} are of the distribution that its bounds give: half of a normal one "
                 "on either side of the estimate, whose 5 % and 95 % quantiles they are; those of the others are of "
                 "their standard error")
EVALUATION_FIX = "choose another place with --out."
DEFAULT_GRID = "0.1deg"


class Result(NamedTuple):
    """The scores of an evaluation."""

    table: pd.DataFrame  # of evaluation.metrics.score_table
    sums: Sums
    notes: list[str]     # sentences about the designs and the distributions


@dataclass(frozen=True)
class MonthJob:
    """One month to score."""

    files: ObservationFiles
    checkpoint: Path
    month: Period
    held_out: tuple[str, ...]
    folds: tuple[holdout.Fold, ...]
    boosting: boosting.Boosting | None


def evaluate(observations: str, period: Period, checkpoint_name: str | None = None, stations: str | None = None,
             workers: int = 1, scheduler: str | None = None, on_month: Callable = lambda label: None,
             quick: bool = False, boost: bool = False,
             grid: str = DEFAULT_GRID, utc_offset: float | None = None,
             tell: Callable[[Inventory], None] = lambda found: None) -> Result:
    """Scores at the checkpoint's test stations: a table and the sums that it is made of.

    Only stations that the checkpoint's training never saw are scored: as they were withheld (single stations, whole
    cities); and, unless `quick`, with their surroundings taken out too, so that distances to the nearest remaining
    station are those of the land cells of `grid`, and with all stations of a region. `boost` trains and scores
    gradient boosting as well. Near duplicates of what is taken out are taken out too. `tell` gets what of the
    observations is used and what is not, before anything is computed.
    """
    if checkpoint_name in registry.BASELINES:
        raise UserError(f"--checkpoint {checkpoint_name} is a baseline.",
                        "Baselines are scored beside every checkpoint.",
                        "Leave --checkpoint out, or name a trained checkpoint.")
    folder = checkpoint.locate(checkpoint_name)
    card = checkpoint.checked_card(folder)
    source = ObservationFiles.of(observations, stations, utc_offset)
    archive = source.open()
    single, cities = _test_stations(archive, card, observations)
    if boost:
        boosting.lightgbm()
    tell(_inventory(archive, period, source.path))
    duplicates = near_duplicates(archive, period.hours[0], period.hours[-1])
    folds, notes = holdout.all_designs(archive.stations, single, cities, None if quick else grid, duplicates)
    held_out = (*single, *cities, *duplicates.of((*single, *cities)))

    def run(function: Callable, jobs: list) -> Iterator:
        return run_jobs(function, jobs, workers, scheduler)

    trees = train_boosting(source, period, card, duplicates, run) if boost else None
    jobs = [MonthJob(source, folder, month, held_out, tuple(folds), trees) for month in period.months()]
    parts = {}
    for label, sums in run(score_month, jobs):
        parts[label] = sums
        on_month(label)
    total = Sums.total(parts[label] for label in sorted(parts))
    if not float(total.station.n.sum()):
        raise UserError(f"{observations} holds no PM2.5 of withheld stations from {period.first} to {period.last}.",
                        "Scores need observations to compare with.", "Choose another period.")
    cities_of = zip(archive.stations["station_id"], city_numbers(archive.stations), strict=True)
    total = total.with_cities(duplicates.one_label(dict(cities_of)))
    table = score_table(total, card.training["every_nth_week_withheld"], ours=OURS)
    notes = duplicate_notes(duplicates, (*single, *cities), card) + notes
    return Result(table, total, notes + [INTERVAL_NOTE] * bool(card.calibration))


def _inventory(archive: Archive, period: Period, where: str) -> Inventory:
    """What of an archive is used; UserError where that is too little."""
    first, last = period.hours[[0, -1]]
    inspection = archive.inspect(first, last)
    if not inspection.values:
        raise none_good(inspection, where, f"{period.first} to {period.last}")
    found = take_inventory(archive, first, last, inspection)
    check_usable(archive, found, where, quality.DEFAULT_SETTINGS)
    return found


def duplicate_notes(duplicates: NearDuplicates, test: Sequence[str], card: checkpoint.Card) -> list[str]:
    """What is withheld beside the test stations, why, and how much of it the checkpoint had not withheld."""
    notes = duplicates.sentences(test)
    known = len(set(duplicates.of(test)).difference(*card.withheld.values()))
    if known:
        verb = "was" if known == 1 else "were"
        notes.append(f"{known} of them {verb} not withheld from {card.name}: its training may have seen them, and its "
                     "scores at their duplicates may be too good")
    return notes


def _test_stations(archive: Archive, card: checkpoint.Card, observations: str) -> tuple[list[str], list[str]]:
    """The archive's test stations of a checkpoint, withheld singly and in whole cities."""
    known = set(archive.stations["station_id"])
    single, cities = ([s for s in card.withheld[name] if s in known] for name in ("test_single", "test_city"))
    if not single + cities:
        raise UserError(f"{observations} holds none of the stations that {card.name} withheld.",
                        "Scores are of stations that the training never saw.",
                        "Evaluate on the network it was trained on, or train a checkpoint on this one.")
    return single, cities


def score_month(job: MonthJob) -> tuple[str, Sums]:
    """Sums of one month over all folds."""
    model, described = registry.load_model(job.checkpoint), registry.describe_model(job.checkpoint)
    archive = job.files.open()
    models = registry.baselines() | ({"boosting": job.boosting} if job.boosting else {}) | {OURS: model}
    cube = screening.observations_around(archive, model, job.month, held_out=job.held_out)
    of_days = partial(errors_of_days, calibrated=OURS, calibration=model.calibration,
                      memory_hours=described.error_memory_hours)
    parts = [fold_statistics(models, cube, fold, job.month.hours, distributions=DISTRIBUTIONS,
                             errors_of_days=of_days) for fold in job.folds]
    return f"{job.month.first:%Y-%m}", Sums.total(parts)


def check_out(out: str | None) -> None:
    """A UserError where :func:`write_result` has no use for a name; to be called before anything is computed."""
    if out and not _is_table(out):
        files.folder_named(out)
    elif out and Path(out).is_dir():
        raise UserError(f"--out {out} is a folder.", "A name that ends in .csv is that of the table alone.",
                        "Name a file, or a folder without that ending.")


def _is_table(out: str) -> bool:
    return Path(out).suffix.lower() == ".csv" and not out.endswith("/")


def write_result(result: Result, out: str) -> list[Path]:
    """The table as a .csv file; or a folder with scores.csv, scores.nc (the sums) and figures."""
    path = Path(out)
    if _is_table(out):
        return [_write_table(result.table, path)]
    with files.whole(path / "scores.nc", EVALUATION_FIX) as part:
        xr.Dataset(attrs={"notes": "\n".join(result.notes)}).to_netcdf(part, engine="netcdf4")
        for name, sums in vars(result.sums).items():
            texts = {str(key): {"dtype": "S1"} for key, of in sums.variables.items() if of.dtype.kind in "OU"}
            sums.to_netcdf(part, mode="a", group=name, engine="netcdf4", encoding=texts)
    figures = score_figures(result.table, OURS)
    return [_write_table(result.table, path / "scores.csv"), path / "scores.nc",
            *(save_figure(figure, path / f"{name}.png") for name, figure in figures.items())]


def _write_table(table: pd.DataFrame, path: Path) -> Path:
    with files.whole(path, EVALUATION_FIX) as part:
        table.to_csv(part, index=False, float_format="%.6g")
    return path
