"""One file over HTTP: requested politely, resumed where it was cut off, verified, and moved when it is whole.

What has arrived is kept in `.<name>.part`, and beside it in `.<name>.part.tag` the address and the ETag or
Last-Modified of the file (RFC 9110, 13.1.5): a later attempt requests the rest with Range and If-Range, so that a file
that has changed is sent whole. Without such a tag, or from a server without ranges, the download starts again.

pooch starts a file again after every break; docs/trials.md has the comparison.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ProtocolError
from urllib3.util.retry import Retry

from aqreanalysis import __version__, files
from aqreanalysis.errors import BadFile, UserError

TROUBLE = (429, 500, 502, 503, 504)  # status of a server that may answer later
GONE = (404, 410)
LONGEST_WAIT = 600.0     # seconds of Retry-After that are waited for, at most
STRIKES = 3              # files in a row that a server could not serve, after which a run ends
MOST_BYTES, MOST_BYTES_OF_ZIP = 256 << 20, 8 << 30  # of a file; a day has some MB, a zip of years some hundred
CHUNK_BYTES = 1 << 13    # lost at most when a transfer breaks off
FETCH_FIX = "give another folder with --to; then give the same command again: it continues."


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast a server is asked; seconds."""

    pause: float = 1.0      # between two files
    attempts: int = 5       # at one file
    backoff: float = 2.0    # before the second attempt, doubled before each further one
    timeout: float = 60.0   # without a byte

    def retries(self) -> CappedRetry:
        """The attempts at one file that follow the first."""
        return CappedRetry(total=self.attempts - 1, status_forcelist=TROUBLE, allowed_methods=("GET",),
                           backoff_factor=self.backoff, raise_on_status=False)


class Missing(Exception):
    """The server has no such file."""


class Failed(Exception):
    """A file could not be fetched; `strikes` count against the server, not against the file."""

    def __init__(self, reason: str, strikes: int = 0):
        super().__init__(reason)
        self.strikes = strikes


class BrokenOff(Exception):
    """An attempt broke off; another may succeed."""


class GuardedSession(requests.Session):
    """A session that follows a redirect only where it leads to what the user could have meant."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads to; Failed where that is another scheme, unencrypted, or a private network."""
        target = super().get_redirect_target(resp)
        if target is not None:
            _check_redirect(urlsplit(resp.url), urlsplit(urljoin(resp.url, target)))
        return target


def _check_redirect(asked: SplitResult, target: SplitResult) -> None:
    what = f"{asked.netloc} redirects to {target.geturl()[:120]}"
    if target.scheme not in ("http", "https"):
        raise Failed(f"{what}: only http and https are followed", STRIKES)
    if asked.scheme == "https" and target.scheme == "http":
        raise Failed(f"{what}: from https to http none is followed, which anyone on the way could change", STRIKES)
    if _private(target.hostname) and not _private(asked.hostname):
        raise Failed(f"{what}: a public server does not lead into a private network", STRIKES)


def _private(host: str | None) -> bool:
    """Whether a host is of this machine or of a private network; False where its name can't be resolved here."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)


class CappedRetry(Retry):
    """urllib3's Retry that waits before the second attempt too, and never for hours."""

    def get_backoff_time(self) -> float:
        """Seconds to wait after so many failures."""
        return min(self.backoff_max, self.backoff_factor * 2 ** (len(self.history) - 1)) if self.history else 0.0

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds that the server asks to wait; Failed where these are too many."""
        try:
            seconds = super().parse_retry_after(retry_after)
        except InvalidHeader:
            return self.get_backoff_time()
        if seconds > LONGEST_WAIT:
            raise Failed(f"the server asks to come back in {seconds:.0f} s", STRIKES)
        return seconds


def opened_session(policy: RetryPolicy) -> requests.Session:
    """One connection that says who is asking, and that backs off and asks again where a server is in trouble."""
    session = GuardedSession()
    session.headers["User-Agent"] = f"aqreanalysis/{__version__} python-requests/{requests.__version__}"
    session.headers["Accept-Encoding"] = "identity"  # the bytes of the file, so that ranges and lengths hold
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=policy.retries())
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def download_file(session: requests.Session, policy: RetryPolicy, url: str, path: Path,
                  check: Callable[[Path], None]) -> None:
    """Download the file at `url` to `path`; what a broken attempt has received is kept for the next one.

    Parameters
    ----------
    check : is given the file under its temporary name and raises BadFile if it is not what it should be.

    Raises
    ------
    Missing : where the server has no such file.
    Failed : where the server does not send it whole, or `check` refuses it.
    UserError : where the disk can't take it.
    """
    part, retries = files.shared_part_name(path), policy.retries()
    discard_part(path.with_name(f"{path.name}.part"))  # of version 0.1.0
    while True:
        resumed = False
        try:
            resumed = _receive(session, policy, url, part)
            check(part)
            break
        except BadFile as error:
            discard_part(part)
            if not resumed:
                raise Failed(str(error)) from error
            # else the two pieces may not belong together: once more, whole
        except BrokenOff as error:
            try:
                retries = retries.increment("GET", url, error=ProtocolError(str(error)))
            except MaxRetryError:
                raise Failed(f"{error}, {policy.attempts} times", strikes=1) from error
            retries.sleep()
    with files.writing(path, FETCH_FIX):
        os.replace(part, path)
    discard_part(part)


def discard_part(part: Path) -> None:
    """Remove what an attempt has left."""
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _receive(session: requests.Session, policy: RetryPolicy, url: str, part: Path) -> bool:
    """Receive what is still to come of a file; True if it continues what was there."""
    have, tag = _received_before(part, url)
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=policy.timeout)
    except requests.exceptions.ProxyError as error:
        proxy = urlsplit(requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or "")
        raise Failed(f"the proxy {proxy.hostname}:{proxy.port} does not lead to {urlsplit(url).netloc} "
                     f"({_reason(error)}); it is set by HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, and "
                     f"NO_PROXY={urlsplit(url).hostname} goes round it", STRIKES) from error
    except requests.RequestException as error:
        raise Failed(f"{urlsplit(url).netloc} does not answer ({_reason(error)})", strikes=1) from error
    with response:
        status = response.status_code
        if status in GONE:
            discard_part(part)
            raise Missing
        resumed = status == 206
        if status == 416 or resumed and not _continues(response, have, tag):
            discard_part(part)
            raise BrokenOff("the rest of the file did not match what was received before")
        if status not in (200, 206):
            raise Failed(f"the server answers {status} {response.reason}", strikes=int(status in TROUBLE))
        decoded = "Content-Encoding" in response.headers and not urlsplit(url).path.endswith(".gz")
        _check_size(int(response.headers.get("Content-Length") or 0), part)
        if not resumed:
            discard_part(part)
            _note_tag(part, url, None if decoded else _tag(response))
        _write_body(response, part, "ab" if resumed else "wb", decoded)
        _verify(response, part, have if resumed else 0, decoded)
    return resumed


def _write_body(response: requests.Response, part: Path, mode: str, decoded: bool) -> None:
    """Append to the file, or write it, as the body arrives: an interrupted run leaves what has been received."""
    final = part.with_name(part.name.removeprefix(".").removesuffix(files.PART))
    try:
        with files.writing(final, FETCH_FIX), part.open(mode) as stream:
            for chunk in _body(response, decoded):
                stream.write(chunk)
                stream.flush()
                _check_size(stream.tell(), part)
            os.fsync(stream.fileno())  # on the disk before it gets its name
    except (UserError, Failed):
        discard_part(part)
        raise


def _check_size(count: int, part: Path) -> None:
    """Failed for more bytes than any file of its kind has: a server that does not end would fill the disk."""
    most = MOST_BYTES_OF_ZIP if part.name.lower().removesuffix(files.PART).endswith(".zip") else MOST_BYTES
    if count > most:
        raise Failed(f"the server sends more than {most >> 20:,} MiB, which no such file has")


def _body(response: requests.Response, decoded: bool) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK_BYTES, decode_content=decoded)
    except HTTPError as error:  # urllib3's: cut off, stalled, not what its encoding says
        raise BrokenOff(f"the transfer broke off ({_reason(error)})") from error


def _verify(response: requests.Response, part: Path, have: int, decoded: bool) -> None:
    """Compare the length and, where the server gives one, the MD5 sum; BrokenOff where they differ."""
    length = response.headers.get("Content-Length")
    if length and not decoded and part.stat().st_size != have + int(length):
        raise BrokenOff(f"{part.stat().st_size} of {have + int(length)} bytes were received")
    promised = _promised_md5(response)
    if promised and not decoded:
        with part.open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != promised:
                discard_part(part)
                raise BrokenOff("its MD5 sum is not the one that the server gives")


def _promised_md5(response: requests.Response) -> str | None:
    """Content-MD5 (RFC 1864), or the ETag of S3: the MD5 sum of an object uploaded in one piece without KMS."""
    headers = response.headers
    if "Content-MD5" in headers and response.status_code == 200:
        return base64.b64decode(headers["Content-MD5"]).hex()
    tag = headers.get("ETag", "").strip('"')
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    return tag if headers.get("Server") == "AmazonS3" and plain and re.fullmatch("[0-9a-f]{32}", tag) else None


def _tag(response: requests.Response) -> str | None:
    """What identifies a version of a file: a strong ETag, or the time of the last change."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _continues(response: requests.Response, have: int, tag: str) -> bool:
    """Whether an answer is the rest of what is there; a server need not repeat the tag that it has compared."""
    repeated = [response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers]
    return (response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            and (not repeated or tag in repeated))


def _tag_file(part: Path) -> Path:
    return files.without_link(part.with_name(f"{part.name}.tag"))


def _note_tag(part: Path, url: str, tag: str | None) -> None:
    if tag:
        with files.writing(_tag_file(part), FETCH_FIX):
            _tag_file(part).write_text(f"{url}\n{tag}\n", encoding="utf-8")


def _received_before(part: Path, url: str) -> tuple[int, str]:
    """Bytes that an earlier attempt at this address has received, and their tag; 0 where they can't be continued."""
    try:
        address, tag = _tag_file(part).read_text(encoding="utf-8").splitlines()
        return (part.stat().st_size, tag) if address == url else (0, "")
    except (OSError, ValueError):
        return 0, ""


def _reason(error: BaseException) -> str:
    """What is behind what requests and urllib3 say, which begin with the names of their classes and wrap each other."""
    inner: object = error
    while True:
        below = getattr(inner, "reason", None) or getattr(inner, "original_error", None) or next(
            (part for part in getattr(inner, "args", ()) if isinstance(part, BaseException)), None)
        if not isinstance(below, BaseException) or below is inner:
            break
        inner = below
    cause = inner.__cause__ if isinstance(inner, BaseException) and isinstance(inner.__cause__, OSError) else inner
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text.rpartition(": ")[2][:160]
