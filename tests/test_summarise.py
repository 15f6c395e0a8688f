"""`aqreanalysis summarise`: its files under independent eyes, resumed, in processes; what is wrong with the input."""

import datetime as dt
import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from test_output_readers import complaints

import aqreanalysis
from aqreanalysis.cli.app import main
from aqreanalysis.errors import UserError
from aqreanalysis.product.reading import open_product
from aqreanalysis.summaries.statistics import SummaryOptions
from aqreanalysis.workflows import summarise as workflow
from aqreanalysis.workflows.summarise import SummaryRequest, write_summaries

FIRST = dt.date(2019, 11, 29)  # 35 days: over the begin of a winter, to 2 January
DAYS_ABOVE = (15.0, 35.0, 75.0)
HOURS_ABOVE = SummaryOptions(days_above=DAYS_ABOVE, hours_above=(75.0,))


def hourly(points, days=35):
    """Hours with days, places and a hole: the third day is missing at place 2."""
    values = samples.fields(points, days * 24)
    values["pm25"][48:72, 2] = np.nan
    return values


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    grid = samples.grid("regular", folder)
    return {form: samples.product(folder / form, grid, hourly(grid.size), file_format=form, first=FIRST)
            for form in ("netcdf", "zarr")}


@pytest.fixture(scope="module")
def made(products, tmp_path_factory):
    """The files of a product by kind of period."""
    folder = tmp_path_factory.mktemp("summaries")
    said = []
    paths = write_summaries(SummaryRequest(str(products["netcdf"]), str(folder), ("month", "season", "year", "all"),
                                           options=HOURS_ABOVE), say=said.append)
    assert "2019-11 has 2 of its 30 days." in said and "2020-DJF has 33 of its 91 days." in said
    assert not any(sentence.startswith("2019-12") for sentence in said)
    return {path.name.split("_")[2]: path for path in paths}


def cdo(*arguments) -> None:
    subprocess.run(["cdo", "-s", "-O", *map(str, arguments)], check=True, capture_output=True, text=True)


def has_cdo() -> bool:
    return subprocess.run(["which", "cdo"], capture_output=True).returncode == 0


def test_months_and_percentiles_are_those_of_cdo(products, made, tmp_path):
    if not has_cdo():
        pytest.skip("no cdo")
    days = next(products["netcdf"].glob("pm25_daily_2019.nc")), next(products["netcdf"].glob("pm25_daily_2020.nc"))
    joined = tmp_path / "days.nc"
    cdo("select,name=pm25", *days, joined)
    for every, operator in (("month", "monmean"), ("season", "seasmean"), ("year", "yearmean"), ("all", "timmean")):
        cdo(operator, joined, tmp_path / "mean.nc")
        with xr.open_dataset(tmp_path / "mean.nc") as theirs, xr.open_dataset(made[every]) as ours:
            assert ours.sizes["time"] == {"month": 3, "season": 2, "year": 2, "all": 1}[every]
            np.testing.assert_allclose(ours.pm25.values, theirs.pm25.values.reshape(ours.pm25.shape), rtol=1e-6)
    cdo("--percentile", "linear", "timpctl,98", joined, "-timmin", joined, "-timmax", joined, tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as theirs, xr.open_dataset(made["all"]) as ours:
        whole = (ours.number_of_days == 35).values[0]
        assert whole.sum() == whole.size - 1
        np.testing.assert_allclose(ours.pm25_percentile_98.values[0][whole], theirs.pm25.values[0][whole], rtol=1e-6)


def test_counts_are_those_of_the_days_and_hours(products, made):
    days, hours = (open_product(products["netcdf"], of).load() for of in ("daily", "hourly"))
    for every, group in (("month", "time.month"), ("all", None)):
        with xr.open_dataset(made[every]) as found:
            for limit in map(int, DAYS_ABOVE):
                above = (days.pm25 > limit)
                above = above.groupby(group).sum() if group else above.sum("time").expand_dims("time")
                above = above.sel(month=[11, 12, 1]) if group else above
                np.testing.assert_array_equal(found[f"days_above_{limit}"].values, above.values)
            if not group:
                np.testing.assert_array_equal(found.hours_above_75.values[0], (hours.pm25 > 75).sum("time").values)
            np.testing.assert_array_equal(found.aqi_class_days.sum("aqi_class").values, found.number_of_days.values)
            expected = found.days_above_75_expected.values
            assert (found.days_above_75_lower.values <= expected + 1).all()
            assert (found.days_above_75_upper.values >= expected - 1).all()


def test_the_checker_asks_for_names_that_cf_does_not_have_and_for_nothing_else(made):
    """There is no standard name of a number of days above a limit."""
    assert complaints(made["month"], "cf:1.11") == {}
    said = complaints(made["month"], "acdd:1.3")
    assert {reason for of in said.values() for reason in of} == {"standard_name"}
    assert all("days_above" in name or "hours_above" in name or "aqi_class" in name for name in said), said


def test_files_say_what_they_are_made_from(products, made):
    with xr.open_dataset(made["season"], decode_times=False) as found:
        assert found.attrs["title"] == "PM2.5 summary by season, aqnet-analysis, test grid, 20160228-20160301"
        assert found.attrs["id"] == "pm25.season.aqnet-analysis.test-grid.20160228-20160301"
        assert found.attrs["history"].splitlines() == [
            "2017-01-02: aqreanalysis build",
            "aqreanalysis 1.2.3 summarise netcdf --every month,season,year,all --days-above 15,35,75 --hours-above 75"]
        assert len(found.attrs["source_product_sha256"]) == 64
        assert found.attrs["comment"].endswith("2019-SON has 2 of its 91 days. 2020-DJF has 33 of its 91 days.")
        assert found.period_name.values.tolist() == ["2019-SON", "2020-DJF"]
        assert sum(weight for weight, _, _ in json.loads(found.attrs["error_correlation"])) == pytest.approx(1.0)
        hours = (found.time_bnds.values - found.time_bnds.values[:, :1])[:, 1]
        assert hours.tolist() == [91 * 24, 91 * 24] and (found.time == found.time_bnds[:, 1]).all()
        assert found.sufficient_days.values[:, 0, 0].tolist() == [0, 0]


def digests(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_killed_and_resumed_or_in_processes_the_bytes_are_the_same(products, made, tmp_path, monkeypatch):
    """Three tiles. One run is killed at the second; it goes on from there. Another has two processes."""
    monkeypatch.setattr(workflow, "TILE_VALUES", 35 * 27)
    whole, begun = workflow.summarise_tile, []

    def killed(plan, points):
        begun.append(points.start)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(plan, points)
    monkeypatch.setattr(workflow, "summarise_tile", killed)

    def request(name, workers=1):
        return SummaryRequest(str(products["netcdf"]), str(tmp_path / name), ("month", "season", "year", "all"),
                              options=HOURS_ABOVE, workers=workers)
    with pytest.raises(KeyboardInterrupt):
        write_summaries(request("a"))
    paths = write_summaries(request("a"))
    assert begun == [0, 27, 27, 54] and digests(paths) == digests(made.values())
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in paths)
    monkeypatch.setattr(workflow, "summarise_tile", whole)
    assert digests(write_summaries(request("b", 2))) == digests(made.values())


def test_stores_hold_what_files_hold_whatever_the_format_of_the_product(products, made, tmp_path):
    (path,) = write_summaries(SummaryRequest(str(products["zarr"]), str(tmp_path), ("month", "all"),
                                             options=HOURS_ABOVE, format="zarr"))
    for every in ("month", "all"):
        with xr.open_zarr(path, group=every) as store, xr.open_dataset(made[every]) as found:
            assert set(store.variables) == set(found.variables)
            for name in found.variables:
                np.testing.assert_array_equal(store[name].values, found[name].values, err_msg=name)
                assert set(store[name].attrs) == set(found[name].attrs), name
            assert store.attrs["title"] == found.attrs["title"]


def test_notebooks_have_the_same_without_files(products, made):
    of_product = aqreanalysis.summarise(products["netcdf"], "month", days_above=DAYS_ABOVE, hours_above=(75,))
    of_dataset = aqreanalysis.summarise(open_product(products["netcdf"], "daily"), "month", days_above=DAYS_ABOVE,
                                        hours_above=(75,), hourly=open_product(products["netcdf"], "hourly"))
    with xr.open_dataset(made["month"]) as file:
        for found in (of_product, of_dataset):
            for name in file.data_vars:
                if name != "crs" and not name.endswith("_bnds"):
                    np.testing.assert_allclose(found[name].values, file[name].values, rtol=1e-6, err_msg=name)
            assert found.period_name.values.tolist() == ["2019-11", "2019-12", "2020-01"]
            np.testing.assert_array_equal(found.time.values, file.time.values)
    christmas = aqreanalysis.summarise(products["netcdf"], "all", "2019-12-24", "2019-12-26")
    assert christmas.period_name.values.tolist() == ["20191224-20191226"] and christmas.number_of_days.max() == 3


def test_points_and_simulated_products(tmp_path):
    grid = samples.grid("points", tmp_path)
    product = samples.product(tmp_path / "p", grid, samples.fields(grid.size), simulated=True)
    (path,) = write_summaries(SummaryRequest(str(product), str(tmp_path / "s"), ("month",), start="2016-02-28",
                                             end="2016-02-29"))
    assert path.name == "simulated_pm25_summary_month_20160228-20160229.nc"
    with xr.open_dataset(path) as found:
        assert found.attrs["title"].startswith("SIMULATED PM2.5 summary by month")
        assert found.pm25.dims == ("time", "station")
        assert found.pm25.attrs["long_name"].startswith("simulated") and found.sizes["time"] == 1


def test_a_file_that_is_gone_is_told_and_one_that_changed_is_refused(products, tmp_path):
    import shutil

    product = shutil.copytree(products["netcdf"], tmp_path / "p")
    (product / "pm25_daily_2020.nc").unlink()
    said = []
    write_summaries(SummaryRequest(str(product), str(tmp_path / "s"), ("year",)), say=said.append)
    assert said == ["1 of its daily files are gone: pm25_daily_2020.nc.", "2019 has 33 of its 365 days."]
    with (product / "pm25_daily_2019.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match="1 of 1 files .* not what its build wrote"):
        write_summaries(SummaryRequest(str(product), str(tmp_path / "t"), ("year",)))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("options, words", [
    (["absent"], ["There is no absent"]),
    (["."], ["no run.json"]),
    (["PRODUCT", "--every", "week"], ["--every week", "month, season, year"]),
    (["PRODUCT", "--every", "hour"], ["--every hour"]),
    (["PRODUCT", "--start", "2018-01-01", "--end", "2018-01-31"], ["no day from 2018-01-01", "2019-11-29 to 2020"]),
    (["PRODUCT", "--start", "2019-12-01"], ["--start and --end"]),
    (["PRODUCT", "--days-above", "35;75"], ["--days-above 35;75", "35,75"]),
    (["PRODUCT", "--percentiles", "100.5"], ["--percentiles 100.5", "between 0 and 100"]),
    (["PRODUCT", "--format", "tiff"], ["--format tiff", "netcdf and zarr"]),
    (["PRODUCT", "--to", "out.nc"], ["--to out.nc", "folder"]),
    (["PRODUCT/pm25_hourly_201912.nc"], ["is a file of hourly values", "daily"]),
    (["PRODUCT/pm25_daily_2019.nc", "--hours-above", "75"], ["is a file of daily values", "hourly"]),
])
def test_wrong_input_is_told_clearly(products, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    given = [text.replace("PRODUCT", str(products["netcdf"])) for text in options]
    to = () if "--to" in given else ("--to", "out")
    monkeypatch.setattr("sys.argv", ["aqreanalysis", "summarise", *given, *to])
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err
    assert caught.value.code == 2 and all(word in error for word in words), error
    assert not list(Path(tmp_path).iterdir())


def test_a_dataset_of_hours_or_without_errors_is_refused(products):
    days, hours = (open_product(products["netcdf"], of) for of in ("daily", "hourly"))
    for data, how, word in ((hours, {}, "more than one step a day"), (days, {"hours_above": (75,)}, "without hours"),
                            (days.drop_vars("pm25_standard_error"), {}, "no pm25_standard_error"),
                            (days, {"start": "2018-01-01", "end": "2018-01-02"}, "no step from")):
        with pytest.raises(UserError, match=word):
            aqreanalysis.summarise(data, "month", **how)
