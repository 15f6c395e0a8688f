"""The forecasting networks: closed forms, invariances of the papers, and what may not reach a forecast."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from forecast_fixtures import LEVEL, cube, lively, windows

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.aqnet.forecast import AQNetForecast, ForecastSizes, TemporalPooling
from aqreanalysis.models.aqnet.knn import ForecastKNN
from aqreanalysis.models.features import cyclic_time
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast import window as nets_window
from aqreanalysis.models.forecast.dlinear import DLinear
from aqreanalysis.models.forecast.linear import Climatology, NormalEquations, Persistence, Ridge
from aqreanalysis.models.forecast.patchtst import PatchTST

SIZES = ForecastSizes(width=8, heads=2, hidden=8, blocks=4)
OPTIONS = {"persistence": {}, "climatology": {}, "ridge": {"network": 6}, "dlinear": {}, "lstm": {"width": 8},
           "patchtst": {"patch": 8, "stride": 4, "width": 8, "heads": 2},
           "aqnet": {"width": 8, "heads": 2, "hidden": 8}}


def network(kind, history=24, horizon=12):
    return lively(kinds.make(kind, history, horizon, LEVEL, OPTIONS[kind]))


def test_gaps_are_filled_by_the_networks_mean_and_the_stations_departure():
    values = torch.tensor([[[1.0, 2.0, 0.0], [3.0, 6.0, 8.0]]])[..., None]  # two stations, three hours
    mask = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]])[..., None]
    mean, heard = nets_window.network_mean(values[0].transpose(0, 1), mask[0].transpose(0, 1))
    whole = nets_window.fill_gaps(values, mask, nets_window.carried(mean[None], heard[None]))
    assert mean.flatten().tolist() == [2.0, 4.0, 8.0]
    # the first station lies 1 and 2 below the mean in two hours: -3 / (2 + 1)
    assert whole[0, :, :, 0].tolist() == [[1.0, 2.0, 7.0], [3.0, 6.0, 8.0]]


def test_an_hour_without_any_report_repeats_the_last_one():
    mask = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0])[:, None, None]
    values = torch.tensor([0.0, 5.0, 0.0, 0.0, 7.0])[:, None, None]
    mean, heard = nets_window.network_mean(values, mask)
    assert nets_window.carried(mean[None], heard[None]).flatten().tolist() == [0.0, 5.0, 5.0, 5.0, 7.0]


def test_hours_before_the_recent_ones_are_averaged():
    series = torch.arange(10.0)[:, None]
    assert nets_window.thin(series, 4, 3).flatten().tolist() == [1.0, 4.0, 6.0, 7.0, 8.0, 9.0]
    assert nets_window.thin(series, 10, 3) is series


def test_a_point_has_its_own_station_or_inverse_square_distances():
    near = nets_window.PointNeighbours(
        index=torch.tensor([[0, 1], [0, 1]]), distance=torch.tensor([[0.0, 5.0], [1.0, 2.0]]),
        bearing=torch.zeros(2, 2), own=torch.tensor([[True, False], [False, False]]))
    found = nets_window.at_points(torch.tensor([[[10.0], [20.0]]]), near).flatten()
    assert found[0] == 10.0
    assert found[1].item() == pytest.approx((10.0 * 4 + 20.0) / 5, abs=0.02)


def test_normal_equations_are_least_squares_with_an_unpunished_constant():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(200, 3)), np.ones((200, 1))], axis=1)
    y = x @ np.array([[1.0], [-2.0], [0.5], [7.0]]) + rng.normal(size=(200, 1))
    y[3] = np.nan
    equations = NormalEquations()
    for part in (slice(0, 90), slice(90, 200)):
        equations.add(torch.from_numpy(x[part]), torch.from_numpy(y[part]))
    good = np.isfinite(y[:, 0])
    expected = np.linalg.lstsq(x[good], y[good], rcond=None)[0]
    np.testing.assert_allclose(equations.solve(0.0).numpy(), expected, rtol=1e-5)
    shrunk = equations.solve(1e6).numpy()
    assert np.abs(shrunk[:3]).max() < 1e-4
    assert shrunk[3, 0] == pytest.approx(y[good].mean(), abs=1e-3)
    assert equations.rows == 199


@pytest.mark.parametrize("space", ["log", "value"])
def test_ridge_finds_a_linear_law(space):
    batch, truth, _ = windows(cube(missing=0.0))
    model = Ridge(24, 12, LEVEL, penalty=1e-9, space=space, network=1)
    features, law = model.features(batch), 0.02 * torch.rand(49, 12, generator=torch.Generator().manual_seed(0))
    wanted = features @ law
    truth = 100.0 * wanted if space == "value" else torch.expm1(wanted * LEVEL[1] + LEVEL[0])
    model.fit([(batch, truth)])
    found = model.at_stations(batch)
    expected = (torch.log1p(truth) - LEVEL[0]) / LEVEL[1]
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


def test_ridge_has_two_spaces():
    with pytest.raises(ValueError, match="log or value"):
        Ridge(24, 12, LEVEL, space="square")


def test_persistence_is_the_last_value_or_mean():
    batch, _, _ = windows(cube(missing=0.0))
    last = Persistence(24, 12)(batch)
    assert torch.equal(last, batch.values[:, :, -1:, 0].expand(-1, -1, 12))
    day = Persistence(24, 12, mean_hours=24)(batch)
    torch.testing.assert_close(day[..., 5], batch.values[..., 0].mean(dim=2))


def test_climatology_finds_a_cycle_of_day_and_year():
    hours = time_axis.complete_hours("2014-01-01T00", "2015-12-31T23")[::5]
    cycle = torch.from_numpy(cyclic_time(hours))
    day, year = torch.atan2(cycle[:, 0], cycle[:, 1]), torch.atan2(cycle[:, 4], cycle[:, 5])
    truth = 80 + 10 * torch.sin(day) + 30 * torch.cos(year) + 5 * torch.cos(2 * day) * torch.sin(year)
    model, batch = Climatology(24, 1, LEVEL), windows(cube(), horizon=1, origins=[30])[0]
    coming = cycle[:, None]
    view = replace(batch, coming=coming)
    stations = truth[:, None, None] + torch.tensor([-7.0, 7.0, torch.nan])[None, :, None]
    stations[::4, 1] = torch.nan  # an hour counts as often as it is observed
    stations[::4, 0] += 7.0
    stations[1::40] = torch.nan
    model.fit([(view, stations)])
    found = torch.expm1(model(view) * LEVEL[1] + LEVEL[0])[:, 0, 0]
    assert (found - truth).abs().max() < 0.05


def test_dlinear_starts_as_the_mean_and_its_trend_is_a_moving_mean():
    batch, _, _ = windows(cube())
    model = DLinear(24, 12, kernel=5)
    series = batch.values[0, 0, :, 0]
    padded = np.pad(series.numpy(), 2, mode="edge")
    np.testing.assert_allclose(model.moving_mean(series[None])[0].numpy(),
                               np.convolve(padded, np.full(5, 0.2), "valid"), atol=1e-6)
    with torch.no_grad():
        for layer in (model.trend, model.remainder):
            layer.bias.zero_()
        torch.testing.assert_close(model(batch)[..., 3], batch.values[..., 0].mean(dim=2))


@pytest.mark.parametrize("hours, patch, stride, count", [(336, 16, 8, 42), (24, 8, 4, 6), (512, 16, 8, 64)])
def test_patchtst_has_the_papers_number_of_patches(hours, patch, stride, count):
    """Nie et al. 2023, section 3.1: N = floor((L - P) / S) + 2; 512, 16, 8 gives the 64 words of the title."""
    model = PatchTST(hours, 4, patch=patch, stride=stride)
    assert count == math.floor((hours - patch) / stride) + 2
    assert model.patches(torch.zeros(1, hours)).shape == (1, count, patch)
    assert model.position.shape[0] == count


def test_patchtst_follows_a_change_of_level_and_scale():
    batch, _, _ = windows(cube(missing=0.0))
    model = network("patchtst")
    changed = replace(batch, values=3.0 * batch.values + 5.0)
    with torch.no_grad():
        torch.testing.assert_close(model(changed), 3.0 * model(batch) + 5.0, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["persistence", "ridge", "dlinear", "lstm", "patchtst"])
def test_models_of_one_station_know_no_other(kind):
    options = OPTIONS[kind] if kind != "ridge" else {}
    model = lively(kinds.make(kind, 24, 12, LEVEL, options))
    batch, _, _ = windows(cube(missing=0.0))
    values = batch.values.clone()
    values[:, 1:] += 1.0
    other = replace(batch, values=values)
    with torch.no_grad():
        torch.testing.assert_close(model(other)[:, 0], model(batch)[:, 0])
        if kind != "ridge":
            assert not torch.allclose(model(other)[:, 1], model(batch)[:, 1])


@pytest.mark.parametrize("kind", sorted(kinds.FORECAST_KINDS))
def test_every_model_gives_a_forecast_for_every_point_and_lead(kind):
    batch, _, _ = windows(cube())
    with torch.no_grad():
        found = network(kind)(batch)
    assert found.shape == (*batch.values.shape[:2], 12)
    assert torch.isfinite(found).all()


def test_an_unknown_option_lists_the_known_ones():
    for kind, name in (("lstm", "layers"), ("aqnet", "attention")):
        with pytest.raises(UserError, match="no option depth") as error:
            kinds.make(kind, 24, 12, LEVEL, {"depth": 3})
        assert name in error.value.rule


def test_untrained_aqnet_is_its_ridge_regression():
    batch, truth, _ = windows(cube())
    model = AQNetForecast(24, 12, LEVEL, SIZES)
    model.base.fit([(batch, truth)])
    with torch.no_grad():
        model.knn.own.fill_(50.0)  # the neural kNN uses the station itself alone
        torch.testing.assert_close(model(batch), model.base(batch), rtol=1e-4, atol=1e-4)
        model.knn.own.zero_()
        model.knn.reach.fill_(6.0)  # and now at stations within some 400 km
        assert not torch.allclose(model(batch), model.base(batch), atol=1e-2)


def test_the_share_is_of_what_was_learned():
    batch, _, _ = windows(cube())
    model = network("aqnet")
    with torch.no_grad():
        whole = model(batch)
        model.share.zero_()
        base = model(batch)
        model.share.fill_(0.5)
        torch.testing.assert_close(model(batch), (whole + base) / 2)
    assert not torch.allclose(whole, base, atol=1e-2)


def test_neural_knn_weights_sum_to_one_and_leave_hidden_stations_out():
    batch, _, _ = windows(cube())
    model = lively(ForecastKNN(SIZES.width, SIZES.heads))
    hidden = batch.neighbours.own[None].expand(len(batch.values), -1, -1)
    vectors = torch.randn(len(batch.values), 6, 8, generator=torch.Generator().manual_seed(0))
    weight, without = model(vectors, batch.neighbours), model(vectors, batch.neighbours, hidden)
    torch.testing.assert_close(weight.sum(dim=-1), torch.ones(weight.shape[:-1]))
    torch.testing.assert_close(without.sum(dim=-1), torch.ones(weight.shape[:-1]))
    assert (without[..., 0] == 0).all() and (weight[..., 0] > 0).all()


def test_a_hidden_stations_values_do_not_reach_its_own_forecast():
    of = cube(missing=0.0)
    batch, _, _ = windows(of)
    hidden = batch.neighbours.own[None].expand(len(batch.values), -1, -1)
    model = network("aqnet")
    values = batch.values.clone()
    values[:, 0] += 2.0
    other = replace(batch, values=values)
    with torch.no_grad():
        torch.testing.assert_close(model(other, hidden)[:, 0], model(batch, hidden)[:, 0])
        assert not torch.allclose(model(other)[:, 0], model(batch)[:, 0], atol=1e-3)


def test_the_order_of_stations_does_not_matter_to_aqnet():
    of, order = cube(stations=7), np.array([3, 0, 6, 2, 5, 1, 4])
    straight, _, _ = windows(of, k=7)
    mixed, _, _ = windows(of.isel(station=order), k=7)
    model = network("aqnet")
    with torch.no_grad():
        torch.testing.assert_close(model(mixed), model(straight)[:, order], rtol=1e-3, atol=1e-4)


def test_parts_that_are_left_out_do_nothing():
    batch, _, _ = windows(cube())
    options = OPTIONS["aqnet"]
    later = replace(batch, past=-batch.past, coming=-batch.coming)
    poor = replace(batch, values=torch.cat([batch.values[..., :1], 0 * batch.values[..., 1:]], -1),
                   mean=torch.cat([batch.mean[..., :1], 0 * batch.mean[..., 1:]], -1))
    elsewhere = batch.values.clone()
    elsewhere[:, 1:] += 1.0
    alone = replace(batch, values=elsewhere, mean=batch.mean + 1.0)
    cases = {"cyclic": (False, later), "pollutants": (1, poor), "knn": (False, alone)}
    for part, (off, changed) in cases.items():
        whole = lively(kinds.make("aqnet", 24, 12, LEVEL, options))
        without = lively(kinds.make("aqnet", 24, 12, LEVEL, options | {part: off}))
        with torch.no_grad():
            torch.testing.assert_close(without(changed)[:, 0], without(batch)[:, 0])
            assert not torch.allclose(whole(changed)[:, 0], whole(batch)[:, 0], atol=1e-3), part
    assert kinds.make("aqnet", 24, 12, LEVEL, options | {"attention": False}).attention is None


def test_the_last_block_starts_with_a_longer_look_back():
    model = TemporalPooling(ForecastSizes(width=8, blocks=3, recency=0.5, recency_last=0.02))
    with torch.no_grad():
        model.key.weight.zero_()
        model.key.bias.zero_()  # no step scores higher than another
        weight = model.weights(torch.randn(1, 30, 8), torch.zeros(1, 3, 6))[0]
    age = torch.arange(29, -1, -1)
    for block, rate in enumerate((0.5, 0.1, 0.02)):
        expected = torch.exp(-rate * age)
        torch.testing.assert_close(weight[block], expected / expected.sum(), rtol=1e-4, atol=1e-6)


def test_what_aqnet_looks_at_sums_to_one_and_its_steps_have_ages():
    batch, _, _ = windows(cube(hours=24 * 20), history=48)
    sizes = ForecastSizes(width=8, heads=2, hidden=8, blocks=3, recent=12, every=6)
    model = lively(AQNetForecast(48, 12, LEVEL, sizes))
    with torch.no_grad():
        heads, blocks = model.attention_weights(batch)
    n = batch.values.shape[0] * batch.values.shape[1]
    assert heads.shape == (n, 2, 18) and blocks.shape == (n, 3, 18)
    for weights in (heads, blocks):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert model.step_ages().tolist() == [44.5, 38.5, 32.5, 26.5, 20.5, 14.5, *range(11, -1, -1)]
