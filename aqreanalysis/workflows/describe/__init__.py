"""`aqreanalysis describe`: what is in an archive, a product, a checkpoint or fields. The words are cli/tables.py's."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.fields.source import NoFields
from aqreanalysis.models import checkpoint
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.archive import Archive, ReadingOptions
from aqreanalysis.product.derived import OnJob, unobserved
from aqreanalysis.workflows.describe.archive import ArchiveFacts, archive_facts
from aqreanalysis.workflows.describe.fields import FieldFacts, field_facts
from aqreanalysis.workflows.describe.product import ProductFacts, product_facts, product_files
from aqreanalysis.workflows.describe.verification import verify

__all__ = ["describe", "verify"]


def describe(path: str, station_table: str | None = None,
             progress: OnJob = unobserved,
             utc_offset: float | None = None) -> ArchiveFacts | ProductFacts | FieldFacts | checkpoint.Card:
    """The facts of what lies at a path: of an archive, a product or fields, or the card of a checkpoint.

    What may be observations as well as fields is described as observations.

    Parameters
    ----------
    path : a file or folder, of fields also a pattern; or the name of a checkpoint that ships with the package.
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
    found = _archive_or_fields(path, options)
    return found if isinstance(found, FieldFacts) else archive_facts(found, place, progress)


def _archive_or_fields(path: str, options: ReadingOptions) -> Archive | FieldFacts:
    """Observations where they are, else fields, which no option was given for; an error says what stood against it."""
    try:
        return open_archive(path, options.station_table, options.utc_offset)
    except UserError as error:
        if options != ReadingOptions():
            raise
        try:
            return field_facts(path)
        except NoFields:
            raise error from None
        except UserError as other:
            raise UserError(f"{error.problem} Nor can it be read as fields: {other.problem}", error.rule,
                            error.fix) from other


def _is_checkpoint(place: Path) -> bool:
    names = (checkpoint.WEIGHTS, checkpoint.DESCRIPTION, checkpoint.FORECAST_DESCRIPTION)
    return place.name in names or checkpoint.has_card(place)
