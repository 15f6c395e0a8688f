"""Troubles of the machine that any command can meet, in words: folders, memory, names."""

from __future__ import annotations

import errno
import os
import re
import sys

from aqreanalysis.errors import UserError

# Of addresses, that a process reserves with torch (2.6 measured) and without; shortly below, libraries hang.
NEEDED_GIB, LIGHT_GIB = 3.0, 0.9
LIGHT = {"describe", "fetch", "map"}  # verbs that do without torch
# What libraries say, other than by a MemoryError, where the system gives them no memory, or no thread.
OUT_OF_MEMORY = ("failed to map segment", "cannot allocate memory", "can't allocate memory", "can't start new thread",
                 "not enough memory", "out of memory", "malloc) failure", "bad_alloc")

NO_TEMPORARY = ("no usable temporary directory", "a temporary directory could not be created")
NOT_TEXT = re.compile("[\ud800-\udfff]")  # a byte of a name that the locale's encoding has no letter for


def check_working_folder() -> None:
    """UserError where the folder is gone in which the command was given."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("The working folder is gone: it was removed while this terminal was in it.",
                        "Paths begin in the working folder.",
                        "Change to one that is there (`cd`), and give the same command again.") from None


def check_address_space(verb: str | None) -> None:
    """UserError where a process may not have the addresses that the libraries of a verb reserve."""
    limit, needed = _address_limit(), LIGHT_GIB if verb in LIGHT else NEEDED_GIB
    if limit is not None and limit < needed * 2**30:
        raise UserError(f"A process may have {limit / 2**30:.1f} GiB of addresses here (`ulimit -v`).",
                        f"`{verb}` takes {needed:g} GiB, of which it uses a part.",
                        "Raise the limit: `ulimit -v unlimited`; to bound memory use a control group "
                        "(`systemd-run --user --scope -p MemoryMax=4G ...`, or the memory of a batch job).")


def _address_limit() -> int | None:
    """Bytes of addresses that a process may have; None where there is no limit, or no such limit on this system."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def machine_error(error: BaseException) -> UserError | None:
    """An error in words where memory, a place for temporary files or a name failed; None for any other."""
    text = str(error).lower()
    if isinstance(error, UnicodeEncodeError) and NOT_TEXT.search(error.object):
        shown = error.object.encode("utf-8", "backslashreplace").decode()
        return UserError(f"The name {shown[:160]} is no text in this system's encoding, {sys.getfilesystemencoding()}.",
                         "Some libraries open files whose names are text only.",
                         "Set the locale in which the name was given, most often LC_ALL=C.UTF-8, or rename it.")
    if isinstance(error, OSError) and any(part in text for part in NO_TEMPORARY):
        return UserError("There is no folder for temporary files that can be written.",
                         "Libraries that draw maps and start processes need one.",
                         "Set TMPDIR to a folder that can be written; then give the same command again.")
    if not (isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno == errno.ENOMEM
            or isinstance(error, ImportError | OSError | RuntimeError) and any(part in text for part in OUT_OF_MEMORY)):
        return None
    told = next(iter(str(error).strip().splitlines()), "the system gives no more")
    return UserError(f"Memory ran out ({told[:160]}).",
                     "Each worker takes some 0.8 GiB, more where a grid or a network is large.",
                     "Give fewer --workers, or run where there is more memory or no limit (`ulimit -v`); a build goes "
                     "on with the same command.")
