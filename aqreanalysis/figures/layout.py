"""What all figures share: font and style, an empty figure, sizes of sheets, saving; and pages whose text is measured.

A figure is drawn by Agg, outside pyplot, with matplotlib's own settings and font, so that every machine draws the same.
Text on a page is measured before the page exists: titles and notes are wrapped, never cut.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.figures.fonts import FONT, families, legible, make_legible
from aqreanalysis.figures.identity import NO_IDENTITY, Identity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

INCH_PER_POINT = 1 / 72
FIGURE_DPI = 150
HALO = "halo"  # gid of the rim of a text
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # not EPS: it has no veils
# Real text: fonts are named in SVG, and embedded as TrueType in PDF.
TEXT_STAYS_TEXT = {"svg.hashsalt": "aqreanalysis", "svg.fonttype": "none", "pdf.fonttype": 42}
UNITS_TEXT, UNITS_MATH = "µg m⁻³", "µg m$^{-3}$"  # the second where matplotlib sets mathematics
LINE = 1.35     # line height, in font sizes
SLACK = 0.97    # outlines are measured; drawn letters are fitted to pixels and a little wider
CHART = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
PAGE_MARGIN = 0.12  # inch


@dataclass(frozen=True)
class Sheet:
    """A width in inches, and the sizes of text on it in points: title, text, and small print (ticks, keys, cities)."""

    width: float
    title: float
    text: float
    small: float
    dpi: int


SCREEN = Sheet(8.0, 12.0, 9.0, 7.5, FIGURE_DPI)
# One and two columns of a journal: 88 and 180 mm, no text below 6 points (Copernicus: 8.3 and 17.7 cm or less; Nature:
# 88 and 180 mm, 5 to 7 points)
SHEETS = {"screen": SCREEN, "single": Sheet(88 / 25.4, 8.0, 7.0, 6.0, 300),
          "double": Sheet(180 / 25.4, 9.0, 8.0, 7.0, 300)}


def check_sheet(name: str) -> Sheet:
    """The sheet of a name; UserError where there is none."""
    if name not in SHEETS:
        raise UserError(f"--width {name} is unknown.", "Widths are screen (203 mm), single (88 mm, one column of a "
                        "journal) and double (180 mm, two).", "Leave it out for the screen's.")
    return SHEETS[name]


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


def add_with_halo(add: Callable[..., Text], width: float, *where: Any, **style: Any) -> Text:
    """Have `add` (an Axes' text or annotate) write a text with a white rim, `width` in points.

    The rim is drawn as shapes and the text by itself over it: with the rim as its effect, SVG and PDF would have shapes
    instead of text that can be searched.
    """
    from matplotlib.patheffects import Stroke

    rim = add(*where, **style, path_effects=[Stroke(linewidth=width, foreground="white")])
    rim.set_gid(HALO)
    return add(*where, **style)


def check_picture_name(path: Path) -> None:
    """A UserError unless a figure can be written under this name; its ending is its format."""
    if path.suffix.lower() not in PICTURES:
        ending = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise UserError(f"{path} {ending}.", f"The ending is the format: {', '.join(PICTURES)}.",
                        f"Name it {path.with_suffix('.png').name}.")
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "A figure is a file.", f"Name one in it, as {path / 'map.png'}.")


def save_figure(figure: Figure, path: Path, identity: Identity = NO_IDENTITY, dpi: int | None = None) -> Path:
    """Write a figure in the format of its name, complete or not there, the same bytes each time; returns its path.

    `identity` goes into the file; `dpi` of what is made of pixels, default the figure's own.

    Raises UserError for a name that :func:`check_picture_name` refuses.
    """
    import matplotlib as mpl

    check_picture_name(path)
    make_legible(figure)
    ending = path.suffix.lower()
    metadata = identity.metadata(ending)
    options: dict[str, Any] = {"metadata": metadata} if metadata else {"pil_kwargs": {"exif": identity.exif()}}
    with files.whole(path, "choose another folder.") as part, mpl.rc_context(dict(TEXT_STAYS_TEXT)):
        figure.savefig(part, format=ending.removeprefix("."), dpi=dpi or "figure", **options)
    return path


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=families(text), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width * INCH_PER_POINT


def wrap(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches, cut at blanks but not in a unit, and in a word that is too long."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in (part.replace("\0", " ") for part in paragraph.replace("µg m", "µg\0m").split()):
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
