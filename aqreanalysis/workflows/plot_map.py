"""`aqreanalysis map`: a map of any days of a product."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis import output, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import parse_grid
from aqreanalysis.product import report


def draw_days(product: Path, start: str, end: str, out: str | None) -> Path:
    """Draw the mean of some days from a product's daily file; returns the PNG's path."""
    period = time_axis.parse_period(None, start, end)
    path = _daily_file(product, period)
    with output.open_product_file(path) as file:
        grid = parse_grid(path)
        figure = report.day_map(path, grid, file, period, file.attrs.get("source", ""))
        simulated = file.attrs.get("simulated") == "true"
    prefix = "simulated_" if simulated else ""
    target = Path(out) if out else path.parent / "maps" / f"{prefix}pm25_{period.label}.png"
    return save_figure(figure, target)


def _daily_file(product: Path, period: time_axis.Period) -> Path:
    if product.is_file() or output.format_of(product).shares_stores:
        return product
    year = period.first.year
    for known in output.FORMATS.values():
        if known.shares_stores or year == period.last.year:
            label = "*" if known.shares_stores else str(year)
            if found := sorted(product.glob(f"*pm25_daily_{label}{known.suffix}")):
                return found[0]
    raise UserError(f"{product} holds no daily file of {period.label}.",
                    "Maps are drawn from the daily file of one year, or the daily store, of a finished product.",
                    "Make one with `aqreanalysis build`.")
