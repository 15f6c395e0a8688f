"""An archive in memory: a raw station cube, as any reader gives it, changed or made by a script.

>>> from aqreanalysis import schema
>>> archive = CubeArchive(schema.mock_station_cube(hours=48))
>>> archive.open().read("2019-01-02T00", "2019-01-02T05").sizes["time"]
6
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.observations.readers.archive import Archive, ArchivePart, Inspection, Stamp, as_hour


@dataclass
class CubeArchive:
    """A station cube as an archive, and as files that can be opened: what takes one takes the other.

    `table` may add columns (city, name, background) to what the cube says of its stations, by station_id.
    """

    cube: xr.Dataset
    table: pd.DataFrame | None = None
    source: str = "a station cube in memory"
    simulated: bool = False

    def __post_init__(self) -> None:
        self.stations = self._stations()

    def open(self) -> Archive:
        """Itself."""
        return self

    def _stations(self) -> pd.DataFrame:
        """station_id, lat, lon and, where known, name and city; and what `table` adds."""
        columns = {"station_id": self.cube.station.values.astype(str), "lat": self.cube.lat.values,
                   "lon": self.cube.lon.values}
        columns |= {name: self.cube[f"station_{name}"].values for name in ("name", "city")
                    if f"station_{name}" in self.cube}
        found = pd.DataFrame(columns)
        if self.table is None:
            return found
        added = self.table.drop(columns=[name for name in found if name != "station_id"], errors="ignore")
        return found.merge(added, "left", "station_id")

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour."""
        first, last = self.cube.time.values[[0, -1]].astype("datetime64[h]")
        return first, last

    def parts(self) -> list[ArchivePart]:
        """None: there are no files."""
        return []

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        """How many values there are from `start` to `end`."""
        inspection = Inspection(values=int(np.isfinite(self._between(start, end)[schema.TARGET].values).sum()))
        inspection.add_stations(self.stations)
        return inspection

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        """Every hour from `start` to `end`; NaN where the cube has none."""
        hours = time_axis.complete_hours(as_hour(start), as_hour(end))
        return self._between(start, end).reindex({schema.TIME: hours})

    def _between(self, start: Stamp, end: Stamp) -> xr.Dataset:
        return self.cube.sel({schema.TIME: slice(as_hour(start), as_hour(end))})
