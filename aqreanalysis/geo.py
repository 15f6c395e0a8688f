"""Distance and direction on the sphere, in km and radians, the nearest stations, and boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from aqreanalysis.errors import UserError

EARTH_RADIUS_KM = 6371.0088  # IUGG mean radius R1
Box = tuple[float, float, float, float]  # west, south, east, north in degrees


def unit_vectors(lat, lon) -> np.ndarray:
    """Cartesian unit vectors (n, 3), float64, of positions in degrees."""
    lat, lon = np.radians(np.asarray(lat, float)), np.radians(np.asarray(lon, float))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def chord_to_km(chord) -> np.ndarray:
    """Great-circle length in km of a chord of the unit sphere; exact for short and long ones."""
    return 2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(np.asarray(chord) / 2.0, 0.0, 1.0))


def distance_km(lat1, lon1, lat2, lon2) -> np.ndarray:
    """Great-circle distance in km; arguments in degrees, broadcast against each other."""
    difference = unit_vectors(lat1, lon1) - unit_vectors(lat2, lon2)
    return chord_to_km(np.linalg.norm(difference, axis=-1))


def pairwise_distance_km(lat1, lon1, lat2, lon2) -> np.ndarray:
    """Great-circle distances in km, (n, m), between n and m positions in degrees."""
    return distance_km(np.asarray(lat1, float)[:, None], np.asarray(lon1, float)[:, None],
                       np.asarray(lat2, float)[None, :], np.asarray(lon2, float)[None, :])


def bearing(lat1, lon1, lat2, lon2) -> np.ndarray:
    """Initial bearing in radians, clockwise from north, from position 1 to position 2."""
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    dlon = np.radians(np.asarray(lon2, float) - np.asarray(lon1, float))
    east = np.sin(dlon) * np.cos(phi2)
    north = np.cos(phi1) * np.sin(phi2) - np.sin(phi1) * np.cos(phi2) * np.cos(dlon)
    return np.arctan2(east, north)


def nearest(lat, lon, to_lat, to_lon, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` stations nearest to each target.

    Parameters
    ----------
    lat, lon : stations, degrees, (stations,)
    to_lat, to_lon : targets, degrees, (points,)
    k : how many; fewer are returned where the network is smaller.

    Returns
    -------
    index : (points, k) int64, nearest first; ties in the order of the stations.
    distance : (points, k) float64, km.
    """
    if not len(np.atleast_1d(lat)):
        nobody = (len(np.atleast_1d(to_lat)), 0)
        return np.empty(nobody, np.int64), np.empty(nobody)
    tree, targets = cKDTree(unit_vectors(lat, lon)), unit_vectors(to_lat, to_lon)
    k = min(k, tree.n)
    asked, tied = k, True
    while tied:  # a tie that reaches over the k-th place: ask for more, else the tree would choose among them
        asked = min(2 * asked if asked > k else k + 1, tree.n)
        chord, index = tree.query(targets, k=np.arange(1, asked + 1))
        rounded = np.round(chord, 12)
        tied = asked < tree.n and (rounded[:, k - 1] == rounded[:, -1]).any()
    ties = np.flatnonzero((np.diff(rounded, axis=-1) == 0).any(axis=-1))  # few; the tree has the others in order
    order = np.lexsort((index[ties], rounded[ties]), axis=-1)
    for array in (index, chord):
        array[ties] = np.take_along_axis(array[ties], order, axis=-1)
    return np.ascontiguousarray(index[:, :k]), chord_to_km(chord[:, :k])


def check_box(box: Any, name: str = "--box") -> Box:
    """West, south, east and north in degrees; `name` is what the user calls it.

    Raises
    ------
    UserError : for what is not four numbers in this order.
    """
    rule = "A box is west, south, east and north in degrees, west less than east and south less than north."
    fix = f"Example: {name} 113 36 120 41."
    try:
        west, south, east, north = (float(edge) for edge in box)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} {box} is not four numbers.", rule, fix) from error
    text = f"{name} {west:g} {south:g} {east:g} {north:g}"
    if not all(map(math.isfinite, (west, south, east, north))):
        raise UserError(f"{text} is not finite.", rule, fix)
    if max(abs(south), abs(north)) > 90:
        raise UserError(f"{text} has a latitude beyond a pole.", rule, fix)
    if west >= east or south >= north:
        swapped = (min(west, east), min(south, north), max(west, east), max(south, north))
        which = "west is not less than east" if west >= east else "south is not less than north"
        raise UserError(f"{text} is reversed: {which}.", rule,
                        f"Perhaps {name} {' '.join(f'{edge:g}' for edge in swapped)}.")
    return west, south, east, north
