"""The loop in which every network is trained: descent, averaged weights, validation, and which network is kept.

It knows nothing of the network, of what the network reads or of how its error is measured: a loss and a validation are
handed in as functions.

A step draws a batch and takes the gradient of its loss, scaled down where its Euclidean norm exceeds `clip`.

- Optimiser: AdamW (Loshchilov & Hutter 2019, ICLR, arXiv 1711.05101), beta2 = 0.999, epsilon = 1e-8.
- Learning rate: one cycle (Smith & Topin 2019, 10.1117/12.2520589) of two half cosines. It rises from
  learning_rate / FIRST_DIVISOR to learning_rate over the share `warm_up` of the steps, then falls to
  learning_rate / (FIRST_DIVISOR LAST_DIVISOR). Meanwhile AdamW's beta1 falls from MOMENTA[1] to MOMENTA[0] and rises
  again.
- Averaging: what is validated and kept is the exponential average of the weights over the steps (Polyak & Juditsky
  1992, 10.1137/0330046; exponential as in Tarvainen & Valpola 2017, arXiv 1703.01780),

      average <- kept average + (1 - kept) weights,

  where the share kept may grow with the steps. Buffers, such as running statistics, are copied.
- Early stopping: after `patience` validations in a row without a new lowest error the training ends.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from aqreanalysis.errors import UserError

if TYPE_CHECKING:
    import torch

FIRST_DIVISOR, LAST_DIVISOR = 25.0, 1e4  # of the learning rate: the highest over the first, the first over the last
MOMENTA = (0.85, 0.95)  # AdamW's beta1 where the learning rate is highest, and where it is lowest
AnyNetwork = TypeVar("AnyNetwork", bound="torch.nn.Module")


@dataclass(frozen=True)
class DescentSettings:
    """How a network descends; see the head of this file."""

    steps: int
    learning_rate: float             # the highest of the cycle
    weight_decay: float
    warm_up: float                   # share of the steps in which the learning rate rises
    clip: float                      # largest norm of the gradient
    kept: Callable[[int], float]     # share of the averaged weights that a step (1, 2, ...) keeps
    validate_every: int              # steps; the last step is validated in any case
    patience: int | None = None      # validations without a gain; None: all steps are done


@dataclass(frozen=True)
class Validation:
    """What is known after the steps up to a validation."""

    step: int
    loss: float       # mean of the training loss since the validation before
    error: float      # of the averaged network
    lowest: float     # of all validations so far
    improved: bool    # whether this one is the lowest
    seconds: float    # since the loop began


@dataclass(frozen=True)
class Trained(Generic[AnyNetwork]):
    """The averaged network with the lowest validation error, in evaluation mode, and how the training went."""

    network: AnyNetwork
    steps: int
    validations: tuple[Validation, ...]


def steady_average(kept: float) -> Callable[[int], float]:
    """The share `kept` at each step but the first, after which the average is the network itself."""
    return lambda step: kept if step > 1 else 0.0


def growing_average(kept: float) -> Callable[[int], float]:
    """The share step / (step + 9), `kept` at most: early weights, which are far from the last, are soon forgotten."""
    return lambda step: min(kept, step / (step + 9))


class Descent(Generic[AnyNetwork]):
    """One network on its way: its weights, their average, the optimiser's state and the number of steps done.

    Parameters
    ----------
    network : trained in place.
    loss : draws a batch and returns the network's loss on it, a scalar tensor; called once a step with the network in
        training mode.
    settings : of the descent.
    """

    def __init__(self, network: AnyNetwork, loss: Callable[[AnyNetwork], torch.Tensor], settings: DescentSettings):
        import torch

        self.network, self.settings, self._loss = network, settings, loss
        self.average = copy.deepcopy(network)
        self.steps_done = 0
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate,
                                            weight_decay=settings.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=_rise(settings),
            div_factor=FIRST_DIVISOR, final_div_factor=LAST_DIVISOR, base_momentum=MOMENTA[0], max_momentum=MOMENTA[1])

    def step(self) -> float:
        """One step; returns its loss."""
        import torch

        self.network.train()
        loss = self._loss(self.network)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self._optimiser.step()
        self._schedule.step()
        self.steps_done += 1
        follow(self.average, self.network, self.settings.kept(self.steps_done))
        return float(loss.detach())

    def run(self, validate: Callable[[AnyNetwork], float],
            report: Callable[[Validation], None] = lambda validation: None) -> Trained[AnyNetwork]:
        """Descend to the last step, or until patience ends.

        `validate` returns the error of the averaged network, which it gets in evaluation mode; `report` gets every
        validation, and may write the network of one that `improved`, which is in `self.average`.

        Raises
        ------
        UserError : where no validation had a finite error.
        """
        best, validations = None, list[Validation]()
        losses, since, began = list[float](), 0, time.monotonic()
        while self.steps_done < self.settings.steps and since != self.settings.patience:
            losses.append(self.step())
            if self.steps_done % self.settings.validate_every and self.steps_done != self.settings.steps:
                continue
            error = validate(self.average.eval())
            before = validations[-1].lowest if validations else np.inf
            since = 0 if error < before else since + 1
            best = copy.deepcopy(self.average) if error < before else best
            validations.append(Validation(self.steps_done, float(np.mean(losses)), error, min(before, error),
                                          error < before, time.monotonic() - began))
            report(validations[-1])
            losses.clear()
        if best is None:
            raise UserError(f"None of {len(validations)} validations had a finite error.",
                            "The network that is kept is the one with the lowest validation error.",
                            "Lower the learning_rate of the recipe.")
        return Trained(best, self.steps_done, tuple(validations))


def _rise(settings: DescentSettings) -> float:
    """The share of steps in which the learning rate rises; two steps instead of one, where OneCycleLR divides by 0."""
    return 2.0 / settings.steps if settings.warm_up * settings.steps == 1.0 else settings.warm_up


def follow(average: torch.nn.Module, network: torch.nn.Module, kept: float) -> None:
    """Move the average's weights towards the network's, of which they keep a share; buffers are copied."""
    import torch

    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1.0 - kept)
        for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)
