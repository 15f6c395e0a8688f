"""The twin: a simulated truth of the region (a nature run), sampled by a network like the real one.

It replaces observations where there are none, and only with it is the error of an analysis known in every
cell. It is cheap and deterministic: every number depends on the seed, the place and the hour alone.

    >>> twin = Twin(seed=0)
    >>> hours = time_axis.complete_hours("2016-01-01T00", "2016-01-01T05")
    >>> twin.truth(hours, [39.9], [116.4]).shape
    (6, 1)
    >>> dict(twin.observe(hours).sizes)
    {'time': 6, 'station': 640}

The air is in `simulation.air`, the ground in `simulation.land`, instruments and faults in
`simulation.network`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Stamp
from aqreanalysis.simulation.air import AIR_BLOCK_HOURS, Air, Band, RandomField, hour_index, year_angle
from aqreanalysis.simulation.land import city_table, plane, urban
from aqreanalysis.simulation.network import (
    FAULTS,
    GAPS,
    LONGEST_STUCK,
    STATIONS,
    map_faults,
    measure,
    place_stations,
    plant_faults,
    station_offset,
)

__all__ = ["FAULTS", "VERSION", "Twin", "TwinArchive"]

KEPT_BLOCKS = 32  # of the network, of 0.7 MB each: those that a month is read from
VERSION = 2  # raise it when any number of the twin changes: it is part of the fingerprint


class Twin:
    """A truth and a network under one seed.

    Attributes
    ----------
    stations : table with station_id, name, city, lon, lat (degrees).
    """

    def __init__(self, seed: int = 0):
        if not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**63):
            raise UserError(f"{seed!r} is not a seed.", "A seed is a whole number, 0 or larger.", "Example: 0.")
        self.seed = int(seed)
        cities = city_table()
        self._air = Air(self.seed, cities)
        self.stations = place_stations(self.seed, cities)
        lat, lon = self._station_places
        self._urban = urban(lat, lon, cities).astype(np.float32)
        self._fields = {name: RandomField(self.seed, Band(f"field of {name}", 150, 900, 0.22, 8, 32))
                        for name in schema.POLLUTANTS if name != schema.TARGET}
        self._kept_block = lru_cache(maxsize=KEPT_BLOCKS)(self._block_at_stations)
        self._features = {name: field.features(*plane(lat, lon)).T.astype(float)
                          for name, field in self._fields.items()}

    def __reduce__(self):  # only the seed is sent to other processes
        return Twin, (self.seed,)

    def truth(self, time, lat, lon) -> np.ndarray:
        """PM2.5 of the air itself, ug m-3.

        Parameters
        ----------
        time : hours, UTC, stamps at the END of the hour, in any order, (hours,)
        lat, lon : places, degrees, (points,); UserError outside the region and one degree round it

        Returns
        -------
        (hours, points) float32, always positive. The memory needed besides this array is bounded.
        """
        return self._air.pm25(hour_index(time), lat, lon)

    def truth_at_stations(self, time) -> dict[str, np.ndarray]:
        """All six pollutants as faultless instruments without noise would report them.

        The air times each station's constant factor; float32 (hours, stations) in units of schema.UNITS,
        for consecutive hours.
        """
        hours = consecutive_hours(time)
        blocks = [self._kept_block(block)  # whole blocks: the same numbers in any window
                  for block in range(hours[0] // AIR_BLOCK_HOURS, hours[-1] // AIR_BLOCK_HOURS + 1)]
        rows = hours - hours[0] // AIR_BLOCK_HOURS * AIR_BLOCK_HOURS
        return {name: np.concatenate([block[name] for block in blocks])[rows] for name in schema.POLLUTANTS}

    def observe(self, time) -> xr.Dataset:
        """What the network reports: a raw station cube with noise and faults; NaN where nothing is reported.

        time : consecutive hours, UTC, stamps at the END of the hour
        """
        hours = consecutive_hours(time)
        longer = np.arange(hours[0] - LONGEST_STUCK, hours[-1] + 1)
        reported = measure(self.seed, longer, self.truth_at_stations(stamps(longer)))
        plant_faults(self.seed, reported, longer, map_faults(self.seed, longer, STATIONS))
        return schema.make_station_cube(
            stamps(hours), self.stations["station_id"], *self._station_places,
            {name: value[LONGEST_STUCK:] for name, value in reported.items()},
            station_name=self.stations["name"], city=self.stations["city"])

    def faults(self, time) -> np.ndarray:
        """The code of FAULTS planted at each consecutive hour and station, uint8 (hours, stations)."""
        return map_faults(self.seed, consecutive_hours(time), STATIONS).code

    @property
    def _station_places(self) -> tuple[np.ndarray, np.ndarray]:
        return self.stations["lat"].to_numpy(), self.stations["lon"].to_numpy()

    def _block_at_stations(self, block: int) -> dict[str, np.ndarray]:
        hours = block * AIR_BLOCK_HOURS + np.arange(AIR_BLOCK_HOURS)
        pm25 = self._air.pm25(hours, *self._station_places)
        middle = hours - 0.5
        factors = {name: np.exp((field.rows(middle).T @ self._features[name]).astype(np.float32))
                   for name, field in self._fields.items()}
        truth = {schema.TARGET: pm25} | companions(pm25, middle, self._urban, factors)
        seen = station_offset(self.seed, STATIONS).astype(np.float32)
        return {name: (value * seen).astype(np.float32) for name, value in truth.items()}


@lru_cache(maxsize=2)
def _kept_twin(seed: int) -> Twin:
    """The twin of a seed with the blocks that it made at last: months that follow each other read the same weeks."""
    return Twin(seed)


class TwinArchive:
    """The twin's network in the shape of a reader's archive (observations.readers.archive.Archive)."""

    simulated = True

    def __init__(self, seed: int = 0):
        self.twin = _kept_twin(seed)
        self.source = f"simulated twin (seed {self.twin.seed})"
        self.stations = self.twin.stations

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour that can be read."""
        return np.datetime64(time_axis.FIRST_DAY, "ns"), np.datetime64(time_axis.LAST_DAY, "ns")

    def parts(self) -> list[ArchivePart]:
        """There are no files: one part that represents the network of this seed."""
        first, last = (stamp.astype("datetime64[h]") for stamp in self.period())
        return [ArchivePart(f"twin {VERSION}, seed {self.twin.seed}", first, last, 0, 0)]

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube, (time, station), of every hour from `start` to `end`, both included."""
        return self.twin.observe(time_axis.complete_hours(start, end))

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """There are no files: how many values there will be, and a hash of what determines them."""
        missing = np.isin(self.twin.faults(time_axis.complete_hours(start, end)), GAPS)
        return Inspection(values=int((~missing).sum()),
                          digest=hashlib.sha256(f"twin {VERSION} {self.twin.seed}".encode()))


def stamps(hours: np.ndarray) -> np.ndarray:
    """End-of-hour stamps, datetime64[ns], of hours since 1970."""
    return hours.astype("datetime64[h]").astype("datetime64[ns]")


def consecutive_hours(time) -> np.ndarray:
    """Hours since 1970 of a complete hourly axis; anything else is a ValueError."""
    hours = hour_index(time)
    if hours.ndim != 1 or hours.size == 0 or (np.diff(hours) != 1).any():
        raise ValueError("the twin's network needs at least one hour, and hours that are consecutive and in order")
    return hours


def companions(pm25: np.ndarray, middle: np.ndarray, urban_share: np.ndarray,
               factor: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The other five pollutants, (hours, stations), in units of schema.UNITS.

    Rules of thumb: coarse dust in spring, NO2 of cities and rush hours, CO with PM2.5, ozone on summer
    afternoons. PM10 is always above PM2.5.

    pm25 : ug m-3, (hours, stations); middle : hours since 1970, (hours,)
    urban_share : 0 to 2, (stations,); factor : a random factor for each pollutant, (hours, stations)
    """
    winter = np.cos(year_angle(middle)).astype(np.float32)[:, None]
    spring = np.exp(2 * np.cos(year_angle(middle) - np.pi / 2) - 2).astype(np.float32)[:, None]
    angle = (2 * np.pi / 24 * (middle + time_axis.UTC_OFFSET_HOURS)).astype(np.float32)[:, None]
    afternoon = np.cos(angle - 2 * np.pi * 15 / 24)
    rush = np.cos(2 * (angle - 2 * np.pi * 8.5 / 24))
    haze = (pm25 / 45) ** 0.35
    traffic = 1 + 0.3 * winter + 0.12 * rush - 0.2 * afternoon
    sunlight = 1 + (0.55 - 0.1 * winter) * afternoon
    return {
        "pm10": pm25 * (1.1 + 0.25 * factor["pm10"]) + 15 + 35 * spring * factor["pm10"] ** 3,
        "so2": 9 * (1 + 0.5 * winter) * haze * factor["so2"] ** 1.5,
        "no2": (14 + 13 * urban_share) * traffic * haze * factor["no2"],
        "co": 0.3 + 0.011 * pm25 * factor["co"],
        "o3": (62 - 34 * winter) * sunlight * (1 - 0.1 * urban_share) * factor["o3"],
    }
