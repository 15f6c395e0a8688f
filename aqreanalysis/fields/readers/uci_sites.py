"""The weather of UCI 501, "Beijing Multi-Site Air Quality": TEMP, PRES, DEWP, RAIN, wd and WSPM of 12 stations.

Stamps are UTC+8 and END an hour; `wd` is one of 16 points FROM which the wind blows; a calm (WSPM 0) has no direction.
Places are those of stations.csv beside the files, by station_id or the part of it behind its last `_`. The files lie
loose or in the zip of the download. doi:10.24432/C5RK5G, CC BY 4.0.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis import containers
from aqreanalysis.errors import UserError
from aqreanalysis.fields.readers.site_layout import SITE_ID, SiteLayout, SiteRows, as_fields, read_sites, site_table
from aqreanalysis.fields.variables import COMPASS
from aqreanalysis.time_axis import UTC_OFFSET_HOURS

_NAME = re.compile(r"PRSA_Data_(?P<site>\w+)_\d{8}-\d{8}\.csv")
_COLUMNS = {"TEMP": "temperature", "PRES": "pressure", "DEWP": "dew_point", "RAIN": "tp", "WSPM": "wind_speed"}
_TIME = ["year", "month", "day", "hour"]
UCI_FIELDS = ("u10", "v10", "t2m", "d2m", "sp", "tp")


def _members(path: Path) -> dict[str, str]:
    """Site -> name of its file in a zip."""
    try:
        with zipfile.ZipFile(path) as container:
            names = [member.name for member in containers.zip_members(container)[0]]
    except zipfile.BadZipFile:
        return {}
    return {match["site"]: name for name in names if (match := _NAME.fullmatch(Path(name).name))}


def _sites(path: Path) -> list[str]:
    match = _NAME.fullmatch(path.name)
    return [match["site"]] if match else list(_members(path))


def _takes(paths: list[Path]) -> list[Path]:
    return [path for path in paths if _NAME.fullmatch(path.name)
            or (path.suffix.lower() == ".zip" and _members(path))]


def _contents(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Site and bytes of each file."""
    for path in paths:
        if match := _NAME.fullmatch(path.name):
            yield match["site"], path.read_bytes()
            continue
        with zipfile.ZipFile(path) as container:
            members = {member.name: member for member in containers.zip_members(container)[0]}
            for site, name in sorted(_members(path).items()):
                yield site, containers.read_member(container, members[name], name)


def _read(paths: list[Path]) -> SiteRows:
    table = site_table(paths)
    if table is None:
        raise UserError(f"There is no table of sites beside {paths[0].name}.",
                        "The UCI files have no coordinates; stations.csv (station_id,lon,lat) gives them.",
                        "Put it there.")
    places = read_sites(table)
    ids = {key.casefold(): str(site) for site in places.index for key in (str(site), str(site).rpartition("_")[2])}

    def batches() -> Iterator[pd.DataFrame]:
        for site, content in _contents(paths):
            if site.casefold() in ids:
                yield _rows(site, ids[site.casefold()], content)

    known = [site for path in paths for site in _sites(path)]
    notes = [f"{site} is not in {table.name} and is not read" for site in known if site.casefold() not in ids]
    return SiteRows(UCI_FIELDS, places.loc[[ids[site.casefold()] for site in known if site.casefold() in ids]],
                    batches, [*paths, table], notes)


def _rows(site: str, site_id: str, content: bytes) -> pd.DataFrame:
    try:
        frame = pd.read_csv(io.BytesIO(content), usecols=[*_TIME, *_COLUMNS, "wd"], dtype={"wd": str},
                            keep_default_na=False, na_values=["NA", ""])
        local = pd.to_datetime(frame[_TIME]).to_numpy().astype("datetime64[ns]")
        given = {ours: pd.to_numeric(frame[theirs]).to_numpy(np.float64) for theirs, ours in _COLUMNS.items()}
    except ValueError as error:
        raise UserError(f"The file of {site} can't be read: {' '.join(str(error).split()):.150}.",
                        "It has the columns of the UCI set.", "Download it again.") from error
    given["wind_direction"] = frame["wd"].str.strip().map(COMPASS).to_numpy(np.float64)
    found = pd.DataFrame(as_fields(given, {}, site))
    found.insert(0, "time", local - np.timedelta64(UTC_OFFSET_HOURS, "h"))
    found.insert(0, SITE_ID, site_id)
    return found


UCI_SITES = SiteLayout("UCI", "PRSA_Data_<station>_YYYYMMDD-YYYYMMDD.csv, loose or zipped, with stations.csv", _takes,
                       _read)
