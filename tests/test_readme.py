"""What README and docs/products.md tell to type opens a product as they say, and without a warning."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from aqreanalysis import schema, time_axis
from aqreanalysis.product import report
from aqreanalysis.product.plan import BuildRequest
from aqreanalysis.workflows.build import build

ROOT = Path(__file__).resolve().parents[1]
IN_DOCS = "products/northern-china_2019_0.1deg"
CHECKS = """
assert cube.pm25.dims == ("time", "lat", "lon") and cube.sizes["time"] == 48, cube
fixed = ("crs", "lat_bnds", "lon_bnds", "height", "distance_to_nearest_station")
assert all("time" not in cube[name].dims for name in fixed), cube
assert {"time_bnds", *fixed} <= set(cube.coords), cube
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with products of two days in two months as the pages name them; the months' distances differ."""
    folder = tmp_path_factory.mktemp("readme")
    hours = time_axis.complete_hours("2019-01-30T00", "2019-02-02T00")
    cube = schema.mock_station_cube(hours=len(hours), stations=8).assign_coords(time=hours)
    rows = cube[["pm25"]].to_dataframe().reset_index().rename(columns={"station": "station_id"})
    rows["time"] = rows["time"].dt.tz_localize("UTC")
    rows.to_parquet(folder / "observed.parquet", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_maps", lambda plan, workers: [])
        patch.setattr(report.page, "hidden_charts", lambda folder, model: [])
        for name, kind in (("january", "netcdf"), ("zarr", "zarr")):
            build(BuildRequest(start="2019-01-31", end="2019-02-01", grid="1deg", checkpoint="nearest", format=kind,
                               observations=str(folder / "observed.parquet"), out=str(folder / name), workers=1))
    with netCDF4.Dataset(folder / "january" / "pm25_hourly_201902.nc", "a") as file:
        file["distance_to_nearest_station"][:] += 1
    shutil.copytree(folder / "january", folder / IN_DOCS)
    (store,) = (folder / "zarr").glob("pm25_hourly_*.zarr")
    store.rename(folder / IN_DOCS / "pm25_hourly_2019.zarr")
    return folder


def blocks(page):
    return [block for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
            if "cube = " in block]


def test_a_product_opens_as_the_pages_say_without_a_warning(made):
    """Each block of each page with variables of its own, all in one process; its traceback names the page."""
    pages, run = {"README.md": 2, "docs/products.md": 1}, ""
    for page, number in pages.items():
        assert len(blocks(page)) == number
        for code in blocks(page):
            code += CHECKS
            if "store = " in code:
                code += CHECKS.replace("cube", "store").replace(', "distance_to_nearest_station"', "")
            if "trusted = " in code:
                code += "assert trusted.notnull().any() and beijing.notnull().all() and beijing.dims == ('time',)\n"
            run += f"exec(compile({code!r}, {page!r}, 'exec'), {{}})\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", run], cwd=made, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_the_line_for_one_file_is_right(made):
    (line,) = re.findall(r'python -c "(.*xarray.*)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, "-W", "error", "-c", line], cwd=made, capture_output=True, text=True)
    assert done.returncode == 0 and "time_bnds" in done.stdout.split("Data variables")[0], done.stderr
    assert np.all([name in done.stdout for name in ("pm25_standard_error", "quality_flag")])
