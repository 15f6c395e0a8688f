"""Percentiles of the days of a period, of the best estimate and of draws of the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CACHED_PLACES = 256  # whose days are drawn at once


def percentiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles (shares, places) over steps (steps, places), linear between two (HJ 663-2013; Hyndman and Fan's 7th
    kind); NaN is left out, and NaN where there is nothing. `shares` in percent."""
    by_place = np.ascontiguousarray(np.asarray(values, np.float32).T)
    found = np.full((len(shares), len(by_place)), np.nan, np.float32)
    for count, places in _by_count(by_place):
        found[:, places] = _of_rows(np.where(np.isnan(by_place[places]), np.inf, by_place[places]), count, shares)
    return found


def drawn_percentiles(estimate: np.ndarray, scale: np.ndarray, draws: np.ndarray,
                      shares: Sequence[float]) -> np.ndarray:
    """Percentiles (shares, draws, places) of estimate + z * scale, which are not negative.

    `estimate`, `scale` (steps, places), ug m-3; `draws` z (steps, draws).
    """
    found = np.full((len(shares), draws.shape[1], estimate.shape[1]), np.nan, np.float32)
    by_draw = np.ascontiguousarray(draws.T)
    for first in range(0, estimate.shape[1], CACHED_PLACES):
        some = slice(first, first + CACHED_PLACES)
        e, s = (np.ascontiguousarray(array[:, some].T, np.float32) for array in (estimate, scale))
        for count, places in _by_count(e):
            missing = np.isnan(e[places])
            mine, width = np.where(missing, np.inf, e[places]), np.where(missing, 0.0, s[places])
            truth = np.empty_like(mine)
            for number, z in enumerate(by_draw):
                np.multiply(width, z, out=truth)
                truth += mine
                np.maximum(truth, 0, out=truth)
                found[:, number, first + places] = _of_rows(truth, count, shares)
    return found


def _by_count(by_place: np.ndarray):
    """Numbers of values, and the places (n,) that have so many of them; but for 0."""
    counts = np.isfinite(by_place).sum(axis=1)
    for count in np.unique(counts[counts > 0]):
        yield int(count), np.flatnonzero(counts == count)


def _of_rows(rows: np.ndarray, count: int, shares: Sequence[float]) -> np.ndarray:
    """Percentiles (shares, rows) of rows (rows, steps) of which `count` are finite and the others infinite."""
    places = [(count - 1) * share / 100.0 for share in shares]
    wanted = sorted({int(np.floor(at)) for at in places} | {int(np.ceil(at)) for at in places})
    ordered = np.partition(rows, wanted, axis=1)
    found = []
    for at in places:
        low, high = (ordered[:, int(edge(at))] for edge in (np.floor, np.ceil))
        found.append(low + (high - low) * np.float32(at - np.floor(at)))
    return np.stack(found)
