"""From bytes to lines: what a file is, how it is compressed and encoded.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32, GBK (GB 18030) and, where all of these fail, Windows-1252,
which contains Latin-1. A file that decodes as UTF-8 is UTF-8: no longer text of another encoding does so by chance.
Between GBK and Windows-1252, in which nearly every sequence of bytes means something, the pairs of bytes decide, and
charset-normalizer where they leave it open.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aqreanalysis import containers
from aqreanalysis.errors import BadFile

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 16
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
OTHER_KINDS = (   # how files begin that are no text tables
    (b"PK\x03\x04", "a zip file or an Excel workbook", "save the sheet as CSV, or unzip it"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF", "give a table"), (b"PAR1", "Parquet", "name it .parquet"),
    (b"\x89HDF", "NetCDF-4 or HDF5", "give a table"), (b"CDF", "NetCDF", "give a table"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"), (b"Rar!", "a RAR archive", "unpack it"),
    (b"BZh", "bzip2", "unpack it, or pack it with gzip"), (b"\xfd7zXZ", "xz", "unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it, or pack it with gzip"),
    (b"\x89PNG", "a picture", "give a table"), (b"\xff\xd8\xff", "a picture", "give a table"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"))
ENCODING_NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16",
                  "utf-16-be": "UTF-16", "utf-32": "UTF-32", "gb18030": "GBK", "cp1252": "Windows-1252 (Latin-1)"}

Source = Path | bytes | Callable[[], bytes]   # the last gives the bytes anew each time, and so keeps none


@dataclass(frozen=True)
class TextFile:
    """A file of text: where its bytes come from and how they are encoded."""

    name: str          # for messages
    source: Source
    encoding: str      # of Python
    quotes: int        # how many double quotes it has

    @property
    def is_utf8(self) -> bool:
        """Whether its bytes are UTF-8, ASCII included."""
        return self.encoding in ("utf-8", "utf-8-sig")

    @contextmanager
    def opened(self) -> Iterator[io.TextIOWrapper]:
        """Its text by lines; \\r, \\n and \\r\\n all end one. BadFile where the bytes can't be read."""
        with reading(self.name), binary(self.name, self.source) as stream:
            yield io.TextIOWrapper(stream, self.encoding, errors="replace", newline=None)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Errors of reading as BadFile."""
    try:
        yield
    except OSError as error:
        raise BadFile(f"{name} can't be read ({error.strerror or error})") from error


@contextmanager
def binary(name: str, source: Source) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are gzip, whatever its name says."""
    with reading(name):
        source = source() if callable(source) else source
        if isinstance(source, bytes):
            yield io.BytesIO(containers.unpacked(source, name))
            return
        with source.open("rb") as stream:
            packed = stream.read(2) == containers.GZIP
        with containers.open_gzip(source) if packed else source.open("rb") as stream:
            yield stream


def recognised(name: str, source: Source) -> TextFile:
    """The text file at a path or in bytes; BadFile where it is empty, or no text.

    Every byte is read once, so that a character that is no UTF-8 counts wherever it stands.
    """
    with binary(name, source) as stream:
        head = stream.read(SAMPLE_BYTES)
        check_kind(name, head)
        encoding = _marked(head)
        sample, quotes = head, head.count(b'"')
        if encoding is None:
            encoding, sample, quotes = _unmarked(stream, head)
    if encoding is None:
        encoding = "gb18030" if _is_gbk(sample) else "cp1252"
    return TextFile(name, source, encoding, quotes)


def check_kind(name: str, head: bytes) -> None:
    """BadFile where the first bytes of a file show that it is no text table: what it is, and what to do."""
    if not head.strip(b"\x00\r\n\t ,;"):
        raise BadFile(f"{name} is empty" if not head.strip() else f"{name} holds nothing but blanks or zeros")
    for magic, kind, fix in OTHER_KINDS:
        if head.startswith(magic):
            raise BadFile(f"{name} is {kind}, not a text table ({fix})")
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if begin == b"<":
        raise BadFile(f"{name} is an HTML or XML page, not a text table")
    if begin in (b"{", b"["):
        raise BadFile(f"{name} is JSON, not a text table")


def _marked(head: bytes) -> str | None:
    """The encoding by a byte order mark, or by the zeros that UTF-16 has between ASCII characters."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    for encoding, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > 0.5 * len(zeros) > 2 and letters.count(0) < 0.1 * len(letters):
            return encoding
    return None


def _unmarked(stream: IO[bytes], head: bytes) -> tuple[str | None, bytes, int]:
    """UTF-8 or None, a sample of the lines that are no UTF-8, and the number of quotes."""
    decoder, sample, quotes, chunk = codecs.getincrementaldecoder("utf-8")(), b"", 0, head
    valid = True
    while chunk:
        quotes += chunk.count(b'"')
        if not chunk.isascii() and len(sample) < SAMPLE_BYTES:
            sample += b"\n".join(line for line in chunk.split(b"\n") if not line.isascii())[:SAMPLE_BYTES]
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            valid = False
            decoder.reset()
        chunk = stream.read(CHUNK_BYTES)
    if valid:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:  # cut in the middle of its last character
            pass
    return ("utf-8" if valid else None), sample, quotes


def _is_gbk(sample: bytes) -> bool:
    """Whether lines that are no UTF-8 are GBK and not Windows-1252."""
    lines = [line for line in sample.split(b"\n")[:-1] or [sample] if not line.isascii()]
    text = b"\n".join(lines)
    for encoding in ("gb2312", "gb18030"):
        try:
            text.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "gb2312":  # two high bytes a character: accented letters seldom stand in pairs
            return True
        return _best_guess(text) == "gb18030"
    return False


def _best_guess(text: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(text, cp_isolation=["gb18030", "cp1252"]).best()
    return best.encoding if best else "gb18030"
