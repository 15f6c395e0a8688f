"""What AQ-Net reads of the stations, for every hour of a cube, each from its own series alone.

A station is read as it is, whatever others are given: a network that learned from it learned nothing of the stations
that were hidden round it. Only gaps are filled from other stations (models/gap_filling.py), from those that are given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from aqreanalysis.models import gap_filling
from aqreanalysis.models.features import LOG_CENTRE, LOG_SHIFT, cyclic_time

SERIES = 8              # that are interpolated, as network.PLANES
HOURLY_INPUTS = 7
OF_THREE_DAYS = 5       # the series that is the logarithm of the three days' mean
THREE_DAYS, MONTH, SAME_HOUR_DAYS = 36, 360, 15  # half widths of centred means: hours, hours, days at the same hour
LEAST_THREE_DAYS, LEAST_MONTH, LEAST_SAME_HOUR = 6.0, 24.0, 2.0  # values that the next longer mean counts as
NO_MEAN = 1e-3          # ug m-3: below, a mean of three days is of no values
CONTEXT_HOURS = MONTH   # before and after that the means need


@dataclass(frozen=True)
class StationMeans:
    """PM2.5 of stations and its means, float32 (..., time, station) in ug m-3, from which all that is read is made.

    `value` is filled, NaN where nothing is near in time or space; `age` are hours to the next observation of the
    station.
    """

    value: np.ndarray
    smooth: np.ndarray      # over five hours
    three_days: np.ndarray
    month: np.ndarray
    same_hour: np.ndarray   # of a month, at the same hour of the day
    observed: np.ndarray    # bool
    age: np.ndarray

    def __getitem__(self, which) -> StationMeans:
        return StationMeans(*(getattr(self, of.name)[which] for of in fields(self)))

    def times(self, factor) -> StationMeans:
        """At other levels: all concentrations times a factor, which is broadcast."""
        names = ("value", "smooth", "three_days", "month", "same_hour")
        return replace(self, **{name: getattr(self, name) * factor for name in names})


@dataclass(frozen=True)
class StationInputs:
    """All that the network reads of the stations, for every hour of a cube; (time, station[, ...])."""

    inputs: np.ndarray    # float32 (time, station, HOURLY_INPUTS + clock)
    series: np.ndarray    # float32 (time, station, SERIES): what is interpolated; NaN where nothing is near in time
    clock: np.ndarray     # float32 (time, 6)
    time: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """Filled PM2.5 (time, station), NaN only where nothing is near in time or space."""
        return self.series[..., 0]


def station_means(value: np.ndarray, observed: np.ndarray, age: np.ndarray) -> StationMeans:
    """Filled PM2.5 (time, station) in ug m-3 and its means; arguments as in StationMeans."""
    return StationMeans(value, gap_filling.smooth(value), *running_means(value, observed), observed, age)


def station_inputs(value: np.ndarray, observed: np.ndarray, age: np.ndarray, time: np.ndarray,
                   context: int = 0) -> StationInputs:
    """Assemble all that is read from filled PM2.5 (time, station) in ug m-3.

    The first and last `context` hours serve the means alone, and are not in what is returned.
    """
    inner = slice(context, len(value) - context)
    clock = cyclic_time(time[inner])
    hourly, series = assemble(station_means(value, observed, age)[inner])
    inputs = np.concatenate([hourly, np.broadcast_to(clock[:, None], (*hourly.shape[:2], clock.shape[1]))], axis=-1)
    return StationInputs(inputs, series, clock, time[inner])


def assemble(of: StationMeans) -> tuple[np.ndarray, np.ndarray]:
    """Inputs without the clock (..., HOURLY_INPUTS) and series (..., SERIES), float32.

    Inputs: log(value + 5) less LOG_CENTRE; less it the logarithms of the means of three days, of a month, of the same
    hour and of five hours; whether it was observed; how far the next observation is. Where there is no value the three
    days' mean stands in the inputs. Series: value, its logarithm, both of five hours' means, the logarithm's square,
    and the logarithms of the three longer means.
    """
    shift = np.float32(LOG_SHIFT)
    means = [np.log(mean + shift) for mean in (of.three_days, of.month, of.same_hour)]
    log, log_smooth = np.log(of.value + shift), np.log(of.smooth + shift)
    series = np.stack([of.value, log, of.smooth, log_smooth, log**2, *means], axis=-1)
    log = np.where(np.isfinite(log), log, means[0])
    inputs = np.stack([log - LOG_CENTRE, *(mean - log for mean in means), np.nan_to_num(log_smooth - log), of.observed,
                       of.age / gap_filling.REACH_HOURS], axis=-1)
    return inputs.astype(np.float32), series.astype(np.float32)


def without_gaps(series: np.ndarray) -> np.ndarray:
    """(hours, station, SERIES) without NaN: in an outage that is too long to bridge stands the station's mean of three
    days, where it reported in the weeks round the hour; else the hour's mean of the others, 0 in a dead hour."""
    some = np.isfinite(series)
    if some.all():
        return series
    steady = steady_series(series[..., OF_THREE_DAYS])
    steady = np.concatenate([steady, series[..., OF_THREE_DAYS:]], axis=-1)
    filled = np.where(some | (steady[..., :1] < NO_MEAN), series, steady)
    some = np.isfinite(filled)
    mean = np.where(some, filled, 0.0).sum(axis=1) / np.maximum(some.sum(axis=1), 1)
    return np.where(some, filled, mean[:, None].astype(np.float32))


def steady_series(log: np.ndarray) -> np.ndarray:
    """The series before OF_THREE_DAYS of a value that doesn't change, of which log(value + LOG_SHIFT) is given."""
    value = np.exp(log) - np.float32(LOG_SHIFT)
    return np.stack([value, log, value, log, log**2], axis=-1)


def running_means(value: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centred means (time, station) of what was observed: over three days, a month, and a month at the same hour.

    Where little was observed a mean leans on the next longer one, the month's on the three days' mean of filled values:
    each counts as LEAST_... values.
    """
    known = np.where(observed, value, 0.0)
    filled, any_filled = np.nan_to_num(value), np.isfinite(value)
    start = _window_sum(filled, THREE_DAYS) / np.maximum(_window_sum(any_filled, THREE_DAYS), 1.0)
    month = ((_window_sum(known, MONTH) + LEAST_MONTH * start)
             / (_window_sum(observed, MONTH) + LEAST_MONTH))
    three_days = ((_window_sum(known, THREE_DAYS) + LEAST_THREE_DAYS * month)
                  / (_window_sum(observed, THREE_DAYS) + LEAST_THREE_DAYS))
    same_hour = ((_window_sum(known, SAME_HOUR_DAYS, 24) + LEAST_SAME_HOUR * month)
                 / (_window_sum(observed, SAME_HOUR_DAYS, 24) + LEAST_SAME_HOUR))
    return tuple(np.maximum(mean, 0.0).astype(np.float32) for mean in (three_days, month, same_hour))


def _window_sum(series: np.ndarray, half_width: int, step: int = 1) -> np.ndarray:
    """Sum (time, station) over steps of `step` rows, `half_width` of them on either side; less at the ends."""
    rows, columns = series.shape
    whole = -(-rows // step)
    padded = np.zeros((whole * step, columns), np.float64)
    padded[:rows] = series
    by_step = padded.reshape(whole, step * columns)
    total = np.concatenate([np.zeros((1, step * columns)), np.cumsum(by_step, axis=0)])
    number = np.arange(whole)
    low, high = np.maximum(number - half_width, 0), np.minimum(number + half_width + 1, whole)
    return (total[high] - total[low]).reshape(whole * step, columns)[:rows]
