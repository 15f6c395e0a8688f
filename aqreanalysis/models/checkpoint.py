"""Checkpoints: a trained network as a folder of two files, of one format for every kind; nothing is unpickled.

model.safetensors holds the weights; checkpoint.json, the card, describes the network: its kind and options, what it
reads and was trained on, and which stations it never saw. The card holds two checksums, of the weights and of itself,
so that a file which was damaged or changed by hand is refused before a number of it is used. It is written last: a
folder that has one is whole.

A checkpoint of an analysis may hold networks of folds besides its main one (cross_fitting.py): each is a checkpoint of
its own in a folder `fold-N` within.

This is format version 4. Checkpoints of versions 2 and 3 and forecasts of version 1 (forecast.json) are converted as
they are read; the files stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from aqreanalysis import files, schema
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import CovariateChoice, CovariateSources, Standardisation
from aqreanalysis.models import calibration
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.kinds import FORECAST_KINDS, make
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.graph.kinds import KINDS as GRAPH_KINDS
from aqreanalysis.models.graph.kinds import GraphSettings, make_network
from aqreanalysis.models.graph.weather import WeatherInputs

if TYPE_CHECKING:
    from torch import nn

    from aqreanalysis.models.aqnet.analysis import AQNetAnalysis, StaticCovariates
    from aqreanalysis.models.forecast.forecaster import Forecaster
    from aqreanalysis.models.graph.inductive import GraphModel

Network = TypeVar("Network", bound="nn.Module")

WEIGHTS, DESCRIPTION = "model.safetensors", "checkpoint.json"
FORECAST_DESCRIPTION = "forecast.json"  # the card's name in forecasts of version 1
CHECKPOINT_FORMAT, CHECKPOINT_VERSION = "aqreanalysis-checkpoint", 4
LATER_FACTS = {"graph", "weather"}  # which cards of version 4 did not have at first
CHECKSUM = "description_sha256"  # key of the card's own checksum; the oldest cards have none
ANALYSIS_TASK, FORECAST_TASK = "analysis", "forecast"  # tasks: what a network is for
AQNET_ANALYSIS = "aqnet-analysis"
KINDS_BY_TASK = {ANALYSIS_TASK: (AQNET_ANALYSIS, *(f"{model}-{ANALYSIS_TASK}" for model in GRAPH_KINDS)),
                 FORECAST_TASK: tuple(f"{model}-{FORECAST_TASK}" for model in FORECAST_KINDS)}
DEFAULT = "aqnet-north-china-2019"
SHIPPED = Path(__file__).parent.parent / "checkpoints"

ROOM = "choose another folder with --out."
AGAIN = "Copy the folder again; or remove it and train it again with `aqreanalysis train RECIPE`."
UPDATE = "Update aqreanalysis, or choose a checkpoint of this version."


@dataclass(frozen=True)
class AnalysisFacts:
    """What only the card of an analysis has."""

    correlation: dict = field(default_factory=dict)  # of geostatistics.Correlation
    window: dict = field(default_factory=dict)       # margin_hours round the target day, and context_hours
    error_memory_hours: float = 0.0                  # e-folding time of the error at one place
    stations: list = field(default_factory=list)     # [id, lat, lon, fold] of each that it was trained on
    folds: list[str] = field(default_factory=list)   # identity of the network of each fold
    covariates: dict = field(default_factory=dict)   # of fields.covariates: Standardisation, and `sources`
    graph: dict = field(default_factory=dict)        # of a graph network: settings, weather, fields_optional


@dataclass(frozen=True)
class ForecastFacts:
    """What only the card of a forecast has."""

    history: int = 0          # hours that it reads
    horizon: int = 0          # hours that it forecasts
    trend: dict = field(default_factory=dict)         # of forecast.trend.Trend, found in the training slice
    error: list[float] = field(default_factory=list)  # root mean square by lead in the validation slice, ug m-3
    configuration: int = 0    # number among its row's configurations
    seed: int = 0
    validation: float = 0.0   # mean absolute error in the validation slice, by which configurations are chosen
    weather: dict = field(default_factory=dict)       # of graph.weather.WeatherInputs: what is known of target hours


@dataclass(frozen=True)
class Card:
    """The description of a checkpoint. Of `analysis` and `forecast`, only the one of its task is used and stored."""

    name: str              # of the checkpoint; of a forecast its row in the recipe's tables
    kind: str              # model and task: aqnet-analysis, lstm-forecast, ...
    created: str           # ISO date, also of the version of products made with it; empty in old forecasts
    network: dict          # options of the network, as in a recipe
    scaler: dict           # of forecasts: mean and std of log1p by pollutant, of the training slice
    k: int                 # neighbours, unless others are asked for
    training: dict         # data, fingerprint, period, stations, settings, steps, seconds
    withheld: dict         # stations never trained on: test_single, test_city, validation_single, validation_city
    versions: dict         # of packages
    variables: list[str] = field(default_factory=lambda: list(schema.POLLUTANTS))
    weights_sha256: str = ""
    scores: dict = field(default_factory=dict)       # of an analysis, at stations that were left out
    calibration: dict = field(default_factory=dict)  # of calibration.Calibration; empty where there is none
    analysis: AnalysisFacts = field(default_factory=AnalysisFacts)
    forecast: ForecastFacts = field(default_factory=ForecastFacts)
    format: str = CHECKPOINT_FORMAT
    format_version: int = CHECKPOINT_VERSION

    @property
    def model(self) -> str:
        """`aqnet` of the kind aqnet-analysis."""
        return self.kind.rpartition("-")[0]

    @property
    def label(self) -> str:
        """What tables and figures call the network."""
        return label_of(self.kind)

    @property
    def task(self) -> str:
        """`analysis` of the kind aqnet-analysis."""
        return self.kind.rpartition("-")[2]

    @property
    def identity(self) -> str:
        """Name and hashes of all that an estimate depends on."""
        text = f"{self.name} {self.weights_sha256[:16]}"
        if not self.calibration:
            return text
        factors = {name: value for name, value in self.calibration.items() if name != "facts"}
        return f"{text} calibrated {hashlib.sha256(json.dumps(factors, sort_keys=True).encode()).hexdigest()[:16]}"


def label_of(kind: str) -> str:
    """`AQ-Net` of the kind aqnet-analysis, `SPIN` of spin-analysis."""
    model = kind.rpartition("-")[0]
    return "AQ-Net" if model == "aqnet" else model.upper()


# Where checkpoints are.

def names() -> list[str]:
    """The checkpoints that ship with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}"))


def locate(text: str | Path | None) -> Path:
    """The folder of a checkpoint given by name, by folder or by one of its two files; None is the default one."""
    if text is None:
        text = DEFAULT
    if has_card(SHIPPED / str(text)):
        return SHIPPED / str(text)
    path = Path(text).expanduser()
    folder = path.parent if path.name in (WEIGHTS, DESCRIPTION, FORECAST_DESCRIPTION) else path
    if not has_card(folder):
        raise UserError(f"{text!s} is not a checkpoint.",
                        f"A checkpoint is a folder with {DESCRIPTION} and {WEIGHTS}, or one of these names: "
                        f"{', '.join(names())}.", "Train one with `aqreanalysis train RECIPE`.")
    return folder


def has_card(folder: Path) -> bool:
    """Whether a whole checkpoint, of any version, is in a folder."""
    return _description(folder).is_file()


def _description(folder: Path) -> Path:
    old = folder / FORECAST_DESCRIPTION
    return old if old.is_file() and not (folder / DESCRIPTION).is_file() else folder / DESCRIPTION


# Reading.

def load(folder: Path, k: int | None = None, fold: int | None = None) -> tuple[AQNetAnalysis | GraphModel, Card]:
    """The model of an analysis, ready to predict from `k` neighbours (None: as trained), and its card.

    With `fold`, the network of that fold, which never saw the fold's stations, and the card of the fold. A graph
    network has no number of neighbours, and `k` is left aside.
    """
    from aqreanalysis.models.aqnet.analysis import AQNetAnalysis
    from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet

    folder = folder if fold is None else fold_folder(folder, fold)
    card = read_card(folder)
    if card.kind != AQNET_ANALYSIS:
        return _graph_model(folder, card), card
    if not card.analysis.stations:
        raise UserError(f"{folder} holds a network of version 0.1 or 0.2 of aqreanalysis.",
                        "The network for analysis has changed since, and with it what its weights mean.",
                        "Train it again with `aqreanalysis train RECIPE`, or leave --checkpoint out.")
    network = _with_weights(folder, card, lambda: AQNet(AnalysisSizes(**card.network)))
    return AQNetAnalysis(network, Correlation(**card.analysis.correlation), k or card.k,
                         calibration.of_card(card.calibration), covariates_of(card)), card


def _graph_model(folder: Path, card: Card) -> GraphModel:
    from aqreanalysis.models.graph.inductive import GraphModel

    facts = card.analysis.graph
    network = _with_weights(folder, card, lambda: make_network(card.model, card.network))
    return GraphModel(network, card.model, GraphSettings(**facts["settings"]), WeatherInputs.of(facts["weather"]),
                      calibration.of_card(card.calibration), facts["fields_optional"])


def covariates_of(card: Card) -> StaticCovariates | None:
    """The covariates that a checkpoint's network reads; None where it reads none.

    UserError where a file of them is not where it was when the network was trained.
    """
    from aqreanalysis.models.aqnet.analysis import StaticCovariates

    if not card.analysis.covariates:
        return None
    stored = dict(card.analysis.covariates)
    sources = CovariateSources(CovariateChoice(**stored.pop("sources")))
    return StaticCovariates(sources, Standardisation.from_dict(stored))


def fold_folder(folder: Path, fold: int) -> Path:
    """Where the network of a fold lies in a checkpoint's folder."""
    return folder / f"fold-{fold}"


def load_forecaster(folder: Path) -> tuple[Forecaster, Card]:
    """The forecaster of a folder, ready to predict, and its card."""
    from aqreanalysis.models.forecast.forecaster import Forecaster

    card = read_card(folder, FORECAST_TASK)
    facts, scaler = card.forecast, Scaler(**card.scaler)
    level = (scaler.mean[schema.TARGET], scaler.std[schema.TARGET])
    weather = WeatherInputs.of(facts.weather)
    network = _with_weights(folder, card, lambda: make(card.model, facts.history, facts.horizon, level, card.network,
                                                       len(weather.names)))
    return Forecaster(network, scaler, facts.history, facts.horizon, card.k, card.name,
                      np.array(facts.error, np.float32), Trend(**facts.trend), weather), card


def checked_card(folder: Path, task: str | None = ANALYSIS_TASK) -> Card:
    """The card of a checkpoint whose weights are those that it was written with; works without torch."""
    card = read_card(folder, task)
    _weights(folder, card)
    return card


def read_card(folder: Path, task: str | None = ANALYSIS_TASK) -> Card:
    """The card of a checkpoint, checked.

    Raises
    ------
    UserError : where it is missing, damaged, of another format, of a version or kind that this version of the package
        does not know, or not of this task (None: any).
    """
    path = _description(folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if CHECKSUM in content and content != with_checksum(content):
            raise ValueError(f"it was changed after it was written: its hash is not its {CHECKSUM}")
        content.pop(CHECKSUM, None)
        content = _as_current(content, path)
        _check_kind(content["name"], content["kind"], task)
        return _card_of(content)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"{path} does not describe a checkpoint ({error}).",
                        f"Its format is {CHECKPOINT_FORMAT}, version {CHECKPOINT_VERSION}, 3 or 2.", AGAIN) from error


def _as_current(content: dict, path: Path) -> dict:
    """The content of a card as version 4 has it; ValueError for a format that is none of ours."""
    form, version = content.get("format"), content.get("format_version")
    if form == CHECKPOINT_FORMAT and isinstance(version, int) and version > CHECKPOINT_VERSION:
        raise UserError(f"{path} was written by a newer version of aqreanalysis (format version {version}).",
                        f"This version reads format version {CHECKPOINT_VERSION} and older ones.", UPDATE)
    if form not in (CHECKPOINT_FORMAT, OLD_FORECAST[0]):
        raise ValueError(f"its format is {form!r}")
    if (form, version) == (CHECKPOINT_FORMAT, CHECKPOINT_VERSION):
        return content
    if (form, version) not in CONVERSIONS:
        raise ValueError(f"its format version is {version!r}")
    return CONVERSIONS[form, version](content) | {"format": CHECKPOINT_FORMAT, "format_version": CHECKPOINT_VERSION}


def _check_kind(name: str, kind: str, task: str | None) -> None:
    """Refuse a kind that is unknown, or is not of the task that a command needs."""
    known = KINDS_BY_TASK[task] if task else tuple(kind for kinds in KINDS_BY_TASK.values() for kind in kinds)
    if kind in known:
        return
    problem = f"The checkpoint {name} is of the kind {kind!r}."
    if task == ANALYSIS_TASK:
        raise UserError(problem, f"`build` and `evaluate` need one of the kind {' or '.join(known)!r}.",
                        f"Leave --checkpoint out to use {DEFAULT}.")
    raise UserError(problem, f"The kinds known here are {', '.join(known)}.", UPDATE)


def _card_of(content: dict) -> Card:
    """The card of a version 4 description; TypeError, KeyError or ValueError for what is wrong in it."""
    task = content["kind"].rpartition("-")[2]
    facts = {ANALYSIS_TASK: AnalysisFacts, FORECAST_TASK: ForecastFacts}[task]
    if missing := {of.name for of in fields(facts)} - LATER_FACTS - set(content[task]):
        raise ValueError(f"it lacks {task}.{min(missing)}")
    card = Card(**content | {task: facts(**content[task])})
    if task == FORECAST_TASK:
        Scaler(**card.scaler)
    Correlation(**card.analysis.correlation)
    Trend(**card.forecast.trend)
    calibration.of_card(card.calibration)
    return card


def _weights(folder: Path, card: Card) -> bytes:
    """The bytes of a checkpoint's weights; UserError where they are missing or have another hash."""
    try:
        content = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.weights_sha256:
            raise ValueError(f"its hash is not the one in {_description(folder).name}")
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    return content


def _with_weights(folder: Path, card: Card, untrained: Callable[[], Network]) -> Network:
    """The network of `untrained` with a checkpoint's weights, ready to predict; UserError where they do not fit it."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as tensors_of

    content = _weights(folder, card)
    try:
        with torch.device("meta"):  # sizes alone, no memory
            needed = sum(part.numel() * part.element_size() for part in untrained().state_dict().values())
        if needed > len(content):
            raise ValueError(f"its card describes a network of {needed:,} bytes, it has {len(content):,}")
        network = untrained()
        network.load_state_dict(tensors_of(content))
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return network.eval()


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(f"{folder / WEIGHTS} is damaged ({str(error).splitlines()[0]}).",
                     f"The weights must be those that {_description(folder).name} was written with.", AGAIN)


# Writing.

def save(folder: Path, network: nn.Module, card: Card) -> Path:
    """Write a network and its card, whose `weights_sha256` is set; each file is complete or not there."""
    from safetensors.torch import save as serialise

    content = serialise({name: value.contiguous() for name, value in network.state_dict().items()})
    with files.whole(folder / WEIGHTS, ROOM) as part:
        part.write_bytes(content)
    write_card(folder, replace(card, weights_sha256=hashlib.sha256(content).hexdigest()))
    return folder


def write_card(folder: Path, card: Card) -> None:
    """Write the description of a checkpoint with its checksum."""
    text = json.dumps(with_checksum(content_of(card)), indent=1, ensure_ascii=False, sort_keys=True)
    files.replace_text(folder / DESCRIPTION, text + "\n", ROOM)


def content_of(card: Card) -> dict:
    """A card as it is stored, without its checksum: of the facts of tasks, those of its own."""
    content = asdict(card)
    for task in {ANALYSIS_TASK, FORECAST_TASK} - {card.task}:
        del content[task]
    return content


def with_checksum(content: dict) -> dict:
    """A description with its checksum: the hash of its keys and values, however they are laid out in a file."""
    content = json.loads(json.dumps(content))  # as it will be read: tuples are lists, numbers as keys are text
    content.pop(CHECKSUM, None)
    return content | {CHECKSUM: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


# Older formats.

def _from_version_2(content: dict) -> dict:
    """A checkpoint of version 2, of which all are analyses: facts of an analysis stood among the others, and validation
    stations were tuning stations."""
    old = dict(content)
    facts = {name: old.pop(name) for name in ("correlation", "window", "error_memory_hours")}
    withheld = {name.replace("tune_", "validation_"): stations for name, stations in old["withheld"].items()}
    scores = {name.replace("tuning_", "validation_"): rows for name, rows in old.get("scores", {}).items()}
    return _from_version_3(old | {"withheld": withheld, "scores": scores, ANALYSIS_TASK: facts})


def _from_version_3(content: dict) -> dict:
    """A checkpoint of version 3, which did not say which stations it was trained on, and had no folds."""
    if ANALYSIS_TASK not in content:
        return content
    return content | {ANALYSIS_TASK: content[ANALYSIS_TASK] | {"stations": [], "folds": [], "covariates": {}}}


def _from_forecast_1(content: dict) -> dict:
    """A forecast of version 1: `row` was its name, `model` and `options` its network, `withheld` a list."""
    old = dict(content)
    facts = {of.name: old.pop(of.name) for of in fields(ForecastFacts)}
    training = old.pop("training") | {name: old.pop(name) for name in ("settings", "steps", "seconds", "log")}
    return {"name": old.pop("row"), "kind": f"{old.pop('model')}-{FORECAST_TASK}", "created": "",
            "network": old.pop("options"), "training": training, "withheld": {"test_single": old.pop("withheld")},
            FORECAST_TASK: facts} | old


OLD_FORECAST = ("aqreanalysis-forecast", 1)
CONVERSIONS: dict[tuple[object, object], Callable[[dict], dict]] = {
    (CHECKPOINT_FORMAT, 2): _from_version_2, (CHECKPOINT_FORMAT, 3): _from_version_3, OLD_FORECAST: _from_forecast_1}
