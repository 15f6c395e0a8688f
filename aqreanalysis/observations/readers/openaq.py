"""OpenAQ: its public archive (gzip CSV by location and day) and responses of its v3 API saved as JSON.

Archive (docs.openaq.org/aws/about): records/csv.gz/locationid=L/year=Y/month=M/location-L-YYYYMMDD.csv.gz with the
columns location_id, sensors_id, location, datetime, lat, lon, parameter, units, value. API (docs.openaq.org/
resources/measurements): responses of /v3/sensors/{id}/measurements or /hours in .json files whose path names the
sensor (`sensor-3919-2019.json`, `sensors/3919/hours-1.json`), and beside them a response of /v3/locations, which tells
where each sensor stands. Folders may be flat. `openaq_files` tells about stamps.

A station is a location. `openaq_hours` tells about units, hours that are not full, and several sensors.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers.archive import Inspection, Part
from aqreanalysis.observations.readers.openaq_files import (
    Content,
    Place,
    csv_content,
    json_content,
    locations,
    span_of_day,
)
from aqreanalysis.observations.readers.openaq_hours import HourSum, chosen, sentences
from aqreanalysis.observations.station_table import checked, read_station_table

CSV_NAME = re.compile(r"location-(\d+)-(\d{8})\.csv(\.gz)?")
SENSOR = re.compile(r"sensors?[-_=/]?(\d+)", re.IGNORECASE)
LAYOUT = "OpenAQ's location-L-YYYYMMDD.csv.gz, or its v3 measurements as .json"
MOVED_KM = 0.1  # farther than this a location is said to have moved
HEAD_BYTES = 16_384  # of a JSON file, to see what it is


@dataclass(frozen=True)
class SourceFile:
    """One file: a location's day of the archive, or a response about one sensor."""

    path: Path
    station: str
    day: dt.date | None = None         # of a CSV
    sensor: int | None = None          # of a JSON
    place: Place | None = None         # of a JSON

    def content(self) -> Content:
        """What it holds; BadFile where it can't be read."""
        return _content(self, self.raw())

    def raw(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise BadFile(f"{self.path.name} can't be read ({error})") from error


def _content(file: SourceFile, raw: bytes) -> Content:
    if file.day is None:
        return json_content(file.path.name, raw, file.sensor, file.station, file.place)
    return csv_content(file.path.name, raw, file.station, file.day)


def recognises(path: Path) -> bool:
    """Whether a path holds daily files of the archive, or measurements of the API."""
    return any(_csv_day(file) or _json_kind(file) == "measurements" for file in _candidates(path))


def refused(path: Path) -> list[str]:
    """A sentence for each response of the API that can't be placed; what has the name of a CSV is always taken."""
    return _find(path)[1]


class OpenaqArchive:
    """OpenAQ files under one path. Places come from the files, or from a station table with the locations' ids."""

    simulated = False

    def __init__(self, path: Path, station_table: Path | None = None):
        self.path = Path(path)
        self.files, self.broken = _find(self.path)
        places, self._spans = self._look()
        if not self._spans:
            raise UserError(f"No OpenAQ file of {path} can be used: {'; '.join((self.broken + self._faults)[:3])}.",
                            f"Expected {LAYOUT}.", "Replace the files and run again.")
        self.stations = read_station_table(station_table) if station_table else checked(places, str(path))
        self.source = ("hourly surface observations gathered by OpenAQ; gases given as volume ratios were converted at "
                       "298.15 K and 1013.25 hPa")

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour of the locations' first and last good files, UTC."""
        return _stamp(min(first for first, _ in self._spans)), _stamp(max(last for _, last in self._spans))

    def parts(self) -> list[Part]:
        """The files; a CSV's hours are those that its day may have in any time zone, within the period."""
        start, end = (_number(stamp) for stamp in self.period())
        found = []
        for file in self.files:
            first, last = self._span(file)
            within = max(first, start), min(last, end)
            if within[0] <= within[1]:
                first, last = within
            if first <= last:  # a JSON that can't be read has no hours
                found.append(Part.of(file.path, self.path, _stamp(first), _stamp(last)))
        return sorted(found, key=lambda part: part.name)

    def inspect(self, start, end) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`; say what is odd, by location and pollutant."""
        first, last = _number(start), _number(end)
        at = {row.station_id: (row.lat, row.lon) for row in self.stations.itertuples()}
        found, odd = Inspection(bad=list(self.broken)), Counter()
        for file in self._files(first, last):
            try:
                raw = file.raw()
                content = _content(file, raw)
            except BadFile as error:
                found.bad.append(str(error))
                continue
            found.good += 1
            found.digest.update(file.path.name.encode() + raw)
            values, kinds = chosen(entry for entry in content.hours if first <= entry.hour <= last)
            found.values += sum(key[1] == "pm25" and key[0] in at for key in values)
            odd += content.odd + kinds + _moved(content.places, at)
        found.odd.extend(sentences(odd))
        found.digest.update(self.stations[["station_id", "lat", "lon"]].to_csv(index=False).encode())
        return found

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; rows that disagree carry the flag `conflicting`."""
        first, last = _number(start), _number(end)
        cube = stations.empty_cube(time_axis.complete_hours(start, end), self.stations)
        place = {station: number for number, station in enumerate(self.stations["station_id"])}
        arrays = {name: cube[name].values for name in schema.POLLUTANTS}
        flags = {name: np.zeros(array.shape, schema.FLAG_DTYPE) for name, array in arrays.items()}
        sums: list[HourSum] = []
        for file in self._files(first, last):
            try:
                sums.extend(entry for entry in file.content().hours
                            if first <= entry.hour <= last and entry.station in place)
            except BadFile:
                continue  # `inspect` has named it
        for (station, pollutant, hour), (value, conflicting) in chosen(sums)[0].items():
            arrays[pollutant][hour - first, place[station]] = value
            flags[pollutant][hour - first, place[station]] = conflicting * schema.OBSERVATION_FLAGS["conflicting"]
        dims = (schema.TIME, schema.STATION)
        return cube.assign({f"{name}_flag": (dims, flag) for name, flag in flags.items() if flag.any()})

    def _files(self, first: int, last: int) -> list[SourceFile]:
        """Files that may hold a value of the hours."""
        return [file for file in self.files if (span := self._span(file))[0] <= last and span[1] >= first]

    def _span(self, file: SourceFile) -> tuple[int, int]:
        return span_of_day(file.day) if file.day else self._json_spans.get(file.path, (0, -1))

    def _look(self) -> tuple[pd.DataFrame, list[tuple[int, int]]]:
        """Places and spans of hours from each location's first and last good CSV and from every JSON."""
        by_location: dict[str, list[SourceFile]] = {}
        for file in self.files:
            by_location.setdefault(file.station if file.day else str(file.path), []).append(file)
        places: dict[str, Place] = {}
        spans, faults = [], []
        self._json_spans: dict[Path, tuple[int, int]] = {}
        for files in by_location.values():
            looks = [_first_good(files, faults), _first_good(files[::-1], [])] if files[0].day else \
                    [_first_good(files, self.broken)]  # no span of a bad JSON is known, so `inspect` can't meet it
            for content in filter(None, looks):
                for station, place in content.places.items():
                    if station not in places or math.isnan(places[station].lat):
                        places[station] = place
                hours = [entry.hour for entry in content.hours]
                spans += [(min(hours), max(hours))] if hours else []
                if files[0].day is None and hours:
                    self._json_spans[files[0].path] = spans[-1]
        self._faults = faults
        table = pd.DataFrame([(station, *place) for station, place in sorted(places.items())],
                             columns=["station_id", "name", "lat", "lon"])
        return table, spans


def _first_good(files: list[SourceFile], faults: list[str]) -> Content | None:
    for file in files:
        try:
            return file.content()
        except BadFile as error:
            faults.append(str(error))
    return None


def _moved(places: dict[str, Place], at: dict[str, tuple[float, float]]) -> Counter:
    odd = Counter()
    for station, place in places.items():
        if station not in at or math.isnan(place.lat):
            continue
        km = float(geo.distance_km(place.lat, place.lon, *at[station]))
        if km > MOVED_KM:
            odd["moved", station, "", f"{place.lat:.4f}, {place.lon:.4f} ({km:.1f} km away)"] += 1
    return odd


def _find(path: Path) -> tuple[list[SourceFile], list[str]]:
    """The files of a path in order, and a sentence for each that can't be placed."""
    beside = path.parent.glob("*.json") if path.is_file() and path.suffix.lower() == ".json" else []
    owners, broken = {}, []
    for file in sorted({*_candidates(path), *beside}):
        if _json_kind(file) == "locations":
            try:
                owners |= locations(file.name, file.read_bytes())
            except (BadFile, OSError) as error:
                broken.append(str(error))
    files, seen = [], {}
    for file in _candidates(path):
        if named := _csv_day(file):
            other = seen.setdefault(named, file)
            if other is file:
                files.append(SourceFile(file, named[0], day=named[1]))
            else:
                broken.append(f"{file.name} repeats the day of {other.name}")
        elif _json_kind(file) == "measurements":
            numbers = SENSOR.findall(file.relative_to(path.parent).as_posix())
            sensor = int(numbers[-1]) if numbers else None
            if sensor in owners:
                files.append(SourceFile(file, owners[sensor][0], sensor=sensor, place=owners[sensor][1]))
            else:
                what = f"of sensor {sensor}, which no file of locations names" if numbers else "named after no sensor"
                broken.append(f"{file.name} is {what} (save it as sensor-ID.json, with the answer of /v3/locations "
                              "beside it)")
    return sorted(files, key=lambda file: (file.station, file.day or dt.date.min, file.path)), broken


def _candidates(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _csv_day(file: Path) -> tuple[str, dt.date] | None:
    match = CSV_NAME.fullmatch(file.name)
    try:
        return match and (match.group(1), dt.datetime.strptime(match.group(2), "%Y%m%d").date())
    except ValueError:
        return None


def _json_kind(file: Path) -> str | None:
    """`measurements` or `locations` for a response of the API, by its first bytes."""
    if file.suffix.lower() != ".json":
        return None
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return None
    if b'"results"' not in head:
        return None
    return "measurements" if b'"period"' in head else "locations" if b'"sensors"' in head else None


@functools.cache
def _stamp(hour: int) -> np.datetime64:
    return np.datetime64(hour, "h")


def _number(stamp) -> int:
    return int(np.datetime64(stamp, "h").astype(int))


def open_archive(path: Path, station_table: Path | None = None) -> OpenaqArchive:
    """The archive at `path`; a UserError where there is none."""
    if not recognises(path):
        raise UserError(f"{path} holds no file of OpenAQ.", f"Expected {LAYOUT}.", "")
    return OpenaqArchive(path, station_table)
