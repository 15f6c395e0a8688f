"""`aqreanalysis describe`: what is in an archive, a product or a checkpoint. Facts here, words in tables.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aqreanalysis.models import checkpoint
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.workflows.describe import archive, product
from aqreanalysis.workflows.describe.verify import verify

__all__ = ["describe", "verify"]

Progress = Callable[[int, int], None]   # parts done, parts in all


def describe(path: str, station_table: str | None = None, progress: Progress = lambda done, of: None):
    """The facts of what lies at a path: archive.Facts, product.Facts, or the Card of a checkpoint.

    A name of a checkpoint that ships with the package will do for its path. UserError for what is none of them.
    """
    place = Path(path).expanduser()
    if not place.exists() and path in checkpoint.names() or _is_checkpoint(place):
        return checkpoint.checked_card(checkpoint.locate(path), task=None)
    if files := product.files_of(place):
        return product.facts_of(place, files, progress)
    return archive.facts_of(open_archive(place, station_table), place, progress)


def _is_checkpoint(place: Path) -> bool:
    names = (checkpoint.WEIGHTS, checkpoint.DESCRIPTION, checkpoint.FORECAST_DESCRIPTION)
    return place.name in names or checkpoint.has_card(place)
