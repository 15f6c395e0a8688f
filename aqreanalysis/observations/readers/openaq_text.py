"""The text of one OpenAQ file: CSV of the archive, or JSON of the v3 API.

A row or an entry that does not fit loses itself only and is counted; so does a value that is text. A file of which
nothing is left is a BadFile.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers.openaq_values import (
    SECONDS_PER_HOUR,
    Anomaly,
    AnomalyCounts,
    Content,
    Place,
    Value,
    end_of_hour,
    hour_sums,
)
from aqreanalysis.tables import columns, numbers, rows, stamps, text
from aqreanalysis.tables.columns import Column

CSV_NAMES = ("location_id", "sensors_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")
CSV_COLUMNS = (
    Column("location_id", ("locationid", "locations_id")), Column("sensors_id", ("sensor_id", "sensorid", "sensorsid")),
    Column("location", ("location_name",)), Column("datetime", ("date_time", "timestamp"), kind="time"),
    columns.LAT, columns.LON, Column("parameter"), Column("units", ("unit",)), Column("value", kind="number"))
NEEDED = ("location_id", "datetime", "parameter", "units", "value")
LEAST_COMPLETE_PERCENT = 50  # of an hourly value of the API, to be used
MOST_AHEAD, MOST_BEHIND = 14, 12     # hours that clocks differ from UTC, at most
SHOWN = 40                           # characters of a cell

Cells = dict[str, str]


class _Counts:
    """What is wrong with a file's rows or entries: how often, and where first."""

    def __init__(self, name: str):
        self._name = name
        self.counts: AnomalyCounts = Counter()
        self.first: dict[Anomaly, str] = {}

    def add(self, where: str, kind: str, station: str, parameter: str, detail: str) -> None:
        """Count one, at a line or an entry."""
        key = (kind, station, parameter, detail)
        self.counts[key] += 1
        self.first.setdefault(key, f"{self._name}, {where}")

    def number(self, where: str, station: str, parameter: str, cell: Any, decimal: str = ".") -> float:
        """The number of a cell; NaN where it is missing, or text, which is counted."""
        try:
            if isinstance(cell, bool):
                raise ValueError(cell)
            return math.nan if cell is None else numbers.number(str(cell), decimal)
        except ValueError:
            self.add(where, "text", station, parameter, str(cell)[:SHOWN])
            return math.nan

    def worst(self) -> str:
        """The commonest fault, in words."""
        key, count = self.counts.most_common(1)[0]
        return f"{count} row{'s' if count > 1 else ''} {key[3]} ({self.first[key].removeprefix(f'{self._name}, ')})"


# --- CSV of the archive ----------------------------------------------------------------------------

def csv_content(name: str, content: bytes, station: str, day: dt.date) -> Content:
    """A file of the archive, `location-<station>-<day>.csv`, unpacked; BadFile that says what is wrong with it."""
    text.check_kind(name, content[:text.SAMPLE_BYTES])
    bad, found = rows.BadRows(), _Counts(name)
    values: list[Value] = []
    places: dict[str, Place] = {}
    title, count, line = "", 0, 0
    for line, cells, decimal in _plain_cells(content) or _any_cells(name, content, bad):
        count += 1
        title = title or cells.get("location", "")
        value = _value_of_row(found, f"line {line}", cells, station, day, decimal)
        if value is None:
            continue
        values.append(value)
        if station not in places and (place := _place_of_row(found, f"line {line}", cells, station, decimal)):
            places[station] = place
    if bad.count:
        key = ("row", station, "", "with too few or too many cells")
        found.counts[key], found.first[key] = bad.count, f"{name}, line {bad.line}: {bad.text!r}"
    if not count + bad.count:
        raise BadFile(f"{name} has a header and no rows")
    if not values:
        raise BadFile(f"{name} holds no row that can be read: {found.worst()}")
    if _is_cut(content, line) and math.isfinite(values[-1].value):
        values[-1] = values[-1]._replace(value=math.nan)
        found.add(f"line {line}", "cut", station, "", "")
    hours, counts = hour_sums(values)
    return Content(places or {station: Place(title, math.nan, math.nan)}, hours, counts + found.counts, found.first)


def _value_of_row(found: _Counts, where: str, cells: Cells, station: str, day: dt.date, decimal: str) -> Value | None:
    """A row's value, NaN where it is missing; None where the row is not of the file, which is counted."""
    first, last = span_of_day(day)
    if _whole_number(cells["location_id"]) != station:
        found.add(where, "row", station, "", f"of location {cells['location_id'][:SHOWN]!r}")
        return None
    try:
        time = seconds(cells["datetime"])
    except ValueError:
        found.add(where, "row", station, "", "without a time and its offset, such as 2019-01-12T05:00:00+08:00,")
        return None
    if not first <= end_of_hour(time) <= last:
        found.add(where, "row", station, "", "whose stamp is not of the file's day")
        return None
    try:
        sensor = int(_whole_number(cells.get("sensors_id", "0")))
    except ValueError:
        found.add(where, "row", station, "", "without the number of a sensor")
        return None
    parameter = cells["parameter"].strip().lower()
    value = found.number(where, station, parameter, cells["value"], decimal)
    return Value(station, sensor, parameter, cells["units"].strip(), time, value, 0, False)


def _place_of_row(found: _Counts, where: str, cells: Cells, station: str, decimal: str) -> Place | None:
    lat, lon = (found.number(where, station, name, cells.get(name, ""), decimal) for name in ("lat", "lon"))
    return None if math.isnan(lat + lon) else Place(cells.get("location", ""), lat, lon)


def _whole_number(cell: str) -> str:
    """An id without the `.0` that pandas gives to numbers in a column with gaps."""
    return cell.strip().removesuffix(".0")


def _plain_cells(content: bytes) -> list[tuple[int, Cells, str]] | None:
    """Line, cells and decimal sign of each row of a file as the archive has it; None for any other."""
    try:
        table = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        if [cell.strip().lower() for cell in next(table)] != list(CSV_NAMES):
            return None
        found: list[tuple[int, Cells, str]] = []
        for number, row in enumerate(table, 2):
            if table.line_num != number:   # a quote that is not closed, or a cell of several lines
                return None
            if len(row) == len(CSV_NAMES):
                found.append((number, dict(zip(CSV_NAMES, row, strict=True)), "."))
            elif any(cell.strip() for cell in row):
                return None
        return found
    except (csv.Error, StopIteration, UnicodeDecodeError):
        return None


def _any_cells(name: str, content: bytes, bad: rows.BadRows) -> Iterator[tuple[int, Cells, str]]:
    """The same of a file in any dialect."""
    table = rows.open_table(name, content, CSV_COLUMNS, NEEDED)
    for line, cells in table.cells(bad):
        yield line, {column: cells[place] for column, place in table.columns.items()}, table.dialect.decimal


def _is_cut(content: bytes, line: int) -> bool:
    """Whether a row, at a line, may be cut off in its value: it is the last, without a quote or a line's end."""
    return not content.endswith((b"\n", b"\r", b'"', b"\n\0")) and content.count(b"\n") + 1 == line


@functools.lru_cache(maxsize=10_000)
def seconds(stamp: str) -> int:
    """Seconds since 1970 of an ISO 8601 time with its offset, rounded up; ValueError without one."""
    try:
        time = dt.datetime.fromisoformat(stamp.strip())
        if time.tzinfo is None:
            raise ValueError(f"no offset in {stamp!r}")
        return math.ceil(time.timestamp())
    except ValueError:
        rule = stamps.StampRule.of([stamp])
        found = rule.read([stamp])[0] if rule.aware else np.datetime64("NaT", "ns")
        if np.isnat(found):
            raise
        return math.ceil(found.astype(np.int64) / 1e9)


def span_of_day(day: dt.date) -> tuple[int, int]:
    """First and last END-of-hour stamp, hours since 1970 UTC, that the file of a local day may hold in any zone.

    The archive's day is that of the location's clock, after 00:00 to 24:00 (openaq/openaq-open-data, the query of
    `get_measurement_data`); clocks lie between UTC-12 and UTC+14.
    """
    midnight = (day - dt.date(1970, 1, 1)).days * 24
    return midnight - MOST_AHEAD, midnight + 24 + MOST_BEHIND


# --- JSON of the API -------------------------------------------------------------------------------

def json_results(name: str, content: bytes) -> list[Any]:
    """`results` of a response of the v3 API; BadFile where there are none."""
    try:
        found = json.loads(content)   # UTF-8, UTF-16 or UTF-32, with or without a mark
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadFile(f"{name} is not a whole response of the OpenAQ API: cut off, or no JSON ({error})") from error
    results = found.get("results") if isinstance(found, dict) else None
    if not isinstance(results, list):
        raise BadFile(f"{name} is not a response of the OpenAQ API with results; it says {json.dumps(found)[:80]}")
    return results


def json_pages(content: bytes) -> tuple[int, bool] | None:
    """Number of a response's page and whether more must follow; None where it does not say."""
    try:
        found = json.loads(content)
        meta = found["meta"]
        page, limit, count = int(meta["page"]), int(meta["limit"]), len(found["results"])
    except (ValueError, KeyError, TypeError):
        return None
    total = meta.get("found")
    return page, count >= limit > 0 and not (isinstance(total, int) and page * limit >= total)


def sensor_locations(name: str, content: bytes) -> tuple[dict[int, tuple[str, Place]], list[str]]:
    """Sensor -> its location and place, from a response of /v3/locations or /v3/locations/{id}; sentences on entries.

    The place of a location without coordinates is NaN.
    """
    found: dict[int, tuple[str, Place]] = {}
    faults: dict[str, list[str]] = {}
    for number, entry in enumerate(json_results(name, content), 1):
        if not isinstance(entry, dict) or entry.get("id") is None or not isinstance(entry.get("sensors"), list):
            faults.setdefault("is no location with an id and its sensors", []).append(f"entry {number}")
            continue
        for sensor in entry["sensors"]:
            try:
                found[int(sensor["id"])] = (str(entry["id"]), _place_of_entry(entry))
            except (KeyError, TypeError, ValueError):
                faults.setdefault("has a sensor without a number", []).append(f"entry {number}")
    return found, [f"{name}: {len(where)} {'entries' if len(where) > 1 else 'entry'} not used: {where[0]} {why}"
                   for why, where in faults.items()]


def _place_of_entry(entry: dict[str, Any]) -> Place:
    title = str(entry.get("name") or "")
    try:
        at = entry["coordinates"]
        lat, lon = (numbers.number(str(at[name])) for name in ("latitude", "longitude"))
        return Place(title, lat, lon)
    except (KeyError, TypeError, ValueError):
        return Place(title, math.nan, math.nan)


def json_content(name: str, content: bytes, sensor: int, station: str, place: Place) -> Content:
    """A response of /v3/sensors/{id}/measurements or /hours; BadFile for others, as daily means."""
    values: list[Value] = []
    found = _Counts(name)
    results = json_results(name, content)
    sparse: AnomalyCounts = Counter()
    for number, entry in enumerate(results, 1):
        where = f"entry {number}"
        try:
            value = _value_of_entry(found, where, entry, sensor, station)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"without {error}" if isinstance(error, KeyError) else "without a measurement and its period"
            found.add(where, "entry", station, "", what)
            continue
        if value is None:
            continue
        coverage = entry.get("coverage")
        complete = coverage.get("percentComplete") if isinstance(coverage, dict) else None
        if isinstance(complete, int | float) and complete < LEAST_COMPLETE_PERCENT:
            sparse["sparse", station, value.parameter, ""] += math.isfinite(value.value)
        else:
            values.append(value)
    if not values and not sparse and found.counts:
        key, count = found.counts.most_common(1)[0]
        raise BadFile(f"{name} is not a list of OpenAQ measurements: {count} of its {len(results)} entries are "
                      + (f"means over {key[3]} h; hourly or shorter ones are needed" if key[0] == "long" else key[3]))
    if not sparse and not any(math.isfinite(value.value) for value in values):
        raise BadFile(f"{name} holds no measurement" + ": its list of results is empty" * (not results))
    hours, counts = hour_sums(values)
    return Content({station: place}, hours, counts + sparse + found.counts, found.first)


def _value_of_entry(found: _Counts, where: str, entry: dict[str, Any], sensor: int, station: str) -> Value | None:
    """The value of an entry, NaN where it is missing; None for a mean over more than an hour, which is counted."""
    period, parameter = entry["period"], entry["parameter"]
    end = seconds(period["datetimeTo"]["utc"])
    length = end - seconds(period["datetimeFrom"]["utc"])
    name = str(parameter["name"])
    if length > SECONDS_PER_HOUR:
        found.add(where, "long", station, name, f"{length / SECONDS_PER_HOUR:g}")
        return None
    value = found.number(where, station, name, entry["value"])
    flags = entry.get("flagInfo")
    flagged = isinstance(flags, dict) and bool(flags.get("hasFlags"))
    return Value(station, sensor, name, str(parameter.get("units") or ""), end, value, length, flagged)
