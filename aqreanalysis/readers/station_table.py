"""Station tables: CSV with station_id, lon, lat and, where known, name, city and province."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from aqreanalysis.errors import UserError

REQUIRED = ("station_id", "lon", "lat")


def read_station_table(path: Path) -> pd.DataFrame:
    """A station table sorted by station_id; stations without coordinates are left out.

    UTF-8 (with or without a mark) or GBK. The table's `attrs["without_coordinates"]` lists the
    stations that were left out.
    """
    if not path.is_file():
        raise UserError(f"The station table {path} does not exist.",
                        "National daily files name stations by id only; a table gives their places.",
                        "Put stations.csv (station_id,lon,lat) beside the files or give --stations FILE.")
    table = _read_csv(path)
    table.columns = [str(name).strip().lower() for name in table.columns]
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise UserError(f"The station table {path} has no column {', '.join(missing)}; it has "
                        f"{', '.join(table.columns[:8])}.",
                        f"A station table has the columns {', '.join(REQUIRED)}.", "Rename its columns.")
    table["station_id"] = table["station_id"].astype(str).str.strip()
    for name in ("lon", "lat"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return checked(table, str(path))


def checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Places that can be used, sorted by station_id; errors for none, for duplicates, for nonsense."""
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
    repeated = placed["station_id"][placed["station_id"].duplicated()]
    if len(repeated):
        raise UserError(f"Station {repeated.iloc[0]} stands {1 + (repeated == repeated.iloc[0]).sum()} times "
                        f"in {where}.", "A station has one place.", "Remove the other rows.")
    result = placed.sort_values("station_id").reset_index(drop=True)
    result.attrs["without_coordinates"] = sorted(set(table["station_id"]) - set(placed["station_id"]))
    return result


def _read_csv(path: Path) -> pd.DataFrame:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return pd.read_csv(path, dtype=str, encoding=encoding)  # text: ids may have leading zeros
        except UnicodeDecodeError:
            continue
        except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
            raise UserError(f"The station table {path} can't be read as CSV ({error}).",
                            "A station table is CSV with the columns station_id,lon,lat.",
                            "Open it and mend it.") from error
    raise UserError(f"The station table {path} is neither UTF-8 nor GBK text.",
                    "A station table is CSV text.", "Save it as UTF-8 CSV.")
