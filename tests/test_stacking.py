"""The stack: its interpolations against formulas, its fit against rows whose coefficients are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.models import advection, stacking, station_side
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import neighbourhood
from aqreanalysis.training import stack

pytestmark = pytest.mark.usefixtures("one_thread")

STATIONS, TARGETS, HOURS, K = 30, 11, 24, 8


def places(seed=0, nugget=None, at_stations=False):
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(36, 39, STATIONS), rng.uniform(114, 118, STATIONS)
    to_lat, to_lon = (lat[:TARGETS], lon[:TARGETS]) if at_stations else (rng.uniform(36, 39, TARGETS),
                                                                          rng.uniform(114, 118, TARGETS))
    hood = neighbourhood(lat, lon, to_lat, to_lon, K, Correlation())
    lattice = advection.Lattice.around(to_lat, to_lon)
    nugget = np.full(STATIONS, 0.02, np.float32) if nugget is None else nugget
    return stacking.sites(lat, lon, to_lat, to_lon, hood, nugget, lattice), len(lattice.lat)


def series(seed=0, nodes=1):
    generator = torch.Generator().manual_seed(seed)
    value = 60 + 30 * torch.randn((STATIONS, HOURS), generator=generator).clamp(-1.9, 5)
    smooth = 60 + 30 * torch.randn((STATIONS, HOURS), generator=generator).clamp(-1.9, 5)
    return value, smooth, 0.1 * torch.randn((len(advection.LAGS), nodes, HOURS), generator=generator)


def test_every_set_of_weights_sums_to_one():
    sites, _ = places()
    for name in ("exact", "main", "wide", "narrow", "positive"):
        torch.testing.assert_close(getattr(sites, name).sum(1), torch.ones(TARGETS), rtol=1e-4, atol=1e-4)
    assert (sites.positive > 0).all()


def test_kriging_that_filters_noise_by_hand():
    """Two stations, 30 and 60 km from the target and 90 km apart; weights from the 3 x 3 system by Cramer's rule."""
    among, to_target = np.array([[[0.0, 90.0], [90.0, 0.0]]]), np.array([[30.0, 60.0]])
    nugget = np.array([[0.02, 0.10]])
    c = lambda h: np.exp(-h / 60)  # noqa: E731
    # minimise: w1 = (c11' - c12 + g1 - g2) / (c11 + c22 - 2 c12) with w1 + w2 = 1
    first = ((1 + 0.10) - c(90) + c(30) - c(60)) / ((1 + 0.02) + (1 + 0.10) - 2 * c(90))
    found = stacking._weights(stacking.covariance(stacking.NARROW, among),
                              stacking.covariance(stacking.NARROW, to_target), nugget)
    np.testing.assert_allclose(found, [[first, 1 - first]], rtol=1e-5)


def test_a_noisy_station_weighs_less():
    quiet, _ = places()
    noisy = np.full(STATIONS, 0.02, np.float32)
    who = int(quiet.index[0, quiet.main[0].argmax()])
    noisy[who] = 0.16
    loud, _ = places(nugget=noisy)
    at = loud.index == who
    assert (loud.main[at].abs() < quiet.main[at].abs()).float().mean() > 0.9
    torch.testing.assert_close(loud.exact, quiet.exact, rtol=0, atol=0)


def test_a_field_of_one_value_has_no_departure():
    sites, nodes = places()
    same = torch.full((STATIONS, HOURS), 73.0)
    base, exact, found = stacking.departures(sites, same, same, torch.zeros(len(advection.LAGS), nodes, HOURS))
    torch.testing.assert_close(base, torch.full((TARGETS, HOURS), 73.0), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(exact, base, rtol=1e-4, atol=1e-2)
    assert len(found) == len(stacking.DEPARTURES)
    for name, one in zip(stacking.DEPARTURES, found, strict=True):
        np.testing.assert_allclose(one, 0, atol=1e-2, err_msg=name)


def test_departures_by_plain_sums():
    sites, nodes = places()
    value, smooth, moved = series(nodes=nodes)
    base, exact, found = stacking.departures(sites, value, smooth, moved)
    v, s, index = value.numpy(), smooth.numpy(), sites.index.numpy()
    total = lambda weight, a: np.einsum("nk,nkh->nh", weight.numpy(), a[index])  # noqa: E731
    back = lambda logs, shift: np.maximum(np.exp(logs) - shift, 0)  # noqa: E731
    smoothed, logs15 = np.maximum(total(sites.main, s), 0), back(total(sites.main, np.log(s + 15)), 15)
    b = (smoothed + logs15) / 2
    mean = total(sites.positive, v)
    corners = np.einsum("nc,nch->nh", sites.between.numpy(), moved[0].numpy()[sites.corner.numpy()])
    expected = {"kriging": np.maximum(total(sites.exact, v), 0) - b, "smooth": smoothed - b,
                "logs": back(total(sites.main, np.log(s + 5)), 5) - b,
                "wide": back(total(sites.wide, np.log(s + 15)), 15) - b,
                "narrow": back(total(sites.narrow, np.log(s + 15)), 15) - b,
                "spread": np.sqrt(np.maximum(total(sites.positive, v**2) - mean**2, 0)),
                "advected_2h": corners * (b + 15)}
    np.testing.assert_allclose(base, b, rtol=1e-4, atol=1e-3)
    assert set(expected) == set(stacking.DEPARTURES)
    for name, one in zip(stacking.DEPARTURES, found, strict=True):
        np.testing.assert_allclose(one, expected[name] / (b + 20), rtol=2e-3, atol=2e-4, err_msg=name)


def test_hats_by_hand():
    """1 at its own knot, linear in log(variance + 0.01) between, flat outside."""
    knots = torch.tensor(stacking.VARIANCE_KNOTS)
    torch.testing.assert_close(stacking.hats(knots), torch.eye(4), rtol=1e-5, atol=1e-5)
    middle = torch.sqrt((knots[1] + 0.01) * (knots[2] + 0.01)) - 0.01
    torch.testing.assert_close(stacking.hats(middle[None]), torch.tensor([[0, 0.5, 0.5, 0]]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stacking.hats(torch.tensor([0.0, 5.0])), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_at_a_station_exact_kriging_stands_and_nothing_is_negative(seed):
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn((4, 2, len(stacking.DEPARTURES) + 1), generator=generator)
    sites, nodes = places(seed, at_stations=True)
    value, smooth, moved = series(seed, nodes)
    found = stacking.stacked(coefficients, sites, value, smooth, moved)
    torch.testing.assert_close(found.stack, value[:TARGETS], rtol=1e-4, atol=1e-2)
    away, nodes = places(seed)
    stack_ = stacking.stacked(coefficients, away, *series(seed, nodes)).stack
    assert (stack_ >= 0).all() and torch.isfinite(stack_).all()


def test_the_stack_by_hand():
    """One target in the middle of two knots: base + (base + 20) (half of each knot's shares, times level)."""
    n = len(stacking.DEPARTURES)
    coefficients = torch.zeros(4, 2, n + 1)
    coefficients[1, 0, 0], coefficients[2, 0, 0] = 0.2, 0.6          # kriging
    coefficients[1, 1, 1], coefficients[2, 1, 1] = 0.5, -0.1         # smooth, by level
    coefficients[1:3, 0, n] = 0.01                                   # the constant
    base, exact = torch.tensor([[45.0]]), torch.tensor([[50.0]])
    found = [torch.zeros(1, 1) for _ in range(n)]
    found[0], found[1] = torch.tensor([[5 / 65]]), torch.tensor([[-0.04]])
    variance = torch.tensor([np.sqrt(0.17 * 0.34) - 0.01], dtype=torch.float32)
    result = stacking.combined(coefficients, variance, base, exact, found)
    level = np.log(50) - 3.5
    expected = 45 + 65 * (0.4 * 5 / 65 + 0.2 * level * -0.04 + 0.01)
    assert result.stack.item() == pytest.approx(expected, rel=1e-5)
    assert result.kriging.item() == 50.0 and result.told.shape == (1, 1, len(stacking.TOLD))


# --- the fit


def test_known_coefficients_are_found_again():
    rng = np.random.default_rng(0)
    n, d = 60_000, len(stacking.DEPARTURES)
    base, variance = rng.uniform(5, 200, n).astype("f4"), rng.uniform(0.08, 0.7, n).astype("f4")
    departures = rng.normal(0, 0.3, (n, d)).astype("f4")
    wanted = 0.3 * rng.normal(size=(4, 2, d + 1)) * stacking.taking_part().numpy()
    rows = stack.Rows(base, departures, variance, base)
    relative = stack.design_of(rows) @ wanted.ravel() + rng.laplace(0, 0.05, n)
    rows = stack.Rows(base, departures, variance, (base + (base + 20) * relative).astype("f4"))
    found = stack.solve(rows).numpy()
    said, truth = (stack.design_of(rows) @ some.reshape(-1) for some in (found, wanted))
    assert np.abs(said - truth).mean() < 0.05 * truth.std()  # the ridge moves coefficients that do the same
    assert (found[0, :, stacking.ADVECTED:-1] == 0).all() and (wanted[1:, :, stacking.ADVECTED:-1] != 0).all()


def test_a_few_wild_truths_do_not_carry_the_fit_away():
    rng = np.random.default_rng(1)
    n, d = 20_000, len(stacking.DEPARTURES)
    base, variance = np.full(n, 50.0, "f4"), np.full(n, 0.16, "f4")
    departures = rng.normal(0, 0.3, (n, d)).astype("f4")
    truth = 50 + 70 * 0.5 * departures[:, 0] + rng.normal(0, 2, n)
    truth[:20] += 3000.0
    found = stack.solve(stack.Rows(base, departures, variance, truth.astype("f4"))).numpy()
    assert found[1, 0, 0] + (np.log(55) - 3.5) * found[1, 1, 0] == pytest.approx(0.5, abs=0.03)


# --- how noisy a station is


def test_the_nugget_of_a_noisy_station():
    """Residuals with 1, 2 and 3 times the spread of the others: 1, 4 and (cut) 8 times their nugget."""
    rng = np.random.default_rng(0)
    left_out = np.full((4000, 12), 40.0)
    spread = np.ones(12)
    spread[3], spread[5], spread[7] = 2.0, 3.0, 0.1
    observed = left_out + 60 * 0.05 * spread * rng.normal(size=left_out.shape)
    observed[24:, 9] = np.nan
    observed[23:, 10] = np.nan  # fewer than a day's hours say nothing
    nugget = station_side.station_nugget(observed, left_out, np.full(12, 0.1))
    np.testing.assert_allclose(nugget[[0, 1, 2, 4, 6]], 0.02, rtol=0.1)
    np.testing.assert_allclose(nugget[3], 0.08, rtol=0.1)
    np.testing.assert_allclose(nugget[[5, 7, 10]], [0.16, 0.004, 0.02], rtol=1e-6)


def test_a_constant_bias_is_not_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 8))
    left_out = np.full((500, 8), 40.0)
    plain, biased = (station_side.station_nugget(left_out + noise + bias, left_out, np.full(8, 0.1))
                     for bias in (0.0, np.arange(8) * 5.0))
    np.testing.assert_allclose(plain, biased, rtol=1e-4)


def test_without_residuals_all_are_alike():
    nothing = np.full((10, 3), np.nan)
    np.testing.assert_allclose(station_side.station_nugget(nothing, nothing, np.ones(3)), 0.02, rtol=1e-6)
