"""Training of one forecasting model: in closed form, by steps with early stopping on the validation slice, or both.

Nothing here looks at the test slice. Every random choice comes from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis import schema
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import Forecaster, kinds
from aqreanalysis.models.forecast.forecaster import NO_WEATHER, concentration
from aqreanalysis.models.forecast.series import Series, point_neighbours
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.recipes import ForecastTraining
from aqreanalysis.training import shrinkage
from aqreanalysis.training.forecast_batches import forecast_batches
from aqreanalysis.training.loop import Descent, DescentSettings, Trained, growing_average
from aqreanalysis.training.losses import HOURLY_SHARE, absolute_error, block_means
from aqreanalysis.training.slices import ForecastTask, Slices

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.forecast.linear import Climatology, Ridge
    from aqreanalysis.models.forecast.window import PointNeighbours, Window

EQUATION_EVERY = 5      # hours between hours of issue that closed forms are fitted on: prime to 24
EQUATION_AT_ONCE = 64   # windows of which the sums of closed forms are taken at a time
FORECAST_WARM_UP = 0.1  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class FittedForecaster:
    """A trained model and how the training went; `log` has steps and validation errors in ug m-3."""

    forecaster: Forecaster
    validation: float
    steps: int
    log: list[tuple[int, float]]


def fit_forecaster(kind: str, options: dict, data: Series, scaler: Scaler, trend: Trend, slices: Slices,
                   task: ForecastTask, settings: ForecastTraining, seed: int, k: int,
                   weather: WeatherInputs = NO_WEATHER) -> FittedForecaster:
    """Train one model with one seed.

    Parameters
    ----------
    kind, options : of models.forecast.kinds.
    data : of all slices, made with this scaler and trend; only rows of training and validation are read.
    k : stations round a point that the neural kNN looks at.
    weather : what is known of the target hours, of which the model reads all or none.
    """
    import torch

    from aqreanalysis.models.aqnet.forecast import AQNetForecast

    torch.manual_seed(seed)
    level = (scaler.mean[schema.TARGET], scaler.std[schema.TARGET])
    network = kinds.make(kind, task.history, task.horizon, level, options, len(weather.names))
    forecaster = Forecaster(network, scaler, task.history, task.horizon, k, kind, trend=trend, weather=weather)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, k)
    solve_equations(network, data, slices, task, near, level[1])
    log, steps = list[tuple[int, float]](), 0
    if kinds.fitted_by(kind) == "steps":
        trained = descend(forecaster, network, data, slices, task, settings, seed)
        network, steps = trained.network, trained.steps
        log = [(validation.step, validation.error) for validation in trained.validations]
    forecaster.network = network.eval()
    if isinstance(network, AQNetForecast):
        shrinkage.shrink_forecast(forecaster, network, data, slices, task, near)
    error, forecaster.error = validation_errors(forecaster, data, slices, task, near)
    return FittedForecaster(forecaster, error, steps, log)


def equations_of(network: torch.nn.Module) -> Ridge | Climatology | None:
    """What of a network is solved in closed form: itself, AQ-Net's ridge regression, or nothing."""
    from aqreanalysis.models.aqnet.forecast import AQNetForecast
    from aqreanalysis.models.forecast.linear import Climatology, Ridge

    if isinstance(network, AQNetForecast):
        return network.base
    return network if isinstance(network, Ridge | Climatology) else None


def solve_equations(network: torch.nn.Module, data: Series, slices: Slices, task: ForecastTask, near: PointNeighbours,
                    level_std: float) -> None:
    """Solve what is solved in closed form on the training slice: a ridge regression or a climatology."""
    import torch

    solved = equations_of(network)
    if solved is None:
        return
    origins = torch.from_numpy(slices.origins("train", task.history, task.horizon, EQUATION_EVERY))
    solved.fit((window, without_trend(block_filled(data.truth_after(batch, task.horizon), task), window, level_std))
               for batch in torch.split(origins, EQUATION_AT_ONCE)
               for window in [data.window(batch, task.history, task.horizon, near)])


def without_trend(truth: torch.Tensor, window: Window, level_std: float) -> torch.Tensor:
    """PM2.5 (batch, stations, horizon) as it would be without the trend that was taken off its windows."""
    import torch

    return torch.expm1((torch.log1p(truth) - level_std * window.trend[:, None, None]).clamp_min(0.0))


def block_filled(truth: torch.Tensor, task: ForecastTask) -> torch.Tensor:
    """The truth itself, or where means of hours are asked for, their values at each of their hours."""
    if task.mean_hours == 1:
        return truth
    return block_means(truth, truth, task)[1].repeat_interleave(task.mean_hours, dim=-1)


def descend(forecaster: Forecaster, network: torch.nn.Module, data: Series, slices: Slices, task: ForecastTask,
            settings: ForecastTraining, seed: int) -> Trained:
    """Train a forecaster's network by steps; validation asks for forecasts at all stations."""
    drawn = forecast_batches(data, forecaster.scaler.std[schema.TARGET], slices, task, settings, seed, forecaster.k)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, forecaster.k)

    def loss(network: torch.nn.Module) -> torch.Tensor:
        batch = next(drawn)
        found = network(batch.window) if batch.hidden is None else network(batch.window, batch.hidden)
        found = concentration(found, batch.window, forecaster.scaler)
        return absolute_error(found, batch.truth, task, HOURLY_SHARE, settings.lead_exponent)

    def validate(average: torch.nn.Module) -> float:
        forecaster.network = average
        return validation_errors(forecaster, data, slices, task, near)[0]

    return Descent(network, loss, DescentSettings(
        settings.steps, settings.learning_rate, settings.weight_decay, FORECAST_WARM_UP, settings.clip,
        growing_average(settings.averaging), settings.validate_every, settings.patience)).run(validate)


def validation_errors(forecaster: Forecaster, data: Series, slices: Slices, task: ForecastTask,
                      near: PointNeighbours) -> tuple[float, np.ndarray]:
    """Mean absolute error in ug m-3 on the validation slice, and the root mean square error at each lead."""
    import torch

    origins = slices.origins("validate", task.history, task.horizon, task.validate_every)
    found = torch.from_numpy(forecaster.at_origins(data, origins, near))
    truth = data.truth_after(origins, task.horizon)
    square = torch.nanmean((found - truth) ** 2, dim=(0, 1))
    return float(absolute_error(found, truth, task)), torch.sqrt(square).numpy()
