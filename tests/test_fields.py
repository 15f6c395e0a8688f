"""Gridded fields: small files in the layouts of the data stores, values by hand and from closed forms."""


import netCDF4
import numpy as np
import pytest
import xarray as xr

from aqreanalysis import open_fields, schema
from aqreanalysis.errors import UserError
from aqreanalysis.fields.sampling import sample_fields
from aqreanalysis.fields.variables import conversion, wind_components

LAT, LON = np.arange(36.0, 41.0, 0.5), np.arange(112.0, 118.0, 0.5)
START = np.datetime64("2019-01-01T00", "ns")


def stamps(hours, step=1, start=START):
    return start + np.arange(0, hours, step) * np.timedelta64(1, "h")


def plane(hours, lat, lon):
    """3 + 0.5 lat - 0.25 lon + 0.1 h at instants h: linear in all three, so that what is read is known exactly."""
    return (3.0 + 0.5 * lat[None, :, None] - 0.25 * lon[None, None, :] + 0.1 * hours[:, None, None])


def era5(path, hours=48, lat=LAT[::-1], lon=LON, names=("u10", "v10"), step=1, start=START, time="valid_time",
         packed=False, values=plane):
    """A file as the new data store gives it; with time="time" and packed as the old one did."""
    since = ((stamps(hours, step, start) - START) / np.timedelta64(1, "h")).astype(float)
    data = {name: ((time, "latitude", "longitude"), values(since, lat, lon),
                   {"units": "m s**-1", "GRIB_paramId": 165}) for name in names}
    dataset = xr.Dataset(data, coords={time: stamps(hours, step, start), "latitude": lat, "longitude": lon})
    how = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 0.0, "_FillValue": -32767}
    dataset.to_netcdf(path, encoding={name: how for name in names} if packed else None)
    return path


PLACES = np.array([36.2, 38.0, 40.499]), np.array([112.7, 115.0, 117.25])


def expected(hours, lat=PLACES[0], lon=PLACES[1]):
    """The mean over the hours that end at `hours` of the plane: its value half an hour before."""
    return 3.0 + 0.5 * lat[None] - 0.25 * lon[None] + 0.1 * (np.asarray(hours)[:, None] - 0.5)


@pytest.mark.parametrize("how", [
    {}, {"lat": LAT}, {"time": "time", "packed": True}, {"step": 3}, {"lon": LON - 360.0}], ids=str)
def test_a_linear_field_is_read_exactly(tmp_path, how):
    """Whatever the order of latitudes, the packing, the step and the count of longitudes: bilinear in space, and in
    time the mean of the instants at both ends of the hour."""
    shift = 360.0 if "lon" in how else 0.0
    of = {"values": lambda h, lat, lon: plane(h, lat, lon + shift)}
    found = open_fields(era5(tmp_path / "a.nc", **how, **of)).sample(stamps(46)[1:], *PLACES)
    assert found.u10.dims == ("time", "point") and found.u10.dtype == np.float32
    np.testing.assert_allclose(found.u10, expected(np.arange(1, 46)), atol=6e-4 if "packed" in how else 2e-5)


def test_longitudes_across_the_origin(tmp_path):
    """On a grid round the whole earth from 0 to 359.25 a place at -0.3 lies between its last and its first column."""
    lon = np.arange(0, 360, 0.75)
    file = era5(tmp_path / "a.nc", hours=3, lon=lon, lat=LAT[:3],
                values=lambda h, lat, lon: np.broadcast_to(np.cos(np.radians(lon)), (3, 3, lon.size)))
    found = open_fields(file).sample(stamps(2)[1:], [36.5] * 3, [-0.3, 359.7, 0.3]).u10.values[0]
    between = 1 - 0.4 * (1 - np.cos(np.radians(0.75)))
    np.testing.assert_allclose(found, between, rtol=1e-6)


def test_places_are_independent_of_each_other(tmp_path):
    """A place has the same bytes alone, among others, and out of what a model is handed for a larger area."""
    source = open_fields(era5(tmp_path / "a.nc"))
    hours = stamps(30)[1:]
    together = source.sample(hours, *PLACES)
    handed = source.read(hours, ("u10", "v10"), LAT, LON[[0, -1]])
    assert schema.check_fields(handed, ("u10",)) is handed and (np.diff(handed.lat) > 0).all()
    for place in range(3):
        alone = source.sample(hours, PLACES[0][place], PLACES[1][place])
        assert np.array_equal(alone.u10.values[:, 0], together.u10.values[:, place])
    assert sample_fields(handed, hours, *PLACES).u10.equals(together.u10)


@pytest.mark.parametrize("form", ["dimension", "scalar", "strings"])
def test_expver_in_its_three_forms(tmp_path, form):
    """The final value is taken where there is one, else the preliminary one; that hours are preliminary is told."""
    final = np.arange(48) < 30
    values = plane(np.arange(48.0), LAT, LON).astype(np.float32)
    if form == "dimension":
        both = np.stack([np.where(of[:, None, None], values, np.nan) for of in (final, ~final)], 1)
        data = xr.Dataset({"u10": (("time", "expver", "latitude", "longitude"), both, {"units": "m s**-1"})},
                          coords={"time": stamps(48), "expver": [1, 5], "latitude": LAT, "longitude": LON},
                          attrs={"history": "by grib_to_netcdf"})
    else:
        kinds = np.where(final, "0001", "0005") if form == "strings" else "0005"
        data = xr.Dataset({"u10": (("valid_time", "latitude", "longitude"), values, {"units": "m s**-1"})},
                          coords={"valid_time": stamps(48), "latitude": LAT, "longitude": LON, "number": 0,
                                  "expver": ("valid_time", kinds.astype(object)) if form == "strings" else kinds})
    data.to_netcdf(tmp_path / "a.nc")
    source = open_fields(tmp_path / "a.nc")
    np.testing.assert_allclose(source.sample(stamps(48)[1:], *PLACES).u10, expected(np.arange(1, 48)), atol=2e-5)
    assert ("preliminary" in " ".join(source.notes())) is (form != "scalar")


def test_holes_and_ends_are_told(tmp_path):
    """A missing instant leaves the two hours that touch it unknown; what is read before and after it is not bridged."""
    era5(tmp_path / "a.nc", hours=10)
    era5(tmp_path / "b.nc", hours=10, start=START + np.timedelta64(11, "h"))
    source = open_fields(tmp_path)
    check = source.check(START, stamps(24)[-1], [38.0, 45.0], [115.0, 115.0], ["u10"])
    assert check.missing_hours() == ("6 hours (2019-01-01 00:00, 2019-01-01 10:00 to 2019-01-01 11:00, "
                                     "2019-01-01 21:00 to 2019-01-01 23:00 UTC) everywhere")
    assert check.outside.tolist() == [False, True]
    found = source.sample(stamps(24), *PLACES).u10.values
    assert np.array_equal(np.isnan(found).all(axis=1), np.isin(np.arange(24), [0, 10, 11, 21, 22, 23]))
    assert tuple(str(of)[:13] for of in source.period()) == ("2019-01-01T01", "2019-01-01T20")


def test_fingerprints_are_of_contents(tmp_path):
    """The same bytes elsewhere have the same, one other value another; files outside the hours do not count."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        era5(folder / "a.nc")
    (other / "a.nc").rename(other / "renamed.nc")
    era5(other / "later.nc", start=START + np.timedelta64(40, "D"))
    asked = START, START + np.timedelta64(2, "D")
    assert open_fields(one).fingerprint(*asked) == open_fields(other).fingerprint(*asked)
    with netCDF4.Dataset(one / "a.nc", "r+") as file:
        file["u10"][3, 0, 0] += 0.5
    assert open_fields(one).fingerprint(*asked) != open_fields(other).fingerprint(*asked)


def test_units_are_converted_or_refused(tmp_path):
    """By hand: 10 degC, 1013 hPa, 36 km h-1, 0.5; what is unknown, and what air can't be, is an error."""
    for name, units, value, wanted in (("t2m", "degC", 10.0, 283.15), ("sp", "hPa", 1013.0, 101300.0),
                                       ("u10", "km h-1", 36.0, 10.0), ("rh", "1", 0.5, 50.0),
                                       ("tp", "kg m-2 s-1", 1.0 / 3600, 1.0),
                                       ("ssrd", "J m**-2", 3600.0, 1.0), ("tcc", "(0 - 1)", 1.0, 1.0)):
        assert conversion(name, units, "f")(np.float32(value)) == pytest.approx(wanted, rel=1e-6)
    for units in ("furlong", None):
        with pytest.raises(UserError, match="Boundary|is read in"):
            conversion("blh", units, "f")
    data = xr.Dataset({"t2m": (("time", "lat", "lon"), np.full((4, 3, 3), 12.0), {"units": "K"})},
                      coords={"time": stamps(4), "lat": LAT[:3], "lon": LON[:3]})
    data.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UserError, match="t2m is 12 K"):
        open_fields(tmp_path / "a.nc").check(START, stamps(3)[-1], 36.2, 112.2)


def test_wind_of_speed_and_direction():
    """A wind FROM the east blows to the west."""
    u, v = wind_components(np.array([3.0, 2.0, 0.0]), np.array([90.0, 180.0, np.nan]))
    np.testing.assert_allclose([u, v], [[-3.0, 0.0, 0.0], [0.0, 2.0, 0.0]], atol=1e-12)
