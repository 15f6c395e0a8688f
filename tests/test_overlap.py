"""Averaging to coarser cells by area: closed forms, and CDO's remapcon."""

import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr

from aqreanalysis.grids.overlap import Axes, Overlap


def axes(west, east, nx, south, north, ny) -> Axes:
    lon, lat = np.linspace(west, east, nx + 1), np.linspace(south, north, ny + 1)
    return Axes(np.stack([lat[:-1], lat[1:]], 1), np.stack([lon[:-1], lon[1:]], 1))


def test_a_field_whose_mean_over_a_cell_is_known():
    """The mean by area of longitude plus the sine of latitude is that of the middle longitude and of both edges' sines.
    """
    fine, coarse = axes(100, 110, 100, 30, 40, 130), axes(100, 110, 5, 30, 40, 13)
    sines = np.sin(np.radians(fine.lat)).mean(axis=1)
    found, share = Overlap.between(fine, coarse).mean(fine.lon.mean(axis=1)[None] + sines[:, None])
    expected = np.array([101, 103, 105, 107, 109.0])[None] + np.sin(np.radians(coarse.lat)).mean(axis=1)[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(share, 1.0, rtol=1e-12)


def test_missing_cells_have_no_weight_and_half_a_cell_is_needed():
    """Two columns of three, one missing: the mean is of the others; where less than half is there, none."""
    fine, coarse = axes(0, 4, 4, 0, 1, 1), axes(0, 4, 1, 0, 1, 1)
    overlap = Overlap.between(fine, coarse)
    mean, share = overlap.mean(np.array([[1.0, 2.0, 6.0, np.nan]]))
    assert mean[0, 0] == pytest.approx(3.0) and share[0, 0] == pytest.approx(0.75)
    assert overlap.mean(np.array([[1.0, np.nan, 6.0, np.nan]]))[0][0, 0] == pytest.approx(3.5)
    assert np.isnan(overlap.mean(np.array([[1.0, np.nan, np.nan, np.nan]]))[0][0, 0])
    beyond, share = Overlap.between(fine, axes(3, 7, 1, 0, 1, 1)).mean(np.ones((1, 4)))
    assert np.isnan(beyond[0, 0]) and share[0, 0] == pytest.approx(0.25)


@pytest.mark.parametrize("target", [(106, 116, 13, 30, 39, 12), (106.03, 115.53, 40, 30.07, 38.57, 34)])
def test_as_cdo_remaps(tmp_path, target):
    """Relative 1e-6 beside remapcon, with gaps, onto coarser cells and onto such as share no edge."""
    if shutil.which("cdo") is None:
        pytest.skip("cdo is not installed")
    rng = np.random.default_rng(3)
    fine, coarse = axes(106, 116, 100, 30, 39, 90), axes(*target)
    field = rng.gamma(2.0, 30.0, fine.shape)
    field[rng.random(fine.shape) < 0.1] = np.nan
    lat, lon = fine.centres()
    attrs = [{"units": f"degrees_{of}", "standard_name": name} for of, name in (("north", "latitude"),
                                                                              ("east", "longitude"))]
    cube = xr.Dataset({"v": (("lat", "lon"), field)}, {"lat": ("lat", lat, attrs[0]), "lon": ("lon", lon, attrs[1])})
    cube.to_netcdf(tmp_path / "in.nc", engine="netcdf4")
    to_lat, to_lon = (values.tolist() for values in coarse.centres())
    (tmp_path / "grid.txt").write_text(
        f"gridtype = lonlat\nxsize = {len(to_lon)}\nysize = {len(to_lat)}\nxfirst = {to_lon[0]}\n"
        f"xinc = {to_lon[1] - to_lon[0]}\nyfirst = {to_lat[0]}\nyinc = {to_lat[1] - to_lat[0]}\n")
    done = subprocess.run(["cdo", "-s", "-b", "F64", f"remapcon,{tmp_path / 'grid.txt'}", tmp_path / "in.nc",
                           tmp_path / "out.nc"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(tmp_path / "out.nc", engine="netcdf4") as file:
        theirs = file.v.values
    ours, share = Overlap.between(fine, coarse).mean(field)
    assert np.array_equal(np.isfinite(ours), share >= 0.5) and np.isfinite(ours).mean() > 0.98
    np.testing.assert_allclose(ours[share >= 0.5], theirs[share >= 0.5], rtol=1e-6)
