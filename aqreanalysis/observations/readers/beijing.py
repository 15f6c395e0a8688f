"""Beijing's municipal network: beijing_all_YYYYMMDD.csv and beijing_extra_YYYYMMDD.csv, loose or in zip files.

The first has PM2.5, PM10, AQI and means over 24 hours, the second the gases. A day may have both; where one is bad,
the other is still read. Columns are headed by the Chinese names of the stations; the station table has their ids and
places. The rest is in `daily_files`.
"""

from __future__ import annotations

from aqreanalysis.observations.readers.daily_files import DailyLayout
from aqreanalysis.observations.readers.found_files import Names

BEIJING = DailyLayout(
    name="municipal", text="beijing_all_YYYYMMDD.csv and beijing_extra_YYYYMMDD.csv, loose or in zip files",
    heads=("name", "station_id"),
    names=Names("beijing_all_YYYYMMDD.csv or beijing_extra_YYYYMMDD.csv",
                r"beijing_(?P<kind>all|extra)_(?P<day>\d{8})\.csv", ("beijingall", "beijingextra"),
                loose=r"beijing[-_ ]?(?P<kind>all|extra)[-_ ]?(?P<day>\d{4}([-_.]?)\d{2}\3\d{2})\.csv"),
    source="hourly surface observations of the Beijing Municipal Ecological and Environmental Monitoring Center"
).reader("beijing")
