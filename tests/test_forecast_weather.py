"""Weather of the target hours as a known input of forecasts: closed forms, and what of it reaches which estimate."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from forecast_fixtures import LEVEL, RECIPE, cube, lively, windows, write_archive

from aqreanalysis import geo, recipes, schema
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import Forecaster, kinds
from aqreanalysis.models.forecast.forecaster import city_mean
from aqreanalysis.models.forecast.known import WeatherHead, weather_means
from aqreanalysis.models.forecast.linear import Ridge
from aqreanalysis.models.forecast.series import point_neighbours, station_series
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.time_axis import HOUR
from aqreanalysis.training import forecast_data
from aqreanalysis.workflows.evaluate_forecast import evaluate_run
from aqreanalysis.workflows.train_forecast import train_forecasts

HISTORY, HORIZON, LAST = 24, 12, 100
WEATHER = WeatherInputs(("u10", "t2m"), (1.0, 280.0), (2.0, 10.0))
OPTIONS = {"ridge": {"weather_every": 6}, "dlinear": {"weather_every": 12, "weather_hidden": 4},
           "lstm": {"width": 8, "weather_every": 6}, "patchtst": {"patch": 8, "stride": 4, "width": 8, "heads": 2,
                                                                 "weather_every": 12},
           "aqnet": {"width": 8, "heads": 2, "hidden": 8, "weather_every": 6}}


def with_weather(window, weather):
    return replace(window, weather=torch.tensor(weather, dtype=torch.float32))


def known_fields(of, change=lambda name, hours, values: None):
    """Two sites near the stations, wind and temperature that vary by the hour, to a day after the cube's end."""
    time = np.concatenate([of.time.values, of.time.values[-1] + HOUR * np.arange(1, 25)])
    hours = np.arange(len(time))
    arrays = {"u10": 3.0 * np.sin(hours / 9.0), "t2m": 280.0 + 8.0 * np.cos(hours / 24.0)}
    for name, values in arrays.items():
        change(name, hours, values)
    lat, lon = of.lat.values[:2], of.lon.values[:2]
    return xr.Dataset({name: (("time", "site"), np.stack([values, values + 1.0], axis=1).astype(np.float32))
                       for name, values in arrays.items()},
                      coords={"time": time, "lat": ("site", lat), "lon": ("site", lon)})


def forecaster(kind, of, **options):
    network = lively(kinds.make(kind, HISTORY, HORIZON, LEVEL, OPTIONS[kind] | options, len(WEATHER.names)))
    return Forecaster(network, Scaler.fit(of), HISTORY, HORIZON, k=6, name=kind, weather=WEATHER)


def forecast(model, of, fields):
    given = of.isel(time=slice(0, LAST + 1))
    hours = given.time.values[-1] + HOUR * np.arange(1, HORIZON + 1)
    return model.predict(given, schema.make_targets(hours, of.lat.values, of.lon.values), fields).pm25.values


def test_weather_is_averaged_over_steps_of_which_the_first_ends_at_the_hour_of_issue():
    window = windows(cube())[0]
    hours = np.arange(36.0)  # the last hour of issue is number 23
    batch = with_weather(window, np.broadcast_to(hours[:, None], (len(window.trend), 36, 1)))
    assert weather_means(batch, 6)[0, :, 0].tolist() == [20.5, 26.5, 32.5]
    assert weather_means(batch, 12)[0, :, 0].tolist() == [17.5, 29.5]


def test_a_lead_of_aqnet_reads_its_step_and_the_two_before():
    network = forecaster("aqnet", cube()).network
    window = windows(cube())[0]
    batch = with_weather(window, np.broadcast_to(np.arange(36.0)[:, None], (len(window.trend), 36, 2)))
    found = network.weather_at_leads(batch)[0, ::6, ::2]
    assert found.tolist() == [[26.5, 20.5, 20.5], [32.5, 26.5, 20.5]]  # before the first there is the first again


def test_a_ridge_regression_finds_a_linear_law_of_the_weather():
    window, _, _ = windows(cube())
    weather = np.random.default_rng(0).normal(size=(len(window.trend), 36, 1))
    batch = with_weather(window, weather)
    steps = weather[:, 12:, 0].reshape(-1, 4, 6).mean(axis=2)[:, 2:]  # of the hours to come
    logs = LEVEL[0] + LEVEL[1] * (0.5 * steps - 0.2).repeat(6, axis=1)
    truth = torch.as_tensor(np.expm1(logs)[:, None], dtype=torch.float32).expand(-1, window.values.shape[1], -1)
    model = Ridge(24, 12, LEVEL, penalty=1e-9, weather=1, weather_every=6).fit([(batch, truth)])
    torch.testing.assert_close(model(batch)[:, 0], torch.as_tensor(0.5 * steps - 0.2).repeat_interleave(6, 1).float(),
                               atol=1e-3, rtol=0)


def test_hours_and_stations_without_weather_are_counted_apart(monkeypatch):
    """Of 3 stations, none knows hour 1 and two do not know hours 4 and 5: 4 of the 3 x 9 other hours of stations."""
    of = cube().isel(time=slice(0, 10), station=slice(0, 3))
    values = np.ones((10, 3))
    values[1], values[4:6, :2] = np.nan, np.nan
    found = xr.Dataset({"t2m": (("time", "point"), values)})
    monkeypatch.setattr(forecast_data, "open_fields", lambda path: SimpleNamespace(sample=lambda *_: found))
    weather, told = forecast_data._weather("somewhere", ("t2m",), of)
    assert np.array_equal(np.isnan(weather[:, 0]), np.arange(10) == 1)
    assert len(told) == 2 and told[0].startswith("no weather at any station in 1 hour (")
    assert told[1].startswith("of the 27 hours of stations in which another one has weather, 4 have none")


def test_before_training_the_weather_adds_nothing():
    batch = with_weather(windows(cube())[0], np.ones((len(windows(cube())[0].trend), 36, 2)))
    for hidden in (0, 5):
        assert (WeatherHead(2, 12, 12, hidden)(batch) == 0).all()


def test_the_city_has_the_mean_of_what_its_places_know():
    values = np.array([[[1.0], [3.0], [np.nan]], [[np.nan]] * 3])
    np.testing.assert_array_equal(city_mean(values), [[2.0], [np.nan]])


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_known_weather_is_that_of_the_target_hours_and_a_day_before(kind):
    of = cube(hours=24 * 8)
    model, first = forecaster(kind, of), known_fields(of)
    assert model.fields == WEATHER.names
    found = forecast(model, of, first)
    nearest = geo.nearest(first.lat.values, first.lon.values, of.lat.values, of.lon.values, 1)[0][:, 0]
    mean = np.stack([first[name].values for name in WEATHER.names], axis=-1)[:, nearest].mean(axis=1)
    data = station_series(of, model.scaler, weather=WEATHER.standardised(mean)[:of.sizes["time"]])
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, 6)
    np.testing.assert_allclose(found, model.at_origins(data, np.array([LAST]), near)[0].T, rtol=1e-3, atol=1e-2)

    def at(hour):
        def change(name, hours, values):
            values[hours == LAST + hour] += 5.0
        return forecast(model, of, known_fields(of, change))

    for hour in (HORIZON + 1, -HISTORY):  # the hour after the last, and that before the day
        np.testing.assert_array_equal(at(hour), found)
    for hour in (HORIZON, 1, -11 if kind in ("dlinear", "patchtst") else -5):
        assert not np.array_equal(at(hour), found)


def test_weather_that_is_missing_is_the_mean_and_none_at_all_an_error():
    of = cube(hours=24 * 8)
    model = forecaster("ridge", of)

    def hole(name, hours, values):
        values[hours == LAST + 3] = np.nan

    def mean(name, hours, values):  # of both sites: 0.5 above the first, or as that one is nearer to a station
        values[hours == LAST + 3] = dict(zip(WEATHER.names, WEATHER.mean, strict=True))[name]

    one = known_fields(of, mean)
    one = one.where(one.time != one.time[LAST + 3], xr.Dataset({n: m for n, m in
                                                                zip(WEATHER.names, WEATHER.mean, strict=True)}))
    np.testing.assert_allclose(forecast(model, of, known_fields(of, hole)), forecast(model, of, one), rtol=1e-5)
    with pytest.raises(UserError, match="ridge reads the weather"):
        forecast(model, of, None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small archive whose PM2.5 falls with the wind of an hour, and that wind at one site."""
    folder = tmp_path_factory.mktemp("weather")
    wind = np.random.default_rng(3).normal(size=24 * 45)

    def change(of):
        of["pm25"] = of.pm25 * 0 + (60.0 * np.exp(-0.5 * wind))[:, None].astype(np.float32)
        of["pm10"] = of.pm25 * 1.5
        return of

    write_archive(folder / "archive", change=change)
    of = cube(24 * 45, 10)
    (folder / "fields").mkdir()
    pd.DataFrame({"station_id": "a", "lon": of.lon.values.mean(), "lat": of.lat.values.mean()}, index=[0]).to_csv(
        folder / "fields" / "sites.csv", index=False)
    pd.DataFrame({"station_id": "a", "time": of.time.values, "u": wind, "v": 0.0}).to_parquet(
        folder / "fields" / "weather.parquet")
    return folder


def recipe_of(base, models, **more):
    text = RECIPE.partition("models:")[0].format(observations=base / "archive") + "models:\n" + models
    text += "".join(f"{name}: {value}\n" for name, value in more.items())
    (base / "small.yaml").write_text(text)
    return recipes.load_recipe(base / "small.yaml", recipes.ForecastRecipe)


MODELS = """  ridge: {model: ridge, configurations: [{penalty: 1.0e-6, weather_every: 1}]}
  without: {like: ridge, weather: false}
  persistence: {model: persistence}
"""


def test_a_recipe_with_weather_from_files_to_scores(base, tmp_path):
    recipe = recipe_of(base, MODELS, fields=base / "fields", weather="[u10]", start="2019-01-03", end="2019-02-10")
    run = train_forecasts(recipe, tmp_path / "run")
    cube_of_it = forecast_data.of_recipe(recipe).cube
    assert str(cube_of_it.time.values[0])[:13] == "2019-01-02T17" and cube_of_it.sizes["time"] == 24 * 39
    card = checkpoint.read_card(run / "ridge-c0-s0", "forecast")
    assert card.forecast.weather["names"] == ["u10"] and not checkpoint.read_card(
        run / "without-c0-s0", "forecast").forecast.weather["names"]
    table = evaluate_run(run)
    error = table[(table.how == "at") & (table.lead == 12) & (table.season == "all")].set_index("row").MAE
    assert error["ridge"] < 1.0 and error["without"] > 5.0 and error["persistence"] > 5.0
    model, _ = checkpoint.load_forecaster(run / "ridge-c0-s0")
    assert model.fields == ("u10",)


@pytest.mark.parametrize("more, told", [
    ({"weather": "[u10]"}, "together"), ({"fields": "x"}, "together"),
    ({"start": "2031-01-01"}, "no hour from 2031-01-01"),
    ({"fields": "nowhere", "weather": "[u10]"}, "no fields at nowhere")])
def test_what_is_refused(base, tmp_path, more, told):
    with pytest.raises(UserError, match=told):
        train_forecasts(recipe_of(base, MODELS, **more), tmp_path / "run")


def test_steps_that_do_not_fit_the_horizon_are_told(base, tmp_path):
    recipe = recipe_of(base, MODELS.replace("weather_every: 1", "weather_every: 5"), fields=base / "fields",
                       weather="[u10]")
    with pytest.raises(UserError, match="12 h of weather are no whole number of means over 5 h"):
        train_forecasts(recipe, tmp_path / "run")
