"""Conformal calibration: from a raw scale of the error to bounds that hold, and a standard error that is one.

At stations that were left out the truth is known. There, factors are fitted that turn the raw scale of a model into

    lower = max(0, estimate - f_lower * scale)    upper = estimate + f_upper * scale    error = f_error * scale

such that 5 % of the truth lies below the lower bound and 5 % above the upper one, and that the mean square of
(truth - estimate) / error is 1: overall, and wherever the level, the distance to the nearest station or the season
puts weight. The logarithm of each factor is a sum of three piecewise linear functions, of these three.

The idea is conformalized quantile regression (Romano, Patterson and Candes 2019, NeurIPS 32, 3543-3553): quantile
regression, then a shift by the finite-sample quantile of what it misses, here of the logarithm of |truth - estimate| /
scale. That it holds in classes and not only overall is Mondrian conformal prediction (Vovk 2012, arXiv 1209.2673); for
classes that overlap, as hat functions do, it is that of Gibbs, Cherian and Candes (arXiv 2305.12616), whose guarantee
is for exchangeable rows. Hours of one station are not: the honest figure is the coverage at stations that the factors
were not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

MISSED = 0.05  # share of the truth below the lower bound, and as much above the upper one
LEVEL_KNOTS = (10.0, 20.0, 35.0, 55.0, 80.0, 115.0, 160.0, 230.0)  # ug m-3, of the estimate
DISTANCE_KNOTS = (3.0, 8.0, 16.0, 30.0, 55.0, 90.0)                # km
SEASON_KNOTS = (15.0, 105.0, 196.0, 288.0)                         # days of the year: the middles of the seasons
YEAR = 365.25
HOURS = 24

SMOOTHING = 0.05     # of the pinball loss, in the logarithm of a factor
HOLD = 100.0         # rows by which neighbouring knots are held together: those without rows of their own follow
LEAST_RATIO = 1e-4   # |truth - estimate| / scale below which a row only counts as inside
DIGITS = 5


@dataclass(frozen=True)
class Bounds:
    """Factors of a raw scale. The three curves hold their logarithms at the knots of level, distance and season in
    this order, one tuple after the other; a curve goes on level beyond its end knots, and round the year.

    `level` knots in ug m-3, `distance` in km, `season` in days of the year.
    """

    level: tuple[float, ...]
    distance: tuple[float, ...]
    season: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    error: tuple[float, ...]

    def __post_init__(self):
        for name, value in asdict(self).items():
            object.__setattr__(self, name, tuple(float(number) for number in value))
        knots = len(self.level) + len(self.distance) + len(self.season)
        for name in ("lower", "upper", "error"):
            curve = getattr(self, name)
            if len(curve) != knots or not np.isfinite(curve).all():
                raise ValueError(f"the curve {name} has {len(curve)} numbers for {knots} knots, or one is not finite")
        for name in ("level", "distance", "season"):
            if not getattr(self, name) or (np.diff(getattr(self, name)) <= 0).any():
                raise ValueError(f"the knots of {name} do not ascend")

    def apply(self, estimate: np.ndarray, scale: np.ndarray, distance: np.ndarray,
              days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standard error, lower and upper bound, float32 in ug m-3, of the shape of `estimate`.

        Parameters
        ----------
        estimate, scale : float32 of any shape, ug m-3; NaN gives NaN.
        distance : km to the nearest station that the model was given; broadcast against `estimate`.
        days : datetime64[D], calendar days UTC+8; broadcast too, as (time, 1) against (time, point).

        Every cell and hour is computed by itself, so how the arrays are cut changes no bit; some 70 additions,
        products and comparisons and three exponentials for each.
        """
        return self.at(distance)(estimate, scale, days)

    def at(self, distance: np.ndarray) -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """`apply` for places at these distances, which are looked up once: a function of estimate, scale and days."""
        curves = np.array((self.error, self.lower, self.upper))
        level, by_distance, by_season = np.split(curves, np.cumsum((len(self.level), len(self.distance))), axis=1)
        where = [np.asarray(start + np.interp(distance, self.distance, curve), np.float32)
                 for start, curve in zip(level[:, 0], by_distance, strict=True)]
        bends = np.diff(np.diff(level) / np.diff(self.level), prepend=0.0).astype(np.float32)

        def apply(estimate, scale, days):
            when = [np.asarray(np.interp(_of_year(days), self.season, curve, period=YEAR), np.float32)
                    for curve in by_season]
            inside = np.clip(estimate, np.float32(self.level[0]), np.float32(self.level[-1]))
            logs = [np.add(w, t, out=np.empty_like(inside)) for w, t in zip(where, when, strict=True)]
            over, step = np.empty_like(inside), np.empty_like(inside)
            for number, knot in enumerate(self.level[:-1]):
                np.maximum(np.subtract(inside, np.float32(knot), out=over), np.float32(0.0), out=over)
                for log, bend in zip(logs, bends[:, number], strict=True):
                    log += np.multiply(over, bend, out=step)
            error, below, above = (np.multiply(np.exp(log, out=log), scale, out=log) for log in logs)
            return error, np.maximum(estimate - below, np.float32(0.0)), estimate + above

        return apply


@dataclass(frozen=True)
class Calibration:
    """What a checkpoint knows of its errors: factors of hours and of days, how errors of hours are correlated.

    `correlation` (24,) is of the errors, over their standard error, of two hours of a day by their lag; `facts` says
    how well it did where it was made.
    """

    hourly: Bounds
    daily: Bounds
    correlation: tuple[float, ...]
    facts: dict = field(default_factory=dict, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "correlation", tuple(float(number) for number in self.correlation))
        if len(self.correlation) != HOURS or self.correlation[0] != 1.0 or np.abs(self.correlation).max() > 1.0:
            raise ValueError("the correlation has not one number for each lag of 0 to 23 h, from 1")

    def asdict(self) -> dict:
        """As plain numbers, for JSON."""
        return asdict(self)


def of_card(content: dict) -> Calibration | None:
    """The calibration that a checkpoint's description holds; None where it has none.

    Raises ValueError, TypeError or KeyError where the content is none.
    """
    if not content:
        return None
    parts = {name: Bounds(**content[name]) for name in ("hourly", "daily")}
    return Calibration(**content | parts)


def fit(estimate, scale, truth, distance, days) -> Bounds:
    """Factors fitted to rows (n,) where the truth is known; rows with a NaN take no part.

    `estimate`, `scale` (over 0) and `truth` in ug m-3, `distance` in km, `days` datetime64[D].

    Raises ValueError where no row has all of them.
    """
    known = np.isfinite(estimate) & np.isfinite(truth) & (scale > 0)
    if not known.any():
        raise ValueError("no row has an estimate, a scale and a truth")
    estimate, scale, truth = (np.asarray(a, np.float64)[known] for a in (estimate, scale, truth))
    basis = np.concatenate([_along(LEVEL_KNOTS, estimate), _along(DISTANCE_KNOTS, np.asarray(distance)[known]),
                            _round(SEASON_KNOTS, np.asarray(days)[known])], axis=1)
    z = (truth - estimate) / scale
    curves = (_quantile_curve(basis, -z), _quantile_curve(basis, z), _spread_curve(basis, z))
    lower, upper, error = (tuple(np.round(curve, DIGITS).tolist()) for curve in curves)
    return Bounds(LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS, lower, upper, error)


def correlation_by_lag(z: np.ndarray) -> np.ndarray:
    """Correlation (24,) of normalised errors at lags of 0 to 23 h, from whole days of them (days, 24); NaN is missing.

    About 0, not about a mean: an error that lasts is one. Where no two hours are so far apart, that of the lag before.
    """
    known = np.isfinite(z)
    z = np.where(known, z, 0.0).astype(np.float64)
    found = np.ones(HOURS)
    for lag in range(1, HOURS):
        early, late = z[:, :-lag], z[:, lag:]
        both = known[:, :-lag] & known[:, lag:]
        power = np.sqrt((early**2 * both).sum() * (late**2 * both).sum())
        found[lag] = (early * late).sum() / power if power > 0 else found[lag - 1]
    return found


def _along(knots: Sequence[float], values) -> np.ndarray:
    """Hat functions (n, knots) of values (n,): linear between the knots, 1 in sum, flat beyond the ends."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=-1)


def _round(knots: Sequence[float], days: np.ndarray) -> np.ndarray:
    """Hat functions (n, knots) of days (n,), round the year."""
    return np.stack([np.interp(_of_year(days), knots, row, period=YEAR) for row in np.eye(len(knots))], axis=-1)


def _of_year(days: np.ndarray) -> np.ndarray:
    """The day of the year, from 0.5 for the first, as its noon."""
    days = np.asarray(days, "datetime64[D]")
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 0.5


def _quantile_curve(basis: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Logarithm (knots,) of what 1 - MISSED of z (n,) lies below: quantile regression, then the conformal shift.

    The pinball loss is smoothed by a logistic kernel (Fernandes, Guerre and Horta 2021,
    Smoothing Quantile Regressions), which gives it a gradient and a curvature. The shift makes the share exact, by
    the rule of n + 1.
    """
    logs = np.log(np.maximum(z, LEAST_RATIO))
    n, wanted = len(logs), 1.0 - MISSED

    def loss(weights):
        miss = logs - basis @ weights
        inside = expit(-miss / SMOOTHING)
        value = wanted * miss + SMOOTHING * np.logaddexp(0.0, -miss / SMOOTHING)
        return value.sum(), -basis.T @ (wanted - inside), (basis.T * (inside * (1 - inside) / SMOOTHING)) @ basis

    curve = _fitted(loss, basis, np.quantile(logs, wanted))
    rank = min(int(np.ceil((n + 1) * wanted)), n)
    return _shifted(curve, np.partition(logs - basis @ curve, rank - 1)[rank - 1])


def _spread_curve(basis: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Logarithm (knots,) of the root mean square of z (n,): what a normal likelihood gives; it is convex too."""
    squares = np.maximum(z**2, LEAST_RATIO**2)

    def loss(weights):
        logs = basis @ weights
        ratio = squares * np.exp(-2.0 * logs)
        return (logs + 0.5 * ratio).sum(), basis.T @ (1.0 - ratio), (basis.T * (2.0 * ratio)) @ basis

    curve = _fitted(loss, basis, 0.5 * np.log(squares.mean()))
    return _shifted(curve, 0.5 * np.log((squares * np.exp(-2.0 * (basis @ curve))).mean()))


def _fitted(loss, basis: np.ndarray, start: float) -> np.ndarray:
    """The weights (knots,) with the least loss, their differences from knot to knot held back as if by HOLD rows."""
    knots = basis.shape[1]
    pull = _differences()
    pull = HOLD * pull.T @ pull
    # level carries the mean: the other curves are about 0
    rest = np.zeros((2, knots))
    first, second = len(LEVEL_KNOTS), len(LEVEL_KNOTS) + len(DISTANCE_KNOTS)
    rest[0, first:second], rest[1, second:] = 1.0, 1.0
    pull += HOLD * rest.T @ rest
    kept: dict[str, Any] = {}

    def parts(weights):
        if kept.get("at") != weights.tobytes():
            value, gradient, curvature = loss(weights)
            kept.update(at=weights.tobytes(), value=value + 0.5 * weights @ pull @ weights,
                        gradient=gradient + pull @ weights, curvature=curvature + pull)
        return kept

    begin = np.where(np.arange(knots) < first, start, 0.0)
    return minimize(lambda w: parts(w)["value"] / len(basis), begin, method="trust-exact",
                    jac=lambda w: parts(w)["gradient"] / len(basis),
                    hess=lambda w: parts(w)["curvature"] / len(basis)).x


def _differences() -> np.ndarray:
    """Rows that take the difference of neighbouring knots; the year's last and first are neighbours."""
    rows, first, knots = [], 0, (len(LEVEL_KNOTS), len(DISTANCE_KNOTS), len(SEASON_KNOTS))
    for curve, count in enumerate(knots):
        for number in range(count if curve == 2 else count - 1):
            row = np.zeros(sum(knots))
            row[first + number], row[first + (number + 1) % count] = 1.0, -1.0
            rows.append(row)
        first += count
    return np.array(rows)


def _shifted(curve: np.ndarray, shift: float) -> np.ndarray:
    """All of the level's knots moved."""
    return curve + np.where(np.arange(len(curve)) < len(LEVEL_KNOTS), shift, 0.0)
