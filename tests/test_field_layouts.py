"""Layouts of gridded fields: zips of the data store, GRIB, MERRA-2, CAMS and CF files of any maker."""

import importlib.util
import sys
import zipfile

import numpy as np
import pytest
import xarray as xr

from aqreanalysis import open_fields
from aqreanalysis.errors import UserError

LAT, LON = np.array([36.0, 37.0, 38.0]), np.array([114.0, 115.0, 116.0])
TIME = np.datetime64("2019-01-01T00", "ns") + np.arange(49) * np.timedelta64(1, "h")
HOURS = TIME[1:]
PLACE = 37.0, 115.0


def gridded(values, name, units, time=TIME, axis="time", **attrs):
    """A variable whose values (hours,) are the same everywhere."""
    array = np.broadcast_to(np.asarray(values, float)[:, None, None], (len(time), 3, 3))
    return xr.Dataset({name: ((axis, "latitude", "longitude"), array, {"units": units, **attrs})},
                      coords={axis: time, "latitude": LAT, "longitude": LON})


def daylight(time=TIME):
    """Energy of the hour that ends at each stamp, J m-2: up and down within each day."""
    hour = (time - time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    return np.maximum(np.sin(2 * np.pi * (hour + 2) / 24), 0) * 2e6


def test_a_zip_of_the_new_store_with_instants_and_accumulations(tmp_path):
    """Under a name in .nc, as it is given: one source, instants averaged, accumulations of their hour."""
    gridded(np.arange(49.0), "u10", "m s**-1", axis="valid_time", GRIB_stepType="instant").to_netcdf(tmp_path / "i.nc")
    gridded(daylight(), "ssrd", "J m**-2", axis="valid_time", GRIB_stepType="accum").to_netcdf(tmp_path / "a.nc")
    with zipfile.ZipFile(tmp_path / "era5.nc", "w") as container:
        container.write(tmp_path / "i.nc", "data_stream-oper_stepType-instant.nc")
        container.write(tmp_path / "a.nc", "data_stream-oper_stepType-accum.nc")
    found = open_fields(tmp_path / "era5.nc").sample(HOURS, *PLACE)
    np.testing.assert_allclose(found.u10[:, 0], np.arange(48) + 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.ssrd[:, 0], daylight()[1:] / 3600, rtol=1e-6)


def test_accumulations_of_a_day_are_refused(tmp_path):
    """ERA5-Land's: they never fall from 01 to 24 UTC, and at 00 stands the sum of the day before."""
    added = np.concatenate([[9e6], np.cumsum(daylight()[1:].reshape(2, 24), axis=1).ravel()])
    gridded(added, "ssrd", "J m**-2", GRIB_paramId=169).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match="adds up from 00 UTC"):
        open_fields(tmp_path / "a.nc")


def test_means_of_merra2_end_half_an_hour_after_their_stamp(tmp_path):
    """A collection of means in one file a day; what is instantaneous in another collection is averaged."""
    for day in range(2):
        middle = TIME[24 * day:24 * day + 24] + np.timedelta64(30, "m")
        means = gridded(np.arange(24.0) + 24 * day, "U10M", "m s-1", middle)
        means.assign_attrs(ShortName="M2T1NXSLV").to_netcdf(tmp_path / f"means{day}.nc4")
    gridded(np.arange(49.0), "V10M", "m s-1").assign_attrs(ShortName="M2I1NXASM").to_netcdf(tmp_path / "inst.nc4")
    found = open_fields(tmp_path).sample(HOURS, *PLACE)
    assert found.u10[:, 0].values.tolist() == np.arange(48.0).tolist()
    assert found.v10[:, 0].values.tolist() == (np.arange(48.0) + 0.5).tolist()


def test_optical_depth_every_three_hours(tmp_path):
    """As of MACC: instants joined by lines; by its name, with units that say nothing."""
    gridded(np.arange(0.0, 1.7, 0.1)[:17], "aod550", "~", TIME[::3]).to_netcdf(tmp_path / "a.nc")
    found = open_fields(tmp_path / "a.nc").sample(HOURS, *PLACE)
    np.testing.assert_allclose(found.aod[:, 0], (np.arange(48) + 0.5) * 0.1 / 3, rtol=1e-5)


def test_a_wind_at_several_heights(tmp_path):
    """By standard name: the level nearest to 10 m, which is told where it is not 10 m; none near it is not read."""
    values = np.broadcast_to(np.array([8.0, 30.0, 100.0])[None, :, None, None], (49, 3, 3, 3))
    data = xr.Dataset({"UGRD": (("time", "height", "lat", "lon"), values, {
        "units": "m/s", "standard_name": "eastward_wind", "cell_methods": "time: mean"})},
        coords={"time": TIME, "lat": LAT, "lon": LON, "height": ("height", [8.0, 30.0, 100.0], {"units": "m"})})
    data.to_netcdf(tmp_path / "a.nc")
    source = open_fields(tmp_path / "a.nc")
    assert (source.sample(TIME, *PLACE).u10 == 8.0).all() and "UGRD at 8 m stands for u10" in source.notes()[0]
    data.assign_coords(height=("height", [200.0, 300.0, 400.0], {"units": "m"})).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(UserError, match="has no field that is known"):
        open_fields(tmp_path / "b.nc")
    data.isel(height=2).assign_coords(height=((), 500.0, {"units": "m"})).to_netcdf(tmp_path / "d.nc")
    with pytest.raises(UserError, match="has no field that is known"):
        open_fields(tmp_path / "d.nc")
    two = data.isel(height=0, drop=True)
    two.assign(other=two.UGRD).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(UserError, match="several variables of eastward_wind: UGRD, other"):
        open_fields(tmp_path / "c.nc")


def test_what_is_damaged_or_on_another_grid_is_named(tmp_path):
    gridded(np.zeros(49), "u10", "m s-1").to_netcdf(tmp_path / "a.nc")
    (tmp_path / "b.nc").write_bytes((tmp_path / "a.nc").read_bytes()[:3000])
    with pytest.raises(UserError, match="b.nc can't be read"):
        open_fields(tmp_path)
    gridded(np.zeros(49), "v10", "m s-1").assign_coords(longitude=LON + 0.25).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(UserError, match="lie on different grids"):
        open_fields(tmp_path)
    with pytest.raises(UserError, match="no fields at"):
        open_fields(tmp_path / "nothing")


def test_grib_without_its_extra_names_it(tmp_path, monkeypatch):
    (tmp_path / "a.grib").write_bytes(b"GRIB" + bytes(100))
    monkeypatch.setitem(sys.modules, "cfgrib", None)  # an ImportError
    with pytest.raises(UserError, match=r"pip install 'aqreanalysis\[grib\]'"):
        open_fields(tmp_path / "a.grib")


@pytest.mark.skipif(importlib.util.find_spec("cfgrib") is None, reason="the extra grib is not installed")
def test_grib_is_read_as_netcdf_is(tmp_path):
    """Messages written with ecCodes: an instant each hour, north first."""
    eccodes = pytest.importorskip("eccodes")
    with (tmp_path / "a.grib").open("wb") as file:
        for hour in range(4):
            message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
            for key, value in {"Ni": 3, "Nj": 3, "latitudeOfFirstGridPointInDegrees": 38, "dataDate": 20190101,
                               "latitudeOfLastGridPointInDegrees": 36, "longitudeOfFirstGridPointInDegrees": 114,
                               "longitudeOfLastGridPointInDegrees": 116, "iDirectionIncrementInDegrees": 1,
                               "jDirectionIncrementInDegrees": 1, "dataTime": 100 * hour, "paramId": 165,
                               "bitsPerValue": 24}.items():
                eccodes.codes_set(message, key, value)
            values = 0.5 * hour + np.repeat(LAT[::-1], 3) + 0.1 * np.tile(LON, 3)
            eccodes.codes_set_values(message, values)
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)
    found = open_fields(tmp_path / "a.grib").sample(TIME[1:4], 36.5, 115.25)
    np.testing.assert_allclose(found.u10[:, 0], 0.5 * (np.arange(3) + 0.5) + 36.5 + 11.525, rtol=1e-5)
