"""One file over HTTP: asked for politely, gone on with where it was cut off, verified, and moved when it is whole.

What has arrived lies in `.<name>.part`, and beside it in `.<name>.part.tag` the address and the ETag or Last-Modified
of what it is a piece of (RFC 9110, 13.1.5): a later attempt asks for the rest with Range and If-Range, so that a file
that has changed comes whole again. Without such a tag, or from a server without ranges, it begins anew.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ProtocolError
from urllib3.util.retry import Retry

from aqreanalysis import __version__, files
from aqreanalysis.errors import BadFile, UserError

TROUBLE = (429, 500, 502, 503, 504)  # asked again after a while
GONE = (404, 410)
LONGEST_WAIT = 600.0  # seconds of Retry-After that are waited for; who asks for more is left alone
STRIKES = 3           # so many files in a row that a server could not serve end a run
CHUNK = 1 << 13  # bytes that a break may cost at most


@dataclass(frozen=True)
class RetryPolicy:
    """How a server is treated; seconds."""

    pause: float = 1.0      # between two files
    attempts: int = 5       # at one file
    backoff: float = 2.0    # before the second attempt, doubled before each further one
    timeout: float = 60.0   # without a byte


class Missing(Exception):
    """The server has no such file."""


class Failed(Exception):
    """A file could not be had; `strikes` count against the server, not against the file."""

    def __init__(self, reason: str, strikes: int = 0):
        super().__init__(reason)
        self.strikes = strikes


class _Broken(Exception):
    """An attempt broke off, and another may do better."""


class Patience(Retry):
    """urllib3's Retry that waits before the second attempt too, and does not wait for hours."""

    def get_backoff_time(self) -> float:
        """Seconds to wait after so many failures."""
        return min(self.backoff_max, self.backoff_factor * 2 ** (len(self.history) - 1)) if self.history else 0.0

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds that the server asks for; Failed where it asks for too many."""
        try:
            seconds = super().parse_retry_after(retry_after)
        except InvalidHeader:
            return self.get_backoff_time()
        if seconds > LONGEST_WAIT:
            raise Failed(f"the server asks to come back in {seconds:.0f} s", STRIKES)
        return seconds


def opened_session(manners: RetryPolicy) -> requests.Session:
    """One connection that says who asks, and asks again with back-off where a server is in trouble."""
    session = requests.Session()
    session.headers["User-Agent"] = f"aqreanalysis/{__version__} python-requests/{requests.__version__}"
    session.headers["Accept-Encoding"] = "identity"  # bytes as they lie there, so that ranges and lengths hold
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=_patience(manners))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _patience(manners: RetryPolicy) -> Patience:
    return Patience(total=manners.attempts - 1, status_forcelist=TROUBLE, allowed_methods=("GET",),
                    backoff_factor=manners.backoff, raise_on_status=False)


def download(session: requests.Session, manners: RetryPolicy, url: str, path: Path,
             check: Callable[[Path], None]) -> None:
    """Have the file at `url` as `path`.

    `check` is given the file under its temporary name and raises BadFile if it is not what it should be. Raises
    Missing, Failed, or UserError where the disk can't take it. What a broken attempt has brought is kept.
    """
    part, patience = files.shared_part_name(path), _patience(manners)
    discard(path.with_name(f"{path.name}.part"))  # of version 0.1.0
    while True:
        resumed = False
        try:
            resumed = _receive(session, manners, url, part)
            check(part)
            break
        except BadFile as error:
            discard(part)
            if not resumed:
                raise Failed(str(error)) from error
            # else it may be the seam: once more, whole
        except _Broken as error:
            try:
                patience = patience.increment("GET", url, error=ProtocolError(str(error)))
            except MaxRetryError:
                raise Failed(f"{error}, {manners.attempts} times", strikes=1) from error
            patience.sleep()
    try:
        os.replace(part, path)
    except OSError as error:
        raise _disk(path, error) from error
    discard(part)


def discard(part: Path) -> None:
    """Remove what is left of an attempt."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _receive(session: requests.Session, manners: RetryPolicy, url: str, part: Path) -> bool:
    """Bring what is lacking of a file; True if it went on with what was there."""
    have, tag = _left(part, url)
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=manners.timeout)
    except requests.RequestException as error:
        raise Failed(f"{urlsplit(url).netloc} does not answer ({_reason(error)})", strikes=1) from error
    with response:
        status = response.status_code
        if status in GONE:
            discard(part)
            raise Missing
        resumed = status == 206
        if status == 416 or resumed and not _goes_on(response, have, tag):
            discard(part)
            raise _Broken("the rest of it did not fit to what was there")
        if status not in (200, 206):
            raise Failed(f"the server answers {status} {response.reason}", strikes=int(status in TROUBLE))
        decoded = "Content-Encoding" in response.headers and not urlsplit(url).path.endswith(".gz")
        try:
            if not resumed:
                discard(part)
                _note_tag(part, url, None if decoded else _tag(response))
            with part.open("ab" if resumed else "wb") as stream:
                for chunk in _body(response, decoded):
                    stream.write(chunk)
                    stream.flush()  # an interrupted run leaves what has come
                os.fsync(stream.fileno())  # on the disk before it gets its name
        except OSError as error:
            discard(part)
            raise _disk(part, error) from error
        _verify(response, part, have if resumed else 0, decoded)
    return resumed


def _body(response: requests.Response, decoded: bool) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK, decode_content=decoded)
    except HTTPError as error:  # urllib3's: cut off, stalled, not what its encoding says
        raise _Broken(f"the transfer broke off ({_reason(error)})") from error


def _verify(response: requests.Response, part: Path, have: int, decoded: bool) -> None:
    """Compare the length and, where the server gives one, the MD5 sum; _Broken if they differ."""
    length = response.headers.get("Content-Length")
    if length and not decoded and part.stat().st_size != have + int(length):
        raise _Broken(f"{part.stat().st_size} of {have + int(length)} bytes came")
    promised = _promised_md5(response)
    if promised and not decoded:
        with part.open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != promised:
                discard(part)
                raise _Broken("its MD5 sum is not the one that the server gives")


def _promised_md5(response: requests.Response) -> str | None:
    """Content-MD5 (RFC 1864), or the ETag of S3, which is the MD5 sum of what was put in one piece without KMS."""
    headers = response.headers
    if "Content-MD5" in headers and response.status_code == 200:
        return base64.b64decode(headers["Content-MD5"]).hex()
    tag = headers.get("ETag", "").strip('"')
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    return tag if headers.get("Server") == "AmazonS3" and plain and re.fullmatch("[0-9a-f]{32}", tag) else None


def _tag(response: requests.Response) -> str | None:
    """What tells one version of a file from another: a strong ETag, or the time of the last change."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _goes_on(response: requests.Response, have: int, tag: str) -> bool:
    """Whether an answer is the rest of what is there; a server need not repeat the tag that it has compared."""
    told = [response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers]
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-") and (not told or tag in told)


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _note_tag(part: Path, url: str, tag: str | None) -> None:
    if tag:
        _tag_file(part).write_text(f"{url}\n{tag}\n", encoding="utf-8")


def _left(part: Path, url: str) -> tuple[int, str]:
    """Bytes that an earlier attempt at this address left, and their tag; 0 where they can't be gone on with."""
    try:
        of, tag = _tag_file(part).read_text(encoding="utf-8").splitlines()
        return (part.stat().st_size, tag) if of == url else (0, "")
    except (OSError, ValueError):
        return 0, ""


def _reason(error: Exception) -> str:
    """The last words of what requests and urllib3 say, which begin with the names of their classes."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return str(cause or error).rpartition(": ")[2][:160]


def _disk(path: Path, error: OSError) -> UserError:
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    return UserError(f"{path.name.removeprefix('.').removesuffix(files.PART)} could not be written in {path.parent}: "
                     f"{error.strerror or error} ({shutil.disk_usage(folder).free:,} bytes are free).",
                     "Files are kept when they are whole; those that came before it are there.",
                     "Free some space or give another folder with --to, then run the same command: it goes on.")
