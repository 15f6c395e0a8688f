"""Standard output and error of a command: they never stop its work, whatever they lead to and whatever is written.

A locale that lacks a letter (GBK, Latin-1), a pipe whose reader has gone (`| head -1`), a full disk behind `>` and
closed streams are no fault of a build of hours: it goes on. What could not be shown is told at the end.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TextIO

from aqreanalysis.errors import UserError

PLAIN = "aqreanalysis-plain"  # name of the error handler
# Letters of our own texts that a locale may lack, as they are typed; any other is shown by its number.
TYPED = str.maketrans({"µ": "u", "μ": "u", "⁻": "-", "²": "2", "³": "3", "±": "+-", "–": "-", "…": "...", "×": "x",
                       "°": " deg", "≥": ">=", "≤": "<=", "•": "-"})


def in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """Error handler of codecs: what an encoding lacks in letters that each has, or as a backslash and a number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start: error.end].translate(TYPED)
    return letters.encode("ascii", "backslashreplace").decode("ascii"), error.end


class _Tolerant(io.FileIO):
    """A descriptor that takes all that is written: the first error is kept, and what follows it is dropped."""

    failure: OSError | None = None

    def write(self, data, /) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def make_tolerant() -> None:
    """Have sys.stdout and sys.stderr take all that is written. To be called once, before anything is."""
    codecs.register_error(PLAIN, in_plain_letters)
    if os.name != "nt":  # else a product's file would be the standard output of libraries in C
        for descriptor in (0, 1, 2):
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _tolerant(stream))


def _tolerant(stream: TextIO) -> TextIO:
    stream.flush()
    raw = _Tolerant(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, PLAIN, line_buffering=True)


def output_error() -> UserError | None:
    """An error where standard output could not be written; a reader that has had enough is none."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        return None
    stream.flush()
    raw = getattr(stream.buffer, "raw", None)
    failure = raw.failure if isinstance(raw, _Tolerant) else None
    if failure is None or failure.errno == errno.EPIPE:
        return None
    return UserError(f"Standard output could not be written: {failure.strerror}.",
                     "All else that the command had to do is done; what it said is cut off.",
                     "Free space, or lead the output elsewhere.")
