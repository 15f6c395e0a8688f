"""What real wind is worth: one row of a graph recipe's run against another one, with intervals.

    python benchmarks/wind_worth.py RUN "SPIN, averages" "SPIN, averages, permuted wind" [--hidden 0.3]

RUN is the folder of `aqreanalysis train graph-beijing` (docs/spin.md). By how much the mean absolute error of the first
row is smaller than that of the second, in per cent, in every stratum, over the draws in which both are done; the
interval is the central 95 % with weeks and stations drawn again. Prints Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from aqreanalysis.evaluation.bootstrap import skill_intervals
from aqreanalysis.recipes import GraphRecipe, load_recipe
from aqreanalysis.training.run_folder import RECIPE_FILE
from aqreanalysis.workflows.train_graphs import sums_of


def table(run: Path, row: str, against: str, share: float) -> str:
    """The Markdown table of one share of hidden stations."""
    sums, draws = sums_of(load_recipe(str(run / RECIPE_FILE), GraphRecipe), run, share, [row, against])
    total = sums.isel(frequency=0).sum(("block", "station"))
    error = total.error_absolute / total.n
    ends = skill_intervals(sums[["error_absolute", "error_squared"]], against).isel(frequency=0)
    lines = [f"{100 * share:.0f} % of the stations hidden, {draws} draws", "",
             f"| | MAE, {row} | MAE, {against} | gain, % |", "|---|---|---|---|"]
    for group in total.group.values:
        of, low, high = (each.sel(group=group) for each in (error, ends.skill_low, ends.skill_high))
        one, other = (float(of.sel(model=name)) for name in (row, against))
        low, high = float(low.sel(model=row)), float(high.sel(model=row))
        interval = f" ({low:+.1f} to {high:+.1f})" if low == low else ""  # NaN: too few weeks to draw again
        lines.append(f"| {group} | {one:.2f} | {other:.2f} | {100 * (1 - one / other):+.1f}{interval} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("row")
    parser.add_argument("against")
    parser.add_argument("--hidden", type=float, default=0.3)
    given = parser.parse_args()
    print(table(given.run, given.row, given.against, given.hidden))


if __name__ == "__main__":
    main()
