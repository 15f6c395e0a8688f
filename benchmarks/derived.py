"""Time and memory of every verb that makes something of a product: summarise, areas, exposure, export, compare.

    python benchmarks/derived.py PRODUCT --out FOLDER [--population FILE] [--only areas] [--other FOLDER] [--years 10]

Each command runs by itself with one worker. For each: seconds of the wall clock and of the processor, and the peak
memory of the largest of its processes, in MiB (`wait4`). Counties are stood in for by squares of 0.45 degree, some
2,000 km2. Without --population there is an even one of 0.05 degree. With --other, a folder for the days of another
product at 0.05 degree, written there from the product itself. With --years, of a product of a calendar year in NetCDF,
another one of so many years is made first: the same months again and again, with the time of each year; a 29 February
is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import open_product
from aqreanalysis.output import fingerprint
from aqreanalysis.product.folder import RECORD

SIDE = 0.45  # degrees
MIB = 1024.0  # of the kilobytes that Linux gives


def squares(path: Path, days: xr.Dataset) -> Path:
    """Squares over the whole grid, a GeoPackage."""
    import geopandas
    import shapely

    west, east, south, north = (float(of) for axis in (days.lon, days.lat) for of in (axis.min(), axis.max()))
    shapes = [shapely.box(x, y, x + SIDE, y + SIDE) for y in np.arange(south, north, SIDE)
              for x in np.arange(west, east, SIDE)]
    geopandas.GeoDataFrame({"name": [f"square {n}" for n in range(len(shapes))]}, geometry=shapes, crs=4326
                           ).to_file(path)
    return path


def even_people(path: Path, days: xr.Dataset) -> Path:
    """A hundred people in each cell of 0.05 degree."""
    lat, lon = (np.arange(float(axis.min()), float(axis.max()), 0.05) for axis in (days.lat, days.lon))
    xr.Dataset({"population": (("lat", "lon"), np.full((len(lat), len(lon)), 100.0), {"units": "people"})},
               {"lat": lat, "lon": lon}).to_netcdf(path)
    return path


def another(folder: Path, days: xr.Dataset) -> Path:
    """The product's days on a grid of half the step, a file each."""
    folder.mkdir(exist_ok=True)
    step = float(abs(days.lat[1] - days.lat[0])) / 2
    lat, lon = (np.arange(float(axis.min()), float(axis.max()), step) for axis in (days.lat, days.lon))
    for number in range(days.sizes["time"]):
        day = days.pm25.isel(time=[number]).load()
        name = str((day.time.values[0] - np.timedelta64(1, "h")).astype("datetime64[D]"))
        fine = day.interp(lat=lat, lon=lon).astype(np.float32).rename("pm25").reset_coords(drop=True)
        fine.attrs |= {"units": "ug m-3"}
        path = folder / f"other_{name}.nc"
        if not path.exists():
            fine.assign_coords(time=[np.datetime64(name, "ns")]).to_netcdf(path)
    return folder


def lengthened(product: Path, folder: Path, years: int) -> Path:
    """A product of years that end with that of `product`, of its months; truth and pictures are left out."""
    record = json.loads((product / RECORD).read_text(encoding="utf-8"))
    last = int(record["identity"]["period"])
    folder.mkdir(parents=True)
    months, days = {}, {}
    for year in range(last - years + 1, last + 1):
        hours = int((np.datetime64(f"{last}-01-01", "h") - np.datetime64(f"{year}-01-01", "h")).astype(int))

        def moved(noted: dict, year: int = year, hours: int = hours) -> dict:
            names = [name for name in noted["files"] if "truth" not in name and "/" not in name]
            return noted | {"files": {name.replace(str(last), str(year)): _moved(
                product / name, folder / name.replace(str(last), str(year)), hours) for name in names}}

        months |= {label.replace(str(last), str(year)): moved(noted) for label, noted in record["months"].items()}
        days[str(year)] = moved(record["days"][str(last)])
    record["identity"]["period"] = f"{last - years + 1}0101-{last}1231"
    (folder / RECORD).write_text(json.dumps(record | {"months": months, "days": days, "files": {}}), encoding="utf-8")
    return folder


def _moved(source: Path, path: Path, hours: int) -> dict:
    """A copy whose stamps are so many hours earlier; its fingerprint."""
    shutil.copyfile(source, path)
    with netCDF4.Dataset(path, "r+") as file:
        for name in ("time", "time_bnds"):
            file[name][:] = file[name][:] - hours
    return fingerprint(path)


def commands(product: str, folder: Path, people: Path, counties: Path, other: Path | None) -> dict[str, list[str]]:
    """The commands by their names."""
    whole = {
        "summarise": ["summarise", product, "--to", f"{folder}/summaries"],
        "areas, provinces by month": ["areas", product, "--to", f"{folder}/months.csv"],
        "areas, provinces by month, people": ["areas", product, "--population", str(people), "--to",
                                              f"{folder}/people_months.csv"],
        "areas, provinces, all": ["areas", product, "--every", "all", "--to", f"{folder}/all.csv"],
        "areas, provinces by hour": ["areas", product, "--every", "hour", "--to", f"{folder}/hours.parquet"],
        "areas, squares by month": ["areas", product, "--areas", str(counties), "--to", f"{folder}/squares.csv"],
        "areas, squares by day, people": ["areas", product, "--areas", str(counties), "--every", "day", "--population",
                                          str(people), "--to", f"{folder}/days.parquet"],
        "exposure, provinces by year": ["exposure", product, "--population", str(people), "--to",
                                        f"{folder}/exposure.csv"],
        "exposure, provinces, all": ["exposure", product, "--population", str(people), "--every", "all", "--to",
                                     f"{folder}/whole.csv"],
        "exposure, squares by month": ["exposure", product, "--population", str(people), "--areas", str(counties),
                                       "--every", "month", "--to", f"{folder}/people.parquet"],
        "exposure, provinces by day": ["exposure", product, "--population", str(people), "--every", "day", "--to",
                                       f"{folder}/daily.parquet"],
        "export, days as GeoTIFF": ["export", product, "--to", f"{folder}/days.tif"],
        "export, months with errors": ["export", product, "--every", "month", "--variable", "pm25", "--variable",
                                       "pm25_standard_error", "--to", f"{folder}/months.tif"],
        "export, hours of a box": ["export", product, "--every", "hour", "--box", "115", "39", "118", "41", "--to",
                                   f"{folder}/box.parquet"]}
    whole = {name: [*words, "--workers", "1"] for name, words in whole.items()}
    return whole | ({"compare, 0.05 degree by day": ["compare", product, str(other), "--to", f"{folder}/compared"]}
                    if other else {})


def measured(words: list[str], log: Path) -> tuple[int, float, float, float]:
    """Exit status, seconds of the wall clock and of the processor, MiB."""
    began = time.monotonic()
    with log.open("w") as text:
        process = subprocess.Popen([sys.executable, "-m", "aqreanalysis", *words], stdout=text, stderr=text)
        _, status, used = os.wait4(process.pid, 0)
    return (os.waitstatus_to_exitcode(status), time.monotonic() - began, used.ru_utime + used.ru_stime,
            used.ru_maxrss / MIB)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--population", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--years", type=int)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.years:
        asked.product = str(lengthened(Path(asked.product), asked.out / "product", asked.years))
    days = open_product(asked.product, "daily")
    counties = squares(asked.out / "squares.gpkg", days)
    people = asked.population or even_people(asked.out / "people.nc", days)
    other = another(asked.other, days) if asked.other else None
    rows = []
    for name, words in commands(asked.product, asked.out, people, counties, other).items():
        if asked.only in name:
            found = measured(words, asked.out / f"{name.replace(' ', '-').replace(',', '')}.log")
            rows.append(dict(zip(("command", "status", "wall_s", "cpu_s", "mib"), (name, *found), strict=True)))
            print(pd.DataFrame(rows[-1:]).round(0).to_string(index=False, header=len(rows) == 1), flush=True)
    pd.DataFrame(rows).to_csv(asked.out / "derived.csv", index=False)


if __name__ == "__main__":
    main()
