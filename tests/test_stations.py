"""Station cubes that drop no hour, and splits that leak nothing."""

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema
from aqreanalysis.observations import stations

TABLE = pd.DataFrame({"station_id": ["A", "B", "C"], "lat": [30.0, 31, 32], "lon": [110.0, 111, 112],
                      "city": ["x", "x", "y"]})
PARTS = ("train", "validation_single", "validation_city", "test_single", "test_city")


def rows(*given):
    table = pd.DataFrame(given, columns=["station_id", "time", "pm25", "o3"])
    return table.assign(time=pd.to_datetime(table["time"]))


def test_rows_stand_at_their_own_hour_and_station():
    cube = stations.cube_from_rows(rows(("C", "2019-01-01T02", 1, 2), ("A", "2019-01-01T00", 3, np.nan)),
                                   TABLE, "2019-01-01T00", "2019-01-01T03")
    expected = np.full((4, 3), np.nan)
    expected[2, 2], expected[0, 0] = 1, 3
    np.testing.assert_array_equal(cube.pm25, expected)
    assert cube.o3.values[2, 2] == 2 and np.isfinite(cube.o3).sum() == 1
    assert cube.so2.isnull().all() and cube.pm25.dtype == np.float32
    assert cube.station.values.tolist() == ["A", "B", "C"] and cube.station_city.values.tolist() == ["x", "x", "y"]


@pytest.mark.parametrize("given", [[], [("A", "2019-06-01T00", 1, 1)], [("unknown", "2019-01-01T01", 1, 1)],
                                   [("A", "2018-12-31T23", 1, 1), ("A", "2019-01-02T00", 1, 1)]])
def test_no_hour_and_no_station_is_dropped(given):
    cube = stations.cube_from_rows(rows(*given), TABLE, "2019-01-01T00", "2019-01-01T23")
    assert schema.check_station_cube(cube).sizes == {"time": 24, "station": 3}
    assert cube.pm25.isnull().all()


@pytest.mark.parametrize("seed", range(5))
def test_of_several_rows_the_first_number_stays_and_a_different_one_is_flagged(seed):
    rng = np.random.default_rng(seed)
    given = [(rng.choice(["A", "B", "C", "unknown"]), f"2019-01-01T{rng.integers(0, 8):02}",
              rng.choice([1, 2, np.nan]), rng.choice([0.1, np.nan])) for _ in range(60)]
    first, conflicts = {}, set()
    for station, time, pm25, _ in given:  # one row after the other
        if not np.isnan(pm25) and first.setdefault((time, station), pm25) != pm25:
            conflicts.add((time, station))
    cube = stations.cube_from_rows(rows(*given), TABLE, "2019-01-01T00", "2019-01-01T05")
    bit = schema.OBSERVATION_FLAGS["conflicting"]
    assert conflicts and "o3_flag" not in cube and cube.pm25_flag.dtype == schema.FLAG_DTYPE
    for time in cube.time.values:
        for station in "ABC":
            key, at = (str(time.astype("datetime64[h]")), station), dict(time=time, station=station)
            np.testing.assert_equal(cube.pm25.sel(at).item(), first.get(key, np.nan))
            assert cube.pm25_flag.sel(at) == (bit if key in conflicts else 0)


def test_weather_in_the_rows_comes_along():
    given = rows(("B", "2019-01-01T01", 5, 6)).assign(wind_direction=337.5)
    cube = stations.cube_from_rows(given, TABLE, "2019-01-01T00", "2019-01-01T01")
    np.testing.assert_array_equal(cube.wind_direction, [[np.nan] * 3, [np.nan, 337.5, np.nan]])
    assert cube.wind_direction.dtype == np.float32 and "rain" not in cube


def test_the_order_of_the_rows_does_not_matter():
    many = rows(*((station, f"2019-01-01T{hour:02}", 10 * hour + number, hour)
                  for hour in range(0, 24, 3) for number, station in enumerate("ABC")))
    cubes = [stations.cube_from_rows(table, TABLE, "2019-01-01T00", "2019-01-01T23")
             for table in (many, many.sample(frac=1, random_state=2))]
    assert cubes[0].identical(cubes[1])
    assert cubes[0].pm25.sum() == many["pm25"].sum()


def test_reporting_counts_valid_hours():
    pm25 = np.full((4, 3), np.nan)
    pm25[:1, 0], pm25[:3, 2] = 5, 5
    cube = schema.make_station_cube(np.datetime64("2019-01-01T00", "h") + np.arange(4), list("ABC"), TABLE["lat"],
                                    TABLE["lon"], {"pm25": pm25, "o3": np.ones((4, 3))})
    kept = {hours: stations.reporting(cube, hours).station.values.tolist() for hours in (1, 2, 3, 4)}
    assert kept == {1: ["A", "C"], 2: ["C"], 3: ["C"], 4: []}
    assert stations.reporting(cube).sizes["time"] == 4


def network(seed, n=240, cities=40, outside=12):
    """Cities of different sizes, each within 10 km; the last stations lie outside the region."""
    rng = np.random.default_rng(seed)
    city = np.sort(rng.integers(0, cities, n))
    lat, lon = rng.uniform(30, 42, cities)[city], rng.uniform(107, 124, cities)[city]
    table = pd.DataFrame({"station_id": [f"{number:04}A" for number in rng.permutation(n)],
                          "city": [f"c{number}" for number in city], "province": "p",
                          "lat": lat + rng.uniform(-0.05, 0.05, n), "lon": lon + rng.uniform(-0.05, 0.05, n)})
    table.loc[table.index[-outside:], ["lat", "city"]] = [27.5, "far"]
    return table


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("named", [True, False], ids=["named", "clusters"])
def test_a_split_is_complete_disjoint_and_divides_no_withheld_city(seed, named):
    table = network(seed)
    split = stations.split_stations(table if named else table.drop(columns=["city", "province"]), seed)
    parts = [getattr(split, part) for part in PARTS]
    together = sum(parts, ())
    assert sorted(together) == sorted(table["station_id"]) and len(set(together)) == len(table)
    assert split.test == split.test_single + split.test_city
    assert split.validation == split.validation_single + split.validation_city
    city = table.set_index("station_id")["city"]
    for part in (split.test_city, split.validation_city):
        assert set(city[city.isin(city[list(part)])].index) == set(part)  # all of each city, and nothing else
    for part in (split.test_single, split.validation_single):
        assert len(part) == round(0.08 * len(table))
    for part in (split.test_city, split.validation_city):  # no more than needed: one city takes it over the share
        assert 0.08 * len(table) <= len(part) < 0.08 * len(table) + city.value_counts().max()
    assert set(table["station_id"][table["lat"] < 29]) <= set(split.train)


@pytest.mark.parametrize("drop", [[], ["city", "province"]])
def test_a_split_depends_on_the_stations_and_the_seed_not_on_the_order_of_the_rows(drop):
    table = network(3).drop(columns=drop)
    split = stations.split_stations(table, 7)
    for seed in range(5):
        shuffled = table.sample(frac=1, random_state=seed)
        assert stations.split_stations(shuffled, 7) == split
    assert stations.split_stations(table, 8) != split


@pytest.mark.parametrize("margin, trains", [(0.0, {"out"}), (0.5, {"out", "edge"}), (2.0, {"out", "edge", "near"})])
def test_stations_near_the_edge_only_train_and_so_do_their_cities(margin, trains):
    table = pd.DataFrame({"station_id": ["out", "edge", "near", "mate", "in"], "lat": [28.9, 29.4, 30.9, 36, 36],
                          "lon": [116.0] * 5, "city": ["o", "e", "n", "n", "i"]})
    split = stations.split_stations(table, 0, share_single=0, share_city=1, margin_deg=margin)
    withheld = set(split.test + split.validation)
    assert trains <= set(split.train)
    assert ("mate" in withheld) == ("near" in withheld) == ("near" not in trains)
    assert "in" in withheld


def test_cities_of_one_name_in_two_provinces_are_two_and_a_missing_province_joins_none():
    def city_of(province):
        table = pd.DataFrame({"station_id": list("ABCD"), "lat": 36.0, "lon": 116.0,
                              "city": ["x", "x", "y", "y"], "province": province})
        return stations.split_stations(table, 0, share_single=0, share_city=0.25)

    held_out = city_of(["p", "q", "p", "q"])
    assert len(held_out.test_city) == len(held_out.validation_city) == 1
    unknown = city_of([None, None, None, None])
    assert set(unknown.test_city) in ({"A", "B"}, {"C", "D"})
    assert set(unknown.validation_city) in ({"A", "B"}, {"C", "D"})


def test_without_city_names_a_chain_of_near_stations_is_one_city():
    step = np.degrees(25 / 6371.0088)  # 25 km along a meridian: a chain whose ends are 75 km apart
    lat = [36, 36 + step, 36 + 2 * step, 36 + 3 * step, 40]
    table = pd.DataFrame({"station_id": list("ABCDE"), "lat": lat, "lon": 116.0})
    split = stations.split_stations(table, 0, share_single=0, share_city=0.2)
    assert {split.test_city, split.validation_city} == {("A", "B", "C", "D"), ("E",)}


def test_nothing_is_withheld_where_nothing_is_asked_for():
    table = network(1)
    split = stations.split_stations(table, 0, share_single=0, share_city=0)
    assert split.train == tuple(sorted(table["station_id"])) and split.test == split.validation == ()
