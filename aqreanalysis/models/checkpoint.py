"""Checkpoints: folders with model.safetensors and checkpoint.json (weights.py).

The JSON says what the network is, reads and was trained on, and which stations it never saw.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.models import calibration
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.weights import WEIGHTS, Layout

LAYOUT = Layout("checkpoint", "checkpoint.json", "aqreanalysis-checkpoint", 2, "Copy or train the checkpoint again.")
KINDS = ("aqnet-analysis",)
DEFAULT = "aqnet-north-china-2019"
SHIPPED = Path(__file__).parent.parent / "checkpoints"


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself."""

    name: str
    kind: str
    created: str                  # ISO date; also the date of the version of products made with it
    network: dict                 # aqnet.network.AnalysisSizes
    scaler: dict                  # mean and std of log1p by pollutant, of the training slice
    correlation: dict             # geostatistics.Correlation
    k: int
    variables: list[str]
    window: dict                  # hours before and after the target day, hours of context
    training: dict                # data, its hash, period, stations, settings, seconds
    withheld: dict                # stations never seen: test_single, test_city, validation_single, validation_city
    error_memory_hours: float     # e-folding time of the error at one place
    versions: dict
    weights_sha256: str = ""
    format: str = LAYOUT.format
    format_version: int = LAYOUT.version
    scores: dict = field(default_factory=dict)  # on the validation stations
    calibration: dict = field(default_factory=dict)  # calibration.Calibration; empty where there is none

    @property
    def identity(self) -> str:
        """Name and hashes of all that an estimate depends on."""
        text = f"{self.name} {self.weights_sha256[:16]}"
        if not self.calibration:
            return text
        factors = {name: value for name, value in self.calibration.items() if name != "facts"}
        return f"{text} calibrated {hashlib.sha256(json.dumps(factors, sort_keys=True).encode()).hexdigest()[:16]}"


def names() -> list[str]:
    """The checkpoints that ship with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{LAYOUT.description}"))


def locate(text: str | Path | None) -> Path:
    """The folder of a checkpoint given by name, by folder or by one of its two files."""
    if text is None:
        text = DEFAULT
    if (SHIPPED / str(text) / LAYOUT.description).is_file():
        return SHIPPED / str(text)
    path = Path(text).expanduser()
    folder = path.parent if path.name in (WEIGHTS, LAYOUT.description) else path
    if not (folder / LAYOUT.description).is_file():
        raise UserError(f"{text!s} is no checkpoint.",
                        f"A checkpoint is a folder with {LAYOUT.description} and {WEIGHTS}, or one of these names: "
                        f"{', '.join(names())}.", "Train one with `aqreanalysis train RECIPE`.")
    return folder


def read_card(folder: Path) -> Card:
    """The description of a checkpoint, checked."""
    card = LAYOUT.read(folder, _card)
    if card.kind not in KINDS:
        raise UserError(f"The checkpoint {card.name} is of the kind {card.kind!r}.",
                        f"`build` and `evaluate` need one of the kind {KINDS[0]!r}.",
                        f"Leave --checkpoint out to use {DEFAULT}.")
    return card


def _card(content: dict) -> Card:
    content["withheld"] = {name.replace("tune_", "validation_"): value for name, value in content["withheld"].items()}
    content["scores"] = {name.replace("tuning_", "validation_"): value for name, value in content["scores"].items()}
    card = Card(**content)
    Scaler(**card.scaler), Correlation(**card.correlation), calibration.of_card(card.calibration)
    return card


def checked_card(folder: Path) -> Card:
    """The description of a checkpoint whose weights are those that it was written with; without torch."""
    card = read_card(folder)
    LAYOUT.content(folder, card.weights_sha256)
    return card


def load(folder: Path, k: int | None = None):
    """The model of a checkpoint, ready to predict, and its card."""
    from aqreanalysis.models.aqnet.analysis import AQNetAnalysis
    from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet

    card = read_card(folder)
    network = LAYOUT.fill(folder, card.weights_sha256, lambda: AQNet(AnalysisSizes(**card.network)))
    model = AQNetAnalysis(network, Scaler(**card.scaler), Correlation(**card.correlation), k or card.k,
                          calibration.of_card(card.calibration))
    return model, card


def save(folder: Path, network, card: Card) -> Path:
    """Write a checkpoint folder; each file is complete or not there."""
    return LAYOUT.save(folder, network, card)
