"""The bar of a build: how far it is, and how often it looks."""

import io
import sys
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from aqreanalysis import time_axis
from aqreanalysis.cli import console
from aqreanalysis.product.folder import ProductFolder

LOOKS: list[tuple[str, str]] = []  # ("open" or "os.scandir", name) of what this process looks at
_watching = False


def _hook(event, arguments):
    if _watching and event in ("open", "os.scandir"):
        LOOKS.append((event, str(arguments[0])))


@pytest.fixture
def plan(tmp_path):
    """Ten years of months in an empty folder."""
    period = time_axis.parse_period(None, "2013-01-01", "2022-12-31")
    return SimpleNamespace(period=period, folder=ProductFolder(tmp_path, simulated=False, period=period))


def test_a_bar_looks_once_a_second_and_only_at_months_that_are_running(plan, tmp_path, monkeypatch):
    months = plan.period.months()
    for month, hours in zip(months[3:5], (200, 30), strict=True):
        plan.folder.progress(month).write_text(str(hours))
    (tmp_path / ".201306.progress").write_text("")  # just begun
    global _watching
    shown, clock = console.BuildProgress(plan, months[2:]), iter(range(10**6))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: 1e6 + next(clock) / 10))
    LOOKS.clear()
    sys.addaudithook(_hook)  # can't be removed
    _watching = True
    try:
        found = {shown._hours_done() for _ in range(90)}  # ten a second or fewer, for ten seconds
    finally:
        _watching = False
    assert found == {sum(len(month.hours) for month in months[:2]) + 230}
    own = [(event, name) for event, name in LOOKS if str(tmp_path) in name]
    assert [event for event, _ in own].count("os.scandir") <= 11
    assert [event for event, _ in own].count("open") <= 3 * 11, "of 118 months three are running"


def test_the_bar_follows_months_as_they_are_done(plan, monkeypatch):
    monkeypatch.setattr(console, "LOOK_S", 0.0)
    months = plan.period.months()
    shown = console.BuildProgress(plan, months)
    progress = plan.folder.progress(months[0])
    progress.write_text("100")
    assert shown._hours_done() == 100
    progress.unlink()
    assert shown._hours_done() == 100, "it is not less while the month is noted"
    shown.month_done("2013-01")
    assert shown._hours_done() == len(months[0].hours)


def test_a_drawn_bar_shows_the_hours_and_messages(plan, monkeypatch):
    out = Console(width=80, record=True, force_terminal=True)
    monkeypatch.setattr(console, "OUT", out)
    monkeypatch.setattr(console, "introduce", lambda plan: None)
    months = plan.period.months()
    with console.BuildProgress(plan, months[60:]) as shown:
        shown.message("a worker was lost")
        time.sleep(0.3)
    text = out.export_text()
    assert "continuing: 60 of 120 months are done" in text and "a worker was lost" in text and "50%" in text


def test_in_a_file_the_bar_of_hours_stands_where_the_hours_are_done(plan, monkeypatch):
    """Not before the validation too, at nothing."""
    out = Console(width=80, record=True, force_terminal=False, file=io.StringIO())
    monkeypatch.setattr(console, "OUT", out)
    monkeypatch.setattr(console, "introduce", lambda plan: None)
    with console.BuildProgress(plan, plan.period.months()[60:]) as shown:
        shown.validating(1)
        shown.part_validated()
        shown.validated("fine")
    names = [line.split()[0] for line in out.export_text().splitlines() if "%" in line or "fine" in line]
    assert names == ["validation", "validation:", "hours"]
