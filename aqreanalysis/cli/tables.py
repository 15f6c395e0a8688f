"""`aqreanalysis describe` on the terminal: tables that fit 80 columns and can be read when piped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from aqreanalysis import schema
from aqreanalysis.cli import console
from aqreanalysis.models.checkpoint import DEFAULT, FORECAST_TASK, Card
from aqreanalysis.models.registry import BASELINES
from aqreanalysis.time_axis import HOUR, UTC_OFFSET_HOURS
from aqreanalysis.training.calibration import COVERAGE_SLICES
from aqreanalysis.workflows.describe.archive import STATION_SHARES, ArchiveFacts, MonthCounts
from aqreanalysis.workflows.describe.fields import FieldFacts
from aqreanalysis.workflows.describe.product import FieldsCount, FrequencyFacts, ProductFacts

LISTED_AT_MOST = 10      # gaps, sentences and the like; the rest is counted
MONTHS_AT_MOST = 36      # rows of a table; longer archives are shown by year
SMALLEST_PERCENT = 0.005   # smaller ones would be rounded to zero


@contextlib.contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on the error stream that leaves nothing behind; what it yields takes parts done and parts in all."""
    with Progress(TextColumn("reading"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TextColumn("left:"),
                  TimeRemainingColumn(), console=console.ERR, transient=True,
                  disable=console.OUT.quiet or not console.ERR.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def update(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield update


def show_facts(facts: ArchiveFacts | ProductFacts | FieldFacts | Card, out: Console | None = None) -> None:
    """Print what `describe` found."""
    if isinstance(facts, ArchiveFacts):
        parts = _archive_tables(facts)
    elif isinstance(facts, ProductFacts):
        parts = _product_tables(facts)
    elif isinstance(facts, FieldFacts):
        parts = _field_tables(facts)
    else:
        parts = _checkpoint_tables(facts)
    for part in parts:
        (out or console.OUT).print(part)


def _archive_tables(facts: ArchiveFacts) -> Iterator[RenderableType]:
    if facts.simulated:
        yield Panel("SIMULATED: these observations are the twin's, not real air.", style="bold red")
    yield _name_table([
        ("archive", str(facts.path)), ("source", facts.source),
        ("files", f"{facts.files:,}, {_size_in_words(facts.bytes)}"
                  + (f"; {len(facts.skipped)} skipped" if facts.skipped else "")
                  + (f"; {len(facts.passed_over)} passed over" if facts.passed_over else "")),
        ("period", f"{_local_time(facts.first)} to {_local_time(facts.last)} (UTC+8, END of the hour), "
                   f"{facts.hours:,} hours"),
        ("stations", f"{facts.stations:,}: {_stations_in_words(facts)}"),
        ("silence", _silence_in_words(facts)), ("reference", facts.reference_state)])
    yield _values_table(facts)
    yield _completeness_table(facts)
    yield _flags_table(facts)
    if facts.gaps:
        yield _gaps_table(facts)
    for title, texts in (("Warnings", facts.warnings), ("Odd, but used", facts.anomalies),
                         ("Skipped files", facts.skipped), ("Files passed over", facts.passed_over),
                         ("How the files are read", facts.notes)):
        if texts:
            yield _list_table(title, texts)


def _stations_in_words(facts: ArchiveFacts) -> str:
    """How many stations have which share of PM2.5 hours."""
    none, *classes = facts.stations_by_share
    edges = [f"{edge:.0%}" for edge in STATION_SHARES]
    counted = [f"{n:,} over {low}" for n, low in zip(classes[::-1], edges[-2::-1], strict=True) if n]
    text = f"{', '.join(counted)} of the hours with PM2.5".replace(" over 0%", " under 25%")
    return text + (f"; {none:,} never" if none else "")


def _silence_in_words(facts: ArchiveFacts) -> str:
    silent = sum(hours for _, hours in facts.gaps)
    if not silent:
        return "in each hour some station reports PM2.5"
    gaps = f"{len(facts.gaps):,} gap{'s' * (len(facts.gaps) > 1)}"
    return f"{silent:,} hours ({silent / facts.hours:.1%}), in {gaps}, have no PM2.5 at any station"


def _values_table(facts: ArchiveFacts) -> Table:
    table = _empty_table("Values", ("", "unit", "reported", "missing\n%", "flagged\n%", "low", "mean\ngood",
                                    "high\ngood", "high"))
    whole = facts.stations * facts.hours
    for name, of in facts.values.items():
        flagged = f"{100 * (of.reported - of.good) / of.reported:.2f}" if of.reported and of.flags else "-"
        table.add_row(schema.LONG_NAMES[name], schema.UNITS[name], f"{of.reported:,}",
                      f"{100 * (1 - of.reported / whole):.1f}", flagged,
                      *(_short_number(value) for value in (of.low, of.mean, of.good_high, of.high)))
    return table


def _completeness_table(facts: ArchiveFacts) -> Table:
    by_year = len(facts.months) > MONTHS_AT_MOST
    names = [name for name in schema.POLLUTANTS if name in facts.values]
    table = _empty_table("Completeness, % of all stations and hours",
                         ("year" if by_year else "month", "hours", *(schema.LONG_NAMES[name] for name in names)))
    rows: dict[str, list[MonthCounts]] = {}
    for month in facts.months:
        rows.setdefault(month.label[:4] if by_year else month.label, []).append(month)
    for label, months in rows.items():
        hours = sum(month.hours for month in months)
        share = (100 * sum(month.reported[name] for month in months) / hours / facts.stations for name in names)
        table.add_row(label, f"{hours:,}", *(f"{percent:.1f}" for percent in share))
    return table


def _flags_table(facts: ArchiveFacts) -> Table:
    found = {name: facts.values[name] for name in schema.POLLUTANTS if name in facts.values}
    table = _empty_table("Flags, % of what was reported", ("", *(schema.LONG_NAMES[name] for name in found)))
    for flag in schema.OBSERVATION_FLAGS:
        if flag != "missing":
            table.add_row(flag, *(_percent_of(of.flags[flag], of.reported) for of in found.values()))
    return table


def _gaps_table(facts: ArchiveFacts) -> Table:
    table = _empty_table("Longest gaps of the whole network (UTC+8)", ("first hour", "last hour", "hours"))
    for start, hours in facts.gaps[:LISTED_AT_MOST]:
        table.add_row(_local_time(start), _local_time(start + (hours - 1) * HOUR), f"{hours:,}")
    return table


def _product_tables(facts: ProductFacts) -> Iterator[RenderableType]:
    if facts.attributes.get("simulated") == "true":
        yield Panel("SIMULATED: made from the twin's observations, not from real air.", style="bold red")
    rows = [("product", str(facts.path)), ("title", facts.attributes.get("title", "")), ("grid", facts.grid),
            ("source", facts.attributes.get("source", "")),
            ("reference", facts.attributes.get("reference_state", "not stated: written by an older version")),
            ("made by", facts.attributes.get("history", ""))]
    yield _name_table(rows + (_settings_rows(facts.record) if facts.record else []))
    for kind in facts.kinds.values():
        yield Text(f"\n{kind.name}: {kind.first} to {kind.last} (UTC+8), {kind.files} "
                   f"file{'s' * (kind.files > 1)}, {_size_in_words(kind.bytes)}", style="bold")
        yield _name_table(list(kind.variables.items()))
        yield _ranges_table(kind)
        if kind.classes.sum():
            yield _classes_table(kind)
        if kind.with_fields.hours:
            yield Text(f"\n{_fields_in_words(kind.with_fields)}")
    if facts.damaged:
        yield _list_table("Files that can't be read", facts.damaged)


def _fields_in_words(of: FieldsCount) -> str:
    """Where a model went on without its fields."""
    if not of.hours_without:
        return f"fields_flag: fields were known everywhere in all {of.hours:,} hours"
    return (f"fields_flag: without fields somewhere in {of.hours_without:,} of {of.hours:,} hours; that is "
            f"{_percent_of(of.values_without, of.values)} % of all hours and places")


def _field_tables(facts: FieldFacts) -> Iterator[RenderableType]:
    if facts.simulated:
        yield Panel("SIMULATED: these fields are the twin's, not of real air.", style="bold red")
    yield _name_table([
        ("fields", facts.path), ("source", facts.source), ("place", facts.place),
        ("period", f"{_stamp(facts.first)} to {_stamp(facts.last)} (UTC, END of the hour), "
                   f"{int((facts.last - facts.first) / HOUR) + 1:,} hours; which of them are whole, a build checks"),
        ("hash", f"{facts.fingerprint} of all files")])
    yield Text("\nVariables", style="bold")
    yield _name_table([(name, text + ", from others" * (name in facts.derived))
                       for name, text in facts.variables.items()])
    if facts.notes:
        yield _list_table("How the files are read", facts.notes)


def _settings_rows(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What run.json holds that the files do not."""
    identity, facts, months = record["identity"], record.get("facts", {}), record["months"]
    asked = facts.get("recipe", {}).get("checkpoint")
    model = f"{asked}, {BASELINES[asked].kind}" if asked in BASELINES else identity.get("checkpoint", "").split()[0]
    rows = [("model" if asked in BASELINES else "checkpoint", model),
            ("settings", f"{_neighbours(identity)}; a day needs {identity.get('minimum_hours')} of 24 "
                         f"hours; a station {identity.get('minimum_station_hours')} in a month"),
            ("observations", f"{facts.get('stations', '?')} stations, {facts.get('files', '?')} files, "
                             f"{len(facts.get('files_skipped', []))} skipped"),
            *_fields_row(facts),
            ("months done", f"{len(months)}; {sum(m['hours_without_observations'] for m in months.values())} hours "
                            "without any observation")]
    return rows + [("warning", text) for text in facts.get("warnings", [])[:LISTED_AT_MOST]]


def _neighbours(identity: dict[str, Any]) -> str:
    return f"{identity['neighbours']} neighbours" if identity.get("neighbours") else "all stations"


def _fields_row(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields that the model read; no row where it read none."""
    if "fields" not in facts:
        return []
    told = [text.removeprefix("fields: ") for text in facts.get("reading", []) if text.startswith("fields: ")]
    return [("fields", "; ".join([*told, f"files {facts['fields']}", f"hash {facts['fields_hash']}"]))]


def _ranges_table(kind: FrequencyFacts) -> Table:
    table = _empty_table("", ("ug m-3", "steps", "lowest", "mean", "highest", "missing\n%"))
    for name, of in kind.fields.items():
        table.add_row(name, f"{of.steps:,}", _short_number(of.low), _short_number(of.mean), _short_number(of.high),
                      f"{100 * of.missing / max(of.values, 1):.2f}")
    return table


def _classes_table(kind: FrequencyFacts) -> Table:
    table = _empty_table("", ("quality_flag", "", "% of land", "% of all"))
    land = kind.classes.sum() - kind.classes[schema.SEA]
    for number, name in enumerate(schema.QUALITY):
        n = kind.classes[number]
        of_land = "-" if number == schema.SEA else _percent_of(n, land)
        table.add_row(str(number), name, of_land, _percent_of(n, kind.classes.sum()))
    return table


def _checkpoint_tables(card: Card) -> Iterator[RenderableType]:
    if card.task == FORECAST_TASK:
        yield _forecaster_table(card)
        return
    training = card.training
    if training.get("simulated"):
        yield Panel("SIMULATED: trained on the twin's observations, not on real air.", style="bold red")
    if worse := worse_than_kriging(card):
        yield Panel(worse, style="bold yellow")
    sizes = ", ".join(f"{name} {value}" for name, value in card.network.items())
    yield _name_table([
        ("checkpoint", f"{card.name} ({card.kind}), made {card.created}"),
        ("reads", _read(card)),
        ("network", sizes),
        ("trained on", f"{training['source']}; {training['start']} to {training['end']}, {training['stations']} "
                       f"stations, every {training['every_nth_week_withheld']}th week left out"),
        ("effort", f"{training['steps']:,} steps, {_time(training['seconds'])}"),
        ("never seen", _never_seen(card)),
        ("error", _error_in_words(card)),
        ("versions", ", ".join(f"{name} {text}" for name, text in card.versions.items())),
        ("weights", f"whole (sha256 {card.weights_sha256[:16]}...)")])
    for others in ("towns", "stations"):
        if coverage := card.calibration.get("facts", {}).get(f"at_other_{others}"):
            yield _coverage_table(coverage, others)
    for name, rows in card.scores.items():
        yield _scores_table(f"Scores at {name.replace('_', ' ')}", rows)


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} s"


def _read(card: Card) -> str:
    """What the network of an analysis reads, in words."""
    window, pollutants = card.analysis.window, ', '.join(schema.LONG_NAMES[name] for name in card.variables)
    if not (graph := card.analysis.graph):
        return (f"{pollutants}, from {window.get('margin_hours', '?')} h before the target day to as long after it, "
                f"means over {window.get('context_hours', '?')} h on either side; {card.k} neighbours")
    fields = f"; fields {', '.join(graph['weather']['names'])}" if graph["weather"]["names"] else "; no fields"
    without = ", and goes on without them" if graph["weather"]["names"] and graph["fields_optional"] else ""
    return (f"{pollutants} of all stations in reach, from {window.get('hours_before', 0)} h before the hour to "
            f"{window.get('hours_after', 0)} h after it; the clock{fields}{without}")


def worse_than_kriging(card: Card) -> str:
    """A warning where, by the card's own scores, kriging has the smaller error of hours; empty where it has not."""
    rows = [row for of in card.scores.values() for row in of if row["frequency"] == "hourly"]
    worst = min(rows, key=lambda row: row["skill_percent"], default=None)
    if worst is None or worst["skill_percent"] >= 0 or not card.analysis.graph:
        return ""
    return (f"Kriging is better: at the same hidden stations its mean absolute error is {worst['MAE_kriging']:.2f} "
            f"ug m-3, this network's {worst['MAE']:.2f}. It is here to be compared and studied; for a product of your "
            f"own use the default checkpoint, {DEFAULT}.")


def _never_seen(card: Card) -> str:
    """Which stations were withheld from all networks, and which from the networks of folds."""
    withheld = {name: len(stations) for name, stations in card.withheld.items()}
    text = (f"to test {withheld['test_single']} single stations and {withheld['test_city']} in whole cities; for "
            f"validation {withheld['validation_single']} and {withheld['validation_city']}" if sum(withheld.values())
            else "no station")
    if card.analysis.folds:
        text += (f"; {len(card.analysis.folds)} networks besides, each trained without the cities of a fold, give the "
                 "scores and the calibration: every station has estimates by a network that never saw it")
    return text


def _forecaster_table(card: Card) -> Table:
    facts, training = card.forecast, card.training
    sizes = ", ".join(f"{name} {value}" for name, value in card.network.items())
    return _name_table([
        ("checkpoint", f"{card.name} ({card.kind}), configuration {facts.configuration}, seed {facts.seed}, made "
                       f"{card.created or 'at an unknown date'}"),
        ("reads", f"{', '.join(schema.LONG_NAMES[name] for name in card.variables)} of {facts.history} h, to forecast "
                  f"PM2.5 of {facts.horizon} h; {card.k} neighbours"),
        ("network", sizes or "no options"),
        ("trained on", f"{training['source']}; {' to '.join(training['train'])}, {training['stations']} stations"),
        ("effort", f"{training['steps']:,} steps, {_time(training['seconds'])}"),
        ("validation", f"{' to '.join(training['validate'])}, mean absolute error {facts.validation:.2f} ug m-3"),
        ("never seen", f"{len(card.withheld['test_single'])} single stations"),
        ("versions", ", ".join(f"{name} {text}" for name, text in card.versions.items())),
        ("weights", f"whole (sha256 {card.weights_sha256[:16]}...)")])


def _error_in_words(card: Card) -> str:
    if not card.calibration:
        return f"not calibrated; correlated in time with an e-folding time of {card.analysis.error_memory_hours:g} h"
    facts, by_lag = card.calibration.get("facts", {}), card.calibration["correlation"]
    made = (f" at {facts['stations']} stations left out, {facts['days']} days from {facts['first']} to "
            f"{facts['last']}" if facts else "")
    return (f"calibrated{made}; correlation in time {by_lag[1]:.2f} after an hour, {by_lag[6]:.2f} after six, "
            f"{by_lag[23]:.2f} after 23")


def _coverage_table(found: dict[str, Any], others: str) -> Table:
    """`inside` should be 90 %, `z rms` 1; of factors that were fitted in other towns, or at other stations."""
    table = _empty_table("Observations inside the bounds at stations left out, by factors fitted "
                         f"{'in' if others == 'towns' else 'at'} other {others}",
                         ("", "hours", "inside\n%", "z rms", "width", "days", "inside\n%", "z rms", "width"))
    there = dict.fromkeys(name for of in found.values() for name in of)
    names = [name for name in COVERAGE_SLICES if name in there]
    for name in names + [name for name in there if name not in COVERAGE_SLICES]:
        parts = [found.get(frequency, {}).get(name) for frequency in ("hourly", "daily")]
        table.add_row(name, *(text for of in parts for text in (
            (f"{of['n']:,}", f"{100 * of['inside']:.1f}", f"{of['z_rms']:.2f}", f"{of['width']:.1f}") if of
            else ("-",) * 4)))
    return table


def _scores_table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = _empty_table(title, ("", "", "n", "MAE", "RMSE", "skill\n%", "NMB\n%"))
    for row in rows:
        table.add_row(row.get("design") or row["group"], row["frequency"], f"{row['n']:,}", f"{row['MAE']:.2f}",
                      f"{row['RMSE']:.2f}", f"{row['skill_percent']:+.1f}", f"{row['NMB_percent']:+.1f}")
    return table


def _name_table(rows: list[tuple[str, str]]) -> Table:
    """Names, and beside each what belongs to it, wrapped."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, Text(text))
    return table


def _empty_table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
                  pad_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(columns):
        words = number == 0 or name in ("", "unit", "first hour", "last hour")
        table.add_column(name, justify="left" if words else "right", no_wrap=words)
    return table


def _list_table(title: str, texts: list[str]) -> Table:
    table = _name_table([("-", text) for text in texts[:LISTED_AT_MOST]])
    table.title, table.title_justify, table.title_style = f"\n{title}", "left", "bold"
    if len(texts) > LISTED_AT_MOST:
        table.add_row("", f"... {len(texts)} in all")
    return table


def _local_time(stamp: np.datetime64) -> str:
    return _stamp(stamp + UTC_OFFSET_HOURS * HOUR)


def _stamp(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[m]")).replace("T", " ")


def _short_number(value: float) -> str:
    """At most seven characters for what concentrations can be."""
    if not np.isfinite(value):
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _percent_of(part: int, whole: int) -> str:
    if not part:
        return "-"
    return f"{100 * part / whole:.2f}" if 100 * part / whole >= SMALLEST_PERCENT else "<0.01"


def _size_in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
