"""Cross-fitting: every training station estimated by a network that never saw it, as evaluation's designs leave it out.

With folds, each network is asked at the stations of its fold. Without, the one network there is, at the validation
stations. From these estimates come a checkpoint's calibration and the scores in its description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED, Fold
from aqreanalysis.evaluation.statistics import week_number
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import checkpoint
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.cross_fitting import NEVER_SEEN
from aqreanalysis.models.error_correlation import DEFAULT
from aqreanalysis.time_axis import MINIMUM_HOURS
from aqreanalysis.training.analysis_data import AnalysisData
from aqreanalysis.training.calibration import HeldOutDays, cross_validated, fit_calibration, held_out_days
from aqreanalysis.training.error_pairs import PRIOR_ROWS, errors_of
from aqreanalysis.training.validation import error_memory, held_out_scores

EVERY_DAYS = 8           # of the days that may be asked for: coprime to the week
DISTANCE_GRID = "0.1deg"  # whose land cells the distances are those of


@dataclass(frozen=True)
class Asked:
    """A network of a checkpoint (None: the main one) and the stations that it is asked at, in folds."""

    network: int | None
    folder: Path
    stations: tuple[str, ...]
    folds: tuple[Fold, ...]


@dataclass(frozen=True)
class CrossFitted:
    """Days of held-out stations by our networks and by kriging: the same stations, days and designs."""

    ours: HeldOutDays
    kriging: HeldOutDays


def asked_networks(data: AnalysisData, main: Path, folder: Path) -> list[Asked]:
    """Which networks are asked at which stations; `main` and `folder` are those of the main network and of folds."""
    crossed = max(data.folds.values()) >= 0
    stations = data.split.train + (() if crossed else data.split.validation)
    table = data.table[data.table.station_id.isin(stations)].reset_index(drop=True)
    if crossed:
        networks = np.array([data.folds[station] for station in table.station_id])
        numbers = sorted(set(data.folds.values()))
    else:
        networks = np.where(table.station_id.isin(data.split.validation), 0, NEVER_SEEN)
        numbers = [0] if data.split.validation else []
    designs = archive_designs(table, parse_grid(DISTANCE_GRID), networks, data.duplicates)
    asked = []
    for number in numbers:
        folds = tuple(_once(fold) for fold in designs.folds if fold.network == number)
        where = checkpoint.fold_folder(folder, number) if crossed else main
        asked.append(Asked(number if crossed else None, where, tuple(table.station_id[networks == number]), folds))
    return asked


def _once(fold: Fold) -> Fold:
    """A fold without the design that only weighs the rows of another one, which have its weights."""
    return replace(fold, scored={name: stations for name, stations in fold.scored.items() if name != MAP_MATCHED},
                   weights={DISTANCE_MATCHED: fold.weights[MAP_MATCHED]} if MAP_MATCHED in fold.weights else {})


def ask(data: AnalysisData, asked: Asked) -> tuple[str, CrossFitted]:
    """What a network, and kriging, estimate at the stations that it never saw."""
    model, _ = checkpoint.load(asked.folder)
    cube = data.cube(asked.stations + data.split.test, keep=asked.stations)
    cube = cube.sel(station=[s for s in cube.station.values if s in {*data.split.train, *asked.stations}])
    days = data.days[::EVERY_DAYS]
    found = CrossFitted(*(HeldOutDays.joined([held_out_days(one, cube, fold, days) for fold in asked.folds])
                          for one in (model, Kriging())))
    return str(asked.network), found


def cross_fit(data: AnalysisData, asked: list[Asked],
              run: Callable[[Callable, list[Asked], Any], Iterable[Any]]) -> CrossFitted:
    """All networks asked; `run(function, jobs, shared)` gives results in any order (workers.run_jobs).

    Raises
    ------
    UserError : where no station that is left out has a whole day.
    """
    parts = dict(run(ask, asked, data))
    names = sorted(parts)
    found = CrossFitted(*(HeldOutDays.joined([getattr(parts[name], of) for name in names])
                          for of in ("ours", "kriging"))) if names else None
    if found is None or not found.ours.whole.any():
        raise UserError(f"No station that is left out has a whole day among {len(data.days[::EVERY_DAYS])} days.",
                        f"A calibration needs folds or validation stations, and days of {MINIMUM_HOURS} hours.",
                        "Choose a longer period, have folds (folds: 5), or withhold other stations.")
    return found


def calibration_of(data: AnalysisData, found: CrossFitted) -> Calibration:
    """The calibration of a checkpoint's errors, and in its facts how well it holds where it was not fitted."""
    days = found.ours
    towns = dict(zip(data.table.station_id, data.table.city_number, strict=True))
    facts = {"stations": len(np.unique(days.station)), "days": len(np.unique(days.day)),
             "first": str(days.day.min()), "last": str(days.day.max()),
             "station_hours": int(np.isfinite(days.truth).sum()),
             "at_other_towns": cross_validated(days, np.array([towns[station] for station in days.station])),
             "in_other_weeks": cross_validated(days, week_number(days.day))}
    made = fit_calibration(days)
    measured = f"at {facts['stations']} stations left out on {facts['days']} days, {facts['first']} to {facts['last']}"
    errors = errors_of(days, made, DEFAULT, len(np.unique(days.station)), PRIOR_ROWS, measured)
    return replace(made, facts=facts, errors=errors)


def facts_of(found: CrossFitted) -> tuple[list[dict], float]:
    """Scores by design, and the memory of errors in hours."""
    return held_out_scores(found.ours, found.kriging), round(error_memory(found.ours), 1)


