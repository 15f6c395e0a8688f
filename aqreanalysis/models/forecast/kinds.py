"""The forecasting models by name, and how each is made from the options of a recipe."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aqreanalysis.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ForecastKind:
    """Where the network of a kind is, imported only when one is made, and how it is fitted.

    `fitted_by` is `steps` of gradient descent, `equations` solved once, or `nothing`. `sizes` names the dataclass of
    the network's options, where they are not arguments of the network itself.
    """

    module: str
    name: str
    fitted_by: Literal["steps", "equations", "nothing"]
    sizes: str = ""

    def found(self, name: str) -> type:
        """A class of the module."""
        return getattr(importlib.import_module(f"aqreanalysis.models.{self.module}"), name)


FORECAST_KINDS = {
    "persistence": ForecastKind("forecast.linear", "Persistence", "nothing"),
    "climatology": ForecastKind("forecast.linear", "Climatology", "equations"),
    "ridge": ForecastKind("forecast.linear", "Ridge", "equations"),
    "dlinear": ForecastKind("forecast.dlinear", "DLinear", "steps"),
    "lstm": ForecastKind("forecast.lstm", "LSTM", "steps"),
    "patchtst": ForecastKind("forecast.patchtst", "PatchTST", "steps"),
    "aqnet": ForecastKind("aqnet.forecast", "AQNetForecast", "steps", sizes="ForecastSizes"),
}


def fitted_by(kind: str) -> str:
    """`steps` of gradient descent, `equations` solved once, or `nothing`."""
    return FORECAST_KINDS[kind].fitted_by


def reads_weather(kind: str) -> bool:
    """Whether a kind can read what is known of the weather of the target hours."""
    entry = FORECAST_KINDS[kind]
    return "weather" in inspect.signature(entry.found(entry.name)).parameters


def make(kind: str, hours: int, horizon: int, level: tuple[float, float], options: dict,
         weather: int = 0) -> nn.Module:
    """An untrained network for windows of `hours` and forecasts of `horizon` hours.

    `level` is mean and standard deviation of log1p(PM2.5) of the training slice; `options` are those of the model's
    file; `weather` is how many variables of it are known of the target hours. A UserError names an option that the
    model does not have.
    """
    entry = FORECAST_KINDS[kind]
    network = entry.found(entry.name)
    arguments = list(inspect.signature(network).parameters)
    given = {"hours": hours, "horizon": horizon, "level": tuple(level), "weather": weather}
    given = {name: value for name, value in given.items() if name in arguments}
    sizes = entry.found(entry.sizes) if entry.sizes else None
    known = list(inspect.signature(sizes).parameters) if sizes else [name for name in arguments if name not in given]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UserError(f"The model {kind} has no option {', '.join(unknown)}.",
                        f"Its options are {', '.join(known) or 'none'}.", "Correct the recipe.")
    return network(**given, sizes=sizes(**options)) if sizes else network(**given, **options)
