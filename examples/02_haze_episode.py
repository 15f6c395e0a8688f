"""
A haze episode hour by hour, with its interval
==============================================

The four worst days of a month in one place: the estimate of each hour, its 90 % interval, and, as this is the twin,
the truth.

**What to trust.** Nine of ten hours of *many* episodes and places lie within the interval, not of each one: errors of
hours that follow each other are alike, so a whole night may lie above it. Of the highest hours more than one in ten
is above the upper bound (:doc:`../accuracy`): a peak is underestimated rather than overestimated.
"""
import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# The hours of Beijing's cell. A stamp is the END of its hour, in UTC; local time is eight hours later.
cell = {"lat": 39.9, "lon": 116.4, "method": "nearest"}
hours = aqreanalysis.open_product(product).sel(**cell).load()
truth = aqreanalysis.open_product(product, "truth").pm25.sel(**cell).load()
hours["time"] = truth["time"] = hours.time + np.timedelta64(8, "h")

# %%
# The 96 hours with the highest mean.
last = int(np.nanargmax(hours.pm25.rolling(time=96).mean()))
episode, true = hours.isel(time=slice(last - 95, last + 1)), truth.isel(time=slice(last - 95, last + 1))
peak = episode.isel(time=int(np.argmax(episode.pm25.values)))
inside = (true >= episode.pm25_lower) & (true <= episode.pm25_upper)
print(f"highest estimate: {peak.pm25:.0f} µg m⁻³ in the hour to {peak.time.dt.strftime('%d January %H:%M').item()}, "
      f"interval {peak.pm25_lower:.0f} to {peak.pm25_upper:.0f}")
print(f"highest hour of the truth: {true.max():.0f} µg m⁻³")
print(f"hours of the episode whose truth lies within the interval: {inside.mean():.0%} of {episode.sizes['time']}")

# %%
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.fill_between(episode.time, episode.pm25_lower, episode.pm25_upper, color="#9ecae1", label="90 % interval")
ax.plot(episode.time, episode.pm25, color="#08519c", label="estimate")
ax.plot(true.time, true, color="black", lw=1, ls="--", label="truth of the twin")
ax.set(xlabel="January 2016, UTC+8", ylabel="hourly PM2.5 (µg m⁻³)", ylim=(0, None),
       title="SIMULATED: haze in Beijing's cell")
ax.xaxis.set_major_formatter(plt.matplotlib.dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.legend(frameon=False)
plt.show()
