"""A product's own factors of errors, fitted to its hidden stations with the checkpoint's as a prior.

Station-days that were hidden together are not independent: a station is wrong in the same way on many days, and on one
day the stations of a city are. N of them in all, m_s a station and m_c a city and day in the mean (weighted by their
number), are worth

    N / (1 + (m_s - 1) r_s + (m_c - 1) r_c)

independent ones (Kish 1965, Survey Sampling, section 5.4: the design effect of clusters), with the correlations within
a station and within a city's day that are given below. The hours of a station-day count once together. Each design has
the same weight, so that none drowns the others, and of the map-matched one each row counts as the land that it stands
for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis.evaluation.statistics import week_number
from aqreanalysis.models import calibration, uncertainty
from aqreanalysis.models.calibration import Calibration, Prior
from aqreanalysis.product.validation.hidden import HiddenDays
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.calibration import apply_bounds, daily_means, dealt

PRIOR_WORTH = 40.0    # independent station-days that the checkpoint's factors count as
OF_STATION, OF_CITY_DAY = 0.15, 0.20  # correlation of the hours that miss their bounds, within a station, a city's day
FEWEST_STATIONS, FEWEST_DAYS = 8, 3  # with whole days: with fewer the factors stay as they are
FITTED_HOURS = 60_000  # at most, of all station-days: every hour, every second, ... of each

CITIES, WEEKS = "other cities", "other weeks"


@dataclass(frozen=True)
class Fitted:
    """Hours (n, 24) and days (n,) of hidden stations with a calibration: standard error, lower and upper bound."""

    hours: np.ndarray  # (3, n, 24), float32
    days: np.ndarray   # (3, n)

    @staticmethod
    def unknown(rows: int) -> Fitted:
        """All NaN, to be filled."""
        return Fitted(np.full((3, rows, HOURS_PER_DAY), np.nan, np.float32), np.full((3, rows), np.nan, np.float32))

    def fill(self, which: np.ndarray, part: Fitted) -> None:
        """Enter those of some rows, given as a mask (n,)."""
        self.hours[:, which], self.days[:, which] = part.hours, part.days


def independent_number(days: HiddenDays) -> float:
    """How many independent station-days some are worth: see above. A station-day of several designs counts once."""
    if not len(days.day):
        return 0.0
    station = np.unique(days.station.astype(str), return_inverse=True)[1]
    pairs = np.unique(np.stack([station, days.day.astype(int), days.city]), axis=1)
    of_station = np.unique(pairs[0], return_counts=True)[1]
    of_city_day = np.unique(pairs[1:], axis=1, return_counts=True)[1]
    total = pairs.shape[1]
    together = (1.0 + ((of_station**2).sum() / total - 1) * OF_STATION
                + ((of_city_day**2).sum() / total - 1) * OF_CITY_DAY)
    return float(total / together)


def is_enough(days: HiddenDays) -> bool:
    """Whether factors can be fitted at all: to whole days of FEWEST_STATIONS stations, on FEWEST_DAYS days."""
    whole = days[days.whole]
    return len(np.unique(whole.station.astype(str))) >= FEWEST_STATIONS and len(np.unique(whole.day)) >= FEWEST_DAYS


def row_weights(days: HiddenDays) -> np.ndarray:
    """Independent station-days (n,) that each row is worth: the same for each design in sum."""
    weight = np.zeros(len(days.day))
    designs = np.unique(days.design.astype(str))
    for design in designs:
        mine = days.design == design
        total = days.weight[mine].sum(dtype=np.float64)
        weight[mine] = days.weight[mine] / total if total > 0 else 1.0 / mine.sum()
    return weight * independent_number(days) / len(designs)


def fit_product(days: HiddenDays, prior: Calibration | None, memory_hours: float) -> Calibration:
    """Factors of hours, the correlation of errors in a day, and factors of days, as training.calibration fits them, all
    with a prior; without one, they are the rows' own, and `memory_hours` the prior of the correlation alone.

    Raises ValueError where there is no prior and no row.
    """
    weight, worth = row_weights(days), PRIOR_WORTH if prior else 0.0
    hours = _thinned(days)
    shared = np.where(hours, weight[:, None] / np.maximum(hours.sum(axis=1, keepdims=True), 1), 0.0)
    arrays = (days.estimate, days.scale, days.truth, days.sites[:, None].broadcast_to(hours.shape),
              np.broadcast_to(days.day[:, None], hours.shape), shared)
    hourly = calibration.fit_to_prior(Prior(prior.hourly if prior else None, worth),
                                      *(array[hours] for array in arrays))
    error, _, _ = apply_bounds(hourly, days)
    before = prior.correlation if prior else uncertainty.exponential_correlation(memory_hours)
    share = weight.sum() / (weight.sum() + PRIOR_WORTH)
    own = calibration.correlation_by_lag((days.truth - days.estimate) / error)
    correlation = np.round((1 - share) * np.array(before) + share * own, calibration.DIGITS)
    mean, raw, truth, sites, day = daily_means(days, error, tuple(correlation))
    daily = calibration.fit_to_prior(Prior(prior.daily if prior else None, worth), mean, raw, truth, sites, day,
                                     weight)
    return Calibration(hourly, daily, tuple(correlation))


def _thinned(days: HiddenDays) -> np.ndarray:
    """Which hours (n, 24) with a truth are fitted to: of station-days in turn the first, second, ... of each few."""
    every = next(step for step in (1, 2, 3, 4, 6, 8, 12, 24)
                 if step == 24 or len(days.day) * HOURS_PER_DAY / step <= FITTED_HOURS)
    turn = (np.arange(HOURS_PER_DAY) - np.arange(len(days.day))[:, None]) % every == 0
    return turn & np.isfinite(days.truth) & np.isfinite(days.estimate) & (days.scale > 0)


def cross_fits(days: HiddenDays) -> dict[tuple[str, int], np.ndarray]:
    """Which rows (n,) are left out in turn, by kind and number: those of some cities, those of some weeks.

    Where there is one city, or one week, the stations, or the days, take their place.
    """
    found: dict[tuple[str, int], np.ndarray] = {}
    station = np.unique(days.station.astype(str), return_inverse=True)[1]
    week = week_number(days.day)
    groups = {CITIES: days.city if len(np.unique(days.city)) > 1 else station,
              WEEKS: week if len(np.unique(week)) > 1 else days.day.astype(int)}
    for kind, group in groups.items():
        part = dealt(group)
        if len(np.unique(part)) > 1:
            found |= {(kind, int(number)): part == number for number in np.unique(part)}
    return found


def fitted(days: HiddenDays, made: Calibration) -> Fitted:
    """What factors make of the raw errors of hours and days."""
    hours = np.stack(apply_bounds(made.hourly, days))
    mean, raw, _, sites, day = daily_means(days, hours[0], made.correlation)
    return Fitted(hours, np.stack(made.daily.apply(mean, raw, sites, day)))
