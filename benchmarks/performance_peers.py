"""Gridding as others do it: the same stations, cells and hours, one process, one thread where it can be set.

A peer takes observations (time, station) and a grid and tells the seconds that an hour takes; slow ones grid a few
hours only, and say so. Stations that are silent in an hour take no part, as in ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

RANGE_KM, NUGGET = 200.0, 0.06


def timed(hours: int, work: Callable[[], object]) -> dict:
    """Seconds an hour of work that grids so many hours, on one thread: those of libraries would be counted too."""
    with threadpool_limits(limits=1):
        began = time.process_time()
        work()
        return {"hours": hours, "seconds_an_hour": (time.process_time() - began) / hours}


def fields(cube, hours: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Longitude, latitude and value of the stations that report, for some hours."""
    found = []
    for values in cube.pm25.values[:hours]:
        there = np.isfinite(values)
        found.append((cube.lon.values[there], cube.lat.values[there], values[there].astype(float)))
    return found


def pykrige(cube, grid, k: int) -> dict:
    """Ordinary kriging with the `k` nearest stations (its compiled loop)."""
    from pykrige.ok import OrdinaryKriging

    def work():
        for lon, lat, values in fields(cube, 1):
            kriging = OrdinaryKriging(lon, lat, values, "exponential", {"psill": 0.94, "range": 5.4, "nugget": NUGGET},
                                      coordinates_type="geographic")
            kriging.execute("points", grid.lon, grid.lat, backend="loop", n_closest_points=k)

    return timed(1, work)


def pykrige_all(cube, grid, k: int) -> dict:
    """Ordinary kriging with all stations (its vectorised solution): quicker than with a few."""
    from pykrige.ok import OrdinaryKriging

    def work():
        for lon, lat, values in fields(cube, 2):
            kriging = OrdinaryKriging(lon, lat, values, "exponential", {"psill": 0.94, "range": 5.4, "nugget": NUGGET},
                                      coordinates_type="geographic")
            kriging.execute("points", grid.lon, grid.lat, backend="vectorized")

    return timed(2, work)


def gstools(cube, grid, k: int) -> dict:
    """Ordinary kriging of GSTools, which takes all stations."""
    import gstools as gs

    def work():
        for lon, lat, values in fields(cube, 1):
            model = gs.Exponential(latlon=True, var=0.94, len_scale=RANGE_KM, nugget=NUGGET, geo_scale=gs.KM_SCALE)
            gs.krige.Ordinary(model, (lat, lon), values)((grid.lat, grid.lon))

    return timed(1, work)


def rbf(cube, grid, k: int) -> dict:
    """scipy's RBFInterpolator with `k` neighbours, hour by hour as the silent stations differ."""
    from scipy.interpolate import RBFInterpolator

    def work():
        for lon, lat, values in fields(cube, 2):
            RBFInterpolator(np.stack([lon, lat], axis=1), values, neighbors=k, kernel="linear")(
                np.stack([grid.lon, grid.lat], axis=1))

    return timed(2, work)


def cached_weights(cube, grid, k: int) -> dict:
    """Inverse distance in numpy: weights of the `k` nearest computed once, silent stations taken out of each hour."""
    from scipy.spatial import cKDTree

    values = cube.pm25.values

    def work():
        scale = np.cos(np.radians(36.0))
        tree = cKDTree(np.stack([cube.lon.values * scale, cube.lat.values], axis=1))
        distance, index = tree.query(np.stack([grid.lon * scale, grid.lat], axis=1), k)
        weight = (1.0 / np.maximum(distance, 1e-6) ** 2).astype(np.float32)
        filled, there = np.nan_to_num(values), np.isfinite(values).astype(np.float32)
        for hour in range(len(values)):
            np.einsum("pk,pk->p", weight, filled[hour][index]) / np.einsum("pk,pk->p", weight, there[hour][index])

    return timed(len(values), work)


def released(cube, grid, k: int) -> dict:
    """Inverse distance as AQ-Net's released code has it: for each cell a loop over the stations; a tenth of the cells.

    Written anew from its description. Cells are independent, so that a tenth of them take a tenth of the time.
    """
    import math

    cells = slice(None, None, 10)

    def haversine(lon1, lat1, lon2, lat2):
        lon1, lat1, lon2, lat2 = map(math.radians, (lon1, lat1, lon2, lat2))
        a = (math.sin((lat2 - lat1) / 2) ** 2
             + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2)
        return 6371.0 * 2 * math.asin(math.sqrt(a))

    def work():
        for lon, lat, values in fields(cube, 1):
            stations = list(zip(lon.tolist(), lat.tolist(), values.tolist(), strict=True))
            for x, y in zip(grid.lon[cells].tolist(), grid.lat[cells].tolist(), strict=True):
                near = sorted((haversine(x, y, *place), value) for *place, value in stations)[:k]
                weights = [1.0 / max(distance, 1e-6) ** 2 for distance, _ in near]
                sum(w * value for w, (_, value) in zip(weights, near, strict=True)) / sum(weights)

    measured = timed(1, work)
    return {"hours": 1, "cells": grid.lat[cells].size,
            "seconds_an_hour": measured["seconds_an_hour"] * grid.size / grid.lat[cells].size}


PEERS = {"PyKrige, k nearest": pykrige, "PyKrige, all stations": pykrige_all, "GSTools, all stations": gstools,
         "scipy RBFInterpolator": rbf, "inverse distance, cached weights": cached_weights,
         "inverse distance, released code": released}
