"""Product stores in Zarr v3: one for all hours of a product, one for its days; many processes write one store.

A store has a hidden name until every step is there and its metadata are consolidated; so a store that has its
name is complete. Each month's steps lie in files (shards) of their own, a day of a tile each, so that months are
written by different processes at once, and once: the same content gives the same bytes.

Variables, values and attributes are those of the NetCDF files, but for three things. Missing values are NaN
and have no `_FillValue`. The distance to the nearest station, which each monthly file has for the stations of its
month, has a dimension `month`; so it is no coordinate of the variables. Attributes are JSON: numbers have no type.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import DISTANCE, MANTISSA_BITS, About, crs_attributes
from aqreanalysis.output.encoding import TIME_CHUNK, coordinates, rounded, rows_of, space_chunks, tiles
from aqreanalysis.output.writer import Steps
from aqreanalysis.schema import LAT, LON, TIME
from aqreanalysis.time_axis import local_days

SUFFIX = ".zarr"
MONTH = "month"
# Steps of a chunk and of a shard. Periods, and so months, begin with a day: a day of hours is what all share.
STEPS = {cf.HOURLY.hours: (24, 24), cf.DAILY.hours: (28, TIME_CHUNK)}
UNFINISHED = "*.partial"  # what zarr calls a file that is being written


def hidden(path: Path) -> Path:
    """The name of a store that is being made; the same for every process and every attempt."""
    return files.shared_part_name(path)


def live(path: Path) -> Path:
    """Where a store lies now: under its own name, or the hidden one."""
    return path if path.exists() else hidden(path)


def create(path: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
           months: int = 0) -> None:
    """Have a store under the hidden name: an empty one; or that which is there, with its steps and all else anew.

    Parameters
    ----------
    path : final name; nothing is there, see `reopen`.
    stamps : (steps,) datetime64, UTC, END of each step, of the whole store.
    months : how many calendar months it has; each gets a layer of distances to the nearest station. 0: none.

    Raises
    ------
    UserError : where the folder can't be written.
    """
    new, store = files.part_name(path), hidden(path)
    try:
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _define(new, grid, np.asarray(stamps), about, frequency, months)
            if not store.exists():
                new.rename(store)
                return
            for before in list(stored_files(path, None)):  # whatever may have happened to them
                before.unlink()
            for file in [file for file in new.rglob("*") if file.is_file()]:
                (store / file.relative_to(new)).parent.mkdir(parents=True, exist_ok=True)
                file.rename(store / file.relative_to(new))
    finally:
        shutil.rmtree(new, ignore_errors=True)


def reopen(path: Path) -> None:
    """Hide a finished store of which something is to be written again."""
    with files.writing(path):
        path.rename(hidden(path))


def finish(path: Path) -> None:
    """Consolidate the metadata of a store whose steps are all there, and give it its name."""
    import zarr

    if path.exists():
        reopen(path)
    part = hidden(path)
    with files.writing(path):
        for left in part.rglob(UNFINISHED):  # of processes that were killed
            left.unlink(missing_ok=True)
        with warnings.catch_warnings():  # that version 3 of the format does not know them yet; xarray does
            warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
            zarr.consolidate_metadata(zarr.storage.LocalStore(part))
        files.fsync(part / "zarr.json")
        part.rename(path)
        files.fsync(path.parent)


class ZarrSteps(Steps):
    """Some steps of a store that `create` has made; see steps.Steps.

    Parameters
    ----------
    path : final name of the store.
    first, count : which steps of the store these are; whole shards, but for the store's end.
    hours : of a step.
    fields : their variables.
    month : number of the layer of `distance`.
    distance : (points,) km to the nearest station, where the store has such layers.
    """

    def __init__(self, path, grid: Grid, first: int, count: int, hours: int, fields: tuple[str, ...], month: int = 0,
                 distance: np.ndarray | None = None):
        super().__init__(path, grid, count, fields)
        self._rows, self._distance = slice(first, first + count), distance
        self._month, self._hours = month, hours

    def _begin(self) -> None:
        self._group = _opened(hidden(self.path))
        # else zarr would read and fill them up
        for file in list(stored_files(self.path, self._rows, self._month, self._hours)):
            file.unlink()
        if self._distance is not None:
            self._group[DISTANCE][self._month] = np.asarray(self._distance, np.float32).reshape(self.grid.shape)

    def _put(self, name: str, rows: slice, places: slice, values: np.ndarray) -> None:
        first = self._rows.start
        self._group[name][first + rows.start:first + rows.stop, places] = rounded(name, values)

    def _finish(self) -> None:
        with files.writing(self.path):
            for file in stored_files(self.path, self._rows, self._month, self._hours):
                files.fsync(file)

    def _discard(self) -> None:
        """Steps that were written stay: whoever makes them again writes the same."""


def stored_files(path: Path, rows: slice | None, month: int = 0, hours: int = 1) -> Iterator[Path]:
    """The files of some steps of a store and of the layer of distances of a month, sorted by variable.

    With `rows` None: all other files, which are the metadata and the coordinates. A step has so many `hours`.
    No file is read: a damaged store has files too.
    """
    store, length = live(path), STEPS[hours][1]
    names = {*cf.HOURLY.fields, *cf.DAILY.fields, *cf.TRUTH.fields}
    if rows is None:
        steps = {store / name / "c" for name in {*names, DISTANCE}}
        yield from sorted(file for file in store.rglob("*") if file.is_file() and not steps & set(file.parents))
        return
    folders = [store / name / "c" / str(number) for name in sorted(names)
               for number in range(rows.start // length, -(-rows.stop // length))]
    for folder in [*folders, store / DISTANCE / "c" / str(month)]:
        yield from sorted(file for file in folder.rglob("*") if file.is_file())


def _opened(folder: Path, mode: str = "r+"):
    import zarr
    from numcodecs import blosc

    blosc.use_threads = False  # one process, one thread
    return zarr.open_group(zarr.storage.LocalStore(folder, read_only=mode == "r"), mode=mode,
                           use_consolidated=False)


def _define(folder: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
            months: int) -> None:
    """Attributes, coordinates and empty variables."""
    import zarr
    from zarr.codecs import BloscCodec

    group = zarr.create_group(zarr.storage.LocalStore(folder),
                              attributes=_plain(cf.global_attributes(about, grid, stamps, frequency)))
    for name, (dims, array, attributes) in coordinates(grid, stamps, frequency, None).items():
        _whole(group, name, dims, array, attributes)
    _whole(group, cf.CRS, (), np.array(0, np.int32), crs_attributes())
    packed = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    chunk, shard = _chunks(grid, STEPS[frequency.hours])
    for name in cf.fields_of(frequency, about):
        dtype, fill = (np.float32, np.nan) if name in MANTISSA_BITS else (np.int8, -1)
        group.create_array(name, shape=(len(stamps), *grid.shape), dtype=dtype, chunks=chunk,
                           shards=shard, compressors=packed, fill_value=fill,
                           dimension_names=(TIME, *grid.dims), config={"write_empty_chunks": True},
                           attributes=_plain(cf.field_attributes(name, about, grid, frequency, distance=False)))
    if months:
        _months(group, grid, stamps, frequency, months, packed)


def _chunks(grid: Grid, steps: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of chunks and of shards. A shard is a tile, so that it is written once; it may reach beyond the grid.

    Chunks are larger than in NetCDF, since each takes a millisecond besides its compression: two rows and two columns
    of those in one, where a tile has an even number of rows.
    """
    tile, small = rows_of(grid, tiles(grid)[0]).stop, space_chunks(grid)
    rows = small[0] * (1 if -(-tile // small[0]) % 2 else 2)
    chunk = [rows, *(-(-size // -(-size // (2 * length))) for size, length in
                     zip(grid.shape[1:], small[1:], strict=True))]
    reach = (-(-size // length) * length for size, length in zip((tile, *grid.shape[1:]), chunk, strict=True))
    return (steps[0], *chunk), (steps[1], *reach)


def _months(group, grid: Grid, stamps: np.ndarray, frequency: cf.Frequency, months: int, packed) -> None:
    """An empty layer of distances for each month, and which months they are."""
    first = np.unique(local_days(stamps).astype("datetime64[M]")).astype("datetime64[D]")
    days = (first - cf.EPOCH.astype("datetime64[D]")).astype(np.int32)
    _whole(group, MONTH, (MONTH,), days, {
        "long_name": "first day of the calendar month in UTC+8", "calendar": "standard",
        "units": cf.EPOCH_UNITS.replace("hours", "days"), "coverage_content_type": "coordinate"})
    attributes = cf.axis_attributes(grid, frequency, distance=True)[DISTANCE]
    attributes["comment"] += " Of the stations that a month's analysis is made from."
    positions = {"regular": "", "curvilinear": f"{LAT} {LON}", "points": f"{LAT} {LON} {cf.STATION_ID}"}[grid.kind]
    attributes |= {"grid_mapping": cf.CRS} | ({"coordinates": positions} if positions else {})
    group.create_array(DISTANCE, shape=(months, *grid.shape), dtype=np.float32, chunks=(1, *grid.shape),
                       compressors=packed, fill_value=np.nan, dimension_names=(MONTH, *grid.dims),
                       config={"write_empty_chunks": True}, attributes=_plain(attributes))


def _whole(group, name: str, dims: tuple[str, ...], array: np.ndarray, attributes: dict) -> None:
    """A small variable in one piece."""
    array = array.astype(str) if array.dtype == object else array
    dtype = str if array.dtype.kind == "U" else array.dtype
    variable = group.create_array(name, shape=array.shape, dtype=dtype, dimension_names=dims, compressors=None,
                                  chunks=array.shape or "auto", fill_value="" if dtype is str else 0,
                                  config={"write_empty_chunks": True}, attributes=_plain(attributes))
    variable[...] = array.astype(object) if dtype is str else array


def _plain(attributes: dict) -> dict:
    """Attributes as JSON has them."""
    return {name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in attributes.items()}
