"""What is forecast and scored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What is forecast: lengths in hours, and how hours are averaged before errors are taken."""

    history: int
    horizon: int
    mean_hours: int = 1        # 24: errors of daily means
    minimum_hours: int = 1     # valid hours that such a mean needs
    validate_every: int = 7    # hours between hours of issue in validation; prime to 24: all hours of the day
