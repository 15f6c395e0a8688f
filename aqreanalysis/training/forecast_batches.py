"""What a training step of a forecast reads: hours of issue and stations drawn at random, and windows made less certain.

Three years of training have three of each season: a network that knows the week of the year learns those three by
heart. And levels fell from year to year. So windows are turned in the time of year, and raised or lowered together with
what follows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aqreanalysis.models.forecast.series import Series, point_neighbours
from aqreanalysis.recipes import ForecastTraining
from aqreanalysis.training.slices import ForecastTask, Slices

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.forecast.window import Window


@dataclass(frozen=True)
class ForecastBatch:
    """Windows of some stations at some hours of issue and what followed, `truth` (batch, stations, horizon) in ug m-3.

    `hidden` (batch, stations, k) bool marks neighbours that must not be used; None where none is hidden.
    """

    window: Window
    truth: torch.Tensor
    hidden: torch.Tensor | None


def forecast_batches(data: Series, level_std: float, slices: Slices, task: ForecastTask, settings: ForecastTraining,
                     seed: int, k: int) -> Iterator[ForecastBatch]:
    """Endless batches of the training slice; every draw comes from the seed.

    `level_std` is the standard deviation of log1p(PM2.5) by which the series are scaled, `k` the number of stations
    round each point.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    origins = torch.from_numpy(slices.origins("train", task.history, task.horizon))
    n = len(data.station)
    while True:
        issued = origins[torch.randint(len(origins), (settings.origins_per_step,), generator=random)]
        some = torch.randperm(n, generator=random)[:settings.stations_per_step].numpy()
        near = point_neighbours(data.lat[some], data.lon[some], data.lat[some], data.lon[some], k)
        window = data.window(issued, task.history, task.horizon, near, some)
        truth = data.truth_after(issued, task.horizon)[:, some]
        window, truth = jittered(window, truth, settings, level_std, random)
        hidden = None
        if settings.hide:
            drawn = torch.rand((len(issued), len(some), 1), generator=random) < settings.hide
            hidden = near.own[None] & drawn
        yield ForecastBatch(window, truth, hidden)


def jittered(window: Window, truth: torch.Tensor, settings: ForecastTraining, level_std: float,
             random: torch.Generator) -> tuple[Window, torch.Tensor]:
    """Each window's time of year turned by up to `settings.season_jitter` radians, uniformly, and its PM2.5 and truth
    raised by a normal amount of standard deviation `settings.level_jitter` in log1p; the inputs are unchanged."""
    import torch

    batch = len(truth)
    turn = settings.season_jitter * (2.0 * torch.rand((batch, 1), generator=random) - 1.0)
    lift = settings.level_jitter * torch.randn((batch, 1, 1), generator=random)
    up = torch.zeros(window.mean.shape[-1])
    up[0] = 1.0 / level_std
    up = lift * up
    window = replace(window, values=window.values + up[:, None], mean=window.mean + up,
                     past=turned_year(window.past, turn), coming=turned_year(window.coming, turn))
    return window, torch.expm1((torch.log1p(truth) + lift).clamp_min(0.0))


def turned_year(clock: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Cyclic time (batch, hours, 6) with the time of year turned by an angle (batch, 1)."""
    import torch

    sin, cos = clock[..., 4], clock[..., 5]
    year = [sin * torch.cos(angle) + cos * torch.sin(angle), cos * torch.cos(angle) - sin * torch.sin(angle)]
    return torch.cat([clock[..., :4], torch.stack(year, dim=-1)], dim=-1)
