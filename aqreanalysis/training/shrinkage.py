"""How much of what a network has learned is kept: shrinkage towards the baseline from which it started.

AQ-Net starts from a baseline (kriging, or a ridge regression) and learns a correction of it. A correction that is
learned at some stations, or in some years, is in part of those alone, so a factor between 0 (the baseline) and 1 (all
that was learned) is chosen on data that were not trained on:

- of an analysis, the factor with the smallest mean ratio of MAE and RMSE to kriging's at the validation stations, over
  hours and days, single stations and whole cities; the mean level is brought to kriging's for each factor first;
- of a forecast, for each block of leads, the smallest factor whose error on the validation slice is within one
  standard error of the best factor's (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3). Half a
  year of validation holds some thirty weather episodes, and what can not be distinguished from chance in it need not
  hold in another year. Weeks are the samples, since errors of neighbouring hours and stations are the same weather's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis.models.forecast import Forecaster
from aqreanalysis.models.forecast.series import Series
from aqreanalysis.training.analysis import AnalysisTrainer, mean_shift
from aqreanalysis.training.analysis_data import AnalysisData
from aqreanalysis.training.losses import block_means
from aqreanalysis.training.slices import ForecastTask, Slices
from aqreanalysis.training.validation import ValidationScores, Validator, ratios_to_kriging

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.forecast import AQNetForecast
    from aqreanalysis.models.aqnet.network import AQNet
    from aqreanalysis.models.forecast.window import PointNeighbours

ANALYSIS_FACTORS = (0.0, 0.5, 1.0)
ANALYSIS_EVERY_DAYS = 8  # one day in so many chooses the factor of an analysis
FORECAST_FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
HOURS_PER_WEEK = 168
RATIO_DIGITS = 5  # in a checkpoint's description


@dataclass(frozen=True)
class ShrunkAnalysis:
    """A network for analysis after shrinkage, what was done to it, and its scores beside kriging's."""

    network: AQNet
    facts: dict[str, object]
    scores: ValidationScores


def shrink_analysis(trainer: AnalysisTrainer, network: AQNet, data: AnalysisData) -> ShrunkAnalysis:
    """The network with the best factor of ANALYSIS_FACTORS on what it has learned, its mean level at kriging's."""
    from aqreanalysis.models.aqnet.network import recentre, shrink

    networks, shifts = {}, {}
    for factor in ANALYSIS_FACTORS:
        one = networks[f"{factor}"] = copy.deepcopy(network).eval()
        shrink(one.head, factor)
        shifts[f"{factor}"] = mean_shift(trainer.pool, one)
        recentre(one.head, shifts[f"{factor}"])
    models = {name: trainer.model_of(one) for name, one in networks.items()}
    scores = Validator(data, ANALYSIS_EVERY_DAYS).score(models)
    ratios = {name: float(ratios_to_kriging(scores.table, name).to_numpy().mean()) for name in models}
    best = min(ratios, key=lambda name: ratios[name])
    facts: dict[str, object] = {
        "shift": shifts[best], "shrinkage": float(best),
        "mean_ratio_to_kriging_by_shrinkage": {name: round(ratio, RATIO_DIGITS) for name, ratio in ratios.items()}}
    return ShrunkAnalysis(networks[best], facts, scores.only(best))


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
