"""
From the twin to the truth: error, bias and coverage of every cell
==================================================================

Real air is known at stations only. The twin's is known everywhere, so each cell can be asked how far the estimate was
off.

**What to trust.** The twin is simpler than air: the pattern of the errors (small near stations, larger between and
outside them, intervals that widen with them) carries over, their size does not. Sizes for real air are those at
withheld stations (:doc:`../accuracy`). A cell has one month, so its own coverage is uncertain by some points; the
mean over land is not.
"""
import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))
hours = aqreanalysis.open_product(product).load()
truth = aqreanalysis.open_product(product, "truth").pm25.load()

# %%
# Hour by hour, then over the month, in each cell.
error = hours.pm25 - truth
bias = error.mean("time")
absolute = np.abs(error).mean("time")
inside = 100 * ((truth >= hours.pm25_lower) & (truth <= hours.pm25_upper)).mean("time")

# %%
# Over land, by what supports the estimate of the hour.
names = ["supported", "weak support", "extrapolated"]
held = (truth >= hours.pm25_lower) & (truth <= hours.pm25_upper)
for number, name in enumerate(names):
    here = hours.quality_flag == number
    mean, size = float(error.where(here).mean()), float(np.abs(error).where(here).mean())
    print(f"{name:>13}: {float(here.mean()):4.0%} of cell-hours, MAE {size:5.1f}, "
          f"bias {mean:+5.1f} µg m⁻³, inside the 90 % bounds {float(held.where(here).mean()):.0%}")

# %%
# The bias of the month: too high between stations where the network stands in towns, too low where it misses a
# source.
figure = aqreanalysis.draw_cells(bias, hours, "Bias of January 2016, estimate less truth", "bias", difference=True)

# %%
# The mean absolute error of hours.
figure = aqreanalysis.draw_cells(absolute, hours, "Mean absolute error of hours, January 2016", "mean absolute error")

# %%
# How often the bounds hold. Nine of ten over land is the aim; single cells are below and above it.
land = hours.quality_flag.isel(time=0).values != 4
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.hist(inside.values[land], bins=np.arange(40, 102.5, 2.5), color="#08519c", rwidth=0.9)
ax.axvline(90, color="#d95f02", label="aim")
mean = inside.values[land].mean()
ax.axvline(mean, color="black", ls="--", label=f"mean over land, {mean:.0f} %")
ax.set(xlabel="hours of the truth within the 90 % bounds (%)", ylabel="cells on land",
       title="SIMULATED: coverage, January 2016")
ax.legend(frameon=False, loc="upper left")
plt.show()
