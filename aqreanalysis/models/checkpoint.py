"""Checkpoints: a folder with model.safetensors and checkpoint.json; nothing is unpickled.

The JSON says what the network is, reads and was trained on, and which stations it never saw. Damage
is found by a hash before any number is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.features import Scaler
from aqreanalysis.models import calibration
from aqreanalysis.models.geostatistics import Correlation

FORMAT, FORMAT_VERSION = "aqreanalysis-checkpoint", 1
KINDS = ("aqnet-analysis",)
DEFAULT = "aqnet-north-china-2019"
WEIGHTS, DESCRIPTION = "model.safetensors", "checkpoint.json"
SHIPPED = Path(__file__).parent.parent / "checkpoints"


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself."""

    name: str
    kind: str
    created: str                  # ISO date; also the date of the version of products made with it
    network: dict                 # nets.Sizes
    scaler: dict                  # mean and std of log1p by pollutant, of the training slice
    correlation: dict             # geostatistics.Correlation
    k: int
    variables: list[str]
    window: dict                  # hours before and after the target day, hours of context
    training: dict                # data, its hash, period, stations, settings, seconds
    withheld: dict                # stations never seen: test_single, test_city, tune_single, tune_city
    error_memory_hours: float     # e-folding time of the error at one place
    versions: dict
    weights_sha256: str = ""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    scores: dict = field(default_factory=dict)  # on the tuning stations
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
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{DESCRIPTION}"))


def locate(text: str | Path | None) -> Path:
    """The folder of a checkpoint given by name, by folder or by one of its two files."""
    if text is None:
        text = DEFAULT
    if (SHIPPED / str(text) / DESCRIPTION).is_file():
        return SHIPPED / str(text)
    path = Path(text).expanduser()
    folder = path.parent if path.name in (WEIGHTS, DESCRIPTION) else path
    if not (folder / DESCRIPTION).is_file():
        raise UserError(f"{text!s} is no checkpoint.",
                        f"A checkpoint is a folder with {DESCRIPTION} and {WEIGHTS}, or one of these names: "
                        f"{', '.join(names())}.", "Train one with `aqreanalysis train RECIPE`.")
    return folder


def read_card(folder: Path) -> Card:
    """The description of a checkpoint, checked."""
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(f"its format is {content.get('format')!r}")
        if content.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"its format version is {content.get('format_version')!r}")
        card = Card(**content)
        Scaler(**card.scaler), Correlation(**card.correlation), calibration.of_card(card.calibration)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise UserError(f"{folder / DESCRIPTION} does not describe a checkpoint ({error}).",
                        f"Its format is {FORMAT}, version {FORMAT_VERSION}.",
                        "Copy or train the checkpoint again.") from error
    if card.kind not in KINDS:
        raise UserError(f"The checkpoint {card.name} is of the kind {card.kind!r}.",
                        f"`build` and `evaluate` need one of the kind {KINDS[0]!r}.",
                        f"Leave --checkpoint out to use {DEFAULT}.")
    return card


def load(folder: Path, k: int | None = None):
    """The model of a checkpoint, ready to predict, and its card."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    from aqreanalysis.models.aqnet import AQNetAnalysis
    from aqreanalysis.models.nets import AQNet, Sizes

    card = read_card(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.weights_sha256:
            raise ValueError("its hash is not the one in checkpoint.json")
        network = AQNet(Sizes(**card.network))
        network.load_state_dict(parse(content))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged ({str(error).splitlines()[0]}).",
                        "The weights must be those that checkpoint.json was written with.",
                        "Copy or train the checkpoint again.") from error
    model = AQNetAnalysis(network.eval(), Scaler(**card.scaler), Correlation(**card.correlation), k or card.k,
                          calibration.of_card(card.calibration))
    return model, card


def save(folder: Path, network, card: Card) -> Path:
    """Write a checkpoint folder; each file is complete or not there."""
    from dataclasses import replace

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
