"""Graph networks behind the interface, their training, and the scores of inference (models/graph, training/graph)."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from models_fixtures import lively_calibration, lively_graph_model

from aqreanalysis import schema, time_axis
from aqreanalysis.evaluation import inference
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.graph.kinds import KINDS
from aqreanalysis.models.graph.weather import WIND, WeatherInputs
from aqreanalysis.recipes import GraphTraining
from aqreanalysis.training.graph import GraphSeries, HiddenStations, gradient_loss, train_graph

DAYS = 6


@pytest.fixture(scope="module")
def cube():
    """Whole local days, from 17:00Z."""
    cube = schema.mock_station_cube(hours=24 * DAYS, stations=16, missing=0.15)
    return cube.assign_coords(time=cube.time.values + np.timedelta64(17, "h"))


def wind(cube, seed=0, calm=False):
    """Wind at the stations, and 2 m temperature, as fields at sites."""
    rng = np.random.default_rng(seed)
    values = {"u10": rng.normal(0, 3, cube.pm25.shape), "v10": rng.normal(0, 3, cube.pm25.shape),
              "t2m": rng.normal(280, 9, cube.pm25.shape)}
    return xr.Dataset({name: (("time", "site"), (of * (not calm or name == "t2m")).astype(np.float32))
                       for name, of in values.items()},
                      coords={"time": cube.time.values, "lat": ("site", cube.lat.values),
                              "lon": ("site", cube.lon.values)})


WEATHER = WeatherInputs((*WIND, "t2m"), (0.0, 0.0, 280.0), (3.0, 3.0, 9.0))


def series(cube, names=(), fields=None, aod=None, validate=(DAYS - 2, DAYS - 1)):
    values = np.zeros((*cube.pm25.shape, 0), np.float32) if fields is None else np.stack(
        [fields[name].values for name in names], -1)
    return GraphSeries(cube.time.values, cube.lat.values, cube.lon.values, cube.pm25.values, values, names,
                       np.arange(DAYS - 2), np.array(validate), aod)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_station_in_training_is_a_target_in_use(cube, kind):
    """One graph whose hidden stations do not send gives what `predict` gives at their places from the others."""
    import torch

    fields = wind(cube)
    model = lively_graph_model(kind, weather=WEATHER if kind == "spin" else None)
    names = model.fields
    drawn = HiddenStations(series(cube, names, fields if names else None), KINDS[kind], model.settings, model.weather,
                           GraphTraining(), seed=0)
    batch = drawn.batch(np.array([2]), np.random.default_rng(1), 0.0)
    with torch.inference_mode():
        found = KINDS[kind].concentration(
            KINDS[kind].run(model.network, batch.inputs, batch.value, batch.among), model.settings)[0].T.numpy()
    hidden = batch.hidden[0].numpy()
    hours = time_axis.hours_of_days(*(time_axis.local_days(cube.time.values[48:49])[0].item(),) * 2)
    targets = schema.make_targets(hours, cube.lat.values[hidden], cube.lon.values[hidden])
    estimate = model.predict(cube.isel(station=~hidden), targets, fields if names else None)
    assert np.ptp(estimate.pm25.values) > 0.3
    np.testing.assert_allclose(estimate.pm25, np.maximum(found[:, hidden], 0), rtol=1e-4, atol=1e-3)


def test_an_estimate_with_weather_does_not_depend_on_what_else_is_asked(cube):
    """As test_contract asks of every model; here advection carries, also where the wind of some hours is unknown."""
    model = lively_graph_model("spin", weather=WEATHER)
    rng = np.random.default_rng(3)
    asked = schema.make_targets(cube.time.values[30:78], rng.uniform(36, 40, 9), rng.uniform(113, 119, 9))
    fields = wind(cube)
    calm = model.predict(cube, asked, wind(cube, calm=True)).pm25
    fields["u10"] = fields.u10.where(rng.random(fields.u10.shape) > 0.3)
    prepared = model.prepare(cube, asked.time.values, fields)
    whole = prepared.at(asked)
    assert (np.abs(whole.pm25 - calm).max("time") > 0.5).sum() >= 5, "the wind moves most places"
    for points, rows in ((slice(0, 4), slice(0, 24)), (slice(4, 9), slice(24, 48)), ([8], [47, 3]), ([5, 2, 0], [1])):
        part = asked.isel(point=points, time=rows)
        expected = whole.isel(point=points, time=rows)
        xr.testing.assert_allclose(prepared.at(part), expected, rtol=1e-5, atol=1e-4)
        xr.testing.assert_allclose(model.predict(cube, part, fields), expected, rtol=1e-5, atol=1e-4)


def test_wind_counts_and_missing_wind_is_calm(cube):
    model = lively_graph_model("spin", weather=WEATHER)
    targets = schema.make_targets(cube.time.values[30:60], [38.0, 37.2], [115.0, 117.1])
    real, other, calm = (model.predict(cube, targets, of) for of in (wind(cube), wind(cube, 1), wind(cube, calm=True)))
    assert np.abs(real.pm25 - other.pm25).max() > 1
    holes = wind(cube)
    for name in WIND:
        holes[name] = holes[name] * np.float32(np.nan)
    standard = replace(model, weather=replace(WEATHER))
    np.testing.assert_allclose(standard.predict(cube, targets, holes).pm25, calm.pm25, rtol=1e-5)
    assert np.isfinite(model.predict(cube, targets).pm25).all()
    with pytest.raises(ValueError, match="reads the fields u10, v10, t2m"):
        replace(model, fields_optional=False).predict(cube, targets)


def test_optical_depth_is_no_input(cube):
    """It moves the weights in training, and no estimate when it is changed later."""
    depth = np.random.default_rng(0).uniform(0.1, 1, cube.pm25.shape).astype(np.float32)
    short = GraphTraining(steps=4, days_per_step=2, validate_every=4)
    fields = wind(cube)
    made = [train_graph("spin", {"width": 8}, series(cube, WEATHER.names, fields, aod), short, 0)[0]
            for aod in (None, depth)]
    targets = schema.make_targets(cube.time.values[30:60], [38.0], [115.0])
    without, with_it = (model.predict(cube, targets, fields).pm25.values for model in made)
    assert not np.array_equal(without, with_it)
    lying = fields.assign(aod=(("time", "site"), 7 * depth))
    np.testing.assert_array_equal(made[1].predict(cube, targets, lying).pm25.values, with_it)


def test_gradient_loss_by_hand():
    """Three stations in a row; d(PM) 1 and 2, d(AOD), over the mean 2, 1 / 2 and unknown: |1 - 0.5|."""
    import torch

    from aqreanalysis.models.graph.graph import edges_between
    from aqreanalysis.models.graph.links import Links

    edges = edges_between([0, 0, 0], [0, 1, 2], [0, 0, 0], [0, 1, 2], reach_km=120, among=True)
    links = Links.of(edges, np.ones(len(edges.target)))
    estimate = torch.tensor([[[1.0], [2.0], [4.0]]])
    aod = torch.tensor([[[1.5], [2.5], [np.nan]]])
    assert float(gradient_loss(estimate, aod, links)) == pytest.approx(0.5)
    assert float(gradient_loss(estimate, aod * np.nan, links)) == 0


def test_spin_learns_that_air_is_even(cube):
    """Where all stations say the same, a short training tells it at a hidden one; an untrained network does not."""
    level = 60 + 30 * np.sin(np.arange(24 * DAYS) / 7.0).astype(np.float32)
    even = cube.assign(pm25=(cube.pm25.dims, np.repeat(level[:, None], 16, 1)))
    training = GraphTraining(steps=120, days_per_step=4, learning_rate=0.01, validate_every=40)
    model, trained = train_graph("spin", {"width": 16, "diffusion": "average", "advection": False},
                                 series(even, validate=(1, 2, 3)), training, 0)
    errors = [one.error for one in trained.validations]
    assert min(errors) < 12 < 15 < np.abs(level - level.mean()).mean()
    targets = schema.make_targets(even.time.values[30:60], [38.0], [115.0])
    assert np.abs(model.predict(even, targets).pm25.values[:, 0] - level[30:60]).mean() < 12


def test_a_checkpoint_gives_the_model_back(cube, tmp_path):
    model = lively_graph_model("spin", weather=WEATHER, diffusion="average")
    graph = {"settings": vars(model.settings), "weather": WEATHER.asdict(), "fields_optional": True}
    card = checkpoint.Card(
        name="small", kind="spin-analysis", created="2026-01-31", network=model.network.sizes.asdict(), scaler={}, k=0,
        training={}, withheld={}, versions={}, calibration=lively_calibration().asdict(),
        analysis=checkpoint.AnalysisFacts(stations=[["S000", 36.5, 113.5, -1]], graph=graph))
    checkpoint.save(tmp_path / "small", model.network, card)
    told = registry.describe_model(tmp_path / "small")  # what a build asks for fields by, without torch
    assert (told.fields, told.fields_optional, told.history) == (WEATHER.names, True, model.history)
    read, _ = checkpoint.load(tmp_path / "small")
    targets = schema.make_targets(cube.time.values[30:60], [38.0], [115.0])
    found = read.predict(cube, targets, wind(cube))
    np.testing.assert_array_equal(found.pm25, model.predict(cube, targets, wind(cube)).pm25)
    assert (found.pm25_lower <= found.pm25).all() and (found.pm25 <= found.pm25_upper).all()


def test_scores_by_hand():
    """Two hours, two stations: truths 10 20 30 40, errors 1 -1 3 and one pair that kriging does not have."""
    truth = np.array([[10.0, 20.0], [30.0, 40.0]])
    ours, kriged = truth + np.array([[1.0, -1.0], [3.0, 9.0]]), truth + np.array([[2.0, 2.0], [2.0, np.nan]])
    hours = np.array(["2019-01-10T04", "2019-06-10T04"], "datetime64[ns]")
    speed = np.array([[5.0, 1.0], [np.nan, 5.0]])
    strata = inference.strata_of(hours, np.array([True, False]), speed, 3.0)
    sums = inference.inference_sums(truth, {"kriging": kriged, "ours": ours}, hours, np.array(["a", "b"]), strata)
    scores = inference.inference_scores(sums).sel(model="ours")
    of = scores.sel(group="all")
    assert (of.n, of.MAE, of.skill) == (3, pytest.approx(5 / 3), pytest.approx(100 * (1 - 5 / 6)))
    assert of.RMSE == pytest.approx(np.sqrt(11 / 3)) and of.R2 == pytest.approx(1 - 11 / 200)
    assert scores.MAE.sel(group="November to March") == 1 and scores.MAE.sel(group="May to September") == 3
    assert scores.MAE.sel(group="loneliest") == 2 and scores.n.sel(group="wind over 3 m/s") == 1
