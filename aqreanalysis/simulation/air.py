"""The air of the twin: PM2.5 of a simulated northern China as a function of seed, place and hour.

    PM2.5(place, hour) = ceiling((background + transport) * exp(pattern))

*Transport* collects the emissions along a back-trajectory of `HISTORY_HOURS` in a simulated wind, on
nodes of half a degree every three hours, and is spread between them by cubic B-splines, which are
smooth and never negative. *Pattern* is a sum of products of a feature of the place and a feature of the
hour, so that a block of hours at many places is one matrix product: mountains and cities, season and
time of day, and random fields of four scales that drift with the mean wind.

There is no state from hour to hour. Random numbers are drawn under the key (seed, purpose, index), so that
an hour alone has the same values as in a long period. Matrix products are summed in float64 and kept in
float32, so that their order (threads, other places) has no effect. Weather is computed on a plane with true
lengths at 36 N (km); the cities' own patterns use distances on the sphere.

All strengths were chosen to resemble the region's climate; none is an emission inventory.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import ndimage, sparse

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.simulation.land import MAP_KM, MAP_SOUTH, MAP_WEST, emissions, mountain_air, plane, urban

AIR_MARGIN = 1.0               # degrees around schema.REGION_EDGES where the truth is known
AIR_BLOCK_HOURS = 48           # hours are computed in blocks that begin at multiples of this since 1970
CHUNK_POINTS = 2048            # places that are computed at once; bounds the memory

NODE_DEGREES, NODE_HOURS = 0.5, 3
HISTORY_HOURS, LIFETIME_HOURS = 36, 24.0
DISPERSION_KM2_PER_HOUR = 200.0  # a plume is 100 km wide (one sigma) after a day

BACKGROUND, TRANSPORT = 11.0, 2.8  # ug m-3; scale of the transported part
CEILING = 950.0                # ug m-3; approached, never exceeded
CALM_SPEED = 14.0              # km h-1; above it ventilation clears the air
SEASON, SEASON_PEAK_DAY = 0.45, 10
YEAR_HOURS = 365.2425 * time_axis.HOURS_PER_DAY


@dataclass(frozen=True)
class Band:
    """A random field of one scale: wavelengths in km, standard deviation in log, hours between knots."""

    name: str
    shortest: float
    longest: float
    sigma: float
    knot_hours: int
    waves: int


BANDS = (Band("episodes", 1200, 3500, 0.48, 60, 32), Band("regions", 350, 900, 0.30, 15, 48),
         Band("districts", 110, 320, 0.26, 6, 72), Band("towns", 40, 110, 0.17, 2, 96))
DRIFT = (5.0, -2.0)            # km h-1 east and north, of the random fields
STATIC_BAND = Band("ground", 40, 200, 0.07, 1, 192)  # its knots are not used


def random_generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Random numbers that depend only on the key (seed, purpose, index)."""
    key = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, index, 0], np.uint64)))


def hour_index(time) -> np.ndarray:
    """Whole hours since 1970, int64, of end-of-hour stamps."""
    return np.asarray(time, "datetime64[ns]").astype("datetime64[h]").astype(np.int64)


def spline_weights(fraction) -> np.ndarray:
    """Uniform cubic B-spline: weights (..., 4) of the knots at -1, 0, 1 and 2 around `fraction`."""
    f = np.asarray(fraction, float)[..., None]
    return np.concatenate([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3],
                          axis=-1) / 6.0


def spline_matrix(positions, first: int, count: int) -> np.ndarray:
    """(positions, count) weights of the knots first ... first + count - 1; positions in knot units."""
    cell = np.floor(positions).astype(int)
    matrix = np.zeros((len(positions), count))
    columns = cell[:, None] - 1 - first + np.arange(4)
    np.put_along_axis(matrix, columns, spline_weights(positions - cell), axis=1)
    return matrix


def year_angle(hours) -> np.ndarray:
    """Radians since the cold peak of the year."""
    return 2 * np.pi * (np.asarray(hours, float) / YEAR_HOURS - SEASON_PEAK_DAY / 365.2425)


class RandomField:
    """Plane waves with random amplitudes that change in time: unit features of places, rows of hours."""

    def __init__(self, seed: int, band: Band):
        self.seed, self.band = seed, band
        rng = random_generator(seed, f"waves {band.name}")
        length = band.shortest * (band.longest / band.shortest) ** rng.random(band.waves)
        angle = 2 * np.pi * rng.random(band.waves)
        self.k = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])  # (2, waves)

    def features(self, x, y) -> np.ndarray:
        """(points, 2 waves) float32."""
        phase = (np.outer(x, self.k[0]) + np.outer(y, self.k[1])) % (2 * np.pi)
        phase = phase.astype(np.float32)
        return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)

    def rows(self, hours) -> np.ndarray:
        """(2 waves, hours): times the features, a field of standard deviation `sigma`."""
        knots = hours / self.band.knot_hours
        first = int(np.floor(knots[0])) - 1
        count = int(np.floor(knots[-1])) + 3 - first
        noise = np.stack([random_generator(self.seed, self.band.name, first + i).standard_normal(2 * self.band.waves)
                          for i in range(count)])
        weights = spline_matrix(knots, first, count)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)  # the same variance at every hour
        even, odd = np.split((weights @ noise).T * self.band.sigma / np.sqrt(self.band.waves), 2)
        shift = np.outer(DRIFT @ self.k, hours)
        return np.concatenate([even * np.cos(shift) - odd * np.sin(shift),
                               even * np.sin(shift) + odd * np.cos(shift)])

    def static(self, x, y) -> np.ndarray:
        """(points,): the field with constant amplitudes."""
        amplitudes = random_generator(self.seed, f"static {self.band.name}").standard_normal(2 * self.band.waves)
        return self.features(x, y) @ amplitudes * self.band.sigma / np.sqrt(self.band.waves)


class Wind:
    """Travelling waves without divergence over a seasonal mean, km per hour."""

    WAVES, AMPLITUDE = 10, 8.0  # together about 5 m s-1

    def __init__(self, seed: int):
        rng = random_generator(seed, "wind")
        length, angle = rng.uniform(1300, 3600, self.WAVES), rng.uniform(-1.2, 1.2, self.WAVES)
        period = rng.uniform(72, 192, self.WAVES)  # hours: weather systems of three to eight days, from the west
        self.east, self.north = np.cos(angle), np.sin(angle)
        self.k, self.omega = 2 * np.pi / length, 2 * np.pi / period
        self.phase = rng.uniform(0, 2 * np.pi, self.WAVES)

    def at(self, x, y, hours) -> tuple[np.ndarray, np.ndarray]:
        """Eastward and northward speed, float32, at plane positions (hours, places)."""
        winter = np.cos(year_angle(hours))[:, None]  # monsoon: north-west in winter, south-east in summer
        u = np.broadcast_to((3.0 + 6.0 * winter).astype(np.float32), x.shape).copy()
        v = np.broadcast_to((0.5 - 5.5 * winter).astype(np.float32), x.shape).copy()
        for i in range(self.WAVES):
            turn = ((self.phase[i] - self.omega[i] * hours) % (2 * np.pi)).astype(np.float32)[:, None]
            kx, ky = np.float32(self.k[i] * self.east[i]), np.float32(self.k[i] * self.north[i])
            wave = np.sin(kx * x + ky * y + turn)
            u -= np.float32(self.AMPLITUDE * self.north[i]) * wave
            v += np.float32(self.AMPLITUDE * self.east[i]) * wave
        return u, v


def bilinear(field: np.ndarray, x, y) -> np.ndarray:
    """A map on the plane at positions of any shape; beyond its edges the edge's value."""
    i = np.clip((y - np.float32(MAP_SOUTH)) / np.float32(MAP_KM), 0, field.shape[0] - np.float32(1.001))
    j = np.clip((x - np.float32(MAP_WEST)) / np.float32(MAP_KM), 0, field.shape[1] - np.float32(1.001))
    row, column = i.astype(np.int32), j.astype(np.int32)
    i, j = i - row, j - column
    flat, at = field.ravel(), row * field.shape[1] + column
    below = flat[at] * (1 - j) + flat[at + 1] * j
    above = flat[at + field.shape[1]] * (1 - j) + flat[at + field.shape[1] + 1] * j
    return below * (1 - i) + above * i


class Air:
    """The truth of one seed. `cities` is a table like `land.city_table`."""

    def __init__(self, seed: int, cities: pd.DataFrame):
        self.cities = cities
        self.wind = Wind(seed)
        self.fields = [RandomField(seed, band) for band in BANDS]
        self.ground = RandomField(seed, STATIC_BAND)
        ages = np.arange(NODE_HOURS / 2, HISTORY_HOURS, NODE_HOURS)
        widths = np.sqrt(2 * DISPERSION_KM2_PER_HOUR * ages) / MAP_KM
        sources = emissions(cities)  # one map for each step back in time, wider the older the air is
        self.maps = [ndimage.gaussian_filter(sources, width).astype(np.float32) for width in widths]
        west, east, south, north = schema.REGION_EDGES
        self.edges = (west - AIR_MARGIN, east + AIR_MARGIN, south - AIR_MARGIN, north + AIR_MARGIN)
        self.node_lon = np.arange(west - AIR_MARGIN - 1, east + AIR_MARGIN + 1.01, NODE_DEGREES)
        self.node_lat = np.arange(south - AIR_MARGIN - 1, north + AIR_MARGIN + 1.01, NODE_DEGREES)
        self._places = lru_cache(maxsize=16)(self._compute_places)  # a 0.1 degree grid has 13 chunks

    def pm25(self, hours: np.ndarray, lat, lon) -> np.ndarray:
        """PM2.5, ug m-3, float32 (hours, points), of hours since 1970 at places in degrees."""
        lat, lon = np.asarray(lat, float), np.asarray(lon, float)
        self._check(lat, lon)
        out = np.empty((len(hours), len(lat)), np.float32)
        block_of = hours // AIR_BLOCK_HOURS
        for block in np.unique(block_of):
            at = np.flatnonzero(block_of == block)
            column = hours[at] - block * AIR_BLOCK_HOURS
            transport, rows = self._transport(int(block)), self._rows(int(block))
            for start in range(0, len(lat), CHUNK_POINTS):
                part = slice(start, start + CHUNK_POINTS)
                spread, features = self._places(lat[part].tobytes(), lon[part].tobytes())
                pattern = (features @ rows).astype(np.float32)
                level = (np.float32(BACKGROUND) + spread @ transport) * np.exp(pattern)
                level /= np.sqrt(1 + (level / np.float32(CEILING)) ** 2)
                out[at, part] = level[:, column].T
        return out

    def _check(self, lat: np.ndarray, lon: np.ndarray) -> None:
        west, east, south, north = self.edges
        outside = ~((lon >= west) & (lon <= east) & (lat >= south) & (lat <= north))
        if outside.any():
            i = np.flatnonzero(outside)[0]
            raise UserError(f"The twin has no air at {lat[i]:g} N, {lon[i]:g} E.",
                            f"It covers {west:g} to {east:g} E, {south:g} to {north:g} N.",
                            "Choose a grid inside, or give real observations with --observations.")

    def _transport(self, block: int) -> np.ndarray:
        """The transported part, ug m-3, float32 (nodes, AIR_BLOCK_HOURS)."""
        middle = block * AIR_BLOCK_HOURS + np.arange(AIR_BLOCK_HOURS) - 0.5  # of the hours that end at the stamps
        first = int(np.floor(middle[0] / NODE_HOURS)) - 1
        count = int(np.floor(middle[-1] / NODE_HOURS)) + 3 - first
        at_knots = self._along_trajectories(NODE_HOURS * (first + np.arange(count, dtype=float)))
        weights = spline_matrix(middle / NODE_HOURS, first, count)
        return np.ascontiguousarray((weights @ at_knots).T, dtype=np.float32)

    def _along_trajectories(self, hours) -> np.ndarray:
        """Emissions along the way to every node, with decay and ventilation, float32 (hours, nodes)."""
        x, y = plane(*(a.ravel() for a in np.meshgrid(self.node_lat, self.node_lon, indexing="ij")))
        x, y = (np.tile(a.astype(np.float32), (len(hours), 1)) for a in (x, y))
        total = np.zeros_like(x)
        for step, sources in enumerate(self.maps):
            u, v = self.wind.at(x, y, hours - step * NODE_HOURS)
            if step == 0:
                ventilation = 1 / (1 + (u**2 + v**2) / np.float32(CALM_SPEED**2)) ** 0.5
            half = np.float32(NODE_HOURS / 2)
            age = (step + 0.5) * NODE_HOURS
            decay = np.float32(TRANSPORT * NODE_HOURS * np.exp(-age / LIFETIME_HOURS))
            total += decay * bilinear(sources, x - u * half, y - v * half)
            x, y = x - 2 * half * u, y - 2 * half * v
        return total * ventilation

    def _rows(self, block: int) -> np.ndarray:
        """Features of the block's hours, (features, AIR_BLOCK_HOURS)."""
        middle = block * AIR_BLOCK_HOURS + np.arange(AIR_BLOCK_HOURS) - 0.5
        winter = np.cos(year_angle(middle))
        clock_angle = 2 * np.pi / 24 * (middle + time_axis.UTC_OFFSET_HOURS)
        night = (0.12 + 0.03 * winter) * np.cos(clock_angle - 2 * np.pi * 2.5 / 24)
        rush = 0.05 * np.cos(2 * (clock_angle - 2 * np.pi * 9.5 / 24))
        spread = 0.5 * sum(band.sigma**2 for band in BANDS)  # keeps the mean independent of the bands
        common = SEASON * winter + night + rush - spread
        rows = [np.ones(AIR_BLOCK_HOURS), common, winter + 4 * rush, *(f.rows(middle) for f in self.fields)]
        return np.concatenate([np.atleast_2d(row) for row in rows])

    def _compute_places(self, lat_bytes: bytes, lon_bytes: bytes) -> tuple[sparse.csr_array, np.ndarray]:
        """B-spline weights (points, nodes) and features (points, features) of places."""
        lat, lon = np.frombuffer(lat_bytes), np.frombuffer(lon_bytes)
        x, y = plane(lat, lon)
        city = urban(lat, lon, self.cities)
        static = 0.14 * city + np.log(mountain_air(lat, lon)) + self.ground.static(x, y)
        columns = [static, np.ones(len(lat)), 0.05 * city, *(f.features(x, y) for f in self.fields)]
        return self._spread(lat, lon), np.column_stack(columns)

    def _spread(self, lat, lon) -> sparse.csr_array:
        """B-spline weights of the 16 nodes around each place, (points, nodes) float32."""
        row, column = ((value - nodes[0]) / NODE_DEGREES for value, nodes in
                       ((lat, self.node_lat), (lon, self.node_lon)))
        i, j = np.floor(row).astype(int), np.floor(column).astype(int)
        weight = spline_weights(row - i)[:, :, None] * spline_weights(column - j)[:, None, :]
        node = ((i[:, None] - 1 + np.arange(4))[:, :, None] * len(self.node_lon)
                + (j[:, None] - 1 + np.arange(4))[:, None, :])
        n = len(lat)
        ends = np.arange(0, 16 * n + 1, 16)
        return sparse.csr_array((weight.astype(np.float32).ravel(), node.ravel(), ends),
                                shape=(n, len(self.node_lat) * len(self.node_lon)))
