"""What zip and gzip files from elsewhere hold, read without trust: bounded in bytes, and by names that stay inside.

Nothing is ever unpacked to disk. Members keep the path that a reader looks for, with `/` whatever wrote the zip, and in
Chinese where a Chinese system did. What points out of the zip, is a link or a device, or is encrypted is told and left
out. Text of observations shrinks to a tenth or a fiftieth; what unpacks to much more than that is made to fill a
memory or a disk (a bomb) and is refused as soon as it shows.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from aqreanalysis.errors import BadFile

GZIP = b"\x1f\x8b"        # how gzip begins
FREE_BYTES = 64 << 20     # unpacked, that are read whatever they were packed into: days of blanks shrink a lot
MOST_RATIO = 200          # unpacked to packed bytes beyond these; deflate itself reaches 1032
MOST_BYTES = 1 << 30      # unpacked, that are read into memory at once
BLOCK_BYTES = 1 << 20
UTF8_NAME, ENCRYPTED = 0x800, 0x1  # bits of a zip's flags
DAMAGE = (OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
DRIVE = re.compile(r"[A-Za-z]:")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows
ODD_FILES = {stat.S_IFLNK: "is a link", stat.S_IFCHR: "is a device", stat.S_IFBLK: "is a device",
             stat.S_IFIFO: "is a pipe", stat.S_IFSOCK: "is a socket"}


class _Stream(Protocol):
    """What bytes are read from: a file, a member of a zip, a gzip stream."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Member:
    """A file in a zip."""

    name: str              # its path in the zip, with "/"
    entry: zipfile.ZipInfo


def zip_members(container: zipfile.ZipFile) -> tuple[list[Member], list[str]]:
    """The files of a zip in order of their paths; and what is wrong with each that must not be read, in words.

    The words follow the zip's name and a colon: `../../x.csv points out of the zip`.

    Raises
    ------
    BadFile : where all that it says to hold is far more than text unpacks to. No member gives more than it says.
    """
    members, refused = [], []
    _check_count(sum(entry.file_size for entry in container.infolist()), _name_of(container), _size_of(container), None)
    for entry in container.infolist():
        name = member_name(entry)
        if name.endswith("/"):  # a folder
            continue
        reason = _refusal(name, entry)
        if reason:
            refused.append(f"{name} {reason}")
        else:
            members.append(Member(name, entry))
    return sorted(members, key=lambda member: member.name), refused


def member_name(entry: zipfile.ZipInfo) -> str:
    """The path of a member: with "/" for the "\\" of some Windows programs, and decoded.

    A name without the zip's mark for UTF-8 is in the code page of the system that wrote it: in China GBK, whose second
    bytes may be a "\\".
    """
    name = entry.orig_filename
    if not entry.flag_bits & UTF8_NAME:
        try:
            raw = name.encode("cp437")  # what zipfile took it for
        except UnicodeEncodeError:  # written by Python itself
            raw = name.encode("utf-8", "surrogatepass")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/").removeprefix("./")


def _name_of(container: zipfile.ZipFile) -> str:
    return Path(container.filename).name if container.filename else "the zip inside"


def _size_of(container: zipfile.ZipFile) -> int:
    stream = container.fp
    if stream is None:
        raise ValueError("the zip is closed")
    here = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(here)
    return size


def _refusal(name: str, entry: zipfile.ZipInfo) -> str:
    """Why a member must not be read; empty where it may."""
    if not name:
        return "a member without a name"
    parts = name.split("/")
    if name.startswith("/") or DRIVE.match(name) or ".." in parts or "\0" in name:
        return "points out of the zip"
    if RESERVED.fullmatch(parts[-1]):
        return "is named as a device"
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    mode = stat.S_IFMT(entry.external_attr >> 16)
    return ODD_FILES.get(mode, "") if entry.create_system == 3 else ""  # 3: Unix, which alone has these


def read_member(container: zipfile.ZipFile, member: Member, name: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a member.

    Parameters
    ----------
    name : of the member, for messages.

    Raises
    ------
    BadFile : where it is damaged, or unpacks to more than `most` bytes or far more than text does.
    """
    try:
        with container.open(member.entry) as stream:
            return read_bounded(stream, name, member.entry.compress_size, most)
    except BadFile:
        raise
    except DAMAGE as error:
        raise BadFile(f"{name} is damaged ({error})") from error


def gunzip(content: bytes, name: str, most: int = MOST_BYTES) -> bytes:
    """The unpacked bytes of a gzip file; BadFile as of :func:`read_member`."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return read_bounded(stream, name, len(content), most)
    except BadFile:
        raise
    except DAMAGE as error:
        raise BadFile(f"{name} is a damaged or truncated gzip file ({error})") from error


def unpacked(content: bytes, name: str) -> bytes:
    """The bytes, unpacked where they are gzip, whatever the name says; BadFile as of :func:`read_member`."""
    return gunzip(content, name) if content.startswith(GZIP) else content


def open_gzip(path: Path) -> IO[bytes]:
    """A gzip file to be read bit by bit, without an end but that of the ratio; BadFile as of :func:`read_member`."""
    stream = gzip.open(path)
    return io.BufferedReader(_Bounded(stream, path.name, path.stat().st_size), BLOCK_BYTES)


def read_bounded(stream: _Stream, name: str, packed: int, most: int = MOST_BYTES) -> bytes:
    """All that a stream unpacks; BadFile where these are more than `most` bytes, or too many for `packed`."""
    blocks, count = [], 0
    while block := stream.read(BLOCK_BYTES):
        count += len(block)
        _check_count(count, name, packed, most)
        blocks.append(block)
    return b"".join(blocks)


def _check_count(count: int, name: str, packed: int, most: int | None) -> None:
    if count > FREE_BYTES and count > MOST_RATIO * packed:
        raise BadFile(f"{name} unpacks {packed:,} bytes to {count >> 20:,} MiB or more, which no table of observations "
                      "does: it is made to fill a memory")
    if most is not None and count > most:
        raise BadFile(f"{name} unpacks to more than {most >> 20:,} MiB: it has to be split")


class _Bounded(io.RawIOBase):
    """A stream that ends in BadFile where it unpacks too much, or is damaged."""

    def __init__(self, stream: _Stream, name: str, packed: int):
        self._stream, self._label, self._packed, self._count = stream, name, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            block = self._stream.read(len(buffer))
        except DAMAGE as error:
            raise BadFile(f"{self._label} is a damaged or truncated gzip file ({error})") from error
        self._count += len(block)
        _check_count(self._count, self._label, self._packed, None)
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()
