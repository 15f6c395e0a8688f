"""Whether the interval of a city's mean holds what its stations observed, all of them being hidden from the map.

    python benchmarks/withheld_cities.py ARCHIVE [--first YYYY-MM-DD ...] [--days 31]

Whole cities are hidden in turn, by the networks that never saw them, on runs of days that follow each other. The mean
over a city's stations, of a day and of the run, as estimated and as observed; its standard error from the checkpoint's
calibration and the package's correlation of errors, a station's own part counted once for each station. Beside it the
same without what all cells have in common, and with errors that are independent. Cities of two stations or more.
"""

from __future__ import annotations

import argparse
import datetime as dt

import numpy as np
import pandas as pd
from error_correlation import residuals

from aqreanalysis import geo
from aqreanalysis.evaluation.holdout import WHOLE_CITIES
from aqreanalysis.models import registry
from aqreanalysis.models.calibration import NORMAL_QUANTILE
from aqreanalysis.models.error_correlation import DEFAULT, ErrorCorrelation
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.calibration import apply_bounds, daily_means

ERRORS = {"with the common bias": DEFAULT.daily, "without": DEFAULT.daily.with_common(0.0),
          "independent": ErrorCorrelation.of_plain([[1.0, 0.0, 1e-3]])}
LEAST_STATIONS, LEAST_SHARE = 2, 0.7  # of a city; of a run's days that a station-mean needs


def variance(correlation: ErrorCorrelation, rows: pd.DataFrame) -> float:
    """Of the mean of a city's station-days, each counted equally."""
    km = geo.pairwise_distance_km(rows.lat, rows.lon, rows.lat, rows.lon)
    same = rows.station.to_numpy()[:, None] == rows.station.to_numpy()
    hours = HOURS_PER_DAY * np.abs(rows.day.to_numpy()[:, None] - rows.day.to_numpy())
    found = np.where(same, correlation.of_lag(hours), correlation.of_pairs(np.where(same, 0.0, km), hours))
    error = rows.error.to_numpy()
    return float(error @ found @ error) / len(rows) ** 2


def means(rows: pd.DataFrame, keys: list[str], least: int) -> pd.DataFrame:
    """Error of each mean, and its standard errors by ERRORS."""
    found = []
    for _, some in rows.groupby(keys):
        if some.station.nunique() >= LEAST_STATIONS and len(some) >= least * some.station.nunique():
            found.append({"miss": (some.truth - some["mean"]).mean(), "level": some.truth.mean(),
                          **{name: np.sqrt(variance(of, some)) for name, of in ERRORS.items()}})
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("--first", type=dt.date.fromisoformat, nargs="+",
                        default=[dt.date(2019, 1, 1), dt.date(2019, 7, 1)])
    parser.add_argument("--days", type=int, default=31)
    asked = parser.parse_args()
    hidden = residuals(asked.archive, None, asked.first, asked.days, lambda fold: WHOLE_CITIES in fold.scored, None)
    made = registry.calibration_of(None)
    error, _, _ = apply_bounds(made.hourly, hidden)
    mean, raw, truth, sites, day = daily_means(hidden, error, made.correlation)
    of_days, _, _ = made.daily.apply(mean, raw, sites, day)
    rows = pd.DataFrame({"mean": mean, "truth": truth, "error": of_days, "day": day.astype(int), "city": hidden.city,
                         "station": hidden.station.astype(str), "fold": hidden.fold, "lat": hidden.lat,
                         "lon": hidden.lon}).dropna()
    starts = np.array(asked.first, "datetime64[D]").astype(int)
    rows["run"] = np.searchsorted(starts, rows.day.to_numpy(), "right")
    print(f"{rows.station.nunique()} stations of {rows.city.nunique()} cities, {len(rows):,} station-days")
    for every, keys, least in (("day", ["city", "run", "day"], 1),
                               ("run", ["city", "run"], int(LEAST_SHARE * asked.days))):
        table = means(rows, keys, least)
        for name in ERRORS:
            z = table.miss / table[name]
            print(f"{every}: {len(table):,} means, {name}: inside {100 * (z.abs() <= NORMAL_QUANTILE).mean():.1f} %, "
                  f"z rms {np.sqrt((z**2).mean()):.2f}, width {2 * NORMAL_QUANTILE * table[name].mean():.1f}, "
                  f"bias {-table.miss.mean():+.2f}, rmse {np.sqrt((table.miss**2).mean()):.2f}, "
                  f"level {table.level.mean():.1f}", flush=True)


if __name__ == "__main__":
    main()
