"""What is shown on the terminal: progress with the time left, tables, errors in one paragraph."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table

SHOWN = 5
OUT, ERR = Console(highlight=False), Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, as it is."""
    OUT.print(text, markup=False, soft_wrap=True)


def error(text: str) -> None:
    """One paragraph on the error stream."""
    ERR.print(f"Error: {text}", markup=False, soft_wrap=True)


def warnings(texts: list[str]) -> None:
    """What is strange and does not stop the work; a line each."""
    some("warning", texts)


def some(kind: str, texts: list[str]) -> None:
    """The first of some sentences, a line each, and how many there are in all."""
    for text in texts[:SHOWN]:
        say(f"  {kind}: {text}")
    if len(texts) > SHOWN:
        say(f"  {kind}: ... {len(texts)} in all; `aqreanalysis describe` tells them")


class Watch:
    """What a build will do, then a bar of its hours with the time left; a context manager.

    It is told which months are done; of the others it asks the files in which they leave word of how far they are.
    """

    def __init__(self, plan, left: list):
        self._plan, self._left = plan, {f"{month.first:%Y-%m}": month for month in left}
        columns = (TextColumn("hours"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                   TextColumn("left:"), TimeRemainingColumn())
        self._bar = _HoursDone(self._hours, len(plan.period.hours), columns)

    def __enter__(self):
        introduce(self._plan)
        kept = len(self._plan.period.months()) - len(self._left)
        if kept:
            say(f"going on: {kept} of {kept + len(self._left)} months are done")
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def done(self, label: str) -> None:
        """A month is done."""
        del self._left[label]

    def tell(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(f"  {text}", markup=False, soft_wrap=True)

    def _hours(self) -> int:
        left = list(self._left.values())
        return len(self._plan.period.hours) - sum(len(month.hours) - self._of_month(month) for month in left)

    def _of_month(self, month) -> int:
        try:
            return int(self._plan.folder.progress(month).read_text())
        except (OSError, ValueError):
            return 0


def introduce(plan) -> None:
    """What a build will do, and what is strange about it."""
    if plan.folder.simulated:
        OUT.print(Panel("SIMULATED: no observations of this period were found, so the built-in twin is used. "
                        "The product is not real air. Give real ones with --observations.", style="bold red"))
    say(f"observations: {plan.about.observations.rstrip('.')} ({plan.inspection.good} files)")
    some("skipped", plan.inspection.skipped)
    some("odd", plan.inspection.anomalies)
    warnings(plan.warnings)
    say(f"period: {plan.period.first} to {plan.period.last} (UTC+8), {plan.period.n_days} days")
    say(f"grid: {plan.grid.name}, {plan.grid.size} {'points' if plan.grid.kind == 'points' else 'cells'}")
    if plan.far_share > 0.01:
        say(f"  {plan.far_share:.0%} of it lies far from any station; see quality_flag")
    say(f"model: {plan.about.model}")
    say(f"folder: {plan.folder.path}")


class _HoursDone(Progress):
    """A bar that asks how many hours are done each time that it is drawn."""

    def __init__(self, hours: Callable[[], int], total: int, columns):
        self._hours = None
        super().__init__(*columns, console=OUT)
        self._task = self.add_task("hours", total=total, completed=hours())
        self._hours = hours

    def get_renderables(self):
        if self._hours:
            self.update(self._task, completed=self._hours())
        yield from super().get_renderables()


def product(folder: Path) -> None:
    """The files of a finished product."""
    from aqreanalysis.output import FORMATS

    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    known = FORMATS[record["identity"]["format"]]
    files = sorted(folder.glob(f"*{known.suffix}"))
    parts = [part for path in files for part in (path.rglob("*") if path.is_dir() else [path])]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    say(f"done in {record['seconds']:.0f} s: {len(files)} {known.plural}, "
        f"{size / 1e6:.0f} MB, {len(list((folder / 'maps').glob('*.png')))} maps, {folder / 'report.html'}")


def files(wanted: list) -> Iterable:
    """The files of a list one after the other, under a bar with the time left."""
    return track(wanted, "files", console=OUT)


@contextlib.contextmanager
def months() -> Iterator[Callable[[int, int], None]]:
    """A bar of months with the time left; gives what is to be told (done, of how many)."""
    columns = (TextColumn("months"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=OUT) as progress:
        bar = progress.add_task("months", total=None)
        yield lambda done, of: progress.update(bar, completed=done, total=of)


def ingested(summary, seconds: float) -> None:
    """What an ingest did, and what the archive is now."""
    for kind, texts in (("skipped", summary.skipped), ("odd", summary.anomalies), ("gone, kept", summary.vanished),
                        ("warning", summary.warnings)):
        some(kind, texts)
    archive, files, counts = summary.archive, summary.files, summary.counts
    say("files: " + ", ".join(f"{number} {state}" for state, number in files.items()))
    if counts["repeated"]:
        say(f"{counts['repeated']:,} values stand in more than one source, {counts['differing']:,} of them differ; "
            "those of the first source were taken")
    if summary.flagged[1]:
        share = summary.flagged[0] / summary.flagged[1]
        say(f"quality control marked {share:.1%} of {summary.flagged[1]:,} PM2.5 values")
    first, last = archive.period()
    say(f"{len(archive.stations)} stations, {first.astype('M8[h]')} to {last.astype('M8[h]')} UTC, "
        f"{len(archive.hours):,} hours, {counts['values'] - counts['repeated']:,} values")
    done = f"written in {seconds:.0f} s" if summary.written else "nothing is new, so that it was not touched"
    say(f"{summary.path}: {summary.path.stat().st_size / 1e6:.1f} MB, {done}")


def validation(reached, table: pd.DataFrame) -> None:
    """One line for each validation of a training (training.loop.Validation) and its table of scores."""
    ours = table[(table.model == "AQ-Net") & (table.frequency == "hourly")]
    skills = ", ".join(f"{row.group}: MAE {row.MAE:.2f}, skill {row.skill_percent:+.1f} %" for row in ours.itertuples())
    say(f"step {reached.step:>6} ({reached.seconds / 60:5.1f} min)  loss {reached.loss:.3f}  {skills}")


def scores(table: pd.DataFrame, ours: str = "AQ-Net", reference: str = "kriging") -> None:
    """Scores in tables that fit 80 columns: of each design, of parts of it, of days, of the uncertainty."""
    for (hours, group), part in table[table.by == "all"].groupby(["hours", "group"], sort=False):
        _errors(hours, group, part)
        _sure(part[(part.model == ours) & part.skill_low.notna()], ours, reference)
    _parts(table, ours)
    _days(table, [name for name in ("flat mean", reference, "boosting", ours) if name in set(table.model)])
    _uncertainty(table, [name for name in (reference, "boosting", ours) if name in set(table.model)], ours)


def _sure(part: pd.DataFrame, ours: str, reference: str) -> None:
    """The 95 % intervals of skill and RMSE."""
    for row in part.itertuples():
        say(f"  {ours} over {reference}, {row.frequency}: skill {row.skill_percent:+.1f} % ({row.skill_low:+.1f} to "
            f"{row.skill_high:+.1f}), RMSE x {row.RMSE_ratio:.3f} ({row.RMSE_ratio_low:.3f}-{row.RMSE_ratio_high:.3f})")
    if len(part):
        say("  in brackets: the central 95 %, weeks and cities resampled\n")


def _table(title: str, first: str, columns) -> Table:
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(first, no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right")
    return shown


def _errors(hours: str, group: str, part: pd.DataFrame) -> None:
    hourly, daily = (part[part.frequency == name].set_index("model") for name in ("hourly", "daily"))
    shown = _table(f"{group}, {'all hours' if hours == 'all' else hours}: {hourly.n.iloc[0]:,} hours, "
                   f"{daily.n.iloc[0] if len(daily) else 0:,} days", "",
                   ["MAE", "RMSE", "R2", "skill\n%", "NMB\n%", "in\n90 %",
                    *(f"day\n{name}" for name in ("MAE", "RMSE", "R2", "skill"))])
    for model in hourly.index:
        of = hourly.loc[model]
        days = daily.loc[model] if len(daily) else of * float("nan")
        shown.add_row(model, _error(of.MAE), _error(of.RMSE), _r2(of.R2), _percent(of.skill_percent),
                      f"{of.NMB_percent:+.1f}", f"{of.coverage_90:.2f}" if of.coverage_90 > 0 else "-",
                      _error(days.MAE), _error(days.RMSE), _r2(days.R2), _percent(days.skill_percent))
    OUT.print(shown)


def _parts(table: pd.DataFrame, ours: str) -> None:
    """Skill of hours and the share in the 90 % interval, by season, level and distance."""
    part = table[(table.model == ours) & (table.frequency == "hourly") & (table.hours == "all")
                 & table.by.isin(["season", "observed level", "predicted level", "distance third"])]
    groups = list(part.group.unique())
    shown = _table(f"{ours}, hourly: skill over kriging in % | share in the 90 % interval", "",
                   [group.replace(" ", "\n").replace("-", "-\n") for group in groups])
    found = part.set_index(["by", "slice", "group"])
    for by, name in part[["by", "slice"]].drop_duplicates().itertuples(index=False):
        cells = [found.loc[(by, name, group)] if (by, name, group) in found.index else None for group in groups]
        shown.add_row(f"{by} {name}" if by != "season" else name,
                      *("-" if c is None else f"{_percent(c.skill_percent)} | {c.coverage_90:.2f}" for c in cells))
    OUT.print(shown)


def _days(table: pd.DataFrame, models: list[str]) -> None:
    """Yardsticks of daily means, and what each rests on."""
    from aqreanalysis.evaluation.metrics import YARDSTICKS

    part = table[(table.by == "all") & (table.hours == "all") & (table.frequency == "daily")
                 & table.model.isin(models)]
    shown = _table("daily means: yardsticks of the literature; over 75 µg m⁻³", "",
                   ["MQI\n2nd\nhand", "Emery\nuncon-\nfirmed", "Boylan", "class\nright", "POD", "FAR", "CSI"])
    for group, rows in part.groupby("group", sort=False):
        for row in rows.itertuples():
            shown.add_row(f"{group}, {row.model}", f"{row.MQI_secondary_source:.2f}",
                          row.emery_unconfirmed, row.boylan_russell,
                          *(f"{value:.2f}" for value in (row.class_agreement, row.POD, row.FAR, row.CSI)))
    OUT.print(shown)
    for basis in YARDSTICKS.values():
        OUT.print(f"  {basis}")
    OUT.print()


def _uncertainty(table: pd.DataFrame, models: list[str], ours: str) -> None:
    """CRPS, coverage, width and score of intervals; of others, by how much ours are narrower at the same coverage."""
    part = table[(table.by == "all") & (table.hours == "all") & table.model.isin(models) & table.width_90.notna()]
    for frequency, of in part.groupby("frequency", sort=False):
        shown = _table(f"{frequency} intervals; ours: {ours} at the same coverage", "",
                       ["CRPS", "in\n50 %", "in\n90 %", "below", "above", "90 %\nwidth", "90 %\nscore",
                        "ours\nnarrower"])
        for group, rows in of.groupby("group", sort=False):
            shown.add_row(group)
            for row in rows.itertuples():
                shares = (row.coverage_50, row.coverage_90, row.below_90, row.above_90)
                shown.add_row(f"  {row.model}", _known(row.CRPS, ".2f"), *(_known(share, ".2f") for share in shares),
                              f"{row.width_90:.1f}", f"{row.interval_score:.0f}",
                              "" if row.model == ours else _known(row.narrower_percent, "+.1f") + " %")
        OUT.print(shown)


def _known(value: float, form: str) -> str:
    return format(value, form) if value == value else "-"


def _error(value: float) -> str:
    """Three figures: 8.28, 13.9."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _r2(value: float) -> str:
    """Five characters: 0.905, -0.12."""
    return f"{value:.3f}" if value >= 0 else f"{value:.2f}"


def _percent(value: float) -> str:
    """A signed figure in at most five characters."""
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"
