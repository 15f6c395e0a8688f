"""Training of an analysis: what is hidden stays hidden, batches are what they say, and a run keeps its best network."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models_fixtures import small_sizes

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.models.aqnet.analysis import MARGIN_HOURS
from aqreanalysis.models.aqnet.network import AQNet
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.training import analysis, masking
from aqreanalysis.training.analysis import AnalysisTrainer
from aqreanalysis.training.losses import analysis_loss

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = AnalysisTraining(steps=60, samples_per_step=3, targets_per_sample=4, learning_rate=1e-2, k=5, views=2,
                         renew_every=20, hidden_places=1, hidden_radius_km=(30.0, 60.0), validate_every=20)


@pytest.fixture(scope="module")
def cube():
    return schema.mock_station_cube(hours=150, stations=24)


def changed_settings(settings=SMALL, **changed):
    return AnalysisTraining(**settings.model_dump() | changed)


def trainer_on(cube, settings=SMALL, **changed):
    torch.manual_seed(settings.seed)
    days = np.unique(time_axis.local_days(cube.time.values))
    return AnalysisTrainer(cube, days, Scaler.fit(cube), changed_settings(settings, **changed), AQNet(small_sizes()))


# --- masked samples


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_hidden_are_single_stations_and_all_round_a_place(seed):
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(36, 40, 40), rng.uniform(113, 119, 40)
    places = changed_settings(hidden_single=0.0, hidden_places=1, hidden_radius_km=(90.0, 90.0))
    hidden = masking.draw_hidden(lat, lon, places, np.random.default_rng(seed))
    rounds = geo.pairwise_distance_km(lat, lon, lat, lon) <= 90.0
    extra = [(hidden & ~round_one).sum() for round_one in rounds if (hidden | ~round_one).all()]
    assert extra and min(extra) <= 1  # all round one place, and at most one more


def test_share_of_single_stations():
    alone = changed_settings(hidden_single=0.25, hidden_places=0)
    rng = np.random.default_rng(0)
    hidden = masking.draw_hidden(np.zeros(4000), np.zeros(4000), alone, rng)
    assert hidden.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    nobody = changed_settings(alone, hidden_single=0.0)
    assert masking.draw_hidden(np.zeros(50), np.zeros(50), nobody, rng).sum() == 1  # a sample needs a target


def test_kept_hours():
    rng = np.random.default_rng(0)
    assert masking.draw_kept_hours((500, 9), changed_settings(gap=0.0, outage=0.0), rng).all()
    keep = masking.draw_kept_hours((5000, 9), changed_settings(gap=0.0, outage=0.05), rng)
    out = ~keep.any(axis=1)
    np.testing.assert_array_equal(keep.all(axis=1), ~out)  # an outage is of the whole network
    assert 0.02 < out.mean() < 0.08                        # 25 runs of 1 to 19 hours, some overlapping
    keep = masking.draw_kept_hours((5000, 9), changed_settings(gap=0.4, outage=0.0), rng)
    assert 0.0 < (~keep).mean() <= 0.4


def prepared(cube, scaler, draw, seed=0):
    masked = masking.draw_masked_sample(cube, draw, np.random.default_rng(seed))
    return analysis.prepare_sample(masked, scaler, Correlation(), draw.k)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_nothing_hidden_reaches_the_inputs(seed):
    """Other values at hidden stations, and in removed hours, change the truth alone."""
    cube = schema.mock_station_cube(hours=80, stations=20)
    scaler = Scaler.fit(cube)
    draw = changed_settings(outage=0.1, gap=0.3)
    rng = np.random.default_rng(seed)  # the same draws as draw_masked_sample's
    hidden = masking.draw_hidden(cube.lat.values, cube.lon.values, draw, rng)
    removed = np.zeros(cube.pm25.shape, bool)
    removed[:, hidden] = True
    removed[:, ~hidden] = ~masking.draw_kept_hours((80, int((~hidden).sum())), draw, rng)
    other = cube.copy(deep=True)
    for name in schema.POLLUTANTS:
        other[name] = other[name].where(~removed, other[name] + np.float32(500.0))
    sample, changed = (prepared(c, scaler, draw, seed) for c in (cube, other))
    for field in dataclasses.fields(sample.station_inputs):
        before, after = (getattr(one.station_inputs, field.name) for one in (sample, changed))
        np.testing.assert_array_equal(before, after, field.name)
    for field in dataclasses.fields(sample.neighbourhood):
        before, after = (getattr(one.neighbourhood, field.name) for one in (sample, changed))
        np.testing.assert_array_equal(before, after, field.name)
    np.testing.assert_allclose(changed.truth, cube.pm25.values[:, hidden] + 500.0, rtol=1e-6)
    np.testing.assert_array_equal(sample.truth, cube.pm25.values[:, hidden])


def test_a_visible_value_does_reach_the_inputs(cube):
    """So the test above could fail."""
    draw = changed_settings(outage=0.0, gap=0.0)
    hidden = masking.draw_hidden(cube.lat.values, cube.lon.values, draw, np.random.default_rng(0))
    other = cube.copy(deep=True)
    other["pm25"][40, np.flatnonzero(~hidden)[0]] = 300.0
    scaler = Scaler.fit(cube)
    before, after = (prepared(c, scaler, draw).station_inputs for c in (cube, other))
    assert (before.inputs != after.inputs).any()


# --- batches


def test_windows_of_allowed_days_that_the_axis_holds():
    """The cube begins 2019-01-01 00:00Z: the day 01-02 (from 01-01 17:00Z) has its window from 05:00Z on, row 5."""
    time = np.datetime64("2019-01-01T00", "ns") + np.arange(150) * time_axis.HOUR
    days = np.array(["2019-01-01", "2019-01-02", "2019-01-04", "2019-01-06", "2019-01-07"], "datetime64[D]")
    np.testing.assert_array_equal(analysis.window_starts(time, days), [5, 53, 101])  # 101 + 48 = 149 <= 150


def test_a_batch_holds_the_right_stations_and_hours():
    """Station s reads 1000 s + t: each target's neighbours read their own number in the target's own hour."""
    cube = schema.mock_station_cube(hours=150, stations=24, missing=0.0)
    cube["pm25"][:] = np.arange(150)[:, None] + 1000.0 * np.arange(24)[None]
    trainer = trainer_on(cube, views=3, outage=0.0, gap=0.0)
    batch = trainer.pool.batch()
    station, hour = (batch.truth // 1000).astype(int), batch.truth % 1000
    assert (station == station[:, :1]).all() and (np.diff(hour, axis=1) == 1).all()
    np.testing.assert_array_equal(time_axis.local_days(cube.time.values[hour[:, 0].astype(int)]),
                                  time_axis.local_days(cube.time.values[hour[:, -1].astype(int)]))
    neighbours = batch.value[batch.neighbourhood.index]  # (targets, k, hours)
    np.testing.assert_array_equal(neighbours % 1000, np.broadcast_to(hour[:, None], neighbours.shape))
    who = (neighbours[..., 0] // 1000).astype(int)
    assert not (who == station[:, :1]).any()
    distance = geo.distance_km(cube.lat.values[who], cube.lon.values[who], cube.lat.values[station[:, :1]],
                               cube.lon.values[station[:, :1]])
    np.testing.assert_allclose(batch.neighbourhood.distance, distance, rtol=1e-4)
    scaled = trainer.scaler.scale("pm25", batch.value)
    inner = slice(MARGIN_HOURS, MARGIN_HOURS + 24)
    np.testing.assert_allclose(batch.window[:, inner, 0], scaled, atol=2e-3)  # inputs are kept in float16
    assert batch.window.shape[1:] == (48, small_sizes().inputs) and (batch.observed == 1).all()
    assert batch.clock.shape == (len(batch.truth), 24, 6)


def test_only_allowed_days_are_asked_for(cube):
    allowed = np.array(["2019-01-03"], "datetime64[D]")
    trainer = AnalysisTrainer(cube, allowed, Scaler.fit(cube), SMALL, AQNet(small_sizes()))
    expected = trainer.pool.samples[0].station_inputs.clock[time_axis.local_days(cube.time.values) == allowed[0]]
    for _ in range(4):
        batch = trainer.pool.batch()
        np.testing.assert_array_equal(batch.clock, np.broadcast_to(expected, (len(batch.truth), 24, 6)))


# --- the loss


def test_loss_by_hand():
    estimate, scale = torch.tensor([[10.0, 20.0, 99.0]]), torch.tensor([[2.0, 4.0, 1.0]])
    truth = torch.tensor([[13.0, 19.0, np.nan]])
    fit = (3 + 1) / 2 / 10 + (9 + 1) / 2 / 1500
    likelihood = (np.log(2) + 3 / 2 + np.log(4) + 1 / 4) / 2
    assert analysis_loss(estimate, scale, truth).item() == pytest.approx(fit + 0.2 * likelihood, rel=1e-6)


def test_the_scale_does_not_pull_the_estimate():
    truth, gradients = torch.tensor([[30.0, 5.0]]), []
    for scale in (0.5, 50.0):
        estimate = torch.tensor([[10.0, 20.0]], requires_grad=True)
        analysis_loss(estimate, torch.full((1, 2), scale), truth).backward()
        gradients.append(estimate.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


# --- the loop


def loss_of(trainer, batch):
    with torch.no_grad():
        estimate, scale = analysis.estimate_of(trainer.descent.network.eval(), batch)
        return analysis_loss(estimate, scale, torch.from_numpy(batch.truth)).item()


def test_steps_on_one_batch_lower_its_loss(cube, monkeypatch):
    trainer = trainer_on(cube)
    fixed = trainer.pool.batch()
    before = loss_of(trainer, fixed)
    monkeypatch.setattr(trainer.pool, "batch", lambda: fixed)
    for _ in range(SMALL.steps):
        assert np.isfinite(trainer.descent.step())
    assert loss_of(trainer, fixed) < before - 0.2


def test_the_same_seed_gives_the_same_network(cube):
    results = {}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        trainer = trainer_on(cube, seed=seed, renew_every=2)
        losses = [trainer.descent.step() for _ in range(5)]
        results[name] = losses, trainer.descent.network.state_dict()
    assert results["first"][0] == results["again"][0] != results["other"][0]
    for name, value in results["first"][1].items():
        torch.testing.assert_close(results["again"][1][name], value, rtol=0, atol=0)


def test_samples_are_renewed(cube):
    trainer = trainer_on(cube, renew_every=3)
    before = list(trainer.pool.samples)
    trainer.descent.step()
    trainer.descent.step()
    assert all(a is b for a, b in zip(before, trainer.pool.samples, strict=True))
    trainer.descent.step()
    assert sum(a is not b for a, b in zip(before, trainer.pool.samples, strict=True)) == 1


def test_a_run_keeps_its_best_network(cube):
    scores, states, reports = iter([3.0, 1.0, 2.0]), [], []

    def validate(network):
        assert not network.training
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(scores)

    trained = trainer_on(cube, steps=5, validate_every=2).run(validate, reports.append)
    assert [report.step for report in reports] == [2, 4, 5]  # and the last step, whatever its number
    assert [report.lowest for report in reports] == [3.0, 1.0, 1.0]
    assert [report.improved for report in reports] == [True, True, False] and trained.validations == tuple(reports)
    best = trained.network.state_dict()
    for name, value in best.items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)
    assert any(not torch.equal(best[name], states[2][name]) for name in best)
