"""The network of the twin: the places of its stations, the noise of its instruments and how they fail.

Stations stand in clusters of 3 to 12 in the cities and singly in the counties between them. Faults are
events, drawn under the key (seed, kind, slot of time): at most one for each station and slot. A window
starts as far back as the longest event lasts, so that an event is the same in every window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis import geo, schema
from aqreanalysis.grids import boundaries
from aqreanalysis.simulation.air import random_generator

STATIONS = 640
CLUSTER_KM = 12.0              # radius of a city's stations
CLEAR_OF_CITIES_KM = 1.5 * CLUSTER_KM   # of the single stations
REPRESENTATIVENESS = 0.04      # standard deviation of a station's constant offset, in log
NOISE = {"pm25": (3.0, 0.05), "pm10": (5.0, 0.05), "so2": (1.0, 0.05), "no2": (2.0, 0.05),
         "co": (0.03, 0.05), "o3": (3.0, 0.03)}  # constant (units of schema.UNITS) and share of the value
DECIMALS = dict.fromkeys(schema.POLLUTANTS, 0) | {"co": 1}
SMALLEST = dict.fromkeys(schema.POLLUTANTS, 1.0) | {"co": 0.1}  # that instruments report


@dataclass(frozen=True)
class Fault:
    """A kind of fault: `chance` of one event for each station in each slot; durations log-uniform.

    Of an event's hours the first and every `every_hours`-th after it are bad.
    """

    name: str
    slot_hours: int
    chance: float
    shortest: int
    longest: int
    network_wide: bool = False
    every_hours: int = 1


# A later kind hides an earlier one. A gap takes all six pollutants, "pm25_above_pm10" lowers PM10, all
# others affect only PM2.5. "periodic" is an automatic calibration that enters the values once a day,
# "biased" a wrong flow, "drifting" an ageing lamp, "noisy" a loose contact.
FAULT_KINDS = (Fault("noisy", 720, 0.03, 12, 96),
         Fault("biased", 720, 0.03, 12, 96),
         Fault("drifting", 720, 0.03, 24, 96),
         Fault("periodic", 720, 0.05, 120, 360, every_hours=24),
         Fault("spike", 720, 0.35, 1, 1),
         Fault("pm25_above_pm10", 120, 0.30, 1, 6),
         Fault("missing_code", 720, 0.30, 1, 3),
         Fault("stuck", 720, 0.08, 12, 72),
         Fault("gap_hour", 24, 0.60, 1, 1),
         Fault("gap_run", 240, 0.16, 2, 240),
         Fault("outage", 1464, 1.0, 1, 48, network_wide=True))
FAULTS = {"none": 0} | {kind.name: code for code, kind in enumerate(FAULT_KINDS, start=1)}
GAPS = tuple(FAULTS[name] for name in ("gap_hour", "gap_run", "outage"))
LONGEST_STUCK = next(kind.longest for kind in FAULT_KINDS if kind.name == "stuck")
CODES = (-999.0, 9999.0)


def place_stations(seed: int, cities: pd.DataFrame) -> pd.DataFrame:
    """The stations: station_id, name, city, lon, lat (degrees)."""
    rng = random_generator(seed, "stations")
    rows: list[tuple[str, str, float, float]] = []
    for name, lat, lon, size in zip(cities["name"], cities["lat"], cities["lon"], cities["size"], strict=True):
        count = int(np.clip(round(2.4 * size**0.5 + rng.uniform(0, 1.5)), 3, 12))
        rows += [(f"{name} {i + 1}", name, *near_city(rng, lat, lon, i / count)) for i in range(count)]
    rows = [row for row in rows if in_region(*row[2:])]
    counties = county_sites(rng, cities)
    while len(rows) < STATIONS:
        rows.append(next(counties))
    table = pd.DataFrame(rows[:STATIONS], columns=["name", "city", "lat", "lon"])
    table.insert(0, "station_id", [f"T{i + 1:04d}" for i in range(STATIONS)])
    return table[["station_id", "name", "city", "lon", "lat"]]


def in_region(lat: float, lon: float) -> bool:
    """Whether a place lies in the region."""
    west, east, south, north = schema.REGION_EDGES
    return west <= lon <= east and south <= lat <= north


def near_city(rng: np.random.Generator, lat: float, lon: float, share: float) -> tuple[float, float]:
    """A place on land; at least `share` of the cluster's area lies nearer to the centre."""
    while True:
        away = CLUSTER_KM * np.sqrt(share + rng.uniform(0, 0.9) * (1 - share))
        angle = rng.uniform(0, 2 * np.pi)
        north, east = away * np.cos(angle), away * np.sin(angle)
        place = offset(lat, lon, north, east)
        if boundaries.is_land(*place):
            return place


def offset(lat: float, lon: float, north_km: float, east_km: float) -> tuple[float, float]:
    """The place some km away, degrees with four decimals (11 m)."""
    km = np.radians(1.0) * geo.EARTH_RADIUS_KM
    return (round(float(lat + north_km / km), 4),
            round(float(lon + east_km / km / np.cos(np.radians(lat))), 4))


def county_sites(rng: np.random.Generator, cities: pd.DataFrame) -> Iterator[tuple[str, str, float, float]]:
    """Name, city, lat and lon of places between a city and one of its four neighbours, on land and outside clusters."""
    neighbour, _ = geo.nearest(cities["lat"], cities["lon"], cities["lat"], cities["lon"], 5)
    position = cities[["lat", "lon"]].to_numpy()
    number = dict.fromkeys(cities["name"], 0)
    while True:
        here = rng.integers(len(cities))
        there = neighbour[here, rng.integers(1, 5)]
        lat, lon = position[here] + rng.uniform(0.3, 0.5) * (position[there] - position[here])
        lat, lon = offset(lat, lon, *rng.normal(0, 8, 2))
        clear = geo.distance_km(lat, lon, position[:, 0], position[:, 1]).min() > CLEAR_OF_CITIES_KM
        if clear and in_region(lat, lon) and boundaries.is_land(lat, lon):
            name = cities["name"].iloc[here]
            number[name] += 1
            yield f"{name} county {number[name]}", name, lat, lon


def station_offset(seed: int, stations: int) -> np.ndarray:
    """Constant factor between a station and its surroundings, (stations,)."""
    return np.exp(REPRESENTATIVENESS * random_generator(seed, "offset").standard_normal(stations))


def measure(seed: int, hours: np.ndarray, truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What faultless instruments report, float32 (hours, stations): noise, rounding, PM10 >= PM2.5."""
    stations = truth[schema.TARGET].shape[1]
    days, first = hours // 24, hours[0] // 24
    noise = np.concatenate([random_generator(seed, "noise", int(day)).standard_normal(
        (24, len(truth), stations), dtype=np.float32) for day in np.unique(days)])[hours - 24 * first]
    reported = {}
    for i, (name, value) in enumerate(truth.items()):
        constant, share = NOISE[name]
        value = value + np.hypot(np.float32(constant), np.float32(share) * value) * noise[:, i]
        reported[name] = np.maximum(np.round(value, DECIMALS[name]), np.float32(SMALLEST[name]))
    reported["pm10"] = np.maximum(reported["pm10"], reported["pm25"])  # a pair out of order is a fault
    return reported


@dataclass(frozen=True)
class FaultMap:
    """The faults of a window, all (hours, stations)."""

    code: np.ndarray   # uint8 of FAULTS
    begin: np.ndarray  # int64, the event's first hour since 1970
    size: np.ndarray   # float32 in [0, 1), the event's own random number


def map_faults(seed: int, hours: np.ndarray, stations: int) -> FaultMap:
    """The faults of consecutive hours since 1970."""
    shape = (len(hours), stations)
    faults = FaultMap(np.zeros(shape, np.uint8), np.zeros(shape, np.int64), np.zeros(shape, np.float32))
    for kind in FAULT_KINDS:
        begin, length, station, size = events(seed, kind, hours[0], hours[-1], stations)
        event = np.repeat(np.arange(len(begin)), length)
        since = np.arange(len(event)) - np.repeat(np.cumsum(length) - length, length)
        row = begin[event] + since - hours[0]
        bad = (row >= 0) & (row < len(hours)) & (since % kind.every_hours == 0)
        event, row = event[bad], row[bad]
        where = (row, station[event])  # in order of the slots: of two that overlap the later one is kept
        faults.code[where] = FAULTS[kind.name]
        faults.begin[where], faults.size[where] = begin[event], size[event]
    return faults


def events(seed: int, kind: Fault, first: int, last: int,
           stations: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Begin (hours since 1970), length, station and size of every event that may reach first ... last."""
    slots = np.arange((first - kind.longest) // kind.slot_hours, last // kind.slot_hours + 1)
    columns = 1 if kind.network_wide else stations
    chance, begin, length, size = np.stack(
        [random_generator(seed, kind.name, int(slot)).random((4, columns)) for slot in slots], axis=1)
    slot, station = np.nonzero(chance < kind.chance)
    begin = slots[slot] * kind.slot_hours + (begin[slot, station] * kind.slot_hours).astype(np.int64)
    steps = np.log((kind.longest + 1) / kind.shortest)
    length = np.floor(kind.shortest * np.exp(steps * length[slot, station])).astype(np.int64)
    size = size[slot, station]
    if kind.network_wide:
        begin, length, size = (np.repeat(a, stations) for a in (begin, length, size))
        station = np.tile(np.arange(stations), len(begin) // stations)
    return begin, length, station, size


def plant_faults(seed: int, reported: dict[str, np.ndarray], hours: np.ndarray, faults: FaultMap) -> None:
    """Put the faults into the reported values, in place.

    `reported` begins at ``hours[0]``, `LONGEST_STUCK` hours before the first hour whose stuck values
    are wanted: a stuck sensor repeats the value of the hour in which it stuck.
    """
    pm25, pm10 = reported["pm25"], reported["pm10"]
    held = pm25.copy()

    def where(name: str) -> np.ndarray:
        return faults.code == FAULTS[name]

    distort(seed, pm25, hours, faults)
    row, station = np.nonzero(where("stuck") & (faults.begin >= hours[0]))
    pm25[row, station] = held[faults.begin[row, station] - hours[0], station]
    spike = where("spike")
    pm25[spike] = np.round(pm25[spike] + 200 + 700 * faults.size[spike])
    coded = where("missing_code")
    pm25[coded] = np.where(faults.size[coded] < 0.5, *CODES)
    low = where("pm25_above_pm10")
    pm10[low] = np.floor(pm25[low] * (0.3 + 0.5 * faults.size[low]))
    gap = np.isin(faults.code, GAPS)
    for value in reported.values():
        value[gap] = np.nan


def distort(seed: int, pm25: np.ndarray, hours: np.ndarray, faults: FaultMap) -> None:
    """Faults that leave a plausible number: noise, bias, drift and daily calibrations, in place.

    Noise is log-normal with a standard deviation of 0.8 to 1.2 in log; a bias is a factor of 2.5 to 5,
    half of them downwards; a drift gains 3 to 5 % each hour up to five-fold; a calibration adds 60 to 260 ug m-3.
    """
    size = faults.size
    hour, station = np.nonzero(faults.code == FAULTS["noisy"])
    normal = {day: random_generator(seed, "noisy values", int(day)).standard_normal((24, pm25.shape[1]))
              for day in np.unique(hours[hour] // 24)}
    noise = np.array([normal[hours[h] // 24][hours[h] % 24, s] for h, s in zip(hour, station, strict=True)])
    factor = np.ones_like(pm25)
    factor[hour, station] = np.exp((0.8 + 0.4 * size[hour, station]) * noise)
    biased = faults.code == FAULTS["biased"]
    factor[biased] = (2.5 + 5 * np.abs(size[biased] - 0.5)) ** np.where(size[biased] < 0.5, -1, 1)
    drifting = faults.code == FAULTS["drifting"]
    since = (hours[:, None] - faults.begin)[drifting]
    factor[drifting] = np.minimum((1.03 + 0.02 * size[drifting]) ** since, 5)
    added = np.where(faults.code == FAULTS["periodic"], 60 + 200 * size, 0)
    affected = (factor != 1) | (added > 0)
    pm25[affected] = np.maximum(np.round(pm25 * factor + added), SMALLEST["pm25"])[affected]
