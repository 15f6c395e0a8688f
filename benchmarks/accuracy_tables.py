"""The tables of docs/accuracy.md, as Markdown, from what `aqreanalysis evaluate --out FOLDER` wrote.

    python benchmarks/accuracy_tables.py FOLDER/scores.csv

Errors by design and method; skill over kriging with its intervals; kinds of place; what the 90 % bounds hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

DESIGNS = ("map-matched", "distance-matched", "whole cities", "single stations", "regions")
METHODS = ("flat mean", "nearest", "IDW", "plain kriging", "kriging", "regression kriging")
WITH_ERRORS = METHODS[2:]  # whose standard errors are of the estimate, not of a climate
STRATA = ("season", "distance third", "predicted level", "place")
FREQUENCIES = ("hourly", "daily")


class Scores:
    """Rows of scores.csv of all hours, by what they are of."""

    def __init__(self, path: Path):
        rows = pd.read_csv(path, low_memory=False)
        rows = rows[rows.hours == "all"]
        self.ours = next(name for name in rows.model.unique() if name not in METHODS)
        self.designs = [name for name in DESIGNS if name in set(rows.group)]
        self._rows = rows.set_index(["group", "by", "slice", "frequency", "model"]).sort_index()

    def row(self, design: str, frequency: str, model: str | None = None, by: str = "all", of: str = "all") -> pd.Series:
        """Of one design, frequency, model and stratum; without a model, of ours."""
        return self._rows.loc[(design, by, of, frequency, model or self.ours)]

    def shares(self, design: str, frequency: str, by: str) -> list[float]:
        """What our bounds hold in the strata of a kind, in %."""
        rows = self._rows.loc[(design, by, slice(None), frequency, self.ours)]
        return sorted(100.0 * rows.coverage_90[rows.n > 0])


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def between(low: float, high: float, digits: int = 1, sign: str = "+") -> str:
    return f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def by_method(scores: Scores) -> Iterator[str]:
    """Errors of every method in every design."""
    yield line("left out", "method", "MAE", "RMSE", "R2", "NMB %", "skill %", "in 90 %", "daily MAE", "RMSE", "R2",
               "skill %")
    yield line(*["---"] * 12)
    for design in scores.designs:
        for number, method in enumerate((*METHODS, scores.ours)):
            hours, days = (scores.row(design, frequency, method) for frequency in FREQUENCIES)
            ours = method == scores.ours
            mae = [f"**{row.MAE:.2f}**" if ours else f"{row.MAE:.2f}" for row in (hours, days)]
            rmse = [f"**{row.RMSE:.2f}**" if ours else f"{row.RMSE:.2f}" for row in (hours, days)]
            skill = ["0" if method == "kriging" else f"{row.skill_percent:+.1f}" for row in (hours, days)]
            holds = f"{hours.coverage_90:.2f}" if ours or method in WITH_ERRORS else ""
            yield line("" if number else design, method, mae[0], rmse[0], f"{hours.R2:.3f}",
                       f"{hours.NMB_percent:+.1f}", skill[0], holds, mae[1], rmse[1], f"{days.R2:.3f}", skill[1])


def skill(scores: Scores) -> Iterator[str]:
    """Our skill over kriging with its intervals."""
    yield line("left out", "", "skill %", "weeks and cities", "weeks only", "RMSE over kriging's",
               "MAE over regression kriging's", "NMB %", "stations")
    yield line(*["---"] * 9)
    for design in scores.designs:
        for frequency in FREQUENCIES:
            row, drift = scores.row(design, frequency), scores.row(design, frequency, "regression kriging")
            yield line(design if frequency == "hourly" else "", frequency, f"{row.skill_percent:+.1f}",
                       between(row.skill_low, row.skill_high), between(row.skill_low_weeks, row.skill_high_weeks),
                       f"{row.RMSE_ratio:.3f} ({between(row.RMSE_ratio_low, row.RMSE_ratio_high, 3, '')})",
                       f"{row.MAE / drift.MAE:.3f}", f"{row.NMB_percent:+.1f}", f"{row.stations:.0f}")


def places(scores: Scores) -> Iterator[str]:
    """Errors and bias by kind of place."""
    yield line("kind of place", "left out", "hourly MAE over kriging's", "skill % (95 %)", "NMB % (95 %)", "kriging's",
               "daily MAE over kriging's", "skill % (95 %)")
    yield line(*["---"] * 8)
    for kind in ("background", "sparse", "elevated", "urban"):
        for design in scores.designs:
            if design == "distance-matched":
                continue
            hours, days = (scores.row(design, frequency, None, "place", kind) for frequency in FREQUENCIES)
            reference = scores.row(design, "hourly", "kriging", "place", kind)
            gains = [f"{row.skill_percent:+.1f} ({between(row.skill_low, row.skill_high)})" for row in (hours, days)]
            yield line(kind, design, f"{1 - hours.skill_percent / 100:.3f}", gains[0],
                       f"{hours.NMB_percent:+.1f} ({between(hours.NMB_low, hours.NMB_high)})",
                       f"{reference.NMB_percent:+.1f}", f"{1 - days.skill_percent / 100:.3f}", gains[1])


def bounds(scores: Scores) -> Iterator[str]:
    """What our bounds hold, and the range of it over strata."""
    yield line("left out", "", "holds, %", "below, above", "width", "seasons", "thirds of distance", "estimated level",
               "kinds of place")
    yield line(*["---"] * 9)
    for design in scores.designs:
        for frequency in FREQUENCIES:
            row = scores.row(design, frequency)
            ranges = [between(shares[0], shares[-1], sign="") for shares in (
                scores.shares(design, frequency, by) for by in STRATA)]
            yield line(design if frequency == "hourly" else "", frequency, f"{100 * row.coverage_90:.1f}",
                       f"{100 * row.below_90:.1f} {100 * row.above_90:.1f}", f"{row.width_90:.1f}", *ranges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, help="scores.csv of an evaluation of an analysis")
    scores = Scores(parser.parse_args().scores)
    print("\n\n".join("\n".join(table(scores)) for table in (by_method, skill, places, bounds)))


if __name__ == "__main__":
    main()
