"""Real fields: sample files against xarray's own interpolation, and the clocks of the winds of Beijing."""

import numpy as np
import pytest
import xarray as xr

from aqreanalysis import open_fields
from aqreanalysis.time_axis import HOUR, complete_hours

pytestmark = pytest.mark.archive


def test_era5_of_the_old_store_is_what_xarray_makes_of_it(archive_path):
    """A packed month: instants averaged, accumulations of their hour, K and Pa as they are, m and J m-2 converted."""
    file = archive_path / "sample-fields" / "era5_oldcds_3x3_202012_normet.nc"
    with xr.open_dataset(file, engine="netcdf4") as stored:
        asked = stored.interp(latitude=51.6, longitude=-0.2).load()
    found = open_fields(file).sample(asked.time.values[1:], 51.6, -0.2)
    for name in ("u10", "v10", "t2m", "d2m", "sp", "blh", "tcc"):
        mean = 0.5 * (asked[name].values[:-1] + asked[name].values[1:])
        np.testing.assert_allclose(found[name][:, 0], mean, rtol=2e-6, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found.tp[:, 0], 1000 * asked.tp[1:], atol=1e-5)
    np.testing.assert_allclose(found.ssrd[:, 0], asked.ssrd[1:] / 3600, atol=1e-3)


@pytest.mark.parametrize("name, field, points", [
    ("era5_newcds_202509_mumbai.nc", "rh", (18.5, 72.3)), ("era5_oldcds_expver_dim_normet.nc", "u10", (41.6, -101.1)),
    ("M2T1NXAER.5.12.4_MERRA2_400.tavg1_2d_aer_Nx.20230101_TOTEXTTAU_subsetted.nc4", "aod", (28.0, 77.0)),
    ("macc_aod550_20121101_3deg_pvlib.nc", "aod", (40.0, -0.7))])
def test_each_sample_file_is_read(archive_path, name, field, points):
    """Known in the hours that it covers; the last hour of the file with expver as a dimension is a preliminary one."""
    source = open_fields(archive_path / "sample-fields" / name)
    first, last = source.period()
    found = source.sample(np.array([last]), *points)[field]
    assert np.isfinite(found).all() and first < last


def test_the_winds_of_beijing_are_on_one_clock(archive_path):
    """Gridded instants, UCI's local stamps and the trajectories' UTC hours agree best within an hour of each other."""
    wind = open_fields(archive_path / "beijing-wind-2013-2018")
    for other, hours, least in (
            ("beijing-grid-weather-2018", complete_hours("2018-03-31T08", "2018-04-30T20"), 0.75),
            ("uci-beijing", complete_hours("2014-01-01T00", "2015-12-31T00"), 0.4)):
        here = open_fields(archive_path / other).sample(hours, 39.93, 116.42, ("u10", "v10"))
        known = np.isfinite(here.u10.values[:, 0])
        for name in ("u10", "v10"):
            found = {}
            for lag in (-8, -4, -1, 0, 1, 4, 8):
                there = wind.sample(hours + lag * HOUR, 39.93, 116.42, (name,))[name].values[:, 0]
                both = known & np.isfinite(there)
                found[lag] = np.corrcoef(here[name].values[both, 0], there[both])[0, 1]
            assert abs(max(found, key=found.get)) <= 1 and found[0] > least, (other, name, found)
