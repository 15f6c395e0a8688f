"""SPIN: diffusion and advection of what stations observe, over what the weather says of each place.

Wang et al. (2025), arXiv 2511.16013, from the equations of the first author's thesis; no code is released. (Not the
SPIN of Marisca et al. 2022.) With X the inputs of a place in the hours up to the estimated one:

    h_temp = TCN(X)                                            causal convolutions, dilations 1 2 4 8
    h      = [h_temp, y]                                       y the observed value, 0 at a masked place
    twice:  m_D = D^-1/2 A D^-1/2 h,  m_A = advection of h     graph.py, links.py
            g = sigmoid(W [m_D, m_A] + b),  h <- ReLU(h + g m_D + (1 - g) m_A)
    PM2.5  = w h + c                                           width 64

The training adds an MLP on h_temp alone, whose error at observed places counts too (`first_guess`).

What the source leaves open, and what is chosen here:

- Normalisation: y and the estimate are PM2.5 over the training mean, so that 0 is a masked place and ReLU takes nothing
  away; inputs are standardised (weather.py). Missing weather is 0, the mean, and carries nothing.
- The convolutions have two taps, and their input is added; together they see HISTORY + 1 = 16 hours.
- Emissions are not to be had: the clock (hour, day of the week, month) stands for them.
- A station without a value in an hour neither sends in it nor counts in degrees (as published its 0 would read as clean
  air). Masked places send nothing (published: they pass on what they got), so that an estimate does not depend on which
  others are asked.
- Gates are per channel; each layer has a W of its own.

`diffusion: average` divides by the receiver's degree alone, so that rows sum to one. As published a message is
multiplied by sqrt(d_i / d_j) of that: nearly nothing reaches a lonely place, whose estimate falls to the read-out's
constant ("baseline concentrations" in the source).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

DILATIONS = (1, 2, 4, 8)
HISTORY = sum(DILATIONS)  # hours of inputs before the estimated one, with two taps


@dataclass(frozen=True)
class SpinSizes:
    """Options of the network, as in a recipe."""

    inputs: int = 6        # of each place and hour: weather and clock
    width: int = 64
    layers: int = 2
    advection: bool = True
    diffusion: str = "diffusion"  # as published, or "average"

    def asdict(self) -> dict:
        return asdict(self)


class Temporal(nn.Module):
    """(batch, places, HISTORY + hours, inputs) to (batch, places, hours, width): h_temp of each hour."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.lift = nn.Linear(inputs, width)
        self.taps = nn.ModuleList(nn.Linear(2 * width, width) for _ in DILATIONS)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.lift(inputs))
        for dilation, taps in zip(DILATIONS, self.taps, strict=True):
            before, now = hidden[..., :-dilation, :], hidden[..., dilation:, :]
            hidden = now + torch.relu(taps(torch.cat([before, now], dim=-1)))
        return hidden


class Spin(nn.Module):
    """The network; estimates are over the training mean of PM2.5."""

    def __init__(self, sizes: SpinSizes = SpinSizes()):
        super().__init__()
        self.sizes = sizes
        self.temporal = Temporal(sizes.inputs, sizes.width - 1)
        gates = sizes.layers if sizes.advection else 0
        self.gates = nn.ModuleList(nn.Linear(2 * sizes.width, sizes.width) for _ in range(gates))
        self.read_out = nn.Linear(sizes.width, 1)
        self.guess = nn.Sequential(nn.Linear(sizes.width - 1, 32), nn.ReLU(), nn.Linear(32, 1))
        for constant in (self.read_out.bias, self.guess[-1].bias):
            nn.init.ones_(constant)  # the mean level

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """h_temp, (batch x hours, places, width - 1), of inputs (batch, places, HISTORY + hours, inputs)."""
        return self.temporal(inputs).transpose(1, 2).flatten(0, 1)

    def first_guess(self, h_temp: torch.Tensor) -> torch.Tensor:
        """What h_temp alone says, (batch x hours, places)."""
        return self.guess(h_temp)[..., 0]

    def propagate(self, h_temp: torch.Tensor, value: torch.Tensor,
                  exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The estimate (batch x hours, places) from h_temp and values of the same hours, 0 where masked or missing."""
        hidden = torch.cat([h_temp, value[..., None]], dim=-1)
        for layer in range(self.sizes.layers):
            message = exchange(self.sizes.diffusion, hidden)
            if self.sizes.advection:
                blown = exchange("advection", hidden)
                gate = torch.sigmoid(self.gates[layer](torch.cat([message, blown], dim=-1)))
                message = gate * message + (1.0 - gate) * blown
            hidden = torch.relu(hidden + message)
        return self.read_out(hidden)[..., 0]
