"""What columns and stations are called: the names that people, networks and packages give them, in any case.

>>> found = match(["Station_ID", "Longitude", "LAT", "PM2.5 (ug/m3)", "note"], (STATION_ID, LON, LAT, *POLLUTANTS))
>>> found.position, found.unused
({'station_id': 0, 'lon': 1, 'lat': 2, 'pm25': 3}, ('note',))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis import schema
from aqreanalysis.errors import BadFile


@dataclass(frozen=True)
class Column:
    """A column by our name, and what else it may be called (in the form of `plain`).

    `weak` names mean it only where no other name of it is there: a `station` beside a `station_id` is something else.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    kind: str = "text"   # "text" | "number" | "time"


STATION_ID = Column("station_id", (
    "stationid", "station_code", "stationcode", "site_id", "siteid", "site_code", "sitecode", "station_no",
    "监测点编码", "监测点编号", "站点编码", "站点编号", "站点id", "站号", "点位编码"),
    ("station", "site", "id", "code", "编码", "编号"))
TIME = Column("time", (
    "datetime", "date_time", "timestamp", "time_utc", "datetime_utc", "utc_time", "utc_datetime", "date_utc", "utc",
    "time_gmt", "datetime_gmt", "date_gmt", "datetimeutc",
    "valid_time", "时间", "日期时间", "监测时间"), ("date", "日期"), kind="time")
DAY = Column("day", ("日",), ("date", "日期"), kind="time")   # beside a `time` that is a clock's, or a year and a month
YEAR, MONTH = Column("year", ("年",), kind="number"), Column("month", ("月",), kind="number")
HOUR = Column("hour", ("小时", "时"), kind="number")
LON = Column("lon", ("longitude", "long", "lng", "经度"), ("x",), kind="number")
LAT = Column("lat", ("latitude", "纬度"), ("y",), kind="number")
NAME = Column("name", ("station_name", "site_name", "监测点名称", "站点名称", "点位名称"), ("station", "site", "名称"))
CITY = Column("city", ("城市", "城市名称"))
PROVINCE = Column("province", ("prov", "省份", "省"))
DATUM = Column("datum", ("坐标系",))
BACKGROUND = Column("background", ("is_background", "background_station", "对照点", "背景点"),
                    ("site_type", "station_type", "area_type", "站点类型", "点位类型"))
START = Column("start", ("start_date", "valid_from", "since"))
SIMULATED = Column("simulated")
_SPELLINGS = {"pm25": ("pm2_5", "pm2p5", "pm_2_5", "pm_25", "细颗粒物"), "pm10": ("pm_10", "可吸入颗粒物"),
              "so2": ("二氧化硫",), "no2": ("二氧化氮",), "co": ("一氧化碳",), "o3": ("ozone", "臭氧")}
_BEHIND = ("浓度", "_浓度", "小时浓度", "_conc", "_concentration", "_1h", "_hourly")   # no means of 24 h


def _spelled(name: str) -> tuple[str, ...]:
    bare = _SPELLINGS.get(name, ())
    return bare + tuple(word + behind for word in (name, *bare) for behind in _BEHIND)


POLLUTANTS = tuple(Column(name, _spelled(name), kind="number") for name in schema.POLLUTANTS)
INDEX_NAMES = re.compile(r"|unnamed_\d+|index|level_\d+|row_?names|__index_level_\d+__|x1|v1|_1")  # of R, pandas
_UNIT = re.compile(r"[\s_]*[\[(（](?P<unit>[^\])）]*)[\])）]\s*$"
                   r"|[\s_.](?P<mass>[uµμm]g)[\s_./]*m(?:\^|\*\*)?[\s_]*-?[3³]$|[\s_.](?P<ratio>pp[bm])v?$",
                   re.IGNORECASE)
NO_IDS = ("nan", "none", "<na>", "null")


@dataclass(frozen=True)
class Matched:
    """Where columns of a table stand."""

    names: tuple[str, ...]        # as the file has them
    position: dict[str, int]      # our name -> number of the column
    units: dict[str, str]         # our name -> the unit in its header, where there is one
    unused: tuple[str, ...]       # names of columns that are not read, without those of an index


def plain(name: str) -> str:
    """A name in small letters, with _ for what separates words: `PM2.5` is pm2_5.

    >>> plain(" Station ID"), plain("PM₂.₅")
    ('station_id', 'pm2_5')
    """
    text = name.strip().strip("\ufeff\"'").strip().casefold().translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    return re.sub(r"[\s.\-:/]+", "_", text).strip("_") if text.strip("_") else text


def without_unit(name: str) -> tuple[str, str]:
    """A header's name and the unit that stands behind it in brackets, else "".

    >>> without_unit("PM2.5 (µg/m³)"), without_unit("CO[mg/m3]"), without_unit("lon")
    (('PM2.5', 'µg/m³'), ('CO', 'mg/m3'), ('lon', ''))
    >>> without_unit("pm25_ugm3"), without_unit("CO mg m-3"), without_unit("o3_ppb")
    (('pm25', 'ug/m3'), ('CO', 'mg/m3'), ('o3', 'ppb'))
    """
    found = _UNIT.search(name)
    if not found or not found.start():
        return name, ""
    unit = f"{found['mass']}/m3" if found["mass"] else found["ratio"] or found["unit"]
    return name[:found.start()], unit.strip()


def match(names: Sequence[str], columns: Iterable[Column], table: str = "The table") -> Matched:
    """Which of `columns` stand where among the names of a header.

    Raises
    ------
    BadFile : where two columns have one meaning; it names both.
    """
    bare = [without_unit(name) for name in names]
    keys = [plain(name) for name, _ in bare]
    position: dict[str, int] = {}
    for weak in (False, True):
        for column in columns:
            wanted = column.weak if weak else (column.name, *column.synonyms)
            here = [number for number, key in enumerate(keys) if key in wanted and number not in position.values()]
            if column.name in position and weak:
                continue
            if len(here) > 1:
                pair = " and ".join(repr(names[number].strip()) for number in here[:2])
                raise BadFile(f"{table} has two columns for {column.name}: {pair} (remove or rename one)")
            if here:
                position[column.name] = here[0]
    taken = set(position.values())
    unused = tuple(names[number].strip() for number, key in enumerate(keys)
                   if number not in taken and not INDEX_NAMES.fullmatch(key))
    units = {name: bare[number][1] for name, number in position.items() if bare[number][1]}
    return Matched(tuple(names), position, units, unused)


def identifiers(cells: pd.Series) -> pd.Series:
    """Ids of stations as text, without blanks round them; "" for none. Whole numbers lose the `.0` of floats.

    >>> identifiers(pd.Series([" 1001A", "54511.0", None, 7])).tolist()
    ['1001A', '54511', '', '7']
    """
    codes, words = pd.factorize(cells)
    ids = [re.sub(r"^(\d+)\.0$", r"\1", str(word).strip()) for word in words]
    known = np.array(["" if text.casefold() in NO_IDS else text for text in ids] + [""], object)
    return pd.Series(known[codes], index=cells.index, dtype=object)
