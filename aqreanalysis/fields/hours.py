"""From the steps of a file to hours: an hour is the mean over the time that ends at its stamp, UTC.

- *Instants* (a wind at 12:00) are joined by straight lines. The mean of such a line over an hour, with no corner within
  it, is the mean of its values at the two ends: of hourly instants, of the one before and the one at the stamp.
- *Means and sums* over an interval hold for each hour of it; a sum is shared out evenly. They stand at the END of
  their interval.
- A hole is not bridged: two instants farther apart than the file's own step have nothing between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.fields.variables import INSTANT, SUM

HOUR_S = 3600
LONGEST_STEP_S = 6 * HOUR_S


@dataclass(frozen=True)
class Steps:
    """How a file's steps lie in time: stamps in s since 1970, int64, ascending."""

    over_time: str   # INSTANT, MEAN or SUM
    step: int        # s between two instants, or the length of an interval

    def window(self, hours: np.ndarray) -> tuple[int, int]:
        """The first and last stamp that hours (END-of-hour stamps, s, ascending) may need."""
        return int(hours[0]) - HOUR_S - self.step, int(hours[-1]) + self.step

    def at_hours(self, stamps: np.ndarray, values: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Values (hours, ...), float32, from those (stamps, ...) at ascending stamps; NaN where one is missing."""
        if not stamps.size:
            return np.full((len(hours), *values.shape[1:]), np.nan, np.float32)
        if self.over_time == INSTANT:
            edges = np.append(hours - HOUR_S, hours[-1:])  # hours are consecutive
            at_edges = self._instants(stamps, values, edges)
            return (at_edges[:-1] + at_edges[1:]) * np.float32(0.5)
        ends = np.searchsorted(stamps, hours)  # of the interval that an hour lies in
        here = np.minimum(ends, stamps.size - 1)
        inside = (ends < stamps.size) & (stamps[here] - self.step <= hours - HOUR_S)
        found = values[here].astype(np.float32)
        found[~inside] = np.nan
        return found / np.float32(self.step / HOUR_S) if self.over_time == SUM and self.step != HOUR_S else found

    def _instants(self, stamps: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        after = np.minimum(np.searchsorted(stamps, edges), stamps.size - 1)
        exact = stamps[after] == edges
        before = np.where(exact, after, np.maximum(after - 1, 0))
        gap = stamps[after] - stamps[before]
        inside = exact | ((stamps[before] < edges) & (edges < stamps[after]) & (gap <= self.step))
        share = np.where(exact | (gap == 0), 0.0, (edges - stamps[before]) / np.maximum(gap, 1)).astype(np.float32)
        share = share.reshape(-1, *[1] * (values.ndim - 1))
        found = values[before].astype(np.float32)
        if (~exact).any():
            found = np.where(share == 0, found, found * (1 - share) + values[after] * share)
        found[~inside] = np.nan
        return found


def usual_step(stamps: np.ndarray, where: str) -> int:
    """The most common time between stamps (s), that of a single one an hour.

    Raises UserError where it is not a whole number of hours from 1 to 6.
    """
    if stamps.size < 2:
        return HOUR_S
    steps, counts = np.unique(np.diff(stamps), return_counts=True)
    step = int(steps[counts.argmax()])
    if step % HOUR_S or not HOUR_S <= step <= LONGEST_STEP_S:
        raise UserError(f"The steps of {where} are {step / HOUR_S:g} h apart.",
                        "Fields are hourly, or at most 6 hours apart.",
                        "Make hours of finer steps with `cdo hourmean`; get hourly ones where they are coarser.")
    return step


def epoch_seconds(stamps: np.ndarray) -> np.ndarray:
    """Stamps as s since 1970, int64."""
    return np.asarray(stamps, "datetime64[s]").astype(np.int64)
