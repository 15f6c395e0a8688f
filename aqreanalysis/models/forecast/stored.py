"""A trained forecaster as a folder: model.safetensors and forecast.json (models/weights.py).

The JSON says what the network is, reads and was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aqreanalysis import schema
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast.forecaster import Forecaster
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.weights import Layout

LAYOUT = Layout("forecaster", "forecast.json", "aqreanalysis-forecast", 1,
                "Remove the folder and give `aqreanalysis train RECIPE` again.")


@dataclass(frozen=True)
class Card:
    """What a trained forecaster says of itself."""

    row: str                # of the recipe's tables
    model: str              # kind, of models.forecast.FORECAST_KINDS
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
    format: str = LAYOUT.format
    format_version: int = LAYOUT.version
    variables: list[str] = field(default_factory=lambda: list(schema.POLLUTANTS))


def exists(folder: Path) -> bool:
    """Whether a whole forecaster lies in a folder."""
    return (folder / LAYOUT.description).is_file()


def read_card(folder: Path) -> Card:
    """The description of a forecaster, checked."""
    return LAYOUT.read(folder, _card)


def _card(content: dict) -> Card:
    card = Card(**content)
    if card.model not in kinds.FORECAST_KINDS:
        raise ValueError(f"its model is {card.model!r}")
    Scaler(**card.scaler), Trend(**card.trend)
    return card


def load(folder: Path) -> tuple[Forecaster, Card]:
    """The forecaster of a folder, ready to predict, and its card."""
    card = read_card(folder)
    scaler = Scaler(**card.scaler)
    level = (scaler.mean[schema.TARGET], scaler.std[schema.TARGET])
    network = LAYOUT.fill(folder, card.weights_sha256,
                          lambda: kinds.make(card.model, card.history, card.horizon, level, card.options))
    return Forecaster(network, scaler, card.history, card.horizon, card.k, card.row,
                      np.array(card.error, np.float32), Trend(**card.trend)), card


def save(folder: Path, network, card: Card) -> Path:
    """Write a forecaster; each file is complete or not there."""
    return LAYOUT.save(folder, network, card)
