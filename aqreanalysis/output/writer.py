"""What every writer of a product file does, whatever the format: it checks blocks and knows which steps are missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output.cf import MANTISSA_BITS, QUALITY_FLAG
from aqreanalysis.output.encoding import grid_rows, stored_type
from aqreanalysis.schema import QUALITY, TARGET


@dataclass(frozen=True)
class ProductPart:
    """What one process writes: a whole file, or some steps of a store that holds more."""

    path: Path           # final name of the file or store
    stamps: np.ndarray   # (steps,) datetime64, UTC, END of each step
    first: int = 0       # number of its first step in the store
    month: int = 0       # number of its month in the store
    hours: int = 1       # of a step

    @property
    def steps(self) -> slice:
        """Numbers of its steps in the store."""
        return slice(self.first, self.first + len(self.stamps))


class PartWriter(ABC):
    """Writes a part of a product, as a context manager; every step has to be written before the block ends.

    Parameters
    ----------
    path : final name of the file or store.
    grid : where.
    count : how many steps there are to write.
    fields : names of their variables.

    A format's own writer defines how to begin, how some steps of a variable are stored, how to end, and how to
    clean up whatever happened.
    """

    def __init__(self, path: Path | str, grid: Grid, count: int, fields: tuple[str, ...]):
        self.path, self.grid, self.fields = Path(path), grid, fields
        self._written = np.zeros((count, grid.shape[0]), bool)

    @abstractmethod
    def _begin(self) -> None:
        """Open what is written to."""

    @abstractmethod
    def _put(self, name: str, steps: slice, rows: slice, values: np.ndarray) -> None:
        """Store values (steps, rows, ...) of a variable; `steps` count from the part's first, `rows` are the grid's."""

    @abstractmethod
    def _finish(self) -> None:
        """All steps are there: make them last."""

    @abstractmethod
    def _discard(self) -> None:
        """Close and remove what is unfinished; called at the end in any case."""

    def __enter__(self) -> Self:
        try:
            with files.writing(self.path):
                self._begin()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, first_index: int, block: Mapping[str, np.ndarray], points: slice = slice(None)) -> None:
        """Write some steps, at all of their places or some of them.

        Parameters
        ----------
        first_index : number of the block's first step.
        block : arrays (steps, points), one for each of `fields`; NaN is missing.
            Blocks that begin at multiples of 168 and tiles of encoding.tiles are written fastest and smallest.
        points : of the grid that the block holds: whole rows.

        Raises
        ------
        ValueError : for a block that does not fit.
        UserError : where the disk is full.
        """
        rows = grid_rows(self.grid, points)
        shape = (rows.stop - rows.start, *self.grid.shape[1:])
        count = check_block(block, self.fields, int(np.prod(shape)))
        steps = slice(first_index, first_index + count)
        if not 0 <= first_index <= steps.stop <= len(self._written):
            raise ValueError(f"steps {steps.start} to {steps.stop} are not all among the {len(self._written)}")
        with files.writing(self.path):
            for name in self.fields:
                self._put(name, steps, rows, np.reshape(block[name], (count, *shape)))
        self._written[steps, rows] = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        try:
            if kind is None:
                self._check_written()
                self._finish()
        finally:
            self._discard()

    def _check_written(self) -> None:
        whole = self._written.all(axis=1)
        if not whole.all():
            missing = np.flatnonzero(~whole)
            raise ValueError(f"{missing.size} steps of {self.path}, the first {missing[0]}, were not written")


def check_block(block: Mapping[str, np.ndarray], fields: tuple[str, ...], points: int) -> int:
    """The number of steps of a block; ValueError unless it has the right variables, shapes and counts."""
    if set(block) != set(fields):
        raise ValueError(f"a block has {', '.join(fields)}, and not {', '.join(block)}")
    shapes = {name: np.shape(block[name]) for name in fields}
    steps = len(block[TARGET])
    if set(shapes.values()) != {(steps, points)}:
        raise ValueError(f"every array of a block is (steps, {points}), and not {shapes}")
    for name in (n for n in fields if n not in MANTISSA_BITS):
        top = len(QUALITY) - 1 if name == QUALITY_FLAG else np.iinfo(stored_type(name)).max
        if steps and not (0 <= np.min(block[name]) and np.max(block[name]) <= top):
            raise ValueError(f"{name} is 0 to {top}, and not {np.min(block[name])} to {np.max(block[name])}")
    return steps
