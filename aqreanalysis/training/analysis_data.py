"""The observations of a training recipe for analysis, with what is withheld taken out before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.aqnet.analysis import CONTEXT_HOURS
from aqreanalysis.models.checkpoint import Card
from aqreanalysis.models.features import Scaler
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.near_duplicates import NearDuplicates, near_duplicates
from aqreanalysis.observations.readers.archive import none_good
from aqreanalysis.observations.stations import WITHHELD_PARTS, Split, reporting, split_stations
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.time_axis import HOUR, Period

VALIDATION_FIRST_DAY = 4    # number of the day, of those outside withheld weeks, with which validation begins
STATIONS_PER_NEIGHBOUR = 2  # training stations that are needed for each neighbour that the network reads


@dataclass(frozen=True)
class AnalysisData:
    """What training and validation may look at; test stations are in neither."""

    train: xr.Dataset         # cube of the training stations
    validation: xr.Dataset    # cube of training and validation stations
    split: Split
    days: np.ndarray          # datetime64[D], outside the withheld weeks: may be asked for in both
    duplicates: NearDuplicates  # no group is in more than one part of the split
    fingerprint: str          # of the observations' files
    source: str
    simulated: bool

    @property
    def validation_days(self) -> np.ndarray:
        """The days that validation may ask for."""
        return self.days[VALIDATION_FIRST_DAY:]

    def scaler(self) -> Scaler:
        """Fitted on the training stations, on the days outside the withheld weeks."""
        return Scaler.fit(self.train.sel(time=hours_of(self.train, self.days)))


def load_analysis_data(recipe: TrainingRecipe, warn: Callable[[list[str]], None] = lambda texts: None,
                       card: Card | None = None,
                       tell: Callable[[Inventory], None] = lambda found: None) -> AnalysisData:
    """Observations of the recipe's period, screened, without the test stations.

    `tell` gets what of them is used and what is not, and what is strange in them; `warn` what is withheld besides.
    With the description of a checkpoint, the stations are split as they were for it.

    Raises
    ------
    UserError : where there are no observations, or too few stations or days to train and to validate; or where the
        checkpoint withheld other stations than the recipe does.
    """
    archive = recipe.files.open()
    period = time_axis.parse_period(None, recipe.start, recipe.end)
    start, end = period.hours[0] - CONTEXT_HOURS * HOUR, period.hours[-1] + CONTEXT_HOURS * HOUR
    inspection = archive.inspect(period.hours[0], period.hours[-1])
    if not inspection.values:
        raise none_good(inspection, recipe.observations, f"{period.first} to {period.last}")
    inventory = take_inventory(archive, period.hours[0], period.hours[-1], inspection)
    check_usable(archive, inventory, recipe.files.path, recipe.quality)
    tell(inventory)
    cube = reporting(screening.screened(archive, start, end, quality.SINGLE_VALUE_SETTINGS))
    table = archive.stations[archive.stations["station_id"].isin(cube.station.values)]
    withheld = recipe.withheld
    drawn = split_stations(table, withheld.seed, withheld.share_single, withheld.share_city)
    duplicates = near_duplicates(archive, period.hours[0], period.hours[-1]).among(table["station_id"])
    together = drawn.keeping_together(duplicates.groups())
    split = _split_of_checkpoint((together, drawn), duplicates, card, recipe) if card else together
    warn(duplicates.sentences(drawn.test + drawn.validation) + _moved(drawn, split))
    days = training_days(period, withheld.every_nth_week)
    _check_enough(split, days, recipe.training.k)
    # withheld stations are nobody's neighbours in quality control, so nothing of them reaches what is fitted
    cube = screening.screened(archive, start, end, recipe.quality,
                              held_out=tuple(set(table["station_id"]) - set(split.train)))
    return AnalysisData(cube.sel(station=list(split.train)), cube.sel(station=list(split.train + split.validation)),
                        split, days, duplicates, inspection.fingerprint, archive.source, archive.simulated)


def _moved(drawn: Split, split: Split) -> list[str]:
    """A sentence if stations that were drawn to be withheld are in another part or in none, for their duplicates."""
    count = sum(len(set(getattr(drawn, part)) - set(getattr(split, part))) for part in WITHHELD_PARTS)
    return [f"{count} of the stations that were drawn to be withheld are in another part, or in none, because a near "
            "duplicate of theirs is in a stricter part"] * bool(count)


def _split_of_checkpoint(splits: tuple[Split, Split], duplicates: NearDuplicates, card: Card,
                         recipe: TrainingRecipe) -> Split:
    """The one of two splits that a checkpoint was trained with, without what gives a stricter part's stations away.

    The first keeps duplicates together. Of the second, as drawn, are checkpoints from before that was done: those of
    their training stations that are duplicates of withheld ones are in no part here, nor are validation stations that
    are duplicates of test stations.
    """
    for split in splits:
        if all(set(stations) == set(getattr(split, group)) for group, stations in card.withheld.items()):
            return split.without(duplicates.of(split.test)).without(duplicates.of(split.test + split.validation))
    group = next(group for group, stations in card.withheld.items() if set(stations) != set(getattr(splits[0], group)))
    raise UserError(f"The recipe {recipe.name} withholds other stations than {card.name} did ({group}).",
                    "A checkpoint is calibrated at stations that its training never saw, and that are not kept "
                    "for its test.", "Give the recipe and the observations that it was trained with.")


def _check_enough(split: Split, days: np.ndarray, k: int) -> None:
    """A UserError where too few stations or days are left."""
    needed = STATIONS_PER_NEIGHBOUR * k
    if len(split.train) < needed:
        raise UserError(f"{len(split.train)} stations are left for training.", f"Training needs at least {needed}.",
                        "Withhold fewer, or read fewer neighbours (training: k).")
    if not split.validation or len(days) <= VALIDATION_FIRST_DAY:
        raise UserError(f"{len(split.validation)} stations and {len(days)} days are left for validation.",
                        f"Validation needs stations and over {VALIDATION_FIRST_DAY} days outside withheld weeks.",
                        "Withhold more stations (share_single, share_city) or choose a longer period.")


def training_days(period: Period, every_nth_week: int) -> np.ndarray:
    """The days, datetime64[D], outside the withheld weeks; weeks are counted from 1970-01-01."""
    days = np.array(period.days(), "datetime64[D]")
    return days[~time_axis.withheld_weeks(days, every_nth_week)]


def hours_of(cube: xr.Dataset, days: np.ndarray) -> np.ndarray:
    """The hours of a cube in some days (datetime64[D], UTC+8)."""
    stamps = cube.time.values
    return stamps[np.isin(time_axis.local_days(stamps), days)]
