"""`aqreanalysis animate`: an episode as a GIF or MP4, hour by hour or day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.figures import product_maps
from aqreanalysis.figures.animation import check_movie_name, save_movie
from aqreanalysis.product import map_fields
from aqreanalysis.product.map_fields import MapPeriod
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct
from aqreanalysis.time_axis import HOURS_PER_DAY, Period
from aqreanalysis.workflows.plot_map import DEFAULT, MapOptions, opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FRAMES = 400


def plot_animation(product: str | Path, out: str | Path, options: MapOptions = DEFAULT, every: str = "day",
                   every_hours: int = 1, per_second: float = 4.0,
                   say: Callable[[str], None] = lambda text: None) -> Path:
    """Draw each hour or day of a period and write them as one file, all on one scale; returns its path.

    every : "day" or "hour"; of hours each `every_hours`-th of the day, so that the last of each is 24:00.
    say : is told which frames are left out as they have no value.

    Raises
    ------
    UserError : for more than MOST_FRAMES frames, days that the product lacks, or a name that can't be written.
    """
    target = Path(out).expanduser()
    check_movie_name(target)
    options.check()
    look = options.look
    _check(options, every, every_hours, per_second)
    of, asked = opened(product, options)
    steps = _steps(asked.days, every, every_hours)
    if len(steps) > MOST_FRAMES:
        raise UserError(f"{target.name} would have {len(steps)} frames.", f"It has at most {MOST_FRAMES}.",
                        "Choose fewer days, or --every-hours 3.")
    source = map_fields.open_for_maps(Path(product).expanduser(), HOURS if every == "hour" else DAYS)
    fields = list(_fields(source, steps, options, say))
    if not fields:
        raise UserError(f"{of.path} has no value from {asked.days.first} to {asked.days.last}.",
                        "A frame shows a step with values.", "Choose other days.")
    end = options.vmax or float(product_maps.scale_of(fields, options.palette, None, options.box).levels[-1])
    whole = fields[0].assign_attrs(words=asked.words, label=asked.label)
    identity = product_maps.identity_of(whole, options.title)
    return save_movie(_figures(fields, source, replace(options, vmax=end), look), target, per_second, identity)


def _figures(fields: list[xr.Dataset], of: FinishedProduct, options: MapOptions, look) -> Iterator[Figure]:
    for field in fields:
        yield product_maps.field_map(field, look=look, palette=options.palette, vmax=options.vmax, grid=of.grid,
                                     title=options.title and f"{options.title}: {field.attrs['words']}")


def _steps(days: Period, every: str, every_hours: int) -> list[MapPeriod]:
    each = [Period(day, day) for day in days.days()]
    if every == "day":
        return [MapPeriod(day) for day in each]
    return [MapPeriod(day, hour) for day in each for hour in range(every_hours, HOURS_PER_DAY + 1, every_hours)]


def _fields(of: FinishedProduct, steps: list[MapPeriod], options: MapOptions,
            say: Callable[[str], None]) -> Iterator[xr.Dataset]:
    """The fields of steps; those without any value are told and left out."""
    for step in steps:
        try:
            yield map_fields.map_field(of, step, options.show, options.above)
        except map_fields.NoValue:
            say(f"{step.words} has no value and no frame")


def _check(options: MapOptions, every: str, every_hours: int, per_second: float) -> None:
    if every not in ("day", "hour"):
        raise UserError(f"--every {every} is no step of an animation.", "It has a frame for each day or hour.",
                        "Give --every day or --every hour.")
    if HOURS_PER_DAY % every_hours or every_hours < 1:
        raise UserError(f"--every-hours {every_hours} does not divide the day.", "It is 1, 2, 3, 4, 6, 8, 12 or 24.",
                        "Example: --every-hours 3.")
    if not (np.isfinite(per_second) and 0.1 <= per_second <= 60):
        raise UserError(f"--per-second {per_second:g} is no speed.", "It is from 0.1 to 60 frames a second.",
                        "Example: --per-second 4.")
    if options.show == map_fields.DAYS_ABOVE or (options.period and "T" in options.period):
        raise UserError("days-above, and a single hour, have no course.", "Frames show the steps of some days.",
                        "Give --start and --end.")
