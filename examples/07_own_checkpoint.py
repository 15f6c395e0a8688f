"""
A checkpoint of your own
========================

A network trained from a recipe, in seconds, and a product made with it.

**What to trust: nothing of this network.** It saw nine days and forty steps; the one that ships saw a year and
thousands. The page shows the way, and that a checkpoint says by itself how little it is better than kriging. For a
real one: a year or more of your network, the recipes that ship as a beginning (:doc:`../reference/recipes`), some
hours on a processor, and settings chosen at stations that are not the ones you report.
"""
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import aqreanalysis
from aqreanalysis import BuildRequest, TrainingRecipe

# %%
# Observations to learn from: the simulated stations round Beijing. A recipe can be a YAML file too, for
# ``aqreanalysis train``.
written, = aqreanalysis.simulate("nine_days", "2016-01-08", "2016-01-16")
rows = pd.read_parquet(written)
rows[rows.lon.between(112, 119) & rows.lat.between(35, 41)].to_parquet(written)
recipe = TrainingRecipe(name="too-small", observations="nine_days", start="2016-01-08", end="2016-01-16", folds=2,
                        network={"width": 8, "channels": 8, "hidden": 16, "hidden_out": 8},
                        training={"steps": 40, "views": 2, "samples_per_step": 8, "learning_rate": 0.01})
checkpoint = Path("runs/too-small")
if not checkpoint.exists():
    checkpoint = aqreanalysis.train(recipe, Path("runs"), report=print)

# %%
# What the checkpoint says of itself: errors at stations that were left out of its training, one network a fold, and
# the gain over kriging.
card = aqreanalysis.describe(str(checkpoint))
scores = pd.DataFrame(card.scores["held_out_stations"])
scores = scores[scores["frequency"] == "hourly"].set_index("design")
scores["MAE_kriging"] = scores["MAE"] / (1 - scores["skill_percent"] / 100)
scores[["MAE", "MAE_kriging", "skill_percent", "NMB_percent"]].round(1)

# %%
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
scores[["MAE_kriging", "MAE"]].plot.bar(ax=ax, color=["#999999", "#d95f02"], rot=0)
ax.set(xlabel="which stations were left out", ylabel="mean absolute error of hours (µg m⁻³)",
       title="SIMULATED: a network of seconds beside kriging")
ax.legend(["ordinary kriging", "too-small"], frameon=False, loc="upper left")
plt.show()

# %%
# A product with it, on a grid of half a degree. It takes the checkpoint's own calibration.
Path("plain.txt").write_text("gridtype = lonlat\nxsize = 12\nysize = 10\n"
                             "xfirst = 112.75\nxinc = 0.5\nyfirst = 35.75\nyinc = 0.5\n")
product = aqreanalysis.build(BuildRequest(start="2016-01-11", end="2016-01-12", grid="plain.txt", out="too_small",
                                          observations="nine_days", checkpoint=str(checkpoint),
                                          calibration="checkpoint"))
print(aqreanalysis.open_product(product).attrs["title"])
