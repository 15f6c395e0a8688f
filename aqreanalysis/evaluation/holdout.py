"""Folds of hold-out designs: which stations are taken out together, and which of them are scored.

A station left out at random lies a few km from the next one; a cell of the map lies tens of km from one, and the error
grows with that distance. So beside single stations and whole cities there are stations whose surroundings are taken out
with them: so far that the distances to the nearest remaining station are distributed like those of the map's land cells
(the aim of kNNDM, Linnenbrink et al. 2024, 10.5194/gmd-17-5897-2024, whose measure W is printed), and whole regions.
With each station that is taken out go its near duplicates, which would tell what it observed.

Here are the designs of some stations of a network, those that a checkpoint withheld; designs.py has those of all.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aqreanalysis import geo, schema
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, NearDuplicates

SINGLE_STATIONS, WHOLE_CITIES, DISTANCE_MATCHED, REGIONS = (
    "single stations", "whole cities", "distance-matched", "regions")
MAP_MATCHED = "map-matched"  # the distance-matched stations, weighted as the map's land (matching.py)
MATCHED_FOLDS = 5      # each is one more estimate of all models in a month
BLOCK_DEGREES = 3.0    # side of a region
NOBODY_KM = 2e4        # to the next station where none is left: half round the Earth
FOLD_ROUNDS = 3        # of choosing folds and surroundings again, given what the others of a fold take out
CARRYING_KM = 25.0     # stations within twice this distance, or twice the wanted one, carry an estimate
KM_PER_LOST = 0.2      # misfit that a carrying station counts as which another member of a fold takes out
KM_PER_MEMBER = 1e-6   # and a member: folds come out equally large where all else is equal


@dataclass(frozen=True)
class Fold:
    """Stations that no model sees, and those of them that are scored, by group: one may be in several.

    `network` is the fold of the checkpoint whose network is asked (models/cross_fitting.py); None the main one.
    `weights` by group and station say how much what is scored counts; 1 where there is none.
    """

    removed: tuple[str, ...]
    scored: dict[str, tuple[str, ...]]
    network: int | None = None
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """All stations that are scored, each once."""
        return tuple(dict.fromkeys(station for stations in self.scored.values() for station in stations))

    @property
    def number(self) -> int:
        """A number of what it takes out: the same for the same stations, in whatever order."""
        return zlib.crc32("\n".join(sorted(map(str, self.removed))).encode())

    def weights_of(self, group: str, stations: Sequence[str]) -> np.ndarray:
        """How much each of some stations counts in a group, (stations,): 0 where it is not scored."""
        scored, weights = set(self.scored[group]), self.weights.get(group, {})
        return np.array([weights.get(station, 1.0) if station in scored else 0.0 for station in stations])


def nearest_remaining(lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray) -> np.ndarray:
    """Distance in km (points,) from each place to the nearest of some stations; NaN where there is none."""
    if not len(lat):
        return np.full(len(to_lat), np.nan)
    return geo.nearest(lat, lon, to_lat, to_lon, 1)[1][:, 0]


def withheld(single: Sequence[str], cities: Sequence[str], duplicates: NearDuplicates = NO_DUPLICATES) -> Fold:
    """Everything that was withheld is out, with its duplicates, and nothing else."""
    return _fold((*single, *cities), {SINGLE_STATIONS: tuple(single), WHOLE_CITIES: tuple(cities)}, duplicates)


def _fold(removed: Sequence[str], scored: dict[str, tuple[str, ...]], duplicates: NearDuplicates) -> Fold:
    """A fold that takes out the duplicates of what it takes out."""
    return Fold((*removed, *duplicates.of(removed)), scored)


def regions(table: pd.DataFrame, test: Sequence[str], block_degrees: float = BLOCK_DEGREES,
            duplicates: NearDuplicates = NO_DUPLICATES) -> list[Fold]:
    """All stations of a block are out at once, and its test stations are scored; at most four folds.

    Blocks of `block_degrees` in longitude and latitude, from the south-west corner of the region; those of one fold
    are a block apart. `table` has station_id, lat, lon. Test stations are out everywhere.
    """
    west, _, south, _ = schema.REGION_EDGES
    block = np.floor(np.stack([table.lon - west, table.lat - south], axis=1) / block_degrees).astype(int)
    ids, is_test = table.station_id.to_numpy(), table.station_id.isin(test).to_numpy()
    asked = {tuple(b) for b in block[is_test]}
    inside = np.array([tuple(b) in asked for b in block])
    folds = []
    for colour in range(4):
        of_colour = (block[:, 0] % 2 + 2 * (block[:, 1] % 2) == colour) & inside
        scored = ids[of_colour & is_test]
        if len(scored):
            folds.append(_fold(ids[of_colour | is_test], {REGIONS: tuple(scored)}, duplicates))
    return folds


@dataclass(frozen=True)
class Matched:
    """Folds of the distance-matched design, and how well it matches."""

    folds: list[Fold]
    w_before_km: float   # W of the test stations as they were withheld
    w_km: float          # W of the design: mean difference between the quantiles, km
    median_km: float     # of the distances that were wanted


def distance_matched(table: pd.DataFrame, test: Sequence[str], wanted_km: np.ndarray,
                     folds: int = MATCHED_FOLDS, duplicates: NearDuplicates = NO_DUPLICATES) -> Matched:
    """Test stations with all stations nearer than a distance of their own taken out.

    The k-th of n test stations, in the order of how far they lie from the next one already, is given the k-th of n
    quantiles of `wanted_km`, and the nearest stations are taken out until the next one is as near to it as can be.
    Stations of one fold are chosen so that what is taken out for one is hardly missed by another.
    """
    from scipy.stats import wasserstein_distance

    ids, is_test = table.station_id.to_numpy(), table.station_id.isin(test).to_numpy()
    given, asked = table[~table.station_id.isin((*test, *duplicates.of(test)))], table[is_test]
    distance = geo.pairwise_distance_km(asked.lat, asked.lon, given.lat, given.lon)
    natural = distance.min(axis=1)
    share = (np.argsort(np.argsort(natural, kind="stable")) + 0.5) / len(asked)
    target = np.quantile(wanted_km, share)
    fold, out = choose_folds(distance, target, folds)
    found = {number: _fold((*ids[is_test], *given.station_id[out[number]]),
                           {DISTANCE_MATCHED: tuple(asked.station_id[fold == number])}, duplicates)
             for number in np.unique(fold)}
    for number, one in found.items():
        out[number] |= given.station_id.isin(one.removed).to_numpy()
    achieved = np.where(out[fold], np.inf, distance).min(axis=1)
    return Matched(list(found.values()), float(wasserstein_distance(natural, wanted_km)),
                   float(wasserstein_distance(achieved, wanted_km)), float(np.median(wanted_km)))


def choose_folds(distance: np.ndarray, target: np.ndarray, folds: int,
                 always: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The fold of each test station (n,), and what is taken out in each (folds, given stations).

    `distance` (n, given) km; `target` (n,) km; `always` (n, given) what is taken out with a station in any case. One
    after the other, the widest surroundings first, goes where the distances of its fold then differ least from those
    that are wanted; FOLD_ROUNDS times.
    """
    own = _surroundings(distance, target)
    own = own if always is None else own | always
    carries = (distance < 2 * np.maximum(target, CARRYING_KM)[:, None]) & ~own
    fold, nearest = np.full(len(target), -1), np.zeros(len(target), int)  # the nearest of what a station's fold leaves
    out = np.zeros((folds, distance.shape[1]), bool)

    def settle(number: int) -> None:
        members = np.flatnonzero(fold == number)
        out[number] = own[members].any(axis=0)
        nearest[members] = np.where(out[number], NOBODY_KM, distance[members]).argmin(axis=1)

    for _ in range(FOLD_ROUNDS):
        for station in np.argsort(-own.sum(axis=1), kind="stable"):
            before, fold[station] = fold[station], -1
            if before >= 0:
                settle(before)
            costs = [_change(station, np.flatnonzero(fold == number), out[number], nearest, own, carries, distance,
                             target) for number in range(folds)]
            fold[station] = int(np.argmin(costs))
            settle(fold[station])
    return fold, out


def _surroundings(distance: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Which given stations to take out (n, given): all nearer than the one whose distance is nearest to the target."""
    nearest = np.argmin(np.abs(distance - target[:, None]), axis=1)
    return distance < distance[np.arange(len(target)), nearest][:, None]


def _change(station: int, others: np.ndarray, out: np.ndarray, nearest: np.ndarray, own: np.ndarray,
            carries: np.ndarray, distance: np.ndarray, target: np.ndarray) -> float:
    """By how much the misfit of a fold, km, grows with a station; many near neighbours lost count a little.

    `others` are the fold's members, `out` (given,) what it takes out without the station, `nearest` (n,) the nearest
    given station that is left to each; `carries` (n, given) which given stations carry the estimate of which.
    """
    new, together = own[station] & ~out, own[station] | out
    hit = others[new[nearest[others]]]  # those that lose their nearest
    moved = np.append(hit, station)
    after = np.where(together, NOBODY_KM, distance[moved]).min(axis=1)
    misfit = np.abs(after - target[moved]).sum() - np.abs(distance[hit, nearest[hit]] - target[hit]).sum()
    lost = carries[np.ix_(others, np.flatnonzero(new))].sum() + (carries[station] & together).sum()
    return float(misfit + KM_PER_LOST * lost + KM_PER_MEMBER * len(others))
