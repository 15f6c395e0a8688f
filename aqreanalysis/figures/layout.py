"""What all figures share: their font and style, an empty figure, saving; and pages whose text is measured first.

A figure is drawn by Agg, outside pyplot, with matplotlib's own settings and font, so that every machine draws the same.
Text on a page is measured before the page exists: titles and notes are wrapped, never cut.
"""

from __future__ import annotations

from bisect import bisect
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.figures.fonts import FONT, families, legible, make_legible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCH_PER_POINT = 1 / 72
FIGURE_DPI = 150
# Endings of pictures, and what keeps the clock out of them. Not EPS: it has no veils that let cells shine through.
PICTURE_METADATA: dict[str, dict[str, None] | None] = {
    ".png": None, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".jpg": None, ".jpeg": None, ".tif": None,
    ".tiff": None, ".webp": None}
UNITS_TEXT, UNITS_MATH = "µg m⁻³", "µg m$^{-3}$"  # the second where matplotlib sets mathematics
LINE = 1.35     # line height, in font sizes
SLACK = 0.97    # outlines are measured; drawn letters are fitted to pixels and a little wider
CHART = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
PAGE_MARGIN = 0.12  # inch


def figure_style(**settings: Any) -> AbstractContextManager[None]:
    """A context with matplotlib's defaults, our font and `settings`; the backend stays the caller's."""
    import matplotlib as mpl

    style: dict[Any, Any] = {name: value for name, value in mpl.rcParamsDefault.items()
                             if not name.startswith("backend")}
    return mpl.rc_context(style | {"font.family": FONT} | settings)


def empty_figure(width: float, height: float, **settings: Any) -> Figure:
    """A white figure, width and height in inches, drawn by Agg and outside pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=FIGURE_DPI, facecolor="white", **settings)
    FigureCanvasAgg(figure)
    return figure


def charts(width: float, height: float, rows: int, columns: int, **grid: Any) -> tuple[Figure, np.ndarray]:
    """A figure, inches, and its axes (rows, columns)."""
    figure = empty_figure(width, height, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def check_picture_name(path: Path) -> None:
    """A UserError unless a figure can be written under this name; its ending is its format."""
    if path.suffix.lower() not in PICTURE_METADATA:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise UserError(f"{path} {ending}.", f"The ending is the format: {', '.join(PICTURE_METADATA)}.",
                        f"Name it {path.with_suffix('.png').name}.")
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "A figure is a file.", f"Name one in it, as {path / 'map.png'}.")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of its name, complete or not there, the same bytes each time; returns its path.

    Raises UserError for a name that :func:`check_picture_name` refuses.
    """
    import matplotlib as mpl

    check_picture_name(path)
    make_legible(figure)
    ending = path.suffix.lower()
    with files.whole(path, "choose another folder.") as part, mpl.rc_context({"svg.hashsalt": "aqreanalysis"}):
        figure.savefig(part, format=ending.removeprefix("."), metadata=PICTURE_METADATA[ending])
    return path


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=families(text), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width * INCH_PER_POINT


def wrap(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches, cut at blanks, and inside a word that is too long."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if text_width(longer, size, weight) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while text_width(word, size, weight) > width:
                fits = bisect(range(1, len(word)), width, key=lambda n: text_width(word[:n], size, weight))
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return [line for line in lines if line]


class Page:
    """A figure of a fixed width whose height is the sum of its parts: text, map, key, text.

    >>> page = Page(width=4.0)
    >>> page.add_text("PM2.5", size=10)
    >>> row = page.add_space(2.0)
    >>> figure = page.figure()
    >>> bool(figure.get_figheight() > 2.0)
    True
    """

    def __init__(self, width: float) -> None:
        self.width, self.height = width, PAGE_MARGIN
        self._texts: list[tuple[float, str, dict]] = []

    def add_text(self, text: str, size: float, weight: str = "normal", colour: str = "black") -> None:
        """Lines of text at the left margin below what was added before."""
        for line in wrap(legible(text), SLACK * (self.width - 2 * PAGE_MARGIN), size, weight):
            self._texts.append((self.height, line, {"fontsize": size, "weight": weight, "color": colour,
                                                    "fontfamily": families(line)}))
            self.height += LINE * size * INCH_PER_POINT

    def add_space(self, height: float) -> float:
        """Room for something else; its top in inches from the top of the page."""
        top, self.height = self.height, self.height + height
        return top

    def figure(self) -> Figure:
        """The figure with its texts."""
        self.height += PAGE_MARGIN
        figure = empty_figure(self.width, self.height)
        for top, line, style in self._texts:
            figure.text(PAGE_MARGIN / self.width, 1 - top / self.height, line, va="top", ha="left",
                        parse_math=False, **style)
        return figure

    def rectangle(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A rectangle given in inches from the top left, as matplotlib takes it: fractions from the bottom left."""
        return left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height
