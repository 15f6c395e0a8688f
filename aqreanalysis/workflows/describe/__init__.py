"""`aqreanalysis describe`: what is in an archive, a product or a checkpoint. The words are cli/tables.py's."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.models import checkpoint
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import ReadingOptions
from aqreanalysis.product.derived import OnJob, unobserved
from aqreanalysis.workflows.describe.archive import ArchiveFacts, archive_facts
from aqreanalysis.workflows.describe.product import ProductFacts, product_facts, product_files
from aqreanalysis.workflows.describe.verification import verify

__all__ = ["describe", "verify"]


def describe(path: str, station_table: str | None = None,
             progress: OnJob = unobserved,
             utc_offset: float | None = None) -> ArchiveFacts | ProductFacts | checkpoint.Card:
    """The facts of what lies at a path: of an archive or a product, or the card of a checkpoint.

    Parameters
    ----------
    path : a file or folder, or the name of a checkpoint that ships with the package.
    station_table : places of the stations, where the table does not lie beside the observations.
    progress : called with the number of parts done and of all parts.
    utc_offset : hours ahead of UTC of stamps without an offset of their own; UTC where it is not given.

    Raises
    ------
    UserError : for what is none of them, and for a product or checkpoint that is damaged.
    """
    place = Path(path).expanduser()
    options = ReadingOptions(Path(station_table) if station_table else None, utc_offset)
    if not place.exists() and path in checkpoint.names() or _is_checkpoint(place):
        options.refuse("a checkpoint", station_table="It has no stations.", utc_offset="It has no stamps.")
        return checkpoint.checked_card(checkpoint.locate(path), task=None)
    if files := product_files(place):
        options.refuse("a product", station_table="Its files have their places.", utc_offset="Its stamps are UTC.")
        return product_facts(place, files, progress)
    return archive_facts(open_archive(place, station_table, utc_offset), place, progress)


def _is_checkpoint(place: Path) -> bool:
    names = (checkpoint.WEIGHTS, checkpoint.DESCRIPTION, checkpoint.FORECAST_DESCRIPTION)
    return place.name in names or checkpoint.has_card(place)
