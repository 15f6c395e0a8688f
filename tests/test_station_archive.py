"""The station archive as readers see it: the cube and the product of the raw files, standards, merged sources."""

import hashlib
import shutil
import subprocess
import sys

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.cli.app import main
from aqreanalysis.errors import UserError
from aqreanalysis.observations import quality, screening
from aqreanalysis.observations.ingest import ingest_archives
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.station_archive import STATION_ARCHIVE
from aqreanalysis.output.cf import Contact
from aqreanalysis.product.plan import BuildRequest
from aqreanalysis.workflows.build import build

CONTACT = Contact(name="A group", type="group", email="a@b.c", url="https://b.c", institution="An institute")
HOURS = time_axis.complete_hours("2019-01-18T00", "2019-03-03T23")  # over two ends of months


def tidy(folder, cube, **columns):
    """Rows of a cube as Parquet, a file a month."""
    folder.mkdir(exist_ok=True)
    rows = cube[list(schema.POLLUTANTS)].to_dataframe().reset_index().rename(columns={"station": "station_id"})
    rows["time"] = rows["time"].dt.tz_localize("UTC")
    for month, part in rows.assign(**columns).groupby(rows["time"].dt.month):
        part.to_parquet(folder / f"{month}.parquet", index=False)
    return str(folder)


@pytest.fixture(scope="module")
def cube():
    """Some weeks at 24 stations, with a spike, a stuck sensor and a code near the ends of months."""
    cube = schema.mock_station_cube(hours=len(HOURS), stations=24, seed=4).assign_coords(time=HOURS)
    row = {stamp: int(np.flatnonzero(np.datetime64(stamp) == HOURS)[0]) for stamp in ("2019-01-31T15", "2019-02-28T17")}
    cube.pm25.values[row["2019-01-31T15"], 3] = 900
    cube.pm25.values[row["2019-01-31T15"] - 20:row["2019-01-31T15"] + 20, 7] = 41
    cube.o3.values[row["2019-02-28T17"], 5] = -999
    return cube


@pytest.fixture(scope="module")
def made(cube, tmp_path_factory):
    """(raw folder, archive)"""
    folder = tmp_path_factory.mktemp("archive")
    raw = tidy(folder / "raw", cube)
    return raw, ingest_archives([raw], folder / "a.nc", contact=CONTACT).path


def test_the_cube_is_that_of_the_raw_files(made):
    raw, ours = (open_archive(path) for path in made)
    span = ("2019-01-17T20", "2019-02-02T03")  # begins before the archive does
    expected, found = raw.read(*span), schema.check_station_cube(ours.read(*span))
    for name in (*schema.POLLUTANTS, "lat", "lon", "station", "time"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert ours.period() == tuple(HOURS[[0, -1]]) and ours.source == raw.source and not ours.simulated
    assert ours.inspect(*span).values == raw.inspect(*span).values
    assert np.isnan(ours.read("2021-01-01T00", "2021-01-01T05").pm25).all()


def test_stored_flags_are_those_of_the_whole_series(made):
    ours = open_archive(made[1])
    raw = ours.read(*HOURS[[0, -1]])
    assert not any(raw[f"{name}_flag"].any() for name in schema.POLLUTANTS), "raw: no test has been made"
    whole, stored = quality.screen(raw), ours.read_screened(*HOURS[[0, -1]])
    for name in schema.POLLUTANTS:
        np.testing.assert_array_equal(stored[f"{name}_flag"], whole[f"{name}_flag"])
    found = np.bitwise_or.reduce(stored.pm25_flag.values.ravel())
    for flag in ("temporally_inconsistent", "low_variance", "missing"):
        assert found & schema.OBSERVATION_FLAGS[flag], f"{flag} was planted"
    assert ours.settings == quality.DEFAULT_SETTINGS.model_dump(mode="json")


def test_stored_flags_are_used_where_the_settings_are_the_same(made, monkeypatch):
    raw, ours = (open_archive(path) for path in made)
    span = HOURS[[300, 400]]
    expected, other = screening.screened(raw, *span), quality.QualitySettings(exclude=quality.TESTS)
    expected_other = screening.screened(raw, *span, other)
    xr.testing.assert_equal(screening.screened(ours, *span, other)[list(schema.POLLUTANTS)],
                            expected_other[list(schema.POLLUTANTS)])
    assert (expected_other.pm25.notnull() & expected.pm25.isnull()).any(), "the settings matter in these hours"
    monkeypatch.setattr(quality, "screen", None)  # not called
    xr.testing.assert_equal(screening.screened(ours, *span)[list(schema.POLLUTANTS)], expected[list(schema.POLLUTANTS)])


def test_a_build_has_the_same_bytes_from_the_archive_as_from_the_raw_files(made, tmp_path, no_maps):
    products = []
    for number, path in enumerate(made):
        request = BuildRequest(start="2019-02-12", end="2019-02-13", grid="1deg", observations=str(path),
                               out=str(tmp_path / str(number)), calibration="checkpoint")
        folder = build(request)
        products.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.nc")})
    assert products[0] == products[1] and len(products[0]) == 2


def test_the_fingerprint_follows_the_contents(made, tmp_path):
    copy = shutil.copy(made[1], tmp_path / "copy.nc")
    span = ("2019-02-01T00", "2019-02-01T23")
    before = open_archive(made[1]).inspect(*span).fingerprint
    assert open_archive(copy).inspect(*span).fingerprint == before
    with netCDF4.Dataset(copy, "a") as file:
        row = int(np.flatnonzero(np.datetime64("2019-02-01T05") == HOURS)[0])
        file["pm25"][row, 2] = 12.5
    assert open_archive(copy).inspect(*span).fingerprint != before
    assert open_archive(copy).inspect("2019-02-02T00", "2019-02-02T23").fingerprint == open_archive(
        made[1]).inspect("2019-02-02T00", "2019-02-02T23").fingerprint


@pytest.fixture(scope="module")
def merged(cube, tmp_path_factory):
    """Two sources of one day: stations 0 to 3 and 2 to 5; the second knows more hours and other values."""
    folder = tmp_path_factory.mktemp("merged")
    day = cube.isel(time=slice(0, 24)).fillna(50.0)
    one, other = day.isel(station=slice(0, 4)).copy(deep=True), day.isel(station=slice(2, 6)).copy(deep=True)
    one.pm25.values[5, 3] = np.nan
    one.co.values[:] = np.nan
    other.pm25.values[:] = 70.0
    paths = tidy(folder / "one", one), tidy(folder / "other", other)
    return one, other, paths, ingest_archives(list(paths), folder / "m.nc")


def test_the_first_source_wins_and_the_second_fills(merged):
    one, other, _, summary = merged
    found = open_archive(summary.path).read(*one.time.values[[0, -1]])
    assert found.station.values.tolist() == [f"S{number:03d}" for number in range(6)]
    expected = np.concatenate([one.pm25.values, other.pm25.values[:, 2:]], axis=1)
    expected[5, 3] = 70.0
    np.testing.assert_array_equal(found.pm25, expected)
    np.testing.assert_array_equal(found.co.values[:, 2:], other.co)
    shared = 24 * 2 * 5 - 1  # of stations 2 and 3: all but CO, and one hour of PM2.5
    differing = int((one.pm25.values[:, 2:] != 70.0).sum()) - 1  # missing is no difference; the others are the same
    assert summary.counts == {"values": 24 * 4 * 5 - 1 + 24 * 4 * 6, "repeated": shared, "differing": differing}
    with xr.open_dataset(summary.path) as file:
        assert file.pm25_source.attrs["flag_meanings"] == "none one other"
        assert file.pm25_source.values[5].tolist() == [1, 1, 1, 2, 2, 2]
        assert file.co_source.values[5].tolist() == [0, 0, 2, 2, 2, 2]
        assert file.pm25.attrs["ancillary_variables"] == "pm25_flag pm25_source"


def test_sources_that_come_later_come_second(merged, tmp_path):
    _, _, paths, at_once = merged
    ingest_archives([paths[0]], tmp_path / "m.nc")
    later = ingest_archives([paths[1]], tmp_path / "m.nc")
    assert later.counts == at_once.counts
    assert later.path.read_bytes() == at_once.path.read_bytes()


def test_what_one_source_loses_the_other_gives(merged, tmp_path):
    one, other, paths, _ = merged
    own = tidy(tmp_path / "one", one)
    ingest_archives([own, paths[1]], tmp_path / "m.nc")
    less = one.copy(deep=True)
    less.pm25.values[7, 2] = np.nan
    tidy(tmp_path / "one", less)
    assert ingest_archives([own, paths[1]], tmp_path / "m.nc").files["changed"] == 1
    found = open_archive(tmp_path / "m.nc").read(*one.time.values[[0, -1]]).pm25.values
    assert found[7, 2] == 70.0 and found[8, 2] == one.pm25.values[8, 2]


def test_a_station_at_two_places_is_told_and_the_first_counts(cube, tmp_path):
    day = cube.isel(time=slice(0, 24), station=slice(0, 3))
    moved = day.assign_coords(lat=day.lat + [0.0, 0.001, 0.1])  # 0, 0.1 and 11 km
    summary = ingest_archives([tidy(tmp_path / "here", day), tidy(tmp_path / "there", moved)], tmp_path / "m.nc")
    assert [text for text in summary.anomalies if "S002 lies 11.1 km" in text]
    assert "S001" not in " ".join(summary.anomalies)
    np.testing.assert_array_equal(open_archive(tmp_path / "m.nc").stations["lat"], day.lat)


def test_simulated_rows_stay_simulated_and_are_not_mixed(cube, tmp_path):
    day = cube.isel(time=slice(0, 24))
    real, simulated = tidy(tmp_path / "real", day), tidy(tmp_path / "twin", day, simulated=True)
    for sources in ([real, simulated], [simulated, real]):
        with pytest.raises(UserError, match="simulated"):
            ingest_archives(sources, tmp_path / "a.nc")
    ingest_archives([simulated], tmp_path / "a.nc")
    assert open_archive(tmp_path / "a.nc").simulated
    with xr.open_dataset(tmp_path / "a.nc") as file:
        assert all("SIMULATED" in file.attrs[name] for name in ("title", "summary", "source"))
    with pytest.raises(UserError, match="is simulated and the sources are not"):
        ingest_archives([real], tmp_path / "a.nc")


def test_flags_of_readers_stay_and_reach_the_cube(cube, tmp_path, monkeypatch):
    """`conflicting` is set where rows disagree: it must survive the archive, whatever was screened there."""
    from aqreanalysis.observations.readers.tidy import TidyArchive

    bit, read = schema.OBSERVATION_FLAGS["conflicting"], TidyArchive.read

    def with_flag(self, start, end):
        found = read(self, start, end)
        flag = xr.zeros_like(found.pm25, dtype=schema.FLAG_DTYPE)
        flag.loc[{"time": "2019-01-20T04", "station": "S001"}] = bit
        return found.assign(pm25_flag=flag)

    monkeypatch.setattr(TidyArchive, "read", with_flag)
    part = cube.sel(time=slice("2019-01-20T00", "2019-01-20T23"))
    ours = open_archive(ingest_archives([tidy(tmp_path / "raw", part)], tmp_path / "a.nc").path)
    flags = ours.read("2019-01-20T00", "2019-01-20T06").pm25_flag
    assert flags.sum() == bit and flags.sel(station="S001").values[4] == bit
    assert ours.read_screened("2019-01-20T04", "2019-01-20T04").pm25_flag.sel(station="S001").values[0] & bit


@pytest.fixture(scope="module")
def weather(cube, tmp_path_factory):
    """Two days, the second from another source, which reports weather too."""
    from aqreanalysis.observations.readers.tidy import TidyArchive

    folder, read = tmp_path_factory.mktemp("weather"), TidyArchive.read

    def with_weather(self, start, end):
        found = read(self, start, end)
        values = {name: (found.pm25 * 0 - 5).astype(np.float32) for name in schema.WEATHER}
        return found.assign(values) if self.path.name == "second" else found

    part = cube.sel(time=slice("2019-01-31T08", "2019-02-01T20")).fillna(1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TidyArchive, "read", with_weather)
        sources = [tidy(folder / "first", part.sel(time=slice(None, "2019-01-31T23"))),
                   tidy(folder / "second", part.sel(time=slice("2019-02-01T00", None)))]
        return ingest_archives(sources, folder / "a.nc", contact=CONTACT).path


def test_weather_of_one_source_is_kept(weather):
    """The first month has none at all: its hours are missing, and of no source."""
    found = open_archive(weather).read("2019-01-31T08", "2019-02-01T20")
    with xr.open_dataset(weather) as file:
        for name in schema.WEATHER:
            assert np.isnan(found[name][:16]).all() and (found[name][16:] == -5).all()
            assert (file[f"{name}_source"].values[:16] == 0).all() and (file[f"{name}_source"].values[16:] == 2).all()
        about = file.temperature.attrs
        assert (about["units"], about["standard_name"], about["units_metadata"]) == (
            "degC", "air_temperature", "temperature: on_scale")
        assert file.rain.attrs["cell_methods"] == "time: sum"


def call(*command) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: cdo, netcdf-bin)")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("convention", ["cf:1.11", "acdd:1.3"])
def test_the_checker_has_nothing_to_say(made, weather, convention):
    checker = pytest.importorskip("compliance_checker.suite")
    checker.CheckSuite.load_all_available_checkers()
    for path in (made[1], weather):
        suite = checker.CheckSuite()
        dataset = suite.load_dataset(str(path))
        results, errors = suite.run_all(dataset, [convention])[convention]
        dataset.close()
        scores = [(r, r.value if isinstance(r.value, tuple) else (int(r.value), 1)) for r in results]
        assert results and not errors
        assert [(r.name, r.msgs) for r, (points, whole) in scores if points < whole] == []


def test_others_read_it(made):
    assert 'featureType = "timeSeries"' in call("ncdump", "-h", made[1])
    told = call("cdo", "-s", "sinfo", made[1])
    assert "points=24" in told and f"{len(HOURS)} steps" in told
    with xr.open_dataset(made[1], decode_coords="all") as file:
        assert {"lat", "lon", "station_id", "time_bnds", "crs"} <= set(file.coords)
        assert file.pm25.encoding["zlib"] and file.pm25.encoding["complevel"] == 1 and file.pm25.encoding["shuffle"]


def with_strings(old, new):
    """The archive as version 0.1.0 wrote it: texts as strings of variable length."""
    def copied(old, new):
        new.setncatts(old.__dict__)
        for name, size in old.dimensions.items():
            if not name.endswith("_strlen"):
                new.createDimension(name, None if size.isunlimited() else len(size))
        for name, variable in old.variables.items():
            is_text, attributes = variable.dtype == "S1", dict(variable.__dict__)
            dims = variable.dimensions[:1] if is_text else variable.dimensions
            made = new.createVariable(name, str if is_text else variable.dtype, dims,
                                      fill_value=attributes.pop("_FillValue", None))
            attributes.pop("_Encoding", None)
            made.setncatts(attributes)
            if variable.size:
                made[:] = variable[:].astype(object) if is_text else variable[:]
        for name, group in old.groups.items():
            copied(group, new.createGroup(name))
    with netCDF4.Dataset(old) as before, netCDF4.Dataset(new, "w") as after:
        copied(before, after)
    return new


def test_an_archive_of_version_0_1_0_is_read(made, tmp_path):
    ours, old = open_archive(made[1]), open_archive(with_strings(made[1], tmp_path / "old.nc"))
    with netCDF4.Dataset(made[1]) as new, netCDF4.Dataset(tmp_path / "old.nc") as before:
        for here, is_text in ((new, False), (before, True)):
            assert {here[name].dtype == str for name in ("station_id", "provenance/file_name")} == {is_text}
    pd.testing.assert_frame_equal(old.stations, ours.stations)
    for name, table in ours.provenance().tables.items():
        pd.testing.assert_frame_equal(old.provenance().tables[name], table)
    assert old.inspect(HOURS[0], HOURS[-1]).digest.hexdigest() == ours.inspect(HOURS[0], HOURS[-1]).digest.hexdigest()


def test_what_is_no_station_archive_is_told(tmp_path, made):
    xr.Dataset({"pm25": ("x", [1.0])}).to_netcdf(tmp_path / "grid.nc")
    with pytest.raises(UserError, match="NetCDF, but no station archive"):
        open_archive(tmp_path / "grid.nc")
    (tmp_path / "cut.nc").write_bytes(made[1].read_bytes()[:5000])
    with pytest.raises(UserError, match="can't be read as NetCDF"):
        open_archive(tmp_path / "cut.nc")
    with pytest.raises(UserError, match="has its own stations|holds its stations"):
        open_archive(made[1], tmp_path / "stations.csv")
    assert not STATION_ARCHIVE.recognises(tmp_path)


def test_a_folder_of_station_archives_says_that_each_is_a_file(tmp_path, made):
    (tmp_path / "a.nc").symlink_to(made[1])
    xr.Dataset({"pm25": ("x", [1.0])}).to_netcdf(tmp_path / "grid.nc")
    with pytest.raises(UserError, match=r"a folder that holds a station archive \(a.nc\).*Name the file, .*/a.nc\.$"):
        open_archive(tmp_path)
    (tmp_path / "b.nc").symlink_to(made[1])
    with pytest.raises(UserError, match=r"2 station archives \(a.nc, b.nc\).*ingest .*/a.nc .*/b.nc --to archive.nc"):
        open_archive(tmp_path)


@pytest.mark.archive
def test_days_of_the_real_archive_are_the_same_in_ours(archive_path, tmp_path):
    raw = open_archive(archive_path / "cnemc-2019")
    period = time_axis.parse_period(None, "2019-03-30", "2019-04-02")
    ingest_archives([str(archive_path / "cnemc-2019")], tmp_path / "a.nc", period=period)
    ours = open_archive(tmp_path / "a.nc")
    expected, found = raw.read(*period.hours[[0, -1]]), ours.read(*period.hours[[0, -1]])
    for name in schema.POLLUTANTS:
        np.testing.assert_array_equal(found[name], expected[name])
    columns = ["station_id", "lon", "lat", "name", "city", "province"]
    pd.testing.assert_frame_equal(ours.stations[columns], raw.stations[columns], check_dtype=False)
    assert len(ours.hours) == 96


def test_nobody_answers_for_an_archive_unless_the_recipe_says_who(cube, tmp_path, monkeypatch):
    """No made-up address, and the contact of `ingest --recipe`."""
    day = tidy(tmp_path / "raw", cube.isel(time=slice(24)))
    (tmp_path / "mine.yaml").write_text("name: mine\ncontact:\n  name: A person\n  email: a@b.c\n")
    for more, expected in (([], None), (["--recipe", str(tmp_path / "mine.yaml")], "a@b.c")):
        target = tmp_path / f"{len(more)}.nc"
        monkeypatch.setattr(sys, "argv", ["aqreanalysis", "ingest", day, "--to", str(target), "--workers", "1", *more])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
        with netCDF4.Dataset(target) as file:
            assert getattr(file, "creator_email", None) == expected
            assert not [name for name in file.ncattrs() if "example.org" in str(file.getncattr(name))]


def test_only_the_kinds_of_outliers_are_cited(made):
    """The filters of the paper were never read: the thresholds are ours."""
    with netCDF4.Dataset(made[1]) as file:
        assert file.references.startswith("Kinds of outliers: Wu et al. (2018)")
        assert "thresholds of quality control are those of aqreanalysis" in file.references
