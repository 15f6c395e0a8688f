"""External drift: by how much static covariates move the logarithm of a kriged estimate.

Regression kriging splits a field into a trend that covariates explain and a residual that is kriged (Hengl, Heuvelink
and Stein 2004, 10.1016/j.geoderma.2003.08.018). Kriging weights sum to one, so kriging the residual and adding the
trend back is kriging the values and adding the trend's *differences* between the target and its weighted neighbours.
Here the trend is of the logarithm and its coefficients change with hour and season:

    g(t, p) = share * sum over k, m of B[k, m] h_m(t) (s_k(p) - sum over i of w_i(t, p) s_k(i))

with s_k the standardised covariates, w_i the weights of the neighbours i and h_m the harmonics of `harmonics`. At a
station itself the weight is 1 there, the differences are 0, and so is g.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.fields.covariates import Standardisation
from aqreanalysis.fields.static import STATIC_COVARIATES, static_covariates
from aqreanalysis.models.features import cyclic, middle_of_hours

HARMONICS = 5  # 1, sine and cosine of the day, sine and cosine of the year
DAYS_OF_YEAR = 365.25


def harmonics(hours: np.ndarray) -> np.ndarray:
    """1, sin and cos of the hour (UTC+8, its middle), sin and cos of the year, float64 (time, HARMONICS), of stamps."""
    local, hour = middle_of_hours(hours)
    day = np.asarray(local.day_of_year) - 1 + hour / 24.0
    return np.concatenate([np.ones((len(local), 1)), cyclic(hour, 24), cyclic(day, DAYS_OF_YEAR)], axis=1)


@dataclass(frozen=True, repr=False)
class Drift:
    """Coefficients of a drift, and what its covariates are standardised by.

    `coefficients` (covariates, HARMONICS) as nested tuples, plain numbers; `share` of what they say that is used;
    `origin` is a phrase on where they were fitted.
    """

    covariates: Standardisation
    coefficients: tuple[tuple[float, ...], ...]
    share: float = 1.0
    origin: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.coefficients)
        if shape != (len(self.covariates.names), HARMONICS):
            raise ValueError(f"coefficients {shape} are not (covariates, harmonics) = "
                             f"({len(self.covariates.names)}, {HARMONICS})")

    def __repr__(self) -> str:
        numbers = repr((self.covariates, self.coefficients, self.share))
        return f"Drift({', '.join(self.covariates.names)}; {hashlib.sha256(numbers.encode()).hexdigest()[:16]})"

    def at(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Its covariates at places: `standardised`."""
        return standardised(self.covariates, lat, lon)

    def slopes(self, hours: np.ndarray) -> np.ndarray:
        """What one standard deviation of each covariate adds to the logarithm, (time, covariates)."""
        return self.share * harmonics(hours) @ np.asarray(self.coefficients).T

    def log_correction(self, hours: np.ndarray, differences: np.ndarray) -> np.ndarray:
        """g (time, points) of differences between target and weighted neighbours in standardised covariates.

        `differences` (points, covariates), or (time, points, covariates) where the neighbours change with the hour.
        """
        slopes = self.slopes(hours)
        if np.ndim(differences) == 2:
            return slopes @ np.asarray(differences, float).T
        return np.matmul(differences, slopes[:, :, None])[..., 0]

    def asdict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"covariates": self.covariates.asdict(), "coefficients": [list(row) for row in self.coefficients],
                "share": self.share, "origin": self.origin}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Drift:
        """What `asdict` gave."""
        coefficients = tuple(tuple(map(float, row)) for row in stored["coefficients"])
        return cls(Standardisation.from_dict(stored["covariates"]), coefficients, stored["share"], stored["origin"])


def standardisation(names: tuple[str, ...], covariates: xr.Dataset) -> Standardisation:
    """Of some shipped covariates, from their values at stations (point); errors as of Standardisation.fit."""
    return Standardisation.fit(covariates[list(names)], tuple(STATIC_COVARIATES[name].transform for name in names))


def standardised(covariates: Standardisation, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Shipped covariates at places, float32 (points, covariates); NaN outside fields.static.COVERED."""
    return covariates.apply(static_covariates(lat, lon))


@dataclass(frozen=True)
class NormalEquations:
    """Sums over rows of a linear regression without intercept; those of months and stations add."""

    products: np.ndarray  # (terms, terms), of the columns with each other
    moments: np.ndarray   # (terms,), of the columns with what is explained
    rows: int

    @classmethod
    def of(cls, hours: np.ndarray, differences: np.ndarray, residual: np.ndarray) -> NormalEquations:
        """Of rows (n,) with their hour and differences (n, covariates); NaN in neither."""
        columns = np.asarray(differences, float)[:, :, None] * harmonics(hours)[:, None, :]
        design = columns.reshape(len(residual), columns.shape[1] * HARMONICS)
        return cls(design.T @ design, design.T @ np.asarray(residual, float), len(residual))

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.products + other.products, self.moments + other.moments, self.rows + other.rows)

    def solve(self, penalty: float) -> tuple[tuple[float, ...], ...]:
        """Coefficients (covariates, HARMONICS) of ridge regression (Hoerl and Kennard 1970, 10.2307/1267351).

        `penalty` is in units of the mean square of a standardised difference, so it does not depend on the number of
        rows. ValueError where there is none.
        """
        if not self.rows:
            raise ValueError("there are no rows to fit a drift to")
        terms = len(self.moments)
        found = np.linalg.solve(self.products / self.rows + penalty * np.eye(terms), self.moments / self.rows)
        return tuple(tuple(float(value) for value in row) for row in found.reshape(-1, HARMONICS))
