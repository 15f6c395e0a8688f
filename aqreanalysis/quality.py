"""Quality control: one function for each test, arrays in, True where a value is bad.

The network's files were screened by nobody. These first tests find what can't be true at one
station and hour; tests in time and space belong here too, each with its own flag.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis import schema

MISSING_CODES = (-99.0, -999.0, -9999.0, 9999.0, 99999.0)
PAIR_TOLERANCE = 0.0  # ug m-3 that PM2.5 may exceed PM10 by before the pair is flagged


def missing(values: xr.DataArray) -> xr.DataArray:
    """Nothing was reported."""
    return values.isnull()


def missing_code(values: xr.DataArray) -> xr.DataArray:
    """A number that archives write for `missing`, or a negative concentration."""
    return values.isin(MISSING_CODES) | (values < 0)


def out_of_range(values: xr.DataArray) -> xr.DataArray:
    """More than any instrument of the network has truly reported (schema.VALID_MAX)."""
    return (values > schema.VALID_MAX[str(values.name)]) & ~missing_code(values)


def pm25_above_pm10(pm25: xr.DataArray, pm10: xr.DataArray) -> xr.DataArray:
    """Fine particles are a part of PM10: one of the pair is wrong (Wu et al. 2018, section 3.4)."""
    return pm25 > pm10 + PAIR_TOLERANCE


def screen(cube: xr.Dataset) -> xr.Dataset:
    """The cube with `<pollutant>_flag`, uint8 bits of schema.OBSERVATION_FLAGS; values unchanged."""
    bits = schema.OBSERVATION_FLAGS
    flags = {}
    for name in schema.POLLUTANTS:
        values = cube[name]
        flags[name] = (bits["missing"] * missing(values) + bits["missing_code"] * missing_code(values)
                       + bits["out_of_range"] * out_of_range(values)).astype(np.uint8)
    good = (flags["pm25"] == 0) & (flags["pm10"] == 0)
    pair = (bits["pm25_above_pm10"] * (pm25_above_pm10(cube.pm25, cube.pm10) & good)).astype(np.uint8)
    for name in ("pm25", "pm10"):
        flags[name] = flags[name] | pair
    return cube.assign({f"{name}_flag": flag for name, flag in flags.items()})


def usable(cube: xr.Dataset) -> xr.Dataset:
    """A screened cube with NaN where a flag is set: what models may see."""
    return cube.assign({name: cube[name].where(cube[f"{name}_flag"] == 0) for name in schema.POLLUTANTS})


def count_flags(cube: xr.Dataset) -> dict[str, dict[str, int]]:
    """How often each flag is set, by pollutant."""
    return {name: {flag: int(((cube[f"{name}_flag"].values & bit) > 0).sum())
                   for flag, bit in schema.OBSERVATION_FLAGS.items()} for name in schema.POLLUTANTS}
