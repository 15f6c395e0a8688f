"""Which responses of OpenAQ's v3 API lie under a path: measurements of sensors, and the locations that have them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers.found_files import FoundFile, walk
from aqreanalysis.observations.readers.openaq_text import json_pages, json_results, sensor_locations
from aqreanalysis.observations.readers.openaq_values import Place

SENSOR = re.compile(r"sensors?[-_= /]?(\d+)", re.IGNORECASE)
LOCATION = re.compile(r"locations?(?:[-_. (]|\d|$)", re.IGNORECASE)
HEAD_BYTES = 16_384    # of a JSON file, to see what it is


@dataclass
class ApiFiles:
    """The responses under a path."""

    measurements: list[tuple[FoundFile, int]] = field(default_factory=list)    # with their sensors, -1 if not known
    owners: dict[int, tuple[str, Place]] = field(default_factory=dict)         # sensor -> its location and place
    broken: list[str] = field(default_factory=list)    # a sentence for each file, entry or page that is not there


def json_files(path: Path) -> ApiFiles:
    """The responses under a path, in order; a response alone has its locations in the files beside it."""
    found = ApiFiles()
    beside = [FoundFile(file) for file in sorted(path.parent.glob("*"))] if _is_json(path.name, path) else []
    here = [file for file in walk(path) if isinstance(file, FoundFile)]
    pages: dict[int, Counter[tuple[int, bool]]] = {}
    for file in dict.fromkeys([*here, *beside]):
        if not _is_json(file.base, file.path):
            continue
        try:
            head = _head(file)
        except BadFile as error:
            found.broken.append(str(error))
            continue
        kind = _kind(head)
        if kind == "locations":
            _add_locations(found, file)
        elif file not in here:
            continue
        elif kind == "measurements":
            sensor = _sensor_of(file, path)
            found.measurements.append((file, sensor))
            if b'"meta"' in head:
                _count_page(pages.setdefault(sensor, Counter()), file)
        elif SENSOR.search(file.base) or LOCATION.match(file.base):
            found.broken.append(_without_results(file))
    found.broken += _missing_pages(pages)
    return found


def has_measurements(path: Path) -> bool:
    """Whether there is a response with measurements under a path; looks no further than the first."""
    for file in walk(path):
        if isinstance(file, FoundFile) and _is_json(file.base, file.path):
            try:
                if _kind(_head(file)) == "measurements":
                    return True
            except BadFile:
                continue
    return False


def _is_json(name: str, path: Path) -> bool:
    return name.lower().endswith((".json", ".json.gz")) and path.is_file()


def _head(file: FoundFile) -> bytes:
    if file.members or file.base.lower().endswith(".gz"):
        return file.content()[:HEAD_BYTES]
    try:
        with file.path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise BadFile(f"{file.name} can't be read ({error.strerror or error})") from error


def _kind(head: bytes) -> str:
    """`measurements` or `locations` for a response of the API with results, by its first bytes; else ""."""
    head = head.replace(b"\0", b"")   # of UTF-16
    if b'"results"' not in head:
        return ""
    return "measurements" if b'"period"' in head else "locations" if b'"sensors"' in head else ""


def _sensor_of(file: FoundFile, path: Path) -> int:
    """The sensor that a file's path names last, -1 where it names none."""
    where = "/".join((file.path.relative_to(path.parent).as_posix(), *(member.name for member in file.members)))
    numbers = SENSOR.findall(where)
    return int(numbers[-1]) if numbers else -1


def _add_locations(found: ApiFiles, file: FoundFile) -> None:
    try:
        owners, faults = sensor_locations(file.name, file.content())
    except BadFile as error:
        found.broken.append(str(error))
        return
    for sensor, (station, place) in owners.items():
        if sensor not in found.owners or place.lat == place.lat:  # NaN is not itself: a place counts before none
            found.owners[sensor] = (station, place)
    found.broken += faults


def _without_results(file: FoundFile) -> str:
    """What is told of a response that its name makes one of a sensor or of locations, and that has no results."""
    try:
        results = json_results(file.name, file.content())
    except BadFile as error:
        return str(error)
    return (f"{file.name} has no results: its list is empty" if not results
            else f"{file.name} has results that are neither measurements with their periods nor locations")


def _count_page(pages: Counter[tuple[int, bool]], file: FoundFile) -> None:
    try:
        page = json_pages(file.content())
    except BadFile:
        return
    if page:
        pages[page] += 1


def _missing_pages(pages: dict[int, Counter[tuple[int, bool]]]) -> list[str]:
    """A sentence for each page that is not there: of a full one the next, of any but the first the one before."""
    missing = []
    for sensor, counts in pages.items():
        there = Counter({page: counts[page, False] + counts[page, True] for page, _ in counts})
        gaps = {page + 1 for (page, is_full), count in counts.items() if is_full and there[page + 1] < count}
        gaps |= {page - 1 for page in there if page > 1 and there[page - 1] < there[page]}
        missing += [f"sensor {sensor}: page {page} of its measurements is missing (the one "
                    f"{'before is full' if page - 1 in there else 'after is there'})" for page in sorted(gaps)]
    return missing
