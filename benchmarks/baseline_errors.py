"""Two constants of the baselines, measured on a network: `python benchmarks/baseline_errors.py PATH --year 2019`.

- The standard deviation of PM2.5 in space over its mean + LEVEL, as kriging estimates it from 40 neighbours: what is
  assumed where a single station reports (geostatistics.ASSUMED_SPREAD).
- For each baseline the e-folding time of the correlation of its hourly errors, from the ratio of its daily to its
  hourly squared error at the validation stations of the shipped checkpoint, whole cities withheld
  (registry.BASELINES). The test stations are in neither.

Some days of each month are read; a year takes some minutes.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import brentq

from aqreanalysis import geo, time_axis
from aqreanalysis.evaluation.holdout import Fold
from aqreanalysis.evaluation.statistics import fold_statistics
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.baselines.kriging import Kriging, expected_sample_variance
from aqreanalysis.models.features import LEVEL
from aqreanalysis.observations import screening
from aqreanalysis.observations.readers import open_archive

FIRST_DAY, DAYS = 14, 4    # of each month
NEIGHBOURS, LEAST = 40, 20  # stations of a neighbourhood, and how many must have reported
EVERY_HOURS = 6


def relative_spreads(cube) -> np.ndarray:
    """Standard deviation in space over mean + LEVEL, (n,), of each station's neighbourhood in some hours."""
    lat, lon = cube.lat.values, cube.lon.values
    index, _ = geo.nearest(lat, lon, lat, lon, NEIGHBOURS)
    found, correlation = [], Kriging().correlation
    for near in index:
        among = correlation.among_stations(geo.pairwise_distance_km(lat[near], lon[near], lat[near], lon[near]))
        for values in cube.pm25.values[::EVERY_HOURS, near]:
            there = np.isfinite(values)
            if there.sum() >= LEAST:
                pair = among[np.ix_(there, there)][None]
                unit = expected_sample_variance(pair, np.array([there.sum()]))[0]
                found.append(np.sqrt(values[there].var(ddof=1) / unit) / (values[there].mean() + LEVEL))
    return np.array(found)


def memory_hours(hourly: float, daily: float) -> float:
    """e-folding time with which a squared error of days is this share of that of hours."""
    lag = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))

    def share(memory: float) -> float:
        return float(np.exp(-lag / memory).mean() - daily / hourly)

    return float(brentq(share, 0.05, 500.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("observations")
    parser.add_argument("--year", default="2019")
    options = parser.parse_args()
    card = checkpoint.checked_card(checkpoint.locate(None))
    archive = open_archive(options.observations)
    models = {model.name: model for model in map(registry.load_model, registry.BASELINES)}
    test = [s for name in ("test_single", "test_city") for s in card.withheld[name]]
    asked = tuple(card.withheld["validation_city"])
    spreads, sums = [], []
    for month in time_axis.parse_period(options.year, None, None).months():
        first = month.first.replace(day=FIRST_DAY)
        period = time_axis.Period(first, first.replace(day=FIRST_DAY + DAYS - 1))
        cube = screening.observations_around(archive, models["kriging"], period)
        cube = cube.drop_sel(station=[s for s in test if s in cube.station.values])
        spreads.append(relative_spreads(cube))
        fold = Fold(asked, {"cities": tuple(s for s in asked if s in cube.station.values)})
        sums.append(fold_statistics(models, cube, fold, period.hours).station[["n", "error_squared"]])
    spread = np.concatenate(spreads)
    print(f"spread over mean + {LEVEL:g}: root mean square {np.sqrt((spread**2).mean()):.3f}, median "
          f"{np.median(spread):.3f}, {spread.size:,} neighbourhoods and hours")
    for name in models:
        squared = {frequency: sum(float(part.error_squared.sel(model=name, frequency=frequency).sum()) for part in sums)
                   / sum(float(part.n.sel(model=name, frequency=frequency).sum()) for part in sums)
                   for frequency in ("hourly", "daily")}
        print(f"{name}: RMSE {np.sqrt(squared['hourly']):.2f} by the hour, {np.sqrt(squared['daily']):.2f} by the day: "
              f"errors last {memory_hours(squared['hourly'], squared['daily']):.1f} h")


if __name__ == "__main__":
    main()
