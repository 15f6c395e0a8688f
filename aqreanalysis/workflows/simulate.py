"""`aqreanalysis simulate`: the twin's observations as files, for work and tests without an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from aqreanalysis import files, schema
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.time_axis import Period


def write_observations(period: Period, folder: Path, seed: int) -> Iterator[Path]:
    """Write one tidy Parquet file a month; yields each path once its file is whole."""
    archive = TwinArchive(seed)
    for month in period.months():
        cube = archive.read(month.hours[0], month.hours[-1])
        rows = cube[list(schema.POLLUTANTS)].to_dataframe().reset_index()
        rows = rows.rename(columns={"station": "station_id"})[["station_id", "time", "lon", "lat", *schema.POLLUTANTS]]
        rows["time"] = pd.DatetimeIndex(rows["time"]).tz_localize("UTC")
        rows["simulated"] = True  # the reader passes it on to every product made of these rows
        path = folder / f"simulated_observations_{month.first:%Y%m}.parquet"
        with files.whole(path, "choose another folder with --out.") as part:
            rows.to_parquet(part, index=False)
        yield path
