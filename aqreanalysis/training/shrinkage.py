"""How much of what a forecasting network has learned is kept: shrinkage towards the baseline from which it started.

AQ-Net starts from a ridge regression and learns a correction of it. A correction that is learned in some years is in
part of those alone, so a factor between 0 (the baseline) and 1 (all that was learned) is chosen on data that were not
trained on: for each block of leads, the smallest factor whose error on the validation slice is within one standard
error of the best factor's (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3). Half a year of
validation holds some thirty weather episodes, and what can not be distinguished from chance in it need not hold in
another year. Weeks are the samples, since errors of neighbouring hours and stations are the same weather's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis.models.forecast import Forecaster
from aqreanalysis.models.forecast.series import Series
from aqreanalysis.training.losses import block_means
from aqreanalysis.training.slices import ForecastTask, Slices

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.forecast import AQNetForecast
    from aqreanalysis.models.forecast.window import PointNeighbours

FORECAST_FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
HOURS_PER_WEEK = 168


def shrink_forecast(forecaster: Forecaster, network: AQNetForecast, data: Series, slices: Slices, task: ForecastTask,
                    near: PointNeighbours) -> None:
    """Set the factors of a forecaster's network, one for each block of leads, from errors on the validation slice."""
    origins = slices.origins("validate", task.history, task.horizon, task.validate_every)
    truth, blocks = data.truth_after(origins, task.horizon), network.sizes.blocks
    week = (origins - origins[0]) // HOURS_PER_WEEK
    sums = []
    for factor in FORECAST_FACTORS:
        network.share.fill_(factor)
        sums.append(weekly_errors(forecaster.at_origins(data, origins, near), truth, week, blocks, task))
    errors, count = np.stack([error for error, _ in sums]), sums[0][1]
    kept = [FORECAST_FACTORS[within_one_error(errors[:, :, block], count[:, block])] for block in range(blocks)]
    network.share.copy_(network.share.new_tensor(kept).repeat_interleave(len(network.share) // blocks))


def weekly_errors(forecast: np.ndarray, truth: torch.Tensor, week: np.ndarray, blocks: int,
                  task: ForecastTask) -> tuple[np.ndarray, np.ndarray]:
    """Sums of absolute errors and their count, each (weeks, blocks), of forecasts (origins, points, horizon).

    `week` (origins,) numbers the week of each hour of issue.
    """
    import torch

    found = torch.from_numpy(forecast)
    found, truth = (found, truth) if task.mean_hours == 1 else block_means(found, truth, task)
    error = (found - truth).abs().unflatten(-1, (blocks, -1))
    seen = torch.isfinite(error)
    terms = (torch.where(seen, error, 0.0).sum(dim=(1, 3)), seen.sum(dim=(1, 3)))
    sums = [np.zeros((int(week.max()) + 1, blocks)) for _ in terms]
    for total, part in zip(sums, terms, strict=True):
        np.add.at(total, week, part.numpy().astype(np.float64))
    return sums[0], sums[1]


def within_one_error(errors: np.ndarray, count: np.ndarray) -> int:
    """The first of some candidates, from the most shrunk on, within one standard error of the best.

    `errors` (candidates, weeks) sums of absolute errors, `count` (weeks,) how many they are of. The standard error is
    that of the difference from the best, weeks weighted by their counts.
    """
    weeks = count > 0
    errors, weight = errors[:, weeks], count[weeks] / count.sum()
    mean = errors / count[weeks]
    difference = mean - mean[np.argmin(mean @ weight)]
    average = difference @ weight
    spread = np.sqrt(((difference - average[:, None]) ** 2 * weight**2).sum(axis=1))
    return int(np.argmax(average <= spread))
