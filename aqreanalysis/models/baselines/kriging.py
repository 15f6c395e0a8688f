"""Ordinary kriging of each hour from the nearest stations that reported in it.

The baseline that a map has to beat. Local neighbourhood of `k` stations chosen anew for every
hour among those that reported; distances on the sphere; variance from the kriging system with a
sill estimated from the same neighbours. Exact: nothing is filled, nothing is renormalised.

Reference: Cressie (1993), section 3.2. Checked against PyKrige in tests/test_kriging.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.models import geostatistics
from aqreanalysis.models.base import PointwiseModel, Supporters, observed_at
from aqreanalysis.models.geostatistics import Correlation

KRIGING_NEIGHBOURS, PLAIN_NEIGHBOURS = 40, 20  # of `Kriging`, and of `plain`
AT_ONCE = 1024  # systems that are solved together


@dataclass(frozen=True)
class Solved:
    """Kriging of one target from its candidates, solved for each different set of those that take part (pattern)."""

    patterns: np.ndarray   # bool (patterns, candidates), who takes part
    which: np.ndarray      # (time,), the pattern of each hour
    weights: np.ndarray    # (patterns, candidates), 0 for those that take no part
    variance: np.ndarray   # (patterns,), for a sill of 1
    structure: np.ndarray  # (patterns,), expected sample variance of those that take part, for a sill of 1

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """Weighted sum of values (time, candidates), (time,); those of candidates that take no part may be NaN."""
        return (self.weights[self.which] * np.where(self.patterns[self.which], values, 0.0)).sum(axis=1)

    def estimate(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimate, at least 0, and standard error (time,) from values (time, candidates); NaN where none take part."""
        use = self.patterns[self.which]
        count = use.sum(axis=1)
        mean = np.where(use, values, 0.0).sum(axis=1) / np.maximum(count, 1)
        spread = (np.where(use, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        spread = spread / np.maximum(count - 1, 1)
        sill = np.where(count > 1, spread / self.structure[self.which], geostatistics.assumed_spread(mean) ** 2)
        nothing = count == 0
        return (np.where(nothing, np.nan, np.maximum(self.weighted(values), 0.0)),
                np.where(nothing, np.nan, np.sqrt(sill * self.variance[self.which])))


@dataclass
class Kriging(PointwiseModel):
    """Ordinary kriging; `k` neighbours of those that reported, among the `candidates` nearest.

    With `octants` at most k / 8, rounded up, are taken of each octant round the target, and the nearest of the
    rest fill up (neighbours.octant_search, of the stations that reported in the hour).
    """

    k: int = KRIGING_NEIGHBOURS
    range_km: float = 200.0
    nugget: float = 0.06
    candidates: int = 0   # 0: as many as an octant search of k needs, or 2 k
    octants: bool = True
    name: str = "kriging"

    def __post_init__(self) -> None:
        self.candidates = max(self.candidates or (geostatistics.CANDIDATES if self.octants else 2) * self.k, self.k)

    @property
    def correlation(self) -> Correlation:
        """Of PM2.5 between places."""
        return Correlation(self.range_km, self.nugget)

    def supporters(self, stations: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> Supporters:
        """The nearest `candidates`, of which at most `k` that reported take part; the nearest of these always does."""
        return Supporters(*geo.nearest(stations.lat.values, stations.lon.values, lat, lon, self.candidates), self.k)

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """PM2.5 and its standard error (time, point); NaN where none of a target's candidates reported in the hour.

        The sill is that of the neighbours in the hour; where only one reported, geostatistics.assumed_spread squared.
        """
        observed = observed_at(stations, schema.check_targets(targets).time.values)
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        estimate, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        if not observed.size:
            return schema.make_estimate(targets, estimate, error)
        for point, (index, solved) in enumerate(self.solved(stations, targets, observed)):
            estimate[:, point], error[:, point] = solved.estimate(observed[:, index])
        return schema.make_estimate(targets, estimate, error)

    def solved(self, stations: xr.Dataset, targets: xr.Dataset, observed: np.ndarray) -> Iterator[tuple]:
        """Of each target its candidates (candidates,), nearest first, and their systems in hours `observed` (time,
        station)."""
        lat, lon = stations.lat.values, stations.lon.values
        to_lat, to_lon = targets.lat.values, targets.lon.values
        index, _ = geo.nearest(lat, lon, to_lat, to_lon, self.candidates)
        bearing = geo.bearing(to_lat[:, None], to_lon[:, None], lat[index], lon[index])
        for point, candidates in enumerate(index):
            among, to_target = geostatistics.neighbour_correlation(
                self.correlation, lat, lon, to_lat[[point]], to_lon[[point]], candidates[None])
            yield candidates, self._solve(np.isfinite(observed[:, candidates]), among[0], to_target[0], bearing[point])

    def _solve(self, present, among, to_target, bearing) -> Solved:
        """The systems of one target, `present` (time, candidates)."""
        present, where = different_rows(present)
        patterns, which = different_rows(self.taken(present, bearing))
        return Solved(patterns, which[where], *self._solve_patterns(patterns, among, to_target))

    def taken(self, present: np.ndarray, bearing: np.ndarray) -> np.ndarray:
        """Which of the candidates that are present (patterns, candidates) take part."""
        if not self.octants:
            return present & (np.cumsum(present, axis=1) <= self.k)
        spare = geostatistics.octant_ranks(bearing, present) >= geostatistics.share_of_octant(self.k)
        first = np.argsort(np.where(present, spare, 2), axis=1, kind="stable")[:, :self.k]
        taken = np.zeros(present.shape, bool)
        np.put_along_axis(taken, first, True, axis=1)
        return taken & present

    def _solve_patterns(self, patterns, among, to_target):
        """Weights, variance and expected sample variance (both for a sill of 1) per pattern."""
        weights, variance, structure = [], [], []
        eye = np.eye(min(self.k, len(to_target)))
        for start in range(0, len(patterns), AT_ONCE):
            some = patterns[start:start + AT_ONCE]
            chosen = np.argsort(~some, axis=1, kind="stable")[:, :len(eye)]
            use = np.take_along_axis(some, chosen, axis=1)
            pair = use[:, :, None] & use[:, None, :]
            matrix = among[chosen[:, :, None], chosen[:, None, :]]
            w, v = geostatistics.solve(np.where(pair, matrix, eye), np.where(use, to_target[chosen], np.nan))
            full = np.zeros((len(use), len(to_target)))
            np.put_along_axis(full, chosen, np.where(use, w, 0.0), axis=1)
            weights.append(full)
            variance.append(v)
            structure.append(expected_sample_variance(np.where(pair, matrix, 0.0), use.sum(axis=1)))
        return np.concatenate(weights), np.concatenate(variance), np.concatenate(structure)


def different_rows(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of a mask (n, m), and for each row the number of its like (n,).

    As np.unique along axis 0, in some other order; rows packed into bytes are compared ten times as fast.
    """
    packed = np.ascontiguousarray(np.packbits(mask, axis=1))
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    return mask[first], which.ravel()


def plain(k: int | None = None) -> Kriging:
    """Kriging of the `k` nearest that reported, whatever side they lie on; 20 where it is None."""
    return Kriging(k=k or PLAIN_NEIGHBOURS, octants=False, name="plain kriging")


def expected_sample_variance(among: np.ndarray, count: np.ndarray) -> np.ndarray:
    """E[S2] / sill of the sample variance of `count` correlated values: 1 - mean correlation of pairs.

    `among` (n, k, k) holds 0 where a neighbour is absent and 1 on the diagonal of those present.
    """
    pairs = np.maximum(count * (count - 1), 1)
    off_diagonal = among.sum(axis=(1, 2)) - count
    return np.maximum(1.0 - off_diagonal / pairs, 1e-3)
