"""A local HTTP server that serves files as a mirror does, and misbehaves as it is told to."""

import contextlib
import email.utils
import hashlib
import http.server
import threading
import time
from dataclasses import dataclass, field

CHUNK = 1 << 16
PAGE = b"<!DOCTYPE html><html><body>Sorry, back soon.</body></html>"


@dataclass
class Mirror:
    """Files by path; `plans` holds what the next answers for a path do, in order, before it serves normally."""

    files: dict[str, bytes] = field(default_factory=dict)
    plans: dict[str, list] = field(default_factory=dict)
    tag: str | None = "etag"       # what it says of versions: "etag", "modified" or nothing
    ranges: bool = True            # whether it knows Range
    if_range: bool = True          # whether it compares If-Range
    headers: dict[str, str] = field(default_factory=dict)
    name: str = "Mirror"           # its Server header
    pause: float = 0.0             # seconds after each CHUNK of a body
    sent: int = 0                  # bytes of bodies that were handed to the system
    log: list = field(default_factory=list)   # (path, request headers)
    connections: int = 0
    active: int = 0
    most_active: int = 0
    released: threading.Event = field(default_factory=threading.Event)  # ends stalls
    url: str = ""

    def asked(self) -> list[str]:
        return [path for path, _ in self.log]

    def versions(self, content: bytes) -> dict[str, str]:
        digest = hashlib.md5(content).hexdigest()
        when = email.utils.formatdate(1_500_000_000 + int(digest[:6], 16), usegmt=True)
        return {"etag": {"ETag": f'"{digest}"'}, "modified": {"Last-Modified": when, "ETag": f'W/"{digest}"'}}.get(
            self.tag, {})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True   # as servers do; else each file on a kept connection waits 40 ms

    def log_message(self, *args):
        pass

    def version_string(self):
        return self.server.mirror.name

    def setup(self):
        super().setup()
        self.server.mirror.connections += 1

    def do_GET(self):
        mirror = self.server.mirror
        mirror.log.append((self.path, dict(self.headers)))
        mirror.active += 1
        mirror.most_active = max(mirror.active, mirror.most_active)
        try:
            plan = mirror.plans.get(self.path)
            step = plan.pop(0) if plan else ("serve",)
            getattr(self, step[0])(*step[1:])
        finally:
            mirror.active -= 1

    def answer(self, status, body, headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        mirror = self.server.mirror
        for start in range(0, len(body), CHUNK):
            self.wfile.write(body[start:start + CHUNK])
            mirror.sent += len(body[start:start + CHUNK])
            if mirror.pause:
                time.sleep(mirror.pause)

    def serve(self, upto=None, after=None):
        """The file or what Range asks of it; only `upto` bytes of it, and then `after`."""
        mirror = self.server.mirror
        if self.path not in mirror.files:
            return self.answer(404, b"no such file")
        content = mirror.files[self.path]
        headers, status, first = mirror.versions(content) | mirror.headers, 200, 0
        wanted, only_if = self.headers.get("Range"), self.headers.get("If-Range")
        if wanted and mirror.ranges and (not mirror.if_range or only_if in headers.values()):
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            if first >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            status, headers["Content-Range"] = 206, f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        self.answer(status, body[:upto], headers, len(body))
        if after:
            after()

    def cut(self, upto):
        """Break the connection in the middle."""
        self.serve(upto, after=lambda: setattr(self, "close_connection", True))

    def stall(self, upto):
        """Send a piece and then nothing."""
        self.wfile.flush()
        self.serve(upto, after=lambda: self.server.mirror.released.wait(30))
        self.close_connection = True

    def status(self, code, headers=None):
        self.answer(code, b"trouble", headers)

    def html(self):
        self.answer(200, PAGE, {"Content-Type": "text/html"})

    def encoded(self, body):
        self.answer(200, body, {"Content-Encoding": "gzip"})


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what is tested


@contextlib.contextmanager
def serving():
    """A mirror that runs until the block ends; `url` is its base address."""
    mirror = Mirror()
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.mirror, mirror.url = mirror, f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield mirror
        finally:
            mirror.released.set()
            server.shutdown()
