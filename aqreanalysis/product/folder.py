"""A product folder: which files, what they were made from (run.json), what is done already.

A file or store that has its name is complete: each is written under another name and moved. What is done
is noted with its hash; what is gone or has other bytes than was noted is made again. A folder belongs to one
recipe; going on with another one is an error that names the first key that differs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from aqreanalysis import files, output, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.output import Format, ProductPart, format_of
from aqreanalysis.product.versions import check_month_versions, other_versions
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period

RECORD, LOCK = "run.json", ".lock"
PROGRESS = re.compile(r"\.(\d{4})(\d{2})\.progress")  # see ProductFolder.progress


@dataclass(frozen=True)
class Days:
    """All days of one daily file or store."""

    label: str             # "2016", or the product's period
    path: Path
    months: tuple[Period, ...]

    @property
    def part(self) -> ProductPart:
        days = [day for month in self.months for day in month.days()]
        return ProductPart(self.path, output.end_of_days(days), hours=HOURS_PER_DAY)


@dataclass(frozen=True)
class ProductFolder:
    """Names of the files of a product; a simulated one says so in each name."""

    path: Path
    simulated: bool
    period: Period
    with_truth: bool = False  # made from the twin, whose truth is kept beside it
    format: str = "netcdf"    # a name of output.FORMATS

    @property
    def prefix(self) -> str:
        return "simulated_" if self.simulated else ""

    @property
    def file_format(self) -> Format:
        """How its files are written."""
        return output.FORMATS[self.format]

    @property
    def stores(self) -> list[Path]:
        """The stores of hours that months share; none where each month has a file."""
        if not self.file_format.shares_stores:
            return []
        names = ("pm25_hourly", *(["truth_hourly"] if self.with_truth else []))
        return [self._named(name, self.period.label) for name in names]

    def hourly(self, month: Period) -> ProductPart:
        """A month's analysis."""
        return self._part("pm25_hourly", month)

    def truth(self, month: Period) -> ProductPart:
        """A month's truth, of the twin."""
        return self._part("truth_hourly", month)

    def parts(self, month: Period) -> list[ProductPart]:
        """All that is written of a month."""
        return [self.hourly(month), *([self.truth(month)] if self.with_truth else [])]

    def _part(self, name: str, month: Period) -> ProductPart:
        if not self.file_format.shares_stores:
            return ProductPart(self._named(name, f"{month.first:%Y%m}"), month.hours)
        first = int((month.hours[0] - self.period.hours[0]) / HOUR)
        number = 12 * (month.first.year - self.period.first.year) + month.first.month - self.period.first.month
        return ProductPart(self._named(name, self.period.label), month.hours, first, number)

    def daily(self) -> list[Days]:
        """The files of days: one a year, or one store."""
        months = self.period.months()
        if self.file_format.shares_stores:
            return [Days(self.period.label, self._named("pm25_daily", self.period.label), tuple(months))]
        return [Days(str(year), self._named("pm25_daily", str(year)),
                     tuple(month for month in months if month.first.year == year))
                for year in sorted({month.first.year for month in months})]

    def _named(self, name: str, label: str) -> Path:
        return self.path / f"{self.prefix}{name}_{label}{self.file_format.suffix}"

    def days_of(self, month: Period) -> Path:
        """Daily means of a month until the file of all days is written."""
        return self.path / f".{self.prefix}pm25_daily_{month.first:%Y%m}.npy"

    def progress(self, month: Period) -> Path:
        """Where the number of hours of a month is kept that are done, while it is being made."""
        return self.path / f".{month.first:%Y%m}.progress"

    def hours_in_progress(self) -> dict[str, int]:
        """Hours that are done of the months that are being made, by their labels; other months have no file."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                if name := PROGRESS.fullmatch(entry.name):
                    with contextlib.suppress(OSError, ValueError):  # the month is done, or its file just begun
                        found["-".join(name.groups())] = int(Path(entry.path).read_text(encoding="utf-8"))
        return found

    def remove_unfinished(self) -> None:
        """Remove what killed workers left in a folder that no other process writes to; stores in the making stay."""
        output.remove_abandoned(self.path)
        for path in self.path.iterdir():
            if PROGRESS.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def map(self, name: str) -> Path:
        return self.path / "maps" / f"{self.prefix}pm25_{name}.png"

    def observed(self, month: Period) -> Path:
        """What stations observed on the days of a month."""
        return self.path / "stations" / f"{self.prefix}pm25_observed_{month.first:%Y%m}.nc"

    def validation(self, kind: str) -> Path:
        """What was found at hidden stations: the table (csv) or the hours (nc)."""
        return self.path / f"{self.prefix}validation.{kind}"

    @property
    def calibration(self) -> Path:
        """The product's own factors of errors."""
        return self.path / f"{self.prefix}calibration.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"


class Record:
    """run.json: the identity of the product, and what is done with its sizes and hashes."""

    def __init__(self, folder: ProductFolder, content: dict):
        self.folder, self.content = folder, content

    def begin(self, facts: dict) -> list[Period]:
        """Months of which something is to be computed, from now on with these facts.

        Raises
        ------
        UserError : where months that are kept were made with other versions of packages.
        """
        left, known = self.left(), self.content.get("facts", {}).get("versions", {})
        for noted in self.content["months"].values():  # version 0.1.0 noted the versions of its last run only
            noted.setdefault("versions", known)
        if left:
            again = {_label(month) for month in left}
            kept = [noted["versions"] for label, noted in self.content["months"].items() if label not in again]
            if kept and "validation" in self.content:
                kept.append(self.content["validation"]["versions"])
            check_month_versions(self.folder.path, kept, facts["versions"])
        self.content["facts"] = facts
        self.save()
        return left

    def left(self) -> list[Period]:
        """Months of which something is to be computed: not noted, gone, or not what was noted.

        A kill may fall between a file and its note; then the month is made again, with the same bytes.
        """
        kept = {month for days in self.folder.daily() if self.days_done(days) for month in days.months}
        return [month for month in self.folder.period.months()
                if not (month in kept or self.folder.days_of(month).exists())
                or not self._as_noted(self.content["months"].get(_label(month)), self.folder.parts(month))
                or not self._observed_as_noted(month)]

    def days_done(self, days: Days) -> bool:
        """Whether a file of days is there as it was written."""
        whole = not self.folder.file_format.shares_stores or self.store_done(days.path)
        return whole and self._as_noted(self.content["days"].get(days.label), [days.part])

    def store_done(self, path: Path) -> bool:
        """Whether a store has its name and, besides its steps, what was written."""
        return path.exists() and self._same(self.content["files"].get(path.name), path)

    def _as_noted(self, unit: dict | None, parts: list[ProductPart]) -> bool:
        return unit is not None and all(
            self._same(unit["files"].get(part.path.name), part.path, part) for part in parts)

    def _observed_as_noted(self, month: Period) -> bool:
        """A folder of an earlier version has none."""
        path = self.folder.observed(month)
        noted = self.content["months"].get(_label(month), {"files": {}})["files"].get(self._name(path))
        return noted is None or self._same(noted, path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder.path).as_posix()

    @staticmethod
    def _same(noted: dict | None, path: Path, part: ProductPart | None = None) -> bool:
        try:
            return noted is not None and output.fingerprint(path, part) == noted
        except OSError:
            return False

    def units(self) -> Iterator[tuple[str, Path, ProductPart | None, dict]]:
        """All that is noted: a name to tell, the file or store, which part of it, and its fingerprint."""
        in_stores = self.folder.file_format.shares_stores
        for month in self.folder.period.months():
            noted = self.content["months"].get(_label(month), {"files": {}})["files"]
            for part in (self.folder.hourly(month), self.folder.truth(month)):
                name = part.path.name
                if name in noted:
                    yield name + (f", {_label(month)}" if in_stores else ""), part.path, part, noted[name]
            if (name := self._name(path := self.folder.observed(month))) in noted:
                yield name, path, None, noted[name]
        for days in self.folder.daily():
            if days.label in self.content["days"]:
                noted = self.content["days"][days.label]["files"][days.path.name]
                yield days.path.name, days.path, days.part, noted
        for name, noted in self.content["files"].items():
            more = ", metadata and coordinates" if format_of(name).shares_stores else ""
            yield name + more, self.folder.path / name, None, noted

    def has(self, paths: list[Path]) -> bool:
        """Whether files are there as they were noted."""
        return all(self._same(self.content["files"].get(path.name), path) for path in paths)

    def outdated_validation(self, now: Mapping[str, str]) -> str:
        """The packages, with their versions, that a validation was made with and that have other versions now; empty
        where a month that was made with its factors is kept, or none is to be made."""
        before = other_versions(self.content.get("validation", {}).get("versions", {}), now)
        if not before:
            return ""
        left = {_label(month) for month in self.left()}
        return before if left and left >= self.content["months"].keys() else ""

    def note_validation(self, paths: list[Path], identity: str, facts: dict, versions: dict, seconds: float) -> None:
        """Add a validation's files, and the identity of the factors that all that follows is made with; save.

        What was made with others is no longer done.
        """
        before = self.content.get("validation")
        if before and before["calibration"] != identity:
            self.content |= {"months": {}, "days": {}}
        for path in paths:
            self.note_file(path)
        self.content["validation"] = {"calibration": identity, "facts": facts, "versions": versions, "seconds": seconds}
        self.save()

    def note_month(self, label: str, facts: dict) -> None:
        """Add a finished month and save."""
        self.content["months"][label] = facts
        self.save()

    def note_days(self, days: Days) -> None:
        """Add a finished file of days and save."""
        self.content["days"][days.label] = {"files": fingerprints([days.part])}
        if self.folder.file_format.shares_stores:
            self.content["files"][days.path.name] = output.fingerprint(days.path)
        self.save()

    def note_bounds(self) -> None:
        """Add half the mean width of the bounds of hours on land, in ug m-3, where months have some; to be saved."""
        found = [noted["bounds"] for noted in self.content["months"].values() if "bounds" in noted]
        if cell_hours := sum(of["cell_hours"] for of in found):
            mean = sum(of["sum_width"] for of in found) / cell_hours
            self.content["bounds"] = {"mean_half_width": round(mean / 2, 2), "cell_hours": cell_hours}

    def note_file(self, path: Path) -> None:
        """Add a map, or what a finished store has besides its steps; to be saved."""
        self.content["files"][str(path.relative_to(self.folder.path))] = output.fingerprint(path)

    def remove_damaged_maps(self) -> None:
        """Have maps drawn again that are not what was written."""
        for name, noted in self.content["files"].items():
            path = self.folder.path / name
            if path.is_file() and not self._same(noted, path):
                path.unlink()

    def save(self) -> None:
        """Write run.json."""
        text = json.dumps(self.content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        files.replace_text(self.folder.path / RECORD, text)


def fingerprints(parts: list[ProductPart]) -> dict[str, dict]:
    """Sizes and hashes of parts by the names of their files."""
    return {part.path.name: output.fingerprint(part.path, part) for part in parts}


def _label(month: Period) -> str:
    return f"{month.first:%Y-%m}"


@contextlib.contextmanager
def open_record(folder: ProductFolder, identity: dict) -> Iterator[Record]:
    """The record of a product folder, held by this process alone until the block ends."""
    busy = UserError(f"Another build is writing into {folder.path}.", "One build at a time writes into a folder.",
                     "Wait for it, or give another folder with --out.")
    check_identity(folder.path, identity)
    with files.held(folder.path / LOCK, busy):
        check_identity(folder.path, identity)  # another build may have begun and ended here meanwhile
        before = read(folder.path) or {"months": {}, "days": {}, "files": {}}
        yield Record(folder, before | {"identity": identity})


def check_identity(path: Path, identity: dict) -> None:
    """UserError if a folder holds a product of another recipe, or files of no product."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file.", "A product is a folder.", "Give another name with --out.")
    content = read(path)
    if content is None:
        if any(any(path.glob(f"*{known.suffix}")) for known in output.FORMATS.values()):
            raise UserError(f"{path} holds NetCDF files or Zarr stores but no {RECORD}.",
                            "A product is written into a new folder, or into its own to go on with it.",
                            "Give another folder with --out.")
        return
    before = content["identity"]
    for key in sorted(identity.keys() | before.keys()):
        if identity.get(key) != before.get(key):
            raise UserError(f"{path} holds a product with {key} = {before.get(key)!r}; now {key} = "
                            f"{identity.get(key)!r} was asked for.", "A folder holds one product.",
                            "Give another folder with --out, or ask for the same product to go on with it.")


def read(path: Path) -> dict | None:
    """The content of run.json; None where there is none."""
    file = path / RECORD
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["identity"], content["months"], content["days"], content["files"]
        if outside := [name for name in content["files"] if _leaves(name)]:
            raise ValueError(f"it names {outside[0]}, which is not in its folder")  # what is damaged is removed
        return content
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{file} can't be read ({error}).", "It tells what the folder's files were made from.",
                        "Give another folder with --out, or delete this one.") from error


def _leaves(name: str) -> bool:
    """Whether a name below a folder leads out of it."""
    path = PurePath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name


def record_of(path: Path) -> Record | None:
    """The record of a product folder, to be read only; None where there is none."""
    content = read(path)
    if content is None:
        return None
    identity = content["identity"]
    folder = ProductFolder(path, identity["simulated"], time_axis.period_of(identity["period"]),
                           format=identity["format"])
    return Record(folder, content)
