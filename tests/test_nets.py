"""The network against formulas written by hand, and what must hold for any weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import lively_network, small_sizes

from aqreanalysis import geo
from aqreanalysis.models.aqnet.analysis import to_tensors
from aqreanalysis.models.aqnet.knn import AnalysisKNN, NeighbourTensors, interpolate
from aqreanalysis.models.aqnet.network import (
    LOG_SHIFT,
    LOG_SILL,
    LOGS,
    SMOOTHED,
    AnalysisSizes,
    AQNet,
    recentre,
    shrink,
)
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood

pytestmark = pytest.mark.usefixtures("one_thread")

STATIONS, TARGETS, HOURS = 12, 9, 24
INNER = slice(12, 36)


def neighbours(k=5, seed=0, targets=TARGETS):
    rng = np.random.default_rng(seed)
    lat, lon, to_lat, to_lon = (rng.uniform(a, a + 4, n) for n in (STATIONS, targets) for a in (36, 113))
    return to_tensors(find_neighbourhood(lat, lon, to_lat, to_lon, k, Correlation()))


def permuted(near, order):
    """The same neighbours in another order, (n, k) each row its own."""
    moved = {name: torch.gather(getattr(near, name), 1, order) for name in ("index", "weight", "distance", "bearing")}
    return NeighbourTensors(variance=near.variance, **moved)


def day(seed=0, stations=STATIONS):
    """window, value, smooth, observed and clock of one day at random stations."""
    generator = torch.Generator().manual_seed(seed)
    window = torch.randn((stations, 48, 23), generator=generator)
    value, smooth = 60 + 30 * torch.randn((2, stations, HOURS), generator=generator).clamp(-1.9, 5)
    observed = (torch.rand((stations, HOURS), generator=generator) < 0.8).float()
    return window, value, smooth, observed, torch.randn((HOURS, 6), generator=generator)


def run(network, near, seed=0):
    window, *series = day(seed)
    with torch.no_grad():
        return network(window, INNER, *series, near)


def test_equation_1_by_hand():
    """Z' = softmax(Q K' / sqrt(d)) V + Z for each head, then the pooling, with plain matrix products."""
    sizes = AnalysisSizes(width=8, attention_heads=2, pooled=4, knn_heads=2, channels=3)
    encoder = lively_network(sizes=sizes).encoder
    window = day()[0]
    with torch.no_grad():
        pooled, series = encoder(window, INNER)
        z, _ = encoder.lstm(torch.nn.functional.gelu(window @ encoder.embed[0].weight.T + encoder.embed[0].bias))
        query, key, values = (z @ w.T + b for w, b in zip(encoder.attention.in_proj_weight.split(8),
                                                          encoder.attention.in_proj_bias.split(8), strict=True))
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            scores = query[..., head] @ key[..., head].transpose(1, 2) / 4**0.5
            shares = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
            heads.append(shares @ values[..., head])
        out = encoder.attention.out_proj
        z = torch.cat(heads, -1) @ out.weight.T + out.bias + z
        share = torch.exp(z @ encoder.pool.weight.T + encoder.pool.bias)
        expected = (share / share.sum(1, keepdim=True) * z).sum(1) @ encoder.day.weight.T + encoder.day.bias
        expected_series = z[:, 12:36] @ encoder.series.weight.T + encoder.series.bias
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(series, expected_series, rtol=1e-4, atol=1e-5)


def test_each_station_is_encoded_by_itself():
    encoder, (window, *_) = lively_network().encoder, day()
    with torch.no_grad():
        together = encoder(window, INNER)
        alone = encoder(window[3:4], INNER)
    for whole, part in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[3:4], part, rtol=1e-4, atol=1e-6)


def test_hours_of_the_window_by_number_or_slice():
    encoder, (window, *_) = lively_network().encoder, day()
    with torch.no_grad():
        _, whole = encoder(window, INNER)
        _, some = encoder(window, torch.tensor([12, 20, 35]))
    torch.testing.assert_close(some, whole[:, [0, 8, 23]], rtol=0, atol=0)


def weigh(knn, pooled, near):
    return knn(pooled, knn.neighbour(pooled), near, knn.neighbour_geometry(near))


@pytest.mark.parametrize("seed", range(3))
def test_neural_knn_weights_sum_to_one_and_are_positive(seed):
    network, near = lively_network(seed), neighbours(seed=seed)
    pooled = torch.randn((STATIONS, network.sizes.pooled), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weights, _ = weigh(network.knn, pooled, near)
    assert weights.shape == (network.sizes.knn_heads, TARGETS, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert (weights > 0).all()


def test_untrained_neural_knn_is_clipped_kriging():
    near = neighbours(k=8)
    assert (near.weight < 0).any()  # else nothing is clipped
    with torch.no_grad():
        weights, around = weigh(AnalysisKNN(pooled=4, hidden=16, heads=2), torch.randn(STATIONS, 4), near)
    prior = near.weight.clamp_min(0) + 0.01
    for head in weights:
        torch.testing.assert_close(head, prior / prior.sum(1, keepdim=True))
    assert around.shape == (TARGETS, 4)


def test_trained_neural_knn_is_not_only_kriging():
    """A station's pooled vector changes the weights: they are learned, not geometric."""
    network, near = lively_network(), neighbours()
    with torch.no_grad():
        one, _ = weigh(network.knn, torch.zeros(STATIONS, 4), near)
        other, _ = weigh(network.knn, torch.randn(STATIONS, 4), near)
    assert (one - other).abs().max() > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_neural_knn_follows_the_order_of_the_neighbours(seed):
    generator = torch.Generator().manual_seed(seed)
    network, near = lively_network(), neighbours()
    pooled = torch.randn((STATIONS, 4), generator=generator)
    order = torch.rand(near.index.shape, generator=generator).argsort(1)
    with torch.no_grad():
        weights, around = weigh(network.knn, pooled, near)
        moved, around_moved = weigh(network.knn, pooled, permuted(near, order))
    torch.testing.assert_close(moved, torch.gather(weights, 2, order.expand_as(weights)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(around_moved, around, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_farther_neighbours_changes_no_estimate(seed):
    """The first stays the nearest, as `Neighbourhood` has it: its distance is an input of its own."""
    near = neighbours()
    order = 1 + torch.rand((TARGETS, 4), generator=torch.Generator().manual_seed(seed)).argsort(1)
    order = torch.cat([torch.zeros((TARGETS, 1), dtype=torch.int64), order], 1)
    network = lively_network()
    for first, second in zip(run(network, near), run(network, permuted(near, order)), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)


def test_interpolate_is_a_sum_over_neighbours():
    near, series = neighbours(), torch.randn(STATIONS, 7)
    expected = torch.zeros(TARGETS, 7)
    for target in range(TARGETS):
        for place in range(5):
            expected[target] += near.weight[target, place] * series[near.index[target, place]]
    torch.testing.assert_close(interpolate(series, near.index, near.weight), expected, rtol=1e-5, atol=1e-5)


def kriged(near, values):
    """Kriging's weights times the neighbours' values, without the network's own sum."""
    return torch.einsum("nk,nkh->nh", near.weight, values[near.index]).clamp_min(0)


def test_untrained_network_stands_between_kriging_of_values_of_logarithms_and_of_smoothed_values():
    near, (_, value, smooth, *_) = neighbours(), day()
    estimate, scale = run(AQNet(small_sizes()).eval(), near)
    room = near.variance.sqrt()[:, None]
    base = kriged(near, value)
    logs = torch.einsum("nk,nkh->nh", near.weight, (value + LOG_SHIFT).log()[near.index])
    # the mean of a log-normal
    geometric = (torch.exp(logs + LOG_SILL / 2 * near.variance[:, None]) - LOG_SHIFT).clamp_min(0)
    expected = base + torch.tanh(4 * room) * (LOGS * (geometric - base) + SMOOTHED * (kriged(near, smooth) - base))
    expected = expected.clamp_min(0)
    torch.testing.assert_close(estimate, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scale, room * (base + 20) * 0.35 + 0.3, rtol=1e-5, atol=1e-4)


def test_a_field_of_one_value_is_that_value_and_the_log_normal_part_before_training():
    window, value, _, observed, clock = day()
    same = torch.full_like(value, 73.0)
    with torch.no_grad():
        near = neighbours()
        estimate, _ = AQNet(small_sizes()).eval()(window, INNER, same, same, observed, clock, near)
    more = (73 + LOG_SHIFT) * torch.expm1(LOG_SILL / 2 * near.variance)  # times exp of half the unknown variance
    expected = 73 + torch.tanh(4 * near.variance.sqrt()) * LOGS * more
    torch.testing.assert_close(estimate, expected[:, None].expand_as(estimate), rtol=1e-5, atol=1e-3)


def test_the_correction_by_hand():
    """base + sqrt(variance) (base + 20) out0 + tanh(4 sqrt(variance)) sum of out_d departure_d; and the scale."""
    base, departures = torch.tensor([[50.0]]), torch.tensor([[[6.0]], [[-4.0]]])
    out = torch.tensor([0.1, 0.5, 0.2, -0.3])[:, None, None]
    estimate, scale = AQNet._correct(out, base, base + 20, departures / 70, torch.tensor([0.25]))
    assert estimate.item() == pytest.approx(50 + 0.5 * 70 * 0.1 + np.tanh(2) * (0.2 * 6 + 0.3 * 4))
    assert scale.item() == pytest.approx(0.5 * 70 * 0.35 * np.exp(0.5) + 0.3)


def test_nothing_is_corrected_where_kriging_is_sure():
    network, near = lively_network(), neighbours()
    corrected, _ = run(network, near)
    sure = NeighbourTensors(near.index, near.weight, torch.zeros(TARGETS), near.distance, near.bearing)
    estimate, scale = run(network, sure)
    kriging = kriged(near, day()[1])
    torch.testing.assert_close(estimate, kriging, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scale, torch.full_like(scale, 0.3))
    assert (corrected - kriging).abs().max() > 1  # elsewhere it is


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_no_estimate_is_negative_and_every_scale_positive(seed):
    estimate, scale = run(lively_network(seed), neighbours(), seed)
    assert (estimate >= 0).all() and (scale >= 0.3 - 1e-6).all() and torch.isfinite(scale).all()


def test_gradients_reach_every_parameter():
    network = lively_network().train()
    window, *series = day()
    estimate, scale = network(window, INNER, *series, neighbours())
    (estimate.mean() + scale.log().mean()).backward()
    without = [name for name, parameter in network.named_parameters()
               if parameter.grad is None or not parameter.grad.abs().sum() > 0]
    # a constant added to every neighbour's score, or to every hour's share, changes no softmax; so does the keys' bias
    assert set(without) <= {"knn.score.bias", "encoder.pool.bias"}, without


@pytest.mark.parametrize("k", [1, 4, STATIONS])
def test_the_number_of_neighbours_is_free(k):
    estimate, scale = run(lively_network(), neighbours(k=k))
    assert estimate.shape == scale.shape == (TARGETS, HOURS) and torch.isfinite(estimate).all()


def test_targets_do_not_see_each_other():
    network, near = lively_network(), neighbours()
    some = NeighbourTensors(*(array[2:5] for array in (near.index, near.weight, near.variance, near.distance,
                                                       near.bearing)))
    for whole, part in zip(run(network, near), run(network, some), strict=True):
        torch.testing.assert_close(whole[2:5], part, rtol=1e-4, atol=1e-3)


def test_the_order_of_the_stations_does_not_matter():
    network, near = lively_network(), neighbours()
    window, value, smooth, observed, clock = day()
    order = torch.randperm(STATIONS, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)  # where each station went
    moved = NeighbourTensors(place[near.index], near.weight, near.variance, near.distance, near.bearing)
    with torch.no_grad():
        expected = network(window, INNER, value, smooth, observed, clock, near)
        found = network(window[order], INNER, value[order], smooth[order], observed[order], clock, moved)
    for first, second in zip(expected, found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)


def test_one_clock_for_all_targets_or_one_each():
    network, near = lively_network(), neighbours()
    window, *series, clock = day()
    with torch.no_grad():
        shared = network(window, INNER, *series, clock, near)
        own = network(window, INNER, *series, clock.expand(TARGETS, -1, -1), near)
    torch.testing.assert_close(shared, own, rtol=0, atol=0)


def test_features_of_neighbours_by_hand():
    near = NeighbourTensors(torch.tensor([[0, 1]]), torch.tensor([[0.75, 0.25]]), torch.tensor([0.5]),
                            torch.tensor([[10.0, 30.0]]), torch.tensor([[0.0, np.pi / 2]], dtype=torch.float32))
    spread = 0.5 * (np.log(0.52) + 1.5)
    expected = [[[np.log(2) - 1.5, 0, 1, 3.0, spread, 10 / 21 - 1], [np.log(4) - 1.5, 1, 0, 1.0, spread, 30 / 21 - 1]]]
    np.testing.assert_allclose(near.features, expected, atol=1e-6)


def test_kriging_over_the_head_is_not_flattered_by_distance():
    """The same station series farther away: kriging's variance, and with it the scale, grows."""
    network = AQNet(small_sizes()).eval()
    lat, lon = np.array([36.0, 36.5, 37.0]), np.array([113.0, 113.5, 113.2])
    window, value, _, observed, clock = day(stations=3)
    scales = []
    for step in (0.1, 0.5, 1.0, 3.0):
        near = to_tensors(find_neighbourhood(lat, lon, [36.0 - step], [113.0], 3, Correlation()))
        assert near.distance[0, 0].item() == pytest.approx(step * geo.EARTH_RADIUS_KM * np.pi / 180, rel=1e-3)
        with torch.no_grad():
            same = torch.full_like(value, 60.0)
            scales.append(network(window, INNER, same, same, observed, clock, near)[1][0, 0].item())
    assert scales == sorted(scales) and scales[0] < scales[-1]


def test_a_share_of_what_was_learned():
    """Linear in the share between the untrained and the trained head; the scale is not touched."""
    trained, near = lively_network(), neighbours()
    with torch.no_grad():
        for part, start in ((trained.head.out.bias, AQNet(small_sizes()).head.out.bias),):
            part.copy_(start + 0.01 * part)  # small, so that no estimate is clipped at 0
        trained.head.out.weight.mul_(0.01)
    estimates = []
    for share in (0.0, 0.25, 1.0):
        network = lively_network()
        network.load_state_dict(trained.state_dict())
        shrink(network.head, share)
        estimates.append(run(network, near))
    (none, scale_0), (quarter, scale_1), (whole, _) = estimates
    torch.testing.assert_close(quarter, none + 0.25 * (whole - none), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(none, run(AQNet(small_sizes()).eval(), near)[0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scale_0, scale_1, rtol=0, atol=0)
    assert (whole - none).abs().max() > 0.1


def test_recentre_adds_a_constant_in_units_of_room():
    network, near = AQNet(small_sizes()).eval(), neighbours()
    before, _ = run(network, near)
    recentre(network.head, 0.02)
    after, _ = run(network, near)
    room = near.variance.sqrt()[:, None] * (kriged(near, day()[1]) + 20)
    torch.testing.assert_close(after[before > 0], (before + 0.02 * room)[before > 0], rtol=1e-5, atol=1e-3)
