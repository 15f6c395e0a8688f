"""Verbs that use a finished product; `app` gives them their names."""

from __future__ import annotations

from typing import Annotated

import typer

from aqreanalysis.cli.options import CORES, End, Start, Workers

Product = Annotated[str, typer.Argument(help="Folder of a product, or one of its files.")]
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
    workers: Workers = CORES,
) -> None:
    """Write a product, or some of it, as GeoTIFF, CSV or Parquet, with what it is in each file."""
    from aqreanalysis.cli import console, tables
    from aqreanalysis.workflows.export import export

    with tables.reading_bar() as progress:
        made = export(product, to, every, variable or (), box, points, at, start, end, scale, layout, workers,
                      console.say, progress)
    if made.rows is not None:
        console.say(f"{made.rows:,} rows")
    for path in made.kept:
        console.say(f"kept, as it is what would be written: {path}")
    for path in made.written:
        console.say(f"written: {path} ({path.stat().st_size / 1e6:.2f} MB)")


COMMANDS = {"export": export_command}
