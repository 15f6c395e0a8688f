"""The words and numbers of the project: dimensions, variables, units, CF attributes, flags.

Nothing else in the package spells a dimension, a unit or an attribute. `check_station_cube` and
`check_targets` stand at each hand-over; `mock_station_cube` makes cubes for tests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import numpy as np
import xarray as xr

TIME, STATION, POINT, LAT, LON = "time", "station", "point", "lat", "lon"
SITE = "site"  # where weather was measured or forecast: fields that are no grid
POLLUTANTS = ("pm25", "pm10", "so2", "no2", "co", "o3")
TARGET, STANDARD_ERROR = "pm25", "pm25_standard_error"
LOWER, UPPER = "pm25_lower", "pm25_upper"  # 5 % of the truth lies below the one, 5 % above the other
# Weather that some archives report beside the pollutants; the direction is where the wind comes from.
WEATHER = ("temperature", "pressure", "dew_point", "rain", "wind_speed", "wind_direction")
UNITS = {name: "ug m-3" for name in POLLUTANTS} | {
    "co": "mg m-3", "temperature": "degC", "pressure": "hPa", "dew_point": "degC", "rain": "mm",
    "wind_speed": "m s-1", "wind_direction": "degree"}

_IN_AIR = "mass_concentration_of_{}_in_air"
STANDARD_NAMES = {
    "pm25": _IN_AIR.format("pm2p5_ambient_aerosol_particles"),
    "pm10": _IN_AIR.format("pm10_ambient_aerosol_particles"),
    "so2": _IN_AIR.format("sulfur_dioxide"),
    "no2": _IN_AIR.format("nitrogen_dioxide"),
    "co": _IN_AIR.format("carbon_monoxide"),
    "o3": _IN_AIR.format("ozone"),
    "temperature": "air_temperature", "pressure": "air_pressure", "dew_point": "dew_point_temperature",
    "rain": "thickness_of_rainfall_amount", "wind_speed": "wind_speed", "wind_direction": "wind_from_direction",
}
LONG_NAMES = {"pm25": "PM2.5", "pm10": "PM10", "so2": "SO2", "no2": "NO2", "co": "CO", "o3": "O3"} | {
    name: name.replace("_", " ") for name in WEATHER}

# Flags of an observation: bits, several may be set. 0 is a good value.
OBSERVATION_FLAGS = {
    "missing": 1,                # nothing was reported
    "missing_code": 2,           # a code for missing: negative, -999, 9999 ...
    "out_of_range": 4,           # outside what an instrument can report
    "pm25_above_pm10": 8,        # fine particles are a part of PM10
    "conflicting": 16,           # rows of this hour disagree; the first one's value is kept
    "temporally_inconsistent": 32,  # a spike that no neighbour shares
    "spatially_inconsistent": 64,   # far from what its neighbours say, and from how it usually differs
    "low_variance": 128,            # a sensor that is stuck, or hardly moves while its neighbours do
    "periodic": 256,                # an outlier at the same hour of several days: automatic calibration
}
FLAG_DTYPE = np.uint16  # of `<pollutant>_flag`; CF 1.11 knows unsigned integers
# Largest value that is believed, in the variable's units. The network's own record of 2019 has
# 1523 (PM2.5) and 4985 (PM10, dust); instruments end at 10000 (PM10, dust setting).
VALID_MAX = {"pm25": 2000.0, "pm10": 10000.0, "so2": 3000.0, "no2": 1500.0, "co": 100.0, "o3": 1500.0}

# Quality classes of a cell and hour, in the order of severity but for sea.
QUALITY = ("supported", "weak_support", "extrapolated", "no_observations", "sea")
SUPPORTED, WEAK_SUPPORT, EXTRAPOLATED, NO_OBSERVATIONS, SEA = range(5)

REGION_NAME = "northern-china"
REGION_EDGES = (106.0, 125.0, 29.0, 43.0)  # west, east, south, north, degrees


def check_station_cube(cube: xr.Dataset) -> xr.Dataset:
    """The cube itself if it has what a station cube has; else a ValueError that names what is wrong.

    Dimensions (time, station); `pm25` float32; `lat`, `lon` on station; a complete hourly axis.
    """
    for name in (LAT, LON):
        if name not in cube.coords or cube[name].dims != (STATION,):
            raise ValueError(f"a station cube has the coordinate {name} on ({STATION},)")
    if TARGET not in cube or cube[TARGET].dims != (TIME, STATION):
        raise ValueError(f"a station cube has {TARGET} on ({TIME}, {STATION})")
    if cube[TARGET].dtype != np.float32:
        raise ValueError(f"{TARGET} of a station cube is float32, not {cube[TARGET].dtype}")
    step = np.diff(cube[TIME].values.astype("datetime64[s]").astype(np.int64))
    if step.size and (step != 3600).any():
        raise ValueError("the time axis of a station cube is hourly and complete")
    return cube


def check_targets(targets: xr.Dataset) -> xr.Dataset:
    """The template itself if it says when (`time`) and where (`lat`, `lon` on point)."""
    for name in (LAT, LON):
        if name not in targets.coords or targets[name].dims != (POINT,):
            raise ValueError(f"targets have the coordinate {name} on ({POINT},)")
    if TIME not in targets.coords:
        raise ValueError(f"targets have the coordinate {TIME}")
    return targets


def check_fields(fields: xr.Dataset, names: Iterable[str] = ()) -> xr.Dataset:
    """The fields themselves if they are what a model is handed; else a ValueError that names what is wrong.

    Variables on (time, lat, lon), both ascending, or on (time, site) with `lat` and `lon` on site; a complete hourly
    axis of UTC stamps at the END of the hour; those of `names` are there. NaN where nothing is known.
    """
    if missing := [name for name in names if name not in fields]:
        raise ValueError(f"fields have no {missing[0]}")
    if not {LAT, LON, TIME} <= set(fields.coords):
        raise ValueError(f"fields have the coordinates {TIME}, {LAT} and {LON}")
    places = (SITE,) if SITE in fields.dims else (LAT, LON)
    if wrong := [name for name, field in fields.data_vars.items() if field.dims != (TIME, *places)]:
        raise ValueError(f"the field {wrong[0]} is on {fields[wrong[0]].dims}, not on {(TIME, *places)}")
    if (np.diff(fields[TIME].values.astype("datetime64[s]").astype(np.int64)) != 3600).any():
        raise ValueError("the time axis of fields is hourly and complete")
    if SITE not in fields.dims and any((np.diff(fields[name].values) <= 0).any() for name in places):
        raise ValueError(f"{LAT} and {LON} of fields ascend")
    return fields


def make_targets(time, lat, lon) -> xr.Dataset:
    """A template of where and when: `time` (hours,), `lat` and `lon` (points,) in degrees."""
    return xr.Dataset(coords={TIME: np.asarray(time, "datetime64[ns]"),
                              LAT: (POINT, np.asarray(lat, float)),
                              LON: (POINT, np.asarray(lon, float))})


def make_estimate(targets: xr.Dataset, pm25: np.ndarray, standard_error: np.ndarray, lower: np.ndarray | None = None,
                  upper: np.ndarray | None = None) -> xr.Dataset:
    """An estimate of the shape of `targets`: arrays (time, point) in ug m-3; the bounds are in it where given."""
    arrays = {TARGET: pm25, STANDARD_ERROR: standard_error, LOWER: lower, UPPER: upper}
    return xr.Dataset({name: ((TIME, POINT), np.asarray(array, np.float32)) for name, array in arrays.items()
                       if array is not None}, coords=targets.coords)


def make_station_cube(time, station_id, lat, lon, values: dict[str, np.ndarray],
                      **station_coords) -> xr.Dataset:
    """A station cube from arrays (time, station); pollutants that are not given are all NaN."""
    shape = (len(time), len(station_id))
    data = {}
    for name in POLLUTANTS:
        array = values.get(name)
        array = np.full(shape, np.nan, np.float32) if array is None else np.asarray(array, np.float32)
        data[name] = ((TIME, STATION), array)
    coords = {TIME: np.asarray(time, "datetime64[ns]"),
              STATION: np.asarray(station_id, dtype=object),
              LAT: (STATION, np.asarray(lat, float)), LON: (STATION, np.asarray(lon, float))}
    coords |= {name: (STATION, np.asarray(v, dtype=object)) for name, v in station_coords.items()}
    return check_station_cube(xr.Dataset(data, coords=coords))


def mock_station_cube(hours: int = 72, stations: int = 30, seed: int = 0,
                      missing: float = 0.1) -> xr.Dataset:
    """A smooth positive field at random stations with gaps, for tests and doctests."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(36, 40, stations), rng.uniform(113, 119, stations)
    time = np.datetime64("2019-01-01T00", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    wave = np.sin(np.arange(hours)[:, None] / 9.0 + lat[None] + lon[None] / 2.0)
    pm25 = 60.0 + 30.0 * wave + rng.normal(0, 2, (hours, stations))
    values = {"pm25": pm25, "pm10": 1.5 * pm25, "no2": 0.5 * pm25, "so2": 0.2 * pm25,
              "co": 0.02 * pm25, "o3": 120 - pm25}
    for array in values.values():
        array[rng.random(array.shape) < missing] = np.nan
    return make_station_cube(time, [f"S{i:03d}" for i in range(stations)], lat, lon, values)


# At which temperature and pressure China's network reports concentrations.
#
# Until 2018-08-31 all pollutants were reported at 273 K and 1013.25 hPa (GB 3095-2012, "standard state").
# From 2018-09-01 gases are reported at 298.15 K and 1013.25 hPa ("reference state") and particles at the
# temperature and pressure of the air they were sampled from (amendment of GB 3095-2012, MEE announcement 2018
# no. 29). Reported PM2.5 fell by about 8 % at the change (Atmosphere 2020, 11, 1199).

REFERENCE_STATE_CHANGED = dt.date(2018, 9, 1)   # calendar day in UTC+8

_BEFORE = "273 K and 1013.25 hPa, as China's network reported until 2018-08-31"
_SINCE = ("actual temperature and pressure for particles, and to 298.15 K and 1013.25 hPa for gases, as China's "
          "network reports from 2018-09-01")
NO_REFERENCE_STATE = "Simulated concentrations have no reference state."


def reference_state(first, last) -> str:
    """The sentence for the attribute `reference_state` of what covers calendar days UTC+8, both included.

    Days are dates or datetime64[D]; those of stamps are `time_axis.local_days(stamps)`. A period across the change
    says so, with the day.
    """
    first, last = (np.datetime64(day, "D").item() for day in (first, last))
    if last < REFERENCE_STATE_CHANGED:
        return f"Concentrations refer to {_BEFORE}."
    if first >= REFERENCE_STATE_CHANGED:
        return f"Concentrations refer to {_SINCE}."
    return (f"The reference state changes within the period: concentrations refer to {_BEFORE}, and to {_SINCE}. "
            "Reported PM2.5 fell by about 8 % at the change.")
