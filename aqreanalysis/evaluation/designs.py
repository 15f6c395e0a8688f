"""Hold-out designs: of all stations of a network, each left out once, in folds, and scored; or of some of them.

- single stations: small parts of the network, dealt so that a city loses few at once;
- whole cities: all stations of some cities at once;
- distance-matched: stations with their surroundings, so far that the distances to the nearest remaining one are those
  of the map's land cells; and *map-matched*, the same weighted so that they are like the map's land (matching.py).

A checkpoint that was trained on a station has, where it is cross-fitted, a network of a fold that never saw it
(models/cross_fitting.py). Stations of one such fold make parts of their own, so that a Fold asks one network.

`archive_designs` are of all stations; `withheld_designs` of those that a checkpoint withheld, as they were withheld.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.holdout import (
    DISTANCE_MATCHED,
    MAP_MATCHED,
    NOBODY_KM,
    SINGLE_STATIONS,
    WHOLE_CITIES,
    Fold,
    choose_folds,
    distance_matched,
    nearest_remaining,
    regions,
    withheld,
)
from aqreanalysis.evaluation.matching import Land, match_to_land
from aqreanalysis.grids import Grid
from aqreanalysis.models.uncertainty import inside_hull
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, NearDuplicates
from aqreanalysis.observations.stations import city_numbers

SINGLE_SHARE, CITY_SHARE, MATCHED_SHARE = 0.08, 0.1, 0.08  # of all stations, scored in a fold, at most
PARTS_OF_A_NETWORK = 6  # single stations: so many at least, or a fold of a checkpoint, whole cities, is out at once
LEAST_STATIONS = 6      # of a network
LEAST_LEFT = 5          # stations that a fold leaves to the models
LEAST_LEFT_WITHHELD = 20  # and of the stations of a checkpoint; those of one city's network are all in one region
CITY_ORDER = 0.1        # km that a station may miss its distance by, for each that it is nearer to its city's place
SEED = 0                # of the draw of parts, which depends on the set of stations but not on their order


@dataclass(frozen=True)
class Designs:
    """The folds of all designs; `notes` are sentences on how well they match, and which designs were left out."""

    folds: list[Fold]
    notes: list[str]

    @property
    def groups(self) -> list[str]:
        """The names of the designs."""
        return list(dict.fromkeys(group for fold in self.folds for group in fold.scored))


@dataclass(frozen=True)
class _Network:
    """Stations to be left out: arrays (stations,), sorted by their id."""

    ids: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    city: np.ndarray     # numbers; near duplicates are of one city
    asked: np.ndarray    # the fold of the checkpoint whose network is asked, -1 for the main one
    group: np.ndarray    # numbers; near duplicates have the same
    duplicates: NearDuplicates

    def folds(self, removed: np.ndarray, scored: np.ndarray, designs: Sequence[str]) -> Iterator[Fold]:
        """A fold for each network that is asked at the scored stations (numbers) of one part."""
        out = tuple(self.ids[np.sort(removed)])
        out = (*out, *self.duplicates.of(out))
        for number in np.unique(self.asked[scored]):
            ids = tuple(self.ids[np.sort(scored[self.asked[scored] == number])])
            yield Fold(out, dict.fromkeys(designs, ids), None if number < 0 else int(number))


def archive_designs(table: pd.DataFrame, grid: Grid | None, networks: np.ndarray | None = None,
                    duplicates: NearDuplicates = NO_DUPLICATES) -> Designs:
    """The designs of all stations of a network.

    Parameters
    ----------
    table : station_id, lat, lon and, where known, city and province; stations that report.
    grid : of the map; None for no distances, single stations and whole cities only.
    networks : int (stations,), the fold of the checkpoint that never saw a station, negative where the main network is
        asked (models.cross_fitting.training_folds).
    duplicates : of which no fold leaves one of a station that it takes out.

    Raises
    ------
    UserError : for fewer than LEAST_STATIONS stations.
    """
    if len(table) < LEAST_STATIONS:
        raise UserError(f"There are {len(table)} stations to score.",
                        f"Stations are left out and estimated from the others: it takes at least {LEAST_STATIONS}.",
                        "Give observations of more stations, or a longer period.")
    network = _network(table, networks, duplicates)
    folds = single_station_folds(network)
    in_cities, notes = whole_city_folds(network)
    of_the_map, said = map_folds(network, grid) if grid else ([], [])
    return Designs(folds + in_cities + of_the_map, notes + said)


def withheld_designs(table: pd.DataFrame, single: Sequence[str], cities: Sequence[str], grid: Grid | None,
                     duplicates: NearDuplicates = NO_DUPLICATES) -> Designs:
    """The designs of the stations that a checkpoint withheld, `single` and in `cities`, and of no others.

    As they were withheld; and unless `grid` is None with their surroundings taken out too, so that they are as far from
    others as the land cells of `grid` are, and with whole regions. `table` and `duplicates` as in `archive_designs`.
    """
    folds = [withheld(single, cities, duplicates)]
    if grid is None:
        return Designs(folds, [])
    test = [*single, *cities]
    land = land_among(table["lat"].to_numpy(), table["lon"].to_numpy(), grid)
    if land is None or len(table) < len(test) + LEAST_LEFT_WITHHELD:
        return Designs(folds, ["too few stations, or no land cell among them: scored as they were withheld only"])
    matched = distance_matched(table, test, land.distance_km, duplicates=duplicates)
    note = _distances_in_words(land, grid, matched.w_before_km, "withheld", matched.w_km)
    more, notes = _as_the_land([fold for fold in matched.folds if _leaves(table, fold)], table, land)
    more += [fold for fold in regions(table, test, duplicates=duplicates) if _leaves(table, fold)]
    return Designs(folds + more, [note, *notes])


def _leaves(table: pd.DataFrame, fold: Fold) -> bool:
    return len(table) - len(fold.removed) >= LEAST_LEFT_WITHHELD


def land_among(lat: np.ndarray, lon: np.ndarray, grid: Grid) -> Land | None:
    """Land cells of a grid among stations; None where there is none."""
    inside = grid.land & inside_hull(lat, lon, grid.lat, grid.lon)
    if not inside.any():
        return None
    to_lat, to_lon = grid.lat[inside], grid.lon[inside]
    return Land(to_lat, to_lon, nearest_remaining(lat, lon, to_lat, to_lon)).thinned()


def _distances_in_words(land: Land, grid: Grid, before_km: float, as_what: str, after_km: float) -> str:
    return (f"land cells of {grid.name} inside the network lie a median {np.median(land.distance_km):.0f} km from a "
            f"station; Wasserstein distance of the stations' distances from theirs: {before_km:.1f} km as {as_what}, "
            f"{after_km:.1f} km distance-matched")


def _as_the_land(folds: list[Fold], table: pd.DataFrame, land: Land) -> tuple[list[Fold], list[str]]:
    """Distance-matched folds whose stations are scored as MAP_MATCHED too, with weights that make them like the land;
    and sentences on how well they do."""
    place = table.set_index("station_id")
    asked = place.loc[[station for fold in folds for station in fold.scored[DISTANCE_MATCHED]]]
    if len(asked) < LEAST_STATIONS:
        return folds, ["map-matched: left out, too few stations are left without a station's surroundings"]
    left = []
    for fold in folds:
        others = place[~place.index.isin(fold.removed)]
        mine = place.loc[list(fold.scored[DISTANCE_MATCHED])]
        left.append(nearest_remaining(others.lat.to_numpy(), others.lon.to_numpy(), mine.lat.to_numpy(),
                                      mine.lon.to_numpy()))
    weights = match_to_land(Land(asked.lat.to_numpy(), asked.lon.to_numpy(), np.concatenate(left)), land)
    of_station = dict(zip(asked.index, weights.values.tolist(), strict=True))
    weighted = [replace(fold, scored={MAP_MATCHED: fold.scored[DISTANCE_MATCHED], **fold.scored},
                        weights={MAP_MATCHED: {station: of_station[station]
                                               for station in fold.scored[DISTANCE_MATCHED]}}) for fold in folds]
    return weighted, [f"map-matched: {sentence}" for sentence in weights.sentences()]


def _network(table: pd.DataFrame, networks: np.ndarray | None, duplicates: NearDuplicates) -> _Network:
    order = np.argsort(table["station_id"].to_numpy().astype(str), kind="stable")
    asked = np.full(len(table), -1) if networks is None else np.maximum(np.asarray(networks, int), -1)
    table, asked = table.iloc[order].reset_index(drop=True), asked[order]
    ids = table["station_id"].to_numpy()
    duplicates = duplicates.among(ids)
    cities = duplicates.one_label(dict(zip(ids, city_numbers(table), strict=True)))
    alone = duplicates.one_label({station: number for number, station in enumerate(ids)})
    return _Network(ids, table["lat"].to_numpy(float), table["lon"].to_numpy(float),
                    np.array([cities[station] for station in ids]), asked,
                    np.array([alone[station] for station in ids]), duplicates)


def single_station_folds(network: _Network) -> list[Fold]:
    """Parts of at most SINGLE_SHARE of the stations. A city's are dealt to the parts in turn, so that few are out at
    once; near duplicates go together."""
    rng, several = np.random.default_rng(SEED), len(np.unique(network.asked)) > 1
    folds: list[Fold] = []
    units = np.unique(network.group)
    first = np.array([np.flatnonzero(network.group == unit)[0] for unit in units])  # a station of each
    for number in np.unique(network.asked[first]):
        mine = np.flatnonzero(network.asked[first] == number)
        parts = max(_parts(len(mine), SINGLE_SHARE * len(network.ids)), PARTS_OF_A_NETWORK if several else 1)
        drawn = rng.permutation(mine)
        dealt = drawn[np.argsort(network.city[first[drawn]], kind="stable")]
        for part in range(min(parts, len(dealt))):
            out = np.flatnonzero(np.isin(network.group, units[dealt[part::parts]]))
            folds += network.folds(out, out, (SINGLE_STATIONS,))
    return folds


def _parts(stations: int, at_most: float) -> int:
    return max(int(np.ceil(stations / max(at_most, 1.0) - 1e-9)), 1)


def whole_city_folds(network: _Network) -> tuple[list[Fold], list[str]]:
    """About ten parts of whole cities, as equal as they can be; and why there are none, or fewer."""
    cities, sizes = np.unique(network.city, return_counts=True)
    if len(cities) < 2:
        return [], ["whole cities: left out, all stations are of one city"]
    if sizes.max() == 1:
        return [], ["whole cities: left out, no city has two stations"]
    rng, lost = np.random.default_rng(SEED), 0
    folds: list[Fold] = []
    owner = np.array([_commonest(network.asked[network.city == city]) for city in cities])
    for number in np.unique(owner):
        mine = np.flatnonzero(owner == number)
        parts = min(_parts(int(sizes[mine].sum()), CITY_SHARE * len(network.ids)), len(mine))
        load, chosen = np.zeros(parts, int), np.zeros(len(cities), int) - 1
        drawn = rng.permutation(mine)
        for place in drawn[np.argsort(-sizes[drawn], kind="stable")]:  # the largest first, to the part that has least
            part = int(np.argmin(load))
            load[part] += sizes[place]
            chosen[place] = part
        for part in range(parts):
            out = np.flatnonzero(np.isin(network.city, cities[chosen == part]))
            if len(network.ids) - len(out) < LEAST_LEFT:
                lost += len(out)
                continue
            folds += network.folds(out, out, (WHOLE_CITIES,))
    return folds, [f"whole cities: {lost} of {len(network.ids)} stations not scored, without their city fewer than "
                   f"{LEAST_LEFT} stations are left"] * bool(lost)


def _commonest(values: np.ndarray) -> int:
    found, count = np.unique(values, return_counts=True)
    return int(found[np.argmax(count)])


def map_folds(network: _Network, grid: Grid) -> tuple[list[Fold], list[str]]:
    """Stations with their surroundings, so that they are as far from others as land cells are, and weighted so that
    they are like them; and how well they match, or why there are none."""
    from scipy.stats import wasserstein_distance

    land = land_among(network.lat, network.lon, grid)
    if land is None:
        return [], [f"map-matched: left out, no land cell of {grid.name} lies among the stations"]
    fold, removed, lost = _surroundings_in_folds(network, land.distance_km)
    folds = [one for number in range(len(removed)) for one in network.folds(
        np.flatnonzero(removed[number]), np.flatnonzero(fold == number), (DISTANCE_MATCHED,))]
    if not folds:
        return [], ["map-matched: left out, without a station's surroundings too few are left"]
    scored, distance = np.flatnonzero(fold >= 0), _distances(network)
    left = np.where(removed[fold[scored]], NOBODY_KM, distance[scored]).min(axis=1)
    note = _distances_in_words(land, grid, wasserstein_distance(distance.min(axis=1), land.distance_km), "they are",
                               wasserstein_distance(left, land.distance_km))
    table = pd.DataFrame({"station_id": network.ids, "lat": network.lat, "lon": network.lon})
    folds, notes = _as_the_land(folds, table, land)
    return folds, [note, *notes] + [f"map-matched: {lost} stations not scored, without their surroundings fewer than "
                                    f"{LEAST_LEFT} stations are left"] * bool(lost)


def _distances(network: _Network) -> np.ndarray:
    """(stations, stations) km; NOBODY_KM from each to itself and its duplicates."""
    km = geo.pairwise_distance_km(network.lat, network.lon, network.lat, network.lon)
    return np.where(network.group[:, None] == network.group, NOBODY_KM, km)


def _surroundings_in_folds(network: _Network, wanted_km: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The fold of each station (n,), -1 where it has none; what is out in each (folds, n); how many have none."""
    distance, always = _distances(network), network.group[:, None] == network.group
    target = _wanted_of_each(network, distance, wanted_km)
    fold = np.full(len(target), -1)
    removed: list[np.ndarray] = []
    for number in np.unique(network.asked):
        mine = np.flatnonzero(network.asked == number)
        chosen, out = choose_folds(distance[mine], target[mine], _parts(len(mine), MATCHED_SHARE * len(target)),
                                   always[mine])
        for part in np.unique(chosen):
            if (~out[part]).sum() >= LEAST_LEFT:
                fold[mine[chosen == part]] = len(removed)
                removed.append(out[part])
    return fold, np.array(removed).reshape(len(removed), len(target)), int((fold < 0).sum())


def _wanted_of_each(network: _Network, distance: np.ndarray, wanted_km: np.ndarray) -> np.ndarray:
    """Which of n quantiles of `wanted_km` each of n stations is to have as its distance to the nearest remaining one.

    Each quantile goes to a station that has others at such a distance, all in all as near as can be (an assignment);
    and, where that costs little, to one whose city is in that place in the order of how far the next city is: stations
    of one city are then to be as far from others, and can be out together.
    """
    quantiles = np.quantile(wanted_km, (np.arange(len(distance)) + 0.5) / len(distance))
    ordered = np.sort(distance, axis=1)
    place = np.stack([np.searchsorted(row, quantiles) for row in ordered])
    misfit = np.minimum(*(np.abs(np.take_along_axis(ordered, np.clip(place - back, 0, len(distance) - 1), axis=1)
                                 - quantiles) for back in (0, 1)))
    other_city = np.where(network.city[:, None] == network.city, NOBODY_KM, distance).min(axis=1)
    of_city = pd.Series(other_city).groupby(network.city).transform("median").to_numpy()
    rank = np.argsort(np.lexsort((distance.min(axis=1), network.city, of_city)), kind="stable")
    _, quantile = linear_sum_assignment(misfit + CITY_ORDER * np.abs(quantiles[rank][:, None] - quantiles))
    return quantiles[quantile]
