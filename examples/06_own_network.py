"""
A network of your own, as a CSV file
====================================

A text table with a row for each station and hour is enough for a product. This one has some faults, as real ones
have.

**What to trust.** Cells with stations within some 40 km; the map hatches the others. A network of a few dozen
stations is too small for a calibration of its own to be exact: look at the number of hidden stations in
``simulated_validation.csv`` before believing the intervals. Quality control takes out codes and values that cannot
be; it does not know whether your instruments read 10 % too high.
"""
from pathlib import Path

import numpy as np
import pandas as pd

import aqreanalysis
from aqreanalysis import BuildRequest, MapOptions

# %%
# The table: the columns ``station_id, time, lon, lat, pm25`` in any order; ``time`` is the END of the hour in UTC.
# Here they are of the simulated stations around Beijing, with a code for missing and a stuck decimal point put in by
# hand. The column ``simulated`` is the twin's own.
written, = aqreanalysis.simulate("some_days", "2016-01-08", "2016-01-14")
rows = pd.read_parquet(written)
rows = rows[rows.lon.between(113, 119) & rows.lat.between(37, 41)]
rows = rows[["station_id", "time", "lon", "lat", "pm25", "simulated"]]
rows.iloc[100, rows.columns.get_loc("pm25")] = -999
rows.iloc[5000, rows.columns.get_loc("pm25")] *= 1000
Path("own").mkdir(exist_ok=True)
rows.to_csv("own/observations.csv", index=False)
print(Path("own/observations.csv").read_text()[:230])

# %%
# What can be read of it, and what is odd: the same as ``aqreanalysis describe own``.
facts = aqreanalysis.describe("own")
pm25 = facts.values["pm25"]
print(f"{facts.stations} stations, {pm25.reported} values, {pm25.good} of them good")
print({name: count for name, count in pm25.flags.items() if count})
for text in facts.anomalies:
    print("-", text)

# %%
# A grid of 0.1 degree round Beijing, in the words of CDO, and three days on it.
Path("beijing.txt").write_text("gridtype = lonlat\nxsize = 50\nysize = 30\n"
                               "xfirst = 113.55\nxinc = 0.1\nyfirst = 37.55\nyinc = 0.1\n")
product = aqreanalysis.build(BuildRequest(start="2016-01-10", end="2016-01-12", grid="beijing.txt", observations="own",
                                          out="own_product"))
scores = pd.read_csv(product / "simulated_validation.csv")
scores = scores[(scores["by"] == "all") & (scores["frequency"] == "hourly")]
scores[["design", "stations", "days", "MAE", "MAE_kriging", "coverage_90"]].round(2)

# %%
# A day with its stations, as circles in the colour of what they observed.
figure = aqreanalysis.draw_map(product, MapOptions(period="2016-01-11", stations=True))
day = aqreanalysis.open_product(product, "daily").pm25.isel(time=1)
print("lowest, median and highest cell of the day:", np.round(day.quantile([0, 0.5, 1]).values, 1), "µg m⁻³")
