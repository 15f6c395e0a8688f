"""Do Beijing's municipal files and the UCI record of the same stations agree, and at which lag?

    python benchmarks/beijing_archives.py MUNICIPAL UCI

Prints, over all hours and stations that both have, the correlation and the median difference of PM2.5 with the UCI
record at the same stamp, an hour earlier and an hour later. Both are read a month at a time.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from aqreanalysis.observations.readers import open_archive
from aqreanalysis.time_axis import HOUR

LAGS = (-1, 0, 1)


def months(first, last):
    """First and last hour of each month of a period."""
    for start in pd.period_range(first, last, freq="M"):
        yield max(start.start_time.to_datetime64(), first), min(start.end_time.floor("h").to_datetime64(), last)


def pairs(municipal, uci, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """PM2.5 of both, (pairs,): the UCI record `lag` hours after the municipal stamp."""
    first = max(municipal.period()[0], uci.period()[0]).astype("datetime64[ns]")
    last = min(municipal.period()[1], uci.period()[1]).astype("datetime64[ns]")
    ours, theirs = [], []
    for start, end in months(first, last):
        a = municipal.read(start, end).pm25
        b = uci.read(start + lag * HOUR, end + lag * HOUR).pm25
        shared = np.intersect1d(a.station, b.station)
        a, b = a.sel(station=shared).values.ravel(), b.sel(station=shared).values.ravel()
        both = np.isfinite(a) & np.isfinite(b)
        ours.append(a[both].astype(float))
        theirs.append(b[both].astype(float))
    return np.concatenate(ours), np.concatenate(theirs)


def main() -> None:
    municipal, uci = (open_archive(path) for path in sys.argv[1:3])
    for name, archive in (("municipal", municipal), ("UCI", uci)):
        found = archive.inspect(*archive.period())
        print(f"{name}: {found.good} files, {found.values:,} PM2.5 values, {len(found.skipped)} files skipped")
        for text in found.anomalies:
            print(f"  {text}")
        for cause, count in pd.Series([text.split(" ", 1)[1] for text in found.skipped]).value_counts().items():
            print(f"  skipped {count}: {cause}")
    print(f"{'lag h':>6}{'pairs':>10}{'r':>9}{'median |difference|':>22}")
    for lag in LAGS:
        a, b = pairs(municipal, uci, lag)
        print(f"{lag:6d}{len(a):10,}{np.corrcoef(a, b)[0, 1]:9.4f}{np.median(np.abs(a - b)):22.1f}")


if __name__ == "__main__":
    main()
