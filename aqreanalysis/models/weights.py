"""A trained network as a folder of two files, its weights and a description in JSON; nothing is unpickled.

The description's keys are the fields of a dataclass, the card. It holds two hashes, of the weights and of itself:
what was damaged, or changed by hand, is told before a number of it is used. It is written last, so a folder that
has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from aqreanalysis import files
from aqreanalysis.errors import UserError

WEIGHTS = "model.safetensors"
SEAL = "description_sha256"  # key of the description's own hash; older descriptions have none
NO_SPACE = "Free space, or choose another folder with --out."
Card = TypeVar("Card")


@dataclass(frozen=True)
class Layout:
    """What the folders of one kind of network have in common."""

    what: str         # "checkpoint", in messages
    description: str  # name of the JSON file
    format: str
    version: int      # of the format
    fix: str         # of a folder that is damaged

    def read(self, folder: Path, parse: Callable[[dict], Card]) -> Card:
        """The card that `parse` makes of a folder's description.

        Raises
        ------
        UserError : where the file is missing, is of another format, is not what was written, or `parse` raises a
            ValueError, TypeError, KeyError or AttributeError.
        """
        path = folder / self.description
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("format") != self.format:
                raise ValueError(f"its format is {content.get('format')!r}")
            if content.get("format_version") != self.version:
                raise ValueError(f"its format version is {content.get('format_version')!r}")
            if SEAL in content and content != sealed(content):
                raise ValueError(f"it was changed after it was written: its hash is not its {SEAL}")
            return parse({name: value for name, value in content.items() if name != SEAL})
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise UserError(f"{path} does not describe a {self.what} ({error}).",
                            f"Its format is {self.format}, version {self.version}.", self.fix) from error

    def content(self, folder: Path, weights_sha256: str) -> bytes:
        """The weights of a folder as they lie in their file; UserError where they are missing or have another hash."""
        try:
            content = (folder / WEIGHTS).read_bytes()
            if hashlib.sha256(content).hexdigest() != weights_sha256:
                raise ValueError(f"its hash is not the one in {self.description}")
        except (OSError, ValueError) as error:
            raise self._damaged(folder, error) from error
        return content

    def fill(self, folder: Path, weights_sha256: str, make: Callable[[], object]):
        """The network of `make` with the weights of a folder, ready to predict.

        Raises
        ------
        UserError : where the weights are missing, or are not those of this hash or of this network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load as parse

        content = self.content(folder, weights_sha256)
        try:
            network = make()
            network.load_state_dict(parse(content))
        except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise self._damaged(folder, error) from error
        return network.eval()

    def _damaged(self, folder: Path, error: Exception) -> UserError:
        return UserError(f"{folder / WEIGHTS} is damaged ({str(error).splitlines()[0]}).",
                         f"The weights must be those that {self.description} was written with.", self.fix)

    def save(self, folder: Path, network, card) -> Path:
        """Write a network and its card, whose `weights_sha256` is set; each file is complete or not there."""
        from safetensors.torch import save as serialise

        content = serialise({name: value.contiguous() for name, value in network.state_dict().items()})
        card = replace(card, weights_sha256=hashlib.sha256(content).hexdigest())
        with files.whole(folder / WEIGHTS, NO_SPACE) as part:
            part.write_bytes(content)
        text = json.dumps(sealed(asdict(card)), indent=1, ensure_ascii=False, sort_keys=True)
        files.replace_text(folder / self.description, text + "\n", NO_SPACE)
        return folder


def sealed(content: dict) -> dict:
    """A description with its hash under the key SEAL: of its keys and values, however they are laid out in a file."""
    content = json.loads(json.dumps(content))  # as it will be read: tuples are lists, numbers as keys are text
    content.pop(SEAL, None)
    return content | {SEAL: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}
