"""What is shown on the terminal: progress with the time left, tables, errors in one paragraph."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
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
    """Scores in one table for each kind of hours."""
    for hours, part in table.groupby("hours", sort=False):
        shown = Table(title=f"Withheld stations, {hours} hours" if hours == "all" else f"Withheld stations, {hours}")
        for name in ("group", "", "model"):
            shown.add_column(name)
        for name in ("n", "MAE", "RMSE", "R2", "NMB %", "NME %", "skill %", "in 90 %"):
            shown.add_column(name, justify="right")
        for (_, _), rows in part.groupby(["group", "frequency"], sort=False):
            for row in rows.itertuples():
                cover = f"{row.coverage_90:.3f}" if row.frequency == "hourly" and row.coverage_90 > 0 else "-"
                shown.add_row(row.group, row.frequency, row.model, f"{row.n:,}", f"{row.MAE:.2f}", f"{row.RMSE:.2f}",
                              f"{row.R2:.3f}", f"{row.NMB_percent:+.1f}", f"{row.NME_percent:.1f}",
                              f"{row.skill_percent:+.1f}", cover)
            shown.add_section()
        OUT.print(shown)
