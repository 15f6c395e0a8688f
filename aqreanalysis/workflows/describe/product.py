"""What is in a product: its folder, or one of its files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations.readers.station_archive import FORMAT_ATTRIBUTE
from aqreanalysis.output import cf
from aqreanalysis.product.derived import OnJob, unobserved
from aqreanalysis.product.folder import RECORD
from aqreanalysis.schema import LOWER, QUALITY, STANDARD_ERROR, TARGET, TIME, UPPER
from aqreanalysis.time_axis import local_days

PRODUCT_SUFFIXES = {known.suffix for known in output.FORMATS.values()} | {".nc4"}
PRODUCT_PATTERN = "*pm25_*ly_*"   # hourly and daily; the truth of a twin is no product
DAMAGED_SHOWN = 3   # damaged files in an error
AS_STORED: dict[str, Any] = {"mask_and_scale": False, "decode_times": False, "decode_coords": False}


@dataclass
class FieldRange:
    """Range of a variable over cells and steps, and how many of them it is missing in."""

    steps: int = 0
    values: int = 0
    missing: int = 0
    total: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @property
    def mean(self) -> float:
        """Of the values that are not missing; NaN without any."""
        return self.total / (self.values - self.missing) if self.values > self.missing else np.nan


@dataclass
class FieldsCount:
    """Of a model that goes on where its fields are unknown: how many hours and values there are, and were without."""

    hours: int = 0
    hours_without: int = 0    # at one place at least
    values: int = 0           # places and hours
    values_without: int = 0

    def __add__(self, other: FieldsCount) -> FieldsCount:
        return FieldsCount(self.hours + other.hours, self.hours_without + other.hours_without,
                           self.values + other.values, self.values_without + other.values_without)


@dataclass
class FrequencyFacts:
    """All files of a frequency together."""

    name: str                    # hourly, daily or truth
    files: int = 0
    bytes: int = 0
    first: str = ""              # days in UTC+8
    last: str = ""
    variables: dict[str, str] = field(default_factory=dict)    # name -> long name and unit
    fields: dict[str, FieldRange] = field(default_factory=dict)   # of pm25, its standard error and bounds
    classes: np.ndarray = field(default_factory=lambda: np.zeros(len(QUALITY), np.int64))
    with_fields: FieldsCount = field(default_factory=FieldsCount)


@dataclass
class ProductFacts:
    """What `describe` states about a product."""

    path: Path
    attributes: dict[str, Any]   # global ones of its first file
    grid: str
    kinds: dict[str, FrequencyFacts]
    record: dict[str, Any] | None   # run.json
    damaged: list[str]           # a sentence for each file that can't be read


def product_files(path: Path) -> list[Path]:
    """The product files at a path; none where it is something else."""
    if path.is_dir() and path.suffix not in PRODUCT_SUFFIXES:
        return sorted(file for file in path.glob(PRODUCT_PATTERN)
                      if file.suffix in PRODUCT_SUFFIXES and file.name[0] != ".")
    return [path] if path.suffix in PRODUCT_SUFFIXES and path.exists() and _is_product_file(path) else []


def _is_product_file(path: Path) -> bool:
    try:
        with output.open_product_file(path, **AS_STORED) as file:
            ours = TARGET in file.variables and file.attrs.get("project") == "aqreanalysis"
            return ours and FORMAT_ATTRIBUTE not in file.attrs   # that is a station archive
    except (OSError, RuntimeError, ValueError):
        return False


def product_facts(path: Path, files: list[Path], progress: OnJob = unobserved) -> ProductFacts:
    """Read every file of a product once through. A file that can't be read is named and left out."""
    facts = ProductFacts(path, {}, "", {}, _read_run_json(path), [])
    for number, file in enumerate(files):
        progress(number, len(files))
        try:
            _add_file(facts, file)
        except (OSError, RuntimeError, ValueError, IndexError, KeyError, AttributeError) as error:
            facts.damaged.append(f"{file.name} can't be read ({error})")
    progress(len(files), len(files))
    if not facts.kinds:
        raise BadFile(f"No product file of {path} can be read: {'; '.join(facts.damaged[:DAMAGED_SHOWN])}.",
                      "A product file is a whole NetCDF-4 file.", "Delete the damaged ones and build again.")
    return facts


def _read_run_json(path: Path) -> dict[str, Any] | None:
    place = path / RECORD
    try:
        return json.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
    except ValueError as error:
        raise UserError(f"{place} can't be read ({error}).", "It is the JSON that the build wrote.",
                        "Restore it, or describe the files one by one.") from error


def _add_file(facts: ProductFacts, path: Path) -> None:
    with output.open_product_file(path, **AS_STORED) as file:
        attributes = file.attrs
        stamps = [np.datetime64(attributes[f"time_coverage_{end}"].rstrip("Z"), "h") for end in ("start", "end")]
        days = [str(day) for day in local_days(np.array(stamps))]
        name = "truth" if "truth" in attributes["id"] else "daily" if cf.HOURS_USED in file.variables else "hourly"
        classes = np.zeros(len(QUALITY), np.int64)
        fields = {key: _range_of(file.variables[key]) for key in (TARGET, STANDARD_ERROR, LOWER, UPPER)
                  if key in file.variables}
        if cf.QUALITY_FLAG in file.variables:
            flags = file.variables[cf.QUALITY_FLAG]
            for piece in output.pieces(flags):
                classes += np.bincount(flags[piece].values.ravel(), minlength=len(QUALITY))
        flagged = _count_fields(file.variables[cf.FIELDS_FLAG]) if cf.FIELDS_FLAG in file.variables else FieldsCount()
        variables = {str(key): f"{v.attrs['long_name']} ({v.attrs.get('units', '1')})"
                     for key, v in file.variables.items() if TIME in v.dims and key != TIME and "long_name" in v.attrs}
        grid = _grid_in_words(file, attributes)
    facts.attributes, facts.grid = facts.attributes or attributes, facts.grid or grid
    kind = facts.kinds.setdefault(name, FrequencyFacts(name, first=days[0], last=days[1]))
    kind.files, kind.bytes = kind.files + 1, kind.bytes + _size_on_disk(path)
    kind.first, kind.last = min(kind.first, days[0]), max(kind.last, days[1])
    kind.variables, kind.classes = variables, kind.classes + classes
    kind.with_fields += flagged
    for key, found in fields.items():
        kind.fields[key] = _both_ranges(kind.fields.get(key, FieldRange()), found)


def _count_fields(flags: xr.Variable) -> FieldsCount:
    without, values = np.zeros(len(flags), bool), 0
    for piece in output.pieces(flags):
        there = flags[piece].values == cf.FIELDS_MEANINGS.index("without_fields")
        without[piece[0]] |= there.any(axis=tuple(range(1, there.ndim)))
        values += int(there.sum())
    return FieldsCount(len(flags), int(without.sum()), flags.size, values)


def _size_on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _range_of(variable: xr.Variable) -> FieldRange:
    found, fill = FieldRange(steps=len(variable)), variable.attrs.get("_FillValue")
    for piece in output.pieces(variable):
        values = variable[piece].values
        there = values[(values != fill) & np.isfinite(values)]
        part = FieldRange(0, values.size, values.size - there.size)
        if there.size:
            part.total, part.low, part.high = float(there.sum(dtype=np.float64)), float(there.min()), float(there.max())
        found = _both_ranges(found, part)
    return found


def _both_ranges(one: FieldRange, other: FieldRange) -> FieldRange:
    return FieldRange(one.steps + other.steps, one.values + other.values, one.missing + other.missing,
                 one.total + other.total, min(one.low, other.low), max(one.high, other.high))


def _grid_in_words(file: xr.Dataset, attributes: dict[str, Any]) -> str:
    """Size, extent and resolution of a file's grid in words."""
    dims = file.variables[TARGET].dims[1:]
    size = " x ".join(str(file.sizes[name]) for name in reversed(dims))
    edges = {end: f"{attributes[f'geospatial_{end}']:.2f}" for end in ("lon_min", "lon_max", "lat_min", "lat_max")}
    resolution = attributes["geospatial_lat_resolution"]
    what = "points" if len(dims) == 1 else "cells"
    return (f"{size} {what}, {edges['lon_min']} to {edges['lon_max']} E, {edges['lat_min']} to {edges['lat_max']} N"
            + (f", {resolution}" if resolution != "not uniform" else ""))
