"""Air that moves: displacements, judges, and what is gained where a field is carried over a gap in the network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.models import advection
from aqreanalysis.models.geostatistics import Correlation

pytestmark = pytest.mark.usefixtures("one_thread")

MARGIN = advection.MARGIN_HOURS
LAG = advection.LAGS[0]


def test_displacements_and_their_opposites():
    d = advection.displacements()
    assert d.shape == (37, 2)
    np.testing.assert_array_equal(d[0], 0)
    np.testing.assert_allclose(np.hypot(*d[1:].T), np.repeat([25.0, 50.0, 90.0], 12))
    np.testing.assert_allclose(d[advection.opposites()], -d, atol=1e-9)
    np.testing.assert_allclose(d[1], [25, 0], atol=1e-9)   # east first
    np.testing.assert_allclose(d[4], [0, 25], atol=1e-9)   # then round by north


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_lattice_is_bilinear(seed):
    """a + b lat + c lon + d lat lon is found exactly, wherever the targets lie; a target on a node is that node."""
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-40, 40, 9), rng.uniform(100, 130, 9)
    lat[0], lon[0] = 31.5, 117.0
    lattice = advection.Lattice.around(lat, lon)
    a, b, c, d = rng.normal(size=4)
    field = lambda y, x: a + b * y + c * x + d * x * y / 100  # noqa: E731
    found = (field(lattice.lat, lattice.lon)[lattice.corner] * lattice.weight).sum(axis=1)
    np.testing.assert_allclose(found, field(lat, lon), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(lattice.weight.sum(axis=1), 1, rtol=1e-6)
    node = lattice.corner[0, lattice.weight[0].argmax()]
    assert (lattice.lat[node], lattice.lon[node]) == (31.5, 117.0)
    distinct = {*zip(lattice.lat, lattice.lon, strict=True)}
    assert len(distinct) == len(lattice.lat) and ((lattice.lat * 2) % 1 == 0).all()


def test_the_nodes_of_a_target_do_not_depend_on_the_others():
    one, many = advection.Lattice.around([36.2], [114.7]), advection.Lattice.around([36.2, 41.0], [114.7, 110.0])
    for name in ("lat", "lon"):
        np.testing.assert_array_equal(getattr(one, name)[one.corner[0]], getattr(many, name)[many.corner[0]])


def network(step=0.4, hole=None, radius=100.0):
    lat, lon = (a.ravel() for a in np.meshgrid(np.arange(34, 40.1, step), np.arange(112, 120.1, step)))
    keep = np.ones(lat.size, bool) if hole is None else geo.distance_km(lat, lon, *hole) > radius
    return lat[keep], lon[keep]


def test_stations_near_by_take_no_part():
    lat, lon = network(0.25)
    place = np.array([37.0]), np.array([116.0])
    fields = advection.displaced(lat, lon, *place, Correlation(), alone_km=40.0)
    used = fields.index[fields.weight != 0]
    assert geo.distance_km(lat[used], lon[used], *place).min() > 40
    assert fields.known.all() and fields.weight.shape == (37, 1, 20)
    torch.testing.assert_close(fields.weight.sum(-1), torch.ones(37, 1), rtol=1e-5, atol=1e-5)
    free = advection.displaced(lat, lon, *place, Correlation())
    assert geo.distance_km(lat[free.index[0, 0]], lon[free.index[0, 0]], *place).min() < 20


def test_a_town_by_itself_judges_nothing():
    lat, lon = np.array([36.0, 36.1, 36.0]), np.array([114.0, 114.0, 114.1])
    fields = advection.displaced(lat, lon, lat, lon, Correlation(), alone_km=40.0)
    assert not fields.known.any() and (fields.weight == 0).all()
    lattice = advection.Lattice.around([36.0], [114.0])
    judges = advection.judges(lat, lon, lattice, Correlation())
    series = torch.randn((3, 24 + 2 * MARGIN), generator=torch.Generator().manual_seed(0))
    assert (advection.departures(judges, series, series) == 0).all()  # nobody says, so nothing is moved


def departures(lat, lon, at_lat, at_lon, series):
    lattice = advection.Lattice.around(at_lat, at_lon)
    judges = advection.judges(lat, lon, lattice, Correlation())
    found = advection.departures(judges, torch.from_numpy(series), torch.from_numpy(series))
    return np.einsum("nc,lnch->lnh", lattice.weight, found.numpy()[:, lattice.corner])


def wave(lat, lon, hours, east_km_per_hour, length_km=350.0):
    """A plane wave of the logarithm that moves east: float32 (places, hours)."""
    x = np.asarray(lon)[:, None] * advection.DEGREE_KM * np.cos(np.radians(37.0))
    return np.sin(2 * np.pi * (x - east_km_per_hour * np.asarray(hours)[None]) / length_km).astype(np.float32)


@pytest.mark.parametrize("speed", [12.5, 25.0, -12.5])
def test_what_moves_is_found_again_in_a_gap_of_the_network(speed):
    """25 or 50 km in the lag of 2 h, over a hole of 100 km: what was seen upwind mends some of the middle."""
    middle = (37.0, 116.0)
    lat, lon = network(hole=middle)
    hours = np.arange(24 + 2 * MARGIN)
    inner = slice(MARGIN, MARGIN + 24)
    series = wave(lat, lon, hours, speed)
    truth = wave([middle[0]], [middle[1]], hours, speed)[0, inner]
    still = advection.displaced(lat, lon, *(np.array([a]) for a in middle), Correlation())
    kriged = still.of(torch.from_numpy(series))[0, 0, inner].numpy()
    (moved,) = departures(lat, lon, [middle[0]], [middle[1]], series)[:, 0]
    before, after = np.abs(kriged - truth).mean(), np.abs(kriged + moved - truth).mean()
    assert before > 0.1 and after < 0.85 * before


def test_what_stands_still_is_left_alone():
    lat, lon = network(0.8)
    series = np.repeat(np.sin(lat * 3 + lon)[:, None], 24 + 2 * MARGIN, axis=1).astype(np.float32)
    same = np.full_like(series, 3.3)
    np.testing.assert_allclose(departures(lat, lon, [36.6], [115.3], same), 0, atol=1e-5)
    fields = advection.displaced(lat, lon, lat, lon, Correlation())
    departure = advection._departure(fields.of(torch.from_numpy(series)), torch.from_numpy(advection.opposites()), LAG,
                                     slice(MARGIN, MARGIN + 24))
    assert (departure[0] == 0).all() and departure.abs().max() > 0.1  # not moved: nothing; moved: it would


def test_past_and_future_count_alike():
    """Time turned round turns every displacement round: the departures are the same, in turned order."""
    lat, lon = network(0.8)
    series = np.random.default_rng(1).normal(size=(len(lat), 24 + 2 * MARGIN)).cumsum(axis=1).astype(np.float32)
    forward = departures(lat, lon, [36.6], [115.3], series)
    backward = departures(lat, lon, [36.6], [115.3], np.ascontiguousarray(series[:, ::-1]))
    np.testing.assert_allclose(forward, backward[..., ::-1], rtol=1e-3, atol=1e-4)


def test_hours_beyond_the_reach_change_nothing():
    """The departure of an hour sees LAG + JUDGED_HOURS on either side, no more."""
    lat, lon = network(0.8)
    series = np.random.default_rng(2).normal(size=(len(lat), 24 + 2 * MARGIN)).astype(np.float32)
    other = series.copy()
    other[:, 0] += 5.0
    first, second = (departures(lat, lon, [36.6], [115.3], one)[0, 0] for one in (series, other))
    reach = LAG + advection.JUDGED_HOURS
    assert MARGIN == reach
    changed = np.flatnonzero(first != second)
    assert changed.size and changed.max() <= reach - MARGIN


def test_a_missing_observation_judges_nobody():
    lat, lon = network(0.8)
    series = np.random.default_rng(3).normal(size=(len(lat), 24 + 2 * MARGIN)).astype(np.float32)
    lattice = advection.Lattice.around([36.6], [115.3])
    judges = advection.judges(lat, lon, lattice, Correlation())
    filled, seen = torch.from_numpy(series), torch.from_numpy(series.copy())
    seen[5, 10:30] = torch.nan
    found = advection.departures(judges, filled, seen)
    seen[5, 10:30] = torch.nan
    assert torch.isfinite(found).all()
    seen_too = seen.clone()
    seen_too[5, 10:30] = 99.0
    assert not torch.equal(found, advection.departures(judges, filled, seen_too))
