"""What a map shows of a finished product, as a Dataset of one field on its grid: read in blocks of time.

Every Dataset has `value`, `quality_flag` (the class of most steps) and `count` (steps with a value, of `steps`), and in
its attributes what was asked for, beside those of the product that say what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output, periods
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf, encoding
from aqreanalysis.output.cf import HOURS_USED, QUALITY_FLAG
from aqreanalysis.periods import CalendarPeriod
from aqreanalysis.product.folder import record_of
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct, open_finished, read_blocks
from aqreanalysis.schema import LOWER, NO_OBSERVATIONS, QUALITY, STANDARD_ERROR, TARGET, TIME, UPPER
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period, first_hours, local_days

MEAN, ERROR, RELATIVE_ERROR, WIDTH, FLAG, DAYS_ABOVE = KINDS = (
    "mean", "error", "relative-error", "width", "flag", "days-above")
DIFFERENCE = "difference"
DAILY_LIMIT_II = 75.0  # ug m-3, GB 3095-2012, grade II
NEEDED = {MEAN: (TARGET,), ERROR: (TARGET, STANDARD_ERROR), RELATIVE_ERROR: (TARGET, STANDARD_ERROR),
          WIDTH: (TARGET, LOWER, UPPER), FLAG: (TARGET,), DAYS_ABOVE: (TARGET,)}
SHOWN_ATTRIBUTES = ("title", "source", "simulated", "id", "license", "references", "reference_state", "calibrated_on",
                    "product_version")
PERCENT, LEAST_LEVEL = 100.0, 1e-9


class NoValue(UserError):
    """Days, or an hour, without any value."""


@dataclass(frozen=True)
class MapPeriod:
    """What is asked for: days, or with `hour` (0 to 23, the hour UTC+8 at whose END) one hour of the only day."""

    days: Period
    end_of_hour: int | None = None   # 1 to 24

    @property
    def stamp(self) -> np.datetime64:
        """END of the hour, UTC."""
        assert self.end_of_hour is not None
        return first_hours(np.array([self.days.first], "datetime64[D]"))[0] + (self.end_of_hour - 1) * HOUR

    @property
    def words(self) -> str:
        """2019, January 2019, winter 2018/19 (DJF), a day, its first and last day, or an hour's END in UTC+8."""
        if self.end_of_hour is not None:
            return f"{self.days.first} {self.end_of_hour:02d}:00 (UTC+8, end of the hour)"
        return period_in_words(self.days)

    @property
    def label(self) -> str:
        """For names of files."""
        hour = f"T{self.end_of_hour:02d}" if self.end_of_hour is not None else ""
        if self.days.n_days == 1:
            return f"{self.days.first}{hour}"
        return self.days.label


def period_in_words(period: Period) -> str:
    """A period in words: 2016, January 2016, winter 2015/16 (DJF), a day, or its first and last day."""
    for every in ("day", "month", "season", "year"):
        whole = periods.periods_of(every, np.array([period.first], "datetime64[D]"))[0]
        if (whole.first, whole.last) == (period.first, period.last):
            return _whole_in_words(whole)
    return f"{period.first} to {period.last}"


def _whole_in_words(period: CalendarPeriod) -> str:
    if period.every == "month":
        return f"{period.first:%B %Y}"
    if period.every == "season":
        name = dict(zip(periods.SEASONS, ("winter", "spring", "summer", "autumn"), strict=True))[period.label[5:]]
        year = f"{period.first.year}/{period.last:%y}" if name == "winter" else f"{period.first.year}"
        return f"{name} {year} ({period.label[5:]})"
    return period.label


def open_for_maps(path: str | Path, frequency: str = DAYS) -> FinishedProduct:
    """A product whose days, or hours, are to be shown: a folder, one of its files, or a folder of daily files alone.

    A file that is given is taken as it is, hours or days. Hashes of hours, which are large, are not compared.
    """
    place = Path(path).expanduser()
    if place.is_file() or (place.exists() and output.format_of(place).shares_stores):
        with output.open_product_file(place) as file:
            frequency = DAYS if HOURS_USED in file else HOURS
        return open_finished(place, (frequency,))
    if place.is_dir() and record_of(place) is None:
        return _of_files(place)
    return open_finished(place, (frequency,), verify=frequency == DAYS)


def _of_files(folder: Path) -> FinishedProduct:
    """Of the daily files in a folder without a record."""
    found = [path for known in output.FORMATS.values() for path in sorted(folder.glob(f"*pm25_daily_*{known.suffix}"))]
    if not found:
        raise UserError(f"{folder} holds no daily file.", "Maps are drawn from the daily files of a product.",
                        "Make one with `aqreanalysis build`.")
    parts = [open_finished(path, (DAYS,)) for path in found]
    files = sorted((file for part in parts for file in part.files[DAYS]), key=lambda file: file.stamps[0])
    return replace(parts[0], path=folder, files={DAYS: tuple(files)},
                   hashes={name: digest for part in parts for name, digest in part.hashes.items()})


def map_field(product: FinishedProduct, asked: MapPeriod, kind: str = MEAN,
              above: float = DAILY_LIMIT_II) -> xr.Dataset:
    """One of KINDS of a product over a period.

    mean : mean of its days (its hours, of hourly files); of an hour: its value.
    error, width : mean of the days' standard errors, or of the widths of their 90 % intervals. Not the error of a mean:
        errors of days are correlated (`aqreanalysis summarise` gives that).
    relative-error : the mean standard error over the mean, per cent.
    flag : the quality class of most days.
    days-above : how many days have a mean above `above`, ug m-3.

    Raises
    ------
    UserError : where the product lacks a day, or has no value at all, or no such variable.
    """
    frequency = next(iter(product.files))
    _check_kind(product, frequency, kind, asked)
    _check_days(product, frequency, asked)
    sums = _Sums(product.grid, kind, above)
    for block in _blocks(product, frequency, NEEDED[kind] + (QUALITY_FLAG,), asked):
        sums.add(block.points, block.arrays)
    steps = 1 if asked.end_of_hour is not None else asked.days.n_days * (HOURS_PER_DAY if frequency == HOURS else 1)
    shown = sums.count[product.grid.land] if product.grid.kind != "points" and product.grid.land.any() else sums.count
    if not shown.any():
        raise NoValue(f"{product.path} has no value from {asked.days.first} to {asked.days.last}.",
                      "A day has a value where enough of its hours have one.",
                      f"`aqreanalysis describe {product.path}` tells more; choose other days.")
    used = shown[shown > 0]
    attributes: dict[str, Any] = {name: product.attributes[name] for name in SHOWN_ATTRIBUTES
                                  if name in product.attributes}
    attributes |= {name: value for name, value in product.provenance("map").items() if name != "history"}
    attributes |= {"kind": kind, "words": asked.words, "label": asked.label, "above": above, "steps": steps,
                   "fewest": int(used.min()), "most": int(used.max()),
                   "step": "hours" if frequency == HOURS else "days", "first": str(asked.days.first),
                   "last": str(asked.days.last)}
    return field_dataset(product.grid, sums.value(), sums.flag, sums.count, attributes)


def difference(one: xr.Dataset, other: xr.Dataset, names: tuple[str, str]) -> xr.Dataset:
    """The first field minus the second; `names` of both. The flag is the more severe of both."""
    if one["value"].shape != other["value"].shape or any(
            not np.array_equal(one[axis].values, other[axis].values) for axis in ("lat", "lon")):
        raise UserError(f"{names[1]} lies on another grid than {names[0]}.", "A difference is of two products "
                        "of one grid.",
                        "Build both on one grid, or use `aqreanalysis compare`.")
    found = one.assign(value=one["value"] - other["value"])
    found[QUALITY_FLAG] = one[QUALITY_FLAG].copy(data=np.maximum(one[QUALITY_FLAG].values, other[QUALITY_FLAG].values))
    simulated = "true" if "true" in (one.attrs.get("simulated"), other.attrs.get("simulated")) else "false"
    source = f"{one.attrs.get('source', '')} Minus: {other.attrs.get('source', '')}".strip()
    found.attrs |= {"kind": DIFFERENCE, "of": one.attrs["kind"], "simulated": simulated, "source": source,
                    "title": f"{one.attrs.get('title', names[0])} minus {other.attrs.get('title', names[1])}",
                    "minus_product_sha256": other.attrs.get("source_product_sha256", "")}
    return found


def field_dataset(grid: Grid, value: np.ndarray, flag: np.ndarray, count: np.ndarray,
                  attributes: dict[str, Any]) -> xr.Dataset:
    """A Dataset of one field; arrays (points,)."""
    stamp = np.array(["2019-01-01T16"], "datetime64[h]")
    axes = {name: of for name, of in encoding.coordinates(grid, stamp, cf.DAILY, None).items()
            if not name.startswith(TIME) and name != cf.HEIGHT}
    data = {name: (grid.dims, array.reshape(grid.shape))
            for name, array in (("value", value), (QUALITY_FLAG, flag), ("count", count))}
    return xr.Dataset(data | axes, attrs=attributes).set_coords(list(axes))


class _Sums:
    """Sums over time of what a kind of map needs, and the number of steps of each class."""

    def __init__(self, grid: Grid, kind: str, above: float) -> None:
        self.kind, self.above = kind, above
        self.total, self.level = np.zeros(grid.size), np.zeros(grid.size)
        self.count = np.zeros(grid.size, np.int32)
        self.classes = np.zeros((len(QUALITY), grid.size), np.int32)

    def add(self, points: slice, arrays: dict[str, np.ndarray]) -> None:
        """Some steps (steps, points)."""
        mean = arrays[TARGET]
        known = np.isfinite(mean)
        shown = {ERROR: STANDARD_ERROR, RELATIVE_ERROR: STANDARD_ERROR}.get(self.kind, TARGET)
        values = arrays[UPPER] - arrays[LOWER] if self.kind == WIDTH else arrays[shown]
        values = (mean > self.above).astype(float) if self.kind == DAYS_ABOVE else values
        known &= np.isfinite(values)
        self.total[points] += np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
        self.level[points] += np.where(known, mean, 0.0).sum(axis=0, dtype=np.float64)
        self.count[points] += known.sum(axis=0)
        for number in range(len(QUALITY)):
            self.classes[number, points] += (arrays[QUALITY_FLAG] == number).sum(axis=0)

    @property
    def flag(self) -> np.ndarray:
        """The class of most steps, of equals the lowest."""
        return self.classes.argmax(axis=0).astype(np.int8)

    def value(self) -> np.ndarray:
        """The field, float32 (points,), NaN where there is none."""
        known = self.count > 0
        if self.kind == FLAG:
            return np.where(self.flag <= NO_OBSERVATIONS, self.flag, np.nan).astype(np.float32)
        if self.kind == DAYS_ABOVE:
            return np.where(known, self.total, np.nan).astype(np.float32)
        if self.kind == RELATIVE_ERROR:
            share = PERCENT * self.total / np.maximum(self.level, LEAST_LEVEL)
            return np.where(self.level > 0, share, np.nan).astype(np.float32)
        return np.where(known, self.total / np.maximum(self.count, 1), np.nan).astype(np.float32)


def _blocks(product: FinishedProduct, frequency: str, variables: Sequence[str], asked: MapPeriod) -> Iterator[Any]:
    for block in read_blocks(product, frequency, variables, asked.days):
        if asked.end_of_hour is None:
            yield block
            continue
        here = block.stamps == asked.stamp
        if here.any():
            yield replace(block, stamps=block.stamps[here],
                          arrays={name: array[here] for name, array in block.arrays.items()})


def _check_kind(product: FinishedProduct, frequency: str, kind: str, asked: MapPeriod) -> None:
    if kind not in KINDS:
        raise UserError(f"--show {kind} is unknown.", f"A map shows {', '.join(KINDS)}.", "Leave it out for the mean.")
    if missing := [name for name in NEEDED[kind] if name not in product.variables[frequency]]:
        raise UserError(f"{product.path} has no {missing[0]}.", f"--show {kind} needs it.",
                        "Its model gives none; show something else.")
    if kind == DAYS_ABOVE and frequency != DAYS:
        raise UserError("--show days-above was asked of hours.", "It counts days by their means.",
                        "Give the product's folder, and no hour.")


def _check_days(product: FinishedProduct, frequency: str, asked: MapPeriod) -> None:
    """UserError where the product lacks a day, or the hour, that was asked for."""
    there = np.unique(local_days(product.stamps(frequency)))
    missing = np.setdiff1d(np.array(asked.days.days(), "datetime64[D]"), there)
    if missing.size:
        raise UserError(f"{product.path} has no {periods.runs_in_words(missing)}.",
                        f"It has {periods.runs_in_words(there)}.", "Choose days that it has with --start and --end.")
    if asked.end_of_hour is not None and asked.stamp not in product.stamps(frequency):
        raise UserError(f"{product.path} has no hour {asked.words}.", "An hour is told by its END, UTC+8.",
                        "Choose another one.")
