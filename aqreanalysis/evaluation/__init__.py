"""Scores at withheld stations: statistics are sums over hours, metrics are functions of sums.

So a year scored month by month gives what a year in memory gives. Every model is scored on the same
pairs: station-hours with an observation and an estimate from every model.

    holdout.py        which stations are taken out together, and which of them are scored
    designs.py        the hold-out designs of all stations of a network
    matching.py       weights that make stations stand for the land of a map
    strata.py         seasons and levels into which scores are divided
    predictions.py    a model's estimates with their intervals
    distributions.py  scores of a standard error or bounds: CRPS, coverage, PIT
    statistics.py     sums of errors, by station, day, hour of the day and level
    metrics.py        scores from sums
    bootstrap.py      how certain a skill is
    forecast.py       sums and scores of forecasts by lead
    tables.py         the scores of forecasts as tables to be read, beside the paper's (published.py)
    attention.py      the attention of a trained AQ-Net forecast
"""

from aqreanalysis.evaluation.metrics import group_scores
from aqreanalysis.evaluation.statistics import SUMS, Sums, add, month_statistics

__all__ = ["SUMS", "Sums", "add", "group_scores", "month_statistics"]
