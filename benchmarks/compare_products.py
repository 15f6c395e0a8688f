"""Whether two products hold the same numbers: `python benchmarks/compare_products.py ONE OTHER [--except NAME,...]`.

ONE and OTHER are product folders, in NetCDF or Zarr, of one period and grid. Every data variable of every hourly, daily
and truth cube is compared bit by bit, NaN with NaN; a variable that differs is named with how many values differ and by
how much. Exit code 1 where one does that is not among `--except`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import xarray as xr

CUBES = ("pm25_hourly", "pm25_daily", "truth_hourly")


def cube(product: Path, name: str) -> xr.Dataset | None:
    """All steps of a kind of cube of a product; None where it has none."""
    stores = sorted(product.glob(f"*{name}_*.zarr"))
    if stores:
        return xr.open_dataset(stores[0], engine="zarr", chunks=None)
    files = sorted(product.glob(f"*{name}_*.nc"))
    if not files:
        return None
    parts = [xr.open_dataset(file) for file in files]
    return xr.concat([part.drop_vars([n for n in part.variables if "time" not in part[n].dims]) for part in parts],
                     "time", data_vars="all")


def differing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which values (same shape) are not the same bits; any NaN is as any other."""
    if one.dtype != other.dtype:  # whole numbers of other widths
        return one.astype(np.int64) != other.astype(np.int64)
    same = one.view(f"u{one.dtype.itemsize}") == other.view(f"u{other.dtype.itemsize}")
    return ~(same | ((one != one) & (other != other)))


def main() -> int:
    """Compare; a line for each variable."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--except", dest="allowed", default="", help="variables that may differ, by comma")
    options = parser.parse_args()
    wrong = False
    for name in CUBES:
        one, other = cube(options.one, name), cube(options.other, name)
        if (one is None) != (other is None):
            print(f"{name}: in one product only")
            wrong = True
        if one is None or other is None:
            continue
        for variable in [n for n in one.data_vars if not n.endswith("_bnds") and one[n].dims[:1] == ("time",)]:
            a, b = (np.ascontiguousarray(cube[variable].values) for cube in (one, other))
            differ = differing(a, b) if a.shape == b.shape else np.ones(a.shape, bool)
            if not differ.any():
                print(f"{name} {variable}: equal, {a.size:,} values")
                continue
            change = np.nanmax(np.abs(a[differ].astype(float) - b[differ])) if a.shape == b.shape else np.nan
            print(f"{name} {variable}: {differ.sum():,} of {a.size:,} values differ, by at most {change:g}")
            wrong |= variable not in options.allowed.split(",")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
