"""Cross-fitting: each station is asked of a network that never saw it; scores and the memory of errors by hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED, SINGLE_STATIONS, WHOLE_CITIES
from aqreanalysis.models.cross_fitting import NO_FOLD
from aqreanalysis.observations.near_duplicates import DuplicatePair, NearDuplicates
from aqreanalysis.observations.stations import Split, city_numbers
from aqreanalysis.training import cross_fit
from aqreanalysis.training.calibration import HeldOutDays
from aqreanalysis.training.cross_fit import asked_networks
from aqreanalysis.training.validation import error_memory, held_out_scores

MAIN, FOLDER = Path("run/x-uncalibrated"), Path("run/x")


def data_of(folds: int, stations=90, validation=12, pairs=()):
    """Stations in towns of three; the last so many are of validation."""
    rng = np.random.default_rng(0)
    towns = stations // 3
    lat, lon = (np.repeat(rng.uniform(a, a + 9, towns), 3) + rng.normal(0, 0.02, stations) for a in (32, 110))
    table = pd.DataFrame({"station_id": [f"S{n:02}" for n in range(stations)], "lat": lat, "lon": lon})
    table["city_number"] = city_numbers(table)
    train, other = table.station_id[:stations - validation], table.station_id[stations - validation:]
    numbers = table.city_number[:len(train)] % folds if folds else np.full(len(train), NO_FOLD)
    return SimpleNamespace(table=table, split=Split(tuple(train), (), tuple(other), (), ()),
                           folds=dict(zip(train, map(int, numbers), strict=True)), duplicates=NearDuplicates(pairs),
                           days=np.arange("2019-01-01", "2019-03-01", dtype="datetime64[D]"))


@pytest.fixture(scope="module")
def of_folds():
    data = data_of(3, pairs=(DuplicatePair("S00", "S01", 0.1),))
    return data, asked_networks(data, MAIN, FOLDER)


def test_each_network_is_asked_at_its_fold(of_folds):
    data, asked = of_folds
    assert [one.network for one in asked] == [0, 1, 2]
    assert [one.folder for one in asked] == [FOLDER / f"fold-{number}" for number in range(3)]
    for one in asked:
        own = {station for station, fold in data.folds.items() if fold == one.network}
        assert set(one.stations) == own and {s for fold in one.folds for s in fold.asked} == own


def test_each_station_is_asked_once_in_each_design_and_taken_out_with_its_duplicates(of_folds):
    data, asked = of_folds
    folds = [fold for one in asked for fold in one.folds]
    for design in (SINGLE_STATIONS, WHOLE_CITIES, DISTANCE_MATCHED):
        scored = [station for fold in folds for station in fold.scored.get(design, ())]
        assert sorted(scored) == sorted(data.split.train), design
    assert not any(MAP_MATCHED in fold.scored for fold in folds)  # it only weighs the distance-matched rows
    weights = {station: weight for fold in folds for station, weight in fold.weights.get(DISTANCE_MATCHED, {}).items()}
    assert set(weights) == set(data.split.train) and np.mean(list(weights.values())) == pytest.approx(1.0)
    assert np.ptp(list(weights.values())) > 0.1
    for fold in folds:
        assert set(fold.asked) <= set(fold.removed) <= set(data.split.train)
        assert len({"S00", "S01"} & set(fold.removed)) != 1


def test_without_folds_the_network_is_asked_at_the_validation_stations():
    data = data_of(0)
    asked, = asked_networks(data, MAIN, FOLDER)
    assert (asked.network, asked.folder, asked.stations) == (None, MAIN, data.split.validation)
    assert {station for fold in asked.folds for station in fold.asked} == set(data.split.validation)
    assert asked_networks(data_of(0, validation=0), MAIN, FOLDER) == []


# --- scores


def days(estimate, truth=0.0, design="single stations", station="S0"):
    """A row for each day of errors (days, 24)."""
    estimate = np.asarray(estimate, float)
    n = len(estimate)
    return HeldOutDays(estimate, np.ones((n, 24)), np.broadcast_to(truth, (n, 24)).astype(float), np.full(n, 10.0),
                       np.arange(n).astype("datetime64[D]"), np.full(n, station), np.full(n, design, object),
                       np.zeros(n, int), np.full(n, 35.0), np.full(n, 115.0), np.ones(n))


def test_scores_by_hand():
    """A whole day of +2 on 50 beside -4, and 19 hours of -1 on 100 beside +3; another design has nothing of kriging."""
    truth = np.repeat([[50.0], [100.0]], 24, axis=1)
    kriging = truth + [[-4.0], [3.0]]
    kriging[1, :5] = np.nan
    other = days(np.full((1, 24), 7.0), 5.0, "whole cities")
    ours = HeldOutDays.joined([days(truth + [[2.0], [-1.0]], truth), other])
    reference = HeldOutDays.joined([days(kriging, truth), days(np.full((1, 24), np.nan), 5.0, "whole cities")])
    hourly, daily = held_out_scores(ours, reference)
    assert hourly == {"design": "single stations", "frequency": "hourly", "n": 43} | {
        name: pytest.approx(value, abs=1e-4) for name, value in {
            "MAE": 67 / 43, "RMSE": np.sqrt((24 * 4 + 19) / 43), "NMB_percent": 100 * (48 - 19) / (1200 + 1900),
            "MAE_kriging": 153 / 43, "RMSE_kriging": np.sqrt((24 * 16 + 19 * 9) / 43),
            "NMB_percent_kriging": 100 * (-96 + 57) / 3100, "skill_percent": 100 * (1 - 67 / 153)}.items()}
    assert daily == {"design": "single stations", "frequency": "daily", "n": 1, "MAE": 2, "RMSE": 2, "NMB_percent": 4,
                     "MAE_kriging": 4, "RMSE_kriging": 4, "NMB_percent_kriging": -8, "skill_percent": 50}


def test_scores_of_the_maps_land_by_hand():
    """Distance-matched days of +2 and -1, of weight 3 and 1: beside their plain mean that of the land."""
    ours, reference = (replace(days(np.repeat([[50.0 + a], [50.0 + b]], 24, axis=1), 50.0, "distance-matched"),
                               weight=np.array([3.0, 1.0])) for a, b in ((2.0, -1.0), (4.0, 4.0)))
    found = {(row["design"], row["frequency"]): row for row in held_out_scores(ours, reference)}
    for frequency, n in (("hourly", 48), ("daily", 2)):
        plain, land = (found[design, frequency] for design in ("distance-matched", "map-matched"))
        assert (plain["n"], plain["MAE"], plain["NMB_percent"], plain["skill_percent"]) == (n, 1.5, 1.0, 62.5)
        assert (land["n"], land["MAE"], land["NMB_percent"], land["skill_percent"]) == (n, 1.75, 2.5, 56.25)


def errors_of_ratio(ratio):
    """Days whose squared mean error is `ratio` of the hourly one: a constant and an alternating part."""
    return np.sqrt(ratio) + np.sqrt(1 - ratio) * np.tile([1.0, -1.0], (3, 12))


@pytest.mark.parametrize("memory", [0.5, 3.0, 8.0, 60.0, 400.0])
def test_error_memory_is_found_again(memory):
    """The variance of the mean of 24 errors correlated as r^lag is (24 + 2 sum (24 - lag) r^lag) / 24^2."""
    r = np.exp(-1 / memory)
    ratio = (24 + 2 * sum((24 - lag) * r**lag for lag in range(1, 24))) / 24**2
    whole, part = days(errors_of_ratio(ratio)), days(np.where(np.arange(24) == 5, np.nan, np.full((1, 24), 90.0)))
    assert error_memory(HeldOutDays.joined([whole, part])) == pytest.approx(memory, rel=1e-6)


@pytest.mark.parametrize("estimate", [errors_of_ratio(0.01), np.ones((3, 24)), np.full((3, 24), np.nan)])
def test_errors_that_no_memory_explains(estimate):
    """Means that are too small, that are all of the error, and no whole day."""
    assert error_memory(days(estimate)) == 24.0


# --- together


def found_of(estimate, station):
    return cross_fit.CrossFitted(*(days(of + 10.0, 10.0, station=station) for of in (estimate, estimate + 1)))


def test_answers_are_joined_in_one_order():
    data = data_of(2)
    asked = [SimpleNamespace(network=number) for number in (0, 1)]
    parts = [("1", found_of(np.full((1, 24), 8.0), "B")), ("0", found_of(np.full((2, 24), 5.0), "A"))]

    def run(function, jobs, shared):
        assert function is cross_fit.ask and jobs is asked and shared is data
        return parts

    found = cross_fit.cross_fit(data, asked, run)
    assert found.ours.station.tolist() == ["A", "A", "B"] == found.kriging.station.tolist()
    assert (found.kriging.estimate - found.ours.estimate == 1).all()
    scores, memory = cross_fit.facts_of(found)
    assert [row["MAE"] for row in scores] == [6.0, 6.0] and memory == 24.0


@pytest.mark.parametrize("parts", [[], [("0", found_of(np.where(np.arange(24) < 19, 1.0, np.nan)[None], "A"))]])
def test_nothing_to_calibrate_with(parts):
    """No station at all, and 19 hours, which are no day."""
    with pytest.raises(UserError, match="whole day among 8 days") as caught:
        cross_fit.cross_fit(data_of(2), [], lambda function, jobs, shared: parts)
    assert caught.value.rule and caught.value.fix


