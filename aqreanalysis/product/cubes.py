"""Opening a finished product: all its months or years as one Dataset."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.product.folder import read

FREQUENCIES = ("hourly", "daily")


def open_product(path: str | Path, frequency: str = "hourly") -> xr.Dataset:
    """The hours or days of a product, NetCDF or Zarr, read as they are asked for.

    Parameters
    ----------
    path : folder of a product.
    frequency : "hourly" or "daily".

    Returns
    -------
    Dataset (time, lat, lon) or, of a list of points, (time, station), with bounds and grid mapping as coordinates. The
    distance to the nearest station of a NetCDF product is that of its first month.

    Raises
    ------
    UserError : where the folder holds no product, or not these files.
    """
    folder = Path(path).expanduser()
    if frequency not in FREQUENCIES:
        raise UserError(
            f"The frequency {frequency!r} is unknown.",
            f"A product has {' and '.join(FREQUENCIES)} means.",
            "Give one of the two.",
        )
    if not folder.is_dir() or read(folder) is None:
        raise UserError(
            f"{folder} is no product.",
            "A product is a folder with run.json that `aqreanalysis build` made.",
            "Give the folder's name.",
        )
    if stores := sorted(folder.glob(f"*pm25_{frequency}_*.zarr")):
        return xr.open_zarr(stores[0], decode_coords="all")
    files = sorted(folder.glob(f"*pm25_{frequency}_*.nc"))
    if not files:
        raise UserError(
            f"{folder} has no {frequency} files.",
            "A finished product has them.",
            "Run the command that made it again: it resumes what was interrupted.",
        )
    return xr.open_mfdataset(
        files,
        combine="nested",
        concat_dim="time",
        decode_coords="all",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
