"""Observations beside a product and another one: which stations the product used, and what was observed there.

A product is not independent of the stations that it used: its numbers there say how well it repeats them. Stations that
its build hid (validation.nc) have an estimate that was made without them. Which stations it used is known where the
observations are those of its build (by the hash in run.json, or their path); else a station that lies nearer to its
cell's centre than the nearest station of the product was left out, and of the others it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, output
from aqreanalysis.errors import UserError
from aqreanalysis.observations import screening
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.output.cf import DISTANCE
from aqreanalysis.product.comparison.other import OtherProduct
from aqreanalysis.product.comparison.pairs import CommonTimes, cells_at, our_axes
from aqreanalysis.product.comparison.scores import StationSet
from aqreanalysis.product.folder import record_of
from aqreanalysis.product.in_memory import DatasetProduct
from aqreanalysis.product.reading import FinishedProduct
from aqreanalysis.schema import TARGET
from aqreanalysis.time_axis import HOURS_PER_DAY, MINIMUM_HOURS, local_days

USED, LEFT_OUT, NOT_KNOWN = "used by the product", "left out by the product", "perhaps used by the product"
LEAST_SHARE = MINIMUM_HOURS / HOURS_PER_DAY  # of the hours of a period, that have to be observed
NEARER_KM = 0.05   # by which a station has to be nearer than the nearest one of the product
HIDDEN = "hidden from the product ({})"


@dataclass(frozen=True, eq=False)
class Watched:
    """Stations whose cells are watched: id, lat, lon, and number of their cells in both grids (-1: none)."""

    station_id: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    ours: np.ndarray
    other: np.ndarray

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        return self.ours, self.other


@dataclass(frozen=True, eq=False)
class HiddenRows:
    """Days of stations that the product's build hid, from its validation.nc: (rows,), and (rows, 24) of hours."""

    station_id: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    design: np.ndarray
    day: np.ndarray       # datetime64[D], UTC+8
    observed: np.ndarray
    estimate: np.ndarray


def watched(table: pd.DataFrame | None, hidden: HiddenRows | None, product: FinishedProduct | DatasetProduct,
            other: OtherProduct) -> Watched:
    """The stations of a table (station_id, lat, lon) and of hidden rows, each once."""
    parts = [] if table is None else [table[["station_id", "lat", "lon"]].astype({"station_id": str})]
    if hidden is not None:
        parts.append(pd.DataFrame({"station_id": hidden.station_id, "lat": hidden.lat, "lon": hidden.lon}))
    every = pd.concat(parts) if parts else pd.DataFrame({"station_id": [], "lat": [], "lon": []})
    every = every.dropna().drop_duplicates("station_id").reset_index(drop=True)
    lat, lon = every["lat"].to_numpy(float), every["lon"].to_numpy(float)
    mine = cells_at(our_axes(product.grid, str(product.path)), lat, lon)
    return Watched(every["station_id"].to_numpy(str), lat, lon, mine, cells_at(other.axes, lat, lon))


def hidden_rows(product: FinishedProduct | DatasetProduct) -> HiddenRows | None:
    """What the product's validation.nc holds; None where it has none."""
    record = record_of(product.path) if product.path.is_dir() else None
    path = record.folder.validation("nc") if record else None
    if path is None or not path.is_file():
        return None
    with xr.open_dataset(path, engine="netcdf4") as file:
        if not file.sizes.get("row"):
            return None
        return HiddenRows(file.station_id.values.astype(str), file.lat.values, file.lon.values,
                          file.design.values.astype(str), local_days(file.time.values), file.observed.values,
                          file[TARGET].values)


def use_of(table: pd.DataFrame, watch: Watched, product: FinishedProduct | DatasetProduct, observations: Path,
           same: bool) -> tuple[np.ndarray, str]:
    """What the product made of each station (stations,), of USED, LEFT_OUT and NOT_KNOWN; and how that is known.

    same : whether the observations are those that the product was built from.
    """
    record = record_of(product.path) if product.path.is_dir() else None
    if same and record is not None:
        left = record.content["facts"].get("stations_left_out", {})
        found = np.where(np.isin(watch.station_id, list(left)), LEFT_OUT, USED)
        return found, f"{observations} are the observations of the product's build; run.json says which it left out"
    nearest = nearest_station_km(product)
    if nearest is None:
        return np.full(len(watch.station_id), NOT_KNOWN), "the product does not say which stations it used"
    inside = watch.ours >= 0
    own = geo.distance_km(watch.lat, watch.lon, product.grid.lat[watch.ours], product.grid.lon[watch.ours])
    left_out = inside & (own < nearest[watch.ours] - NEARER_KM)
    return (np.where(left_out, LEFT_OUT, NOT_KNOWN),
            f"{observations} are not the observations of the product's build: a station was left out where the "
            "product's nearest station is farther from the cell's centre than it is")


def is_same_archive(product: FinishedProduct | DatasetProduct, observations: Path) -> bool:
    """Whether observations lie where those of the product's build did."""
    record = record_of(product.path) if product.path.is_dir() else None
    if record is None or product.simulated:
        return False
    noted = str(record.content.get("facts", {}).get("observations", ""))
    return bool(noted) and Path(noted).expanduser().resolve() == observations.expanduser().resolve()


def nearest_station_km(product: FinishedProduct | DatasetProduct) -> np.ndarray | None:
    """Distance (points,) from cells to the product's nearest station, the least of all its hourly files; None where
    they do not have it."""
    record = record_of(product.path) if product.path.is_dir() else None
    paths = {record.folder.hourly(month).path for month in record.folder.period.months()} if record else set()
    found = []
    for path in sorted(path for path in paths if path.exists()):
        with output.open_product_file(path) as file:
            if DISTANCE in file.variables:
                found.append(file[DISTANCE].values.reshape(-1, product.grid.size).min(axis=0))
    return np.min(found, axis=0) if found else None


def observed_means(archive: Archive, common: CommonTimes, watch: Watched) -> np.ndarray:
    """What was observed (periods, stations), values that passed quality control; NaN where less than 20 of 24 hours
    of a period are there. Read a month at a time."""
    total, count = (np.zeros((len(common.intervals), len(watch.station_id))) for _ in range(2))
    number_of = {station: number for number, station in enumerate(watch.station_id)}
    for first, last in _months(common.intervals):
        cube = screening.screened(archive, first.astype("datetime64[ns]"), last.astype("datetime64[ns]"))
        place = [number_of.get(str(station), -1) for station in cube.station.values]
        columns, known = np.array(place, int), np.array(place, int) >= 0
        ends = cube.time.values.astype("datetime64[m]")
        period = np.searchsorted(common.intervals[:, 1], ends)
        inside = (period < len(common.intervals))
        inside &= common.intervals[np.minimum(period, len(common.intervals) - 1), 0] < ends
        values = cube[TARGET].values[inside][:, known]
        there = np.isfinite(values)
        at = (period[inside][:, None], columns[known][None])
        np.add.at(total, at, np.where(there, values, 0.0))
        np.add.at(count, at, there)
    hours = (common.intervals[:, 1] - common.intervals[:, 0]).astype(int)[:, None] / 60
    return np.where(count >= LEAST_SHARE * hours, total / np.maximum(count, 1), np.nan)


def _months(intervals: np.ndarray) -> Iterator[tuple[np.datetime64, np.datetime64]]:
    """First and last hour, END, of what intervals have in each calendar month."""
    hour = np.timedelta64(1, "h")
    first, last = intervals[0, 0].astype("datetime64[h]") + hour, intervals[-1, 1].astype("datetime64[h]")
    while first <= last:
        end = min((first.astype("datetime64[M]") + 1).astype("datetime64[h]"), last)
        yield first, end
        first = end + hour


def station_sets(watch: Watched, use: np.ndarray, observed: np.ndarray | None, ours: np.ndarray,
                 other: np.ndarray, hidden: HiddenRows | None, common: CommonTimes) -> list[StationSet]:
    """The sets that have a pair: stations by what the product made of them, and those that its build hid."""
    found = []
    if observed is not None:
        for name in (USED, NOT_KNOWN, LEFT_OUT):
            chosen = (use == name) & np.isfinite(observed).any(axis=0)
            if chosen.any():
                found.append(StationSet(name, watch.station_id[chosen], observed[:, chosen], ours[:, chosen],
                                        other[:, chosen], name == LEFT_OUT))
    if hidden is not None and common.is_daily:
        found += _hidden_sets(hidden, watch, other, common)
    return found


def _hidden_sets(hidden: HiddenRows, watch: Watched, other: np.ndarray, common: CommonTimes) -> list[StationSet]:
    number_of = {station: number for number, station in enumerate(watch.station_id)}
    period_of = {day: number for number, day in enumerate(common.days.tolist())}
    sets = []
    for design in dict.fromkeys(hidden.design.tolist()):
        rows = [(period_of[day], number_of[station], row) for row, (day, station, of) in enumerate(zip(
            hidden.day.tolist(), hidden.station_id, hidden.design, strict=True))
            if of == design and day in period_of and station in number_of]
        if not rows:
            continue
        period, station, row = (np.array(column) for column in zip(*rows, strict=True))
        arrays = [np.full(other.shape, np.nan) for _ in range(2)]
        hours = np.isfinite(hidden.observed[row]).sum(axis=1) >= MINIMUM_HOURS
        for array, values in zip(arrays, (hidden.observed, hidden.estimate), strict=True):
            both = np.where(np.isfinite(hidden.observed[row]), values[row], np.nan)
            array[period[hours], station[hours]] = np.nanmean(both[hours], axis=1)
        some = np.unique(station)
        sets.append(StationSet(HIDDEN.format(design), watch.station_id[some], arrays[0][:, some], arrays[1][:, some],
                               other[:, some], True))
    return sets


def check_stations(table: pd.DataFrame, watch: Watched, observations: Path) -> None:
    """UserError where no station of the observations lies in a cell of both products."""
    if not ((watch.ours >= 0) & (watch.other >= 0)).any():
        raise UserError(f"None of the {len(table)} stations of {observations} lies in both products.",
                        "They are compared at stations in cells of both.", "Leave --observations out, or give others.")

