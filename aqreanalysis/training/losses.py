"""What training minimises, of analyses and of forecasts. What is not observed has no part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqreanalysis.training.slices import ForecastTask

if TYPE_CHECKING:
    import torch

# Of the loss of an analysis: what an error must be for a term to count 1, and how the terms are weighted.
ABSOLUTE_UNIT = 20.0         # ug m-3
LOG_WEIGHT, SQUARED_WEIGHT, DAILY_WEIGHT = 0.3, 0.1, 0.6
LIKELIHOOD_WEIGHT = 0.1      # of the likelihood of the scale
HOURLY_SHARE = 0.2           # of hours' own error in the loss of a forecast where means of hours are asked for


def analysis_loss(estimate: torch.Tensor, scale: torch.Tensor, truth: torch.Tensor,
                  level: torch.Tensor) -> torch.Tensor:
    """Absolute, relative and squared error of hours, error of their mean, and the Laplace likelihood of the scale.

        L = mean |e| / 20 + 0.3 mean |log((estimate + 5) / (truth + 5))| + 0.1 mean e^2 / (20 (estimate + 20))
            + 0.6 mean |mean of e over a target's hours| / 20 + 0.1 mean(log s + |e| / s),      e = estimate - truth

    all concentrations over the factor f by which the levels of the sample were multiplied, so that it does not weigh
    more or less. In the last term e has no gradient: the scale does not pull the estimate.

    Parameters
    ----------
    estimate, scale, truth : (targets, hours) in ug m-3; truth NaN where nothing was observed.
    level : (targets,), the factor f.
    """
    import torch

    seen = torch.isfinite(truth)
    level = level[:, None]
    estimate, scale, truth = estimate / level, scale / level, torch.nan_to_num(truth) / level
    error = (estimate - truth) * seen
    count = seen.sum().clamp_min(1)
    relative = ((torch.log(estimate + 5.0) - torch.log(truth + 5.0)).abs() * seen).sum() / count
    square = (error**2 / (estimate.detach() + ABSOLUTE_UNIT)).sum() / count / ABSOLUTE_UNIT
    daily = (error.sum(1) / seen.sum(1).clamp_min(1)).abs().mean() / ABSOLUTE_UNIT
    likelihood = ((torch.log(scale) + error.detach().abs() / scale) * seen).sum() / count
    return (error.abs().sum() / count / ABSOLUTE_UNIT + LOG_WEIGHT * relative + SQUARED_WEIGHT * square
            + DAILY_WEIGHT * daily + LIKELIHOOD_WEIGHT * likelihood)


def block_means(found: torch.Tensor, truth: torch.Tensor, task: ForecastTask) -> tuple[torch.Tensor, torch.Tensor]:
    """Means over blocks of `task.mean_hours` of found and truth (..., horizon), both over observed hours alone.

    Returns tensors (..., blocks); a block with fewer than `task.minimum_hours` observed hours is NaN in the truth.
    """
    import torch

    def blocks(series: torch.Tensor) -> torch.Tensor:
        return series.unflatten(-1, (-1, task.mean_hours))

    seen = torch.isfinite(truth)
    count = blocks(seen).sum(dim=-1)
    total = [blocks(torch.where(seen, series, 0.0)).sum(dim=-1) / count.clamp_min(1) for series in (found, truth)]
    return total[0], torch.where(count >= task.minimum_hours, total[1], torch.nan)


def absolute_error(found: torch.Tensor, truth: torch.Tensor, task: ForecastTask, hourly: float = 0.0,
                   exponent: float = 0.0) -> torch.Tensor:
    """Mean absolute error in ug m-3 of found against truth (..., horizon), NaN where not observed.

    Where the task asks for means of hours, the error of the means, with a share `hourly` of the hours' own. Leads
    (or blocks) l = 1, 2, ... are weighted by l^-exponent: errors grow with the lead, and without weights the first
    hours, of which most is known, would hardly be learned from.
    """
    if task.mean_hours == 1:
        return _weighted_error(found, truth, exponent)
    of_means = _weighted_error(*block_means(found, truth, task), exponent)
    return of_means if not hourly else hourly * _weighted_error(found, truth, exponent) + (1.0 - hourly) * of_means


def _weighted_error(found: torch.Tensor, truth: torch.Tensor, exponent: float) -> torch.Tensor:
    import torch

    weight = torch.arange(1, truth.shape[-1] + 1) ** -exponent
    weight = torch.isfinite(truth) * (weight / weight.mean())
    error = (found - torch.where(weight > 0, truth, 0.0)).abs()
    return (weight * error).sum() / weight.sum().clamp_min(1.0)
