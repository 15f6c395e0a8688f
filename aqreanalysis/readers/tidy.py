"""Tidy tables for everyone else: Parquet or CSV with one row for each station and hour.

Columns: station_id, time, lon, lat, pm25 and, where there are, pm10, so2, no2, co, o3 (ug m-3; co
in mg m-3). `time` is ISO 8601 and marks the END of the hour; without an offset it is UTC. A path is one file or a
folder of files; rows are read in batches, so that memory does not grow with the archive.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, stations
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.readers.archive import Inspection
from aqreanalysis.readers.station_table import checked

REQUIRED = ("station_id", "time", "lon", "lat", "pm25")
SUFFIXES = (".parquet", ".csv")
LAYOUT = f"tidy .parquet or .csv with the columns {', '.join(REQUIRED)}"


def recognises(path: Path) -> bool:
    """Whether one of the files at a path has the columns of a tidy table."""
    return any(_refusal(file) is None for file in _files(path))


def refused(path: Path) -> list[str]:
    """A sentence for each file at a path that has the suffix of this layout and is not of it."""
    return [text for text in map(_refusal, _files(path)) if text]


def _refusal(file: Path) -> str | None:
    try:
        _check_columns(file)
    except BadFile as error:
        return str(error)
    return None


def _files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [f for f in files if f.suffix.lower() in SUFFIXES and f.is_file() and f.name != "stations.csv"]


class TidyArchive:
    """Tidy files under one path. The station table is gathered from the rows when it is opened."""

    def __init__(self, path: Path, station_table: Path | None = None):
        self.path = Path(path)
        self.files, self.broken = [], []
        rows = []
        for file in _files(self.path):
            try:
                places, span = _look(file)
            except BadFile as error:
                self.broken.append(str(error))
                continue
            self.files.append((file, span))
            rows.append(places)
        if not self.files:
            raise UserError(f"No file of {path} can be used: {'; '.join(self.broken[:3])}.",
                            f"Expected {LAYOUT}.", "Mend the files and run again.")
        self.stations = _one_place_each(pd.concat(rows, ignore_index=True), str(path))
        # a column `simulated` (any True) marks what `aqreanalysis simulate` wrote
        self.simulated = any(places["simulated"].any() for places in rows)
        kind = "SIMULATED hourly observations" if self.simulated else "hourly surface observations"
        self.source = f"{kind} from {self.path.name}"

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last hour in the files, UTC."""
        return min(s[0] for _, s in self.files), max(s[1] for _, s in self.files)

    def inspect(self, start, end) -> Inspection:
        """Files with rows between `start` and `end`, and a hash of their contents."""
        found = Inspection(bad=list(self.broken))
        for file in self._between(start, end):
            with file.open("rb") as stream:
                found.digest.update(hashlib.file_digest(stream, "sha256").digest())
            found.good += 1
            found.values += _count_pm25(file, start, end)
        return found

    def read(self, start, end) -> xr.Dataset:
        """Raw station cube of every hour from `start` to `end`."""
        low, high = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        parts = []
        for file in self._between(start, end):
            for batch in _batches(file):
                inside = batch[(batch["time"] >= low) & (batch["time"] <= high)]
                if len(inside):
                    parts.append(inside)
        rows = pd.concat(parts) if parts else pd.DataFrame(columns=["station_id", "time"])
        return stations.cube_from_rows(rows, self.stations, start, end)

    def _between(self, start, end) -> list[Path]:
        low, high = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        return [file for file, span in self.files if span[0] <= high and span[1] >= low]


def _columns(file: Path) -> dict[str, str]:
    """Our name -> the file's name of the columns that it has."""
    import pyarrow.dataset as ds

    try:
        names = ds.dataset(file, format=file.suffix.lower()[1:]).schema.names
    except Exception as error:  # pyarrow raises many kinds for what is not a table
        raise BadFile(f"{file.name} can't be read as {file.suffix[1:]} ({str(error).splitlines()[0][:100]})") from error
    ours = {name.strip().lower().replace("pm2.5", "pm25").replace("pm2_5", "pm25"): name for name in names}
    return {name: ours[name] for name in (*REQUIRED[:4], *schema.POLLUTANTS, "simulated") if name in ours}


def _check_columns(file: Path) -> dict[str, str]:
    if file.stat().st_size == 0:
        raise BadFile(f"{file.name} is empty")
    columns = _columns(file)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise BadFile(f"{file.name} has no column {', '.join(missing)}")
    return columns


def _batches(file: Path, wanted: tuple[str, ...] | None = None):
    """Tables of rows with our column names and UTC times, a bounded number at a time."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.csv import ConvertOptions

    columns = _check_columns(file)
    if wanted:
        columns = {name: columns[name] for name in wanted if name in columns}
    # told, not guessed from the first rows: ids may look like numbers, values may begin blank or whole
    types = {columns[name]: pa.string() if name == "station_id" else pa.float64()
             for name in columns if name not in ("time", "simulated")}
    csv = ds.CsvFileFormat(convert_options=ConvertOptions(column_types=types))
    try:
        dataset = ds.dataset(file, format=csv if file.suffix.lower() == ".csv" else "parquet")
        for batch in dataset.to_batches(columns=list(columns.values())):
            table = batch.to_pandas()
            table.columns = list(columns)
            table["station_id"] = table["station_id"].astype(str)
            if "time" in table:
                table["time"] = _utc(table["time"])
            for name in set(table) & {*schema.POLLUTANTS, "lon", "lat"}:
                table[name] = pd.to_numeric(table[name], errors="raise")
            yield table
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, TypeError, OSError) as error:
        raise BadFile(f"{file.name} can't be read ({str(error).splitlines()[0][:120]})") from error


def _utc(time: pd.Series) -> pd.Series:
    if not pd.api.types.is_datetime64_any_dtype(time):
        time = pd.to_datetime(time.astype(str), utc=True, format="ISO8601")  # strict: no guess at 01/02/2019
    return pd.to_datetime(time, utc=True).dt.tz_localize(None).astype("datetime64[ns]")


def _look(file: Path) -> tuple[pd.DataFrame, tuple[np.datetime64, np.datetime64]]:
    """The places and the first and last hour of a file; every value is read, so that `read` finds no fault."""
    places, first, last = [], None, None
    for batch in _batches(file):
        if batch.empty:
            continue
        odd = batch["time"].dt.floor("h") != batch["time"]
        if odd.any():
            raise BadFile(f"{file.name} has the stamp {batch['time'][odd].iloc[0]}, which is not a full hour")
        batch["simulated"] = batch["simulated"].astype(bool) if "simulated" in batch else False
        places = [pd.concat([*places, batch[["station_id", "lon", "lat", "simulated"]]]).drop_duplicates()]
        low, high = batch["time"].min().to_datetime64(), batch["time"].max().to_datetime64()
        first, last = (low, high) if first is None else (min(first, low), max(last, high))
    if first is None:
        raise BadFile(f"{file.name} has a header and no rows")
    return places[0], (first, last)


def _count_pm25(file: Path, start, end) -> int:
    """How many PM2.5 values a file holds between two hours."""
    low, high = np.datetime64(start, "ns"), np.datetime64(end, "ns")
    return sum(int((batch["pm25"].notna() & batch["time"].between(low, high)).sum())
               for batch in _batches(file, ("station_id", "time", "pm25")))


def _one_place_each(places: pd.DataFrame, where: str) -> pd.DataFrame:
    """One row a station; the same id at two places is an error."""
    places = places.drop(columns="simulated").sort_values("lon", na_position="last").drop_duplicates()
    return checked(places[~(places["lon"].isna() & places["station_id"].duplicated())], where)


def open_archive(path: Path, station_table: Path | None = None) -> TidyArchive:
    """The archive at `path`."""
    return TidyArchive(path, station_table)
