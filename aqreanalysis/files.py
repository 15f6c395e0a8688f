"""Writing files: errors of the system in words, locks, temporary names, and data that survives a power cut."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from aqreanalysis import __version__
from aqreanalysis.errors import UserError

LOG = logging.getLogger(__name__)

PART = ".part"  # in the names of what is being written
# What killed processes leave; the last three endings are those of version 0.1.0.
LEFTOVER = re.compile(rf"\.(?P<name>.+){re.escape(PART)}(-.+|\d+|[a-z0-9_]{{8}})?")

# What else can be done where a file can't be written: the end of a sentence that begins "Free space, or".
ELSEWHERE = ("choose another folder with --out; then give the same command again: "
             "it continues with the first file that is missing.")

# What the system says when a file can't be written: the rule, and what to do about it.
_PERMISSION = ("Writing needs permission.", "Get permission to write there")
_BROKEN = ("The disk or network share fails.", "Have it checked")
_OPEN_FILES = ("The number of open files is limited.", "Raise the limit (`ulimit -n`)")
_NO_FILES = ("The file system there takes no new files.", "See which it is (`df FOLDER`)")
_IN_THE_WAY = ("A file is where a folder has to be.", "Move it away")
CAUSES = {
    errno.ENOSPC: ("The folder has to have room for the whole file.", "Free space"),
    errno.EDQUOT: ("Your quota has to have room for the whole file.", "Free some of your quota"),
    errno.EFBIG: ("There has to be room for the whole file; the system allows none of this size.",
                  "Raise the limit (`ulimit -f`)"),
    errno.EROFS: ("The file system is mounted read-only.", "Have it mounted for writing"),
    errno.EACCES: _PERMISSION, errno.EPERM: _PERMISSION,
    errno.ENOENT: ("The folder is gone.", "Make it again"),
    errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY,
    errno.ENAMETOOLONG: ("The name is too long for the file system.", "Shorten it"),
    errno.EIO: _BROKEN, errno.ENXIO: _BROKEN, errno.ENODEV: _BROKEN, errno.ESTALE: _BROKEN, errno.ETIMEDOUT: _BROKEN,
    errno.EMFILE: _OPEN_FILES, errno.ENFILE: _OPEN_FILES}
OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the free bytes are worth knowing
# Of the system's errors these say nothing where the folder can be written: then a fault of ours is likelier.
OF_THE_FOLDER = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
# What netCDF says of an error of the system behind it, which it hides.
HDF_ERRORS = {f"NetCDF: {text}" for text in (
    "HDF error", "I/O failure", "Can't write file", "Can't create file", "Can't add HDF5 file metadata",
    "Problem with HDF5 dimscales.", "Problem with variable metadata.", "Can't define dimensional metadata",
    "Access failure")}
PROBE_MIB = 16           # written for a look at what the system says; more than a chunk of any file
SCARCE_BYTES = 1 << 30   # so few are taken for a disk that was full a moment ago, before others removed their files

FILE_ENDINGS = {f".{ending}" for ending in (
    "nc nc4 zarr h5 hdf csv tsv txt xlsx xls parquet feather json yaml yml html md zip gz tif tiff png pdf svg eps jpg "
    "jpeg webp gif pt").split()}  # of names that are hardly meant as folders

# From file systems without locks; what the last two say depends on the driver.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}
BUSY_S = 0.2             # a lock that is being released is not held


def part_name(path: Path) -> Path:
    """The hidden name of a file that this process writes; no other process has it, here or on another machine."""
    machine = re.sub(r"\W+", "-", platform.node())
    return without_link(path.with_name(f".{path.name}{PART}-{machine}-{os.getpid()}"))


def shared_part_name(path: Path) -> Path:
    """The hidden name of what several processes write together, or what a later process continues."""
    return without_link(path.with_name(f".{path.name}{PART}"))


def without_link(path: Path) -> Path:
    """A path that is about to be written, no longer a link: what someone has it lead to must not be overwritten."""
    if path.is_symlink():
        LOG.warning("%s was a link to %s; it is removed, and what it leads to is left alone.", path, os.readlink(path))
        path.unlink()
    return path


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
def writing(path: Path, otherwise: str = ELSEWHERE) -> Iterator[None]:
    """Raise a UserError with the cause and what to do about it where the system can't write ``path``.

    Any other error passes: a fault of ours stays one.

    Parameters
    ----------
    otherwise : what else can be done, the end of a sentence; see ELSEWHERE.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        refused = write_error(path, error, otherwise)
        if refused is None:
            raise
        raise refused from error


def write_error(path: Path, error: Exception, otherwise: str = ELSEWHERE) -> UserError | None:
    """The error of a file that the system can't write; None where the cause is not the system's."""
    number = _cause(path, error)
    if number is None:
        return None
    rule, remedy = CAUSES.get(number, _BROKEN)
    if number == errno.ENOENT and _probe(_existing_folder(path) / path.name) == number:  # as /proc says of new files
        rule, remedy = _NO_FILES
    free = f" ({shutil.disk_usage(_existing_folder(path)).free:,} bytes are free)" if number in OF_SPACE else ""
    return UserError(f"{path.name} could not be written in {path.parent}: {os.strerror(number)}{free}.", rule,
                     f"{remedy}, or {otherwise}")


def check_takes_files(path: Path, otherwise: str = ELSEWHERE) -> None:
    """UserError, as of :func:`writing`, where no file can be written in the nearest folder that is there, for another
    reason than that it is full."""
    number = _probe(_existing_folder(path) / path.name)
    refused = write_error(path, OSError(number, os.strerror(number)), otherwise) if number is not None else None
    if refused is not None and number not in OF_SPACE:
        raise refused


def _cause(path: Path, error: Exception) -> int | None:
    """The system's number of the error that kept a file from being written.

    HDF5 hides it behind RuntimeError("NetCDF: HDF error"), netCDF calls whatever happens in creating a file a missing
    permission, and numpy counts bytes. So the folder is tried.
    """
    hidden = isinstance(error, RuntimeError)
    number = error.errno if isinstance(error, OSError) else _number_of(str(error))
    if hidden and number is None and str(error) not in HDF_ERRORS or not _concerns(path, error):
        return None
    found = _probe(path)
    if found is not None:
        return found
    if number in CAUSES and number not in OF_THE_FOLDER:
        return number
    scarce = shutil.disk_usage(_existing_folder(path)).free < SCARCE_BYTES
    return errno.ENOSPC if scarce and (hidden or number is None) else None


def _number_of(text: str) -> int | None:
    """netCDF raises the system's own errors in words."""
    return next((number for number in CAUSES if os.strerror(number) == text), None)


def _concerns(path: Path, error: Exception) -> bool:
    """Whether an error may be of this file or of its folder; one that names another file is not."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str | os.PathLike):
        return True
    folder, named = path.absolute().parent, Path(error.filename).absolute()
    return named.is_relative_to(folder) or folder.is_relative_to(named)


def _probe(path: Path) -> int | None:
    """The number of the error at writing into the folder of a file; None if there is none."""
    part = part_name(path).with_name(f"{part_name(path).name}-probe")
    try:
        with part.open("wb") as stream:
            for _ in range(PROBE_MIB):
                stream.write(os.urandom(1 << 20))
            stream.flush()
            os.fsync(stream.fileno())
        return None
    except OSError as error:
        return error.errno
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _existing_folder(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if os.path.isdir(folder))


@contextmanager
def held(path: Path, refusal: UserError, otherwise: str = ELSEWHERE) -> Iterator[None]:
    """Hold a lock file for this process alone, here and on other machines that see the folder.

    A kill sets it free: the lock is the system's, not the file. On a file system without locks a file is the lock; a
    kill sets it free for the same machine, and on others it has to be deleted, as the refusal says then.

    Parameters
    ----------
    path : the lock file; its folder is made, and it is gone when the block ends.
    refusal : raised where another process has it.

    Raises
    ------
    UserError : `refusal`; or as of :func:`writing`, ending in `otherwise`.
    """
    with writing(path, otherwise):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquired(without_link(path), refusal)
    try:
        yield
    finally:
        if not isinstance(lock, SoftFileLock):
            with suppress(OSError):  # on Windows it is removed as it is released
                path.unlink()  # while it is held: who opened it meanwhile sees that it is gone
        lock.release()


def _acquired(path: Path, refusal: UserError) -> BaseFileLock:
    lock = FileLock(path, timeout=BUSY_S, fallback_to_soft=False)
    try:
        lock.acquire()
        return lock
    except Timeout:
        if not path.exists():  # nobody has it: the folder takes no files, or it was set free this moment
            with path.open("ab"):
                path.unlink(missing_ok=True)
        raise refusal from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        cause = error.strerror
    path.unlink(missing_ok=True)
    marker = without_link(path.with_name(f"{path.name}.taken"))
    LOG.warning("%s has no locks of the system (%s): %s keeps others out.", path.parent, cause, marker.name)
    lock = SoftFileLock(marker, timeout=BUSY_S)
    try:
        lock.acquire()
        return lock
    except Timeout:
        raise UserError(refusal.problem, refusal.rule, f"{refusal.fix} If there is none, delete {marker}.") from None


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
def whole(path: Path, otherwise: str = ELSEWHERE) -> Iterator[Path]:
    """A hidden name beside `path`, whose folder is made; what is written there has its own name when the block ends.

    The file is whole on the disk, or what it was: a block that fails leaves nothing.

    Raises
    ------
    UserError : as of :func:`writing`, ending in `otherwise`.
    """
    part = part_name(path)
    with writing(path, otherwise):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            fsync(part)
            os.replace(part, path)
            fsync(path.parent)
        finally:
            with suppress(OSError):  # the error that led here is the one to tell
                part.unlink(missing_ok=True)


def folder_named(text: str, option: str = "--out") -> Path:
    """The folder that an option names.

    Raises UserError for a file, and for a name that ends as a file does, unless there is such a folder or a slash
    says that one is meant: nobody looks for figures in the folder `map.pdf`.
    """
    path = Path(text).expanduser()
    ending = path.suffix.lower()
    if path.is_file() or (ending in FILE_ENDINGS and not path.is_dir() and not text.endswith(("/", os.sep))):
        problem = "is a file" if path.is_file() else f"ends in {path.suffix}, as a file does"
        raise UserError(f"{option} {text} {problem}.", f"{option} names a folder here.",
                        f"Leave the ending out, or write {text}/ if the folder is to be called that."
                        if not path.is_file() else f"Give another name with {option}.")
    return path


def replace_text(path: Path, text: str, otherwise: str = ELSEWHERE) -> None:
    """Write a small text file, UTF-8; it is whole on the disk, or what it was."""
    with whole(path, otherwise) as part:
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
