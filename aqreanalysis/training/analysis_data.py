"""The observations of a training recipe for analysis: which stations are withheld, which folds the others make.

What is withheld, and a fold's own stations for its network, is taken out before anything is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS
from aqreanalysis.models.checkpoint import Card
from aqreanalysis.models.cross_fitting import NO_FOLD
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.near_duplicates import NearDuplicates, near_duplicates
from aqreanalysis.observations.readers.archive import none_good
from aqreanalysis.observations.stations import WITHHELD_PARTS, Split, city_numbers, reporting, split_stations
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.time_axis import HOUR, Period

LEAST_DAYS = 5              # outside withheld weeks
STATIONS_PER_NEIGHBOUR = 2  # training stations that are needed for each neighbour that the network reads


@dataclass(frozen=True)
class AnalysisData:
    """What training may look at. Test and validation stations are in no network of it."""

    recipe: TrainingRecipe
    period: Period
    table: pd.DataFrame         # stations with values: station_id, lat, lon, city number; in the order of the archive
    split: Split
    folds: dict[str, int]       # of the training stations: the fold whose network is to do without them
    days: np.ndarray            # datetime64[D], outside the withheld weeks: may be asked for
    duplicates: NearDuplicates  # no group is in more than one part of the split, or in more than one fold
    fingerprint: str            # of the observations' files
    source: str
    simulated: bool

    def stations_of(self, fold: int | None) -> tuple[str, ...]:
        """The stations that the network of a fold is trained on; None: of the main one."""
        return tuple(station for station in self.split.train if fold is None or self.folds[station] != fold)

    def held_out(self, fold: int | None) -> tuple[str, ...]:
        """All others."""
        taken = set(self.stations_of(fold))
        return tuple(station for station in self.table.station_id if station not in taken)

    def cube(self, held_out: Sequence[str], keep: Sequence[str] = ()) -> xr.Dataset:
        """Screened values of all stations but those held out, which have no part in the flags of others either; of
        those, `keep` are in the cube all the same."""
        start, end = self.period.hours[0] - CONTEXT_HOURS * HOUR, self.period.hours[-1] + CONTEXT_HOURS * HOUR
        cube = screening.screened(self.recipe.files.open(), start, end, self.recipe.quality, held_out,
                                  co_pollutants=(start, start - HOUR))
        out = set(held_out) - set(keep)
        wanted = [station for station in self.table.station_id if station not in out]
        return cube.sel(station=wanted)[["pm25"]]

    def city(self, stations: Sequence[str]) -> np.ndarray:
        """Numbers of their cities."""
        return self.table.set_index("station_id").city_number.loc[list(stations)].to_numpy()


def load_analysis_data(recipe: TrainingRecipe, warn: Callable[[list[str]], None] = lambda texts: None,
                       card: Card | None = None,
                       tell: Callable[[Inventory], None] = lambda found: None) -> AnalysisData:
    """What a recipe trains on; no value is kept.

    `tell` gets what of the observations is used and what is not, and what is strange in them; `warn` what is withheld
    besides. With the description of a checkpoint, the stations and folds must be those that it was trained with.

    Raises
    ------
    UserError : where there are no observations, or too few stations or days to train; or where the checkpoint withheld
        other stations, or has other folds, than the recipe.
    """
    archive = recipe.files.open()
    period = time_axis.parse_period(None, recipe.start, recipe.end)
    first, last = period.hours[[0, -1]]
    inspection = archive.inspect(first, last)
    if not inspection.values:
        raise none_good(inspection, recipe.observations, f"{period.first} to {period.last}")
    inventory = take_inventory(archive, first, last, inspection)
    check_usable(archive, inventory, recipe.files.path, recipe.quality)
    tell(inventory)
    cube = reporting(screening.screened(archive, first, last, quality.SINGLE_VALUE_SETTINGS,
                                        co_pollutants=(first, first - HOUR)))
    table = archive.stations[archive.stations["station_id"].isin(cube.station.values)].reset_index(drop=True)
    drawn = split_stations(table, recipe.withheld.seed, recipe.withheld.share_single, recipe.withheld.share_city)
    duplicates = near_duplicates(archive, first, last).among(table["station_id"])
    split = drawn.keeping_together(duplicates.groups())
    warn(duplicates.sentences(drawn.test + drawn.validation) + _moved(drawn, split))
    cities = duplicates.one_label(dict(zip(table.station_id, city_numbers(table), strict=True)))
    table = table.assign(city_number=[cities[station] for station in table.station_id])
    days = training_days(period, recipe.withheld.every_nth_week)
    folds = draw_folds({station: cities[station] for station in split.train}, recipe.folds, recipe.withheld.seed)
    data = AnalysisData(recipe, period, table, split, folds, days, duplicates, inspection.fingerprint, archive.source,
                        archive.simulated)
    _check_enough(data)
    if card:
        _check_same(data, card)
    return data


def draw_folds(cities: dict[str, int], folds: int, seed: int) -> dict[str, int]:
    """The fold of each station, of `folds` equally large ones as far as whole cities go; NO_FOLD with fewer than 2.

    The cities are drawn in a random order, and each goes to the fold that is smallest by then.
    """
    if folds < 2:
        return dict.fromkeys(cities, NO_FOLD)
    numbers, sizes = np.unique(list(cities.values()), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(numbers))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, fold = np.zeros(folds, int), {}
    for place in order:
        smallest = int(np.argmin(filled))
        fold[numbers[place]] = smallest
        filled[smallest] += sizes[place]
    return {station: fold[city] for station, city in cities.items()}


def _moved(drawn: Split, split: Split) -> list[str]:
    """A sentence if stations that were drawn to be withheld are in another part or in none, for their duplicates."""
    count = sum(len(set(getattr(drawn, part)) - set(getattr(split, part))) for part in WITHHELD_PARTS)
    return [f"{count} of the stations that were drawn to be withheld are in another part, or in none, because a near "
            "duplicate of theirs is in a stricter part"] * bool(count)


def _check_same(data: AnalysisData, card: Card) -> None:
    """A UserError where a checkpoint has other withheld stations or other folds."""
    folds = {station: fold for station, _, _, fold in card.analysis.stations}
    same = all(set(stations) == set(getattr(data.split, group)) for group, stations in card.withheld.items())
    if not same or folds != data.folds:
        raise UserError(f"The recipe {data.recipe.name} withholds other stations than {card.name} did, or has other "
                        "folds.", "A checkpoint is calibrated at stations that the network which is asked never saw.",
                        "Give the recipe and the observations that it was trained with.")


def _check_enough(data: AnalysisData) -> None:
    """A UserError where too few stations or days are left."""
    networks = {None, *data.folds.values()} - {NO_FOLD}
    fewest = min(len(data.stations_of(fold)) for fold in networks)
    needed = STATIONS_PER_NEIGHBOUR * data.recipe.training.k
    if fewest < needed:
        raise UserError(f"{fewest} stations are left for training.", f"Training needs at least {needed}.",
                        "Withhold fewer, have no folds (folds: 0), or read fewer neighbours (training: k).")
    if networks == {None} and not data.split.validation:
        raise UserError("No station is left to calibrate with.",
                        "A calibration needs folds, or stations that are withheld for validation.",
                        "Have folds (folds: 5), or withhold stations (withheld: share_single, share_city).")
    if len(data.days) < LEAST_DAYS:
        raise UserError(f"{len(data.days)} days are left for training.",
                        f"It needs at least {LEAST_DAYS} days outside withheld weeks.", "Choose a longer period.")


def training_days(period: Period, every_nth_week: int) -> np.ndarray:
    """The days, datetime64[D], outside the withheld weeks; weeks are counted from 1970-01-01."""
    days = np.array(period.days(), "datetime64[D]")
    return days[~time_axis.withheld_weeks(days, every_nth_week)]
