"""The loop of all trainings: known answers of averaging, schedule, patience and of which network is kept."""

import numpy as np
import pytest
import torch

from aqreanalysis.errors import UserError
from aqreanalysis.training.loop import (
    FIRST_DIVISOR,
    LAST_DIVISOR,
    Descent,
    DescentSettings,
    follow,
    growing_average,
    steady_average,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def parabola(start=4.0):
    """A network of one weight w; its loss is w^2."""
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(start)
    return network


def square(network):
    return (network.weight**2).sum()


def weight_of(network):
    return network.weight.item()


def settings(**changed):
    given = {"steps": 40, "learning_rate": 0.1, "weight_decay": 0.0, "warm_up": 0.25, "clip": 1e6,
             "kept": steady_average(0.5), "validate_every": 10}
    return DescentSettings(**given | changed)


def test_averages_by_hand():
    """After the first step the steady average is the network; the growing one keeps a tenth of the start."""
    assert [steady_average(0.9)(step) for step in (1, 2, 50)] == [0.0, 0.9, 0.9]
    assert [growing_average(0.9)(step) for step in (1, 9, 81, 500)] == [0.1, 0.5, 0.9, 0.9]
    assert growing_average(0.0)(7) == 0.0
    average = parabola(4.0)
    follow(average, parabola(2.0), 0.75)
    assert weight_of(average) == pytest.approx(3.5)
    follow(average, parabola(2.0), 0.0)
    assert weight_of(average) == 2.0


def test_the_average_follows_the_weights():
    descent, expected = Descent(parabola(), square, settings(kept=steady_average(0.5))), None
    for _ in range(5):
        descent.step()
        now = weight_of(descent.network)
        expected = now if expected is None else 0.5 * expected + 0.5 * now
        assert weight_of(descent.average) == pytest.approx(expected, rel=1e-6)
    assert weight_of(descent.average) != weight_of(descent.network)


def test_running_statistics_are_copied():
    network = torch.nn.BatchNorm1d(2)
    descent = Descent(network, lambda net: net(torch.randn(8, 2) + 3.0).square().mean(), settings())
    descent.step()
    descent.step()
    torch.testing.assert_close(descent.average.running_mean, network.running_mean, rtol=0, atol=0)
    assert descent.average.num_batches_tracked == 2


def test_the_learning_rate_is_one_cycle():
    descent = Descent(parabola(), square, settings(steps=101, warm_up=0.2))
    rates = []
    for _ in range(101):
        rates.append(descent._optimiser.param_groups[0]["lr"])
        descent.step()
    assert rates[0] == pytest.approx(0.1 / FIRST_DIVISOR) and max(rates) == pytest.approx(0.1, rel=1e-3)
    assert rates[-1] == pytest.approx(0.1 / FIRST_DIVISOR / LAST_DIVISOR)
    top = int(np.argmax(rates))
    assert top == pytest.approx(0.2 * 101, abs=1) and (np.diff(rates[:top + 1]) > 0).all()
    assert (np.diff(rates[top + 1:]) < 0).all()


@pytest.mark.parametrize("steps, warm_up", [(1, 0.05), (2, 0.05), (10, 0.1), (20, 0.05), (21, 0.05)])
def test_any_number_of_steps(steps, warm_up):
    """Of 1 / warm_up steps the rate would rise in one, by which torch's schedule divides less one."""
    trained = Descent(parabola(), square, settings(steps=steps, warm_up=warm_up)).run(weight_of)
    assert trained.steps == steps and trained.validations[-1].step == steps


def test_gradients_are_clipped():
    """AdamW is blind to the gradient's size, but not to a batch that is a thousand times the one before."""
    ends = []
    for clip in (1e6, 1.0):
        sizes = iter([1.0, 1000.0])
        descent = Descent(parabola(), lambda net, sizes=sizes: next(sizes) * net.weight.sum(), settings(clip=clip))
        descent.step()
        descent.step()
        ends.append(weight_of(descent.network))
    assert ends[0] != ends[1]


def test_the_lowest_validation_is_kept_and_the_last_step_validated():
    errors, seen = iter([3.0, 1.0, 2.0, 1.5]), []

    def validate(network):
        assert not network.training
        seen.append(weight_of(network))
        return next(errors)

    reports = []
    trained = Descent(parabola(), square, settings(steps=35)).run(validate, reports.append)
    assert [report.step for report in reports] == [10, 20, 30, 35]
    assert [report.lowest for report in reports] == [3.0, 1.0, 1.0, 1.0]
    assert [report.improved for report in reports] == [True, True, False, False]
    assert trained.validations == tuple(reports) and weight_of(trained.network) == seen[1] != seen[2]
    assert not trained.network.training


def test_patience_counts_validations_in_a_row_without_a_gain():
    errors = iter([5.0, 6.0, 4.0, 4.0, 4.0, 0.0])
    trained = Descent(parabola(), square, settings(steps=60, patience=2)).run(lambda network: next(errors))
    assert trained.steps == 50 and [found.error for found in trained.validations] == [5.0, 6.0, 4.0, 4.0, 4.0]


def test_the_loss_is_the_mean_since_the_validation_before():
    losses = iter([1.0, 3.0, 10.0, 20.0])
    descent = Descent(parabola(), lambda network: 0.0 * network.weight.sum() + next(losses),
                      settings(steps=4, validate_every=2))
    assert [found.loss for found in descent.run(lambda network: 1.0).validations] == [2.0, 15.0]


def test_no_finite_validation_is_an_error():
    with pytest.raises(UserError, match="None of 4 validations had a finite error") as caught:
        Descent(parabola(), square, settings()).run(lambda network: float("nan"))
    assert caught.value.rule and caught.value.fix
