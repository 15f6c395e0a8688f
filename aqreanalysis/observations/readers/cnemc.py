"""The national network's daily files: china_sites_YYYYMMDD.csv, loose or in zip files.

Stations are named by their ids; six of the fifteen types are read. The rest is in `daily_files`.
"""

from __future__ import annotations

from aqreanalysis.observations.readers.daily_files import DailyLayout
from aqreanalysis.observations.readers.found_files import Names

CNEMC_FILES = DailyLayout(
    name="national", text="china_sites_YYYYMMDD.csv, loose or in zip files", heads=("station_id",),
    table_ships=True,
    names=Names("china_sites_YYYYMMDD.csv", r"china_sites_(?P<day>\d{8})\.csv", ("chinasite",),
                loose=r"china[-_ ]?sites?[-_ ]?(?P<day>\d{4}([-_.]?)\d{2}\2\d{2})\.csv"),
    source="hourly surface observations of the China National Environmental Monitoring Centre network")
CNEMC = CNEMC_FILES.reader("cnemc")
