"""The network against formulas written by hand, and what must hold for any weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import lively_network, small_sizes

from aqreanalysis import geo
from aqreanalysis.models.aqnet import network as parts
from aqreanalysis.models.aqnet import station_inputs
from aqreanalysis.models.aqnet.analysis import to_tensors
from aqreanalysis.models.aqnet.knn import AnalysisKNN, NeighbourTensors, interpolate, interpolate_planes
from aqreanalysis.models.aqnet.network import AQNet, TargetCovariates
from aqreanalysis.models.aqnet.station_inputs import StationMeans, assemble
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

pytestmark = pytest.mark.usefixtures("one_thread")

STATIONS, TARGETS, HOURS, COVARIATES = 12, 9, 24, 2
INNER = torch.arange(12, 36)


def neighbours(k=5, seed=0, targets=TARGETS):
    rng = np.random.default_rng(seed)
    lat, lon, to_lat, to_lon = (rng.uniform(a, a + 4, n) for n in (STATIONS, targets) for a in (36, 113))
    return to_tensors(find_neighbourhood(lat, lon, to_lat, to_lon, k, Correlation()))


def permuted(near, order):
    """The same neighbours in another order, (n, k) each row its own."""
    moved = {name: torch.gather(getattr(near, name), 1, order) for name in ("index", "weight", "distance", "bearing")}
    return NeighbourTensors(variance=near.variance, **moved)


def day(seed=0, stations=STATIONS):
    """Window, series and clock of a day at random stations."""
    rng = np.random.default_rng(seed)
    value, smooth, three_days, month, same_hour = rng.gamma(4.0, 15.0, (5, stations, 48)).astype(np.float32)
    means = StationMeans(value, smooth, three_days, month, same_hour, rng.random((stations, 48)) < 0.8,
                         rng.integers(0, 12, (stations, 48)).astype(np.float32))
    inputs, series = assemble(means)
    clock = rng.normal(size=(48, 6)).astype(np.float32)
    window = np.concatenate([inputs, np.broadcast_to(clock, (stations, 48, 6))], axis=-1)
    return torch.from_numpy(window), torch.from_numpy(series[:, 12:36]), torch.from_numpy(clock[12:36])


def places(seed=0):
    """Covariates of the stations and targets."""
    generator = torch.Generator().manual_seed(seed)
    return TargetCovariates(*(torch.randn((n, COVARIATES), generator=generator) for n in (STATIONS, TARGETS)))


def run(network, near, seed=0, covariates=None):
    window, series, clock = day(seed)
    with torch.no_grad():
        return network(window, INNER, series, clock, near, covariates)


def sums(near, weight, series):
    """Weights times the neighbours' series (stations, hours), without the network's own sum."""
    return torch.einsum("nk,nkh->nh", weight, series[near.index.long()])


def test_the_network_reads_what_the_inputs_are():
    assert (station_inputs.SERIES, station_inputs.HOURLY_INPUTS) == (parts.PLANES, parts.INPUTS)
    assert (station_inputs.LOG_SHIFT, station_inputs.LOG_CENTRE) == (parts.LOG_SHIFT, parts.LOG_CENTRE)


# --- what is read of a station


def attended(attention, z):
    """softmax(Q K' / sqrt(d)) V for each of two heads of four, with plain matrix products."""
    query, key, values = (z @ w.T + b for w, b in zip(attention.in_proj_weight.split(8),
                                                      attention.in_proj_bias.split(8), strict=True))
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        scores = query[..., head] @ key[..., head].transpose(1, 2) / 4**0.5
        shares = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
        heads.append(shares @ values[..., head])
    return torch.cat(heads, -1) @ attention.out_proj.weight.T + attention.out_proj.bias


def test_the_encoder_by_hand():
    """Steps of three hours and the clock of their middle; equation 1; the pooling; and the learned series of hours."""
    encoder = lively_network().encoder
    window = day()[0]
    hourly = window[..., :7] * torch.tensor(parts.INPUT_SCALE)
    level = hourly[..., 0]
    with torch.no_grad():
        pooled, series = encoder(window, INNER)
        steps = torch.stack([torch.cat([hourly[:, t], hourly[:, t + 1], hourly[:, t + 2], window[:, t + 1, 7:]], -1)
                             for t in range(0, 48, 3)], 1)
        z, _ = encoder.lstm(torch.nn.functional.gelu(steps @ encoder.embed[0].weight.T + encoder.embed[0].bias))
        z = attended(encoder.attention, z) + z
        share = torch.exp(z @ encoder.pool.weight.T + encoder.pool.bias)
        expected = (share / share.sum(1, keepdim=True) * z).sum(1) @ encoder.day.weight.T + encoder.day.bias
        rows = []
        for t in range(12, 36):
            changes = torch.stack([1.5 * (level[:, t + lag] - level[:, t])
                                   for lag in (-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)], -1)
            rows.append(z[:, t // 3] @ encoder.series.weight.T + encoder.series.bias
                        + torch.cat([hourly[:, t], changes], -1) @ encoder.direct.weight.T)
        raw = torch.stack(rows, 1)
        raw = raw / (1 + torch.exp(-raw))
        raw = (raw - raw.mean(-1, keepdim=True)) / (raw.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        expected_series = raw * encoder.norm.weight + encoder.norm.bias
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(series, expected_series, rtol=1e-3, atol=1e-4)


def test_each_station_is_encoded_by_itself():
    encoder, (window, *_) = lively_network().encoder, day()
    with torch.no_grad():
        together = encoder(window, INNER)
        alone = encoder(window[3:4], INNER)
    for whole, part in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[3:4], part, rtol=1e-4, atol=1e-5)


def test_some_hours_of_the_window():
    encoder, (window, *_) = lively_network().encoder, day()
    with torch.no_grad():
        _, whole = encoder(window, INNER)
        _, some = encoder(window, torch.tensor([12, 20, 35]))
    torch.testing.assert_close(some, whole[:, [0, 8, 23]], rtol=1e-6, atol=1e-6)


# --- the weights


def weigh(knn, pooled, near, room=None):
    room = (near.variance / 0.02).clamp_max(1)[:, None] if room is None else room
    return knn(pooled, knn.neighbour(pooled), near, knn.neighbour_geometry(near), room)


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_neighbours_sum_to_one(seed):
    network, near = lively_network(seed), neighbours(seed=seed)
    pooled = torch.randn((STATIONS, network.sizes.pooled), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weights, _ = weigh(network.knn, pooled, near)
    assert weights.shape == (TARGETS, 5) and (weights - near.weight).abs().max() > 0.01
    torch.testing.assert_close(weights.sum(-1), torch.ones(TARGETS))


def test_the_weights_by_hand():
    """Kriging's, and the share `room` of the attention over the neighbours less its prior."""
    network, near = lively_network(), neighbours()
    knn, pooled, room = network.knn, torch.randn(STATIONS, 4, generator=torch.Generator().manual_seed(1)), 0.25
    with torch.no_grad():
        weights, around = weigh(knn, pooled, near, torch.full((TARGETS, 1), room))
    for n in range(TARGETS):
        z = pooled[near.index[n].long()]
        mean = (near.weight[n][:, None] * z).sum(0)
        torch.testing.assert_close(around[n], mean, rtol=1e-5, atol=1e-6)
        hidden = (near.features[n] @ knn.geometry.weight.T + knn.geometry.bias + z @ knn.neighbour.weight.T
                  + mean @ knn.surroundings.weight.T).clamp_min(0)
        prior = near.weight[n].clamp_min(0) + 0.01
        attention = prior * torch.exp(hidden @ knn.score.weight[0])
        expected = near.weight[n] + room * (attention / attention.sum() - prior / prior.sum())
        torch.testing.assert_close(weights[n], expected, rtol=1e-4, atol=1e-6)


def test_untrained_weights_are_krigings():
    near = neighbours(k=8)
    assert (near.weight < 0).any()
    with torch.no_grad():
        weights, around = weigh(AnalysisKNN(pooled=4, hidden=16), torch.randn(STATIONS, 4), near)
    torch.testing.assert_close(weights, near.weight, rtol=0, atol=1e-7)
    assert around.shape == (TARGETS, 4)


def test_trained_weights_depend_on_the_stations():
    """A station's pooled vector changes the weights: they are learned, not geometric."""
    network, near = lively_network(), neighbours()
    with torch.no_grad():
        one, _ = weigh(network.knn, torch.zeros(STATIONS, 4), near)
        other, _ = weigh(network.knn, torch.randn(STATIONS, 4), near)
    assert (one - other).abs().max() > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_weights_follow_the_order_of_the_neighbours(seed):
    generator = torch.Generator().manual_seed(seed)
    network, near = lively_network(), neighbours()
    pooled = torch.randn((STATIONS, 4), generator=generator)
    order = torch.rand(near.index.shape, generator=generator).argsort(1)
    with torch.no_grad():
        weights, around = weigh(network.knn, pooled, near)
        moved, around_moved = weigh(network.knn, pooled, permuted(near, order))
    torch.testing.assert_close(moved, torch.gather(weights, 1, order), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(around_moved, around, rtol=1e-4, atol=1e-5)


def test_interpolate_is_a_sum_over_neighbours():
    near, series = neighbours(), torch.randn(STATIONS, 6, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(TARGETS, 6)
    for target in range(TARGETS):
        for place in range(5):
            expected[target] += near.weight[target, place] * series[near.index[target, place]]
    torch.testing.assert_close(interpolate(series, near.index, near.weight), expected, rtol=1e-5, atol=1e-5)
    planes = interpolate_planes(series, 2, near.index, near.weight)  # three hours of one series, then of the other
    torch.testing.assert_close(planes, torch.stack([expected[:, :3], expected[:, 3:]]), rtol=1e-5, atol=1e-5)


def test_features_of_neighbours_by_hand():
    near = NeighbourTensors(torch.tensor([[0, 1]]), torch.tensor([[0.75, 0.25]]), torch.tensor([0.5]),
                            torch.tensor([[10.0, 30.0]]), torch.tensor([[0.0, np.pi / 2]], dtype=torch.float32))
    spread = 0.5 * (np.log(0.52) + 1.5)
    expected = [[[np.log(2) - 1.5, 0, 1, 3.0, spread, 10 / 21 - 1], [np.log(4) - 1.5, 1, 0, 1.0, spread, 30 / 21 - 1]]]
    np.testing.assert_allclose(near.features, expected, atol=1e-6)
    np.testing.assert_allclose(near.site, [[np.log(2) - 1, spread, np.log(3) - 2, 4 * (0.75**2 + 0.25**2)]], atol=1e-6)


# --- the estimate


def geo_mean(logs):
    return (torch.exp(logs) - 5).clamp_min(0)


def test_an_untrained_network_is_half_kriging_of_values_and_half_of_logarithms():
    """Half of the smoothed ones' part is taken, where there is room."""
    near, (_, series, _) = neighbours(), day()
    estimate, scale = run(AQNet(small_sizes()).eval(), near)
    room = 0.5 * (near.variance / 0.02).clamp_max(1)[:, None]
    value, log, smooth, log_smooth = (sums(near, near.weight, series[..., plane]) for plane in range(4))
    expected = 0.5 * ((1 - room) * value + room * smooth).clamp_min(0) + 0.5 * geo_mean(
        (1 - room) * log + room * log_smooth)
    torch.testing.assert_close(estimate, expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scale, 0.35 * near.variance.sqrt()[:, None] * (estimate + 20) + 0.3, rtol=1e-5,
                               atol=1e-4)


def head_by_hand(head, hourly, clock, daily):
    """(5, n, hours): three layers over hourly (planes, n, hours), clock (hours, 6) and daily (n, ...)."""
    n, hours = hourly.shape[1:]
    joined = torch.cat([hourly.permute(1, 2, 0), clock.expand(n, hours, 6)], -1)
    hidden = joined @ head.hourly.weight.T + head.hourly.bias + (daily @ head.daily.weight.T)[:, None]
    hidden = (hidden.clamp_min(0) @ head.middle.weight.T + head.middle.bias).clamp_min(0)
    return (hidden @ head.out.weight.T + head.out.bias).permute(2, 0, 1)


def test_the_estimate_by_hand():
    """The equation of the module, term by term, with covariates."""
    network, near, covariates = lively_network(sizes=small_sizes(COVARIATES)), neighbours(), places()
    window, series, clock = day()
    near = replace(near, variance=near.variance * torch.linspace(0.001, 1, TARGETS))  # with all and with little room
    estimate, scale = run(network, near, covariates=covariates)
    e = (near.variance / 0.02).clamp_max(1)[:, None]
    with torch.no_grad():
        pooled, learned = network.encoder(window, INNER)
        weight, around = weigh(network.knn, pooled, near)
        planes = torch.stack([sums(near, weight, joined) for joined in torch.cat([series, learned], -1).unbind(-1)])
        b, log, smooth, log_smooth, square, three_days, month, same_hour = planes[:8]
        states = torch.stack([log - 3.5, 5 * (torch.log(b.clamp_min(0) + 5) - log),
                              3 * (square - log**2).clamp_min(1e-4).sqrt(), 4 * (log_smooth - log),
                              1.5 * (three_days - log), 1.5 * (month - log), 1.5 * (same_hour - log)])
        o = head_by_hand(network.head, torch.cat([states, planes[8:]]), clock, torch.cat([around, near.site], 1))
        difference = covariates.targets - torch.einsum("nk,nkc->nc", weight, covariates.stations[near.index.long()])
        effect = network.effect
        when = torch.cat([states.permute(1, 2, 0), clock.expand(TARGETS, HOURS, 6)], -1) @ effect.times.weight.T
        of_places = ((difference @ effect.places.weight.T)[:, None] * (when + effect.times.bias)).sum(-1)
        g, m = e * torch.sigmoid(o[1]), torch.sigmoid(o[2])
        b_g, l_g = (1 - g) * b + g * smooth, (1 - g) * log + g * log_smooth
        mixed = (1 - m) * b_g.clamp_min(0) + m * geo_mean(l_g + 0.25 * torch.tanh(o[3]).abs() * e)
        expected = mixed * torch.exp(0.6 * torch.tanh(e * o[0] + of_places))
        expected_scale = 0.35 * near.variance.sqrt()[:, None] * (expected + 20) * torch.exp(o[4].clamp(-4, 4)) + 0.3
    torch.testing.assert_close(estimate, expected, rtol=2e-4, atol=1e-2)
    torch.testing.assert_close(scale, expected_scale, rtol=1e-3, atol=1e-2)


def test_at_a_station_its_observation():
    """Kriging's weights there are 1 and 0, its variance 0."""
    network, near, (_, series, _) = lively_network(), neighbours(), day()
    weight = torch.zeros_like(near.weight)
    weight[:, 0] = 1
    estimate, scale = run(network, replace(near, weight=weight, variance=torch.zeros(TARGETS)))
    torch.testing.assert_close(estimate, series[near.index[:, 0].long(), :, 0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scale, torch.full_like(scale, 0.3))
    elsewhere, _ = run(network, replace(near, weight=weight))
    assert (elsewhere - estimate).abs().max() > 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_no_estimate_is_negative_and_every_scale_positive(seed):
    estimate, scale = run(lively_network(seed, small_sizes(COVARIATES)), neighbours(), seed, places(seed))
    assert (estimate >= 0).all() and (scale >= 0.3 - 1e-6).all()
    assert torch.isfinite(scale).all() and torch.isfinite(estimate).all()


def test_gradients_reach_every_parameter():
    network = lively_network(sizes=small_sizes(COVARIATES)).train()
    window, series, clock = day()
    estimate, scale = network(window, INNER, series, clock, neighbours(), places())
    (estimate.mean() + scale.log().mean()).backward()
    without = [name for name, parameter in network.named_parameters()
               if parameter.grad is None or not parameter.grad.abs().sum() > 0]
    assert set(without) <= {"encoder.pool.bias"}, without  # a constant added to every hour's score changes no softmax


@pytest.mark.parametrize("k", [1, 4, STATIONS])
def test_the_number_of_neighbours_is_free(k):
    estimate, scale = run(lively_network(), neighbours(k=k))
    assert estimate.shape == scale.shape == (TARGETS, HOURS) and torch.isfinite(estimate).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_farther_neighbours_changes_no_estimate(seed):
    """The first stays the nearest, as `Neighbourhood` has it: its distance is an input of its own."""
    near = neighbours()
    order = 1 + torch.rand((TARGETS, 4), generator=torch.Generator().manual_seed(seed)).argsort(1)
    order = torch.cat([torch.zeros((TARGETS, 1), dtype=torch.int64), order], 1)
    network = lively_network(sizes=small_sizes(COVARIATES))
    for first, second in zip(run(network, near, 0, places()), run(network, permuted(near, order), 0, places()),
                             strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)


def test_targets_do_not_see_each_other():
    network, near, covariates = lively_network(sizes=small_sizes(COVARIATES)), neighbours(), places()
    order = torch.tensor([7, 2, 4])
    some = NeighbourTensors(*(array[order] for array in (near.index, near.weight, near.variance, near.distance,
                                                         near.bearing)))
    of_some = replace(covariates, targets=covariates.targets[order])
    for whole, part in zip(run(network, near, 0, covariates), run(network, some, 0, of_some), strict=True):
        torch.testing.assert_close(whole[order], part, rtol=1e-4, atol=1e-3)


def test_the_order_of_the_stations_does_not_matter():
    network, near = lively_network(), neighbours()
    window, series, clock = day()
    order = torch.randperm(STATIONS, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)  # where each station went
    moved = replace(near, index=place[near.index.long()].int())
    with torch.no_grad():
        expected = network(window, INNER, series, clock, near)
        found = network(window[order], INNER, series[order], clock, moved)
    for first, second in zip(expected, found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)


def test_one_clock_for_all_targets_or_one_each():
    network, near, covariates = lively_network(sizes=small_sizes(COVARIATES)), neighbours(), places()
    window, series, clock = day()
    with torch.no_grad():
        shared = network(window, INNER, series, clock, near, covariates)
        own = network(window, INNER, series, clock.expand(TARGETS, -1, -1), near, covariates)
    torch.testing.assert_close(shared, own, rtol=1e-5, atol=1e-4)


def test_geometry_that_is_known_already_changes_nothing():
    network, near = lively_network(), neighbours()
    window, series, clock = day()
    with torch.no_grad():
        read = network.read(window, INNER, series)
        found = network.at_targets(read, clock, near, None, network.knn.neighbour_geometry(near))
    torch.testing.assert_close(found, run(network, near), rtol=0, atol=0)


def test_the_scale_grows_with_the_distance():
    """The same station series farther away: kriging's variance, and with it the scale, grows."""
    network = AQNet(small_sizes()).eval()
    lat, lon = np.array([36.0, 36.5, 37.0]), np.array([113.0, 113.5, 113.2])
    window, series, clock = day(stations=3)
    same = series[:1, :1].expand(3, HOURS, -1)
    scales = []
    for step in (0.1, 0.5, 1.0, 3.0):
        near = to_tensors(find_neighbourhood(lat, lon, [36.0 - step], [113.0], 3, Correlation()))
        assert near.distance[0, 0].item() == pytest.approx(step * geo.EARTH_RADIUS_KM * np.pi / 180, rel=1e-3)
        with torch.no_grad():
            scales.append(network(window, INNER, same, clock, near)[1][0, 0].item())
    assert scales == sorted(scales) and scales[0] < scales[-1]


# --- static covariates


def without(network, near):
    """The estimate of a network whose covariates are not known anywhere; and that they do tell something."""
    known, _ = run(network, near, 0, places())
    none, _ = run(network, near, 0, TargetCovariates(places().stations, torch.full((TARGETS, COVARIATES), torch.nan)))
    assert (known - none).abs().max() > 0.5
    return none


def test_a_place_like_its_neighbours_is_not_corrected_for_covariates():
    network, near = lively_network(sizes=small_sizes(COVARIATES)), neighbours()
    same = torch.tensor([1.5, -0.4])
    found, _ = run(network, near, 0, TargetCovariates(same.expand(STATIONS, -1), same.expand(TARGETS, -1)))
    torch.testing.assert_close(found, without(network, near), rtol=1e-4, atol=1e-3)


def test_a_covariate_without_a_value_at_a_target_has_no_effect():
    """Only there: the other covariate, and the other targets, count as before."""
    network, near = lively_network(sizes=small_sizes(COVARIATES)), neighbours()
    gaps = places().targets.clone()
    gaps[3], gaps[5, 0] = torch.nan, torch.nan
    known, _ = run(network, near, 0, places())
    found, _ = run(network, near, 0, replace(places(), targets=gaps))
    others = [n for n in range(TARGETS) if n not in (3, 5)]
    torch.testing.assert_close(found[others], known[others], rtol=0, atol=0)
    torch.testing.assert_close(found[3], without(network, near)[3], rtol=0, atol=0)
    assert not torch.equal(found[5], known[5]) and not torch.equal(found[5], without(network, near)[5])
