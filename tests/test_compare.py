"""`aqreanalysis compare`: other products' files as they come, common cells and times, closed forms, stations."""

import datetime as dt
import importlib
import pickle
import re
from pathlib import Path

import browsing
import numpy as np
import pandas as pd
import product_samples as samples
import pytest
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.grids import parse_grid
from aqreanalysis.product.comparison import jobs, scores
from aqreanalysis.product.comparison.other import OtherOptions, open_other
from aqreanalysis.product.comparison.times import TimeOptions
from aqreanalysis.workflows.compare import compare

compare_module = importlib.import_module("aqreanalysis.workflows.compare")
FIRST, DAYS = dt.date(2019, 1, 30), 5   # 30 January to 3 February: two months
LAT, LON = 39.15 + 0.1 * np.arange(7), 115.05 + 0.1 * np.arange(9)   # of the sample grid
REGION = (115.0, 115.9, 39.1, 39.8)
HOSTILE = 'CHAP <b onclick="x">北京</b> & "1"'
MIDNIGHT = np.datetime64("2019-01-30T00", "m")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A product whose hour h of day d, from 0, is 50 + 10 d + h at every cell, and bounds 5 below and 8 above."""
    folder = tmp_path_factory.mktemp("compare")
    path = folder / "grid.txt"
    path.write_text("gridtype = lonlat\nxsize = 9\nysize = 7\nxfirst = 115.05\nxinc = 0.1\nyfirst = 39.15\n"
                    "yinc = 0.1\n")
    grid = parse_grid(path)
    hour = np.arange(24 * DAYS)
    pm25 = np.broadcast_to((50 + 10 * (hour // 24) + hour % 24)[:, None], (24 * DAYS, 63)).astype(np.float32)
    hourly = {"pm25": pm25, "pm25_standard_error": np.full_like(pm25, 4), "pm25_lower": pm25 - 5,
              "pm25_upper": pm25 + 8, "quality_flag": np.zeros(pm25.shape, np.int8),
              "number_of_observations": np.full(pm25.shape, 20, np.int16)}
    return {name: samples.product(folder / name, grid, hourly, simulated, first=FIRST)
            for name, simulated in (("real", False), ("twin", True))}


def field(values, lat=LAT, lon=LON, time=None, units="ug m-3", name="pm25", dims=None, **attributes) -> xr.Dataset:
    """A file of another product: values (time, lat, lon) or (lat, lon), time as (numbers, attributes)."""
    values = np.asarray(values, float)
    dims = dims or (("time", "lat", "lon") if time is not None else ("lat", "lon"))
    coords = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    if time is not None:
        coords["time"] = ("time", time[0], time[1])
    shape = (*([len(time[0])] if time is not None else []), len(lat), len(lon))
    data = np.broadcast_to(values.reshape(values.shape + (1,) * (len(shape) - values.ndim)), shape)
    return xr.Dataset({name: (dims, data, ({"units": units} if units else {}) | attributes)}, coords)


def daily(first="2019-01-30 00:00:00", count=DAYS):
    return np.arange(count), {"units": f"days since {first}"}


def local_day(number: int) -> float:
    """The product's mean of day d in UTC+8."""
    return 50 + 10 * number + 11.5


def test_the_difference_of_days_in_utc8_is_that_of_their_fields(made, tmp_path):
    """Another product 3 above it: bias, RMSE, bounds and maps by hand; one 20 above lies outside all bounds."""
    for number in range(DAYS):
        day = FIRST + dt.timedelta(days=number)
        made_of = field(np.full((7, 9), local_day(number) + 3), units="µg/m3", name="PM2.5")
        made_of.to_netcdf(tmp_path / f"CHAP_PM2.5_D1K_{day:%Y%m%d}_V4.nc", engine="netcdf4")
    found = compare(made["real"], tmp_path, tmp_path / "out", name="CHAP")
    whole = found.pairs.iloc[0]
    assert whole.bias == pytest.approx(3, abs=1e-4) and whole.RMSE == pytest.approx(3, abs=1e-4)
    assert whole.r == pytest.approx(1, abs=1e-9) and whole.mean_product == pytest.approx(81.5, rel=1e-6)
    assert whole.pairs == DAYS * 63 and whole.periods == DAYS and whole.held_percent == 100
    months = found.pairs[found.pairs.by == "month"].set_index("slice")
    assert months.mean_product.to_dict() == pytest.approx({"2019-01": 66.5, "2019-02": 91.5}, rel=1e-6)
    np.testing.assert_allclose(found.maps.difference.isel(season=-1), 3, atol=1e-4)
    assert any("from names of files, UTC+8" in note for note in found.notes)
    assert {path.name for path in found.files} >= {"comparison.html", "statistics.csv", "difference.nc", "taylor.png"}
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 5 and "src=\"http" not in page and "SIMULATED" not in page
    assert re.findall('class="value">([^<]*)<', page) == ["+3.7 %", "3.0 µg m⁻³", "1.00", "100 %"]
    far = compare(made["real"], field(np.array([local_day(n) + 20 for n in range(DAYS)]),
                                      time=daily("2019-01-29 16:00:00")), days="utc+8", stamp="start")
    assert far.pairs.iloc[0].held_percent == 0


def test_the_page_in_a_browser(made, tmp_path):
    """No error, no request, nothing that shuts people out; on a phone nothing but tables is wider than the screen."""
    field(np.arange(DAYS) + 20.0, time=daily()).to_netcdf(tmp_path / "other.nc")
    compare(made["real"], tmp_path / "other.nc", tmp_path / "out", days="utc+8", name=HOSTILE)
    with browsing.browser(tmp_path / "profile") as driver:
        address = (tmp_path / "out" / "comparison.html").as_uri()
        driver.get(address)
        assert browsing.errors_and_requests(driver) == ([], {address})
        assert driver.find_element("tag name", "h1").text.startswith(HOSTILE) and driver.title.startswith(HOSTILE)
        driver.find_element("id", "unfold-charts").send_keys("\ue007")  # Enter
        assert browsing.violations(driver) == []
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True})
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360


def test_a_run_that_was_killed_goes_on_with_the_same_bytes(made, tmp_path, monkeypatch):
    """Jobs of two days, of which the second is interrupted; what is sent to workers gives the same sums."""
    monkeypatch.setattr(jobs, "JOB_PERIODS", 2)
    monkeypatch.setattr(compare_module, "_figures", lambda *given: {})
    field(np.arange(DAYS) + 20.0, time=daily()).to_netcdf(tmp_path / "other.nc")
    whole = compare(made["real"], tmp_path / "other.nc", tmp_path / "a", days="utc+8")
    done = []

    def stopping(setting, some):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(some.start)
        return jobs.pairs_of_job(pickle.loads(pickle.dumps(setting)), some)

    monkeypatch.setattr(compare_module, "pairs_of_job", stopping)
    with pytest.raises(KeyboardInterrupt):
        compare(made["real"], tmp_path / "other.nc", tmp_path / "b", days="utc+8")
    assert done == [0] and not (tmp_path / "b" / "statistics.csv").exists()
    done = ["of the second run"] * 2  # never 1
    again = compare(made["real"], tmp_path / "other.nc", tmp_path / "b", days="utc+8")
    assert done[2:] == list(range(2, DAYS, 2))
    assert [path.name for path in again.files] == [path.name for path in whole.files]
    for one, two in zip(whole.files, again.files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    assert not [path for path in (tmp_path / "b").iterdir() if path.is_dir()]


def test_a_stopped_run_goes_on_on_a_cluster_with_the_same_bytes(made, tmp_path, monkeypatch, cluster):
    """Jobs of two days, of which the first is done here and two on the cluster's processes."""
    monkeypatch.setattr(jobs, "JOB_PERIODS", 2)
    monkeypatch.setattr(compare_module, "_figures", lambda *given: {})
    field(np.arange(DAYS) + 20.0, time=daily()).to_netcdf(tmp_path / "other.nc")

    def stop(done, of):
        if done == 1:
            raise KeyboardInterrupt

    whole, seen = compare(made["real"], tmp_path / "other.nc", tmp_path / "a", days="utc+8"), []
    with pytest.raises(KeyboardInterrupt):
        compare(made["real"], tmp_path / "other.nc", tmp_path / "b", days="utc+8", progress=stop)
    again = compare(made["real"], tmp_path / "other.nc", tmp_path / "b", days="utc+8", scheduler=cluster,
                    progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in whole.files]


def test_days_in_utc_are_compared_with_means_of_these_hours(made):
    """UTC day D has 16 hours of day D of UTC+8 (h 8 to 23) and 8 of the next (h 0 to 7): by hand."""
    utc = [(sum(50 + 10 * d + h for h in range(8, 24)) + sum(60 + 10 * d + h for h in range(8))) / 24 for d in range(4)]
    found = compare(made["real"], field(np.array([*utc, 1.0]), time=daily()))
    whole = found.pairs.iloc[0]
    assert whole.periods == 4 and abs(whole.bias) < 1e-4 and whole.RMSE < 1e-3 and np.isnan(whole.held_percent)
    assert any("made from hours" in note for note in found.notes)
    local = compare(made["real"], field(np.array([local_day(n) for n in range(DAYS)]), time=daily()), days="utc+8")
    assert local.pairs.iloc[0].RMSE < 1e-3 and local.pairs.iloc[0].periods == DAYS


def hours_of(number, step):
    """Stamps every `step` h over the days of the product, from the first END on; and the product's values there."""
    end = np.arange(step, 24 * DAYS + 1, step)
    values = np.array([np.mean([50 + 10 * (h // 24) + h % 24 for h in range(e - step, e)]) for e in end])
    return end, values


def test_hours_are_averaged_to_days(made):
    """Hourly stamps at the END from 2019-01-29T17Z on; one day with 12 of 24 hours is left out and told."""
    end, values = hours_of(0, 1)
    some = np.ones(len(end), bool)
    some[24:36] = False
    time = (end[some], {"units": "hours since 2019-01-29 16:00:00"})
    found = compare(made["real"], field(values[some], time=time))
    assert found.pairs.iloc[0].periods == 4 and found.pairs.iloc[0].RMSE < 1e-3
    assert any(note.startswith("1 of the other's days") for note in found.notes)


def test_coarser_cells_and_global_packed_kilograms(made, tmp_path):
    """CAMS-like: 3-hourly, 0 to 360, north to south, int16 of kg m-3, one cell of 0.9 x 0.7 degrees over the grid."""
    lon, lat = np.arange(0.0, 360, 0.9), 90 - 0.35 - 0.7 * np.arange(257)
    lon = lon - lon[np.argmin(np.abs(lon - 115.45))] + 115.45
    lat = lat - lat[np.argmin(np.abs(lat - 39.45))] + 39.45
    end, values = hours_of(0, 3)
    time = (end - 1.5, {"units": "hours since 2019-01-29 16:00:00"})
    cube = field(values * 1e-9, lat, lon, time, "kg m**-3", "pm2p5")
    cube.to_netcdf(tmp_path / "cams.nc", engine="netcdf4", encoding={"pm2p5": {
        "dtype": "i2", "scale_factor": 1e-11, "add_offset": 1e-7, "_FillValue": -32767}})
    found = compare(made["real"], tmp_path / "cams.nc")
    whole = found.pairs.iloc[0]
    assert found.maps.sizes["lat"] == found.maps.sizes["lon"] == 1 and whole.periods == DAYS
    assert whole.RMSE < 0.02 and any("averaged to the cells of the other" in note for note in found.notes)
    assert {"longitudes of 0 to 360", "latitude from north to south"} <= set(found.notes)


def test_finer_cells_are_averaged_by_area_and_land_alone_counts(made):
    """Halved cells with values 10 above and below one of ours: no bias; a missing half leaves the other half."""
    lon = 115.025 + 0.05 * np.arange(18)
    values = np.array([local_day(n) for n in range(DAYS)])[:, None, None] + np.where(np.arange(18) % 2, 10, -10)
    values = np.broadcast_to(values, (DAYS, 7, 18)).copy()
    whole = compare(made["real"], field(values, lon=lon, time=daily()), days="utc+8").pairs.iloc[0]
    assert abs(whole.bias) < 1e-3 and whole.RMSE < 1e-3
    values[:, :, 1::2] = np.nan
    half = compare(made["real"], field(values, lon=lon, time=daily()), days="utc+8").pairs.iloc[0]
    assert half.bias == pytest.approx(-10, abs=1e-3)


def opened(cube, **options):
    time = {name: options.pop(name) for name in ("stamp", "days", "step") if name in options}
    return open_other([cube], REGION, OtherOptions(time=TimeOptions(**time), **options), "ours")


@pytest.mark.parametrize("units, factor", [
    ("ug m-3", 1), ("µg/m³", 1), ("μg m^-3", 1), ("ug/m**3", 1), ("microgram m-3", 1), ("mg m-3", 1e3), ("mg/m^3", 1e3),
    ("micrograms per cubic meter", 1), ("kg m-3", 1e9), ("kg m**-3", 1e9), ("kg/m3", 1e9), ("g m-3", 1e6),
    ("ng m-3", 1e-3)])
def test_units_in_many_spellings(units, factor):
    cube = field(np.full((7, 9), 40.0 / factor), units=units, time=None).assign_attrs(
        time_coverage_start="2019-01-30", time_coverage_end="2019-01-30")
    np.testing.assert_allclose(opened(cube).read(0), 40.0)


HOUR_UNITS = "hours since 2019-01-30 00:00:00"
OF_2019 = {"units": "days since 2019-01-01"}
TIMES = {  # time axis -> options, begins and ends of the first step, UTC
    "daily at midnight": (daily(), {}, "2019-01-30T00", "2019-01-31T00"),
    "daily at noon": (daily("2019-01-30 12:00:00"), {}, "2019-01-30T00", "2019-01-31T00"),
    "daily at its end": (daily("2019-01-31"), {"stamp": "end"}, "2019-01-30T00", "2019-01-31T00"),
    "daily of UTC+8": (daily(), {"days": "utc+8"}, "2019-01-29T16", "2019-01-30T16"),
    "hourly": ((np.arange(3), {"units": HOUR_UNITS}), {}, "2019-01-29T23", "2019-01-30T00"),
    "hourly at its start": ((np.arange(3), {"units": HOUR_UNITS}), {"stamp": "start"}, "2019-01-30T00",
                            "2019-01-30T01"),
    "3-hourly": ((np.arange(0, 9, 3), {"units": HOUR_UNITS}), {}, "2019-01-29T22:30", "2019-01-30T01:30"),
    "monthly at the first": (([0, 31, 59], OF_2019), {}, "2018-12-31T16", "2019-01-31T16"),
    "monthly in the middle": (([14.5, 45, 74], OF_2019), {}, "2018-12-31T16", "2019-01-31T16"),
    "monthly at the end": (([31, 59, 90], OF_2019), {"stamp": "end"}, "2018-12-31T16",
                           "2019-01-31T16"),
    "months since": (([0, 1, 2], {"units": "months since 2019-01-01"}), {}, "2018-12-31T16", "2019-01-31T16"),
    "yearly": (([0, 365], OF_2019), {}, "2018-12-31T16", "2019-12-31T16"),
    "days as numbers": (([20190130, 20190131], {"units": "day as %Y%m%d.%f"}), {}, "2019-01-30T00", "2019-01-31T00"),
}


@pytest.mark.parametrize("case", TIMES)
def test_stamps_at_the_start_the_middle_or_the_end_of_a_step(case):
    time, options, begin, end = TIMES[case]
    line = opened(field(np.full(len(time[0]), 40.0), time=(np.asarray(time[0]), time[1])), **options).times
    assert line.intervals[0].tolist() == np.array([begin, end], "datetime64[m]").tolist()


def test_bounds_count_more_than_stamps():
    cube = field([40.0, 50.0], time=(np.array([5.0, 29.0]), {"units": HOUR_UNITS, "bounds": "tb"}))
    cube["tb"] = (("time", "nv"), np.array([[-8.0, 16.0], [16.0, 40.0]]))
    line = opened(cube).times
    assert line.words == "from their bounds"
    assert line.intervals[1].tolist() == np.array(["2019-01-30T16", "2019-01-31T16"], "datetime64[m]").tolist()


@pytest.mark.parametrize("name, days", [
    ("CHAP_PM2.5_D1K_20190130_V4.nc", ("2019-01-30", "2019-01-30")), ("x_2019-01-30.nc", ("2019-01-30", "2019-01-30")),
    ("V5GL04.HybridPM25.Asia.201901-201912.nc", ("2019-01-01", "2019-12-31")),
    ("V5GL.201902-201902.nc", ("2019-02-01", "2019-02-28")),
    ("CHAP_PM2.5_M1K_201902_V4.nc", ("2019-02-01", "2019-02-28")),
    ("CHAP_PM2.5_Y1K_2019_V4.nc", ("2019-01-01", "2019-12-31")), ("TAP_2019_045.nc", ("2019-02-14", "2019-02-14")),
    ("pm25.nc", None), ("grid_1234.nc", None)])
def test_dates_in_names(name, days):
    from aqreanalysis.product.comparison.times import period_in_name
    found = period_in_name(name)
    assert (found and tuple(map(str, found))) == days


def test_levels_the_lowest_and_two_dimensional_axes():
    """Pressure falls upwards, height grows; rows and columns in 2-D are read, a turned grid is refused."""
    values = np.stack([np.full((1, 7, 9), 10.0), np.full((1, 7, 9), 40.0)], axis=1)
    for numbers, units, lowest in (([500, 1000], "hPa", 40), ([2.0, 50.0], "m", 10)):
        cube = field([1.0], time=daily(count=1)).drop_vars("pm25")
        cube["pm25"] = (("time", "lev", "lat", "lon"), values, {"units": "ug m-3"})
        cube["lev"] = ("lev", np.array(numbers), {"units": units})
        assert opened(cube, step="day").read(0)[0, 0] == lowest
    with pytest.raises(UserError, match="--level 0 for the first"):
        opened(cube.assign_coords(lev=("lev", [1, 2])), step="day")
    assert opened(cube.assign_coords(lev=("lev", [1, 2])), step="day", level=1).read(0)[0, 0] == 40
    mesh_lat, mesh_lon = np.meshgrid(LAT[::-1], LON, indexing="ij")
    flat = xr.Dataset({"PM2_5_DRY": (("Time", "y", "x"), np.arange(63.0).reshape(1, 7, 9) + 20, {"units": "ug m^-3"}),
                       "XLAT": (("y", "x"), mesh_lat, {"units": "degree_north"}),
                       "XLONG": (("y", "x"), mesh_lon, {"units": "degree_east"}),
                       "Time": ("Time", [0], {"units": HOUR_UNITS})})
    np.testing.assert_array_equal(opened(flat, step="hour").read(0)[::-1], np.arange(63.0).reshape(7, 9) + 20)
    flat["XLAT"] = flat.XLAT + 0.01 * np.arange(9)
    with pytest.raises(UserError, match="no parallels.*remapcon"):
        opened(flat, step="hour")


def test_both_beside_stations_used_or_left_out(made, tmp_path):
    """Stations that observe what the product says, 2 below the other; which were left out shows in their distance."""
    hours = samples.time_axis.hours_of_days(FIRST, FIRST + dt.timedelta(days=DAYS - 1))
    hour = np.arange(len(hours))
    rows = [pd.DataFrame({"time": pd.to_datetime(hours, utc=True), "station_id": f"S{k}", "lon": 115.07 + 0.2 * k,
                          "lat": 39.15, "pm25": 50.0 + 10 * (hour // 24) + hour % 24}) for k in range(4)]
    pd.concat(rows).to_parquet(tmp_path / "observed.parquet")
    other = field(np.array([local_day(n) + 2 for n in range(DAYS)]), time=daily())
    found = compare(made["real"], other, observations=tmp_path / "observed.parquet", days="utc+8")
    table = found.stations.set_index(["stations_are", "estimate"])
    assert set(table.index.get_level_values(0)) == {"left out by the product", "perhaps used by the product"}
    assert table.xs("other", level=1).bias.tolist() == pytest.approx([2, 2], abs=1e-3)
    assert table.xs("product", level=1).bias.tolist() == pytest.approx([0, 0], abs=1e-3)
    assert table.loc[("left out by the product", "product"), "independent"]
    assert any("not the observations of the product's build" in note for note in found.notes)


def test_scores_beside_observations_by_hand():
    """Two stations: errors +1 and -3; the target's radius is RMSE over twice the uncertainty of FAIRMODE."""
    observed = np.array([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0], [20.0, 80.0], [40.0, np.nan], [60.0, 20.0]])
    of = scores.StationSet("all", np.array(["a", "b"]), observed, observed + 1, observed - 3, False)
    table = scores.station_table([of], "day").set_index("estimate")
    assert table.bias.to_dict() == pytest.approx({"product": 1, "other": -3}) and table.pairs.tolist() == [11, 11]
    target = scores.target_of(observed, observed - 3)
    truth = observed[:, 0]
    expected = -3 / (2 * np.sqrt(np.mean(0.36**2 * (0.75 * truth**2 + 0.25 * 25**2))))
    assert target["y"][0] == pytest.approx(expected) and target["x"][0] == pytest.approx(0, abs=1e-6)


def test_another_product_of_ours_that_is_simulated_says_so(made, tmp_path, monkeypatch):
    monkeypatch.setattr("aqreanalysis.workflows.compare._figures", lambda *setting: {})
    found = compare(made["real"], made["twin"], tmp_path / "out")
    assert found.pairs.iloc[0].RMSE == 0 and all(path.name.startswith("simulated_") for path in found.files)
    page = (tmp_path / "out" / "simulated_comparison.html").read_text(encoding="utf-8")
    assert "SIMULATED: the other product says that it is." in page
    with xr.open_dataset(tmp_path / "out" / "simulated_difference.nc", engine="netcdf4") as file:
        assert file.attrs["simulated"] == "true" and file.attrs["title"].startswith("SIMULATED")
    assert any("one of both is SIMULATED" in note for note in found.notes)


def plain(**changes):
    return field(np.full(DAYS, 60.0), time=daily(), **changes)


WRONG = {
    "no PM2.5": (lambda: plain(name="ozone"), {}, "has no PM2.5; it has ozone.*--variable"),
    "two of them": (lambda: plain(name="my_pm2.5_a").assign(my_pm2p5_b=plain(name="x").x), {},
                    "several.*--variable my"),
    "a variable that is not there": (plain, {"variable": "pm1"}, "--variable pm1 is not in"),
    "no unit": (lambda: plain(units=""), {}, "has no unit.*--units"),
    "an unknown unit": (lambda: plain(units="ppb"), {}, "'ppb' is not a concentration"),
    "a wrong unit": (lambda: plain(units="kg m-3"), {}, "median over the region is 6e.10.*--units"),
    "elsewhere": (lambda: plain(lon=LON + 60), {}, "covers 175 to 175.9 E.*no cell in common"),
    "another year": (lambda: field(np.full(5, 60.0), time=daily("2018-01-30")), {}, "no day in common.*2018-01-30"),
    "a month of which the product has 2 days": (lambda: field([60.0, 61], time=(np.array([0, 31]), {
        "units": "days since 2019-01-01"})), {}, "no month in common"),
    "days outside": (plain, {"start": "2019-03-01", "end": "2019-03-02"}, "no day in common from 2019-03-01"),
    "no time at all": (lambda: field(np.full((7, 9), 60.0)), {}, "no time axis, and no date in its name.*20190101"),
    "one step": (lambda: field([60.0], time=daily(count=1)), {}, "one step and no bounds.*--step"),
    "odd stamps": (lambda: plain().assign_coords(time=("time", np.arange(5) + 0.3, {"units": "days since 2019-01-30"})),
                   {}, "daily stamps are at 7.2 h UTC.*--stamp"),
    "steps of 5 days": (lambda: plain().assign_coords(time=("time", 5 * np.arange(5), OF_2019)), {},
                        "a step is 5 days long.*cdo daymean"),
    "another calendar": (lambda: field(np.full(5, 60.0), time=(np.arange(5), {"units": "days since 2019-01-30",
                                                                             "calendar": "360_day"})), {}, "360_day"),
    "no latitude": (lambda: plain().drop_vars("lat"), {}, "has no latitude"),
    "a level that has none": (plain, {"level": 1}, "--level 1 has no use"),
    "an unknown stamp": (plain, {"stamp": "noon"}, "--stamp noon is unknown.*start, middle, end"),
    "no such file": (lambda: Path("none.nc"), {}, "There is no none.nc"),
    "no NetCDF": (lambda: Path(__file__), {}, "can't be read"),
    "nothing but gaps": (lambda: plain() * np.nan, {"units": "ug m-3"}, "no cell has values in both"),
    "the same twice": (lambda: [plain(), plain()], {}, "given twice"),
    "no such product": (plain, {"product": "nowhere"}, "There is no nowhere"),
    "a product of points": (plain, {"product": "points"}, "list of points.*--grid 0.1deg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_told_with_what_to_do(made, tmp_path, case):
    build, options, message = WRONG[case]
    options = {"product": made["real"]} | options
    if options["product"] == "points":
        options["product"] = samples.daily_file(tmp_path / "pm25_daily_2016.nc", samples.grid("points", tmp_path))
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)) as caught:
        compare(others=build(), to=tmp_path / "out", **options)
    assert caught.value.rule and not (tmp_path / "out").exists()
