"""Training of an analysis: what is hidden stays hidden, batches are what they say, and a run gives its last network."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import lively_network, small_sizes

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.aqnet.network import AQNet
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, DuplicatePair, NearDuplicates
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.training import analysis, masking
from aqreanalysis.training.analysis import AnalysisTrainer, MaskedDays
from aqreanalysis.training.losses import analysis_loss
from aqreanalysis.training.masking import Places

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = AnalysisTraining(steps=40, samples_per_step=3, targets_per_sample=4, learning_rate=1e-2, k=5, views=2,
                         renew_every=20, hidden_radius_km=60.0, report_every=20)
PLAIN = dict(outage=0.0, gap=0.0, snapshots=0.0, level_jitter=0.0, mean_noise=0.0)  # values as they were observed
EXPONENTIAL = Correlation(250.0, 0.04)


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=150, stations=24)


def changed_settings(settings=SMALL, **changed):
    return AnalysisTraining(**settings.model_dump() | changed)


def all_days(cube):
    return np.unique(time_axis.local_days(cube.time.values))


def days_of(cube, settings, duplicates=NO_DUPLICATES, city=None):
    return MaskedDays(cube, all_days(cube), settings, settings.k, EXPONENTIAL, duplicates, city)


def trainer_on(cube, covariates=None, **changed):
    sizes = small_sizes(0 if covariates is None else 2)
    return AnalysisTrainer(cube, all_days(cube), changed_settings(**changed), AQNet, sizes, covariates)


def random_places(seed, stations=40, cities=8, pairs=()):
    rng = np.random.default_rng(seed)
    together = np.eye(stations, dtype=bool)
    for one, other in pairs:
        together[one, other] = together[other, one] = True
    return Places(rng.uniform(36, 38, stations), rng.uniform(113, 115, stations), rng.integers(0, cities, stations),
                  together)


# --- which stations a target is shown


def seen_at(places, targets, visible):
    """(targets, stations) bool, in the order of the stations."""
    found = np.zeros((len(targets), len(places.lat)), bool)
    np.put_along_axis(found, places.order[targets], visible, axis=1)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_hidden_city_takes_all_within_15_km_along(seed, monkeypatch):
    monkeypatch.setattr(masking, "DROPPED", (0.0,))
    places, targets = random_places(seed, pairs=[(0, 7)]), np.arange(40)
    draw = changed_settings(hidden_city=1.0, hidden_round=0.0, sparse=0.0)
    seen = seen_at(places, targets, masking.draw_visible(places, targets, draw, np.random.default_rng(seed)))
    rng = np.random.default_rng(seed)  # as random_places draws them
    lat, lon, city = rng.uniform(36, 38, 40), rng.uniform(113, 115, 40), rng.integers(0, 8, 40)
    expected = (city[:, None] != city) & (geo.pairwise_distance_km(lat, lon, lat, lon) >= 15.0)
    expected[0, 7] = expected[7, 0] = False
    np.testing.assert_array_equal(seen, expected)
    assert 0.7 < seen.mean() < 0.95


def test_all_within_a_radius_is_hidden(monkeypatch):
    """Stations 1 km apart on a meridian: those nearer than a radius between 0 and 60 km, and its near duplicates."""
    monkeypatch.setattr(masking, "DROPPED", (0.0,))
    lat = 30.0 + np.arange(150) * np.degrees(1 / geo.EARTH_RADIUS_KM)
    together = np.eye(150, dtype=bool)
    together[0, 100] = together[100, 0] = True
    places, targets = Places(lat, np.full(150, 115.0), np.arange(150), together), np.zeros(2000, int)
    draw = changed_settings(hidden_city=0.0, hidden_round=1.0, sparse=0.0)
    seen = seen_at(places, targets, masking.draw_visible(places, targets, draw, np.random.default_rng(0)))
    assert not seen[:, [0, 100]].any() and seen[:, 61:100].all() and seen[:, 101:].all()
    assert (np.diff(seen[:, 1:100].astype(int), axis=1) >= 0).all()  # from a distance on all are seen
    hidden = (~seen[:, 1:61]).sum(axis=1)
    assert hidden.min() == 0 and hidden.max() >= 58
    assert hidden.mean() == pytest.approx(29.5, abs=4 * 60 / np.sqrt(12 * 2000))  # uniform over 0 to 60, rounded down


def test_of_the_others_a_share_is_dropped():
    places, targets = random_places(0, stations=400), np.repeat(0, 300)
    usual = changed_settings(hidden_city=0.0, hidden_round=0.0, sparse=0.0)
    rng = np.random.default_rng(0)
    shown = masking.draw_visible(places, targets, usual, rng).mean(axis=1)
    nearest = np.array([1.0, 0.85, 0.7])[np.abs(shown[:, None] - [1.0, 0.85, 0.7]).argmin(axis=1)]
    assert np.abs(shown - nearest).max() < 4.5 * np.sqrt(0.3 * 0.7 / 399) and set(nearest) == {1.0, 0.85, 0.7}
    few = masking.draw_visible(places, targets, changed_settings(usual, sparse=1.0), rng).mean(axis=1)
    assert few.max() < 0.6 and few.min() < 0.12 and 0.2 < few.mean() < 0.35  # 1 less a uniform share of 0.5 to 0.95


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 1.0))
def test_neighbours_are_chosen_as_for_a_map(seed, share):
    """Among the stations that a target is shown, as find_neighbourhood chooses among all there are."""
    places, targets, k = random_places(seed), np.arange(40), 6
    visible = np.random.default_rng(seed).random((40, 39)) < share
    found, enough = masking.neighbourhood_of(places, targets, visible, k, EXPONENTIAL)
    np.testing.assert_array_equal(enough, np.flatnonzero(visible.sum(axis=1) >= k))
    for row, target in enumerate(enough):
        shown = np.sort(places.order[target][visible[target]])
        assert target not in shown
        if np.diff(np.sort(places.between[target][shown])).min() < 0.01:  # as good as equal: either may come first
            continue
        expected = find_neighbourhood(places.lat[shown], places.lon[shown], places.lat[[target]], places.lon[[target]],
                                      k, EXPONENTIAL)
        np.testing.assert_array_equal(found.index[row], shown[expected.index[0]])
        for name, tolerance in (("distance", 1e-3), ("bearing", 1e-3), ("weight", 1e-3), ("variance", 1e-3)):
            np.testing.assert_allclose(getattr(found, name)[row], getattr(expected, name)[0], atol=tolerance)


def test_all_stations_but_itself_are_seen_as_the_stations_own_neighbours():
    places = random_places(0)
    found, enough = masking.neighbourhood_of(places, np.arange(40), np.ones((40, 39), bool), 8, EXPONENTIAL)
    expected = find_neighbourhood(places.lat, places.lon, places.lat, places.lon, 8, EXPONENTIAL, leave_out_self=True)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-3)
    assert len(enough) == 40


# --- which hours


def test_kept_hours():
    rng = np.random.default_rng(0)
    assert masking.draw_kept_hours((500, 9), changed_settings(gap=0.0, outage=0.0), rng).all()
    keep = masking.draw_kept_hours((5000, 9), changed_settings(gap=0.0, outage=0.05), rng)
    out = ~keep.any(axis=1)
    np.testing.assert_array_equal(keep.all(axis=1), ~out)  # an outage is of the whole network
    assert 0.02 < out.mean() < 0.08                        # 25 runs of 1 to 19 hours, some overlapping
    keep = masking.draw_kept_hours((5000, 9), changed_settings(gap=0.4, outage=0.0), rng)
    assert 0.0 < (~keep).mean() <= 0.4


def observed_values(hours=240, stations=6, seed=0):
    return np.random.default_rng(seed).gamma(4.0, 15.0, (hours, stations)).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_keep_the_same_few_hours_of_every_day(seed):
    values = observed_values()
    sample = masking.draw_masked_series(values, changed_settings(**PLAIN), np.random.default_rng(seed), snapshots=True)
    by_day = sample.means.observed.reshape(10, 24, 6)
    hours = np.flatnonzero(by_day[0, :, 0])
    assert 1 <= len(hours) <= 8
    np.testing.assert_array_equal(by_day, np.broadcast_to(np.isin(np.arange(24), hours)[:, None], (10, 24, 6)))
    seen = sample.means.observed
    np.testing.assert_array_equal(sample.means.value[seen], values[seen])
    assert sample.readable.all() and (sample.means.age[seen] == 0).all() and sample.means.age.max() <= 12


def test_a_gap_is_bridged_in_its_own_series():
    """10 hours between 10 and 65 ug m-3 rise by 5 an hour; what is 13 h from any value has none."""
    values = observed_values()
    values[[49, 60], 2], values[50:60, 2], values[100:130, 3] = (10.0, 65.0), np.nan, np.nan
    sample = masking.draw_masked_series(values, changed_settings(**PLAIN), np.random.default_rng(0), snapshots=False)
    np.testing.assert_allclose(sample.means.value[49:61, 2], np.arange(10.0, 66.0, 5.0), rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(sample.means.value[:, 3])), np.arange(112, 118))
    assert np.isfinite(np.delete(sample.means.value, 3, axis=1)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_a_masked_series_tells_nothing_of_another(seed, snapshots):
    values = observed_values(seed=seed)
    values[np.random.default_rng(seed).random(values.shape) < 0.2] = np.nan
    other = values.copy()
    other[:, 2] += 500.0
    before, after = (masking.draw_masked_series(one, SMALL, np.random.default_rng(seed), snapshots)
                     for one in (values, other))
    same = np.arange(6) != 2
    for name in ("value", "smooth", "three_days", "month", "same_hour", "observed", "age"):
        first, second = getattr(before.means, name), getattr(after.means, name)
        np.testing.assert_array_equal(first[:, same], second[:, same], name)
    assert (before.means.month[:, 2] != after.means.month[:, 2]).all()


def test_a_station_is_read_on_days_that_it_observed_most_of():
    """18 of 24 hours are enough and 17 are not; of 8 hours in which anyone reported, 6 are; a dead day is read by
    nobody."""
    values = observed_values(hours=96, stations=3)
    values[:7, 0], values[:6, 1] = np.nan, np.nan
    values[24:40] = np.nan
    values[40:42, 0], values[40:43, 1] = np.nan, np.nan
    values[48:72] = np.nan
    sample = masking.draw_masked_series(values, changed_settings(**PLAIN), np.random.default_rng(0), snapshots=False)
    np.testing.assert_array_equal(sample.readable, [[False, True, True], [True, False, True], [False] * 3, [True] * 3])


# --- batches


def test_whole_days_of_the_cube(cube):
    """It begins 2019-01-01 00:00Z: its first whole day in UTC+8 begins 17:00Z; 133 hours from there are five days."""
    found = analysis.whole_days(cube).time.values
    assert len(found) == 120 and found[0] == np.datetime64("2019-01-01T17")


def test_a_batch_holds_the_right_stations_and_hours():
    """Station s reads 1000 s + t: each target's neighbours read their own number in the target's own hour."""
    cube = schema.mock_station_cube(hours=150, stations=24, missing=0.0)
    cube["pm25"][:] = np.arange(150)[:, None] + 1000.0 * np.arange(24)[None]
    batch = trainer_on(cube, views=3, **PLAIN).days.batch()
    station, hour = (batch.truth // 1000).astype(int), batch.truth % 1000
    np.testing.assert_array_equal(station, np.broadcast_to(batch.target[:, None], station.shape))
    assert (np.diff(hour, axis=1) == 1).all()
    days = time_axis.local_days(cube.time.values[hour.astype(int)].ravel()).reshape(hour.shape)
    assert (days == days[:, :1]).all()
    value = batch.series[..., 0][batch.neighbourhood.index]  # (targets, k, hours)
    np.testing.assert_array_equal(value % 1000, np.broadcast_to(hour[:, None], value.shape))
    who = (value[..., 0] // 1000).astype(int)
    np.testing.assert_array_equal(who, batch.station[batch.neighbourhood.index])
    assert not (who == station[:, :1]).any()
    distance = geo.distance_km(cube.lat.values[who], cube.lon.values[who], cube.lat.values[station[:, :1]],
                               cube.lon.values[station[:, :1]])
    np.testing.assert_allclose(batch.neighbourhood.distance, distance, rtol=1e-4)
    np.testing.assert_allclose(batch.window[:, 12:36, 0], np.log(batch.series[..., 0] + 5) - 3.5, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(batch.window[:, 0, 0] + 3.5) - 5, batch.series[:, 0, 0] - 12, rtol=1e-4)
    assert batch.window.shape[1:] == (48, 13) and batch.clock.shape == (len(batch.truth), 24, 6)
    np.testing.assert_array_equal(batch.window[batch.neighbourhood.index[:, 0], 12:36, 7:], batch.clock)
    assert (batch.level == 1).all() and (batch.window[..., 5] == 1).all()


def test_only_allowed_days_with_their_margins_are_asked_for(cube):
    allowed = np.array(["2019-01-02", "2019-01-04", "2019-01-06"], "datetime64[D]")  # the first and last have none
    days = MaskedDays(cube, allowed, SMALL, SMALL.k, EXPONENTIAL)
    rows = time_axis.local_days(days.cube.time.values) == allowed[1]
    for _ in range(4):
        batch = days.batch()
        np.testing.assert_array_equal(batch.clock, np.broadcast_to(days.clock[rows], (len(batch.truth), 24, 6)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_nothing_hidden_from_a_target_reaches_what_it_reads(seed):
    """Other values at the target, at its near duplicates and at all stations that it is not shown: its truth alone is
    another."""
    cube = schema.mock_station_cube(hours=100, stations=16, seed=seed % 1000)
    pairs = NearDuplicates((DuplicatePair("S001", "S002", 0.1), DuplicatePair("S002", "S009", 40.0, 1.0, 99)))
    city = np.arange(16) // 3
    draw = changed_settings(seed=seed, outage=0.0, snapshots=0.0, gap=0.1, k=4)
    before = days_of(cube, draw, pairs, city).batch()
    row = seed % len(before.target)
    target, near = before.target[row], before.station[before.neighbourhood.index[row]]
    together = {1, 2, 9} if target in (1, 2, 9) else {target}
    assert not together & set(near)
    other = cube.copy(deep=True)
    hidden = np.setdiff1d(np.arange(16), near)
    other["pm25"][:, hidden] = other.pm25[:, hidden] + np.float32(500.0)
    after = days_of(other, draw, pairs, city).batch()
    np.testing.assert_array_equal(after.target, before.target)
    for name in ("index", "distance", "bearing", "weight", "variance"):
        np.testing.assert_array_equal(getattr(after.neighbourhood, name), getattr(before.neighbourhood, name), name)
    for name in ("window", "series"):
        np.testing.assert_array_equal(*(getattr(one, name)[one.neighbourhood.index[row]] for one in (before, after)))
    np.testing.assert_array_equal(after.clock, before.clock)
    np.testing.assert_allclose(after.truth[row], before.truth[row] + 500.0 * before.level[row], rtol=1e-5)


def test_what_a_target_is_shown_does_reach_it(cube):
    """So the test above could fail."""
    draw = changed_settings(**PLAIN)
    before = days_of(cube, draw).batch()
    other = cube.copy(deep=True)
    other["pm25"][:, before.station[before.neighbourhood.index[0, 2]]] = 300.0
    after = days_of(other, draw).batch()
    assert not np.array_equal(before.series[before.neighbourhood.index[0]], after.series[after.neighbourhood.index[0]])


@pytest.mark.parametrize("how, radius", [({"hidden_city": 1.0}, 15.0), ({"hidden_city": 0.0, "hidden_round": 1.0}, 0)])
def test_no_target_has_its_city_among_its_neighbours(cube, how, radius):
    """Where cities are hidden; where only what is round it is, it does, now and then."""
    city = np.arange(24) % 4
    days = days_of(cube, changed_settings(**how), city=city)
    batches = [days.batch() for _ in range(5)]
    same = np.concatenate([(city[one.station[one.neighbourhood.index]] == city[one.target][:, None]).ravel()
                           for one in batches])
    assert same.any() == (radius == 0)
    assert min(one.neighbourhood.distance.min() for one in batches) >= radius


def test_levels_are_multiplied_as_a_whole(cube):
    """A factor for each place and day, on what is read and on the truth."""
    draw = changed_settings(**PLAIN)
    plain, scaled = (days_of(cube, changed_settings(draw, level_jitter=jitter)).batch() for jitter in (0.0, 0.3))
    assert len(np.unique(scaled.level)) == draw.samples_per_step and (plain.level == 1).all()
    np.testing.assert_allclose(scaled.truth, plain.truth * scaled.level[:, None], rtol=1e-6)
    near, level = plain.neighbourhood.index, scaled.level[:, None, None]
    np.testing.assert_allclose(scaled.series[near][..., 0], level * plain.series[near][..., 0], rtol=1e-5)
    month, scaled_month = (np.exp(one.series[near][..., 6]) - 5 for one in (plain, scaled))
    np.testing.assert_allclose(scaled_month, level * month, rtol=1e-4)


def test_noise_on_long_means_is_the_same_where_they_are_read_and_interpolated(cube):
    draw = changed_settings(**PLAIN)
    plain, noisy = (days_of(cube, changed_settings(draw, mean_noise=noise)).batch() for noise in (0.0, 0.15))
    inputs, series = noisy.window - plain.window, noisy.series - plain.series
    np.testing.assert_allclose(inputs[:, 12:36, 1:4], series[..., 5:8], atol=1e-5)
    np.testing.assert_allclose(inputs[..., 1:4], np.broadcast_to(inputs[:, :1, 1:4], (*inputs.shape[:2], 3)), atol=1e-5)
    assert inputs[:, 0, 1:4].std() == pytest.approx(0.15, rel=0.3)
    np.testing.assert_array_equal(inputs[..., [0, 4, 5, 6]], 0)
    np.testing.assert_array_equal(series[..., :5], 0)


def test_directions_are_turned_and_mirrored():
    """The angles between a target's neighbours stay; about half of the days have them the other way round."""
    bearing = np.random.default_rng(0).uniform(0, 2 * np.pi, (3, 5)).astype(np.float32)
    turns = [analysis.turned_bearing(bearing, np.random.default_rng(seed)) for seed in range(40)]
    between = np.sin(bearing[:, 1:] - bearing[:, :1])
    signs = []
    for turned in turns:
        found = np.sin(turned[:, 1:] - turned[:, :1])
        signs.append(1 if np.allclose(found, between, atol=1e-5) else -1)
        np.testing.assert_allclose(found, signs[-1] * between, atol=1e-5)
    assert 10 <= signs.count(1) <= 30 and np.std([np.cos(turned[0, 0]) for turned in turns]) > 0.5


def test_an_archive_without_anything_to_learn_from(cube):
    silent = cube.assign(pm25=cube.pm25.where(False))
    with pytest.raises(ValueError, match="no observation to learn from"):
        days_of(silent, SMALL).batch()


# --- the loss


def test_loss_by_hand():
    """Two targets of three hours, one value missing; the second was multiplied by 2."""
    estimate = torch.tensor([[10.0, 20.0, 99.0], [30.0, 60.0, 80.0]])
    scale = torch.tensor([[2.0, 4.0, 1.0], [2.0, 2.0, 10.0]])
    truth = torch.tensor([[13.0, 19.0, np.nan], [20.0, 60.0, 90.0]])
    e, est, s = np.array([-3, 1, 5, 0, -5.0]), np.array([10, 20, 15, 30, 40.0]), np.array([2, 4, 1, 1, 5.0])
    expected = (np.abs(e).mean() / 20 + 0.3 * np.abs(np.log((est + 5) / (est - e + 5))).mean()
                + 0.1 * (e**2 / (est + 20)).mean() / 20 + 0.6 * (1 + 0) / 2 / 20  # means -1 of two hours and 0 of three
                + 0.1 * (np.log(s) + np.abs(e) / s).mean())
    found = analysis_loss(estimate, scale, truth, torch.tensor([1.0, 2.0]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 5.0), st.integers(0, 2**31))
def test_a_factor_on_all_levels_changes_no_loss(factor, seed):
    generator = torch.Generator().manual_seed(seed)
    estimate, scale, truth = 50 * torch.rand((3, 4, 24), generator=generator) + 1
    factors = torch.tensor([factor, 1.0, 2.0, 0.5])
    scaled = [factors[:, None] * each for each in (estimate, scale, truth)]
    torch.testing.assert_close(analysis_loss(*scaled, factors), analysis_loss(estimate, scale, truth, torch.ones(4)),
                               rtol=1e-4, atol=1e-5)


def test_the_scale_does_not_pull_the_estimate():
    truth, gradients = torch.tensor([[30.0, 5.0]]), []
    for scale in (0.5, 50.0):
        estimate = torch.tensor([[10.0, 20.0]], requires_grad=True)
        analysis_loss(estimate, torch.full((1, 2), scale), truth, torch.ones(1)).backward()
        gradients.append(estimate.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_nothing_observed_has_no_loss():
    truth = torch.full((2, 3), torch.nan)
    estimate = torch.full((2, 3), 40.0, requires_grad=True)
    loss = analysis_loss(estimate, torch.ones(2, 3), truth, torch.ones(2))
    loss.backward()
    assert loss.item() == 0.0 and (estimate.grad == 0).all()


# --- the loop


def loss_of(trainer, batch):
    with torch.no_grad():
        estimate, scale = trainer.estimate_of(trainer.descent.network.network.eval(), batch)
        return analysis_loss(estimate, scale, torch.from_numpy(batch.truth), torch.from_numpy(batch.level)).item()


def test_steps_on_one_batch_lower_its_loss(cube, monkeypatch):
    trainer = trainer_on(cube)
    fixed = trainer.days.batch()
    before = loss_of(trainer, fixed)
    monkeypatch.setattr(trainer, "_batches", itertools.repeat(fixed))
    for _ in range(SMALL.steps):
        assert np.isfinite(trainer.descent.step())
    assert loss_of(trainer, fixed) < before - 0.1


@pytest.mark.parametrize("dropped", [0.0, 1.0])
def test_station_effects_by_hand(cube, monkeypatch, dropped):
    """A constant, and sine and cosine of hour and of month, in the logarithm; penalised by 1, 4, 4, 2 and 2."""
    trainer = trainer_on(cube, effects_dropped=dropped, effects_penalty=3.0)
    batch, trained = trainer.days.batch(), trainer.descent.network.eval()
    monkeypatch.setattr(trainer, "_batches", itertools.repeat(batch))
    with torch.no_grad():
        trained.effects.copy_(0.2 * torch.randn(24, 5, generator=torch.Generator().manual_seed(0)))
        found = trainer.loss(trained).item()
        estimate, scale = trainer.estimate_of(trained.network, batch)
    own, clock = trained.effects.detach().numpy()[batch.target], batch.clock
    effect = sum(own[:, [n]] * wave for n, wave in enumerate(
        (1, clock[..., 0], clock[..., 1], clock[..., 4], clock[..., 5])))
    factor = torch.from_numpy(np.exp(0.0 if dropped else 1.0 * effect) * np.ones(estimate.shape)).float()
    expected = analysis_loss(estimate * factor, scale, torch.from_numpy(batch.truth), torch.from_numpy(batch.level))
    penalty = 3.0 * (own**2 * [1, 4, 4, 2, 2]).sum(1).mean()
    assert found == pytest.approx(expected.item() + penalty, rel=1e-4)


def test_station_effects_are_learned_and_left_behind(cube):
    trainer = trainer_on(cube, steps=12, report_every=5)
    reports = []
    network = trainer.run(lambda step, loss: reports.append((step, loss)))
    assert isinstance(network, AQNet) and not network.training and trainer.descent.steps_done == 12
    assert set(network.state_dict()) == set(AQNet(small_sizes()).state_dict())
    assert (trainer.descent.average.effects.detach().abs().sum(dim=1) > 0).sum() > 12
    assert [step for step, _ in reports] == [5, 10] and np.isfinite([loss for _, loss in reports]).all()


def test_a_run_gives_the_averaged_network_of_the_last_step(cube):
    network = trainer_on(cube, steps=6).run()
    other = trainer_on(cube, steps=6)  # with the same draws
    for _ in range(6):
        other.descent.step()
    for name, value in other.descent.average.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)
    assert any(not torch.equal(value, network.state_dict()[name])
               for name, value in other.descent.network.network.state_dict().items())


def test_the_same_seed_gives_the_same_network(cube):
    results = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        trainer = trainer_on(cube, seed=seed, renew_every=2)
        losses = [trainer.descent.step() for _ in range(4)]
        results[name] = losses, trainer.descent.network.state_dict()
    assert results["first"][0] == results["again"][0] != results["other"][0]
    for name, value in results["first"][1].items():
        torch.testing.assert_close(results["again"][1][name], value, rtol=0, atol=0)


@pytest.mark.parametrize("steps, every", [(4, 2), (3, 2)])
def test_a_loss_that_is_not_finite_ends_the_training(cube, monkeypatch, steps, every):
    """Whether or not a row of the log has just been written."""
    trainer = trainer_on(cube, steps=steps, report_every=every)
    monkeypatch.setattr(trainer.descent, "_loss", lambda network: network.effects.sum() * np.nan)
    with pytest.raises(UserError, match="not finite") as caught:
        trainer.run()
    assert "learning_rate" in caught.value.fix


def test_samples_are_renewed(cube):
    """After every third batch one of them; a share of them is of snapshots."""
    trainer = trainer_on(cube, renew_every=3, views=4, snapshots=0.5)
    before = list(trainer.days.samples)
    trainer.descent.step()
    trainer.descent.step()
    trainer.descent.step()
    assert all(a is b for a, b in zip(before, trainer.days.samples, strict=True))
    trainer.descent.step()  # asks for the fourth batch, before which the third was followed by a draw
    after = trainer.days.samples
    assert sum(a is not b for a, b in zip(before, after, strict=True)) == 1
    assert [sample.means.observed.mean() < 0.4 for sample in after] == [True, True, False, False]


def test_covariates_of_a_batch_are_those_of_its_stations_and_targets(cube, monkeypatch):
    values = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
    covariates = SimpleNamespace(at_stations=lambda lat, lon: values)
    trainer, noisy = (trainer_on(cube, covariates, covariate_noise=noise) for noise in (0.0, 0.2))
    batch, asked = trainer.days.batch(), []

    class Asked(AQNet):
        def forward(self, window, inner, series, clock, near, covariates=None):
            asked.append(covariates)
            return super().forward(window, inner, series, clock, near, covariates)

    network = Asked(small_sizes(2))
    trainer.estimate_of(network, batch), noisy.estimate_of(network, batch)
    np.testing.assert_array_equal(asked[0].stations, values[batch.station])
    np.testing.assert_array_equal(asked[0].targets, values[batch.target])
    error = (asked[1].stations - asked[0].stations).numpy()
    assert error.std() == pytest.approx(0.2, rel=0.3)


def test_the_model_of_a_network_has_the_kriging_that_it_was_trained_with(cube):
    trainer = trainer_on(cube, range_km=321.0, nugget=0.01)
    network = lively_network().train()
    model = trainer.model_of(network)
    assert model.network is network and not network.training
    assert (model.correlation, model.k, model.covariates) == (Correlation(321.0, 0.01), 5, None)
