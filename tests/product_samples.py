"""Small product files of every layout for the tests of output and of independent readers."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import output, time_axis
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.output import cf
from aqreanalysis.product.folder import ProductFolder, Record, fingerprints
from aqreanalysis.schema import QUALITY

FIRST, LAST = dt.date(2016, 2, 28), dt.date(2016, 3, 1)  # over a leap day and the end of a month
HOURS = time_axis.hours_of_days(FIRST, LAST)
DAYS = np.arange("2016-02-28", "2016-03-02", dtype="datetime64[D]")
LAYOUTS = ("regular", "curvilinear", "points")


CONTACT = cf.Contact(name="A group of tests", type="group", email="a@b.c", url="https://b.c/product",
                     institution="An institute")


def about(simulated: bool = False, contact: cf.Contact = CONTACT) -> cf.About:
    return cf.About(
        product="aqnet-analysis", grid_name="test grid", period="20160228-20160301", simulated=simulated,
        observations="A network that exists in tests.", model="aqnet-1 (neural kNN)",
        model_reference="Reference of the model.", reference_state="Concentrations at ambient conditions.",
        created="2017-01-02", software_version="1.2.3", history="2017-01-02: aqreanalysis build",
        quality="How classes are defined.", daily_quality="How they are of a day.",
        standard_error="What the error holds.", neighbours=20, minimum_hours=18, bounds="What the bounds hold.",
        contact=contact)


def grid(layout: str, folder: Path) -> Grid:
    """A grid of 7 x 9 cells, or 4 points, from a file of the layout."""
    path = folder / {"regular": "grid.txt", "curvilinear": "grid.nc", "points": "points.csv"}[layout]
    if layout == "regular":
        path.write_text("gridtype = lonlat\nxsize = 9\nysize = 7\nxfirst = 115.05\nxinc = 0.1\n"
                        "yfirst = 39.15\nyinc = 0.1\n")
    elif layout == "points":
        path.write_text("station_id,lon,lat\n1001A,116.366,39.8673\nA b,116.17,40.2865\n北京,116.4,39.9\n"
                        "7,115.5,38.8\n", encoding="utf-8")
    else:
        y, x = np.mgrid[0:7, 0:9]
        xr.Dataset({"lat": (("y", "x"), 39.0 + 0.1 * y - 0.01 * x, {"units": "degrees_north"}),
                    "lon": (("y", "x"), 115.0 + 0.1 * x + 0.02 * y, {"units": "degrees_east"})}).to_netcdf(path)
    return parse_grid(path)


def fields(points: int, hours: int = len(HOURS)) -> dict[str, np.ndarray]:
    """Hourly arrays (hours, points) whose values tell hour and point; one is missing."""
    hour, point = np.mgrid[0:hours, 0:points]
    pm25 = (20 + hour + 100 * np.sin(point + hour / 7.0) ** 2).astype(np.float32)
    pm25[5, 1] = np.nan
    return {"pm25": pm25, "pm25_standard_error": (0.1 * pm25 + 1).astype(np.float32),
            "pm25_lower": (0.8 * pm25).astype(np.float32), "pm25_upper": (1.3 * pm25).astype(np.float32),
            "quality_flag": ((hour + point) % len(QUALITY)).astype(np.int8),
            "number_of_observations": (hour % 21).astype(np.int16)}


def daily_fields(hourly: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Daily arrays (days, points) by a plain reshape: 24 stamps make a calendar day UTC+8."""
    by_day = {name: values.reshape(-1, 24, values.shape[1]) for name, values in hourly.items()}
    return {"pm25": np.nanmean(by_day["pm25"], axis=1, dtype=np.float64).astype(np.float32),
            **{name: np.nanmean(by_day[name], axis=1) for name in ("pm25_standard_error", "pm25_lower", "pm25_upper")},
            "number_of_hours": np.isfinite(by_day["pm25"]).sum(axis=1).astype(np.int8),
            "quality_flag": by_day["quality_flag"].max(axis=1)}


def distance(size: int) -> np.ndarray:
    return np.linspace(0.5, 80, size, dtype=np.float32)


def hourly_writer(path: Path, where: Grid, hours=HOURS, words: cf.About | None = None) -> output.PartWriter:
    """The writer of a whole hourly file, as the months of a product have it."""
    return output.open_part(output.ProductPart(path, hours), where, words or about(), cf.HOURLY, distance(where.size))


def hourly_file(path: Path, where: Grid, steps: int = 168, simulated: bool = False, hours=HOURS, values=None,
                contact: cf.Contact = CONTACT) -> Path:
    """An hourly file written in blocks of `steps` hours."""
    values = fields(where.size, len(hours)) if values is None else values
    with hourly_writer(path, where, hours, about(simulated, contact)) as file:
        for first in range(0, len(hours), steps):
            file.write(first, {name: array[first:first + steps] for name, array in values.items()})
    return path


def daily_file(path: Path, where: Grid, simulated: bool = False, parts: int = 2) -> Path:
    """The daily file of the same days, written in parts."""
    values = daily_fields(fields(where.size))
    pieces = np.array_split(np.arange(len(DAYS)), parts)
    output.write_daily(path, where, DAYS, ({name: array[i] for name, array in values.items()} for i in pieces),
                       about(simulated))
    return path


def truth_file(path: Path, where: Grid) -> Path:
    with output.open_part(output.ProductPart(path, HOURS), where, about(simulated=True), cf.TRUTH) as file:
        file.write(0, {"pm25": fields(where.size)["pm25"]})
    return path


def product(path: Path, where: Grid, hourly, simulated: bool = False, file_format: str = "netcdf",
            first: dt.date = FIRST) -> Path:
    """The folder of a whole product, as a build leaves it, without maps and report.

    hourly : arrays (hours, points) of whole days from `first` on; days are their plain means.
    """
    path.mkdir(parents=True)
    days, words = len(hourly["pm25"]) // 24, about(simulated)
    period = time_axis.Period(first, first + dt.timedelta(days=days - 1))
    folder = ProductFolder(path.absolute(), simulated, period, format=file_format)
    identity = {"product": "aqnet-analysis", "period": period.label, "grid": f"{where.name} {where.fingerprint}",
                "observations": "0123", "simulated": simulated, "checkpoint": "aqnet-1 4567", "format": file_format}
    record = Record(folder, {"identity": identity, "months": {}, "days": {}, "files": {}})
    for store in folder.stores:
        folder.file_format.create(store, where, period.hours, words, cf.HOURLY, len(period.months()))
    for month in period.months():
        part = folder.hourly(month)
        begin = 24 * (month.first - first).days
        with output.open_part(part, where, words, cf.HOURLY, distance(where.size)) as file:
            file.write(0, {name: array[begin:begin + len(part.stamps)] for name, array in hourly.items()})
    for store in folder.stores:
        folder.file_format.finish(store)
        record.note_file(store)
    means = daily_fields(hourly)
    for of in folder.daily():
        begin, end = (of.months[0].first - first).days, (of.months[-1].last - first).days + 1
        dates = [day for month in of.months for day in month.days()]
        output.write_daily(of.path, where, dates, [{name: array[begin:end] for name, array in means.items()}], words)
        record.note_days(of)
    for month in period.months():
        record.note_month(f"{month.first:%Y-%m}", {"files": fingerprints([folder.hourly(month)])})
    return path


HIDDEN_STATIONS, HIDDEN_DAYS = 12, 7


def hidden_rows(simulated=False, seed=0):
    """Hidden stations of two designs on seven days; kriging has twice the error of ours."""
    rng = np.random.default_rng(seed)
    n = 2 * HIDDEN_STATIONS * HIDDEN_DAYS
    station = np.tile(np.arange(HIDDEN_STATIONS), 2 * HIDDEN_DAYS)
    day = np.repeat(np.tile(np.arange(HIDDEN_DAYS), 2), HIDDEN_STATIONS)
    observed = 60 + 30 * np.sin(np.arange(24) / 4) + 15 * day[:, None] + rng.normal(0, 5, (n, 24))
    error = rng.normal(0, 8, (n, 24)) + 4 * (station[:, None] - 6)
    observed[3, 5], observed[4, :10] = np.nan, np.nan
    stamps = np.datetime64("2019-01-06T17", "h") + 24 * day.astype("timedelta64[h]")
    arrays = {"observed": observed, "pm25": observed + error, "kriging": observed + 2 * error,
              "pm25_lower": observed + error - 20, "pm25_upper": observed + error + 20}
    data = {name: (("row", "hour"), array.astype(np.float32)) for name, array in arrays.items()}
    data |= {"station_id": ("row", np.array([f"S{i:02d}" for i in station])),
             "design": ("row", np.repeat(["whole cities", "map-matched"], n // 2)),
             "time": ("row", stamps.astype("datetime64[ns]")), "weight": ("row", np.repeat([1.0, 0.5], n // 2)),
             "lat": ("row", 34 + 0.5 * station), "lon": ("row", 112 + 0.7 * station),
             "distance_to_nearest_station": ("row", 3.0 + 8 * station)}
    return xr.Dataset(data, attrs={"title": "Validation", "simulated": str(simulated).lower()})


@dataclass(frozen=True)
class Peopled:
    """A product, the people in the cells of its grid, and the file that says so."""

    product: Path
    grid: Grid
    people: np.ndarray  # (7, 9)
    population: Path


def peopled(folder: Path) -> Peopled:
    """A product of three days over the end of a month on 7 x 9 cells, and 10 to 72 people in each."""
    where = grid("regular", folder)
    people = 10.0 + np.arange(63.0).reshape(7, 9)
    xr.Dataset({"people": (("lat", "lon"), people, {"units": "1"})},
               coords={"lat": where.axis_lat, "lon": where.axis_lon}).to_netcdf(folder / "people.nc")
    return Peopled(product(folder / "product", where, fields(where.size)), where, people, folder / "people.nc")
