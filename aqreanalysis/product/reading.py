"""Opening a finished product for the verbs that use one, and reading it in blocks: memory does not grow with time.

A product is a folder of `aqreanalysis build`, as NetCDF files or Zarr stores, on any grid or at points; or a single
file or store of one. What is not as its build wrote it is refused; what is missing is told (`notes`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output, periods
from aqreanalysis.errors import BadFile, UserError, first_few
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.output.cf import HOURS_USED
from aqreanalysis.output.encoding import TIME_CHUNK, grid_rows, space_chunks
from aqreanalysis.product.folder import RECORD, Record, record_of
from aqreanalysis.schema import TARGET, TIME
from aqreanalysis.time_axis import Period, local_days

HOURS, DAYS, TRUTH = "hourly", "daily", "truth"  # the truth is hourly, and the twin's
FIX = "Give the folder of a product that `aqreanalysis build` made, or one of its files."


@dataclass(frozen=True, eq=False)
class StepFile:
    """A file or store of a product and its steps."""

    path: Path
    stamps: np.ndarray   # (steps,) datetime64[h], UTC, END of each step, ascending


@dataclass(frozen=True, eq=False)
class FinishedProduct:
    """What there is of a product; small, and fit to be sent to other processes that see the same files."""

    path: Path                            # as the user named it
    grid: Grid
    attributes: Mapping[str, Any]         # global ones of its first file
    attributes_by_frequency: Mapping[str, Mapping[str, Any]]  # the same by frequency
    identity: Mapping[str, Any]           # that of run.json; nothing of a single file
    files: Mapping[str, tuple[StepFile, ...]]   # by frequency: HOURS, DAYS, TRUTH; in the order of time
    variables: Mapping[str, tuple[str, ...]]    # over time, by frequency
    hashes: Mapping[str, str]             # sha256 by the names of the files that were asked for
    notes: tuple[str, ...]                # sentences: what is missing of it

    @property
    def simulated(self) -> bool:
        """Whether its observations are the built-in twin's."""
        return self.attributes.get("simulated") == "true"

    @property
    def prefix(self) -> str:
        """How names of files made from it begin."""
        return "simulated_" if self.simulated else ""

    @property
    def sha256(self) -> str:
        """A hash of all that is read of it: that of the list of its files as `sha256sum` writes it."""
        return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in sorted(self.hashes.items())).encode()
                              ).hexdigest()

    def stamps(self, frequency: str) -> np.ndarray:
        """END of each step that there is, UTC, datetime64[h] (steps,), ascending."""
        return np.concatenate([file.stamps for file in self.files[frequency]])

    def days(self, frequency: str = DAYS) -> np.ndarray:
        """The calendar days UTC+8 that it has, datetime64[D] (days,), ascending."""
        return np.unique(local_days(self.stamps(frequency)))

    def provenance(self, command: str) -> dict[str, str]:
        """Attributes of a file that is made from it by a command (`summarise --every month`)."""
        made = f"aqreanalysis {self.attributes.get('product_version', '')} {command}".replace("  ", " ")
        found = {"history": "\n".join(part for part in (self.attributes.get("history", ""), made) if part),
                 "source_product": str(self.attributes.get("id", self.path.name)),
                 "source_product_sha256": self.sha256}
        names = {"checkpoint": "source_checkpoint", "observations": "source_observations"}
        return found | {names[key]: str(self.identity[key]) for key in names if key in self.identity}


@dataclass(frozen=True, eq=False)
class ProductBlock:
    """Some steps at some points of a product."""

    stamps: np.ndarray              # (steps,) datetime64[h], END of each
    points: slice                   # of the grid
    arrays: dict[str, np.ndarray]   # (steps, points); a missing value is NaN


def open_finished(path: str | Path, frequencies: Sequence[str] = (DAYS,), verify: bool = True) -> FinishedProduct:
    """A product to be read.

    Parameters
    ----------
    path : folder of a product, or one file or store of it.
    frequencies : which files are needed, of HOURS, DAYS and TRUTH; others are not looked at.
    verify : compare them with the hashes that the build noted: some seconds for each GB.

    Raises
    ------
    UserError : where there is no product, not these files, or one that is not what was written.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"There is no {path}.", "What is read is a finished product.", FIX)
    record = record_of(place) if place.is_dir() else None
    if record is None and place.is_dir() and not output.format_of(place).shares_stores:
        raise UserError(f"{path} has no {RECORD}.", "A product is a folder with what its build noted.", FIX)
    found = {frequency: _files_of(record, frequency) if record else [place] for frequency in frequencies}
    for frequency, there in found.items():
        if not there:
            raise UserError(f"{path} has no {frequency} files.", "A finished product has hourly and daily ones.",
                            "Give the command of its build again: it goes on with what is missing.")
    notes = _missing(record, frequencies) if record else []
    hashes = _hashes(place, record, found, verify)
    opened = {frequency: [_opened(file, frequency) for file in there] for frequency, there in found.items()}
    first = next(iter(opened.values()))[0]
    grid = _common_grid([file for there in found.values() for file in there])
    if record:
        grid = replace(grid, name=record.content["identity"]["grid"].split()[0])
    return FinishedProduct(
        place, grid, first[1], {frequency: of[0][1] for frequency, of in opened.items()},
        dict(record.content["identity"]) if record else {},
        {frequency: tuple(sorted((one[0] for one in of), key=lambda file: file.stamps[0]))
         for frequency, of in opened.items()},
        {frequency: of[0][2] for frequency, of in opened.items()}, hashes, tuple(notes))


def read_blocks(product: FinishedProduct, frequency: str, variables: Sequence[str], period: Period | None = None,
                points: Sequence[slice] | None = None) -> Iterator[ProductBlock]:
    """Blocks of a product: each piece of time, of at most 168 steps, at all points, slice after slice.

    Parameters
    ----------
    variables : of the product; ValueError where it has no such one.
    period : calendar days UTC+8 that are read, where the product has them; all if it is not given.
    points : slices of the grid, of whole rows; output.tiles of it if they are not given, which are read fastest.
        For all days of some places at once: a loop over slices, each by itself.
    """
    if unknown := [name for name in variables if name not in product.variables[frequency]]:
        raise ValueError(f"{product.path} has no {unknown[0]} in its {frequency} files")
    points = output.tiles(product.grid) if points is None else list(points)
    for file in product.files[frequency]:
        steps = _steps_in(file.stamps, period)
        if steps.start == steps.stop:
            continue
        with output.open_product_file(file.path) as opened:
            for first in range(steps.start - steps.start % TIME_CHUNK, steps.stop, TIME_CHUNK):
                piece = slice(max(first, steps.start), min(first + TIME_CHUNK, steps.stop))
                for some in points:
                    rows = grid_rows(product.grid, some)
                    arrays = {name: np.reshape(opened[name][piece, rows].values, (piece.stop - piece.start, -1))
                              for name in variables}
                    yield ProductBlock(file.stamps[piece], some, arrays)


def open_product(path: str | Path, frequency: str = HOURS) -> xr.Dataset:
    """The hours or days of a product, in any format, read as they are asked for; its hashes are not compared.

    Parameters
    ----------
    path : folder of a product.
    frequency : "hourly" or "daily"; or "truth", of a twin.

    Returns
    -------
    Dataset (time, lat, lon) or, of a list of points, (time, station), with bounds and grid mapping as coordinates. The
    distance to the nearest station of a NetCDF product is that of its first month.

    Raises
    ------
    UserError : where the folder holds no product, or not these files.
    """
    folder = Path(path).expanduser()
    if frequency not in (HOURS, DAYS, TRUTH):
        raise UserError(f"The frequency {frequency!r} is unknown.",
                        f"A product has {HOURS} and {DAYS} means; a simulated one has its {TRUTH} too.",
                        "Give one of these.")
    record = record_of(folder) if folder.is_dir() else None
    if record is None:
        raise UserError(f"{folder} is no product.", f"A product is a folder with {RECORD} that `aqreanalysis build` "
                        "made.", "Give the folder's name.")
    files_of = record.folder.file_format
    parts = [files_of.open_dataset(path, chunks={}, decode_coords="all") for path in _files_of(record, frequency)]
    if not parts:
        raise UserError(f"{folder} has no {frequency} files.", "A finished product has them.",
                        "Run the command that made it again: it resumes what was interrupted.")
    if len(parts) == 1:
        return parts[0]
    return xr.combine_nested(parts, TIME, data_vars="minimal", coords="minimal", compat="override", join="override",
                             combine_attrs="override")


def row_slices(grid: Grid, most_points: int) -> list[slice]:
    """The grid's points in slices of whole rows, of chunks where they fit, of at most so many points; or of one row."""
    width, chunk = grid.size // grid.shape[0], space_chunks(grid)[0]
    rows = max(1, most_points // width)
    step = width * (rows // chunk * chunk if rows >= chunk else rows)
    return [slice(first, min(first + step, grid.size)) for first in range(0, grid.size, step)]


def _steps_in(stamps: np.ndarray, period: Period | None) -> slice:
    if period is None:
        return slice(0, len(stamps))
    days = local_days(stamps)
    first, last = np.searchsorted(days, [np.datetime64(period.first), np.datetime64(period.last) + periods.DAY])
    return slice(int(first), int(last))


def _files_of(record: Record, frequency: str) -> list[Path]:
    return [path for path in _named_files(record, frequency) if path.exists()]


def _named_files(record: Record, frequency: str, done: bool = False) -> list[Path]:
    """The files or stores that a product has when it is finished; with `done` those of months that are done."""
    folder, noted = record.folder, record.content["months"]
    if frequency == DAYS:
        return [of.path for of in folder.daily()]
    of_month = folder.hourly if frequency == HOURS else folder.truth
    paths = [of_month(month).path for month in folder.period.months() if not done or f"{month.first:%Y-%m}" in noted]
    return list(dict.fromkeys(paths))


def _missing(record: Record, frequencies: Sequence[str]) -> list[str]:
    """Sentences on what a product does not have that its period says."""
    months = [f"{month.first:%Y-%m}" for month in record.folder.period.months()]
    undone = [month for month in months if month not in record.content["months"]]
    notes = [f"its build has not ended: {len(undone)} of {len(months)} months are not made, {first_few(undone)}"
             ] if undone else []
    for frequency in frequencies:
        if gone := [path.name for path in _named_files(record, frequency, done=True) if not path.exists()]:
            notes.append(f"{len(gone)} of its {frequency} files are gone: {first_few(gone)}")
    return notes


def _hashes(place: Path, record: Record | None, found: Mapping[str, list[Path]], verify: bool) -> dict[str, str]:
    """Hashes by name of what is read; UserError where a file is not what was noted."""
    wanted = {path for there in found.values() for path in there}
    if record is None:
        return {path.name: str(output.fingerprint(path)["sha256"]) for path in wanted}
    hashes, changed = {}, []
    for name, path, part, noted in record.units():
        if path not in wanted:
            continue
        hashes[name] = str(noted["sha256"])
        try:
            same = not verify or output.fingerprint(path, part) == noted
        except OSError:
            same = False
        changed += [] if same else [name]
    if changed:
        raise UserError(f"{len(changed)} of {len(hashes)} files of {place} are not what its build wrote: "
                        f"{first_few(changed)}.", f"Hashes are those in {RECORD}.",
                        "Give the command of its build again: what is damaged is made again, with the same bytes.")
    return hashes


def _opened(path: Path, frequency: str) -> tuple[StepFile, dict[str, Any], tuple[str, ...]]:
    """A file's steps, global attributes and variables over time; UserError where it is none of that frequency."""
    try:
        with output.open_product_file(path) as file:
            attributes = dict(file.attrs)
            names = tuple(str(name) for name in file.data_vars
                          if TARGET in file and file[name].dims == file[TARGET].dims)
            stamps = file[TIME].values.astype("datetime64[h]") if TIME in file.variables else np.array([])
    except (OSError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path} can't be read: {error}.", "A product file is a whole NetCDF-4 file or Zarr store.",
                      FIX) from error
    if TARGET not in names or attributes.get("project") != "aqreanalysis" or not stamps.size:
        raise UserError(f"{path} is no file of a product.",
                        f"It has {TARGET} over time, and says that it was made by aqreanalysis.", FIX)
    kind = TRUTH if "truth" in attributes.get("id", "") else DAYS if HOURS_USED in names else HOURS
    if kind != frequency:
        raise UserError(f"{path} is a file of {kind} values.", f"What is asked for is made from {frequency} ones.",
                        "Give the folder of the product, or its other file.")
    return StepFile(path, stamps), attributes, names


def _common_grid(paths: list[Path]) -> Grid:
    """The grid of all files; UserError where they have two."""
    first = parse_grid(paths[0])
    with output.open_product_file(paths[0]) as file:
        axes = _places(file)
    for path in paths[1:]:
        with output.open_product_file(path) as file:
            if not all(map(np.array_equal, _places(file), axes)):
                raise UserError(f"{path} lies on another grid than {paths[0]}.", "A product has one grid.",
                                "Remove what is not of this product.")
    return first


def _places(file: xr.Dataset) -> list[np.ndarray]:
    return [file[name].values for name in ("lat", "lon")]
