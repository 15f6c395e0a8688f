"""Population potential: the people round a place, each counted exp(-d / s) at the distance d, from a list of places.

Sums over places within some 60 km are exact. Those farther off make a smooth field over a block of one degree: its
logarithm is computed at 36 nodes of the block and interpolated by polynomials. A block's nodes and its near places
depend on nothing but the block, so the value at a point does not depend on which other points are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aqreanalysis import geo

BLOCK = 1.0        # degrees
NEAR_KM = 60.0     # beyond the farthest corner of a block: whose places are summed one by one
NODES = 6          # of the polynomial, along each side of a block
FAR_SCALES = 16.0  # scales beyond a block; a person farther off counts less than 1e-7
LEAST = 1e-3       # people; below it a far field is nothing, and its logarithm stays finite
_PAIRS = 1 << 16   # of a point and a place at a time: what a core's cache holds

# Chebyshev's, on [-1, 1]: no other nodes keep a polynomial of this degree closer to what it interpolates.
_AT = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
_BARYCENTRIC = (-1.0) ** np.arange(NODES) * np.sin(np.pi * (np.arange(NODES) + 0.5) / NODES)


class PopulationPotential:
    """Sums over places of people x exp(-distance / scale).

    Parameters
    ----------
    lat, lon : places, degrees, (places,).
    population : people, (places,).
    scales : distances, km, at which a person counts 1/e.
    """

    def __init__(self, lat, lon, population, scales: tuple[float, ...]):
        self._places = geo.unit_vectors(lat, lon)  # (places, 3)
        self._population = np.asarray(population, float)
        self._scales = scales
        self._blocks: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def at(self, lat, lon) -> np.ndarray:
        """People, float64 (points, scales), at places in degrees (points,), all finite."""
        lat, lon = np.asarray(lat, float), np.asarray(lon, float)
        found = np.empty((lat.size, len(self._scales)))
        for block, index in _by_block(lat, lon):
            near, far = self._block(block)
            step = max(1, _PAIRS // max(near.size, NODES * NODES))
            for first in range(0, index.size, step):
                part = index[first:first + step]
                points = geo.unit_vectors(lat[part], lon[part])
                within = [(coordinate[part] - start) / BLOCK * 2 - 1
                          for coordinate, start in zip((lat, lon), _corner(block), strict=True)]
                found[part] = _sums(points, self._places[near], self._population[near], self._scales)
                found[part] += _interpolated(far, *within)
        return found

    def _block(self, block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Index of a block's near places, and the logarithm of the far field (scales, NODES * NODES) at its nodes."""
        if block not in self._blocks:
            south, west = _corner(block)
            side = (_AT + 1) / 2 * BLOCK
            nodes = geo.unit_vectors(np.repeat(south + side, NODES), np.tile(west + side, NODES))
            corners = geo.unit_vectors([south, south, south + BLOCK, south + BLOCK], [west, west + BLOCK] * 2)
            centre = geo.unit_vectors(south + BLOCK / 2, west + BLOCK / 2)
            reach = geo.chord_to_km(np.linalg.norm(corners - centre, axis=1)).max() + NEAR_KM
            distance = geo.chord_to_km(np.linalg.norm(self._places - centre, axis=1))
            far = np.empty((len(self._scales), NODES * NODES))
            for of, scale in zip(far, self._scales, strict=True):
                index = np.flatnonzero((distance > reach) & (distance <= reach + FAR_SCALES * scale))
                of[:] = _sums(nodes, self._places[index], self._population[index], (scale,))[:, 0]
            self._blocks[block] = np.flatnonzero(distance <= reach), np.log(far + LEAST)
        return self._blocks[block]


def _corner(block: tuple[int, int]) -> tuple[float, float]:
    return block[0] * BLOCK, block[1] * BLOCK


def _by_block(lat: np.ndarray, lon: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Blocks, each with the index of its points."""
    row, column = np.floor(lat / BLOCK).astype(np.int64), np.floor(lon / BLOCK).astype(np.int64)
    key = row * 4096 + column
    order = np.argsort(key, kind="stable")
    for index in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
        if index.size:
            yield (int(row[index[0]]), int(column[index[0]])), index


def _sums(points: np.ndarray, places: np.ndarray, population: np.ndarray, scales: tuple[float, ...]) -> np.ndarray:
    """(points, scales), each row summed in one order: a matrix product's would depend on how many rows there are."""
    squares = np.zeros((len(points), len(places)))
    for axis in range(3):
        difference = points[:, None, axis] - places[None, :, axis]
        squares += difference * difference
    # 2 R arcsin(chord / 2) as a series, to 1 m in 2000 km
    distance = np.sqrt(squares) * ((1 + squares * (1 / 24 + squares * (3 / 640))) * geo.EARTH_RADIUS_KM)
    return np.stack([(population * np.exp(distance * (-1 / scale))).sum(axis=1) for scale in scales], axis=1)


def _interpolated(far: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(points, scales) of the far field at places of a block, -1 to 1 from south to north and west to east."""
    weights = (_lagrange(y)[:, :, None] * _lagrange(x)[:, None, :]).reshape(len(x), -1)
    logarithm = np.stack([(weights * nodes).sum(axis=1) for nodes in far], axis=1)
    return np.maximum(np.exp(logarithm) - LEAST, 0.0)


def _lagrange(x: np.ndarray) -> np.ndarray:
    """Weights (points, NODES) of the nodes' values in the polynomial through them."""
    distance = x[:, None] - _AT
    on_node = distance == 0
    distance[on_node] = 1.0
    weights = _BARYCENTRIC / distance
    weights /= weights.sum(axis=1, keepdims=True)
    hit = on_node.any(axis=1)
    weights[hit] = on_node[hit]
    return weights
