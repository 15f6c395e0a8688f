"""The attention of a trained AQ-Net forecast: of its heads, and of blocks of target hours, over many windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from aqreanalysis.models.aqnet.forecast import AQNetForecast
    from aqreanalysis.models.forecast.forecaster import Forecaster
    from aqreanalysis.models.forecast.series import Series
    from aqreanalysis.models.forecast.window import PointNeighbours

ATTENTION_WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class AttentionWeights:
    """Means over windows: `heads` (heads, steps) and their standard deviation `spread`; `blocks` (blocks, steps)."""

    heads: np.ndarray
    spread: np.ndarray
    blocks: np.ndarray
    ages: np.ndarray  # (steps,) hours before the hour of issue


def attention_weights(forecaster: Forecaster, data: Series, origins: np.ndarray,
                      near: PointNeighbours) -> AttentionWeights:
    """The attention of an AQ-Net forecaster at hours of issue (rows of `data`), all stations."""
    import torch

    network = cast("AQNetForecast", forecaster.network).eval()
    by_window = []
    with torch.no_grad():
        for batch in torch.split(torch.as_tensor(origins), ATTENTION_WINDOWS_AT_ONCE):
            window = data.window(batch, forecaster.history, forecaster.horizon, near)
            by_window.append(network.attention_weights(window))
    heads, blocks = (torch.cat(parts) for parts in zip(*by_window, strict=True))
    return AttentionWeights(heads.mean(0).numpy(), heads.std(0).numpy(), blocks.mean(0).numpy(),
                            network.step_ages().numpy())


def two_clusters(profiles: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Heads (heads, steps) laid out by their first two principal components and split in two by k-means.

    Returns places (heads, 2), clusters (heads,) and the head nearest to the middle of each; cluster 0 is the one that
    attends to later steps.
    """
    from scipy.cluster.vq import kmeans2

    centred = profiles - profiles.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    place = np.zeros((len(profiles), 2))
    count = min(2, len(size))
    place[:, :count] = left[:, :count] * size[:count]
    middle, cluster = kmeans2(place, place[[place[:, 0].argmin(), place[:, 0].argmax()]], minit="matrix")
    step = np.arange(profiles.shape[1])
    late = [np.mean(profiles[cluster == number] @ step) for number in (0, 1)]
    if late[1] > late[0]:
        cluster, middle = 1 - cluster, middle[::-1]
    distance = np.linalg.norm(place[:, None] - middle[None], axis=-1)
    first, second = (int(np.where(cluster == number, distance[:, number], np.inf).argmin()) for number in (0, 1))
    return place, cluster, (first, second)


def sums_of_hours(weights: np.ndarray, ages: np.ndarray, hours: int) -> np.ndarray:
    """Sums of weights (..., steps) over blocks of so many hours before the hour of issue, oldest first."""
    block = (ages // hours).astype(int)
    count = int(block.max()) + 1
    summed = np.zeros((count, *weights.shape[:-1]))
    np.add.at(summed, count - 1 - block, np.moveaxis(weights, -1, 0))
    return np.moveaxis(summed, 0, -1)
