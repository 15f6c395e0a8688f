"""Fields on a grid of latitudes and longitudes, of one file or of thousands: what is needed is read when it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.field_files import FieldFile
from aqreanalysis.fields.hours import HOUR_S, Steps, epoch_seconds, usual_step
from aqreanalysis.fields.readers import GRIDDED
from aqreanalysis.fields.readers.grid_layout import EXPVER, Axes, Found, axes_of
from aqreanalysis.fields.sampling import wrapped
from aqreanalysis.fields.source import Area, FieldSource, NoFields
from aqreanalysis.fields.variables import FIELDS, INSTANT, check_values, conversion
from aqreanalysis.schema import LAT, LON, TIME

_NAMED = 5  # files, in a sentence


@dataclass(frozen=True)
class GridPart:
    """The fields of a file on its steps; of a GRIB file there are several parts."""

    file: FieldFile
    number: int              # of the file's datasets
    found: dict[str, Found]
    axes: Axes
    end_after: int           # s from the stamp of a mean or sum to the end of its interval

    def stamps(self, name: str) -> np.ndarray:
        """Of a field's values in s since 1970; of means and sums the END of their interval."""
        return self.axes.stamps + (0 if self.found[name].over_time == INSTANT else self.end_after)


class GriddedFields(FieldSource):
    """The gridded files under a path."""

    def __init__(self, path: Path | str, files: Sequence[FieldFile], passed_over: Sequence[str] = ()):
        """UserError where they hold no field, or do not lie on one grid."""
        self._files, self._notes = list(files), list(passed_over)
        self.simulated = False
        self._parts = [part for file in files for part in self._parts_of(file)]
        if not self._parts:
            raise NoFields(f"{path} has no field that is known.",
                           f"Known are {', '.join(FIELDS)}, by these names, those of ECMWF and MERRA-2, or CF "
                           "standard names.", "`ncdump -h FILE` shows what it has; docs/fields.md has the names.")
        first = self._parts[0].axes
        for part in self._parts:
            if not (np.array_equal(part.axes.lats, first.lats) and np.array_equal(part.axes.lons, first.lons)):
                raise UserError(f"{part.file.name} and {self._parts[0].file.name} lie on different grids.",
                                "All files of fields share one grid.",
                                "Give a folder with the files of one grid, or bring them onto one: "
                                "`cdo remapbil,OTHER.nc IN.nc OUT.nc`.")
        self._rows = np.argsort(first.lats)
        self._lat, self._lon = first.lats[self._rows], _unwrapped(first.lons, self._parts[0].file.name)
        kinds = " and ".join(sorted({part.file.kind for part in self._parts}))
        self.source = (f"{'SIMULATED ' * self.simulated}{Path(path).name} "
                       f"({len(self._files)} {kinds} file{'s' * (len(files) > 1)})")
        self._steps = {name: self._steps_of(name) for name in self.stored}

    def _parts_of(self, file: FieldFile) -> Iterator[GridPart]:
        with file.opened() as datasets:
            for number, dataset in enumerate(datasets):
                layout = next(one for one in GRIDDED if one.recognises(dataset))
                found, notes = layout.find(dataset, file.name)
                if not found:
                    continue
                axes = axes_of(dataset, file.name)
                self.simulated |= str(dataset.attrs.get("simulated", "")).lower() == "true"  # what `simulate` wrote
                self._notes += notes
                yield GridPart(file, number, found, axes, layout.end_after(dataset, axes.time))

    def _steps_of(self, name: str) -> Steps:
        parts = [part for part in self._parts if name in part.found]
        stamps = np.concatenate([part.stamps(name) for part in parts])
        kinds = {(part.found[name].over_time, part.found[name].interval) for part in parts}
        if len(kinds) > 1:
            raise UserError(f"{name} is of instants in some files and a mean or sum in others: "
                            f"{parts[0].file.name} ... {parts[-1].file.name}.", "A field is of one kind.",
                            "Give the files of one kind.")
        ordered = np.unique(stamps)
        if ordered.size < stamps.size:
            names = list(dict.fromkeys(part.file.name for part in parts))
            named = f"{', '.join(names[:_NAMED])}{' ...' * (len(names) > _NAMED)}"
            self._notes.append(f"{stamps.size - ordered.size:,} steps of {name} stand in several files; the value of "
                               f"the first by name is kept ({named})")
        over_time, interval = kinds.pop()
        return Steps(over_time, interval or usual_step(ordered, f"{name} in {parts[0].file.name}"))

    @property
    def stored(self) -> tuple[str, ...]:
        """As FieldSource.stored."""
        return tuple(name for name in FIELDS if any(name in part.found for part in self._parts))

    @property
    def area(self) -> Area:
        """Of the outermost points of the grid."""
        return Area(*(float(value) for value in (self._lon[0], self._lon[-1], self._lat[0], self._lat[-1])))

    @cached_property
    def _whole_circle(self) -> bool:
        step = np.diff(self._lon).mean() if self._lon.size > 1 else 360.0
        return bool(self._lon.size > 1 and abs(self._lon[-1] - self._lon[0] + step - 360.0) < 0.01 * step)

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """From the first to the last hour of which any field is known."""
        first, last = [], []
        for name, steps in self._steps.items():
            stamps = [part.stamps(name) for part in self._parts if name in part.found]
            before_end = 0 if steps.over_time == INSTANT else steps.step
            first.append(min(of.min() for of in stamps) + HOUR_S - before_end)
            last.append(max(of.max() for of in stamps))
        return (np.datetime64(int(min(first)), "s").astype("datetime64[ns]"),
                np.datetime64(int(max(last)), "s").astype("datetime64[ns]"))

    def files_of(self, start, end) -> list[FieldFile]:
        """As paths_of; members of zips by themselves."""
        first, last = (int(of) for of in epoch_seconds(np.array([start, end])))
        reach = 2 * max(steps.step for steps in self._steps.values())
        return list(dict.fromkeys(part.file for part in self._parts if part.axes.stamps.max() >= first - reach
                                  and part.axes.stamps.min() <= last + reach))

    def paths_of(self, start, end) -> list[Path]:
        """As FieldSource.paths_of."""
        return list(dict.fromkeys(file.path for file in self.files_of(start, end)))

    def fingerprint(self, start, end) -> str:
        """As FieldSource.fingerprint."""
        paths = {file.path: file for file in self.files_of(start, end)}
        return hashlib.sha256("\n".join(sorted(file.digest() for file in paths.values())).encode()).hexdigest()

    def notes(self) -> list[str]:
        """As FieldSource.notes."""
        return list(dict.fromkeys(self._notes))

    def _read_stored(self, hours: np.ndarray, names: tuple[str, ...], lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
        rows, columns, lons = self._cut(lat, lon)
        wanted, shape = epoch_seconds(hours), (rows.size, columns.size)
        arrays = {}
        for name, (stamps, values) in self._native(wanted, names, rows, columns).items():
            hourly = self._steps[name].at_hours(stamps, values.reshape(-1, *shape), wanted)
            check_values(name, hourly, self.source)
            arrays[name] = ((TIME, LAT, LON), hourly, FIELDS[name].attributes)
        return xr.Dataset(arrays, coords={TIME: hours, LAT: self._lat[rows], LON: lons}, attrs={"source": self.source})

    def _native(self, wanted: np.ndarray, names: tuple[str, ...], rows: np.ndarray,
                columns: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Stamps (s, ascending) and values (steps, rows * columns) in our units, of the steps that hours may need."""
        windows = {name: self._steps[name].window(wanted) for name in names}
        every = {name: np.unique(np.concatenate([_between(part.stamps(name), windows[name])[1] for part in self._parts
                                                 if name in part.found])) for name in names}
        found = {name: np.full((of.size, rows.size * columns.size), np.nan, np.float32) for name, of in every.items()}
        for part in self._parts:
            steps = {name: _between(part.stamps(name), windows[name]) for name in names if name in part.found}
            steps = {name: of for name, of in steps.items() if of[0].size}
            if not steps:
                continue
            with part.file.opened() as datasets:
                for name, (index, stamps) in steps.items():
                    values = self._values(datasets[part.number], part, name, index, rows, columns)
                    target, at = found[name], np.searchsorted(every[name], stamps)
                    target[at] = np.where(np.isnan(target[at]), values, target[at])
        return {name: (every[name], found[name]) for name in names}

    def _values(self, dataset: xr.Dataset, part: GridPart, name: str, index: np.ndarray, rows: np.ndarray,
                columns: np.ndarray) -> np.ndarray:
        """Values (steps, rows * columns), float32 in our units, of a file's steps by number."""
        of, axes = part.found[name], part.axes
        array = dataset[of.variable].isel(dict(of.choose))
        if axes.time not in array.dims:
            array = array.expand_dims(axes.time)
        array = array.isel({axes.time: slice(index.min(), index.max() + 1), axes.lat: self._rows[rows],
                            axes.lon: columns})
        array = array.squeeze([dim for dim in array.dims
                               if dim not in (axes.time, axes.lat, axes.lon) and array.sizes[dim] == 1])
        if EXPVER in array.dims:  # the final value where there is one
            ordered = array.sortby(EXPVER).transpose(EXPVER, axes.time, axes.lat, axes.lon).values
            values = ordered[0]
            for later in ordered[1:]:
                values = np.where(np.isnan(values), later, values)
        elif more := [str(dim) for dim in array.dims if dim not in (axes.time, axes.lat, axes.lon)]:
            raise UserError(f"{part.file.name}: {of.variable} has {array.sizes[more[0]]} steps along {more[0]}.",
                            "A field has one value for an hour and a place.",
                            f"Choose one: `ncks -d {more[0]},0 IN.nc OUT.nc`.")
        else:
            values = array.transpose(axes.time, axes.lat, axes.lon).values
        values = values.astype(np.float32).reshape(len(values), -1)[index - index.min()]
        return conversion(name, of.units, part.file.name)(values)

    def _cut(self, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the rows from south to north and of the columns from west to east that lie round places, and the
        columns' longitudes, ascending."""
        south, north = _around(self._lat, lat.min(), lat.max())
        rows = np.arange(max(south - 1, 0), min(north + 2, self._lat.size))
        size, west = self._lon.size, float(wrapped(lon.min(), self._lon[0]))
        width = min(float(lon.max() - lon.min()), 360.0)
        if not self._whole_circle:
            if west > self._lon[-1]:  # begins in the gap: whatever of it the grid has
                return rows, np.arange(size), self._lon
            first, last = _around(self._lon, west, west + width)
            columns = np.arange(max(first - 1, 0), min(last + 2, size))
            return rows, columns, self._lon[columns]
        turn = np.concatenate([self._lon - 360.0, self._lon, self._lon + 360.0, self._lon + 720.0])
        first, last = _around(turn, west, west + width)
        columns = np.arange(first - 1, min(last + 2, first + size))
        return rows, columns % size, turn[columns]


def _around(axis: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """Numbers of the last point that is not above `low`, and of the first that is not below `high`."""
    return int(np.searchsorted(axis, low, "right")) - 1, int(np.searchsorted(axis, high))


def _between(stamps: np.ndarray, window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the steps in a window (s), and their stamps, in the order of the file."""
    index = np.flatnonzero((stamps >= window[0]) & (stamps <= window[1]))
    return index, stamps[index]


def _unwrapped(lons: np.ndarray, where: str) -> np.ndarray:
    """Longitudes that ascend from the first on; UserError where they do not go eastwards once round at most."""
    steps = np.mod(np.diff(lons), 360.0)
    if (steps <= 0).any() or steps.sum() >= 360.0:
        raise UserError(f"The longitudes of {where} do not ascend: {lons[0]:g}, {lons[1]:g} ... {lons[-1]:g}.",
                        "They go eastwards, once round the earth at most.",
                        "`cdo invertlon` or `cdo sellonlatbox` turns them.")
    return lons[0] + np.concatenate([[0.0], np.cumsum(steps)])
