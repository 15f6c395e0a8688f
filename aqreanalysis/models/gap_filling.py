"""What each station would have read: leave-one-out kriging, its residual, and filled gaps.

A missing value is filled with kriging from the other stations plus what of the station's own residual
outlasts the gap. Kriging with values filled so needs one set of weights for all hours, and
to fill a missing neighbour with its kriging estimate leaves the estimate at the target unchanged
(the projection property of kriging; exact for a common neighbourhood).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from aqreanalysis.models.neighbours import Neighbourhood

REACH_HOURS = 12        # an outage of a whole neighbourhood is bridged this far from its ends, then it is NaN
RESIDUAL_HOURS = 4.0    # e-folding of the lasting part of a station's residual about its mean
LASTING = 0.7           # share of a residual that outlasts its hour; the rest is noise
BIAS_HOURS = 15 * 24    # half width of the window of a station's mean residual
FILLING_NEIGHBOURS = 20         # of a station among the others
SMOOTHING = (0.4, 0.2, 0.1)  # weights of an hour and of those 1 and 2 hours away, on either side
ROUNDS = 3              # of filling from filled neighbours


@dataclass(frozen=True)
class FilledStations:
    """Arrays (time, station), float32."""

    value: np.ndarray     # observed, or filled; NaN only deep inside a network-wide outage
    observed: np.ndarray  # bool
    kriged: np.ndarray    # leave-one-out kriging from the other stations' values
    bias: np.ndarray      # running mean of observed - kriged
    age: np.ndarray       # hours to the nearest observed hour of the station, at most REACH_HOURS


def fill(observed_values: np.ndarray, neighbourhood: Neighbourhood) -> FilledStations:
    """Fill a station series (time, station) in ug m-3; `neighbourhood` leaves each station out."""
    observed = np.isfinite(observed_values)
    weights = matrix(neighbourhood, neighbourhood.weight, observed_values.shape[1])
    positive = matrix(neighbourhood, np.maximum(neighbourhood.weight, 1e-3), observed_values.shape[1])
    lonely = ~observed & (_times(positive, observed) <= 0)
    bridged = bridge(observed_values, lonely)
    present = np.isfinite(bridged)
    known = np.where(present, bridged, 0.0).astype(np.float32)
    reach = _times(positive, present.astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        kriged = _times(positive, known) / reach
    kriged = np.where(reach > 0, kriged, np.nan)
    for _ in range(ROUNDS):
        bias = running_mean(np.where(observed, observed_values - kriged, np.nan))
        carried = bias + _carry(np.where(present, bridged - kriged - bias, np.nan))
        value = np.where(present, bridged, np.maximum(kriged + carried, 0.0)).astype(np.float32)
        hours = np.asarray(np.isfinite(value).all(axis=1))
        kriged = np.where(hours[:, None], _times(weights, np.where(hours[:, None], value, 0.0)), kriged)
        kriged = np.maximum(kriged, 0.0)
    return FilledStations(value, observed, kriged.astype(np.float32), bias.astype(np.float32),
                          np.minimum(hours_to_nearest(observed), REACH_HOURS).astype(np.float32))


def matrix(neighbourhood: Neighbourhood, weight: np.ndarray, stations: int) -> sparse.csr_matrix:
    """Sparse (targets, stations) matrix of neighbour weights."""
    n, k = neighbourhood.index.shape
    return sparse.csr_matrix((weight.ravel(), neighbourhood.index.ravel(), np.arange(0, n * k + 1, k)),
                             shape=(n, stations))


def _times(weights: sparse.csr_matrix, series: np.ndarray) -> np.ndarray:
    return (weights @ series.T.astype(np.float32)).T


def running_mean(series: np.ndarray, half_width: int = BIAS_HOURS) -> np.ndarray:
    """Centred running mean (time, station) over the values there are; 0 where there is none.

    It is shrunk towards 0 as if 24 more values of 0 had been seen: a station seen for an hour
    has no long-term bias yet.
    """
    count = np.cumsum(np.isfinite(series), axis=0, dtype=np.float64)
    total = np.cumsum(np.nan_to_num(series), axis=0, dtype=np.float64)
    pad = ((1, 0), (0, 0))
    count, total = np.pad(count, pad), np.pad(total, pad)
    hour = np.arange(len(series))
    low, high = np.maximum(hour - half_width, 0), np.minimum(hour + half_width + 1, len(series))
    return ((total[high] - total[low]) / (count[high] - count[low] + 24.0)).astype(np.float32)


def smooth(value: np.ndarray) -> np.ndarray:
    """Weighted mean (time, station) of an hour and the two on either side; NaN where the hour is.

    An hour's value is noise in part: hours that follow each other say the same but for their noise.
    """
    total, weight = SMOOTHING[0] * np.nan_to_num(value), SMOOTHING[0] * np.isfinite(value)
    for lag, share in enumerate(SMOOTHING[1:], start=1):
        for to, of in ((slice(lag, None), slice(None, -lag)), (slice(None, -lag), slice(lag, None))):
            total[to] += share * np.nan_to_num(value[of])
            weight[to] += share * np.isfinite(value[of])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(value), total / weight, np.nan).astype(np.float32)


def _last_seen(valid: np.ndarray) -> np.ndarray:
    """Row of the last valid value at or before each row, (time, station); -1 where there is none."""
    rows = np.where(valid, np.arange(len(valid))[:, None], -1)
    return np.maximum.accumulate(rows, axis=0)


def _around(valid: np.ndarray):
    """Rows of the last valid value before and the first after each row; -1 and len where none."""
    after = len(valid) - 1 - _last_seen(valid[::-1])[::-1]
    return _last_seen(valid), after


def hours_to_nearest(valid: np.ndarray) -> np.ndarray:
    """Hours (time, station) to the nearest valid value of the series; more than it is long where there is none."""
    before, after = _around(valid)
    hour = np.arange(len(valid))[:, None]
    far = len(valid) + REACH_HOURS
    return np.minimum(np.where(before < 0, far, hour - before),
                      np.where(after >= len(valid), far, after - hour))


def _carry(residual: np.ndarray) -> np.ndarray:
    """Residuals through their gaps: an Ornstein-Uhlenbeck process pinned to the lasting part of both ends.

    With D the gap's length and a, b the hours to its ends: s (r_a sinh(b/T) + r_b sinh(a/T)) / sinh(D/T),
    s the share `LASTING`.
    """
    valid = np.isfinite(residual)
    before, after = _around(valid)
    hour = np.arange(len(residual))[:, None]
    columns = np.arange(residual.shape[1])[None, :]
    left = np.where(before < 0, 0.0, residual[np.maximum(before, 0), columns])
    right = np.where(after >= len(residual), 0.0, residual[np.minimum(after, len(residual) - 1), columns])
    a = np.minimum(np.where(before < 0, 400, hour - before), 400) / RESIDUAL_HOURS
    b = np.minimum(np.where(after >= len(residual), 400, after - hour), 400) / RESIDUAL_HOURS
    span = 1.0 - np.exp(-2.0 * (a + b))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight_left = np.exp(-a) * (1.0 - np.exp(-2.0 * b)) / span
        weight_right = np.exp(-b) * (1.0 - np.exp(-2.0 * a)) / span
    return np.where(valid, residual, LASTING * (weight_left * left + weight_right * right)).astype(np.float32)


def bridge(values: np.ndarray, lonely: np.ndarray) -> np.ndarray:
    """Values (time, station), linear in time where `lonely`, at most REACH_HOURS from data."""
    if not lonely.any():
        return values
    valid = np.isfinite(values)
    before, after = _around(valid)
    hour, columns = np.arange(len(values))[:, None], np.arange(values.shape[1])[None, :]
    left = values[np.maximum(before, 0), columns]
    right = values[np.minimum(after, len(values) - 1), columns]
    a, b = hour - before, after - hour
    near_left = (before >= 0) & (a <= REACH_HOURS)
    near_right = (after < len(values)) & (b <= REACH_HOURS)
    linear = np.where(near_left & near_right, (left * b + right * a) / np.maximum(a + b, 1),
                      np.where(near_left, left, np.where(near_right, right, np.nan)))
    return np.where(lonely, linear, values).astype(np.float32)
