"""Fetch archives of observations into the data folder, one file after the other, and sum up what is there.

A file that exists is complete and not requested again; what the server does not have is listed, and requested again by
the next run. A file is kept only if the reader of its layout can read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.observations.download.transfer import (
    FETCH_FIX,
    STRIKES,
    Failed,
    Missing,
    RetryPolicy,
    download_file,
    opened_session,
)
from aqreanalysis.observations.download.wanted import FetchRequest, Wanted, folder_of, in_few_words, wanted_files
from aqreanalysis.observations.station_table import STATION_TABLE

FETCH_LOCK = ".fetch.lock"
SHOWN_FAILURES = 10


@dataclass
class FetchSummary:
    """What a run did: numbers of files, and the files that are not there."""

    folder: Path
    fetched: int = 0
    present: int = 0              # before the run
    missing: list[Wanted] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    not_requested: int = 0        # as the server was in trouble
    advice: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)   # that are there now

    def lines(self) -> Iterator[str]:
        """The summary for the screen."""
        yield (f"{self.folder}: {self.fetched} files fetched, {self.present} were there, {len(self.missing)} missing "
               f"at the server, {len(self.failed)} failed"
               + (f", {self.not_requested} not requested" if self.not_requested else ""))
        for what in dict.fromkeys(item.what for item in self.missing):
            days = [day for item in self.missing if item.what == what for day in item.days]
            yield " ".join(filter(None, ("  missing:", what, in_few_words(days))))
        yield from (f"  failed: {text}" for text in self.failed[:SHOWN_FAILURES])
        if len(self.failed) > SHOWN_FAILURES:
            yield f"  ... and {len(self.failed) - SHOWN_FAILURES} more"
        yield from self.advice

    def check(self, command: str) -> None:
        """UserError if nothing is there or some files failed; `command` is the one to run again."""
        if self.failed:
            raise UserError(f"{len(self.failed) + self.not_requested} files could not be fetched, the first: "
                            f"{self.failed[0]}.", f"{self.fetched + self.present} are in {self.folder}.",
                            f"To continue, run: {command}")
        if not self.fetched + self.present:
            raise UserError(f"None of the {len(self.missing)} files is at the server, the first: "
                            f"{self.missing[0].url}.", "The address has to lead to files of the archive.",
                            "Check the period, or give the address as --from TEMPLATE.")


def fetch_files(request: FetchRequest, policy: RetryPolicy | None = None,
                progress: Callable[[list[Wanted]], Iterable[Wanted]] = iter) -> FetchSummary:
    """Fetch every file of a request into its folder; a run that is interrupted or killed is continued by the next.

    Parameters
    ----------
    progress : passes the files on, and may show how many are done.

    Raises
    ------
    UserError : for a request that makes no sense, and for a disk that can't take a file. All else is in the summary.
    """
    policy, summary = policy or RetryPolicy(), FetchSummary(folder_of(request))
    wanted = wanted_files(request, summary.folder)
    busy = UserError(f"Another fetch is writing into {summary.folder}.", "One at a time writes into a folder.",
                     "Wait for it, or give another folder with --to.")
    with files.held(summary.folder / FETCH_LOCK, busy, FETCH_FIX), opened_session(policy) as session:
        strikes, pause = 0, 0.0
        for number, item in enumerate(progress(wanted)):
            if item.path.exists():
                summary.present += bool(item.days)  # a station table alone is not an archive
                continue
            if pause:
                time.sleep(pause)
            pause = policy.pause
            try:
                item.path.parent.mkdir(parents=True, exist_ok=True)
                download_file(session, policy, item.url, item.path, item.check)
                summary.fetched, strikes = summary.fetched + bool(item.days), 0
            except Missing:
                summary.missing.append(item)
                strikes = 0
            except Failed as error:
                summary.failed.append(f"{item.label}: {error}")
                strikes += error.strikes
            if strikes >= STRIKES:
                summary.not_requested = sum(not other.path.exists() for other in wanted[number + 1:])
                break
    summary.advice = _advice(request, summary.folder)
    summary.files = [item.path for item in wanted if item.path.exists()]
    return summary


def _advice(request: FetchRequest, folder: Path) -> list[str]:
    """Where `build` takes the places of the stations from, which are not in the files."""
    if request.source != "cnemc" or (folder / STATION_TABLE).exists():
        return []
    return [f"Daily files name stations by id only: places come from the table of northern China that ships with the "
            f"package. A better one (station_id,lon,lat) goes to {folder / STATION_TABLE}, or is fetched with "
            "--station-table URL."]

