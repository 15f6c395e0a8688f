"""Days of a product at its own stations that were hidden: what the model and kriging estimate there, and the truth."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.models import registry
from aqreanalysis.models.base import Model
from aqreanalysis.observations import screening
from aqreanalysis.product.month import Job, check_unchanged, fields_around, loaded_model
from aqreanalysis.product.validation.sample import Part
from aqreanalysis.training.calibration import HeldOutDays, days_at_once

REFERENCE = "kriging"  # the model whose error skill is measured by


@dataclass(frozen=True)
class HiddenDays(HeldOutDays):
    """As HeldOutDays, with kriging's estimate (n, 24) in ug m-3 and the number of the station's city (n,)."""

    kriging: np.ndarray
    city: np.ndarray

    @staticmethod
    def empty() -> HiddenDays:
        """No row."""
        hours, rows, names = np.zeros((0, 24), np.float32), np.zeros(0, np.float32), np.zeros(0, object)
        whole, places = np.zeros(0, int), np.zeros(0)
        return HiddenDays(hours, hours, hours, rows, np.zeros(0, "datetime64[D]"), names, names, whole, places, places,
                          rows, hours, whole)


@dataclass(frozen=True)
class HidingJob:
    """What all parts of a validation have in common: the product's job, and the number of each station's city."""

    job: Job
    cities: dict[str, int]


def hide_part(hiding: HidingJob, part: Part) -> tuple[int, HiddenDays | None]:
    """The days of a part at its hidden stations, under its number; None where none is known.

    What is hidden in any of the part's folds has no part in the flags of others, and in a fold none in an estimate.
    """
    job = hiding.job
    main = loaded_model(job)
    check_unchanged(job, main, part.period)
    cube = screening.observations_around(job.source.open(), main, part.period, job.minimum_station_hours, job.quality,
                                         part.removed)
    check_unchanged(job, main, part.period)
    fields = fields_around(job, main, part.period, cube)
    days = np.array(part.days, "datetime64[D]")
    found = [hidden_days(_network(job, fold.network), cube, fold, days, hiding.cities, fields) for fold in part.folds]
    known = [rows for rows in found if len(rows.day)]
    return part.number, HiddenDays.joined(known) if known else None


def _network(job: Job, fold: int | None) -> Model:
    return loaded_model(job) if fold is None else _of_fold(job.model, job.neighbours, fold)


@functools.lru_cache(maxsize=2)
def _of_fold(name: str, neighbours: int | None, fold: int) -> Model:
    return registry.load_model(name, neighbours, fold)


def hidden_days(model: Model, cube: xr.Dataset, fold: Fold, days: np.ndarray,
                cities: Mapping[str, int], fields: xr.Dataset | None = None) -> HiddenDays:
    """What a model, with raw errors, and kriging estimate on some days at the scored stations of a fold.

    Rows with no hour that all three know (estimate, kriging, truth) are left out, and so are such hours.
    """
    known = set(cube.station.values)
    design, asked = next((name, [s for s in stations if s in known]) for name, stations in fold.scored.items())
    reported = Fold(tuple(s for s in fold.removed if s in known), {design: tuple(asked)}, weights=fold.weights)
    ours, reference = (days_at_once(one, cube, reported, days, fields)
                       for one in (model, registry.load_model(REFERENCE)))
    together = np.isfinite(ours.estimate) & np.isfinite(reference.estimate) & np.isfinite(ours.truth)
    estimate, scale, kriging, truth = (np.where(together, array, np.nan).astype(np.float32) for array in (
        ours.estimate, ours.scale, reference.estimate, ours.truth))
    rows = HiddenDays(estimate, scale, truth, ours.distance.astype(np.float32), ours.day, ours.station, ours.design,
                      np.full(len(ours.day), fold.number), ours.lat.astype(float), ours.lon.astype(float),
                      ours.weight.astype(np.float32), kriging,
                      np.array([cities[station] for station in ours.station], int))
    return rows[together.any(axis=1)]
