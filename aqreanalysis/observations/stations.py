"""Station cubes: rows to a complete hourly axis, and which stations are withheld.

No row is dropped: an hour without a row is NaN and gets the flag `missing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import geo, schema, time_axis


def cube_from_rows(rows: pd.DataFrame, table: pd.DataFrame, start: np.datetime64 | str | pd.Timestamp,
                   end: np.datetime64 | str | pd.Timestamp) -> xr.Dataset:
    """A raw station cube from rows (station_id, time UTC END of hour, pollutants and weather...) in any order.

    It has every hour from `start` to `end` and the stations of `table`, in its order. Rows of one station and hour
    count once where they agree; where they disagree the first value is kept and `<pollutant>_flag`, which exists
    only then, has the bit `conflicting`.
    """
    cube = empty_cube(time_axis.complete_hours(start, end), table)
    row, column, inside = cells_of_rows(rows, table, cube[schema.TIME].values)
    conflicts = {}
    for name in (*schema.POLLUTANTS, *schema.WEATHER):
        if name in rows:
            array = np.full((cube.sizes[schema.TIME], len(table)), np.nan, np.float32)
            conflicts[name] = enter_values(array, row, column, rows[name].to_numpy(np.float32)[inside])
            cube[name] = ((schema.TIME, schema.STATION), array)
    return mark_conflicts(cube, conflicts)


def cells_of_rows(rows: pd.DataFrame, table: pd.DataFrame,
                  hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells of rows (station_id, time) in a cube of `hours` and the stations of `table`.

    Returns row and column (n,) of the rows that are in the cube, and a mask over all rows that picks these.
    """
    place = {station: number for number, station in enumerate(table["station_id"])}
    column = rows["station_id"].map(place).to_numpy()
    time = rows["time"].to_numpy().astype("datetime64[h]")
    row = ((time - hours[0].astype("datetime64[h]")) / time_axis.HOUR).astype(int)
    inside = (row >= 0) & (row < len(hours)) & ~pd.isna(column)
    return row[inside], column[inside].astype(int), inside


def enter_values(array: np.ndarray, row: np.ndarray, column: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Write values (n,) into cells (n,), (n,) of an array (time, station), where it is NaN; of several the first.

    Returns a mask (time, station) of the cells for which a later value disagrees with the one that is kept.
    """
    there = np.flatnonzero(np.isfinite(values))
    cell, values, flat = row[there] * array.shape[1] + column[there], values[there], array.reshape(-1)
    different, first = np.unique(cell, return_index=True)
    empty = np.isnan(flat[different])
    flat[different[empty]] = values[first[empty]]
    mask = np.zeros(array.size, bool)
    mask[cell[values != flat[cell]]] = True
    return mask.reshape(array.shape)


def mark_conflicts(cube: xr.Dataset, masks: dict[str, np.ndarray]) -> xr.Dataset:
    """The cube with the bit `conflicting` in the flags of pollutants whose mask (time, station) is true anywhere."""
    bit = schema.FLAG_DTYPE(schema.OBSERVATION_FLAGS["conflicting"])
    return cube.assign({f"{name}_flag": ((schema.TIME, schema.STATION), bit * mask) for name, mask in masks.items()
                        if name in schema.POLLUTANTS and mask.any()})


def empty_cube(hours: np.ndarray, table: pd.DataFrame) -> xr.Dataset:
    """A cube of NaN for the stations of a table (station_id, lat, lon and, if known, name and city)."""
    extra = {f"station_{name}": table[name].to_numpy() for name in ("name", "city") if name in table}
    return schema.make_station_cube(hours, table["station_id"].to_numpy(), table["lat"].to_numpy(),
                                    table["lon"].to_numpy(), {}, **extra)


def reporting(cube: xr.Dataset, minimum_hours: int = 1) -> xr.Dataset:
    """Only the stations with at least `minimum_hours` valid PM2.5 hours in the cube."""
    count = np.isfinite(cube[schema.TARGET].values).sum(axis=0)
    return cube.isel({schema.STATION: np.flatnonzero(count >= minimum_hours)})


WITHHELD_PARTS = ("test_city", "test_single", "validation_city", "validation_single")  # of a split, strictest first
PARTS = (*WITHHELD_PARTS, "train")


@dataclass(frozen=True)
class Split:
    """Which stations take which part; names of stations, each in one tuple only.

    `test_single`, `test_city` are never seen in training or validation; `validation_single`,
    `validation_city` choose settings and the moment to stop; all others train.
    """

    train: tuple[str, ...]
    validation_single: tuple[str, ...]
    validation_city: tuple[str, ...]
    test_single: tuple[str, ...]
    test_city: tuple[str, ...]

    @property
    def test(self) -> tuple[str, ...]:
        return self.test_single + self.test_city

    @property
    def validation(self) -> tuple[str, ...]:
        return self.validation_single + self.validation_city

    def without(self, stations: Iterable[str]) -> Split:
        """The split with some stations in no part."""
        out = set(stations)
        return Split(**{name: tuple(s for s in getattr(self, name) if s not in out) for name in PARTS})

    def keeping_together(self, groups: Iterable[Sequence[str]]) -> Split:
        """The split with all of each group in one part: its strictest, from `test_city` to `train` (PARTS)."""
        part = {station: name for name in PARTS for station in getattr(self, name)}
        for group in groups:
            if known := [station for station in group if station in part]:
                part |= dict.fromkeys(known, min((part[station] for station in known), key=PARTS.index))
        return Split(**{name: tuple(sorted(station for station in part if part[station] == name)) for name in PARTS})


def split_stations(table: pd.DataFrame, seed: int, share_single: float = 0.08, share_city: float = 0.08,
                   margin_deg: float = 0.0) -> Split:
    """Withhold whole cities, then single stations of the other cities; twice, for testing and for validation.

    Parameters
    ----------
    table : station_id, lat, lon and city (else clusters of stations within 30 km are the cities).
    seed : of the draw, which depends on the set of stations but not on their order.
    share_single, share_city : of the stations, for testing and as many again for validation.
    margin_deg : stations this near to the region's edge, or outside it, only train.
    """
    table = table.sort_values("station_id").reset_index(drop=True)
    west, east, south, north = schema.REGION_EDGES
    inside = (table.lon.between(west + margin_deg, east - margin_deg)
              & table.lat.between(south + margin_deg, north - margin_deg)).to_numpy()
    city = city_numbers(table)
    rng = np.random.default_rng(seed)
    part = np.full(len(table), "train", dtype=object)
    cities = [c for c in rng.permutation(np.unique(city)) if inside[city == c].all()]
    for name in ("test_city", "validation_city"):
        while cities and (part == name).sum() < share_city * len(table):
            part[city == cities.pop()] = name
    singles = [s for s in rng.permutation(np.flatnonzero(inside & (part == "train")))]
    for name in ("test_single", "validation_single"):
        take = [singles.pop() for _ in range(min(round(share_single * len(table)), len(singles)))]
        part[take] = name
    ids = table["station_id"].to_numpy()
    names = ("train", "validation_single", "validation_city", "test_single", "test_city")
    return Split(**{name: tuple(ids[part == name]) for name in names})


def city_numbers(table: pd.DataFrame) -> np.ndarray:
    """A number for each station's city; without city names, clusters of stations within 30 km."""
    from scipy.sparse.csgraph import connected_components

    if "city" in table and table["city"].notna().all():
        province = table["province"].fillna("").astype(str) if "province" in table else ""
        return pd.factorize(table["city"].astype(str) + "|" + province)[0]
    near = geo.pairwise_distance_km(table.lat, table.lon, table.lat, table.lon) < 30.0
    return connected_components(near, directed=False)[1]
