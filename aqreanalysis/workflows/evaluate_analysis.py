"""`aqreanalysis evaluate`: a network beside the baselines at stations that are withheld from both.

All stations of an archive are left out, in folds (evaluation/designs.py); each is estimated by a network that was not
trained on it, where the checkpoint has one. With `withheld`, only those that the checkpoint's training left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import Sums
from aqreanalysis.evaluation.designs import Designs, archive_designs, withheld_designs
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.metrics import score_table
from aqreanalysis.evaluation.strata import kinds_of_place
from aqreanalysis.fields.static import is_covered
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines import boosting
from aqreanalysis.models.baselines.regression_kriging import shipped_drift
from aqreanalysis.models.cross_fitting import NEVER_SEEN, NO_FOLD, SAME_PLACE_KM, training_folds
from aqreanalysis.observations import quality
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.near_duplicates import NearDuplicates, near_duplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Archive, Source, none_good
from aqreanalysis.observations.readers.cube import CubeArchive
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.product.model_fields import ModelFields, check_fields_of, choose_fields
from aqreanalysis.product.versions import installed_versions
from aqreanalysis.time_axis import Period
from aqreanalysis.training.boosting import train_boosting
from aqreanalysis.training.regression import FITTED_DAYS, FITTED_STATIONS, fit_regression_kriging
from aqreanalysis.workers import run_jobs
from aqreanalysis.workflows.score_months import Scoring, score_month

DEFAULT_GRID = "0.1deg"
MOST_UNFITTED = 0.45  # of the stations, that regression kriging is fitted without where that saves fits
FITTED_OF_DAYS, LEAST_FITTED_DAYS = 5, 14  # of so many days of a short period it is fitted to one; at least to these
DAYS_SEED = 0  # of the draw of days


class Result(NamedTuple):
    """The scores of an evaluation."""

    table: pd.DataFrame  # of evaluation.metrics.score_table
    sums: Sums
    notes: list[str]     # sentences about the designs and the distributions
    model: registry.ModelDescription  # that is scored; its label is its name in the table and the sums
    stations: pd.DataFrame | None = None  # station_id, lat, lon of the stations that reported
    about: str = ""      # of what it is, in words
    simulated: bool = False
    inventory: Inventory | None = None  # what of the observations was used, and what was not
    facts: Mapping[str, str] = {}       # what the scores were made from, by names


@dataclass(frozen=True)
class Evaluation:
    """What is scored, and how it is run.

    `withheld`: only the stations that the checkpoint's training left aside, as it left them aside. `quick`: no
    surroundings are taken out, and no stations are matched to the land of `grid`. `every_days`: of so many days one,
    drawn. `fields`: where those are that the checkpoint reads. `boost`: gradient boosting too, with `withheld` only,
    for it is trained at the others.
    """

    checkpoint_name: str | None = None
    withheld: bool = False
    quick: bool = False
    boost: bool = False
    grid: str = DEFAULT_GRID
    every_days: int = 1
    workers: int = 1
    scheduler: str | None = None
    fields: str | None = None

    def run(self, function: Callable, jobs: list, shared: object = None) -> Iterator:
        """Results of the jobs as they are done."""
        return run_jobs(function, jobs, self.workers, self.scheduler, shared)

    def check(self) -> None:
        """UserError for what can not be scored."""
        if self.checkpoint_name in registry.BASELINES:
            raise UserError(f"--checkpoint {self.checkpoint_name} is a baseline.",
                            "Baselines are scored beside every checkpoint.",
                            "Leave --checkpoint out, or name a trained checkpoint.")
        if self.boost and not self.withheld:
            raise UserError("--boosting was given without --withheld.",
                            "Boosting is trained at stations that are scored, unless only a checkpoint's are.",
                            "Give --withheld too, or leave --boosting out.")
        if self.boost:
            boosting.lightgbm()


def evaluate(observations: str, period: Period, checkpoint_name: str | None = None, stations: str | None = None,
             workers: int = 1, scheduler: str | None = None, on_month: Callable = lambda label: None,
             quick: bool = False, boost: bool = False,
             grid: str = DEFAULT_GRID, utc_offset: float | None = None,
             tell: Callable[[Inventory], None] = lambda found: None, withheld: bool = False,
             every_days: int = 1, fields: str | None = None) -> Result:
    """Scores at stations that are left out, each estimated from the others: a table and the sums that it is made of.

    All stations of the observations: singly, with their whole city, and with their surroundings, so that they stand
    for the land of the map; for the options see :class:`Evaluation`. `tell` gets what of the observations is used and
    what is not, before anything is computed.

    Raises
    ------
    UserError : for fewer than six stations with observations, or none that the checkpoint withheld (`withheld`).
    """
    asked = Evaluation(checkpoint_name, withheld, quick, boost, grid, every_days, workers, scheduler, fields)
    return evaluate_source(ObservationFiles.of(observations, stations, utc_offset), observations, period, asked,
                           on_month, tell)


def evaluate_cube(cube: xr.Dataset, period: Period, asked: Evaluation = Evaluation(),
                  table: pd.DataFrame | None = None, on_month: Callable = lambda label: None) -> Result:
    """The same of a raw station cube in memory: of stations, hours or levels that a script chose.

    `cube` should reach 23 days beyond the period on either side, which models and quality control read; `table` may add
    columns (city, name, background) to its stations.
    """
    return evaluate_source(CubeArchive(cube, table), "the cube", period, asked, on_month)


def evaluate_source(source: Source, where: str, period: Period, asked: Evaluation,
                    on_month: Callable = lambda label: None,
                    tell: Callable[[Inventory], None] = lambda found: None) -> Result:
    """The same of whatever opens as an archive; `where` is what messages call it."""
    asked.check()
    folder = checkpoint.locate(asked.checkpoint_name)
    card, archive = checkpoint.checked_card(folder), source.open()
    if asked.withheld:
        _test_stations(archive.stations, card, where)  # an error comes before anything is read
    inventory = _inventory(archive, period, where)
    fields = _fields(archive, folder, period, asked.fields, inventory)
    tell(inventory)
    table = _reporting(archive, inventory)
    duplicates = near_duplicates(archive, period.hours[0], period.hours[-1])
    designs = _designs(table, card, asked, where, duplicates)
    days = sampled_days(period, asked.every_days)
    scoring = Scoring(source, folder, tuple(designs.folds), days, kinds_of_place(table),
                      _boosting(source, period, card, duplicates, asked),
                      _regression(source, period, table, designs, duplicates, asked), fields)
    total = _total_of_months(scoring, period, asked, on_month)
    if total is None or not float(total.station.n.sum()):
        raise UserError(f"{where} holds no PM2.5 of withheld stations from {period.first} to {period.last}.",
                        "Scores need observations to compare with.", "Choose another period.")
    cities_of = zip(table["station_id"], city_numbers(table), strict=True)
    total = total.with_cities(duplicates.one_label(dict(cities_of)), scoring.kinds)
    notes = (designs.notes + _day_notes(days, period) + _regression_notes(scoring.fitted)
             + [interval_note(card.label)] * bool(card.calibration))
    about = f"{card.name} at stations of {period.first} to {period.last} that were left out. {archive.source}"
    return Result(score_table(total, card.training["every_nth_week_withheld"], card.label), total, notes,
                  registry.describe_model(folder), table[["station_id", "lat", "lon"]], about, archive.simulated,
                  inventory, _facts(card, where, period, asked, days))


def _facts(card: checkpoint.Card, where: str, period: Period, asked: Evaluation, days: np.ndarray) -> dict[str, str]:
    """What scores were made from, for their report."""
    stations = "those that training left aside, as it did" if asked.withheld else "all, each left out once a design"
    versions = installed_versions()
    return {"checkpoint": card.identity, "observations from": where,
            "period": f"{period.first} to {period.last} (UTC+8)", "days scored": f"{len(days)} of {period.n_days}",
            "stations scored": stations, "surroundings": "none taken out (--quick)" if asked.quick else
            f"taken out so that distances are those of the land of the grid {asked.grid}",
            **({"fields": asked.fields} if asked.fields else {}),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items())}


def _total_of_months(scoring: Scoring, period: Period, asked: Evaluation, on_month: Callable) -> Sums | None:
    """The sums of all months, added in their order whichever is done first; None where nothing is scored."""
    months, total = period.months(), None
    waiting: dict[str, Sums | None] = {}
    order = [f"{month.first:%Y-%m}" for month in months]
    for label, sums in asked.run(score_month, months, scoring):
        waiting[label] = sums
        on_month(label)
        while order and order[0] in waiting:
            known = [part for part in (total, waiting.pop(order.pop(0))) if part is not None]
            total = Sums.total(known) if known else None
    return total


def _inventory(archive: Archive, period: Period, where: str) -> Inventory:
    """What of an archive is used; UserError where that is too little."""
    first, last = period.hours[[0, -1]]
    inspection = archive.inspect(first, last)
    if not inspection.values:
        raise none_good(inspection, where, f"{period.first} to {period.last}")
    found = take_inventory(archive, first, last, inspection)
    check_usable(archive, found, where, quality.DEFAULT_SETTINGS)
    return found


def _fields(archive: Archive, folder: Path, period: Period, path: str | None,
            inventory: Inventory) -> ModelFields | None:
    """The fields that the checkpoint reads, checked at the stations; what is told of them goes into the inventory."""
    model = registry.describe_model(folder)
    choice = choose_fields(path, model)
    if choice is None:
        return None
    places = archive.stations.lat.to_numpy(), archive.stations.lon.to_numpy()
    made, notes = check_fields_of(choice, model, period, places, ((), ()), archive.simulated)
    inventory.inspection.notes.extend(notes)
    return made


def _reporting(archive: Archive, inventory: Inventory) -> pd.DataFrame:
    """The stations of an archive that have a value in the period."""
    table = archive.stations
    silent = list(inventory.coverage.silent()) if inventory.coverage else []
    return table[~table["station_id"].isin(silent)].reset_index(drop=True)


def _designs(table: pd.DataFrame, card: checkpoint.Card, asked: Evaluation, where: str,
             duplicates: NearDuplicates) -> Designs:
    """The designs, with a sentence on what training saw of the stations."""
    grid = None if asked.quick else parse_grid(asked.grid)
    if asked.withheld:
        single, cities = _test_stations(table, card, where)
        found = withheld_designs(table, single, cities, grid, duplicates)
        return Designs(found.folds, duplicate_notes(duplicates, (*single, *cities), card) + found.notes)
    networks = training_folds(card, table["lat"].to_numpy(), table["lon"].to_numpy(), list(table["station_id"]))
    found = archive_designs(table, grid, networks, duplicates)
    return Designs(found.folds, seen_notes(networks, card) + found.notes)


def interval_note(ours: str) -> str:
    """Which distributions the scores of a calibrated model are of."""
    return (f"CRPS, PIT and coverage of {ours} are of the distribution that its bounds give: half of a normal one on "
            "either side of the estimate, whose 5 % and 95 % quantiles they are; those of the others are of their "
            "standard error")


def seen_notes(networks: np.ndarray, card: checkpoint.Card) -> list[str]:
    """What training saw of the stations (stations,), and what that means; `networks` of cross_fitting."""
    seen, without = int((networks != NEVER_SEEN).sum()), int((networks == NO_FOLD).sum())
    if not seen:
        return [f"the training of {card.name} saw none of the {len(networks)} stations (none has the id of one that it "
                f"saw, or stands within {1000 * SAME_PLACE_KM:.0f} m of one)"]
    found = (f"the training of {card.name} saw {seen} of the {len(networks)} stations (by id, or within "
             f"{1000 * SAME_PLACE_KM:.0f} m)")
    if without < seen:
        found += f"; {'each' if not without else seen - without} of them is estimated by the network of a fold that " \
                 "never saw it"
    if without:
        found += f"; there is no network that did not see {'them' if without == seen else f'the other {without}'}: " \
                 f"scores of {card.label} are too good there. --withheld scores stations that training left aside"
    return [found]


def duplicate_notes(duplicates: NearDuplicates, test: Sequence[str], card: checkpoint.Card) -> list[str]:
    """What is withheld beside the test stations, why, and how much of it the checkpoint had not withheld."""
    notes = duplicates.sentences(test)
    known = len(set(duplicates.of(test)).difference(*card.withheld.values()))
    if known:
        verb = "was" if known == 1 else "were"
        notes.append(f"{known} of them {verb} not withheld from {card.name}: its training may have seen them, and its "
                     "scores at their duplicates may be too good")
    return notes


def _test_stations(table: pd.DataFrame, card: checkpoint.Card, where: str) -> tuple[list[str], list[str]]:
    """The test stations of a checkpoint among those of a table, withheld singly and in whole cities."""
    known = set(table["station_id"])
    single, cities = ([s for s in card.withheld.get(name, ()) if s in known] for name in ("test_single", "test_city"))
    if not single + cities:
        raise UserError(f"{where} holds none of the stations that {card.name} withheld.",
                        "With --withheld, scores are of these only.",
                        "Leave --withheld out: then all stations are scored, each left out once.")
    return single, cities


def sampled_days(period: Period, every: int) -> np.ndarray:
    """Of every `every` days of a period one, drawn, so that no rhythm of the week has a part in it; datetime64[D]."""
    days, rng = np.array(period.days(), "datetime64[D]"), np.random.default_rng(DAYS_SEED)
    return np.array([rng.choice(days[start:start + every]) for start in range(0, len(days), every)])


def _day_notes(days: np.ndarray, period: Period) -> list[str]:
    every = len(period.days())
    return [f"scored on {len(days)} of {every} days, drawn one after the other: {days[0]} to {days[-1]}"] * (
        len(days) < every)


def _boosting(source: Source, period: Period, card: checkpoint.Card, duplicates: NearDuplicates,
              asked: Evaluation) -> Mapping[str, Model]:
    """Gradient boosting by its name, where it is asked for; trained at the checkpoint's training stations."""
    return {"boosting": train_boosting(source, period, card, duplicates, asked.run)} if asked.boost else {}


def _regression(source: Source, period: Period, table: pd.DataFrame, designs: Designs, duplicates: NearDuplicates,
                asked: Evaluation) -> dict[tuple[str, ...], Model]:
    """Regression kriging for each set of withheld stations, which have no part in its fit; none outside China."""
    if not is_covered(table["lat"], table["lon"]).all():
        return {}
    left_out = fitted_without(designs.folds, min(MOST_UNFITTED * len(table), len(table) - 2 * FITTED_STATIONS))
    groups = sorted(set(left_out.values()))
    days = min(FITTED_DAYS, max(len(period.days()) // FITTED_OF_DAYS, LEAST_FITTED_DAYS))
    models = dict(zip(groups, fit_regression_kriging(source, period, groups, duplicates, asked.run, days=days),
                      strict=True))
    return {removed: models[group] for removed, group in left_out.items()}


def fitted_without(folds: Sequence[Fold], most: float) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Without which stations a model is fitted for each set that a fold takes out: these, and those of folds before it
    of the same design, as long as there are no more than `most`. One fit then serves several folds."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    together: list[tuple[str, ...]] = []
    design: list[str] = []
    union: set[str] = set()
    for fold in [*folds, None]:
        more = union | set(fold.removed) if fold else set()
        if fold is None or (together and (len(more) > most or list(fold.scored) != design)):
            found |= dict.fromkeys(together, tuple(sorted(union)))
            together, more = [], set(fold.removed) if fold else set()
        if fold:
            design, union = list(fold.scored), more
            together.append(fold.removed)
    return found


def _regression_notes(fitted: Mapping[tuple[str, ...], Model]) -> list[str]:
    """Whom regression kriging was fitted to."""
    if not fitted:
        return ["no regression kriging: stations lie outside what the static covariates cover"]
    others = sum(getattr(model, "drift", None) is shipped_drift() for model in fitted.values())
    return [f"regression kriging: in {others} of {len(fitted)} folds too few stations are left to fit it; its "
            "coefficients are there those of northern China's network in 2019, whose stations may be among these"
            ] * bool(others)
