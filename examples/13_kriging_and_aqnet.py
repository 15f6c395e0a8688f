"""
Kriging against AQ-Net at withheld stations
===========================================

Each product hides some of its stations on some of its days and estimates them from the others, by AQ-Net and by
ordinary kriging. Nothing else has to be run.

**What to trust.** Intervals of the skill, not its value: a month has few hidden days. Near stations the two are
alike. *Whole cities* says how a city without any station fares, *map-matched* how the land of the map does, where
stations are far; it is the one to quote of a map. The gain on the twin is not that in real air (:doc:`../accuracy`).
"""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import aqreanalysis
from aqreanalysis import BuildRequest

product = aqreanalysis.build(BuildRequest(start="2016-01-01", end="2016-01-31", grid="0.25deg", out="january"))
scores = pd.read_csv(product / "simulated_validation.csv")

# %%
# Scores of hours, over all strata. Skill is the gain over kriging in mean absolute error, per cent, with its 95 %
# interval by cities drawn anew.
whole = scores[(scores["by"] == "all") & (scores["frequency"] == "hourly")].set_index("design")
whole = whole.loc[["single stations", "whole cities", "map-matched"]]
whole[["stations", "days", "MAE", "MAE_kriging", "NMB_percent", "NMB_percent_kriging", "skill_percent", "skill_low",
       "skill_high"]].round(1)

# %%
# By distance to the nearest station that was given.
far = scores[(scores["by"] == "distance") & (scores["frequency"] == "hourly") & (scores["design"] == "all designs")]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
x = np.arange(len(whole))
skill, low, high = whole["skill_percent"], whole["skill_low"], whole["skill_high"]
left.errorbar(x, skill, yerr=[skill - low, high - skill], fmt="o", color="#08519c", capsize=4)
left.axhline(0, color="black", lw=0.8)
left.set_xticks(x, whole.index)
left.set(ylabel="skill over kriging (%), 95 % interval", xlabel="which stations were hidden",
         xlim=(-0.5, len(whole) - 0.5))
right.plot(far["slice"], far["MAE_kriging"], "o--", color="#d95f02", label="ordinary kriging")
right.plot(far["slice"], far["MAE"], "o-", color="#08519c", label="AQ-Net")
right.set(ylabel="mean absolute error of hours (µg m⁻³)", xlabel="distance to the nearest station", ylim=(0, None))
right.tick_params(axis="x", rotation=45)
right.legend(frameon=False)
figure.suptitle("SIMULATED: hidden stations of January 2016")
plt.show()
