"""The files of a product's own validation: validation.csv, validation.nc and calibration.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import files, schema
from aqreanalysis.errors import UserError
from aqreanalysis.models import calibration
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.output import cf
from aqreanalysis.output.cf import About
from aqreanalysis.product.folder import ProductFolder
from aqreanalysis.product.validation.fit import Fitted
from aqreanalysis.product.validation.hidden import HiddenDays
from aqreanalysis.time_axis import HOURS_PER_DAY, first_hours

DIGITS = "%.6g"
COMPRESSED = {"zlib": True, "complevel": 4, "shuffle": True}
HOUR_BITS = 10  # of mantissa that are kept of hours, a relative error of 0.05 %


def paths(folder: ProductFolder) -> list[Path]:
    """Where they are: table, hours, factors."""
    return [folder.validation("csv"), folder.validation("nc"), folder.calibration]


def write_factors(path: Path, made: Calibration | None, facts: dict[str, Any]) -> None:
    """The factors of a product, None where it has none of its own, and what is known of its validation."""
    content = {"calibration": made.asdict() if made else {}, "validation": facts}
    files.replace_text(path, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_factors(path: Path) -> tuple[Calibration | None, dict[str, Any]]:
    """What `write_factors` wrote; UserError where it is not that."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return calibration.of_card(content["calibration"]), content["validation"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read ({error}).", "It holds the factors of a product's errors.",
                        "Delete it and give the same command again.") from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """The table of scores."""
    with files.whole(path) as part:
        table.to_csv(part, index=False, float_format=DIGITS)


def write_hours(path: Path, days: HiddenDays, fitted: Fitted | None, table: pd.DataFrame, about: About) -> None:
    """What was estimated and observed at hidden stations, a row for each station, day and design.

    `fitted`: the bounds of factors that were fitted without the stations of the own city, as they are scored; `table`
    has station_id, lat and lon.
    """
    place = table.set_index("station_id").loc[list(days.station)] if len(days.station) else table.iloc[:0]
    stamps = first_hours(days.day)
    epoch = cf.hours_since_epoch(stamps)
    rows: dict[str, Any] = {
        "station_id": ("row", days.station.astype(str), {"long_name": "station that was hidden"}),
        "design": ("row", days.design.astype(str), {"long_name": "how it was hidden: a hold-out design"}),
        "lat": ("row", place["lat"].to_numpy(float), {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("row", place["lon"].to_numpy(float), {"standard_name": "longitude", "units": "degrees_east"}),
        "time": ("row", epoch, {"standard_name": "time", "units": cf.EPOCH_UNITS, "calendar": "standard",
                                "long_name": "end of the day's first hour, in UTC; a day is one of UTC+8"}),
        "hour": ("hour", np.arange(HOURS_PER_DAY, dtype=np.int32),
                 {"long_name": "hours after `time`", "units": "hours"}),
        "distance_to_nearest_station": ("row", days.distance, {
            "long_name": "distance to the nearest station that was given to the model", "units": "km"}),
        "weight": ("row", days.weight, {"units": "1", "long_name": "how much the row counts in its design: as the land "
                                                                   "of the map that it stands for, else 1"})}
    rows |= {name: (("row", "hour"), _rounded(values), _attributes(name))
             for name, values in _hourly(days, fitted).items()}
    coords = ("station_id", "lat", "lon", "time", "hour")
    data = xr.Dataset(rows, attrs=_global(about)).set_coords(coords)
    with files.whole(path) as part:
        data.to_netcdf(part, engine="netcdf4", encoding={str(name): _encoding(data[name]) for name in data.variables})


def _encoding(variable: xr.DataArray) -> dict[str, Any]:
    if variable.dtype.kind in "UO":
        return {"dtype": "S1"}
    return COMPRESSED | {"_FillValue": np.float32(np.nan)} if variable.ndim == 2 else {"_FillValue": None}


def _hourly(days: HiddenDays, fitted: Fitted | None) -> dict[str, np.ndarray]:
    found = {"observed": days.truth, schema.TARGET: days.estimate, "kriging": days.kriging}
    if fitted is not None:
        found |= dict(zip((schema.STANDARD_ERROR, schema.LOWER, schema.UPPER), fitted.hours, strict=True))
    return {name: np.where(np.isfinite(days.truth), values, np.nan) for name, values in found.items()}


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 with HOUR_BITS of mantissa, so that they pack well."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    drop = np.uint32(23 - HOUR_BITS)
    half = np.uint32(1) << (drop - np.uint32(1))
    return np.where(np.isfinite(values), ((bits + half) >> drop << drop).view(np.float32), np.float32(np.nan))


def _attributes(name: str) -> dict[str, Any]:
    words = {"observed": "observed at the hidden station", schema.TARGET: "estimate of the product's model",
             "kriging": "estimate of ordinary kriging", schema.STANDARD_ERROR: "standard error of the estimate",
             schema.LOWER: "lower 90 % bound", schema.UPPER: "upper 90 % bound"}
    error = name == schema.STANDARD_ERROR
    return {"standard_name": schema.STANDARD_NAMES[schema.TARGET] + (" standard_error" if error else ""),
            "units": schema.UNITS[schema.TARGET],
            "long_name": f"hourly mean mass concentration of PM2.5: {words[name]}",
            "coordinates": "station_id lat lon time hour"}


def _global(about: About) -> dict[str, Any]:
    mark = "SIMULATED " if about.simulated else ""
    return {"Conventions": "CF-1.11",
            "title": (f"{mark}PM2.5 at hidden stations: validation of {about.product}, {about.grid_name}, "
                      f"{about.period}"),
            "source": f"{mark}Observations: {about.observations} Model: {about.model}.",
            "simulated": "true" if about.simulated else "false", "reference_state": about.reference_state,
            "comment": ("Each row is a station on a day on which the model was not given it, nor what else its design "
                        "hides. Bounds are of factors that were fitted without the stations of its city."),
            "history": about.history, "license": about.license}
