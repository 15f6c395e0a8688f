"""Graphs of places and the messages along them: closed forms of diffusion and advection (models/graph)."""

import warnings

import numpy as np
import pytest

from aqreanalysis import geo
from aqreanalysis.models.graph.graph import DECAY_KM, LEAST_KM, advection_factor, closeness, edges_between

KM_PER_DEGREE = geo.EARTH_RADIUS_KM * np.pi / 180


def advection_rates(edges, u, v, decay_km=DECAY_KM, per_distance=True):
    """The network's own rates (..., edges) of winds (..., sources), in double precision."""
    import torch

    from aqreanalysis.models.graph.links import Links

    factor = advection_factor(edges.distance, decay_km, per_distance)
    links = Links(*map(torch.as_tensor, (edges.target, edges.source, closeness(edges.distance), factor, edges.east,
                                         edges.north)), edges.targets, edges.sources, dense=True)
    wind = torch.as_tensor(np.stack([u, v], axis=-1))
    return links.rates(wind.reshape(-1, *wind.shape[-2:])).reshape(*wind.shape[:-2], -1).numpy()


def chain(spacing_km, count=60):
    """Places along the equator, eastwards."""
    return np.zeros(count), np.arange(count) * spacing_km / KM_PER_DEGREE


@pytest.mark.parametrize("spacing", [5.0, 20.0])
def test_a_puff_in_uniform_wind_moves_by_wind_times_time(spacing):
    """On a chain, with each place's share per hour 3.6 |u| cos(alpha) / d handed to the next one: 10 hours of 2 m/s are
    72 km, whatever the spacing. Without the division by d it is so many places, however far they are apart."""
    lat, lon = chain(spacing)
    edges = edges_between(lat, lon, lat, lon, reach_km=1.5 * spacing, among=True)
    u, v = np.full(60, 2.0), np.zeros(60)
    moved = {}
    for per_distance in (True, False):
        share = edges.matrix(3.6 * advection_rates(edges, u, v, decay_km=np.inf, per_distance=per_distance))
        puff, steps = np.eye(60)[5], 1000
        for _ in range(steps):
            handed = share * puff * (10.0 if per_distance else 0.1) / steps
            puff = puff + handed.sum(axis=1) - handed.sum(axis=0)
        moved[per_distance] = spacing * (puff @ np.arange(60) / puff.sum() - 5)
    assert moved[True] == pytest.approx(72.0, rel=1e-3)
    assert moved[False] == pytest.approx(0.72 * spacing, rel=1e-2)


def test_the_earlier_transcription_is_the_released_formula_times_distance():
    lat, lon = np.random.default_rng(0).uniform(36, 40, (2, 30))
    edges = edges_between(lat, lon, lat, lon, among=True)
    u, v = np.random.default_rng(1).normal(0, 3, (2, 7, 30))
    released, earlier = (advection_rates(edges, u, v, per_distance=chosen) for chosen in (True, False))
    np.testing.assert_allclose(earlier, released * np.maximum(edges.distance, LEAST_KM))


def test_edges_by_hand():
    """Places 0, 1 and 3 degrees east of the first: 111.2 and 222.4 km apart; 200 km reach. A wind from the west blows
    from the first to the second and not back; one from the south blows to neither."""
    edges = edges_between([0, 0, 0], [0, 1, 3], [0, 0, 0], [0, 1, 3], among=True)
    assert set(zip(edges.source.tolist(), edges.target.tolist(), strict=True)) == {(0, 1), (1, 0)}
    np.testing.assert_allclose(edges.distance, KM_PER_DEGREE)
    to_the_east = edges.target > edges.source
    rates = advection_rates(edges, np.full(3, 4.0), np.zeros(3))
    assert rates[to_the_east] == pytest.approx(4.0 / KM_PER_DEGREE * np.exp(-KM_PER_DEGREE / 100))
    assert rates[~to_the_east] == 0
    np.testing.assert_allclose(advection_rates(edges, np.zeros(3), np.full(3, 4.0)), 0.0, atol=1e-12)
    assert closeness(np.array([0.0, 50.0])) == pytest.approx([1.0, np.exp(-0.5)])


def turned(lat, lon, angle):
    """Places turned by an angle, anticlockwise, about the axis through (0, 0), and how east and north turn at each."""
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    there = geo.unit_vectors(lat, lon) @ turn.T
    to_lat, to_lon = np.degrees(np.arcsin(there[:, 2])), np.degrees(np.arctan2(there[:, 1], there[:, 0]))

    def axes(lat, lon):
        y, x = np.radians(lat), np.radians(lon)
        return (np.stack([-np.sin(x), np.cos(x), 0 * x], -1),
                np.stack([-np.sin(y) * np.cos(x), -np.sin(y) * np.sin(x), np.cos(y)], -1))

    return to_lat, to_lon, [a @ turn.T for a in axes(lat, lon)], axes(to_lat, to_lon)


def test_turning_the_map_and_the_wind_together_changes_nothing():
    rng = np.random.default_rng(2)
    lat, lon = rng.uniform(-3, 3, (2, 25))
    u, v = rng.normal(0, 4, (2, 25))
    to_lat, to_lon, carried, axes = turned(lat, lon, 2.0)
    wind = u[:, None] * carried[0] + v[:, None] * carried[1]
    before = edges_between(lat, lon, lat, lon, among=True)
    after = edges_between(to_lat, to_lon, to_lat, to_lon, among=True)
    np.testing.assert_array_equal(before.source, after.source)
    np.testing.assert_allclose(advection_rates(after, (wind * axes[0]).sum(1), (wind * axes[1]).sum(1)),
                               advection_rates(before, u, v), atol=1e-9)


@pytest.fixture
def network():
    """Links among 12 places, winds and states; a third of the places does not send."""
    import torch

    from aqreanalysis.models.graph.links import Among, Links

    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(38, 40, 12), rng.uniform(115, 117, 12)
    edges = edges_between(lat, lon, lat, lon, among=True)
    wind = torch.tensor(rng.normal(0, 3, (5, 12, 2)), dtype=torch.float32)
    sending = torch.tensor(rng.random((5, 12)) < 0.67, dtype=torch.float32)
    states = torch.tensor(rng.normal(0, 1, (5, 12, 4)), dtype=torch.float32)
    return edges, closeness(edges.distance), wind, sending, states, Among, Links


def test_rows_of_a_kernel_sum_to_one(network):
    """What everybody says arrives as it is said: by averages, and by advection where any wind blows from a sender."""
    import torch

    edges, weight, wind, sending, states, Among, Links = network
    among = Among(Links.of(edges, weight), sending, wind)
    ones = torch.ones_like(states)
    np.testing.assert_allclose(among("average", ones), 1.0, rtol=1e-5)
    blown = among("advection", ones).numpy()
    rates = edges.matrix(advection_rates(edges, wind[0, :, 0].numpy(), wind[0, :, 1].numpy())) * sending[0].numpy()
    np.testing.assert_allclose(blown[0], np.broadcast_to((rates.sum(1) > 0)[:, None], (12, 4)), atol=1e-5)


def test_a_lonely_place_gets_the_average_of_who_is_in_reach(network):
    """150 km from its only station, ten lengths of the kernel: exp(-50) of weight, and all of it."""
    import torch

    *_, Among, Links = network
    there = 150.0 / KM_PER_DEGREE
    edges = edges_between([0, 0], [0, there], [0, 0], [0, there], among=True)
    among = Among(Links.of(edges, closeness(edges.distance, 15.0)), torch.tensor([[1.0, 0.0]]))
    found = among("average", torch.tensor([[[3.0], [7.0]]]))
    assert found.ravel().tolist() == pytest.approx([0.0, 3.0], rel=1e-5)


def test_diffusion_is_the_normalised_kernel(network):
    """D^-1/2 A D^-1/2 of the places that send, written out as matrices."""
    edges, weight, _, sending, states, Among, Links = network
    found = Among(Links.of(edges, weight), sending)("diffusion", states).numpy()
    for number in range(5):
        full = edges.matrix(weight) * sending[number].numpy()
        degree = full.sum(axis=1)
        expected = np.diag(degree**-0.5) @ full @ np.diag(degree**-0.5) @ states[number].numpy()
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-5)


def test_sparse_is_dense(network):
    edges, weight, wind, sending, states, Among, Links = network
    dense, sparse = (Among(Links.of(edges, weight, dense=chosen), sending, wind) for chosen in (True, False))
    for kernel in ("diffusion", "average", "walk", "advection"):
        np.testing.assert_allclose(sparse(kernel, states), dense(kernel, states), rtol=1e-4, atol=1e-5)


def test_torchs_warning_of_sparse_matrices_is_filtered_once(monkeypatch):
    """Heard by nobody where torch says it, which it does of the first matrix alone; other filters stay as they are."""
    import torch

    from aqreanalysis.models.graph import links

    edges = edges_between(*chain(5.0, 3), *chain(5.0, 3), reach_km=6.0, among=True)
    graph = links.Links.of(edges, np.ones(len(edges.target)), dense=False)
    filtered, catch = [], warnings.catch_warnings
    links.hear_that_csr_is_young.cache_clear()
    with catch(record=True) as heard:
        warnings.simplefilter("always")
        torch.set_warn_always(True)  # as in a process that has made none
        try:
            links.hear_that_csr_is_young()
        finally:
            torch.set_warn_always(False)
        monkeypatch.setattr(links.warnings, "catch_warnings", lambda: filtered.append(1) or catch())
        for _ in range(3):
            graph.sparse(graph.weight)
        assert not filtered and not heard
        links.hear_that_csr_is_young.cache_clear()
        graph.sparse(graph.weight)
    assert filtered == [1]


def test_without_wind_nothing_is_blown_and_diffusion_is_left(network):
    """With zero wind the advected message is 0, so that SPIN's is its gate times diffusion."""
    import torch

    from aqreanalysis.models.graph.spin import Spin, SpinSizes

    edges, weight, wind, sending, states, Among, Links = network
    links = Links.of(edges, weight)
    calm = Among(links, sending, torch.zeros_like(wind))
    assert not calm("advection", states).any()
    torch.manual_seed(0)
    spin = Spin(SpinSizes(width=8))
    h_temp, value = torch.rand(5, 12, 7), torch.rand(5, 12) * sending
    found = spin.propagate(h_temp, value, Among(links, sending, torch.zeros_like(wind)))
    hidden = torch.cat([h_temp, value[..., None]], -1)
    for gates in spin.gates:
        message = Among(links, sending)("diffusion", hidden)
        gate = torch.sigmoid(message @ gates.weight[:, :8].T + gates.bias)
        hidden = torch.relu(hidden + gate * message)
    np.testing.assert_allclose(found.detach(), spin.read_out(hidden)[..., 0].detach(), rtol=1e-4, atol=1e-5)
