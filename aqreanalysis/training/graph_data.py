"""The observations and fields of a graph recipe: which stations are hidden, which weeks train, validate and test.

A hidden station has no part in quality control of the others, in training or in what a model is given; it is scored in
the test weeks. What was read is kept in the run folder, one file for each draw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import files, geo, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.fields.opening import open_fields
from aqreanalysis.fields.sampling import SITE_DISTANCE
from aqreanalysis.models.graph.weather import WIND
from aqreanalysis.observations import screening
from aqreanalysis.observations.stations import reporting
from aqreanalysis.recipes import GraphRecipe, GraphRow
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY
from aqreanalysis.training.graph import GraphSeries

TWIN = "twin"
LEAST_HOURS_SHARE = 0.3  # of the period that a station must have reported
OPTICAL_DEPTH = "aod"
LEAST_DEPTH = 0.01  # of one that is turned over
PERMUTED_SEED = 7
READ_AGAIN = "choose another folder with --out."


@dataclass(frozen=True)
class Draw:
    """Stations hidden for a test: a share of them, and the number of the draw."""

    share: float
    number: int

    @property
    def name(self) -> str:
        """`hidden30-draw0`."""
        return f"hidden{round(100 * self.share):02d}-draw{self.number}"


@dataclass(frozen=True)
class GraphData:
    """Observations of a draw, and the weather at all stations.

    `cube` has all stations, screened without a part of the hidden ones; `weather` (time, station) with the variables of
    the recipe and `distance` of each station to the nearest site; `hidden` bool (station,).
    """

    recipe: GraphRecipe
    cube: xr.Dataset
    weather: xr.Dataset
    hidden: np.ndarray
    source: str = ""         # a phrase for what was observed ...
    fields_source: str = ""  # ... and for the weather

    @property
    def fingerprint(self) -> str:
        """A hash of all that is read."""
        found = hashlib.sha256(self.hidden.tobytes())
        for array in (self.cube[schema.TARGET], *self.weather.data_vars.values()):
            found.update(np.ascontiguousarray(array.values).tobytes())
        return found.hexdigest()[:16]

    @property
    def seen(self) -> xr.Dataset:
        """What models are given."""
        return self.cube.isel(station=~self.hidden)

    @property
    def asked(self) -> xr.Dataset:
        """The hidden stations, with what they observed."""
        return self.cube.isel(station=self.hidden)

    @cached_property
    def days(self) -> np.ndarray:
        """The local days, datetime64[D]."""
        return time_axis.local_days(self.cube.time.values[::HOURS_PER_DAY])

    def numbers(self, part: str) -> np.ndarray:
        """Numbers of the days of `train`, `validate` or `test`: one week in n is the test, that before validates."""
        of_week = (self.days.astype(int) // 7) % self.recipe.test_every_nth_week
        last = self.recipe.test_every_nth_week - 1
        return np.flatnonzero({"test": of_week == 0, "validate": of_week == last,
                               "train": (of_week > 0) & (of_week < last)}[part])

    def hours(self, part: str) -> np.ndarray:
        """Their hours, UTC stamps."""
        rows = self.numbers(part)[:, None] * HOURS_PER_DAY + np.arange(HOURS_PER_DAY)
        return self.cube.time.values[rows.ravel()]

    def series(self, row: GraphRow) -> GraphSeries:
        """What a row's network is trained on."""
        seen, names = self.seen, read_names(self.recipe, row)
        fields = self.fields_of(row)
        weather = fields.isel(site=~self.hidden)
        values = np.stack([weather[name].values for name in names], axis=-1) if names else np.zeros(
            (seen.sizes[schema.TIME], seen.sizes[schema.STATION], 0), np.float32)
        return GraphSeries(seen.time.values, seen.lat.values, seen.lon.values, seen[schema.TARGET].values, values,
                           names, self.numbers("train"), self.numbers("validate"), self._optical_depth(row))

    def fields_of(self, row: GraphRow) -> xr.Dataset:
        """The weather as the fields (time, site) of a row's model: each station is a site of its own."""
        found = self.weather.rename({schema.STATION: "site"}).drop_vars("site")
        if row.wind == "permuted":
            for name in WIND:
                found[name] = found[name].copy(data=_of_other_days(found[name].values))
        return found

    def _optical_depth(self, row: GraphRow) -> np.ndarray | None:
        if row.aod == "none":
            return None
        depth = self.weather[OPTICAL_DEPTH].values[:, ~self.hidden]
        if row.aod == "turned":
            return 1.0 / np.maximum(depth, LEAST_DEPTH)
        return _of_other_days(depth) if row.aod == "permuted" else depth


def read_names(recipe: GraphRecipe, row: GraphRow) -> tuple[str, ...]:
    """Which variables of the fields a row's network reads; other kinds than SPIN read none."""
    if row.model != "spin":
        return ()
    return tuple(name for name in recipe.weather
                 if (row.wind != "none" if name in WIND else row.weather) and name != OPTICAL_DEPTH)


def _of_other_days(values: np.ndarray) -> np.ndarray:
    """Values (time, station) with whole days in another order, the same at all stations."""
    days = values.reshape(-1, HOURS_PER_DAY, values.shape[1])
    order = np.random.default_rng(PERMUTED_SEED).permutation(len(days))
    return days[order].reshape(values.shape)


def draws_of(recipe: GraphRecipe) -> list[Draw]:
    """Every share and draw; all draws of the first share come first."""
    return [Draw(share, number) for share in recipe.hidden for number in range(recipe.draws)]


def prepare_data(recipe: GraphRecipe, out: Path) -> None:
    """Read the observations and fields of every draw that is not in the run folder yet.

    Raises
    ------
    UserError : where there are too few stations.
    """
    todo = [draw for draw in draws_of(recipe) if not _file(out, draw).is_file()]
    if not todo:
        return
    period = time_axis.parse_period(None, recipe.start, recipe.end)
    archive = _archive(recipe)
    before = period.hours[0] - HOUR
    raw = screening.RawObservations.of(archive, period.hours[0], period.hours[-1], recipe.quality,
                                       (before, before - HOUR))
    all_of_them = reporting(raw.screened(), round(LEAST_HOURS_SHARE * len(period.hours)))
    weather, fields_source = _weather(recipe, all_of_them)
    kept = np.ones(all_of_them.sizes[schema.STATION], bool) if recipe.near_km is None else (
        weather[SITE_DISTANCE].values < recipe.near_km)
    names = all_of_them.station.values[kept]
    if len(names) < 8:
        raise UserError(f"{len(names)} stations reported in a third of the period, and lie near the fields.",
                        "A test hides a third or a half of them: it takes at least 8.", "Choose a longer period.")
    for draw in todo:
        hidden = _hidden(len(names), draw)
        cube = raw.screened(tuple(names[hidden])).sel(station=names)[[schema.TARGET]]
        here = weather.isel(station=kept)
        stored = cube.drop_vars([name for name in cube.coords if name not in ("time", "station", "lat", "lon")])
        stored = stored.assign({f"field_{name}": field for name, field in here.data_vars.items()})
        stored = stored.assign_coords(hidden=("station", hidden), distance=("station", here[SITE_DISTANCE].values))
        stored["station"] = stored.station.astype(str)
        stored.attrs = {"source": archive.source, "fields_source": fields_source}
        with files.whole(_file(out, draw), READ_AGAIN) as part:
            stored.to_netcdf(part)


def load_data(recipe: GraphRecipe, out: Path, draw: Draw) -> GraphData:
    """What `prepare_data` has read for a draw."""
    with xr.open_dataset(_file(out, draw), engine="netcdf4") as stored:
        stored = stored.load()
    fields = [str(name) for name in stored.data_vars if name != schema.TARGET]
    weather = stored.drop_vars([schema.TARGET, "hidden"]).rename({name: name.removeprefix("field_") for name in fields})
    cube = stored[[schema.TARGET]].drop_vars(["hidden", "distance"])
    return GraphData(recipe, cube, weather, stored.hidden.values.astype(bool), stored.attrs.get("source", ""),
                     stored.attrs.get("fields_source", ""))


def _file(out: Path, draw: Draw) -> Path:
    return out / "data" / f"{draw.name}.nc"


def _archive(recipe: GraphRecipe):
    if recipe.observations == TWIN:
        from aqreanalysis.simulation import TwinArchive

        return TwinArchive()
    return recipe.files.open()


def _weather(recipe: GraphRecipe, cube: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The recipe's fields at the stations (time, station), with their distance from a site, 0 where there is none; and
    a phrase for them."""
    found, source = schema.make_targets(cube.time.values, cube.lat.values, cube.lon.values), ""
    if recipe.fields is not None:
        opened = open_fields(recipe.fields)
        found = opened.sample(cube.time.values, cube.lat.values, cube.lon.values, recipe.weather)
        source = opened.source
    if SITE_DISTANCE not in found.coords:
        found = found.assign_coords({SITE_DISTANCE: (schema.POINT, np.zeros(cube.sizes[schema.STATION]))})
    return found.rename({schema.POINT: schema.STATION}), source


def _hidden(stations: int, draw: Draw) -> np.ndarray:
    """Which stations are hidden: those of a larger share hold those of a smaller one of the same draw."""
    order = np.random.default_rng(1000 + draw.number).permutation(stations)
    hidden = np.zeros(stations, bool)
    hidden[order[:round(draw.share * stations)]] = True
    return hidden


def loneliest(data: GraphData, count: int = 5) -> np.ndarray:
    """Bool (hidden station,): those farthest from a station that models are given."""
    seen, asked = data.seen, data.asked
    distance = geo.nearest(seen.lat.values, seen.lon.values, asked.lat.values, asked.lon.values, 1)[1]
    alone = np.zeros(len(distance), bool)
    alone[np.argsort(-distance[:, 0], kind="stable")[:count]] = True
    return alone
