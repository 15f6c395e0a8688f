"""Beijing's municipal network: beijing_all_YYYYMMDD.csv and beijing_extra_YYYYMMDD.csv, loose or in zip files.

The first has PM2.5, PM10, AQI and means over 24 hours, the second the gases; a day may have both, and one of them
bad does not lose the other. Columns are headed by the Chinese names of the stations, which the station table ties to
ids and places. The rest is in `daily_files`.
"""

from __future__ import annotations

import re
from pathlib import Path

from aqreanalysis.observations.readers.daily_files import DailyArchive, Layout

LAYOUT = "beijing_all_YYYYMMDD.csv and beijing_extra_YYYYMMDD.csv, loose or in zip files"
FILES = Layout(
    name="municipal", text=LAYOUT, heads=("name", "station_id"),
    file_name=re.compile(r"beijing_(?P<kind>all|extra)_(?P<day>\d{8})\.csv"),
    source="hourly surface observations of the Beijing Municipal Ecological and Environmental Monitoring Center")
recognises, refused = FILES.recognises, FILES.refused


def open_archive(path: Path, station_table: Path | None = None) -> DailyArchive:
    """The archive at `path`; a UserError where there is none."""
    return DailyArchive(FILES, path, station_table)
