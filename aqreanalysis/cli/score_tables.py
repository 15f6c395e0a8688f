"""`aqreanalysis evaluate` on the terminal: scores of models in tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from rich import box
from rich.table import Table

from aqreanalysis.cli import console

DESIGNS = ("map-matched", "distance-matched", "whole cities", "single stations", "regions")  # the headline first
NARROW = {"distance-matched": "distance-\nmatched", "map-matched": "map-\nmatched", "whole cities": "whole\ncities",
          "single stations": "single\nstations"}  # heads of columns


def show_scores(table: pd.DataFrame, ours: str, reference: str = "kriging") -> None:
    """Scores in tables that fit 80 columns: of each design, of every model, of places and other parts; yardsticks and
    the uncertainty in the first design alone, which stands for the map where it could be matched."""
    found = set(table.group)
    designs = [name for name in DESIGNS if name in found]
    table = table[table.group.isin(designs) & (table.hours == "all")]
    _headline(table, designs, ours, reference)
    _models(table, designs)
    _places(table, [name for name in designs if name != "distance-matched"], ours)
    _bias(table, [name for name in designs if name not in ("distance-matched", "regions")], ours, reference)
    _skill_of_parts(table, designs, ours)
    first = table[table.group == designs[0]]
    known = [name for name in ("flat mean", reference, "regression kriging", "boosting", ours)
             if name in set(table.model)]
    _daily_yardsticks(first, known)
    _uncertainty(first, known[1:], ours)


def _headline(table: pd.DataFrame, designs: list[str], ours: str, reference: str) -> None:
    """Errors and skill of hours and days in each design, a row each."""
    part = table[(table.by == "all") & (table.model == ours)]
    heads = ["", "MAE\nours", f"MAE\n{reference}", "RMSE\nratio", "skill\n%", "95 %", "NMB\n%", "in\n90 %"]
    shown = _score_table(f"{ours} at stations left out, beside {reference}", "", heads)
    for design in designs:
        for row in part[part.group == design].to_dict("records"):
            is_hourly, low, high = row["frequency"] == "hourly", row["skill_low"], row["skill_high"]
            of_reference = row["MAE"] / max(1 - row["skill_percent"] / 100, 1e-9)
            shown.add_row(design if is_hourly else "", "hours" if is_hourly else "days", _three_figures(row["MAE"]),
                          _three_figures(of_reference), f"{row['RMSE_ratio']:.3f}", _percent(row["skill_percent"]),
                          f"{low:+.1f} to {high:+.1f}" if low == low else "-", f"{row['NMB_percent']:+.1f}",
                          _known(row["coverage_90"], ".3f"))
    console.OUT.print(shown)
    worth = part[(part.frequency == "hourly")].set_index("group").stations
    console.OUT.print("  stations, or how many equal ones they are worth: "
                      + ", ".join(f"{design} {worth[design]:.0f}" for design in designs))
    console.OUT.print("  95 %: weeks and cities drawn again; in 90 %: what the intervals hold\n")


def _models(table: pd.DataFrame, designs: list[str]) -> None:
    """MAE of every model, hours and days."""
    part = table[table.by == "all"]
    shown = _score_table("MAE of hours | of days, µg m⁻³", "", [NARROW.get(design, design) for design in designs])
    cells = {(row["model"], row["group"], row["frequency"]): row["MAE"] for row in part.to_dict("records")}
    for model in dict.fromkeys(part.model):
        shown.add_row(model, *(" | ".join(_three_figures(cells.get((model, design, frequency), float("nan")))
                                          for frequency in ("hourly", "daily")) for design in designs))
    console.OUT.print(shown)


def _places(table: pd.DataFrame, designs: list[str], ours: str) -> None:
    """Bias and skill at kinds of places, in hours; what kriging has there is in the file."""
    part = table[(table.model == ours) & (table.frequency == "hourly") & (table.by == "place")]
    if part.empty:
        return
    cells = {(row["slice"], row["group"]): f"{_percent(row['skill_percent'])} | {row['NMB_percent']:+.1f} | "
                                           f"{row['coverage_90']:.2f}" for row in part.to_dict("records")}
    shown = _score_table(f"{ours}, hours, by kind of place: skill % | NMB % | share in the 90 % interval", "",
                         [NARROW.get(design, design) for design in designs])
    for place in dict.fromkeys(part.slice):
        shown.add_row(str(place), *(cells.get((place, design), "-") for design in designs))
    console.OUT.print(shown)


def _bias(table: pd.DataFrame, designs: list[str], ours: str, reference: str) -> None:
    """Bias of hours over all and by kind of place, and its ratio to the reference's, with what both may be."""
    part = table[(table.model == ours) & (table.frequency == "hourly") & table.by.isin(["all", "place"])]
    shown = _score_table(f"{ours}, hours: NMB % (95 %) and, below, over that of {reference}", "",
                         [NARROW.get(design, design) for design in designs])
    cells = {(row["slice"], row["group"]): row for row in part.to_dict("records")}
    for place in dict.fromkeys(part.slice):
        rows = [cells.get((place, design)) for design in designs]
        shown.add_row(str(place), *(_with_ends(row, "NMB_percent", "NMB", "+.1f") for row in rows))
        shown.add_row(f"  over {reference}'s", *(_with_ends(row, "NMB_ratio", "NMB_ratio", "+.2f") for row in rows))
    console.OUT.print(shown)
    console.OUT.print(f"  -: fewer than four weeks or cities, or the bias of {reference} may be none\n")


def _with_ends(row: dict | None, score: str, ends: str, form: str) -> str:
    """`+5.2 (3.1, 7.4)`; a ratio without an interval is not shown."""
    if row is None or row[score] != row[score]:
        return "-"
    low, high = row[f"{ends}_low"], row[f"{ends}_high"]
    if low != low:
        return "-" if score == "NMB_ratio" else format(row[score], form)
    inside = form.removeprefix("+")
    return f"{row[score]:{form}} ({low:{inside}}, {high:{inside}})"


def _score_table(title: str, first: str, columns: Iterable[str]) -> Table:
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(first, no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right")
    return shown


def _skill_of_parts(table: pd.DataFrame, groups: list[str], ours: str) -> None:
    """Skill of hours and the share in the 90 % interval, by season, observed level and distance."""
    part = table[(table.model == ours) & (table.frequency == "hourly")
                 & table.by.isin(["season", "observed level", "distance third"])]
    shown = _score_table(f"{ours}, hourly: skill over kriging in % | share in the 90 % interval", "",
                         [NARROW.get(group, group) for group in groups])
    cells = {(row["by"], row["slice"], row["group"]): f"{_percent(row['skill_percent'])} | {row['coverage_90']:.2f}"
             for row in part.to_dict("records")}
    for by, name in dict.fromkeys((by, name) for by, name, _ in cells):
        shown.add_row(f"{by} {name}" if by != "season" else str(name),
                      *(cells.get((by, name, group), "-") for group in groups))
    console.OUT.print(shown)


def _daily_yardsticks(table: pd.DataFrame, models: list[str]) -> None:
    """Yardsticks of daily means of one design, and what each rests on."""
    from aqreanalysis.evaluation.metrics import YARDSTICKS

    part = table[(table.by == "all") & (table.frequency == "daily") & table.model.isin(models)]
    shown = _score_table(f"{table.group.iloc[0]}, daily means: yardsticks of the literature; over 75 µg m⁻³", "",
                         ["MQI\n2nd\nhand", "Emery\nuncon-\nfirmed", "Boylan", "class\nright", "POD", "FAR", "CSI"])
    for row in part.to_dict("records"):
        shown.add_row(row["model"], f"{row['MQI_secondary_source']:.2f}", row["emery_unconfirmed"],
                      row["boylan_russell"], *(_known(row[name], ".2f") for name in ("class_agreement", "POD", "FAR",
                                                                                     "CSI")))
    console.OUT.print(shown)
    for basis in YARDSTICKS.values():
        console.OUT.print(f"  {basis}")
    console.OUT.print()


def _uncertainty(table: pd.DataFrame, models: list[str], ours: str) -> None:
    """CRPS, coverage, width and score of intervals of one design; of other models, by how much ours are narrower."""
    part = table[(table.by == "all") & table.model.isin(models) & table.width_90.notna()]
    for frequency, of in part.groupby("frequency", sort=False):
        shown = _score_table(f"{table.group.iloc[0]}, {frequency} intervals; ours: {ours} at the same coverage", "",
                             ["CRPS", "in\n50 %", "in\n90 %", "below", "above", "90 %\nwidth", "90 %\nscore",
                              "ours\nnarrower"])
        for row in of.to_dict("records"):
            shares = ("CRPS", "coverage_50", "coverage_90", "below_90", "above_90")
            narrower = row["narrower_percent"]
            shown.add_row(row["model"], *(_known(row[name], ".2f") for name in shares),
                          f"{row['width_90']:.1f}", f"{row['interval_score']:.0f}",
                          f"{narrower:+.1f} %" if row["model"] != ours and narrower == narrower else "")
        console.OUT.print(shown)


def _known(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"


def _three_figures(value: float) -> str:
    """Three figures: 8.28, 13.9."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _percent(value: float) -> str:
    """A signed figure in at most five characters."""
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"
