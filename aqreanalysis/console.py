"""What is shown on the terminal: progress with the time left, tables, errors in one paragraph."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

OUT, ERR = Console(highlight=False), Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, as it is."""
    OUT.print(text, markup=False, soft_wrap=True)


def error(text: str) -> None:
    """One paragraph on the error stream."""
    ERR.print(f"Error: {text}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def watch(plan) -> Iterator[None]:
    """What a build will do, then a bar of its hours with the time left."""
    if plan.folder.simulated:
        OUT.print(Panel("SIMULATED: no observations of this period were found, so the built-in twin is used. "
                        "The product is not real air. Give real ones with --observations.", style="bold red"))
    say(f"observations: {plan.about.observations.rstrip('.')} ({plan.inspection.good} files)")
    for text in plan.inspection.bad[:5]:
        say(f"  skipped: {text}")
    if len(plan.inspection.bad) > 5:
        say(f"  ... {len(plan.inspection.bad)} files skipped in all; run.json names them")
    say(f"period: {plan.period.first} to {plan.period.last} (UTC+8), {plan.period.n_days} days")
    say(f"grid: {plan.grid.name}, {plan.grid.size} {'points' if plan.grid.kind == 'points' else 'cells'}")
    if plan.far_share > 0.01:
        say(f"  {plan.far_share:.0%} of it lies far from any station; see quality_flag")
    say(f"model: {plan.about.model}")
    say(f"folder: {plan.folder.path}")
    columns = (TextColumn("hours"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("left:"), TimeRemainingColumn())
    with _HoursDone(plan, *columns, console=OUT):
        yield


class _HoursDone(Progress):
    """A bar that counts finished months and asks the others' files how far they are."""

    def __init__(self, plan, *columns, **options):
        self._plan, self._ready = plan, False
        super().__init__(*columns, **options)
        self._bar = self.add_task("hours", total=len(plan.period.hours), completed=self._hours())
        self._ready = True

    def _hours(self) -> int:
        return sum(self._of_month(month) for month in self._plan.period.months())

    def _of_month(self, month) -> int:
        if self._plan.folder.month_done(month):
            return len(month.hours)
        try:
            return int(self._plan.folder.progress(month).read_text())
        except (OSError, ValueError):
            return 0

    def get_renderables(self):
        if self._ready:
            self.update(self._bar, completed=self._hours())
        yield from super().get_renderables()


def product(folder: Path) -> None:
    """The files of a finished product."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    files = sorted(folder.glob("*.nc"))
    size = sum(file.stat().st_size for file in files)
    say(f"done in {record['seconds']:.0f} s: {len(files)} NetCDF files, {size / 1e6:.0f} MB, "
        f"{len(list((folder / 'maps').glob('*.png')))} maps, {folder / 'report.html'}")


def validation(facts: dict) -> None:
    """One line for each validation of a training."""
    table = facts["table"]
    ours = table[(table.model == "AQ-Net") & (table.frequency == "hourly")]
    skills = ", ".join(f"{row.group}: MAE {row.MAE:.2f}, skill {row.skill_percent:+.1f} %" for row in ours.itertuples())
    say(f"step {facts['step']:>6} ({facts['seconds'] / 60:5.1f} min)  loss {facts['loss']:.3f}  {skills}")


def scores(table: pd.DataFrame) -> None:
    """Scores, one table for each group of stations and kind of hours; narrow enough for 80 columns."""
    for (hours, group), part in table.groupby(["hours", "group"], sort=False):
        hourly, daily = (part[part.frequency == name].set_index("model") for name in ("hourly", "daily"))
        shown = Table(title=f"{group}, {'all hours' if hours == 'all' else hours}: "
                            f"{hourly.n.iloc[0]:,} hours, {daily.n.iloc[0]:,} days", title_justify="left",
                      box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        shown.add_column("", no_wrap=True)
        for name in ("MAE", "RMSE", "R2", "skill\n%", "NMB\n%", "in\n90 %"):
            shown.add_column(name, justify="right")
        for name in ("MAE", "RMSE", "R2", "skill"):
            shown.add_column(f"day\n{name}", justify="right")
        for model in hourly.index:
            of, days = hourly.loc[model], daily.loc[model]
            shown.add_row(model, f"{of.MAE:.2f}", f"{of.RMSE:.2f}", f"{of.R2:.3f}", _percent(of.skill_percent),
                          f"{of.NMB_percent:+.1f}", f"{of.coverage_90:.2f}" if of.coverage_90 > 0 else "-",
                          f"{days.MAE:.2f}", f"{days.RMSE:.2f}", f"{days.R2:.3f}", _percent(days.skill_percent))
        OUT.print(shown)


def _percent(value: float) -> str:
    """A signed figure in at most five characters."""
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"
