"""Fit the coefficients of regression kriging that ship (aqreanalysis/data/regression_kriging.json).

    python docs/make_regression_kriging.py --observations PATH [--start 2019-01-01 --end 2019-12-31] [--workers N]

All stations of an archive have a part in them, in days outside every sixth week (training/regression.py; two minutes
for a national year). `evaluate` fits others, without the stations that it scores.
"""

from __future__ import annotations

import argparse
import json

from aqreanalysis.fields.covariates import Standardisation
from aqreanalysis.fields.static import static_covariates
from aqreanalysis.models.baselines.regression_kriging import COEFFICIENTS, DRIFT_COVARIATES
from aqreanalysis.models.drift import standardisation
from aqreanalysis.observations.near_duplicates import near_duplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.time_axis import Period, parse_day
from aqreanalysis.training.regression import fit_regression_kriging
from aqreanalysis.workers import run_jobs

EVERY_NTH_WEEK_WITHHELD, DAYS = 6, 150
DIGITS = 5  # significant, of what is written


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--start", default="2019-01-01")
    parser.add_argument("--end", default="2019-12-31")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    files, period = ObservationFiles.of(options.observations), Period(parse_day(options.start), parse_day(options.end))
    archive = files.open()
    covariates = static_covariates(archive.stations.lat, archive.stations.lon)
    scale = rounded(standardisation(DRIFT_COVARIATES, covariates).asdict())
    duplicates = near_duplicates(archive, period.hours[0], period.hours[-1])
    (model,) = fit_regression_kriging(files, period, [()], duplicates,
                                      lambda function, jobs: run_jobs(function, jobs, options.workers),
                                      EVERY_NTH_WEEK_WITHHELD, Standardisation.from_dict(scale), DAYS)
    COEFFICIENTS.write_text(json.dumps(rounded(model.drift.asdict()), indent=1) + "\n", encoding="utf-8")
    print(COEFFICIENTS.read_text(encoding="utf-8"))


def rounded(value):
    """Numbers of nested lists and dictionaries to DIGITS."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
