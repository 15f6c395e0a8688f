"""How the errors of a model are correlated in space and time, on runs of days that follow each other.

    python benchmarks/error_correlation.py ARCHIVE [--model NAME] [--first YYYY-MM-DD ...] [--days 12] [--visible]

All stations of an archive are hidden with their city, and with their surroundings, by the networks that never saw them,
and the correlation of their errors over their standard errors is fitted without a prior. Prints what pairs have and the
fit, and the numbers as plain JSON: those of the shipped network on 120 days of 2019 are DEFAULT in
aqreanalysis/models/error_correlation.py. With --visible, stations are left out singly, and pairs are of different
folds: each was given to the estimate of the other.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.holdout import SINGLE_STATIONS, Fold
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.models import registry
from aqreanalysis.observations import readers, screening
from aqreanalysis.observations.near_duplicates import find_duplicates
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.product.validation.hidden import HiddenDays, hidden_days
from aqreanalysis.time_axis import Period
from aqreanalysis.training.calibration import apply_bounds, fit_calibration
from aqreanalysis.training.error_pairs import DISTANCES, errors_of, pair_moments

FIRST = ("01-04", "02-10", "03-04", "05-04", "06-10", "07-04", "09-20", "10-10", "11-04", "12-10")  # days of 2019


def residuals(path: str, name: str | None, first: list[dt.date], days: int, wanted: Callable[[Fold], bool],
              grid: Grid | None) -> HiddenDays:
    """Rows of the folds that are wanted, on all days; designs are matched to the land of `grid`, if there is one."""
    archive = readers.open_archive(path)
    table = archive.stations.reset_index(drop=True)
    duplicates = find_duplicates(table, [])
    networks, _ = registry.hiding_networks(name, table)
    folds = [fold for fold in archive_designs(table, grid, networks, duplicates).folds if wanted(fold)]
    cities = duplicates.one_label(dict(zip(table.station_id, city_numbers(table).tolist(), strict=True)))
    main, found = registry.load_model(name), []
    for start in first:
        dates = np.arange(start, start + dt.timedelta(days=days)).astype("datetime64[D]")
        cube = screening.observations_around(archive, main, Period(start, dates[-1].item()))
        for fold in folds:
            network = main if fold.network is None else registry.load_model(name, None, fold.network)
            found.append(hidden_days(network, cube, fold, dates, cities))
        print(f"{start}: {len(folds)} folds", flush=True)
    return HiddenDays.joined(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("--model")
    parser.add_argument("--first", type=dt.date.fromisoformat, nargs="+",
                        default=[dt.date.fromisoformat(f"2019-{day}") for day in FIRST])
    parser.add_argument("--days", type=int, default=12)
    parser.add_argument("--visible", action="store_true")
    asked = parser.parse_args()
    rows = residuals(asked.archive, asked.model, asked.first, asked.days,
                     lambda fold: (SINGLE_STATIONS in fold.scored) == asked.visible, parse_grid("0.1deg"))
    made = registry.calibration_of(asked.model) or fit_calibration(rows)
    if asked.visible:
        rows = of_other_folds(rows)
    errors = errors_of(rows, made, None, 0.0, 0.0, "")
    z = (rows.truth - rows.estimate) / apply_bounds(made.hourly, rows)[0]
    moments = pair_moments(rows, z)
    print("km    " + " ".join(f"{km:6.0f}" for km in moments.km[:DISTANCES]))
    print("pairs " + " ".join(f"{value:6.3f}" for value in moments.product[:DISTANCES]))
    print("fit   " + " ".join(f"{value:6.3f}" for value in errors.hourly.of_distance(moments.km[:DISTANCES])))
    for name in ("hourly", "daily"):
        found = getattr(errors, name)
        print(f"{name}: a station's own {found.own_share:.2f}, lasting {found.lasting_share:.2f}")
    print(json.dumps(errors.asdict()))


def of_other_folds(rows: HiddenDays) -> HiddenDays:
    """Stations left out singly, of all folds together: the estimate at one was mostly given the other of a pair."""
    singly = rows[rows.design == SINGLE_STATIONS]
    return replace(singly, fold=np.zeros(len(singly.fold), int), design=np.full(len(singly.fold), "given", object))


if __name__ == "__main__":
    main()
