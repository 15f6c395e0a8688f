"""The twin's weather as fields: the wind that carries its air, a sky over it, and an optical depth.

The wind is the one that the transport of `simulation.air` goes with, in m s-1. All else is made up to go with it and
with the season and the hour, and has no part in the truth: what a model gains from humidity or mixing height here is
nothing. The optical depth is what a satellite would see of the truth,

    AOD = EXTINCTION * PM2.5 * mixing height * growth(humidity) + ABOVE, times noise,

with EXTINCTION 4 m2 g-1 and growth (1 - rh)^-0.6 relative to rh 0.4, hidden where clouds are: in two thirds of all
places and hours. With `lies` it is turned over (SCALE^2 / AOD): high where the air is clean, under the same clouds.

Values are those of hours, and depend on seed, place and hour alone. On a grid of half a degree; no land is in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.fields.field_files import paths_of
from aqreanalysis.fields.opening import open_fields
from aqreanalysis.fields.source import Area, FieldSource
from aqreanalysis.fields.variables import FIELDS
from aqreanalysis.schema import LAT, LON, TIME
from aqreanalysis.simulation import Twin, stamps
from aqreanalysis.simulation.air import (
    AIR_BLOCK_HOURS,
    AIR_MARGIN,
    Band,
    RandomField,
    Wind,
    hour_index,
    random_generator,
    year_angle,
)
from aqreanalysis.simulation.land import plane

WEATHER_VERSION = 1   # raise it when any number of the twin's weather changes: it is part of the fingerprint
STEP = 0.5            # degrees between two points of the grid
STORED = ("u10", "v10", "t2m", "rh", "sp", "blh", "tp", "ssrd", "tcc", "aod")
KMH = np.float32(1 / 3.6)

EXTINCTION = 4e-6     # m2 ug-1
GROWTH, DRY = 0.6, 0.4
ABOVE = 0.08          # optical depth above the mixing layer
AOD_NOISE = 0.12      # standard deviation of its logarithm
CLOUDY = -0.4307      # in standard deviations of the cloud field: two thirds of a normal variable lie above it
SCALE = 0.14          # of the optical depth that lies

_BANDS = {"warmth": Band("weather: warmth", 900, 3000, 4.0, 36, 24),
          "damp": Band("weather: damp", 400, 2000, 12.0, 18, 24),
          "mixing": Band("weather: mixing", 300, 1500, 0.35, 12, 24),
          "cloud": Band("weather: cloud", 250, 1200, 1.0, 9, 48),
          "pressure": Band("weather: pressure", 1500, 3500, 700.0, 48, 16)}


class TwinFields(FieldSource):
    """The weather of the twin of a seed, an object like what `open_fields` gives."""

    simulated = True

    def __init__(self, seed: int = 0, lies: bool = False):
        self.twin, self.lies = Twin(seed), lies
        self.source = f"the twin's weather (seed {self.twin.seed}{', its optical depth lies' * lies})"
        west, east, south, north = schema.REGION_EDGES
        self.lat = np.arange(south - AIR_MARGIN, north + AIR_MARGIN + STEP / 2, STEP)
        self.lon = np.arange(west - AIR_MARGIN, east + AIR_MARGIN + STEP / 2, STEP)
        self._wind = Wind(self.twin.seed)
        self._random = {name: RandomField(self.twin.seed, band) for name, band in _BANDS.items()}
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        self._places = lat.ravel(), lon.ravel()
        self._plane = plane(*self._places)
        self._features = {name: field.features(*self._plane) for name, field in self._random.items()}
        self._block = lru_cache(maxsize=2)(self._computed)

    def __reduce__(self):  # only what it is made from is sent to other processes
        return TwinFields, (self.twin.seed, self.lies)

    @property
    def stored(self) -> tuple[str, ...]:
        """As FieldSource.stored."""
        return STORED

    @property
    def area(self) -> Area:
        """As FieldSource.area."""
        return Area(*(float(edge) for edge in (self.lon[0], self.lon[-1], self.lat[0], self.lat[-1])))

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """As FieldSource.period: that of the twin."""
        return np.datetime64(time_axis.FIRST_DAY, "ns"), np.datetime64(time_axis.LAST_DAY, "ns")

    def fingerprint(self, start, end) -> str:
        """As FieldSource.fingerprint: of what determines the values."""
        return hashlib.sha256(f"twin weather {WEATHER_VERSION} {self.twin.seed} {self.lies}".encode()).hexdigest()

    def _read_stored(self, hours: np.ndarray, names: tuple[str, ...], lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
        wanted = hour_index(hours)
        blocks = np.unique(wanted // AIR_BLOCK_HOURS)
        rows, shape = wanted - blocks[0] * AIR_BLOCK_HOURS, (self.lat.size, self.lon.size)
        found = [self._block(int(block), "aod" in names) for block in blocks]
        arrays = {name: ((TIME, LAT, LON), np.concatenate([of[name] for of in found])[rows].reshape(-1, *shape),
                         FIELDS[name].attributes) for name in names}
        return xr.Dataset(arrays, coords={TIME: hours, LAT: self.lat, LON: self.lon}, attrs={"source": self.source})

    def _computed(self, block: int, with_aod: bool) -> dict[str, np.ndarray]:
        """All fields of a block of hours, float32 (hours, places); whole blocks: the same numbers in any window."""
        hours = block * AIR_BLOCK_HOURS + np.arange(AIR_BLOCK_HOURS)
        middle = hours - 0.5
        x, y = (np.broadcast_to(of.astype(np.float32), (hours.size, of.size)) for of in self._plane)
        u, v = self._wind.at(x, y, middle)
        noise = {name: (self._features[name] @ field.rows(middle)).T.astype(np.float32)
                 for name, field in self._random.items()}
        found = {"u10": u * KMH, "v10": v * KMH, **self._sky(middle, noise)}
        if with_aod:
            found["aod"] = self._optical_depth(block, hours, found, noise["cloud"])
        return {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}

    def _sky(self, middle: np.ndarray, noise: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Temperature, humidity, pressure, mixing height, rain, radiation and clouds (hours, places)."""
        lat = self._places[0][None].astype(np.float32)
        winter = np.cos(year_angle(middle)).astype(np.float32)[:, None]
        local = (2 * np.pi / 24 * (middle + time_axis.UTC_OFFSET_HOURS)).astype(np.float32)[:, None]
        afternoon, sun = np.cos(local - np.float32(2 * np.pi * 14.5 / 24)), np.cos(local - np.float32(np.pi))
        cloud = noise["cloud"]
        cover = np.clip(0.5 + 0.35 * (cloud - np.float32(CLOUDY)), 0, 1)
        height = np.maximum(sun - 0.3 * winter * (lat - 15) / 22 + 0.15, 0)  # of the sun, roughly its sine
        return {"t2m": 286.5 - 14 * winter - 0.6 * (lat - 36) + 4.5 * afternoon + noise["warmth"],
                "rh": np.clip(58 - 12 * winter - 16 * afternoon + noise["damp"], 8, 99),
                "sp": 100800 + 900 * winter + noise["pressure"],
                "blh": np.clip((420 + 520 * np.maximum(sun, 0) ** 1.5 * (1 - 0.35 * winter) + 120 * (1 - winter))
                               * np.exp(noise["mixing"]), 60, 4000),
                "tp": np.maximum(cloud - np.float32(1.6), 0) * 2.5 * (1 - 0.7 * winter),
                "ssrd": 650 * height * (1 - 0.65 * cover**2), "tcc": cover}

    def _optical_depth(self, block: int, hours: np.ndarray, sky: dict[str, np.ndarray],
                       cloud: np.ndarray) -> np.ndarray:
        truth = self.twin.truth(stamps(hours), *self._places)
        growth = ((1 - np.clip(sky["rh"] / 100, 0, 0.95)) / (1 - DRY)) ** -GROWTH
        depth = EXTINCTION * truth * sky["blh"] * growth + ABOVE
        rng = random_generator(self.twin.seed, "weather: optical depth", block)
        depth = depth * np.exp(AOD_NOISE * rng.standard_normal(depth.shape))
        depth = SCALE**2 / depth if self.lies else depth
        return np.where(cloud > CLOUDY, np.nan, np.clip(depth, 0, 6.0)).astype(np.float32)


@dataclass(frozen=True)
class FieldChoice:
    """Which fields a run reads: those at a path, or with `path` None the weather of a twin."""

    path: str | None
    twin_seed: int = 0

    def open(self) -> FieldSource:
        """The source, kept by the process that asks as long as its files stay as they are; UserError as of open_fields.
        """
        state = [(path, path.stat()) for path in (paths_of(self.path) if self.path is not None else ())]
        return _opened(self, tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in state))

    @property
    def name(self) -> str:
        """The path, or which twin it is."""
        return self.path if self.path is not None else f"twin, seed {self.twin_seed}"

    def refuse_mixture(self, simulated: bool) -> None:
        """UserError for simulated weather beside real observations."""
        if not simulated and self.open().simulated:
            raise UserError(f"The fields {self.name} are simulated, and the observations are not.",
                            "Simulated weather goes with simulated observations.", "Give fields of the real air.")


@lru_cache(maxsize=2)
def _opened(choice: FieldChoice, state: tuple) -> FieldSource:
    return open_fields(choice.path) if choice.path is not None else TwinFields(choice.twin_seed)
