"""Steps of a product as a long table: a row for each step and cell, or for each step and point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from aqreanalysis import periods
from aqreanalysis.grids import Grid
from aqreanalysis.output.cf import HOURS_USED, OBSERVATIONS, QUALITY_FLAG, STATION_ID
from aqreanalysis.output.encoding import tiles
from aqreanalysis.output.long_table import (
    BOOL,
    DATE,
    FLOAT32,
    FLOAT64,
    INT16,
    TEXT,
    TIME,
    Coded,
    LongTable,
    TableColumn,
)
from aqreanalysis.schema import QUALITY
from aqreanalysis.workflows.export.cells import Chosen
from aqreanalysis.workflows.export.means import DAYS_USED
from aqreanalysis.workflows.export.steps import StepBlock, Steps, read_steps

MOST_ROWS = 200_000  # that are made at once
COUNTS = (QUALITY_FLAG, OBSERVATIONS, HOURS_USED, DAYS_USED)
SIMULATED = TableColumn("simulated", BOOL, "", "the values are simulated, not of real air")
OnRows = Callable[[int], None]


def columns_of(steps: Steps, chosen: Chosen, variables: Sequence[str]) -> list[TableColumn]:
    """When, where, which cell, and the variables."""
    longer = steps.every not in (periods.HOURLY_PERIOD, "day")
    found = [TableColumn("time", TIME, "", f"END of the {'period' if longer else steps.every}, UTC"),
             TableColumn("period", TEXT, "", f"{steps.every} in UTC+8") if longer else
             TableColumn("local_day", DATE, "", "calendar day UTC+8 that it belongs to")]
    if chosen.places:
        found += [TableColumn("place", TEXT, "", "name of the point"),
                  TableColumn("lon", FLOAT64, "degrees_east", "longitude of the point"),
                  TableColumn("lat", FLOAT64, "degrees_north", "latitude of the point")]
    if steps.grid.station_id is not None:
        found.append(TableColumn(STATION_ID, TEXT, "", "place of the product that the values are of"))
    what = "of the place" if steps.grid.kind == "points" else "of the centre of the cell"
    found += [TableColumn("cell_lon", FLOAT64, "degrees_east", f"longitude {what} that the values are of"),
              TableColumn("cell_lat", FLOAT64, "degrees_north", f"latitude {what} that the values are of")]
    if chosen.places:
        found.append(TableColumn("distance_km", FLOAT32, "km", "from the point to the centre of the cell"))
    for name in variables:
        attributes = steps.attributes[name]
        words = str(attributes.get("long_name", name))
        if name == QUALITY_FLAG:
            words += "; " + ", ".join(f"{number}: {word}" for number, word in enumerate(QUALITY))
        found.append(TableColumn(name, INT16 if name in COUNTS else FLOAT32, str(attributes.get("units", "")), words))
    return found + [SIMULATED] * steps.product.simulated


def write_rows(path: Path, steps: Steps, chosen: Chosen, variables: Sequence[str], about: dict[str, str],
               on_rows: OnRows) -> int:
    """Write a table, in the order of time within each piece that is read; returns its rows."""
    with LongTable(path, columns_of(steps, chosen, variables), about) as table:
        for piece in _pieces(steps, chosen, variables):
            table.write(piece)
            on_rows(table.rows)
    return table.rows


def _pieces(steps: Steps, chosen: Chosen, variables: Sequence[str]) -> Iterator[dict[str, np.ndarray | Coded]]:
    grid = steps.grid
    for block in read_steps(steps, variables, _slices(grid, chosen.cells)):
        inside = np.flatnonzero((chosen.cells >= block.points.start) & (chosen.cells < block.points.stop))
        at_once = max(1, MOST_ROWS // max(len(inside), 1))
        for first in range(0, len(next(iter(block.arrays.values()))), at_once):
            yield _rows(steps, chosen, block, slice(first, first + at_once), inside)


def _slices(grid: Grid, cells: np.ndarray) -> list[slice]:
    """The slices of whole rows that hold some cells: those of tiles, cut to the first and last row that is needed."""
    width = grid.size // grid.shape[0]
    found = []
    for tile in tiles(grid):
        inside = cells[(cells >= tile.start) & (cells < tile.stop)]
        if inside.size:
            found.append(slice(int(inside.min()) // width * width, (int(inside.max()) // width + 1) * width))
    return found


def _rows(steps: Steps, chosen: Chosen, block: StepBlock, some: slice,
          inside: np.ndarray) -> dict[str, np.ndarray | Coded]:
    """Rows of some of a block's steps at some of the chosen cells: for each step, the cells in their order."""
    grid, cells, places = steps.grid, chosen.cells[inside], chosen.places
    arrays = {name: values[some][:, cells - block.points.start].ravel() for name, values in block.arrays.items()}
    count = len(next(iter(arrays.values()))) // max(len(cells), 1)
    number = np.arange(block.first + some.start, block.first + some.start + count)
    step, cell = np.repeat(number, len(cells)), np.tile(np.arange(len(cells)), count)
    found: dict[str, np.ndarray | Coded] = {
        "time": Coded(steps.ends, step), "local_day": Coded(steps.days, step),
        "period": Coded(np.array(steps.labels, object), step),
        "cell_lon": grid.lon[cells][cell], "cell_lat": grid.lat[cells][cell],
        "simulated": np.ones(len(step), bool), **arrays}
    if places:
        found |= {"place": Coded(np.array(places.name, object)[inside], cell), "lon": places.lon[inside][cell],
                  "lat": places.lat[inside][cell], "distance_km": places.distance_km[inside].astype(np.float32)[cell]}
    if grid.station_id is not None:
        found[STATION_ID] = Coded(np.array(grid.station_id, object)[cells], cell)
    return found
