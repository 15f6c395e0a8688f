"""What is forecast, and the slices of a time axis in which: training, validation and test, one after the other.

Windows and forecasts are whole within their slice, so no value of one slice is read or forecast in another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aqreanalysis.errors import UserError


@dataclass(frozen=True)
class ForecastTask:
    """What is forecast: lengths in hours, and how hours are averaged before errors are taken."""

    history: int
    horizon: int
    mean_hours: int = 1        # 24: errors of daily means
    minimum_hours: int = 1     # valid hours that such a mean needs
    validate_every: int = 7    # hours between hours of issue in validation; prime to 24: all hours of the day


@dataclass(frozen=True)
class Slices:
    """Numbers of rows: training is [0, train), validation [train, validate), test [validate, hours)."""

    train: int
    validate: int
    hours: int

    @classmethod
    def of(cls, hours: int, train: float = 0.7, validate: float = 0.1) -> Slices:
        """The first shares of a period in training and validation, the rest in the test."""
        return cls(round(train * hours), round((train + validate) * hours), hours)

    def bounds(self, name: str) -> tuple[int, int]:
        """First row and the row after the last of `train`, `validate` or `test`."""
        edges = {"train": (0, self.train), "validate": (self.train, self.validate), "test": (self.validate, self.hours)}
        return edges[name]

    def origins(self, name: str, history: int, horizon: int, every: int = 1) -> np.ndarray:
        """Rows of the hours of issue whose window and forecast are within the slice; every so many hours."""
        first, after = self.bounds(name)
        found = np.arange(first + history - 1, after - horizon, every)
        if not len(found):
            raise UserError(f"The {name} slice has {after - first} hours.",
                            f"A window of {history} h and a forecast of {horizon} h must fit into it.",
                            "Use a longer period or a larger share.")
        return found
