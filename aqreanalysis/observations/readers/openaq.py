"""OpenAQ: its public archive (gzip CSV by location and day) and responses of its v3 API saved as JSON.

Archive (docs.openaq.org/aws/about): records/csv.gz/locationid=L/year=Y/month=M/location-L-YYYYMMDD.csv.gz with the
columns location_id, sensors_id, location, datetime, lat, lon, parameter, units, value. API (docs.openaq.org/
resources/measurements): responses of /v3/sensors/{id}/measurements or /hours in .json files whose path names the
sensor (`sensor-3919-2019.json`, `sensors/3919/hours-1.json`), and beside them a response of /v3/locations, which says
where each sensor stands. Folders may be flat.

A station is a location. `openaq_values` reads the files: stamps, units, incomplete hours and several sensors.
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
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp, as_hour
from aqreanalysis.observations.readers.openaq_values import (
    AnomalyCounts,
    Content,
    HourSum,
    Place,
    anomaly_sentences,
    csv_content,
    json_content,
    sensor_locations,
    span_of_day,
    value_of_each_hour,
)
from aqreanalysis.observations.station_table import checked, read_station_table

CSV_NAME = re.compile(r"location-(\d+)-(\d{8})\.csv(\.gz)?")
SENSOR = re.compile(r"sensors?[-_=/]?(\d+)", re.IGNORECASE)
MOVED_KM = 0.1         # a location counts as moved where it is farther away than this
HEAD_BYTES = 16_384    # of a JSON file, to see what it is
NO_HOURS = (0, -1)     # first and last hour of a file without any


@dataclass(frozen=True)
class LocationDay:
    """A CSV of the archive: one location's local day."""

    path: Path
    station: str
    day: dt.date

    def parsed(self, raw: bytes) -> Content:
        """What it holds; BadFile that says what is wrong with it."""
        return csv_content(self.path.name, raw, self.station, self.day)


@dataclass(frozen=True)
class SensorResponse:
    """A JSON file of the API: measurements of one sensor."""

    path: Path
    station: str
    sensor: int
    place: Place

    def parsed(self, raw: bytes) -> Content:
        """What it holds; BadFile that says what is wrong with it."""
        return json_content(self.path.name, raw, self.sensor, self.station, self.place)


OpenaqFile = LocationDay | SensorResponse


def _raw(file: OpenaqFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise BadFile(f"{file.path.name} can't be read ({error})") from error


def _is_openaq(path: Path) -> bool:
    """Whether a path holds daily files of the archive, or measurements of the API."""
    return any(_csv_day(file) or _json_kind(file) == "measurements" for file in _openaq_candidates(path))


def _openaq_refusals(path: Path) -> list[str]:
    """A sentence for each response of the API without a known place; a file with the name of a CSV is never refused."""
    return _openaq_files(path)[1]


class OpenaqArchive:
    """OpenAQ files under one path. Places come from the files, or from a station table with the locations' ids."""

    simulated = False

    def __init__(self, path: Path, options: ReadingOptions):
        options.refuse("OpenAQ files", utc_offset="Each of their stamps has its offset.")
        self.path = Path(path)
        if not _is_openaq(self.path):
            raise UserError(f"{path} holds no file of OpenAQ.", f"Expected {OPENAQ.layout}.")
        self.files, self.broken = _openaq_files(self.path)
        self._json_spans: dict[Path, tuple[int, int]] = {}
        places, self._spans, faults = self._places_and_spans()
        if not self._spans:
            raise UserError(f"No OpenAQ file of {path} can be used: {'; '.join((self.broken + faults)[:3])}.",
                            f"Expected {OPENAQ.layout}.", "Replace the files and run again.")
        table = options.station_table
        self.stations = read_station_table(table) if table else checked(places, str(path))
        self.source = ("hourly surface observations gathered by OpenAQ; gases given as volume ratios were converted at "
                       "298.15 K and 1013.25 hPa")

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour of the locations' first and last good files, UTC."""
        return _stamp(min(first for first, _ in self._spans)), _stamp(max(last for _, last in self._spans))

    def parts(self) -> list[ArchivePart]:
        """The files; a CSV's hours are those that its day may have in any time zone, within the period."""
        start, end = (_hour_number(stamp) for stamp in self.period())
        found = []
        for file in self.files:
            first, last = self._span(file)
            within = max(first, start), min(last, end)
            if within[0] <= within[1]:
                first, last = within
            if first <= last:  # a JSON that can't be read has no hours
                found.append(ArchivePart.of(file.path, self.path, _stamp(first), _stamp(last)))
        return sorted(found, key=lambda part: part.name)

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`; anomalies by location and pollutant."""
        first, last = _hour_number(start), _hour_number(end)
        at = dict(zip(self.stations["station_id"], self.stations[["lat", "lon"]].itertuples(index=False), strict=True))
        found = Inspection(skipped=list(self.broken))
        counts: AnomalyCounts = Counter()
        for file in self._files(first, last):
            try:
                raw = _raw(file)
                content = file.parsed(raw)
            except BadFile as error:
                found.skipped.append(str(error))
                continue
            found.good += 1
            found.digest.update(file.path.name.encode() + raw)
            values, found_here = value_of_each_hour(entry for entry in content.hours if first <= entry.hour <= last)
            found.values += sum(key[1] == "pm25" and key[0] in at for key in values)
            counts += content.anomalies + found_here + _moved(content.places, at)
        found.anomalies.extend(anomaly_sentences(counts))
        found.add_stations(self.stations)
        return found

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`; rows that disagree carry the flag `conflicting`."""
        first, last = _hour_number(start), _hour_number(end)
        cube = stations.empty_cube(time_axis.complete_hours(start, end), self.stations)
        place = {station: number for number, station in enumerate(self.stations["station_id"])}
        arrays = {name: cube[name].values for name in schema.POLLUTANTS}
        flags = {name: np.zeros(array.shape, schema.FLAG_DTYPE) for name, array in arrays.items()}
        sums: list[HourSum] = []
        for file in self._files(first, last):
            try:
                sums.extend(entry for entry in file.parsed(_raw(file)).hours
                            if first <= entry.hour <= last and entry.station in place)
            except BadFile:
                continue  # `inspect` has named it
        for (station, pollutant, hour), (value, conflicting) in value_of_each_hour(sums)[0].items():
            arrays[pollutant][hour - first, place[station]] = value
            flags[pollutant][hour - first, place[station]] = conflicting * schema.OBSERVATION_FLAGS["conflicting"]
        dims = (schema.TIME, schema.STATION)
        return cube.assign({f"{name}_flag": (dims, flag) for name, flag in flags.items() if flag.any()})

    def _files(self, first: int, last: int) -> list[OpenaqFile]:
        """Files that may hold a value of the hours."""
        return [file for file in self.files if (span := self._span(file))[0] <= last and span[1] >= first]

    def _span(self, file: OpenaqFile) -> tuple[int, int]:
        return span_of_day(file.day) if isinstance(file, LocationDay) else self._json_spans.get(file.path, NO_HOURS)

    def _places_and_spans(self) -> tuple[pd.DataFrame, list[tuple[int, int]], list[str]]:
        """Places and spans of hours from each location's first and last good CSV and from every JSON; what failed."""
        groups: dict[str, list[OpenaqFile]] = {}
        for file in self.files:
            groups.setdefault(file.station if isinstance(file, LocationDay) else str(file.path), []).append(file)
        found: list[Content] = []
        faults: list[str] = []
        for files in groups.values():
            if isinstance(files[0], LocationDay):
                found += _first_good(files, faults) + _first_good(files[::-1], [])
            else:  # the span of a bad JSON is not known, so that `inspect` can't come to it
                for content in _first_good(files, self.broken):
                    found.append(content)
                    self._json_spans[files[0].path] = _span_of(content) if content.hours else NO_HOURS
        places: dict[str, Place] = {}
        for content in found:
            for station, place in content.places.items():
                if station not in places or math.isnan(places[station].lat):
                    places[station] = place
        table = pd.DataFrame([(station, *place) for station, place in sorted(places.items())],
                             columns=["station_id", "name", "lat", "lon"])
        return table, [_span_of(content) for content in found if content.hours], faults


def _first_good(files: list[OpenaqFile], faults: list[str]) -> list[Content]:
    """The content of the first file that can be read, or nothing; `faults` takes what is wrong with those before it."""
    for file in files:
        try:
            return [file.parsed(_raw(file))]
        except BadFile as error:
            faults.append(str(error))
    return []


def _span_of(content: Content) -> tuple[int, int]:
    hours = [entry.hour for entry in content.hours]
    return min(hours), max(hours)


def _moved(places: dict[str, Place], at: dict[str, tuple[float, float]]) -> AnomalyCounts:
    counts: AnomalyCounts = Counter()
    for station, place in places.items():
        if station not in at or math.isnan(place.lat):
            continue
        km = float(geo.distance_km(place.lat, place.lon, *at[station]))
        if km > MOVED_KM:
            counts["moved", station, "", f"{place.lat:.4f}, {place.lon:.4f} ({km:.1f} km away)"] += 1
    return counts


def _openaq_files(path: Path) -> tuple[list[OpenaqFile], list[str]]:
    """The files of a path in order, and a sentence for each whose place is not known."""
    owners, broken = _owners_of_sensors(path)
    files: list[OpenaqFile] = []
    seen: dict[tuple[str, dt.date], Path] = {}
    for file in _openaq_candidates(path):
        if named := _csv_day(file):
            other = seen.setdefault(named, file)
            if other is file:
                files.append(LocationDay(file, *named))
            else:
                broken.append(f"{file.name} repeats the day of {other.name}")
        elif _json_kind(file) == "measurements":
            numbers = SENSOR.findall(file.relative_to(path.parent).as_posix())
            sensor = int(numbers[-1]) if numbers else -1
            if sensor in owners:
                files.append(SensorResponse(file, owners[sensor][0], sensor, owners[sensor][1]))
            else:
                what = f"of sensor {sensor}, which no file of locations names" if numbers else "named after no sensor"
                broken.append(f"{file.name} is {what} (save it as sensor-ID.json, with the answer of /v3/locations "
                              "beside it)")
    return sorted(files, key=_order), broken


def _order(file: OpenaqFile) -> tuple[str, dt.date, Path]:
    return file.station, file.day if isinstance(file, LocationDay) else dt.date.min, file.path


def _owners_of_sensors(path: Path) -> tuple[dict[int, tuple[str, Place]], list[str]]:
    """Sensor -> its location and place, from every response of /v3/locations; a sentence for each that is bad."""
    beside = path.parent.glob("*.json") if path.is_file() and path.suffix.lower() == ".json" else []
    owners: dict[int, tuple[str, Place]] = {}
    broken: list[str] = []
    for file in sorted({*_openaq_candidates(path), *beside}):
        if _json_kind(file) == "locations":
            try:
                owners |= sensor_locations(file.name, file.read_bytes())
            except (BadFile, OSError) as error:
                broken.append(str(error))
    return owners, broken


def _openaq_candidates(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _csv_day(file: Path) -> tuple[str, dt.date] | None:
    """Location and day of a CSV by its name."""
    match = CSV_NAME.fullmatch(file.name)
    if match is None:
        return None
    try:
        return match[1], dt.datetime.strptime(match[2], "%Y%m%d").date()
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


def _hour_number(stamp: Stamp) -> int:
    """Hours since 1970."""
    return int(as_hour(stamp).astype(int))


OPENAQ = Reader("openaq", "OpenAQ's location-L-YYYYMMDD.csv.gz, or its v3 measurements as .json", _is_openaq,
                _openaq_refusals, OpenaqArchive)
