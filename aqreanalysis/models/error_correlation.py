"""How the errors of estimates are correlated in space and time: what the error of a mean follows from.

Errors are taken over their standard errors, z = (truth - estimate) / error. Two of them, at places `d` km and hours `h`
apart, are correlated as a sum of terms

    rho(d, h) = sum_i w_i exp(-d / r_i) exp(-h / tau_i),     w_i >= 0,  sum_i w_i = 1,

each of which is a valid correlation in space and time by itself, and so is their sum. An infinite tau is what lasts:
the bias of a place. A term with r = 0 is the station's own: what a single station feels and no other, its surroundings
and its instrument. It is part of the error at a station, and so of the standard error of a product's cells; the mean
over a cell or an area does not have it. A term whose range and memory are both infinite is an error of all cells
at once that lasts: the network stands in towns, and the countryside is too high or too low everywhere. Pairs of
stations do not show it; how large it may be is found in evaluation/map_bias.py. The variance of a mean
with weights a_i, sum 1, over cells and hours is

    var = sum_ij a_i a_j s_i s_j rho(d_ij, h_ij)

with the standard errors s. How the products of z are measured, at stations that were hidden together, is in
training/error_pairs.py. The separable sum is that of De Cesare, Myers and Posa (2001, Statistics and Probability
Letters 51, 9-14); non-negative least squares of Lawson and Hanson (1974).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from aqreanalysis import schema

RANGES_KM = (0.0, 6.0, 15.0, 35.0, 80.0, 250.0, 1000.0)             # of the terms that are fitted; 0: a station's own
MEMORIES = {"hourly": (1.5, 4.0, 12.0, 48.0, 240.0, 1440.0, math.inf),  # hours
            "daily": (12.0, 36.0, 96.0, 240.0, 1440.0, math.inf)}
ATTRIBUTE = "error_correlation"  # of product files
BIAS_ATTRIBUTE = "error_common_bias"  # of product files: standard deviation of a bias of all cells, over their mean
MOST_COMMON = 0.9    # share of the variance that can be common to all cells
LEAST_WEIGHT = 5e-4  # of a term that is kept
DIGITS = 5
UNIT_HOLD = 1e3      # how strongly the weights are held to a sum of 1, beside all pairs together


@dataclass(frozen=True)
class ErrorTerm:
    """A part of the variance: `weight`, over `range_km` (0: of one station alone, inf: of all places alike) and
    `memory_hours` (inf: lasting)."""

    weight: float
    range_km: float
    memory_hours: float

    def __post_init__(self):
        if not (self.weight >= 0 and self.range_km >= 0 and self.memory_hours > 0):
            raise ValueError(f"{self} is no term of a correlation")

    @property
    def is_common(self) -> bool:
        """Whether it is of all places alike, and lasts."""
        return math.isinf(self.range_km) and math.isinf(self.memory_hours)


@dataclass(frozen=True)
class ErrorCorrelation:
    """Terms of the correlation of errors over their standard errors; their weights are 1 in sum."""

    terms: tuple[ErrorTerm, ...]

    def __post_init__(self):
        total = sum(term.weight for term in self.terms)
        if not abs(total - 1.0) < 1e-6:
            raise ValueError(f"the weights of a correlation are {total} in sum")

    @property
    def own_share(self) -> float:
        """The share of the variance that is a single station's own."""
        return sum(term.weight for term in self.terms if term.range_km == 0)

    @property
    def lasting_share(self) -> float:
        """The share of the variance that never fades at a place."""
        return sum(term.weight for term in self.terms if math.isinf(term.memory_hours))

    @property
    def common_share(self) -> float:
        """The share of the variance that all places have in common and that never fades."""
        return sum(term.weight for term in self.terms if term.is_common)

    def with_common(self, share: float) -> ErrorCorrelation:
        """With so much of the variance common to all places and lasting, in the place of what there is of it: the other
        terms are scaled to what is left, so that an hour or a day at one place is as uncertain as before."""
        others = [term for term in self.terms if not term.is_common]
        before = sum(term.weight for term in others)
        if not (0 <= share < 1 and before > 0):
            raise ValueError(f"{share} can't be common to all places")
        common = (ErrorTerm(share, math.inf, math.inf),) if share else ()
        scaled = others if not share and before == 1.0 else [
            replace(term, weight=term.weight * (1.0 - share) / before) for term in others]
        return ErrorCorrelation((*scaled, *common))

    def of_pairs(self, km: Any, hours: Any) -> np.ndarray:
        """At two places `km` apart, `hours` apart (broadcast): without what is a station's own, so also for 0 km."""
        return self._sum([term for term in self.terms if term.range_km > 0], km, hours)

    def of_distance(self, km: Any) -> np.ndarray:
        """In the same hour (or day) at two places `km` apart."""
        return self.of_pairs(km, 0.0)

    def of_lag(self, hours: Any, own: bool = True) -> np.ndarray:
        """At one place, `hours` apart: as a station there would feel it, or without what is its own."""
        return self._sum([term for term in self.terms if own or term.range_km > 0], 0.0, hours)

    def by_memory(self, own: bool = True) -> list[tuple[float, float]]:
        """(memory in hours, weight at one place) of all terms, one for each memory, the shortest first."""
        found: dict[float, float] = {}
        for term in self.terms:
            if own or term.range_km > 0:
                found[term.memory_hours] = found.get(term.memory_hours, 0.0) + term.weight
        return sorted(found.items())

    def by_range(self, memory_hours: float) -> list[tuple[float, float]]:
        """(range in km, weight) of the terms with a memory that are not a station's own."""
        return [(term.range_km, term.weight) for term in self.terms
                if term.memory_hours == memory_hours and term.range_km > 0]

    def of_mean(self, hours: np.ndarray) -> list[tuple[float, float]]:
        """(range in km, share) of the error of a mean over steps at `hours` (steps,), without what is a station's own.

        Two means at places `d` km apart are correlated as the sum of share exp(-d / range), where errors are even in
        time; shares are 1 in sum.
        """
        found: dict[float, float] = {}
        even = np.ones((len(hours), 1))
        for memory, _ in self.by_memory(own=False):
            alone = ErrorCorrelation((ErrorTerm(1.0, 1.0, memory),))
            left = float(variance_of_mean(alone, hours, even)[0])
            for reach, weight in self.by_range(memory):
                found[reach] = found.get(reach, 0.0) + weight * left
        total = sum(found.values())
        return [(reach, share / total) for reach, share in sorted(found.items())] if total > 0 else []

    @staticmethod
    def _sum(terms: Sequence[ErrorTerm], km: Any, hours: Any) -> np.ndarray:
        km, hours = np.asarray(km, float), np.abs(np.asarray(hours, float))
        total = np.zeros(np.broadcast_shapes(km.shape, hours.shape))
        for term in terms:
            in_space = np.exp(-km / term.range_km) if term.range_km > 0 else 1.0
            total += term.weight * in_space * np.exp(-hours / term.memory_hours)
        return total

    def plain(self) -> list[list[float | None]]:
        """[weight, range in km, memory in hours] of each term; None for a range or a memory without end."""
        return [[t.weight, *(None if math.isinf(end) else end for end in (t.range_km, t.memory_hours))]
                for t in self.terms]

    @classmethod
    def of_plain(cls, terms: Sequence[Sequence[float | None]]) -> ErrorCorrelation:
        """What `plain` gave; ValueError or TypeError where it is not that."""
        return cls(tuple(ErrorTerm(float(weight or 0.0), *(math.inf if end is None else float(end)
                                                           for end in (km, hours))) for weight, km, hours in terms))


@dataclass(frozen=True)
class CorrelatedErrors:
    """The correlation of the errors of hours and of daily means, and where it was measured, a sentence.

    `bias` is the standard deviation of a lasting bias of all cells, over their mean, that the common terms stand for;
    None in what was made before that was measured.
    """

    hourly: ErrorCorrelation
    daily: ErrorCorrelation
    measured: str = ""
    bias: float | None = None

    def asdict(self) -> dict[str, Any]:
        """As plain numbers, for JSON; without what it does not have."""
        plain = {"hourly": self.hourly.plain(), "daily": self.daily.plain(), "measured": self.measured}
        return plain if self.bias is None else plain | {"bias": self.bias}


DEFAULT_WORDS = ("with the network that ships with aqreanalysis, not of this product, at 832 stations of the national "
                 "network that were hidden with their city or their surroundings on 120 days of 2019")
DEFAULT_BIAS = 0.052  # of a product of 2019 at 0.5 degree, the shipped network: bias_of_map of its calibration.json
BIAS_WORDS = ("as a product of the national network in 2019, with the network that ships with aqreanalysis, measured "
              "at its own hidden stations")
DEFAULT = CorrelatedErrors(  # benchmarks/error_correlation.py
    ErrorCorrelation.of_plain((
        (0.08614, 0, 1.5), (0.04709, 0, 4), (0.02363, 0, 1440), (0.02884, 6, None), (0.01174, 15, None),
        (0.43874, 35, 4), (0.02777, 35, 1440), (0.05236, 35, None), (0.07636, 80, 4), (0.10822, 80, 12),
        (0.02448, 80, 48), (0.03001, 80, 240), (0.02667, 80, 1440), (0.01795, 1000, None))).with_common(0.0136),
    ErrorCorrelation.of_plain((
        (0.04416, 0, 12), (0.04285, 0, 240), (0.02257, 0, 1440), (0.03491, 6, None), (0.17066, 15, None),
        (0.20035, 35, 12), (0.02081, 35, 36), (0.04115, 35, 1440), (0.11959, 80, 12), (0.1372, 80, 36),
        (0.03779, 80, 240), (0.07553, 80, 1440), (0.00203, 250, 1440), (0.01944, 250, None), (0.00159, 1000, 1440),
        (0.02937, 1000, None))).with_common(0.0362), DEFAULT_WORDS, DEFAULT_BIAS)


def of_dict(content: dict[str, Any]) -> CorrelatedErrors:
    """What `CorrelatedErrors.asdict` gave; ValueError, TypeError or KeyError where it is not that."""
    return CorrelatedErrors(ErrorCorrelation.of_plain(content["hourly"]), ErrorCorrelation.of_plain(content["daily"]),
                            str(content.get("measured", "")), content.get("bias"))


def to_attributes(errors: CorrelatedErrors, frequency: str) -> dict[str, Any]:
    """Attributes of a file of "hourly" or "daily" means that hold its correlation: JSON, and where it was measured."""
    terms = json.dumps(getattr(errors, frequency).plain())
    found: dict[str, Any] = {ATTRIBUTE: terms, f"{ATTRIBUTE}_comment": (
        f"Correlation of errors over {schema.TARGET}_standard_error of two places and times, each term [weight, range "
        "in km (0: of a station alone, no part of a mean over cells; null: of all cells alike), e-folding time in "
        "hours (null: lasting)]: sum of weight exp(-distance / range) exp(-lag / time). Measured: "
        f"{errors.measured}.")}
    if errors.bias is not None:
        found |= {BIAS_ATTRIBUTE: errors.bias, f"{BIAS_ATTRIBUTE}_comment": (
            "Standard deviation, over the mean, of a bias that all cells have in common and that lasts: the term "
            f"without range and time of {ATTRIBUTE}.")}
    return found


def of_attributes(attributes: Mapping[str, Any], frequency: str) -> tuple[ErrorCorrelation, str]:
    """The correlation that a file's attributes hold, and a sentence on what they lack, "" for nothing.

    Of a file from before it was measured DEFAULT's, and of one from before the common bias was measured DEFAULT's share
    of that. Raises ValueError where there is one that can't be read.
    """
    default: ErrorCorrelation = getattr(DEFAULT, frequency)
    if ATTRIBUTE not in attributes:
        return default, ("The product does not say how its errors are correlated; what is used was measured "
                         f"{DEFAULT.measured}.")
    try:
        found = ErrorCorrelation.of_plain(json.loads(str(attributes[ATTRIBUTE])))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the attribute {ATTRIBUTE} is no correlation ({error})") from error
    if found.common_share or BIAS_ATTRIBUTE in attributes:
        return found, ""
    return found.with_common(default.common_share), (
        f"The product does not say how large a lasting bias of all its cells may be; {default.common_share:.1%} of the "
        f"variance is taken, {BIAS_WORDS}.")


class VarianceOfSum:
    """The variance of sums over time of the errors at some places, given step by step in the order of time.

    Memory does not depend on the number of steps: of each term, exponential in time, the faded sum is kept
    (v <- v exp(-step / tau) + s), and the sum over pairs grows by w s (2 v - s).
    """

    def __init__(self, correlation: ErrorCorrelation, places: int | tuple[int, ...], own: bool = True):
        self._terms = correlation.by_memory(own)
        self._faded = [np.zeros(places) for _ in self._terms]
        self._last: float | None = None
        self.variance = np.zeros(places)

    def add(self, hour: float, error: np.ndarray) -> None:
        """The standard errors (places,) of a step at `hour`, in hours since any moment; NaN where there is no value."""
        error = np.where(np.isfinite(error), error, 0.0).astype(np.float64)
        step = 0.0 if self._last is None else hour - self._last
        if step < 0:
            raise ValueError("steps come in the order of time")
        self._last = hour
        for (memory, weight), faded in zip(self._terms, self._faded, strict=True):
            faded *= math.exp(-step / memory)
            faded += error
            self.variance += weight * error * (2.0 * faded - error)


def variance_of_mean(correlation: ErrorCorrelation, hours: np.ndarray, error: np.ndarray,
                     own: bool = True) -> np.ndarray:
    """The variance of means over time, (...), from standard errors (steps, ...) at `hours` (steps,), ascending.

    With NaN for a step without a value, which the mean leaves out; NaN where there is none. `own`: as a station at the
    place would observe it, or without what is a single station's own.
    """
    error = np.asarray(error)
    total = VarianceOfSum(correlation, error.shape[1:], own)
    for hour, each in zip(np.asarray(hours, float), error, strict=True):
        total.add(float(hour), each)
    count = np.isfinite(error).sum(axis=0)
    return np.where(count > 0, total.variance / np.maximum(count, 1) ** 2, np.nan)


@dataclass(frozen=True)
class PairMoments:
    """Mean products of z by class of distance and lag, flat arrays (classes,).

    The first class is of a station with itself in the same hour. `product` over the mean square of z; `km`, mean
    distance, 0 for a station with itself; `lags` (classes, n) hours between the two and `shares` (classes, n) of the
    pairs that have each; `count` of pairs, 0 where there is none.
    """

    product: np.ndarray
    km: np.ndarray
    lags: np.ndarray
    shares: np.ndarray
    count: np.ndarray

    def of_terms(self, ranges: np.ndarray, memories: np.ndarray) -> np.ndarray:
        """What terms of weight 1 would have (classes, terms)."""
        own = ranges == 0
        in_space = np.exp(-self.km[:, None] / np.where(own, 1.0, ranges))
        in_space = np.where(own, self.km[:, None] == 0, in_space)
        in_time = np.stack([(np.exp(-self.lags / memory) * self.shares).sum(axis=1) for memory in memories], axis=1)
        return in_space * in_time


def fit(moments: PairMoments, frequency: str, prior: ErrorCorrelation | None, independent: float,
        worth: float) -> ErrorCorrelation:
    """Terms whose correlation is nearest to the mean of what pairs have and what a prior says.

    `frequency` "hourly" or "daily"; `independent` rows are what the pairs are worth together and `worth` is what the
    prior counts as: it fills the classes of which there are no pairs, and gives way where there are many. A class
    with fewer pairs than a station has with itself counts for less. Classes have the root of their number of pairs as
    weights: the errors of pairs are correlated too.

    Raises ValueError where there is neither a pair nor a prior.
    """
    if not moments.count.any():
        if prior is None:
            raise ValueError("there is no pair, and no prior")
        return prior
    ranges, memories = (a.ravel() for a in np.meshgrid(RANGES_KM, MEMORIES[frequency], indexing="ij"))
    of_terms = moments.of_terms(ranges, memories)
    weight = np.sqrt(moments.count)
    wanted = moments.product
    if prior is not None:
        before = moments.of_terms(np.array([t.range_km for t in prior.terms]),
                                  np.array([t.memory_hours for t in prior.terms])) @ [t.weight for t in prior.terms]
        mine = independent * np.minimum(moments.count / max(moments.count[0], 1.0), 1.0)
        share = mine / (mine + worth) if worth > 0 else (moments.count > 0).astype(float)
        wanted = np.where(moments.count > 0, share * moments.product, 0.0) + (1.0 - share) * before
        weight = np.maximum(weight, np.sqrt(np.median(moments.count[moments.count > 0])) * (1.0 - share))
    weight = np.sqrt(weight / weight.sum())
    matrix = np.concatenate([of_terms * weight[:, None], np.full((1, len(ranges)), UNIT_HOLD)])
    weights, _ = nnls(matrix, np.append(wanted * weight, UNIT_HOLD), maxiter=100 * len(ranges))
    return _rounded(weights, ranges, memories)


def rounded(correlation: ErrorCorrelation) -> ErrorCorrelation:
    """The same with few digits, as a fit gives it."""
    return _rounded(*np.array([(t.weight, t.range_km, t.memory_hours) for t in correlation.terms]).T)


def _rounded(weights: np.ndarray, ranges: np.ndarray, memories: np.ndarray) -> ErrorCorrelation:
    """Terms that matter, with few digits, 1 in sum."""
    kept = weights >= LEAST_WEIGHT
    shares = np.round(weights[kept] / weights[kept].sum(), DIGITS)
    shares[np.argmax(shares)] += 1.0 - shares.sum()
    return ErrorCorrelation(tuple(ErrorTerm(round(float(share), DIGITS), float(km), float(hours)) for share, km, hours
                                  in zip(shares, ranges[kept], memories[kept], strict=True)))
