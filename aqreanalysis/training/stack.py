"""Fits the stack (models/stacking.py) at hidden stations, by reweighted least squares.

What is minimised is absolute error in ug m-3 with a share of squared error: the first makes the median good, the second
the mean and the haze hours. Iteratively reweighted: Holland and Welsch 1977, doi:10.1080/03610927708827533.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.features import Scaler
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.training.views import Settings, draw

ROUNDS = 7
SMALLEST = 0.03   # relative error below which an absolute error counts as squared
SQUARED = 0.25    # share of squared errors
RIDGE = 0.01      # times the normal matrix's diagonal
ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Rows:
    """Hidden stations and hours with truth, float32 (rows,) but for `departures` (rows, departures)."""

    base: np.ndarray        # ug m-3
    departures: np.ndarray  # relative to base + LEVEL
    variance: np.ndarray    # of kriging, for a sill of 1
    truth: np.ndarray       # ug m-3


def fit_stack(cube: xr.Dataset, days: np.ndarray, scaler: Scaler, correlation: Correlation, settings: Settings,
              rng: np.random.Generator):
    """Coefficients of the stack, float32 tensor (knots, 2, departures + 1), from hidden stations of a cube."""
    return solve(collect(cube, days, scaler, correlation, settings, rng))


def collect(cube: xr.Dataset, days: np.ndarray, scaler: Scaler, correlation: Correlation, settings: Settings,
            rng: np.random.Generator) -> Rows:
    """Rows of some drawings of hidden stations, on some days (datetime64[D]) each."""
    import torch

    parts = []
    for _ in range(settings.stack_draws):
        hidden = draw(cube, scaler, correlation, settings, rng)
        variance = hidden.surroundings.sites.variance.numpy()
        for day in rng.choice(days, min(settings.stack_days, len(days)), replace=False):
            first = hidden.side.row_of_day(day)
            truth = hidden.truth[first:first + 24].T
            known = np.isfinite(truth) & np.isfinite(hidden.side.value[first:first + 24]).any(axis=1)
            base, _, found = hidden.departures(day)
            parts.append(Rows(base.numpy()[known], torch.stack(found, dim=-1).numpy()[known],
                              np.broadcast_to(variance[:, None], known.shape)[known], truth[known]))
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__dataclass_fields__))


def solve(rows: Rows):
    """Coefficients by iteratively reweighted least squares with a ridge; see the module's first lines."""
    import torch

    from aqreanalysis.models import stacking

    coefficients = np.zeros(len(stacking.VARIANCE_KNOTS) * 2 * (rows.departures.shape[1] + 1))
    for _ in range(ROUNDS):
        normal, right = 0.0, 0.0
        for start in range(0, len(rows.base), ROWS_AT_ONCE):
            part = Rows(*(getattr(rows, name)[start:start + ROWS_AT_ONCE] for name in Rows.__dataclass_fields__))
            design = design_of(part)
            unit = part.base + stacking.LEVEL
            wanted = (part.truth - part.base) / unit
            error = np.abs(wanted - design @ coefficients.astype(np.float32))
            weight = unit * (1.0 / np.maximum(error, SMALLEST) + SQUARED * unit / stacking.LEVEL)
            weighted = design * weight[:, None]
            normal = normal + (weighted.T @ design).astype(np.float64)
            right = right + (weighted.T @ wanted).astype(np.float64)
        diagonal = np.diag(normal)
        ridge = RIDGE * diagonal + 1e-9 * diagonal.max()
        coefficients = np.linalg.solve(normal + np.diag(ridge), right)
    shape = (len(stacking.VARIANCE_KNOTS), 2, rows.departures.shape[1] + 1)
    found = torch.from_numpy(coefficients.astype(np.float32)).reshape(shape)
    return found * stacking.taking_part()


def design_of(rows: Rows) -> np.ndarray:
    """The design matrix, float32 (rows, knots * 2 * (departures + 1))."""
    import torch

    from aqreanalysis.models import stacking

    hats = stacking.hats(torch.from_numpy(rows.variance))
    height = stacking.level(torch.from_numpy(rows.base))
    found = torch.from_numpy(np.concatenate([rows.departures, np.ones((len(rows.base), 1), np.float32)], axis=1))
    by_level = torch.stack([torch.ones_like(height), height], dim=1)
    design = torch.einsum("nh,nl,ne->nhle", hats, by_level, found) * stacking.taking_part()
    return design.flatten(1).numpy()
