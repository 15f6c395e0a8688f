"""Which stations give each other's observations away: near each other, or one instrument under two ids.

A withheld station is no test where another one tells what it observed: the same station from a second archive, listed
twice under ids of two kinds, or moved by some metres and given a new id. So whoever withholds a station (evaluate,
training, calibration, the choice of settings) withholds its near duplicates too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from aqreanalysis import geo, schema
from aqreanalysis.observations import likeness
from aqreanalysis.observations.quality.values import missing_code, out_of_range
from aqreanalysis.observations.readers.archive import Archive, Stamp, as_hour
from aqreanalysis.time_axis import HOUR

NEAR_KM = 0.5        # what stands nearer observes the same air
PIECE_EVERY = 30     # days: a piece of likeness.PIECE_HOURS of each so many is compared
REACH_HOURS = 372    # before and after a period that a model may read
SHOWN_DUPLICATES = 4


@dataclass(frozen=True)
class DuplicatePair:
    """Two stations, and why one tells what the other observed.

    `share` of `hours` with a change in which both are equal, `other` being `lag` hours later; 0 hours where they are
    pairs for their distance alone.
    """

    one: str
    other: str
    distance_km: float
    share: float = 0.0
    hours: int = 0
    lag: int = 0

    @property
    def reason(self) -> str:
        """Why, in a phrase."""
        if np.isnan(self.distance_km):
            return "by way of a third station"
        apart = f"{self.distance_km * 1000:.0f} m" if self.distance_km < 1.0 else f"{self.distance_km:.0f} km"
        if not self.hours:
            return f"{apart} apart"
        later = f" {self.lag} h later" if self.lag else ""
        return f"{apart} apart, equal in {self.share:.0%} of {self.hours} changing hours{later}"


@dataclass(frozen=True)
class NearDuplicates:
    """The pairs among some stations."""

    pairs: tuple[DuplicatePair, ...] = ()

    def of(self, stations: Iterable[str]) -> tuple[str, ...]:
        """The duplicates of some stations that are not among these, and of those in turn."""
        given, found = set(stations), []
        for group in self.groups():
            if given & set(group):
                found += [station for station in group if station not in given]
        return tuple(sorted(found))

    def groups(self) -> list[tuple[str, ...]]:
        """Stations that are tied by pairs, each in one group."""
        names = sorted({name for pair in self.pairs for name in (pair.one, pair.other)})
        number = connected_components(self._tied(names), directed=False)[1] if names else np.array([], int)
        return [tuple(np.array(names, object)[number == group]) for group in np.unique(number)]

    def among(self, stations: Iterable[str]) -> NearDuplicates:
        """The groups of these stations alone; two that a third one ties stay tied."""
        wanted, apart = set(stations), {frozenset((pair.one, pair.other)): pair for pair in self.pairs}
        pairs = []
        for group in self.groups():
            left = [station for station in group if station in wanted]
            direct = [pair for key, pair in apart.items() if key <= set(left)]
            linked = [DuplicatePair(a, b, float("nan")) for a, b in pairwise(left) if frozenset((a, b)) not in apart]
            pairs += direct + linked
        return NearDuplicates(tuple(pairs))

    def one_label(self, labels: Mapping[str, int]) -> dict[str, int]:
        """Labels by station (of cities, say), each group with that of its first station that has one."""
        found = dict(labels)
        for group in self.groups():
            known = [station for station in group if station in found]
            found |= {station: found[known[0]] for station in known}
        return found

    def matrix(self, stations: Sequence[str]) -> np.ndarray:
        """Which of some stations give which others away, (n, n) bool; each itself."""
        group = {name: number for number, names in enumerate(self.groups()) for name in names}
        number = np.array([group.get(name, -1 - place) for place, name in enumerate(stations)])
        return number[:, None] == number

    def sentences(self, withheld: Iterable[str]) -> list[str]:
        """What is withheld beside some stations, and why: one sentence with the first pairs, none where nothing is."""
        withheld = set(withheld)
        more = set(self.of(withheld))
        if not more:
            return []
        told = [self._told(pair, more) for pair in self.pairs if {pair.one, pair.other} & more]
        told = told[:SHOWN_DUPLICATES] + [f"{len(told) - SHOWN_DUPLICATES} more pairs"] * (len(told) > SHOWN_DUPLICATES)
        one = len(more) == 1
        return [f"{len(more)} station{'' if one else 's'} that would give withheld ones away "
                f"{'is' if one else 'are'} withheld too: {'; '.join(told)}"]

    @staticmethod
    def _told(pair: DuplicatePair, more: set[str]) -> str:
        first, second = (pair.one, pair.other) if pair.one in more else (pair.other, pair.one)
        return f"{first} for {second} ({pair.reason})"

    def _tied(self, names: list[str]) -> np.ndarray:
        place, tied = {name: number for number, name in enumerate(names)}, np.zeros((len(names), len(names)), bool)
        for pair in self.pairs:
            tied[place[pair.one], place[pair.other]] = True
        return tied


NO_DUPLICATES = NearDuplicates()


def near_duplicates(archive: Archive, start: Stamp, end: Stamp) -> NearDuplicates:
    """The near duplicates among an archive's stations, by their places and by some weeks between two stamps.

    Around the period as many hours are looked at as a model may read.
    """
    first, last = as_hour(start) - REACH_HOURS * HOUR, as_hour(end) + REACH_HOURS * HOUR
    read = (archive.read(*piece) for piece in pieces(archive, first, last))
    return find_duplicates(archive.stations, read)


def pieces(archive: Archive, start: Stamp, end: Stamp) -> Iterator[tuple[np.datetime64, np.datetime64]]:
    """First and last stamps of the hours that are compared: the first days of every PIECE_EVERY days, or all of few."""
    first, last = (as_hour(stamp) for stamp in archive.period())
    first, last = max(as_hour(start), first), min(as_hour(end), last)
    every = PIECE_EVERY * 24 * HOUR if last - first > 2 * PIECE_EVERY * 24 * HOUR else likeness.PIECE_HOURS * HOUR
    while first <= last:
        yield first, min(first + (likeness.PIECE_HOURS - 1) * HOUR, last)
        first = first + every


def find_duplicates(table: pd.DataFrame, cubes: Iterable[xr.Dataset] = ()) -> NearDuplicates:
    """The pairs among the stations of a table (station_id, lat, lon): by distance, and by their PM2.5 in any cube.

    One cube is looked at after the other, so that memory does not grow with their number; each has its own stations.
    """
    place = {name: number for number, name in enumerate(table["station_id"])}
    found = {key: _pair(table, *key) for key in _near(table)}
    for cube in cubes:
        names = cube[schema.STATION].values
        values = cube[schema.TARGET].values
        values = np.where(missing_code(values) | out_of_range(values, schema.TARGET), np.nan, values)
        for like in likeness.alike(values):
            one, other = place[names[like.one]], place[names[like.other]]
            key = (min(one, other), max(one, other))
            if key not in found or found[key].share < like.share:
                found[key] = _pair(table, one, other, like.share, like.hours, like.lag)
    return NearDuplicates(tuple(found[key] for key in sorted(found)))


def _near(table: pd.DataFrame) -> set[tuple[int, int]]:
    """Rows of a table that lie within NEAR_KM of each other."""
    if len(table) < 2:
        return set()
    chord = 2.0 * np.sin(NEAR_KM / geo.EARTH_RADIUS_KM / 2.0)
    return {(int(a), int(b)) for a, b in cKDTree(geo.unit_vectors(table.lat, table.lon)).query_pairs(chord)}


def _pair(table: pd.DataFrame, one: int, other: int, *likeness_found: float) -> DuplicatePair:
    a, b = table.iloc[one], table.iloc[other]
    return DuplicatePair(str(a.station_id), str(b.station_id), float(geo.distance_km(a.lat, a.lon, b.lat, b.lon)),
                         *likeness_found)  # type: ignore[arg-type]
