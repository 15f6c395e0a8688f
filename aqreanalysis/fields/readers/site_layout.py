"""What a layout of weather at sites gives: where the sites are, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.fields.variables import FIELDS, check_values, conversion, wind_components
from aqreanalysis.tables import columns, coordinates
from aqreanalysis.tables.rows import open_table

SITE_TABLES = ("sites.csv", "stations.csv")  # beside the files: station_id, lon, lat
SITE_ID, WIND_SPEED, WIND_DIRECTION = "station_id", "wind_speed", "wind_direction"
# Names that stations have for fields, and their units there; by its own name a field is in FIELDS' units.
STATION_UNITS = {"temperature": ("t2m", "degC"), "dew_point": ("d2m", "degC"), "pressure": ("sp", "hPa")}


@dataclass
class SiteRows:
    """Weather at sites, by rows that come in batches.

    `batches` gives frames with station_id (text), time (UTC, END of the hour, datetime64[ns]) and fields in the units
    of FIELDS, float32; `places` is indexed by station_id, with lon and lat (NaN: it holds everywhere).
    """

    names: tuple[str, ...]
    places: pd.DataFrame
    batches: Callable[[], Iterator[pd.DataFrame]]
    files: list[Path]                     # what they are read from
    notes: list[str] = field(default_factory=list)
    simulated: bool = False


@dataclass(frozen=True)
class SiteLayout:
    """A layout of weather at sites: `takes` files of it out of those at a path, `read` gives their rows."""

    name: str
    layout: str
    takes: Callable[[list[Path]], list[Path]]
    read: Callable[[list[Path]], SiteRows]


def site_table(paths: list[Path]) -> Path | None:
    """The table of sites beside files; None where there is none."""
    folders = dict.fromkeys(path.parent for path in paths)
    return next((found for folder in folders for name in SITE_TABLES if (found := folder / name).is_file()), None)


def read_sites(path: Path) -> pd.DataFrame:
    """station_id -> lon, lat and, where given, name; UserError where it is no such table."""
    try:
        table = open_table(path.name, path, (columns.STATION_ID, columns.LON, columns.LAT, columns.NAME),
                           ("station_id", "lon", "lat"))
    except BadFile as error:
        raise UserError(f"The table of sites {error}.", "It is a text table with station_id, lon and lat.",
                        "Correct it.") from error
    cells = table.frame()
    lon, lat, _ = coordinates.read_places(cells, table.dialect.decimal, path.name)
    found = pd.DataFrame({"lon": lon, "lat": lat}, index=columns.identifiers(cells["station_id"]).to_numpy())
    if "name" in cells:
        found["name"] = cells["name"].to_numpy()
    if wrong := [str(site) for site in found.index[~np.isfinite(found[["lon", "lat"]]).all(axis=1)
                                                   | found.index.duplicated()]]:
        raise UserError(f"{path.name}: the site {wrong[0]!r} has no place, or two rows.",
                        "Each site has one row with lon and lat in degrees.", "Correct it.")
    return found


def as_fields(given: dict[str, np.ndarray], units: dict[str, str], where: str) -> dict[str, np.ndarray]:
    """Fields in their units from columns (rows,) by our names or stations' (STATION_UNITS, wind_speed, wind_direction).

    `units` are those that a header gives. UserError for unknown ones, and values that air does not have.
    """
    found = {}
    for name, values in given.items():
        field_name, usual = STATION_UNITS.get(name, (name, FIELDS[name].units if name in FIELDS else ""))
        if field_name in FIELDS:
            convert = conversion(field_name, units.get(name, usual), where)
            found[field_name] = np.asarray(convert(values.astype(np.float64))).astype(np.float32)
    if WIND_SPEED in given and WIND_DIRECTION in given and "u10" not in found:
        speed = np.asarray(conversion("u10", units.get(WIND_SPEED, "m s-1"), where)(given[WIND_SPEED]))
        u, v = wind_components(speed, given[WIND_DIRECTION])
        found["u10"], found["v10"] = u.astype(np.float32), v.astype(np.float32)
    for name, values in found.items():
        check_values(name, values, where)
    return found


def field_names(given: list[str]) -> tuple[str, ...]:
    """The fields that columns of these names give, in the order of FIELDS."""
    have = {STATION_UNITS.get(name, (name, ""))[0] for name in given}
    if {WIND_SPEED, WIND_DIRECTION} <= set(given):
        have |= {"u10", "v10"}
    return tuple(name for name in FIELDS if name in have)


