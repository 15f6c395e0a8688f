"""Wall time, speed and peak memory of an ingest of the national archive, from its zip files, as a user runs it.

    python benchmarks/ingest.py PATH [--workers N] [--keep DIR]

A month (January), the year 2019, and the year again, of which nothing is new; in fresh processes. A row is one hour of
one station with any value. Bytes are those of the CSV files inside the zips. Memory as in benchmarks/year.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

from year import watched

from aqreanalysis import schema
from aqreanalysis.observations.readers import open_archive


def csv_bytes(folder: Path, pattern: str) -> int:
    """How many bytes the files inside some zips have."""
    return sum(member.file_size for path in folder.glob(pattern) for member in zipfile.ZipFile(path).infolist())


def rows(path: Path) -> int:
    """Station-hours with any value, counted in slabs of 31 days."""
    archive = open_archive(path)
    total, hours = 0, archive.hours
    for first in range(0, len(hours), 744):
        cube = archive.read(hours[first], hours[min(first + 743, len(hours) - 1)])
        total += int(cube[list(schema.POLLUTANTS)].to_array().notnull().any("variable").sum())
    return total


def measure(name: str, observations: Path, target: Path, period: list[str], workers: str, size: int) -> None:
    """Run one ingest and print a row."""
    command = [sys.executable, "-m", "aqreanalysis", "ingest", str(observations), "--to", str(target), *period,
               "--workers", workers]
    code, wall, peak = watched(command)
    count = rows(target)
    print(f"{name:6} exit {code}  wall {wall:6.1f} s  {size / 1e6 / wall:6.1f} MB/s  "
          f"{count / wall:9,.0f} rows/s  peak {peak:6.0f} MiB  file {target.stat().st_size / 1e6:6.1f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("observations", type=Path, help="folder with china_sites_2019MM.zip and stations.csv")
    parser.add_argument("--workers", default="4")
    parser.add_argument("--keep", help="folder that keeps the archives")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(options.keep or scratch)
        january, year = (csv_bytes(options.observations, pattern) for pattern in ("*201901.zip", "*.zip"))
        measure("month", options.observations, root / "month.nc", ["--start", "2019-01-01", "--end", "2019-01-31"],
                options.workers, january)
        for name in ("year", "again"):
            measure(name, options.observations, root / "year.nc", [], options.workers, year)


if __name__ == "__main__":
    main()
