"""Training of one forecasting model: batches of windows, absolute error, early stopping on the validation slice.

Nothing here looks at the test slice. Every random choice comes from the seed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aqreanalysis import schema
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import Forecaster, kinds
from aqreanalysis.models.forecast.forecaster import concentration
from aqreanalysis.models.forecast.series import Series, point_neighbours
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.training import shrinkage
from aqreanalysis.training.losses import HOURLY, absolute_error, means
from aqreanalysis.training.slices import Slices
from aqreanalysis.training.task import Task

EQUATION_EVERY = 5  # hours between hours of issue that closed forms are fitted on; prime to 24: all hours of the day


@dataclass(frozen=True)
class Settings:
    """How to train; a forecast recipe fills these. The same for every model but for what its configurations name."""

    steps: int = 800
    origins_per_step: int = 64
    stations_per_step: int = 8     # drawn anew at each step; all that a network sees in it
    learning_rate: float = 5e-3
    weight_decay: float = 2e-2
    averaging: float = 0.99        # of the weights over steps: what is validated and kept
    clip: float = 1.0              # of the gradient's norm
    lead_exponent: float = 0.5     # errors are weighted by lead to the power of minus this
    hide: float = 0.0              # share of points whose own station is hidden (neural kNN only)
    season_jitter: float = 0.8     # radians: the time of year is known no better in training; 0.8 is seven weeks
    level_jitter: float = 0.1      # standard deviation in log1p by which a window and its forecast are raised
    validate_every: int = 100
    patience: int = 4              # validations without a gain, then the training ends


@dataclass(frozen=True)
class Fitted:
    """A trained model and how the training went; `log` has steps and validation errors."""

    forecaster: Forecaster
    validation: float
    steps: int
    log: list[tuple[int, float]]


def fit(kind: str, options: dict, data: Series, scaler: Scaler, trend: Trend, slices: Slices, task: Task,
        settings: Settings, seed: int, k: int) -> Fitted:
    """Train one model with one seed.

    Parameters
    ----------
    kind, options : of models.forecast.kinds.
    data : of all slices, made with this scaler and trend; only rows of training and validation are read.
    k : stations round a point that the neural kNN looks at.
    """
    import torch

    torch.manual_seed(seed)
    level = (scaler.mean[schema.TARGET], scaler.std[schema.TARGET])
    network = kinds.make(kind, task.history, task.horizon, level, options)
    forecaster = Forecaster(network, scaler, task.history, task.horizon, k, kind, trend=trend)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, k)
    closed_form(network, data, slices, task, near, level[1])
    log, best = [], network
    if kinds.fitted_by(kind) == "steps":
        best, log = descend(forecaster, data, slices, task, settings, seed)
    forecaster.network = best.eval()
    if hasattr(best, "share"):
        shrinkage.choose(forecaster, data, slices, task, near)
    errors, by_lead = validate(forecaster, data, slices, task, near)
    forecaster.error = by_lead
    return Fitted(forecaster, errors, log[-1][0] if log else 0, log)


def closed_form(network, data: Series, slices: Slices, task: Task, near, level_std: float) -> None:
    """Solve what is solved in closed form: a ridge regression or a climatology, or the base of a network."""
    import torch

    solved = network if hasattr(network, "fit") else getattr(network, "base", None)
    if solved is None:
        return
    origins = torch.from_numpy(slices.origins("train", task.history, task.horizon, EQUATION_EVERY))
    solved.fit((window, without_trend(block_filled(data.truth_after(batch, task.horizon), task), window, level_std))
               for batch in torch.split(origins, 64)
               for window in [data.window(batch, task.history, task.horizon, near)])


def without_trend(truth, window, level_std: float):
    """PM2.5 (batch, stations, horizon) as it would be without the trend that was taken off its windows."""
    import torch

    return torch.expm1((torch.log1p(truth) - level_std * window.trend[:, None, None]).clamp_min(0.0))


def block_filled(truth, task: Task):
    """The truth itself, or where means of hours are asked for, their values at each of their hours."""
    if task.mean_hours == 1:
        return truth
    return means(truth, truth, task)[1].repeat_interleave(task.mean_hours, dim=-1)


def descend(forecaster: Forecaster, data: Series, slices: Slices, task: Task, settings: Settings, seed: int):
    """Gradient descent; returns the network with the averaged weights of the best validation, and the log."""
    import torch

    network = forecaster.network
    average, best = copy.deepcopy(network), None
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, forecaster.k)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps,
                                                   pct_start=0.1)
    log, lowest, since = [], np.inf, 0
    drawn = batches(data, forecaster.scaler.std[schema.TARGET], slices, task, settings, seed, forecaster.k)
    for step, (window, truth, hidden) in enumerate(drawn, start=1):
        network.train()
        found = network(window) if hidden is None else network(window, hidden)
        loss = absolute_error(concentration(found, window, forecaster.scaler), truth, task, HOURLY,
                              settings.lead_exponent)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        schedule.step()
        follow(average, network, min(settings.averaging, step / (step + 9)))
        if step % settings.validate_every == 0 or step == settings.steps:
            forecaster.network = average
            score, _ = validate(forecaster, data, slices, task, near)
            log.append((step, score))
            lowest, since, best = (score, 0, copy.deepcopy(average)) if score < lowest else (lowest, since + 1, best)
            if since >= settings.patience or step == settings.steps:
                break
    return best, log


def follow(average, network, keep: float) -> None:
    """Move the average's weights towards the network's; running statistics are copied."""
    import torch

    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs, 1.0 - keep)
        for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


def batches(data: Series, level_std: float, slices: Slices, task: Task, settings: Settings, seed: int,
            k: int) -> Iterator[tuple]:
    """Endless batches (window, truth, hidden) of the training slice; `hidden` is None unless settings.hide."""
    import torch

    from aqreanalysis.training.jitter import jittered

    random = torch.Generator().manual_seed(seed)
    origins = torch.from_numpy(slices.origins("train", task.history, task.horizon))
    n = len(data.station)
    while True:
        batch = origins[torch.randint(len(origins), (settings.origins_per_step,), generator=random)]
        some = torch.randperm(n, generator=random)[:settings.stations_per_step].numpy()
        near = point_neighbours(data.lat[some], data.lon[some], data.lat[some], data.lon[some], k)
        window = data.window(batch, task.history, task.horizon, near, some)
        truth = data.truth_after(batch, task.horizon)[:, some]
        window, truth = jittered(window, truth, settings, level_std, random)
        hidden = None
        if settings.hide:
            drawn = torch.rand((len(batch), len(some), 1), generator=random) < settings.hide
            hidden = near.own[None] & drawn
        yield window, truth, hidden


def validate(forecaster: Forecaster, data: Series, slices: Slices, task: Task, near) -> tuple[float, np.ndarray]:
    """Mean absolute error in ug m-3 on the validation slice, and the root mean square error at each lead."""
    import torch

    origins = slices.origins("validate", task.history, task.horizon, task.validate_every)
    found = torch.from_numpy(forecaster.at_origins(data, origins, near))
    truth = data.truth_after(origins, task.horizon)
    square = torch.nanmean((found - truth) ** 2, dim=(0, 1))
    return float(absolute_error(found, truth, task)), torch.sqrt(square).numpy()
