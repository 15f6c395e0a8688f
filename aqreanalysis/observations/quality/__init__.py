"""Quality control: a flag for each kind of outlier.

The kinds are those that Wu et al. (2018, Adv. Atmos. Sci., doi:10.1007/s00376-018-8067-9) name: inconsistent in time or
in space, low variance, periodic, and PM2.5 above PM10; before them come values that are impossible by themselves. Only
that classification is theirs: their filters could not be read, and the tests and thresholds here are our own
(docs/method.md has their equations, docs/accuracy.md what they find and how often they are wrong). Every test is one
function, arrays in, True where bad, and is local in time: a flag depends on hours within FLAG_REACH_HOURS only.

    >>> cube = schema.mock_station_cube(hours=24 * 14, stations=30, missing=0.0)
    >>> cube.pm25.values[200, 4] = 900.0
    >>> int(screen(cube).pm25_flag[200, 4]) & schema.OBSERVATION_FLAGS["temporally_inconsistent"]
    32
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
           "count_values", "screen", "usable"]

CHUNK_DAYS = 80  # screened at once: a month with all its margins; memory does not grow with the period
DIMS = (schema.TIME, schema.STATION)


def screen(cube: xr.Dataset, settings: QualitySettings = DEFAULT_SETTINGS, held_out: Sequence[str] = (),
           co_pollutant_rows: slice = slice(None)) -> xr.Dataset:
    """The cube with `<pollutant>_flag`, bits of schema.OBSERVATION_FLAGS; values unchanged.

    Bits that a reader has set stay, and values that they mark take no part in the tests. Stations that are `held_out`
    are flagged but are nobody's neighbours: nothing of a withheld station may reach the others.
    `co_pollutant_rows` are the rows in which pollutants other than PM2.5 are tested in time and space, if not in all.
    """
    bits = schema.OBSERVATION_FLAGS
    flags = {name: _flags_of_single_values(cube, name) for name in schema.POLLUTANTS}
    neighbours = NeighbourStations.within(cube.lat.values, cube.lon.values, settings.neighbours, settings.neighbours_km,
                                   settings.least_neighbours, np.isin(cube.station.values, list(held_out)))
    found = {name: np.zeros(flags[name].shape, schema.FLAG_DTYPE) for name in schema.POLLUTANTS}
    for name in schema.POLLUTANTS:
        rows = slice(None) if name == schema.TARGET else co_pollutant_rows
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


def count_values(cube: xr.Dataset) -> dict[str, int]:
    """Of a screened cube: how many PM2.5 values were `reported`, how many are `usable`, and how often each flag of a
    reported one is set; a value may have several."""
    flags = cube[f"{schema.TARGET}_flag"].values
    reported = (flags & schema.OBSERVATION_FLAGS["missing"]) == 0
    return {"reported": int(reported.sum()), "usable": int((flags == 0).sum())} | {
        flag: int(((flags & bit) > 0).sum()) for flag, bit in schema.OBSERVATION_FLAGS.items() if flag != "missing"}


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
    """Rows to be flagged, and the rows that their flags depend on."""
    step, reach = CHUNK_DAYS * HOURS_PER_DAY, FLAG_REACH_HOURS
    if len(time) <= step:  # a month with all its margins
        yield slice(0, len(time)), slice(0, len(time))
        return
    for start in range(0, len(time), step - 2 * reach):
        stop = min(start + step - 2 * reach, len(time))
        yield slice(start, stop), slice(max(start - reach, 0), min(stop + reach, len(time)))


def _bits(values: np.ndarray, name: str, neighbours: NeighbourStations, settings: QualitySettings) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        level = np.log(values + np.float32(OFFSET[name]))
    residual = cache(lambda: residuals(level, neighbours, settings))
    tests: dict[str, Callable[[], np.ndarray]] = {
        "temporally_inconsistent": lambda: temporally_inconsistent(*residual(), settings),
        "periodic": lambda: periodic(*residual(), settings),
        "spatially_inconsistent": lambda: spatially_inconsistent(level, neighbours, settings),
        "low_variance": lambda: (stuck(values, name, neighbours, settings)
                                 | still(level, values, name, neighbours, settings))}
    flags = np.zeros(values.shape, schema.FLAG_DTYPE)
    for test, find in tests.items():
        if test not in settings.exclude:
            flags |= find() * schema.FLAG_DTYPE(schema.OBSERVATION_FLAGS[test])
    return flags
