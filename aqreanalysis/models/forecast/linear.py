"""Linear forecasts in closed form: ridge regression, persistence and climatology.

Ridge: Hoerl & Kennard 1970, Technometrics 12, 55-67, by its normal equations. Persistence, the last value, and
climatology, the mean of the time of day and year, are the reference of every forecast (Murphy 1992, Weather and
Forecasting 7, 692-698).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from aqreanalysis.models.forecast.known import weather_means, weather_steps
from aqreanalysis.models.forecast.series import LARGEST_LOG1P
from aqreanalysis.models.forecast.window import Window, at_points, thin

CONCENTRATION_UNIT = 100.0   # ug m-3 of a concentration where a regression works on values, not on logarithms
HARMONIC_COLUMNS = 5         # sine and cosine of an angle and of its double, and a constant
CLIMATOLOGY_PENALTY = 1e-6   # of its least squares, so that a training slice of less than a year can be solved
HOUR_OF_DAY, TIME_OF_YEAR = 0, 4  # where their sine and cosine stand in cyclic time


class NormalEquations:
    """Sums over batches from which ridge coefficients follow; float64, as large as features squared.

    The coefficients B minimise |X B - Y|^2 + penalty s |B'|^2, with B' all rows of B but the constant's and s the mean
    of the sums of squares of the features: B = (X^T X + penalty s D)^-1 X^T Y, D the identity with a 0 at the constant.
    """

    def __init__(self) -> None:
        self.square, self.product = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        self.rows = 0

    def add(self, features: torch.Tensor, wanted: torch.Tensor) -> None:
        """Rows X (n, features), the last feature 1, and Y (n, outputs) that is wanted; rows with NaN are left out."""
        whole = torch.isfinite(wanted).all(dim=1)
        features, wanted = features[whole].double(), wanted[whole].double()
        self.square = self.square + features.T @ features
        self.product = self.product + features.T @ wanted
        self.rows += len(features)

    def solve(self, penalty: float) -> torch.Tensor:
        """Coefficients B (features, outputs), float32."""
        scale = torch.diagonal(self.square).clone()
        shrink = penalty * scale[:-1].mean()
        scale[:-1], scale[-1] = shrink, 0.0
        return torch.linalg.solve(self.square + torch.diag(scale), self.product).float()


class Ridge(nn.Module):
    """Ridge regression of every lead on the station's own window.

    `space` "log" works on scaled log1p, "value" on concentrations; `pollutants` are read of the station (1: PM2.5
    alone, 6: all), `network` of them also as the mean of all stations. `level` is mean and standard deviation of
    log1p(PM2.5) in the training slice. Before the last `recent` hours means over `every` hours are read. Of `weather`
    variables the means over `weather_every` hours of all target hours, and of the time before them, are read too.
    """

    level: torch.Tensor
    weight: torch.Tensor

    def __init__(self, hours: int, horizon: int, level: tuple[float, float], penalty: float = 1e-4,
                 space: str = "log", pollutants: int = 1, network: int = 0, recent: int = 48, every: int = 6,
                 weather: int = 0, weather_every: int = 24):
        super().__init__()
        if space not in ("log", "value"):
            raise ValueError(f"space is log or value, not {space!r}")
        self.space, self.pollutants, self.network, self.penalty = space, pollutants, network, penalty
        self.recent, self.every, self.weather, self.weather_every = recent, every, weather, weather_every
        self.register_buffer("level", torch.tensor(level))
        steps = thin(torch.zeros(1, hours, 1), recent, every).shape[1]
        known = weather_steps(horizon, weather_every) * weather if weather else 0
        self.register_buffer("weight", torch.zeros(steps * (pollutants + network) + known + 1, horizon))

    def features(self, window: Window) -> torch.Tensor:
        """(batch, stations, features), the last of them 1."""
        own, around = window.values[..., :self.pollutants], window.mean[:, None, :, :self.network]
        if self.space == "value":  # PM2.5 alone; the other pollutants stay in the logarithm
            own, around = self._values(own), self._values(around)
        parts = [thin(own, self.recent, self.every).flatten(2)]
        if self.network:
            parts.append(thin(around, self.recent, self.every).flatten(2).expand(-1, own.shape[1], -1))
        if self.weather:
            parts.append(weather_means(window, self.weather_every).flatten(1)[:, None].expand(-1, own.shape[1], -1))
        return torch.cat([*parts, torch.ones_like(parts[0][..., :1])], dim=-1)

    def _values(self, logs: torch.Tensor) -> torch.Tensor:
        pm25 = torch.expm1((logs[..., :1] * self.level[1] + self.level[0]).clamp_max(LARGEST_LOG1P))
        return torch.cat([pm25 / CONCENTRATION_UNIT, logs[..., 1:]], dim=-1)

    def wanted(self, truth: torch.Tensor) -> torch.Tensor:
        """What is regressed on, from PM2.5 in ug m-3."""
        if self.space == "value":
            return truth / CONCENTRATION_UNIT
        return (torch.log1p(truth) - self.level[0]) / self.level[1]

    def fit(self, batches: Iterable[tuple[Window, torch.Tensor]]) -> Ridge:
        """From batches of windows and of PM2.5 (batch, stations, horizon) in ug m-3, NaN where unknown."""
        equations = NormalEquations()
        for window, truth in batches:
            equations.add(self.features(window).flatten(0, 1), self.wanted(truth).flatten(0, 1))
        self.weight.copy_(equations.solve(self.penalty))
        return self

    def at_stations(self, window: Window) -> torch.Tensor:
        """Scaled log1p(PM2.5) (batch, stations, horizon)."""
        found = self.features(window) @ self.weight
        if self.space == "value":
            found = (torch.log1p(CONCENTRATION_UNIT * found.clamp_min(0.0)) - self.level[0]) / self.level[1]
        return found

    def forward(self, window: Window) -> torch.Tensor:
        return at_points(self.at_stations(window), window.neighbours)


class Persistence(nn.Module):
    """The mean of the last `mean_hours` (1: the last value), for every lead."""

    def __init__(self, hours: int, horizon: int, mean_hours: int = 1):
        super().__init__()
        self.mean_hours = mean_hours

    def forward(self, window: Window) -> torch.Tensor:
        last = window.values[:, :, -self.mean_hours:, 0].mean(dim=2, keepdim=True)
        return at_points(last.expand(-1, -1, window.horizon), window.neighbours)


class Climatology(nn.Module):
    """Mean PM2.5 of the time of day and year: least squares on two harmonics of each and their products.

    With (1, sin a, cos a, sin 2a, cos 2a) of the hour of the day and of the time of the year, their 25 products.
    """

    level: torch.Tensor
    weight: torch.Tensor

    def __init__(self, hours: int, horizon: int, level: tuple[float, float]):
        super().__init__()
        self.register_buffer("level", torch.tensor(level))
        self.register_buffer("weight", torch.zeros(HARMONIC_COLUMNS**2, 1))

    @staticmethod
    def features(clock: torch.Tensor) -> torch.Tensor:
        """(..., 25) of cyclic time (..., 6)."""
        day, year = (torch.cat([_harmonics(clock[..., first:first + 2]), torch.ones_like(clock[..., :1])], dim=-1)
                     for first in (HOUR_OF_DAY, TIME_OF_YEAR))
        return (day[..., :, None] * year[..., None, :]).flatten(-2)

    def fit(self, batches: Iterable[tuple[Window, torch.Tensor]]) -> Climatology:
        """From batches as Ridge.fit takes them. All stations of an hour are one row, weighted by their number."""
        equations = NormalEquations()
        for window, truth in batches:
            root = torch.isfinite(truth).sum(dim=1).sqrt()[..., None]
            features = root * self.features(window.coming)
            equations.add(features.flatten(0, 1), (truth.nansum(dim=1)[..., None] / root).flatten(0, 1))
        self.weight.copy_(equations.solve(CLIMATOLOGY_PENALTY))
        return self

    def forward(self, window: Window) -> torch.Tensor:
        mean = (self.features(window.coming) @ self.weight).squeeze(-1).clamp_min(0.0)
        return ((torch.log1p(mean) - self.level[0]) / self.level[1])[:, None].expand(
            -1, len(window.neighbours.index), -1)


def _harmonics(pair: torch.Tensor) -> torch.Tensor:
    """sin, cos, sin 2, cos 2 of an angle whose sin and cos are given."""
    sin, cos = pair[..., :1], pair[..., 1:]
    return torch.cat([sin, cos, 2.0 * sin * cos, cos * cos - sin * sin], dim=-1)
