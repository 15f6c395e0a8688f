"""The twin's weather: the wind that its air goes with, an optical depth of its truth, the same bytes anywhere."""

import numpy as np
import pytest

from aqreanalysis import open_fields
from aqreanalysis.simulation import Twin
from aqreanalysis.simulation.air import Wind, hour_index
from aqreanalysis.simulation.land import plane
from aqreanalysis.simulation.weather import TwinFields
from aqreanalysis.time_axis import complete_hours, parse_period
from aqreanalysis.workflows.simulate import write_fields

HOURS = complete_hours("2016-01-01T00", "2016-01-09T23")
EVERYWHERE = np.array([28.0, 44.0]), np.array([105.0, 126.0])


@pytest.fixture(scope="module")
def twin():
    return TwinFields(0)


@pytest.fixture(scope="module")
def week(twin):
    return twin.read(HOURS, twin.stored, *EVERYWHERE)


def test_the_wind_is_the_one_that_carries_the_air(twin):
    """In m s-1, half an hour before the stamp; between points of the grid to within what half a degree leaves."""
    lat, lon = np.array([39.9, 33.27]), np.array([116.4, 110.1])
    found = twin.sample(HOURS, lat, lon, ("u10", "v10"))
    x, y = (np.broadcast_to(of.astype(np.float32), (HOURS.size, 2)) for of in plane(lat, lon))
    u, v = Wind(0).at(x, y, hour_index(HOURS) - 0.5)
    np.testing.assert_allclose(found.u10, u / 3.6, atol=0.05)
    np.testing.assert_allclose(found.v10, v / 3.6, atol=0.05)


def test_the_optical_depth_is_the_column_of_the_truth_where_no_cloud_is(week):
    """Two thirds are hidden. The rest follows PM2.5 times mixing height, grown by humidity, to within its noise."""
    hidden = np.isnan(week.aod.values)
    assert 0.55 < hidden.mean() < 0.78
    lat, lon = np.meshgrid(week.lat, week.lon, indexing="ij")
    truth = Twin(0).truth(HOURS[:24], lat.ravel(), lon.ravel()).reshape(24, *lat.shape)
    day = week.isel(time=slice(0, 24))
    column = 4e-6 * truth * day.blh.values * ((1 - np.minimum(day.rh.values / 100, 0.95)) / 0.6) ** -0.6 + 0.08
    ratio = np.log(day.aod.values / column)[~hidden[:24]]
    assert abs(ratio.mean()) < 0.01 and ratio.std() == pytest.approx(0.12, rel=0.05)


def test_an_optical_depth_that_lies_is_high_where_the_air_is_clean(twin, week):
    """Under the same clouds; the weather is the same."""
    lies = TwinFields(0, lies=True).read(HOURS[:24], ("aod", "blh"), *EVERYWHERE)
    honest = week.isel(time=slice(0, 24))
    known = np.isfinite(honest.aod.values)
    assert np.array_equal(known, np.isfinite(lies.aod.values)) and lies.blh.equals(honest.blh)
    assert np.corrcoef(np.log(honest.aod.values[known]), np.log(lies.aod.values[known]))[0, 1] < -0.99
    assert TwinFields(0, lies=True).fingerprint(*HOURS[[0, -1]]) != twin.fingerprint(*HOURS[[0, -1]])


def test_a_window_a_file_and_another_process_have_the_same_bytes(twin, week, tmp_path):
    window = twin.read(HOURS[30:60], twin.stored, *EVERYWHERE)
    assert window.equals(week.isel(time=slice(30, 60)))
    period = parse_period(None, "2016-01-05", "2016-01-05")
    list(write_fields(period, tmp_path, seed=0))
    source = open_fields(tmp_path)
    assert source.simulated and set(source.stored) == set(twin.stored)
    stored = source.read(period.hours, source.stored, *EVERYWHERE)
    asked = week.sel(time=period.hours)
    assert all(np.array_equal(stored[name], asked[name], equal_nan=True) for name in source.stored)
    other = TwinFields(1).read(HOURS[:2], ("u10",), *EVERYWHERE)
    assert not np.array_equal(other.u10, week.u10[:2])


def test_the_sky_goes_with_the_hour(week):
    """Sun from 6 to 18 h local time at most, mixing height and temperature highest in the afternoon."""
    by_hour = week.groupby("time.hour").mean()
    local = (by_hour.hour.values + 8) % 24
    mean = by_hour.mean(("lat", "lon"))
    assert set(local[mean.ssrd.values > 50]) <= set(range(7, 20)) and mean.ssrd.max() > 150
    for name, hours in (("t2m", {14, 15, 16}), ("blh", {12, 13, 14})):
        assert int(local[np.argmax(mean[name].values)]) in hours
