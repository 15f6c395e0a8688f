"""Shares of people above limits beside the truth, which the twin knows: of best estimates, expected, and their bounds.

    python benchmarks/exposure.py PRODUCT POPULATION

PRODUCT is of the twin (`aqreanalysis build` without observations), with its truth; areas are the provinces that ship.
Rows are the shares of provinces, limits and periods of which not all agree that nobody or everybody is above: means,
and root mean square differences from the truth, in percent of the people; how many of the true shares lie inside the
90 % bounds, and how wide these are.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from aqreanalysis import exposure, open_product
from aqreanalysis.periods import periods_of
from aqreanalysis.product.exposure import CellMeans, shares_above
from aqreanalysis.product.exposure_tables import SHARE_ENDS
from aqreanalysis.time_axis import local_days
from aqreanalysis.workflows.areas import AreaRequest, area_plan

LIMITS = (15.0, 25.0, 35.0, 50.0, 75.0, 100.0)
SURE = 1.0  # percent, within which a share is nobody or everybody
SLACK = 0.01  # percent: of float32


def shares(product: str, population: str, every: str, truth: np.ndarray, days: np.ndarray) -> pd.DataFrame:
    """A row for each province, limit and period; `truth` (days, cells)."""
    plan = area_plan(AreaRequest(product, every, population=population))
    found, rows = exposure(product, population, every=every, above=LIMITS), []
    for step, period in enumerate(periods_of(every, days)):
        mean = truth[period.has(days)].mean(axis=0)[plan.setting.cells]
        true, _ = shares_above(plan.setting.people, CellMeans(period, mean, np.zeros_like(mean)), LIMITS)
        for number, limit in enumerate(LIMITS):
            values = (found[f"people_above_{limit:g}{end}"].values[:, step] for end, _ in SHARE_ENDS)
            names = ("best", "expected", "lower", "upper")
            rows.append(pd.DataFrame({"limit": limit, "truth": 100.0 * true[number],
                                      **dict(zip(names, values, strict=True))}))
    table = pd.concat(rows, ignore_index=True)
    three = table[["truth", "best", "expected"]]
    return table[(three.max(axis=1) > SURE) & (three.min(axis=1) < 100.0 - SURE)]


def main() -> None:
    product, population = sys.argv[1:3]
    hours = open_product(product, "truth").pm25
    truth = hours.values.reshape(hours.sizes["time"] // 24, 24, -1).mean(axis=1)
    days = np.unique(local_days(hours.time.values))
    for every in ("day", "month", "all"):
        table = shares(product, population, every, truth, days)
        rms = {f"rms_{name}": np.sqrt(((table[name] - table.truth) ** 2).mean()) for name in ("best", "expected")}
        inside = 100.0 * ((table.lower - SLACK <= table.truth) & (table.truth <= table.upper + SLACK)).mean()
        row = {"every": every, "shares": len(table)} | table[["truth", "best", "expected"]].mean().to_dict() | rms
        row |= {"inside": inside, "width": (table.upper - table.lower).mean()}
        print(pd.DataFrame([row]).round(1).to_string(index=False, header=every == "day"))


if __name__ == "__main__":
    main()
