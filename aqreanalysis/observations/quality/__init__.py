"""Quality control after Wu et al. (2018, Adv. Atmos. Sci., 10.1007/s00376-018-8067-9).

Their four kinds of outliers, each with its own flag: inconsistent in time or in space, low variance, periodic, and
PM2.5 above PM10; before them what can't be true of a single value. Every test is one function, arrays in, True
where bad, and is local in time: a flag depends on hours within FLAG_REACH_HOURS only.

    >>> cube = schema.mock_station_cube(hours=24 * 14, stations=30, missing=0.0)
    >>> cube.pm25.values[200, 4] = 900.0
    >>> int(screen(cube).pm25_flag[200, 4]) & schema.OBSERVATION_FLAGS["temporally_inconsistent"]
    32
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.observations.quality.settings import (
    DEFAULT_SETTINGS,
    FLAG_REACH_HOURS,
    OFFSET,
    SINGLE_VALUE_SETTINGS,
    TESTS,
    QualitySettings,
)
from aqreanalysis.observations.quality.spatial import spatially_inconsistent
from aqreanalysis.observations.quality.surroundings import NeighbourStations
from aqreanalysis.observations.quality.temporal import periodic, residuals, temporally_inconsistent
from aqreanalysis.observations.quality.values import missing, missing_code, out_of_range, pm25_above_pm10
from aqreanalysis.observations.quality.variance import still, stuck
from aqreanalysis.time_axis import HOURS_PER_DAY

__all__ = ["DEFAULT_SETTINGS", "FLAG_REACH_HOURS", "SINGLE_VALUE_SETTINGS", "TESTS", "QualitySettings", "count_flags",
           "screen", "usable"]

CHUNK_DAYS = 80  # screened at once: a month with all its margins; memory does not grow with the period
DIMS = (schema.TIME, schema.STATION)


def screen(cube: xr.Dataset, settings: QualitySettings = DEFAULT_SETTINGS, held_out: Sequence[str] = (),
           others: slice = slice(None)) -> xr.Dataset:
    """The cube with `<pollutant>_flag`, bits of schema.OBSERVATION_FLAGS; values unchanged.

    Bits that a reader has set stay, and what they mark takes no part in the tests. Stations that are `held_out` are
    flagged but are nobody's neighbours: withheld ones, of which nothing may reach the others.
    `others` are the rows in which the tests in time and space are made of other pollutants than PM2.5, if not in all.
    """
    bits = schema.OBSERVATION_FLAGS
    flags = {name: _flags_of_single_values(cube, name) for name in schema.POLLUTANTS}
    neighbours = NeighbourStations.within(cube.lat.values, cube.lon.values, settings.neighbours, settings.neighbours_km,
                                   settings.least_neighbours, np.isin(cube.station.values, list(held_out)))
    found = {name: np.zeros(flags[name].shape, schema.FLAG_DTYPE) for name in schema.POLLUTANTS}
    for name in schema.POLLUTANTS:
        rows = slice(None) if name == schema.TARGET else others
        good = np.where(flags[name][rows] == 0, cube[name].values[rows], np.nan)
        if not len(good):
            continue
        found[name][rows] = _flags_of_series(good, cube.time.values[rows], name, neighbours, settings)
    good = (flags["pm25"] == 0) & (flags["pm10"] == 0)
    pair = pm25_above_pm10(cube.pm25.values, cube.pm10.values) & good
    for name in ("pm25", "pm10"):
        found[name] |= pair * schema.FLAG_DTYPE(bits["pm25_above_pm10"])
    return cube.assign({f"{name}_flag": (DIMS, flags[name] | found[name]) for name in schema.POLLUTANTS})


def usable(cube: xr.Dataset) -> xr.Dataset:
    """A screened cube with NaN where a flag is set: what models may see."""
    return cube.assign({name: cube[name].where(cube[f"{name}_flag"] == 0) for name in schema.POLLUTANTS})


def count_flags(cube: xr.Dataset) -> dict[str, dict[str, int]]:
    """How often each flag is set, by pollutant."""
    return {name: {flag: int(((cube[f"{name}_flag"].values & bit) > 0).sum())
                   for flag, bit in schema.OBSERVATION_FLAGS.items()} for name in schema.POLLUTANTS}


def _flags_of_single_values(cube: xr.Dataset, name: str) -> np.ndarray:
    values, bits = cube[name].values, schema.OBSERVATION_FLAGS
    preset = cube[f"{name}_flag"].values if f"{name}_flag" in cube else np.zeros(values.shape)
    return (preset.astype(schema.FLAG_DTYPE)
            | (bits["missing"] * missing(values) + bits["missing_code"] * missing_code(values)
               + bits["out_of_range"] * out_of_range(values, name)).astype(schema.FLAG_DTYPE))


def _flags_of_series(values: np.ndarray, time: np.ndarray, name: str, neighbours: NeighbourStations,
                     settings: QualitySettings) -> np.ndarray:
    """Bits of the tests in time and space, (hours, stations), computed on whole days, some at a time."""
    flags = np.zeros(values.shape, schema.FLAG_DTYPE)
    for inner, outer in _screening_chunks(time):
        before = int(time[outer.start].astype("datetime64[h]").astype(int)) % HOURS_PER_DAY
        after = -(before + outer.stop - outer.start) % HOURS_PER_DAY
        whole_days = np.pad(values[outer].astype(np.float32), ((before, after), (0, 0)), constant_values=np.nan)
        first = before + inner.start - outer.start
        found = _bits(whole_days, name, neighbours, settings)[first:first + inner.stop - inner.start]
        flags[inner] = np.where(np.isfinite(values[inner]), found, 0)
    return flags


def _screening_chunks(time: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Rows to be flagged, and those to be looked at for them."""
    step, reach = CHUNK_DAYS * HOURS_PER_DAY, FLAG_REACH_HOURS
    if len(time) <= step:  # whatever margins a month was read with, they are in it
        yield slice(0, len(time)), slice(0, len(time))
        return
    for start in range(0, len(time), step - 2 * reach):
        stop = min(start + step - 2 * reach, len(time))
        yield slice(start, stop), slice(max(start - reach, 0), min(stop + reach, len(time)))


def _bits(values: np.ndarray, name: str, neighbours: NeighbourStations, settings: QualitySettings) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        level = np.log(values + np.float32(OFFSET[name]))
    residual = cache(lambda: residuals(level, neighbours, settings))
    tests = {"temporally_inconsistent": lambda: temporally_inconsistent(*residual(), settings),
             "periodic": lambda: periodic(*residual(), settings),
             "spatially_inconsistent": lambda: spatially_inconsistent(level, neighbours, settings),
             "low_variance": lambda: stuck(values, name, neighbours, settings)
             | still(level, values, name, neighbours, settings)}
    flags = np.zeros(values.shape, schema.FLAG_DTYPE)
    for test, find in tests.items():
        if test not in settings.exclude:
            flags |= find() * schema.FLAG_DTYPE(schema.OBSERVATION_FLAGS[test])
    return flags
