"""Text on a page that is measured before the page exists: titles and notes are wrapped, never cut."""

from __future__ import annotations

from bisect import bisect

POINT = 1 / 72  # inch
LINE = 1.35     # line height, in font sizes
SLACK = 0.97    # outlines are measured; drawn letters are fitted to pixels and a little wider
FONT = "DejaVu Sans"  # comes with matplotlib, so that every machine draws the same


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width * POINT


def wrap(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` in lines of at most `width` inches, cut at blanks, and inside a word that is too long."""
    lines = []
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
    >>> figure = page.figure(dpi=100)
    >>> bool(figure.get_figheight() > 2.0)
    True
    """

    MARGIN = 0.12  # inch

    def __init__(self, width: float):
        self.width, self.height = width, self.MARGIN
        self._texts: list[tuple[float, str, dict]] = []

    def add_text(self, text: str, size: float, weight: str = "normal", colour: str = "black") -> None:
        """Lines of text at the left margin below what was added before."""
        for line in wrap(text, SLACK * (self.width - 2 * self.MARGIN), size, weight):
            self._texts.append((self.height, line, {"fontsize": size, "weight": weight, "color": colour}))
            self.height += LINE * size * POINT

    def add_space(self, height: float) -> float:
        """Room for something else; its top in inches from the top of the page."""
        top, self.height = self.height, self.height + height
        return top

    def figure(self, dpi: int):
        """The figure with its texts, drawn by Agg and outside pyplot."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.height += self.MARGIN
        figure = Figure(figsize=(self.width, self.height), dpi=dpi, facecolor="white")
        FigureCanvasAgg(figure)
        for top, line, style in self._texts:
            figure.text(self.MARGIN / self.width, 1 - top / self.height, line, va="top", ha="left",
                        parse_math=False, **style)
        return figure

    def rectangle(self, left: float, top: float, width: float, height: float) -> tuple:
        """A rectangle given in inches from the top left, as matplotlib wants it."""
        return left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height
