"""Whole products on the twin: what is written, that runs agree to the byte, that kills lose nothing."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from forked import Forked, command

from aqreanalysis import workers
from aqreanalysis.errors import UserError
from aqreanalysis.product import month
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.product.reading import open_product
from aqreanalysis.product.versions import installed_versions
from aqreanalysis.workflows.build import build
from aqreanalysis.workflows.describe import verify

# Two calendar months, so that there are two jobs, on a coarse grid. Products that calibrate themselves:
# test_self_calibration.py.
REQUEST = BuildRequest(start="2016-01-30", end="2016-02-02", grid="1deg", calibration="checkpoint")


@pytest.fixture(autouse=True)
def no_archive(monkeypatch, tmp_path_factory):
    """The data folder of whoever runs the tests has no part in them."""
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path_factory.mktemp("no-archive")))


@pytest.fixture(scope="session")
def product(tmp_path_factory, worker_id):
    """A finished product of the twin, made by two processes, once for all of pytest-xdist's; nobody changes it."""
    os.environ["AQREANALYSIS_DATA"] = str(tmp_path_factory.mktemp("no-archive"))
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    with FileLock(shared / "product.lock"):
        if not (shared / "product" / "report.html").exists():
            workers.IMPORTED += ("twin_weeks",)  # of the server of workers, if this starts it
            build(replace(REQUEST, out=str(shared / "product"), workers=2))
    return shared / "product"


def hashes(folder):
    """Of every file of values, and of the days on the map of the report."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.nc"))}
    page = folder / "report.html"
    return found | ({"map": page.read_text(encoding="utf-8").partition('id="about">')[2]} if page.exists() else {})


def test_a_product_holds_every_file_that_the_readme_names(product):
    names = {str(path.relative_to(product)) for path in product.rglob("*") if path.is_file()}
    assert names >= {"simulated_pm25_hourly_201601.nc", "simulated_pm25_hourly_201602.nc",
                     "simulated_truth_hourly_201601.nc", "simulated_pm25_daily_2016.nc", "report.html", "run.json",
                     "maps/simulated_pm25_mean_20160130-20160202.png"}
    assert not [name for name in names if name.startswith(".")], "nothing of the work is left"


def test_every_hour_of_the_local_days_is_there_once(product):
    stamps = np.concatenate([xr.open_dataset(path).time.values
                             for path in sorted(product.glob("simulated_pm25_hourly_*.nc"))])
    expected = np.arange("2016-01-29T17", "2016-02-02T17", dtype="datetime64[h]")
    assert (stamps.astype("datetime64[h]") == expected).all()


def test_daily_means_are_the_means_of_the_hours_in_the_file(product):
    with xr.open_dataset(product / "simulated_pm25_hourly_201601.nc") as hourly, \
            xr.open_dataset(product / "simulated_pm25_daily_2016.nc") as daily:
        first_day = hourly.pm25.values[:24].astype(np.float64)
        np.testing.assert_allclose(daily.pm25.values[0], first_day.mean(axis=0), rtol=2**-10)
        assert (daily.number_of_hours.values[0] == np.isfinite(first_day).sum(axis=0)).all()


def test_the_analysis_is_nearer_to_the_twins_truth_than_a_flat_map(product):
    with xr.open_dataset(product / "simulated_pm25_hourly_201601.nc") as ours, \
            xr.open_dataset(product / "simulated_truth_hourly_201601.nc") as truth:
        land = ours.quality_flag.isin([0, 1])
        error = abs(ours.pm25 - truth.pm25).where(land)
        flat = abs(truth.pm25.where(land).mean(["lat", "lon"]) - truth.pm25).where(land)
        assert float(error.mean()) < 0.7 * float(flat.mean())


def test_a_twin_says_simulated_everywhere(product):
    for path in product.glob("*.nc"):
        with xr.open_dataset(path) as file:
            assert path.name.startswith("simulated_") and file.attrs["title"].startswith("SIMULATED")
            assert file.attrs["source"].startswith("SIMULATED")
    assert "SIMULATED" in (product / "report.html").read_text()
    assert all(path.name.startswith("simulated_") for path in (product / "maps").iterdir())


def started(out, *options, session=False):
    """The command of `product` in a process of its own."""
    return Forked(command, {}, "build", "--start", REQUEST.start, "--end", REQUEST.end, "--grid",
                  REQUEST.grid, "--out", out, "--calibration", "checkpoint", *options, session=session)


def test_a_killed_build_goes_on_elsewhere_and_ends_in_the_same_bytes(product, cluster, tmp_path, no_maps):
    """January by one process, which is killed, February on a Dask cluster: as two processes made them."""
    out = tmp_path / "killed"
    running = started(out, "--workers", "1")
    assert running.wait_for(lambda: list(out.glob("*pm25_hourly_201601.nc")))
    running.signal(signal.SIGKILL)
    running.ended()
    noted = json.loads((out / "run.json").read_text())["months"]
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.nc") if "2016-01" in noted}
    assert build(replace(REQUEST, out=str(out), scheduler=cluster)) == out
    assert hashes(out) == hashes(product)
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was done is kept"
    assert set(json.loads((out / "run.json").read_text())["months"]) == {"2016-01", "2016-02"}


@pytest.mark.parametrize("whom", ["one process", "a group"])
def test_an_interrupted_build_ends_cleanly_and_says_how_to_go_on(whom, tmp_path, product):
    """Nothing half written is left; a file that was finished before the signal came is whole. A scheduler of jobs
    signals the whole group, and so ends the server of workers too; the workers are still waited for."""
    out = tmp_path / "interrupted"
    running = started(out, "--workers", "2" if whom == "a group" else "1", session=whom == "a group")
    assert running.wait_for(lambda: list(out.glob(".*.nc.part-*"))), "it was writing"
    if whom == "a group":
        os.killpg(running.pid, signal.SIGTERM)
    else:
        running.signal(signal.SIGINT)
    code, told = running.ended()
    assert code == 130 and "Run the same command again" in told and "Traceback" not in told
    left = {path.name for path in out.iterdir()}
    assert not {name for name in left if ".part" in name or name == ".lock"}
    assert hashes(out).items() <= hashes(product).items() and "simulated_pm25_daily_2016.nc" not in left


@pytest.fixture
def copy(product, tmp_path):
    return shutil.copytree(product, tmp_path / "copy")


def opened_again(folder):
    from aqreanalysis.product import folder as products

    plan = prepare(replace(REQUEST, out=str(folder)))
    return products.open_record(plan.folder, plan.identity)


@pytest.mark.parametrize("name, months", [
    ("simulated_pm25_hourly_201602.nc", ["2016-02"]), ("simulated_truth_hourly_201601.nc", ["2016-01"]),
    ("stations/simulated_pm25_observed_201602.nc", ["2016-02"]),
    ("simulated_pm25_daily_2016.nc", ["2016-01", "2016-02"]), ("maps/simulated_pm25_mean_201601.png", [])])
@pytest.mark.parametrize("damage", ["a bit", "the end", "all"])
def test_damage_is_told_by_name_and_made_anew(copy, name, months, damage):
    verify(str(copy))
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content if damage == "a bit" else content[:-1])
    if damage == "all":
        path.unlink()
    words = {"a bit": "has other bytes", "the end": f"has {len(content) - 1:,} bytes instead of", "all": "is missing"}
    with pytest.raises(UserError, match=f"1 of 12 files .*{name} {words[damage]}.*command of its build again"):
        verify(str(copy))
    with opened_again(copy) as record:
        assert [f"{month.first:%Y-%m}" for month in record.left()] == months
        record.remove_damaged_maps()
        assert path.exists() == (damage != "all" and name.endswith(".nc"))


def test_nothing_is_left_of_a_finished_product_but_of_one_that_was_killed_before_its_note(copy):
    with opened_again(copy) as record:
        assert record.left() == []
        del record.content["months"]["2016-01"]
        assert [month.first.month for month in record.left()] == [1]


def changed_versions(folder, change):
    """run.json after `change` of its content; and the record as `build` opens it."""
    file = folder / "run.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return opened_again(folder), file.read_bytes()


def of_another_torch(content):
    content["months"]["2016-01"]["versions"]["torch"] = "1.2.3"


def as_version_010_noted(content, torch="1.2.3"):
    """Versions of the last run only, not of each month."""
    for noted in content["months"].values():
        del noted["versions"]
    content["facts"]["versions"]["torch"] = torch


def facts_now(folder):
    return prepare(replace(REQUEST, out=str(folder))).facts


@pytest.mark.parametrize("change", [of_another_torch, as_version_010_noted])
def test_months_of_other_versions_are_not_mixed(copy, change):
    opened, before = changed_versions(copy, change)
    (copy / "simulated_pm25_hourly_201602.nc").unlink()
    words = (f"made with torch 1.2.3; now there is torch {re.escape(installed_versions()['torch'])}.*"
             r"--out.*pip install torch==1\.2\.3")
    with opened as record, pytest.raises(UserError, match=words):
        record.begin(facts_now(copy))
    assert (copy / "run.json").read_bytes() == before


@pytest.mark.parametrize("change", [of_another_torch, as_version_010_noted])
def test_a_finished_product_keeps_the_versions_of_its_months(copy, change):
    """Nothing is computed, so nothing is mixed."""
    opened, _ = changed_versions(copy, change)
    with opened as record:
        assert record.begin(facts_now(copy)) == []
    noted = json.loads((copy / "run.json").read_text())
    assert noted["months"]["2016-01"]["versions"]["torch"] == "1.2.3"
    assert noted["facts"]["versions"]["torch"] == installed_versions()["torch"]


def test_a_record_of_version_010_with_the_same_versions_is_continued(copy):
    opened, _ = changed_versions(copy, lambda content: as_version_010_noted(content, installed_versions()["torch"]))
    (copy / "simulated_pm25_hourly_201602.nc").unlink()
    with opened as record:
        assert [month.first.month for month in record.begin(facts_now(copy))] == [2]


def test_months_that_are_all_made_again_may_have_other_versions(copy):
    opened, _ = changed_versions(copy, of_another_torch)
    (copy / "simulated_pm25_hourly_201601.nc").unlink()
    with opened as record:
        assert [month.first.month for month in record.begin(facts_now(copy))] == [1]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="--format grib is unknown.*netcdf and zarr"):
        prepare(replace(REQUEST, out=str(tmp_path), format="grib"))


@pytest.mark.parametrize("change, message", [
    (lambda job: replace(job, about=replace(job.about, software_version="9.9")), "aqreanalysis .* made with 9.9"),
    (lambda job: replace(job, description=replace(job.description, identity="aqnet 000")),
     "the model aqnet-.* made with aqnet 000"),
    (lambda job: replace(job, versions=job.versions | {"torch": "9.9", "scipy": "8.8"}),
     r"torch .*, scipy .*made with torch 9.9, scipy 8.8.*pip install torch==9.9 scipy==8.8")])
def test_a_worker_with_another_package_or_checkpoint_is_refused(tmp_path, change, message):
    plan = prepare(replace(REQUEST, out=str(tmp_path / "out")))
    with pytest.raises(UserError, match=f"A worker has {message}"):
        month.analyse_month(change(plan.job), plan.period.months()[0])
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_record_can_not_be_verified(tmp_path):
    with pytest.raises(UserError, match="has no run.json"):
        verify(str(tmp_path))


def test_a_zarr_product_is_the_netcdf_product(product, tmp_path, no_maps):
    """The same command with --format zarr, in processes; then one of its months is damaged and made anew."""
    request = replace(REQUEST, out=str(tmp_path / "zarr"), format="zarr", workers=2)
    folder = build(request)
    stem = "simulated_{}_20160130-20160202.zarr"
    before = {path: path.read_bytes() for path in sorted(folder.rglob("c/*/*/*")) if path.is_file()}
    for name, files in (("pm25_hourly", "simulated_pm25_hourly_2016*.nc"), ("truth_hourly", "simulated_truth_*.nc"),
                        ("pm25_daily", "simulated_pm25_daily_2016.nc")):
        with xr.open_zarr(folder / stem.format(name)) as store:
            parts = [xr.open_dataset(path) for path in sorted(product.glob(files))]
            for variable in (name for name in store.data_vars if "time" in store[name].dims):
                whole = np.concatenate([part[variable].values for part in parts])
                np.testing.assert_array_equal(store[variable].values, whole)
            assert (store.time.values == np.concatenate([part.time.values for part in parts])).all()
    for frequency in ("hourly", "daily"):
        one, other = (open_product(path, frequency) for path in (product, folder))
        assert one.pm25.shape == (96 if frequency == "hourly" else 4, 14, 19)
        assert set(other.data_vars) - set(one.data_vars) <= {"distance_to_nearest_station"}  # one a month, in a store
        for name in one.data_vars:
            np.testing.assert_array_equal(one[name].values, other[name].values)
    assert verify(str(folder)) == len(json.loads((folder / "run.json").read_text())["files"]) + 2 * 3 + 1
    shard = folder / stem.format("pm25_hourly") / "pm25" / "c" / "3" / "0" / "0"
    shard.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"1 of .*{stem.format('pm25_hourly')}, 2016-02 has"):
        verify(str(folder))
    metadata = folder / stem.format("pm25_hourly") / "pm25" / "zarr.json"
    metadata.write_bytes(b"\xa0")
    with pytest.raises(UserError, match=f"2 of .*{stem.format('pm25_hourly')}, metadata"):
        verify(str(folder))
    build(request)
    assert {path: path.read_bytes() for path in before} == before and verify(str(folder))


def test_the_input_is_checked_without_torch(tmp_path):
    """Its import takes longer than all checks; workers import it meanwhile."""
    code = ("import sys\nfrom aqreanalysis.product.plan import BuildRequest, prepare\n"
            f"prepare(BuildRequest(start='2016-01-30', end='2016-01-30', grid='1deg', out={str(tmp_path / 'out')!r}))\n"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_of_another_recipe_is_refused_by_the_key_that_differs(product):
    before = hashes(product)
    with pytest.raises(UserError, match="neighbours = 24.*neighbours = 12"):
        prepare(replace(REQUEST, neighbours=12, out=str(product)))
    assert hashes(product) == before


def test_two_builds_into_one_folder_are_refused(product):
    from aqreanalysis.product import folder as products

    plan = prepare(replace(REQUEST, out=str(product)))
    with products.open_record(plan.folder, plan.identity):
        with pytest.raises(UserError, match="Another build"):
            with products.open_record(plan.folder, plan.identity):
                pass


def test_a_failing_month_leaves_no_partial_file(monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(month, "_tell", fail)
    with pytest.raises(RuntimeError, match="broken"):
        build(replace(REQUEST, out=str(tmp_path / "broken")))
    left = [path.name for path in (tmp_path / "broken").iterdir()]
    assert not [name for name in left if name.endswith(".nc") or ".part" in name]


def test_a_points_file_gives_a_time_series_for_each_station(tmp_path, no_maps):
    points = tmp_path / "points.csv"
    points.write_text("station_id,lon,lat\nA,116.4,39.9\nB,113.6,34.7\n")
    folder = build(BuildRequest(start="2016-01-30", end="2016-01-30", grid=str(points), out=str(tmp_path / "points"),
                                calibration="checkpoint"))
    with xr.open_dataset(folder / "simulated_pm25_hourly_201601.nc") as file:
        assert file.attrs["featureType"] == "timeSeries"
        assert dict(file.pm25.sizes) == {"time": 24, "station": 2}
        assert [str(name) for name in file.station_id.values.astype(str)] == ["A", "B"]


def test_run_json_says_what_the_files_were_made_from(product):
    record = json.loads((product / "run.json").read_text())
    assert record["identity"]["simulated"] is True
    assert set(record["months"]) == {"2016-01", "2016-02"}
    for facts in record["months"].values():
        assert facts["versions"] == installed_versions()
        assert facts["versions"].keys() >= {"numpy", "torch", "xarray", "netCDF4", "pandas", "scipy", "python",
                                            "machine"}
    units = [*record["months"].values(), *record["days"].values(), record]
    noted = {name: facts for unit in units for name, facts in unit["files"].items()}
    assert set(noted) == {str(path.relative_to(product)) for path in product.rglob("*") if path.is_file()
                          and path.name not in ("run.json", "report.html")}
    for name, facts in noted.items():
        content = (product / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
