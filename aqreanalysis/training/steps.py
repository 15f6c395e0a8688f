"""Steps of AQ-Net's training: batches of days and places from a pool of views, loss, the best network.

A step draws days and places from the pool and asks for the hidden stations there; views are renewed as training
goes on. The stack is fitted first (stack.py) and stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis import clock, geo
from aqreanalysis.clock import HOURS_PER_DAY
from aqreanalysis.features import Scaler
from aqreanalysis.models.aqnet import MARGIN_HOURS, AQNetAnalysis, to_tensors
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood
from aqreanalysis.training.stack import fit_stack
from aqreanalysis.training.views import Settings, View, draw_view

MOST_EMPTY = 10_000  # draws without any truth before a step gives up


@dataclass
class Batch:
    """Samples side by side: stations and targets of all of them in one axis each."""

    window: np.ndarray
    value: np.ndarray
    observed: np.ndarray
    clock: np.ndarray
    stack: np.ndarray
    kriging: np.ndarray
    told: np.ndarray
    hood: Neighbourhood
    truth: np.ndarray


class Trainer:
    """One network on one station cube; only the days in `allowed` are asked for."""

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, scaler: Scaler, settings: Settings,
                 network=None, correlation: Correlation | None = None):
        """`network` is untrained; where its stack is all zero, it is fitted here."""
        import torch
        import torch.optim.swa_utils

        from aqreanalysis.models.nets import AQNet

        torch.manual_seed(settings.seed)
        self.cube, self.scaler, self.settings = cube, scaler, settings
        self.correlation = correlation or Correlation()
        self.network = network or AQNet()
        self.rng = np.random.default_rng(settings.seed)
        self.days = _held_days(cube.time.values, allowed)
        if not self.network.stack.any():
            self.network.stack.copy_(fit_stack(cube, self.days, scaler, self.correlation, settings, self.rng))
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.averaging))
        self.views = [self._view() for _ in range(settings.views)]
        self.steps_done = 0
        self.optimizer = torch.optim.AdamW(self.network.parameters(), settings.learning_rate,
                                           weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.05)

    def model(self) -> AQNetAnalysis:
        """The averaged network as it is now, behind the model interface."""
        return self.model_of(self.averaged.module)

    def model_of(self, network) -> AQNetAnalysis:
        """A network behind the model interface, with this training's scaler and kriging."""
        return AQNetAnalysis(network.eval(), self.scaler, self.correlation, self.settings.k)

    def step(self) -> float:
        """One step; returns its loss."""
        import torch

        self.network.train()
        batch = self._batch()
        estimate, scale = estimate_of(self.network, batch)
        value = loss(estimate, scale, torch.from_numpy(batch.truth))
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)
        self.steps_done += 1
        if self.steps_done % self.settings.renew_every == 0:
            self.views[self.rng.integers(len(self.views))] = self._view()
        return float(value.detach())

    def _view(self) -> View:
        return draw_view(self.cube, self.scaler, self.correlation, self.settings, self.rng, self.days,
                         self.network.stack)

    def _batch(self) -> Batch:
        samples, offset, empty = [], 0, 0
        while len(samples) < self.settings.samples_per_step:
            view = self.views[self.rng.integers(len(self.views))]
            sample = _sample(view, self.rng.choice(self.days), self.settings.targets_per_sample, self.rng)
            if sample is None:
                empty += 1
                if empty > MOST_EMPTY:
                    raise ValueError(f"{MOST_EMPTY} days and places in a row have no observation to learn from")
                continue
            sample.hood.index[:] += offset
            offset += len(sample.value)
            samples.append(sample)
        arrays = {name: np.concatenate([getattr(s, name) for s in samples])
                  for name in ("window", "value", "observed", "clock", "stack", "kriging", "told", "truth")}
        hoods = [s.hood for s in samples]
        hood = Neighbourhood(**{name: np.concatenate([getattr(h, name) for h in hoods])
                                for name in Neighbourhood.__dataclass_fields__})
        return Batch(hood=hood, **arrays)


def _held_days(time_axis: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The allowed days, datetime64[D], whose window the axis holds whole."""
    first = np.array([clock.hours_of_days(day.item(), day.item())[0] for day in allowed], "datetime64[ns]")
    row = ((first - time_axis[0]) / clock.HOUR).astype(int) - MARGIN_HOURS
    return allowed[(row >= 0) & (row + HOURS_PER_DAY + 2 * MARGIN_HOURS <= len(time_axis))]


def _sample(view: View, asked: np.datetime64, count: int, rng: np.random.Generator) -> Batch | None:
    """One day of one view at the hidden stations nearest to a random one; None without any truth."""
    first = view.side.row_of_day(asked)
    day = slice(first, first + HOURS_PER_DAY)
    window = slice(first - MARGIN_HOURS, first + HOURS_PER_DAY + MARGIN_HOURS)
    centre = rng.integers(len(view.lat))
    order = np.argsort(geo.distance_km(view.lat, view.lon, view.lat[centre], view.lon[centre]), kind="stable")
    targets = order[:count]
    truth = view.truth[day, targets].T
    stations, index = np.unique(view.hood.index[targets], return_inverse=True)
    value = view.side.value[day, stations].T
    if not np.isfinite(truth).any() or not np.isfinite(value).all():
        return None
    hood = Neighbourhood(index.reshape(len(targets), -1), *(
        getattr(view.hood, name)[targets] for name in ("distance", "bearing", "weight", "variance")))
    hood = replace(hood, bearing=_turned(hood.bearing, rng))
    clock_features = np.broadcast_to(view.side.clock[day], (len(targets), HOURS_PER_DAY, 6))
    return Batch(view.side.inputs[window][:, stations].transpose(1, 0, 2).astype(np.float32), value,
                 view.side.observed[day, stations].T.astype(np.float32), clock_features,
                 view.stack[day, targets].T, view.kriging[day, targets].T,
                 view.told[day, targets].transpose(1, 0, 2).astype(np.float32), hood, truth)


def _turned(bearing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole sample turned by some angle, or mirrored: else the network knows its stations by how they lie."""
    return (rng.choice((-1.0, 1.0)) * bearing + rng.uniform(0.0, 2 * np.pi)).astype(np.float32)


def estimate_of(network, batch: Batch):
    """PM2.5 and its scale, tensors (targets, hours) in ug m-3, of a network at a batch's targets."""
    import torch

    from aqreanalysis.models.stacking import Base

    inner = slice(MARGIN_HOURS, MARGIN_HOURS + HOURS_PER_DAY)
    window, value, observed, clock_features, *base = (
        torch.from_numpy(np.ascontiguousarray(getattr(batch, name)))
        for name in ("window", "value", "observed", "clock", "stack", "kriging", "told"))
    return network(window, inner, Base(*base), value, observed, clock_features, to_tensors(batch.hood))


def loss(estimate, scale, truth):
    """Absolute and squared error, and the Laplace likelihood of the scale; over hours with truth.

    The absolute error makes the median good, the squared error the mean and the haze hours; the scale's
    own term does not pull the estimate (it sees the error detached). The distribution is skewed, so what
    this leaves low is put right by `mean_shift`.
    """
    import torch

    known = torch.isfinite(truth)
    error = (estimate - torch.nan_to_num(truth))[known]
    scale = scale[known]
    fit = error.abs().mean() / 10.0 + (error**2).clamp_max(4e4).mean() / 1500.0
    likelihood = (torch.log(scale) + error.detach().abs() / scale).mean()
    return fit + 0.2 * likelihood


def mean_shift(trainer: Trainer, network, batches: int = 60) -> float:
    """The constant shift (nets.recentre) after which the network's mean is kriging's, at hidden training stations.

    Kriging is unbiased by construction; a network trained for absolute errors of a skewed quantity is not.
    """
    import torch

    from aqreanalysis.models.stacking import LEVEL

    departure, unit = 0.0, 0.0
    with torch.inference_mode():
        for number in range(batches):
            if number % 12 == 0:
                trainer.views[number // 12 % len(trainer.views)] = trainer._view()
            batch = trainer._batch()
            near = to_tensors(batch.hood)
            estimate, _ = estimate_of(network.eval(), batch)
            known = torch.isfinite(torch.from_numpy(batch.truth))
            kriging, stack = torch.from_numpy(batch.kriging), torch.from_numpy(batch.stack)
            departure += float((estimate - kriging)[known].sum())
            unit += float((torch.sqrt(near.variance)[:, None] * (stack + LEVEL))[known].sum())
    return -departure / unit


def run(trainer: Trainer, validate: Callable[[AQNetAnalysis], float],
        report: Callable[[dict], None]) -> dict:
    """Train to the end and keep the best network by `validate`; `report` gets every validation.

    Returns the state of the best network. Sees no test station: none is in the trainer's cube.
    """
    best, best_state, losses, began = np.inf, None, [], time.monotonic()
    for number in range(1, trainer.settings.steps + 1):
        losses.append(trainer.step())
        if number % trainer.settings.validate_every and number != trainer.settings.steps:
            continue
        score = validate(trainer.model())
        if score < best:
            best = score
            best_state = {name: value.clone() for name, value in trainer.averaged.module.state_dict().items()}
        report({"step": number, "loss": float(np.mean(losses)), "validation": score, "best": best,
                "seconds": time.monotonic() - began})
        losses.clear()
    return best_state
