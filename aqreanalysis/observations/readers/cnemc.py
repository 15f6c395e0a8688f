"""The national network's daily files: china_sites_YYYYMMDD.csv, loose or in zip files.

Stations are called by their ids; six of the fifteen types are read. The rest is in `daily_files`.
"""

from __future__ import annotations

import re
from pathlib import Path

from aqreanalysis.observations.readers.daily_files import DailyArchive, Layout

LAYOUT = "china_sites_YYYYMMDD.csv, loose or in zip files"
FILES = Layout(
    name="national", text=LAYOUT, heads=("station_id",), file_name=re.compile(r"china_sites_(?P<day>\d{8})\.csv"),
    source="hourly surface observations of the China National Environmental Monitoring Centre network")
recognises, refused = FILES.recognises, FILES.refused


def open_archive(path: Path, station_table: Path | None = None) -> DailyArchive:
    """The archive at `path`; a UserError where there is none."""
    return DailyArchive(FILES, path, station_table)
