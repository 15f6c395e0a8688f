"""Scores at withheld stations: statistics are sums over hours, metrics are functions of sums.

So a year scored month by month gives what a year in memory gives. Every model is scored on the same
pairs: station-hours with an observation and an estimate from every model.

    holdout.py        which stations are taken out together, and which of them are scored
    statistics.py     sums of what a model missed, by station, by day, by hour of the day and by level
    distributions.py  what a standard error or bounds say: CRPS, coverage, PIT
    metrics.py        scores from sums
    bootstrap.py      how sure a skill is
"""

from aqreanalysis.evaluation.metrics import metrics
from aqreanalysis.evaluation.statistics import SUMS, Sums, add, month_statistics

__all__ = ["SUMS", "Sums", "add", "metrics", "month_statistics"]
