"""Product stores in Zarr v3: one for all hours of a product, one for its days; many processes write one store.

A store has a hidden name until every step is there and its metadata are consolidated; so a store under its final
name is complete. Each month's steps lie in files (shards) of their own, one for each day of a tile, so that different
processes write months at once, and each file once: the same content gives the same bytes.

Variables, values and attributes are those of the NetCDF files, but for three things. Missing values are NaN
and have no `_FillValue`. The distance to the nearest station, which each monthly file has for the stations of its
month, has a dimension `month`; so it is no coordinate of the variables. Attributes are JSON: numbers have no type.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis import files
from aqreanalysis.grids import Grid
from aqreanalysis.output import cf
from aqreanalysis.output.cf import DISTANCE, MANTISSA_BITS, About, crs_attributes
from aqreanalysis.output.encoding import TIME_CHUNK, coordinates, grid_rows, rounded, space_chunks, stored_type, tiles
from aqreanalysis.output.writer import PartWriter, ProductPart
from aqreanalysis.schema import LAT, LON, TIME
from aqreanalysis.time_axis import local_days

if TYPE_CHECKING:
    import zarr
    from zarr.codecs import BloscCodec

MONTH = "month"
# Steps of a chunk and of a shard. Periods, and so months, begin with a day: a day of hours is what all share.
CHUNK_AND_SHARD_STEPS = {cf.HOURLY.hours: (24, 24), cf.DAILY.hours: (28, TIME_CHUNK)}
UNFINISHED = "*.partial"  # what zarr calls a file that is being written
COMPRESSION_LEVEL = 3  # of zstd


class ZarrFormat:
    """A store for all hours of a product and one for its days (the protocol is :class:`formats.Format`)."""

    suffix = ".zarr"
    plural = "Zarr stores"
    shares_stores = True

    def create(self, path: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
               months: int = 0, fresh: bool = False) -> None:
        """Have a store under its hidden name: an empty one; or the one that is there, which keeps its steps.

        Parameters
        ----------
        path : final name; nothing is there unless `fresh`, see `reopen`.
        stamps : (steps,) datetime64, UTC, END of each step, of the whole store.
        months : how many calendar months it has; each gets a layer of distances to the nearest station. 0: none.
        fresh : remove first what is there: a damaged store, or that of an attempt that was killed.

        Raises
        ------
        UserError : where the folder can't be written.
        """
        if fresh:
            for before in (path, hidden(path)):
                shutil.rmtree(before, ignore_errors=True)
        new, store = files.part_name(path), hidden(path)
        try:
            with files.writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                _define_store(new, grid, np.asarray(stamps), about, frequency, months)
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

    def open_part(self, part: ProductPart, grid: Grid, about: About, frequency: cf.Frequency,
                  distance: np.ndarray | None = None) -> PartWriter:
        """The writer of some steps of a store that `create` has made."""
        return ZarrWriter(part, grid, cf.fields_of(frequency, about), distance)

    def reopen(self, path: Path) -> None:
        """Hide a finished store of which something is to be written again."""
        with files.writing(path):
            path.rename(hidden(path))

    def finish(self, path: Path) -> None:
        """Consolidate the metadata of a store whose steps are all there, and give it its name."""
        import zarr

        if path.exists():
            self.reopen(path)
        part = hidden(path)
        with files.writing(path):
            for left in part.rglob(UNFINISHED):  # by processes that were killed
                left.unlink(missing_ok=True)
            with warnings.catch_warnings():  # that version 3 of the format does not have them yet; xarray reads them
                warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
                zarr.consolidate_metadata(zarr.storage.LocalStore(part))
            files.fsync(part / "zarr.json")
            part.rename(path)
            files.fsync(path.parent)

    def fingerprint(self, path: Path, part: ProductPart | None = None) -> dict[str, int | str]:
        """`bytes` and `sha256` of the files of a part; of None, of all files that hold no steps.

        The hash of several files is that of their list as `sha256sum` writes it. OSError where one can't be read.
        """
        store = live(path)
        found = list(stored_files(path, part))
        listed = "".join(f"{files.sha256_of(file)}  {file.relative_to(store)}\n" for file in found)
        return {"bytes": sum(file.stat().st_size for file in found),
                "sha256": hashlib.sha256(listed.encode()).hexdigest()}

    def open_dataset(self, path: Path, **options: Any) -> xr.Dataset:
        """The store through xarray, read as it is asked for."""
        return xr.open_dataset(path, engine="zarr", **({"chunks": None} | options))

    def abandoned(self, folder: Path) -> list[Path]:
        """Hidden stores beside finished ones: a worker went on after its build had been killed.

        A hidden store without a finished one is no leftover, since its months are kept.
        """
        return [part for path in folder.glob(f"*{self.suffix}") if (part := hidden(path)).exists()]


def hidden(path: Path) -> Path:
    """The name of a store that is being made; the same for every process and every attempt."""
    return files.shared_part_name(path)


def live(path: Path) -> Path:
    """Where a store lies now: under its own name, or the hidden one."""
    return path if path.exists() else hidden(path)


class ZarrWriter(PartWriter):
    """Writes some steps of a store, as a context manager.

    Parameters
    ----------
    part : which steps; whole shards, but for the store's end.
    fields : their variables.
    distance : (points,) km to the nearest station, where the store has a layer of distances for each month.
    """

    _group: zarr.Group

    def __init__(self, part: ProductPart, grid: Grid, fields: tuple[str, ...], distance: np.ndarray | None = None):
        super().__init__(part.path, grid, len(part.stamps), fields)
        self._part, self._distance = part, distance

    def _begin(self) -> None:
        self._group = _opened_group(hidden(self.path))
        # otherwise zarr would read and fill them up
        for file in list(stored_files(self.path, self._part)):
            file.unlink()
        if self._distance is not None:
            layer = np.asarray(self._distance, np.float32).reshape(self.grid.shape)
            _array(self._group, DISTANCE)[self._part.month] = layer

    def _put(self, name: str, steps: slice, rows: slice, values: np.ndarray) -> None:
        first = self._part.first
        _array(self._group, name)[first + steps.start:first + steps.stop, rows] = rounded(name, values)

    def _finish(self) -> None:
        with files.writing(self.path):
            for file in stored_files(self.path, self._part):
                files.fsync(file)

    def _discard(self) -> None:
        """Steps that were written stay: whoever makes them again writes the same."""


def stored_files(path: Path, part: ProductPart | None) -> Iterator[Path]:
    """The files of a part of a store, its layer of distances among them, sorted by variable.

    With `part` None: all other files, which are the metadata and the coordinates. No file is read: a damaged store
    has files too.
    """
    store = live(path)
    names = {*cf.HOURLY.fields, *cf.DAILY.fields, *cf.TRUTH.fields}
    if part is None:
        steps = {store / name / "c" for name in {*names, DISTANCE}}
        yield from sorted(file for file in store.rglob("*") if file.is_file() and not steps & set(file.parents))
        return
    length = CHUNK_AND_SHARD_STEPS[part.hours][1]
    folders = [store / name / "c" / str(number) for name in sorted(names)
               for number in range(part.steps.start // length, -(-part.steps.stop // length))]
    for folder in [*folders, store / DISTANCE / "c" / str(part.month)]:
        yield from sorted(file for file in folder.rglob("*") if file.is_file())


def _opened_group(folder: Path) -> zarr.Group:
    """A store to be written into, on one thread."""
    import zarr
    from numcodecs import blosc

    blosc.use_threads = False  # one process, one thread
    return zarr.open_group(zarr.storage.LocalStore(folder), mode="r+", use_consolidated=False)


def _array(group: zarr.Group, name: str) -> zarr.Array:
    import zarr

    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _define_store(folder: Path, grid: Grid, stamps: np.ndarray, about: About, frequency: cf.Frequency,
                  months: int) -> None:
    """Attributes, coordinates and empty variables."""
    import zarr
    from zarr.codecs import BloscCodec

    group = zarr.create_group(zarr.storage.LocalStore(folder),
                              attributes=plain_attributes(cf.global_attributes(about, grid, stamps, frequency)))
    for name, (dims, array, attributes) in coordinates(grid, stamps, frequency, None).items():
        write_whole(group, name, dims, array, attributes)
    write_whole(group, cf.CRS, (), np.array(0, np.int32), crs_attributes())
    codec = BloscCodec(cname="zstd", clevel=COMPRESSION_LEVEL, shuffle="bitshuffle")
    chunk, shard = _chunk_and_shard(grid, CHUNK_AND_SHARD_STEPS[frequency.hours])
    for name in cf.fields_of(frequency, about):
        dtype, fill = stored_type(name), np.nan if name in MANTISSA_BITS else -1
        group.create_array(name, shape=(len(stamps), *grid.shape), dtype=dtype, chunks=chunk,
                           shards=shard, compressors=codec, fill_value=fill,
                           dimension_names=(TIME, *grid.dims), config={"write_empty_chunks": True},
                           attributes=plain_attributes(cf.field_attributes(name, about, grid, frequency,
                                                                         distance=False)))
    if months:
        _define_distances(group, grid, stamps, frequency, months, codec)


def _chunk_and_shard(grid: Grid, steps: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of chunks and of shards. A shard is a tile, so that it is written once; it may reach beyond the grid.

    Chunks are larger than in NetCDF, since each takes a millisecond besides its compression: two rows and two columns
    of those in one, where a tile has an even number of rows.
    """
    tile, small = grid_rows(grid, tiles(grid)[0]).stop, space_chunks(grid)
    rows = small[0] * (1 if -(-tile // small[0]) % 2 else 2)
    chunk = [rows, *(-(-size // -(-size // (2 * length))) for size, length in
                     zip(grid.shape[1:], small[1:], strict=True))]
    reach = (-(-size // length) * length for size, length in zip((tile, *grid.shape[1:]), chunk, strict=True))
    return (steps[0], *chunk), (steps[1], *reach)


def _define_distances(group: zarr.Group, grid: Grid, stamps: np.ndarray, frequency: cf.Frequency, months: int,
                      codec: BloscCodec) -> None:
    """An empty layer of distances for each month, and which months they are."""
    first = np.unique(local_days(stamps).astype("datetime64[M]")).astype("datetime64[D]")
    days = (first - cf.EPOCH.astype("datetime64[D]")).astype(np.int32)
    write_whole(group, MONTH, (MONTH,), days, {
        "long_name": "first day of the calendar month in UTC+8", "calendar": "standard",
        "units": cf.EPOCH_UNITS.replace("hours", "days"), "coverage_content_type": "coordinate"})
    attributes = cf.axis_attributes(grid, frequency, distance=True)[DISTANCE]
    attributes["comment"] += " Of the stations that a month's analysis is made from."
    positions = {"regular": "", "curvilinear": f"{LAT} {LON}", "points": f"{LAT} {LON} {cf.STATION_ID}"}[grid.kind]
    attributes |= {"grid_mapping": cf.CRS} | ({"coordinates": positions} if positions else {})
    group.create_array(DISTANCE, shape=(months, *grid.shape), dtype=np.float32, chunks=(1, *grid.shape),
                       compressors=codec, fill_value=np.nan, dimension_names=(MONTH, *grid.dims),
                       config={"write_empty_chunks": True}, attributes=plain_attributes(attributes))


def write_whole(group: zarr.Group, name: str, dims: tuple[str, ...], array: np.ndarray,
                 attributes: dict[str, Any]) -> None:
    """A small variable in one piece."""
    array = array.astype(str) if array.dtype == object else array
    dtype = str if array.dtype.kind == "U" else array.dtype
    variable = group.create_array(name, shape=array.shape, dtype=dtype, dimension_names=dims, compressors=None,
                                  chunks=array.shape or "auto", fill_value="" if dtype is str else 0,
                                  config={"write_empty_chunks": True}, attributes=plain_attributes(attributes))
    variable[...] = array.astype(object) if dtype is str else array


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON can hold them."""
    return {name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in attributes.items()}
