"""The observations of a forecast recipe, sliced in time; read once in each process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.opening import open_fields
from aqreanalysis.fields.source import in_runs
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.forecaster import NO_WEATHER, city_mean
from aqreanalysis.models.forecast.series import Series, station_series
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, near_duplicates
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Archive, none_good
from aqreanalysis.observations.readers.station_archive import StationArchive
from aqreanalysis.observations.stations import reporting
from aqreanalysis.recipes import ForecastRecipe
from aqreanalysis.time_axis import first_hours, last_hours
from aqreanalysis.training.slices import ForecastTask, Slices


@dataclass(frozen=True)
class ForecastData:
    """All stations, those that rows with `withheld` do not see, and the slices."""

    cube: xr.Dataset
    withheld: tuple[str, ...]
    slices: Slices
    source: str
    fingerprint: str
    warnings: tuple[str, ...]
    weather: np.ndarray          # (hours, variables) of the city; of no variables where none is known
    variables: tuple[str, ...]

    def visible(self, withheld: bool) -> xr.Dataset:
        """The cube that a row may read."""
        return self.cube.isel(station=~np.isin(self.cube.station.values, self.withheld)) if withheld else self.cube

    def scaler(self, withheld: bool) -> Scaler:
        """Fitted on the training slice of what a row may read."""
        return Scaler.fit(self.visible(withheld).isel(time=slice(0, self.slices.train)))

    def trend(self, withheld: bool) -> Trend:
        """Fitted likewise."""
        known = self.visible(withheld).isel(time=slice(0, self.slices.train))
        return Trend.fit(known.time.values, known.pm25.values)

    def weather_inputs(self) -> WeatherInputs:
        """Fitted likewise."""
        return WeatherInputs.fit(self.variables, self.weather[:self.slices.train]) if self.variables else NO_WEATHER

    def series(self, withheld: bool, scaler: Scaler, trend: Trend, weather: WeatherInputs = NO_WEATHER) -> Series:
        """The arrays of what a row may read."""
        known = weather.standardised(self.weather) if weather.names else None
        return station_series(self.visible(withheld), scaler, trend, weather=known)

    def truth(self, asked: xr.Dataset) -> Callable[[np.ndarray, int], np.ndarray]:
        """A function of hours of issue (rows) and horizon: PM2.5 (origins, stations, horizon) at stations `asked`."""
        pm25 = asked.pm25.values

        def after(origins: np.ndarray, horizon: int) -> np.ndarray:
            return pm25[origins[:, None] + np.arange(1, horizon + 1)].transpose(0, 2, 1)

        return after


def task_of(recipe: ForecastRecipe) -> ForecastTask:
    """What the recipe's models forecast."""
    return ForecastTask(recipe.history, recipe.horizon, recipe.mean_hours, recipe.minimum_hours, recipe.validate_every)


def of_recipe(recipe: ForecastRecipe) -> ForecastData:
    """The observations of a recipe."""
    return load_forecast_data(recipe.files, recipe.train_share, recipe.validate_share, recipe.withheld_share,
                              recipe.withheld_seed, recipe.start, recipe.end, recipe.fields, recipe.weather)


@lru_cache(maxsize=1)
def load_forecast_data(files: ObservationFiles, train_share: float, validate_share: float, withheld_share: float,
                       withheld_seed: int, first: str | None = None, last: str | None = None,
                       fields: str | None = None, variables: tuple[str, ...] = ()) -> ForecastData:
    """Read an archive from its beginning to its end, or what lies between two days, and the weather of these hours.

    Only tests of single values screen it: a flag of a series depends on hours within a week on either side, also on
    those after an hour of issue, and would carry them into a forecast. Near duplicates of the stations that are drawn
    to be withheld are withheld too.

    Raises
    ------
    UserError : where the archive is a station archive, whose flags are of series, or holds no PM2.5.
    """
    archive = files.open()
    if isinstance(archive, StationArchive):
        raise UserError(f"{files.path} is a station archive.",
                        "Its flags were set by hours on either side of a value, which a forecast must not know.",
                        "Give the files that it was made of.")
    start, end = _period(archive, first, last)
    inspection = archive.inspect(start, end)
    if not inspection.values:
        raise none_good(inspection, files.path, f"{start} to {end}")
    cube = reporting(screening.screened(archive, start, end, quality.SINGLE_VALUE_SETTINGS))
    ids = np.sort(cube.station.values.astype(str))
    drawn = np.random.default_rng(withheld_seed).permutation(ids)[:round(withheld_share * len(ids))].tolist()
    duplicates = near_duplicates(archive, start, end).among(ids) if drawn else NO_DUPLICATES
    slices = Slices.of(cube.sizes["time"], train_share, validate_share)
    weather, told = _weather(fields, variables, cube)
    return ForecastData(cube, tuple(sorted((*drawn, *duplicates.of(drawn)))), slices, archive.source,
                        inspection.fingerprint, (*duplicates.sentences(drawn), *told), weather, variables)


def _period(archive: Archive, first: str | None, last: str | None) -> tuple[np.datetime64, np.datetime64]:
    """The first and last hour of an archive, or of the days of a recipe where it names any."""
    start, end = archive.period()
    if first is not None:
        start = max(start, first_hours(np.array([first], "datetime64[D]"))[0])
    if last is not None:
        end = min(end, last_hours(np.array([last], "datetime64[D]"))[0])
    if start > end:
        raise UserError(f"The archive has no hour from {first} to {last}.",
                        "`start` and `end` of a recipe choose days that it has.", "Correct the recipe.")
    return start, end


def _weather(fields: str | None, variables: tuple[str, ...], cube: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """The mean over the stations' places of some fields (hours, variables), and sentences where hours or places lack
    it."""
    if fields is None:
        return np.zeros((cube.sizes["time"], 0), np.float32), []
    found = open_fields(fields).sample(cube.time.values, cube.lat.values, cube.lon.values, variables)
    at_places = np.stack([found[name].values for name in variables], axis=-1)
    weather = city_mean(at_places)
    if not (known := np.isfinite(weather).all(axis=1)).any():
        raise UserError(f"{fields} knows no hour of the observations.",
                        f"The weather of {in_runs(cube.time.values)} is read.", "Choose days that both have.")
    told = [] if known.all() else [f"no weather at any station in {in_runs(cube.time.values[~known])}: its mean is "
                                   "taken"]
    silent = ~np.isfinite(at_places).all(axis=2)[known]  # (hours, stations)
    if silent.any():
        told.append(f"of the {silent.size:,} hours of stations in which another one has weather, {silent.sum():,} have "
                    "none: the mean over the others is taken")
    return weather, told


def inventory_of_recipe(recipe: ForecastRecipe) -> Inventory:
    """What of the observations of a recipe is used and what is not, and what is strange in them.

    Raises
    ------
    UserError : where no PM2.5 value of the period passes quality control.
    """
    archive = recipe.files.open()
    start, end = _period(archive, recipe.start, recipe.end)
    found = take_inventory(archive, start, end, archive.inspect(start, end))
    check_usable(archive, found, recipe.files.path, quality.SINGLE_VALUE_SETTINGS, least=1)
    return found

