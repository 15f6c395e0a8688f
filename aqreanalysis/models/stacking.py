"""The base that AQ-Net corrects: a stack of interpolations, each fitted to what the others miss.

Stacked regression (Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; Breiman 1996, doi:10.1007/BF00117832): the
mean of two good interpolations (kriging of values averaged over some hours, and of their logarithms), plus shares
of the departures of others from it. A share is piecewise linear in the logarithm of kriging's variance and linear in
that of the level, and is fitted at stations that were hidden from all of the interpolations.

Relative to level + LEVEL, with B the mean of the first two:

    kriging      ordinary kriging of the hour's values (200 km, nugget 0.06)
    smooth       kriging of values averaged over five hours
    logs         kriging of logarithms with a small shift
    wide, narrow kriging of logarithms with correlation over 800 km and a strong nugget; over 60 km
    spread       standard deviation of the neighbours, with kriging's weights, clipped to be positive
    advected     what the hours before and after say had they been carried on (advection.py)

At a station's place kriging's variance is 0, and so is what the stack adds to kriging: its observation stands.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from aqreanalysis.models import advection
from aqreanalysis.models.geostatistics import among_neighbours, distance_to_target, in_batches
from aqreanalysis.models.neighbours import Neighbourhood
from aqreanalysis.models.station_side import LEVEL

SHIFT, SMALL_SHIFT = 15.0, 5.0  # ug m-3, added before a logarithm
VARIANCE_KNOTS = (0.10, 0.16, 0.33, 0.55)
ROOM = 0.06                   # kriging's variance from which on the stack stands whole: the nugget, reached at once
MAIN, WIDE, NARROW = ((0.1, 25.0), (1.0, 300.0)), ((1.0, 800.0),), ((1.0, 60.0),)  # (sill, range in km)
WIDE_NUGGET = 5.0             # times a station's
DEPARTURES = ("kriging", "smooth", "logs", "wide", "narrow", "spread") + tuple(
    f"advected_{lag}h" for lag in advection.LAGS)
ADVECTED = len(DEPARTURES) - len(advection.LAGS)  # the first of them
TOLD = ("kriging", "wide", "spread") + DEPARTURES[ADVECTED:]  # to the network, which judges by them how sure it may be


@dataclass(frozen=True)
class Sites:
    """What is fixed of n targets among stations: their k neighbours with the weights of each interpolation."""

    index: torch.Tensor     # int64 (n, k)
    exact: torch.Tensor     # float32 (n, k), kriging that returns a station's value at its place
    main: torch.Tensor
    wide: torch.Tensor
    narrow: torch.Tensor
    positive: torch.Tensor  # of `exact`, clipped, rows sum to 1
    variance: torch.Tensor  # (n,) of `exact` for a sill of 1
    corner: torch.Tensor    # int64 (n, 4), nodes of the lattice of advection round a target
    between: torch.Tensor   # float32 (n, 4)

    def __getitem__(self, rows) -> Sites:
        """Some of the targets."""
        return Sites(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Base:
    """What the network corrects, (n, hours) in ug m-3, beside exact kriging; and what it is told of the others'
    departures (n, hours, len(TOLD)), relative."""

    stack: torch.Tensor
    kriging: torch.Tensor
    told: torch.Tensor


def sites(lat, lon, to_lat, to_lon, hood: Neighbourhood, nugget: np.ndarray, lattice: advection.Lattice) -> Sites:
    """The weights for targets whose neighbourhood is `hood`; `nugget` (stations,) of station_side."""
    to_target = distance_to_target(lat, lon, to_lat, to_lon, hood.index)
    kriged = []
    for sills, times in ((MAIN, 1.0), (WIDE, WIDE_NUGGET), (NARROW, 1.0)):
        among = among_neighbours(lat, lon, hood.index, partial(covariance, sills))
        right, noise = covariance(sills, to_target), times * nugget[hood.index]
        kriged += in_batches(lambda rows: (_weights(among(rows), right[rows], noise[rows]),),  # noqa: B023
                             len(hood.index))
    positive = np.maximum(hood.weight, 1e-3)
    positive = positive / positive.sum(axis=1, keepdims=True)
    arrays = (hood.index, hood.weight, *kriged, positive, hood.variance, lattice.corner, lattice.weight)
    return Sites(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


def covariance(sills, distance: np.ndarray) -> np.ndarray:
    """Nested exponential covariance of distances in km; `sills` are pairs of a sill and a range in km."""
    return sum(sill * np.exp(-distance / length) for sill, length in sills)


def _weights(among, to_target, nugget) -> np.ndarray:
    """Ordinary kriging (n, k) from covariances (n, k, k) and (n, k) with a nugget (n, k) of each station.

    The nugget stands on the diagonal alone: what is estimated is the field without the stations' noise.
    """
    n, k = to_target.shape
    system = np.zeros((n, k + 1, k + 1))
    system[:, :k, :k] = among
    diagonal = np.arange(k)
    system[:, diagonal, diagonal] += nugget
    system[:, :k, k] = system[:, k, :k] = 1.0
    right = np.concatenate([to_target, np.ones((n, 1))], axis=1)
    return np.linalg.solve(system, right[..., None])[:, :k, 0].astype(np.float32)


def interpolate(series: torch.Tensor, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted sums over neighbours: series (stations, width), index and weight (n, k) -> (n, width)."""
    return F.embedding_bag(index, series, per_sample_weights=weight, mode="sum")


def departures(places: Sites, value: torch.Tensor, smooth: torch.Tensor, moved: torch.Tensor):
    """The base B (n, hours) in ug m-3, exact kriging, and the departures of the others, relative to B + LEVEL.

    value, smooth : (stations, hours) filled PM2.5 in ug m-3, and little averaged in time; no gaps.
    moved : (lags, nodes, hours) of advection.departures.
    """
    hours = value.shape[1]
    logs, small = torch.log(smooth + SHIFT), torch.log(smooth + SMALL_SHIFT)
    main = interpolate(torch.cat([smooth, logs, small], dim=1), places.index, places.main)
    smoothed = main[:, :hours].clamp_min(0.0)
    base = 0.5 * (smoothed + _back(main[:, hours:2 * hours], SHIFT))
    unit = base + LEVEL
    exact = interpolate(value, places.index, places.exact).clamp_min(0.0)
    squares = interpolate(torch.cat([value, value**2], dim=1), places.index, places.positive)
    mean = squares[:, :hours]
    carried = interpolate(moved.permute(1, 0, 2).flatten(1), places.corner, places.between).unflatten(1, (-1, hours))
    found = [exact - base, smoothed - base, _back(main[:, 2 * hours:], SMALL_SHIFT) - base,
             _back(interpolate(logs, places.index, places.wide), SHIFT) - base,
             _back(interpolate(logs, places.index, places.narrow), SHIFT) - base,
             torch.sqrt((squares[:, hours:] - mean**2).clamp_min(0.0))]
    found += [lag * (base + SHIFT) for lag in carried.unbind(1)]
    return base, exact, [one / unit for one in found]


def _back(logs: torch.Tensor, shift: float) -> torch.Tensor:
    """From log(PM2.5 + shift), bounded: negative kriging weights extrapolate."""
    return (torch.exp(logs.clamp_max(8.0)) - shift).clamp_min(0.0)


def level(base: torch.Tensor) -> torch.Tensor:
    """The logarithm of the level, about 0 at 28 ug m-3."""
    return torch.log(base + SMALL_SHIFT) - 3.5


def hats(variance: torch.Tensor) -> torch.Tensor:
    """Piecewise linear functions (n, knots) of log kriging variance (n,), summing to 1."""
    knots = torch.log(torch.tensor(VARIANCE_KNOTS) + 0.01)
    at = torch.log(variance + 0.01).clamp(knots[0], knots[-1])
    left = torch.searchsorted(knots, at.contiguous(), right=True).clamp(1, len(knots) - 1) - 1
    share = (at - knots[left]) / (knots[left + 1] - knots[left])
    out = torch.zeros(len(variance), len(knots))
    rows = torch.arange(len(variance))
    out[rows, left], out[rows, left + 1] = 1.0 - share, share
    return out


def shares(coefficients: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Shares (2, n, departures + 1), constant and by level, from coefficients (knots, 2, departures + 1)."""
    return torch.einsum("nh,hle->lne", hats(variance), coefficients)


def taking_part() -> torch.Tensor:
    """1 for coefficients that are fitted, (knots, 2, departures + 1): what is advected has no part near stations."""
    part = torch.ones(len(VARIANCE_KNOTS), 2, len(DEPARTURES) + 1)
    part[0, :, ADVECTED:-1] = 0.0
    return part


def stacked(coefficients: torch.Tensor, places: Sites, value, smooth, moved) -> Base:
    """The stack, exact at stations; arguments as of `departures`."""
    return combined(coefficients, places.variance, *departures(places, value, smooth, moved))


def combined(coefficients: torch.Tensor, variance: torch.Tensor, base, exact, found) -> Base:
    """The stack from what `departures` gives and kriging's variance (n,)."""
    fixed, by_level = (part.T.unsqueeze(-1) for part in shares(coefficients, variance))
    height = level(base)
    total = fixed[-1] + by_level[-1] * height
    for number, one in enumerate(found):
        total = total + (fixed[number] + by_level[number] * height) * one
    full = (base + (base + LEVEL) * total).clamp_min(0.0)
    room = (variance / ROOM).clamp_max(1.0)[:, None]
    told = torch.stack([found[DEPARTURES.index(name)] for name in TOLD], dim=-1)
    return Base(exact + room * (full - exact), exact, told)
