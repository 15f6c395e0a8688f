"""Designs of a whole network: each station is left out once in each, with all that gives it away, for one network."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_holdout import achieved, network

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation import designs, matching
from aqreanalysis.evaluation.designs import archive_designs
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED, SINGLE_STATIONS, WHOLE_CITIES
from aqreanalysis.grids import parse_grid
from aqreanalysis.observations.near_duplicates import find_duplicates
from aqreanalysis.observations.stations import city_numbers

GRID = parse_grid("0.25deg")


def towns(stations=120, seed=0):
    """Stations in towns of one to nine, 3 km about their centres; two of them 200 m apart."""
    rng = np.random.default_rng(seed)
    town = np.sort(rng.integers(0, stations // 5, stations))
    lat, lon = rng.uniform(31, 41, town.max() + 1), rng.uniform(108, 122, town.max() + 1)
    table = pd.DataFrame({"station_id": [f"S{number:03d}" for number in rng.permutation(stations)],
                          "lat": lat[town] + rng.normal(0, 0.03, stations),
                          "lon": lon[town] + rng.normal(0, 0.03, stations), "city": [f"T{t}" for t in town]})
    table.loc[1, ["lat", "lon"]] = table.loc[0, ["lat", "lon"]].to_numpy(float) + [0.0018, 0.0]
    return table


@pytest.fixture(scope="module", params=[1, 3])
def made(request):
    """Table, near duplicates, the fold of each station, and the designs: of one network, and of three."""
    table = towns()
    duplicates = find_duplicates(table)
    assert len(duplicates.pairs) >= 1
    city = city_numbers(table)
    networks = np.where(city % 4 == 3, -1, city % 4) if request.param == 3 else np.full(len(table), -1)
    return table, duplicates, networks, archive_designs(table, GRID, networks, duplicates)


def test_each_station_is_scored_once_in_each_design(made):
    table, _, _, found = made
    assert found.groups == [SINGLE_STATIONS, WHOLE_CITIES, MAP_MATCHED, DISTANCE_MATCHED]
    for group in found.groups:
        scored = [station for fold in found.folds for station in fold.scored.get(group, ())]
        assert sorted(scored) == sorted(table.station_id)


def test_what_is_scored_and_what_gives_it_away_is_out(made):
    table, duplicates, _, found = made
    for fold in found.folds:
        assert set(fold.asked) <= set(fold.removed) and len(set(fold.removed)) == len(fold.removed)
        assert not duplicates.of(fold.removed)
        assert len(table) - len(fold.removed) >= designs.LEAST_LEFT


def test_a_fold_asks_the_network_that_never_saw_its_stations(made):
    table, _, networks, found = made
    of_station = dict(zip(table.station_id, networks, strict=True))
    for fold in found.folds:
        assert {of_station[station] for station in fold.asked} == {-1 if fold.network is None else fold.network}


def test_few_are_out_with_single_stations_and_cities_are_out_whole(made):
    table, _, networks, found = made
    city = table.set_index("station_id").city
    several = len(set(networks)) > 1
    for fold in found.folds:
        out = city[list(fold.removed)]
        if SINGLE_STATIONS in fold.scored:
            assert len(out) <= 0.08 * len(table) + 2
            share = out.value_counts() / city.value_counts()
            assert (share[city.value_counts() >= 4].dropna() <= (0.5 if several else 0.34)).all()
        if WHOLE_CITIES in fold.scored:
            assert not set(out) & set(city[~city.index.isin(fold.removed)]) and len(out) <= 0.25 * len(table)


def test_distances_are_those_of_the_land(made):
    """Their distribution by plain search: the quartiles of land cells inside the hull, to a tenth."""
    table, _, _, found = made
    distance = pd.Series(achieved(table, [fold for fold in found.folds if MAP_MATCHED in fold.scored]))
    inside = GRID.land & designs.inside_hull(table.lat, table.lon, GRID.lat, GRID.lon)
    wanted = designs.nearest_remaining(table.lat, table.lon, GRID.lat[inside], GRID.lon[inside])
    assert np.allclose(distance.quantile([0.25, 0.5, 0.75]), np.quantile(wanted, [0.25, 0.5, 0.75]), rtol=0.1)


def test_the_weights_are_of_the_map_matched_alone(made):
    _, _, _, found = made
    weights = np.concatenate([fold.weights_of(MAP_MATCHED, fold.scored[MAP_MATCHED]) for fold in found.folds
                              if MAP_MATCHED in fold.scored])
    assert weights.mean() == pytest.approx(1.0) and weights.std() > 0.3
    fold = next(fold for fold in found.folds if MAP_MATCHED in fold.scored)
    assert (fold.weights_of(DISTANCE_MATCHED, fold.scored[DISTANCE_MATCHED]) == 1.0).all()
    assert (fold.weights_of(MAP_MATCHED, ["elsewhere"]) == 0.0).all()
    effective = matching.effective_number(weights)
    assert any(f"{effective:.0f} equal ones" in note for note in found.notes)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_stations_does_not_matter(seed):
    table = towns(40, seed)
    assert archive_designs(table, None).folds == archive_designs(table.sample(frac=1, random_state=seed), None).folds


def test_a_small_network_has_the_designs_that_make_sense():
    """One town has no whole cities; lonely stations neither; stations on a line no land among them."""
    one_town = towns(30).assign(city="T")
    found = archive_designs(one_town, GRID)
    assert found.groups == [SINGLE_STATIONS, MAP_MATCHED, DISTANCE_MATCHED] and "of one city" in found.notes[0]
    assert "no city has two stations" in archive_designs(network(12).assign(city=list("abcdefghijkl")), GRID).notes[0]
    line = network(8).assign(lat=36.0, lon=112.0 + np.arange(8), city=list("aabbccdd"))
    found = archive_designs(line, GRID)
    assert found.groups == [SINGLE_STATIONS, WHOLE_CITIES] and "no land cell" in found.notes[0]
    most = towns(12).assign(city=["T"] * 9 + list("abc"))
    assert "9 of 12 stations not scored" in archive_designs(most, None).notes[0]
    with pytest.raises(UserError, match="5 stations to score"):
        archive_designs(network(5), GRID)


def test_weights_have_the_moments_closed_form():
    """A share of 0.2 of the stations is to count as 0.5: 2.5 each; the others 0.5 / 0.8. Kish: 1 / sum p^2 / n."""
    moments = np.repeat([0.5, -0.5], [20, 80])[:, None]
    weights = matching.balance(moments, ridge=1e-9)
    assert np.allclose(weights[:20], 2.5) and np.allclose(weights[20:], 0.625)
    assert matching.effective_number(weights) == pytest.approx(100**2 / (20 * 2.5**2 + 80 * 0.625**2))
    capped = matching.balance(moments, most=2.0, ridge=1e-9)
    assert np.allclose(capped[:20], 2.0) and np.allclose(capped[20:], (100 - 40) / 80)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_are_the_exponential_tilt(seed):
    """Without a cap in force the logarithms of the weights are linear in the moments (Hainmueller 2012, equation 8),
    and the means are 0."""
    moments = np.random.default_rng(seed).normal(0.15, 1.0, (200, 3))
    weights = matching.balance(moments, most=1e6, ridge=1e-9)
    assert np.abs(weights @ moments / 200).max() < 1e-4 and weights.mean() == pytest.approx(1.0)
    design = np.column_stack([moments, np.ones(200)])
    fitted = design @ np.linalg.lstsq(design, np.log(weights), rcond=None)[0]
    assert np.allclose(fitted, np.log(weights), atol=1e-6)


def test_land_that_stations_stand_for_already_needs_no_weights():
    rng = np.random.default_rng(0)
    land = matching.Land(rng.uniform(32, 40, 300), rng.uniform(108, 120, 300), rng.gamma(3, 15, 300))
    found = matching.match_to_land(land, land)
    assert np.allclose(found.values, 1.0, atol=1e-3) and found.effective == pytest.approx(300, abs=0.1)
    assert not found.unmatched and not found.unknown and len(found.sentences()) == 1


def test_what_can_not_be_matched_is_told():
    """Towns alone can not stand for the steppe; outside China nothing but the distance is known."""
    city = matching.Land(np.full(20, 39.9), np.linspace(116.3, 116.5, 20), np.full(20, 10.0))
    steppe = matching.Land(np.linspace(42, 43, 50), np.full(50, 110.0), np.linspace(5, 15, 50))
    found = matching.match_to_land(city, steppe)
    assert found.unmatched["population_5km"] > 1 and "for want of stations like it" in found.sentences()[1]
    abroad = matching.match_to_land(matching.Land(city.lat, city.lon - 70, city.distance_km),
                                    matching.Land(steppe.lat, steppe.lon - 70, steppe.distance_km))
    assert set(abroad.unknown) == set(matching.MATCHED_COVARIATES) and abroad.effective >= 10
