"""The analysis of one month: observations round it, the model, and a stream of blocks of hours.

A block is a week of hours, as long as a chunk of the files. What a block holds depends on its month
alone, never on which blocks came before it, so that serial, parallel and resumed runs agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import geo, quality, schema, stations
from aqreanalysis.clock import HOUR, Period
from aqreanalysis.models import interface
from aqreanalysis.readers.station_archive import StationArchive
from aqreanalysis.uncertainty import Support

BLOCK_HOURS = 168


@dataclass(frozen=True)
class Block:
    """Estimates of some hours of a month at some points of a grid; arrays (hours, points)."""

    first: int            # number of the block's first hour in the month
    points: slice         # of the grid
    arrays: dict[str, np.ndarray]


def observations_around(archive, model, period: Period, minimum_station_hours: int = 1,
                        settings: quality.Settings = quality.DEFAULT, apart: Sequence[str] = ()) -> xr.Dataset:
    """The station cube that a model may see for a period: screened, flagged values NaN.

    It reaches `history` hours before and `future` after; stations that reported PM2.5 in it. Those that stand
    `apart` (withheld ones) have no part in the flags of others.
    """
    hours = period.hours
    cube = screened(archive, hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR, settings,
                    apart, _other_hours(model, hours))
    return stations.reporting(cube, minimum_station_hours)


def _other_hours(model, hours: np.ndarray) -> tuple[np.datetime64, np.datetime64] | None:
    """The first and last hour of which a model reads other pollutants than PM2.5, if it says so."""
    reach = getattr(model, "others", None)
    return None if reach is None else (hours[0] - reach * HOUR, hours[-1] + reach * HOUR)


def screened(archive, start, end, settings: quality.Settings = quality.DEFAULT, apart: Sequence[str] = (),
             others: tuple[np.datetime64, np.datetime64] | None = None) -> xr.Dataset:
    """The usable values of an archive from `start` to `end`, both included; flagged ones are NaN.

    Quality control looks quality.REACH_HOURS further on either side, so that an hour has the same flags whichever
    month it is read for. With `others`, pollutants other than PM2.5 are NaN outside these two hours: most of the work
    is theirs, and a model that reads them for a few hours round a target needs no flags of whole weeks.
    """
    if not apart and isinstance(archive, StationArchive) and archive.screened_with(settings):
        cube = quality.usable(archive.read_screened(start, end))  # the flags are in the file
    else:
        margin = quality.REACH_HOURS * HOUR
        raw = archive.read(start - margin, end + margin)
        rows = slice(None)
        if others:
            rows = slice(*np.searchsorted(raw.time.values, [others[0] - margin, others[1] + margin + HOUR]))
        marked = quality.screen(raw, settings, apart, rows)
        cube = quality.usable(marked.sel(time=slice(start, end)))
    if others:
        seen = (cube.time >= others[0]) & (cube.time <= others[1])
        cube = cube.assign({name: cube[name].where(seen) for name in schema.POLLUTANTS if name != schema.TARGET})
    return cube


def blocks(model, cube: xr.Dataset, grid, period: Period, k: int,
           tiles: Sequence[slice] = (slice(None),)) -> Iterator[Block]:
    """The estimates of a period on a grid, tile by tile, a week of hours at a time, with their support."""
    hours, land = period.hours, _land(grid)
    if cube.sizes[schema.STATION] < 2:  # a month in which the network is silent has no values
        names = (schema.TARGET, schema.STANDARD_ERROR)
        names += (schema.LOWER, schema.UPPER) if getattr(model, "calibration", None) else ()
        for points in tiles:
            yield from _silent(land[points], len(hours), points, names)
        return
    over = interface.read(model, cube, hours)
    observed = np.isfinite(cube.pm25.reindex(time=hours).values)
    for points in tiles:
        lat, lon = grid.lat[points], grid.lon[points]
        support = Support(cube.lat.values, cube.lon.values, lat, lon, land[points], k)
        estimate_at = over(lat, lon)
        for first in range(0, len(hours), BLOCK_HOURS):
            rows = slice(first, first + BLOCK_HOURS)
            estimate = estimate_at(hours[rows])
            count, flag = support.of_hours(observed[rows])
            flag = np.where(np.isfinite(estimate[schema.TARGET].values), flag, _nothing(land[points]))
            yield Block(first, points, {name: array.values for name, array in estimate.data_vars.items()} | {
                "quality_flag": flag.astype(np.int8), "number_of_observations": count})


def _land(grid) -> np.ndarray:
    """Which targets are not sea: a point on a pier or a small island is none."""
    return grid.land | (grid.kind == "points")


def _nothing(land: np.ndarray) -> np.ndarray:
    """Quality classes (points,) of an hour without an estimate: sea stays sea."""
    return np.where(land, schema.NO_OBSERVATIONS, schema.SEA)


def _silent(land: np.ndarray, hours: int, points: slice, names: Sequence[str]) -> Iterator[Block]:
    for first in range(0, hours, BLOCK_HOURS):
        shape = (min(BLOCK_HOURS, hours - first), land.size)
        nothing = np.full(shape, np.nan, np.float32)
        yield Block(first, points, {name: nothing for name in names} | {
            "quality_flag": np.broadcast_to(_nothing(land), shape).astype(np.int8),
            "number_of_observations": np.zeros(shape, np.int8)})


def nearest_distance(cube: xr.Dataset, grid) -> np.ndarray:
    """Distance in km, float32 (points,), from each target to the nearest station of the cube."""
    if not cube.sizes[schema.STATION]:
        return np.full(grid.size, np.nan, np.float32)
    _, distance = geo.nearest(cube.lat.values, cube.lon.values, grid.lat, grid.lon, 1)
    return distance[:, 0].astype(np.float32)
