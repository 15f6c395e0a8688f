"""Daily values as text inside the page: rounded, told apart from their neighbours, deflated, base64.

A value v in ug m-3 is the whole number 1 + round(steps * ln(1 + v / 10)), 0 where there is none: even steps where the
air is clean, even ratios where it is not. report.js has the inverse of everything here.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np

KNEE = 10.0  # ug m-3: below it steps are nearly even
LEVEL = 6    # of zlib


def codes_of(values: np.ndarray, steps: int) -> np.ndarray:
    """Codes, int32 of the values' shape."""
    with np.errstate(invalid="ignore"):
        code = 1 + np.rint(steps * np.log1p(np.maximum(values, 0) / KNEE))
    return np.where(np.isfinite(values), code, 0).astype(np.int32)


def values_of(codes: np.ndarray, steps: int) -> np.ndarray:
    """The values that codes stand for, float64; NaN for 0."""
    return np.where(codes > 0, KNEE * np.expm1((codes - 1) / steps), np.nan)


@dataclass(frozen=True)
class Neighbours:
    """For each cell, in rows, the numbers of that on its left, above, and above on the left, counted from 1.

    0 is none. Where there is no cell above, or above on the left, it is the left one; the left one is that before it,
    also across a gap or the end of a row.
    """

    left: np.ndarray
    above: np.ndarray
    corner: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Neighbours:
        """`mask` : (ny, nx), where there are cells."""
        number = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
        number[1:, 1:][mask] = 1 + np.arange(mask.sum())
        left = np.arange(mask.sum())
        above, corner = number[:-1, 1:][mask], number[:-1, :-1][mask]
        return cls(left, np.where(above > 0, above, left), np.where(corner > 0, corner, left))

    def departures(self, codes: np.ndarray) -> np.ndarray:
        """Codes (days, cells) less what their neighbours say: left + above - corner, within left and above."""
        padded = np.concatenate([np.zeros((len(codes), 1), codes.dtype), codes], axis=1)
        left, above, corner = (padded[:, of] for of in (self.left, self.above, self.corner))
        return codes - np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above))


class Deflated:
    """Packs rows of whole numbers as they come; what is held is what has been packed."""

    def __init__(self):
        self._zip, self._parts = zlib.compressobj(LEVEL), []

    def add_signed(self, rows: np.ndarray) -> None:
        """Signed numbers (rows, n), each as zigzag code of 16 bits: a row's low bytes, then its high bytes."""
        zigzag = (rows << 1) ^ (rows >> 31)
        self.add_bytes(np.stack([zigzag & 255, zigzag >> 8], axis=1))

    def add_bytes(self, rows: np.ndarray) -> None:
        """Numbers of 0 to 255 in any shape."""
        self._parts.append(self._zip.compress(rows.astype(np.uint8).tobytes()))

    def text(self) -> str:
        """All of it as base64; once."""
        return base64.b64encode(b"".join([*self._parts, self._zip.flush()])).decode("ascii")


def packed_bytes(array: np.ndarray) -> str:
    """A small array of bytes as base64."""
    deflated = Deflated()
    deflated.add_bytes(array)
    return deflated.text()
