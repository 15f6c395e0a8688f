"""The slow fall of PM2.5 from year to year, found in the training slice and carried on after it.

Emissions in northern China fell in these years, by plan (Zhang et al. 2019, PNAS 116, 24463-24469,
10.1073/pnas.1907956116). A model that has learned the levels of its training years would forecast them again in later
ones, so all models read and forecast departures from this line:

    mean over stations of log1p(PM2.5) = a + slope (t - zero) + two harmonics of the year,   t in years
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOURS_PER_YEAR = 24 * 365.2425
LEAST_YEARS = 2.0  # a shorter series does not separate a trend from the season


@dataclass(frozen=True)
class Trend:
    """Change of log1p(PM2.5) of a network: `slope` a year, 0 at the time `zero` (years since 1970)."""

    slope: float = 0.0
    zero: float = 0.0

    @classmethod
    def fit(cls, time: np.ndarray, pm25: np.ndarray) -> Trend:
        """By least squares on the network's hourly means, with two harmonics of the year; none from under two years.

        Parameters
        ----------
        time : (hours,) stamps of exactly the hours that may be known.
        pm25 : (hours, stations) in ug m-3, NaN where missing.
        """
        logs = np.log1p(pm25.astype(np.float64))
        seen = np.isfinite(logs)
        some = seen.any(axis=1)
        if not some.any() or np.ptp(years(time)) < LEAST_YEARS:
            return cls()
        mean = np.where(seen, logs, 0.0).sum(axis=1)[some] / seen.sum(axis=1)[some]
        when = years(time)[some]
        zero = float(when.mean())
        angle = 2.0 * np.pi * when
        columns = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle), np.ones_like(when), when - zero]
        return cls(float(np.linalg.lstsq(np.stack(columns, axis=1), mean, rcond=None)[0][-1]), zero)

    def at(self, time: np.ndarray) -> np.ndarray:
        """The change (hours,) in log1p at some stamps."""
        return self.slope * (years(time) - self.zero)


def years(time: np.ndarray) -> np.ndarray:
    """Years since 1970 of stamps."""
    return time.astype("datetime64[h]").astype(np.int64) / HOURS_PER_YEAR
