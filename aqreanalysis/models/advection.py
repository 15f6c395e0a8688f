"""Air that moves: what an hour's field would be if the fields of hours before and after had been carried on.

A semi-Lagrangian view of the observations (Staniforth and Cote 1991, Monthly Weather Review 119, 2206-2223), with the
displacement found by the data alone, as in the extrapolation of radar echoes: no wind is read. For a lag
and a displacement d the *departure* is

    D(x, t) = (F(x - d, t - lag) + F(x + d, t + lag)) / 2 - F(x, t),

F the kriged logarithm of PM2.5. Each displacement is judged by how well it corrects kriging at the
stations round about, each estimated without any station within 40 km, in the hours round t; the departures of all
displacements are averaged with weights that fall with that error. It serves where stations are far: what will be
there in two hours was seen upwind two hours ago.

Everything is computed on the nodes of a lattice of half a degree, the same for every grid, and interpolated
to the targets, bilinear in latitude and longitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from aqreanalysis import geo
from aqreanalysis.models import geostatistics
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import CANDIDATES, octant_search

LAGS = (2,)                   # hours
SPEEDS_KM = (25.0, 50.0, 90.0)
DIRECTIONS = 12
ALONE_KM = 40.0               # a judging station is estimated without the stations this near
JUDGED_KM, JUDGED_HOURS = 130.0, 5  # reach of the judgement: e-folding of a Gaussian, and hours on either side
TRUSTED = 0.4                 # share of a departure that corrects a station's estimate
SHARPNESS = 300.0             # of the weights: per unit of mean absolute error in the logarithm
SHIFT = 15.0                  # ug m-3, added before the logarithm
LATTICE_DEGREES = 0.5
NEIGHBOURS = 20
MARGIN_HOURS = max(LAGS) + JUDGED_HOURS  # that are read beyond the hours asked for
DEGREE_KM = 2 * np.pi * geo.EARTH_RADIUS_KM / 360.0


def displacements() -> np.ndarray:
    """East and north in km, (37, 2): none, and each length in each direction."""
    angle = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    rings = [length * np.stack([np.cos(angle), np.sin(angle)], axis=1) for length in SPEEDS_KM]
    return np.concatenate([np.zeros((1, 2)), *rings])


def opposites() -> np.ndarray:
    """Number of the displacement -d for each d."""
    turned = (np.arange(DIRECTIONS) + DIRECTIONS // 2) % DIRECTIONS
    return np.concatenate([[0], *(1 + ring * DIRECTIONS + turned for ring in range(len(SPEEDS_KM)))])


@dataclass(frozen=True)
class Lattice:
    """Nodes that surround some targets, and the bilinear weights between them."""

    lat: np.ndarray     # of the nodes, degrees
    lon: np.ndarray
    corner: np.ndarray  # int64 (targets, 4), nodes round each target
    weight: np.ndarray  # float32 (targets, 4), sum 1

    @classmethod
    def around(cls, to_lat, to_lon) -> Lattice:
        """Nodes at whole multiples of the lattice's step."""
        row, column = (np.asarray(a, float) / LATTICE_DEGREES for a in (to_lat, to_lon))
        south, west = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
        north, east = row - south, column - west
        places = np.stack([np.stack([south + i, west + j], axis=1) for i in (0, 1) for j in (0, 1)], axis=1)
        weight = np.stack([(1 - north) * (1 - east), (1 - north) * east, north * (1 - east), north * east], axis=1)
        nodes, corner = np.unique(places.reshape(-1, 2), axis=0, return_inverse=True)
        return cls(nodes[:, 0] * LATTICE_DEGREES, nodes[:, 1] * LATTICE_DEGREES, corner.reshape(-1, 4),
                   weight.astype(np.float32))


@dataclass(frozen=True)
class Displaced:
    """Kriging at places displaced by each d: `index`, `weight` (37, places, k) of the stations; `known` (places,)
    where every displacement has a station that takes part."""

    index: torch.Tensor
    weight: torch.Tensor
    known: torch.Tensor

    def of(self, series: torch.Tensor) -> torch.Tensor:
        """Fields (37, places, hours) from series (stations, hours) without gaps."""
        number, places, k = self.index.shape
        rows = number * places
        flat = torch.nn.functional.embedding_bag(self.index.reshape(rows, k), series, mode="sum",
                                                 per_sample_weights=self.weight.reshape(rows, k))
        return flat.view(number, places, series.shape[1])


def displaced(lat, lon, to_lat, to_lon, correlation: Correlation, alone_km: float | None = None) -> Displaced:
    """Kriging weights at every displacement of some places; without the stations within `alone_km` of the place."""
    east, north = displacements().T[:, :, None]
    at_lat = to_lat + north / DEGREE_KM
    at_lon = to_lon + east / (DEGREE_KM * np.cos(np.radians(to_lat)))
    barred = np.zeros((len(to_lat), len(lat)), bool)
    if alone_km is not None:
        barred = geo.pairwise_distance_km(to_lat, to_lon, lat, lon) <= alone_km
    index, weight = _weights(lat, lon, at_lat.ravel(), at_lon.ravel(), correlation, np.tile(barred, (len(east), 1)))
    index, weight = (a.reshape(*at_lat.shape, index.shape[1]) for a in (index, weight))
    known = np.isfinite(weight).all(axis=(0, 2))
    return Displaced(torch.from_numpy(index), torch.from_numpy(np.nan_to_num(weight).astype(np.float32)),
                     torch.from_numpy(known))


def _weights(lat, lon, at_lat, at_lon, correlation: Correlation, barred: np.ndarray):
    """Neighbours (places, k) by octant search and their kriging weights; NaN where all are barred."""
    many = CANDIDATES * NEIGHBOURS
    near = geo.nearest(lat, lon, at_lat, at_lon, many + barred.sum(axis=1).max(initial=0))[0]
    last = np.argsort(np.take_along_axis(barred, near, axis=1), axis=1, kind="stable")  # those that are barred
    near = np.take_along_axis(near, last[:, :many], axis=1)
    bearing = geo.bearing(at_lat[:, None], at_lon[:, None], lat[near], lon[near])
    near = np.take_along_axis(near, octant_search(bearing, min(NEIGHBOURS, near.shape[1])), axis=1)
    to_target = correlation.between(geostatistics.distance_to_target(lat, lon, at_lat, at_lon, near))
    out = np.take_along_axis(barred, near, axis=1)
    to_target = np.where(out, np.nan, to_target)
    among = geostatistics.among_neighbours(lat, lon, near, correlation.among_stations)
    alone = np.eye(near.shape[1])

    def compute(rows):
        of = out[rows]
        return geostatistics.solve(np.where(of[:, :, None] | of[:, None, :], alone, among(rows)), to_target[rows])

    return near, geostatistics.in_batches(compute, len(near))[0]


@dataclass(frozen=True)
class Judges:
    """What is fixed for a set of stations and of nodes: where fields are taken, and who judges for whom."""

    stations: Displaced       # at the stations, none of those near by taking part
    nodes: Displaced
    nearness: torch.Tensor    # float32 (nodes, stations), how much a station's error says about a node


def judges(lat, lon, lattice: Lattice, correlation: Correlation) -> Judges:
    """For stations at lat, lon (degrees) and the nodes of a lattice; from memory where they were seen before."""
    return _judges(*(np.asarray(a, np.float64).tobytes() for a in (lat, lon, lattice.lat, lattice.lon)), correlation)


@lru_cache(maxsize=2)
def _judges(lat: bytes, lon: bytes, node_lat: bytes, node_lon: bytes, correlation: Correlation) -> Judges:
    lat, lon, node_lat, node_lon = (np.frombuffer(a) for a in (lat, lon, node_lat, node_lon))
    distance = geo.pairwise_distance_km(node_lat, node_lon, lat, lon)
    nearness = np.exp(-(distance / JUDGED_KM) ** 2)
    return Judges(displaced(lat, lon, lat, lon, correlation, ALONE_KM),
                  displaced(lat, lon, node_lat, node_lon, correlation),
                  torch.from_numpy(nearness.astype(np.float32)))


def departures(judges: Judges, filled: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Departures (lags, nodes, hours) in the logarithm, for the inner hours.

    Parameters
    ----------
    judges : of these stations and nodes.
    filled : float32 (stations, hours + 2 MARGIN_HOURS), log(PM2.5 + SHIFT) without gaps, little smoothed.
    observed : the same of what was observed, not smoothed; NaN where nothing was.
    """
    at_stations, at_nodes = judges.stations.of(filled), judges.nodes.of(filled)
    turned = torch.from_numpy(opposites())
    hours = filled.shape[1] - 2 * MARGIN_HOURS
    judged = slice(MARGIN_HOURS - JUDGED_HOURS, MARGIN_HOURS + hours + JUDGED_HOURS)
    truth = observed[:, judged] - at_stations[0][:, judged]
    known = torch.isfinite(truth) & judges.stations.known[:, None]
    truth = torch.where(known, truth, 0.0)
    said = judges.nearness @ _windows(known.float())  # (nodes, hours), how much is known there
    trust = said / (said + 0.1 * (2 * JUDGED_HOURS + 1))
    out = []
    for lag in LAGS:
        departure = _departure(at_stations, turned, lag, judged)
        error = torch.where(known, (truth - TRUSTED * departure).abs(), 0.0)
        error = judges.nearness @ _windows(error) / said.clamp_min(1e-6)
        weight = torch.softmax(-SHARPNESS * error, dim=0)
        inner = slice(MARGIN_HOURS, MARGIN_HOURS + hours)
        out.append(trust * (weight * _departure(at_nodes, turned, lag, inner)).sum(dim=0))
    return torch.stack(out)


def _departure(fields: torch.Tensor, turned: torch.Tensor, lag: int, hours: slice) -> torch.Tensor:
    """D (37, places, hours) of a lag from fields at every displacement (37, places, all hours)."""
    before, after = (fields[..., hours.start + step:hours.stop + step] for step in (-lag, lag))
    return 0.5 * (before[turned] + after) - fields[:1, :, hours]


def _windows(series: torch.Tensor) -> torch.Tensor:
    """Sums over JUDGED_HOURS on either side of the inner hours, along the last axis."""
    return series.unfold(-1, 2 * JUDGED_HOURS + 1, 1).sum(dim=-1)
