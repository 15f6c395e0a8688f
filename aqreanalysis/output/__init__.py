"""The files of a product: NetCDF-4, one a month and year, or Zarr v3, one store for all hours and one for all days.

What has its final name is complete, in either format. `opened` gives the steps of a month to write, whatever the
format; `write_daily` writes all days.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf, zarr_store
from aqreanalysis.output.cf import About
from aqreanalysis.output.encoding import TIME_CHUNK, tiles
from aqreanalysis.output.means import open_file, pieces, read_mean, read_most_frequent
from aqreanalysis.output.netcdf_file import NetCDFFile, check_file
from aqreanalysis.output.writer import Steps
from aqreanalysis.schema import TARGET
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, UTC_OFFSET_HOURS

__all__ = ["About", "FORMATS", "HourlyFile", "Part", "TruthFile", "check_file", "end_of_days", "fingerprint",
           "open_file", "opened", "pieces", "read_mean", "read_most_frequent", "remove_abandoned", "tiles",
           "write_daily"]

FORMATS = {"netcdf": ".nc", "zarr": zarr_store.SUFFIX}  # and how their names end


class HourlyFile(NetCDFFile):
    """An hourly NetCDF file as a context manager, with the distance (points,) in km to the nearest station."""

    def __init__(self, path, grid: Grid, hours: np.ndarray, about: About, distance: np.ndarray):
        super().__init__(path, grid, hours, about, cf.HOURLY, distance)


class TruthFile(NetCDFFile):
    """The twin's truth at the hours and places of a product: `pm25` alone."""

    def __init__(self, path, grid: Grid, hours: np.ndarray, about: About):
        super().__init__(path, grid, hours, about, cf.TRUTH)


@dataclass(frozen=True)
class Part:
    """What is written by one process: a whole NetCDF file, or some steps of a store."""

    path: Path
    stamps: np.ndarray   # (steps,) datetime64, UTC, END of each step
    first: int = 0       # number of its first step in the store
    month: int = 0       # number of its month in the store
    hours: int = 1       # of a step


def opened(part: Part, grid: Grid, about: About, frequency: cf.Frequency, distance: np.ndarray | None = None) -> Steps:
    """The writer of a part, a context manager; its `write` takes blocks. A store must have been created."""
    if part.path.suffix == zarr_store.SUFFIX:
        return zarr_store.ZarrSteps(part.path, grid, part.first, len(part.stamps), part.hours,
                                    cf.fields_of(frequency, about), part.month, distance)
    return NetCDFFile(part.path, grid, part.stamps, about, frequency, distance)


def fingerprint(path: Path, part: Part | None = None) -> dict[str, int | str]:
    """`bytes` and `sha256` of a file; or of the files of a part of a store, of None all that are no steps.

    The hash of several files is that of their list as `sha256sum` writes it. OSError where one can't be read.
    """
    if path.suffix != zarr_store.SUFFIX:
        return {"bytes": path.stat().st_size, "sha256": files.sha256_of(path)}
    store = zarr_store.live(path)
    wanted = (None,) if part is None else (slice(part.first, part.first + len(part.stamps)), part.month, part.hours)
    found = list(zarr_store.stored_files(path, *wanted))
    listed = "".join(f"{files.sha256_of(file)}  {file.relative_to(store)}\n" for file in found)
    return {"bytes": sum(file.stat().st_size for file in found), "sha256": hashlib.sha256(listed.encode()).hexdigest()}


def write_daily(path, grid: Grid, days, parts: Iterable[Mapping[str, np.ndarray]], about: About,
                distance: np.ndarray | None = None) -> None:
    """Write all days: a NetCDF file or, by the name, a store.

    Parameters
    ----------
    path : final name; nothing is there until it is whole.
    days : (days,) calendar days UTC+8, as datetime64[D] or dates.
    parts : in the order of the days, arrays (days_in_part, points) of cf.DAILY's variables; bounds only where
        `about` says what they hold. They may be memory-mapped: some places of some days are read at a time.
    distance : (points,) km to the nearest station, if it is wanted in a NetCDF file too.
    """
    path, stamps = Path(path), end_of_days(days)
    if path.suffix == zarr_store.SUFFIX:
        for before in (path, zarr_store.hidden(path)):  # damaged, or of an attempt that was killed
            shutil.rmtree(before, ignore_errors=True)
        zarr_store.create(path, grid, stamps, about, cf.DAILY)
    with opened(Part(path, stamps, hours=HOURS_PER_DAY), grid, about, cf.DAILY, distance) as file:
        parts = list(parts)
        for points in tiles(grid):
            for first in range(0, len(stamps), TIME_CHUNK):
                block = _steps_of(parts, first, min(first + TIME_CHUNK, len(stamps)), points)
                file.write(first, block, points)
    if path.suffix == zarr_store.SUFFIX:
        zarr_store.finish(path)


def _steps_of(parts: Sequence[Mapping[str, np.ndarray]], first: int, last: int,
              points: slice) -> dict[str, np.ndarray]:
    """Days `first` to `last` of parts that follow each other."""
    found, start = [], 0
    for part in parts:
        rows = slice(max(first - start, 0), max(last - start, 0))
        found.append({name: array[rows, points] for name, array in part.items()})
        start += len(part[TARGET])
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def end_of_days(days) -> np.ndarray:
    """UTC stamps, datetime64[h] (days,), of the END of calendar days UTC+8.

    END as in the hourly file, one rule for all; and as 16:00 UTC has the date of the day it ends,
    picking by date and grouping by month need no shift. (The beginning would have the day before.)
    """
    midnight = np.asarray(days, "datetime64[D]").astype("datetime64[h]")
    return midnight + (HOURS_PER_DAY - UTC_OFFSET_HOURS) * HOUR


def remove_abandoned(folder: Path) -> int:
    """Remove what killed processes left in a product folder that nobody else is writing to; returns how many files.

    A store that is being made (zarr_store.hidden) stays, since its months are kept; unless the store itself is
    finished: then a worker went on after its build had been killed.
    """
    finished = [hidden for path in folder.glob(f"*{zarr_store.SUFFIX}") if (hidden := zarr_store.hidden(path)).exists()]
    for hidden in finished:
        shutil.rmtree(hidden)
    folders = [where for where in (folder, folder / "maps") if where.is_dir()]
    return len(finished) + sum(map(files.remove_leftovers, folders))
