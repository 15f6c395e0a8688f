"""What one OpenAQ file holds, as sums of hours: CSV of the archive, or JSON of the v3 API.

Stamps. OpenAQ's are "exclusive time-ending": 03:00 is the hour from 02:00 to 02:59
(docs.openaq.org/using-the-api/dates-datetimes); so is the archive's `datetime`, which carries its offset, and
`period.datetimeTo` of the API. A value belongs to the UTC hour that ends at its stamp or next after it: what comes
more often than once an hour is averaged to our END stamps.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import gzip
import io
import json
import math
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers.openaq_hours import HOUR, HourSum, Value, hour_sums

COLUMNS = ("location_id", "sensors_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")


class Place(NamedTuple):
    """Where a location stands, degrees; NaN where the file does not say."""

    name: str
    lat: float
    lon: float


@dataclass
class Content:
    """One file: places, hours, and how often something odd was met, by (what, station, parameter, detail)."""

    places: dict[str, Place]
    hours: list[HourSum]
    odd: Counter = field(default_factory=Counter)


def csv_content(name: str, content: bytes, station: str, day: dt.date) -> Content:
    """A file of the archive, `location-<station>-<day>.csv` or `.csv.gz`; BadFile that says what is wrong with it."""
    table = csv.reader(io.StringIO(_text(name, content), newline=""))
    try:
        header = [cell.strip().lower() for cell in next(table)]
        if header[:len(COLUMNS)] != list(COLUMNS):
            raise BadFile(f"{name} has other columns ({','.join(header[:4])[:60]} ...)")
        rows = [row for row in table if row]
    except (csv.Error, StopIteration) as error:
        raise BadFile(f"{name} can't be read as CSV ({error})") from error
    if not rows:
        raise BadFile(f"{name} has a header and no rows")
    values, places, (first, last) = [], {}, span_of_day(day)
    for number, row in enumerate(rows, 2):
        if len(row) < len(COLUMNS):
            raise BadFile(f"{name} is truncated or damaged in line {number}")
        if row[0] != station:
            raise BadFile(f"{name} holds a row of location {row[0]!r:.20} in line {number}")
        try:
            time = _seconds(row[3])
            if row[8].strip():
                parameter, units = row[6].strip().lower(), row[7].strip()
                values.append(Value(station, int(row[1]), parameter, units, time, float(row[8]), 0, False))
            if station not in places and row[4].strip() and row[5].strip():
                places[station] = Place(row[2], float(row[4]), float(row[5]))
        except ValueError as error:
            raise BadFile(f"{name} holds what is not a number or a time with its offset in line {number} "
                          f"({error})") from error
        if not first <= -(-time // HOUR) <= last:
            raise BadFile(f"{name} holds the stamp {row[3]!r:.40} in line {number}, which is not of its day")
    return Content(places or {station: Place(rows[0][2], math.nan, math.nan)}, *hour_sums(values))


def _text(name: str, content: bytes) -> str:
    if not content:
        raise BadFile(f"{name} is empty")
    zipped = content[:2] == b"\x1f\x8b"
    if zipped and not name.endswith(".gz"):
        raise BadFile(f"{name} is gzip, not CSV (gunzip it, or name it .csv.gz)")
    if content.lstrip()[:1] == b"<":
        raise BadFile(f"{name} is an HTML or XML page, not CSV")
    if not zipped and name.endswith(".gz"):
        raise BadFile(f"{name} is not gzip, though its name says so")
    try:
        return (gzip.decompress(content) if zipped else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{name} is a damaged or truncated gzip file ({error})") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{name} is not UTF-8 text") from error


@functools.lru_cache(maxsize=10_000)
def _seconds(text: str) -> int:
    """Seconds since 1970 of an ISO 8601 time with its offset, rounded up; ValueError without one."""
    time = dt.datetime.fromisoformat(text.strip())
    if time.tzinfo is None:
        raise ValueError(f"no offset in {text!r}")
    return math.ceil(time.timestamp())


def span_of_day(day: dt.date) -> tuple[int, int]:
    """First and last END-of-hour stamp, hours since 1970 UTC, that the file of a local day may hold in any zone.

    The archive's day is that of the location's clock, after 00:00 to 24:00 (openaq/openaq-open-data, the query of
    `get_measurement_data`); clocks lie between UTC-12 and UTC+14.
    """
    midnight = (day - dt.date(1970, 1, 1)).days * 24
    return midnight - 14, midnight + 24 + 12


def json_results(name: str, content: bytes) -> list[dict]:
    """`results` of a response of the v3 API."""
    try:
        found = json.loads(content)
        results = found["results"]
        if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
            raise TypeError("results is not a list of objects")
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadFile(f"{name} is not a whole response of the OpenAQ API ({error})") from error
    return results


def locations(name: str, content: bytes) -> dict[int, tuple[str, Place]]:
    """Sensor -> its location and place, from a response of /v3/locations or /v3/locations/{id}."""
    found = {}
    try:
        for entry in json_results(name, content):
            at = entry["coordinates"]
            place = Place(str(entry.get("name") or ""), float(at["latitude"]), float(at["longitude"]))
            found |= {int(sensor["id"]): (str(entry["id"]), place) for sensor in entry["sensors"]}
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{name} is not a list of OpenAQ locations ({error!r})") from error
    return found


def json_content(name: str, content: bytes, sensor: int, station: str, place: Place) -> Content:
    """A response of /v3/sensors/{id}/measurements or /hours; BadFile for others, as daily means."""
    values, sparse = [], Counter()
    try:
        for entry in json_results(name, content):
            period, parameter = entry["period"], entry["parameter"]
            end = _seconds(period["datetimeTo"]["utc"])
            length = end - _seconds(period["datetimeFrom"]["utc"])
            if length > HOUR:
                raise BadFile(f"{name} holds means over {length / HOUR:g} h; hourly or shorter ones are needed")
            if entry["value"] is None:
                continue
            complete = (entry.get("coverage") or {}).get("percentComplete")
            if complete is not None and complete < 50:
                sparse["sparse", station, parameter["name"], ""] += 1
                continue
            flagged = bool((entry.get("flagInfo") or {}).get("hasFlags"))
            values.append(Value(station, sensor, parameter["name"], parameter["units"], end, float(entry["value"]),
                                length, flagged))
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{name} is not a list of OpenAQ measurements ({error!r})") from error
    if not values:
        raise BadFile(f"{name} holds no measurement")
    hours, odd = hour_sums(values)
    return Content({station: place}, hours, odd + sparse)
