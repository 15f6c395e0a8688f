"""What a trained AQ-Net looks at: attention of its heads, and of blocks of target hours, over many windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AttentionWeights:
    """Means over windows: `heads` (heads, steps) and their standard deviation `spread`; `blocks` (blocks, steps)."""

    heads: np.ndarray
    spread: np.ndarray
    blocks: np.ndarray
    ages: np.ndarray  # (steps,) hours before the hour of issue


def attention_weights(forecaster, data, origins: np.ndarray, near) -> AttentionWeights:
    """The attention of an AQ-Net forecaster at hours of issue (rows of `data`), all stations."""
    import torch

    network = forecaster.network.eval()
    heads, pooled = [], []
    with torch.no_grad():
        for batch in torch.split(torch.as_tensor(origins), 16):
            window = data.window(batch, forecaster.history, forecaster.horizon, near)
            by_head, by_block = network.attention_weights(window)
            heads.append(by_head)
            pooled.append(by_block)
    heads, pooled = torch.cat(heads), torch.cat(pooled)
    return AttentionWeights(heads.mean(0).numpy(), heads.std(0).numpy(), pooled.mean(0).numpy(),
                            network.step_ages().numpy())


def two_kinds(profiles: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Heads (heads, steps) laid out by their first two principal components and split in two by k-means.

    Returns places (heads, 2), clusters (heads,) and the head nearest to the middle of each; cluster 0 is the one that
    looks at later steps.
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
    chosen = tuple(int(np.where(cluster == number, distance[:, number], np.inf).argmin()) for number in (0, 1))
    return place, cluster, chosen


def by_block(weights: np.ndarray, ages: np.ndarray, hours: int) -> np.ndarray:
    """Sums of weights (..., steps) over blocks of so many hours before the hour of issue, oldest first."""
    block = (ages // hours).astype(int)
    count = int(block.max()) + 1
    summed = np.zeros((*weights.shape[:-1], count))
    np.add.at(summed, (..., count - 1 - block), weights)
    return summed
