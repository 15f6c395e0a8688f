"""
Beijing's January: a monthly mean and its standard error
========================================================

The mean of a month in Beijing's cell, its standard error and 90 % interval, and a map of that error.

**What to trust.** The interval takes into account that the errors of days that follow each other are alike, and that
the bias of a place does not average out: it is several times wider than days taken as independent would make it. It
is of what a monitor somewhere in the cell would read in the mean. It knows nothing of a fault that all monitors
share.
"""
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest, MapOptions

# %%
# A product of January 2016 at 0.25 degree, of the simulated network. Other pages of the gallery begin with the same
# call, and find it done. With real observations: ``observations="PATH"``.
product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# A Dataset of monthly means with their errors; Beijing's cell is the one whose centre is nearest.
months = aqreanalysis.summarise(product, "month")
beijing = months.sel(lat=39.9, lon=116.4, method="nearest").isel(time=0)
print(f"January 2016, simulated: {beijing.pm25:.1f} µg m⁻³, standard error {beijing.pm25_standard_error:.1f}, "
      f"90 % interval {beijing.pm25_lower:.1f} to {beijing.pm25_upper:.1f}")

# %%
# Two errors that are too small: of the spread of the days, which is weather and no error at all, and of days taken as
# independent.
days = aqreanalysis.open_product(product, "daily").sel(lat=39.9, lon=116.4, method="nearest").load()
n, s = days.sizes["time"], days.pm25_standard_error
print(f"spread of the days over the root of their number: {days.pm25.std(ddof=1) / np.sqrt(n):.1f} µg m⁻³")
print(f"errors of days taken as independent:              {np.sqrt((s**2).sum()) / n:.1f} µg m⁻³")

# %%
# The twin has a truth. One cell proves nothing; :doc:`09_twin_truth` counts all of them.
truth = aqreanalysis.open_product(product, "truth").pm25.sel(lat=39.9, lon=116.4, method="nearest").mean()
print(f"the truth of the twin: {truth.compute():.1f} µg m⁻³")

# %%
# Where January's mean is known well, and where it is not: low at stations, high between them.
figure = aqreanalysis.draw_map(months, MapOptions(show="error", inset="beijing"))
