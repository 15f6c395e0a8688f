"""Every model of an analysis by name: a new one is a file and a line here. `build`, `train` and `evaluate` ask here.

A model is a baseline, which needs no training, or a checkpoint: a name that ships with the package, or a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis.errors import UserError
from aqreanalysis.fields.static import check_covered, is_covered
from aqreanalysis.models import calibration, checkpoint, cross_fitting
from aqreanalysis.models.aqnet.analysis import AQNetAnalysis
from aqreanalysis.models.base import Model
from aqreanalysis.models.baselines import idw, kriging, regression_kriging
from aqreanalysis.models.baselines.mean import FlatMean
from aqreanalysis.models.calibrated import with_calibration
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.error_correlation import DEFAULT, CorrelatedErrors
from aqreanalysis.models.graph.kinds import KINDS as GRAPH_KINDS

AQNET_REFERENCE = ("Kheder, A., Foreback, B., Wang, L., Liu, Z.-S., Boy, M. (2025): Deep Spatio-Temporal Neural "
                   "Network for Air Quality Reanalysis. SCIA 2025, arXiv:2502.11941.")
SHEPARD = ("Shepard, D. (1968): A two-dimensional interpolation function for irregularly-spaced data. Proceedings of "
           "the 23rd ACM National Conference, 517-524, 10.1145/800186.810616.")
HENGL = ("Hengl, T., Heuvelink, G., Stein, A. (2004): A generic framework for spatial prediction of soil variables "
         "based on regression-kriging. Geoderma 120, 75-93, 10.1016/j.geoderma.2003.08.018.")
CRESSIE = "Cressie, N. (1993): Statistics for Spatial Data. Wiley, section 3.2, 10.1002/9781119115151."
TUNED = "2026-11-28"  # when the baselines' defaults were last changed; the date of products made with them


@dataclass(frozen=True)
class Baseline:
    """A model that needs no training, or ships with the coefficients of one (`fitted`).

    `make` takes the number of neighbours, None for the model's own; without `chooses` it has no such number.
    `error_memory_hours` is the e-folding time of the correlation of its hourly errors at stations left out, from the
    ratio of its daily to its hourly squared error in whole cities in 2019 (benchmarks/baseline_errors.py).
    """

    make: Callable[[int | None], Model]
    kind: str
    reference: str
    error_memory_hours: float
    neighbours: int | None
    chooses: bool = True
    fitted: bool = False  # at stations, whose scores need another fit: training.regression


# The defaults are what benchmarks/tune_baselines.py found best at training stations left out singly and in whole cities
# (docs/accuracy.md); 56 neighbours are as good as 40 and cost twice as much. "plain-kriging" is the usual choice, the
# 20 nearest stations without octants.
BASELINES = {
    "mean": Baseline(lambda k: FlatMean(), "mean of the network", "", 16.1, None, chooses=False),
    "nearest": Baseline(lambda k: idw.nearest(), "nearest station", "", 7.7, 1, chooses=False),
    "idw": Baseline(lambda k: idw.InverseDistance(k or idw.IDW_NEIGHBOURS), "inverse distance weighting",
                    SHEPARD, 7.9, idw.IDW_NEIGHBOURS),
    "plain-kriging": Baseline(kriging.plain, "ordinary kriging of the nearest stations", CRESSIE, 6.9,
                              kriging.PLAIN_NEIGHBOURS),
    "kriging": Baseline(lambda k: kriging.Kriging(k or kriging.KRIGING_NEIGHBOURS),
                        "ordinary kriging with octant search", CRESSIE, 7.3, kriging.KRIGING_NEIGHBOURS),
    "regression-kriging": Baseline(regression_kriging.shipped, "kriging with static covariates as external drift",
                                   HENGL, 7.0, kriging.KRIGING_NEIGHBOURS, fitted=True),
}


def baselines() -> dict[str, Model]:
    """Every baseline that knows no station, by the name that tables show."""
    return {model.name: model for model in (entry.make(None) for entry in BASELINES.values() if not entry.fitted)}


@dataclass(frozen=True)
class ModelDescription:
    """What a product says of the model that it is made with, and what a build must know before it loads it."""

    name: str
    kind: str
    identity: str             # of all that an estimate depends on
    created: str              # ISO date
    reference: str            # how to cite it
    neighbours: int | None    # how many stations an estimate is made from at most; None: all
    history: int              # hours of observations that it needs before the first target hour ...
    future: int               # ... and after the last
    simulated: bool           # trained on simulated observations
    error_memory_hours: float  # e-folding time of the correlation of errors; of daily means without a calibration
    standard_error: str       # what its standard error is, in a sentence
    bounds: str               # what its bounds are; empty where it has none
    fields: tuple[str, ...] = ()   # names of what it reads besides pollutants
    fields_optional: bool = False  # whether it goes on where these are unknown

    @property
    def label(self) -> str:
        """What tables and figures call it: AQ-Net, SPIN, kriging."""
        return label_of(self.name, self.kind)


def label_of(name: str, kind: str) -> str:
    """What tables and figures call a model whose description has this name and kind."""
    return BASELINES[name].make(None).name if name in BASELINES else checkpoint.label_of(kind)


def load_model(name: str | Path | None = None, neighbours: int | None = None, fold: int | None = None) -> Model:
    """A model, ready to predict.

    Parameters
    ----------
    name : of a baseline (mean, nearest, idw, plain-kriging, kriging, regression-kriging), or name or folder of a
        checkpoint; None for the checkpoint that ships with the package.
    neighbours : how many stations an estimate is made from; None for the model's own choice.
    fold : of a checkpoint with cross-fitting, the network of this fold, with the checkpoint's calibration, which was
        fitted to the estimates of these networks; None for the main one. A baseline has one.

    Raises
    ------
    UserError : where there is no such model, it is damaged, or it has no such choice.
    """
    if name in BASELINES:
        return _checked_baseline(str(name), neighbours).make(neighbours)
    model, _ = checkpoint.load(_checkpoint(name), neighbours, fold)
    return model if fold is None else with_calibration(model, calibration_of(name))


def describe_model(name: str | Path | None = None, neighbours: int | None = None) -> ModelDescription:
    """The description of a model whose files are whole; without torch. Parameters and errors as of `load_model`."""
    if name in BASELINES:
        return _of_baseline(str(name), neighbours)
    card = checkpoint.checked_card(_checkpoint(name))
    memory_hours = card.analysis.error_memory_hours
    made = calibration.of_card(card.calibration)
    if graph := GRAPH_KINDS.get(card.model):
        _refuse_neighbours(card.name, neighbours)
    reads, reference = (graph, graph.reference) if graph else (AQNetAnalysis, AQNET_REFERENCE)
    return ModelDescription(
        card.name, card.kind, card.identity, card.created, reference, None if graph else neighbours or card.k,
        reads.history, reads.future, bool(card.training.get("simulated")), memory_hours,
        _calibrated_error(made) if made else _raw_error("the network expects", memory_hours),
        _conformal_bounds(made) if made else "", *_fields_of(card))


def _fields_of(card: checkpoint.Card) -> tuple[tuple[str, ...], bool]:
    """Names of what a checkpoint's network reads besides pollutants, and whether it goes on without."""
    if card.model not in GRAPH_KINDS:
        return AQNetAnalysis.fields, AQNetAnalysis.fields_optional
    facts = card.analysis.graph
    return tuple(facts["weather"]["names"]), facts["fields_optional"]


def _refuse_neighbours(name: str, neighbours: int | None) -> None:
    if neighbours is not None:
        raise UserError(f"{neighbours} neighbours were asked for with the checkpoint {name}, a graph network.",
                        "Every station within reach of its edges takes part.", "Leave --neighbours out.")


def calibration_of(name: str | Path | None = None) -> Calibration | None:
    """The calibration that a model comes with; without torch. None for a baseline."""
    if name in BASELINES:
        return None
    return calibration.of_card(checkpoint.checked_card(_checkpoint(name)).calibration)


def correlated_errors(name: str | Path | None = None) -> CorrelatedErrors:
    """How a model's errors of different places and times are correlated, as far as known before a product measures it:
    what its checkpoint found, else the package's default, which says that it is that."""
    own = calibration_of(name)
    return own.errors if own and own.errors else DEFAULT


def calibrated_on(name: str | Path | None = None) -> str:
    """Which stations and days a model's own calibration is of, a sentence; empty where it has none."""
    if (own := calibration_of(name)) is None:
        return ""
    return f"The stations left out in the training of {checkpoint.checked_card(_checkpoint(name)).name}" + (
        f": {own.facts['stations']} from {own.facts['first']} to {own.facts['last']}."
        if {"stations", "first", "last"} <= own.facts.keys() else ".")


def hiding_networks(name: str | Path | None, table: pd.DataFrame) -> tuple[np.ndarray | None, set[str]]:
    """Of the stations of a table (station_id, lat, lon): the fold of the checkpoint whose network never saw each
    (stations,), negative where the main one did not; and the names of those that every network saw or may have seen.

    None and nobody for a baseline, which was not trained.
    """
    if name in BASELINES:
        return None, set()
    ids = table["station_id"].to_numpy()
    folds = cross_fitting.training_folds(checkpoint.checked_card(_checkpoint(name)), table["lat"].to_numpy(float),
                                         table["lon"].to_numpy(float), ids.tolist())
    return folds, set(ids[folds == cross_fitting.NO_FOLD])


def check_covariates(name: str | Path | None, grid_name: str, lat: np.ndarray, lon: np.ndarray) -> list[str]:
    """A sentence if places (points,) of a grid lie outside what the static covariates cover: a network that reads them
    goes on without, and all bounds are there as if the number of people were not known.

    Raises
    ------
    UserError : for regression kriging, which can not.
    """
    if name in BASELINES:
        if BASELINES[str(name)].fitted:
            check_covered(lat, lon, f"the grid {grid_name}")
    outside = int(np.sum(~is_covered(lat, lon)))
    if not outside:
        return []
    reads = name not in BASELINES and checkpoint.read_card(_checkpoint(name)).analysis.covariates
    return [f"{outside:,} of {len(lat):,} places of the grid lie outside what the static covariates (elevation, "
            f"population) cover; {'estimates and bounds' if reads else 'bounds'} there do without them"]


def portable_name(name: str | Path | None) -> str:
    """How a worker on another machine finds a model: by its name if it ships with the package, else by its folder."""
    if name in BASELINES:
        return str(name)
    folder = _checkpoint(name)
    return folder.name if folder.parent == checkpoint.SHIPPED else str(folder.resolve())


def _checkpoint(name: str | Path | None) -> Path:
    """The folder of a checkpoint; the error for one that is none names the baselines too."""
    try:
        return checkpoint.locate(name)
    except UserError as error:
        rule = f"{error.rule} Models that need no checkpoint: {', '.join(BASELINES)}."
        raise UserError(error.problem, rule, error.fix) from error


def _checked_baseline(name: str, neighbours: int | None) -> Baseline:
    entry = BASELINES[name]
    if neighbours is not None and not entry.chooses:
        raise UserError(f"--neighbours {neighbours} was given with the model {name}.",
                        f"The {entry.kind} has no number of neighbours to choose.", "Leave --neighbours out.")
    return entry


def _of_baseline(name: str, neighbours: int | None) -> ModelDescription:
    entry = _checked_baseline(name, neighbours)
    model = entry.make(neighbours)
    return ModelDescription(name, entry.kind, repr(model), TUNED, entry.reference, neighbours or entry.neighbours,
                            model.history, model.future, False, entry.error_memory_hours,
                            _raw_error("the model expects", entry.error_memory_hours), "", model.fields,
                            model.fields_optional)


def _raw_error(whose: str, memory_hours: float) -> str:
    return (f"Standard deviation that {whose} of its error at a place without a station; its own first estimate, not "
            "calibrated. In a daily mean, errors of hours are taken as correlated with an e-folding time of "
            f"{memory_hours:.0f} h.")


def _calibrated_error(made: Calibration) -> str:
    return ("Root mean square of the error to be expected at a place without a station: what the network expects, "
            f"times factors by {made.hourly.follow} that make it so at stations left "
            "out. For a daily mean, errors of hours are combined with their measured correlation, and calibrated "
            "in the same way.")


def _conformal_bounds(made: Calibration) -> str:
    facts = made.facts
    where = f", {facts['stations']} stations from {facts['first']} to {facts['last']}" if facts else ""
    return ("Conformal bounds: 90 % of what stations observe lies between pm25_lower and pm25_upper. Factors by "
            f"{made.hourly.follow} of the error that the network expects, fitted at stations left "
            f"out{where}. They are of what a station at the place would observe, its own error included, and hold over "
            "many hours and places, not for each place by itself.")
