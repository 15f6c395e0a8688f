"""
The cycle of the day and of the week, in town and country
=========================================================

The mean of each hour of the day and of each day of the week (UTC+8), in cells with a station within 10 km and in
cells 40 to 80 km from any.

**What to trust.** The cycle of the day, in town and country, as far as the estimate follows the truth below. **Not**
the cycle of the week: a month has four or five of each weekday, and weather makes them differ by more than people do.
The twin has no weekly cycle at all; what the right panel shows is chance, and its bars say so. A year or more is
needed, and a comparison with the error bars even then.
"""
import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))
hours = aqreanalysis.open_product(product).load()
truth = aqreanalysis.open_product(product, "truth").pm25.load()

# %%
# Stamps are the END of the hour in UTC: 7 hours later is its beginning in UTC+8.
begins = hours.time + np.timedelta64(7, "h")
far, land = hours.distance_to_nearest_station, (hours.quality_flag != 4).all("time")
places = {"town": land & (far < 10), "country": land & (far > 40) & (far < 80)}
series = {name: (hours.pm25.where(here).mean(("lat", "lon")).assign_coords(time=begins),
                 truth.where(here).mean(("lat", "lon")).assign_coords(time=begins)) for name, here in places.items()}
for name, here in places.items():
    print(f"{name}: {int(here.sum())} cells")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for (name, (estimate, true)), colour in zip(series.items(), ("#d95f02", "#1b9e77"), strict=True):
    by_hour, truth_by_hour = (of.groupby("time.hour").mean() for of in (estimate, true))
    left.plot(by_hour.hour, by_hour, "o-", ms=3, color=colour, label=f"{name}, estimate")
    left.plot(by_hour.hour, truth_by_hour, "--", color=colour, label=f"{name}, truth of the twin")
    days = estimate.resample(time="1D").mean().groupby("time.dayofweek")
    mean, error = days.mean(), days.std(ddof=1) / np.sqrt(days.count())
    shift = 0.1 if name == "town" else -0.1
    right.errorbar(mean.dayofweek + shift, mean, yerr=error, fmt="o", color=colour, capsize=3, label=name)
    range_, true_range, of_week = (float(of.max() - of.min()) for of in (by_hour, truth_by_hour, mean))
    print(f"{name}: {range_:.1f} µg m⁻³ from the lowest to the highest hour (truth {true_range:.1f}); "
          f"weekdays differ by {of_week:.0f}, and each is known to ± {float(error.mean()):.0f}")
left.set(xlabel="hour of the day (UTC+8), its beginning", ylabel="PM2.5 (µg m⁻³)", ylim=(0, None),
         xticks=range(0, 24, 3))
right.set(xlabel="day of the week; bars: standard error of weather")
right.set_xticks(range(7), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
left.legend(frameon=False, fontsize=8)
right.legend(frameon=False)
figure.suptitle("SIMULATED: January 2016")
plt.show()
