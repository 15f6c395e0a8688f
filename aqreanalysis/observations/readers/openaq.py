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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import stations
from aqreanalysis.observations.readers.archive import ArchivePart, Inspection, Reader, ReadingOptions, Stamp, as_hour
from aqreanalysis.observations.readers.found_files import (
    NO_DAY,
    SHOWN_ALONE,
    Findings,
    FoundFile,
    Names,
    collect,
    contents,
    holds,
)
from aqreanalysis.observations.readers.openaq_json import has_measurements, json_files
from aqreanalysis.observations.readers.openaq_text import csv_content, json_content, span_of_day
from aqreanalysis.observations.readers.openaq_values import (
    Anomaly,
    AnomalyCounts,
    Content,
    HourSum,
    Place,
    anomaly_sentences,
    value_of_each_hour,
)
from aqreanalysis.observations.station_table import checked, read_station_table

CSV_FILES = Names("location-L-YYYYMMDD.csv.gz", r"location-(?P<station>\d+)-(?P<day>\d{8})\.csv", ("location",),
                  loose=r"location[-_ ]?(?P<station>\d+)[-_ ](?P<day>\d{4}([-_.]?)\d{2}\3\d{2})\.csv")
MOVED_KM = 0.1         # a location counts as moved where it is farther away than this
NO_HOURS = (0, -1)     # first and last hour of a file without any


@dataclass(frozen=True)
class LocationDay:
    """A CSV of the archive: one location's local day."""

    file: FoundFile
    station: str
    day: dt.date

    @property
    def key(self) -> tuple:
        """Its location and day: an archive has one file for them."""
        return self.station, self.day

    def parsed(self, raw: bytes) -> Content:
        """What it holds; BadFile that says what is wrong with it."""
        return csv_content(self.file.name, raw, self.station, self.day)


@dataclass(frozen=True)
class SensorResponse:
    """A JSON file of the API: measurements of one sensor."""

    file: FoundFile
    station: str
    sensor: int
    place: Place

    def parsed(self, raw: bytes) -> Content:
        """What it holds; BadFile that says what is wrong with it."""
        return json_content(self.file.name, raw, self.sensor, self.station, self.place)


OpenaqFile = LocationDay | SensorResponse


def _location_day(file: FoundFile, match: re.Match) -> LocationDay | str:
    """The CSV of a location's day by its name; in words why it is none."""
    digits = re.sub(r"\D", "", match["day"])
    try:
        return LocationDay(file, match["station"], dt.datetime.strptime(digits, "%Y%m%d").date())
    except ValueError:
        return NO_DAY


def _is_openaq(path: Path) -> bool:
    """Whether a path holds daily files of the archive, or measurements of the API."""
    return holds(path, CSV_FILES, _location_day) or has_measurements(path)


def _openaq_refusals(path: Path) -> list[str]:
    """A sentence for each response of the API without a known place, and for each file that nearly fits."""
    _, found, broken = _openaq_files(path)
    return [*broken, *found.passed_over]


class OpenaqArchive:
    """OpenAQ files under one path. Places come from the files, or from a station table with the locations' ids."""

    simulated = False

    def __init__(self, path: Path, options: ReadingOptions):
        options.refuse("OpenAQ files", utc_offset="Each of their stamps has its offset.")
        self.path = Path(path)
        if not _is_openaq(self.path):
            raise UserError(f"{path} holds no file of OpenAQ.", f"Expected {OPENAQ.layout}.")
        self.files, self._found, self.broken = _openaq_files(self.path)
        self._json_spans: dict[FoundFile, tuple[int, int]] = {}
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
        spans: dict[Path, list[tuple[int, int]]] = {}
        for file in self.files:
            first, last = self._span(file)
            within = max(first, start), min(last, end)
            if within[0] <= within[1]:
                first, last = within
            if first <= last:  # a JSON that can't be read has no hours
                spans.setdefault(file.file.path, []).append((first, last))
        found = [ArchivePart.of(path, self.path, _stamp(min(first for first, _ in span)),
                                _stamp(max(last for _, last in span))) for path, span in spans.items()]
        return sorted(found, key=lambda part: part.name)

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """Read and hash every file of the hours from `start` to `end`; anomalies by location and pollutant."""
        first, last = _hour_number(start), _hour_number(end)
        at = dict(zip(self.stations["station_id"], self.stations[["lat", "lon"]].itertuples(index=False), strict=True))
        found = Inspection(skipped=list(self.broken), passed_over=list(self._found.passed_over),
                           notes=list(self._found.notes))
        repeated, copies = self._found.repeats(lambda file: _overlaps(self._span(file), first, last), "day")
        found.skipped, found.passed_over = found.skipped + repeated, found.passed_over + copies
        counts: AnomalyCounts = Counter()
        where: dict[Anomaly, str] = {}
        nowhere: Counter[str] = Counter()   # values at locations without a place
        place = {station: number for number, station in enumerate(self.stations["station_id"])}
        there = np.zeros((last - first + 1, len(place)), bool)   # files may overlap
        for file, raw, content in self._parsed(first, last):
            if isinstance(content, BadFile):
                found.skipped.append(str(content))
                continue
            found.good += 1
            found.digest.update(file.file.base.encode() + raw)
            values, found_here = value_of_each_hour(entry for entry in content.hours if first <= entry.hour <= last)
            for station, pollutant, hour in values:
                if pollutant == schema.TARGET and station in place:
                    there[hour - first, place[station]] = True
            nowhere.update(key[0] for key in values if key[0] not in at)
            counts += content.anomalies + found_here + _moved(content.places, at)
            where = content.first | where
        found.values = int(there.sum())
        found.anomalies += anomaly_sentences(counts, where) + _not_placed(nowhere)
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
        for _, _, content in self._parsed(first, last):
            if not isinstance(content, BadFile):  # `inspect` names it
                sums.extend(entry for entry in content.hours if first <= entry.hour <= last and entry.station in place)
        for (station, pollutant, hour), (value, conflicting) in value_of_each_hour(sums)[0].items():
            arrays[pollutant][hour - first, place[station]] = value
            flags[pollutant][hour - first, place[station]] = conflicting * schema.OBSERVATION_FLAGS["conflicting"]
        dims = (schema.TIME, schema.STATION)
        return cube.assign({f"{name}_flag": (dims, flag) for name, flag in flags.items() if flag.any()})

    def _parsed(self, first: int, last: int) -> Iterator[tuple[OpenaqFile, bytes, Content | BadFile]]:
        """The files that may hold a value of the hours, each with its bytes and what it holds."""
        return _parsed([file for file in self.files if _overlaps(self._span(file), first, last)])

    def _span(self, file: OpenaqFile) -> tuple[int, int]:
        return span_of_day(file.day) if isinstance(file, LocationDay) else self._json_spans.get(file.file, NO_HOURS)

    def _places_and_spans(self) -> tuple[pd.DataFrame, list[tuple[int, int]], list[str]]:
        """Places and spans of hours from each location's first and last CSV with values and every JSON; what failed."""
        groups: dict[str | FoundFile, list[OpenaqFile]] = {}
        for file in self.files:
            groups.setdefault(file.station if isinstance(file, LocationDay) else file.file, []).append(file)
        found: list[Content] = []
        faults: list[str] = []
        for files in groups.values():
            if isinstance(files[0], LocationDay):
                found += _first_good(files, faults) + _first_good(files[::-1], [])
            else:  # the span of a bad JSON is not known, so that `inspect` can't come to it
                for content in _first_good(files, self.broken):
                    found.append(content)
                    self._json_spans[files[0].file] = _span_of(content) if content.hours else NO_HOURS
        places: dict[str, Place] = {}
        for content in found:
            for station, place in content.places.items():
                if station not in places or math.isnan(places[station].lat):
                    places[station] = place
        table = pd.DataFrame([(station, *place) for station, place in sorted(places.items())],
                             columns=["station_id", "name", "lat", "lon"])
        return table, [_span_of(content) for content in found if content.hours], faults


def _parsed(files: Iterable[OpenaqFile]) -> Iterator[tuple[OpenaqFile, bytes, Content | BadFile]]:
    for file, raw in contents(files):
        if isinstance(raw, BadFile):
            yield file, b"", raw
            continue
        try:
            yield file, raw, file.parsed(raw)
        except BadFile as error:
            yield file, raw, error


def _first_good(files: list[OpenaqFile], faults: list[str]) -> list[Content]:
    """The content of the files up to the first with a value; `faults` takes what is wrong with those before it."""
    found = []
    for _, _, content in _parsed(files):
        if isinstance(content, BadFile):
            faults.append(str(content))
            continue
        found.append(content)
        if content.hours:
            break
    return found


def _overlaps(span: tuple[int, int], first: int, last: int) -> bool:
    return span[0] <= last and span[1] >= first


def _not_placed(values: Counter[str]) -> list[str]:
    """Sentences on locations without a place, with the number of their values."""
    why = "no coordinates in the files or the station table; values not used"
    if len(values) <= SHOWN_ALONE:
        return [f"location {station}: {why}: {number}" for station, number in sorted(values.items())]
    return [f"{len(values)} locations, for example {min(values)}: {why}: {values.total()}"]


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


def _openaq_files(path: Path) -> tuple[list[OpenaqFile], Findings[LocationDay], list[str]]:
    """The files of a path in order, what there is of CSV, and a sentence for each that can't be used."""
    found, api = collect(path, CSV_FILES, _location_day), json_files(path)
    files: list[OpenaqFile] = list(found.files)
    broken = [*found.broken, *api.broken]
    for file, sensor in api.measurements:
        if sensor in api.owners:
            files.append(SensorResponse(file, api.owners[sensor][0], sensor, api.owners[sensor][1]))
        else:
            what = f"of sensor {sensor}, which no file of locations names" if sensor >= 0 else "named after no sensor"
            broken.append(f"{file.name} is {what} (save it as sensor-ID.json, with the answer of /v3/locations "
                          "beside it)")
    zips = tuple(f"{file.path.name}: a zip" for file, _ in api.measurements)
    found.passed_over = [text for text in found.passed_over if not text.startswith(zips)]
    return sorted(files, key=_order), found, broken


def _order(file: OpenaqFile) -> tuple[str, dt.date, str]:
    return (file.station, file.day if isinstance(file, LocationDay) else dt.date.min,
            "/".join((file.file.path.as_posix(), file.file.name)))


@functools.cache
def _stamp(hour: int) -> np.datetime64:
    return np.datetime64(hour, "h")


def _hour_number(stamp: Stamp) -> int:
    """Hours since 1970."""
    return int(as_hour(stamp).astype(int))


OPENAQ = Reader("openaq", "OpenAQ's location-L-YYYYMMDD.csv.gz, or its v3 measurements as .json", _is_openaq,
                _openaq_refusals, OpenaqArchive)
