"""Opening a finished product: all its months or years as one Dataset."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.product.folder import record_of

FREQUENCIES = ("hourly", "daily")


def open_product(path: str | Path, frequency: str = "hourly") -> xr.Dataset:
    """The hours or days of a product, in any format, read as they are asked for.

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
    record = record_of(folder) if folder.is_dir() else None
    if record is None:
        raise UserError(
            f"{folder} is no product.",
            "A product is a folder with run.json that `aqreanalysis build` made.",
            "Give the folder's name.",
        )
    files_of = record.folder.file_format
    paths = sorted(folder.glob(f"*pm25_{frequency}_*{files_of.suffix}"))
    if not paths:
        raise UserError(
            f"{folder} has no {frequency} files.",
            "A finished product has them.",
            "Run the command that made it again: it resumes what was interrupted.",
        )
    parts = [files_of.open_dataset(path, chunks={}, decode_coords="all") for path in paths]
    if len(parts) == 1:
        return parts[0]
    return xr.combine_nested(
        parts,
        "time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
