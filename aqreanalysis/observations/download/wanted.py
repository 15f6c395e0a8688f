"""What is fetched: for each source the addresses of a period, the path of each file, and how it is checked."""

from __future__ import annotations

import datetime as dt
import functools
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np

from aqreanalysis import containers, files, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations.readers.cnemc import CNEMC_FILES
from aqreanalysis.observations.readers.daily_rows import parse_daily_file
from aqreanalysis.observations.readers.openaq_text import csv_content
from aqreanalysis.observations.station_table import read_station_table
from aqreanalysis.time_axis import Period

TEMPLATES = {
    "cnemc": "https://quotsoft.net/air/data/china_sites_{date}.csv",
    "openaq": "https://openaq-data-archive.s3.amazonaws.com/records/csv.gz/locationid={location}/year={year}/"
              "month={month}/location-{location}-{date}.csv.gz",
}
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class FetchRequest:
    """What the user asks for; None means the default."""

    source: str
    period: Period
    locations: str | None = None      # numbers, separated by commas
    template: str | None = None       # an address with {date}, {year}, {month}, {day}, {location}
    station_table: str | None = None  # an address
    to: str | None = None             # a folder


@dataclass(frozen=True)
class Wanted:
    """One file to fetch: `check` raises BadFile if the one under a temporary name is not what it should be."""

    url: str
    path: Path
    what: str                     # "", "location 3", "station table"
    days: tuple[dt.date, ...]
    check: Callable[[Path], None]

    @property
    def label(self) -> str:
        """Names the file in messages."""
        return " ".join(filter(None, (self.what, in_few_words(self.days))))


def in_few_words(days: Iterable[dt.date]) -> str:
    """Days as spans: 20190105-20190107, 20190110."""
    spans: list[list[dt.date]] = []
    for day in sorted(days):
        if spans and day - spans[-1][-1] == ONE_DAY:
            spans[-1] = [spans[-1][0], day]
        else:
            spans.append([day])
    return ", ".join("-".join(f"{day:%Y%m%d}" for day in span) for span in spans)


def folder_of(request: FetchRequest) -> Path:
    """The folder given, or the one of this source in the data folder, where `build` looks for archives."""
    return files.folder_named(request.to, "--to") if request.to else files.data_folder() / request.source


def wanted_files(request: FetchRequest, folder: Path) -> list[Wanted]:
    """Every file of a request in order; UserError for a request that can't be met."""
    if request.source not in TEMPLATES:
        raise UserError(f"{request.source!r} is not a source.", f"Sources are {' and '.join(TEMPLATES)}.",
                        "Example: aqreanalysis fetch cnemc --year 2016.")
    template = request.template or TEMPLATES[request.source]
    if request.source == "cnemc":
        if request.locations:
            raise UserError("--locations was given for cnemc.", "A file of the national network has every station.",
                            "Leave --locations out.")
        # the period's last stamp, 00:00, is in the file of the day after
        found = _national(template, _ended([*request.period.days(), request.period.last + ONE_DAY]), folder)
    else:
        found = _of_locations(template, _locations(request.locations), _ended(request.period.days()), folder)
    if request.station_table:
        found.insert(0, Wanted(_address(request.station_table), folder / "stations.csv", "station table", (),
                               _check_table))
    return found


def _ended(days: list[dt.date]) -> list[dt.date]:
    """Days that are over in China: an earlier file of a day would be kept, and stay incomplete."""
    today = dt.datetime.now(dt.timezone(dt.timedelta(hours=time_axis.UTC_OFFSET_HOURS))).date()
    ended = [day for day in days if day < today]
    if not ended:
        raise UserError(f"{days[0]} is not over yet: by this machine's clock it is {today} in China.",
                        "Only whole days can be fetched.", "Choose an earlier period, or set the clock.")
    return ended


def _national(template: str, days: list[dt.date], folder: Path) -> list[Wanted]:
    """One file a day, or zips that hold several days and keep the name of their address."""
    by_url: dict[str, list[dt.date]] = {}
    for day in days:
        by_url.setdefault(_address(template, day), []).append(day)
    found: list[Wanted] = []
    owner: dict[str, str] = {}
    for url, held in by_url.items():
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        if not name.lower().endswith(".zip"):
            if len(held) > 1:
                raise UserError(f"{template} is the same address for {held[0]} and {held[1]}.",
                                "Only a zip holds more than one day.", "Put {date} into the address.")
            name = f"china_sites_{held[0]:%Y%m%d}.csv"
            check = functools.partial(_check_day, name, held[0])
        else:
            check = functools.partial(_check_zip, name, held)
        if owner.setdefault(name, url) != url:
            raise UserError(f"{owner[name]} and {url} are two files of one name.",
                            "A zip is kept under the name that ends its address.", "Give an address with other names.")
        found.append(Wanted(url, folder / name, "", tuple(held), check))
    return found


def _of_locations(template: str, locations: list[int], days: list[dt.date], folder: Path) -> list[Wanted]:
    """One file for each location and day, where the archive has it: in a folder for each location and month."""
    found = []
    for location in locations:
        for day in days:
            name = f"location-{location}-{day:%Y%m%d}.csv.gz"
            below = f"records/csv.gz/locationid={location}/year={day:%Y}/month={day:%m}"
            check = functools.partial(_check_location, name, str(location), day)
            found.append(Wanted(_address(template, day, location), folder / below / name, f"location {location}",
                                (day,), check))
    if len({item.url for item in found}) < len(found):
        raise UserError(f"{template} is the same address for several locations or days.",
                        "OpenAQ has a file for each location and day.", "Put {location} and {date} into the address.")
    return found


def _locations(text: str | None) -> list[int]:
    numbers = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not numbers or not all(number.isascii() and number.isdigit() for number in numbers):
        raise UserError(f"--locations {text!r} names no OpenAQ location." if text else "No locations were given.",
                        "Files of OpenAQ's archive are requested by the numbers of locations, separated by commas.",
                        "Find them on explore.openaq.org. Example: --locations 7421,8118.")
    return list(dict.fromkeys(map(int, numbers)))


class _Day(dt.date):
    """A day that is formatted as YYYYMMDD, or as asked: {date}, {date:%Y-%m-%d}, {date:%G%V} (ISO week)."""

    def __format__(self, form: str) -> str:
        return self.strftime(form or "%Y%m%d")


def _address(template: str, day: dt.date | None = None, location: int | None = None) -> str:
    """The address of the file of a day, and of a location."""
    known = {} if day is None else {"date": _Day(day.year, day.month, day.day), "year": f"{day:%Y}",
                                    "month": f"{day:%m}", "day": f"{day:%d}"}
    known |= {} if location is None else {"location": location}
    try:
        url = template.format(**known)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(f"The address {template!r} can't be filled in ({error!r}).",
                        f"Known here: {', '.join(f'{{{name}}}' for name in known) or 'no fields'}.",
                        f"Example: {TEMPLATES['cnemc']}") from error
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise UserError(f"{url!r} is not an address.", "Files are fetched from http:// or https:// addresses.",
                        f"Example: {TEMPLATES['cnemc']}")
    return url


def _check_day(name: str, day: dt.date, part: Path) -> None:
    _check_content_of_day(name, day, part.read_bytes())


def _check_content_of_day(name: str, day: dt.date, content: bytes) -> None:
    """The reader's own check, with every station of the header known."""
    rows = parse_daily_file(name, np.datetime64(day, "D"), containers.unpacked(content, name), None)
    if rows.lost:  # a reader loses a row; a download is tried again
        raise BadFile(rows.lost[0])


def _check_zip(name: str, days: list[dt.date], part: Path) -> None:
    """Every member is whole, and a file of at least one of the days can be read; the reader reports the others."""
    texts: list[tuple[str, dt.date, bytes]] = []
    try:
        with zipfile.ZipFile(part) as container:
            for member in containers.zip_members(container)[0]:
                content = containers.read_member(container, member, f"{name}: its member {member.name}")
                if (day := _day_of(member.name)) in days:
                    texts.append((member.name, day, content))
    except BadFile:
        raise
    except containers.DAMAGE as error:
        raise BadFile(f"{name} is not a whole zip file ({error})") from error
    faults = []
    for of_member, day, text in texts:
        try:
            return _check_content_of_day(of_member, day, text)
        except BadFile as error:
            faults.append(str(error))
    raise BadFile(faults[0] if faults else f"{name} holds no file of {in_few_words(days)}")


def _day_of(member: str) -> dt.date | None:
    day = CNEMC_FILES.day_of(PurePosixPath(member).name)
    return None if day is None else day.astype(dt.date)


def _check_location(name: str, location: str, day: dt.date, part: Path) -> None:
    found = csv_content(name, containers.unpacked(part.read_bytes(), name), location, day)
    for key in found.anomalies:
        if key[0] == "row":
            raise BadFile(f"{name} has a row {key[3]} ({found.first[key]})")


def _check_table(part: Path) -> None:
    try:
        read_station_table(part)
    except UserError as error:
        raise BadFile(str(error)) from error
