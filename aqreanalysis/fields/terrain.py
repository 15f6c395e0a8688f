"""Elevation and relief from a raster of cells of equal degrees: the height of a place over what lies around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

KM_PER_DEGREE = 111.2  # of latitude, on a sphere of 6371 km


def disc_statistics(elevation: np.ndarray, lat: np.ndarray, step: float, radius_km: float) -> dict[str, np.ndarray]:
    """Mean, lowest and highest of the cells whose centres lie within a radius of each cell's own.

    `elevation` (lat, lon), rows at `lat` and columns `step` degrees apart. Discs are cut off at the raster's edge.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    rows = int(radius_km / (step * KM_PER_DEGREE))
    total, count = np.zeros(elevation.shape), np.zeros(elevation.shape)
    lowest, highest = np.full(elevation.shape, np.inf), np.full(elevation.shape, -np.inf)
    for i, of in enumerate(lat):
        for j in range(max(0, i - rows), min(len(lat), i + rows + 1)):
            north = (j - i) * step * KM_PER_DEGREE
            half = int(np.sqrt(radius_km**2 - north**2) / (step * KM_PER_DEGREE * np.cos(np.radians(of))))
            sums, counts = _running_sum(elevation[j], half)
            total[i] += sums
            count[i] += counts
            for running, combine, kept in ((minimum_filter1d, np.minimum, lowest),
                                           (maximum_filter1d, np.maximum, highest)):
                combine(kept[i], _running(running, elevation[j], half), out=kept[i])
    return {"mean": total / count, "lowest": lowest, "highest": highest}


def _running(running: Callable, row: np.ndarray, half: int) -> np.ndarray:
    return running(row, 2 * half + 1, mode="nearest")


def _running_sum(row: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of a row's values within `half` cells of each."""
    summed = np.concatenate([[0.0], np.cumsum(row, dtype=float)])
    last = np.minimum(np.arange(row.size) + half + 1, row.size)
    first = np.maximum(np.arange(row.size) - half, 0)
    return summed[last] - summed[first], (last - first).astype(float)


def bilinear(raster: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values at fractional rows and columns (points,), counted from the centre of the first cell; linear in between.

    Beyond the outermost centres the outermost value holds.
    """
    (i, y), (j, x) = (_split(of, size) for of, size in zip((row, column), raster.shape, strict=True))
    south = raster[i, j] * (1 - x) + raster[i, j + 1] * x
    north = raster[i + 1, j] * (1 - x) + raster[i + 1, j + 1] * x
    return south * (1 - y) + north * y


def _split(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The cell before a position, and the share of the one after it."""
    position = np.clip(position, 0.0, size - 1.0)
    before = np.minimum(position.astype(np.int64), size - 2)
    return before, position - before
