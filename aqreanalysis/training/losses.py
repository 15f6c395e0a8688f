"""What training minimises, of analyses and of forecasts. What is not observed has no part in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqreanalysis.training.slices import ForecastTask

if TYPE_CHECKING:
    import torch

# Of the loss of an analysis: what an error must be for a term to count 1, and how the terms are weighted.
ABSOLUTE_UNIT = 10.0         # ug m-3
SQUARED_UNIT = 1500.0        # (ug m-3)^2
LARGEST_SQUARE = 4e4         # (ug m-3)^2: errors over 200 ug m-3 pull no harder in the squared term
LIKELIHOOD_WEIGHT = 0.2      # of the likelihood of the scale
HOURLY_SHARE = 0.2           # of hours' own error in the loss of a forecast where means of hours are asked for


def analysis_loss(estimate: torch.Tensor, scale: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the Laplace likelihood of the scale; means over the hours with a truth.

        L = mean |e| / ABSOLUTE_UNIT + mean min(e^2, LARGEST_SQUARE) / SQUARED_UNIT
            + LIKELIHOOD_WEIGHT mean(log s + |e| / s),      e = estimate - truth

    The absolute error makes the median good, the squared error the mean and the hours of haze. In the last term, the
    negative logarithm of a Laplace density of scale s but for a constant, e has no gradient: the scale does not pull
    the estimate. PM2.5 is skewed, so what this leaves too low is corrected after training (analysis.mean_shift).

    Parameters
    ----------
    estimate, scale, truth : (targets, hours) in ug m-3; truth NaN where nothing was observed.
    """
    import torch

    known = torch.isfinite(truth)
    error = (estimate - torch.nan_to_num(truth))[known]
    scale = scale[known]
    fit = error.abs().mean() / ABSOLUTE_UNIT + (error**2).clamp_max(LARGEST_SQUARE).mean() / SQUARED_UNIT
    likelihood = (torch.log(scale) + error.detach().abs() / scale).mean()
    return fit + LIKELIHOOD_WEIGHT * likelihood


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
