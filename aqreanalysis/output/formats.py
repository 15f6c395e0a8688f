"""The formats that a product can be written in.

A new format is one module with a class like those below, and one line in FORMATS: its writer is a child of
:class:`writer.PartWriter`. What is here is chosen by the name of a path, so that callers need not know the format.
What lies under its final name is complete, in every format.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import About
from aqreanalysis.output.netcdf_file import NetCDFFormat
from aqreanalysis.output.writer import PartWriter, ProductPart
from aqreanalysis.output.zarr_store import ZarrFormat


class Format(Protocol):
    """How product files of a format are made, part by part, and recognised again.

    A product is written in this order: `create` for each store, `open_part` for each part by any process, `finish`
    for each store. Where the months of a product do not share a store, `create`, `reopen` and `finish` do nothing.
    """

    suffix: str          # of the names of its files or stores
    plural: str          # what they are called: "NetCDF files"
    shares_stores: bool  # all hours are in one store and all days in another, which several processes write

    def create(self, path: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
               months: int = 0, fresh: bool = False) -> None:
        """Have a store that parts can be written into; one that is there keeps its steps unless `fresh`.

        stamps : (steps,) datetime64, UTC, END of each step, of the whole store. months : how many it has, each with
        the distances to its own stations; 0 for none.
        """

    def open_part(self, part: ProductPart, grid: Grid, about: About, frequency: cf.Frequency,
                  distance: np.ndarray | None = None) -> PartWriter:
        """The writer of a part, a context manager; distance : (points,) km to the nearest station."""

    def reopen(self, path: Path) -> None:
        """Make a finished store one that parts can be written into again."""

    def finish(self, path: Path) -> None:
        """Give a store whose parts are all there its name."""

    def fingerprint(self, path: Path, part: ProductPart | None = None) -> dict[str, int | str]:
        """`bytes` and `sha256` of a part; of None, all that a store has besides its steps. OSError where it is gone."""

    def open_dataset(self, path: Path, **options: Any) -> xr.Dataset:
        """A file or store through xarray, read as it is asked for; OSError or ValueError where it is none.

        options : those of xarray.open_dataset; arrays are Dask's only where `chunks` is among them.
        """

    def abandoned(self, folder: Path) -> list[Path]:
        """What killed processes left in a product folder, besides what has a temporary name of its own."""


FORMATS: dict[str, Format] = {"netcdf": NetCDFFormat(), "zarr": ZarrFormat()}  # by the name that a user gives


def format_of(path: Path | str) -> Format:
    """The format of a file or store, by the longest suffix that its name ends in; NetCDF for any other name."""
    fitting = [known for known in FORMATS.values() if os.fspath(path).endswith(known.suffix)]
    return max(fitting, key=lambda known: len(known.suffix), default=FORMATS["netcdf"])


def open_part(part: ProductPart, grid: Grid, about: About, frequency: cf.Frequency,
              distance: np.ndarray | None = None) -> PartWriter:
    """The writer of a part, a context manager; its `write` takes blocks. A store must have been created."""
    return format_of(part.path).open_part(part, grid, about, frequency, distance)


def fingerprint(path: Path, part: ProductPart | None = None) -> dict[str, int | str]:
    """`bytes` and `sha256` of a file, or of a part of a store; of None, all that a store has besides its steps.

    OSError where it can't be read.
    """
    return format_of(path).fingerprint(path, part)


def open_product_file(path: Path | str, **options: Any) -> xr.Dataset:
    """A product file or store through xarray, read as it is asked for; OSError or ValueError where it is none."""
    return format_of(path).open_dataset(Path(path), **options)


def remove_abandoned(folder: Path) -> int:
    """Remove what killed processes left in a product folder that nobody else is writing to; returns how many files."""
    stores = [path for known in FORMATS.values() for path in known.abandoned(folder)]
    for path in stores:
        shutil.rmtree(path)
    folders = [where for where in (folder, folder / "maps", folder / "stations") if where.is_dir()]
    return len(stores) + sum(map(files.remove_leftovers, folders))
