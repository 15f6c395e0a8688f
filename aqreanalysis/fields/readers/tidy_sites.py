"""Weather at sites in tidy tables, CSV or Parquet: a row is a site and an hour.

Columns: `time` (END of the hour; UTC where neither the stamp nor the header has an offset), `station_id`, `lon` and
`lat` (or a table of sites beside the file), and fields by their names (in FIELDS' units) or by those of stations:
temperature and dew_point in degC, pressure in hPa, wind_speed in m s-1 and wind_direction in degrees or letters FROM
which it blows. A unit in brackets behind a name comes first. A table without sites and places holds everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.fields.readers.site_layout import (
    SITE_ID,
    SITE_TABLES,
    WIND_DIRECTION,
    SiteLayout,
    SiteRows,
    as_fields,
    field_names,
    read_sites,
    site_table,
)
from aqreanalysis.fields.variables import COMPASS, FIELDS
from aqreanalysis.tables import columns, numbers, stamps
from aqreanalysis.tables.columns import Column
from aqreanalysis.tables.rows import BadRows, TextTable, open_table, unused_columns
from aqreanalysis.tables.stamps import StampRule

SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
EVERYWHERE = "everywhere"   # the site of a table without sites
ROWS = 100_000              # of Parquet, read at a time
_WORDS = {
    "u10": ("u", "u_wind", "wind_u", "u10m", "eastward_wind"),
    "v10": ("v", "v_wind", "wind_v", "v10m", "northward_wind"),
    "rh": ("relative_humidity", "humidity", "rhum", "相对湿度"), "tp": ("rain", "precipitation", "precip", "降水量"),
    "ssrd": ("global_radiation", "radiation", "solar_radiation", "swgdn", "ghi"), "blh": ("pblh", "mixing_height"),
    "temperature": ("temp", "air_temperature", "ta", "气温"),
    "dew_point": ("dewp", "dewpoint", "dew_point_temperature"),
    "pressure": ("pres", "surface_pressure", "气压"), "wind_speed": ("wspm", "ws", "windspeed", "风速"),
    "aod": ("aod550",)}
_FIELD_NAMES = (*(name for name in FIELDS), "temperature", "dew_point", "pressure", "wind_speed")
WEATHER_COLUMNS = (*(Column(name, _WORDS.get(name, ()), kind="number") for name in _FIELD_NAMES),
                   Column(WIND_DIRECTION, ("wd", "wdir", "winddir", "wind_dir", "风向")))
WANTED = (columns.STATION_ID, columns.TIME, columns.LON, columns.LAT, columns.SIMULATED, *WEATHER_COLUMNS)


@dataclass(frozen=True)
class SiteTable:
    """A tidy file that was recognised."""

    path: Path
    text: TextTable | None       # None for Parquet
    matched: columns.Matched
    rule: StampRule

    @property
    def fields(self) -> list[str]:
        """Our names of its columns that give fields."""
        return [name for name in self.matched.position if name in _FIELD_NAMES or name == WIND_DIRECTION]

    def frames(self) -> Iterator[pd.DataFrame]:
        """Its columns by our names, as they are stored."""
        wanted = list(self.matched.position)
        if self.text is not None:
            yield from self.text.batches(BadRows(), wanted)
            return
        import pyarrow.parquet as pq

        names = {self.matched.names[place]: name for name, place in self.matched.position.items()}
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS, columns=list(names)):
                yield batch.to_pandas(ignore_metadata=True).rename(columns=names)

    def numbers(self, cells: pd.Series) -> np.ndarray:
        """A column as float64 (rows,)."""
        if self.text is None and pd.api.types.is_numeric_dtype(cells):
            return cells.to_numpy(np.float64, na_value=np.nan)
        return numbers.numbers(cells, self.text.dialect.decimal if self.text else ".")[0]


def _open(path: Path) -> SiteTable:
    """BadFile where it is no table with a time and a field."""
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            text, matched = None, columns.match(pq.read_schema(path).names, WANTED, path.name)
        except (pa.ArrowException, OSError) as error:
            raise BadFile(f"{path.name} is no Parquet file ({error})") from error
    else:
        text = open_table(path.name, path, WANTED, ("time",))
        matched = text.dialect.matched
    if "time" not in matched.position or not field_names([name for name in matched.position]):
        raise BadFile(f"{path.name} has no column of time, or none of weather")
    said = stamps.offset_in_header(matched.names[matched.position["time"]])
    return SiteTable(path, text, matched, _rule(SiteTable(path, text, matched, StampRule.of(())), said))


def _rule(table: SiteTable, said: float | None) -> StampRule:
    seen: set[str] = set()
    for frame in table.frames():
        if not pd.api.types.is_datetime64_any_dtype(frame["time"]):
            seen.update(numbers.distinct(frame["time"])[1])
    return StampRule.of(seen, said)


def _times(table: SiteTable, cells: pd.Series) -> np.ndarray:
    """UTC stamps, datetime64[ns] (rows,)."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return cells.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    if pd.api.types.is_datetime64_any_dtype(cells):
        shift = np.timedelta64(round(table.rule.utc_offset * 60), "m")
        return cells.to_numpy().astype("datetime64[ns]") - shift
    codes, texts = numbers.distinct(cells)
    return np.append(table.rule.read(texts), np.datetime64("NaT", "ns"))[codes]


def directions(cells: pd.Series, as_numbers: np.ndarray) -> np.ndarray:
    """Degrees (rows,) FROM which the wind comes: numbers as they are, N, NNE ... by the compass, else NaN."""
    codes, texts = numbers.distinct(cells.astype(str))
    points = np.array([COMPASS.get(text.strip().upper(), np.nan) for text in texts] + [np.nan])[codes]
    return np.where(np.isfinite(points), points, as_numbers)


class _TidySites:
    """The tables of a path, with their sites."""

    def __init__(self, tables: list[SiteTable], beside: Path | None):
        self.tables = tables
        self.listed = read_sites(beside) if beside else None
        self.notes = [unused_columns(table.path.name, table.matched.unused) for table in tables
                      if table.matched.unused]
        self.notes += [note for table in tables
                       if (note := table.rule.note(table.path.name).partition(" (--utc-offset")[0])]
        if any(SITE_ID not in table.matched.position for table in tables):
            self.notes.append(f"{', '.join(table.path.name for table in tables)}: no column of sites; its weather "
                              "holds everywhere")
        self.simulated = False

    def batches(self) -> Iterator[pd.DataFrame]:
        for table in self.tables:
            for frame in table.frames():
                yield self._rows(table, frame)

    def _rows(self, table: SiteTable, frame: pd.DataFrame) -> pd.DataFrame:
        given = {name: table.numbers(frame[name]) for name in table.fields if name != WIND_DIRECTION}
        if WIND_DIRECTION in frame:
            given[WIND_DIRECTION] = directions(frame[WIND_DIRECTION], table.numbers(frame[WIND_DIRECTION]))
        sites = columns.identifiers(frame[SITE_ID]) if SITE_ID in frame else EVERYWHERE
        found = pd.DataFrame(as_fields(given, table.matched.units, table.path.name))
        found.insert(0, "time", _times(table, frame["time"]))
        found.insert(0, SITE_ID, np.asarray(sites) if SITE_ID in frame else EVERYWHERE)
        return found

    def places(self) -> pd.DataFrame:
        """By the table of sites, else by the rows; UserError where a site has none, or two."""
        if any(SITE_ID not in table.matched.position for table in self.tables):
            return pd.DataFrame({"lon": [np.nan], "lat": [np.nan]}, index=[EVERYWHERE])
        if self.listed is not None:
            return self.listed
        found: dict[str, tuple[float, float]] = {}
        for table in self.tables:
            if not {"lon", "lat"} <= set(table.matched.position):
                raise UserError(f"{table.path.name} does not say where its sites are.",
                                "It has columns lon and lat, or a table of sites stands beside it.",
                                f"Put {SITE_TABLES[0]} (station_id,lon,lat) there.")
            for frame in table.frames():
                rows = pd.DataFrame({SITE_ID: columns.identifiers(frame[SITE_ID]).to_numpy(),
                                     "lon": table.numbers(frame["lon"]), "lat": table.numbers(frame["lat"])})
                self.simulated |= "simulated" in frame and bool(
                    (frame["simulated"].astype(str).str.lower() == "true").any())
                for site, lon, lat in rows.drop_duplicates().itertuples(index=False):
                    if found.setdefault(site, (lon, lat)) != (lon, lat):
                        raise UserError(f"{table.path.name}: the site {site} has two places.",
                                        "A site stays where it is.", "Give it another station_id where it moved.")
        return pd.DataFrame.from_dict(found, orient="index", columns=["lon", "lat"])


def _takes(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.name not in SITE_TABLES]


def _read(paths: list[Path]) -> SiteRows:
    tables, faults = [], []
    for path in paths:
        try:
            tables.append(_open(path))
        except BadFile as error:
            faults.append(str(error))
    if not tables:
        raise UserError(f"No table can be used: {'; '.join(faults[:3])}.",
                        "A table of weather has a column time, and fields by name (docs/fields.md).", "")
    sites = _TidySites(tables, site_table(paths))
    places = sites.places()
    names = tuple(name for name in FIELDS if any(name in field_names(table.fields) for table in tables))
    used = [table.path for table in tables]
    beside = site_table(paths)
    return SiteRows(names, places, sites.batches, [*used, *([beside] if beside else [])],
                    [f"{fault}; not read" for fault in faults] + sites.notes, sites.simulated)


TIDY_SITES = SiteLayout("tidy sites", "tidy Parquet or CSV: time, station_id, lon, lat and fields by name", _takes,
                        _read)
