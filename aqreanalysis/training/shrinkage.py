"""How much of what a network learned beyond its base is kept, for each block of leads.

The smallest share whose error on the validation slice is within one standard error of the best share's (Breiman et al.
1984, Classification and Regression Trees, section 3.4.3): half a year of validation holds some thirty weather
episodes, and what can't be told from chance in it need not be there in another year. Weeks are the samples, since
errors of neighbouring hours and stations are the same weather's.
"""

from __future__ import annotations

import numpy as np

from aqreanalysis.training.losses import means
from aqreanalysis.training.slices import Slices
from aqreanalysis.training.task import Task

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
HOURS_PER_WEEK = 168


def choose(forecaster, data, slices: Slices, task: Task, near) -> None:
    """Set `share` of an AQ-Net forecaster's network from its errors on the validation slice."""
    origins = slices.origins("validate", task.history, task.horizon, task.validate_every)
    truth, share = data.truth_after(origins, task.horizon), forecaster.network.share
    blocks = forecaster.network.sizes.blocks
    week = (origins - origins[0]) // HOURS_PER_WEEK
    sums = []
    for candidate in SHARES:
        share.fill_(candidate)
        sums.append(weekly_errors(forecaster.at_origins(data, origins, near), truth, week, blocks, task))
    errors, count = np.stack([error for error, _ in sums]), sums[0][1]
    kept = [SHARES[smallest(errors[:, :, block], count[:, block])] for block in range(blocks)]
    share.copy_(share.new_tensor(kept).repeat_interleave(len(share) // blocks))


def weekly_errors(found: np.ndarray, truth, week: np.ndarray, blocks: int, task: Task):
    """Sums of absolute errors and their count, each (weeks, blocks), of forecasts (origins, points, horizon)."""
    import torch

    found = torch.from_numpy(found)
    found, truth = (found, truth) if task.mean_hours == 1 else means(found, truth, task)
    error = (found - truth).abs().unflatten(-1, (blocks, -1))
    seen = torch.isfinite(error)
    terms = (torch.where(seen, error, 0.0).sum(dim=(1, 3)), seen.sum(dim=(1, 3)))
    sums = [np.zeros((int(week.max()) + 1, blocks)) for _ in terms]
    for total, part in zip(sums, terms, strict=True):
        np.add.at(total, week, part.numpy().astype(np.float64))
    return sums[0], sums[1]


def smallest(errors: np.ndarray, count: np.ndarray) -> int:
    """The first of some candidates within one standard error of the best.

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
