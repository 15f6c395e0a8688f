"""What stations observed over the period of a map, and a map that some of them have no part in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.statistics import mean_of_days
from aqreanalysis.models import registry
from aqreanalysis.models.registry import ModelDescription
from aqreanalysis.observations import screening
from aqreanalysis.observations.near_duplicates import find_duplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.product.folder import record_of
from aqreanalysis.product.map_fields import DAYS_ABOVE, MEAN, SHOWN_ATTRIBUTES, MapPeriod, field_dataset
from aqreanalysis.product.model_fields import ModelFields, check_fields_of, choose_fields
from aqreanalysis.product.month import blocks
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct
from aqreanalysis.schema import LAT, LON, QUALITY, STATION, TARGET, TIME
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.time_axis import MINIMUM_HOURS, Period

TWIN_NAME = "twin, seed "
MOST_DAYS_HIDDEN = 31  # of a map that is estimated anew
HIDDEN_DESIGNS = {"single": "single stations", "cities": "whole cities"}


@dataclass(frozen=True)
class ObservedStations:
    """Stations (n,) and what they observed over a period, ug m-3 or days; NaN where that is too little."""

    station_id: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    values: np.ndarray
    hidden: np.ndarray


def observations_of(product: FinishedProduct, given: str | None) -> Archive:
    """The observations that a product was made from, or those that are `given`; UserError where they are not there."""
    if given:
        return ObservationFiles.of(given).open()
    record = record_of(product.path) if product.path.is_dir() else None
    name = str(record.content.get("facts", {}).get("observations", "")) if record else ""
    if name.startswith(TWIN_NAME):
        return TwinArchive(int(name.removeprefix(TWIN_NAME)))
    fix = "Give them with --observations PATH."
    if not name:
        raise UserError(f"{product.path} does not tell its observations.", "Stations are shown as they observed.", fix)
    try:
        return ObservationFiles.of(name).open()
    except UserError as error:
        raise UserError(f"The observations of {product.path}, {name}, can't be opened: {error.problem}",
                        "Stations are shown as they observed.", fix) from error


def observed_stations(archive: Archive, asked: MapPeriod, kind: str = MEAN, above: float = 75.0,
                      minimum_hours: int = MINIMUM_HOURS) -> ObservedStations:
    """What stations observed, by the rules of a product: the mean of their days with enough hours, the days above a
    limit, or an hour's value; NaN of everything that is not observed."""
    table = archive.stations
    total, count = (pd.Series(0.0, index=table["station_id"].astype(str)) for _ in range(2))
    for month in asked.days.months():
        cube = screening.screened(archive, month.hours[0], month.hours[-1])
        values = _steps(cube, asked, minimum_hours)
        values = (values > above).astype(float) + 0.0 * values if kind == DAYS_ABOVE else values
        names = cube[STATION].values.astype(str)
        total = total.add(pd.Series(np.nansum(values, axis=0), index=names), fill_value=0.0)
        count = count.add(pd.Series(np.isfinite(values).sum(axis=0), index=names), fill_value=0.0)
    found = total if kind == DAYS_ABOVE else total / count.where(count > 0)
    found = found.where(count > 0) if kind in (MEAN, DAYS_ABOVE) else found * np.nan
    ids = table["station_id"].astype(str)
    return ObservedStations(ids.to_numpy(), table["lat"].to_numpy(float), table["lon"].to_numpy(float),
                            found.reindex(ids).to_numpy(float), np.zeros(len(ids), bool))


def _steps(cube: xr.Dataset, asked: MapPeriod, minimum_hours: int) -> np.ndarray:
    """Days, or the hour, (steps, stations)."""
    if asked.end_of_hour is not None:
        return cube[TARGET].sel({TIME: [asked.stamp.astype("datetime64[ns]")]}).values
    return mean_of_days(cube[TARGET].values, minimum_hours)


def hidden_map(product: FinishedProduct, archive: Archive, asked: MapPeriod, design: str = "single",
               number: int = 0) -> tuple[xr.Dataset, ObservedStations]:
    """A product's period estimated anew without some stations, by a network that never saw them, and all stations.

    Parameters
    ----------
    design : "single" (stations here and there) or "cities" (all stations of some cities).
    number : which part of the design's stations, in turn from 0, is hidden.

    Raises
    ------
    UserError : for more days than MOST_DAYS_HIDDEN, or too few stations.
    """
    if asked.days.n_days > MOST_DAYS_HIDDEN:
        raise UserError(f"--hide was asked of {asked.days.n_days} days.", "They are estimated anew, without the "
                        f"stations that are hidden: at most {MOST_DAYS_HIDDEN} days.", "Choose fewer days.")
    model_name, neighbours, fields_at = _model_of(product)
    table = archive.stations.reset_index(drop=True)
    fold = hidden_fold(table, model_name, design, number)
    model = registry.load_model(model_name, neighbours, fold.network)
    cube = screening.observations_around(archive, model, asked.days, held_out=fold.removed)
    given = cube.isel({STATION: ~np.isin(cube[STATION].values.astype(str), list(fold.removed))})
    fields = _fields_of(product, archive, registry.describe_model(model_name, neighbours), fields_at)
    hourly, flag = _estimated(model, given, product, asked, fields)
    minimum = int(product.attributes.get("minimum_hours_per_day", MINIMUM_HOURS))
    steps = hourly if asked.end_of_hour is not None else mean_of_days(hourly, minimum)
    count = np.isfinite(steps).sum(axis=0)
    value = np.where(count > 0, np.nansum(steps, axis=0) / np.maximum(count, 1), np.nan).astype(np.float32)
    stations = observed_stations(archive, asked, minimum_hours=minimum)
    hidden = np.isin(stations.station_id, [str(name) for name in fold.removed])
    return (field_dataset(product.grid, value, flag, count, _attributes(product, asked, len(steps), count, hidden)),
            replace(stations, hidden=hidden))


def _fields_of(product: FinishedProduct, archive: Archive, model: ModelDescription,
               path: str | None) -> ModelFields | None:
    """The fields that a product was made with, those at `path` or the twin's; None where it was made without.

    UserError where they are others by now.
    """
    made_with = product.identity.get("fields")
    if not made_with:
        return None
    choice = choose_fields(path, model, archive.twin.seed if isinstance(archive, TwinArchive) else None)
    assert choice is not None  # a model that a product was made with fields of reads some
    days = product.days(DAYS if product.files.get(DAYS) else HOURS)
    found, _ = check_fields_of(choice, model, Period(days[0].item(), days[-1].item()),
                               (product.grid.lat, product.grid.lon),
                               tuple(archive.stations[name].to_numpy(float) for name in (LAT, LON)), product.simulated)
    if found.fingerprint != made_with:
        raise UserError(f"{product.path} was made with fields {made_with}; those of {choice.name} are "
                        f"{found.fingerprint} now.", "--hide estimates days anew, from the same fields.",
                        "Put those files back where they were.")
    return found


def _estimated(model: Any, given: xr.Dataset, product: FinishedProduct, asked: MapPeriod,
               fields: ModelFields | None) -> tuple[np.ndarray, np.ndarray]:
    """Hours (hours, points), or the one that was asked for, and the class of most of them."""
    read = fields.of_grid(model, asked.days.hours, product.grid, given) if fields else None
    parts = sorted(blocks(model, given, product.grid, asked.days, fields=read), key=lambda block: block.first)
    hourly = np.concatenate([block.arrays[TARGET] for block in parts])
    flags = np.concatenate([block.arrays["quality_flag"] for block in parts])
    if asked.end_of_hour is not None:
        hourly, flags = hourly[[asked.end_of_hour - 1]], flags[[asked.end_of_hour - 1]]
    classes = [(flags == number).sum(axis=0) for number in range(len(QUALITY))]
    return hourly, np.argmax(classes, axis=0).astype(np.int8)


def hidden_fold(table: pd.DataFrame, model_name: str | None, design: str, number: int) -> Fold:
    """The stations that are hidden; UserError for an unknown design, or a part that there is not."""
    if design not in HIDDEN_DESIGNS:
        raise UserError(f"--hide {design} is unknown.", "Stations are hidden singly or as whole cities.",
                        "Give --hide single or --hide cities.")
    networks, _ = registry.hiding_networks(model_name, table)
    folds = [fold for fold in archive_designs(table, None, networks, find_duplicates(table)).folds
             if HIDDEN_DESIGNS[design] in fold.scored]
    if not 0 <= number < len(folds):
        raise UserError(f"--part {number} of {HIDDEN_DESIGNS[design]} is not there.",
                        f"There are {len(folds)} parts, from 0 to {len(folds) - 1}.", "Choose one of these.")
    return folds[number]


def _model_of(product: FinishedProduct) -> tuple[str | None, int | None, str | None]:
    """Name (or folder) and neighbours of the model that a product was made with, as its build was asked for them, and
    where its fields are."""
    rule, made_with = "--hide estimates days anew, with the same model.", str(product.identity.get("checkpoint", ""))
    if not made_with:
        raise UserError(f"{product.path} does not tell its model.", rule, "Give the folder of the product.")
    record = record_of(product.path) if product.path.is_dir() else None
    recipe = record.content.get("facts", {}).get("recipe", {}) if record else {}
    if "checkpoint" not in recipe:
        return made_with.split(" ")[0], product.identity.get("neighbours"), None
    name, neighbours = recipe["checkpoint"], recipe.get("neighbours")
    if (found := registry.describe_model(name, neighbours).identity) != made_with:
        raise UserError(f"{product.path} was made with {made_with}; {name or 'the default'} is {found} now.", rule,
                        "Put that checkpoint back where it was.")
    return name, neighbours, recipe.get("fields")


def _attributes(product: FinishedProduct, asked: MapPeriod, steps: int, count: np.ndarray,
                hidden: np.ndarray) -> dict[str, Any]:
    land = count[product.grid.land] if product.grid.land.any() else count
    used: Sequence[int] = land[land > 0].tolist() or [0]
    about = {name: product.attributes[name] for name in SHOWN_ATTRIBUTES if name in product.attributes}
    about |= {name: value for name, value in product.provenance("map --hide").items() if name != "history"}
    one_hour = asked.end_of_hour is not None
    return about | {"kind": MEAN, "words": asked.words, "label": asked.label, "steps": steps, "fewest": min(used),
                    "most": max(used), "step": "hours" if one_hour else "days", "first": str(asked.days.first),
                    "last": str(asked.days.last), "hidden_stations": int(hidden.sum())}


