"""Slices, losses and training of forecasts: chronological, blind to the test slice, the same for the same seed."""

import dataclasses

import numpy as np
import pytest
import torch
from forecast_fixtures import cube, windows

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import attention
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.series import point_neighbours, station_series
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.recipes import ForecastTraining
from aqreanalysis.training import forecast, shrinkage
from aqreanalysis.training.forecast_batches import jittered
from aqreanalysis.training.losses import absolute_error, block_means
from aqreanalysis.training.slices import ForecastTask, Slices

HOURLY, DAILY = ForecastTask(24, 12, validate_every=3), ForecastTask(24, 48, mean_hours=24, minimum_hours=20)
QUICK = ForecastTraining(steps=12, origins_per_step=16, stations_per_step=4, validate_every=4)
SMALL = {"aqnet": {"width": 8, "heads": 2, "hidden": 8}, "lstm": {"width": 8},
         "patchtst": {"patch": 8, "stride": 4, "width": 8, "heads": 2}, "dlinear": {}, "ridge": {}}


def fitted(kind, of, seed=0, settings=QUICK, task=HOURLY):
    slices = Slices.of(of.sizes["time"])
    scaler = Scaler.fit(of.isel(time=slice(0, slices.train)))
    known = of.isel(time=slice(0, slices.train))
    trend = Trend.fit(known.time.values, known.pm25.values)
    data = station_series(of, scaler, trend)
    return forecast.fit_forecaster(kind, SMALL[kind], data, scaler, trend, slices, task, settings, seed, k=6)


def test_slices_follow_each_other_and_windows_stay_inside():
    slices = Slices.of(1000)
    assert [slices.bounds(name) for name in ("train", "validate", "test")] == [(0, 700), (700, 800), (800, 1000)]
    for name in ("train", "validate", "test"):
        first, after = slices.bounds(name)
        origins = slices.origins(name, 24, 12)
        assert origins[0] - 23 == first and origins[-1] + 12 == after - 1
    assert np.diff(slices.origins("test", 24, 12, 5)).tolist() == [5] * 32
    with pytest.raises(UserError, match="validate slice has 100 hours"):
        slices.origins("validate", 90, 12)


def test_a_trend_is_found_beside_the_seasons_and_carried_on():
    """Ten per cent a year less, with a winter twice as dirty as the summer; of three and a half years."""
    time = time_axis.complete_hours("2014-01-01T00", "2017-06-30T23")
    when = time.astype("datetime64[h]").astype(int) / (24 * 365.2425)
    logs = 4.0 - 0.1 * (when - 45.0) + 0.35 * np.cos(2 * np.pi * when)
    pm25 = np.expm1(logs)[:, None] * np.ones((1, 3))
    pm25[::3, 1] = np.nan
    pm25[100:200] = np.nan
    found = Trend.fit(time, pm25)
    assert found.slope == pytest.approx(-0.1, abs=1e-6)
    later = found.at(time[-1:] + 8766 * time_axis.HOUR) - found.at(time[-1:])
    assert later[0] == pytest.approx(-0.1, abs=1e-3)
    assert Trend.fit(time, np.full((len(time), 1), np.nan)) == Trend()
    assert Trend.fit(time[:24 * 700], pm25[:24 * 700]) == Trend()


def test_a_forecast_falls_with_the_trend():
    """A constant 50 ug m-3 seen against a line that falls: persistence still says 50."""
    of = cube(hours=24 * 20, missing=0.0)
    of.pm25.values[:] = 50.0
    scaler, trend = Scaler.fit(of), Trend(-0.5, 49.0)
    data = station_series(of, scaler, trend)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, 6)
    found = forecast.Forecaster(forecast.kinds.make("persistence", 24, 12, (4.0, 0.8), {}), scaler, 24, 12, trend=trend)
    np.testing.assert_allclose(found.at_origins(data, np.array([100, 400]), near), 50.0, rtol=1e-4)
    window = data.window([100, 400], 24, 12, near)
    assert (window.trend[0] - window.trend[1]).item() == pytest.approx(
        0.5 * 300 / (24 * 365.2425) / scaler.std["pm25"], rel=1e-3)
    truth = forecast.without_trend(torch.full((2, 1, 1), 50.0), window, scaler.std["pm25"])
    torch.testing.assert_close(torch.log1p(truth[:, 0, 0]), np.log(51.0) - scaler.std["pm25"] * window.trend)


def test_absolute_error_by_hand():
    found = torch.tensor([[10.0, 20.0, 30.0]])
    truth = torch.tensor([[13.0, torch.nan, 25.0]])
    assert absolute_error(found, truth, HOURLY).item() == 4.0
    # weights 1, 2**-0.5, 3**-0.5 over the two that were observed
    assert absolute_error(found, truth, HOURLY, exponent=0.5).item() == pytest.approx(
        (3.0 + 5.0 * 3**-0.5) / (1.0 + 3**-0.5), rel=1e-6)
    assert absolute_error(found, torch.full((1, 3), torch.nan), HOURLY).item() == 0.0


def test_means_are_over_observed_hours_and_need_enough_of_them():
    task = ForecastTask(4, 4, mean_hours=2, minimum_hours=1)
    found, truth = torch.tensor([1.0, 3.0, 5.0, 9.0]), torch.tensor([10.0, 20.0, torch.nan, 40.0])
    assert [part.tolist() for part in block_means(found, truth, task)] == [[2.0, 9.0], [15.0, 40.0]]
    strict = block_means(found, truth, dataclasses.replace(task, minimum_hours=2))[1]
    assert strict[0] == 15.0 and torch.isnan(strict[1])
    assert absolute_error(found, truth, task).item() == (13.0 + 31.0) / 2
    hourly = (9 + 17 + 31) / 3
    assert absolute_error(found, truth, task, hourly=0.25).item() == pytest.approx(0.25 * hourly + 0.75 * 22)


def test_a_missing_hour_pulls_no_weight():
    found = torch.ones(1, 3, requires_grad=True)
    absolute_error(found, torch.tensor([[2.0, torch.nan, 5.0]]), HOURLY).backward()
    assert found.grad.tolist() == [[-0.5, 0.0, -0.5]]


def test_jitter_raises_window_and_forecast_alike_and_turns_the_year_alone():
    batch, truth, _ = windows(cube(missing=0.0))
    random = torch.Generator().manual_seed(0)
    moved, raised = jittered(batch, truth, ForecastTraining(season_jitter=1.0, level_jitter=0.2), 0.8, random)
    lift = torch.log1p(raised) - torch.log1p(truth)
    shift = (moved.values - batch.values)[..., 0] * 0.8
    assert lift.std() > 0.05
    torch.testing.assert_close(shift[:, 0, 0], lift[:, 0, 0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close((moved.mean - batch.mean)[..., 0] * 0.8, shift[:, 0], atol=1e-4, rtol=1e-3)
    assert torch.equal(moved.values[..., 1:], batch.values[..., 1:])
    assert torch.equal(moved.coming[..., :4], batch.coming[..., :4])
    angle = [torch.atan2(clock[:, :, 4], clock[:, :, 5]) for clock in (moved.coming, batch.coming)]
    turned = torch.remainder(angle[0] - angle[1] + torch.pi, 2 * torch.pi) - torch.pi
    assert turned.abs().max() <= 1.0 and turned.std() > 0.3
    torch.testing.assert_close(turned, turned[:, :1].expand_as(turned), atol=1e-3, rtol=0)
    still, same = jittered(batch, truth, ForecastTraining(season_jitter=0.0, level_jitter=0.0), 0.8, random)
    torch.testing.assert_close(still.values, batch.values)
    torch.testing.assert_close(same, truth)


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_the_test_slice_is_not_read(kind):
    of = cube(hours=24 * 20)
    spoiled = of.copy(deep=True)
    for name in ("pm25", "no2"):
        spoiled[name].values[round(0.8 * of.sizes["time"]):] = 700.0
    first, second = fitted(kind, of), fitted(kind, spoiled)
    assert first.forecaster.scaler == second.forecaster.scaler
    assert first.forecaster.trend == second.forecaster.trend
    assert first.validation == second.validation and first.log == second.log
    theirs = second.forecaster.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in first.forecaster.network.state_dict().items())


def test_the_validation_slice_chooses_and_does_not_train():
    of = cube(hours=24 * 20)
    changed = of.copy(deep=True)
    changed.pm25.values[round(0.7 * of.sizes["time"]):round(0.8 * of.sizes["time"])] += 50.0
    settings = QUICK.model_copy(update={"steps": 4})  # validated once, so nothing to choose
    first, second = fitted("lstm", of, settings=settings), fitted("lstm", changed, settings=settings)
    assert first.validation != second.validation
    theirs = second.forecaster.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in first.forecaster.network.state_dict().items())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    of = cube(hours=24 * 20)
    nets = [fitted("aqnet", of, seed).forecaster.network.state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert not all(torch.equal(nets[0][name], nets[2][name]) for name in nets[0])


def test_training_learns_what_can_be_known():
    """PM2.5 that repeats after 12 h: the next 12 h are the last 12; the error must fall far below persistence's."""
    of = cube(hours=24 * 40, missing=0.0)
    wave = 60 + 40 * np.sin(2 * np.pi * np.arange(of.sizes["time"]) / 12)
    of.pm25.values[:] = wave[:, None]
    settings = ForecastTraining(steps=120, origins_per_step=32, stations_per_step=4, validate_every=40,
                                season_jitter=0.0, level_jitter=0.0, learning_rate=0.03)
    found = fitted("lstm", of, settings=settings)
    persistence = np.abs(wave[24:-12][:, None] - np.stack([wave[24 + n:len(wave) - 12 + n] for n in range(1, 13)], 1))
    assert found.validation < 0.25 * persistence.mean()
    assert found.log[-1][1] < found.log[0][1]


def test_training_ends_when_nothing_is_gained():
    settings = ForecastTraining(steps=200, origins_per_step=4, stations_per_step=2, validate_every=2, patience=3,
                                learning_rate=1e-12, averaging=0.0)
    found = fitted("lstm", cube(hours=24 * 20), settings=settings)
    assert found.steps < 200
    errors = [error for _, error in found.log]
    assert min(errors[-3:]) >= min(errors[:-3])


def test_closed_forms_of_daily_means_are_fitted_on_means():
    of = cube(hours=24 * 60)
    of.pm25.values[:] = 50.0 + 20.0 * (np.arange(of.sizes["time"]) % 2)[:, None]  # every other hour 70
    found = fitted("ridge", of, task=DAILY)
    slices = Slices.of(of.sizes["time"])
    data = station_series(of, found.forecaster.scaler, found.forecaster.trend)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, 6)
    forecast = found.forecaster.at_origins(data, slices.origins("test", 24, 48), near)
    np.testing.assert_allclose(forecast, 60.0, atol=0.5)


def test_nothing_is_kept_where_learning_does_not_serve_validation():
    of = cube(hours=24 * 20)
    slices = Slices.of(of.sizes["time"])
    found = fitted("aqnet", of).forecaster
    data = station_series(of, found.scaler, found.trend)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, 6)
    with torch.no_grad():
        found.network.out.bias.fill_(5.0)  # far too high
    shrinkage.shrink_forecast(found, found.network, data, slices, HOURLY, near)
    assert found.network.share.tolist() == [0.0] * 12


def test_the_smallest_factor_within_one_standard_error_is_kept():
    """Four weeks of ten errors each. The third candidate is best by 1 in every week: certain. By 1 in the mean with a
    standard error of sqrt(4 * 3**2) / 4 = 1.5: not certain, so the first is kept."""
    count = np.full(4, 10.0)
    best = np.full(4, 100.0)
    certain = np.stack([best + 20, best + 10, best])
    assert shrinkage.within_one_error(certain, count) == 2
    unsure = np.stack([best + 10 * np.array([4.0, -2.0, 4.0, -2.0]), best + 15, best])
    assert shrinkage.within_one_error(unsure, count) == 0
    # a week without an observation, and one that counts for little, do not decide
    uneven = np.array([[0.0, 200.0, 0.0], [0.0, 100.0, 1.0]])
    assert shrinkage.within_one_error(uneven, np.array([0.0, 10.0, 0.01])) == 1


def test_weekly_errors_by_hand():
    found = np.array([[[1.0, 2.0, 3.0, 4.0]], [[5.0, 5.0, 5.0, 5.0]]], np.float32)
    truth = torch.tensor([[[2.0, torch.nan, 3.0, 0.0]], [[5.0, 6.0, 9.0, 5.0]]])
    errors, count = shrinkage.weekly_errors(found, truth, np.array([0, 1]), 2, HOURLY)
    assert errors.tolist() == [[1.0, 4.0], [1.0, 4.0]] and count.tolist() == [[1.0, 2.0], [2.0, 2.0]]
    daily = dataclasses.replace(HOURLY, mean_hours=2)
    errors, count = shrinkage.weekly_errors(found, truth, np.array([0, 1]), 2, daily)
    assert errors.tolist() == [[1.0, 2.0], [0.5, 2.0]] and count.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_heads_are_split_into_those_that_look_at_late_and_at_early_steps():
    late, early = np.eye(10)[9], np.full(10, 0.1)
    profiles = np.stack([late, early, 0.9 * late + 0.1 * early, 0.05 * late + 0.95 * early, early])
    place, cluster, chosen = attention.two_clusters(profiles)
    assert cluster.tolist() == [0, 1, 0, 1, 1]
    assert chosen[0] in (0, 2) and chosen[1] in (1, 3, 4)
    assert place.shape == (5, 2)


def test_attention_is_summed_over_blocks_of_hours():
    ages = np.array([35.5, 24.0, 23.0, 1.0, 0.0])
    weight = np.array([[0.1, 0.2, 0.3, 0.3, 0.1]])
    np.testing.assert_allclose(attention.sums_of_hours(weight, ages, 24), [[0.3, 0.7]])
