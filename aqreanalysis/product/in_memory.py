"""A Dataset of a script in the place of a finished product: its steps are read in blocks, as of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import __version__, output, periods
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid, grid_of
from aqreanalysis.output.encoding import TIME_CHUNK, grid_rows
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct, ProductBlock, read_blocks
from aqreanalysis.schema import LAT, LON, TARGET, TIME
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period, local_days

NAME = "the Dataset"
STEPS = {HOUR: HOURS, HOURS_PER_DAY * HOUR: DAYS}


@dataclass(frozen=True, eq=False)
class DatasetProduct:
    """What a FinishedProduct tells of files, of a Dataset (time, lat, lon), (time, y, x) or (time, station)."""

    dataset: xr.Dataset
    grid: Grid
    frequency: str
    path: Path = Path(NAME)
    notes: tuple[str, ...] = ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Global attributes."""
        return {"title": NAME} | self.dataset.attrs

    @property
    def simulated(self) -> bool:
        """Whether it says that its observations are simulated."""
        return self.dataset.attrs.get("simulated") == "true"

    @property
    def prefix(self) -> str:
        """How names of files made from it begin."""
        return "simulated_" if self.simulated else ""

    def stamps(self, frequency: str) -> np.ndarray:
        """END of each step, UTC, datetime64[h] (steps,), ascending."""
        if frequency != self.frequency:
            raise UserError(f"{NAME} has {self.frequency} steps.", f"What is asked for is made from {frequency} ones.",
                            "Open the product with the other frequency.")
        return self.dataset[TIME].values.astype("datetime64[h]")

    def days(self, frequency: str) -> np.ndarray:
        """The calendar days UTC+8 that it has, datetime64[D] (days,), ascending."""
        return np.unique(local_days(self.stamps(frequency)))

    @property
    def variables(self) -> Mapping[str, tuple[str, ...]]:
        """Names of variables over time, by frequency."""
        return {self.frequency: tuple(self.attributes_of())}

    def attributes_of(self) -> dict[str, dict[str, Any]]:
        """Attributes of each variable over time and grid."""
        dims = (TIME, *self.grid.dims)
        return {str(name): dict(array.attrs) for name, array in self.dataset.data_vars.items() if array.dims == dims}

    def provenance(self, command: str) -> dict[str, str]:
        """Attributes of a file that is made from it; a Dataset has no hash."""
        made = f"aqreanalysis {__version__} {command} (of a Dataset)"
        before = self.dataset.attrs.get("history")
        return {"history": f"{before}\n{made}" if before else made,
                **({"source_product": str(self.dataset.attrs["id"])} if "id" in self.dataset.attrs else {})}

    def blocks(self, variables: Sequence[str], period: Period | None,
               points: Sequence[slice] | None) -> Iterator[ProductBlock]:
        """As of reading.read_blocks."""
        stamps = self.stamps(self.frequency)
        inside = np.flatnonzero(periods.span(period.first, period.last).has(local_days(stamps))) if period else (
            np.arange(len(stamps)))
        for first in range(0, len(inside), TIME_CHUNK):
            piece = inside[first:first + TIME_CHUNK]
            for some in output.tiles(self.grid) if points is None else points:
                rows = grid_rows(self.grid, some)
                arrays = {name: np.reshape(self.dataset[name][piece, rows].values, (len(piece), -1))
                          for name in variables}
                yield ProductBlock(stamps[piece], some, arrays)


def dataset_product(dataset: xr.Dataset) -> DatasetProduct:
    """A Dataset with hours or days of `pm25`, as open_product gives it, perhaps changed.

    Raises
    ------
    UserError : where it has no pm25 over time and a grid, or steps that are neither hours nor days.
    """
    rule = f"A Dataset has {TARGET} (time, lat, lon), stamps that mark the END of hours or days, UTC."
    if TARGET not in dataset or dataset[TARGET].dims[:1] != (TIME,) or not dataset[TARGET].size:
        raise UserError(f"{NAME} has no {TARGET} over time.", rule, "aqreanalysis.open_product gives one.")
    if dataset[LAT].ndim == 1 and dataset[LAT].dims == (LAT,):
        dataset = dataset.sortby([LAT, LON])
    dataset = dataset.sortby(TIME)
    steps = np.unique(np.diff(dataset[TIME].values.astype("datetime64[s]")))
    stamps = dataset[TIME].values
    length = steps.min() if steps.size else HOUR if stamps[0].astype("datetime64[h]").astype(int) % 24 != 16 else (
        HOURS_PER_DAY * HOUR)
    if length.astype("timedelta64[s]") not in [of.astype("timedelta64[s]") for of in STEPS]:
        raise UserError(f"{NAME} has steps of {length}.", rule, "Means of longer periods are made by --every.")
    return DatasetProduct(dataset, grid_of(dataset, NAME), STEPS[length.astype("timedelta64[h]")])


def blocks_of(product: FinishedProduct | DatasetProduct, frequency: str, variables: Sequence[str],
              period: Period | None = None, points: Sequence[slice] | None = None) -> Iterator[ProductBlock]:
    """Blocks of a product, of files or in memory, as of reading.read_blocks."""
    if isinstance(product, DatasetProduct):
        product.stamps(frequency)  # whether it has these
        return product.blocks(variables, period, points)
    return read_blocks(product, frequency, variables, period, points)
