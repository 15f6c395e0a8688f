"""Readers of observation archives: one file for each layout, and this dict of them."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.readers import cnemc, tidy
from aqreanalysis.readers.archive import Archive

READERS = {"cnemc": cnemc, "tidy": tidy}


def open_archive(path: str | Path, station_table: str | Path | None = None) -> Archive:
    """The archive at a path, by the first reader that knows its layout."""
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist.", "Observations are a folder or a file.",
                        "Check the path given with --observations.")
    for reader in READERS.values():
        if reader.recognises(path):
            return reader.open_archive(path, Path(station_table) if station_table else None)
    layouts = "; ".join(reader.LAYOUT for reader in READERS.values())
    refused = [text for reader in READERS.values() for text in reader.refused(path)]
    why = f" ({'; '.join(refused[:3])})" if refused else ""
    raise UserError(f"{path} holds no file of a known layout{why}.", f"Known layouts: {layouts}.",
                    "See the README for each of them.")
