"""Writing to a disk that may be full: a failure in words, and data that survives a power cut."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from aqreanalysis import __version__
from aqreanalysis.errors import UserError

PART = ".part"  # in the names of what is being written
# What killed processes leave; the last three endings are those of version 0.1.0.
LEFTOVER = re.compile(rf"\.(?P<name>.+){re.escape(PART)}(-.+|\d+|[a-z0-9_]{{8}})?")

GO_ON = ("Free space, or choose another folder with --out; then give the same command again: "
         "it goes on with the first file that is missing.")


def part_name(path: Path) -> Path:
    """The hidden name of a file that this process writes; no other process has it, here or on another machine."""
    machine = re.sub(r"\W+", "-", platform.node())
    return path.with_name(f".{path.name}{PART}-{machine}-{os.getpid()}")


def shared_part_name(path: Path) -> Path:
    """The hidden name of what several processes write together, or what a later process continues."""
    return path.with_name(f".{path.name}{PART}")


def remove_leftovers(folder: Path, name: str | None = None) -> int:
    """Remove what killed processes were writing in a folder; returns how many files and folders.

    Folders under a shared name stay. To be called where no other process writes.

    Parameters
    ----------
    name : final name of the file whose leftovers are removed; None for all.
    """
    leftovers = [path for path in folder.iterdir() if (found := LEFTOVER.fullmatch(path.name))
                 and name in (None, found["name"]) and not (path.suffix == PART and path.is_dir())]
    for path in leftovers:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return len(leftovers)


@contextmanager
def writing(path: Path, fix: str = GO_ON) -> Iterator[None]:
    """Tell as a UserError what the system and HDF5 say when ``path`` can't be written.

    A full disk above all. HDF5 hides the cause behind RuntimeError("NetCDF: HDF error"), so the free
    space is told in every case.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.is_dir())).free
        raise UserError(f"{path.name} could not be written in {path.parent}: {error} ({free:,} bytes are free).",
                        "The folder has to be writable and to have room for the whole file.", fix) from error


@contextmanager
def held(path: Path, refusal: UserError, fix: str = GO_ON) -> Iterator[None]:
    """Hold a lock file for this process alone, here and on other machines that see the folder.

    Parameters
    ----------
    path : the lock file; its folder is made, and it is gone when the block ends.
    refusal : raised where another process has it. A kill sets it free: the lock is the system's, not the file.

    Raises
    ------
    UserError : `refusal`; or one that ends in `fix` where the folder can't be written.
    """
    with writing(path, fix):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(path, refusal)
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: who opened it meanwhile sees that it is gone


def _locked(path: Path, refusal: UserError):
    """The open and locked file that has the name `path`."""
    import fcntl

    while True:
        lock = path.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        except BlockingIOError as error:
            lock.close()
            raise refusal from error
        except FileNotFoundError:  # removed between the two looks
            pass
        except BaseException:
            lock.close()
            raise
        lock.close()  # its holder removed it after it was opened here: what is locked has no name any more


def discard_netcdf(netcdf, part: Path) -> None:
    """Close an unfinished netCDF4.Dataset, or None, and remove its temporary file; nothing if it has been moved."""
    if netcdf is not None and netcdf.isopen():
        with suppress(RuntimeError):  # on a full disk closing fails too
            netcdf.close()
    with suppress(OSError):  # the error that led here is the one to tell
        part.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Have a file or folder on the disk and not only in memory."""
    if os.name == "nt":  # no descriptors of folders, nor fsync of one that only reads
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: Path, fix: str = GO_ON) -> Iterator[Path]:
    """A hidden name beside `path`, whose folder is made; what is written there has its own name when the block ends.

    The file is whole on the disk, or what it was: a block that fails leaves nothing.

    Raises
    ------
    UserError : as of :func:`writing`, ending in `fix`.
    """
    part = part_name(path)
    with writing(path, fix):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            fsync(part)
            os.replace(part, path)
            fsync(path.parent)
        finally:
            with suppress(OSError):  # the error that led here is the one to tell
                part.unlink(missing_ok=True)


def replace_text(path: Path, text: str, fix: str = GO_ON) -> None:
    """Write a small text file, UTF-8; it is whole on the disk, or what it was."""
    with whole(path, fix) as part:
        part.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Where the files that ship with the package lie: in it when installed, beside it in a checkout.

PACKAGE = Path(__file__).parent


def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed packages by name; that of aqreanalysis is the running code's."""
    from importlib.metadata import version

    return {name: __version__ if name == "aqreanalysis" else version(name) for name in names}


def shipped_folder(name: str) -> Path:
    """The folder `recipes` or `grids`."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def data_folder() -> Path:
    """Where archives of observations are looked for: AQREANALYSIS_DATA or the platform's data folder."""
    return Path(os.environ.get("AQREANALYSIS_DATA") or platformdirs.user_data_dir("aqreanalysis"))
