"""Station tables: text tables with station_id, lon, lat and, where known, name, city and province.

Optional columns: `datum` (wgs84, gcj02 or bd09; observations/datums.py); `start`, the first day of a station at a
place, for stations that moved and so have several rows; and `background`, whether a station is one (yes or no, or the
kind of site), which scores are split by.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import files, geo
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations import places
from aqreanalysis.observations.datums import CONVERTED, DATUMS, table_in_wgs84, to_wgs84
from aqreanalysis.tables import columns, coordinates, numbers
from aqreanalysis.tables.rows import BadRows, open_table
from aqreanalysis.tables.stamps import StampRule

TABLE_COLUMNS = ("station_id", "lon", "lat")
WANTED = (columns.STATION_ID, columns.LON, columns.LAT, columns.NAME, columns.CITY, columns.PROVINCE, columns.DATUM,
          columns.START, columns.BACKGROUND)
STATION_TABLE = "stations.csv"   # beside the files
_TABLE_NAME = re.compile(r"stations?(?:\s?\(\d{1,3}\)|\s?[-_]?\s?(?:copy|副本)(?:\s?\(?\d{1,3}\)?)?)*\.(?:csv|tsv|txt)"
                         r"(?:\.(?:gz|txt|csv))?", re.IGNORECASE)
SHIPPED_TABLE = files.PACKAGE / "data" / "northern-china-stations.csv"   # data/README.md has its source and accuracy
SHIPPED_NOTE = ("places are those of the table of northern China that ships with the package (931 stations, WGS-84 as "
                "far as known, errors up to about 1 km likely); stations.csv beside the files or --stations come first")
TABLE_ROUNDING_KM = 0.1   # tables round coordinates to 0.001 degree
FAR_FROM_KNOWN_KM = 30.0  # stations that moved went less far, as a rule
DATUM_STATIONS, DATUM_KM, DATUM_SHARE = 5, 0.2, 0.3   # for a statement: stations, median offset, rest


def is_station_table(name: str) -> bool:
    """Whether a file beside observations is their station table by its name, also as desktops and browsers leave it."""
    return _TABLE_NAME.fullmatch(name) is not None


def table_beside(folder: Path) -> Path:
    """The station table in a folder: stations.csv, else a copy of it under another name; stations.csv if none is there.
    """
    own = folder / STATION_TABLE
    if own.is_file() or not folder.is_dir():
        return own
    copies = sorted(path for path in folder.iterdir() if is_station_table(path.name) and path.is_file())
    return copies[0] if copies else own


def table_of_files(given: Path | None, folder: Path, ships: bool) -> Path:
    """The station table of files in a folder: the one given, else the one beside them, else the shipped one.

    ships : whether the network's stations are in the shipped table.
    """
    beside = table_beside(folder)
    return given or (SHIPPED_TABLE if ships and not (beside.is_file() or beside.is_symlink()) else beside)


def _absence(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    return f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"


def read_station_table(path: Path) -> pd.DataFrame:
    """A station table sorted by station_id; stations without coordinates are left out.

    Any text table that `aqreanalysis.tables` reads. `attrs["without_coordinates"]` lists the stations that were left
    out, `attrs["moved"]` has a sentence for each station that moved, `attrs["notes"]` for each thing that is out of the
    ordinary in how the table was read, and what of it was not.
    """
    if not path.is_file():
        raise UserError(f"The station table {path} {_absence(path)}.",
                        "It has the places of the stations.",
                        "Put stations.csv (station_id,lon,lat) beside the files or give --stations FILE.")
    bad = BadRows()
    try:
        text = open_table(path.name, path, WANTED, TABLE_COLUMNS)
        cells = text.frame(bad)
    except BadFile as error:
        raise UserError(f"The station table {path.parent / str(error)}.",
                        f"A station table is a text table with the columns {', '.join(TABLE_COLUMNS)}.",
                        "Correct it, or give another one with --stations FILE.") from error
    other_name = is_station_table(path.name) and path.name != STATION_TABLE
    notes = [*[f"{path.name}: read as the station table"] * other_name, *text.notes(),
             *filter(None, [bad.sentence(path.name, text.dialect.width)])]
    cells["station_id"] = columns.identifiers(cells["station_id"])
    named = cells[cells["station_id"] != ""].copy()
    if len(named) < len(cells):
        line = cells.index[cells["station_id"] == ""][0]
        notes.append(f"{path.name}: {len(cells) - len(named)} rows without a station_id not read (line {line})")
    named["lon"], named["lat"], remarks = coordinates.read_places(named, text.dialect.decimal, path.name)
    notes += remarks
    for name in set(named) - set(TABLE_COLUMNS):
        named[name] = named[name].mask(named[name].map(numbers.is_missing).astype(bool))
    try:
        table = checked(named.reset_index(drop=True), str(path))
    except UserError as error:
        raise UserError("; ".join([error.problem.rstrip("."), *notes]) + ".", error.rule, error.fix) from None
    table.attrs["notes"] = [*([SHIPPED_NOTE] if path == SHIPPED_TABLE else []), *notes]
    return table


@lru_cache(maxsize=1)
def shipped_places() -> pd.DataFrame:
    """The places of the shipped table (lon, lat in degrees) by station_id."""
    return read_station_table(SHIPPED_TABLE).set_index("station_id")[["lon", "lat"]]


def far_remark(table: pd.DataFrame) -> str:
    """A sentence on stations of China's network that lie far from where they are known to stand, "" where none does."""
    known = shipped_places()
    given = table[table["station_id"].isin(known.index)]
    if given.empty:
        return ""
    at = known.loc[given["station_id"]]
    way = geo.distance_km(given.lat.to_numpy(), given.lon.to_numpy(), at.lat.to_numpy(), at.lon.to_numpy())
    order = [place for place in np.argsort(-way, kind="stable") if way[place] > FAR_FROM_KNOWN_KM]
    if not order:
        return ""
    shown = ", ".join(f"{given['station_id'].iloc[place]} {way[place]:.0f} km" for place in order[:3])
    return (f"places: {len(order)} of {len(given)} stations lie far from the places that are known of their ids "
            f"({shown}{' ...' if len(order) > 3 else ''}); are ids or places mixed up?")


def datum_remark(table: pd.DataFrame) -> str:
    """A sentence where a table's places look like those of another datum, "" where not.

    Of stations that are in the shipped table too: its errors, of up to about a kilometre, have no common direction, so
    a conversion that brings most of them several times nearer is the right one.
    """
    known = shipped_places()
    given = table[table["station_id"].isin(known.index)]
    if len(given) < DATUM_STATIONS or CONVERTED in table:
        return ""
    at = known.loc[given["station_id"]]

    def away(lon, lat) -> float:
        return float(np.median(geo.distance_km(lat, lon, at.lat.to_numpy(), at.lon.to_numpy())))

    before = away(given.lon, given.lat)
    after = {datum: away(*to_wgs84(given.lon, given.lat, datum)) for datum in DATUMS[1:]}
    datum = min(after, key=lambda name: after[name])
    if before < DATUM_KM or after[datum] > DATUM_SHARE * before:
        return ""
    return (f"datum: {len(given)} places lie {1000 * before:.0f} m (median) from those known of their stations, and "
            f"{1000 * after[datum]:.0f} m if they are {datum}: add a column datum with {datum} to the table, or use "
            f"`ingest --datum {datum}`")


def checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Usable places in WGS-84, sorted by station_id; a UserError where there are none.

    Of a station that moved the latest place is kept, by the column `start`. Impossible and ambiguous places are left
    out (observations/places.py): `attrs["left_out"]` has station_id -> why.
    """
    placed = table.dropna(subset=["lon", "lat"])
    if placed.empty:
        raise UserError(f"No station of {where} has coordinates.", "Each station needs lon and lat in degrees.",
                        "Fill the columns lon and lat of the station table.")
    sound, impossible, told = places.possible(placed, where)
    latest, moved, ambiguous = _latest_places(table_in_wgs84(sound))
    if latest.empty:
        station, why = next(iter(ambiguous.items()))
        raise UserError(f"Station {station} of {where} has {why}.", "A station has one place at a time.",
                        "Remove the other rows, or add a column start (YYYY-MM-DD) with its first day at each "
                        "place: the latest is used.")
    result, far = places.near_the_network(latest)
    result = result.sort_values("station_id").reset_index(drop=True)
    result.attrs["without_coordinates"] = sorted(set(table["station_id"]) - set(placed["station_id"]))
    result.attrs["left_out"] = dict(sorted((impossible | ambiguous | far).items()))
    result.attrs["moved"] = told + moved
    return result


def _first_days(table: pd.DataFrame) -> pd.Series:
    """The column `start` as days; NaT where there is none, or none that can be read."""
    if "start" not in table:
        return pd.Series(pd.NaT, table.index)
    texts = [f"{text.strip()}-01-01" if re.fullmatch(r"\d{4}", text.strip()) else text
             for text in table["start"].fillna("").astype(str)]
    return pd.Series(StampRule.of(texts).read(texts), table.index)


def _latest_places(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """One row a station, a sentence for each that moved, and why a station is left out: which row is the latest?"""
    repeated = table["station_id"].duplicated(keep=False)
    if not repeated.any():
        return table, [], {}
    chosen: list[int] = []
    moved, ambiguous = [], {}
    starts = _first_days(table)
    for station, rows in table[repeated].groupby("station_id", sort=True):
        start = starts[rows.index]
        rows = rows.loc[start.sort_values(na_position="first", kind="stable").index]
        first, last = rows.iloc[0], rows.iloc[-1]
        separation = geo.distance_km(rows.lat, rows.lon, last.lat, last.lon).max()
        if separation > TABLE_ROUNDING_KM:
            unread = start.isna() & rows["start"].notna() if "start" in rows else start.isna() & False
            if unread.any():
                ambiguous[str(station)] = (f"several places: {len(rows)} rows up to {separation:.1f} km apart, and a "
                                           f"start that is no day (write YYYY-MM-DD): {rows['start'][unread].iloc[0]}")
                continue
            if start.isna().sum() > 1 or start.duplicated().any():
                ambiguous[str(station)] = (f"several places: {len(rows)} rows up to {separation:.1f} km apart, without "
                                           "a column start that tells which is the latest")
                continue
            way = geo.distance_km(first.lat, first.lon, last.lat, last.lon)
            moved.append(f"station {station} moved {way:.1f} km, from {first.lon:.4f}, {first.lat:.4f} to "
                         f"{last.lon:.4f}, {last.lat:.4f} on {start.max():%Y-%m-%d}; the latest place is used "
                         "throughout")
        chosen.append(rows.index[-1])
    return pd.concat([table[~repeated], table.loc[chosen]]), moved, ambiguous
