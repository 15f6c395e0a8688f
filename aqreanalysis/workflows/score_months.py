"""The months of an evaluation: each is read once, and screened and estimated once for each set of withheld stations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from aqreanalysis import time_axis
from aqreanalysis.evaluation import Sums
from aqreanalysis.evaluation.distributions import LAPLACE
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.predictions import errors_of_days
from aqreanalysis.evaluation.statistics import fold_statistics
from aqreanalysis.models import registry
from aqreanalysis.models.base import Model
from aqreanalysis.models.supplied import Supplied
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers.archive import Source
from aqreanalysis.observations.screening import RawObservations
from aqreanalysis.product.model_fields import ModelFields
from aqreanalysis.time_axis import Period

Removed = tuple[str, ...]  # the stations that a fold takes out


@dataclass(frozen=True)
class Scoring:
    """What all months of an evaluation have in common."""

    source: Source
    checkpoint: Path
    folds: tuple[Fold, ...]
    days: np.ndarray                                   # datetime64[D], that are scored
    kinds: Mapping[str, Sequence[str]]                 # stations of kinds of place (strata.kinds_of_place)
    beside: Mapping[str, Model] = field(default_factory=dict)       # models by name, beside the baselines
    fitted: Mapping[Removed, Model] = field(default_factory=dict)   # fitted without the stations of a fold
    fields: ModelFields | None = None                               # that the checkpoint reads

    def by_removed(self) -> Iterator[tuple[Removed, list[Fold]]]:
        """The folds that take out the same stations, together."""
        for removed, folds in groupby(sorted(self.folds, key=lambda fold: fold.removed), lambda fold: fold.removed):
            yield removed, list(folds)


def score_month(scoring: Scoring, month: Period) -> tuple[str, Sums | None]:
    """Sums of one month over all folds; None where no day of it is scored, or nothing was observed.

    What stations observed is screened with all of them; what models see of the others, without those of the fold.
    """
    label, main = f"{month.first:%Y-%m}", registry.load_model(scoring.checkpoint)
    days = np.array(month.days(), "datetime64[D]")
    days = days[np.isin(days, scoring.days)]
    if not len(days):
        return label, None
    hours = np.concatenate([time_axis.hours_of_days(day.item(), day.item()) for day in days])
    raw = RawObservations.around(scoring.source.open(), main, month)
    truth = stations.reporting(raw.screened())
    reported, parts = set(truth.station.values), []
    supply = (scoring.fields.around(main, hours, truth.lat.values, truth.lon.values) if scoring.fields is not None
              else None)
    networks: dict[int | None, Model] = {None: main if supply is None else Supplied(main, supply)}
    for removed, folds in scoring.by_removed():
        asked = [fold for fold in folds if reported & set(fold.asked)]
        seen = stations.reporting(raw.screened(removed)) if asked else truth
        for fold in asked:
            if fold.network not in networks:
                network = registry.load_model(scoring.checkpoint, fold=fold.network)
                networks[fold.network] = network if supply is None else Supplied(network, supply)
            parts.append(_fold_sums(scoring, fold, networks[fold.network], seen, truth, hours))
    return label, Sums.total(parts) if parts else None


def _fold_sums(scoring: Scoring, fold: Fold, network: Model, seen, truth, hours: np.ndarray) -> Sums:
    fitted = scoring.fitted.get(fold.removed)
    described = registry.describe_model(scoring.checkpoint)
    ours = described.label
    models = {**registry.baselines(), **({fitted.name: fitted} if fitted else {}), **scoring.beside, ours: network}
    of_days = partial(errors_of_days, calibrated=ours, calibration=network.calibration,
                      memory_hours=described.error_memory_hours)
    return fold_statistics(models, seen, fold, hours, distributions={ours: LAPLACE},  # where there are no bounds
                           errors_of_days=of_days, truth=truth, kinds=scoring.kinds)
