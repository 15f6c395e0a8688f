"""Sentences for Inspection.odd: what is strange in files that are used all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from aqreanalysis import schema

Place = Callable[[int, int], str]  # names the hour and station of a place in an array (time, station)


class Absurd:
    """Values of pollutants that can't be: above schema.VALID_MAX or below zero; added up over pieces of a file."""

    def __init__(self):
        self._found: dict[tuple[str, str], tuple[int, float, str]] = {}  # count, the most extreme value, its place

    def add(self, values: dict[str, np.ndarray], place: Place) -> None:
        """Look at a piece: arrays (time, station) by pollutant, in schema.UNITS."""
        for name, array in values.items():
            highest = schema.VALID_MAX[name]
            self._add(name, f"above {highest:.0f}, the largest", array, array > highest, 1, place)
            self._add(name, "below 0, the lowest", array, array < 0, -1, place)

    def _add(self, name: str, words: str, array: np.ndarray, mask: np.ndarray, sign: int, place: Place) -> None:
        if not mask.any():
            return
        cells = np.argwhere(mask)
        most = cells[np.argmax(sign * array[mask])]
        value = float(array[tuple(most)])
        count, extreme, where = self._found.get((name, words), (0, -sign * np.inf, ""))
        if sign * value > sign * extreme:
            extreme, where = value, place(*most)
        self._found[name, words] = (count + len(cells), extreme, where)

    def sentences(self, file: str) -> list[str]:
        """One for each pollutant and end of its range."""
        return [f"{file}: {_values(count, name)} {words} {np.format_float_positional(extreme, trim='-')} at {where}"
                for (name, words), (count, extreme, where) in self._found.items()]


def absurd(file: str, values: dict[str, np.ndarray], place: Place) -> list[str]:
    """The sentences for a file that is seen in one piece: arrays (time, station) by pollutant."""
    found = Absurd()
    found.add(values, place)
    return found.sentences(file)


def conflicts(file: str, masks: dict[str, np.ndarray], place: Place) -> list[str]:
    """Values of which rows of one hour and station disagree: masks (time, station) by pollutant."""
    return [_conflict(file, name, int(mask.sum()), place(*np.argwhere(mask)[0]))
            for name, mask in masks.items() if mask.any()]


def conflicts_of(where: str, cubes: Iterable[xr.Dataset]) -> list[str]:
    """The same, of the bit `conflicting` in the flags of cubes that follow each other."""
    counts, examples = dict.fromkeys(schema.POLLUTANTS, 0), {}
    for cube in cubes:
        for name in schema.POLLUTANTS:
            if f"{name}_flag" not in cube:
                continue
            row, column = np.nonzero(cube[f"{name}_flag"].values & schema.OBSERVATION_FLAGS["conflicting"])
            if len(row):
                time = cube[schema.TIME].values[row[0]].astype("datetime64[h]")
                examples.setdefault(name, f"{cube[schema.STATION].values[column[0]]}, {time}Z")
                counts[name] += len(row)
    return [_conflict(where, name, counts[name], example) for name, example in examples.items()]


def _conflict(where: str, name: str, count: int, example: str) -> str:
    return f"{where}: {_values(count, name)} given more than once, not alike; the first is kept (at {example})"


def _values(count: int, name: str) -> str:
    return f"{count} {schema.LONG_NAMES[name]} {'value' if count == 1 else 'values'}"


def strays(where: str, count: int, text: str, example: str, column: str = "") -> str:
    """Cells that hold text which is no number."""
    cells = f"{column} {'cell' if count == 1 else 'cells'}".strip()
    return f"{where}: {count} {cells} not understood and taken as missing ({text[:20]!r} {example})"
