"""Files of summaries: a CF NetCDF file for each kind of period, or one Zarr store with a group for each."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.encoding import coordinates, grid_rows, space_chunks
from aqreanalysis.output.netcdf_file import FLOAT_FILL, set_attributes, write_coordinate
from aqreanalysis.output.zarr_store import plain_attributes, write_whole
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.schema import TIME
from aqreanalysis.summaries import limits
from aqreanalysis.summaries.variables import (
    AQI_CLASS,
    FLOAT,
    PERIOD_NAME,
    SummaryVariable,
    class_attributes,
    placed,
    time_attributes,
)

Coordinates = dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]
# Slices of the grid's points, each with what gives a variable's values there: (periods, [classes,] places).
Tiles = Sequence[tuple[slice, Callable[[str], np.ndarray]]]


@dataclass(frozen=True)
class SummaryFile:
    """What a file, or a group of a store, of one kind of period holds."""

    every: str
    periods: Sequence[CalendarPeriod]
    grid: Grid
    variables: Sequence[SummaryVariable]
    attributes: Mapping[str, Any]

    def coordinates(self) -> Coordinates:
        """Periods, places, classes and their bounds: name -> (dimensions, values, attributes)."""
        edges = np.stack([period.bounds for period in self.periods])
        found: Coordinates = dict(coordinates(self.grid, edges[:, 1], cf.DAILY, None))
        found[TIME] = ((TIME,), cf.hours_since_epoch(edges[:, 1]), time_attributes())
        found[f"{TIME}_bnds"] = ((TIME, "nv"), cf.hours_since_epoch(edges.ravel()).reshape(edges.shape), {})
        found[AQI_CLASS] = ((AQI_CLASS,), np.arange(1, len(limits.AQI_CLASSES) + 1, dtype=np.int8), class_attributes())
        names = np.array([period.label for period in self.periods], object)
        found[PERIOD_NAME] = ((TIME,), names, {"long_name": "name of the period",
                                               "coverage_content_type": "coordinate"})
        return found

    def shape(self, variable: SummaryVariable) -> tuple[int, ...]:
        """Of a variable."""
        return (len(self.periods), *((len(limits.AQI_CLASSES),) if variable.by_class else ()), *self.grid.shape)

    def chunks(self, variable: SummaryVariable) -> tuple[int, ...]:
        """Of a variable: a period of some rows."""
        return (1, *((len(limits.AQI_CLASSES),) if variable.by_class else ()), *space_chunks(self.grid))

    def blocks(self, tiles: Tiles) -> Iterator[tuple[SummaryVariable, tuple[Any, ...], np.ndarray]]:
        """Each variable of each tile: where it lies in the variable, and its values there."""
        for points, load in tiles:
            rows = grid_rows(self.grid, points)
            for variable in self.variables:
                shape = self.shape(variable)
                before = shape[:len(shape) - len(self.grid.shape)]
                values = np.reshape(load(variable.name), (*before, rows.stop - rows.start, *self.grid.shape[1:]))
                yield variable, (*(slice(None),) * len(before), rows), values


def write_netcdf(path: Path, content: SummaryFile, tiles: Tiles, otherwise: str) -> None:
    """A NetCDF file, whole or not at all."""
    with files.whole(path, otherwise) as part, contextlib.closing(netCDF4.Dataset(part, "w", format="NETCDF4")) as file:
        set_attributes(file, content.attributes)
        file.createDimension(TIME, None)
        for name, (dims, array, attributes) in content.coordinates().items():
            write_coordinate(file, name, dims, array, attributes)
        mapping = file.createVariable(cf.CRS, "i4")
        set_attributes(mapping, cf.crs_attributes())
        mapping[...] = 0
        for variable in content.variables:
            fill = FLOAT_FILL if variable.dtype == FLOAT else None
            made = file.createVariable(variable.name, variable.dtype, variable.dims(content.grid.dims), fill_value=fill,
                                       compression="zlib", complevel=1, shuffle=True,
                                       chunksizes=content.chunks(variable))
            set_attributes(made, placed(variable, content.grid))
            made.set_auto_maskandscale(False)
        for variable, where, values in content.blocks(tiles):
            values = np.array(values, variable.dtype)
            if variable.dtype == FLOAT:
                np.copyto(values, FLOAT_FILL, where=np.isnan(values))
            file[variable.name][where] = values


def write_zarr(path: Path, contents: Sequence[tuple[SummaryFile, Tiles]], otherwise: str) -> None:
    """A Zarr store with a group for each kind of period, whole or not at all; one that was there is replaced."""
    import zarr

    part = files.part_name(path)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with files.writing(path, otherwise):
            path.parent.mkdir(parents=True, exist_ok=True)
            root = zarr.create_group(zarr.storage.LocalStore(part))
            for content, tiles in contents:
                _write_group(root, content, tiles)
            with warnings.catch_warnings():  # that version 3 of the format does not have them yet; xarray reads them
                warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
                zarr.consolidate_metadata(zarr.storage.LocalStore(part))
            shutil.rmtree(path, ignore_errors=True)
            part.rename(path)
            files.fsync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_group(root, content: SummaryFile, tiles: Tiles) -> None:
    group = root.create_group(content.every, attributes=plain_attributes(content.attributes))
    for name, (dims, array, attributes) in content.coordinates().items():
        write_whole(group, name, dims, array, attributes)
    write_whole(group, cf.CRS, (), np.array(0, np.int32), cf.crs_attributes())
    for variable in content.variables:
        group.create_array(variable.name, shape=content.shape(variable), dtype=variable.dtype,
                           chunks=content.chunks(variable), fill_value=np.nan if variable.dtype == FLOAT else 0,
                           dimension_names=variable.dims(content.grid.dims), config={"write_empty_chunks": True},
                           attributes=plain_attributes(placed(variable, content.grid)))
    for variable, where, values in content.blocks(tiles):
        group[variable.name][where] = np.asarray(values, variable.dtype)
