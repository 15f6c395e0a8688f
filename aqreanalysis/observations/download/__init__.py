"""Fetch archives of observations into the data folder, one file after the other, and sum up what is there.

A file that exists is complete and not asked for again; what the server has not is listed and asked for by the next
run. A file is kept only if the reader of its layout can read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.observations.download.transfer import STRIKES, Failed, Missing, RetryPolicy, download, opened_session
from aqreanalysis.observations.download.wanted import FetchRequest, Wanted, folder_of, in_few_words, wanted_files

POLITE = RetryPolicy()
FETCH_LOCK = ".fetch.lock"
FETCH_FIX = "Free space, or give another folder with --to; then give the same command again: it goes on."


@dataclass
class FetchSummary:
    """What a run did: numbers of files, and the files that are not there."""

    folder: Path
    got: int = 0
    had: int = 0
    missing: list[Wanted] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_asked: int = 0
    advice: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The summary for the screen."""
        yield (f"{self.folder}: {self.got} files fetched, {self.had} were there, {len(self.missing)} missing at the "
               f"server, {len(self.failed)} failed" + (f", {self.not_asked} not asked for" if self.not_asked else ""))
        for what in dict.fromkeys(item.what for item in self.missing):
            days = [day for item in self.missing if item.what == what for day in item.days]
            yield " ".join(filter(None, ("  missing:", what, in_few_words(days))))
        yield from (f"  failed: {text}" for text in self.failed[:10])
        if len(self.failed) > 10:
            yield f"  ... and {len(self.failed) - 10} more"
        yield from self.advice

    def check(self, command: str) -> None:
        """UserError if nothing is there or some files failed; `command` is the one to run again."""
        if self.failed:
            raise UserError(f"{len(self.failed) + self.not_asked} files could not be had, the first: {self.failed[0]}.",
                            f"{self.got + self.had} are in {self.folder}.", f"To go on, run: {command}")
        if not self.got + self.had:
            raise UserError(f"None of the {len(self.missing)} files is at the server, the first: "
                            f"{self.missing[0].url}.", "The address has to lead to files of the archive.",
                            "Check the period, or give the address as --from TEMPLATE.")


def fetch_files(request: FetchRequest, manners: RetryPolicy = POLITE,
          watch: Callable[[list[Wanted]], Iterable[Wanted]] = iter) -> FetchSummary:
    """Have every file of a request in its folder; Ctrl-C and a kill leave what can be gone on with.

    Raises UserError for a request that makes no sense and for a disk that can't take a file; all else is in the
    FetchSummary. `watch` passes the files on and may show how far it is.
    """
    summary = FetchSummary(folder_of(request))
    wanted = wanted_files(request, summary.folder)
    busy = UserError(f"Another fetch is writing into {summary.folder}.", "One at a time writes into a folder.",
                     "Wait for it, or give another folder with --to.")
    with files.held(summary.folder / FETCH_LOCK, busy, FETCH_FIX), opened_session(manners) as session:
        strikes, asked = 0, False
        for number, item in enumerate(watch(wanted)):
            if item.path.exists():
                summary.had += bool(item.days)  # a station table alone is no archive
                continue
            if asked:
                time.sleep(manners.pause)
            asked = True
            try:
                item.path.parent.mkdir(parents=True, exist_ok=True)
                download(session, manners, item.url, item.path, item.check)
                summary.got, strikes = summary.got + bool(item.days), 0
            except Missing:
                summary.missing.append(item)
                strikes = 0
            except Failed as error:
                summary.failed.append(f"{item.label}: {error}")
                strikes += error.strikes
            if strikes >= STRIKES:
                summary.not_asked = sum(not other.path.exists() for other in wanted[number + 1:])
                break
    summary.advice = _advice(request, summary.folder)
    return summary


def _advice(request: FetchRequest, folder: Path) -> list[str]:
    """What is lacking before `build` can use the files."""
    if request.source != "cnemc" or (folder / "stations.csv").exists():
        return []
    return [f"Daily files name stations by id only: put a table of their places (station_id,lon,lat) there as "
            f"{folder / 'stations.csv'}, or fetch one with --station-table URL."]

