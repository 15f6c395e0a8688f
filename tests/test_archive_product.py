"""A product of the real archive, a haze episode, under independent eyes; and scores at withheld stations."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis import time_axis, workers
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.product.plan import BuildRequest
from aqreanalysis.workflows.build import build
from aqreanalysis.workflows.evaluate_analysis import evaluate

pytestmark = pytest.mark.archive


@pytest.fixture(scope="module")
def product(archive_path, tmp_path_factory):
    """Three days of January 2019 at 0.25 degree, with a contact, which ACDD asks for."""
    recipe = tmp_path_factory.mktemp("recipe") / "mine.yaml"
    recipe.write_text("name: mine\ncontact:\n  name: A group\n  type: group\n  email: a@b.c\n  url: https://b.c\n"
                      "  institution: An institute\n")
    return build(BuildRequest(start="2019-01-11", end="2019-01-13", grid="0.25deg", recipe=str(recipe),
                              out=str(tmp_path_factory.mktemp("product") / "x"),
                              observations=str(archive_path / "cnemc-2019")))


def tool(*command):
    """What a tool prints. In the checks on real files no tool may be missing."""
    assert shutil.which(command[0]), f"{command[0]} is not installed (Debian: cdo, gdal-bin, netcdf-bin)"
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_real_files_say_nothing_of_simulation(product):
    names = sorted(path.name for path in product.glob("*.nc"))
    assert names == ["pm25_daily_2019.nc", "pm25_hourly_201901.nc", "validation.nc"]
    for name in names:
        with xr.open_dataset(product / name) as file:
            assert file.attrs["simulated"] == "false" and "SIMULATED" not in str(file.attrs)


@pytest.mark.parametrize("convention", ["cf:1.11", "acdd:1.3"])
@pytest.mark.parametrize("name", ["pm25_daily_2019.nc", "pm25_hourly_201901.nc"])
def test_the_checker_passes_strictly(product, tmp_path, name, convention):
    checker = Path(sys.executable).parent / "compliance-checker"
    done = subprocess.run([checker, "--test", convention, "--criteria", "strict", product / name],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "All tests passed" in done.stdout, done.stdout


def test_other_readers_open_it(product):
    hourly = product / "pm25_hourly_201901.nc"
    assert "2019-01-10 17:00:00" in tool("cdo", "sinfo", hourly)
    assert "pm25" in tool("gdalinfo", hourly)
    assert 'pm25:units = "ug m-3"' in tool("ncdump", "-h", hourly)


def test_cdo_makes_our_days(product, tmp_path):
    tool("cdo", "-s", "daymean", "-shifttime,7hour", "-selname,pm25", product / "pm25_hourly_201901.nc",
         tmp_path / "d.nc")
    with xr.open_dataset(tmp_path / "d.nc") as theirs, xr.open_dataset(product / "pm25_daily_2019.nc") as ours:
        np.testing.assert_allclose(ours.pm25.values, theirs.pm25.values, rtol=2 * 2.0**-11)


def test_city_means_of_the_days_are_near_what_the_stations_read(product, archive_path):
    """Hand calculation: the mean over a city's stations and hours, against the cells that they lie in."""
    archive = open_archive(archive_path / "cnemc-2019")
    hours = time_axis.hours_of_days(pd.Timestamp("2019-01-11").date(), pd.Timestamp("2019-01-13").date())
    raw = archive.read(hours[0], hours[-1]).pm25
    with xr.open_dataset(product / "pm25_daily_2019.nc") as file:
        mean = file.pm25.mean("time").load()
    english = pd.read_csv(archive_path / "cnemc-2019" / "stations.csv").set_index("station_id").city_en
    for city in ("Beijing", "Tianjin", "Shijiazhuang", "Zhengzhou"):
        table = archive.stations[(english.loc[archive.stations.station_id] == city).to_numpy()]
        observed = float(raw.sel(station=list(table.station_id)).mean())
        ours = float(mean.sel(lat=xr.DataArray(table.lat), lon=xr.DataArray(table.lon), method="nearest").mean())
        assert ours == pytest.approx(observed, rel=0.15), city


def test_aqnet_is_better_than_kriging_at_stations_its_network_never_saw(archive_path):
    """By the hour, in a month of haze, every station left out once; the year is in docs/accuracy.md."""
    result = evaluate(str(archive_path / "cnemc-2019"), time_axis.parse_period(None, "2019-01-04", "2019-01-31"),
                      workers=workers.available_cores(), quick=True, every_days=7)
    assert "each of them is estimated by the network of a fold that never saw it" in result.notes[0]
    table = result.table[(result.table.hours == "all") & (result.table.by == "all")]
    mae = table[table.frequency == "hourly"].pivot(index="group", columns="model", values="MAE")
    assert set(mae.index) == {"single stations", "whole cities"}
    assert (mae["AQ-Net"] < mae["kriging"]).all() and (mae["AQ-Net"] < mae["regression kriging"]).all(), mae
    assert (mae["kriging"] < mae["IDW"]).all() and (mae["IDW"] < mae["flat mean"]).all(), mae
