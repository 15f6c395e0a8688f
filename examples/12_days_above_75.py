"""
Days above 75 µg m⁻³, with their uncertainty
============================================

How many days of the month exceed China's daily limit (GB 3095-2012, grade II), counted and expected.

**What to trust.** The interval, and a count no further than it says: a day with an estimate of 70 may well have been
above 75. Estimates are smoother than air, so that counting them gives too few days above a high limit; the *expected*
number adds up the probability of each day instead. It can't mend a map that is too high or too low: over the land of
this month both numbers are somewhat too high, as the map itself is (:doc:`09_twin_truth`).
"""
import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest, MapOptions

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))
month = aqreanalysis.summarise(product, "month", days_above=(75, 150))

# %%
# Cities: counted, expected with its 90 % interval, and the twin's truth.
truth = aqreanalysis.open_product(product, "truth").pm25.load().coarsen(time=24).mean()
above = (truth > 75).sum("time")
cities = {"Beijing": (39.9, 116.4), "Tianjin": (39.1, 117.2), "Shijiazhuang": (38.0, 114.5), "Jinan": (36.7, 117.0),
          "Zhengzhou": (34.8, 113.7), "Xi'an": (34.3, 108.9), "Taiyuan": (37.9, 112.5), "Hohhot": (40.8, 111.7)}
rows = []
for name, (lat, lon) in cities.items():
    cell = month.isel(time=0).sel(lat=lat, lon=lon, method="nearest")
    rows.append([float(cell[f"days_above_75{end}"]) for end in ("", "_expected", "_lower", "_upper")]
                + [int(above.sel(lat=lat, lon=lon, method="nearest"))])
    print("{:>12}: counted {:2.0f}, expected {:4.1f} ({:2.0f} to {:2.0f}); truth {:2d}".format(name, *rows[-1]))

# %%
# All land cells that stations support: which of the two is nearer to the truth, for 75 and for 150 µg m⁻³?
here = (month.quality_flag <= 1).isel(time=0)
for limit in (75, 150):
    true = float((truth > limit).sum("time").where(here).mean())
    counted, expected = (float(month[f"days_above_{limit}{ending}"].isel(time=0).where(here).mean())
                         for ending in ("", "_expected"))
    print(f"above {limit}: counted {counted:.2f}, expected {expected:.2f}, truth {true:.2f} days a cell")

# %%
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
rows, x = np.array(rows), np.arange(len(rows))
ax.vlines(x, rows[:, 2], rows[:, 3], color="#9ecae1", lw=8, label="90 % interval")
ax.plot(x, rows[:, 1], "o", color="#08519c", label="expected")
ax.plot(x, rows[:, 0], "x", color="#d95f02", ms=8, label="counted")
ax.plot(x, rows[:, 4], "D", color="black", mfc="none", label="truth of the twin")
ax.set_xticks(x, list(cities))
ax.set(ylabel="days above 75 µg m⁻³", ylim=(0, None), title="SIMULATED: January 2016, 31 days")
ax.legend(frameon=False)
plt.show()

# %%
# The counted days on a map.
figure = aqreanalysis.draw_map(month, MapOptions(show="days-above", above=75))
