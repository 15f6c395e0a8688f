"""
What the people of a province breathe
=====================================

The mean over the people of each province beside the mean over its area, both with 90 % intervals.

**What to trust.** People live in valleys and towns, where the air is worse than in the mountains round them: the mean
over the area is no exposure. The intervals take into account that errors of neighbouring cells are alike. They leave
out that the network stands in towns: of months of whole provinces, two thirds of the intervals held on the twin, not
nine of ten (:doc:`../areas`). People are counted where they live, outdoors.

**What not to trust** is the population of this page: it puts all people of a town into one point, and leaves villages
out. Take GPW, WorldPop or GHSL (:doc:`../exposure`).
"""
import importlib.resources

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from rasterio.transform import from_origin

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# A raster of people per cell of 0.1 degree, from the towns that ship with the package (GeoNames; places in
# thousandths of a degree).
towns = np.load(importlib.resources.files("aqreanalysis") / "data" / "places.npz")
people, _, _ = np.histogram2d(towns["lat"] / 1000, towns["lon"] / 1000, bins=(140, 190), range=((29, 43), (106, 125)),
                              weights=towns["population"].astype(float))
with rasterio.open("people.tif", "w", driver="GTiff", width=190, height=140, count=1, dtype="float64", crs="EPSG:4326",
                   transform=from_origin(106, 43, 0.1, 0.1)) as raster:
    raster.write(people[::-1], 1)

# %%
# Means of January over the provinces that ship with the package. Provinces that are on the grid in small part are
# left aside here.
provinces = aqreanalysis.area_means(product, population="people.tif", population_is="count", every="month").isel(time=0)
provinces = provinces.where(provinces.share_on_grid > 0.8, drop=True).sortby("pm25_population_weighted")
names = ["pm25", *(f"pm25_population_weighted{ending}" for ending in ("", "_lower", "_upper"))]
provinces[names].to_dataframe()[names].round(1)

# %%
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for name, shift, colour, words in (("pm25_population_weighted", 0.15, "#d95f02", "mean over people (towns only)"),
                                   ("pm25", -0.15, "#1b9e77", "mean over area")):
    low, high = provinces[name] - provinces[f"{name}_lower"], provinces[f"{name}_upper"] - provinces[name]
    ax.errorbar(provinces[name], np.arange(provinces.area.size) + shift, xerr=[low, high], fmt="o", color=colour,
                capsize=3, label=f"{words}, with 90 % interval")
ax.set_yticks(np.arange(provinces.area.size), provinces.area.values)
ax.set(xlabel="PM2.5 of January 2016 (µg m⁻³)", xlim=(0, None), title="SIMULATED: provinces on the grid")
ax.legend(frameon=False, loc="upper left")
plt.show()
