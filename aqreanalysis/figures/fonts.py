"""Which font a text is drawn in: the one that comes with matplotlib, and for Chinese one of the machine's.

A character that neither has is written as Python escapes it, as \\u6570: never an empty box.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontEntry
    from matplotlib.text import Text

FONT = "DejaVu Sans"  # comes with matplotlib
CHINESE, NORMAL, BOLD = "Chinese font of this machine", 400, 700
CHINESE_FONTS = (     # how the names of their files begin; the first that is installed is taken
    "notosanscjk", "notosanssc", "sourcehansans", "pingfang", "msyh", "hiragino sans gb", "stheiti", "wqy-", "simhei",
    "simsun", "songti", "notoserifcjk", "uming", "ukai", "droidsansfallback", "arial unicode", "unifont")


def families(text: str) -> list[str]:
    """Names of the fonts, the first goes first, that a text is drawn in."""
    beyond = [character for character in text if not _has(FONT, character)]
    chinese = _chinese_font()
    return [FONT, chinese] if chinese and any(_has(chinese, character) for character in beyond) else [FONT]


def legible(text: str) -> str:
    """The text with escapes for what none of its fonts has; lines stay lines."""
    known = families(text)
    return "".join(character if character == "\n" or any(_has(family, character) for family in known)
                   else character.encode("ascii", "backslashreplace").decode() if not character.isascii()
                   else repr(character)[1:-1] for character in text)


def make_legible(figure: Figure) -> None:
    """Give every text of a figure the fonts that it needs."""
    from matplotlib.text import Text

    for artist in figure.findobj(Text):
        _make_legible(artist)


def _make_legible(artist: Text) -> None:
    text = artist.get_text()
    if text.isascii() and text.isprintable():
        return
    if (plain := legible(text)) != text:
        artist.set_text(plain)
    if len(fonts := families(text)) > 1:
        artist.set_fontfamily(fonts)


@cache
def _chinese_font() -> str | None:
    """CHINESE, a family of the machine's font under a name of ours; None where there is none.

    Fonts are looked for by their files, as matplotlib's list of families may be older than a font; and a family has
    both weights that we use, so that matplotlib has nothing to say about a missing one.
    """
    from matplotlib.font_manager import findSystemFonts, fontManager

    files = sorted(findSystemFonts())
    for begins in CHINESE_FONTS:
        before = len(fontManager.ttflist)
        for file in files:
            if Path(file).name.lower().startswith(begins):
                with suppress(RuntimeError, OSError):  # a damaged file
                    fontManager.addfont(file)
        if faces := fontManager.ttflist[before:]:
            fontManager.ttflist += [_face_of_weight(faces, weight) for weight in (NORMAL, BOLD)]
            return CHINESE
    return None


def _face_of_weight(faces: list[FontEntry], weight: int) -> FontEntry:
    """The face nearest to a weight, under our name; simplified characters first: a collection has several faces."""
    from matplotlib.font_manager import weight_dict

    def distance(face: FontEntry) -> tuple:
        own = weight_dict[face.weight] if isinstance(face.weight, str) else face.weight
        return ("Mono" in face.name, not face.name.endswith((" SC", " CN")), face.style != "normal",
                abs(own - weight), face.name, face.fname)

    return replace(min(faces, key=distance), name=CHINESE, weight=weight, style="normal", variant="normal",
                   stretch="normal")


@lru_cache(maxsize=4096)
def _has(family: str, character: str) -> bool:
    """Whether a font has a glyph for a character."""
    from matplotlib.font_manager import findfont, get_font

    return character.isprintable() and get_font(findfont(family)).get_char_index(ord(character)) > 0
