"""Elevation and relief from a raster of cells of equal degrees: the height of a place over what lies around it."""

from __future__ import annotations

import numpy as np

KM_PER_DEGREE = 111.2  # of latitude, on a sphere of 6371 km


def disc_statistics(elevation: np.ndarray, lat: np.ndarray, step: float, radius_km: float) -> dict[str, np.ndarray]:
    """Mean, lowest and highest of the cells whose centres lie within a radius of each cell's own.

    `elevation` (lat, lon), rows at `lat` and columns `step` degrees apart. Discs are cut off at the raster's edge.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    rows = int(radius_km / (step * KM_PER_DEGREE))
    cell_km = step * KM_PER_DEGREE * np.cos(np.radians(lat))
    summed = np.concatenate([np.zeros((len(lat), 1)), np.cumsum(elevation, axis=1, dtype=float)], axis=1)
    total, count = np.zeros(elevation.shape), np.zeros(elevation.shape)
    lowest, highest = np.full(elevation.shape, np.inf), np.full(elevation.shape, -np.inf)
    for north in range(-rows, rows + 1):  # rows so far north of a cell's own, as wide as the disc is there
        halves = (np.sqrt(radius_km**2 - (north * step * KM_PER_DEGREE) ** 2) / cell_km).astype(int)
        halves[:max(0, -north)] = halves[len(lat) - max(0, north):] = -1  # beyond the raster
        for half in np.unique(halves[halves >= 0]):
            own = np.flatnonzero(halves == half)
            sums, counts = _running_sum(summed[own + north], half)
            total[own] += sums
            count[own] += counts
            for running, combine, kept in ((minimum_filter1d, np.minimum, lowest),
                                           (maximum_filter1d, np.maximum, highest)):
                kept[own] = combine(kept[own], running(elevation[own + north], 2 * half + 1, mode="nearest"))
    return {"mean": total / count, "lowest": lowest, "highest": highest}


def _running_sum(summed: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of rows' values within `half` cells of each, from their cumulative sums, which begin with 0."""
    size = summed.shape[1] - 1
    last = np.minimum(np.arange(size) + half + 1, size)
    first = np.maximum(np.arange(size) - half, 0)
    return summed[:, last] - summed[:, first], (last - first).astype(float)


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
