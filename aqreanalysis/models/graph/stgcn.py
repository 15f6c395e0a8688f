"""STGCN: gated convolutions in time and Chebyshev graph convolutions in space, by turns.

Yu, B., Yin, H., Zhu, Z. (2018): Spatio-Temporal Graph Convolutional Networks. IJCAI, 3634-3640,
10.24963/ijcai.2018/505; after the released code. Two blocks 64-16-64 and a read-out:

    block:   GLU convolution in time (3 taps) - Theta *_G (Chebyshev, 3 terms) and ReLU - GLU convolution - layer norm
    GLU:     (P + x) sigmoid(Q), P and Q halves of a convolution, x the last steps (1 x 1 where widths differ)
    *_G:     sum_k theta_k T_k(L) x, T_0 = x, T_1 = L x, T_2 = 2 L T_1 - x, L = -D^-1/2 A D^-1/2 (largest eigenvalue 2)
    read-out over the remaining 4 steps, sigmoid, 1 x 1

STGCN forecasts at the nodes that it was trained on. Used for places without a station, as the source of SPIN does
without saying how, what is chosen is: the window of 12 h lies round the estimated hour (6 h before, 5 h after); masked
and missing values are 0 after a z-score; the layer norm is over channels alone (published: nodes and channels, which
ties it to one set of nodes); A is SPIN's distance kernel; masked places send nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

TAPS, TERMS, BEFORE, AFTER = 3, 3, 6, 5
LEFT = BEFORE + AFTER + 1 - 4 * (TAPS - 1)  # steps of the window that two blocks leave


@dataclass(frozen=True)
class StgcnSizes:
    """Options of the network, as in a recipe."""

    outer: int = 64
    inner: int = 16

    def asdict(self) -> dict:
        return asdict(self)


class GatedConvolution(nn.Module):
    """(batch, places, steps, inputs) to (batch, places, steps - taps + 1, outputs)."""

    def __init__(self, inputs: int, outputs: int, taps: int = TAPS):
        super().__init__()
        self.taps = taps
        self.linear = nn.Linear(taps * inputs, 2 * outputs)
        self.align = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        left = states.shape[2] - self.taps + 1
        stacked = torch.cat([states[:, :, tap:tap + left] for tap in range(self.taps)], dim=-1)
        value, gate = self.linear(stacked).chunk(2, dim=-1)
        return (value + self.align(states[:, :, self.taps - 1:])) * torch.sigmoid(gate)


class ChebyshevConvolution(nn.Module):
    """Messages between places at each step by itself; the widths stay."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(TERMS * width, width)

    def forward(self, states: torch.Tensor, exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        def laplacian(of: torch.Tensor) -> torch.Tensor:
            return -exchange("diffusion", of.flatten(2)).unflatten(2, of.shape[2:])

        once = laplacian(states)
        terms = torch.cat([states, once, 2.0 * laplacian(once) - states], dim=-1)
        return torch.relu(self.linear(terms) + states)


class Block(nn.Module):
    def __init__(self, inputs: int, sizes: StgcnSizes):
        super().__init__()
        self.first = GatedConvolution(inputs, sizes.outer)
        self.narrow = nn.Linear(sizes.outer, sizes.inner)
        self.between = ChebyshevConvolution(sizes.inner)
        self.second = GatedConvolution(sizes.inner, sizes.outer)
        self.norm = nn.LayerNorm(sizes.outer)

    def forward(self, states: torch.Tensor, exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        between = self.between(self.narrow(self.first(states)), exchange)
        return self.norm(self.second(between))


class Stgcn(nn.Module):
    """The network; values and estimates are z-scores."""

    def __init__(self, sizes: StgcnSizes = StgcnSizes()):
        super().__init__()
        self.sizes = sizes
        self.blocks = nn.ModuleList([Block(1, sizes), Block(sizes.outer, sizes)])
        self.last = GatedConvolution(sizes.outer, sizes.outer, LEFT)
        self.read_out = nn.Sequential(nn.Linear(sizes.outer, sizes.outer), nn.Sigmoid(), nn.Linear(sizes.outer, 1))

    def forward(self, value: torch.Tensor, exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The estimate (batch, places, hours) from values (batch, places, BEFORE + hours + AFTER), 0 where unknown."""
        states = value[..., None]
        for block in self.blocks:
            states = block(states, exchange)
        return self.read_out(self.last(states))[..., 0]
