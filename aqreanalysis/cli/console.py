"""What is shown on the terminal: progress with the time left, tables, errors in one paragraph."""

from __future__ import annotations

import contextlib
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
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
from rich.text import Text

if TYPE_CHECKING:

    from aqreanalysis.observations.inventory import Inventory
    from aqreanalysis.product.plan import Plan
    from aqreanalysis.time_axis import Period

SHOWN = 5
LONG_S = 30.0   # seconds after which warnings are told once more
WARNINGS = ("warning", "skipped", "passed over", "gone, kept")  # kinds of sentences that --quiet does not silence
NAME_WIDTH = 14  # of the names in front of what is told
LOOK_S = 1.0  # between two looks at how far a build is
TIMED = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
# What a terminal obeys, or shows in another order than it is: from names in files it would change what a message says.
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class PlainConsole(Console):
    """A console that shows text as it is: neither markup nor codes of colours nor control characters in it count."""

    def __init__(self, stderr: bool = False):
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **details: Any) -> Text:
        """A text with control characters as backslashes and numbers."""
        return super().render_str(CONTROL.sub(_escaped, text), **details)


def _escaped(found: re.Match) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _one_line(text: str) -> str:
    """A sentence on one line: a name with a line break must not look like a message of ours."""
    return text.replace("\n", " ")


@dataclass
class Told:
    """What a verb told beside its progress, each sentence once, for its summary."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget all of it."""
        self.warnings, self.notes = [], []

    def keep(self, kind: str, texts: Iterable[str]) -> None:
        """Keep sentences of a kind."""
        kept = self.warnings if kind in WARNINGS else self.notes
        before = "" if kind in ("warning", "note") else f"{kind}: "
        kept += [text for text in dict.fromkeys(f"{before}{text}" for text in texts) if text not in kept]


OUT, ERR, TOLD = PlainConsole(), PlainConsole(stderr=True), Told()


def say(text: str) -> None:
    """One line, as it is."""
    OUT.print(text, soft_wrap=True)


def note(text: str) -> None:
    """A line that the summary of --json has too."""
    TOLD.keep("note", [text])
    say(text)


def warn(text: str) -> None:
    """What is strange and does not stop the work; said with --quiet too, and again at the end."""
    some("warning", [text])


def error(text: str) -> None:
    """One paragraph on the error stream."""
    ERR.print(f"Error: {_one_line(text)}", soft_wrap=True)


def warnings(texts: list[str]) -> None:
    """The same of several."""
    some("warning", texts)


def some(kind: str, texts: list[str]) -> None:
    """The first of some sentences, a line each, and how many there are in all; warnings with --quiet too."""
    TOLD.keep(kind, texts)
    shown = [_hanging(f"  {kind}: {_one_line(text)}", 4) for text in texts[:SHOWN]]
    if len(texts) > SHOWN:
        shown.append(f"  {kind}: ... {len(texts)} in all; `aqreanalysis describe` tells them")
    for text in shown:
        (ERR if OUT.quiet and kind in WARNINGS else OUT).print(text, soft_wrap=True)


def repeat_warnings(seconds: float) -> None:
    """What was warned of, once more at the end of a verb that took so long that it may have left the screen."""
    if not TOLD.warnings:
        return
    again = TOLD.warnings if seconds >= LONG_S else []
    line("warnings", f"{len(TOLD.warnings)}" + (":" if again else ", told above"))
    for text in again[:SHOWN]:
        say(_hanging(f"  {_one_line(text)}", 4))
    if len(again) > SHOWN:
        say("  ... --json has all")


class BuildProgress:
    """What a build will do, then a bar of what is hidden to validate it, and one of its hours, with the time left; a
    context manager.

    See workflows.build.Progress.
    """

    def __init__(self, plan: Plan, months: list[Period]):
        self._plan, self._total = plan, len(plan.period.hours)
        self._left = {f"{month.first:%Y-%m}": len(month.hours) for month in months}
        self._running: dict[str, int] = {}
        self._next_look = 0.0
        self._bar = _HoursDone(self._hours_done, self._total)
        self._hidden = Progress(TextColumn("validation"), *TIMED, console=OUT)

    def __enter__(self) -> BuildProgress:
        introduce(self._plan)
        months = len(self._plan.period.months())
        if len(self._left) < months:
            say(f"continuing: {months - len(self._left)} of {months} months are done")
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._hidden.stop()
        self._bar.stop()

    def validating(self, parts: int) -> None:
        """A bar of parts, instead of that of hours, which leaves nothing behind."""
        self._bar.live.transient = True
        self._bar.stop()
        self._hidden.add_task("parts", total=parts)
        self._hidden.start()

    def part_validated(self) -> None:
        """A part is done."""
        self._hidden.advance(self._hidden.task_ids[0])

    def validated(self, text: str) -> None:
        """What was found; then the bar of hours."""
        self._hidden.stop()
        line("validation", text)
        self._bar = _HoursDone(self._hours_done, self._total)
        self._bar.start()

    def month_done(self, label: str) -> None:
        """A month is done."""
        self._left.pop(label, None)

    def message(self, text: str) -> None:
        """A line above the bar."""
        warn(text)

    def _hours_done(self) -> int:
        """Hours of the period that are done, from one look a second into the folder: it may lie on a shared disk."""
        if time.monotonic() >= self._next_look:
            self._running |= self._plan.folder.hours_in_progress()
            self._next_look = time.monotonic() + LOOK_S
        return self._total - sum(hours - self._running.get(label, 0) for label, hours in list(self._left.items()))


def introduce(plan: Plan) -> None:
    """What a build will do, and what is strange about it."""
    if plan.folder.simulated:
        why = ("the observations are of a twin" if plan.job.source.files else
               "no observations of this period were found, so the built-in twin is used")
        told = f"SIMULATED: {why}. The product is not real air. Give real ones with --observations."
        TOLD.keep("warning", [told])
        (ERR if OUT.quiet else OUT).print(Panel(told, style="bold red"))
    inventory(plan.inventory)
    line("period", f"{plan.period.first} to {plan.period.last} (UTC+8), {counted(plan.period.n_days, 'day')}")
    far = f"; {plan.far_share:.0%} lie far from any station (quality_flag)" if plan.far_share > 0.01 else ""
    line("grid", f"{plan.grid.name}, {counted(plan.grid.size, 'point' if plan.grid.kind == 'points' else 'cell')}{far}")
    line("model", plan.about.model)
    line("folder", str(plan.folder.path))


def inventory(found: Inventory) -> None:
    """What of its observations a command uses and what it does not, before it computes."""
    for name, text in found.rows():
        line(name, text)
    for kind, texts in found.lists.items():
        some(kind, texts)


def counted(number: int, noun: str) -> str:
    """1 day, 2 days."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def line(name: str, text: str) -> None:
    """A name and a text beside it; on a terminal the text is wrapped beside its name, elsewhere it is one line."""
    say(_hanging(f"{name}:".ljust(NAME_WIDTH) + _one_line(text), NAME_WIDTH))


def _hanging(text: str, indent: int) -> str:
    """A text with its further lines indented, where it is shown on a terminal that is too narrow for it."""
    if not OUT.is_terminal or OUT.width <= 2 * indent:
        return text
    return textwrap.fill(text, OUT.width - 1, subsequent_indent=" " * indent, break_long_words=False,
                         break_on_hyphens=False)


class _HoursDone(Progress):
    """A bar that asks how many hours are done each time that it is drawn."""

    def __init__(self, hours_done: Callable[[], int], total: int):
        self._hours_done = hours_done
        super().__init__(TextColumn("hours"), *TIMED, console=OUT)
        self.add_task("hours", total=total)

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn."""
        for bar in self.task_ids:  # one, or none yet
            self.update(bar, completed=self._hours_done())
        yield from super().get_renderables()


def files(wanted: Iterable, total: int | None = None, what: str = "files") -> Iterable:
    """The files of a list one after the other, under a bar with the time left; `total` of what has no length."""
    return track(wanted, what, total, console=OUT)


@contextlib.contextmanager
def months() -> Iterator[Callable[[int, int], None]]:
    """A bar of months with the time left; gives a function to be called with (done, of how many)."""
    with Progress(TextColumn("months"), *TIMED, console=OUT) as progress:
        bar = progress.add_task("months", total=None)
        yield lambda done, of: progress.update(bar, completed=done, total=of)


def ingested(summary, before: Iterable[Inventory]) -> None:
    """What an ingest did, and what the archive is now; sentences of inventories `before` it are not repeated."""
    told = {text for found in before for texts in found.lists.values() for text in texts}
    for kind, texts in (("skipped", summary.skipped), ("passed over", summary.passed_over), ("odd", summary.anomalies),
                        ("note", summary.notes), ("gone, kept", summary.vanished), ("warning", summary.warnings)):
        some(kind, [text for text in texts if text not in told])
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
    if not summary.written:
        say(f"{summary.path}: nothing is new, so that it was not touched")
