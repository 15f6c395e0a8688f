"""Faults of whole archives: time zone, units, cut days. The air of these tests is a closed form."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.cli import console
from aqreanalysis.errors import UserError
from aqreanalysis.observations import checks
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.station_table import far_remark
from aqreanalysis.product import plan
from aqreanalysis.recipes import TrainingRecipe
from aqreanalysis.training.analysis_data import load_analysis_data
from aqreanalysis.workflows import evaluate_analysis
from aqreanalysis.workflows.evaluate_analysis import evaluate

FIRST = np.datetime64("2019-03-01T00", "h")


def air(days=30, stations=8, shift=0, lon=120.0, seed=0, first=FIRST, amplitude=0.5):
    """Ozone that peaks at 15:24 of the sun, stamps `shift` hours late; the others at levels of clean air and more."""
    rng = np.random.default_rng(seed)
    time = first + np.arange(24 * days) * time_axis.HOUR
    solar = time.astype(int) % 24 + lon / 15.0
    cycle = 60.0 * (1.0 + amplitude * np.cos(2 * np.pi * (solar - 15.4) / 24.0))
    level = rng.uniform(0.8, 1.2, stations)
    noise = rng.normal(0, 10, (len(time), stations))
    values = {"o3": np.maximum(cycle[:, None] * level + noise, 1), "pm25": 40 * np.ones((len(time), 1)) * level}
    values |= {"pm10": 2 * values["pm25"], "so2": 0.2 * values["pm25"], "no2": values["pm25"],
               "co": 0.02 * values["pm25"]}
    return schema.make_station_cube(time + shift * time_axis.HOUR, [f"S{n}" for n in range(stations)],
                                    np.full(stations, 36.0) + 0.1 * np.arange(stations), np.full(stations, lon), values)


class Archive:
    """An archive of a cube, which counts the hours that were read."""

    simulated = False

    def __init__(self, cube):
        self.cube, self.read_hours = cube, 0
        self.stations = pd.DataFrame({"station_id": cube.station.values, "lat": cube.lat.values,
                                      "lon": cube.lon.values})

    def period(self):
        return self.cube.time.values[0], self.cube.time.values[-1]

    def read(self, start, end):
        part = self.cube.sel(time=slice(start, end))
        self.read_hours += part.sizes["time"]
        return part


def check(cube):
    return checks.of_archive(Archive(cube), cube.time.values[0], cube.time.values[-1])


@pytest.mark.parametrize("lon", [88.0, 105.0, 120.0])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_right_stamps_are_not_talked_about(shift, lon):
    """An hour more or less is weather; the sun is what counts, so that Xinjiang is as good as Shanghai."""
    assert check(air(shift=shift, lon=lon)) == []


@pytest.mark.parametrize(("shift", "words"), [
    (-8, ["8 h too early", "UTC data that were read as UTC+8", "about 07:00"]),
    (8, ["8 h too late", "local time (UTC+8) that was read as UTC", "about 23:00"]),
    (-4, ["4 h too early"]), (5, ["5 h too late"]), (11, ["11 h too late"])])
def test_stamps_that_are_off_are_told_with_the_shift(shift, words):
    told, = check(air(shift=shift))
    assert told.startswith("time zone:") and all(word in told for word in words)
    assert ("read as" in told) == (abs(shift) == 8)


def without_ozone(cube):
    return cube.assign(o3=cube.o3 * np.float32(np.nan))


@pytest.mark.parametrize("cube", [
    air(days=9, shift=8), air(stations=4, shift=8), air(shift=8, amplitude=0.0), without_ozone(air(shift=8))],
    ids=["few days", "few stations", "no cycle", "no ozone"])
def test_too_little_to_go_by_is_no_statement(cube):
    assert check(cube) == []


def test_codes_and_gaps_do_not_turn_the_clock():
    cube = air(shift=8)
    cube.o3.values[::7], cube.o3.values[3::11, :3] = np.nan, -999.0
    assert "8 h too late" in check(cube)[0]


@pytest.mark.parametrize(("name", "factor", "words"), [
    ("co", 1000, ["CO is 8", "can't be mg m-3", "look like ug m-3", "divided by 1000"]),
    ("pm25", 0.001, ["PM2.5 is 0.04", "can't be ug m-3", "look like mg m-3", "multiplied by 1000"]),
    ("o3", 0.001, ["O3", "mg m-3"]), ("co", 0.001, ["CO", "multiplied by 1000"])])
def test_a_unit_that_can_not_be_is_an_error(name, factor, words):
    cube = air()
    cube[name] = cube[name] * np.float32(factor)
    with pytest.raises(UserError) as error:
        check(cube)
    assert all(word in str(error.value) for word in words), str(error.value)
    cube[name][5:] = np.nan   # 40 values are not enough to say so
    assert check(cube) == []


def test_what_is_cut_is_told():
    """Days of files run from 00:00 to 23:00 of the local clock, 16:00Z to 15:00Z."""
    cube = air(first=np.datetime64("2019-02-28T16", "h"))
    cube.pm25.values[24 * 3 + 13:24 * 4] = np.nan      # 4 March: nothing after 12:00
    cube.pm25.values[24 * 5:24 * 6, 3:] = np.nan       # 6 March: 3 of 8 stations
    cube.pm25.values[24 * 7:24 * 8] = np.nan           # a day without a file is a gap, not a cut
    cube.pm25.values[24 * 9 + 22:24 * 10] = np.nan     # two hours at its end are no cut either
    cube.pm25.values[24 * 11 + 2:24 * 11 + 20] = np.nan
    assert checks.cut([cube]) == ["cut: 3 of usually 8 stations report PM2.5 on 2019-03-06",
                                  "cut: no station reports after 12:00 (UTC+8) on 2019-03-04"]


def test_a_long_period_is_looked_at_in_three_parts_and_a_short_one_as_a_whole():
    year = Archive(air(days=365, stations=2))
    parts = checks.windows(year, *year.period())
    assert [int((last - first) / time_axis.HOUR) + 1 for first, last in parts] == [192, 192, 192]
    assert parts[0][0] == FIRST and abs(parts[2][1] - year.period()[1]) <= np.timedelta64(2, "h")
    assert checks.windows(year, FIRST, FIRST + 100 * time_axis.HOUR) == [(FIRST, FIRST + 100 * time_axis.HOUR)]
    assert checks.windows(year, FIRST - 100 * time_axis.HOUR, FIRST - time_axis.HOUR) == []
    checks.of_archive(year, *year.period())
    assert year.read_hours == 3 * 192


def test_the_twin_is_not_looked_at():
    assert checks.of_archive(SimpleNamespace(simulated=True), FIRST, FIRST) == []


@pytest.mark.archive
@pytest.mark.parametrize("month", ["2019-01", "2019-07", "2019-10", "2019-12"])
def test_the_real_network_is_in_its_time_zone_and_shifts_are_found(archive_path, month):
    archive = open_archive(archive_path / "cnemc-2019")
    start = np.datetime64(month, "h")
    cubes = [archive.read(start, start + 383 * time_axis.HOUR)]
    assert checks.time_zone(cubes) == [] and checks.wrong_unit(cubes) is None
    for hours in (-8, -4, 4, 8):
        shifted = [cube.assign_coords(time=cube.time + np.timedelta64(hours, "h")) for cube in cubes]
        told, = checks.time_zone(shifted)
        assert any(f"look {abs(hours) + more} h" in told for more in (-1, 0, 1))


@pytest.fixture
def tidy(tmp_path):
    """Writes a cube as a tidy file."""
    def write(cube):
        rows = cube[list(schema.POLLUTANTS)].to_dataframe().reset_index().rename(columns={"station": "station_id"})
        rows.drop(columns=[c for c in rows if c.startswith("station_") and c != "station_id"]).to_parquet(
            tmp_path / "rows.parquet")
        return str(tmp_path / "rows.parquet")
    return write


def request(observations, tmp_path):
    (tmp_path / "points.csv").write_text("station_id,lon,lat\nA,120.0,36.3\n")
    return plan.BuildRequest(start="2019-03-02", end="2019-03-29", observations=observations,
                             grid=str(tmp_path / "points.csv"), out=str(tmp_path / "out"))


def test_build_warns_before_it_starts(tidy, tmp_path, capsys):
    made = plan.prepare(request(tidy(air(shift=-8)), tmp_path))
    warnings = made.inventory.warnings
    assert warnings == made.facts["warnings"] and "8 h too early" in warnings[0] and "constant" in warnings[1]
    console.warnings([*warnings, *map(str, range(20))])
    text = capsys.readouterr().out
    assert "  warning: time zone: the network's ozone" in text and "warning: ... 22 in all" in text


def test_build_and_train_refuse_what_can_not_be(tidy, tmp_path):
    cube = air()
    cube["co"] = cube.co * np.float32(1000)
    path, days = tidy(cube), {"start": "2019-03-02", "end": "2019-03-29"}
    with pytest.raises(UserError, match="median of CO"):
        plan.prepare(request(path, tmp_path))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="median of CO"):
        load_analysis_data(TrainingRecipe(name="x", observations=path, **days))


def test_evaluate_refuses_it_and_warns(tidy):
    unseen = [f"U{number}" for number in range(8)]
    cube, told = air(shift=8).assign_coords(station=np.array(unseen, object)), []
    period = time_axis.parse_period(None, "2019-03-02", "2019-03-29")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(evaluate_analysis, "run_jobs", stop)   # no scores are wanted
        evaluate(tidy(cube), period, tell=lambda found: told.extend(found.warnings))
    assert "8 h too late" in told[0]
    cube["co"] = cube.co * np.float32(1000)
    with pytest.raises(UserError, match="median of CO"):
        evaluate(tidy(cube), period)


def test_training_warns(tidy):
    told = []
    with pytest.raises(UserError, match="stations are left"):
        load_analysis_data(TrainingRecipe(name="x", observations=tidy(air(shift=8)), start="2019-03-02",
                                           end="2019-03-29"), tell=lambda found: told.extend(found.warnings))
    assert "8 h too late" in told[0]


def test_zeros_in_place_of_missing_values_are_told():
    cube = air()
    assert checks.zeros([cube]) == []
    cube.pm25[::4] = 0
    told, = checks.zeros([cube])
    assert told.startswith("zeros: 1,440 of 5,760 PM2.5 values (25.0%) are exactly 0")


@pytest.mark.parametrize(("name", "factor"), [("pm25", 0.001), ("co", 1000.0)])
def test_stations_in_another_unit_than_the_others_are_told(name, factor):
    """The median of the network is right, so that no error is raised; a station with few values is left alone."""
    cube = air()
    cube[name][:, 2] *= factor
    cube[name][10:, 3] = np.nan
    cube[name][:, 3] *= factor
    told, = checks.other_units([cube])
    assert told.startswith(f"units: 1 station (S2) has a median of {schema.LONG_NAMES[name]} outside")
    assert checks.other_units([air()]) == [] and told in check(cube)


def test_a_place_that_many_share_is_one_sentence():
    table = pd.DataFrame({"station_id": list("ABCDE"), "lat": [40.0, 40.0, 40.0, 40.0, 41.0], "lon": [116.0] * 5})
    assert checks.place_remarks(table) == ["stations A, B, C and 1 more share one place (116.0000, 40.0000)"]
    table.loc[1:2, "lat"] = 42.0
    assert checks.place_remarks(table) == ["stations A and D share one place (116.0000, 40.0000)",
                                           "stations B and C share one place (116.0000, 42.0000)"]


def test_a_station_far_from_its_known_place_is_told():
    """1002A stands at 116.2202 E, 40.2915 N; ids that are not known have no place to be far from."""
    table = pd.DataFrame({"station_id": ["1002A", "X"], "lat": [40.2915, 20.0], "lon": [116.2202, 100.0]})
    assert far_remark(table) == ""
    table.loc[0, "lon"] += 3.0
    assert "1 of 1 stations lie far" in far_remark(table) and "(1002A 254 km)" in far_remark(table)
