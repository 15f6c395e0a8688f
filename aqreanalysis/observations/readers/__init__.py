"""Readers of observation archives: one file for each layout, and this dict of them."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import beijing, cnemc, openaq, station_archive, tidy, uci_beijing
from aqreanalysis.observations.readers.archive import Archive

# Tidy tables come last: any CSV may be one, and to know it must be opened; the others know their files by name.
READERS = {"cnemc": cnemc, "beijing": beijing, "uci_beijing": uci_beijing, "openaq": openaq,
           "station_archive": station_archive, "tidy": tidy}


def open_archive(path: str | Path, station_table: str | Path | None = None) -> Archive:
    """The archive at a path, by the reader that knows its layout; an error where that is not one."""
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist.", "Observations are a folder or a file.",
                        "Check the path.")
    known = [name for name in READERS if name != "tidy" and READERS[name].recognises(path)]
    if len(known) > 1:
        raise UserError(f"{path} holds files of more than one layout: {', '.join(known)}.",
                        "An archive has one layout, else the files of all others would be left out.",
                        "Give a folder that holds one, or merge them: aqreanalysis ingest A B --to archive.nc.")
    if known or tidy.recognises(path):
        reader = READERS[known[0]] if known else tidy
        return reader.open_archive(path, Path(station_table) if station_table else None)
    layouts = "; ".join(reader.LAYOUT for reader in READERS.values())
    refused = list(dict.fromkeys(text for reader in READERS.values() for text in reader.refused(path)))
    why = f" ({'; '.join(refused[:3])})" if refused else ""
    raise UserError(f"{path} holds no file of a known layout{why}.", f"Known layouts: {layouts}.",
                    "See the README for each of them.")
