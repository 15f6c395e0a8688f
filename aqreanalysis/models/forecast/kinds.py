"""The forecasting models by name, and how each is made from the options of a recipe."""

from __future__ import annotations

import importlib
import inspect

from aqreanalysis.errors import UserError

NETS = "aqreanalysis.models.forecast.nets"
# name in recipes -> (module, class, how it is fitted)
KINDS = {
    "persistence": ("linear", "Persistence", "nothing"),
    "climatology": ("linear", "Climatology", "equations"),
    "ridge": ("linear", "Ridge", "equations"),
    "dlinear": ("dlinear", "DLinear", "steps"),
    "lstm": ("lstm", "LSTM", "steps"),
    "patchtst": ("patchtst", "PatchTST", "steps"),
    "aqnet": ("aqnet", "AQNetForecast", "steps"),
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
    maker = getattr(importlib.import_module(f"{NETS}.{module}"), name)
    given = {"hours": hours, "horizon": horizon}
    known = list(inspect.signature(maker).parameters)
    given |= {"level": tuple(level)} if "level" in known else {}
    sizes = getattr(importlib.import_module(f"{NETS}.{module}"), "Sizes", None)
    named = list(inspect.signature(sizes).parameters) if sizes else [key for key in known if key not in given]
    unknown = sorted(set(options) - set(named))
    if unknown:
        raise UserError(f"The model {kind} has no option {', '.join(unknown)}.",
                        f"Its options are {', '.join(named) or 'none'}.", "Mend the recipe.")
    return maker(**given, sizes=sizes(**options)) if sizes else maker(**given, **options)
