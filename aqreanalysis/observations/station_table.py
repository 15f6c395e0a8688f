"""Station tables: text tables with station_id, lon, lat and, where known, name, city and province.

Optional columns: `datum` (wgs84, gcj02 or bd09; observations/datums.py), and `start`, the first day of a station at a
place, for stations that moved and so have several rows.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aqreanalysis import geo
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.observations.datums import table_in_wgs84
from aqreanalysis.tables import columns, numbers
from aqreanalysis.tables.rows import BadRows, open_table

TABLE_COLUMNS = ("station_id", "lon", "lat")
WANTED = (columns.STATION_ID, columns.LON, columns.LAT, columns.NAME, columns.CITY, columns.PROVINCE, columns.DATUM,
          columns.START)
TABLE_ROUNDING_KM = 0.1   # tables round coordinates to 0.001 degree


def read_station_table(path: Path) -> pd.DataFrame:
    """A station table sorted by station_id; stations without coordinates are left out.

    Any text table that `aqreanalysis.tables` reads. `attrs["without_coordinates"]` lists the stations that were left
    out, `attrs["moved"]` has a sentence for each station that moved, `attrs["notes"]` for each thing that is out of the
    ordinary in how the table was read, and what of it was not.
    """
    if not path.is_file():
        raise UserError(f"The station table {path} does not exist.",
                        "National daily files name stations by id only; a table has their places.",
                        "Put stations.csv (station_id,lon,lat) beside the files or give --stations FILE.")
    bad = BadRows()
    try:
        text = open_table(path.name, path, WANTED, TABLE_COLUMNS)
        cells = text.frame(bad)
    except BadFile as error:
        raise UserError(f"The station table {path.parent / str(error)}.",
                        f"A station table is a text table with the columns {', '.join(TABLE_COLUMNS)}.",
                        "Correct it, or give another one with --stations FILE.") from error
    notes = [*text.notes(), *filter(None, [bad.sentence(path.name, text.dialect.width)])]
    cells["station_id"] = columns.identifiers(cells["station_id"])
    named = cells[cells["station_id"] != ""].copy()
    if len(named) < len(cells):
        line = cells.index[cells["station_id"] == ""][0]
        notes.append(f"{path.name}: {len(cells) - len(named)} rows without a station_id not read (line {line})")
    for name in ("lon", "lat"):
        named[name], stray = numbers.numbers(named[name], text.dialect.decimal)
        if stray.any():
            line = named.index[stray][0]
            notes.append(f"{path.name}: {int(stray.sum())} {name} cells not understood and taken as missing "
                         f"({cells.loc[line, name][:20]!r} in line {line})")
    for name in set(named) - set(TABLE_COLUMNS):
        named[name] = named[name].mask(named[name].map(numbers.is_missing).astype(bool))
    try:
        table = checked(named.reset_index(drop=True), str(path))
    except UserError as error:
        raise UserError("; ".join([error.problem, *notes]), error.rule, error.fix) from None
    table.attrs["notes"] = notes
    return table


def checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Usable places in WGS-84, sorted by station_id; errors where there are none, or ambiguous or impossible ones.

    Of a station that moved the latest place is kept, by the column `start`.
    """
    placed = table.dropna(subset=["lon", "lat"])
    if placed.empty:
        raise UserError(f"No station of {where} has coordinates.", "Each station needs lon and lat in degrees.",
                        "Fill the columns lon and lat of the station table.")
    outside = placed[~(placed.lat.between(-90, 90) & placed.lon.between(-180, 360))]
    if len(outside):
        row = outside.iloc[0]
        raise UserError(f"Station {row.station_id} of {where} lies at lon {row.lon}, lat {row.lat}.",
                        "Longitudes lie in -180..360 and latitudes in -90..90 degrees.",
                        "Check whether the two columns are swapped.")
    result, moved = _latest_places(table_in_wgs84(placed), where)
    result = result.sort_values("station_id").reset_index(drop=True)
    result.attrs["without_coordinates"] = sorted(set(table["station_id"]) - set(placed["station_id"]))
    result.attrs["moved"] = moved
    return result


def _latest_places(table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[str]]:
    """One row a station, and a sentence for each that moved; an error where it is not known which row is the latest."""
    repeated = table["station_id"].duplicated(keep=False)
    if not repeated.any():
        return table, []
    chosen, moved = [], []
    for station, rows in table[repeated].groupby("station_id", sort=True):
        start = pd.to_datetime(rows["start"], errors="coerce") if "start" in rows else pd.Series(pd.NaT, rows.index)
        rows = rows.loc[start.sort_values(na_position="first", kind="stable").index]
        first, last = rows.iloc[0], rows.iloc[-1]
        separation = geo.distance_km(rows.lat, rows.lon, last.lat, last.lon).max()
        if separation > TABLE_ROUNDING_KM:
            if start.isna().sum() > 1 or start.duplicated().any():
                raise UserError(f"Station {station} stands {len(rows)} times in {where}, at places up to "
                                f"{separation:.1f} km apart.", "A station has one place at a time.",
                                "Remove the other rows, or add a column start (YYYY-MM-DD) with its first day at each "
                                "place: the latest is used.")
            way = geo.distance_km(first.lat, first.lon, last.lat, last.lon)
            moved.append(f"station {station} moved {way:.1f} km, from {first.lon:.4f}, {first.lat:.4f} to "
                         f"{last.lon:.4f}, {last.lat:.4f} on {start.max():%Y-%m-%d}; the latest place is used "
                         "throughout")
        chosen.append(last.name)
    return pd.concat([table[~repeated], table.loc[chosen]]), moved
