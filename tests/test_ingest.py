"""Ingest of small national archives: what is kept, what is read again, what a fault may cost (nothing)."""

import errno
import fcntl
import hashlib
import os
import resource
import signal
import time
import zipfile

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from forked import Forked
from typer.testing import CliRunner

from aqreanalysis import schema, time_axis
from aqreanalysis.cli.app import app
from aqreanalysis.errors import UserError
from aqreanalysis.observations import quality
from aqreanalysis.observations.ingest import archive_writer, ingest_archives
from aqreanalysis.observations.readers import open_archive

DAYS = ("20190130", "20190131", "20190202")  # 1 February has no file
BITS = schema.OBSERVATION_FLAGS
SIX = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3")
OURS = dict(zip(SIX, schema.POLLUTANTS, strict=True))


@pytest.fixture
def national(national):
    """Numbers that can be concentrations, since an ingest refuses others; still one for each day, type, place, hour."""
    class Air(type(national)):
        @staticmethod
        def value(day, kind, station, hour):
            place = (*national.stations, "elsewhere").index(station)
            return (int(day[-2:]) + 64 * place + hour / 32 + 256 * SIX.index(kind)) / (128 if kind == "CO" else 4)
    return Air()


@pytest.fixture
def folder(national, tmp_path):
    return national.write(tmp_path / "raw", *DAYS)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "archive.nc"


def state(path):
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns


def beside(target):
    """What lies in the archive's folder and is not there for the tests."""
    return {path.name for path in target.parent.iterdir()} - {"raw", "other", target.name}


def garble(path):
    """Other bytes under the same name, size and time: who reads the file again will notice."""
    before = path.stat()
    path.write_bytes(b"<" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_every_value_is_kept_on_a_complete_axis(national, folder, target):
    summary = ingest_archives([str(folder)], target)
    assert (summary.files, summary.written) == ({"new": 3, "changed": 0, "unchanged": 0, "vanished": 0}, True)
    with xr.open_dataset(target) as file:
        hours = file.time.values
        assert (hours == np.arange("2019-01-29T16", "2019-02-02T16", dtype="datetime64[h]")).all()
        assert (file.time_bnds.values == np.stack([hours - time_axis.HOUR, hours], axis=1)).all()
        assert file.station_id.values.tolist() == list(national.stations)
        assert file.pm25.dtype == np.float32
        for number, stamp in enumerate(hours):
            local = pd.Timestamp(stamp, tz="UTC").tz_convert("Asia/Shanghai")
            for kind, name in OURS.items():
                expected = [national.value(f"{local:%Y%m%d}", kind, station, local.hour)
                            if f"{local:%Y%m%d}" in DAYS else np.nan for station in national.stations]
                np.testing.assert_array_equal(file[name].values[number], expected)
    assert beside(target) == set()


def test_flags_tell_what_the_values_are_and_leave_them_as_they_were(national, target):
    told = {("1001A", "PM2.5", 3): -999, ("1001A", "PM2.5", 4): 474781, ("0901A", "PM2.5", 5): 52,
            ("0901A", "PM10", 5): 49, ("1002A", "O3", 6): ""}
    text = national.text("20190131", value=lambda day, kind, station, hour: told.get((station, kind, hour), 50))
    (national.write(target.parent / "raw") / "china_sites_20190131.csv").write_text(text)
    ingest_archives([str(target.parent / "raw")], target)
    with xr.open_dataset(target) as file:
        at = {station: number for number, station in enumerate(file.station_id.values)}
        for (station, kind, hour), value in told.items():
            name = OURS[kind]
            seen = file[name].values[hour, at[station]]
            assert seen == np.float32(value) if value != "" else np.isnan(seen)
        flag = {name: file[f"{name}_flag"].values for name in schema.POLLUTANTS}
        assert flag["pm25"][3, at["1001A"]] == BITS["missing_code"]
        assert flag["pm25"][4, at["1001A"]] == BITS["out_of_range"]
        assert flag["pm25"][5, at["0901A"]] == flag["pm10"][5, at["0901A"]] == BITS["pm25_above_pm10"]
        assert flag["o3"][6, at["1002A"]] == BITS["missing"]
        assert file.pm25_flag.attrs["flag_meanings"].split() == list(BITS)
        assert file.pm25_flag.attrs["flag_masks"].tolist() == list(BITS.values())


def test_provenance_names_files_hashes_counts_and_faults(folder, target):
    (folder / "china_sites_20190131.csv").write_text("<html>busy</html>")
    summary = ingest_archives([str(folder)], target)
    assert len(summary.skipped) == 1 and "china_sites_20190131.csv is an HTML or XML page" in summary.skipped[0]
    record = open_archive(target).provenance()
    files = record.tables["file"].set_index("name")
    assert list(files.index) == [f"china_sites_{day}.csv" for day in DAYS]
    for name, row in files.iterrows():
        content = (folder / name).read_bytes()
        assert (row.sha256, row.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert files["values"].tolist() == [24 * 6 * 3, 0, 24 * 6 * 3]
    assert files["last"].iloc[0] == pd.Timestamp("2019-01-30T15") and summary.counts["values"] == 2 * 24 * 6 * 3
    with xr.open_dataset(target, group="provenance") as group:
        assert (group.attrs["files_skipped"], group.attrs["oddities"]) == (1, len(summary.anomalies))
        assert summary.skipped[0] in group.remark_text.values and "numpy" in group.attrs["software"]
    assert open_archive(target).inspect("2019-01-30T16", "2019-01-31T15").skipped == summary.skipped
    assert open_archive(target).inspect("2019-01-29T16", "2019-01-30T15").skipped == []


def test_what_has_not_changed_is_not_read_again(national, folder, target):
    ingest_archives([str(folder)], target)
    before = state(target)
    summary = ingest_archives([str(folder)], target)
    assert not summary.written and summary.files["unchanged"] == 3 and state(target) == before

    for day in DAYS:
        garble(folder / f"china_sites_{day}.csv")
    national.write(folder, "20190201")
    summary = ingest_archives([str(folder)], target)
    assert summary.files == {"new": 1, "changed": 0, "unchanged": 3, "vanished": 0} and summary.skipped == []
    fresh = national.write(target.parent / "other", *DAYS, "20190201")
    expected, found = open_archive(fresh).read("2019-01-29T16", "2019-02-02T15"), open_archive(target)
    for name in schema.POLLUTANTS:
        np.testing.assert_array_equal(found.read("2019-01-29T16", "2019-02-02T15")[name], expected[name])


def test_an_archive_that_grew_has_the_bytes_of_one_made_at_once(national, folder, target):
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    ingest_archives([str(folder)], target)
    os.utime(national.write(folder, "20190128", "20190201") / "china_sites_20190128.csv", (1e9, 1e9))
    os.utime(folder / "china_sites_20190201.csv", (1e9, 1e9))
    ingest_archives([str(folder)], target)
    ingest_archives([str(folder)], target.with_name("at_once.nc"))
    assert target.read_bytes() == target.with_name("at_once.nc").read_bytes()


def test_processes_write_the_same_bytes_as_one(folder, target):
    ingest_archives([str(folder)], target)
    ingest_archives([str(folder)], target.with_name("two.nc"), workers=2)
    assert target.read_bytes() == target.with_name("two.nc").read_bytes()


def test_a_new_time_alone_is_no_change_and_new_content_is(national, folder, target):
    ingest_archives([str(folder)], target)
    os.utime(folder / "china_sites_20190130.csv", (2e9, 2e9))
    assert ingest_archives([str(folder)], target).files["unchanged"] == 3
    text = national.text("20190130", value=lambda day, kind, station, hour: 7)
    (folder / "china_sites_20190130.csv").write_text(text)
    summary = ingest_archives([str(folder)], target)
    assert summary.files == {"new": 0, "changed": 1, "unchanged": 2, "vanished": 0}
    cube = open_archive(target).read("2019-01-29T16", "2019-01-30T16")
    assert (cube.pm25.values[:24] == 7).all() and (cube.pm25.values[24] > 7).all()


def test_hours_that_a_changed_file_has_no_longer_are_missing(target):
    rows = pd.DataFrame({"station_id": "A", "lon": 116.0, "lat": 40.0, "pm25": [10.0, 20.0, 30.0],
                         "time": ["2019-01-01T01Z", "2019-01-01T02Z", "2019-01-01T03Z"]})
    path = target.with_name("rows.csv")
    rows.to_csv(path, index=False)
    ingest_archives([str(path)], target)
    rows[:2].assign(pm25=[11.0, 21.0]).to_csv(path, index=False)
    assert ingest_archives([str(path)], target).files["changed"] == 1
    found = open_archive(target).read("2019-01-01T01", "2019-01-01T03").pm25.values[:, 0]
    np.testing.assert_array_equal(found, [11.0, 21.0, np.nan])


def test_an_archive_of_another_version_is_screened_anew(folder, target):
    ingest_archives([str(folder)], target)
    with netCDF4.Dataset(target, "a") as file:
        file["pm25_flag"][:] = 0
    assert not ingest_archives([str(folder)], target).written
    with netCDF4.Dataset(target, "a") as file:
        file.product_version = "0.0.0"
    for day in DAYS:
        garble(folder / f"china_sites_{day}.csv")  # the values are those of the archive
    assert ingest_archives([str(folder)], target).written
    with xr.open_dataset(target) as file:
        assert (file.pm25_flag.values[np.isnan(file.pm25.values)] == BITS["missing"]).all()
        assert np.isfinite(file.pm25.values).sum() == 3 * 24 * 3


def test_what_vanished_is_kept_and_told(folder, target):
    ingest_archives([str(folder)], target)
    before = open_archive(target).inspect("2019-01-29T16", "2019-02-02T15").fingerprint
    (folder / "china_sites_20190130.csv").unlink()
    summary = ingest_archives([str(folder)], target)
    assert summary.files["vanished"] == 1 and summary.vanished == ["china_sites_20190130.csv"] and summary.written
    assert open_archive(target).inspect("2019-01-29T16", "2019-02-02T15").fingerprint == before
    assert not ingest_archives([str(folder)], target).written


def test_a_mended_file_takes_its_remark_away(national, folder, target):
    (folder / "china_sites_20190202.csv").write_text("")
    with zipfile.ZipFile(folder / "more.zip", "w") as container:
        container.writestr("china_sites_20190129.csv", national.text("20190129"))
    whole = (folder / "more.zip").read_bytes()
    (folder / "more.zip").write_bytes(whole[:500])
    told = " ".join(ingest_archives([str(folder)], target).skipped)
    assert "china_sites_20190202.csv is empty" in told and "more.zip" in told
    (folder / "more.zip").write_bytes(whole)
    national.write(folder, "20190202")
    summary = ingest_archives([str(folder)], target)
    assert summary.skipped == [] and summary.files["new"] == 1 and summary.files["changed"] == 1
    assert open_archive(target).period()[0] == np.datetime64("2019-01-28T16")


def test_a_station_that_the_table_did_not_have_is_read_from_the_old_files(national, folder, target):
    table = (folder / "stations.csv").read_text()
    (folder / "stations.csv").write_text("\n".join(line for line in table.splitlines() if "1002A" not in line))
    ingest_archives([str(folder)], target)
    assert open_archive(target).stations["station_id"].tolist() == ["0901A", "1001A"]
    (folder / "stations.csv").write_text(table)
    ingest_archives([str(folder)], target)
    cube = open_archive(target).read("2019-01-31T15", "2019-01-31T15")
    assert cube.pm25.sel(station="1002A") == national.value("20190131", "PM2.5", "1002A", 23)


def test_days_outside_the_period_are_not_read_and_can_be_added(folder, target):
    garbled = folder / "china_sites_20190202.csv"
    text = garbled.read_text()
    garbled.write_text("")
    summary = ingest_archives([str(folder)], target, period=time_axis.parse_period(None, "2019-01-30", "2019-01-31"))
    assert summary.skipped == [] and len(open_archive(target).hours) == 48
    garbled.write_text(text)
    assert ingest_archives([str(folder)], target).files["new"] == 1
    assert open_archive(target).period() == (np.datetime64("2019-01-29T16"), np.datetime64("2019-02-02T15"))


def ingest_half(folder, target):
    """Print "half" when all is read, and wait before the file is finished."""
    def wait(*_):
        print("half", flush=True)
        time.sleep(60)
    archive_writer.ArchiveFile.finish = wait
    ingest_archives([folder], target)


def test_killed_the_old_file_is_whole_and_the_next_run_works(national, folder, target):
    ingest_archives([str(folder)], target)
    before = state(target)
    national.write(folder, "20190201")
    running = Forked(ingest_half, str(folder), str(target))
    assert running.wait_for(lambda: "half" in running.told())
    assert any(name.startswith(".archive.nc.part") for name in beside(target)), "it was killed while it wrote"
    running.signal(signal.SIGKILL)
    running.ended()
    assert state(target) == before and open_archive(target).provenance()
    assert ingest_archives([str(folder)], target).files["new"] == 1
    assert beside(target) == set()


def ingest_within(folder, target, *limits):
    """With a limit of the size of files, one after the other; prints what is told."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            ingest_archives([folder], target)
        except UserError as error:
            print(error, flush=True)


def test_a_full_disk_is_told_and_costs_nothing(national, folder, target):
    """A limit on file size stands in for the disk's end: in the archive's head, and in its data."""
    ingest_archives([str(folder)], target)
    before = state(target)
    national.write(folder, "20190201")
    code, told = Forked(ingest_within, str(folder), str(target), 1000, 40000).ended()
    assert code == 0, told
    told = told.splitlines()
    assert len(told) == 2 and all("bytes are free" in line and "--to" in line for line in told)
    assert state(target) == before and beside(target) == set()


def test_a_disk_that_is_full_before_the_archive_is_written(folder, target, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="No space left on device.*--to"):
        ingest_archives([str(folder)], target)
    assert beside(target) == set() and not target.exists()


def test_two_at_once_are_refused(folder, target):
    lock = target.with_name(".archive.nc.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another ingest is writing"):
            ingest_archives([str(folder)], target)
    assert not target.exists()
    ingest_archives([str(folder)], target)


@pytest.mark.parametrize("name, content, message", [
    ("a.txt", None, "not the name of a .nc file"),
    ("a.nc", b"date,hour,type\n", "can't be read as NetCDF"),
    ("grid.nc", "netcdf", "no station archive"),
    ("folder.nc", "folder", "is a folder"),
])
def test_what_is_not_ours_stays_as_it_was(folder, tmp_path, name, content, message):
    target = tmp_path / name
    if content == "netcdf":
        xr.Dataset({"pm25": ("x", [1.0])}).to_netcdf(target)
    elif content == "folder":
        target.mkdir()
    elif content:
        target.write_bytes(content)
    before = target.read_bytes() if target.is_file() else None
    with pytest.raises(UserError, match=message):
        ingest_archives([str(folder)], target)
    assert (target.read_bytes() if target.is_file() else None) == before


def test_other_settings_are_refused_by_name(folder, target):
    ingest_archives([str(folder)], target)
    before = state(target)
    with pytest.raises(UserError, match="stuck_hours = 12; now stuck_hours = 20"):
        ingest_archives([str(folder)], target, settings=quality.QualitySettings(stuck_hours=20))
    assert state(target) == before


def test_a_folder_that_can_not_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        ingest_archives([str(folder)], tmp_path / "file" / "archive.nc")
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o555)
        with pytest.raises(UserError, match="could not be written"):
            ingest_archives([str(folder)], tmp_path / "locked" / "archive.nc")


def test_a_period_without_files_and_a_source_given_twice(folder, target):
    with pytest.raises(UserError, match="No file holds hours of 2020-01-01"):
        ingest_archives([str(folder)], target, period=time_axis.parse_period(None, "2020-01-01", "2020-01-02"))
    with pytest.raises(UserError, match="given twice"):
        ingest_archives([str(folder), f"{folder}/"], target)
    assert not target.exists()


def test_the_command_tells_what_it_did(folder, target):
    (folder / "china_sites_20190131.csv").write_text("")
    done = CliRunner().invoke(app, ["ingest", str(folder), "--to", str(target), "--workers", "1"])
    assert done.exit_code == 0, done.output
    for told in ("china_sites_20190131.csv is empty", "3 new", "3 stations", "864 values", "written: "):
        assert told in done.output
    again = CliRunner().invoke(app, ["ingest", str(folder), "--to", str(target)])
    assert "nothing is new" in again.output and "3 unchanged" in again.output


def test_places_in_another_datum(folder, target):
    """Tiananmen in BD-09 lies 1.1 km from where it is in WGS-84; a table without a column for it is told by --datum."""
    from aqreanalysis.observations import datums

    (folder / "stations.csv").write_text("station_id,lon,lat\n0901A,116.404,39.915\n1001A,117.5,39\n1002A,110,34.5\n")
    summary = ingest_archives([str(folder)], target, datum="bd09")
    lon, lat = datums.to_wgs84(116.404, 39.915, "bd09")
    found = summary.archive.stations.set_index("station_id").loc["0901A"]
    np.testing.assert_allclose((found.lon, found.lat), (lon, lat), atol=1e-6)
    again = ingest_archives([str(folder)], target)  # another datum: the places are others
    assert again.written
    assert again.archive.stations.set_index("station_id").loc["0901A"].lon == pytest.approx(116.404, abs=1e-6)


def test_an_archive_that_can_not_be_right_is_not_written(national, folder, target):
    """CO in ug m-3 where mg m-3 is meant."""
    for day in DAYS:
        text = national.text(day, value=lambda day, kind, station, hour: 900 + hour)
        (folder / f"china_sites_{day}.csv").write_text(text)
    with pytest.raises(UserError, match="co|CO"):
        ingest_archives([str(folder)], target)
    assert not target.exists()
