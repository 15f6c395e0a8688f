"""Station tables: CSV with station_id, lon, lat and, where known, name, city and province.

Optional columns: `datum` (wgs84, gcj02 or bd09; observations/datums.py), and `start`, the first day of a station at a
place, for stations that moved and so have several rows.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.observations.datums import table_in_wgs84

TABLE_COLUMNS = ("station_id", "lon", "lat")
# Column names of the station lists that circulate in China
_OURS = {"监测点编码": "station_id", "监测点名称": "name", "城市": "city", "省份": "province",
         "经度": "lon", "纬度": "lat"}
TABLE_ROUNDING_KM = 0.1   # tables round coordinates to 0.001 degree


def read_station_table(path: Path) -> pd.DataFrame:
    """A station table sorted by station_id; stations without coordinates are left out.

    UTF-8 (with or without a mark) or GBK. The table's `attrs["without_coordinates"]` lists the
    stations that were left out, `attrs["moved"]` has a sentence for each station that moved.
    """
    if not path.is_file():
        raise UserError(f"The station table {path} does not exist.",
                        "National daily files name stations by id only; a table has their places.",
                        "Put stations.csv (station_id,lon,lat) beside the files or give --stations FILE.")
    table = _read_csv(path)
    table.columns = [_OURS.get(str(name).strip(), str(name).strip().lower()) for name in table.columns]
    missing = [name for name in TABLE_COLUMNS if name not in table]
    if missing:
        raise UserError(f"The station table {path} has no column {', '.join(missing)}; it has "
                        f"{', '.join(table.columns[:8])}.",
                        f"A station table has the columns {', '.join(TABLE_COLUMNS)}.", "Rename its columns.")
    table["station_id"] = table["station_id"].astype(str).str.strip()
    for name in ("lon", "lat"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return checked(table, str(path))


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


def _read_csv(path: Path) -> pd.DataFrame:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return pd.read_csv(path, dtype=str, encoding=encoding)  # text: ids may have leading zeros
        except UnicodeDecodeError:
            continue
        except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
            raise UserError(f"The station table {path} can't be read as CSV ({error}).",
                            "A station table is CSV with the columns station_id,lon,lat.",
                            "Open it and correct it.") from error
    raise UserError(f"The station table {path} is neither UTF-8 nor GBK text.",
                    "A station table is CSV text.", "Save it as UTF-8 CSV.")
