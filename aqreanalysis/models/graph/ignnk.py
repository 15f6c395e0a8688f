"""IGNNK: three diffusion graph convolutions over windows of a day.

Wu, Y., Zhuang, D., Labbe, A., Sun, L. (2021): Inductive Graph Neural Networks for Spatiotemporal Kriging. AAAI 35(5),
4478-4485, 10.1609/aaai.v35i5.16575; after the released code. The window of 24 h of a place is its feature vector x:

    h1 = ReLU(G1 x),  h2 = ReLU(G2 h1) + h1,  estimate = G3 h2,   G x = [x, A_q x, A_h x] Theta + b,   24 - 100 - 24

A_q = rownorm(A)^T and A_h = rownorm(A^T)^T with A = exp(-d^2 / sigma^2) of all pairs, own edges of 1 included, sigma
the standard deviation of the distances. A of distances is symmetric, so A_q = A_h = kernel "walk" of links.py, which
is computed once and given twice. Masked and missing values are 0, there is no mask channel; values are over a constant.

Published, a masked node passes on what it got; here (in `predict`) it sends nothing, so that estimates do not depend on
each other. `benchmarks/inductive.py` has both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

WINDOW, HIDDEN = 24, 100


@dataclass(frozen=True)
class IgnnkSizes:
    """Options of the network, as in a recipe."""

    hidden: int = HIDDEN

    def asdict(self) -> dict:
        return asdict(self)


class DiffusionConvolution(nn.Module):
    """[x, A_q x, A_h x] Theta + b, weights uniform in +- 1 / sqrt(outputs), as released."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(3 * inputs, outputs)
        for parameter in self.linear.parameters():
            nn.init.uniform_(parameter, -(outputs**-0.5), outputs**-0.5)

    def forward(self, states: torch.Tensor, exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        walked = exchange("walk", states)
        return self.linear(torch.cat([states, walked, walked], dim=-1))


class Ignnk(nn.Module):
    """(batch, places, 24) to the same."""

    def __init__(self, sizes: IgnnkSizes = IgnnkSizes()):
        super().__init__()
        self.sizes = sizes
        self.first = DiffusionConvolution(WINDOW, sizes.hidden)
        self.second = DiffusionConvolution(sizes.hidden, sizes.hidden)
        self.third = DiffusionConvolution(sizes.hidden, WINDOW)

    def forward(self, value: torch.Tensor, exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The estimate of each hour of the window, from values (batch, places, 24), 0 where masked or missing."""
        hidden = torch.relu(self.first(value, exchange))
        hidden = torch.relu(self.second(hidden, exchange)) + hidden
        return self.third(hidden, exchange)
