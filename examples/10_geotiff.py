"""
To GeoTIFF, and back with rasterio
==================================

Days of a product as a GeoTIFF for QGIS, ArcGIS or R, opened again with rasterio: a band a day, each with its date,
units and source.

**What to trust.** The numbers are the product's to the last bit, unless ``scale`` asks for whole numbers. A GeoTIFF
has no flags beside its values: export ``quality_flag`` too and mask with it, or cells far from any station look as
good as the others.
"""
import matplotlib.pyplot as plt
import numpy as np
import rasterio

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))

# %%
# A file for each variable. Names of simulated products begin with ``simulated_``, whatever was asked for.
done = aqreanalysis.export(product, "days.tif", every="day", variables=["pm25", "quality_flag"],
                           start="2016-01-10", end="2016-01-14")
paths = {("flag" if "quality_flag" in path.name else "pm25"): path for path in (*done.written, *done.kept)}
for path in paths.values():
    print(path.name)

# %%
with rasterio.open(paths["pm25"]) as file:
    print(file.crs, file.res, file.count, "bands;", file.descriptions[0], "...", file.descriptions[-1])
    print("simulated:", file.tags()["simulated"], "|", file.tags()["title"])
    values, bounds = file.read(1, masked=True), file.bounds
    beijing = next(file.sample([(116.4, 39.9)]))
with rasterio.open(paths["flag"]) as file:
    flag = file.read(1)
print("the five days in Beijing:", np.round(beijing, 1), "µg m⁻³")

# %%
# The same numbers as the product's, north up.
days = aqreanalysis.open_product(product, "daily").pm25.sel(time="2016-01-10T16").isel(lat=slice(None, None, -1))
print("largest difference:", float(np.abs(values - days.values).max()))

# %%
# Only what stations support, or support weakly; the rest is left white.
trusted = np.ma.masked_where(flag > 1, values)
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
picture = ax.imshow(trusted, extent=extent, cmap="viridis_r", vmin=0, aspect=1.25)
figure.colorbar(picture, label="PM2.5 (µg m⁻³)")
ax.set(xlabel="longitude (°E)", ylabel="latitude (°N)", title="SIMULATED: 10 January 2016, where stations support it")
plt.show()
