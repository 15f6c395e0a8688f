"""Verbs that draw; `app` gives them their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.made import Made
from aqreanalysis.cli.options import End, Product, refuse_options

Box = Annotated[
    tuple[float, float, float, float] | None, typer.Option(metavar="W S E N", help="Show only this part; degrees.")
]
Projection = Annotated[str, typer.Option(help="lambert (conformal conic) or platecarree.")]
Palette = Annotated[
    str | None,
    typer.Option(help="magma, viridis, cividis (all even to the eye), or aqi: China's classes of a day, HJ 633-2012."),
]
Width = Annotated[str, typer.Option(help="screen, or of a journal: single (88 mm), double (180 mm).")]
FirstDay = Annotated[str | None, typer.Option(help="The day, or the first one, YYYY-MM-DD in UTC+8. Default: all.")]
Vmax = Annotated[float | None, typer.Option(help="End of the colours.")]
Inset = Annotated[str | None, typer.Option(help="A part drawn larger: beijing, or W,S,E,N in degrees.")]


def map_command(
    product: Product,
    start: FirstDay = None,
    end: End = None,
    period: Annotated[
        str | None,
        typer.Option(help="Instead: 2019, 2019-01, 2019-DJF, 2019-01-12, or an hour by its END, 2019-01-12T08."),
    ] = None,
    every: Annotated[str | None, typer.Option(help="A panel for each month, season, year or day.")] = None,
    show: Annotated[
        str, typer.Option(help="mean, error, relative-error, width (of the 90 % interval), flag, or days-above.")
    ] = "mean",
    above: Annotated[float, typer.Option(help="Limit of days-above, ug m-3.")] = 75.0,
    minus: Annotated[str | None, typer.Option(help="Another product on the same grid, which is subtracted.")] = None,
    stations: Annotated[
        bool, typer.Option("--stations", help="Draw the stations in the colour of what they observed.")
    ] = False,
    hide: Annotated[
        str | None,
        typer.Option(help="Estimate the days anew without some stations, single ones or whole cities; these are "
                     "triangles."),
    ] = None,
    part: Annotated[int, typer.Option(min=0, help="Which part of the stations --hide hides, from 0.")] = 0,
    observations: Annotated[
        str | None, typer.Option(help="Observations, if not where the product was made from.")
    ] = None,
    projection: Projection = "lambert",
    palette: Palette = None,
    vmax: Vmax = None,
    box: Box = None,
    inset: Inset = None,
    width: Width = "screen",
    title: Annotated[str | None, typer.Option(help="Instead of the one that says what is shown.")] = None,
    out: Annotated[
        str | None,
        typer.Option(help="The picture: .png, .pdf, .svg, .jpg, .tif or .webp; default a PNG in the product's maps/."),
    ] = None,
) -> Made:
    """Draw a map of a product: means, an hour, errors, flags, days above a limit, stations, a difference."""
    from aqreanalysis.cli import console
    from aqreanalysis.workflows.plot_map import MapOptions, plot_map

    options = MapOptions(start, end, period, every, show, above, minus, stations, hide, part, observations, projection,
                         palette, width, vmax, box, inset, title)
    return Made([plot_map(Path(product), options, out, console.warn)])


def animate_command(
    product: Product,
    out: Annotated[str, typer.Option(help="The file: .gif, or .mp4 where ffmpeg is installed.")],
    start: FirstDay = None,
    end: End = None,
    every: Annotated[str, typer.Option(help="A frame for each day or hour.")] = "day",
    every_hours: Annotated[int, typer.Option(help="Of hours, each so many: 3 gives 8 frames a day.")] = 1,
    per_second: Annotated[float, typer.Option(help="Frames a second.")] = 4.0,
    show: Annotated[str, typer.Option(help="mean, error, relative-error, width or flag.")] = "mean",
    projection: Projection = "lambert",
    palette: Palette = None,
    vmax: Vmax = None,
    box: Box = None,
    inset: Inset = None,
    width: Width = "screen",
    title: Annotated[str | None, typer.Option(help="Before the time, instead of what is shown.")] = None,
) -> Made:
    """Draw an episode, hour by hour or day by day, as a GIF or MP4: all frames on one scale."""
    from aqreanalysis.cli import console
    from aqreanalysis.workflows.plot_animation import plot_animation
    from aqreanalysis.workflows.plot_map import MapOptions

    options = MapOptions(start, end, show=show, projection=projection, palette=palette, width=width, vmax=vmax, box=box,
                         inset=inset, title=title)
    return Made([plot_animation(product, out, options, every, every_hours, per_second, console.warn)])


def figures_command(
    folder: Annotated[str, typer.Argument(help="Folder of a product, or run folder of a forecast recipe.")],
    row: Annotated[
        str | None, typer.Option(help="Of forecasts: row of the tables, an AQ-Net; default the first of them.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder; default figures/ in the folder.")] = None,
    ending: Annotated[str, typer.Option("--format", help="Of a product's figures: png, pdf or svg.")] = "png",
) -> Made:
    """Draw a product's own validation at its hidden stations; or a forecast and its attention (figures 3 to 5)."""
    from aqreanalysis import files
    from aqreanalysis.cli import console
    from aqreanalysis.product.folder import RECORD

    place = files.folder_named(out) if out else Path(folder) / "figures"
    if (Path(folder) / RECORD).is_file():
        refuse_options("a product", row=row)
        from aqreanalysis.workflows.plot_validation import plot_validation

        return Made(plot_validation(folder, place, ending))
    refuse_options("a run folder of forecasts", format=None if ending == "png" else ending)
    from aqreanalysis.workflows.plot_forecast import draw_figures as run

    told = run(Path(folder), row, place)
    for line in told:
        console.note(line)
    return Made([path for path in sorted(place.glob("figure_*.png")) if any(path.name in line for line in told)])


COMMANDS: dict[str, Callable[..., Made]] = {"map": map_command, "animate": animate_command, "figures": figures_command}
