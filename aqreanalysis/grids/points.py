"""A list of places: a CSV with the header station_id,lon,lat (upper or lower case, any further columns)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from aqreanalysis.errors import UserError
from aqreanalysis.schema import LAT, LON

_RULE = "A list of points is a CSV in UTF-8 with the header station_id,lon,lat."


def read_points(path: Path) -> tuple[tuple[str, ...], pd.Series, pd.Series]:
    """Names, latitudes and longitudes (points,) in the order of the file.

    Raises
    ------
    UserError : for a missing column, an empty or repeated name, a coordinate that is not a number.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True,
                            encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a table: {error}.", _RULE) from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    if absent := [name for name in ("station_id", LON, LAT) if name not in table.columns]:
        raise UserError(f"{path} has no column {', '.join(absent)}; it has {', '.join(table.columns)}.",
                        _RULE)
    station_id = table["station_id"].str.strip()
    wrong = station_id.duplicated() | (station_id == "")
    if wrong.any():
        raise UserError(f"{path}: station_id {station_id[wrong].iloc[0]!r} is empty or repeated.",
                        "Every point has a name of its own.")
    lat, lon = (pd.to_numeric(table[name], errors="coerce") for name in (LAT, LON))
    if (bad := lat.isna() | lon.isna()).any():
        row = table[bad].iloc[0]
        raise UserError(f"{path}: station {row['station_id']} lies at lon {row[LON]!r}, lat {row[LAT]!r}.",
                        "Both are numbers, in degrees.")
    return tuple(station_id), lat, lon
