"""Absolute error at observed hours, or of means of hours; what is not observed has no part in it."""

from __future__ import annotations

HOURLY = 0.2  # share of the hourly error in the loss where means of hours are asked for


def means(found, truth, task):
    """Means over blocks of `task.mean_hours` of found and truth (..., horizon), both over observed hours alone.

    Returns tensors (..., blocks); a block with fewer than `task.minimum_hours` observed hours is NaN in the truth.
    """
    import torch

    seen = torch.isfinite(truth)
    cut = lambda series: series.unflatten(-1, (-1, task.mean_hours))  # noqa: E731
    count = cut(seen).sum(dim=-1)
    total = [cut(torch.where(seen, series, 0.0)).sum(dim=-1) / count.clamp_min(1) for series in (found, truth)]
    return total[0], torch.where(count >= task.minimum_hours, total[1], torch.nan)


def absolute_error(found, truth, task, hourly: float = 0.0, exponent: float = 0.0):
    """Mean absolute error in ug m-3 of found against truth (..., horizon), NaN where not observed.

    Where the task asks for means of hours, the error of the means, with a share `hourly` of the hours' own. Leads
    (or blocks) are weighted by their number to the power of -`exponent`: errors grow with the lead, and without
    weights the first hours, of which most is known, would hardly be learned from.
    """
    if task.mean_hours == 1:
        return _mean_error(found, truth, exponent)
    daily = _mean_error(*means(found, truth, task), exponent)
    return daily if not hourly else hourly * _mean_error(found, truth, exponent) + (1.0 - hourly) * daily


def _mean_error(found, truth, exponent: float):
    import torch

    weight = torch.arange(1, truth.shape[-1] + 1) ** -exponent
    weight = torch.isfinite(truth) * (weight / weight.mean())
    error = (found - torch.where(weight > 0, truth, 0.0)).abs()
    return (weight * error).sum() / weight.sum().clamp_min(1.0)
