"""A list of places: a text table with the columns station_id, lon, lat, of any dialect, and any further columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.schema import LAT, LON
from aqreanalysis.tables import columns, coordinates, rows

# a list of places may have names only
POINT_ID = replace(columns.STATION_ID, weak=(*columns.STATION_ID.weak, "name", *columns.NAME.synonyms, "名称"))
_RULE = "A list of points is a text table with the header station_id,lon,lat."


def read_points(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, latitudes and longitudes (points,) in the order of the file.

    Raises
    ------
    UserError : for what is no such table, a row that can't be read, an empty or repeated name, a coordinate that is
        not a number: a place that is asked for is never left out.
    """
    bad = rows.BadRows()
    try:
        table = rows.open_table(path.name, path, (POINT_ID, columns.LON, columns.LAT),
                                ("station_id", LON, LAT))
        cells = table.frame(bad)
    except BadFile as error:
        raise UserError(f"{path.parent / str(error)}.", _RULE) from error
    if bad.count:
        raise UserError(f"{path.parent / bad.sentence(path.name, table.dialect.width)}.",
                        "Every row has as many cells as the header.", "Correct the row.")
    station_id = columns.identifiers(cells["station_id"])
    wrong = station_id.duplicated() | (station_id == "")
    if wrong.any():
        raise UserError(f"{path}: station_id {station_id[wrong].iloc[0]!r} is empty or repeated (line "
                        f"{station_id[wrong].index[0]}).", "Every point has a name of its own.")
    lon, lat, _ = coordinates.read_places(cells, table.dialect.decimal, path.name)
    unknown = np.flatnonzero(np.isnan(lat) | np.isnan(lon))
    if len(unknown):
        row = cells.iloc[unknown[0]]
        raise UserError(f"{path}: station {row['station_id']} in line {cells.index[unknown[0]]} lies at lon "
                        f"{row[LON]!r}, lat {row[LAT]!r}.", "Both are degrees, as 116.397 or 116°23'49\"E.")
    return tuple(station_id), lat, lon
