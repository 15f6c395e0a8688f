"""`aqreanalysis map`: a map of any days of a product."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from aqreanalysis import output, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.figures.layout import check_picture_name, save_figure
from aqreanalysis.grids import parse_grid
from aqreanalysis.periods import runs_in_words
from aqreanalysis.product import report


def draw_days(product: Path, start: str, end: str, out: str | None,
              say: Callable[[str], None] = lambda text: None) -> Path:
    """Draw the mean of some days from a product's daily files; returns the picture's path.

    out : its name, whose ending is the format; default a PNG in the product's folder maps/.
    say : is told where days had no value, so that the mean is of fewer days than asked for; the title says so too.

    Raises
    ------
    UserError : where the product lacks a day, no day has a value, or `out` is no name of a picture.
    """
    period = time_axis.parse_period(None, start, end)
    target = Path(out).expanduser() if out else None
    if target:
        check_picture_name(target)
    paths = _daily_files(product, period)
    _check_days(product, output.days_of(paths), period)
    with output.open_product_file(paths[0]) as file:
        grid, attributes = parse_grid(paths[0]), dict(file.attrs)
    mean = report.mean_of(paths, period, grid)
    if not mean.most:
        raise UserError(f"{product} has no value from {period.first} to {period.last}.",
                        "A day has a value where enough of its hours have one.",
                        f"`aqreanalysis describe {product}` tells more; choose other days.")
    if mean.used:
        say(f"the mean is of {mean.used}: the others have no value")
    prefix = "simulated_" if attributes.get("simulated") == "true" else ""
    return save_figure(report.day_map(paths, grid, attributes, mean),
                       target or paths[0].parent / "maps" / f"{prefix}pm25_{period.label}.png")


def _daily_files(product: Path, period: time_axis.Period) -> list[Path]:
    """The daily files of the years of a period, or the store of all days; a file that is given is taken as it is."""
    if not product.exists():
        raise UserError(f"There is no {product}.", "A map is drawn from the folder of a product, or its daily file.",
                        "Make one with `aqreanalysis build`.")
    if product.is_file() or output.format_of(product).shares_stores:
        return [product]
    for known in output.FORMATS.values():
        labels = ["*"] if known.shares_stores else range(period.first.year, period.last.year + 1)
        if found := [path for label in labels for path in sorted(product.glob(f"*pm25_daily_{label}{known.suffix}"))]:
            return found[:1] if known.shares_stores else found
    there = ", ".join(sorted(path.name for path in product.glob("*pm25_daily_*")))
    raise UserError(f"{product} holds no daily file of {period.label}" + (f"; it has {there}." if there else "."),
                    "Maps are drawn from the daily files, or the daily store, of a finished product.",
                    "Make one with `aqreanalysis build`.")


def _check_days(product: Path, there: np.ndarray, period: time_axis.Period) -> None:
    missing = np.setdiff1d(np.array(period.days(), "datetime64[D]"), there)
    if missing.size:
        raise UserError(f"{product} has no {runs_in_words(missing)}.", f"It has {runs_in_words(there)}.",
                        "Choose days that it has with --start and --end.")
