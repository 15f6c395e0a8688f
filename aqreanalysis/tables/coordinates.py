"""Longitudes and latitudes as people write them: decimal degrees, or degrees, minutes and seconds.

`angles` is for a column of a table, `angle` for a cell. Letters (E, W, N, S, 东经, 北纬) and the many signs
for degrees, minutes and seconds are understood; whatever could mean two things is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis.tables import numbers

LETTERS = {"E": "E", "EAST": "E", "东经": "E", "东": "E", "W": "W", "WEST": "W", "西经": "W", "西": "W", "N": "N",
           "NORTH": "N", "北纬": "N", "北": "N", "S": "S", "SOUTH": "S", "南纬": "S", "南": "S"}
_LETTER = "|".join(sorted(LETTERS, key=len, reverse=True))
_SIGNS = ((r"[\u2032\u2019\u2018\u02b9\u00b4`\uff07\u02bc]", "'"), (r"[\u2033\u201d\u201c\u02ba\uff02]|''", '"'),
          (r"[\u00ba\u02da\u2070]", "°"), (r"(?<=\d)\s*([Dd]egrees?|[Dd]eg|DEG|[Dd]|度)", "°"),
          (r"(?<=\d)\s*([Mm]inutes?|[Mm]in|MIN|[Mm]|分)", "'"), (r"(?<=[\d.])\s*([Ss]econds?|[Ss]ec|SEC|秒)", '"'),
          (r"""(?<=')(\s*[\d.]+)\s*s$""", r'\1"'))  # 39d55m44s; 39°55'44"S is south
_NUMBER = r"\d{1,2}(?:[.,]\d+)?"
_FORMS = tuple(re.compile(form) for form in (
    rf"(?P<d>\d{{1,3}})\s*°\s*(?P<m>\d{{1,2}})\s*'\s*(?P<s>{_NUMBER})\s*\"?",
    rf"(?P<d>\d{{1,3}})\s*°\s*(?P<m>{_NUMBER})\s*'?",
    rf"(?P<d>\d{{1,3}})(?P<_>\s*[-:\u2013]\s*|\s+)(?P<m>\d{{1,2}})(?P=_)(?P<s>{_NUMBER})\s*\"?",
    rf"(?P<d>\d{{1,3}}):(?P<m>{_NUMBER})"))


@dataclass(frozen=True)
class Angles:
    """A column of coordinates."""

    degrees: np.ndarray      # float64 (rows,), NaN where missing or not understood
    stray: np.ndarray        # bool (rows,): text that is no coordinate
    sexagesimal: np.ndarray  # bool (rows,): was written in degrees, minutes and seconds
    letters: np.ndarray      # str (rows,): E, W, N or S, "" where no letter stands by the number


def angle(text: str, decimal: str = ".") -> tuple[float, bool, str]:
    """Degrees of a cell, whether it was in degrees, minutes and seconds, and its letter (E, W, N, S or "").

    NaN where it is missing. ValueError where it is no coordinate: minutes or seconds of 60 and more, a sign and a W or
    S together, degrees and minutes with nothing but a blank or a hyphen between them.

    >>> angle("116.397"), angle("116°23'29.4\\"E"), angle("116-30-00"), angle("S 33 30 00"), angle("北纬39度30分")
    ((116.397, False, ''), (116.3915, True, 'E'), (116.5, True, ''), (-33.5, True, 'S'), (39.5, True, 'N'))
    """
    try:
        return numbers.number(text, decimal), False, ""
    except ValueError:
        pass
    plain, letter = _without_letter(text)
    sign = -1.0 if letter in ("W", "S") else 1.0
    if plain[:1] in "+-\u2212":
        if letter in ("W", "S"):
            raise ValueError(text)
        sign, plain = (1.0 if plain[0] == "+" else -1.0), plain[1:].strip()
    if match := next(filter(None, (form.fullmatch(plain) for form in _FORMS)), None):
        parts = {name: float(part.replace(",", ".")) for name, part in match.groupdict().items()
                 if name != "_" and part is not None}
        minutes, seconds = parts["m"], parts.get("s", 0.0)
        if minutes >= 60.0 or seconds >= 60.0:
            raise ValueError(text)
        return sign * (parts["d"] + round(minutes / 60.0 + seconds / 3600.0, 10)), True, letter
    number = plain.rstrip("° ")
    if not number[:1].isdigit():
        raise ValueError(text)
    return sign * numbers.number(number, decimal), False, letter


def _without_letter(text: str) -> tuple[str, str]:
    """A cell with one sign each for degrees, minutes and seconds, and the letter that stood before or after it."""
    plain = text.strip().translate(numbers.WIDE).strip()
    for pattern, sign in _SIGNS:
        plain = re.sub(pattern, sign, plain)
    for pattern in (rf"(?P<letter>{_LETTER})[\s.:]*(?P<rest>[\d+-].*)",
                    rf"(?P<rest>.*[\d°'\".])\s*(?P<letter>{_LETTER})\.?"):
        if found := re.fullmatch(pattern, plain, re.IGNORECASE):
            return found["rest"].strip(), LETTERS[found["letter"].upper()]
    return plain, ""


def angles(cells: pd.Series, decimal: str = ".") -> Angles:
    """A column of text as degrees; each different text is converted once."""
    codes, texts = numbers.distinct(cells)
    degrees, letters = np.full(len(texts) + 1, np.nan), np.full(len(texts) + 1, "", "U1")
    stray, sexagesimal = np.zeros(len(texts) + 1, bool), np.zeros(len(texts) + 1, bool)
    for place, text in enumerate(texts):
        try:
            degrees[place], sexagesimal[place], letters[place] = angle(text, decimal)
        except ValueError:
            stray[place] = True
    return Angles(degrees[codes], stray[codes], sexagesimal[codes], letters[codes])


def exchanged(lon: Angles, lat: Angles) -> np.ndarray:
    """Rows (rows,) in which N or S stands by the longitude and not by the latitude, or E or W the other way round."""
    north, east = np.isin(lon.letters, ["N", "S"]), np.isin(lat.letters, ["E", "W"])
    return (north & ~np.isin(lat.letters, ["N", "S"])) | (east & ~np.isin(lon.letters, ["E", "W"]))


def read_places(cells: pd.DataFrame, decimal: str, name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Longitudes and latitudes (rows,) of the text columns lon and lat, and what is out of the ordinary in them.

    cells : indexed by the lines of the file called `name`. A row whose letters show that its two cells stand in each
        other's column is read as the letters say. What is no coordinate is NaN.
    """
    lon, lat = angles(cells["lon"], decimal), angles(cells["lat"], decimal)
    notes = []
    for column, found in (("lon", lon), ("lat", lat)):
        if found.stray.any():
            row = int(np.flatnonzero(found.stray)[0])
            notes.append(f"{name}: {int(found.stray.sum())} {column} cells not understood and taken as missing "
                         f"({str(cells[column].iloc[row])[:20]!r} in line {cells.index[row]})")
    if count := int((lon.sexagesimal | lat.sexagesimal).sum()):
        notes.append(f"{name}: {count} place{'s were' if count > 1 else ' was'} read from degrees, minutes and seconds")
    other = exchanged(lon, lat)
    if other.any():
        notes.append(f"{name}: lon and lat stand in each other's column in {int(other.sum())} of {len(other)} rows, as "
                     "their letters (E, N) say, and were read so")
    return np.where(other, lat.degrees, lon.degrees), np.where(other, lon.degrees, lat.degrees), notes
