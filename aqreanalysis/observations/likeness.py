"""Which series of a network are those of one instrument: equal hour by hour, but for rounding, unit and clock.

Neighbours a few km apart correlate at 0.99 and are not meant: what counts is the share of the hours in which two series
are equal, of those hours in which one of them has changed, so that stuck sensors are like nobody. Measured in parts of
8 days: no two of the 832 stations of 2019 are equal in more than 65 % of these hours (40 of them), at any lag; the same
instrument in two archives of Beijing (the municipal one and UCI's, which in some months differ in the last digit in 9
values of 10) in 74 to 100 % of some 130.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PIECE_HOURS = 192        # hours that are compared at once
LEAST_SHARE = 0.65       # of the hours with a change: equal in more, two series are one instrument's ...
LEAST_HOURS = 20         # ... if there are so many of these hours
LARGEST_ERROR = 0.5      # over the root of the number of hours: the standard error of a share, at most
CHANGE = 2.0             # times what counts as equal: smaller changes, as of clean air, tell nothing
EQUAL_SHARE = 0.01       # values that differ by no more than this share, or a step of the coarser series, are equal
SAME_UNIT = 0.02         # a ratio this near to 1 is no other unit
LONGEST_LAG = 24         # hours between two clocks
CANDIDATES, TIED = 3, 0.005  # only the most correlated of a station are compared with it hour by hour ...
CORRELATION = 0.9        # ... those over this, of departures ...
TINY = 1e-4              # product of two sums of squares; less is rounding
DEPARTURE = 1.5          # ... of the logarithm from its median, cut here so that no spike or code decides
PAIRS_AT_ONCE, ROWS_AT_ONCE = 2000, 512
DECIMALS = range(5)
WHOLE, WHOLE_SHARE = 0.01, 0.95  # a series has so many decimals if this share of it is whole but for rounding


@dataclass(frozen=True)
class Likeness:
    """Two columns that are equal in `share` of `hours` with a change, where `other` is `lag` hours later."""

    one: int
    other: int
    lag: int
    hours: int
    share: float


def alike(values: np.ndarray, longest_lag: int = LONGEST_LAG) -> list[Likeness]:
    """The pairs of columns of an array (hours, stations) that are one instrument's, each once, with its best lag.

    Values that are missing, zero or negative (codes) are in no comparison.
    """
    values = np.where(values > 0, values, np.nan).astype(np.float64)
    steps = np.array([step(column) for column in values.T])
    found: dict[tuple[int, int], Likeness] = {}
    for lag in range(min(longest_lag, len(values) - LEAST_HOURS) + 1):
        early, late = values[:len(values) - lag], values[lag:]
        for pairs in _candidates(early, late, lag):
            one, other = pairs.T
            hours, share = equal_share(early[:, one], late[:, other], steps[one], steps[other])
            for number in np.flatnonzero(_certain(hours, share)):
                a, b = (int(column) for column in pairs[number])
                key, new = (min(a, b), max(a, b)), Likeness(a, b, lag, int(hours[number]), float(share[number]))
                if key not in found or found[key].share < new.share:
                    found[key] = new
    return [found[key] for key in sorted(found)]


def _certain(hours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Which pairs are one instrument's: by one standard error more than LEAST_SHARE are equal."""
    return (hours >= LEAST_HOURS) & (share - LARGEST_ERROR / np.sqrt(np.maximum(hours, 1)) >= LEAST_SHARE)


def step(values: np.ndarray) -> float:
    """The step of the last decimal that a series is given with: 1 of whole numbers, 0.1, ..., 0.0001."""
    known = values[np.isfinite(values)]
    for decimals in DECIMALS[:-1]:
        scaled = known * 10.0**decimals
        if not len(known) or (np.abs(scaled - np.round(scaled)) < WHOLE).mean() >= WHOLE_SHARE:
            return 10.0**-decimals
    return 10.0 ** -DECIMALS[-1]


def equal_share(one: np.ndarray, other: np.ndarray, step_one: np.ndarray,
                step_other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of series (hours, pairs): the common hours with a change (pairs,), and the share of them that is equal.

    A change is one from the last common hour, of either series, by more than CHANGE times what counts as equal. The
    other's unit is brought to the one's by the median ratio. `step_one`, `step_other` (pairs,): steps of the last
    decimals.
    """
    common = np.isfinite(one) & np.isfinite(other)
    with np.errstate(invalid="ignore"):
        ratio = np.array([np.median(b[both] / a[both]) if both.any() else 1.0
                          for a, b, both in zip(one.T, other.T, common.T, strict=True)])
    ratio = np.where(np.abs(ratio - 1.0) <= SAME_UNIT, 1.0, ratio)
    other = other / ratio
    margin = np.maximum(step_one, step_other / ratio) * (1 + WHOLE) + EQUAL_SHARE * one
    rows = np.arange(len(one))[:, None]
    last = np.maximum.accumulate(np.where(common, rows, -1), axis=0)
    before = np.vstack([np.full((1, one.shape[1]), -1), last[:-1]])
    known, before = common & (before >= 0), np.maximum(before, 0)
    with np.errstate(invalid="ignore"):
        changed = known & np.logical_or(*(np.abs(series - np.take_along_axis(series, before, axis=0)) > CHANGE * margin
                                          for series in (one, other)))
        equal = changed & (np.abs(one - other) <= margin)
    hours = changed.sum(axis=0)
    return hours, equal.sum(axis=0) / np.maximum(hours, 1)


def _candidates(early: np.ndarray, late: np.ndarray, lag: int) -> Iterator[np.ndarray]:
    """Pairs (n, 2) of columns of two arrays (hours, stations) that correlate most; of one array each pair once."""
    a, b = _departures(early), _departures(late)
    for first in range(0, len(a[0].T), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        found = _correlations(a[0][:, rows], a[1][:, rows], *b)
        own = np.arange(len(found))
        found[own, first + own] = 0.0
        best = np.partition(found, -min(CANDIDATES, found.shape[1]), axis=1)[:, -min(CANDIDATES, found.shape[1])]
        pairs = np.argwhere(found >= np.maximum(best - TIED, CORRELATION)[:, None]) + [first, 0]
        if lag == 0:
            pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        yield from (pairs[start:start + PAIRS_AT_ONCE] for start in range(0, len(pairs), PAIRS_AT_ONCE))


def _correlations(a: np.ndarray, at: np.ndarray, b: np.ndarray, bt: np.ndarray) -> np.ndarray:
    """Pearson's r (n, m) of columns of `a` (hours, n), `b` (hours, m) over their common hours, in which `at` and `bt`
    are 1; 0 where it is not defined. `a`, `b` are 0 elsewhere."""
    hours = np.maximum(at.T @ bt, 1)
    sum_a, sum_b = a.T @ bt, at.T @ b
    variances = (((a**2).T @ bt) - sum_a**2 / hours) * ((at.T @ b**2) - sum_b**2 / hours)
    defined = variances > TINY
    return np.where(defined, (a.T @ b - sum_a * sum_b / hours) / np.sqrt(np.where(defined, variances, 1.0)), 0.0)


def _departures(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Departures of the logarithm from each column's median, 0 where missing, and where there is a value; float32."""
    known = np.isfinite(values)
    level = np.log(np.where(known, values, 1.0))
    middle = np.array([np.median(column[there]) if there.any() else 0.0
                       for column, there in zip(level.T, known.T, strict=True)])
    departure = np.where(known, np.clip(level - middle, -DEPARTURE, DEPARTURE), 0.0)
    return departure.astype(np.float32), known.astype(np.float32)
