"""The text of a UCI Beijing file: one station's hours, six pollutants and the weather.

Columns No, year, month, day, hour, PM2.5 ... WSPM, station; NA is missing; CO is in ug m-3. A cell that is no number
counts as missing and is told; a file whose form is wrong is a BadFile.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import BadFile
from aqreanalysis.observations.readers import anomalies
from aqreanalysis.observations.readers.archive import check_text

CLOCK = ("year", "month", "day", "hour")
NUMBERS = {"PM2.5": "pm25", "PM10": "pm10", "SO2": "so2", "NO2": "no2", "CO": "co", "O3": "o3", "TEMP": "temperature",
           "PRES": "pressure", "DEWP": "dew_point", "RAIN": "rain", "WSPM": "wind_speed"}
COLUMNS = (*CLOCK, *NUMBERS, "wd", "station")
COMPASS = {point: 22.5 * number for number, point in enumerate(
    "N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW".split())}  # degrees from which the wind comes
CO_TO_MG = 0.001


@dataclass(frozen=True)
class Record:
    """What one file holds."""

    rows: pd.DataFrame   # station_id, time (UTC, END of hour) and float32 in schema.UNITS, in order of time
    odd: list[str]
    digest: str          # of the bytes


def parse(name: str, content: bytes, station: str, station_id: str) -> Record:
    """The rows of a file of one station; BadFile that says what is wrong with it.

    Parameters
    ----------
    name : of the file, for what is told of it.
    content : its bytes.
    station : what its last column must say.
    station_id : what the station is called here.
    """
    table = _table(name, content, station)
    rows, odd = {"station_id": station_id, "time": _time(name, table)}, []
    for column, ours in NUMBERS.items():
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float, na_value=np.nan)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        odd += _strays(name, table[column], np.isnan(numbers))
        rows[ours] = (numbers * (CO_TO_MG if ours == "co" else 1)).astype(np.float32)
    direction = table["wd"].astype(object).map(COMPASS).to_numpy(float, na_value=np.nan)
    odd += _strays(name, table["wd"], np.isnan(direction))
    rows["wind_direction"] = direction.astype(np.float32)
    local = rows["time"] + np.timedelta64(time_axis.UTC_OFFSET_HOURS, "h")

    def place(row: int, _: int) -> str:
        return f"{station}, {pd.Timestamp(local[row]):%Y-%m-%d %H:%M} (UTC+8)"

    odd += anomalies.absurd(name, {ours: rows[ours][:, None] for ours in schema.POLLUTANTS}, place)
    ordered = pd.DataFrame(rows).sort_values("time", kind="stable", ignore_index=True)
    return Record(ordered, odd, hashlib.sha256(content).hexdigest())


def _table(name: str, content: bytes, station: str) -> pd.DataFrame:
    """The columns of a file as they stand there; BadFile that says what is wrong with its form."""
    check_text(name, content)
    try:
        table = pd.read_csv(io.BytesIO(content), encoding="utf-8-sig", na_values=["NA", ""], keep_default_na=False,
                            low_memory=False, skip_blank_lines=False)
    except (pd.errors.ParserError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{name} can't be read as CSV ({str(error).strip()[:120]})") from error
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise BadFile(f"{name} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns[:6]))} ...")
    if table.empty:
        raise BadFile(f"{name} has a header and no rows")
    wrong = np.flatnonzero((table["station"] != station).to_numpy())
    if len(wrong):  # the last column: a line that is cut off has none
        found = table["station"].iloc[wrong[0]]
        raise BadFile(f"{name} is truncated or damaged in line {wrong[0] + 2}" if pd.isna(found) else
                      f"{name} has the station {str(found)[:20]!r} in line {wrong[0] + 2}")
    return table


def _time(name: str, table: pd.DataFrame) -> np.ndarray:
    """UTC stamps, datetime64[ns]; BadFile for what is no hour."""
    numbers = table[list(CLOCK)].apply(pd.to_numeric, errors="coerce")
    local = pd.to_datetime(numbers[["year", "month", "day"]], errors="coerce")
    wrong = np.flatnonzero((local.isna() | ~numbers["hour"].isin(range(24))).to_numpy())
    if len(wrong):
        cells = " ".join(str(cell) for cell in table[list(CLOCK)].iloc[wrong[0]])
        raise BadFile(f"{name} has the date and hour {cells[:40]!r} in line {wrong[0] + 2}")
    hours = pd.to_timedelta(numbers["hour"] - time_axis.UTC_OFFSET_HOURS, unit="h")
    return (local + hours).to_numpy().astype("datetime64[ns]")


def _strays(name: str, column: pd.Series, missing: np.ndarray) -> list[str]:
    """A sentence if cells that are not missing by their text gave no number."""
    found = np.flatnonzero(missing & column.notna().to_numpy())
    if not len(found):
        return []
    return [anomalies.strays(name, len(found), str(column.iloc[found[0]]), f"in line {found[0] + 2}", column.name)]
