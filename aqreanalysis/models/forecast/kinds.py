"""The forecasting models by name, and how each is made from the options of a recipe."""

from __future__ import annotations

import importlib
import inspect

from aqreanalysis.errors import UserError

# name in recipes -> (module, class, how it is fitted)
KINDS = {
    "persistence": ("aqreanalysis.models.forecast.linear", "Persistence", "nothing"),
    "climatology": ("aqreanalysis.models.forecast.linear", "Climatology", "equations"),
    "ridge": ("aqreanalysis.models.forecast.linear", "Ridge", "equations"),
    "dlinear": ("aqreanalysis.models.forecast.dlinear", "DLinear", "steps"),
    "lstm": ("aqreanalysis.models.forecast.lstm", "LSTM", "steps"),
    "patchtst": ("aqreanalysis.models.forecast.patchtst", "PatchTST", "steps"),
    "aqnet": ("aqreanalysis.models.aqnet.forecast", "AQNetForecast", "steps"),
}


def fitted_by(kind: str) -> str:
    """`steps` of gradient descent, `equations` solved once, or `nothing`."""
    return KINDS[kind][2]


def make(kind: str, hours: int, horizon: int, level: tuple[float, float], options: dict):
    """An untrained network for windows of `hours` and forecasts of `horizon` hours.

    `level` is mean and standard deviation of log1p(PM2.5) of the training slice; `options` are those of the model's
    file. A UserError names an option that the model has not.
    """
    module, name, _ = KINDS[kind]
    maker = getattr(importlib.import_module(module), name)
    given = {"hours": hours, "horizon": horizon}
    known = list(inspect.signature(maker).parameters)
    given |= {"level": tuple(level)} if "level" in known else {}
    sizes = getattr(importlib.import_module(module), "Sizes", None)
    named = list(inspect.signature(sizes).parameters) if sizes else [key for key in known if key not in given]
    unknown = sorted(set(options) - set(named))
    if unknown:
        raise UserError(f"The model {kind} has no option {', '.join(unknown)}.",
                        f"Its options are {', '.join(named) or 'none'}.", "Mend the recipe.")
    return maker(**given, sizes=sizes(**options)) if sizes else maker(**given, **options)
