"""Readers of observation archives: one file for each layout, and this list of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers.archive import Archive, ReadingOptions
from aqreanalysis.observations.readers.beijing import BEIJING
from aqreanalysis.observations.readers.cnemc import CNEMC
from aqreanalysis.observations.readers.found_files import NO_NAME_OF_THE_LAYOUT, OTHER_ZIP, seen
from aqreanalysis.observations.readers.openaq import OPENAQ
from aqreanalysis.observations.readers.station_archive import STATION_ARCHIVE, check_folder
from aqreanalysis.observations.readers.tidy import TIDY
from aqreanalysis.observations.readers.uci_beijing import UCI_BEIJING

READERS = (CNEMC, BEIJING, UCI_BEIJING, OPENAQ, STATION_ARCHIVE, TIDY)


@dataclass(frozen=True)
class ObservationFiles:
    """Where observations come from, and what a user says of the files; opened anew by each process that reads them."""

    path: str
    station_table: str | None = None   # where it does not lie beside the files
    utc_offset: float | None = None    # hours ahead of UTC of stamps without an offset of their own

    @classmethod
    def of(cls, path: str | Path, station_table: str | Path | None = None,
           utc_offset: float | None = None) -> ObservationFiles:
        """With absolute paths: workers may stand in another folder."""
        table = str(Path(station_table).expanduser().absolute()) if station_table else None
        return cls(str(Path(path).expanduser().resolve()), table, utc_offset)

    def open(self) -> Archive:
        """The archive."""
        return open_archive(self.path, self.station_table, self.utc_offset)


def open_archive(path: str | Path, station_table: str | Path | None = None,
                 utc_offset: float | None = None) -> Archive:
    """The archive at a path, by the reader that recognises its layout.

    Parameters
    ----------
    path : a folder or a file of observations.
    station_table : CSV with the places of the stations, where it does not lie beside the files.
    utc_offset : hours ahead of UTC of stamps without an offset of their own; UTC where it is not given. Layouts whose
        stamps have one rule refuse it.

    Raises
    ------
    UserError : for a path that does not exist, holds no file of a known layout, or files of several layouts, and for an
        option that the layout has no use for.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist.", "Observations are a folder or a file.", "Check the path.")
    # Tidy tables come last: any CSV may be one, and it must be opened to find out; the others know files by name.
    known = [reader for reader in READERS if reader is not TIDY and reader.recognises(path)]
    if len(known) > 1:
        raise UserError(f"{path} holds files of more than one layout: {', '.join(reader.name for reader in known)}.",
                        "An archive has one layout, else the files of all others would be left out.",
                        "Give a folder that holds one, or merge them: aqreanalysis ingest A B --to archive.nc.")
    if not known and TIDY.recognises(path):
        known = [TIDY]
    if known:
        table = Path(station_table).expanduser() if station_table else None
        return known[0].open(path, ReadingOptions(table, utc_offset))
    check_folder(path)
    layouts = "; ".join(reader.layout for reader in READERS)
    # what a file was opened for says more than what its name is not
    refused = list(dict.fromkeys(text for reader in (TIDY, *READERS) for text in reader.refused(path)
                                 if not text.endswith(NO_NAME_OF_THE_LAYOUT) and OTHER_ZIP not in text))
    why = f"; {'; '.join(refused[:3])}{' ...' * (len(refused) > 3)}" if refused else ""
    raise UserError(f"{path} holds no file of a known layout. Seen: {seen(path)}{why}.", f"Known layouts: {layouts}.",
                    "docs/observations.md describes each of them.")
