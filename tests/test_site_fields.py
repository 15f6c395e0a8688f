"""Weather at sites: tidy tables and UCI's files, on which clock they are, and which site holds where."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from aqreanalysis import geo, open_fields
from aqreanalysis.errors import UserError

SITES = pd.DataFrame({"station_id": ["a", "b"], "lon": [115.0, 116.0], "lat": [39.0, 39.0]})
HOURS = pd.date_range("2019-01-01 00:00", periods=72, freq="h")


def rows(hours=HOURS, offset=0, **more):
    """Two sites; the temperature has its diurnal peak at 14:00 local time (06 UTC), site b is 1 degree warmer."""
    frames = []
    for number, site in enumerate(SITES.station_id):
        peak = np.cos(2 * np.pi * (hours.hour - 6) / 24)
        frames.append(pd.DataFrame({"station_id": site, "time": hours + pd.Timedelta(offset, "h"),
                                    "temperature": 10.0 + 5.0 * peak + number, "u": 2.0 + number, "v": -1.0, **more}))
    return pd.concat(frames)


@pytest.fixture
def folder(tmp_path):
    SITES.to_csv(tmp_path / "sites.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("clock, header, offset", [("UTC", "time", 0), ("UTC+8", "time (UTC+8)", 8)])
def test_the_diurnal_peak_is_at_its_hour_in_utc(folder, clock, header, offset):
    """Whether a table counts in UTC or says in its header that it does not."""
    rows(offset=offset).rename(columns={"time": header}).to_csv(folder / "weather.csv", index=False)
    found = open_fields(folder).sample(HOURS.to_numpy(), [39.0], [115.0])
    assert int(np.argmax(found.t2m.values[:24, 0])) == 6
    np.testing.assert_allclose(found.t2m[:24, 0].max(), 273.15 + 15.0, rtol=1e-6)
    assert (found.u10 == 2.0).all() and (found.v10 == -1.0).all()


def test_an_hour_is_of_the_nearest_site_that_has_it_within_reach(folder):
    """Site a is missing in hours 5 to 9: there its places take site b's; beyond 120 km of both nothing is known."""
    table = rows()
    table = table[~((table.station_id == "a") & table.time.between(HOURS[5], HOURS[9]))]
    table.to_parquet(folder / "weather.parquet")
    source = open_fields(folder)
    lat, lon = np.array([39.1, 39.0, 39.0]), np.array([115.1, 115.9, 118.0])
    found = source.sample(HOURS.to_numpy(), lat, lon)
    missing = np.isin(np.arange(72), np.arange(5, 10))
    assert np.array_equal(found.u10[:, 0], np.where(missing, 3.0, 2.0)) and (found.u10[:, 1] == 3.0).all()
    assert np.isnan(found.u10[:, 2]).all()
    nearest = [0, 1, 1]
    np.testing.assert_allclose(found.distance, geo.distance_km(lat, lon, SITES.lat[nearest], SITES.lon[nearest]),
                               rtol=1e-6)
    np.testing.assert_allclose(found.distance[1], np.radians(0.1) * np.cos(np.radians(39)) * 6371.0088, rtol=1e-4)
    check = source.check(HOURS[0], HOURS[-1] + pd.Timedelta(2, "h"), lat, lon)
    assert check.outside.tolist() == [False, False, True]
    assert check.missing_hours() == "2 hours (2019-01-04 00:00 to 2019-01-04 01:00 UTC) everywhere"
    # 74 hours: site a is missing in 5 of them and in the last two, b in the last two
    assert check.silent_points() == ("of the 148 hours of 2 sites, 9 are missing, where the next site within reach "
                                     "that has them stands in")


def test_hours_without_fields_at_some_places_are_told_apart(folder):
    """Both sites are silent in hour 2, site a alone in hours 5 and 6, which only a place near it feels."""
    table = rows()
    table = table[~(table.time.eq(HOURS[2]) | (table.station_id.eq("a") & table.time.isin(HOURS[5:7])))]
    table.to_parquet(folder / "weather.parquet")
    check = open_fields(folder).check(HOURS[0], HOURS[9], [39.0, 39.0], [113.8, 117.2])  # each 104 km from one site
    assert check.missing_hours() == ("1 hour (2019-01-01 02:00 UTC) everywhere and 2 hours (2019-01-01 05:00 to "
                                     "2019-01-01 06:00 UTC) at some places")
    assert (check.used, check.silent) == (2, 4)
    one = open_fields(folder).check(HOURS[0], HOURS[9], [39.0], [117.2])  # of site b alone
    assert one.missing_hours() == "1 hour (2019-01-01 02:00 UTC) everywhere"
    assert one.silent_points() == "of the 10 hours of 1 site, 1 is missing"


def test_units_in_a_header_come_first(folder):
    """degF is not known and refused; K and hPa are read as they say."""
    table = rows(pressure=101325.0).rename(columns={"temperature": "temperature (K)", "pressure": "pressure (Pa)"})
    table["temperature (K)"] += 273.15
    table.to_csv(folder / "weather.csv", index=False)
    found = open_fields(folder).sample(HOURS[:1].to_numpy(), [39.0], [115.0])
    assert float(found.sp[0, 0]) == 101325.0 and 280.0 < float(found.t2m[0, 0]) < 290.0
    table.rename(columns={"temperature (K)": "temperature (degF)"}).to_csv(folder / "weather.csv", index=False)
    with pytest.raises(UserError, match="degF"):
        open_fields(folder)


def test_a_table_without_sites_holds_everywhere_and_says_so(tmp_path):
    """Of one series, as along a trajectory; a table with sites and no places is an error."""
    one = rows().query("station_id == 'a'").drop(columns="station_id")
    one.to_parquet(tmp_path / "wind.parquet")
    source = open_fields(tmp_path)
    assert (source.sample(HOURS.to_numpy(), [39.0, -20.0], [115.0, 0.0]).u10 == 2.0).all()
    assert "holds everywhere" in " ".join(source.notes())
    rows().to_parquet(tmp_path / "wind.parquet")
    with pytest.raises(UserError, match="does not say where"):
        open_fields(tmp_path)


UCI = """"No","year","month","day","hour","PM2.5","TEMP","PRES","DEWP","RAIN","wd","WSPM","station"
1,2013,3,1,0,4,-0.7,1023,-18.8,0,"NNW",4.4,"Dongsi"
2,2013,3,1,1,8,-1.1,1023.2,-18.2,0.3,"E",2,"Dongsi"
3,2013,3,1,2,7,NA,1023.5,-18.2,0,NA,0,"Dongsi"
4,2013,3,1,3,6,-1.4,1024.5,-19.4,0,NA,3.1,"Dongsi"
"""


def test_the_weather_of_uci(tmp_path):
    """Local stamps become UTC; E is a wind towards the west; a calm has no direction and is 0, another wind without one
    is unknown; degC and hPa become K and Pa."""
    with zipfile.ZipFile(tmp_path / "PRSA.zip", "w") as container:
        container.writestr("PRSA_Data_Dongsi_20130301-20170228.csv", UCI)
    (tmp_path / "stations.csv").write_text("station_id,name,lon,lat\nbj_dongsi,东四,116.417,39.929\n", encoding="utf-8")
    source = open_fields(tmp_path)
    assert str(source.period()[0])[:13] == "2013-02-28T16"
    found = source.sample(source.period()[0] + np.arange(4) * np.timedelta64(1, "h"), 39.929, 116.417)
    angle = np.radians(337.5)
    np.testing.assert_allclose(found.u10[:, 0], [-4.4 * np.sin(angle), -2.0, 0.0, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.v10[:, 0], [-4.4 * np.cos(angle), 0.0, 0.0, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.t2m[:, 0], [272.45, 272.05, np.nan, 271.75], rtol=1e-6)
    assert found.sp[0, 0] == 102300.0 and found.tp[1, 0] == np.float32(0.3)
