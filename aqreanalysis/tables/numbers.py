"""From text to numbers: one rule for what is missing and for text in place of a number, in every table."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

MISSING_TEXTS = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "---", "—", "——", "–", "_",
                           "\\n", "nd", "n.d.", "missing", "无", "缺测", "nodata", "no data", ".", "#null!", "<na>",
                           "nat", "#value!", "#ref!", "#div/0!", "#name?", "#num!"))
_CELL = r"(?:-?[0-9]{1,15}(?:\.[0-9]{1,20})?(?:e-?[0-9]{1,2})?|nan)"
_PLAIN = re.compile(rf"{_CELL}(?:\n{_CELL})*+")  # lines of nothing but numbers and nan
_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
WIDE = str.maketrans("０１２３４５６７８９．，－＋\u2212\xa0\u3000", "0123456789.,-+-  ")


def is_missing(text: str) -> bool:
    """Whether a cell's text stands for a missing value."""
    return text.strip().casefold() in MISSING_TEXTS


def decimal_sign(cells: Iterable[str]) -> str:
    """"," where the numbers of a table are written with decimal commas, else ".".

    Commas count only where no cell has a point, and where they can't all separate thousands.

    >>> decimal_sign(["116,2202", "37,0", "5"]), decimal_sign(["1,200", "116.22"]), decimal_sign(["1,200", "35"])
    (',', '.', '.')
    """
    commas = points = thousands = 0
    for cell in cells:
        text = cell.strip()
        points += bool(_POINT.fullmatch(text))
        if _COMMA.fullmatch(text):
            commas += 1
            thousands += bool(_THOUSANDS.fullmatch(text))
    return "," if commas > thousands and not points else "."


def number(text: str, decimal: str = ".") -> float:
    """The number of a cell, NaN where it is missing; ValueError where it is neither.

    >>> number(" 35 "), number("37,5", ","), number("NULL")
    (35.0, 37.5, nan)
    """
    stripped = text.strip()
    if stripped.casefold() in MISSING_TEXTS:
        return math.nan
    plain = stripped.translate(WIDE).strip().replace("_", "?")  # Python reads 1_000
    if decimal == ",":
        if "." in plain:
            raise ValueError(text)
        plain = plain.replace(",", ".")
    value = float(plain)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def numbers(cells: pd.Series, decimal: str = ".") -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column of text, float64 (rows,), and which cells (rows,) hold text in place of a number.

    Each different text is converted once. Missing cells and text are NaN.
    """
    codes, texts = distinct(cells)
    values, stray = np.full(len(texts) + 1, np.nan), np.zeros(len(texts) + 1, bool)
    plain = [text or "nan" for text in texts]
    if decimal == "." and _PLAIN.fullmatch("\n".join(plain)):  # a column of measured values, read at once
        with contextlib.suppress(ValueError):  # a cell of two lines
            values[:-1] = list(map(float, plain))
            return values[codes], stray[codes]
    for place, text in enumerate(texts):
        try:
            values[place] = number(text, decimal)
        except ValueError:
            stray[place] = True
    return values[codes], stray[codes]


def distinct(cells: pd.Series) -> tuple[np.ndarray, list[str]]:
    """For each cell the number of its text, -1 for None; the texts."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.cat.codes.to_numpy().astype(np.int64), cells.cat.categories.astype(str).tolist()
    codes, texts = pd.factorize(cells)
    return codes, list(map(str, np.asarray(texts, dtype=object)))
