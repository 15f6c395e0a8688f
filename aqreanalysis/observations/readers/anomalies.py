"""Sentences for Inspection.anomalies: faults of files that are used all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from aqreanalysis import schema

CellName = Callable[[int, int], str]  # names the hour and station of a cell of an array (time, station)


class ImpossibleValues:
    """Values of pollutants above schema.VALID_MAX or below zero, counted over the pieces of a file."""

    def __init__(self):
        self._found: dict[tuple[str, str], tuple[int, float, str]] = {}  # count, the most extreme value, its cell

    def add(self, values: dict[str, np.ndarray], cell_name: CellName) -> None:
        """Count those of a piece: arrays (time, station) by pollutant, in schema.UNITS."""
        for name, array in values.items():
            highest = schema.VALID_MAX[name]
            self._add(name, f"above {highest:.0f}, the largest", array, array > highest, 1, cell_name)
            self._add(name, "below 0, the lowest", array, array < 0, -1, cell_name)

    def _add(self, name: str, words: str, array: np.ndarray, mask: np.ndarray, sign: int,
             cell_name: CellName) -> None:
        if not mask.any():
            return
        cells = np.argwhere(mask)
        most = cells[np.argmax(sign * array[mask])]
        value = float(array[tuple(most)])
        count, extreme, where = self._found.get((name, words), (0, -sign * np.inf, ""))
        if sign * value > sign * extreme:
            extreme, where = value, cell_name(int(most[0]), int(most[1]))
        self._found[name, words] = (count + len(cells), extreme, where)

    def sentences(self, file: str) -> list[str]:
        """One for each pollutant and end of its range."""
        return [f"{file}: {_count_of_values(count, name)} {words} "
                f"{np.format_float_positional(extreme, trim='-')} at {where}"
                for (name, words), (count, extreme, where) in self._found.items()]


def impossible_values(file: str, values: dict[str, np.ndarray], cell_name: CellName) -> list[str]:
    """The sentences for a file that is one piece: arrays (time, station) by pollutant."""
    found = ImpossibleValues()
    found.add(values, cell_name)
    return found.sentences(file)


def conflicts(file: str, masks: dict[str, np.ndarray], cell_name: CellName) -> list[str]:
    """Values for which rows of one hour and station disagree: masks (time, station) by pollutant."""
    return [_conflict(file, name, int(mask.sum()), cell_name(*np.argwhere(mask)[0].tolist()))
            for name, mask in masks.items() if mask.any()]


def conflicts_in_cubes(where: str, cubes: Iterable[xr.Dataset]) -> list[str]:
    """The same, by the bit `conflicting` in the flags of consecutive cubes."""
    counts: dict[str, int] = dict.fromkeys(schema.POLLUTANTS, 0)
    examples: dict[str, str] = {}
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
    return (f"{where}: {_count_of_values(count, name)} given more than once, conflicting; the first is kept "
            f"(at {example})")


def _count_of_values(count: int, name: str) -> str:
    return f"{count} {schema.LONG_NAMES[name]} {'value' if count == 1 else 'values'}"


def stray_text(where: str, count: int, text: str, example: str, column: str = "") -> str:
    """Cells that hold text instead of a number, the first of them `text` at `example`."""
    cells = f"{column} {'cell' if count == 1 else 'cells'}".strip()
    return f"{where}: {count} {cells} not understood and taken as missing ({text[:20]!r} {example})"
