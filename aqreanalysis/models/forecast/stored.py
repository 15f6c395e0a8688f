"""A trained forecaster as a folder: model.safetensors and forecast.json; nothing is unpickled.

The JSON says what the network is, reads and was trained on. A hash finds damage before any number is used. The
description is written last: a folder that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.features import Scaler
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast.forecaster import Forecaster
from aqreanalysis.models.forecast.trend import Trend

FORMAT, FORMAT_VERSION = "aqreanalysis-forecast", 1
WEIGHTS, DESCRIPTION = "model.safetensors", "forecast.json"


@dataclass(frozen=True)
class Card:
    """What a trained forecaster says of itself."""

    row: str                # of the recipe's tables
    model: str              # kind, of models.forecast.KINDS
    configuration: int      # number among the row's configurations
    seed: int
    options: dict           # of the model
    settings: dict          # of the training
    history: int
    horizon: int
    k: int
    scaler: dict            # mean and std of log1p by pollutant, of the training slice
    trend: dict             # slope a year of log1p(PM2.5) there, and when it is 0
    error: list[float]      # root mean square error by lead on the validation slice, ug m-3
    validation: float       # mean absolute error there, which chooses among configurations
    steps: int
    seconds: float
    log: list               # steps and validation error
    training: dict          # source, period, slices, stations, fingerprint
    withheld: list[str]     # stations that were not read
    versions: dict
    weights_sha256: str = ""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    variables: list[str] = field(default_factory=lambda: list(schema.POLLUTANTS))


def exists(folder: Path) -> bool:
    """Whether a whole forecaster lies in a folder."""
    return (folder / DESCRIPTION).is_file()


def read_card(folder: Path) -> Card:
    """The description of a forecaster, checked."""
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if (content.get("format"), content.get("format_version")) != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"its format is {content.get('format')!r}, version {content.get('format_version')!r}")
        card = Card(**content)
        if card.model not in kinds.KINDS:
            raise ValueError(f"its model is {card.model!r}")
        return card
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{folder / DESCRIPTION} does not describe a forecaster ({error}).",
                        f"Its format is {FORMAT}, version {FORMAT_VERSION}.",
                        "Remove the folder and give `aqreanalysis train RECIPE` again.") from error


def load(folder: Path) -> tuple[Forecaster, Card]:
    """The forecaster of a folder, ready to predict, and its card."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    card = read_card(folder)
    scaler = Scaler(**card.scaler)
    level = (scaler.mean[schema.TARGET], scaler.std[schema.TARGET])
    network = kinds.make(card.model, card.history, card.horizon, level, card.options)
    try:
        content = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.weights_sha256:
            raise ValueError(f"its hash is not the one in {DESCRIPTION}")
        network.load_state_dict(parse(content))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged ({str(error).splitlines()[0]}).",
                        f"The weights must be those that {DESCRIPTION} was written with.",
                        "Remove the folder and give `aqreanalysis train RECIPE` again.") from error
    return Forecaster(network.eval(), scaler, card.history, card.horizon, card.k, card.row,
                      np.array(card.error, np.float32), Trend(**card.trend)), card


def save(folder: Path, network, card: Card) -> Path:
    """Write a forecaster; each file is complete or not there."""
    from safetensors.torch import save as serialise

    folder.mkdir(parents=True, exist_ok=True)
    content = serialise({name: value.contiguous() for name, value in network.state_dict().items()})
    card = replace(card, weights_sha256=hashlib.sha256(content).hexdigest())
    text = json.dumps(asdict(card), indent=1, ensure_ascii=False, sort_keys=True)
    for name, data in ((WEIGHTS, content), (DESCRIPTION, text.encode() + b"\n")):
        part = folder / f".{name}.part"
        part.write_bytes(data)
        os.replace(part, folder / name)
    return folder
