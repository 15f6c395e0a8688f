"""How fast an archive is read on one core.

    OMP_NUM_THREADS=1 python benchmarks/reading.py PATH

`inspect` looks into every file of the whole period; `read` gives cubes, a month at a time, as a build asks for them.
Text is what the files hold once unzipped; a row is an hour of a station. CPU seconds are all that the process took:
compare these where a machine has other work.
"""

from __future__ import annotations

import resource
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd

from aqreanalysis.observations.readers import open_archive
from aqreanalysis.schema import POLLUTANTS


def text_size(root: Path, name: str) -> int:
    """Bytes of a part once unzipped."""
    path = root / name if root.is_dir() else root
    if path.suffix != ".zip":
        return path.stat().st_size
    with zipfile.ZipFile(path) as container:
        return sum(member.file_size for member in container.infolist())


def main() -> None:
    root = Path(sys.argv[1])
    archive = open_archive(root)
    parts, (first, last) = archive.parts(), archive.period()
    text = sum(text_size(root, part.name) for part in parts) / 1e6
    print(f"{root.name}: {len(parts)} parts, {sum(part.size for part in parts) / 1e6:.1f} MB, {text:.1f} MB of text")
    began = time.perf_counter()
    found = archive.inspect(first, last)
    seconds = time.perf_counter() - began
    print(f"inspect {seconds:6.2f} s  {text / seconds:6.1f} MB/s  {found.good} files")
    began, rows, values = time.perf_counter(), 0, 0
    for month in pd.period_range(first, last, freq="M"):
        start = max(month.start_time.to_datetime64(), first.astype("datetime64[ns]"))
        end = min(month.end_time.floor("h").to_datetime64(), last.astype("datetime64[ns]"))
        cube = archive.read(start, end)
        rows += cube.pm25.size
        values += sum(int(cube[name].count()) for name in POLLUTANTS)
    seconds = time.perf_counter() - began
    print(f"read    {seconds:6.2f} s  {text / seconds:6.1f} MB/s  {rows / seconds / 1e6:.2f} million rows/s  "
          f"{values / seconds / 1e6:.2f} million values/s  ({rows:,} rows, {values:,} values)")
    print(f"CPU     {time.process_time():6.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
