"""Pictures inside a page: as PNG of few colours, with the words that stand in their place for who can't see them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_WIDTH, PICTURE_COLOURS = 1100, 96  # pixels at most
FIGURE_DPI = 150


def embedded(source: Path | IO[bytes], words: str) -> dict[str, Any]:
    """A picture inside the page: not wider than PICTURE_WIDTH, in PICTURE_COLOURS colours."""
    from PIL import Image

    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if picture.width > PICTURE_WIDTH:
        height = round(picture.height * PICTURE_WIDTH / picture.width)
        picture = picture.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.quantize(PICTURE_COLOURS, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return {"data": "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii"),
            "width": picture.width, "height": picture.height, "words": words}


def pictures_of(paths: Sequence[Path], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pictures of these files that are there, in the order of `labels` (stem -> words)."""
    by_stem = {path.stem: path for path in paths if path.exists()}
    return [embedded(by_stem[stem], words) for stem, words in labels.items() if stem in by_stem]


def drawn(figure: Figure | Path, words: str) -> dict[str, Any]:
    """A figure inside the page; where it was saved as PNG that file, since drawing takes longest."""
    from aqreanalysis.figures.layout import make_legible

    if isinstance(figure, Path):
        return embedded(figure, words)
    make_legible(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=FIGURE_DPI)
    return embedded(stream, words)
