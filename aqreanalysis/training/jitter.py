"""Training windows made less sure of the time of year and of the level, which change from year to year.

Three years of training have three of each season: a network that knows the week of the year learns those three by
heart. And levels fell from year to year, so a window and its forecast are raised or lowered together.
"""

from __future__ import annotations

from dataclasses import replace


def jittered(window, truth, settings, level_std: float, random):
    """Window and truth with each window's time of year turned by up to `settings.season_jitter` radians, and its PM2.5
    raised by a normal amount of standard deviation `settings.level_jitter` in log1p; the inputs are unchanged."""
    import torch

    batch = len(truth)
    turn = settings.season_jitter * (2.0 * torch.rand((batch, 1), generator=random) - 1.0)
    lift = settings.level_jitter * torch.randn((batch, 1, 1), generator=random)
    up = torch.zeros(window.mean.shape[-1])
    up[0] = 1.0 / level_std
    up = lift * up
    window = replace(window, values=window.values + up[:, None], mean=window.mean + up,
                     past=turned(window.past, turn), coming=turned(window.coming, turn))
    return window, torch.expm1((torch.log1p(truth) + lift).clamp_min(0.0))


def turned(clock, angle):
    """Cyclic time (batch, hours, 6) with the time of year turned by an angle (batch, 1)."""
    import torch

    sin, cos = clock[..., 4], clock[..., 5]
    year = [sin * torch.cos(angle) + cos * torch.sin(angle), cos * torch.cos(angle) - sin * torch.sin(angle)]
    return torch.cat([clock[..., :4], torch.stack(year, dim=-1)], dim=-1)
