"""Verbs that use a finished product; `app` gives them their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from aqreanalysis.cli.made import Made, first_page
from aqreanalysis.cli.options import End, Product, Scheduler, Start, Stations, Workers, expanded, worker_count

if TYPE_CHECKING:
    from aqreanalysis.workflows.areas import AreaRequest

COMPARED = ("slice", "pairs", "bias", "NMB_percent", "RMSE", "r")  # columns of what `compare` shows
Every = Annotated[str, typer.Option(help="hour, day, or means of each month, season (DJF ...), year, or of all.")]


def export_command(
    product: Product,
    to: Annotated[str, typer.Option(help="The file: .tif (cloud-optimised GeoTIFF), .csv or .parquet.")],
    every: Every = "day",
    variable: Annotated[
        list[str] | None,
        typer.Option(help="pm25, pm25_standard_error ...; may be repeated. Default pm25 of a GeoTIFF, all of a table."),
    ] = None,
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="Cells whose centre lies between these degrees."),
    ] = None,
    points: Annotated[
        str | None, typer.Option(help="Table of points (station_id,lon,lat): the cells that they lie in.")
    ] = None,
    at: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LON LAT", help="One point: the cell that it lies in.")
    ] = None,
    start: Start = None,
    end: End = None,
    scale: Annotated[
        float | None, typer.Option(help="GeoTIFF of whole numbers of this many ug m-3 (0.1), instead of float32.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Of a GeoTIFF: cog, the default, or geotiff (bands apart).")
    ] = None,
    with_error: Annotated[
        bool, typer.Option("--with-error", help="Of a GeoTIFF: after each band the one of its standard error.")
    ] = False,
    workers: Workers = None,
) -> Made:
    """Write a product, or some of it, as GeoTIFF, CSV or Parquet, with what it is in each file."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.workflows.export import export

    with tables.reading_bar() as progress:
        made = export(product, to, every, variable or (), box, points, at, start, end, scale, layout,
                      worker_count(workers), with_error, console.note, progress)
    if made.rows is not None:
        console.say(f"{made.rows:,} rows")
    for path in made.kept:
        console.say(f"kept, as it is what would be written: {path}")
    return Made(made.written, facts={"rows": made.rows, "kept": [str(path) for path in made.kept]})


def summarise_command(
    product: Product,
    to: Annotated[str, typer.Option(help="Folder for the files.")],
    every: Annotated[
        str | None,
        typer.Option(help="day, month, season (DJF ...), year, all; several with commas. Default: month,season,year."),
    ] = None,
    start: Start = None,
    end: End = None,
    percentiles: Annotated[str | None, typer.Option(help="Of the days, in percent: 98.")] = None,
    days_above: Annotated[
        str | None, typer.Option(help="Limits of daily means, ug m-3. Default: 15,25,35,37.5,50,75 (GB 3095, WHO).")
    ] = None,
    hours_above: Annotated[str | None, typer.Option(help="Limits of hourly means, ug m-3. Default: none.")] = None,
    format: Annotated[str, typer.Option(help="netcdf: a file for each kind of period. zarr: one store.")] = "netcdf",
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """Months, seasons and years of a product: means, percentiles, days above limits, each with its error."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.summaries import limits
    from aqreanalysis.summaries.statistics import SummaryOptions
    from aqreanalysis.workflows.summarise import SummaryRequest, write_summaries

    options = SummaryOptions(
        limits.parse_numbers(percentiles, "--percentiles", limits.PERCENTILES, high=100.0),
        limits.parse_numbers(days_above, "--days-above", limits.DAYS_ABOVE),
        limits.parse_numbers(hours_above, "--hours-above", ()))
    request = SummaryRequest(product, to, tuple(every.split(",")) if every else (), start, end, options, format,
                             worker_count(workers, scheduler), scheduler)
    with tables.reading_bar() as progress:
        return Made(write_summaries(request, progress, console.warn))


@dataclass(frozen=True)
class AreaOptions:
    """Which areas, people and days: of every verb that makes means over areas."""

    areas: Annotated[
        str | None, typer.Option("--areas", help="Vector file of polygons. Default: the provinces that ship.")
    ] = None
    layer: Annotated[str | None, typer.Option(help="Of a file of areas with several.")] = None
    names: Annotated[str | None, typer.Option(help="The column with the areas' names.")] = None
    crs: Annotated[str | None, typer.Option(help="Of a file of areas that does not say its own: EPSG:4326.")] = None
    population: Annotated[
        str | None, typer.Option(help="Raster or NetCDF file with people per cell, or per km2.")
    ] = None
    population_is: Annotated[str | None, typer.Option(help="count or density, where the file does not say it.")] = None
    population_variable: Annotated[str | None, typer.Option(help="Of a NetCDF file with several.")] = None
    start: Start = None
    end: End = None

    def request(self, product: str, every: str, above: str | None, limits: tuple[float, ...]) -> AreaRequest:
        """What is asked for; `limits` in the place of `above` where that is not given."""
        from aqreanalysis.summaries.limits import parse_numbers
        from aqreanalysis.workflows.areas import AreaRequest

        return AreaRequest(product, every, above=parse_numbers(above, "--above", limits), **asdict(self))


NO_AREA_OPTIONS = AreaOptions()


@expanded
def areas_command(
    product: Product,
    to: Annotated[str, typer.Option(help="The file: .csv, .parquet, .gpkg (GeoPackage) or .nc (CF).")],
    every: Annotated[str, typer.Option(help="hour, day, month, season (DJF ...), year, or all.")] = "month",
    above: Annotated[
        str | None, typer.Option(help="Limits in ug m-3 that days and people are counted above: 15,35,75.")
    ] = None,
    options: AreaOptions = NO_AREA_OPTIONS,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """Means over areas, and over their people, each with its standard error and 90 % bounds."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.workflows.areas import LIMITS, write_areas

    count = worker_count(workers, scheduler)
    request = options.request(product, every, above, LIMITS)
    with tables.reading_bar() as progress:
        return Made([write_areas(request, to, count, scheduler, progress, console.note)])


@expanded
def exposure_command(
    product: Product,
    to: Annotated[str, typer.Option(help="The table: .csv, .parquet, .gpkg or .nc; that of classes lies beside it.")],
    every: Annotated[str, typer.Option(help="day, month, season (DJF ...), year, or all.")] = "year",
    above: Annotated[
        str | None, typer.Option(help="Limits in ug m-3 that people are counted above. Default: 5,10,15,25,35,75.")
    ] = None,
    percentiles: Annotated[str | None, typer.Option(help="Over people, in percent. Default: 5,25,50,75,95.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Edges of classes, ug m-3. Default: steps of 5 up to 75, then 100, 150, 250.")
    ] = None,
    figure: Annotated[
        str | None, typer.Option(help="The picture: .png, .pdf, .svg ...; default a PNG beside the table.")
    ] = None,
    options: AreaOptions = NO_AREA_OPTIONS,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """How the people of areas are distributed over concentration: percentiles, classes, shares above limits."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.summaries import limits
    from aqreanalysis.workflows import exposure as of

    count = worker_count(workers, scheduler)
    request = of.ExposureRequest(options.request(product, every, above, of.LIMITS),
                                 limits.parse_numbers(percentiles, "--percentiles", of.PERCENTILES, high=100.0),
                                 limits.parse_numbers(classes, "--classes", of.CLASSES))
    with tables.reading_bar() as progress:
        return Made(of.write_exposure(request, to, figure, count, scheduler, progress, console.note))


def compare_command(
    product: Product,
    others: Annotated[
        list[str], typer.Argument(help="Files or a folder of another gridded PM2.5, or another product of ours.")
    ],
    to: Annotated[str, typer.Option(help="Folder for tables, maps, figures and the page.")],
    observations: Annotated[
        str | None, typer.Option(help="Archive of observations, to put both beside; as of `build`.")
    ] = None,
    stations: Stations = None,
    start: Start = None,
    end: End = None,
    variable: Annotated[str | None, typer.Option(help="The other's PM2.5, where it is not found by name.")] = None,
    units: Annotated[str | None, typer.Option(help="Its unit, where the file has none or a wrong one.")] = None,
    level: Annotated[int | None, typer.Option(min=0, help="Number of its level at the ground, from 0.")] = None,
    stamp: Annotated[
        str | None, typer.Option(help="What of a step its stamps mark, where it has no bounds: start, middle or end.")
    ] = None,
    days: Annotated[str | None, typer.Option(help="Whose days its dates are: utc or utc+8.")] = None,
    step: Annotated[str | None, typer.Option(help="How long a step is: hour, day, month or year.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is called in figures; default its file's name.")] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """Compare a product with another gridded PM2.5 on common cells and times, and both with observations."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.workflows.compare import compare

    with tables.reading_bar() as progress:
        found = compare(product, others, to, observations=observations, station_table=stations, variable=variable,
                        units=units, level=level, stamp=stamp, days=days, step=step, start=start, end=end, name=name,
                        say=console.note, progress=progress, workers=worker_count(workers, scheduler),
                        scheduler=scheduler)
    shown = found.pairs[found.pairs.by.isin(("all", "season"))].to_dict("records")
    for row in shown:
        console.say(f"{row['slice']}: {row['pairs']:,} pairs, bias {row['bias']:+.2f} ({row['NMB_percent']:+.1f} %), "
                    f"RMSE {row['RMSE']:.2f}, r {row['r']:.3f}")
    return Made(found.files, [{name: row[name] for name in COMPARED} for row in shown],
                open_first=first_page(found.files))


COMMANDS: dict[str, Callable[..., Made]] = {"export": export_command, "summarise": summarise_command,
                                            "areas": areas_command, "exposure": exposure_command,
                                            "compare": compare_command}
