"""
Where to trust a product
========================

The quality flag, the distance to the nearest station, and what they have to do with the error.

**What to trust.** ``quality_flag`` 0 and 1 (stations near, or few of them). In ``extrapolated`` cells nobody measured
the error of real air: the standard error is carried outwards from where it could be measured. The second
figure compares it with the error that the twin knows: near stations it is on the safe side; where no station is within
some 80 km it is not.
"""
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest, MapOptions

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# The class of most days. In scripts: ``trusted = cube.pm25.where(cube.quality_flag <= 1)``.
figure = aqreanalysis.draw_map(product, MapOptions(show="flag"))

# %%
# The error of each land cell-day, by the distance to the nearest station.
days = aqreanalysis.open_product(product, "daily").load()
distance = aqreanalysis.open_product(product).distance_to_nearest_station.load()
truth = aqreanalysis.open_product(product, "truth").pm25.load().coarsen(time=24).mean()
error = days.pm25 - truth.values
land = (days.quality_flag != 4).values
far = np.broadcast_to(distance.values, land.shape)[land]
squared, promised = error.values[land] ** 2, days.pm25_standard_error.values[land] ** 2
flag = days.quality_flag.values[land]

# %%
edges = [0, 5, 10, 20, 30, 40, 60, 80, 100, 150]
rows = []
for low, high in pairwise(edges):
    here = (far >= low) & (far < high)
    rows.append((np.sqrt(squared[here].mean()), np.sqrt(promised[here].mean()), here.mean(), (flag[here] <= 1).mean()))
    print("{:3d} to {:3d} km: error {:4.1f}, standard error {:4.1f} µg m⁻³ (RMS); {:4.0%} of land, "
          "of that with flag 0 or 1: {:4.0%}".format(low, high, *rows[-1]))

# %%
middle = [(low + high) / 2 for low, high in pairwise(edges)]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(middle, [row[0] for row in rows], "o--", color="black", label="error of days (twin)")
ax.plot(middle, [row[1] for row in rows], "o-", color="#08519c", label="standard error that the product gives")
ax.set(xlabel="distance to the nearest station (km)", ylabel="RMS over land (µg m⁻³)", ylim=(0, None),
       title="SIMULATED: errors by distance, January 2016")
ax.legend(frameon=False)
plt.show()
