"""
How uncertain is the mean of a month, a season, a year?
=======================================================

The standard error of means over more and more days, by three assumptions on the errors of its days: independent, as
correlated as they were measured to be, all the same. The twin's truth says which one is right.

**What to trust.** The correlated one, which is what ``summarise`` gives. Independent errors promise a year's mean to
within a few tenths of a µg m⁻³, which no product can keep; errors that are all the same say that averaging is of no
use. Beyond a month the error hardly gets smaller: what is left is the bias of a place. The correlation is measured by
each product at stations that were hidden from it. A product of one month knows little of what lasts longer than a
month, so the numbers for a season and a year are an extrapolation.
"""
import matplotlib.pyplot as plt
import numpy as np

import aqreanalysis
from aqreanalysis import BuildRequest
from aqreanalysis.models import error_correlation

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))
days = aqreanalysis.open_product(product, "daily").load()
truth = aqreanalysis.open_product(product, "truth").pm25.load().coarsen(time=24).mean()
land = (days.quality_flag <= 1).all("time")  # supported on all days, or weakly


def over_land(squares):
    """The root of the mean over land of squares."""
    return float(np.sqrt(squares.where(land).mean()))


# %%
# Means of the first 1, 2, 4, ... days: what was promised, and what the error was.
lengths, rows = [1, 2, 4, 8, 16, 31], []
for n in lengths:
    first = days.isel(time=slice(n))
    mean = aqreanalysis.summarise(first, "all", percentiles=(), days_above=()).isel(time=0)
    error = first.pm25.mean("time") - truth.isel(time=slice(n)).mean("time")
    s = first.pm25_standard_error
    rows.append([over_land((s**2).sum("time") / n**2), over_land(mean.pm25_standard_error**2),
                 over_land(s.mean("time") ** 2), over_land(error**2)])
    print("{:2d} days: independent {:4.1f}, correlated {:4.1f}, all the same {:4.1f}; "
          "the error was {:4.1f} µg m⁻³".format(n, *rows[-1]))

# %%
# Longer means by the same closed form, with January's errors: var = s² Σ ρ(i - j) / n², over all pairs of days.
correlation, _ = error_correlation.of_attributes(days.attrs, "daily")
for name, n in (("season", 91), ("year", 365)):
    lag = np.arange(n)
    pairs = correlation.of_lag(24 * lag) * np.where(lag == 0, n, 2 * (n - lag))
    error = rows[-1][2] * np.sqrt(pairs.sum()) / n
    print(f"a {name} of such days: correlated {error:.1f}, independent {rows[-1][2] / np.sqrt(n):.1f} µg m⁻³")

# %%
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
curves = (("independent errors", "#d95f02", "-"), ("correlated errors, as measured", "#08519c", "-"),
          ("errors all the same", "#7570b3", "-"), ("actual error (twin)", "black", "--"))
for column, (words, colour, style) in enumerate(curves):
    ax.plot(lengths, np.array(rows)[:, column], marker="o", color=colour, ls=style, label=words)
ax.set(xscale="log", xlabel="days in the mean", ylabel="standard error, RMS over land (µg m⁻³)", ylim=(0, None),
       title="SIMULATED: errors of means, January 2016")
ax.set_xticks(lengths, [str(n) for n in lengths])
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()
