"""Messages along a graph: what places receive from stations. Tensors in, tensors out.

A network asks for messages through an *exchange*, `exchange(kernel, states)`; it does not know who sends. That is how
one network serves three purposes, and why an estimate can not depend on which other places are asked:

- `Among` - stations exchange messages with each other, and what they sent is kept, in order;
- `Towards` - places without a station receive what was kept, and send nothing;
- in training both are one graph in which hidden stations do not send (`Among` with `sending` of 0 for them): the same
  numbers, as tests show.

A station that sends nothing in an hour (hidden, or nothing observed) has no part in sums and degrees of that hour.
Degrees are of the stations that send. With s_j 1 where j sends, d_i = sum_j A_ij s_j:

- "diffusion":  m_i = sum_j A_ij s_j x_j / sqrt(d_i d_j)       (D^-1/2 A D^-1/2)
- "average":    m_i = sum_j A_ij s_j x_j / d_i                   (rows sum to one)
- "walk":       m_i = x_i / (1 + d_i) + sum_j A_ij s_j x_j / (1 + d_j), own edges of 1 included (IGNNK's rownorm(A)^T)
- "advection":  m_i = sum_j r_ij s_j x_j / sum_j r_ij s_j       (Links.rates; 0 without wind towards i)

Where places are few the matrices are dense; else sparse (CSR), which no gradient is taken of.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from aqreanalysis.models.graph.graph import Edges, advection_factor

DENSE = 256_000  # entries of a matrix, up to which it is dense
TINY = 1e-12
LEAST_DEGREE = 1e-36  # of an average: with a kernel of 15 km, one station 193 km away


@dataclass(frozen=True)
class Links:
    """A graph's edges as tensors.

    `weight` (edges,) of the distance kernel, `factor` (edges,) of advection; `dense` says which form is used.
    """

    target: torch.Tensor
    source: torch.Tensor
    weight: torch.Tensor
    factor: torch.Tensor
    east: torch.Tensor
    north: torch.Tensor
    targets: int
    sources: int
    dense: bool

    @classmethod
    def of(cls, edges: Edges, weight, per_distance: bool = True, dense: bool | None = None) -> Links:
        """Of edges with weights (edges,) of the distance kernel."""
        if dense is None:
            dense = edges.targets * edges.sources <= DENSE
        target, source = (torch.as_tensor(a, dtype=torch.long) for a in (edges.target, edges.source))
        rate = advection_factor(edges.distance, per_distance=per_distance)
        weight, rate, east, north = (torch.as_tensor(a, dtype=torch.float32)
                                     for a in (weight, rate, edges.east, edges.north))
        return cls(target, source, weight, rate, east, north, edges.targets, edges.sources, dense)

    def matrix(self, values: torch.Tensor) -> torch.Tensor:
        """Values (..., edges) as a matrix (..., targets, sources)."""
        full = values.new_zeros(*values.shape[:-1], self.targets * self.sources)
        full[..., self.target * self.sources + self.source] = values
        return full.unflatten(-1, (self.targets, self.sources))

    def sparse(self, values: torch.Tensor) -> torch.Tensor:
        """Values (edges,) as a CSR matrix (targets, sources)."""
        rows = torch.zeros(self.targets + 1, dtype=torch.long)
        rows[1:] = torch.bincount(self.target, minlength=self.targets).cumsum(0)
        hear_that_csr_is_young()
        return torch.sparse_csr_tensor(rows, self.source, values, (self.targets, self.sources), check_invariants=False)

    @cached_property
    def _near(self) -> torch.Tensor:
        """A, in the form that is used."""
        return self.matrix(self.weight) if self.dense else self.sparse(self.weight)

    def near(self, states: torch.Tensor) -> torch.Tensor:
        """sum_j A_ij x_j (batch, targets, width) of states (batch, sources, width)."""
        batch, _, width = states.shape
        if self.dense:
            return self._near @ states
        product = self._near @ states.transpose(0, 1).reshape(self.sources, batch * width)
        return product.reshape(self.targets, batch, width).transpose(0, 1)

    def rates(self, wind: torch.Tensor) -> torch.Tensor:
        """r_ij (batch, edges) of winds (batch, sources, 2) in m s-1, in m s-1 km-1: times 3.6 the share per hour."""
        along = wind[:, self.source, 0] * self.east + wind[:, self.source, 1] * self.north
        return along.clamp(min=0.0) * self.factor

    def blown(self, wind: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """sum_j r_ij x_j (batch, targets, width) of winds (batch, sources, 2) and states (batch, sources, width)."""
        if self.dense:
            return self.matrix(self.rates(wind)) @ states
        return torch.stack([self.sparse(self.rates(one[None])[0]) @ of_one
                            for one, of_one in zip(wind, states, strict=True)])


@cache
def hear_that_csr_is_young() -> None:
    """Make torch's first CSR matrix of this process, of which alone it warns that they are in beta.

    So no filter of warnings is changed while matrices are made, which is slow and not for threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1), check_invariants=False)


class Among:
    """Messages among stations; what they sent is kept in `sent`.

    Parameters
    ----------
    links : from the stations to themselves.
    sending : (batch, stations), 1 where a station sends, else 0.
    wind : (batch, stations, 2), m s-1 towards east and north; None where there is none.
    """

    def __init__(self, links: Links, sending: torch.Tensor, wind: torch.Tensor | None = None):
        self.links, self.sending, self.wind = links, sending[..., None], wind
        self.degree = links.near(self.sending)
        self.sent: list[torch.Tensor] = []

    def __call__(self, kernel: str, states: torch.Tensor) -> torch.Tensor:
        """The messages (batch, stations, width) of states of the same shape."""
        self.sent.append(states)
        return received(kernel, self, self.links, states, states, self.degree)


class Towards:
    """Messages to places without a station, as stations sent them in an `Among`; places send nothing.

    links : from the stations to the places.
    """

    def __init__(self, links: Links, among: Among):
        self.links, self.among = links, among
        self.degree = links.near(among.sending)
        self._asked = 0

    def __call__(self, kernel: str, states: torch.Tensor) -> torch.Tensor:
        """The messages (batch, places, width) where the network is in these states; called as often as `Among` was."""
        self._asked += 1
        return received(kernel, self.among, self.links, self.among.sent[self._asked - 1], states, self.degree)


def received(kernel: str, among: Among, links: Links, sent: torch.Tensor, own: torch.Tensor,
             degree: torch.Tensor) -> torch.Tensor:
    """Messages by one of the kernels in the head of this file; `degree` (batch, targets, 1) of who receives."""
    sending = among.sending
    if kernel == "diffusion":
        return links.near(sending * sent * root(among.degree)) * root(degree)
    if kernel == "average":
        return links.near(sending * sent) / degree.clamp(min=LEAST_DEGREE)
    if kernel == "walk":
        return links.near(sending * sent / (1.0 + among.degree)) + own / (1.0 + degree)
    if kernel != "advection":
        raise ValueError(f"there is no kernel {kernel!r}")
    if among.wind is None:
        return torch.zeros_like(own)
    together = links.blown(among.wind, torch.cat([sending * sent, sending], dim=-1))
    return together[..., :-1] / together[..., -1:].clamp(min=TINY)


def root(degree: torch.Tensor) -> torch.Tensor:
    """d^-1/2, 0 where nobody sends."""
    return torch.where(degree > TINY, degree.clamp(min=TINY) ** -0.5, torch.zeros_like(degree))
