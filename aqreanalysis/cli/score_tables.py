"""`aqreanalysis evaluate` on the terminal: scores of models in tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from rich import box
from rich.table import Table

from aqreanalysis.cli import console


def show_scores(table: pd.DataFrame, ours: str = "AQ-Net", reference: str = "kriging") -> None:
    """Scores in tables that fit 80 columns: of each design, of parts of it, of days, of the uncertainty."""
    whole = table[table.by == "all"]
    for hours, group in whole[["hours", "group"]].drop_duplicates().itertuples(index=False):
        part = whole[(whole.hours == hours) & (whole.group == group)]
        _errors(str(hours), str(group), part)
        _skill_intervals(part[(part.model == ours) & part.skill_low.notna()], ours, reference)
    _skill_of_parts(table, ours)
    _daily_yardsticks(table, [name for name in ("flat mean", reference, "boosting", ours) if name in set(table.model)])
    _uncertainty(table, [name for name in (reference, "boosting", ours) if name in set(table.model)], ours)


def _skill_intervals(part: pd.DataFrame, ours: str, reference: str) -> None:
    """The 95 % intervals of skill and RMSE."""
    for row in part.itertuples():
        console.say(f"  {ours} over {reference}, {row.frequency}: skill {row.skill_percent:+.1f} % "
                    f"({row.skill_low:+.1f} to {row.skill_high:+.1f}), RMSE x {row.RMSE_ratio:.3f} "
                    f"({row.RMSE_ratio_low:.3f}-{row.RMSE_ratio_high:.3f})")
    if len(part):
        console.say("  in brackets: the central 95 %, weeks and cities resampled\n")


def _score_table(title: str, first: str, columns: Iterable[str]) -> Table:
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(first, no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right")
    return shown


def _errors(hours: str, group: str, part: pd.DataFrame) -> None:
    """Errors of hours and days of one design, a row a model."""
    hourly, daily = (part[part.frequency == name].set_index("model") for name in ("hourly", "daily"))
    shown = _score_table(f"{group}, {'all hours' if hours == 'all' else hours}: {hourly.n.iloc[0]:,} hours, "
                         f"{daily.n.iloc[0] if len(daily) else 0:,} days", "",
                         ["MAE", "RMSE", "R2", "skill\n%", "NMB\n%", "in\n90 %",
                          *(f"day\n{name}" for name in ("MAE", "RMSE", "R2", "skill"))])
    for model in hourly.index:
        of = hourly.loc[model]
        days = daily.loc[model] if len(daily) else of * float("nan")
        shown.add_row(model, _three_figures(of.MAE), _three_figures(of.RMSE), _r2(of.R2), _percent(of.skill_percent),
                      f"{of.NMB_percent:+.1f}", f"{of.coverage_90:.2f}" if of.coverage_90 > 0 else "-",
                      _three_figures(days.MAE), _three_figures(days.RMSE), _r2(days.R2), _percent(days.skill_percent))
    console.OUT.print(shown)


def _skill_of_parts(table: pd.DataFrame, ours: str) -> None:
    """Skill of hours and the share in the 90 % interval, by season, level and distance."""
    part = table[(table.model == ours) & (table.frequency == "hourly") & (table.hours == "all")
                 & table.by.isin(["season", "observed level", "predicted level", "distance third"])]
    groups = list(part.group.unique())
    shown = _score_table(f"{ours}, hourly: skill over kriging in % | share in the 90 % interval", "",
                         [group.replace(" ", "\n").replace("-", "-\n") for group in groups])
    cells = {(row["by"], row["slice"], row["group"]): f"{_percent(row['skill_percent'])} | {row['coverage_90']:.2f}"
             for row in part.to_dict("records")}
    for by, name in dict.fromkeys((by, name) for by, name, _ in cells):
        shown.add_row(f"{by} {name}" if by != "season" else str(name),
                      *(cells.get((by, name, group), "-") for group in groups))
    console.OUT.print(shown)


def _daily_yardsticks(table: pd.DataFrame, models: list[str]) -> None:
    """Yardsticks of daily means, and what each rests on."""
    from aqreanalysis.evaluation.metrics import YARDSTICKS

    part = table[(table.by == "all") & (table.hours == "all") & (table.frequency == "daily")
                 & table.model.isin(models)]
    shown = _score_table("daily means: yardsticks of the literature; over 75 µg m⁻³", "",
                         ["MQI\n2nd\nhand", "Emery\nuncon-\nfirmed", "Boylan", "class\nright", "POD", "FAR", "CSI"])
    for group, rows in part.groupby("group", sort=False):
        for row in rows.to_dict("records"):
            shown.add_row(f"{group}, {row['model']}", f"{row['MQI_secondary_source']:.2f}",
                          row["emery_unconfirmed"], row["boylan_russell"],
                          *(f"{row[name]:.2f}" for name in ("class_agreement", "POD", "FAR", "CSI")))
    console.OUT.print(shown)
    for basis in YARDSTICKS.values():
        console.OUT.print(f"  {basis}")
    console.OUT.print()


def _uncertainty(table: pd.DataFrame, models: list[str], ours: str) -> None:
    """CRPS, coverage, width and score of intervals; of others, by how much ours are narrower at the same coverage."""
    part = table[(table.by == "all") & (table.hours == "all") & table.model.isin(models) & table.width_90.notna()]
    for frequency, of in part.groupby("frequency", sort=False):
        shown = _score_table(f"{frequency} intervals; ours: {ours} at the same coverage", "",
                             ["CRPS", "in\n50 %", "in\n90 %", "below", "above", "90 %\nwidth", "90 %\nscore",
                              "ours\nnarrower"])
        for group, rows in of.groupby("group", sort=False):
            shown.add_row(str(group))
            for row in rows.to_dict("records"):
                shares = ("CRPS", "coverage_50", "coverage_90", "below_90", "above_90")
                shown.add_row(f"  {row['model']}", *(_known(row[name], ".2f") for name in shares),
                              f"{row['width_90']:.1f}", f"{row['interval_score']:.0f}",
                              "" if row["model"] == ours else _known(row["narrower_percent"], "+.1f") + " %")
        console.OUT.print(shown)


def _known(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"


def _three_figures(value: float) -> str:
    """Three figures: 8.28, 13.9."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _r2(value: float) -> str:
    """Five characters: 0.905, -0.12."""
    return f"{value:.3f}" if value >= 0 else f"{value:.2f}"


def _percent(value: float) -> str:
    """A signed figure in at most five characters."""
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"
