"""Conformal calibration: from a raw scale of the error to bounds that hold, and a standard error that is one.

At stations that were left out the truth is known. There, factors are fitted that turn the raw scale of a model into

    lower = max(0, estimate - f_lower * scale)    upper = estimate + f_upper * scale    error = f_error * scale

such that 5 % of the truth lies below the lower bound and 5 % above the upper one, and that the mean square of
(truth - estimate) / error is 1: overall, and wherever the level, the distance to the nearest station, the season
or how many people live round a place puts weight. The logarithm of each factor is a sum of four piecewise linear
functions, of these four.

The idea is conformalized quantile regression (Romano, Patterson and Candes 2019, NeurIPS 32, 3543-3553): quantile
regression, then a shift by the finite-sample quantile of what it misses, here of the logarithm of |truth - estimate| /
scale. That it holds in classes and not only overall is Mondrian conformal prediction (Vovk 2012, arXiv 1209.2673); for
classes that overlap, as hat functions do, it is that of Gibbs, Cherian and Candes (arXiv 2305.12616), whose guarantee
is for exchangeable rows. Hours of one station are not: the honest figure is the coverage at stations that the factors
were not fitted to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from aqreanalysis.models import error_correlation
from aqreanalysis.models.error_correlation import CorrelatedErrors
from aqreanalysis.models.sites import Sites

MISSED = 0.05  # share of the truth below the lower bound, and as much above the upper one
LEVEL_KNOTS = (10.0, 20.0, 35.0, 55.0, 80.0, 115.0, 160.0, 230.0)  # ug m-3, of the estimate
DISTANCE_KNOTS = (3.0, 8.0, 16.0, 30.0, 55.0, 90.0)                # km
SEASON_KNOTS = (15.0, 105.0, 196.0, 288.0)                         # days of the year: the middles of the seasons
POPULATION_KNOTS = (10.0, 11.5, 13.0)                              # ln(1 + population potential within 5 km)
KNOTS = (len(LEVEL_KNOTS), len(DISTANCE_KNOTS), len(SEASON_KNOTS), len(POPULATION_KNOTS))
YEAR = 365.25
HOURS = 24
NORMAL_QUANTILE = 1.6449  # of 1 - MISSED

SMOOTHING = 0.05     # of the pinball loss, in the logarithm of a factor
HOLD = 100.0         # rows by which neighbouring knots are held together: those without rows of their own follow
LEAST_HOLD = 20.0    # the same of a fit to a prior, in independent rows
QUANTILE_CURVATURE = 0.15  # of the pinball loss of a row, by the logarithm of the factor: normal 0.17, Laplace 0.12
SPREAD_CURVATURE = 2.0     # and of the likelihood of the standard error
LEAST_RATIO = 1e-4   # |truth - estimate| / scale below which a row only counts as inside
DIGITS = 5


@dataclass(frozen=True)
class Bounds:
    """Factors of a raw scale. The three curves hold their logarithms at the knots of level, distance, season and
    population in this order, one tuple after the other; a curve goes on level beyond its end knots, and round the year.

    `level` knots in ug m-3, `distance` in km, `season` in days of the year, `population` in ln(1 + population potential
    within 5 km); () in factors that do not depend on it, as those made before it was known.
    """

    level: tuple[float, ...]
    distance: tuple[float, ...]
    season: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    error: tuple[float, ...]
    population: tuple[float, ...] = ()

    def __post_init__(self):
        for name, value in asdict(self).items():
            object.__setattr__(self, name, tuple(float(number) for number in value))
        knots = sum(self.knots)
        for name in ("lower", "upper", "error"):
            curve = getattr(self, name)
            if len(curve) != knots or not np.isfinite(curve).all():
                raise ValueError(f"the curve {name} has {len(curve)} numbers for {knots} knots, or one is not finite")
        for name in ("level", "distance", "season", "population"):
            if (np.diff(getattr(self, name)) <= 0).any() or not (getattr(self, name) or name == "population"):
                raise ValueError(f"the knots of {name} do not ascend")

    @property
    def knots(self) -> tuple[int, ...]:
        """How many there are of level, distance, season and population."""
        return tuple(len(each) for each in (self.level, self.distance, self.season, self.population))

    @property
    def follow(self) -> str:
        """What the factors depend on, in words."""
        of = "level, distance to the nearest station"
        return f"{of}, season and how many people live round a place" if self.population else f"{of} and season"

    def by_knots(self, curves: np.ndarray) -> list[np.ndarray]:
        """Curves (n, knots) apart: (n, knots of level), (n, of distance), (n, of season), (n, of population)."""
        return np.split(curves, np.cumsum(self.knots[:-1]), axis=1)

    def apply(self, estimate: np.ndarray, scale: np.ndarray, sites: Sites,
              days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standard error, lower and upper bound, float32 in ug m-3, of the shape of `estimate`.

        Parameters
        ----------
        estimate, scale : float32 of any shape, ug m-3; NaN gives NaN.
        sites : of the places; broadcast against `estimate`. A place of which nobody knows how many people live there
            gets the mean factor of all knots of population.
        days : datetime64[D], calendar days UTC+8; broadcast too, as (time, 1) against (time, point).

        Every cell and hour is computed by itself, so how the arrays are cut changes no bit; some 70 additions,
        products and comparisons and three exponentials for each.
        """
        return self.at(sites)(estimate, scale, days)

    def at(self, sites: Sites) -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """`apply` for these places, which are looked up once: a function of estimate, scale and days."""
        level, by_distance, by_season, by_people = self.by_knots(np.array((self.error, self.lower, self.upper)))
        people = _along(self.population, sites.population)
        where = [np.asarray(start + np.interp(sites.distance, self.distance, curve) + people @ among, np.float32)
                 for start, curve, among in zip(level[:, 0], by_distance, by_people, strict=True)]
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
    how well it did where it was made. `errors` says how errors of different places and days are correlated; None in
    what was made before that was measured.
    """

    hourly: Bounds
    daily: Bounds
    correlation: tuple[float, ...]
    facts: dict = field(default_factory=dict, compare=False)
    errors: CorrelatedErrors | None = None

    def __post_init__(self):
        object.__setattr__(self, "correlation", tuple(float(number) for number in self.correlation))
        if len(self.correlation) != HOURS or self.correlation[0] != 1.0 or np.abs(self.correlation).max() > 1.0:
            raise ValueError("the correlation has not one number for each lag of 0 to 23 h, from 1")

    def asdict(self) -> dict:
        """As plain numbers, for JSON; without what it does not have."""
        plain = {of.name: getattr(self, of.name) for of in fields(self)}
        plain |= {of: {name: value for name, value in asdict(plain[of]).items() if value != ()}
                  for of in ("hourly", "daily")}
        return plain | {"errors": self.errors.asdict()} if self.errors else {
            name: value for name, value in plain.items() if name != "errors"}

    @property
    def identity(self) -> str:
        """A hash of the factors and the correlations."""
        numbers = {name: value for name, value in self.asdict().items() if name != "facts"}
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]


def of_card(content: dict) -> Calibration | None:
    """The calibration that a checkpoint's description holds; None where it has none.

    Raises ValueError, TypeError or KeyError where the content is none.
    """
    if not content:
        return None
    parts: dict[str, Any] = {name: Bounds(**content[name]) for name in ("hourly", "daily")}
    if content.get("errors"):
        parts["errors"] = error_correlation.of_dict(content["errors"])
    return Calibration(**content | parts)


@dataclass(frozen=True)
class Prior:
    """What factors are before there is a row: those of `bounds`, held as if by `worth` independent rows that lie
    exactly on them.

    With `bounds` of None: factors that do not change, as of a normal error whose standard error the scale is; the rows
    move them freely.
    """

    bounds: Bounds | None = None
    worth: float = 0.0

    def curves(self) -> np.ndarray:
        """Logarithms of lower, upper and error (3, knots) at the knots of a fit."""
        if self.bounds is None:
            starts = np.log((NORMAL_QUANTILE, NORMAL_QUANTILE, 1.0))
            return starts[:, None] * (np.arange(sum(KNOTS)) < KNOTS[0])
        of = self.bounds
        return np.array([np.concatenate([
            np.interp(LEVEL_KNOTS, of.level, level), np.interp(DISTANCE_KNOTS, of.distance, distance),
            np.interp(SEASON_KNOTS, of.season, season, period=YEAR), _along(of.population, POPULATION_KNOTS) @ people])
            for level, distance, season, people in zip(
                *of.by_knots(np.array((of.lower, of.upper, of.error))), strict=True)])


def fit(estimate, scale, truth, sites: Sites, days, weight) -> Bounds:
    """Factors fitted to rows (n,) where the truth is known; rows with a NaN take no part.

    `estimate`, `scale` (over 0) and `truth` in ug m-3, `sites` (n,), `days` datetime64[D]; `weight` (n,) is how many
    rows each counts as.

    Raises ValueError where no row has all of them.
    """
    basis, z, known = _rows(estimate, scale, truth, sites, days)
    weight = np.asarray(weight, np.float64)[known]
    if not weight.sum() > 0:
        raise ValueError("no row has an estimate, a scale and a truth")
    flat, pull = np.zeros(sum(KNOTS)), HOLD * _held_together()
    return _bounds((_quantile_curve(basis, -z, weight, flat, pull), _quantile_curve(basis, z, weight, flat, pull),
                    _spread_curve(basis, z, weight, flat, pull)))


def fit_to_prior(prior: Prior, estimate, scale, truth, sites: Sites, days, weight) -> Bounds:
    """Factors of few or many rows (n,): a prior's, and a correction that the rows ask for.

    `weight` (n,) is how many independent rows each of them is worth, N in sum. First the rows' own curves are found:
    quantile regression of what they differ by from the prior, its differences from knot to knot held back as if by
    LEAST_HOLD rows, then the conformal shift by the rule of N + 1. Of the logarithms of these and of the
    prior's factors the mean is taken, with the weights N and the prior's worth: the prior where there are no rows, and
    of very many rows their own quantile. Rows that are too few for the rule of N + 1 (N < 19) never narrow the bounds.

    Other parameters as of `fit`. Where no row is known: the prior; ValueError where it has no bounds.
    """
    basis, z, known = _rows(estimate, scale, truth, sites, days)
    weight = np.asarray(weight, np.float64)[known]
    if not weight.sum() > 0:
        if prior.bounds is None:
            raise ValueError("no row has an estimate, a scale and a truth, and there is no prior")
        return prior.bounds
    share = weight.sum() / (weight.sum() + prior.worth)
    pull = LEAST_HOLD * _held_together()
    lower, upper, error = before = prior.curves()
    own = (_quantile_curve(basis, -z, weight, lower, QUANTILE_CURVATURE * pull),
           _quantile_curve(basis, z, weight, upper, QUANTILE_CURVATURE * pull),
           _spread_curve(basis, z, weight, error, SPREAD_CURVATURE * pull))
    return _bounds(before + share * (np.array(own) - before))


def _rows(estimate, scale, truth, sites, days) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hat functions and z of the rows with an estimate, a scale and a truth; and which (n,) these are."""
    known = np.isfinite(estimate) & np.isfinite(truth) & (scale > 0)
    estimate, scale, truth = (np.asarray(a, np.float64)[known] for a in (estimate, scale, truth))
    sites = sites[known]
    basis = np.concatenate([_along(LEVEL_KNOTS, estimate), _along(DISTANCE_KNOTS, sites.distance),
                            _round(SEASON_KNOTS, np.asarray(days)[known]),
                            _along(POPULATION_KNOTS, sites.population)], axis=1)
    return basis, (truth - estimate) / scale, known


def _bounds(curves: Sequence[np.ndarray]) -> Bounds:
    lower, upper, error = (tuple(np.round(curve, DIGITS).tolist()) for curve in curves)
    return Bounds(LEVEL_KNOTS, DISTANCE_KNOTS, SEASON_KNOTS, lower, upper, error, POPULATION_KNOTS)


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
    """Hat functions (..., knots) of values (...): linear between the knots, 1 in sum, flat beyond the ends; all alike
    where a value is NaN."""
    values = np.asarray(values, np.float64)
    if not knots:
        return np.zeros((*values.shape, 0))
    found = np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=-1)
    return np.where(np.isnan(found), 1.0 / len(knots), found)


def _round(knots: Sequence[float], days: np.ndarray) -> np.ndarray:
    """Hat functions (n, knots) of days (n,), round the year."""
    return np.stack([np.interp(_of_year(days), knots, row, period=YEAR) for row in np.eye(len(knots))], axis=-1)


def _of_year(days: np.ndarray) -> np.ndarray:
    """The day of the year, from 0.5 for the first, as its noon."""
    days = np.asarray(days, "datetime64[D]")
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 0.5


def _quantile_curve(basis: np.ndarray, z: np.ndarray, weight: np.ndarray, prior: np.ndarray,
                    pull: np.ndarray) -> np.ndarray:
    """Logarithm (knots,) of what 1 - MISSED of z (n,) lies below: quantile regression, then the conformal shift.

    The pinball loss is smoothed by a logistic kernel (Fernandes, Guerre and Horta 2021,
    Smoothing Quantile Regressions), which gives it a gradient and a curvature. `pull` (knots, knots) holds back what
    the curve differs by from `prior` (knots,). The shift makes the share exact, by the rule of n + 1, n being the sum
    of `weight` (n,); where n is too small for it, all rows lie inside, and the curve is in the mean not below the
    prior.
    """
    logs = np.log(np.maximum(z, LEAST_RATIO)) - basis @ prior
    wanted, total = 1.0 - MISSED, weight.sum()

    def loss(change):
        miss = logs - basis @ change
        inside = expit(-miss / SMOOTHING)
        value = wanted * miss + SMOOTHING * np.logaddexp(0.0, -miss / SMOOTHING)
        bend = weight * inside * (1 - inside) / SMOOTHING
        return weight @ value, -basis.T @ (weight * (wanted - inside)), (basis.T * bend) @ basis

    change = _fitted(loss, pull, total, _weighted_quantile(logs, weight, wanted * total))
    shift = _weighted_quantile(logs - basis @ change, weight, (total + 1.0) * wanted)
    if (total + 1.0) * wanted > total:
        shift = max(shift, -(weight @ (basis @ change)) / total)
    return prior + _shifted(change, shift)


def _weighted_quantile(values: np.ndarray, weight: np.ndarray, wanted: float) -> float:
    """The least of values (n,) up to which their weights (n,) sum to `wanted`; the largest where all do not."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weight[order])
    return float(values[order[min(int(np.searchsorted(sums, wanted * (1.0 - 1e-12))), len(values) - 1)]])


def _spread_curve(basis: np.ndarray, z: np.ndarray, weight: np.ndarray, prior: np.ndarray,
                  pull: np.ndarray) -> np.ndarray:
    """Logarithm (knots,) of the root mean square of z (n,): what a normal likelihood gives; it is convex too."""
    squares = np.maximum(z**2, LEAST_RATIO**2) * np.exp(-2.0 * (basis @ prior))

    def loss(change):
        logs = basis @ change
        ratio = weight * squares * np.exp(-2.0 * logs)
        return (weight * logs + 0.5 * ratio).sum(), basis.T @ (weight - ratio), (basis.T * (2.0 * ratio)) @ basis

    total = weight.sum()
    change = _fitted(loss, pull, total, 0.5 * np.log(weight @ squares / total))
    return prior + _shifted(change, 0.5 * np.log(weight @ (squares * np.exp(-2.0 * (basis @ change))) / total))


def _fitted(loss, pull: np.ndarray, total: float, start: float) -> np.ndarray:
    """The curve (knots,) with the least loss of rows that weigh `total`, held back by `pull` (knots, knots)."""
    kept: dict[str, Any] = {}

    def parts(weights):
        if kept.get("at") != weights.tobytes():
            value, gradient, curvature = loss(weights)
            kept.update(at=weights.tobytes(), value=value + 0.5 * weights @ pull @ weights,
                        gradient=gradient + pull @ weights, curvature=curvature + pull)
        return kept

    begin = np.where(np.arange(len(pull)) < KNOTS[0], start, 0.0)
    return minimize(lambda w: parts(w)["value"] / total, begin, method="trust-exact",
                    jac=lambda w: parts(w)["gradient"] / total,
                    hess=lambda w: parts(w)["curvature"] / total).x


def _held_together() -> np.ndarray:
    """The matrix (knots, knots) of the squared differences from knot to knot, the year's last and first being
    neighbours, and of the sums of all curves but the level's, which carries the mean: the others are about 0.
    """
    rows, first = [], 0
    for curve, count in enumerate(KNOTS):
        for number in range(count if curve == 2 else count - 1):
            row = np.zeros(sum(KNOTS))
            row[first + number], row[first + (number + 1) % count] = 1.0, -1.0
            rows.append(row)
        if curve:
            row = np.zeros(sum(KNOTS))
            row[first:first + count] = 1.0
            rows.append(row)
        first += count
    return np.array(rows).T @ np.array(rows)


def _shifted(curve: np.ndarray, shift: float) -> np.ndarray:
    """All of the level's knots moved."""
    return curve + np.where(np.arange(len(curve)) < KNOTS[0], shift, 0.0)
