"""What the benchmarks of the map compute, by hand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema
from aqreanalysis.evaluation.predictions import IntervalPrediction
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import find_neighbourhood
from aqreanalysis.observations.readers.cube import CubeArchive
from aqreanalysis.training.calibration import HeldOutDays

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py"))


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_can_be_imported_and_asked_for_help(name, monkeypatch, capsys):
    """With the code as it is; those that take paths alone have no parser."""
    try:
        module = loaded(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("aqreanalysis"):
            raise
        pytest.skip(f"it needs {error.name}, which tests do without")
    assert module.__doc__
    if hasattr(module, "argparse"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
        with pytest.raises(SystemExit) as end:
            module.main()
        assert end.value.code == 0 and "usage:" in capsys.readouterr().out


@pytest.fixture(scope="module")
def twin_map():
    return loaded("twin_map")


def test_sums_of_a_part(twin_map):
    """Two hours at three cells; the third cell is not asked for, the second has no truth in the first hour."""
    truth = np.array([[10.0, np.nan, 1.0], [20.0, 40.0, 1.0]])
    arrays = ([[12, 5, 9], [17, 40, 9]], [[1, 1, 1], [1, 1, 1]], [[11, 0, 0], [10, 30, 0]],
              [[13, 9, 9], [25, np.nan, 9]])
    guess = IntervalPrediction(*(np.array(a, float) for a in arrays), True)
    sums = twin_map.part_sums(guess, truth, np.array([5.0, 8.0, 99.0]), np.array([True, True, False]))
    assert dict(zip(twin_map.SUMS, sums, strict=True)) == {
        "n": 3, "distance": 18, "truth": 70, "error": -1, "absolute": 5, "squared": 13, "bounded": 2, "covered": 1,
        "width": 17}


def test_weighted_sums_count_a_point_as_often_as_its_weight(twin_map):
    """As in the map-matched design: 2 and 0.5 times."""
    arrays = ([[12.0, 5.0]], [[1.0, 1.0]], [[11.0, 0.0]], [[13.0, 9.0]])
    guess = IntervalPrediction(*(np.array(a) for a in arrays), True)
    sums = twin_map.part_sums(guess, np.array([[10.0, 4.0]]), np.array([5.0, 8.0]), np.array([True, True]),
                              np.array([2.0, 0.5]))
    assert dict(zip(twin_map.SUMS, sums, strict=True)) == {
        "n": 2.5, "distance": 14, "truth": 22, "error": 4.5, "absolute": 4.5, "squared": 8.5, "bounded": 2.5,
        "covered": 0.5, "width": 8.5}


def test_scores_of_parts_that_are_added(twin_map):
    """Errors 1 and -3 of truths 10 and 30, 2 and 4 km away, in two stretches."""
    one = {("m", "all"): np.array([1, 2, 10, 1, 1, 1, 1, 1, 8.0])}
    two = {("m", "all"): np.array([1, 4, 30, -3, 3, 9, 1, 0, 4.0]), ("m", "none"): np.zeros(9)}
    (row,) = twin_map.added([one, two], ["model", "part"]).itertuples()
    assert row.Index == ("m", "all") and (row.n, row.distance_km, row.MAE) == (2, 3, 2)
    assert row.RMSE == pytest.approx(np.sqrt(5)) and row.NMB_percent == pytest.approx(-5)
    assert (row.coverage_90, row.width_90) == (0.5, 6)


def test_classes_of_distance_are_half_open(twin_map):
    masks = twin_map.by_distance(np.array([0.0, 1.9, 2.0, 500.0]))
    assert {part: list(np.flatnonzero(mask)) for (_, part), mask in masks.items() if mask.any()} == {
        "0-2 km": [0, 1], "2-5 km": [2], "over 90 km": [3]}


def test_the_haziest_days_are_local_days_of_the_product():
    """Hours count up; 17:00Z begins the next day in UTC+8. The last day is not in the product."""
    hours = pd.date_range("2018-12-31T17", periods=72, freq="h")
    days = np.array(["2019-01-01", "2019-01-02"], "datetime64[D]")
    table = loaded("haze_days").haziest(pd.Series(np.arange(72.0), hours), days, 1)
    assert list(table.index) == [pd.Timestamp("2019-01-02")]
    assert table["mean"].item() == np.arange(24, 48).mean() and table.hour.item() == pd.Timestamp("2019-01-02T16")


def test_the_networks_start_is_that_of_an_untrained_network():
    import torch
    from models_fixtures import small_sizes

    from aqreanalysis.models.aqnet.analysis import to_tensors
    from aqreanalysis.models.aqnet.network import AQNet
    from aqreanalysis.models.aqnet.station_inputs import station_inputs

    rng = np.random.default_rng(0)
    value = rng.gamma(4.0, 15.0, (48, 12)).astype(np.float32)
    lat, lon, to_lat, to_lon = (rng.uniform(a, a + 3, n) for n in (12, 5) for a in (36, 113))
    near = find_neighbourhood(lat, lon, to_lat, to_lon, 6, Correlation())
    rows = np.arange(12, 36)
    found = loaded("folds").start(loaded("folds").Place(value, rows, lat, lon, to_lat, to_lon, near))
    time = np.datetime64("2019-01-01T05", "ns") + np.arange(48) * np.timedelta64(1, "h")
    read = station_inputs(value, np.ones(value.shape, bool), np.zeros(value.shape, np.float32), time)
    window, series = (torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1))) for array in (
        read.inputs, read.series[rows]))
    with torch.no_grad():
        expected, _ = AQNet(small_sizes()).eval()(window, torch.from_numpy(rows), series,
                                                  torch.from_numpy(read.clock[rows]), to_tensors(near))
    np.testing.assert_allclose(found, expected.numpy().T, rtol=1e-4, atol=1e-3)


def test_folds_of_error_growth_take_the_surroundings_out():
    """Ten stations 11 km apart on a meridian: with 0 km themselves alone, with 15 km those beside them too."""
    lat = 35.0 + 0.1 * np.arange(10)
    hours = np.datetime64("2019-01-01T00", "ns") + np.arange(2) * np.timedelta64(1, "h")
    cube = schema.make_station_cube(hours, [f"S{n}" for n in range(10)], lat, np.full(10, 115.0),
                                    {"pm25": np.ones((2, 10))})
    for radius, out in ((0.0, {"S4"}), (15.0, {"S3", "S4", "S5"})):
        folds = [fold for fold in loaded("error_growth").folds_at(cube, ("S0", "S4"), radius) if "S4" in fold.asked]
        assert [set(fold.removed) for fold in folds] == [out]


def test_stages_of_the_profile_are_functions_that_exist():
    package = BENCHMARKS.parent / "aqreanalysis"
    for functions in loaded("performance_report").STAGES.values():
        for file, function in map(str.split, functions):
            paths = [path for path in package.rglob("*.py") if str(path).endswith(f"/{file}")]
            assert any(f"def {function}(" in path.read_text(encoding="utf-8") for path in paths), f"{file} {function}"


def test_networks_as_the_cases_have_them():
    """Of robustness.py: four hours a day are left, PM2.5 alone, values times 1.5, 30 stations; nothing is lost else."""
    robustness = loaded("robustness")
    cube = schema.mock_station_cube(hours=48, stations=40, missing=0.0)
    kept = robustness.changed("snapshots", cube).pm25.notnull().all("station")
    assert sorted(cube.time.dt.hour.values[kept.values]) == sorted([*robustness.SNAPSHOTS] * 2)
    alone = robustness.changed("pm25 alone", cube)
    assert alone.pm25.equals(cube.pm25) and alone.no2.isnull().all()
    assert float((robustness.changed("levels", cube).o3 / cube.o3).mean()) == pytest.approx(1.5)
    thinned = robustness.ChangedArchive(CubeArchive(cube), "thinned")
    read = thinned.read(*cube.time.values[[0, -1]])
    assert read.sizes["station"] == len(thinned.stations) == 30 and read.equals(cube.sel(station=read.station))


def test_shares_on_the_land_count_by_its_weights():
    """Of row_weights.py: two matched days of weights 3 and 1, the first inside; a single station's, outside."""
    benchmark = loaded("row_weights")
    hours = np.zeros((3, 24), np.float32)
    days = HeldOutDays(hours, hours, hours, hours[:, 0],
                       np.array(["2019-01-01", "2019-01-02", "2019-07-01"], "datetime64[D]"), np.array(["A", "B", "A"]),
                       np.array(["distance-matched", "distance-matched", "single stations"]), np.zeros(3, int),
                       np.full(3, 35.0), np.full(3, 115.0), np.array([3.0, 1.0, 1.0]))
    rows = {"town": np.array([0, 1, 0]),
            **{place: np.zeros(3, bool) for place in ("background", "sparse", "elevated", "urban")}}
    bounds = np.array([[10.0, 10.0, 10.0], [20.0, 20.0, 20.0]])
    found = benchmark.table(days, rows, {(name, "bounds"): bounds for name in benchmark.SCHEMES} | {
        (name, "inside"): np.array([24.0, 10.0, 0.0]) for name in benchmark.SCHEMES} | {
        "mean": np.array([15.0, 15.0, 15.0]), "truth": np.array([16.0, 21.0, 8.0]), "hours": np.array([24, 20, 24])})
    share = found.set_index(["design", "stratum"])
    assert share.loc[("map-matched", "all"), "land: days"] == 0.75
    assert share.loc[("distance-matched", "all"), "land: days"] == 0.5
    assert share.loc[("map-matched", "all"), "land: score"] == 10 + 20 * 0.25 * 1  # one in four is missed by 1
    assert share.loc[("map-matched", "all"), "NMB %"] == pytest.approx(100 * (3 * -1 - 6) / (3 * 16 + 21))
    assert share.loc[("map-matched", "all"), "land: hours"] == (3 * 24 + 10) / (3 * 24 + 20)
    assert ("single stations", "winter") not in share.index


def test_cells_that_no_station_explains_by_hand():
    """Three cells and two stations of 10 and 20: the first cell is above both, the second below its only one, the third
    has none in reach. Two cells beside each other, and one below: two pairs."""
    lonely = loaded("lonely_places")
    near = np.array([[True, True], [False, True], [False, False]])
    found = lonely.invented(np.array([25.0, 15.0, 99.0]), np.array([10.0, 20.0]), near, np.array([[0], [1]]))
    assert found == {"above": 50.0, "below": 50.0, "rough": 10.0}
    pairs = lonely.neighbouring(np.array([0, 1, 2]), (2, 2))
    assert pairs.T.tolist() == [[0, 1], [0, 2]]
