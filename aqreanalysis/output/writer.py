"""What every product file does while it is written: checks what comes, and knows what is still missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output.encoding import check_block, rows_of


class Steps:
    """Some steps of a product file, a context manager; nothing stays unless every one of them is written.

    Parameters
    ----------
    path : final name of the file or store.
    count : how many steps there are to write.
    fields : their variables.

    Children say how to begin (`_begin`), how a variable of some steps and rows is stored (`_put`), how to
    end (`_finish`) and how to clear up whatever happened (`_discard`).
    """

    def __init__(self, path, grid: Grid, count: int, fields: tuple[str, ...]):
        self.path, self.grid, self.fields = Path(path), grid, fields
        self._written = np.zeros((count, grid.shape[0]), bool)

    def __enter__(self):
        try:
            with files.writing(self.path):
                self._begin()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, first_index: int, block: Mapping[str, np.ndarray], points: slice = slice(None)) -> None:
        """Write some steps, all of their places or some of them.

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
        places = rows_of(self.grid, points)
        shape = (places.stop - places.start, *self.grid.shape[1:])
        steps = check_block(block, self.fields, int(np.prod(shape)))
        rows = slice(first_index, first_index + steps)
        if not 0 <= first_index <= rows.stop <= len(self._written):
            raise ValueError(f"steps {rows.start} to {rows.stop} are not all among the {len(self._written)}")
        with files.writing(self.path):
            for name in self.fields:
                self._put(name, rows, places, np.reshape(block[name], (steps, *shape)))
        self._written[rows, places] = True

    def __exit__(self, kind, error, traceback) -> None:
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
