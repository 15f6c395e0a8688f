"""Files of another gridded PM2.5 as fields over the region of a product: one variable, one grid, in ug m-3, upright."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.grids import netcdf
from aqreanalysis.grids.overlap import Axes
from aqreanalysis.product.comparison.times import Stamped, Timeline, TimeOptions, stamps_of, timeline
from aqreanalysis.product.comparison.variable import (
    check_plausible,
    factor_of,
    find_variable,
    ground_level,
)
from aqreanalysis.product.folder import RECORD, record_of

STORE, NETCDF_ENDINGS = ".zarr", (".nc", ".nc4", ".cdf", ".h5", ".hdf5")
SEPARABLE = 1e-4      # degrees by which rows may leave their parallel
EDGE_SLACK = 1e-6     # degrees; cells that meet the region by less do not
STEPS_LOOKED_AT = 24  # for one with values
LOWEST, HIGHEST = -0.5, 1e4  # ug m-3; what is beyond is a code for missing
DATASET_NAME = "the other Dataset"
RULE = "The other product is NetCDF files or Zarr stores with PM2.5 on rows of latitude and columns of longitude."


@dataclass(frozen=True)
class OtherOptions:
    """What the user says of the files, whatever they do; None: nothing."""

    variable: str | None = None
    units: str | None = None
    level: int | None = None
    time: TimeOptions = TimeOptions()


@dataclass(frozen=True, eq=False)
class OtherFile:
    """A file or store, or a Dataset of a script, which has a name of ours."""

    path: Path
    dataset: xr.Dataset | None = None

    @contextmanager
    def opened(self) -> Iterator[xr.Dataset]:
        """Its variables as they are stored but for packing and fill values; a Dataset stays open."""
        if self.dataset is not None:
            yield self.dataset
            return
        with _opened(self.path) as file:
            yield file


@dataclass(frozen=True, eq=False)
class OtherStep:
    """Where a step stands: a file, and its number along time (None: the file is one step)."""

    file: OtherFile
    number: int | None


@dataclass(frozen=True, eq=False)
class _Placing:
    """How fields are cut out of a file: dimensions, slices of it, and the order that makes them upright."""

    lat: str
    lon: str
    rows: slice
    columns: slice
    row_order: np.ndarray
    column_order: np.ndarray


@dataclass(eq=False)
class OtherProduct:
    """Fields of another product over a region.

    `axes` : the cells that meet the region. `steps`, `times` : in the order of time. `units` : as the file says.
    `notes` : sentences on how it was read.
    """

    name: str
    variable: str
    units: str
    axes: Axes
    steps: tuple[OtherStep, ...]
    times: Timeline
    notes: tuple[str, ...]
    simulated: bool
    attributes: dict[str, Any]
    _factor: float
    _placing: _Placing
    _levels: dict[str, int]
    _time_dimension: str | None
    odd: int = 0   # values so far that were taken for codes of missing ones
    _open: tuple[OtherFile, xr.Dataset] | None = field(default=None, repr=False)
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def read(self, number: int) -> np.ndarray:
        """The field (rows, columns) of a step, ug m-3, from south to north and west to east; NaN where missing."""
        values = self._stored(number)
        odd = (values < LOWEST) | (values > HIGHEST)
        self.odd += int(odd.sum())
        return np.where(odd, np.nan, np.maximum(values, 0.0))

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which opens files itself."""
        return self.__dict__ | {"_open": None, "_stack": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_stack": ExitStack()}

    def check_unit(self) -> None:
        """UserError where the first step that has values can't be in the unit."""
        for number in range(min(len(self.steps), STEPS_LOOKED_AT)):
            values = self._stored(number)
            if np.isfinite(values).any():
                check_plausible(values, self.steps[number].file.path, self.units)
                return

    def _stored(self, number: int) -> np.ndarray:
        """A step as the file has it, in ug m-3."""
        step = self.steps[number]
        if self._open is None or self._open[0] is not step.file:
            self.close()
            self._open = (step.file, self._stack.enter_context(step.file.opened()))
        values = _cut(self._open[1][self.variable].variable, self._placing, self._levels,
                      {self._time_dimension: step.number} if self._time_dimension is not None else {})
        return values * self._factor

    def close(self) -> None:
        """Close the file that is open."""
        self._stack.close()
        self._open = None

    @property
    def files(self) -> list[OtherFile]:
        """Its files, each once."""
        return list({id(step.file): step.file for step in self.steps}.values())


def _cut(variable: xr.Variable, placing: _Placing, levels: dict[str, int], at: dict[Any, Any]) -> np.ndarray:
    chosen = variable.isel({**levels, **at, placing.lat: placing.rows, placing.lon: placing.columns})
    values = chosen.transpose(placing.lat, placing.lon).values.astype(np.float64)
    return values[placing.row_order][:, placing.column_order]


def open_other(paths: Sequence[str | Path | xr.Dataset], region: tuple[float, float, float, float],
               options: OtherOptions, against: str) -> OtherProduct:
    """Another product over a region (west, east, south, north, degrees).

    Parameters
    ----------
    paths : files, stores or folders of them; or one product of ours.
    against : what it is compared with, for messages.

    Raises
    ------
    UserError : for what can't be read, has no PM2.5, no unit, no grid of rows and columns, or nothing in the region.
    """
    files = listed(paths)
    path = files[0].path
    with files[0].opened() as first:
        name = find_variable(first, path, options.variable)
        factor, units = factor_of(first[name].variable, name, path, options.units)
        axes, placing, words = _grid(first, name, path, region, against)
        attributes = dict(first.attrs)
        levels, notes = _levels(first, name, placing, path, options)
        found, dim = _all_steps(files, first, name, placing)
    line = timeline([one for _, one in found], options.time, path.name if len(files) == 1 else
                    f"{path.name} and {len(files) - 1} more")
    order = np.argsort(line.intervals[:, 0], kind="stable")
    line = Timeline(line.intervals[order], line.kind, line.words)
    _check_apart(line)
    named = _name_of(attributes, files)
    made = OtherProduct(named, name, units, axes, tuple(found[n][0] for n in order), line,
                        (f"{name} in {units}", *words, *notes, f"steps: {line.kind}s, {line.words}"),
                        attributes.get("simulated") == "true", attributes, factor, placing, levels, dim)
    made.check_unit()
    return made


def _all_steps(files: Sequence[OtherFile], first: xr.Dataset, name: str,
               placing: _Placing) -> tuple[list[tuple[OtherStep, Stamped]], str | None]:
    """The steps of all files as they tell them, and the dimension of time; UserError where files are not alike."""
    found: list[tuple[OtherStep, Stamped]] = []
    dims: set[str | None] = set()
    for one in files:
        with one.opened() as file:
            _check_same(file, first, name, placing, one.path, files[0].path)
            dim, stamped = stamps_of(file, [str(d) for d in file[name].dims], one.path.name)
            dims.add(dim)
            found += [(OtherStep(one, number if dim else None), told) for number, told in enumerate(stamped)]
    if len(dims) != 1:
        raise UserError(f"Files of {files[0].path.parent} have the time along {' and '.join(map(str, dims))}.",
                        "Files of one product are alike.", "Give only those that belong together.")
    if not found:
        raise UserError(f"{files[0].path} has no step.", "It is a field over time.", "Give files that have values.")
    return found, dims.pop()


def listed(paths: Sequence[str | Path | xr.Dataset]) -> list[OtherFile]:
    """The files and stores that paths mean; of a product of ours, its days."""
    found: list[OtherFile] = []
    for text in paths:
        if isinstance(text, xr.Dataset):
            found.append(OtherFile(Path(str(text.encoding.get("source", DATASET_NAME))), text))
            continue
        path = Path(text).expanduser()
        if not path.exists():
            raise UserError(f"There is no {text}.", RULE, "Check the name; a pattern needs a file that it fits.")
        if path.is_dir() and path.suffix != STORE:
            record = record_of(path)
            there = ([days.path for days in record.folder.daily() if days.path.exists()] if record else
                     sorted(file for file in path.iterdir() if file.suffix.lower() in (*NETCDF_ENDINGS, STORE)
                            and not file.name.startswith(".")))
            if not there:
                what = "daily files: its build has not ended" if record else f"NetCDF file, Zarr store or {RECORD}"
                raise UserError(f"{path} holds no {what}.", RULE, "Give the files, or the folder that holds them.")
            found += map(OtherFile, there)
        else:
            found.append(OtherFile(path))
    paths_ = [one.path for one in found]
    if twice := [path for path in dict.fromkeys(paths_) if paths_.count(path) > 1]:
        raise UserError(f"{twice[0]} is given twice.", "Each file counts once.", "Leave one out.")
    return found


def _opened(path: Path) -> xr.Dataset:
    engine = "zarr" if path.is_dir() else "netcdf4"
    try:
        return xr.open_dataset(path, engine=engine, chunks=None, decode_times=False, decode_coords=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadFile(f"{path} can't be read: {error}.", RULE, _fix_of(path)) from error


def _fix_of(path: Path) -> str:
    """What to do about a file of another format, by its ending."""
    return {".tif": "`gdal_translate -of netCDF IN.tif OUT_20190101.nc` makes NetCDF of it.",
            ".grib": "`cdo -f nc4 copy IN.grib OUT.nc` makes NetCDF of it.", ".grb": "`cdo -f nc4 copy IN OUT.nc`.",
            ".zip": "Unpack it.", ".gz": "Unpack it.",
            ".hdf": "`gdal_translate -of netCDF LAYER OUT_20190101.nc` makes NetCDF of a layer."}.get(
        path.suffix.lower(), "Copy or download it again; `ncdump -h FILE` tells what it is.")


def _grid(dataset: xr.Dataset, name: str, path: Path, region: tuple[float, float, float, float],
          against: str) -> tuple[Axes, _Placing, list[str]]:
    lat, lon = netcdf.coordinates_of(dataset, path)
    remap = f"Remap it: `cdo remapcon,FILE IN.nc OUT.nc`, FILE being a daily file of {against}."
    notes: list[str] = []
    if lat.dims == lon.dims and len(lat.dims) == 2:
        flat_lat, flat_lon = lat.values[:, :1], lon.values[:1]
        if np.abs(lat.values - flat_lat).max() > SEPARABLE or np.abs(lon.values - flat_lon).max() > SEPARABLE:
            raise UserError(f"{path}: rows of its grid are no parallels (latitude is on {lat.dims}).", RULE, remap)
        lat_values, lon_values, lat_dim, lon_dim = flat_lat[:, 0], flat_lon[0], *lat.dims
        bounds: tuple[Any, Any] = (None, None)
        notes.append("latitude and longitude are 2-D, but of rows and columns")
    elif lat.values.ndim == lon.values.ndim == 1 and lat.dims != lon.dims:
        lat_values, lon_values, bounds = lat.values, lon.values, (lat.bounds, lon.bounds)
        lat_dim, lon_dim = lat.dims[0], lon.dims[0]
    else:
        raise UserError(f"{path}: latitude is on {lat.dims} and longitude on {lon.dims}.", RULE, remap)
    if missing := [dim for dim in (lat_dim, lon_dim) if dim not in dataset[name].dims]:
        raise UserError(f"{path}: {name} is on {dataset[name].dims}, without {missing[0]}.", RULE,
                        "Name a field over latitude and longitude with --variable.")
    west, east, south, north = region
    middle = (west + east) / 2
    turned = lon_values - 360 * np.round((lon_values - middle) / 360)
    row_order, lat_edges = _edges(lat_values, bounds[0], None, f"{path}: latitude")
    column_order, lon_edges = _edges(turned, bounds[1], turned, f"{path}: longitude")
    rows, columns = (np.flatnonzero((edges[:, 1] > low + EDGE_SLACK) & (edges[:, 0] < high - EDGE_SLACK))
                     for edges, low, high in ((lat_edges, south, north), (lon_edges, west, east)))
    if not rows.size or not columns.size:
        raise UserError(f"{path} covers {lon_edges.min():g} to {lon_edges.max():g} E, {lat_edges.min():g} to "
                        f"{lat_edges.max():g} N.",
                        f"{against} covers {west:g} to {east:g} E, {south:g} to {north:g} N.",
                        "They have no cell in common; give a file of this region.")
    if (lon_values > 180).any():
        notes.append("longitudes of 0 to 360")
    if lat_values[0] > lat_values[-1]:
        notes.append("latitude from north to south")
    kept = [_cutting(order[some]) for order, some in ((row_order, rows), (column_order, columns))]
    axes = Axes(np.clip(lat_edges[rows], -90, 90), lon_edges[columns])
    return axes, _Placing(lat_dim, lon_dim, kept[0][0], kept[1][0], kept[0][1], kept[1][1]), notes


def _cutting(numbers: np.ndarray) -> tuple[slice, np.ndarray]:
    """A slice of a file that holds some numbers, and their order within it."""
    return slice(int(numbers.min()), int(numbers.max()) + 1), numbers - numbers.min()


def _edges(values: np.ndarray, bounds: np.ndarray | None, near: np.ndarray | None,
           source: str) -> tuple[np.ndarray, np.ndarray]:
    """The order that makes an axis ascend, and edges (n, 2) in it: those of the file, else halfway between."""
    values = np.asarray(values, float)
    order = np.argsort(values, kind="stable")
    axis = values[order]
    if axis.size < 2 and bounds is None:
        raise UserError(f"{source} has one value and no width.", "Cells have edges.", "Give a file with bounds.")
    if not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
        raise UserError(f"{source} is missing or repeated in places.", "Each row and each column occurs once.",
                        "Take doubled ones out: `ncks -d lon,0,-2 IN.nc OUT.nc`.")
    if bounds is not None:
        pairs = np.stack([bounds[:-1], bounds[1:]], axis=1) if bounds.ndim == 1 else bounds
        pairs = np.sort(np.asarray(pairs, float)[order], axis=1)
        if near is not None:
            pairs = pairs - 360 * np.round((pairs - axis[:, None]) / 360)
        pairs = np.sort(pairs, axis=1)
        if ((pairs[:, 0] <= axis) & (axis <= pairs[:, 1])).all() and (np.diff(pairs, axis=1) > 0).all():
            return order, pairs
    middle = (axis[1:] + axis[:-1]) / 2
    edges = np.concatenate([[2 * axis[0] - middle[0]], middle, [2 * axis[-1] - middle[-1]]])
    return order, np.stack([edges[:-1], edges[1:]], axis=1)


def _levels(dataset: xr.Dataset, name: str, placing: _Placing, path: Path,
            options: OtherOptions) -> tuple[dict[str, int], list[str]]:
    """Numbers along the dimensions that are neither time nor place."""
    dims = [str(dim) for dim in dataset[name].dims]
    time, _ = stamps_of(dataset, dims, path.name)
    others = [dim for dim in dims if dim not in (placing.lat, placing.lon, time)]
    chosen = [ground_level(dataset, dim, path, options.level if dataset.sizes[dim] > 1 else None) for dim in others]
    if options.level is not None and not any(dataset.sizes[dim] > 1 for dim in others):
        raise UserError(f"--level {options.level} has no use: {name} of {path.name} has no levels.",
                        "An option is honoured or refused.", "Leave it out.")
    return {one.dimension: one.index for one in chosen}, [one.words for one in chosen if one.words]


def _check_same(file: xr.Dataset, first: xr.Dataset, name: str, placing: _Placing, path: Path,
                reference: Path) -> None:
    if name not in file.variables:
        raise UserError(f"{path} has no {name}, as {reference.name} has.", "Files of one product are alike.",
                        "Give only those that belong together.")
    for dim in (placing.lat, placing.lon):
        same = file.sizes.get(dim) == first.sizes[dim]
        if same and dim in file.variables and dim in first.variables:
            same = bool(np.array_equal(file[dim].values, first[dim].values))
        if not same:
            raise UserError(f"{path} lies on another grid than {reference.name}.", "Files of one product are alike.",
                            "Give only those that belong together.")


def _check_apart(line: Timeline) -> None:
    overlap = line.intervals[1:, 0] < line.intervals[:-1, 1]
    if overlap.any():
        first = line.intervals[1:][overlap][0]
        raise UserError(f"Two steps share the time from {first[0]} UTC.", "Each hour, day, month or year occurs once.",
                        "Give each file once; of a forecast, one run for each time.")


def _name_of(attributes: dict[str, Any], files: list[OtherFile]) -> str:
    first = files[0].path
    if attributes.get("project") == "aqreanalysis":
        return f"aqreanalysis, {first.parent.name or first.name}"
    return first.name if len(files) == 1 else f"{first.name} and {len(files) - 1} more"
